//! `switches:`: names of datapaths, and the certificates that they must show. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use umlaut_openflow::DatapathId;

use super::reader::{At, Reader};
use crate::policy::Policy;
use crate::switches::{CertificateOf, Fingerprint};
use crate::values;
use crate::yaml::{Node, Place};

/// How long a DNS name may be (RFC 1035 §2.3.4).
const NAME_LENGTH: usize = 253;
/// How long one of its labels may be.
const LABEL_LENGTH: usize = 63;

/// What `switches` says.
#[derive(Debug, Default)]
pub(super) struct Switches {
    pub(super) by_name: BTreeMap<String, DatapathId>,
    pub(super) certificates: BTreeMap<DatapathId, CertificateOf>,
}

/// `{s1: 0x1, s2: {dpid: 0x2, cert: s2.lab}}`.
pub(super) fn read_switches(r: &mut Reader, at: &At<'_>) -> Switches {
    let mut switches = Switches::default();
    let mut by_dpid: HashMap<DatapathId, Place> = HashMap::new();
    for (name, key, value) in
        r.entries(at, "a map of switch names to datapath ids").unwrap_or_default()
    {
        if !r.name(&name, &key, "switch") {
            continue;
        }
        if name.starts_with(|c: char| c.is_ascii_digit()) || name.contains('/') {
            r.error("bad-name", &key, format!("the switch name {name:?} looks like a datapath id"))
                .help("let it begin with a letter");
            continue;
        }
        let Some((dpid, place, certificate)) = read_switch(r, &name, &key, &value) else {
            continue;
        };
        if let Some(first) = by_dpid.get(&dpid) {
            r.error("switch-twice", &place, format!("datapath {dpid} has two names"))
                .other(first, "first here");
            continue;
        }
        by_dpid.insert(dpid, place);
        switches.by_name.insert(name, dpid);
        if let Some(certificate) = certificate {
            switches.certificates.insert(dpid, certificate);
        }
    }
    switches
}

/// A switch: its datapath id, where that stands, and what it must show.
fn read_switch(
    r: &mut Reader,
    name: &str,
    key: &Place,
    value: &At<'_>,
) -> Option<(DatapathId, Place, Option<CertificateOf>)> {
    let Node::Map(_) = value.node else {
        let wanted = "a datapath id (a number of 64 bits), or {dpid: …, cert: …}";
        return Some((r.value(value, wanted, values::dpid)?, value.place.clone(), None));
    };
    let fields = r.fields(value, "a switch", &["dpid", "cert"])?;
    // Both are read, so that both mistakes are told.
    let certificate = fields.get("cert").map(|at| read_certificate(r, at));
    let Some(at) = fields.get("dpid") else {
        r.error("no-dpid", key, format!("switch {name} has no dpid"))
            .help(format!("write {name}: {{dpid: 0x…}}"));
        return None;
    };
    let dpid = r.value(at, "a datapath id (a number of 64 bits)", values::dpid)?;
    match certificate {
        // Without what was meant, the switch would join with any certificate.
        Some(None) => None,
        certificate => Some((dpid, at.place.clone(), certificate.flatten())),
    }
}

fn read_certificate(r: &mut Reader, at: &At<'_>) -> Option<CertificateOf> {
    let wanted = "a certificate (one of its DNS names, or sha256: and 64 hex digits)";
    let Node::Text(text) = at.node else {
        r.wrong(at, wanted);
        return None;
    };
    if let Ok(fingerprint) = text.parse() {
        return Some(CertificateOf::Fingerprint(fingerprint));
    }
    if format!("sha256:{text}").parse::<Fingerprint>().is_ok() {
        let message = format!("{text:?} does not say that it is a fingerprint");
        r.error("wrong-value", &at.place, message).help(format!("did you mean \"sha256:{text}\"?"));
        return None;
    }
    if is_dns_name(text) {
        return Some(CertificateOf::Name(text.to_ascii_lowercase().into()));
    }
    r.wrong(at, wanted);
    None
}

fn is_dns_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_LENGTH
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    text.len() <= NAME_LENGTH && text.split('.').all(is_label)
}

/// Says which switches that the slices use `unknown_switches: refuse` keeps away.
pub(super) fn warn_of_refused(r: &mut Reader, options: &At<'_>, policy: &Policy) {
    if policy.switches.is_empty() {
        let message = "unknown switches are refused and switches names none: none may join";
        r.warn("all-switches-refused", &options.place, message);
        return;
    }
    let links = policy.links.iter().flat_map(|(a, b)| [a.0, b.0]);
    let interfaces = policy.interfaces.iter().map(|((dpid, _), _)| *dpid);
    let used: BTreeSet<DatapathId> =
        policy.bindings.claimed().map(|(dpid, _)| dpid).chain(links).chain(interfaces).collect();
    for dpid in used.into_iter().filter(|dpid| !policy.switch_names.contains_key(dpid)) {
        let message = format!("datapath {dpid} is used, but refused: switches does not name it");
        r.warn("switch-refused", &options.place, message)
            .help(format!("add it to switches, as in s{}: {dpid}", dpid.0));
    }
}

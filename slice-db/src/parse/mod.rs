//! Policy files: from YAML to a policy, or to all that is wrong with it. Pure.

mod cases;
mod edit;
mod filters;
mod links;
mod members;
mod reader;
mod switches;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use umlaut_openflow::{Attachment, DatapathId, PortNo, Vid};

use crate::diagnostic::{Diagnostic, nearest};
use crate::filter::{FilterAction, FilterTable};
use crate::hosts::Hosts;
use crate::layout::Layout;
use crate::members::Members;
use crate::policy::{Host, Map, Options, Policy};
use crate::values;
use crate::yaml::{self, Hop, Place};
use links::Links;
use reader::{At, Reader, unreadable};
use switches::Switches;

/// The version of the file format.
const FORMAT: u128 = 1;
/// The keys of a policy.
const KEYS: [&str; 8] =
    ["umlaut", "switches", "hosts", "slices", "filters", "links", "options", "cases"];

pub(crate) use edit::edited;
pub use filters::{Protocols, protocols};

/// A policy and its warnings, or all that is wrong with it.
type Read = Result<(Policy, Vec<Diagnostic>), Vec<Diagnostic>>;

pub(crate) fn parse(file: &str, text: &str) -> Read {
    read(file, Arc::new(text.to_owned()))
}

/// Reads a text. Lists of members that are written as nearly always do not go through the YAML
/// parser; what comes out is the same.
pub(crate) fn read(file: &str, text: Arc<String>) -> Read {
    if text.len() <= yaml::POLICY_BYTES {
        let mut layout = Layout::of(&text);
        // Lines that look like members may turn out to be something else; then without them.
        for _ in 0..2 {
            let Some(skeleton) = layout.skeleton(&text) else { break };
            let Ok(tree) = yaml::load(&skeleton) else { break };
            if layout.settle(&tree) {
                return compile(file, text, layout, &tree);
            }
        }
    }
    read_as_yaml(file, text)
}

/// As [`read`], all of it by the YAML parser.
fn read_as_yaml(file: &str, text: Arc<String>) -> Read {
    let tree = yaml::load(&text).map_err(|error| vec![unreadable(file, &text, error)])?;
    compile(file, text, Layout::default(), &tree)
}

fn compile(file: &str, text: Arc<String>, layout: Layout, tree: &yaml::Node) -> Read {
    let mut reader = Reader::default();
    let root = At { node: tree, place: Place::default() };
    let policy = read_root(&mut reader, &root, file, &text, &layout);
    let failed = reader.failed();
    let diagnostics = reader.diagnose(file, &text, &layout);
    match policy.filter(|_| !failed) {
        Some(mut policy) => {
            policy.warnings = Arc::new(diagnostics.clone());
            Ok((policy, diagnostics))
        }
        None => Err(diagnostics),
    }
}

/// Reads what can be read, so that one mistake does not hide another.
fn read_root(
    r: &mut Reader,
    root: &At<'_>,
    file: &str,
    text: &Arc<String>,
    layout: &Layout,
) -> Option<Policy> {
    let yaml::Node::Map(entries) = root.node else {
        if *root.node == yaml::Node::Null {
            r.error("empty", &root.place, "the file is empty")
                .help("a policy begins with umlaut: 1");
        } else {
            r.wrong(root, "a map with slices");
        }
        return None;
    };
    let fields = r.fields(root, "a map with slices", &KEYS)?;
    match fields.get("umlaut") {
        None => {
            r.error("no-version", &root.place, "the format version is missing")
                .help("begin the file with umlaut: 1");
        }
        Some(at) if values::number(at.node) != Some(FORMAT) => {
            r.wrong(at, "a format version that this program knows (1)");
        }
        Some(_) => {}
    }
    let entry = |name: &str| {
        entries.iter().position(|(key, _)| key.scalar().as_deref() == Some(name)).map(|i| i as u32)
    };

    let Switches { by_name, certificates } =
        fields.get("switches").map(|at| switches::read_switches(r, at)).unwrap_or_default();
    let mut names = BTreeMap::new();
    for (name, dpid) in &by_name {
        names.entry(*dpid).or_insert_with(|| name.clone());
    }
    let mut policy = Policy {
        file: Arc::from(file),
        text: text.clone(),
        switches: Arc::new(by_name),
        switch_names: Arc::new(names),
        certificates: Arc::new(certificates),
        hosts: Arc::default(),
        slices: Vec::new(),
        slices_by_name: Arc::new(Map::default()),
        bindings: Members::default(),
        filters: Arc::new(FilterTable::default()),
        links: Arc::default(),
        interfaces: Arc::default(),
        options: Options::default(),
        cases: Arc::default(),
        slices_entry: entry("slices"),
        filters_entry: entry("filters"),
        cases_entry: entry("cases"),
        layout: layout.clone(),
        warnings: Arc::default(),
    };
    if let Some(at) = fields.get("hosts") {
        policy.hosts = Arc::new(read_hosts(r, at, &policy));
    }
    if let Some(at) = fields.get("options") {
        policy.options = read_options(r, at);
    }
    let Links { links, interfaces } =
        fields.get("links").map(|at| links::read_links(r, at, &policy)).unwrap_or_default();
    match fields.get("slices") {
        Some(at) => members::read_slices(r, at, &mut policy),
        None => {
            r.error("no-slices", &root.place, "there are no slices")
                .help("add slices: {NAME: {members: [...]}}");
        }
    }
    for (place, a, b) in &links {
        for end in [a, b] {
            if policy.is_bound_port(end.0, end.1) {
                let name = format!("{}/{}", policy.switch_name(end.0), end.1);
                r.error("link-on-bound-port", place, format!("{name} is a host port of a slice"))
                    .help("a port that the policy binds is never a link");
            }
        }
    }
    policy.links = Arc::new(links.into_iter().map(|(_, a, b)| (a, b)).collect());
    policy.interfaces = Arc::new(interfaces);
    if let Some(at) = fields.get("filters") {
        policy.filters = Arc::new(filters::read_filters(r, at, &policy));
    }
    let catch_all = policy.filters.rules().iter().any(|rule| rule.criteria.is_empty());
    if policy.options.filter_default == FilterAction::Deny
        && !catch_all
        && policy.filters.len() == 0
    {
        r.warn("all-denied", &root.place, "filter_default is deny and no filter allows anything");
    }
    if let Some(at) = fields.get("cases") {
        policy.cases = Arc::new(cases::read_cases(r, at, &policy));
    }
    if policy.options.loose
        && let Some(at) = fields.get("options")
    {
        r.warn(
            "loose",
            &at.place,
            "loose mode floods slices with MAC members to every port that no other slice claims",
        );
    }
    if policy.options.declared_links && policy.links.is_empty() && policy.switches.len() > 1 {
        r.warn("no-links", &root.place, "options.links is declared, but no link is");
    }
    if policy.options.refuse_unknown_switches
        && let Some(at) = fields.get("options")
    {
        switches::warn_of_refused(r, at, &policy);
    }
    Some(policy)
}

/// `SWITCH/PORT`.
fn read_port(
    r: &mut Reader,
    at: &At<'_>,
    switches: &BTreeMap<String, DatapathId>,
) -> Option<(DatapathId, PortNo)> {
    let wanted = "a port (SWITCH/PORT, as in s1/3 or 0x1/3)";
    let text = match at.node {
        yaml::Node::Text(text) => text,
        _ => {
            r.wrong(at, wanted);
            return None;
        }
    };
    match values::port(text, switches) {
        Ok(end) => return Some(end),
        Err(values::NoPort::Form) => r.wrong(at, wanted),
        Err(values::NoPort::Switch(name)) => {
            let note = r.error("unknown-switch", &at.place, format!("there is no switch {name}"));
            match nearest(&name, switches.keys().map(String::as_str)) {
                Some(near) => note.help(format!("did you mean {near}?")),
                None => note.help("name it under switches, or write its datapath id"),
            };
        }
        Err(values::NoPort::Number(number)) => {
            let message = format!("{number:?} is not a port number (from 1, or local)");
            r.error("wrong-value", &at.place, message);
        }
    }
    None
}

/// A name that cases use and that is none.
fn unknown_peer(r: &mut Reader, place: &Place, name: &str, what: &str, policy: &Policy) {
    let hosts = policy.hosts().map(|host| host.name.as_str());
    let near = nearest(name, hosts.chain(policy.slices().map(|(_, name)| name)));
    let note = r.error("unknown-host", place, format!("there is no {what} {name}"));
    if let Some(near) = near {
        note.help(format!("did you mean {near}?"));
    }
}

fn read_vid(r: &mut Reader, at: Option<&At<'_>>) -> Option<Vid> {
    match at {
        None => Some(Vid::Untagged),
        Some(at) => r.value(at, "a VLAN id (1 to 4094)", values::vlan).map(Vid::Tagged),
    }
}

fn read_hosts(r: &mut Reader, at: &At<'_>, policy: &Policy) -> Hosts {
    let mut hosts = Hosts::default();
    let mut macs: HashMap<_, Place> = HashMap::new();
    for (name, key, value) in r.entries(at, "a map of host names").unwrap_or_default() {
        let good = r.name(&name, &key, "host");
        let known = ["mac", "ip", "at", "vlan"];
        let Some(fields) = r.fields(&value, "a host ({mac: …, ip: …, at: …})", &known) else {
            continue;
        };
        let mac = match fields.get("mac") {
            Some(at) => match values::mac(at.node) {
                Ok(mac) => Some((mac, at.place.clone())),
                Err(wanted) => {
                    r.wrong(at, wanted);
                    None
                }
            },
            None => {
                r.error("no-mac", &key, format!("host {name} has no mac"));
                None
            }
        };
        let ip = fields
            .get("ip")
            .and_then(|at| r.value(at, "an IP address", |node| node.scalar()?.parse().ok()));
        let end = fields.get("at").and_then(|at| read_port(r, at, &policy.switches));
        let vid = read_vid(r, fields.get("vlan"));
        if let (Some(_), None) = (fields.get("vlan"), fields.get("at")) {
            r.error("vlan-without-port", &key, format!("host {name} has a vlan but no place"))
                .help("add at: SWITCH/PORT");
        }
        let (Some((mac, mac_place)), true) = (mac, good) else { continue };
        if let Some(first) = macs.get(&mac) {
            r.error("host-twice", &mac_place, format!("two hosts have the MAC address {mac}"))
                .other(first, "first here");
            continue;
        }
        macs.insert(mac, mac_place);
        let place = end.zip(vid).map(|((dpid, port), vid)| Attachment { dpid, port, vid });
        hosts.push(Host { name, mac, ip, at: place });
    }
    hosts.shrink();
    hosts
}

fn read_options(r: &mut Reader, at: &At<'_>) -> Options {
    let mut options = Options::default();
    let known = [
        "restrict_hosts",
        "loose",
        "reverse_flow",
        "arp_packet_out",
        "idle_timeout",
        "hard_timeout",
        "storm_rate",
        "filter_default",
        "match",
        "macs_on_foreign_ports",
        "links",
        "unknown_switches",
    ];
    let Some(fields) = r.fields(at, "a map of options", &known) else { return options };
    for (name, at) in fields.iter() {
        let mut flag = |target: &mut bool| {
            if let Some(value) = r.bool(at) {
                *target = value;
            }
        };
        match name {
            "restrict_hosts" => flag(&mut options.restrict_hosts),
            "loose" => flag(&mut options.loose),
            "reverse_flow" => flag(&mut options.reverse_flow),
            "arp_packet_out" => flag(&mut options.arp_packet_out),
            "idle_timeout" | "hard_timeout" => {
                let wanted = "a number of seconds (0 to 65535)";
                if let Some(seconds) = r.value(at, wanted, |node| values::up_to(node, 65535)) {
                    match name {
                        "idle_timeout" => options.idle_timeout = seconds as u16,
                        _ => options.hard_timeout = seconds as u16,
                    }
                }
            }
            "storm_rate" => {
                let wanted = "a number of packet-ins a second (1 to 1000000000)";
                let rate = r.value(at, wanted, |node| {
                    values::up_to(node, 1_000_000_000).filter(|rate| *rate > 0)
                });
                if let Some(rate) = rate {
                    options.storm_rate = rate as u32;
                }
            }
            "filter_default" => {
                if let Some(action) = filters::read_action(r, at) {
                    options.filter_default = action;
                }
            }
            "match" => choice(r, at, ["as_read", "exact"], &mut options.exact_match),
            "macs_on_foreign_ports" => {
                choice(r, at, ["admit", "refuse"], &mut options.refuse_macs_on_foreign_ports);
            }
            "unknown_switches" => {
                choice(r, at, ["accept", "refuse"], &mut options.refuse_unknown_switches);
            }
            _ => choice(r, at, ["discovered", "declared"], &mut options.declared_links),
        }
    }
    options
}

/// One of two words; the second sets `target`.
fn choice(r: &mut Reader, at: &At<'_>, words: [&str; 2], target: &mut bool) {
    let word = at.node.scalar();
    match words.iter().position(|known| Some(*known) == word.as_deref()) {
        Some(index) => *target = index == 1,
        None => r.wrong(at, &format!("{} or {}", words[0], words[1])),
    }
}

/// The place of an entry's key.
fn key_of(value: &Place) -> Place {
    let mut hops = value.0.clone();
    if let Some(Hop::Value(index)) = hops.last().copied() {
        hops.pop();
        hops.push(Hop::Key(index));
    }
    Place(hops)
}

#[cfg(test)]
mod rereading;
#[cfg(test)]
mod tests;

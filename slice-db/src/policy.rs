//! A policy: slices and their members, compiled for look-ups that do not depend on their number.
//! Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo};

use crate::cases::Case;
use crate::diagnostic::Diagnostic;
use crate::filter::{FilterAction, FilterTable, RuleId};
use crate::switches::CertificateOf;
use crate::yaml::{Place, locate};

pub(crate) type Map<K, V> = HashMap<K, V, RandomState>;

/// A slice: an index into the policy's slices, in the order of the file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SliceId(pub u32);

/// A member of a slice: an index into the policy's members, in the order of the file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MemberId(pub u32);

/// A host that the policy names. Naming it binds nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its MAC address.
    pub mac: MacAddr,
    /// Its IP address, for cases and labs.
    pub ip: Option<IpAddr>,
    /// Where it is, for cases and labs.
    pub at: Option<Attachment>,
}

/// What a member binds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Binding {
    /// A MAC address, wherever it is, or only at its pins.
    Mac {
        /// The address.
        mac: MacAddr,
        /// Where it may be; `None`: anywhere.
        only_at: Option<Vec<Attachment>>,
    },
    /// A MAC address on one attachment.
    PortMac {
        /// The attachment.
        at: Attachment,
        /// The address.
        mac: MacAddr,
    },
    /// Whoever is on an attachment.
    Port {
        /// The attachment.
        at: Attachment,
        /// Whether the policy, the slice or the member restricts it to listed hosts.
        restricted: bool,
    },
}

/// A member of a slice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its slice.
    pub slice: SliceId,
    /// Its id, given or made: unique in its slice.
    pub id: Box<str>,
    /// What it binds.
    pub binding: Binding,
    /// Where it stands in the file: entry of `slices`, item of `members`.
    pub(crate) place: (u32, u32),
}

/// A static point of a slice: where frames of the slice may be delivered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Point {
    /// The attachment.
    pub at: Attachment,
    /// For whom: this MAC and group frames, or anybody.
    pub only: Option<MacAddr>,
}

/// A slice of the policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Slice {
    pub(crate) name: Box<str>,
    pub(crate) description: Box<str>,
    pub(crate) members: std::ops::Range<u32>,
    /// Sorted.
    pub(crate) points: Vec<Point>,
    pub(crate) has_macs: bool,
    pub(crate) restricted: bool,
}

/// How the whole network behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Ports admit only listed hosts.
    pub restrict_hosts: bool,
    /// Floods of slices with MAC members also go to ports that no other slice claims.
    pub loose: bool,
    /// Replies get a way back with the first frame.
    pub reverse_flow: bool,
    /// ARP is forwarded frame by frame.
    pub arp_packet_out: bool,
    /// Seconds without traffic until a flow ends; 0 never.
    pub idle_timeout: u16,
    /// Seconds until a flow ends in any case; 0 never.
    pub hard_timeout: u16,
    /// What happens to a frame that no filter matches.
    pub filter_default: FilterAction,
    /// Flows match every field of OpenFlow 1.0, not only those that were read.
    pub exact_match: bool,
    /// A MAC-bound host on a port of another slice is refused.
    pub refuse_macs_on_foreign_ports: bool,
    /// Only the links of the policy are allowed.
    pub declared_links: bool,
    /// Only the switches of the policy may join.
    pub refuse_unknown_switches: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            restrict_hosts: false,
            loose: false,
            reverse_flow: false,
            arp_packet_out: false,
            idle_timeout: 60,
            hard_timeout: 0,
            filter_default: FilterAction::Allow,
            exact_match: false,
            refuse_macs_on_foreign_ports: false,
            declared_links: false,
            refuse_unknown_switches: false,
        }
    }
}

/// A port of a switch.
pub(crate) type End = (DatapathId, PortNo);

/// A policy. Immutable; share it by `Arc`.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) file: Arc<str>,
    pub(crate) text: Arc<str>,
    pub(crate) switches: BTreeMap<String, DatapathId>,
    pub(crate) switch_names: BTreeMap<DatapathId, String>,
    /// What switches must show when they join.
    pub(crate) certificates: BTreeMap<DatapathId, CertificateOf>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) hosts_by_name: HashMap<String, usize>,
    pub(crate) slices: Vec<Slice>,
    pub(crate) slices_by_name: Map<Box<str>, SliceId>,
    pub(crate) members: Vec<Member>,
    pub(crate) by_mac: Map<MacAddr, MemberId>,
    pub(crate) by_port_mac: Map<(Attachment, MacAddr), MemberId>,
    pub(crate) by_port: Map<Attachment, MemberId>,
    /// Slices with a static point at an attachment; ends with any VLAN under their untagged form.
    pub(crate) slices_at: Map<Attachment, Vec<SliceId>>,
    /// Slices with a port or port+MAC binding anywhere on a port, whatever the VLAN.
    pub(crate) slices_on: Map<End, Vec<SliceId>>,
    /// Ports with any binding or pin.
    pub(crate) bound: BTreeSet<End>,
    pub(crate) filters: FilterTable,
    pub(crate) links: Vec<(End, End)>,
    /// Interfaces of the machine that labs plug into ports.
    pub(crate) interfaces: Vec<(End, String)>,
    pub(crate) options: Options,
    pub(crate) cases: Vec<Case>,
    /// Places of the file that are looked up on demand.
    pub(crate) slices_entry: Option<u32>,
    pub(crate) filters_entry: Option<u32>,
    pub(crate) cases_entry: Option<u32>,
    pub(crate) member_entries: Vec<u32>,
}

impl Policy {
    /// Reads a policy file. `file` is its name for messages.
    ///
    /// # Errors
    /// All of the file's mistakes, in the order of the file. Warnings come with a policy that can
    /// be used.
    pub fn parse(file: &str, text: &str) -> Result<(Policy, Vec<Diagnostic>), Vec<Diagnostic>> {
        crate::parse::parse(file, text)
    }

    /// The file that it was read from.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The switches that it names, by name.
    pub fn switches(&self) -> impl Iterator<Item = (&str, DatapathId)> {
        self.switches.iter().map(|(name, dpid)| (name.as_str(), *dpid))
    }

    /// The switches that must show a certificate, in order of their datapath ids.
    pub fn certificates(&self) -> impl Iterator<Item = (DatapathId, &CertificateOf)> {
        self.certificates.iter().map(|(dpid, certificate)| (*dpid, certificate))
    }

    /// A switch as the policy writes it: its name, or its datapath id.
    pub fn switch_name(&self, dpid: DatapathId) -> String {
        self.switch_names.get(&dpid).cloned().unwrap_or_else(|| dpid.to_string())
    }

    /// An attachment as the policy writes it: `s1/3`, `s1/3 vlan 20`.
    pub fn attachment_name(&self, at: Attachment) -> String {
        let place = format!("{}/{}", self.switch_name(at.dpid), at.port);
        match at.vid {
            umlaut_openflow::Vid::Untagged => place,
            umlaut_openflow::Vid::Tagged(vid) => format!("{place} vlan {vid}"),
        }
    }

    /// The hosts that it names, in the order of the file.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter()
    }

    /// A host by name.
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts_by_name.get(name).map(|index| &self.hosts[*index])
    }

    /// A MAC address with the name of its host, if it has one.
    pub fn mac_name(&self, mac: MacAddr) -> String {
        match self.hosts.iter().find(|host| host.mac == mac) {
            Some(host) => format!("{} ({mac})", host.name),
            None => mac.to_string(),
        }
    }

    /// The slices with their names, in the order of the file.
    pub fn slices(&self) -> impl Iterator<Item = (SliceId, &str)> {
        self.slices.iter().enumerate().map(|(id, slice)| (SliceId(id as u32), &*slice.name))
    }

    /// A slice by name.
    pub fn slice(&self, name: &str) -> Option<SliceId> {
        self.slices_by_name.get(name).copied()
    }

    pub(crate) fn slice_at(&self, id: SliceId) -> &Slice {
        // Ids are made by this policy only.
        &self.slices[id.0 as usize]
    }

    /// A slice's name.
    pub fn slice_name(&self, id: SliceId) -> &str {
        self.slices.get(id.0 as usize).map_or("?", |slice| &slice.name)
    }

    /// Whether the ports of a slice admit only listed hosts; a member may restrict itself.
    pub fn is_restricted(&self, id: SliceId) -> bool {
        self.slices.get(id.0 as usize).is_some_and(|slice| slice.restricted)
    }

    /// A slice's description; empty if it has none.
    pub fn slice_description(&self, id: SliceId) -> &str {
        self.slices.get(id.0 as usize).map_or("", |slice| &slice.description)
    }

    /// A member.
    pub fn member(&self, id: MemberId) -> &Member {
        &self.members[id.0 as usize]
    }

    /// The members of a slice, in the order of the file.
    pub fn members(&self, slice: SliceId) -> impl Iterator<Item = (MemberId, &Member)> {
        self.slice_at(slice).members.clone().map(|id| (MemberId(id), self.member(MemberId(id))))
    }

    /// Where frames of a slice may be delivered whoever has spoken, in order.
    pub fn static_points(&self, slice: SliceId) -> &[Point] {
        &self.slice_at(slice).points
    }

    /// Whether a slice has MAC members.
    pub fn has_mac_members(&self, slice: SliceId) -> bool {
        self.slice_at(slice).has_macs
    }

    /// The slice that a MAC address is bound to, wherever it is.
    pub fn slice_of_mac(&self, mac: MacAddr) -> Option<SliceId> {
        self.by_mac.get(&mac).map(|member| self.member(*member).slice)
    }

    /// Whether a port is bound or pinned in any way: an edge for ever.
    pub fn is_bound_port(&self, dpid: DatapathId, port: PortNo) -> bool {
        self.bound.contains(&(dpid, port))
    }

    /// All bound or pinned ports, in order.
    pub fn bound_ports(&self) -> impl Iterator<Item = (DatapathId, PortNo)> + '_ {
        self.bound.iter().copied()
    }

    /// Slices with a static point at an attachment.
    pub(crate) fn slices_at(&self, at: Attachment) -> &[SliceId] {
        self.slices_at.get(&at).map_or(&[], Vec::as_slice)
    }

    /// Slices with a static point on a port, whatever the VLAN.
    pub fn slices_on(&self, end: (DatapathId, PortNo)) -> &[SliceId] {
        self.slices_on.get(&end).map_or(&[], Vec::as_slice)
    }

    /// The slices in which a refused sender may be remembered as a destination: those with a static
    /// point on its port.
    pub(crate) fn tentative_slices(&self, refusal: Refusal, at: Attachment) -> &[SliceId] {
        match refusal {
            Refusal::NoBinding | Refusal::Restricted => self.slices_on((at.dpid, at.port)),
            Refusal::PinnedElsewhere | Refusal::ForeignPort => &[],
        }
    }

    /// The options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The network interfaces of the machine that labs plug into ports, by port; for labs only.
    pub fn interfaces(&self) -> impl Iterator<Item = ((DatapathId, PortNo), &str)> + '_ {
        self.interfaces.iter().map(|(end, name)| (*end, name.as_str()))
    }

    /// The links that it declares.
    pub fn links(&self) -> impl Iterator<Item = (End, End)> + '_ {
        self.links.iter().copied()
    }

    /// The cases, in the order of the file.
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// The number of filter rules.
    pub fn filter_count(&self) -> usize {
        self.filters.len()
    }

    /// A filter's id.
    pub fn filter_name(&self, rule: RuleId) -> &str {
        self.filters.name(rule)
    }

    /// The line of a member in the file.
    pub fn member_line(&self, id: MemberId) -> Option<usize> {
        use crate::yaml::Hop::{Item, Value};
        let (slice, item) = self.member(id).place;
        let members = *self.member_entries.get(slice as usize)?;
        let place =
            Place(vec![Value(self.slices_entry?), Value(slice), Value(members), Item(item)]);
        Some(locate(&self.text, &place)?.line)
    }

    /// The line of a filter in the file.
    pub fn filter_line(&self, rule: RuleId) -> Option<usize> {
        use crate::yaml::Hop::{Item, Value};
        let place = Place(vec![Value(self.filters_entry?), Item(self.filters.item(rule))]);
        Some(locate(&self.text, &place)?.line)
    }

    /// The line of a case in the file.
    pub fn case_line(&self, case: &Case) -> Option<usize> {
        use crate::yaml::Hop::{Item, Value};
        let place = Place(vec![Value(self.cases_entry?), Item(case.item)]);
        Some(locate(&self.text, &place)?.line)
    }

    /// A line of the file, trimmed.
    pub fn line(&self, line: usize) -> &str {
        self.text.lines().nth(line.saturating_sub(1)).unwrap_or("").trim()
    }
}

/// By which kind of member a sender was admitted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AdmittedBy {
    /// Its MAC address.
    Mac,
    /// Its MAC address on its port.
    PortMac,
    /// Its port.
    Port,
}

/// A sender may speak in a slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Admission {
    /// The slice.
    pub slice: SliceId,
    /// By which kind of member.
    pub by: AdmittedBy,
    /// By which member.
    pub member: MemberId,
}

/// Why a sender may not speak.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// Its MAC address is pinned to other ports.
    PinnedElsewhere,
    /// Its MAC address is bound, but the port belongs to another slice and the policy refuses that.
    ForeignPort,
    /// Its port admits only listed hosts.
    Restricted,
    /// Nothing binds it.
    NoBinding,
}

/// In which slice a sender may speak: its MAC binding, then the port+MAC binding, then the port
/// binding.
///
/// # Errors
/// The refusal that applies first.
pub fn admit(policy: &Policy, at: Attachment, src: MacAddr) -> Result<Admission, Refusal> {
    if let Some(id) = policy.by_mac.get(&src) {
        let member = policy.member(*id);
        let Binding::Mac { only_at, .. } = &member.binding else { return Err(Refusal::NoBinding) };
        if only_at.as_ref().is_some_and(|pins| !pins.contains(&at)) {
            return Err(Refusal::PinnedElsewhere);
        }
        if policy.options.refuse_macs_on_foreign_ports
            && policy
                .by_port
                .get(&at)
                .is_some_and(|port| policy.member(*port).slice != member.slice)
        {
            return Err(Refusal::ForeignPort);
        }
        return Ok(Admission { slice: member.slice, by: AdmittedBy::Mac, member: *id });
    }
    if let Some(id) = policy.by_port_mac.get(&(at, src)) {
        let slice = policy.member(*id).slice;
        return Ok(Admission { slice, by: AdmittedBy::PortMac, member: *id });
    }
    let Some(id) = policy.by_port.get(&at) else { return Err(Refusal::NoBinding) };
    let member = policy.member(*id);
    match member.binding {
        Binding::Port { restricted: false, .. } => {
            Ok(Admission { slice: member.slice, by: AdmittedBy::Port, member: *id })
        }
        _ => Err(Refusal::Restricted),
    }
}

/// Whether the place of a host may be guessed: it is refused there as a sender, and the slice has a
/// static point on that port.
pub fn may_be_guessed(policy: &Policy, slice: SliceId, at: Attachment, mac: MacAddr) -> bool {
    admit(policy, at, mac)
        .err()
        .is_some_and(|refusal| policy.tentative_slices(refusal, at).contains(&slice))
}

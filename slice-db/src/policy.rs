//! A policy: slices and their members, compiled for look-ups that do not depend on their number.
//! Pure.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::SmallVec;
use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo};

use crate::cases::Case;
use crate::diagnostic::Diagnostic;
use crate::filter::{FilterAction, FilterTable, RuleId};
use crate::hosts::Hosts;
use crate::layout::Layout;
use crate::members::{Kind, Members};
use crate::switches::CertificateOf;
use crate::yaml::{Hop, Place};

pub(crate) type Map<K, V> = HashMap<K, V, RandomState>;

/// A slice: an index into the policy's slices, in the order of the file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SliceId(pub u32);

/// A member of a slice. What number it has says nothing of its place; over an edit of the file that
/// does not touch it, it may keep the number.
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
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Slice {
    pub(crate) name: Box<str>,
    pub(crate) description: Box<str>,
    /// The slots of its members, in the order of the file: each is the item of the file's list.
    pub(crate) members: Vec<u32>,
    /// The slots of its static points, sorted by point.
    pub(crate) points: Vec<u32>,
    /// How many members bind a MAC address wherever it is, or at pins.
    pub(crate) macs: u32,
    pub(crate) restricted: bool,
    /// The entry of its map that lists the members.
    pub(crate) entry: Option<u32>,
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
    /// Packet-ins a second that a slice may cause on one port, and at once.
    pub storm_rate: u32,
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
            storm_rate: 2000,
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

/// A policy. Immutable; cheap to clone: what is large is shared.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) file: Arc<str>,
    pub(crate) text: Arc<String>,
    pub(crate) switches: Arc<BTreeMap<String, DatapathId>>,
    pub(crate) switch_names: Arc<BTreeMap<DatapathId, String>>,
    /// What switches must show when they join.
    pub(crate) certificates: Arc<BTreeMap<DatapathId, CertificateOf>>,
    pub(crate) hosts: Arc<Hosts>,
    /// In the order of the file: each is the entry of the file's map.
    pub(crate) slices: Vec<Arc<Slice>>,
    pub(crate) slices_by_name: Arc<Map<Box<str>, SliceId>>,
    pub(crate) bindings: Members,
    pub(crate) filters: Arc<FilterTable>,
    pub(crate) links: Arc<Vec<(End, End)>>,
    /// Interfaces of the machine that labs plug into ports.
    pub(crate) interfaces: Arc<Vec<(End, String)>>,
    pub(crate) options: Options,
    pub(crate) cases: Arc<Vec<Case>>,
    /// Places of the file that are looked up on demand.
    pub(crate) slices_entry: Option<u32>,
    pub(crate) filters_entry: Option<u32>,
    pub(crate) cases_entry: Option<u32>,
    /// Where the text lists members line by line.
    pub(crate) layout: Layout,
    /// What was told when the file was read.
    pub(crate) warnings: Arc<Vec<Diagnostic>>,
}

/// The ports that a policy binds or pins: edges for ever. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BoundPorts(Members);

impl BoundPorts {
    /// Whether a port is one of them.
    pub fn contains(&self, dpid: DatapathId, port: PortNo) -> bool {
        self.0.is_claimed((dpid, port))
    }
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

    /// As [`Policy::parse`], without a copy of the text.
    ///
    /// # Errors
    /// All of the file's mistakes.
    pub fn read(
        file: &str,
        text: impl Into<Arc<String>>,
    ) -> Result<(Policy, Vec<Diagnostic>), Vec<Diagnostic>> {
        crate::parse::read(file, text.into())
    }

    /// Reads the file once more, of which this is the policy. Where only some members were changed,
    /// added or removed, only these are read, and the new policy shares the rest with this one; what
    /// comes out is the same as that of [`Policy::read`].
    ///
    /// # Errors
    /// All of the file's mistakes.
    pub fn reread(
        &self,
        text: impl Into<Arc<String>>,
    ) -> Result<(Policy, Vec<Diagnostic>), Vec<Diagnostic>> {
        let text = text.into();
        match crate::parse::edited(self, &text) {
            Some(policy) => {
                let warnings = policy.warnings.to_vec();
                Ok((policy, warnings))
            }
            None => crate::parse::read(&self.file, text),
        }
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
        self.hosts.list().iter()
    }

    /// A host by name.
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.by_name(name)
    }

    /// The host that has a MAC address.
    pub fn host_of(&self, mac: MacAddr) -> Option<&Host> {
        self.hosts.by_mac(mac)
    }

    /// A MAC address with the name of its host, if it has one.
    pub fn mac_name(&self, mac: MacAddr) -> String {
        match self.host_of(mac) {
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

    /// Whether its slices are known to be those of another policy, in the same order: one was read as
    /// an edit of the other, and only members were changed.
    pub fn has_slices_of(&self, other: &Policy) -> bool {
        Arc::ptr_eq(&self.slices_by_name, &other.slices_by_name)
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
    pub fn member(&self, id: MemberId) -> Member {
        let binding = self.bindings.binding(id.0);
        let id_of = || match self.bindings.id(id.0) {
            Some(id) => id.into(),
            None => self.made_id(&binding),
        };
        Member { slice: self.slice_of(id), id: id_of(), binding }
    }

    /// The id of a member that was given none.
    fn made_id(&self, binding: &Binding) -> Box<str> {
        match binding {
            Binding::Mac { mac, .. } => mac.to_string().into(),
            Binding::PortMac { at, mac } => format!("{} {mac}", self.attachment_name(*at)).into(),
            Binding::Port { at, .. } => self.attachment_name(*at).into(),
        }
    }

    /// The slice of a member.
    pub(crate) fn slice_of(&self, id: MemberId) -> SliceId {
        self.bindings.entry(id.0).slice
    }

    /// The members of a slice, in the order of the file.
    pub fn members(&self, slice: SliceId) -> impl Iterator<Item = (MemberId, Member)> {
        let slots = self.slice_at(slice).members.iter();
        slots.map(|slot| (MemberId(*slot), self.member(MemberId(*slot))))
    }

    /// How many members a slice has.
    pub fn member_count(&self, slice: SliceId) -> usize {
        self.slice_at(slice).members.len()
    }

    /// The member that binds a MAC address wherever it is, or at pins.
    pub(crate) fn by_mac(&self, mac: MacAddr) -> Option<MemberId> {
        self.bindings.by_mac(mac).map(|(slot, _)| MemberId(slot))
    }

    /// The member that binds a MAC address on an attachment.
    pub(crate) fn by_port_mac(&self, at: Attachment, mac: MacAddr) -> Option<MemberId> {
        self.bindings.by_port_mac(at, mac).map(|(slot, _)| MemberId(slot))
    }

    /// The member that binds an attachment.
    pub(crate) fn by_port(&self, at: Attachment) -> Option<MemberId> {
        self.bindings.by_port(at).map(|(slot, _)| MemberId(slot))
    }

    /// Where frames of a slice may be delivered whoever has spoken, in order.
    pub fn static_points(&self, slice: SliceId) -> impl Iterator<Item = Point> {
        self.points_of(&self.slice_at(slice).points)
    }

    /// As [`Policy::static_points`], those on one port.
    pub(crate) fn static_points_on(&self, slice: SliceId, end: End) -> impl Iterator<Item = Point> {
        let points = &self.slice_at(slice).points;
        let end_of = |slot: u32| {
            let at = self.bindings.entry(slot).at;
            (at.dpid, at.port)
        };
        let from = points.partition_point(|slot| end_of(*slot) < end);
        let here = move |point: &Point| (point.at.dpid, point.at.port) == end;
        self.points_of(&points[from..]).take_while(here)
    }

    fn points_of<'a>(&'a self, slots: &'a [u32]) -> impl Iterator<Item = Point> + 'a {
        let mut last = None;
        let points = slots.iter().filter_map(|slot| self.bindings.entry(*slot).point());
        // A MAC address may be bound and pinned to one place.
        points.filter(move |point| last.replace(*point) != Some(*point))
    }

    /// Whether a slice has MAC members.
    pub fn has_mac_members(&self, slice: SliceId) -> bool {
        self.slice_at(slice).macs > 0
    }

    /// The slice that a MAC address is bound to, wherever it is.
    pub fn slice_of_mac(&self, mac: MacAddr) -> Option<SliceId> {
        self.bindings.by_mac(mac).map(|(_, member)| member.slice)
    }

    /// Whether a port is bound or pinned in any way: an edge for ever.
    pub fn is_bound_port(&self, dpid: DatapathId, port: PortNo) -> bool {
        self.bindings.is_claimed((dpid, port))
    }

    /// All bound or pinned ports, in order.
    pub fn bound_ports(&self) -> impl Iterator<Item = (DatapathId, PortNo)> + use<> {
        let mut ports: Vec<End> = self.bindings.claimed().collect();
        ports.sort_unstable();
        ports.into_iter()
    }

    /// The bound or pinned ports, to ask for single ones.
    pub fn bound(&self) -> BoundPorts {
        BoundPorts(self.bindings.clone())
    }

    /// Whether another slice than this has a static point at an attachment.
    pub(crate) fn is_foreign(&self, at: Attachment, slice: SliceId) -> bool {
        self.bindings.is_foreign(at, slice)
    }

    /// Slices with a static point on a port, whatever the VLAN, in order.
    pub fn slices_on(&self, end: (DatapathId, PortNo)) -> SmallVec<[SliceId; 4]> {
        let mut slices: SmallVec<[SliceId; 4]> =
            self.bindings.claims(end).map(|(_, slice)| slice).collect();
        slices.sort_unstable();
        slices.dedup();
        slices
    }

    /// Whether another slice than this has a static point on a port.
    pub(crate) fn is_shared(&self, end: End, slice: SliceId) -> bool {
        self.bindings.claims(end).any(|(_, other)| other != slice)
    }

    /// The slices in which a refused sender may be remembered as a destination: those with a static
    /// point on its port.
    pub(crate) fn tentative_slices(
        &self,
        refusal: Refusal,
        at: Attachment,
    ) -> SmallVec<[SliceId; 4]> {
        match refusal {
            Refusal::NoBinding | Refusal::Restricted => self.slices_on((at.dpid, at.port)),
            Refusal::PinnedElsewhere | Refusal::ForeignPort => SmallVec::new(),
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
        self.line_of(&self.member_place(id)?)
    }

    /// Where a member stands.
    pub(crate) fn member_place(&self, id: MemberId) -> Option<Place> {
        let slice = self.slice_of(id);
        let item = self.slice_at(slice).members.iter().position(|slot| *slot == id.0)?;
        let members = self.slice_at(slice).entry?;
        let hops = [Hop::Value(self.slices_entry?), Hop::Value(slice.0), Hop::Value(members)];
        Some(Place([&hops[..], &[Hop::Item(item as u32)]].concat()))
    }

    fn line_of(&self, place: &Place) -> Option<usize> {
        Some(self.layout.locate(&self.text, place)?.line)
    }

    /// The line of a filter in the file.
    pub fn filter_line(&self, rule: RuleId) -> Option<usize> {
        let item = Hop::Item(self.filters.item(rule));
        self.line_of(&Place(vec![Hop::Value(self.filters_entry?), item]))
    }

    /// The line of a case in the file.
    pub fn case_line(&self, case: &Case) -> Option<usize> {
        self.line_of(&Place(vec![Hop::Value(self.cases_entry?), Hop::Item(case.item)]))
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
    let members = &policy.bindings;
    let admitted = |by, id, slice| Ok(Admission { slice, by, member: MemberId(id) });
    if let Some((id, member)) = members.by_mac(src) {
        if member.kind == Kind::PinnedMac && !members.is_pinned_to(src, at) {
            return Err(Refusal::PinnedElsewhere);
        }
        if policy.options.refuse_macs_on_foreign_ports
            && members.by_port(at).is_some_and(|(_, port)| port.slice != member.slice)
        {
            return Err(Refusal::ForeignPort);
        }
        return admitted(AdmittedBy::Mac, id, member.slice);
    }
    if let Some((id, member)) = members.by_port_mac(at, src) {
        return admitted(AdmittedBy::PortMac, id, member.slice);
    }
    let Some((id, member)) = members.by_port(at) else { return Err(Refusal::NoBinding) };
    match member.kind {
        Kind::Port => admitted(AdmittedBy::Port, id, member.slice),
        _ => Err(Refusal::Restricted),
    }
}

/// Whether nobody speaks at an attachment in another slice than this; with `None`, whether nobody
/// speaks there at all. It may say no where that is so: hosts bound by their MAC address wherever they
/// are, or at pins, may be anywhere for it.
pub fn no_other_speaks(policy: &Policy, at: Attachment, slice: Option<SliceId>) -> bool {
    let members = &policy.bindings;
    let mut claims = members.claims((at.dpid, at.port));
    if claims.any(|(vid, other)| vid == at.vid && Some(other) != slice) {
        return false;
    }
    let refused_here = || {
        let port = members.by_port(at).map(|(_, port)| port.slice);
        policy.options.refuse_macs_on_foreign_ports && port.is_some() && port == slice
    };
    let all = (0..).map(SliceId).zip(&policy.slices);
    let mut others = all.filter(|(id, _)| Some(*id) != slice);
    refused_here() || others.all(|(_, other)| other.macs == 0)
}

/// Whether the place of a host may be guessed: it is refused there as a sender, and the slice has a
/// static point on that port.
pub fn may_be_guessed(policy: &Policy, slice: SliceId, at: Attachment, mac: MacAddr) -> bool {
    match admit(policy, at, mac) {
        Err(Refusal::NoBinding | Refusal::Restricted) => {
            policy.bindings.claims((at.dpid, at.port)).any(|(_, on)| on == slice)
        }
        Err(Refusal::PinnedElsewhere | Refusal::ForeignPort) | Ok(_) => false,
    }
}

//! The decision: what happens to a frame. Pure; the only place where it is decided.
//!
//! ```text
//! frame sane? ─▶ admission ─▶ may it be here? ─▶ filters ─▶ destination ─┬▶ forward
//!      │             │ refused      │ move guard     │ deny      │       ├▶ flood
//!      ▼             ▼              ▼                ▼           ▼       ▼
//!    drop          drop           drop             drop     other slice, same port, no way: drop
//! ```

use smallvec::SmallVec;
use umlaut_openflow::packet::Headers;
use umlaut_openflow::{Attachment, DatapathId, FieldSet, MacAddr, PortNo};

use crate::filter::{FilterAction, RuleId, Subject};
use crate::members::{Entry, Kind};
use crate::network::{Location, Network, PortRole};
use crate::policy::{Admission, Point, Policy, Refusal, SliceId, admit};

/// A frame where it came in.
#[derive(Clone, Copy, Debug)]
pub struct Ingress<'a> {
    /// The switch.
    pub dpid: DatapathId,
    /// The port.
    pub port: PortNo,
    /// The frame.
    pub headers: &'a Headers,
}

/// Why a frame is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum DropReason {
    /// It has a second VLAN tag, or an outer one that is not 802.1Q.
    DoubleTag,
    /// It carries VID 4095.
    ReservedVid,
    /// Its source is a group address or zero.
    BadSource,
    /// Its destination is one that bridges never forward to, or LLDP.
    ReservedDestination,
    /// Nothing binds its sender.
    NoBinding,
    /// Its port admits only listed hosts.
    Restricted,
    /// Its sender is pinned to other ports.
    PinnedElsewhere,
    /// Its sender is bound by MAC but stands on another slice's port, and the policy refuses that.
    ForeignPort,
    /// Its sender was elsewhere a moment ago.
    MoveGuard,
    /// A filter denies it.
    Filtered(RuleId),
    /// No filter matches it and the policy denies by default.
    FilterDefault,
    /// Its destination is bound to another slice.
    OtherSlice,
    /// Its destination is where it came from.
    SamePort,
    /// Its destination is known but cannot be reached now.
    NoPath,
    /// There is nobody to flood it to.
    NoReceivers,
}

impl DropReason {
    /// A stable name: for logs, metrics and cases.
    pub const fn code(self) -> &'static str {
        match self {
            DropReason::DoubleTag => "double-tag",
            DropReason::ReservedVid => "reserved-vid",
            DropReason::BadSource => "bad-source",
            DropReason::ReservedDestination => "reserved-destination",
            DropReason::NoBinding => "no-binding",
            DropReason::Restricted => "restricted",
            DropReason::PinnedElsewhere => "pinned-elsewhere",
            DropReason::ForeignPort => "foreign-port",
            DropReason::MoveGuard => "move-guard",
            DropReason::Filtered(_) => "filtered",
            DropReason::FilterDefault => "filter-default",
            DropReason::OtherSlice => "other-slice",
            DropReason::SamePort => "same-port",
            DropReason::NoPath => "no-path",
            DropReason::NoReceivers => "no-receivers",
        }
    }

    /// All codes.
    pub const CODES: [&'static str; 15] = [
        "double-tag",
        "reserved-vid",
        "bad-source",
        "reserved-destination",
        "no-binding",
        "restricted",
        "pinned-elsewhere",
        "foreign-port",
        "move-guard",
        "filtered",
        "filter-default",
        "other-slice",
        "same-port",
        "no-path",
        "no-receivers",
    ];
}

impl From<Refusal> for DropReason {
    fn from(refusal: Refusal) -> DropReason {
        match refusal {
            Refusal::PinnedElsewhere => DropReason::PinnedElsewhere,
            Refusal::ForeignPort => DropReason::ForeignPort,
            Refusal::Restricted => DropReason::Restricted,
            Refusal::NoBinding => DropReason::NoBinding,
        }
    }
}

/// What happens to a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing more.
    Drop(DropReason),
    /// It goes to all of these, in order, each once.
    Flood {
        /// Where.
        outputs: Vec<Attachment>,
    },
    /// It goes there.
    Forward {
        /// Where.
        to: Attachment,
    },
}

/// What was decided, and on what grounds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// In which slice the sender speaks, or why it may not. Frames that are dropped before that is
    /// asked count as refused for want of a binding.
    pub admission: Result<Admission, Refusal>,
    /// The filter that decided, if one matched.
    pub rule: Option<RuleId>,
    /// Every field of the frame that the decision read.
    pub reads: FieldSet,
    /// What happens.
    pub verdict: Verdict,
    /// Slices in which a refused sender may be remembered as a destination.
    pub tentative: SmallVec<[SliceId; 4]>,
}

/// A step of the decision, for those who want to follow it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The frame is one that may be forwarded at all.
    Sane,
    /// The sender was admitted.
    Admitted(Admission),
    /// The sender was refused.
    Refused(Refusal),
    /// The host table would take the sighting.
    MayAppear(bool),
    /// The filters said.
    Filtered {
        /// The rule, or the default.
        rule: Option<RuleId>,
        /// What it says.
        action: FilterAction,
    },
    /// The destination is a group.
    Group,
    /// The destination is bound to another slice.
    BoundElsewhere(SliceId),
    /// The destination is located.
    Located(Location),
    /// The destination is not located, or not at a point of the slice.
    Unlocated,
}

/// Follows a decision.
pub trait Trace {
    /// A step was taken.
    fn step(&mut self, step: Step);
}

/// Follows nothing and costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoTrace;

impl Trace for NoTrace {
    fn step(&mut self, _: Step) {}
}

/// Whether a point of a slice takes a frame to `dst`: not if `dst` is bound or pinned elsewhere,
/// else as the point says.
///
/// A static point for anybody takes every frame of the slice; one for a MAC takes that MAC's frames
/// and group frames.
pub fn receives(policy: &Policy, slice: SliceId, point: Point, dst: MacAddr) -> bool {
    if !dst.is_group() && !may_be_at(policy, slice, point.at, dst) {
        return false;
    }
    point.only.is_none_or(|mac| mac == dst || dst.is_group())
}

/// Whether the MAC bindings let a host of this slice be there.
fn may_be_at(policy: &Policy, slice: SliceId, at: Attachment, mac: MacAddr) -> bool {
    match policy.bindings.by_mac(mac) {
        None => true,
        Some((_, member)) if member.slice != slice => false,
        Some((_, member)) if member.kind == Kind::PinnedMac => {
            policy.bindings.is_pinned_to(mac, at)
        }
        Some(_) => true,
    }
}

/// Whether a learned point (a MAC-bound host of the slice was admitted there) takes a frame: for
/// MACs bound to the slice and for groups; where another slice has a static point, only for that
/// host.
fn learned_receives(
    policy: &Policy,
    slice: SliceId,
    at: Attachment,
    host: MacAddr,
    dst: MacAddr,
) -> bool {
    let foreign = policy.is_foreign(at, slice);
    if foreign || !dst.is_group() {
        return dst == host || !foreign && bound_here(policy, slice, at, dst);
    }
    true
}

fn bound_here(policy: &Policy, slice: SliceId, at: Attachment, mac: MacAddr) -> bool {
    policy.slice_of_mac(mac) == Some(slice) && may_be_at(policy, slice, at, mac)
}

/// The member that binds a destination by its MAC address.
type Bound<'a> = Option<&'a Entry>;

/// Whether any point of the slice where `dst` is located takes a frame to it. `bound` is the member
/// that binds it by its MAC address, which is none of another slice.
fn takes(
    policy: &Policy,
    slice: SliceId,
    located: Location,
    dst: MacAddr,
    bound: Bound<'_>,
) -> bool {
    // The static points there are those for anybody, for `dst`, and for others: looked up and not
    // searched for, however many points the slice has.
    let (members, at) = (&policy.bindings, located.at);
    match bound.map(|member| member.kind) {
        // Each pin is a static point.
        Some(Kind::PinnedMac) => return members.is_pinned_to(dst, at),
        // It makes its own learned point.
        Some(_) if !located.tentative => return true,
        _ => {}
    }
    let of_slice = |found: Option<(u32, &Entry)>| found.is_some_and(|(_, m)| m.slice == slice);
    of_slice(members.by_port(at)) || of_slice(members.by_port_mac(at, dst))
}

/// Decides what happens to a frame. Reads only its arguments; the same arguments give the same
/// decision.
pub fn decide<N: Network, T: Trace>(
    policy: &Policy,
    network: &N,
    ingress: Ingress<'_>,
    trace: &mut T,
) -> Decision {
    let Headers { eth_src: src, eth_dst: dst, .. } = *ingress.headers;
    let asked = Asked {
        admission: |at| admit(policy, at, src),
        destination: |slice| destination(policy, network, slice, dst),
    };
    decide_asked(policy, network, ingress, asked, trace)
}

/// What a decision asks about the two hosts of a frame, for who has asked already. Each is called at
/// most once, and only if the decision comes to it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<A, D> {
    /// What [`admit`] says of the sender at its attachment.
    pub admission: A,
    /// What [`destination`] says of the receiver, which is no group.
    pub destination: D,
}

/// Where a slice's frames for one host go, by policy and host table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Destination {
    /// It is bound to another slice.
    Elsewhere(SliceId),
    /// It is at a point of the slice.
    At {
        /// Where the host table says that it is.
        location: Location,
        /// The point there.
        to: Attachment,
    },
    /// It is not located, or not at a point of the slice.
    Unlocated,
}

/// Says where a slice's frames for a host go, that is no group.
pub fn destination<N: Network>(
    policy: &Policy,
    network: &N,
    slice: SliceId,
    dst: MacAddr,
) -> Destination {
    let bound = policy.bindings.by_mac(dst).map(|(_, member)| member);
    if let Some(other) = bound.map(|member| member.slice).filter(|other| *other != slice) {
        return Destination::Elsewhere(other);
    }
    let at = |location: Location| {
        let to = point_of(policy, slice, location, dst, bound)?;
        Some(Destination::At { location, to })
    };
    network.locate(slice, dst).and_then(at).unwrap_or(Destination::Unlocated)
}

/// As [`decide`], with what was asked already.
pub fn decide_asked<N, T, A, D>(
    policy: &Policy,
    network: &N,
    ingress: Ingress<'_>,
    asked: Asked<A, D>,
    trace: &mut T,
) -> Decision
where
    N: Network,
    T: Trace,
    A: FnOnce(Attachment) -> Result<Admission, Refusal>,
    D: FnOnce(SliceId) -> Destination,
{
    let headers = ingress.headers;
    let mut decision = Decision {
        admission: Err(Refusal::NoBinding),
        rule: None,
        reads: FieldSet::LAYER_2,
        verdict: Verdict::Drop(DropReason::NoBinding),
        tentative: SmallVec::new(),
    };
    let drop = |mut decision: Decision, reason| {
        decision.verdict = Verdict::Drop(reason);
        decision
    };
    let vid = match sane(headers) {
        Ok(vid) => vid,
        Err(reason) => return drop(decision, reason),
    };
    trace.step(Step::Sane);
    let at = Attachment { dpid: ingress.dpid, port: ingress.port, vid };
    let (src, dst) = (headers.eth_src, headers.eth_dst);
    decision.admission = (asked.admission)(at);
    let admission = match decision.admission {
        Ok(admission) => admission,
        Err(refusal) => {
            trace.step(Step::Refused(refusal));
            decision.tentative = policy.tentative_slices(refusal, at);
            return drop(decision, refusal.into());
        }
    };
    trace.step(Step::Admitted(admission));
    let slice = admission.slice;
    let may_appear = network.may_appear(slice, src, at);
    trace.step(Step::MayAppear(may_appear));
    if !may_appear {
        return drop(decision, DropReason::MoveGuard);
    }

    let subject = Subject { slice, dpid: at.dpid, in_port: at.port, headers };
    let filtering = policy.filters.look_up(&subject);
    decision.rule = filtering.rule;
    decision.reads |= filtering.reads;
    let action = match filtering.rule {
        Some(rule) => policy.filters.rule(rule).action,
        None => policy.options.filter_default,
    };
    trace.step(Step::Filtered { rule: filtering.rule, action });
    if action == FilterAction::Deny {
        let reason = filtering.rule.map_or(DropReason::FilterDefault, DropReason::Filtered);
        return drop(decision, reason);
    }

    if dst.is_group() {
        trace.step(Step::Group);
    } else {
        let destination = (asked.destination)(slice);
        if let Destination::Elsewhere(other) = destination {
            trace.step(Step::BoundElsewhere(other));
            return drop(decision, DropReason::OtherSlice);
        }
        if src == dst {
            return drop(decision, DropReason::SamePort);
        }
        if let Destination::At { location, to } = destination {
            trace.step(Step::Located(location));
            decision.verdict = if to == at {
                Verdict::Drop(DropReason::SamePort)
            } else if usable(network, to) && network.reachable(at.dpid, to.dpid) {
                Verdict::Forward { to }
            } else {
                Verdict::Drop(DropReason::NoPath)
            };
            return decision;
        }
        trace.step(Step::Unlocated);
    }
    let outputs = flood(policy, network, slice, at, dst);
    decision.verdict = match outputs.is_empty() {
        true => Verdict::Drop(DropReason::NoReceivers),
        false => Verdict::Flood { outputs },
    };
    decision
}

/// What is refused whoever sends it; else the VLAN of the attachment.
fn sane(headers: &Headers) -> Result<umlaut_openflow::Vid, DropReason> {
    const LLDP: umlaut_openflow::packet::Field<u16> = umlaut_openflow::packet::Field::Is(0x88cc);
    if headers.stacked {
        return Err(DropReason::DoubleTag);
    }
    let vid = headers.tag.vid().ok_or(DropReason::ReservedVid)?;
    if headers.eth_src.is_group() || headers.eth_src.is_zero() {
        return Err(DropReason::BadSource);
    }
    if headers.eth_dst.is_bridge_reserved() || headers.eth_type == LLDP {
        return Err(DropReason::ReservedDestination);
    }
    Ok(vid)
}

/// Whether frames can be sent out there.
fn usable<N: Network>(network: &N, at: Attachment) -> bool {
    matches!(network.port(at.dpid, at.port), PortRole::Edge | PortRole::Probing)
}

/// The point of a slice on the port where `dst` is located: the learned VLAN first, else a static
/// one.
fn point_of(
    policy: &Policy,
    slice: SliceId,
    located: Location,
    dst: MacAddr,
    bound: Bound<'_>,
) -> Option<Attachment> {
    if takes(policy, slice, located, dst, bound) {
        return Some(located.at);
    }
    let located = located.at;
    let mut points = policy.static_points_on(slice, (located.dpid, located.port));
    points.find(|point| receives(policy, slice, *point, dst)).map(|point| point.at)
}

/// What makes a place one that a slice's frames may go to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Ground {
    /// A member of the slice, for this MAC and groups or for anybody.
    Static(Option<MacAddr>),
    /// This MAC-bound host of the slice was seen there.
    Learned(MacAddr),
    /// Loose mode: no other slice claims the port.
    Loose,
}

/// Why a place does not take a frame of the slice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Declines {
    /// The destination is bound to another slice or pinned to other places.
    BoundElsewhere,
    /// The place is for another MAC.
    OtherMac,
    /// Another slice has a member there; only what is for the host itself goes there.
    Shared,
    /// The destination is not bound to the slice.
    Unbound,
    /// Another slice claims the port.
    Claimed,
}

/// Every place that a flooded frame of the slice may go to, and whether it takes this one; a place
/// may come twice.
pub(crate) fn candidates<N: Network>(
    policy: &Policy,
    network: &N,
    slice: SliceId,
    dst: MacAddr,
    visit: &mut impl FnMut(Attachment, Ground, Result<(), Declines>),
) {
    for point in policy.static_points(slice) {
        let takes = match receives(policy, slice, point, dst) {
            true => Ok(()),
            false if !dst.is_group() && !may_be_at(policy, slice, point.at, dst) => {
                Err(Declines::BoundElsewhere)
            }
            false => Err(Declines::OtherMac),
        };
        visit(point.at, Ground::Static(point.only), takes);
    }
    if !policy.has_mac_members(slice) {
        return;
    }
    network.learned_points(slice, &mut |at, host| {
        let takes = match learned_receives(policy, slice, at, host, dst) {
            true => Ok(()),
            false if policy.is_foreign(at, slice) => Err(Declines::Shared),
            false if policy.slice_of_mac(dst) != Some(slice) => Err(Declines::Unbound),
            false => Err(Declines::BoundElsewhere),
        };
        visit(at, Ground::Learned(host), takes);
    });
    if policy.options.loose && (dst.is_group() || policy.slice_of_mac(dst) == Some(slice)) {
        network.edge_ports(&mut |dpid, port| {
            let at = crate::network::untagged((dpid, port));
            let claimed =
                policy.is_shared((dpid, port), slice) || network.other_slice_at(slice, dpid, port);
            let takes = match claimed {
                true => Err(Declines::Claimed),
                false if dst.is_group() || may_be_at(policy, slice, at, dst) => Ok(()),
                false => Err(Declines::BoundElsewhere),
            };
            visit(at, Ground::Loose, takes);
        });
    }
}

/// Why a frame that a place takes does not go there now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hindered {
    /// It came from there.
    Ingress,
    /// Frames cannot be sent out there.
    Port(PortRole),
    /// The switch cannot be reached.
    Unreachable,
}

/// What keeps a frame that came in at `ingress` from going out at `at`.
pub(crate) fn hindered<N: Network>(
    network: &N,
    ingress: Attachment,
    at: Attachment,
) -> Option<Hindered> {
    if at == ingress {
        return Some(Hindered::Ingress);
    }
    if !usable(network, at) {
        return Some(Hindered::Port(network.port(at.dpid, at.port)));
    }
    (!network.reachable(ingress.dpid, at.dpid)).then_some(Hindered::Unreachable)
}

/// Every point of the slice that takes the frame, exists, is up and can be reached, each attachment
/// once, in order, but the ingress attachment.
fn flood<N: Network>(
    policy: &Policy,
    network: &N,
    slice: SliceId,
    ingress: Attachment,
    dst: MacAddr,
) -> Vec<Attachment> {
    let mut outputs = Vec::new();
    candidates(policy, network, slice, dst, &mut |at, _, takes| {
        if takes.is_ok() {
            outputs.push(at);
        }
    });
    outputs.sort_unstable();
    outputs.dedup();
    outputs.retain(|at| hindered(network, ingress, *at).is_none());
    outputs
}

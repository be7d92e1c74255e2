//! What a decision asks of the switches. Pure.

use umlaut_controller::{DropClass, Route};
use umlaut_openflow::packet::{Field, Headers};
use umlaut_openflow::{Attachment, FieldSet};
use umlaut_slice_db::{Decision, DropReason, Options, SliceId, admit};

use super::SlicePolicy;

const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
const SCTP: u8 = 132;

/// Whether ARP is always forwarded frame by frame, and this is ARP.
pub(crate) fn arp_apart(options: &Options, headers: &Headers) -> bool {
    options.arp_packet_out && headers.eth_type == Field::Is(ARP)
}

/// Which fields an entry matches that carries out this decision on frames like this one.
pub(crate) fn width(options: &Options, headers: &Headers, decision: &Decision) -> FieldSet {
    match options.exact_match {
        true => decision.reads | twelve_tuple(headers),
        false => decision.reads | FieldSet::LAYER_2,
    }
}

/// The fields that flow entries of every version can match in such frames: those of OpenFlow 1.0
/// (§3.3). A wider entry would fit no switch of 1.0 on the way.
fn twelve_tuple(headers: &Headers) -> FieldSet {
    let layer_2 = FieldSet::LAYER_2 | FieldSet::VLAN_PCP;
    let arp = FieldSet::ARP_OP | FieldSet::ARP_SPA | FieldSet::ARP_TPA;
    let ip = FieldSet::IP_PROTO | FieldSet::IP_DSCP | FieldSet::IPV4_SRC | FieldSet::IPV4_DST;
    match (headers.eth_type, headers.ip_proto) {
        (Field::Is(IPV6), _) => layer_2,
        (_, Field::Is(SCTP)) => layer_2 | ip,
        _ => layer_2 | arp | ip | FieldSet::TRANSPORT.without(FieldSet::ND_TARGET),
    }
}

/// The route of frames that a decision forwards to a host at its place. There is a way back only for
/// a receiver that may send there: it may be a guess, of whom nothing is taken.
pub(crate) fn route(
    policy: &SlicePolicy,
    headers: &Headers,
    decision: &Decision,
    (slice, egress): (SliceId, Attachment),
) -> Route {
    let options = policy.policy.options();
    let may_reply =
        || admit(&policy.policy, egress, headers.eth_dst).is_ok_and(|a| a.slice == slice);
    Route {
        domain: policy.domain(slice),
        egress,
        width: width(options, headers, decision),
        idle_timeout: options.idle_timeout,
        hard_timeout: options.hard_timeout,
        reverse: options.reverse_flow && may_reply(),
    }
}

/// Which refusals get a drop entry: those that nothing but the policy or the topology can change.
pub(crate) fn drop_class(reason: DropReason) -> Option<DropClass> {
    match reason {
        DropReason::NoBinding
        | DropReason::Restricted
        | DropReason::PinnedElsewhere
        | DropReason::ForeignPort
        | DropReason::Filtered(_)
        | DropReason::FilterDefault
        | DropReason::OtherSlice => Some(DropClass::Denied),
        DropReason::NoPath => Some(DropClass::NoPath),
        _ => None,
    }
}

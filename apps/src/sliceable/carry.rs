//! What a decision asks of the switches. Pure.

use umlaut_controller::program::matchable;
use umlaut_controller::{DropClass, Route};
use umlaut_openflow::packet::{Field, Headers};
use umlaut_openflow::{Attachment, FieldSet, Version};
use umlaut_slice_db::{Decision, DropReason, Options, SliceId, admit};

use super::SlicePolicy;

const ARP: u16 = 0x0806;

/// Whether ARP is always forwarded frame by frame, and this is ARP.
pub(crate) fn arp_apart(options: &Options, headers: &Headers) -> bool {
    options.arp_packet_out && headers.eth_type == Field::Is(ARP)
}

/// Which fields an entry matches that carries out this decision on a switch of this version.
pub(crate) fn width(
    options: &Options,
    version: Version,
    headers: &Headers,
    decision: &Decision,
) -> FieldSet {
    match options.exact_match {
        true => decision.reads | matchable(version, headers),
        false => decision.reads | FieldSet::LAYER_2,
    }
}

/// The route of frames that a decision forwards to a host at its place. There is a way back only for
/// a receiver that may send there: it may be a guess, of whom nothing is taken.
pub(crate) fn route(
    policy: &SlicePolicy,
    version: Version,
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
        width: width(options, version, headers, decision),
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

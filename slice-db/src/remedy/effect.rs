//! What an edit changes besides: as values that say of any frame whether it is among them. Pure.

use std::collections::BTreeSet;

use serde::Serialize;
use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo};

use crate::decide::{Decision, DropReason, Ingress, Verdict};
use crate::filter::{Criterion, FilterAction, Subject};
use crate::policy::{Policy, Refusal, SliceId};

type End = (DatapathId, PortNo);

/// Places.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Where {
    Anywhere,
    At(Vec<Attachment>),
    /// Any VLAN of a port.
    Port(End),
    /// Where a host is seen.
    Seen(MacAddr),
    /// Any VLAN of the ports where a host is seen.
    SeenPort(MacAddr),
}

/// Whose frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whose {
    Slice(SliceId),
    Others(SliceId),
    All,
}

/// One kind of frames that an edit changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Effect {
    /// Frames from senders there, from this MAC or any, which then speak in the slice.
    Senders { at: Where, mac: Option<MacAddr>, slice: SliceId },
    /// Frames to this MAC, which then belongs to the slice.
    Towards(MacAddr, SliceId),
    /// Frames to whoever is on these ports, which then belongs to the slice.
    TowardsPorts(Vec<End>, SliceId),
    /// Floods: these places are added, or left out.
    Floods { whose: Whose, gain: bool, at: Where },
    /// Frames of a slice that meet these conditions of an allowing filter, whatever the fields have
    /// that could not be read of the refused one.
    Matching { slice: SliceId, criteria: Vec<Criterion>, unread: Vec<&'static str> },
    /// Frames that no filter matches.
    Unfiltered,
    /// Hosts that are bound by MAC and stand on ports of other slices: frames from and to them, and
    /// floods to these ports.
    ForeignMacs,
}

/// A decision before an edit and after it, on the same frame.
#[derive(Clone, Copy)]
pub struct Difference<'a> {
    /// The policy before.
    pub before: (&'a Policy, &'a Decision),
    /// The policy after.
    pub after: (&'a Policy, &'a Decision),
    /// The frame.
    pub ingress: Ingress<'a>,
    /// Where a host is known to be, in any slice, before or after, guesses too.
    pub whereabouts: &'a dyn Fn(MacAddr) -> Vec<Attachment>,
}

/// What is told of an effect.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Announced {
    /// In words.
    pub text: String,
    /// What is affected: `senders`, `destination`, `port`, `floods`, `filter`, `unfiltered`,
    /// `foreign-macs`.
    pub kind: &'static str,
    /// The slice that it is about, if one.
    pub slice: Option<String>,
    /// The host, if one.
    pub mac: Option<String>,
    /// The places; none: anywhere.
    pub places: Vec<String>,
    #[serde(skip)]
    effect: Effect,
}

/// What of a decision others can see.
fn seen(policy: &Policy, decision: &Decision) -> (Option<String>, &'static str, Vec<Attachment>) {
    let slice = decision.admission.as_ref().ok().map(|a| policy.slice_name(a.slice).to_owned());
    let (what, outputs) = match &decision.verdict {
        // A flood to nobody.
        Verdict::Drop(DropReason::NoReceivers) => ("flood", vec![]),
        Verdict::Drop(reason) => (reason.code(), vec![]),
        Verdict::Flood { outputs } => ("flood", outputs.clone()),
        Verdict::Forward { to } => ("forward", vec![*to]),
    };
    (slice, what, outputs)
}

impl Difference<'_> {
    /// Whether the decisions differ in anything that others can see.
    pub fn is_change(&self) -> bool {
        seen(self.before.0, self.before.1) != seen(self.after.0, self.after.1)
    }

    fn at(&self) -> Option<Attachment> {
        let vid = self.ingress.headers.tag.vid()?;
        Some(Attachment { dpid: self.ingress.dpid, port: self.ingress.port, vid })
    }
}

impl Where {
    fn contains(&self, at: Attachment, difference: &Difference<'_>) -> bool {
        let end = (at.dpid, at.port);
        match self {
            Where::Anywhere => true,
            Where::At(places) => places.contains(&at),
            Where::Port(port) => *port == end,
            Where::Seen(mac) => (difference.whereabouts)(*mac).contains(&at),
            Where::SeenPort(mac) => {
                let places = (difference.whereabouts)(*mac);
                places.iter().any(|place| (place.dpid, place.port) == end)
            }
        }
    }
}

/// Whether a change is among what was announced.
pub(super) fn is_announced(all: &[Announced], difference: &Difference<'_>) -> bool {
    let effects = || all.iter().map(|announced| &announced.effect);
    if effects().any(|effect| effect.is_of_frame(difference)) {
        return true;
    }
    // Else only floods of the same slice may reach other places.
    let (before, after) = (
        seen(difference.before.0, difference.before.1),
        seen(difference.after.0, difference.after.1),
    );
    if before.0 != after.0 || before.1 != "flood" || after.1 != "flood" {
        return false;
    }
    let Ok(admission) = &difference.before.1.admission else { return false };
    let (old, new): (BTreeSet<_>, BTreeSet<_>) =
        (before.2.into_iter().collect(), after.2.into_iter().collect());
    old.symmetric_difference(&new)
        .all(|at| effects().any(|effect| effect.is_of_flood(admission.slice, *at, difference)))
}

impl Effect {
    /// Whether everything that becomes of this frame is announced.
    fn is_of_frame(&self, difference: &Difference<'_>) -> bool {
        let headers = difference.ingress.headers;
        let Some(at) = difference.at() else { return false };
        let whereabouts = || (difference.whereabouts)(headers.eth_dst);
        let reason = match &difference.before.1.verdict {
            Verdict::Drop(reason) => Some(*reason),
            _ => None,
        };
        match self {
            Effect::Senders { at: places, mac, slice } => {
                let then = match &difference.after.1.admission {
                    Ok(admission) => admission.slice == *slice,
                    // As its MAC says, which is bound elsewhere.
                    Err(refusal) => *refusal == Refusal::ForeignPort,
                };
                then && places.contains(at, difference)
                    && mac.is_none_or(|mac| mac == headers.eth_src)
            }
            Effect::Towards(mac, _) => headers.eth_dst == *mac,
            Effect::TowardsPorts(ends, _) => {
                whereabouts().iter().any(|place| ends.contains(&(place.dpid, place.port)))
            }
            Effect::Floods { .. } => false,
            Effect::Matching { slice, criteria, .. } => {
                let Ingress { dpid, port: in_port, headers } = difference.ingress;
                let subject = Subject { slice: *slice, dpid, in_port, headers };
                let speaks = difference.after.1.admission.as_ref().map(|a| a.slice);
                speaks == Ok(*slice)
                    && criteria.iter().all(|c| c.agrees(FilterAction::Allow, &subject))
            }
            Effect::Unfiltered => reason == Some(DropReason::FilterDefault),
            Effect::ForeignMacs => {
                let policy = difference.before.0;
                reason == Some(DropReason::ForeignPort)
                    || policy.by_mac(headers.eth_dst).is_some()
                        && whereabouts().iter().any(|place| policy.by_port(*place).is_some())
            }
        }
    }

    /// Whether it is announced that floods of a slice begin or cease to reach a place.
    fn is_of_flood(&self, slice: SliceId, at: Attachment, difference: &Difference<'_>) -> bool {
        match self {
            Effect::Floods { whose, at: places, .. } => {
                let concerned = match whose {
                    Whose::Slice(of) => *of == slice,
                    Whose::Others(of) => *of != slice,
                    Whose::All => true,
                };
                concerned && places.contains(at, difference)
            }
            Effect::ForeignMacs => {
                let policy = difference.before.0;
                let mut claims = policy.bindings.claims((at.dpid, at.port));
                claims.any(|(vid, _)| policy.by_port(Attachment { vid, ..at }).is_some())
            }
            _ => false,
        }
    }

    /// With its words.
    pub(super) fn announced(self, policy: &Policy) -> Announced {
        let name = |slice: SliceId| policy.slice_name(slice).to_owned();
        let places = |at: &Where| -> Vec<String> {
            match at {
                Where::Anywhere | Where::Seen(_) | Where::SeenPort(_) => vec![],
                Where::At(places) => places.iter().map(|at| policy.attachment_name(*at)).collect(),
                Where::Port((dpid, port)) => vec![format!("{}/{port}", policy.switch_name(*dpid))],
            }
        };
        let list = |names: &[String]| match names {
            [] => "anywhere".to_owned(),
            names if names.len() > 4 => {
                format!("{} and {} more places", names[..3].join(", "), names.len() - 3)
            }
            names => names.join(", "),
        };
        let (text, kind, slice, mac, places) = match &self {
            Effect::Senders { at, mac, slice } => {
                let places = places(at);
                let who = mac.map_or("any host that is bound nowhere else".to_owned(), |mac| {
                    policy.mac_name(mac)
                });
                let on = match places.is_empty() {
                    true => "wherever it is".to_owned(),
                    false => format!("on {}", list(&places)),
                };
                let text = format!("{who} {on} speaks in {}", name(*slice));
                (text, "senders", Some(*slice), *mac, places)
            }
            Effect::Towards(mac, slice) => {
                let (mac_name, slice_name) = (policy.mac_name(*mac), name(*slice));
                let text = format!("frames to {mac_name} reach it as a host of {slice_name}");
                (text, "destination", Some(*slice), Some(*mac), vec![])
            }
            Effect::TowardsPorts(ends, slice) => {
                let places: Vec<String> =
                    ends.iter().flat_map(|end| places(&Where::Port(*end))).collect();
                let (place, slice_name) = (list(&places), name(*slice));
                let text =
                    format!("frames to hosts on {place} reach them as hosts of {slice_name}");
                (text, "port", Some(*slice), None, places)
            }
            Effect::Floods { whose, gain, at } => {
                let places = places(at);
                let place = match at {
                    Where::Anywhere => "every port that no other slice claims".to_owned(),
                    Where::Seen(mac) => format!("the place of {}", policy.mac_name(*mac)),
                    Where::SeenPort(mac) => format!("the port of {}", policy.mac_name(*mac)),
                    Where::At(_) | Where::Port(_) => list(&places),
                };
                let (text, slice) = match whose {
                    Whose::Slice(slice) => {
                        let gets = if *gain { "receives" } else { "no longer receives" };
                        (format!("{place} {gets} the floods of {}", name(*slice)), Some(*slice))
                    }
                    Whose::Others(slice) => (
                        format!(
                            "{place} no longer receives floods of other slices than {} whose hosts were seen there",
                            name(*slice)
                        ),
                        Some(*slice),
                    ),
                    Whose::All => (format!("{place} may get other floods in loose mode"), None),
                };
                (text, "floods", slice, None, places)
            }
            Effect::Matching { slice, unread, .. } => {
                let whatever = match unread[..] {
                    [] => String::new(),
                    _ => format!(
                        ", whatever their {}: not known of this frame, so the filter cannot ask",
                        unread.join(" and ")
                    ),
                };
                let slice_name = name(*slice);
                let text =
                    format!("frames of {slice_name} that this filter matches pass{whatever}");
                (text, "filter", Some(*slice), None, vec![])
            }
            Effect::Unfiltered => (
                "every frame passes that no filter matches".to_owned(),
                "unfiltered",
                None,
                None,
                vec![],
            ),
            Effect::ForeignMacs => (
                "every host that is bound by its MAC address may stand on ports of other slices; \
                 what is sent to it comes there"
                    .to_owned(),
                "foreign-macs",
                None,
                None,
                vec![],
            ),
        };
        let (slice, mac) = (slice.map(name), mac.map(|mac| mac.to_string()));
        Announced { text, kind, slice, mac, places, effect: self }
    }
}

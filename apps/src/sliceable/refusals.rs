//! Refusals are told once per host and reason. Shared.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use umlaut_controller::Event;
use umlaut_openflow::packet::Headers;
use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo};
use umlaut_slice_db::{Binding, DropReason, SliceId, suggest_member};

use super::Cx;

/// How many refusals are remembered. When it is full all are forgotten and may be told again.
const REMEMBERED: usize = 4096;

/// How long frames of a host reach nobody before it is told what that may be due to: the first to
/// speak is alone in any network.
const ALONE_TIME: Duration = Duration::from_secs(5);

/// Who was refused where, and the reason's code.
type Refusal = (Attachment, MacAddr, &'static str);

/// The refusals told so far under the policy of a revision. The lock is taken for refused frames
/// only, which a drop entry keeps at the switch, and for those that reach nobody.
#[derive(Default)]
pub(super) struct Refusals {
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    revision: u64,
    refusals: HashSet<Refusal>,
    /// When the first frame of a host reached nobody; `None`: it was told. As many hosts as refusals.
    alone: HashMap<(Attachment, MacAddr), Option<Instant>>,
}

impl Refusals {
    /// Tells of a refusal, unless it was told under this policy.
    pub(super) fn tell(
        &self,
        cx: &Cx<'_>,
        dpid: DatapathId,
        port: PortNo,
        headers: &Headers,
        reason: DropReason,
        slice: Option<SliceId>,
    ) {
        let Some(vid) = headers.tag.vid() else { return };
        let at = Attachment { dpid, port, vid };
        let mac = headers.eth_src;
        if let (DropReason::NoReceivers, Some(slice)) = (reason, slice) {
            return self.tell_alone(cx, at, mac, slice);
        }
        if !is_telling(reason) || !self.is_new(cx.policy_revision, (at, mac, reason.code())) {
            return;
        }
        let slice_hint = suggest_member(&cx.policy.policy, at, mac, reason);
        cx.net.observer.event(&Event::Refused {
            host: mac.to_string(),
            at: at.to_string(),
            reason: reason.code(),
            slice_hint,
        });
    }

    /// Tells once of a host that reaches nobody though others of its slice have not spoken: members
    /// by MAC alone are nowhere until they do.
    fn tell_alone(&self, cx: &Cx<'_>, at: Attachment, mac: MacAddr, slice: SliceId) {
        if !self.is_alone_for_long(cx.policy_revision, (at, mac), cx.now) {
            return;
        }
        let policy = &cx.policy.policy;
        let domain = cx.policy.domain(slice);
        let silent = policy.members(slice).filter_map(|(_, member)| match member.binding {
            Binding::Mac { mac: other, only_at: None } if other != mac => Some(other),
            _ => None,
        });
        let silent: Vec<MacAddr> =
            silent.filter(|other| cx.net.hosts.locate((domain, *other)).is_none()).collect();
        let Some(first) = silent.first() else { return };
        let more = match silent.len() {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        let slice_hint = format!(
            "in {}, {}{more} must speak first: a member by MAC alone is found once it has sent              something; or say where it is: {{port: SWITCH/PORT, mac: \"{first}\"}}",
            policy.slice_name(slice),
            policy.mac_name(*first),
        );
        cx.net.observer.event(&Event::Refused {
            host: mac.to_string(),
            at: at.to_string(),
            reason: DropReason::NoReceivers.code(),
            slice_hint,
        });
    }

    fn told(&self, revision: u64) -> MutexGuard<'_, Told> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.revision != revision
            || told.refusals.len() >= REMEMBERED
            || told.alone.len() >= REMEMBERED
        {
            *told = Told { revision, ..Told::default() };
        }
        told
    }

    fn is_new(&self, revision: u64, refusal: Refusal) -> bool {
        self.told(revision).refusals.insert(refusal)
    }

    fn is_alone_for_long(&self, revision: u64, host: (Attachment, MacAddr), now: Instant) -> bool {
        let mut told = self.told(revision);
        let since = told.alone.entry(host).or_insert(Some(now));
        let long = since.is_some_and(|since| now >= since + ALONE_TIME);
        if long {
            *since = None;
        }
        long
    }
}

/// What is no news to an operator: frames that no bridge forwards, and hosts on the move.
fn is_telling(reason: DropReason) -> bool {
    !matches!(
        reason,
        DropReason::ReservedDestination | DropReason::SamePort | DropReason::NoReceivers
    )
}

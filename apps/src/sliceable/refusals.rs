//! Refusals are told once per host and reason. Shared.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use umlaut_controller::Event;
use umlaut_openflow::packet::Headers;
use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo};
use umlaut_slice_db::{DropReason, suggest_member};

use super::Cx;

/// How many refusals are remembered. When it is full all are forgotten and may be told again.
const REMEMBERED: usize = 4096;

/// Who was refused where, and the reason's code.
type Refusal = (Attachment, MacAddr, &'static str);

/// The refusals told so far under the policy of a revision. The lock is taken for refused frames
/// only, which a drop entry keeps at the switch.
#[derive(Default)]
pub(super) struct Refusals {
    told: Mutex<(u64, HashSet<Refusal>)>,
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
    ) {
        let Some(vid) = headers.tag.vid() else { return };
        let at = Attachment { dpid, port, vid };
        let mac = headers.eth_src;
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

    fn is_new(&self, revision: u64, refusal: Refusal) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.0 != revision || told.1.len() >= REMEMBERED {
            *told = (revision, HashSet::new());
        }
        told.1.insert(refusal)
    }
}

/// What is no news to an operator: frames that no bridge forwards, and hosts on the move.
fn is_telling(reason: DropReason) -> bool {
    !matches!(
        reason,
        DropReason::ReservedDestination | DropReason::SamePort | DropReason::NoReceivers
    )
}

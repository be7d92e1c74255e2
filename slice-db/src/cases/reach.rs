//! In which ways, and in which states of the network, frames of a slice may come out at a place. Pure.

use std::collections::BTreeSet;

use umlaut_openflow::{Attachment, MacAddr};

use super::events::CaseWorld;
use super::stations::{Station, unknown_mac};
use crate::filter::Test;
use crate::network::OfflineNetwork;
use crate::policy::{SliceId, admit};

/// A group address without a meaning of its own here (mDNS, RFC 6762).
const SOME_GROUP: MacAddr = MacAddr([0x01, 0x00, 0x5e, 0x00, 0x00, 0xfb]);

/// How frames of a slice may come out at a place, in any state.
pub(super) struct Reach {
    /// Hosts bound to the slice by their MAC that may have been seen there.
    learned: Vec<MacAddr>,
    at: Attachment,
    /// Whether frames to any address may come out there.
    open: bool,
}

impl Reach {
    /// `None`: in no way at all.
    pub(super) fn of(world: &CaseWorld<'_>, slice: SliceId, at: Attachment) -> Option<Reach> {
        let policy = world.policy;
        let on_port = policy.static_points_on(slice, (at.dpid, at.port));
        let mut here = on_port.filter(|point| point.at == at).peekable();
        let is_point = here.peek().is_some();
        let open = here.any(|point| point.only.is_none()) || policy.options.loose;
        let learned: Vec<MacAddr> = world
            .remembered
            .get(&at)
            .into_iter()
            .flatten()
            .filter(|mac| admit(policy, at, **mac).is_ok_and(|a| a.slice == slice))
            .copied()
            .collect();
        (is_point || open || !learned.is_empty()).then_some(Reach { learned, at, open })
    }

    /// Destinations that stand for all others.
    pub(super) fn targets(&self, world: &CaseWorld<'_>, to: &Station) -> Vec<MacAddr> {
        let mut targets = vec![to.mac, MacAddr::BROADCAST, SOME_GROUP, unknown_mac(world.policy)];
        targets.extend(&self.learned);
        targets.extend(world.remembered.get(&self.at).into_iter().flatten());
        // Filters may let through what is sent to an address that nobody has.
        if self.open {
            let rules = world.policy.filters.rules().iter();
            let named = rules.flat_map(|rule| &rule.criteria).filter(|c| c.test == Test::EthDst);
            targets.extend(named.map(|c| MacAddr::from_u64(c.value as u64)));
        }
        targets.retain(|mac| !mac.is_zero());
        let mut seen = BTreeSet::new();
        targets.retain(|mac| seen.insert(*mac));
        targets
    }

    /// The networks that differ in what this place may receive of a frame to `dst`: `dst` is not
    /// located, or located at any place where it may be remembered; and the hosts that make the place
    /// a point of the slice have spoken or not. Others only take away: in loose mode a host of
    /// another slice on the port closes it.
    pub(super) fn states(&self, world: &CaseWorld<'_>, dst: MacAddr) -> Vec<OfflineNetwork> {
        let policy = world.policy;
        let mut states = Vec::new();
        let places = world.places.get(&dst).into_iter().flatten().map(|at| Some(*at));
        for place in std::iter::once(None).chain(places) {
            for spoken in [false, true] {
                if spoken && self.learned.is_empty() {
                    continue;
                }
                let mut network = world.network.clone();
                if spoken {
                    for mac in self.learned.iter().filter(|mac| **mac != dst) {
                        network.speak(policy, *mac, self.at);
                    }
                }
                if let Some(at) = place {
                    network.speak(policy, dst, at);
                }
                states.push(network);
            }
        }
        states
    }
}

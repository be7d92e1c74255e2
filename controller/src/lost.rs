//! Switches that were connected and are not: since when, and since which policy their flows may be
//! wrong. Pure.

use std::collections::BTreeMap;
use std::time::Instant;

use umlaut_openflow::DatapathId;

/// How many lost switches are remembered. When there are as many, the one that has been gone for
/// longest is forgotten.
pub const LOST_SWITCHES: usize = 4096;

/// A switch that was connected and is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LostSwitch {
    /// The switch.
    pub dpid: DatapathId,
    /// When its control connection ended.
    pub since: Instant,
    /// Until when what is known of it is kept; `None`: it was given up.
    pub until: Option<Instant>,
    /// The revision of the first policy that could not be told to it: from then on it may forward
    /// what the policy refuses.
    pub stale_since: Option<u64>,
}

/// The switches that are gone now.
#[derive(Debug, Default)]
pub(crate) struct LostSwitches {
    lost: BTreeMap<DatapathId, (Instant, Option<u64>)>,
}

impl LostSwitches {
    pub(crate) fn gone(&mut self, dpid: DatapathId, now: Instant) {
        if self.lost.len() >= LOST_SWITCHES
            && let Some(oldest) = self.lost.iter().min_by_key(|(_, (since, _))| *since)
        {
            let oldest = *oldest.0;
            self.lost.remove(&oldest);
        }
        self.lost.entry(dpid).or_insert((now, None));
    }

    pub(crate) fn back(&mut self, dpid: DatapathId) {
        self.lost.remove(&dpid);
    }

    /// A policy is in force that lost switches do not know of.
    pub(crate) fn policy_changed(&mut self, revision: u64) {
        for (_, stale_since) in self.lost.values_mut() {
            stale_since.get_or_insert(revision);
        }
    }

    pub(crate) fn list(&self) -> impl Iterator<Item = LostSwitch> + '_ {
        self.lost.iter().map(|(dpid, (since, stale_since))| LostSwitch {
            dpid: *dpid,
            since: *since,
            until: None,
            stale_since: *stale_since,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_lost_switch_is_stale_from_the_first_policy_that_it_missed() {
        let now = Instant::now();
        let mut lost = LostSwitches::default();
        lost.gone(DatapathId(1), now);
        assert_eq!(lost.list().next().unwrap().stale_since, None);
        lost.policy_changed(7);
        lost.gone(DatapathId(2), now);
        lost.policy_changed(9);
        let stale: Vec<_> = lost.list().map(|lost| lost.stale_since).collect();
        assert_eq!(stale, [Some(7), Some(9)]);
        lost.back(DatapathId(1));
        assert_eq!(lost.list().map(|lost| lost.dpid).collect::<Vec<_>>(), [DatapathId(2)]);
    }

    #[test]
    fn the_longest_gone_is_forgotten_first() {
        let now = Instant::now();
        let mut lost = LostSwitches::default();
        for n in 0..=LOST_SWITCHES as u64 {
            lost.gone(DatapathId(LOST_SWITCHES as u64 - n), now + Duration::from_secs(n));
        }
        assert_eq!(lost.list().count(), LOST_SWITCHES);
        assert_eq!(lost.list().map(|lost| lost.dpid.0).max(), Some(LOST_SWITCHES as u64 - 1));
    }
}

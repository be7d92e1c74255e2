//! Entries of ways that paths do not take any more. Pure but for the shared tables of [`View`].
//!
//! ```text
//!   another way ─▶ its hops ─▶ ingress entry, barrier ─▶ answered ─▶ OLD_WAY_TIME ─▶ old hops go
//! ```
//! When the barrier is answered no frame takes the old way any more, but some are still on it. Only a
//! change of way waits: a path that ends takes its old ways with it, and what a new policy withdraws
//! goes before the new way is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use umlaut_openflow::{DatapathId, PortNo};

use super::{Behind, Switch};
use crate::path::{Hop, HopName, Leg, PathRef};
use crate::topology::PortRole;
use crate::view::View;

/// How long the entries of an old way stay after the ingress switch has confirmed the new one. A
/// frame is on its way for microseconds in hardware; a software switch on a busy machine lets it wait
/// for tens of milliseconds, and follows its own flow table about as late.
pub const OLD_WAY_TIME: Duration = Duration::from_millis(200);
/// Paths of one ingress switch that have old ways. When there are as many, the old way of a further
/// one goes as soon as the ingress switch has confirmed the new one.
pub const OLD_WAYS: usize = 65_536;
/// Paths whose old ways are taken back in one turn.
const ENDS_PER_TURN: usize = 512;
/// Commands that another switch must have room for; otherwise its old entries stay a little longer.
const ROOM: usize = 2048;
/// How much longer.
const AGAIN: Duration = Duration::from_millis(20);

/// An entry of a path on its old way, wherever it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OldHop {
    pub(crate) dpid: DatapathId,
    pub(crate) name: HopName,
    out_port: PortNo,
    /// Whether frames leave the network there.
    last: bool,
}

impl OldHop {
    pub(crate) fn of(path: PathRef, leg: Leg, hop: &Hop) -> OldHop {
        OldHop {
            dpid: hop.dpid,
            name: hop.name(path, leg),
            out_port: hop.out_port,
            last: hop.vid.is_some(),
        }
    }
}

#[derive(Debug)]
struct OldWay {
    hops: Vec<OldHop>,
    /// When they go; `None` until the ingress switch has confirmed the new way.
    until: Option<Instant>,
}

/// The old ways of the paths of one switch.
#[derive(Debug, Default)]
pub(super) struct OldWays {
    ways: BTreeMap<PathRef, OldWay>,
    /// The confirmed ones.
    due: BTreeSet<(Instant, PathRef)>,
}

impl OldWays {
    pub(super) fn has(&self, path: PathRef) -> bool {
        self.ways.contains_key(&path)
    }

    pub(super) fn has_hop(&self, path: PathRef, dpid: DatapathId, name: HopName) -> bool {
        let is = |hop: &OldHop| (hop.dpid, hop.name) == (dpid, name);
        self.ways.get(&path).is_some_and(|way| way.hops.iter().any(is))
    }

    /// Entries that a path does not need any more, beside those that it has on older ways. They wait
    /// until its newest way is confirmed.
    pub(super) fn add(&mut self, path: PathRef, hops: impl IntoIterator<Item = OldHop>) {
        let mut all = self.take(path);
        for hop in hops {
            if !all.iter().any(|known| (known.dpid, known.name) == (hop.dpid, hop.name)) {
                all.push(hop);
            }
        }
        if !all.is_empty() {
            self.ways.insert(path, OldWay { hops: all, until: None });
        }
    }

    /// Takes out those entries of a path that this is true for.
    fn take_if(&mut self, path: PathRef, gone: impl Fn(&OldHop) -> bool) -> Vec<OldHop> {
        let Some(way) = self.ways.get_mut(&path) else { return Vec::new() };
        let (taken, left) = std::mem::take(&mut way.hops).into_iter().partition(|hop| gone(hop));
        way.hops = left;
        if way.hops.is_empty() {
            self.take(path);
        }
        taken
    }

    /// Takes out all entries of a path.
    pub(super) fn take(&mut self, path: PathRef) -> Vec<OldHop> {
        let Some(way) = self.ways.remove(&path) else { return Vec::new() };
        if let Some(until) = way.until {
            self.due.remove(&(until, path));
        }
        way.hops
    }

    pub(super) fn take_all(&mut self) -> BTreeMap<PathRef, Vec<OldHop>> {
        self.due.clear();
        let ways = std::mem::take(&mut self.ways);
        ways.into_iter().map(|(path, way)| (path, way.hops)).collect()
    }

    fn go_at(&mut self, path: PathRef, at: Instant) {
        if let Some(way) = self.ways.get_mut(&path) {
            if let Some(before) = way.until.replace(at) {
                self.due.remove(&(before, path));
            }
            self.due.insert((at, path));
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(super) fn len(&self) -> usize {
        self.ways.len()
    }
}

impl Switch {
    /// The switch has the ingress entry of a new way.
    pub(super) fn end_reroute(&mut self, view: &View<'_>, name: PathRef) {
        let installed = self.registry.contains(name) && !self.registry.is_installing(name);
        let again = self.barriers.iter().any(|(_, behind)| behind.contains(&Behind::Reroute(name)));
        if !installed || again {
            return;
        }
        if self.old_ways.len() > OLD_WAYS {
            self.take_back_old_ways(view, name);
        } else {
            self.old_ways.go_at(name, view.now + OLD_WAY_TIME);
        }
    }

    /// Removes the old ways whose time has come.
    pub(super) fn poll_old_ways(&mut self, view: &View<'_>) {
        for _ in 0..ENDS_PER_TURN {
            let Some((at, name)) = self.old_ways.due.first().copied() else { return };
            if at > view.now {
                return;
            }
            let own = self.dpid;
            let full = |hop: &OldHop| {
                let peer = view.net.directory.peer(hop.dpid);
                hop.dpid != own && peer.is_some_and(|peer| peer.mailbox.room() < ROOM)
            };
            if self.old_ways.ways.get(&name).is_some_and(|way| way.hops.iter().any(full)) {
                self.old_ways.go_at(name, view.now + AGAIN);
            } else {
                self.take_back_old_ways(view, name);
            }
        }
    }

    /// Removes the old ways of a path at once.
    pub(super) fn take_back_old_ways(&mut self, view: &View<'_>, name: PathRef) {
        for hop in self.old_ways.take(name) {
            self.take_back(view, hop.dpid, hop.name);
        }
    }

    /// Removes at once what hosts would get of an old way now, and under a new policy what leads
    /// nowhere: the policy may have taken the link away.
    pub(super) fn withdraw_old_ways(&mut self, view: &View<'_>, name: PathRef, new_policy: bool) {
        let withdrawn = |hop: &OldHop| {
            let link = view.topology.peer(hop.dpid, hop.out_port).is_some();
            let hosts = || {
                let port = view.topology.port(hop.dpid, hop.out_port);
                port.is_some_and(|info| matches!(info.role, PortRole::Edge { .. }))
            };
            !hop.last && !link && (new_policy || hosts())
        };
        for hop in self.old_ways.take_if(name, withdrawn) {
            self.take_back(view, hop.dpid, hop.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::SessionNo;

    fn hop(dpid: u64, in_port: u32) -> OldHop {
        let hop = Hop {
            dpid: DatapathId(dpid),
            in_port: PortNo(in_port),
            out_port: PortNo(9),
            vid: None,
        };
        OldHop::of(path(1), Leg::Forward, &hop)
    }

    fn path(slot: u32) -> PathRef {
        PathRef { session: SessionNo(1), slot, generation: 1 }
    }

    #[test]
    fn ways_of_a_path_wait_for_the_newest_and_are_kept_once() {
        let (now, mut old) = (Instant::now(), OldWays::default());
        old.add(path(1), [hop(1, 1), hop(2, 1)]);
        assert_eq!(old.deadline(), None);
        old.go_at(path(1), now);
        assert_eq!(old.deadline(), Some(now));
        old.add(path(1), [hop(2, 1), hop(3, 1)]);
        assert_eq!(old.deadline(), None, "its newest way is not confirmed");
        old.go_at(path(1), now);
        old.go_at(path(1), now + OLD_WAY_TIME);
        assert_eq!(old.deadline(), Some(now + OLD_WAY_TIME));
        assert_eq!(old.take_if(path(1), |hop| hop.dpid == DatapathId(2)), [hop(2, 1)]);
        assert_eq!(old.take(path(1)), [hop(1, 1), hop(3, 1)]);
        assert_eq!((old.deadline(), old.len()), (None, 0));
        old.add(path(2), [hop(1, 1)]);
        old.go_at(path(2), now);
        assert_eq!(old.take_if(path(2), |_| true), [hop(1, 1)]);
        assert_eq!((old.deadline(), old.len()), (None, 0));
    }
}

//! What is left of a session that has ended: its paths, whose entries are in its own and other
//! switches, and the entries that others have in its switch. Pure.
//!
//! Nothing of it is taken back while the switch is waited for. When it is back, the successor takes
//! the paths over and asks the owners of the others for their entries again.

use std::collections::{BTreeMap, BTreeSet};

use umlaut_openflow::{Attachment, DatapathId};

use super::Switch;
use super::old_ways::OldHop;
use super::paths::stays;
use crate::path::{Hop, HopName, Hops, Kind, Leg, Path, PathRef, Route, SessionNo, State};
use crate::view::View;

/// What is left when a session ends.
#[derive(Clone, Debug, Default)]
pub struct Remains {
    /// Its paths.
    pub(crate) paths: BTreeMap<PathRef, LeftPath>,
    /// Entries in its switch of paths of others.
    pub(crate) guests: BTreeSet<HopName>,
}

/// A path without an owner.
#[derive(Clone, Debug)]
pub(crate) struct LeftPath {
    pub(crate) path: Path,
    /// Entries of earlier ways that were not taken back.
    pub(crate) old: Vec<OldHop>,
}

impl Remains {
    /// Adds what is left of another session of the same switch.
    pub(crate) fn merge(&mut self, other: Remains) {
        self.paths.extend(other.paths);
        self.guests.extend(other.guests);
    }

    /// The sessions whose paths these are.
    pub(crate) fn owners(&self) -> impl Iterator<Item = SessionNo> + '_ {
        self.paths.keys().map(|name| name.session)
    }
}

impl LeftPath {
    /// Its entries beside the one by which frames enter.
    pub(crate) fn hops(&self, name: PathRef) -> Vec<OldHop> {
        let of = |leg, hops: &[Hop]| -> Vec<OldHop> {
            hops.iter().map(|hop| OldHop::of(name, leg, hop)).collect()
        };
        let forward = self.path.hops(Leg::Forward).get(1..).unwrap_or_default();
        let mut all = of(Leg::Forward, forward);
        all.extend(of(Leg::Reverse, self.path.hops(Leg::Reverse)));
        all.extend(self.old.iter().copied());
        all
    }

    /// Whether its frames leave the network there.
    pub(crate) fn leads_to(&self, egress: Attachment) -> bool {
        matches!(&self.path.kind, Kind::Forward { route, .. } if route.egress == egress)
    }

    /// The way that it has, if it leads where it is to lead now and the best one is no better.
    pub(crate) fn way(&self, view: &View<'_>, route: &Route, best: Option<&[Hop]>) -> Option<Hops> {
        let way = self.path.hops(Leg::Forward);
        (self.leads_to(route.egress) && stays(view, way, best)).then(|| way.into())
    }

    /// Where its entries on other switches are.
    pub(crate) fn elsewhere(&self, name: PathRef, dpid: DatapathId) -> Vec<OldHop> {
        let mut all = self.hops(name);
        all.retain(|hop| hop.dpid != dpid);
        all
    }
}

impl Switch {
    /// Removes what is left of a path of the last session, here and elsewhere. The entry by which
    /// its frames entered is gone already.
    pub(crate) fn release_left(&mut self, view: &View<'_>, name: PathRef, left: &LeftPath) {
        for hop in left.hops(name) {
            self.take_back(view, hop.dpid, hop.name);
        }
    }

    /// Forgets all entries and tells what is left of them.
    pub(crate) fn take_remains(&mut self) -> Remains {
        let mut remains = Remains::default();
        let mut old_ways = self.old_ways.take_all();
        for (name, mut path) in self.registry.take_all() {
            // A frame that waited for it is lost with the connection.
            path.state = State::Installed;
            let old = old_ways.remove(&name).unwrap_or_default();
            if matches!(path.kind, Kind::Forward { .. }) {
                remains.paths.insert(name, LeftPath { path, old });
            }
        }
        let guests = self.hops.keys().copied().filter(|hop| hop.path.session != self.session);
        remains.guests = guests.collect();
        self.clear();
        remains
    }
}

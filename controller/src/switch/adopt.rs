//! Entries that an earlier run of the controller, or an earlier connection, left in a switch: kept
//! until they are decided again, then taken over or deleted. Pure but for the shared tables of
//! [`View`].
//!
//! ```text
//!   read ─▶ not a path's ─────────────────────────────▶ deleted at once
//!        └▶ a path's ─▶ frames enter here ─▶ decided ─▶ same way: installed over itself
//!                    │                              ├─▶ refused: deleted, other switches are told
//!                    │                              └─▶ hosts or links not known yet: later
//!                    └▶ passed on from elsewhere ─────▶ installed over by its owner, or deleted
//! ```
//! An entry is taken over by adding it again with the cookie of its new path: a switch replaces an
//! entry of the same match and priority without losing a frame (1.0 §4.6, 1.3.5 §6.4).

use std::collections::HashMap;

use foldhash::fast::RandomState;
use umlaut_openflow::{FlowMod, FlowStats, Match, Message, TableId, Version};

use super::{Again, LeftPath, Sent, Switch};
use crate::app::AppNo;
use crate::path::{
    DropClass, FlowKey, HopName, Hops, Leg, PATH_EPOCH, PATH_PRIORITY, PathRef, Route,
};
use crate::plan;
use crate::program::flow_match;
use crate::readback::{OwnEntry, flow_key, same_match};
use crate::view::View;

/// Entries of others that are deleted one by one. If a switch has more, its whole table is deleted.
const FOREIGN_ENTRIES: usize = 65_536;
/// Commands that another switch must have room for before paths over it are taken over.
const ROOM: usize = 2048;

/// A path of an earlier run, whatever the entry: epoch and name.
pub(crate) type Earlier = (u8, PathRef);

/// What was left in a switch.
#[derive(Default)]
pub(crate) struct Kept {
    /// In the order in which the switch told them.
    entries: Vec<Option<OwnEntry>>,
    by_key: HashMap<FlowKey, usize, RandomState>,
    by_name: HashMap<(u8, HopName), usize, RandomState>,
    foreign: Vec<(TableId, u16, Match)>,
    /// More than can be told apart: the whole table goes.
    wipe: bool,
}

impl Kept {
    /// Entries that wait for a decision.
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    fn note(&mut self, version: Version, flow: FlowStats) {
        let own = OwnEntry::read(version, &flow);
        match own {
            Some(own) if self.entries.len() < crate::registry::REGISTRY_PATHS => {
                if self.by_key.insert(own.key, self.entries.len()).is_none() {
                    self.by_name.insert((own.cookie.epoch, own.name()), self.entries.len());
                    self.entries.push(Some(own));
                } else {
                    self.wipe = true;
                }
            }
            _ if self.foreign.len() < FOREIGN_ENTRIES => {
                self.foreign.push((flow.table_id, flow.priority, flow.matches));
            }
            _ => self.wipe = true,
        }
    }

    fn take(&mut self, at: usize) -> Option<OwnEntry> {
        let own = self.entries.get_mut(at)?.take()?;
        self.by_key.remove(&own.key);
        self.by_name.remove(&(own.cookie.epoch, own.name()));
        Some(own)
    }

    /// An entry with this match is being sent: what was kept under it is replaced.
    pub(super) fn overwritten(&mut self, version: Version, matches: &Match) {
        if self.by_key.is_empty() {
            return;
        }
        let at = flow_key(version, matches).and_then(|key| self.by_key.get(&key).copied());
        if let Some(at) = at {
            self.take(at);
        }
    }
}

/// What became of a kept entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It is a registered path's now.
    Adopted,
    /// It cannot be decided yet.
    Later,
    /// It was deleted; entries of the same path elsewhere have to go as well.
    Refused(Earlier),
}

impl Switch {
    // ---- reading ----

    /// Takes a part of what the switch has.
    pub(crate) fn note_entries(&mut self, flows: Vec<FlowStats>) {
        for flow in flows {
            self.kept.note(self.version, flow);
        }
    }

    /// What the switch has cannot be told: all of it has to go.
    pub(crate) fn keep_nothing(&mut self) {
        self.kept = Kept { wipe: true, ..Kept::default() };
    }

    /// All is read: deletes what is no path's.
    pub(crate) fn delete_foreign(&mut self) {
        let foreign = std::mem::take(&mut self.kept.foreign);
        if self.kept.wipe || self.kept.len() == 0 {
            self.kept = Kept::default();
            return self.delete_all();
        }
        for (table_id, priority, matches) in foreign {
            let delete = FlowMod { table_id, ..FlowMod::delete_strict(matches, priority) };
            if self.send_noted(&Message::FlowMod(delete), Sent::Other).is_err() {
                // It was read in this version and cannot be said in it: no half measures.
                self.kept = Kept::default();
                return self.delete_all();
            }
        }
    }

    // ---- deciding ----

    /// How many entries wait for a decision.
    pub(crate) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// The end of a walk over the kept entries by place.
    pub(crate) fn kept_places(&self) -> usize {
        self.kept.entries.len()
    }

    /// The entry in a place, if it still waits.
    pub(crate) fn kept_at(&self, at: usize) -> Option<OwnEntry> {
        *self.kept.entries.get(at)?
    }

    /// The entry in a place was decided again by an application. `egress_known`: the switch where
    /// its frames leave the network has told its entries, so that the receiver was noted. `left`:
    /// the path that it was of, if it was lost with the last connection.
    pub(crate) fn settle_kept(
        &mut self,
        view: &View<'_>,
        at: usize,
        (app, again): (AppNo, Again),
        egress_known: bool,
        left: Option<&LeftPath>,
    ) -> Verdict {
        let Some(own) = self.kept_at(at) else { return Verdict::Adopted };
        let ways_known = egress_known && !view.topology.is_probing();
        match again {
            Again::Route(route) if own.key.width.contains(route.width.with_prerequisites()) => {
                let best = self.hops_to(view, own.key.in_port, route.egress);
                match left.and_then(|left| left.way(view, &route, best.as_deref())).or(best) {
                    Some(hops) => self.take_over(view, at, &own, (app, route, hops), left),
                    None if ways_known => self.discard(at),
                    None => Verdict::Later,
                }
            }
            Again::Drop { class: DropClass::NoPath, .. } if !ways_known => Verdict::Later,
            // The receiver is known when the switch that it is on is.
            Again::Nothing if !egress_known => Verdict::Later,
            _ => self.discard(at),
        }
    }

    fn take_over(
        &mut self,
        view: &View<'_>,
        at: usize,
        own: &OwnEntry,
        (app, route, hops): (AppNo, Route, Hops),
        left: Option<&LeftPath>,
    ) -> Verdict {
        let others = hops.iter().skip(1).map(|hop| hop.dpid);
        if others.into_iter().any(|dpid| view.net.directory.room(dpid) < ROOM) {
            return Verdict::Later;
        }
        let key = self.key_of(own, &route);
        if self.registry.by_key(&key).is_some() {
            return self.discard(at);
        }
        let same = (hops[0].out_port, hops[0].vid) == (own.out_port, own.vid);
        // The way that it has leads there as well, as far as can be told.
        let led = |left: &LeftPath| {
            let link =
                || own.vid.is_none() && view.topology.peer(self.dpid, own.out_port).is_some();
            left.leads_to(route.egress) && (same || link())
        };
        if left.map_or(same, led) {
            self.kept.take(at);
        } else {
            // It goes elsewhere now, and not by the old way until the new one is there.
            self.discard(at);
        }
        let old = left.map_or(Vec::new(), |left| left.hops(own.cookie.path));
        self.adopt_path(view, app, key, route, hops, old);
        Verdict::Adopted
    }

    /// The key under which a packet-in of these frames would be registered, if that gives the same
    /// entry; else the key of the entry, which is narrower.
    fn key_of(&self, own: &OwnEntry, route: &Route) -> FlowKey {
        let (in_port, headers) = (own.key.in_port, &own.key.headers);
        let asked = plan::key(in_port, headers, route);
        let same = flow_match(self.version, in_port, &asked.headers, asked.width)
            .is_ok_and(|matches| same_match(&matches, &own.matches(self.version)));
        if same { asked } else { own.key }
    }

    /// Deletes the entry of this name, if one of this run is there from an earlier connection.
    pub(super) fn discard_hop(&mut self, view: &View<'_>, name: HopName) {
        let known = (view.net.epoch | PATH_EPOCH, name);
        if let Some(at) = self.kept.by_name.get(&known).copied() {
            self.discard(at);
        }
    }

    /// Deletes the entry in a place.
    pub(crate) fn discard(&mut self, at: usize) -> Verdict {
        let Some(own) = self.kept.take(at) else { return Verdict::Adopted };
        let delete = FlowMod::delete_strict(own.matches(self.version), PATH_PRIORITY);
        self.infallible(&Message::FlowMod(delete), Sent::Other);
        Verdict::Refused((own.cookie.epoch, own.cookie.path))
    }

    /// Paths that were refused where they enter: their entries here go.
    pub(crate) fn disown(&mut self, refused: &[Earlier]) {
        if self.kept() == 0 {
            return;
        }
        for at in 0..self.kept_places() {
            if let Some(own) = self.kept_at(at)
                && !is_entrance(&own)
                && refused.binary_search(&(own.cookie.epoch, own.cookie.path)).is_ok()
            {
                self.discard(at);
            }
        }
    }
}

/// Whether the entry's owner is the session of its own switch, which decides it.
pub(crate) fn is_entrance(own: &OwnEntry) -> bool {
    own.cookie.mark.first && own.cookie.mark.leg == Leg::Forward
}

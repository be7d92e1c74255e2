//! What a switch tells of its entries: ended, refused. Pure but for the shared tables of [`View`].

use std::time::Instant;

use umlaut_openflow::{Cookie, Match, PortNo, Xid};

use super::{BACKOFF_MAX, BACKOFF_MIN, Sent, Switch};
use crate::command::{Command, HopFailure};
use crate::path::{Kind, Leg, PathRef, State};
use crate::view::View;

impl Switch {
    /// An entry ended.
    pub(crate) fn flow_removed(&mut self, view: &View<'_>, cookie: Cookie, matches: &Match) {
        let Some(name) = PathRef::from_cookie(cookie, view.net.epoch) else { return };
        // Switches tell the fields in an order of their own; the ingress port tells the legs and
        // the old ways of a path apart.
        let in_port = matches.ingress().unwrap_or(PortNo::ANY);
        for leg in [Leg::Forward, Leg::Reverse] {
            if self.hops.get(&(name, leg)).is_some_and(|hop| hop.claim.in_port == in_port) {
                self.take_hop(name, leg);
                if name.session == self.session {
                    self.hop_gone(view, name, leg);
                } else {
                    let command = Command::HopGone { path: name, leg, dpid: self.dpid };
                    view.net.directory.insist_session(name.session, command);
                }
                return;
            }
        }
        if name.session != self.session {
            return;
        }
        // A path being installed anew under its old name: the entry that ended is not the one that
        // is coming.
        if let Some(path) = self.registry.by_ref(name)
            && matches!(path.state, State::Installed)
            && path.key.in_port == in_port
            && let Some(path) = self.registry.remove(name)
        {
            if let Kind::Drop { .. } = path.kind {
                self.forget_drop(path.key.in_port);
            }
            self.remove_hops(view, name, &path);
        }
    }

    /// The switch refused a message. An entry that it refused is given up, and for a while no more
    /// are asked of it.
    pub(crate) fn error(&mut self, view: &View<'_>, xid: Xid) {
        self.counters.errors += 1;
        let Some(sent) = self.sent_as(xid) else { return };
        if matches!(sent, Sent::Ingress(_) | Sent::Hop(..)) {
            self.backoff_until = Some(view.now + self.backoff);
            self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        }
        match sent {
            Sent::Ingress(name) => self.path_failed(view, name, HopFailure::Refused),
            Sent::Hop(name, leg) => {
                self.take_hop(name, leg);
                if leg == Leg::Reverse {
                    return;
                }
                let command = Command::HopFailed { path: name, failure: HopFailure::Refused };
                view.net.directory.insist_session(name.session, command);
            }
            Sent::App(..) | Sent::Other => {}
        }
    }

    pub(super) fn backing_off(&mut self, now: Instant) -> bool {
        match self.backoff_until {
            Some(until) if now < until => true,
            Some(until) => {
                if now >= until + BACKOFF_MAX {
                    self.backoff = BACKOFF_MIN;
                    self.backoff_until = None;
                }
                false
            }
            None => false,
        }
    }
}

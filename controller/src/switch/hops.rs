//! Entries of paths that other sessions own, and ways back. Pure but for the shared tables of
//! [`View`].

use umlaut_openflow::packet::Headers;
use umlaut_openflow::{DatapathId, FlowMod, MacAddr, Message, PortNo, Vid, Xid};

use super::{Behind, Claim, LocalHop, Reply, Sent, Switch};
use crate::command::{Command, HopEntry, HopFailure};
use crate::hosts::Domain;
use crate::path::{FlowKey, HopName, Hops, Kind, Leg, PATH_PRIORITY, PathRef, State};
use crate::plan::flow_mod;
use crate::program::forward_actions;
use crate::view::{Event, Frame, View};

impl Switch {
    /// Who may send this MAC pair over this link port, if anybody claimed it.
    pub fn claim_holder(
        &self,
        in_port: PortNo,
        vid: Vid,
        src: MacAddr,
        dst: MacAddr,
    ) -> Option<Domain> {
        let claim = Claim { in_port, vid: Some(vid), src, dst };
        self.claims.get(&claim).map(|(domain, _)| *domain)
    }

    /// Installs an entry of a path; the next barrier confirms it.
    ///
    /// # Errors
    /// Why it was not installed; nothing changed.
    pub(crate) fn add_hop(&mut self, view: &View<'_>, entry: HopEntry) -> Result<(), HopFailure> {
        if self.pauses.hold(Some(entry.domain), view.now) {
            return Err(HopFailure::Refused);
        }
        let headers = &entry.headers;
        let claim = Claim {
            in_port: entry.in_port,
            vid: headers.tag.vid(),
            src: headers.eth_src,
            dst: headers.eth_dst,
        };
        if self.claims.get(&claim).is_some_and(|(domain, _)| *domain != entry.domain) {
            return Err(HopFailure::Claimed);
        }
        let flow_mod =
            flow_mod(self.version, &entry, view.net.epoch).map_err(|_| HopFailure::Unmatchable)?;
        let name = entry.name();
        let matches = flow_mod.matches.clone();
        let replaced = self.by_match.get(&matches).copied().filter(|other| *other != name);
        if name.leg == Leg::Reverse && replaced.is_some_and(|other| other.leg == Leg::Forward) {
            // Replies have a path of their own. An entry in place of its own would be taken back with
            // the way back, and leave a hole in it.
            return Err(HopFailure::Claimed);
        }
        self.kept.overwritten(self.version, &matches);
        self.infallible(&Message::FlowMod(flow_mod), Sent::Hop(name));
        self.claims.entry(claim).or_insert((entry.domain, 0)).1 += 1;
        self.by_match.insert(matches.clone(), name);
        if let Some(other) = replaced
            && let Some(old) = self.hops.remove(&other)
        {
            // The entry of another path is no more; its owner does without it.
            self.forget_hop(&old);
            let (dpid, failure) = (self.dpid, HopFailure::Claimed);
            let command = Command::HopFailed { hop: other, dpid, failure };
            view.net.directory.insist_session(other.path.session, command);
        }
        let reply = (entry.mark.leg == Leg::Reverse).then(|| Reply {
            key: FlowKey::new(entry.in_port, &entry.headers, entry.width),
            out_port: entry.out_port,
            vid: entry.vid,
        });
        let (out_port, vid) = (entry.out_port, entry.vid);
        let hop = LocalHop { matches, out_port, vid, confirmed: false, claim, reply };
        if let Some(old) = self.hops.insert(name, hop) {
            // The same entry, to another port.
            self.forget_hop(&old);
        }
        if let Some(reply) = reply
            && self.replies.insert(reply.key, reply).is_none()
        {
            *self.reply_widths.entry(reply.key.width).or_default() += 1;
        }
        self.unconfirmed.push(Behind::Hop(name));
        Ok(())
    }

    /// Takes an entry out of what is known to be in the switch.
    pub(super) fn take_hop(&mut self, name: HopName) -> Option<LocalHop> {
        let hop = self.hops.remove(&name)?;
        self.by_match.remove(&hop.matches);
        self.forget_hop(&hop);
        Some(hop)
    }

    /// Gives back what an entry had claimed.
    fn forget_hop(&mut self, hop: &LocalHop) {
        self.unclaim(hop.claim);
        let Some(reply) = hop.reply else { return };
        if self.replies.remove(&reply.key).is_some()
            && let Some(count) = self.reply_widths.get_mut(&reply.key.width)
        {
            *count -= 1;
            if *count == 0 {
                self.reply_widths.remove(&reply.key.width);
            }
        }
    }

    /// Sends a frame on if a way back is installed for its kind: it came to the controller before
    /// the switch had read the entry. Returns whether there is one.
    pub fn forward_reply(&mut self, in_port: PortNo, headers: &Headers, frame: Frame<'_>) -> bool {
        let mut widths = self.reply_widths.keys();
        let found = widths
            .find_map(|width| self.replies.get(&FlowKey::new(in_port, headers, *width)).copied());
        let Some(reply) = found.filter(|_| frame.whole) else { return false };
        let (port, vid) = (reply.out_port, reply.vid);
        let actions = forward_actions(self.version, in_port, frame.tag, port, vid);
        // What `program` makes for this version can be expressed.
        self.send_frame(in_port, actions, frame.data).is_ok()
    }

    /// Removes an entry of a path that another session owns, or of a way back.
    pub(crate) fn remove_hop(&mut self, view: &View<'_>, name: HopName) {
        let Some(hop) = self.take_hop(name) else {
            // What was there before the connection was lost, perhaps.
            return self.discard_hop(view, name);
        };
        let delete = FlowMod::delete_strict(hop.matches, PATH_PRIORITY);
        self.infallible(&Message::FlowMod(delete), Sent::Other);
    }

    fn unclaim(&mut self, claim: Claim) {
        if let Some((_, count)) = self.claims.get_mut(&claim) {
            *count -= 1;
            if *count == 0 {
                self.claims.remove(&claim);
            }
        }
    }

    /// Sends a barrier behind the entries of this turn, if there are any to confirm.
    pub(crate) fn seal(&mut self) {
        if self.unconfirmed.is_empty() {
            return;
        }
        let names = std::mem::take(&mut self.unconfirmed);
        if let Ok(xid) = self.send_noted(&Message::BarrierRequest, Sent::Other) {
            self.barriers.push_back((xid, names));
        }
    }

    /// A barrier was answered: its entries are in the switch. Returns whether it was one of ours.
    pub(crate) fn barrier_reply(&mut self, view: &View<'_>, xid: Xid) -> bool {
        if self.barriers.front().is_none_or(|(first, _)| *first != xid) {
            return false;
        }
        let (_, names) = self.barriers.pop_front().unwrap_or_default();
        for what in names {
            match what {
                Behind::Hop(name) => {
                    let Some(hop) = self.hops.get_mut(&name) else { continue };
                    hop.confirmed = true;
                    let command = Command::HopConfirmed { hop: name, dpid: self.dpid };
                    view.net.directory.insist_session(name.path.session, command);
                }
                Behind::Reroute(name) => self.end_reroute(view, name),
            }
        }
        true
    }

    /// To the owner: one more hop is in place.
    pub(crate) fn hop_confirmed(&mut self, view: &View<'_>, hop: HopName, dpid: DatapathId) {
        if !self.registry.is_installing(hop.path) {
            return;
        }
        let confirmed = self.registry.change(hop.path, |path| match &mut path.state {
            State::Installing { missing, .. } => {
                missing.retain(|one| *one != (dpid, hop.leg, hop.in_port));
                missing.is_empty() && path.has_hop(dpid, hop.leg, hop.in_port)
            }
            State::Installed => false,
        });
        if confirmed == Some(true) {
            self.complete(view, hop.path);
        }
    }

    /// To the owner: an entry was not installed, or its switch is gone.
    pub(crate) fn hop_failed(
        &mut self,
        view: &View<'_>,
        hop: HopName,
        dpid: DatapathId,
        failure: HopFailure,
    ) {
        let path = self.registry.by_ref(hop.path);
        if path.is_some_and(|path| path.has_hop(dpid, hop.leg, hop.in_port)) {
            match hop.leg {
                Leg::Forward => self.path_failed(view, hop.path, failure),
                Leg::Reverse => self.lose_way_back(view, hop.path),
            }
        }
    }

    /// The path cannot be installed: it is given up.
    pub(crate) fn path_failed(&mut self, view: &View<'_>, name: PathRef, failure: HopFailure) {
        if self.registry.by_ref(name).is_none() {
            return;
        }
        self.counters.failed_paths += 1;
        self.give_up(view, name);
        view.net.observer.event(&Event::PathFailed { path: name, dpid: self.dpid, failure });
    }

    /// Removes a path that is allowed and cannot be as it is. The frame that waits for it goes out
    /// alone.
    pub(super) fn give_up(&mut self, view: &View<'_>, name: PathRef) {
        let frame = self.stop_waiting(name);
        let Some(path) = self.registry.by_ref(name) else { return };
        let in_port = path.key.in_port;
        if let Kind::Forward { route, .. } = path.kind
            && !frame.is_empty()
        {
            let tag = Headers::parse(&frame).tag;
            let frame = Frame { data: &frame, tag, buffer_id: None, whole: true };
            self.one_by_one(view, (in_port, route.domain), frame, route.egress);
        }
        self.remove(view, name);
    }

    /// To the owner: an entry ended by itself.
    pub(crate) fn hop_gone(&mut self, view: &View<'_>, hop: HopName, dpid: DatapathId) {
        let path = self.registry.by_ref(hop.path);
        if !path.is_some_and(|path| path.has_hop(dpid, hop.leg, hop.in_port)) {
            return;
        }
        match hop.leg {
            Leg::Forward => self.remove(view, hop.path),
            Leg::Reverse => self.lose_way_back(view, hop.path),
        }
    }

    /// The way back of a path is not needed any more, or a part of it cannot be had: all of it goes,
    /// the path itself stays.
    pub(super) fn lose_way_back(&mut self, view: &View<'_>, name: PathRef) {
        let lost = self.registry.change(name, |path| {
            let waited = match &mut path.state {
                State::Installing { missing, .. } => {
                    missing.retain(|(_, leg, _)| *leg == Leg::Forward);
                    missing.is_empty()
                }
                State::Installed => false,
            };
            let back = match &mut path.kind {
                Kind::Forward { reverse, .. } => std::mem::take(reverse),
                Kind::Drop { .. } => Hops::new(),
            };
            (back, waited)
        });
        let Some((back, waited)) = lost else { return };
        for hop in back {
            self.take_back(view, hop.dpid, hop.name(name, Leg::Reverse));
        }
        if waited {
            self.complete(view, name);
        }
    }
}

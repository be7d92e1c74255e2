//! What a switch tells of its entries: ended, refused. Pure but for the shared tables of [`View`].

use umlaut_openflow::{
    BufferId, Cookie, FlowModCommand, FlowRemoved, Message, PortNo, Version, Xid,
};

use super::send::COOKIE_IN_1_0;
use super::{Sent, Switch};
use crate::app::AppNo;
use crate::command::{Command, HopFailure};
use crate::hosts::Domain;
use crate::path::{HopName, Kind, Leg, Mark, Path, PathCookie, PathRef, of_app};
use crate::view::{Frame, View};

/// Whose entry ended.
pub(crate) enum Ended {
    /// One of a path.
    Path,
    /// One of this application, which wants to know; the cookie is its own part now.
    App(AppNo),
    /// One that nobody wants to know of.
    Unasked,
}

impl Switch {
    /// Whose entry ended. The cookie becomes the application's own.
    pub(crate) fn ended(&mut self, removed: &mut FlowRemoved) -> Ended {
        let Some((app, cookie)) = of_app(removed.cookie) else { return Ended::Path };
        if self.version != Version::V1_0 {
            removed.cookie = cookie;
            return Ended::App(app);
        }
        match self.entries.remove(removed.cookie) {
            Some(entry) if entry.told => {
                removed.cookie = entry.cookie();
                Ended::App(entry.app())
            }
            _ => Ended::Unasked,
        }
    }

    /// The application that made an entry, and the cookie as it gave it.
    pub(crate) fn made_by(&self, cookie: Cookie) -> Option<(AppNo, Cookie)> {
        match self.version {
            Version::V1_0 => self.entries.find(cookie).map(|entry| (entry.app(), entry.cookie())),
            _ => of_app(cookie),
        }
    }

    /// Gives the cookies of an application in a message back as it gave them. Those of others stay
    /// as they are on the wire.
    pub(crate) fn show_own_cookies(&self, app: AppNo, message: &mut Message<'_>) {
        let show = |cookie: &mut Cookie| {
            if let Some((maker, own)) = self.made_by(*cookie)
                && maker == app
            {
                *cookie = own;
            }
        };
        match message {
            Message::FlowStatsReply { flows, .. } => {
                flows.iter_mut().for_each(|flow| show(&mut flow.cookie));
            }
            Message::FlowMod(flow_mod) => show(&mut flow_mod.cookie),
            _ => {}
        }
    }

    /// What the switch tells of this entry's end comes soon.
    #[inline]
    pub(crate) fn expect_end(&self, cookie: Cookie) {
        if let Some(cookie) = PathCookie::read(cookie) {
            self.registry.fetch(cookie.path.slot);
        }
    }

    /// An entry of a path ended. Switches tell the fields of its match in an order of their own; the
    /// cookie tells the legs of a path apart, the ingress port its old ways.
    pub(crate) fn flow_removed(&mut self, view: &View<'_>, cookie: Cookie, in_port: PortNo) {
        let Some(PathCookie { path: name, mark: Mark { leg, .. }, .. }) =
            PathCookie::read(cookie).filter(|cookie| cookie.is_of(view.net.epoch))
        else {
            return;
        };
        let hop = HopName { path: name, leg, in_port };
        let known = (!self.hops.is_empty()).then(|| self.hops.get(&hop)).flatten();
        match known.map(|known| known.confirmed) {
            // An earlier entry of this name, which was taken back.
            Some(false) => return,
            Some(true) => {
                self.take_hop(hop);
                let command = Command::HopGone { hop, dpid: self.dpid };
                return view.net.directory.insist_session(name.session, command);
            }
            None => {}
        }
        if leg == Leg::Reverse {
            return;
        }
        if name.session != self.session {
            return;
        }
        // A path being installed anew under its old name: the entry that ended is not the one that
        // is coming.
        if self.registry.enters_at(name) != Some(in_port) {
            return;
        }
        if self.registry.remove_single(name) {
            return self.take_back_old_ways(view, name);
        }
        if !self.registry.is_installing(name)
            && let Some(path) = self.registry.remove(name)
        {
            self.forget_drop(&path);
            self.remove_hops(view, name, &path);
        }
    }

    /// The switch refused a message. An entry that it refused is given up, and for a while no more of
    /// its domain are asked of it.
    pub(crate) fn error(&mut self, view: &View<'_>, xid: Xid) {
        self.counters.errors += 1;
        let Some(sent) = self.sent.of(xid) else { return };
        if let Some(domain) = self.refused_to(sent) {
            self.pauses.refused(domain, view.now);
        }
        match sent {
            Sent::Ingress(name, buffer_id) => {
                self.release_refused(view, name, buffer_id);
                self.path_failed(view, name, HopFailure::Refused);
            }
            Sent::Hop(hop) => {
                // An entry that it was to replace would still be there.
                self.remove_hop(view, hop);
                let (dpid, failure) = (self.dpid, HopFailure::Refused);
                let command = Command::HopFailed { hop, dpid, failure };
                view.net.directory.insist_session(hop.path.session, command);
            }
            Sent::App(..) | Sent::Other => {}
        }
    }

    /// Whose entry was refused; none of a path that drops. Outside none if it is not wanted any more:
    /// it was sent before its like was refused, or taken back.
    fn refused_to(&self, sent: Sent) -> Option<Option<Domain>> {
        match sent {
            Sent::Ingress(name, _) => match self.registry.by_ref(name)?.kind {
                Kind::Forward { route, .. } => Some(Some(route.domain)),
                Kind::Drop { .. } => Some(None),
            },
            Sent::Hop(hop) => {
                let (domain, _) = self.claims.get(&self.hops.get(&hop)?.claim)?;
                Some(Some(*domain))
            }
            Sent::App(..) | Sent::Other => None,
        }
    }

    /// The entry would have sent the frame that the switch has kept.
    fn release_refused(&mut self, view: &View<'_>, name: PathRef, buffer_id: Option<BufferId>) {
        let Some(Path { key, kind: Kind::Forward { route, .. }, .. }) = self.registry.by_ref(name)
        else {
            return;
        };
        let (in_port, tag, egress) = (key.in_port, key.headers.tag, route.egress);
        if buffer_id.is_some() {
            let frame = Frame { data: &[], tag, buffer_id, whole: false };
            self.one_by_one(view, (in_port, route.domain), frame, egress);
        }
    }

    /// An application's message was refused: an entry that it would have made is not there. `message`
    /// is its beginning.
    pub(crate) fn app_refused(&mut self, message: &[u8]) {
        /// OFPT_FLOW_MOD of 1.0.
        const FLOW_MOD: u8 = 14;
        /// Its command is behind the cookie (1.0 §5.3.3).
        const COOKIE: usize = COOKIE_IN_1_0;
        if self.version == Version::V1_0
            && message.get(1) == Some(&FLOW_MOD)
            && let Some(Ok(cookie)) = message.get(COOKIE..COOKIE + 8).map(<[u8; 8]>::try_from)
            && message.get(COOKIE + 8..COOKIE + 10) == Some(&FlowModCommand::ADD.0.to_be_bytes())
        {
            self.entries.remove(Cookie(u64::from_be_bytes(cookie)));
        }
    }
}

//! What is sent to a switch: messages of applications and of the framework, requests. Pure.

use std::borrow::Cow;
use std::time::Instant;

use umlaut_openflow::{
    Actions, BufferId, Cookie, EncodeError, FlowMod, FlowModCommand, Match, Message, PacketOut,
    PortNo, Version, Xid, encode,
};

use super::entries::ENTRIES;
use super::known::DECIDED_EVERY;
use super::{REMEMBERED_SENDS, Sent, Switch};
use crate::app::AppNo;
use crate::path::app_cookie;
use crate::program::{MIN_FRAME, padded};
use crate::request::{Answer, Asker, ReplyTo, RequestError, Wanted, is_request};
use crate::wording::worded;

/// Why a message was not sent. Nothing was sent, and nothing else changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// The switch's wire version cannot express it.
    #[error(transparent)]
    Inexpressible(#[from] EncodeError),
    /// [`REQUESTS`](crate::request::REQUESTS) requests wait for their answers.
    #[error("the switch has too many requests to answer")]
    Busy,
    /// An application's cookie has 56 bits; the upper 8 are its number.
    #[error("cookie {0} does not fit 56 bits")]
    Cookie(Cookie),
    /// The applications have as many entries on a switch of 1.0 as are kept apart.
    #[error("applications have {ENTRIES} flow entries on this switch, and may not have more")]
    Entries,
    /// The switch has no such port.
    #[error("the switch has no port {0}")]
    NoSuchPort(PortNo),
}

impl Switch {
    /// Says whose messages those sent from now on are.
    pub(crate) fn act_as(&mut self, app: AppNo) {
        self.acting = app;
    }

    /// Runs a function as an application.
    pub(crate) fn acting_as(&mut self, app: AppNo, run: impl FnOnce(&mut Switch)) {
        let acting = std::mem::replace(&mut self.acting, app);
        run(self);
        self.acting = acting;
    }

    /// A turn begins.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.now = now;
        let periods = now.saturating_duration_since(self.since).as_secs() / DECIDED_EVERY;
        self.period = periods as u32 + 1;
    }

    /// Sends any message and returns its transaction id. Answers and errors come to the handlers of
    /// the application that sends, under that id.
    ///
    /// Applications speak as 1.3 does, whatever the version of the switch: VLANs, queues and the
    /// fields that a match presupposes are put in its words. Cookies are the application's own, 56
    /// bits, and its modifications and deletions mean its own entries only. An entry that is added
    /// with the match and priority of another one takes its place, whoever made that.
    ///
    /// In 1.0 the framework sees to this: each entry has a cookie of the framework's own on the wire,
    /// and a modification or deletion becomes strict ones of the entries that it means.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn send(&mut self, message: &Message<'_>) -> Result<Xid, SendError> {
        let worded = worded(self.version, message);
        if self.acting == AppNo::FRAMEWORK || !matches!(&*worded, Message::FlowMod(_)) {
            return self.send_own(&worded);
        }
        match worded.into_owned() {
            Message::FlowMod(flow_mod) => self.own_flow_mod(flow_mod),
            message => self.send_own(&message),
        }
    }

    /// Sends a flow-mod, as [`Switch::send`] does.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn flow_mod(&mut self, flow_mod: FlowMod) -> Result<Xid, SendError> {
        let message = Message::FlowMod(flow_mod);
        // What needs no other words is not copied.
        match (worded(self.version, &message), self.acting) {
            (Cow::Borrowed(_), app) if app != AppNo::FRAMEWORK => {}
            (worded, _) => return self.send(&worded),
        }
        match message {
            Message::FlowMod(flow_mod) => self.own_flow_mod(flow_mod),
            message => self.send_own(&message),
        }
    }

    fn own_flow_mod(&mut self, mut flow_mod: FlowMod) -> Result<Xid, SendError> {
        let cookie =
            app_cookie(self.acting, flow_mod.cookie).ok_or(SendError::Cookie(flow_mod.cookie))?;
        if self.version == Version::V1_0 {
            return self.own_flow_mod_in_1_0(flow_mod);
        }
        flow_mod.cookie = cookie;
        if flow_mod.command != FlowModCommand::ADD {
            flow_mod.cookie_mask |= 0xff << 56;
        }
        self.send_own(&Message::FlowMod(flow_mod))
    }

    fn own_flow_mod_in_1_0(&mut self, flow_mod: FlowMod) -> Result<Xid, SendError> {
        let strict = match flow_mod.command {
            FlowModCommand::MODIFY | FlowModCommand::DELETE => false,
            FlowModCommand::MODIFY_STRICT | FlowModCommand::DELETE_STRICT => true,
            FlowModCommand::ADD => return self.add_in_1_0(flow_mod),
            _ => return self.send_own(&Message::FlowMod(flow_mod)),
        };
        let deletes =
            matches!(flow_mod.command, FlowModCommand::DELETE | FlowModCommand::DELETE_STRICT);
        let command =
            if deletes { FlowModCommand::DELETE_STRICT } else { FlowModCommand::MODIFY_STRICT };
        let chosen = self.entries.chosen(self.acting, &flow_mod, strict);
        // The id of the last one; of nothing, if nothing is meant.
        let mut xid = Xid(self.next_xid);
        if chosen.is_empty() {
            self.note_sent(Sent::Other);
        }
        for (cookie, matches, priority) in chosen {
            let one = FlowMod {
                command,
                cookie,
                cookie_mask: 0,
                matches,
                priority,
                out_port: PortNo::ANY,
                ..flow_mod.clone()
            };
            xid = self.send_own(&Message::FlowMod(one))?;
            if deletes {
                self.entries.deleted(cookie);
            } else {
                self.entries.modified(cookie, &flow_mod.instructions);
            }
        }
        Ok(xid)
    }

    fn add_in_1_0(&mut self, add: FlowMod) -> Result<Xid, SendError> {
        if self.entries.is_full() {
            return Err(SendError::Entries);
        }
        let add = self.entries.add(self.acting, add);
        let cookie = add.cookie;
        let sent = self.send_own(&Message::FlowMod(add));
        if sent.is_err() {
            self.entries.remove(cookie);
        }
        sent
    }

    /// Sends a frame with these actions. `in_port` is where it came in, or `ANY`. Short frames are
    /// padded.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn packet_out(
        &mut self,
        in_port: PortNo,
        actions: impl Into<Actions>,
        data: &[u8],
    ) -> Result<Xid, SendError> {
        let mut room = [0; MIN_FRAME];
        let (actions, data) = (actions.into(), padded(data, &mut room).into());
        self.send(&Message::PacketOut(PacketOut { buffer_id: None, in_port, actions, data }))
    }

    /// Sends a request whose answer goes to `reply` instead of a handler, all parts in one. `reply`
    /// is called in a later turn of this switch and must not wait for anything. If the switch goes
    /// away it is dropped.
    pub fn request(&mut self, message: &Message<'_>, reply: ReplyTo) {
        if !is_request(message) {
            return reply(Err(RequestError::NoRequest));
        }
        if self.requests.is_full() {
            return reply(Err(RequestError::Busy));
        }
        let message = worded(self.version, message);
        let (message, wanted) = asked(self.version, &message);
        match self.send_noted(&message, Sent::Other) {
            Ok(xid) => {
                self.requests.add(xid, Asker::Code(self.acting, reply), wanted, self.now);
            }
            Err(_) => reply(Err(RequestError::Inexpressible)),
        }
    }

    /// Sends as whoever acts.
    fn send_own(&mut self, message: &Message<'_>) -> Result<Xid, SendError> {
        if self.acting == AppNo::FRAMEWORK {
            return Ok(self.send_noted(message, Sent::Other)?);
        }
        let asks = is_request(message);
        if asks && self.requests.is_full() {
            return Err(SendError::Busy);
        }
        let (message, wanted) = asked(self.version, message);
        let from = self.out.len();
        let xid = self.send_noted(&message, Sent::Other)?;
        let place = self.recent.push(&self.out[from..]);
        if let Some(sent) = self.sent.back_mut() {
            *sent = Sent::App(self.acting, place);
        }
        if asks {
            self.requests.add(xid, Asker::App(self.acting), wanted, self.now);
        }
        Ok(xid)
    }

    pub(super) fn send_noted(
        &mut self,
        message: &Message<'_>,
        what: Sent,
    ) -> Result<Xid, EncodeError> {
        let xid = Xid(self.next_xid);
        encode(self.version, xid, message, &mut self.out)?;
        match message {
            Message::FlowMod(_) => self.counters.flow_mods += 1,
            Message::PacketOut(_) => self.counters.packet_outs += 1,
            _ => {}
        }
        self.note_sent(what);
        Ok(xid)
    }

    /// Uses up a transaction id.
    pub(super) fn note_sent(&mut self, what: Sent) {
        self.next_xid = self.next_xid.wrapping_add(1);
        if self.sent.len() >= REMEMBERED_SENDS {
            self.sent.pop_front();
        }
        self.sent.push_back(what);
    }

    /// What was sent under a transaction id, if it is remembered.
    pub(super) fn sent_as(&self, xid: Xid) -> Option<Sent> {
        let back = self.next_xid.wrapping_sub(xid.0) as usize;
        let at = self.sent.len().checked_sub(back)?;
        self.sent.get(at).copied()
    }

    /// Sends what `program` made for this version: it can be expressed.
    pub(super) fn infallible(&mut self, message: &Message<'_>, what: Sent) {
        let sent = self.send_noted(message, what);
        debug_assert!(sent.is_ok(), "{sent:?}");
    }

    /// Sends a frame as the framework.
    pub(crate) fn send_frame(
        &mut self,
        in_port: PortNo,
        actions: impl Into<Actions>,
        data: &[u8],
    ) -> Result<Xid, EncodeError> {
        let mut room = [0; MIN_FRAME];
        let (actions, data) = (actions.into(), padded(data, &mut room).into());
        let out = PacketOut { buffer_id: None, in_port, actions, data };
        self.send_noted(&Message::PacketOut(out), Sent::Other)
    }

    /// Sends the switch's own copy of a frame.
    pub(super) fn release(
        &mut self,
        in_port: PortNo,
        buffer_id: BufferId,
        actions: impl Into<Actions>,
    ) {
        let (actions, data) = (actions.into(), Cow::Borrowed(&[][..]));
        let out = PacketOut { buffer_id: Some(buffer_id), in_port, actions, data };
        self.infallible(&Message::PacketOut(out), Sent::Other);
    }

    /// Removes the entries of an application.
    pub(crate) fn delete_of_app(&mut self, app: AppNo) {
        self.acting_as(app, |switch| {
            // A deletion can be expressed in every version.
            let _ = switch.flow_mod(FlowMod::delete(Match::new()));
        });
    }

    // ---- answers ----

    /// Takes an answer, or a part of one, of this many bytes.
    pub(crate) fn answered(&mut self, xid: Xid, part: Message<'_>, bytes: usize) -> Answer {
        self.requests.answered(xid, part, bytes)
    }

    /// An error answers this: who asked, if it was a request.
    pub(crate) fn refused(&mut self, xid: Xid) -> Option<Asker> {
        self.requests.remove(xid)
    }

    /// Takes one request that was not answered in time.
    pub(crate) fn take_unanswered(&mut self) -> Option<(Xid, Option<Asker>)> {
        self.requests.take_due(self.now)
    }

    /// The application that sent something, and what it was if that is remembered.
    pub(crate) fn sent_by_app(&self, xid: Xid) -> Option<(AppNo, Option<Vec<u8>>)> {
        match self.sent_as(xid)? {
            Sent::App(app, place) => Some((app, self.recent.get(place))),
            _ => None,
        }
    }
}

/// What is sent to ask for this: 1.0 tells ports with the features.
fn asked<'m, 'a>(version: Version, message: &'m Message<'a>) -> (Cow<'m, Message<'a>>, Wanted) {
    match message {
        Message::PortDescriptionRequest if version == Version::V1_0 => {
            (Cow::Owned(Message::FeaturesRequest), Wanted::Ports)
        }
        message => (Cow::Borrowed(message), Wanted::AsTold),
    }
}

//! What is sent to a switch: messages of applications and of the framework, requests. Pure.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Instant;

use umlaut_openflow::{
    Actions, BufferId, Cookie, EncodeError, FlowMod, FlowModCommand, FlowModFlags, Match, MatchKey,
    Message, PacketOut, PortNo, Version, Xid, encode, encode_flow_mod, encode_packet_out,
};

use super::entries::ENTRIES;
use super::known::BEATS_PER_SECOND;
use super::{Sent, Switch};
use crate::app::AppNo;
use crate::path::app_cookie;
use crate::program::{MIN_FRAME, padded};
use crate::request::{Answer, Asker, ReplyTo, RequestError, Wanted, is_request};
use crate::wording::{reword_flow_mod, rewords_actions, worded};

/// Where match and cookie stand in a flow-mod of 1.0 (1.0 §5.3.3).
pub(super) const MATCH_IN_1_0: usize = 8;
pub(super) const COOKIE_IN_1_0: usize = 48;

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
        self.pairs.nothing_asked();
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
        let since = now.saturating_duration_since(self.since);
        let (seconds, within) = (since.as_secs() as u32, since.subsec_micros());
        // Of eight years; then it begins anew.
        self.beats =
            seconds.wrapping_mul(BEATS_PER_SECOND) + within / (1_000_000 / BEATS_PER_SECOND);
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
        match &*worded(self.version, message) {
            Message::FlowMod(flow_mod) => self.own_flow_mod(&mut flow_mod.clone()),
            message => self.send_own(message),
        }
    }

    /// Sends a flow-mod, as [`Switch::send`] does.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn flow_mod(&mut self, mut flow_mod: FlowMod) -> Result<Xid, SendError> {
        reword_flow_mod(self.version, &mut flow_mod);
        self.own_flow_mod(&mut flow_mod)
    }

    /// Sends a flow-mod, in the words of the version, as whoever acts.
    fn own_flow_mod(&mut self, flow_mod: &mut FlowMod) -> Result<Xid, SendError> {
        if self.acting == AppNo::FRAMEWORK {
            return self.put_flow_mod(flow_mod);
        }
        let cookie =
            app_cookie(self.acting, flow_mod.cookie).ok_or(SendError::Cookie(flow_mod.cookie))?;
        if self.version == Version::V1_0 {
            return self.own_flow_mod_in_1_0(flow_mod, cookie);
        }
        flow_mod.cookie = cookie;
        if flow_mod.command != FlowModCommand::ADD {
            flow_mod.cookie_mask |= 0xff << 56;
        }
        self.put_flow_mod(flow_mod)
    }

    fn own_flow_mod_in_1_0(
        &mut self,
        flow_mod: &mut FlowMod,
        cookie: Cookie,
    ) -> Result<Xid, SendError> {
        match flow_mod.command {
            FlowModCommand::ADD => self.add_in_1_0(flow_mod, cookie),
            FlowModCommand::MODIFY | FlowModCommand::DELETE => self.change_in_1_0(flow_mod, false),
            FlowModCommand::MODIFY_STRICT | FlowModCommand::DELETE_STRICT => {
                self.change_in_1_0(flow_mod, true)
            }
            _ => self.put_flow_mod(flow_mod),
        }
    }

    /// A modification or deletion of the application's own entries, one by one.
    fn change_in_1_0(&mut self, flow_mod: &FlowMod, strict: bool) -> Result<Xid, SendError> {
        let deletes =
            matches!(flow_mod.command, FlowModCommand::DELETE | FlowModCommand::DELETE_STRICT);
        let command =
            if deletes { FlowModCommand::DELETE_STRICT } else { FlowModCommand::MODIFY_STRICT };
        let chosen = self.entries.chosen(self.acting, flow_mod, strict);
        // The id of the last one; of nothing, if nothing is meant.
        let mut xid = self.sent.next();
        if chosen.is_empty() {
            self.sent.note(Sent::Other);
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
            xid = self.put_flow_mod(&one)?;
            if deletes {
                self.entries.deleted(cookie);
            } else {
                self.entries.modified(cookie, &flow_mod.instructions);
            }
        }
        Ok(xid)
    }

    /// An entry with a cookie of its own, which tells of its end.
    fn add_in_1_0(&mut self, add: &mut FlowMod, maker: Cookie) -> Result<Xid, SendError> {
        let told = add.flags.contains(FlowModFlags::SEND_FLOW_REM);
        // Emergency entries of 1.0 do not end by themselves and may not ask for it.
        if !add.flags.contains(FlowModFlags::EMERG_OR_RESET_COUNTS) {
            add.flags.0 |= FlowModFlags::SEND_FLOW_REM.0;
        }
        let from = self.out.len();
        encode_flow_mod(self.version, self.sent.next(), add, &mut self.out)?;
        // What tells entries apart is what the switch reads.
        let entered = self.out[from + MATCH_IN_1_0..]
            .first_chunk()
            .and_then(|wire| self.entries.add(maker, add, MatchKey::read(wire), told));
        let Some(cookie) = entered else {
            self.out.truncate(from);
            return Err(SendError::Entries);
        };
        let at = from + COOKIE_IN_1_0;
        self.out[at..at + 8].copy_from_slice(&cookie.0.to_be_bytes());
        self.counters.flow_mods += 1;
        Ok(self.note_own(from..self.out.len()))
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
        self.own_packet_out(&PacketOut { buffer_id: None, in_port, actions, data })
    }

    pub(super) fn own_packet_out(&mut self, out: &PacketOut<'_>) -> Result<Xid, SendError> {
        if rewords_actions(self.version, &out.actions) {
            return self.send(&Message::PacketOut(out.clone()));
        }
        let from = self.out.len();
        encode_packet_out(self.version, self.sent.next(), out, &mut self.out)?;
        self.counters.packet_outs += 1;
        Ok(self.note_own(from..self.out.len()))
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
        encode(self.version, self.sent.next(), &message, &mut self.out)?;
        self.count(&message);
        let xid = self.note_own(from..self.out.len());
        if asks {
            self.requests.add(xid, Asker::App(self.acting), wanted, self.now);
        }
        Ok(xid)
    }

    /// Sends a flow-mod as it is.
    fn put_flow_mod(&mut self, flow_mod: &FlowMod) -> Result<Xid, SendError> {
        let from = self.out.len();
        encode_flow_mod(self.version, self.sent.next(), flow_mod, &mut self.out)?;
        self.counters.flow_mods += 1;
        Ok(self.note_own(from..self.out.len()))
    }

    /// Notes that whoever acts has sent the message that lies there in the output.
    pub(super) fn note_own(&mut self, message: Range<usize>) -> Xid {
        self.sent.note(match self.acting {
            AppNo::FRAMEWORK => Sent::Other,
            app => Sent::App(app, self.recent.push(&self.out[message])),
        })
    }

    /// The same of two that lie there one behind the other, to the end of the output.
    pub(super) fn note_own_two(&mut self, first: usize, second: usize) -> Xid {
        let [a, b] = match self.acting {
            AppNo::FRAMEWORK => [Sent::Other; 2],
            app => self
                .recent
                .push_two(&self.out[first..], second - first)
                .map(|place| Sent::App(app, place)),
        };
        let xid = self.sent.note(a);
        self.sent.note(b);
        xid
    }

    fn count(&mut self, message: &Message<'_>) {
        match message {
            Message::FlowMod(_) => self.counters.flow_mods += 1,
            Message::PacketOut(_) => self.counters.packet_outs += 1,
            _ => {}
        }
    }

    pub(super) fn send_noted(
        &mut self,
        message: &Message<'_>,
        what: Sent,
    ) -> Result<Xid, EncodeError> {
        encode(self.version, self.sent.next(), message, &mut self.out)?;
        self.count(message);
        Ok(self.sent.note(what))
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
        match self.sent.of(xid)? {
            Sent::App(app, place) => Some((app, place.and_then(|place| self.recent.get(place)))),
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

//! One control connection: handshake, keepalive, dispatch (OpenFlow 1.3.5 §6.3). Pure but for the
//! shared tables: bytes and the time come in, bytes and the next deadline go out, so the connection
//! and the virtual-time harness drive the same code.
//!
//! ```text
//!   hello ──▶ features ──▶ (1.3: ports) ──▶ admitted? ──▶ nobody else serves it? ──▶ read flows
//!         ──▶ delete ──▶ install ──▶ active
//! ```
//! Before any packet-in is handled, the flows are read, all but those of paths deleted and with them
//! groups and meters, a barrier answered, the standing entries installed, a second barrier answered,
//! and what was kept is decided again (`adopt`).

mod adopt;
mod ahead;
mod commands;
mod join;
mod messages;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use umlaut_openflow::{Features, Hello, Message, Port, Version, Xid, encode};

use crate::app::Policy;
use crate::buffers::{Buffers, Input};
use crate::command::Command;
use crate::host_cache::HostCache;
use crate::hosts::HostKey;
use crate::mailbox::Mailbox;
use crate::origin::Origin;
use crate::path::SessionNo;
use crate::request::{Asker, RequestError};
use crate::shared::{DETACHED_TIMEOUT, Shared};
use crate::switch::{Bucket, Switch};
use crate::view::{Event, View};
use crate::world::World;

/// How long each step of the handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// After this long without a message an echo request is sent.
pub const ECHO_AFTER: Duration = Duration::from_secs(5);
/// After this long without a message the connection is given up.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(15);
/// How long the older connection of a datapath id has to prove that it is alive.
pub const PROOF_TIMEOUT: Duration = Duration::from_secs(1);
/// Messages handled in one turn.
pub const MESSAGES_PER_TURN: usize = 256;
/// Commands handled in one turn.
pub const COMMANDS_PER_TURN: usize = 1024;
/// Paths decided again in one turn.
pub const SWEEP_PER_TURN: u32 = 2048;
/// Output above which packet-ins of the switch and frames from others for it are dropped and counted;
/// everything else still runs.
pub const OUTPUT_HIGH_WATER: usize = 1 << 20;
/// Output above which the connection is closed.
pub const OUTPUT_LIMIT: usize = 16 << 20;
/// How much of what is left of input is kept apart, so that the room it came in can be another's.
const CUT_BYTES: usize = 2 << 10;
/// Broken messages after which the connection is closed.
pub const BROKEN_MESSAGES: u32 = 16;
/// LLDP frames handled per second; above it they are dropped.
const LLDP_RATE: u32 = 1000;
/// How often hosts of live paths are marked as alive.
const REFRESH_PERIOD: Duration = Duration::from_secs(60);

enum Phase {
    Hello { until: Instant },
    Features { until: Instant },
    Ports { until: Instant, features: Features, ports: Vec<Port> },
    Duplicate { until: Instant, features: Features, ports: Vec<Port>, superseding: bool },
    Reading { until: Instant, request: Xid },
    Cleaning { until: Instant, step: CleaningStep, barrier: Xid },
    Active,
    Closed { reason: String },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CleaningStep {
    Deleting,
    Installing,
}

/// Deciding paths again, piece by piece.
#[derive(Clone, Copy)]
struct Sweep {
    /// The next slot of the registry.
    next: u32,
    /// The revision under which all paths had been decided, if it is the one before: of these only
    /// whoever is concerned is decided again.
    after: Option<u64>,
}

/// A control connection.
pub struct Session<P: Policy> {
    no: SessionNo,
    mailbox: Arc<Mailbox>,
    origin: Arc<Origin>,
    phase: Phase,
    version: Version,
    /// Lent by those of its thread while something is under way ([`Session::borrow`]).
    input: Input,
    /// What it keeps of input given back: a message that has not come whole, or some that are to have
    /// their turn.
    cut: Vec<u8>,
    /// Output before there is a switch; later the switch's own.
    early: BytesMut,
    switch: Option<Switch>,
    world: Arc<World<P>>,
    sweep: Option<Sweep>,
    /// When a turn is due that nothing asks for; none comes before that.
    due: Option<Instant>,
    refresh: Instant,
    heard: Instant,
    echo_sent: bool,
    /// Who waits for this switch to prove that it is alive, or to leave.
    askers: Vec<Arc<Mailbox>>,
    broken: u32,
    /// Whether a new policy refused it: it is not waited for.
    refused: bool,
    lldp: Bucket,
    hosts: RefCell<HostCache>,
    /// Commands to run: those that came before the switch was ready wait here.
    commands: VecDeque<Command>,
    /// Whether one of those that wait was lost.
    overrun: bool,
    /// Hosts that commands of this turn tell have changed.
    changed: Vec<HostKey>,
    adopting: Option<adopt::Adopting>,
}

impl<P: Policy> Session<P> {
    /// A connection just made. The first bytes of output are its hello.
    pub fn new(
        no: SessionNo,
        mailbox: Arc<Mailbox>,
        origin: Origin,
        shared: &Shared<P>,
        now: Instant,
    ) -> Session<P> {
        let mut early = BytesMut::new();
        let offered = shared.versions();
        let highest = offered.iter().copied().max().unwrap_or(Version::V1_3);
        let hello = Message::Hello(Hello::offering(offered));
        if encode(highest, Xid(0), &hello, &mut early).is_err() {
            debug_assert!(false, "a hello always encodes");
        }
        Session {
            no,
            mailbox,
            origin: Arc::new(origin),
            phase: Phase::Hello { until: now + HANDSHAKE_TIMEOUT },
            version: highest,
            input: Input::default(),
            cut: Vec::new(),
            early,
            switch: None,
            world: shared.world.load(),
            sweep: None,
            due: Some(now + HANDSHAKE_TIMEOUT),
            refresh: now + REFRESH_PERIOD,
            heard: now,
            echo_sent: false,
            askers: Vec::new(),
            broken: 0,
            refused: false,
            lldp: Bucket::new(LLDP_RATE, now),
            hosts: RefCell::new(HostCache::new(now)),
            commands: VecDeque::new(),
            overrun: false,
            changed: Vec::new(),
            adopting: None,
        }
    }

    /// Its number.
    pub fn number(&self) -> SessionNo {
        self.no
    }

    /// Its mailbox.
    pub fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Who is at the other end.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The switch, once it is known.
    pub fn switch(&self) -> Option<&Switch> {
        self.switch.as_ref()
    }

    /// Whether packet-ins are handled.
    pub fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Active)
    }

    /// Why the connection is to be closed, if it is. Output may still be written before.
    pub fn closed(&self) -> Option<&str> {
        match &self.phase {
            Phase::Closed { reason } => Some(reason),
            _ => None,
        }
    }

    /// The bytes to be written; whoever writes them takes them away.
    pub fn output(&mut self) -> &mut BytesMut {
        match &mut self.switch {
            Some(switch) if self.early.is_empty() => switch.output(),
            _ => &mut self.early,
        }
    }

    /// Takes room to read and write from here if it has none: something is to be done. Without it, the
    /// session makes its own.
    #[inline]
    pub fn borrow(&mut self, buffers: &mut Buffers) {
        if self.input.is_none() {
            self.input = buffers.lend_input();
        }
        if let Some(switch) = &mut self.switch
            && switch.output().capacity() == 0
        {
            *switch.output() = buffers.lend_output();
        }
    }

    /// Leaves that room to others of its thread, but what it has still something in.
    #[inline]
    pub fn give_back(&mut self, buffers: &mut Buffers) {
        if self.input.len() <= CUT_BYTES && !self.input.is_none() {
            self.cut.extend_from_slice(self.input.bytes());
            buffers.take_input(std::mem::take(&mut self.input));
        }
        if let Some(switch) = &mut self.switch
            && switch.output().is_empty()
        {
            buffers.take_output(std::mem::take(switch.output()));
        }
    }

    /// Room for so many bytes from the connection, and what is in it means nothing.
    /// [`Session::received`] tells how many have come. The caller reads no more while turns have work
    /// left, so that the input stays below two reads.
    #[inline]
    pub fn room(&mut self, bytes: usize) -> &mut [u8] {
        self.join_cut();
        self.input.room(bytes)
    }

    /// So many bytes have come into that room; [`Session::turn`] handles them.
    #[inline]
    pub fn received(&mut self, bytes: usize) {
        self.input.came(bytes);
    }

    /// These have come from the connection.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
        self.received(bytes.len());
    }

    /// What was kept apart comes before what comes now.
    #[inline]
    fn join_cut(&mut self) {
        if !self.cut.is_empty() {
            debug_assert!(self.input.len() == 0, "input that came before it");
            self.input.put(&self.cut);
            self.cut.clear();
        }
    }

    /// When the next turn is due if nothing arrives before; it may turn out to be too early.
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    fn next_due(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Hello { until }
            | Phase::Features { until }
            | Phase::Ports { until, .. }
            | Phase::Duplicate { until, .. }
            | Phase::Reading { until, .. }
            | Phase::Cleaning { until, .. } => Some(*until),
            Phase::Active => {
                let limit = if self.echo_sent { SILENCE_LIMIT } else { ECHO_AFTER };
                Some((self.heard + limit).min(self.refresh))
            }
            Phase::Closed { .. } => None,
        };
        let switch = self.switch.as_ref().and_then(Switch::deadline).filter(|_| self.is_active());
        let adopting = self.adopting.as_ref().map(adopt::Adopting::deadline);
        phase.into_iter().chain(switch).chain(adopting).min()
    }

    /// Runs one turn: the newest World, commands, a bounded number of messages, what is due. Returns
    /// whether there is more to do at once. All output of a turn is written together.
    pub fn turn(&mut self, now: Instant, shared: &Shared<P>) -> bool {
        self.note_world(shared);
        if self.closed().is_some() {
            return false;
        }
        if let Some(switch) = &mut self.switch {
            switch.tick(now);
        }
        let told = self.is_told();
        let asked = self.echo_sent;
        let more_commands = told && self.run_commands(now, shared);
        let (more_messages, nothing_new) = self.run_messages(now, shared);
        if !(told || asked) && nothing_new && self.is_at_rest(now) {
            // Frames of known paths were sent on: nothing else is there to do, nor sooner due.
            self.check_output();
            return self.closed().is_none() && (more_messages || self.is_outdated(shared));
        }
        self.run_time(now, shared);
        let more_kept = self.adopt_piece(now, shared);
        self.sweep_piece(now, shared);
        if let Some(switch) = &mut self.switch {
            switch.seal();
        }
        self.check_output();
        self.mailbox.set_deciding(!self.rests());
        self.due = self.next_due();
        // Publish, then check: what was registered in this turn under an older World is decided
        // again in the next.
        let outdated = self.is_outdated(shared);
        // What waited for the switch to be ready.
        let waited = self.is_active() && !(self.commands.is_empty() && self.mailbox.is_empty());
        self.closed().is_none()
            && (more_commands
                || more_messages
                || more_kept
                || outdated
                || waited
                || self.sweep.is_some())
    }

    /// Whether nothing is under way, and no time has come.
    fn is_at_rest(&self, now: Instant) -> bool {
        self.is_active()
            && self.sweep.is_none()
            && self.adopting.is_none()
            && self.due.is_some_and(|due| now < due)
    }

    /// Whether there is a newer World than the one it has noted.
    #[inline]
    pub(crate) fn is_outdated(&self, shared: &Shared<P>) -> bool {
        self.is_active() && shared.world.revision() != self.world.revision
    }

    fn note_world(&mut self, shared: &Shared<P>) {
        if shared.world.revision() != self.world.revision {
            let World { policy_revision: policy, revision: before, .. } = *self.world;
            let swept = self.is_active() && self.sweep.is_none();
            self.world = shared.world.load();
            let after = (swept && self.world.revision == before + 1).then_some(before);
            self.sweep = self.is_active().then_some(Sweep { next: 0, after });
            if self.world.policy_revision != policy {
                self.admit_again(shared);
            }
        }
    }

    /// Whether another topology changes nothing for it: it is ready, and has no path.
    fn rests(&self) -> bool {
        let no_path = self.switch.as_ref().is_some_and(|switch| !switch.has_paths());
        self.is_active() && no_path && self.adopting.is_none()
    }

    /// Decides a bounded number of paths again that were decided under an older World.
    fn sweep_piece(&mut self, now: Instant, shared: &Shared<P>) {
        let (Some(sweep), Some(switch)) = (self.sweep, &mut self.switch) else { return };
        let end = switch.slots();
        let until = end.min(sweep.next.saturating_add(SWEEP_PER_TURN));
        let view = view(shared, &self.world, now);
        for slot in sweep.next..until {
            if let Some(after) = sweep.after
                && let Some(name) = switch.unconcerned_at(slot, after, &self.world.concerned)
            {
                switch.stays(&view, name);
            } else if switch.revision_at(slot).is_some_and(|decided| decided < view.revision)
                && let Some((name, app, key)) = switch.question_at(slot)
            {
                let again = shared.apps.decide_again(app, switch, view, &self.world.policy, &key);
                switch.settle(&view, name, again);
            }
        }
        self.sweep = (until < end).then_some(Sweep { next: until, ..sweep });
    }

    // ---- time ----

    fn run_time(&mut self, now: Instant, shared: &Shared<P>) {
        match &self.phase {
            Phase::Hello { until } if *until <= now => self.close("no hello in time"),
            Phase::Features { until } | Phase::Ports { until, .. } if *until <= now => {
                self.close("no answer to the features request in time");
            }
            Phase::Reading { until, .. } if *until <= now => self.read_nothing(now),
            Phase::Cleaning { until, .. } if *until <= now => {
                self.close("no answer to a barrier in time");
            }
            Phase::Duplicate { .. } => self.retry_join(now, shared),
            Phase::Active => self.active_time(now, shared),
            _ => {}
        }
    }

    fn active_time(&mut self, now: Instant, shared: &Shared<P>) {
        let silent = now.saturating_duration_since(self.heard);
        if silent >= SILENCE_LIMIT {
            return self.close("no answer to an echo request in time");
        }
        if silent >= ECHO_AFTER && !self.echo_sent {
            self.echo_sent = true;
            self.early_send(&Message::EchoRequest(Vec::new().into()));
        }
        let Some(switch) = &mut self.switch else { return };
        let view = view(shared, &self.world, now);
        switch.poll(&view);
        while let Some((xid, asker)) = switch.take_unanswered() {
            match asker {
                None => {}
                Some(Asker::Code(app, reply)) => {
                    let timed_out = Err(RequestError::TimedOut);
                    shared.apps.guarded(app, &shared.net, || reply(timed_out));
                }
                Some(Asker::App(app)) => {
                    let policy = &self.world.policy;
                    shared.apps.one_on(app, switch, view, policy, |app, switch, cx| {
                        app.no_reply(switch, cx, xid);
                    });
                }
            }
        }
        if now >= self.refresh {
            self.refresh = now + REFRESH_PERIOD;
            for (_, path) in switch.paths() {
                if let Some(domain) = path.domain() {
                    for mac in [path.key.headers.eth_src, path.key.headers.eth_dst] {
                        shared.net.hosts.touch((domain, mac), now);
                    }
                }
            }
        }
    }

    fn check_output(&mut self) {
        if self.output().len() > OUTPUT_LIMIT {
            self.close("the switch does not read its messages");
        }
    }

    // ---- ends ----

    /// Asks for the connection to be closed.
    pub fn close(&mut self, reason: &str) {
        if self.closed().is_none() {
            self.phase = Phase::Closed { reason: reason.to_owned() };
        }
    }

    /// The connection is closed, by whichever side: leaves the directory. Entries on this and other
    /// switches stay until the datapath is back or given up.
    pub fn end(&mut self, reason: &str, now: Instant, shared: &Shared<P>) {
        self.close(reason);
        let reason = self.closed().unwrap_or(reason).to_owned();
        let Some(mut switch) = self.switch.take() else {
            let peer = self.origin.peer.clone();
            return shared.net.observer.event(&Event::ConnectionRefused { peer, reason });
        };
        let dpid = switch.dpid();
        let mut remains = switch.take_remains();
        self.give_up_adopting(&mut remains, shared);
        let wait = if self.refused { Duration::ZERO } else { DETACHED_TIMEOUT };
        let held = shared.switch_down((dpid, self.no), remains, wait, now);
        // The place is free for whoever waits for it.
        self.askers.drain(..).for_each(|asker| asker.wake());
        if held {
            let view = view(shared, &self.world, now);
            shared.apps.each(view, &self.world.policy, |app, cx| app.switch_gone(dpid, cx));
        }
        shared.net.observer.event(&Event::SwitchGone { dpid, reason });
    }

    fn early_send(&mut self, message: &Message<'_>) {
        match &mut self.switch {
            Some(switch) => {
                let _ = switch.send(message);
            }
            None => self.early_send_as(Xid(1), message),
        }
    }

    /// Sends with the transaction id of a request. What cannot be expressed in this version (a
    /// foreign version byte in an error) is left unsent.
    fn early_send_as(&mut self, xid: Xid, message: &Message<'_>) {
        let out = match &mut self.switch {
            Some(switch) => switch.output(),
            None => &mut self.early,
        };
        let _ = encode(self.version, xid, message, out);
    }
}

fn view<'a, P: Policy>(shared: &'a Shared<P>, world: &'a World<P>, now: Instant) -> View<'a> {
    View {
        now,
        revision: world.revision,
        policy_revision: world.policy_revision,
        topology: &world.topology,
        net: &shared.net,
    }
}

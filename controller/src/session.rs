//! One control connection: handshake, keepalive, dispatch (OpenFlow 1.3.5 §6.3). Pure but for the
//! shared tables: bytes and the time come in, bytes and the next deadline go out, so the socket task
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
mod join;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use umlaut_openflow::packet::{Field, Headers};
use umlaut_openflow::{
    Action, DecodeError, ErrorCode, ErrorMessage, Features, Header, Hello, Message, Opaque,
    PacketIn, Port, PortNo, PortStatus, PortStatusReason, Version, Xid, decode, encode,
    ended_entry, next_frame,
};

use crate::app::{Policy, SwitchError};
use crate::command::{Command, HopFailure};
use crate::host_cache::HostCache;
use crate::hosts::HostKey;
use crate::mailbox::{MAILBOX_COMMANDS, Mailbox};
use crate::origin::Origin;
use crate::path::{LLDP_TYPE, SessionNo, of_app};
use crate::request::{Answer, Asker, RequestError, is_stats};
use crate::shared::{DETACHED_TIMEOUT, Shared};
use crate::switch::{Bucket, Ended, Switch};
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
/// Broken messages after which the connection is closed.
pub const BROKEN_MESSAGES: u32 = 16;
/// LLDP frames handled per second; above it they are dropped.
const LLDP_RATE: u32 = 1000;
/// How often hosts of live paths are marked as alive.
const REFRESH_PERIOD: Duration = Duration::from_secs(60);

const BAD_REQUEST_BAD_TYPE: ErrorCode = ErrorCode::new(1, 1);
const BAD_REQUEST_BAD_VERSION: ErrorCode = ErrorCode::new(1, 0);

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
    input: BytesMut,
    /// Output before there is a switch; later the switch's own.
    early: BytesMut,
    switch: Option<Switch>,
    world: Arc<World<P>>,
    sweep: Option<Sweep>,
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
            input: BytesMut::new(),
            early,
            switch: None,
            world: shared.world.load(),
            sweep: None,
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

    /// Takes bytes from the connection; [`Session::turn`] handles them. The caller reads no more
    /// while turns have work left, so that the input stays below two reads.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// When the next turn is due if nothing arrives before.
    pub fn deadline(&self) -> Option<Instant> {
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
        let more_commands = self.run_commands(now, shared);
        let more_messages = self.run_messages(now, shared);
        self.run_time(now, shared);
        let more_kept = self.adopt_piece(now, shared);
        self.sweep_piece(now, shared);
        if let Some(switch) = &mut self.switch {
            switch.seal();
        }
        self.check_output();
        self.mailbox.set_deciding(!self.rests());
        // Publish, then check: what was registered in this turn under an older World is decided
        // again in the next.
        let outdated = self.is_active() && shared.world.revision() != self.world.revision;
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

    // ---- commands ----

    fn run_commands(&mut self, now: Instant, shared: &Shared<P>) -> bool {
        if self.commands.is_empty() && self.mailbox.is_empty() && !self.overrun {
            return false;
        }
        // What was lost may take back what still waits: all of it comes before the new start.
        self.overrun |= self.mailbox.take_overrun();
        let most = if self.overrun { MAILBOX_COMMANDS } else { COMMANDS_PER_TURN };
        let mut commands = std::mem::take(&mut self.commands);
        if commands.len() < MAILBOX_COMMANDS {
            self.mailbox.take(most, &mut commands);
        }
        if !self.is_active() {
            // What others want of the switch waits until it is ready; no more of it than a mailbox
            // takes, and a second mailbox behind it.
            commands.retain(|command| self.connection_command(command));
            self.commands = commands;
            return self.commands.len() < MAILBOX_COMMANDS && !self.mailbox.is_empty();
        }
        for command in commands.drain(..) {
            if self.connection_command(&command) {
                self.command(command, now, shared);
            }
        }
        self.commands = commands;
        self.decide_changed(now, shared);
        if std::mem::take(&mut self.overrun) {
            self.resync(now, shared);
        }
        !self.mailbox.is_empty()
    }

    /// Handles a command that is about the connection. Returns whether it is about the switch.
    fn connection_command(&mut self, command: &Command) -> bool {
        match command {
            Command::Prove { asker, from } => {
                self.askers.push(asker.clone());
                if from.succeeds(&self.origin) {
                    self.close("a newer connection of the same switch");
                } else {
                    self.early_send(&Message::EchoRequest(b"umlaut"[..].into()));
                }
            }
            Command::Proved => {
                if let Phase::Duplicate { features, .. } = &self.phase {
                    let reason = format!("datapath {} is connected and alive", features.dpid);
                    self.close(&reason);
                }
            }
            Command::Superseded => self.close("a newer connection of the same datapath"),
            Command::Shutdown => self.close("the controller ends"),
            _ => return true,
        }
        false
    }

    /// Runs a command for the switch.
    fn command(&mut self, command: Command, now: Instant, shared: &Shared<P>) {
        let active = self.is_active();
        let Some(switch) = &mut self.switch else { return };
        let view = &view(shared, &self.world, now);
        match command {
            Command::Run(job) if active => shared.apps.run(job, switch, view),
            Command::AppGone(app) => {
                let paths: Vec<_> = switch.paths().filter(|(_, path)| path.app == app).collect();
                let names: Vec<_> = paths.into_iter().map(|(name, _)| name).collect();
                names.into_iter().for_each(|name| switch.remove(view, name));
                switch.delete_of_app(app);
            }
            Command::AddHop(entry) => {
                let (hop, dpid) = (entry.name(), switch.dpid());
                let added =
                    if active { switch.add_hop(view, *entry) } else { Err(HopFailure::Gone) };
                if let Err(failure) = added {
                    let command = Command::HopFailed { hop, dpid, failure };
                    shared.net.directory.insist_session(hop.path.session, command);
                }
            }
            Command::RemoveHop(hop) => switch.remove_hop(view, hop),
            Command::HopConfirmed { hop, dpid } => switch.hop_confirmed(view, hop, dpid),
            Command::HopFailed { hop, dpid, failure } => {
                switch.hop_failed(view, hop, dpid, failure);
            }
            Command::HopGone { hop, dpid } => switch.hop_gone(view, hop, dpid),
            Command::Renew { hop, dpid } => switch.renew(view, hop, dpid),
            Command::Disown(refused) => switch.disown(&refused),
            Command::PacketOut { .. } if switch.output().len() > OUTPUT_HIGH_WATER => {
                switch.counters.shed += 1;
            }
            Command::PacketOut { tag, outputs, frame } if active => {
                let actions =
                    crate::program::flood_actions(switch.version(), PortNo::ANY, tag, &outputs);
                let _ = switch.send_frame(PortNo::ANY, actions, &frame);
            }
            Command::Probe { port, frame } if active => {
                let _ = switch.send_frame(PortNo::ANY, vec![Action::output(port)], &frame);
            }
            Command::HostChanged { domain, mac } => self.changed.push((domain, mac)),
            Command::Run(_)
            | Command::PacketOut { .. }
            | Command::Probe { .. }
            | Command::Prove { .. }
            | Command::Proved
            | Command::Superseded
            | Command::Shutdown => {}
        }
    }

    /// Decides the paths again of all hosts that have changed: to look for them takes as long for many
    /// hosts as for one.
    fn decide_changed(&mut self, now: Instant, shared: &Shared<P>) {
        let Some(switch) = self.switch.as_mut().filter(|_| !self.changed.is_empty()) else {
            return;
        };
        let view = view(shared, &self.world, now);
        for name in switch.paths_of(&self.changed) {
            let Some(path) = switch.path(name) else { continue };
            let (app, key) = (path.app, path.key);
            let again = shared.apps.decide_again(app, switch, view, &self.world.policy, &key);
            switch.settle(&view, name, again);
        }
        self.changed.clear();
    }

    /// A command that must not be lost was lost: start from an empty flow table.
    fn resync(&mut self, now: Instant, shared: &Shared<P>) {
        if !self.is_active() {
            return;
        }
        let Some(switch) = &mut self.switch else { return };
        switch.counters.resyncs += 1;
        let mut remains = switch.take_remains();
        switch.delete_all();
        switch.install_standing();
        let dpid = switch.dpid();
        self.stop_adopting(&mut remains, now, shared);
        let Some(switch) = &mut self.switch else { return };
        shared.release(&remains, dpid);
        shared.net.observer.event(&Event::Resync { dpid });
        let view = view(shared, &self.world, now);
        shared.apps.each_on(switch, view, &self.world.policy, |app, switch, cx| {
            app.switch_ready(switch, cx);
        });
    }

    // ---- messages ----

    fn run_messages(&mut self, now: Instant, shared: &Shared<P>) -> bool {
        let mut input = std::mem::take(&mut self.input);
        let (mut handled, mut at) = (0, 0);
        let mut ahead = ahead::Ahead::default();
        while handled < MESSAGES_PER_TURN && self.closed().is_none() {
            let rest = &input[at..];
            let length = match next_frame(rest) {
                Ok(Some(length)) => length,
                Ok(None) => break,
                Err(error) => {
                    self.close(&error.to_string());
                    break;
                }
            };
            if let Some(switch) = &self.switch {
                ahead.look(&input, (handled, at + length), switch);
            }
            self.heard = now;
            self.echo_sent = false;
            let message = &rest[..length];
            if !self.path_ended(message, now, shared) {
                match decode(message) {
                    // Packet-ins are most: they are not moved about as messages of any kind.
                    Ok((header, Message::PacketIn(packet)))
                        if self.is_active() && header.version == self.version =>
                    {
                        self.packet_in(&packet, now, shared);
                    }
                    Ok((header, message)) => self.message(header, message, now, shared),
                    Err(error) => self.broken(message, &error, now),
                }
            }
            at += length;
            handled += 1;
        }
        input.advance(at);
        self.input = input;
        handled == MESSAGES_PER_TURN
    }

    /// Handles a message if it tells that an entry of a path has ended, as it does for every path. Such
    /// an entry is known by its cookie; the rest of the message is not read.
    fn path_ended(&mut self, message: &[u8], now: Instant, shared: &Shared<P>) -> bool {
        let Some((version, cookie, in_port)) = ended_entry(message) else { return false };
        if !self.is_active() || version != self.version || of_app(cookie).is_some() {
            return false;
        }
        let Some(switch) = &mut self.switch else { return false };
        switch.flow_removed(&view(shared, &self.world, now), cookie, in_port);
        true
    }

    /// A message that does not decode: the switch is told, and left if it does it again and again.
    fn broken(&mut self, bytes: &[u8], error: &DecodeError, now: Instant) {
        self.broken += 1;
        if matches!(self.phase, Phase::Reading { .. }) && self.broken < BROKEN_MESSAGES {
            // Entries that cannot be read are deleted with the others.
            return self.read_nothing(now);
        }
        if let Some(code) = error.error_code(self.version) {
            let xid = Xid(u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]));
            let data = bytes[..bytes.len().min(64)].into();
            self.early_send_as(xid, &Message::Error(ErrorMessage { code, data }));
        }
        if self.broken >= BROKEN_MESSAGES || !self.is_active() {
            self.close(&error.to_string());
        }
    }

    fn message(&mut self, header: Header, message: Message<'_>, now: Instant, shared: &Shared<P>) {
        match (&self.phase, &message) {
            (Phase::Hello { .. }, Message::Hello(hello)) => {
                return self.negotiate(header.version, hello, now, shared);
            }
            (Phase::Hello { .. }, Message::Error(_)) => {
                return self.close("the switch refused our hello");
            }
            (Phase::Hello { .. }, _) => return self.close("no hello as the first message"),
            (Phase::Closed { .. }, _) => return,
            _ => {}
        }
        if header.version != self.version {
            let data = Vec::new().into();
            let error = Message::Error(ErrorMessage { code: BAD_REQUEST_BAD_VERSION, data });
            self.early_send_as(header.xid, &error);
            let reason = format!(
                "a message of version {} after agreeing on {}",
                header.version, self.version
            );
            return self.close(&reason);
        }
        match message {
            Message::EchoRequest(payload) => {
                return self.early_send_as(header.xid, &Message::EchoReply(payload));
            }
            Message::EchoReply(_) => {
                for asker in self.askers.drain(..) {
                    asker.insist(Command::Proved);
                }
            }
            Message::Hello(_) => return,
            _ => {}
        }
        if self.is_active() {
            return self.active_message(header, message, now, shared);
        }
        match (&mut self.phase, message) {
            (Phase::Features { .. }, Message::FeaturesReply(features)) => {
                self.features(features, now, shared);
            }
            (Phase::Ports { ports, .. }, Message::PortDescriptionReply { ports: part, more }) => {
                ports.extend(part);
                if !more
                    && let Phase::Ports { features, ports, .. } =
                        std::mem::replace(&mut self.phase, Phase::Active)
                {
                    self.join(features, ports, now, shared);
                }
            }
            (Phase::Reading { until, request }, Message::FlowStatsReply { flows, more })
                if *request == header.xid =>
            {
                *until = now + HANDSHAKE_TIMEOUT;
                self.note_entries(flows, more, now);
            }
            (Phase::Reading { request, .. }, Message::Error(_)) if *request == header.xid => {
                self.read_nothing(now);
            }
            (Phase::Cleaning { step, barrier, .. }, Message::BarrierReply)
                if *barrier == header.xid =>
            {
                match *step {
                    CleaningStep::Deleting => self.install(now),
                    CleaningStep::Installing => self.ready(now, shared),
                }
            }
            (Phase::Reading { .. } | Phase::Cleaning { .. }, Message::PortStatus(status)) => {
                if let Some(switch) = &mut self.switch {
                    apply_port_status(switch, &status);
                }
            }
            (Phase::Features { .. } | Phase::Ports { .. }, Message::Error(error)) => {
                self.close(&format!("the switch answered with error {}", error.code));
            }
            // Packet-ins before the table is clean, late replies, what we did not ask for.
            _ => {}
        }
    }

    fn active_message(
        &mut self,
        header: Header,
        message: Message<'_>,
        now: Instant,
        shared: &Shared<P>,
    ) {
        match message {
            Message::PacketIn(packet) => return self.packet_in(&packet, now, shared),
            Message::PortStatus(status) => return self.port_status(&status, now, shared),
            _ => {}
        }
        let Some(switch) = &mut self.switch else { return };
        let (view, policy) = (view(shared, &self.world, now), &*self.world.policy);
        match message {
            Message::FlowRemoved(mut removed) => match switch.ended(&mut removed) {
                Ended::Path => {
                    let in_port = removed.matches.ingress().unwrap_or(PortNo::ANY);
                    switch.flow_removed(&view, removed.cookie, in_port);
                }
                Ended::App(app) => {
                    shared.apps.one_on(app, switch, view, policy, |app, switch, cx| {
                        app.flow_removed(switch, cx, &removed);
                    });
                }
                Ended::Unasked => {}
            },
            Message::BarrierReply if switch.barrier_reply(&view, header.xid) => {}
            Message::Opaque(unknown) => self.refuse_type(header, &unknown),
            message if switch.audited(&view, header.xid, &message) => {}
            Message::Error(error) => {
                switch.error(&view, header.xid);
                let (dpid, code) = (switch.dpid(), error.code);
                shared.net.observer.event(&Event::SwitchError { dpid, code });
                self.error(&error, header.xid, now, shared);
            }
            Message::Experimenter { experimenter, body } => {
                shared.apps.each_on(switch, view, policy, |app, switch, cx| {
                    app.experimenter(switch, cx, experimenter, &body);
                });
            }
            // What nobody asked for is nobody's.
            message => {
                let xid = header.xid;
                match switch.answered(xid, message, header.length.into()) {
                    Answer::Nothing => {}
                    Answer::Whole(Asker::Code(app, reply), message) => {
                        shared.apps.guarded(app, &shared.net, || reply(Ok(message)));
                    }
                    Answer::GivenUp(Asker::Code(app, reply)) => {
                        let too_large = Err(RequestError::TooLarge);
                        shared.apps.guarded(app, &shared.net, || reply(too_large));
                    }
                    Answer::GivenUp(Asker::App(app)) => {
                        shared.apps.one_on(app, switch, view, policy, |app, switch, cx| {
                            app.no_reply(switch, cx, xid);
                        });
                    }
                    Answer::Whole(Asker::App(no), mut message) => {
                        switch.show_own_cookies(no, &mut message);
                        shared.apps.one_on(no, switch, view, policy, |app, switch, cx| {
                            match &message {
                                Message::BarrierReply => app.barrier_reply(switch, cx, xid),
                                Message::RoleReply(role) => app.role_reply(switch, cx, xid, role),
                                reply if is_stats(reply) => app.stats_reply(switch, cx, xid, reply),
                                reply => app.reply(switch, cx, xid, reply),
                            }
                        });
                    }
                }
            }
        }
    }

    /// A type that this version does not have (§7.5.4.3): told with the message's first 64 bytes.
    fn refuse_type(&mut self, header: Header, unknown: &Opaque<'_>) {
        let mut data = vec![header.version.0, unknown.kind];
        data.extend_from_slice(&header.length.to_be_bytes());
        data.extend_from_slice(&header.xid.0.to_be_bytes());
        data.extend_from_slice(&unknown.body);
        data.truncate(64);
        let code = BAD_REQUEST_BAD_TYPE;
        self.early_send_as(header.xid, &Message::Error(ErrorMessage { code, data: data.into() }));
    }

    /// Tells whoever sent something that the switch refused it.
    fn error(&mut self, error: &ErrorMessage<'_>, xid: Xid, now: Instant, shared: &Shared<P>) {
        let Some(switch) = &mut self.switch else { return };
        let sent = switch.sent_by_app(xid);
        let app = match (switch.refused(xid), &sent) {
            (Some(Asker::Code(app, reply)), _) => {
                let refused = Err(RequestError::Refused(error.code));
                shared.apps.guarded(app, &shared.net, || reply(refused));
                return;
            }
            (Some(Asker::App(app)), _) => app,
            (None, Some((app, _))) => *app,
            (None, None) => return,
        };
        let bytes = sent.and_then(|(_, bytes)| bytes);
        // Switches send at least 64 bytes of what they refuse; that may be all of it.
        let bytes = bytes.as_deref().unwrap_or(&error.data);
        let mut request = decode(bytes).ok().map(|(_, message)| message);
        if let Some(request) = &mut request {
            switch.show_own_cookies(app, request);
        }
        switch.app_refused(bytes);
        let error = SwitchError { code: error.code, xid, request };
        let view = view(shared, &self.world, now);
        shared.apps.one_on(app, switch, view, &self.world.policy, |app, switch, cx| {
            app.error(switch, cx, &error);
        });
    }

    fn packet_in(&mut self, packet: &PacketIn<'_>, now: Instant, shared: &Shared<P>) {
        let Some(switch) = &mut self.switch else { return };
        if switch.output().len() > OUTPUT_HIGH_WATER {
            switch.counters.shed += 1;
            return;
        }
        switch.counters.packet_ins += 1;
        if is_lldp(&packet.data) {
            if self.lldp.take(now) {
                let dpid = switch.dpid();
                shared.lldp(dpid, packet.in_port, &packet.data, now);
                self.note_world(shared);
            }
            return;
        }
        match self.adopting.as_mut().map_or(adopt::Held::No, |adopting| adopting.hold(packet)) {
            adopt::Held::No => {}
            adopt::Held::Yes => return,
            adopt::Held::Full => {
                switch.counters.shed += 1;
                return;
            }
        }
        let view = view(shared, &self.world, now);
        shared.apps.packet_in(switch, view, &self.world.policy, &self.hosts, packet);
    }

    /// The World knows of a port's change before the next message is handled.
    fn port_status(&mut self, status: &PortStatus, now: Instant, shared: &Shared<P>) {
        let Some(switch) = &mut self.switch else { return };
        let (dpid, port) = (switch.dpid(), &status.port);
        let was = switch.ports.get(&port.port_no).is_some_and(Port::is_up);
        apply_port_status(switch, status);
        let is = switch.ports.get(&port.port_no).is_some_and(Port::is_up);
        let known = (status.reason != PortStatusReason::DELETE).then(|| port.clone());
        shared.port_changed(dpid, port.port_no, known, now);
        if was != is {
            let port = port.port_no;
            let event =
                if is { Event::PortUp { dpid, port } } else { Event::PortDown { dpid, port } };
            shared.net.observer.event(&event);
        }
        self.note_world(shared);
        let view = view(shared, &self.world, now);
        let Some(switch) = &mut self.switch else { return };
        shared.apps.each_on(switch, view, &self.world.policy, |app, switch, cx| {
            match status.reason {
                PortStatusReason::ADD => app.port_added(switch, cx, port),
                PortStatusReason::DELETE => app.port_removed(switch, cx, port),
                _ => app.port_changed(switch, cx, port),
            }
        });
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

/// Whether a frame is LLDP, under a tag or not.
fn is_lldp(frame: &[u8]) -> bool {
    let Some(&[high, low]) = frame.get(12..14) else { return false };
    match u16::from_be_bytes([high, low]) {
        LLDP_TYPE => true,
        // What may stand before the EtherType.
        0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x9300 => {
            Headers::parse(frame).eth_type == Field::Is(LLDP_TYPE)
        }
        _ => false,
    }
}

fn apply_port_status(switch: &mut Switch, status: &PortStatus) {
    if status.reason == PortStatusReason::DELETE {
        switch.ports.remove(&status.port.port_no);
    } else {
        switch.ports.insert(status.port.port_no, status.port.clone());
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

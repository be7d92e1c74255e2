//! What a switch had when it connected: read, and decided again before its packet-ins are handled.
//! Pure but for the shared tables.
//!
//! Entries that enter and leave on one switch are decided at once, and so is what the policy refuses
//! where it enters. What else belongs to longer paths waits until the links and the other switches
//! are known, [`ADOPTION_TIME`] at most. Until nothing waits any more packet-ins are held back, for
//! [`HOLD_TIME`] at most: a switch that does not come back must not keep others from new flows.
//!
//! A switch that has lost nothing but its connection is back in the same run: its paths and the
//! entries that others have there are known. Its paths keep their ways, and the owners of the others
//! are asked for their entries again; only what they do not have any more is deleted.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use umlaut_openflow::{FlowStats, Message, PacketIn};

use super::{CleaningStep, HANDSHAKE_TIMEOUT, OUTPUT_HIGH_WATER, Phase, Session, view};
use crate::app::Policy;
use crate::command::Command;
use crate::path::{HopName, Leg, PATH_EPOCH, PathRef, SessionNo};
use crate::shared::{Returned, Shared};
use crate::switch::{Earlier, Remains, Verdict, is_entrance};

/// How long entries of paths over several switches wait for the others to be known; then they are
/// deleted. Open vSwitch tries to connect every 8 s at the latest.
const ADOPTION_TIME: Duration = Duration::from_secs(10);
/// How long packet-ins are held back at most.
const HOLD_TIME: Duration = Duration::from_secs(3);
/// Entries decided in one turn.
const ENTRIES_PER_TURN: usize = 1024;
/// Bytes of packet-ins that are held back. When there are as many, further ones are dropped and
/// counted as shed.
const HELD_BYTES: usize = 1 << 20;
/// Owners asked for an entry in one turn, and the room that they and this switch must have in their
/// mailboxes for it; otherwise they are asked [`ASK_AGAIN`] later.
const ASKS_PER_TURN: usize = 512;
const ROOM: usize = 2048;
const ASK_AGAIN: Duration = Duration::from_millis(20);

enum Step {
    /// Hosts are noted, from this entry on.
    Recalling(usize),
    /// Entries are decided, from this one on.
    Deciding(usize),
    /// What is left waits for another World than of this revision, or for more switches than these
    /// to have told where hosts are.
    Waiting(u64, u64),
}

/// What becomes of a packet-in.
pub(super) enum Held {
    /// It is handled now.
    No,
    /// It is handled later.
    Yes,
    /// It is dropped.
    Full,
}

/// The state of it.
pub(super) struct Adopting {
    until: Instant,
    /// When packet-ins are handled though something waits; `None`: they are.
    hold_until: Option<Instant>,
    step: Step,
    refused: Vec<Earlier>,
    held: VecDeque<PacketIn<'static>>,
    held_bytes: usize,
    /// What is known of the last connection, if the switch was waited for.
    known: Option<Known>,
}

/// What an earlier connection in the same run left.
struct Known {
    /// Its paths that are not decided yet, and entries of others.
    remains: Remains,
    /// Its paths whose entrance the switch still has.
    found: BTreeSet<PathRef>,
    /// See [`Returned::awaited`].
    awaited: BTreeSet<SessionNo>,
    /// Entries whose owners are to be asked for them.
    asks: VecDeque<HopName>,
    ask_at: Option<Instant>,
}

impl Known {
    fn new(returned: Returned) -> Known {
        let Returned { remains, awaited } = returned;
        let asks = remains.guests.iter().copied().collect();
        Known { remains, found: BTreeSet::new(), awaited, asks, ask_at: None }
    }
}

impl Adopting {
    pub(super) fn deadline(&self) -> Instant {
        let ask_at = self.known.as_ref().and_then(|known| known.ask_at);
        let until = self.hold_until.unwrap_or(self.until);
        ask_at.map_or(until, |at| at.min(until))
    }

    /// Keeps a packet-in for later, if packet-ins are held back.
    pub(super) fn hold(&mut self, packet: &PacketIn<'_>) -> Held {
        if self.hold_until.is_none() {
            return Held::No;
        }
        if self.held_bytes + packet.data.len() > HELD_BYTES {
            return Held::Full;
        }
        self.held_bytes += packet.data.len();
        if let Message::PacketIn(packet) = Message::PacketIn(packet.clone()).into_owned() {
            self.held.push_back(packet);
        }
        Held::Yes
    }
}

impl<P: Policy> Session<P> {
    // ---- reading ----

    pub(super) fn note_entries(&mut self, flows: Vec<FlowStats>, more: bool, now: Instant) {
        if let Some(switch) = &mut self.switch {
            switch.note_entries(flows);
        }
        if !more {
            self.delete_rest(now);
        }
    }

    /// The switch does not tell what it has, or not so that it can be understood.
    pub(super) fn read_nothing(&mut self, now: Instant) {
        if let Some(switch) = &mut self.switch {
            switch.keep_nothing();
        }
        self.delete_rest(now);
    }

    fn delete_rest(&mut self, now: Instant) {
        let Some(switch) = &mut self.switch else { return };
        switch.delete_foreign();
        let barrier = switch.send(&Message::BarrierRequest).unwrap_or_default();
        let until = now + HANDSHAKE_TIMEOUT;
        self.phase = Phase::Cleaning { until, step: CleaningStep::Deleting, barrier };
    }

    // ---- deciding ----

    pub(super) fn start_adopting(
        &mut self,
        returned: Option<Returned>,
        now: Instant,
        shared: &Shared<P>,
    ) {
        let Some(switch) = &self.switch else { return };
        let (dpid, kept) = (switch.dpid(), switch.kept());
        let guests = returned.as_ref().is_some_and(|back| !back.remains.guests.is_empty());
        if kept == 0 && !guests {
            returned.iter().for_each(|back| shared.release(&back.remains, dpid));
        } else {
            shared.net.adoptions().begin();
            self.adopting = Some(Adopting {
                until: now + ADOPTION_TIME,
                // In the same run hosts and links are known: new flows need not wait.
                hold_until: returned.is_none().then_some(now + HOLD_TIME),
                step: Step::Recalling(0),
                refused: Vec::new(),
                held: VecDeque::new(),
                held_bytes: 0,
                known: returned.map(Known::new),
            });
        }
    }

    /// Decides a bounded number of entries. Returns whether there is more to do at once.
    pub(super) fn adopt_piece(&mut self, now: Instant, shared: &Shared<P>) -> bool {
        if !self.is_active() {
            return false;
        }
        let Some(switch) = &mut self.switch else { return false };
        let Some(mut adopting) = self.adopting.take() else { return false };
        let asked = adopting.known.as_ref().is_none_or(|known| known.asks.is_empty());
        if switch.kept() == 0 && asked || adopting.until <= now {
            self.end_adopting(adopting, now, shared);
            return false;
        }
        if adopting.hold_until.is_some_and(|until| until <= now) {
            adopting.hold_until = None;
            self.handle_held(&mut adopting, now, shared);
            self.adopting = Some(adopting);
            return true;
        }
        if switch.output().len() > OUTPUT_HIGH_WATER {
            // It goes on when the switch has read some of it.
            self.adopting = Some(adopting);
            return false;
        }
        let known = (self.world.revision, shared.net.recalls());
        let places = switch.kept_places();
        let asking = self.ask(&mut adopting, now, shared);
        adopting.step = match adopting.step {
            Step::Recalling(from) => {
                let to = places.min(from + ENTRIES_PER_TURN);
                self.recall(from..to, &mut adopting.known, now, shared);
                if to < places {
                    Step::Recalling(to)
                } else {
                    self.release_ended(&mut adopting.known, now, shared);
                    shared.recalled();
                    Step::Deciding(0)
                }
            }
            Step::Deciding(from) => {
                let to = places.min(from + ENTRIES_PER_TURN);
                self.decide_kept(from..to, &mut adopting, now, shared);
                if to < places {
                    Step::Deciding(to)
                } else {
                    tell_refused(&mut adopting.refused, shared);
                    Step::Waiting(known.0, known.1)
                }
            }
            Step::Waiting(revision, recalls) if (revision, recalls) != known => Step::Deciding(0),
            waiting @ Step::Waiting(..) => waiting,
        };
        let more = asking || !matches!(adopting.step, Step::Waiting(..));
        let asked = adopting.known.as_ref().is_none_or(|known| known.asks.is_empty());
        self.adopting = Some(adopting);
        let left = self.switch.as_ref().map_or(0, |switch| switch.kept());
        more || left == 0 && asked
    }

    /// Asks owners of entries that were here for them, as far as everybody has room. Returns whether
    /// more can be asked at once.
    fn ask(&self, adopting: &mut Adopting, now: Instant, shared: &Shared<P>) -> bool {
        let (Some(switch), Some(known)) = (&self.switch, &mut adopting.known) else { return false };
        if known.ask_at.is_some_and(|at| now < at) {
            return false;
        }
        known.ask_at = None;
        let (dpid, directory) = (switch.dpid(), &shared.net.directory);
        for _ in 0..ASKS_PER_TURN {
            let Some(hop) = known.asks.front().copied() else { return false };
            let room = directory.room_of_session(hop.path.session).unwrap_or(ROOM);
            if room.min(self.mailbox.room()) < ROOM {
                known.ask_at = Some(now + ASK_AGAIN);
                return false;
            }
            known.asks.pop_front();
            directory.insist_session(hop.path.session, Command::Renew { hop, dpid });
        }
        true
    }

    /// Notes where the entries say that hosts are, and which paths leave here. Of entries of this
    /// run, whose hosts are known, who is to be asked for them.
    fn recall(
        &mut self,
        places: std::ops::Range<usize>,
        known: &mut Option<Known>,
        now: Instant,
        shared: &Shared<P>,
    ) {
        let Some(switch) = &self.switch else { return };
        let (view, policy) = (view(shared, &self.world, now), &*self.world.policy);
        for own in places.filter_map(|at| switch.kept_at(at)) {
            if let Some(known) = known
                && own.cookie.epoch == shared.net.epoch | PATH_EPOCH
            {
                let name = own.name();
                if is_entrance(&own) {
                    known.found.insert(name.path);
                } else if !known.remains.guests.contains(&name)
                    && !known.awaited.contains(&name.path.session)
                {
                    known.asks.push_back(name);
                }
                continue;
            }
            if own.cookie.mark.last && own.cookie.mark.leg == Leg::Forward {
                shared.net.adoptions().note_egress((own.cookie.epoch, own.cookie.path));
            }
            for (at, mac) in own.hosts(switch.dpid()) {
                shared.apps.each(view, policy, |app, cx| app.recall(cx, at, mac));
            }
        }
    }

    /// Paths that the switch does not know of any more: what they have elsewhere goes.
    fn release_ended(&mut self, known: &mut Option<Known>, now: Instant, shared: &Shared<P>) {
        let (Some(switch), Some(known)) = (&mut self.switch, known) else { return };
        let view = view(shared, &self.world, now);
        let Known { remains, found, .. } = known;
        remains.paths.retain(|name, left| {
            let has = found.contains(name);
            if !has {
                switch.release_left(&view, *name, left);
            }
            has
        });
    }

    fn decide_kept(
        &mut self,
        places: std::ops::Range<usize>,
        adopting: &mut Adopting,
        now: Instant,
        shared: &Shared<P>,
    ) {
        let Adopting { refused, known, .. } = adopting;
        let Some(switch) = &mut self.switch else { return };
        let (view, policy) = (view(shared, &self.world, now), &*self.world.policy);
        let fabric = shared.apps.fabric(policy);
        // In the same run, only a switch that is lost could still tell where a receiver is.
        let all_here = !shared.is_a_switch_lost();
        for at in places {
            let Some(own) = switch.kept_at(at) else { continue };
            let (dpid, port) = (switch.dpid(), own.key.in_port);
            let mine = own.cookie.epoch == shared.net.epoch | PATH_EPOCH;
            let known = known.as_mut().filter(|_| mine);
            if is_entrance(&own) {
                let decided = shared.apps.decide_anew(switch, view, policy, &own.key);
                let name = own.cookie.path;
                let path = (own.cookie.epoch, name);
                let receiver_known = known.is_some()
                    || mine && all_here
                    || own.cookie.mark.last
                    || shared.net.adoptions().knows_egress(path);
                let left = known.as_ref().and_then(|known| known.remains.paths.get(&name));
                let verdict = switch.settle_kept(&view, at, decided, receiver_known, left);
                if let Verdict::Refused(path) = verdict {
                    refused.push(path);
                }
                if verdict != Verdict::Later
                    && let Some(known) = known
                    && let Some(left) = known.remains.paths.remove(&name)
                    && verdict != Verdict::Adopted
                {
                    switch.release_left(&view, name, &left);
                }
            } else if let Some(known) = known {
                // Its owner was asked, or comes back and sends it again.
                let owner = own.cookie.path.session;
                let awaited = known.awaited.contains(&owner);
                if !awaited && !shared.net.directory.has_session(owner) {
                    switch.discard(at);
                }
            } else if !own.cookie.mark.first {
                // Passed on from a port that is gone, or that the policy gives to hosts: nobody
                // answers for these frames. Elsewhere a switch may come back.
                // Of this run: its owner was told that it is gone, and sends it again.
                if mine || view.topology.port(dpid, port).is_none() || (fabric.bound)(dpid, port) {
                    switch.discard(at);
                }
            }
        }
    }

    /// Nothing waits any more, or not any longer: what is left goes, and packet-ins are handled.
    fn end_adopting(&mut self, mut adopting: Adopting, now: Instant, shared: &Shared<P>) {
        let Some(switch) = &mut self.switch else { return };
        for at in 0..switch.kept_places() {
            if switch.kept_at(at).is_some_and(|own| is_entrance(&own)) {
                if let Verdict::Refused(path) = switch.discard(at) {
                    adopting.refused.push(path);
                }
            } else {
                switch.discard(at);
            }
        }
        let dpid = switch.dpid();
        tell_refused(&mut adopting.refused, shared);
        if let Some(mut known) = adopting.known.take() {
            // Those asked have answered, or are there and do.
            known.remains.guests = known.asks.into_iter().collect();
            shared.release(&known.remains, dpid);
        }
        shared.net.adoptions().end();
        self.handle_held(&mut adopting, now, shared);
    }

    /// The connection ended before all was decided: the next one goes on with it.
    pub(super) fn give_up_adopting(&mut self, remains: &mut Remains, shared: &Shared<P>) {
        if let Some(adopting) = self.adopting.take() {
            remains.merge(adopting.known.map(|known| known.remains).unwrap_or_default());
            shared.net.adoptions().end();
        }
    }

    /// All entries are deleted: there is nothing to decide any more.
    pub(super) fn stop_adopting(
        &mut self,
        remains: &mut Remains,
        now: Instant,
        shared: &Shared<P>,
    ) {
        let Some(mut adopting) = self.adopting.take() else { return };
        remains.merge(adopting.known.take().map(|known| known.remains).unwrap_or_default());
        shared.net.adoptions().end();
        self.handle_held(&mut adopting, now, shared);
    }

    fn handle_held(&mut self, adopting: &mut Adopting, now: Instant, shared: &Shared<P>) {
        for packet in std::mem::take(&mut adopting.held) {
            self.packet_in(&packet, now, shared);
        }
    }
}

/// Tells all switches which paths of earlier runs are no more.
fn tell_refused<P: Policy>(refused: &mut Vec<Earlier>, shared: &Shared<P>) {
    if refused.is_empty() {
        return;
    }
    refused.sort_unstable();
    let refused: std::sync::Arc<[Earlier]> = std::mem::take(refused).into();
    shared.net.directory.insist_all(|| Command::Disown(refused.clone()));
}

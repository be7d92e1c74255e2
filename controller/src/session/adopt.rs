//! What a switch had when it connected: read, and decided again before its packet-ins are handled.
//! Pure but for the shared tables.
//!
//! Entries that enter and leave on one switch are decided at once, and so is what the policy refuses
//! where it enters. What else belongs to longer paths waits until the links and the other switches
//! are known, [`ADOPTION_TIME`] at most. Until nothing waits any more packet-ins are held back, for
//! [`HOLD_TIME`] at most: a switch that does not come back must not keep others from new flows.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use umlaut_openflow::{FlowStats, Message, PacketIn};

use super::{CleaningStep, HANDSHAKE_TIMEOUT, OUTPUT_HIGH_WATER, Phase, Session, view};
use crate::app::Policy;
use crate::command::Command;
use crate::path::{Leg, PATH_EPOCH};
use crate::shared::Shared;
use crate::switch::{Earlier, Verdict, is_entrance};

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
}

impl Adopting {
    pub(super) fn deadline(&self) -> Instant {
        self.hold_until.unwrap_or(self.until)
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

    pub(super) fn start_adopting(&mut self, now: Instant, shared: &Shared<P>) {
        if self.switch.as_ref().is_some_and(|switch| switch.kept() > 0) {
            shared.net.adoptions().begin();
            self.adopting = Some(Adopting {
                until: now + ADOPTION_TIME,
                hold_until: Some(now + HOLD_TIME),
                step: Step::Recalling(0),
                refused: Vec::new(),
                held: VecDeque::new(),
                held_bytes: 0,
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
        if switch.kept() == 0 || adopting.until <= now {
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
        adopting.step = match adopting.step {
            Step::Recalling(from) => {
                let to = places.min(from + ENTRIES_PER_TURN);
                self.recall(from..to, now, shared);
                if to < places {
                    Step::Recalling(to)
                } else {
                    shared.recalled();
                    Step::Deciding(0)
                }
            }
            Step::Deciding(from) => {
                let to = places.min(from + ENTRIES_PER_TURN);
                self.decide_kept(from..to, &mut adopting.refused, now, shared);
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
        let more = !matches!(adopting.step, Step::Waiting(..));
        self.adopting = Some(adopting);
        let left = self.switch.as_ref().map_or(0, |switch| switch.kept());
        more || left == 0
    }

    /// Notes where the entries say that hosts are, and which paths leave here.
    fn recall(&mut self, places: std::ops::Range<usize>, now: Instant, shared: &Shared<P>) {
        let Some(switch) = &self.switch else { return };
        let (view, policy) = (view(shared, &self.world, now), &*self.world.policy);
        for own in places.filter_map(|at| switch.kept_at(at)) {
            if own.cookie.mark.last && own.cookie.mark.leg == Leg::Forward {
                shared.net.adoptions().note_egress((own.cookie.epoch, own.cookie.path));
            }
            for (at, mac) in own.hosts(switch.dpid()) {
                shared.apps.each(view, policy, |app, cx| app.recall(cx, at, mac));
            }
        }
    }

    fn decide_kept(
        &mut self,
        places: std::ops::Range<usize>,
        refused: &mut Vec<Earlier>,
        now: Instant,
        shared: &Shared<P>,
    ) {
        let Some(switch) = &mut self.switch else { return };
        let (view, policy) = (view(shared, &self.world, now), &*self.world.policy);
        let fabric = shared.apps.fabric(policy);
        for at in places {
            let Some(own) = switch.kept_at(at) else { continue };
            if is_entrance(&own) {
                let (app, again) = shared.apps.decide_anew(switch, view, policy, &own.key);
                let path = (own.cookie.epoch, own.cookie.path);
                let known = own.cookie.mark.last || shared.net.adoptions().knows_egress(path);
                if let Verdict::Refused(path) = switch.settle_kept(&view, at, app, again, known) {
                    refused.push(path);
                }
            } else if !own.cookie.mark.first {
                // Passed on from a port that is gone, or that the policy gives to hosts: nobody
                // answers for these frames. Elsewhere a switch may come back.
                let (dpid, port) = (switch.dpid(), own.key.in_port);
                // Of this run: its owner was told that it is gone, and sends it again.
                let mine = own.cookie.epoch == shared.net.epoch | PATH_EPOCH;
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
        tell_refused(&mut adopting.refused, shared);
        shared.net.adoptions().end();
        self.handle_held(&mut adopting, now, shared);
    }

    /// The connection ended before all was decided.
    pub(super) fn give_up_adopting(&mut self, shared: &Shared<P>) {
        if self.adopting.take().is_some() {
            shared.net.adoptions().end();
        }
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

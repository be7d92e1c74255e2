//! A controller in virtual time: the same sessions as in production, driven turn by turn from one
//! thread. Pure: no IO, no clock; the order of simultaneous turns comes from a seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use umlaut_openflow::DatapathId;

use crate::app::Policy;
use crate::buffers::Buffers;
use crate::mailbox::{Mailbox, Waker};
use crate::origin::Origin;
use crate::session::Session;
use crate::shared::Shared;
use crate::switch::Switch;

/// A control connection, as its user numbers it.
pub type Channel = u64;

/// What a connection is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Carry these bytes to the switch.
    Bytes(Vec<u8>),
    /// Close.
    Close,
}

struct Flag(Arc<AtomicBool>);

impl Waker for Flag {
    fn wake(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Connection<P: Policy> {
    session: Session<P>,
    woken: Arc<AtomicBool>,
    /// The switch does not read: output stays with the session.
    stalled: bool,
    /// Nobody runs its turns.
    frozen: bool,
}

/// A controller whose time is told to it.
pub struct VirtualController<P: Policy> {
    shared: Arc<Shared<P>>,
    connections: BTreeMap<Channel, Connection<P>>,
    slow_path_at: Instant,
    random: u64,
    turns: u64,
    buffers: Buffers,
    outputs: Vec<(Channel, Output)>,
}

impl<P: Policy> VirtualController<P> {
    /// Drives `shared` from `now` on; `seed` chooses the interleaving of turns.
    pub fn new(shared: Arc<Shared<P>>, seed: u64, now: Instant) -> VirtualController<P> {
        shared.start(now);
        VirtualController {
            shared,
            connections: BTreeMap::new(),
            slow_path_at: now,
            random: seed | 1,
            turns: 0,
            buffers: Buffers::new(),
            outputs: Vec::new(),
        }
    }

    /// What the sessions share.
    pub fn shared(&self) -> &Arc<Shared<P>> {
        &self.shared
    }

    /// The switches known, in channel order.
    pub fn switches(&self) -> impl Iterator<Item = &Switch> {
        self.connections.values().filter_map(|c| c.session.switch())
    }

    /// The switches whose packet-ins are handled, in channel order.
    pub fn active(&self) -> impl Iterator<Item = DatapathId> {
        let active = self.connections.values().filter(|c| c.session.is_active());
        active.filter_map(|c| Some(c.session.switch()?.dpid()))
    }

    /// The connection that serves a datapath, or is about to.
    pub fn channel_of(&self, dpid: DatapathId) -> Option<Channel> {
        let serves = |c: &Connection<P>| c.session.switch().is_some_and(|s| s.dpid() == dpid);
        self.connections.iter().find(|(_, c)| serves(c)).map(|(channel, _)| *channel)
    }

    /// Turns run so far, of all sessions.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// The switch stops reading what it is sent, or reads again.
    pub fn stall(&mut self, channel: Channel, stalled: bool) {
        if let Some(connection) = self.connections.get_mut(&channel) {
            connection.stalled = stalled;
            connection.woken.store(true, Ordering::Relaxed);
        }
    }

    /// Bytes that a connection keeps for a switch that does not read.
    pub fn unread(&mut self, channel: Channel) -> usize {
        self.connections.get_mut(&channel).map_or(0, |c| c.session.output().len())
    }

    /// The session's turns are not run any more, or are run again, as those of one whose thread
    /// does not get the processor.
    pub fn freeze(&mut self, channel: Channel, frozen: bool) {
        if let Some(connection) = self.connections.get_mut(&channel) {
            connection.frozen = frozen;
        }
    }

    /// A switch connects.
    pub fn connected(&mut self, channel: Channel, now: Instant) {
        self.connected_from(channel, Origin::named(format!("virtual {channel}")), now);
    }

    /// A switch connects from somewhere.
    pub fn connected_from(&mut self, channel: Channel, origin: Origin, now: Instant) {
        let woken = Arc::new(AtomicBool::new(true));
        let mailbox = Arc::new(Mailbox::new(Box::new(Flag(woken.clone()))));
        let no = self.shared.next_session();
        let session = Session::new(no, mailbox, origin, &self.shared, now);
        let connection = Connection { session, woken, stalled: false, frozen: false };
        self.connections.insert(channel, connection);
    }

    /// Bytes arrive from a switch.
    pub fn input(&mut self, channel: Channel, bytes: &[u8]) {
        if let Some(connection) = self.connections.get_mut(&channel) {
            connection.session.borrow(&mut self.buffers);
            connection.session.receive(bytes);
            connection.woken.store(true, Ordering::Relaxed);
        }
    }

    /// The connection is lost.
    pub fn disconnected(&mut self, channel: Channel, now: Instant) {
        if let Some(mut connection) = self.connections.remove(&channel) {
            connection.session.end("closed by the switch", now, &self.shared);
        }
    }

    /// The controller ends: the applications are told, what they send is given out, then all
    /// connections are closed.
    pub fn shutdown(&mut self, now: Instant) {
        self.shared.shutdown(now);
        self.poll(now);
        for connection in self.connections.values_mut() {
            connection.session.close("the controller ends");
            connection.woken.store(true, Ordering::Relaxed);
        }
        self.poll(now);
    }

    /// Runs turns until nobody has anything to do at `now`.
    pub fn poll(&mut self, now: Instant) {
        self.slow_path_at = self.slow_path_at.min(self.shared.next_poll());
        loop {
            if self.slow_path_at <= now {
                self.slow_path_at = self.shared.poll(now);
            }
            let ready: Vec<Channel> = self
                .connections
                .iter()
                .filter(|(_, c)| !c.frozen)
                .filter(|(_, c)| {
                    c.woken.load(Ordering::Relaxed)
                        || c.session.deadline().is_some_and(|deadline| deadline <= now)
                })
                .map(|(channel, _)| *channel)
                .collect();
            if ready.is_empty() {
                return;
            }
            let channel = ready[self.next_random() as usize % ready.len()];
            self.turn(channel, now);
            // A turn may have given discovery something to do at once.
            self.slow_path_at = self.slow_path_at.min(self.shared.next_poll());
        }
    }

    /// Runs one turn of one session, whoever else is ready.
    pub fn turn(&mut self, channel: Channel, now: Instant) {
        let Some(connection) = self.connections.get_mut(&channel) else { return };
        self.turns += 1;
        connection.session.borrow(&mut self.buffers);
        connection.woken.store(false, Ordering::Relaxed);
        if connection.session.turn(now, &self.shared) {
            connection.woken.store(true, Ordering::Relaxed);
        }
        while !connection.stalled && !connection.session.output().is_empty() {
            let bytes = connection.session.output().split().to_vec();
            self.outputs.push((channel, Output::Bytes(bytes)));
        }
        connection.session.give_back(&mut self.buffers);
        if connection.session.closed().is_some() {
            self.outputs.push((channel, Output::Close));
            self.disconnected(channel, now);
        }
    }

    /// xorshift64: any sequence will do, as long as the seed tells it.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// When [`VirtualController::poll`] is due at the latest.
    pub fn deadline(&self) -> Instant {
        let run = self.connections.values().filter(|c| !c.frozen);
        let sessions = run.filter_map(|c| c.session.deadline());
        // Something may have been left for an application since the last poll.
        let slow_path = self.slow_path_at.min(self.shared.next_poll());
        sessions.fold(slow_path, Instant::min)
    }

    /// Takes what connections are to do, in order.
    pub fn drain(&mut self) -> Vec<(Channel, Output)> {
        std::mem::take(&mut self.outputs)
    }
}

//! What all sessions of a controller share, and the slow path that changes it. Shared: one lock for
//! switches, ports, links and policies; none per packet.
//!
//! The slow path runs where its cause is noticed, under one lock, and publishes the next World
//! before it returns: a session that tells of a port gone sees a World without it when it handles
//! its next message. Discovery's timers run from [`Shared::poll`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use umlaut_openflow::{DatapathId, Port, PortNo, Version};

use crate::app::{Context, Policy};
use crate::apps::{Apps, context};
use crate::command::{Command, HopFailure};
use crate::concerned::Concerned;
use crate::discovery::{Config, Discovery, Output};
use crate::hosts::HostEntry;
use crate::inbox::{INBOX_MESSAGES, Teller};
use crate::lost::{LostSwitch, LostSwitches};
use crate::notice::{HostAt, Notice};
use crate::path::{Leg, PathRef, SessionNo};
use crate::switch::Remains;
use crate::topology::Topology;
use crate::view::{Event, Net, Observer, View};
use crate::world::{Published, World};

/// How long entries that a lost switch has to do with stay, so that a short loss of a control
/// channel interrupts nothing. A return or a policy change ends the wait.
pub const DETACHED_TIMEOUT: Duration = Duration::from_secs(15);
/// How often hosts are aged.
const AGEING_PERIOD: Duration = Duration::from_secs(5);
/// Hosts looked at in one ageing step.
const AGEING_STEP: usize = 8192;

struct Detached {
    until: Instant,
    remains: Remains,
}

/// What is left for a switch that is back.
#[derive(Debug)]
pub(crate) struct Returned {
    /// Of its own sessions.
    pub(crate) remains: Remains,
    /// Sessions that have ended and whose switches are waited for, its own among them.
    pub(crate) awaited: BTreeSet<SessionNo>,
}

struct SlowPath {
    discovery: Discovery,
    topology: Topology,
    detached: BTreeMap<DatapathId, Detached>,
    lost: LostSwitches,
    ageing: Instant,
    settled: bool,
    /// Whether the topology differs from the published one.
    dirty: bool,
}

impl SlowPath {
    fn reshape(&mut self, change: impl FnOnce(&Topology) -> Topology) {
        self.topology = change(&self.topology);
        self.dirty = true;
    }
}

/// Random or fixed values that a process starts with.
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    /// Signs LLDP. Must be unpredictable where hosts are not trusted.
    pub lldp_key: [u8; 16],
    /// Marks cookies; should differ from the last run's.
    pub epoch: u8,
}

/// A controller without its sockets.
pub struct Shared<P: Policy> {
    /// The applications.
    pub apps: Apps<P>,
    /// The shared tables.
    pub net: Net,
    /// Policy and topology.
    pub world: Published<P>,
    slow: Mutex<SlowPath>,
    versions: Vec<Version>,
    next_session: AtomicU16,
    started: AtomicBool,
    polls: AtomicU64,
    threads: Mutex<Vec<Arc<dyn Pulse>>>,
}

/// A thread that serves sessions, as whoever watches over it sees it.
pub(crate) trait Pulse: Send + Sync {
    /// It is to beat once.
    fn ask(&self);
    /// How often it did.
    fn beats(&self) -> u64;
}

impl<P: Policy> Shared<P> {
    /// A controller for one application, or several in their order, under its first policy,
    /// offering 1.0 and 1.3.
    pub fn new(
        apps: Apps<P>,
        policy: P,
        seed: Seed,
        observer: Box<dyn Observer>,
        now: Instant,
    ) -> Shared<P> {
        let mut discovery = Discovery::new(seed.lldp_key, Config::default());
        let fabric = apps.fabric(&policy);
        discovery.set_policy(fabric.bound, fabric.declared, &Concerned::All, now);
        Shared {
            apps,
            net: Net::new(observer, seed.epoch),
            world: Published::new(policy),
            slow: Mutex::new(SlowPath {
                discovery,
                topology: Topology::default(),
                detached: BTreeMap::new(),
                lost: LostSwitches::default(),
                ageing: now + AGEING_PERIOD,
                settled: false,
                dirty: false,
            }),
            versions: vec![Version::V1_0, Version::V1_3],
            next_session: AtomicU16::new(1),
            started: AtomicBool::new(false),
            polls: AtomicU64::new(0),
            threads: Mutex::default(),
        }
    }

    /// The wire versions offered to switches.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// Offers only these wire versions: 1.0, 1.3 or both.
    #[must_use]
    pub fn offering(mut self, versions: &[Version]) -> Shared<P> {
        self.versions = versions.to_vec();
        self
    }

    /// A number for a new session.
    pub fn next_session(&self) -> SessionNo {
        loop {
            let no = SessionNo(self.next_session.fetch_add(1, Ordering::Relaxed));
            if !self.net.directory.has_session(no) {
                return no;
            }
        }
    }

    fn slow(&self) -> MutexGuard<'_, SlowPath> {
        // What a panicking holder left is at worst a link too few: the next probe mends it.
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a change of the slow path, applies what discovery makes of it, publishes the topology
    /// if it changed and wakes all sessions then.
    fn change(&self, change: impl FnOnce(&mut SlowPath)) {
        self.change_quietly(change);
        self.net.wake_slow_path();
    }

    /// As `change`, but for the slow path's own task, which needs no waking.
    fn change_quietly(&self, change: impl FnOnce(&mut SlowPath)) {
        let mut slow = self.slow();
        change(&mut slow);
        self.apply(&mut slow);
        let changed = std::mem::take(&mut slow.dirty);
        if changed {
            let topology = slow.topology.clone();
            self.world.publish(|world| world.topology = topology.into());
            self.tell_settled(&mut slow);
        }
        drop(slow);
        if changed {
            self.wake_who_decides();
        }
    }

    /// Applies discovery's outputs to topology, hosts and switches.
    fn apply(&self, slow: &mut SlowPath) {
        while let Some(output) = slow.discovery.output() {
            match output {
                Output::SendLldp { dpid, port, frame } => {
                    // A lost probe is sent again; a full mailbox has more urgent things in it.
                    let command = Command::Probe { port, frame: frame.into() };
                    let _ = self.net.directory.offer(dpid, command);
                }
                Output::LinkUp(link) => {
                    slow.reshape(|topology| topology.with_link(link));
                    self.net.notice(Notice::LinkUp(link));
                    let (from, to) = (end(link.from), end(link.to));
                    self.net.observer.event(&Event::LinkUp { from, to });
                }
                Output::LinkDown(link) => {
                    slow.reshape(|topology| topology.without_link(link));
                    self.net.notice(Notice::LinkDown(link));
                    let (from, to) = (end(link.from), end(link.to));
                    self.net.observer.event(&Event::LinkDown { from, to });
                }
                Output::Role { dpid, port, role } => {
                    if role.is_link() {
                        self.net.hosts_gone(&self.net.hosts.forget_port(dpid, port));
                    }
                    slow.topology.set_role(dpid, port, role);
                    slow.dirty = true;
                }
                Output::Alarm(alarm) => self.net.observer.event(&Event::Alarm(alarm.to_string())),
            }
        }
    }

    fn tell_settled(&self, slow: &mut SlowPath) {
        let switches = slow.topology.switches().count();
        let settled = switches > 0 && !slow.topology.is_probing();
        if settled && !slow.settled {
            let links = slow.topology.links().count();
            self.net.observer.event(&Event::TopologySettled { switches, links });
        }
        slow.settled = settled;
    }

    /// Wakes the sessions that have something to decide again under another topology; the others see
    /// it when they have something to do.
    fn wake_who_decides(&self) {
        // A session that has got something to decide says so before it looks for a newer World: it
        // sees this one, or is seen here.
        fence(Ordering::SeqCst);
        self.net.directory.wake_who_decides();
    }

    fn wake_all(&self) {
        for (_, peer) in self.net.directory.peers() {
            peer.mailbox.wake();
        }
    }

    /// Puts another policy in force, all at once. Sessions decide their paths again.
    pub fn set_policy(&self, policy: P, now: Instant) -> u64 {
        let fabric = self.apps.fabric(&policy);
        let mut slow = self.slow();
        let before = self.world.load();
        let mut concerned = self.apps.concerned(&before.policy, &policy);
        slow.discovery.set_policy(fabric.bound, fabric.declared, &concerned, now);
        self.apply(&mut slow);
        // Entries of switches that are away cannot be decided again by their owners.
        let detached = std::mem::take(&mut slow.detached);
        if !detached.is_empty() || !slow.topology.has_links_of(&before.topology) {
            concerned = Concerned::All;
        }
        drop(before);
        let concerned = Arc::new(concerned);
        for (dpid, gone) in detached {
            self.release(&gone.remains, dpid);
            self.forget_switch(&mut slow, dpid, now);
        }
        slow.dirty = false;
        let topology = slow.topology.clone();
        let revision = self.world.publish(|world| {
            world.policy = policy.into();
            world.topology = topology.into();
            world.policy_revision = world.revision;
            world.concerned = concerned.clone();
        });
        slow.lost.policy_changed(revision);
        self.tell_settled(&mut slow);
        drop(slow);
        // What sessions note meanwhile by the policy of before, applications see through.
        let policy = self.world.load().policy.clone();
        let keeps = |host, entry: &HostEntry| self.apps.keeps_host(&policy, host, entry);
        let gone = self.net.hosts.revise(&concerned, keeps);
        self.net.hosts_gone(&gone);
        self.net.observer.event(&Event::PolicyInForce { revision });
        self.wake_all();
        self.net.wake_slow_path();
        revision
    }

    // ---- questions from outside ----

    /// Runs a question under a World, beside the sessions: what it sees is consistent, and may be
    /// older than what a switch does by then.
    pub fn ask<R>(
        &self,
        world: &World<P>,
        now: Instant,
        question: impl FnOnce(&Context<'_, P>) -> R,
    ) -> R {
        question(&context(self.view(world, now), &world.policy))
    }

    /// Whether a switch was connected and is not.
    pub(crate) fn is_a_switch_lost(&self) -> bool {
        self.slow().lost.list().next().is_some()
    }

    /// The switches that were connected and are not, in order.
    pub fn lost_switches(&self) -> Vec<LostSwitch> {
        let slow = self.slow();
        let until = |dpid| slow.detached.get(&dpid).map(|gone| gone.until);
        slow.lost.list().map(|lost| LostSwitch { until: until(lost.dpid), ..lost }).collect()
    }

    /// Which of these paths are of switches that lost their connections and are waited for: their
    /// entries stay, though nobody answers for them.
    pub fn awaited_paths(&self, paths: impl IntoIterator<Item = PathRef>) -> BTreeSet<PathRef> {
        let slow = self.slow();
        let awaited = |path: &PathRef| {
            slow.detached.values().any(|gone| gone.remains.paths.contains_key(path))
        };
        paths.into_iter().filter(awaited).collect()
    }

    // ---- told by sessions ----

    /// A switch is served. What is left of its last connection, if it was waited for; its caller
    /// answers for that from now on.
    pub(crate) fn switch_up(
        &self,
        dpid: DatapathId,
        ports: &[Port],
        now: Instant,
    ) -> Option<Returned> {
        let mut returned = None;
        self.change(|slow| {
            slow.lost.back(dpid);
            let gone = slow.detached.remove(&dpid);
            if let Some(gone) = gone.filter(|_| slow.topology.has_switch(dpid)) {
                self.take_switch_back(slow, dpid, ports, now);
                let awaited = slow.detached.values().flat_map(|gone| gone.remains.owners());
                let awaited = awaited.chain(gone.remains.owners()).collect();
                returned = Some(Returned { remains: gone.remains, awaited });
            } else {
                slow.reshape(|topology| topology.with_switch(dpid, ports.iter().cloned()));
                slow.discovery.switch_up(dpid, ports, now);
            }
            // Told again for every switch that joins, even if all its ports are bound.
            slow.settled = false;
        });
        returned
    }

    /// What is known of a switch stays, as far as its ports are the same: so do the paths over its
    /// links, and the hosts.
    fn take_switch_back(
        &self,
        slow: &mut SlowPath,
        dpid: DatapathId,
        ports: &[Port],
        now: Instant,
    ) {
        let replaced = slow.topology.ports_gone(dpid, ports);
        let up = |port| {
            ports.iter().any(|p| p.port_no == port && p.is_up()) && !replaced.contains(&port)
        };
        let hosts = self.net.hosts.forget(|_, host| host.at.dpid == dpid && !up(host.at.port));
        self.net.hosts_gone(&hosts);
        slow.reshape(|topology| topology.with_switch_back(dpid, ports));
        for port in &replaced {
            slow.discovery.port_removed(dpid, *port, now);
        }
        slow.discovery.switch_back(dpid, ports, now);
    }

    /// A session ended; its switch is waited for so long. Returns whether it was served by it.
    pub(crate) fn switch_down(
        &self,
        (dpid, session): (DatapathId, SessionNo),
        remains: Remains,
        wait: Duration,
        now: Instant,
    ) -> bool {
        let until = now + wait;
        let mut held = false;
        self.change(|slow| {
            // Under the lock: a successor that takes the place finds what is left when it is ready.
            held = self.net.directory.leave(dpid, session);
            let fresh = || Detached { until, remains: Remains::default() };
            slow.detached.entry(dpid).or_insert_with(fresh).remains.merge(remains);
            slow.discovery.switch_away(dpid);
            slow.lost.gone(dpid, now);
        });
        held
    }

    pub(crate) fn port_changed(
        &self,
        dpid: DatapathId,
        port_no: PortNo,
        port: Option<Port>,
        now: Instant,
    ) {
        self.change(|slow| {
            if !port.as_ref().is_some_and(Port::is_up) {
                self.net.hosts_gone(&self.net.hosts.forget_port(dpid, port_no));
            }
            match port {
                Some(port) => {
                    slow.reshape(|topology| topology.with_port(dpid, port.clone()));
                    slow.discovery.port_changed(dpid, &port, now);
                }
                None => {
                    slow.reshape(|topology| topology.without_port(dpid, port_no));
                    slow.discovery.port_removed(dpid, port_no, now);
                }
            }
        });
    }

    pub(crate) fn lldp(&self, dpid: DatapathId, in_port: PortNo, frame: &[u8], now: Instant) {
        self.change(|slow| {
            // Where a host was admitted, LLDP is suspicious.
            let mut admitted = false;
            self.net.hosts.at_port(dpid, in_port, &mut |_, entry| admitted |= !entry.tentative);
            if admitted {
                slow.discovery.host_admitted(dpid, in_port, now);
            }
            slow.discovery.lldp_received(dpid, in_port, frame, now);
        });
    }

    /// A switch told where its entries of an earlier run say that hosts are: those of others that
    /// wait for them are decided once more.
    pub(crate) fn recalled(&self) {
        self.net.recalled();
        self.wake_all();
    }

    /// Removes what is left of a session on other switches, and tells owners of what is left here.
    pub(crate) fn release(&self, remains: &Remains, dpid: DatapathId) {
        for (name, left) in &remains.paths {
            for hop in left.elsewhere(*name, dpid) {
                self.net.directory.insist(hop.dpid, Command::RemoveHop(hop.name));
            }
        }
        for hop in remains.guests.iter().copied() {
            let command = match hop.leg {
                Leg::Forward => Command::HopFailed { hop, dpid, failure: HopFailure::Gone },
                Leg::Reverse => Command::HopGone { hop, dpid },
            };
            self.net.directory.insist_session(hop.path.session, command);
        }
    }

    fn forget_switch(&self, slow: &mut SlowPath, dpid: DatapathId, now: Instant) {
        self.net.hosts_gone(&self.net.hosts.forget_switch(dpid));
        slow.discovery.switch_down(dpid, now);
        self.apply(slow);
        slow.reshape(|topology| topology.without_switch(dpid));
    }

    // ---- time ----

    /// Runs what is due: probes, ageing, switches that did not come back. Returns when to come
    /// again at the latest.
    pub fn poll(&self, now: Instant) -> Instant {
        let mut expired = Vec::new();
        self.change_quietly(|slow| {
            slow.discovery.poll(now);
            let due: Vec<_> = slow
                .detached
                .iter()
                .filter(|(_, gone)| gone.until <= now)
                .map(|(dpid, _)| *dpid)
                .collect();
            for dpid in due {
                if let Some(gone) = slow.detached.remove(&dpid) {
                    self.release(&gone.remains, dpid);
                    self.forget_switch(slow, dpid, now);
                }
            }
            if slow.ageing <= now {
                slow.ageing = now + AGEING_PERIOD;
                expired = self.net.hosts.expire(now, AGEING_STEP);
            }
        });
        for (domain, mac) in expired.iter().copied() {
            self.net.directory.insist_all(|| Command::HostChanged { domain, mac });
        }
        self.net.hosts_gone(&expired);
        self.tell_notices(now);
        self.run_timers(now);
        self.hand_over(now);
        self.net.observer.tick(now);
        self.polls.fetch_add(1, Ordering::Relaxed);
        self.next_poll()
    }

    /// A thread begins to serve sessions.
    #[cfg(feature = "runtime")]
    pub(crate) fn watch(&self, thread: Arc<dyn Pulse>) {
        self.threads().push(thread);
    }

    fn threads(&self) -> MutexGuard<'_, Vec<Arc<dyn Pulse>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often the slow path went through, and each thread that serves sessions: one that is the same
    /// some time after [`Shared::ask_for_life`] hangs.
    pub fn pulse(&self) -> Vec<u64> {
        let polls = self.polls.load(Ordering::Relaxed);
        std::iter::once(polls).chain(self.threads().iter().map(|thread| thread.beats())).collect()
    }

    /// Has the slow path go through once, and each thread that serves sessions.
    pub fn ask_for_life(&self) {
        self.net.wake_slow_path();
        self.threads().iter().for_each(|thread| thread.ask());
    }

    // ---- handlers without a switch ----

    fn view<'a>(&'a self, world: &'a World<P>, now: Instant) -> View<'a> {
        View {
            now,
            revision: world.revision,
            policy_revision: world.policy_revision,
            topology: &world.topology,
            net: &self.net,
        }
    }

    /// Tells the applications that the controller starts; a second call does nothing. Whoever drives
    /// the sessions calls it before the first switch connects.
    pub fn start(&self, now: Instant) {
        if !self.started.swap(true, Ordering::Relaxed) {
            let world = self.world.load();
            self.apps.each(self.view(&world, now), &world.policy, |app, cx| app.start(cx));
        }
    }

    /// Tells the applications that the controller ends.
    pub fn shutdown(&self, now: Instant) {
        let world = self.world.load();
        self.apps.each(self.view(&world, now), &world.policy, |app, cx| app.shutdown(cx));
    }

    /// Tells applications and observer what happened to links and hosts. Called from one place at a
    /// time, so that it is told in order.
    fn tell_notices(&self, now: Instant) {
        let world = self.world.load();
        let (view, policy) = (self.view(&world, now), &*world.policy);
        while let Some(notice) = self.net.take_notice() {
            let observer = &self.net.observer;
            match notice {
                // The observer knew when it happened.
                Notice::LinkUp(_) | Notice::LinkDown(_) => {}
                Notice::HostLocated(HostAt { domain, mac, at }) => {
                    observer.event(&Event::HostLocated { domain, mac, at });
                }
                Notice::HostMoved { host: HostAt { domain, mac, at }, from } => {
                    observer.event(&Event::HostMoved { domain, mac, from, to: at });
                }
                Notice::HostGone { domain, mac } => {
                    observer.event(&Event::HostGone { domain, mac });
                }
            }
            self.apps.each(view, policy, |app, cx| match notice {
                Notice::LinkUp(link) => app.link_up(cx, &link),
                Notice::LinkDown(link) => app.link_down(cx, &link),
                Notice::HostLocated(host) => app.host_located(cx, &host),
                Notice::HostMoved { host, from } => app.host_moved(cx, &host, from),
                Notice::HostGone { domain, mac } => app.host_gone(cx, domain, mac),
            });
        }
        match self.net.take_lost() {
            0 => {}
            lost => self.net.observer.event(&Event::NoticesLost { lost }),
        }
    }

    /// Hands over what applications are told from outside: as much as waits now, so that what is told
    /// in answer waits for the next time.
    fn hand_over(&self, now: Instant) {
        for _ in 0..INBOX_MESSAGES {
            let Some((app, told)) = self.net.inbox.take() else { return };
            let world = self.world.load();
            let view = self.view(&world, now);
            self.apps.one(app, view, &world.policy, |app, cx| app.told(cx, told));
        }
    }

    /// Who tells the application of this name something; the first, if there are several. `None`: no
    /// such application is loaded.
    pub fn teller(&self, name: &str) -> Option<Teller> {
        let app = self.apps.number(name)?;
        Some(Teller { inbox: self.net.inbox.clone(), app })
    }

    fn run_timers(&self, now: Instant) {
        while let Some((app, name)) = self.net.take_timer(now) {
            let world = self.world.load();
            let view = self.view(&world, now);
            self.apps.one(app, view, &world.policy, |app, cx| app.timer(cx, &name));
        }
    }

    /// When [`Shared::poll`] is due.
    pub(crate) fn next_poll(&self) -> Instant {
        let slow = self.slow();
        let mut next = slow.ageing;
        if self.net.has_notices() || !self.net.inbox.is_empty() {
            // At once: this is in the past.
            next -= AGEING_PERIOD;
        }
        let detached = slow.detached.values().map(|gone| gone.until);
        let timer = self.net.next_timer();
        slow.discovery.deadline().into_iter().chain(detached).chain(timer).fold(next, Instant::min)
    }
}

fn end((dpid, port): (DatapathId, PortNo)) -> String {
    format!("{dpid}/{port}")
}

//! A whole network in virtual time: switches, hosts, cables, and the controller under test. Pure.
//!
//! ```text
//!   Controller  ==== channel per switch ====  EmulatedSwitch ---- cable ---- EmulatedSwitch
//!                                                   |
//!                                                 cable
//!                                                   |
//!                                              EmulatedHost
//! ```
//!
//! Each direction of a cable and of a channel is a lane: what enters first leaves first. What happens
//! next is the earliest of what is in the lanes and of all deadlines; among simultaneous events the
//! seed decides, and it also varies delays and cuts control bytes at odd places. The same topology,
//! seed and calls give the same run.
//!
//! ```
//! use std::time::Duration;
//! use umlaut_testbed::{Hub, Network, NetworkOptions, Topology};
//!
//! let mut net = Network::new(&Topology::linear(2, 1), NetworkOptions::default(), Hub::new())?;
//! net.run_for(Duration::from_secs(1));
//! net.send_udp("h1", "h2", b"hello").ok_or("no such host")?;
//! net.run_until_idle(Duration::from_secs(1));
//! assert_eq!(net.host("h2").map(|h2| h2.received()), Some(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod channels;
mod lanes;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use umlaut_openflow::{DatapathId, PortNo, Version};

use crate::control::{ChannelId, ControlOutput, Controller};
use crate::host::EmulatedHost;
use crate::random::Random;
use crate::switch::{EmulatedSwitch, Output, SwitchOptions};
use crate::topology::{Endpoint, Topology, TopologyError};

use lanes::{Item, LaneId, Lanes};

/// How many events one call of a `run_` function handles at most: a frame that circulates for ever
/// ends the run with [`RunEnd::Exhausted`].
const EVENT_LIMIT: u64 = 5_000_000;

/// A timer that is due again as soon as it has run is run again after this.
const TIMER_STEP: Duration = Duration::from_micros(1);

/// How a network behaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetworkOptions {
    /// Decides all that is left to chance.
    pub seed: u64,
    /// The kind of all switches; `name` and `dpid` are replaced.
    pub switch: SwitchOptions,
    /// How long a frame is in a cable.
    pub cable_delay: Duration,
    /// How long bytes are in a control channel.
    pub control_delay: Duration,
    /// Up to this is added to each delay, by chance.
    pub jitter: Duration,
    /// How long a switch waits before it connects again: at first, and at most; doubled at each
    /// failure.
    pub backoff: (Duration, Duration),
    /// Whether hosts resolve addresses by ARP. If not, each knows all others from the start.
    pub real_arp: bool,
}

impl Default for NetworkOptions {
    /// Seed 0, both versions, 10 µs per cable, 100 µs per channel, 20 µs jitter, back-off as Open vSwitch
    /// (1 to 8 s), static ARP.
    fn default() -> NetworkOptions {
        NetworkOptions {
            seed: 0,
            switch: SwitchOptions::new("", DatapathId(0)),
            cable_delay: Duration::from_micros(10),
            control_delay: Duration::from_micros(100),
            jitter: Duration::from_micros(20),
            backoff: (Duration::from_secs(1), Duration::from_secs(8)),
            real_arp: false,
        }
    }
}

impl NetworkOptions {
    /// The default with switches that speak only this version.
    pub fn speaking(version: Version) -> NetworkOptions {
        let mut options = NetworkOptions::default();
        options.switch.versions = vec![version];
        options
    }

    /// Sets the seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> NetworkOptions {
        self.seed = seed;
        self
    }
}

/// How a cable treats frames in one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Impairment {
    /// Added to the delay.
    pub delay: Duration,
    /// Of a thousand frames this many are lost.
    pub lost_permille: u16,
    /// Of a thousand frames this many arrive twice.
    pub doubled_permille: u16,
    /// Of a thousand frames this many are late, so that others overtake them.
    pub late_permille: u16,
    /// How much later they are.
    pub late: Duration,
}

/// Why a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum RunEnd {
    /// The time is reached.
    Time,
    /// Nothing is on the way: no frame, no control byte.
    Idle,
    /// Five million events happened and there was no end: frames circulate.
    Exhausted,
}

/// Whether one host reaches another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Reach {
    /// The sender.
    pub from: String,
    /// The receiver.
    pub to: String,
    /// Whether what was sent arrived.
    pub reached: bool,
}

/// What was lost between the parts of the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NetworkCounters {
    /// Frames put into cables.
    pub frames: u64,
    /// Frames lost by cut cables, impairment, or full lanes.
    pub frames_lost: u64,
    /// Frames sent out of ports without a cable.
    pub frames_unplugged: u64,
    /// Control bytes to and from the controller.
    pub control_bytes: u64,
}

/// What a cable is plugged into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Plug {
    Port(usize, PortNo),
    Host(usize),
    Nothing,
}

#[derive(Debug)]
struct Cable {
    ends: [Plug; 2],
    whole: bool,
    /// By the side where frames enter.
    impairments: [Impairment; 2],
}

#[derive(Debug)]
struct SwitchNode {
    switch: EmulatedSwitch,
    /// The connection as the switch sees it.
    channel: Option<ChannelId>,
    connect_at: Option<Instant>,
    backoff: Duration,
    /// Switched off, or cut off from the controller.
    off: bool,
    cut_off: bool,
    last_poll: Option<Instant>,
}

/// What can happen next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Event {
    Lane(LaneId),
    Controller,
    Connect(usize),
    Switch(usize),
    Host(usize),
}

/// A network with a controller.
#[derive(Debug)]
pub struct Network<C> {
    controller: C,
    reachable: bool,
    options: NetworkOptions,
    switches: Vec<SwitchNode>,
    hosts: Vec<EmulatedHost>,
    host_cables: Vec<usize>,
    /// Cables of hosts first, then those of links: `links` says where they start.
    cables: Vec<Cable>,
    links: usize,
    plugs: BTreeMap<(usize, PortNo), (usize, usize)>,
    lanes: Lanes,
    /// Channels that the controller believes open.
    open: BTreeMap<ChannelId, usize>,
    next_channel: u64,
    random: Random,
    start: Instant,
    now: Instant,
    last_controller_poll: Option<Instant>,
    counters: NetworkCounters,
}

impl<C: Controller> Network<C> {
    /// Builds a network. Its switches connect as soon as it runs.
    ///
    /// # Errors
    /// [`TopologyError`] for a description that is no network.
    pub fn new(
        topology: &Topology,
        options: NetworkOptions,
        controller: C,
    ) -> Result<Network<C>, TopologyError> {
        topology.check()?;
        let now = Instant::now();
        let mut net = Network {
            controller,
            reachable: true,
            random: Random::new(options.seed),
            switches: Vec::new(),
            hosts: Vec::new(),
            host_cables: Vec::new(),
            cables: Vec::new(),
            links: topology.hosts.len(),
            plugs: BTreeMap::new(),
            lanes: Lanes::default(),
            open: BTreeMap::new(),
            next_channel: 1,
            start: now,
            now,
            last_controller_poll: None,
            counters: NetworkCounters::default(),
            options,
        };
        for spec in &topology.switches {
            let mut options = net.options.switch.clone();
            (options.name, options.dpid) = (spec.name.clone(), spec.dpid);
            let mut switch = EmulatedSwitch::new(options);
            for port in topology.ports(spec.dpid) {
                switch.add_port(port, now);
            }
            net.switches.push(SwitchNode {
                switch,
                channel: None,
                connect_at: Some(now),
                backoff: net.options.backoff.0,
                off: false,
                cut_off: false,
                last_poll: None,
            });
        }
        for (index, spec) in topology.hosts.iter().enumerate() {
            let mut host = EmulatedHost::new(spec.clone());
            host.set_real_arp(net.options.real_arp);
            if !net.options.real_arp {
                for other in &topology.hosts {
                    if let Some(ip) = other.ipv4 {
                        host.add_neighbour(ip.into(), other.mac);
                    }
                    host.add_neighbour(other.link_local().into(), other.mac);
                }
            }
            net.hosts.push(host);
            let at = spec
                .at
                .and_then(|at| net.port_of(at))
                .map_or(Plug::Nothing, |(s, p)| Plug::Port(s, p));
            net.host_cables.push(net.cables.len());
            net.add_cable([Plug::Host(index), at]);
        }
        for link in &topology.links {
            let plug = |end: Endpoint| {
                net.port_of(end).map_or(Plug::Nothing, |(switch, port)| Plug::Port(switch, port))
            };
            let ends = [plug(link.a), plug(link.b)];
            net.add_cable(ends);
        }
        Ok(net)
    }

    fn add_cable(&mut self, ends: [Plug; 2]) {
        let index = self.cables.len();
        for (side, end) in ends.iter().enumerate() {
            if let Plug::Port(switch, port) = end {
                self.plugs.insert((*switch, *port), (index, side));
            }
        }
        self.cables.push(Cable { ends, whole: true, impairments: Default::default() });
    }

    fn port_of(&self, end: Endpoint) -> Option<(usize, PortNo)> {
        self.switch_index(end.dpid).map(|switch| (switch, end.port))
    }

    fn switch_index(&self, dpid: DatapathId) -> Option<usize> {
        self.switches.iter().position(|node| node.switch.dpid() == dpid)
    }

    fn host_index(&self, name: &str) -> Option<usize> {
        self.hosts.iter().position(|host| host.name() == name)
    }

    // ---- looking ----

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// How long the network has run.
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// The controller under test.
    pub fn controller(&self) -> &C {
        &self.controller
    }

    /// Calls into the controller, as something beside the network may, then takes what it sends.
    pub fn with_controller<R>(&mut self, call: impl FnOnce(&mut C, Instant) -> R) -> R {
        let result = call(&mut self.controller, self.now);
        self.take_from_controller();
        result
    }

    /// All hosts, in the order of the topology.
    pub fn hosts(&self) -> &[EmulatedHost] {
        &self.hosts
    }

    /// A host by name.
    pub fn host(&self, name: &str) -> Option<&EmulatedHost> {
        self.hosts.get(self.host_index(name)?)
    }

    /// Calls into a host, then puts what it sends into its cable. `None`: no such host.
    pub fn with_host<R>(
        &mut self,
        name: &str,
        call: impl FnOnce(&mut EmulatedHost, Instant) -> R,
    ) -> Option<R> {
        let index = self.host_index(name)?;
        let result = call(&mut self.hosts[index], self.now);
        self.take_from_host(index);
        Some(result)
    }

    /// A switch by datapath id.
    pub fn switch(&self, dpid: DatapathId) -> Option<&EmulatedSwitch> {
        self.switch_index(dpid).map(|index| &self.switches[index].switch)
    }

    /// All switches, in the order of the topology.
    pub fn switches(&self) -> impl Iterator<Item = &EmulatedSwitch> {
        self.switches.iter().map(|node| &node.switch)
    }

    /// Calls into a switch (ports, limits), then takes what it sends. `None`: no such switch.
    pub fn with_switch<R>(
        &mut self,
        dpid: DatapathId,
        call: impl FnOnce(&mut EmulatedSwitch, Instant) -> R,
    ) -> Option<R> {
        let index = self.switch_index(dpid)?;
        let result = call(&mut self.switches[index].switch, self.now);
        self.take_from_switch(index);
        Some(result)
    }

    /// How many switches have agreed on a version with the controller.
    pub fn connected_switches(&self) -> usize {
        self.switches.iter().filter(|node| node.switch.version().is_some()).count()
    }

    /// What was lost on the way.
    pub fn counters(&self) -> NetworkCounters {
        self.counters
    }

    /// Which hosts saw a frame with these bytes in it, and how often; in the order of the topology.
    pub fn who_saw(&self, needle: &[u8]) -> Vec<(String, usize)> {
        let seen = self.hosts.iter().map(|host| (host.name().to_owned(), host.saw(needle)));
        seen.filter(|(_, count)| *count > 0).collect()
    }

    /// Makes all hosts forget what they have seen.
    pub fn reset_hosts(&mut self) {
        self.hosts.iter_mut().for_each(EmulatedHost::reset);
    }

    // ---- acting ----

    /// One host sends another a UDP datagram, port 1 to port 1. `None`: no such host, or one has no
    /// IPv4 address.
    pub fn send_udp(&mut self, from: &str, to: &str, payload: &[u8]) -> Option<()> {
        let ip = self.host(to)?.spec().ipv4?;
        self.host(from)?.spec().ipv4?;
        self.with_host(from, |host, now| host.send_udp(ip, 1, 1, payload, now))
    }

    /// Puts a frame into a switch port, as if it came out of its cable. False: no such switch.
    pub fn inject(&mut self, at: Endpoint, frame: &[u8]) -> bool {
        let Some((index, port)) = self.port_of(at) else { return false };
        self.switches[index].switch.frame_input(port, frame, self.now);
        self.take_from_switch(index);
        true
    }

    fn link_cable(&self, link: usize) -> Option<usize> {
        Some(self.links + link).filter(|index| *index < self.cables.len())
    }

    /// The index of the link between two ports, in either direction.
    pub fn link_between(&self, a: Endpoint, b: Endpoint) -> Option<usize> {
        let (a, b) = (self.port_of(a)?, self.port_of(b)?);
        let ends = |cable: &Cable, a: (usize, PortNo), b: (usize, PortNo)| {
            cable.ends == [Plug::Port(a.0, a.1), Plug::Port(b.0, b.1)]
        };
        self.cables[self.links..].iter().position(|c| ends(c, a, b) || ends(c, b, a))
    }

    /// Cuts a link (its index in the topology): frames in it are lost, both ports go down. False: no
    /// such link.
    pub fn cut(&mut self, link: usize) -> bool {
        self.set_whole(link, false, true)
    }

    /// Cuts a link so that no port notices.
    pub fn cut_silently(&mut self, link: usize) -> bool {
        self.set_whole(link, false, false)
    }

    /// Mends a link.
    pub fn heal(&mut self, link: usize) -> bool {
        self.set_whole(link, true, true)
    }

    fn set_whole(&mut self, link: usize, whole: bool, noticed: bool) -> bool {
        let Some(index) = self.link_cable(link) else { return false };
        self.cables[index].whole = whole;
        if !whole {
            self.empty_cable(index);
        }
        if noticed {
            for end in self.cables[index].ends {
                self.set_link(end, whole);
            }
        }
        true
    }

    fn empty_cable(&mut self, index: usize) {
        for side in 0..2 {
            self.counters.frames_lost += self.lanes.clear(LaneId::Cable(index, side)) as u64;
        }
    }

    fn set_link(&mut self, end: Plug, up: bool) {
        if let Plug::Port(switch, port) = end {
            let now = self.now;
            self.switches[switch].switch.set_link(port, up, now);
            self.take_from_switch(switch);
        }
    }

    /// Makes a link slow or unreliable, in both directions. False: no such link.
    pub fn impair(&mut self, link: usize, impairment: Impairment) -> bool {
        let Some(index) = self.link_cable(link) else { return false };
        self.cables[index].impairments = [impairment; 2];
        true
    }

    /// Makes the cable in a port slow or unreliable for the frames that the switch sends there. False:
    /// no cable is in such a port.
    pub fn impair_from(&mut self, at: Endpoint, impairment: Impairment) -> bool {
        self.impair_side(at, impairment, |side| side)
    }

    /// Makes the cable in a port slow or unreliable for the frames that come in there. False: no cable
    /// is in such a port.
    pub fn impair_to(&mut self, at: Endpoint, impairment: Impairment) -> bool {
        self.impair_side(at, impairment, |side| 1 - side)
    }

    fn impair_side(
        &mut self,
        at: Endpoint,
        impairment: Impairment,
        side: impl Fn(usize) -> usize,
    ) -> bool {
        let plug = self.port_of(at).and_then(|port| self.plugs.get(&port));
        let Some((cable, own)) = plug.copied() else { return false };
        self.cables[cable].impairments[side(own)] = impairment;
        true
    }

    /// Pulls a host's plug: its port goes down. `None`: no such host.
    pub fn unplug(&mut self, name: &str) -> Option<()> {
        let cable = self.host_cables[self.host_index(name)?];
        let end = self.cables[cable].ends[1];
        if let Plug::Port(switch, port) = end {
            self.plugs.remove(&(switch, port));
        }
        self.cables[cable].ends[1] = Plug::Nothing;
        self.empty_cable(cable);
        self.set_link(end, false);
        Some(())
    }

    /// Plugs a host into a port, out of where it was; a port that is not there is added. `None`: no
    /// such host or switch, or the port is taken.
    pub fn plug(&mut self, name: &str, at: Endpoint) -> Option<()> {
        let cable = self.host_cables[self.host_index(name)?];
        let (switch, port) = self.port_of(at)?;
        match self.plugs.get(&(switch, port)) {
            Some((taken, _)) if *taken != cable => return None,
            _ => {}
        }
        self.unplug(name)?;
        self.plugs.insert((switch, port), (cable, 1));
        self.cables[cable].ends[1] = Plug::Port(switch, port);
        let now = self.now;
        self.switches[switch].switch.add_port(port, now);
        self.set_link(Plug::Port(switch, port), true);
        Some(())
    }

    /// Gives a port another number, as if it were removed and another added, with the cable that was
    /// in it. `None`: no cable is in such a port, or there is one in the other.
    pub fn renumber(&mut self, at: Endpoint, to: PortNo) -> Option<()> {
        let (switch, port) = self.port_of(at)?;
        if self.plugs.contains_key(&(switch, to)) {
            return None;
        }
        let (cable, side) = self.plugs.remove(&(switch, port))?;
        self.plugs.insert((switch, to), (cable, side));
        self.cables[cable].ends[side] = Plug::Port(switch, to);
        self.empty_cable(cable);
        self.with_switch(at.dpid, |switch, now| {
            switch.remove_port(port, now);
            switch.add_port(to, now);
        })
    }

    /// Where a host is plugged in.
    pub fn location(&self, name: &str) -> Option<Endpoint> {
        match self.cables[self.host_cables[self.host_index(name)?]].ends[1] {
            Plug::Port(switch, port) => {
                Some(Endpoint { dpid: self.switches[switch].switch.dpid(), port })
            }
            Plug::Host(_) | Plug::Nothing => None,
        }
    }

    // ---- running ----

    /// Runs until this time; at once back if it is past.
    pub fn run_until(&mut self, time: Instant) -> RunEnd {
        for _ in 0..EVENT_LIMIT {
            match self.next_event() {
                Some((at, event)) if at <= time => self.step(at, event),
                _ => {
                    self.now = self.now.max(time);
                    return RunEnd::Time;
                }
            }
        }
        RunEnd::Exhausted
    }

    /// Runs for this time.
    pub fn run_for(&mut self, time: Duration) -> RunEnd {
        self.run_until(self.now + time)
    }

    /// Runs until no frame and no control byte is on the way, at most for `limit`. Timers that are due
    /// later (periodic probes, time-outs) are not waited for.
    pub fn run_until_idle(&mut self, limit: Duration) -> RunEnd {
        self.run_to(limit, |net| net.lanes.is_idle() && !net.is_due())
    }

    /// Runs until a condition holds, at most for `limit`; whether it does. It is asked before each
    /// event.
    pub fn run_until_true(
        &mut self,
        limit: Duration,
        condition: impl Fn(&Network<C>) -> bool,
    ) -> bool {
        self.run_to(limit, condition) == RunEnd::Idle
    }

    fn run_to(&mut self, limit: Duration, condition: impl Fn(&Network<C>) -> bool) -> RunEnd {
        let time = self.now + limit;
        for _ in 0..EVENT_LIMIT {
            if condition(self) {
                return RunEnd::Idle;
            }
            match self.next_event() {
                Some((at, event)) if at <= time => self.step(at, event),
                _ => {
                    self.now = self.now.max(time);
                    return if condition(self) { RunEnd::Idle } else { RunEnd::Time };
                }
            }
        }
        RunEnd::Exhausted
    }

    /// When something happens next.
    pub fn deadline(&self) -> Option<Instant> {
        let timer = self.timers().map(|(at, _)| at).min();
        timer.into_iter().chain(self.lanes.next()).min()
    }

    fn is_due(&self) -> bool {
        self.timers().any(|(at, _)| at <= self.now)
    }

    fn timers(&self) -> impl Iterator<Item = (Instant, Event)> + '_ {
        let again = |deadline: Option<Instant>, last: Option<Instant>| {
            deadline.map(|at| last.map_or(at, |last| at.max(last + TIMER_STEP)))
        };
        let controller = match self.reachable {
            true => again(self.controller.deadline(), self.last_controller_poll),
            false => None,
        };
        let switches = self.switches.iter().enumerate().filter(|(_, node)| !node.off);
        let switches = switches.flat_map(move |(index, node)| {
            let poll = again(node.switch.deadline(), node.last_poll);
            [
                node.connect_at.map(|at| (at, Event::Connect(index))),
                poll.map(|at| (at, Event::Switch(index))),
            ]
        });
        let hosts = self.hosts.iter().enumerate();
        let hosts = hosts.map(|(index, host)| host.deadline().map(|at| (at, Event::Host(index))));
        let controller = controller.map(|at| (at, Event::Controller));
        std::iter::once(controller).chain(switches).chain(hosts).flatten()
    }

    /// The next event and its time; of several at the same time one by chance.
    fn next_event(&mut self) -> Option<(Instant, Event)> {
        let timer = self.timers().map(|(at, _)| at.max(self.now)).min();
        let lane = self.lanes.next().map(|at| at.max(self.now));
        let at = timer.into_iter().chain(lane).min()?;
        let mut due: Vec<Event> =
            self.timers().filter(|(time, _)| *time <= at).map(|(_, event)| event).collect();
        due.extend(self.lanes.due(at).map(Event::Lane));
        let chosen = self.random.below(due.len() as u64) as usize;
        due.get(chosen).map(|event| (at, *event))
    }

    fn step(&mut self, at: Instant, event: Event) {
        self.now = at;
        match event {
            Event::Controller => {
                self.last_controller_poll = Some(at);
                self.controller.poll(at);
                self.take_from_controller();
            }
            Event::Connect(index) => self.connect(index),
            Event::Switch(index) => {
                self.switches[index].last_poll = Some(at);
                self.switches[index].switch.poll(at);
                self.take_from_switch(index);
            }
            Event::Host(index) => {
                self.hosts[index].poll(at);
                self.take_from_host(index);
            }
            Event::Lane(lane) => {
                if let Some(item) = self.lanes.pop(lane) {
                    self.deliver(lane, item);
                }
            }
        }
    }

    fn deliver(&mut self, lane: LaneId, item: Item) {
        match (lane, item) {
            (LaneId::Cable(index, side), Item::Frame(frame)) => {
                match self.cables[index].ends[1 - side] {
                    Plug::Host(host) => {
                        self.hosts[host].receive(&frame, self.now);
                        self.take_from_host(host);
                    }
                    Plug::Port(switch, port) if !self.switches[switch].off => {
                        self.switches[switch].switch.frame_input(port, &frame, self.now);
                        self.take_from_switch(switch);
                    }
                    Plug::Port(..) | Plug::Nothing => self.counters.frames_lost += 1,
                }
            }
            (LaneId::ToController(index), Item::Open(id)) => {
                self.open.insert(id, index);
                self.controller.connected(id, self.now);
                self.take_from_controller();
            }
            (LaneId::ToController(_), Item::Bytes(id, mut bytes)) => {
                if !self.open.contains_key(&id) {
                    return;
                }
                // A stream has no boundaries: sometimes a piece, sometimes more than one message.
                if self.random.chance(100) {
                    let cut = self.random.below(bytes.len() as u64) as usize;
                    let rest = bytes.split_off(cut);
                    self.lanes.push_front(lane, self.now, Item::Bytes(id, rest));
                } else if self.random.chance(300) {
                    self.lanes.take_more(lane, self.now, id, &mut bytes);
                }
                if !bytes.is_empty() {
                    self.controller.input(id, &bytes, self.now);
                    self.take_from_controller();
                }
            }
            (LaneId::ToController(_), Item::Closed(id)) => {
                if self.open.remove(&id).is_some() {
                    self.controller.disconnected(id, self.now);
                    self.take_from_controller();
                }
            }
            (LaneId::ToSwitch(index), Item::Bytes(id, bytes)) => {
                if self.switches[index].channel == Some(id) {
                    self.switches[index].switch.control_input(&bytes, self.now);
                    if self.switches[index].switch.version().is_some() {
                        self.switches[index].backoff = self.options.backoff.0;
                    }
                    self.take_from_switch(index);
                }
            }
            (LaneId::ToSwitch(index), Item::Closed(id)) => {
                if self.switches[index].channel == Some(id) {
                    self.switches[index].channel = None;
                    self.switches[index].switch.disconnected(self.now);
                    self.connect_later(index);
                }
            }
            // No lane carries anything else.
            (_, Item::Frame(_) | Item::Open(_)) | (LaneId::Cable(..), _) => {}
        }
    }

    fn push(&mut self, lane: LaneId, delay: Duration, item: Item) -> bool {
        let jitter = self.options.jitter.as_nanos() as u64;
        let jitter = Duration::from_nanos(self.random.below(jitter.saturating_add(1)));
        self.lanes.push(lane, self.now + delay + jitter, item)
    }

    fn put_frame(&mut self, cable: usize, side: usize, frame: Vec<u8>) {
        self.counters.frames += 1;
        let impairment = self.cables[cable].impairments[side];
        if !self.cables[cable].whole || self.random.chance(impairment.lost_permille) {
            self.counters.frames_lost += 1;
            return;
        }
        let lane = LaneId::Cable(cable, side);
        let delay = self.options.cable_delay + impairment.delay;
        if self.random.chance(impairment.doubled_permille) {
            self.push(lane, delay, Item::Frame(frame.clone()));
        }
        let room = match self.random.chance(impairment.late_permille) {
            true => {
                let at = self.now + delay + impairment.late;
                self.lanes.push_aside(lane, at, Item::Frame(frame))
            }
            false => self.push(lane, delay, Item::Frame(frame)),
        };
        if !room {
            self.counters.frames_lost += 1;
        }
    }

    fn take_from_host(&mut self, index: usize) {
        let mut out = Vec::new();
        self.hosts[index].drain(&mut out);
        for frame in out {
            self.put_frame(self.host_cables[index], 0, frame);
        }
    }

    fn take_from_switch(&mut self, index: usize) {
        let mut out = Vec::new();
        self.switches[index].switch.drain(&mut out);
        if self.switches[index].off {
            return;
        }
        for output in out {
            match output {
                Output::Frame { port, frame } => match self.plugs.get(&(index, port)) {
                    Some((cable, side)) => self.put_frame(*cable, *side, frame),
                    None => self.counters.frames_unplugged += 1,
                },
                Output::Control(bytes) => {
                    if let Some(id) = self.switches[index].channel {
                        self.counters.control_bytes += bytes.len() as u64;
                        let delay = self.options.control_delay;
                        self.push(LaneId::ToController(index), delay, Item::Bytes(id, bytes));
                    }
                }
                Output::Close => {
                    if let Some(id) = self.switches[index].channel.take() {
                        let delay = self.options.control_delay;
                        self.push(LaneId::ToController(index), delay, Item::Closed(id));
                        self.connect_later(index);
                    }
                }
            }
        }
    }

    fn take_from_controller(&mut self) {
        let mut out = Vec::new();
        self.controller.drain(&mut out);
        let delay = self.options.control_delay;
        for (id, output) in out {
            let Some(index) = self.open.get(&id).copied() else { continue };
            match output {
                ControlOutput::Bytes(bytes) => {
                    self.counters.control_bytes += bytes.len() as u64;
                    self.push(LaneId::ToSwitch(index), delay, Item::Bytes(id, bytes));
                }
                ControlOutput::Close => {
                    self.open.remove(&id);
                    self.push(LaneId::ToSwitch(index), delay, Item::Closed(id));
                }
            }
        }
    }

    // ---- questions ----

    /// Who can send to whom: every host first announces itself by broadcast, then each host in turn
    /// tries each other one by unicast ([`EmulatedHost::send_probe`]). Pairs in the order of the
    /// topology.
    pub fn reachability(&mut self) -> Vec<Reach> {
        const PATIENCE: Duration = Duration::from_secs(1);
        for index in 0..self.hosts.len() {
            self.hosts[index].announce();
            self.take_from_host(index);
            let _ = self.run_until_idle(PATIENCE);
        }
        let mut pairs = Vec::new();
        for from in 0..self.hosts.len() {
            for to in (0..self.hosts.len()).filter(|to| *to != from) {
                let token = self.probe(from, to);
                let _ = self.run_until_idle(PATIENCE);
                pairs.push(self.reach(from, to, token));
            }
        }
        pairs
    }

    /// Lets one host send another a probe; the probe's token.
    pub(crate) fn probe(&mut self, from: usize, to: usize) -> u64 {
        let token = self.random.next();
        let to = self.hosts[to].spec().clone();
        self.hosts[from].send_probe(&to, token);
        self.take_from_host(from);
        token
    }

    pub(crate) fn reach(&self, from: usize, to: usize, token: u64) -> Reach {
        Reach {
            from: self.hosts[from].name().to_owned(),
            to: self.hosts[to].name().to_owned(),
            reached: self.hosts[to].probed(token) > 0,
        }
    }

    pub(crate) fn announce_all(&mut self) {
        for index in 0..self.hosts.len() {
            self.hosts[index].announce();
            self.take_from_host(index);
        }
    }
}

#[cfg(test)]
mod tests;

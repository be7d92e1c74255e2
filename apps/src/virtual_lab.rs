//! Applications on an emulated network in virtual time: for their tests. Pure: no IO, no clock.
//!
//! ```
//! use umlaut::samples::Hub;
//! use umlaut::virtual_lab::VirtualLab;
//! use umlaut_controller::Apps;
//! use umlaut_testbed::Topology;
//!
//! // One switch, three hosts: h1, h2, h3.
//! let mut lab = VirtualLab::new(Apps::<()>::new().with(Hub), &Topology::single(3));
//! assert_eq!(lab.say("h1", "h2"), ["h2", "h3"]);
//! ```

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use umlaut_controller::virtual_time::{Output, VirtualController};
use umlaut_controller::{Apps, Event, Observer, Policy, Seed, Shared};
use umlaut_openflow::{DatapathId, FlowStats, MacAddr};
use umlaut_testbed::{ChannelId, ControlOutput, Controller, Network, NetworkOptions, Topology};

/// How long a network may take to settle.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a frame may take.
const FRAME_TIME: Duration = Duration::from_millis(200);
/// The EtherType of test frames (local experimental 1, IEEE 802 §9.2.3).
pub const TEST_TYPE: u16 = 0x88b5;

/// A controller in virtual time as a network drives it.
pub struct Driven<P: Policy>(pub VirtualController<P>);

impl<P: Policy> Controller for Driven<P> {
    fn connected(&mut self, channel: ChannelId, now: Instant) {
        self.0.connected(channel.0, now);
        self.0.poll(now);
    }

    fn input(&mut self, channel: ChannelId, bytes: &[u8], now: Instant) {
        self.0.input(channel.0, bytes);
        self.0.poll(now);
    }

    fn disconnected(&mut self, channel: ChannelId, now: Instant) {
        self.0.disconnected(channel.0, now);
        self.0.poll(now);
    }

    fn poll(&mut self, now: Instant) {
        self.0.poll(now);
    }

    fn deadline(&self) -> Option<Instant> {
        Some(self.0.deadline())
    }

    fn drain(&mut self, out: &mut Vec<(ChannelId, ControlOutput)>) {
        for (channel, output) in self.0.drain() {
            let output = match output {
                Output::Bytes(bytes) => ControlOutput::Bytes(bytes),
                Output::Close => ControlOutput::Close,
            };
            out.push((ChannelId(channel), output));
        }
    }
}

/// Keeps what the controller tells an operator.
#[derive(Clone, Default)]
pub struct Events(Arc<Mutex<Vec<Event>>>);

impl Events {
    /// All of it so far.
    pub fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Observer for Events {
    fn event(&self, event: &Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
    }
}

/// A network and the controller of its switches.
pub struct VirtualLab<P: Policy = ()> {
    /// The network: hosts send and see, cables break, switches come and go.
    pub network: Network<Driven<P>>,
    /// What the controller told an operator.
    pub events: Events,
    tokens: u64,
}

impl VirtualLab {
    /// Applications without a policy on a network of switches that speak both versions, settled.
    ///
    /// # Panics
    /// If the topology is none, or the network does not settle within a minute of its time.
    pub fn new(apps: Apps<()>, topology: &Topology) -> VirtualLab {
        VirtualLab::with(apps, (), topology, NetworkOptions::default())
    }
}

impl<P: Policy> VirtualLab<P> {
    /// Applications under a policy, on a network of this kind, settled.
    ///
    /// # Panics
    /// As [`VirtualLab::new`].
    pub fn with(
        apps: Apps<P>,
        policy: P,
        topology: &Topology,
        options: NetworkOptions,
    ) -> VirtualLab<P> {
        let mut lab = VirtualLab::unsettled(apps, policy, topology, options);
        lab.settle();
        lab
    }

    /// The same at its very beginning.
    ///
    /// # Panics
    /// If the topology is none.
    pub fn unsettled(
        apps: Apps<P>,
        policy: P,
        topology: &Topology,
        options: NetworkOptions,
    ) -> VirtualLab<P> {
        let (events, now, seed) = (Events::default(), Instant::now(), options.seed);
        let seeds = Seed { lldp_key: [seed as u8; 16], epoch: seed as u8 };
        let shared = Shared::new(apps, policy, seeds, Box::new(events.clone()), now);
        let driven = Driven(VirtualController::new(Arc::new(shared), seed, now));
        match Network::new(topology, options, driven) {
            Ok(network) => VirtualLab { network, events, tokens: 0 },
            Err(error) => panic!("{error}"),
        }
    }

    /// What the controller's sessions share.
    pub fn shared(&self) -> Arc<Shared<P>> {
        self.network.controller().0.shared().clone()
    }

    /// Runs until all switches are connected and no port is probed.
    ///
    /// # Panics
    /// If that does not happen within a minute of the network's time.
    pub fn settle(&mut self) {
        let count = self.network.switches().count();
        let settled = self.network.run_until_true(PATIENCE, |network| {
            let world = network.controller().0.shared().world.load();
            world.topology.switches().count() == count && !world.topology.is_probing()
        });
        assert!(settled, "the network does not settle: {:?}", self.events.all());
    }

    /// Runs for a time.
    ///
    /// # Panics
    /// If frames circulate.
    pub fn run(&mut self, time: Duration) {
        let end = self.network.run_for(time);
        assert_ne!(end, umlaut_testbed::RunEnd::Exhausted, "frames circulate");
    }

    /// A host sends one frame to another one, to a MAC address, or to `all`. Who saw it, each as often
    /// as it arrived there.
    ///
    /// # Panics
    /// If there is no such host.
    pub fn say(&mut self, from: &str, to: &str) -> Vec<String> {
        let dst = self.mac(to);
        self.tokens += 1;
        let token = format!("<{:08}>", self.tokens).into_bytes();
        self.with_host(from, |host, _| host.send_ethernet(dst, TEST_TYPE, &token));
        self.run(FRAME_TIME);
        self.who_saw(&token)
    }

    /// Who saw a frame with these bytes in it, each as often as one arrived there.
    pub fn who_saw(&self, needle: &[u8]) -> Vec<String> {
        let saw = self.network.who_saw(needle).into_iter();
        saw.flat_map(|(name, count)| std::iter::repeat_n(name, count)).collect()
    }

    /// Does something with a host.
    ///
    /// # Panics
    /// If there is no such host.
    pub fn with_host<R>(
        &mut self,
        name: &str,
        call: impl FnOnce(&mut umlaut_testbed::EmulatedHost, Instant) -> R,
    ) -> R {
        self.network.with_host(name, call).unwrap_or_else(|| panic!("there is no host {name}"))
    }

    fn mac(&self, name: &str) -> MacAddr {
        match (name, self.network.host(name), name.parse()) {
            ("all", ..) => MacAddr::BROADCAST,
            (_, Some(host), _) => host.mac(),
            (_, None, Ok(mac)) => mac,
            _ => panic!("there is no host {name}"),
        }
    }

    /// The flow entries of a switch, but for the standing ones of the framework.
    pub fn flows(&self, dpid: u64) -> Vec<FlowStats> {
        let switch = self.network.switch(DatapathId(dpid));
        let flows = switch.map(|switch| switch.flows(self.network.now())).unwrap_or_default();
        let standing = umlaut_controller::path::STANDING_COOKIE;
        flows.into_iter().filter(|flow| flow.cookie != standing).collect()
    }
}

//! The sliceable switch on an emulated network in virtual time.

#![allow(dead_code, unreachable_pub, reason = "shared by several test binaries")]

pub mod audit;
pub mod stream;
pub mod wires;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use umlaut::sliceable::{Domains, SlicePolicy, SliceableSwitch};
use umlaut_controller::virtual_time::VirtualController;
use umlaut_controller::{Apps, Event, Observer, Seed, Shared};
use umlaut_openflow::build::ethernet;
use umlaut_openflow::{MacAddr, Version};
use umlaut_slice_db::Policy;
use umlaut_testbed::{Network, NetworkOptions, RunEnd, of_policy};

/// Both wire versions.
pub const VERSIONS: [Version; 2] = [Version::V1_3, Version::V1_0];

/// The EtherType of test frames (local experimental, IEEE 802).
pub const TEST_TYPE: u16 = 0x88b5;

/// The controller as the network drives it.
pub type Driven = umlaut::virtual_lab::Driven<SlicePolicy>;

/// Keeps what the controller tells.
#[derive(Clone, Default)]
pub struct Told(pub Arc<Mutex<Vec<Event>>>);

impl Observer for Told {
    fn event(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

/// A running network.
pub struct Bed {
    pub network: Network<Driven>,
    pub domains: Domains,
    pub told: Told,
    policy: String,
    next: u64,
}

pub fn policy(text: &str) -> Policy {
    match Policy::parse("test", text) {
        Ok((policy, _)) => policy,
        Err(mistakes) => panic!("{}", mistakes[0].render(false)),
    }
}

/// The policy of a text, read as a reload does: as an edit of the policy before, where it is one.
pub fn next_policy(old: &SlicePolicy, domains: &Domains, text: &str) -> SlicePolicy {
    match old.policy.reread(Arc::new(text.to_owned())) {
        Ok((policy, _)) => domains.adopt_after(old, policy),
        Err(mistakes) => panic!("{}", mistakes[0].render(false)),
    }
}

fn controller(text: &str, domains: &Domains, told: &Told, seed: u64, now: Instant) -> Driven {
    let seeds = Seed { lldp_key: [seed as u8; 16], epoch: seed as u8 };
    let apps = Apps::new().with(SliceableSwitch::default());
    let observer = Box::new(told.clone());
    let shared = Shared::new(apps, domains.adopt(policy(text)), seeds, observer, now);
    umlaut::virtual_lab::Driven(VirtualController::new(Arc::new(shared), seed, now))
}

impl Bed {
    /// The network of a policy with this controller, settled.
    pub fn new(text: &str, version: Version, seed: u64) -> Bed {
        let mut bed = Bed::unsettled(text, version, seed);
        bed.settle();
        bed
    }

    pub fn unsettled(text: &str, version: Version, seed: u64) -> Bed {
        Bed::make(text, NetworkOptions::speaking(version).seed(seed))
    }

    /// As `new`, on another kind of network.
    pub fn with(
        text: &str,
        version: Version,
        seed: u64,
        change: impl FnOnce(&mut NetworkOptions),
    ) -> Bed {
        let mut options = NetworkOptions::speaking(version).seed(seed);
        change(&mut options);
        let mut bed = Bed::make(text, options);
        bed.settle();
        bed
    }

    fn make(text: &str, options: NetworkOptions) -> Bed {
        let domains = Domains::default();
        let told = Told::default();
        let now = Instant::now();
        let driven = controller(text, &domains, &told, options.seed, now);
        let network = Network::new(&of_policy(&policy(text)), options, driven).unwrap();
        Bed { network, domains, told, policy: text.to_owned(), next: 1 }
    }

    /// Until all switches are connected and no port is probed.
    pub fn settle(&mut self) {
        let count = self.network.switches().count();
        let settled = self.network.run_until_true(Duration::from_secs(60), |network| {
            let world = network.controller().0.shared().world.load();
            world.topology.switches().count() == count && !world.topology.is_probing()
        });
        assert!(settled, "not settled: {:?}", self.told.0.lock().unwrap());
    }

    pub fn run(&mut self, time: Duration) {
        assert_eq!(self.network.run_for(time), RunEnd::Time, "frames circulate");
    }

    /// The controller is killed; the switches try to connect again, and again.
    pub fn kill_controller(&mut self) {
        self.network.replace_controller(None);
    }

    /// A new run of the controller, under this policy.
    pub fn start_controller(&mut self, text: &str, seed: u64) {
        self.domains = Domains::default();
        self.policy = text.to_owned();
        let now = self.network.now();
        let driven = controller(text, &self.domains, &self.told, seed, now);
        self.network.replace_controller(Some(driven));
    }

    /// Another policy for the running controller.
    pub fn set_policy(&mut self, text: &str) {
        let old = self.network.controller().0.shared().world.load().policy.clone();
        let next = next_policy(&old, &self.domains, text);
        self.replace_policy(text, next);
    }

    /// Another policy that is known to have nothing in common with the one before.
    pub fn set_whole_policy(&mut self, text: &str) {
        let next = self.domains.adopt(policy(text));
        self.replace_policy(text, next);
    }

    fn replace_policy(&mut self, text: &str, policy: SlicePolicy) {
        self.policy = text.to_owned();
        self.network.with_controller(|driven, now| {
            driven.0.shared().set_policy(policy, now);
            driven.0.poll(now);
        });
        self.run(Duration::from_millis(50));
    }

    fn token(&mut self) -> Vec<u8> {
        self.next += 1;
        format!("<{:08}>", self.next).into_bytes()
    }

    pub fn mac(&self, name: &str) -> MacAddr {
        match name.parse() {
            Ok(mac) => mac,
            Err(_) => match name {
                "all" => MacAddr::BROADCAST,
                name => self.network.host(name).unwrap_or_else(|| panic!("no host {name}")).mac(),
            },
        }
    }

    /// A host sends one frame to a host, an address, or `all`; who saw it, and how often.
    pub fn say(&mut self, from: &str, to: &str) -> Vec<(String, usize)> {
        let dst = self.mac(to);
        let token = self.token();
        self.network.with_host(from, |host, _| host.send_ethernet(dst, TEST_TYPE, &token)).unwrap();
        self.run(Duration::from_millis(200));
        self.network.who_saw(&token)
    }

    /// As `say`, with a frame of this payload and EtherType in front of the token.
    pub fn say_ip(
        &mut self,
        from: &str,
        to: &str,
        make: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Vec<(String, usize)> {
        let dst = self.mac(to);
        let token = self.token();
        let packet = make(&token);
        self.network.with_host(from, |host, _| host.send_ethernet(dst, 0x0800, &packet)).unwrap();
        self.run(Duration::from_millis(200));
        self.network.who_saw(&token)
    }

    /// A host sends exactly this frame, with the token as payload.
    pub fn say_raw(
        &mut self,
        from: &str,
        dst: MacAddr,
        src: MacAddr,
        tags: &[(u16, u16)],
        eth_type: u16,
    ) -> Vec<(String, usize)> {
        let token = self.token();
        let mut payload = token.clone();
        payload.resize(46, 0);
        let frame = ethernet(dst, src, tags, eth_type, &payload);
        self.network.with_host(from, |host, _| host.send_raw(frame)).unwrap();
        self.run(Duration::from_millis(200));
        self.network.who_saw(&token)
    }

    /// How many flow entries the switches have beside the standing ones.
    pub fn flows(&self) -> BTreeMap<String, usize> {
        let switches = self.network.switches();
        switches
            .map(|switch| {
                let flows = switch.flows(self.network.now());
                let paths = flows.iter().filter(|flow| flow.priority == 0xffff).count();
                (format!("s{}", switch.dpid().0), paths)
            })
            .collect()
    }

    /// Paths that the controller believes to be installed.
    pub fn paths(&self) -> usize {
        self.network.controller().0.switches().map(|switch| switch.paths().count()).sum()
    }
}

/// `saw(&["a", "b"])`: each of them once.
pub fn saw(names: &[&str]) -> Vec<(String, usize)> {
    names.iter().map(|name| ((*name).to_owned(), 1)).collect()
}

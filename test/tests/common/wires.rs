//! A controller and switches whose control channels are wired by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use umlaut::sliceable::{Domains, SlicePolicy, SliceableSwitch};
use umlaut_controller::virtual_time::{Output, VirtualController};
use umlaut_controller::{Apps, Event, Origin, Seed, Shared};
use umlaut_openflow::{DatapathId, PortNo};
use umlaut_testbed::{EmulatedSwitch, Output as FromSwitch, SwitchOptions};

use super::{Told, next_policy, policy};

/// A controller and switches wired by hand; a mute switch hears nothing.
pub struct Wires {
    pub controller: VirtualController<SlicePolicy>,
    pub switches: BTreeMap<u64, EmulatedSwitch>,
    pub mute: Vec<u64>,
    pub closed: Vec<u64>,
    pub now: Instant,
    pub told: Told,
    /// Whether switches stay to be looked at when they are disconnected.
    pub keep_closed: bool,
    domains: Domains,
}

impl Wires {
    /// A controller of this policy.
    pub fn new(text: &str) -> Wires {
        let now = Instant::now();
        let seed = Seed { lldp_key: [3; 16], epoch: 3 };
        let (told, domains) = (Told::default(), Domains::default());
        let observer = Box::new(told.clone());
        let apps = Apps::new().with(SliceableSwitch::default());
        let shared = Shared::new(apps, domains.adopt(policy(text)), seed, observer, now);
        let controller = VirtualController::new(Arc::new(shared), 1, now);
        let switches = BTreeMap::new();
        let (mute, closed, keep_closed) = (vec![], vec![], false);
        Wires { controller, switches, mute, closed, now, told, keep_closed, domains }
    }

    /// A switch connects from somewhere.
    pub fn connect(&mut self, channel: u64, dpid: u64, origin: Origin) {
        let mut switch =
            EmulatedSwitch::new(SwitchOptions::new(format!("s{channel}"), DatapathId(dpid)));
        switch.add_port(PortNo(1), self.now);
        switch.connected(self.now);
        self.switches.insert(channel, switch);
        self.controller.connected_from(channel, origin, self.now);
        self.run(Duration::from_millis(100));
    }

    /// Another policy for the running controller.
    pub fn set_policy(&mut self, text: &str) {
        let shared = self.controller.shared();
        let policy = next_policy(&shared.world.load().policy, &self.domains, text);
        shared.set_policy(policy, self.now);
        self.run(Duration::from_millis(100));
    }

    /// Why connections ended, as it was told.
    pub fn reasons(&self) -> Vec<String> {
        let told = self.told.0.lock().unwrap();
        let reasons = told.iter().filter_map(|event| match event {
            Event::ConnectionRefused { reason, .. } | Event::SwitchGone { reason, .. } => {
                Some(reason.clone())
            }
            _ => None,
        });
        reasons.collect()
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            for (channel, switch) in &mut self.switches {
                switch.poll(self.now);
                let mut outputs = Vec::new();
                switch.drain(&mut outputs);
                for output in outputs {
                    if let (FromSwitch::Control(bytes), false) =
                        (output, self.mute.contains(channel))
                    {
                        self.controller.input(*channel, &bytes);
                    }
                }
            }
            self.controller.poll(self.now);
            for (channel, output) in self.controller.drain() {
                match output {
                    Output::Bytes(bytes) if !self.mute.contains(&channel) => {
                        if let Some(switch) = self.switches.get_mut(&channel) {
                            switch.control_input(&bytes, self.now);
                        }
                    }
                    Output::Bytes(_) => {}
                    Output::Close => {
                        if self.keep_closed {
                            self.mute.push(channel);
                        } else {
                            self.switches.remove(&channel);
                        }
                        self.closed.push(channel);
                    }
                }
            }
            self.now += Duration::from_millis(1);
        }
    }

    pub fn active(&self) -> usize {
        self.controller.active().count()
    }
}

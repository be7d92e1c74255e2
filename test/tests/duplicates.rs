//! Two connections of one datapath id: the older one stays if it is alive.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Told, policy};
use umlaut::sliceable::{Domains, SlicePolicy, SliceableSwitch};
use umlaut_controller::virtual_time::{Output, VirtualController};
use umlaut_controller::{Apps, Seed, Shared};
use umlaut_openflow::{DatapathId, PortNo};
use umlaut_testbed::{EmulatedSwitch, Output as FromSwitch, SwitchOptions};

/// A controller and switches wired by hand; a mute switch hears nothing.
struct Wires {
    controller: VirtualController<SlicePolicy>,
    switches: BTreeMap<u64, EmulatedSwitch>,
    mute: Vec<u64>,
    closed: Vec<u64>,
    now: Instant,
}

impl Wires {
    fn new() -> Wires {
        let now = Instant::now();
        let text = "umlaut: 1\nslices: {a: {members: [{port: 0x1/1}]}}\n";
        let seed = Seed { lldp_key: [3; 16], epoch: 3 };
        let policy = Domains::default().adopt(policy(text));
        let told = Box::new(Told::default());
        let shared =
            Shared::new(Apps::new().with(SliceableSwitch::default()), policy, seed, told, now);
        let controller = VirtualController::new(Arc::new(shared), 1, now);
        Wires { controller, switches: BTreeMap::new(), mute: vec![], closed: vec![], now }
    }

    fn connect(&mut self, channel: u64) {
        self.connect_from(channel, None);
    }

    fn connect_from(&mut self, channel: u64, address: Option<[u8; 4]>) {
        let mut switch =
            EmulatedSwitch::new(SwitchOptions::new(format!("s{channel}"), DatapathId(1)));
        switch.add_port(PortNo(1), self.now);
        switch.connected(self.now);
        self.switches.insert(channel, switch);
        self.controller.connected_from(channel, address.map(Into::into), self.now);
        self.run(Duration::from_millis(100));
    }

    fn run(&mut self, time: Duration) {
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
                        self.switches.remove(&channel);
                        self.closed.push(channel);
                    }
                }
            }
            self.now += Duration::from_millis(1);
        }
    }

    fn active(&self) -> usize {
        self.controller.active().count()
    }
}

#[test]
fn a_second_connection_is_refused_while_the_first_is_alive() {
    let mut wires = Wires::new();
    wires.connect(1);
    assert_eq!(wires.active(), 1);
    wires.connect(2);
    wires.run(Duration::from_secs(3));
    assert_eq!(wires.closed, [2]);
    assert_eq!(wires.active(), 1);
}

#[test]
fn a_second_connection_takes_over_from_a_dead_one_within_two_seconds() {
    let mut wires = Wires::new();
    wires.connect(1);
    wires.mute.push(1);
    wires.connect(2);
    assert!(wires.closed.is_empty(), "the first has a second to answer");
    wires.run(Duration::from_secs(2));
    assert_eq!(wires.closed, [1]);
    assert_eq!(wires.active(), 1);
    assert!(wires.switches[&2].version().is_some());
}

#[test]
fn a_switch_that_connects_again_from_its_address_takes_over_at_once() {
    let mut wires = Wires::new();
    wires.connect_from(1, Some([192, 0, 2, 1]));
    // It lost power: nobody says that the first connection is dead.
    wires.mute.push(1);
    wires.connect_from(2, Some([192, 0, 2, 1]));
    assert_eq!((&wires.closed[..], wires.active()), (&[1][..], 1));
    // From another one it has to wait for the proof.
    wires.mute.push(2);
    wires.connect_from(3, Some([192, 0, 2, 9]));
    assert_eq!(wires.closed, [1]);
    wires.run(Duration::from_secs(2));
    assert_eq!((&wires.closed[..], wires.active()), (&[1, 2][..], 1));
    // And while the one that serves is alive nobody takes its place from elsewhere.
    wires.connect_from(4, Some([192, 0, 2, 1]));
    wires.run(Duration::from_secs(3));
    assert_eq!((&wires.closed[..], wires.active()), (&[1, 2, 4][..], 1));
}

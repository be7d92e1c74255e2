//! Storms: hosts that cause more packet-ins than are decided. Their slice on their port is limited,
//! and blocked at the switch for a moment; nobody else notices.

mod common;

use std::time::Duration;

use common::audit::audit;
use common::{Bed, TEST_TYPE, VERSIONS, saw};
use umlaut_controller::hosts::HOSTS_PER_PORT;
use umlaut_controller::path::STORM_PRIORITY;
use umlaut_controller::switch::SwitchCounters;
use umlaut_controller::{Event, storm};
use umlaut_openflow::build::ethernet;
use umlaut_openflow::{DatapathId, MacAddr, MatchField, PortNo};

/// Port 1 has two slices: `a` by port, `b` by VLAN.
const APART: &str = r#"
umlaut: 1
switches: {s1: 0x1, s2: 0x2}
hosts:
  a1: {mac: "00:00:00:00:00:01", at: s1/1}
  a2: {mac: "00:00:00:00:00:02", at: s1/2}
  a3: {mac: "00:00:00:00:00:03", at: s2/2}
  b2: {mac: "00:00:00:00:00:12", at: s1/3}
slices:
  a: {members: [{port: s1/1}, {port: s1/2}, {port: s2/2}]}
  b: {members: [{port: s1/1, vlan: 7}, {port: s1/3}]}
links: [[s1/9, s2/9]]
"#;
/// And `b` by a MAC address, too.
fn shared() -> String {
    APART.replace("vlan: 7}", "vlan: 7}, {mac: \"00:00:00:00:00:11\"}")
}

const S1: DatapathId = DatapathId(1);
const MILLI: Duration = Duration::from_millis(1);

/// Who sends at port 1: its slice, address and tags.
#[derive(Clone, Copy)]
struct Sender {
    mac: u64,
    vlan: Option<u16>,
}

const A: Sender = Sender { mac: 1, vlan: None };
const B_BY_VLAN: Sender = Sender { mac: 0x21, vlan: Some(7) };
const B_BY_MAC: Sender = Sender { mac: 0x11, vlan: None };

impl Bed {
    fn counters(&self) -> SwitchCounters {
        let mut switches = self.network.controller().0.switches();
        switches.find(|switch| switch.dpid() == S1).expect("a connected switch").counters()
    }

    /// Lets so many frames of ever-new destinations in at port 1, the nth from `mac + n * step`.
    fn flood_in(&mut self, from: Sender, step: u64, first: u64, count: u64) {
        for n in first..first + count {
            let src = MacAddr::from_u64(from.mac + n * step);
            let dst = MacAddr::from_u64(0x0200_0000_0000 + n);
            let tags: Vec<_> = from.vlan.map(|vid| (0x8100, vid)).into_iter().collect();
            let frame = ethernet(dst, src, &tags, TEST_TYPE, &[0; 46]);
            self.network.with_host("a1", |host, _| host.send_raw(frame)).unwrap();
        }
    }

    /// A storm of 20 frames a millisecond, for so many milliseconds.
    fn storm(&mut self, from: Sender, step: u64, millis: u64) {
        for milli in 0..millis {
            self.flood_in(from, step, milli * 20, 20);
            self.run(MILLI);
        }
    }

    /// What the entries against storms match on s1: the VLAN tag, the sender.
    fn blocks(&self) -> Vec<(Option<u64>, bool)> {
        let flows = self.network.switch(S1).expect("s1").flows(self.network.now());
        let blocks = flows.iter().filter(|flow| flow.priority == STORM_PRIORITY);
        let block = blocks.map(|flow| {
            assert_eq!(flow.matches.ingress(), Some(PortNo(1)));
            assert!(flow.instructions.is_empty());
            let fields = flow.matches.fields();
            let sender = fields.iter().find_map(|field| match field {
                MatchField::EthSrc(mac) => Some(mac.value.to_u64()),
                _ => None,
            });
            let vlan = fields.iter().any(|field| matches!(field, MatchField::VlanVid(_)));
            assert_eq!(fields.len(), 2 + usize::from(sender.is_some()), "{fields:?}");
            (sender, vlan)
        });
        block.collect()
    }

    fn storms_told(&self) -> Vec<(PortNo, MacAddr, bool)> {
        self.storms_told_at(S1)
    }

    fn storms_told_at(&self, at: DatapathId) -> Vec<(PortNo, MacAddr, bool)> {
        let told = self.told.0.lock().unwrap();
        let storms = told.iter().filter_map(|event| match event {
            Event::Storm { dpid, port, domain, sender } if *dpid == at => {
                Some((*port, *sender, domain.is_some()))
            }
            _ => None,
        });
        storms.collect()
    }

    /// One frame at port 1 to a host; who saw it.
    fn say_as(&mut self, from: Sender, to: &str) -> Vec<(String, usize)> {
        let tags: Vec<_> = from.vlan.map(|vid| (0x8100, vid)).into_iter().collect();
        let dst = self.mac(to);
        self.say_raw("a1", dst, MacAddr::from_u64(from.mac), &tags, TEST_TYPE)
    }
}

#[test]
fn a_storm_is_limited_then_blocked_for_a_moment_and_nobody_else_notices() {
    for version in VERSIONS {
        for other in [B_BY_VLAN, B_BY_MAC] {
            let mut bed = Bed::new(&shared(), version, 1);
            bed.say("a2", "all");
            bed.say("b2", "all");
            assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
            assert_eq!(bed.say("a1", "a2"), saw(&["a2"]), "by its entry");
            let before = bed.counters();
            // The burst passes whole.
            bed.flood_in(A, 0, 0, 1_900);
            bed.run(MILLI);
            assert_eq!((bed.counters().stormed, bed.blocks()), (0, vec![]));
            bed.storm(A, 0, 90);
            let limited = bed.counters();
            let decided = limited.packet_ins - before.packet_ins - limited.stormed;
            assert!((2_000..2_400).contains(&decided), "{version}: {decided}");
            // What was not decided went nowhere: each frame that is goes out in one message here.
            assert_eq!(limited.packet_outs - before.packet_outs, decided, "{version}");
            assert_eq!((limited.storm_entries, bed.blocks()), (0, vec![]), "not yet");
            bed.storm(A, 0, 30);
            assert_eq!(bed.blocks(), [(Some(A.mac), true)], "{version}");
            assert_eq!(bed.storms_told(), [(PortNo(1), MacAddr::from_u64(A.mac), true)]);
            // The switch drops the storm itself now.
            let blocked = bed.counters();
            bed.storm(A, 0, 100);
            assert_eq!(bed.counters().packet_ins, blocked.packet_ins, "{version}");
            // Its own flows go on, and everything of the other slice on that port.
            assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
            assert_eq!(bed.say_as(other, "b2"), saw(&["b2"]), "{version}");
            assert_eq!(bed.say_as(other, "b2"), saw(&["b2"]));
            assert_eq!(bed.say("a3", "a2"), saw(&["a2"]), "its slice elsewhere");
            // It ends by itself.
            bed.run(Duration::from_secs(2));
            assert_eq!((bed.blocks(), bed.counters().storm_entries), (vec![], 1));
            assert_eq!(bed.say("a1", "a3"), saw(&["a3"]));
            bed.run(Duration::from_secs(25));
            assert_eq!(bed.counters().repaired, 0);
            audit(&bed);
        }
    }
}

#[test]
fn a_storm_that_goes_on_is_told_once_and_blocked_again() {
    for version in VERSIONS {
        let mut bed = Bed::new(APART, version, 2);
        bed.say("a2", "all");
        bed.storm(A, 0, 6_000);
        let counters = bed.counters();
        assert!((2..=3).contains(&counters.storm_entries), "{counters:?}");
        // 120,000 frames: most ended in the switch.
        assert!(counters.packet_ins < 20_000, "{version}: {counters:?}");
        assert_eq!(bed.storms_told().len(), 1);
    }
}

#[test]
fn a_storm_of_ever_new_senders_blocks_an_attachment_of_one_slice_only() {
    for version in VERSIONS {
        for (policy, alone) in [(APART.to_owned(), true), (shared(), false)] {
            let mut bed = Bed::new(&policy, version, 3);
            bed.say("a2", "all");
            bed.say("b2", "all");
            assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
            bed.storm(Sender { mac: 0x0600_0000_0000, vlan: None }, 1, 300);
            let blocks = if alone { vec![(None, true)] } else { vec![] };
            assert_eq!(bed.blocks(), blocks, "{version}");
            assert_eq!(bed.storms_told().len(), 1);
            assert!(bed.counters().stormed > 1_000);
            // What has an entry goes on; the VLAN of the other slice and its MAC member do, too.
            assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
            assert_eq!(bed.say_as(B_BY_VLAN, "b2"), saw(&["b2"]), "{version}");
            if !alone {
                assert_eq!(bed.say_as(B_BY_MAC, "b2"), saw(&["b2"]), "{version}");
            }
            bed.run(Duration::from_secs(2));
            assert_eq!(bed.blocks(), []);
            audit(&bed);
        }
    }
}

#[test]
fn senders_that_nobody_admits_have_a_bucket_of_their_own() {
    for version in VERSIONS {
        let mut bed = Bed::new(APART, version, 4);
        bed.say("a2", "all");
        bed.say("b2", "all");
        // Each refusal of a pair has a drop entry, up to a number for each port.
        bed.storm(Sender { mac: 0x0600_0000_0000, vlan: Some(9) }, 1, 300);
        assert_eq!(bed.blocks(), [(None, true)], "{version}: nobody speaks in VLAN 9");
        assert!(matches!(bed.storms_told()[..], [(PortNo(1), _, false)]));
        assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
        assert_eq!(bed.say_as(B_BY_VLAN, "b2"), saw(&["b2"]));
    }
}

#[test]
fn a_new_policy_takes_the_blocks_back_before_anybody_speaks_under_it() {
    let moved = shared()
        .replace("a: {members: [{port: s1/1}, ", "a: {members: [")
        .replace("{port: s1/1, vlan: 7}", "{port: s1/1}, {port: s1/1, vlan: 7}");
    for version in VERSIONS {
        let mut bed = Bed::new(&shared(), version, 5);
        bed.say("a2", "all");
        bed.say("b2", "all");
        bed.flood_in(A, 0, 0, 2_000);
        bed.storm(A, 0, 120);
        assert_eq!(bed.blocks(), [(Some(A.mac), true)]);
        bed.set_policy(&moved);
        assert_eq!(bed.blocks(), [], "{version}");
        assert_eq!(bed.say("a1", "b2"), saw(&["b2"]), "{version}: it is of the other slice now");
        audit(&bed);
    }
}

#[test]
fn the_rate_is_that_of_the_policy() {
    for version in VERSIONS {
        let mut bed = Bed::new(&format!("{APART}options: {{storm_rate: 100}}\n"), version, 6);
        bed.flood_in(A, 0, 0, 300);
        bed.run(MILLI);
        assert_eq!(bed.counters().stormed, 200, "{version}");
        let mut bed = Bed::new(&format!("{APART}options: {{storm_rate: 100000}}\n"), version, 6);
        bed.storm(A, 0, 200);
        assert_eq!(bed.counters().stormed, 0, "{version}");
    }
    assert!(storm::BLOCK_AFTER < Duration::from_secs(1));
}

/// A flood of senders below the rate fills the host table for its own slice only.
#[test]
fn a_flood_of_senders_hides_no_host_of_another_slice_on_that_port() {
    let policy = APART
        .replace("{port: s1/1, vlan: 7}", "{port: s1/1, mac: \"00:00:00:00:00:11\"}, {port: s2/3}")
        + "options: {storm_rate: 100000}\n";
    let policy = policy.replace("slices:", "  b3: {mac: \"00:00:00:00:00:13\", at: s2/3}\nslices:");
    for version in VERSIONS {
        let mut bed = Bed::new(&policy, version, 7);
        bed.say("b2", "all");
        for first in (0..20_000).step_by(2_000) {
            // The switch has room for so many.
            bed.flood_in(Sender { mac: 0x0600_0000_0000, vlan: None }, 1, first, 2_000);
            bed.run(MILLI * 20);
        }
        assert_eq!(bed.counters().stormed, 0);
        let shared = bed.network.controller().0.shared().clone();
        let hosts = &shared.net.hosts;
        assert_eq!(hosts.count_at(S1, PortNo(1)), HOSTS_PER_PORT);
        assert_eq!(hosts.full_count(), 20_000 - HOSTS_PER_PORT as u64);
        // The member of the other slice is known from its first frame on.
        assert_eq!(bed.say_as(B_BY_MAC, "b2"), saw(&["b2"]), "{version}");
        let mac = MacAddr::from_u64(B_BY_MAC.mac);
        let mut domains = Vec::new();
        hosts.domains_of(mac, &mut |domain| domains.push(domain));
        let [domain] = domains[..] else { panic!("{version}: {domains:?}") };
        let known = hosts.locate((domain, mac)).expect("a known host");
        assert_eq!((known.at.dpid, known.at.port), (S1, PortNo(1)));
        // So nobody else of its slice gets what is for it.
        assert_eq!(bed.say_raw("b2", mac, bed.mac("b2"), &[], TEST_TYPE), saw(&["a1"]));
    }
}

/// Frames that come over a link where their entries are lost: each slice is limited there by itself, and
/// who borrows addresses of another slice does not use up what is that slice's.
#[test]
fn a_storm_over_a_link_is_limited_and_harms_no_other_slice() {
    let policy = r#"
umlaut: 1
switches: {s1: 0x1, s2: 0x2}
hosts:
  a1: {mac: "00:00:00:00:00:01", at: s1/1}
  a2: {mac: "00:00:00:00:00:02", at: s2/1}
  b1: {mac: "00:00:00:00:00:03", at: s1/2}
  b2: {mac: "00:00:00:00:00:04", at: s2/2}
  c1: {mac: "00:00:00:00:00:05", at: s1/3}
slices:
  a: {members: [{port: s1/1}, {port: s2/1}]}
  b: {members: [{port: s1/2}, {port: s2/2}]}
  c: {members: [{port: s1/3}]}
links: [[s1/9, s2/9]]
options: {storm_rate: 100}
"#;
    let s2 = DatapathId(2);
    let counters = |bed: &Bed| {
        let mut switches = bed.network.controller().0.switches();
        switches.find(|switch| switch.dpid() == s2).expect("a connected switch").counters()
    };
    for version in VERSIONS {
        for borrowed in [false, true] {
            let mut bed = Bed::new(policy, version, 8);
            for host in ["a2", "b2"] {
                bed.say(host, "all");
            }
            assert_eq!(bed.say("b1", "b2"), saw(&["b2"]));
            assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
            // Slice `c` has a host with the address of `a1`: whose frames those are is not sure.
            if borrowed {
                let (dst, src) = (bed.mac("b1"), bed.mac("a1"));
                assert_eq!(bed.say_raw("c1", dst, src, &[], TEST_TYPE), []);
            }
            let path = |flow: &umlaut_openflow::FlowStats| flow.priority == 0xffff;
            bed.network.with_switch(s2, |switch, now| switch.forget_flows(now, path));
            let before = counters(&bed);
            let dst = bed.mac("a2");
            for _ in 0..150 {
                for _ in 0..20 {
                    let sent = |host: &mut umlaut_testbed::EmulatedHost, _| {
                        host.send_ethernet(dst, TEST_TYPE, b"storm");
                    };
                    bed.network.with_host("a1", sent).unwrap();
                }
                bed.run(MILLI);
            }
            let after = counters(&bed);
            assert_eq!(after.packet_ins - before.packet_ins, 3_000, "{version}");
            let decided = 3_000 - after.stormed;
            assert!((100..=116).contains(&decided), "{version}: {decided}");
            assert_eq!(after.packet_outs - before.packet_outs, decided, "{version}");
            assert_eq!(after.storm_entries, 0, "an entry could meet frames of others");
            assert_eq!(bed.storms_told_at(s2).len(), 1);
            // The frames of the other slice are all decided.
            for _ in 0..20 {
                assert_eq!(bed.say("b1", "b2"), saw(&["b2"]), "{version}");
            }
        }
    }
}

//! A controller that ends and another that comes: which entries of the first the second takes over,
//! in both versions and under many interleavings. And audits: what somebody does to a switch behind
//! the controller's back is mended.

mod common;

use std::time::Duration;

use common::audit::audit;
use common::{Bed, TEST_TYPE, VERSIONS, saw};
use umlaut_controller::Event;
use umlaut_controller::path::PathRef;
use umlaut_openflow::{Action, DatapathId, FlowMod, Match, Message, PortNo, Version, Xid, encode};

const LINE: &str = r#"
umlaut: 1
switches: {s1: 0x1, s2: 0x2, s3: 0x3}
hosts:
  a1: {mac: "00:00:00:00:00:01", at: s1/1}
  a2: {mac: "00:00:00:00:00:02", at: s3/1}
  a3: {mac: "00:00:00:00:00:05", at: s1/3}
  b1: {mac: "00:00:00:00:00:03", at: s1/2}
  b2: {mac: "00:00:00:00:00:04", at: s3/2, vlan: 7}
slices:
  a: {members: [{host: a1}, {host: a2}, {host: a3}]}
  b: {members: [{port: s1/2}, {port: s3/2, vlan: 7}]}
links: [[s1/9, s2/8], [s2/9, s3/8]]
"#;

/// Pairs that have paths before the controller ends.
const PAIRS: [(&str, &str); 5] =
    [("a1", "a2"), ("a2", "a1"), ("b1", "b2"), ("b2", "b1"), ("a1", "a3")];

/// A network in which all pairs talk without the controller.
fn talking(version: Version, seed: u64) -> Bed {
    let mut bed = Bed::new(LINE, version, seed);
    for (from, to) in PAIRS.iter().chain(&PAIRS) {
        bed.say(to, from);
        bed.say(from, to);
    }
    let before = bed.paths();
    for (from, to) in PAIRS {
        assert_eq!(bed.say(from, to), saw(&[to]), "{from} to {to}");
    }
    assert_eq!(bed.paths(), before, "no pair needs the controller");
    bed
}

/// Frames between all pairs every 10 ms of this time; those lost, by pair.
fn stream(bed: &mut Bed, time: Duration) -> Vec<(&'static str, &'static str, usize)> {
    let step = Duration::from_millis(10);
    let rounds = (time.as_millis() / step.as_millis()) as usize;
    let counts = bed.stream(&PAIRS, rounds, |bed, _| bed.run(step));
    let lost = PAIRS.iter().zip(counts).filter(|(_, count)| count.lost > 0);
    lost.map(|((from, to), count)| (*from, *to, count.lost)).collect()
}

/// Every entry of a path in every switch is of the running controller.
fn nothing_is_left_of_the_first(bed: &Bed) {
    let epoch = bed.network.controller().0.shared().net.epoch;
    for switch in bed.network.switches() {
        for flow in switch.flows(bed.network.now()).iter().filter(|flow| flow.priority == 0xffff) {
            assert!(PathRef::from_cookie(flow.cookie, epoch).is_some(), "{flow:?}");
        }
    }
    audit(bed);
}

#[test]
fn running_traffic_loses_no_frame_when_nothing_changed() {
    for version in VERSIONS {
        for seed in 0..6u64 {
            let mut bed = talking(version, seed);
            let paths = bed.paths();
            bed.kill_controller();
            assert_eq!(stream(&mut bed, Duration::from_millis(300)), []);
            bed.start_controller(LINE, seed + 100);
            assert_eq!(stream(&mut bed, Duration::from_secs(3)), [], "seed {seed}, {version}");
            bed.run(Duration::from_secs(9));
            nothing_is_left_of_the_first(&bed);
            assert_eq!(bed.paths(), paths, "every path was taken over");
            for (from, to) in PAIRS {
                assert_eq!(bed.say(from, to), saw(&[to]));
            }
        }
    }
}

#[test]
fn what_the_policy_of_now_refuses_is_gone_before_the_switch_is_ready() {
    let changes = [
        // A sender that is no member any more; a path on one switch and one over three.
        (LINE.replace("{host: a1}, ", ""), vec!["a1 a2", "a2 a1", "a1 a3"]),
        // A filter.
        (
            format!(
                "{LINE}filters:\n  - {{id: f, slice: b, match: {{eth_type: 0x88b5}}, action: deny}}\n"
            ),
            vec!["b1 b2", "b2 b1"],
        ),
        // The receiver's port and VLAN are another slice's.
        (
            LINE.replace(
                ", {port: s3/2, vlan: 7}]}",
                "]}\n  c: {members: [{port: s3/2, vlan: 7}]}",
            ),
            vec!["b1 b2", "b2 b1"],
        ),
        // Everything.
        (
            "umlaut: 1\nslices: {z: {members: [{port: 0x1/30}]}}\n".to_owned(),
            vec!["a1 a2", "b1 b2", "a1 a3"],
        ),
    ];
    for version in VERSIONS {
        for (seed, (policy, refused)) in (0..).zip(&changes) {
            let mut bed = talking(version, seed);
            bed.kill_controller();
            bed.run(Duration::from_millis(100));
            bed.start_controller(policy, seed + 100);
            bed.settle();
            bed.run(Duration::from_millis(200));
            for pair in refused {
                let (from, to) = pair.split_once(' ').unwrap();
                assert_eq!(bed.say(from, to), [], "{pair} under change {seed}, {version}");
            }
            for (from, to) in PAIRS {
                if seed < 3 && !refused.contains(&format!("{from} {to}").as_str()) {
                    assert_eq!(bed.say(from, to), saw(&[to]), "{from} to {to}, change {seed}");
                }
            }
            bed.run(Duration::from_secs(11));
            nothing_is_left_of_the_first(&bed);
        }
    }
}

#[test]
fn a_switch_that_comes_late_keeps_its_traffic_and_one_that_does_not_come_keeps_nothing() {
    for version in VERSIONS {
        let mut bed = talking(version, 5);
        bed.kill_controller();
        bed.network.cut_off(DatapathId(3)).unwrap();
        bed.start_controller(LINE, 105);
        // It has not come back yet; what it takes part in goes on.
        assert_eq!(stream(&mut bed, Duration::from_secs(4)), [], "{version}");
        bed.network.join(DatapathId(3)).unwrap();
        assert_eq!(stream(&mut bed, Duration::from_secs(3)), [], "{version}");
        bed.run(Duration::from_secs(9));
        nothing_is_left_of_the_first(&bed);

        let mut bed = talking(version, 6);
        bed.kill_controller();
        bed.network.cut_off(DatapathId(3)).unwrap();
        bed.start_controller(LINE, 106);
        bed.run(Duration::from_secs(15));
        let epoch = bed.network.controller().0.shared().net.epoch;
        for dpid in [1, 2] {
            let switch = bed.network.switch(DatapathId(dpid)).unwrap();
            let flows = switch.flows(bed.network.now());
            let paths = flows.iter().filter(|flow| flow.priority == 0xffff);
            assert!(paths.into_iter().all(|f| PathRef::from_cookie(f.cookie, epoch).is_some()));
        }
        assert_eq!(bed.say("a1", "a3"), saw(&["a3"]), "what needs no other switch was taken over");
    }
}

#[test]
fn entries_of_others_are_deleted_and_packet_ins_of_the_meantime_are_not_lost() {
    for version in VERSIONS {
        let mut bed = talking(version, 7);
        bed.kill_controller();
        let foreign = FlowMod::add(Match::new().in_port(PortNo(1))).priority(7);
        behind_the_back(&mut bed, DatapathId(1), foreign.apply(vec![Action::output(PortNo(2))]));
        bed.network.cut_off(DatapathId(3)).unwrap();
        bed.start_controller(LINE, 107);
        // s1 waits for s3; what comes to the controller now is handled when the waiting ends.
        let ready = bed.network.run_until_true(Duration::from_secs(10), |network| {
            network.controller().0.active().any(|dpid| dpid == DatapathId(1))
        });
        assert!(ready);
        let dst = bed.mac("a1");
        bed.network
            .with_host("a3", |host, _| host.send_ethernet(dst, TEST_TYPE + 1, b"<held-back>"));
        bed.run(Duration::from_millis(500));
        assert_eq!(bed.network.who_saw(b"<held-back>"), []);
        bed.run(Duration::from_secs(4));
        assert_eq!(bed.network.who_saw(b"<held-back>"), saw(&["a1"]), "{version}");
        let flows = bed.network.switch(DatapathId(1)).unwrap().flows(bed.network.now());
        assert!(flows.iter().all(|flow| flow.priority != 7));
    }
}

/// Somebody else sends this to a switch.
fn behind_the_back(bed: &mut Bed, dpid: DatapathId, flow_mod: FlowMod) {
    let version = bed.network.switch(dpid).and_then(|s| s.version()).unwrap_or(Version::V1_3);
    let mut bytes = bytes::BytesMut::new();
    encode(version, Xid(0xdead), &Message::FlowMod(flow_mod), &mut bytes).unwrap();
    bed.network.with_switch(dpid, |switch, now| switch.control_input(&bytes, now)).unwrap();
}

#[test]
fn an_audit_mends_what_was_done_behind_the_controllers_back() {
    for version in VERSIONS {
        let mut bed = talking(version, 8);
        let wanted = bed.flows();
        let delete_silently = |bed: &mut Bed, dpid, in_port: u32| {
            bed.network.with_switch(DatapathId(dpid), |switch, now| {
                switch.forget_flows(now, |flow| flow.matches.ingress() == Some(PortNo(in_port)))
            });
        };
        // An entrance, entries on the way, and the standing ones are lost without a word.
        delete_silently(&mut bed, 1, 1);
        delete_silently(&mut bed, 2, 8);
        bed.network.with_switch(DatapathId(3), |switch, now| {
            switch.forget_flows(now, |flow| flow.priority != 0xffff)
        });
        // A path's entry is bent to another slice's port, and there is a new one of nobody.
        let bent = bed.network.switch(DatapathId(3)).unwrap().flows(bed.network.now());
        let bent = bent
            .iter()
            .find(|flow| flow.priority == 0xffff && flow.matches.ingress() == Some(PortNo(8)))
            .unwrap()
            .clone();
        let mut entry = FlowMod::add(bent.matches.clone()).priority(0xffff).cookie(bent.cookie);
        entry.idle_timeout = 60;
        behind_the_back(
            &mut bed,
            DatapathId(3),
            entry.apply(vec![Action::output(PortNo(1)), Action::output(PortNo(2))]),
        );
        let stranger = FlowMod::add(Match::new().in_port(PortNo(2))).priority(9);
        behind_the_back(&mut bed, DatapathId(1), stranger.apply(vec![Action::output(PortNo(1))]));
        bed.run(Duration::from_secs(16));
        assert_eq!(bed.flows(), wanted, "{version}");
        audit(&bed);
        for switch in bed.network.switches() {
            let flows = switch.flows(bed.network.now());
            assert!(flows.iter().all(|flow| flow.priority != 9), "{version}");
            let standing = if version == Version::V1_0 { 1 } else { 2 };
            assert_eq!(
                flows.iter().filter(|f| f.priority != 0xffff).count(),
                standing,
                "{version}"
            );
        }
        let told = bed.told.0.lock().unwrap();
        let repaired: Vec<_> =
            told.iter().filter(|event| matches!(event, Event::Repaired { .. })).collect();
        assert_eq!(repaired.len(), 3, "{repaired:?}");
    }
}

#[test]
fn audits_of_a_network_in_order_find_nothing() {
    for version in VERSIONS {
        let mut bed = talking(version, 9);
        assert_eq!(stream(&mut bed, Duration::from_secs(25)), []);
        let told = bed.told.0.lock().unwrap();
        assert!(!told.iter().any(|event| matches!(event, Event::Repaired { .. })), "{told:?}");
    }
}

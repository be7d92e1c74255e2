//! A switch loses its control channel and nothing else: no frame of what flows is lost by that, nor
//! by the return. What changed meanwhile is found, and nothing goes into the void, round a loop or
//! twice.

mod common;

use std::time::Duration;

use common::audit::audit;
use common::{Bed, VERSIONS, saw};
use umlaut_controller::Event;
use umlaut_controller::path::Leg;
use umlaut_openflow::DatapathId;

/// A ring with a tail: s4 hangs on s3.
const RING: &str = r#"
umlaut: 1
switches: {s1: 0x1, s2: 0x2, s3: 0x3, s4: 0x4}
hosts:
  a1: {mac: "00:00:00:00:00:01", at: s1/1}
  a2: {mac: "00:00:00:00:00:02", at: s2/1}
  a3: {mac: "00:00:00:00:00:03", at: s4/1}
  b1: {mac: "00:00:00:00:00:04", at: s1/2}
  b3: {mac: "00:00:00:00:00:05", at: s3/2}
  c2: {mac: "00:00:00:00:00:06", at: s2/3}
  d2: {mac: "00:00:00:00:00:07", at: s2/4}
slices:
  a: {members: [{host: a1}, {host: a2}, {host: a3}]}
  b: {members: [{port: s1/2}, {port: s3/2}]}
  c: {members: [{port: s2/3}, {port: s2/4}]}
links: [[s1/8, s2/9], [s2/8, s3/9], [s3/8, s1/9], [s3/7, s4/7]]
"#;

/// Pairs of hosts that talk; every switch is the first, one in the middle and the last of some path.
const PAIRS: [(&str, &str); 8] = [
    ("a1", "a2"),
    ("a2", "a1"),
    ("a2", "a3"),
    ("a3", "a2"),
    ("a1", "a3"),
    ("b1", "b3"),
    ("b3", "b1"),
    ("c2", "d2"),
];

fn talking(text: &str, version: umlaut_openflow::Version, seed: u64) -> Bed {
    // Back soon, so that a stream at full resolution lasts over it.
    let mut bed = Bed::with(text, version, seed, |options| {
        options.backoff = (Duration::from_millis(3), Duration::from_millis(3));
    });
    for (from, to) in PAIRS {
        bed.say(to, from);
        bed.say(from, to);
    }
    for (from, to) in PAIRS {
        assert_eq!(bed.say(from, to), saw(&[to]), "{from} {to}");
    }
    bed
}

fn ready(bed: &Bed, dpid: u64) -> bool {
    bed.network.controller().0.active().any(|active| active == DatapathId(dpid))
}

#[test]
fn a_channel_that_is_lost_and_back_costs_no_frame() {
    for version in VERSIONS {
        for dpid in 1..=4 {
            for seed in 0..3 {
                let mut bed = talking(RING, version, seed);
                let paths = bed.paths();
                let mut back = false;
                let counts = bed.stream(&PAIRS, 500, |bed, round| {
                    if round == 100 {
                        bed.network.reset_channel(DatapathId(dpid)).unwrap();
                        assert!(!ready(bed, dpid));
                    }
                    back |= round == 450 && ready(bed, dpid);
                });
                assert!(back, "s{dpid} is back while the frames flow");
                for ((from, to), count) in PAIRS.iter().zip(counts) {
                    assert_eq!(count.lost, 0, "{from} > {to}, s{dpid}, {version} seed {seed}");
                }
                assert_eq!(bed.paths(), paths, "s{dpid}, {version}");
                audit(&bed);
            }
        }
    }
}

/// The ways of all paths, by who sends to whom.
fn ways(bed: &Bed) -> Vec<String> {
    let paths = bed.network.controller().0.switches().flat_map(|switch| switch.paths());
    let mut ways: Vec<String> = paths
        .map(|(_, path)| {
            let h = &path.key.headers;
            let hops = path.hops(Leg::Forward).iter();
            let hops: Vec<_> =
                hops.map(|hop| (hop.dpid.0, hop.in_port.0, hop.out_port.0)).collect();
            format!("{} > {}: {hops:?}", h.eth_src, h.eth_dst)
        })
        .collect();
    ways.sort();
    ways
}

#[test]
fn channels_lost_together_and_again_while_entries_are_taken_over_cost_no_frame() {
    for version in VERSIONS {
        for seed in 0..12 {
            let mut bed = talking(RING, version, seed);
            let before = ways(&bed);
            let counts = bed.stream(&PAIRS, 500, |bed, round| {
                // The return takes half a millisecond from the 3rd one on; the second loss comes at
                // another moment of it with each seed.
                let again = 100 + 145 + 3 * seed as usize;
                if round == 100 || round == again {
                    for dpid in 1..=4 {
                        bed.network.reset_channel(DatapathId(dpid)).unwrap();
                    }
                }
            });
            for ((from, to), count) in PAIRS.iter().zip(counts) {
                assert_eq!(count.lost, 0, "{from} > {to}, {version} seed {seed}");
            }
            bed.run(Duration::from_secs(1));
            assert_eq!(ways(&bed), before, "{version} seed {seed}");
            audit(&bed);
        }
    }
}

/// All of the time that a switch is waited for: no link is judged by its silence.
#[test]
fn a_switch_that_is_away_for_as_long_as_it_is_waited_for_keeps_its_links_and_paths() {
    for version in VERSIONS {
        for dpid in 1..=4 {
            let mut bed = Bed::with(RING, version, 3, |options| {
                options.backoff = (Duration::from_millis(14_500), Duration::from_millis(14_500));
            });
            for (from, to) in PAIRS.iter().chain(&PAIRS) {
                bed.say(to, from);
                bed.say(from, to);
            }
            let before = ways(&bed);
            let step = Duration::from_millis(20);
            let counts = bed.stream(&PAIRS, 900, |bed, round| {
                if round == 10 {
                    bed.network.reset_channel(DatapathId(dpid)).unwrap();
                }
                bed.run(step);
            });
            assert!(ready(&bed, dpid));
            for ((from, to), count) in PAIRS.iter().zip(counts) {
                assert_eq!(count.lost, 0, "{from} > {to}, s{dpid}, {version}");
            }
            assert_eq!(ways(&bed), before, "s{dpid}, {version}");
            let told = bed.told.0.lock().unwrap();
            let links = told.iter().filter(|event| matches!(event, Event::LinkDown { .. }));
            assert_eq!(links.count(), 0);
            drop(told);
            audit(&bed);
        }
    }
}

/// Of two parallel cables the first was cut and healed: paths stay on the second, over a return too.
#[test]
fn a_path_keeps_a_way_that_is_as_good_as_the_one_that_would_be_chosen_now() {
    let text = RING.replace("[s1/8, s2/9]", "[s1/7, s2/7], [s1/8, s2/9]");
    for version in VERSIONS {
        for dpid in [1, 2] {
            let mut bed = talking(&text, version, 2);
            let first = ways(&bed);
            bed.network.cut(0);
            bed.run(Duration::from_millis(500));
            bed.network.heal(0);
            bed.settle();
            bed.run(Duration::from_secs(1));
            let second = ways(&bed);
            assert_ne!(second, first, "the other cable is taken");
            let counts = bed.stream(&PAIRS, 400, |bed, round| {
                if round == 50 {
                    bed.network.reset_channel(DatapathId(dpid)).unwrap();
                }
            });
            assert!(counts.iter().all(|count| count.lost == 0), "{version} s{dpid}: {counts:?}");
            assert_eq!(ways(&bed), second, "{version} s{dpid}");
            audit(&bed);
        }
    }
}

#[test]
fn a_link_that_is_cut_while_its_switch_is_away_is_left_at_the_return() {
    for version in VERSIONS {
        // Either end of the link, and the one whose paths pass by.
        for (dpid, seed) in [(1, 0), (1, 1), (2, 2), (3, 3)] {
            let mut bed = talking(RING, version, seed);
            let mut back = None;
            let counts = bed.stream(&PAIRS, 700, |bed, round| {
                match round {
                    100 => drop(bed.network.reset_channel(DatapathId(dpid))),
                    // s1-s2, with frames of both directions.
                    150 => assert!(bed.network.cut(0)),
                    _ => {}
                }
                if round > 100 && back.is_none() && ready(bed, dpid) {
                    back = Some(round);
                }
            });
            let back = back.expect("it is back while the frames flow");
            for ((from, to), count) in PAIRS.iter().zip(counts) {
                let over = [("a1", "a2"), ("a2", "a1")].contains(&(*from, *to));
                // From the cut to the return, and what a change of way costs.
                let most = if over { back - 150 + 50 } else { 0 };
                assert!(count.lost <= most, "{from} > {to}, s{dpid}, {version}: {count:?}");
                assert_eq!(count.gap, count.lost, "in one piece");
            }
            bed.run(Duration::from_secs(1));
            audit(&bed);
            for (from, to) in PAIRS {
                assert_eq!(bed.say(from, to), saw(&[to]), "{from} > {to}");
            }
        }
    }
}

/// No port tells of it: the cable was moved, say.
#[test]
fn a_link_that_dies_without_a_word_while_its_switch_is_away_is_left_within_seconds() {
    for version in VERSIONS {
        for dpid in [1, 2] {
            let mut bed = talking(RING, version, dpid);
            bed.network.reset_channel(DatapathId(dpid)).unwrap();
            assert!(bed.network.cut_silently(0));
            bed.run(Duration::from_millis(1500));
            assert!(ready(&bed, dpid));
            assert_eq!(bed.say("a1", "a2"), [], "still believed");
            bed.run(Duration::from_secs(1));
            let counts = bed.stream(&PAIRS, 100, |_, _| {});
            assert!(counts.iter().all(|count| count.lost == 0), "{version}: {counts:?}");
            audit(&bed);
        }
    }
}

/// What the controller withdrew while a switch was away is not in it when it is back.
#[test]
fn what_ended_meanwhile_is_deleted_at_the_return() {
    let without = RING.replace("{host: a1}, {host: a2}", "{host: a2}");
    for version in VERSIONS {
        for dpid in 1..=4 {
            for policy in [false, true] {
                let mut bed = talking(RING, version, dpid);
                bed.network.reset_channel(DatapathId(dpid)).unwrap();
                if policy {
                    bed.set_policy(&without);
                } else {
                    // Its port goes down: paths to it end.
                    bed.network.unplug("a1").unwrap();
                }
                bed.run(Duration::from_secs(1));
                bed.settle();
                bed.run(Duration::from_secs(1));
                audit(&bed);
                if policy {
                    assert_eq!(bed.say("a1", "a2"), [], "s{dpid}");
                }
                let a1 = bed.mac("a1");
                for switch in bed.network.switches() {
                    let flows = switch.flows(bed.network.now());
                    for flow in flows.iter().filter(|flow| flow.priority == 0xffff) {
                        let about = format!("{:?}", flow.matches).contains(&format!("{a1:?}"));
                        assert!(!about, "{version} s{dpid} {policy}: {flow:?}");
                    }
                }
                bed.say("a3", "a2");
                assert_eq!(bed.say("a2", "a3"), saw(&["a3"]));
                assert_eq!(bed.say("b1", "b3"), saw(&["b3"]));
            }
        }
    }
}

/// A switch that restarts without its ports going down has lost its entries: the owners of paths
/// over it give them again, whoever speaks next.
#[test]
fn entries_that_a_switch_has_lost_are_given_again() {
    for version in VERSIONS {
        for dpid in 1..=4 {
            let mut bed = talking(RING, version, dpid);
            let before = ways(&bed);
            bed.network.with_switch(DatapathId(dpid), |switch, now| {
                switch.forget_flows(now, |_| true);
            });
            bed.network.reset_channel(DatapathId(dpid)).unwrap();
            bed.run(Duration::from_millis(500));
            audit(&bed);
            let own = |way: &&String| way.contains(&format!(": [({dpid}, "));
            let guests: Vec<_> = before.iter().filter(|way| !own(way)).collect();
            assert_eq!(ways(&bed).iter().collect::<Vec<_>>(), guests, "{version} s{dpid}");
            for (from, to) in PAIRS {
                assert_eq!(bed.say(from, to), saw(&[to]), "{from} > {to}");
            }
            audit(&bed);
        }
    }
}

#[test]
fn nothing_of_a_return_is_mended_by_audits() {
    for version in VERSIONS {
        let mut bed = talking(RING, version, 1);
        for dpid in [1, 2, 3, 4, 2, 1] {
            bed.network.reset_channel(DatapathId(dpid)).unwrap();
            let step = Duration::from_millis(50);
            let counts = bed.stream(&PAIRS, 120, |bed, _| bed.run(step));
            assert!(counts.iter().all(|count| count.lost == 0), "{version}: {counts:?}");
        }
        let told = bed.told.0.lock().unwrap();
        assert!(!told.iter().any(|event| matches!(event, Event::Repaired { .. })), "{told:?}");
    }
}

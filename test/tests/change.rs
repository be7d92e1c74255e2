//! The network changes under traffic, in virtual time and at full resolution: a frame each 20 µs, and
//! a control channel of 100 to 120 µs each way.

mod common;

use std::time::Duration;

use common::audit::audit;
use common::stream::{EVERY, outage};
use common::{Bed, VERSIONS, saw};

/// One way of a control channel and the cables on the way, at most.
const HALF_TURN: Duration = Duration::from_micros(150);

const RING: &str = r#"
umlaut: 1
switches: {s1: 0x1, s2: 0x2, s3: 0x3}
hosts:
  a1: {mac: "00:00:00:00:00:01", at: s1/1}
  a2: {mac: "00:00:00:00:00:02", at: s2/1}
  b1: {mac: "00:00:00:00:00:03", at: s1/2}
  b3: {mac: "00:00:00:00:00:04", at: s3/2}
slices:
  a: {members: [{host: a1}, {host: a2}]}
  b: {members: [{port: s1/2}, {port: s3/2}]}
links: [[s1/8, s2/9], [s2/8, s3/9], [s3/8, s1/9]]
"#;

fn flow_mods(bed: &Bed) -> u64 {
    bed.network.controller().0.switches().map(|switch| switch.counters().flow_mods).sum()
}

#[test]
fn a_fast_stream_is_set_up_once_and_loses_nothing() {
    for version in VERSIONS {
        for seed in 0..10 {
            let mut bed = Bed::new(RING, version, seed);
            bed.say("a2", "a1");
            let before = flow_mods(&bed);
            let count = bed.stream(&[("a1", "a2")], 200, |_, _| {})[0];
            assert_eq!(count.lost, 0, "{version} seed {seed}");
            // Two entries, and the ingress one again for each frame that was on its way when the
            // switch got it.
            let late = (HALF_TURN * 2).as_micros() / EVERY.as_micros();
            let sent = u128::from(flow_mods(&bed) - before);
            assert!(sent <= 2 + late + 2, "{version} seed {seed}: {sent}");
            audit(&bed);
        }
    }
}

#[test]
fn a_cut_link_costs_the_frames_of_two_round_trips_and_other_slices_none() {
    for version in VERSIONS {
        for seed in 0..10 {
            let mut bed = Bed::new(RING, version, seed);
            bed.say("a2", "a1");
            bed.say("a1", "a2");
            bed.say("b3", "b1");
            bed.say("b1", "b3");
            let counts = bed.stream(&[("a1", "a2"), ("b1", "b3")], 200, |bed, round| {
                if round == 50 {
                    assert!(bed.network.cut(0));
                }
            });
            // The port is told down, the new hops are asked for and confirmed, the ingress changed.
            let limit = HALF_TURN * 4;
            assert!(
                counts[0].lost > 0 && outage(counts[0]) <= limit,
                "{version} {seed}: {counts:?}"
            );
            assert_eq!((counts[0].lost, counts[1].lost), (counts[0].gap, 0), "{version} {seed}");
            audit(&bed);
        }
    }
}

#[test]
fn a_healed_link_is_taken_again_and_costs_no_frame() {
    for version in VERSIONS {
        for seed in 0..10 {
            let mut bed = Bed::new(RING, version, seed);
            bed.say("a2", "a1");
            assert!(bed.network.cut(0));
            bed.run(Duration::from_millis(50));
            assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
            assert!(bed.flows()["s3"] > 0);
            let counts = bed.stream(&[("a1", "a2")], 400, |bed, round| {
                if round == 50 {
                    assert!(bed.network.heal(0));
                }
            });
            assert_eq!(counts[0].lost, 0, "{version} seed {seed}");
            assert_eq!(bed.flows()["s3"], 0, "the short way is taken");
            audit(&bed);
        }
    }
}

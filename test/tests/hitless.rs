//! A switch loses its control channel and nothing else: no frame of what flows is lost by that, nor
//! by the return. What changed meanwhile is found, and nothing goes into the void, round a loop or
//! twice.

mod common;

use std::time::Duration;

use common::audit::audit;
use common::{Bed, VERSIONS, saw};
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

//! What an operator is told of hosts that cannot talk, and how often.

mod common;

use std::time::Duration;

use common::{Bed, VERSIONS, saw};
use umlaut_controller::Event;

const TWO: &str = r#"
umlaut: 1
switches: {s1: 0x1}
hosts:
  a1: {mac: "00:00:00:00:00:01", at: s1/1}
  a2: {mac: "00:00:00:00:00:02", at: s1/2}
  c1: {mac: "00:00:00:00:00:03", at: s1/3}
slices:
  a: {members: [{host: a1}, {host: a2}]}
  c: {members: [{port: s1/3}]}
"#;

/// Reasons and hints told so far.
fn told(bed: &Bed) -> Vec<(String, String)> {
    let told = bed.told.0.lock().unwrap();
    let refused = told.iter().filter_map(|event| match event {
        Event::Refused { host, reason, slice_hint, .. } => {
            Some((format!("{host} {reason}"), slice_hint.clone()))
        }
        _ => None,
    });
    refused.collect()
}

#[test]
fn a_host_that_reaches_nobody_because_the_others_are_silent_is_told_once_and_not_at_once() {
    for version in VERSIONS {
        let mut bed = Bed::new(TWO, version, 1);
        for to in ["all", "a2", "all", "all", "a2"] {
            assert_eq!(bed.say("a1", to), []);
            assert_eq!(told(&bed), []);
        }
        bed.run(Duration::from_secs(5));
        for _ in 0..5 {
            bed.say("a1", "all");
        }
        let all = told(&bed);
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(all[0].0, "00:00:00:00:00:01 no-receivers");
        let hint = &all[0].1;
        assert!(hint.starts_with("in a, a2 (00:00:00:00:00:02) must speak first"), "{hint}");
        assert!(hint.ends_with("{port: SWITCH/PORT, mac: \"00:00:00:00:00:02\"}"), "{hint}");
        // What it says helps.
        bed.say("a2", "a1");
        assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
    }
}

#[test]
fn a_host_that_is_alone_in_its_slice_is_not_told() {
    for version in VERSIONS {
        let mut bed = Bed::new(TWO, version, 1);
        for _ in 0..10 {
            assert_eq!(bed.say("c1", "all"), []);
            bed.run(Duration::from_secs(1));
        }
        assert_eq!(told(&bed), []);
    }
}

#![allow(unreachable_pub, reason = "a module of a bench and a test")]
//! What a packet-in costs a session, sockets apart: nanoseconds, or instructions under callgrind.
//!
//! ```text
//! cargo bench -p umlaut-testbed --bench hot_path [-- NAME…]
//! ```
//! Names are those of loads, and 1.0 or 1.3 for one version alone.
#[path = "../tests/hot_path/bed.rs"]
mod bed;

use std::hint::black_box;
use std::time::Instant;

use bed::{Bed, Size};
use bytes::BytesMut;
use umlaut::samples::LearningSwitch;
use umlaut_controller::{Apps, Policy};
use umlaut_openflow::Version;

/// Under callgrind only this is counted (`--toggle-collect='*measured*'`).
#[inline(never)]
fn measured<P: Policy>(bed: &mut Bed<P>, switch: usize, bytes: &[u8]) {
    bed.receive(switch, bytes);
    bed.turns(switch);
    black_box(());
}

/// (a): pairs of hosts that have their path, `each` in a turn.
fn seen_again<P: Policy>(name: &str, mut bed: Bed<P>, size: Size, rounds: u64, each: usize) {
    let pins: Vec<Vec<u8>> = (0..size.switches).map(|switch| bed.pins(size, switch, 1)).collect();
    let mut nanos = 0;
    for round in 0..=rounds {
        for (switch, pins) in pins.iter().enumerate() {
            for pins in pins.chunks(pins.len() / size.hosts as usize * each) {
                if round == 0 {
                    bed.receive(switch, pins);
                    bed.turns(switch);
                } else {
                    let begun = Instant::now();
                    measured(&mut bed, switch, pins);
                    nanos += begun.elapsed().as_nanos();
                }
                bed.forget_answers(switch);
            }
        }
    }
    let pins = rounds * size.switches * size.hosts;
    println!("{name}: {pins} packet-ins, {:.1} ns each", nanos as f64 / pins as f64);
}

/// (b): every packet-in is a new path, which ends later.
fn new_paths(name: &str, mut bed: Bed<impl Policy>, size: Size) {
    let (mut nanos, mut count) = (0, 0);
    for apart in [3, 5, 7, 9, 11, 13] {
        for switch in 0..size.switches {
            let pins = bed.pins(size, switch, apart);
            let mut ends = BytesMut::new();
            for pins in pins.chunks(pins.len() / size.hosts as usize * 40) {
                let begun = Instant::now();
                measured(&mut bed, switch as usize, pins);
                nanos += begun.elapsed().as_nanos();
                count += bed.answers_and_ends(switch as usize, &mut ends).flow_mods;
            }
            let begun = Instant::now();
            measured(&mut bed, switch as usize, &ends);
            nanos += begun.elapsed().as_nanos();
            bed.forget_answers(switch as usize);
        }
    }
    assert_eq!(count, size.switches * size.hosts * 6, "a flow-mod for each");
    println!("{name}: {count} packet-ins, {:.1} ns each", nanos as f64 / count as f64);
}

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let (versions, loads): (Vec<String>, Vec<String>) =
        asked.into_iter().partition(|a| a.starts_with("1."));
    let among = |asked: &[String], name: &str| asked.is_empty() || asked.iter().any(|a| a == name);
    let wanted = |load: &str| among(&loads, load);
    let small = std::env::var_os("SMALL").is_some();
    let size = if small { Size::SMALL } else { Size::FULL };
    let rounds = if small { 5 } else { 20 };
    for (version, tail) in [(Version::V1_0, "1.0"), (Version::V1_3, "1.3")] {
        if !among(&versions, tail) {
            continue;
        }
        if wanted("learning") {
            let apps: Apps<()> = Apps::new().with(LearningSwitch);
            let mut bed = Bed::new(apps, (), size, version);
            bed.introduce(size);
            seen_again(&format!("learning switch, {tail}"), bed, size, rounds, 40);
        }
        if wanted("a") {
            let bed = Bed::sliceable(size, version);
            seen_again(&format!("(a) seen again, {tail}"), bed, size, rounds, 40);
        }
        if wanted("one") {
            let bed = Bed::sliceable(size, version);
            seen_again(&format!("(a) seen again, one a turn, {tail}"), bed, size, rounds, 1);
        }
        if wanted("b") {
            new_paths(&format!("(b) new paths, {tail}"), Bed::sliceable(size, version), size);
        }
        if wanted("c") {
            let size = Size::MANY;
            let bed = Bed::sliceable(size, version);
            seen_again(
                &format!("(c) seen again, 100,000 hosts a switch, {tail}"),
                bed,
                size,
                1,
                40,
            );
        }
        if wanted("d") {
            let size = Size { rules: 1_000, ..size };
            let bed = Bed::sliceable(size, version);
            seen_again(&format!("(d) seen again, 1,000 rules, {tail}"), bed, size, rounds, 40);
        }
    }
}

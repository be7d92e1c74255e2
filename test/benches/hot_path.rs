#![allow(unreachable_pub, reason = "a module of a bench and a test")]
//! What a packet-in costs a session, sockets apart: nanoseconds, or instructions under callgrind.
//!
//! ```text
//! cargo bench -p umlaut-testbed --bench hot_path [-- NAME…]
//! ```
#[path = "../tests/hot_path/bed.rs"]
mod bed;

use std::hint::black_box;
use std::time::Instant;

use bed::{Bed, Size};
use bytes::BytesMut;
use umlaut::samples::LearningSwitch;
use umlaut::sliceable::SlicePolicy;
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

/// (r): all registered paths are decided again under another policy that says the same.
fn decided_again(name: &str, mut bed: Bed<SlicePolicy>, size: Size) {
    let mut paths = 0;
    for apart in (1..16).step_by(2) {
        for switch in 0..size.switches {
            let pins = bed.pins(size, switch, apart);
            bed.receive(switch as usize, &pins);
            bed.turns(switch as usize);
            paths += bed.answers(switch as usize).flow_mods;
        }
    }
    let policy = bed.same_policy(size, "");
    let begun = Instant::now();
    bed.set_policy(policy);
    let published = begun.elapsed();
    for switch in 0..size.switches {
        measured(&mut bed, switch as usize, &[]);
    }
    let all = begun.elapsed();
    let deleted: u64 = (0..size.switches).map(|s| bed.answers(s as usize).flow_mods).sum();
    assert_eq!(deleted, 0, "nothing has changed");
    println!(
        "{name}: {paths} paths in {:.1} ms, the policy in force after {:.1} ms of them",
        all.as_secs_f64() * 1e3,
        published.as_secs_f64() * 1e3
    );
}

/// (e): one member of a million is taken out of a policy file, with all hosts known and their paths
/// registered: from the closed file to the last path that was decided again.
fn one_edit(name: &str, mut bed: Bed<SlicePolicy>, size: Size) {
    let mut paths = 0;
    for switch in 0..size.switches as usize {
        let pins = bed.pins(size, switch as u64, 1);
        bed.receive(switch, &pins);
        bed.turns(switch);
        paths += bed.answers(switch).flow_mods;
    }
    let mut text = size.policy();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("policy.yaml");
    for host in [992, 16, 3200] {
        // A port that speaks for nobody any more but for those who are bound otherwise.
        let (dpid, port) = (size.switches / 2, size.port(host));
        let line = format!("      - {{port: {dpid:#x}/{port}}}\n");
        let before = text.len();
        text = text.replacen(&line, "", 1);
        assert!(text.len() < before, "it is a member");
        std::fs::write(&file, &text).expect("a file");
        let begun = Instant::now();
        let read = std::fs::read(&file).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let read = read.expect("what was written");
        let read_after = begun.elapsed();
        let policy = bed.edited_policy(read);
        let parsed_after = begun.elapsed();
        bed.set_policy(policy);
        let published = begun.elapsed();
        for switch in 0..size.switches {
            measured(&mut bed, switch as usize, &[]);
        }
        let all = begun.elapsed();
        let changed: u64 = (0..size.switches).map(|s| bed.answers(s as usize).flow_mods).sum();
        let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        println!(
            "{name}: {} members, {paths} paths, {changed} flow-mods; read after {:.1} ms, parsed after {:.1}, \
             in force after {:.1}, all decided after {:.1}",
            size.members(),
            ms(read_after),
            ms(parsed_after),
            ms(published),
            ms(all)
        );
    }
}

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|a| a == name);
    let small = std::env::var_os("SMALL").is_some();
    let size = if small { Size::SMALL } else { Size::FULL };
    let rounds = if small { 5 } else { 20 };
    for (version, tail) in [(Version::V1_0, "1.0"), (Version::V1_3, "1.3")] {
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
        if wanted("r") {
            let bed = Bed::sliceable(size, version);
            decided_again(&format!("(r) decided again, {tail}"), bed, size);
        }
        if wanted("e") && !small && version == Version::V1_3 {
            one_edit(
                &format!("(e) one edit, {tail}"),
                Bed::sliceable(Size::MILLION, version),
                Size::MILLION,
            );
        }
        if wanted("d") {
            let size = Size { rules: 1_000, ..size };
            let bed = Bed::sliceable(size, version);
            seen_again(&format!("(d) seen again, 1,000 rules, {tail}"), bed, size, rounds, 40);
        }
    }
}

#![allow(unreachable_pub, reason = "a module of a bench and a test")]
//! What more processors, members, switches and hosts do to the cost of a packet-in, sockets apart.
//!
//! ```text
//! cargo bench -p umlaut-testbed --bench scaling [-- cores|members|switches|hosts…]
//! ```
//!
//! Each figure is that of the quietest of many rounds: what else runs on the machine only adds.
#[path = "../tests/hot_path/bed.rs"]
mod bed;

use std::sync::Barrier;
use std::time::{Duration, Instant};

use bed::{Bed, Size};
use bytes::BytesMut;
use umlaut::sliceable::SlicePolicy;
use umlaut_openflow::Version;

/// Packet-ins that a switch sends before its turn.
const IN_TURN: u64 = 40;
/// Packet-ins measured, in all rounds together.
const MEASURED: u64 = 4_000_000;
/// How long threads run side by side.
const SIDE_BY_SIDE: Duration = Duration::from_secs(2);

fn bytes_of(pins: &[u8], hosts: u64) -> usize {
    pins.len() / hosts as usize * IN_TURN as usize
}

/// One switch asks once for each path of its hosts to a neighbour.
fn ask(bed: &mut Bed<SlicePolicy>, switch: usize, pins: &[u8], hosts: u64) {
    for pins in pins.chunks(bytes_of(pins, hosts)) {
        bed.receive(switch, pins);
        bed.turns(switch);
        bed.forget_answers(switch);
    }
}

/// Nanoseconds for a packet-in of hosts seen again.
fn seen_again(size: Size) -> f64 {
    let mut bed = Bed::sliceable(size, Version::V1_3);
    let pins: Vec<Vec<u8>> = (0..size.switches).map(|switch| bed.pins(size, switch, 1)).collect();
    let each = size.switches * size.hosts;
    let mut best = Duration::MAX;
    // The first round has new paths.
    for _ in 0..=(MEASURED / each).max(3) {
        let begun = Instant::now();
        for (switch, pins) in pins.iter().enumerate() {
            ask(&mut bed, switch, pins, size.hosts);
        }
        best = best.min(begun.elapsed());
    }
    best.as_nanos() as f64 / each as f64
}

/// Nanoseconds for a packet-in of a new path and its end.
fn new_paths(size: Size) -> f64 {
    let mut bed = Bed::sliceable(size, Version::V1_3);
    let each = size.switches * size.hosts;
    let distances = [3, 5, 7, 9, 11, 13];
    let mut best = Duration::MAX;
    for round in 0..(MEASURED / 8 / each).max(6) {
        let apart = distances[round as usize % distances.len()];
        let mut time = Duration::ZERO;
        for switch in 0..size.switches {
            let pins = bed.pins(size, switch, apart);
            let mut ends = BytesMut::new();
            for pins in pins.chunks(bytes_of(&pins, size.hosts)) {
                let begun = Instant::now();
                bed.receive(switch as usize, pins);
                bed.turns(switch as usize);
                time += begun.elapsed();
                bed.answers_and_ends(switch as usize, &mut ends);
            }
            let begun = Instant::now();
            bed.receive(switch as usize, &ends);
            bed.turns(switch as usize);
            time += begun.elapsed();
            bed.forget_answers(switch as usize);
        }
        best = best.min(time);
    }
    best.as_nanos() as f64 / each as f64
}

/// Packet-ins a second of hosts seen again, when so many threads have a share of the switches each.
fn side_by_side(size: Size, threads: usize) -> f64 {
    let bed = Bed::sliceable(size, Version::V1_3);
    let pins: Vec<Vec<u8>> = (0..size.switches).map(|switch| bed.pins(size, switch, 1)).collect();
    let mut shares: Vec<Vec<(Bed<SlicePolicy>, Vec<u8>)>> =
        (0..threads).map(|_| Vec::new()).collect();
    for (switch, one) in bed.split().into_iter().zip(pins).enumerate() {
        shares[switch % threads].push(one);
    }
    let together = Barrier::new(threads);
    let rate = |mut share: Vec<(Bed<SlicePolicy>, Vec<u8>)>| {
        share.iter_mut().for_each(|(bed, pins)| ask(bed, 0, pins, size.hosts));
        together.wait();
        let (begun, mut count) = (Instant::now(), 0);
        while begun.elapsed() < SIDE_BY_SIDE {
            share.iter_mut().for_each(|(bed, pins)| ask(bed, 0, pins, size.hosts));
            count += share.len() as u64 * size.hosts;
        }
        count as f64 / begun.elapsed().as_secs_f64()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = shares.into_iter().map(|share| scope.spawn(|| rate(share))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).sum()
    })
}

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|a| a == name);
    if wanted("cores") {
        let one = side_by_side(Size::FULL, 1);
        let two = side_by_side(Size::FULL, 2);
        let again = side_by_side(Size::FULL, 1);
        println!(
            "cores: {:.1} M/s on one thread, {:.1} M/s on two ({:.2} times), {:.1} M/s on one",
            one / 1e6,
            two / 1e6,
            two / one.max(again),
            again / 1e6
        );
    }
    let compared = |what: &str, sizes: &[(u64, Size)]| {
        let mut first = None;
        for (count, size) in sizes {
            let (seen, new) = (seen_again(*size), new_paths(*size));
            let (seen_first, new_first) = *first.get_or_insert((seen, new));
            println!(
                "{what} {count}: seen again {seen:.1} ns ({:.2}), new paths {new:.1} ns ({:.2})",
                seen / seen_first,
                new / new_first
            );
        }
    };
    if wanted("members") {
        // The load is the same; the other members are all in its slice.
        let size = |others| Size { others, ..Size::LEAST };
        let sizes = [0, 1_000, 100_000, 1_000_000].map(|others| (others + 12, size(others)));
        compared("members", &sizes);
    }
    if wanted("switches") {
        let size = |switches| Size { switches, hosts: 1_024 / switches, ..Size::FULL };
        compared("switches, 1,024 hosts in all:", &[1, 4, 16, 64].map(|n| (n, size(n))));
    }
    if wanted("hosts") {
        let size = |hosts| Size { hosts, ..Size::FULL };
        compared("hosts a switch, 16 switches:", &[16, 128, 1_008, 8_064].map(|n| (n, size(n))));
    }
}

#![allow(unreachable_pub, reason = "a module of a bench and a test")]
//! What it costs until all registered paths agree with another policy.
#[path = "../tests/hot_path/bed.rs"]
mod bed;

use std::time::{Duration, Instant};

use bed::{Bed, Size};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use umlaut::sliceable::SlicePolicy;
use umlaut_openflow::Version;

/// How far apart in their slice the hosts of a path are; all of these are registered.
fn register(bed: &mut Bed<SlicePolicy>, size: Size, apart: impl Iterator<Item = u64>) -> u64 {
    let mut paths = 0;
    for apart in apart {
        for switch in 0..size.switches {
            let pins = bed.pins(size, switch, apart);
            bed.receive(switch as usize, &pins);
            bed.turns(switch as usize);
            paths += bed.answers(switch as usize).flow_mods;
        }
    }
    paths
}

/// Every session does what the policy asks of it. Returns how many flow-mods came of it.
fn obey(bed: &mut Bed<SlicePolicy>, size: Size) -> u64 {
    (0..size.switches as usize).for_each(|switch| bed.turns(switch));
    (0..size.switches as usize).map(|switch| bed.answers(switch).flow_mods).sum()
}

/// Two policies that say the same take turns; nothing is known of the one when the other comes.
fn another_policy(c: &mut Criterion) {
    let size = Size::FULL;
    for (version, tail) in [(Version::V1_0, "1.0"), (Version::V1_3, "1.3")] {
        let mut bed = Bed::sliceable(size, version);
        let paths = register(&mut bed, size, (1..16).step_by(2));
        let mut group = c.benchmark_group(format!("decided again, {tail}"));
        group.throughput(Throughput::Elements(paths));
        group.bench_function(format!("{paths} paths"), |b| {
            b.iter_custom(|rounds| {
                let mut time = Duration::ZERO;
                for _ in 0..rounds {
                    let policy = bed.same_policy(size, "");
                    let begun = Instant::now();
                    bed.set_policy(policy);
                    let changed = obey(&mut bed, size);
                    time += begun.elapsed();
                    assert_eq!(changed, 0, "nothing has changed");
                }
                time
            });
        });
        group.finish();
    }
}

/// One member of a million goes and comes back: from the text that was read to the last path that
/// was decided again.
fn one_edit(c: &mut Criterion) {
    let size = Size::MILLION;
    let mut bed = Bed::sliceable(size, Version::V1_3);
    let paths = register(&mut bed, size, std::iter::once(1));
    let whole = size.policy();
    // Hosts that are bound no other way are refused there from now on.
    let member = format!("      - {{port: {:#x}/{}}}\n", size.switches / 2, size.port(992));
    let without = whole.replacen(&member, "", 1);
    assert!(without.len() < whole.len(), "it is a member");
    let mut texts = [without, whole].into_iter().cycle();
    let mut changed = 0;
    let mut group = c.benchmark_group("one edit");
    group.bench_function(format!("{} members, {paths} paths", size.members()), |b| {
        b.iter_custom(|rounds| {
            let mut time = Duration::ZERO;
            for _ in 0..rounds {
                let text = texts.next().expect("no end");
                let begun = Instant::now();
                let policy = bed.edited_policy(text);
                bed.set_policy(policy);
                changed += obey(&mut bed, size);
                time += begun.elapsed();
            }
            assert!(changed > 0, "the paths of who is refused are gone since the first edit");
            time
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(2));
    targets = another_policy, one_edit
}
criterion_main!(benches);

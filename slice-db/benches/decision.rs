//! What a decision costs: by each kind of member, whatever their number, and with filters.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use umlaut_slice_db::{Ingress, NoTrace, Policy, decide};

#[allow(dead_code, unreachable_pub, reason = "shared with tests and other benches")]
mod support;

use support::{Kind, Located, Sent, Style, filters, frames, policy};

fn read(text: &str) -> Policy {
    Policy::parse("p", text).unwrap_or_else(|mistakes| panic!("{}", mistakes[0])).0
}

fn decide_all(policy: &Policy, network: &Located, frames: &[Sent]) {
    for (dpid, port, headers) in frames {
        let ingress = Ingress { dpid: *dpid, port: *port, headers };
        black_box(decide(policy, network, ingress, &mut NoTrace));
    }
}

/// The same few frames whatever the number of members: what it costs to look up, not what it costs to
/// fetch a large table from memory.
const FRAMES: usize = 16;

fn members(c: &mut Criterion) {
    let mut group = c.benchmark_group("decide");
    for members in [200, 10_000, 1_000_000] {
        let policy = read(&policy((members / 100).clamp(1, 1000), members, Style::Flow));
        for kind in [Kind::Mac, Kind::PortMac, Kind::Port, Kind::Nothing] {
            let (network, frames) = frames(&policy, kind, FRAMES);
            group.throughput(Throughput::Elements(frames.len() as u64));
            let id = BenchmarkId::new(format!("{kind:?}"), members);
            group.bench_function(id, |b| b.iter(|| decide_all(&policy, &network, &frames)));
        }
    }
    group.finish();
}

/// Frames of 8,000 senders among a million members: with what the memory adds.
fn cold(c: &mut Criterion) {
    let mut group = c.benchmark_group("decide/8000 senders");
    group.sample_size(20);
    let policy = read(&policy(1000, 1_000_000, Style::Flow));
    for kind in [Kind::Mac, Kind::PortMac, Kind::Port] {
        let (network, frames) = frames(&policy, kind, 8000);
        group.throughput(Throughput::Elements(frames.len() as u64));
        let id = format!("{kind:?}");
        group.bench_function(id, |b| b.iter(|| decide_all(&policy, &network, &frames)));
    }
    group.finish();
}

fn rules(c: &mut Criterion) {
    let mut group = c.benchmark_group("filters");
    group.throughput(Throughput::Elements(FRAMES as u64));
    let text = policy(1000, 10_000, Style::Flow);
    for (rules, shapes) in
        [(0, 1), (1, 1), (1000, 1), (10_000, 1), (10, 10), (1000, 10), (10_000, 10)]
    {
        let more = if rules == 0 { String::new() } else { filters(rules, shapes) };
        let policy = read(&format!("{text}{more}"));
        let (network, frames) = frames(&policy, Kind::Mac, FRAMES);
        let id = BenchmarkId::new(format!("{shapes} shapes"), rules);
        group.bench_function(id, |b| b.iter(|| decide_all(&policy, &network, &frames)));
    }
    group.finish();
}

criterion_group! {
    name = decision;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = members, cold, rules
}
criterion_main!(decision);

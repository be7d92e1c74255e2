//! What it costs to read a policy, and to read it again after an edit of one member.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use umlaut_slice_db::Policy;

#[allow(dead_code, unreachable_pub, reason = "shared with tests and other benches")]
mod support;

use support::{Style, policy};

fn read(text: &Arc<String>) -> Policy {
    Policy::read("p", text.clone()).unwrap_or_else(|mistakes| panic!("{}", mistakes[0])).0
}

fn load(c: &mut Criterion) {
    let mut group = c.benchmark_group("load");
    group.sample_size(10);
    for (members, style) in [
        (10_000, Style::Flow),
        (10_000, Style::Block),
        (1_000_000, Style::Flow),
        (1_000_000, Style::Block),
    ] {
        let text = Arc::new(policy((members / 100).min(1000), members, style));
        group.throughput(Throughput::Elements(members as u64));
        let id = BenchmarkId::new(format!("{style:?}"), members);
        group.bench_function(id, |b| b.iter(|| black_box(read(&text))));
    }
    group.finish();
}

/// One member more, and what differs then.
fn edit(c: &mut Criterion) {
    let mut group = c.benchmark_group("one edit");
    group.sample_size(20);
    for (slices, members) in [(100, 10_000), (1000, 1_000_000), (1, 1_000_000)] {
        let text = policy(slices, members, Style::Flow);
        let middle = text.len() / 2;
        let line = middle + text[middle..].find("\n      - ").expect("a member") + 1;
        let new =
            format!("{}      - {{mac: \"0e:00:00:00:00:01\"}}\n{}", &text[..line], &text[line..]);
        let (old, new) = (read(&Arc::new(text)), Arc::new(new));
        let id = BenchmarkId::new(format!("{slices} slices"), members);
        group.bench_function(id, |b| {
            b.iter(|| {
                let (policy, _) = old.reread(new.clone()).expect("it is good");
                black_box(old.diff(&policy));
                policy
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = loading;
    config = Criterion::default().warm_up_time(std::time::Duration::from_millis(500));
    targets = load, edit
}
criterion_main!(loading);

//! Times of reading frames and packing their headers: `cargo bench -p umlaut-openflow --bench packet`.

#[path = "support/mod.rs"]
mod support;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for (name, mut operation) in support::packet_cases() {
        criterion.bench_function(name, |b| b.iter(&mut operation));
    }
    criterion.final_summary();
}

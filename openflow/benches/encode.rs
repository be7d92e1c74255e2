//! Times of building and encoding what a controller answers: `cargo bench -p umlaut-openflow --bench encode`.

#[path = "support/mod.rs"]
mod support;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for (name, mut operation) in support::encode_cases() {
        criterion.bench_function(name, |b| b.iter(&mut operation));
    }
    criterion.final_summary();
}

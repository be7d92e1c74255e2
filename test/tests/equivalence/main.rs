//! Equivalence: on random networks, under random policies, whatever happens, three agree on every
//! frame and every host: what is decided on a network without switches (and explained), what arrives
//! on the emulated one, and a naive reading of the policy.

#![allow(unreachable_pub, reason = "one binary of several files")]

#[path = "../common/mod.rs"]
mod common;

mod drive;
mod frames;
mod generate;
mod naive;
mod plan;
mod random;
mod shrink;
mod write;

use naive::Reading;

/// Cases of a run without arguments.
const CASES: u64 = 300;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn decision_network_and_naive_reading_agree() {
    let (cases, first) = (number("EQUIVALENCE_CASES", CASES), number("EQUIVALENCE_SEED", 1));
    let (mut frames, mut failed) = (0, 0);
    for seed in first..first + cases {
        let plan = generate::plan(seed);
        match std::panic::catch_unwind(|| drive::run(&plan, Reading::frame)) {
            Ok(Ok(count)) => frames += count,
            Ok(Err(found)) => {
                failed += 1;
                let (plan, found) = shrink::shrink(&plan, *found, Reading::frame);
                eprintln!("{}", write::policy(&plan, &plan.rules[0], &[], &[]));
                eprintln!("{:#?}", plan.steps);
                eprintln!("{:?}: {:#?} {:?} {:?}", plan.version, found.events, found.fate, found.verdict);
                eprintln!("seed {seed}: {:?}: {} after {} events", found.between, found.what, found.events.len());
            }
            Err(_) => { failed += 1; eprintln!("seed {seed}: panic"); }
        }
    }
    eprintln!("{cases} plans, {frames} frames, {failed} failed");
    assert_eq!(failed, 0);
}

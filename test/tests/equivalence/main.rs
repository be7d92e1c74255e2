//! Equivalence: on random networks, under random policies, whatever happens, three agree on every
//! frame and every host: what is decided on a network without switches (and explained), what arrives
//! on the emulated one, and a naive reading of the policy.
//!
//! `EQUIVALENCE_CASES` and `EQUIVALENCE_SEED` say how many plans are run, and the first one's seed;
//! `test/equivalence [CASES] [SEED]` sets them. `EQUIVALENCE_SHRINK=no` takes nothing away. A difference is printed as a policy file with a case
//! and as a scenario, after everything that it does not need is taken away.

#![allow(unreachable_pub, reason = "one binary of several files")]

#[path = "../common/mod.rs"]
mod common;

mod drive;
mod frames;
mod generate;
mod mutations;
mod naive;
mod plan;
mod planted;
mod random;
mod report;
mod shrink;
mod write;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use drive::{Difference, Oracle};
use naive::Reading;
use plan::Plan;

/// Plans of a run without arguments.
const CASES: u64 = 300;
/// Threads that run plans.
const THREADS: u64 = 4;

fn number(name: &str, usual: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => usual,
    }
}

/// Runs a plan; a panic of the code under test is a difference as well, which is not made smaller.
fn run(plan: &Plan, oracle: Oracle) -> Result<u64, String> {
    let run = || drive::run(plan, oracle);
    match std::panic::catch_unwind(run) {
        Ok(Ok(frames)) => Ok(frames),
        Ok(Err(found)) if std::env::var("EQUIVALENCE_SHRINK").is_ok_and(|text| text == "no") => {
            Err(report::report(plan, &found))
        }
        Ok(Err(found)) => Err(smaller(plan, *found, oracle)),
        Err(_) => Err(format!("seed {}: a panic", plan.seed)),
    }
}

fn smaller(plan: &Plan, found: Difference, oracle: Oracle) -> String {
    let shrunk = || shrink::shrink(plan, found.clone(), oracle);
    match std::panic::catch_unwind(shrunk) {
        Ok((plan, found)) => report::report(&plan, &found),
        Err(_) => report::report(plan, &found),
    }
}

#[test]
fn decision_network_and_naive_reading_agree() {
    let (cases, first) = (number("EQUIVALENCE_CASES", CASES), number("EQUIVALENCE_SEED", 1));
    let (next, frames, stop) = (AtomicU64::new(first), AtomicU64::new(0), AtomicBool::new(false));
    let found: Vec<String> = std::thread::scope(|scope| {
        let work = || -> Option<String> {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first.saturating_add(cases) || stop.load(Ordering::Relaxed) {
                    return None;
                }
                match run(&generate::plan(seed), Reading::frame) {
                    Ok(count) => frames.fetch_add(count, Ordering::Relaxed),
                    Err(found) => {
                        // The first is enough.
                        stop.store(true, Ordering::Relaxed);
                        return Some(found);
                    }
                };
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("it catches panics")).collect()
    });
    let frames = frames.load(Ordering::Relaxed);
    println!("{cases} plans from seed {first}, {frames} frames");
    assert!(found.is_empty(), "\n{}", found.join("\n\n"));
    // A plan has 30 frames on average; one alone may have few.
    let enough = if cases < 100 { 1 } else { 10 * cases };
    assert!(frames >= enough, "{cases} plans, and only {frames} frames were compared");
}

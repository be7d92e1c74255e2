//! `umlaut test --on emulated` and `--on ovs`: the frames of the cases on a network. Runtime.

use std::time::Instant;

use umlaut_openflow::Version;
use umlaut_slice_db::{Case, Policy, Wrong, judge};
use umlaut_testbed::ovs::{OpenVSwitch, unusable};
use umlaut_testbed::scenario::{self, Ground, GroundError, Tried, try_cases};

use super::Suite;
use super::report::Verdict;
use crate::emulated_ground::EmulatedGround;

/// Bridges, namespaces and interfaces of tests begin with this.
const PREFIX: &str = "umt";

/// A version of OpenFlow as arguments have it.
pub(super) fn version(text: &str) -> Result<Version, String> {
    match text {
        "1.0" => Ok(Version::V1_0),
        "1.3" => Ok(Version::V1_3),
        _ => Err("1.0 or 1.3".to_owned()),
    }
}

/// Tries the cases on emulated switches.
pub(super) fn emulated(suite: &Suite, cases: &[&Case], version: Version) -> Vec<(Verdict, f64)> {
    try_on(suite, cases, |policy, text| EmulatedGround::start(version, 1, policy, text))
}

/// Tries the cases on Open vSwitch, with a controller of its own on a free port of loopback.
///
/// # Errors
/// Open vSwitch cannot be used here.
pub(super) fn open_vswitch(
    suite: &Suite,
    cases: &[&Case],
    version: Version,
) -> anyhow::Result<Vec<(Verdict, f64)>> {
    if let Some(why) = unusable() {
        anyhow::bail!("Open vSwitch cannot be used here: {why}");
    }
    let binary = std::env::current_exe()?;
    Ok(try_on(suite, cases, |policy, text| {
        let listen = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        OpenVSwitch::start(PREFIX, version, policy, text, &binary, listen)
    }))
}

fn try_on<G: Ground>(
    suite: &Suite,
    cases: &[&Case],
    make: impl FnMut(&Policy, &str) -> Result<G, GroundError>,
) -> Vec<(Verdict, f64)> {
    let trial = scenario::Suite { policy: &suite.policy, files: &suite.files };
    let mut outcomes = vec![(Verdict::Holds, 0.0); cases.len()];
    let mut begun = Instant::now();
    try_cases(&trial, cases, make, |index, done| {
        let verdict = match done {
            Tried::Holds => held(suite, cases[index]),
            Tried::Wrong(instead) => Verdict::Wrong(told(suite, cases[index], instead)),
            Tried::Not(why) => Verdict::NotTried(why),
        };
        outcomes[index] = (verdict, begun.elapsed().as_secs_f64());
        begun = Instant::now();
    });
    outcomes
}

/// A case that held on the network holds if it also holds by the policy: a network shows one order of
/// events, and not why a frame is dropped.
fn held(suite: &Suite, case: &Case) -> Verdict {
    match judge(&suite.policy, case, &suite.files).wrong {
        Some(wrong) => Verdict::Wrong(Wrong {
            what: format!("on the network it was so; by the policy: {}", wrong.what),
            explanation: wrong.explanation,
        }),
        None => Verdict::Holds,
    }
}

/// What happened on the network, with what the policy says of the case.
fn told(suite: &Suite, case: &Case, instead: String) -> Wrong {
    match judge(&suite.policy, case, &suite.files).wrong {
        Some(wrong) => Wrong {
            what: format!("{instead}\nby the policy: {}", wrong.what),
            explanation: wrong.explanation,
        },
        None => Wrong {
            what: format!("{instead}\nby the policy the case holds: the network is at fault"),
            explanation: None,
        },
    }
}

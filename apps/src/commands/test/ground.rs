//! `umlaut test --on emulated` and `--on ovs`: the frames of the cases on a network. Runtime.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use umlaut_openflow::Version;
use umlaut_slice_db::{Case, Policy, Wrong, judge};
use umlaut_testbed::ovs::{OpenVSwitch, Site, unusable};
use umlaut_testbed::scenario::{self, Ground, GroundError, Tried, try_cases};

use super::Suite;
use super::report::Verdict;
use crate::commands::{Failure, SIGNALLED};
use crate::emulated_ground::EmulatedGround;

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

/// Networks on Open vSwitch, one after the other under one name. Dropped: nothing is left of them.
pub(super) struct Bridges {
    site: Arc<Site>,
    /// The number of the signal that came, or 0.
    signalled: Arc<AtomicU8>,
    binary: PathBuf,
}

impl Bridges {
    /// Takes a name for what is made.
    ///
    /// # Errors
    /// Open vSwitch cannot be used here, or all names are taken.
    pub(super) fn open() -> anyhow::Result<Bridges> {
        if let Some(why) = unusable() {
            anyhow::bail!("Open vSwitch cannot be used here: {why}");
        }
        let binary = std::env::current_exe().context("where this program is")?;
        let site = Site::free()?;
        let signalled = end_at_signals(&site)?;
        Ok(Bridges { site, signalled, binary })
    }

    /// Tries the cases, each network with a controller of its own on a free port of loopback.
    ///
    /// # Errors
    /// A signal came.
    pub(super) fn try_all(
        &self,
        suite: &Suite,
        cases: &[&Case],
        version: Version,
    ) -> anyhow::Result<Vec<(Verdict, f64)>> {
        let outcomes = try_on(suite, cases, |policy, text| {
            let listen = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            OpenVSwitch::start(&self.site, version, policy, text, &self.binary, listen)
        });
        match self.signalled.load(Ordering::Acquire) {
            0 => Ok(outcomes),
            signal => Err(Failure::Interrupted(signal).into()),
        }
    }
}

/// From here on SIGINT, SIGTERM and SIGHUP end what takes place at the site, and when that is over
/// the process, as they would by themselves. The number of the first that comes.
fn end_at_signals(site: &Arc<Site>) -> anyhow::Result<Arc<AtomicU8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let context = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    drop(context);
    let signalled = Arc::new(AtomicU8::new(0));
    let (told, site) = (Arc::clone(&signalled), Arc::downgrade(site));
    let wait = move || {
        runtime.block_on(async {
            let signal = tokio::select! {
                _ = interrupt.recv() => SignalKind::interrupt(),
                _ = terminate.recv() => SignalKind::terminate(),
                _ = hangup.recv() => SignalKind::hangup(),
            };
            let number = u8::try_from(signal.as_raw_value()).unwrap_or_default();
            told.store(number, Ordering::Release);
            match site.upgrade() {
                Some(site) => site.end(),
                None => std::process::exit(i32::from(SIGNALLED + number)),
            }
        });
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
    Ok(signalled)
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
            // What is wrong by the policy need not be tried.
            Tried::Not(why) => match judge(&suite.policy, cases[index], &suite.files).wrong {
                Some(wrong) => Verdict::Wrong(wrong),
                None => Verdict::NotTried(why),
            },
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

//! `umlaut test`: do the cases of policy files hold? Decided offline, or tried on a network.

#[cfg(feature = "lab")]
mod ground;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use umlaut_slice_db::{Case, Event, Judge, Policy, PolicyFiles};

use super::{EX_CONFIG, Failure, complain, load};
use report::{Outcome, Report, Verdict};

/// Where cases are tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Ground {
    /// By the decision alone: no network, no root, milliseconds
    Policy,
    /// On emulated switches in virtual time: no root
    #[cfg(feature = "lab")]
    Emulated,
    /// On bridges of Open vSwitch, with hosts in network namespaces: as root
    #[cfg(feature = "lab")]
    Ovs,
}

/// Arguments of `umlaut test`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Policy files with cases
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Where the cases are tried
    #[arg(long, value_enum, default_value = "policy")]
    on: Ground,
    /// The version of OpenFlow on networks (1.0 or 1.3)
    #[cfg(feature = "lab")]
    #[arg(long, value_name = "VERSION", default_value = "1.3", value_parser = ground::version)]
    openflow: umlaut_openflow::Version,
    /// Only cases whose text contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Also name the cases that hold
    #[arg(short, long)]
    verbose: bool,
    /// Write a JUnit XML report there (- for standard output)
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a JSON report there (- for standard output)
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let mut suites = Vec::new();
    let mut broken = false;
    for file in &args.files {
        match read(file)? {
            Some(suite) => suites.push(suite),
            None => broken = true,
        }
    }
    if broken {
        return Ok(ExitCode::from(EX_CONFIG));
    }
    let reports = args.junit.is_some() || args.json.is_some();
    let mut report = Report::default();
    let try_all = ready(args)?;
    for suite in &suites {
        let Suite { policy, .. } = suite;
        report.begin(policy.file());
        let wanted = |case: &&Case| args.only.as_ref().is_none_or(|part| case.text.contains(part));
        let cases: Vec<&Case> = policy.cases().iter().filter(wanted).collect();
        for (case, (verdict, seconds)) in cases.iter().zip(try_all(suite, &cases)?) {
            report.add(Outcome {
                // Looking for it reads the file once more.
                line: match args.verbose || reports || !matches!(verdict, Verdict::Holds) {
                    true => policy.case_line(case).unwrap_or_default(),
                    false => 0,
                },
                name: case.text.clone(),
                seconds,
                verdict,
            });
        }
    }
    drop(try_all);
    let to_stdout = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new("-"));
    if !to_stdout(&args.junit) && !to_stdout(&args.json) {
        print!("{}", report.text(args.verbose));
    }
    for (path, content) in
        [(&args.junit, Report::junit as fn(&Report) -> String), (&args.json, Report::json)]
    {
        match path.as_deref() {
            Some(path) if path == Path::new("-") => print!("{}", content(&report)),
            Some(path) => std::fs::write(path, content(&report))
                .with_context(|| path.display().to_string())?,
            None => {}
        }
    }
    if report.is_empty() {
        anyhow::bail!("there are no cases: nothing was tested");
    }
    Ok(if report.failures() > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A policy file with the files that its cases name.
struct Suite {
    policy: Policy,
    files: PolicyFiles,
}

/// What came of each case, and the seconds that it took.
type Tried = Vec<(Verdict, f64)>;
/// Tries cases of a suite.
type Try<'a> = Box<dyn Fn(&Suite, &[&Case]) -> anyhow::Result<Tried> + 'a>;

/// The ground of the arguments, on which cases can be tried as long as this is kept.
///
/// # Errors
/// It cannot be had.
fn ready(args: &Args) -> anyhow::Result<Try<'_>> {
    Ok(match args.on {
        Ground::Policy => Box::new(|suite, cases| Ok(by_policy(suite, cases))),
        #[cfg(feature = "lab")]
        Ground::Emulated => {
            Box::new(|suite, cases| Ok(ground::emulated(suite, cases, args.openflow)))
        }
        #[cfg(feature = "lab")]
        Ground::Ovs => {
            let bridges = ground::Bridges::open()?;
            Box::new(move |suite, cases| bridges.try_all(suite, cases, args.openflow))
        }
    })
}

fn by_policy(suite: &Suite, cases: &[&Case]) -> Tried {
    let judge = Judge::new(&suite.policy, &suite.files);
    let judged = cases.iter().map(|case| {
        let begun = Instant::now();
        let verdict = match judge.judge(case).wrong {
            None => Verdict::Holds,
            Some(wrong) => Verdict::Wrong(wrong),
        };
        (verdict, begun.elapsed().as_secs_f64())
    });
    judged.collect()
}

/// Reads a policy and the policies that its cases name. `None`: mistakes, which have been told.
fn read(file: &Path) -> anyhow::Result<Option<Suite>> {
    let policy = match load(file)? {
        Ok((policy, _)) => policy,
        Err(mistakes) => {
            complain(&mistakes);
            return Ok(None);
        }
    };
    let mut suite = Suite { policy, files: PolicyFiles::new() };
    let mut good = true;
    for case in suite.policy.cases() {
        for event in &case.after {
            let Event::Policy(name) = event else { continue };
            if suite.files.contains_key(name) {
                continue;
            }
            let path = file.parent().unwrap_or(Path::new("")).join(name);
            let line = suite.policy.case_line(case).unwrap_or_default();
            let at = format!("{}:{line}", suite.policy.file());
            let read = load(&path).map_err(|error| Failure::Config(format!("{at}: {error:#}")))?;
            match read {
                Ok((other, _)) => {
                    suite.files.insert(name.clone(), other);
                }
                Err(mistakes) => {
                    complain(&mistakes);
                    good = false;
                }
            }
        }
    }
    Ok(good.then_some(suite))
}

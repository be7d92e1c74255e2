//! `umlaut test`: do the cases of policy files hold? Decided offline, or tried on a network.

#[cfg(feature = "lab")]
mod ground;
mod report;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use umlaut_slice_db::{Case, Event, Judge, Policy, PolicyFiles};

use super::{EX_CONFIG, Failure, complain, lament, load, print};
use report::{Mistake, Outcome, Report, Verdict};

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
    distinct(args)?;
    let mut suites = Vec::new();
    let mut report = Report::new(args.only.clone());
    for file in &args.files {
        let mut named = Vec::new();
        match read(file, &mut named) {
            Ok(suite) => suites.push(suite),
            Err(mistakes) => report.unreadable(&file.display().to_string(), mistakes),
        }
        let policy = format!("the policy that a case of {} names", file.display());
        spared(args, &named, &policy)?;
    }
    if report.is_broken() {
        write(args, &report)?;
        return Ok(ExitCode::from(EX_CONFIG));
    }
    let reports = args.junit.is_some() || args.json.is_some();
    let try_all = match ready(args) {
        Ok(try_all) => try_all,
        Err(error) => {
            for suite in &suites {
                report.begin(suite.policy.file());
                report.unreadable(suite.policy.file(), vec![untried(&error)]);
            }
            return Err(after_writing(args, &report, error));
        }
    };
    for suite in &suites {
        let Suite { policy, .. } = suite;
        report.begin(policy.file());
        let wanted = |case: &&Case| args.only.as_ref().is_none_or(|part| case.text.contains(part));
        let cases: Vec<&Case> = policy.cases().iter().filter(wanted).collect();
        let tried = match try_all(suite, &cases) {
            Ok(tried) => tried,
            Err(error) => {
                report.unreadable(policy.file(), vec![untried(&error)]);
                return Err(after_writing(args, &report, error));
            }
        };
        for (case, (verdict, seconds)) in cases.iter().zip(tried) {
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
    write(args, &report)?;
    match (report.is_empty(), &args.only) {
        (true, Some(part)) => anyhow::bail!("no case has {part:?} in its name: nothing was tested"),
        (true, None) => anyhow::bail!("there are no cases: nothing was tested"),
        _ if report.failures() > 0 => Ok(ExitCode::FAILURE),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Writes the reports where an error ends the run; which error stays the first.
fn after_writing(args: &Args, report: &Report, error: anyhow::Error) -> anyhow::Error {
    match write(args, report) {
        Ok(()) => error,
        Err(unwritten) => error.context(format!("{unwritten:#}")),
    }
}

/// Why the cases of a file were not tried.
fn untried(error: &anyhow::Error) -> Mistake {
    Mistake::new(None, format!("{error:#}"))
}

const STDOUT: &str = "-";

/// Whether two paths are of one file. A report need not be there yet; its folder is.
fn is_same(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| {
        let there = path.canonicalize().ok();
        there.or_else(|| {
            let folder = path.parent().filter(|folder| *folder != Path::new(""));
            Some(folder.unwrap_or(Path::new(".")).canonicalize().ok()?.join(path.file_name()?))
        })
    };
    a == b || place(a).is_some_and(|a| Some(a) == place(b))
}

/// Whether the reports go to different places, and none to a file of the arguments.
///
/// # Errors
/// They do not.
fn distinct(args: &Args) -> Result<(), Failure> {
    if let (Some(junit), Some(json)) = (&args.junit, &args.json)
        && is_same(junit, json)
    {
        return Err(Failure::Usage(match junit.as_os_str() == STDOUT {
            true => "--junit and --json cannot both go to standard output".to_owned(),
            false => format!("--junit and --json are one file: {}", junit.display()),
        }));
    }
    spared(args, &args.files, "the policy")
}

/// Whether no report overwrites one of these files, which are called `what`.
///
/// # Errors
/// One does.
fn spared(args: &Args, files: &[PathBuf], what: &str) -> Result<(), Failure> {
    let reports = [&args.junit, &args.json].into_iter().flatten();
    for report in reports.filter(|report| report.as_os_str() != STDOUT) {
        if files.iter().any(|file| is_same(file, report)) {
            let report = report.display();
            return Err(Failure::Usage(format!("{report}: the report would overwrite {what}")));
        }
    }
    Ok(())
}

/// Writes the reports, files first: standard output may be closed or full.
fn write(args: &Args, report: &Report) -> anyhow::Result<()> {
    let mut shown = None;
    for (path, content) in
        [(&args.junit, Report::junit as fn(&Report) -> String), (&args.json, Report::json)]
    {
        match path.as_deref() {
            Some(path) if path.as_os_str() == STDOUT => shown = Some(content(report)),
            Some(path) => {
                std::fs::write(path, content(report)).with_context(|| path.display().to_string())?
            }
            None => {}
        }
    }
    // What is wrong with files was told on standard error.
    let text = || if report.is_broken() { String::new() } else { report.text(args.verbose) };
    print(&shown.unwrap_or_else(text))
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

/// Reads a policy and the policies that its cases name; `named`: where these are, read or not.
///
/// # Errors
/// What is wrong with them, which has been told.
fn read(file: &Path, named: &mut Vec<PathBuf>) -> Result<Suite, Vec<Mistake>> {
    let policy = read_policy(file, None)?;
    let mut suite = Suite { policy, files: PolicyFiles::new() };
    let mut mistakes = Vec::new();
    let mut bad = BTreeSet::new();
    for case in suite.policy.cases() {
        for event in &case.after {
            let Event::Policy(name) = event else { continue };
            if suite.files.contains_key(name) || !bad.insert(name) {
                continue;
            }
            let path = file.parent().unwrap_or(Path::new("")).join(name);
            named.push(path.clone());
            let line = suite.policy.case_line(case).unwrap_or_default();
            match read_policy(&path, Some((suite.policy.file(), line))) {
                Ok(other) => {
                    suite.files.insert(name.clone(), other);
                }
                Err(more) => mistakes.extend(more),
            }
        }
    }
    if mistakes.is_empty() { Ok(suite) } else { Err(mistakes) }
}

/// Reads one policy, which a line of a file may name.
fn read_policy(path: &Path, named: Option<(&str, usize)>) -> Result<Policy, Vec<Mistake>> {
    match load(path) {
        Ok(Ok((policy, _))) => Ok(policy),
        Ok(Err(mistakes)) => {
            complain(&mistakes);
            Err(mistakes.iter().map(Mistake::from).collect())
        }
        Err(error) => {
            let what = match named {
                Some((file, line)) => format!("{file}:{line}: {error:#}"),
                None => format!("{error:#}"),
            };
            lament(format_args!("umlaut: {what}"));
            Err(vec![Mistake::new(named.map(|(_, line)| line), what)])
        }
    }
}

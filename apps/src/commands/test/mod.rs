//! `umlaut test`: do the cases of policy files hold? Decided offline, or tried on a network.

mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use umlaut_slice_db::{Event, Policy, PolicyFiles, judge};

use super::{EX_CONFIG, complain, load};
use report::{Outcome, Report};

/// Where cases are tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Ground {
    /// By the decision alone: no network, no root, milliseconds
    Policy,
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
    let mut report = Report::default();
    for (policy, files) in &suites {
        report.begin(policy.file());
        for case in policy.cases() {
            if args.only.as_ref().is_some_and(|part| !case.text.contains(part)) {
                continue;
            }
            let begun = Instant::now();
            let judgement = judge(policy, case, files);
            report.add(Outcome {
                line: policy.case_line(case).unwrap_or_default(),
                name: case.text.clone(),
                seconds: begun.elapsed().as_secs_f64(),
                wrong: judgement.wrong,
            });
        }
    }
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

/// A policy and the policies that its cases name. `None`: mistakes, which have been told.
fn read(file: &Path) -> anyhow::Result<Option<(Policy, PolicyFiles)>> {
    let policy = match load(file)? {
        Ok((policy, _)) => policy,
        Err(mistakes) => {
            complain(&mistakes);
            return Ok(None);
        }
    };
    let mut files = PolicyFiles::new();
    let mut good = true;
    for case in policy.cases() {
        for event in &case.after {
            let Event::Policy(name) = event else { continue };
            if files.contains_key(name) {
                continue;
            }
            let path = file.parent().unwrap_or(Path::new("")).join(name);
            let at = format!("{}:{}", policy.file(), policy.case_line(case).unwrap_or_default());
            match load(&path).with_context(|| at)? {
                Ok((other, _)) => {
                    files.insert(name.clone(), other);
                }
                Err(mistakes) => {
                    complain(&mistakes);
                    good = false;
                }
            }
        }
    }
    Ok(good.then_some((policy, files)))
}

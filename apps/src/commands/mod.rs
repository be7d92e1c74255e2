//! The `umlaut` command: arguments and exit codes. Runtime.
//!
//! | Exit code | Meaning |
//! |---|---|
//! | 0 | done; for `check`: no errors |
//! | 1 | something failed while running |
//! | 2 | the arguments are wrong |
//! | 78 | a policy or configuration file is wrong |

mod applications;
mod check;
mod decode;
mod explain;
#[cfg(feature = "lab")]
mod lab;
mod new;
mod run;

use std::fs;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use umlaut_slice_db::{Diagnostic, POLICY_BYTES, Policy};

/// The policy file is wrong (EX_CONFIG of sysexits.h).
const EX_CONFIG: u8 = 78;

/// Many isolated slices on one OpenFlow network.
#[derive(Debug, Parser)]
#[command(name = "umlaut", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Control switches
    Run(run::Args),
    /// Look for mistakes in policy files
    Check(check::Args),
    /// Tell why a frame is admitted or refused
    Explain(explain::Args),
    /// Show OpenFlow messages
    Decode(decode::Args),
    /// Make a crate with an application of your own
    New(new::Args),
}

impl Cli {
    /// Runs the command. Failures are told on standard error.
    pub fn execute(self) -> ExitCode {
        let done = match self.command {
            Command::Run(args) => run::execute(args),
            Command::Check(args) => check::execute(&args),
            Command::Explain(args) => explain::execute(&args),
            Command::Decode(args) => decode::execute(&args),
            Command::New(args) => new::execute(&args),
        };
        match done {
            Ok(code) => code,
            Err(error) => {
                eprintln!("umlaut: {error:#}");
                ExitCode::FAILURE
            }
        }
    }
}

/// A policy and its warnings, or all that is wrong with it.
pub(crate) type Loaded = Result<(Policy, Vec<Diagnostic>), Vec<Diagnostic>>;

/// Reads a policy file: the policy and its warnings, or what is wrong with it.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn load(path: &Path) -> anyhow::Result<Loaded> {
    use anyhow::Context;
    let name = path.display().to_string();
    let size = fs::metadata(path).with_context(|| name.clone())?.len();
    anyhow::ensure!(size <= POLICY_BYTES as u64, "{name}: larger than {} MiB", POLICY_BYTES >> 20);
    let bytes = fs::read(path).with_context(|| name.clone())?;
    let text = String::from_utf8(bytes).with_context(|| name.clone())?;
    Ok(Policy::parse(&name, &text))
}

/// Prints diagnostics for people on standard error.
pub(crate) fn complain(diagnostics: &[Diagnostic]) {
    let colours = std::io::stderr().is_terminal();
    for diagnostic in diagnostics {
        eprintln!("{}\n", diagnostic.render(colours));
    }
}

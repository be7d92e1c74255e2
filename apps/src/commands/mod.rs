//! The `umlaut` command: arguments and exit codes. Runtime.
//!
//! | Exit code | Meaning |
//! |---|---|
//! | 0 | done; for `check`: no errors |
//! | 1 | something failed while running |
//! | 2 | the arguments are wrong |
//! | 78 | a policy, configuration or certificate file is missing or wrong |
//! | 128 and more | a signal of that number less 128 ended a test on Open vSwitch |

mod applications;
mod ask;
#[cfg(feature = "lab")]
mod bench;
mod check;
mod decode;
mod doctor;
mod explain;
mod input;
#[cfg(feature = "lab")]
mod lab;
mod new;
mod pki;
mod run;
mod test;

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use umlaut_slice_db::{Diagnostic, POLICY_BYTES, Policy};

pub use run::{LogControl, NoLogFilter};

/// What `--help` says of exit codes.
pub(crate) const EXIT_CODES: &str = "Exit codes:
  0   done; a daemon was stopped by SIGINT or SIGTERM
  1   something failed while running, such as an address in use
  2   the arguments are wrong
  78  the policy file or a certificate file is missing or wrong";
/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The arguments are wrong, as the parser of arguments has it.
const EX_USAGE: u8 = 2;
/// A signal ended it: this and its number, as shells say it.
#[cfg(feature = "lab")]
const SIGNALLED: u8 = 128;
/// The policy file or another file of the configuration is wrong (EX_CONFIG of sysexits.h).
const EX_CONFIG: u8 = 78;

/// A failure with an exit code of its own; any other is 1.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Arguments that contradict each other.
    #[error("{0}")]
    Usage(String),
    /// A file that says what cannot be.
    #[error("{0}")]
    Config(String),
    /// A signal of this number came, and what was begun is undone.
    #[cfg(feature = "lab")]
    #[error("interrupted: everything that was made is removed")]
    Interrupted(u8),
}

/// Many isolated slices on one OpenFlow network.
#[derive(Debug, Parser)]
#[command(name = "umlaut", version, about, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Control switches
    #[command(after_help = EXIT_CODES)]
    Run(run::Args),
    /// Networks to try things out: emulated ones, or on Open vSwitch
    #[cfg(feature = "lab")]
    Lab(lab::Args),
    /// Look for mistakes in policy files
    Check(check::Args),
    /// Try the cases of policy files
    Test(test::Args),
    /// Tell why a frame is admitted or refused
    Explain(explain::Args),
    /// Show OpenFlow messages
    Decode(decode::Args),
    /// Make certificates for TLS between switches and controller
    Pki(pki::Args),
    #[command(flatten)]
    Ask(ask::Ask),
    /// Look for what keeps switches from working, and tell the command that repairs it
    Doctor(doctor::Args),
    /// Put a load on a controller and measure what it does
    #[cfg(feature = "lab")]
    Bench(bench::Args),
    /// Make a crate with an application of your own
    New(new::Args),
}

impl Cli {
    /// Runs the command. Failures are told on standard error.
    pub fn execute(self) -> ExitCode {
        let done = match self.command {
            Command::Run(args) => run::execute(args),
            #[cfg(feature = "lab")]
            Command::Lab(args) => lab::execute(args),
            Command::Check(args) => check::execute(&args),
            Command::Test(args) => test::execute(&args),
            Command::Explain(args) => explain::execute(&args),
            Command::Decode(args) => decode::execute(&args),
            Command::Pki(args) => pki::execute(&args),
            Command::Ask(ask) => ask.execute(),
            Command::Doctor(args) => doctor::execute(&args),
            #[cfg(feature = "lab")]
            Command::Bench(args) => bench::execute(&args),
            Command::New(args) => new::execute(&args),
        };
        match done {
            Ok(code) => code,
            Err(error) => {
                lament(format_args!("umlaut: {error:#}"));
                match error.downcast_ref() {
                    Some(Failure::Usage(_)) => ExitCode::from(EX_USAGE),
                    Some(Failure::Config(_)) => ExitCode::from(EX_CONFIG),
                    #[cfg(feature = "lab")]
                    Some(Failure::Interrupted(signal)) => ExitCode::from(SIGNALLED + signal),
                    None => ExitCode::FAILURE,
                }
            }
        }
    }
}

/// A policy and its warnings, or all that is wrong with it.
pub(crate) type Loaded = Result<(Policy, Vec<Diagnostic>), Vec<Diagnostic>>;

/// Reads a policy file: the policy and its warnings, or what is wrong with it.
///
/// # Errors
/// [`Failure::Config`]: the file cannot be read.
pub(crate) fn load(path: &Path) -> anyhow::Result<Loaded> {
    Ok(Policy::read(&path.display().to_string(), policy_text(path)?))
}

/// The text of a policy file.
///
/// # Errors
/// [`Failure::Config`]: the file cannot be read or is too large.
pub(crate) fn policy_text(path: &Path) -> anyhow::Result<String> {
    let read = input::file(path, POLICY_BYTES as u64);
    let mut bytes = read.map_err(|error| unreadable(path, error))?;
    // Some editors begin a file with it. Left in the text, it would count as a character of line 1.
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    String::from_utf8(bytes).map_err(|error| unreadable(path, error))
}

/// A file of the configuration that is not there or cannot be read.
pub(crate) fn unreadable(path: &Path, why: impl std::fmt::Display) -> anyhow::Error {
    Failure::Config(format!("{}: {why}", path.display())).into()
}

/// Prints diagnostics for people on standard error.
pub(crate) fn complain(diagnostics: &[Diagnostic]) {
    let colours = std::io::stderr().is_terminal();
    for diagnostic in diagnostics {
        lament(format_args!("{}\n", diagnostic.render(colours)));
    }
}

/// Prints a line on standard error. Where that is closed or full, there is nobody to tell.
pub(crate) fn lament(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints on standard output. Whoever closed it has seen enough: that is no error.
///
/// # Errors
/// It cannot be written to.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done.context("standard output"),
    }
}

//! `umlaut doctor`: what keeps switches from working, and the command that repairs each.
//!
//! Facts are gathered first ([`gather`]); what is wrong with them is a pure function of the facts
//! ([`diagnose`]).

mod bridges;
mod certificate;
mod diagnose;
mod facts;
mod flows;
mod gather;
mod holder;
mod ovsdb;

use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use crate::control::protocol::VERSION;

/// Arguments of `umlaut doctor`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The controller's socket [default: umlaut/umlaut.sock in $XDG_RUNTIME_DIR, else
    /// /run/umlaut.sock]
    #[arg(long, env = "UMLAUT_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Where switches connect [default: where the running controller listens, else 0.0.0.0:6653]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Bridges of Open vSwitch to look at; may be given several times [default: those that the
    /// policy names or that have a controller]
    #[arg(long, value_name = "BRIDGE")]
    bridge: Vec<String>,
    /// For programs
    #[arg(long)]
    json: bool,
    /// The policy file
    policy: Option<PathBuf>,
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Level {
    /// As it must be.
    Ok,
    /// It works, and may surprise.
    Warning,
    /// It does not work.
    Error,
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Finding {
    level: Level,
    /// What was looked at: `bridge s1: fail mode`.
    what: String,
    /// What was found, in one line.
    why: String,
    /// The command that repairs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<String>,
}

impl Finding {
    fn ok(what: impl Into<String>, why: impl Into<String>) -> Finding {
        Finding { level: Level::Ok, what: what.into(), why: why.into(), repair: None }
    }

    fn warning(what: impl Into<String>, why: impl Into<String>) -> Finding {
        Finding { level: Level::Warning, ..Finding::ok(what, why) }
    }

    fn error(what: impl Into<String>, why: impl Into<String>) -> Finding {
        Finding { level: Level::Error, ..Finding::ok(what, why) }
    }

    fn repaired_by(self, command: impl Into<String>) -> Finding {
        Finding { repair: Some(command.into()), ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        write!(f, "{level:<7}  {}: {}", self.what, self.why)?;
        match &self.repair {
            Some(command) => write!(f, "\n         repair: {command}"),
            None => Ok(()),
        }
    }
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let findings = diagnose::diagnose(&gather::gather(args));
    let problems = findings.iter().filter(|finding| finding.level == Level::Error).count();
    let warnings = findings.iter().filter(|finding| finding.level == Level::Warning).count();
    let mut out = std::io::stdout().lock();
    if args.json {
        let document = serde_json::json!({
            "umlaut": VERSION,
            "findings": findings,
            "errors": problems,
            "warnings": warnings,
        });
        writeln!(out, "{}", serde_json::to_string_pretty(&document)?)?;
    } else {
        for finding in &findings {
            writeln!(out, "{finding}")?;
        }
        writeln!(out, "{problems} errors, {warnings} warnings")?;
    }
    Ok(if problems > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

//! The `umlaut` command.

use std::process::ExitCode;

use clap::Parser;
use umlaut::commands::Cli;

fn main() -> ExitCode {
    Cli::parse().execute()
}

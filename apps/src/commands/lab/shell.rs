//! `umlaut lab shell`: the commands of a lab, one in a line, from a terminal or from a pipe. Runtime.

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use clap::Parser;
use umlaut_testbed::lab::LabName;

use super::act::Act;
use super::connection::Connection;
use super::place::Place;
use super::{Leaving, perform};

/// A line.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true, name = "")]
struct Line {
    #[command(subcommand)]
    act: Act,
}

/// What a line is.
#[derive(Debug)]
enum Typed {
    Nothing,
    Quit,
    Act(Act),
    /// Help, or what is wrong with it.
    Text(clap::Error),
}

fn read(line: &str) -> Typed {
    let line = line.split(" #").next().unwrap_or("").trim();
    match line {
        "" => return Typed::Nothing,
        "quit" | "exit" => return Typed::Quit,
        _ if line.starts_with('#') => return Typed::Nothing,
        _ => {}
    }
    match Line::try_parse_from(line.split_whitespace()) {
        Ok(line) => Typed::Act(line.act),
        Err(error) => Typed::Text(error),
    }
}

pub(super) fn execute(name: &LabName) -> anyhow::Result<ExitCode> {
    let mut connection = Connection::open(&Place::open()?, name)?;
    if std::io::stdin().is_terminal() {
        println!("lab {name}");
    }
    let mut failed = false;
    for line in std::io::stdin().lock().lines() {
        match read(&line?) {
            Typed::Nothing => {}
            Typed::Quit => break,
            Typed::Text(error) => {
                failed |= error.use_stderr();
                error.print()?;
            }
            Typed::Act(act) => {
                let (what, show) = act.request();
                if let Err(error) = perform(&mut connection, what, show, Leaving::Stay) {
                    eprintln!("umlaut: {error:#}");
                    failed = true;
                }
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

//! `umlaut lab`: networks of emulated switches or of Open vSwitch, their hosts, and what can be done
//! with them. Runtime.
//!
//! ```text
//! umlaut lab up ─▶ the process that keeps it: Lab, counters, sniffers
//! umlaut lab send-packets, show-stats, … ─▶ socket ─▶ a thread of that process
//! ```

mod act;
mod answer;
pub(super) mod beside;
mod connection;
mod down;
mod flows;
mod listening;
mod place;
mod protocol;
mod report;
mod serve;
mod shell;
mod show;
pub(super) mod up;
mod words;

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use serde::Serialize;
use umlaut_testbed::lab::LabName;

use act::{Act, Show};
use connection::{Connection, GREETING, Silent, Told};
use place::Place;
use protocol::{Answer, Status, What};

/// Arguments of `umlaut lab`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which lab, of several at once
    #[arg(long, global = true, env = "UMLAUT_LAB", default_value = "lab", value_name = "NAME")]
    name: LabName,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring up the network of a policy file
    Up(up::Args),
    /// Bring it down, and remove what a dead lab has left
    Down {
        /// All labs
        #[arg(long, conflicts_with = "file")]
        all: bool,
        /// Only if the lab is of this policy file
        file: Option<PathBuf>,
    },
    /// Bring all labs down
    Killall,
    /// The labs that run
    #[command(alias = "ls")]
    List {
        /// JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Type commands to a lab, or let it read them from standard input
    Shell,
    #[command(flatten)]
    Act(Act),
}

pub(super) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let name = args.name;
    match args.command {
        Command::Up(args) => return up::execute(&args, &name),
        Command::Down { all: false, file } => {
            let place = Place::open()?;
            if let Some(file) = &file {
                down::ensure_of(&name, &place, file)?;
            }
            say(&[down::down(&name, &place)?])?;
        }
        Command::Down { all: true, .. } | Command::Killall => {
            let (told, done) = down::all(&Place::open()?)?;
            say(&told)?;
            done?;
        }
        Command::List { json } => list(json)?,
        Command::Shell => return shell::execute(&name),
        Command::Act(act) => {
            let (what, show) = act.request()?;
            let mut connection = Connection::open(&Place::open()?, &name)?;
            return perform(&mut connection, what, show, Leaving::Exec);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn say(lines: &[String]) -> anyhow::Result<()> {
    let mut text = lines.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    print(&text)
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// A lab of `list`.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
enum Listed {
    /// It has answered.
    Running {
        /// `running`.
        state: &'static str,
        #[serde(flatten)]
        status: Box<Status>,
    },
    /// It has not: it is coming up, going down, or does not answer.
    Other { name: String, state: &'static str },
}

fn list(json: bool) -> anyhow::Result<()> {
    let place = Place::open()?;
    let labs = place.labs()?;
    // At once: one that does not answer keeps nobody from the others.
    let listed: Vec<Option<Listed>> = std::thread::scope(|scope| {
        let asked: Vec<_> = labs.iter().map(|lab| scope.spawn(|| listed(&place, lab))).collect();
        asked.into_iter().map(|lab| lab.join().ok().flatten()).collect()
    });
    let listed: Vec<Listed> = listed.into_iter().flatten().collect();
    match json {
        true => print(&(serde_json::to_string_pretty(&listed)? + "\n")),
        false if listed.is_empty() => print("no lab runs\n"),
        false => print(&show::list(&listed)),
    }
}

/// A lab as `list` tells it. `None`: it does not run.
fn listed(place: &Place, lab: &LabName) -> Option<Listed> {
    let status = Connection::open(place, lab).and_then(|mut lab| lab.status_within(GREETING));
    let state = match status {
        Ok(status) => {
            return Some(Listed::Running { state: "running", status: Box::new(status) });
        }
        Err(error) if error.is::<Silent>() => "does not answer",
        Err(error) if error.is::<Told>() => "busy",
        Err(_) if !place.runs(lab).unwrap_or(true) => return None,
        Err(_) if place.noted(lab).is_some_and(|note| note.stood) => "going down",
        Err(_) => "coming up",
    };
    Some(Listed::Other { name: lab.to_string(), state })
}

/// How a command in a namespace is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Leaving {
    /// In place of this process.
    Exec,
    /// Beside it.
    Stay,
}

/// Asks a lab and shows the answer.
///
/// # Errors
/// What the lab says.
fn perform(
    connection: &mut Connection,
    what: What,
    show: Show,
    leaving: Leaving,
) -> anyhow::Result<ExitCode> {
    let wanted = match &what {
        What::Send(sending) => sending.count,
        _ => 0,
    };
    let answer = connection.ask(what)?;
    let text = match (answer, show) {
        (Answer::Namespace(namespace), Show::Run(command)) => {
            return run_in(&namespace, &command, leaving);
        }
        (Answer::Status(status), Show::Json) => serde_json::to_string_pretty(&status)? + "\n",
        (Answer::Stats(rows), Show::Json) => serde_json::to_string_pretty(&rows)? + "\n",
        (Answer::Flows(rows), Show::Json) => serde_json::to_string_pretty(&rows)? + "\n",
        (Answer::Status(status), _) => show::status(&status),
        (Answer::Stats(rows), Show::Stats { tx, rx }) => show::stats(&rows, tx, rx),
        (Answer::Flows(rows), _) => show::flows(&rows),
        (Answer::Sent(count), Show::Sent(ends)) => {
            let what = if count == 1 { "frame" } else { "frames" };
            if count < wanted {
                bail!("only {count} {what} sent from {ends}");
            }
            format!("{count} {what} sent from {ends}\n")
        }
        (Answer::Done, _) => String::new(),
        (other, _) => bail!("not the answer to this question: {other:?}"),
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a command, or a shell, in a network namespace.
fn run_in(namespace: &str, command: &[String], leaving: Leaving) -> anyhow::Result<ExitCode> {
    let shell = [std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned())];
    let command = if command.is_empty() { &shell[..] } else { command };
    let mut ip = std::process::Command::new("ip");
    ip.args(["netns", "exec", namespace]).args(command);
    if leaving == Leaving::Exec {
        // Comes back only if it cannot.
        return Err(anyhow::Error::from(ip.exec()).context("ip netns exec"));
    }
    let status = ip.status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

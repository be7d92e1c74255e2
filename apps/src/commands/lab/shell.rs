//! `umlaut lab shell`: the commands of a lab, one in a line, from a terminal or from a pipe. Runtime.

use std::fs;
use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::{History, MemHistory, SearchDirection};
use rustyline::validate::Validator;
use rustyline::{Config, Context, Editor, Helper};
use umlaut_testbed::lab::LabName;

use super::act::Act;
use super::connection::Connection;
use super::place::Place;
use super::protocol::Status;
use super::words::{complete, split};
use super::{Leaving, down, perform, say};

/// How many lines are remembered for the next time.
const REMEMBERED: usize = 500;

/// A command of the shell.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, name = "", about = "Commands of a lab; quit ends the shell")]
struct Line {
    #[command(subcommand)]
    command: Typed,
}

#[derive(Debug, Subcommand)]
enum Typed {
    /// Bring the lab down and end the shell
    Down,
    #[command(flatten)]
    Act(Act),
}

pub(super) fn execute(name: &LabName) -> anyhow::Result<ExitCode> {
    let place = Place::open()?;
    let mut shell =
        Shell { name: name.clone(), connection: Connection::open(&place, name)?, failed: false };
    match std::io::stdin().is_terminal() {
        true => shell.talk(&place.history())?,
        false => {
            for line in std::io::stdin().lock().lines() {
                if !shell.obey(&line?) {
                    break;
                }
            }
        }
    }
    // People have seen what went wrong; programs want to know.
    let failed = shell.failed && !std::io::stdin().is_terminal();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

struct Shell {
    name: LabName,
    connection: Connection,
    failed: bool,
}

impl Shell {
    /// Does what a line says; whether to go on.
    fn obey(&mut self, line: &str) -> bool {
        let words = match split(line) {
            Ok(words) => words,
            Err(mistake) => {
                self.complain(&mistake);
                return true;
            }
        };
        match words.first().map(String::as_str) {
            None => return true,
            Some("quit" | "exit") => return false,
            Some(_) => {}
        }
        match Line::try_parse_from(words) {
            Ok(Line { command: Typed::Down }) => {
                let down = Place::open().and_then(|place| down::down(&self.name, &place));
                match down.and_then(|line| say(&[line])) {
                    Ok(()) => return false,
                    Err(error) => self.complain(&format!("{error:#}")),
                }
            }
            Ok(Line { command: Typed::Act(act) }) => {
                let done = act.request().map_err(Into::into).and_then(|(what, show)| {
                    perform(&mut self.connection, what, show, Leaving::Stay)
                });
                if let Err(error) = done {
                    self.complain(&format!("{error:#}"));
                }
            }
            Err(error) => {
                self.failed |= error.use_stderr();
                // Help, or what is wrong. Where it cannot be shown there is nobody.
                let _ = error.print();
            }
        }
        true
    }

    fn complain(&mut self, told: &str) {
        eprintln!("umlaut: {told}");
        self.failed = true;
    }

    /// Reads lines from a terminal, with history and completion.
    fn talk(&mut self, history: &Path) -> anyhow::Result<()> {
        let name = self.name.clone();
        let names = names(&self.connection.status()?);
        let mut editor: Editor<Helping, MemHistory> =
            Editor::with_history(Config::default(), MemHistory::new())?;
        editor.set_helper(Some(Helping { names, commands: Line::command() }));
        for line in fs::read_to_string(history).unwrap_or_default().lines() {
            editor.add_history_entry(line)?;
        }
        say(&[format!("lab {name}; help shows the commands, Tab completes, quit ends")])?;
        loop {
            match editor.readline(&format!("{name}> ")) {
                Ok(line) => {
                    editor.add_history_entry(&line)?;
                    if !self.obey(&line) {
                        break;
                    }
                }
                // Ctrl-C throws the line away, Ctrl-D ends.
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(error.into()),
            }
        }
        remember(editor.history(), history);
        Ok(())
    }
}

/// Writes the last lines for the next time. Where they cannot be written there are none.
fn remember(history: &MemHistory, path: &Path) {
    let first = history.len().saturating_sub(REMEMBERED);
    let mut text = String::new();
    for index in first..history.len() {
        if let Ok(Some(line)) = history.get(index, SearchDirection::Forward) {
            text.push_str(&line.entry);
            text.push('\n');
        }
    }
    let _ = fs::write(path, text);
}

/// What can be typed behind a command: hosts, switches, ports that have a cable, links.
fn names(status: &Status) -> Vec<String> {
    let switches = status.switches.iter().map(|row| row.name.clone());
    let hosts = status.hosts.iter().flat_map(|row| [Some(row.name.clone()), row.at.clone()]);
    let links = status.links.iter().map(|row| row.name.clone());
    switches.chain(hosts.flatten()).chain(links).collect()
}

/// What completes words.
struct Helping {
    names: Vec<String>,
    commands: clap::Command,
}

impl Completer for Helping {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let (start, mut found) = complete(&line[..at], &self.commands, &self.names);
        // The only one is the whole word: the next can follow.
        if let [word] = &mut found[..] {
            word.push(' ');
        }
        Ok((start, found))
    }
}

impl Hinter for Helping {
    type Hint = String;
}

impl Highlighter for Helping {}
impl Validator for Helping {}
impl Helper for Helping {}

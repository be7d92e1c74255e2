//! Asking a running controller: `umlaut switches`, `ports`, `topology`, `hosts`, `slices`, `flows`,
//! `stats`, `events`, `log`. Each prints a table for people, or JSON for programs.

mod connection;
mod events;
mod flows;
mod graph;
mod lists;
mod stats;
pub(in crate::commands) mod table;
mod topology;
mod units;

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::control::default_path;
use crate::control::events::KINDS;
use crate::control::protocol::{Question, VERSION};

pub(super) use connection::{Connection, typed};
#[cfg(feature = "lab")]
pub(super) use table::Table;

/// How to ask.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Asking {
    /// The controller's socket [default: umlaut/umlaut.sock in $XDG_RUNTIME_DIR, else
    /// /run/umlaut.sock]
    #[arg(long, env = "UMLAUT_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
    /// For programs
    #[arg(long)]
    json: bool,
}

impl Asking {
    /// Connects to the controller.
    ///
    /// # Errors
    /// Nobody answers there.
    pub(super) fn connect(&self) -> anyhow::Result<Connection> {
        Connection::open(&self.socket.clone().unwrap_or_else(default_path))
    }

    /// Whether the answer is for programs.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Asks for a list and prints it, as `{"umlaut":1,NAME:[…]}` for programs.
    fn list<R: DeserializeOwned>(
        &self,
        name: &str,
        question: Question,
        show: impl FnOnce(&[R], &Value) -> String,
    ) -> anyhow::Result<()> {
        let (rows, end) = self.connect()?.all(question)?;
        print(&match self.json {
            true => document(name, rows, end)?,
            false => show(&connection::typed(rows)?, &end),
        })
    }
}

/// One JSON document of an answer.
fn document(name: &str, rows: Vec<Value>, end: Value) -> anyhow::Result<String> {
    let mut document = json!({"umlaut": VERSION, name: rows});
    if let (Value::Object(document), Value::Object(end)) = (&mut document, end) {
        document.extend(end);
    }
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// Prints and flushes.
///
/// # Errors
/// Standard output cannot be written.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// The commands that ask.
#[derive(Debug, Subcommand)]
pub(super) enum Ask {
    /// The switches: how each is connected
    Switches {
        #[command(flatten)]
        asking: Asking,
    },
    /// The ports: what is behind each
    Ports {
        #[command(flatten)]
        asking: Asking,
        /// Only those of this switch
        switch: Option<String>,
    },
    /// The links
    Topology {
        #[command(flatten)]
        asking: Asking,
        /// For people, for Graphviz, for Mermaid, for spreadsheets
        #[arg(long, value_enum, default_value = "text", conflicts_with = "json")]
        format: topology::Format,
    },
    /// The hosts: where each is
    Hosts {
        #[command(flatten)]
        asking: Asking,
        /// Only those behind this switch
        #[arg(long, value_name = "SWITCH")]
        switch: Option<String>,
        /// Only those of this slice
        #[arg(long, value_name = "SLICE")]
        slice: Option<String>,
    },
    /// The slices: who belongs to each
    Slices {
        #[command(flatten)]
        asking: Asking,
    },
    /// The flow entries: why each is there, and whether the switches have it
    Flows {
        #[command(flatten)]
        asking: Asking,
        /// Only those with an entry on this switch
        #[arg(long, value_name = "SWITCH")]
        switch: Option<String>,
        /// Only those of this slice
        #[arg(long, value_name = "SLICE")]
        slice: Option<String>,
        /// Only those from or to this host
        #[arg(long, value_name = "HOST|MAC")]
        host: Option<String>,
    },
    /// What is counted, and how full the queues are
    Stats {
        #[command(flatten)]
        asking: Asking,
        /// Over how many seconds rates are measured; 0 for none
        #[arg(long, value_name = "SECONDS", default_value = "1")]
        interval: u32,
    },
    /// What happened of late
    Events {
        #[command(flatten)]
        asking: Asking,
        /// Go on with what happens
        #[arg(long, short)]
        follow: bool,
        /// Only this kind (link-up, host-moved); may be given several times
        #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(KINDS), hide_possible_values = true)]
        kind: Vec<String>,
    },
    /// Change what the controller logs
    Log {
        #[command(flatten)]
        asking: Asking,
        /// A level, or levels per module
        filter: String,
    },
}

impl Ask {
    /// Asks and prints the answer.
    ///
    /// # Errors
    /// Nobody answers, or the question has no answer.
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        match self.answer() {
            // `umlaut flows | head` has seen enough.
            Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
            done => done.map(|()| ExitCode::SUCCESS),
        }
    }

    fn answer(self) -> anyhow::Result<()> {
        match self {
            Ask::Switches { asking } => {
                asking.list("switches", Question::Switches, |rows, _| lists::switches(rows))
            }
            Ask::Ports { asking, switch } => {
                asking.list("ports", Question::Ports { switch }, |rows, _| lists::ports(rows))
            }
            Ask::Hosts { asking, switch, slice } => {
                let question = Question::Hosts { switch, slice };
                asking.list("hosts", question, |rows, _| lists::hosts(rows))
            }
            Ask::Slices { asking } => {
                asking.list("slices", Question::Slices, |rows, _| lists::slices(rows))
            }
            Ask::Flows { asking, switch, slice, host } => {
                let question = Question::Flows { switch, slice, host };
                asking.list("flows", question, flows::show)
            }
            Ask::Topology { asking, format } => topology::show(&asking, format),
            Ask::Stats { asking, interval } => stats::show(&asking, interval),
            Ask::Events { asking, follow, kind } => events::show(&asking, follow, &kind),
            Ask::Log { asking, filter } => {
                asking.connect()?.all(Question::Log { filter })?;
                Ok(())
            }
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

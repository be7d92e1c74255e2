//! A connection to a running lab. Runtime.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use umlaut_testbed::lab::{LabName, unknown};

use super::place::{Place, Taken};
use super::protocol::{Answer, Request, Status, VERSION, What};

/// How long a lab may take for anything but sending.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a process may take to begin or to end, when it holds the name of a lab and does not listen.
const TRANSITION: Duration = Duration::from_secs(20);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Who has the name of a lab.
#[derive(Debug)]
pub(super) enum Holder {
    /// This process, from now on.
    Us(Taken),
    /// A lab that runs.
    Lab(Connection),
}

/// Takes the name of a lab, or connects to the one that has it. Waits for one that is just coming up
/// or going down.
///
/// # Errors
/// A process has it and never listens.
pub(super) fn holder(place: &Place, lab: &LabName) -> anyhow::Result<Holder> {
    let until = Instant::now() + TRANSITION;
    loop {
        if let Some(taken) = place.take(lab)? {
            return Ok(Holder::Us(taken));
        }
        if let Ok(connection) = Connection::open(place, lab) {
            return Ok(Holder::Lab(connection));
        }
        if Instant::now() >= until {
            let socket = place.socket(lab).display().to_string();
            bail!("a process has the name of lab {lab} and does not listen at {socket}: end it");
        }
        std::thread::sleep(LOOK);
    }
}

/// A lab ended before it answered.
#[derive(Debug, thiserror::Error)]
#[error("the lab has ended")]
pub(super) struct Ended;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection(BufReader<UnixStream>);

impl Connection {
    /// Connects to a lab that runs.
    ///
    /// # Errors
    /// It does not; the text names those that do.
    pub(super) fn open(place: &Place, lab: &LabName) -> anyhow::Result<Connection> {
        match UnixStream::connect(place.socket(lab)) {
            Ok(stream) => Ok(Connection(BufReader::new(stream))),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
            {
                let mut running = Vec::new();
                for other in place.labs()? {
                    if other != *lab && place.runs(&other)? {
                        running.push(other.to_string());
                    }
                }
                if running.is_empty() {
                    bail!("no lab runs: umlaut lab up FILE brings up the network of a policy file");
                }
                Err(unknown("running lab", &lab.to_string(), running).into())
            }
            Err(error) => Err(error).with_context(|| format!("lab {lab} cannot be asked")),
        }
    }

    /// Asks.
    ///
    /// # Errors
    /// What the lab says, or [`Ended`].
    pub(super) fn ask(&mut self, what: What) -> anyhow::Result<Answer> {
        let endless = matches!(what, What::Send(_));
        self.0.get_ref().set_read_timeout((!endless).then_some(PATIENCE))?;
        let mut line = serde_json::to_vec(&Request { umlaut_lab: VERSION, what })?;
        line.push(b'\n');
        self.0.get_ref().write_all(&line).map_err(|_| Ended)?;
        let mut line = Vec::new();
        match self.0.read_until(b'\n', &mut line) {
            Ok(0) => return Err(Ended.into()),
            // What a process that is killed leaves unread resets its connections.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Err(Ended.into()),
            read => read.context("the lab does not answer")?,
        };
        match serde_json::from_slice(&line).context("not a lab's answer")? {
            Answer::Problem(problem) => bail!(problem),
            answer => Ok(answer),
        }
    }

    /// How the lab stands.
    ///
    /// # Errors
    /// As [`Connection::ask`].
    pub(super) fn status(&mut self) -> anyhow::Result<Status> {
        match self.ask(What::Status)? {
            Answer::Status(status) => Ok(*status),
            other => bail!("not a status: {other:?}"),
        }
    }
}

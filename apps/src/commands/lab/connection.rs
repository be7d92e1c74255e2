//! A connection to a running lab. Runtime.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use umlaut_testbed::lab::{LabName, unknown};

use crate::control::connect;

use super::place::{Place, Taken};
use super::protocol::{Answer, Request, Status, VERSION, What};

/// How long a lab may take for anything but sending.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a lab may take to say that it is there.
pub(super) const GREETING: Duration = Duration::from_secs(5);
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
/// A process has it and never listens, or does not answer: [`Silent`]; or [`Told`].
pub(super) fn holder(place: &Place, lab: &LabName) -> anyhow::Result<Holder> {
    let until = Instant::now() + TRANSITION;
    loop {
        if let Some(taken) = place.take(lab)? {
            return Ok(Holder::Us(taken));
        }
        match Connection::open(place, lab) {
            Ok(connection) => return Ok(Holder::Lab(connection)),
            Err(error) if error.is::<Silent>() || error.is::<Told>() => return Err(error),
            Err(_) if Instant::now() >= until => return Err(Silent::new(lab, TRANSITION).into()),
            Err(_) => {}
        }
        std::thread::sleep(LOOK);
    }
}

/// Waits until a lab that has ended has given its name back, so that whoever asks next finds it gone.
pub(super) fn wait_gone(place: &Place, lab: &LabName) {
    let until = Instant::now() + TRANSITION;
    // Later than that it is told as going down, which is true; where nobody can say, it has said that it
    // is down.
    while place.runs(lab).unwrap_or(false) && Instant::now() < until {
        std::thread::sleep(LOOK);
    }
}

/// A lab ended before it answered.
#[derive(Debug, thiserror::Error)]
#[error("the lab has ended")]
pub(super) struct Ended;

/// What a lab that runs says instead of doing as asked: it is busy, say.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Told(String);

/// A lab does not answer.
#[derive(Debug, thiserror::Error)]
#[error("lab {lab} does not answer within {seconds} s: umlaut lab down --name {lab} ends it")]
pub(super) struct Silent {
    lab: LabName,
    seconds: u64,
}

impl Silent {
    fn new(lab: &LabName, patience: Duration) -> Silent {
        Silent { lab: lab.clone(), seconds: patience.as_secs() }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    lab: LabName,
    stream: BufReader<UnixStream>,
}

impl Connection {
    /// Connects to a lab that runs.
    ///
    /// # Errors
    /// It does not; the text names those that do. It does not answer: [`Silent`].
    pub(super) fn open(place: &Place, lab: &LabName) -> anyhow::Result<Connection> {
        match connect(&place.socket(lab), GREETING) {
            Ok(stream) => {
                let lab = lab.clone();
                let mut connection = Connection { lab, stream: BufReader::new(stream) };
                // Answered at once, unlike what acts on the network.
                connection.ask_within(What::Hello, GREETING)?;
                Ok(connection)
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                Err(Silent::new(lab, GREETING).into())
            }
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
    /// What the lab says, [`Ended`], or [`Silent`].
    pub(super) fn ask(&mut self, what: What) -> anyhow::Result<Answer> {
        let sending = match &what {
            What::Send(sending) => sending.count / u64::from(sending.pace.max(1)),
            _ => 0,
        };
        self.ask_within(what, PATIENCE.saturating_add(Duration::from_secs(sending)))
    }

    fn ask_within(&mut self, what: What, patience: Duration) -> anyhow::Result<Answer> {
        self.stream.get_ref().set_read_timeout(Some(patience))?;
        self.stream.get_ref().set_write_timeout(Some(patience))?;
        let mut line = serde_json::to_vec(&Request { umlaut_lab: VERSION, what })?;
        line.push(b'\n');
        self.stream.get_ref().write_all(&line).map_err(|_| Ended)?;
        let mut line = Vec::new();
        match self.stream.read_until(b'\n', &mut line) {
            Ok(0) => return Err(Ended.into()),
            // What a process that is killed leaves unread resets its connections.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Err(Ended.into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(Silent::new(&self.lab, patience).into());
            }
            read => read.with_context(|| format!("lab {}", self.lab))?,
        };
        match serde_json::from_slice(&line).context("not a lab's answer")? {
            Answer::Problem(problem) => Err(Told(problem).into()),
            answer => Ok(answer),
        }
    }

    /// How the lab stands.
    ///
    /// # Errors
    /// As [`Connection::ask`].
    pub(super) fn status(&mut self) -> anyhow::Result<Status> {
        self.status_within(PATIENCE)
    }

    /// As [`Connection::status`], in a shorter time.
    ///
    /// # Errors
    /// As [`Connection::ask`].
    pub(super) fn status_within(&mut self, patience: Duration) -> anyhow::Result<Status> {
        match self.ask_within(What::Status, patience)? {
            Answer::Status(status) => Ok(*status),
            other => bail!("not a status: {other:?}"),
        }
    }
}

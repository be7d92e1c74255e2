//! A connection to a running controller. Runtime.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::control::connect;
use crate::control::protocol::{Body, Question, Reply, Request, VERSION};

/// How long a controller may take for one line of an answer; switches that do not answer take most
/// of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a controller may take to say that it is there.
const GREETING: Duration = Duration::from_secs(5);

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

/// A piece of an answer.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Piece {
    /// Rows.
    Rows(Vec<Value>),
    /// So many events were lost.
    Lost(u64),
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Nobody answers there, or not within five seconds; the text says what to do.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Connection> {
        let stream = match connect(path, GREETING) {
            Ok(stream) => stream,
            Err(error) => {
                let hint = match error.kind() {
                    ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                        "no controller runs there: start `umlaut run`, or say where with --socket"
                    }
                    ErrorKind::PermissionDenied => "the controller belongs to another user",
                    ErrorKind::TimedOut => return Err(silent(path, GREETING)),
                    _ => "the controller cannot be asked",
                };
                return Err(error).with_context(|| format!("{}: {hint}", path.display()));
            }
        };
        let mut connection = Connection { stream: BufReader::new(stream), path: path.to_owned() };
        // Answered at once, unlike some questions.
        connection.ask_within(Question::Controller, Some(GREETING), |_| Ok(()))?;
        Ok(connection)
    }

    /// Asks, hands over the pieces of the answer as they come, and returns what is said at its end.
    ///
    /// # Errors
    /// The controller's problem with the question, or the connection's end.
    pub(crate) fn ask(
        &mut self,
        question: Question,
        take: impl FnMut(Piece) -> anyhow::Result<()>,
    ) -> anyhow::Result<Value> {
        let endless = matches!(question, Question::Events { follow: true });
        self.ask_within(question, (!endless).then_some(PATIENCE), take)
    }

    fn ask_within(
        &mut self,
        question: Question,
        patience: Option<Duration>,
        mut take: impl FnMut(Piece) -> anyhow::Result<()>,
    ) -> anyhow::Result<Value> {
        self.stream.get_ref().set_read_timeout(patience)?;
        self.stream.get_ref().set_write_timeout(patience)?;
        let mut line = serde_json::to_vec(&Request { umlaut: VERSION, question })?;
        line.push(b'\n');
        self.stream.get_ref().write_all(&line).with_context(|| self.place())?;
        loop {
            match self.reply(patience)?.body {
                Body::Rows(rows) => take(Piece::Rows(rows))?,
                Body::Lost(lost) => take(Piece::Lost(lost))?,
                Body::End(end) => return Ok(end),
                Body::Error(problem) => return Err(problem.into()),
            }
        }
    }

    /// Asks and collects the whole answer.
    ///
    /// # Errors
    /// As [`Connection::ask`].
    pub(crate) fn all(&mut self, question: Question) -> anyhow::Result<(Vec<Value>, Value)> {
        let mut all = Vec::new();
        let end = self.ask(question, |piece| {
            if let Piece::Rows(rows) = piece {
                all.extend(rows);
            }
            Ok(())
        })?;
        Ok((all, end))
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn reply(&mut self, patience: Option<Duration>) -> anyhow::Result<Reply> {
        let mut line = Vec::new();
        let read = match (self.stream.read_until(b'\n', &mut line), patience) {
            (Err(error), Some(patience)) if error.kind() == ErrorKind::WouldBlock => {
                return Err(silent(&self.path, patience));
            }
            (read, _) => read.with_context(|| self.place())?,
        };
        if read == 0 {
            bail!("{}: the controller ended", self.place());
        }
        let reply: Reply = serde_json::from_slice(&line)
            .with_context(|| format!("{}: not a controller's answer", self.place()))?;
        if reply.umlaut != VERSION {
            let (theirs, place) = (reply.umlaut, self.place());
            bail!("{place}: the controller speaks version {theirs}, this command {VERSION}");
        }
        Ok(reply)
    }
}

fn silent(path: &Path, patience: Duration) -> anyhow::Error {
    anyhow!(
        "{}: whoever listens there does not answer within {} s",
        path.display(),
        patience.as_secs()
    )
}

/// Rows as what they are.
///
/// # Errors
/// They are something else.
pub(crate) fn typed<R: DeserializeOwned>(rows: Vec<Value>) -> anyhow::Result<Vec<R>> {
    let rows = rows.into_iter().map(serde_json::from_value);
    rows.collect::<Result<_, _>>().context("not a controller's answer")
}

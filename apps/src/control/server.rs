//! The server: one task per client, one question of it at a time. Runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::answer;
use super::protocol::{Body, Problem, QUESTION_BYTES, ROWS_PER_LINE, Reply, VERSION, parse};
use super::socket::ControlSocket;
use super::{Control, Vocabulary};

/// Clients served at once. One more is told so and its connection closed.
pub const CLIENTS: usize = 64;
/// How long a client may take to ask, or to ask again. Then its connection is closed.
const QUESTION_PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may take to read one line of an answer. Then it is cut off and counted.
const LINE_PATIENCE: Duration = Duration::from_secs(10);

/// Clients that did not read and were cut off, and events that slow followers lost.
#[derive(Debug, Default)]
pub(super) struct Losses {
    pub(super) clients: AtomicU64,
    pub(super) events: AtomicU64,
}

/// Answers questions until `stop` becomes true; then the socket is removed.
pub async fn serve<P: Vocabulary>(
    control: Arc<Control<P>>,
    socket: ControlSocket,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CLIENTS));
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            Some(ended) = clients.join_next(), if !clients.is_empty() => {
                if let Err(error) = ended {
                    warn!(%error, "answering a client failed");
                }
            }
            client = socket.listener().accept() => match client {
                Ok((stream, _)) => match places.clone().try_acquire_owned() {
                    Ok(place) => {
                        let control = control.clone();
                        clients.spawn(async move {
                            attend(&control, stream).await;
                            drop(place);
                        });
                    }
                    Err(_) => turn_away(&stream),
                },
                Err(error) => {
                    // Out of file descriptors: clients that are served go on.
                    warn!(%error, "accepting a client failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
    // What is left of answers is of no use to anybody; the controller ends.
    clients.shutdown().await;
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone, which stops as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn line(body: Body) -> Vec<u8> {
    // These types always serialize.
    let mut line = serde_json::to_vec(&Reply { umlaut: VERSION, body }).unwrap_or_default();
    line.push(b'\n');
    line
}

fn turn_away(stream: &UnixStream) {
    let text = format!("{CLIENTS} clients are being served");
    // The line fits the socket's buffer, or the client has gone.
    let _ = stream.try_write(&line(Body::Error(Problem::new("busy", text))));
}

async fn attend<P: Vocabulary>(control: &Control<P>, stream: UnixStream) {
    let (read, write) = stream.into_split();
    let mut client = Client { reader: BufReader::new(read), writer: Writer::new(write) };
    while let Some(question) = client.question().await {
        let question = match question.and_then(|line| parse(&line)) {
            Ok(question) => question,
            Err(problem) => {
                let end = problem.code == "too-long";
                if client.writer.line(Body::Error(problem)).await.is_err() || end {
                    return;
                }
                continue;
            }
        };
        let answered = answer::answer(control, question, &mut client).await;
        let last = match answered {
            Ok(end) => client.writer.end(end).await,
            Err(Ended::Problem(problem)) => {
                client.writer.rows.clear();
                client.writer.line(Body::Error(problem)).await
            }
            Err(Ended::Gone) => return,
            Err(Ended::Slow) => {
                control.losses.clients.fetch_add(1, Ordering::Relaxed);
                return debug!("a client that does not read was cut off");
            }
        };
        if last.is_err() {
            return;
        }
    }
}

/// Why an answer ends before its end.
#[derive(Debug)]
pub(super) enum Ended {
    /// The client is to be told.
    Problem(Problem),
    /// The client has gone.
    Gone,
    /// The client does not read.
    Slow,
}

impl From<serde_json::Error> for Ended {
    fn from(error: serde_json::Error) -> Ended {
        Ended::Problem(Problem::new("internal", error.to_string()))
    }
}

impl From<Problem> for Ended {
    fn from(problem: Problem) -> Ended {
        Ended::Problem(problem)
    }
}

/// A client: where its questions come from and its answers go.
pub(super) struct Client {
    reader: BufReader<OwnedReadHalf>,
    pub(super) writer: Writer,
}

impl Client {
    /// The next line from it; `None` at its end or when it takes too long.
    async fn question(&mut self) -> Option<Result<Vec<u8>, Problem>> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.reader).take(QUESTION_BYTES as u64 + 1);
        let read = bounded.read_until(b'\n', &mut line);
        match tokio::time::timeout(QUESTION_PATIENCE, read).await {
            Ok(Ok(0)) | Ok(Err(_)) | Err(_) => None,
            Ok(Ok(_)) if line.len() > QUESTION_BYTES => {
                let text = format!("a question has at most {QUESTION_BYTES} bytes");
                Some(Err(Problem::new("too-long", text)))
            }
            Ok(Ok(_)) => Some(Ok(line)),
        }
    }

    /// Waits until the client sends something or goes.
    pub(super) async fn stirs(&mut self) -> Result<(), Ended> {
        match self.reader.fill_buf().await {
            Ok([]) | Err(_) => Err(Ended::Gone),
            Ok(_) => Ok(()),
        }
    }
}

/// A row, on its way to JSON.
type Row = serde_json::Result<Value>;

/// Takes the rows of an answer and sends them in lines.
pub(super) struct Writer {
    stream: OwnedWriteHalf,
    rows: Vec<Value>,
}

impl Writer {
    fn new(stream: OwnedWriteHalf) -> Writer {
        Writer { stream, rows: Vec::new() }
    }

    /// Adds a row to the answer.
    pub(super) async fn row(&mut self, row: Row) -> Result<(), Ended> {
        self.rows.push(row?);
        match self.rows.len() {
            ROWS_PER_LINE.. => self.flush().await,
            _ => Ok(()),
        }
    }

    /// Sends the rows that wait.
    pub(super) async fn flush(&mut self) -> Result<(), Ended> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        self.line(Body::Rows(rows)).await
    }

    async fn end(&mut self, end: Value) -> Result<(), Ended> {
        self.flush().await?;
        self.line(Body::End(end)).await
    }

    /// Sends a line.
    pub(super) async fn line(&mut self, body: Body) -> Result<(), Ended> {
        let line = line(body);
        match tokio::time::timeout(LINE_PATIENCE, self.stream.write_all(&line)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Gone),
            Err(_) => Err(Ended::Slow),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use umlaut_controller::view::Unobserved;
    use umlaut_controller::{Apps, Event, Observer, Seed, Shared};

    use super::*;
    use crate::control::events::{EVENTS, EventLog};

    /// The numbers of a line's events, and how many it says are lost.
    fn told(line: &str) -> (Vec<u64>, u64) {
        let line: Value = serde_json::from_str(line).unwrap();
        let rows = line["rows"].as_array().into_iter().flatten();
        let numbers = rows.map(|row| row["number"].as_u64().unwrap());
        (numbers.collect(), line["lost"].as_u64().unwrap_or(0))
    }

    #[tokio::test]
    async fn a_follower_that_reads_slowly_is_told_how_many_events_it_lost() {
        let seed = Seed { lldp_key: [0; 16], epoch: 0 };
        let shared = Shared::new(Apps::<()>::new(), (), seed, Box::new(Unobserved), Instant::now());
        let events = Arc::new(EventLog::default());
        let control = Arc::new(Control::new(Arc::new(shared), events.clone(), None));
        let (ours, theirs) = UnixStream::pair().unwrap();
        let serving = control.clone();
        let server = tokio::spawn(async move { attend(&serving, theirs).await });
        let (read, mut write) = ours.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"{\"umlaut\":1,\"ask\":\"events\",\"follow\":true}\n").await.unwrap();

        // Far more than sockets and ring hold together, while nobody reads.
        let all = 4 * EVENTS as u64;
        for number in 0..all {
            events.event(&Event::Alarm(format!("{number} {}", "x".repeat(1000))));
            if number % 64 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let (mut next, mut lost) = (0, 0);
        while next < all {
            let (numbers, missed) = told(&lines.next_line().await.unwrap().unwrap());
            next += missed;
            lost += missed;
            for number in numbers {
                assert_eq!(number, next, "every event is told or counted as lost");
                next += 1;
            }
        }
        assert!(lost > 0 && lost < all, "{lost}");
        assert_eq!(control.losses.events.load(Ordering::Relaxed), lost);
        drop((lines, write));
        server.await.unwrap();
    }
}

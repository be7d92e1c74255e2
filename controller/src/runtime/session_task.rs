//! The socket of one session: bytes in, turns, one write per turn. Runtime.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Buf;
use tokio::sync::watch;
use tokio::time::Sleep;

use super::bell::{self, Bell};
use super::stopped;
use super::stream::{READ_BYTES, Stream};
use crate::app::Policy;
use crate::mailbox::Mailbox;
use crate::origin::Origin;
use crate::session::Session;
use crate::shared::Shared;

/// How long the last bytes of a connection to be closed may take.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Turns run before other tasks get their chance.
const TURNS: usize = 4;

/// Serves one connection to its end.
pub(super) async fn run<P: Policy>(
    shared: Arc<Shared<P>>,
    mut stream: Stream,
    origin: Origin,
    mut stop: watch::Receiver<bool>,
) {
    let bell = Arc::<Bell>::default();
    let mailbox = Arc::new(Mailbox::new(Box::new(bell.clone())));
    let now = Instant::now();
    let no = shared.next_session();
    let mut session = Session::new(no, mailbox, origin, &shared, now);
    let stopping = stop.clone();
    let due = pin!(tokio::time::sleep_until(now.into()));
    let stopped = pin!(stopped(&mut stop));
    let mut beside =
        Beside { bell: bell::Listener::new(bell), stopping: &stopping, stopped, due, waits: false };
    // What a switch that storms sends is always there to be read: nothing else would end its turn.
    let mut read = 0;
    let reason = loop {
        let mut more = true;
        for _ in 0..TURNS {
            more = session.turn(Instant::now(), &shared);
            if !more {
                break;
            }
        }
        if let Err(error) = write(&mut stream, &mut session) {
            break error.to_string();
        }
        if let Some(reason) = session.closed() {
            let reason = reason.to_owned();
            let last_words = async {
                flush(&mut stream, &mut session).await?;
                stream.finish();
                flush(&mut stream, &mut session).await
            };
            // Whether they arrive or not, the connection ends.
            let _ = tokio::time::timeout(LAST_WORDS, last_words).await;
            break reason;
        }
        if more || read >= READ_BYTES {
            read = 0;
            tokio::task::yield_now().await;
        }
        if more {
            continue;
        }
        let output = !session.output().is_empty();
        let deadline = session.deadline().unwrap_or_else(|| Instant::now() + LAST_WORDS).into();
        beside.ring_at(deadline);
        let came = {
            // What is beside the socket is looked at only if that has nothing: commands and deadlines
            // are looked for in every turn anyway.
            let mut input = pin!(stream.read(output, |bytes| session.receive(bytes)));
            poll_fn(|cx| match input.as_mut().poll(cx) {
                Poll::Ready(read) => Poll::Ready(Came::Read(read)),
                Poll::Pending => beside.poll(cx),
            })
            .await
        };
        let ends = match came {
            Came::Read(Ok(Some(0))) => break "closed by the switch".to_owned(),
            Came::Read(Ok(Some(bytes))) => {
                read += bytes;
                beside.ends()
            }
            Came::Read(Ok(None)) | Came::Turn => false,
            Came::Read(Err(error)) => break error.to_string(),
            Came::Stop => true,
        };
        if ends {
            // What applications sent last is in the mailbox, which is bounded.
            while session.turn(Instant::now(), &shared) {}
            session.close("the controller ends");
        }
    };
    session.end(&reason, Instant::now(), &shared);
}

/// What ended a wait.
enum Came {
    Read(io::Result<Option<usize>>),
    /// A command, or a deadline.
    Turn,
    Stop,
}

/// What a session waits for beside its socket. It is seldom there, so a look costs a few reads: what
/// wakes the task is told to it once, and not at each look.
struct Beside<'a, S> {
    bell: bell::Listener,
    stopping: &'a watch::Receiver<bool>,
    stopped: Pin<&'a mut S>,
    due: Pin<&'a mut Sleep>,
    /// Whether `stopped` and `due` know whom they wake.
    waits: bool,
}

impl<S: Future<Output = ()>> Beside<'_, S> {
    /// Sets the timer. One that rings too early costs less than one that is set anew for every message.
    fn ring_at(&mut self, deadline: tokio::time::Instant) {
        if deadline < self.due.deadline() || self.due.is_elapsed() {
            self.due.as_mut().reset(deadline);
            self.waits = false;
        }
    }

    /// Whether the controller ends.
    fn ends(&self) -> bool {
        // An error says that the sender is gone, which ends it as well.
        self.stopping.has_changed().unwrap_or(true)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Came> {
        if !self.waits {
            // What they answer is looked at below. Without budget they do not note whom they wake.
            let _ = (self.stopped.as_mut().poll(cx), self.due.as_mut().poll(cx));
            self.waits = tokio::task::coop::has_budget_remaining();
        }
        match () {
            () if self.ends() => Poll::Ready(Came::Stop),
            () if self.bell.poll(cx).is_ready() || self.due.is_elapsed() => Poll::Ready(Came::Turn),
            () => Poll::Pending,
        }
    }
}

/// Writes as much as the socket takes now.
fn write<P: Policy>(stream: &mut Stream, session: &mut Session<P>) -> io::Result<()> {
    // Early output is followed by the switch's own: the loop comes to both.
    while !session.output().is_empty() {
        match stream.try_write(session.output()) {
            Ok(n) => session.output().advance(n),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    stream.try_flush()
}

async fn flush<P: Policy>(stream: &mut Stream, session: &mut Session<P>) -> io::Result<()> {
    while !session.output().is_empty() || !stream.is_flushed() {
        stream.writable().await?;
        write(stream, session)?;
    }
    Ok(())
}

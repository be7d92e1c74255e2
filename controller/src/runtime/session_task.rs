//! The socket of one session: bytes in, turns, one write per turn. Runtime.

use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Buf;
use tokio::sync::{Notify, watch};

use super::stream::{READ_BYTES, Stream};
use super::{NotifyWaker, stopped};
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
    let woken = Arc::new(Notify::new());
    let mailbox = Arc::new(Mailbox::new(Box::new(NotifyWaker(woken.clone()))));
    let now = Instant::now();
    let no = shared.next_session();
    let mut session = Session::new(no, mailbox, origin, &shared, now);
    let stopping = stop.clone();
    let mut stopped = pin!(stopped(&mut stop));
    let mut due = pin!(tokio::time::sleep_until(now.into()));
    let mut notified = pin!(woken.notified());
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
        // A timer that rings too early costs less than one that is set anew for every message.
        if deadline < due.deadline() || due.is_elapsed() {
            due.as_mut().reset(deadline);
        }
        // What waits beside the socket is polled only if that has nothing: commands and deadlines
        // are looked for in every turn anyway.
        let ends = tokio::select! {
            biased;
            input = stream.read(output, |bytes| session.receive(bytes)) => match input {
                Ok(Some(0)) => break "closed by the switch".to_owned(),
                Ok(Some(bytes)) => {
                    read += bytes;
                    stopping.has_changed().unwrap_or(true)
                }
                Ok(None) => false,
                Err(error) => break error.to_string(),
            },
            () = &mut notified => {
                notified.set(woken.notified());
                false
            }
            () = &mut due => false,
            () = &mut stopped => true,
        };
        if ends {
            // What applications sent last is in the mailbox, which is bounded.
            while session.turn(Instant::now(), &shared) {}
            session.close("the controller ends");
        }
    };
    session.end(&reason, Instant::now(), &shared);
}

/// Writes as much as the socket takes now.
fn write<P: Policy>(stream: &mut Stream, session: &mut Session<P>) -> std::io::Result<()> {
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

async fn flush<P: Policy>(stream: &mut Stream, session: &mut Session<P>) -> std::io::Result<()> {
    while !session.output().is_empty() || !stream.is_flushed() {
        stream.writable().await?;
        write(stream, session)?;
    }
    Ok(())
}

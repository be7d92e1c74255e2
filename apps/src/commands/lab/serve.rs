//! A running lab that answers at a Unix socket, a thread for each client. Runtime.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use umlaut_testbed::lab::{Lab, LabProblem};

use super::answer::{About, answer, burst};
use super::protocol::{Answer, Request, Sending, VERSION, What};

/// How many clients are served at once. Further ones are told so.
const CLIENTS: usize = 32;
/// The longest request.
const REQUEST_BYTES: u64 = 64 << 10;
/// How long an answer may wait for its client to read.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// A lab and who asks of it.
pub(super) struct Served {
    /// `None` when it has ended.
    lab: RwLock<Option<Lab>>,
    about: About,
    clients: AtomicUsize,
    /// Clients that asked for the end: they are told when it is done.
    waiting: Mutex<Vec<UnixStream>>,
    end: Notify,
    ending: AtomicBool,
}

impl Served {
    pub(super) fn new(lab: Lab, about: About) -> Arc<Served> {
        Arc::new(Served {
            lab: RwLock::new(Some(lab)),
            about,
            clients: AtomicUsize::new(0),
            waiting: Mutex::default(),
            end: Notify::new(),
            ending: AtomicBool::new(false),
        })
    }

    /// Does something with the lab; `None` when it has ended.
    pub(super) fn with_lab<R>(&self, call: impl FnOnce(&Lab) -> R) -> Option<R> {
        // Nothing is left half done behind a poisoned lock but what the lab itself knows of.
        self.lab.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(call)
    }

    /// Waits until a client asks for the end.
    pub(super) async fn end_is_asked(&self) {
        self.end.notified().await;
    }

    /// Whether it is to end, or has.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Ends the lab: what it made is removed. Then whoever asked for it is told.
    ///
    /// # Errors
    /// What cannot be removed, and why; the rest is.
    pub(super) fn end(&self) -> Result<(), LabProblem> {
        self.ending.store(true, Ordering::Release);
        let lab = self.lab.write().unwrap_or_else(PoisonError::into_inner).take();
        let ended = lab.map_or(Ok(()), Lab::end);
        let answer = match &ended {
            Ok(()) => Answer::Done,
            Err(problem) => Answer::Problem(problem.to_string()),
        };
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for client in waiting {
            // One that has gone needs no answer.
            let _ = tell(&client, &answer);
        }
        ended
    }

    /// Answers whoever connects, in threads; returns at once.
    ///
    /// # Errors
    /// No thread can be had.
    pub(super) fn listen(self: &Arc<Served>, listener: UnixListener) -> std::io::Result<()> {
        listener.set_nonblocking(false)?;
        let served = Arc::clone(self);
        std::thread::Builder::new().name("lab socket".to_owned()).spawn(move || {
            for client in listener.incoming() {
                match client {
                    Ok(client) => served.admit(client),
                    // Out of descriptors: those that are served may give some back.
                    Err(_) => std::thread::sleep(Duration::from_millis(50)),
                }
            }
        })?;
        Ok(())
    }

    fn admit(self: &Arc<Served>, client: UnixStream) {
        let _ = client.set_write_timeout(Some(WRITE_PATIENCE));
        if self.clients.fetch_add(1, Ordering::AcqRel) >= CLIENTS {
            self.clients.fetch_sub(1, Ordering::AcqRel);
            let told = format!("the lab serves {CLIENTS} commands at once, and no more");
            let _ = tell(&client, &Answer::Problem(told));
            return;
        }
        let served = Arc::clone(self);
        let started = std::thread::Builder::new().name("lab client".to_owned()).spawn(move || {
            // A client that ends is no error.
            let _ = served.serve(client);
            served.clients.fetch_sub(1, Ordering::AcqRel);
        });
        if started.is_err() {
            self.clients.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Answers a client until it goes.
    fn serve(&self, client: UnixStream) -> std::io::Result<()> {
        let mut from = BufReader::new(client.try_clone()?);
        loop {
            let mut line = Vec::new();
            client.set_read_timeout(None)?;
            (&mut from).take(REQUEST_BYTES).read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                return Ok(());
            }
            let answer = match understand(&line) {
                Ok(What::Down) => {
                    let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                    waiting.push(client);
                    self.ending.store(true, Ordering::Release);
                    self.end.notify_one();
                    return Ok(());
                }
                // Whoever changes the network, and for however long.
                Ok(What::Hello) => Ok(Answer::Done),
                Ok(What::Send(sending)) => self.send(&sending, &mut from),
                Ok(what) => {
                    self.with_lab(|lab| answer(lab, &self.about, &what)).unwrap_or_else(ended)
                }
                Err(problem) => Err(problem),
            };
            let answer = answer.unwrap_or_else(|problem| Answer::Problem(problem.to_string()));
            tell(&client, &answer)?;
        }
    }

    /// Sends what is asked for at its pace, until the client goes or the lab ends.
    fn send(
        &self,
        sending: &Sending,
        client: &mut BufReader<UnixStream>,
    ) -> Result<Answer, LabProblem> {
        let burst = burst(sending)?;
        let frames = |lab: &Lab| lab.frames(&sending.from, sending.to.as_deref(), &burst);
        let (host, frames) = self.with_lab(frames).unwrap_or_else(ended)?;
        let begun = Instant::now();
        for number in 0..sending.count {
            // Each by its place in the whole, so that one that was held up delays no other.
            let due = Duration::from_nanos(
                number.saturating_mul(1_000_000_000) / u64::from(sending.pace.max(1)),
            );
            if self.is_ending() || !is_there_until(client, begun + due) {
                return Ok(Answer::Sent(number));
            }
            let frame = frames.frame(number);
            self.with_lab(|lab| lab.transmit(host, &frame)).unwrap_or_else(ended)?;
        }
        Ok(Answer::Sent(sending.count))
    }
}

fn ended<T>() -> Result<T, LabProblem> {
    Err(LabProblem::Refused("the lab has ended".to_owned()))
}

fn understand(line: &[u8]) -> Result<What, LabProblem> {
    let refused = |told: String| Err(LabProblem::Refused(told));
    match serde_json::from_slice::<Request>(line) {
        Ok(request) if request.umlaut_lab == VERSION => Ok(request.what),
        Ok(request) => refused(format!(
            "the lab speaks version {VERSION}, this command {}",
            request.umlaut_lab
        )),
        Err(error) => refused(format!("not a request: {error}")),
    }
}

fn tell(mut client: &UnixStream, answer: &Answer) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    client.write_all(&line)
}

/// Waits until it is time; whether the client is still there. One that says something meanwhile is
/// there.
fn is_there_until(client: &mut BufReader<UnixStream>, due: Instant) -> bool {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        if !client.buffer().is_empty() {
            std::thread::sleep(left);
            return true;
        }
        if client.get_ref().set_read_timeout(Some(left)).is_err() {
            return false;
        }
        match client.fill_buf() {
            Ok([]) => return false,
            Ok(_) => {}
            Err(error) if is_patient(&error) => {}
            Err(_) => return false,
        }
    }
}

fn is_patient(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

//! The threads that serve switches. Each has its connections to the end: what one of them touches
//! stays near one processor, and a packet-in costs no more than a wait for sockets, a read, its turn
//! and a write. Runtime.
//!
//! ```text
//!   connections with little to do   read read read │ turns turns turns │ write write write
//!   one with much                                                                          read turns write
//! ```
//! The system's code and ours use the same near caches, and each pushes the other out. Done by turns,
//! for all connections that have something, each finds itself there but for the first of them.
//!
//! Who says little is not to wait for those who storm: it comes first in a round, a step that ends with more
//! to do is followed by those of all others that have something by then, and where somebody says little it
//! reads less. See [`Company`].

use std::any::Any;
use std::collections::{BTreeSet, VecDeque};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event as Came;
use mio::{Events, Interest, Poll, Token};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::warn;

use super::company::{Company, Voice};
use super::connection::{Connection, Next, Work};
use super::door::{Accepted, Door, Ring};
use crate::app::Policy;
use crate::apps::panic_message;
use crate::buffers::{Buffers, KEPT};
use crate::mailbox::Mailbox;
use crate::session::Session;
use crate::shared::Shared;

/// Events taken from the system at once.
const EVENTS: usize = 256;
/// What the door is called among events; connections have the numbers from 0.
const DOOR: Token = Token(usize::MAX);

/// All workers. Without it they stop.
pub(super) struct Workers {
    doors: Vec<Arc<Door>>,
}

/// Tells when they have ended.
pub(super) struct Ended(Vec<oneshot::Receiver<()>>);

impl Ended {
    /// Waits until all have.
    pub(super) async fn wait(self) {
        for ended in self.0 {
            // An error says that the thread is at its end.
            let _ = ended.await;
        }
    }
}

impl Workers {
    /// Starts as many threads as the runtime has. What handlers spawn runs there.
    ///
    /// # Errors
    /// The system has no thread, or no file descriptor.
    pub(super) fn start<P: Policy>(shared: &Arc<Shared<P>>) -> io::Result<(Workers, Ended)> {
        let runtime = Handle::current();
        // Those that have begun stop if a further one cannot.
        let (mut workers, mut all_ended) = (Workers { doors: Vec::new() }, Ended(Vec::new()));
        for number in 1..=runtime.metrics().num_workers() {
            let poll = Poll::new()?;
            let door = Arc::new(Door::new(mio::Waker::new(poll.registry(), DOOR)?));
            let worker = Worker {
                shared: shared.clone(),
                door: door.clone(),
                poll,
                connections: Vec::new(),
                free: Vec::new(),
                company: Company::default(),
                ready: Vec::new(),
                loud: Vec::new(),
                again: VecDeque::new(),
                round: Vec::new(),
                read: Vec::new(),
                due: BTreeSet::new(),
                buffers: Buffers::new(),
                stopping: false,
            };
            let (alive, ended) = oneshot::channel();
            let runtime = runtime.clone();
            std::thread::Builder::new().name(format!("switches {number}")).spawn(move || {
                let _entered = runtime.enter();
                worker.run();
                drop(alive);
            })?;
            shared.watch(door.clone());
            workers.doors.push(door);
            all_ended.0.push(ended);
        }
        Ok((workers, all_ended))
    }

    /// Has a connection served by the thread with the fewest.
    ///
    /// # Errors
    /// The system does not wake it, or none is there any more.
    pub(super) fn serve(&self, accepted: Accepted) -> io::Result<()> {
        let open = self.doors.iter().filter(|door| !door.is_closed());
        match open.min_by_key(|door| door.connections()) {
            Some(door) => door.serve(accepted),
            None => Err(io::Error::other("no thread serves switches any more")),
        }
    }

    /// Has all connections closed. Then the threads end.
    pub(super) fn stop(&self) {
        for door in &self.doors {
            if let Err(error) = door.stop() {
                warn!(%error, "a thread is not told to stop");
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A connection and what its worker keeps of it.
struct Line<P: Policy> {
    connection: Connection<P>,
    ring: Arc<Ring>,
    /// Whether a step is due.
    ready: bool,
    voice: Voice,
    /// When there is a step at the latest.
    due: Option<Instant>,
}

struct Worker<P: Policy> {
    shared: Arc<Shared<P>>,
    door: Arc<Door>,
    poll: Poll,
    /// By number.
    connections: Vec<Option<Box<Line<P>>>>,
    /// Numbers that are nobody's.
    free: Vec<usize>,
    company: Company,
    /// Whose step is due, each once; those of them who are loud; whose next one is, which has more to do
    /// than a step does; and whose is being done.
    ready: Vec<usize>,
    loud: Vec<usize>,
    again: VecDeque<usize>,
    round: Vec<usize>,
    /// Who has read, and goes on when the others of the round have.
    read: Vec<usize>,
    due: BTreeSet<(Instant, usize)>,
    buffers: Buffers,
    stopping: bool,
}

impl<P: Policy> Worker<P> {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while !self.stopping || self.free.len() < self.connections.len() {
            let wait = self.may_wait();
            match self.poll.poll(&mut events, wait) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return warn!(%error, "a thread that serves switches ends"),
            }
            self.door.awake();
            for event in events.iter().filter(|event| event.token() != DOOR) {
                self.came(event);
            }
            self.answer_door();
            self.note_time();
            self.step();
        }
    }

    /// How long it may sleep; none: until something comes.
    fn may_wait(&self) -> Option<Duration> {
        let idle = self.again.is_empty() && self.ready.is_empty() && self.loud.is_empty();
        if !idle || !self.door.falls_asleep() {
            return Some(Duration::ZERO);
        }
        self.due.first().map(|(at, _)| at.saturating_duration_since(Instant::now()))
    }

    fn line(&mut self, number: usize) -> Option<&mut Line<P>> {
        self.connections.get_mut(number)?.as_deref_mut()
    }

    fn make_ready(&mut self, number: usize) {
        if let Some(line) = self.connections.get_mut(number).and_then(Option::as_deref_mut)
            && !line.ready
        {
            line.ready = true;
            match self.company.is_loud(&line.voice) {
                true => self.loud.push(number),
                false => self.ready.push(number),
            }
        }
    }

    /// After all that has come by then: what a switch that storms sends is always there.
    fn step_again(&mut self, number: usize) {
        if let Some(line) = self.line(number)
            && !line.ready
        {
            line.ready = true;
            self.again.push_back(number);
        }
    }

    fn came(&mut self, event: &Came) {
        let Token(number) = event.token();
        if let Some(line) = self.line(number)
            && (event.is_readable() || event.is_read_closed() || event.is_error())
        {
            line.connection.may_read(event.is_read_closed() || event.is_error());
        }
        self.make_ready(number);
    }

    fn answer_door(&mut self) {
        let Some(waiting) = self.door.take() else { return };
        for accepted in waiting.accepted {
            self.begin(accepted);
        }
        for number in waiting.rung {
            // It may be another's number by now, which has a turn more than it needs then.
            if let Some(line) = self.line(number) {
                line.ring.heard();
                line.connection.ring();
            }
            self.make_ready(number);
        }
        if waiting.stop {
            self.stopping = true;
            for number in 0..self.connections.len() {
                if let Some(line) = self.line(number) {
                    line.connection.stop();
                }
                self.make_ready(number);
            }
        }
    }

    fn begin(&mut self, accepted: Accepted) {
        let Accepted { mut stream, origin, place } = accepted;
        let number = self.free.pop().unwrap_or(self.connections.len());
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = self.poll.registry().register(stream.socket(), Token(number), interest);
        let ring = Arc::new(Ring::new(self.door.clone(), number));
        let mailbox = Arc::new(Mailbox::new(Box::new(ring.clone())));
        let shared = &self.shared;
        let session = Session::new(shared.next_session(), mailbox, origin, shared, Instant::now());
        let mut connection = Connection::new(stream, session, place);
        if let Err(error) = registered {
            connection.fail(&error.to_string());
        }
        if self.stopping {
            connection.stop();
        }
        let voice = self.company.joins();
        let line = Box::new(Line { connection, ring, ready: false, voice, due: None });
        match self.connections.get_mut(number) {
            Some(free) => *free = Some(line),
            None => self.connections.push(Some(line)),
        }
        self.make_ready(number);
    }

    /// Whose time has come.
    fn note_time(&mut self) {
        if self.due.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(&(at, number)) = self.due.first()
            && at <= now
        {
            self.due.pop_first();
            if let Some(line) = self.line(number) {
                line.due = None;
            }
            self.make_ready(number);
        }
    }

    /// A step of all whose step is due.
    fn step(&mut self) {
        std::mem::swap(&mut self.ready, &mut self.round);
        self.round.append(&mut self.loud);
        let more = self.again.len().min(self.company.steps_again(self.round.len()));
        self.round.extend(self.again.drain(..more));
        for at in 0..self.round.len() {
            let number = self.round[at];
            let room = self.company.room();
            let work = self.part(number, |line, buffers, _| {
                line.ready = false;
                line.connection.read(room, buffers)
            });
            if let Some(line) = self.connections.get_mut(number).and_then(Option::as_deref_mut) {
                self.company.said(&mut line.voice, line.connection.said());
            }
            if work == Some(Work::Much) {
                // Whoever was read before it does not wait for it.
                self.answer();
            }
            self.read.push(number);
            // Each of them has a room.
            if work == Some(Work::Much) || self.read.len() == KEPT {
                self.answer();
            }
        }
        self.answer();
        self.round.clear();
        self.company.round_over();
    }

    /// Goes on with the steps of those that have read: turns of all, then what they write. Whoever has a newer
    /// World to note has its turns when the others before it have written.
    fn answer(&mut self) {
        let mut done = 0;
        for at in 0..self.read.len() {
            let apart = self.is_outdated(self.read[at]);
            if apart {
                self.write(done..at);
            }
            self.part(self.read[at], |line, _, shared| line.connection.turns(shared));
            if apart {
                self.write(at..at + 1);
                done = at + 1;
            }
        }
        self.write(done..self.read.len());
        self.read.clear();
    }

    fn is_outdated(&self, number: usize) -> bool {
        let line = self.connections.get(number).and_then(Option::as_deref);
        line.is_some_and(|line| line.connection.is_outdated(&self.shared))
    }

    /// Ends the steps of some of those that have read.
    fn write(&mut self, some: Range<usize>) {
        for at in some {
            let number = self.read[at];
            match self.part(number, |line, buffers, shared| line.connection.write(buffers, shared))
            {
                Some(Next::Step) => self.step_again(number),
                Some(Next::Wait(Some(at))) => self.ring_at(number, at),
                Some(Next::Wait(None)) | None => {}
                Some(Next::Ended) => self.end(number),
            }
        }
    }

    /// A part of the step of a connection. `None` if it has ended, or does by this.
    #[inline]
    fn part<R>(
        &mut self,
        number: usize,
        part: impl FnOnce(&mut Line<P>, &mut Buffers, &Shared<P>) -> R,
    ) -> Option<R> {
        let Worker { connections, buffers, shared, .. } = self;
        let line = connections.get_mut(number)?.as_deref_mut()?;
        match catch_unwind(AssertUnwindSafe(|| part(line, buffers, shared))) {
            Ok(done) => Some(done),
            Err(panic) => {
                self.failed(number, &*panic);
                None
            }
        }
    }

    /// What was under way is lost with it; others go on.
    #[cold]
    fn failed(&mut self, number: usize, panic: &(dyn Any + Send)) {
        if let Some(line) = self.connections.get_mut(number).and_then(Option::as_deref_mut) {
            warn!(peer = line.connection.peer(), panic = panic_message(panic), "session failed");
            leave(line, &self.shared);
        }
        self.end(number);
    }

    /// Sets the timer. One that rings too early costs less than one that is set anew for every message.
    #[inline]
    fn ring_at(&mut self, number: usize, at: Instant) {
        let Some(line) = self.connections.get_mut(number).and_then(Option::as_deref_mut) else {
            return;
        };
        if line.due.is_none_or(|due| at < due) {
            if let Some(due) = line.due.replace(at) {
                self.due.remove(&(due, number));
            }
            self.due.insert((at, number));
        }
    }

    fn end(&mut self, number: usize) {
        let Some(mut line) = self.connections.get_mut(number).and_then(Option::take) else {
            return;
        };
        if let Some(due) = line.due {
            self.due.remove(&(due, number));
        }
        self.company.leaves(&line.voice);
        // The system does the same when it is closed.
        let _ = self.poll.registry().deregister(line.connection.stream().socket());
        self.free.push(number);
        self.door.left();
        dropped(line);
    }
}

/// However it ends, nobody waits for it.
impl<P: Policy> Drop for Worker<P> {
    fn drop(&mut self) {
        self.door.close();
        for mut line in self.connections.drain(..).flatten() {
            leave(&mut line, &self.shared);
            dropped(line);
        }
    }
}

/// What applications gave it to keep is theirs, and may panic.
fn dropped<P: Policy>(line: Box<Line<P>>) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(line)));
}

/// A session that has failed leaves the directory, too: its switch may come back.
fn leave<P: Policy>(line: &mut Line<P>, shared: &Shared<P>) {
    let end = AssertUnwindSafe(|| line.connection.end("the session failed", shared));
    if catch_unwind(end).is_err() {
        warn!("session failed again at its end");
    }
}

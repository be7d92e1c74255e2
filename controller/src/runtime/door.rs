//! Where a worker that sleeps is woken from any thread, and by whom: one line of memory that it alone
//! writes as long as nobody rings. Runtime.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedSemaphorePermit;

use super::stream::Stream;
use crate::origin::Origin;
use crate::shared::Pulse;

/// A connection that is to be served.
pub(super) struct Accepted {
    pub(super) stream: Stream,
    pub(super) origin: Origin,
    /// It is one of so many.
    pub(super) place: OwnedSemaphorePermit,
}

/// What waits for a worker.
#[derive(Default)]
pub(super) struct Waiting {
    /// As many as there are places for, at most.
    pub(super) accepted: Vec<Accepted>,
    /// Connections that were rung for, each once.
    pub(super) rung: Vec<usize>,
    pub(super) stop: bool,
    /// Whether nobody takes any more what waits.
    closed: bool,
}

/// The door of one worker.
pub(super) struct Door {
    waker: mio::Waker,
    /// Whether the worker sleeps, or is about to.
    asleep: AtomicBool,
    /// Whether something waits.
    knocked: AtomicBool,
    waiting: Mutex<Waiting>,
    /// As `closed` there.
    closed: AtomicBool,
    /// How many connections it has, those that wait among them.
    connections: AtomicUsize,
    /// How often the worker looked after somebody had knocked.
    answers: AtomicU64,
}

impl Door {
    /// Of a worker that sleeps in the poll of this waker.
    pub(super) fn new(waker: mio::Waker) -> Door {
        Door {
            waker,
            asleep: AtomicBool::new(false),
            knocked: AtomicBool::new(false),
            waiting: Mutex::default(),
            closed: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            answers: AtomicU64::new(0),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Whoever panics with the lock held leaves a list with one more or less.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn knock(&self) -> io::Result<()> {
        // The worker first says that it sleeps and then looks here: one of both sees the other.
        self.knocked.store(true, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            self.waker.wake()?;
        }
        Ok(())
    }

    /// Hands over a connection.
    ///
    /// # Errors
    /// The system does not wake the worker, which serves the connection when something else does; or it
    /// has gone, and the connection is closed.
    pub(super) fn serve(&self, accepted: Accepted) -> io::Result<()> {
        let mut waiting = self.waiting();
        if waiting.closed {
            return Err(io::Error::other("the thread has gone"));
        }
        self.connections.fetch_add(1, Ordering::Relaxed);
        waiting.accepted.push(accepted);
        drop(waiting);
        self.knock()
    }

    /// Whether the worker has gone.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// All connections are to be closed, and no further one comes.
    pub(super) fn stop(&self) -> io::Result<()> {
        self.waiting().stop = true;
        self.knock()
    }

    /// How many connections the worker has.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    // ---- the worker's side ----

    /// The worker has gone. What waits is closed, and nothing is taken any more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let left =
            std::mem::replace(&mut *self.waiting(), Waiting { closed: true, ..Waiting::default() });
        drop(left);
    }

    /// A connection has ended.
    pub(super) fn left(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether the worker may sleep: from now on it is woken. If not, something waits for it.
    pub(super) fn falls_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let quiet = !self.knocked.load(Ordering::SeqCst);
        if !quiet {
            self.asleep.store(false, Ordering::Relaxed);
        }
        quiet
    }

    /// The worker does not sleep any more: nobody needs to wake it.
    pub(super) fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// What waits, if something does.
    pub(super) fn take(&self) -> Option<Waiting> {
        // Who knocks after the swap is answered the next time.
        let knocked =
            self.knocked.load(Ordering::Relaxed) && self.knocked.swap(false, Ordering::AcqRel);
        knocked.then(|| {
            self.answers.fetch_add(1, Ordering::Relaxed);
            std::mem::take(&mut *self.waiting())
        })
    }
}

impl Pulse for Door {
    fn ask(&self) {
        // A worker that is not woken does not answer, which is what is asked.
        let _ = self.knock();
    }

    fn beats(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }
}

/// What makes the worker run a turn of one connection.
pub(super) struct Ring {
    door: Arc<Door>,
    connection: usize,
    rung: AtomicBool,
}

impl Ring {
    /// For the connection that its worker knows by this number.
    pub(super) fn new(door: Arc<Door>, connection: usize) -> Ring {
        Ring { door, connection, rung: AtomicBool::new(false) }
    }

    /// It was heard: who rings from now on is heard again. Read before what the ring is about.
    pub(super) fn heard(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }
}

impl crate::mailbox::Waker for Arc<Ring> {
    fn wake(&self) {
        // Rung before, it was not heard yet.
        if !self.rung.swap(true, Ordering::AcqRel) && !self.door.is_closed() {
            self.door.waiting().rung.push(self.connection);
            // Without a wake it is heard with the next that happens; there is nobody to tell.
            let _ = self.door.knock();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use mio::{Events, Poll, Token};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::mailbox::Waker as _;

    fn door() -> (Poll, Arc<Door>) {
        let poll = Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), Token(0)).unwrap();
        (poll, Arc::new(Door::new(waker)))
    }

    /// Whether the worker's sleep was ended.
    fn woken(poll: &mut Poll) -> bool {
        let mut events = Events::with_capacity(1);
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        !events.is_empty()
    }

    #[test]
    fn many_rings_are_heard_as_one_and_wake_once() {
        let (mut poll, door) = door();
        let ring = Arc::new(Ring::new(door.clone(), 7));
        assert!(door.falls_asleep());
        for _ in 0..3 {
            ring.wake();
        }
        assert!(woken(&mut poll));
        assert_eq!(door.take().map(|waiting| waiting.rung), Some(vec![7]));
        assert!(door.take().is_none());
        ring.heard();
        ring.wake();
        assert_eq!(door.take().map(|waiting| waiting.rung), Some(vec![7]));
        assert!(!woken(&mut poll), "it does not sleep");
    }

    #[test]
    fn who_is_rung_for_does_not_fall_asleep() {
        let (mut poll, door) = door();
        Arc::new(Ring::new(door.clone(), 0)).wake();
        assert!(!door.falls_asleep());
        assert!(!woken(&mut poll), "nobody woke it");
        assert!(door.take().is_some());
        assert!(door.falls_asleep());
        door.stop().unwrap();
        assert!(woken(&mut poll));
        assert!(door.take().is_some_and(|waiting| waiting.stop));
    }

    #[test]
    fn a_door_that_is_closed_takes_nothing_and_closes_what_waits() {
        let (_poll, door) = door();
        let places = Arc::new(Semaphore::new(2));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peers = Vec::new();
        let mut accepted = || {
            peers.push(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
            let (socket, from) = listener.accept().unwrap();
            let place = places.clone().try_acquire_owned().unwrap();
            let stream = Stream::Plain(mio::net::TcpStream::from_std(socket));
            let origin = Origin { peer: from.to_string(), address: None, certificate: None };
            Accepted { stream, origin, place }
        };
        door.serve(accepted()).unwrap();
        assert_eq!((door.connections(), places.available_permits()), (1, 1));
        door.close();
        assert!(door.is_closed());
        assert!(door.serve(accepted()).is_err());
        assert_eq!(places.available_permits(), 2);
        Arc::new(Ring::new(door.clone(), 0)).wake();
        assert!(door.waiting().rung.is_empty());
        for mut peer in peers {
            assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        }
    }

    #[test]
    fn what_was_told_before_a_ring_is_seen_by_who_hears_it() {
        const TOLD: usize = 20_000;
        const LIMIT: Duration = Duration::from_secs(20);
        let (mut poll, door) = door();
        let ring = Arc::new(Ring::new(door.clone(), 0));
        let told = Arc::new(AtomicUsize::new(0));
        let teller = {
            let (told, ring) = (told.clone(), ring.clone());
            std::thread::spawn(move || {
                for number in 1..=TOLD {
                    told.store(number, Ordering::Relaxed);
                    ring.wake();
                }
            })
        };
        // It ends only if the last ring is never lost.
        let mut events = Events::with_capacity(1);
        while told.load(Ordering::Relaxed) < TOLD {
            if door.falls_asleep() {
                poll.poll(&mut events, Some(LIMIT)).unwrap();
                assert!(!events.is_empty(), "a ring was lost");
            }
            door.awake();
            if door.take().is_some() {
                ring.heard();
            }
        }
        teller.join().unwrap();
    }
}

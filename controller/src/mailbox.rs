//! Commands between sessions: bounded queues that are never awaited. Shared: no IO, clock, async.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::command::Command;

/// How many commands wait in a mailbox. When it is full, a command that may fail is given back to
/// its sender ([`Mailbox::offer`]) and one that must not be lost marks the mailbox as overrun
/// ([`Mailbox::insist`]): its owner then drops everything and starts from an empty flow table.
pub const MAILBOX_COMMANDS: usize = 8192;

/// Wakes who serves a session. The runtime gives one that wakes a thread, tests one that sets a flag.
pub trait Waker: Send + Sync {
    /// Makes the session run a turn soon. Called with no lock held.
    fn wake(&self);
}

/// The commands waiting for one session.
pub struct Mailbox {
    queue: Mutex<VecDeque<Command>>,
    /// How many wait: a session looks in every turn, and seldom is there one.
    waiting: AtomicUsize,
    overrun: AtomicBool,
    /// Whether its owner has something to decide again under another World.
    deciding: AtomicBool,
    waker: Box<dyn Waker>,
}

/// The mailbox was full: the command was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

impl Mailbox {
    /// An empty mailbox whose owner is woken by `waker`.
    pub fn new(waker: Box<dyn Waker>) -> Mailbox {
        Mailbox {
            queue: Mutex::default(),
            waiting: AtomicUsize::new(0),
            overrun: AtomicBool::new(false),
            deciding: AtomicBool::new(true),
            waker,
        }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Command>> {
        // A panicking holder cannot leave a VecDeque half-changed: each holder does one operation.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a command that may fail.
    ///
    /// # Errors
    /// [`Full`] if the mailbox is full; nothing was queued.
    pub fn offer(&self, command: Command) -> Result<(), Full> {
        let mut queue = self.queue();
        if queue.len() >= MAILBOX_COMMANDS {
            return Err(Full);
        }
        queue.push_back(command);
        self.waiting.store(queue.len(), Ordering::Release);
        drop(queue);
        self.waker.wake();
        Ok(())
    }

    /// Queues a command that must not be lost; if the mailbox is full, marks it as overrun instead.
    pub fn insist(&self, command: Command) {
        if self.offer(command).is_err() {
            self.overrun.store(true, Ordering::Release);
            self.waker.wake();
        }
    }

    /// How many more commands it takes.
    pub fn room(&self) -> usize {
        MAILBOX_COMMANDS.saturating_sub(self.queue().len())
    }

    /// The owner has something to decide again under another World, or not. Who says yes looks for a
    /// newer World afterwards.
    pub(crate) fn set_deciding(&self, deciding: bool) {
        // Written where it changes: others read it.
        if self.deciding.load(Ordering::Relaxed) != deciding {
            self.deciding.store(deciding, Ordering::Relaxed);
            fence(Ordering::SeqCst);
        }
    }

    pub(crate) fn is_deciding(&self) -> bool {
        self.deciding.load(Ordering::Relaxed)
    }

    /// Makes the owner run a turn.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Takes up to `most` commands in order into `into`. One that was queued at this moment may be left:
    /// its sender wakes the owner afterwards.
    pub fn take(&self, most: usize, into: &mut VecDeque<Command>) {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut queue = self.queue();
        let n = queue.len().min(most);
        into.extend(queue.drain(..n));
        self.waiting.store(queue.len(), Ordering::Release);
    }

    /// Whether a command that must not be lost was lost since the last call; the mark is cleared.
    pub fn take_overrun(&self) -> bool {
        self.overrun.load(Ordering::Relaxed) && self.overrun.swap(false, Ordering::AcqRel)
    }

    /// How many commands wait.
    pub fn len(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0 && !self.overrun.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mailbox({} waiting)", self.queue().len())
    }
}

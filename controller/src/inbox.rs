//! What applications are told from outside of their handlers: by async code that they left behind, by
//! each other, by whoever runs the controller. Shared: no IO, clock, async.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::app::AppNo;
use crate::mailbox::{Full, Waker};

/// Messages that wait for applications. When there are as many, a further one is given back to its
/// sender ([`Teller::tell`]).
pub const INBOX_MESSAGES: usize = 4096;

/// Anything that an application understands.
pub type Told = Box<dyn Any + Send>;

/// The messages that wait, in order, and who hands them over.
#[derive(Default)]
pub(crate) struct Inbox {
    queue: Mutex<VecDeque<(AppNo, Told)>>,
    /// Wakes whoever runs the slow path.
    waker: OnceLock<Box<dyn Waker>>,
}

impl Inbox {
    fn queue(&self) -> MutexGuard<'_, VecDeque<(AppNo, Told)>> {
        // Each holder does one operation: a panicking one leaves nothing half-done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says who is to be woken. The first one stays: a controller is served once.
    #[cfg(feature = "runtime")]
    pub(crate) fn set_waker(&self, waker: Box<dyn Waker>) {
        let _ = self.waker.set(waker);
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }

    pub(crate) fn take(&self) -> Option<(AppNo, Told)> {
        self.queue().pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue().is_empty()
    }
}

/// Tells one application something, from anywhere: it comes to [`crate::App::told`].
#[derive(Clone)]
pub struct Teller {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) app: AppNo,
}

impl Teller {
    /// Leaves a message, which the application gets soon, in the order of sending.
    ///
    /// # Errors
    /// [`Full`]: [`INBOX_MESSAGES`] wait; nothing was left.
    pub fn tell(&self, message: impl Any + Send) -> Result<(), Full> {
        let mut queue = self.inbox.queue();
        if queue.len() >= INBOX_MESSAGES {
            return Err(Full);
        }
        queue.push_back((self.app, Box::new(message)));
        drop(queue);
        self.inbox.wake();
        Ok(())
    }
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Teller({})", self.app.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_in_order_and_a_full_inbox_takes_none() {
        let inbox = Arc::new(Inbox::default());
        let teller = Teller { inbox: inbox.clone(), app: AppNo(3) };
        for n in 0..INBOX_MESSAGES {
            assert_eq!(teller.tell(n), Ok(()));
        }
        assert_eq!(teller.tell("one too many"), Err(Full));
        for n in 0..INBOX_MESSAGES {
            let (app, told) = inbox.take().unwrap();
            assert_eq!((app, told.downcast::<usize>().ok()), (AppNo(3), Some(Box::new(n))));
        }
        assert!(inbox.take().is_none() && inbox.is_empty());
    }
}

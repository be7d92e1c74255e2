//! What wakes one task from any thread. As long as nobody rings, it costs the task one read of memory
//! that nobody writes: a list of waiters, as of [`tokio::sync::Notify`], is locked for each look.
//! Runtime.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Rung by anybody, heard by one [`Listener`].
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// The one that hears a bell.
#[derive(Debug)]
pub(super) struct Listener {
    bell: Arc<Bell>,
    /// What the bell wakes.
    waker: Option<Waker>,
}

impl Bell {
    fn waker(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl crate::mailbox::Waker for Arc<Bell> {
    fn wake(&self) {
        // Rung before, it was not heard yet: whoever rang has woken the task, or is about to.
        if !self.rung.swap(true, Ordering::AcqRel)
            && let Some(waker) = &*self.waker()
        {
            waker.wake_by_ref();
        }
    }
}

impl Listener {
    pub(super) fn new(bell: Arc<Bell>) -> Listener {
        Listener { bell, waker: None }
    }

    /// Ready if the bell was rung since it was ready last; many times are heard as one. If it is not,
    /// the task is woken when it rings.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let known = |waker: &Waker| waker.will_wake(cx.waker());
        if !self.waker.as_ref().is_some_and(known) {
            self.waker = Some(cx.waker().clone());
            *self.bell.waker() = Some(cx.waker().clone());
        }
        // Read behind the lock: who rings sets it first and finds the waker then, or is seen here.
        if self.bell.rung.load(Ordering::Relaxed) && self.bell.rung.swap(false, Ordering::AcqRel) {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::mailbox::Waker as _;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl std::task::Wake for Counted {
        fn wake(self: Arc<Counted>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn listening() -> (Arc<Bell>, Listener) {
        let bell = Arc::<Bell>::default();
        (bell.clone(), Listener::new(bell))
    }

    #[test]
    fn it_is_heard_once_whether_rung_before_or_after_and_wakes_once() {
        let (bell, mut listener) = listening();
        let counted = Arc::<Counted>::default();
        let waker = Waker::from(counted.clone());
        let mut cx = Context::from_waker(&waker);
        bell.wake();
        assert_eq!(listener.poll(&mut cx), Poll::Ready(()));
        assert_eq!(listener.poll(&mut cx), Poll::Pending);
        assert_eq!(counted.0.load(Ordering::Relaxed), 0);
        for _ in 0..3 {
            bell.wake();
        }
        assert_eq!(counted.0.load(Ordering::Relaxed), 1);
        assert_eq!(listener.poll(&mut cx), Poll::Ready(()));
        assert_eq!(listener.poll(&mut cx), Poll::Pending);
        bell.wake();
        assert_eq!(counted.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn it_wakes_the_task_that_listened_last() {
        let (bell, mut listener) = listening();
        let (first, second) = (Arc::<Counted>::default(), Arc::<Counted>::default());
        for counted in [&first, &second] {
            let waker = Waker::from(counted.clone());
            assert_eq!(listener.poll(&mut Context::from_waker(&waker)), Poll::Pending);
        }
        bell.wake();
        let woken = [&first, &second].map(|counted| counted.0.load(Ordering::Relaxed));
        assert_eq!(woken, [0, 1]);
    }

    #[test]
    fn what_was_told_before_it_rang_is_seen_by_who_hears_it() {
        const TOLD: usize = 20_000;
        let (bell, mut listener) = listening();
        let told = Arc::new(AtomicUsize::new(0));
        let teller = {
            let told = told.clone();
            std::thread::spawn(move || {
                for number in 1..=TOLD {
                    told.store(number, Ordering::Relaxed);
                    bell.wake();
                }
            })
        };
        // It ends only if the last ring is never lost.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            while told.load(Ordering::Relaxed) < TOLD {
                poll_fn(|cx| listener.poll(cx)).await;
            }
        });
        teller.join().unwrap();
    }
}

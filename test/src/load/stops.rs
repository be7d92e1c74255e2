//! When a processor of this machine went on with nothing for a while: whoever else is on the machine had
//! it, or the system had something to do that it does not put off. Runtime.
//!
//! On every processor that the generator may use a thread of the highest claim waits for a timer, again and
//! again. If it is woken late, so would have been anybody. A controller does not keep it waiting by
//! being busy; the system does where it works off packets of a controller, or anything else, without a
//! break, and where it keeps a share of a processor from all that has a real-time priority.

use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::timerfd::TimerFd;
use nix::unistd::{Pid, gettid};

use super::error::LoadError;
use super::phase::ticks;

/// How often the timer is up, and how late a thread is woken after a stop. A stop that is shorter is not seen
/// for certain.
const NAP: Duration = Duration::from_micros(250);
/// Its real-time priority, above those of whoever is measured (`chrt -f 1`).
const PRIORITY: &str = "50";
const WHAT: &str = "watching for stops of processors (chrt -f)";

/// From when on nothing was seen of a processor, and when it went on.
pub(super) type Stop = (Instant, Instant);

#[derive(Debug, Default)]
struct Noted {
    stops: Mutex<Vec<Stop>>,
    count: AtomicUsize,
    over: AtomicBool,
}

/// Watches all processors until it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    noted: Arc<Noted>,
    taken: usize,
    threads: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Begins.
    ///
    /// # Errors
    /// [`LoadError::System`]: it may not have that priority, or there can be no threads.
    pub(super) fn begin() -> Result<Watch, LoadError> {
        let failed = |error| LoadError::System { what: WHAT, error };
        let allowed = sched_getaffinity(Pid::from_raw(0)).map_err(|error| failed(error.into()))?;
        let mut watch = Watch { noted: Arc::default(), taken: 0, threads: Vec::new() };
        for cpu in (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu) == Ok(true)) {
            let (ready, begun) = channel();
            let noted = watch.noted.clone();
            let name = format!("watch {cpu}");
            let watches = thread::Builder::new().name(name).spawn(move || {
                if let Some(timer) = begin_at(cpu, &ready) {
                    noted.watch(&timer);
                }
            });
            watch.threads.push(watches.map_err(failed)?);
            let begun = begun.recv().unwrap_or_else(|_| Err(io::Error::other("its thread ended")));
            begun.map_err(failed)?;
        }
        Ok(watch)
    }

    /// The stops since this was asked last. Whoever was kept waiting by one is told of it.
    #[inline]
    pub(super) fn take(&mut self) -> Vec<Stop> {
        if self.noted.count.load(Ordering::Acquire) == self.taken {
            return Vec::new();
        }
        let mut stops = self.noted.stops.lock().unwrap_or_else(PoisonError::into_inner);
        self.taken += stops.len();
        std::mem::take(&mut stops)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.noted.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It has nothing to tell.
            let _ = thread.join();
        }
    }
}

/// Binds this thread to a processor, with its priority, and says whether it could. Gives its timer.
fn begin_at(cpu: usize, ready: &Sender<io::Result<()>>) -> Option<TimerFd> {
    let begun = (|| {
        let mut only = CpuSet::new();
        only.set(cpu)?;
        sched_setaffinity(Pid::from_raw(0), &only)?;
        let set = ["-f", "-p", PRIORITY, &gettid().to_string()];
        let done = Command::new("chrt").args(set).output()?;
        match done.status.success() {
            true => ticks(NAP).map_err(io::Error::other),
            false => Err(io::Error::other(String::from_utf8_lossy(&done.stderr).trim().to_owned())),
        }
    })();
    let (told, timer) = match begun {
        Ok(timer) => (Ok(()), Some(timer)),
        Err(error) => (Err(error), None),
    };
    ready.send(told).ok().and(timer)
}

impl Noted {
    fn watch(&self, timer: &TimerFd) {
        let mut seen = Instant::now();
        while !self.over.load(Ordering::Relaxed) && timer.wait().is_ok() {
            let now = Instant::now();
            if now - seen > 2 * NAP {
                let mut stops = self.stops.lock().unwrap_or_else(PoisonError::into_inner);
                stops.push((seen, now));
                drop(stops);
                self.count.fetch_add(1, Ordering::Release);
            }
            seen = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever is not allowed to is told what was wanted.
    #[test]
    fn it_watches_or_says_why_not() {
        match Watch::begin() {
            Ok(mut watch) => {
                assert!(!watch.threads.is_empty());
                // However loaded the machine is, what it tells are times that have been.
                let now = Instant::now();
                assert!(watch.take().iter().all(|(from, to)| from < to && *from < now));
                let stop = (now, now + NAP);
                watch.noted.stops.lock().unwrap().push(stop);
                watch.noted.count.fetch_add(1, Ordering::Release);
                assert!(watch.take().contains(&stop));
                assert!(!watch.take().contains(&stop), "told once");
            }
            Err(error) => assert!(error.to_string().starts_with(WHAT), "{error}"),
        }
    }
}

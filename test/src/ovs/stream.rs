//! Threads that send frames at a steady pace, whatever the ground is doing meanwhile. Runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::sniff::RawSocket;
use crate::scenario::GroundError;

type Sent = Result<Vec<Duration>, GroundError>;

/// A host that sends its frames one each period. Dropped: stopped, its thread has ended.
pub(super) struct StreamThread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Sent>>,
}

impl StreamThread {
    /// Begins at once. Times are told since `begun`.
    pub(super) fn start(
        socket: Arc<RawSocket>,
        frames: Vec<Vec<u8>>,
        every: Duration,
        begun: Instant,
    ) -> StreamThread {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut times = Vec::with_capacity(frames.len());
            let mut due = Instant::now();
            for frame in frames {
                let left = || due.saturating_duration_since(Instant::now());
                while !left().is_zero() && !stopped.load(Ordering::Acquire) {
                    std::thread::park_timeout(left());
                }
                if stopped.load(Ordering::Acquire) {
                    break;
                }
                times.push(begun.elapsed());
                socket.send(&frame)?;
                // One that was held up does not catch up in a burst.
                due = Instant::now().max(due) + every;
            }
            Ok(times)
        });
        StreamThread { stop, thread: Some(thread) }
    }

    /// Ends it. When each frame was sent.
    pub(super) fn stop(mut self) -> Sent {
        match self.end() {
            Some(Ok(sent)) => sent,
            _ => Err(GroundError("a stream's thread failed".to_owned())),
        }
    }

    fn end(&mut self) -> Option<std::thread::Result<Sent>> {
        self.stop.store(true, Ordering::Release);
        let thread = self.thread.take()?;
        thread.thread().unpark();
        Some(thread.join())
    }
}

impl Drop for StreamThread {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

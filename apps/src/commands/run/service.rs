//! The service manager's view of the program (sd_notify(3)). Nothing is said where `NOTIFY_SOCKET`
//! is not set. Runtime.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::{debug, error};
use umlaut_controller::{Policy, Shared};

/// Ports are open and the policy is in force.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Files are being read again; [`ready`] follows.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        // Only together do they say which reload is meant.
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "no clock for the service manager"),
    }
}

/// The program ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "the service manager was not told");
    }
}

/// Whether the slow path moved since it was last looked at.
#[derive(Debug, Default)]
struct Pulse(u64);

impl Pulse {
    fn beats(&mut self, polls: u64) -> bool {
        let beats = polls != self.0;
        self.0 = polls;
        beats
    }
}

/// Tells the service manager twice per `WATCHDOG_USEC` that the program is alive, as long as its
/// slow path is: where that hangs, topology and policy stand still, whatever else goes on.
pub(super) async fn watchdog<P: Policy>(shared: Arc<Shared<P>>) {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let half = (period / 2).max(Duration::from_millis(1));
    let mut pulse = Pulse::default();
    loop {
        // It has until the next look.
        shared.wake();
        tokio::time::sleep(half).await;
        if pulse.beats(shared.polls()) {
            tell(&[NotifyState::Watchdog]);
        } else {
            error!(?half, "the slow path stands still: the watchdog is not fed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_path_that_stands_still_has_no_pulse() {
        let mut pulse = Pulse::default();
        let looks = [0, 1, 1, 5, 5].map(|polls| pulse.beats(polls));
        assert_eq!(looks, [false, true, false, true, false]);
    }
}

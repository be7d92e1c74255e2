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

/// Whether all that serves switches moved since it was last looked at.
#[derive(Debug)]
struct Life(Vec<u64>);

impl Life {
    /// A thread that has begun since then was not asked yet.
    fn goes_on(&mut self, pulse: Vec<u64>) -> bool {
        let goes_on = self.0.iter().zip(&pulse).all(|(before, now)| before != now);
        self.0 = pulse;
        goes_on
    }
}

/// Tells the service manager twice per `WATCHDOG_USEC` that the program is alive, as long as its
/// slow path is, and each thread that serves switches: where the one hangs, topology and policy stand
/// still, where another does, its switches, whatever else goes on.
pub(super) async fn watchdog<P: Policy>(shared: Arc<Shared<P>>) {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let half = (period / 2).max(Duration::from_millis(1));
    let mut life = Life(shared.pulse());
    loop {
        // They have until the next look.
        shared.ask_for_life();
        tokio::time::sleep(half).await;
        if life.goes_on(shared.pulse()) {
            tell(&[NotifyState::Watchdog]);
        } else {
            error!(?half, "the slow path or a thread stands still: the watchdog is not fed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_one_stands_still_life_does_not_go_on() {
        let mut life = Life(vec![0]);
        let looks: [&[u64]; 7] = [&[1, 0], &[2, 1], &[2, 2], &[3, 2], &[3, 2], &[5, 5], &[6, 5, 0]];
        let goes_on = looks.map(|pulse| life.goes_on(pulse.to_vec()));
        assert_eq!(goes_on, [true, true, false, false, false, true, false]);
    }
}

//! Timers of applications: by application and name, in order of time. Pure: `now` is an argument.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::app::AppNo;

/// Timers of one application. When it has as many, a further one is refused.
pub const TIMERS_PER_APP: usize = 4096;
/// The shortest period of a timer.
pub const SHORTEST_PERIOD: Duration = Duration::from_millis(1);

/// What a timer is called; each application has names of its own.
pub type TimerName = Cow<'static, str>;

/// An application has [`TIMERS_PER_APP`] timers; the further one was not set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an application has at most {TIMERS_PER_APP} timers")]
pub struct TooManyTimers;

type Key = (AppNo, TimerName);

#[derive(Clone, Copy, Debug)]
struct Timer {
    /// Its place in the queue: when, and which of those set for the same time.
    due: (Instant, u64),
    period: Option<Duration>,
}

/// All timers that are set.
#[derive(Debug, Default)]
pub struct Timers {
    by_key: HashMap<Key, Timer>,
    queue: BTreeMap<(Instant, u64), Key>,
    counts: HashMap<AppNo, usize>,
    next: u64,
}

impl Timers {
    /// Sets a timer, replacing one of the same application and name. `time` is how long until it is
    /// due and, if `periodic`, how long from one time to the next.
    ///
    /// # Errors
    /// [`TooManyTimers`]; nothing changed.
    pub fn set(
        &mut self,
        app: AppNo,
        name: TimerName,
        now: Instant,
        time: Duration,
        periodic: bool,
    ) -> Result<(), TooManyTimers> {
        let replaced = self.cancel(app, &name);
        let count = self.counts.entry(app).or_default();
        if *count >= TIMERS_PER_APP && !replaced {
            return Err(TooManyTimers);
        }
        *count += 1;
        let period = periodic.then_some(time.max(SHORTEST_PERIOD));
        self.enqueue((app, name), now + period.unwrap_or(time), period);
        Ok(())
    }

    fn enqueue(&mut self, key: Key, at: Instant, period: Option<Duration>) {
        self.next += 1;
        let due = (at, self.next);
        self.queue.insert(due, key.clone());
        self.by_key.insert(key, Timer { due, period });
    }

    /// Ends a timer. Returns whether there was one.
    pub fn cancel(&mut self, app: AppNo, name: &str) -> bool {
        let key = (app, TimerName::Owned(name.to_owned()));
        let Some(timer) = self.by_key.remove(&key) else { return false };
        self.queue.remove(&timer.due);
        self.forget_one(app);
        true
    }

    /// Ends all timers of an application.
    pub fn cancel_all(&mut self, app: AppNo) {
        self.by_key.retain(|(owner, _), _| *owner != app);
        self.queue.retain(|_, (owner, _)| *owner != app);
        self.counts.remove(&app);
    }

    fn forget_one(&mut self, app: AppNo) {
        if let Some(count) = self.counts.get_mut(&app) {
            *count -= 1;
        }
    }

    /// When the next timer is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes one timer that is due, the oldest first. A periodic one is due again a whole number of
    /// periods later, after `now`.
    pub fn take_due(&mut self, now: Instant) -> Option<(AppNo, TimerName)> {
        let (&(at, seq), _) = self.queue.first_key_value().filter(|((at, _), _)| *at <= now)?;
        let key = self.queue.remove(&(at, seq))?;
        let timer = self.by_key.remove(&key)?;
        match timer.period {
            Some(period) => {
                let late = now.saturating_duration_since(at).as_nanos() / period.as_nanos();
                let skipped = u32::try_from(late).unwrap_or(u32::MAX);
                let next = at + period * skipped + period;
                self.enqueue(key.clone(), next, Some(period));
            }
            None => self.forget_one(key.0),
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: AppNo = AppNo(1);
    const SECOND: Duration = Duration::from_secs(1);

    fn due(timers: &mut Timers, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| timers.take_due(now)).map(|(_, name)| name.into_owned()).collect()
    }

    #[test]
    fn timers_are_due_in_order_of_time_then_of_setting() {
        let (mut timers, t0) = (Timers::default(), Instant::now());
        timers.set(APP, "late".into(), t0, 2 * SECOND, false).unwrap();
        timers.set(APP, "b".into(), t0, SECOND, false).unwrap();
        timers.set(APP, "a".into(), t0, SECOND, false).unwrap();
        assert_eq!(timers.deadline(), Some(t0 + SECOND));
        assert!(due(&mut timers, t0).is_empty());
        assert_eq!(due(&mut timers, t0 + 3 * SECOND), ["b", "a", "late"]);
        assert_eq!(timers.deadline(), None);
    }

    #[test]
    fn a_periodic_timer_skips_what_was_missed_and_keeps_its_beat() {
        let (mut timers, t0) = (Timers::default(), Instant::now());
        timers.set(APP, "tick".into(), t0, SECOND, true).unwrap();
        assert_eq!(due(&mut timers, t0 + SECOND), ["tick"]);
        assert_eq!(due(&mut timers, t0 + SECOND * 9 / 2), ["tick"]);
        assert_eq!(timers.deadline(), Some(t0 + 5 * SECOND));
    }

    #[test]
    fn names_belong_to_their_application_and_can_be_cancelled_and_replaced() {
        let (mut timers, t0) = (Timers::default(), Instant::now());
        timers.set(APP, "x".into(), t0, SECOND, false).unwrap();
        timers.set(AppNo(2), "x".into(), t0, SECOND, false).unwrap();
        assert!(timers.cancel(APP, "x"));
        assert!(!timers.cancel(APP, "x"));
        timers.set(AppNo(2), "x".into(), t0, 5 * SECOND, false).unwrap();
        assert_eq!(timers.deadline(), Some(t0 + 5 * SECOND));
    }

    #[test]
    fn an_application_has_its_fill_of_timers() {
        let (mut timers, t0) = (Timers::default(), Instant::now());
        for n in 0..TIMERS_PER_APP {
            timers.set(APP, n.to_string().into(), t0, SECOND, true).unwrap();
        }
        assert_eq!(timers.set(APP, "more".into(), t0, SECOND, true), Err(TooManyTimers));
        assert_eq!(timers.set(APP, "7".into(), t0, SECOND, true), Ok(()));
        assert!(timers.cancel(APP, "8"));
        assert_eq!(timers.set(APP, "more".into(), t0, SECOND, true), Ok(()));
    }

    #[test]
    fn a_period_of_zero_does_not_run_for_ever() {
        let (mut timers, t0) = (Timers::default(), Instant::now());
        timers.set(APP, "busy".into(), t0, Duration::ZERO, true).unwrap();
        assert_eq!(due(&mut timers, t0 + SECOND).len(), 1);
    }
}

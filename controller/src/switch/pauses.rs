//! Pauses of entries after a switch refused some: for each domain its own, so that what one cannot have
//! keeps nothing from another. Pure: `now` as an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use crate::hosts::Domain;

/// After a switch refused an entry, no further entry of that domain is asked of it for this long,
/// doubling with each refusal up to [`BACKOFF_MAX`].
pub const BACKOFF_MIN: Duration = Duration::from_millis(250);
/// See [`BACKOFF_MIN`].
pub const BACKOFF_MAX: Duration = Duration::from_secs(16);
/// Domains of which entries were refused of late. When there are as many, the refusal of another one
/// pauses the whole switch: it refuses everybody, and each would go on asking.
pub const PAUSES: usize = 256;

/// Who pauses. Entries that drop have no domain: they share a pause, which no path heeds.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    of: HashMap<Option<Domain>, Pause, RandomState>,
    all: Option<Pause>,
    /// When the last of these pauses is forgotten. Most switches refuse nothing: they have none.
    over: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    until: Instant,
    next: Duration,
}

impl Pauses {
    /// An entry was refused.
    pub(super) fn refused(&mut self, domain: Option<Domain>, now: Instant) {
        if self.of.len() >= PAUSES && !self.of.contains_key(&domain) {
            self.of.retain(|_, pause| !pause.is_forgotten(now));
        }
        let pause = match self.of.len() < PAUSES || self.of.contains_key(&domain) {
            true => self.of.entry(domain).or_insert(Pause::begin(now)),
            false => self.all.get_or_insert(Pause::begin(now)),
        };
        pause.go_on(now);
        self.over = self.over.max(Some(pause.until + BACKOFF_MAX));
    }

    /// Whether no entry of this domain is to be asked for now.
    #[inline]
    pub(super) fn hold(&mut self, domain: Option<Domain>, now: Instant) -> bool {
        match self.over {
            None => false,
            Some(over) if over <= now => {
                *self = Pauses::default();
                false
            }
            Some(_) => {
                let pauses = [self.all.as_ref(), self.of.get(&domain)];
                pauses.into_iter().flatten().any(|pause| now < pause.until)
            }
        }
    }
}

impl Pause {
    fn begin(now: Instant) -> Pause {
        Pause { until: now + BACKOFF_MIN, next: BACKOFF_MIN * 2 }
    }

    /// What is refused until the pause begins was asked for before: a whole burst lengthens the next
    /// pause once.
    fn go_on(&mut self, now: Instant) {
        if self.is_forgotten(now) {
            *self = Pause::begin(now);
        } else if self.until <= now {
            self.until = now + self.next;
            self.next = (self.next * 2).min(BACKOFF_MAX);
        }
    }

    fn is_forgotten(&self, now: Instant) -> bool {
        now >= self.until + BACKOFF_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Option<Domain> = Some(Domain(1));
    const B: Option<Domain> = Some(Domain(2));

    #[test]
    fn each_domain_pauses_for_its_own_refusals_longer_each_time() {
        let (mut pauses, mut now) = (Pauses::default(), Instant::now());
        assert!(!pauses.hold(A, now));
        let mut length = BACKOFF_MIN;
        for _ in 0..10 {
            // A burst counts once.
            (0..100).for_each(|_| pauses.refused(A, now));
            assert!(pauses.hold(A, now + length - Duration::from_millis(1)), "{length:?}");
            assert!(!pauses.hold(B, now) && !pauses.hold(None, now));
            now += length;
            assert!(!pauses.hold(A, now), "{length:?}");
            length = (length * 2).min(BACKOFF_MAX);
        }
        now += BACKOFF_MAX;
        pauses.refused(A, now);
        assert!(!pauses.hold(A, now + BACKOFF_MIN), "long ago is forgotten");
        assert!(!pauses.hold(B, now + BACKOFF_MIN + BACKOFF_MAX));
        assert!(pauses.of.is_empty() && pauses.over.is_none());
    }

    #[test]
    fn a_switch_that_refuses_everybody_is_left_alone() {
        let (mut pauses, now) = (Pauses::default(), Instant::now());
        for n in 0..PAUSES as u64 {
            pauses.refused(Some(Domain(n)), now);
        }
        assert!(!pauses.hold(Some(Domain(u64::MAX)), now));
        pauses.refused(Some(Domain(u64::MAX)), now);
        assert!(
            pauses.hold(Some(Domain(u64::MAX)), now) && pauses.hold(Some(Domain(1 << 40)), now)
        );
        assert!(!pauses.hold(Some(Domain(1 << 40)), now + BACKOFF_MIN));
        assert_eq!(pauses.of.len(), PAUSES);
        // Once they are old, there is room again, also if nobody has asked meanwhile.
        let (later, new) = (now + BACKOFF_MIN + BACKOFF_MAX, Some(Domain(1 << 41)));
        pauses.refused(new, later);
        assert!(pauses.hold(new, later) && !pauses.hold(B, later));
        assert_eq!(pauses.of.len(), 1);
    }
}

//! Refused connections in the log: the first of a kind at once, the others as a number. Whoever
//! connects again and again must not be able to fill the log. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long refusals of one kind are counted before their number is told.
const PERIOD: Duration = Duration::from_secs(60);
/// How many kinds are told apart in a period. More are counted together: reasons can name what the
/// other end made up.
const KINDS: usize = 32;
/// The kind of all others.
const OTHERS: &str = "other reasons";

/// Refusals of one kind that were not told one by one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Repeated {
    pub(super) reason: String,
    pub(super) times: u64,
    /// Where the last one came from.
    pub(super) peer: String,
}

/// The refusals of the running period.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    ends: Option<Instant>,
    /// What was not told of each kind. At most `KINDS` and one.
    untold: BTreeMap<String, (u64, String)>,
}

impl Refusals {
    /// Notes a refusal. Returns whether it is to be told now: the first of its kind in the period,
    /// while there is room for kinds.
    pub(super) fn note(&mut self, reason: &str, peer: &str, now: Instant) -> bool {
        self.ends.get_or_insert(now + PERIOD);
        let count = |untold: &mut (u64, String)| {
            untold.0 += 1;
            peer.clone_into(&mut untold.1);
        };
        if let Some(untold) = self.untold.get_mut(reason) {
            count(untold);
            return false;
        }
        if self.untold.len() < KINDS {
            self.untold.insert(reason.to_owned(), (0, String::new()));
            return true;
        }
        count(self.untold.entry(OTHERS.to_owned()).or_default());
        false
    }

    /// What was not told in a period that is over, in order of the reasons.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Repeated> {
        if self.ends.is_none_or(|ends| now < ends) {
            return Vec::new();
        }
        self.ends = None;
        let untold = std::mem::take(&mut self.untold).into_iter();
        untold
            .filter(|(_, (times, _))| *times > 0)
            .map(|(reason, (times, peer))| Repeated { reason, times, peer })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_kind_is_told_at_once_and_the_others_as_a_number() {
        let mut refusals = Refusals::default();
        let begun = Instant::now();
        assert!(refusals.note("no hello in time", "a", begun));
        for n in 0..1000 {
            assert!(!refusals.note("no hello in time", &format!("b{n}"), begun));
        }
        assert!(refusals.note("no common version", "c", begun + Duration::from_secs(1)));
        assert_eq!(refusals.take_due(begun + PERIOD - Duration::from_secs(1)), []);
        let told = refusals.take_due(begun + PERIOD);
        let hello = "no hello in time".to_owned();
        assert_eq!(told, [Repeated { reason: hello, times: 1000, peer: "b999".to_owned() }]);
        assert!(refusals.note("no hello in time", "a", begun + PERIOD), "a new period");
        assert_eq!(refusals.take_due(begun + 3 * PERIOD), [], "told already");
    }

    #[test]
    fn made_up_reasons_do_not_make_lines() {
        let mut refusals = Refusals::default();
        let begun = Instant::now();
        let told =
            (0..10_000).filter(|n| refusals.note(&format!("reason {n}"), "a", begun)).count();
        assert_eq!(told, KINDS);
        let told = refusals.take_due(begun + PERIOD);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].reason.as_str(), told[0].times), (OTHERS, 10_000 - KINDS as u64));
    }
}

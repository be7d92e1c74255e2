//! Log lines of one kind: so many a second, the others as a number. Hosts and switches cause them, and
//! whoever makes up an address for each frame must not be able to fill the log. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Lines of one kind in a [`PERIOD`]. What is beyond is counted, and the number written once.
pub(super) const LINES: u64 = 20;
/// How long lines are counted together.
pub(super) const PERIOD: Duration = Duration::from_secs(1);

/// A kind of lines, as its lines say it. There are few: they stand in the code.
pub(super) type Kind = &'static str;

/// Lines that were not written in a period that is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct More {
    pub(super) kind: Kind,
    pub(super) times: u64,
}

/// The lines of the running periods.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// When the period of each kind began, and how many lines came since.
    of: BTreeMap<Kind, (Instant, u64)>,
}

impl Lines {
    /// A line comes. Returns whether it is written, and what is written before it: how many were not,
    /// in the period that is over.
    pub(super) fn note(&mut self, kind: Kind, now: Instant) -> (Option<More>, bool) {
        let more = self.end(kind, now);
        let (_, count) = self.of.entry(kind).or_insert((now, 0));
        *count += 1;
        (more, *count <= LINES)
    }

    /// What was not written in periods that are over, in order of the kinds.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<More> {
        let kinds: Vec<Kind> = self.of.keys().copied().collect();
        kinds.into_iter().filter_map(|kind| self.end(kind, now)).collect()
    }

    fn end(&mut self, kind: Kind, now: Instant) -> Option<More> {
        let (begun, count) = *self.of.get(kind)?;
        if now < begun + PERIOD {
            return None;
        }
        self.of.remove(kind);
        let times = count.saturating_sub(LINES);
        (times > 0).then_some(More { kind, times })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    /// Ten seconds of ten lines a millisecond, which would be megabytes.
    #[test]
    fn a_flood_of_lines_is_a_few_lines_and_a_number_each_second() {
        let (begun, mut lines) = (Instant::now(), Lines::default());
        let (mut written, mut counted, mut numbers) = (0, 0, 0);
        let mut take = |more: &More| {
            assert_eq!(more.kind, "host refused");
            (counted, numbers) = (counted + more.times, numbers + 1);
        };
        for n in 0..100_000 {
            let (more, write) = lines.note("host refused", begun + MILLI * n / 10);
            more.iter().for_each(&mut take);
            written += u64::from(write);
        }
        let end = begun + PERIOD * 10;
        assert_eq!(lines.take_due(end - MILLI), []);
        lines.take_due(end).iter().for_each(&mut take);
        assert_eq!((written, numbers), (10 * LINES, 10));
        assert_eq!(written + counted, 100_000, "nothing is lost count of");
        assert_eq!(lines.take_due(end + PERIOD), [], "told already");
    }

    #[test]
    fn a_few_lines_are_written_whole_and_kinds_take_nothing_from_each_other() {
        let (begun, mut lines) = (Instant::now(), Lines::default());
        for _ in 0..1000 {
            lines.note("host refused", begun);
        }
        for n in 0..1000 {
            let (more, write) = lines.note("host moved", begun + PERIOD / LINES as u32 * n);
            assert_eq!((more, write), (None, true));
        }
        let more = More { kind: "host refused", times: 1000 - LINES };
        assert_eq!(lines.take_due(begun + PERIOD * 100), [more]);
        assert_eq!(lines.note("host refused", begun + PERIOD * 101), (None, true));
        // A clock read by two threads may seem to go back.
        assert_eq!(lines.note("host refused", begun), (None, true));
    }
}

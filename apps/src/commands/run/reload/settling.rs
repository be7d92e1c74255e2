//! When a file that changes is read: as soon as its writer is done, and not before. Pure: no IO, no
//! clock.
//!
//! ```text
//! written ──▶ held open ──closed──▶ due within milliseconds
//!    │                                  ▲
//!    └── nothing more for HELD_OPEN ────┤
//! replaced (rename, symbolic link) ─────┘      gone, made, touched ──▶ due after ABSENCE
//! ```

use std::time::{Duration, Instant};

/// How long after its last write a file is read though its writer has not closed it: some writers keep
/// their files open for ever, and systems other than Linux do not tell when they are closed.
const HELD_OPEN: Duration =
    if cfg!(target_os = "linux") { Duration::from_secs(5) } else { Duration::from_millis(200) };
/// How long a file that is gone is waited for, or one that was made for its first write: some editors
/// move the old file away before they write the new one, and a link to another file is never written.
const ABSENCE: Duration = Duration::from_millis(100);
/// Complete changes that follow each other without end are waited for so many times as long as for one.
const PATIENCE: u32 = 5;

/// What happened to a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// Somebody wrote to it, or emptied it, and has it open.
    Written,
    /// Who had it open for writing has closed it.
    Closed,
    /// Another file is in its place, whole: it was renamed, or a link leads elsewhere.
    Replaced,
    /// A name was made, for a file that is still to be written or for a link.
    Made,
    /// It was removed or moved away.
    Gone,
    /// Its attributes changed, or nobody knows what did.
    Touched,
    /// It was read, and changed while it was.
    Unready,
}

/// Whether a file, or several that belong together, is to be read, and when.
#[derive(Debug)]
pub(super) struct Settling {
    /// How long after a change that is complete another may follow that belongs to it.
    together: Duration,
    due: Option<Instant>,
    /// When the first complete change happened that was not read yet.
    since: Option<Instant>,
}

impl Settling {
    pub(super) fn new(together: Duration) -> Settling {
        Settling { together, due: None, since: None }
    }

    /// Notes a change.
    pub(super) fn note(&mut self, change: Change, now: Instant) {
        self.due = Some(match change {
            // What was complete before is not any more.
            Change::Written => now + HELD_OPEN,
            Change::Closed | Change::Replaced => {
                let since = *self.since.get_or_insert(now);
                (now + self.together).min(since + PATIENCE * self.together).max(now)
            }
            // Its writer, if it has one, is waited for all the same.
            Change::Touched | Change::Unready if self.due.is_some() => return,
            Change::Unready => now + HELD_OPEN,
            Change::Made | Change::Gone | Change::Touched => now + self.together.max(ABSENCE),
        });
    }

    /// When to read it, as far as is known now.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether to read it now. Its changes up to now are no concern any more.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let due = self.due.is_some_and(|due| due <= now);
        if due {
            (self.due, self.since) = (None, None);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Change::*;

    const FEW: Duration = Duration::from_millis(5);

    /// When a file is read to which these changes happen, in milliseconds.
    fn reads(changes: &[(u64, Change)]) -> Vec<u64> {
        let begin = Instant::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let mut settling = Settling::new(FEW);
        let mut reads = Vec::new();
        let last = changes.last().expect("a change").0;
        let mut changes = changes.iter().peekable();
        for ms in 0..=last + 2 * HELD_OPEN.as_millis() as u64 {
            while let Some((_, change)) = changes.next_if(|(when, _)| *when == ms) {
                settling.note(*change, at(ms));
            }
            if settling.take(at(ms)) {
                reads.push(ms);
            }
        }
        assert_eq!(settling.due(), None, "nothing is forgotten");
        reads
    }

    #[test]
    fn a_file_is_read_when_its_writer_closes_it() {
        assert_eq!(reads(&[(0, Written), (0, Written), (1, Closed)]), [6]);
    }

    #[test]
    fn a_writer_that_pauses_is_waited_for() {
        let paused = [(0, Written), (1, Written), (1250, Written), (1251, Closed)];
        assert_eq!(reads(&paused), [1256]);
    }

    #[test]
    fn a_file_that_stays_open_is_read_some_time_after_the_last_write() {
        let held = HELD_OPEN.as_millis() as u64;
        assert_eq!(reads(&[(0, Written), (50, Written)]), [50 + held]);
        // Its close is a change like any other.
        assert_eq!(reads(&[(0, Written), (held + 50, Closed)]), [held, held + 55]);
        // A new writer before the old one's content was read.
        assert_eq!(reads(&[(0, Written), (1, Closed), (2, Written), (90, Closed)]), [90]);
    }

    #[test]
    fn a_file_that_was_moved_here_is_whole() {
        assert_eq!(reads(&[(0, Replaced)]), [5]);
        // The old file of an editor goes away first, and comes back as another.
        assert_eq!(reads(&[(0, Gone), (0, Replaced)]), [5]);
        assert_eq!(reads(&[(0, Gone), (1, Made), (1, Written), (40, Written), (41, Closed)]), [46]);
    }

    #[test]
    fn a_file_that_is_gone_is_waited_for_a_while() {
        assert_eq!(reads(&[(0, Gone)]), [100]);
        // Made, but never written: it is a link, or empty.
        assert_eq!(reads(&[(0, Made)]), [100]);
        assert_eq!(reads(&[(0, Touched)]), [100]);
        assert_eq!(reads(&[(0, Written), (3, Touched), (300, Closed)]), [305]);
    }

    #[test]
    fn what_changed_while_it_was_read_waits_for_its_writer_only() {
        let held = HELD_OPEN.as_millis() as u64;
        // Another writer has begun and closed meanwhile.
        assert_eq!(reads(&[(0, Closed), (6, Written), (7, Closed), (8, Unready)]), [5, 12]);
        assert_eq!(reads(&[(0, Closed), (6, Unready)]), [5, 6 + held]);
        assert_eq!(reads(&[(0, Closed), (6, Unready), (40, Closed)]), [5, 45]);
    }

    #[test]
    fn changes_that_never_end_are_not_waited_for() {
        let rush: Vec<(u64, Change)> = (0..60).map(|ms| (ms, Closed)).collect();
        let read = reads(&rush);
        assert_eq!(read[0], 25, "{read:?}");
    }
}

//! Who of those who share a thread is loud, and whether all are. Pure.

use super::stream::{READ_BYTES, SHARED_READ_BYTES};

/// Rounds of a count.
const ROUNDS: u32 = 64;

/// Tells how much is read at once, and how many steps in a row belong to those who have always more to
/// say: for whoever says little waits meanwhile. Where all are loud nobody does.
///
/// A read and a write have their price however little is said. When a thread is near its limit, some of
/// its switches have more waiting than one read takes. If one of these went on in a round whoever else
/// has come, rounds would be spent on the few messages of the others, and the rest would pile up.
///
/// Who has said [`SHARED_READ_BYTES`] at once in a count of rounds is loud in this and the next. A thread
/// has many rounds in a millisecond when a switch storms, and few of them are another's: what one says in an
/// answer of some length now and then does not make it loud for long.
///
/// A connection that is silent is not loud: what its switch says next is not to wait either.
pub(super) struct Company {
    /// The number of this count, never 0, and that of the one before.
    count: u32,
    before: u32,
    rounds: u32,
    /// Who was heard in this count.
    loud: usize,
    /// Whether in the count before this all were.
    all_loud: bool,
}

impl Default for Company {
    fn default() -> Company {
        Company { count: 2, before: 1, rounds: 0, loud: 0, all_loud: false }
    }
}

impl Company {
    /// How many bytes are read at once.
    #[inline]
    pub(super) fn room(&self) -> usize {
        if self.all_loud { READ_BYTES } else { SHARED_READ_BYTES }
    }

    /// How many of those that were not done with their last step have another in a round in which so
    /// many others have theirs: as many, so that a round in which many say little does much as well.
    #[inline]
    pub(super) fn steps_again(&self, others: usize) -> usize {
        if self.all_loud { usize::MAX } else { others.max(1) }
    }

    /// Whether one who was heard last in this count is loud; 0: never.
    #[inline]
    pub(super) fn is_loud(&self, last: u32) -> bool {
        last == self.count || last == self.before
    }

    /// One has said so much at once. `last` is its own: the count in which it last did, 0 at first.
    #[inline]
    pub(super) fn heard(&mut self, last: &mut u32) {
        if *last != self.count {
            *last = self.count;
            self.loud += 1;
        }
    }

    /// A round is over, and so many connections are there.
    #[inline]
    pub(super) fn round_over(&mut self, connections: usize) {
        self.rounds += 1;
        if self.rounds == ROUNDS {
            // One that has ended meanwhile may be among the loud: it is another count soon.
            self.all_loud = self.loud > 0 && self.loud >= connections;
            (self.rounds, self.loud) = (0, 0);
            self.before = self.count;
            // Who was heard four thousand million counts ago may be taken for loud, in two of them.
            self.count = self.count.checked_add(1).unwrap_or(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A count of rounds, in each of which these fill a read.
    fn count(company: &mut Company, all: &mut [u32], loud: &[usize]) {
        for _ in 0..ROUNDS {
            loud.iter().for_each(|number| company.heard(&mut all[*number]));
            company.round_over(all.len());
        }
    }

    #[test]
    fn only_where_all_are_loud_nobody_waits() {
        let (mut company, mut all) = (Company::default(), [0; 3]);
        let shared = |company: &Company| {
            let of = (company.room(), company.steps_again(0));
            assert!(of == (SHARED_READ_BYTES, 1) || of == (READ_BYTES, usize::MAX), "{of:?}");
            of.1 == 1
        };
        assert!(shared(&company));
        count(&mut company, &mut all, &[0, 1]);
        assert!(shared(&company));
        count(&mut company, &mut all, &[0, 1, 2]);
        assert!(!shared(&company));
        // What it does then does not change within a count.
        company.round_over(all.len());
        assert!(!shared(&company));
        for _ in 1..ROUNDS {
            company.round_over(all.len());
        }
        assert!(shared(&company), "nobody was heard in that count");
        count(&mut company, &mut all, &[2, 2, 2]);
        assert!(shared(&company), "one is counted once");
    }

    #[test]
    fn who_was_heard_is_loud_in_that_count_and_the_next() {
        let (mut company, mut all) = (Company::default(), [0; 2]);
        assert!(!company.is_loud(all[0]), "never heard");
        company.heard(&mut all[0]);
        for _ in 0..2 {
            assert!(company.is_loud(all[0]) && !company.is_loud(all[1]));
            count(&mut company, &mut all, &[]);
        }
        assert!(!company.is_loud(all[0]));
    }

    #[test]
    fn where_nobody_is_nobody_is_loud() {
        let mut company = Company::default();
        count(&mut company, &mut [], &[]);
        assert_eq!((company.room(), company.steps_again(0)), (SHARED_READ_BYTES, 1));
    }

    #[test]
    fn as_many_go_on_as_others_have_come() {
        let company = Company::default();
        assert_eq!([0, 1, 2, 15].map(|others| company.steps_again(others)), [1, 1, 2, 15]);
    }

    #[test]
    fn counts_go_round() {
        let mut company = Company { count: u32::MAX, ..Company::default() };
        let mut all = [u32::MAX - 1];
        for _ in 0..3 {
            count(&mut company, &mut all, &[0]);
            assert_eq!(company.room(), READ_BYTES);
        }
        assert_eq!((company.count, company.before, all), (3, 2, [2]));
    }
}

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
/// A connection that is silent is not loud: what its switch says next is not to wait either. But where each
/// has said so much when it last said anything, nobody is waited for, and all are read more of: what a path
/// needs is then near for some more of the same switch. As soon as one says little that is over.
pub(super) struct Company {
    /// The number of this count, never 0, and that of the one before.
    count: u32,
    before: u32,
    rounds: u32,
    /// How many connections there are, and how many of them have said much when they last said anything.
    all: usize,
    much: usize,
}

/// What is known of one connection.
#[derive(Debug, Default)]
pub(super) struct Voice {
    /// The last count in which it has said much, 0 at first.
    last: u32,
    /// Whether it has when it last said anything.
    much: bool,
}

impl Default for Company {
    fn default() -> Company {
        Company { count: 2, before: 1, rounds: 0, all: 0, much: 0 }
    }
}

impl Company {
    /// There is another connection.
    pub(super) fn joins(&mut self) -> Voice {
        self.all += 1;
        Voice::default()
    }

    /// There is one less.
    pub(super) fn leaves(&mut self, voice: &Voice) {
        self.all -= 1;
        self.much -= usize::from(voice.much);
    }

    #[inline]
    fn are_all_loud(&self) -> bool {
        self.much == self.all
    }

    /// How many bytes are read at once.
    #[inline]
    pub(super) fn room(&self) -> usize {
        if self.are_all_loud() { READ_BYTES } else { SHARED_READ_BYTES }
    }

    /// How many of those that were not done with their last step have another in a round in which so
    /// many others have theirs: as many, so that a round in which many say little does much as well.
    #[inline]
    pub(super) fn steps_again(&self, others: usize) -> usize {
        if self.are_all_loud() { usize::MAX } else { others.max(1) }
    }

    /// Whether one is loud.
    #[inline]
    pub(super) fn is_loud(&self, voice: &Voice) -> bool {
        voice.last == self.count || voice.last == self.before
    }

    /// One has said so many bytes at once.
    #[inline]
    pub(super) fn said(&mut self, voice: &mut Voice, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let much = bytes >= SHARED_READ_BYTES;
        if much {
            voice.last = self.count;
        }
        if much != voice.much {
            voice.much = much;
            self.much = if much { self.much + 1 } else { self.much - 1 };
        }
    }

    /// A round is over.
    #[inline]
    pub(super) fn round_over(&mut self) {
        self.rounds += 1;
        if self.rounds == ROUNDS {
            self.rounds = 0;
            self.before = self.count;
            // Who was heard four thousand million counts ago may be taken for loud, in two of them.
            self.count = self.count.checked_add(1).unwrap_or(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUCH: usize = SHARED_READ_BYTES;
    const LITTLE: usize = SHARED_READ_BYTES - 1;

    /// One with so many connections.
    fn of(connections: usize) -> (Company, Vec<Voice>) {
        let mut company = Company::default();
        let voices = (0..connections).map(|_| company.joins()).collect();
        (company, voices)
    }

    /// A count of rounds, in each of which these say much.
    fn count(company: &mut Company, all: &mut [Voice], loud: &[usize]) {
        for _ in 0..ROUNDS {
            loud.iter().for_each(|number| company.said(&mut all[*number], MUCH));
            company.round_over();
        }
    }

    /// Whether those that say little are to be waited for.
    fn is_shared(company: &Company) -> bool {
        let of = (company.room(), company.steps_again(0));
        assert!(of == (SHARED_READ_BYTES, 1) || of == (READ_BYTES, usize::MAX), "{of:?}");
        of.1 == 1
    }

    #[test]
    fn only_where_all_are_loud_nobody_waits() {
        let (mut company, mut all) = of(3);
        let mut say = |company: &mut Company, number: usize, bytes| {
            company.said(&mut all[number], bytes);
            is_shared(company)
        };
        assert!(is_shared(&company));
        assert!(say(&mut company, 0, MUCH) && say(&mut company, 1, MUCH));
        assert!(say(&mut company, 1, MUCH), "one is counted once");
        assert!(!say(&mut company, 2, MUCH));
        assert!(!say(&mut company, 1, 0), "it was not read");
        assert!(say(&mut company, 1, LITTLE) && say(&mut company, 1, LITTLE));
        assert!(say(&mut company, 2, LITTLE) && say(&mut company, 1, MUCH));
        assert!(!say(&mut company, 2, MUCH));
    }

    #[test]
    fn one_that_comes_is_waited_for_and_one_that_has_gone_is_not() {
        let (mut company, mut all) = of(2);
        count(&mut company, &mut all, &[0, 1]);
        assert!(!is_shared(&company));
        let third = company.joins();
        assert!(is_shared(&company));
        company.leaves(&third);
        assert!(!is_shared(&company));
        company.said(&mut all[0], LITTLE);
        assert!(is_shared(&company));
        // The one who says little goes; then the last.
        company.leaves(&all[0]);
        assert!(!is_shared(&company));
        company.leaves(&all[1]);
        let fourth = company.joins();
        assert!(is_shared(&company) && !company.is_loud(&fourth));
    }

    #[test]
    fn who_was_heard_is_loud_in_that_count_and_the_next() {
        let (mut company, mut all) = of(2);
        assert!(!company.is_loud(&all[0]), "never heard");
        company.said(&mut all[0], MUCH);
        for _ in 0..2 {
            assert!(company.is_loud(&all[0]) && !company.is_loud(&all[1]));
            company.said(&mut all[0], LITTLE);
            count(&mut company, &mut all, &[]);
        }
        assert!(!company.is_loud(&all[0]));
    }

    #[test]
    fn as_many_go_on_as_others_have_come() {
        let (company, _) = of(1);
        assert_eq!([0, 1, 2, 15].map(|others| company.steps_again(others)), [1, 1, 2, 15]);
    }

    #[test]
    fn counts_go_round() {
        let (mut company, mut all) = of(1);
        company.count = u32::MAX;
        all[0].last = u32::MAX - 1;
        for _ in 0..3 {
            count(&mut company, &mut all, &[0]);
        }
        assert_eq!((company.count, company.before, all[0].last), (3, 2, 2));
    }
}

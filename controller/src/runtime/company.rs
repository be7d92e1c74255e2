//! Who of those who share a thread is loud, and whether all are. Pure.

use super::stream::{READ_BYTES, SHARED_READ_BYTES};

/// Rounds of a count.
const ROUNDS: u32 = 64;
/// A count is over as well when so many bytes were read of each connection, on the average: a round in which
/// all storm takes long.
const BYTES: usize = 4 * READ_BYTES;

/// Tells how much is read at once, and how many steps in a row belong to those who have always more to
/// say: for whoever says little waits meanwhile. Where all are loud nobody does.
///
/// A read and a write have their price however little is said. When a thread is near its limit, some of
/// its switches have more waiting than one read takes. If one of these went on in a round whoever else
/// has come, rounds would be spent on the few messages of the others, and the rest would pile up.
///
/// Who has said [`SHARED_READ_BYTES`] at once in a count of rounds is loud in this and the next. A thread
/// has many rounds in a millisecond when a switch storms, and few of them are another's, and where all are
/// loud a count is as long as it takes to read of each what four reads get: what one says in an answer of some
/// length now and then does not make it loud for long.
///
/// A connection that is silent is not loud: what its switch says next is not to wait either. But where all
/// are loud all are read more of: it is what works off a backlog. That is so from the moment on in which the
/// last of them is heard, and does not end with the first that says little again: if it did, one that has
/// caught up before the others would hold them up, who could be offered more than they are then read of.
pub(super) struct Company {
    /// The number of this count, and that of the one before; neither is 0.
    count: u64,
    before: u64,
    rounds: u32,
    bytes: usize,
    /// How many connections there are; how many of them were heard in this count; and how many only in the
    /// one before.
    all: usize,
    now: usize,
    lately: usize,
}

/// What is known of one connection: the last count in which it has said much, 0 at first.
#[derive(Debug, Default)]
pub(super) struct Voice(u64);

impl Default for Company {
    fn default() -> Company {
        Company { count: 2, before: 1, rounds: 0, bytes: 0, all: 0, now: 0, lately: 0 }
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
        self.forget(voice);
    }

    fn forget(&mut self, &Voice(last): &Voice) {
        if last == self.count {
            self.now -= 1;
        } else if last == self.before {
            self.lately -= 1;
        }
    }

    #[inline]
    fn are_all_loud(&self) -> bool {
        self.now + self.lately == self.all
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
    pub(super) fn is_loud(&self, &Voice(last): &Voice) -> bool {
        last == self.count || last == self.before
    }

    /// One has said so many bytes at once.
    #[inline]
    pub(super) fn said(&mut self, voice: &mut Voice, bytes: usize) {
        self.bytes += bytes;
        if bytes >= SHARED_READ_BYTES && voice.0 != self.count {
            self.forget(voice);
            voice.0 = self.count;
            self.now += 1;
        }
    }

    /// A round is over.
    #[inline]
    pub(super) fn round_over(&mut self) {
        self.rounds += 1;
        if self.rounds == ROUNDS || self.bytes >= BYTES * self.all.max(1) {
            (self.rounds, self.bytes) = (0, 0);
            self.before = self.count;
            (self.lately, self.now) = (self.now, 0);
            self.count += 1;
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
        assert!(say(&mut company, 2, LITTLE));
        assert!(!say(&mut company, 2, MUCH));
        assert!(!say(&mut company, 1, LITTLE), "it has caught up before the others");
    }

    #[test]
    fn who_was_heard_is_loud_in_that_count_and_the_next() {
        let (mut company, mut all) = of(2);
        assert!(!company.is_loud(&all[0]), "never heard");
        company.said(&mut all[0], MUCH);
        // The other is heard in each count, and by itself.
        for _ in 0..2 {
            company.said(&mut all[1], MUCH);
            assert!(company.is_loud(&all[0]) && !is_shared(&company));
            company.said(&mut all[0], LITTLE);
            count(&mut company, &mut all, &[]);
        }
        company.said(&mut all[1], MUCH);
        assert!(!company.is_loud(&all[0]) && is_shared(&company));
        count(&mut company, &mut all, &[0]);
        assert!(!is_shared(&company));
    }

    #[test]
    fn a_count_is_over_sooner_where_much_is_read() {
        let (mut company, mut all) = of(2);
        company.said(&mut all[1], MUCH);
        let mut read = MUCH;
        let mut rounds = 0;
        while company.is_loud(&all[1]) {
            company.said(&mut all[0], READ_BYTES);
            company.round_over();
            read += READ_BYTES;
            rounds += 1;
        }
        assert!(read.abs_diff(2 * 2 * BYTES) <= 2 * READ_BYTES, "{read}");
        assert!(rounds < ROUNDS / 2);
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
        // One was heard in this count, one in that before; both go.
        company.said(&mut all[0], MUCH);
        let fourth = company.joins();
        company.leaves(&all[0]);
        assert!(is_shared(&company));
        company.leaves(&fourth);
        assert!(!is_shared(&company));
        company.leaves(&all[1]);
        let mut fifth = company.joins();
        assert!(is_shared(&company) && !company.is_loud(&fifth));
        company.said(&mut fifth, MUCH);
        assert!(!is_shared(&company));
    }

    #[test]
    fn as_many_go_on_as_others_have_come() {
        let (company, _) = of(1);
        assert_eq!([0, 1, 2, 15].map(|others| company.steps_again(others)), [1, 1, 2, 15]);
    }
}

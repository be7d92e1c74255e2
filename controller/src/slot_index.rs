//! Slots of a slab by a hash of what is in them. Pure.
//!
//! ```text
//!   words   │ – │ hash slot │ hash slot │ – │ …     32 bits each; the place is the hash's lowest bits,
//!                                                   or behind it, where nothing is between
//! ```
//! Hashes are to be of a kind whose upper half spreads what is regular, as addresses of hosts are: one
//! that keeps steps between keys as steps between places makes long runs of them.
//!
//! Whoever looks for a slot waits for one line of memory, and another only where what is between two
//! free places crosses over to it. The slab is not asked when the index grows, or something is taken
//! out.

/// How many words there are at the least.
const FEWEST: usize = 8;

/// The index. Of one hash there may be several slots.
#[derive(Debug, Default)]
pub(crate) struct SlotIndex {
    /// A power of two of them; at most three of four are used.
    words: Box<[Word]>,
    used: usize,
}

/// A slot and half of its hash; 0: none. The slot is counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Word(u64);

impl Word {
    fn new(hash: u64, slot: u32) -> Word {
        Word(hash >> 32 << 32 | u64::from(slot + 1))
    }

    fn is_free(self) -> bool {
        self.0 == 0
    }

    fn hash(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn slot(self) -> u32 {
        self.0 as u32 - 1
    }
}

impl SlotIndex {
    /// Nothing is in it.
    pub(crate) fn new() -> SlotIndex {
        SlotIndex::default()
    }

    /// The slot of this hash of which `is_it` is true.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.place(hash, is_it).map(|at| self.words[at].slot())
    }

    /// Puts a slot below `u32::MAX` in, which is not there.
    pub(crate) fn insert(&mut self, hash: u64, slot: u32) {
        if (self.used + 1) * 4 > self.words.len() * 3 {
            self.grow();
        }
        self.used += 1;
        self.put(Word::new(hash, slot));
    }

    /// Takes a slot out, if it is there.
    pub(crate) fn remove(&mut self, hash: u64, slot: u32) {
        let Some(mut free) = self.place(hash, |other| other == slot) else { return };
        self.used -= 1;
        // Those behind it move up if they may, so that nothing is free between them and their places.
        let mut at = free;
        loop {
            at = self.next(at);
            let word = self.words[at];
            if word.is_free() {
                break;
            }
            let home = self.home_of(word.hash());
            if self.distance(home, at) >= self.distance(free, at) {
                self.words[free] = word;
                free = at;
            }
        }
        self.words[free] = Word::default();
    }

    /// Takes all out.
    pub(crate) fn clear(&mut self) {
        *self = SlotIndex::new();
    }

    #[inline]
    fn place(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<usize> {
        let mut at = self.home(hash);
        // Of those that are not used there is one, unless there are none.
        while let Some(word) = self.words.get(at).filter(|word| !word.is_free()) {
            if word.hash() == (hash >> 32) as u32 && is_it(word.slot()) {
                return Some(at);
            }
            at = self.next(at);
        }
        None
    }

    /// How many words are looked at to find each of what is in it, on the average.
    #[cfg(test)]
    pub(crate) fn steps(&self) -> f64 {
        let used = self.words.iter().enumerate().filter(|(_, word)| !word.is_free());
        let steps = used.map(|(at, word)| self.distance(self.home_of(word.hash()), at) + 1);
        steps.sum::<usize>() as f64 / self.used.max(1) as f64
    }

    fn put(&mut self, word: Word) {
        let mut at = self.home_of(word.hash());
        while !self.words[at].is_free() {
            at = self.next(at);
        }
        self.words[at] = word;
    }

    fn grow(&mut self) {
        let words = vec![Word::default(); (self.words.len() * 2).max(FEWEST)].into();
        for word in std::mem::replace(&mut self.words, words) {
            if !word.is_free() {
                self.put(word);
            }
        }
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        self.home_of((hash >> 32) as u32)
    }

    #[inline]
    fn home_of(&self, hash: u32) -> usize {
        hash as usize & self.words.len().wrapping_sub(1)
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.words.len() - 1)
    }

    /// From a place on to another, around the end.
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.words.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn found(index: &SlotIndex, hash: u64) -> BTreeSet<u32> {
        let mut slots = BTreeSet::new();
        index.find(hash, |slot| {
            assert!(slots.insert(slot), "twice");
            false
        });
        slots
    }

    #[test]
    fn an_index_grows_and_is_as_full_as_it_may_be() {
        let mut index = SlotIndex::new();
        assert_eq!(index.find(7 << 32, |_| true), None);
        index.remove(7 << 32, 7);
        for slot in 0..10_000 {
            index.insert(u64::from(slot) << 32, slot);
            let places = index.words.len();
            assert!(places.is_power_of_two() && index.used * 4 <= places * 3);
            assert!(places <= FEWEST || index.used * 8 > places * 3, "more than it needs");
        }
        for slot in 0..10_000 {
            assert_eq!(index.find(u64::from(slot) << 32, |_| true), Some(slot));
        }
        assert_eq!(size_of::<Word>(), 8);
    }

    proptest! {
        /// It has what was put in and not taken out; hashes are few and close together, around the end
        /// of the words, too.
        #[test]
        fn it_has_what_was_put_in(
            steps in prop::collection::vec((0u64..12, 0u32..40, any::<bool>()), 0..200),
        ) {
            let hash = |n: u64| (n.wrapping_sub(6)) << 32 | 0xfeed;
            let (mut index, mut all) = (SlotIndex::new(), BTreeSet::new());
            for (n, slot, put) in steps {
                if put && all.insert((n, slot)) {
                    index.insert(hash(n), slot);
                } else if !put {
                    all.remove(&(n, slot));
                    index.remove(hash(n), slot);
                }
                prop_assert_eq!(index.used, all.len());
                for n in 0..12 {
                    let slots: BTreeSet<_> =
                        all.iter().filter(|(of, _)| *of == n).map(|(_, slot)| *slot).collect();
                    prop_assert_eq!(found(&index, hash(n)), slots);
                }
            }
        }
    }
}

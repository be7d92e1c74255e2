//! Hash tables in pieces that policies share: a change copies one piece. Pure.

use std::sync::Arc;

use hashbrown::HashTable;

/// How many values a piece has room for before its table doubles: 7/8 of its buckets.
const ROOM: usize = 3584;
/// How many values a piece is made for. Pieces are of nearly equal size, so that hardly one needs
/// more than its room; tables that are well filled are half of a policy's memory.
const FILL: usize = 3392;

/// A hash table in pieces. The hash of a value is its user's business, who must not let it decide
/// an order. It is to be of a kind that spreads what is regular, as addresses are: with one that is only
/// fast, one seed in twenty makes a piece too small, and a rare one most of them.
#[derive(Clone, Debug)]
pub(crate) struct Shards<T>(Vec<Arc<HashTable<T>>>);

impl<T: Clone> Shards<T> {
    /// An empty table for about so many values.
    pub(crate) fn for_about(values: usize) -> Shards<T> {
        let shards = values.div_ceil(FILL).max(1);
        let room = if shards == 1 { 0 } else { ROOM };
        Shards((0..shards).map(|_| Arc::new(HashTable::with_capacity(room))).collect())
    }

    /// The piece of a hash. Its own buckets go by the lowest bits of the hash, their tags by the
    /// highest; this takes those between.
    fn piece(&self, hash: u64) -> usize {
        let between = (hash >> 20) & 0xffff_ffff;
        ((between * self.0.len() as u64) >> 32) as usize
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, is: impl FnMut(&T) -> bool) -> Option<&T> {
        self.0[self.piece(hash)].find(hash, is)
    }

    /// The piece of a hash, to be changed: a copy of its own if policies share it.
    pub(crate) fn piece_mut(&mut self, hash: u64) -> &mut HashTable<T> {
        let piece = self.piece(hash);
        Arc::make_mut(&mut self.0[piece])
    }

    /// All values, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(|piece| piece.iter())
    }
}

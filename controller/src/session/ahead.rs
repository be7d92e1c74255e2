//! A look at messages before their turn. Pure.
//!
//! A path that ends is one of thousands, and other switches had their turns since it was needed last:
//! its slot is in no near cache, and to wait for it takes as long as hundreds of instructions. If it is
//! asked for some messages before, nobody waits. A read would not do, for it is waited for as well.

use umlaut_openflow::{ended_entry, next_frame};

use crate::switch::Switch;

/// How many messages ahead: what they take is about as long as memory does.
const AHEAD: usize = 8;

/// Which message of a turn is looked at next, and where it begins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ahead {
    number: usize,
    at: usize,
}

impl Ahead {
    /// Asks for what the next messages need. The one whose turn it is has this number, and ends there.
    #[inline]
    pub(super) fn look(&mut self, input: &[u8], (number, end): (usize, usize), switch: &Switch) {
        if self.number <= number {
            *self = Ahead { number: number + 1, at: end };
        }
        while self.number <= number + AHEAD {
            let rest = &input[self.at..];
            // What is not whole yet, or no message, is seen in its turn.
            let Ok(Some(length)) = next_frame(rest) else { return };
            if let Some((_, cookie, _)) = ended_entry(&rest[..length]) {
                switch.expect_end(cookie);
            }
            *self = Ahead { number: self.number + 1, at: self.at + length };
        }
    }
}

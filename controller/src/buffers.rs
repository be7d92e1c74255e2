//! Room for what connections read and write, which those of a thread lend one another. Pure.
//!
//! ```text
//!   switch 1   borrow │ read turns write │ give back
//!   switch 2                                        borrow │ read turns write │ give back
//!                └──────── the same memory, still in the near caches ────┘
//! ```
//! What a switch has sent is done with by the end of a step, and so is most of what it is sent. Room of
//! its own would be as large as its largest step, and far away when its turn comes: the rooms of some
//! switches are together more than a processor keeps near. Of those to be lent it is the one given back
//! last.

use bytes::BytesMut;

/// Rooms kept to be lent, of each kind. As many are lent as connections have something under way at a
/// time; what is given back beyond that is freed.
pub(crate) const KEPT: usize = 64;
/// The largest room that is kept. A switch that is to get all its entries anew, or does not read, has a
/// larger one for a while.
const KEPT_BYTES: usize = 256 << 10;

/// Rooms that nobody has at the moment. Each thread has its own.
#[derive(Debug, Default)]
pub struct Buffers {
    inputs: Vec<Input>,
    outputs: Vec<BytesMut>,
}

impl Buffers {
    /// None yet: they are made by those who need them.
    pub fn new() -> Buffers {
        Buffers::default()
    }

    /// An empty one.
    #[inline]
    pub(crate) fn lend_input(&mut self) -> Input {
        self.inputs.pop().unwrap_or_default()
    }

    /// What was left in it is forgotten.
    #[inline]
    pub(crate) fn take_input(&mut self, mut input: Input) {
        if (1..=KEPT_BYTES).contains(&input.room.len()) && self.inputs.len() < KEPT {
            input.take(input.len());
            self.inputs.push(input);
        }
    }

    /// An empty one.
    #[inline]
    pub(crate) fn lend_output(&mut self) -> BytesMut {
        self.outputs.pop().unwrap_or_default()
    }

    /// What was left in it is forgotten.
    #[inline]
    pub(crate) fn take_output(&mut self, mut output: BytesMut) {
        output.clear();
        // What was written lies before it. More than it has is there only from the beginning on.
        let more = output.capacity() + 1;
        let _ = output.try_reclaim(more);
        if (1..=KEPT_BYTES).contains(&output.capacity()) && self.outputs.len() < KEPT {
            self.outputs.push(output);
        }
    }
}

/// What has come and is not done with, and room for more.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// What has come lies in `from..to`; all has been written to once, so that it can be read into.
    room: Vec<u8>,
    from: usize,
    to: usize,
}

impl Input {
    /// What is not done with.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.room[self.from..self.to]
    }

    /// How much that is.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.to - self.from
    }

    /// Whether it has no room, and was not lent one.
    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        self.room.is_empty()
    }

    /// So many of these bytes are done with.
    #[inline]
    pub(crate) fn take(&mut self, bytes: usize) {
        self.from += bytes;
        debug_assert!(self.from <= self.to, "more than has come");
        if self.from >= self.to {
            (self.from, self.to) = (0, 0);
        }
    }

    /// Room of so many bytes behind what has come. What is in it means nothing.
    #[inline]
    pub(crate) fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.room.len() - self.to < bytes {
            self.make_room(bytes);
        }
        &mut self.room[self.to..self.to + bytes]
    }

    #[cold]
    fn make_room(&mut self, bytes: usize) {
        self.room.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.len());
        if self.room.len() - self.to < bytes {
            self.room.resize(self.to + bytes, 0);
        }
    }

    /// So many bytes have come, and were put into the room for them.
    #[inline]
    pub(crate) fn came(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.room.len() - self.to, "there was no room for them");
        self.to += bytes;
    }

    /// These have come.
    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
        self.came(bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// It is a queue of bytes, whatever room it has to begin with.
        #[test]
        fn what_comes_is_what_is_taken(
            first in 0..300usize,
            all in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), 0..300usize), 0..40),
        ) {
            let (mut input, mut model) = (Input::default(), Vec::new());
            input.room(first).fill(0xff);
            for (bytes, taken) in all {
                input.put(&bytes);
                model.extend_from_slice(&bytes);
                prop_assert_eq!((input.bytes(), input.len()), (&model[..], model.len()));
                let taken = taken.min(model.len());
                input.take(taken);
                model.drain(..taken);
                prop_assert_eq!(input.bytes(), &model[..]);
            }
        }
    }

    #[test]
    fn a_queue_that_is_never_empty_takes_no_more_and_no_more_room() {
        let mut input = Input::default();
        input.put(&[1; 10]);
        for _ in 0..1_000 {
            input.put(&[2; 100]);
            input.take(100);
        }
        assert_eq!(input.len(), 10);
        assert!(input.room.len() <= 220, "{}", input.room.len());
    }

    #[test]
    fn what_was_given_back_last_is_lent_first_and_from_its_beginning() {
        let mut buffers = Buffers::new();
        let (mut input, mut output) = (buffers.lend_input(), buffers.lend_output());
        assert!(input.is_none() && output.capacity() == 0);
        input.put(&[1; 1000]);
        output.extend_from_slice(&[1; 1000]);
        let (room, written) = (input.bytes().as_ptr(), output.as_ptr());
        input.take(990);
        output.advance(990);
        buffers.take_input(Input { room: vec![0; 10], from: 0, to: 0 });
        buffers.take_output(BytesMut::with_capacity(10));
        buffers.take_input(input);
        buffers.take_output(output);
        let (mut input, mut output) = (buffers.lend_input(), buffers.lend_output());
        assert!(input.len() == 0 && output.is_empty());
        input.put(&[2; 1000]);
        output.extend_from_slice(&[2; 1000]);
        assert_eq!((input.bytes().as_ptr(), output.as_ptr()), (room, written));
    }

    #[test]
    fn few_are_kept_and_none_that_are_large_or_nothing() {
        let mut buffers = Buffers::new();
        for room in [0, KEPT_BYTES + 1] {
            buffers.take_input(Input { room: vec![0; room], from: 0, to: 0 });
            buffers.take_output(BytesMut::with_capacity(room));
        }
        assert!(buffers.inputs.is_empty() && buffers.outputs.is_empty());
        for _ in 0..2 * KEPT {
            buffers.take_input(Input { room: vec![0; KEPT_BYTES], from: 0, to: 0 });
            buffers.take_output(BytesMut::with_capacity(KEPT_BYTES));
        }
        assert_eq!((buffers.inputs.len(), buffers.outputs.len()), (KEPT, KEPT));
    }
}

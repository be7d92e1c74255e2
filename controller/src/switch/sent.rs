//! What was sent of late, by transaction id, so that it is known what an error message answers. Pure.
//!
//! ```text
//!   words    │ … │ path │ – │ path │ – │ application │ beside │ …    one for each message
//!   beside                                                └──▶ hop, or path with a buffer
//! ```
//! Transaction ids follow one another, so they are places in a ring. It is written for every message,
//! and has been round since a place was written before: what is written waits for memory. A message
//! takes a word there; what has no room in it is seldom sent.

use std::collections::VecDeque;

use umlaut_openflow::{BufferId, Xid};

use crate::app::AppNo;
use crate::path::{HopName, PathRef, SessionNo};
use crate::request::Place;

/// How many messages of late are remembered to tell what an error message speaks of. An error that
/// comes later is reported without its path. Divides the number of transaction ids.
const REMEMBERED: usize = 8192;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    /// With the switch's copy of the frame that it was sent for.
    Ingress(PathRef, Option<BufferId>),
    Hop(HopName),
    /// Something that an application sent, and where it is kept if it is.
    App(AppNo, Option<Place>),
    Other,
}

/// The messages of one session.
#[derive(Debug)]
pub(super) struct Ledger {
    session: SessionNo,
    next: u32,
    words: Vec<Word>,
    beside: VecDeque<Sent>,
    /// How many were ever put there.
    put_beside: u32,
}

/// What one message was. The lowest two bits tell what the others are.
#[derive(Clone, Copy, Debug)]
struct Word(u64);

const OTHER: u64 = 0;
/// Slot and generation of a path of this session.
const PATH: u64 = 1;
/// Number of an application, and a place.
const APP: u64 = 2;
/// How many were put beside before.
const BESIDE: u64 = 3;
const KIND: u64 = 3;

impl Word {
    fn of(sent: Sent, session: SessionNo) -> Option<Word> {
        Some(Word(match sent {
            Sent::Other => OTHER,
            Sent::Ingress(path, None) if path.session == session => {
                u64::from(path.slot) << 32 | u64::from(path.generation) << 2 | PATH
            }
            Sent::App(app, place) => {
                u64::from(app.0) << 2 | place.map_or(0, Place::packed) << 10 | APP
            }
            Sent::Ingress(..) | Sent::Hop(_) => return None,
        }))
    }
}

impl Ledger {
    /// Nothing was sent. Transaction ids begin with 1.
    pub(super) fn new(session: SessionNo) -> Ledger {
        Ledger { session, next: 1, words: Vec::new(), beside: VecDeque::new(), put_beside: 0 }
    }

    /// The transaction id of the next message.
    #[inline]
    pub(super) fn next(&self) -> Xid {
        Xid(self.next)
    }

    /// Those of the next two.
    #[inline]
    pub(super) fn next_two(&self) -> [Xid; 2] {
        [Xid(self.next), Xid(self.next.wrapping_add(1))]
    }

    /// Uses up a transaction id.
    #[inline]
    pub(super) fn note(&mut self, sent: Sent) -> Xid {
        let word = match Word::of(sent, self.session) {
            Some(word) => word,
            None => self.note_beside(sent),
        };
        let (xid, at) = (Xid(self.next), self.next.wrapping_sub(1) as usize % REMEMBERED);
        self.next = self.next.wrapping_add(1);
        match self.words.get_mut(at) {
            Some(place) => *place = word,
            None => self.words.push(word),
        }
        xid
    }

    #[inline(never)]
    fn note_beside(&mut self, sent: Sent) -> Word {
        if self.beside.len() >= REMEMBERED {
            self.beside.pop_front();
        }
        self.beside.push_back(sent);
        let number = self.put_beside;
        self.put_beside = number.wrapping_add(1);
        Word(u64::from(number) << 2 | BESIDE)
    }

    /// What was sent under a transaction id, if it is remembered.
    pub(super) fn of(&self, xid: Xid) -> Option<Sent> {
        let age = self.next.wrapping_sub(xid.0) as usize;
        if age == 0 || age > self.words.len() {
            return None;
        }
        let Word(word) = *self.words.get(xid.0.wrapping_sub(1) as usize % REMEMBERED)?;
        match word & KIND {
            OTHER => Some(Sent::Other),
            PATH => {
                let (slot, generation) = ((word >> 32) as u32, (word >> 2) as u16);
                Some(Sent::Ingress(PathRef { session: self.session, slot, generation }, None))
            }
            APP => Some(Sent::App(AppNo((word >> 2) as u8), Place::unpacked(word >> 10))),
            _ => {
                let back = self.put_beside.wrapping_sub((word >> 2) as u32) as usize;
                self.beside.get(self.beside.len().checked_sub(back)?).copied()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use umlaut_openflow::PortNo;

    use super::*;
    use crate::path::Leg;

    const OWN: SessionNo = SessionNo(7);

    fn path() -> impl Strategy<Value = PathRef> {
        let session = prop_oneof![4 => Just(OWN), 1 => Just(SessionNo(8))];
        (session, any::<u32>(), any::<u16>()).prop_map(|(session, slot, generation)| PathRef {
            session,
            slot,
            generation,
        })
    }

    fn sent() -> impl Strategy<Value = Sent> {
        let buffer =
            prop_oneof![3 => Just(None), 1 => any::<u32>().prop_map(|n| Some(BufferId(n)))];
        prop_oneof![
            3 => (path(), buffer).prop_map(|(path, buffer)| Sent::Ingress(path, buffer)),
            1 => (path(), any::<u32>()).prop_map(|(path, port)| {
                Sent::Hop(HopName { path, leg: Leg::Forward, in_port: PortNo(port) })
            }),
            2 => (any::<u8>(), 1..u64::from(u16::MAX), any::<u32>()).prop_map(|(app, length, at)| {
                Sent::App(AppNo(app), Place::unpacked(length << 32 | u64::from(at)))
            }),
            1 => any::<u8>().prop_map(|app| Sent::App(AppNo(app), None)),
            3 => Just(Sent::Other),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// What is remembered is what was noted, and that is so of the last ones and of no others;
        /// also where transaction ids begin again.
        #[test]
        fn it_remembers_the_last(
            all in prop::collection::vec(sent(), 1..200),
            begins in prop_oneof![Just(1), Just(u32::MAX - 20_000)],
        ) {
            let mut ledger = Ledger::new(OWN);
            ledger.next = begins;
            // As if what was sent before were remembered.
            if begins > 1 {
                (0..REMEMBERED).for_each(|_| { ledger.note(Sent::Other); });
            }
            let mut noted = Vec::new();
            for sent in all.iter().cycle().take(30_000) {
                prop_assert_eq!(ledger.of(ledger.next()), None);
                noted.push((ledger.note(*sent), *sent));
            }
            let (forgotten, last) = noted.split_at(noted.len() - REMEMBERED);
            for (xid, sent) in last {
                prop_assert_eq!(ledger.of(*xid), Some(*sent));
            }
            prop_assert!(forgotten.iter().all(|(xid, _)| ledger.of(*xid).is_none()));
            prop_assert!(ledger.words.len() == REMEMBERED && ledger.beside.len() <= REMEMBERED);
        }
    }

    #[test]
    fn a_few_messages_take_little_memory() {
        let mut ledger = Ledger::new(OWN);
        for xid in 1..=40 {
            assert_eq!(ledger.note(Sent::Other), Xid(xid));
        }
        assert!(ledger.words.capacity() <= 64);
        assert_eq!([0, 41, 42].map(|xid| ledger.of(Xid(xid))), [None; 3]);
        assert_eq!(ledger.of(Xid(1)), Some(Sent::Other));
    }
}

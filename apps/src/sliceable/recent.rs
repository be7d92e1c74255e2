//! What was found out about hosts a moment ago: where a sender is admitted, where the frames for a
//! receiver go. Pure.
//!
//! Most new paths are between hosts that have others. What the decision asks about the two of them is
//! looked up in many tables; here it is in one place each. Nothing is decided here: an answer is what
//! the decision's own functions gave, and it holds as long as all that they read is as it was, the
//! World by its revision, the host table by its count of changes of that host ([`Switch::stamp`]).
//!
//! [`Switch::stamp`]: umlaut_controller::Switch::stamp

use std::collections::HashMap;

use foldhash::fast::RandomState;
use umlaut_openflow::{Attachment, MacAddr, Vid};
use umlaut_slice_db::{Admission, Destination, Location, SliceId};

/// Senders, and as many receivers, of one switch. When there are as many, all are forgotten and found
/// out again.
const RECENT: usize = 16_384;

/// What an answer stands on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Standing {
    /// The World revision.
    pub(super) revision: u64,
    /// What the host table said of changes of the host, before it was asked.
    pub(super) stamp: u32,
}

/// Where frames for a receiver go: the host is there, and so is the point.
#[derive(Clone, Copy, Debug)]
struct Place {
    to: Attachment,
    tentative: bool,
}

/// In words, which a hasher takes fastest.
type Key = (u64, u64);
type Table<V> = HashMap<Key, (Standing, V), RandomState>;

/// The hosts of one switch's frames.
#[derive(Debug, Default)]
pub(super) struct Recent {
    senders: Table<Admission>,
    receivers: Table<Place>,
}

impl Recent {
    /// What is known of a sender at an attachment of this switch: it is admitted, and the host table
    /// says that it is there.
    pub(super) fn sender(
        &self,
        mac: MacAddr,
        at: Attachment,
        standing: Standing,
    ) -> Option<Admission> {
        find(&self.senders, sender(mac, at), standing)
    }

    pub(super) fn note_sender(
        &mut self,
        mac: MacAddr,
        at: Attachment,
        standing: Standing,
        admission: Admission,
    ) {
        note(&mut self.senders, sender(mac, at), standing, admission);
    }

    /// What is known of a receiver.
    pub(super) fn receiver(
        &self,
        mac: MacAddr,
        slice: SliceId,
        standing: Standing,
    ) -> Option<Destination> {
        let Place { to, tentative } = find(&self.receivers, receiver(mac, slice), standing)?;
        Some(Destination::At { location: Location { at: to, tentative }, to })
    }

    /// Notes where a receiver is, if it is at a point of its slice.
    pub(super) fn note_receiver(
        &mut self,
        mac: MacAddr,
        slice: SliceId,
        standing: Standing,
        destination: Destination,
    ) {
        if let Destination::At { location: Location { at, tentative }, to } = destination
            && at == to
        {
            let place = Place { to, tentative };
            note(&mut self.receivers, receiver(mac, slice), standing, place);
        }
    }
}

fn receiver(mac: MacAddr, slice: SliceId) -> Key {
    (mac.to_u64(), slice.0.into())
}

fn sender(mac: MacAddr, at: Attachment) -> Key {
    let vid = match at.vid {
        Vid::Untagged => 0,
        Vid::Tagged(vid) => vid.number(),
    };
    (mac.to_u64(), u64::from(at.port.0) << 16 | u64::from(vid))
}

fn find<V: Copy>(table: &Table<V>, key: Key, standing: Standing) -> Option<V> {
    table.get(&key).filter(|(stood_on, _)| *stood_on == standing).map(|(_, answer)| *answer)
}

fn note<V>(table: &mut Table<V>, key: Key, standing: Standing, answer: V) {
    if table.len() >= RECENT && !table.contains_key(&key) {
        table.clear();
    }
    table.insert(key, (standing, answer));
}

#[cfg(test)]
mod tests {
    use umlaut_openflow::{DatapathId, PortNo};
    use umlaut_slice_db::{AdmittedBy, MemberId};

    use super::*;

    const HERE: Attachment =
        Attachment { dpid: DatapathId(1), port: PortNo(1), vid: Vid::Untagged };
    const SLICE: SliceId = SliceId(3);

    fn standing(revision: u64, stamp: u32) -> Standing {
        Standing { revision, stamp }
    }

    #[test]
    fn an_answer_holds_until_what_it_stands_on_changes() {
        let (mut recent, mac) = (Recent::default(), MacAddr::from_u64(7));
        let admission = Admission { slice: SLICE, by: AdmittedBy::Mac, member: MemberId(1) };
        recent.note_sender(mac, HERE, standing(1, 1), admission);
        let location = Location { at: HERE, tentative: false };
        let there = Destination::At { location, to: HERE };
        recent.note_receiver(mac, SLICE, standing(1, 1), there);
        assert_eq!(recent.sender(mac, HERE, standing(1, 1)), Some(admission));
        assert_eq!(recent.receiver(mac, SLICE, standing(1, 1)), Some(there));
        for other in [standing(2, 1), standing(1, 2)] {
            assert_eq!(recent.sender(mac, HERE, other), None);
            assert_eq!(recent.receiver(mac, SLICE, other), None);
        }
        let elsewhere = Attachment { port: PortNo(2), ..HERE };
        assert_eq!(recent.sender(mac, elsewhere, standing(1, 1)), None);
        assert_eq!(recent.receiver(mac, SliceId(4), standing(1, 1)), None);
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let mut recent = Recent::default();
        let admission = Admission { slice: SLICE, by: AdmittedBy::Mac, member: MemberId(1) };
        for mac in 0..=RECENT as u64 {
            recent.note_sender(MacAddr::from_u64(mac), HERE, standing(1, 1), admission);
        }
        assert_eq!(recent.senders.len(), 1);
    }
}

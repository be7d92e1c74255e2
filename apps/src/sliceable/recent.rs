//! What was found out about hosts a moment ago: where a sender is admitted, where the frames for a
//! receiver go. Pure.
//!
//! Most new paths are between hosts that have others. What the decision asks about the two of them is
//! looked up in many tables; here it is in one place each. Nothing is decided here: an answer is what
//! the decision's own functions gave, and it holds as long as all that they read is as it was, the
//! World by its revision, the host table by its count of changes of that host ([`Switch::stamp`]).
//!
//! [`Switch::stamp`]: umlaut_controller::Switch::stamp

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use umlaut_openflow::{Attachment, MacAddr, PortNo, Vid};
use umlaut_slice_db::{Admission, Destination, Location, SliceId};

/// Hosts of one switch's frames. When there are as many, all are forgotten and found out again.
const RECENT: usize = 16_384;

/// What an answer stands on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Standing {
    /// The World revision.
    pub(super) revision: u64,
    /// What the host table said of changes of the host, before it was asked.
    pub(super) stamp: u32,
}

/// A host as a sender: it is admitted there, and the host table says that it is there.
#[derive(Clone, Copy, Debug)]
struct Sender {
    port: PortNo,
    vid: Vid,
    admission: Admission,
}

/// A host as a receiver: it is there, and so is the point.
#[derive(Clone, Copy, Debug)]
struct Receiver {
    slice: SliceId,
    to: Attachment,
    tentative: bool,
}

/// What was found out about a host, in one line of memory: a new path has two of them, which are the
/// most that it waits for.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Host {
    mac: MacAddr,
    stamp: u32,
    revision: u64,
    sender: Option<Sender>,
    receiver: Option<Receiver>,
}

const _: () = assert!(size_of::<Host>() == 64);

impl Host {
    fn stands_on(&self, standing: Standing) -> bool {
        self.stamp == standing.stamp && self.revision == standing.revision
    }

    /// What is known of it as a sender at an attachment of this switch: it is admitted, and the host
    /// table says that it is there.
    pub(super) fn sends_from(&self, at: Attachment, standing: Standing) -> Option<Admission> {
        let sender = self.sender.filter(|_| self.stands_on(standing))?;
        ((sender.port, sender.vid) == (at.port, at.vid)).then_some(sender.admission)
    }

    /// Where frames of this slice for it go.
    pub(super) fn receives(&self, slice: SliceId, standing: Standing) -> Option<Destination> {
        let Receiver { slice: of, to, tentative } =
            self.receiver.filter(|_| self.stands_on(standing))?;
        let location = Location { at: to, tentative };
        (of == slice).then_some(Destination::At { location, to })
    }
}

/// The hosts of one switch's frames, by address. One that is in several slices has its last answers.
#[derive(Default)]
pub(super) struct Recent {
    hosts: HashTable<Host>,
    hasher: RandomState,
}

impl Recent {
    pub(super) fn host(&self, mac: MacAddr) -> Option<&Host> {
        self.hosts.find(hash(&self.hasher, mac), |host| host.mac == mac)
    }

    pub(super) fn note_sender(
        &mut self,
        mac: MacAddr,
        at: Attachment,
        standing: Standing,
        admission: Admission,
    ) {
        let sender = Sender { port: at.port, vid: at.vid, admission };
        self.entry(mac, standing).sender = Some(sender);
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
            self.entry(mac, standing).receiver = Some(Receiver { slice, to, tentative });
        }
    }

    /// What is known of a host that stands on this; nothing else is kept of it.
    fn entry(&mut self, mac: MacAddr, standing: Standing) -> &mut Host {
        let Recent { hosts, hasher } = self;
        let Standing { revision, stamp } = standing;
        let nothing = Host { mac, stamp, revision, sender: None, receiver: None };
        let of_it = hash(hasher, mac);
        if hosts.len() >= RECENT && hosts.find(of_it, |host| host.mac == mac).is_none() {
            hosts.clear();
        }
        let host = hosts
            .entry(of_it, |host| host.mac == mac, |host| hash(hasher, host.mac))
            .or_insert(nothing)
            .into_mut();
        if !host.stands_on(standing) {
            *host = nothing;
        }
        host
    }
}

/// A hasher takes words faster than bytes.
fn hash(hasher: &RandomState, mac: MacAddr) -> u64 {
    hasher.hash_one(mac.to_u64())
}

#[cfg(test)]
mod tests {
    use umlaut_openflow::{DatapathId, VlanId};
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
        let host = *recent.host(mac).unwrap();
        assert_eq!(host.sends_from(HERE, standing(1, 1)), Some(admission));
        assert_eq!(host.receives(SLICE, standing(1, 1)), Some(there));
        for other in [standing(2, 1), standing(1, 2)] {
            assert_eq!(host.sends_from(HERE, other), None);
            assert_eq!(host.receives(SLICE, other), None);
        }
        let vid = Vid::Tagged(VlanId::new(1).unwrap());
        for elsewhere in [Attachment { port: PortNo(2), ..HERE }, Attachment { vid, ..HERE }] {
            assert_eq!(host.sends_from(elsewhere, standing(1, 1)), None);
        }
        assert_eq!(host.receives(SliceId(4), standing(1, 1)), None);
        assert!(recent.host(MacAddr::from_u64(8)).is_none());
    }

    #[test]
    fn what_stood_on_less_does_not_come_back_with_an_answer_of_the_other_kind() {
        let (mut recent, mac) = (Recent::default(), MacAddr::from_u64(7));
        let admission = Admission { slice: SLICE, by: AdmittedBy::Mac, member: MemberId(1) };
        let location = Location { at: HERE, tentative: true };
        let there = Destination::At { location, to: HERE };
        recent.note_sender(mac, HERE, standing(1, 1), admission);
        recent.note_receiver(mac, SLICE, standing(1, 2), there);
        let host = *recent.host(mac).unwrap();
        assert_eq!(host.receives(SLICE, standing(1, 2)), Some(there));
        for old in [standing(1, 1), standing(1, 2)] {
            assert_eq!(host.sends_from(HERE, old), None);
        }
        recent.note_sender(mac, HERE, standing(2, 2), admission);
        let host = *recent.host(mac).unwrap();
        assert_eq!(host.sends_from(HERE, standing(2, 2)), Some(admission));
        assert_eq!(host.receives(SLICE, standing(2, 2)), None);
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let mut recent = Recent::default();
        let admission = Admission { slice: SLICE, by: AdmittedBy::Mac, member: MemberId(1) };
        for mac in 0..=RECENT as u64 {
            recent.note_sender(MacAddr::from_u64(mac), HERE, standing(1, 1), admission);
        }
        assert_eq!(recent.hosts.len(), 1);
    }
}

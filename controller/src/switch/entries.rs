//! The flow entries of applications on a switch of 1.0, where no cookie mask keeps the deletions of
//! one from the entries of another. Pure.
//!
//! Each entry gets a cookie of its own on the wire, so that what the switch tells of an entry finds
//! it whatever happened since. A modification or deletion becomes strict ones of the entries that the
//! application made itself and that are covered.
//!
//! An entry is a slot of 64 bytes, and its cookie names the slot and counts what was added before: to
//! add one again, which is what an application does most, is one look-up and a new count.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use umlaut_openflow::{Action, Cookie, Criteria, FlowMod, Instruction, Match, MatchKey, PortNo};

use crate::app::AppNo;
use crate::path::{app_cookie, of_app};

/// Entries of applications on one switch of 1.0. When there are as many, a further one is refused.
pub const ENTRIES: usize = 1 << SLOT_BITS;

/// The priority that [`FlowMod::add`] gives.
const PRIORITY: u16 = 0x8000;

/// Bits of a cookie for the slot; the other 40 of the application's 56 count.
const SLOT_BITS: u32 = 16;
const COUNTED: u64 = (1 << (56 - SLOT_BITS)) - 1;

/// An entry, from its flow-mod until the switch says that it ended: a line of the cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(align(64))]
pub(crate) struct Entry {
    key: MatchKey,
    /// Whose it is, and the cookie as the application gave it.
    maker: Cookie,
    /// How many were added before, over all.
    made: u64,
    priority: u16,
    outputs: Outputs,
    state: State,
    /// Whether the application wants to know when it ends.
    pub(crate) told: bool,
}

const _: () = assert!(size_of::<Entry>() == 64);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Free,
    Stands,
    /// A deletion was sent, and the switch has not told of its end.
    Deleted,
}

/// Where an entry sends frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outputs {
    None,
    /// One port, by its number in 1.0.
    One(u16),
    /// Any others, in [`Entries::outputs`].
    Many,
}

impl Entry {
    pub(crate) fn app(&self) -> AppNo {
        AppNo((self.maker.0 >> 56) as u8)
    }

    /// As the application gave it.
    pub(crate) fn cookie(&self) -> Cookie {
        of_app(self.maker).map_or(self.maker, |(_, own)| own)
    }

    fn on_wire(&self, slot: u16) -> Cookie {
        let number = Cookie((self.made & COUNTED) << SLOT_BITS | u64::from(slot));
        app_cookie(self.app(), number).unwrap_or_default()
    }
}

/// Where an entry stands, and the number that it got when it was added. No two have the same, and none has
/// 0.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Standing {
    made: u64,
    slot: u16,
}

/// The entries of one switch.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    slots: Vec<Entry>,
    free: Vec<u16>,
    /// The slots of those that stand, by what makes two entries one for the switch: match and priority.
    standing: HashTable<u16>,
    /// The ports of entries that have several, by slot.
    outputs: HashMap<u16, Vec<PortNo>, RandomState>,
    hasher: RandomState,
    made: u64,
}

impl Entries {
    pub(crate) fn clear(&mut self) {
        // Cookies of entries that there were before are never given again.
        *self = Entries { made: self.made, ..Entries::default() };
    }

    /// Enters what an add makes, whose match on the wire is `key` and whose cookie is `maker`, with the
    /// application's number; one with the same match and priority is replaced, whoever made it.
    /// Returns the cookie of the entry on the wire; none if there are too many.
    pub(crate) fn add(
        &mut self,
        maker: Cookie,
        add: &FlowMod,
        key: MatchKey,
        told: bool,
    ) -> Option<Cookie> {
        let slot = self.place(key, add.priority)?;
        let outputs = self.note_outputs(slot, &add.instructions);
        Some(self.put(slot, (maker, key, add.priority), outputs, told))
    }

    /// As [`Entries::add`], of an entry as [`FlowMod::add`] makes it that sends frames out of one port.
    /// Tells, too, where it stands.
    pub(crate) fn add_pair(
        &mut self,
        maker: Cookie,
        key: MatchKey,
        to: PortNo,
    ) -> Option<(Cookie, Standing)> {
        let one = Outputs::One(to.to_v10()?);
        let slot = self.place(key, PRIORITY)?;
        self.note_no_others(slot);
        let cookie = self.put(slot, (maker, key, PRIORITY), one, false);
        Some((cookie, Standing { made: self.made, slot }))
    }

    /// As [`Entries::add_pair`], of an entry that [`Entries::add_pair`] added; none if it does not stand
    /// there any more as it was added then.
    #[inline]
    pub(crate) fn add_pair_again(
        &mut self,
        standing: Standing,
        maker: Cookie,
        to: PortNo,
    ) -> Option<(Cookie, Standing)> {
        let Standing { made, slot } = standing;
        let one = Outputs::One(to.to_v10()?);
        let entry = self.slots.get(usize::from(slot))?;
        if entry.made != made || entry.state != State::Stands {
            return None;
        }
        let key = entry.key;
        self.note_no_others(slot);
        let cookie = self.put(slot, (maker, key, PRIORITY), one, false);
        Some((cookie, Standing { made: self.made, slot }))
    }

    /// The slot of an entry that stands, or a free one where it stands from now on.
    fn place(&mut self, key: MatchKey, priority: u16) -> Option<u16> {
        let Entries { slots, free, standing, hasher, .. } = self;
        let hash = hasher.hash_one((key, priority));
        let same = |slot: &u16| {
            let entry = &slots[usize::from(*slot)];
            entry.key == key && entry.priority == priority
        };
        if let Some(slot) = standing.find(hash, same) {
            return Some(*slot);
        }
        let slot = free.pop().or_else(|| u16::try_from(slots.len()).ok())?;
        standing.insert_unique(hash, slot, |slot| {
            let entry = &slots[usize::from(*slot)];
            hasher.hash_one((entry.key, entry.priority))
        });
        Some(slot)
    }

    /// Puts an entry into its slot, and returns its cookie on the wire.
    fn put(
        &mut self,
        slot: u16,
        (maker, key, priority): (Cookie, MatchKey, u16),
        outputs: Outputs,
        told: bool,
    ) -> Cookie {
        self.made += 1;
        let (made, state) = (self.made, State::Stands);
        let entry = Entry { key, maker, made, priority, outputs, state, told };
        match self.slots.get_mut(usize::from(slot)) {
            Some(place) => *place = entry,
            None => self.slots.push(entry),
        }
        entry.on_wire(slot)
    }

    fn note_outputs(&mut self, slot: u16, instructions: &[Instruction]) -> Outputs {
        let actions = match instructions {
            [Instruction::Apply(actions)] => actions.as_slice(),
            _ => &[],
        };
        let noted = match actions {
            [Action::Output { port, .. }] if let Some(port) = port.to_v10() => Outputs::One(port),
            _ if outputs(instructions).next().is_none() => Outputs::None,
            _ => Outputs::Many,
        };
        if noted == Outputs::Many {
            self.outputs.insert(slot, outputs(instructions).collect());
        } else {
            self.note_no_others(slot);
        }
        noted
    }

    /// The entry in this slot sends frames to one port at most.
    fn note_no_others(&mut self, slot: u16) {
        if !self.outputs.is_empty() {
            self.outputs.remove(&slot);
        }
    }

    fn has_output(&self, slot: u16, entry: &Entry, port: PortNo) -> bool {
        match entry.outputs {
            Outputs::None => false,
            Outputs::One(one) => port.to_v10() == Some(one),
            Outputs::Many => self.outputs.get(&slot).is_some_and(|ports| ports.contains(&port)),
        }
    }

    /// The entries of an application that a modification or deletion means, with the cookies that
    /// they have on the wire, in the order in which they were made.
    pub(crate) fn chosen(
        &self,
        app: AppNo,
        flow_mod: &FlowMod,
        strict: bool,
    ) -> Vec<(Cookie, Match, u16)> {
        let (cookie, mask) = (flow_mod.cookie.0, flow_mod.cookie_mask);
        // What 1.0 cannot say, as part of a MAC address, is compared field by field.
        let key = MatchKey::new(&flow_mod.matches);
        let criteria = Criteria::new(&flow_mod.matches);
        let means = |entry: &Entry| match (&key, strict) {
            (Ok(key), true) => entry.key == *key,
            (Ok(key), false) => key.covers(&entry.key),
            (Err(_), true) => Criteria::new(&entry.key.to_match()) == criteria,
            (Err(_), false) => criteria.covers(&Criteria::new(&entry.key.to_match())),
        };
        let to = flow_mod.out_port;
        let chosen = |(entry, slot): &(&Entry, u16)| {
            entry.state == State::Stands
                && entry.app() == app
                && (entry.cookie().0 ^ cookie) & mask == 0
                && (!strict || entry.priority == flow_mod.priority)
                && (to == PortNo::ANY || self.has_output(*slot, entry, to))
                && means(entry)
        };
        let mut chosen: Vec<_> = self.slots.iter().zip(0..=u16::MAX).filter(chosen).collect();
        chosen.sort_unstable_by_key(|(entry, _)| entry.made);
        let strictly = |(entry, slot): (&Entry, u16)| {
            (entry.on_wire(slot), entry.key.to_match(), entry.priority)
        };
        chosen.into_iter().map(strictly).collect()
    }

    /// A deletion of an entry was sent: nothing else finds it from now on.
    pub(crate) fn deleted(&mut self, cookie: Cookie) {
        let Some(slot) = self.slot(cookie) else { return };
        let entry = &mut self.slots[usize::from(slot)];
        if entry.state == State::Stands {
            entry.state = State::Deleted;
            let hash = self.hasher.hash_one((entry.key, entry.priority));
            if let Ok(place) = self.standing.find_entry(hash, |other| *other == slot) {
                place.remove();
            }
        }
    }

    /// A modification of an entry was sent.
    pub(crate) fn modified(&mut self, cookie: Cookie, instructions: &[Instruction]) {
        if let Some(slot) = self.slot(cookie) {
            let outputs = self.note_outputs(slot, instructions);
            self.slots[usize::from(slot)].outputs = outputs;
        }
    }

    /// All of them, for comparison.
    #[cfg(test)]
    pub(super) fn all(&self) -> (&[Entry], &[u16], usize) {
        (&self.slots, &self.free, self.standing.len())
    }

    /// The entry with this cookie on the wire.
    pub(crate) fn find(&self, cookie: Cookie) -> Option<&Entry> {
        self.slot(cookie).map(|slot| &self.slots[usize::from(slot)])
    }

    /// Its slot, if it is the one that lies there.
    fn slot(&self, cookie: Cookie) -> Option<u16> {
        let (_, number) = of_app(cookie)?;
        let slot = number.0 as u16;
        let entry = self.slots.get(usize::from(slot))?;
        (entry.state != State::Free && entry.on_wire(slot) == cookie).then_some(slot)
    }

    /// An entry ended, or the switch refused it.
    pub(crate) fn remove(&mut self, cookie: Cookie) -> Option<Entry> {
        self.deleted(cookie);
        let slot = self.slot(cookie)?;
        self.free.push(slot);
        self.outputs.remove(&slot);
        let entry = &mut self.slots[usize::from(slot)];
        let ended = *entry;
        entry.state = State::Free;
        Some(ended)
    }
}

fn outputs(instructions: &[Instruction]) -> impl Iterator<Item = PortNo> {
    let actions = instructions.iter().flat_map(|instruction| match instruction {
        Instruction::Apply(actions) | Instruction::Write(actions) => actions.as_slice(),
        _ => &[],
    });
    actions.filter_map(|action| match action {
        Action::Output { port, .. } | Action::Enqueue { port, .. } => Some(*port),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use umlaut_openflow::{MacAddr, Masked};

    use super::*;

    const A: AppNo = AppNo(1);
    const B: AppNo = AppNo(2);

    fn to(port: u32) -> Match {
        Match::new().tcp_dst(port as u16).with_prerequisites()
    }

    fn entry(port: u32) -> FlowMod {
        FlowMod::add(to(port)).cookie(Cookie(7)).apply(vec![Action::output(PortNo(port))])
    }

    fn add(entries: &mut Entries, app: AppNo, entry: &FlowMod) -> Cookie {
        let key = MatchKey::new(&entry.matches).unwrap();
        entries.add(maker(app, entry), entry, key, false).unwrap()
    }

    fn maker(app: AppNo, entry: &FlowMod) -> Cookie {
        app_cookie(app, entry.cookie).unwrap()
    }

    fn chosen(entries: &Entries, app: AppNo, flow_mod: &FlowMod, strict: bool) -> Vec<Match> {
        entries.chosen(app, flow_mod, strict).into_iter().map(|(_, matches, _)| matches).collect()
    }

    #[test]
    fn a_deletion_means_what_the_application_made_itself_and_it_covers() {
        let mut entries = Entries::default();
        for (app, port) in [(A, 1), (B, 2), (A, 3)] {
            add(&mut entries, app, &entry(port));
        }
        add(&mut entries, A, &entry(4).cookie(Cookie(8)));
        let all = FlowMod::delete(Match::new());
        assert_eq!(chosen(&entries, A, &all, false), [to(1), to(3), to(4)]);
        assert_eq!(chosen(&entries, B, &all, false), [to(2)]);
        assert_eq!(chosen(&entries, A, &FlowMod::delete(to(2)), false), []);
        assert_eq!(chosen(&entries, A, &all.clone().with_output_to(PortNo(3)), false), [to(3)]);
        let marked = FlowMod { cookie: Cookie(8), cookie_mask: u64::MAX, ..all };
        assert_eq!(chosen(&entries, A, &marked, false), [to(4)]);
        let strict = FlowMod::delete_strict(to(3), 0x8000);
        assert_eq!(chosen(&entries, A, &strict, true), [to(3)]);
        assert_eq!(chosen(&entries, A, &strict.priority(1), true), []);
        // One that is added again is the last that was made.
        add(&mut entries, A, &entry(1));
        let all = FlowMod::delete(Match::new());
        assert_eq!(chosen(&entries, A, &all, false), [to(3), to(4), to(1)]);
    }

    #[test]
    fn an_entry_is_found_by_each_of_its_outputs() {
        let mut entries = Entries::default();
        let to = |ports: &[u32]| -> Vec<Action> {
            ports.iter().map(|port| Action::output(PortNo(*port))).collect()
        };
        let by = |entries: &Entries, port| {
            let all = FlowMod::delete(Match::new()).with_output_to(port);
            chosen(entries, A, &all, false).len()
        };
        let host = |n: u32| FlowMod::add(Match::new().in_port(PortNo(n)));
        add(&mut entries, A, &host(1).apply(to(&[1, 2, 3])));
        add(&mut entries, A, &host(2).apply(to(&[2])));
        add(&mut entries, A, &host(3));
        let flood = add(&mut entries, A, &host(4).apply([Action::output(PortNo::FLOOD)]));
        let ports = [PortNo(1), PortNo(2), PortNo(3), PortNo(4), PortNo::FLOOD];
        assert_eq!(ports.map(|port| by(&entries, port)), [1, 2, 1, 0, 1]);
        entries.modified(flood, &host(4).apply(to(&[3, 4])).instructions);
        assert_eq!(ports.map(|port| by(&entries, port)), [1, 2, 2, 1, 0]);
        add(&mut entries, A, &host(1).apply(to(&[4])));
        assert_eq!(ports.map(|port| by(&entries, port)), [0, 1, 1, 2, 0]);
        entries.remove(flood);
        assert_eq!(ports.map(|port| by(&entries, port)), [0, 1, 0, 1, 0]);
        assert!(entries.outputs.is_empty());
    }

    #[test]
    fn a_deletion_may_say_what_1_0_cannot() {
        let mut entries = Entries::default();
        let host = |n| Match::new().eth_dst(MacAddr::from_u64(n));
        for n in [0x0100_0000_0001, 0x0200_0000_0001] {
            add(&mut entries, A, &FlowMod::add(host(n)));
        }
        let group = MacAddr::from_u64(1 << 40);
        let groups = Match::new().eth_dst(Masked { value: group, mask: Some(group) });
        assert_eq!(chosen(&entries, A, &FlowMod::delete(groups), false), [host(0x0100_0000_0001)]);
        let whole =
            Masked { value: MacAddr::from_u64(0x0200_0000_0001), mask: Some(MacAddr([0xff; 6])) };
        let strict = FlowMod::delete_strict(Match::new().eth_dst(whole), 0x8000);
        assert_eq!(chosen(&entries, A, &strict, true), [host(0x0200_0000_0001)]);
    }

    #[test]
    fn an_entry_is_found_by_its_cookie_until_it_ended() {
        let mut entries = Entries::default();
        let first = add(&mut entries, A, &entry(1));
        assert_eq!(entries.find(first).map(|e| (e.cookie(), e.told)), Some((Cookie(7), false)));
        entries.deleted(first);
        assert_eq!(chosen(&entries, A, &FlowMod::delete(to(1)), false), []);
        // The same entry again, before the switch told of the end of the first.
        let key = MatchKey::new(&to(1)).unwrap();
        let second = entries.add(maker(A, &entry(1)), &entry(1), key, true).unwrap();
        assert!(entries.remove(first).is_some());
        assert_eq!(chosen(&entries, A, &FlowMod::delete(to(1)), false), [to(1)]);
        assert!(entries.remove(second).is_some_and(|entry| entry.told));
        assert_eq!(entries.remove(second), None);
        // Another one in its slot is another one.
        let third = add(&mut entries, A, &entry(1));
        assert_ne!(third, second);
        assert!(entries.find(second).is_none() && entries.find(third).is_some());
        entries.remove(third);
        assert!(
            entries.slots.iter().all(|entry| entry.state == State::Free)
                && entries.standing.is_empty()
        );
    }

    #[test]
    fn one_that_is_added_over_another_takes_its_place() {
        let mut entries = Entries::default();
        let old = add(&mut entries, A, &entry(1));
        add(&mut entries, B, &entry(1));
        assert_eq!(entries.find(old), None);
        assert_eq!(chosen(&entries, A, &FlowMod::delete(Match::new()), false), []);
        assert_eq!(chosen(&entries, B, &FlowMod::delete(Match::new()), false), [to(1)]);
        assert_eq!(entries.slots.len(), 1);
    }

    #[test]
    fn what_exceeds_the_slots_is_refused_and_what_is_there_can_be_added_again() {
        let mut entries = Entries::default();
        let of = |port: usize| FlowMod::add(Match::new().in_port(PortNo(1)).eth_type(port as u16));
        let cookies: Vec<_> = (0..ENTRIES).map(|n| add(&mut entries, A, &of(n))).collect();
        let further = of(1).priority(1);
        let key = MatchKey::new(&further.matches).unwrap();
        assert_eq!(entries.add(maker(A, &further), &further, key, false), None);
        let again = add(&mut entries, A, &of(1));
        assert!(entries.find(cookies[1]).is_none() && entries.find(again).is_some());
        // A deleted one keeps its slot until it ended: the switch is going to tell of it.
        entries.deleted(cookies[2]);
        assert_eq!(entries.add(maker(A, &further), &further, key, false), None);
        entries.remove(cookies[2]);
        assert!(entries.add(maker(A, &further), &further, key, false).is_some());
    }
}

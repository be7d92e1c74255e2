//! The paths that enter at one switch: a slab of packed entries, found by flow key or by host. Pure.
//!
//! What most paths have lies in a slot that is one line of memory: frames in at one port and out at
//! another of the same switch, all sent. What they have in common with others is told by a number
//! (`classes.rs`); what only few have lies in a table beside. The index by key holds 8 bytes a path and
//! asks the slab. By host there is no index, only a tag of 4 bytes for each of a path's two:
//! paths come and go all the time and hosts move seldom, so a path writes its tags and no more, and
//! when hosts have changed all tags are looked through, once for all of them.
//!
//! [`Path`] is what a slot says, for all who are not in a hurry.

mod classes;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher};
use std::time::Instant;

use foldhash::quality::RandomState;
use umlaut_openflow::packet::{Headers, PackedHeaders};
use umlaut_openflow::{Attachment, DatapathId, FieldSet, MacAddr, PortNo, Vid};

use crate::app::AppNo;
use crate::concerned::Concerned;
use crate::hosts::{Domain, HostKey};
use crate::near::fetch;
use crate::path::{DropClass, FlowKey, Hop, Hops, Kind, Path, PathRef, Route, SessionNo, State};
use crate::slot_index::SlotIndex;
use crate::storm::BucketNo;
use classes::{Class, ClassNo, Classes};

/// How many paths one switch registers. When it is full, frames of further paths are forwarded one
/// by one.
pub const REGISTRY_PATHS: usize = (1 << 20) - 1;
/// How many widths a frame is looked up under before it is decided like one never seen.
const WIDTHS_TRIED: usize = 4;
/// Bits of the sieve that tells tags of hosts from others: a thousand hosts let few others through.
const SIEVE: usize = 1 << 16;

#[repr(align(64))]
struct Slot {
    headers: PackedHeaders,
    domain: Domain,
    in_port: PortNo,
    egress_port: PortNo,
    /// See [`Known::stamp`].
    stamp: u32,
    /// The lower half of the revision that it was last decided under.
    revision: u32,
    class: ClassNo,
    generation: u16,
    /// See [`Known::bucket`].
    bucket: BucketNo,
    holds: Holds,
}

// Fabrics have millions of paths, and whoever asks for one waits for one line.
const _: () = assert!(size_of::<Slot>() == 64);

/// What a slot holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Nothing,
    /// A path on this switch alone.
    Single,
    /// A path with more to it.
    Forward,
    Drop(DropClass),
}

/// What only few paths have.
#[derive(Clone)]
struct More {
    egress: DatapathId,
    hops: Hops,
    reverse: Hops,
    wants_reverse: bool,
    state: State,
    until: Option<Instant>,
}

/// A registered path that forwards frames out of a port of the same switch, all of it sent: all that
/// is asked before such a frame is sent on like the one before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) name: PathRef,
    pub(crate) app: AppNo,
    pub(crate) domain: Domain,
    pub(crate) width: FieldSet,
    pub(crate) out_port: PortNo,
    pub(crate) vid: Vid,
    pub(crate) idle_timeout: u16,
    pub(crate) hard_timeout: u16,
    /// The World revision that it was last decided under.
    pub(crate) revision: u64,
    /// What the host table said of changes of its two hosts before it was decided, and when that
    /// was, in one number; 0: that was not noted.
    pub(crate) stamp: u32,
    /// Where the bucket of its packet-ins was found last.
    pub(crate) bucket: BucketNo,
}

impl Known {
    /// Whether this path does the same as another of its key.
    pub(crate) fn goes_as(&self, other: &Known) -> bool {
        (self.app, self.domain, self.out_port, self.vid)
            == (other.app, other.domain, other.out_port, other.vid)
            && (self.idle_timeout, self.hard_timeout) == (other.idle_timeout, other.hard_timeout)
    }
}

/// What is registered under a key.
pub(crate) enum Held {
    /// Nothing: there is a place for [`Registry::add_single`].
    Nothing(Place),
    Single(Known),
    /// Something that has more to it, or a drop entry.
    Other,
}

/// Where a path of some key is to be found: the hash of the key, which has been made already.
pub(crate) struct Place(u64);

/// The registry of one session.
pub struct Registry {
    session: SessionNo,
    dpid: DatapathId,
    slots: Vec<Slot>,
    free: Vec<u32>,
    hasher: RandomState,
    by_key: SlotIndex,
    /// The hashes of sender and receiver of each slot's path; of a free slot those of its last one.
    tags: Vec<[u32; 2]>,
    classes: Classes,
    /// Of slots whose path is not of the plain kind.
    more: HashMap<u32, Box<More>, RandomState>,
    /// The newest revision that any path was decided under: each is told by its lower half, as none is
    /// older by as much as that counts.
    newest: u64,
}

/// The registry is full: there are [`REGISTRY_PATHS`] paths, or 65,536 kinds of them that differ in
/// application, width, VLAN or time-outs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegistryFull;

impl Registry {
    /// An empty registry of a session with a switch.
    pub fn new(session: SessionNo, dpid: DatapathId) -> Registry {
        Registry {
            session,
            dpid,
            slots: Vec::new(),
            free: Vec::new(),
            hasher: RandomState::default(),
            by_key: SlotIndex::new(),
            tags: Vec::new(),
            classes: Classes::default(),
            more: HashMap::default(),
            newest: 0,
        }
    }

    /// How many paths are registered.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether none is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of slots, used and free: the end of a walk by slot.
    pub fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    // ---- questions ----

    /// The path in a slot, with its name.
    pub fn at(&self, slot: u32) -> Option<(PathRef, Path)> {
        let stored = self.slots.get(slot as usize)?;
        let more = self.more.get(&slot).map(|more| More::clone(more));
        let path = stored.path(self.dpid, &self.classes, more, self.revision(stored))?;
        Some((self.name(slot, stored.generation), path))
    }

    fn name(&self, slot: u32, generation: u16) -> PathRef {
        PathRef { session: self.session, slot, generation }
    }

    /// The whole revision that a path was last decided under.
    fn revision(&self, stored: &Slot) -> u64 {
        self.newest - u64::from((self.newest as u32).wrapping_sub(stored.revision))
    }

    fn slot(&self, path: PathRef) -> Option<&Slot> {
        let stored = self.slots.get(path.slot as usize)?;
        let same = path.session == self.session && stored.generation == path.generation;
        (same && stored.holds != Holds::Nothing).then_some(stored)
    }

    /// Whether a path is registered.
    pub fn contains(&self, path: PathRef) -> bool {
        self.slot(path).is_some()
    }

    /// Where a path's frames come in.
    pub fn enters_at(&self, path: PathRef) -> Option<PortNo> {
        self.slot(path).map(|stored| stored.in_port)
    }

    /// Whether a path waits for other switches.
    pub fn is_installing(&self, path: PathRef) -> bool {
        self.slot(path).is_some_and(|stored| stored.holds == Holds::Forward)
            && self.more.get(&path.slot).is_some_and(|more| more.state != State::Installed)
    }

    /// The revision that the path in a slot was last decided under.
    pub fn revision_at(&self, slot: u32) -> Option<u64> {
        let stored = self.slots.get(slot as usize)?;
        (stored.holds != Holds::Nothing).then(|| self.revision(stored))
    }

    /// What an application is asked again about the path in a slot: whose it is, and which frames.
    pub fn question_at(&self, slot: u32) -> Option<(PathRef, AppNo, FlowKey)> {
        let stored = self.slots.get(slot as usize)?;
        let held = stored.holds != Holds::Nothing;
        held.then(|| {
            // That of a slot that is free may be another's by now, or none.
            let class = self.classes.of(stored.class);
            (self.name(slot, stored.generation), class.app, stored.key(class))
        })
    }

    /// The path in a slot, if it was decided under this revision and what has changed since concerns
    /// none of its hosts, nor the ports where it enters and leaves.
    pub(crate) fn unconcerned_at(
        &self,
        slot: u32,
        revision: u64,
        concerned: &Concerned,
    ) -> Option<PathRef> {
        let stored = self.slots.get(slot as usize)?;
        let egress = match stored.holds {
            Holds::Nothing => return None,
            Holds::Single => Some(self.dpid),
            Holds::Forward => Some(self.more.get(&slot)?.egress),
            // It goes nowhere, by its hosts and where it enters.
            Holds::Drop(DropClass::Denied) => None,
            // Where it would go is not noted; and what a storm asked for goes in any case.
            Holds::Drop(DropClass::NoPath | DropClass::Storm) => return None,
        };
        let width = self.classes.of(stored.class).width;
        let touched = self.revision(stored) != revision
            || !width.contains(FieldSet::ETH_SRC.union(FieldSet::ETH_DST))
            || concerned.has_mac(stored.headers.eth_src())
            || concerned.has_mac(stored.headers.eth_dst())
            || concerned.has_port((self.dpid, stored.in_port))
            || egress.is_some_and(|dpid| concerned.has_port((dpid, stored.egress_port)));
        (!touched).then(|| self.name(slot, stored.generation))
    }

    /// Whether a path that stays on this switch does what a route asks for, and its entry matches all
    /// that was read for it.
    pub fn does(&self, path: PathRef, route: &Route) -> bool {
        self.slot(path).is_some_and(|stored| {
            let class = self.classes.of(stored.class);
            stored.holds == Holds::Single
                && *route == Route { width: route.width, ..stored.route(class, self.dpid, false) }
                && class.width.contains(route.width.with_prerequisites())
        })
    }

    /// A path by name; `None` if it is of another session or its slot has another tenant.
    pub fn by_ref(&self, path: PathRef) -> Option<Path> {
        self.slot(path)?;
        self.at(path.slot).map(|(_, path)| path)
    }

    /// The path of a flow key.
    pub fn by_key(&self, key: &FlowKey) -> Option<(PathRef, Path)> {
        let headers = PackedHeaders::new(&key.headers, key.width);
        let slot = self.find(key.in_port, key.width, &headers)?;
        self.at(slot)
    }

    fn hash(&self, in_port: PortNo, width: FieldSet, headers: &PackedHeaders) -> u64 {
        hash(&self.hasher, in_port, width, headers)
    }

    fn find(&self, in_port: PortNo, width: FieldSet, headers: &PackedHeaders) -> Option<u32> {
        self.find_at(self.hash(in_port, width, headers), in_port, width, headers)
    }

    fn find_at(
        &self,
        hash: u64,
        in_port: PortNo,
        width: FieldSet,
        headers: &PackedHeaders,
    ) -> Option<u32> {
        self.by_key.find(hash, |slot| {
            let stored = &self.slots[slot as usize];
            stored.in_port == in_port
                && stored.headers == *headers
                && self.classes.of(stored.class).width == width
        })
    }

    /// The path of frames like this one, if it is of the plain kind. Several may be: what is decided
    /// of such frames is the same under each.
    pub(crate) fn known(&mut self, in_port: PortNo, headers: &Headers) -> Option<Known> {
        let tried = self.classes.widths().take(WIDTHS_TRIED);
        let (at, slot) = tried.enumerate().find_map(|(at, width)| {
            let packed = PackedHeaders::new(headers, width);
            Some((at, self.find(in_port, width, &packed)?))
        })?;
        self.classes.had_width(at);
        self.single(slot)
    }

    #[inline]
    fn single(&self, slot: u32) -> Option<Known> {
        let stored = &self.slots[slot as usize];
        let Class { width, vid, idle_timeout, hard_timeout, app, .. } =
            *self.classes.of(stored.class);
        (stored.holds == Holds::Single).then(|| Known {
            name: self.name(slot, stored.generation),
            app,
            domain: stored.domain,
            width,
            out_port: stored.egress_port,
            vid,
            idle_timeout,
            hard_timeout,
            revision: self.revision(stored),
            stamp: stored.stamp,
            bucket: stored.bucket,
        })
    }

    /// What is registered under a key.
    pub(crate) fn held(&self, in_port: PortNo, width: FieldSet, headers: &PackedHeaders) -> Held {
        let hash = self.hash(in_port, width, headers);
        match self.find_at(hash, in_port, width, headers).map(|slot| self.single(slot)) {
            None => Held::Nothing(Place(hash)),
            Some(Some(known)) => Held::Single(known),
            Some(None) => Held::Other,
        }
    }

    /// The paths from or to any of these hosts, in slot order. Looks through the tags of all slots: a
    /// nanosecond or two for each.
    pub fn by_hosts(&self, hosts: &[HostKey]) -> Vec<PathRef> {
        let mut sieve = [0u64; SIEVE / 64];
        for (domain, mac) in hosts {
            let (word, bit) = in_sieve(self.tag(*domain, *mac));
            sieve[word] |= bit;
        }
        let hosts: HashSet<HostKey, RandomState> = hosts.iter().copied().collect();
        let passes = |tag: &u32| {
            let (word, bit) = in_sieve(*tag);
            sieve[word] & bit != 0
        };
        let found = (0..self.slots()).zip(&self.tags).filter_map(|(slot, tags)| {
            if !tags.iter().any(passes) {
                return None;
            }
            let stored = &self.slots[slot as usize];
            let macs = [stored.headers.eth_src(), stored.headers.eth_dst()];
            let of_one = macs.iter().any(|mac| hosts.contains(&(stored.domain, *mac)));
            (stored.depends_on_hosts() && of_one).then(|| self.name(slot, stored.generation))
        });
        found.collect()
    }

    fn tag(&self, domain: Domain, mac: MacAddr) -> u32 {
        self.hasher.hash_one((domain.0, mac.to_u64())) as u32
    }

    /// Asks for what is in a slot ([`fetch`]).
    #[inline]
    pub(crate) fn fetch(&self, slot: u32) {
        if let Some(slot) = self.slots.get(slot as usize) {
            fetch(slot);
        }
    }

    // ---- changes ----

    /// Registers a path. The caller has removed an earlier one of the same key.
    ///
    /// # Errors
    /// [`RegistryFull`].
    pub fn add(&mut self, path: Path) -> Result<PathRef, RegistryFull> {
        let revision = path.revision;
        let Parts { stored, class, more } = Parts::of(path, self.dpid);
        let hash = self.hash(stored.in_port, class.width, &stored.headers);
        let name = self.put(hash, stored, class, revision)?;
        if let Some(more) = more {
            self.more.insert(name.slot, more);
        }
        Ok(name)
    }

    /// The same for a path that stays on this switch and is sent at once; its name is made here.
    /// Nothing has been registered since its place was found.
    pub(crate) fn add_single(
        &mut self,
        place: Place,
        in_port: PortNo,
        headers: PackedHeaders,
        known: &Known,
    ) -> Result<PathRef, RegistryFull> {
        let stored = Slot {
            headers,
            domain: known.domain,
            in_port,
            egress_port: known.out_port,
            stamp: known.stamp,
            revision: 0,
            class: ClassNo::default(),
            generation: 0,
            bucket: known.bucket,
            holds: Holds::Single,
        };
        let Known { width, vid, idle_timeout, hard_timeout, app, .. } = *known;
        let class = Class { width, vid, idle_timeout, hard_timeout, app, forwards: true };
        self.put(place.0, stored, class, known.revision)
    }

    /// Takes a slot for what is to be in it, whose key has this hash; its class, generation and revision
    /// are set here.
    fn put(
        &mut self,
        hash: u64,
        mut stored: Slot,
        class: Class,
        revision: u64,
    ) -> Result<PathRef, RegistryFull> {
        debug_assert!(
            self.find(stored.in_port, class.width, &stored.headers).is_none(),
            "two paths of one key"
        );
        if self.len() >= REGISTRY_PATHS {
            return Err(RegistryFull);
        }
        stored.class = self.classes.enter(class).ok_or(RegistryFull)?;
        stored.revision = self.lower_half(revision);
        let tags = [stored.headers.eth_src(), stored.headers.eth_dst()];
        let tags = tags.map(|mac| self.tag(stored.domain, mac));
        let (slot, generation) = match self.free.pop() {
            Some(slot) => {
                let free = &mut self.slots[slot as usize];
                stored.generation = free.generation.wrapping_add(1);
                let generation = stored.generation;
                *free = stored;
                self.tags[slot as usize] = tags;
                (slot, generation)
            }
            None => {
                stored.generation = 1;
                self.slots.push(stored);
                self.tags.push(tags);
                (self.slots.len() as u32 - 1, 1)
            }
        };
        self.by_key.insert(hash, slot);
        Ok(self.name(slot, generation))
    }

    /// Half of the revision, which tells the whole.
    fn lower_half(&mut self, revision: u64) -> u32 {
        self.newest = self.newest.max(revision);
        revision as u32
    }

    /// Notes what was known of a path's hosts when it was decided.
    pub(crate) fn stamp(&mut self, path: PathRef, stamp: u32) {
        if self.contains(path) {
            self.slots[path.slot as usize].stamp = stamp;
        }
    }

    /// Notes where the bucket of a path's packet-ins is.
    pub(crate) fn bucket(&mut self, path: PathRef, bucket: BucketNo) {
        if self.contains(path) {
            self.slots[path.slot as usize].bucket = bucket;
        }
    }

    /// A path was decided again under a revision, and stays. Returns the revision before.
    pub fn decided(&mut self, path: PathRef, revision: u64) -> Option<u64> {
        let before = self.revision(self.slot(path)?);
        self.slots[path.slot as usize].revision = self.lower_half(revision);
        Some(before)
    }

    /// Changes a path's state, ways or revision; what else it is must stay as it is. `None` if it is
    /// gone.
    pub fn change<R>(&mut self, path: PathRef, change: impl FnOnce(&mut Path) -> R) -> Option<R> {
        let stored = self.slot(path)?;
        let (class, generation, stamp) = (stored.class, stored.generation, stored.stamp);
        let mut changed = self.take(path.slot)?;
        let result = change(&mut changed);
        let revision = self.lower_half(changed.revision);
        let Parts { stored, class: same, more } = Parts::of(changed, self.dpid);
        debug_assert_eq!(*self.classes.of(class), same, "what may not change");
        self.slots[path.slot as usize] = Slot { class, generation, stamp, revision, ..stored };
        if let Some(more) = more {
            self.more.insert(path.slot, more);
        }
        Some(result)
    }

    /// Forgets all paths and returns them. Generations go on, so that late messages about them find
    /// nothing.
    pub fn take_all(&mut self) -> Vec<(PathRef, Path)> {
        let mut all = Vec::with_capacity(self.len());
        for slot in 0..self.slots() {
            let generation = self.slots[slot as usize].generation;
            if let Some(path) = self.take(slot) {
                all.push((self.name(slot, generation), path));
                self.free.push(slot);
            }
        }
        self.by_key.clear();
        self.classes = Classes::default();
        all
    }

    /// Forgets a path that stays on this switch; whether it is one.
    pub(crate) fn remove_single(&mut self, path: PathRef) -> bool {
        let single = self.slot(path).is_some_and(|stored| stored.holds == Holds::Single);
        if single {
            self.leave(path.slot);
            self.slots[path.slot as usize].holds = Holds::Nothing;
        }
        single
    }

    /// Forgets a path and returns it; `None` if it is gone already.
    pub fn remove(&mut self, path: PathRef) -> Option<Path> {
        self.slot(path)?;
        // Its class is that of what is taken.
        let taken = self.take(path.slot);
        self.leave(path.slot);
        taken
    }

    /// What a slot holds, moved: frames that wait are not copied. It holds nothing any more.
    fn take(&mut self, slot: u32) -> Option<Path> {
        let more = self.more.remove(&slot).map(|more| *more);
        let stored = &self.slots[slot as usize];
        let path = stored.path(self.dpid, &self.classes, more, self.revision(stored))?;
        self.slots[slot as usize].holds = Holds::Nothing;
        Some(path)
    }

    /// Takes a path out of all indexes; its slot is free.
    fn leave(&mut self, slot: u32) {
        let Slot { in_port, class, headers, .. } = &self.slots[slot as usize];
        let (width, class) = (self.classes.of(*class).width, *class);
        self.by_key.remove(self.hash(*in_port, width, headers), slot);
        self.classes.leave(class);
        self.free.push(slot);
    }
}

/// Word and bit of a tag in the sieve.
fn in_sieve(tag: u32) -> (usize, u64) {
    let at = tag as usize % SIEVE;
    (at / 64, 1 << (at % 64))
}

fn hash(hasher: &RandomState, in_port: PortNo, width: FieldSet, headers: &PackedHeaders) -> u64 {
    let mut state = hasher.build_hasher();
    state.write_u64(u64::from(in_port.0) << 32 | u64::from(width.bits()));
    headers.hash(&mut state);
    state.finish()
}

/// What a path comes apart in; class, generation and revision of the slot are still to be set.
struct Parts {
    stored: Slot,
    class: Class,
    more: Option<Box<More>>,
}

impl Parts {
    fn of(path: Path, dpid: DatapathId) -> Parts {
        let Path { app, key, kind, state, .. } = path;
        let mut class = Class {
            width: key.width,
            vid: Vid::Untagged,
            idle_timeout: 0,
            hard_timeout: 0,
            app,
            forwards: false,
        };
        let mut stored = Slot {
            headers: PackedHeaders::new(&key.headers, key.width),
            domain: Domain(0),
            in_port: key.in_port,
            egress_port: PortNo(0),
            stamp: 0,
            revision: 0,
            class: ClassNo::default(),
            generation: 0,
            bucket: BucketNo::default(),
            holds: Holds::Nothing,
        };
        let more = match kind {
            Kind::Forward { route, hops, reverse } => {
                let Route { domain, egress, idle_timeout, hard_timeout, .. } = route;
                class =
                    Class { vid: egress.vid, idle_timeout, hard_timeout, forwards: true, ..class };
                (stored.domain, stored.egress_port) = (domain, egress.port);
                let plain = state == State::Installed
                    && reverse.is_empty()
                    && !route.reverse
                    && egress.dpid == dpid
                    && hops[..] == [stored.hop(&class, dpid)];
                stored.holds = if plain { Holds::Single } else { Holds::Forward };
                let (egress, wants_reverse) = (egress.dpid, route.reverse);
                (!plain).then_some(More {
                    egress,
                    hops,
                    reverse,
                    wants_reverse,
                    state,
                    until: None,
                })
            }
            Kind::Drop { class, until } => {
                stored.holds = Holds::Drop(class);
                let (egress, until) = (dpid, Some(until));
                let (hops, reverse) = (Hops::new(), Hops::new());
                Some(More { egress, hops, reverse, wants_reverse: false, state, until })
            }
        };
        Parts { stored, class, more: more.map(Box::new) }
    }
}

impl Slot {
    fn hop(&self, class: &Class, dpid: DatapathId) -> Hop {
        let (in_port, out_port) = (self.in_port, self.egress_port);
        Hop { dpid, in_port, out_port, vid: Some(class.vid) }
    }

    fn key(&self, class: &Class) -> FlowKey {
        FlowKey { in_port: self.in_port, width: class.width, headers: self.headers.unpack() }
    }

    fn route(&self, class: &Class, egress: DatapathId, reverse: bool) -> Route {
        Route {
            domain: self.domain,
            egress: Attachment { dpid: egress, port: self.egress_port, vid: class.vid },
            width: class.width,
            idle_timeout: class.idle_timeout,
            hard_timeout: class.hard_timeout,
            reverse,
        }
    }

    /// What it holds, with what there is beside it and the whole revision, as a value.
    fn path(
        &self,
        dpid: DatapathId,
        classes: &Classes,
        more: Option<More>,
        revision: u64,
    ) -> Option<Path> {
        if self.holds == Holds::Nothing {
            return None;
        }
        let class = classes.of(self.class);
        let (kind, state) = match (self.holds, more) {
            (Holds::Drop(class), Some(more)) => {
                (Kind::Drop { class, until: more.until? }, more.state)
            }
            (_, Some(More { egress, hops, reverse, wants_reverse, state, .. })) => {
                let route = self.route(class, egress, wants_reverse);
                (Kind::Forward { route, hops, reverse }, state)
            }
            (_, None) => {
                let hops = Hops::from_iter([self.hop(class, dpid)]);
                let route = self.route(class, dpid, false);
                (Kind::Forward { route, hops, reverse: Hops::new() }, State::Installed)
            }
        };
        Some(Path { app: class.app, key: self.key(class), kind, state, revision })
    }

    /// Whether it matters to it where its hosts are.
    fn depends_on_hosts(&self) -> bool {
        matches!(self.holds, Holds::Single | Holds::Forward)
    }
}

//! The paths that enter at one switch: a slab of packed entries, found by flow key or by host. Pure.
//!
//! What most paths have lies in a slot of 88 bytes: frames in at one port and out at another of the
//! same switch, all sent. What only few have lies behind a pointer. The index by key holds 8 bytes a
//! path and asks the slab. By host there is no index, only a tag of 4 bytes for each of a path's two:
//! paths come and go all the time and hosts move seldom, so a path writes its tags and no more, and
//! when hosts have changed all tags are looked through, once for all of them.
//!
//! [`Path`] is what a slot says, for all who are not in a hurry.

use std::collections::HashSet;
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

/// How many paths one switch registers. When it is full, frames of further paths are forwarded one
/// by one.
pub const REGISTRY_PATHS: usize = (1 << 20) - 1;
/// How many widths a frame is looked up under before it is decided like one never seen.
const WIDTHS_TRIED: usize = 4;
/// Bits of the sieve that tells tags of hosts from others: a thousand hosts let few others through.
const SIEVE: usize = 1 << 16;

struct Slot {
    headers: PackedHeaders,
    domain: Domain,
    more: Option<Box<More>>,
    revision: u64,
    in_port: PortNo,
    width: FieldSet,
    egress_port: PortNo,
    /// See [`Known::stamp`].
    stamp: u32,
    egress_vid: Vid,
    idle_timeout: u16,
    hard_timeout: u16,
    generation: u16,
    /// See [`Known::bucket`].
    bucket: BucketNo,
    app: AppNo,
    holds: Holds,
}

// Fabrics have millions of paths.
const _: () = assert!(size_of::<Slot>() == 88);

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
    /// The widths of the paths that forward, with how many have them; what is found comes to the
    /// front.
    widths: Vec<(FieldSet, u32)>,
}

/// The registry is full.
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
            widths: Vec::new(),
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
        let path = stored.path(self.dpid)?;
        Some((self.name(slot, stored.generation), path))
    }

    fn name(&self, slot: u32, generation: u16) -> PathRef {
        PathRef { session: self.session, slot, generation }
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
        let more = self.slot(path).and_then(|stored| stored.more.as_ref());
        more.is_some_and(|more| more.state != State::Installed)
    }

    /// The revision that the path in a slot was last decided under.
    pub fn revision_at(&self, slot: u32) -> Option<u64> {
        let stored = self.slots.get(slot as usize)?;
        (stored.holds != Holds::Nothing).then_some(stored.revision)
    }

    /// What an application is asked again about the path in a slot: whose it is, and which frames.
    pub fn question_at(&self, slot: u32) -> Option<(PathRef, AppNo, FlowKey)> {
        let stored = self.slots.get(slot as usize)?;
        let held = stored.holds != Holds::Nothing;
        held.then(|| (self.name(slot, stored.generation), stored.app, stored.key()))
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
            Holds::Forward => Some(stored.more.as_ref()?.egress),
            // It goes nowhere, by its hosts and where it enters.
            Holds::Drop(DropClass::Denied) => None,
            // Where it would go is not noted; and what a storm asked for goes in any case.
            Holds::Drop(DropClass::NoPath | DropClass::Storm) => return None,
        };
        let touched = stored.revision != revision
            || !stored.width.contains(FieldSet::ETH_SRC.union(FieldSet::ETH_DST))
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
            stored.holds == Holds::Single
                && *route == Route { width: route.width, ..stored.route(self.dpid, false) }
                && stored.width.contains(route.width.with_prerequisites())
        })
    }

    /// A path by name; `None` if it is of another session or its slot has another tenant.
    pub fn by_ref(&self, path: PathRef) -> Option<Path> {
        self.slot(path)?.path(self.dpid)
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
        self.by_key.find(hash, |slot| self.slots[slot as usize].is(in_port, width, headers))
    }

    /// The path of frames like this one, if it is of the plain kind. Several may be: what is decided
    /// of such frames is the same under each.
    pub(crate) fn known(&mut self, in_port: PortNo, headers: &Headers) -> Option<Known> {
        let tried = self.widths.iter().take(WIDTHS_TRIED);
        let (at, slot) = tried.enumerate().find_map(|(at, (width, _))| {
            let packed = PackedHeaders::new(headers, *width);
            Some((at, self.find(in_port, *width, &packed)?))
        })?;
        if at > 0 {
            self.widths.swap(0, at);
        }
        self.single(slot)
    }

    #[inline]
    fn single(&self, slot: u32) -> Option<Known> {
        let stored = &self.slots[slot as usize];
        (stored.holds == Holds::Single).then_some(Known {
            name: self.name(slot, stored.generation),
            app: stored.app,
            domain: stored.domain,
            width: stored.width,
            out_port: stored.egress_port,
            vid: stored.egress_vid,
            idle_timeout: stored.idle_timeout,
            hard_timeout: stored.hard_timeout,
            revision: stored.revision,
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
            // It lies in two lines, mostly.
            fetch(&slot.headers);
            fetch(&slot.holds);
        }
    }

    // ---- changes ----

    /// Registers a path. The caller has removed an earlier one of the same key.
    ///
    /// # Errors
    /// [`RegistryFull`] at [`REGISTRY_PATHS`].
    pub fn add(&mut self, path: Path) -> Result<PathRef, RegistryFull> {
        let stored = Slot::new(path, self.dpid);
        self.put(stored.hash(&self.hasher), stored)
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
            more: None,
            revision: known.revision,
            in_port,
            width: known.width,
            egress_port: known.out_port,
            stamp: known.stamp,
            egress_vid: known.vid,
            idle_timeout: known.idle_timeout,
            hard_timeout: known.hard_timeout,
            generation: 0,
            bucket: known.bucket,
            app: known.app,
            holds: Holds::Single,
        };
        self.put(place.0, stored)
    }

    /// Takes a slot for what is to be in it, whose key has this hash; its generation is set here.
    fn put(&mut self, hash: u64, mut stored: Slot) -> Result<PathRef, RegistryFull> {
        debug_assert!(
            self.find(stored.in_port, stored.width, &stored.headers).is_none(),
            "two paths of one key"
        );
        let tags = [stored.headers.eth_src(), stored.headers.eth_dst()];
        let tags = tags.map(|mac| self.tag(stored.domain, mac));
        let slot = match self.free.pop() {
            Some(slot) => {
                stored.generation = self.slots[slot as usize].generation.wrapping_add(1);
                self.slots[slot as usize] = stored;
                self.tags[slot as usize] = tags;
                slot
            }
            None if self.slots.len() >= REGISTRY_PATHS => return Err(RegistryFull),
            None => {
                stored.generation = 1;
                self.slots.push(stored);
                self.tags.push(tags);
                self.slots.len() as u32 - 1
            }
        };
        self.by_key.insert(hash, slot);
        self.count_width(slot, 1);
        Ok(self.name(slot, self.slots[slot as usize].generation))
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
        self.slot(path)?;
        Some(std::mem::replace(&mut self.slots[path.slot as usize].revision, revision))
    }

    /// Changes a path; its key and domain must stay as they are. `None` if it is gone.
    pub fn change<R>(&mut self, path: PathRef, change: impl FnOnce(&mut Path) -> R) -> Option<R> {
        self.slot(path)?;
        let dpid = self.dpid;
        let stored = &mut self.slots[path.slot as usize];
        let mut changed = stored.take(dpid)?;
        let result = change(&mut changed);
        let (generation, stamp) = (stored.generation, stored.stamp);
        *stored = Slot { generation, stamp, ..Slot::new(changed, dpid) };
        Some(result)
    }

    /// Forgets all paths and returns them. Generations go on, so that late messages about them find
    /// nothing.
    pub fn take_all(&mut self) -> Vec<(PathRef, Path)> {
        self.by_key.clear();
        self.widths.clear();
        let mut all = Vec::with_capacity(self.len());
        for slot in 0..self.slots.len() {
            let generation = self.slots[slot].generation;
            if let Some(path) = self.slots[slot].take(self.dpid) {
                all.push((self.name(slot as u32, generation), path));
                self.free.push(slot as u32);
            }
        }
        all
    }

    /// Forgets a path that stays on this switch; whether it is one.
    pub(crate) fn remove_single(&mut self, path: PathRef) -> bool {
        let single = self.slot(path).is_some_and(|stored| stored.holds == Holds::Single);
        if single {
            self.leave(path);
            self.slots[path.slot as usize].holds = Holds::Nothing;
        }
        single
    }

    /// Forgets a path and returns it; `None` if it is gone already.
    pub fn remove(&mut self, path: PathRef) -> Option<Path> {
        self.slot(path)?;
        self.leave(path);
        self.slots[path.slot as usize].take(self.dpid)
    }

    /// Takes a path out of all indexes; its slot is free.
    fn leave(&mut self, path: PathRef) {
        let stored = &self.slots[path.slot as usize];
        self.by_key.remove(stored.hash(&self.hasher), path.slot);
        self.count_width(path.slot, -1);
        self.free.push(path.slot);
    }

    fn count_width(&mut self, slot: u32, by: i32) {
        let stored = &self.slots[slot as usize];
        if matches!(stored.holds, Holds::Drop(_)) {
            return;
        }
        match self.widths.iter_mut().position(|(width, _)| *width == stored.width) {
            Some(at) => {
                let count = &mut self.widths[at].1;
                *count = count.saturating_add_signed(by);
                if *count == 0 {
                    self.widths.swap_remove(at);
                }
            }
            None => self.widths.push((stored.width, 1)),
        }
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

impl Slot {
    /// Its generation is still to be set.
    fn new(path: Path, dpid: DatapathId) -> Slot {
        let Path { app, key, kind, state, revision } = path;
        let mut slot = Slot {
            headers: PackedHeaders::new(&key.headers, key.width),
            domain: Domain(0),
            more: None,
            revision,
            in_port: key.in_port,
            width: key.width,
            egress_port: PortNo(0),
            stamp: 0,
            egress_vid: Vid::Untagged,
            idle_timeout: 0,
            hard_timeout: 0,
            generation: 0,
            bucket: BucketNo::default(),
            app,
            holds: Holds::Nothing,
        };
        match kind {
            Kind::Forward { route, hops, reverse } => {
                slot.domain = route.domain;
                (slot.egress_port, slot.egress_vid) = (route.egress.port, route.egress.vid);
                (slot.idle_timeout, slot.hard_timeout) = (route.idle_timeout, route.hard_timeout);
                let plain = state == State::Installed
                    && reverse.is_empty()
                    && !route.reverse
                    && route.egress.dpid == dpid
                    && hops[..] == [slot.hop(dpid)];
                slot.holds = if plain { Holds::Single } else { Holds::Forward };
                slot.more = (!plain).then(|| {
                    let (egress, wants_reverse) = (route.egress.dpid, route.reverse);
                    Box::new(More { egress, hops, reverse, wants_reverse, state, until: None })
                });
            }
            Kind::Drop { class, until } => {
                let (egress, until) = (dpid, Some(until));
                let (hops, reverse) = (Hops::new(), Hops::new());
                let more = More { egress, hops, reverse, wants_reverse: false, state, until };
                slot.more = Some(Box::new(more));
                slot.holds = Holds::Drop(class);
            }
        }
        slot
    }

    fn hop(&self, dpid: DatapathId) -> Hop {
        let (in_port, out_port) = (self.in_port, self.egress_port);
        Hop { dpid, in_port, out_port, vid: Some(self.egress_vid) }
    }

    fn key(&self) -> FlowKey {
        FlowKey { in_port: self.in_port, width: self.width, headers: self.headers.unpack() }
    }

    fn route(&self, egress: DatapathId, reverse: bool) -> Route {
        Route {
            domain: self.domain,
            egress: Attachment { dpid: egress, port: self.egress_port, vid: self.egress_vid },
            width: self.width,
            idle_timeout: self.idle_timeout,
            hard_timeout: self.hard_timeout,
            reverse,
        }
    }

    /// What it holds, as a value.
    fn path(&self, dpid: DatapathId) -> Option<Path> {
        let (kind, state) = match (self.holds, &self.more) {
            (Holds::Nothing, _) => return None,
            (Holds::Drop(class), Some(more)) => {
                (Kind::Drop { class, until: more.until? }, more.state.clone())
            }
            (_, Some(more)) => {
                let route = self.route(more.egress, more.wants_reverse);
                let (hops, reverse) = (more.hops.clone(), more.reverse.clone());
                (Kind::Forward { route, hops, reverse }, more.state.clone())
            }
            (_, None) => {
                let (route, hops) = (self.route(dpid, false), Hops::from_iter([self.hop(dpid)]));
                (Kind::Forward { route, hops, reverse: Hops::new() }, State::Installed)
            }
        };
        Some(Path { app: self.app, key: self.key(), kind, state, revision: self.revision })
    }

    /// The same, and holds nothing any more.
    fn take(&mut self, dpid: DatapathId) -> Option<Path> {
        let waiting = self.more.as_mut().map(|more| {
            // Frames that wait are moved, not copied.
            std::mem::replace(&mut more.state, State::Installed)
        });
        let mut path = self.path(dpid)?;
        if let Some(waiting) = waiting {
            path.state = waiting;
        }
        self.more = None;
        self.holds = Holds::Nothing;
        Some(path)
    }

    fn is(&self, in_port: PortNo, width: FieldSet, headers: &PackedHeaders) -> bool {
        self.in_port == in_port && self.width == width && self.headers == *headers
    }

    fn hash(&self, hasher: &RandomState) -> u64 {
        hash(hasher, self.in_port, self.width, &self.headers)
    }

    /// Whether it matters to it where its hosts are.
    fn depends_on_hosts(&self) -> bool {
        matches!(self.holds, Holds::Single | Holds::Forward)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;
    use umlaut_openflow::packet::Headers;
    use umlaut_openflow::{Attachment, DatapathId, FieldSet, PortNo, Vid};

    use super::*;
    use crate::app::AppNo;
    use crate::path::{DropClass, Route, State};

    fn path(src: u64, dst: u64, domain: u64) -> Path {
        let headers = Headers {
            eth_src: MacAddr::from_u64(src),
            eth_dst: MacAddr::from_u64(dst),
            ..Headers::default()
        };
        Path {
            app: AppNo(1),
            key: FlowKey::new(PortNo(1), &headers, FieldSet::LAYER_2),
            kind: Kind::Forward {
                route: Route {
                    domain: Domain(domain),
                    egress: Attachment { dpid: DatapathId(1), port: PortNo(2), vid: Vid::Untagged },
                    width: FieldSet::LAYER_2,
                    idle_timeout: 60,
                    hard_timeout: 0,
                    reverse: false,
                },
                hops: Hops::new(),
                reverse: Hops::new(),
            },
            state: State::Installed,
            revision: 1,
        }
    }

    #[test]
    fn a_reused_slot_has_another_generation() {
        let mut registry = Registry::new(SessionNo(1), DatapathId(1));
        let first = registry.add(path(1, 2, 0)).unwrap();
        assert!(registry.remove(first).is_some());
        assert!(registry.remove(first).is_none());
        let second = registry.add(path(3, 4, 0)).unwrap();
        assert_eq!((second.slot, first.slot), (0, 0));
        assert!(registry.by_ref(first).is_none());
        assert!(registry.by_ref(second).is_some());
        let foreign = PathRef { session: SessionNo(2), ..second };
        assert!(registry.by_ref(foreign).is_none());
    }

    #[test]
    fn drop_entries_depend_on_no_host() {
        let mut registry = Registry::new(SessionNo(1), DatapathId(1));
        let kind = Kind::Drop { class: DropClass::Denied, until: Instant::now() };
        registry.add(Path { kind, ..path(1, 2, 0) }).unwrap();
        assert!(registry.by_hosts(&[(Domain(0), MacAddr::from_u64(1))]).is_empty());
    }

    proptest! {
        /// The indexes always say what a walk over all slots says.
        #[test]
        fn indexes_agree_with_the_slab(steps in prop::collection::vec((0u64..5, 0u64..5, 0u64..2, any::<bool>()), 0..60)) {
            let mut registry = Registry::new(SessionNo(1), DatapathId(1));
            for (src, dst, domain, add) in steps {
                let path = path(src, dst, domain);
                match registry.by_key(&path.key).map(|(name, _)| name) {
                    Some(name) if !add => { registry.remove(name); }
                    None if add => { registry.add(path).unwrap(); }
                    _ => {}
                }
                let all: Vec<_> = (0..registry.slots()).filter_map(|s| registry.at(s)).collect();
                prop_assert_eq!(all.len(), registry.len());
                for (name, path) in &all {
                    prop_assert_eq!(registry.by_key(&path.key).map(|(n, _)| n), Some(*name));
                }
                for mac in 0..5 {
                    let host = |domain| (Domain(domain), MacAddr::from_u64(mac));
                    let one_more = (Domain(0), MacAddr::from_u64(4));
                    for hosts in [vec![host(0)], vec![host(1)], vec![host(1), one_more]] {
                        let of_one = |p: &Path| hosts.iter().any(|(domain, mac)| {
                            let ends = [p.key.headers.eth_src, p.key.headers.eth_dst];
                            p.domain() == Some(*domain) && ends.contains(mac)
                        });
                        let walked: Vec<_> = all.iter().filter(|(_, p)| of_one(p)).map(|(n, _)| *n).collect();
                        prop_assert_eq!(registry.by_hosts(&hosts), walked);
                    }
                }
            }
        }
    }
}

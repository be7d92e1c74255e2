//! The members of all slices, packed, and the tables that find them. Pure.
//!
//! A policy of a million members must be small, and the policy after an edit shares all that the edit
//! did not touch with the one before. So members lie in *slots* of chunks behind `Arc`, the tables
//! hold slots instead of keys, and a slot keeps its number over edits.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::quality::RandomState;
use smallvec::SmallVec;
use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo, Vid};

use crate::policy::{Binding, End, Point, SliceId};
use crate::shards::Shards;

/// Slots in a chunk.
const CHUNK: usize = 1024;

/// What is in a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Nothing.
    Free,
    /// A MAC address wherever it is.
    Mac,
    /// A MAC address at its pins.
    PinnedMac,
    /// A MAC address on an attachment.
    PortMac,
    /// An attachment, for anybody.
    Port,
    /// An attachment, for listed hosts.
    RestrictedPort,
    /// An attachment where a pinned MAC address may be. No member of its own.
    Pin,
}

/// A slot: 32 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Meaningless for MAC addresses.
    pub(crate) at: Attachment,
    /// Meaningless for ports.
    pub(crate) mac: MacAddr,
    pub(crate) slice: SliceId,
    pub(crate) kind: Kind,
    /// Which of the chunk's extras it has, from 1; 0: none.
    extra: u16,
}

const NOWHERE: Attachment = Attachment { dpid: DatapathId(0), port: PortNo(0), vid: Vid::Untagged };

impl Entry {
    const FREE: Entry =
        Entry { at: NOWHERE, mac: MacAddr::ZERO, slice: SliceId(0), kind: Kind::Free, extra: 0 };

    /// What it is found by; a free slot is not.
    fn key(&self) -> Key {
        match self.kind {
            Kind::Free | Kind::Mac | Kind::PinnedMac => Key::Mac(self.mac),
            Kind::PortMac => Key::PortMac(self.at, self.mac),
            Kind::Port | Kind::RestrictedPort => Key::Port(self.at),
            Kind::Pin => Key::Pin(self.at, self.mac),
        }
    }

    /// The place where it lets frames of its slice be delivered.
    pub(crate) fn point(&self) -> Option<Point> {
        match self.kind {
            Kind::Free | Kind::Mac | Kind::PinnedMac => None,
            Kind::Port | Kind::RestrictedPort => Some(Point { at: self.at, only: None }),
            Kind::PortMac | Kind::Pin => Some(Point { at: self.at, only: Some(self.mac) }),
        }
    }

    pub(crate) fn is_mac(&self) -> bool {
        matches!(self.kind, Kind::Mac | Kind::PinnedMac)
    }
}

/// What a slot is found by. No two slots have the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    Mac(MacAddr),
    PortMac(Attachment, MacAddr),
    Port(Attachment),
    Pin(Attachment, MacAddr),
}

/// What few slots have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Extra {
    /// The id that the file gives.
    id: Option<Arc<str>>,
    /// The slots of its pins, as the file lists them.
    pins: Option<Arc<[u32]>>,
}

#[derive(Clone, Debug, Default)]
struct Chunk {
    slots: Vec<Entry>,
    extras: Vec<Extra>,
    /// How many extras are nobody's.
    holes: u16,
}

/// The slices with a static point on a port, each with the VLAN.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    end: End,
    one: (Vid, SliceId),
    /// The others, sorted: few ports have any.
    more: Option<Arc<Vec<(Vid, SliceId)>>>,
}

impl Claims {
    fn all(&self) -> impl Iterator<Item = (Vid, SliceId)> + '_ {
        std::iter::once(self.one).chain(self.more.iter().flat_map(|more| more.iter().copied()))
    }

    fn add(&mut self, claim: (Vid, SliceId)) {
        if self.one != claim {
            let more = Arc::make_mut(self.more.get_or_insert_default());
            if let Err(place) = more.binary_search(&claim) {
                more.insert(place, claim);
            }
        }
    }

    /// Whether none is left; then there is nothing to hold any more.
    fn remove(&mut self, claim: (Vid, SliceId)) -> bool {
        let more = self.more.as_mut().map(Arc::make_mut);
        if self.one == claim {
            let Some(next) = more.and_then(Vec::pop) else { return true };
            self.one = next;
        } else if let Some(more) = more
            && let Ok(place) = more.binary_search(&claim)
        {
            more.remove(place);
        }
        if self.more.as_ref().is_some_and(|more| more.is_empty()) {
            self.more = None;
        }
        false
    }
}

/// The members of all slices.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    chunks: Vec<Arc<Chunk>>,
    /// Slots to be used again.
    free: Vec<u32>,
    /// How many slots are members.
    count: usize,
    index: Shards<u32>,
    /// By port: all that have a static point or pin.
    claims: Shards<Claims>,
    /// Seeded: frames with chosen addresses are looked up here.
    hasher: RandomState,
}

impl Default for Members {
    fn default() -> Members {
        Members::for_about(0)
    }
}

impl Members {
    /// None yet, with an index for about so many slots.
    pub(crate) fn for_about(slots: usize) -> Members {
        Members {
            chunks: Vec::new(),
            free: Vec::new(),
            count: 0,
            index: Shards::for_about(slots),
            claims: Shards::for_about(0),
            hasher: RandomState::default(),
        }
    }

    /// How many members there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn entry(&self, slot: u32) -> &Entry {
        entry_of(&self.chunks, slot)
    }

    fn extra(&self, slot: u32) -> Option<&Extra> {
        let chunk = &self.chunks[slot as usize / CHUNK];
        match chunk.slots[slot as usize % CHUNK].extra {
            0 => None,
            extra => Some(&chunk.extras[usize::from(extra) - 1]),
        }
    }

    /// The id that the file gives to a member.
    pub(crate) fn id(&self, slot: u32) -> Option<&str> {
        self.extra(slot)?.id.as_deref()
    }

    /// The slots of a member's pins.
    fn pins(&self, slot: u32) -> Option<&[u32]> {
        self.extra(slot)?.pins.as_deref()
    }

    /// The places of a member's pins, as the file lists them.
    fn pinned_to(&self, slot: u32) -> impl Iterator<Item = Attachment> {
        self.pins(slot).unwrap_or_default().iter().map(|pin| self.entry(*pin).at)
    }

    /// What a member binds.
    pub(crate) fn binding(&self, slot: u32) -> Binding {
        let Entry { at, mac, kind, .. } = *self.entry(slot);
        match kind {
            Kind::Free | Kind::Mac | Kind::Pin => Binding::Mac { mac, only_at: None },
            Kind::PinnedMac => Binding::Mac { mac, only_at: Some(self.pinned_to(slot).collect()) },
            Kind::PortMac => Binding::PortMac { at, mac },
            Kind::Port => Binding::Port { at, restricted: false },
            Kind::RestrictedPort => Binding::Port { at, restricted: true },
        }
    }

    /// Whether two members have the same id and bind the same.
    pub(crate) fn is_same(&self, slot: u32, others: &Members, other: u32) -> bool {
        let (a, b) = (self.entry(slot), others.entry(other));
        (a.at, a.mac, a.kind) == (b.at, b.mac, b.kind)
            && self.id(slot) == others.id(other)
            && self.pinned_to(slot).eq(others.pinned_to(other))
    }

    /// The slots that are not the same in the members after an edit, as they are in either; `None` if
    /// they are more than `most`. What an edit has left alone is shared, and soon passed.
    pub(crate) fn changed<'a>(
        &'a self,
        new: &'a Members,
        most: usize,
    ) -> Option<Vec<(&'a Entry, &'a Entry)>> {
        let mut changed = Vec::new();
        for number in 0..self.chunks.len().max(new.chunks.len()) {
            let (a, b) = (self.chunks.get(number), new.chunks.get(number));
            if a.zip(b).is_some_and(|(a, b)| Arc::ptr_eq(a, b)) {
                continue;
            }
            let slots = |chunk: Option<&'a Arc<Chunk>>| chunk.map_or(&[][..], |chunk| &chunk.slots);
            let (a, b) = (slots(a), slots(b));
            for slot in 0..a.len().max(b.len()) {
                let a = a.get(slot).unwrap_or(&Entry::FREE);
                let b = b.get(slot).unwrap_or(&Entry::FREE);
                if (a.at, a.mac, a.slice, a.kind) != (b.at, b.mac, b.slice, b.kind) {
                    changed.push((a, b));
                }
                if changed.len() > most {
                    return None;
                }
            }
        }
        Some(changed)
    }

    /// The slots that are points because of a member: its own, or those of its pins.
    pub(crate) fn points(&self, slot: u32) -> SmallVec<[u32; 4]> {
        match self.entry(slot).kind {
            Kind::Free | Kind::Mac => SmallVec::new(),
            Kind::PinnedMac => {
                let mut pins = SmallVec::from_slice(self.pins(slot).unwrap_or_default());
                pins.sort_unstable();
                pins.dedup();
                pins
            }
            Kind::PortMac | Kind::Port | Kind::RestrictedPort | Kind::Pin => {
                SmallVec::from_slice(&[slot])
            }
        }
    }

    /// The slot with this hash for which this holds.
    #[inline]
    fn find(&self, hash: u64, is: impl Fn(&Entry) -> bool) -> Option<(u32, &Entry)> {
        let slot = *self.index.find(hash, |slot| is(self.entry(*slot)))?;
        Some((slot, self.entry(slot)))
    }

    /// The slot with this key.
    fn holder(&self, key: &Key) -> Option<u32> {
        let found = match key {
            Key::Mac(mac) => self.by_mac(*mac),
            Key::PortMac(at, mac) => self.by_port_mac(*at, *mac),
            Key::Port(at) => self.by_port(*at),
            Key::Pin(at, mac) => self.pin(*at, *mac),
        };
        found.map(|(slot, _)| slot)
    }

    /// The member that binds a MAC address wherever it is, or at pins.
    #[inline]
    pub(crate) fn by_mac(&self, mac: MacAddr) -> Option<(u32, &Entry)> {
        self.find(hash_of_mac(&self.hasher, mac), |entry| entry.mac == mac && entry.is_mac())
    }

    /// The member that binds a MAC address on an attachment.
    #[inline]
    pub(crate) fn by_port_mac(&self, at: Attachment, mac: MacAddr) -> Option<(u32, &Entry)> {
        self.find(hash_of_port_mac(&self.hasher, at, mac), |entry| {
            entry.mac == mac && entry.at == at && entry.kind == Kind::PortMac
        })
    }

    /// The member that binds an attachment.
    #[inline]
    pub(crate) fn by_port(&self, at: Attachment) -> Option<(u32, &Entry)> {
        self.find(hash_of_port(&self.hasher, at), |entry| {
            entry.at == at && matches!(entry.kind, Kind::Port | Kind::RestrictedPort)
        })
    }

    fn pin(&self, at: Attachment, mac: MacAddr) -> Option<(u32, &Entry)> {
        self.find(hash_of_pin(&self.hasher, at, mac), |entry| {
            entry.mac == mac && entry.at == at && entry.kind == Kind::Pin
        })
    }

    /// Whether a pinned MAC address may be there.
    pub(crate) fn is_pinned_to(&self, mac: MacAddr, at: Attachment) -> bool {
        self.pin(at, mac).is_some()
    }

    /// The port+MAC members, in the order of their slots.
    pub(crate) fn port_macs(&self) -> impl Iterator<Item = (u32, &Entry)> {
        let entries = self.chunks.iter().flat_map(|chunk| &chunk.slots);
        (0..).zip(entries).filter(|(_, entry)| entry.kind == Kind::PortMac)
    }

    /// Enters a member.
    ///
    /// # Errors
    /// The slot of the one that binds the same.
    pub(crate) fn insert(
        &mut self,
        slice: SliceId,
        binding: &Binding,
        id: Option<&str>,
    ) -> Result<u32, u32> {
        let new = |kind, at, mac| Entry { at, mac, slice, kind, extra: 0 };
        let entry = match binding {
            Binding::Mac { mac, only_at: None } => new(Kind::Mac, NOWHERE, *mac),
            Binding::Mac { mac, only_at: Some(_) } => new(Kind::PinnedMac, NOWHERE, *mac),
            Binding::PortMac { at, mac } => new(Kind::PortMac, *at, *mac),
            Binding::Port { at, restricted: false } => new(Kind::Port, *at, MacAddr::ZERO),
            Binding::Port { at, restricted: true } => new(Kind::RestrictedPort, *at, MacAddr::ZERO),
        };
        let slot = self.put(entry)?;
        self.count += 1;
        let pins = match binding {
            Binding::Mac { mac, only_at: Some(pins) } => Some(
                // A pin that is listed twice is one slot.
                pins.iter()
                    .map(|at| self.put(new(Kind::Pin, *at, *mac)).unwrap_or_else(|held| held))
                    .collect(),
            ),
            _ => None,
        };
        if id.is_some() || pins.is_some() {
            self.add_extra(slot, Extra { id: id.map(Arc::from), pins });
        }
        Ok(slot)
    }

    /// Takes a member out.
    pub(crate) fn remove(&mut self, slot: u32) {
        let pins = match self.entry(slot).kind {
            Kind::PinnedMac => self.points(slot),
            _ => SmallVec::new(),
        };
        for gone in pins.into_iter().chain([slot]) {
            let hash = hash_of(&self.hasher, &self.entry(gone).key());
            if let Ok(found) = self.index.piece_mut(hash).find_entry(hash, |slot| *slot == gone) {
                found.remove();
            }
            let chunk = Arc::make_mut(&mut self.chunks[gone as usize / CHUNK]);
            let entry = std::mem::replace(&mut chunk.slots[gone as usize % CHUNK], Entry::FREE);
            if entry.extra > 0 {
                chunk.extras[usize::from(entry.extra) - 1] = Extra::default();
                chunk.holes += 1;
            }
            self.free.push(gone);
        }
        self.count -= 1;
    }

    /// Puts an entry into a slot and the index, or says which slot has its key.
    fn put(&mut self, entry: Entry) -> Result<u32, u32> {
        let key = entry.key();
        if let Some(held) = self.holder(&key) {
            return Err(held);
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                if self.chunks.last().is_none_or(|chunk| chunk.slots.len() == CHUNK) {
                    self.chunks.push(Arc::default());
                }
                let last = self.chunks.len() - 1;
                let chunk = Arc::make_mut(&mut self.chunks[last]);
                chunk.slots.push(Entry::FREE);
                (last * CHUNK + chunk.slots.len() - 1) as u32
            }
        };
        Arc::make_mut(&mut self.chunks[slot as usize / CHUNK]).slots[slot as usize % CHUNK] = entry;
        let hash = hash_of(&self.hasher, &key);
        let Members { chunks, index, hasher, .. } = self;
        let rehash = |slot: &u32| hash_of(hasher, &entry_of(chunks, *slot).key());
        index.piece_mut(hash).insert_unique(hash, slot, rehash);
        Ok(slot)
    }

    fn add_extra(&mut self, slot: u32, extra: Extra) {
        let chunk = Arc::make_mut(&mut self.chunks[slot as usize / CHUNK]);
        let mut extras = chunk.extras.iter();
        let hole = match chunk.holes {
            0 => None,
            _ => extras.position(|extra| *extra == Extra::default()),
        };
        let place = hole.unwrap_or(chunk.extras.len());
        match hole {
            Some(_) => chunk.holes -= 1,
            None => chunk.extras.push(Extra::default()),
        }
        chunk.extras[place] = extra;
        chunk.slots[slot as usize % CHUNK].extra = place as u16 + 1;
    }

    /// Notes where slices have static points, when it is known of all.
    pub(crate) fn claim_all(&mut self, mut places: Vec<(Attachment, SliceId)>) {
        places.sort_unstable();
        places.dedup();
        let on_port = |a: &(Attachment, SliceId), b: &(Attachment, SliceId)| {
            (a.0.dpid, a.0.port) == (b.0.dpid, b.0.port)
        };
        self.claims = Shards::for_about(places.chunk_by(on_port).count());
        let Members { claims, hasher, .. } = self;
        for of_port in places.chunk_by(on_port) {
            let end = (of_port[0].0.dpid, of_port[0].0.port);
            let mut all = of_port.iter().map(|(at, slice)| (at.vid, *slice));
            let one = all.next().unwrap_or((Vid::Untagged, SliceId(0)));
            let more: Vec<(Vid, SliceId)> = all.collect();
            let more = (!more.is_empty()).then(|| Arc::new(more));
            let hash = hash_of_end(hasher, end);
            let rehash = |claims: &Claims| hash_of_end(hasher, claims.end);
            claims.piece_mut(hash).insert_unique(hash, Claims { end, one, more }, rehash);
        }
    }

    /// Notes that a slice has a static point somewhere.
    pub(crate) fn claim(&mut self, at: Attachment, slice: SliceId) {
        let end = (at.dpid, at.port);
        let hash = hash_of_end(&self.hasher, end);
        let Members { claims, hasher, .. } = self;
        let piece = claims.piece_mut(hash);
        match piece.find_mut(hash, |claims| claims.end == end) {
            Some(claims) => claims.add((at.vid, slice)),
            None => {
                let claims = Claims { end, one: (at.vid, slice), more: None };
                let rehash = |claims: &Claims| hash_of_end(hasher, claims.end);
                piece.insert_unique(hash, claims, rehash);
            }
        }
    }

    /// Notes that a slice has no static point there any more.
    pub(crate) fn disclaim(&mut self, at: Attachment, slice: SliceId) {
        let end = (at.dpid, at.port);
        let hash = hash_of_end(&self.hasher, end);
        let piece = self.claims.piece_mut(hash);
        if let Ok(mut found) = piece.find_entry(hash, |claims| claims.end == end)
            && found.get_mut().remove((at.vid, slice))
        {
            found.remove();
        }
    }

    fn claims_on(&self, end: End) -> Option<&Claims> {
        self.claims.find(hash_of_end(&self.hasher, end), |claims| claims.end == end)
    }

    /// Whether a port has any static point.
    pub(crate) fn is_claimed(&self, end: End) -> bool {
        self.claims_on(end).is_some()
    }

    /// The ports with a static point, in no order.
    pub(crate) fn claimed(&self) -> impl Iterator<Item = End> {
        self.claims.iter().map(|claims| claims.end)
    }

    /// The slices with a static point on a port, with the VLAN of each, in no order.
    pub(crate) fn claims(&self, end: End) -> impl Iterator<Item = (Vid, SliceId)> {
        self.claims_on(end).into_iter().flat_map(Claims::all)
    }

    /// Whether another slice than this has a static point at an attachment.
    pub(crate) fn is_foreign(&self, at: Attachment, slice: SliceId) -> bool {
        let Some(claims) = self.claims_on((at.dpid, at.port)) else { return false };
        let other = |claim: &(Vid, SliceId)| claim.0 == at.vid && claim.1 != slice;
        let more = claims.more.as_ref().is_some_and(|more| {
            let from = more.partition_point(|claim| claim.0 < at.vid);
            more[from..].iter().take(2).any(other)
        });
        other(&claims.one) || more
    }
}

fn entry_of(chunks: &[Arc<Chunk>], slot: u32) -> &Entry {
    &chunks[slot as usize / CHUNK].slots[slot as usize % CHUNK]
}

fn hash_of(hasher: &RandomState, key: &Key) -> u64 {
    match key {
        Key::Mac(mac) => hash_of_mac(hasher, *mac),
        Key::Port(at) => hash_of_port(hasher, *at),
        Key::PortMac(at, mac) => hash_of_port_mac(hasher, *at, *mac),
        Key::Pin(at, mac) => hash_of_pin(hasher, *at, *mac),
    }
}

// Keys are hashed as words: bytes and enums cost several times as much.

#[inline]
fn hash_of_mac(hasher: &RandomState, mac: MacAddr) -> u64 {
    hasher.hash_one(mac.to_u64())
}

#[inline]
fn hash_of_port(hasher: &RandomState, at: Attachment) -> u64 {
    hasher.hash_one((at.dpid.0, port_and_vid(at)))
}

#[inline]
fn hash_of_port_mac(hasher: &RandomState, at: Attachment, mac: MacAddr) -> u64 {
    hasher.hash_one((at.dpid.0, port_and_vid(at), mac.to_u64()))
}

/// In another order: the slice may have a port+MAC member of the same.
fn hash_of_pin(hasher: &RandomState, at: Attachment, mac: MacAddr) -> u64 {
    hasher.hash_one((mac.to_u64(), at.dpid.0, port_and_vid(at)))
}

fn port_and_vid(at: Attachment) -> u64 {
    let vid = match at.vid {
        Vid::Untagged => 0,
        Vid::Tagged(vid) => vid.number(),
    };
    u64::from(at.port.0) << 16 | u64::from(vid)
}

fn hash_of_end(hasher: &RandomState, (dpid, port): End) -> u64 {
    hasher.hash_one((dpid.0, u64::from(port.0)))
}

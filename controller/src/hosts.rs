//! Where hosts are: (domain, MAC) to attachment, for the whole network. Shared: dashmap, `now` as
//! an argument, no clock.
//!
//! Entries are *admitted* (an application let the sender in) or *tentative* (a refused sender whose
//! place may still be useful as a destination). A tentative entry never replaces an admitted one,
//! and any admitted sighting replaces it.
//!
//! Nobody fills the table for others: hosts are bounded for each domain on each port and for each
//! domain, and where everything is full, a domain on a port that has few is let in all the same. What
//! is noted is never put out for another host; a host that finds no room is flooded to.
//!
//! No guard of one map is held while another is touched, so there is no order of locks to keep.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::fast::RandomState;
use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo};

use crate::concerned::Concerned;

/// How long an admitted host is remembered without being seen.
pub const HOST_AGE: Duration = Duration::from_secs(300);
/// How long a tentative place is remembered.
pub const TENTATIVE_AGE: Duration = Duration::from_secs(30);
/// A host that appeared somewhere less than this ago is not believed to be elsewhere.
pub const MOVE_GUARD: Duration = Duration::from_secs(5);
/// A host that is seen again writes to the table only if the last time was this long ago.
pub const REFRESH: Duration = Duration::from_secs(1);
/// Hosts of one domain behind one port. When there are as many, a further one of that domain is not
/// noted there: it is flooded to. One that is admitted anywhere ([`Seen::widely`]) is noted all the same:
/// those are named one by one, so there are no more of them than names.
pub const HOSTS_PER_PORT: usize = 16_384;
/// Hosts of one domain. When there are as many, a further one is noted only where there are fewer of the
/// domain than [`HOSTS_SURE`] behind its port, or if it is admitted anywhere.
pub const HOSTS_PER_DOMAIN: usize = 65_536;
/// Hosts over all, about 400 bytes each. When there are as many, further ones are noted as with a full
/// domain. So the table never has more than these, [`HOSTS_SURE`] for each domain on each port, and the
/// hosts that the policy names.
pub const HOSTS: usize = 2_097_152;
/// So many hosts a domain may have behind each port, however full its other ports and other domains are.
pub const HOSTS_SURE: usize = 64;
/// Tentative hosts of one domain behind one port. When there are as many, a further one is not noted.
pub const TENTATIVE_PER_PORT: usize = 16;

/// A space of MAC addresses that an application keeps apart: a slice, a switch. Any number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Domain(pub u64);

/// The key of a host.
pub type HostKey = (Domain, MacAddr);

/// How a host was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// It may be anywhere (its MAC is bound): where it is becomes a learned point of its domain.
    pub widely: bool,
    /// The port is still being probed: the place falls if it turns out to be a link.
    pub provisional: bool,
}

/// What becomes of a host when what is said of hosts has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keeps {
    /// It stays as it is known.
    AsItIs,
    /// It stays, and may be anywhere ([`Seen::widely`]) or not.
    Widely(bool),
    /// It is forgotten.
    Not,
}

/// What a sighting changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sighting {
    /// The host was not known.
    New,
    /// It is where it was.
    Same,
    /// It is somewhere else now.
    Moved {
        /// Where it was.
        from: Attachment,
    },
    /// It appeared where it is too short a time ago to be believed elsewhere.
    Guarded,
    /// The domain has its fill of hosts behind that port, or in all.
    Full,
    /// It is not where it was, and where it is the domain has its fill: it is not known any more.
    Lost {
        /// Where it was.
        from: Attachment,
    },
}

/// A host as the table knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostEntry {
    /// Where it is.
    pub at: Attachment,
    /// Whether it was refused and its place is a guess.
    pub tentative: bool,
    /// Changes with every move, removal and return.
    pub generation: u64,
    seen: Seen,
    since: Instant,
    last: Instant,
}

impl HostEntry {
    /// How it was seen.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// When it was last known to be alive.
    pub fn last_seen(&self) -> Instant {
        self.last
    }

    /// Whether a sighting there would be taken now: tentative places and old ones protect nothing.
    pub fn lets_appear(&self, at: Attachment, now: Instant) -> bool {
        self.tentative || self.at == at || now.saturating_duration_since(self.since) >= MOVE_GUARD
    }

    /// Whether it says all that a sighting would, so that the table need not be told.
    pub fn says(&self, at: Attachment, seen: Seen, now: Instant) -> bool {
        !self.tentative && self.at == at && self.seen == seen && now < self.last + REFRESH
    }

    fn age_limit(&self) -> Duration {
        if self.tentative { TENTATIVE_AGE } else { HOST_AGE }
    }
}

/// Counts changes of hosts, in a cache line of its own: it is read for every frame that is sent on
/// like the one before it, and written when a host comes, goes or moves.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Changes(AtomicU32);

/// How many such counters there are; a power of two.
const CHANGES: usize = 64;

/// Hosts of one domain behind one port.
#[derive(Clone, Default, Debug)]
struct Behind {
    admitted: BTreeSet<MacAddr>,
    guesses: BTreeSet<MacAddr>,
}

impl Behind {
    fn list(&mut self, mac: MacAddr, tentative: bool) {
        let (into, other) = match tentative {
            true => (&mut self.guesses, &mut self.admitted),
            false => (&mut self.admitted, &mut self.guesses),
        };
        into.insert(mac);
        other.remove(&mac);
    }

    fn unlist(&mut self, mac: MacAddr) {
        self.admitted.remove(&mac);
        self.guesses.remove(&mac);
    }

    fn len(&self) -> usize {
        self.admitted.len() + self.guesses.len()
    }
}

/// The table.
#[derive(Debug)]
pub struct HostTable {
    hosts: DashMap<HostKey, HostEntry, RandomState>,
    /// Domains in which a MAC has an entry.
    domains: DashMap<MacAddr, BTreeSet<Domain>, RandomState>,
    /// Hosts by port and domain. None is empty.
    ports: DashMap<(DatapathId, PortNo), BTreeMap<Domain, Behind>, RandomState>,
    /// Widely admitted hosts by domain.
    learned: DashMap<Domain, BTreeMap<MacAddr, Attachment>, RandomState>,
    counts: DashMap<Domain, usize, RandomState>,
    count: AtomicUsize,
    generation: AtomicU64,
    full: AtomicU64,
    changes: [Changes; CHANGES],
}

impl Default for HostTable {
    fn default() -> HostTable {
        HostTable {
            hosts: DashMap::default(),
            domains: DashMap::default(),
            ports: DashMap::default(),
            learned: DashMap::default(),
            counts: DashMap::default(),
            count: AtomicUsize::new(0),
            generation: AtomicU64::new(0),
            full: AtomicU64::new(0),
            changes: std::array::from_fn(|_| Changes::default()),
        }
    }
}

impl HostTable {
    /// An empty table.
    pub fn new() -> HostTable {
        HostTable::default()
    }

    /// How often something about hosts with this MAC, or one of some others, has changed: where one
    /// is, or whether it is known. Never goes down but by overflow. Read before the table is asked,
    /// it tells later whether the answers still hold.
    #[inline]
    pub fn changes(&self, mac: MacAddr) -> u32 {
        self.counter(mac).load(Ordering::Acquire)
    }

    fn counter(&self, mac: MacAddr) -> &AtomicU32 {
        let [.., a, b, c] = mac.0;
        &self.changes[usize::from(a ^ b ^ c) % CHANGES].0
    }

    /// Counts a change. The caller has made it and still holds the host's shard, or has removed it.
    fn changed(&self, mac: MacAddr) {
        self.counter(mac).fetch_add(1, Ordering::Release);
    }

    /// How many hosts are known.
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// How often a host was not noted because of a bound.
    pub fn full_count(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    /// Notes where an admitted host is. Seen again at the same place, it writes to its own shard,
    /// at most once in [`REFRESH`].
    pub fn see(&self, key: HostKey, at: Attachment, seen: Seen, now: Instant) -> Sighting {
        // What is there already needs no room, and so no look at what other hosts share.
        let is_there = match self.hosts.get(&key) {
            Some(entry) if entry.says(at, seen, now) => return Sighting::Same,
            Some(entry) => entry.at == at,
            None => false,
        };
        let room = is_there || seen.widely || self.room(key, at, false);
        self.note(key, at, (seen, false), room, now)
    }

    /// Notes where a refused host may be, unless it is known better. Returns whether it was noted.
    pub fn see_tentative(&self, key: HostKey, at: Attachment, now: Instant) -> bool {
        matches!(self.guess(key, at, now), Sighting::New | Sighting::Same | Sighting::Moved { .. })
    }

    /// The same; says what it changed.
    pub(crate) fn guess(&self, key: HostKey, at: Attachment, now: Instant) -> Sighting {
        let room = self.room(key, at, true);
        self.note(key, at, (Seen::default(), true), room, now)
    }

    /// `room` is whether the bounds leave room for it there, if it is not there yet.
    fn note(
        &self,
        key: HostKey,
        at: Attachment,
        (seen, tentative): (Seen, bool),
        room: bool,
        now: Instant,
    ) -> Sighting {
        // One shard is locked from here to the end of the match: two sightings of one host are one
        // after the other. The indexes follow it; they may list a host that has just moved on, and
        // readers check them against the entry.
        let (sighting, old) = match self.hosts.entry(key) {
            Entry::Vacant(_) if !room => {
                self.full.fetch_add(1, Ordering::Relaxed);
                (Sighting::Full, None)
            }
            Entry::Vacant(place) => {
                let generation = self.next_generation();
                let entry = HostEntry { at, tentative, generation, seen, since: now, last: now };
                // Before anybody can take it away.
                *self.counts.entry(key.0).or_default() += 1;
                self.count.fetch_add(1, Ordering::Relaxed);
                let held = place.insert(entry);
                self.changed(key.1);
                drop(held);
                (Sighting::New, None)
            }
            Entry::Occupied(mut held) => {
                let entry = held.get_mut();
                let alive = now.saturating_duration_since(entry.last) <= entry.age_limit();
                if tentative && !entry.tentative && alive {
                    return Sighting::Guarded;
                }
                let old = *entry;
                if entry.at == at {
                    let promoted = entry.tentative && !tentative;
                    entry.tentative &= tentative;
                    entry.seen = seen;
                    entry.last = entry.last.max(now);
                    if promoted {
                        entry.generation = self.next_generation();
                        self.changed(key.1);
                    }
                    (if promoted { Sighting::New } else { Sighting::Same }, Some(old))
                } else if !entry.tentative
                    && now.saturating_duration_since(entry.since) < MOVE_GUARD
                {
                    return Sighting::Guarded;
                } else if !room {
                    self.full.fetch_add(1, Ordering::Relaxed);
                    held.remove();
                    (Sighting::Lost { from: old.at }, Some(old))
                } else {
                    let generation = self.next_generation();
                    *entry = HostEntry { at, tentative, generation, seen, since: now, last: now };
                    self.changed(key.1);
                    (Sighting::Moved { from: old.at }, Some(old))
                }
            }
        };
        match sighting {
            Sighting::Full => return sighting,
            Sighting::Lost { from } => {
                self.unindex(key, from);
                return sighting;
            }
            Sighting::Same if old.is_some_and(|old| old.seen == seen) => return sighting,
            _ => {}
        }
        self.index(key, old.map(|old| old.at));
        sighting
    }

    /// Whether the bounds leave room for a host at a place. Two threads that ask at once may both be let
    /// in by the last one, and so may a host that was there when it was seen and aged out just then.
    fn room(&self, (domain, _): HostKey, at: Attachment, tentative: bool) -> bool {
        let behind = |port: &BTreeMap<Domain, Behind>| {
            port.get(&domain).map_or((0, 0), |of| (of.len(), of.guesses.len()))
        };
        let (hosts, guesses) = self.ports.get(&(at.dpid, at.port)).map_or((0, 0), |p| behind(&p));
        if hosts >= HOSTS_PER_PORT || tentative && guesses >= TENTATIVE_PER_PORT {
            return false;
        }
        hosts < HOSTS_SURE
            || self.count.load(Ordering::Relaxed) < HOSTS
                && self.counts.get(&domain).is_none_or(|count| *count < HOSTS_PER_DOMAIN)
    }

    fn next_generation(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Has the indexes say what the table says of a host, which was at `before` for them. Others may do
    /// the same at once, one late and one early: whoever finds that the host has changed meanwhile does it
    /// again, so whoever is last leaves them true.
    fn index(&self, key: HostKey, mut before: Option<Attachment>) {
        let mut entry = self.locate(key);
        loop {
            self.index_as(key, before, entry);
            let now = self.locate(key);
            let is_true = match (entry, now) {
                (None, None) => true,
                (Some(entry), Some(now)) => {
                    (entry.generation, entry.seen) == (now.generation, now.seen)
                }
                _ => false,
            };
            if is_true {
                return;
            }
            before = entry.map(|entry| entry.at);
            entry = now;
        }
    }

    fn index_as(&self, key: HostKey, before: Option<Attachment>, entry: Option<HostEntry>) {
        let (domain, mac) = key;
        let port = |at: Attachment| (at.dpid, at.port);
        let now = entry.map(|entry| port(entry.at));
        if let Some(before) = before.map(port).filter(|before| Some(*before) != now) {
            self.unlist(before, key);
        }
        if let Some(HostEntry { at, tentative, .. }) = entry {
            let mut behind = self.ports.entry(port(at)).or_default();
            behind.entry(domain).or_default().list(mac, tentative);
            drop(behind);
            self.domains.entry(mac).or_default().insert(domain);
        } else if let Entry::Occupied(mut held) = self.domains.entry(mac) {
            held.get_mut().remove(&domain);
            if held.get().is_empty() {
                held.remove();
            }
        }
        match entry {
            Some(HostEntry { at, tentative: false, seen: Seen { widely: true, .. }, .. }) => {
                self.learned.entry(domain).or_default().insert(mac, at);
            }
            _ => self.unlearn(key),
        }
    }

    fn unlist(&self, port: (DatapathId, PortNo), (domain, mac): HostKey) {
        if let Entry::Occupied(mut held) = self.ports.entry(port) {
            if let Some(behind) = held.get_mut().get_mut(&domain) {
                behind.unlist(mac);
                if behind.len() == 0 {
                    held.get_mut().remove(&domain);
                }
            }
            if held.get().is_empty() {
                held.remove();
            }
        }
    }

    fn unlearn(&self, (domain, mac): HostKey) {
        if let Entry::Occupied(mut held) = self.learned.entry(domain) {
            held.get_mut().remove(&mac);
            if held.get().is_empty() {
                held.remove();
            }
        }
    }

    /// Marks a known admitted host as alive without having seen a frame of it.
    pub fn touch(&self, key: HostKey, now: Instant) {
        if let Some(mut entry) = self.hosts.get_mut(&key)
            && !entry.tentative
        {
            entry.last = entry.last.max(now);
        }
    }

    /// Whether a sighting there would be taken now.
    pub fn would_accept(&self, key: HostKey, at: Attachment, now: Instant) -> bool {
        self.hosts.get(&key).is_none_or(|entry| entry.lets_appear(at, now))
    }

    /// Where a host is.
    pub fn locate(&self, key: HostKey) -> Option<HostEntry> {
        self.hosts.get(&key).map(|entry| *entry)
    }

    /// The learned points of a domain with the hosts behind them, by MAC.
    pub fn learned(&self, domain: Domain, visit: &mut dyn FnMut(Attachment, MacAddr)) {
        let points = self.learned.get(&domain).map(|points| points.clone());
        for (mac, at) in points.iter().flatten() {
            visit(*at, *mac);
        }
    }

    /// How many hosts are behind a port, guesses counted.
    pub fn count_at(&self, dpid: DatapathId, port: PortNo) -> usize {
        self.ports.get(&(dpid, port)).map_or(0, |hosts| hosts.values().map(Behind::len).sum())
    }

    /// The hosts behind a port, by key.
    pub fn at_port(
        &self,
        dpid: DatapathId,
        port: PortNo,
        visit: &mut dyn FnMut(HostKey, &HostEntry),
    ) {
        let domains = self.ports.get(&(dpid, port)).map(|domains| domains.clone());
        let keys = domains.into_iter().flatten().flat_map(|(domain, behind)| {
            let mut macs = behind.admitted;
            macs.extend(behind.guesses);
            macs.into_iter().map(move |mac| (domain, mac))
        });
        for key in keys {
            let entry = self.locate(key).filter(|e| (e.at.dpid, e.at.port) == (dpid, port));
            if let Some(entry) = entry {
                visit(key, &entry);
            }
        }
    }

    /// The ports with hosts behind them, in order. Together with [`HostTable::at_port`] a walk over
    /// all hosts that holds no shard for longer than one port's hosts take.
    pub fn occupied_ports(&self) -> Vec<(DatapathId, PortNo)> {
        let mut ports: Vec<_> = self.ports.iter().map(|entry| *entry.key()).collect();
        ports.sort_unstable();
        ports
    }

    /// The domains in which a MAC is an admitted host, in order.
    pub fn domains_of(&self, mac: MacAddr, visit: &mut dyn FnMut(Domain)) {
        let domains = self.domains.get(&mac).map(|domains| domains.clone());
        for domain in domains.into_iter().flatten() {
            if self.locate((domain, mac)).is_some_and(|entry| !entry.tentative) {
                visit(domain);
            }
        }
    }

    /// All hosts, in order.
    pub fn all(&self) -> Vec<(HostKey, HostEntry)> {
        let mut all: Vec<_> = self.hosts.iter().map(|host| (*host.key(), *host.value())).collect();
        all.sort_by_key(|(key, _)| *key);
        all
    }

    /// Removes a host if it still is as `entry` says.
    fn remove(&self, key: HostKey, entry: &HostEntry) -> bool {
        if self.hosts.remove_if(&key, |_, held| held.generation == entry.generation).is_none() {
            return false;
        }
        self.unindex(key, entry.at);
        true
    }

    /// Takes a host that was removed out of all indexes.
    fn unindex(&self, key: HostKey, at: Attachment) {
        self.changed(key.1);
        self.index(key, Some(at));
        self.count.fetch_sub(1, Ordering::Relaxed);
        if let Entry::Occupied(mut held) = self.counts.entry(key.0) {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
    }

    /// Forgets the hosts behind a port: it went down or is a link. Returns them.
    pub fn forget_port(&self, dpid: DatapathId, port: PortNo) -> Vec<HostKey> {
        let mut hosts = Vec::new();
        self.at_port(dpid, port, &mut |key, entry| hosts.push((key, *entry)));
        hosts.retain(|(key, entry)| self.remove(*key, entry));
        hosts.into_iter().map(|(key, _)| key).collect()
    }

    /// Forgets the hosts behind a switch. Returns them.
    pub fn forget_switch(&self, dpid: DatapathId) -> Vec<HostKey> {
        self.forget(|_, entry| entry.at.dpid == dpid)
    }

    /// Forgets the hosts for which `gone` is true. Returns them in order.
    pub fn forget(&self, mut gone: impl FnMut(HostKey, &HostEntry) -> bool) -> Vec<HostKey> {
        let mut hosts = self.all();
        hosts.retain(|(key, entry)| gone(*key, entry) && self.remove(*key, entry));
        hosts.into_iter().map(|(key, _)| key).collect()
    }

    /// Asks of every host that is concerned what becomes of it. Returns those that are forgotten, in
    /// order.
    pub fn revise(
        &self,
        concerned: &Concerned,
        mut keeps: impl FnMut(HostKey, &HostEntry) -> Keeps,
    ) -> Vec<HostKey> {
        let mut gone = Vec::new();
        let mut changed = Vec::new();
        let mut ask = |key: HostKey, entry: &HostEntry| match keeps(key, entry) {
            Keeps::AsItIs => {}
            Keeps::Widely(widely) if entry.tentative || entry.seen.widely == widely => {}
            Keeps::Widely(widely) => changed.push((key, *entry, widely)),
            Keeps::Not => gone.push((key, *entry)),
        };
        match concerned {
            Concerned::All => self.hosts.iter().for_each(|host| ask(*host.key(), host.value())),
            Concerned::Only { macs, ports } => {
                let mut keys = BTreeSet::new();
                for mac in macs {
                    let domains = self.domains.get(mac);
                    keys.extend(domains.iter().flat_map(|of| of.iter().map(|of| (*of, *mac))));
                }
                for port in ports {
                    self.at_port(port.0, port.1, &mut |key, _| {
                        keys.insert(key);
                    });
                }
                for key in keys {
                    if let Some(entry) = self.locate(key) {
                        ask(key, &entry);
                    }
                }
            }
        }
        for (key, entry, widely) in changed {
            // Whoever has moved meanwhile was seen under the new rules.
            if let Some(mut held) = self.hosts.get_mut(&key)
                && held.generation == entry.generation
            {
                held.seen.widely = widely;
                drop(held);
                self.index(key, None);
            }
        }
        gone.sort_by_key(|(key, _)| *key);
        gone.retain(|(key, entry)| self.remove(*key, entry));
        gone.into_iter().map(|(key, _)| key).collect()
    }

    /// Forgets at most `most` hosts that have not been seen for their age. Returns them in order.
    pub fn expire(&self, now: Instant, most: usize) -> Vec<HostKey> {
        let mut old: Vec<_> = self
            .hosts
            .iter()
            .filter(|host| now.saturating_duration_since(host.last) > host.age_limit())
            .map(|host| (*host.key(), *host.value()))
            .take(most)
            .collect();
        old.sort_by_key(|(key, _)| *key);
        old.retain(|(key, entry)| self.remove(*key, entry));
        old.into_iter().map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use umlaut_openflow::Vid;

    fn at(dpid: u64, port: u32) -> Attachment {
        Attachment { dpid: DatapathId(dpid), port: PortNo(port), vid: Vid::Untagged }
    }

    fn host(mac: u64) -> HostKey {
        (Domain(1), MacAddr::from_u64(mac))
    }

    const WIDELY: Seen = Seen { widely: true, provisional: false };
    const PLAIN: Seen = Seen { widely: false, provisional: false };

    #[test]
    fn a_moved_host_is_relearned_on_the_new_port_after_the_guard() {
        let (table, t0) = (HostTable::new(), Instant::now());
        assert_eq!(table.see(host(1), at(1, 1), WIDELY, t0), Sighting::New);
        let early = t0 + MOVE_GUARD - Duration::from_millis(1);
        assert!(!table.would_accept(host(1), at(1, 2), early));
        assert_eq!(table.see(host(1), at(1, 2), WIDELY, early), Sighting::Guarded);
        assert_eq!(table.locate(host(1)).unwrap().at, at(1, 1));
        let late = t0 + MOVE_GUARD;
        let moved = Sighting::Moved { from: at(1, 1) };
        assert_eq!(table.see(host(1), at(1, 2), WIDELY, late), moved);
        let mut learned = Vec::new();
        table.learned(Domain(1), &mut |at, mac| learned.push((at, mac)));
        assert_eq!(learned, [(at(1, 2), host(1).1)]);
        let mut behind = 0;
        table.at_port(DatapathId(1), PortNo(1), &mut |_, _| behind += 1);
        assert_eq!(behind, 0);
    }

    #[test]
    fn a_port_down_waives_the_guard() {
        let (table, t0) = (HostTable::new(), Instant::now());
        table.see(host(1), at(1, 1), WIDELY, t0);
        assert_eq!(table.forget_port(DatapathId(1), PortNo(1)), [host(1)]);
        assert_eq!(table.see(host(1), at(1, 2), WIDELY, t0), Sighting::New);
    }

    #[test]
    fn a_tentative_place_never_replaces_an_admitted_one() {
        let (table, t0) = (HostTable::new(), Instant::now());
        assert!(table.see_tentative(host(1), at(1, 1), t0));
        assert!(table.locate(host(1)).unwrap().tentative);
        assert_eq!(
            table.see(host(1), at(1, 2), PLAIN, t0),
            Sighting::Moved { from: at(1, 1) },
            "no guard protects a guess"
        );
        assert!(!table.see_tentative(host(1), at(1, 3), t0 + Duration::from_secs(60)));
        assert_eq!(table.locate(host(1)).unwrap().at, at(1, 2));
    }

    #[test]
    fn hosts_age_and_live_flows_keep_them() {
        let (table, t0) = (HostTable::new(), Instant::now());
        table.see(host(1), at(1, 1), PLAIN, t0);
        table.see(host(2), at(1, 1), PLAIN, t0);
        table.see_tentative(host(3), at(1, 1), t0);
        let later = t0 + TENTATIVE_AGE + Duration::from_secs(1);
        assert_eq!(table.expire(later, 10), [host(3)]);
        table.touch(host(2), later);
        assert_eq!(table.expire(t0 + HOST_AGE + Duration::from_secs(1), 10), [host(1)]);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_new_policy_forgets_hosts_or_changes_how_they_are_known() {
        let (table, t0) = (HostTable::new(), Instant::now());
        for mac in 1..=3 {
            table.see(host(mac), at(1, 1), PLAIN, t0);
        }
        let learned = |table: &HostTable| {
            let mut learned = Vec::new();
            table.learned(Domain(1), &mut |_, mac| learned.push(mac));
            learned
        };
        assert_eq!(learned(&table), []);
        let gone = table.revise(&Concerned::All, |key, _| match key.1.to_u64() {
            1 => Keeps::Not,
            2 => Keeps::Widely(true),
            _ => Keeps::AsItIs,
        });
        assert_eq!((gone, table.len()), (vec![host(1)], 2));
        assert_eq!(learned(&table), [host(2).1]);
        assert_eq!(table.revise(&Concerned::All, |_, _| Keeps::Widely(false)), []);
        assert_eq!(learned(&table), []);
    }

    #[test]
    fn only_hosts_that_are_concerned_are_asked_about() {
        let (table, t0) = (HostTable::new(), Instant::now());
        for mac in 1..=6 {
            table.see(host(mac), at(1, mac as u32 / 2), PLAIN, t0);
        }
        table.see((Domain(2), host(1).1), at(2, 1), PLAIN, t0);
        let concerned = Concerned::Only {
            macs: [1, 9].map(MacAddr::from_u64).into(),
            ports: [(DatapathId(1), PortNo(2)), (DatapathId(1), PortNo(9))].into(),
        };
        let mut asked = Vec::new();
        let gone = table.revise(&concerned, |key, _| {
            asked.push(key);
            Keeps::Not
        });
        assert_eq!(asked, [host(1), host(4), host(5), (Domain(2), host(1).1)]);
        assert_eq!((gone, table.len()), (asked, 3));
    }

    #[test]
    fn guesses_per_port_are_few() {
        let (table, t0) = (HostTable::new(), Instant::now());
        let noted = (0..100).filter(|n| table.see_tentative(host(*n), at(1, 1), t0)).count();
        assert_eq!(noted, TENTATIVE_PER_PORT);
        assert_eq!(table.full_count(), 100 - TENTATIVE_PER_PORT as u64);
    }

    #[test]
    fn who_fills_a_port_keeps_out_its_own_domain_but_for_those_who_are_named() {
        let (table, t0) = (HostTable::new(), Instant::now());
        for mac in 0..HOSTS_PER_PORT as u64 {
            table.see(host(mac + 1), at(1, 1), PLAIN, t0);
        }
        let own = |mac| host(1_u64 << 30 | mac);
        assert_eq!(table.see(own(1), at(1, 1), PLAIN, t0), Sighting::Full);
        assert_eq!(table.full_count(), 1);
        assert_eq!(table.see(own(2), at(1, 1), WIDELY, t0), Sighting::New);
        // One that was elsewhere is believed to be there, too.
        table.see(own(3), at(1, 2), WIDELY, t0);
        let moved = Sighting::Moved { from: at(1, 2) };
        assert_eq!(table.see(own(3), at(1, 1), WIDELY, t0 + MOVE_GUARD), moved);
        // One that is not named is not where it was any more, nor is it noted where it is.
        table.see(own(5), at(1, 2), PLAIN, t0);
        let (known, changes) = (table.len(), table.changes(own(5).1));
        assert_eq!(table.see(own(5), at(1, 1), PLAIN, t0), Sighting::Guarded);
        let later = t0 + MOVE_GUARD;
        let lost = Sighting::Lost { from: at(1, 2) };
        assert_eq!(table.see(own(5), at(1, 1), PLAIN, later), lost);
        assert_eq!((table.locate(own(5)), table.len()), (None, known - 1));
        assert_ne!(table.changes(own(5).1), changes);
        assert_eq!(table.count_at(DatapathId(1), PortNo(2)), 0);
        assert_eq!(table.see(own(5), at(1, 1), PLAIN, later), Sighting::Full);
        assert_eq!(table.see(own(5), at(1, 2), PLAIN, later), Sighting::New);
        // Others, and its own on other ports, do not notice.
        let other = |mac| (Domain(2), MacAddr::from_u64(mac));
        assert_eq!(table.see(other(1), at(1, 1), PLAIN, t0), Sighting::New);
        assert!(table.see_tentative(other(2), at(1, 1), t0));
        assert_eq!(table.see(own(4), at(1, 2), PLAIN, t0), Sighting::New);
    }

    #[test]
    fn guesses_of_one_domain_leave_room_for_those_of_another() {
        let (table, t0) = (HostTable::new(), Instant::now());
        (0..100).for_each(|n| {
            table.see_tentative(host(n), at(1, 1), t0);
        });
        assert!(table.see_tentative((Domain(2), host(1).1), at(1, 1), t0));
        // Whoever is admitted is no guess any more, and makes room for one.
        assert_eq!(table.see(host(1), at(1, 1), PLAIN, t0), Sighting::New);
        assert!(table.see_tentative(host(101), at(1, 1), t0));
        assert!(!table.see_tentative(host(102), at(1, 1), t0));
    }

    #[test]
    fn a_full_domain_leaves_some_room_on_each_port() {
        let (table, t0) = (HostTable::new(), Instant::now());
        let per_port = HOSTS_PER_PORT as u64;
        for mac in 0..HOSTS_PER_DOMAIN as u64 {
            table.see(host(mac), at(1, 1 + (mac / per_port) as u32), PLAIN, t0);
        }
        let late = |mac: u64| host(1_u64 << 30 | mac);
        let sure = HOSTS_SURE as u64;
        let noted = |port| {
            let macs = (0..2 * sure).map(|n| late(u64::from(port) << 20 | n));
            macs.filter(|key| table.see(*key, at(1, port), PLAIN, t0) == Sighting::New).count()
        };
        assert_eq!([noted(1), noted(8), noted(9)], [0, HOSTS_SURE, HOSTS_SURE]);
        // Other domains have room, and as hosts go, so does this one.
        assert_eq!(table.see((Domain(2), late(1).1), at(1, 1), PLAIN, t0), Sighting::New);
        table.forget_port(DatapathId(1), PortNo(1));
        assert_eq!(table.see(late(1 << 28), at(1, 8), PLAIN, t0), Sighting::New);
    }

    #[test]
    fn a_full_table_leaves_some_room_for_each_domain_on_each_port() {
        let (table, t0) = (HostTable::new(), Instant::now());
        table.see((Domain(7), host(1).1), at(1, 1), PLAIN, t0);
        // As if others had filled it.
        table.count.store(HOSTS, Ordering::Relaxed);
        let of = |domain: u64, mac: u64| (Domain(domain), MacAddr::from_u64(mac));
        for domain in 7..9 {
            let seen = (0..100).map(|mac| table.see(of(domain, mac), at(1, 1), PLAIN, t0));
            let known = seen.filter(|seen| matches!(seen, Sighting::New | Sighting::Same));
            assert_eq!(known.count(), HOSTS_SURE);
        }
    }

    #[test]
    fn domains_keep_one_mac_apart() {
        let (table, t0) = (HostTable::new(), Instant::now());
        let mac = MacAddr::from_u64(7);
        table.see((Domain(1), mac), at(1, 1), PLAIN, t0);
        table.see((Domain(2), mac), at(1, 2), PLAIN, t0);
        table.see_tentative((Domain(3), mac), at(1, 3), t0);
        let mut domains = Vec::new();
        table.domains_of(mac, &mut |domain| domains.push(domain));
        assert_eq!(domains, [Domain(1), Domain(2)]);
    }

    #[test]
    fn two_threads_leave_the_indexes_true() {
        for _ in 0..10 {
            two_threads();
        }
    }

    fn two_threads() {
        let (table, t0) = (HostTable::new(), Instant::now());
        std::thread::scope(|scope| {
            for thread in 0..2u32 {
                let table = &table;
                scope.spawn(move || {
                    for step in 0..2000u64 {
                        let now = t0 + MOVE_GUARD * step as u32;
                        let place = at(1, 1 + (step as u32 + thread) % 3);
                        table.see(host(step % 5), place, WIDELY, now);
                        if step % 7 == 0 {
                            table.forget_port(DatapathId(1), PortNo(1 + step as u32 % 3));
                        }
                    }
                });
            }
        });
        // Whatever the order was, every host is found where its entry says.
        for (key, entry) in table.all() {
            let mut found = false;
            table.at_port(entry.at.dpid, entry.at.port, &mut |k, _| found |= k == key);
            assert!(found, "{key:?} {entry:?}");
            let mut learned = Vec::new();
            table.learned(key.0, &mut |at, mac| learned.extend((mac == key.1).then_some(at)));
            assert_eq!(learned, [entry.at], "{key:?} {entry:?}");
        }
    }
}

//! What a session was told of hosts a moment ago: frames of busy hosts do not ask the shared table,
//! whose locks and places in memory would be most of what they cost. Pure but for the shared tables of
//! [`View`].

use std::hash::BuildHasher;
use std::time::Instant;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use umlaut_openflow::{Attachment, MacAddr};

use crate::hosts::{Domain, HostKey, REFRESH, Seen, Sighting};
use crate::view::View;

/// Hosts of which one session remembers what it was told. When there are as many, it forgets them all
/// and asks again.
const HOSTS: usize = 1 << 14;
const _: () = assert!(HOSTS <= 1 << u16::BITS);

/// In how many beats [`REFRESH`] is divided: as many kinds of hosts each have theirs at another one, so
/// that the table does not hear of all at one moment.
const BEATS: u32 = 16;

/// What the table said of a host.
#[derive(Clone, Copy, Debug)]
struct Known {
    domain: Domain,
    mac: MacAddr,
    /// How it was seen there as an admitted host, if that was asked.
    seen: Option<Seen>,
    at: Attachment,
    /// What the answer stands on.
    stamp: u32,
}

// One for each host that is busy.
const _: () = assert!(size_of::<Known>() <= 40);

/// What one session was told.
#[derive(Debug)]
pub(crate) struct HostCache {
    known: Vec<Known>,
    /// Their places, by domain and address.
    places: HashTable<u16>,
    hasher: RandomState,
    /// When the session began, the time that was last looked at, and how many [`BEATS`] it is since.
    since: Instant,
    now: Instant,
    beats: u32,
}

impl HostCache {
    pub(crate) fn new(now: Instant) -> HostCache {
        HostCache {
            known: Vec::new(),
            places: HashTable::new(),
            hasher: RandomState::default(),
            since: now,
            now,
            beats: 0,
        }
    }

    /// What answers about a host stand on: that nothing about it has changed, nor the World; and for
    /// no longer than a second, so that the table hears of hosts that are busy, of one in sixteen at a
    /// time. None of the three goes down, so their sum is the same only if they are.
    #[inline]
    fn stamp(&mut self, view: &View<'_>, mac: MacAddr) -> u32 {
        if view.now != self.now {
            self.now = view.now;
            let time = view.now.saturating_duration_since(self.since);
            self.beats = (time.as_millis() / (REFRESH.as_millis() / u128::from(BEATS))) as u32;
        }
        let [.., a, b] = mac.0;
        let period = (self.beats + u32::from(a ^ b) % BEATS) / BEATS;
        let changes = view.net.hosts.changes(mac);
        changes.wrapping_add(period).wrapping_add(view.revision as u32)
    }

    #[inline]
    fn find(&self, hash: u64, key: HostKey) -> Option<&Known> {
        let known = |place: &u16| &self.known[usize::from(*place)];
        self.places.find(hash, |place| known(place).is_of(key)).map(known)
    }

    /// As [`crate::hosts::HostTable::see`].
    #[inline]
    pub(crate) fn see(
        &mut self,
        view: &View<'_>,
        key: HostKey,
        at: Attachment,
        seen: Seen,
    ) -> Sighting {
        let (stamp, hash) = (self.stamp(view, key.1), hash(&self.hasher, key));
        if let Some(known) = self.find(hash, key)
            && known.stamp == stamp
            && known.at == at
            && known.seen == Some(seen)
        {
            return Sighting::Same;
        }
        let sighting = view.net.hosts.see(key, at, seen, view.now);
        if !matches!(sighting, Sighting::Guarded | Sighting::Full | Sighting::Lost { .. }) {
            self.note(hash, Known { domain: key.0, mac: key.1, seen: Some(seen), at, stamp });
        }
        sighting
    }

    /// Where a host is, as [`crate::hosts::HostTable::locate`] says.
    #[inline]
    pub(crate) fn locate(&mut self, view: &View<'_>, key: HostKey) -> Option<Attachment> {
        let (stamp, hash) = (self.stamp(view, key.1), hash(&self.hasher, key));
        if let Some(known) = self.find(hash, key)
            && known.stamp == stamp
        {
            return Some(known.at);
        }
        let at = view.net.hosts.locate(key)?.at;
        self.note(hash, Known { domain: key.0, mac: key.1, seen: None, at, stamp });
        Some(at)
    }

    #[inline(never)]
    fn note(&mut self, hash_of_it: u64, new: Known) {
        let HostCache { known, places, hasher, .. } = self;
        let same = |place: &u16| known[usize::from(*place)].is_of((new.domain, new.mac));
        if let Some(place) = places.find(hash_of_it, same) {
            known[usize::from(*place)] = new;
            return;
        }
        if known.len() >= HOSTS {
            known.clear();
            places.clear();
        }
        places.insert_unique(hash_of_it, known.len() as u16, |place| {
            let known = &known[usize::from(*place)];
            hash(hasher, (known.domain, known.mac))
        });
        known.push(new);
    }
}

impl Known {
    #[inline]
    fn is_of(&self, (domain, mac): HostKey) -> bool {
        self.mac == mac && self.domain == domain
    }
}

/// A hasher takes words faster than bytes.
#[inline]
fn hash(hasher: &RandomState, (domain, mac): HostKey) -> u64 {
    hasher.hash_one((domain.0, mac.to_u64()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use umlaut_openflow::{DatapathId, PortNo, Vid};

    use super::*;
    use crate::hosts::HOST_AGE;
    use crate::topology::Topology;
    use crate::view::{Net, Unobserved};

    const HOST: HostKey = (Domain(1), MacAddr([2, 0, 0, 0, 0, 1]));

    fn at(port: u32) -> Attachment {
        Attachment { dpid: DatapathId(1), port: PortNo(port), vid: Vid::Untagged }
    }

    /// Runs with a cache and a view of this time and revision.
    fn with(
        net: &Net,
        cache: &mut HostCache,
        now: Instant,
        revision: u64,
        run: impl FnOnce(&mut HostCache, &View<'_>),
    ) {
        let topology = Topology::default();
        run(cache, &View { now, revision, policy_revision: 1, topology: &topology, net });
    }

    #[test]
    fn what_it_says_is_what_the_table_says() {
        let (net, t0) = (Net::new(Box::new(Unobserved), 1), Instant::now());
        let mut cache = HostCache::new(t0);
        let (plain, widely) = (Seen::default(), Seen { widely: true, provisional: false });
        with(&net, &mut cache, t0, 1, |cache, view| {
            assert_eq!(cache.locate(view, HOST), None);
            assert_eq!(cache.see(view, HOST, at(1), plain), Sighting::New);
            for _ in 0..3 {
                assert_eq!(cache.see(view, HOST, at(1), plain), Sighting::Same);
                assert_eq!(cache.locate(view, HOST), Some(at(1)));
            }
            // Seen otherwise, the table is told.
            assert_eq!(cache.see(view, HOST, at(1), widely), Sighting::Same);
            assert_eq!(net.hosts.locate(HOST).unwrap().seen(), widely);
            assert_eq!(cache.see(view, HOST, at(2), plain), Sighting::Guarded);
            assert_eq!(cache.locate(view, HOST), Some(at(1)));
            // What another session does is seen at once.
            net.hosts.forget_port(DatapathId(1), PortNo(1));
            assert_eq!(cache.locate(view, HOST), None);
            assert_eq!(cache.see(view, HOST, at(2), plain), Sighting::New);
            assert_eq!(cache.locate(view, HOST), Some(at(2)));
        });
    }

    #[test]
    fn the_table_hears_of_a_busy_host() {
        let (net, t0) = (Net::new(Box::new(Unobserved), 1), Instant::now());
        let mut cache = HostCache::new(t0);
        let mut now = t0;
        while now < t0 + HOST_AGE * 2 {
            with(&net, &mut cache, now, 1, |cache, view| {
                cache.see(view, HOST, at(1), Seen::default());
            });
            assert!(now - net.hosts.locate(HOST).unwrap().last_seen() < REFRESH * 2);
            now += Duration::from_millis(300);
        }
    }

    #[test]
    fn the_table_does_not_hear_of_all_at_one_moment() {
        const KINDS: usize = 256;
        let (net, t0) = (Net::new(Box::new(Unobserved), 1), Instant::now());
        let mut cache = HostCache::new(t0);
        let hosts: Vec<HostKey> =
            (0..KINDS as u64).map(|n| (Domain(1), MacAddr::from_u64(n))).collect();
        let beat = REFRESH / BEATS;
        for beats in 0..=3 * BEATS {
            let now = t0 + beat * beats;
            with(&net, &mut cache, now, 1, |cache, view| {
                for (n, host) in (1..).zip(&hosts) {
                    cache.see(view, *host, at(n), Seen::default());
                }
            });
            let told = |host: &&HostKey| net.hosts.locate(**host).unwrap().last_seen() == now;
            let told = hosts.iter().filter(told).count();
            // The first second's are as old as the session.
            if beats > 2 * BEATS {
                assert_eq!(told, KINDS / BEATS as usize, "after {beats}");
            }
        }
    }

    #[test]
    fn a_guess_is_no_sighting() {
        let (net, t0) = (Net::new(Box::new(Unobserved), 1), Instant::now());
        let mut cache = HostCache::new(t0);
        net.hosts.see_tentative(HOST, at(1), t0);
        with(&net, &mut cache, t0, 1, |cache, view| {
            assert_eq!(cache.locate(view, HOST), Some(at(1)));
            assert_eq!(cache.see(view, HOST, at(1), Seen::default()), Sighting::New);
        });
    }

    #[test]
    fn under_a_new_world_the_table_is_asked_again() {
        let (net, t0) = (Net::new(Box::new(Unobserved), 1), Instant::now());
        let mut cache = HostCache::new(t0);
        let widely = Seen { widely: true, provisional: false };
        with(&net, &mut cache, t0, 1, |cache, view| {
            cache.see(view, HOST, at(1), widely);
            cache.see(view, HOST, at(1), widely);
        });
        // A new policy says otherwise of the host, and nothing else about it has changed.
        net.hosts
            .revise(&crate::concerned::Concerned::All, |_, _| crate::hosts::Keeps::Widely(false));
        with(&net, &mut cache, t0, 2, |cache, view| {
            assert_eq!(cache.see(view, HOST, at(1), widely), Sighting::Same);
        });
        assert_eq!(net.hosts.locate(HOST).unwrap().seen(), widely);
    }

    #[test]
    fn it_is_bounded() {
        let (net, t0) = (Net::new(Box::new(Unobserved), 1), Instant::now());
        let mut cache = HostCache::new(t0);
        with(&net, &mut cache, t0, 1, |cache, view| {
            for n in 0..HOSTS as u64 + 10 {
                let port = PortNo(1 + n as u32 % 1000);
                let key = (Domain(1), MacAddr::from_u64(n));
                cache.see(view, key, Attachment { port, ..at(1) }, Seen::default());
                assert_eq!(cache.locate(view, key).map(|at| at.port), Some(port));
            }
        });
        assert!(cache.known.len() <= HOSTS);
    }
}

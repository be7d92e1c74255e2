//! Storms: how many packet-ins the hosts of one domain may cause on one port. Pure: no IO, no clock,
//! no locks.
//!
//! ```text
//!  packet-in ─▶ bucket of (port, domain) ─┬─ has a token ─▶ is decided
//!                                         └─ is empty ───▶ is dropped; after 100 ms of that the
//!                                                          switch is asked to drop them itself
//! ```
//! Each has a bucket of its own, so whoever storms uses up nobody else's.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use umlaut_openflow::{MacAddr, PortNo};

use crate::hosts::Domain;
use crate::slot_index::SlotIndex;

/// How long packet-ins are dropped here before the switch is asked to drop them itself: a burst is
/// over by then.
pub const BLOCK_AFTER: Duration = Duration::from_millis(100);
/// After this long without a dropped packet-in, the next one is another storm and told anew.
pub const STORM_OVER: Duration = Duration::from_secs(10);
/// Buckets of one switch. When there are as many, the full ones are forgotten, which are like new
/// ones; a packet-in takes half a millisecond of the usual rate to be made up for, so nearly all are.
/// Should none be, packet-ins of further keys are decided without a bucket: nobody pays for others.
pub const STORM_BUCKETS: usize = 4096;

/// What a full bucket holds, in time: a second's worth.
const BURST: u64 = 1_000_000_000;
/// Senders of a storm that are counted apart.
const SENDERS: usize = 4;
/// The heaviest sender is blocked alone if it sent one of so many of the dropped frames.
const SHARE: u32 = 8;
/// Fewer dropped packet-ins are no storm but a rate just above the limit: they say nothing of who
/// sends most, and dropping them here costs nothing.
const FEWEST: u32 = 16;

/// Whose frames a storm consists of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Storming {
    /// Those of the sender of this frame, or many of them.
    Sender,
    /// Those of ever-changing senders.
    Many,
}

/// What becomes of a packet-in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is decided.
    Pass,
    /// It is dropped.
    Drop,
    /// It is dropped, and so should be the frames like it, at the switch: at most once in
    /// [`BLOCK_AFTER`] for each key.
    Block {
        /// Which frames those are.
        who: Storming,
        /// Nobody was told of this storm yet.
        first: bool,
    },
}

/// Where packet-ins come from: the port, and the domain that admits the sender; those of senders
/// that none admits share a bucket on each port. In words, which a hasher takes fastest.
type Key = (u64, u64);

/// Where a bucket was found. It may be elsewhere by now, which is seen, and costs a look-up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct BucketNo(u16);

const _: () = assert!(STORM_BUCKETS <= 1 << u16::BITS);

fn key(port: PortNo, domain: Option<Domain>) -> Key {
    let admitted = u64::from(domain.is_some());
    (admitted << 32 | u64::from(port.0), domain.map_or(0, |domain| domain.0))
}

/// The buckets of one switch.
#[derive(Debug)]
pub struct Storms {
    /// Times are counted from here, in nanoseconds.
    since: Instant,
    /// The last time that was asked for, so counted: all packet-ins of a turn have the same.
    last: (Instant, u64),
    /// No two of one key.
    buckets: Vec<Bucket>,
    by_key: SlotIndex,
    hasher: RandomState,
    /// Of buckets that were empty a short while ago, which few are.
    storming: HashMap<Key, Storm, RandomState>,
    /// When full buckets were last forgotten.
    swept: u64,
}

/// In one line of memory.
#[derive(Debug)]
#[repr(align(32))]
struct Bucket {
    key: Key,
    /// When it is full again.
    full_at: u64,
    /// What one packet-in takes, in time.
    cost: u32,
}

/// What there is to know of a bucket that was empty.
#[derive(Debug, Default)]
struct Storm {
    /// When it was found empty, and when last; never with a pause of [`BLOCK_AFTER`] between.
    since: u64,
    last: u64,
    told: bool,
    /// Dropped packet-ins since `since`.
    dropped: u32,
    /// Who sent most of them (Misra and Gries): whoever sent more than one in five has a count.
    senders: [(MacAddr, u32); SENDERS],
}

impl Storms {
    /// No packet-in yet.
    pub fn new(now: Instant) -> Storms {
        Storms {
            since: now,
            last: (now, 0),
            buckets: Vec::new(),
            by_key: SlotIndex::new(),
            hasher: RandomState::default(),
            storming: HashMap::default(),
            swept: 0,
        }
    }

    fn time(&mut self, now: Instant) -> u64 {
        if now != self.last.0 {
            // Five centuries fit.
            self.last = (now, now.saturating_duration_since(self.since).as_nanos() as u64);
        }
        self.last.1
    }

    /// Takes a token for a packet-in of a sender whose like was let pass before, from a bucket that was
    /// `at` this place then; returns where it is. `None`, too, if it is not known at what rate they may
    /// pass: then [`Storms::take`] says what becomes of it.
    #[inline]
    pub(crate) fn take_again(
        &mut self,
        at: BucketNo,
        (port, domain): (PortNo, Domain),
        now: Instant,
    ) -> Option<BucketNo> {
        let (now, key) = (self.time(now), key(port, Some(domain)));
        let there = self.buckets.get(usize::from(at.0)).is_some_and(|bucket| bucket.key == key);
        let at = if there { at } else { self.find(self.hasher.hash_one(key), key)? };
        self.buckets[usize::from(at.0)].take(now).then_some(at)
    }

    /// Takes a token for a packet-in, of `rate` a second, with a burst of one second's worth.
    pub fn take(
        &mut self,
        port: PortNo,
        domain: Option<Domain>,
        sender: MacAddr,
        rate: u32,
        now: Instant,
    ) -> Verdict {
        let (now, key) = (self.time(now), key(port, domain));
        let cost = (BURST / u64::from(rate.max(1))).max(1) as u32;
        let Some(BucketNo(at)) = self.bucket(key, now) else { return Verdict::Pass };
        let bucket = &mut self.buckets[usize::from(at)];
        bucket.cost = cost;
        if bucket.take(now) {
            return Verdict::Pass;
        }
        let storm = || Storm { since: now, last: now, ..Storm::default() };
        self.storming.entry(key).or_insert_with(storm).refuse(now, sender)
    }

    /// The bucket of a key, which is made if there is none; `None` if there is no room.
    fn bucket(&mut self, key: Key, now: u64) -> Option<BucketNo> {
        let hash = self.hasher.hash_one(key);
        if let Some(at) = self.find(hash, key) {
            return Some(at);
        }
        if self.buckets.len() >= STORM_BUCKETS {
            self.sweep(now);
        }
        let at = BucketNo(self.buckets.len() as u16);
        (self.buckets.len() < STORM_BUCKETS).then(|| {
            self.buckets.push(Bucket { key, full_at: now, cost: 0 });
            self.by_key.insert(hash, u32::from(at.0));
            at
        })
    }

    #[inline]
    fn find(&self, hash: u64, key: Key) -> Option<BucketNo> {
        let at = self.by_key.find(hash, |at| self.buckets[at as usize].key == key)?;
        Some(BucketNo(at as u16))
    }

    /// Forgets full buckets. Once in [`BLOCK_AFTER`], so that a table that stays full costs no walk
    /// for each packet-in.
    fn sweep(&mut self, now: u64) {
        if self.swept == 0 || now.saturating_sub(self.swept) >= nanos(BLOCK_AFTER) {
            self.swept = now.max(1);
            let is_over = |storm: &Storm| now.saturating_sub(storm.last) > nanos(STORM_OVER);
            self.storming.retain(|_, storm| !is_over(storm));
            let Storms { buckets, by_key, hasher, storming, .. } = self;
            buckets.retain(|bucket| bucket.full_at > now || storming.contains_key(&bucket.key));
            by_key.clear();
            for (at, bucket) in (0..).zip(&*buckets) {
                by_key.insert(hasher.hash_one(bucket.key), at);
            }
        }
    }
}

impl Bucket {
    #[inline]
    fn take(&mut self, now: u64) -> bool {
        let full_at = self.full_at.max(now) + u64::from(self.cost);
        let has = full_at <= now + BURST;
        if has {
            self.full_at = full_at;
        }
        has
    }
}

impl Storm {
    fn refuse(&mut self, now: u64, sender: MacAddr) -> Verdict {
        let pause = now.saturating_sub(self.last);
        if pause >= nanos(BLOCK_AFTER) {
            self.begin(now);
        }
        self.told &= pause <= nanos(STORM_OVER);
        self.last = now;
        self.dropped = self.dropped.saturating_add(1);
        self.count(sender);
        if now.saturating_sub(self.since) < nanos(BLOCK_AFTER) || self.dropped < FEWEST {
            return Verdict::Drop;
        }
        let most = self.senders.iter().map(|(_, count)| *count).max().unwrap_or(0);
        let who = match most >= self.dropped.div_ceil(SHARE) {
            true if !self.senders.contains(&(sender, most)) => return Verdict::Drop,
            true => Storming::Sender,
            false => Storming::Many,
        };
        self.begin(now);
        Verdict::Block { who, first: !std::mem::replace(&mut self.told, true) }
    }

    fn begin(&mut self, now: u64) {
        *self = Storm { since: now, last: self.last, told: self.told, ..Storm::default() };
    }

    fn count(&mut self, sender: MacAddr) {
        if let Some((_, count)) = self.senders.iter_mut().find(|(of, n)| *of == sender && *n > 0) {
            *count += 1;
        } else if let Some(free) = self.senders.iter_mut().find(|(_, n)| *n == 0) {
            *free = (sender, 1);
        } else {
            self.senders.iter_mut().for_each(|(_, count)| *count -= 1);
        }
    }
}

const fn nanos(time: Duration) -> u64 {
    time.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: u32 = 2000;
    const PORT: PortNo = PortNo(1);

    fn mac(n: u64) -> MacAddr {
        MacAddr::from_u64(n)
    }

    /// The verdicts on packet-ins of one key that come every `gap`, of these senders in turn.
    fn verdicts(senders: &[u64], gap: Duration, count: u32) -> Vec<(Duration, Verdict)> {
        let start = Instant::now();
        let mut storms = Storms::new(start);
        let at = (0..count).map(|n| gap * n);
        let senders = senders.iter().cycle();
        at.zip(senders)
            .map(|(at, sender)| (at, storms.take(PORT, None, mac(*sender), RATE, start + at)))
            .collect()
    }

    fn blocks(verdicts: &[(Duration, Verdict)]) -> Vec<(Duration, Storming, bool)> {
        let block = |(at, verdict): &(Duration, Verdict)| match *verdict {
            Verdict::Block { who, first } => Some((*at, who, first)),
            Verdict::Pass | Verdict::Drop => None,
        };
        verdicts.iter().filter_map(block).collect()
    }

    #[test]
    fn a_burst_of_a_second_passes_and_the_rate_for_ever() {
        let burst = verdicts(&[1], Duration::ZERO, RATE);
        assert!(burst.iter().all(|(_, verdict)| *verdict == Verdict::Pass));
        let steady = verdicts(&[1], Duration::from_micros(500), 20 * RATE);
        assert!(steady.iter().all(|(_, verdict)| *verdict == Verdict::Pass));
    }

    #[test]
    fn a_sender_that_storms_is_dropped_at_once_and_blocked_after_100_ms_told_once() {
        let storm = verdicts(&[1], Duration::from_micros(20), 50_000);
        let first = storm.iter().find(|(_, verdict)| *verdict != Verdict::Pass).unwrap();
        assert_eq!(first.1, Verdict::Drop);
        let blocks = blocks(&storm);
        assert_eq!(blocks[0], (first.0 + BLOCK_AFTER, Storming::Sender, true));
        for (before, after) in blocks.iter().zip(&blocks[1..]) {
            assert!(after.0 - before.0 >= BLOCK_AFTER);
            assert_eq!((after.1, after.2), (Storming::Sender, false));
        }
        let passed = storm.iter().filter(|(_, verdict)| *verdict == Verdict::Pass).count();
        // It ends just before a second has passed.
        assert_eq!(passed, RATE as usize * 2 - 1, "a second's worth and what comes in a second");
    }

    #[test]
    fn the_sender_of_most_frames_is_blocked_and_not_who_is_beside_it() {
        let start = Instant::now();
        let mut storms = Storms::new(start);
        let mut blocked = 0;
        for n in 0..50_000_u32 {
            // One frame in ten is of one of the many others.
            let sender = if n % 10 == 0 { 100 + u64::from(n) } else { 1 };
            let now = start + Duration::from_micros(20) * n;
            if let Verdict::Block { who, .. } = storms.take(PORT, None, mac(sender), RATE, now) {
                assert_eq!((who, sender), (Storming::Sender, 1));
                blocked += 1;
            }
        }
        assert!(blocked > 5, "{blocked}");
    }

    #[test]
    fn ever_changing_senders_are_many() {
        let senders: Vec<u64> = (0..10_000).collect();
        let blocks = blocks(&verdicts(&senders, Duration::from_micros(20), 50_000));
        assert!(blocks.len() > 5);
        assert!(blocks.iter().all(|(_, who, _)| *who == Storming::Many));
        // Of three each has its turn.
        let three = super::tests::blocks(&verdicts(&[1, 2, 3], Duration::from_micros(20), 50_000));
        assert!(three.iter().all(|(_, who, _)| *who == Storming::Sender));
    }

    #[test]
    fn a_storm_is_told_again_after_quiet() {
        let start = Instant::now();
        let mut storms = Storms::new(start);
        let mut told = Vec::new();
        for pause in [Duration::ZERO, Duration::from_secs(5), Duration::from_secs(30)] {
            for n in 0..20_000 {
                let now = start + pause + Duration::from_micros(20) * n;
                let verdict = storms.take(PORT, None, mac(1), RATE, now);
                if let Verdict::Block { first, .. } = verdict {
                    told.push((pause.as_secs(), first));
                }
            }
        }
        let firsts: Vec<_> = told.iter().filter(|(_, first)| *first).map(|(at, _)| *at).collect();
        assert_eq!(firsts, [0, 30], "{told:?}");
        assert!(told.contains(&(5, false)));
    }

    #[test]
    fn what_was_let_pass_takes_tokens_the_next_time_too() {
        let start = Instant::now();
        let mut storms = Storms::new(start);
        let again = |storms: &mut Storms, at, domain| {
            storms.take_again(BucketNo(at), (PORT, Domain(domain)), start)
        };
        assert_eq!(again(&mut storms, 0, 1), None, "never seen");
        for domain in [7, 1] {
            let verdict = storms.take(PORT, Some(Domain(domain)), mac(1), RATE, start);
            assert_eq!(verdict, Verdict::Pass);
        }
        // Wherever it is thought to be: here, at another's place, where there is none.
        let passed = (0..2 * RATE).filter_map(|n| again(&mut storms, n as u16 % 4, 1));
        assert_eq!(passed.map(|at| at.0).collect::<Vec<_>>(), vec![1; RATE as usize - 1]);
        assert_eq!(again(&mut storms, 1, 2), None);
        assert_eq!(again(&mut storms, 1, 7), Some(BucketNo(0)), "nobody pays for others");
        // The port of those whom no domain admits is not that of a domain of number 0.
        storms.take(PORT, None, mac(1), RATE, start);
        assert_eq!(again(&mut storms, 2, 0), None);
    }

    #[test]
    fn a_bucket_that_has_moved_is_found() {
        let start = Instant::now();
        let mut storms = Storms::new(start);
        for n in 0..STORM_BUCKETS as u64 {
            storms.take(PORT, Some(Domain(n)), mac(1), RATE, start);
        }
        let last = STORM_BUCKETS as u64 - 1;
        let later = start + Duration::from_millis(1);
        storms.take(PORT, Some(Domain(last)), mac(1), RATE, later);
        storms.take(PORT, Some(Domain(last)), mac(1), RATE, later);
        storms.take(PORT, Some(Domain(last + 1)), mac(1), RATE, later);
        let moved = storms.take_again(BucketNo(last as u16), (PORT, Domain(last)), later);
        assert_eq!(moved, Some(BucketNo(0)));
        let made = storms.take_again(BucketNo(0), (PORT, Domain(last + 1)), later);
        assert_eq!(made, Some(BucketNo(1)));
        let forgotten = storms.take_again(BucketNo(0), (PORT, Domain(0)), later);
        assert_eq!(forgotten, None);
    }

    #[test]
    fn a_full_table_forgets_full_buckets_and_harms_nobody() {
        let start = Instant::now();
        let mut storms = Storms::new(start);
        let take = |storms: &mut Storms, n: u64, now| {
            storms.take(PORT, Some(Domain(n)), mac(1), RATE, now)
        };
        // All at one moment: none is full again, and further ones are let pass.
        for n in 0..2 * STORM_BUCKETS as u64 {
            assert_eq!(take(&mut storms, n, start), Verdict::Pass);
        }
        assert_eq!(storms.buckets.len(), STORM_BUCKETS);
        // One of them goes on, the others are forgotten.
        let later = start + Duration::from_secs(1);
        for _ in 0..2 * RATE {
            take(&mut storms, 0, later);
        }
        take(&mut storms, u64::MAX, later);
        assert_eq!(storms.buckets.len(), 2);
        assert_eq!(take(&mut storms, 0, later), Verdict::Drop);
    }

    #[test]
    fn a_storm_is_forgotten_with_its_bucket_when_it_is_over() {
        let start = Instant::now();
        let mut storms = Storms::new(start);
        for _ in 0..2 * RATE {
            storms.take(PORT, None, mac(1), RATE, start);
        }
        for (pause, left, last) in [(2, 1, 1 << 40), (30, 0, 2 << 40)] {
            // All of these are forgotten when there is no room for the last.
            let pause = Duration::from_secs(pause);
            for n in storms.buckets.len() as u64..STORM_BUCKETS as u64 {
                storms.take(PORT, Some(Domain(n)), mac(1), RATE, start + pause);
            }
            let later = start + pause + Duration::from_millis(1);
            storms.take(PORT, Some(Domain(last)), mac(1), RATE, later);
            let has = (storms.buckets.len(), storms.storming.len());
            assert_eq!(has, (left + 1, left), "after {pause:?}");
        }
    }

    #[test]
    fn consecutive_domains_of_consecutive_ports_are_found_as_fast_as_others() {
        let start = Instant::now();
        for _ in 0..100 {
            let mut storms = Storms::new(start);
            for key in 0..3072 {
                let (port, domain) = (PortNo(key / 64), Some(Domain((key % 64).into())));
                storms.take(port, domain, mac(1), RATE, start);
            }
            let steps = storms.by_key.steps();
            assert!(steps < 4.0, "{steps} words for a bucket");
        }
    }

    proptest! {
        /// No more than a second's worth and the rate passes, in whatever pattern; what stays below
        /// the rate passes whole; and what one key is told does not depend on any other.
        #[test]
        fn buckets_hold_what_they_promise(
            packets in prop::collection::vec((0u64..3, 0u64..4, 0u64..2_000_000), 1..4000),
            rate in 1u32..2000,
        ) {
            let start = Instant::now();
            let (mut all, mut now) = (Storms::new(start), start);
            let mut alone: Vec<Storms> = (0..3).map(|_| Storms::new(start)).collect();
            let mut passed = [0.0; 3];
            for (domain, sender, gap) in packets {
                now += Duration::from_nanos(gap);
                let key = domain as usize;
                let domain = Some(Domain(domain));
                let verdict = all.take(PORT, domain, mac(sender), rate, now);
                prop_assert_eq!(verdict, alone[key].take(PORT, domain, mac(sender), rate, now));
                let most = f64::from(rate) * (1.0 + (now - start).as_secs_f64());
                if verdict == Verdict::Pass {
                    passed[key] += 1.0;
                    // A rate that does not divide a second is rounded up by less than this.
                    prop_assert!(passed[key] <= most * 1.000_01, "{} of {}", passed[key], most);
                } else {
                    prop_assert!(passed[key] >= f64::from(rate) - 1.0, "refused too early");
                }
            }
        }
    }
}

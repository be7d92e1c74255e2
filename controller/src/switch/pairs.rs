//! Entries between two hosts, as learning switches add them: what [`Switch::flow_mod`] and
//! [`Switch::send_packet`] would send, from a stencil where one was cut before; and again, as long as
//! nothing has changed. Pure.

use std::hash::BuildHasher;
use std::num::NonZeroU32;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use umlaut_openflow::{
    Action, Cookie, FlowMod, MacAddr, Match, MatchKey, PacketIn, PortNo, Version, Xid,
};

use super::entries::Standing;
use super::send::{COOKIE_IN_1_0, MATCH_IN_1_0};
use super::stencil::{Shape, Stencils, Values, cookie_of};
use super::{SendError, Switch};
use crate::app::AppNo;
use crate::path::app_cookie;
use crate::program::MIN_FRAME;
use crate::view::View;

/// Pairs that one switch remembers. When there are as many, it forgets them all, and they are decided
/// again.
const PAIRS: usize = 1 << 14;
const _: () = assert!(PAIRS <= 1 << u16::BITS);

/// Which frames an entry between two hosts is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PairKey {
    in_port: PortNo,
    eth_src: MacAddr,
    eth_dst: MacAddr,
}

/// What was sent for such frames, and as whom.
#[derive(Clone, Copy, Debug)]
struct Pair {
    key: PairKey,
    out_port: PortNo,
    /// What that was decided on; none if something else was sent since without asking, or if it is 0 by
    /// chance: then the pair is decided anew.
    stamp: Option<NonZeroU32>,
    timeouts: (u16, u16),
    app: AppNo,
    /// Its entry, as far as it has to be kept.
    standing: Standing,
}

// A busy fabric has one for each two hosts that talk.
const _: () = assert!(size_of::<Pair>() == 48);

/// The pairs of one switch.
#[derive(Default)]
pub(super) struct Pairs {
    stencils: Stencils,
    known: Vec<Pair>,
    /// Their places, by key.
    places: HashTable<u16>,
    hasher: RandomState,
    /// Which pair was asked for by whoever acts, and what a decision about it stands on.
    asked: Option<(PairKey, u32)>,
}

impl PairKey {
    fn of(packet: &PacketIn<'_>) -> PairKey {
        let (eth_src, eth_dst) = (packet.eth_src(), packet.eth_dst());
        PairKey { in_port: packet.in_port, eth_src, eth_dst }
    }

    #[inline]
    fn hash(&self, hasher: &RandomState) -> u64 {
        let PairKey { in_port, eth_src, eth_dst } = self;
        // Words are hashed faster than bytes. The upper half of the port has no room: ports that differ
        // there alone are few.
        hasher.hash_one((u64::from(in_port.0) << 48 | eth_src.to_u64(), eth_dst.to_u64()))
    }
}

impl Pairs {
    #[inline]
    fn place(&self, key: &PairKey) -> Option<u16> {
        let same = |place: &u16| self.known[usize::from(*place)].key == *key;
        self.places.find(key.hash(&self.hasher), same).copied()
    }

    /// Somebody else acts, or on another packet.
    #[inline]
    pub(super) fn nothing_asked(&mut self) {
        self.asked = None;
    }

    /// Something was sent for this pair that no decision is known of.
    fn forget(&mut self, key: &PairKey) {
        if let Some(place) = self.place(key) {
            self.known[usize::from(place)].stamp = None;
        }
    }

    fn note(&mut self, new: Pair) {
        if let Some(place) = self.place(&new.key) {
            self.known[usize::from(place)] = new;
            return;
        }
        if self.known.len() >= PAIRS {
            self.known.clear();
            self.places.clear();
        }
        let Pairs { known, places, hasher, .. } = self;
        places.insert_unique(new.key.hash(hasher), known.len() as u16, |place| {
            known[usize::from(*place)].key.hash(hasher)
        });
        known.push(new);
    }
}

impl Switch {
    /// Sends a packet on as [`Switch::forward_pair`] did with the one before it of its pair of hosts and
    /// its port, if this application did, and nothing has changed since then: not the World, not where
    /// the host table has the two hosts, and it was not long ago. Every 64 seconds it is not so, so that
    /// hosts that are busy are noted as seen. Returns whether that was so.
    ///
    /// Asked before a decision that stands on these and on the packet's port and addresses alone, it
    /// remembers what there was: that is noted with what [`Switch::forward_pair`] sends for this packet in
    /// the same call of the handler. So a host that the host table has not noted where it is now, as it
    /// is not believed to have moved or has no room, is not one for [`Switch::forward_pair`]: that it is
    /// noted later is a change of time, or of other hosts.
    pub fn forward_known_pair(&mut self, view: &View<'_>, packet: &PacketIn<'_>) -> bool {
        let key = PairKey::of(packet);
        // None of the four goes down but by overflow: their sum is the same if they are.
        let stamp = self
            .stamp(view, key.eth_src)
            .wrapping_add(view.net.hosts.changes(key.eth_dst))
            .wrapping_add(view.revision as u32);
        self.pairs.asked = Some((key, stamp));
        let Some(place) = self.pairs.place(&key) else { return false };
        let pair = self.pairs.known[usize::from(place)];
        let same = pair.stamp.is_some_and(|decided_on| decided_on.get() == stamp);
        if !same || pair.app != self.acting || packet.buffer_id.is_some() {
            return false;
        }
        let sent = self.put_pair(packet, pair.out_port, pair.timeouts, pair.standing);
        let Some(Ok((_, standing))) = sent else { return false };
        self.pairs.known[usize::from(place)].standing = standing;
        self.sent_again += 1;
        true
    }

    /// Sends a packet out of a port, and has the switch do so itself with what follows: adds an entry
    /// of priority 0x8000 for frames from the packet's port with its two MAC addresses, which ends
    /// after so many seconds without one, and after so many in any case (0: never). It is what
    /// [`Switch::flow_mod`] and [`Switch::send_packet`] would send, at half of the cost: the messages of
    /// a pair of hosts differ from those of another in a few bytes.
    ///
    /// Returns the transaction id of the entry; that of the packet follows it.
    ///
    /// # Errors
    /// [`SendError`]. Nothing was sent; where only the packet cannot be sent, because no message has
    /// room for it, the entry was.
    pub fn forward_pair(
        &mut self,
        packet: &PacketIn<'_>,
        out_port: PortNo,
        timeouts: (u16, u16),
    ) -> Result<Xid, SendError> {
        let key = PairKey::of(packet);
        let asked = self.pairs.asked.take().filter(|(asked, _)| *asked == key);
        // What 1.0 cannot say is the encoder's to refuse.
        let expressible = self.version != Version::V1_0
            || [key.in_port, out_port].iter().all(|port| port.to_v10().is_some());
        let usual = packet.buffer_id.is_none() && self.acting != AppNo::FRAMEWORK && expressible;
        if asked.is_none() {
            self.pairs.forget(&key);
        }
        if usual && let Some(sent) = self.put_pair(packet, out_port, timeouts, Standing::default())
        {
            let (xid, standing) = sent?;
            if let Some((_, stamp)) = asked {
                let (stamp, app) = (NonZeroU32::new(stamp), self.acting);
                self.pairs.note(Pair { key, out_port, stamp, timeouts, app, standing });
            }
            return Ok(xid);
        }
        let PairKey { in_port, eth_src, eth_dst } = key;
        let entry_at = self.out.len();
        let matches = Match::new().in_port(in_port).eth_src(eth_src).eth_dst(eth_dst);
        let entry = FlowMod::add(matches).timeouts(timeouts.0, timeouts.1);
        let xid = self.flow_mod(entry.apply([Action::output(out_port)]))?;
        let out_at = self.out.len();
        self.send_packet(packet, [Action::output(out_port)])?;
        if usual {
            let (entry, out) = self.out[entry_at..].split_at(out_at - entry_at);
            let cookie = cookie_of(self.version, entry);
            let values = Values { in_port, eth_src, eth_dst, headers: None, out_port, cookie };
            let (shape, length) = (Shape::of_pair(timeouts), packet.data.len().max(MIN_FRAME));
            self.pairs.stencils.keep(self.version, shape, &values, entry, (out, length));
        }
        Ok(xid)
    }

    /// Puts the two messages of a pair into the output, if there is a stencil for them. Tells the
    /// transaction id of the entry, and the entry itself.
    ///
    /// # Errors
    /// [`SendError::Entries`]; nothing was put there then.
    #[inline]
    fn put_pair(
        &mut self,
        packet: &PacketIn<'_>,
        out_port: PortNo,
        timeouts: (u16, u16),
        standing: Standing,
    ) -> Option<Result<(Xid, Standing), SendError>> {
        let PairKey { in_port, eth_src, eth_dst } = PairKey::of(packet);
        let maker = app_cookie(self.acting, Cookie(0)).unwrap_or_default();
        let values = Values { in_port, eth_src, eth_dst, headers: None, out_port, cookie: maker };
        let shape = Shape::of_pair(timeouts);
        let (entry_at, xids) = (self.out.len(), self.sent.next_two());
        let (version, to) = (self.version, &mut self.out);
        let length = self.pairs.stencils.put(version, &shape, xids, &values, &packet.data, to)?;
        let Some(standing) = self.enter_pair(entry_at, maker, out_port, standing) else {
            self.out.truncate(entry_at);
            return Some(Err(SendError::Entries));
        };
        self.counters.flow_mods += 1;
        self.counters.packet_outs += 1;
        Some(Ok((self.note_own_two(entry_at, entry_at + length), standing)))
    }

    /// Gives the entry that lies in the output from there on a cookie of its own, as every entry of
    /// an application has in 1.0: it is the one that stood before, or takes a place. None if there are
    /// too many.
    #[inline]
    fn enter_pair(
        &mut self,
        from: usize,
        maker: Cookie,
        out_port: PortNo,
        standing: Standing,
    ) -> Option<Standing> {
        if self.version != Version::V1_0 {
            return Some(standing);
        }
        let (cookie, standing) = match self.entries.add_pair_again(standing, maker, out_port) {
            Some(again) => again,
            None => {
                let wire = self.out[from + MATCH_IN_1_0..].first_chunk()?;
                self.entries.add_pair(maker, MatchKey::read(wire), out_port)?
            }
        };
        let at = from + COOKIE_IN_1_0;
        self.out[at..at + 8].copy_from_slice(&cookie.0.to_be_bytes());
        Some(standing)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;
    use umlaut_openflow::{Attachment, BufferId, DatapathId, PacketInReason, TableId, Vid};

    use super::super::Sent;
    use super::*;
    use crate::hosts::{Domain, Seen, Sighting};
    use crate::path::SessionNo;
    use crate::topology::Topology;
    use crate::view::{Net, Unobserved};

    /// What a packet-in is, of few hosts and ports, so that pairs come again.
    #[derive(Clone, Debug)]
    struct Came {
        hosts: (u8, u8),
        ports: (u32, u32),
        timeouts: (u16, u16),
        buffered: bool,
        length: usize,
        app: u8,
    }

    fn came() -> impl Strategy<Value = Came> {
        let length = prop_oneof![9 => 14..200_usize, 1 => Just(65_500)];
        let timeouts = prop_oneof![4 => Just((60, 0)), 1 => (0..7_u16, 0..3_u16)];
        let buffered = prop_oneof![4 => Just(false), 1 => Just(true)];
        let port = || {
            let reserved = [PortNo::LOCAL, PortNo::CONTROLLER, PortNo::IN_PORT, PortNo::FLOOD];
            let odd = reserved.map(|port| port.0).into_iter().chain([0, 0xfeff, 70_000]);
            prop_oneof![8 => 1..4_u32, 1 => prop::sample::select(odd.collect::<Vec<_>>())]
        };
        (any::<[bool; 2]>(), (port(), port()), timeouts, buffered, length, 1..3_u8).prop_map(
            |(hosts, ports, timeouts, buffered, length, app)| Came {
                hosts: (u8::from(hosts[0]), u8::from(hosts[1])),
                ports,
                timeouts,
                buffered,
                length,
                app,
            },
        )
    }

    impl Came {
        fn packet(&self) -> PacketIn<'static> {
            let mut data = vec![0xee; self.length];
            data[..6].copy_from_slice(&[2, 0, 0, 0, 0, self.hosts.1]);
            data[6..12].copy_from_slice(&[2, 0, 0, 0, 0, self.hosts.0]);
            PacketIn {
                buffer_id: self.buffered.then_some(BufferId(7)),
                total_len: self.length as u16,
                in_port: PortNo(self.ports.0),
                reason: PacketInReason::NO_MATCH,
                table_id: TableId(0),
                cookie: Cookie(0),
                pipeline: (&[][..]).into(),
                data: data.into(),
            }
        }

        fn out_port(&self) -> PortNo {
            PortNo(self.ports.1)
        }
    }

    fn switch(version: Version) -> Switch {
        Switch::new(SessionNo(1), DatapathId(1), version, [], Instant::now())
    }

    /// The two messages as applications send them one by one.
    fn one_by_one(switch: &mut Switch, came: &Came) -> Result<Xid, SendError> {
        let packet = came.packet();
        let matches = Match::new()
            .in_port(packet.in_port)
            .eth_src(packet.eth_src())
            .eth_dst(packet.eth_dst());
        let out = [Action::output(came.out_port())];
        let (idle, hard) = came.timeouts;
        let entry = FlowMod::add(matches).timeouts(idle, hard).apply(out.clone());
        let xid = switch.flow_mod(entry)?;
        switch.send_packet(&packet, out)?;
        Ok(xid)
    }

    proptest! {
        #[test]
        fn it_is_what_the_two_messages_are(
            version in prop_oneof![Just(Version::V1_0), Just(Version::V1_3)],
            all in prop::collection::vec(came(), 1..40),
        ) {
            let (mut pairs, mut single) = (switch(version), switch(version));
            for came in &all {
                for switch in [&mut pairs, &mut single] {
                    switch.act_as(AppNo(came.app));
                }
                let one = one_by_one(&mut single, came);
                let pair = pairs.forward_pair(&came.packet(), came.out_port(), came.timeouts);
                prop_assert_eq!(&pair, &one);
                prop_assert_eq!(&pairs.out[..], &single.out[..]);
                // An error tells what it answers.
                for back in 1..=if pair.is_ok() { 2 } else { 0 } {
                    let xid = Xid(pairs.sent.next().0 - back);
                    let told = [&pairs, &single].map(|switch| match switch.sent.of(xid) {
                        Some(Sent::App(app, place)) => {
                            Some((app, place.and_then(|place| switch.recent.get(place))))
                        }
                        _ => None,
                    });
                    prop_assert!(told[0].is_some());
                    prop_assert_eq!(&told[0], &told[1]);
                }
            }
            // The entries mean the same to deletions, by output and of each application.
            for (app, port) in [(1, 1), (1, 2), (2, 1), (2, 3)] {
                let deletion = FlowMod::delete(Match::new()).with_output_to(PortNo(port));
                for switch in [&mut pairs, &mut single] {
                    switch.act_as(AppNo(app));
                    switch.flow_mod(deletion.clone()).unwrap();
                }
                prop_assert_eq!(&pairs.out[..], &single.out[..]);
            }
            let counted = [&pairs, &single].map(|switch| {
                (switch.counters.flow_mods, switch.counters.packet_outs)
            });
            prop_assert_eq!(counted[0], counted[1]);
        }
    }

    /// What happens to a switch whose application forwards between pairs.
    #[derive(Clone, Debug)]
    enum Happens {
        Comes(Came),
        /// Something about this host.
        Changes(u8),
        World,
        /// So many seconds pass.
        Time(u8),
        /// The application deletes its entries from a port.
        Deletes(u32),
        /// An entry ends, or is refused; of those sent, so many before the last.
        Ends(usize),
    }

    fn happens() -> impl Strategy<Value = Happens> {
        prop_oneof![
            12 => came().prop_map(Happens::Comes),
            1 => (0..2_u8).prop_map(Happens::Changes),
            1 => Just(Happens::World),
            1 => (0..20_u8).prop_map(Happens::Time),
            1 => (1..4_u32).prop_map(Happens::Deletes),
            2 => prop_oneof![3 => 0..3_usize, 1 => 0..40_usize].prop_map(Happens::Ends),
        ]
    }

    proptest! {
        /// An application that asks first sends what it would send if it decided each time, as long as
        /// it decides by where hosts are and by the World.
        #[test]
        fn what_is_known_is_what_would_be_decided(
            version in prop_oneof![Just(Version::V1_0), Just(Version::V1_3)],
            all in prop::collection::vec(happens(), 1..80),
        ) {
            let (mut known, mut single) = (switch(version), switch(version));
            let (net, topology) = (Net::new(Box::new(Unobserved), 1), Topology::default());
            let (mut now, mut revision, mut changes) = (Instant::now(), 1, [0_u32; 2]);
            let mut given = Vec::new();
            for (n, happens) in (1..).zip(all) {
                let from = known.out.len();
                match happens {
                    Happens::Comes(came) => {
                        let decided = changes[usize::from(came.hosts.0)]
                            + changes[usize::from(came.hosts.1)]
                            + revision as u32;
                        let came = Came { ports: (came.ports.0, 1 + decided % 5), ..came };
                        let (packet, view) = (came.packet(), View {
                            now, revision, policy_revision: 1, topology: &topology, net: &net,
                        });
                        for switch in [&mut known, &mut single] {
                            switch.act_as(AppNo(came.app));
                        }
                        // One application, one time-out.
                        let came = Came { timeouts: (60, u16::from(came.app)), ..came };
                        let one = one_by_one(&mut single, &came);
                        if known.forward_known_pair(&view, &packet) {
                            prop_assert!(one.is_ok());
                        } else {
                            let (to, timeouts) = (came.out_port(), came.timeouts);
                            prop_assert_eq!(known.forward_pair(&packet, to, timeouts), one);
                        }
                    }
                    Happens::Changes(host) => {
                        changes[usize::from(host)] += 1;
                        let key = (Domain(n), MacAddr([2, 0, 0, 0, 0, host]));
                        let at = Attachment {
                            dpid: DatapathId(2), port: PortNo(1), vid: Vid::Untagged,
                        };
                        prop_assert_eq!(
                            net.hosts.see(key, at, Seen::default(), now), Sighting::New
                        );
                    }
                    Happens::World => revision += 1,
                    Happens::Time(seconds) => {
                        now += Duration::from_secs(seconds.into());
                        for switch in [&mut known, &mut single] {
                            switch.tick(now);
                        }
                    }
                    Happens::Deletes(port) => {
                        let deletion = FlowMod::delete(Match::new().in_port(PortNo(port)));
                        for switch in [&mut known, &mut single] {
                            switch.act_as(AppNo(1));
                            switch.flow_mod(deletion.clone()).unwrap();
                        }
                    }
                    Happens::Ends(which) => {
                        let Some(&cookie) = given.iter().rev().nth(which) else { continue };
                        for switch in [&mut known, &mut single] {
                            switch.entries.remove(cookie);
                        }
                    }
                }
                prop_assert_eq!(&known.out[from..], &single.out[from..]);
                if known.out.len() > from {
                    given.push(cookie_of(version, &known.out[from..]));
                }
            }
            prop_assert_eq!(known.counters, single.counters);
            prop_assert_eq!(known.entries.all(), single.entries.all());
        }
    }

    #[test]
    fn a_pair_is_known_until_something_changes() {
        for version in [Version::V1_0, Version::V1_3] {
            let mut switch = switch(version);
            let (net, topology) = (Net::new(Box::new(Unobserved), 1), Topology::default());
            let mut now = Instant::now();
            let came = Came {
                hosts: (1, 2),
                ports: (1, 2),
                timeouts: (60, 0),
                buffered: false,
                length: 60,
                app: 1,
            };
            let mut known = |switch: &mut Switch, app, revision, seconds, came: &Came| {
                now += Duration::from_secs(seconds);
                switch.tick(now);
                switch.act_as(AppNo(app));
                let topology = &topology;
                let view = View { now, revision, policy_revision: 1, topology, net: &net };
                let known = switch.forward_known_pair(&view, &came.packet());
                if !known {
                    switch.forward_pair(&came.packet(), PortNo(2), (60, 0)).unwrap();
                }
                known
            };
            // The first makes the stencil, the second is noted.
            assert_eq!([1, 2, 3].map(|_| known(&mut switch, 1, 1, 0, &came)), [false, false, true]);
            for (other, app, revision, seconds) in [
                (Came { ports: (3, 2), ..came.clone() }, 1, 1, 0),
                (Came { hosts: (2, 1), ..came.clone() }, 1, 1, 0),
                (came.clone(), 2, 1, 0),
                (came.clone(), 1, 2, 0),
                (came.clone(), 1, 2, 70),
            ] {
                let twice = [1, 2].map(|_| known(&mut switch, app, revision, seconds, &other));
                assert_eq!(twice, [false, seconds == 0], "{other:?} {app} {revision} {seconds}");
            }
            let at = Attachment { dpid: DatapathId(1), port: PortNo(9), vid: Vid::Untagged };
            for host in [1, 2] {
                assert!(known(&mut switch, 1, 2, 0, &came));
                let key = (Domain(1), MacAddr([2, 0, 0, 0, 0, host]));
                net.hosts.see(key, at, Seen::default(), Instant::now());
                assert!(!known(&mut switch, 1, 2, 0, &came));
            }
            let buffered = Came { buffered: true, ..came.clone() };
            assert!(known(&mut switch, 1, 2, 0, &came));
            assert!(!known(&mut switch, 1, 2, 0, &buffered), "the switch's copy is to be sent");
            // What was asked of one says nothing of another.
            let other = Came { ports: (7, 2), ..came.clone() };
            let view =
                View { now, revision: 3, policy_revision: 1, topology: &topology, net: &net };
            assert!(!switch.forward_known_pair(&view, &came.packet()));
            switch.forward_pair(&other.packet(), PortNo(2), (60, 0)).unwrap();
            assert!(!switch.forward_known_pair(&view, &other.packet()));
            // Nor is what was asked in an earlier call of a handler.
            switch.act_as(AppNo(1));
            switch.forward_pair(&other.packet(), PortNo(2), (60, 0)).unwrap();
            assert!(!switch.forward_known_pair(&view, &other.packet()));
            switch.forward_pair(&other.packet(), PortNo(2), (60, 0)).unwrap();
            assert!(switch.forward_known_pair(&view, &other.packet()));
            // What was sent without asking is not what is known.
            switch.act_as(AppNo(1));
            switch.forward_pair(&other.packet(), PortNo(3), (60, 0)).unwrap();
            assert!(!switch.forward_known_pair(&view, &other.packet()));
        }
    }

    #[test]
    fn pairs_are_bounded() {
        let mut pairs = Pairs::default();
        for n in 0..PAIRS as u64 + 10 {
            let eth_src = MacAddr::from_u64(n);
            let key = PairKey { in_port: PortNo(1), eth_src, eth_dst: MacAddr::from_u64(0) };
            let (app, standing) = (AppNo(1), Standing::default());
            let pair =
                Pair { key, out_port: PortNo(2), stamp: None, timeouts: (60, 0), app, standing };
            pairs.note(pair);
            assert!(pairs.place(&key).is_some());
        }
        assert_eq!(pairs.known.len(), 10);
    }

    #[test]
    fn one_too_many_is_refused_and_leaves_nothing() {
        let mut switch = switch(Version::V1_0);
        switch.act_as(AppNo(1));
        let came = |n: usize| {
            let came = Came {
                hosts: (1, 2),
                ports: (1, 2),
                timeouts: (60, 0),
                buffered: false,
                length: 60,
                app: 1,
            };
            let mut packet = came.packet();
            let mac = MacAddr::from_u64(n as u64);
            packet.data.to_mut()[6..12].copy_from_slice(&mac.0);
            packet
        };
        for n in 0..super::super::entries::ENTRIES {
            switch.forward_pair(&came(n), PortNo(2), (60, 0)).unwrap();
            switch.out.clear();
        }
        let before = (switch.sent.next(), switch.counters.flow_mods);
        let further = switch.forward_pair(&came(1 << 20), PortNo(2), (60, 0));
        assert_eq!(further, Err(SendError::Entries));
        assert!(switch.out.is_empty());
        assert_eq!((switch.sent.next(), switch.counters.flow_mods), before);
        switch.forward_pair(&came(3), PortNo(3), (60, 0)).unwrap();
    }
}

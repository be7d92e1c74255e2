//! Entries between two hosts, as learning switches add them: what [`Switch::flow_mod`] and
//! [`Switch::send_packet`] would send, from a stencil where one was cut before. Pure.

use umlaut_openflow::packet::Headers;
use umlaut_openflow::{Action, Cookie, FlowMod, Match, MatchKey, PacketIn, PortNo, Version, Xid};

use super::send::{COOKIE_IN_1_0, MATCH_IN_1_0};
use super::stencil::{Shape, Values, cookie_of};
use super::{SendError, Switch};
use crate::app::AppNo;
use crate::path::app_cookie;
use crate::program::MIN_FRAME;

impl Switch {
    /// Sends a packet out of a port, and has the switch do so itself with what follows: adds an entry
    /// of priority 0x8000 for frames from the packet's port with its two MAC addresses, which ends
    /// after so many seconds without one (0: never). It is what [`Switch::flow_mod`] and
    /// [`Switch::send_packet`] would send, at half of the cost: the messages of a pair of hosts differ
    /// from those of another in a few bytes.
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
        idle_timeout: u16,
    ) -> Result<Xid, SendError> {
        let (in_port, eth_src, eth_dst) = (packet.in_port, packet.eth_src(), packet.eth_dst());
        let headers = Headers { eth_src, eth_dst, ..Headers::default() };
        let maker = app_cookie(self.acting, Cookie(0)).unwrap_or_default();
        let values = Values { in_port, headers: &headers, out_port, cookie: maker };
        let shape = Shape::of_pair(idle_timeout);
        // What 1.0 cannot say is the encoder's to refuse.
        let expressible = self.version != Version::V1_0
            || [in_port, out_port].iter().all(|port| port.to_v10().is_some());
        let usual = packet.buffer_id.is_none() && self.acting != AppNo::FRAMEWORK && expressible;
        let entry_at = self.out.len();
        if usual {
            let (version, to) = (self.version, &mut self.out);
            let xids = [Xid(self.next_xid), Xid(self.next_xid.wrapping_add(1))];
            if let Some(length) = self.pairs.put(version, &shape, xids, &values, &packet.data, to) {
                self.enter_pair(entry_at, maker, out_port)?;
                self.counters.flow_mods += 1;
                self.counters.packet_outs += 1;
                let out_at = entry_at + length;
                let xid = self.note_own(entry_at..out_at);
                self.note_own(out_at..self.out.len());
                return Ok(xid);
            }
        }
        let matches = Match::new().in_port(in_port).eth_src(eth_src).eth_dst(eth_dst);
        let entry = FlowMod::add(matches).timeouts(idle_timeout, 0);
        let xid = self.flow_mod(entry.apply([Action::output(out_port)]))?;
        let out_at = self.out.len();
        self.send_packet(packet, [Action::output(out_port)])?;
        if usual {
            let (entry, out) = self.out[entry_at..].split_at(out_at - entry_at);
            let values = Values { cookie: cookie_of(self.version, entry), ..values };
            let length = packet.data.len().max(MIN_FRAME);
            self.pairs.keep(self.version, shape, &values, entry, (out, length));
        }
        Ok(xid)
    }

    /// Gives the entry that lies in the output from there on a cookie of its own, as every entry of
    /// an application has in 1.0; takes it out again if there are too many.
    fn enter_pair(
        &mut self,
        from: usize,
        maker: Cookie,
        out_port: PortNo,
    ) -> Result<(), SendError> {
        if self.version != Version::V1_0 {
            return Ok(());
        }
        let entered = self.out[from + MATCH_IN_1_0..]
            .first_chunk()
            .and_then(|wire| self.entries.add_pair(maker, MatchKey::read(wire), out_port));
        let Some(cookie) = entered else {
            self.out.truncate(from);
            return Err(SendError::Entries);
        };
        let at = from + COOKIE_IN_1_0;
        self.out[at..at + 8].copy_from_slice(&cookie.0.to_be_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;
    use umlaut_openflow::{BufferId, DatapathId, MacAddr, PacketInReason, TableId};

    use super::*;
    use crate::path::SessionNo;

    /// What a packet-in is, of few hosts and ports, so that pairs come again.
    #[derive(Clone, Debug)]
    struct Came {
        hosts: (u8, u8),
        ports: (u32, u32),
        idle_timeout: u16,
        buffered: bool,
        length: usize,
        app: u8,
    }

    fn came() -> impl Strategy<Value = Came> {
        let length = prop_oneof![9 => 14..200_usize, 1 => Just(65_500)];
        let idle = prop_oneof![4 => Just(60), 1 => 0..7_u16];
        let buffered = prop_oneof![4 => Just(false), 1 => Just(true)];
        let port = || {
            let reserved = [PortNo::LOCAL, PortNo::CONTROLLER, PortNo::IN_PORT, PortNo::FLOOD];
            let odd = reserved.map(|port| port.0).into_iter().chain([0, 0xfeff, 70_000]);
            prop_oneof![8 => 1..4_u32, 1 => prop::sample::select(odd.collect::<Vec<_>>())]
        };
        (any::<[bool; 2]>(), (port(), port()), idle, buffered, length, 1..3_u8).prop_map(
            |(hosts, ports, idle_timeout, buffered, length, app)| Came {
                hosts: (u8::from(hosts[0]), u8::from(hosts[1])),
                ports,
                idle_timeout,
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
        let entry = FlowMod::add(matches).timeouts(came.idle_timeout, 0).apply(out.clone());
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
                let pair = pairs.forward_pair(&came.packet(), came.out_port(), came.idle_timeout);
                prop_assert_eq!(&pair, &one);
                prop_assert_eq!(&pairs.out[..], &single.out[..]);
                // An error tells what it answers.
                for back in 1..=if pair.is_ok() { 2 } else { 0 } {
                    let xid = Xid(pairs.next_xid - back);
                    let told = [&pairs, &single].map(|switch| match switch.sent_as(xid) {
                        Some(super::super::Sent::App(app, place)) => {
                            Some((app, switch.recent.get(place)))
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

    #[test]
    fn one_too_many_is_refused_and_leaves_nothing() {
        let mut switch = switch(Version::V1_0);
        switch.act_as(AppNo(1));
        let came = |n: usize| {
            let came = Came {
                hosts: (1, 2),
                ports: (1, 2),
                idle_timeout: 60,
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
            switch.forward_pair(&came(n), PortNo(2), 60).unwrap();
            switch.out.clear();
        }
        let before = (switch.next_xid, switch.counters.flow_mods);
        let further = switch.forward_pair(&came(1 << 20), PortNo(2), 60);
        assert_eq!(further, Err(SendError::Entries));
        assert!(switch.out.is_empty());
        assert_eq!((switch.next_xid, switch.counters.flow_mods), before);
        switch.forward_pair(&came(3), PortNo(3), 60).unwrap();
    }
}

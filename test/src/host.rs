//! An emulated host: one interface that sends, answers, counts and sees every frame that arrives. Pure.
//!
//! It answers ARP (RFC 826), ICMP echo (RFC 792) and neighbour solicitations (RFC 4861), resolves
//! addresses by a table or by ARP of its own, and tags its frames if it sits in a VLAN. Frames in
//! another VLAN are seen and recorded, but not answered.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use umlaut_openflow::{MacAddr, VlanId, build};

use crate::layout::{
    ARP, ICMP, ICMPV6, IPV4, IPV6, Layout, Network, TCP, UDP, VLAN, bytes_at, layout, u16_at,
};
use crate::topology::HostSpec;

/// How many frames a host remembers. When full, the oldest is forgotten (and counted).
pub const SNIFF_LIMIT: usize = 100_000;

/// How many packets wait for the answer to an ARP request. When full, the oldest is dropped.
const WAITING_LIMIT: usize = 16;

/// EtherType of probes between hosts without IPv4 addresses (IEEE 802 local experimental 1).
const PROBE_TYPE: u16 = 0x88b5;

/// UDP port of probes.
const PROBE_PORT: u16 = 35_353;

/// How the payload of a probe begins; the token follows.
const PROBE: &[u8; 13] = b"umlaut probe ";

/// How long an ARP request waits for its answer, and how often it is asked.
const ARP_PATIENCE: Duration = Duration::from_secs(1);
const ARP_TRIES: u32 = 3;

/// A frame that arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sniffed {
    /// When.
    pub at: Instant,
    /// The frame, tags included.
    pub frame: Vec<u8>,
}

/// The ends of a conversation: addresses and ports (0 for ICMP).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Conversation {
    /// Sender.
    pub src: IpAddr,
    /// Receiver.
    pub dst: IpAddr,
    /// Sender's port.
    pub tp_src: u16,
    /// Receiver's port.
    pub tp_dst: u16,
}

/// Packets and the bytes of their payloads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes of payload behind the transport header.
    pub bytes: u64,
}

/// What a host has seen, from its beginning or the last reset.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostCounters {
    /// Frames sent.
    pub sent: u64,
    /// Frames received with its MAC as destination, in its VLAN.
    pub to_me: u64,
    /// Frames received with a group address as destination, in its VLAN.
    pub to_groups: u64,
    /// Frames received for others: another MAC, or another VLAN.
    pub foreign: u64,
    /// Frames forgotten because [`SNIFF_LIMIT`] was reached.
    pub forgotten: u64,
    /// Packets not sent because the receiver's MAC is unknown.
    pub unresolved: u64,
    /// TCP and UDP sent.
    pub tx: BTreeMap<Conversation, Count>,
    /// TCP and UDP received, addressed to this host's MAC and one of its IP addresses.
    pub rx: BTreeMap<Conversation, Count>,
    /// Echo replies received, by who answered.
    pub echo_replies: BTreeMap<Ipv4Addr, u64>,
}

#[derive(Debug)]
struct Resolution {
    waiting: VecDeque<Vec<u8>>,
    tries: u32,
    next: Instant,
}

/// A host.
#[derive(Debug)]
pub struct EmulatedHost {
    spec: HostSpec,
    real_arp: bool,
    answers: bool,
    neighbours: BTreeMap<IpAddr, MacAddr>,
    resolutions: BTreeMap<Ipv4Addr, Resolution>,
    sniffed: VecDeque<Sniffed>,
    counters: HostCounters,
    probes: BTreeMap<u64, u64>,
    outputs: Vec<Vec<u8>>,
}

impl EmulatedHost {
    /// A host that answers, resolves by its table only ([`EmulatedHost::add_neighbour`]), and has
    /// seen nothing.
    pub fn new(spec: HostSpec) -> EmulatedHost {
        EmulatedHost {
            spec,
            real_arp: false,
            answers: true,
            neighbours: BTreeMap::new(),
            resolutions: BTreeMap::new(),
            sniffed: VecDeque::new(),
            counters: HostCounters::default(),
            probes: BTreeMap::new(),
            outputs: Vec::new(),
        }
    }

    /// Its description. `at` is where it was at first; the network knows where it is.
    pub fn spec(&self) -> &HostSpec {
        &self.spec
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Its MAC address.
    pub fn mac(&self) -> MacAddr {
        self.spec.mac
    }

    /// Takes another MAC address from now on.
    pub fn set_mac(&mut self, mac: MacAddr) {
        self.spec.mac = mac;
    }

    /// Takes another VLAN from now on.
    pub fn set_vlan(&mut self, vlan: Option<VlanId>) {
        self.spec.vlan = vlan;
    }

    /// Whether it asks by ARP for addresses that its table lacks. If not, such packets are dropped.
    pub fn set_real_arp(&mut self, real: bool) {
        self.real_arp = real;
    }

    /// Whether it answers ARP, echo and neighbour solicitations. At first it does.
    pub fn set_answers(&mut self, answers: bool) {
        self.answers = answers;
    }

    /// Puts an address in its table.
    pub fn add_neighbour(&mut self, ip: IpAddr, mac: MacAddr) {
        self.neighbours.insert(ip, mac);
    }

    /// Empties its table.
    pub fn forget_neighbours(&mut self) {
        self.neighbours.clear();
    }

    /// The MAC that its table has for an address.
    pub fn neighbour(&self, ip: IpAddr) -> Option<MacAddr> {
        self.neighbours.get(&ip).copied()
    }

    /// Every frame that arrived, oldest first.
    pub fn sniffed(&self) -> impl DoubleEndedIterator<Item = &Sniffed> + ExactSizeIterator {
        self.sniffed.iter()
    }

    /// Every frame that arrived since the last call, oldest first. They are forgotten.
    pub fn take_sniffed(&mut self) -> Vec<Sniffed> {
        self.sniffed.drain(..).collect()
    }

    /// How many frames arrived that contain these bytes.
    pub fn saw(&self, needle: &[u8]) -> usize {
        let contains = |frame: &[u8]| {
            !needle.is_empty() && frame.windows(needle.len()).any(|window| window == needle)
        };
        self.sniffed.iter().filter(|sniffed| contains(&sniffed.frame)).count()
    }

    /// What it has seen.
    pub fn counters(&self) -> &HostCounters {
        &self.counters
    }

    /// TCP and UDP packets received from an address.
    pub fn received_from(&self, src: IpAddr) -> u64 {
        let from = |(conversation, _): &(&Conversation, &Count)| conversation.src == src;
        self.counters.rx.iter().filter(from).map(|(_, count)| count.packets).sum()
    }

    /// TCP and UDP packets received.
    pub fn received(&self) -> u64 {
        self.counters.rx.values().map(|count| count.packets).sum()
    }

    /// Forgets all frames and counts.
    pub fn reset(&mut self) {
        self.sniffed.clear();
        self.probes.clear();
        self.counters = HostCounters::default();
    }

    /// Sends a UDP datagram.
    pub fn send_udp(
        &mut self,
        to: Ipv4Addr,
        tp_src: u16,
        tp_dst: u16,
        payload: &[u8],
        now: Instant,
    ) {
        let Some(from) = self.spec.ipv4 else { return };
        self.count_sent(from, to, tp_src, tp_dst, payload);
        self.send_ipv4(to, build::udp(from, to, tp_src, tp_dst, payload), now);
    }

    /// Sends a TCP segment with these flags (0x02 SYN, 0x10 ACK).
    pub fn send_tcp(
        &mut self,
        to: Ipv4Addr,
        tp_src: u16,
        tp_dst: u16,
        flags: u8,
        payload: &[u8],
        now: Instant,
    ) {
        let Some(from) = self.spec.ipv4 else { return };
        self.count_sent(from, to, tp_src, tp_dst, payload);
        self.send_ipv4(to, build::tcp(from, to, tp_src, tp_dst, flags, payload), now);
    }

    /// Asks for an ICMP echo.
    pub fn ping(&mut self, to: Ipv4Addr, id: u16, seq: u16, now: Instant) {
        let Some(from) = self.spec.ipv4 else { return };
        self.send_ipv4(to, build::icmp_echo(8, from, to, id, seq, b"umlaut echo"), now);
    }

    /// Asks by broadcast who has an address.
    pub fn send_arp_request(&mut self, target: Ipv4Addr) {
        let from = self.spec.ipv4.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let arp = build::arp(1, self.spec.mac, from, MacAddr::ZERO, target);
        self.send_ethernet(MacAddr::BROADCAST, ARP, &arp);
    }

    /// Lets everybody know of it by broadcast: an ARP announcement (RFC 5227 §3), or without an IPv4
    /// address a frame of a local experimental EtherType.
    pub fn announce(&mut self) {
        match self.spec.ipv4 {
            Some(own) => self.send_arp_request(own),
            None => self.send_ethernet(MacAddr::BROADCAST, PROBE_TYPE, b"umlaut announcement"),
        }
    }

    /// Sends another host a frame that it can tell from all others: UDP if both have IPv4 addresses,
    /// else of a local experimental EtherType. No address is resolved.
    pub fn send_probe(&mut self, to: &HostSpec, token: u64) {
        let payload = [&PROBE[..], &token.to_be_bytes()].concat();
        match (self.spec.ipv4, to.ipv4) {
            (Some(src), Some(dst)) => {
                let packet = build::udp(src, dst, PROBE_PORT, PROBE_PORT, &payload);
                self.send_ethernet(to.mac, IPV4, &packet);
            }
            _ => self.send_ethernet(to.mac, PROBE_TYPE, &payload),
        }
    }

    /// How often the probe with this token has arrived, addressed to this host.
    pub fn probed(&self, token: u64) -> u64 {
        self.probes.get(&token).copied().unwrap_or(0)
    }

    fn note_probe(&mut self, payload: &[u8]) {
        if let Some(token) = payload.strip_prefix(PROBE)
            && token.len() >= 8
        {
            *self.probes.entry(u64::from_be_bytes(bytes_at(token, 0))).or_default() += 1;
        }
    }

    /// Asks by multicast for the MAC of an IPv6 address.
    pub fn solicit(&mut self, target: Ipv6Addr) {
        let packet = build::neighbour_solicitation(self.spec.mac, self.spec.link_local(), target);
        self.send_ethernet(build::solicited_node(target).1, IPV6, &packet);
    }

    /// Sends a frame of this EtherType in its VLAN, padded to 60 bytes.
    pub fn send_ethernet(&mut self, dst: MacAddr, eth_type: u16, payload: &[u8]) {
        let tag = self.spec.vlan.map(|vid| (VLAN, vid.number()));
        let mut frame = build::ethernet(dst, self.spec.mac, tag.as_slice(), eth_type, payload);
        if frame.len() < 60 {
            frame.resize(60, 0);
        }
        self.send_raw(frame);
    }

    /// Sends exactly these bytes.
    pub fn send_raw(&mut self, frame: Vec<u8>) {
        self.counters.sent += 1;
        self.outputs.push(frame);
    }

    fn count_sent(&mut self, src: Ipv4Addr, dst: Ipv4Addr, tp_src: u16, tp_dst: u16, data: &[u8]) {
        let conversation = Conversation { src: src.into(), dst: dst.into(), tp_src, tp_dst };
        let count = self.counters.tx.entry(conversation).or_default();
        count.packets += 1;
        count.bytes += data.len() as u64;
    }

    fn send_ipv4(&mut self, to: Ipv4Addr, packet: Vec<u8>, now: Instant) {
        if to.is_broadcast() {
            return self.send_ethernet(MacAddr::BROADCAST, IPV4, &packet);
        }
        if to.is_multicast() {
            // RFC 1112 §6.4: the low 23 bits.
            let low = u64::from(u32::from(to) & 0x007f_ffff);
            return self.send_ethernet(MacAddr::from_u64(0x0100_5e00_0000 | low), IPV4, &packet);
        }
        if let Some(mac) = self.neighbours.get(&IpAddr::V4(to)) {
            return self.send_ethernet(*mac, IPV4, &packet);
        }
        if !self.real_arp {
            self.counters.unresolved += 1;
            return;
        }
        if let Some(resolution) = self.resolutions.get_mut(&to) {
            if resolution.waiting.len() >= WAITING_LIMIT {
                resolution.waiting.pop_front();
                self.counters.unresolved += 1;
            }
            resolution.waiting.push_back(packet);
        } else {
            let waiting = VecDeque::from([packet]);
            let resolution = Resolution { waiting, tries: 1, next: now + ARP_PATIENCE };
            self.resolutions.insert(to, resolution);
            self.send_arp_request(to);
        }
    }

    /// Repeats or gives up ARP requests that got no answer.
    pub fn poll(&mut self, now: Instant) {
        let due: Vec<Ipv4Addr> =
            self.resolutions.iter().filter(|(_, r)| r.next <= now).map(|(to, _)| *to).collect();
        for to in due {
            let Some(resolution) = self.resolutions.get_mut(&to) else { continue };
            if resolution.tries < ARP_TRIES {
                resolution.tries += 1;
                resolution.next = now + ARP_PATIENCE;
                self.send_arp_request(to);
            } else if let Some(given_up) = self.resolutions.remove(&to) {
                self.counters.unresolved += given_up.waiting.len() as u64;
            }
        }
    }

    /// When `poll` is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.resolutions.values().map(|resolution| resolution.next).min()
    }

    /// Moves the frames that it sends to the end of `out`.
    pub fn drain(&mut self, out: &mut Vec<Vec<u8>>) {
        out.append(&mut self.outputs);
    }

    /// A frame arrives.
    pub fn receive(&mut self, frame: &[u8], now: Instant) {
        if self.sniffed.len() >= SNIFF_LIMIT {
            self.sniffed.pop_front();
            self.counters.forgotten += 1;
        }
        self.sniffed.push_back(Sniffed { at: now, frame: frame.to_vec() });
        let Some(found) = layout(frame) else { return };
        let dst = MacAddr(bytes_at(frame, 0));
        let vid = match found.tag {
            Some((VLAN, tci)) => VlanId::new(tci & 0xfff),
            Some(_) => return self.counters.foreign += 1,
            None => None,
        };
        if vid != self.spec.vlan || !(dst.is_group() || dst == self.spec.mac) {
            return self.counters.foreign += 1;
        }
        if dst.is_group() {
            self.counters.to_groups += 1;
        } else {
            self.counters.to_me += 1;
        }
        match found.network {
            Network::Arp(at) if found.eth_type == ARP => self.arp(frame, at, now),
            Network::Ipv4(at) => self.ipv4(frame, &found, at),
            Network::Ipv6(at) => self.ipv6(frame, &found, at),
            Network::Other if found.eth_type == PROBE_TYPE && !dst.is_group() => {
                self.note_probe(&frame[found.payload..]);
            }
            Network::Arp(_) | Network::Other => {}
        }
    }

    fn arp(&mut self, frame: &[u8], at: usize, now: Instant) {
        let sha = MacAddr(bytes_at(frame, at + 8));
        let spa = Ipv4Addr::from(bytes_at::<4>(frame, at + 14));
        let tpa = Ipv4Addr::from(bytes_at::<4>(frame, at + 24));
        let Some(own) = self.spec.ipv4 else { return };
        if tpa != own || spa == own {
            return;
        }
        // Only a host with a table of its own learns from others.
        if self.real_arp && !spa.is_unspecified() {
            self.neighbours.insert(spa.into(), sha);
            if let Some(resolution) = self.resolutions.remove(&spa) {
                for packet in resolution.waiting {
                    self.send_ipv4(spa, packet, now);
                }
            }
        }
        if u16_at(frame, at + 6) == 1 && self.answers {
            let answer = build::arp(2, self.spec.mac, own, sha, spa);
            self.send_ethernet(sha, ARP, &answer);
        }
    }

    fn ipv4(&mut self, frame: &[u8], found: &Layout, at: usize) {
        let src = Ipv4Addr::from(bytes_at::<4>(frame, at + 12));
        let dst = Ipv4Addr::from(bytes_at::<4>(frame, at + 16));
        let for_me = Some(dst) == self.spec.ipv4 && frame[..6] == self.spec.mac.0;
        let Some(transport) = found.transport.filter(|_| for_me) else { return };
        let end = (at + usize::from(u16_at(frame, at + 2))).min(frame.len());
        match found.proto {
            ICMP => match frame[transport] {
                8 if self.answers => {
                    let id = u16_at(frame, transport + 4);
                    let seq = u16_at(frame, transport + 6);
                    let data = &frame[transport + 8..end];
                    let reply = build::icmp_echo(0, dst, src, id, seq, data);
                    // Back to where it came from: no resolution needed.
                    self.send_ethernet(MacAddr(bytes_at(frame, 6)), IPV4, &reply);
                }
                0 => *self.counters.echo_replies.entry(src).or_default() += 1,
                _ => {}
            },
            TCP | UDP => {
                let header = match found.proto {
                    TCP => usize::from(frame[transport + 12] >> 4) * 4,
                    _ => 8,
                };
                if found.proto == UDP {
                    self.note_probe(&frame[transport + 8..end.max(transport + 8)]);
                }
                let conversation = Conversation {
                    src: src.into(),
                    dst: dst.into(),
                    tp_src: u16_at(frame, transport),
                    tp_dst: u16_at(frame, transport + 2),
                };
                let count = self.counters.rx.entry(conversation).or_default();
                count.packets += 1;
                count.bytes += end.saturating_sub(transport + header) as u64;
            }
            _ => {}
        }
    }

    fn ipv6(&mut self, frame: &[u8], found: &Layout, at: usize) {
        let (ICMPV6, Some(icmp)) = (found.proto, found.transport) else { return };
        if frame.len() < icmp + 24 {
            return;
        }
        let src = Ipv6Addr::from(bytes_at::<16>(frame, at + 8));
        let target = Ipv6Addr::from(bytes_at::<16>(frame, icmp + 8));
        let sender = MacAddr(bytes_at(frame, 6));
        let mine = target == self.spec.link_local() || Some(target) == self.spec.ipv6;
        match frame[icmp] {
            135 if mine && self.answers && !src.is_unspecified() => {
                let answer = build::neighbour_advertisement(self.spec.mac, target, src);
                self.send_ethernet(sender, IPV6, &answer);
            }
            136 => {
                self.neighbours.insert(target.into(), sender);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: u64) -> EmulatedHost {
        EmulatedHost::new(HostSpec {
            ipv4: Some(Ipv4Addr::new(192, 168, 0, number as u8)),
            ..HostSpec::new(format!("h{number}"), MacAddr::from_u64(number))
        })
    }

    /// Lets frames pass between two hosts until none is left; how many there were.
    fn talk(a: &mut EmulatedHost, b: &mut EmulatedHost, now: Instant) -> usize {
        let mut total = 0;
        loop {
            let (mut from_a, mut from_b) = (Vec::new(), Vec::new());
            a.drain(&mut from_a);
            b.drain(&mut from_b);
            if from_a.is_empty() && from_b.is_empty() {
                return total;
            }
            total += from_a.len() + from_b.len();
            from_a.iter().for_each(|frame| b.receive(frame, now));
            from_b.iter().for_each(|frame| a.receive(frame, now));
        }
    }

    #[test]
    fn hosts_resolve_ping_and_count() {
        let now = Instant::now();
        for vlan in [None, VlanId::new(20)] {
            let (mut a, mut b) = (host(1), host(2));
            for host in [&mut a, &mut b] {
                host.set_real_arp(true);
                host.set_vlan(vlan);
            }
            let to = Ipv4Addr::new(192, 168, 0, 2);
            a.ping(to, 1, 1, now);
            a.send_udp(to, 5, 6, b"22 bytes of a payload.", now);
            // Request, answer, echo, datagram, reply.
            assert_eq!(talk(&mut a, &mut b, now), 5);
            assert_eq!(a.counters().echo_replies.get(&to), Some(&1));
            let from = IpAddr::from([192, 168, 0, 1]);
            assert_eq!((b.received_from(from), b.received(), a.received()), (1, 1, 0));
            let conversation = Conversation { src: from, dst: to.into(), tp_src: 5, tp_dst: 6 };
            let count = Count { packets: 1, bytes: 22 };
            assert_eq!(b.counters().rx.get(&conversation), Some(&count));
            assert_eq!(a.counters().tx.get(&conversation), Some(&count));
            assert_eq!(b.saw(b"of a payload"), 1);
            assert_eq!(b.neighbour(from), Some(a.mac()));
            b.reset();
            assert_eq!((b.sniffed().len(), b.received()), (0, 0));
        }
    }

    #[test]
    fn without_an_answer_a_request_is_repeated_and_given_up() {
        let mut now = Instant::now();
        let mut a = host(1);
        a.set_real_arp(true);
        a.send_udp(Ipv4Addr::new(192, 168, 0, 9), 1, 1, b"", now);
        let mut sent = 0;
        while let Some(at) = a.deadline() {
            let mut out = Vec::new();
            a.drain(&mut out);
            sent += out.len();
            now = at;
            a.poll(now);
        }
        assert_eq!((sent, a.counters().unresolved), (3, 1));
        // A host with a table only does not ask at all.
        let mut b = host(2);
        b.send_udp(Ipv4Addr::new(192, 168, 0, 9), 1, 1, b"", now);
        assert_eq!((b.counters().sent, b.counters().unresolved), (0, 1));
    }

    #[test]
    fn neighbours_are_discovered_over_ipv6() {
        let now = Instant::now();
        let (mut a, mut b) = (host(1), host(2));
        let target = b.spec().link_local();
        a.solicit(target);
        assert_eq!(talk(&mut a, &mut b, now), 2);
        assert_eq!(a.neighbour(target.into()), Some(b.mac()));
    }

    #[test]
    fn frames_of_others_are_seen_but_not_answered() {
        let now = Instant::now();
        let (mut a, mut b) = (host(1), host(2));
        a.set_vlan(VlanId::new(7));
        a.send_arp_request(Ipv4Addr::new(192, 168, 0, 2));
        a.send_ethernet(MacAddr::from_u64(9), 0x1234, b"for nine");
        assert_eq!(talk(&mut a, &mut b, now), 2);
        assert_eq!((b.counters().foreign, b.counters().to_groups, b.sniffed().len()), (2, 0, 2));
    }
}

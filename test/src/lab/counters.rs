//! What hosts have sent and received, by the ends of the conversation. Pure, but for the lock around
//! each host's counts.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use umlaut_openflow::{MacAddr, VlanId};

use crate::host::Count;
use crate::layout::{self, ARP, ICMP, ICMPV6, Layout, Network, TCP, UDP, VLAN, bytes_at, u16_at};
use crate::topology::HostSpec;

/// How many conversations a host counts apart in each direction. Frames of further ones are counted
/// together.
pub const CONVERSATIONS: usize = 10_000;

/// How the payload of a frame begins that asks whether it arrives; a number follows.
pub(super) const PROBE: &[u8; 13] = b"umlaut probe ";
/// How many of them are remembered; further ones are forgotten.
const PROBES: usize = 100_000;

/// Who speaks, or is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Address {
    /// An address of the network layer.
    Ip(IpAddr),
    /// Of frames that are neither IP nor ARP.
    Mac(MacAddr),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(ip) => ip.fmt(f),
            Address::Mac(mac) => mac.fmt(f),
        }
    }
}

/// What is spoken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Protocol {
    /// UDP over IPv4 or IPv6.
    Udp,
    /// TCP over IPv4 or IPv6.
    Tcp,
    /// ICMP for IPv4 or IPv6.
    Icmp,
    /// ARP.
    Arp,
    /// Another protocol over IP; fragments that do not show their ports, too.
    Ip(u8),
    /// Another EtherType.
    Ethernet(u16),
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Protocol::Udp => f.write_str("udp"),
            Protocol::Tcp => f.write_str("tcp"),
            Protocol::Icmp => f.write_str("icmp"),
            Protocol::Arp => f.write_str("arp"),
            Protocol::Ip(number) => write!(f, "ip-{number}"),
            Protocol::Ethernet(number) => write!(f, "{number:#06x}"),
        }
    }
}

/// A direction of a conversation. Ports are 0 where there are none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Talk {
    /// What is spoken.
    pub protocol: Protocol,
    /// Who speaks.
    pub src: Address,
    /// Its port.
    pub tp_src: u16,
    /// Who is spoken to.
    pub dst: Address,
    /// Its port.
    pub tp_dst: u16,
}

/// What a host has sent and received since its counts were reset. Bytes are those of the network
/// layer: headers and payload of IP, all that follows the EtherType of other frames.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Frames that it was told to send.
    pub sent: BTreeMap<Talk, Count>,
    /// Frames that arrived for it: to its MAC or a group address, in its VLAN; all of them while the
    /// host is promiscuous.
    pub received: BTreeMap<Talk, Count>,
    /// Frames that arrived and were for somebody else.
    pub others: u64,
    /// Frames sent and received beyond [`CONVERSATIONS`].
    pub uncounted: u64,
}

impl Traffic {
    /// Packets received in all.
    pub fn packets_received(&self) -> u64 {
        self.received.values().map(|count| count.packets).sum()
    }

    fn note(&mut self, frame: &[u8], is_sent: bool) {
        let Some(found) = layout::layout(frame) else { return };
        let (talk, bytes) = talk(frame, &found);
        let counts = if is_sent { &mut self.sent } else { &mut self.received };
        if counts.len() >= CONVERSATIONS && !counts.contains_key(&talk) {
            self.uncounted += 1;
            return;
        }
        let count = counts.entry(talk).or_default();
        count.packets += 1;
        count.bytes += bytes as u64;
    }
}

/// Whose conversation a frame is part of, and its bytes of the network layer.
fn talk(frame: &[u8], found: &Layout) -> (Talk, usize) {
    let rest = frame.len().saturating_sub(found.payload);
    let ports = |protocol: Protocol| match (protocol, found.transport) {
        (Protocol::Udp | Protocol::Tcp, Some(at)) => (u16_at(frame, at), u16_at(frame, at + 2)),
        _ => (0, 0),
    };
    let over_ip = |protocol: u8| match (protocol, found.transport) {
        (UDP, Some(_)) => Protocol::Udp,
        (TCP, Some(_)) => Protocol::Tcp,
        (ICMP | ICMPV6, Some(_)) => Protocol::Icmp,
        (other, _) => Protocol::Ip(other),
    };
    let ip4 = |at| Address::Ip(IpAddr::from(Ipv4Addr::from(bytes_at::<4>(frame, at))));
    let ip6 = |at| Address::Ip(IpAddr::from(Ipv6Addr::from(bytes_at::<16>(frame, at))));
    let (protocol, src, dst, bytes) = match found.network {
        Network::Ipv4(at) => {
            let total = usize::from(u16_at(frame, at + 2));
            (over_ip(found.proto), ip4(at + 12), ip4(at + 16), total)
        }
        Network::Ipv6(at) => {
            let total = 40 + usize::from(u16_at(frame, at + 4));
            (over_ip(found.proto), ip6(at + 8), ip6(at + 24), total)
        }
        Network::Arp(at) if found.eth_type == ARP => {
            (Protocol::Arp, ip4(at + 14), ip4(at + 24), 28)
        }
        Network::Arp(_) | Network::Other => {
            let mac = |at| Address::Mac(MacAddr(bytes_at(frame, at)));
            (Protocol::Ethernet(found.eth_type), mac(6), mac(0), rest)
        }
    };
    let (tp_src, tp_dst) = ports(protocol);
    (Talk { protocol, src, tp_src, dst, tp_dst }, bytes)
}

/// Whether a frame is for a neighbour in the sense of IEEE 802.1Q §8.6.3, as LLDP is: no host cares.
fn is_reserved(frame: &[u8]) -> bool {
    matches!(frame, [0x01, 0x80, 0xc2, 0, 0, 0x00..=0x0f, ..])
}

/// The number of a probe.
fn probe(frame: &[u8]) -> Option<u64> {
    let found = layout::layout(frame)?;
    let at = match found.transport {
        Some(at) if found.proto == UDP => at + 8,
        _ => found.payload,
    };
    let token = frame.get(at..)?.strip_prefix(PROBE)?;
    token.first_chunk().map(|token| u64::from_be_bytes(*token))
}

/// Whether a frame that arrives at a host of this MAC and VLAN is for it.
fn is_for(frame: &[u8], mac: MacAddr, vlan: Option<VlanId>) -> bool {
    let dst = MacAddr(bytes_at(frame, 0));
    let Some(found) = layout::layout(frame) else { return false };
    let vid = match found.tag {
        Some((VLAN, tci)) => VlanId::new(tci & 0xfff),
        Some(_) => return false,
        None => None,
    };
    vid == vlan && (dst.is_group() || dst == mac)
}

/// The counts of all hosts of a lab.
#[derive(Debug)]
pub(super) struct Counters {
    hosts: Vec<Counted>,
    /// The numbers of probes that have arrived and nobody has asked for.
    probes: Mutex<Vec<u64>>,
    probed: Condvar,
}

#[derive(Debug)]
struct Counted {
    mac: MacAddr,
    vlan: Option<VlanId>,
    /// Whether it counts what is for others as if it were for it.
    promiscuous: AtomicBool,
    /// Whether nobody tells any more what arrives there.
    deaf: AtomicBool,
    traffic: Mutex<Traffic>,
}

impl Counters {
    pub(super) fn new(hosts: &[HostSpec]) -> Counters {
        let counted = |host: &HostSpec| Counted {
            mac: host.mac,
            vlan: host.vlan,
            promiscuous: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
            traffic: Mutex::default(),
        };
        Counters {
            hosts: hosts.iter().map(counted).collect(),
            probes: Mutex::default(),
            probed: Condvar::new(),
        }
    }

    fn lock(&self, host: usize) -> Option<MutexGuard<'_, Traffic>> {
        // Counting is total: behind a poisoned lock the counts are whole.
        let counted = self.hosts.get(host)?;
        Some(counted.traffic.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn sent(&self, host: usize, frame: &[u8]) {
        if let Some(mut traffic) = self.lock(host) {
            traffic.note(frame, true);
        }
    }

    pub(super) fn received(&self, host: usize, frame: &[u8]) {
        let Some(counted) = self.hosts.get(host) else { return };
        if is_reserved(frame) {
            return;
        }
        let for_it = is_for(frame, counted.mac, counted.vlan);
        if for_it && let Some(number) = probe(frame) {
            let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
            if probes.len() < PROBES {
                probes.push(number);
            }
            self.probed.notify_all();
            return;
        }
        if let Some(mut traffic) = self.lock(host) {
            match for_it || counted.promiscuous.load(Ordering::Acquire) {
                true => traffic.note(frame, false),
                false => traffic.others += 1,
            }
        }
    }

    pub(super) fn set_promiscuous(&self, host: usize, promiscuous: bool) {
        if let Some(counted) = self.hosts.get(host) {
            counted.promiscuous.store(promiscuous, Ordering::Release);
        }
    }

    pub(super) fn set_deaf(&self, host: usize) {
        if let Some(counted) = self.hosts.get(host) {
            counted.deaf.store(true, Ordering::Release);
        }
    }

    pub(super) fn is_deaf(&self, host: usize) -> bool {
        self.hosts.get(host).is_some_and(|counted| counted.deaf.load(Ordering::Acquire))
    }

    pub(super) fn forget_probes(&self) {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The numbers of probes that have arrived since the last call. Waits for one, at most until
    /// then.
    pub(super) fn probes(&self, until: Instant) -> Vec<u64> {
        let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        while probes.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.probed.wait_timeout(probes, left);
            probes = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::take(&mut *probes)
    }

    pub(super) fn traffic(&self, host: usize) -> Traffic {
        self.lock(host).map(|traffic| traffic.clone()).unwrap_or_default()
    }

    pub(super) fn reset(&self, host: usize) {
        if let Some(mut traffic) = self.lock(host) {
            *traffic = Traffic::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use umlaut_openflow::build;

    use super::*;

    const A: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 1);
    const B: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 2);

    fn frame(dst: MacAddr, tags: &[(u16, u16)], eth_type: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = build::ethernet(dst, MacAddr::from_u64(1), tags, eth_type, payload);
        frame.resize(frame.len().max(60), 0);
        frame
    }

    #[test]
    fn frames_are_counted_by_who_speaks_to_whom() {
        let b = MacAddr::from_u64(2);
        let v6 = |last| Ipv6Addr::from([0xfd00, 0, 0, 0, 0, 0, 0, last]);
        let udp = build::udp(A, B, 5, 6, &[0; 22]);
        // The frame, what it is, from, to, ports, bytes.
        let rows = [
            (frame(b, &[], 0x0800, &udp), "udp", "192.168.0.1", "192.168.0.2", (5, 6), 50),
            (
                frame(b, &[], 0x0800, &build::tcp(A, B, 7, 8, 2, b"")),
                "tcp",
                "192.168.0.1",
                "192.168.0.2",
                (7, 8),
                40,
            ),
            (
                frame(b, &[], 0x86dd, &build::udp6(v6(1), v6(2), 9, 10, b"abcd")),
                "udp",
                "fd00::1",
                "fd00::2",
                (9, 10),
                52,
            ),
            (
                frame(b, &[], 0x0800, &build::icmp_echo(8, A, B, 1, 1, b"abcd")),
                "icmp",
                "192.168.0.1",
                "192.168.0.2",
                (0, 0),
                32,
            ),
            (
                frame(MacAddr::BROADCAST, &[], 0x0806, &build::arp(1, b, A, MacAddr::ZERO, B)),
                "arp",
                "192.168.0.1",
                "192.168.0.2",
                (0, 0),
                28,
            ),
            (
                frame(b, &[], 0x88b5, b"text"),
                "0x88b5",
                "00:00:00:00:00:01",
                "00:00:00:00:00:02",
                (0, 0),
                46,
            ),
        ];
        let counters = Counters::new(&[HostSpec::new("b", b)]);
        for (frame, ..) in &rows {
            counters.received(0, frame);
            counters.received(0, frame);
            counters.sent(0, frame);
        }
        let traffic = counters.traffic(0);
        assert_eq!((traffic.received.len(), traffic.packets_received()), (6, 12));
        for (_, protocol, src, dst, ports, bytes) in rows {
            let row = traffic.received.iter().find(|(talk, _)| {
                (talk.protocol.to_string().as_str(), (talk.tp_src, talk.tp_dst))
                    == (protocol, ports)
                    && talk.src.to_string() == src
                    && talk.dst.to_string() == dst
            });
            let Some((talk, count)) = row else { panic!("no {protocol}: {traffic:?}") };
            assert_eq!(*count, Count { packets: 2, bytes: 2 * bytes }, "{protocol}");
            assert_eq!(traffic.sent[talk], Count { packets: 1, bytes }, "{protocol}");
        }
        counters.reset(0);
        assert_eq!(counters.traffic(0), Traffic::default());
    }

    #[test]
    fn what_is_for_others_is_not_counted_as_received() {
        let (b, udp) = (MacAddr::from_u64(2), build::udp(A, B, 1, 1, b""));
        let tagged = |vid| [(0x8100, vid)];
        // The host's VLAN, the frame, whether it is for the host.
        let rows = [
            (None, frame(b, &[], 0x0800, &udp), true),
            (None, frame(MacAddr::BROADCAST, &[], 0x0800, &udp), true),
            (None, frame(b, &tagged(0), 0x0800, &udp), true),
            (None, frame(MacAddr::from_u64(3), &[], 0x0800, &udp), false),
            (None, frame(b, &tagged(20), 0x0800, &udp), false),
            (VlanId::new(20), frame(b, &tagged(20), 0x0800, &udp), true),
            (VlanId::new(20), frame(b, &[], 0x0800, &udp), false),
            (None, vec![0; 5], false),
        ];
        // For bridges, not for hosts: neither received nor of others.
        let counters = Counters::new(&[HostSpec::new("b", b)]);
        let lldp = MacAddr([0x01, 0x80, 0xc2, 0, 0, 0x0e]);
        counters.received(0, &frame(lldp, &[], 0x88cc, b"lldp"));
        assert_eq!(counters.traffic(0), Traffic::default());
        for (vlan, frame, wanted) in rows {
            let counters = Counters::new(&[HostSpec { vlan, ..HostSpec::new("b", b) }]);
            counters.received(0, &frame);
            let traffic = counters.traffic(0);
            let got = (traffic.packets_received(), traffic.others);
            assert_eq!(got, (u64::from(wanted), u64::from(!wanted)), "{vlan:?} {frame:02x?}");
        }
    }

    #[test]
    fn a_promiscuous_host_counts_what_is_for_others() {
        let counters = Counters::new(&[HostSpec::new("b", MacAddr::from_u64(2))]);
        let foreign = frame(MacAddr::from_u64(3), &[], 0x0800, &build::udp(A, B, 1, 1, b""));
        for (promiscuous, wanted) in [(true, (1, 0)), (false, (1, 1))] {
            counters.set_promiscuous(0, promiscuous);
            counters.received(0, &foreign);
            let traffic = counters.traffic(0);
            assert_eq!((traffic.packets_received(), traffic.others), wanted);
        }
    }

    #[test]
    fn conversations_are_bounded() {
        let counters = Counters::new(&[HostSpec::new("b", MacAddr::from_u64(2))]);
        for port in 0..CONVERSATIONS as u16 + 5 {
            let udp = build::udp(A, B, port, 1, b"");
            counters.sent(0, &frame(MacAddr::from_u64(2), &[], 0x0800, &udp));
        }
        let traffic = counters.traffic(0);
        assert_eq!((traffic.sent.len(), traffic.uncounted), (CONVERSATIONS, 5));
    }
}

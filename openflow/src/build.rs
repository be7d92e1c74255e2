//! Frames for tests, emulated hosts and applications, with right checksums. Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::types::MacAddr;

/// A frame: addresses, tags outermost first as (TPID, TCI), EtherType, payload. Not padded.
pub fn ethernet(
    dst: MacAddr,
    src: MacAddr,
    tags: &[(u16, u16)],
    eth_type: u16,
    payload: &[u8],
) -> Vec<u8> {
    let mut frame = Vec::with_capacity(18 + payload.len());
    frame.extend(dst.0);
    frame.extend(src.0);
    for (tpid, tci) in tags {
        frame.extend(tpid.to_be_bytes());
        frame.extend(tci.to_be_bytes());
    }
    frame.extend(eth_type.to_be_bytes());
    frame.extend(payload);
    frame
}

/// An ARP message for IPv4 over Ethernet (RFC 826). Operation 1 asks, 2 answers.
pub fn arp(op: u16, sha: MacAddr, spa: Ipv4Addr, tha: MacAddr, tpa: Ipv4Addr) -> Vec<u8> {
    let mut arp = vec![0, 1, 8, 0, 6, 4];
    arp.extend(op.to_be_bytes());
    arp.extend(sha.0);
    arp.extend(spa.octets());
    arp.extend(tha.0);
    arp.extend(tpa.octets());
    arp
}

/// The one's complement sum of 16-bit words (RFC 1071).
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    let mut odd = false;
    for byte in parts.iter().flat_map(|part| part.iter()) {
        sum += if odd { u64::from(*byte) } else { u64::from(*byte) << 8 };
        odd = !odd;
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An IPv4 packet of this protocol (RFC 791). A payload above 65,515 bytes is cut.
pub fn ipv4(proto: u8, src: Ipv4Addr, dst: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(0xffff - 20)];
    let mut ip = vec![0x45, 0];
    ip.extend((20 + payload.len() as u16).to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, proto, 0, 0]);
    ip.extend(src.octets());
    ip.extend(dst.octets());
    let sum = checksum(&[&ip]);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    ip.extend(payload);
    ip
}

fn pseudo(src: Ipv4Addr, dst: Ipv4Addr, proto: u8, length: u16) -> [u8; 12] {
    let (s, d, [high, low]) = (src.octets(), dst.octets(), length.to_be_bytes());
    [s[0], s[1], s[2], s[3], d[0], d[1], d[2], d[3], 0, proto, high, low]
}

/// An IPv4 packet with a UDP datagram (RFC 768).
pub fn udp(src: Ipv4Addr, dst: Ipv4Addr, sport: u16, dport: u16, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(0xffff - 28)];
    let length = 8 + payload.len() as u16;
    let mut udp = Vec::with_capacity(length.into());
    udp.extend(sport.to_be_bytes());
    udp.extend(dport.to_be_bytes());
    udp.extend(length.to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    let sum = match checksum(&[&pseudo(src, dst, 17, length), &udp]) {
        0 => 0xffff,
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    ipv4(17, src, dst, &udp)
}

/// An IPv4 packet with a TCP segment (RFC 9293), flags as on the wire (0x02 SYN, 0x10 ACK).
pub fn tcp(
    src: Ipv4Addr,
    dst: Ipv4Addr,
    sport: u16,
    dport: u16,
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let payload = &payload[..payload.len().min(0xffff - 40)];
    let mut tcp = Vec::with_capacity(20 + payload.len());
    tcp.extend(sport.to_be_bytes());
    tcp.extend(dport.to_be_bytes());
    tcp.extend([0; 8]);
    tcp.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    tcp.extend(payload);
    let sum = checksum(&[&pseudo(src, dst, 6, tcp.len() as u16), &tcp]);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    ipv4(6, src, dst, &tcp)
}

/// An IPv4 packet with an ICMP echo (RFC 792): type 8 asks, 0 answers.
pub fn icmp_echo(
    kind: u8,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    id: u16,
    seq: u16,
    payload: &[u8],
) -> Vec<u8> {
    let mut icmp = vec![kind, 0, 0, 0];
    icmp.extend(id.to_be_bytes());
    icmp.extend(seq.to_be_bytes());
    icmp.extend(payload);
    let sum = checksum(&[&icmp]);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    ipv4(1, src, dst, &icmp)
}

/// An IPv6 packet (RFC 8200). A payload above 65,535 bytes is cut.
pub fn ipv6(next: u8, hops: u8, src: Ipv6Addr, dst: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(0xffff)];
    let mut ip = vec![0x60, 0, 0, 0];
    ip.extend((payload.len() as u16).to_be_bytes());
    ip.extend([next, hops]);
    ip.extend(src.octets());
    ip.extend(dst.octets());
    ip.extend(payload);
    ip
}

/// Fills in the checksum `at` bytes into a transport segment over IPv6 (RFC 8200 §8.1).
fn checksum_v6(src: Ipv6Addr, dst: Ipv6Addr, proto: u8, at: usize, segment: &mut [u8]) {
    let length = (segment.len() as u32).to_be_bytes();
    let sum = match checksum(&[&src.octets(), &dst.octets(), &length, &[0, 0, 0, proto], segment]) {
        // A UDP checksum of zero would say that there is none.
        0 if proto == 17 => 0xffff,
        sum => sum,
    };
    segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

fn icmpv6(src: Ipv6Addr, dst: Ipv6Addr, hops: u8, mut icmp: Vec<u8>) -> Vec<u8> {
    checksum_v6(src, dst, 58, 2, &mut icmp);
    ipv6(58, hops, src, dst, &icmp)
}

/// An IPv6 packet with a UDP datagram (RFC 768). A payload above 65,527 bytes is cut.
pub fn udp6(src: Ipv6Addr, dst: Ipv6Addr, sport: u16, dport: u16, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(0xffff - 8)];
    let mut udp = Vec::with_capacity(8 + payload.len());
    udp.extend(sport.to_be_bytes());
    udp.extend(dport.to_be_bytes());
    udp.extend((8 + payload.len() as u16).to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    checksum_v6(src, dst, 17, 6, &mut udp);
    ipv6(17, 64, src, dst, &udp)
}

/// An IPv6 packet with a TCP segment (RFC 9293), flags as on the wire (0x02 SYN, 0x10 ACK). A payload
/// above 65,515 bytes is cut.
pub fn tcp6(
    src: Ipv6Addr,
    dst: Ipv6Addr,
    sport: u16,
    dport: u16,
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let payload = &payload[..payload.len().min(0xffff - 20)];
    let mut tcp = Vec::with_capacity(20 + payload.len());
    tcp.extend(sport.to_be_bytes());
    tcp.extend(dport.to_be_bytes());
    tcp.extend([0; 8]);
    tcp.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    tcp.extend(payload);
    checksum_v6(src, dst, 6, 16, &mut tcp);
    ipv6(6, 64, src, dst, &tcp)
}

/// An IPv6 packet with an ICMPv6 echo (RFC 4443 §4): type 128 asks, 129 answers. A payload above
/// 65,527 bytes is cut.
pub fn icmpv6_echo(
    kind: u8,
    src: Ipv6Addr,
    dst: Ipv6Addr,
    id: u16,
    seq: u16,
    payload: &[u8],
) -> Vec<u8> {
    let payload = &payload[..payload.len().min(0xffff - 8)];
    let mut icmp = vec![kind, 0, 0, 0];
    icmp.extend(id.to_be_bytes());
    icmp.extend(seq.to_be_bytes());
    icmp.extend(payload);
    icmpv6(src, dst, 64, icmp)
}

/// An IPv6 packet with extension headers between it and its payload: each (number, bytes), whose first
/// byte, the next header, is filled in.
pub fn ipv6_with_extensions(
    extensions: &[(u8, &[u8])],
    next: u8,
    src: Ipv6Addr,
    dst: Ipv6Addr,
    payload: &[u8],
) -> Vec<u8> {
    let mut chain = Vec::new();
    let numbers = extensions.iter().map(|(number, _)| *number).chain([next]);
    for ((_, bytes), next) in extensions.iter().zip(numbers.clone().skip(1)) {
        chain.push(next);
        chain.extend(bytes.iter().skip(1));
    }
    chain.extend(payload);
    ipv6(numbers.clone().next().unwrap_or(next), 64, src, dst, &chain)
}

/// The solicited-node group of an address (RFC 4291 §2.7.1), and its MAC (RFC 2464 §7).
pub fn solicited_node(target: Ipv6Addr) -> (Ipv6Addr, MacAddr) {
    let [.., a, b, c] = target.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    (group, MacAddr([0x33, 0x33, 0xff, a, b, c]))
}

/// An IPv6 packet that asks for the MAC of `target` (RFC 4861 §4.3).
pub fn neighbour_solicitation(sender: MacAddr, src: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let mut icmp = vec![135, 0, 0, 0, 0, 0, 0, 0];
    icmp.extend(target.octets());
    icmp.extend([1, 1]);
    icmp.extend(sender.0);
    icmpv6(src, solicited_node(target).0, 255, icmp)
}

/// An IPv6 packet that answers a solicitation (RFC 4861 §4.4).
pub fn neighbour_advertisement(sender: MacAddr, target: Ipv6Addr, dst: Ipv6Addr) -> Vec<u8> {
    let mut icmp = vec![136, 0, 0, 0, 0x60, 0, 0, 0];
    icmp.extend(target.octets());
    icmp.extend([2, 1]);
    icmp.extend(sender.0);
    icmpv6(target, dst, 255, icmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_add_up_to_ones() {
        let (a, b) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        for (packet, proto) in [(udp(a, b, 1, 2, b"odd"), 17), (tcp(a, b, 1, 2, 2, b"x"), 6)] {
            assert_eq!(checksum(&[&packet[..20]]), 0);
            let transport = &packet[20..];
            let pseudo = pseudo(a, b, proto, transport.len() as u16);
            assert_eq!(checksum(&[&pseudo, transport]), 0, "{proto}");
        }
        assert_eq!(checksum(&[&icmp_echo(8, a, b, 1, 2, b"abc")[20..]]), 0);
    }

    #[test]
    fn checksums_over_ipv6_add_up_to_ones_and_lengths_are_those_of_the_payload() {
        let (a, b) = (Ipv6Addr::LOCALHOST, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2));
        for packet in [
            udp6(a, b, 1, 2, b"odd"),
            tcp6(a, b, 1, 2, 2, b"x"),
            icmpv6_echo(128, a, b, 1, 2, b"abc"),
            neighbour_solicitation(MacAddr::from_u64(1), a, b),
            neighbour_advertisement(MacAddr::from_u64(1), a, b),
        ] {
            let (head, segment) = packet.split_at(40);
            assert_eq!(head[4..6], (segment.len() as u16).to_be_bytes());
            let length = (segment.len() as u32).to_be_bytes();
            let pseudo = [&head[8..40], &length, &[0, 0, 0, head[6]]].concat();
            assert_eq!(checksum(&[&pseudo, segment]), 0, "next header {}", head[6]);
        }
    }

    #[test]
    fn extension_headers_lead_to_each_other_and_to_the_payload() {
        let (a, b) = (Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
        let options = [0, 0, 1, 4, 0, 0, 0, 0];
        let packet = ipv6_with_extensions(&[(0, &options), (60, &options)], 17, a, b, b"payload");
        assert_eq!((packet[6], packet[40], packet[48]), (0, 60, 17));
        assert_eq!(&packet[56..], b"payload");
        assert_eq!(ipv6_with_extensions(&[], 17, a, b, b"x"), ipv6(17, 64, a, b, b"x"));
    }
}

//! The bytes of a frame, as scenarios build them. Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

use umlaut_openflow::{MacAddr, build};

use super::plan::*;
use super::write::own_mac;

/// The address that goes with a MAC.
pub fn ip_of(mac: Mac) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 0, mac as u8)
}

/// The address that a frame is sent to.
pub fn ip_of_dst(frame: &Frame) -> Ipv4Addr {
    match frame.dst {
        BROADCAST => Ipv4Addr::BROADCAST,
        dst => ip_of(dst),
    }
}

/// Whether a frame is the reply to another: MACs, addresses and ports are turned round. A station that
/// pretends to be somebody keeps its own IP address, so that its frames may turn the MACs alone.
pub fn answers(reply: &Frame, first: &Frame) -> bool {
    let turned = match first.kind {
        Kind::Udp(s, d) => Kind::Udp(d, s),
        Kind::Tcp(s, d) => Kind::Tcp(d, s),
        _ => return false,
    };
    let ips = |frame: &Frame| (ip_of(own_mac(frame.station)), ip_of_dst(frame));
    let (from, to) = ips(first);
    turned == reply.kind
        && (reply.src, reply.dst) == (first.dst, first.src)
        && ips(reply) == (to, from)
}

/// The token that is found again in what arrives.
pub fn token(number: u64) -> Vec<u8> {
    format!("<{number:08}>").into_bytes()
}

/// The frame with a token in its payload; `sender` is the MAC of the station, whose IP it has.
pub fn bytes(frame: &Frame, sender: Mac, number: u64) -> Vec<u8> {
    let (src, dst) = (mac(frame.src), mac(frame.dst));
    let (from, to) = (ip_of(sender), ip_of_dst(frame));
    let data = token(number);
    let (eth_type, packet) = match frame.kind {
        Kind::Plain => (0x88b5, data),
        Kind::Udp(s, d) => (0x0800, build::udp(from, to, s, d, &data)),
        Kind::Tcp(s, d) => (0x0800, build::tcp(from, to, s, d, 2, &data)),
        Kind::Icmp => (0x0800, build::icmp_echo(8, from, to, 1, 1, &data)),
        Kind::Arp => (0x0806, [build::arp(1, src, from, MacAddr::ZERO, to), data].concat()),
        Kind::ArpReply => (0x0806, [build::arp(2, src, from, dst, to), data].concat()),
        Kind::Nd(target) => {
            let target = Ipv6Addr::from(0xfe80_u128 << 112 | u128::from(target));
            (0x86dd, [build::neighbour_solicitation(src, target, target), data].concat())
        }
        Kind::Fragment => {
            let mut ip = build::udp(from, to, 1, 1, &data);
            (ip[6], ip[7]) = (0, 0x10);
            (0x0800, ip)
        }
        Kind::Lldp => {
            let mut pdu = vec![2, 2, 7, b'1', 4, 2, 7, b'1', 6, 2, 0, 15, 0, 0];
            pdu.extend(data);
            (0x88cc, pdu)
        }
    };
    let mut bytes = build::ethernet(dst, src, &frame.tags, eth_type, &packet);
    bytes.resize(bytes.len().max(60), 0);
    bytes
}

/// A frame without its tags and padding up to and with the token, to see that nothing else changed.
pub fn bare(bytes: &[u8], token: &[u8]) -> Vec<u8> {
    let mut at = 12;
    while bytes
        .get(at..at + 2)
        .is_some_and(|tpid| [[0x81, 0], [0x88, 0xa8]].iter().any(|t| t == tpid))
    {
        at += 4;
    }
    let end = bytes
        .windows(token.len())
        .position(|w| w == token)
        .map_or(bytes.len(), |i| i + token.len());
    [&bytes[..12], bytes.get(at..end).unwrap_or_default()].concat()
}

#[test]
fn a_reply_turns_addresses_and_ports_not_macs_alone() {
    let frame = |station, src, dst, kind| Frame { station, src, dst, tags: vec![], kind };
    // Stations 0 and 1 have the addresses that go with the MACs 1 and 2.
    let first = frame(0, 1, 2, Kind::Tcp(5, 80));
    assert!(answers(&frame(1, 2, 1, Kind::Tcp(80, 5)), &first));
    assert!(!answers(&frame(1, 2, 1, Kind::Tcp(5, 80)), &first), "ports");
    assert!(!answers(&frame(1, 2, 1, Kind::Udp(80, 5)), &first), "protocol");
    assert!(!answers(&frame(1, 2, 3, Kind::Tcp(80, 5)), &first), "MACs");
    assert!(!answers(&frame(4, 2, 1, Kind::Tcp(80, 5)), &first), "its own IP address");
    assert!(!answers(&frame(1, 2, 1, Kind::Tcp(80, 5)), &frame(4, 1, 2, Kind::Tcp(5, 80))));
}

//! The TCP segment in a captured packet (RFC 9293 §3.1). Pure.

use std::net::{IpAddr, SocketAddr};

use super::capture::Packet;

/// A TCP segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Segment<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// The sequence number of its first byte, or of the SYN.
    pub(super) sequence: u32,
    /// Whether it opens a connection.
    pub(super) syn: bool,
    /// Its data, as far as it was captured.
    pub(super) data: &'a [u8],
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
const SYN: u8 = 2;

impl<'a> Segment<'a> {
    /// Reads a packet of one of the usual link types; `None` if it is no TCP over whole IP packets.
    pub(super) fn parse(packet: &Packet<'a>) -> Option<Segment<'a>> {
        let (from, to, tcp) = match network(packet)? {
            (IPV4, ip) => ipv4(ip)?,
            (IPV6, ip) => ipv6(ip)?,
            _ => return None,
        };
        let header = usize::from(tcp.get(12)? >> 4) * 4;
        Some(Segment {
            source: SocketAddr::new(from, half(tcp, 0)?),
            destination: SocketAddr::new(to, half(tcp, 2)?),
            sequence: u32::from_be_bytes(bytes(tcp, 4)?),
            syn: tcp.get(13)? & SYN != 0,
            data: tcp.get(header..).filter(|_| header >= 20)?,
        })
    }
}

fn bytes<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..)?.first_chunk().copied()
}

fn half(data: &[u8], at: usize) -> Option<u16> {
    bytes(data, at).map(u16::from_be_bytes)
}

/// EtherType and network packet behind the link header (tcpdump.org/linktypes.html).
fn network<'a>(packet: &Packet<'a>) -> Option<(u16, &'a [u8])> {
    const LOOPBACK: u32 = 0;
    const ETHERNET: u32 = 1;
    const RAW: u32 = 101;
    const LOOPBACK_OPENBSD: u32 = 108;
    const COOKED: u32 = 113;
    const RAW_IPV4: u32 = 228;
    const RAW_IPV6: u32 = 229;
    const COOKED_2: u32 = 276;
    let data = packet.data;
    let (mut kind, mut rest) = match packet.link {
        // The family's number differs between systems; the packet's own version does not.
        LOOPBACK | LOOPBACK_OPENBSD => return by_version(data.get(4..)?),
        RAW | RAW_IPV4 | RAW_IPV6 => return by_version(data),
        ETHERNET => (half(data, 12)?, data.get(14..)?),
        COOKED => (half(data, 14)?, data.get(16..)?),
        COOKED_2 => (half(data, 0)?, data.get(20..)?),
        _ => return None,
    };
    while let 0x8100 | 0x88a8 = kind {
        (kind, rest) = (half(rest, 2)?, rest.get(4..)?);
    }
    Some((kind, rest))
}

fn by_version(ip: &[u8]) -> Option<(u16, &[u8])> {
    match ip.first()? >> 4 {
        4 => Some((IPV4, ip)),
        6 => Some((IPV6, ip)),
        _ => None,
    }
}

type Transport<'a> = (IpAddr, IpAddr, &'a [u8]);

fn ipv4(ip: &[u8]) -> Option<Transport<'_>> {
    let header = usize::from(ip.first()? & 15) * 4;
    let fragment = half(ip, 6)? & 0x3fff;
    if *ip.get(9)? != TCP || fragment != 0 || header < 20 {
        return None;
    }
    // What a network card cuts into packets later has no length yet.
    let total = match usize::from(half(ip, 2)?) {
        0 => ip.len(),
        total => total.min(ip.len()),
    };
    let address = |at| bytes::<4>(ip, at).map(IpAddr::from);
    Some((address(12)?, address(16)?, ip.get(header..total)?))
}

fn ipv6(ip: &[u8]) -> Option<Transport<'_>> {
    if *ip.get(6)? != TCP {
        return None;
    }
    let rest = ip.get(40..)?;
    let length = match usize::from(half(ip, 4)?) {
        0 => rest.len(),
        length => length.min(rest.len()),
    };
    let address = |at| bytes::<16>(ip, at).map(IpAddr::from);
    Some((address(8)?, address(24)?, &rest[..length]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use umlaut_openflow::MacAddr;
    use umlaut_openflow::build::{ethernet, tcp, tcp6, udp};

    fn parsed(link: u32, data: &[u8]) -> Option<(SocketAddr, bool, Vec<u8>)> {
        let segment = Segment::parse(&Packet { link, data })?;
        Some((segment.source, segment.syn, segment.data.to_vec()))
    }

    #[test]
    fn a_segment_is_found_behind_every_link_header() {
        let v4 = tcp([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 6653, 4000, 0x18, b"hello");
        let v6 = tcp6("::1".parse().unwrap(), "::2".parse().unwrap(), 6653, 4000, 2, b"hello");
        let frame = |tags: &[(u16, u16)], kind, ip: &[u8]| {
            let mut frame = ethernet(MacAddr::ZERO, MacAddr::ZERO, tags, kind, ip);
            // Ethernet pads short frames.
            frame.extend([0; 6]);
            frame
        };
        let behind = |head: &[u8], ip: &[u8]| [head, ip].concat();
        let cooked = [0, 0, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0];
        let cooked_2 = [0x86, 0xdd, 0, 0, 0, 0, 0, 1, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0];
        for (link, data, source, syn) in [
            (1, frame(&[], 0x0800, &v4), "10.0.0.1:6653", false),
            (1, frame(&[(0x88a8, 5), (0x8100, 7)], 0x86dd, &v6), "[::1]:6653", true),
            (0, behind(&[2, 0, 0, 0], &v4), "10.0.0.1:6653", false),
            (0, behind(&[0, 0, 0, 30], &v6), "[::1]:6653", true),
            (108, behind(&[0, 0, 0, 2], &v4), "10.0.0.1:6653", false),
            (101, v4.clone(), "10.0.0.1:6653", false),
            (229, v6.clone(), "[::1]:6653", true),
            (113, behind(&cooked, &v4), "10.0.0.1:6653", false),
            (276, behind(&cooked_2, &v6), "[::1]:6653", true),
        ] {
            let wanted = (source.parse().unwrap(), syn, b"hello".to_vec());
            assert_eq!(parsed(link, &data), Some(wanted), "link type {link}");
            for end in 0..data.len() {
                if let Some((_, _, cut)) = parsed(link, &data[..end]) {
                    assert!(b"hello".starts_with(&cut[..]));
                }
            }
        }
    }

    #[test]
    fn what_is_no_tcp_segment_is_left_out() {
        let (a, b) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let whole = tcp(a, b, 1, 2, 0x18, b"hello");
        let mut fragment = whole.clone();
        fragment[6] = 0x20;
        let mut unsized_yet = whole.clone();
        unsized_yet[2..4].fill(0);
        let mut short_header = whole.clone();
        short_header[32] = 0x10;
        assert_eq!(parsed(101, &udp(a, b, 1, 2, b"hello")), None);
        assert_eq!(parsed(101, &fragment), None);
        assert_eq!(parsed(101, &short_header), None);
        assert_eq!(parsed(147, &whole), None);
        assert_eq!(parsed(101, &unsized_yet), parsed(101, &whole));
    }
}

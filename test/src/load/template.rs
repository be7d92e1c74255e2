//! Packet-ins and echo requests of a load, made once and patched in place (1.3.5 §7.4.1, 1.0
//! §5.4.1). Pure.

use std::net::Ipv4Addr;

use bytes::BytesMut;
use umlaut_openflow::{
    BufferId, Cookie, EncodeError, MacAddr, Message, PacketIn, PacketInReason, PortNo, TableId,
    Version, Xid, build, encode,
};

use super::population::{Address, Host};

/// The shortest frame of Ethernet, without its check sequence.
const FRAME: usize = 60;
/// Where in the frame the sum of the IPv4 header is, and the two addresses behind it.
const IPV4_SUM: usize = 24;
const IPV4_SRC: usize = 26;
const IPV4_DST: usize = 30;
/// The port of the frames' source and destination: where nobody listens, and no filter of a load asks.
const UDP_PORTS: (u16, u16) = (40_000, 9);

const XID: usize = 4;
const BUFFER: usize = 8;

/// A packet-in of a UDP datagram, ready but for who sends to whom.
#[derive(Clone, Debug)]
pub(super) struct Template {
    bytes: Vec<u8>,
    /// Where the low two bytes of the ingress port are.
    port_at: usize,
    frame_at: usize,
    /// The sum of the IPv4 header without its addresses.
    sum: u32,
}

impl Template {
    pub(super) fn new(version: Version) -> Result<Template, EncodeError> {
        let zero = Ipv4Addr::UNSPECIFIED;
        let payload = build::udp(zero, zero, UDP_PORTS.0, UDP_PORTS.1, &[0; FRAME - 42]);
        let mut frame = build::ethernet(MacAddr::ZERO, MacAddr::ZERO, &[], 0x0800, &payload);
        // A sum of UDP that is zero was not made (RFC 768): it covers the addresses.
        frame[40..42].copy_from_slice(&[0, 0]);
        let sum = u32::from(!u16::from_be_bytes([frame[IPV4_SUM], frame[IPV4_SUM + 1]]));
        let bytes = packet_in(version, PortNo(0), &frame)?;
        // In 1.3 the only field of the match, behind its type and length and the field's header.
        let port_at = if version == Version::V1_0 { 14 } else { 34 };
        let frame_at = bytes.len() - frame.len();
        Ok(Template { bytes, port_at, frame_at, sum })
    }

    /// Appends a packet-in of a frame from one host to another.
    #[inline]
    pub(super) fn put(
        &self,
        out: &mut Vec<u8>,
        xid: u32,
        buffer: Option<u32>,
        port: u16,
        [from, to]: [Address; 2],
    ) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let message = &mut out[start..];
        message[XID..XID + 4].copy_from_slice(&xid.to_be_bytes());
        if let Some(buffer) = buffer {
            message[BUFFER..BUFFER + 4].copy_from_slice(&buffer.to_be_bytes());
        }
        // The last two of the four bytes in 1.3: the others are zero.
        message[self.port_at..self.port_at + 2].copy_from_slice(&port.to_be_bytes());
        let frame = &mut message[self.frame_at..];
        frame[..6].copy_from_slice(&to.mac.0);
        frame[6..12].copy_from_slice(&from.mac.0);
        let (src, dst) = (from.ip.to_bits(), to.ip.to_bits());
        let mut sum = self.sum + (src >> 16) + (src & 0xffff) + (dst >> 16) + (dst & 0xffff);
        sum = (sum >> 16) + (sum & 0xffff);
        sum = (sum >> 16) + (sum & 0xffff);
        frame[IPV4_SUM..IPV4_SUM + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
        frame[IPV4_SRC..IPV4_SRC + 4].copy_from_slice(&src.to_be_bytes());
        frame[IPV4_DST..IPV4_DST + 4].copy_from_slice(&dst.to_be_bytes());
    }
}

/// A packet-in by which a host makes itself known: it asks all for its own address (RFC 5227).
pub(super) fn announcement(version: Version, host: &Host) -> Result<Vec<u8>, EncodeError> {
    let arp = build::arp(1, host.mac, host.ip, MacAddr::ZERO, host.ip);
    let mut frame = build::ethernet(MacAddr::BROADCAST, host.mac, &[], 0x0806, &arp);
    frame.resize(FRAME, 0);
    packet_in(version, host.port, &frame)
}

/// An echo request: its answer says that all before it was read.
pub(super) fn echo(version: Version, xid: u32) -> [u8; 8] {
    let xid = xid.to_be_bytes();
    [version.0, 2, 0, 8, xid[0], xid[1], xid[2], xid[3]]
}

fn packet_in(version: Version, in_port: PortNo, frame: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let cookie = if version == Version::V1_0 { Cookie(u64::MAX) } else { Cookie(0) };
    let message = PacketIn {
        buffer_id: None::<BufferId>,
        total_len: frame.len() as u16,
        in_port,
        reason: PacketInReason::NO_MATCH,
        table_id: TableId(0),
        cookie,
        pipeline: (&[][..]).into(),
        data: frame.into(),
    };
    let mut bytes = BytesMut::new();
    encode(version, Xid(0), &Message::PacketIn(message), &mut bytes)?;
    Ok(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use umlaut_openflow::packet::{Field, Headers};
    use umlaut_openflow::{decode, next_frame};

    use super::super::population::Population;
    use super::*;

    #[test]
    fn a_patched_template_is_the_packet_in_that_the_codec_would_make() {
        let population = Population::new(3, 500, 20).unwrap();
        for version in [Version::V1_0, Version::V1_3] {
            let template = Template::new(version).unwrap();
            for (a, b, buffer) in [(0, 1, None), (499, 7, Some(77)), (300, 299, None)] {
                let (from, to) = (population.host(2, a), population.host(2, b));
                let mut out = vec![1, 2, 3];
                let addresses = [population.address(2, a), population.address(2, b)];
                template.put(&mut out, 0x0102_0304, buffer, from.port.0 as u16, addresses);
                let bytes = &out[3..];
                assert_eq!(next_frame(bytes), Ok(Some(bytes.len())));
                let (header, Message::PacketIn(packet)) = decode(bytes).unwrap() else { panic!() };
                assert_eq!((header.version, header.xid), (version, Xid(0x0102_0304)));
                assert_eq!(packet.in_port, from.port);
                assert_eq!(packet.buffer_id, buffer.map(BufferId));
                assert_eq!(usize::from(packet.total_len), packet.data.len());
                let headers = Headers::parse(&packet.data);
                assert_eq!((headers.eth_src, headers.eth_dst), (from.mac, to.mac));
                assert_eq!(headers.ipv4_src, Field::Is(from.ip));
                assert_eq!(headers.ipv4_dst, Field::Is(to.ip));
                assert_eq!(headers.tp_dst, Field::Is(UDP_PORTS.1));
                assert_eq!(build::checksum(&[&packet.data[14..34]]), 0);
            }
        }
    }

    #[test]
    fn an_announcement_speaks_of_its_host() {
        let host = Population::new(1, 9, 1).unwrap().host(0, 5);
        for version in [Version::V1_0, Version::V1_3] {
            let bytes = announcement(version, &host).unwrap();
            let (_, Message::PacketIn(packet)) = decode(&bytes).unwrap() else { panic!() };
            let headers = Headers::parse(&packet.data);
            assert!(headers.eth_dst.is_group());
            assert_eq!((headers.eth_src, packet.in_port), (host.mac, host.port));
            assert_eq!(headers.arp_spa, Field::Is(host.ip));
            assert_eq!(
                decode(&echo(version, 9)).unwrap().1,
                Message::EchoRequest((&[][..]).into())
            );
        }
    }
}

//! The frames that cases send: from the fields that a case gives to bytes. Pure.
//!
//! A case is judged by the headers of the very bytes that a network would carry, so that what is
//! decided offline and what a switch sees are one frame.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use umlaut_openflow::packet::Headers;
use umlaut_openflow::{MacAddr, Vid, build};

use crate::filter::{Criterion, Test};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;
/// EtherTypes start here; below it the field is a length (IEEE 802.3 §3.2.6).
const SHORTEST_TYPE: u16 = 0x0600;
const TPID: u16 = 0x8100;
/// The shortest frame without its check sequence (IEEE 802.3 §3.2.8).
const SHORTEST: usize = 60;

/// The protocol fields that a case gives. The others get usual values: an echo request, ports 1.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FrameFields(pub(crate) Vec<Criterion>);

/// An end of a frame: its MAC and IP address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct End {
    pub(crate) mac: MacAddr,
    pub(crate) ip: Option<IpAddr>,
}

impl End {
    fn v4(&self) -> Ipv4Addr {
        match self.ip {
            Some(IpAddr::V4(ip)) => ip,
            // As labs number hosts without an address.
            _ if self.mac.is_group() => Ipv4Addr::BROADCAST,
            _ => Ipv4Addr::new(192, 168, self.mac.0[4], self.mac.0[5]),
        }
    }

    fn v6(&self) -> Ipv6Addr {
        match self.ip {
            Some(IpAddr::V6(ip)) => ip,
            _ if self.mac.is_group() => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
            _ => Ipv6Addr::from(0xfe80_u128 << 112 | u128::from(self.mac.to_u64())),
        }
    }
}

impl FrameFields {
    /// Whether the case gives none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn first(&self, tests: &[Test]) -> Option<u128> {
        self.0.iter().find(|c| tests.contains(&c.test)).map(|c| c.value)
    }

    fn is_arp(&self) -> bool {
        self.first(&[Test::EthType]) == Some(ARP.into())
    }

    /// The frame from one end to the other on this VLAN, with `data` at its end.
    pub(crate) fn bytes(&self, from: End, to: End, vid: Vid, data: &[u8]) -> Vec<u8> {
        match vid {
            Vid::Untagged if self.first(&[Test::Pcp]).is_none() => self.tagged(from, to, &[], data),
            Vid::Untagged => self.tagged(from, to, &[0], data),
            Vid::Tagged(vid) => self.tagged(from, to, &[vid.number()], data),
        }
    }

    /// The same with these tags, which need not be of any VLAN; the outer one has the priority.
    pub(crate) fn tagged(&self, from: End, to: End, vids: &[u16], data: &[u8]) -> Vec<u8> {
        let mut tags: Vec<(u16, u16)> = vids.iter().map(|vid| (TPID, *vid)).collect();
        if let (Some(pcp), Some((_, outer))) = (self.first(&[Test::Pcp]), tags.first_mut()) {
            *outer |= (pcp as u16) << 13;
        }
        let both_v6 = matches!((from.ip, to.ip), (Some(IpAddr::V6(_)), None | Some(IpAddr::V6(_))))
            || matches!((from.ip, to.ip), (None, Some(IpAddr::V6(_))));
        let usual = if both_v6 { IPV6 } else { IPV4 };
        let eth_type = self.first(&[Test::EthType]).map_or(usual, |value| value as u16);
        let packet = match eth_type {
            IPV4 => self.ipv4(from, to, data),
            IPV6 => self.ipv6(from, to, data),
            ARP => self.arp(from, to, data),
            // No type but a length: an LLC frame (IEEE 802.2 §3), an unnumbered one of spanning tree's.
            ..SHORTEST_TYPE => [&[0x42, 0x42, 0x03], data].concat(),
            _ => data.to_vec(),
        };
        let wire = if eth_type < SHORTEST_TYPE { packet.len() as u16 } else { eth_type };
        // Who asks by ARP asks everybody, unless the operation is given.
        let asks = self.is_arp() && self.first(&[Test::ArpOp, Test::NwProto]).is_none();
        let dst = if asks { MacAddr::BROADCAST } else { to.mac };
        let mut frame = build::ethernet(dst, from.mac, &tags, wire, &packet);
        frame.resize(frame.len().max(SHORTEST), 0);
        frame
    }

    /// The headers of [`FrameFields::bytes`].
    pub(crate) fn headers(&self, from: End, to: End, vid: Vid) -> Headers {
        Headers::parse(&self.bytes(from, to, vid, &[]))
    }

    /// The IP protocol: TCP where ports are given, else an echo.
    fn protocol(&self, echo: u8) -> u8 {
        let ports = self.first(&[Test::TpSrc, Test::TpDst]).is_some();
        let usual = if ports { 6 } else { echo };
        self.first(&[Test::IpProto, Test::NwProto]).map_or(usual, |proto| proto as u8)
    }

    fn transport(&self, proto: u8, data: &[u8], icmp: u8) -> Vec<u8> {
        let port = |test| self.first(&[test]).unwrap_or(1) as u16;
        let ports = [port(Test::TpSrc).to_be_bytes(), port(Test::TpDst).to_be_bytes()].concat();
        let mut bytes = match proto {
            6 => [&ports[..], &[0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]].concat(),
            17 => {
                let length = (8 + data.len()) as u16;
                [&ports[..], &length.to_be_bytes(), &[0, 0]].concat()
            }
            132 => [&ports[..], &[0; 8]].concat(),
            1 | 58 => {
                let value = |test, usual: u8| self.first(&[test]).map_or(usual, |v| v as u8);
                let kind = match self.first(&[Test::NdTarget]) {
                    Some(_) => value(Test::IcmpType, 135),
                    None => value(Test::IcmpType, icmp),
                };
                let mut bytes = vec![kind, value(Test::IcmpCode, 0), 0, 0, 0, 0, 0, 0];
                if let Some(target) = self.first(&[Test::NdTarget]) {
                    bytes.extend(target.to_be_bytes());
                }
                bytes
            }
            _ => vec![],
        };
        bytes.extend(data);
        bytes
    }

    fn ipv4(&self, from: End, to: End, data: &[u8]) -> Vec<u8> {
        let address = |tests: &[Test], usual: Ipv4Addr| {
            self.first(tests).map_or(usual, |value| Ipv4Addr::from(value as u32))
        };
        let src = address(&[Test::Ipv4Src, Test::NwSrc], from.v4());
        let dst = address(&[Test::Ipv4Dst, Test::NwDst], to.v4());
        let proto = self.protocol(1);
        let mut payload = self.transport(proto, data, 8);
        let zero = Ipv4Addr::UNSPECIFIED;
        match proto {
            1 => sum_at(&mut payload, 2, &[]),
            6 | 17 => {
                let pseudo = [
                    &src.octets()[..],
                    &dst.octets()[..],
                    &[0, proto],
                    &(payload.len() as u16).to_be_bytes(),
                ]
                .concat();
                sum_at(&mut payload, if proto == 6 { 16 } else { 6 }, &pseudo);
            }
            _ => {}
        }
        let mut packet = build::ipv4(proto, src, dst, &payload);
        packet[1] = self.traffic_class();
        packet[10..12].copy_from_slice(&zero.octets()[..2]);
        let sum = build::checksum(&[&packet[..20]]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    fn ipv6(&self, from: End, to: End, data: &[u8]) -> Vec<u8> {
        let address =
            |test: Test, usual: Ipv6Addr| self.first(&[test]).map_or(usual, Ipv6Addr::from);
        let src = address(Test::Ipv6Src, from.v6());
        let dst = address(Test::Ipv6Dst, to.v6());
        let proto = self.protocol(58);
        let mut payload = self.transport(proto, data, 128);
        let length = (payload.len() as u32).to_be_bytes();
        let pseudo = [&src.octets()[..], &dst.octets()[..], &length, &[0, 0, 0, proto]].concat();
        match proto {
            58 => sum_at(&mut payload, 2, &pseudo),
            6 => sum_at(&mut payload, 16, &pseudo),
            17 => sum_at(&mut payload, 6, &pseudo),
            _ => {}
        }
        let mut packet = build::ipv6(proto, 64, src, dst, &payload);
        let class = self.traffic_class();
        packet[0] = 0x60 | class >> 4;
        packet[1] = packet[1] & 0x0f | class << 4;
        packet
    }

    fn traffic_class(&self) -> u8 {
        let value = |test| self.first(&[test]).unwrap_or(0) as u8;
        value(Test::Dscp) << 2 | value(Test::Ecn)
    }

    fn arp(&self, from: End, to: End, data: &[u8]) -> Vec<u8> {
        let mac = |test, usual: MacAddr| {
            self.first(&[test]).map_or(usual, |value| MacAddr::from_u64(value as u64))
        };
        let ip = |tests: &[Test], usual: Ipv4Addr| {
            self.first(tests).map_or(usual, |value| Ipv4Addr::from(value as u32))
        };
        let op = self.first(&[Test::ArpOp, Test::NwProto]).unwrap_or(1) as u16;
        let mut arp = build::arp(
            op,
            mac(Test::ArpSha, from.mac),
            ip(&[Test::ArpSpa, Test::NwSrc], from.v4()),
            mac(Test::ArpTha, if op == 1 { MacAddr::ZERO } else { to.mac }),
            ip(&[Test::ArpTpa, Test::NwDst], to.v4()),
        );
        arp.extend(data);
        arp
    }
}

/// Puts the checksum of the bytes and a pseudo header where it belongs.
fn sum_at(bytes: &mut [u8], at: usize, pseudo: &[u8]) {
    let sum = match build::checksum(&[pseudo, bytes]) {
        // UDP sends a sum of 0 as all ones (RFC 768); the others may as well.
        0 => 0xffff,
        sum => sum,
    };
    bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use umlaut_openflow::packet::Field;

    use super::*;

    fn end(n: u64, ip: Option<&str>) -> End {
        End { mac: MacAddr::from_u64(n), ip: ip.map(|ip| ip.parse().unwrap()) }
    }

    #[test]
    fn every_field_that_is_given_is_in_the_frame() {
        let c = |test, value: u128| Criterion::exact(test, value);
        let (e4, e6, ea) = (u128::from(IPV4), u128::from(IPV6), u128::from(ARP));
        let table: Vec<Vec<Criterion>> = vec![
            vec![c(Test::EthType, e4), c(Test::IpProto, 6), c(Test::TpDst, 23), c(Test::TpSrc, 9)],
            vec![c(Test::EthType, e4), c(Test::IpProto, 17), c(Test::TpDst, 53), c(Test::Dscp, 46)],
            vec![c(Test::EthType, e4), c(Test::IpProto, 132), c(Test::TpDst, 7), c(Test::Ecn, 2)],
            vec![c(Test::EthType, e4), c(Test::IpProto, 1), c(Test::IcmpType, 3)],
            vec![
                c(Test::EthType, e4),
                c(Test::Ipv4Src, 0x0a00_0001),
                c(Test::Ipv4Dst, 0x0a00_0002),
            ],
            vec![c(Test::EthType, e4), c(Test::NwProto, 89), c(Test::NwDst, 0xe000_0005)],
            vec![c(Test::EthType, e6), c(Test::IpProto, 6), c(Test::TpDst, 443), c(Test::Dscp, 9)],
            vec![c(Test::EthType, e6), c(Test::Ipv6Src, 7), c(Test::Ipv6Dst, 8), c(Test::Ecn, 1)],
            vec![c(Test::EthType, e6), c(Test::IpProto, 58), c(Test::NdTarget, 99)],
            vec![c(Test::EthType, ea), c(Test::ArpOp, 2), c(Test::ArpSpa, 1), c(Test::ArpTpa, 2)],
            vec![c(Test::EthType, ea), c(Test::ArpSha, 5), c(Test::ArpTha, 6)],
            vec![c(Test::EthType, 0x88b5)],
            vec![c(Test::EthType, 0x05ff)],
            vec![c(Test::Pcp, 5)],
            vec![c(Test::TpDst, 22)],
        ];
        for criteria in table {
            let fields = FrameFields(criteria);
            let headers = fields.headers(end(1, None), end(2, None), Vid::Untagged);
            let subject = crate::filter::Subject {
                slice: crate::policy::SliceId(0),
                dpid: umlaut_openflow::DatapathId(1),
                in_port: umlaut_openflow::PortNo(1),
                headers: &headers,
            };
            for criterion in &fields.0 {
                let found = criterion.test.value(&subject);
                assert_eq!(found, Field::Is(criterion.value), "{criterion:?} of {headers:?}");
            }
        }
    }

    #[test]
    fn without_fields_it_is_an_echo_request_of_the_hosts_ip_version() {
        let none = FrameFields::default();
        let v4 = none.headers(end(1, Some("10.0.0.1")), end(2, None), Vid::Untagged);
        assert_eq!((v4.eth_type, v4.icmp_type), (Field::Is(IPV4), Field::Is(8)));
        assert_eq!(v4.ipv4_src, Field::Is(Ipv4Addr::new(10, 0, 0, 1)));
        let v6 = none.headers(end(1, Some("fd00::1")), end(2, Some("fd00::2")), Vid::Untagged);
        assert_eq!((v6.eth_type, v6.icmp_type), (Field::Is(IPV6), Field::Is(128)));
    }
}

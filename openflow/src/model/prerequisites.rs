//! The fields that other fields of a match presuppose (1.3.5 §7.2.3.6, table 11). Pure.

use std::mem::discriminant;

use super::matching::{Match, MatchField, VlanMatch};

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
const MPLS: u16 = 0x8847;
const PBB: u16 = 0x88e7;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;
/// ICMPv6 types of neighbour solicitation and advertisement.
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

impl Match {
    /// The same match with every field that another one presupposes, in front of it: `tcp_dst` alone
    /// becomes EtherType IPv4, protocol TCP, `tcp_dst`. Where there is a choice (TCP over IPv4 or
    /// IPv6, MPLS unicast or multicast) what the match says already counts, else the former is taken.
    /// Fields that contradict each other stay: the switch refuses them.
    ///
    /// ```
    /// use umlaut_openflow::Match;
    /// let short = Match::new().tcp_dst(80u16);
    /// let long = Match::new().eth_type(0x0800u16).ip_proto(6).tcp_dst(80u16);
    /// assert_eq!(short.with_prerequisites(), long);
    /// assert_eq!(long.with_prerequisites(), long);
    /// ```
    #[must_use]
    pub fn with_prerequisites(&self) -> Match {
        if self.presupposes_nothing() {
            return self.clone();
        }
        let mut done: Vec<MatchField> = Vec::with_capacity(self.fields().len() + 2);
        for field in self.fields() {
            self.place(field, &mut done);
        }
        if done == self.fields() { self.clone() } else { done.into_iter().collect() }
    }

    /// Whether all its fields are of those that presuppose no other: ingress port, MAC addresses,
    /// VLAN and EtherType.
    pub fn presupposes_nothing(&self) -> bool {
        self.fields().iter().all(|field| {
            matches!(
                field,
                MatchField::InPort(_)
                    | MatchField::EthDst(_)
                    | MatchField::EthSrc(_)
                    | MatchField::VlanVid(_)
                    | MatchField::EthType(_)
            )
        })
    }

    /// Appends a field behind what it presupposes.
    fn place(&self, field: &MatchField, done: &mut Vec<MatchField>) {
        let has = |done: &[MatchField], kind| done.iter().any(|f| discriminant(f) == kind);
        if let Some(needed) = self.presupposed(field)
            && !has(done, discriminant(&needed))
        {
            self.place(&needed, done);
        }
        // Already there if an earlier field presupposed it; a second value of one kind stays.
        if !done.contains(field) || count(self.fields(), field) > count(done, field) {
            done.push(field.clone());
        }
    }

    /// What a field presupposes: as this match says it, or as it must be.
    fn presupposed(&self, field: &MatchField) -> Option<MatchField> {
        let usual = match field {
            MatchField::VlanPcp(_) => MatchField::VlanVid(VlanMatch::Present),
            MatchField::Ipv4Src(_)
            | MatchField::Ipv4Dst(_)
            | MatchField::IpDscp(_)
            | MatchField::IpEcn(_)
            | MatchField::IpProto(_) => MatchField::EthType(self.ip_version()),
            MatchField::ArpOp(_)
            | MatchField::ArpSpa(_)
            | MatchField::ArpTpa(_)
            | MatchField::ArpSha(_)
            | MatchField::ArpTha(_) => MatchField::EthType(ARP),
            MatchField::Ipv6Src(_)
            | MatchField::Ipv6Dst(_)
            | MatchField::Ipv6Flabel(_)
            | MatchField::Ipv6Exthdr(_) => MatchField::EthType(IPV6),
            MatchField::MplsLabel(_) | MatchField::MplsTc(_) | MatchField::MplsBos(_) => {
                MatchField::EthType(MPLS)
            }
            MatchField::PbbIsid(_) => MatchField::EthType(PBB),
            MatchField::TcpSrc(_) | MatchField::TcpDst(_) => MatchField::IpProto(TCP),
            MatchField::UdpSrc(_) | MatchField::UdpDst(_) => MatchField::IpProto(UDP),
            MatchField::SctpSrc(_) | MatchField::SctpDst(_) => MatchField::IpProto(SCTP),
            MatchField::Icmpv4Type(_) | MatchField::Icmpv4Code(_) => MatchField::IpProto(ICMP),
            MatchField::Icmpv6Type(_) | MatchField::Icmpv6Code(_) => MatchField::IpProto(ICMPV6),
            MatchField::Ipv6NdTarget(_) | MatchField::Ipv6NdSll(_) => {
                MatchField::Icmpv6Type(SOLICITATION)
            }
            MatchField::Ipv6NdTll(_) => MatchField::Icmpv6Type(ADVERTISEMENT),
            _ => return None,
        };
        let kind = discriminant(&usual);
        Some(self.fields().iter().find(|f| discriminant(*f) == kind).cloned().unwrap_or(usual))
    }

    /// IPv6 if another field is of IPv6 only, else IPv4.
    fn ip_version(&self) -> u16 {
        let of_ipv6 = |f: &MatchField| {
            matches!(
                f,
                MatchField::Ipv6Src(_)
                    | MatchField::Ipv6Dst(_)
                    | MatchField::Ipv6Flabel(_)
                    | MatchField::Ipv6Exthdr(_)
                    | MatchField::Icmpv6Type(_)
                    | MatchField::Icmpv6Code(_)
                    | MatchField::Ipv6NdTarget(_)
                    | MatchField::Ipv6NdSll(_)
                    | MatchField::Ipv6NdTll(_)
                    | MatchField::IpProto(ICMPV6)
            )
        };
        if self.fields().iter().any(of_ipv6) { IPV6 } else { IPV4 }
    }
}

fn count(fields: &[MatchField], field: &MatchField) -> usize {
    fields.iter().filter(|other| *other == field).count()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::types::PortNo;

    #[test]
    fn what_a_field_presupposes_stands_before_it() {
        let v4 = Ipv4Addr::new(10, 0, 0, 1);
        let v6 = Ipv6Addr::LOCALHOST;
        let table = [
            (Match::new(), Match::new()),
            (
                Match::new().in_port(PortNo(1)).ipv4_dst(v4),
                Match::new().in_port(PortNo(1)).eth_type(IPV4).ipv4_dst(v4),
            ),
            // What is said already counts, and is moved to the front.
            (
                Match::new().udp_src(53u16).eth_type(IPV6),
                Match::new().eth_type(IPV6).ip_proto(UDP).udp_src(53u16),
            ),
            (
                Match::new().tcp_src(1u16).with(MatchField::Ipv6Dst(v6.into())),
                Match::new()
                    .eth_type(IPV6)
                    .ip_proto(TCP)
                    .tcp_src(1u16)
                    .with(MatchField::Ipv6Dst(v6.into())),
            ),
            (
                Match::new().with(MatchField::Ipv6NdTarget(v6.into())),
                Match::new()
                    .eth_type(IPV6)
                    .ip_proto(ICMPV6)
                    .with(MatchField::Icmpv6Type(SOLICITATION))
                    .with(MatchField::Ipv6NdTarget(v6.into())),
            ),
            (
                Match::new().with(MatchField::ArpTpa(v4.into())),
                Match::new().eth_type(ARP).with(MatchField::ArpTpa(v4.into())),
            ),
            (Match::new().vlan_pcp(3), Match::new().vlan_vid(VlanMatch::Present).vlan_pcp(3)),
            // A contradiction is not mended.
            (
                Match::new().eth_type(ARP).tcp_dst(22u16),
                Match::new().eth_type(ARP).ip_proto(TCP).tcp_dst(22u16),
            ),
            (Match::new().eth_type(IPV4).eth_type(ARP), Match::new().eth_type(IPV4).eth_type(ARP)),
        ];
        for (short, long) in table {
            assert_eq!(short.with_prerequisites(), long, "{short:?}");
            assert_eq!(long.with_prerequisites(), long, "{long:?}");
        }
    }
}

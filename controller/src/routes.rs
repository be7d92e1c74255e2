//! Which applications get which packet-ins. Pure.
//!
//! Without a rule that matches, all applications get a packet-in, in their order, until one takes
//! it ([`crate::Context::take`]). Of the rules that match, the one with the highest priority
//! counts, the first added among equals; its applications get the packet-in, in their own order.
//!
//! ```
//! use umlaut_controller::routes::{Routes, Rule};
//! use umlaut_openflow::packet::{Headers, build};
//! use umlaut_openflow::{DatapathId, MacAddr, Match, PortNo};
//!
//! let mut routes = Routes::default();
//! routes.add(Rule::new(10, Match::new().eth_type(0x0806u16), ["arp-responder"]));
//! let arp = build::ethernet(MacAddr::BROADCAST, MacAddr::from_u64(2), &[], 0x0806, &[0; 28]);
//! let rule = routes.find(DatapathId(1), PortNo(1), &Headers::parse(&arp));
//! assert_eq!(rule.unwrap().apps, ["arp-responder"]);
//! ```

use umlaut_openflow::packet::{Field, Headers, Tag};
use umlaut_openflow::{DatapathId, MacAddr, Masked, Match, MatchField, PortNo, VlanMatch};

/// A rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Higher is asked first.
    pub priority: u16,
    /// Only packet-ins of this switch.
    pub dpid: Option<DatapathId>,
    /// Only packet-ins that these fields match, masks included. A field that frames do not show
    /// (metadata, tunnels, MPLS, neighbour discovery) matches none.
    pub matches: Match,
    /// Who gets them, by name; nobody: they are dropped.
    pub apps: Vec<String>,
}

impl Rule {
    /// A rule for all switches.
    pub fn new<S: Into<String>>(
        priority: u16,
        matches: Match,
        apps: impl IntoIterator<Item = S>,
    ) -> Rule {
        let apps = apps.into_iter().map(Into::into).collect();
        Rule { priority, dpid: None, matches, apps }
    }
}

/// The rules in force, in the order in which they are asked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Routes {
    rules: Vec<Rule>,
}

impl Routes {
    /// Adds a rule behind those of its priority.
    pub fn add(&mut self, rule: Rule) {
        let at = self.rules.partition_point(|other| other.priority >= rule.priority);
        self.rules.insert(at, rule);
    }

    /// Removes the rules for which `gone` is true.
    pub fn remove(&mut self, gone: &impl Fn(&Rule) -> bool) {
        self.rules.retain(|rule| !gone(rule));
    }

    /// The rules, highest priority first.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule for a frame.
    pub fn find(&self, dpid: DatapathId, in_port: PortNo, headers: &Headers) -> Option<&Rule> {
        self.rules.iter().find(|rule| {
            rule.dpid.is_none_or(|only| only == dpid) && covers(&rule.matches, in_port, headers)
        })
    }
}

/// Whether a frame agrees with all fields of a match. What cannot be known of the frame, or is not
/// among [`Headers`], does not agree.
pub fn covers(matches: &Match, in_port: PortNo, headers: &Headers) -> bool {
    matches.fields().iter().all(|field| agrees(field, in_port, headers))
}

fn agrees(field: &MatchField, in_port: PortNo, h: &Headers) -> bool {
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    const SCTP: u8 = 132;
    const ICMP: u8 = 1;
    const ICMPV6: u8 = 58;
    let proto = |proto| h.ip_proto == Field::Is(proto);
    match field {
        MatchField::InPort(port) | MatchField::InPhyPort(port) => *port == in_port,
        MatchField::EthDst(want) => mac(want, h.eth_dst),
        MatchField::EthSrc(want) => mac(want, h.eth_src),
        MatchField::EthType(want) => h.eth_type == Field::Is(*want),
        MatchField::VlanVid(want) => vlan(want, h.tag),
        MatchField::VlanPcp(want) => match h.tag {
            Tag::Priority { pcp } | Tag::Vlan { pcp, .. } => pcp == *want,
            Tag::None | Tag::Reserved => false,
        },
        MatchField::IpDscp(want) => h.ip_dscp == Field::Is(*want),
        MatchField::IpEcn(want) => h.ip_ecn == Field::Is(*want),
        MatchField::IpProto(want) => proto(*want),
        MatchField::Ipv4Src(want) => bits(want, h.ipv4_src, |a| u32::from(a).into()),
        MatchField::Ipv4Dst(want) => bits(want, h.ipv4_dst, |a| u32::from(a).into()),
        MatchField::Ipv6Src(want) => bits(want, h.ipv6_src, u128::from),
        MatchField::Ipv6Dst(want) => bits(want, h.ipv6_dst, u128::from),
        MatchField::ArpSpa(want) => bits(want, h.arp_spa, |a| u32::from(a).into()),
        MatchField::ArpTpa(want) => bits(want, h.arp_tpa, |a| u32::from(a).into()),
        MatchField::ArpSha(want) => bits(want, h.arp_sha, |a| a.to_u64().into()),
        MatchField::ArpTha(want) => bits(want, h.arp_tha, |a| a.to_u64().into()),
        MatchField::ArpOp(want) => h.arp_op == Field::Is(*want),
        MatchField::TpSrc(want) => h.tp_src == Field::Is(*want),
        MatchField::TpDst(want) => h.tp_dst == Field::Is(*want),
        MatchField::TcpSrc(want) => proto(TCP) && h.tp_src == Field::Is(*want),
        MatchField::TcpDst(want) => proto(TCP) && h.tp_dst == Field::Is(*want),
        MatchField::UdpSrc(want) => proto(UDP) && h.tp_src == Field::Is(*want),
        MatchField::UdpDst(want) => proto(UDP) && h.tp_dst == Field::Is(*want),
        MatchField::SctpSrc(want) => proto(SCTP) && h.tp_src == Field::Is(*want),
        MatchField::SctpDst(want) => proto(SCTP) && h.tp_dst == Field::Is(*want),
        MatchField::Icmpv4Type(want) => proto(ICMP) && h.icmp_type == Field::Is(*want),
        MatchField::Icmpv4Code(want) => proto(ICMP) && h.icmp_code == Field::Is(*want),
        MatchField::Icmpv6Type(want) => proto(ICMPV6) && h.icmp_type == Field::Is(*want),
        MatchField::Icmpv6Code(want) => proto(ICMPV6) && h.icmp_code == Field::Is(*want),
        _ => false,
    }
}

fn bits<T: Copy>(want: &Masked<T>, is: Field<T>, number: impl Fn(T) -> u128) -> bool {
    let mask = want.mask.map_or(u128::MAX, &number);
    is.value().is_some_and(|is| number(is) & mask == number(want.value) & mask)
}

fn mac(want: &Masked<MacAddr>, is: MacAddr) -> bool {
    bits(want, Field::Is(is), |a| a.to_u64().into())
}

fn vlan(want: &VlanMatch, tag: Tag) -> bool {
    /// OFPVID_PRESENT (1.3.5 §7.2.3.7).
    const PRESENT: u16 = 0x1000;
    let value = match tag {
        Tag::None => 0,
        Tag::Priority { .. } => PRESENT,
        Tag::Vlan { vid, .. } => PRESENT | vid.number(),
        Tag::Reserved => PRESENT | 0xfff,
    };
    match *want {
        VlanMatch::Absent => value == 0,
        VlanMatch::Present => value & PRESENT != 0,
        VlanMatch::Tagged(vid) => value == PRESENT | vid,
        VlanMatch::Raw { value: want, mask } => {
            let mask = mask.unwrap_or(0xffff);
            value & mask == want & mask
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use umlaut_openflow::packet::build;

    use super::*;

    fn frame(tags: &[(u16, u16)], eth_type: u16, payload: &[u8]) -> Headers {
        let (dst, src) = (MacAddr::from_u64(0xa0b0c), MacAddr::from_u64(0xd));
        Headers::parse(&build::ethernet(dst, src, tags, eth_type, payload))
    }

    #[test]
    fn each_field_is_compared_under_its_mask() {
        let net =
            Masked { value: Ipv4Addr::new(10, 0, 0, 0), mask: Some(Ipv4Addr::new(255, 0, 0, 0)) };
        let inside = Headers {
            eth_type: Field::Is(0x0800),
            ipv4_src: Field::Is(Ipv4Addr::new(10, 9, 8, 7)),
            ip_proto: Field::Is(6),
            tp_dst: Field::Is(22),
            ..Headers::default()
        };
        let unknown = Headers { tp_dst: Field::Unknown, ..inside };
        let outside = Headers { ipv4_src: Field::Is(Ipv4Addr::new(11, 9, 8, 7)), ..inside };
        for (matches, headers, expected) in [
            (Match::new(), &inside, true),
            (Match::new().in_port(PortNo(3)), &inside, true),
            (Match::new().in_port(PortNo(4)), &inside, false),
            (Match::new().ipv4_src(net), &inside, true),
            (Match::new().ipv4_src(net), &outside, false),
            (Match::new().tcp_dst(22u16), &inside, true),
            (Match::new().udp_dst(22u16), &inside, false),
            (Match::new().tcp_dst(22u16), &unknown, false),
            (Match::new().with(MatchField::MplsLabel(0)), &inside, false),
        ] {
            assert_eq!(covers(&matches, PortNo(3), headers), expected, "{matches:?}");
        }
    }

    #[test]
    fn vlan_states_are_told_apart() {
        let none = frame(&[], 0x88b5, &[0; 46]);
        let priority = frame(&[(0x8100, 0x2000)], 0x88b5, &[0; 46]);
        let tagged = frame(&[(0x8100, 7)], 0x88b5, &[0; 46]);
        let table = [
            (VlanMatch::Absent, [true, false, false]),
            (VlanMatch::Present, [false, true, true]),
            (VlanMatch::Tagged(7), [false, false, true]),
            (VlanMatch::Tagged(0), [false, true, false]),
        ];
        for (want, expected) in table {
            let is = [none, priority, tagged]
                .map(|headers| covers(&Match::new().vlan_vid(want), PortNo(1), &headers));
            assert_eq!(is, expected, "{want:?}");
        }
    }

    #[test]
    fn the_highest_priority_wins_then_the_first_added() {
        let mut routes = Routes::default();
        routes.add(Rule::new(1, Match::new(), ["all"]));
        routes.add(Rule::new(9, Match::new().eth_type(0x0806u16), ["first"]));
        routes.add(Rule::new(9, Match::new(), ["second"]));
        routes.add(Rule { dpid: Some(DatapathId(2)), ..Rule::new(10, Match::new(), ["two"]) });
        let find = |dpid, eth_type| {
            let headers = frame(&[], eth_type, &[0; 46]);
            routes.find(DatapathId(dpid), PortNo(1), &headers).map(|rule| rule.apps[0].clone())
        };
        assert_eq!(find(1, 0x0806).as_deref(), Some("first"));
        assert_eq!(find(1, 0x88b5).as_deref(), Some("second"));
        assert_eq!(find(2, 0x88b5).as_deref(), Some("two"));
        routes.remove(&|rule| rule.priority > 1);
        assert_eq!(routes.rules().len(), 1);
    }
}

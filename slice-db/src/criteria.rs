//! Criteria of filters in words: as the policy file writes them. Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

use umlaut_openflow::packet::Field;
use umlaut_openflow::{DatapathId, MacAddr, PortNo};

use crate::filter::{Criterion, Test, UNTAGGED};
use crate::policy::{Policy, SliceId};

const TCP: u128 = 6;
const UDP: u128 = 17;
const ICMP: u128 = 1;
const ICMPV6: u128 = 58;
const SCTP: u128 = 132;

/// The key of a criterion. Where ports and ICMP fields belong to a protocol that the other criteria
/// name, the key says so: `tcp_dst`, else `tp_dst`.
pub(crate) fn key(test: Test, others: &[Criterion]) -> &'static str {
    let proto = others.iter().find(|c| c.test == Test::IpProto).map(|c| c.value);
    let by_proto = |tcp, udp, sctp, any| match proto {
        Some(TCP) => tcp,
        Some(UDP) => udp,
        Some(SCTP) => sctp,
        _ => any,
    };
    let icmp = |v4, v6| if proto == Some(ICMPV6) { v6 } else { v4 };
    match test {
        Test::Slice => "slice",
        Test::Dpid => "in_datapath",
        Test::InPort => "in_port",
        Test::EthSrc => "eth_src",
        Test::EthDst => "eth_dst",
        Test::EthType => "eth_type",
        Test::Vlan => "vlan_vid",
        Test::Pcp => "vlan_pcp",
        Test::IpProto => "ip_proto",
        Test::NwProto => "nw_proto",
        Test::Dscp => "ip_dscp",
        Test::Ecn => "ip_ecn",
        Test::Ipv4Src => "ipv4_src",
        Test::Ipv4Dst => "ipv4_dst",
        Test::NwSrc => "nw_src",
        Test::NwDst => "nw_dst",
        Test::Ipv6Src => "ipv6_src",
        Test::Ipv6Dst => "ipv6_dst",
        Test::TpSrc => by_proto("tcp_src", "udp_src", "sctp_src", "tp_src"),
        Test::TpDst => by_proto("tcp_dst", "udp_dst", "sctp_dst", "tp_dst"),
        Test::IcmpType => icmp("icmpv4_type", "icmpv6_type"),
        Test::IcmpCode => icmp("icmpv4_code", "icmpv6_code"),
        Test::ArpOp => "arp_op",
        Test::ArpSpa => "arp_spa",
        Test::ArpTpa => "arp_tpa",
        Test::ArpSha => "arp_sha",
        Test::ArpTha => "arp_tha",
        Test::NdTarget => "ipv6_nd_target",
    }
}

/// The value of a criterion, with its prefix if it has one.
pub(crate) fn value(policy: &Policy, test: Test, value: u128, mask: u128) -> String {
    match test {
        Test::Slice => policy.slice_name(SliceId(value as u32)).to_owned(),
        Test::Dpid => policy.switch_name(DatapathId(value as u64)),
        Test::InPort => PortNo(value as u32).to_string(),
        Test::EthSrc | Test::EthDst | Test::ArpSha | Test::ArpTha => {
            MacAddr::from_u64(value as u64).to_string()
        }
        Test::EthType => match value {
            0x0800 => "ipv4".to_owned(),
            0x86dd => "ipv6".to_owned(),
            0x0806 => "arp".to_owned(),
            other => format!("{other:#06x}"),
        },
        Test::Vlan if value == UNTAGGED => "none".to_owned(),
        Test::IpProto | Test::NwProto => match value {
            TCP => "tcp".to_owned(),
            UDP => "udp".to_owned(),
            SCTP => "sctp".to_owned(),
            ICMP if test == Test::IpProto => "icmp".to_owned(),
            ICMPV6 => "icmpv6".to_owned(),
            other => other.to_string(),
        },
        Test::Ipv4Src | Test::Ipv4Dst | Test::NwSrc | Test::NwDst | Test::ArpSpa | Test::ArpTpa => {
            let address = Ipv4Addr::from(value as u32);
            match (mask as u32).count_ones() {
                32 => address.to_string(),
                prefix => format!("{address}/{prefix}"),
            }
        }
        Test::Ipv6Src | Test::Ipv6Dst | Test::NdTarget => {
            let address = Ipv6Addr::from(value);
            match mask.count_ones() {
                128 => address.to_string(),
                prefix => format!("{address}/{prefix}"),
            }
        }
        _ => value.to_string(),
    }
}

/// What a frame has in a field.
pub(crate) fn found(policy: &Policy, test: Test, is: Field<u128>) -> String {
    match is {
        Field::Absent => "absent".to_owned(),
        Field::Unknown => "not known".to_owned(),
        Field::Is(number) => value(policy, test, number, u128::MAX),
    }
}

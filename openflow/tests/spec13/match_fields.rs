//! Match fields (1.3.5 §7.2.3).

use super::spec::{self, Row, check};
use super::*;

#[test]
fn match_fields_of_1_3_are_those_of_the_specification() {
    use MatchField::*;
    let v6: std::net::Ipv6Addr = "2001:db8::1".parse().unwrap();
    let v6_hex = "20010db8 00000000 00000000 00000001";
    let net6: std::net::Ipv6Addr = "2001:db8::".parse().unwrap();
    let mask6: std::net::Ipv6Addr = "ffff:ffff::".parse().unwrap();
    let (ip, tcp, udp) =
        ("80000a02 0800", "80000a02 0800 80001401 06", "80000a02 0800 80001401 11");
    let (icmp, arp, sctp) =
        ("80000a02 0800 80001401 01", "80000a02 0806", "80000a02 0800 80001401 84");
    let (ip6, icmp6) = ("80000a02 86dd", "80000a02 86dd 80001401 3a");
    let nd = "80000a02 86dd 80001401 3a 80003a01 87";
    let na = "80000a02 86dd 80001401 3a 80003a01 88";
    let mpls = "80000a02 8847";
    let host = |n: u8| std::net::Ipv4Addr::new(10, 0, 0, n);
    let net = std::net::Ipv4Addr::new(255, 255, 255, 0);
    let table: Vec<(&str, &str, MatchField, &str, &'static [&'static str])> = vec![
        ("in_port", "", InPort(PortNo::LOCAL), "80000004 fffffffe", &["in_port=LOCAL"]),
        ("in_phy_port", "", InPhyPort(PortNo(3)), "80000204 00000003", &["decode error"]),
        (
            "metadata",
            "",
            Metadata(masked(5, 0xff).into()),
            "80000510 0000000000000005 00000000000000ff",
            &["metadata=0x5/0xff"],
        ),
        (
            "eth_dst",
            "",
            EthDst(masked(MacAddr([1, 0, 0, 0, 0, 0]), MacAddr([1, 0, 0, 0, 0, 0]))),
            "8000070c 010000000000 010000000000",
            &["dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"],
        ),
        ("eth_src", "", EthSrc(A.into()), "80000806 02000000000a", &["dl_src=02:00:00:00:00:0a"]),
        ("eth_type", "", EthType(0x88cc), "80000a02 88cc", &["dl_type=0x88cc"]),
        ("vlan absent", "", VlanVid(VlanMatch::Absent), "80000c02 0000", &["vlan_tci=0x0000"]),
        (
            "vlan present",
            "",
            VlanVid(VlanMatch::Present),
            "80000d04 1000 1000",
            &["vlan_tci=0x1000/0x1000"],
        ),
        ("vlan 7", "", VlanVid(VlanMatch::Tagged(7)), "80000c02 1007", &["dl_vlan=7"]),
        ("vlan_pcp", "80000c02 1007", VlanPcp(5), "80000e01 05", &["dl_vlan_pcp=5"]),
        ("ip_dscp", ip, IpDscp(46), "80001001 2e", &["nw_tos=184"]),
        ("ip_ecn", ip, IpEcn(2), "80001201 02", &["nw_ecn=2"]),
        ("ip_proto", ip, IpProto(50), "80001401 32", &["nw_proto=50"]),
        ("ipv4_src", ip, Ipv4Src(host(1).into()), "80001604 0a000001", &["nw_src=10.0.0.1"]),
        (
            "ipv4_dst",
            ip,
            Ipv4Dst(masked(host(0), net)),
            "80001908 0a000000 ffffff00",
            &["nw_dst=10.0.0.0/24"],
        ),
        ("tcp_src", tcp, TcpSrc(22), "80001a02 0016", &["tcp", "tp_src=22"]),
        ("tcp_dst", tcp, TcpDst(22), "80001c02 0016", &["tcp", "tp_dst=22"]),
        ("udp_src", udp, UdpSrc(53), "80001e02 0035", &["udp", "tp_src=53"]),
        ("udp_dst", udp, UdpDst(53), "80002002 0035", &["udp", "tp_dst=53"]),
        ("sctp_src", sctp, SctpSrc(9), "80002202 0009", &["sctp", "tp_src=9"]),
        ("sctp_dst", sctp, SctpDst(9), "80002402 0009", &["sctp", "tp_dst=9"]),
        ("icmpv4_type", icmp, Icmpv4Type(8), "80002601 08", &["icmp_type=8"]),
        ("icmpv4_code", icmp, Icmpv4Code(1), "80002801 01", &["icmp_code=1"]),
        ("arp_op", arp, ArpOp(2), "80002a02 0002", &["arp_op=2"]),
        ("arp_spa", arp, ArpSpa(host(1).into()), "80002c04 0a000001", &["arp_spa=10.0.0.1"]),
        ("arp_tpa", arp, ArpTpa(host(2).into()), "80002e04 0a000002", &["arp_tpa=10.0.0.2"]),
        ("arp_sha", arp, ArpSha(A.into()), "80003006 02000000000a", &["arp_sha=02:00:00:00:00:0a"]),
        ("arp_tha", arp, ArpTha(A.into()), "80003206 02000000000a", &["arp_tha=02:00:00:00:00:0a"]),
        ("ipv6_src", ip6, Ipv6Src(v6.into()), "80003410 V6", &["ipv6_src=2001:db8::1"]),
        (
            "ipv6_dst",
            ip6,
            Ipv6Dst(masked(net6, mask6).into()),
            "80003720 20010db8 00000000 00000000 00000000 ffffffff 00000000 00000000 00000000",
            &["ipv6_dst=2001:db8::/32"],
        ),
        (
            "ipv6_flabel",
            ip6,
            Ipv6Flabel(0x12345.into()),
            "80003804 00012345",
            &["ipv6_label=0x12345"],
        ),
        ("icmpv6_type", icmp6, Icmpv6Type(128), "80003a01 80", &["icmp_type=128"]),
        ("icmpv6_code", icmp6, Icmpv6Code(1), "80003c01 01", &["icmp_code=1"]),
        ("ipv6_nd_target", nd, Ipv6NdTarget(v6.into()), "80003e10 V6", &["nd_target=2001:db8::1"]),
        ("ipv6_nd_sll", nd, Ipv6NdSll(A), "80004006 02000000000a", &["nd_sll=02:00:00:00:00:0a"]),
        ("ipv6_nd_tll", na, Ipv6NdTll(A), "80004206 02000000000a", &["nd_tll=02:00:00:00:00:0a"]),
        ("mpls_label", mpls, MplsLabel(99), "80004404 00000063", &["mpls_label=99"]),
        ("mpls_tc", mpls, MplsTc(3), "80004601 03", &["mpls_tc=3"]),
        ("mpls_bos", mpls, MplsBos(true), "80004801 01", &["mpls_bos=1"]),
        (
            "pbb_isid",
            "80000a02 88e7",
            PbbIsid(masked(0x123456, 0xffffff)),
            "80004b06 123456 ffffff",
            &["decode error"],
        ),
        ("tunnel_id", "", TunnelId(7u64.into()), "80004c08 0000000000000007", &["tun_id=0x7"]),
        ("ipv6_exthdr", ip6, Ipv6Exthdr(masked(1, 0x1ff)), "80004f04 0001 01ff", &["decode error"]),
        // Every field that may have a mask and has none above, with one.
        (
            "eth_src masked",
            "",
            EthSrc(masked(MacAddr([2, 0, 0, 0, 0, 0]), MacAddr([0xff, 0xff, 0xff, 0, 0, 0]))),
            "8000090c 020000000000 ffffff000000",
            &["dl_src=02:00:00:00:00:00/ff:ff:ff:00:00:00"],
        ),
        (
            "ipv4_src masked",
            ip,
            Ipv4Src(masked(host(0), net)),
            "80001708 0a000000 ffffff00",
            &["nw_src=10.0.0.0/24"],
        ),
        (
            "arp_spa masked",
            arp,
            ArpSpa(masked(host(0), net)),
            "80002d08 0a000000 ffffff00",
            &["arp_spa=10.0.0.0/24"],
        ),
        (
            "arp_tpa masked",
            arp,
            ArpTpa(masked(host(0), net)),
            "80002f08 0a000000 ffffff00",
            &["arp_tpa=10.0.0.0/24"],
        ),
        (
            "arp_sha masked",
            arp,
            ArpSha(masked(MacAddr([2, 0, 0, 0, 0, 0]), MacAddr([2, 0, 0, 0, 0, 0]))),
            "8000310c 020000000000 020000000000",
            &["arp_sha=02:00:00:00:00:00/02:00:00:00:00:00"],
        ),
        (
            "arp_tha masked",
            arp,
            ArpTha(masked(MacAddr([2, 0, 0, 0, 0, 0]), MacAddr([2, 0, 0, 0, 0, 0]))),
            "8000330c 020000000000 020000000000",
            &["arp_tha=02:00:00:00:00:00/02:00:00:00:00:00"],
        ),
        (
            "ipv6_src masked",
            ip6,
            Ipv6Src(masked(net6, mask6).into()),
            "80003520 20010db8 00000000 00000000 00000000 ffffffff 00000000 00000000 00000000",
            &["ipv6_src=2001:db8::/32"],
        ),
        (
            "ipv6_flabel masked",
            ip6,
            Ipv6Flabel(masked(0x12300, 0xfff00)),
            "80003908 00012300 000fff00",
            &["ipv6_label=0x12300/0xfff00"],
        ),
        (
            "ipv6_nd_target masked",
            nd,
            Ipv6NdTarget(masked(net6, mask6).into()),
            "80003f20 20010db8 00000000 00000000 00000000 ffffffff 00000000 00000000 00000000",
            &["nd_target=2001:db8::/32"],
        ),
        (
            "tunnel_id masked",
            "",
            TunnelId(masked(7, 0xff).into()),
            "80004d10 0000000000000007 00000000000000ff",
            &["tun_id=0x7/0xff"],
        ),
        (
            "nicira register",
            "",
            Raw(RawOxm { class: 1, field: 3, has_mask: false, body: vec![0, 0, 0, 9] }.into()),
            "00010604 00000009",
            &["reg3=0x9"],
        ),
    ];
    let rows: Vec<Row> = table
        .into_iter()
        .map(|(name, before, field, hex, ovs)| {
            let list = format!("{before} {hex}").replace("V6", v6_hex);
            let length = 4 + spec::bytes(&list).len();
            let pad = "00".repeat(length.next_multiple_of(8) - length);
            let total = 48 + length.next_multiple_of(8);
            let hex = format!(
                "04 0e {total:04x} 00000007 0000000000000000 0000000000000000 00 00 0000 0000 8000
                 ffffffff ffffffff ffffffff 0000 0000 0001 {length:04x} {list} {pad}",
            );
            // The fields before it are of types that other rows check.
            let mut m = prerequisites(before);
            m.push(field);
            row(name, Box::leak(hex.into_boxed_str()), Message::FlowMod(FlowMod::add(m)), ovs)
        })
        .collect();
    check(Version::V1_3, &rows);
}

fn masked<T>(value: T, mask: T) -> Masked<T> {
    Masked { value, mask: Some(mask) }
}

/// The model of the prerequisites that rows above write in hex.
fn prerequisites(hex: &str) -> Match {
    let mut m = Match::new();
    for oxm in Oxms::new(&spec::bytes(hex)) {
        m.push(match (oxm.field, oxm.body) {
            (5, [high, low]) => MatchField::EthType(u16::from_be_bytes([*high, *low])),
            (6, [_, vid]) => MatchField::VlanVid(VlanMatch::Tagged(u16::from(*vid))),
            (10, [proto]) => MatchField::IpProto(*proto),
            (29, [kind]) => MatchField::Icmpv6Type(*kind),
            other => panic!("{other:?}"),
        });
    }
    m
}

//! Every message and multipart kind of OpenFlow 1.3, written from the specification (1.3.5 §7), and
//! read by Open vSwitch where it is installed.

#[path = "support/spec.rs"]
mod spec;

use std::time::Duration;

use spec::{Row, check, kinds};
use umlaut_openflow::*;

const A: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0x0a]);

fn name<const N: usize>(text: &str) -> [u8; N] {
    let mut name = [0; N];
    name[..text.len()].copy_from_slice(text.as_bytes());
    name
}

fn text(text: &str, size: usize) -> String {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex:0<width$}", width = 2 * size)
}

fn port() -> Port {
    Port {
        port_no: PortNo(3),
        hw_addr: A,
        name: name("eth3"),
        config: PortConfig::NO_PACKET_IN,
        state: PortState::LIVE,
        curr: 0x40,
        advertised: 0x20,
        supported: 0x60,
        peer: 0x08,
        curr_speed: 10_000_000,
        max_speed: 20_000_000,
    }
}

const PORT: &str = "00000003 00000000 02000000000a 0000 65746833000000000000000000000000
    00000040 00000004 00000040 00000020 00000060 00000008 00989680 01312d00";

fn ssh_match() -> Match {
    Match::new()
        .in_port(PortNo(3))
        .eth_type(0x0800u16)
        .ip_proto(6)
        .ipv4_dst(Masked { value: [10, 1, 0, 0].into(), mask: Some([255, 255, 0, 0].into()) })
        .tcp_dst(22u16)
}

/// 4 + 8 + 6 + 5 + 12 + 6 = 41 bytes, padded to 48.
const SSH_MATCH: &str = "0001 0029 80000004 00000003 80000a02 0800 80001401 06
    80001908 0a010000 ffff0000 80001c02 0016 00000000000000";

const ANY_MATCH: &str = "0001 0004 00000000";

/// Puts texts together where a row is made of named parts.
macro_rules! hex {
    ($($part:expr),*) => { Box::leak([$($part),*].join(" ").into_boxed_str()) };
}

fn row(
    name: &'static str,
    hex: &'static str,
    message: Message<'static>,
    ovs: &'static [&'static str],
) -> Row {
    Row { name, hex, message, ovs }
}

fn buckets() -> Vec<Bucket> {
    vec![
        Bucket {
            weight: 7,
            watch_port: PortNo(1),
            watch_group: GroupId(2),
            actions: vec![Action::Output { port: PortNo(4), max_len: MaxLen(0) }],
        },
        Bucket::new(vec![Action::DecNwTtl]),
    ]
}

const BUCKETS: &str = "0020 0007 00000001 00000002 00000000 0000 0010 00000004 0000 000000000000
    0018 0000 ffffffff ffffffff 00000000 0018 0008 00000000";

fn bands() -> Vec<MeterBand> {
    vec![
        MeterBand { rate: 1000, burst_size: 10, kind: MeterBandKind::Drop },
        MeterBand { rate: 500, burst_size: 5, kind: MeterBandKind::DscpRemark { prec_level: 1 } },
    ]
}

const BANDS: &str = "0001 0010 000003e8 0000000a 00000000  0002 0010 000001f4 00000005 01 000000";

#[test]
fn messages_of_1_3_are_those_of_the_specification() {
    let config = AsyncConfig { packet_in: [5, 1], port_status: [7, 3], flow_removed: [15, 3] };
    let role = |role| RoleMessage { role, generation_id: 0x1122 };
    let rows = [
        row(
            "hello",
            "04 00 0010 00000007 0001 0008 00000012",
            Message::Hello(Hello::offering(&[Version::V1_0, Version::V1_3])),
            &["OFPT_HELLO (OF1.3)", "version bitmap: 0x01, 0x04"],
        ),
        row(
            "error",
            "04 01 000c 00000007 0004 0006",
            Message::Error(ErrorMessage { code: ErrorCode::new(4, 6), data: vec![].into() }),
            &["OFPBMC_BAD_FIELD"],
        ),
        row(
            "echo request",
            "04 02 0009 00000007 ab",
            Message::EchoRequest(vec![0xab].into()),
            &["OFPT_ECHO_REQUEST", "1 bytes"],
        ),
        row(
            "echo reply",
            "04 03 0008 00000007",
            Message::EchoReply(vec![].into()),
            &["OFPT_ECHO_REPLY"],
        ),
        row(
            "experimenter",
            "04 04 0011 00000007 deadbeef 00000001 ff",
            Message::Experimenter {
                experimenter: 0xdead_beef,
                body: vec![0, 0, 0, 1, 0xff].into(),
            },
            &["decode error"],
        ),
        row(
            "features request",
            "04 05 0008 00000007",
            Message::FeaturesRequest,
            &["FEATURES_REQUEST"],
        ),
        row(
            "features reply",
            "04 06 0020 00000007 00000000000000f5 00000100 fe 01 0000 0000004f 00000000",
            Message::FeaturesReply(Features {
                dpid: DatapathId(0xf5),
                n_buffers: 256,
                n_tables: 254,
                auxiliary_id: 1,
                capabilities: 0x4f,
                actions: 0,
                ports: vec![],
            }),
            &[
                "dpid:00000000000000f5",
                "n_tables:254, n_buffers:256, auxiliary_id:1",
                "GROUP_STATS",
            ],
        ),
        row(
            "get config request",
            "04 07 0008 00000007",
            Message::GetConfigRequest,
            &["GET_CONFIG_REQUEST"],
        ),
        row(
            "get config reply",
            "04 08 000c 00000007 0001 0080",
            Message::GetConfigReply(SwitchConfig {
                flags: ConfigFlags::FRAG_DROP,
                miss_send_len: 128,
            }),
            &["frags=drop miss_send_len=128"],
        ),
        row(
            "set config",
            "04 09 000c 00000007 0000 ffff",
            Message::SetConfig(SwitchConfig {
                flags: ConfigFlags::FRAG_NORMAL,
                miss_send_len: 0xffff,
            }),
            &["frags=normal miss_send_len=65535"],
        ),
        row(
            "packet-in",
            "04 0a 003a 00000007 ffffffff 0040 01 05 0000000000000042
            0001 000c 80000004 00000003 00000000 0000 02000000000b 02000000000a 0800 4500",
            Message::PacketIn(PacketIn {
                buffer_id: None,
                total_len: 64,
                in_port: PortNo(3),
                reason: PacketInReason::ACTION,
                table_id: TableId(5),
                cookie: Cookie(0x42),
                pipeline: vec![].into(),
                data: vec![2, 0, 0, 0, 0, 11, 2, 0, 0, 0, 0, 10, 8, 0, 0x45, 0].into(),
            }),
            &[
                "table_id=5 cookie=0x42 total_len=64 in_port=3 (via action) data_len=16 (unbuffered)",
            ],
        ),
        row(
            "flow removed",
            hex!(
                "04 0b 0060 00000007 00000000deadbeef 8000 01 02 0000000a 00000005
            003c 0e10 0000000000000064 0000000000001234",
                SSH_MATCH
            ),
            Message::FlowRemoved(FlowRemoved {
                cookie: Cookie(0xdead_beef),
                priority: 0x8000,
                reason: FlowRemovedReason::HARD_TIMEOUT,
                table_id: TableId(2),
                duration: Duration::new(10, 5),
                idle_timeout: 60,
                hard_timeout: 3600,
                packet_count: 100,
                byte_count: 0x1234,
                matches: ssh_match(),
            }),
            &[
                "tcp,in_port=3,nw_dst=10.1.0.0/16,tp_dst=22",
                "reason=hard table_id=2",
                "idle60 hard3600 pkts100 bytes4660",
            ],
        ),
        row(
            "port status",
            hex!("04 0c 0050 00000007 00 00000000000000", PORT),
            Message::PortStatus(PortStatus { reason: PortStatusReason::ADD, port: port() }),
            &["ADD: 3(eth3)", "NO_PACKET_IN", "LIVE", "10000 Mbps now, 20000 Mbps max"],
        ),
        row(
            "packet-out",
            "04 0d 0030 00000007 ffffffff fffffffd 0010 000000000000
            0000 0010 fffffffb 0000 000000000000 01020304 05060708",
            Message::PacketOut(PacketOut {
                buffer_id: None,
                in_port: PortNo::CONTROLLER,
                actions: [Action::Output { port: PortNo::FLOOD, max_len: MaxLen(0) }].into(),
                data: vec![1, 2, 3, 4, 5, 6, 7, 8].into(),
            }),
            &["in_port=CONTROLLER actions=FLOOD data_len=8"],
        ),
        row(
            "flow-mod with instructions",
            hex!(
                "04 0e 00a8 00000007 0000000000000042 00000000000000ff
            02 00 003c 0e10 0064 ffffffff ffffffff ffffffff 0013 0000",
                SSH_MATCH,
                "0006 0008 00000009  0004 0018 00000000 0000 0010 00000004 0000 000000000000
             0005 0008 00000000  0002 0018 00000000 0000000000000005 000000000000000f
             0001 0008 03 000000"
            ),
            Message::FlowMod(FlowMod {
                cookie_mask: 0xff,
                table_id: TableId(2),
                flags: FlowModFlags(0x13),
                instructions: [
                    Instruction::Meter(9),
                    Instruction::Apply(
                        [Action::Output { port: PortNo(4), max_len: MaxLen(0) }].into(),
                    ),
                    Instruction::Clear,
                    Instruction::WriteMetadata { metadata: 5, mask: 15 },
                    Instruction::Goto(TableId(3)),
                ]
                .into(),
                ..FlowMod::add(ssh_match()).cookie(Cookie(0x42)).timeouts(60, 3600).priority(100)
            }),
            &[
                "ADD table:2 priority=100,tcp,in_port=3",
                "cookie:0x42 idle:60 hard:3600",
                "meter:9,output:4,clear_actions,write_metadata:0x5/0xf,goto_table:3",
                "no_byte_counts",
            ],
        ),
        row(
            "flow-mod that deletes",
            hex!(
                "04 0e 0038 00000007 0000000000000000 0000000000000000
            ff 03 0000 0000 8000 ffffffff 00000005 00000006 0000 0000",
                ANY_MATCH
            ),
            Message::FlowMod(FlowMod {
                out_port: PortNo(5),
                out_group: GroupId(6),
                ..FlowMod::delete(Match::new())
            }),
            &["DEL table:255", "out_port:5"],
        ),
        row(
            "group-mod",
            hex!("04 0f 0048 00000007 0000 01 00 00000011", BUCKETS),
            Message::GroupMod(GroupMod {
                command: GroupCommand::ADD,
                kind: GroupType::SELECT,
                group_id: GroupId(17),
                buckets: buckets(),
            }),
            &[
                "ADD group_id=17,type=select",
                "weight:7",
                "watch_port:1,watch_group:2,actions=output:4",
                "dec_ttl",
            ],
        ),
        row(
            "port-mod",
            "04 10 0028 00000007 00000003 00000000 02000000000a 0000
            00000001 00000041 00000040 00000000",
            Message::PortMod(PortMod {
                port_no: PortNo(3),
                hw_addr: A,
                config: PortConfig(1),
                mask: PortConfig(0x41),
                advertise: 0x40,
            }),
            &["port: 3: addr:02:00:00:00:00:0a", "config: PORT_DOWN", "NO_PACKET_IN", "10GB-FD"],
        ),
        row(
            "table-mod",
            "04 11 0010 00000007 05 000000 00000003",
            Message::TableMod(TableMod { table_id: TableId(5), config: 3 }),
            &["table_id=5"],
        ),
        row(
            "barrier request",
            "04 14 0008 00000007",
            Message::BarrierRequest,
            &["BARRIER_REQUEST"],
        ),
        row("barrier reply", "04 15 0008 00000007", Message::BarrierReply, &["BARRIER_REPLY"]),
        row(
            "queue config request",
            "04 16 0010 00000007 00000003 00000000",
            Message::QueueGetConfigRequest { port: PortNo(3) },
            &["port=3"],
        ),
        row(
            "queue config reply",
            "04 17 0040 00000007 00000003 00000000
            00000009 00000003 0030 000000000000
            0001 0010 00000000 01f4 000000000000  0002 0010 00000000 0384 000000000000",
            Message::QueueGetConfigReply {
                port: PortNo(3),
                queues: vec![QueueConfig {
                    queue_id: 9,
                    port: PortNo(3),
                    properties: vec![QueueProperty::MinRate(500), QueueProperty::MaxRate(900)],
                }],
            },
            &["queue 9", "min_rate:50.0%", "max_rate:90.0%"],
        ),
        row(
            "role request",
            "04 18 0018 00000007 00000002 00000000 0000000000001122",
            Message::RoleRequest(role(Role::MASTER)),
            &["role=primary generation_id=4386"],
        ),
        row(
            "role reply",
            "04 19 0018 00000007 00000003 00000000 0000000000001122",
            Message::RoleReply(role(Role::SLAVE)),
            &["role=secondary generation_id=4386"],
        ),
        row(
            "get async request",
            "04 1a 0008 00000007",
            Message::GetAsyncRequest,
            &["GET_ASYNC_REQUEST"],
        ),
        row(
            "get async reply",
            "04 1b 0020 00000007 00000005 00000001 00000007 00000003 0000000f 00000003",
            Message::GetAsyncReply(config),
            &["PACKET_IN: no_match invalid_ttl", "PORT_STATUS: add delete modify"],
        ),
        row(
            "set async",
            "04 1c 0020 00000007 00000005 00000001 00000007 00000003 0000000f 00000003",
            Message::SetAsync(config),
            &["OFPT_SET_ASYNC", "FLOW_REMOVED: idle hard delete group_delete"],
        ),
        row(
            "meter-mod",
            hex!("04 1d 0030 00000007 0000 000d 00000064", BANDS),
            Message::MeterMod(MeterMod {
                command: MeterCommand::ADD,
                flags: MeterFlags(0xd),
                meter_id: MeterId(100),
                bands: bands(),
            }),
            &[
                "ADD meter=100 kbps burst stats",
                "type=drop rate=1000 burst_size=10",
                "type=dscp_remark rate=500 burst_size=5 prec_level=1",
            ],
        ),
        row(
            "opaque type",
            "04 63 000a 00000007 0102",
            Message::Opaque(Opaque { kind: 0x63, body: vec![1, 2].into() }),
            &["decode error"],
        ),
    ];
    // All messages of 1.3 that are no multiparts, and the opaque one.
    assert_eq!(kinds(&rows), 29);
    check(Version::V1_3, &rows);
}

#[test]
fn actions_of_1_3_are_those_of_the_specification() {
    let flow = |actions| Message::FlowMod(FlowMod::add(Match::new()).apply(actions));
    let table: [(&str, Action, &str, &'static [&'static str]); 20] = [
        (
            "output",
            Action::Output { port: PortNo::CONTROLLER, max_len: MaxLen(128) },
            "0000 0010 fffffffd 0080 000000000000",
            &["CONTROLLER:128"],
        ),
        ("copy ttl out", Action::CopyTtlOut, "000b 0008 00000000", &["decode error"]),
        ("copy ttl in", Action::CopyTtlIn, "000c 0008 00000000", &["decode error"]),
        ("set mpls ttl", Action::SetMplsTtl(9), "000f 0008 09 000000", &["set_mpls_ttl(9)"]),
        ("dec mpls ttl", Action::DecMplsTtl, "0010 0008 00000000", &["dec_mpls_ttl"]),
        ("push vlan", Action::PushVlan(0x8100), "0011 0008 8100 0000", &["push_vlan:0x8100"]),
        ("pop vlan", Action::PopVlan, "0012 0008 00000000", &["pop_vlan"]),
        ("push mpls", Action::PushMpls(0x8847), "0013 0008 8847 0000", &["push_mpls:0x8847"]),
        ("pop mpls", Action::PopMpls(0x0800), "0014 0008 0800 0000", &["pop_mpls:0x0800"]),
        ("set queue", Action::SetQueue(5), "0015 0008 00000005", &["set_queue:5"]),
        ("group", Action::Group(GroupId(6)), "0016 0008 00000006", &["group:6"]),
        ("set nw ttl", Action::SetNwTtl(9), "0017 0008 09 000000", &["mod_nw_ttl:9"]),
        ("dec nw ttl", Action::DecNwTtl, "0018 0008 00000000", &["dec_ttl"]),
        (
            "set eth dst",
            Action::SetField(MatchField::EthDst(A.into())),
            "0019 0010 80000606 02000000000a 0000",
            &["set_field:02:00:00:00:00:0a->eth_dst"],
        ),
        (
            "set vlan vid",
            Action::SetField(MatchField::VlanVid(VlanMatch::Tagged(100))),
            "0019 0010 80000c02 1064 000000000000",
            &["set_field:4196->vlan_vid"],
        ),
        (
            "set metadata",
            Action::SetField(MatchField::Metadata(5u64.into())),
            "0019 0010 80000408 0000000000000005",
            &["set_field:0x5->metadata"],
        ),
        (
            "set tunnel id",
            Action::SetField(MatchField::TunnelId(7u64.into())),
            "0019 0010 80004c08 0000000000000007",
            &["set_field:0x7->tun_id"],
        ),
        ("push pbb", Action::PushPbb(0x88e7), "001a 0008 88e7 0000", &["decode error"]),
        ("pop pbb", Action::PopPbb, "001b 0008 00000000", &["decode error"]),
        (
            "experimenter",
            Action::raw(0xffff, vec![0, 0, 0x23, 0x20, 0, 0x0e, 0xff, 0xf8, 3, 0, 0, 0]),
            "ffff 0010 00002320 000e fff8 03 000000",
            &["resubmit(,3)"],
        ),
    ];
    let rows: Vec<Row> = table
        .into_iter()
        .map(|(name, action, hex, ovs)| {
            // set_vlan_vid, dec_ttl and the like want a protocol, which this match does not name.
            let size = spec::bytes(hex).len();
            let eth = match name {
                n if n.contains("mpls") && !n.starts_with("push") => Some(0x8847),
                n if n.contains("nw ttl") => Some(0x0800),
                _ => None,
            };
            let (m, m_hex) = match (eth, name) {
                (Some(eth), _) => (
                    Match::new().eth_type(eth as u16),
                    format!("0001 000a 80000a02 {eth:04x} 000000000000"),
                ),
                (None, "set vlan vid" | "pop vlan") => (
                    Match::new().with(MatchField::VlanVid(VlanMatch::Present)),
                    "0001 000c 80000d04 1000 1000 00000000".to_owned(),
                ),
                _ => (Match::new(), ANY_MATCH.to_owned()),
            };
            let total = 48 + spec::bytes(&m_hex).len() + 8 + size;
            let hex = format!(
                "04 0e {total:04x} 00000007 0000000000000000 0000000000000000 00 00 0000 0000 8000
                 ffffffff ffffffff ffffffff 0000 0000 {m_hex} 0004 {:04x} 00000000 {hex}",
                8 + size,
            );
            let message = match flow(vec![action]) {
                Message::FlowMod(flow) => Message::FlowMod(FlowMod { matches: m, ..flow }),
                other => other,
            };
            row(name, Box::leak(hex.into_boxed_str()), message, ovs)
        })
        .collect();
    check(Version::V1_3, &rows);
}

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

#[test]
fn multiparts_of_1_3_are_those_of_the_specification() {
    let request = FlowStatsRequest {
        table_id: TableId::ALL,
        out_port: PortNo::ANY,
        out_group: GroupId(6),
        cookie: Cookie(0x40),
        cookie_mask: 0xf0,
        matches: ssh_match(),
    };
    const REQUEST: &str = "ff 000000 ffffffff 00000006 00000000 0000000000000040 00000000000000f0";
    let description = SwitchDescription {
        manufacturer: name("maker"),
        hardware: name("hard"),
        software: name("soft"),
        serial_number: name("12"),
        datapath: name("dp"),
    };
    let description_hex = [
        "04 13 0430 00000007 0000 0000 00000000".to_owned(),
        text("maker", 256),
        text("hard", 256),
        text("soft", 256),
        text("12", 32),
        text("dp", 256),
    ];
    let description_hex = Box::leak(description_hex.join(" ").into_boxed_str());
    let counter = |packet_count, byte_count| Counter { packet_count, byte_count };
    let rows = [
        row(
            "description request",
            "04 12 0010 00000007 0000 0000 00000000",
            Message::DescriptionRequest,
            &["OFPST_DESC request"],
        ),
        row(
            "description reply",
            description_hex,
            Message::DescriptionReply(Box::new(description)),
            &[
                "Manufacturer: maker",
                "Hardware: hard",
                "Software: soft",
                "Serial Num: 12",
                "DP Description: dp",
            ],
        ),
        row(
            "flow request",
            hex!("04 12 0060 00000007 0001 0000 00000000", REQUEST, SSH_MATCH),
            Message::FlowStatsRequest(request.clone()),
            &["OFPST_FLOW request", "tp_dst=22"],
        ),
        row(
            "flow reply",
            hex!(
                "04 13 0088 00000007 0001 0001 00000000 0078 02 00
            00000014 00000001 8000 0005 000a 0001 00000000 0000000000000042 0000000000000003
            0000000000000100",
                SSH_MATCH,
                "0004 0018 00000000 0000 0010 00000004 0000 000000000000"
            ),
            Message::FlowStatsReply {
                flows: vec![FlowStats {
                    table_id: TableId(2),
                    duration: Duration::new(20, 1),
                    priority: 0x8000,
                    idle_timeout: 5,
                    hard_timeout: 10,
                    flags: FlowModFlags::SEND_FLOW_REM,
                    cookie: Cookie(0x42),
                    packet_count: 3,
                    byte_count: 256,
                    matches: ssh_match(),
                    instructions: [Instruction::Apply(
                        [Action::Output { port: PortNo(4), max_len: MaxLen(0) }].into(),
                    )]
                    .into(),
                }],
                more: true,
            },
            &[
                "flags=[more]",
                "cookie=0x42",
                "table=2",
                "n_packets=3, n_bytes=256",
                "idle_timeout=5",
                "hard_timeout=10",
                "send_flow_rem",
                "actions=output:4",
            ],
        ),
        row(
            "aggregate request",
            hex!("04 12 0060 00000007 0002 0000 00000000", REQUEST, SSH_MATCH),
            Message::AggregateStatsRequest(request),
            &["OFPST_AGGREGATE request", "tp_dst=22"],
        ),
        row(
            "aggregate reply",
            "04 13 0028 00000007 0002 0000 00000000
            0000000000000003 0000000000000100 00000002 00000000",
            Message::AggregateStatsReply(AggregateStats {
                packet_count: 3,
                byte_count: 256,
                flow_count: 2,
            }),
            &["packet_count=3 byte_count=256 flow_count=2"],
        ),
        row(
            "table request",
            "04 12 0010 00000007 0003 0000 00000000",
            Message::TableStatsRequest,
            &["OFPST_TABLE request"],
        ),
        row(
            "table reply",
            "04 13 0028 00000007 0003 0000 00000000
            01 000000 00000002 0000000000000009 0000000000000005",
            Message::TableStatsReply {
                tables: vec![TableStats {
                    table_id: TableId(1),
                    name: [0; 32],
                    wildcards: 0,
                    max_entries: 0,
                    active_count: 2,
                    lookup_count: 9,
                    matched_count: 5,
                }],
                more: false,
            },
            &["table 1", "active=2, lookup=9, matched=5"],
        ),
        row(
            "port stats request",
            "04 12 0018 00000007 0004 0000 00000000 00000003 00000000",
            Message::PortStatsRequest { port: PortNo(3) },
            &["port_no=3"],
        ),
        row(
            "port stats reply",
            "04 13 0080 00000007 0004 0000 00000000 00000003 00000000
            0000000000000001 0000000000000002 0000000000000003 0000000000000004 0000000000000005
            0000000000000006 0000000000000007 0000000000000008 0000000000000009 000000000000000a
            000000000000000b 000000000000000c 00000014 3b9ac9ff",
            Message::PortStatsReply {
                ports: vec![PortStats {
                    port_no: PortNo(3),
                    rx_packets: 1,
                    tx_packets: 2,
                    rx_bytes: 3,
                    tx_bytes: 4,
                    rx_dropped: 5,
                    tx_dropped: 6,
                    rx_errors: 7,
                    tx_errors: 8,
                    rx_frame_err: 9,
                    rx_over_err: 10,
                    rx_crc_err: 11,
                    collisions: 12,
                    duration: Duration::new(20, 999_999_999),
                }],
                more: false,
            },
            &[
                "port  3: rx pkts=1, bytes=3, drop=5, errs=7, frame=9, over=10, crc=11",
                "tx pkts=2, bytes=4, drop=6, errs=8, coll=12",
                "duration=20.999999999s",
            ],
        ),
        row(
            "queue stats request",
            "04 12 0018 00000007 0005 0000 00000000 ffffffff ffffffff",
            Message::QueueStatsRequest { port: PortNo::ANY, queue_id: u32::MAX },
            &["port=ANY queue=ALL"],
        ),
        row(
            "queue stats reply",
            "04 13 0038 00000007 0005 0000 00000000 00000003 00000009
            0000000000000011 0000000000000012 0000000000000013 00000014 00000000",
            Message::QueueStatsReply {
                queues: vec![QueueStats {
                    port: PortNo(3),
                    queue_id: 9,
                    tx_bytes: 17,
                    tx_packets: 18,
                    tx_errors: 19,
                    duration: Duration::from_secs(20),
                }],
                more: false,
            },
            &["port 3 queue 9: bytes=17, pkts=18, errors=19, duration=20s"],
        ),
        row(
            "group stats request",
            "04 12 0018 00000007 0006 0000 00000000 fffffffc 00000000",
            Message::GroupStatsRequest { group_id: GroupId::ALL },
            &["group_id=ALL"],
        ),
        row(
            "group stats reply",
            "04 13 0058 00000007 0006 0000 00000000 0048 0000 00000011 00000002
            00000000 0000000000000003 0000000000000100 00000014 00000000
            0000000000000001 0000000000000040 0000000000000002 00000000000000c0",
            Message::GroupStatsReply {
                groups: vec![GroupStats {
                    group_id: GroupId(17),
                    ref_count: 2,
                    packet_count: 3,
                    byte_count: 256,
                    duration: Duration::from_secs(20),
                    buckets: vec![counter(1, 64), counter(2, 192)],
                }],
                more: false,
            },
            &[
                "group_id=17,duration=20s,ref_count=2,packet_count=3,byte_count=256",
                "bucket1:packet_count=2,byte_count=192",
            ],
        ),
        row(
            "group description request",
            "04 12 0010 00000007 0007 0000 00000000",
            Message::GroupDescriptionRequest,
            &["OFPST_GROUP_DESC request"],
        ),
        row(
            "group description reply",
            hex!("04 13 0050 00000007 0007 0000 00000000 0040 01 00 00000011", BUCKETS),
            Message::GroupDescriptionReply {
                groups: vec![GroupDescription {
                    kind: GroupType::SELECT,
                    group_id: GroupId(17),
                    buckets: buckets(),
                }],
                more: false,
            },
            &["group_id=17,type=select", "watch_port:1,watch_group:2,actions=output:4"],
        ),
        row(
            "group features request",
            "04 12 0010 00000007 0008 0000 00000000",
            Message::GroupFeaturesRequest,
            &["OFPST_GROUP_FEATURES request"],
        ),
        row(
            "group features reply",
            "04 13 0038 00000007 0008 0000 00000000 0000000f 00000005
            00000001 00000002 00000003 00000004 00000001 00400000 00010000 01000000",
            Message::GroupFeaturesReply(GroupFeatures {
                types: 15,
                capabilities: 5,
                max_groups: [1, 2, 3, 4],
                actions: [1, 1 << 22, 1 << 16, 1 << 24],
            }),
            &["Types:  0xf", "Capabilities:  0x5", "max_groups=0x4"],
        ),
        row(
            "meter stats request",
            "04 12 0018 00000007 0009 0000 00000000 ffffffff 00000000",
            Message::MeterStatsRequest { meter_id: MeterId::ALL },
            &["meter=all"],
        ),
        row(
            "meter stats reply",
            "04 13 0058 00000007 0009 0000 00000000 00000064 0048 000000000000
            00000002 0000000000000003 0000000000000100 00000014 00000000
            0000000000000001 0000000000000040 0000000000000002 00000000000000c0",
            Message::MeterStatsReply {
                meters: vec![MeterStats {
                    meter_id: MeterId(100),
                    flow_count: 2,
                    packet_in_count: 3,
                    byte_in_count: 256,
                    duration: Duration::from_secs(20),
                    bands: vec![counter(1, 64), counter(2, 192)],
                }],
                more: false,
            },
            &[
                "meter:100 flow_count:2 packet_in_count:3 byte_in_count:256 duration:20s",
                "1: packet_count:2 byte_count:192",
            ],
        ),
        row(
            "meter configuration request",
            "04 12 0018 00000007 000a 0000 00000000 00000064 00000000",
            Message::MeterConfigRequest { meter_id: MeterId(100) },
            &["meter=100"],
        ),
        row(
            "meter configuration reply",
            hex!(
                "04 13 0038 00000007 000a 0000 00000000
            0028 000d 00000064",
                BANDS
            ),
            Message::MeterConfigReply {
                meters: vec![MeterConfig {
                    flags: MeterFlags(0xd),
                    meter_id: MeterId(100),
                    bands: bands(),
                }],
                more: false,
            },
            &["meter=100 kbps burst stats", "type=drop rate=1000 burst_size=10"],
        ),
        row(
            "meter features request",
            "04 12 0010 00000007 000b 0000 00000000",
            Message::MeterFeaturesRequest,
            &["OFPST_METER_FEATURES request"],
        ),
        row(
            "meter features reply",
            "04 13 0020 00000007 000b 0000 00000000
            00000010 00000006 0000000f 05 07 0000",
            Message::MeterFeaturesReply(MeterFeatures {
                max_meter: 16,
                band_types: 6,
                capabilities: 15,
                max_bands: 5,
                max_color: 7,
            }),
            &["max_meter:16 max_bands:5 max_color:7", "drop dscp_remark", "kbps pktps burst stats"],
        ),
        row(
            "table features request",
            "04 12 0010 00000007 000c 0000 00000000",
            Message::TableFeaturesRequest { tables: vec![], more: false },
            &["OFPST_TABLE_FEATURES request"],
        ),
        row(
            "table features reply",
            hex!(
                "04 13 00b8 00000007 000c 0001 00000000 00a8 05 0000000000
            636c6173736966696572000000000000 00000000000000000000000000000000
            ffffffffffffffff 00000000000000ff 00000003 00000400
            0000 000c 0001 0004 0004 0004 00000000
            0002 0006 06 07 0000
            0003 0005 08 000000
            0004 0008 0016 0004
            0006 0008 0000 0004
            0007 0008 0019 0004
            0008 000c 80000004 80000706 00000000
            000a 0008 80000004
            000c 0008 80000606
            000e 0008 80000606
            000f 0008 80000806"
            ),
            Message::TableFeaturesReply {
                tables: vec![TableFeatures {
                    table_id: TableId(5),
                    name: name("classifier"),
                    metadata_match: u64::MAX,
                    metadata_write: 0xff,
                    config: 3,
                    max_entries: 1024,
                    properties: properties(),
                }],
                more: true,
            },
            &["table 5 (\"classifier\")", "write=0xff", "max_entries=1024"],
        ),
        row(
            "port description request",
            "04 12 0010 00000007 000d 0000 00000000",
            Message::PortDescriptionRequest,
            &["OFPST_PORT_DESC request"],
        ),
        row(
            "port description reply",
            hex!("04 13 0050 00000007 000d 0000 00000000", PORT),
            Message::PortDescriptionReply { ports: vec![port()], more: false },
            &["3(eth3): addr:02:00:00:00:00:0a", "10000 Mbps now, 20000 Mbps max"],
        ),
        row(
            "experimenter request",
            "04 12 0019 00000007 ffff 0000 00000000 deadbeef 00000001 ff",
            Message::ExperimenterStatsRequest {
                experimenter: 0xdead_beef,
                body: vec![0, 0, 0, 1, 0xff].into(),
                more: false,
            },
            &["decode error"],
        ),
        row(
            "experimenter reply",
            "04 13 0019 00000007 ffff 0001 00000000 deadbeef 00000001 ff",
            Message::ExperimenterStatsReply {
                experimenter: 0xdead_beef,
                body: vec![0, 0, 0, 1, 0xff].into(),
                more: true,
            },
            &["decode error"],
        ),
        row(
            "unknown multipart",
            "04 12 0012 00000007 7777 0000 00000000 0102",
            Message::Opaque(Opaque {
                kind: 18,
                body: vec![0x77, 0x77, 0, 0, 0, 0, 0, 0, 1, 2].into(),
            }),
            &["decode error"],
        ),
    ];
    // Fifteen kinds of multipart, request and reply, and the opaque one.
    assert_eq!(kinds(&rows), 31);
    check(Version::V1_3, &rows);
}

fn properties() -> Vec<TableProperty> {
    let id = |kind| TypeId { kind, body: vec![] };
    let oxm = |field, has_mask, length| OxmId {
        class: 0x8000,
        field,
        has_mask,
        length,
        experimenter: None,
    };
    vec![
        TableProperty::Instructions { miss: false, ids: vec![id(1), id(4)] },
        TableProperty::NextTables { miss: false, tables: vec![TableId(6), TableId(7)] },
        TableProperty::NextTables { miss: true, tables: vec![TableId(8)] },
        TableProperty::WriteActions { miss: false, ids: vec![id(22)] },
        TableProperty::ApplyActions { miss: false, ids: vec![id(0)] },
        TableProperty::ApplyActions { miss: true, ids: vec![id(25)] },
        TableProperty::Match(vec![oxm(0, false, 4), oxm(3, true, 6)]),
        TableProperty::Wildcards(vec![oxm(0, false, 4)]),
        TableProperty::WriteSetField { miss: false, fields: vec![oxm(3, false, 6)] },
        TableProperty::ApplySetField { miss: false, fields: vec![oxm(3, false, 6)] },
        TableProperty::ApplySetField { miss: true, fields: vec![oxm(4, false, 6)] },
    ]
}

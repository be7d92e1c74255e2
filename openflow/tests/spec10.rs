//! Every message and statistics kind of OpenFlow 1.0, written from the specification (1.0.0 §5), and
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

fn port() -> Port {
    Port {
        port_no: PortNo(3),
        hw_addr: A,
        name: name("eth3"),
        config: PortConfig(0x10),
        state: PortState(1),
        curr: 0x40,
        advertised: 0x20,
        supported: 0x60,
        peer: 0x08,
        curr_speed: 0,
        max_speed: 0,
    }
}

const PORT: &str = "0003 02000000000a 65746833000000000000000000000000
    00000010 00000001 00000040 00000020 00000060 00000008";

fn ssh_match() -> Match {
    Match::new()
        .in_port(PortNo(3))
        .eth_src(A)
        .eth_type(0x0800u16)
        .ip_proto(6)
        .ipv4_dst(Masked { value: [10, 1, 0, 0].into(), mask: Some([255, 255, 0, 0].into()) })
        .tcp_dst(22u16)
}

/// Wildcards: all but in_port, dl_src, dl_type, nw_proto, tp_dst; nw_dst /16, nw_src any.
const SSH_MATCH: &str = "0034204a 0003 02000000000a 000000000000 0000 00 00 0800 00 06 0000
    00000000 0a010000 0000 0016";

const ANY_MATCH: &str = "003820ff 0000 000000000000 000000000000 0000 00 00 0000 00 00 0000
    00000000 00000000 0000 0000";

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

#[test]
fn messages_of_1_0_are_those_of_the_specification() {
    let actions = vec![
        Action::SetVlanVid(100),
        Action::SetVlanPcp(5),
        Action::PopVlan,
        Action::SetField(MatchField::EthSrc(A.into())),
        Action::SetField(MatchField::EthDst(A.into())),
        Action::SetField(MatchField::Ipv4Src(std::net::Ipv4Addr::new(10, 0, 0, 1).into())),
        Action::SetField(MatchField::Ipv4Dst(std::net::Ipv4Addr::new(10, 0, 0, 2).into())),
        Action::SetField(MatchField::IpDscp(46)),
        Action::SetField(MatchField::TpSrc(1000)),
        Action::SetField(MatchField::TpDst(2000)),
        Action::Enqueue { port: PortNo(4), queue_id: 9 },
        Action::Output { port: PortNo::CONTROLLER, max_len: MaxLen(128) },
    ];
    let rows = [
        row("hello", "01 00 0008 00000007", Message::Hello(Hello::default()), &["OFPT_HELLO"]),
        row(
            "error",
            "01 01 0014 00000007 0002 0001 01 0d 0008 00000005",
            Message::Error(ErrorMessage {
                code: ErrorCode::new(2, 1),
                data: vec![1, 13, 0, 8, 0, 0, 0, 5].into(),
            }),
            &["OFPBAC_BAD_LEN", "decode error"],
        ),
        row(
            "echo request",
            "01 02 000a 00000007 abcd",
            Message::EchoRequest(vec![0xab, 0xcd].into()),
            &["OFPT_ECHO_REQUEST", "2 bytes"],
        ),
        row(
            "echo reply",
            "01 03 0008 00000007",
            Message::EchoReply(vec![].into()),
            &["ECHO_REPLY"],
        ),
        row(
            "vendor",
            "01 04 0010 00000007 00002320 00000013",
            Message::Experimenter { experimenter: 0x2320, body: vec![0, 0, 0, 0x13].into() },
            &["decode error"],
        ),
        row(
            "role request of Nicira",
            "01 04 0014 00000007 00002320 0000000a 00000001",
            Message::RoleRequest(RoleMessage { role: Role::MASTER, generation_id: 0 }),
            &["NXT_ROLE_REQUEST", "role=primary"],
        ),
        row(
            "role reply of Nicira",
            "01 04 0014 00000007 00002320 0000000b 00000002",
            Message::RoleReply(RoleMessage { role: Role::SLAVE, generation_id: 0 }),
            &["NXT_ROLE_REPLY", "role=secondary"],
        ),
        row(
            "features request",
            "01 05 0008 00000007",
            Message::FeaturesRequest,
            &["FEATURES_REQUEST"],
        ),
        row(
            "features reply",
            hex!(
                "01 06 0050 00000007 00000000000000f5 00000100 fe 000000
            000000c7 00000fff",
                PORT
            ),
            Message::FeaturesReply(Features {
                dpid: DatapathId(0xf5),
                n_buffers: 256,
                n_tables: 254,
                auxiliary_id: 0,
                capabilities: 0xc7,
                actions: 0xfff,
                ports: vec![port()],
            }),
            &[
                "dpid:00000000000000f5",
                "n_tables:254, n_buffers:256",
                "3(eth3): addr:02:00:00:00:00:0a",
                "NO_FLOOD",
                "LINK_DOWN",
                "enqueue",
            ],
        ),
        row(
            "get config request",
            "01 07 0008 00000007",
            Message::GetConfigRequest,
            &["GET_CONFIG_REQUEST"],
        ),
        row(
            "get config reply",
            "01 08 000c 00000007 0001 0080",
            Message::GetConfigReply(SwitchConfig {
                flags: ConfigFlags::FRAG_DROP,
                miss_send_len: 128,
            }),
            &["frags=drop miss_send_len=128"],
        ),
        row(
            "set config",
            "01 09 000c 00000007 0002 ffff",
            Message::SetConfig(SwitchConfig {
                flags: ConfigFlags::FRAG_REASM,
                miss_send_len: 0xffff,
            }),
            &["frags=reassemble miss_send_len=65535"],
        ),
        row(
            "packet-in",
            "01 0a 0022 00000007 00000105 0040 fffe 00 00
            02000000000b 02000000000a 0800 4500",
            Message::PacketIn(PacketIn {
                buffer_id: Some(BufferId(0x105)),
                total_len: 64,
                in_port: PortNo::LOCAL,
                reason: PacketInReason::NO_MATCH,
                table_id: TableId(0),
                cookie: Cookie(u64::MAX),
                pipeline: vec![].into(),
                data: vec![2, 0, 0, 0, 0, 11, 2, 0, 0, 0, 0, 10, 8, 0, 0x45, 0].into(),
            }),
            &["total_len=64 in_port=LOCAL (via no_match) data_len=16 buffer=0x00000105"],
        ),
        row(
            "flow removed",
            hex!(
                "01 0b 0058 00000007",
                SSH_MATCH,
                "00000000deadbeef 8000 01 00
            0000000a 00000005 003c 0000 0000000000000064 0000000000001234"
            ),
            Message::FlowRemoved(FlowRemoved {
                cookie: Cookie(0xdead_beef),
                priority: 0x8000,
                reason: FlowRemovedReason::HARD_TIMEOUT,
                table_id: TableId(0),
                duration: Duration::new(10, 5),
                idle_timeout: 60,
                hard_timeout: 0,
                packet_count: 100,
                byte_count: 0x1234,
                matches: ssh_match(),
            }),
            &[
                "tcp,in_port=3,dl_src=02:00:00:00:00:0a,nw_dst=10.1.0.0/16,tp_dst=22",
                "reason=hard",
                "cookie:0xdeadbeef",
                "duration10.000000005s",
                "idle60",
                "pkts100 bytes4660",
            ],
        ),
        row(
            "port status",
            hex!("01 0c 0040 00000007 02 00000000000000", PORT),
            Message::PortStatus(PortStatus { reason: PortStatusReason::MODIFY, port: port() }),
            &["MOD: 3(eth3)"],
        ),
        row(
            "packet-out",
            "01 0d 0020 00000007 ffffffff ffff 0008 0000 0008 fffb 0000 01020304 05060708",
            Message::PacketOut(PacketOut {
                buffer_id: None,
                in_port: PortNo::ANY,
                actions: [Action::Output { port: PortNo::FLOOD, max_len: MaxLen(0) }].into(),
                data: vec![1, 2, 3, 4, 5, 6, 7, 8].into(),
            }),
            &["actions=FLOOD data_len=8"],
        ),
        row(
            "flow-mod with every action",
            hex!(
                "01 0e 00c0 00000007",
                SSH_MATCH,
                "0000000000000042
            0000 003c 0e10 0064 ffffffff ffff 0003
            0001 0008 0064 0000  0002 0008 05 000000  0003 0008 00000000
            0004 0010 02000000000a 000000000000  0005 0010 02000000000a 000000000000
            0006 0008 0a000001  0007 0008 0a000002  0008 0008 b8 000000
            0009 0008 03e8 0000  000a 0008 07d0 0000
            000b 0010 0004 000000000000 00000009  0000 0008 fffd 0080"
            ),
            Message::FlowMod(
                FlowMod::add(ssh_match())
                    .cookie(Cookie(0x42))
                    .timeouts(60, 3600)
                    .priority(100)
                    .flags(FlowModFlags(3))
                    .apply(actions),
            ),
            &[
                "ADD priority=100,tcp,in_port=3",
                "cookie:0x42 idle:60 hard:3600 send_flow_rem check_overlap",
                "mod_vlan_vid:100",
                "mod_vlan_pcp:5",
                "strip_vlan",
                "mod_dl_src:02:00:00:00:00:0a",
                "mod_nw_src:10.0.0.1",
                "mod_nw_dst:10.0.0.2",
                "mod_nw_tos:184",
                "mod_tp_src:1000",
                "mod_tp_dst:2000",
                "enqueue:4:9",
                "CONTROLLER:128",
            ],
        ),
        row(
            "flow-mod that deletes",
            hex!(
                "01 0e 0048 00000007",
                ANY_MATCH,
                "0000000000000000 0003 0000 0000 8000 ffffffff ffff 0000"
            ),
            Message::FlowMod(FlowMod::new(FlowModCommand::DELETE, Match::new())),
            &["DEL"],
        ),
        row(
            "port-mod",
            "01 0f 0020 00000007 0003 02000000000a 00000010 00000011 00000040 00000000",
            Message::PortMod(PortMod {
                port_no: PortNo(3),
                hw_addr: A,
                config: PortConfig(0x10),
                mask: PortConfig(0x11),
                advertise: 0x40,
            }),
            &["port: 3: addr:02:00:00:00:00:0a", "NO_FLOOD", "PORT_DOWN", "10GB-FD"],
        ),
        row(
            "barrier request",
            "01 12 0008 00000007",
            Message::BarrierRequest,
            &["BARRIER_REQUEST"],
        ),
        row("barrier reply", "01 13 0008 00000007", Message::BarrierReply, &["BARRIER_REPLY"]),
        row(
            "queue config request",
            "01 14 000c 00000007 0003 0000",
            Message::QueueGetConfigRequest { port: PortNo(3) },
            &["port=3"],
        ),
        row(
            "queue config reply",
            "01 15 0028 00000007 0003 000000000000
            00000009 0018 0000 0001 0010 00000000 01f4 000000000000",
            Message::QueueGetConfigReply {
                port: PortNo(3),
                queues: vec![QueueConfig {
                    queue_id: 9,
                    port: PortNo(3),
                    properties: vec![QueueProperty::MinRate(500)],
                }],
            },
            &["queue 9", "min_rate:50.0%"],
        ),
        row(
            "opaque type",
            "01 63 000a 00000007 0102",
            Message::Opaque(Opaque { kind: 0x63, body: vec![1, 2].into() }),
            &["decode error"],
        ),
    ];
    // All messages of 1.0 that are no statistics, and the opaque one.
    assert_eq!(kinds(&rows), 23);
    check(Version::V1_0, &rows);
}

#[test]
fn statistics_of_1_0_are_those_of_the_specification() {
    let request = FlowStatsRequest {
        table_id: TableId::ALL,
        out_port: PortNo::ANY,
        out_group: GroupId::ANY,
        cookie: Cookie(0),
        cookie_mask: 0,
        matches: ssh_match(),
    };
    let description = SwitchDescription {
        manufacturer: name("maker"),
        hardware: name("hard"),
        software: name("soft"),
        serial_number: name("12"),
        datapath: name("dp"),
    };
    let text = |text: &str, size: usize| -> String {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("{hex:0<width$}", width = 2 * size)
    };
    let description_hex = [
        "01 11 042c 00000007 0000 0000".to_owned(),
        text("maker", 256),
        text("hard", 256),
        text("soft", 256),
        text("12", 32),
        text("dp", 256),
    ];
    let rows = [
        row(
            "description request",
            "01 10 000c 00000007 0000 0000",
            Message::DescriptionRequest,
            &["OFPST_DESC request"],
        ),
        row(
            "description reply",
            Box::leak(description_hex.join(" ").into_boxed_str()),
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
            hex!("01 10 0038 00000007 0001 0000", SSH_MATCH, "ff 00 ffff"),
            Message::FlowStatsRequest(request.clone()),
            &["OFPST_FLOW request", "tp_dst=22"],
        ),
        row(
            "flow reply",
            hex!(
                "01 11 006c 00000007 0001 0001 0060 00 00",
                SSH_MATCH,
                "00000014 00000001 8000 0005 000a 000000000000 0000000000000042
             0000000000000003 0000000000000100 0000 0008 0004 0000"
            ),
            Message::FlowStatsReply {
                flows: vec![FlowStats {
                    table_id: TableId(0),
                    duration: Duration::new(20, 1),
                    priority: 0x8000,
                    idle_timeout: 5,
                    hard_timeout: 10,
                    flags: FlowModFlags(0),
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
                "cookie=0x42",
                "n_packets=3, n_bytes=256",
                "idle_timeout=5",
                "hard_timeout=10",
                "tp_dst=22",
                "actions=output:4",
            ],
        ),
        row(
            "aggregate request",
            hex!("01 10 0038 00000007 0002 0000", SSH_MATCH, "ff 00 ffff"),
            Message::AggregateStatsRequest(request),
            &["OFPST_AGGREGATE request", "tp_dst=22"],
        ),
        row(
            "aggregate reply",
            "01 11 0024 00000007 0002 0000
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
            "01 10 000c 00000007 0003 0000",
            Message::TableStatsRequest,
            &["OFPST_TABLE request"],
        ),
        row(
            "table reply",
            hex!(
                "01 11 004c 00000007 0003 0000 01 000000
            636c6173736966696572000000000000 00000000000000000000000000000000
            003fffff 00000400 00000002 0000000000000009 0000000000000005"
            ),
            Message::TableStatsReply {
                tables: vec![TableStats {
                    table_id: TableId(1),
                    name: name("classifier"),
                    wildcards: 0x3f_ffff,
                    max_entries: 1024,
                    active_count: 2,
                    lookup_count: 9,
                    matched_count: 5,
                }],
                more: false,
            },
            &["classifier", "active=2, lookup=9, matched=5", "max_entries=1024"],
        ),
        row(
            "port request",
            "01 10 0014 00000007 0004 0000 0003 000000000000",
            Message::PortStatsRequest { port: PortNo(3) },
            &["port_no=3"],
        ),
        row(
            "port reply",
            "01 11 0074 00000007 0004 0000 0003 000000000000
            0000000000000001 0000000000000002 0000000000000003 0000000000000004 0000000000000005
            0000000000000006 0000000000000007 0000000000000008 0000000000000009 000000000000000a
            000000000000000b 000000000000000c",
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
                    duration: Duration::ZERO,
                }],
                more: false,
            },
            &[
                "port  3: rx pkts=1, bytes=3, drop=5, errs=7, frame=9, over=10, crc=11",
                "tx pkts=2, bytes=4, drop=6, errs=8, coll=12",
            ],
        ),
        row(
            "queue request",
            "01 10 0014 00000007 0005 0000 fffc 0000 ffffffff",
            Message::QueueStatsRequest { port: PortNo::ALL, queue_id: u32::MAX },
            &["port=ANY queue=ALL"],
        ),
        row(
            "queue reply",
            "01 11 002c 00000007 0005 0000 0003 0000 00000009
            0000000000000011 0000000000000012 0000000000000013",
            Message::QueueStatsReply {
                queues: vec![QueueStats {
                    port: PortNo(3),
                    queue_id: 9,
                    tx_bytes: 17,
                    tx_packets: 18,
                    tx_errors: 19,
                    duration: Duration::ZERO,
                }],
                more: false,
            },
            &["port 3 queue 9: bytes=17, pkts=18, errors=19"],
        ),
        row(
            "vendor request",
            "01 10 0014 00000007 ffff 0000 deadbeef 01020304",
            Message::ExperimenterStatsRequest {
                experimenter: 0xdead_beef,
                body: vec![1, 2, 3, 4].into(),
                more: false,
            },
            &["decode error"],
        ),
        row(
            "vendor reply",
            "01 11 0014 00000007 ffff 0001 deadbeef 01020304",
            Message::ExperimenterStatsReply {
                experimenter: 0xdead_beef,
                body: vec![1, 2, 3, 4].into(),
                more: true,
            },
            &["decode error"],
        ),
    ];
    // Seven kinds of statistics, request and reply.
    assert_eq!(kinds(&rows), 14);
    check(Version::V1_0, &rows);
}

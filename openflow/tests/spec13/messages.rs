//! Messages that are no multiparts (1.3.5 §7.3, 7.4, 7.5).

use std::time::Duration;

use super::spec::{check, kinds};
use super::*;

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

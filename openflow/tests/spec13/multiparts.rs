//! Multiparts (1.3.5 §7.3.5).

use std::time::Duration;

use super::spec::{check, kinds};
use super::*;

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

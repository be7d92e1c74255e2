//! Every kind of answer, from a switch that says what the test says.

use std::time::Duration;

use bytes::BytesMut;
use umlaut_controller::request::REQUEST_TIMEOUT;
use umlaut_controller::{Apps, Context, SendError, Switch};
use umlaut_openflow::*;

use super::VERSIONS;
use super::recorder::{Log, Recorder};
use super::scripted::ScriptedSwitch;

type Ask = fn(&mut Switch) -> Result<Xid, SendError>;

/// A switch served by an application that asks and one that does not.
fn asked(version: Version, log: &Log, ask: Ask) -> ScriptedSwitch {
    let script = move |event: &str, _: &str, sw: Option<&mut Switch>, _: &Context<'_>| {
        if let ("switch_ready", Some(sw)) = (event, sw) {
            ask(sw).unwrap();
        }
    };
    let apps = Apps::new().with(Recorder::new("a", log, script)).with(Recorder::silent("b", log));
    let switch = ScriptedSwitch::new(apps, version);
    log.take();
    switch
}

fn request(switch: &mut ScriptedSwitch) -> (Xid, Message<'static>) {
    let mut heard = switch.heard();
    heard.pop().unwrap()
}

fn port(n: u32) -> Port {
    Port {
        port_no: PortNo(n),
        hw_addr: MacAddr::from_u64(n.into()),
        name: [0; 16],
        config: PortConfig::default(),
        state: PortState::default(),
        curr: 0,
        advertised: 0,
        supported: 0,
        peer: 0,
        curr_speed: 0,
        max_speed: 0,
    }
}

fn features(ports: Vec<Port>) -> Message<'static> {
    Message::FeaturesReply(Features {
        dpid: DatapathId(1),
        n_buffers: 0,
        n_tables: 1,
        auxiliary_id: 0,
        capabilities: 0,
        actions: 0,
        ports,
    })
}

fn flow(cookie: u64) -> FlowStats {
    FlowStats {
        table_id: TableId(0),
        duration: Duration::ZERO,
        priority: 1,
        idle_timeout: 0,
        hard_timeout: 0,
        flags: FlowModFlags::default(),
        cookie: Cookie(cookie),
        packet_count: 0,
        byte_count: 0,
        matches: Match::new(),
        instructions: [].into(),
    }
}

fn port_stats(n: u32) -> PortStats {
    PortStats {
        port_no: PortNo(n),
        rx_packets: 0,
        tx_packets: 0,
        rx_bytes: 0,
        tx_bytes: 0,
        rx_dropped: 0,
        tx_dropped: 0,
        rx_errors: 0,
        tx_errors: 0,
        rx_frame_err: 0,
        rx_over_err: 0,
        rx_crc_err: 0,
        collisions: 0,
        duration: Duration::ZERO,
    }
}

fn table_stats(active_count: u32) -> TableStats {
    TableStats {
        table_id: TableId(0),
        name: [0; 32],
        wildcards: 0,
        max_entries: 0,
        active_count,
        lookup_count: 0,
        matched_count: 0,
    }
}

fn queue_stats(queue_id: u32) -> QueueStats {
    QueueStats {
        port: PortNo(1),
        queue_id,
        tx_bytes: 0,
        tx_packets: 0,
        tx_errors: 0,
        duration: Duration::ZERO,
    }
}

/// What is asked, what goes out, the parts of the answer, what is told.
type Row = (Ask, Message<'static>, Vec<Message<'static>>, &'static str);

fn in_both_versions() -> Vec<Row> {
    let description = SwitchDescription {
        manufacturer: [0; 256],
        hardware: [0; 256],
        software: [0; 256],
        serial_number: [b'5'; 32],
        datapath: [0; 256],
    };
    let stats = FlowStatsRequest::of(Match::new().eth_type(0x0800u16).ip_proto(6).tcp_dst(80u16));
    let sum = AggregateStats { packet_count: 1, byte_count: 2, flow_count: 3 };
    let queue = QueueConfig { queue_id: 4, port: PortNo(1), properties: Vec::new() };
    vec![
        (
            |sw| sw.barrier(),
            Message::BarrierRequest,
            vec![Message::BarrierReply],
            "a barrier_reply",
        ),
        (
            |sw| sw.echo(&[1, 2]),
            Message::EchoRequest(vec![1, 2].into()),
            vec![Message::EchoReply(vec![1, 2].into())],
            "a echo_reply [1, 2]",
        ),
        (
            |sw| sw.request_features(),
            Message::FeaturesRequest,
            vec![features(Vec::new())],
            "a features_reply 0x1",
        ),
        (
            |sw| sw.request_config(),
            Message::GetConfigRequest,
            vec![Message::GetConfigReply(SwitchConfig {
                flags: ConfigFlags::FRAG_NORMAL,
                miss_send_len: 128,
            })],
            "a config_reply 128",
        ),
        (
            |sw| sw.request_queues(PortNo(1)),
            Message::QueueGetConfigRequest { port: PortNo(1) },
            vec![Message::QueueGetConfigReply { port: PortNo(1), queues: vec![queue] }],
            "a queues_reply 1 1",
        ),
        (
            |sw| sw.request_description(),
            Message::DescriptionRequest,
            vec![Message::DescriptionReply(Box::new(description))],
            "a description_reply 53",
        ),
        (
            |sw| sw.request_flow_stats(Match::new().tcp_dst(80u16)),
            Message::FlowStatsRequest(stats.clone()),
            vec![
                Message::FlowStatsReply {
                    flows: vec![flow(0x99 << 56), flow(2 << 56)],
                    more: true,
                },
                Message::FlowStatsReply { flows: vec![flow(0x88 << 56)], more: false },
            ],
            "a flow_stats_reply [0x9900000000000000, 0x200000000000000, 0x8800000000000000]",
        ),
        (
            |sw| sw.request_aggregate_stats(Match::new().tcp_dst(80u16)),
            Message::AggregateStatsRequest(stats),
            vec![Message::AggregateStatsReply(sum)],
            "a aggregate_stats_reply 3",
        ),
        (
            |sw| sw.request_table_stats(),
            Message::TableStatsRequest,
            vec![
                Message::TableStatsReply { tables: vec![table_stats(5)], more: true },
                Message::TableStatsReply { tables: vec![table_stats(6)], more: false },
            ],
            "a table_stats_reply [5, 6]",
        ),
        (
            |sw| sw.request_port_stats(PortNo::ANY),
            Message::PortStatsRequest { port: PortNo::ANY },
            vec![
                Message::PortStatsReply { ports: vec![port_stats(1)], more: true },
                Message::PortStatsReply { ports: vec![port_stats(2)], more: false },
            ],
            "a port_stats_reply [1, 2]",
        ),
        (
            |sw| sw.request_queue_stats(PortNo(1), umlaut_controller::switch::ALL_QUEUES),
            Message::QueueStatsRequest { port: PortNo(1), queue_id: u32::MAX },
            vec![
                Message::QueueStatsReply { queues: vec![queue_stats(7)], more: true },
                Message::QueueStatsReply { queues: vec![queue_stats(8)], more: false },
            ],
            "a queue_stats_reply [7, 8]",
        ),
        (
            |sw| sw.request_experimenter_stats(0x2320, &[9; 8]),
            Message::ExperimenterStatsRequest {
                experimenter: 0x2320,
                body: vec![9; 8].into(),
                more: false,
            },
            vec![
                Message::ExperimenterStatsReply {
                    experimenter: 0x2320,
                    body: vec![1; 4].into(),
                    more: true,
                },
                Message::ExperimenterStatsReply {
                    experimenter: 0x2320,
                    body: vec![2; 4].into(),
                    more: false,
                },
            ],
            "a experimenter_stats_reply 0x2320 [1, 1, 1, 1, 2, 2, 2, 2]",
        ),
    ]
}

fn in_1_3() -> Vec<Row> {
    let group = GroupStats {
        group_id: GroupId(4),
        ref_count: 0,
        packet_count: 0,
        byte_count: 0,
        duration: Duration::ZERO,
        buckets: Vec::new(),
    };
    let described =
        GroupDescription { kind: GroupType::ALL, group_id: GroupId(4), buckets: Vec::new() };
    let groups = GroupFeatures { types: 15, capabilities: 0, max_groups: [0; 4], actions: [0; 4] };
    let meter = MeterStats {
        meter_id: MeterId(6),
        flow_count: 0,
        packet_in_count: 0,
        byte_in_count: 0,
        duration: Duration::ZERO,
        bands: Vec::new(),
    };
    let configured =
        MeterConfig { flags: MeterFlags::KBPS, meter_id: MeterId(6), bands: Vec::new() };
    let meters =
        MeterFeatures { max_meter: 12, band_types: 0, capabilities: 0, max_bands: 0, max_color: 0 };
    let table = TableFeatures {
        table_id: TableId(3),
        name: [0; 32],
        metadata_match: 0,
        metadata_write: 0,
        config: 0,
        max_entries: 0,
        properties: Vec::new(),
    };
    let role = RoleMessage { role: Role::MASTER, generation_id: 5 };
    let config = AsyncConfig { packet_in: [1, 2], port_status: [0; 2], flow_removed: [0; 2] };
    vec![
        (
            |sw| sw.request_ports(),
            Message::PortDescriptionRequest,
            vec![
                Message::PortDescriptionReply { ports: vec![port(1)], more: true },
                Message::PortDescriptionReply { ports: vec![port(2)], more: false },
            ],
            "a ports_reply [1, 2]",
        ),
        (
            |sw| sw.request_role(Role::MASTER, 5),
            Message::RoleRequest(role),
            vec![Message::RoleReply(role)],
            "a role_reply MASTER 5",
        ),
        (
            |sw| sw.request_async(),
            Message::GetAsyncRequest,
            vec![Message::GetAsyncReply(config)],
            "a async_reply [1, 2]",
        ),
        (
            |sw| sw.request_group_stats(GroupId::ALL),
            Message::GroupStatsRequest { group_id: GroupId::ALL },
            vec![
                Message::GroupStatsReply { groups: vec![group.clone()], more: true },
                Message::GroupStatsReply { groups: vec![group], more: false },
            ],
            "a group_stats_reply [4, 4]",
        ),
        (
            |sw| sw.request_groups(),
            Message::GroupDescriptionRequest,
            vec![
                Message::GroupDescriptionReply { groups: vec![described.clone()], more: true },
                Message::GroupDescriptionReply { groups: vec![described], more: false },
            ],
            "a groups_reply [4, 4]",
        ),
        (
            |sw| sw.request_group_features(),
            Message::GroupFeaturesRequest,
            vec![Message::GroupFeaturesReply(groups)],
            "a group_features_reply 15",
        ),
        (
            |sw| sw.request_meter_stats(MeterId::ALL),
            Message::MeterStatsRequest { meter_id: MeterId::ALL },
            vec![
                Message::MeterStatsReply { meters: vec![meter.clone()], more: true },
                Message::MeterStatsReply { meters: vec![meter], more: false },
            ],
            "a meter_stats_reply [6, 6]",
        ),
        (
            |sw| sw.request_meters(MeterId(6)),
            Message::MeterConfigRequest { meter_id: MeterId(6) },
            vec![
                Message::MeterConfigReply { meters: vec![configured.clone()], more: true },
                Message::MeterConfigReply { meters: vec![configured], more: false },
            ],
            "a meters_reply [6, 6]",
        ),
        (
            |sw| sw.request_meter_features(),
            Message::MeterFeaturesRequest,
            vec![Message::MeterFeaturesReply(meters)],
            "a meter_features_reply 12",
        ),
        (
            |sw| sw.request_table_features(),
            Message::TableFeaturesRequest { tables: Vec::new(), more: false },
            vec![
                Message::TableFeaturesReply { tables: vec![table.clone()], more: true },
                Message::TableFeaturesReply { tables: vec![table], more: false },
            ],
            "a table_features_reply [3, 3]",
        ),
    ]
}

fn in_1_0() -> Vec<Row> {
    let role = RoleMessage { role: Role::SLAVE, generation_id: 0 };
    vec![
        (
            |sw| sw.request_ports(),
            Message::FeaturesRequest,
            vec![features(vec![port(1), port(2)])],
            "a ports_reply [1, 2]",
        ),
        (
            |sw| sw.request_role(Role::SLAVE, 0),
            Message::RoleRequest(role),
            vec![Message::RoleReply(role)],
            "a role_reply SLAVE 0",
        ),
        (
            |sw| sw.request_queue_stats(PortNo::ANY, umlaut_controller::switch::ALL_QUEUES),
            Message::QueueStatsRequest { port: PortNo::ALL, queue_id: u32::MAX },
            vec![Message::QueueStatsReply { queues: Vec::new(), more: false }],
            "a queue_stats_reply []",
        ),
    ]
}

#[test]
fn each_request_is_answered_by_its_handler_with_all_parts_in_one() {
    for version in VERSIONS {
        let own = if version == Version::V1_0 { in_1_0() } else { in_1_3() };
        for (ask, expected, parts, told) in in_both_versions().into_iter().chain(own) {
            let log = Log::default();
            let mut switch = asked(version, &log, ask);
            let (xid, sent) = request(&mut switch);
            assert_eq!(sent, expected, "{version}");
            // An answer that nobody asked for is nobody's.
            switch.say(Xid(xid.0 + 77), &parts[0]);
            let (last, first) = parts.split_last().unwrap();
            first.iter().for_each(|part| switch.say(xid, part));
            assert_eq!(log.take(), [] as [&str; 0], "{version} {told}");
            switch.say(xid, last);
            assert_eq!(log.take(), [told], "{version}");
            // Nor is a second answer.
            switch.say(xid, last);
            switch.wait(2 * REQUEST_TIMEOUT);
            assert_eq!(log.take(), [] as [&str; 0], "{version} {told}");
        }
    }
}

#[test]
fn a_request_without_an_answer_is_told_in_time() {
    for version in VERSIONS {
        let log = Log::default();
        let mut switch = asked(version, &log, |sw| sw.request_port_stats(PortNo::ANY));
        let (xid, _) = request(&mut switch);
        let part = |more| Message::PortStatsReply { ports: vec![port_stats(1)], more };
        switch.say(xid, &part(true));
        switch.wait(REQUEST_TIMEOUT - Duration::from_millis(1));
        assert_eq!(log.take(), [] as [&str; 0]);
        switch.wait(Duration::from_millis(2));
        assert_eq!(log.take(), ["a no_reply"]);
        switch.say(xid, &part(false));
        assert_eq!(log.take(), [] as [&str; 0]);
    }
}

#[test]
fn a_switch_with_its_fill_of_requests_takes_no_more() {
    use umlaut_controller::request::REQUESTS;
    for version in VERSIONS {
        let log = Log::default();
        let mut switch = asked(version, &log, |sw| {
            for _ in 1..REQUESTS {
                sw.barrier()?;
            }
            let last = sw.barrier();
            assert_eq!(sw.request_port_stats(PortNo::ANY), Err(SendError::Busy));
            last
        });
        let (xid, last) = request(&mut switch);
        assert_eq!(last, Message::BarrierRequest);
        switch.say(xid, &Message::BarrierReply);
        assert_eq!(log.take(), ["a barrier_reply"]);
    }
}

#[test]
fn an_error_ends_a_request_and_shows_it() {
    for version in VERSIONS {
        let log = Log::default();
        let generation = if version == Version::V1_0 { 0 } else { 9 };
        let ask: Ask = match version {
            Version::V1_0 => |sw| sw.request_role(Role::MASTER, 0),
            _ => |sw| sw.request_role(Role::MASTER, 9),
        };
        let mut switch = asked(version, &log, ask);
        let (xid, sent) = request(&mut switch);
        assert_eq!(
            sent,
            Message::RoleRequest(RoleMessage { role: Role::MASTER, generation_id: generation })
        );
        // The error itself shows nothing of it: the framework remembers.
        let error = ErrorMessage { code: ErrorCode::new(11, 0), data: Vec::new().into() };
        switch.say(xid, &Message::Error(error));
        assert_eq!(log.take(), ["a error (11, 0) of role_request MASTER"]);
        switch.wait(2 * REQUEST_TIMEOUT);
        assert_eq!(log.take(), [] as [&str; 0]);
    }
}

/// In 1.0 the framework keeps the entries of applications, and need not delete one that is not there.
#[test]
fn an_entry_that_was_refused_is_not_kept_however_late_that_is_told() {
    for late in [0, 10_000] {
        for refused in [true, false] {
            let log = Log::default();
            let script = move |event: &str, _: &str, sw: Option<&mut Switch>, _: &Context<'_>| {
                let Some(sw) = sw else { return };
                match event {
                    "switch_ready" => {
                        sw.flow_mod(FlowMod::add(Match::new().in_port(PortNo(1)))).unwrap();
                        for _ in 0..late {
                            sw.packet_out(PortNo::ANY, [Action::output(PortNo(1))], &[]).unwrap();
                        }
                    }
                    "experimenter" => drop(sw.delete_flows(Match::new()).unwrap()),
                    _ => {}
                }
            };
            let apps = Apps::new().with(Recorder::new("a", &log, script));
            let mut switch = ScriptedSwitch::new(apps, Version::V1_0);
            let heard = switch.heard();
            let (xid, entry) = heard
                .iter()
                .find(|(_, sent)| matches!(sent, Message::FlowMod(one) if one.matches != Match::new()))
                .expect("an entry");
            if refused {
                let mut bytes = BytesMut::new();
                encode(Version::V1_0, *xid, entry, &mut bytes).unwrap();
                let data = bytes[..64].to_vec().into();
                let error = ErrorMessage { code: ErrorCode::new(3, 0), data };
                switch.say(*xid, &Message::Error(error));
            }
            let all = Message::Experimenter { experimenter: 1, body: vec![0; 4].into() };
            switch.say(Xid(0), &all);
            let deleted = switch.heard().iter().any(|(_, sent)| {
                matches!(sent, Message::FlowMod(one) if one.command == FlowModCommand::DELETE_STRICT)
            });
            assert_eq!(deleted, !refused, "{late}");
        }
    }
}

#[test]
fn an_experimenters_message_comes_to_all() {
    for version in VERSIONS {
        let log = Log::default();
        let mut switch = asked(version, &log, |sw| sw.experimenter(0x4f4e_4600, &[1, 2, 3, 4]));
        let (_, sent) = request(&mut switch);
        let body = vec![1, 2, 3, 4].into();
        assert_eq!(sent, Message::Experimenter { experimenter: 0x4f4e_4600, body });
        let told = Message::Experimenter { experimenter: 0x4f4e_4600, body: vec![8; 4].into() };
        switch.say(Xid(0), &told);
        let heard = ["a", "b"].map(|app| format!("{app} experimenter 0x4f4e4600 [8, 8, 8, 8]"));
        assert_eq!(log.take(), heard);
    }
}

#[test]
fn every_other_message_goes_out_as_it_was_asked_for() {
    let config = AsyncConfig { packet_in: [1, 0], port_status: [2, 0], flow_removed: [3, 0] };
    let bucket = || vec![Bucket::new(vec![Action::output(PortNo(1))])];
    let group = |command, buckets| {
        let (kind, group_id) = (GroupType::ALL, GroupId(2));
        Message::GroupMod(GroupMod { command, kind, group_id, buckets })
    };
    let band = || vec![MeterBand { rate: 5, burst_size: 0, kind: MeterBandKind::Drop }];
    let meter = |command, flags, bands| {
        Message::MeterMod(MeterMod { command, flags, meter_id: MeterId(3), bands })
    };
    let rows: Vec<(Ask, Message<'static>)> = vec![
        (
            |sw| {
                sw.add_group(
                    GroupId(2),
                    GroupType::ALL,
                    vec![Bucket::new(vec![Action::output(PortNo(1))])],
                )
            },
            group(GroupCommand::ADD, bucket()),
        ),
        (
            |sw| {
                sw.modify_group(
                    GroupId(2),
                    GroupType::ALL,
                    vec![Bucket::new(vec![Action::output(PortNo(1))])],
                )
            },
            group(GroupCommand::MODIFY, bucket()),
        ),
        (|sw| sw.delete_group(GroupId(2)), group(GroupCommand::DELETE, Vec::new())),
        (
            |sw| {
                sw.add_meter(
                    MeterId(3),
                    MeterFlags::KBPS,
                    vec![MeterBand { rate: 5, burst_size: 0, kind: MeterBandKind::Drop }],
                )
            },
            meter(MeterCommand::ADD, MeterFlags::KBPS, band()),
        ),
        (
            |sw| {
                sw.modify_meter(
                    MeterId(3),
                    MeterFlags::KBPS,
                    vec![MeterBand { rate: 5, burst_size: 0, kind: MeterBandKind::Drop }],
                )
            },
            meter(MeterCommand::MODIFY, MeterFlags::KBPS, band()),
        ),
        (
            |sw| sw.delete_meter(MeterId(3)),
            meter(MeterCommand::DELETE, MeterFlags::default(), Vec::new()),
        ),
        (
            |sw| sw.configure_table(TableId(1), 3),
            Message::TableMod(TableMod { table_id: TableId(1), config: 3 }),
        ),
        (
            |sw| {
                let config =
                    AsyncConfig { packet_in: [1, 0], port_status: [2, 0], flow_removed: [3, 0] };
                sw.set_async(config)
            },
            Message::SetAsync(config),
        ),
        (
            |sw| sw.set_fragments(ConfigFlags::FRAG_DROP),
            Message::SetConfig(SwitchConfig {
                flags: ConfigFlags::FRAG_DROP,
                miss_send_len: 0xffff,
            }),
        ),
        (
            |sw| sw.send_out(PortNo(1), &[7; 60]),
            Message::PacketOut(PacketOut::to_port(PortNo(1), vec![7; 60])),
        ),
    ];
    for (ask, expected) in rows {
        let log = Log::default();
        let mut switch = asked(Version::V1_3, &log, ask);
        assert_eq!(request(&mut switch).1, expected);
        // Not one of them waits for an answer.
        switch.wait(2 * REQUEST_TIMEOUT);
        assert_eq!(log.take(), [] as [&str; 0]);
    }
}

#[test]
fn a_packet_that_the_switch_kept_goes_out_from_there() {
    for version in VERSIONS {
        let mut switch = ScriptedSwitch::new(Apps::new().with(Keeper), version);
        switch.heard();
        for buffer_id in [Some(BufferId(5)), None] {
            let packet = PacketIn {
                buffer_id,
                total_len: 60,
                in_port: PortNo(3),
                reason: PacketInReason::NO_MATCH,
                table_id: TableId(0),
                cookie: Cookie(u64::MAX),
                pipeline: Vec::new().into(),
                data: vec![6; 60].into(),
            };
            switch.say(Xid(0), &Message::PacketIn(packet));
            let data = if buffer_id.is_some() { Vec::new() } else { vec![6; 60] };
            let out = PacketOut {
                buffer_id,
                in_port: PortNo(3),
                actions: [Action::output(PortNo::FLOOD)].into(),
                data: data.into(),
            };
            let (_, mut sent) = request(&mut switch);
            if let Message::PacketOut(sent) = &mut sent {
                // 1.0 has no such thing as the whole packet; only the controller's counts.
                for action in &mut sent.actions {
                    if let Action::Output { max_len, .. } = action {
                        *max_len = MaxLen::NO_BUFFER;
                    }
                }
            }
            assert_eq!(sent, Message::PacketOut(out));
        }
        assert!(!switch.closed);
    }
}

/// Floods what the switch may have kept.
struct Keeper;

impl umlaut_controller::App for Keeper {
    fn packet_in(&self, sw: &mut Switch, _: &Context<'_>, packet: &PacketIn<'_>) {
        sw.send_packet(packet, vec![Action::output(PortNo::FLOOD)]).unwrap();
    }
}

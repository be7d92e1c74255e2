//! One of every request, and mistakes in each: both switches must answer the same.

use umlaut_openflow::{
    Action, AsyncConfig, Bucket, BufferId, ConfigFlags, Cookie, FlowMod, FlowModCommand,
    FlowModFlags, FlowStatsRequest, GroupCommand, GroupId, GroupMod, GroupType, Instruction,
    MacAddr, Match, MatchField, Message, MeterBand, MeterBandKind, MeterCommand, MeterFlags,
    MeterId, MeterMod, PacketOut, PortConfig, PortMod, PortNo, Role, RoleMessage, SwitchConfig,
    TableId, TableMod, Version,
};

use super::sides::bytes;

/// A message as bytes, for the mistakes that no encoder makes: type and body.
fn raw(version: Version, kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (8 + body.len()) as u16;
    let mut message = vec![version.0, kind];
    message.extend(length.to_be_bytes());
    message.extend([0, 0, 0x51, 0x51]);
    message.extend(body);
    message
}

fn on(port: u32) -> Match {
    Match::new().in_port(PortNo(port))
}

fn to(port: u32) -> Action {
    Action::output(PortNo(port))
}

fn group(
    command: GroupCommand,
    kind: GroupType,
    id: u32,
    buckets: Vec<Bucket>,
) -> Message<'static> {
    Message::GroupMod(GroupMod { command, kind, group_id: GroupId(id), buckets })
}

fn watching(port: u32, actions: Vec<Action>) -> Bucket {
    Bucket { watch_port: PortNo(port), ..Bucket::new(actions) }
}

fn weighing(weight: u16, actions: Vec<Action>) -> Bucket {
    Bucket { weight, ..Bucket::new(actions) }
}

fn meter(command: MeterCommand, flags: u16, id: u32, bands: &[(u32, u32)]) -> Message<'static> {
    let band = |(rate, burst_size): &(u32, u32)| MeterBand {
        rate: *rate,
        burst_size: *burst_size,
        kind: MeterBandKind::Drop,
    };
    let bands = bands.iter().map(band).collect();
    Message::MeterMod(MeterMod { command, flags: MeterFlags(flags), meter_id: MeterId(id), bands })
}

fn metered(port: u32, id: u32) -> FlowMod {
    let mut flow = FlowMod::add(on(port)).cookie(Cookie(u64::from(id)));
    flow.instructions.push(Instruction::Meter(id));
    flow.instructions.push(Instruction::Apply([to(2)].into()));
    flow
}

fn everything() -> FlowStatsRequest {
    FlowStatsRequest::of(Match::new())
}

/// What is sent, by a name for people: `quiet …` where frames do not come to the controller.
pub(crate) fn requests(version: Version) -> Vec<(String, Vec<u8>)> {
    let mut list: Vec<(String, Vec<u8>)> = Vec::new();
    let mut quiet = false;
    let mut message = |message: Message<'static>| {
        quiet |= matches!(message, Message::RoleRequest(_));
        let name = format!("{}{message:?}", if quiet { "quiet " } else { "" });
        let encoded = bytes(version, 0x5151, &message);
        list.extend(encoded.map(|bytes| (name, bytes)));
    };
    // What every switch is asked.
    message(Message::EchoRequest(b"hello"[..].into()));
    message(Message::FeaturesRequest);
    message(Message::GetConfigRequest);
    for flags in [0, 1, 2, 3, 7] {
        let config = SwitchConfig { flags: ConfigFlags(flags), miss_send_len: 77 };
        message(Message::SetConfig(config));
        message(Message::GetConfigRequest);
    }
    message(Message::SetConfig(SwitchConfig { flags: ConfigFlags(0), miss_send_len: 0xffff }));
    message(Message::BarrierRequest);
    // Statistics.
    message(Message::FlowMod(FlowMod::add(on(1)).cookie(Cookie(7)).apply(vec![to(2)])));
    message(Message::FlowMod(FlowMod::add(on(2)).table(TableId(3)).timeouts(60, 90)));
    for port in [1, 2, 9, PortNo::LOCAL.0, PortNo::ANY.0, PortNo::ALL.0, 0] {
        message(Message::PortStatsRequest { port: PortNo(port) });
        message(Message::QueueGetConfigRequest { port: PortNo(port) });
        for queue_id in [0, u32::MAX] {
            message(Message::QueueStatsRequest { port: PortNo(port), queue_id });
        }
    }
    message(Message::AggregateStatsRequest(everything()));
    message(Message::FlowStatsRequest(FlowStatsRequest { out_port: PortNo(2), ..everything() }));
    message(Message::FlowStatsRequest(FlowStatsRequest { table_id: TableId(3), ..everything() }));
    message(Message::FlowStatsRequest(FlowStatsRequest { table_id: TableId(200), ..everything() }));
    message(Message::FlowStatsRequest(FlowStatsRequest { out_group: GroupId(1), ..everything() }));
    message(Message::AggregateStatsRequest(FlowStatsRequest {
        cookie: Cookie(7),
        cookie_mask: 7,
        ..everything()
    }));
    message(Message::TableStatsRequest);
    message(Message::PortDescriptionRequest);
    message(Message::GroupFeaturesRequest);
    message(Message::MeterFeaturesRequest);
    message(Message::TableFeaturesRequest { tables: Vec::new(), more: false });
    message(Message::ExperimenterStatsRequest {
        experimenter: 0x1234,
        body: vec![0; 8].into(),
        more: false,
    });
    message(Message::Experimenter { experimenter: 0x1234, body: vec![0; 8].into() });
    // Ports.
    for (port, mac) in [(9, MacAddr::ZERO), (1, MacAddr::from_u64(1))] {
        message(Message::PortMod(PortMod {
            port_no: PortNo(port),
            hw_addr: mac,
            config: PortConfig(0),
            mask: PortConfig(1),
            advertise: 0,
        }));
    }
    // Packet-outs from and to odd ports, and of buffers that are not there.
    for in_port in [0, 9, PortNo::LOCAL.0, PortNo::CONTROLLER.0, PortNo::ALL.0, PortNo::TABLE.0] {
        let mut packet = PacketOut::to_port(PortNo(2), vec![0; 60]);
        packet.in_port = PortNo(in_port);
        message(Message::PacketOut(packet));
    }
    // Not ports above 65,279: to Open vSwitch they are none, to 1.3 they are.
    let special = [PortNo::ANY, PortNo::TABLE, PortNo::NORMAL, PortNo::LOCAL, PortNo::FLOOD];
    for port in special {
        message(Message::PacketOut(PacketOut::to_port(port, vec![0; 60])));
    }
    message(Message::PacketOut(PacketOut::to_port(PortNo(1), vec![0; 13])));
    message(Message::PacketOut(PacketOut::to_port(PortNo(1), vec![])));
    for buffer in [0, 0x1234] {
        let mut packet = PacketOut::to_port(PortNo(2), vec![]);
        packet.buffer_id = Some(BufferId(buffer));
        message(Message::PacketOut(packet));
    }
    // Flow-mods with mistakes.
    message(Message::FlowMod(FlowMod::add(on(1)).buffer(Some(BufferId(5)))));
    message(Message::FlowMod(FlowMod::add(Match::new().eth_type(0x0800u16)).priority(9)));
    let overlapping = FlowMod::add(on(3)).priority(9).flags(FlowModFlags::CHECK_OVERLAP);
    message(Message::FlowMod(overlapping));
    message(Message::FlowMod(FlowMod::new(FlowModCommand(7), on(1))));
    message(Message::FlowMod(FlowMod::add(on(1)).flags(FlowModFlags(0x4000))));
    message(Message::FlowMod(FlowMod::add(on(1)).table(TableId(254))));
    message(Message::FlowMod(FlowMod::add(on(1)).table(TableId(255))));
    message(Message::FlowMod(FlowMod::modify(on(1)).table(TableId(255))));
    message(Message::FlowMod(FlowMod::add(Match::new().ip_proto(6u8))));
    message(Message::FlowMod(FlowMod::add(on(1).in_port(PortNo(2)))));
    message(Message::FlowMod(metered(1, 1)));
    message(Message::FlowMod(metered(1, 0)));
    message(Message::FlowMod(FlowMod::add(on(1)).apply(vec![Action::Group(GroupId(1))])));
    message(Message::FlowMod(FlowMod::add(on(1)).apply(vec![Action::SetQueue(1), to(2)])));
    // Groups, right and wrong.
    let (add, modify) = (GroupCommand::ADD, GroupCommand::MODIFY);
    let (all, select, indirect, failover) =
        (GroupType::ALL, GroupType::SELECT, GroupType::INDIRECT, GroupType::FAST_FAILOVER);
    let plain = |port| Bucket::new(vec![to(port)]);
    let mut groups = vec![
        group(add, all, 1, vec![plain(2), plain(3)]),
        group(add, all, 1, vec![plain(2)]),
        group(modify, indirect, 2, vec![plain(2)]),
        group(add, indirect, 2, vec![]),
        group(add, indirect, 2, vec![plain(1), plain(2)]),
        group(add, indirect, 2, vec![plain(2)]),
        group(add, select, 3, vec![weighing(1, vec![to(2)]), weighing(0, vec![to(3)])]),
        group(add, all, 4, vec![weighing(1, vec![to(2)])]),
        group(add, failover, 4, vec![plain(2)]),
        group(add, failover, 4, vec![watching(2, vec![to(2)]), watching(3, vec![to(3)])]),
        group(add, all, 5, vec![watching(2, vec![to(2)])]),
        group(add, select, 5, vec![watching(2, vec![to(2)])]),
        group(add, all, 6, vec![Bucket::new(vec![Action::Group(GroupId(1))])]),
        group(add, all, 7, vec![Bucket::new(vec![Action::Group(GroupId(99))])]),
        group(add, all, 8, vec![Bucket::new(vec![Action::Group(GroupId(8))])]),
        group(add, all, 9, vec![]),
        group(add, GroupType(4), 10, vec![plain(1)]),
        group(GroupCommand(9), all, 10, vec![plain(1)]),
        group(GroupCommand(3), all, 10, vec![plain(1)]),
        group(GroupCommand::DELETE, all, 9, vec![plain(1)]),
        group(add, all, GroupId::MAX.0, vec![plain(1)]),
        group(add, all, GroupId::MAX.0 + 1, vec![plain(1)]),
        group(add, all, GroupId::ALL.0, vec![plain(1)]),
        group(add, all, 11, vec![Bucket::new(vec![Action::output(PortNo::ANY)])]),
        group(add, all, 11, vec![Bucket::new(vec![Action::PopVlan, to(1)])]),
        group(
            add,
            all,
            12,
            vec![Bucket::new(vec![
                Action::SetField(MatchField::Ipv4Src(std::net::Ipv4Addr::LOCALHOST.into())),
                to(1),
            ])],
        ),
        group(add, all, 13, vec![Bucket::new(vec![Action::PushVlan(0x1234)])]),
        group(add, all, 14, vec![Bucket::new(vec![to(1), to(2)])]),
        group(modify, select, 1, vec![weighing(1, vec![to(2)])]),
        group(modify, all, 1, vec![plain(2), plain(3), plain(4)]),
        Message::FlowMod(
            FlowMod::add(on(4))
                .cookie(Cookie(0x44))
                .flags(FlowModFlags::SEND_FLOW_REM)
                .apply(vec![Action::Group(GroupId(1)), Action::Group(GroupId(2))]),
        ),
        Message::GroupDescriptionRequest,
        Message::GroupStatsRequest { group_id: GroupId::ALL },
        Message::GroupStatsRequest { group_id: GroupId(1) },
        Message::GroupStatsRequest { group_id: GroupId(77) },
        Message::FlowStatsRequest(FlowStatsRequest { out_group: GroupId(1), ..everything() }),
        group(GroupCommand::DELETE, all, 77, vec![]),
        group(GroupCommand::DELETE, all, 1, vec![]),
        Message::FlowStatsRequest(everything()),
        Message::FlowMod(
            FlowMod::add(on(4)).cookie(Cookie(0x45)).apply(vec![Action::Group(GroupId(2))]),
        ),
        group(GroupCommand::DELETE, all, GroupId::ALL.0, vec![]),
        Message::FlowStatsRequest(everything()),
        Message::GroupDescriptionRequest,
    ];
    // Meters.
    let (add, modify) = (MeterCommand::ADD, MeterCommand::MODIFY);
    let remark =
        MeterBand { rate: 10, burst_size: 0, kind: MeterBandKind::DscpRemark { prec_level: 1 } };
    let with_band = |band: MeterBand| {
        Message::MeterMod(MeterMod {
            command: add,
            flags: MeterFlags(2),
            meter_id: MeterId(9),
            bands: vec![band],
        })
    };
    let many: Vec<(u32, u32)> = (1..=9).map(|rate| (rate, 0)).collect();
    groups.extend([
        meter(add, 2, 1, &[(10, 5)]),
        meter(add, 2, 1, &[(10, 5)]),
        meter(add, 2 | 4 | 8, 2, &[(10, 5), (20, 40)]),
        meter(add, 1, 3, &[(1000, 0)]),
        meter(add, 3, 4, &[(10, 5)]),
        meter(add, 0, 4, &[(10, 5)]),
        meter(add, 16, 5, &[(10, 5)]),
        meter(add, 2, 5, &[]),
        meter(add, 2, 6, &[(0, 0)]),
        meter(add, 2, 7, &many),
        meter(add, 2, 8, &many[..8]),
        meter(add, 2, 0, &[(10, 5)]),
        meter(add, 2, MeterId::MAX.0, &[(10, 5)]),
        meter(add, 2, MeterId::MAX.0 + 1, &[(10, 5)]),
        meter(add, 2, MeterId::CONTROLLER.0, &[(10, 5)]),
        meter(MeterCommand::DELETE, 0, MeterId::CONTROLLER.0, &[]),
        meter(add, 2, MeterId::SLOWPATH.0, &[(10, 5)]),
        meter(MeterCommand::DELETE, 0, MeterId::SLOWPATH.0, &[]),
        meter(add, 2, MeterId::ALL.0, &[(10, 5)]),
        meter(modify, 2, 77, &[(10, 5)]),
        meter(modify, 1, 1, &[(11, 0)]),
        meter(MeterCommand(3), 2, 1, &[(10, 5)]),
        with_band(remark),
        with_band(MeterBand {
            rate: 10,
            burst_size: 0,
            kind: MeterBandKind::Raw { kind: 9, body: vec![0; 4] },
        }),
        Message::FlowMod(metered(1, 1).flags(FlowModFlags::SEND_FLOW_REM)),
        Message::FlowMod(metered(2, 2)),
        Message::MeterStatsRequest { meter_id: MeterId::ALL },
        Message::MeterStatsRequest { meter_id: MeterId(1) },
        Message::MeterStatsRequest { meter_id: MeterId(77) },
        Message::MeterStatsRequest { meter_id: MeterId(0) },
        Message::MeterConfigRequest { meter_id: MeterId::ALL },
        Message::MeterConfigRequest { meter_id: MeterId(2) },
        Message::MeterConfigRequest { meter_id: MeterId(77) },
        meter(MeterCommand::DELETE, 0, 77, &[]),
        meter(MeterCommand::DELETE, 0, 1, &[]),
        Message::FlowStatsRequest(everything()),
        meter(MeterCommand::DELETE, 0, MeterId::ALL.0, &[]),
        Message::FlowStatsRequest(everything()),
    ]);
    // Tables.
    for (table, config) in [(0, 0), (0, 3), (0, 4), (254, 0), (255, 0)] {
        groups.push(Message::TableMod(TableMod { table_id: TableId(table), config }));
    }
    // Roles, and what is refused as a slave.
    let role = |role, generation_id| {
        Message::RoleRequest(RoleMessage {
            role,
            generation_id: if version == Version::V1_0 { 0 } else { generation_id },
        })
    };
    groups.extend([
        role(Role::NOCHANGE, 0),
        role(Role::MASTER, 5),
        role(Role::NOCHANGE, 0),
        role(Role::MASTER, 4),
        role(Role::SLAVE, 4),
        role(Role::EQUAL, 4),
        role(Role::MASTER, 6),
        role(Role(9), 7),
        Message::GetAsyncRequest,
        Message::SetAsync(AsyncConfig {
            packet_in: [7, 0],
            port_status: [7, 7],
            flow_removed: [15, 0],
        }),
        Message::GetAsyncRequest,
        Message::SetAsync(AsyncConfig {
            packet_in: [0xff, 0],
            port_status: [0xff, 0xff],
            flow_removed: [0xff, 0],
        }),
        Message::GetAsyncRequest,
        role(Role::SLAVE, 6),
        Message::FlowMod(FlowMod::add(on(3))),
        Message::PacketOut(PacketOut::to_port(PortNo(1), vec![0; 60])),
        group(GroupCommand::ADD, all, 1, vec![]),
        meter(add, 2, 1, &[(10, 5)]),
        Message::TableMod(TableMod { table_id: TableId(0), config: 0 }),
        Message::PortMod(PortMod {
            port_no: PortNo(1),
            hw_addr: MacAddr::ZERO,
            config: PortConfig(0),
            mask: PortConfig(0),
            advertise: 0,
        }),
        Message::SetConfig(SwitchConfig { flags: ConfigFlags(0), miss_send_len: 0xffff }),
        Message::AggregateStatsRequest(everything()),
        Message::FeaturesRequest,
        role(Role::MASTER, 6),
    ]);
    groups.into_iter().for_each(message);
    // Bytes that are no message.
    let old = version == Version::V1_0;
    let multipart = if old { 16 } else { 18 };
    let packet_out = 13;
    let mut odd = |name: &str, kind: u8, body: &[u8]| {
        list.push((name.to_owned(), raw(version, kind, body)));
    };
    odd("unknown type", 99, &[]);
    odd("features reply", 6, &[0; 24]);
    odd("barrier reply", if old { 19 } else { 21 }, &[]);
    odd("echo reply", 3, &[1, 2, 3]);
    odd("error", 1, &[0, 1, 0, 1]);
    odd("features request too long", 5, &[0]);
    odd("flow-mod too short", 14, &[0; 20]);
    odd("packet-out too short", packet_out, &[0; 3]);
    odd("multipart of unknown kind", multipart, &[0x12, 0x34, 0, 0, 0, 0, 0, 0]);
    odd("multipart too short", multipart, &[0, 0]);
    odd("port statistics too short", multipart, &[0, 4, 0, 0, 0, 0, 0, 0]);
    odd("description with a body", multipart, &[0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
    if old {
        odd("description with a body, old", multipart, &[0, 0, 0, 0, 1]);
    } else {
        odd("multipart reply", 19, &[0; 8]);
        odd("role request too short", 24, &[0; 4]);
        odd("role request too long", 24, &[0; 24]);
        odd("group-mod too short", 15, &[0; 4]);
        odd("meter-mod too short", 29, &[0; 4]);
        odd("set-async too short", 28, &[0; 20]);
        odd("a bucket of no length", 15, &[[0; 8], [0; 8], [0; 8]].concat());
    }
    list
}

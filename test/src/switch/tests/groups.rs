//! Groups, meters, queues, roles and what a switch says of itself.

use umlaut_openflow::{
    AsyncConfig, Bucket, Counter, FlowRemovedReason, GroupCommand, GroupMod, GroupType, MeterBand,
    MeterBandKind, MeterCommand, MeterFlags, MeterId, MeterMod, PacketIn, QueueProperty, Role,
    RoleMessage, TableProperty,
};

use super::*;

fn new() -> Bench {
    Bench::new(Version::V1_3)
}

fn group(
    command: GroupCommand,
    kind: GroupType,
    id: u32,
    buckets: Vec<Bucket>,
) -> Message<'static> {
    Message::GroupMod(GroupMod { command, kind, group_id: GroupId(id), buckets })
}

fn bucket(weight: u16, watch: u32, actions: Vec<Action>) -> Bucket {
    let watch_port = if watch == 0 { PortNo::ANY } else { PortNo(watch) };
    Bucket { weight, watch_port, ..Bucket::new(actions) }
}

impl Bench {
    fn done(&mut self, message: Message<'_>) {
        assert_eq!(self.ask(message), []);
    }

    /// Everything from port 1 to a group of these buckets.
    fn through(&mut self, kind: GroupType, buckets: Vec<Bucket>) {
        self.done(group(GroupCommand::ADD, kind, 1, buckets));
        self.flow(FlowMod::add(on(1)).apply(vec![Action::Group(GroupId(1))]));
    }
}

#[test]
fn a_group_of_all_sends_a_copy_through_each_bucket() {
    let mut bench = new();
    let set = Action::SetField(MatchField::EthSrc(MacAddr([2, 0, 0, 0, 0, 9]).into()));
    let buckets = vec![
        bucket(0, 0, vec![port(2), set.clone()]),
        bucket(0, 0, vec![port(3)]),
        bucket(0, 0, vec![port(1)]),
    ];
    bench.through(GroupType::ALL, buckets);
    let sent = bench.enter(1, &frame(&[]));
    // Never back to where it came from; a bucket is an action set: it outputs last, and changes its
    // own copy only.
    assert_eq!(ports(sent.clone()), [2, 3]);
    assert_eq!(sent[0].1[6..12], [2, 0, 0, 0, 0, 9]);
    assert_eq!(sent[1].1, frame(&[]));
    // What comes behind the group sees the packet as it was.
    bench.flow(FlowMod::add(on(1)).apply(vec![Action::Group(GroupId(1)), port(4)]));
    let sent = bench.enter(1, &frame(&[]));
    assert_eq!(sent[2], (4, frame(&[])));
}

#[test]
fn a_group_of_select_shares_conversations_by_weight_and_keeps_each_in_its_bucket() {
    let mut bench = new();
    let buckets =
        vec![bucket(3, 0, vec![port(2)]), bucket(0, 0, vec![port(3)]), bucket(1, 0, vec![port(4)])];
    bench.through(GroupType::SELECT, buckets);
    let datagram = |from: u16| {
        let (a, b) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        build::ethernet(B, A, &[], 0x0800, &build::udp(a, b, from, 2000, b"hello"))
    };
    let mut shares = [0; 5];
    for from in 0..400 {
        let [(at, _)] = &bench.enter(1, &datagram(from))[..] else { panic!("not one") };
        let [(again, _)] = &bench.enter(1, &datagram(from))[..] else { panic!("not one") };
        assert_eq!(at, again, "{from}");
        shares[*at as usize] += 1;
    }
    assert_eq!(shares[3], 0, "weight 0");
    assert!((230..370).contains(&shares[2]) && shares[2] + shares[4] == 400, "{shares:?}");
}

#[test]
fn fast_failover_takes_the_first_bucket_whose_port_or_group_is_live() {
    let mut bench = new();
    let watching = Bucket { watch_group: GroupId(9), ..bucket(0, 0, vec![port(4)]) };
    let failover = vec![bucket(0, 2, vec![port(2)]), bucket(0, 3, vec![port(3)]), watching];
    bench.done(group(
        GroupCommand::ADD,
        GroupType::FAST_FAILOVER,
        9,
        vec![bucket(0, 4, vec![port(4)])],
    ));
    bench.through(GroupType::FAST_FAILOVER, failover);
    let mut seen = Vec::new();
    for (down, up) in [(0, 0), (2, 0), (3, 0), (4, 0), (0, 3), (0, 2)] {
        for (number, is_up) in [(down, false), (up, true)] {
            bench.switch.set_link(PortNo(number), is_up, bench.now);
        }
        bench.outputs();
        seen.push(ports(bench.enter(1, &frame(&[]))));
    }
    assert_eq!(seen, [vec![2], vec![3], vec![4], vec![], vec![3], vec![2]]);
}

#[test]
fn indirect_groups_chain_and_a_loop_of_groups_ends() {
    let mut bench = new();
    let to_group = |id| vec![Bucket::new(vec![Action::Group(GroupId(id)), port(4)])];
    bench.done(group(GroupCommand::ADD, GroupType::INDIRECT, 2, vec![Bucket::new(vec![port(2)])]));
    bench.through(GroupType::INDIRECT, to_group(2));
    // Of group and output in one set, the output is not done.
    assert_eq!(ports(bench.enter(1, &frame(&[]))), [2]);
    bench.done(group(GroupCommand::MODIFY, GroupType::INDIRECT, 2, to_group(1)));
    assert_eq!(bench.enter(1, &frame(&[])), []);
    assert_eq!(bench.ask(Message::BarrierRequest), [Message::BarrierReply]);
}

#[test]
fn an_entry_goes_with_its_group_and_counts_are_told() {
    let mut bench = new();
    bench.through(GroupType::ALL, vec![bucket(0, 0, vec![port(2)]), bucket(0, 0, vec![port(3)])]);
    let told = FlowMod::add(on(1)).flags(FlowModFlags::SEND_FLOW_REM).cookie(Cookie(5));
    bench.flow(told.apply(vec![Action::Group(GroupId(1))]));
    bench.enter(1, &frame(&[]));
    bench.wait(3);
    let said = bench.ask(Message::GroupStatsRequest { group_id: GroupId(1) });
    let [Message::GroupStatsReply { groups, more: false }] = &said[..] else { panic!("{said:?}") };
    let once = Counter { packet_count: 1, byte_count: frame(&[]).len() as u64 };
    assert_eq!(groups[0].buckets, [once, once]);
    assert_eq!((groups[0].packet_count, groups[0].ref_count), (1, 1));
    assert_eq!(groups[0].duration, Duration::from_secs(3));
    let said = bench.ask(group(GroupCommand::DELETE, GroupType::ALL, GroupId::ALL.0, vec![]));
    let [Message::FlowRemoved(removed)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((removed.reason, removed.cookie), (FlowRemovedReason::GROUP_DELETE, Cookie(5)));
    assert_eq!(bench.switch.flow_count(), 0);
    assert_eq!(
        bench.refused(FlowMod::add(on(1)).apply(vec![Action::Group(GroupId(1))])),
        Some((2, 9))
    );
}

fn meter(
    command: MeterCommand,
    flags: MeterFlags,
    id: u32,
    bands: &[(u32, u32)],
) -> Message<'static> {
    let band = |(rate, burst_size): &(u32, u32)| MeterBand {
        rate: *rate,
        burst_size: *burst_size,
        kind: MeterBandKind::Drop,
    };
    let bands = bands.iter().map(band).collect();
    Message::MeterMod(MeterMod { command, flags, meter_id: MeterId(id), bands })
}

/// From port 1 through meter 1 to port 2.
fn metered() -> FlowMod {
    let mut flow = FlowMod::add(on(1)).apply(vec![port(2)]);
    flow.instructions.push(Instruction::Meter(1));
    flow
}

#[test]
fn a_meter_drops_what_is_above_its_rate_in_virtual_time() {
    let mut bench = new();
    bench.done(meter(MeterCommand::ADD, MeterFlags::PKTPS, 1, &[(10, 5)]));
    bench.flow(metered());
    let passed = |bench: &mut Bench, packets: usize| -> usize {
        (0..packets).map(|_| bench.enter(1, &frame(&[])).len()).sum()
    };
    assert_eq!(passed(&mut bench, 20), 5, "the burst");
    bench.now += Duration::from_millis(300);
    assert_eq!(passed(&mut bench, 20), 3, "ten a second");
    bench.wait(60);
    assert_eq!(passed(&mut bench, 20), 5, "no more than the burst is saved");
    let said = bench.ask(Message::MeterStatsRequest { meter_id: MeterId(1) });
    let [Message::MeterStatsReply { meters, more: false }] = &said[..] else { panic!("{said:?}") };
    let stats = &meters[0];
    assert_eq!((stats.packet_in_count, stats.bands[0].packet_count, stats.flow_count), (60, 47, 1));
    // The entry has counted what was dropped as well.
    assert_eq!(bench.switch.flows(bench.now)[0].packet_count, 60);
}

#[test]
fn a_meter_counts_bits_and_its_highest_band_drops() {
    let mut bench = new();
    let bits = frame(&[]).len() as u32 * 8;
    // Ten frames of burst, and a band above that is exceeded first.
    let bands = [(1, bits * 10 / 1000 + 1), (4, bits * 2 / 1000 + 1)];
    bench.done(meter(MeterCommand::ADD, MeterFlags(MeterFlags::KBPS.0 | 4), 1, &bands));
    bench.flow(metered());
    let passed = (0..30).filter(|_| !bench.enter(1, &frame(&[])).is_empty()).count();
    let said = bench.ask(Message::MeterStatsRequest { meter_id: MeterId::ALL });
    let [Message::MeterStatsReply { meters, .. }] = &said[..] else { panic!("{said:?}") };
    let dropped: Vec<u64> = meters[0].bands.iter().map(|band| band.packet_count).collect();
    assert_eq!(dropped[0], 0, "a packet is dropped by the band of the highest rate");
    assert_eq!(dropped[1] + passed as u64, 30);
    assert!((2..=4).contains(&passed), "{passed}");
}

#[test]
fn entries_go_with_their_meter_and_packet_ins_can_be_limited() {
    let mut bench = new();
    bench.done(meter(MeterCommand::ADD, MeterFlags::PKTPS, 1, &[(10, 0)]));
    bench.flow(metered().flags(FlowModFlags::SEND_FLOW_REM));
    // A reason that 1.3 does not have is told only who asks for it.
    bench.done(meter(MeterCommand::DELETE, MeterFlags(0), 1, &[]));
    assert_eq!(bench.switch.flow_count(), 0);
    let config = AsyncConfig { packet_in: [3, 0], port_status: [7, 0], flow_removed: [0x1f, 0] };
    bench.done(Message::SetAsync(config));
    bench.done(meter(MeterCommand::ADD, MeterFlags::PKTPS, 1, &[(10, 0)]));
    bench.flow(metered().flags(FlowModFlags::SEND_FLOW_REM));
    let said = bench.ask(meter(MeterCommand::DELETE, MeterFlags(0), 1, &[]));
    let [Message::FlowRemoved(removed)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(removed.reason, FlowRemovedReason::DELETE);
    assert_eq!(bench.refused(metered()), Some((12, 2)));

    bench.flow(FlowMod::add(on(1)).apply(vec![Action::output(PortNo::CONTROLLER)]));
    let controller = MeterId::CONTROLLER.0;
    bench.done(meter(MeterCommand::ADD, MeterFlags::PKTPS, controller, &[(2, 2)]));
    for _ in 0..9 {
        bench.switch.frame_input(PortNo(1), &frame(&[]), bench.now);
    }
    assert_eq!(bench.said().len(), 2);
}

#[test]
fn frames_are_counted_in_the_queue_by_which_they_leave() {
    for (version, to_queue) in [
        (Version::V1_0, vec![Action::Enqueue { port: PortNo(2), queue_id: 7 }, port(3)]),
        (Version::V1_3, vec![Action::SetQueue(7), port(2), Action::SetQueue(0), port(3)]),
    ] {
        let mut bench = Bench::new(version);
        let rate = vec![QueueProperty::MinRate(500)];
        bench.switch.add_queue(PortNo(2), 7, rate.clone(), bench.now);
        bench.flow(FlowMod::add(on(1)).apply(to_queue));
        assert_eq!(ports(bench.enter(1, &frame(&[]))), [2, 3]);
        let said = bench.ask(Message::QueueGetConfigRequest { port: PortNo(2) });
        let [Message::QueueGetConfigReply { queues, .. }] = &said[..] else { panic!("{said:?}") };
        assert_eq!((queues.len(), queues[1].queue_id), (2, 7));
        assert_eq!(queues[1].properties, rate);
        let mut counts = Vec::new();
        for (port, queue_id) in [(2, 0), (2, 7), (3, 0)] {
            let said = bench.ask(Message::QueueStatsRequest { port: PortNo(port), queue_id });
            let [Message::QueueStatsReply { queues, .. }] = &said[..] else { panic!("{said:?}") };
            counts.push(queues[0].tx_packets);
        }
        assert_eq!(counts, [0, 1, 1], "{version}");
        let unknown = Message::QueueStatsRequest { port: PortNo(3), queue_id: 7 };
        assert!(refusal(&bench.ask(unknown)).is_some());
    }
}

fn role(role: Role, generation_id: u64) -> Message<'static> {
    Message::RoleRequest(RoleMessage { role, generation_id })
}

#[test]
fn roles_follow_generations_over_reconnections() {
    let mut bench = new();
    let reply = |role, generation_id| [Message::RoleReply(RoleMessage { role, generation_id })];
    assert_eq!(bench.ask(role(Role::NOCHANGE, 0)), reply(Role::EQUAL, u64::MAX));
    assert_eq!(bench.ask(role(Role::MASTER, 7)), reply(Role::MASTER, 7));
    assert_eq!(refusal(&bench.ask(role(Role::SLAVE, 6))), Some((11, 0)));
    bench.switch.disconnected(bench.now);
    bench.connect();
    assert_eq!(bench.switch.role(), Role::EQUAL);
    assert_eq!(refusal(&bench.ask(role(Role::MASTER, 6))), Some((11, 0)));
    // Counted in a circle.
    assert_eq!(bench.ask(role(Role::MASTER, 7)), reply(Role::MASTER, 7));
    assert_eq!(bench.ask(role(Role::MASTER, 7 + (1 << 62))), reply(Role::MASTER, 7 + (1 << 62)));
}

#[test]
fn a_slave_reads_and_hears_of_ports_only() {
    for version in BOTH {
        let mut bench = Bench::new(version);
        bench.flow(FlowMod::add(on(1)).apply(vec![Action::output(PortNo::CONTROLLER)]));
        let told = FlowMod::add(on(2)).timeouts(0, 1).flags(FlowModFlags::SEND_FLOW_REM);
        bench.flow(told);
        bench.ask(role(Role::SLAVE, 0));
        let refused = if version == Version::V1_0 { (1, 5) } else { (1, 10) };
        assert_eq!(bench.refused(FlowMod::add(on(3))), Some(refused));
        let packet = Message::PacketOut(PacketOut::to_port(PortNo(2), frame(&[])));
        assert_eq!(refusal(&bench.ask(packet)), Some(refused));
        bench.wait(2);
        assert_eq!(bench.enter(1, &frame(&[])), []);
        assert_eq!(bench.said(), []);
        bench.switch.set_link(PortNo(4), false, bench.now);
        assert!(matches!(bench.said()[..], [Message::PortStatus(_)]));
        bench.ask(role(Role::MASTER, 0));
        bench.switch.frame_input(PortNo(1), &frame(&[]), bench.now);
        assert!(matches!(bench.said()[..], [Message::PacketIn(_)]), "{version}");
    }
}

#[test]
fn the_controller_chooses_what_it_is_told() {
    let mut bench = new();
    let to_controller = vec![Action::DecNwTtl, Action::output(PortNo::CONTROLLER)];
    bench.flow(FlowMod::add(on(1).eth_type(0x0800u16)).apply(to_controller));
    let mut dying = frame(&[]);
    dying[22] = 1;
    // By default nothing is told of packets whose time to live runs out.
    bench.switch.frame_input(PortNo(1), &dying, bench.now);
    assert_eq!(bench.said(), []);
    let config = AsyncConfig { packet_in: [4, 0], port_status: [1, 0], flow_removed: [0, 0] };
    assert_eq!(bench.ask(Message::SetAsync(config)), []);
    assert_eq!(bench.ask(Message::GetAsyncRequest), [Message::GetAsyncReply(config)]);
    bench.switch.frame_input(PortNo(1), &dying, bench.now);
    let said = bench.said();
    let [Message::PacketIn(PacketIn { reason, .. })] = &said[..] else { panic!("{said:?}") };
    assert_eq!(*reason, PacketInReason::INVALID_TTL);
    bench.switch.frame_input(PortNo(1), &frame(&[]), bench.now);
    bench.switch.set_link(PortNo(2), false, bench.now);
    assert_eq!(bench.said(), []);
    bench.switch.add_port(PortNo(9), bench.now);
    assert!(matches!(bench.said()[..], [Message::PortStatus(_)]));
}

#[test]
fn a_full_table_makes_room_if_it_may() {
    for version in BOTH {
        let mut bench = Bench::with(version, |options| {
            options.table_limit = Some(2);
            options.evicts = true;
        });
        bench.flow(FlowMod::add(on(1)).cookie(Cookie(1)).timeouts(60, 0));
        bench.flow(FlowMod::add(on(2)).cookie(Cookie(2)).timeouts(0, 10));
        bench.flow(FlowMod::add(on(3)).cookie(Cookie(3)));
        assert_eq!(bench.cookies(), [1, 3], "the one that would have gone first");
        bench.flow(FlowMod::add(on(4)).cookie(Cookie(4)));
        assert_eq!(bench.cookies(), [3, 4]);
        let full = if version == Version::V1_0 { (3, 0) } else { (5, 1) };
        assert_eq!(bench.refused(FlowMod::add(on(1))), Some(full), "what never expires stays");
    }
}

#[test]
fn table_features_promise_what_the_switch_accepts() {
    let mut bench = new();
    let mut tables = Vec::new();
    for message in bench.ask(Message::TableFeaturesRequest { tables: vec![], more: false }) {
        let Message::TableFeaturesReply { tables: part, .. } = message else {
            panic!("{message:?}")
        };
        tables.extend(part);
    }
    assert_eq!(tables.len(), 254);
    assert!(tables.iter().enumerate().all(|(id, table)| usize::from(table.table_id.0) == id));
    let refused = Message::TableFeaturesRequest { tables: vec![tables[0].clone()], more: false };
    assert_eq!(refusal(&bench.ask(refused)), Some((13, 5)));
    // Of every field that can be matched, one with a body of zeros is accepted or lacks only what
    // it stands on.
    let fields = tables[0].properties.iter().find_map(|property| match property {
        TableProperty::Wildcards(fields) => Some(fields),
        _ => None,
    });
    for field in fields.unwrap() {
        let mut oxm = vec![0x80, 0, field.field << 1, field.length];
        oxm.resize(4 + usize::from(field.length), 0);
        let length = 4 + oxm.len() as u16;
        let mut body = [0; 40].to_vec();
        body[18..20].copy_from_slice(&[0, 5]);
        body[20..32].copy_from_slice(&[0xff; 12]);
        body.extend([0, 1]);
        body.extend(length.to_be_bytes());
        body.extend(oxm);
        body.resize(40 + usize::from(length).next_multiple_of(8), 0);
        let mut message = vec![4, 14];
        message.extend((8 + body.len() as u16).to_be_bytes());
        message.extend([0; 4]);
        message.extend(body);
        bench.switch.control_input(&message, bench.now);
        let code = refusal(&bench.said());
        assert!(matches!(code, None | Some((4, 7 | 9))), "field {}: {code:?}", field.field);
    }
}

#[test]
fn tables_count_their_look_ups() {
    let mut bench = new();
    let mut on_to_5 = FlowMod::add(on(1)).table(TableId(0));
    let write = Instruction::WriteMetadata { metadata: 0xab, mask: 0xff };
    on_to_5.instructions = [write, Instruction::Goto(TableId(5))].into();
    bench.flow(on_to_5);
    let metadata = Masked { value: 0xa0, mask: Some(0xf0) };
    let marked = Match::new().with(MatchField::Metadata(metadata.into()));
    bench.flow(FlowMod::add(marked).table(TableId(5)).apply(vec![port(3)]));
    assert_eq!(ports(bench.enter(1, &frame(&[]))), [3]);
    bench.enter(2, &frame(&[]));
    let said = bench.ask(Message::TableStatsRequest);
    let [Message::TableStatsReply { tables, more: false }] = &said[..] else { panic!("many") };
    let counts =
        |id: usize| (tables[id].active_count, tables[id].lookup_count, tables[id].matched_count);
    assert_eq!((counts(0), counts(5), counts(1)), ((1, 2, 1), (1, 1, 1), (0, 0, 0)));
}

//! Random messages and frames over few values, so that they meet often: flow-mods over three tables
//! with metadata, groups of all kinds, meters, port-mods, packet-outs, questions, and mistakes in all.
//!
//! The two switches differ on purpose, and the generator keeps away, where Open vSwitch
//!
//! - reads one tag of a frame only: behind a pop it knows neither a tag nor what is in it;
//! - writes IP addresses to wrong places behind a push, and keeps two of three tags;
//! - does not copy VID and PCP into a new tag;
//! - lets the action set of a packet out that a miss in a later table drops;
//! - mends a "checksum" in the data of later fragments of TCP and UDP;
//! - remembers of a match that leaves out a prerequisite that it was one of Ethernet;
//! - knows no ports above 65,279;
//! - loses the whole packet in a loop of groups, not only what is in the loop;
//! - chooses the bucket of a select group by a hash of its own, and counts it by and by;
//! - does by and by what takes it time: dropping by meters, ports that go down, time-outs.
//!
//! These have tests of their own beside the emulated switch.

use std::net::Ipv4Addr;

use umlaut_openflow::{
    Action, Bucket, BufferId, Cookie, FlowMod, FlowModCommand, FlowModFlags, FlowStatsRequest,
    GroupCommand, GroupId, GroupMod, GroupType, Instruction, MacAddr, Masked, Match, MatchField,
    MaxLen, Message, MeterBand, MeterBandKind, MeterCommand, MeterFlags, MeterId, MeterMod,
    PacketOut, PortConfig, PortMod, PortNo, TableId, Version, VlanMatch, build,
};

/// The ports of both switches.
pub(crate) const PORTS: [u32; 4] = [1, 2, 3, 4];

/// Splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % limit.max(1) as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

fn mac(random: &mut Random) -> MacAddr {
    MacAddr::from_u64(random.pick(&[1, 2, 3, 0xffff_ffff_ffff, 0x0100_5e00_0001]))
}

fn ip(random: &mut Random) -> Ipv4Addr {
    Ipv4Addr::from(random.pick(&[0x0a00_0001u32, 0x0a00_0002, 0x0a00_0101, 0xc0a8_0001]))
}

fn tp_port(random: &mut Random) -> u16 {
    random.pick(&[0u16, 7, 80, 8080])
}

/// A frame of one of many kinds, sometimes tagged, fragmented or cut short.
pub(crate) fn frame(random: &mut Random, version: Version) -> Vec<u8> {
    let tags: &[(u16, u16)] = match random.below(10) {
        0..5 => &[],
        5 => &[(0x8100, 5)],
        6 => &[(0x8100, 0x6006)],
        7 => &[(0x8100, 0x2000)],
        // Of three tags, after a push, Open vSwitch keeps two.
        8 if version == Version::V1_0 => &[(0x8100, 5), (0x8100, 6)],
        _ => &[(0x88a8, 5)],
    };
    let (src, dst) = (ip(random), ip(random));
    let (tp_src, tp_dst) = (tp_port(random), tp_port(random));
    let (a, b) = (mac(random), MacAddr::from_u64(random.pick(&[1, 2, 3])));
    let data = vec![b'x'; 18 + random.below(40)];
    let (eth_type, mut payload) = match random.below(9) {
        0 | 1 => (0x0800, build::udp(src, dst, tp_src, tp_dst, &data)),
        2 => (0x0800, build::tcp(src, dst, tp_src, tp_dst, 0x10, &data)),
        3 => (0x0800, build::icmp_echo(random.pick(&[0, 8]), src, dst, 1, 1, &data)),
        4 => (0x0806, build::arp(random.pick(&[1, 2]), b, src, MacAddr::ZERO, dst)),
        5 => {
            let from = b.to_u64() as u16;
            let at = |n| std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n);
            (0x86dd, build::neighbour_solicitation(b, at(from), at(from + 1)))
        }
        6 => (random.pick(&[0x1234, 0x88cc]), data),
        7 => (64, vec![0x42; 64]),
        _ => (
            50,
            [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &build::udp(src, dst, tp_src, tp_dst, &data)]
                .concat(),
        ),
    };
    if eth_type == 0x0800 && random.one_in(6) {
        // Open vSwitch mends a "checksum" in the data of later fragments of TCP and UDP.
        let fragment = match payload[9] {
            1 => random.pick(&[0x2000u16, 0x2005, 0x0005]),
            _ => 0x2000,
        };
        payload[6..8].copy_from_slice(&fragment.to_be_bytes());
        payload[10..12].copy_from_slice(&[0, 0]);
        let sum = build::checksum(&[&payload[..20]]);
        payload[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    let mut frame = build::ethernet(a, b, tags, eth_type, &payload);
    if random.one_in(12) {
        frame.truncate(14 + random.below(frame.len() - 14));
    }
    frame
}

/// A match, with its prerequisites or not.
fn matches(random: &mut Random, version: Version, may_stray: bool) -> Match {
    let old = version == Version::V1_0;
    let mut list: Vec<MatchField> = Vec::new();
    if random.one_in(3) {
        list.push(MatchField::InPort(PortNo(random.pick(&PORTS))));
    }
    let station = |random: &mut Random| {
        let value = mac(random);
        match random.below(4) {
            0 if !old => Masked {
                value: MacAddr::from_u64(value.to_u64() & 3),
                mask: Some(MacAddr::from_u64(3)),
            },
            _ => Masked::from(value),
        }
    };
    if random.one_in(4) {
        list.push(MatchField::EthDst(station(random)));
    }
    if random.one_in(4) {
        list.push(MatchField::EthSrc(station(random)));
    }
    let proto = random.pick(&[1u8, 6, 17]);
    let eth_type = random.pick(&[0x0800u16, 0x0800, 0x0806, 0x86dd, 0x1234, 0x05ff]);
    // Now and then a field stands without its prerequisite.
    let stray = may_stray && random.one_in(8);
    if random.one_in(2) && !stray {
        list.push(MatchField::EthType(eth_type));
    }
    if !old && random.one_in(6) {
        let metadata = match random.below(2) {
            0 => Masked { value: random.below(2) as u64, mask: Some(1) },
            _ => Masked { value: random.below(4) as u64, mask: None },
        };
        list.push(MatchField::Metadata(metadata.into()));
    }
    if random.one_in(3) {
        let vlan = match random.below(if old { 3 } else { 5 }) {
            0 => VlanMatch::Absent,
            1 => VlanMatch::Tagged(5),
            2 => VlanMatch::Tagged(6),
            3 => VlanMatch::Present,
            _ => VlanMatch::Raw { value: 0x1004, mask: Some(0x1004) },
        };
        list.push(MatchField::VlanVid(vlan));
        if vlan != VlanMatch::Absent && random.one_in(3) {
            list.push(MatchField::VlanPcp(random.pick(&[0, 1, 3])));
        }
    }
    let has_type = list.contains(&MatchField::EthType(eth_type));
    let address = |random: &mut Random| {
        let value = ip(random);
        match random.below(3) {
            0 => Masked {
                value: Ipv4Addr::from(u32::from(value) & 0xffff_ff00),
                mask: Some(Ipv4Addr::from(0xffff_ff00u32)),
            },
            _ => Masked::from(value),
        }
    };
    match eth_type {
        0x0800 if has_type || stray => {
            if random.one_in(3) {
                list.push(MatchField::IpDscp(random.pick(&[0, 10])));
            }
            let has_proto = random.one_in(2);
            if has_proto {
                list.push(MatchField::IpProto(proto));
            }
            if random.one_in(3) {
                list.push(MatchField::Ipv4Src(address(random)));
            }
            if random.one_in(3) {
                list.push(MatchField::Ipv4Dst(address(random)));
            }
            if has_proto && random.one_in(2) {
                list.push(match proto {
                    1 => MatchField::Icmpv4Type(random.pick(&[0, 8])),
                    6 => MatchField::TcpDst(tp_port(random)),
                    _ => MatchField::UdpSrc(tp_port(random)),
                });
            }
        }
        0x0806 if has_type => {
            if random.one_in(2) {
                list.push(MatchField::ArpOp(random.pick(&[1, 2])));
            }
            if random.one_in(3) {
                list.push(MatchField::ArpSpa(address(random)));
            }
            if random.one_in(3) {
                list.push(MatchField::ArpTpa(address(random)));
            }
        }
        0x86dd if has_type && !old && random.one_in(2) => {
            list.push(MatchField::IpProto(58));
            list.push(MatchField::Icmpv6Type(random.pick(&[135, 136])));
        }
        _ => {}
    }
    list.into_iter().collect()
}

/// Up to four actions; now and then one that is not allowed.
pub(crate) fn actions(random: &mut Random, version: Version) -> Vec<Action> {
    let old = version == Version::V1_0;
    let mut list = Vec::new();
    for _ in 0..random.below(5) {
        let output = |random: &mut Random| {
            let port = match random.below(12) {
                0 => PortNo::IN_PORT,
                1 => PortNo::FLOOD,
                2 => PortNo::ALL,
                3 => PortNo::CONTROLLER,
                4 => PortNo(9),
                _ => PortNo(random.pick(&PORTS)),
            };
            Action::Output { port, max_len: MaxLen::NO_BUFFER }
        };
        let action = match random.below(16) {
            0 if old => Action::SetVlanVid(random.pick(&[0, 5, 6, 4095])),
            1 if old => Action::SetVlanPcp(random.pick(&[0, 5])),
            0 => {
                // The new tag takes VID and PCP from the one below, but not in Open vSwitch.
                list.push(Action::PushVlan(random.pick(&[0x8100, 0x88a8])));
                list.push(Action::SetField(MatchField::VlanPcp(random.pick(&[0, 5]))));
                Action::SetField(MatchField::VlanVid(VlanMatch::Tagged(6)))
            }
            1 => Action::SetField(MatchField::VlanVid(VlanMatch::Tagged(random.pick(&[5, 6])))),
            2 => Action::PopVlan,
            3 => Action::SetField(MatchField::EthSrc(mac(random).into())),
            4 => Action::SetField(MatchField::EthDst(mac(random).into())),
            5 => Action::SetField(MatchField::Ipv4Src(ip(random).into())),
            6 => Action::SetField(MatchField::Ipv4Dst(ip(random).into())),
            7 => Action::SetField(MatchField::IpDscp(random.pick(&[0, 46]))),
            8 if old => Action::SetField(MatchField::TpSrc(tp_port(random))),
            8 => Action::SetField(MatchField::UdpSrc(tp_port(random))),
            9 if old => Action::SetField(MatchField::TpDst(tp_port(random))),
            9 => Action::SetField(MatchField::TcpDst(tp_port(random))),
            10 if random.one_in(6) => {
                Action::output(random.pick(&[PortNo::ANY, PortNo(0), PortNo(0xfeff)]))
            }
            11 if !old => Action::Group(GroupId(random.below(5) as u32)),
            12 if !old => Action::SetQueue(0),
            13 if random.one_in(6) && !old => random.pick(&[
                Action::PushVlan(0x9999),
                Action::SetField(MatchField::EthType(5)),
                Action::SetField(MatchField::InPort(PortNo(5))),
                Action::DecNwTtl,
            ]),
            _ => output(random),
        };
        list.push(action);
    }
    // Open vSwitch reads no second tag: behind a pop, it knows neither a tag nor what is in it.
    // Behind a push it writes IP addresses to wrong places, and of three tags it keeps two.
    let (mut popped, mut pushed) = (false, false);
    list.retain(|action| {
        let kept = match action {
            Action::Output { .. } => true,
            Action::SetField(MatchField::VlanVid(_) | MatchField::VlanPcp(_)) => !popped,
            _ => !popped && !pushed,
        };
        popped |= kept && *action == Action::PopVlan;
        pushed |= matches!(action, Action::PushVlan(_));
        kept
    });
    list
}

/// A group of any kind, few numbers, now and then one that is none. Which bucket a packet of a select
/// group takes is left open: there is one bucket that counts. A group names only higher ones, and so
/// never itself: in Open vSwitch such a loop loses the whole packet, here what is in the loop.
pub(crate) fn group_mod(random: &mut Random, version: Version) -> GroupMod {
    let command = random.pick(&[
        GroupCommand::ADD,
        GroupCommand::ADD,
        GroupCommand::MODIFY,
        GroupCommand::DELETE,
    ]);
    let kind = random.pick(&[
        GroupType::ALL,
        GroupType::ALL,
        GroupType::SELECT,
        GroupType::INDIRECT,
        GroupType::FAST_FAILOVER,
    ]);
    let group_id = random.below(5) as u32;
    let mut buckets = Vec::new();
    for place in 0..random.below(4) {
        let mut actions: Vec<Action> = actions(random, version)
            .into_iter()
            .filter(|action| !matches!(action, Action::Group(_) | Action::PushVlan(_)))
            .collect();
        if group_id < 4 && random.one_in(6) {
            actions.push(Action::Group(GroupId(group_id + 1)));
        }
        let mut bucket = Bucket::new(actions);
        let watches = match kind {
            GroupType::FAST_FAILOVER => !random.one_in(12),
            GroupType::SELECT => false,
            _ => random.one_in(20),
        };
        if watches {
            bucket.watch_port = PortNo(random.pick(&[1, 2, 3, 4, 9]));
        }
        let weighs = if kind == GroupType::SELECT { place == 0 } else { random.one_in(30) };
        bucket.weight = u16::from(weighs);
        buckets.push(bucket);
    }
    if command == GroupCommand::DELETE && !random.one_in(8) {
        buckets.clear();
    }
    if kind == GroupType::INDIRECT && !random.one_in(6) {
        buckets.truncate(1);
    }
    GroupMod { command, kind, group_id: GroupId(group_id), buckets }
}

/// A meter that never drops: time is not stopped in Open vSwitch.
pub(crate) fn meter_mod(random: &mut Random) -> MeterMod {
    let command = random.pick(&[MeterCommand::ADD, MeterCommand::MODIFY, MeterCommand::DELETE]);
    let band = |random: &mut Random| MeterBand {
        rate: random.pick(&[1_000_000, 2_000_000, 0]),
        burst_size: random.pick(&[0, 1_000_000]),
        kind: MeterBandKind::Drop,
    };
    let bands = (0..random.below(3)).map(|_| band(random)).collect();
    MeterMod {
        command,
        flags: MeterFlags(random.pick(&[1, 2, 6, 10, 3])),
        meter_id: MeterId(random.below(4) as u32),
        bands,
    }
}

/// The only port whose configuration changes.
pub(crate) const MUTABLE: u32 = 4;
/// 1.0 only: not to be flooded to.
const NO_FLOOD: u32 = 16;

/// Lets a port send or not, be flooded to or not; with mistakes. Not what would keep markers from
/// coming in or to the controller: no packet-ins, no reception. And not down: Open vSwitch takes a while.
pub(crate) fn port_mod(random: &mut Random, version: Version, address: MacAddr) -> PortMod {
    let bit = match random.below(2) {
        0 if version == Version::V1_0 => NO_FLOOD,
        _ => PortConfig::NO_FWD.0,
    };
    PortMod {
        port_no: PortNo(if random.one_in(6) { 9 } else { MUTABLE }),
        hw_addr: if random.one_in(6) { MacAddr::from_u64(1) } else { address },
        config: PortConfig(random.pick(&[0, 0, bit])),
        mask: PortConfig(random.pick(&[0, bit, bit])),
        advertise: 0,
    }
}

/// A request for statistics of some kind.
pub(crate) fn question(random: &mut Random, version: Version) -> Message<'static> {
    let selection = |random: &mut Random| FlowStatsRequest {
        table_id: random.pick(&[TableId::ALL, TableId(0), TableId(1)]),
        out_port: PortNo(random.pick(&[PortNo::ANY.0, 1, 2])),
        cookie: Cookie(random.below(4) as u64),
        cookie_mask: random.pick(&[0, 1, 3]),
        ..FlowStatsRequest::of(matches(random, version, false))
    };
    match random.below(12) {
        0 => Message::FlowStatsRequest(selection(random)),
        1 => Message::AggregateStatsRequest(selection(random)),
        2 => Message::TableStatsRequest,
        3 => Message::PortStatsRequest { port: PortNo(random.pick(&[1, 9, PortNo::ANY.0])) },
        4 => Message::QueueStatsRequest {
            port: PortNo(random.pick(&[1, 9, PortNo::ANY.0])),
            queue_id: random.pick(&[0, 3, u32::MAX]),
        },
        5 => Message::GroupStatsRequest { group_id: GroupId(random.pick(&[1, 2, GroupId::ALL.0])) },
        6 => Message::MeterStatsRequest { meter_id: MeterId(random.pick(&[1, 2, MeterId::ALL.0])) },
        7 => Message::MeterConfigRequest { meter_id: MeterId(random.pick(&[1, MeterId::ALL.0])) },
        8 => Message::GroupDescriptionRequest,
        9 => Message::PortDescriptionRequest,
        10 => Message::GetConfigRequest,
        _ => Message::FeaturesRequest,
    }
}

/// A priority from 101 that equal matches share and others hardly (FNV-1a).
fn own_priority(matches: &Match) -> u16 {
    let text = format!("{:?}", matches.fields());
    let hash =
        text.bytes().fold(0x811c_9dc5u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
    101 + (hash % 60_000) as u16
}

/// A flow-mod without time-outs, priority below 65,535.
pub(crate) fn flow_mod(random: &mut Random, version: Version) -> FlowMod {
    let old = version == Version::V1_0;
    let command = match random.below(12) {
        0 => FlowModCommand::MODIFY,
        1 => FlowModCommand::MODIFY_STRICT,
        2 => FlowModCommand::DELETE,
        3 | 4 => FlowModCommand::DELETE_STRICT,
        _ => FlowModCommand::ADD,
    };
    let shared = command == FlowModCommand::ADD && random.one_in(3);
    // Open vSwitch remembers of a dropped field that it was one of Ethernet: to a selection, that is
    // another match than the same without.
    let may_stray = command == FlowModCommand::ADD && !shared;
    let mut flow = FlowMod::new(command, matches(random, version, may_stray));
    // Which of two overlapping entries of one priority wins is left open: so each match has its own
    // priority, or the overlap is checked.
    flow.priority = if shared { 100 } else { own_priority(&flow.matches) };
    flow.cookie = Cookie(random.below(4) as u64);
    let deletes = matches!(command, FlowModCommand::DELETE | FlowModCommand::DELETE_STRICT);
    if deletes && random.one_in(3) {
        flow.out_port = PortNo(random.pick(&PORTS));
    }
    if !old && command != FlowModCommand::ADD && random.one_in(3) {
        flow.cookie_mask = 3;
    }
    if !old && random.one_in(10) {
        flow.table_id = TableId(random.pick(&[0, 1, 2]));
    }
    if random.one_in(4) {
        flow.flags.0 |= FlowModFlags::SEND_FLOW_REM.0;
    }
    if shared || random.one_in(6) && command == FlowModCommand::ADD {
        flow.flags.0 |= FlowModFlags::CHECK_OVERLAP.0;
    }
    if random.one_in(40) && command == FlowModCommand::ADD {
        flow.buffer_id = Some(BufferId(77));
    }
    let list = actions(random, version);
    if !list.is_empty() && !deletes {
        flow.instructions.push(Instruction::Apply(list.clone().into()));
    }
    let writes = random.one_in(6);
    let retags = |a: &Action| matches!(a, Action::PopVlan | Action::PushVlan(_));
    if !old && !deletes && writes {
        let output = Action::output(PortNo(random.pick(&PORTS)));
        let written = match random.below(3) {
            // Not behind a push: what the bucket writes would go to wrong places.
            0 if !list.iter().any(retags) => {
                vec![output, Action::Group(GroupId(random.below(5) as u32))]
            }
            _ => vec![output],
        };
        flow.instructions.push(Instruction::Write(written.into()));
    }
    if !old && !deletes && random.one_in(8) {
        flow.instructions.push(Instruction::Meter(random.below(4) as u32));
    }
    // A packet that is dropped by a miss in a later table leaves Open vSwitch by its action set.
    if !old && !deletes && !writes && !list.iter().any(retags) && random.one_in(4) {
        if random.one_in(2) {
            let (metadata, mask) = (random.below(4) as u64, random.pick(&[1, 2, 3, u64::MAX]));
            flow.instructions.push(Instruction::WriteMetadata { metadata, mask });
        }
        flow.instructions.push(Instruction::Goto(TableId(random.pick(&[1, 2, 2, 0]))));
    }
    flow
}

fn is_stacked(frame: &[u8]) -> bool {
    frame.get(12..18).is_some_and(|bytes| bytes[..2] == [0x81, 0] && bytes[4..] == [0x81, 0])
}

/// A packet-out of a random frame.
pub(crate) fn packet_out(random: &mut Random, version: Version) -> PacketOut<'static> {
    let in_port = match random.below(6) {
        0 => PortNo::ANY,
        1 => PortNo::CONTROLLER,
        _ => PortNo(random.pick(&PORTS)),
    };
    let mut actions = actions(random, version);
    let frame = frame(random, version);
    // Open vSwitch reads no second tag, and so sees no tag where it has popped the first.
    let pushes = actions.iter().any(|action| matches!(action, Action::PushVlan(_)));
    let blind = is_stacked(&frame) && actions.contains(&Action::PopVlan);
    if random.one_in(4) && !pushes && !blind {
        actions.push(Action::output(PortNo::TABLE));
    }
    if random.one_in(10) {
        let special = [PortNo::LOCAL, PortNo::ALL, PortNo::FLOOD, PortNo::IN_PORT];
        actions.push(Action::output(random.pick(&special)));
    }
    PacketOut { buffer_id: None, in_port, actions: actions.into(), data: frame.into() }
}

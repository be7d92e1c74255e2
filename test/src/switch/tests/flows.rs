//! Flow tables as a controller sees them.

use std::time::{Duration, Instant};

use umlaut_openflow::{
    Action, Cookie, FlowMod, FlowModCommand, FlowModFlags, FlowRemovedReason, FlowStatsRequest,
    GroupId, Instruction, MacAddr, Masked, Match, MatchField, Message, PortNo, TableId, Version,
    VlanMatch, build,
};

use super::{A, B, BOTH, Bench, IntoMasked, frame, frames, messages, on, port, ports};
use crate::layout::Packet;
use crate::random::Random;
use crate::switch::key::{Criteria, key_of};
use crate::switch::table::Tables;

#[test]
fn the_entry_of_highest_priority_wins() {
    for version in BOTH {
        let mut bench = Bench::new(version);
        bench.flow(FlowMod::add(Match::new()).priority(1).apply(vec![port(4)]));
        bench.flow(FlowMod::add(on(1).eth_src(A)).priority(10).apply(vec![port(3)]));
        bench.flow(FlowMod::add(on(1)).priority(20).apply(vec![port(2)]));
        assert_eq!(ports(bench.enter(1, &frame(&[]))), [2]);
        bench.flow(FlowMod::delete_strict(on(1), 20));
        assert_eq!(ports(bench.enter(1, &frame(&[]))), [3]);
        assert_eq!(ports(bench.enter(2, &frame(&[]))), [4]);
    }
}

#[test]
fn entries_match_by_every_field_that_a_frame_has() {
    let (a, b) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let udp = frame(&[(0x8100, 0x6007)]);
    let arp = build::ethernet(B, A, &[], 0x0806, &build::arp(1, A, a.into(), B, b.into()));
    let ping =
        build::ethernet(B, A, &[], 0x0800, &build::icmp_echo(8, a.into(), b.into(), 1, 1, b"x"));
    let mut late = frame(&[]);
    late[20..22].copy_from_slice(&[0, 5]);
    let ip = || Match::new().eth_type(0x0800u16);
    let prefix = |ip: [u8; 4], mask: [u8; 4]| Masked { value: ip.into(), mask: Some(mask.into()) };
    // match, frame, whether it matches in 1.0, whether in 1.3 (None: refused)
    let table: Vec<(Match, &[u8], bool, Option<bool>)> = vec![
        (Match::new().eth_dst(B).eth_src(A), &udp, true, Some(true)),
        (Match::new().eth_dst(A), &udp, false, Some(false)),
        (Match::new().vlan_vid(VlanMatch::Tagged(7)), &udp, true, Some(true)),
        (Match::new().vlan_vid(VlanMatch::Tagged(8)), &udp, false, Some(false)),
        (Match::new().vlan_vid(VlanMatch::Absent), &udp, false, Some(false)),
        (Match::new().vlan_vid(VlanMatch::Absent), &arp, true, Some(true)),
        (Match::new().vlan_vid(VlanMatch::Tagged(7)).vlan_pcp(3u8), &udp, true, Some(true)),
        (Match::new().vlan_vid(VlanMatch::Tagged(7)).vlan_pcp(2u8), &udp, false, Some(false)),
        (Match::new().vlan_pcp(3u8), &udp, true, None),
        (ip(), &udp, true, Some(true)),
        (ip().ipv4_src(prefix([10, 0, 0, 0], [255, 255, 255, 0])), &udp, true, Some(true)),
        (ip().ipv4_src(prefix([10, 0, 1, 0], [255, 255, 255, 0])), &udp, false, Some(false)),
        (ip().ip_proto(17u8).udp_dst(2000u16), &udp, true, Some(true)),
        (ip().ip_proto(17u8).udp_dst(2001u16), &udp, false, Some(false)),
        (ip().ip_proto(17u8).udp_dst(2000u16), &late, false, Some(false)),
        (ip().ip_proto(17u8), &late, true, Some(true)),
        // Without its prerequisites 1.0 forgets a field, 1.3 refuses it.
        (Match::new().ipv4_src(prefix([10, 0, 1, 0], [255, 255, 255, 0])), &udp, true, None),
        (ip().udp_dst(2001u16), &udp, true, None),
        (ip().ip_proto(1u8).with(MatchField::Icmpv4Type(8)), &ping, true, Some(true)),
        (ip().ip_proto(1u8).with(MatchField::Icmpv4Type(0)), &ping, false, Some(false)),
        (Match::new().eth_type(0x0806u16).with(MatchField::ArpOp(1)), &arp, true, Some(true)),
        (
            Match::new().eth_type(0x0806u16).with(MatchField::ArpTpa(b.into_ip())),
            &arp,
            true,
            Some(true),
        ),
    ];
    for (matches, frame, old, new) in table {
        for (version, expected) in [(Version::V1_0, Some(old)), (Version::V1_3, new)] {
            let mut bench = Bench::new(version);
            let refused = bench.refused(FlowMod::add(matches.clone()).apply(vec![port(2)]));
            let matched = refused.is_none().then(|| !bench.enter(1, frame).is_empty());
            assert_eq!(matched, expected, "{version} {matches:?} {refused:?}");
        }
    }
}

#[test]
fn an_overlap_is_refused_when_the_flow_mod_asks_for_it() {
    for (version, code) in [(Version::V1_0, (3, 1)), (Version::V1_3, (5, 3))] {
        let mut bench = Bench::new(version);
        let add = |matches: Match, priority| {
            FlowMod::add(matches).priority(priority).flags(FlowModFlags::CHECK_OVERLAP)
        };
        bench.flow(add(on(1), 5));
        assert_eq!(bench.refused(add(Match::new().eth_src(A), 5)), Some(code));
        assert_eq!(bench.refused(add(Match::new(), 5)), Some(code));
        assert_eq!(bench.refused(add(Match::new(), 6)), None);
        assert_eq!(bench.refused(add(on(2), 5)), None);
        let unchecked = FlowMod::add(Match::new().eth_src(A)).priority(5);
        assert_eq!(bench.refused(unchecked), None);
    }
}

#[test]
fn modifications_and_deletions_select_what_they_cover() {
    let command = |command, matches: Match| FlowMod::new(command, matches).cookie(Cookie(99));
    let (modify, strict) = (FlowModCommand::MODIFY, FlowModCommand::MODIFY_STRICT);
    let (delete, delete_strict) = (FlowModCommand::DELETE, FlowModCommand::DELETE_STRICT);
    let by_cookie = |mut flow: FlowMod| {
        (flow.cookie, flow.cookie_mask) = (Cookie(2), 0xf);
        flow
    };
    let to_port = |mut flow: FlowMod, port| {
        flow.out_port = PortNo(port);
        flow
    };
    // flow-mod, cookies left in 1.0, cookies left in 1.3. A modified entry is told by its output.
    type Row = (FlowMod, &'static [u64], &'static [u64]);
    let table: Vec<Row> = vec![
        (command(delete, Match::new()), &[], &[]),
        (command(delete, on(1)), &[3], &[3]),
        (command(delete, on(1).eth_src(A)), &[1, 3], &[1, 3]),
        (command(delete_strict, on(1)).priority(5), &[2, 3], &[2, 3]),
        (command(delete_strict, on(1)).priority(6), &[1, 2, 3], &[1, 2, 3]),
        (command(delete_strict, Match::new()).priority(5), &[1, 2, 3], &[1, 2, 3]),
        (to_port(command(delete, Match::new()), 4), &[1, 2], &[1, 2]),
        (by_cookie(command(delete, Match::new())), &[], &[1, 3]),
        // 1.0: a modification sets the cookie, and adds what is not there.
        (command(modify, on(1)), &[99, 99, 3], &[1, 2, 3]),
        (command(strict, on(1)).priority(5), &[99, 2, 3], &[1, 2, 3]),
        (command(strict, on(1)).priority(6), &[1, 2, 3, 99], &[1, 2, 3]),
        (to_port(command(modify, on(1)), 4), &[99, 99, 3], &[1, 2, 3]),
    ];
    for (flow_mod, old, new) in table {
        for (version, left) in [(Version::V1_0, old), (Version::V1_3, new)] {
            let mut bench = Bench::new(version);
            let entry = |matches, cookie| FlowMod::add(matches).priority(5).cookie(Cookie(cookie));
            bench.flow(entry(on(1), 1).apply(vec![port(2)]));
            bench.flow(entry(on(1).eth_src(A), 2).apply(vec![port(3)]));
            bench.flow(entry(on(2), 3).apply(vec![port(3), port(4)]));
            let mut flow_mod = flow_mod.clone();
            if version == Version::V1_0 {
                (flow_mod.cookie_mask, flow_mod.table_id) = (0, TableId(0));
            }
            bench.flow(flow_mod.clone());
            assert_eq!(bench.cookies(), left, "{version} {flow_mod:?}");
        }
    }
}

#[test]
fn a_modification_changes_actions_and_keeps_counters_and_time() {
    for version in BOTH {
        let mut bench = Bench::new(version);
        bench.flow(FlowMod::add(on(1)).timeouts(0, 10).apply(vec![port(2)]));
        bench.enter(1, &frame(&[]));
        bench.wait(6);
        bench.flow(FlowMod::new(FlowModCommand::MODIFY, on(1)).apply(vec![port(3)]));
        assert_eq!(ports(bench.enter(1, &frame(&[]))), [3]);
        let flows = bench.switch.flows(bench.now);
        assert_eq!((flows[0].packet_count, flows[0].hard_timeout), (2, 10));
        assert_eq!(flows[0].duration, Duration::from_secs(6));
        // Adding it again starts it anew.
        bench.flow(FlowMod::add(on(1)).apply(vec![port(4)]));
        let flows = bench.switch.flows(bench.now);
        assert_eq!((flows.len(), flows[0].duration), (1, Duration::ZERO));
        assert_eq!(flows[0].packet_count, if version == Version::V1_0 { 0 } else { 2 });
    }
}

#[test]
fn entries_end_by_their_time_outs_and_say_so() {
    for version in BOTH {
        let mut bench = Bench::new(version);
        let flow = |matches: Match, idle, hard| {
            FlowMod::add(matches)
                .priority(7)
                .cookie(Cookie(42))
                .timeouts(idle, hard)
                .flags(FlowModFlags::SEND_FLOW_REM)
                .apply(vec![port(4)])
        };
        bench.flow(flow(on(1), 10, 0));
        bench.flow(flow(on(2), 0, 15));
        bench.flow(flow(on(3), 5, 0).flags(FlowModFlags(0)));
        bench.wait(4);
        assert_eq!(bench.enter(1, &frame(&[])).len(), 1);
        assert_eq!(bench.enter(3, &frame(&[])).len(), 1);
        bench.wait(5);
        let said = bench.said();
        let [Message::FlowRemoved(third)] = &said[..] else { panic!("{said:?}") };
        assert_eq!(third.matches, on(3));
        bench.wait(4);
        assert_eq!(bench.outputs(), []);
        bench.wait(1);
        let said = bench.said();
        let [Message::FlowRemoved(first)] = &said[..] else { panic!("{said:?}") };
        assert_eq!((first.cookie, first.priority), (Cookie(42), 7));
        assert_eq!(first.reason, FlowRemovedReason::IDLE_TIMEOUT);
        assert_eq!((first.duration, first.idle_timeout), (Duration::from_secs(14), 10));
        assert_eq!((first.packet_count, first.byte_count), (1, frame(&[]).len() as u64));
        assert_eq!(bench.switch.deadline(), Some(bench.start + Duration::from_secs(15)));
        // Even without a poll an entry does nothing after its time.
        bench.now += Duration::from_secs(1);
        bench.switch.frame_input(PortNo(2), &frame(&[]), bench.now);
        let said = bench.said();
        let Some(Message::FlowRemoved(second)) = said.first() else { panic!("{said:?}") };
        assert_eq!(second.reason, FlowRemovedReason::HARD_TIMEOUT);
        bench.flow(flow(on(4), 0, 0));
        let mut deletion = FlowMod::delete(on(4));
        if version == Version::V1_0 {
            deletion.table_id = TableId(0);
        }
        let said = bench.ask(Message::FlowMod(deletion));
        let [Message::FlowRemoved(last)] = &said[..] else { panic!("{said:?}") };
        assert_eq!(last.reason, FlowRemovedReason::DELETE);
    }
}

#[test]
fn a_full_table_refuses_new_entries_and_takes_replacements() {
    for (version, code) in [(Version::V1_0, (3, 0)), (Version::V1_3, (5, 1))] {
        let mut bench = Bench::with(version, |options| options.table_limit = Some(2));
        bench.flow(FlowMod::add(on(1)));
        bench.flow(FlowMod::add(on(2)));
        assert_eq!(bench.refused(FlowMod::add(on(3))), Some(code));
        bench.flow(FlowMod::add(on(2)).cookie(Cookie(5)));
        bench.flow(FlowMod::delete_strict(on(1), 0x8000));
        bench.flow(FlowMod::add(on(3)));
        assert_eq!(bench.cookies(), [5, 0]);
    }
}

#[test]
fn flow_statistics_come_in_parts_that_fit_their_messages() {
    for version in BOTH {
        let mut bench = Bench::new(version);
        let entries = 2000u64;
        for cookie in 0..entries {
            let matches = Match::new().eth_src(MacAddr::from_u64(cookie + 1));
            bench.flow(FlowMod::add(matches).cookie(Cookie(cookie)).apply(vec![port(1)]));
        }
        let request = FlowStatsRequest {
            table_id: TableId::ALL,
            out_port: PortNo::ANY,
            out_group: GroupId::ANY,
            cookie: Cookie(0),
            cookie_mask: 0,
            matches: Match::new(),
        };
        let said = bench.ask(Message::FlowStatsRequest(request.clone()));
        assert!(said.len() > 1);
        let mut cookies = Vec::new();
        for (index, part) in said.iter().enumerate() {
            let Message::FlowStatsReply { flows, more } = part else { panic!("{part:?}") };
            assert_eq!(*more, index + 1 < said.len());
            cookies.extend(flows.iter().map(|flow| flow.cookie.0));
            assert!(flows.iter().all(|f| f.instructions == [Instruction::Apply([port(1)].into())]));
        }
        assert!(cookies.into_iter().eq(0..entries));
        let none = FlowStatsRequest { out_port: PortNo(2), ..request };
        let said = bench.ask(Message::FlowStatsRequest(none));
        assert_eq!(said, [Message::FlowStatsReply { flows: Vec::new(), more: false }]);
    }
}

#[test]
fn tables_pass_packets_on_with_metadata_and_an_action_set() {
    let mut bench = Bench::new(Version::V1_3);
    let mut first = FlowMod::add(on(1));
    first.instructions = [
        Instruction::Apply([Action::set_eth_src(B)].into()),
        Instruction::Write([port(4), Action::set_eth_dst(A)].into()),
        Instruction::WriteMetadata { metadata: 0x55, mask: 0xff },
        Instruction::Goto(TableId(3)),
    ]
    .into();
    bench.flow(first);
    let tagged = |metadata: u64| Match::new().with(MatchField::Metadata(metadata.into()));
    for (metadata, cookie) in [(0x54, 1), (0x55, 2)] {
        let mut second = FlowMod::add(tagged(metadata).eth_src(B)).cookie(Cookie(cookie));
        second.table_id = TableId(3);
        second = second.apply(vec![Action::output(PortNo::CONTROLLER), port(3)]);
        bench.flow(second);
    }
    bench.switch.frame_input(PortNo(1), &frame(&[]), bench.now);
    let out = bench.outputs();
    let said = messages(&out);
    let [Message::PacketIn(packet)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((packet.table_id, packet.cookie), (TableId(3), Cookie(2)));
    assert!(!packet.pipeline.is_empty());
    let sent = frames(&out);
    assert_eq!(sent.iter().map(|(port, _)| *port).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(sent[0].1[..12], [B.0, B.0].concat());
    assert_eq!(sent[1].1[..12], [A.0, B.0].concat());
}

#[test]
fn the_hashed_lookup_agrees_with_a_search_of_all_entries() {
    let now = Instant::now();
    let mut random = Random::new(7);
    let mut tables = Tables::new(1, None);
    let mut all: Vec<(u16, Criteria)> = Vec::new();
    for _ in 0..300 {
        let mut matches = Match::new();
        if random.below(2) == 0 {
            matches = matches.in_port(PortNo(random.below(3) as u32 + 1));
        }
        if random.below(2) == 0 {
            matches = matches.eth_src(MacAddr::from_u64(random.below(4) + 1));
        }
        if random.below(3) == 0 {
            matches = matches.vlan_vid(VlanMatch::Tagged(random.below(2) as u16 + 1));
        }
        let priority = random.below(6) as u16;
        let (criteria, _) = Criteria::of_match(Version::V1_3, &matches).unwrap();
        let mut flow_mod = FlowMod::add(matches).priority(priority);
        if random.below(3) == 0 {
            flow_mod.command = FlowModCommand::DELETE_STRICT;
            all.retain(|(p, c)| *p != priority || *c != criteria);
        } else if !all.contains(&(priority, criteria.clone())) {
            all.push((priority, criteria.clone()));
        }
        tables.modify(Version::V1_3, &flow_mod, criteria, now).unwrap();
        assert_eq!(tables.len(), all.len());
        let src = MacAddr::from_u64(random.below(5));
        let tags = [(0x8100, random.below(3) as u16)];
        let sent = build::ethernet(B, src, &tags[random.below(2) as usize..], 0x1234, &[0; 46]);
        let key = key_of(&Packet::new(sent), PortNo(random.below(4) as u32), 0);
        let best = all.iter().filter(|(_, c)| c.matches(&key)).map(|(p, _)| *p).max();
        let found = tables.lookup(TableId(0), &key).and_then(|id| tables.entry(id));
        assert_eq!(found.map(|entry| entry.priority), best);
    }
}

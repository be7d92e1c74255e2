//! The network changes under traffic, in virtual time and at full resolution: a frame each 20 µs, and
//! a control channel of 100 to 120 µs each way.

mod common;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;
use common::audit::audit;
use common::stream::{EVERY, outage};
use common::{Bed, TEST_TYPE, VERSIONS, saw};
use umlaut_controller::Event;
use umlaut_controller::command::Command;
use umlaut_controller::path::{Leg, Path};
use umlaut_controller::switch::OLD_WAY_TIME;
use umlaut_openflow::build::ethernet;
use umlaut_openflow::{
    Cookie, DatapathId, FlowMod, Match, Message, PacketIn, PacketInReason, PortNo, PortState,
    PortStatus, PortStatusReason, TableId, Xid, encode,
};
use umlaut_testbed::{Endpoint, Impairment};

/// One way of a control channel and the cables on the way, at most.
const HALF_TURN: Duration = Duration::from_micros(150);

const RING: &str = r#"
umlaut: 1
switches: {s1: 0x1, s2: 0x2, s3: 0x3}
hosts:
  a1: {mac: "00:00:00:00:00:01", at: s1/1}
  a2: {mac: "00:00:00:00:00:02", at: s2/1}
  b1: {mac: "00:00:00:00:00:03", at: s1/2}
  b3: {mac: "00:00:00:00:00:04", at: s3/2}
slices:
  a: {members: [{host: a1}, {host: a2}]}
  b: {members: [{port: s1/2}, {port: s3/2}]}
links: [[s1/8, s2/9], [s2/8, s3/9], [s3/8, s1/9]]
"#;

fn flow_mods(bed: &Bed) -> u64 {
    bed.network.controller().0.switches().map(|switch| switch.counters().flow_mods).sum()
}

#[test]
fn a_fast_stream_is_set_up_once_and_loses_nothing() {
    for version in VERSIONS {
        for seed in 0..10 {
            let mut bed = Bed::new(RING, version, seed);
            bed.say("a2", "a1");
            let before = flow_mods(&bed);
            let count = bed.stream(&[("a1", "a2")], 200, |_, _| {})[0];
            assert_eq!(count.lost, 0, "{version} seed {seed}");
            // Two entries, and the ingress one again for each frame that was on its way when the
            // switch got it.
            let late = (HALF_TURN * 2).as_micros() / EVERY.as_micros();
            let sent = u128::from(flow_mods(&bed) - before);
            assert!(sent <= 2 + late + 2, "{version} seed {seed}: {sent}");
            audit(&bed);
        }
    }
}

#[test]
fn a_cut_link_costs_the_frames_of_two_round_trips_and_other_slices_none() {
    for version in VERSIONS {
        for seed in 0..10 {
            let mut bed = Bed::new(RING, version, seed);
            bed.say("a2", "a1");
            bed.say("a1", "a2");
            bed.say("b3", "b1");
            bed.say("b1", "b3");
            let counts = bed.stream(&[("a1", "a2"), ("b1", "b3")], 200, |bed, round| {
                if round == 50 {
                    assert!(bed.network.cut(0));
                }
            });
            // The port is told down, the new hops are asked for and confirmed, the ingress changed.
            let limit = HALF_TURN * 4;
            assert!(
                counts[0].lost > 0 && outage(counts[0]) <= limit,
                "{version} {seed}: {counts:?}"
            );
            assert_eq!((counts[0].lost, counts[1].lost), (counts[0].gap, 0), "{version} {seed}");
            audit(&bed);
        }
    }
}

#[test]
fn a_healed_link_is_taken_again_and_costs_no_frame() {
    for version in VERSIONS {
        for seed in 0..10 {
            let mut bed = Bed::new(RING, version, seed);
            bed.say("a2", "a1");
            assert!(bed.network.cut(0));
            bed.run(Duration::from_millis(50));
            assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
            assert!(bed.flows()["s3"] > 0);
            let counts = bed.stream(&[("a1", "a2")], 400, |bed, round| {
                if round == 50 {
                    assert!(bed.network.heal(0));
                }
            });
            assert_eq!(counts[0].lost, 0, "{version} seed {seed}");
            assert_eq!(bed.flows()["s3"], 0, "the short way is taken");
            audit(&bed);
        }
    }
}

#[test]
fn a_link_that_is_cut_while_a_path_is_installed_costs_no_more_than_one_cut_later() {
    for version in VERSIONS {
        for seed in 0..40 {
            let mut bed = Bed::new(RING, version, seed);
            bed.say("a2", "a1");
            // At every moment of the 600 µs that the path takes.
            let counts = bed.stream(&[("a1", "a2")], 150, |bed, round| {
                if round == seed as usize {
                    assert!(bed.network.cut(0));
                }
            });
            let limit = HALF_TURN * 4;
            assert!(outage(counts[0]) <= limit, "{version} seed {seed}: {counts:?}");
            assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
            audit(&bed);
        }
    }
}

/// A port that goes down and a frame for the path over it, read at once: the path has its new way
/// before the frame is handled.
#[test]
fn a_path_is_on_its_new_way_before_the_next_packet_of_the_same_read() {
    for version in VERSIONS {
        let mut bed = Bed::new(RING, version, 1);
        bed.say("a2", "a1");
        bed.say("a1", "a2");
        let s1 = DatapathId(1);
        let channel = bed.network.controller().0.channel_of(s1).unwrap();
        let switch = bed.network.switch(s1).unwrap();
        let mut port = switch.ports().find(|port| port.port_no == PortNo(8)).unwrap().clone();
        port.state = PortState(PortState::LINK_DOWN.0);
        let down = Message::PortStatus(PortStatus { reason: PortStatusReason::MODIFY, port });
        let token = b"in the same read";
        let frame = ethernet(bed.mac("a2"), bed.mac("a1"), &[], TEST_TYPE, token);
        let packet = Message::PacketIn(PacketIn {
            buffer_id: None,
            total_len: frame.len() as u16,
            in_port: PortNo(1),
            reason: PacketInReason::NO_MATCH,
            table_id: TableId(0),
            cookie: Cookie(u64::MAX),
            pipeline: (&[][..]).into(),
            data: frame.into(),
        });
        let mut bytes = BytesMut::new();
        for message in [down, packet] {
            encode(version, Xid(0), &message, &mut bytes).unwrap();
        }
        let before = flow_mods(&bed);
        let (ways, sent) = bed.network.with_controller(|driven, now| {
            driven.0.input(channel, &bytes);
            driven.0.turn(channel, now);
            let owner = driven.0.switches().find(|switch| switch.dpid() == s1).unwrap();
            let of = |path: &Path| path.hops(Leg::Forward).iter().map(|hop| hop.dpid.0).collect();
            let ways: Vec<Vec<u64>> = owner.paths().map(|(_, path)| of(&path)).collect();
            let queued = [2, 3].map(|dpid| {
                let peer = driven.0.shared().net.directory.peer(DatapathId(dpid)).unwrap();
                let mut commands = VecDeque::new();
                peer.mailbox.take(16, &mut commands);
                let kinds: Vec<_> = commands
                    .iter()
                    .map(|command| match command {
                        Command::AddHop(_) => 'h',
                        Command::RemoveHop(_) => 'r',
                        Command::PacketOut { .. } => 'p',
                        _ => '?',
                    })
                    .collect();
                commands.into_iter().for_each(|command| peer.mailbox.insist(command));
                kinds.into_iter().collect::<String>()
            });
            driven.0.poll(now);
            (ways, queued)
        });
        // One path, by s3; its entries are asked for before the frame goes out at the egress.
        assert_eq!(ways, [[1, 3, 2]], "{version}");
        assert_eq!(sent, ["hp", "h"], "{version}");
        bed.run(Duration::from_millis(50));
        assert_eq!(bed.network.who_saw(token), saw(&["a2"]));
        assert_eq!(flow_mods(&bed) - before, 3, "{version}");
        bed.run(OLD_WAY_TIME);
        // Nothing but what the new way needs: two entries, the ingress again, one taken back.
        assert_eq!(flow_mods(&bed) - before, 4, "{version}");
    }
}

/// Twenty times down and up within a round trip of the control channel.
#[test]
fn a_link_that_flaps_faster_than_a_path_is_changed_leaves_no_entry_behind() {
    for version in VERSIONS {
        for seed in 0..20 {
            let mut bed = Bed::new(RING, version, seed);
            bed.say("a2", "a1");
            bed.say("a1", "a2");
            bed.say("b3", "b1");
            bed.say("b1", "b3");
            let counts = bed.stream(&[("a1", "a2"), ("b1", "b3")], 400, |bed, round| {
                if (50..90).contains(&round) {
                    let link = seed as usize % 2;
                    if round % 2 == 0 {
                        bed.network.cut(link)
                    } else {
                        bed.network.heal(link)
                    };
                }
            });
            let limit = EVERY * 40 + HALF_TURN * 4;
            assert!(outage(counts[0]) <= limit, "{version} seed {seed}: {counts:?}");
            assert_eq!(counts[1].lost, 0, "{version} seed {seed}");
            audit(&bed);
            assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
        }
    }
}

/// Whatever happens in whatever order: in the end everybody reaches whom they may, and the switches
/// have what the registries say.
#[test]
fn after_any_sequence_of_changes_switches_and_registries_agree() {
    let without = RING.replace("{host: a1}, {host: a2}", "{host: a1}");
    for version in VERSIONS {
        for seed in 0..40u64 {
            let mut bed = Bed::new(RING, version, seed);
            let mut random = seed;
            let mut below = |limit: u64| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (random >> 33) % limit
            };
            for (from, to) in [("a2", "a1"), ("b3", "b1"), ("a1", "a2"), ("b1", "b3")] {
                bed.say(from, to);
            }
            for _ in 0..60 {
                match below(10) {
                    0 => drop(bed.network.cut(below(3) as usize)),
                    1 => drop(bed.network.heal(below(3) as usize)),
                    2 => drop(bed.network.reset_channel(DatapathId(1 + below(3)))),
                    3 => {
                        let text = if below(2) == 0 { RING } else { &without };
                        bed.set_policy(text);
                    }
                    4 => {
                        let (dpid, port) = (1 + below(3), 5 + below(2) as u32);
                        bed.network.plug("a2", Endpoint::new(dpid, port));
                    }
                    5 => {
                        let full = (below(2) == 0).then_some(below(4) as usize);
                        let dpid = DatapathId(1 + below(3));
                        bed.network.with_switch(dpid, |switch, _| switch.set_table_limit(full));
                    }
                    _ => {
                        for (from, to) in [("a1", "a2"), ("a2", "a1"), ("b1", "b3"), ("b3", "b1")] {
                            let dst = bed.mac(to);
                            bed.network.with_host(from, |host, _| {
                                host.send_ethernet(dst, TEST_TYPE, b"whatever happens");
                            });
                        }
                    }
                }
                bed.run(Duration::from_micros(below(700)));
            }
            for link in 0..3 {
                bed.network.heal(link);
            }
            for dpid in 1..=3 {
                bed.network.with_switch(DatapathId(dpid), |switch, _| switch.set_table_limit(None));
            }
            bed.set_policy(RING);
            bed.run(Duration::from_secs(45));
            bed.settle();
            audit(&bed);
            // A policy that comes while a switch is away forgets the hosts there.
            for host in ["a1", "a2", "b1", "b3"] {
                bed.say(host, "all");
            }
            for (from, to) in [("a2", "a1"), ("b3", "b1"), ("a1", "a2"), ("b1", "b3")] {
                assert_eq!(bed.say(from, to), saw(&[to]), "{version} seed {seed}: {from} {to}");
            }
            audit(&bed);
        }
    }
}

/// How many entries of paths the switches have beside those on their ways.
fn old_entries(bed: &Bed) -> usize {
    bed.flows().values().sum::<usize>() - entries_of_paths(bed)
}

fn entries_of_paths(bed: &Bed) -> usize {
    let paths = bed.network.controller().0.switches().flat_map(|switch| switch.paths());
    paths.map(|(_, path)| path.hops(Leg::Forward).len()).sum()
}

/// `a1 > a2` goes round by s3, and the short way is there again: what is on the long way arrives.
fn going_round(version: umlaut_openflow::Version, seed: u64, delay: Duration) -> Bed {
    let mut bed = Bed::new(RING, version, seed);
    bed.say("a2", "a1");
    assert!(bed.network.cut(0));
    bed.run(Duration::from_millis(50));
    assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
    bed.run(OLD_WAY_TIME);
    assert_eq!((bed.flows()["s3"], old_entries(&bed)), (1, 0));
    // Frames are slow on the long way.
    for link in [1, 2] {
        bed.network.impair(link, Impairment { delay, ..Impairment::default() });
    }
    bed
}

/// Until the path takes the short way and the ingress switch has confirmed it.
fn until_the_short_way(bed: &mut Bed) {
    assert!(bed.network.heal(0));
    let rerouted = bed.network.run_until_true(Duration::from_secs(2), |network| {
        let hops = |dpid| {
            let switch = network.switch(DatapathId(dpid)).unwrap();
            let flows = switch.flows(network.now());
            flows.iter().filter(|flow| flow.priority == 0xffff).count()
        };
        (hops(1), hops(2)) == (1, 2)
    });
    assert!(rerouted);
    bed.run(HALF_TURN * 4);
}

#[test]
fn a_frame_on_the_old_way_arrives_though_the_new_one_is_in_use() {
    for version in VERSIONS {
        for seed in 0..5 {
            // Longer than a barrier takes, and shorter than the old way stays.
            let mut bed = going_round(version, seed, Duration::from_millis(60));
            let counts = bed.stream(&[("a1", "a2")], 1000, |bed, round| {
                if round == 50 {
                    assert!(bed.network.heal(0));
                }
            });
            assert_eq!(counts[0].lost, 0, "{version} seed {seed}");
            assert_eq!((bed.flows()["s3"], old_entries(&bed)), (0, 0));
            audit(&bed);
        }
    }
}

#[test]
fn an_old_way_stays_for_its_time_and_no_longer() {
    for version in VERSIONS {
        let mut bed = going_round(version, 1, Duration::ZERO);
        until_the_short_way(&mut bed);
        assert_eq!(old_entries(&bed), 2, "in s3 and s2");
        bed.run(OLD_WAY_TIME - HALF_TURN * 8);
        assert_eq!(old_entries(&bed), 2);
        bed.run(HALF_TURN * 16);
        assert_eq!(old_entries(&bed), 0);
        audit(&bed);
    }
}

#[test]
fn a_path_that_ends_takes_its_old_way_with_it() {
    let without = RING.replace("{host: a1}, {host: a2}", "{host: a1}");
    for version in VERSIONS {
        // Its receiver is unplugged, the policy refuses it, or its own switch tells that it ended.
        for how in 0..3 {
            let mut bed = going_round(version, 1, Duration::ZERO);
            until_the_short_way(&mut bed);
            assert_eq!((bed.paths(), old_entries(&bed)), (1, 2));
            match how {
                0 => assert!(bed.network.unplug("a2").is_some()),
                1 => bed.set_policy(&without),
                _ => {
                    let mut delete = FlowMod::delete(Match::new().in_port(PortNo(1)));
                    delete.out_port = PortNo::ANY;
                    let mut bytes = BytesMut::new();
                    encode(version, Xid(0), &Message::FlowMod(delete), &mut bytes).unwrap();
                    bed.network.with_switch(DatapathId(1), |switch, now| {
                        switch.control_input(&bytes, now);
                    });
                }
            }
            bed.run(Duration::from_millis(50));
            assert_eq!((bed.paths(), bed.flows().values().sum::<usize>()), (0, 0), "{how}");
            audit(&bed);
        }
    }
}

/// The policy gives a port of the old way to hosts of another slice: they get nothing of it.
#[test]
fn what_a_new_policy_takes_from_an_old_way_goes_at_once() {
    // Where the long way leaves s3.
    let bound = RING
        .replace("{port: s3/2}]}", "{port: s3/2}, {port: s3/9}]}")
        .replace(", [s2/8, s3/9]", "");
    for version in VERSIONS {
        for waiting in [false, true] {
            let mut bed = going_round(version, 1, Duration::ZERO);
            if waiting {
                until_the_short_way(&mut bed);
            }
            let at_s3 = bed.flows()["s3"];
            assert_eq!(at_s3, 1);
            // Without it, the policy itself is what takes the long way away.
            if !waiting {
                assert!(bed.network.heal(0));
            }
            let before = bed.network.now();
            bed.set_policy(&bound);
            assert!(bed.network.now() - before < OLD_WAY_TIME / 2);
            assert_eq!(bed.flows()["s3"], 0, "{version} {waiting}");
            bed.run(Duration::from_secs(1));
            audit(&bed);
        }
    }
}

/// To and fro faster than old ways end: the entries are where the path is, and none is left over.
#[test]
fn a_way_that_is_taken_again_before_it_ended_is_whole() {
    for version in VERSIONS {
        for seed in 0..20 {
            let mut bed = going_round(version, seed, Duration::ZERO);
            let mut at = 0;
            for turn in 0..6 {
                if turn % 2 == 0 {
                    bed.network.heal(0)
                } else {
                    bed.network.cut(0)
                };
                // From before the change of way to behind its end.
                at = (at + 37 * (seed + 1)) % 260;
                bed.run(Duration::from_millis(at));
            }
            assert!(bed.network.cut(0));
            bed.run(Duration::from_millis(10));
            let counts = bed.stream(&[("a1", "a2")], 200, |_, _| {});
            assert_eq!(counts[0].lost, 0, "{version} seed {seed}");
            bed.run(OLD_WAY_TIME * 2);
            assert_eq!(old_entries(&bed), 0);
            audit(&bed);
        }
    }
}

/// Either the owner of an old way or a switch on it is lost before it ends.
#[test]
fn a_switch_that_is_lost_while_an_old_way_is_kept_has_nothing_of_it_after_its_return() {
    for version in VERSIONS {
        for dpid in 1..=3 {
            let mut bed = going_round(version, dpid, Duration::ZERO);
            until_the_short_way(&mut bed);
            assert_eq!(old_entries(&bed), 2);
            bed.network.reset_channel(DatapathId(dpid)).unwrap();
            let step = Duration::from_millis(10);
            let counts = bed.stream(&[("a1", "a2")], 150, |bed, _| bed.run(step));
            assert_eq!(counts[0].lost, 0, "{version} s{dpid}");
            bed.run(OLD_WAY_TIME);
            assert_eq!((bed.paths(), old_entries(&bed)), (1, 0), "{version} s{dpid}");
            audit(&bed);
        }
    }
}

#[test]
fn an_audit_knows_the_entries_of_an_old_way() {
    for version in VERSIONS {
        let mut bed = going_round(version, 1, Duration::ZERO);
        // Audits come every ten seconds, and a second after one that doubts something: at any time
        // there is an old way.
        let counts = bed.stream(&[("a1", "a2")], 130, |bed, round| {
            if round % 2 == 0 {
                bed.network.heal(0)
            } else {
                bed.network.cut(0)
            };
            bed.run(Duration::from_millis(170));
        });
        assert!(counts[0].lost <= 65 && counts[0].gap <= 1, "only frames of cuts: {counts:?}");
        let told = bed.told.0.lock().unwrap();
        assert!(!told.iter().any(|event| matches!(event, Event::Repaired { .. })), "{told:?}");
    }
}

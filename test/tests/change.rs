//! The network changes under traffic, in virtual time and at full resolution: a frame each 20 µs, and
//! a control channel of 100 to 120 µs each way.

mod common;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;
use common::audit::audit;
use common::stream::{EVERY, outage};
use common::{Bed, TEST_TYPE, VERSIONS, saw};
use umlaut_controller::command::Command;
use umlaut_controller::path::{Leg, Path};
use umlaut_controller::switch::OLD_WAY_TIME;
use umlaut_openflow::build::ethernet;
use umlaut_openflow::{
    Cookie, DatapathId, Message, PacketIn, PacketInReason, PortNo, PortState, PortStatus,
    PortStatusReason, TableId, Xid, encode,
};
use umlaut_testbed::Endpoint;

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
            let ways: Vec<Vec<u64>> = owner.paths().map(|(_, path)| of(path)).collect();
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

//! The ordering rules of sessions, each under many interleavings (ARCHITECTURE, "Paths").

mod common;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;
use common::audit::audit;
use common::{Bed, VERSIONS, saw};
use umlaut_controller::command::Command;
use umlaut_controller::path::{Leg, PathCookie};
use umlaut_openflow::build::ethernet;
use umlaut_openflow::{
    Cookie, DatapathId, FlowMod, FlowRemoved, FlowRemovedReason, MacAddr, Match, Message, Version,
    Xid, encode,
};

const LINE: &str = r#"
umlaut: 1
switches: {s1: 0x1, s2: 0x2, s3: 0x3}
hosts:
  a1: {mac: "00:00:00:00:00:01", at: s1/1}
  a2: {mac: "00:00:00:00:00:02", at: s3/1}
  b1: {mac: "00:00:00:00:00:03", at: s1/2}
  b2: {mac: "00:00:00:00:00:04", at: s3/2}
slices:
  a: {members: [{host: a1}, {host: a2}]}
  b: {members: [{port: s1/2}, {port: s3/2}]}
links: [[s1/9, s2/8], [s2/9, s3/8]]
"#;

/// Rule 1: what was registered under an older World is decided again, whenever the change comes.
#[test]
fn a_grant_decided_under_an_old_policy_does_not_survive_the_new_one() {
    let without = LINE.replace("{host: a1}, {host: a2}", "{host: a1}");
    for version in VERSIONS {
        for seed in 0..40u64 {
            let mut bed = Bed::new(LINE, version, seed);
            bed.say("a2", "a1");
            // The change comes while the path is being decided, installed or used.
            let dst = bed.mac("a2");
            for _ in 0..3 {
                bed.network.with_host("a1", |host, _| {
                    host.send_ethernet(dst, common::TEST_TYPE, b"early")
                });
                bed.run(Duration::from_micros(seed * 37));
            }
            bed.set_policy(&without);
            assert_eq!(bed.say("a1", "a2"), [], "seed {seed}");
            assert_eq!(bed.say("b1", "b2"), saw(&["b2"]));
            bed.run(Duration::from_secs(1));
            audit(&bed);
        }
    }
}

/// Rule 1, for hosts: a path to where a host was does not survive its move.
#[test]
fn a_path_decided_before_a_move_does_not_survive_it() {
    for version in VERSIONS {
        for seed in 0..40u64 {
            let mut bed = Bed::new(LINE, version, seed);
            bed.say("a2", "a1");
            let dst = bed.mac("a2");
            for _ in 0..3 {
                bed.network.with_host("a1", |host, _| {
                    host.send_ethernet(dst, common::TEST_TYPE, b"early")
                });
                bed.run(Duration::from_micros(seed * 37));
            }
            bed.network.plug("a2", umlaut_testbed::Endpoint::new(2, 5)).unwrap();
            bed.run(Duration::from_millis(5));
            assert_eq!(bed.say("a2", "a1"), saw(&["a1"]), "seed {seed}");
            assert_eq!(bed.say("a1", "a2"), saw(&["a2"]), "seed {seed}");
            audit(&bed);
        }
    }
}

/// Rule 2: an entry that ends elsewhere ends the path, by its owner.
#[test]
fn an_entry_deleted_by_a_stranger_ends_the_path_everywhere() {
    for version in VERSIONS {
        let mut bed = Bed::new(LINE, version, 1);
        bed.say("a2", "a1");
        assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
        // The transit switch forgets everything: it restarts.
        bed.network.power_off(DatapathId(2)).unwrap();
        bed.run(Duration::from_millis(100));
        assert_eq!(bed.say("a1", "a2"), []);
        bed.network.power_on(DatapathId(2)).unwrap();
        bed.run(Duration::from_secs(8));
        bed.settle();
        assert_eq!(bed.say("a2", "a1"), saw(&["a1"]));
        assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
        bed.run(Duration::from_millis(100));
        audit(&bed);
    }
}

/// Rule 3: a datapath that connects again is a new session; what was said to the old one is void.
#[test]
fn switches_that_connect_again_one_after_the_other_have_what_the_registries_say() {
    for version in VERSIONS {
        for seed in 0..20u64 {
            let mut bed = Bed::new(LINE, version, seed);
            bed.say("a2", "a1");
            bed.say("a1", "a2");
            bed.say("b2", "b1");
            bed.say("b1", "b2");
            for dpid in [1, 2, 3] {
                bed.network.reset_channel(DatapathId(dpid)).unwrap();
                bed.run(Duration::from_micros(seed * 211));
                bed.network.with_host("b1", |host, _| {
                    host.send_ethernet(host.mac(), common::TEST_TYPE, b"x")
                });
            }
            bed.run(Duration::from_secs(10));
            bed.settle();
            for (from, to) in [("a2", "a1"), ("a1", "a2"), ("b2", "b1"), ("b1", "b2")] {
                assert_eq!(bed.say(from, to), saw(&[to]), "seed {seed} {from} to {to}");
            }
            bed.run(Duration::from_millis(100));
            audit(&bed);
        }
    }
}

/// Rule 3, at every moment of the half millisecond that a path takes, whoever is lost.
#[test]
fn a_session_that_ends_while_a_path_is_installed_leaves_nothing_of_it() {
    for version in VERSIONS {
        for seed in 0..60u64 {
            let mut bed = Bed::new(LINE, version, seed);
            bed.say("a2", "a1");
            let dst = bed.mac("a2");
            bed.network.with_host("a1", |host, _| {
                host.send_ethernet(dst, common::TEST_TYPE, b"early");
            });
            bed.run(Duration::from_micros(seed / 3 * 30));
            bed.network.reset_channel(DatapathId(1 + seed % 3)).unwrap();
            bed.run(Duration::from_secs(10));
            bed.settle();
            audit(&bed);
            // What a1 said before may have been lost.
            for (from, to) in [("a1", "a2"), ("a2", "a1")] {
                assert_eq!(bed.say(from, to), saw(&[to]), "{version} seed {seed}");
            }
            audit(&bed);
        }
    }
}

/// Rule 3: a name of an ended session means nothing to the one that took its datapath over.
#[test]
fn what_is_said_of_an_ended_session_is_void_for_its_successor() {
    for version in VERSIONS {
        let mut bed = Bed::new(LINE, version, 1);
        let s1 = DatapathId(1);
        let path_of_a1 = |bed: &Bed| {
            let switches = bed.network.controller().0.switches();
            let owner = { switches }.find(|switch| switch.dpid() == s1).unwrap();
            owner.paths().map(|(name, path)| (name, path.hops(Leg::Forward)[1])).next().unwrap()
        };
        bed.say("a2", "a1");
        bed.say("a1", "a2");
        let (old, _) = path_of_a1(&bed);
        bed.network.reset_channel(s1).unwrap();
        bed.run(Duration::from_secs(10));
        bed.settle();
        bed.say("a1", "a2");
        let (new, hop) = path_of_a1(&bed);
        assert!((old.slot, old.generation) == (new.slot, new.generation) && old != new);
        let late = |path| Command::HopGone { hop: hop.name(path, Leg::Forward), dpid: hop.dpid };
        for (path, paths) in [(old, 1), (new, 0)] {
            // To the new session's mailbox, as if a session number had been mistaken.
            bed.network.with_controller(|driven, now| {
                let peer = driven.0.shared().net.directory.peer(s1).unwrap();
                peer.mailbox.insist(late(path));
                driven.0.poll(now);
            });
            bed.run(Duration::from_millis(50));
            assert_eq!(bed.paths(), paths, "{version}");
            audit(&bed);
        }
    }
}

/// Rule 4: frames that come while their path is being installed go out once each.
#[test]
fn frames_of_a_path_being_installed_arrive_once_each() {
    for version in VERSIONS {
        for seed in 0..20u64 {
            let mut bed = Bed::new(LINE, version, seed);
            bed.say("a2", "a1");
            let dst = bed.mac("a2");
            let tokens: Vec<Vec<u8>> =
                (0..10).map(|n| format!("burst-{n}-").into_bytes()).collect();
            for token in &tokens {
                bed.network
                    .with_host("a1", |host, _| host.send_ethernet(dst, common::TEST_TYPE, token));
            }
            bed.run(Duration::from_millis(200));
            for token in &tokens {
                assert_eq!(bed.network.who_saw(token), saw(&["a2"]), "seed {seed}");
            }
            audit(&bed);
        }
    }
}

/// Rule 5: nothing that leaves the program depends on hash order.
#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |version| {
        let mut bed = Bed::new(LINE, version, 7);
        for (from, to) in [("a2", "a1"), ("a1", "a2"), ("b2", "all"), ("b1", "b2")] {
            bed.say(from, to);
        }
        bed.network.cut(0);
        bed.run(Duration::from_secs(1));
        bed.network.heal(0);
        bed.settle();
        for (from, to) in [("a2", "a1"), ("a1", "a2"), ("b2", "b1"), ("b1", "b2")] {
            bed.say(from, to);
        }
        // Four paths lose an entry at once.
        bed.network.reset_channel(DatapathId(2));
        bed.run(Duration::from_secs(4));
        let counters: Vec<_> = bed.network.switches().map(|switch| switch.counters()).collect();
        let sent: Vec<_> =
            bed.network.controller().0.switches().map(|switch| switch.counters()).collect();
        let told = bed.told.0.lock().unwrap();
        format!("{counters:?} {sent:?} {told:?}")
    };
    for version in VERSIONS {
        let first = run(version);
        for _ in 0..4 {
            assert_eq!(run(version), first);
        }
    }
}

/// Rule 1, for hosts that move where no port goes down: behind a hub, say.
#[test]
fn a_host_seen_elsewhere_takes_its_paths_with_it() {
    let text = LINE.replace(
        "  b1: {mac: \"00:00:00:00:00:03\", at: s1/2}",
        "  spare: {mac: \"00:00:00:00:00:99\", at: s2/5}\n  b1: {mac: \"00:00:00:00:00:03\", at: s1/2}",
    );
    for version in VERSIONS {
        for seed in 0..8u64 {
            let mut bed = Bed::new(&text, version, seed);
            bed.say("a2", "a1");
            assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
            // Too soon to be believed.
            let mac = bed.mac("a2");
            bed.network.with_host("spare", |host, _| host.set_mac(mac));
            assert_eq!(bed.say("spare", "a1"), []);
            assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
            bed.run(Duration::from_secs(6));
            assert_eq!(bed.say("spare", "a1"), saw(&["a1"]), "seed {seed}");
            assert_eq!(bed.say("a1", "00:00:00:00:00:02"), saw(&["spare"]), "seed {seed}");
            audit(&bed);
        }
    }
}

/// Rule 2, where the switch tells of its own: the owner takes back what is left elsewhere.
#[test]
fn an_entry_that_ends_in_the_middle_ends_the_path_everywhere() {
    for version in VERSIONS {
        for dpid in 1..=3 {
            let mut bed = Bed::new(LINE, version, dpid);
            bed.say("a2", "a1");
            bed.say("a1", "a2");
            assert_eq!((bed.paths(), bed.flows().values().sum::<usize>()), (1, 3));
            let mut delete = FlowMod::delete(Match::new());
            if version != Version::V1_0 {
                // All of its entries but the standing ones, which have no cookie.
                (delete.cookie, delete.cookie_mask) = (Cookie(1 << 63), 1 << 63);
            }
            let mut bytes = BytesMut::new();
            encode(version, Xid(0), &Message::FlowMod(delete), &mut bytes).unwrap();
            bed.network.with_switch(DatapathId(dpid), |switch, now| {
                switch.control_input(&bytes, now);
            });
            bed.run(Duration::from_millis(50));
            assert_eq!((bed.paths(), bed.flows().values().sum::<usize>()), (0, 0), "{dpid}");
            audit(&bed);
            assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
        }
    }
}

/// Rule 2: an entry taken back and asked for again at once: what the switch tells of the first is
/// not believed of the second.
#[test]
fn an_entry_that_is_taken_back_and_given_again_stays() {
    for version in VERSIONS {
        let mut bed = Bed::new(LINE, version, 1);
        bed.say("a2", "a1");
        let s2 = DatapathId(2);
        let channel = bed.network.controller().0.channel_of(s2).unwrap();
        let mailbox =
            |bed: &Bed| bed.network.controller().0.shared().net.directory.peer(s2).unwrap().mailbox;
        // What the owner asks of the switch in the middle.
        bed.network.with_controller(|driven, _| driven.0.freeze(channel, true));
        bed.say("a1", "a2");
        let mut asked = VecDeque::new();
        mailbox(&bed).take(16, &mut asked);
        let added = asked.into_iter().find_map(|command| match command {
            Command::AddHop(entry) => Some(entry),
            _ => None,
        });
        let entry = added.expect("an entry is asked for");
        let mut send = |commands: Vec<Command>| {
            commands.into_iter().for_each(|command| mailbox(&bed).insist(command));
            bed.network.with_controller(|driven, now| {
                driven.0.freeze(channel, false);
                driven.0.poll(now);
            });
            bed.run(Duration::from_millis(50));
            assert_eq!((bed.paths(), bed.flows()["s2"]), (1, 1), "{version}");
            audit(&bed);
        };
        send(vec![Command::AddHop(entry.clone())]);
        send(vec![Command::RemoveHop(entry.name()), Command::AddHop(entry)]);
    }
}

/// Rule 3: a switch that was away and is back before the owner of a path looks again: nothing that
/// the owner can see has changed, and it is asked for its entries all the same.
#[test]
fn a_switch_that_comes_back_between_two_turns_of_an_owner_is_given_its_entries() {
    let text = r#"
umlaut: 1
switches: {s1: 0x1, s2: 0x2, s3: 0x3, s4: 0x4}
hosts:
  a1: {mac: "00:00:00:00:00:01", at: s1/1}
  a2: {mac: "00:00:00:00:00:02", at: s4/1}
slices:
  a: {members: [{host: a1}, {host: a2}]}
links: [[s1/9, s2/8], [s2/9, s3/8], [s3/9, s4/8]]
"#;
    for version in VERSIONS {
        let mut bed = Bed::with(text, version, 1, |options| {
            options.backoff = (Duration::from_millis(10), Duration::from_millis(10));
        });
        bed.say("a2", "a1");
        bed.say("a1", "a2");
        let channel = bed.network.controller().0.channel_of(DatapathId(1)).unwrap();
        bed.network.with_controller(|driven, _| driven.0.freeze(channel, true));
        bed.network.reset_channel(DatapathId(3)).unwrap();
        bed.run(Duration::from_secs(2));
        bed.settle();
        bed.network.with_controller(|driven, now| {
            driven.0.freeze(channel, false);
            driven.0.poll(now);
        });
        bed.run(Duration::from_millis(50));
        audit(&bed);
        assert_eq!(bed.say("a1", "a2"), saw(&["a2"]), "{version}");
        audit(&bed);
    }
}

/// A way back of which another slice holds a part is not installed, not even for a moment: its frames
/// would arrive in that slice.
#[test]
fn a_way_back_that_cannot_be_had_whole_leads_nobody_astray() {
    let text = r#"
umlaut: 1
switches: {s1: 0x1, s2: 0x2, s3: 0x3}
hosts:
  a1: {mac: "00:00:00:00:00:01", at: s1/1}
  a2: {mac: "00:00:00:00:00:02", at: s3/1}
  b1: {mac: "00:00:00:00:00:03", at: s1/2}
  b2: {mac: "00:00:00:00:00:04", at: s3/2}
slices:
  a: {members: [{port: s1/1}, {port: s3/1}]}
  b: {members: [{port: s1/2}, {port: s3/2}]}
links: [[s1/9, s2/8], [s2/9, s3/8]]
options: {reverse_flow: true}
"#;
    let (one, two) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let asks = |token: &[u8]| umlaut_openflow::build::tcp(one, two, 1000, 80, 2, token);
    for version in VERSIONS {
        for seed in 0..40u64 {
            let mut bed = Bed::new(text, version, seed);
            // Slice `b` uses the addresses of slice `a`, and holds the pair on the links one way.
            for (name, like) in [("b1", "a1"), ("b2", "a2")] {
                let mac = bed.mac(like);
                bed.network.with_host(name, |host, _| host.set_mac(mac)).unwrap();
            }
            for name in ["a1", "b1", "a2", "b2"] {
                bed.say(name, "all");
            }
            assert_eq!(bed.say("b2", "a1"), saw(&["b1"]));
            let dst = bed.mac("a2");
            let packet = asks(b"asks");
            bed.network.with_host("a1", |host, _| host.send_ethernet(dst, 0x0800, &packet));
            // Its reply comes while the way is installed, and after.
            let mut astray = Vec::new();
            for n in 0..6u32 {
                bed.run(Duration::from_micros(seed * 7));
                let token = format!("reply {n}");
                let reply = umlaut_openflow::build::tcp(two, one, 80, 1000, 16, token.as_bytes());
                let dst = bed.mac("a1");
                bed.network.with_host("a2", |host, _| host.send_ethernet(dst, 0x0800, &reply));
                bed.run(Duration::from_micros(100));
                astray.push(token);
            }
            bed.run(Duration::from_millis(100));
            assert_eq!(bed.network.who_saw(b"asks"), saw(&["a2"]), "{version} seed {seed}");
            for token in astray {
                let seen = bed.network.who_saw(token.as_bytes());
                assert_eq!(seen, saw(&["a1"]), "{version} seed {seed}: {token}");
            }
            bed.run(Duration::from_secs(1));
            audit(&bed);
        }
    }
}

/// Where the new way crosses a switch the other way round, its hop there is what a hop of the old way
/// back was, for other frames: it is an entry of its own.
#[test]
fn a_way_that_turns_round_between_two_switches_has_all_its_entries() {
    let links = "[s2/9, s3/8], [s3/9, s4/8], \
                 [s1/7, s6/8], [s6/9, s7/8], [s7/9, s8/8], [s8/9, s4/7], \
                 [s2/7, s9/8], [s9/9, s10/8], [s10/9, s11/8], [s11/9, s5/7]";
    let policy = |more: &str| {
        format!(
            r#"
umlaut: 1
switches: {{s1: 1, s2: 2, s3: 3, s4: 4, s5: 5, s6: 6, s7: 7, s8: 8, s9: 9, s10: 10, s11: 11}}
hosts:
  a1: {{mac: "00:00:00:00:00:01", at: s1/1}}
  a2: {{mac: "00:00:00:00:00:02", at: s5/1}}
slices: {{a: {{members: [{{port: s1/1}}, {{port: s5/1}}]}}}}
links: [{links}{more}]
options: {{reverse_flow: true, links: declared}}
"#
        )
    };
    let straight = policy(", [s1/9, s2/8], [s4/9, s5/8]");
    let (one, two) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let there = |token: &[u8]| umlaut_openflow::build::tcp(one, two, 1000, 80, 2, token);
    let back = |token: &[u8]| umlaut_openflow::build::tcp(two, one, 80, 1000, 16, token);
    for version in VERSIONS {
        let mut bed = Bed::new(&straight, version, 1);
        for name in ["a1", "a2"] {
            bed.say(name, "all");
        }
        assert_eq!(bed.say_ip("a1", "a2", there), saw(&["a2"]), "{version}");
        assert_eq!(bed.say_ip("a2", "a1", back), saw(&["a1"]), "{version}");
        let before = bed.flows();
        assert_eq!((before["s3"], before["s6"]), (2, 0), "{version}: {before:?}");
        bed.set_policy(&policy(""));
        bed.run(Duration::from_secs(2));
        let after = bed.flows();
        assert_eq!((after["s3"], after["s6"]), (2, 2), "{version}: {after:?}");
        audit(&bed);
        assert_eq!(bed.say_ip("a1", "a2", there), saw(&["a2"]), "{version}");
        assert_eq!(bed.say_ip("a2", "a1", back), saw(&["a1"]), "{version}");
        assert_eq!(bed.flows(), after, "{version}: nothing was asked for");
    }
}

/// Rule 2, where a way back enters by the port of its path: two VLANs of one port. What the switch
/// tells of the way back is not taken for the path's own end, not even if it tells it twice.
#[test]
fn a_way_back_by_the_port_of_its_path_ends_alone() {
    let text = r#"
umlaut: 1
switches: {s1: 0x1}
hosts: {trunk: {mac: "00:00:00:00:00:09", at: s1/1}}
slices: {a: {members: [{port: s1/1, vlan: 10}, {port: s1/1, vlan: 20}]}}
options: {reverse_flow: true}
"#;
    let macs: [MacAddr; 2] = ["00:00:00:00:00:01", "00:00:00:00:00:02"].map(|m| m.parse().unwrap());
    let (one, two) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let there = umlaut_openflow::build::tcp(one, two, 1000, 80, 2, b"there");
    let back = umlaut_openflow::build::tcp(two, one, 80, 1000, 16, b"back");
    let s1 = DatapathId(1);
    for version in VERSIONS {
        let mut bed = Bed::new(text, version, 1);
        let send = |bed: &mut Bed, vid: u16, [src, dst]: [MacAddr; 2], packet: &[u8]| {
            let frame = ethernet(dst, src, &[(0x8100, vid)], 0x0800, packet);
            bed.network.with_host("trunk", |host, _| host.send_raw(frame)).unwrap();
            bed.run(Duration::from_millis(100));
        };
        send(&mut bed, 20, [macs[1], MacAddr::BROADCAST], &back);
        send(&mut bed, 10, macs, &there);
        assert_eq!((bed.paths(), bed.flows()["s1"]), (1, 2), "{version}");
        let flows = bed.network.with_switch(s1, |switch, now| switch.flows(now)).unwrap();
        let reverse = |cookie| PathCookie::read(cookie).is_some_and(|c| c.mark.leg == Leg::Reverse);
        let entry = flows.into_iter().find(|flow| reverse(flow.cookie)).unwrap();
        // Nobody answers: the way back ends by itself.
        for _ in 0..3 {
            bed.run(Duration::from_secs(25));
            send(&mut bed, 10, macs, &there);
        }
        assert_eq!((bed.paths(), bed.flows()["s1"]), (1, 1), "{version}");
        let again = Message::FlowRemoved(FlowRemoved {
            cookie: entry.cookie,
            priority: entry.priority,
            reason: FlowRemovedReason::DELETE,
            table_id: entry.table_id,
            duration: Duration::from_secs(1),
            idle_timeout: entry.idle_timeout,
            hard_timeout: 0,
            packet_count: 0,
            byte_count: 0,
            matches: entry.matches,
        });
        let mut bytes = BytesMut::new();
        encode(version, Xid(0), &again, &mut bytes).unwrap();
        let channel = bed.network.controller().0.channel_of(s1).unwrap();
        bed.network.with_controller(|driven, now| {
            driven.0.input(channel, &bytes);
            driven.0.turn(channel, now);
        });
        bed.run(Duration::from_millis(50));
        assert_eq!((bed.paths(), bed.flows()["s1"]), (1, 1), "{version}");
        audit(&bed);
    }
}

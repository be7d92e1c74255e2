//! Queues that are full and switches that do not read, answer late, never or with errors: what is
//! bounded stays within its bound, nobody else notices, and in the end the switches have what the
//! registries say.

mod common;

use std::time::Duration;

use bytes::BytesMut;
use common::audit::audit;
use common::{Bed, TEST_TYPE, VERSIONS, saw};
use umlaut_controller::command::{Command, Job};
use umlaut_controller::mailbox::MAILBOX_COMMANDS;
use umlaut_controller::session::{OUTPUT_HIGH_WATER, OUTPUT_LIMIT};
use umlaut_controller::{AppNo, Event};
use umlaut_openflow::{DatapathId, Message, Version, Xid, encode};

const LINE: &str = r#"
umlaut: 1
switches: {s1: 0x1, s2: 0x2, s3: 0x3}
hosts:
  a1: {mac: "00:00:00:00:00:01", at: s1/1}
  a2: {mac: "00:00:00:00:00:02", at: s3/1}
  b1: {mac: "00:00:00:00:00:03", at: s1/2}
  b2: {mac: "00:00:00:00:00:04", at: s1/3}
  b3: {mac: "00:00:00:00:00:05", at: s1/4}
slices:
  a: {members: [{host: a1}, {host: a2}]}
  b: {members: [{port: s1/2}, {port: s1/3}, {port: s1/4}]}
links: [[s1/9, s2/8], [s2/9, s3/8]]
"#;

const S2: DatapathId = DatapathId(2);
const S3: DatapathId = DatapathId(3);

impl Bed {
    fn channel(&self, dpid: DatapathId) -> u64 {
        self.network.controller().0.channel_of(dpid).expect("a connected switch")
    }

    fn unread(&mut self, dpid: DatapathId) -> usize {
        let channel = self.channel(dpid);
        self.network.with_controller(|driven, _| driven.0.unread(channel))
    }

    fn stall(&mut self, dpid: DatapathId, stalled: bool) {
        let channel = self.channel(dpid);
        self.network.with_controller(|driven, now| {
            driven.0.stall(channel, stalled);
            driven.0.poll(now);
        });
    }

    fn freeze(&mut self, dpid: DatapathId, frozen: bool) {
        let channel = self.channel(dpid);
        self.network.with_controller(|driven, now| {
            driven.0.freeze(channel, frozen);
            driven.0.poll(now);
        });
    }

    /// Leaves room for so many commands in a switch's mailbox.
    fn fill_mailbox(&mut self, dpid: DatapathId, room: usize) {
        let shared = self.network.controller().0.shared().clone();
        let mailbox = shared.net.directory.peer(dpid).expect("a served switch").mailbox;
        let mut taken = 0;
        while mailbox.offer(Command::Run(Job::new(AppNo::FRAMEWORK, |_, _| {}))).is_ok() {
            taken += 1;
            assert!(taken <= MAILBOX_COMMANDS);
        }
        let mut some = std::collections::VecDeque::new();
        mailbox.take(room, &mut some);
    }

    fn told(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.told.0.lock().unwrap().iter().filter(|event| wanted(event)).count()
    }

    /// Switch numbers where `a1 > a2` has a path entry.
    fn entries(&self) -> Vec<u64> {
        let a1 = self.mac("a1");
        let switches = self.network.switches();
        let with = switches.filter(|switch| {
            let flows = switch.flows(self.network.now());
            flows.iter().any(|flow| {
                flow.priority == 0xffff
                    && format!("{:?}", flow.matches).contains(&format!("{a1:?}"))
            })
        });
        with.map(|switch| switch.dpid().0).collect()
    }
}

/// Turns that setting a path up takes between two hosts of s1.
fn turns_of_a_set_up(bed: &mut Bed, from: &str, to: &str) -> u64 {
    let before = bed.network.controller().0.turns();
    let (dst, token) = (bed.mac(to), format!("turns {from} {to}"));
    bed.network.with_host(from, |host, _| host.send_ethernet(dst, TEST_TYPE, token.as_bytes()));
    assert!(bed.network.run_until_true(Duration::from_millis(50), |network| {
        network.host(to).is_some_and(|host| host.saw(token.as_bytes()) == 1)
    }));
    bed.network.controller().0.turns() - before
}

#[test]
fn a_switch_that_does_not_read_is_kept_within_bounds_and_hinders_nobody() {
    for version in VERSIONS {
        let mut bed = Bed::new(LINE, version, 3);
        bed.say("a2", "a1");
        for (from, to) in [("b1", "b2"), ("b2", "b3"), ("b3", "b1")] {
            bed.say(from, to);
        }
        let usual = turns_of_a_set_up(&mut bed, "b2", "b1");
        bed.stall(S3, true);
        // The egress of these is there; each is as long as a frame may be.
        let (all, mut most) = (bed.mac("all"), 0);
        for _ in 0..3_000 {
            bed.network.with_host("a1", |host, _| host.send_ethernet(all, TEST_TYPE, &[7; 1400]));
            // And it goes on speaking itself.
            bed.network.with_host("a2", |host, _| host.send_ethernet(all, TEST_TYPE, &[7; 64]));
            bed.run(Duration::from_micros(500));
            most = most.max(bed.unread(S3));
        }
        assert!(most > OUTPUT_HIGH_WATER, "{most}");
        assert!(most < OUTPUT_HIGH_WATER + 64 * 1024, "{most}");
        let stalled = turns_of_a_set_up(&mut bed, "b3", "b2");
        assert!(stalled <= usual + 1, "{version}: {stalled} turns, not {usual}");
        let shed: u64 =
            bed.network.controller().0.switches().map(|switch| switch.counters().shed).sum();
        // Of some 720 rounds its output was filled; of the others both frames were dropped.
        assert!(shed > 4_400, "{version}: {shed}");
        bed.stall(S3, false);
        bed.run(Duration::from_secs(1));
        assert_eq!(bed.unread(S3), 0);
        assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
        assert_eq!(bed.say("a2", "a1"), saw(&["a1"]));
        audit(&bed);
    }
}

#[test]
fn a_switch_that_asks_and_never_reads_is_let_go_at_the_limit() {
    for version in VERSIONS {
        let mut bed = Bed::new(LINE, version, 3);
        bed.say("a2", "a1");
        bed.say("b2", "b1");
        bed.stall(S3, true);
        let channel = bed.channel(S3);
        let mut echo = BytesMut::new();
        let payload = Message::EchoRequest(vec![1; 60_000].into());
        encode(version, Xid(1), &payload, &mut echo).unwrap();
        let mut most = 0;
        for _ in 0..OUTPUT_LIMIT / 60_000 + 2 {
            most = most.max(bed.network.with_controller(|driven, now| {
                driven.0.input(channel, &echo);
                driven.0.poll(now);
                driven.0.unread(channel)
            }));
        }
        assert!(most > OUTPUT_LIMIT - 2 * 60_000 && most <= OUTPUT_LIMIT, "{most}");
        let gone = bed.told(|event| {
            matches!(event, Event::SwitchGone { dpid: S3, reason } if reason.contains("does not read"))
        });
        assert_eq!(gone, 1, "{version}");
        assert_eq!(bed.say("b1", "b2"), saw(&["b2"]));
        // It comes back.
        bed.run(Duration::from_secs(3));
        bed.settle();
        bed.say("a2", "a1");
        assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
        audit(&bed);
    }
}

#[test]
fn an_entry_that_finds_the_mailbox_full_is_given_up_and_leaves_nothing() {
    for version in VERSIONS {
        for seed in 0..10 {
            let mut bed = Bed::new(LINE, version, seed);
            bed.say("a2", "a1");
            bed.freeze(S2, true);
            bed.fill_mailbox(S2, 0);
            // Its first frame takes the direct way to the egress.
            for _ in 0..3 {
                assert_eq!(bed.say("a1", "a2"), saw(&["a2"]), "{version} seed {seed}");
            }
            assert_eq!((bed.entries(), bed.paths()), (Vec::new(), 0));
            bed.freeze(S2, false);
            bed.run(Duration::from_millis(10));
            assert_eq!(bed.told(|event| matches!(event, Event::Resync { .. })), 1);
            assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
            assert_eq!(bed.entries(), [1, 2, 3]);
            audit(&bed);
        }
    }
}

#[test]
fn a_removal_that_finds_the_mailbox_full_empties_the_table() {
    let without = LINE.replace("{host: a1}, {host: a2}", "{host: a1}");
    for version in VERSIONS {
        for seed in 0..10 {
            // With the entry in the switch, or itself still waiting in the mailbox.
            for waiting in [false, true] {
                let mut bed = Bed::new(LINE, version, seed);
                bed.say("a2", "a1");
                if waiting {
                    bed.freeze(S2, true);
                    bed.fill_mailbox(S2, 1);
                }
                // A frame waits for its path.
                let arrives = if waiting { vec![] } else { saw(&["a2"]) };
                assert_eq!(bed.say("a1", "a2"), arrives, "{version} seed {seed}");
                if !waiting {
                    bed.freeze(S2, true);
                    bed.fill_mailbox(S2, 0);
                }
                bed.set_policy(&without);
                bed.freeze(S2, false);
                bed.run(Duration::from_millis(50));
                assert_eq!(bed.told(|event| matches!(event, Event::Resync { dpid: S2 })), 1);
                assert_eq!(bed.entries(), Vec::<u64>::new(), "{version} seed {seed} {waiting}");
                assert_eq!(bed.say("a1", "a2"), []);
                audit(&bed);
                bed.set_policy(LINE);
                bed.say("a2", "a1");
                assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
                audit(&bed);
            }
        }
    }
}

#[test]
fn a_switch_that_answers_late_or_never_costs_no_frame() {
    for version in VERSIONS {
        for (answers, installed) in [(true, true), (false, false)] {
            let mut bed = Bed::new(LINE, version, 5);
            bed.say("a2", "a1");
            // In the middle: its frames go on, its messages do not.
            bed.network.cut_off(S2).unwrap();
            let dst = bed.mac("a2");
            for frame in 0..20 {
                let token = format!("late-{frame:02}-");
                let send = |host: &mut umlaut_testbed::EmulatedHost, _| {
                    host.send_ethernet(dst, TEST_TYPE, token.as_bytes());
                };
                bed.network.with_host("a1", send);
                bed.run(Duration::from_millis(200));
                // All but the first, which waits for the path.
                let arrived = if frame > 0 { saw(&["a2"]) } else { vec![] };
                assert_eq!(bed.network.who_saw(token.as_bytes()), arrived, "{version} {frame}");
            }
            if !answers {
                // Longer than a path may take: it is given up, and tried again by the next frame.
                bed.run(Duration::from_secs(2));
                assert!(bed.told(|event| matches!(event, Event::PathFailed { .. })) > 0);
            }
            assert!(!bed.entries().contains(&1), "the ingress waits for the others");
            if answers {
                bed.network.join(S2).unwrap();
                bed.run(Duration::from_millis(50));
            }
            assert_eq!(bed.network.who_saw(b"late-00-"), saw(&["a2"]), "{version}");
            assert_eq!(bed.entries() == [1, 2, 3], installed);
            bed.network.join(S2).unwrap();
            bed.run(Duration::from_secs(10));
            bed.settle();
            assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
            audit(&bed);
        }
    }
}

#[test]
fn a_hop_that_refuses_its_entry_costs_no_frame_and_is_asked_again() {
    for version in VERSIONS {
        for seed in 0..5 {
            for buffers in [0, 16] {
                let mut bed = Bed::with(LINE, version, seed, |options| {
                    options.switch.n_buffers = buffers;
                });
                bed.say("a2", "a1");
                bed.say("b2", "b1");
                let standing = if version == Version::V1_0 { 1 } else { 2 };
                for dpid in [1, 2] {
                    bed.network.with_switch(DatapathId(dpid), |switch, _| {
                        switch.set_table_limit(Some(standing));
                    });
                }
                for _ in 0..10 {
                    assert_eq!(bed.say("a1", "a2"), saw(&["a2"]), "{version} {seed}");
                    assert_eq!(bed.say("b1", "b2"), saw(&["b2"]), "{version} {seed} {buffers}");
                }
                assert!(bed.flows()["s1"] == 0 && bed.flows()["s2"] == 0, "{:?}", bed.flows());
                for dpid in [1, 2] {
                    bed.network.with_switch(DatapathId(dpid), |switch, _| {
                        switch.set_table_limit(None);
                    });
                }
                // No pause is longer than sixteen seconds.
                bed.run(Duration::from_secs(16));
                assert_eq!(bed.say("b1", "b2"), saw(&["b2"]));
                assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
                assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
                assert_eq!(bed.entries(), [1, 2, 3], "{version} seed {seed}");
                audit(&bed);
            }
        }
    }
}

/// Frames without an entry have a rate; what has its entries is not slowed down by them.
#[test]
fn a_fast_stream_without_room_is_limited_and_one_with_entries_loses_nothing() {
    for version in VERSIONS {
        let mut bed = Bed::new(LINE, version, 2);
        for (from, to) in [("a2", "a1"), ("a1", "a2"), ("b2", "b1")] {
            bed.say(from, to);
        }
        bed.network.with_switch(DatapathId(1), |switch, _| switch.set_table_limit(Some(0)));
        // 50,000 a second each.
        let counts = bed.stream(&[("a1", "a2"), ("b1", "b2")], 10_000, |_, _| {});
        assert_eq!(counts[0].lost, 0, "{version}");
        let passed = counts[1].sent - counts[1].lost;
        // A second's worth at once, and the fifth of a second that it takes.
        let rate = umlaut_controller::switch::ONE_BY_ONE_RATE as usize;
        assert!((rate..=rate + rate / 4).contains(&passed), "{version}: {passed}");
        assert_eq!(bed.entries(), [1, 2, 3], "nobody is thrown out");
    }
}

/// The rate of frames without an entry is each slice's own: what one uses up is not another's.
#[test]
fn frames_without_room_of_one_slice_take_nothing_from_another() {
    for version in VERSIONS {
        let mut bed = Bed::new(LINE, version, 3);
        bed.network.with_switch(DatapathId(1), |switch, _| switch.set_table_limit(Some(0)));
        for (from, to) in [("a2", "a1"), ("a1", "a2"), ("b2", "b1"), ("b1", "b2")] {
            bed.say(from, to);
        }
        bed.run(Duration::from_secs(1));
        // Nearly a second's worth of each, in a fortieth of a second.
        let each = umlaut_controller::switch::ONE_BY_ONE_RATE - 100;
        let counts = bed.stream(&[("a1", "a2"), ("b1", "b2")], each as _, |_, _| {});
        assert_eq!((counts[0].lost, counts[1].lost), (0, 0), "{version}");
    }
}

/// Many refusals of one moment are one reason to wait, not many.
#[test]
fn a_burst_of_refusals_lengthens_the_pause_once() {
    for version in VERSIONS {
        let mut bed = Bed::new(LINE, version, 1);
        for host in ["b1", "b2", "b3"] {
            bed.say(host, "all");
        }
        bed.network.with_switch(DatapathId(1), |switch, _| switch.set_table_limit(Some(0)));
        for (from, to) in [("b1", "b2"), ("b2", "b3"), ("b3", "b1"), ("b1", "b3"), ("b2", "b1")] {
            let dst = bed.mac(to);
            bed.network.with_host(from, |host, _| host.send_ethernet(dst, TEST_TYPE, b"burst"));
        }
        bed.run(Duration::from_millis(1));
        bed.network.with_switch(DatapathId(1), |switch, _| switch.set_table_limit(None));
        bed.run(umlaut_controller::switch::BACKOFF_MIN);
        assert_eq!(bed.say("b1", "b2"), saw(&["b2"]));
        assert_eq!(bed.flows()["s1"], 1, "{version}");
    }
}

/// What a switch refuses one slice keeps no entry from another, neither where frames enter nor where
/// they leave.
#[test]
fn entries_refused_to_one_slice_are_still_asked_for_by_another() {
    let more = r#"  c1: {mac: "00:00:00:00:00:06", at: s1/5}
  c2: {mac: "00:00:00:00:00:07", at: s3/5}
slices:
  c: {members: [{port: s1/5}, {port: s3/5}]}"#;
    let text = LINE.replace("slices:", more);
    for version in VERSIONS {
        for full in [1, 3] {
            let mut bed = Bed::new(&text, version, 1);
            for host in ["a1", "a2", "c1", "c2"] {
                bed.say(host, "all");
            }
            let limit = |bed: &mut Bed, limit| {
                bed.network
                    .with_switch(DatapathId(full), |switch, _| switch.set_table_limit(limit));
            };
            limit(&mut bed, Some(0));
            let dst = bed.mac("a2");
            for _ in 0..12 {
                bed.network.with_host("a1", |host, _| host.send_ethernet(dst, TEST_TYPE, b"full"));
                bed.run(Duration::from_millis(100));
            }
            // Its third pause is a second, and not half over; there is room again.
            limit(&mut bed, None);
            let none = bed.flows();
            assert!(none.values().all(|flows| *flows == 0), "{version}: {none:?}");
            assert_eq!(bed.say("c1", "c2"), saw(&["c2"]));
            let of_c = bed.flows();
            assert!(of_c.values().all(|flows| *flows == 1), "{version} {full}: {of_c:?}");
            assert_eq!(bed.say("a1", "a2"), saw(&["a2"]), "frame by frame");
            assert_eq!(bed.flows(), of_c, "{version}: it pauses");
            bed.run(umlaut_controller::switch::BACKOFF_MAX);
            assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
            assert!(bed.flows().values().all(|flows| *flows == 2), "{version}");
            audit(&bed);
        }
    }
}

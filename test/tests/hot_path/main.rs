//! Frames of known paths: they are sent on without a decision as long as nothing has changed, and cost
//! no memory; a new path costs at most one allocation, and an idle switch little.

#![allow(unreachable_pub, reason = "a module of a bench and a test")]

mod bed;
mod deciding;

use std::time::Duration;

use allocation_counter::measure;
use bed::{Answers, Bed, Size};
use bytes::BytesMut;
use umlaut::samples::LearningSwitch;
use umlaut::sliceable::SlicePolicy;
use umlaut_controller::Apps;
use umlaut_controller::session::ECHO_AFTER;
use umlaut_openflow::Version;

const VERSIONS: [Version; 2] = [Version::V1_0, Version::V1_3];

/// Several rounds, until every table and buffer has the size that the load needs.
const WARM: u64 = 40;

fn is_set_up(answers: Answers, of: u64) {
    assert_eq!(answers, Answers { flow_mods: of, packet_outs: of, others: 0 });
}

#[test]
fn a_host_seen_again_allocates_nothing() {
    let size = Size::SMALL;
    for version in VERSIONS {
        let mut bed = Bed::sliceable(size, version);
        let pins = bed.pins(size, 0, 1);
        for _ in 0..WARM {
            bed.receive(0, &pins);
            bed.turns(0);
            is_set_up(bed.answers(0), size.hosts);
        }
        bed.receive(0, &pins);
        let used = measure(|| bed.turns(0));
        is_set_up(bed.answers(0), size.hosts);
        assert_eq!(used.count_total, 0, "{version}: {used:?}");
    }
}

#[test]
fn the_learning_switch_allocates_nothing_for_hosts_seen_again() {
    let size = Size::SMALL;
    for version in VERSIONS {
        let apps: Apps<()> = Apps::new().with(LearningSwitch);
        let mut bed = Bed::new(apps, (), size, version);
        bed.introduce(size);
        let pins = bed.pins(size, 0, 1);
        for _ in 0..WARM {
            bed.receive(0, &pins);
            bed.turns(0);
            is_set_up(bed.answers(0), size.hosts);
        }
        bed.receive(0, &pins);
        let used = measure(|| bed.turns(0));
        is_set_up(bed.answers(0), size.hosts);
        assert_eq!(used.count_total, 0, "{version}: {used:?}");
    }
}

#[test]
fn a_decision_on_a_known_path_allocates_nothing_for_a_frame() {
    let size = Size::SMALL;
    let mut bed = Bed::sliceable(size, Version::V1_3);
    let pins = bed.pins(size, 0, 1);
    for _ in 0..WARM {
        bed.receive(0, &pins);
        bed.turns(0);
        bed.answers(0);
    }
    bed.pass(std::time::Duration::from_secs(40));
    bed.receive(0, &pins);
    let used = measure(|| bed.turns(0));
    // An audit of the flow table falls due meanwhile, too.
    assert_eq!(bed.answers(0).flow_mods, size.hosts);
    // Once for all 160: a turn after some time may find a table to grow.
    assert!(used.count_total <= 1, "{used:?}");
}

#[test]
fn a_new_path_and_its_end_allocate_at_most_once() {
    let size = Size::SMALL;
    for version in VERSIONS {
        let mut bed = Bed::sliceable(size, version);
        let mut ends = BytesMut::new();
        // The same paths come and go, so that tables have their size.
        for round in 0..WARM {
            let pins = bed.pins(size, 0, 3 + round % 2 * 2);
            bed.receive(0, &pins);
            bed.turns(0);
            ends.clear();
            is_set_up(bed.answers_and_ends(0, &mut ends), size.hosts);
            bed.receive(0, &ends);
            bed.turns(0);
            bed.answers(0);
        }
        let pins = bed.pins(size, 0, 7);
        bed.receive(0, &pins);
        let made = measure(|| bed.turns(0));
        ends.clear();
        is_set_up(bed.answers_and_ends(0, &mut ends), size.hosts);
        bed.receive(0, &ends);
        let ended = measure(|| bed.turns(0));
        let each = (made.count_total + ended.count_total) as f64 / size.hosts as f64;
        assert!(each <= 1.0, "{version}: {each} for each; {made:?}, {ended:?}");
    }
}

#[test]
fn an_idle_switch_takes_less_than_40_kib() {
    for version in VERSIONS {
        let taken = |switches| {
            let mut bed = None;
            let size = Size { switches, ..Size::LEAST };
            let apps: Apps<()> = Apps::new().with(LearningSwitch);
            let used = measure(|| bed = Some(Bed::new(apps, (), size, version)));
            drop(bed);
            used.bytes_current
        };
        let each = (taken(65) - taken(1)) / 64;
        // It has sixteen ports.
        assert!((1 << 10..40 << 10).contains(&each), "{version}: {each} bytes");
    }
}

/// A frame of the first host for the second, whose path is known.
fn known_path(bed: &mut Bed<SlicePolicy>, size: Size) -> BytesMut {
    let pin = bed.pin(size, 0, 0, 1, 0);
    for _ in 0..3 {
        bed.receive(0, &pin);
        bed.turns(0);
        is_set_up(bed.answers(0), 1);
    }
    pin
}

#[test]
fn frames_of_known_paths_put_nothing_off() {
    for version in VERSIONS {
        let size = Size::SMALL;
        let mut bed = Bed::sliceable(size, version);
        let pin = known_path(&mut bed, size);
        // After silence an echo is asked for, which may take three times as long; what else is due may
        // come before it.
        let waits = (0..50).any(|_| {
            bed.receive(0, &pin);
            bed.turns(0);
            bed.pass(ECHO_AFTER);
            bed.turns(0);
            assert!(bed.answers(0).others > 0);
            bed.rests_for(0) > ECHO_AFTER
        });
        assert!(waits, "{version}");
        bed.pass(Duration::from_millis(1));
        for _ in 0..2 {
            bed.receive(0, &pin);
            bed.turns(0);
            is_set_up(bed.answers(0), 1);
            // Now the switch was heard.
            assert!(bed.rests_for(0) <= ECHO_AFTER, "{version}: {:?}", bed.rests_for(0));
        }
        // Frames that come all the time keep nothing from what is due.
        let mut others = 0;
        for _ in 0..200 {
            bed.pass(Duration::from_secs(1));
            bed.receive(0, &pin);
            bed.turns(0);
            others += bed.answers(0).others;
        }
        // The flow table is audited.
        assert!(others > 0, "{version}");
    }
}

#[test]
fn a_known_path_is_decided_again_when_its_hosts_are_not_where_they_were() {
    let size = Size::SMALL;
    for version in VERSIONS {
        let mut bed = Bed::sliceable(size, version);
        let pin = known_path(&mut bed, size);
        // Nobody tells the path's session: the frame itself must find out.
        bed.forget_hosts(size, 0, 1);
        bed.receive(0, &pin);
        bed.turns(0);
        let flooded = Answers { flow_mods: 0, packet_outs: 1, others: 0 };
        assert_eq!(bed.answers(0), flooded, "{version}");
    }
}

#[test]
fn a_new_path_between_hosts_that_have_others_is_decided_by_where_they_are_now() {
    let size = Size::SMALL;
    for version in VERSIONS {
        let mut bed = Bed::sliceable(size, version);
        let answers = |bed: &mut Bed<SlicePolicy>, from, to| {
            let pin = bed.pin(size, 0, from, to, 0);
            bed.receive(0, &pin);
            bed.turns(0);
            bed.answers(0)
        };
        // Both are known from other paths.
        for (from, to) in [(0, 1), (2, 3), (4, 1), (2, 5)] {
            is_set_up(answers(&mut bed, from, to), 1);
        }
        bed.forget_hosts(size, 0, 1);
        let flooded = Answers { flow_mods: 0, packet_outs: 1, others: 0 };
        assert_eq!(answers(&mut bed, 2, 1), flooded, "{version}");
        // Under a policy that lets nobody through, both are where they were.
        is_set_up(answers(&mut bed, 1, 2), 1);
        let deny = "filters: [{id: none, match: {eth_type: ipv4}, action: deny}]\n";
        let policy = bed.same_policy(size, deny);
        bed.set_policy(policy);
        assert_eq!(answers(&mut bed, 1, 4).packet_outs, 0, "{version}");
    }
}

#[test]
fn a_known_path_is_decided_again_under_a_new_policy_before_it_is_used() {
    let size = Size::SMALL;
    for version in VERSIONS {
        let mut bed = Bed::sliceable(size, version);
        let pin = known_path(&mut bed, size);
        let deny = "filters: [{id: none, match: {eth_type: ipv4}, action: deny}]\n";
        let policy = bed.same_policy(size, deny);
        bed.set_policy(policy);
        // The frame comes before the turn in which the paths are decided again.
        bed.receive(0, &pin);
        bed.turns(0);
        assert_eq!(bed.answers(0).packet_outs, 0, "{version}");
    }
}

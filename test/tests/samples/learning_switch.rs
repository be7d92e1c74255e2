use umlaut::samples::LearningSwitch;
use umlaut::virtual_lab::VirtualLab;
use umlaut_controller::Apps;
use umlaut_controller::hosts::{Domain, HOST_AGE, HOSTS_PER_PORT, MOVE_GUARD, Seen};
use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo, Version};
use umlaut_testbed::{Endpoint, Topology};

use super::{SECOND, VERSIONS, lab};

#[test]
fn what_was_learned_is_not_flooded() {
    for version in VERSIONS {
        let mut lab = lab(Apps::new().with(LearningSwitch), &Topology::linear(2, 2), version);
        assert_eq!(lab.say("h1", "h4"), ["h2", "h3", "h4"]);
        assert_eq!(lab.say("h4", "h1"), ["h1"]);
        assert_eq!(lab.say("h1", "h4"), ["h4"]);
        // The third time by the entries alone.
        let seen =
            lab.network.controller().0.switches().map(|s| s.counters().packet_ins).sum::<u64>();
        assert_eq!(lab.say("h1", "h4"), ["h4"]);
        let now =
            lab.network.controller().0.switches().map(|s| s.counters().packet_ins).sum::<u64>();
        assert_eq!(seen, now);
        assert_eq!(lab.say("h1", "all"), ["h2", "h3", "h4"]);
    }
}

#[test]
fn a_host_that_moves_is_followed_and_one_that_is_unplugged_is_forgotten() {
    for version in VERSIONS {
        let mut lab = lab(Apps::new().with(LearningSwitch), &Topology::single(3), version);
        for (from, to) in [("h2", "h1"), ("h1", "h2"), ("h2", "h1")] {
            lab.say(from, to);
        }
        assert_eq!(lab.say("h1", "h2"), ["h2"]);
        lab.network.plug("h2", Endpoint::new(1, 7)).unwrap();
        lab.run(SECOND);
        // Its old port is down: it is not sent there any more.
        assert_eq!(lab.say("h1", "h2"), ["h2", "h3"]);
        assert_eq!(lab.say("h2", "h1"), ["h1"]);
        assert_eq!(lab.say("h1", "h2"), ["h2"]);
    }
}

#[test]
fn a_host_whose_port_was_down_is_seen_when_it_comes_back() {
    for version in VERSIONS {
        let mut lab = lab(Apps::new().with(LearningSwitch), &Topology::single(3), version);
        for (from, to) in [("h2", "h1"), ("h1", "h2"), ("h2", "h1")] {
            lab.say(from, to);
        }
        lab.network.unplug("h1").unwrap();
        lab.run(SECOND);
        lab.network.plug("h1", Endpoint::new(1, 1)).unwrap();
        lab.run(SECOND);
        assert_eq!(lab.say("h1", "h2"), ["h2"]);
        assert_eq!(lab.say("h2", "h1"), ["h1"], "it has said where it is");
    }
}

#[test]
fn nothing_is_sent_to_a_port_that_is_no_more() {
    for version in VERSIONS {
        let mut lab = lab(Apps::new().with(LearningSwitch), &Topology::single(3), version);
        for (from, to) in [("h2", "h1"), ("h1", "h2"), ("h2", "h1")] {
            lab.say(from, to);
        }
        lab.network
            .with_switch(DatapathId(1), |switch, now| switch.remove_port(PortNo(1), now))
            .unwrap();
        lab.run(SECOND);
        lab.network.plug("h1", Endpoint::new(1, 7)).unwrap();
        lab.run(SECOND);
        assert!(reaches(&mut lab, "h2", "h1"), "it is looked for");
        assert_eq!(lab.say("h1", "h2"), ["h2"]);
        assert_eq!(lab.say("h2", "h1"), ["h1"]);
    }
}

#[test]
fn a_host_that_comes_back_to_its_port_is_followed() {
    for version in VERSIONS {
        let mut lab = lab(Apps::new().with(LearningSwitch), &Topology::linear(2, 2), version);
        for (from, to) in [("h2", "h1"), ("h1", "h2"), ("h2", "h1"), ("h1", "h2")] {
            lab.say(from, to);
        }
        for place in [Endpoint::new(2, 7), Endpoint::new(1, 1)] {
            lab.run(MOVE_GUARD);
            lab.network.plug("h1", place).unwrap();
            lab.run(SECOND);
            assert!(reaches(&mut lab, "h1", "h2") && reaches(&mut lab, "h2", "h1"), "{place:?}");
        }
    }
}

/// Three switches in a row, a host on each; those on the first and in the middle have spoken.
fn in_a_row(version: Version) -> VirtualLab {
    let mut lab = lab(Apps::new().with(LearningSwitch), &Topology::linear(3, 1), version);
    for (from, to) in [("h3", "h2"), ("h2", "h1"), ("h1", "h2"), ("h2", "h1"), ("h1", "h2")] {
        lab.say(from, to);
    }
    lab
}

fn reaches(lab: &mut VirtualLab, from: &str, to: &str) -> bool {
    lab.say(from, to).iter().any(|name| name == to)
}

/// Where the switch in the middle has a host.
fn middle_has(lab: &VirtualLab, host: &str) -> Option<Attachment> {
    let mac = lab.network.host(host).unwrap().mac();
    Some(lab.shared().net.hosts.locate((Domain(2), mac))?.at)
}

/// Fills a port of the switch in the middle.
fn fill(lab: &VirtualLab, at: Attachment) {
    let (hosts, now) = (&lab.shared().net.hosts, lab.network.now());
    let mut others = (1 << 24..).map(|n| (Domain(2), MacAddr::from_u64(n)));
    while hosts.count_at(at.dpid, at.port) < HOSTS_PER_PORT {
        hosts.see(others.next().unwrap(), at, Seen::default(), now);
    }
}

#[test]
fn a_host_that_moves_soon_after_it_came_is_followed_when_it_is_believed() {
    for version in VERSIONS {
        let mut lab = in_a_row(version);
        // The switch in the middle sees it on another port, and none of its own goes down.
        lab.network.plug("h1", Endpoint::new(3, 7)).unwrap();
        lab.run(SECOND);
        for _ in 0..3 {
            assert!(reaches(&mut lab, "h1", "h2"));
        }
        lab.run(MOVE_GUARD);
        assert!(reaches(&mut lab, "h1", "h2") && reaches(&mut lab, "h2", "h1"));
    }
}

#[test]
fn a_host_that_moves_back_is_followed() {
    for version in VERSIONS {
        let mut lab = in_a_row(version);
        for place in [Endpoint::new(3, 7), Endpoint::new(1, 8), Endpoint::new(3, 9)] {
            lab.run(MOVE_GUARD);
            lab.network.plug("h1", place).unwrap();
            lab.run(SECOND);
            assert!(reaches(&mut lab, "h1", "h2") && reaches(&mut lab, "h2", "h1"), "{place:?}");
        }
    }
}

#[test]
fn a_host_that_talks_by_entries_alone_is_followed_however_long_it_does() {
    for version in VERSIONS {
        let mut lab = in_a_row(version);
        for _ in 0..HOST_AGE.as_secs() / 20 + 2 {
            lab.run(20 * SECOND);
            assert_eq!(lab.say("h1", "h2"), ["h2"]);
            assert_eq!(lab.say("h2", "h1"), ["h1"]);
        }
        lab.network.plug("h1", Endpoint::new(3, 7)).unwrap();
        lab.run(SECOND);
        assert!(reaches(&mut lab, "h1", "h2") && reaches(&mut lab, "h2", "h1"));
    }
}

#[test]
fn a_host_for_which_there_is_no_room_is_reached_and_noted_when_there_is() {
    for version in VERSIONS {
        let mut lab = in_a_row(version);
        let there = middle_has(&lab, "h3").unwrap();
        lab.run(MOVE_GUARD);
        fill(&lab, there);
        lab.network.plug("h1", Endpoint::new(3, 7)).unwrap();
        lab.run(SECOND);
        for _ in 0..3 {
            assert!(reaches(&mut lab, "h1", "h2") && reaches(&mut lab, "h2", "h1"));
            assert_eq!(middle_has(&lab, "h1"), None);
        }
        lab.shared().net.hosts.forget(|_, entry| entry.at == there);
        assert!(reaches(&mut lab, "h1", "h2"));
        assert_eq!(middle_has(&lab, "h1"), Some(there));
    }
}

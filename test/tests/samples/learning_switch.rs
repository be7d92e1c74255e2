use umlaut::samples::LearningSwitch;
use umlaut_controller::Apps;
use umlaut_controller::hosts::MOVE_GUARD;
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
fn a_host_that_moves_soon_after_it_came_is_followed_when_it_is_believed() {
    for version in VERSIONS {
        let mut lab = lab(Apps::new().with(LearningSwitch), &Topology::linear(3, 1), version);
        for (from, to) in [("h2", "h1"), ("h1", "h2"), ("h2", "h1"), ("h1", "h2")] {
            lab.say(from, to);
        }
        // The switch in the middle sees it on another port, and none of its own goes down.
        lab.network.plug("h1", Endpoint::new(3, 7)).unwrap();
        lab.run(SECOND);
        for _ in 0..3 {
            assert!(lab.say("h1", "h2").contains(&"h2".to_owned()));
        }
        lab.run(MOVE_GUARD);
        assert!(lab.say("h1", "h2").contains(&"h2".to_owned()));
        assert!(lab.say("h2", "h1").contains(&"h1".to_owned()));
    }
}

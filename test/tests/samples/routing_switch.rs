use umlaut::samples::RoutingSwitch;
use umlaut_controller::Apps;
use umlaut_openflow::VlanId;
use umlaut_testbed::{Endpoint, Topology};

use super::{SECOND, VERSIONS, lab};

#[test]
fn hosts_reach_each_other_once_over_loops() {
    for version in VERSIONS {
        let mut lab = lab(Apps::new().with(RoutingSwitch), &Topology::ring(4, 1), version);
        assert_eq!(lab.say("h1", "all"), ["h2", "h3", "h4"]);
        assert_eq!(lab.say("h3", "h1"), ["h1"]);
        for _ in 0..2 {
            assert_eq!(lab.say("h1", "h3"), ["h3"]);
            assert_eq!(lab.say("h3", "h1"), ["h1"]);
        }
        // By paths: three switches each way.
        let flows: usize = (1..=4).map(|dpid| lab.flows(dpid).len()).sum();
        assert_eq!(flows, 6, "{version}");
    }
}

#[test]
fn paths_follow_links_and_hosts() {
    for version in VERSIONS {
        let mut lab = lab(Apps::new().with(RoutingSwitch), &Topology::ring(4, 2), version);
        for (from, to) in [("h1", "all"), ("h3", "h1"), ("h1", "h3")] {
            lab.say(from, to);
        }
        // s1 and s2 are neighbours; the other way round is longer.
        let flows = [1, 2, 3, 4].map(|dpid| lab.flows(dpid).len());
        assert_eq!(flows, [2, 2, 0, 0], "{version}");
        lab.network.cut(0);
        lab.run(SECOND);
        assert_eq!(lab.say("h1", "h3"), ["h3"], "{version}");
        assert!(!lab.flows(4).is_empty());
        lab.network.plug("h3", Endpoint::new(3, 9)).unwrap();
        lab.run(SECOND);
        lab.settle();
        assert_eq!(lab.say("h3", "h1"), ["h1"]);
        assert_eq!(lab.say("h1", "h3"), ["h3"]);
    }
}

#[test]
fn vlans_stay_apart() {
    for version in VERSIONS {
        let mut topology = Topology::linear(2, 2);
        for host in [0, 2] {
            topology.hosts[host].vlan = VlanId::new(7);
        }
        let mut lab = lab(Apps::new().with(RoutingSwitch), &topology, version);
        // Everybody's interface sees it, with its tag; who is addressed answers only in its VLAN.
        lab.say("h1", "all");
        lab.say("h2", "all");
        for (from, to) in [("h3", "h1"), ("h1", "h3"), ("h4", "h2"), ("h2", "h4")] {
            assert_eq!(lab.say(from, to), [to], "{version} {from}");
        }
        // h4 is not known in VLAN 7: a flood.
        let flood = lab.say("h1", "h4");
        assert_eq!(flood, ["h2", "h3", "h4"]);
    }
}

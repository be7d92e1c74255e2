//! What switches have against what the controller believes.

use std::collections::BTreeSet;

use umlaut_controller::path::{Leg, PathRef};

use super::Bed;

/// Every entry that a switch has belongs to a registered path, and every registered hop is in its
/// switch.
pub fn audit(bed: &Bed) {
    let epoch = bed.network.controller().0.shared().net.epoch;
    let mut wanted: BTreeSet<(u64, PathRef, Option<u32>)> = BTreeSet::new();
    for switch in bed.network.controller().0.switches() {
        for (name, path) in switch.paths() {
            for leg in [Leg::Forward, Leg::Reverse] {
                for hop in path.hops(leg) {
                    wanted.insert((hop.dpid.0, name, Some(hop.in_port.0)));
                }
            }
        }
    }
    let mut found = BTreeSet::new();
    for switch in bed.network.switches() {
        for flow in switch.flows(bed.network.now()) {
            if flow.priority == 0xffff {
                let port = flow.matches.ingress().map(|port| port.0);
                let name = PathRef::from_cookie(flow.cookie, epoch).expect("a path of this run");
                found.insert((switch.dpid().0, name, port));
            }
        }
    }
    assert_eq!(found, wanted);
}

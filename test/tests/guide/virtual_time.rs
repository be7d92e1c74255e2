use std::time::Duration;

use umlaut::samples::RoutingSwitch;
use umlaut::virtual_lab::VirtualLab;
use umlaut_controller::Apps;
use umlaut_testbed::Topology;

#[test]
fn every_host_reaches_every_other_on_every_network_of_four_switches() {
    for topology in Topology::every_graph(4, 1) {
        let mut lab = VirtualLab::new(Apps::new().with(RoutingSwitch), &topology);
        assert!(lab.network.reachability().iter().all(|pair| pair.reached), "{topology:?}");
        if lab.network.cut(0) {
            lab.run(Duration::from_secs(2));
        }
    }
}

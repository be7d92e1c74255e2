use umlaut::samples::{Dumper, RoutingSwitch};
use umlaut_controller::Apps;
use umlaut_openflow::{DatapathId, PortNo};
use umlaut_testbed::Topology;

use super::{Lines, SECOND, VERSIONS, lab};

#[test]
fn every_event_is_printed() {
    for version in VERSIONS {
        let lines = Lines::default();
        let apps = Apps::new().with(Dumper::new(lines.print())).with(RoutingSwitch);
        let mut lab = lab(apps, &Topology::linear(2, 1), version);
        lab.say("h1", "h2");
        let ports = |lab: &mut umlaut::virtual_lab::VirtualLab| {
            let call = |switch: &mut umlaut_testbed::EmulatedSwitch, now| {
                switch.add_port(PortNo(9), now);
                switch.set_link(PortNo(1), false, now);
                switch.remove_port(PortNo(9), now);
            };
            lab.network.with_switch(DatapathId(1), call).unwrap();
        };
        ports(&mut lab);
        lab.run(SECOND);
        lab.network.power_off(DatapathId(2)).unwrap();
        lab.run(SECOND);
        lab.network.with_controller(|driven, now| driven.0.shutdown(now));
        let printed = lines.take();
        for event in [
            "start",
            "0x1 ready: OpenFlow",
            "0x1 port 1",
            "0x1 reply to",
            "link up",
            "0x1 packet in at port 1: 00:00:00:00:00:01 to 00:00:00:00:00:02",
            "host 00:00:00:00:00:01 located at 0x1/1",
            "0x1 port added",
            "0x1 port changed",
            "0x1 port removed",
            "host 00:00:00:00:00:01 gone",
            "0x2 gone",
            "link down",
            "shutdown",
        ] {
            assert!(printed.iter().any(|line| line.starts_with(event)), "{version} {event}");
        }
    }
}

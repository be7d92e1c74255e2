use umlaut::samples::SwitchMonitor;
use umlaut_controller::Apps;
use umlaut_openflow::DatapathId;
use umlaut_testbed::Topology;

use super::{Lines, SECOND, VERSIONS, config, lab};

#[test]
fn switches_are_printed_as_they_come_and_go_and_now_and_then() {
    for version in VERSIONS {
        let lines = Lines::default();
        let period = config("switch-monitor: {period: 5}").switch_monitor;
        let monitor = SwitchMonitor::new(period, lines.print());
        let mut lab = lab(Apps::new().with(monitor), &Topology::unlinked(2, 1), version);
        let mut up = lines.take();
        up.sort();
        let expected = [1, 2].map(|n| format!("switch {n:#x} is up: OpenFlow {version}, 2 ports"));
        assert_eq!(up, expected);
        lab.run(5 * SECOND);
        assert_eq!(lines.take(), ["2 switches: 0x1, 0x2"]);
        lab.network.power_off(DatapathId(2)).unwrap();
        lab.run(5 * SECOND);
        assert_eq!(lines.take(), ["switch 0x2 is down", "1 switches: 0x1"]);
    }
}

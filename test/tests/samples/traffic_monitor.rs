use umlaut::samples::{LearningSwitch, TrafficMonitor};
use umlaut_controller::Apps;
use umlaut_testbed::Topology;

use super::{Lines, SECOND, VERSIONS, config, lab};

#[test]
fn frames_are_counted_once_whether_by_entry_or_by_the_controller() {
    for version in VERSIONS {
        let lines = Lines::default();
        let period = config("traffic-monitor: {period: 3}").traffic_monitor;
        let monitor = TrafficMonitor::new(period, lines.print());
        let apps = Apps::new().with(monitor).with(LearningSwitch);
        let mut lab = lab(apps, &Topology::single(2), version);
        // Flooded, then by entries: seven frames of h1 and five of h2, 60 bytes each.
        for _ in 0..5 {
            lab.say("h1", "h2");
            lab.say("h2", "h1");
        }
        lab.run(9 * SECOND);
        for _ in 0..2 {
            lab.say("h1", "h2");
        }
        lab.run(9 * SECOND);
        let printed = lines.take();
        let last = &printed[printed.len() - 2..];
        let expected = [
            "0x1 00:00:00:00:00:01: 7 packets, 420 bytes",
            "0x1 00:00:00:00:00:02: 5 packets, 300 bytes",
        ];
        assert_eq!(last, expected, "{version}");
        // Entries that end and come again start anew; nothing is counted twice.
        lab.run(100 * SECOND);
        lab.say("h1", "h2");
        lab.run(9 * SECOND);
        let printed = lines.take();
        assert_eq!(printed[printed.len() - 2], "0x1 00:00:00:00:00:01: 8 packets, 480 bytes");
    }
}

use umlaut::samples::{FlowDumper, LearningSwitch};
use umlaut_controller::Apps;
use umlaut_testbed::Topology;

use super::{Lines, SECOND, VERSIONS, lab};

#[test]
fn the_entries_of_all_applications_are_printed() {
    for version in VERSIONS {
        let lines = Lines::default();
        let dumper = FlowDumper::new(Default::default(), lines.print());
        let apps = Apps::new().with(dumper).with(LearningSwitch);
        let mut lab = lab(apps, &Topology::single(2), version);
        for (from, to) in [("h1", "h2"), ("h2", "h1"), ("h2", "h1")] {
            lab.say(from, to);
        }
        lab.run(11 * SECOND);
        let printed = lines.take();
        // The standing entries are there as well: LLDP and, in 1.3, the table-miss.
        let count =
            lab.flows(1).len() + if version == umlaut_openflow::Version::V1_0 { 1 } else { 2 };
        assert_eq!(printed[0], format!("switch 0x1: {count} entries"));
        assert_eq!(printed.len(), count + 1);
        let learned = printed.iter().find(|line| line.contains("EthDst")).unwrap();
        for part in ["priority 32768", "00:00:00:00:00:01", "=> Output", "1 packets, 60 bytes"] {
            assert!(learned.contains(part), "{learned}");
        }
    }
}

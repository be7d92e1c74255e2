use umlaut::samples::Hub;
use umlaut_controller::Apps;
use umlaut_testbed::Topology;

use super::{VERSIONS, lab};

#[test]
fn a_frame_comes_to_all_others_once() {
    for version in VERSIONS {
        let mut lab = lab(Apps::new().with(Hub), &Topology::linear(2, 2), version);
        for _ in 0..2 {
            assert_eq!(lab.say("h1", "h4"), ["h2", "h3", "h4"]);
            assert_eq!(lab.say("h4", "all"), ["h1", "h2", "h3"]);
        }
        assert!(lab.flows(1).is_empty());
    }
}

//! The application on an emulated network in virtual time.

use umlaut::virtual_lab::VirtualLab;
use umlaut_controller::Apps;
use umlaut_testbed::Topology;

use super::LearningSwitch;

#[test]
fn a_host_that_has_spoken_is_not_flooded_to() {
    // Two switches in a row with two hosts each: h1 and h2, h3 and h4.
    let apps = Apps::new().with(LearningSwitch::default());
    let mut lab = VirtualLab::new(apps, &Topology::linear(2, 2));
    assert_eq!(lab.say("h1", "h4"), ["h2", "h3", "h4"]);
    assert_eq!(lab.say("h4", "h1"), ["h1"]);
    assert_eq!(lab.say("h1", "h4"), ["h4"]);
}

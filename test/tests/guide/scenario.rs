use umlaut::emulated_ground::EmulatedGround;
use umlaut_openflow::Version;
use umlaut_testbed::scenario::{Scenario, run};

const SCENARIO: &str = r#"
name: two slices share a switch
policy:
  umlaut: 1
  switches: {s1: 0x1}
  hosts:
    alice: {mac: "00:00:00:00:00:01", at: s1/1}
    bob: {mac: "00:00:00:00:00:02", at: s1/2}
    eve: {mac: "00:00:00:00:00:66", at: s1/3}
  slices:
    lab: {members: [{port: s1/1}, {port: s1/2}]}
    guests: {members: [{port: s1/3}]}
steps:
  - {send: {from: alice, to: all}, arrives: [bob]}
  - {send: {from: alice, to: eve}, arrives: [bob]} # unknown in lab: to all of lab
  - {port: s1/2 down}
  - {send: {from: alice, to: all}, arrives: []}
"#;

#[test]
fn the_slices_share_nothing() {
    let scenario = Scenario::parse(SCENARIO).unwrap();
    for seed in 1..10 {
        let ground =
            |policy: &_, text: &_| EmulatedGround::start(Version::V1_3, seed, policy, text);
        run(&scenario, ground).unwrap();
    }
}

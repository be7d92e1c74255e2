//! Which switches may join: by datapath id and certificate, when they connect and when the policy
//! changes.

mod common;

use std::time::Duration;

use common::wires::Wires;
use umlaut_controller::{Certificate, Origin};

/// Switch 1 must show a certificate for `s1`.
const CERTIFIED: &str = "umlaut: 1\nswitches: {s1: {dpid: 0x1, cert: s1}, s2: 0x2}\nslices: {a: {members: [{port: 0x1/1}, {port: 0x2/1}]}}\n";
const OPEN: &str = "umlaut: 1\nswitches: {s1: 0x1, s2: 0x2}\nslices: {a: {members: [{port: 0x1/1}, {port: 0x2/1}]}}\n";
const ONLY_S2: &str = "umlaut: 1\nswitches: {s2: 0x2}\nslices: {a: {members: [{port: s2/1}]}}\noptions: {unknown_switches: refuse}\n";

fn plain() -> Origin {
    Origin::named("plain")
}

fn certified(name: &str) -> Origin {
    let certificate = Certificate { fingerprint: [1; 32], names: vec![name.to_owned()] };
    Origin { certificate: Some(certificate), ..Origin::named("certified") }
}

#[test]
fn a_switch_that_must_show_a_certificate_joins_with_that_one_only() {
    let mut wires = Wires::new(CERTIFIED);
    wires.connect(1, 1, plain());
    wires.connect(2, 1, certified("s9"));
    assert_eq!(wires.closed, [1, 2]);
    assert_eq!(wires.active(), 0);
    let reasons = wires.reasons();
    assert!(reasons[0].contains("connected without TLS"), "{reasons:?}");
    assert!(reasons[1].contains("showed s9"), "{reasons:?}");
    wires.connect(3, 1, certified("s1"));
    wires.connect(4, 2, plain());
    assert_eq!(wires.active(), 2, "{:?}", wires.reasons());
}

/// Whoever is refused has no say in who holds the datapath.
#[test]
fn a_refused_connection_does_not_disturb_the_one_that_is_served() {
    let mut wires = Wires::new(CERTIFIED);
    wires.connect(1, 1, certified("s1"));
    // It would lose its place to anybody now.
    wires.mute.push(1);
    wires.connect(2, 1, certified("s9"));
    wires.run(Duration::from_secs(3));
    assert_eq!(wires.closed, [2]);
    assert_eq!(wires.active(), 1);
}

#[test]
fn a_new_policy_empties_and_disconnects_a_switch_that_it_refuses() {
    for (policy, why) in [(ONLY_S2, "not under switches"), (CERTIFIED, "without TLS")] {
        let mut wires = Wires::new(OPEN);
        wires.connect(1, 1, plain());
        wires.connect(2, 2, plain());
        assert_eq!(wires.active(), 2);
        let topology = |wires: &Wires| {
            let world = wires.controller.shared().world.load();
            world.topology.switches().count()
        };
        assert_eq!(topology(&wires), 2);
        wires.keep_closed = true;
        wires.set_policy(policy);
        assert_eq!(wires.closed, [1]);
        assert_eq!(wires.active(), 1);
        let reasons = wires.reasons();
        assert!(reasons.len() == 1 && reasons[0].contains(why), "{reasons:?}");
        assert!(wires.switches[&1].flows(wires.now).is_empty(), "its flows are gone");
        assert!(!wires.switches[&2].flows(wires.now).is_empty(), "the other's stay");
        assert_eq!(topology(&wires), 1, "nobody waits for it");
        // Another policy lets it come back.
        wires.set_policy(OPEN);
        wires.connect(3, 1, plain());
        assert_eq!(wires.active(), 2);
    }
}

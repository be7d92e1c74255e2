//! Two connections of one datapath id: the older one stays if it is alive and not surely the same
//! switch.

mod common;

use std::time::Duration;

use common::wires::Wires;
use umlaut_controller::{Certificate, Origin};

const POLICY: &str = "umlaut: 1\nslices: {a: {members: [{port: 0x1/1}]}}\n";

/// A switch with a certificate for this name.
fn certified(address: u8, name: &str) -> Origin {
    let certificate = Certificate { fingerprint: [address; 32], names: vec![name.to_owned()] };
    Origin {
        peer: format!("10.0.0.{address}"),
        address: Some([10, 0, 0, address].into()),
        certificate: Some(certificate),
    }
}

#[test]
fn a_second_connection_is_refused_while_the_first_is_alive() {
    let mut wires = Wires::new(POLICY);
    wires.connect(1, 1, Origin::named("one"));
    assert_eq!(wires.active(), 1);
    wires.connect(2, 1, Origin::named("two"));
    wires.run(Duration::from_secs(3));
    assert_eq!(wires.closed, [2]);
    assert_eq!(wires.active(), 1);
}

#[test]
fn a_second_connection_takes_over_from_a_dead_one_within_two_seconds() {
    let mut wires = Wires::new(POLICY);
    wires.connect(1, 1, Origin::named("one"));
    wires.mute.push(1);
    wires.connect(2, 1, Origin::named("two"));
    assert!(wires.closed.is_empty(), "the first has a second to answer");
    wires.run(Duration::from_secs(2));
    assert_eq!(wires.closed, [1]);
    assert_eq!(wires.active(), 1);
    assert!(wires.switches[&2].version().is_some());
}

#[test]
fn the_same_certificate_takes_over_from_a_living_connection_at_once() {
    let mut wires = Wires::new(POLICY);
    wires.connect(1, 1, certified(1, "s1"));
    wires.connect(2, 1, certified(2, "s1"));
    assert_eq!(wires.closed, [1]);
    assert_eq!(wires.active(), 1);
}

#[test]
fn an_address_does_not_stand_in_for_a_certificate() {
    let mut wires = Wires::new(POLICY);
    wires.connect(1, 1, certified(1, "s1"));
    wires.connect(2, 1, Origin { certificate: None, ..certified(1, "s1") });
    wires.run(Duration::from_secs(3));
    assert_eq!(wires.closed, [2]);
    assert_eq!(wires.active(), 1);
}

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

#[test]
fn a_switch_that_connects_again_from_its_address_takes_over_at_once() {
    let from = |host: u8| Origin {
        peer: format!("192.0.2.{host}"),
        address: Some([192, 0, 2, host].into()),
        certificate: None,
    };
    let mut wires = Wires::new(POLICY);
    wires.connect(1, 1, from(1));
    // It lost power: nobody says that the first connection is dead.
    wires.mute.push(1);
    wires.connect(2, 1, from(1));
    assert_eq!((&wires.closed[..], wires.active()), (&[1][..], 1));
    // From another one it has to wait for the proof.
    wires.mute.push(2);
    wires.connect(3, 1, from(9));
    assert_eq!(wires.closed, [1]);
    wires.run(Duration::from_secs(2));
    assert_eq!((&wires.closed[..], wires.active()), (&[1, 2][..], 1));
    // And while the one that serves is alive nobody takes its place from elsewhere.
    wires.connect(4, 1, from(1));
    wires.run(Duration::from_secs(3));
    assert_eq!((&wires.closed[..], wires.active()), (&[1, 2, 4][..], 1));
}

use umlaut::samples::{Firewall, LearningSwitch};
use umlaut::virtual_lab::VirtualLab;
use umlaut_controller::Apps;
use umlaut_testbed::Topology;

use super::{VERSIONS, config, lab};

/// Whether h2 receives UDP from h1 to this port.
fn passes(lab: &mut VirtualLab, port: u16) -> bool {
    let payload = format!("<to {port}, {:?}>", lab.network.elapsed());
    let to = lab.network.host("h2").unwrap().spec().ipv4.unwrap();
    lab.with_host("h1", |h1, now| h1.send_udp(to, 1000, port, payload.as_bytes(), now));
    lab.run(super::SECOND / 10);
    let saw = lab.who_saw(payload.as_bytes());
    saw.iter().any(|name| name == "h2")
}

#[test]
fn the_first_rule_that_matches_counts_and_the_rest_is_allowed() {
    let rules = "firewall:\n  rules:\n  - allow: {udp_dst: 53, ipv4_src: 192.168.0.1}\n  \
                 - deny: {udp_dst: 53}\n  - deny: {udp_dst: 69}\n";
    for version in VERSIONS {
        let firewall = Firewall::new(config(rules).firewall);
        let apps = Apps::new().with(firewall).with(LearningSwitch);
        let mut lab = lab(apps, &Topology::single(3), version);
        lab.say("h2", "h1");
        // The learning switch's own entries do not open what is denied.
        for _ in 0..3 {
            for (port, expected) in [(53, true), (69, false), (80, true)] {
                assert_eq!(passes(&mut lab, port), expected, "{version} {port}");
            }
        }
        lab.with_host("h1", |h1, _| h1.set_mac(umlaut_openflow::MacAddr::from_u64(0x77)));
        assert!(passes(&mut lab, 53) && !passes(&mut lab, 69));
        assert_eq!(lab.say("h1", "h2"), ["h2"]);
    }
}

#[test]
fn a_last_rule_denies_everything_else() {
    let rules = "firewall: {rules: [{allow: {udp_dst: 53}}, {deny: {}}]}";
    for version in VERSIONS {
        let firewall = Firewall::new(config(rules).firewall);
        let apps = Apps::new().with(firewall).with(LearningSwitch);
        let mut lab = lab(apps, &Topology::single(2), version);
        for _ in 0..2 {
            assert!(passes(&mut lab, 53) && !passes(&mut lab, 80), "{version}");
            assert!(lab.say("h1", "all").is_empty());
        }
    }
}

#[test]
fn a_frame_that_comes_before_the_entries_is_taken() {
    let firewall = Firewall::new(config("firewall: {rules: [{deny: {udp_dst: 69}}]}").firewall);
    let apps = Apps::new().with(firewall).with(LearningSwitch);
    let mut lab = lab(apps, &Topology::single(2), VERSIONS[0]);
    // The switch loses its entries.
    lab.network.with_switch(umlaut_openflow::DatapathId(1), |switch, now| {
        let denied = umlaut_openflow::FlowMod::delete(
            umlaut_openflow::Match::new().udp_dst(69u16).with_prerequisites(),
        );
        let mut bytes = bytes::BytesMut::new();
        let message = umlaut_openflow::Message::FlowMod(denied);
        umlaut_openflow::encode(super::VERSIONS[0], umlaut_openflow::Xid(9), &message, &mut bytes)
            .unwrap();
        switch.control_input(&bytes, now);
    });
    assert!(lab.flows(1).is_empty());
    assert!(!passes(&mut lab, 69) && passes(&mut lab, 80));
}

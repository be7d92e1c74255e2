//! Isolation and forwarding on emulated networks, by what arrives at every host.

mod common;

use std::time::Duration;

use common::{Bed, VERSIONS, saw};
use umlaut_openflow::MacAddr;

const TWO_SWITCHES: &str = r#"
umlaut: 1
switches: {s1: 0x1, s2: 0x2}
hosts:
  a1: {mac: "00:00:00:00:00:01", at: s1/1}
  a2: {mac: "00:00:00:00:00:02", at: s2/1}
  b1: {mac: "00:00:00:00:00:03", at: s1/2}
  b2: {mac: "00:00:00:00:00:04", at: s2/2}
  eve: {mac: "00:00:00:00:00:66", at: s1/3}
slices:
  a: {members: [{host: a1}, {host: a2}]}
  b: {members: [{port: s1/2}, {port: s2/2}]}
links: [[s1/9, s2/9]]
"#;

/// Sender, destination, source, tags and EtherType of a frame.
type Row<'a> = (&'a str, MacAddr, MacAddr, &'a [(u16, u16)], u16);

fn ring(members: &str) -> String {
    format!(
        r#"
umlaut: 1
switches: {{s1: 0x1, s2: 0x2, s3: 0x3}}
hosts:
  a1: {{mac: "00:00:00:00:00:01", at: s1/1}}
  a2: {{mac: "00:00:00:00:00:02", at: s2/1}}
  a3: {{mac: "00:00:00:00:00:03", at: s3/1}}
  b1: {{mac: "00:00:00:00:00:04", at: s1/2}}
  b2: {{mac: "00:00:00:00:00:05", at: s2/2}}
slices:
  a: {{members: [{members}]}}
  b: {{members: [{{port: s1/2}}, {{port: s2/2}}]}}
links: [[s1/8, s2/9], [s2/8, s3/9], [s3/8, s1/9]]
"#
    )
}

#[test]
fn slices_over_two_switches_are_kept_apart() {
    for version in VERSIONS {
        let mut bed = Bed::new(TWO_SWITCHES, version, 1);
        // Nobody knows where a2 is: the only point of the slice is the sender's own.
        assert_eq!(bed.say("a1", "a2"), [], "{version}");
        assert_eq!(bed.say("a2", "a1"), saw(&["a1"]));
        assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
        assert_eq!(bed.say("a1", "all"), saw(&["a2"]));
        assert_eq!(bed.say("b1", "b2"), saw(&["b2"]));
        assert_eq!(bed.say("b2", "b1"), saw(&["b1"]));
        assert_eq!(bed.say("b1", "all"), saw(&["b2"]));
        for (from, to) in
            [("a1", "b1"), ("a1", "b2"), ("b1", "a1"), ("b2", "a1"), ("eve", "a1"), ("eve", "all")]
        {
            assert_eq!(bed.say(from, to), [], "{from} to {to}");
        }
        // By entries, not one by one, and the same again.
        assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
        assert!(bed.flows()["s1"] >= 3 && bed.flows()["s2"] >= 3, "{:?}", bed.flows());
    }
}

#[test]
fn in_a_ring_each_member_gets_a_broadcast_once() {
    for version in VERSIONS {
        for seed in 0..8 {
            let text = ring("{port: s1/1}, {port: s2/1}, {port: s3/1}");
            let mut bed = Bed::new(&text, version, seed);
            assert_eq!(bed.say("a1", "all"), saw(&["a2", "a3"]));
            assert_eq!(bed.say("a3", "all"), saw(&["a1", "a2"]));
            assert_eq!(bed.say("b1", "all"), saw(&["b2"]));
        }
    }
}

#[test]
fn a_cut_link_is_gone_round_at_once_and_the_short_way_taken_when_it_heals() {
    for version in VERSIONS {
        let text = ring("{port: s1/1}, {port: s2/1}, {port: s3/1}");
        let mut bed = Bed::new(&text, version, 3);
        bed.say("a2", "a1");
        assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
        assert_eq!(bed.flows()["s3"], 0);
        assert!(bed.network.cut(0));
        // The path takes the other way before another packet-in asks for it.
        bed.run(Duration::from_millis(50));
        assert!(bed.flows()["s3"] >= 1, "{:?}", bed.flows());
        assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
        assert_eq!(bed.say("a1", "all"), saw(&["a2", "a3"]));
        assert!(bed.network.heal(0));
        bed.run(Duration::from_secs(8));
        assert_eq!(bed.flows()["s3"], 0, "{:?}", bed.flows());
        assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
        // A partition: nobody beyond it is reached by anything.
        bed.network.cut(0);
        bed.network.cut(1);
        bed.run(Duration::from_millis(50));
        assert_eq!(bed.say("a1", "a2"), []);
        assert_eq!(bed.say("a1", "all"), saw(&["a3"]));
    }
}

#[test]
fn the_same_mac_pair_in_two_slices_shares_a_link_without_mixing() {
    let text = r#"
umlaut: 1
switches: {s1: 0x1, s2: 0x2}
slices:
  a: {members: [{port: s1/1}, {port: s2/1}]}
  b: {members: [{port: s1/2}, {port: s2/2}]}
hosts:
  a1: {mac: "00:00:00:00:00:01", at: s1/1}
  a2: {mac: "00:00:00:00:00:02", at: s2/1}
  b1: {mac: "00:00:00:00:00:11", at: s1/2}
  b2: {mac: "00:00:00:00:00:12", at: s2/2}
links: [[s1/9, s2/9]]
"#;
    for version in VERSIONS {
        for seed in 0..4 {
            let mut bed = Bed::new(text, version, seed);
            // The b hosts take the addresses of the a hosts.
            let (m1, m2) = (MacAddr::from_u64(1), MacAddr::from_u64(2));
            bed.network.with_host("b1", |host, _| host.set_mac(m1));
            bed.network.with_host("b2", |host, _| host.set_mac(m2));
            for _ in 0..3 {
                assert_eq!(bed.say("a2", "a1"), saw(&["a1"]));
                assert_eq!(bed.say("b2", "b1"), saw(&["b1"]));
                assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
                assert_eq!(bed.say("b1", "b2"), saw(&["b2"]));
            }
        }
    }
}

#[test]
fn a_host_that_moves_takes_its_paths_with_it() {
    for version in VERSIONS {
        let mut bed = Bed::new(TWO_SWITCHES, version, 2);
        bed.say("a2", "a1");
        assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
        assert_eq!(bed.say("a2", "a1"), saw(&["a1"]));
        // To another switch, without waiting: its port went down.
        bed.network.plug("a2", umlaut_testbed::Endpoint::new(1, 5)).unwrap();
        bed.run(Duration::from_millis(20));
        assert_eq!(bed.say("a2", "a1"), saw(&["a1"]));
        assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
        // To a port of the other slice: still its own slice, never the other's frames.
        bed.network.unplug("b1").unwrap();
        bed.network.plug("a2", umlaut_testbed::Endpoint::new(1, 2)).unwrap();
        bed.run(Duration::from_millis(20));
        assert_eq!(bed.say("a2", "a1"), saw(&["a1"]));
        assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
        assert_eq!(bed.say("a1", "all"), [], "group frames do not go to another slice's port");
        assert_eq!(bed.say("b2", "a2"), []);
    }
}

#[test]
fn a_policy_change_stops_what_it_forbids_and_leaves_the_rest_alone() {
    for version in VERSIONS {
        for seed in 0..4 {
            let mut bed = Bed::new(TWO_SWITCHES, version, seed);
            bed.say("a2", "a1");
            bed.say("a1", "a2");
            bed.say("b2", "b1");
            bed.say("b1", "b2");
            let flow_mods = |bed: &Bed| -> u64 {
                bed.network.controller().0.switches().map(|s| s.counters().flow_mods).sum()
            };
            let before = flow_mods(&bed);
            bed.set_policy(&format!("# moved\n{TWO_SWITCHES}"));
            assert_eq!(flow_mods(&bed), before, "nothing decided differently");
            // a2 is out.
            bed.set_policy(&TWO_SWITCHES.replace("{host: a1}, {host: a2}", "{host: a1}"));
            assert_eq!(bed.say("a1", "a2"), []);
            assert_eq!(bed.say("a2", "a1"), []);
            assert_eq!(bed.say("b1", "b2"), saw(&["b2"]));
            // And in again: at once, whatever drop entries there were.
            bed.set_policy(TWO_SWITCHES);
            assert_eq!(bed.say("a2", "a1"), saw(&["a1"]));
            assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
            // A new filter acts on traffic that has its entries.
            let deny = format!(
                "{TWO_SWITCHES}\nfilters: [{{id: no, match: {{eth_type: 0x88b5}}, slice: a, action: deny}}]\n"
            );
            bed.set_policy(&deny);
            assert_eq!(bed.say("a1", "a2"), []);
            assert_eq!(bed.say("b1", "b2"), saw(&["b2"]));
            // The slice is deleted.
            bed.set_policy(&TWO_SWITCHES.replace("  a: {members: [{host: a1}, {host: a2}]}\n", ""));
            assert_eq!(bed.say("a1", "a2"), []);
            assert_eq!(bed.say("a1", "all"), []);
            assert_eq!(bed.say("b2", "all"), saw(&["b1"]));
        }
    }
}

#[test]
fn spoofed_and_tagged_frames_get_nowhere() {
    let text = r#"
umlaut: 1
switches: {s1: 0x1}
hosts:
  a1: {mac: "00:00:00:00:00:01", at: s1/1}
  a2: {mac: "00:00:00:00:00:02", at: s1/2}
  b1: {mac: "00:00:00:00:00:03", at: s1/3}
  b2: {mac: "00:00:00:00:00:04", at: s1/4, vlan: 20}
slices:
  a: {members: [{port: s1/1}, {port: s1/2}]}
  b: {members: [{port: s1/3}, {port: s1/4, vlan: 20}]}
"#;
    for version in VERSIONS {
        let mut bed = Bed::new(text, version, 1);
        let (a1, a2, b1) = (bed.mac("a1"), bed.mac("a2"), bed.mac("b1"));
        for (from, to) in [("a1", "a2"), ("a2", "a1"), ("b1", "b2"), ("b2", "b1")] {
            bed.say(from, to);
        }
        // The tag is made on the way out and taken off on the way in.
        assert_eq!(bed.say("b1", "b2"), saw(&["b2"]));
        assert_eq!(bed.say("b2", "b1"), saw(&["b1"]));
        assert_eq!(bed.say("b1", "all"), saw(&["b2"]));
        let all = MacAddr::BROADCAST;
        // A foreign address as source or destination changes nothing about whose port it is.
        assert_eq!(bed.say_raw("b1", a1, a2, &[], common::TEST_TYPE), saw(&["b2"]));
        let rows: [Row<'_>; 8] = [
            ("b1", all, a1, &[(0x8100, 7)], common::TEST_TYPE),
            ("a1", b1, a1, &[(0x8100, 20)], common::TEST_TYPE),
            ("a1", all, a1, &[(0x8100, 20)], common::TEST_TYPE),
            ("a1", a2, a1, &[(0x8100, 20), (0x8100, 1)], common::TEST_TYPE),
            ("a1", a2, a1, &[(0x88a8, 20)], common::TEST_TYPE),
            ("a1", a2, MacAddr::BROADCAST, &[], common::TEST_TYPE),
            ("a1", a2, MacAddr::ZERO, &[], common::TEST_TYPE),
            ("a1", "01:80:c2:00:00:00".parse().unwrap(), a1, &[], common::TEST_TYPE),
        ];
        for (index, (from, dst, src, tags, eth_type)) in rows.into_iter().enumerate() {
            assert_eq!(bed.say_raw(from, dst, src, tags, eth_type), [], "row {index} {version}");
        }
        // None of it moved or opened anything.
        assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
        assert_eq!(bed.say("a2", "all"), saw(&["a1"]));
        // A priority tag is no VLAN.
        assert_eq!(bed.say_raw("a1", a2, a1, &[(0x8100, 0xa000)], common::TEST_TYPE), saw(&["a2"]));
    }
}

#[test]
fn the_original_s_standard_sequence_with_mac_members() {
    let text = r#"
umlaut: 1
switches: {s1: 0x1}
hosts:
  h1: {mac: "00:00:00:00:00:01", at: s1/3}
  h2: {mac: "00:00:00:00:00:02", at: s1/1}
  h3: {mac: "00:00:00:00:00:03", at: s1/2}
  h4: {mac: "00:00:00:00:00:04", at: s1/4}
slices:
  test1: {members: [{host: h1}, {host: h2}]}
  test2: {members: [{host: h3}]}
"#;
    for version in VERSIONS {
        for loose in [false, true] {
            let text = match loose {
                true => format!("{text}options: {{loose: true}}\n"),
                false => text.to_owned(),
            };
            let mut bed = Bed::new(&text, version, 1);
            let first = if loose { saw(&["h2", "h3", "h4"]) } else { vec![] };
            // In loose mode an unlocated member is looked for on all ports that nobody claims.
            assert_eq!(bed.say("h1", "h2"), first);
            assert_eq!(bed.say("h2", "h1"), saw(&["h1"]));
            assert_eq!(bed.say("h1", "h2"), saw(&["h2"]));
            for (from, to) in
                [("h1", "h3"), ("h3", "h1"), ("h1", "h3"), ("h1", "h4"), ("h4", "h1"), ("h1", "h4")]
            {
                assert_eq!(bed.say(from, to), [], "{from} to {to} loose {loose}");
            }
        }
    }
}

#[test]
fn arp_goes_by_packet_out_if_asked_for_and_fragments_get_no_entry() {
    let text = r#"
umlaut: 1
switches: {s1: 0x1}
hosts:
  a1: {mac: "00:00:00:00:00:01", at: s1/1}
  a2: {mac: "00:00:00:00:00:02", at: s1/2}
slices: {a: {members: [{port: s1/1}, {port: s1/2}]}}
filters: [{id: dns, match: {udp_dst: 53}, action: deny}]
options: {arp_packet_out: true}
"#;
    for version in VERSIONS {
        let mut bed = Bed::new(text, version, 1);
        let (a1, a2) = (bed.mac("a1"), bed.mac("a2"));
        bed.say("a2", "a1");
        let before = bed.flows()["s1"];
        assert_eq!(bed.say_raw("a1", a2, a1, &[], 0x0806), saw(&["a2"]));
        assert_eq!(bed.flows()["s1"], before, "no entry for ARP");
        let fragment = |proto: u8| {
            move |token: &[u8]| {
                let (from, to) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
                let mut packet = umlaut_openflow::build::ipv4(proto, from, to, token);
                packet[7] = 0x10;
                packet
            }
        };
        // A later fragment of UDP may belong to what is denied; one of ICMP cannot.
        assert_eq!(bed.say_ip("a1", "a2", fragment(17)), []);
        assert_eq!(bed.say_ip("a1", "a2", fragment(1)), saw(&["a2"]));
        assert_eq!(bed.flows()["s1"], before, "no entry for fragments");
        // Whole packets get entries as fine as the filters ask for.
        let udp = |port: u16| {
            move |token: &[u8]| {
                let (from, to) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
                umlaut_openflow::build::udp(from, to, 1000, port, token)
            }
        };
        assert_eq!(bed.say_ip("a1", "a2", udp(54)), saw(&["a2"]));
        assert_eq!(bed.flows()["s1"], before + 1);
        assert_eq!(bed.say_ip("a1", "a2", udp(53)), []);
        assert_eq!(bed.say_ip("a1", "a2", udp(54)), saw(&["a2"]));
    }
}

#[test]
fn a_full_flow_table_slows_traffic_down_but_stops_none() {
    for version in VERSIONS {
        let mut bed = Bed::new(TWO_SWITCHES, version, 1);
        bed.say("a2", "a1");
        bed.network.with_switch(umlaut_openflow::DatapathId(2), |switch, _| {
            switch.set_table_limit(Some(2));
        });
        for _ in 0..3 {
            assert_eq!(bed.say("a1", "a2"), saw(&["a2"]), "{version}");
            assert_eq!(bed.say("b2", "b1"), saw(&["b1"]), "{version}");
            assert_eq!(bed.say("b1", "b2"), saw(&["b2"]), "{version}");
        }
    }
}

#[test]
fn a_receiver_that_may_not_send_has_no_way_back() {
    let text = r#"
umlaut: 1
switches: {s1: 0x1}
hosts:
  a1: {mac: "00:00:00:00:00:01", at: s1/1}
  a2: {mac: "00:00:00:00:00:02", at: s1/2}
slices: {a: {members: [{port: s1/1}, {port: s1/2, restrict_hosts: true}]}}
options: {reverse_flow: true}
"#;
    let tcp = |from: [u8; 4], to: [u8; 4], ports: (u16, u16)| {
        move |token: &[u8]| {
            umlaut_openflow::build::tcp(from.into(), to.into(), ports.0, ports.1, 2, token)
        }
    };
    let (one, two) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    for version in VERSIONS {
        let mut bed = Bed::new(text, version, 1);
        // It is refused, and its place is guessed.
        assert_eq!(bed.say("a2", "all"), []);
        assert_eq!(bed.say_ip("a1", "a2", tcp(one, two, (1000, 80))), saw(&["a2"]));
        assert_eq!(bed.say_ip("a2", "a1", tcp(two, one, (80, 1000))), [], "{version}");
        // Where it may send, it answers.
        bed.set_policy(&text.replace("restrict_hosts: true", "restrict_hosts: false"));
        bed.run(Duration::from_secs(61));
        bed.say("a2", "all");
        assert_eq!(bed.say_ip("a1", "a2", tcp(one, two, (1000, 80))), saw(&["a2"]));
        assert_eq!(bed.say_ip("a2", "a1", tcp(two, one, (80, 1000))), saw(&["a1"]), "{version}");
    }
}

/// What the switch knows of hosts is what the policy of now would make of it, at once.
#[test]
fn a_new_policy_looks_at_every_host_again() {
    let policy = |members: &str| {
        format!(
            r#"
umlaut: 1
switches: {{s1: 0x1}}
hosts:
  a1: {{mac: "00:00:00:00:00:01", at: s1/1}}
  a2: {{mac: "00:00:00:00:00:02", at: s1/2}}
  a3: {{mac: "00:00:00:00:00:03", at: s1/3}}
slices: {{a: {{members: [{members}]}}}}
"#
        )
    };
    let open = policy("{port: s1/1}, {port: s1/2}, {port: s1/3}");
    for version in VERSIONS {
        // Whoever was admitted by a port and is bound by its MAC now receives floods at once.
        let mut bed = Bed::new(&open, version, 1);
        bed.say("a2", "all");
        bed.set_policy(&policy("{port: s1/1}, {mac: \"00:00:00:00:00:02\"}"));
        assert_eq!(bed.say("a1", "all"), saw(&["a2"]), "{version}");

        // Whoever is refused now where it was admitted can be guessed at.
        let mut bed = Bed::new(&open, version, 1);
        bed.say("a2", "all");
        bed.set_policy(&policy("{port: s1/1}, {port: s1/2, restrict_hosts: true}, {port: s1/3}"));
        assert_eq!(bed.say("a1", "a2"), saw(&["a2", "a3"]), "{version}: nobody knows where it is");
        assert_eq!(bed.say("a2", "all"), []);
        assert_eq!(bed.say("a1", "a2"), saw(&["a2"]), "{version}: it was refused there");

        // And no guess outlives what it came from.
        bed.set_policy(&open);
        assert_eq!(bed.say("a1", "a2"), saw(&["a2", "a3"]), "{version}: it may be anywhere");
    }
}

/// `match: exact` means every field that the version can match: what it cannot is no reason to send
/// all frames through the controller.
#[test]
fn exact_entries_are_installed_in_both_versions() {
    let text = r#"
umlaut: 1
switches: {s1: 0x1}
hosts:
  a1: {mac: "00:00:00:00:00:01", at: s1/1}
  a2: {mac: "00:00:00:00:00:02", at: s1/2}
slices: {a: {members: [{port: s1/1}, {port: s1/2}]}}
options: {match: exact}
"#;
    let (one, two) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    for version in VERSIONS {
        let mut bed = Bed::new(text, version, 1);
        bed.say("a2", "a1");
        let mut before = bed.flows()["s1"];
        let mut one_more = |bed: &Bed, what: &str| {
            before += 1;
            assert_eq!(bed.flows()["s1"], before, "{version}: {what}");
        };
        let tcp = |port: u16| {
            move |token: &[u8]| umlaut_openflow::build::tcp(one, two, 1000, port, 2, token)
        };
        for port in [80, 81] {
            assert_eq!(bed.say_ip("a1", "a2", tcp(port)), saw(&["a2"]));
            one_more(&bed, "each TCP port has its own");
        }
        let ping = |token: &[u8]| umlaut_openflow::build::icmp_echo(8, one, two, 1, 1, token);
        assert_eq!(bed.say_ip("a1", "a2", ping), saw(&["a2"]));
        one_more(&bed, "an echo request");
        assert_eq!(bed.say("a1", "a2"), saw(&["a2"]));
        one_more(&bed, "what is neither IP nor ARP");
    }
}

/// A refused host's place is a guess; when it is refused elsewhere, so is what was installed for it.
#[test]
fn a_guess_that_moves_takes_its_paths_along() {
    let text = r#"
umlaut: 1
switches: {s1: 0x1}
hosts:
  a1: {mac: "00:00:00:00:00:01", at: s1/1}
  a2: {mac: "00:00:00:00:00:02", at: s1/2}
  a3: {mac: "00:00:00:00:00:03", at: s1/3}
slices: {a: {members: [{mac: "00:00:00:00:00:01"}, {port: s1/2}, {port: s1/3}]}}
options: {restrict_hosts: true}
"#;
    let (name, mac) = ("00:00:00:00:00:09", MacAddr::from_u64(9));
    for version in VERSIONS {
        let mut bed = Bed::new(text, version, 1);
        bed.say("a1", "all");
        for at in ["a2", "a3"] {
            assert_eq!(bed.say_raw(at, MacAddr::from_u64(1), mac, &[], 0x88b5), [], "{version}");
            assert_eq!(bed.say("a1", name), saw(&[at]), "{version}: it was refused there");
        }
    }
}

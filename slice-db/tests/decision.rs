//! The decision, as tables: admission, the differences from the original (numbered as there),
//! reception, floods.

use umlaut_openflow::packet::{Field, Fragment, Headers, Tag};
use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo, Vid, VlanId};
use umlaut_slice_db::{
    Admission, AdmittedBy, DropReason, Ingress, NoTrace, OfflineNetwork, Policy, Refusal, SliceId,
    Verdict, admit, decide, no_other_speaks, suggest_member,
};

fn policy(text: &str) -> Policy {
    match Policy::parse("test", text) {
        Ok((policy, _)) => policy,
        Err(mistakes) => panic!("{}", mistakes[0].render(false)),
    }
}

/// A policy of these slices, one per line.
fn slices(slices: &[&str]) -> Policy {
    policy(&format!("umlaut: 1\nslices:\n  {}\n", slices.join("\n  ")))
}

fn at(port: u32) -> Attachment {
    Attachment { dpid: DatapathId(1), port: PortNo(port), vid: Vid::Untagged }
}

fn on_vlan(port: u32, vid: u16) -> Attachment {
    Attachment { vid: Vid::Tagged(VlanId::new(vid).unwrap()), ..at(port) }
}

fn mac(n: u64) -> MacAddr {
    MacAddr::from_u64(n)
}

fn frame(from: u64, to: u64) -> Headers {
    let eth_type = Field::Is(0x0800);
    Headers { eth_src: mac(from), eth_dst: mac(to), eth_type, ..Headers::default() }
}

fn verdict(policy: &Policy, network: &OfflineNetwork, port: u32, headers: &Headers) -> Verdict {
    let ingress = Ingress { dpid: DatapathId(1), port: PortNo(port), headers };
    decide(policy, network, ingress, &mut NoTrace).verdict
}

fn flood(outputs: &[Attachment]) -> Verdict {
    Verdict::Flood { outputs: outputs.to_vec() }
}

const ALL: u64 = 0xffff_ffff_ffff;

#[test]
fn admission_asks_mac_then_port_and_mac_then_port() {
    // Every combination of bindings of MAC 1 at port 1, and of the options.
    for bits in 0..64u32 {
        let has = |bit: u32| bits >> bit & 1 == 1;
        let (by_mac, pinned, by_port_mac, by_port) = (has(0), has(1), has(2), has(3));
        let (restricted, foreign_refused) = (has(4), has(5));
        if by_mac && by_port_mac {
            // The port+MAC member of another slice would be dead: a mistake in the file.
            continue;
        }
        let m = match (by_mac, pinned) {
            (true, true) => "{mac: \"00:00:00:00:00:01\", only_at: [0x1/9]}",
            (true, false) => "{mac: \"00:00:00:00:00:01\"}",
            (false, _) => "",
        };
        let pm = if by_port_mac { "{port: 0x1/1, mac: \"00:00:00:00:00:01\"}" } else { "" };
        let p = if by_port { "{port: 0x1/1}" } else { "" };
        let foreign = if foreign_refused { "refuse" } else { "admit" };
        let text = format!(
            "umlaut: 1\nslices:\n  m: {{members: [{m}]}}\n  pm: {{members: [{pm}]}}\n  \
             p: {{members: [{p}]}}\noptions: {{restrict_hosts: {restricted}, \
             macs_on_foreign_ports: {foreign}}}\n"
        );
        let policy = policy(&text);
        let expected = if by_mac && pinned {
            Err(Refusal::PinnedElsewhere)
        } else if by_mac && foreign_refused && by_port {
            Err(Refusal::ForeignPort)
        } else if by_mac {
            Ok(("m", AdmittedBy::Mac))
        } else if by_port_mac {
            Ok(("pm", AdmittedBy::PortMac))
        } else if by_port && restricted {
            Err(Refusal::Restricted)
        } else if by_port {
            Ok(("p", AdmittedBy::Port))
        } else {
            Err(Refusal::NoBinding)
        };
        let found = admit(&policy, at(1), mac(1))
            .map(|Admission { slice, by, .. }| (policy.slice_name(slice), by));
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn restriction_holds_for_the_policy_the_slice_or_the_member() {
    for (options, slice, member, restricted) in [
        ("", "", "", false),
        ("options: {restrict_hosts: true}\n", "", "", true),
        ("", "restrict_hosts: true, ", "", true),
        ("", "", ", restrict_hosts: true", true),
    ] {
        let text = format!(
            "umlaut: 1\nslices:\n  a: {{{slice}members: [{{port: 0x1/1{member}}}]}}\n{options}"
        );
        let found = admit(&policy(&text), at(1), mac(1));
        assert_eq!(found.err(), restricted.then_some(Refusal::Restricted), "{text}");
    }
}

#[test]
fn port_and_mac_members_are_asked_without_restriction() {
    let policy = slices(&[
        "a: {members: [{port: 0x1/1}]}",
        "b: {members: [{port: 0x1/1, mac: \"00:00:00:00:00:06\"}]}",
    ]);
    let slice = |n| policy.slice_name(admit(&policy, at(1), mac(n)).unwrap().slice);
    assert_eq!((slice(6), slice(7)), ("b", "a"));
}

#[test]
fn d1_a_mac_bound_host_admits_nobody_but_itself() {
    let policy = slices(&["a: {members: [{mac: \"00:00:00:00:00:01\"}]}"]);
    let mut network = OfflineNetwork::silent(&policy);
    network.speak(&policy, mac(1), at(5));
    let neighbour = verdict(&policy, &network, 5, &frame(0x99, ALL));
    assert_eq!(neighbour, Verdict::Drop(DropReason::NoBinding));
}

#[test]
fn d2_d5_slices_and_vlans_share_a_port_for_delivery() {
    let policy = slices(&[
        "a: {members: [{port: 0x1/1}, {port: 0x1/2, vlan: 7}, {port: 0x1/2, vlan: 8}]}",
        "b: {members: [{mac: \"00:00:00:00:00:02\"}, {mac: \"00:00:00:00:00:03\"}]}",
        "c: {members: [{mac: \"00:00:00:00:00:04\"}, {mac: \"00:00:00:00:00:05\"}]}",
    ]);
    let mut network = OfflineNetwork::silent(&policy);
    let to_both = flood(&[on_vlan(2, 7), on_vlan(2, 8)]);
    assert_eq!(verdict(&policy, &network, 1, &frame(9, ALL)), to_both);
    // Hosts of two slices behind one port.
    for (host, port) in [(2, 5), (4, 5), (3, 6), (5, 6)] {
        network.speak(&policy, mac(host), at(port));
    }
    assert_eq!(verdict(&policy, &network, 6, &frame(3, ALL)), flood(&[at(5)]));
    assert_eq!(verdict(&policy, &network, 6, &frame(5, ALL)), flood(&[at(5)]));
    // The same port on another VLAN is served, the ingress VLAN is not.
    let vid = VlanId::new(7).unwrap();
    let tagged = Headers { tag: Tag::Vlan { vid, pcp: 0 }, ..frame(9, ALL) };
    assert_eq!(verdict(&policy, &network, 2, &tagged), flood(&[at(1), on_vlan(2, 8)]));
}

#[test]
fn d3_d4_the_destination_s_own_binding_counts_not_its_port() {
    let policy = slices(&[
        "a: {members: [{port: 0x1/1}, {port: 0x1/2}]}",
        "b: {members: [{mac: \"00:00:00:00:00:02\"}, {mac: \"00:00:00:00:00:03\"}]}",
    ]);
    let mut network = OfflineNetwork::silent(&policy);
    network.speak(&policy, mac(2), at(2));
    network.speak(&policy, mac(3), at(3));
    let drop = |reason| Verdict::Drop(reason);
    assert_eq!(verdict(&policy, &network, 1, &frame(9, 2)), drop(DropReason::OtherSlice));
    // On the port of slice a it gets its own unicast, but no group frames of its slice.
    assert_eq!(verdict(&policy, &network, 3, &frame(3, 2)), Verdict::Forward { to: at(2) });
    assert_eq!(verdict(&policy, &network, 3, &frame(3, ALL)), drop(DropReason::NoReceivers));
}

#[test]
fn d6_d7_slices_beyond_sixteen_bits_neither_end_nor_alias() {
    let mut text = "umlaut: 1\nslices:\n".to_owned();
    for n in 0..70_000u64 {
        text.push_str(&format!("  s{n}: {{members: [{{mac: \"{}\"}}]}}\n", mac(n + 1)));
    }
    let policy = policy(&text);
    for n in [0u64, 1, 65_534, 65_535, 65_536, 69_999] {
        let admission = admit(&policy, at(1), mac(n + 1)).unwrap();
        assert_eq!(policy.slice_name(admission.slice), format!("s{n}"));
    }
}

#[test]
fn d8_a_key_in_two_slices_is_a_mistake_naming_both_lines() {
    let text =
        "umlaut: 1\nslices:\n  a: {members: [{port: 0x1/1}]}\n  b: {members: [{port: 0x1/1}]}\n";
    let mistakes = Policy::parse("p", text).unwrap_err();
    let told = &mistakes[0];
    assert_eq!((mistakes.len(), told.code), (1, "member-in-two-slices"));
    assert_eq!(told.labels.iter().map(|label| label.line).collect::<Vec<_>>(), [4, 3]);
}

#[test]
fn d11_a_mac_on_a_foreign_port_is_admitted_unless_refused() {
    let text = "umlaut: 1\nslices:\n  a: {members: [{mac: \"00:00:00:00:00:01\"}]}\n  b: {members: [{port: 0x1/1}]}\n";
    let open = policy(text);
    assert_eq!(open.slice_name(admit(&open, at(1), mac(1)).unwrap().slice), "a");
    let strict = policy(&format!("{text}options: {{macs_on_foreign_ports: refuse}}\n"));
    assert_eq!(admit(&strict, at(1), mac(1)), Err(Refusal::ForeignPort));
}

#[test]
fn d12_d13_frames_that_no_bridge_forwards_are_dropped_first() {
    let policy = slices(&["a: {members: [{port: 0x1/1}, {port: 0x1/2}]}"]);
    let network = OfflineNetwork::silent(&policy);
    let good = frame(1, ALL);
    let reserved = "01:80:c2:00:00:03".parse().unwrap();
    let rows = [
        (Headers { tag: Tag::Priority { pcp: 5 }, ..good }, None),
        (Headers { stacked: true, ..good }, Some(DropReason::DoubleTag)),
        (Headers { tag: Tag::Reserved, ..good }, Some(DropReason::ReservedVid)),
        (Headers { eth_src: mac(1 << 40), ..good }, Some(DropReason::BadSource)),
        (Headers { eth_src: mac(0), ..good }, Some(DropReason::BadSource)),
        (Headers { eth_dst: reserved, ..good }, Some(DropReason::ReservedDestination)),
        (Headers { eth_type: Field::Is(0x88cc), ..good }, Some(DropReason::ReservedDestination)),
    ];
    for (headers, reason) in rows {
        let expected = reason.map_or(flood(&[at(2)]), Verdict::Drop);
        assert_eq!(verdict(&policy, &network, 1, &headers), expected, "{headers:?}");
    }
}

#[test]
fn a_refused_host_may_still_be_a_destination() {
    // It sends untagged where VLAN 7 is bound.
    let policy = slices(&["a: {members: [{port: 0x1/1}, {port: 0x1/2, vlan: 7}]}"]);
    let mut network = OfflineNetwork::silent(&policy);
    network.speak(&policy, mac(2), at(2));
    let to = Verdict::Forward { to: on_vlan(2, 7) };
    assert_eq!(verdict(&policy, &network, 1, &frame(1, 2)), to);
}

#[test]
fn pins_bind_sender_and_receiver() {
    let policy = slices(&[
        "a: {members: [{mac: \"00:00:00:00:00:01\", only_at: [0x1/1]}, {port: 0x1/2}, {port: 0x1/3}]}",
    ]);
    let mut network = OfflineNetwork::silent(&policy);
    let elsewhere = verdict(&policy, &network, 2, &frame(1, ALL));
    assert_eq!(elsewhere, Verdict::Drop(DropReason::PinnedElsewhere));
    // Frames to it go to its pin only, spoken or not.
    assert_eq!(verdict(&policy, &network, 2, &frame(9, 1)), flood(&[at(1)]));
    network.speak(&policy, mac(1), at(1));
    assert_eq!(verdict(&policy, &network, 2, &frame(9, 1)), Verdict::Forward { to: at(1) });
    assert_eq!(verdict(&policy, &network, 1, &frame(1, 1)), Verdict::Drop(DropReason::SamePort));
}

#[test]
fn what_a_filter_cannot_know_is_denied_but_not_allowed() {
    let base = "umlaut: 1\nslices: {a: {members: [{port: 0x1/1}, {port: 0x1/2}]}}\n";
    let deny = policy(&format!("{base}filters: [{{match: {{tcp_dst: 23}}, action: deny}}]\n"));
    let allow = policy(&format!(
        "{base}filters: [{{match: {{tcp_dst: 23}}, action: allow}}]\noptions: {{filter_default: deny}}\n"
    ));
    let network = OfflineNetwork::silent(&deny);
    let tcp = |port| Headers { ip_proto: Field::Is(6), tp_dst: port, ..frame(1, ALL) };
    let fragment = Headers { fragment: Fragment::Later, ..tcp(Field::Unknown) };
    let udp = Headers { ip_proto: Field::Is(17), ..tcp(Field::Is(23)) };
    let rows = [
        (tcp(Field::Is(23)), false, true),
        (tcp(Field::Is(22)), true, false),
        (fragment, false, false),
        (udp, true, false),
        (frame(1, ALL), true, false),
    ];
    for (headers, under_deny, under_allow) in rows {
        let passes = |policy: &Policy| {
            matches!(verdict(policy, &network, 1, &headers), Verdict::Flood { .. })
        };
        assert_eq!((passes(&deny), passes(&allow)), (under_deny, under_allow), "{headers:?}");
    }
}

#[test]
fn loose_mode_looks_where_nobody_else_is() {
    let policy = policy(
        "umlaut: 1\nslices:\n  a: {members: [{mac: \"00:00:00:00:00:01\"}, {mac: \"00:00:00:00:00:02\"}]}\n  \
         b: {members: [{port: 0x1/3}, {mac: \"00:00:00:00:00:04\"}]}\noptions: {loose: true}\n",
    );
    let mut network = OfflineNetwork::silent(&policy);
    for port in [1, 4, 5] {
        network.add_port(DatapathId(1), PortNo(port));
    }
    network.speak(&policy, mac(4), at(4));
    assert_eq!(verdict(&policy, &network, 1, &frame(1, ALL)), flood(&[at(5)]));
    assert_eq!(verdict(&policy, &network, 1, &frame(1, 2)), flood(&[at(5)]));
    // Any other unicast address stays within the slice's points.
    let stranger = verdict(&policy, &network, 1, &frame(1, 77));
    assert_eq!(stranger, Verdict::Drop(DropReason::NoReceivers));
}

#[test]
fn the_suggested_member_admits_the_host() {
    let open = "umlaut: 1\nslices:\n  lab: {members: [{port: 0x1/1}]}\n";
    let closed = "umlaut: 1\nslices:\n  lab: {restrict_hosts: true, members: [{port: 0x1/1}]}\n";
    for (text, place) in [(open, at(5)), (open, on_vlan(5, 9)), (closed, at(1))] {
        let before = policy(text);
        let refusal = admit(&before, place, mac(1)).unwrap_err();
        let told = suggest_member(&before, place, mac(1), refusal.into());
        let members: Vec<&str> =
            told.split('{').skip(1).map(|part| part.split('}').next().unwrap()).collect();
        assert!(!members.is_empty(), "{told}");
        for member in members {
            let after = policy(&text.replace("members: [", &format!("members: [{{{member}}}, ")));
            assert!(admit(&after, place, mac(1)).is_ok(), "{member}");
        }
    }
}

#[test]
fn where_no_other_slice_speaks_everybody_is_of_the_slice_or_refused() {
    let macs = [r#"{mac: "00:00:00:00:00:09"}"#, r#"{mac: "00:00:00:00:00:09", only_at: [0x1/2]}"#];
    let here = ["{port: 0x1/1}", r#"{port: 0x1/1, mac: "00:00:00:00:00:08"}"#];
    let there = ["{port: 0x1/3}", "{port: 0x1/1, vlan: 7}"];
    let mut alone = 0;
    for a in here.into_iter().chain(there).chain(macs) {
        for b in here.into_iter().chain(there).chain(macs) {
            for options in ["", "macs_on_foreign_ports: refuse", "restrict_hosts: true"] {
                let text = format!(
                    "umlaut: 1\nslices:\n  a: {{members: [{a}]}}\n  b: {{members: [{b}]}}\n\
                     options: {{{options}}}\n"
                );
                if a == b || macs.contains(&a) && macs.contains(&b) {
                    // Two slices cannot have the same member.
                    continue;
                }
                let policy = policy(&text);
                for slice in [Some(SliceId(0)), Some(SliceId(1)), None] {
                    for at in [at(1), at(2), at(3), on_vlan(1, 7)] {
                        if !no_other_speaks(&policy, at, slice) {
                            continue;
                        }
                        alone += 1;
                        for n in 1..12 {
                            let admitted = admit(&policy, at, mac(n)).ok().map(|a| a.slice);
                            let same = admitted.is_none() || admitted == slice;
                            assert!(same, "{slice:?} at {at:?}: {text}");
                        }
                    }
                }
            }
        }
    }
    assert!(alone > 100, "{alone}");
    let ports = slices(&["a: {members: [{port: 0x1/1}]}", "b: {members: [{port: 0x1/2}]}"]);
    assert!(no_other_speaks(&ports, at(1), Some(SliceId(0))));
    assert!(!no_other_speaks(&ports, at(2), Some(SliceId(0))));
    assert!(no_other_speaks(&ports, at(3), None));
}

#[test]
fn a_rate_of_packet_ins_is_a_positive_number() {
    let with = |options: &str| {
        let text = format!("umlaut: 1\nslices: {{a: {{members: []}}}}\noptions: {{{options}}}\n");
        Policy::parse("test", &text).map(|(policy, _)| policy.options().storm_rate).ok()
    };
    assert_eq!(with(""), Some(2000));
    assert_eq!(with("storm_rate: 1"), Some(1));
    assert_eq!(with("storm_rate: 1000000000"), Some(1_000_000_000));
    assert_eq!(with("storm_rate: 0"), None);
    assert_eq!(with("storm_rate: 1000000001"), None);
}

//! Cases: which hold, and what is said of those that do not. One network, and each word in turn.

use umlaut_slice_db::{Policy, PolicyFiles, judge};

const NETWORK: &str = "
umlaut: 1
switches: {s1: 0x1, s2: 0x2}
hosts:
  alice:   {mac: \"00:00:00:00:00:02\", ip: 192.168.0.2, at: s1/1}
  carol:   {mac: \"00:00:00:00:00:03\", ip: 192.168.0.3, at: s2/1}
  printer: {mac: \"00:00:00:00:00:09\", at: s1/5}
  mallory: {mac: \"00:00:00:00:00:67\", at: s1/6}
  eve:     {mac: \"00:00:00:00:00:66\", at: s2/5, vlan: 20}
  ghost:   {mac: \"00:00:00:00:00:70\"}
slices:
  lab:
    members: [{host: alice}, {host: carol}, {port: s1/5, host: printer}]
  guests: {members: [{port: s2/5, vlan: 20}, {port: s2/6}]}
  closed: {restrict_hosts: true, members: [{port: s1/6}]}
  nobody: {members: [{mac: \"00:00:00:00:00:99\"}]}
filters:
  - {id: no-telnet, priority: 9, slice: lab, match: {ip_proto: tcp, eth_type: ipv4, tcp_dst: 23}, action: deny}
  - {id: to-eve, priority: 8, slice: lab, match: {eth_dst: \"00:00:00:00:00:66\"}, action: deny}
links: [[s1/24, s2/23]]
";

fn read(text: &str) -> Policy {
    match Policy::parse("p.yaml", text) {
        Ok((policy, _)) => policy,
        Err(mistakes) => panic!("{}", mistakes[0].render(false)),
    }
}

/// What is said of a case: an empty text if it holds.
fn said(network: &str, case: &str, files: &PolicyFiles) -> String {
    let policy = read(&format!("{network}cases:\n  - {case}\n"));
    let judgement = judge(&policy, &policy.cases()[0], files);
    judgement.wrong.map_or(String::new(), |wrong| wrong.what)
}

#[test]
fn each_word_means_what_it_says() {
    let table = [
        // case, what is said
        ("alice reaches carol", ""),
        ("alice reaches printer", ""),
        ("alice reaches eve", "alice does not reach eve when both have spoken and nobody else"),
        ("alice never reaches eve", ""),
        ("alice never reaches any of guests", ""),
        ("lab is isolated from guests", ""),
        ("alice is isolated from carol", "alice can reach carol"),
        ("alice never reaches carol", "alice can reach carol"),
        ("lab never reaches lab", "alice can reach carol"),
        ("mallory is refused", ""),
        ("mallory is refused because restricted", ""),
        (
            "mallory is refused because no-binding",
            "the frame of mallory is refused: restricted; expected: refused because no-binding",
        ),
        ("alice is refused", "the frame of alice is flooded to s1/5, s2/1; expected: refused"),
        // Nobody is bound by this port: one that stands for whoever is there.
        ("guests reaches eve", ""),
        ("nobody never reaches lab", "nobody of nobody has a place, so that the case says nothing"),
        ("eve never reaches eve", "the case is about one host only, so that it says nothing"),
        // One frame.
        ("{from: alice, to: carol, tcp_dst: 23, expect: refused, because: filtered}", ""),
        (
            "{from: alice, to: carol, tcp_dst: 23, expect: reached}",
            "alice does not reach carol when both have spoken and nobody else",
        ),
        ("{from: alice, to: carol, tcp_dst: 22, expect: reached}", ""),
        ("{from: alice, to: carol, tp_dst: 23, expect: refused, because: filtered}", ""),
        ("{from: alice, to: carol, tcp_dst: 23, expect: never reached}", ""),
        ("{from: alice, to: carol, tcp_dst: 22, expect: never reached}", "alice can reach carol"),
        ("{from: alice, to: carol, tcp_dst: 22, expect: forwarded, out: s2/1}", ""),
        (
            "{from: alice, to: carol, expect: forwarded, out: {port: s2/1, vlan: 7}}",
            "the frame of alice to carol is forwarded to s2/1; expected: forwarded to s2/1 vlan 7",
        ),
        ("{from: alice, to: all, expect: flooded, out: [s2/1, s1/5]}", ""),
        (
            "{from: alice, to: all, expect: flooded, out: s1/5}",
            "the frame of alice is flooded to s1/5, s2/1; expected: flooded to s1/5",
        ),
        ("{from: alice, to: all, expect: flooded, out: s1/5, before: nobody spoke}", ""),
        ("{from: alice, to: eve, expect: refused, because: Filtered}", ""),
        ("{from: alice, eth_type: arp, to: eve, expect: flooded}", ""),
        ("{from: alice, in: s2/6, to: eve, expect: refused, because: filtered}", ""),
        (
            "{in: s2/6, src: \"00:00:00:00:00:77\", dst: all, expect: flooded, out: {port: s2/5, vlan: 20}}",
            "",
        ),
        (
            "{in: s2/6, vlan: 20, src: \"00:00:00:00:00:77\", dst: all, expect: refused, because: no-binding}",
            "",
        ),
        // Tags that no host speaks with.
        (
            "{from: alice, in: s1/1, vlan: 4095, to: carol, expect: refused, because: reserved-vid}",
            "",
        ),
        ("{from: alice, in: s1/1, vlan: 0, to: carol, expect: forwarded, out: s2/1}", ""),
        (
            "{from: alice, in: s1/1, vlan: [10, 20], to: carol, expect: refused, because: double-tag}",
            "",
        ),
        (
            "{from: alice, in: s1/1, vlan: [10, 20], vlan_pcp: 3, to: all, expect: flooded}",
            "the frame of alice is refused: double-tag; expected: flooded",
        ),
        // Sequences.
        ("{after: [port s1/24 down, port s2/5 down], expect: alice never reaches carol}", ""),
        (
            "{after: port s1/77 down, expect: alice reaches carol}",
            "nothing is at port s1/77: the policy does not name it",
        ),
        ("{after: [carol moves to s1/9, port s1/9 down], expect: alice never reaches carol}", ""),
        ("{after: link s1/24-s2/23 down, expect: alice never reaches carol}", ""),
        ("{after: [link s1/24-s2/23 down, link s2/23-s1/24 up], expect: alice reaches carol}", ""),
        ("{after: link s1/24-s2/23 down, expect: alice reaches printer}", ""),
        ("{after: port s2/1 down, expect: alice never reaches carol}", ""),
        (
            "{after: port s2/1 down, expect: carol reaches alice}",
            "carol cannot send: s2/1 is down, a link, or on a switch that stands still",
        ),
        ("{after: switch s2 stops, expect: alice never reaches carol}", ""),
        ("{after: [switch s2 stops, switch s2 starts], expect: alice reaches carol}", ""),
        ("{after: [switch s2 restarts, controller restarts], expect: alice reaches carol}", ""),
        ("{after: carol moves to s1/9, expect: alice reaches carol}", ""),
        (
            "{after: carol moves to s1/9, from: alice, to: carol, expect: refused, because: no-receivers}",
            "",
        ),
        (
            "{after: [carol moves to s1/9, carol speaks], from: alice, to: carol, expect: forwarded, out: s1/9}",
            "",
        ),
        (
            "{after: [carol moves to s2/6], expect: lab is isolated from guests}",
            "alice can reach a host at s2/6",
        ),
        (
            "{after: 10 minutes pass, from: alice, to: carol, expect: refused, because: no-receivers}",
            "",
        ),
        ("{after: 4 minutes pass, from: alice, to: carol, expect: forwarded}", ""),
        (
            "{after: policy other.yaml, expect: alice reaches carol}",
            "alice does not reach carol when both have spoken and nobody else",
        ),
        ("{after: policy other.yaml, expect: alice reaches mallory}", ""),
        ("{after: [policy other.yaml, policy old.yaml], expect: alice reaches carol}", ""),
    ];
    let other =
        "umlaut: 1\nswitches: {s1: 0x1}\nslices: {lab: {members: [{port: s1/1}, {port: s1/6}]}}\n";
    let files = PolicyFiles::from([
        ("other.yaml".to_owned(), read(other)),
        ("old.yaml".to_owned(), read(NETWORK)),
    ]);
    for (case, expected) in table {
        assert_eq!(said(NETWORK, case, &files), expected, "{case}");
    }
}

/// A sender is refused when none of its frames passes: not to everybody, to a host of its slice, or to
/// an address that nobody has.
#[test]
fn who_is_refused_reaches_nobody_in_any_way() {
    let network = |filters: &str| {
        format!(
            "umlaut: 1
switches: {{s1: 0x1}}
hosts: {{a: {{mac: \"00:00:00:00:00:01\", at: s1/1}}, b: {{mac: \"00:00:00:00:00:02\", at: s1/2}}}}
slices: {{x: {{members: [{{port: s1/1}}, {{port: s1/2}}, {{port: s1/3}}]}}}}
filters: [{filters}]
"
        )
    };
    let deny = |field: &str, mac: &str| format!("{{match: {{{field}: \"{mac}\"}}, action: deny}}");
    let all = deny("eth_dst", "ff:ff:ff:ff:ff:ff");
    let to_b = deny("eth_dst", "00:00:00:00:00:02");
    let to_stranger = deny("eth_dst", "02:75:6d:00:00:02");
    let cases = ["a is refused", "{after: b speaks, expect: a is refused because filtered}"];
    for (filters, because) in [
        (String::new(), "the frame of a is flooded to s1/2, s1/3"),
        (all.clone(), "the frame of a to b is forwarded to s1/2"),
        (format!("{all}, {to_b}"), "the frame of a to a host at s1/3 is flooded to s1/2, s1/3"),
        (
            format!("{all}, {to_b}, {to_stranger}"),
            "the frame of a to an address that nobody has is flooded to s1/2, s1/3",
        ),
        (deny("eth_src", "00:00:00:00:00:01"), ""),
    ] {
        let words = ["refused", "refused because filtered"];
        for (case, expected) in cases.into_iter().zip(words) {
            let expected = match because {
                "" => String::new(),
                because => format!("{because}; expected: {expected}"),
            };
            assert_eq!(said(&network(&filters), case, &PolicyFiles::new()), expected, "{case}");
        }
    }
    // On one frame it is this frame.
    let case = "{from: a, to: all, expect: refused, because: filtered}";
    assert_eq!(said(&network(&all), case, &PolicyFiles::new()), "");
}

/// The name of a case in reports says all by which it differs from others.
#[test]
fn cases_that_differ_have_names_that_differ() {
    let table = [
        ("alice reaches carol", "alice reaches carol"),
        ("{from: alice, to: carol, expect: forwarded}", "alice to carol: forwarded"),
        (
            "{from: alice, to: carol, expect: forwarded, out: s1/77}",
            "alice to carol: forwarded to s1/77",
        ),
        (
            "{from: alice, to: carol, expect: forwarded, out: {port: s1/77, vlan: 5}}",
            "alice to carol: forwarded to s1/77 vlan 5",
        ),
        (
            "{from: alice, to: all, expect: flooded, out: [s2/1, s1/5]}",
            "alice to all: flooded to s1/5, s2/1",
        ),
        (
            "{from: alice, to: carol, dst: printer, expect: refused, because: no-receivers}",
            "alice to carol, dst printer: refused because no-receivers",
        ),
        (
            "{from: alice, in: s1/9, vlan: [10, 20], to: carol, src: printer, expect: refused}",
            "alice to carol, in s1/9, vlan [10, 20], src printer: refused",
        ),
        (
            "{in: s1/9, vlan: 4095, src: printer, dst: carol, expect: refused}",
            "printer to carol, in s1/9, vlan 4095: refused",
        ),
        (
            "{after: alice speaks, tcp_dst: 22, before: nobody spoke, expect: alice reaches carol}",
            "alice reaches carol, tcp_dst 22, after alice speaks, before anybody spoke",
        ),
    ];
    for (case, name) in table {
        let policy = read(&format!("{NETWORK}cases:\n  - {case}\n"));
        assert_eq!(policy.cases()[0].text, name, "{case}");
    }
}

#[test]
fn cases_that_say_nothing_or_what_is_not_so_are_refused() {
    let table = [
        // case, code, message, help
        (
            "alice never reaches any of carol",
            "unknown-host",
            "carol is a host, not a slice",
            Some("write: alice never reaches carol"),
        ),
        (
            "{from: alice, to: carol, eth_type: arp, tcp_dst: 22, expect: refused}",
            "contradiction",
            "tcp_dst does not exist in frames of this eth_type or ip_proto",
            None,
        ),
        (
            "{from: alice, to: all, expect: flooded, out: [s2/1, 0x2/1]}",
            "repeated-place",
            "s2/1 is given twice",
            None,
        ),
        (
            "{after: [], expect: alice reaches carol}",
            "no-events",
            "after lists no event",
            Some("leave after out"),
        ),
        (
            "{after: alice speaks, out: s1/7, expect: alice reaches carol}",
            "wrong-key",
            "out says nothing beside a sentence",
            None,
        ),
        (
            "{from: alice, in: s1/1, vlan: 4095, to: carol, expect: never reached}",
            "wrong-value",
            "hosts speak without a tag or with one of 1 to 4094",
            Some("such tags are for cases that expect refused, forwarded or flooded"),
        ),
        (
            "{from: alice, in: s1/1, vlan: 4096, to: carol, expect: refused}",
            "wrong-value",
            "\"4096\" is not a VLAN id (1 to 4094), 0 or 4095, or a list of two",
            None,
        ),
        (
            "{from: alice, in: s1/1, vlan: [10], to: carol, expect: refused}",
            "wrong-value",
            "a list stands where a VLAN id (1 to 4094), 0 or 4095, or a list of two is wanted",
            None,
        ),
    ];
    for (case, code, message, help) in table {
        let text = format!("{NETWORK}cases:\n  - {case}\n");
        let mistakes = Policy::parse("p.yaml", &text).unwrap_err();
        let told: Vec<_> =
            mistakes.iter().map(|m| (m.code, m.message.as_str(), m.help.as_deref())).collect();
        assert_eq!(told, [(code, message, help)], "{case}");
        assert_eq!(mistakes[0].line(), Some(text.lines().count()), "{case}");
    }
}

/// Filters that deny one direction do not keep answers back where replies have a way.
#[test]
fn never_knows_of_the_way_back_and_of_before() {
    for (reverse, passes) in
        [(false, ""), (true, "a can answer b, whom reverse_flow gives a way back")]
    {
        let network = format!(
            "umlaut: 1
switches: {{s1: 0x1}}
hosts: {{a: {{mac: \"00:00:00:00:00:01\", at: s1/1}}, b: {{mac: \"00:00:00:00:00:02\", at: s1/2}}}}
slices: {{x: {{members: [{{host: a}}, {{host: b}}]}}}}
filters: [{{match: {{eth_src: \"00:00:00:00:00:01\"}}, action: deny}}]
options: {{reverse_flow: {reverse}}}
"
        );
        let files = PolicyFiles::new();
        assert_eq!(said(&network, "a never reaches b", &files), passes);
        // Bound by MAC alone, nobody is found before it speaks.
        let silent = "{from: b, to: a, expect: never reached, before: nobody spoke}";
        assert_eq!(said(&network, silent, &files), "");
        assert_eq!(said(&network, "b never reaches a", &files), "b can reach a");
    }
}

#[test]
fn a_case_that_fails_shows_the_frame_and_the_line() {
    let policy =
        read(&format!("{NETWORK}cases:\n  - alice reaches carol\n  - alice reaches eve\n"));
    let case = &policy.cases()[1];
    assert_eq!(policy.case_line(case).map(|line| policy.line(line)), Some("- alice reaches eve"));
    let wrong = judge(&policy, case, &PolicyFiles::new()).wrong.unwrap();
    let told = wrong.explanation.unwrap();
    assert_eq!((told.verdict, told.reason), ("drop", Some("filtered")));
}

/// A denial that leaves a gap is found, whatever the frame must look like; one without is not.
#[test]
fn never_speaks_of_every_frame_that_the_filters_let_pass() {
    let table = [
        // filters, default, whether anything passes
        ("[]", "allow", true),
        ("[]", "deny", false),
        ("[{match: {}, action: deny}]", "allow", false),
        ("[{match: {eth_type: ipv4}, action: deny}]", "allow", true),
        ("[{match: {eth_type: arp, arp_op: 7}, action: allow}]", "deny", true),
        ("[{match: {arp_op: 2, eth_dst: \"ff:ff:ff:ff:ff:ff\"}, action: allow}]", "deny", true),
        ("[{match: {arp_op: 1, eth_dst: \"00:00:00:00:00:02\"}, action: allow}]", "deny", true),
        (
            "[{match: {ip_proto: icmp, icmpv4_type: 99, ipv4_src: 10.9.8.7}, action: allow}]",
            "deny",
            true,
        ),
        ("[{match: {eth_type: 0x05ff}, action: allow}]", "deny", true),
        ("[{match: {ipv6_nd_target: \"fd00::9\"}, action: allow}]", "deny", true),
        (
            "[{priority: 2, match: {ipv4_dst: 10.0.0.0/9}, action: deny}, {priority: 2, match: {ipv4_dst: 10.128.0.0/9}, action: deny}, {match: {ipv4_dst: 10.0.0.0/8}, action: allow}]",
            "deny",
            false,
        ),
        (
            "[{priority: 2, match: {ipv4_dst: 10.0.0.0/9}, action: deny}, {match: {ipv4_dst: 10.0.0.0/8}, action: allow}]",
            "deny",
            true,
        ),
        (
            "[{priority: 2, match: {nw_src: 10.0.0.0/8}, action: deny}, {match: {eth_type: arp, nw_src: 10.1.0.0/16}, action: allow}]",
            "deny",
            false,
        ),
        (
            "[{priority: 2, match: {nw_proto: 1, eth_type: ipv4}, action: deny}, {priority: 1, match: {nw_proto: 1}, action: allow}]",
            "deny",
            true,
        ),
        (
            "[{priority: 2, match: {tcp_dst: 80, eth_type: ipv4}, action: deny}, {match: {tcp_dst: 80, tcp_src: 7}, action: allow}]",
            "deny",
            true,
        ),
        ("[{priority: 2, match: {dl_vlan_pcp: 3}, action: allow}]", "deny", true),
        ("[{match: {eth_dst: \"00:00:00:00:00:aa\"}, action: allow}]", "deny", true),
    ];
    // A place that takes its host's frames and group frames only.
    let policy = read(
        "umlaut: 1
switches: {s1: 0x1}
hosts: {a: {mac: \"00:00:00:00:00:01\", at: s1/1}, b: {mac: \"00:00:00:00:00:02\", at: s1/2}}
slices: {x: {members: [{port: s1/1}, {port: s1/2, host: b}]}}
filters: [{match: {eth_dst: \"ff:ff:ff:ff:ff:ff\"}, action: allow}]
options: {filter_default: deny}
cases: [a never reaches b]
",
    );
    assert!(judge(&policy, &policy.cases()[0], &PolicyFiles::new()).wrong.is_some());
    for (filters, default, passes) in table {
        let policy = read(&format!(
            "umlaut: 1
switches: {{s1: 0x1}}
hosts: {{a: {{mac: \"00:00:00:00:00:01\", at: s1/1}}, b: {{mac: \"00:00:00:00:00:02\", at: s1/2}}}}
slices: {{x: {{members: [{{port: s1/1}}, {{port: s1/2}}]}}}}
filters: {filters}
options: {{filter_default: {default}}}
cases: [a never reaches b]
"
        ));
        let wrong = judge(&policy, &policy.cases()[0], &PolicyFiles::new()).wrong;
        assert_eq!(wrong.is_some(), passes, "{filters} {default}: {wrong:?}");
    }
}

//! Policy files: what is accepted and what is said of mistakes, with line and column.

use crate::Policy;

/// Texts, and the code, line and column of what is said of them.
type Rows = &'static [(&'static str, &'static [(&'static str, usize, usize)])];

/// Code, line and column of each diagnostic.
fn told(text: &str) -> Vec<(&'static str, usize, usize)> {
    let diagnostics = match Policy::parse("p", text) {
        Ok((_, warnings)) => warnings,
        Err(mistakes) => mistakes,
    };
    let place = |d: &crate::Diagnostic| d.labels.first().map_or((0, 0), |l| (l.line, l.column));
    diagnostics.iter().map(|d| (d.code, place(d).0, place(d).1)).collect()
}

#[test]
fn links_end_at_ports_and_interfaces() {
    let head = "umlaut: 1\nswitches: {s1: 0x1}\nslices: {a: {members: [{port: s1/1}]}}\n";
    let text = format!(
        "{head}links: [[s1/24, s1/23], [s1/1, {{interface: eth1}}], [{{interface: br-x.7}}, s1/9]]\n"
    );
    let (policy, warnings) = Policy::parse("p", &text).unwrap();
    assert!(warnings.is_empty());
    // An interface's port may be bound: it is for hosts.
    assert_eq!(policy.links().count(), 1);
    let interfaces: Vec<(u32, &str)> =
        policy.interfaces().map(|((_, port), name)| (port.0, name)).collect();
    assert_eq!(interfaces, [(1, "eth1"), (9, "br-x.7")]);
    let rows: Rows = &[
        ("[[s1/2, eth1]]", &[("wrong-value", 4, 16)]),
        ("[[s1/2, {interface: a/b}]]", &[("wrong-value", 4, 28)]),
        ("[[s1/2, {interface: sixteen-letters-}]]", &[("wrong-value", 4, 28)]),
        ("[[s1/2, {nic: eth1}]]", &[("unknown-key", 4, 17)]),
        ("[[s1/2, {}]]", &[("wrong-value", 4, 16)]),
        ("[[{interface: eth1}, {interface: eth2}]]", &[("no-switch", 4, 9)]),
        (
            "[[s1/2, {interface: eth1}], [s1/3, {interface: eth1}]]",
            &[("interface-in-two-links", 4, 43)],
        ),
        ("[[s1/2, {interface: eth1}], [s1/2, s1/3]]", &[("port-in-two-links", 4, 37)]),
        ("[[s1/1, s1/2]]", &[("link-on-bound-port", 4, 9)]),
    ];
    for (links, expected) in rows {
        assert_eq!(told(&format!("{head}links: {links}\n")), *expected, "{links}");
    }
    let mistakes = Policy::parse("p", &format!("{head}links: [[s1/2, eth1]]\n")).unwrap_err();
    let help = mistakes[0].help.as_deref();
    assert_eq!(help, Some("an interface of this machine is written {interface: eth1}"));
}

#[test]
fn every_kind_of_mistake_has_its_place() {
    let slices = "slices: {a: {members: [{port: 0x1/1}]}}\n";
    let rows: Rows = &[
        ("", &[("empty", 1, 1)]),
        ("umlaut: 2\nslices: {a: {members: [{port: 0x1/1}]}}\n", &[("wrong-value", 1, 9)]),
        ("slices: {a: {members: [{port: 0x1/1}]}}\n", &[("no-version", 1, 1)]),
        ("umlaut: 1\n", &[("no-slices", 1, 1)]),
        ("umlaut: 1\nslices: [a]\n", &[("wrong-value", 2, 9)]),
        (
            "umlaut: 1\nslices:\n  a: {members: [{port: 0x1/1}]}\n  a: {members: []}\n",
            &[("repeated-key", 4, 3)],
        ),
        ("umlaut: 1\nslices:\n  a: {members: []}\n", &[("empty-slice", 3, 3)]),
        (
            "umlaut: 1\nslices:\n  a: {members: [{mac: \"01:00:00:00:00:00\"}]}\n",
            &[("wrong-value", 3, 23)],
        ),
        (
            "umlaut: 1\nslices:\n  a: {members: [{port: 0x1/1, vlan: 0}]}\n",
            &[("wrong-value", 3, 37)],
        ),
        ("umlaut: 1\nslices:\n  a: {members: [{port: s1/1}]}\n", &[("unknown-switch", 3, 24)]),
        (
            "umlaut: 1\nslices:\n  a: {members: [{mac: \"00:00:00:00:00:01\", vlan: 5}]}\n",
            &[("misplaced-key", 3, 44)],
        ),
        (
            "umlaut: 1\nslices:\n  a: {members: [{port: 0x1/1, id: x}, {port: 0x1/2, id: x}]}\n",
            &[("member-id-twice", 3, 57)],
        ),
        (
            "umlaut: 1\nslices:\n  a: {members: [{port: 0x1/1}, {port: 0x1/1}]}\n",
            &[("member-twice", 3, 32)],
        ),
        (
            "umlaut: 1\nslices:\n  a: {members: [{mac: \"00:00:00:00:00:01\"}]}\n  b: {members: [{port: 0x1/1, mac: \"00:00:00:00:00:01\"}]}\n",
            &[("dead-member", 4, 17)],
        ),
        (
            "umlaut: 1\nslices: {a: {members: [{port: 0x1/1}]}}\noptions: {idle_timeout: no}\n",
            &[("wrong-value", 3, 25)],
        ),
        (
            "umlaut: 1\nslices: {a: {members: [{port: 0x1/1}]}}\noptions: {loose: true}\n",
            &[("loose", 3, 10)],
        ),
    ];
    let mut wrong = Vec::new();
    let mut compare = |text: &str, expected: &[(&'static str, usize, usize)]| {
        let told = told(text);
        if told != expected {
            wrong.push(format!("{told:?}, not {expected:?}, for\n{text}"));
        }
    };
    for (text, expected) in rows {
        compare(text, expected);
    }
    let filters: Rows = &[
        ("- {match: {eth_type: arp, ip_proto: tcp}, action: deny}", &[("contradiction", 4, 31)]),
        ("- {match: {ipv4_src: 10.0.0.0/33}, action: deny}", &[("wrong-value", 4, 26)]),
        ("- {match: {tcp_dst: 23}}", &[("no-action", 4, 7)]),
        ("- {slice: b, action: deny}", &[("unknown-slice", 4, 15)]),
        (
            "- {id: x, action: deny}\n    - {id: x, match: {in_port: 1}, action: deny}",
            &[("filter-id-twice", 5, 7)],
        ),
        (
            "- {action: deny}\n    - {match: {in_port: 1}, action: allow}",
            &[("never-matches", 5, 7)],
        ),
    ];
    for (filter, expected) in filters {
        compare(&format!("umlaut: 1\n{slices}filters:\n    {filter}\n"), expected);
    }
    let switches: Rows = &[
        ("{s1: {dpid: 0x1, cert: s1.lab}}", &[]),
        ("{s1: x}", &[("wrong-value", 3, 16)]),
        ("{s1: {cert: s1}}", &[("no-dpid", 3, 12)]),
        ("{s1: {dpid: -1, cert: \"*.lab\"}}", &[("wrong-value", 3, 23), ("wrong-value", 3, 33)]),
        ("{s1: {dpid: 0x1, cert: sha256:12}}", &[("wrong-value", 3, 34)]),
        ("{s1: {dpid: 0x1, crt: s1}}", &[("unknown-key", 3, 28)]),
        ("{s1: 0x1, s2: {dpid: 0x1}}", &[("switch-twice", 3, 32)]),
        (
            "{s1: {dpid: 0x1, cert: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}}",
            &[("wrong-value", 3, 34)],
        ),
    ];
    for (switch, expected) in switches {
        compare(&format!("umlaut: 1\n{slices}switches: {switch}\n"), expected);
    }
    let refusing: Rows = &[
        ("{s1: 0x1}", &[]),
        ("{}", &[("all-switches-refused", 4, 10)]),
        ("{s2: 0x2}", &[("switch-refused", 4, 10)]),
    ];
    for (switch, expected) in refusing {
        let text = format!(
            "umlaut: 1\n{slices}switches: {switch}\noptions: {{unknown_switches: refuse}}\n"
        );
        compare(&text, expected);
    }
    let cases: Rows = &[
        ("- bob reaches alice", &[("unknown-host", 4, 7), ("unknown-host", 4, 7)]),
        ("- whatever", &[("unknown-sentence", 4, 7)]),
        ("- a is refused because nothing", &[("unknown-reason", 4, 7)]),
        ("- {from: a, expect: {}}", &[("wrong-value", 4, 25)]),
    ];
    for (case, expected) in cases {
        compare(&format!("umlaut: 1\n{slices}cases:\n    {case}\n"), expected);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = "umlaut: 1\nswitches: {s1: x}\nslices:\n  a: {membrs: []}\n  b: {members: [{port: s2/1}, 7]}\n";
    let lines: Vec<usize> = told(text).into_iter().map(|(_, line, _)| line).collect();
    assert_eq!(lines.first(), Some(&2));
    assert!(lines.len() >= 4 && lines.is_sorted(), "{lines:?}");
}

#[test]
fn many_mistakes_are_counted_not_all_shown() {
    let mut text = "umlaut: 1\nslices:\n".to_owned();
    for n in 0..200 {
        text.push_str(&format!("  s{n}: {{members: [{{port: x}}]}}\n"));
    }
    let told = told(&text);
    assert_eq!(told.len(), 51);
    assert_eq!(told.last().unwrap().0, "more");
}

#[test]
fn numbers_and_names_are_taken_in_all_their_forms() {
    let text = "umlaut: 0x1\nswitches: {s1: 18446744073709551615, s2: 0x2}\nhosts:\n  h: {mac: 00-00-00-00-00-01, ip: \"::1\", at: s1/local}\nslices:\n  a: {members: [{port: 2/0xa, vlan: 0x64}, {host: h}]}\n";
    let (policy, warnings) = Policy::parse("p", text).unwrap();
    assert!(warnings.is_empty());
    assert_eq!(policy.switches().next().unwrap().1.0, u64::MAX);
    assert_eq!(policy.static_points(crate::SliceId(0)).next().unwrap().at.port.0, 10);
}

proptest::proptest! {
    /// No text makes it panic, and what it accepts it can render.
    #[test]
    fn damaged_files_never_panic(at in 0usize..400, with in "[ -~\n]{0,3}", cut in 0usize..3) {
        let text = include_str!("../../../examples/restricted.yaml");
        let at = at.min(text.len());
        let end = (at + cut).min(text.len());
        let damaged = format!("{}{with}{}", &text[..at], &text[end..]);
        match Policy::parse("p", &damaged) {
            Ok((_, told)) | Err(told) => told.iter().for_each(|d| { d.render(false); }),
        }
    }
}

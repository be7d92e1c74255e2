//! However a text is read, quickly, by the YAML parser or as an edit of another: what comes out is the
//! same.

use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;
use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo, Vid, VlanId};

use super::{Read, edited, read, read_as_yaml};
use crate::decide::receives;
use crate::diagnostic::Diagnostic;
use crate::policy::{Binding, Member, Point, Policy, SliceId, admit, may_be_guessed};

/// All that a policy says, to be compared.
#[derive(PartialEq, Debug)]
struct Said {
    slices: Vec<(String, String, bool, bool, Option<u32>)>,
    members: Vec<(Member, Option<usize>)>,
    points: Vec<Vec<Point>>,
    bound: Vec<(umlaut_openflow::DatapathId, umlaut_openflow::PortNo, Vec<SliceId>)>,
    foreign: Vec<(Attachment, Vec<bool>)>,
    rest: String,
}

fn said(policy: &Policy) -> Said {
    let ids = || (0..policy.slices.len() as u32).map(SliceId);
    let members: Vec<_> = ids().flat_map(|slice| policy.members(slice)).collect();
    assert_eq!(members.len(), policy.bindings.len());
    for (id, member) in &members {
        let found = match &member.binding {
            Binding::Mac { mac, only_at } => {
                for at in only_at.iter().flatten() {
                    assert!(policy.bindings.is_pinned_to(*mac, *at));
                }
                policy.by_mac(*mac)
            }
            Binding::PortMac { at, mac } => policy.by_port_mac(*at, *mac),
            Binding::Port { at, .. } => policy.by_port(*at),
        };
        assert_eq!(found, Some(*id), "{member:?}");
        assert_eq!(policy.slice_of(*id), member.slice);
    }
    let points: Vec<Vec<Point>> = ids().map(|s| policy.static_points(s).collect()).collect();
    let foreign = |at| ids().map(|slice| policy.is_foreign(at, slice)).collect();
    let places = points.iter().flatten().map(|point| point.at);
    Said {
        slices: policy
            .slices
            .iter()
            .zip(ids())
            .map(|(s, id)| {
                let (name, description) = (s.name.to_string(), s.description.to_string());
                (name, description, s.restricted, policy.has_mac_members(id), s.entry)
            })
            .collect(),
        members: members.iter().map(|(id, m)| (m.clone(), policy.member_line(*id))).collect(),
        bound: policy
            .bound_ports()
            .map(|(dpid, port)| (dpid, port, policy.slices_on((dpid, port)).to_vec()))
            .collect(),
        foreign: places.map(|at| (at, foreign(at))).collect(),
        points,
        rest: format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            policy.switches().collect::<Vec<_>>(),
            policy.hosts().collect::<Vec<_>>(),
            policy.filters.rules(),
            policy.links,
            policy.options,
            policy.cases(),
            (policy.slices_entry, policy.filters_entry, policy.cases_entry),
            policy.warnings,
        ),
    }
}

type Outcome = Result<(Said, Vec<Diagnostic>), Vec<Diagnostic>>;

fn outcome(read: &Read) -> Outcome {
    match read {
        Ok((policy, warnings)) => Ok((said(policy), warnings.clone())),
        Err(mistakes) => Err(mistakes.clone()),
    }
}

fn both(text: &str) -> Read {
    let text = Arc::new(text.to_owned());
    let quick = read("p", text.clone());
    let (a, b) = (outcome(&quick), outcome(&read_as_yaml("p", text.clone())));
    assert_eq!(a, b, "{text}");
    quick
}

/// Items, with and without a twist.
fn item() -> impl Strategy<Value = String> {
    let mac = || {
        prop_oneof![
            4 => (1u8..9).prop_map(|n| format!("00:00:00:00:00:0{n}")),
            1 => (1u8..9).prop_map(|n| format!("0A-00-00-00-00-0{n}")),
            1 => Just("01:00:00:00:00:01".to_owned()),
        ]
    };
    let mac = move || {
        (mac(), any::<bool>()).prop_map(|(mac, quoted)| match quoted {
            true => format!("\"{mac}\""),
            false => mac,
        })
    };
    let place = || {
        prop_oneof![
            6 => (1u8..3, 1u8..5).prop_map(|(s, p)| format!("s{s}/{p}")),
            1 => (1u8..4, 1u8..4).prop_map(|(s, p)| format!("0x{s}/{p}")),
            1 => (1u8..4).prop_map(|p| format!("\"s1/{p}\"")),
            1 => Just("s1/local".to_owned()),
            1 => Just("s9/1".to_owned()),
        ]
    };
    let id = prop_oneof![
        6 => (1u8..9).prop_map(|n| format!("m{n}")),
        1 => (1u8..9).prop_map(|n| format!("\"00:00:00:00:00:0{n}\"")),
        1 => prop::sample::select(vec![
            "true", "Null", "inf", "7", "1e3", "\"x y\"", "x y", "&a x", "*a", "!t x", "'q'", "-x",
            "umlaut run", "x:", "a:b", "ä", "\"a\\u0041\"", "0x1f", "~", "", ".inf", "a#b", "a #b", "[x]",
        ]).prop_map(str::to_owned),
    ];
    let vlan = prop_oneof![
        4 => (1u16..4).prop_map(|n| n.to_string()),
        1 => prop::sample::select(vec!["0", "4095", "010", "\"7\"", "0x7", "1_0", "+5"]).prop_map(str::to_owned),
    ];
    let pins =
        prop::collection::vec(place(), 0..3).prop_map(|pins| format!("[{}]", pins.join(", ")));
    let keys = prop_oneof![
        4 => mac().prop_map(|m| vec![format!("mac: {m}")]),
        1 => (1u8..4).prop_map(|n| vec![format!("host: h{n}")]),
        3 => (place(), mac()).prop_map(|(p, m)| vec![format!("port: {p}"), format!("mac: {m}")]),
        3 => place().prop_map(|p| vec![format!("port: {p}")]),
        2 => (place(), vlan).prop_map(|(p, v)| vec![format!("port: {p}"), format!("vlan: {v}")]),
        2 => (mac(), pins).prop_map(|(m, p)| vec![format!("mac: {m}"), format!("only_at: {p}")]),
        1 => (place(), any::<bool>()).prop_map(|(p, b)| vec![format!("port: {p}"), format!("restrict_hosts: {b}")]),
        1 => prop::sample::select(vec!["vlan: 3", "prt: s1/1", "only_at: []", "mac:", "mac: x"])
            .prop_map(|s| vec![s.to_owned()]),
    ];
    let id = prop::option::weighted(0.3, id).prop_map(|id| id.map(|id| format!("id: {id}")));
    (keys, id, 0u8..12, 0u8..16).prop_map(|(mut keys, id, style, twist)| {
        keys.extend(id);
        let mut text = match style {
            0..8 => format!("      - {{{}}}\n", keys.join(", ")),
            _ => format!("      - {}\n", keys.join("\n        ")),
        };
        match twist {
            0 => text.insert_str(0, "\n      # a comment: [\n"),
            1 => text.insert(text.len() - 1, ' '),
            2 => text.insert_str(text.len() - 1, " # why"),
            3 => text = text.replace("- ", "-   "),
            4 => text = text.replace(", ", " ,  "),
            5 => text.push_str("          # deep\n"),
            6 => text.push_str("         deep\n"),
            _ => {}
        }
        text
    })
}

/// The pieces of a text: those that are members can be changed.
fn pieces() -> impl Strategy<Value = Vec<String>> {
    let slice = |n: usize| {
        prop::collection::vec(item(), 0..8).prop_map(move |items| {
            let mut pieces = vec![format!("  slice{n}:\n    members:\n")];
            pieces.extend(items);
            pieces.push(match n {
                1 => "    description: |\n      - {port: s1/1}\n      - {port: s1/2}\n".to_owned(),
                _ => "\n".to_owned(),
            });
            pieces
        })
    };
    let tail = prop::sample::select(vec![
        "",
        "options: {loose: true}\n",
        "options: {unknown_switches: refuse}\n",
        "options: {restrict_hosts: true}\nlinks: [[s1/4, s2/4]]\n",
        "filters:\n  - {port: s1/1}\n",
        "cases:\n  - slice0 reaches slice2\n  - h1 reaches h2\n",
        "cases:\n  - {umlaut run: 0}\n",
    ]);
    (slice(0), slice(1), slice(2), tail, 0u8..4).prop_map(|(a, b, c, tail, odd)| {
        let head = "umlaut: 1\nswitches: {s1: 1, s2: 0x2}\nhosts:\n  h1: {mac: \"0a:00:00:00:00:01\", at: s1/1}\n  h2: {mac: \"0a:00:00:00:00:02\"}\nslices:\n";
        let mut pieces = vec![head.to_owned()];
        pieces.extend(a);
        if odd == 0 {
            pieces.extend(b);
        }
        pieces.extend(c);
        pieces.push(tail.to_owned());
        pieces
    })
}

#[derive(Clone, Debug)]
enum Touch {
    Add(usize, String),
    Remove(usize),
    Replace(usize, String),
    Swap(usize),
    Damage(usize, usize, String),
}

fn touch() -> impl Strategy<Value = Touch> {
    prop_oneof![
        3 => (any::<usize>(), item()).prop_map(|(at, item)| Touch::Add(at, item)),
        3 => any::<usize>().prop_map(Touch::Remove),
        3 => (any::<usize>(), item()).prop_map(|(at, item)| Touch::Replace(at, item)),
        1 => any::<usize>().prop_map(Touch::Swap),
        2 => (any::<usize>(), 0usize..4, "[ -~\n]{0,3}").prop_map(|(at, cut, with)| Touch::Damage(at, cut, with)),
    ]
}

fn touched(pieces: &mut Vec<String>, touch: Touch) {
    // Not the first piece, and not the last.
    let within = |at: usize, count: usize| 1 + at % (count - 2).max(1);
    let count = pieces.len();
    match touch {
        Touch::Add(at, item) => pieces.insert(within(at, count) + 1, item),
        Touch::Remove(at) => drop(pieces.remove(within(at, count))),
        Touch::Replace(at, item) => pieces[within(at, count)] = item,
        Touch::Swap(at) => pieces.swap(within(at, count), within(at + 1, count)),
        Touch::Damage(at, cut, with) => {
            let piece = &mut pieces[at % count];
            let mut start = if piece.is_empty() { 0 } else { at % piece.len() };
            while !piece.is_char_boundary(start) {
                start -= 1;
            }
            let mut end = (start + cut).min(piece.len());
            while !piece.is_char_boundary(end) {
                end += 1;
            }
            piece.replace_range(start..end, &with);
        }
    }
}

/// Only so many slices and members that something is left after all the twists.
fn mended(pieces: &[String]) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for piece in pieces {
        kept.push(piece.clone());
        let is_item = piece.trim_start().starts_with('-');
        if is_item && Policy::parse("p", &kept.concat()).is_err() {
            kept.pop();
        }
    }
    kept
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn a_text_says_the_same_to_both_readers(pieces in pieces(), touches in prop::collection::vec(touch(), 0..3)) {
        let mut pieces = pieces;
        let _ = both(&pieces.concat());
        touches.into_iter().for_each(|touch| touched(&mut pieces, touch));
        let _ = both(&pieces.concat());
        let _ = both(&mended(&pieces).concat());
    }

    #[test]
    fn an_edited_text_says_the_same_as_a_new_one(pieces in pieces(), touches in prop::collection::vec(touch(), 1..12)) {
        let mut pieces = mended(&pieces);
        let Ok((mut policy, _)) = Policy::parse("p", &pieces.concat()) else { return Ok(()) };
        for touch in touches {
            let mut next = pieces.clone();
            touched(&mut next, touch);
            let text = next.concat();
            let reread = policy.reread(text.clone());
            prop_assert_eq!(outcome(&reread), outcome(&both(&text)), "{}\n----\n{}", pieces.concat(), text);
            if let Ok((changed, _)) = reread {
                touch_is_told(&policy, &changed);
                (policy, pieces) = (changed, next);
            }
        }
    }
}

/// Of every address at every place of which a change does not speak, both policies say the same.
fn touch_is_told(old: &Policy, new: &Policy) {
    let Some(touched) = old.touched(new) else { return };
    let slices = || (0..old.slices.len() as u32).map(SliceId);
    let macs = || (1..9).chain([0x0a00_0000_0001]).map(MacAddr::from_u64);
    let vids = (0..4).map(|vid| VlanId::new(vid).map_or(Vid::Untagged, Vid::Tagged));
    for (dpid, port, vid) in places(1..4, 1..5, vids) {
        let (dpid, port) = (DatapathId(dpid), PortNo(port));
        if touched.ports.contains(&(dpid, port)) {
            continue;
        }
        let at = Attachment { dpid, port, vid };
        assert_eq!(old.bound().contains(dpid, port), new.bound().contains(dpid, port));
        for slice in slices() {
            assert_eq!(old.is_foreign(at, slice), new.is_foreign(at, slice));
            assert!(
                old.static_points_on(slice, (dpid, port))
                    .eq(new.static_points_on(slice, (dpid, port)))
            );
        }
        for mac in macs().filter(|mac| !touched.macs.contains(mac)) {
            let who = |policy| admit(policy, at, mac).map(|a| (a.slice, a.by));
            assert_eq!(who(old), who(new), "{mac} at {at:?}");
            for slice in slices() {
                let guessed = |policy| may_be_guessed(policy, slice, at, mac);
                assert_eq!(guessed(old), guessed(new), "{mac} at {at:?}");
                let point = Point { at, only: None };
                assert_eq!(receives(old, slice, point, mac), receives(new, slice, point, mac));
            }
        }
    }
}

/// All combinations.
fn places(
    dpids: Range<u64>,
    ports: Range<u32>,
    vids: impl Iterator<Item = Vid> + Clone,
) -> impl Iterator<Item = (u64, u32, Vid)> {
    dpids.flat_map(move |dpid| {
        let vids = vids.clone();
        ports.clone().flat_map(move |port| vids.clone().map(move |vid| (dpid, port, vid)))
    })
}

fn policy(items: &[&str]) -> String {
    format!(
        "umlaut: 1\nslices:\n  a:\n    members:\n{}  b:\n    members:\n      - {{port: 0x1/9}}\n",
        items.iter().map(|item| format!("      - {item}\n")).collect::<String>()
    )
}

#[test]
fn edits_of_members_are_read_as_edits_and_others_are_not() {
    let base = ["{port: 0x1/1}", "{mac: 00:00:00:00:00:01, id: x}", "port: 0x1/2\n        vlan: 7"];
    let (old, _) = Policy::parse("p", &policy(&base)).unwrap();
    let with = |index: usize, item: &'static str| {
        let mut items = base;
        items[index] = item;
        policy(&items)
    };
    let rows = [
        (policy(&base), true),
        (with(0, "{port: 0x1/3}"), true),
        (with(0, "{port: 0x1/1} # the same"), true),
        (with(1, "{mac: 00:00:00:00:00:01, id: y}"), true),
        (with(2, "port: 0x1/2\n        vlan: 8"), true),
        (with(2, "port: 0x1/2\n        mac: 00:00:00:00:00:02\n        vlan: 8"), true),
        (policy(&base[..2]), true),
        (policy(&base[1..]), true),
        (policy(&[base[2], base[0], base[1]]), true),
        (policy(&[&base[..], &["{port: 0x2/1}", "{host: 00}"]].concat()), false),
        (policy(&[&base[..], &["{port: 0x2/1}"]].concat()), true),
        (policy(&[&["{port: 0x2/1}"], &base[..]].concat()), true),
        (policy(&[]), false),
        (with(0, "{port: 0x1/9}"), false),
        (with(0, "{port: 0x1/3, id: x}"), false),
        (policy(&base).replace("  b:", "  c:"), false),
        (format!("{}options: {{loose: true}}\n", policy(&base)), false),
        (format!("# umlaut run\n{}", policy(&base)), false),
    ];
    for (text, as_edit) in rows {
        let read = edited(&old, &Arc::new(text.clone()));
        assert_eq!(read.is_some(), as_edit, "{text}");
        if let Some(read) = read {
            assert_eq!(said(&read), said(&both(&text).unwrap().0), "{text}");
        }
    }
}

#[test]
fn lines_that_only_look_like_members_are_none_and_the_others_are_still_read_as_edits() {
    let text = |vlan: u16| {
        format!(
            "umlaut: 1\nslices:\n  a:\n    description: |\n      - {{port: 0x1/1}}\n    members:\n      - {{port: 0x1/1}}\n      - mac: 00:00:00:00:00:01\n        only_at:\n          - port: 0x1/2\n            vlan: {vlan}\n      - {{port: 0x1/3, vlan: {vlan}}}\n"
        )
    };
    let (old, _) = both(&text(3)).unwrap();
    assert_eq!(old.layout.runs.len(), 2);
    let new = text(3).replace("0x1/3, vlan: 3", "0x1/3, vlan: 4");
    let read = edited(&old, &Arc::new(new.clone())).unwrap();
    assert_eq!(said(&read), said(&both(&new).unwrap().0));
}

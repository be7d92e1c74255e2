//! What a policy with many members costs: bytes for each, and allocations for a decision and an edit.
//! Counted, not timed; a million behave as these do.

use allocation_counter::{AllocationInfo, measure};
use umlaut_slice_db::{Ingress, NoTrace, Policy, Refusal, Verdict, decide};

#[path = "../benches/support/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the benches")]
mod support;

use support::{Kind, Style, filters, frames, policy};

const SLICES: usize = 100;
const MEMBERS: usize = 100_000;

fn counted<T>(run: impl FnOnce() -> T) -> (T, AllocationInfo) {
    let mut result = None;
    let info = measure(|| result = Some(run()));
    (result.expect("it ran"), info)
}

fn read(text: &str) -> Policy {
    Policy::parse("p", text).unwrap_or_else(|mistakes| panic!("{}", mistakes[0])).0
}

/// A member of the last slice but one is in the middle of this line.
fn line(text: &str) -> std::ops::Range<usize> {
    let slice = text.rfind("  slice-98:").expect("it is there");
    let start = slice + text[slice..].find("- {mac").expect("it has one");
    let start = text[..start].rfind('\n').expect("a line") + 1;
    start..start + text[start..].find('\n').expect("its end") + 1
}

#[test]
fn a_member_takes_less_than_150_bytes_with_its_text_and_all_tables() {
    for style in [Style::Flow, Style::Block] {
        let text = policy(SLICES, MEMBERS, style);
        let (kept, info) = counted(|| read(&text));
        let bytes = info.bytes_current as f64 / MEMBERS as f64;
        assert!(bytes < 150.0, "{style:?}: {bytes} bytes a member");
        // Nothing that is as large as the tree of the file is ever there.
        let peak = info.bytes_max as f64 / MEMBERS as f64;
        assert!(peak < 300.0, "{style:?}: {peak} bytes a member while it is read");
        drop(kept);
    }
}

#[test]
fn an_edit_touches_its_slice_and_a_piece_of_each_table() {
    let text = policy(SLICES, MEMBERS, Style::Flow);
    let old = read(&text);
    let line = line(&text);
    let edits = [
        ("added", format!("{}      - {{mac: \"0e:00:00:00:00:01\"}}\n", &text[line.clone()])),
        ("changed", "      - {port: s7/47, vlan: 4094, id: xyz}\n".to_owned()),
        ("removed", String::new()),
        (
            "moved to pins",
            "      - {mac: \"0e:00:00:00:00:01\", only_at: [s7/47, s8/3]}\n".to_owned(),
        ),
    ];
    for (what, edit) in edits {
        let edited = [&text[..line.start], &edit, &text[line.end..]].concat();
        let (new, info) = counted(|| old.reread(edited).expect("it is good").0);
        assert!(info.count_total < 200, "{what}: {} allocations", info.count_total);
        let bytes = info.bytes_total;
        assert!(bytes < 600_000, "{what}: {bytes} bytes, of {MEMBERS} members");
        let (diff, info) = counted(|| old.diff(&new));
        assert!(!diff.is_empty() && info.count_total < 50, "{what}: {}", info.count_total);
        assert!(new.has_slices_of(&old));
    }
}

#[test]
fn a_mistake_in_an_edit_is_told_with_its_line() {
    let text = policy(SLICES, MEMBERS, Style::Flow);
    let old = read(&text);
    let line = line(&text);
    let edited =
        [&text[..line.start], "      - {port: s7/47, vlan: 5000}\n", &text[line.end..]].concat();
    let mistakes = old.reread(edited).expect_err("no such VLAN");
    let number = text[..line.start].lines().count() + 1;
    let told: Vec<_> = mistakes.iter().map(|m| (m.code, m.line(), m.labels[0].column)).collect();
    assert_eq!(told, [("wrong-value", Some(number), 29)]);
}

#[test]
fn forwarding_and_dropping_allocate_nothing() {
    let mut text = policy(SLICES, MEMBERS, Style::Flow);
    text.push_str(&filters(1000, 10));
    let policy = read(&text);
    for kind in [Kind::Mac, Kind::PortMac, Kind::Port, Kind::Nothing] {
        let (network, frames) = frames(&policy, kind, 256);
        assert_eq!(frames.len(), 256);
        for (dpid, port, headers) in &frames {
            let ingress = Ingress { dpid: *dpid, port: *port, headers };
            let (decision, info) = counted(|| decide(&policy, &network, ingress, &mut NoTrace));
            match kind {
                Kind::Nothing => assert_eq!(decision.admission, Err(Refusal::NoBinding)),
                _ => assert!(matches!(decision.verdict, Verdict::Forward { .. }), "{decision:?}"),
            }
            assert_eq!(info.count_total, 0, "{kind:?}: {decision:?}");
        }
    }
}

#[test]
fn a_refused_sender_on_a_bound_port_allocates_nothing() {
    let text = policy(SLICES, MEMBERS, Style::Flow) + "options: {restrict_hosts: true}\n";
    let policy = read(&text);
    let (network, frames) = frames(&policy, Kind::Port, 256);
    for (dpid, port, headers) in &frames {
        let ingress = Ingress { dpid: *dpid, port: *port, headers };
        let (decision, info) = counted(|| decide(&policy, &network, ingress, &mut NoTrace));
        assert_eq!(decision.admission, Err(Refusal::Restricted));
        assert!(!decision.tentative.is_empty() && info.count_total == 0, "{decision:?}");
    }
}

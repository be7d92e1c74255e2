//! Flow entries as a table. Pure.

use serde_json::Value;

use super::table::Table;
use super::units::{bytes, count, span};
use crate::control::rows::{EntryRow, FlowKind, FlowRow, Has};

/// The entries, and what is wrong with them below.
pub(super) fn show(rows: &[FlowRow], end: &Value) -> String {
    let mut table = Table::new([
        "AT",
        "FROM",
        "TO",
        "MATCH",
        "DOES",
        "SLICE",
        "MEMBER",
        "FILTER",
        "ENDS AFTER",
        "ON",
        ">PACKETS",
        ">BYTES",
    ]);
    for row in rows {
        // The first entry sees every packet of the path.
        let first = row.entries.first();
        let used = |pick: fn(&EntryRow) -> Option<u64>, unit: fn(u64) -> String| {
            first.and_then(pick).map_or_else(|| "-".to_owned(), unit)
        };
        let source = |source: &Option<crate::control::rows::Source>| {
            source.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)
        };
        table.row([
            row.at.clone().unwrap_or_else(|| row.switch.clone()),
            host(&row.src_host, &row.src),
            host(&row.dst_host, &row.dst),
            row.matches.clone(),
            does(row),
            row.slice.clone().unwrap_or_else(|| "-".to_owned()),
            source(&row.member),
            source(&row.filter),
            ends_after(row),
            on(&row.entries),
            used(|entry| entry.packets, count),
            used(|entry| entry.bytes, bytes),
        ]);
    }
    let mut text = table.text();
    let wrong = |has: Has| {
        rows.iter().flat_map(|row| &row.entries).filter(|entry| entry.has == has).count()
    };
    for (number, says) in [
        (wrong(Has::Missing), "that a switch should have and has not"),
        (wrong(Has::Wrong), "with other actions than are registered"),
        (rows.iter().filter(|row| row.kind == FlowKind::Leftover).count(), "left over"),
        (rows.iter().filter(|row| row.kind == FlowKind::Foreign).count(), "of nobody known"),
    ] {
        if number > 0 {
            let entries = if number == 1 { "entry" } else { "entries" };
            text.push_str(&format!("{number} {entries} {says}\n"));
        }
    }
    let silent = end.get("not_answering").and_then(Value::as_array);
    for switch in silent.into_iter().flatten().filter_map(Value::as_str) {
        text.push_str(&format!("{switch} does not tell its flows\n"));
    }
    if end.get("truncated") == Some(&Value::Bool(true)) {
        text.push_str("more are registered: narrow it down with --switch, --slice or --host\n");
    }
    text
}

fn host(name: &Option<String>, mac: &Option<String>) -> String {
    name.as_ref().or(mac.as_ref()).cloned().unwrap_or_else(|| "*".to_owned())
}

fn does(row: &FlowRow) -> String {
    match row.kind {
        FlowKind::Forward => {
            let to = row.to.as_deref().unwrap_or("?");
            match row.hops.len() {
                0 | 1 => format!("to {to}"),
                hops => format!("to {to}, {hops} hops"),
            }
        }
        FlowKind::Drop => format!("drop: {}", row.reason.as_deref().unwrap_or("?")),
        FlowKind::Standing => "standing entry".to_owned(),
        FlowKind::App => format!("of {}{}", row.app.as_deref().unwrap_or("?"), table(row)),
        FlowKind::Leftover => format!("left over, cookie {}{}", row.cookie, table(row)),
        FlowKind::Awaited => "kept: its switch is away".to_owned(),
        FlowKind::Foreign => format!("foreign, cookie {}{}", row.cookie, table(row)),
    }
}

/// Which table an entry is in, where it is not the one that the controller uses.
fn table(row: &FlowRow) -> String {
    if row.table == 0 { String::new() } else { format!(", table {}", row.table) }
}

fn ends_after(row: &FlowRow) -> String {
    match (row.idle_timeout, row.hard_timeout) {
        (0, 0) => "-".to_owned(),
        (idle, 0) => format!("{} idle", span(idle.into())),
        (0, hard) => span(hard.into()),
        (idle, hard) => format!("{} idle, {}", span(idle.into()), span(hard.into())),
    }
}

/// `s1 present, s2 MISSING`: what is wrong is loud.
fn on(entries: &[EntryRow]) -> String {
    let words = entries.iter().map(|entry| {
        let has = match entry.has {
            Has::Present => "present",
            Has::Wrong => "WRONG",
            Has::Missing => "MISSING",
            Has::Installing => "on its way",
            Has::Unknown => "not known",
        };
        let reply = if entry.reply { " (reply)" } else { "" };
        format!("{} {has}{reply}", entry.switch)
    });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_switch_lacks_is_loud_and_counted() {
        let rows: Vec<FlowRow> = serde_json::from_value(json!([
            {"kind": "forward", "switch": "s1", "at": "s1/1", "src": "00:00:00:00:00:01",
             "src_host": "alice", "dst": "00:00:00:00:00:02", "match": "untagged ipv4",
             "hops": ["s1 1>24", "s2 24>1"], "to": "s2/1", "idle_timeout": 60,
             "hard_timeout": 0, "cookie": "0x1", "priority": 65535, "slice": "lab",
             "member": {"id": "alice", "file": "p.yaml", "line": 14},
             "entries": [
                {"switch": "s1", "has": "present", "packets": 12, "bytes": 1200, "seconds": 3},
                {"switch": "s2", "has": "missing"}, {"switch": "s3", "has": "wrong"}]},
            {"kind": "leftover", "switch": "s1", "match": "anything", "hops": [],
             "idle_timeout": 0, "hard_timeout": 0, "cookie": "0x8100", "priority": 1, "table": 3,
             "entries": [{"switch": "s1", "has": "present", "packets": 0, "bytes": 0}]},
            {"kind": "awaited", "switch": "s1", "match": "anything", "hops": [],
             "idle_timeout": 0, "hard_timeout": 0, "cookie": "0x8101", "priority": 1,
             "entries": [{"switch": "s1", "has": "present", "packets": 0, "bytes": 0}]},
        ]))
        .unwrap();
        let text = show(&rows, &json!({"truncated": true, "not_answering": ["s3"]}));
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].starts_with("s1/1  alice  00:00:00:00:00:02  untagged ipv4"), "{text}");
        assert!(lines[1].contains("to s2/1, 2 hops"), "{text}");
        assert!(lines[1].contains("alice p.yaml:14"), "{text}");
        assert!(lines[1].contains("1 min idle"), "{text}");
        assert!(lines[1].contains("s1 present, s2 MISSING, s3 WRONG"), "{text}");
        assert!(lines[2].contains("left over, cookie 0x8100, table 3"), "{text}");
        assert!(lines[3].contains("kept: its switch is away"), "{text}");
        assert_eq!(
            lines[4..],
            [
                "1 entry that a switch should have and has not",
                "1 entry with other actions than are registered",
                "1 entry left over",
                "s3 does not tell its flows",
                "more are registered: narrow it down with --switch, --slice or --host",
            ]
        );
    }
}

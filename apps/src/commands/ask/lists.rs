//! Switches, ports, hosts and slices as tables. Pure.

use super::table::Table;
use super::units::{count, span};
use crate::control::rows::{HostRow, PortRow, Role, SliceRow, SwitchRow, SwitchState};

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

/// The switches.
pub(super) fn switches(rows: &[SwitchRow]) -> String {
    let mut table = Table::new([
        "SWITCH",
        "DPID",
        "STATE",
        "FROM",
        "OPENFLOW",
        ">PORTS UP",
        ">FOR",
        ">ECHO",
        ">PACKET-INS",
        ">FLOW-MODS",
        ">PACKET-OUTS",
    ]);
    for row in rows {
        let counted = |pick: fn(&crate::control::rows::Counters) -> u64| {
            or_dash(row.counters.as_ref().map(|counters| count(pick(counters))))
        };
        table.row([
            row.switch.clone(),
            row.dpid.clone(),
            state(row),
            or_dash(row.address.clone()),
            or_dash(row.openflow.clone()),
            or_dash(row.ports.zip(row.ports_up).map(|(all, up)| format!("{up}/{all}"))),
            or_dash(row.seconds.map(span)),
            or_dash(row.echo_ms.map(|ms| format!("{ms:.2} ms"))),
            counted(|c| c.packet_ins),
            counted(|c| c.flow_mods),
            counted(|c| c.packet_outs),
        ]);
    }
    table.text()
}

fn state(row: &SwitchRow) -> String {
    let mut state = match row.state {
        SwitchState::Ready => "ready".to_owned(),
        SwitchState::Joining => "joining".to_owned(),
        SwitchState::Silent => "does not answer".to_owned(),
        SwitchState::Detached => {
            format!("detached, kept {}", span(row.kept_seconds.unwrap_or(0)))
        }
        SwitchState::Gone => "gone".to_owned(),
        SwitchState::Absent => "never connected".to_owned(),
    };
    if let Some(revision) = row.stale_since_revision {
        state.push_str(&format!(", stale since revision {revision}"));
    }
    state
}

/// The ports.
pub(super) fn ports(rows: &[PortRow]) -> String {
    let mut table = Table::new(["PORT", "NAME", "MAC", "STATE", "IS", "SLICES", ">HOSTS"]);
    for row in rows {
        let is = match (row.role, &row.peer) {
            (Role::Down, _) => "-".to_owned(),
            (Role::Probing, _) => "being probed".to_owned(),
            (Role::Edge, _) => "edge".to_owned(),
            (Role::Link, Some(peer)) => format!("link to {peer}"),
            (Role::Link, None) => "link".to_owned(),
        };
        table.row([
            row.port.clone(),
            row.name.clone(),
            row.mac.clone(),
            if row.up { "up" } else { "down" }.to_owned(),
            is,
            row.slices.join(", "),
            count(row.hosts as u64),
        ]);
    }
    table.text()
}

/// The hosts.
pub(super) fn hosts(rows: &[HostRow]) -> String {
    let mut table = Table::new(["HOST", "MAC", "SLICE", "AT", ">SEEN", "NOTE"]);
    for row in rows {
        let mut notes = Vec::new();
        if row.tentative {
            notes.push("refused there: a guess");
        }
        if row.provisional {
            notes.push("port being probed");
        }
        table.row([
            or_dash(row.host.clone()),
            row.mac.clone(),
            or_dash(row.slice.clone()),
            row.at.clone(),
            format!("{} ago", span(row.seen_seconds)),
            notes.join(", "),
        ]);
    }
    table.text()
}

/// The slices, one line for each member.
pub(super) fn slices(rows: &[SliceRow]) -> String {
    let mut table = Table::new(["SLICE", "ADMITS", ">HOSTS", "MEMBER", "BINDS", "DESCRIPTION"]);
    for row in rows {
        let admits = if row.restrict_hosts { "listed hosts" } else { "as members say" };
        let mut first = [row.slice.clone(), admits.to_owned(), count(row.hosts as u64)];
        let mut description = row.description.clone();
        for member in &row.members {
            let [slice, admits, hosts] = std::mem::take(&mut first);
            let description = std::mem::take(&mut description);
            let (id, binds) = (member.id.clone(), member.binds.clone());
            table.row([slice, admits, hosts, id, binds, description]);
        }
        if row.members.is_empty() {
            let [slice, admits, hosts] = first;
            table.row([slice, admits, hosts, "none".into(), "-".into(), description]);
        }
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lost_switch_says_what_it_may_do_wrong() {
        let rows: Vec<SwitchRow> = serde_json::from_value(json!([
            {"switch": "s1", "dpid": "0x1", "state": "ready", "address": "127.0.0.1",
             "openflow": "1.3", "ports": 4, "ports_up": 3, "seconds": 200, "echo_ms": 0.412,
             "counters": {"packet_ins": 1234, "flow_mods": 5, "packet_outs": 6, "shed": 0,
                          "limited": 0, "failed_paths": 0, "resyncs": 0, "repaired": 0, "errors": 0}},
            {"switch": "s2", "dpid": "0x2", "state": "detached", "seconds": 3,
             "kept_seconds": 12, "stale_since_revision": 7},
            {"switch": "s3", "dpid": "0x3", "state": "absent"},
        ]))
        .unwrap();
        let text = switches(&rows);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].starts_with("s1      0x1   ready "), "{text}");
        assert!(lines[1].contains("3/4") && lines[1].contains("0.41 ms"), "{text}");
        assert!(lines[1].contains("1.2k"), "{text}");
        assert!(lines[2].contains("detached, kept 12 s, stale since revision 7"), "{text}");
        assert!(lines[3].contains("never connected"), "{text}");
    }

    #[test]
    fn a_slice_has_a_line_for_each_member() {
        let rows: Vec<SliceRow> = serde_json::from_value(json!([
            {"slice": "lab", "description": "Teaching", "restrict_hosts": true, "hosts": 2,
             "members": [{"id": "alice", "binds": "alice (00:00:00:00:00:01)"},
                         {"id": "port1", "binds": "s1/5"}]},
            {"slice": "empty", "restrict_hosts": false, "hosts": 0, "members": []},
        ]))
        .unwrap();
        assert_eq!(
            slices(&rows),
            "SLICE  ADMITS          HOSTS  MEMBER  BINDS                      DESCRIPTION\n\
             lab    listed hosts        2  alice   alice (00:00:00:00:00:01)  Teaching\n\
             \x20                             port1   s1/5\n\
             empty  as members say      0  none    -\n"
        );
    }
}

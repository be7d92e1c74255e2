//! Entries that no registry holds, and those that a switch lacks. Pure.

use std::collections::BTreeMap;

use super::Finding;
use super::bridges::version;
use super::facts::{Bridge, Running};
use crate::control::rows::{FlowKind, FlowRow, Has};

/// Entries of each kind that are told one by one, each with its command.
const TOLD: usize = 8;

/// All findings on flows. Only for bridges of this machine there are commands.
pub(super) fn flows(running: &Running, bridges: &[Bridge]) -> Vec<Finding> {
    let bridge_of = |switch: &str| {
        let row = running.switches.iter().find(|row| row.switch == switch)?;
        bridges.iter().find(|bridge| bridge.dpid.is_some_and(|dpid| dpid.to_string() == row.dpid))
    };
    let mut findings = Vec::new();
    let mut tell = |kind, finding: fn(String, String) -> Finding, why: &str| {
        let all: Vec<&FlowRow> = running.flows.iter().filter(|row| row.kind == kind).collect();
        for row in all.iter().take(TOLD) {
            let what = format!("flows of {}", row.switch);
            let criteria = criteria(row).unwrap_or_else(|| row.matches.clone());
            let found = finding(what, format!("{why}: {criteria}, cookie {}", row.cookie));
            findings.push(match bridge_of(&row.switch) {
                Some(bridge) => found.repaired_by(delete(bridge, row)),
                None => found,
            });
        }
        if let Some(more @ 1..) = all.len().checked_sub(TOLD) {
            findings.push(finding("flows".to_owned(), format!("{more} more like these")));
        }
    };
    tell(FlowKind::Leftover, Finding::error, "an entry of no registered path");
    tell(FlowKind::Foreign, Finding::warning, "an entry that is not the controller's");
    let mut wrong: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in running.flows.iter().flat_map(|row| &row.entries) {
        if entry.has == Has::Wrong {
            *wrong.entry(&entry.switch).or_default() += 1;
        }
    }
    for (switch, entries) in wrong {
        let why = format!(
            "{entries} entries of paths have other actions than are registered: frames go elsewhere"
        );
        let finding = Finding::error(format!("flows of {switch}"), why);
        findings.push(repaired_anew(finding, bridge_of(switch)));
    }
    // Whether one of the standing entries is among those that a switch lacks.
    let mut missing: BTreeMap<&str, bool> = BTreeMap::new();
    for row in &running.flows {
        for entry in row.entries.iter().filter(|entry| entry.has == Has::Missing) {
            *missing.entry(&entry.switch).or_default() |= row.kind == FlowKind::Standing;
        }
    }
    for (switch, standing) in missing {
        let what = format!("flows of {switch}");
        let finding = match standing {
            true => {
                Finding::error(what, "a standing entry is missing: frames of new flows are lost")
            }
            false => {
                let why = "entries of paths are missing: their frames come to the controller";
                Finding::warning(what, why)
            }
        };
        findings.push(repaired_anew(finding, bridge_of(switch)));
    }
    if findings.is_empty() && !running.flows.is_empty() {
        findings.push(Finding::ok("flows", "the switches have what the controller registers"));
    }
    findings
}

/// Connecting anew makes the controller read the table, and put right what differs.
fn repaired_anew(finding: Finding, bridge: Option<&Bridge>) -> Finding {
    let target = |bridge: &Bridge| {
        Some(bridge.targets.iter().find(|target| target.connected)?.target.clone())
    };
    match bridge.and_then(|bridge| Some((&bridge.name, target(bridge)?))) {
        Some((name, target)) => finding.repaired_by(format!(
            "ovs-vsctl del-controller {name} && ovs-vsctl set-controller {name} {target}"
        )),
        None => finding,
    }
}

/// The command that deletes an entry and no other: by its cookie if it has one of its own, else (none,
/// or that of the standing entries) by its priority and match.
fn delete(bridge: &Bridge, row: &FlowRow) -> String {
    let (name, version) = (&bridge.name, version(bridge));
    let standing = umlaut_controller::path::STANDING_COOKIE.to_string();
    if row.cookie != "0x0" && row.cookie != standing {
        let (cookie, table) = (&row.cookie, row.table);
        return format!("ovs-ofctl -O {version} del-flows {name} cookie={cookie}/-1,table={table}");
    }
    match criteria(row) {
        Some(criteria) => {
            // Without a table it would be deleted from all.
            let place = format!("table={},priority={}", row.table, row.priority);
            let exactly = [place, criteria];
            let exactly: Vec<_> = exactly.into_iter().filter(|part| !part.is_empty()).collect();
            format!("ovs-ofctl -O {version} --strict del-flows {name} {}", exactly.join(","))
        }
        None => format!("ovs-ofctl -O {version} dump-flows {name}"),
    }
}

/// What an entry matches, as `ovs-ofctl` writes it; `None` for fields that it writes in ways of its
/// own.
fn criteria(row: &FlowRow) -> Option<String> {
    let mut words = Vec::new();
    if let Some((_, port)) = row.at.as_ref().and_then(|at| at.rsplit_once('/')) {
        words.push(format!("in_port={port}"));
    }
    words.extend(row.src.as_ref().map(|mac| format!("dl_src={mac}")));
    words.extend(row.dst.as_ref().map(|mac| format!("dl_dst={mac}")));
    for word in row.matches.split_whitespace() {
        words.push(match word.split_once('=') {
            None => match word {
                "anything" => continue,
                "untagged" => "vlan_tci=0x0000/0x1fff".to_owned(),
                "ipv4" => "ip".to_owned(),
                "arp" | "ipv6" => word.to_owned(),
                "lldp" => "dl_type=0x88cc".to_owned(),
                _ => return None,
            },
            Some((name, value)) => {
                let name = match name {
                    "vlan" => "dl_vlan",
                    "eth_type" => "dl_type",
                    "vlan_pcp" => "dl_vlan_pcp",
                    "ip_proto" => "nw_proto",
                    "ipv4_src" | "arp_spa" => "nw_src",
                    "ipv4_dst" | "arp_tpa" => "nw_dst",
                    "tcp_src" | "udp_src" => "tp_src",
                    "tcp_dst" | "udp_dst" => "tp_dst",
                    "ipv6_src" | "ipv6_dst" | "icmp_type" | "icmp_code" => name,
                    _ => return None,
                };
                format!("{name}={value}")
            }
        });
    }
    Some(words.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use umlaut_openflow::DatapathId;

    use super::super::Level;
    use super::super::facts::Target;
    use super::*;

    fn running(flow: serde_json::Value) -> Running {
        serde_json::from_value::<FlowRow>(flow)
            .map(|flow| Running {
                about: serde_json::from_value(json!({
                    "version": "0", "pid": 1, "openflow": ["1.3"], "applications": [],
                    "revision": 1, "policy_revision": 1, "cookie_epoch": 128}))
                .unwrap(),
                switches: serde_json::from_value(
                    json!([{"switch": "core", "dpid": "0x1", "state": "ready"}]),
                )
                .unwrap(),
                flows: vec![flow],
            })
            .unwrap()
    }

    #[test]
    fn an_entry_too_much_is_deleted_and_no_other() {
        let bridge =
            Bridge { name: "br0".to_owned(), dpid: Some(DatapathId(1)), ..Bridge::default() };
        for (kind, cookie, at, matches, level, command) in [
            (
                "leftover",
                "0x81",
                json!("core/3"),
                "untagged ipv4",
                Level::Error,
                "ovs-ofctl -O OpenFlow13 del-flows br0 cookie=0x81/-1,table=4",
            ),
            (
                "foreign",
                "0x0",
                json!("core/3"),
                "untagged ipv4 ip_proto=6 tcp_dst=22",
                Level::Warning,
                "ovs-ofctl -O OpenFlow13 --strict del-flows br0 \
                 table=4,priority=7,in_port=3,vlan_tci=0x0000/0x1fff,ip,nw_proto=6,tp_dst=22",
            ),
            (
                "foreign",
                "0x7f00000000000000",
                json!("core/3"),
                "arp",
                Level::Warning,
                "ovs-ofctl -O OpenFlow13 --strict del-flows br0 table=4,priority=7,in_port=3,arp",
            ),
            (
                "foreign",
                "0x0",
                json!(null),
                "anything",
                Level::Warning,
                "ovs-ofctl -O OpenFlow13 --strict del-flows br0 table=4,priority=7",
            ),
            (
                "foreign",
                "0x0",
                json!(null),
                "mpls_label=7",
                Level::Warning,
                "ovs-ofctl -O OpenFlow13 dump-flows br0",
            ),
        ] {
            let running = running(json!({
                "kind": kind, "switch": "core", "at": at, "match": matches, "hops": [],
                "idle_timeout": 0, "hard_timeout": 0, "cookie": cookie, "priority": 7, "table": 4,
                "entries": [{"switch": "core", "has": "present"}]}));
            let found = flows(&running, std::slice::from_ref(&bridge));
            assert_eq!((found[0].level, found[0].repair.as_deref()), (level, Some(command)));
            // A switch of another machine: it is named, without a command for this one.
            assert_eq!(flows(&running, &[])[0].repair, None);
        }
    }

    #[test]
    fn entries_of_a_switch_that_is_away_are_no_fault_and_wrong_ones_are() {
        let flow = |kind: &str, has: &str| {
            running(json!({
                "kind": kind, "switch": "core", "match": "anything", "hops": [],
                "idle_timeout": 0, "hard_timeout": 0, "cookie": "0x81", "priority": 7,
                "entries": [{"switch": "core", "has": has}]}))
        };
        let levels = |running: &Running| {
            flows(running, &[]).iter().map(|finding| finding.level).collect::<Vec<_>>()
        };
        assert_eq!(levels(&flow("awaited", "present")), [Level::Ok]);
        assert_eq!(levels(&flow("forward", "present")), [Level::Ok]);
        assert_eq!(levels(&flow("leftover", "present")), [Level::Error]);
        let wrong = flow("forward", "wrong");
        assert_eq!(levels(&wrong), [Level::Error]);
        let target = "tcp:127.0.0.1:6653".to_owned();
        let bridge = Bridge {
            name: "br0".to_owned(),
            dpid: Some(DatapathId(1)),
            targets: vec![Target { target, connected: true, last_error: None }],
            ..Bridge::default()
        };
        let repair = flows(&wrong, &[bridge])[0].repair.clone();
        assert_eq!(
            repair.as_deref(),
            Some("ovs-vsctl del-controller br0 && ovs-vsctl set-controller br0 tcp:127.0.0.1:6653")
        );
    }
}

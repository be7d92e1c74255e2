//! Flow entries of emulated switches as lines, in the manner of `ovs-ofctl dump-flows`. Pure.

use serde_json::Value;
use umlaut_openflow::{Action, FlowStats, Instruction, MatchField, PortNo, VlanMatch};

/// An entry.
pub(super) fn line(entry: &FlowStats) -> String {
    let mut parts = vec![
        format!("cookie={}", entry.cookie),
        format!("duration={}.{:03}s", entry.duration.as_secs(), entry.duration.subsec_millis()),
        format!("table={}", entry.table_id.0),
        format!("n_packets={}", entry.packet_count),
        format!("n_bytes={}", entry.byte_count),
    ];
    for (name, seconds) in
        [("idle_timeout", entry.idle_timeout), ("hard_timeout", entry.hard_timeout)]
    {
        if seconds > 0 {
            parts.push(format!("{name}={seconds}"));
        }
    }
    let mut criteria = vec![format!("priority={}", entry.priority)];
    criteria.extend(entry.matches.fields().iter().map(field));
    format!("{}, {} actions={}", parts.join(", "), criteria.join(","), actions(entry))
}

fn actions(entry: &FlowStats) -> String {
    let mut words = Vec::new();
    for instruction in &entry.instructions {
        match instruction {
            Instruction::Apply(actions) => words.extend(actions.iter().map(action)),
            other => words.push(compact(&serde_json::to_value(other).unwrap_or_default())),
        }
    }
    match words.is_empty() {
        true => "drop".to_owned(),
        false => words.join(","),
    }
}

fn action(action: &Action) -> String {
    match action {
        Action::Output { port: PortNo::CONTROLLER, max_len } => format!("CONTROLLER:{}", max_len.0),
        Action::Output { port: PortNo::IN_PORT, .. } => "IN_PORT".to_owned(),
        Action::Output { port, .. } => format!("output:{port}"),
        Action::PopVlan => "pop_vlan".to_owned(),
        Action::PushVlan(tpid) => format!("push_vlan:{tpid:#06x}"),
        Action::SetVlanVid(vid) => format!("mod_vlan_vid:{vid}"),
        Action::SetField(MatchField::VlanVid(VlanMatch::Tagged(vid))) => {
            format!("set_field:{vid}->vlan_vid")
        }
        other => compact(&serde_json::to_value(other).unwrap_or_default()),
    }
}

fn field(field: &MatchField) -> String {
    match field {
        MatchField::InPort(port) => format!("in_port={port}"),
        MatchField::VlanVid(VlanMatch::Absent) => "untagged".to_owned(),
        MatchField::VlanVid(VlanMatch::Tagged(vid)) => format!("dl_vlan={vid}"),
        MatchField::EthType(number) => format!("dl_type={number:#06x}"),
        MatchField::EthSrc(mac) if mac.mask.is_none() => format!("dl_src={}", mac.value),
        MatchField::EthDst(mac) if mac.mask.is_none() => format!("dl_dst={}", mac.value),
        other => compact(&serde_json::to_value(other).unwrap_or_default()),
    }
}

/// A value in few characters: `tcp_dst=22`, `ipv4_src=10.0.0.0/255.0.0.0`, `group=7`.
fn compact(value: &Value) -> String {
    let word = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let Value::Object(named) = value else { return word(value) };
    let parts = named.iter().map(|(name, value)| match (value.get("value"), value.get("mask")) {
        (Some(value), Some(mask)) if !mask.is_null() => {
            format!("{name}={}/{}", word(value), word(mask))
        }
        (Some(value), _) => format!("{name}={}", word(value)),
        _ => format!("{name}={}", word(value)),
    });
    parts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use umlaut_openflow::{Cookie, FlowModFlags, GroupId, MacAddr, Masked, Match, TableId};

    use super::*;

    #[test]
    fn an_entry_is_one_line() {
        let net = Masked { value: [10, 0, 0, 0].into(), mask: Some([255, 0, 0, 0].into()) };
        let mut entry = FlowStats {
            table_id: TableId(0),
            duration: Duration::from_millis(1250),
            priority: 65535,
            idle_timeout: 60,
            hard_timeout: 0,
            flags: FlowModFlags(0),
            cookie: Cookie(0x2a),
            packet_count: 3,
            byte_count: 180,
            matches: Match::new()
                .in_port(PortNo(3))
                .eth_src(MacAddr::from_u64(1))
                .vlan_vid(VlanMatch::Absent)
                .eth_type(0x0800u16)
                .ipv4_src(net),
            instructions: [Instruction::Apply(
                [
                    Action::PushVlan(0x8100),
                    Action::SetField(MatchField::VlanVid(VlanMatch::Tagged(7))),
                    Action::output(PortNo(2)),
                    Action::Group(GroupId(5)),
                ]
                .into(),
            )]
            .into(),
        };
        let told = line(&entry);
        for part in [
            "duration=1.250s, table=0, n_packets=3, n_bytes=180, idle_timeout=60, priority=65535,",
            "in_port=3,dl_src=00:00:00:00:00:01,untagged,dl_type=0x0800,ipv4_src=10.0.0.0/255.0.0.0",
            " actions=push_vlan:0x8100,set_field:7->vlan_vid,output:2,group=5",
        ] {
            assert!(told.contains(part), "{told}");
        }
        entry.instructions.clear();
        assert!(line(&entry).ends_with(" actions=drop"), "{told}");
    }
}

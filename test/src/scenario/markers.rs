//! Markers: a slice of the runner's own with two hosts per switch, to know that everything sent
//! before has been dealt with. Pure.
//!
//! A marker is sent after the probe from the same switch, and again when it has arrived everywhere.
//! A switch takes frames up port by port in rounds, so the second marker proves that the first
//! round, and with it the probe, is over; packet-ins, mailboxes and packet-outs keep their order.

use std::collections::BTreeSet;

use serde_yaml::{Mapping, Value};
use umlaut_openflow::{DatapathId, PortNo};

/// The slice of the markers.
pub const MARKER_SLICE: &str = "umlaut-marker";
/// The ports of the markers on each switch are the first from here on that nothing else uses.
const FIRST_PORT: u32 = 250;

/// Two ports for the markers of every switch beside these, which are used on some or by some policy.
pub(super) fn marker_ports(used: &BTreeSet<PortNo>) -> [PortNo; 2] {
    let free = |port: &PortNo| !used.contains(port);
    let first = (FIRST_PORT..).map(PortNo).find(free).unwrap_or(PortNo::MAX);
    let second = (first.0.saturating_add(1)..).map(PortNo).find(free).unwrap_or(PortNo::MAX);
    [first, second]
}

/// The names of a switch's marker hosts; the first one sends.
pub(super) fn markers(dpid: DatapathId) -> [String; 2] {
    [format!("mark-{:x}", dpid.0), format!("mark-{:x}-b", dpid.0)]
}

/// Whether a host is one of the markers'.
pub(super) fn is_marker(host: &str) -> bool {
    host.starts_with("mark-")
}

fn text(text: impl Into<String>) -> Value {
    Value::String(text.into())
}

fn map(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::Mapping(entries.into_iter().map(|(key, value)| (text(key), value)).collect())
}

/// The entry of a map, made if there is none.
fn entry<'a>(map: &'a mut Mapping, key: &str, empty: Value) -> &'a mut Value {
    if !map.contains_key(key) {
        map.insert(text(key), empty);
    }
    &mut map[key]
}

/// A policy with the markers of these switches at these ports, and with numbered slices, as text.
pub(super) fn with_markers(
    policy: &Value,
    switches: &[DatapathId],
    ports: [PortNo; 2],
    mac_slices: u32,
) -> String {
    let mut policy = policy.clone();
    let Value::Mapping(root) = &mut policy else { return String::new() };
    let mut members = Vec::new();
    if let Value::Mapping(hosts) = entry(root, "hosts", Value::Mapping(Mapping::new())) {
        for (number, dpid) in switches.iter().enumerate() {
            for (index, (name, port)) in markers(*dpid).into_iter().zip(ports).enumerate() {
                let at = format!("{dpid}/{port}");
                let (high, low) = (number >> 8 & 0xff, number & 0xff);
                let mac = format!("02:6d:00:{index:02x}:{high:02x}:{low:02x}");
                let host = map([("mac", text(mac)), ("at", text(at.as_str()))]);
                hosts.insert(text(name.as_str()), host);
                members.push(map([("port", text(at)), ("host", text(name))]));
            }
        }
    }
    if let Value::Mapping(slices) = entry(root, "slices", Value::Mapping(Mapping::new())) {
        slices.insert(text(MARKER_SLICE), map([("members", Value::Sequence(members))]));
        for k in 0..u64::from(mac_slices) {
            let mac = |n: u64| umlaut_openflow::MacAddr::from_u64(n).to_string();
            let member = |n| map([("mac", text(mac(n)))]);
            let members = Value::Sequence(vec![member(2 * k + 1), member(2 * k + 2)]);
            slices.insert(text(format!("slice-{k}")), map([("members", members)]));
        }
    }
    let denies = root.get("options").is_some_and(|o| o.get("filter_default").is_some());
    if denies || root.contains_key("filters") {
        let allow = map([
            ("id", text(MARKER_SLICE)),
            ("priority", Value::Number(65535.into())),
            ("slice", text(MARKER_SLICE)),
            ("action", text("allow")),
        ]);
        if let Value::Sequence(filters) = entry(root, "filters", Value::Sequence(Vec::new())) {
            filters.insert(0, allow);
        }
    }
    serde_yaml::to_string(&policy).unwrap_or_default()
}

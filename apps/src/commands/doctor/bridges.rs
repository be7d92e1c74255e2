//! What is wrong with a bridge. Pure.

use super::Finding;
use super::diagnose::{set_dpid, start};
use super::facts::{Bridge, Facts, Kernel, Running, Target};
use crate::control::rows::{SwitchRow, SwitchState};

/// The port of a target without one (IANA).
const OPENFLOW_PORT: u16 = 6653;

/// All findings on one bridge.
pub(super) fn bridge(facts: &Facts, bridge: &Bridge, kernel: Kernel) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.push(target(facts, bridge));
    findings.push(fail_mode(bridge));
    findings.push(protocols(facts, bridge));
    findings.extend(datapath_id(facts, bridge));
    findings.extend(datapath_type(bridge, kernel));
    if let Ok(running) = &facts.controller {
        findings.extend(agreed(running, facts, bridge));
    }
    if let Some(entries @ 1..) = bridge.path_entries {
        let name = &bridge.name;
        let what = format!("bridge {name}: flows");
        let why = format!("{entries} entries of a controller that does not run forward frames");
        let repair = format!(
            "ovs-ofctl -O {} del-flows {name} cookie=0x8000000000000000/0x8000000000000000",
            version(bridge)
        );
        findings.push(Finding::warning(what, why).repaired_by(repair));
    }
    findings
}

/// A version that the bridge speaks, for commands.
pub(super) fn version(bridge: &Bridge) -> &str {
    bridge.protocols.last().map_or("OpenFlow13", String::as_str)
}

fn what(bridge: &Bridge, aspect: &str) -> String {
    format!("bridge {}: {aspect}", bridge.name)
}

/// Where a bridge should connect.
fn wanted_target(facts: &Facts) -> String {
    let listen = facts.listen;
    match listen.ip().is_unspecified() {
        true => format!("tcp:127.0.0.1:{}", listen.port()),
        false => format!("tcp:{listen}"),
    }
}

/// The port of `tcp:HOST:PORT`, `ssl:[HOST]:PORT`, `tcp:HOST`; `None` for targets that wait to be
/// connected to.
pub(super) fn port_of(target: &str) -> Option<u16> {
    let place = target.strip_prefix("tcp:").or_else(|| target.strip_prefix("ssl:"))?;
    let after = place.rsplit_once(']').map_or(place, |(_, after)| after);
    match after.rsplit_once(':') {
        Some((_, port)) => port.parse().ok(),
        None => Some(OPENFLOW_PORT),
    }
}

fn target(facts: &Facts, bridge: &Bridge) -> Finding {
    let what = what(bridge, "controller");
    let set = format!("ovs-vsctl set-controller {} {}", bridge.name, wanted_target(facts));
    let ours: Vec<&Target> = bridge
        .targets
        .iter()
        .filter(|target| port_of(&target.target) == Some(facts.listen.port()))
        .collect();
    let Some(target) = ours.iter().find(|target| target.connected).or(ours.first()) else {
        let others: Vec<_> = bridge.targets.iter().map(|target| target.target.as_str()).collect();
        let why = match others.is_empty() {
            true => "none is set".to_owned(),
            false => {
                format!("{}: none leads to port {}", others.join(" "), facts.listen.port())
            }
        };
        return Finding::error(what, why).repaired_by(set);
    };
    if target.connected {
        return Finding::ok(what, format!("{}, connected", target.target));
    }
    let error = target.last_error.as_ref().map_or(String::new(), |error| format!(" ({error})"));
    let why = format!("{}, not connected{error}", target.target);
    // Setting it anew ends the pause between two attempts.
    let repair = if facts.controller.is_ok() { set } else { start(facts) };
    Finding::error(what, why).repaired_by(repair)
}

fn fail_mode(bridge: &Bridge) -> Finding {
    let what = what(bridge, "fail mode");
    let repair = format!("ovs-vsctl set-fail-mode {} secure", bridge.name);
    match bridge.fail_mode.as_deref() {
        Some("secure") => Finding::ok(what, "secure"),
        other => {
            let is = other.unwrap_or("standalone, the default");
            let why = format!("{is}: without the controller it forwards between all ports");
            Finding::error(what, why).repaired_by(repair)
        }
    }
}

fn protocols(facts: &Facts, bridge: &Bridge) -> Finding {
    let what = what(bridge, "protocols");
    let both = || vec!["1.0".to_owned(), "1.3".to_owned()];
    let offered = facts.controller.as_ref().map_or_else(|_| both(), |r| r.about.openflow.clone());
    let named = |version: &String| format!("OpenFlow{}", version.replace('.', ""));
    let common = offered.iter().any(|version| bridge.protocols.contains(&named(version)));
    // Open vSwitch speaks all of them unless told otherwise.
    if bridge.protocols.is_empty() {
        return Finding::ok(what, "all that Open vSwitch speaks");
    }
    let list = bridge.protocols.join(", ");
    if common {
        return Finding::ok(what, list);
    }
    let why = format!("{list}; the controller offers {}", offered.join(" and "));
    let best = offered.iter().max().map_or_else(|| "OpenFlow13".to_owned(), named);
    let repair = format!("ovs-vsctl set bridge {} protocols={best}", bridge.name);
    Finding::error(what, why).repaired_by(repair)
}

fn datapath_id(facts: &Facts, bridge: &Bridge) -> Option<Finding> {
    let what = what(bridge, "datapath id");
    let switches = facts.policy.as_ref()?.switches.as_ref().ok()?;
    let dpid = bridge.dpid?;
    let named = switches.get(&bridge.name);
    if let Some(wanted) = named.filter(|wanted| **wanted != dpid) {
        let why = format!("is {dpid}, but {wanted} in the policy");
        return Some(Finding::error(what, why).repaired_by(set_dpid(&bridge.name, wanted.0)));
    }
    match switches.iter().find(|(_, other)| **other == dpid) {
        Some((name, _)) => Some(Finding::ok(what, format!("{dpid}, {name} in the policy"))),
        None => Some(Finding::warning(what, format!("{dpid} is no switch of the policy"))),
    }
}

fn datapath_type(bridge: &Bridge, kernel: Kernel) -> Option<Finding> {
    let what = what(bridge, "datapath type");
    let kind = if bridge.datapath_type.is_empty() { "system" } else { &bridge.datapath_type };
    if kind != "system" {
        return Some(Finding::ok(what, kind));
    }
    match kernel {
        Kernel::Loaded => Some(Finding::ok(what, "system, and the kernel has the datapath")),
        Kernel::Available => Some(
            Finding::error(what, "system, but the kernel has not loaded the datapath")
                .repaired_by("modprobe openvswitch"),
        ),
        Kernel::Missing => Some(
            Finding::error(what, "system, but the kernel has no such datapath")
                .repaired_by(format!("ovs-vsctl set bridge {} datapath_type=netdev", bridge.name)),
        ),
    }
}

/// What the controller says of the bridge.
fn agreed(running: &Running, facts: &Facts, bridge: &Bridge) -> Option<Finding> {
    let what = what(bridge, "OpenFlow");
    let dpid = bridge.dpid?.to_string();
    let connected = bridge.targets.iter().any(|target| target.connected);
    let row: Option<&SwitchRow> = running.switches.iter().find(|row| row.dpid == dpid);
    let set = format!("ovs-vsctl set-controller {} {}", bridge.name, wanted_target(facts));
    match (row.map(|row| row.state), row.and_then(|row| row.openflow.clone())) {
        (Some(SwitchState::Ready), Some(version)) => {
            Some(Finding::ok(what, format!("{version} agreed, ready")))
        }
        (Some(SwitchState::Joining | SwitchState::Silent), _) => {
            let why = "connected, but it does not answer";
            Some(Finding::error(what, why).repaired_by(set))
        }
        // That it is not connected is told already.
        _ if !connected => None,
        _ => {
            let why = format!("{dpid} is connected, but not to the controller that answers");
            Some(Finding::error(what, why).repaired_by(set))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_a_target_is_read() {
        for (target, port) in [
            ("tcp:127.0.0.1:6653", Some(6653)),
            ("ssl:10.0.0.1:6633", Some(6633)),
            ("tcp:10.0.0.1", Some(6653)),
            ("tcp:[fe80::1]:7000", Some(7000)),
            ("tcp:[fe80::1]", Some(6653)),
            ("ptcp:6653", None),
            ("punix:/x.mgmt", None),
        ] {
            assert_eq!(port_of(target), port, "{target}");
        }
    }
}

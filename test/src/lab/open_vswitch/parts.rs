//! What networks on Open vSwitch consist of, each under the name and the mark of a lab: cables, hosts
//! in namespaces, bridges. Runtime.

use umlaut_openflow::DatapathId;

use super::super::{Done, LabName};
use super::tell::{ip, ip_batch, vsctl};
use super::{Claim, sweep};
use crate::topology::Endpoint;

/// A cable between two interfaces of the root namespace.
pub(crate) fn make_cable(claim: &Claim, [a, b]: &[String; 2]) -> Done {
    let mark = claim.lab().mark();
    // In one process, which goes on when this one is killed: nothing is left without a mark.
    let commands = format!(
        "link add {a} type veth peer name {b}\n\
         link set {a} alias {mark}\n\
         link set {b} alias {mark}\n"
    );
    ip_batch(None, &commands)?;
    adopt(a)?;
    adopt(b)
}

/// A namespace with a cable from its `eth0` to an interface of the root namespace.
pub(crate) fn make_namespace(claim: &Claim, namespace: &str, interface: &str) -> Done {
    let mark = claim.lab().mark();
    // As above.
    let commands = format!(
        "netns add {namespace}\n\
         netns exec {namespace} ip link set lo alias {mark}\n\
         link add {interface} type veth peer name eth0 netns {namespace}\n\
         link set {interface} alias {mark}\n"
    );
    ip_batch(None, &commands)?;
    adopt(interface)
}

/// Keeps the machine's own IPv6 out of an interface, and sets it up.
fn adopt(interface: &str) -> Done {
    // Else the machine would speak through it. Where there is no IPv6, there is no such file.
    let file = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
    let _ = std::fs::write(file, "1");
    ip(&["link", "set", interface, "up"])
}

/// A bridge that is a switch with these ports and this controller.
pub(crate) fn make_bridge(
    lab: &LabName,
    (bridge, dpid): (&str, DatapathId),
    interfaces: &[(String, Endpoint)],
    protocol: &str,
    controller: &str,
) -> Done {
    let mut words = vec!["--".to_owned(), "add-br".to_owned(), bridge.to_owned()];
    let mut then = |command: &[&str]| {
        words.push("--".to_owned());
        words.extend(command.iter().map(|word| (*word).to_owned()));
    };
    then(&[
        "set",
        "bridge",
        bridge,
        "datapath_type=netdev",
        "fail_mode=secure",
        &format!("protocols={protocol}"),
        &format!("other-config:datapath-id={:016x}", dpid.0),
        "other-config:disable-in-band=true",
        &format!("external-ids:{}={lab}", sweep::KEY),
    ]);
    for (interface, at) in interfaces {
        let request = format!("ofport_request={}", at.port.0);
        then(&["add-port", bridge, interface]);
        then(&["set", "interface", interface, &request]);
    }
    then(&["set-controller", bridge, controller]);
    then(&["set", "controller", bridge, "max_backoff=1000"]);
    vsctl(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
    Ok(())
}

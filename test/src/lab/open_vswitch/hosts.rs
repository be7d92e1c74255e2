//! Hosts in network namespaces. Runtime.
//!
//! A host finds every address on its only interface: its own has no prefix, the default route has no
//! gateway. The other hosts of the policy are in its neighbour table for ever, as in emulated labs, so
//! it need not ask for them; others it asks for.

use std::net::IpAddr;

use super::super::Done;
use super::{Bridges, ip, ip_batch, parts, taken};
use crate::ovs::sh;
use crate::topology::HostSpec;

impl Bridges {
    pub(super) fn make_host(&self, host: usize) -> Done {
        let (namespace, interface) = (self.names.namespace(host), self.names.interface(host));
        let claim = &self.claim;
        parts::make_namespace(claim, namespace, interface)
            .map_err(|problem| taken(problem, claim.lab()))?;
        // User-space bridges do not complete checksums. Where there is no ethtool, ping works and
        // UDP and TCP of programs do not.
        let mut setup = String::from("ethtool -K eth0 tx off >/dev/null 2>&1 || true");
        if self.host(host).ipv6.is_none() {
            setup.push_str("; sysctl -qw net.ipv6.conf.all.disable_ipv6=1 || true");
        }
        sh("ip", &["netns", "exec", namespace, "sh", "-c", &setup])?;
        self.configure_host(host)
    }

    /// What programs in namespaces cannot do on this machine.
    pub(super) fn host_notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if sh("sh", &["-c", "command -v ethtool"]).is_err() {
            notes.push(
                "without ethtool, UDP and TCP of programs in namespaces have wrong checksums"
                    .to_owned(),
            );
        }
        for (index, host) in self.plan.topology.hosts.iter().enumerate() {
            let Some(vid) = host.vlan else { continue };
            let device = format!("eth0.{vid}");
            if ip(&["-n", self.names.namespace(index), "link", "show", &device]).is_err() {
                notes.push(format!(
                    "{}: this kernel has no VLAN interfaces (8021q), so programs in its namespace \
                     cannot speak; send-packets and counters work",
                    host.name
                ));
            }
        }
        notes
    }

    /// Sets a host's interface up, and its addresses.
    pub(super) fn configure_host(&self, host: usize) -> Done {
        let spec = self.host(host);
        let mac = spec.mac;
        let mut commands =
            format!("link set lo up\nlink set eth0 address {mac}\nlink set eth0 up\n");
        let device = match spec.vlan {
            None => "eth0".to_owned(),
            Some(vid) => {
                let device = format!("eth0.{vid}");
                let namespace = self.names.namespace(host);
                let (vid, show) = (vid.to_string(), ["-n", namespace, "link", "show", &device]);
                let add =
                    ["link", "add", "link", "eth0", "name", &device, "type", "vlan", "id", &vid];
                let add = [&["-n", namespace][..], &add[..]].concat();
                if ip(&show).is_err() && ip(&add).is_err() {
                    // What it sends by the lab is made there, tag and all.
                    return ip_batch(Some(namespace), &commands);
                }
                commands.push_str(&format!("link set {device} up\n"));
                device
            }
        };
        for ip in addresses(spec) {
            let (bits, family) = if ip.is_ipv4() { (32, "-4") } else { (128, "-6") };
            let nodad = if ip.is_ipv4() { "" } else { " nodad" };
            commands.push_str(&format!("addr replace {ip}/{bits} dev {device}{nodad}\n"));
            let any = if family == "-4" { "0.0.0.0/0" } else { "::/0" };
            commands.push_str(&format!("route replace {any} dev {device}\n"));
        }
        for other in self.plan.topology.hosts.iter().filter(|other| other.name != spec.name) {
            for ip in addresses(other) {
                if addresses(spec).any(|own| own.is_ipv4() == ip.is_ipv4()) {
                    let mac = other.mac;
                    commands.push_str(&format!(
                        "neigh replace {ip} lladdr {mac} dev {device} nud permanent\n"
                    ));
                }
            }
        }
        ip_batch(Some(self.names.namespace(host)), &commands)
    }
}

fn addresses(host: &HostSpec) -> impl Iterator<Item = IpAddr> {
    host.ipv4.map(IpAddr::from).into_iter().chain(host.ipv6.map(IpAddr::from))
}

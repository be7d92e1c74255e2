//! Hosts in network namespaces. Runtime.
//!
//! A host finds every address on its only interface: its own has no prefix, the default route has no
//! gateway. The other hosts of the policy are in its neighbour table for ever, as in emulated labs, so
//! it need not ask for them; others it asks for.

use std::net::IpAddr;

use super::super::Done;
use super::{Bridges, ip, ip_batch};
use crate::ovs::sh;
use crate::topology::HostSpec;

impl Bridges {
    pub(super) fn make_host(&self, host: usize) -> Done {
        let (namespace, interface) = (self.names.namespace(host), self.names.interface(host));
        // The mark in a second step of one command: a namespace has none by itself.
        ip_batch(
            None,
            &format!(
                "netns add {namespace}\n\
                 link add {interface} type veth peer name eth0 netns {namespace}\n"
            ),
        )?;
        let mark = self.lab.mark();
        ip(&["-n", namespace, "link", "set", "lo", "alias", &mark])?;
        self.adopt(interface)?;
        // User-space bridges do not complete checksums. Where there is no ethtool, ping works and
        // UDP and TCP of programs do not.
        let mut setup = String::from("ethtool -K eth0 tx off >/dev/null 2>&1 || true");
        if self.host(host).ipv6.is_none() {
            setup.push_str("; sysctl -qw net.ipv6.conf.all.disable_ipv6=1 || true");
        }
        sh("ip", &["netns", "exec", namespace, "sh", "-c", &setup])?;
        self.configure_host(host)
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
                if ip(&["-n", namespace, "link", "show", "dev", &device]).is_err() {
                    let add = format!("link add link eth0 name {device} type vlan id {vid}\n");
                    commands.push_str(&add);
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

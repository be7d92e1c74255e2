//! Networks from policy files. Pure.

use umlaut_openflow::{DatapathId, PortNo, Vid};
use umlaut_slice_db::Policy;

use crate::topology::{Endpoint, HostSpec, LinkSpec, SwitchSpec, Topology};

/// The network that a policy describes: its switches, hosts that have a place, links, and every
/// port that it binds. Hosts without a place are left out.
pub fn of_policy(policy: &Policy) -> Topology {
    let hosts: Vec<HostSpec> = policy
        .hosts()
        .filter_map(|host| {
            let at = host.at?;
            let (ipv4, ipv6) = match host.ip {
                Some(std::net::IpAddr::V4(ip)) => (Some(ip), None),
                Some(std::net::IpAddr::V6(ip)) => (None, Some(ip)),
                None => (None, None),
            };
            Some(HostSpec {
                name: host.name.clone(),
                mac: host.mac,
                ipv4,
                ipv6,
                vlan: match at.vid {
                    Vid::Untagged => None,
                    Vid::Tagged(vid) => Some(vid),
                },
                at: Some(Endpoint { dpid: at.dpid, port: at.port }),
            })
        })
        .collect();
    let links: Vec<LinkSpec> = policy
        .links()
        .map(|(a, b)| LinkSpec {
            a: Endpoint { dpid: a.0, port: a.1 },
            b: Endpoint { dpid: b.0, port: b.1 },
        })
        .collect();
    let used: Vec<(DatapathId, PortNo)> = hosts
        .iter()
        .filter_map(|host| host.at)
        .chain(links.iter().flat_map(|link| [link.a, link.b]))
        .map(|end| (end.dpid, end.port))
        .collect();
    let mut dpids: Vec<DatapathId> = policy
        .switches()
        .map(|(_, dpid)| dpid)
        .chain(used.iter().map(|(dpid, _)| *dpid))
        .chain(policy.bound_ports().map(|(dpid, _)| dpid))
        .collect();
    dpids.sort_unstable();
    dpids.dedup();
    let switches = dpids
        .into_iter()
        .map(|dpid| SwitchSpec {
            name: policy.switch_name(dpid),
            dpid,
            ports: policy
                .bound_ports()
                .filter(|(at, port)| *at == dpid && *port != PortNo::LOCAL)
                .filter(|end| !used.contains(end))
                .map(|(_, port)| port)
                .collect(),
        })
        .collect();
    Topology { switches, hosts, links }
}

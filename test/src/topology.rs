//! What a network consists of: switches, hosts, links, by name and port. Pure.
//!
//! A [`Topology`] is a plain description, so that one and the same network can be brought up in
//! virtual time, over TCP, or on Open vSwitch. The builders number ports from 1, hosts first and in
//! order, then links in the order in which they are made; host N has the MAC 00:00:00:00:00:NN (its
//! number in hex), and IPv4 192.168.0.N up to 254 hosts, 10.x.y.z (its number) above.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use umlaut_openflow::{DatapathId, MacAddr, PortNo, VlanId};

/// A switch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SwitchSpec {
    /// Its name, unique among switches and hosts.
    pub name: String,
    /// Its datapath id, unique.
    pub dpid: DatapathId,
    /// Ports beyond those that hosts and links use.
    pub ports: Vec<PortNo>,
}

/// A host: one network interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostSpec {
    /// Its name, unique among switches and hosts.
    pub name: String,
    /// Its MAC address. Two hosts may have the same.
    pub mac: MacAddr,
    /// Its IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address besides the link-local one made from the MAC.
    pub ipv6: Option<Ipv6Addr>,
    /// The VLAN that it tags its frames with; `None`: it sends and understands untagged frames.
    pub vlan: Option<VlanId>,
    /// Where it is plugged in; `None`: nowhere yet.
    pub at: Option<Endpoint>,
}

impl HostSpec {
    /// An unplugged host that sends untagged frames.
    pub fn new(name: impl Into<String>, mac: MacAddr) -> HostSpec {
        HostSpec { name: name.into(), mac, ipv4: None, ipv6: None, vlan: None, at: None }
    }

    /// The link-local IPv6 address made from the MAC (RFC 4291 appendix A).
    pub fn link_local(&self) -> Ipv6Addr {
        let m = self.mac.0;
        Ipv6Addr::from([
            0xfe,
            0x80,
            0,
            0,
            0,
            0,
            0,
            0,
            m[0] ^ 2,
            m[1],
            m[2],
            0xff,
            0xfe,
            m[3],
            m[4],
            m[5],
        ])
    }
}

/// A port of a switch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Endpoint {
    /// The switch.
    pub dpid: DatapathId,
    /// The port.
    pub port: PortNo,
}

impl Endpoint {
    /// Port `port` of switch `dpid`.
    pub const fn new(dpid: u64, port: u32) -> Endpoint {
        Endpoint { dpid: DatapathId(dpid), port: PortNo(port) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.dpid, self.port)
    }
}

/// A cable between two switch ports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkSpec {
    /// One end.
    pub a: Endpoint,
    /// The other end.
    pub b: Endpoint,
}

/// Why a description is not a network.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TopologyError {
    /// Two switches have the same datapath id.
    #[error("datapath id {0} is given twice")]
    DuplicateDatapath(DatapathId),
    /// Two switches or hosts have the same name.
    #[error("name {0:?} is given twice")]
    DuplicateName(String),
    /// A host or link is plugged into a switch that is not there.
    #[error("no switch has the datapath id of {0}")]
    UnknownSwitch(Endpoint),
    /// Two plugs are in one port.
    #[error("port {0} is used twice")]
    PortTaken(Endpoint),
    /// Not an ordinary port: cables only go there.
    #[error("{0} is not an ordinary port (1 to {max})", max = PortNo::MAX.0)]
    BadPort(Endpoint),
    /// A host's address is zero or a group address.
    #[error("host {0:?} has {1}, which is no address of a station")]
    BadAddress(String, MacAddr),
}

/// A network.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Topology {
    /// Its switches.
    pub switches: Vec<SwitchSpec>,
    /// Its hosts.
    pub hosts: Vec<HostSpec>,
    /// The cables between its switches.
    pub links: Vec<LinkSpec>,
}

impl Topology {
    /// Nothing at all.
    pub fn new() -> Topology {
        Topology::default()
    }

    /// One switch, `s1` (datapath id 1), with `hosts` hosts `h1`… on ports 1….
    pub fn single(hosts: u32) -> Topology {
        let mut topology = Topology::new();
        topology.add_switch();
        for _ in 0..hosts {
            topology.add_host(DatapathId(1));
        }
        topology
    }

    /// `switches` switches in a row, `hosts` hosts on each.
    pub fn linear(switches: u64, hosts: u32) -> Topology {
        let mut topology = Topology::unlinked(switches, hosts);
        for dpid in 1..switches {
            topology.add_link(DatapathId(dpid), DatapathId(dpid + 1));
        }
        topology
    }

    /// `switches` switches in a ring (three at least make a loop), `hosts` hosts on each.
    pub fn ring(switches: u64, hosts: u32) -> Topology {
        let mut topology = Topology::linear(switches, hosts);
        if switches > 2 {
            topology.add_link(DatapathId(switches), DatapathId(1));
        }
        topology
    }

    /// A tree of `depth` levels of switches (1: a single switch), each with `fanout` switches below
    /// it; the lowest switches have `fanout` hosts each. Switches are numbered level by level.
    pub fn tree(depth: u32, fanout: u32) -> Topology {
        let mut topology = Topology::new();
        let mut level = match depth {
            0 => Vec::new(),
            _ => vec![topology.add_switch()],
        };
        for _ in 1..depth {
            let mut below = Vec::new();
            for parent in level {
                for _ in 0..fanout {
                    let child = topology.add_switch();
                    topology.add_link(parent, child);
                    below.push(child);
                }
            }
            level = below;
        }
        for leaf in level {
            for _ in 0..fanout {
                topology.add_host(leaf);
            }
        }
        topology
    }

    /// Every one of `leaves` switches (numbered first) with `hosts` hosts is linked to every one of
    /// `spines` switches.
    pub fn leaf_spine(leaves: u64, spines: u64, hosts: u32) -> Topology {
        let mut topology = Topology::unlinked(leaves, hosts);
        for _ in 0..spines {
            let spine = topology.add_switch();
            for leaf in 1..=leaves {
                topology.add_link(DatapathId(leaf), spine);
            }
        }
        topology
    }

    /// `switches` switches with `hosts` hosts each and no links yet.
    pub fn unlinked(switches: u64, hosts: u32) -> Topology {
        let mut topology = Topology::new();
        for _ in 0..switches {
            let dpid = topology.add_switch();
            for _ in 0..hosts {
                topology.add_host(dpid);
            }
        }
        topology
    }

    /// Adds the next switch, `sN` with datapath id N.
    pub fn add_switch(&mut self) -> DatapathId {
        let number = self.switches.len() as u64 + 1;
        let dpid = DatapathId(number);
        self.switches.push(SwitchSpec { name: format!("s{number}"), dpid, ports: Vec::new() });
        dpid
    }

    /// Adds the next host, `hN`, on the next free port of a switch. Returns its index in `hosts`.
    pub fn add_host(&mut self, dpid: DatapathId) -> usize {
        let number = self.hosts.len() as u32 + 1;
        let ipv4 = match number {
            1..=254 => Ipv4Addr::new(192, 168, 0, number as u8),
            _ => Ipv4Addr::from(0x0a00_0000 | (number & 0x00ff_ffff)),
        };
        self.hosts.push(HostSpec {
            ipv4: Some(ipv4),
            at: Some(Endpoint { dpid, port: self.free_port(dpid) }),
            ..HostSpec::new(format!("h{number}"), MacAddr::from_u64(u64::from(number)))
        });
        self.hosts.len() - 1
    }

    /// Links two switches over the next free port of each. Returns the link's index in `links`.
    pub fn add_link(&mut self, a: DatapathId, b: DatapathId) -> usize {
        let a = Endpoint { dpid: a, port: self.free_port(a) };
        let mut b = Endpoint { dpid: b, port: self.free_port(b) };
        if a == b {
            b.port.0 += 1;
        }
        self.links.push(LinkSpec { a, b });
        self.links.len() - 1
    }

    /// The lowest port number above all that are used on a switch.
    fn free_port(&self, dpid: DatapathId) -> PortNo {
        let highest = self.ports(dpid).last().map_or(0, |port| port.0);
        PortNo(highest.saturating_add(1))
    }

    /// All ports of a switch in ascending order: those of hosts and links, and its further ones.
    pub fn ports(&self, dpid: DatapathId) -> Vec<PortNo> {
        let own = self.switches.iter().filter(|s| s.dpid == dpid).flat_map(|s| s.ports.clone());
        let used = self.plugs().filter(|e| e.dpid == dpid).map(|e| e.port);
        let mut ports: Vec<PortNo> = own.chain(used).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// The numbers of all ports of all switches.
    pub(crate) fn all_ports(&self) -> BTreeSet<PortNo> {
        let dpids = self.switches.iter().map(|switch| switch.dpid);
        dpids.flat_map(|dpid| self.ports(dpid)).collect()
    }

    fn plugs(&self) -> impl Iterator<Item = Endpoint> + '_ {
        let hosts = self.hosts.iter().filter_map(|h| h.at);
        hosts.chain(self.links.iter().flat_map(|l| [l.a, l.b]))
    }

    /// The index of a host by name.
    pub fn host(&self, name: &str) -> Option<usize> {
        self.hosts.iter().position(|h| h.name == name)
    }

    /// Whether this can be built: names and datapath ids are unique, every plug is in an ordinary
    /// port of a switch that exists, and there is one plug per port.
    pub fn check(&self) -> Result<(), TopologyError> {
        let mut names = BTreeMap::new();
        let mut dpids = BTreeMap::new();
        for switch in &self.switches {
            if dpids.insert(switch.dpid, ()).is_some() {
                return Err(TopologyError::DuplicateDatapath(switch.dpid));
            }
            if let Some(port) = switch.ports.iter().find(|port| !is_ordinary(**port)) {
                let at = Endpoint { dpid: switch.dpid, port: *port };
                return Err(TopologyError::BadPort(at));
            }
        }
        for name in self.switches.iter().map(|s| &s.name).chain(self.hosts.iter().map(|h| &h.name))
        {
            if names.insert(name, ()).is_some() {
                return Err(TopologyError::DuplicateName(name.clone()));
            }
        }
        let mut taken = BTreeMap::new();
        for plug in self.plugs() {
            if !dpids.contains_key(&plug.dpid) {
                return Err(TopologyError::UnknownSwitch(plug));
            }
            if !is_ordinary(plug.port) {
                return Err(TopologyError::BadPort(plug));
            }
            if taken.insert(plug, ()).is_some() {
                return Err(TopologyError::PortTaken(plug));
            }
        }
        match self.hosts.iter().find(|h| h.mac.is_group() || h.mac.is_zero()) {
            Some(host) => Err(TopologyError::BadAddress(host.name.clone(), host.mac)),
            None => Ok(()),
        }
    }
}

fn is_ordinary(port: PortNo) -> bool {
    (1..=PortNo::MAX.0).contains(&port.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builders_make_networks_of_the_stated_size() {
        // topology, switches, hosts, links
        let table = [
            (Topology::single(4), 1, 4, 0),
            (Topology::linear(3, 2), 3, 6, 2),
            (Topology::ring(3, 1), 3, 3, 3),
            (Topology::ring(2, 1), 2, 2, 1),
            (Topology::tree(1, 2), 1, 2, 0),
            (Topology::tree(3, 2), 7, 8, 6),
            (Topology::leaf_spine(4, 2, 3), 6, 12, 8),
            (Topology::linear(2, 150), 2, 300, 1),
            (Topology::tree(0, 2), 0, 0, 0),
        ];
        for (topology, switches, hosts, links) in table {
            assert_eq!(topology.check(), Ok(()), "{topology:?}");
            assert_eq!(topology.switches.len(), switches, "{topology:?}");
            assert_eq!(topology.hosts.len(), hosts, "{topology:?}");
            assert_eq!(topology.links.len(), links, "{topology:?}");
        }
    }

    #[test]
    fn hosts_take_the_first_ports_and_links_the_next() {
        let ring = Topology::ring(3, 1);
        assert_eq!(ring.hosts[2].at, Some(Endpoint::new(3, 1)));
        assert_eq!(ring.hosts[2].mac, MacAddr::from_u64(3));
        assert_eq!(ring.hosts[2].ipv4, Some(Ipv4Addr::new(192, 168, 0, 3)));
        assert_eq!(ring.links[2], LinkSpec { a: Endpoint::new(3, 3), b: Endpoint::new(1, 3) });
        assert_eq!(ring.ports(DatapathId(2)), [PortNo(1), PortNo(2), PortNo(3)]);
    }

    #[test]
    fn what_cannot_be_built_is_refused() {
        let broken = |change: fn(&mut Topology)| {
            let mut topology = Topology::linear(2, 1);
            change(&mut topology);
            topology.check()
        };
        assert_eq!(
            broken(|t| t.hosts[1].at = Some(Endpoint::new(1, 1))),
            Err(TopologyError::PortTaken(Endpoint::new(1, 1)))
        );
        assert_eq!(
            broken(|t| t.links[0].b = Endpoint::new(9, 1)),
            Err(TopologyError::UnknownSwitch(Endpoint::new(9, 1)))
        );
        assert_eq!(
            broken(|t| t.hosts[0].at = Some(Endpoint::new(1, 0))),
            Err(TopologyError::BadPort(Endpoint::new(1, 0)))
        );
        assert_eq!(
            broken(|t| t.switches[1].dpid = DatapathId(1)),
            Err(TopologyError::DuplicateDatapath(DatapathId(1)))
        );
        assert_eq!(
            broken(|t| t.hosts[1].name = "s1".into()),
            Err(TopologyError::DuplicateName("s1".into()))
        );
        assert_eq!(
            broken(|t| t.hosts[1].mac = MacAddr::BROADCAST),
            Err(TopologyError::BadAddress("h2".into(), MacAddr::BROADCAST))
        );
    }
}

//! What a lab is to build, and how people name its parts. Pure.

use umlaut_openflow::{DatapathId, PortNo};
use umlaut_slice_db::{Policy, nearest};

use super::LabProblem;
use crate::of_policy;
use crate::topology::{Endpoint, HostSpec, SwitchSpec, Topology};

/// A network and the interfaces of this machine that are plugged into it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Switches, hosts, links.
    pub topology: Topology,
    /// Interfaces of this machine and their ports.
    pub interfaces: Vec<(Endpoint, String)>,
}

/// A cable that can be pulled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cable {
    /// Between switches: its index in the topology.
    Link(usize),
    /// Of a host: its index in the topology.
    Host(usize),
}

/// Something that can be switched off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Machine {
    /// A switch.
    Switch(DatapathId),
    /// A host: its index in the topology.
    Host(usize),
}

impl Plan {
    /// The network of a policy: its switches, all its hosts (those without a place are plugged into
    /// nothing), its links, the ports that it binds, and the interfaces that it names.
    ///
    /// # Errors
    /// Two cables for one port, and whatever else is no network.
    pub fn of_policy(policy: &Policy) -> Result<Plan, LabProblem> {
        let mut topology = of_policy(policy);
        for host in policy.hosts().filter(|host| host.at.is_none()) {
            let mut spec = HostSpec::new(host.name.clone(), host.mac);
            match host.ip {
                Some(std::net::IpAddr::V4(ip)) => spec.ipv4 = Some(ip),
                Some(std::net::IpAddr::V6(ip)) => spec.ipv6 = Some(ip),
                None => {}
            }
            topology.hosts.push(spec);
        }
        // In the order of the file, as people know them.
        topology.hosts.sort_by_key(|host| policy.hosts().position(|known| known.name == host.name));
        let mut interfaces: Vec<(Endpoint, String)> = Vec::new();
        for ((dpid, port), name) in policy.interfaces() {
            if topology.switches.iter().all(|switch| switch.dpid != dpid) {
                let name = policy.switch_name(dpid);
                topology.switches.push(SwitchSpec { name, dpid, ports: Vec::new() });
            }
            interfaces.push((Endpoint { dpid, port }, name.to_owned()));
        }
        let plan = Plan { topology, interfaces };
        plan.check()?;
        Ok(plan)
    }

    /// Whether this can be built.
    fn check(&self) -> Result<(), LabProblem> {
        let mut taken: Vec<(Endpoint, String)> = Vec::new();
        let hosts = self
            .topology
            .hosts
            .iter()
            .filter_map(|host| host.at.map(|at| (at, format!("host {}", host.name))));
        let links = (0..self.topology.links.len()).flat_map(|index| {
            let (link, name) = (self.topology.links[index], self.link_name(index));
            [link.a, link.b].map(|end| (end, format!("link {name}")))
        });
        let interfaces = self.interfaces.iter();
        let interfaces = interfaces.map(|(at, name)| (*at, format!("interface {name}")));
        for (at, what) in hosts.chain(links).chain(interfaces) {
            if let Some((_, first)) = taken.iter().find(|(end, _)| *end == at) {
                let port = self.port_name(at);
                return Err(LabProblem::Refused(format!(
                    "{port}: both {first} and {what} are there; a lab has one cable per port"
                )));
            }
            taken.push((at, what));
        }
        self.topology.check().map_err(|error| LabProblem::Refused(error.to_string()))
    }

    /// A switch as the policy writes it.
    pub fn switch_name(&self, dpid: DatapathId) -> String {
        let switch = self.topology.switches.iter().find(|switch| switch.dpid == dpid);
        switch.map_or_else(|| dpid.to_string(), |switch| switch.name.clone())
    }

    /// A port as the policy writes it.
    pub fn port_name(&self, at: Endpoint) -> String {
        format!("{}/{}", self.switch_name(at.dpid), at.port)
    }

    /// A link as the policy writes it.
    pub fn link_name(&self, link: usize) -> String {
        let link = self.topology.links[link];
        format!("{}-{}", self.port_name(link.a), self.port_name(link.b))
    }

    /// The index of a host.
    ///
    /// # Errors
    /// No host has that name.
    pub fn host(&self, name: &str) -> Result<usize, LabProblem> {
        self.topology.host(name).ok_or_else(|| {
            unknown("host", name, self.topology.hosts.iter().map(|host| host.name.clone()))
        })
    }

    /// A switch by its name or datapath id.
    ///
    /// # Errors
    /// No switch has either.
    pub fn switch(&self, name: &str) -> Result<DatapathId, LabProblem> {
        let switches = &self.topology.switches;
        let dpid = name.parse().ok();
        let found = switches.iter().find(|s| s.name == name || Some(s.dpid) == dpid);
        found.map(|switch| switch.dpid).ok_or_else(|| {
            unknown("switch", name, switches.iter().map(|switch| switch.name.clone()))
        })
    }

    /// A switch or a host.
    ///
    /// # Errors
    /// Neither has that name.
    pub fn machine(&self, name: &str) -> Result<Machine, LabProblem> {
        if let Ok(dpid) = self.switch(name) {
            return Ok(Machine::Switch(dpid));
        }
        match self.topology.host(name) {
            Some(host) => Ok(Machine::Host(host)),
            None => Err(unknown("switch or host", name, self.machines())),
        }
    }

    /// The names of all switches and hosts.
    pub fn machines(&self) -> Vec<String> {
        let switches = self.topology.switches.iter().map(|switch| switch.name.clone());
        switches.chain(self.topology.hosts.iter().map(|host| host.name.clone())).collect()
    }

    /// A place to plug something into: SWITCH/PORT, whether the port is there or not.
    ///
    /// # Errors
    /// No such switch, no port number.
    pub fn place(&self, text: &str) -> Result<Endpoint, LabProblem> {
        let Some((switch, port)) = text.split_once('/') else {
            return Err(LabProblem::Refused(format!("{text:?} is not SWITCH/PORT, as in s1/3")));
        };
        let dpid = self.switch(switch)?;
        match port.parse::<PortNo>() {
            Ok(port) if (1..=PortNo::MAX.0).contains(&port.0) => Ok(Endpoint { dpid, port }),
            _ => {
                let told = format!("{port:?} is not the number of a port (from 1)");
                Err(LabProblem::Refused(told))
            }
        }
    }

    /// A cable by its ends: `s1/24-s2/24` in either direction, `s1-s2` if there is only one between
    /// them, `alice-s1` for a host's; `places` is where the hosts are.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub fn cable(&self, text: &str, places: &[Option<Endpoint>]) -> Result<Cable, LabProblem> {
        let mut named: Vec<(String, Cable)> = Vec::new();
        let mut name = |a: &str, b: &str, cable| {
            named.push((format!("{a}-{b}"), cable));
            named.push((format!("{b}-{a}"), cable));
        };
        for (index, link) in self.topology.links.iter().enumerate() {
            let ends = [link.a, link.b];
            let [a, b] = ends.map(|end| self.port_name(end));
            name(&a, &b, Cable::Link(index));
            let [a, b] = ends.map(|end| self.switch_name(end.dpid));
            name(&a, &b, Cable::Link(index));
        }
        for (index, host) in self.topology.hosts.iter().enumerate() {
            if let Some(at) = places.get(index).copied().flatten() {
                name(&host.name, &self.port_name(at), Cable::Host(index));
                name(&host.name, &self.switch_name(at.dpid), Cable::Host(index));
            }
        }
        let mut found: Vec<Cable> =
            named.iter().filter(|(known, _)| known == text).map(|(_, cable)| *cable).collect();
        found.dedup();
        match found[..] {
            [cable] => Ok(cable),
            [] => {
                let links = (0..self.topology.links.len()).map(|link| self.link_name(link));
                let hosts = self.topology.hosts.iter().zip(places);
                let hosts = hosts.filter_map(|(host, at)| {
                    at.map(|at| format!("{}-{}", host.name, self.port_name(at)))
                });
                Err(unknown("link", text, links.chain(hosts)))
            }
            _ => {
                let several = (0..self.topology.links.len())
                    .filter(|link| found.contains(&Cable::Link(*link)))
                    .map(|link| self.link_name(link));
                let several = several.collect::<Vec<_>>().join(", ");
                Err(LabProblem::Refused(format!("{text} may be any of {several}")))
            }
        }
    }
}

/// How many names a message lists.
const LISTED: usize = 20;

/// There is nothing of this name; the nearest, and what there is.
pub fn unknown(
    kind: &'static str,
    name: &str,
    known: impl IntoIterator<Item = String>,
) -> LabProblem {
    let known: Vec<String> = known.into_iter().collect();
    let near = nearest(name, known.iter().map(String::as_str));
    let near = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
    let mut listed = known[..known.len().min(LISTED)].join(", ");
    if known.len() > LISTED {
        listed.push_str(&format!(" and {} more", known.len() - LISTED));
    }
    let there = match known.is_empty() {
        true => "there are none".to_owned(),
        false => format!("known: {listed}"),
    };
    LabProblem::Unknown { kind, name: name.to_owned(), hint: format!("{near} ({there})") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::LinkSpec;

    fn plan() -> Plan {
        let mut topology = Topology::linear(3, 1);
        topology.switches[2].name = "s-3".to_owned();
        // A second cable between the first two.
        topology.add_link(DatapathId(1), DatapathId(2));
        Plan { topology, interfaces: Vec::new() }
    }

    #[test]
    fn cables_are_found_by_their_ends() {
        let plan = plan();
        let places: Vec<Option<Endpoint>> = plan.topology.hosts.iter().map(|h| h.at).collect();
        let rows = [
            ("s1/2-s2/2", Ok(Cable::Link(0))),
            ("s2/2-s1/2", Ok(Cable::Link(0))),
            ("s2-s-3", Ok(Cable::Link(1))),
            ("s-3-s2", Ok(Cable::Link(1))),
            ("s-3/2-s2/3", Ok(Cable::Link(1))),
            ("s1/3-s2/4", Ok(Cable::Link(2))),
            ("h1-s1", Ok(Cable::Host(0))),
            ("s1/1-h1", Ok(Cable::Host(0))),
            ("s1-s2", Err("s1-s2 may be any of s1/2-s2/2, s1/3-s2/4")),
            ("s1/9-s2/9", Err("there is no link s1/9-s2/9; did you mean s1/2-s2/2? (known: ")),
            ("h1-s2", Err("there is no link h1-s2")),
        ];
        for (text, wanted) in rows {
            let found = plan.cable(text, &places).map_err(|problem| problem.to_string());
            match (&found, wanted) {
                (Ok(found), Ok(wanted)) if *found == wanted => {}
                (Err(told), Err(wanted)) if told.starts_with(wanted) => {}
                _ => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn what_there_is_not_is_named_with_what_there_is() {
        let plan = plan();
        let told = |problem: LabProblem| problem.to_string();
        assert_eq!(
            told(plan.host("h11").unwrap_err()),
            "there is no host h11; did you mean h1? (known: h1, h2, h3)"
        );
        assert_eq!(
            told(plan.switch("zebra").unwrap_err()),
            "there is no switch zebra (known: s1, s2, s-3)"
        );
        assert!(told(plan.machine("x").unwrap_err()).ends_with("(known: s1, s2, s-3, h1, h2, h3)"));
        assert_eq!(plan.switch("0x3"), Ok(DatapathId(3)));
        assert_eq!(plan.machine("s-3"), Ok(Machine::Switch(DatapathId(3))));
        assert_eq!(plan.machine("h2"), Ok(Machine::Host(1)));
        assert_eq!(plan.place("s-3/7"), Ok(Endpoint::new(3, 7)));
        for bad in ["s1", "s1/0", "s1/x", "s9/1", "s1/local"] {
            assert!(plan.place(bad).is_err(), "{bad}");
        }
        let many = unknown("host", "x", (0..30).map(|n| format!("host{n}"))).to_string();
        assert!(many.ends_with("host19 and 10 more)"), "{many}");
        assert!(unknown("host", "x", Vec::new()).to_string().ends_with("(there are none)"));
    }

    #[test]
    fn one_cable_per_port() {
        let mut plan = plan();
        assert_eq!(plan.check(), Ok(()));
        plan.interfaces.push((Endpoint::new(1, 1), "eth7".to_owned()));
        let told = plan.check().unwrap_err().to_string();
        assert!(told.starts_with("s1/1: both host h1 and interface eth7 are there"), "{told}");
        plan.interfaces.clear();
        let link = LinkSpec { a: Endpoint::new(1, 2), b: Endpoint::new(3, 9) };
        plan.topology.links.push(link);
        let told = plan.check().unwrap_err().to_string();
        assert!(told.contains("both link s1/2-s2/2 and link s1/2-s-3/9"), "{told}");
    }
}

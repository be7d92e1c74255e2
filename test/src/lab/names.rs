//! Names of what a lab makes in the system: bridges, interfaces, network namespaces. Pure.
//!
//! Everything begins with the lab's name and a `-`. A lab's name has no `-`, so no lab's names begin
//! as another's do. Linux interfaces have names of at most 15 characters: where a switch, host or
//! port does not fit behind that, its number does, with a `+` that no name of a policy contains.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use umlaut_openflow::DatapathId;

use crate::topology::Topology;

/// The longest name of a lab.
pub const NAME_LENGTH: usize = 6;
/// The longest name of a Linux interface (IFNAMSIZ without the final zero).
const INTERFACE_LENGTH: usize = 15;

/// The name of a lab: a letter, then up to five letters and digits, all lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LabName(String);

/// What cannot be the name of a lab.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0:?} cannot be the name of a lab: a small letter, then at most {rest} small letters and digits, \
     since interfaces of Linux get names that begin with it",
    rest = NAME_LENGTH - 1
)]
pub struct NoLabName(String);

impl FromStr for LabName {
    type Err = NoLabName;

    fn from_str(text: &str) -> Result<LabName, NoLabName> {
        let good = text.len() <= NAME_LENGTH
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if good { Ok(LabName(text.to_owned())) } else { Err(NoLabName(text.to_owned())) }
    }
}

impl fmt::Display for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl LabName {
    /// How all its names begin.
    pub fn prefix(&self) -> String {
        format!("{}-", self.0)
    }

    /// What its bridges (`external_ids`) and its interfaces (alias) are marked with.
    pub fn mark(&self) -> String {
        format!("{MARK}{}", self.0)
    }
}

/// How all marks begin.
pub(super) const MARK: &str = "umlaut-lab:";

/// What everything of a network is called in the system.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Names {
    bridges: BTreeMap<DatapathId, String>,
    /// By host: its namespace, and the end of its cable in the root namespace.
    hosts: Vec<(String, String)>,
    /// By link: its two ends.
    links: Vec<[String; 2]>,
}

impl Names {
    pub(crate) fn new(lab: &LabName, topology: &Topology) -> Names {
        let prefix = lab.prefix();
        let fitting = |name: &str, number: usize, kind: char| {
            let fits = prefix.len() + name.len() <= INTERFACE_LENGTH
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b));
            if fits { format!("{prefix}{name}") } else { format!("{prefix}+{kind}{number}") }
        };
        let switches = topology.switches.iter().enumerate();
        let bridges = switches.map(|(at, switch)| (switch.dpid, fitting(&switch.name, at, 's')));
        let hosts = topology
            .hosts
            .iter()
            .enumerate()
            .map(|(at, host)| (format!("{prefix}{}", host.name), fitting(&host.name, at, 'h')));
        let switch_name = |dpid| {
            let switch = topology.switches.iter().find(|switch| switch.dpid == dpid);
            switch.map_or("", |switch| switch.name.as_str())
        };
        let links = topology.links.iter().enumerate().map(|(at, link)| {
            [(link.a, 'a'), (link.b, 'b')].map(|(end, side)| {
                fitting(&format!("{}+{}", switch_name(end.dpid), end.port), at, side)
            })
        });
        Names { bridges: bridges.collect(), hosts: hosts.collect(), links: links.collect() }
    }

    /// The bridge of a switch of the topology; of any other none that exists.
    pub(crate) fn bridge(&self, dpid: DatapathId) -> &str {
        self.bridges.get(&dpid).map_or("", String::as_str)
    }

    pub(crate) fn namespace(&self, host: usize) -> &str {
        &self.hosts[host].0
    }

    pub(crate) fn interface(&self, host: usize) -> &str {
        &self.hosts[host].1
    }

    pub(crate) fn link(&self, link: usize) -> &[String; 2] {
        &self.links[link]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use umlaut_openflow::MacAddr;

    use super::*;
    use crate::topology::{HostSpec, LinkSpec, SwitchSpec};

    #[test]
    fn names_of_labs_are_short_and_have_no_hyphen() {
        for good in ["lab", "a", "x1y2z3"] {
            assert_eq!(good.parse::<LabName>().unwrap().to_string(), good);
        }
        for bad in ["", "lab-1", "1lab", "Lab", "seventy", "a b", "ä"] {
            let told = bad.parse::<LabName>().unwrap_err().to_string();
            assert!(told.contains("at most 5"), "{told}");
        }
        // No lab's names begin as another's do.
        let (a, ab) = ("a".parse::<LabName>().unwrap(), "ab".parse::<LabName>().unwrap());
        assert!(!ab.prefix().starts_with(&a.prefix()) && !a.prefix().starts_with(&ab.prefix()));
    }

    #[test]
    fn what_fits_keeps_its_name_and_the_rest_gets_a_number() {
        let mut topology = Topology::ring(3, 1);
        let lab: LabName = "lab".parse().unwrap();
        let names = Names::new(&lab, &topology);
        assert_eq!(names.bridge(DatapathId(2)), "lab-s2");
        assert_eq!((names.namespace(0), names.interface(0)), ("lab-h1", "lab-h1"));
        assert_eq!(names.link(2), &["lab-s3+3".to_owned(), "lab-s1+3".to_owned()]);

        topology.switches[1].name = "a-switch-with-a-long-name".to_owned();
        topology.hosts[0].name = "übermensch".to_owned();
        topology.hosts[1].name = "s1+3".to_owned();
        let names = Names::new(&lab, &topology);
        assert_eq!(names.bridge(DatapathId(2)), "lab-+s1");
        assert_eq!((names.namespace(0), names.interface(0)), ("lab-übermensch", "lab-+h0"));
        assert_eq!(names.link(0), &["lab-s1+2".to_owned(), "lab-+b0".to_owned()]);
    }

    #[test]
    fn no_two_things_have_one_name_and_all_fit() {
        // Names that a policy may have, chosen to meet those that are made.
        let mut topology = Topology::default();
        for (at, name) in
            ["s", "s1", "s.1", "h0", "a", "b0", "123456789012", "é"].iter().enumerate()
        {
            let dpid = DatapathId(at as u64 + 1);
            topology.switches.push(SwitchSpec {
                name: (*name).to_owned(),
                dpid,
                ports: Vec::new(),
            });
        }
        for (at, name) in ["s-1", "s0", "h1", "123456789", "ü", "x:y"].iter().enumerate() {
            topology.hosts.push(HostSpec::new(*name, MacAddr::from_u64(at as u64 + 1)));
        }
        for at in 1..8 {
            topology.add_link(DatapathId(at), DatapathId(at + 1));
        }
        let last = LinkSpec { ..topology.links[0] };
        topology.links.push(LinkSpec {
            a: crate::topology::Endpoint { port: umlaut_openflow::PortNo(4_000_000), ..last.a },
            b: crate::topology::Endpoint { port: umlaut_openflow::PortNo(4_000_000), ..last.b },
        });
        for lab in ["a", "abcdef"] {
            let lab: LabName = lab.parse().unwrap();
            let names = Names::new(&lab, &topology);
            let mut all: Vec<&String> = names.bridges.values().collect();
            all.extend(names.hosts.iter().map(|(_, interface)| interface));
            all.extend(names.links.iter().flatten());
            assert!(all.iter().all(|name| name.len() <= INTERFACE_LENGTH), "{all:?}");
            assert!(all.iter().all(|name| name.starts_with(&lab.prefix())), "{all:?}");
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
        }
    }
}

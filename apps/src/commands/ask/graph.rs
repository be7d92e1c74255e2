//! The network as a graph, in the languages of those who draw. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::json;

use super::table::Table;
use crate::control::protocol::VERSION;
use crate::control::rows::{HostRow, PortRow, Role};

/// Switches, links and hosts.
#[derive(Debug)]
pub(super) struct Graph {
    ports: Vec<PortRow>,
    hosts: Vec<HostRow>,
}

/// A cable: its ends, and whether frames are known to pass both ways.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Cable<'a> {
    from: &'a PortRow,
    to: &'a str,
    both_ways: bool,
}

impl Graph {
    /// The graph of what a controller knows; guesses of where hosts are stay out.
    pub(super) fn new(ports: Vec<PortRow>, mut hosts: Vec<HostRow>) -> Graph {
        hosts.retain(|host| !host.tentative);
        Graph { ports, hosts }
    }

    fn switches(&self) -> Vec<&str> {
        let mut switches: Vec<&str> = self.ports.iter().map(|port| port.switch.as_str()).collect();
        switches.dedup();
        switches
    }

    /// Each cable once: one known both ways by its first end.
    fn cables(&self) -> Vec<Cable<'_>> {
        let peers: BTreeMap<&str, &str> = self
            .ports
            .iter()
            .filter_map(|port| Some((port.port.as_str(), port.peer.as_deref()?)))
            .collect();
        let place: BTreeMap<&str, usize> = self
            .ports
            .iter()
            .enumerate()
            .map(|(place, port)| (port.port.as_str(), place))
            .collect();
        let cables = self.ports.iter().enumerate().filter_map(|(index, from)| {
            let to = from.peer.as_deref()?;
            let both_ways = peers.get(to) == Some(&from.port.as_str());
            let first = place.get(to).is_none_or(|other| index <= *other);
            (first || !both_ways).then_some(Cable { from, to, both_ways })
        });
        cables.collect()
    }

    /// A table of cables.
    pub(super) fn text(&self) -> String {
        let mut table = Table::new(["LINK", "", "TO", "NOTE"]);
        for Cable { from, to, both_ways } in self.cables() {
            let (arrow, note) = match both_ways {
                true => ("<->", ""),
                false => ("-->", "one way only"),
            };
            table.row([from.port.clone(), arrow.into(), to.to_owned(), note.into()]);
        }
        let (switches, links) = (self.switches().len(), self.cables().len());
        format!("{}{switches} switches, {links} links, {} hosts\n", table.text(), self.hosts.len())
    }

    /// One document.
    pub(super) fn json(&self) -> anyhow::Result<String> {
        let links: Vec<_> = self
            .cables()
            .into_iter()
            .map(|cable| json!({"from": cable.from.port, "to": cable.to, "both_ways": cable.both_ways}))
            .collect();
        let document = json!({
            "umlaut": VERSION,
            "switches": self.switches(),
            "links": links,
            "hosts": self.hosts,
        });
        Ok(serde_json::to_string_pretty(&document)? + "\n")
    }

    /// One line per port, sorted: where it is, where it leads, and what it is.
    pub(super) fn csv(&self) -> String {
        let mut text = "from_switch,from_port,to_switch,to_port,state\n".to_owned();
        for port in &self.ports {
            let (to_switch, to_port) =
                port.peer.as_deref().and_then(|peer| peer.split_once('/')).unwrap_or(("-", "-"));
            let state = match port.role {
                Role::Link => "link",
                Role::Edge => "edge",
                Role::Probing => "probing",
                Role::Down => "down",
            };
            let number = port.port.rsplit('/').next().unwrap_or_default();
            let _ = writeln!(
                text,
                "{},{number},{},{to_port},{state}",
                field(&port.switch),
                field(to_switch)
            );
        }
        text
    }

    /// Graphviz: switches are boxes, hosts ellipses.
    pub(super) fn dot(&self) -> String {
        let mut text = "graph network {\n  node [shape=box];\n".to_owned();
        for switch in self.switches() {
            let _ = writeln!(text, "  {};", quoted(switch));
        }
        for Cable { from, to, both_ways } in self.cables() {
            let (switch, port) = to.split_once('/').unwrap_or((to, ""));
            let one_way = if both_ways { "" } else { ", dir=forward" };
            let _ = writeln!(
                text,
                "  {} -- {} [taillabel=\"{}\", headlabel=\"{port}\"{one_way}];",
                quoted(&from.switch),
                quoted(switch),
                from.port.rsplit('/').next().unwrap_or_default(),
            );
        }
        for host in &self.hosts {
            let id = quoted(&format!("{} {}", host.slice.as_deref().unwrap_or(""), host.mac));
            let label = label(host, "\n");
            let _ = writeln!(text, "  {id} [shape=ellipse, label={}];", quoted(&label));
            let port = host.at.split_once('/').map_or("", |(_, port)| port);
            let _ =
                writeln!(text, "  {} -- {id} [taillabel={}];", quoted(&host.switch), quoted(port));
        }
        text + "}\n"
    }

    /// Mermaid: switches are boxes, hosts round.
    pub(super) fn mermaid(&self) -> String {
        let mut text = "graph LR\n".to_owned();
        let switches = self.switches();
        let ids: BTreeMap<&str, usize> =
            switches.iter().enumerate().map(|(id, switch)| (*switch, id)).collect();
        for (id, switch) in switches.iter().enumerate() {
            let _ = writeln!(text, "  s{id}[{}]", entity(switch));
        }
        for Cable { from, to, both_ways } in self.cables() {
            let (switch, port) = to.split_once('/').unwrap_or((to, ""));
            let (Some(a), Some(b)) = (ids.get(from.switch.as_str()), ids.get(switch)) else {
                continue;
            };
            let arrow = if both_ways { "---" } else { "-->" };
            let number = from.port.rsplit('/').next().unwrap_or_default();
            let _ =
                writeln!(text, "  s{a} {arrow}|{}| s{b}", entity(&format!("{number} : {port}")));
        }
        for (id, host) in self.hosts.iter().enumerate() {
            let _ = writeln!(text, "  h{id}({})", entity(&label(host, ", ")));
            if let Some(switch) = ids.get(host.switch.as_str()) {
                let port = host.at.split_once('/').map_or("", |(_, port)| port);
                let _ = writeln!(text, "  s{switch} ---|{}| h{id}", entity(port));
            }
        }
        text
    }
}

/// A host by name, else by address, with its slice.
fn label(host: &HostRow, between: &str) -> String {
    let name = host.host.as_deref().unwrap_or(&host.mac);
    match &host.slice {
        Some(slice) => format!("{name}{between}{slice}"),
        None => name.to_owned(),
    }
}

/// A quoted string of the dot language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// A quoted string of Mermaid, which knows entities but no escapes.
fn entity(text: &str) -> String {
    format!("\"{}\"", text.replace('#', "#35;").replace('"', "#quot;").replace('\n', " "))
}

/// A field of CSV (RFC 4180).
fn field(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> Graph {
        let port = |switch: &str, number: u32, role, peer: Option<&str>| PortRow {
            port: format!("{switch}/{number}"),
            switch: switch.to_owned(),
            number,
            name: format!("eth{number}"),
            mac: "00:00:00:00:00:00".to_owned(),
            up: role != Role::Down,
            role,
            peer: peer.map(str::to_owned),
            slices: Vec::new(),
            hosts: 0,
        };
        let host = |name: &str, at: &str, tentative| HostRow {
            host: Some(name.to_owned()),
            mac: "00:00:00:00:00:01".to_owned(),
            slice: Some("lab".to_owned()),
            at: at.to_owned(),
            switch: at.split('/').next().unwrap().to_owned(),
            tentative,
            provisional: false,
            seen_seconds: 0,
        };
        Graph::new(
            vec![
                port("s1", 1, Role::Edge, None),
                port("s1", 24, Role::Link, Some("s2/24")),
                port("s2", 2, Role::Down, None),
                port("s2", 3, Role::Link, Some("s \"3\"/1")),
                port("s2", 24, Role::Link, Some("s1/24")),
                port("s \"3\"", 1, Role::Probing, None),
            ],
            vec![host("alice", "s1/1 vlan 20", false), host("guess", "s2/2", true)],
        )
    }

    #[test]
    fn a_cable_known_both_ways_is_one() {
        assert_eq!(
            graph().text(),
            "LINK        TO       NOTE\n\
             s1/24  <->  s2/24\n\
             s2/3   -->  s \"3\"/1  one way only\n\
             3 switches, 2 links, 1 hosts\n"
        );
        let json: serde_json::Value = serde_json::from_str(&graph().json().unwrap()).unwrap();
        assert_eq!(json["links"][0], json!({"from": "s1/24", "to": "s2/24", "both_ways": true}));
        assert_eq!(json["hosts"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn csv_has_a_line_for_each_port() {
        assert_eq!(
            graph().csv(),
            "from_switch,from_port,to_switch,to_port,state\n\
             s1,1,-,-,edge\n\
             s1,24,s2,24,link\n\
             s2,2,-,-,down\n\
             s2,3,\"s \"\"3\"\"\",1,link\n\
             s2,24,s1,24,link\n\
             \"s \"\"3\"\"\",1,-,-,probing\n"
        );
    }

    #[test]
    fn dot_and_mermaid_quote_names() {
        assert_eq!(
            graph().dot(),
            "graph network {\n  node [shape=box];\n  \"s1\";\n  \"s2\";\n  \"s \\\"3\\\"\";\n  \
             \"s1\" -- \"s2\" [taillabel=\"24\", headlabel=\"24\"];\n  \
             \"s2\" -- \"s \\\"3\\\"\" [taillabel=\"3\", headlabel=\"1\", dir=forward];\n  \
             \"lab 00:00:00:00:00:01\" [shape=ellipse, label=\"alice\\nlab\"];\n  \
             \"s1\" -- \"lab 00:00:00:00:00:01\" [taillabel=\"1 vlan 20\"];\n}\n"
        );
        assert_eq!(
            graph().mermaid(),
            "graph LR\n  s0[\"s1\"]\n  s1[\"s2\"]\n  s2[\"s #quot;3#quot;\"]\n  \
             s0 ---|\"24 : 24\"| s1\n  s1 -->|\"3 : 1\"| s2\n  \
             h0(\"alice, lab\")\n  s0 ---|\"1 vlan 20\"| h0\n"
        );
    }
}

//! Links between switches, and interfaces of the machine that labs plug into ports. Pure.

use std::collections::HashMap;

use umlaut_openflow::{DatapathId, PortNo};

use super::read_port;
use super::reader::{At, Reader};
use crate::policy::Policy;
use crate::yaml::{Node, Place};

const LINK: &str = "a link ([s1/24, s2/23], or [s1/24, {interface: eth1}])";
/// The longest name of a network interface of Linux (IFNAMSIZ without the final zero).
const INTERFACE_LENGTH: usize = 15;

type Port = (DatapathId, PortNo);

/// What `links` says.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Links between switches.
    pub(super) links: Vec<(Place, Port, Port)>,
    /// Ports and interfaces.
    pub(super) interfaces: Vec<(Port, String)>,
}

/// An end of a link.
enum End {
    Port(Port),
    Interface(String),
}

pub(super) fn read_links(r: &mut Reader, at: &At<'_>, policy: &Policy) -> Links {
    let mut found = Links::default();
    let mut ports: HashMap<Port, Place> = HashMap::new();
    let mut interfaces: HashMap<String, Place> = HashMap::new();
    for item in r.items(at, "a list of links ([s1/24, s2/23])").unwrap_or_default() {
        let Some(ends) = r.items(&item, LINK) else { continue };
        let [a, b] = &ends[..] else {
            let message = format!("a link has two ends, not {}", ends.len());
            r.error("wrong-value", &item.place, message);
            continue;
        };
        let places = [a.place.clone(), b.place.clone()];
        let (Some(a), Some(b)) = (read_end(r, a, policy), read_end(r, b, policy)) else {
            continue;
        };
        let mut good = true;
        for (end, place) in [&a, &b].into_iter().zip(&places) {
            let (code, name, first) = match end {
                End::Port(port) => {
                    let name = format!("{}/{}", policy.switch_name(port.0), port.1);
                    ("port-in-two-links", name, ports.insert(*port, place.clone()))
                }
                End::Interface(name) => {
                    let first = interfaces.insert(name.clone(), place.clone());
                    ("interface-in-two-links", format!("interface {name}"), first)
                }
            };
            if let Some(first) = first {
                r.error(code, place, format!("{name} is an end of two links"))
                    .other(&first, "first here");
                good = false;
            }
        }
        match (a, b) {
            (End::Port(a), End::Port(b)) if good => {
                found.links.push((item.place.clone(), a, b));
            }
            (End::Port(port), End::Interface(name)) | (End::Interface(name), End::Port(port))
                if good =>
            {
                found.interfaces.push((port, name));
            }
            (End::Interface(_), End::Interface(_)) => {
                r.error("no-switch", &item.place, "neither end of the link is a port of a switch");
            }
            _ => {}
        }
    }
    found
}

/// `SWITCH/PORT`, or `{interface: NAME}`.
fn read_end(r: &mut Reader, at: &At<'_>, policy: &Policy) -> Option<End> {
    match at.node {
        Node::Map(entries) => {
            let wanted = "an interface ({interface: eth1})";
            let fields = r.fields(at, wanted, &["interface"])?;
            let Some(name) = fields.get("interface") else {
                // Another key has been complained of.
                if entries.is_empty() {
                    r.wrong(at, wanted);
                }
                return None;
            };
            let wanted =
                "the name of a network interface (at most 15 characters, no / and no space)";
            r.value(name, wanted, |node| {
                let name = node.scalar()?;
                let good = (1..=INTERFACE_LENGTH).contains(&name.len())
                    && !name.starts_with('-')
                    && !matches!(name.as_str(), "." | "..")
                    && !name.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control());
                good.then_some(End::Interface(name))
            })
        }
        Node::Text(text) if !text.contains('/') => {
            let message = format!("{text:?} is not a port (SWITCH/PORT, as in s1/3 or 0x1/3)");
            r.error("wrong-value", &at.place, message)
                .help(format!("an interface of this machine is written {{interface: {text}}}"));
            None
        }
        _ => read_port(r, at, &policy.switches).map(End::Port),
    }
}

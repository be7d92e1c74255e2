//! Explanations, whole: the decision with its grounds, and what becomes of it in the switches. Pure.
//!
//! ```text
//! frame ─▶ explain_decision (slice-db) ─▶ Decision ─▶ plan (controller) ─▶ way, entries
//!                                     └─▶ flow chart, filters, points
//! ```
//! The same for a policy file and for a running controller: what differs is the [`Network`] and the
//! topology.

pub mod frame;
pub mod ofctl;
pub mod offline;
pub mod reasons;
pub mod way;

use std::fmt;

use serde::Serialize;
use umlaut_controller::topology::Topology;
use umlaut_openflow::Attachment;
use umlaut_openflow::packet::Headers;
use umlaut_slice_db::{Explanation, Ingress, Network, PortRole, explain_decision};

use crate::sliceable::SlicePolicy;
use way::{Becomes, Versions, becomes};

/// The network that a frame is explained in.
#[derive(Clone, Copy)]
pub struct Ground<'a, N> {
    /// The policy.
    pub slices: &'a SlicePolicy,
    /// Hosts and ports.
    pub network: &'a N,
    /// Switches and links.
    pub topology: &'a Topology,
    /// Whether the topology has the links that there are.
    pub ways_known: bool,
    /// The versions in which entries are told.
    pub versions: Versions<'a>,
}

/// Everything that is said of a frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Explained {
    /// The decision and its grounds.
    #[serde(flatten)]
    pub told: Explanation,
    /// What kind of frame it is: `tcp 1000 > 22`.
    pub kind: String,
    /// What the port is for, where it comes in.
    pub port: &'static str,
    /// What becomes of it in the switches.
    pub becomes: Becomes,
}

impl Explained {
    /// Explains a frame.
    pub fn new<N: Network>(ground: Ground<'_, N>, ingress: Ingress<'_>) -> Explained {
        let Ground { slices, network, topology, ways_known, versions } = ground;
        let (decision, told) = explain_decision(&slices.policy, network, ingress);
        let role = network.port(ingress.dpid, ingress.port);
        let mut becomes = becomes(slices, topology, ways_known, ingress, &decision, versions);
        let note = match role {
            PortRole::Edge => None,
            PortRole::Probing => Some(
                "the port is still being probed: frames are decided, drop entries wait until it is \
                 known what is there",
            ),
            PortRole::Missing => Some("no such port is known: its frames are dropped"),
            PortRole::Down => Some("the port is down: no frame comes in there"),
            PortRole::Link => Some(
                "another switch is there: a frame that no entry matches belongs to the path that it \
                 is on, and is not asked for a slice again",
            ),
        };
        if let Some(note) = note {
            if role != PortRole::Probing {
                becomes = Becomes::default();
            } else if told.reason.is_some() {
                becomes.entries.clear();
            }
            becomes.notes.push(note.to_owned());
        }
        Explained { told, kind: frame::kind(ingress.headers), port: role_name(role), becomes }
    }

    /// One line: who to whom, what, and what becomes of it.
    pub fn line(&self) -> String {
        format!("{} ({}): {}", self.told.frame, self.kind, self.told.conclusion)
    }
}

fn role_name(role: PortRole) -> &'static str {
    match role {
        PortRole::Missing => "missing",
        PortRole::Down => "down",
        PortRole::Link => "link",
        PortRole::Probing => "probing",
        PortRole::Edge => "edge",
    }
}

impl fmt::Display for Explained {
    /// For people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.told)?;
        for line in self.becomes.lines() {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

/// Where a frame belongs that comes in at a port; `None` for the reserved VID.
pub fn attachment(ingress: Ingress<'_>) -> Option<Attachment> {
    let Headers { tag, .. } = ingress.headers;
    tag.vid().map(|vid| Attachment { dpid: ingress.dpid, port: ingress.port, vid })
}

//! Explanations, whole: the decision with its grounds, and what becomes of it in the switches. Pure.
//!
//! ```text
//! frame ─▶ explain_decision (slice-db) ─▶ Decision ─▶ plan (controller) ─▶ way, entries
//!                                     └─▶ flow chart, filters, points
//! ```
//! The same for a policy file and for a running controller: what differs is the [`Network`] and the
//! topology.

pub mod frame;
pub mod live;
pub mod ofctl;
pub mod offline;
pub mod reasons;
pub mod way;

use std::fmt;

use serde::Serialize;
use umlaut_controller::topology::Topology;
use umlaut_openflow::Attachment;
use umlaut_openflow::packet::Headers;
use umlaut_slice_db::{
    Cure, Decision, Explanation, Ingress, LineChange, Network, Policy, PortRole, Remedy, cure,
    explain_decision,
};

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
    /// For a drop: what would admit it, if that was asked.
    pub cure: Option<Cure>,
    #[serde(skip)]
    decision: Decision,
}

/// Remedies that people are told; programs get all.
const REMEDIES: usize = 5;
/// Changes of one remedy that people are told.
const CHANGES: usize = 6;

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
        let (kind, port) = (frame::kind(ingress.headers), role_name(role));
        Explained { told, kind, port, becomes, cure: None, decision }
    }

    /// With the edits of the policy that would admit a refused frame. `network` makes the network of a
    /// policy as the frame was explained in it.
    #[must_use]
    pub fn with_cure<N: Network>(
        mut self,
        policy: &Policy,
        network: impl Fn(&Policy) -> N,
        ingress: Ingress<'_>,
    ) -> Explained {
        // What comes over a link was admitted elsewhere.
        if self.told.reason.is_some() && self.port != role_name(PortRole::Link) {
            let cure = cure(policy, network, ingress, &self.decision);
            if !cure.remedies.is_empty() {
                // It names one edit; the cure has all of them.
                self.told.remedy = None;
            }
            self.cure = Some(cure);
        }
        self
    }

    /// The decision itself.
    pub fn decision(&self) -> &Decision {
        &self.decision
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
        if let Some(cure) = &self.cure {
            match cure.remedies.first() {
                None => {}
                Some(first) if first.delivered => write!(f, "\n    what would admit it:")?,
                Some(_) => write!(f, "\n    steps towards it, none enough alone:")?,
            }
            for (index, remedy) in cure.remedies.iter().take(REMEDIES).enumerate() {
                write_remedy(f, index + 1, remedy)?;
            }
            if cure.remedies.len() > REMEDIES {
                let more = cure.remedies.len() - REMEDIES;
                write!(f, "\n    {more} more with --json")?;
            }
            if let Some(advice) = cure.advice {
                write!(f, "\n    {advice}")?;
            }
        }
        for line in self.becomes.lines() {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

fn write_remedy(f: &mut fmt::Formatter<'_>, number: usize, remedy: &Remedy) -> fmt::Result {
    write!(f, "\n    {number}. {}; then {}", remedy.text, remedy.then)?;
    for LineChange { file, line, before, after } in &remedy.lines {
        for (sign, text) in [("-", before), ("+", after)] {
            if let Some(text) = text {
                write!(f, "\n       {file}:{line}: {sign} {}", text.trim())?;
            }
        }
    }
    for change in remedy.announced.iter().take(CHANGES) {
        write!(f, "\n       changes: {}", change.text)?;
    }
    match remedy.announced.len().saturating_sub(CHANGES) {
        0 => Ok(()),
        more => write!(f, "\n       changes: {more} more, told with --json"),
    }
}

/// Where a frame belongs that comes in at a port; `None` for the reserved VID.
pub fn attachment(ingress: Ingress<'_>) -> Option<Attachment> {
    let Headers { tag, .. } = ingress.headers;
    tag.vid().map(|vid| Attachment { dpid: ingress.dpid, port: ingress.port, vid })
}

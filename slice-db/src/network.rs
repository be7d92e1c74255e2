//! What the decision reads besides the policy. Pure.

use std::collections::{BTreeMap, BTreeSet};

use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo, Vid};

use crate::policy::{Policy, SliceId, admit};

/// Where a host is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Location {
    /// The place.
    pub at: Attachment,
    /// Whether it was refused there, so that the place is a guess.
    pub tentative: bool,
}

/// What a port is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortRole {
    /// No such port is known.
    Missing,
    /// No frame can pass.
    Down,
    /// Another switch is there.
    Link,
    /// It is not known yet what is there.
    Probing,
    /// Hosts are there.
    Edge,
}

/// The network as one consistent view.
pub trait Network {
    /// Where a host of a slice is: last admitted sighting, or a tentative one.
    fn locate(&self, slice: SliceId, mac: MacAddr) -> Option<Location>;

    /// Whether the host table would take this sighting now (move guard).
    fn may_appear(&self, slice: SliceId, mac: MacAddr, at: Attachment) -> bool;

    /// The learned points of a slice: where its MAC-bound hosts were admitted.
    fn learned_points(&self, slice: SliceId, visit: &mut dyn FnMut(Attachment, MacAddr));

    /// What a port is for.
    fn port(&self, dpid: DatapathId, port: PortNo) -> PortRole;

    /// All settled edge ports, in order.
    fn edge_ports(&self, visit: &mut dyn FnMut(DatapathId, PortNo));

    /// Whether an admitted host of another slice is on this port.
    fn other_slice_at(&self, slice: SliceId, dpid: DatapathId, port: PortNo) -> bool;

    /// Whether frames can go from one switch to the other over known links.
    fn reachable(&self, from: DatapathId, to: DatapathId) -> bool;
}

/// A network without switches: every port that a policy names is an edge, all switches are
/// connected, and hosts are where they were put.
#[derive(Clone, Debug, Default)]
pub struct OfflineNetwork {
    ports: BTreeSet<(DatapathId, PortNo)>,
    hosts: BTreeMap<(SliceId, MacAddr), Location>,
    learned: BTreeMap<SliceId, BTreeMap<MacAddr, Attachment>>,
}

impl OfflineNetwork {
    /// The ports of a policy, and nobody has spoken.
    pub fn silent(policy: &Policy) -> OfflineNetwork {
        let bound = policy.bound_ports();
        let hosts = policy.hosts().filter_map(|host| host.at).map(|at| (at.dpid, at.port));
        OfflineNetwork { ports: bound.chain(hosts).collect(), ..OfflineNetwork::default() }
    }

    /// The ports of a policy, and every host of it that has a place has spoken there.
    pub fn from_policy(policy: &Policy) -> OfflineNetwork {
        let mut network = OfflineNetwork::silent(policy);
        for host in policy.hosts() {
            if let Some(at) = host.at {
                network.speak(policy, host.mac, at);
            }
        }
        network
    }

    /// Adds a port.
    pub fn add_port(&mut self, dpid: DatapathId, port: PortNo) {
        self.ports.insert((dpid, port));
    }

    /// A host speaks somewhere: if the policy admits it there, it is located.
    pub fn speak(&mut self, policy: &Policy, mac: MacAddr, at: Attachment) {
        self.add_port(at.dpid, at.port);
        match admit(policy, at, mac) {
            Ok(admission) => {
                let location = Location { at, tentative: false };
                self.hosts.insert((admission.slice, mac), location);
                if admission.by == crate::policy::AdmittedBy::Mac {
                    self.learned.entry(admission.slice).or_default().insert(mac, at);
                }
            }
            Err(refusal) => {
                for slice in policy.tentative_slices(refusal, at) {
                    let location = Location { at, tentative: true };
                    self.hosts.entry((*slice, mac)).or_insert(location);
                }
            }
        }
    }
}

impl Network for OfflineNetwork {
    fn locate(&self, slice: SliceId, mac: MacAddr) -> Option<Location> {
        self.hosts.get(&(slice, mac)).copied()
    }

    fn may_appear(&self, _: SliceId, _: MacAddr, _: Attachment) -> bool {
        true
    }

    fn learned_points(&self, slice: SliceId, visit: &mut dyn FnMut(Attachment, MacAddr)) {
        for (mac, at) in self.learned.get(&slice).into_iter().flatten() {
            visit(*at, *mac);
        }
    }

    fn port(&self, dpid: DatapathId, port: PortNo) -> PortRole {
        match self.ports.contains(&(dpid, port)) {
            true => PortRole::Edge,
            false => PortRole::Missing,
        }
    }

    fn edge_ports(&self, visit: &mut dyn FnMut(DatapathId, PortNo)) {
        self.ports.iter().for_each(|(dpid, port)| visit(*dpid, *port));
    }

    fn other_slice_at(&self, slice: SliceId, dpid: DatapathId, port: PortNo) -> bool {
        self.hosts.iter().any(|((other, _), location)| {
            *other != slice
                && !location.tentative
                && (location.at.dpid, location.at.port) == (dpid, port)
        })
    }

    fn reachable(&self, _: DatapathId, _: DatapathId) -> bool {
        true
    }
}

/// The untagged attachment of a port.
pub(crate) fn untagged((dpid, port): (DatapathId, PortNo)) -> Attachment {
    Attachment { dpid, port, vid: Vid::Untagged }
}

//! The network of a policy file: its ports, hosts and links. Pure but for the table of who was just
//! seen where.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use umlaut_controller::Domain;
use umlaut_controller::hosts::{HostTable, Seen};
use umlaut_controller::topology::{Link, Topology};
use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo};
use umlaut_slice_db::{Location, Network, OfflineNetwork, Policy, PortRole, SliceId};

/// The links of a policy file. A file without links leaves open how its switches are connected.
pub fn topology(policy: &Policy) -> Topology {
    let bound = policy.bound_ports().map(|(dpid, _)| dpid);
    let hosts = policy.hosts().filter_map(|host| host.at).map(|at| at.dpid);
    let named = policy.switches().map(|(_, dpid)| dpid);
    let linked = policy.links().flat_map(|((a, _), (b, _))| [a, b]);
    let switches: BTreeSet<DatapathId> = bound.chain(hosts).chain(named).chain(linked).collect();
    let bare = switches
        .into_iter()
        .fold(Topology::default(), |topology, dpid| topology.with_switch(dpid, []));
    policy.links().fold(bare, |topology, (a, b)| {
        topology.with_link(Link { from: a, to: b }).with_link(Link { from: b, to: a })
    })
}

/// A policy's network without switches, with its links if it has any.
pub struct Offline {
    hosts: OfflineNetwork,
    topology: Topology,
    ways_known: bool,
    /// Senders that were elsewhere a moment ago.
    sightings: HostTable,
    now: Instant,
}

impl Offline {
    /// The network of a policy; `silent`: nobody has spoken yet.
    pub fn new(policy: &Policy, silent: bool) -> Offline {
        let hosts = match silent {
            true => OfflineNetwork::silent(policy),
            false => OfflineNetwork::from_policy(policy),
        };
        Offline {
            hosts,
            topology: topology(policy),
            ways_known: policy.links().next().is_some(),
            sightings: HostTable::new(),
            now: Instant::now(),
        }
    }

    /// There is such a port, of such a switch.
    pub fn add_port(&mut self, (dpid, port): (DatapathId, PortNo)) {
        self.hosts.add_port(dpid, port);
        if self.topology.switches().all(|(known, _)| known != dpid) {
            self.topology = self.topology.with_switch(dpid, []);
        }
    }

    /// A host was admitted somewhere a second ago.
    pub fn just_seen(&mut self, policy: &Policy, mac: MacAddr, at: Attachment) {
        self.hosts.speak(policy, mac, at);
        let then = self.now.checked_sub(Duration::from_secs(1)).unwrap_or(self.now);
        if let Ok(admission) = umlaut_slice_db::admit(policy, at, mac) {
            let seen = Seen { widely: false, provisional: false };
            self.sightings.see((domain(admission.slice), mac), at, seen, then);
        }
    }

    /// The switches and links.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Whether it is known how switches are connected.
    pub fn ways_known(&self) -> bool {
        self.ways_known
    }
}

fn domain(slice: SliceId) -> Domain {
    Domain(slice.0.into())
}

impl Network for Offline {
    fn locate(&self, slice: SliceId, mac: MacAddr) -> Option<Location> {
        self.hosts.locate(slice, mac)
    }

    fn may_appear(&self, slice: SliceId, mac: MacAddr, at: Attachment) -> bool {
        self.sightings.would_accept((domain(slice), mac), at, self.now)
    }

    fn learned_points(&self, slice: SliceId, visit: &mut dyn FnMut(Attachment, MacAddr)) {
        self.hosts.learned_points(slice, visit);
    }

    fn port(&self, dpid: DatapathId, port: PortNo) -> PortRole {
        self.hosts.port(dpid, port)
    }

    fn edge_ports(&self, visit: &mut dyn FnMut(DatapathId, PortNo)) {
        self.hosts.edge_ports(visit);
    }

    fn other_slice_at(&self, slice: SliceId, dpid: DatapathId, port: PortNo) -> bool {
        self.hosts.other_slice_at(slice, dpid, port)
    }

    fn reachable(&self, from: DatapathId, to: DatapathId) -> bool {
        self.hosts.reachable(from, to)
    }
}

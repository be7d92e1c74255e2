//! What the policy says of ports and links, and what the topology says of a port. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use umlaut_controller::Fabric;
use umlaut_controller::topology::{PortRole as Role, Topology};
use umlaut_openflow::{DatapathId, PortNo};
use umlaut_slice_db::PortRole;

use super::SlicePolicy;

/// The role of a port as the decision knows it.
pub(super) fn port_role(topology: &Topology, dpid: DatapathId, port: PortNo) -> PortRole {
    match topology.port(dpid, port).map(|info| info.role) {
        None => PortRole::Missing,
        Some(Role::Down) => PortRole::Down,
        Some(Role::Probing) => PortRole::Probing,
        Some(Role::Edge { settled: false }) => PortRole::Probing,
        Some(Role::Edge { settled: true }) => PortRole::Edge,
        Some(Role::Link { .. }) => PortRole::Link,
    }
}

/// Ports that the policy binds are edges for ever; `options.links: declared` names the only links.
pub(super) fn of_policy(policy: &SlicePolicy) -> Fabric {
    let bound = policy.policy.bound();
    let declared = policy.policy.options().declared_links.then(|| {
        let links = policy.policy.links();
        Arc::new(links.flat_map(|(a, b)| [(a, b), (b, a)]).collect::<BTreeSet<_>>())
    });
    Fabric { bound: Arc::new(move |dpid, port| bound.contains(dpid, port)), declared }
}

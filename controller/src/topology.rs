//! Switches, ports and links as one immutable value; shortest paths over it. Pure.
//!
//! A change makes a new value that shares what did not change. Shortest-path trees are made per
//! destination at their first use and kept as long as the value.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, OnceLock};

use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::EdgeRef;
use umlaut_openflow::{DatapathId, Port, PortNo};

/// What a port is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortRole {
    /// No frame can pass.
    Down,
    /// Discovery does not know yet.
    Probing,
    /// Hosts are there.
    Edge {
        /// Whether discovery has stopped probing; a bound port is usable before.
        settled: bool,
    },
    /// Another switch is there.
    Link {
        /// The port of the other switch.
        peer: (DatapathId, PortNo),
    },
}

impl PortRole {
    /// Whether another switch is there.
    pub const fn is_link(self) -> bool {
        matches!(self, PortRole::Link { .. })
    }
}

/// A port and its role.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortInfo {
    /// As the switch tells.
    pub port: Port,
    /// As discovery tells.
    pub role: PortRole,
}

/// One direction of a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Link {
    /// Where frames leave.
    pub from: (DatapathId, PortNo),
    /// Where they arrive.
    pub to: (DatapathId, PortNo),
}

/// One step of a path: out of a port and into the next switch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// The port to leave by.
    pub out_port: PortNo,
    /// The next switch.
    pub next: DatapathId,
    /// The port where it is entered.
    pub next_port: PortNo,
}

type Ports = Arc<BTreeMap<PortNo, PortInfo>>;
/// Towards one destination: the step to take from each switch.
type Tree = BTreeMap<DatapathId, Step>;

/// The links as a graph, with what is computed from it.
struct Fabric {
    graph: StableDiGraph<DatapathId, Link>,
    nodes: BTreeMap<DatapathId, NodeIndex>,
    /// Component of each switch: the lowest datapath id that it reaches and is reached by.
    components: OnceLock<BTreeMap<DatapathId, DatapathId>>,
    trees: BTreeMap<DatapathId, OnceLock<Tree>>,
}

/// The network.
#[derive(Clone, Default)]
pub struct Topology {
    switches: BTreeMap<DatapathId, Ports>,
    links: Arc<BTreeMap<(DatapathId, PortNo), (DatapathId, PortNo)>>,
    fabric: Arc<OnceLock<Fabric>>,
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topology")
            .field("switches", &self.switches)
            .field("links", &self.links)
            .finish()
    }
}

impl PartialEq for Topology {
    fn eq(&self, other: &Topology) -> bool {
        self.switches == other.switches && self.links == other.links
    }
}

impl Topology {
    // ---- changes ----

    /// With a switch and its ports: probing if up. One known before is replaced, its links go.
    #[must_use]
    pub fn with_switch(&self, dpid: DatapathId, ports: impl IntoIterator<Item = Port>) -> Topology {
        let mut next = self.without_switch(dpid);
        let ports = ports.into_iter().map(|port| (port.port_no, fresh(port)));
        next.switches.insert(dpid, Arc::new(ports.collect()));
        next.relink(|_| {});
        next
    }

    /// With the ports of a switch that was away, as it tells them now. Roles and links of those
    /// that are as before stay.
    #[must_use]
    pub fn with_switch_back(&self, dpid: DatapathId, ports: &[Port]) -> Topology {
        if !self.switches.contains_key(&dpid) {
            return self.with_switch(dpid, ports.iter().cloned());
        }
        let gone = self.ports_gone(dpid, ports);
        let next = gone.iter().fold(self.clone(), |next, port| next.without_port(dpid, *port));
        let changed =
            |port: &&Port| next.port(dpid, port.port_no).is_none_or(|known| known.port != **port);
        let changed: Vec<&Port> = ports.iter().filter(changed).collect();
        changed.into_iter().fold(next, |next, port| next.with_port(dpid, port.clone()))
    }

    /// The ports of a switch that are not among these: missing, or another under the same number.
    pub fn ports_gone(&self, dpid: DatapathId, ports: &[Port]) -> Vec<PortNo> {
        let same =
            |a: &Port, b: &Port| (a.port_no, a.hw_addr, &a.name) == (b.port_no, b.hw_addr, &b.name);
        let known = self.switches.get(&dpid).into_iter().flat_map(|ports| ports.values());
        let gone = known.filter(|info| !ports.iter().any(|port| same(port, &info.port)));
        gone.map(|info| info.port.port_no).collect()
    }

    /// Without a switch and its links.
    #[must_use]
    pub fn without_switch(&self, dpid: DatapathId) -> Topology {
        let mut next = self.clone();
        if next.switches.remove(&dpid).is_some() {
            next.relink(|links| links.retain(|from, to| from.0 != dpid && to.0 != dpid));
        }
        next
    }

    /// With a port as a switch tells it now. Its role survives if it is up as before.
    #[must_use]
    pub fn with_port(&self, dpid: DatapathId, port: Port) -> Topology {
        let mut next = self.clone();
        let Some(ports) = next.switches.get_mut(&dpid) else { return next };
        let (port_no, up) = (port.port_no, port.is_up());
        let ports = Arc::make_mut(ports);
        match ports.get_mut(&port_no) {
            Some(info) if info.port.is_up() && up => info.port = port,
            _ => {
                ports.insert(port_no, fresh(port));
            }
        }
        if up { next } else { next.cut((dpid, port_no)) }
    }

    /// Without a port and its links.
    #[must_use]
    pub fn without_port(&self, dpid: DatapathId, port: PortNo) -> Topology {
        let mut next = self.clone();
        if let Some(ports) = next.switches.get_mut(&dpid) {
            Arc::make_mut(ports).remove(&port);
        }
        next.cut((dpid, port))
    }

    fn cut(mut self, end: (DatapathId, PortNo)) -> Topology {
        if self.links.iter().any(|(from, to)| *from == end || *to == end) {
            self.relink(|links| links.retain(|from, to| *from != end && *to != end));
        }
        self
    }

    /// With another role of a port that is up.
    #[must_use]
    pub fn with_role(&self, dpid: DatapathId, port: PortNo, role: PortRole) -> Topology {
        let mut next = self.clone();
        next.set_role(dpid, port, role);
        next
    }

    /// As [`Topology::with_role`], in place: a switch that joins has as many roles as ports.
    pub(crate) fn set_role(&mut self, dpid: DatapathId, port: PortNo, role: PortRole) {
        if let Some(ports) = self.switches.get_mut(&dpid)
            && ports.get(&port).is_some_and(|info| info.role != role)
            && let Some(info) = Arc::make_mut(ports).get_mut(&port)
        {
            info.role = if info.port.is_up() { role } else { PortRole::Down };
        }
    }

    /// With one direction of a link, in place of any other that leaves by that port.
    #[must_use]
    pub fn with_link(&self, link: Link) -> Topology {
        let mut next = self.clone();
        if next.links.get(&link.from) != Some(&link.to) {
            next.relink(|links| {
                links.insert(link.from, link.to);
            });
        }
        next
    }

    /// Without one direction of a link.
    #[must_use]
    pub fn without_link(&self, link: Link) -> Topology {
        let mut next = self.clone();
        if next.links.get(&link.from) == Some(&link.to) {
            next.relink(|links| {
                links.remove(&link.from);
            });
        }
        next
    }

    fn relink(
        &mut self,
        change: impl FnOnce(&mut BTreeMap<(DatapathId, PortNo), (DatapathId, PortNo)>),
    ) {
        change(Arc::make_mut(&mut self.links));
        self.fabric = Arc::default();
    }

    // ---- questions ----

    /// Whether its switches and links are known to be those of another: one was made of the other, and
    /// at most ports were changed.
    pub fn has_links_of(&self, other: &Topology) -> bool {
        Arc::ptr_eq(&self.links, &other.links) && Arc::ptr_eq(&self.fabric, &other.fabric)
    }

    /// Whether a switch is known.
    pub fn has_switch(&self, dpid: DatapathId) -> bool {
        self.switches.contains_key(&dpid)
    }

    /// A port.
    pub fn port(&self, dpid: DatapathId, port: PortNo) -> Option<&PortInfo> {
        self.switches.get(&dpid)?.get(&port)
    }

    /// Whether a port exists and is up.
    pub fn is_up(&self, dpid: DatapathId, port: PortNo) -> bool {
        self.port(dpid, port).is_some_and(|info| info.port.is_up())
    }

    /// Where frames that leave by a link port arrive.
    pub fn peer(&self, dpid: DatapathId, port: PortNo) -> Option<(DatapathId, PortNo)> {
        self.links.get(&(dpid, port)).copied()
    }

    /// The switches with their ports, in order.
    pub fn switches(&self) -> impl Iterator<Item = (DatapathId, impl Iterator<Item = &PortInfo>)> {
        self.switches.iter().map(|(dpid, ports)| (*dpid, ports.values()))
    }

    /// The links, each direction by itself, in order.
    pub fn links(&self) -> impl Iterator<Item = Link> + '_ {
        self.links.iter().map(|(from, to)| Link { from: *from, to: *to })
    }

    /// The ports where hosts are and that discovery is done with, in order.
    pub fn settled_edge_ports(&self) -> impl Iterator<Item = (DatapathId, PortNo)> + '_ {
        self.switches.iter().flat_map(|(dpid, ports)| {
            let edges = ports.iter().filter(|(_, i)| i.role == PortRole::Edge { settled: true });
            edges.map(|(port, _)| (*dpid, *port))
        })
    }

    /// Whether a port is being probed.
    pub fn is_probing(&self) -> bool {
        self.switches
            .values()
            .flat_map(|ports| ports.values())
            .any(|info| matches!(info.role, PortRole::Probing | PortRole::Edge { settled: false }))
    }

    fn fabric(&self) -> &Fabric {
        self.fabric.get_or_init(|| {
            let mut graph = StableDiGraph::new();
            let nodes: BTreeMap<_, _> =
                self.switches.keys().map(|dpid| (*dpid, graph.add_node(*dpid))).collect();
            for link in self.links() {
                if let (Some(a), Some(b)) = (nodes.get(&link.from.0), nodes.get(&link.to.0)) {
                    graph.add_edge(*a, *b, link);
                }
            }
            let trees = nodes.keys().map(|dpid| (*dpid, OnceLock::new())).collect();
            Fabric { graph, nodes, components: OnceLock::new(), trees }
        })
    }

    /// Whether frames can go from one switch to another and back over known links.
    pub fn reachable(&self, from: DatapathId, to: DatapathId) -> bool {
        let fabric = self.fabric();
        let components = fabric.components.get_or_init(|| {
            let components = petgraph::algo::tarjan_scc(&fabric.graph);
            components
                .into_iter()
                .flat_map(|nodes| {
                    let members: Vec<_> = nodes.iter().map(|n| fabric.graph[*n]).collect();
                    let first = members.iter().min().copied().unwrap_or_default();
                    members.into_iter().map(move |dpid| (dpid, first))
                })
                .collect()
        });
        // Most paths stay where they are.
        let own = components.get(&from);
        own.is_some() && (from == to || components.get(&to) == own)
    }

    /// The shortest way from one switch to another; empty from a switch to itself. Of ways equally
    /// long the one over the lowest next datapath id is taken, of parallel links the one of the
    /// lowest port. `None` if there is no way.
    pub fn path(&self, from: DatapathId, to: DatapathId) -> Option<impl Iterator<Item = Step>> {
        let fabric = self.fabric();
        let tree = fabric.trees.get(&to)?.get_or_init(|| fabric.tree(to));
        if from != to && !tree.contains_key(&from) || !self.switches.contains_key(&from) {
            return None;
        }
        let mut at = from;
        Some(std::iter::from_fn(move || {
            let step = tree.get(&at).filter(|_| at != to)?;
            at = step.next;
            Some(*step)
        }))
    }
}

impl Fabric {
    /// Breadth first from the destination backwards; every link costs the same.
    fn tree(&self, to: DatapathId) -> Tree {
        let Some(root) = self.nodes.get(&to) else { return Tree::new() };
        let mut distance = BTreeMap::from([(to, 0usize)]);
        let mut queue = VecDeque::from([*root]);
        while let Some(node) = queue.pop_front() {
            let next = distance[&self.graph[node]] + 1;
            for edge in self.graph.edges_directed(node, Direction::Incoming) {
                let source = self.graph[edge.source()];
                if let std::collections::btree_map::Entry::Vacant(place) = distance.entry(source) {
                    place.insert(next);
                    queue.push_back(edge.source());
                }
            }
        }
        let mut tree = Tree::new();
        for (dpid, hops) in distance.iter().filter(|(_, hops)| **hops > 0) {
            let nearer = self
                .graph
                .edges(self.nodes[dpid])
                .map(|edge| *edge.weight())
                .filter(|link| distance.get(&link.to.0).is_some_and(|d| d + 1 == *hops))
                .min_by_key(|link| (link.to.0, link.from.1));
            if let Some(link) = nearer {
                let (next, next_port) = link.to;
                tree.insert(*dpid, Step { out_port: link.from.1, next, next_port });
            }
        }
        tree
    }
}

fn fresh(port: Port) -> PortInfo {
    let role = if port.is_up() { PortRole::Probing } else { PortRole::Down };
    PortInfo { port, role }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use umlaut_openflow::{MacAddr, PortConfig, PortState};

    use super::*;

    pub(crate) fn port(port_no: u32) -> Port {
        Port {
            port_no: PortNo(port_no),
            hw_addr: MacAddr::from_u64(port_no.into()),
            name: [0; 16],
            config: PortConfig(0),
            state: PortState(0),
            curr: 0,
            advertised: 0,
            supported: 0,
            peer: 0,
            curr_speed: 0,
            max_speed: 0,
        }
    }

    fn link(a: u64, ap: u32, b: u64, bp: u32) -> [Link; 2] {
        let (a, b) = ((DatapathId(a), PortNo(ap)), (DatapathId(b), PortNo(bp)));
        [Link { from: a, to: b }, Link { from: b, to: a }]
    }

    fn network(switches: u64, links: &[[Link; 2]]) -> Topology {
        let mut topology = Topology::default();
        for dpid in 1..=switches {
            topology = topology.with_switch(DatapathId(dpid), (1..9).map(port));
        }
        links.iter().flatten().fold(topology, |topology, link| topology.with_link(*link))
    }

    fn way(topology: &Topology, from: u64, to: u64) -> Option<Vec<u64>> {
        Some(topology.path(DatapathId(from), DatapathId(to))?.map(|step| step.next.0).collect())
    }

    #[test]
    fn ties_go_to_the_lowest_datapath_and_the_lowest_port() {
        // A square 1-2-4, 1-3-4 with two cables between 1 and 2.
        let square = [
            link(1, 2, 2, 2),
            link(1, 1, 2, 1),
            link(1, 3, 3, 1),
            link(2, 3, 4, 1),
            link(3, 3, 4, 2),
        ];
        let topology = network(4, &square);
        assert_eq!(way(&topology, 1, 4), Some(vec![2, 4]));
        let first = topology.path(DatapathId(1), DatapathId(4)).unwrap().next().unwrap();
        assert_eq!(first.out_port, PortNo(1));
        // Without the first cable the second serves; without both, the other way round.
        let topology = topology.without_port(DatapathId(1), PortNo(1));
        let first = topology.path(DatapathId(1), DatapathId(4)).unwrap().next().unwrap();
        assert_eq!(first.out_port, PortNo(2));
        let topology = topology.without_port(DatapathId(2), PortNo(2));
        assert_eq!(way(&topology, 1, 4), Some(vec![3, 4]));
    }

    #[test]
    fn partitions_are_seen_by_paths_and_reachability_alike() {
        let topology = network(4, &[link(1, 1, 2, 1), link(3, 1, 4, 1)]);
        assert_eq!(way(&topology, 1, 3), None);
        assert_eq!(way(&topology, 1, 1), Some(vec![]));
        assert_eq!(way(&topology, 1, 9), None);
        assert!(topology.reachable(DatapathId(1), DatapathId(2)));
        assert!(!topology.reachable(DatapathId(1), DatapathId(3)));
        let gone = topology.without_switch(DatapathId(2));
        assert_eq!(gone.links().count(), 2);
        assert_eq!(way(&gone, 1, 2), None);
    }

    #[test]
    fn a_switch_that_is_back_keeps_what_its_ports_were_as_far_as_they_are_the_same() {
        let cables = [link(1, 1, 2, 1), link(1, 2, 2, 2), link(1, 3, 2, 3), link(1, 4, 2, 4)];
        let mut topology = network(2, &cables);
        for number in 1..=5 {
            let role = match number {
                5 => PortRole::Edge { settled: true },
                _ => PortRole::Link { peer: (DatapathId(2), PortNo(number)) },
            };
            topology = topology.with_role(DatapathId(1), PortNo(number), role);
        }
        let all: Vec<Port> = (1..9).map(port).collect();
        assert_eq!(topology.with_switch_back(DatapathId(1), &all), topology);
        assert_eq!(topology.ports_gone(DatapathId(1), &all), []);
        // The second is down, the third is no more, the fourth is another, and there is a new one.
        let mut ports: Vec<Port> = (1..10).filter(|number| *number != 3).map(port).collect();
        ports[1].state = PortState::LINK_DOWN;
        ports[2].hw_addr = MacAddr::from_u64(77);
        assert_eq!(topology.ports_gone(DatapathId(1), &ports), [PortNo(3), PortNo(4)]);
        let back = topology.with_switch_back(DatapathId(1), &ports);
        let links: Vec<_> = back.links().map(|link| (link.from.1.0, link.to.1.0)).collect();
        assert_eq!(links, [(1, 1), (1, 1)]);
        let role = |number| back.port(DatapathId(1), PortNo(number)).map(|info| info.role);
        assert!(role(1).is_some_and(PortRole::is_link));
        assert_eq!((role(2), role(3)), (Some(PortRole::Down), None));
        assert_eq!((role(4), role(9)), (Some(PortRole::Probing), Some(PortRole::Probing)));
        assert_eq!(role(5), Some(PortRole::Edge { settled: true }));
        // One that was not known comes as any other.
        let fresh = Topology::default().with_switch_back(DatapathId(1), &all);
        assert_eq!(fresh, Topology::default().with_switch(DatapathId(1), all));
    }

    #[test]
    fn a_port_that_goes_down_loses_its_role_and_its_links() {
        let topology = network(2, &[link(1, 1, 2, 1)]);
        let role = PortRole::Link { peer: (DatapathId(2), PortNo(1)) };
        let topology = topology.with_role(DatapathId(1), PortNo(1), role);
        let down = Port { state: PortState::LINK_DOWN, ..port(1) };
        let topology = topology.with_port(DatapathId(1), down);
        assert_eq!(topology.port(DatapathId(1), PortNo(1)).unwrap().role, PortRole::Down);
        assert_eq!(topology.links().count(), 0);
        let topology = topology.with_port(DatapathId(1), port(1));
        assert_eq!(topology.port(DatapathId(1), PortNo(1)).unwrap().role, PortRole::Probing);
    }

    proptest! {
        /// Paths are as short as a brute-force search says, whatever the order of insertion.
        #[test]
        fn paths_are_shortest_and_do_not_depend_on_the_order(
            mut links in prop::collection::btree_set((1u64..7, 1u64..7), 0..12)
                .prop_map(|set| set.into_iter().filter(|(a, b)| a < b).collect::<Vec<_>>()),
            swap in any::<usize>(),
        ) {
            let build = |links: &[(u64, u64)]| {
                let links: Vec<_> = links.iter().map(|(a, b)| link(*a, *b as u32, *b, *a as u32)).collect();
                network(6, &links)
            };
            let topology = build(&links);
            if !links.is_empty() {
                let n = links.len();
                links.rotate_left(swap % n);
            }
            let other = build(&links);
            // Floyd-Warshall.
            let mut d = [[99usize; 7]; 7];
            (0..7).for_each(|i| d[i][i] = 0);
            for (a, b) in &links {
                d[*a as usize][*b as usize] = 1;
                d[*b as usize][*a as usize] = 1;
            }
            for k in 0..7 { for i in 0..7 { for j in 0..7 {
                d[i][j] = d[i][j].min(d[i][k] + d[k][j]);
            }}}
            for from in 1..7 {
                for to in 1..7 {
                    let path = way(&topology, from, to);
                    prop_assert_eq!(&path, &way(&other, from, to));
                    let expected = d[from as usize][to as usize];
                    prop_assert_eq!(path.map(|path| path.len()), (expected < 99).then_some(expected));
                    prop_assert_eq!(topology.reachable(DatapathId(from), DatapathId(to)), expected < 99);
                }
            }
        }
    }
}

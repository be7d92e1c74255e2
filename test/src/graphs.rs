//! Networks by the dozen: every small graph, and random ones. Pure.

use umlaut_openflow::DatapathId;

use crate::random::Random;
use crate::topology::Topology;

/// The largest number of switches of [`Topology::every_graph`]: 143 networks, looked for among 32,768.
pub const SMALL: u64 = 6;

/// Which pairs of `n` nodes are edges: a bit for each pair in the order (0,1), (0,2), (1,2), (0,3) …
type Edges = u32;

fn bit(a: usize, b: usize) -> Edges {
    let (low, high) = (a.min(b), a.max(b));
    1 << (high * (high - 1) / 2 + low)
}

fn pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(|high| (0..high).map(move |low| (low, high)))
}

fn is_connected(edges: Edges, n: usize) -> bool {
    let mut found = 1u32;
    for _ in 0..n {
        for (a, b) in pairs(n).filter(|(a, b)| edges & bit(*a, *b) != 0) {
            if found >> a & 1 != found >> b & 1 {
                found |= 1 << a | 1 << b;
            }
        }
    }
    found.count_ones() as usize == n
}

/// All orders of the numbers below `n`.
fn permutations(n: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for next in 0..n {
        all = all
            .iter()
            .flat_map(|order: &Vec<usize>| {
                (0..=next).map(|at| {
                    let mut longer = order.clone();
                    longer.insert(at, next);
                    longer
                })
            })
            .collect();
    }
    all
}

/// Whether no other numbering of the nodes gives a smaller number.
fn is_canonical(edges: Edges, n: usize, permutations: &[Vec<usize>]) -> bool {
    permutations.iter().all(|order| {
        let renamed = pairs(n).filter(|(a, b)| edges & bit(*a, *b) != 0);
        renamed.fold(0, |all, (a, b)| all | bit(order[a], order[b])) >= edges
    })
}

impl Topology {
    /// Every connected graph with one to `switches` switches and `hosts` hosts on each, one of each
    /// kind up to isomorphism: 1, 2, 4, 10, 31, 143 networks for one to [`SMALL`] switches, which is
    /// the most (larger numbers are taken for it). Fewer switches first.
    pub fn every_graph(switches: u64, hosts: u32) -> Vec<Topology> {
        (1..=switches.min(SMALL)).flat_map(|n| graphs(n, hosts)).collect()
    }

    /// A random connected graph of `switches` switches with `hosts` hosts on each: a random tree, and
    /// up to `chords` links more between switches that have none yet. The same seed, the same graph.
    pub fn random(switches: u64, chords: u64, hosts: u32, seed: u64) -> Topology {
        let mut random = Random::new(seed);
        let mut topology = Topology::unlinked(switches, hosts);
        let mut free: Vec<(u64, u64)> = Vec::new();
        for new in 2..=switches {
            let old = random.below(new - 1) + 1;
            topology.add_link(DatapathId(old), DatapathId(new));
            free.extend((1..new).filter(|other| *other != old).map(|other| (other, new)));
        }
        for _ in 0..chords {
            if free.is_empty() {
                break;
            }
            let (a, b) = free.swap_remove(random.below(free.len() as u64) as usize);
            topology.add_link(DatapathId(a), DatapathId(b));
        }
        topology
    }
}

fn graphs(n: u64, hosts: u32) -> Vec<Topology> {
    let size = n as usize;
    let permutations = permutations(size);
    let all = (0..1 << (size * (size - 1) / 2))
        .filter(|edges| is_connected(*edges, size) && is_canonical(*edges, size, &permutations));
    let network = |edges: Edges| {
        let mut topology = Topology::unlinked(n, hosts);
        for (a, b) in pairs(size).filter(|(a, b)| edges & bit(*a, *b) != 0) {
            topology.add_link(DatapathId(a as u64 + 1), DatapathId(b as u64 + 1));
        }
        topology
    };
    all.map(network).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_small_graph_is_there_once() {
        // The numbers of connected graphs (OEIS A001349).
        let mut sum = 0;
        for (n, count) in [(1, 1), (2, 1), (3, 2), (4, 6), (5, 21)] {
            sum += count;
            let all = Topology::every_graph(n, 1);
            assert_eq!(all.len(), sum, "{n}");
            assert!(all.iter().all(|topology| topology.check().is_ok()));
            assert_eq!(all.iter().filter(|t| t.switches.len() as u64 == n).count(), count, "{n}");
        }
        // Their degrees tell those of four switches apart.
        let degrees = |topology: &Topology| {
            let mut degrees: Vec<usize> =
                (1..=4).map(|dpid| topology.ports(DatapathId(dpid)).len()).collect();
            degrees.sort_unstable();
            degrees
        };
        let mut four: Vec<_> = graphs(4, 0).iter().map(degrees).collect();
        four.sort();
        four.dedup();
        assert_eq!(four.len(), 6);
    }

    #[test]
    fn a_random_graph_is_connected_and_has_its_seed() {
        for seed in 0..50 {
            let topology = Topology::random(7, 4, 1, seed);
            assert_eq!(topology.check(), Ok(()));
            assert_eq!(topology.links.len(), 10);
            let edges = topology.links.iter().fold(0, |edges, link| {
                let added = bit(link.a.dpid.0 as usize - 1, link.b.dpid.0 as usize - 1);
                assert_eq!(edges & added, 0, "two links between the same switches");
                edges | added
            });
            assert!(is_connected(edges, 7));
            assert_eq!(topology, Topology::random(7, 4, 1, seed));
        }
        assert_ne!(Topology::random(7, 4, 1, 1), Topology::random(7, 4, 1, 2));
        assert_eq!(Topology::random(3, 99, 0, 1).links.len(), 3);
    }
}

//! Who speaks in a load: hosts of many switches, their addresses, ports and slices. Pure.
//!
//! Everything follows from three numbers, so the generator and the policy written for the controller
//! agree without a word between them.

use std::collections::HashMap;
use std::iter::StepBy;
use std::net::Ipv4Addr;
use std::ops::Range;

use umlaut_openflow::{DatapathId, MacAddr, PortNo};

/// Locally administered addresses of the hosts: `02`, switch (2 bytes), host (3 bytes).
const HOSTS: u64 = 0x0200_0000_0000;
/// Ports that hosts of different slices share, where there are so many hosts.
const SHARED_PORTS: u32 = 32;
/// The most slices that have hosts on one switch: each has a port of its own there, and the features
/// reply of 1.0 lists all ports in one message.
const SLICES_PER_SWITCH: u32 = 1000;
/// The most switches: their numbers are two bytes of an address.
pub const SWITCHES: u32 = 65_535;
/// The most hosts of one switch: three bytes of an address, and memory.
pub const HOSTS_PER_SWITCH: u32 = 1_000_000;

/// How many switches there are, and who is on them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Population {
    switches: u32,
    hosts: u32,
    slices: u32,
    /// Slices with hosts on one switch.
    local: u32,
    /// Ports of each switch that hosts of different slices share.
    shared_ports: u32,
    /// Ports that belong to one slice on one switch: what a controller keeps per port is bounded.
    own_ports: u32,
    /// Whether all hosts are bound by their ports.
    by_port: bool,
}

/// Why a population cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PopulationError {
    /// None, or too many.
    #[error("{0} switches: 1 to {SWITCHES} can be")]
    Switches(u32),
    /// Too few to have somebody to talk to, or too many.
    #[error("{0} hosts on a switch: 2 to {HOSTS_PER_SWITCH} can be")]
    Hosts(u32),
    /// No slice.
    #[error("there must be a slice")]
    Slices,
}

/// How the policy binds a host to its slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Binding {
    /// By its address, wherever it is.
    Mac,
    /// By its address on its port.
    PortMac,
    /// By its port, which it shares with hosts of its slice only.
    Port,
}

/// One host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Host {
    /// Its address.
    pub mac: MacAddr,
    /// Its IPv4 address.
    pub ip: Ipv4Addr,
    /// Where it is on its switch.
    pub port: PortNo,
    /// Its slice, from 0.
    pub slice: u32,
    /// How it is bound.
    pub binding: Binding,
}

/// What a host is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Address {
    pub(super) mac: MacAddr,
    pub(super) ip: Ipv4Addr,
}

impl Population {
    /// `hosts` on each of `switches`, in `slices` over all. Every switch has hosts of as many slices
    /// as it takes for all slices to have some, at least two hosts each; with more slices than that
    /// the rest has no hosts here.
    ///
    /// # Errors
    /// A number that cannot be.
    pub fn new(switches: u32, hosts: u32, slices: u32) -> Result<Population, PopulationError> {
        if !(1..=SWITCHES).contains(&switches) {
            return Err(PopulationError::Switches(switches));
        }
        if !(2..=HOSTS_PER_SWITCH).contains(&hosts) {
            return Err(PopulationError::Hosts(hosts));
        }
        if slices == 0 {
            return Err(PopulationError::Slices);
        }
        let local = slices.div_ceil(switches).min(hosts / 2).clamp(1, SLICES_PER_SWITCH);
        let shared_ports = SHARED_PORTS.min(hosts);
        let own_ports = (shared_ports / local).max(1);
        let by_port = false;
        Ok(Population { switches, hosts, slices, local, shared_ports, own_ports, by_port })
    }

    /// The same hosts, all bound by their ports: any number of hosts with few members.
    #[must_use]
    pub fn bound_by_port(self) -> Population {
        // Whoever speaks to somebody is on another port.
        Population { own_ports: self.own_ports.max(2), by_port: true, ..self }
    }

    /// How many switches.
    pub fn switches(&self) -> u32 {
        self.switches
    }

    /// How many hosts on each.
    pub fn hosts(&self) -> u32 {
        self.hosts
    }

    /// How many slices.
    pub fn slices(&self) -> u32 {
        self.slices
    }

    /// The datapath id of a switch, from 0.
    pub fn dpid(&self, switch: u32) -> DatapathId {
        DatapathId(u64::from(switch) + 1)
    }

    /// The ports of every switch: 1 to this.
    pub fn ports(&self) -> u32 {
        self.shared_ports + self.local * self.own_ports
    }

    /// The slice of a host, among those of its switch.
    fn local_slice(&self, host: u32) -> u32 {
        host % self.local
    }

    /// The addresses of a host, both numbers from 0.
    #[inline]
    pub(super) fn address(&self, switch: u32, host: u32) -> Address {
        let number = switch.wrapping_mul(self.hosts).wrapping_add(host);
        Address {
            mac: MacAddr::from_u64(HOSTS | u64::from(switch + 1) << 24 | u64::from(host)),
            ip: Ipv4Addr::from_bits(0x0a00_0000 | number & 0x00ff_ffff),
        }
    }

    /// The port of every host; it is the same on all switches.
    pub(super) fn host_ports(&self) -> Vec<u16> {
        // Below 65,280: ports of slices are few where there are many slices.
        (0..self.hosts).map(|host| self.host(0, host).port.0 as u16).collect()
    }

    /// A host, both numbers from 0.
    pub fn host(&self, switch: u32, host: u32) -> Host {
        let (local, row) = (self.local_slice(host), host / self.local);
        let binding = self.binding(row);
        let port = match binding {
            Binding::Mac | Binding::PortMac => 1 + (row + local) % self.shared_ports,
            Binding::Port => 1 + self.shared_ports + local * self.own_ports + self.own_port(row),
        };
        let Address { mac, ip } = self.address(switch, host);
        Host {
            mac,
            ip,
            port: PortNo(port),
            slice: (switch * self.local + local) % self.slices,
            binding,
        }
    }

    /// How many hosts of its slice a host has on its switch, itself included.
    fn group(&self, host: u32) -> u32 {
        (self.hosts - self.local_slice(host)).div_ceil(self.local)
    }

    /// The hosts of a slice, by switch.
    pub(super) fn groups(&self, slice: u32) -> impl Iterator<Item = (u32, StepBy<Range<u32>>)> {
        let Population { switches, hosts, slices, local, .. } = *self;
        (slice..switches * local)
            .step_by(slices as usize)
            .map(move |group| (group / local, (group % local..hosts).step_by(local as usize)))
    }

    /// How the hosts of a row are bound.
    #[inline]
    fn binding(&self, row: u32) -> Binding {
        match row % 3 {
            _ if self.by_port => Binding::Port,
            0 => Binding::Mac,
            1 => Binding::PortMac,
            _ => Binding::Port,
        }
    }

    /// Which port of its slice a host of this row is on that is bound by its port.
    #[inline]
    fn own_port(&self, row: u32) -> u32 {
        let before = if self.by_port { row } else { row / 3 };
        before % self.own_ports
    }

    /// Whether two hosts of one slice and switch, told by their rows, are on one port. What one says
    /// to the other does not come to the switch's controller.
    #[inline]
    fn on_one_port(&self, a: u32, b: u32) -> bool {
        match (self.binding(a), self.binding(b)) {
            (Binding::Port, Binding::Port) => self.own_port(a) == self.own_port(b),
            (Binding::Port, _) | (_, Binding::Port) => false,
            _ => a % self.shared_ports == b % self.shared_ports,
        }
    }

    /// How many pairs follow each other without one that comes again, where all paths are new.
    pub fn distinct_pairs(&self) -> u64 {
        // The smallest group is that of the last slice.
        let size = self.group(self.local - 1);
        let mut at: HashMap<PortNo, u64> = HashMap::new();
        for row in 0..size {
            *at.entry(self.host(0, row * self.local).port).or_default() += 1;
        }
        let size = u64::from(size);
        let on_one_port: u64 = at.values().map(|count| count * count).sum();
        (size * size - on_one_port) * u64::from(self.local)
    }
}

/// The pairs of hosts of one switch that speak, one behind the other, without end. It steps and hardly
/// divides: this is the generator's inner loop. Hosts are counted in rows of one of each slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pairs {
    population: Population,
    new: bool,
    row: u32,
    column: u32,
    round: u32,
    /// How many slices have one host more than the others.
    longer: u32,
    /// Of these slices, then of the others: how far the receiver is from the sender, and how many
    /// hosts there are.
    steps: [(u32, u32); 2],
}

impl Pairs {
    /// Every host speaks to one other, always the same.
    pub(super) fn seen_again(population: Population) -> Pairs {
        Pairs::new(population, false)
    }

    /// All pairs come before one comes again.
    pub(super) fn new_paths(population: Population) -> Pairs {
        Pairs::new(population, true)
    }

    fn new(population: Population, new: bool) -> Pairs {
        let longer = population.hosts % population.local;
        let steps = [(0, 0); 2];
        let mut pairs = Pairs { population, new, row: 0, column: 0, round: 0, longer, steps };
        pairs.start_round();
        pairs
    }

    fn start_round(&mut self) {
        let local = self.population.local;
        let groups = [self.population.group(0), self.population.group(local - 1)];
        let round = if self.new { self.round } else { 0 };
        self.steps = groups.map(|size| (1 + round % (size - 1), size));
    }

    /// The next pair, on different ports.
    #[inline]
    pub(super) fn next(&mut self) -> (u32, u32) {
        loop {
            let (from, to, column) = self.step();
            if !self.population.on_one_port(from, to) {
                let local = self.population.local;
                return (from * local + column, to * local + column);
            }
        }
    }

    #[inline]
    fn step(&mut self) -> (u32, u32, u32) {
        let (from, column) = (self.row, self.column);
        let (step, size) = self.steps[usize::from(column >= self.longer)];
        let mut to = from + step;
        if to >= size {
            to -= size;
        }
        let Population { hosts, local, .. } = self.population;
        self.column += 1;
        if self.column == local {
            (self.row, self.column) = (from + 1, 0);
        }
        if self.row * local + self.column == hosts {
            (self.row, self.column) = (0, 0);
            self.round = self.round.wrapping_add(1);
            self.start_round();
        }
        (from, to, column)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SHAPES: [(u32, u32, u32); 8] = [
        (1, 2, 1),
        (16, 1000, 1000),
        (3, 100, 10),
        (64, 50, 7),
        (2, 40, 1000),
        (1, 5000, 5000),
        (1, 65, 1),
        (1, 900, 32),
    ];

    fn all() -> impl Iterator<Item = Population> {
        SHAPES
            .into_iter()
            .map(|(switches, hosts, slices)| Population::new(switches, hosts, slices).unwrap())
    }

    #[test]
    fn both_of_a_pair_are_different_hosts_of_one_slice() {
        for population in all() {
            let pairs = [Pairs::seen_again(population), Pairs::new_paths(population)];
            for mut pairs in pairs {
                let mut senders = HashSet::new();
                for n in 0..population.hosts() * 3 {
                    let (src, dst) = pairs.next();
                    assert!(src < population.hosts() && dst < population.hosts());
                    senders.insert(src);
                    let [from, to] = [src, dst].map(|host| population.host(0, host));
                    assert_eq!(from.slice, to.slice, "{population:?} {n}");
                    assert_ne!(from.port, to.port, "{population:?} {n}");
                }
                assert!(senders.len() as u32 >= population.hosts() - population.local);
            }
        }
    }

    #[test]
    fn what_is_seen_again_are_as_many_paths_as_hosts() {
        for population in all() {
            let mut pairs = Pairs::seen_again(population);
            let mut seen = HashSet::new();
            for _ in 0..3 * population.hosts() {
                seen.insert(pairs.next());
            }
            assert!(seen.len() as u32 >= population.hosts() - population.local);
            let receivers: HashSet<u32> = seen.iter().map(|(_, dst)| *dst).collect();
            assert_eq!(receivers.len(), seen.len(), "everybody is spoken to");
        }
    }

    #[test]
    fn new_pairs_are_new_for_as_long_as_it_is_said() {
        for population in all() {
            let mut last = HashMap::new();
            let mut next = Pairs::new_paths(population);
            let pairs = population.distinct_pairs().min(100_000);
            assert!(pairs > 0);
            for n in 0..3 * pairs {
                if let Some(before) = last.insert(next.next(), n) {
                    assert!(n - before >= pairs, "{population:?}: {n} is {before}");
                }
            }
        }
    }

    #[test]
    fn a_port_of_a_slice_has_hosts_of_no_other_and_addresses_are_unique() {
        for population in all() {
            let mut owners = HashMap::new();
            let mut addresses = HashSet::new();
            for switch in 0..population.switches().min(3) {
                for number in 0..population.hosts() {
                    let host = population.host(switch, number);
                    assert!(addresses.insert(host.mac) && !host.mac.is_group());
                    assert!((1..=population.ports()).contains(&host.port.0));
                    assert!(host.slice < population.slices());
                    if host.binding == Binding::Port {
                        let owner = owners.entry((switch, host.port)).or_insert(host.slice);
                        assert_eq!(*owner, host.slice);
                    } else {
                        assert!(host.port.0 <= population.shared_ports);
                    }
                }
            }
        }
    }

    #[test]
    fn every_host_is_in_one_group_of_its_slice() {
        for population in all() {
            let mut seen = HashSet::new();
            for slice in 0..population.slices() {
                for (switch, hosts) in population.groups(slice) {
                    for host in hosts {
                        assert_eq!(population.host(switch, host).slice, slice);
                        assert!(seen.insert((switch, host)));
                    }
                }
            }
            assert_eq!(seen.len() as u32, population.switches() * population.hosts());
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(Population::new(0, 2, 1), Err(PopulationError::Switches(0)));
        assert_eq!(Population::new(1, 1, 1), Err(PopulationError::Hosts(1)));
        assert_eq!(Population::new(1, 2, 0), Err(PopulationError::Slices));
    }
}

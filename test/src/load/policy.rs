//! The policy file for a load: its hosts are members of slices, by all three kinds of binding; more
//! members and filters, which no frame of the load meets, make it as large as is asked. Pure.

use std::fmt;

use umlaut_openflow::MacAddr;

use super::population::{Binding, Population};

/// Addresses of members that are nowhere: `06` and a number.
const ELSEWHERE: u64 = 0x0600_0000_0000;
/// Their switches: from here on, no switch of a load.
const ELSEWHERE_SWITCHES: u32 = 0x10_0000;
const ELSEWHERE_PORTS: u32 = 10_000;
/// Packet-ins a second that a slice may cause on a port: the most that a policy can say.
const STORM_RATE: u32 = 1_000_000_000;
/// How many combinations of fields filters have.
pub const SHAPES: u32 = 10;

/// A policy file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PolicyFile {
    /// Whose hosts are members.
    pub population: Population,
    /// How many members there are, those of the load included. If these are more, there are more.
    pub members: u32,
    /// How many filters.
    pub filters: u32,
}

impl PolicyFile {
    /// Writes it in YAML.
    ///
    /// # Errors
    /// Where `out` has one.
    pub fn write(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let slices = self.population.slices();
        // A load is a storm: as much as is sent is to be decided.
        writeln!(out, "umlaut: 1\noptions: {{storm_rate: {STORM_RATE}}}\nslices:")?;
        let here = self.members_here();
        let elsewhere = self.members.saturating_sub(here);
        for slice in 0..slices {
            writeln!(out, "  slice{}:\n    members:", slice + 1)?;
            let mut written = 0;
            self.population.members(slice, &mut |member| {
                written += 1;
                writeln!(out, "      - {member}")
            })?;
            let more = elsewhere / slices + u32::from(slice < elsewhere % slices);
            for member in 0..more {
                writeln!(out, "      - {}", Elsewhere(member * slices + slice))?;
            }
            if written + more == 0 {
                writeln!(out, "      []")?;
            }
        }
        if self.filters > 0 {
            writeln!(out, "filters:")?;
        }
        for filter in 0..self.filters {
            writeln!(out, "  - {}", Filter(filter))?;
        }
        Ok(())
    }

    /// How many members the hosts of the load make.
    fn members_here(&self) -> u32 {
        let mut count = 0;
        for slice in 0..self.population.slices() {
            // Counting does not fail.
            let _ = self.population.members(slice, &mut |_| {
                count += 1;
                Ok(())
            });
        }
        count
    }
}

impl Population {
    /// Shows each member of a slice, as YAML has it. Hosts that a port admits are one member.
    fn members(
        &self,
        slice: u32,
        show: &mut dyn FnMut(fmt::Arguments<'_>) -> fmt::Result,
    ) -> fmt::Result {
        for (switch, hosts) in self.groups(slice) {
            let dpid = self.dpid(switch);
            let mut ports = Vec::new();
            for host in hosts.map(|host| self.host(switch, host)) {
                let (mac, port) = (host.mac, host.port.0);
                match host.binding {
                    Binding::Mac => show(format_args!("{{mac: \"{mac}\"}}"))?,
                    Binding::PortMac => {
                        show(format_args!("{{port: {dpid}/{port}, mac: \"{mac}\"}}"))?;
                    }
                    Binding::Port if ports.contains(&port) => {}
                    Binding::Port => {
                        ports.push(port);
                        show(format_args!("{{port: {dpid}/{port}}}"))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A member that is nowhere.
struct Elsewhere(u32);

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Elsewhere(number) = *self;
        let mac = MacAddr::from_u64(ELSEWHERE | u64::from(number));
        let dpid = ELSEWHERE_SWITCHES + number / ELSEWHERE_PORTS;
        let port = 1 + number % ELSEWHERE_PORTS;
        match number % 3 {
            0 => write!(f, "{{mac: \"{mac}\"}}"),
            1 => write!(f, "{{port: {dpid:#x}/{port}, mac: \"{mac}\"}}"),
            _ => write!(f, "{{port: {dpid:#x}/{port}}}"),
        }
    }
}

/// A filter that no frame of a load meets: hosts of other addresses, other ports of UDP. They are
/// asked all the same, as there may be one for a frame in every shape.
struct Filter(u32);

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Filter(number) = *self;
        let n = number / SHAPES;
        let mac = MacAddr::from_u64(ELSEWHERE | u64::from(n));
        // 172.16.0.0/12, and from 192.0.0.0 on where it is about a network.
        let ip = std::net::Ipv4Addr::from_bits(0xac10_0000 + (n & 0xf_ffff));
        let net = std::net::Ipv4Addr::from_bits(0xc000_0000 + ((n & 0xffff) << 8));
        // Neither end of the load's datagrams is below 100 or in this range.
        let udp = 100 + n % 30_000;
        write!(f, "{{id: filter{}, priority: 100, match: {{", number + 1)?;
        match number % SHAPES {
            0 => write!(f, "eth_src: \"{mac}\""),
            1 => write!(f, "eth_dst: \"{mac}\""),
            2 => write!(f, "eth_type: ipv4, eth_src: \"{mac}\", ipv4_dst: {ip}"),
            3 => write!(f, "eth_type: ipv4, ipv4_src: {ip}"),
            4 => write!(f, "eth_type: ipv4, ipv4_dst: {net}/24"),
            5 => write!(f, "eth_type: ipv4, ipv4_src: {ip}, ipv4_dst: {net}/24"),
            6 => write!(f, "udp_dst: {udp}"),
            7 => write!(f, "udp_src: {udp}, eth_type: ipv4, ipv4_src: {ip}"),
            8 => write!(f, "udp_dst: {udp}, eth_type: ipv4, ipv4_dst: {net}/24"),
            _ => write!(f, "in_port: {}, eth_type: ipv4, ipv4_dst: {ip}", 1 + n % 1000),
        }?;
        write!(f, "}}, action: deny}}")
    }
}

#[cfg(test)]
mod tests {
    use umlaut_openflow::packet::Headers;
    use umlaut_openflow::{Attachment, FieldSet, Message, Version, Vid, decode};
    use umlaut_slice_db::{Ingress, NoTrace, OfflineNetwork, Policy, Verdict, decide};

    use super::super::population::Pairs;
    use super::super::template::Template;
    use super::*;

    fn policy(file: PolicyFile) -> Policy {
        let mut text = String::new();
        file.write(&mut text).unwrap();
        let (policy, warnings) = Policy::parse("load", &text)
            .unwrap_or_else(|mistakes| panic!("{}", mistakes[0].render(false)));
        assert!(warnings.is_empty(), "{}", warnings[0].render(false));
        policy
    }

    #[test]
    fn frames_of_the_load_are_forwarded_within_their_slice_whatever_filters_there_are() {
        let template = Template::new(Version::V1_0).unwrap();
        let mixed = [(1, 2, 1), (3, 60, 7), (2, 90, 40)]
            .map(|(switches, hosts, slices)| Population::new(switches, hosts, slices).unwrap());
        for population in mixed.into_iter().chain(mixed.map(Population::bound_by_port)) {
            let (switches, hosts) = (population.switches(), population.hosts());
            let policy = policy(PolicyFile { population, members: 2000, filters: 1000 });
            assert_eq!(policy.slices().count() as u32, population.slices());
            let mut network = OfflineNetwork::silent(&policy);
            for switch in 0..switches {
                for port in 1..=population.ports() {
                    network.add_port(population.dpid(switch), umlaut_openflow::PortNo(port));
                }
                for number in 0..hosts {
                    let host = population.host(switch, number);
                    let dpid = population.dpid(switch);
                    let at = Attachment { dpid, port: host.port, vid: Vid::Untagged };
                    network.speak(&policy, host.mac, at);
                }
            }
            for switch in 0..switches {
                let mut pairs = Pairs::new_paths(population);
                for _ in 0..hosts * 2 {
                    let pair: [u32; 2] = pairs.next().into();
                    let addresses = pair.map(|host| population.address(switch, host));
                    let [from, to] = pair.map(|host| population.host(switch, host));
                    let mut bytes = Vec::new();
                    template.put(&mut bytes, 0, None, from.port.0 as u16, addresses);
                    let (_, Message::PacketIn(packet)) = decode(&bytes).unwrap() else { panic!() };
                    let headers = &Headers::parse(&packet.data);
                    let (dpid, port) = (population.dpid(switch), packet.in_port);
                    let ingress = Ingress { dpid, port, headers };
                    let decision = decide(&policy, &network, ingress, &mut NoTrace);
                    let slice = decision.admission.as_ref().unwrap().slice;
                    assert_eq!(policy.slice_name(slice), format!("slice{}", from.slice + 1));
                    let at = Attachment { dpid, port: to.port, vid: Vid::Untagged };
                    assert_eq!(decision.verdict, Verdict::Forward { to: at }, "{from:?} {to:?}");
                    // Every shape was asked.
                    for field in [FieldSet::ETH_SRC, FieldSet::IPV4_SRC, FieldSet::TP_DST] {
                        assert!(decision.reads.contains(field));
                    }
                }
            }
        }
    }

    #[test]
    fn it_is_as_large_as_is_asked() {
        let population = Population::new(2, 20, 3).unwrap();
        for (members, filters) in [(0, 0), (100, 10), (1000, 1)] {
            let file = PolicyFile { population, members, filters };
            let policy = policy(file);
            let count: usize = policy.slices().map(|(id, _)| policy.members(id).count()).sum();
            assert_eq!(count as u32, members.max(file.members_here()));
            let mut text = String::new();
            file.write(&mut text).unwrap();
            assert_eq!(text.matches("action: deny").count() as u32, filters);
        }
    }
}

//! Who reaches whom in a lab. Runtime: it waits.

use std::time::{Duration, Instant};

use umlaut_openflow::{MacAddr, build};

use super::Lab;
use super::counters::PROBE;
use crate::layout::{ARP, IPV4, VLAN};
use crate::network::Reach;
use crate::topology::HostSpec;

/// How often hosts speak.
const ATTEMPT: Duration = Duration::from_millis(200);
/// The EtherType of hosts without IPv4 addresses (local experimental 1, IEEE 802 §9.2.3).
const EXPERIMENTAL: u16 = 0x88b5;
/// UDP port of probes.
const PORT: u16 = 35_353;

impl Lab {
    /// Who can send to whom: hosts that have a place announce themselves by broadcast and try each
    /// other by unicast, again and again, until all pairs are reached, no new pair is for `quiet`,
    /// `patience` is over, or `go_on` says no. Pairs in the order of the topology. What is sent for
    /// this is not counted; what hosts answer is.
    pub fn reachability(
        &self,
        quiet: Duration,
        patience: Duration,
        go_on: impl Fn() -> bool,
    ) -> Vec<Reach> {
        let hosts = &self.plan.topology.hosts;
        let placed: Vec<usize> =
            (0..hosts.len()).filter(|host| hosts[*host].at.is_some()).collect();
        let pairs = placed.iter().flat_map(|from| placed.iter().map(move |to| (*from, *to)));
        let pairs: Vec<(usize, usize)> = pairs.filter(|(from, to)| from != to).collect();
        let mut reached = vec![false; pairs.len()];
        let end = Instant::now() + patience;
        let mut progress = Instant::now();
        self.counters.forget_probes();
        while reached.contains(&false) && go_on() {
            let now = Instant::now();
            if now >= end || now >= progress + quiet {
                break;
            }
            // A frame that cannot be sent is one that does not arrive.
            for host in &placed {
                let _ = self.ground.transmit(*host, &announcement(&hosts[*host]));
            }
            for (index, (from, to)) in pairs.iter().enumerate() {
                if !reached[index] {
                    let probe = probe(&hosts[*from], &hosts[*to], index as u64);
                    let _ = self.ground.transmit(*from, &probe);
                }
            }
            let limit = ATTEMPT.min(end.min(progress + quiet).saturating_duration_since(now));
            let until = now + limit;
            loop {
                self.ground.count();
                for token in self.counters.probes(until) {
                    if let Some(place @ false) = reached.get_mut(token as usize) {
                        *place = true;
                        progress = Instant::now();
                    }
                }
                if !reached.contains(&false) || Instant::now() >= until {
                    break;
                }
            }
        }
        let name = |host: usize| hosts[host].name.clone();
        let pairs = pairs.iter().zip(&reached);
        pairs
            .map(|((from, to), reached)| Reach {
                from: name(*from),
                to: name(*to),
                reached: *reached,
            })
            .collect()
    }
}

fn frame(from: &HostSpec, dst: MacAddr, eth_type: u16, payload: &[u8]) -> Vec<u8> {
    let tag = from.vlan.map(|vid| (VLAN, vid.number()));
    let mut frame = build::ethernet(dst, from.mac, tag.as_slice(), eth_type, payload);
    frame.resize(frame.len().max(60), 0);
    frame
}

/// An ARP announcement (RFC 5227 §3), or without an IPv4 address a frame that says nothing.
fn announcement(host: &HostSpec) -> Vec<u8> {
    match host.ipv4 {
        Some(ip) => {
            let arp = build::arp(1, host.mac, ip, MacAddr::ZERO, ip);
            frame(host, MacAddr::BROADCAST, ARP, &arp)
        }
        None => frame(host, MacAddr::BROADCAST, EXPERIMENTAL, b"umlaut announcement"),
    }
}

/// A frame that can be told from all others: UDP if both have IPv4 addresses.
fn probe(from: &HostSpec, to: &HostSpec, token: u64) -> Vec<u8> {
    let payload = [&PROBE[..], &token.to_be_bytes()].concat();
    match (from.ipv4, to.ipv4) {
        (Some(src), Some(dst)) => {
            frame(from, to.mac, IPV4, &build::udp(src, dst, PORT, PORT, &payload))
        }
        _ => frame(from, to.mac, EXPERIMENTAL, &payload),
    }
}

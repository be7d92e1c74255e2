//! A simple router: IPv4 between the ports of a switch, with ARP, ICMP echo and ICMP errors. Pure.
//!
//! A frame for another network is sent on here, and on switches of 1.3 the following ones by an
//! entry. 1.0 cannot count hops down: there every frame comes to the controller.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use umlaut_controller::{App, Context, Policy, Switch};
use umlaut_openflow::packet::{Field, Headers, Tag, build};
use umlaut_openflow::{
    Action, AsyncConfig, Cookie, DatapathId, FlowMod, MacAddr, Match, PacketIn, PortNo, Version,
};

use super::config::{Network, parsed, parsed_if_given};

/// How long an address is remembered.
const ARP_AGE: Duration = Duration::from_secs(300);
/// Addresses that are remembered. When there are as many, all are forgotten and asked for again.
const ARP_ENTRIES: usize = 1 << 16;
/// How often an address is asked for, and how long each answer may take.
const ARP_TRIES: u32 = 3;
const ARP_PATIENCE: Duration = Duration::from_secs(1);
/// Packets that wait for one address. When there are as many, the oldest is dropped.
const WAITING_PACKETS: usize = 16;
/// Addresses that are waited for. Packets for a further one are dropped.
const WAITING_ADDRESSES: usize = 1024;
/// Seconds until an entry ends: it is decided again then.
const HARD_TIMEOUT: u16 = 60;
/// Names the timer of questions that wait for an answer.
const RETRY: &str = "retry";

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const ICMP: u8 = 1;
const ARP_REQUEST: u16 = 1;
const ARP_REPLY: u16 = 2;
/// Length of an IPv4 header without options, and what of its packet an ICMP error quotes (RFC 792).
const HEADER: usize = 20;
const QUOTED: usize = 8;
const TTL: usize = 8;
const CHECKSUM: usize = 10;

/// ICMP errors: type and code (RFC 792).
const NETWORK_UNREACHABLE: (u8, u8) = (3, 0);
const HOST_UNREACHABLE: (u8, u8) = (3, 1);
const TIME_EXCEEDED: (u8, u8) = (11, 0);

/// Interfaces and routes, in a file:
///
/// ```yaml
/// interfaces:
/// - {port: 1, mac: "02:00:00:00:00:01", address: 192.168.1.1/24}
/// - {port: 2, mac: "02:00:00:00:00:02", address: 192.168.2.1/24}
/// routes:
/// - {to: 0.0.0.0/0, via: 192.168.2.254}
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "Written")]
pub struct Config {
    switch: Option<DatapathId>,
    interfaces: Vec<Interface>,
    routes: Vec<Route>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The switch that is the router; every switch is one if it is not given.
    #[serde(default, deserialize_with = "parsed_if_given")]
    switch: Option<DatapathId>,
    interfaces: Vec<Interface>,
    #[serde(default)]
    routes: Vec<Route>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Interface {
    port: u32,
    #[serde(deserialize_with = "parsed")]
    mac: MacAddr,
    address: Network,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    to: Network,
    via: Ipv4Addr,
}

impl TryFrom<Written> for Config {
    type Error = String;

    fn try_from(written: Written) -> Result<Config, String> {
        let Written { switch, interfaces, routes } = written;
        for (at, one) in interfaces.iter().enumerate() {
            if one.mac.is_group() || one.mac.is_zero() {
                return Err(format!("simple-router: {} is no address of an interface", one.mac));
            }
            for other in &interfaces[..at] {
                if one.port == other.port {
                    return Err(format!("simple-router: port {} has two interfaces", one.port));
                }
                if one.address.contains(other.address.address)
                    || other.address.contains(one.address.address)
                {
                    return Err(format!(
                        "simple-router: the networks of ports {} and {} overlap",
                        other.port, one.port
                    ));
                }
            }
        }
        for route in &routes {
            if !interfaces.iter().any(|interface| interface.address.contains(route.via)) {
                return Err(format!(
                    "simple-router: {} is in no network of an interface",
                    route.via
                ));
            }
        }
        Ok(Config { switch, interfaces, routes })
    }
}

impl Interface {
    fn ip(&self) -> Ipv4Addr {
        self.address.address
    }

    fn port(&self) -> PortNo {
        PortNo(self.port)
    }
}

impl Config {
    fn at(&self, port: PortNo) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.port() == port)
    }

    /// The interface and the next hop of an address: itself in a connected network, else the gateway
    /// of the longest prefix, the first among equals.
    fn next_hop(&self, to: Ipv4Addr) -> Option<(&Interface, Ipv4Addr)> {
        let connected = |hop| self.interfaces.iter().find(|i| i.address.contains(hop));
        if let Some(interface) = connected(to) {
            return Some((interface, to));
        }
        let fitting = self.routes.iter().rev().filter(|route| route.to.contains(to));
        let route = fitting.max_by_key(|route| route.to.prefix)?;
        Some((connected(route.via)?, route.via))
    }
}

/// An address on a switch.
type Neighbour = (DatapathId, Ipv4Addr);

struct Question {
    port: PortNo,
    tries: u32,
    next: Instant,
    /// IPv4 packets, with the port that they came from.
    packets: VecDeque<(PortNo, Vec<u8>)>,
}

#[derive(Default)]
struct Arp {
    known: HashMap<Neighbour, (MacAddr, Instant)>,
    asked: HashMap<Neighbour, Question>,
}

/// The application.
pub struct SimpleRouter {
    config: Config,
    arp: Mutex<Arp>,
}

impl SimpleRouter {
    /// A router with these interfaces.
    pub fn new(config: Config) -> SimpleRouter {
        SimpleRouter { config, arp: Mutex::default() }
    }

    fn arp(&self) -> MutexGuard<'_, Arp> {
        // What a panic leaves is at worst an address too few, which is asked for again.
        self.arp.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serves(&self, dpid: DatapathId) -> bool {
        self.config.switch.is_none_or(|only| only == dpid)
    }

    // ---- ARP ----

    fn arp_in<P: Policy>(
        &self,
        sw: &mut Switch,
        cx: &Context<'_, P>,
        interface: &Interface,
        headers: &Headers,
    ) {
        let (Field::Is(op), Field::Is(sha), Field::Is(spa), Field::Is(tpa)) =
            (headers.arp_op, headers.arp_sha, headers.arp_spa, headers.arp_tpa)
        else {
            return;
        };
        if tpa != interface.ip() || !interface.address.contains(spa) || spa == interface.ip() {
            return;
        }
        self.learn(sw, cx, interface, spa, sha);
        if op == ARP_REQUEST {
            let reply = build::arp(ARP_REPLY, interface.mac, interface.ip(), sha, spa);
            send(sw, interface, sha, ARP, &reply);
        }
    }

    /// Notes where an address is, and sends what waited for it.
    fn learn<P: Policy>(
        &self,
        sw: &mut Switch,
        cx: &Context<'_, P>,
        interface: &Interface,
        address: Ipv4Addr,
        mac: MacAddr,
    ) {
        let neighbour = (sw.dpid(), address);
        let mut arp = self.arp();
        if arp.known.len() >= ARP_ENTRIES {
            arp.known.clear();
        }
        let before = arp.known.insert(neighbour, (mac, cx.now));
        let question = arp.asked.remove(&neighbour);
        drop(arp);
        if before.is_some_and(|(old, _)| old != mac) {
            // Entries have their next hop as a cookie.
            let to_it = FlowMod { cookie_mask: u32::MAX.into(), ..FlowMod::delete(Match::new()) };
            let _ = sw.flow_mod(to_it.cookie(cookie(address)));
        }
        for (_, packet) in question.into_iter().flat_map(|question| question.packets) {
            pass_on(sw, interface, mac, &packet);
        }
    }

    /// Keeps a packet until the address of its next hop is known.
    fn ask<P: Policy>(
        &self,
        sw: &mut Switch,
        cx: &Context<'_, P>,
        (interface, hop): (&Interface, Ipv4Addr),
        in_port: PortNo,
        packet: Vec<u8>,
    ) {
        let mut arp = self.arp();
        let neighbour = (sw.dpid(), hop);
        if !arp.asked.contains_key(&neighbour) {
            if arp.asked.len() >= WAITING_ADDRESSES {
                return;
            }
            let next = cx.now + ARP_PATIENCE;
            let port = interface.port();
            let question = Question { port, tries: 1, next, packets: VecDeque::new() };
            arp.asked.insert(neighbour, question);
            who_has(sw, interface, hop);
            let _ = cx.after(RETRY, ARP_PATIENCE);
        }
        if let Some(question) = arp.asked.get_mut(&neighbour) {
            if question.packets.len() >= WAITING_PACKETS {
                question.packets.pop_front();
            }
            question.packets.push_back((in_port, packet));
        }
    }

    // ---- IPv4 ----

    fn ipv4_in<P: Policy>(
        &self,
        sw: &mut Switch,
        cx: &Context<'_, P>,
        interface: &Interface,
        mut packet: Vec<u8>,
    ) {
        let Some((src, dst)) = valid(&mut packet) else { return };
        if self.config.interfaces.iter().any(|own| own.ip() == dst) {
            if let Some(reply) = echo_reply(&packet, src, dst) {
                self.answer(sw, cx, interface, src, reply);
            }
            return;
        }
        if packet[TTL] <= 1 {
            return self.refuse(sw, cx, interface, &packet, TIME_EXCEEDED);
        }
        let Some((out, hop)) = self.config.next_hop(dst) else {
            return self.refuse(sw, cx, interface, &packet, NETWORK_UNREACHABLE);
        };
        packet[TTL] -= 1;
        set_checksum(&mut packet);
        match self.known(sw.dpid(), hop, cx.now) {
            Some(mac) => {
                install(sw, interface, out, (hop, mac), dst);
                pass_on(sw, out, mac, &packet);
            }
            None => self.ask(sw, cx, (out, hop), interface.port(), packet),
        }
    }

    fn known(&self, dpid: DatapathId, address: Ipv4Addr, now: Instant) -> Option<MacAddr> {
        let arp = self.arp();
        let (mac, since) = arp.known.get(&(dpid, address))?;
        (now.saturating_duration_since(*since) < ARP_AGE).then_some(*mac)
    }

    /// Sends a packet of the router's own.
    fn answer<P: Policy>(
        &self,
        sw: &mut Switch,
        cx: &Context<'_, P>,
        interface: &Interface,
        to: Ipv4Addr,
        packet: Vec<u8>,
    ) {
        let Some((out, hop)) = self.config.next_hop(to) else { return };
        match self.known(sw.dpid(), hop, cx.now) {
            Some(mac) => pass_on(sw, out, mac, &packet),
            None => self.ask(sw, cx, (out, hop), interface.port(), packet),
        }
    }

    /// Tells the sender of a packet that it goes no further.
    fn refuse<P: Policy>(
        &self,
        sw: &mut Switch,
        cx: &Context<'_, P>,
        interface: &Interface,
        packet: &[u8],
        why: (u8, u8),
    ) {
        if let Some((to, error)) = icmp_error(interface, packet, why) {
            self.answer(sw, cx, interface, to, error);
        }
    }

    /// The same for a packet that waited in vain, if the way to its sender is known.
    fn refuse_unreached<P: Policy>(
        &self,
        cx: &Context<'_, P>,
        dpid: DatapathId,
        interface: &Interface,
        packet: &[u8],
    ) {
        let Some((to, error)) = icmp_error(interface, packet, HOST_UNREACHABLE) else { return };
        let Some((&out, hop)) = self.config.next_hop(to) else { return };
        if let Some(mac) = self.known(dpid, hop, cx.now) {
            let _ = cx.on_switch(dpid, move |sw| pass_on(sw, &out, mac, &error));
        }
    }
}

impl<P: Policy> App<P> for SimpleRouter {
    /// Switches of 1.3 are asked for packets whose hops run out in an entry; those that know no such
    /// thing drop them.
    fn switch_ready(&self, sw: &mut Switch, _: &Context<'_, P>) {
        if sw.version() != Version::V1_0 && self.serves(sw.dpid()) {
            let config = AsyncConfig {
                packet_in: [0b111, 0],
                port_status: [0b111, 0b111],
                flow_removed: [0b1111, 0],
            };
            let _ = sw.set_async(config);
        }
    }

    fn switch_gone(&self, dpid: DatapathId, _: &Context<'_, P>) {
        let mut arp = self.arp();
        arp.known.retain(|(at, _), _| *at != dpid);
        arp.asked.retain(|(at, _), _| *at != dpid);
    }

    fn packet_in(&self, sw: &mut Switch, cx: &Context<'_, P>, packet: &PacketIn<'_>) {
        if !self.serves(sw.dpid()) {
            return;
        }
        let Some(interface) = self.config.at(packet.in_port) else { return };
        let headers = Headers::parse(&packet.data);
        let to_us = headers.eth_dst == interface.mac;
        match headers.eth_type {
            _ if headers.tag != Tag::None || headers.stacked => {}
            Field::Is(ARP) if to_us || headers.eth_dst == MacAddr::BROADCAST => {
                self.arp_in(sw, cx, interface, &headers);
            }
            // The Ethernet header has 14 bytes: it is untagged and has an EtherType.
            Field::Is(IPV4) if to_us => self.ipv4_in(sw, cx, interface, packet.data[14..].to_vec()),
            _ => {}
        }
    }

    /// Asks again for addresses that were not told; gives up after some tries.
    fn timer(&self, cx: &Context<'_, P>, _: &str) {
        let mut arp = self.arp();
        let mut again = Vec::new();
        let mut silent = Vec::new();
        arp.asked.retain(|neighbour, question| {
            if question.next > cx.now {
                return true;
            }
            let Some(interface) = self.config.at(question.port).copied() else { return false };
            question.tries += 1;
            question.next = cx.now + ARP_PATIENCE;
            if question.tries <= ARP_TRIES {
                again.push((*neighbour, interface));
                return true;
            }
            silent.push((neighbour.0, std::mem::take(&mut question.packets)));
            false
        });
        if let Some(next) = arp.asked.values().map(|question| question.next).min() {
            let _ = cx.after(RETRY, next.saturating_duration_since(cx.now));
        }
        drop(arp);
        for ((dpid, address), interface) in again {
            let _ = cx.on_switch(dpid, move |sw| who_has(sw, &interface, address));
        }
        for (dpid, packets) in silent {
            for (in_port, packet) in packets {
                if let Some(interface) = self.config.at(in_port) {
                    self.refuse_unreached(cx, dpid, interface, &packet);
                }
            }
        }
    }
}

/// The cookie of the entries to a next hop.
fn cookie(hop: Ipv4Addr) -> Cookie {
    Cookie(u32::from(hop).into())
}

fn send(sw: &mut Switch, out: &Interface, dst: MacAddr, eth_type: u16, payload: &[u8]) {
    // Every version can express an output.
    let _ = sw.send_out(out.port(), &build::ethernet(dst, out.mac, &[], eth_type, payload));
}

fn who_has(sw: &mut Switch, out: &Interface, address: Ipv4Addr) {
    let request = build::arp(ARP_REQUEST, out.mac, out.ip(), MacAddr::ZERO, address);
    send(sw, out, MacAddr::BROADCAST, ARP, &request);
}

fn pass_on(sw: &mut Switch, out: &Interface, to: MacAddr, packet: &[u8]) {
    send(sw, out, to, IPV4, packet);
}

/// The following packets to this address go by an entry, where hops can be counted down.
fn install(
    sw: &mut Switch,
    came: &Interface,
    out: &Interface,
    (hop, mac): (Ipv4Addr, MacAddr),
    dst: Ipv4Addr,
) {
    if sw.version() == Version::V1_0 {
        return;
    }
    let matches = Match::new().in_port(came.port()).eth_dst(came.mac).ipv4_dst(dst);
    // The port is said otherwise if it is the one where they come in.
    let port = if out.port == came.port { PortNo::IN_PORT } else { out.port() };
    let actions = vec![
        Action::DecNwTtl,
        Action::set_eth_src(out.mac),
        Action::set_eth_dst(mac),
        Action::output(port),
    ];
    let entry = FlowMod::add(matches).timeouts(0, HARD_TIMEOUT).cookie(cookie(hop)).apply(actions);
    let _ = sw.flow_mod(entry);
}

fn header_length(packet: &[u8]) -> usize {
    usize::from(packet[0] & 15) * 4
}

/// The addresses of a packet that may be routed; padding behind it is cut off. `None`: its header is
/// broken, or its addresses are no hosts'.
fn valid(packet: &mut Vec<u8>) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let header = packet.first().filter(|first| **first >> 4 == 4).map(|_| header_length(packet))?;
    let length = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    if header < HEADER || length < header || packet.len() < length {
        return None;
    }
    packet.truncate(length);
    let address =
        |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
    let (src, dst) = (address(12), address(16));
    let host = |a: Ipv4Addr| {
        !(a.is_unspecified() || a.is_multicast() || a.is_broadcast() || a.is_loopback())
    };
    (build::checksum(&[&packet[..header]]) == 0 && host(src) && host(dst)).then_some((src, dst))
}

fn set_checksum(packet: &mut [u8]) {
    let header = header_length(packet);
    packet[CHECKSUM..CHECKSUM + 2].fill(0);
    let sum = build::checksum(&[&packet[..header]]);
    packet[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
}

/// The answer to an ICMP echo request.
fn echo_reply(packet: &[u8], src: Ipv4Addr, dst: Ipv4Addr) -> Option<Vec<u8>> {
    const ECHO: u8 = 8;
    const ECHO_REPLY: u8 = 0;
    if packet[9] != ICMP {
        return None;
    }
    let icmp = packet.get(header_length(packet)..).filter(|icmp| icmp.len() >= 8)?;
    if icmp[0] != ECHO || build::checksum(&[icmp]) != 0 {
        return None;
    }
    let mut reply = icmp.to_vec();
    reply[..4].copy_from_slice(&[ECHO_REPLY, 0, 0, 0]);
    let sum = build::checksum(&[&reply]);
    reply[2..4].copy_from_slice(&sum.to_be_bytes());
    Some(build::ipv4(ICMP, dst, src, &reply))
}

/// The ICMP error that a valid packet is answered with, and to whom. None to later fragments and to
/// ICMP other than echo (RFC 1812 §4.3.2.7).
fn icmp_error(
    interface: &Interface,
    packet: &[u8],
    (kind, code): (u8, u8),
) -> Option<(Ipv4Addr, Vec<u8>)> {
    let header = header_length(packet);
    let later_fragment = u16::from_be_bytes([packet[6] & 0x1f, packet[7]]) != 0;
    let is_echo = matches!(packet.get(header), Some(0 | 8));
    if later_fragment || (packet[9] == ICMP && !is_echo) {
        return None;
    }
    let mut icmp = vec![kind, code, 0, 0, 0, 0, 0, 0];
    icmp.extend(&packet[..packet.len().min(header + QUOTED)]);
    let sum = build::checksum(&[&icmp]);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let src = Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15]);
    Some((src, build::ipv4(ICMP, interface.ip(), src, &icmp)))
}

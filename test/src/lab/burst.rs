//! The frames that a host is told to send. Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

use umlaut_openflow::{MacAddr, VlanId, build};

use crate::layout::{ARP, IPV4, IPV6, VLAN};
use crate::topology::HostSpec;

/// The EtherType of hosts that have no IP address (local experimental 1, IEEE 802 §9.2.3).
const EXPERIMENTAL: u16 = 0x88b5;
/// The longest payload: what an Ethernet frame carries behind headers of IPv6 and TCP.
pub const LONGEST: u16 = 1440;
/// The shortest frame without its check sequence.
const SHORTEST: usize = 60;
/// A segment that asks for a connection.
const SYN: u8 = 0x02;

/// What kind of frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// UDP datagrams.
    Udp,
    /// TCP segments with SYN.
    Tcp,
    /// ICMP echo requests.
    Icmp,
    /// ARP requests for the receiver's address, by broadcast.
    Arp,
    /// UDP datagrams to everybody.
    Broadcast,
}

/// What frames look like, and how they differ from each other. An `inc_` of N makes the field take
/// N values one after another, beginning with its own, and then again from there; 0 and 1: the field
/// stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Burst {
    /// What kind. `None`: UDP, or frames of an experimental EtherType if a host has no IP address.
    pub kind: Option<Kind>,
    /// Bytes of payload behind the last header.
    pub length: u16,
    /// The sender's port; of ICMP the identifier.
    pub tp_src: u16,
    /// The receiver's port.
    pub tp_dst: u16,
    /// Values of the sender's IP address.
    pub inc_ip_src: u32,
    /// Values of the receiver's IP address.
    pub inc_ip_dst: u32,
    /// Values of the sender's port.
    pub inc_tp_src: u32,
    /// Values of the receiver's port.
    pub inc_tp_dst: u32,
    /// Values of the payload: a number in its first bytes.
    pub inc_payload: u32,
    /// The VLAN: the host's own, another one, or (`Some(None)`) untagged.
    pub vlan: Option<Option<VlanId>>,
}

impl Default for Burst {
    /// UDP with 22 bytes from port 1 to port 1.
    fn default() -> Burst {
        Burst {
            kind: None,
            length: 22,
            tp_src: 1,
            tp_dst: 1,
            inc_ip_src: 0,
            inc_ip_dst: 0,
            inc_tp_src: 0,
            inc_tp_dst: 0,
            inc_payload: 0,
            vlan: None,
        }
    }
}

/// Why there are no such frames.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoBurst {
    /// Somebody must be there to speak to.
    #[error("who is to receive them? Only broadcasts have no receiver")]
    NoReceiver,
    /// IP needs addresses.
    #[error("{0} has no IP address: give it one in the policy file (ip: …)")]
    NoAddress(String),
    /// One speaks IPv4, the other IPv6.
    #[error("{0} has an IPv4 address and {1} an IPv6 address")]
    Families(String, String),
    /// ARP and ICMP to everybody are for IPv4.
    #[error("{0} has no IPv4 address")]
    NoIpv4(String),
    /// It would not fit a frame.
    #[error("a payload has at most {LONGEST} bytes, not {0}")]
    TooLong(u16),
    /// Without IP there are no such fields.
    #[error("{0} has no IP address: there are no addresses and ports that could be counted up")]
    NothingToCount(String),
}

/// Addresses of both ends.
#[derive(Clone, Copy, Debug)]
enum Ends {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
    None,
}

/// Frames, by their number.
#[derive(Clone, Debug)]
pub struct Frames {
    burst: Burst,
    kind: Kind,
    src: MacAddr,
    dst: MacAddr,
    ends: Ends,
    vlan: Option<VlanId>,
}

impl Burst {
    /// The frames that one host sends another.
    ///
    /// # Errors
    /// [`NoBurst`].
    pub fn frames(&self, from: &HostSpec, to: Option<&HostSpec>) -> Result<Frames, NoBurst> {
        if self.length > LONGEST {
            return Err(NoBurst::TooLong(self.length));
        }
        let kind = self.kind.unwrap_or(if to.is_none() { Kind::Broadcast } else { Kind::Udp });
        let (ends, dst) = match (kind, to) {
            (Kind::Broadcast, _) if self.kind.is_none() => return Err(NoBurst::NoReceiver),
            (Kind::Broadcast, _) => match (from.ipv4, from.ipv6) {
                (None, Some(_)) => return Err(NoBurst::NoIpv4(from.name.clone())),
                (Some(ip), _) => (Ends::V4(ip, Ipv4Addr::BROADCAST), MacAddr::BROADCAST),
                (None, None) => (Ends::None, MacAddr::BROADCAST),
            },
            (_, None) => return Err(NoBurst::NoReceiver),
            (Kind::Arp, Some(to)) => match (from.ipv4, to.ipv4) {
                (None, _) => return Err(NoBurst::NoIpv4(from.name.clone())),
                (_, None) => return Err(NoBurst::NoIpv4(to.name.clone())),
                (Some(src), Some(dst)) => (Ends::V4(src, dst), MacAddr::BROADCAST),
            },
            (_, Some(to)) => (self.unicast(from, to)?, to.mac),
        };
        let counts = [self.inc_ip_src, self.inc_ip_dst, self.inc_tp_src, self.inc_tp_dst];
        if matches!(ends, Ends::None) && counts.iter().any(|count| *count > 1) {
            return Err(NoBurst::NothingToCount(from.name.clone()));
        }
        let vlan = self.vlan.unwrap_or(from.vlan);
        Ok(Frames { burst: self.clone(), kind, src: from.mac, dst, ends, vlan })
    }

    fn unicast(&self, from: &HostSpec, to: &HostSpec) -> Result<Ends, NoBurst> {
        if let (Some(src), Some(dst)) = (from.ipv4, to.ipv4) {
            return Ok(Ends::V4(src, dst));
        }
        if let (Some(src), Some(dst)) = (from.ipv6, to.ipv6) {
            return Ok(Ends::V6(src, dst));
        }
        let has_ip = |host: &HostSpec| host.ipv4.is_some() || host.ipv6.is_some();
        match (has_ip(from), has_ip(to)) {
            (true, true) => {
                let (v4, v6) = if from.ipv4.is_some() { (from, to) } else { (to, from) };
                Err(NoBurst::Families(v4.name.clone(), v6.name.clone()))
            }
            _ if self.kind.is_none() => Ok(Ends::None),
            (false, _) => Err(NoBurst::NoAddress(from.name.clone())),
            (true, false) => Err(NoBurst::NoAddress(to.name.clone())),
        }
    }
}

/// The number that a counted field adds in frame `number`.
fn step(number: u64, values: u32) -> u32 {
    (number % u64::from(values.max(1))) as u32
}

impl Frames {
    /// The frame with this number, from 0.
    pub fn frame(&self, number: u64) -> Vec<u8> {
        let burst = &self.burst;
        let tp_src = burst.tp_src.wrapping_add(step(number, burst.inc_tp_src) as u16);
        let tp_dst = burst.tp_dst.wrapping_add(step(number, burst.inc_tp_dst) as u16);
        let (add_src, add_dst) = (step(number, burst.inc_ip_src), step(number, burst.inc_ip_dst));
        let payload = payload(burst.length, step(number, burst.inc_payload));
        let v4 = |ip: Ipv4Addr, add: u32| Ipv4Addr::from(u32::from(ip).wrapping_add(add));
        let v6 = |ip: Ipv6Addr, add: u32| Ipv6Addr::from(u128::from(ip).wrapping_add(add.into()));
        let (eth_type, packet) = match self.ends {
            Ends::V4(src, dst) => {
                let (src, dst) = (v4(src, add_src), v4(dst, add_dst));
                match self.kind {
                    Kind::Udp => (IPV4, build::udp(src, dst, tp_src, tp_dst, &payload)),
                    // Everybody stays everybody.
                    Kind::Broadcast => {
                        let everybody = Ipv4Addr::BROADCAST;
                        (IPV4, build::udp(src, everybody, tp_src, tp_dst, &payload))
                    }
                    Kind::Tcp => (IPV4, build::tcp(src, dst, tp_src, tp_dst, SYN, &payload)),
                    Kind::Icmp => {
                        let echo = build::icmp_echo(8, src, dst, tp_src, number as u16, &payload);
                        (IPV4, echo)
                    }
                    Kind::Arp => (ARP, build::arp(1, self.src, src, MacAddr::ZERO, dst)),
                }
            }
            Ends::V6(src, dst) => {
                let (src, dst) = (v6(src, add_src), v6(dst, add_dst));
                match self.kind {
                    Kind::Tcp => (IPV6, build::tcp6(src, dst, tp_src, tp_dst, SYN, &payload)),
                    Kind::Icmp => {
                        let echo =
                            build::icmpv6_echo(128, src, dst, tp_src, number as u16, &payload);
                        (IPV6, echo)
                    }
                    // The other kinds have addresses of IPv4 or none.
                    Kind::Udp | Kind::Broadcast | Kind::Arp => {
                        (IPV6, build::udp6(src, dst, tp_src, tp_dst, &payload))
                    }
                }
            }
            Ends::None => (EXPERIMENTAL, payload),
        };
        let tag = self.vlan.map(|vid| (VLAN, vid.number()));
        let mut frame = build::ethernet(self.dst, self.src, tag.as_slice(), eth_type, &packet);
        frame.resize(frame.len().max(SHORTEST), 0);
        frame
    }
}

/// A payload of this length that begins with a number, as far as it fits.
fn payload(length: u16, number: u32) -> Vec<u8> {
    let mut payload = vec![0; length.into()];
    let bytes = number.to_be_bytes();
    // Of a payload that is shorter, the low end.
    let fits = payload.len().min(bytes.len());
    payload[..fits].copy_from_slice(&bytes[bytes.len() - fits..]);
    payload
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Network, bytes_at, layout, u16_at};

    fn host(number: u64, ipv4: bool, ipv6: bool) -> HostSpec {
        let low = number as u16;
        HostSpec {
            ipv4: ipv4.then(|| Ipv4Addr::new(192, 168, 0, number as u8)),
            ipv6: ipv6.then(|| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, low)),
            ..HostSpec::new(format!("h{number}"), MacAddr::from_u64(number))
        }
    }

    /// Addresses and ports of a frame over IPv4, and the number that its payload begins with.
    fn over_ipv4(frame: &[u8]) -> (u8, u8, u16, u16, u32) {
        let found = layout(frame).unwrap();
        let (Network::Ipv4(at), Some(ports)) = (found.network, found.transport) else {
            panic!("{found:?}")
        };
        let number = u32::from_be_bytes(bytes_at(frame, ports + 8));
        (frame[at + 15], frame[at + 19], u16_at(frame, ports), u16_at(frame, ports + 2), number)
    }

    #[test]
    fn fields_take_their_values_in_turn() {
        let burst = Burst {
            tp_src: 7,
            tp_dst: 65535,
            inc_ip_src: 2,
            inc_ip_dst: 3,
            inc_tp_src: 1,
            inc_tp_dst: 2,
            inc_payload: 4,
            ..Burst::default()
        };
        let frames = burst.frames(&host(1, true, false), Some(&host(9, true, false))).unwrap();
        let fields: Vec<_> = (0..5).map(|number| over_ipv4(&frames.frame(number))).collect();
        assert_eq!(
            fields,
            [
                (1, 9, 7, 65535, 0),
                (2, 10, 7, 0, 1),
                (1, 11, 7, 65535, 2),
                (2, 9, 7, 0, 3),
                (1, 10, 7, 65535, 0),
            ]
        );
        let still = Burst::default().frames(&host(1, true, false), Some(&host(2, true, false)));
        let still = still.unwrap();
        assert_eq!(still.frame(0), still.frame(1_000_000_007));
        assert_eq!(over_ipv4(&still.frame(0)), (1, 2, 1, 1, 0));
        // Ethernet, IP, UDP, 22 bytes: above the shortest frame.
        assert_eq!(still.frame(0).len(), 14 + 20 + 8 + 22);
    }

    #[test]
    fn payloads_have_their_length_and_begin_with_their_number() {
        assert_eq!(payload(6, 0x01020304), [1, 2, 3, 4, 0, 0]);
        assert_eq!(payload(2, 0x01020304), [3, 4]);
        assert!(payload(0, 7).is_empty());
    }

    #[test]
    fn kinds_have_their_types_and_receivers() {
        let (v4, v6, both, none) = (
            host(1, true, false),
            host(2, false, true),
            host(3, true, true),
            host(4, false, false),
        );
        let everybody = MacAddr::BROADCAST;
        // Kind, from, to; EtherType, protocol, destination.
        type Row<'a> =
            (Option<Kind>, &'a HostSpec, Option<&'a HostSpec>, Result<(u16, u8, MacAddr), NoBurst>);
        let rows: &[Row<'_>] = &[
            (None, &v4, Some(&both), Ok((IPV4, 17, both.mac))),
            (None, &v6, Some(&both), Ok((IPV6, 17, both.mac))),
            (None, &v4, Some(&none), Ok((EXPERIMENTAL, 0, none.mac))),
            (Some(Kind::Tcp), &both, Some(&v4), Ok((IPV4, 6, v4.mac))),
            (Some(Kind::Tcp), &both, Some(&v6), Ok((IPV6, 6, v6.mac))),
            (Some(Kind::Icmp), &v4, Some(&both), Ok((IPV4, 1, both.mac))),
            (Some(Kind::Icmp), &v6, Some(&both), Ok((IPV6, 58, both.mac))),
            (Some(Kind::Arp), &v4, Some(&both), Ok((ARP, 0, everybody))),
            (Some(Kind::Broadcast), &v4, None, Ok((IPV4, 17, everybody))),
            (Some(Kind::Broadcast), &none, None, Ok((EXPERIMENTAL, 0, everybody))),
            (None, &v4, None, Err(NoBurst::NoReceiver)),
            (Some(Kind::Tcp), &v4, None, Err(NoBurst::NoReceiver)),
            (None, &v6, Some(&v4), Err(NoBurst::Families("h1".into(), "h2".into()))),
            (Some(Kind::Udp), &none, Some(&v4), Err(NoBurst::NoAddress("h4".into()))),
            (Some(Kind::Udp), &v4, Some(&none), Err(NoBurst::NoAddress("h4".into()))),
            (Some(Kind::Arp), &v4, Some(&v6), Err(NoBurst::NoIpv4("h2".into()))),
            (Some(Kind::Broadcast), &v6, None, Err(NoBurst::NoIpv4("h2".into()))),
        ];
        for (kind, from, to, wanted) in rows {
            let frames = Burst { kind: *kind, ..Burst::default() }.frames(from, *to);
            let found = frames.map(|frames| {
                let frame = frames.frame(0);
                let found = layout(&frame).unwrap();
                assert_eq!(MacAddr(bytes_at(&frame, 6)), from.mac);
                assert!(frame.len() >= SHORTEST);
                (found.eth_type, found.proto, MacAddr(bytes_at(&frame, 0)))
            });
            assert_eq!(found, *wanted, "{kind:?} from {} to {:?}", from.name, to.map(|h| &h.name));
        }
        let long = Burst { length: LONGEST + 1, ..Burst::default() };
        assert_eq!(long.frames(&v4, Some(&both)).unwrap_err(), NoBurst::TooLong(LONGEST + 1));
        let longest = Burst { length: LONGEST, kind: Some(Kind::Tcp), ..Burst::default() };
        assert_eq!(longest.frames(&v6, Some(&both)).unwrap().frame(0).len(), 1514);
        let counted = Burst { inc_tp_dst: 2, ..Burst::default() };
        assert_eq!(
            counted.frames(&none, Some(&v4)).unwrap_err(),
            NoBurst::NothingToCount("h4".into())
        );
    }

    #[test]
    fn frames_are_tagged_as_the_host_is_or_as_it_is_told() {
        let mut from = host(1, true, false);
        from.vlan = VlanId::new(20);
        for (vlan, wanted) in
            [(None, Some(20)), (Some(None), None), (Some(VlanId::new(7)), Some(7))]
        {
            let burst = Burst { vlan, ..Burst::default() };
            let frame = burst.frames(&from, Some(&host(2, true, false))).unwrap().frame(0);
            assert_eq!(layout(&frame).unwrap().tag.map(|(_, tci)| tci), wanted);
        }
    }
}

//! The fields of a packet that a flow table sees, and matches over them (1.3.5 §7.2.3). Pure.
//!
//! As in Open vSwitch, packet and match are one row of bits: a match is a value and a mask, both of
//! [`LEN`] bytes, and every relation between matches (equal, covers, overlaps) is arithmetic on them.
//! Fields that cannot occur together share a place: ARP's addresses are the IPv4 addresses, ARP's
//! operation is the protocol, neighbour discovery's link-layer addresses are ARP's hardware addresses.

use umlaut_openflow::{Masked, Match, MatchField, PortNo, Version, VlanMatch};

use super::error::Refusal;
use crate::layout::{
    ARP, ICMP, ICMPV6, IGMP, IPV4, IPV6, Layout, Network, Packet, Part, RARP, SCTP, TCP, UDP,
    u16_at,
};

/// Bytes of a key.
const LEN: usize = 114;

/// A field's place in the key.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    at: usize,
    len: usize,
}

const fn place(at: usize, len: usize) -> Place {
    Place { at, len }
}

pub(crate) const IN_PORT: Place = place(0, 4);
pub(crate) const METADATA: Place = place(4, 8);
const ETH_DST: Place = place(12, 6);
const ETH_SRC: Place = place(18, 6);
pub(crate) const ETH_TYPE: Place = place(24, 2);
/// Tag control information with bit 12 as "there is a tag"; 0 without one.
pub(crate) const TCI: Place = place(26, 2);
pub(crate) const PROTO: Place = place(28, 1);
/// DSCP in the upper six bits, ECN in the lower two.
const TOS: Place = place(29, 1);
const NW_SRC: Place = place(30, 4);
const NW_DST: Place = place(34, 4);
const IPV6_SRC: Place = place(38, 16);
const IPV6_DST: Place = place(54, 16);
const FLABEL: Place = place(70, 4);
const TP_SRC: Place = place(74, 2);
const TP_DST: Place = place(76, 2);
const SHA: Place = place(78, 6);
const THA: Place = place(84, 6);
const ND_TARGET: Place = place(90, 16);
const TUNNEL_ID: Place = place(106, 8);

/// "There is a tag" in [`TCI`].
pub(crate) const TAG_PRESENT: u16 = 0x1000;

/// A row of bits: a packet's fields, a match's values, or a match's mask.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Key([u8; LEN]);

impl Key {
    const ZERO: Key = Key([0; LEN]);

    fn set(&mut self, place: Place, bytes: &[u8]) {
        self.0[place.at..place.at + place.len].copy_from_slice(bytes);
    }

    pub(crate) fn get(&self, place: Place) -> &[u8] {
        &self.0[place.at..place.at + place.len]
    }

    pub(crate) fn u16(&self, place: Place) -> u16 {
        u16_at(&self.0, place.at)
    }

    /// A number that is the same for all packets of a conversation in one direction (FNV-1a).
    pub(crate) fn conversation(&self) -> u64 {
        let fields = [ETH_SRC, ETH_DST, ETH_TYPE, PROTO, NW_SRC, NW_DST, IPV6_SRC, IPV6_DST];
        let bytes = fields.into_iter().chain([TP_SRC, TP_DST]).flat_map(|place| self.get(place));
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    pub(crate) fn and(&self, other: &Key) -> Key {
        let mut out = Key::ZERO;
        for ((o, a), b) in out.0.iter_mut().zip(self.0).zip(other.0) {
            *o = a & b;
        }
        out
    }

    fn within(&self, other: &Key) -> bool {
        self.and(other) == *self
    }
}

/// The fields of a packet that came in at `in_port`, as the tables see it.
pub(crate) fn key_of(packet: &Packet, in_port: PortNo, metadata: u64) -> Key {
    let mut key = Key::ZERO;
    key.set(IN_PORT, &in_port.0.to_be_bytes());
    key.set(METADATA, &metadata.to_be_bytes());
    let Some(found) = packet.layout() else { return key };
    let frame = &packet.bytes[..];
    key.set(ETH_DST, &frame[0..6]);
    key.set(ETH_SRC, &frame[6..12]);
    key.set(ETH_TYPE, &found.eth_type.to_be_bytes());
    if let Some((_, tci)) = found.tag {
        key.set(TCI, &(tci | TAG_PRESENT).to_be_bytes());
    }
    match found.network {
        Network::Ipv4(at) => {
            key.set(TOS, &[frame[at + 1]]);
            key.set(PROTO, &[found.proto]);
            key.set(NW_SRC, &frame[at + 12..at + 16]);
            key.set(NW_DST, &frame[at + 16..at + 20]);
        }
        Network::Ipv6(at) => {
            key.set(TOS, &[(u16_at(frame, at) >> 4) as u8]);
            key.set(PROTO, &[found.proto]);
            key.set(FLABEL, &[0, frame[at + 1] & 0xf, frame[at + 2], frame[at + 3]]);
            key.set(IPV6_SRC, &frame[at + 8..at + 24]);
            key.set(IPV6_DST, &frame[at + 24..at + 40]);
        }
        Network::Arp(at) => {
            // Only operations of one byte are seen.
            let op = u16_at(frame, at + 6);
            key.set(PROTO, &[if op < 0x100 { op as u8 } else { 0 }]);
            key.set(SHA, &frame[at + 8..at + 14]);
            key.set(NW_SRC, &frame[at + 14..at + 18]);
            key.set(THA, &frame[at + 18..at + 24]);
            key.set(NW_DST, &frame[at + 24..at + 28]);
        }
        Network::Other => {}
    }
    if let Some(at) = found.transport
        // Normal treatment of fragments: even the first one shows no ports (as Open vSwitch has it).
        && found.part == Part::Whole
    {
        transport_fields(frame, &found, at, &mut key);
    }
    key
}

fn transport_fields(frame: &[u8], found: &Layout, at: usize, key: &mut Key) {
    match found.proto {
        TCP | UDP | SCTP => {
            key.set(TP_SRC, &frame[at..at + 2]);
            key.set(TP_DST, &frame[at + 2..at + 4]);
        }
        _ => {
            let (kind, code) = (frame[at], frame[at + 1]);
            key.set(TP_SRC, &[0, kind]);
            key.set(TP_DST, &[0, code]);
            if found.proto == ICMPV6 && matches!(kind, 135 | 136) && code == 0 {
                neighbour_fields(&frame[at..], kind, key);
            }
        }
    }
}

/// Target and link-layer address option of a neighbour solicitation or advertisement (RFC 4861 §4).
fn neighbour_fields(body: &[u8], kind: u8, key: &mut Key) {
    if body.len() < 24 {
        return;
    }
    key.set(ND_TARGET, &body[8..24]);
    let mut options = &body[24..];
    while let [option, words, ..] = *options {
        let len = usize::from(words) * 8;
        if len == 0 || len > options.len() {
            return;
        }
        match (option, kind) {
            (1, 135) if len == 8 => key.set(SHA, &options[2..8]),
            (2, 136) if len == 8 => key.set(THA, &options[2..8]),
            _ => {}
        }
        options = &options[len..];
    }
}

/// What a flow entry matches: the bits under `mask` are those of `value`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Criteria {
    /// The values; zero outside the mask.
    pub(crate) value: Key,
    /// Which bits count.
    pub(crate) mask: Key,
}

impl Criteria {
    /// Matches everything.
    pub(crate) const ALL: Criteria = Criteria { value: Key::ZERO, mask: Key::ZERO };

    /// Exactly this packet.
    pub(crate) fn of_packet(key: &Key) -> Criteria {
        Criteria { value: *key, mask: Key([0xff; LEN]) }
    }

    #[cfg(test)]
    pub(crate) fn matches(&self, key: &Key) -> bool {
        key.and(&self.mask) == self.value
    }

    /// Whether every packet that `other` matches is matched by this: what a loose delete selects.
    pub(crate) fn covers(&self, other: &Criteria) -> bool {
        self.mask.within(&other.mask) && other.value.and(&self.mask) == self.value
    }

    /// Whether some packet could match both.
    pub(crate) fn overlaps(&self, other: &Criteria) -> bool {
        let common = self.mask.and(&other.mask);
        self.value.and(&common) == other.value.and(&common)
    }

    /// The exact value of a field, if all of its bits are matched.
    fn exact(&self, place: Place) -> Option<&[u8]> {
        self.mask.get(place).iter().all(|byte| *byte == 0xff).then(|| self.value.get(place))
    }

    /// The EtherType, if matched.
    pub(crate) fn eth_type(&self) -> Option<u16> {
        self.exact(ETH_TYPE).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// The IP protocol, if EtherType and protocol are matched.
    pub(crate) fn ip_proto(&self) -> Option<u8> {
        match self.eth_type() {
            Some(IPV4 | IPV6) => self.exact(PROTO).map(|bytes| bytes[0]),
            _ => None,
        }
    }

    /// Whether only frames with a tag match.
    pub(crate) fn has_tag(&self) -> bool {
        self.mask.u16(TCI) & self.value.u16(TCI) & TAG_PRESENT != 0
    }

    /// Says what a push, a pop or a set does to the tag, for the checks of later actions.
    pub(crate) fn assume_tag(&mut self, present: bool) {
        let tci = if present { TAG_PRESENT } else { 0 };
        self.value.set(TCI, &tci.to_be_bytes());
        self.mask.set(TCI, &[0xff, 0xff]);
    }

    /// The criteria of a match, and the match as the switch tells it later; or why it refuses it. In
    /// 1.0 fields without their prerequisites are dropped, later versions refuse them.
    pub(crate) fn of_match(
        version: Version,
        matches: &Match,
    ) -> Result<(Criteria, Match), Refusal> {
        let mut criteria = Criteria::ALL;
        if version == Version::V1_0 {
            let kept = criteria.of_v10(matches)?;
            return Ok((criteria, kept));
        }
        let mut seen: Vec<std::mem::Discriminant<MatchField>> = Vec::new();
        for field in matches.fields() {
            let kind = std::mem::discriminant(field);
            if seen.contains(&kind) {
                return Err(Refusal::MATCH_DUP_FIELD);
            }
            seen.push(kind);
            if !criteria.satisfies(prerequisite(field)) {
                return Err(Refusal::MATCH_BAD_PREREQ);
            }
            criteria.add(field)?;
        }
        Ok((criteria, matches.clone()))
    }

    /// 1.0 has no order of fields: first those without prerequisites, then those that now have them.
    /// Returns the fields that count, in their order.
    fn of_v10(&mut self, matches: &Match) -> Result<Match, Refusal> {
        let mut waiting: Vec<&MatchField> = matches.fields().iter().collect();
        loop {
            let before = waiting.len();
            let mut left = Vec::new();
            for field in waiting {
                // A PCP beside "no tag" is overruled by it.
                let moot = matches!(field, MatchField::VlanPcp(_)) && self.untagged_only();
                if moot {
                    continue;
                }
                if self.satisfies(prerequisite_v10(field)) {
                    self.add(&lenient(field))?;
                } else {
                    left.push(field);
                }
            }
            if left.len() == before {
                let moot =
                    |f: &MatchField| matches!(f, MatchField::VlanPcp(_)) && self.untagged_only();
                let counts = |f: &&MatchField| !left.contains(f) && !moot(f);
                return Ok(matches.fields().iter().filter(counts).map(lenient).collect());
            }
            waiting = left;
        }
    }

    fn untagged_only(&self) -> bool {
        self.mask.u16(TCI) & TAG_PRESENT != 0 && self.value.u16(TCI) & TAG_PRESENT == 0
    }

    pub(crate) fn satisfies(&self, needed: Prerequisite) -> bool {
        match needed {
            Prerequisite::None => true,
            Prerequisite::Tag => self.has_tag(),
            Prerequisite::EthType(types) => self.eth_type().is_some_and(|t| types.contains(&t)),
            Prerequisite::Proto(types, protos) => {
                self.eth_type().is_some_and(|t| types.contains(&t))
                    && self.ip_proto().is_some_and(|p| protos.contains(&p))
            }
            Prerequisite::Neighbour(kinds) => {
                self.satisfies(Prerequisite::Proto(&[IPV6], &[ICMPV6]))
                    && self.exact(TP_SRC).is_some_and(|kind| kinds.contains(&kind[1]))
                    && self.exact(TP_DST).is_some_and(|code| code == [0, 0])
            }
        }
    }

    fn exactly(&mut self, place: Place, bytes: &[u8]) -> Result<(), Refusal> {
        self.value.set(place, bytes);
        self.mask.set(place, &[0xff; 16][..place.len]);
        Ok(())
    }

    fn masked(&mut self, place: Place, value: &[u8], mask: Option<&[u8]>) -> Result<(), Refusal> {
        let Some(mask) = mask else { return self.exactly(place, value) };
        if value.iter().zip(mask).any(|(v, m)| v & !m != 0) {
            return Err(Refusal::MATCH_BAD_WILDCARDS);
        }
        self.value.set(place, value);
        self.mask.set(place, mask);
        Ok(())
    }

    fn bits(&mut self, place: Place, value: u8, mask: u8) {
        self.value.0[place.at] |= value;
        self.mask.0[place.at] |= mask;
    }

    fn tag_bits(&mut self, value: u16, mask: u16) {
        let tci = self.value.u16(TCI) | value;
        let tci_mask = self.mask.u16(TCI) | mask;
        self.value.set(TCI, &tci.to_be_bytes());
        self.mask.set(TCI, &tci_mask.to_be_bytes());
    }

    fn vlan(&mut self, vlan: VlanMatch) -> Result<(), Refusal> {
        const VID: u16 = 0x0fff;
        match vlan {
            VlanMatch::Absent => self.tag_bits(0, TAG_PRESENT | VID),
            VlanMatch::Present => self.tag_bits(TAG_PRESENT, TAG_PRESENT),
            VlanMatch::Tagged(vid) if vid <= VID => {
                self.tag_bits(TAG_PRESENT | vid, TAG_PRESENT | VID);
            }
            VlanMatch::Tagged(_) => return Err(Refusal::MATCH_BAD_VALUE),
            VlanMatch::Raw { value, mask } => {
                let mask = mask.unwrap_or(0xffff);
                if value & !mask != 0 {
                    return Err(Refusal::MATCH_BAD_WILDCARDS);
                }
                if value & 0xe000 != 0 {
                    return Err(Refusal::MATCH_BAD_VALUE);
                }
                self.tag_bits(value, mask & (TAG_PRESENT | VID));
            }
        }
        Ok(())
    }

    /// Adds a field, whose prerequisites are there.
    fn add(&mut self, field: &MatchField) -> Result<(), Refusal> {
        let limit = |ok: bool| if ok { Ok(()) } else { Err(Refusal::MATCH_BAD_VALUE) };
        macro_rules! masked {
            ($place:expr, $masked:expr, $bytes:expr) => {{
                let Masked { value, mask } = $masked;
                let bytes = $bytes;
                self.masked($place, &bytes(value), mask.map(bytes).as_ref().map(|m| &m[..]))
            }};
        }
        match *field {
            MatchField::InPort(port) => self.exactly(IN_PORT, &port.0.to_be_bytes()),
            MatchField::Metadata(ref m) => masked!(METADATA, **m, u64::to_be_bytes),
            MatchField::EthDst(m) => masked!(ETH_DST, m, |mac: umlaut_openflow::MacAddr| mac.0),
            MatchField::EthSrc(m) => masked!(ETH_SRC, m, |mac: umlaut_openflow::MacAddr| mac.0),
            MatchField::EthType(eth_type) => self.exactly(ETH_TYPE, &eth_type.to_be_bytes()),
            MatchField::VlanVid(vlan) => self.vlan(vlan),
            MatchField::VlanPcp(pcp) => {
                limit(pcp < 8)?;
                self.tag_bits(TAG_PRESENT | u16::from(pcp) << 13, TAG_PRESENT | 0xe000);
                Ok(())
            }
            MatchField::IpDscp(dscp) => {
                limit(dscp < 64)?;
                self.bits(TOS, dscp << 2, 0xfc);
                Ok(())
            }
            MatchField::IpEcn(ecn) => {
                limit(ecn < 4)?;
                self.bits(TOS, ecn, 0x03);
                Ok(())
            }
            MatchField::IpProto(proto) => self.exactly(PROTO, &[proto]),
            MatchField::Ipv4Src(m) | MatchField::ArpSpa(m) => {
                masked!(NW_SRC, m, |ip: std::net::Ipv4Addr| ip.octets())
            }
            MatchField::Ipv4Dst(m) | MatchField::ArpTpa(m) => {
                masked!(NW_DST, m, |ip: std::net::Ipv4Addr| ip.octets())
            }
            MatchField::TcpSrc(port)
            | MatchField::UdpSrc(port)
            | MatchField::SctpSrc(port)
            | MatchField::TpSrc(port) => self.exactly(TP_SRC, &port.to_be_bytes()),
            MatchField::TcpDst(port)
            | MatchField::UdpDst(port)
            | MatchField::SctpDst(port)
            | MatchField::TpDst(port) => self.exactly(TP_DST, &port.to_be_bytes()),
            MatchField::Icmpv4Type(kind) | MatchField::Icmpv6Type(kind) => {
                self.exactly(TP_SRC, &[0, kind])
            }
            MatchField::Icmpv4Code(code) | MatchField::Icmpv6Code(code) => {
                self.exactly(TP_DST, &[0, code])
            }
            MatchField::ArpOp(op) => {
                limit(op < 0x100)?;
                self.exactly(PROTO, &[op as u8])
            }
            MatchField::ArpSha(m) => masked!(SHA, m, |mac: umlaut_openflow::MacAddr| mac.0),
            MatchField::ArpTha(m) => masked!(THA, m, |mac: umlaut_openflow::MacAddr| mac.0),
            MatchField::Ipv6Src(ref m) => {
                masked!(IPV6_SRC, **m, |ip: std::net::Ipv6Addr| ip.octets())
            }
            MatchField::Ipv6Dst(ref m) => {
                masked!(IPV6_DST, **m, |ip: std::net::Ipv6Addr| ip.octets())
            }
            MatchField::Ipv6Flabel(m) => {
                limit(m.value < 1 << 20)?;
                masked!(FLABEL, m, u32::to_be_bytes)
            }
            MatchField::Ipv6NdTarget(ref m) => {
                masked!(ND_TARGET, **m, |ip: std::net::Ipv6Addr| ip.octets())
            }
            MatchField::Ipv6NdSll(mac) => self.exactly(SHA, &mac.0),
            MatchField::Ipv6NdTll(mac) => self.exactly(THA, &mac.0),
            MatchField::TunnelId(ref m) => masked!(TUNNEL_ID, **m, u64::to_be_bytes),
            // Everything else is a field that this switch does not know.
            _ => Err(Refusal::MATCH_BAD_FIELD),
        }
    }
}

/// What else a match must say before a field means anything (1.3.5 §7.2.3.8, table 12).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Prerequisite {
    /// Nothing.
    None,
    /// Frames with a tag only.
    Tag,
    /// One of these EtherTypes.
    EthType(&'static [u16]),
    /// One of these EtherTypes and one of these protocols.
    Proto(&'static [u16], &'static [u8]),
    /// ICMPv6 of one of these types and code 0.
    Neighbour(&'static [u8]),
}

const IP: &[u16] = &[IPV4, IPV6];

pub(crate) fn prerequisite(field: &MatchField) -> Prerequisite {
    use Prerequisite::{EthType, Neighbour, None, Proto, Tag};
    match field {
        MatchField::VlanPcp(_) => Tag,
        MatchField::IpDscp(_) | MatchField::IpEcn(_) | MatchField::IpProto(_) => EthType(IP),
        MatchField::Ipv4Src(_) | MatchField::Ipv4Dst(_) => EthType(&[IPV4]),
        MatchField::TcpSrc(_) | MatchField::TcpDst(_) => Proto(IP, &[TCP]),
        MatchField::UdpSrc(_) | MatchField::UdpDst(_) => Proto(IP, &[UDP]),
        MatchField::SctpSrc(_) | MatchField::SctpDst(_) => Proto(IP, &[SCTP]),
        MatchField::Icmpv4Type(_) | MatchField::Icmpv4Code(_) => Proto(&[IPV4], &[ICMP]),
        MatchField::ArpOp(_)
        | MatchField::ArpSpa(_)
        | MatchField::ArpTpa(_)
        | MatchField::ArpSha(_)
        | MatchField::ArpTha(_) => EthType(&[ARP, RARP]),
        MatchField::Ipv6Src(_) | MatchField::Ipv6Dst(_) | MatchField::Ipv6Flabel(_) => {
            EthType(&[IPV6])
        }
        MatchField::Icmpv6Type(_) | MatchField::Icmpv6Code(_) => Proto(&[IPV6], &[ICMPV6]),
        MatchField::Ipv6NdTarget(_) => Neighbour(&[135, 136]),
        MatchField::Ipv6NdSll(_) => Neighbour(&[135]),
        MatchField::Ipv6NdTll(_) => Neighbour(&[136]),
        _ => None,
    }
}

/// 1.0 ignores bits under a mask, above a VID and above a PCP, where later versions refuse them.
fn lenient(field: &MatchField) -> MatchField {
    let cut = |m: Masked<std::net::Ipv4Addr>| Masked {
        value: m.mask.map_or(m.value, |mask| m.value & mask),
        mask: m.mask,
    };
    match field {
        MatchField::VlanVid(VlanMatch::Raw { value, .. }) => {
            MatchField::VlanVid(VlanMatch::Tagged(value & 0xfff))
        }
        MatchField::VlanPcp(pcp) => MatchField::VlanPcp(pcp & 7),
        MatchField::Ipv4Src(m) => MatchField::Ipv4Src(cut(*m)),
        MatchField::Ipv4Dst(m) => MatchField::Ipv4Dst(cut(*m)),
        MatchField::ArpSpa(m) => MatchField::ArpSpa(cut(*m)),
        MatchField::ArpTpa(m) => MatchField::ArpTpa(cut(*m)),
        other => other.clone(),
    }
}

/// In 1.0 the network and transport fields are shared by ARP, IPv4 and (as Open vSwitch has it) IPv6.
fn prerequisite_v10(field: &MatchField) -> Prerequisite {
    use Prerequisite::{EthType, None, Proto};
    match field {
        MatchField::VlanPcp(_) => None,
        MatchField::IpDscp(_) => EthType(IP),
        MatchField::IpProto(_) => EthType(&[IPV4, IPV6, ARP, RARP]),
        MatchField::Ipv4Src(_) | MatchField::Ipv4Dst(_) => EthType(&[IPV4, ARP, RARP]),
        MatchField::TpSrc(_) | MatchField::TpDst(_) => {
            Proto(IP, &[TCP, UDP, SCTP, ICMP, IGMP, ICMPV6])
        }
        other => prerequisite(other),
    }
}

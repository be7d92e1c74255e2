//! Frames inside packet-ins: the header fields that matches and filters ask for. Pure.
//!
//! [`Headers::parse`] is total: any bytes give a value. Each field is [`Field::Absent`] (the frame
//! certainly has no such field), [`Field::Unknown`] (it may have it, but it cannot be read: a later
//! fragment, a truncated header) or a value.

use std::net::{Ipv4Addr, Ipv6Addr};

pub use crate::build;
pub use crate::packed::PackedHeaders;
use crate::types::{MacAddr, Vid, VlanId};

/// What is known of a header field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Field<T> {
    /// The frame has no such field.
    #[default]
    Absent,
    /// It cannot be known: later fragment, truncated header.
    Unknown,
    /// Its value.
    Is(T),
}

impl<T> Field<T> {
    /// The value, if known.
    pub fn value(self) -> Option<T> {
        match self {
            Field::Is(value) => Some(value),
            Field::Absent | Field::Unknown => None,
        }
    }
}

/// The VLAN tag of a frame (IEEE 802.1Q §9.6).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Tag {
    /// No tag.
    #[default]
    None,
    /// VID 0: a priority, but no VLAN.
    Priority {
        /// Priority, 0 to 7.
        pcp: u8,
    },
    /// VID 1 to 4094.
    Vlan {
        /// The VLAN.
        vid: VlanId,
        /// Priority, 0 to 7.
        pcp: u8,
    },
    /// VID 4095, which no frame may carry.
    Reserved,
}

impl Tag {
    /// The VLAN side of the attachment that the frame belongs to; `None` for the reserved VID.
    pub const fn vid(self) -> Option<Vid> {
        match self {
            Tag::None | Tag::Priority { .. } => Some(Vid::Untagged),
            Tag::Vlan { vid, .. } => Some(Vid::Tagged(vid)),
            Tag::Reserved => None,
        }
    }

    /// The same VLAN with priority 0: what a match on the VID alone sees.
    #[must_use]
    pub const fn without_pcp(self) -> Tag {
        match self {
            Tag::Priority { .. } => Tag::Priority { pcp: 0 },
            Tag::Vlan { vid, .. } => Tag::Vlan { vid, pcp: 0 },
            Tag::None | Tag::Reserved => self,
        }
    }

    /// Whether the frame carries a tag, priority tags included.
    pub const fn is_present(self) -> bool {
        !matches!(self, Tag::None)
    }
}

/// Where in a fragmented datagram a frame stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Fragment {
    /// Not fragmented.
    #[default]
    No,
    /// The first fragment: it may have the transport header.
    First,
    /// A later one: it has none.
    Later,
}

/// Everything of a frame that a match or a filter can ask.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Headers {
    /// Destination.
    pub eth_dst: MacAddr,
    /// Source.
    pub eth_src: MacAddr,
    /// The 802.1Q tag (TPID 0x8100), if the outermost.
    pub tag: Tag,
    /// Whether there is a second tag of any TPID, or the outermost has another TPID than 0x8100
    /// (0x88a8, 0x9100, 0x9200, 0x9300).
    pub stacked: bool,
    /// EtherType behind the tags; 0x05ff for LLC frames without SNAP (as OpenFlow 1.0 has it).
    pub eth_type: Field<u16>,
    /// Fragmentation of IPv4 or IPv6.
    pub fragment: Fragment,
    /// IP protocol (IPv6: the last next-header reached).
    pub ip_proto: Field<u8>,
    /// DSCP, 6 bits.
    pub ip_dscp: Field<u8>,
    /// ECN, 2 bits.
    pub ip_ecn: Field<u8>,
    /// IPv4 source.
    pub ipv4_src: Field<Ipv4Addr>,
    /// IPv4 destination.
    pub ipv4_dst: Field<Ipv4Addr>,
    /// IPv6 source.
    pub ipv6_src: Field<Ipv6Addr>,
    /// IPv6 destination.
    pub ipv6_dst: Field<Ipv6Addr>,
    /// TCP, UDP or SCTP source port.
    pub tp_src: Field<u16>,
    /// TCP, UDP or SCTP destination port.
    pub tp_dst: Field<u16>,
    /// ICMP or ICMPv6 type.
    pub icmp_type: Field<u8>,
    /// ICMP or ICMPv6 code.
    pub icmp_code: Field<u8>,
    /// ARP operation.
    pub arp_op: Field<u16>,
    /// ARP sender protocol address.
    pub arp_spa: Field<Ipv4Addr>,
    /// ARP target protocol address.
    pub arp_tpa: Field<Ipv4Addr>,
    /// ARP sender hardware address.
    pub arp_sha: Field<MacAddr>,
    /// ARP target hardware address.
    pub arp_tha: Field<MacAddr>,
    /// Neighbour discovery target.
    pub nd_target: Field<Ipv6Addr>,
}

const TPID_8021Q: u16 = 0x8100;
const OTHER_TPIDS: [u16; 4] = [0x88a8, 0x9100, 0x9200, 0x9300];
/// What OpenFlow 1.0 calls the EtherType of a frame without one.
const NO_ETHER_TYPE: u16 = 0x05ff;
/// LLC and SNAP headers up to an EtherType of organisation 0 (RFC 1042).
const SNAP: [u8; 6] = [0xaa, 0xaa, 0x03, 0, 0, 0];
/// EtherTypes start here; below it the field is a length (IEEE 802.3 §3.2.6).
const MIN_ETHER_TYPE: u16 = 0x0600;
/// IPv6 extension headers walked before the transport header is given up as unknown.
const EXTENSIONS: usize = 16;

// Next headers of IPv6 that are not the last (RFC 8200 §4.1).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

/// Bytes `at..at + N`.
fn bytes<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn half(data: &[u8], at: usize) -> Option<u16> {
    bytes(data, at).map(u16::from_be_bytes)
}

fn field<T>(value: Option<T>) -> Field<T> {
    value.map_or(Field::Unknown, Field::Is)
}

impl Headers {
    /// Reads a frame from its destination MAC on. Any bytes give a value: what a frame cut short
    /// does not show is [`Field::Unknown`].
    #[inline]
    pub fn parse(frame: &[u8]) -> Headers {
        let mut headers = Headers::default();
        headers.read(frame);
        headers
    }

    /// Fills in what the frame shows. Not inlined: each field goes right to its place then, instead of
    /// all being carried along and written at the end.
    #[inline(never)]
    fn read(&mut self, frame: &[u8]) {
        let h = self;
        h.eth_dst = MacAddr(bytes(frame, 0).unwrap_or_default());
        h.eth_src = MacAddr(bytes(frame, 6).unwrap_or_default());
        let Some(mut eth_type) = half(frame, 12) else {
            // Shorter than an Ethernet header: whose VLAN it is cannot be known.
            h.stacked = true;
            return h.unknown_above_type();
        };
        let mut at = 14;
        let mut tagged = false;
        loop {
            if eth_type == TPID_8021Q || OTHER_TPIDS.contains(&eth_type) {
                h.stacked |= tagged || eth_type != TPID_8021Q;
                let (Some(tci), Some(next)) = (half(frame, at), half(frame, at + 2)) else {
                    // A tag cut short: whose VLAN it is cannot be known.
                    h.stacked = true;
                    return h.unknown_above_type();
                };
                if !tagged {
                    h.tag = tag(tci);
                }
                tagged = true;
                eth_type = next;
                at += 4;
                if at > 14 + 4 * 8 {
                    return h.unknown_above_type();
                }
            } else {
                break;
            }
        }
        if eth_type < MIN_ETHER_TYPE {
            // LLC, perhaps with SNAP and an EtherType of organisation 0.
            let llc = frame.get(at..).unwrap_or_default();
            let seen = llc.len().min(SNAP.len());
            eth_type = match half(llc, SNAP.len()) {
                _ if llc[..seen] != SNAP[..seen] => NO_ETHER_TYPE,
                None => return h.unknown_above_type(),
                Some(inner) if inner < MIN_ETHER_TYPE => NO_ETHER_TYPE,
                Some(inner) => {
                    at += 8;
                    inner
                }
            };
        }
        h.eth_type = Field::Is(eth_type);
        let rest = frame.get(at..).unwrap_or_default();
        match eth_type {
            0x0800 => h.ipv4(rest),
            0x86dd => h.ipv6(rest),
            0x0806 => h.arp(rest),
            _ => {}
        }
    }

    /// Everything that depends on an EtherType that cannot be read.
    #[cold]
    fn unknown_above_type(&mut self) {
        self.eth_type = Field::Unknown;
        self.ipv4_src = Field::Unknown;
        self.ipv4_dst = Field::Unknown;
        self.ipv6_src = Field::Unknown;
        self.ipv6_dst = Field::Unknown;
        self.arp_op = Field::Unknown;
        self.arp_spa = Field::Unknown;
        self.arp_tpa = Field::Unknown;
        self.arp_sha = Field::Unknown;
        self.arp_tha = Field::Unknown;
        self.ip_dscp = Field::Unknown;
        self.ip_ecn = Field::Unknown;
        self.ip_proto = Field::Unknown;
        self.unknown_transport();
    }

    fn unknown_transport(&mut self) {
        self.tp_src = Field::Unknown;
        self.tp_dst = Field::Unknown;
        self.icmp_type = Field::Unknown;
        self.icmp_code = Field::Unknown;
        self.nd_target = Field::Unknown;
    }

    /// RFC 791 §3.1.
    fn ipv4(&mut self, p: &[u8]) {
        if p.first().is_some_and(|first| first >> 4 != 4) {
            return self.unknown_ip();
        }
        let tos = p.get(1);
        self.ip_dscp = field(tos.map(|tos| tos >> 2));
        self.ip_ecn = field(tos.map(|tos| tos & 3));
        self.ip_proto = field(p.get(9).copied());
        self.ipv4_src = field(bytes::<4>(p, 12).map(Ipv4Addr::from));
        self.ipv4_dst = field(bytes::<4>(p, 16).map(Ipv4Addr::from));
        let fragment = half(p, 6);
        self.fragment = match fragment {
            Some(bits) if bits & 0x1fff != 0 => Fragment::Later,
            Some(bits) if bits & 0x2000 != 0 => Fragment::First,
            _ => Fragment::No,
        };
        let Field::Is(proto) = self.ip_proto else { return self.unknown_transport() };
        // What lies behind the packet's own length is padding of the frame. A header length below 20
        // or beyond the packet is malformed: the transport header is nowhere.
        let header = usize::from(p[0] & 15) * 4;
        let end = half(p, 2).map_or(0, usize::from).min(p.len());
        let transport = match self.fragment {
            Fragment::Later => None,
            _ if header < 20 => None,
            _ => p.get(header..end),
        };
        self.transport(proto, false, transport.unwrap_or_default());
    }

    /// RFC 8200 §3 and §4.
    fn ipv6(&mut self, p: &[u8]) {
        if p.first().is_some_and(|first| first >> 4 != 6) {
            return self.unknown_ip();
        }
        let class = bytes::<2>(p, 0).map(|[a, b]| a << 4 | b >> 4);
        self.ip_dscp = field(class.map(|class| class >> 2));
        self.ip_ecn = field(class.map(|class| class & 3));
        self.ipv6_src = field(bytes::<16>(p, 8).map(Ipv6Addr::from));
        self.ipv6_dst = field(bytes::<16>(p, 24).map(Ipv6Addr::from));
        match self.ipv6_transport(p) {
            Some((proto, transport)) => {
                self.ip_proto = Field::Is(proto);
                self.transport(proto, true, transport);
            }
            None => {
                self.ip_proto = Field::Unknown;
                self.unknown_transport();
            }
        }
    }

    /// Walks the extension headers. The protocol and its header, empty in a later fragment; `None`
    /// where the protocol cannot be told.
    fn ipv6_transport<'a>(&mut self, p: &'a [u8]) -> Option<(u8, &'a [u8])> {
        let mut next = *p.get(6)?;
        let mut rest = p.get(40..)?;
        let length = usize::from(half(p, 4)?);
        // Length 0 with a hop-by-hop header may be a jumbogram (RFC 2675), as long as the frame.
        if length != 0 || next != HOP_BY_HOP {
            rest = &rest[..length.min(rest.len())];
        }
        for _ in 0..EXTENSIONS {
            let length = match next {
                // In 8-byte units behind the first.
                HOP_BY_HOP | ROUTING | DESTINATION => 8 + usize::from(*rest.get(1)?) * 8,
                // In 4-byte units less two (RFC 4302 §2.2).
                AUTHENTICATION => 8 + usize::from(*rest.get(1)?) * 4,
                FRAGMENT => 8,
                proto => return Some((proto, rest)),
            };
            if next == FRAGMENT {
                let bits = half(rest, 2)?;
                if bits & 0xfff8 != 0 {
                    self.fragment = Fragment::Later;
                    // The header named here stands in the first fragment: if it is an extension, what
                    // it leads to cannot be told.
                    let first = rest[0];
                    let is_extension = [HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION]
                        .contains(&first);
                    return (!is_extension).then_some((first, &[]));
                }
                // An atomic fragment is a whole packet (RFC 6946).
                if bits & 1 != 0 {
                    self.fragment = Fragment::First;
                }
            }
            next = rest[0];
            rest = rest.get(length..)?;
        }
        None
    }

    /// The fields of the header that `proto` names; those beyond the end of `t` are unknown.
    fn transport(&mut self, proto: u8, v6: bool, t: &[u8]) {
        match proto {
            6 | 17 | 132 => {
                self.tp_src = field(half(t, 0));
                self.tp_dst = field(half(t, 2));
            }
            1 if !v6 => {
                self.icmp_type = field(t.first().copied());
                self.icmp_code = field(t.get(1).copied());
            }
            58 if v6 => {
                self.icmp_type = field(t.first().copied());
                self.icmp_code = field(t.get(1).copied());
                // Neighbour solicitation and advertisement (RFC 4861 §4.3, §4.4).
                self.nd_target = match (self.icmp_type, self.icmp_code) {
                    (Field::Is(135 | 136) | Field::Unknown, Field::Is(0) | Field::Unknown) => {
                        field(bytes::<16>(t, 8).map(Ipv6Addr::from))
                    }
                    _ => Field::Absent,
                };
            }
            _ => {}
        }
    }

    /// A header that does not have the version that the EtherType says.
    fn unknown_ip(&mut self) {
        self.ip_dscp = Field::Unknown;
        self.ip_ecn = Field::Unknown;
        self.ip_proto = Field::Unknown;
        match self.eth_type {
            Field::Is(0x0800) => {
                self.ipv4_src = Field::Unknown;
                self.ipv4_dst = Field::Unknown;
            }
            _ => {
                self.ipv6_src = Field::Unknown;
                self.ipv6_dst = Field::Unknown;
            }
        }
        self.unknown_transport();
    }

    /// RFC 826, for IPv4 over Ethernet; other kinds have no fields that a match can ask.
    fn arp(&mut self, p: &[u8]) {
        match bytes::<6>(p, 0) {
            Some([0, 1, 8, 0, 6, 4]) => {}
            Some(_) => return,
            None => {
                self.arp_op = Field::Unknown;
                self.arp_sha = Field::Unknown;
                self.arp_spa = Field::Unknown;
                self.arp_tha = Field::Unknown;
                self.arp_tpa = Field::Unknown;
                return;
            }
        }
        self.arp_op = field(half(p, 6));
        self.arp_sha = field(bytes(p, 8).map(MacAddr));
        self.arp_spa = field(bytes::<4>(p, 14).map(Ipv4Addr::from));
        self.arp_tha = field(bytes(p, 18).map(MacAddr));
        self.arp_tpa = field(bytes::<4>(p, 24).map(Ipv4Addr::from));
    }
}

fn tag(tci: u16) -> Tag {
    let pcp = (tci >> 13) as u8;
    match tci & 0xfff {
        0 => Tag::Priority { pcp },
        vid => VlanId::new(vid).map_or(Tag::Reserved, |vid| Tag::Vlan { vid, pcp }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build;
    use proptest::prelude::*;

    const A: MacAddr = MacAddr([0, 0, 0, 0, 0, 1]);
    const B: MacAddr = MacAddr([0, 0, 0, 0, 0, 2]);

    fn udp() -> Vec<u8> {
        let payload = build::udp([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 1000, 53, b"hello");
        build::ethernet(B, A, &[], 0x0800, &payload)
    }

    #[test]
    fn a_udp_frame_shows_all_its_fields() {
        let h = Headers::parse(&udp());
        assert_eq!((h.eth_src, h.eth_dst, h.tag), (A, B, Tag::None));
        assert_eq!(h.eth_type, Field::Is(0x0800));
        assert_eq!(h.ip_proto, Field::Is(17));
        assert_eq!(h.ipv4_dst, Field::Is([10, 0, 0, 2].into()));
        assert_eq!((h.tp_src, h.tp_dst), (Field::Is(1000), Field::Is(53)));
        assert_eq!((h.icmp_type, h.arp_op), (Field::Absent, Field::Absent));
    }

    #[test]
    fn tags_are_told_apart() {
        let vid = VlanId::new(7).unwrap();
        type Row = (&'static [(u16, u16)], Tag, bool);
        let rows: [Row; 6] = [
            (&[(0x8100, 0x6007)], Tag::Vlan { vid, pcp: 3 }, false),
            (&[(0x8100, 0xa000)], Tag::Priority { pcp: 5 }, false),
            (&[(0x8100, 0x0fff)], Tag::Reserved, false),
            (&[(0x8100, 7), (0x8100, 8)], Tag::Vlan { vid, pcp: 0 }, true),
            (&[(0x88a8, 7)], Tag::Vlan { vid, pcp: 0 }, true),
            (&[(0x8100, 7), (0x9100, 8)], Tag::Vlan { vid, pcp: 0 }, true),
        ];
        for (tags, tag, stacked) in rows {
            let h = Headers::parse(&build::ethernet(B, A, tags, 0x0800, &[]));
            assert_eq!((h.tag, h.stacked), (tag, stacked), "{tags:?}");
        }
    }

    #[test]
    fn what_a_cut_or_fragmented_frame_hides_is_unknown_not_absent() {
        let frame = udp();
        let cut = Headers::parse(&frame[..14 + 21]);
        assert_eq!(cut.tp_dst, Field::Unknown);
        assert_eq!(cut.icmp_type, Field::Absent);
        let mut later = frame.clone();
        later[20..22].copy_from_slice(&[0x00, 0x10]);
        let h = Headers::parse(&later);
        assert_eq!((h.fragment, h.tp_dst), (Fragment::Later, Field::Unknown));
        assert_eq!(h.ip_proto, Field::Is(17));
        later[20..22].copy_from_slice(&[0x20, 0x00]);
        let h = Headers::parse(&later);
        assert_eq!((h.fragment, h.tp_dst), (Fragment::First, Field::Is(53)));
        assert_eq!(Headers::parse(&frame[..13]).eth_type, Field::Unknown);
        assert_eq!(Headers::parse(&frame[..13]).tp_dst, Field::Unknown);
    }

    #[test]
    fn llc_has_the_ethertype_that_openflow_gives_it() {
        let spanning_tree = build::ethernet(B, A, &[], 38, &[0x42, 0x42, 3, 0, 0, 0, 0, 0]);
        assert_eq!(Headers::parse(&spanning_tree).eth_type, Field::Is(0x05ff));
        let snap = build::ethernet(B, A, &[], 38, &[0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x06]);
        assert_eq!(Headers::parse(&snap).eth_type, Field::Is(0x0806));
    }

    #[test]
    fn ipv6_extension_headers_are_walked() {
        let target = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
        let mut nd = build::neighbour_solicitation(A, Ipv6Addr::LOCALHOST, target);
        let h = Headers::parse(&build::ethernet(B, A, &[], 0x86dd, &nd));
        assert_eq!((h.ip_proto, h.icmp_type), (Field::Is(58), Field::Is(135)));
        assert_eq!(h.nd_target, Field::Is(target));
        // A hop-by-hop header in between.
        nd[6] = 0;
        nd.splice(40..40, [58, 0, 1, 4, 0, 0, 0, 0]);
        let h = Headers::parse(&build::ethernet(B, A, &[], 0x86dd, &nd));
        assert_eq!((h.ip_proto, h.nd_target), (Field::Is(58), Field::Is(target)));
        // A later fragment.
        nd[6] = 44;
        nd[40..48].copy_from_slice(&[58, 0, 0, 0x08, 0, 0, 0, 1]);
        let h = Headers::parse(&build::ethernet(B, A, &[], 0x86dd, &nd));
        assert_eq!((h.fragment, h.icmp_type), (Fragment::Later, Field::Unknown));
    }

    proptest! {
        #[test]
        fn any_bytes_parse(frame in prop::collection::vec(any::<u8>(), 0..120)) {
            Headers::parse(&frame);
        }

        /// A longer piece of a frame never contradicts a shorter one.
        #[test]
        fn a_longer_piece_only_adds_knowledge(end in 14usize..55) {
            let frame = udp();
            let (short, whole) = (Headers::parse(&frame[..end.min(frame.len())]), Headers::parse(&frame));
            for (short, whole) in [(short.tp_src, whole.tp_src), (short.tp_dst, whole.tp_dst)] {
                prop_assert!(short == whole || short == Field::Unknown);
            }
            prop_assert!(short.ip_proto == whole.ip_proto || short.ip_proto == Field::Unknown);
        }
    }
}

//! Flow match: an ordered list of fields (OXM order on 1.3, structure order on 1.0). Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

use smallvec::SmallVec;

use crate::types::{MacAddr, PortNo, VlanId};

/// How many fields a match holds in itself: ingress port and all of layer 2. Only more of them lie on
/// the heap.
const INLINE: usize = 6;

/// A value, and which of its bits count. No mask: all of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Masked<T> {
    /// The value.
    pub value: T,
    /// One bits count. `None` and an explicit mask of ones mean the same but differ on the wire.
    pub mask: Option<T>,
}

impl<T> From<T> for Masked<T> {
    fn from(value: T) -> Masked<T> {
        Masked { value, mask: None }
    }
}

impl From<Ipv6Addr> for Box<Masked<Ipv6Addr>> {
    fn from(value: Ipv6Addr) -> Box<Masked<Ipv6Addr>> {
        Box::new(value.into())
    }
}

impl From<u64> for Box<Masked<u64>> {
    fn from(value: u64) -> Box<Masked<u64>> {
        Box::new(value.into())
    }
}

impl Masked<Ipv4Addr> {
    /// All addresses whose first `prefix` bits are those of `address`; above 32 bits: this one.
    pub fn network(address: Ipv4Addr, prefix: u8) -> Masked<Ipv4Addr> {
        let open = 32u32.saturating_sub(prefix.into());
        let mask = Ipv4Addr::from(u32::MAX.checked_shl(open).unwrap_or(0));
        Masked { value: address & mask, mask: Some(mask) }
    }
}

/// What a match says of the VLAN tag (1.3.5 §7.2.3.8, table 13).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum VlanMatch {
    /// Only frames without a tag.
    Absent,
    /// Only frames with a tag, whatever its VID. Not expressible in 1.0.
    Present,
    /// Only frames with a tag of this VID. VID 0 is a priority tag.
    Tagged(u16),
    /// Any other combination of the 13 bits (CFI as "present", VID) and their mask.
    Raw {
        /// The value; bit 12 says "present".
        value: u16,
        /// The mask, if one was given.
        mask: Option<u16>,
    },
}

impl From<VlanId> for VlanMatch {
    fn from(vid: VlanId) -> VlanMatch {
        VlanMatch::Tagged(vid.number())
    }
}

/// A match field that has no variant of its own, verbatim: of another class, unknown, or with a value
/// or mask that its field has no room for. Encoding checks the length of a known field and nothing else.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RawOxm {
    /// OXM class, for example 0xffff (experimenter) or 0x0001 (Nicira NXM).
    pub class: u16,
    /// Field number in its class, 7 bits.
    pub field: u8,
    /// Whether the second half of the body is a mask.
    pub has_mask: bool,
    /// The body (for experimenters including their id), at most 255 bytes.
    pub body: Vec<u8>,
}

/// One criterion of a match. Names are those of OFPXMT_OFB_* (1.3.5 §7.2.3.7). Encoding refuses a value
/// or mask with bits that its field does not have; prerequisites are the switch's to check.
///
/// Wide and rare values lie on the heap, so that all others are 16 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum MatchField {
    /// Ingress port.
    InPort(PortNo),
    /// Physical port under the ingress port.
    InPhyPort(PortNo),
    /// Metadata passed between tables.
    Metadata(Box<Masked<u64>>),
    /// Ethernet destination.
    EthDst(Masked<MacAddr>),
    /// Ethernet source.
    EthSrc(Masked<MacAddr>),
    /// EtherType after the VLAN tags; 0x05ff in 1.0 means "no EtherType" (LLC).
    EthType(u16),
    /// VLAN tag state.
    VlanVid(VlanMatch),
    /// VLAN priority, 0 to 7.
    VlanPcp(u8),
    /// DSCP, 0 to 63 (1.0: upper six bits of nw_tos).
    IpDscp(u8),
    /// ECN, 0 to 3.
    IpEcn(u8),
    /// IP protocol; in 1.0 also the low byte of the ARP operation.
    IpProto(u8),
    /// IPv4 source.
    Ipv4Src(Masked<Ipv4Addr>),
    /// IPv4 destination.
    Ipv4Dst(Masked<Ipv4Addr>),
    /// TCP source port.
    TcpSrc(u16),
    /// TCP destination port.
    TcpDst(u16),
    /// UDP source port.
    UdpSrc(u16),
    /// UDP destination port.
    UdpDst(u16),
    /// SCTP source port.
    SctpSrc(u16),
    /// SCTP destination port.
    SctpDst(u16),
    /// ICMP type.
    Icmpv4Type(u8),
    /// ICMP code.
    Icmpv4Code(u8),
    /// ARP operation.
    ArpOp(u16),
    /// ARP sender protocol address.
    ArpSpa(Masked<Ipv4Addr>),
    /// ARP target protocol address.
    ArpTpa(Masked<Ipv4Addr>),
    /// ARP sender hardware address.
    ArpSha(Masked<MacAddr>),
    /// ARP target hardware address.
    ArpTha(Masked<MacAddr>),
    /// IPv6 source.
    Ipv6Src(Box<Masked<Ipv6Addr>>),
    /// IPv6 destination.
    Ipv6Dst(Box<Masked<Ipv6Addr>>),
    /// IPv6 flow label, 20 bits.
    Ipv6Flabel(Masked<u32>),
    /// ICMPv6 type.
    Icmpv6Type(u8),
    /// ICMPv6 code.
    Icmpv6Code(u8),
    /// Neighbour discovery target.
    Ipv6NdTarget(Box<Masked<Ipv6Addr>>),
    /// Neighbour discovery source link-layer address.
    Ipv6NdSll(MacAddr),
    /// Neighbour discovery target link-layer address.
    Ipv6NdTll(MacAddr),
    /// MPLS label, 20 bits.
    MplsLabel(u32),
    /// MPLS traffic class, 3 bits.
    MplsTc(u8),
    /// MPLS bottom of stack.
    MplsBos(bool),
    /// PBB service instance, 24 bits.
    PbbIsid(Masked<u32>),
    /// Logical port metadata.
    TunnelId(Box<Masked<u64>>),
    /// IPv6 extension header pseudo-field, 9 bits.
    Ipv6Exthdr(Masked<u16>),
    /// 1.0 only: tp_src of a protocol that the rest of the match does not pin to TCP, UDP or ICMP.
    TpSrc(u16),
    /// 1.0 only: tp_dst likewise.
    TpDst(u16),
    /// Anything else, verbatim.
    Raw(Box<RawOxm>),
}

// Matches are moved and compared on the way of every packet-in.
const _: () = assert!(size_of::<MatchField>() == 16 && size_of::<Match>() <= 112);

/// What a flow entry matches: the conjunction of its fields; empty matches everything.
///
/// ```
/// use umlaut_openflow::{MacAddr, Match, PortNo};
/// let m = Match::new().in_port(PortNo(1)).eth_src(MacAddr::from_u64(2)).eth_type(0x0800u16);
/// assert_eq!(m.fields().len(), 3);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Match {
    fields: SmallVec<[MatchField; INLINE]>,
    /// The wire form of a 1.0 match, kept only where the fields alone would not encode to it again
    /// (stray values under wildcards, wildcard bit counts above 32).
    pub(crate) v10_wire: Option<Box<[u8; 40]>>,
}

macro_rules! builders {
    ($($(#[$doc:meta])* $method:ident: $variant:ident($ty:ty),)*) => {
        $($(#[$doc])*
        #[must_use]
        #[inline]
        pub fn $method(self, value: impl Into<$ty>) -> Match {
            let value: $ty = value.into();
            self.with(MatchField::$variant(value.into()))
        })*
    };
}

impl Match {
    /// Matches every packet.
    pub const fn new() -> Match {
        Match { fields: SmallVec::new_const(), v10_wire: None }
    }

    /// The fields in wire order.
    pub fn fields(&self) -> &[MatchField] {
        &self.fields
    }

    /// Whether every packet matches.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Adds a field behind the others.
    #[must_use]
    #[inline]
    pub fn with(mut self, field: MatchField) -> Match {
        self.push(field);
        self
    }

    /// Adds a field behind the others.
    #[inline]
    pub fn push(&mut self, field: MatchField) {
        self.v10_wire = None;
        self.fields.push(field);
    }

    /// The ingress port, if it is matched.
    pub fn ingress(&self) -> Option<PortNo> {
        self.fields.iter().find_map(|f| match f {
            MatchField::InPort(port) => Some(*port),
            _ => None,
        })
    }

    builders! {
        /// Ingress port.
        in_port: InPort(PortNo),
        /// Ethernet source.
        eth_src: EthSrc(Masked<MacAddr>),
        /// Ethernet destination.
        eth_dst: EthDst(Masked<MacAddr>),
        /// EtherType.
        eth_type: EthType(u16),
        /// VLAN tag state.
        vlan_vid: VlanVid(VlanMatch),
        /// VLAN priority.
        vlan_pcp: VlanPcp(u8),
        /// IP protocol.
        ip_proto: IpProto(u8),
        /// IPv4 source.
        ipv4_src: Ipv4Src(Masked<Ipv4Addr>),
        /// IPv4 destination.
        ipv4_dst: Ipv4Dst(Masked<Ipv4Addr>),
        /// TCP source port.
        tcp_src: TcpSrc(u16),
        /// TCP destination port.
        tcp_dst: TcpDst(u16),
        /// UDP source port.
        udp_src: UdpSrc(u16),
        /// UDP destination port.
        udp_dst: UdpDst(u16),
        /// SCTP source port.
        sctp_src: SctpSrc(u16),
        /// SCTP destination port.
        sctp_dst: SctpDst(u16),
        /// DSCP, 0 to 63.
        ip_dscp: IpDscp(u8),
        /// ECN, 0 to 3.
        ip_ecn: IpEcn(u8),
        /// ICMP type.
        icmpv4_type: Icmpv4Type(u8),
        /// ICMP code.
        icmpv4_code: Icmpv4Code(u8),
        /// ARP operation: 1 asks, 2 answers.
        arp_op: ArpOp(u16),
        /// ARP sender protocol address.
        arp_spa: ArpSpa(Masked<Ipv4Addr>),
        /// ARP target protocol address.
        arp_tpa: ArpTpa(Masked<Ipv4Addr>),
        /// ARP sender hardware address.
        arp_sha: ArpSha(Masked<MacAddr>),
        /// ARP target hardware address.
        arp_tha: ArpTha(Masked<MacAddr>),
        /// IPv6 source.
        ipv6_src: Ipv6Src(Masked<Ipv6Addr>),
        /// IPv6 destination.
        ipv6_dst: Ipv6Dst(Masked<Ipv6Addr>),
        /// ICMPv6 type.
        icmpv6_type: Icmpv6Type(u8),
        /// ICMPv6 code.
        icmpv6_code: Icmpv6Code(u8),
    }
}

impl FromIterator<MatchField> for Match {
    fn from_iter<I: IntoIterator<Item = MatchField>>(fields: I) -> Match {
        Match { fields: fields.into_iter().collect(), v10_wire: None }
    }
}

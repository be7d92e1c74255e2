//! Frames inside packet-ins: the header fields that matches and filters ask for. Pure.
//!
//! [`Headers::parse`] is total: any bytes give a value. Each field is [`Field::Absent`] (the frame
//! certainly has no such field), [`Field::Unknown`] (it may have it, but it cannot be read: a later
//! fragment, a truncated header) or a value.

use std::net::{Ipv4Addr, Ipv6Addr};

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

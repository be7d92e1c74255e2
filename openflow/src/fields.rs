//! Sets of header fields: what a decision read, what a flow entry matches. Pure.

use crate::packet::{Field, Fragment, Headers};

/// A set of the fields of [`Headers`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FieldSet(u32);

macro_rules! fields {
    ($($(#[$doc:meta])* $constant:ident = $bit:literal,)*) => {
        impl FieldSet {
            $($(#[$doc])* pub const $constant: FieldSet = FieldSet(1 << $bit);)*
            const NAMES: &'static [(FieldSet, &'static str)] =
                &[$((FieldSet::$constant, stringify!($constant)),)*];
            /// Every field.
            pub const ALL: FieldSet = FieldSet($(1 << $bit)|*);
        }
    };
}

fields! {
    /// Ethernet destination.
    ETH_DST = 0,
    /// Ethernet source.
    ETH_SRC = 1,
    /// Tag state: none, priority, or which VID.
    VLAN = 2,
    /// Priority in the tag.
    VLAN_PCP = 3,
    /// EtherType.
    ETH_TYPE = 4,
    /// IP protocol.
    IP_PROTO = 5,
    /// DSCP.
    IP_DSCP = 6,
    /// ECN.
    IP_ECN = 7,
    /// IPv4 source.
    IPV4_SRC = 8,
    /// IPv4 destination.
    IPV4_DST = 9,
    /// IPv6 source.
    IPV6_SRC = 10,
    /// IPv6 destination.
    IPV6_DST = 11,
    /// Transport source port.
    TP_SRC = 12,
    /// Transport destination port.
    TP_DST = 13,
    /// ICMP or ICMPv6 type.
    ICMP_TYPE = 14,
    /// ICMP or ICMPv6 code.
    ICMP_CODE = 15,
    /// ARP operation.
    ARP_OP = 16,
    /// ARP sender protocol address.
    ARP_SPA = 17,
    /// ARP target protocol address.
    ARP_TPA = 18,
    /// ARP sender hardware address.
    ARP_SHA = 19,
    /// ARP target hardware address.
    ARP_THA = 20,
    /// Neighbour discovery target.
    ND_TARGET = 21,
    /// Whether the frame is a fragment, and which.
    FRAGMENT = 22,
}

impl FieldSet {
    /// No field.
    pub const NONE: FieldSet = FieldSet(0);
    /// What every flow entry of a path matches beside the ingress port.
    pub const LAYER_2: FieldSet = FieldSet(
        FieldSet::ETH_DST.0 | FieldSet::ETH_SRC.0 | FieldSet::VLAN.0 | FieldSet::ETH_TYPE.0,
    );
    /// Fields of the transport header.
    pub const TRANSPORT: FieldSet = FieldSet(
        FieldSet::TP_SRC.0
            | FieldSet::TP_DST.0
            | FieldSet::ICMP_TYPE.0
            | FieldSet::ICMP_CODE.0
            | FieldSet::ND_TARGET.0,
    );

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: FieldSet) -> FieldSet {
        FieldSet(self.0 | other.0)
    }

    /// This set without `other`.
    #[must_use]
    pub const fn without(self, other: FieldSet) -> FieldSet {
        FieldSet(self.0 & !other.0)
    }

    /// The fields that both sets have.
    #[must_use]
    pub const fn intersection(self, other: FieldSet) -> FieldSet {
        FieldSet(self.0 & other.0)
    }

    /// Whether every field of `other` is in this set.
    pub const fn contains(self, other: FieldSet) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the sets share a field.
    pub const fn intersects(self, other: FieldSet) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The bits, for hashing and storage.
    pub const fn bits(self) -> u32 {
        self.0
    }

    #[cfg(test)]
    pub(crate) const fn from_bits(bits: u32) -> FieldSet {
        FieldSet(bits & FieldSet::ALL.0)
    }

    /// With the fields that tell whether those of the set exist at all: a transport port depends on
    /// the IP protocol, and that on the EtherType.
    #[must_use]
    pub const fn with_prerequisites(self) -> FieldSet {
        let mut set = self;
        if set.intersects(FieldSet::TRANSPORT) {
            set = set.union(FieldSet::IP_PROTO).union(FieldSet::FRAGMENT);
        }
        if set.contains(FieldSet::ND_TARGET) {
            set = set.union(FieldSet::ICMP_TYPE).union(FieldSet::ICMP_CODE);
        }
        if set.contains(FieldSet::VLAN_PCP) {
            set = set.union(FieldSet::VLAN);
        }
        set.union(FieldSet::ETH_TYPE)
    }

    /// The fields beyond layer 2 that headers have, unknown ones too.
    pub(crate) fn beyond_layer_2(h: &Headers) -> FieldSet {
        fn has<T>(set: FieldSet, field: &Field<T>) -> u32 {
            if matches!(field, Field::Absent) { 0 } else { set.0 }
        }
        let fragment = if h.fragment == Fragment::No { 0 } else { FieldSet::FRAGMENT.0 };
        FieldSet(
            has(FieldSet::IP_PROTO, &h.ip_proto)
                | has(FieldSet::IP_DSCP, &h.ip_dscp)
                | has(FieldSet::IP_ECN, &h.ip_ecn)
                | has(FieldSet::IPV4_SRC, &h.ipv4_src)
                | has(FieldSet::IPV4_DST, &h.ipv4_dst)
                | has(FieldSet::IPV6_SRC, &h.ipv6_src)
                | has(FieldSet::IPV6_DST, &h.ipv6_dst)
                | has(FieldSet::TP_SRC, &h.tp_src)
                | has(FieldSet::TP_DST, &h.tp_dst)
                | has(FieldSet::ICMP_TYPE, &h.icmp_type)
                | has(FieldSet::ICMP_CODE, &h.icmp_code)
                | has(FieldSet::ARP_OP, &h.arp_op)
                | has(FieldSet::ARP_SPA, &h.arp_spa)
                | has(FieldSet::ARP_TPA, &h.arp_tpa)
                | has(FieldSet::ARP_SHA, &h.arp_sha)
                | has(FieldSet::ARP_THA, &h.arp_tha)
                | has(FieldSet::ND_TARGET, &h.nd_target)
                | fragment,
        )
    }

    /// Headers in which every field outside the set is absent, so that two frames that agree on the
    /// set give equal values. The MAC addresses become zero, the tag none.
    #[must_use]
    pub fn project(self, headers: &Headers) -> Headers {
        fn keep<T: Copy>(set: FieldSet, field: FieldSet, value: Field<T>) -> Field<T> {
            if set.contains(field) { value } else { Field::Absent }
        }
        let mut h = *headers;
        if !self.contains(FieldSet::ETH_DST) {
            h.eth_dst = Default::default();
        }
        if !self.contains(FieldSet::ETH_SRC) {
            h.eth_src = Default::default();
        }
        if !self.contains(FieldSet::VLAN) {
            h.tag = Default::default();
            h.stacked = false;
        } else if !self.contains(FieldSet::VLAN_PCP) {
            h.tag = h.tag.without_pcp();
        }
        if !self.contains(FieldSet::FRAGMENT) {
            h.fragment = Fragment::No;
        }
        h.eth_type = keep(self, FieldSet::ETH_TYPE, h.eth_type);
        h.ip_proto = keep(self, FieldSet::IP_PROTO, h.ip_proto);
        h.ip_dscp = keep(self, FieldSet::IP_DSCP, h.ip_dscp);
        h.ip_ecn = keep(self, FieldSet::IP_ECN, h.ip_ecn);
        h.ipv4_src = keep(self, FieldSet::IPV4_SRC, h.ipv4_src);
        h.ipv4_dst = keep(self, FieldSet::IPV4_DST, h.ipv4_dst);
        h.ipv6_src = keep(self, FieldSet::IPV6_SRC, h.ipv6_src);
        h.ipv6_dst = keep(self, FieldSet::IPV6_DST, h.ipv6_dst);
        h.tp_src = keep(self, FieldSet::TP_SRC, h.tp_src);
        h.tp_dst = keep(self, FieldSet::TP_DST, h.tp_dst);
        h.icmp_type = keep(self, FieldSet::ICMP_TYPE, h.icmp_type);
        h.icmp_code = keep(self, FieldSet::ICMP_CODE, h.icmp_code);
        h.arp_op = keep(self, FieldSet::ARP_OP, h.arp_op);
        h.arp_spa = keep(self, FieldSet::ARP_SPA, h.arp_spa);
        h.arp_tpa = keep(self, FieldSet::ARP_TPA, h.arp_tpa);
        h.arp_sha = keep(self, FieldSet::ARP_SHA, h.arp_sha);
        h.arp_tha = keep(self, FieldSet::ARP_THA, h.arp_tha);
        h.nd_target = keep(self, FieldSet::ND_TARGET, h.nd_target);
        h
    }
}

impl std::ops::BitOr for FieldSet {
    type Output = FieldSet;
    fn bitor(self, other: FieldSet) -> FieldSet {
        self.union(other)
    }
}

impl std::ops::BitOrAssign for FieldSet {
    fn bitor_assign(&mut self, other: FieldSet) {
        *self = self.union(other);
    }
}

impl std::fmt::Display for FieldSet {
    /// The fields in small letters: `ip_proto, tp_dst`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = FieldSet::NAMES.iter().filter(|(set, _)| self.contains(*set));
        for (index, (_, name)) in names.enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}", name.to_ascii_lowercase())?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for FieldSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set()
            .entries(
                FieldSet::NAMES.iter().filter(|(set, _)| self.contains(*set)).map(|(_, name)| name),
            )
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transport_port_depends_on_protocol_fragmentation_and_ethertype() {
        let set = FieldSet::TP_DST.with_prerequisites();
        assert_eq!(
            set,
            FieldSet::TP_DST | FieldSet::IP_PROTO | FieldSet::FRAGMENT | FieldSet::ETH_TYPE
        );
        assert_eq!(set.with_prerequisites(), set);
    }

    #[test]
    fn projection_forgets_exactly_what_is_outside_the_set() {
        let headers = Headers {
            eth_type: Field::Is(0x0800),
            ip_proto: Field::Is(6),
            tp_dst: Field::Is(22),
            ..Headers::default()
        };
        let kept = (FieldSet::ETH_TYPE | FieldSet::IP_PROTO).project(&headers);
        assert_eq!(kept, Headers { tp_dst: Field::Absent, ..headers });
        assert_eq!(FieldSet::ALL.project(&headers), headers);
        assert_eq!(FieldSet::NONE.project(&headers), Headers::default());
    }
}

//! Which matches say the same, and which cover which: how a non-strict modification or deletion
//! chooses entries (1.3.5 §6.4). Pure.

use std::mem::{Discriminant, discriminant};

use super::matching::{Masked, Match, MatchField, RawOxm, VlanMatch};

/// One criterion as bits: those of the value outside the mask are zero. Two criteria of one kind
/// with equal bits say the same, however they were written.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Bits {
    kind: Discriminant<MatchField>,
    value: u128,
    mask: u128,
    /// What is not a number.
    raw: Option<RawOxm>,
}

/// What a match says, whatever the order of its fields and however masks are written: equal for
/// matches that a switch takes for the same.
///
/// ```
/// use std::net::Ipv4Addr;
/// use umlaut_openflow::{Criteria, Masked, Match};
/// let net = |last| Masked {
///     value: Ipv4Addr::new(10, 0, 0, last),
///     mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
/// };
/// let (a, b) = (Match::new().ipv4_dst(net(1)), Match::new().ipv4_dst(net(2)));
/// assert_eq!(Criteria::new(&a), Criteria::new(&b));
/// let host = Match::new().tcp_dst(80u16).ipv4_dst(Ipv4Addr::new(10, 0, 0, 7));
/// assert!(Criteria::new(&a).covers(&Criteria::new(&host)));
/// assert!(!Criteria::new(&host).covers(&Criteria::new(&a)));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Criteria(Vec<Bits>);

impl Criteria {
    /// What a match says, its prerequisites included.
    pub fn new(matches: &Match) -> Criteria {
        let mut fields = matches.with_prerequisites().fields().to_vec();
        fields.sort_unstable();
        Criteria(fields.iter().map(bits).filter(|bits| bits.mask != 0).collect())
    }

    /// Whether every packet that `other` matches is matched by this one too, as far as single fields
    /// tell.
    pub fn covers(&self, other: &Criteria) -> bool {
        self.0.iter().all(|want| {
            other.0.iter().any(|has| {
                has.kind == want.kind
                    && has.raw == want.raw
                    && want.mask & !has.mask == 0
                    && has.value & want.mask == want.value
            })
        })
    }
}

trait Number: Copy {
    const ALL: u128;
    fn number(self) -> u128;
}

macro_rules! numbers {
    ($($ty:ty: $all:expr, $number:expr;)*) => {
        $(impl Number for $ty {
            const ALL: u128 = $all as u128;
            fn number(self) -> u128 {
                let number: fn($ty) -> u128 = $number;
                number(self)
            }
        })*
    };
}

numbers! {
    u8: u8::MAX, |n| n.into();
    u16: u16::MAX, |n| n.into();
    u32: u32::MAX, |n| n.into();
    u64: u64::MAX, |n| n.into();
    bool: 1u8, |n| n.into();
    std::net::Ipv4Addr: u32::MAX, |n| u32::from(n).into();
    std::net::Ipv6Addr: u128::MAX, |n| n.into();
    crate::types::MacAddr: (1u64 << 48) - 1, |n| n.to_u64().into();
    crate::types::PortNo: u32::MAX, |n| n.0.into();
}

fn plain<T: Number>(value: T) -> (u128, u128) {
    (value.number(), T::ALL)
}

fn masked<T: Number>(field: &Masked<T>) -> (u128, u128) {
    let mask = field.mask.map_or(T::ALL, T::number);
    (field.value.number() & mask, mask)
}

fn vlan(vlan: VlanMatch) -> (u128, u128) {
    /// OFPVID_PRESENT and the 12 bits of the VID (1.3.5 §7.2.3.8).
    const PRESENT: u16 = 0x1000;
    const ALL: u16 = 0x1fff;
    let (value, mask) = match vlan {
        VlanMatch::Absent => (0, ALL),
        VlanMatch::Present => (PRESENT, PRESENT),
        VlanMatch::Tagged(vid) => (PRESENT | vid, ALL | vid),
        VlanMatch::Raw { value, mask } => (value, mask.unwrap_or(ALL)),
    };
    ((value & mask).into(), mask.into())
}

fn bits(field: &MatchField) -> Bits {
    let (value, mask) = match field {
        MatchField::InPort(n) | MatchField::InPhyPort(n) => plain(*n),
        MatchField::EthType(n)
        | MatchField::TcpSrc(n)
        | MatchField::TcpDst(n)
        | MatchField::UdpSrc(n)
        | MatchField::UdpDst(n)
        | MatchField::SctpSrc(n)
        | MatchField::SctpDst(n)
        | MatchField::ArpOp(n)
        | MatchField::TpSrc(n)
        | MatchField::TpDst(n) => plain(*n),
        MatchField::VlanPcp(n)
        | MatchField::IpDscp(n)
        | MatchField::IpEcn(n)
        | MatchField::IpProto(n)
        | MatchField::Icmpv4Type(n)
        | MatchField::Icmpv4Code(n)
        | MatchField::Icmpv6Type(n)
        | MatchField::Icmpv6Code(n)
        | MatchField::MplsTc(n) => plain(*n),
        MatchField::MplsLabel(n) => plain(*n),
        MatchField::MplsBos(n) => plain(*n),
        MatchField::Ipv6NdSll(mac) | MatchField::Ipv6NdTll(mac) => plain(*mac),
        MatchField::EthDst(m)
        | MatchField::EthSrc(m)
        | MatchField::ArpSha(m)
        | MatchField::ArpTha(m) => masked(m),
        MatchField::Ipv4Src(m)
        | MatchField::Ipv4Dst(m)
        | MatchField::ArpSpa(m)
        | MatchField::ArpTpa(m) => masked(m),
        MatchField::Ipv6Src(m) | MatchField::Ipv6Dst(m) | MatchField::Ipv6NdTarget(m) => masked(m),
        MatchField::Metadata(m) | MatchField::TunnelId(m) => masked(m),
        MatchField::Ipv6Flabel(m) | MatchField::PbbIsid(m) => masked(m),
        MatchField::Ipv6Exthdr(m) => masked(m),
        MatchField::VlanVid(v) => vlan(*v),
        // Compared as a whole.
        MatchField::Raw(_) => (0, 1),
    };
    let raw = match field {
        MatchField::Raw(raw) => Some((**raw).clone()),
        _ => None,
    };
    Bits { kind: discriminant(field), value, mask, raw }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::types::{MacAddr, PortNo};

    fn covers(a: &Match, b: &Match) -> bool {
        Criteria::new(a).covers(&Criteria::new(b))
    }

    #[test]
    fn a_match_covers_what_is_as_narrow_or_narrower() {
        let net = |a: [u8; 4], bits: u32| {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0).into();
            Match::new().ipv4_src(Masked { value: Ipv4Addr::from(a), mask: Some(mask) })
        };
        let host = Match::new().ipv4_src(Ipv4Addr::new(10, 1, 2, 3));
        let port = Match::new().in_port(PortNo(1));
        let both = port.clone().eth_src(MacAddr::from_u64(7));
        for (wide, narrow) in [
            (Match::new(), port.clone()),
            (port.clone(), both.clone()),
            (net([10, 0, 0, 0], 8), host.clone()),
            (net([10, 0, 0, 0], 8), net([10, 1, 0, 0], 16)),
            (
                Match::new().vlan_vid(VlanMatch::Present),
                Match::new().vlan_vid(VlanMatch::Tagged(3)),
            ),
            (Match::new().eth_type(0x0800u16), Match::new().udp_dst(53u16)),
        ] {
            assert!(covers(&wide, &narrow), "{wide:?} {narrow:?}");
            assert!(covers(&narrow, &narrow), "{narrow:?}");
            assert!(!covers(&narrow, &wide), "{narrow:?} {wide:?}");
        }
        for (a, b) in [
            (net([11, 0, 0, 0], 8), host.clone()),
            (Match::new().vlan_vid(VlanMatch::Absent), Match::new().vlan_vid(VlanMatch::Present)),
            (Match::new().tcp_dst(53u16), Match::new().udp_dst(53u16)),
            (port, Match::new().in_port(PortNo(2))),
        ] {
            assert!(!covers(&a, &b) && !covers(&b, &a), "{a:?} {b:?}");
        }
    }

    #[test]
    fn the_same_said_in_another_way_is_the_same() {
        let all = Some(MacAddr([0xff; 6]));
        let table = [
            (
                Match::new().in_port(PortNo(1)).eth_type(0x0800u16),
                Match::new().eth_type(0x0800u16).in_port(PortNo(1)),
            ),
            (
                Match::new().eth_dst(MacAddr::from_u64(5)),
                Match::new().eth_dst(Masked { value: MacAddr::from_u64(5), mask: all }),
            ),
            (
                Match::new(),
                Match::new()
                    .eth_src(Masked { value: MacAddr::from_u64(5), mask: Some(MacAddr::ZERO) }),
            ),
            (
                Match::new().tcp_dst(80u16),
                Match::new().eth_type(0x0800u16).ip_proto(6).tcp_dst(80u16),
            ),
        ];
        for (a, b) in table {
            assert_eq!(Criteria::new(&a), Criteria::new(&b), "{a:?}");
        }
        let (a, b) = (Match::new().tcp_dst(80u16), Match::new().tcp_dst(81u16));
        assert_ne!(Criteria::new(&a), Criteria::new(&b));
    }
}

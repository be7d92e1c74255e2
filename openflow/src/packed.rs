//! Headers in few bytes, for tables that keep some for every flow. Pure.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::Ipv4Addr;

use crate::fields::FieldSet;
use crate::packet::{Field, Headers, Tag};
use crate::types::{MacAddr, VlanId};

/// The fields of a set, as [`FieldSet::project`] leaves them, in 32 bytes instead of the 130 of
/// [`Headers`]: layer 2, and all that flow entries match of IPv4 or ARP. What has no room there (IPv6
/// addresses, fragments, a second tag, unknown fields) lies behind a pointer; only then
/// [`PackedHeaders::new`] allocates.
///
/// Two are equal exactly where the projections are.
///
/// ```
/// use umlaut_openflow::packet::{Headers, PackedHeaders, build};
/// use umlaut_openflow::{FieldSet, MacAddr};
///
/// let frame = build::ethernet(MacAddr::BROADCAST, MacAddr::from_u64(1), &[], 0x88b5, &[]);
/// let headers = Headers::parse(&frame);
/// let packed = PackedHeaders::new(&headers, FieldSet::LAYER_2);
/// assert_eq!(packed.unpack(), FieldSet::LAYER_2.project(&headers));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PackedHeaders {
    /// Destination and tag, source and EtherType: 48 and 16 bits each.
    layer_2: [u64; 2],
    rest: Rest,
}

// Registries keep millions of them.
const _: () = assert!(size_of::<PackedHeaders>() == 32);

#[derive(Clone, PartialEq, Eq)]
enum Rest {
    /// Nothing but layer 2.
    None,
    /// Fields of IPv4 and its transport.
    Ipv4(Ipv4),
    /// Fields of ARP.
    Arp(Arp),
    /// Anything else: the projection itself.
    Spilled(Box<Headers>),
}

/// Absent fields are zero here and have no bit in `set`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Ipv4 {
    /// Bits 0 to 4: the fields of the set from IP_PROTO to IPV4_DST; 5 and 6: the two of `transport`;
    /// 7: those are type and code of ICMP, not ports.
    set: u8,
    proto: u8,
    /// DSCP and ECN, as in the header.
    tos: u8,
    src: [u8; 4],
    dst: [u8; 4],
    transport: [[u8; 2]; 2],
}

/// Likewise.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Arp {
    /// Bits 0 to 2: ARP_OP, ARP_SPA, ARP_TPA.
    set: u8,
    op: [u8; 2],
    spa: [u8; 4],
    tpa: [u8; 4],
}

const LAYER_2: FieldSet = FieldSet::LAYER_2.union(FieldSet::VLAN_PCP);
const PORTS: FieldSet = FieldSet::TP_SRC.union(FieldSet::TP_DST);
const ICMP: FieldSet = FieldSet::ICMP_TYPE.union(FieldSet::ICMP_CODE);
const IPV4: FieldSet = FieldSet::IP_PROTO
    .union(FieldSet::IP_DSCP)
    .union(FieldSet::IP_ECN)
    .union(FieldSet::IPV4_SRC)
    .union(FieldSet::IPV4_DST)
    .union(PORTS)
    .union(ICMP);
const ARP: FieldSet = FieldSet::ARP_OP.union(FieldSet::ARP_SPA).union(FieldSet::ARP_TPA);

impl PackedHeaders {
    /// Packs the fields of `width`.
    #[inline]
    pub fn new(headers: &Headers, width: FieldSet) -> PackedHeaders {
        // Most frames have no tag, and most widths are these.
        if width == FieldSet::LAYER_2
            && let (Tag::None, false, Field::Is(eth_type)) =
                (headers.tag, headers.stacked, headers.eth_type)
        {
            let (dst, src) = (headers.eth_dst.to_u64() << 16, headers.eth_src.to_u64() << 16);
            return PackedHeaders { layer_2: [dst, src | u64::from(eth_type)], rest: Rest::None };
        }
        let mac = |field, mac: MacAddr| if width.contains(field) { mac.to_u64() << 16 } else { 0 };
        let macs =
            [mac(FieldSet::ETH_DST, headers.eth_dst), mac(FieldSet::ETH_SRC, headers.eth_src)];
        let spilled = || PackedHeaders {
            layer_2: macs,
            rest: Rest::Spilled(Box::new(width.project(headers))),
        };

        let (Some(tag), Some(eth_type)) = (pack_tag(headers, width), eth_type(headers, width))
        else {
            return spilled();
        };
        let layer_2 = [macs[0] | u64::from(tag), macs[1] | u64::from(eth_type)];
        let wider = width.without(LAYER_2);
        if wider.is_empty() {
            return PackedHeaders { layer_2, rest: Rest::None };
        }
        let set = wider.intersection(FieldSet::beyond_layer_2(headers));
        let rest = match set {
            FieldSet::NONE => Some(Rest::None),
            set if IPV4.contains(set) => Ipv4::pack(headers, set).map(Rest::Ipv4),
            set if ARP.contains(set) => Arp::pack(headers, set).map(Rest::Arp),
            _ => None,
        };
        match rest {
            Some(rest) => PackedHeaders { layer_2, rest },
            None => spilled(),
        }
    }

    /// The projection that was packed.
    pub fn unpack(&self) -> Headers {
        let mut headers = Headers {
            eth_dst: self.eth_dst(),
            eth_src: self.eth_src(),
            tag: unpack_tag(self.layer_2[0] as u16),
            eth_type: Field::Is(self.layer_2[1] as u16),
            ..Headers::default()
        };
        match &self.rest {
            Rest::None => {}
            Rest::Ipv4(ipv4) => ipv4.unpack(&mut headers),
            Rest::Arp(arp) => arp.unpack(&mut headers),
            Rest::Spilled(all) => headers = **all,
        }
        headers
    }

    /// The destination; zero if it is not in the set.
    pub const fn eth_dst(&self) -> MacAddr {
        MacAddr::from_u64(self.layer_2[0] >> 16)
    }

    /// The source; zero if it is not in the set.
    pub const fn eth_src(&self) -> MacAddr {
        MacAddr::from_u64(self.layer_2[1] >> 16)
    }
}

/// What the words say, in words: a hasher takes them faster than fields of one byte.
impl Hash for PackedHeaders {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.layer_2[0]);
        state.write_u64(self.layer_2[1]);
        match &self.rest {
            Rest::None => {}
            Rest::Ipv4(Ipv4 { set, proto, tos, src, dst, transport: [[a, b], [c, d]] }) => {
                state.write_u64(u64::from_le_bytes([*set, *proto, *tos, 0, *a, *b, *c, *d]));
                state.write_u64(pair(*src, *dst));
            }
            Rest::Arp(Arp { set, op: [a, b], spa, tpa }) => {
                state.write_u64(u64::from_le_bytes([*set, 0, 0, 0, *a, *b, 0, 0]));
                state.write_u64(pair(*spa, *tpa));
            }
            Rest::Spilled(all) => all.hash(state),
        }
    }
}

fn pair(a: [u8; 4], b: [u8; 4]) -> u64 {
    u64::from(u32::from_le_bytes(a)) << 32 | u64::from(u32::from_le_bytes(b))
}

impl fmt::Debug for PackedHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.unpack().fmt(f)
    }
}

const TAGGED: u16 = 0x1000;
const RESERVED: u16 = TAGGED | 0xfff;

/// The tag as in the TCI (IEEE 802.1Q §9.6), with "there is a tag" in the place of the DEI.
fn pack_tag(headers: &Headers, width: FieldSet) -> Option<u16> {
    if !width.contains(FieldSet::VLAN) {
        return Some(0);
    }
    let (vid, pcp) = match headers.tag {
        _ if headers.stacked => return None,
        Tag::None => return Some(0),
        Tag::Reserved => return Some(RESERVED),
        Tag::Priority { pcp } => (0, pcp),
        Tag::Vlan { vid, pcp } => (vid.number(), pcp),
    };
    match pcp {
        _ if !width.contains(FieldSet::VLAN_PCP) => Some(TAGGED | vid),
        0..=7 => Some(u16::from(pcp) << 13 | TAGGED | vid),
        _ => None,
    }
}

fn unpack_tag(bits: u16) -> Tag {
    let pcp = (bits >> 13) as u8;
    match bits & 0xfff {
        _ if bits & TAGGED == 0 => Tag::None,
        0 => Tag::Priority { pcp },
        vid => VlanId::new(vid).map_or(Tag::Reserved, |vid| Tag::Vlan { vid, pcp }),
    }
}

fn eth_type(headers: &Headers, width: FieldSet) -> Option<u16> {
    headers.eth_type.value().filter(|_| width.contains(FieldSet::ETH_TYPE))
}

/// A field's value; the default if it is not in the set, and `None` if it is but unknown.
fn known<T: Default>(set: FieldSet, field: FieldSet, value: Field<T>) -> Option<T> {
    if set.contains(field) { value.value() } else { Some(T::default()) }
}

/// The reverse.
fn is<T>(set: u8, bit: u8, value: T) -> Field<T> {
    if set >> bit & 1 == 1 { Field::Is(value) } else { Field::Absent }
}

fn address(set: FieldSet, field: FieldSet, value: Field<Ipv4Addr>) -> Option<[u8; 4]> {
    if set.contains(field) { value.value().map(|ip| ip.octets()) } else { Some([0; 4]) }
}

impl Ipv4 {
    fn pack(h: &Headers, set: FieldSet) -> Option<Ipv4> {
        let (dscp, ecn) =
            (known(set, FieldSet::IP_DSCP, h.ip_dscp)?, known(set, FieldSet::IP_ECN, h.ip_ecn)?);
        let (ports, icmp) = (set.intersects(PORTS), set.intersects(ICMP));
        if dscp > 63 || ecn > 3 || ports && icmp {
            return None;
        }
        let transport = match icmp {
            true => [
                known(set, FieldSet::ICMP_TYPE, h.icmp_type)?.into(),
                known(set, FieldSet::ICMP_CODE, h.icmp_code)?.into(),
            ],
            false => {
                [known(set, FieldSet::TP_SRC, h.tp_src)?, known(set, FieldSet::TP_DST, h.tp_dst)?]
            }
        };
        let bits = set.bits();
        let two = (bits >> FieldSet::TP_SRC.bits().trailing_zeros()
            | bits >> FieldSet::ICMP_TYPE.bits().trailing_zeros())
            & 3;
        let five = bits >> FieldSet::IP_PROTO.bits().trailing_zeros() & 0x1f;
        Some(Ipv4 {
            set: (five | two << 5 | u32::from(icmp) << 7) as u8,
            proto: known(set, FieldSet::IP_PROTO, h.ip_proto)?,
            tos: dscp << 2 | ecn,
            src: address(set, FieldSet::IPV4_SRC, h.ipv4_src)?,
            dst: address(set, FieldSet::IPV4_DST, h.ipv4_dst)?,
            transport: transport.map(u16::to_be_bytes),
        })
    }

    fn unpack(&self, h: &mut Headers) {
        let [first, second] = self.transport;
        h.ip_proto = is(self.set, 0, self.proto);
        h.ip_dscp = is(self.set, 1, self.tos >> 2);
        h.ip_ecn = is(self.set, 2, self.tos & 3);
        h.ipv4_src = is(self.set, 3, self.src.into());
        h.ipv4_dst = is(self.set, 4, self.dst.into());
        if self.set >> 7 == 1 {
            h.icmp_type = is(self.set, 5, first[1]);
            h.icmp_code = is(self.set, 6, second[1]);
        } else {
            h.tp_src = is(self.set, 5, u16::from_be_bytes(first));
            h.tp_dst = is(self.set, 6, u16::from_be_bytes(second));
        }
    }
}

impl Arp {
    fn pack(h: &Headers, set: FieldSet) -> Option<Arp> {
        Some(Arp {
            set: (set.bits() >> FieldSet::ARP_OP.bits().trailing_zeros()) as u8,
            op: known(set, FieldSet::ARP_OP, h.arp_op)?.to_be_bytes(),
            spa: address(set, FieldSet::ARP_SPA, h.arp_spa)?,
            tpa: address(set, FieldSet::ARP_TPA, h.arp_tpa)?,
        })
    }

    fn unpack(&self, h: &mut Headers) {
        h.arp_op = is(self.set, 0, u16::from_be_bytes(self.op));
        h.arp_spa = is(self.set, 1, self.spa.into());
        h.arp_tpa = is(self.set, 2, self.tpa.into());
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;
    use std::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::build;
    use crate::packet::Fragment;

    const A: MacAddr = MacAddr([0, 0, 0, 0, 0, 1]);
    const B: MacAddr = MacAddr([0, 0, 0, 0, 0, 2]);
    const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const THERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
    /// What the entries of OpenFlow 1.0 match (§3.3).
    const TWELVE: FieldSet = LAYER_2
        .union(ARP)
        .union(FieldSet::IP_PROTO)
        .union(FieldSet::IP_DSCP)
        .union(FieldSet::IPV4_SRC)
        .union(FieldSet::IPV4_DST)
        .union(PORTS)
        .union(ICMP)
        .union(FieldSet::FRAGMENT);

    fn field<T: fmt::Debug + Clone>(
        values: impl Strategy<Value = T>,
    ) -> impl Strategy<Value = Field<T>> {
        prop_oneof![4 => values.prop_map(Field::Is), 2 => Just(Field::Absent), 1 => Just(Field::Unknown)]
    }

    fn mac() -> impl Strategy<Value = MacAddr> {
        prop_oneof![Just(A), Just(B), any::<[u8; 6]>().prop_map(MacAddr)]
    }

    fn ipv4() -> impl Strategy<Value = Field<Ipv4Addr>> {
        field(prop_oneof![Just(HERE), Just(Ipv4Addr::UNSPECIFIED), any::<Ipv4Addr>()])
    }

    fn ipv6() -> impl Strategy<Value = Field<Ipv6Addr>> {
        field(prop_oneof![Just(Ipv6Addr::LOCALHOST), any::<Ipv6Addr>()])
    }

    fn byte() -> impl Strategy<Value = Field<u8>> {
        field(prop_oneof![3 => 0..4u8, 1 => any::<u8>()])
    }

    fn half() -> impl Strategy<Value = Field<u16>> {
        field(prop_oneof![3 => 0..4u16, 1 => any::<u16>()])
    }

    fn tag() -> impl Strategy<Value = Tag> {
        let pcp = || prop_oneof![5 => 0..8u8, 1 => any::<u8>()];
        prop_oneof![
            Just(Tag::None),
            Just(Tag::Reserved),
            pcp().prop_map(|pcp| Tag::Priority { pcp }),
            (1..4095u16, pcp())
                .prop_map(|(vid, pcp)| Tag::Vlan { vid: VlanId::new(vid).unwrap(), pcp }),
        ]
    }

    /// Any headers, those that no frame has included.
    fn headers() -> impl Strategy<Value = Headers> {
        let fragment = prop_oneof![
            4 => Just(Fragment::No), 1 => Just(Fragment::First), 1 => Just(Fragment::Later)
        ];
        let link = (mac(), mac(), tag(), prop::bool::weighted(0.1), half(), fragment);
        let ip = (byte(), byte(), byte(), ipv4(), ipv4(), ipv6(), ipv6());
        let transport = (half(), half(), byte(), byte(), ipv6());
        let arp = (half(), ipv4(), ipv4(), field(mac()), field(mac()));
        (link, ip, transport, arp).prop_map(|(link, ip, transport, arp)| Headers {
            eth_dst: link.0,
            eth_src: link.1,
            tag: link.2,
            stacked: link.3,
            eth_type: link.4,
            fragment: link.5,
            ip_proto: ip.0,
            ip_dscp: ip.1,
            ip_ecn: ip.2,
            ipv4_src: ip.3,
            ipv4_dst: ip.4,
            ipv6_src: ip.5,
            ipv6_dst: ip.6,
            tp_src: transport.0,
            tp_dst: transport.1,
            icmp_type: transport.2,
            icmp_code: transport.3,
            nd_target: transport.4,
            arp_op: arp.0,
            arp_spa: arp.1,
            arp_tpa: arp.2,
            arp_sha: arp.3,
            arp_tha: arp.4,
        })
    }

    /// Sets that fit into one of the forms, and any.
    fn width() -> impl Strategy<Value = FieldSet> {
        let subset = |of: FieldSet| {
            any::<u32>().prop_map(move |bits| FieldSet::from_bits(bits).intersection(of))
        };
        prop_oneof![
            subset(FieldSet::ALL),
            subset(LAYER_2),
            subset(IPV4.without(ICMP)).prop_map(|set| set | FieldSet::LAYER_2),
            subset(IPV4.without(PORTS)).prop_map(|set| set | LAYER_2),
            subset(ARP).prop_map(|set| set | FieldSet::LAYER_2),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn unpacking_gives_the_projection(headers in headers(), width in width()) {
            let packed = PackedHeaders::new(&headers, width);
            let projection = width.project(&headers);
            prop_assert_eq!(packed.unpack(), projection);
            prop_assert_eq!((packed.eth_dst(), packed.eth_src()), (projection.eth_dst, projection.eth_src));
            prop_assert_eq!(PackedHeaders::new(&projection, width), packed);
        }

        /// The other frame differs in some fields, often in one of the set, often in none.
        #[test]
        fn equal_are_those_whose_projections_are(
            one in headers(), other in headers(), width in width(), wider in width(), take in any::<u32>(),
            again in any::<u32>(),
        ) {
            let taken = FieldSet::from_bits(take & again);
            let other = mixed(&one, &other, taken);
            let (a, b) = (PackedHeaders::new(&one, width), PackedHeaders::new(&other, wider));
            prop_assert_eq!(a == b, width.project(&one) == wider.project(&other));
            let b = PackedHeaders::new(&other, width);
            prop_assert_eq!(a == b, width.project(&one) == width.project(&other));
            if a == b {
                let state = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default();
                prop_assert_eq!(state.hash_one(&a), state.hash_one(&b));
            }
        }
    }

    /// The fields of `taken` from `b`, the others from `a`.
    fn mixed(a: &Headers, b: &Headers, taken: FieldSet) -> Headers {
        let pick = |field| if taken.contains(field) { b } else { a };
        Headers {
            eth_dst: pick(FieldSet::ETH_DST).eth_dst,
            eth_src: pick(FieldSet::ETH_SRC).eth_src,
            tag: pick(FieldSet::VLAN).tag,
            stacked: pick(FieldSet::VLAN_PCP).stacked,
            eth_type: pick(FieldSet::ETH_TYPE).eth_type,
            fragment: pick(FieldSet::FRAGMENT).fragment,
            ip_proto: pick(FieldSet::IP_PROTO).ip_proto,
            ip_dscp: pick(FieldSet::IP_DSCP).ip_dscp,
            ip_ecn: pick(FieldSet::IP_ECN).ip_ecn,
            ipv4_src: pick(FieldSet::IPV4_SRC).ipv4_src,
            ipv4_dst: pick(FieldSet::IPV4_DST).ipv4_dst,
            ipv6_src: pick(FieldSet::IPV6_SRC).ipv6_src,
            ipv6_dst: pick(FieldSet::IPV6_DST).ipv6_dst,
            tp_src: pick(FieldSet::TP_SRC).tp_src,
            tp_dst: pick(FieldSet::TP_DST).tp_dst,
            icmp_type: pick(FieldSet::ICMP_TYPE).icmp_type,
            icmp_code: pick(FieldSet::ICMP_CODE).icmp_code,
            arp_op: pick(FieldSet::ARP_OP).arp_op,
            arp_spa: pick(FieldSet::ARP_SPA).arp_spa,
            arp_tpa: pick(FieldSet::ARP_TPA).arp_tpa,
            arp_sha: pick(FieldSet::ARP_SHA).arp_sha,
            arp_tha: pick(FieldSet::ARP_THA).arp_tha,
            nd_target: pick(FieldSet::ND_TARGET).nd_target,
        }
    }

    #[test]
    fn usual_frames_under_usual_widths_need_no_pointer() {
        let udp = build::udp(HERE, THERE, 1000, 53, &[]);
        let udp = build::ethernet(B, A, &[(0x8100, 0x6007)], 0x0800, &udp);
        let arp = build::ethernet(B, A, &[], 0x0806, &build::arp(1, A, HERE, MacAddr::ZERO, THERE));
        let other = build::ethernet(B, A, &[(0x8100, 0xa000)], 0x88b5, &[]);
        for frame in [&udp, &arp, &other] {
            let headers = Headers::parse(frame);
            for width in [FieldSet::LAYER_2, LAYER_2, TWELVE] {
                let packed = PackedHeaders::new(&headers, width);
                assert!(!matches!(packed.rest, Rest::Spilled(_)), "{headers:?} {width:?}");
                assert_eq!(packed.unpack(), width.project(&headers));
            }
        }
    }
}

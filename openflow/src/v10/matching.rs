//! The match of 1.0: a fixed structure with wildcards (1.0 §5.2.3). Pure.

use std::net::Ipv4Addr;

use bytes::{BufMut, BytesMut};

use crate::common::lacks;
use crate::error::EncodeError;
use crate::model::{Masked, Match, MatchField, VlanMatch};
use crate::types::{MacAddr, Version};
use crate::wire::{Parsed, Port16, Put, Wire, fixed};

fixed! {
    /// `ofp_match` (§5.2.3).
    OfpMatch {
        wildcards: u32,
        in_port: Port16,
        dl_src: MacAddr,
        dl_dst: MacAddr,
        dl_vlan: u16,
        dl_vlan_pcp: u8,
        [1],
        dl_type: u16,
        nw_tos: u8,
        nw_proto: u8,
        [2],
        nw_src: Ipv4Addr,
        nw_dst: Ipv4Addr,
        tp_src: u16,
        tp_dst: u16,
    }
}

/// Where `ofp_match` has reserved bytes: they do not count as content.
const PADDING: [usize; 3] = [21, 26, 27];

// ofp_flow_wildcards (§5.2.3).
pub(super) const W_IN_PORT: u32 = 1;
pub(super) const W_DL_VLAN: u32 = 1 << 1;
pub(super) const W_DL_SRC: u32 = 1 << 2;
pub(super) const W_DL_DST: u32 = 1 << 3;
pub(super) const W_DL_TYPE: u32 = 1 << 4;
pub(super) const W_NW_PROTO: u32 = 1 << 5;
pub(super) const W_TP_SRC: u32 = 1 << 6;
pub(super) const W_TP_DST: u32 = 1 << 7;
pub(super) const NW_SRC_SHIFT: u32 = 8;
pub(super) const NW_DST_SHIFT: u32 = 14;
pub(super) const W_DL_VLAN_PCP: u32 = 1 << 20;
pub(super) const W_NW_TOS: u32 = 1 << 21;
/// Everything wildcarded, in the form that encoding gives.
pub(super) const W_ALL: u32 = W_IN_PORT
    | W_DL_VLAN
    | W_DL_SRC
    | W_DL_DST
    | W_DL_TYPE
    | W_NW_PROTO
    | W_TP_SRC
    | W_TP_DST
    | 32 << NW_SRC_SHIFT
    | 32 << NW_DST_SHIFT
    | W_DL_VLAN_PCP
    | W_NW_TOS;

const V: Version = Version::V1_0;
const NO_VLAN: u16 = 0xffff;
/// The largest VID and priority that a tag has room for.
pub(super) const MAX_VID: u16 = 0xfff;
pub(super) const MAX_PCP: u8 = 7;
const ARP: u16 = 0x0806;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Decodes a match. What the fields do not say, values under wildcards, wildcard counts above 32 and
/// numbers that no tag has room for, is kept beside them.
pub(super) fn parse_match(input: &[u8]) -> Parsed<'_, Match> {
    let (rest, m) = OfpMatch::parse(input)?;
    let mut matches = Match::new();
    let has = |bit: u32| m.wildcards & bit == 0;
    if has(W_IN_PORT) {
        matches.push(MatchField::InPort(m.in_port));
    }
    if has(W_DL_SRC) {
        matches.push(MatchField::EthSrc(m.dl_src.into()));
    }
    if has(W_DL_DST) {
        matches.push(MatchField::EthDst(m.dl_dst.into()));
    }
    if has(W_DL_VLAN) {
        matches.push(MatchField::VlanVid(match m.dl_vlan {
            NO_VLAN => VlanMatch::Absent,
            // Above 4095 no frame matches; the number survives beside the fields.
            vid => VlanMatch::Tagged(vid),
        }));
    }
    if has(W_DL_VLAN_PCP) {
        matches.push(MatchField::VlanPcp(m.dl_vlan_pcp));
    }
    if has(W_DL_TYPE) {
        matches.push(MatchField::EthType(m.dl_type));
    }
    if has(W_NW_TOS) {
        matches.push(MatchField::IpDscp(m.nw_tos >> 2));
    }
    let arp = has(W_DL_TYPE) && m.dl_type == ARP;
    if has(W_NW_PROTO) {
        matches.push(match arp {
            true => MatchField::ArpOp(m.nw_proto.into()),
            false => MatchField::IpProto(m.nw_proto),
        });
    }
    for (shift, value, source) in [(NW_SRC_SHIFT, m.nw_src, true), (NW_DST_SHIFT, m.nw_dst, false)]
    {
        let wild = m.wildcards >> shift & 0x3f;
        if wild >= 32 {
            continue;
        }
        let mask = (wild != 0).then(|| Ipv4Addr::from(u32::MAX << wild));
        let address = Masked { value, mask };
        matches.push(match (arp, source) {
            (true, true) => MatchField::ArpSpa(address),
            (true, false) => MatchField::ArpTpa(address),
            (false, true) => MatchField::Ipv4Src(address),
            (false, false) => MatchField::Ipv4Dst(address),
        });
    }
    let proto = if has(W_NW_PROTO) && !arp { m.nw_proto } else { 0 };
    if has(W_TP_SRC) {
        matches.push(match (proto, u8::try_from(m.tp_src)) {
            (TCP, _) => MatchField::TcpSrc(m.tp_src),
            (UDP, _) => MatchField::UdpSrc(m.tp_src),
            (ICMP, Ok(kind)) => MatchField::Icmpv4Type(kind),
            _ => MatchField::TpSrc(m.tp_src),
        });
    }
    if has(W_TP_DST) {
        matches.push(match (proto, u8::try_from(m.tp_dst)) {
            (TCP, _) => MatchField::TcpDst(m.tp_dst),
            (UDP, _) => MatchField::UdpDst(m.tp_dst),
            (ICMP, Ok(code)) => MatchField::Icmpv4Code(code),
            _ => MatchField::TpDst(m.tp_dst),
        });
    }
    if let Some(wire) = input.first_chunk()
        && !encodes_to(&matches, wire)
    {
        matches.v10_wire = Some(Box::new(*wire));
    }
    Ok((rest, matches))
}

/// Whether the fields alone say all of these bytes.
fn encodes_to(matches: &Match, wire: &[u8; OfpMatch::SIZE]) -> bool {
    let mut wanted = *wire;
    PADDING.iter().for_each(|at| wanted[*at] = 0);
    let mut again = [0; OfpMatch::SIZE];
    fill_canonical(matches, &mut again).is_ok() && again == wanted
}

// Where the fields stand.
const WILDCARDS: usize = 0;
const IN_PORT: usize = 4;
const DL_SRC: usize = 6;
const DL_DST: usize = 12;
const DL_VLAN: usize = 18;
const DL_VLAN_PCP: usize = 20;
const DL_TYPE: usize = 22;
const NW_TOS: usize = 24;
const NW_PROTO: usize = 25;
const NW_SRC: usize = 28;
const NW_DST: usize = 32;
const TP_SRC: usize = 36;
const TP_DST: usize = 38;

/// Writes the fields to their places in a block of zeros.
#[inline(always)]
fn fill_canonical(matches: &Match, block: &mut [u8; OfpMatch::SIZE]) -> Put {
    let mut wildcards = W_ALL;
    let exact = |masked| if masked { lacks("a masked MAC address", V) } else { Ok(()) };
    for field in matches.fields() {
        match field {
            MatchField::InPort(port) => {
                claim(&mut wildcards, W_IN_PORT)?;
                Port16::write(port, &mut block[IN_PORT..])?;
            }
            MatchField::EthSrc(mac) => {
                exact(mac.mask.is_some())?;
                claim(&mut wildcards, W_DL_SRC)?;
                MacAddr::write(&mac.value, &mut block[DL_SRC..])?;
            }
            MatchField::EthDst(mac) => {
                exact(mac.mask.is_some())?;
                claim(&mut wildcards, W_DL_DST)?;
                MacAddr::write(&mac.value, &mut block[DL_DST..])?;
            }
            MatchField::VlanVid(vlan) => {
                claim(&mut wildcards, W_DL_VLAN)?;
                let vid = match *vlan {
                    VlanMatch::Absent => NO_VLAN,
                    VlanMatch::Tagged(vid) if vid <= MAX_VID => vid,
                    VlanMatch::Tagged(_) => return Err(EncodeError::Value { what: "VlanVid" }),
                    _ => return lacks("any tagged frame, or a masked VID", V),
                };
                u16::write(&vid, &mut block[DL_VLAN..])?;
            }
            MatchField::VlanPcp(pcp) => {
                claim(&mut wildcards, W_DL_VLAN_PCP)?;
                if *pcp > MAX_PCP {
                    return Err(EncodeError::Value { what: "VlanPcp" });
                }
                block[DL_VLAN_PCP] = *pcp;
            }
            MatchField::EthType(eth_type) => {
                claim(&mut wildcards, W_DL_TYPE)?;
                u16::write(eth_type, &mut block[DL_TYPE..])?;
            }
            MatchField::IpDscp(dscp) => {
                claim(&mut wildcards, W_NW_TOS)?;
                if *dscp > 63 {
                    return Err(EncodeError::Value { what: "IpDscp" });
                }
                block[NW_TOS] = dscp << 2;
            }
            MatchField::IpProto(proto) => {
                claim(&mut wildcards, W_NW_PROTO)?;
                block[NW_PROTO] = *proto;
            }
            MatchField::ArpOp(op) => {
                claim(&mut wildcards, W_NW_PROTO)?;
                block[NW_PROTO] = match u8::try_from(*op) {
                    Ok(op) => op,
                    Err(_) => return lacks("an ARP operation above 255", V),
                };
            }
            MatchField::Ipv4Src(address) | MatchField::ArpSpa(address) => {
                claim(&mut wildcards, 32 << NW_SRC_SHIFT)?;
                wildcards |= wild_bits(address)? << NW_SRC_SHIFT;
                Ipv4Addr::write(&address.value, &mut block[NW_SRC..])?;
            }
            MatchField::Ipv4Dst(address) | MatchField::ArpTpa(address) => {
                claim(&mut wildcards, 32 << NW_DST_SHIFT)?;
                wildcards |= wild_bits(address)? << NW_DST_SHIFT;
                Ipv4Addr::write(&address.value, &mut block[NW_DST..])?;
            }
            MatchField::TcpSrc(port) | MatchField::UdpSrc(port) | MatchField::TpSrc(port) => {
                claim(&mut wildcards, W_TP_SRC)?;
                u16::write(port, &mut block[TP_SRC..])?;
            }
            MatchField::TcpDst(port) | MatchField::UdpDst(port) | MatchField::TpDst(port) => {
                claim(&mut wildcards, W_TP_DST)?;
                u16::write(port, &mut block[TP_DST..])?;
            }
            MatchField::Icmpv4Type(kind) => {
                claim(&mut wildcards, W_TP_SRC)?;
                u16::write(&u16::from(*kind), &mut block[TP_SRC..])?;
            }
            MatchField::Icmpv4Code(code) => {
                claim(&mut wildcards, W_TP_DST)?;
                u16::write(&u16::from(*code), &mut block[TP_DST..])?;
            }
            _ => return lacks("this match field", V),
        }
    }
    u32::write(&wildcards, &mut block[WILDCARDS..])
}

/// Turns a wildcard off, once.
fn claim(wildcards: &mut u32, bits: u32) -> Result<(), EncodeError> {
    if *wildcards & bits != bits {
        return lacks("two conditions on one match field", V);
    }
    *wildcards &= !bits;
    Ok(())
}

/// How many low bits a prefix mask leaves open.
fn wild_bits(address: &Masked<Ipv4Addr>) -> Result<u32, EncodeError> {
    let mask = address.mask.map_or(u32::MAX, u32::from);
    let wild = mask.trailing_zeros();
    match mask.checked_shr(wild).unwrap_or(0).trailing_ones() + wild {
        // A mask of zeros is the wildcard itself.
        32 => Ok(wild),
        _ => lacks("an IPv4 mask that is no prefix", V),
    }
}

/// Writes a match to a block of zeros: as it came, if it came from the wire and its fields alone do not
/// say it all.
#[inline(always)]
pub(super) fn fill_match(matches: &Match, block: &mut [u8; OfpMatch::SIZE]) -> Put {
    match &matches.v10_wire {
        Some(wire) => {
            *block = **wire;
            Ok(())
        }
        None => fill_canonical(matches, block),
    }
}

#[inline(always)]
pub(super) fn put_match(matches: &Match, out: &mut BytesMut) -> Put {
    let mut block = [0; OfpMatch::SIZE];
    fill_match(matches, &mut block)?;
    out.put_slice(&block);
    Ok(())
}

//! OXM match fields and the 1.3 match (OpenFlow 1.3.5 §7.2.3). Pure.

use bytes::{BufMut, BytesMut};

use crate::error::{Broken, EncodeError, Part, Problem};
use crate::model::{Masked, Match, MatchField, RawOxm, VlanMatch};
use crate::types::{MacAddr, PortNo, Version};
use crate::wire::{Parsed, Wire, block, fail, pad8, round8, truncated};
use std::net::{Ipv4Addr, Ipv6Addr};

const BASIC: u16 = 0x8000;
const PRESENT: u16 = 0x1000;

/// One field of an OXM list, undecoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Oxm<'a> {
    /// OXM class.
    pub class: u16,
    /// Field number in its class.
    pub field: u8,
    /// Whether the second half of the body is a mask.
    pub has_mask: bool,
    /// Value, and mask if there is one.
    pub body: &'a [u8],
}

/// The fields of an OXM list, one after the other. Ends at the first that does not fit; decoding
/// has checked that there is none.
#[derive(Clone, Copy, Debug)]
pub struct Oxms<'a>(pub(crate) &'a [u8]);

impl<'a> Oxms<'a> {
    /// The fields in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Oxms<'a> {
        Oxms(bytes)
    }
}

impl<'a> Iterator for Oxms<'a> {
    type Item = Oxm<'a>;

    fn next(&mut self) -> Option<Oxm<'a>> {
        let (rest, oxm) = next(self.0).ok()?;
        self.0 = rest;
        Some(oxm)
    }
}

#[inline(always)]
fn next(input: &[u8]) -> Parsed<'_, Oxm<'_>> {
    let (rest, head) = block(4, "oxm_header", input)?;
    let (rest, body) = block(head[3].into(), "oxm_length", rest)?;
    let oxm = Oxm {
        class: u16::from_be_bytes([head[0], head[1]]),
        field: head[2] >> 1,
        has_mask: head[2] & 1 != 0,
        body,
    };
    Ok((rest, oxm))
}

/// A value of an OXM field, of fixed width.
trait OxmValue: Sized + Copy {
    const WIDTH: usize;
    fn get(bytes: &[u8]) -> Option<Self>;
    fn put(self, out: &mut BytesMut);
}

macro_rules! oxm_value {
    ($($ty:ty: $width:literal, $get:expr, $put:expr;)*) => {$(
        impl OxmValue for $ty {
            const WIDTH: usize = $width;
            #[inline(always)]
            fn get(bytes: &[u8]) -> Option<$ty> {
                let get: fn(&[u8]) -> Option<$ty> = $get;
                get(bytes)
            }
            fn put(self, out: &mut BytesMut) {
                let put: fn($ty, &mut BytesMut) = $put;
                put(self, out);
            }
        }
    )*};
}

oxm_value! {
    u8: 1, |b| Some(b[0]), |v, out| out.put_u8(v);
    u16: 2, |b| Some(Wire::read(b)), |v, out| out.put_u16(v);
    u32: 4, |b| Some(Wire::read(b)), |v, out| out.put_u32(v);
    u64: 8, |b| Some(Wire::read(b)), |v, out| out.put_u64(v);
    PortNo: 4, |b| Some(PortNo(Wire::read(b))), |v, out| out.put_u32(v.0);
    MacAddr: 6, |b| Some(Wire::read(b)), |v, out| out.put_slice(&v.0);
    Ipv4Addr: 4, |b| Some(u32::read(b).into()), |v, out| out.put_slice(&v.octets());
    Ipv6Addr: 16, |b| Some(u128::read(b).into()), |v, out| out.put_slice(&v.octets());
    bool: 1, |b| match b[0] { 0 => Some(false), 1 => Some(true), _ => None }, |v, out| out.put_u8(v.into());
}

/// A 24-bit number (PBB I-SID).
#[derive(Clone, Copy)]
struct U24(u32);

impl OxmValue for U24 {
    const WIDTH: usize = 3;
    fn get(b: &[u8]) -> Option<U24> {
        Some(U24(u32::from_be_bytes([0, b[0], b[1], b[2]])))
    }
    fn put(self, out: &mut BytesMut) {
        out.put_slice(&self.0.to_be_bytes()[1..]);
    }
}

fn raw(oxm: &Oxm<'_>) -> MatchField {
    MatchField::Raw(RawOxm {
        class: oxm.class,
        field: oxm.field,
        has_mask: oxm.has_mask,
        body: oxm.body.to_vec(),
    })
}

/// The table of the basic class: number, variant, whether it may be masked. What has a mask but may
/// not, or a value outside its space, stays raw; a wrong width is an error.
macro_rules! basic {
    (
        plain { $($pn:literal $pv:ident $pt:ty,)* }
        masked { $($mn:literal $mv:ident $mt:ty,)* }
    ) => {
        fn width(field: u8) -> Option<usize> {
            match field {
                $($pn => Some(<$pt>::WIDTH),)*
                $($mn => Some(<$mt>::WIDTH),)*
                6 => Some(2),
                37 => Some(3),
                _ => None,
            }
        }

        fn basic(oxm: &Oxm<'_>) -> Option<MatchField> {
            let width = width(oxm.field)?;
            let (value, mask) = match oxm.has_mask {
                true => (&oxm.body[..width], Some(&oxm.body[width..])),
                false => (oxm.body, None),
            };
            Some(match (oxm.field, mask) {
                $(($pn, None) => MatchField::$pv(<$pt>::get(value)?),)*
                $(($mn, mask) => MatchField::$mv(Masked {
                    value: <$mt>::get(value)?,
                    mask: match mask {
                        Some(mask) => Some(<$mt>::get(mask)?),
                        None => None,
                    },
                }),)*
                (6, mask) => MatchField::VlanVid(vlan(u16::read(value), mask.map(u16::read))),
                (37, mask) => MatchField::PbbIsid(Masked {
                    value: U24::get(value)?.0,
                    mask: mask.and_then(U24::get).map(|mask| mask.0),
                }),
                _ => return None,
            })
        }

        /// Number, value and mask of a field of the basic class.
        fn put_basic(field: &MatchField, out: &mut BytesMut) -> bool {
            fn put<T: OxmValue>(number: u8, value: T, mask: Option<T>, out: &mut BytesMut) {
                let length = T::WIDTH * (1 + usize::from(mask.is_some()));
                head(BASIC, number, mask.is_some(), length as u8, out);
                value.put(out);
                if let Some(mask) = mask {
                    mask.put(out);
                }
            }
            match field {
                $(MatchField::$pv(value) => put::<$pt>($pn, *value, None, out),)*
                $(MatchField::$mv(m) => put::<$mt>($mn, m.value, m.mask, out),)*
                MatchField::VlanVid(vlan) => {
                    let (value, mask) = vlan_bits(*vlan);
                    put(6, value, mask, out);
                }
                MatchField::PbbIsid(m) => put(37, U24(m.value), m.mask.map(U24), out),
                MatchField::Raw(_) | MatchField::TpSrc(_) | MatchField::TpDst(_) => return false,
            }
            true
        }
    };
}

basic! {
    plain {
        0 InPort PortNo,
        1 InPhyPort PortNo,
        5 EthType u16,
        7 VlanPcp u8,
        8 IpDscp u8,
        9 IpEcn u8,
        10 IpProto u8,
        13 TcpSrc u16,
        14 TcpDst u16,
        15 UdpSrc u16,
        16 UdpDst u16,
        17 SctpSrc u16,
        18 SctpDst u16,
        19 Icmpv4Type u8,
        20 Icmpv4Code u8,
        21 ArpOp u16,
        29 Icmpv6Type u8,
        30 Icmpv6Code u8,
        32 Ipv6NdSll MacAddr,
        33 Ipv6NdTll MacAddr,
        34 MplsLabel u32,
        35 MplsTc u8,
        36 MplsBos bool,
    }
    masked {
        2 Metadata u64,
        3 EthDst MacAddr,
        4 EthSrc MacAddr,
        11 Ipv4Src Ipv4Addr,
        12 Ipv4Dst Ipv4Addr,
        22 ArpSpa Ipv4Addr,
        23 ArpTpa Ipv4Addr,
        24 ArpSha MacAddr,
        25 ArpTha MacAddr,
        26 Ipv6Src Ipv6Addr,
        27 Ipv6Dst Ipv6Addr,
        28 Ipv6Flabel u32,
        31 Ipv6NdTarget Ipv6Addr,
        38 TunnelId u64,
        39 Ipv6Exthdr u16,
    }
}

fn vlan(value: u16, mask: Option<u16>) -> VlanMatch {
    match (value, mask) {
        (0, None) => VlanMatch::Absent,
        (PRESENT, Some(PRESENT)) => VlanMatch::Present,
        (value, None) if value & !0xfff == PRESENT => VlanMatch::Tagged(value & 0xfff),
        _ => VlanMatch::Raw { value, mask },
    }
}

fn vlan_bits(vlan: VlanMatch) -> (u16, Option<u16>) {
    match vlan {
        VlanMatch::Absent => (0, None),
        VlanMatch::Present => (PRESENT, Some(PRESENT)),
        VlanMatch::Tagged(vid) => (PRESENT | vid & 0xfff, None),
        VlanMatch::Raw { value, mask } => (value, mask),
    }
}

fn head(class: u16, field: u8, has_mask: bool, length: u8, out: &mut BytesMut) {
    out.put_u16(class);
    out.put_u8(field << 1 | u8::from(has_mask));
    out.put_u8(length);
}

/// Whether the body has the width of its field.
fn fits(oxm: &Oxm<'_>) -> bool {
    match width(oxm.field).filter(|_| oxm.class == BASIC) {
        Some(width) => oxm.body.len() == width * (1 + usize::from(oxm.has_mask)),
        None => !oxm.has_mask || oxm.class == 0xffff || oxm.body.len().is_multiple_of(2),
    }
}

/// Checks a list without decoding it: every header and width.
pub(crate) fn check(list: &[u8]) -> Result<(), nom::Err<Broken>> {
    let mut rest = list;
    while !rest.is_empty() {
        let at = rest;
        let (after, oxm) = next(rest).map_err(|e| e.map(|e| e.in_part(Part::Match)))?;
        if !fits(&oxm) {
            let length = Problem::Length(oxm.body.len() as u32);
            return fail(at, "oxm_length", length)
                .map_err(|e| e.map(|e: Broken| e.in_part(Part::Match)));
        }
        rest = after;
    }
    Ok(())
}

/// Decodes one field; its width has been checked.
pub(crate) fn field(oxm: &Oxm<'_>) -> MatchField {
    match oxm.class {
        BASIC => basic(oxm).unwrap_or_else(|| raw(oxm)),
        _ => raw(oxm),
    }
}

/// One field at the start of `input`, as in a set-field action.
pub(crate) fn parse_field(input: &[u8]) -> Parsed<'_, MatchField> {
    let (rest, oxm) = next(input)?;
    if !fits(&oxm) {
        return fail(input, "oxm_length", Problem::Length(oxm.body.len() as u32));
    }
    Ok((rest, field(&oxm)))
}

/// Cuts the OXM list out of an `ofp_match` and checks it (§7.2.3.1).
#[inline(always)]
pub(crate) fn match_list(input: &[u8]) -> Parsed<'_, &[u8]> {
    let bad = |at: &[u8], field, problem| {
        nom::Err::Error(Broken::new(at, field, problem).in_part(Part::Match))
    };
    let (_, head) = block(4, "match", input)?;
    let kind = u16::from_be_bytes([head[0], head[1]]);
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if kind != 1 {
        return Err(bad(input, "match.type", Problem::Value(kind.into())));
    }
    if length < 4 {
        return Err(bad(&input[2..], "match.length", Problem::Length(length as u32)));
    }
    if round8(length) > input.len() {
        return Err(nom::Err::Error(truncated(&input[2..], "match.length").in_part(Part::Match)));
    }
    let list = &input[4..length];
    check(list)?;
    Ok((&input[round8(length)..], list))
}

/// Decodes an `ofp_match`.
pub(crate) fn parse_match(input: &[u8]) -> Parsed<'_, Match> {
    let (rest, list) = match_list(input)?;
    Ok((rest, Oxms(list).map(|oxm| field(&oxm)).collect()))
}

/// Writes one field.
pub(crate) fn put_field(field: &MatchField, out: &mut BytesMut) -> Result<(), EncodeError> {
    if put_basic(field, out) {
        return Ok(());
    }
    match field {
        MatchField::Raw(raw) => {
            let length = u8::try_from(raw.body.len())
                .map_err(|_| EncodeError::TooLong { what: "match field" })?;
            head(raw.class, raw.field, raw.has_mask, length, out);
            out.put_slice(&raw.body);
            Ok(())
        }
        _ => Err(EncodeError::Inexpressible {
            what: "a transport port of an unnamed protocol",
            version: Version::V1_3,
        }),
    }
}

/// Writes an `ofp_match` around these list bytes.
pub(crate) fn put_match_list(list: &[u8], out: &mut BytesMut) -> Result<(), EncodeError> {
    let length =
        u16::try_from(4 + list.len()).map_err(|_| EncodeError::TooLong { what: "match" })?;
    let start = out.len();
    out.put_u16(1);
    out.put_u16(length);
    out.put_slice(list);
    pad8(out, start);
    Ok(())
}

/// Writes an `ofp_match`.
pub(crate) fn put_match(m: &Match, out: &mut BytesMut) -> Result<(), EncodeError> {
    let start = out.len();
    out.put_u16(1);
    out.put_u16(0);
    for field in m.fields() {
        put_field(field, out)?;
    }
    let length =
        u16::try_from(out.len() - start).map_err(|_| EncodeError::TooLong { what: "match" })?;
    out[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
    pad8(out, start);
    Ok(())
}

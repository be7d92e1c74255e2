//! OXM match fields and the 1.3 match (OpenFlow 1.3.5 §7.2.3). Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, BytesMut};

use crate::error::{EncodeError, Part, Problem};
use crate::model::{Masked, Match, MatchField, RawOxm, VlanMatch};
use crate::types::{MacAddr, PortNo, Version};
use crate::wire::{Decoded, Parsed, Put, Wire, block, fail, pad8, round8, with_length, within};

const BASIC: u16 = 0x8000;
const EXPERIMENTER: u16 = 0xffff;
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
    let Some((body, rest)) = rest.split_at_checked(head[3].into()) else {
        return fail(&input[3..], "oxm_length", Problem::Length(head[3].into()));
    };
    let oxm = Oxm {
        class: u16::from_be_bytes([head[0], head[1]]),
        field: head[2] >> 1,
        has_mask: head[2] & 1 != 0,
        body,
    };
    Ok((rest, oxm))
}

/// A 24-bit number (PBB I-SID).
#[derive(Clone, Copy)]
struct U24;

impl Wire for U24 {
    const SIZE: usize = 3;
    type Value = u32;
    fn read(b: &[u8]) -> u32 {
        u32::from_be_bytes([0, b[0], b[1], b[2]])
    }
    fn write(value: &u32, bytes: &mut [u8]) -> Put {
        let [0, low @ ..] = value.to_be_bytes() else {
            return Err(EncodeError::Value { what: "PbbIsid" });
        };
        bytes[..3].copy_from_slice(&low);
        Ok(())
    }
}

#[cold]
fn raw(oxm: &Oxm<'_>) -> MatchField {
    MatchField::Raw(Box::new(RawOxm {
        class: oxm.class,
        field: oxm.field,
        has_mask: oxm.has_mask,
        body: oxm.body.to_vec(),
    }))
}

/// Writes a field of the basic class without mask, `N` bytes, as one block.
#[inline(always)]
fn put<T: Wire, const N: usize>(
    number: u8,
    what: &'static str,
    value: &T::Value,
    out: &mut BytesMut,
) -> Put {
    let mut block = [0; N];
    block[..4].copy_from_slice(&header(BASIC, number, false, T::SIZE as u8));
    T::write(value, &mut block[4..])?;
    if !in_range(number, &block[4..]) {
        return Err(EncodeError::Value { what });
    }
    out.put_slice(&block);
    Ok(())
}

/// The same with a mask.
#[inline(always)]
fn put_masked<T: Wire, const N: usize>(
    number: u8,
    what: &'static str,
    value: &T::Value,
    mask: &T::Value,
    out: &mut BytesMut,
) -> Put {
    let mut block = [0; N];
    // Six-bit widths at most: the address of IPv6 with its mask has 32 bytes.
    block[..4].copy_from_slice(&header(BASIC, number, true, 2 * T::SIZE as u8));
    T::write(value, &mut block[4..])?;
    T::write(mask, &mut block[4 + T::SIZE..])?;
    if !in_range(number, &block[4..]) || !in_range(number, &block[4 + T::SIZE..]) {
        return Err(EncodeError::Value { what });
    }
    out.put_slice(&block);
    Ok(())
}

/// The right one of the two.
macro_rules! put {
    ($number:expr, $what:expr, $type:ty, $value:expr, $out:ident) => {
        put::<$type, { 4 + <$type as Wire>::SIZE }>($number, $what, $value, $out)
    };
    ($number:expr, $what:expr, $type:ty, $value:expr, $mask:expr, $out:ident) => {
        put_masked::<$type, { 4 + 2 * <$type as Wire>::SIZE }>($number, $what, $value, $mask, $out)
    };
}

#[inline(always)]
fn value<T: Wire>(field: u8, bytes: &[u8]) -> Option<T::Value> {
    (bytes.len() == T::SIZE && in_range(field, bytes)).then(|| T::read(bytes))
}

#[inline(always)]
fn masked<T: Wire>(field: u8, has_mask: bool, bytes: &[u8]) -> Option<Masked<T::Value>> {
    if !has_mask {
        return Some(Masked { value: value::<T>(field, bytes)?, mask: None });
    }
    let (front, back) = bytes.split_at_checked(T::SIZE)?;
    Some(Masked { value: value::<T>(field, front)?, mask: Some(value::<T>(field, back)?) })
}

/// The table of the basic class: number, variant, type, and whether it may be masked. What has a mask
/// but may not, and bits outside a field's space, stay raw; a wrong width is an error.
macro_rules! basic {
    (
        plain { $($pn:literal $pv:ident $pt:ty,)* }
        masked { $($mn:literal $mv:ident $mt:ty,)* }
        boxed { $($bn:literal $bv:ident $bt:ty,)* }
    ) => {
        /// Bytes of the value, without mask.
        pub(super) const fn width(field: u8) -> Option<usize> {
            match field {
                $($pn => Some(<$pt as Wire>::SIZE),)*
                $($mn => Some(<$mt as Wire>::SIZE),)*
                $($bn => Some(<$bt as Wire>::SIZE),)*
                VLAN_VID => Some(2),
                MPLS_BOS => Some(1),
                _ => None,
            }
        }

        /// A field of the basic class; `None` if its number, its width or a bit of it is not one that
        /// the field has, or if it has a mask and may not.
        #[inline]
        fn basic(oxm: &Oxm<'_>) -> Option<MatchField> {
            Some(match (oxm.field, oxm.has_mask) {
                $(($pn, false) => MatchField::$pv(value::<$pt>($pn, oxm.body)?),)*
                $(($mn, has_mask) => MatchField::$mv(masked::<$mt>($mn, has_mask, oxm.body)?),)*
                $(($bn, has_mask) => {
                    MatchField::$bv(Box::new(masked::<$bt>($bn, has_mask, oxm.body)?))
                })*
                (VLAN_VID, has_mask) => {
                    let Masked { value, mask } = masked::<u16>(VLAN_VID, has_mask, oxm.body)?;
                    MatchField::VlanVid(vlan(value, mask))
                }
                (MPLS_BOS, false) => MatchField::MplsBos(value::<u8>(MPLS_BOS, oxm.body)? == 1),
                _ => return None,
            })
        }

        #[inline(always)]
        fn put_one(field: &MatchField, out: &mut BytesMut) -> Put {
            match field {
                $(MatchField::$pv(value) => put!($pn, stringify!($pv), $pt, value, out),)*
                $(MatchField::$mv(Masked { value, mask: None }) => {
                    put!($mn, stringify!($mv), $mt, value, out)
                })*
                $(MatchField::$mv(Masked { value, mask: Some(mask) }) => {
                    put!($mn, stringify!($mv), $mt, value, mask, out)
                })*
                $(MatchField::$bv(masked) => match &**masked {
                    Masked { value, mask: None } => {
                        put!($bn, stringify!($bv), $bt, value, out)
                    }
                    Masked { value, mask: Some(mask) } => {
                        put!($bn, stringify!($bv), $bt, value, mask, out)
                    }
                },)*
                MatchField::VlanVid(vlan) => match vlan_bits(*vlan) {
                    Some((value, None)) => put!(VLAN_VID, "VlanVid", u16, &value, out),
                    Some((value, Some(mask))) => {
                        put!(VLAN_VID, "VlanVid", u16, &value, &mask, out)
                    }
                    None => Err(EncodeError::Value { what: "VlanVid" }),
                },
                MatchField::MplsBos(bos) => {
                    put!(MPLS_BOS, "MplsBos", u8, &u8::from(*bos), out)
                }
                MatchField::Raw(raw) => put_raw(raw, out),
                MatchField::TpSrc(_) | MatchField::TpDst(_) => Err(EncodeError::Inexpressible {
                    what: "a transport port of an unnamed protocol",
                    version: Version::V1_3,
                }),
            }
        }
    };
}

const VLAN_VID: u8 = 6;
const MPLS_BOS: u8 = 36;

/// Bits at the front of a value that its field does not have (§7.2.3.7, table 12).
const fn spare(field: u8) -> u32 {
    match field {
        6 => 16 - 13,
        7 | 35 => 8 - 3,
        8 => 8 - 6,
        9 => 8 - 2,
        28 | 34 => 32 - 20,
        36 => 8 - 1,
        39 => 16 - 9,
        _ => 0,
    }
}

/// Whether a value, or a mask, has no bit that its field lacks.
#[inline(always)]
fn in_range(field: u8, value: &[u8]) -> bool {
    if spare(field) == 0 {
        return true;
    }
    let front = u32::from_be_bytes([0, 0, value[0], value.get(1).copied().unwrap_or(0)]);
    front >> (16 - spare(field)) == 0
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
    }
    masked {
        3 EthDst MacAddr,
        4 EthSrc MacAddr,
        11 Ipv4Src Ipv4Addr,
        12 Ipv4Dst Ipv4Addr,
        22 ArpSpa Ipv4Addr,
        23 ArpTpa Ipv4Addr,
        24 ArpSha MacAddr,
        25 ArpTha MacAddr,
        28 Ipv6Flabel u32,
        37 PbbIsid U24,
        39 Ipv6Exthdr u16,
    }
    boxed {
        2 Metadata u64,
        26 Ipv6Src Ipv6Addr,
        27 Ipv6Dst Ipv6Addr,
        31 Ipv6NdTarget Ipv6Addr,
        38 TunnelId u64,
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

fn vlan_bits(vlan: VlanMatch) -> Option<(u16, Option<u16>)> {
    Some(match vlan {
        VlanMatch::Absent => (0, None),
        VlanMatch::Present => (PRESENT, Some(PRESENT)),
        VlanMatch::Tagged(vid) if vid <= 0xfff => (PRESENT | vid, None),
        VlanMatch::Tagged(_) => return None,
        VlanMatch::Raw { value, mask } => (value, mask),
    })
}

#[inline(always)]
fn header(class: u16, field: u8, has_mask: bool, length: u8) -> [u8; 4] {
    let [high, low] = class.to_be_bytes();
    [high, low, field << 1 | u8::from(has_mask), length]
}

/// Whether the body has the width of its field.
fn fits(oxm: &Oxm<'_>) -> bool {
    match width(oxm.field).filter(|_| oxm.class == BASIC) {
        Some(width) => oxm.body.len() == width * (1 + usize::from(oxm.has_mask)),
        None => {
            // An experimenter's id comes before the value; an OXM without either is none (§7.2.3.2).
            let id = if oxm.class == EXPERIMENTER { 4 } else { 0 };
            let value = oxm.body.len().checked_sub(id).filter(|_| !oxm.body.is_empty());
            value.is_some_and(|length| !oxm.has_mask || length.is_multiple_of(2))
        }
    }
}

/// Checks a list without decoding it: every header and width.
pub(crate) fn check(list: &[u8]) -> Decoded<()> {
    each(list, |oxm, at| if fits(&oxm) { Ok(()) } else { misfit(&oxm, at) })
        .map_err(within(Part::Match))
}

/// Goes through a list, with the place of each field in hand.
#[inline(always)]
fn each<'a>(list: &'a [u8], mut see: impl FnMut(Oxm<'a>, &'a [u8]) -> Decoded<()>) -> Decoded<()> {
    let mut rest = list;
    while !rest.is_empty() {
        let (after, oxm) = next(rest)?;
        see(oxm, rest)?;
        rest = after;
    }
    Ok(())
}

/// The error of a field whose length does not fit.
#[cold]
fn misfit<T>(oxm: &Oxm<'_>, at: &[u8]) -> Decoded<T> {
    let problem = Problem::Length(oxm.body.len() as u32);
    fail(&at[3..], "oxm_length", problem)
}

impl Oxm<'_> {
    /// The field as the model has it; [`MatchField::Raw`] for what has no variant of its own.
    pub fn decode(&self) -> MatchField {
        self.known().unwrap_or_else(|| raw(self))
    }

    /// The field, if it has a variant of its own.
    #[inline(always)]
    fn known(&self) -> Option<MatchField> {
        if self.class == BASIC { basic(self) } else { None }
    }
}

/// A field of a list, which ends the list if its length does not fit.
#[inline(always)]
fn decoded(oxm: &Oxm<'_>, at: &[u8]) -> Decoded<MatchField> {
    match oxm.known() {
        Some(field) => Ok(field),
        None if fits(oxm) => Ok(raw(oxm)),
        None => misfit(oxm, at),
    }
}

/// One field at the start of `input`, as in a set-field action.
pub(crate) fn parse_field(input: &[u8]) -> Parsed<'_, MatchField> {
    let (rest, oxm) = next(input)?;
    Ok((rest, decoded(&oxm, input)?))
}

/// Cuts the OXM list out of an `ofp_match` (§7.2.3.1). What is in it is not checked.
#[inline(always)]
pub(crate) fn match_list(input: &[u8]) -> Parsed<'_, &[u8]> {
    cut(input).map_err(within(Part::Match))
}

#[inline(always)]
fn cut(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (_, head) = block(4, "match", input)?;
    let (kind, stated) = (u16::read(head), u16::read(&head[2..]));
    let length = usize::from(stated);
    if kind != 1 {
        return fail(input, "match.type", Problem::Value(kind.into()));
    }
    if length < 4 || round8(length) > input.len() {
        return fail(&input[2..], "match.length", Problem::Length(stated.into()));
    }
    Ok((&input[round8(length)..], &input[4..length]))
}

/// Decodes an `ofp_match`.
pub(crate) fn parse_match(input: &[u8]) -> Parsed<'_, Match> {
    let (rest, list) = match_list(input)?;
    let mut matches = Match::new();
    each(list, |oxm, at| {
        matches.push(decoded(&oxm, at)?);
        Ok(())
    })
    .map_err(within(Part::Match))?;
    Ok((rest, matches))
}

/// Writes one field.
pub(crate) fn put_field(field: &MatchField, out: &mut BytesMut) -> Put {
    put_one(field, out)
}

#[cold]
fn put_raw(raw: &RawOxm, out: &mut BytesMut) -> Put {
    let length =
        u8::try_from(raw.body.len()).map_err(|_| EncodeError::TooLong { what: "match field" })?;
    let oxm = Oxm { class: raw.class, field: raw.field, has_mask: raw.has_mask, body: &raw.body };
    // What decoding would refuse is not sent.
    if raw.field > 0x7f || !fits(&oxm) {
        return Err(EncodeError::Value { what: "match field" });
    }
    out.put_slice(&header(raw.class, raw.field, raw.has_mask, length));
    out.put_slice(&raw.body);
    Ok(())
}

/// Writes an `ofp_match` around what `list` writes.
pub(crate) fn put_match_with(out: &mut BytesMut, list: impl FnOnce(&mut BytesMut) -> Put) -> Put {
    let start = out.len();
    with_length(out, 2, "match", |out| {
        out.put_slice(&[0, 1, 0, 0]);
        list(out)
    })?;
    pad8(out, start);
    Ok(())
}

/// Writes an `ofp_match`.
pub(crate) fn put_match(m: &Match, out: &mut BytesMut) -> Put {
    put_match_with(out, |out| {
        for field in m.fields() {
            put_one(field, out)?;
        }
        Ok(())
    })
}

//! Reading and writing fixed structures, declared as field lists in wire order. Pure.
//!
//! A fixed part has one length check; its fields are then read at constant places. It is written in
//! one piece as well: a block on the stack, filled at constant places, and one check for room. [`fixed!`] declares
//! a structure of the wire that a hand-written tail follows; [`record!`] maps a structure straight to
//! a type of the model.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use nom::bytes::complete::take;
use nom::{IResult, Parser};

use crate::error::{Broken, EncodeError, Part, Problem};
use crate::model::{
    ConfigFlags, FlowModFlags, FlowRemovedReason, GroupCommand, GroupType, MeterCommand,
    MeterFlags, MeterId, PacketInReason, PortConfig, PortState, PortStatusReason, Role,
};
use crate::types::{BufferId, Cookie, DatapathId, GroupId, MacAddr, PortNo, TableId, Version, Xid};

pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, Broken>;
pub(crate) type Decoded<T> = Result<T, nom::Err<Broken>>;
pub(crate) type Put = Result<(), EncodeError>;

/// A field of fixed size: its form on the wire, and the value that it stands for.
pub(crate) trait Wire {
    /// Bytes on the wire.
    const SIZE: usize;
    type Value;
    /// Reads it from the front of `bytes`, which are at least `SIZE`.
    fn read(bytes: &[u8]) -> Self::Value;
    /// Writes it to the front of `bytes`, which are at least `SIZE`, if it has a form on the wire.
    fn write(value: &Self::Value, bytes: &mut [u8]) -> Put;
}

/// The first `N` bytes.
#[inline(always)]
fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut block = [0; N];
    block.copy_from_slice(&bytes[..N]);
    block
}

/// The reverse.
#[inline(always)]
fn put_first<const N: usize>(bytes: &mut [u8], block: [u8; N]) -> Put {
    bytes[..N].copy_from_slice(&block);
    Ok(())
}

macro_rules! wire_int {
    ($($int:ty),*) => {$(
        impl Wire for $int {
            const SIZE: usize = size_of::<$int>();
            type Value = $int;
            #[inline(always)]
            fn read(bytes: &[u8]) -> $int {
                <$int>::from_be_bytes(first(bytes))
            }
            #[inline(always)]
            fn write(value: &$int, bytes: &mut [u8]) -> Put {
                put_first(bytes, value.to_be_bytes())
            }
        }
    )*};
}
wire_int!(u8, u16, u32, u64);

macro_rules! wire_newtype {
    ($($name:ident($inner:ty)),* $(,)?) => {$(
        impl Wire for $name {
            const SIZE: usize = <$inner as Wire>::SIZE;
            type Value = $name;
            #[inline(always)]
            fn read(bytes: &[u8]) -> $name {
                $name(<$inner as Wire>::read(bytes))
            }
            #[inline(always)]
            fn write(value: &$name, bytes: &mut [u8]) -> Put {
                <$inner as Wire>::write(&value.0, bytes)
            }
        }
    )*};
}
wire_newtype!(
    ConfigFlags(u16),
    Cookie(u64),
    DatapathId(u64),
    FlowModFlags(u16),
    FlowRemovedReason(u8),
    GroupCommand(u16),
    GroupId(u32),
    GroupType(u8),
    MacAddr([u8; 6]),
    MeterCommand(u16),
    MeterFlags(u16),
    MeterId(u32),
    PacketInReason(u8),
    PortConfig(u32),
    PortNo(u32),
    PortState(u32),
    PortStatusReason(u8),
    Role(u32),
    TableId(u8),
    Version(u8),
    Xid(u32),
);

impl<const N: usize> Wire for [u8; N] {
    const SIZE: usize = N;
    type Value = [u8; N];
    #[inline(always)]
    fn read(bytes: &[u8]) -> [u8; N] {
        first(bytes)
    }
    #[inline(always)]
    fn write(value: &[u8; N], bytes: &mut [u8]) -> Put {
        put_first(bytes, *value)
    }
}

/// Words in a row: one per kind, role or level.
impl<const N: usize> Wire for [u32; N] {
    const SIZE: usize = 4 * N;
    type Value = [u32; N];
    #[inline(always)]
    fn read(bytes: &[u8]) -> [u32; N] {
        std::array::from_fn(|n| u32::read(&bytes[4 * n..]))
    }
    #[inline(always)]
    fn write(value: &[u32; N], bytes: &mut [u8]) -> Put {
        let mut words = bytes.chunks_exact_mut(4).zip(value);
        words.try_for_each(|(bytes, word)| u32::write(word, bytes))
    }
}

impl Wire for Ipv4Addr {
    const SIZE: usize = 4;
    type Value = Ipv4Addr;
    #[inline(always)]
    fn read(bytes: &[u8]) -> Ipv4Addr {
        Ipv4Addr::from(first::<4>(bytes))
    }
    #[inline(always)]
    fn write(value: &Ipv4Addr, bytes: &mut [u8]) -> Put {
        put_first(bytes, value.octets())
    }
}

impl Wire for Ipv6Addr {
    const SIZE: usize = 16;
    type Value = Ipv6Addr;
    #[inline(always)]
    fn read(bytes: &[u8]) -> Ipv6Addr {
        Ipv6Addr::from(first::<16>(bytes))
    }
    #[inline(always)]
    fn write(value: &Ipv6Addr, bytes: &mut [u8]) -> Put {
        put_first(bytes, value.octets())
    }
}

/// A buffer id; OFP_NO_BUFFER (0xffffffff) is `None`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffer;

impl Wire for Buffer {
    const SIZE: usize = 4;
    type Value = Option<BufferId>;
    #[inline(always)]
    fn read(bytes: &[u8]) -> Option<BufferId> {
        let id = u32::read(bytes);
        (id != u32::MAX).then_some(BufferId(id))
    }
    #[inline(always)]
    fn write(value: &Option<BufferId>, bytes: &mut [u8]) -> Put {
        match value {
            Some(BufferId(u32::MAX)) => Err(EncodeError::Value { what: "buffer_id" }),
            value => u32::write(&value.map_or(u32::MAX, |id| id.0), bytes),
        }
    }
}

/// A 16-bit port number of OpenFlow 1.0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port16;

impl Wire for Port16 {
    const SIZE: usize = 2;
    type Value = PortNo;
    #[inline(always)]
    fn read(bytes: &[u8]) -> PortNo {
        PortNo::from_v10(u16::read(bytes))
    }
    #[inline(always)]
    fn write(value: &PortNo, bytes: &mut [u8]) -> Put {
        match value.to_v10() {
            Some(port) => u16::write(&port, bytes),
            None => {
                let what = "a port number of more than 16 bits";
                Err(EncodeError::Inexpressible { what, version: Version::V1_0 })
            }
        }
    }
}

/// `duration_sec` and `duration_nsec`.
///
/// No switch should send 10^9 nanoseconds or more, but all ones is a usual "unknown". So that such
/// bytes survive, the k in k × 10^9 + n nanoseconds is kept in bit 32 and up of the seconds, which the
/// 32 bits of the wire cannot reach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetime;

impl Lifetime {
    const GIGA: u64 = 1_000_000_000;
}

impl Wire for Lifetime {
    const SIZE: usize = 8;
    type Value = Duration;
    #[inline(always)]
    fn read(bytes: &[u8]) -> Duration {
        let (sec, nsec) = (u64::from(u32::read(bytes)), u64::from(u32::read(&bytes[4..])));
        let excess = nsec / Lifetime::GIGA;
        Duration::new(sec | excess << 32, (nsec % Lifetime::GIGA) as u32)
    }
    #[inline(always)]
    fn write(value: &Duration, bytes: &mut [u8]) -> Put {
        let nsec = (value.as_secs() >> 32)
            .checked_mul(Lifetime::GIGA)
            .and_then(|excess| excess.checked_add(value.subsec_nanos().into()))
            .and_then(|nsec| u32::try_from(nsec).ok())
            .ok_or(EncodeError::TooLong { what: "duration" })?;
        u32::write(&(value.as_secs() as u32), bytes)?;
        u32::write(&nsec, &mut bytes[4..])
    }
}

/// Declares fixed structures as field lists in wire order, with a parser and a writer. `[n]` is n
/// reserved bytes: skipped when read, zero when written.
macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident { $($([$pad:literal])? $($field:ident: $wire:ty)?,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name {
            $($(pub(crate) $field: <$wire as $crate::wire::Wire>::Value,)?)*
        }

        impl $name {
            pub(crate) const SIZE: usize =
                0 $($(+ $pad)? $(+ <$wire as $crate::wire::Wire>::SIZE)?)*;
            const FIELDS: &'static [(&'static str, usize)] = &[$(
                $(("pad", $pad))?
                $((stringify!($field), <$wire as $crate::wire::Wire>::SIZE))?
            ,)*];

            #[inline(always)]
            pub(crate) fn parse(input: &[u8]) -> $crate::wire::Parsed<'_, $name> {
                let (rest, _block) =
                    $crate::wire::fields::<{ $name::SIZE }>($name::FIELDS, input)?;
                let mut _at = 0;
                $(
                    $(_at += $pad;)?
                    $(
                        let $field = <$wire as $crate::wire::Wire>::read(&_block[_at..]);
                        _at += <$wire as $crate::wire::Wire>::SIZE;
                    )?
                )*
                Ok((rest, $name { $($($field,)?)* }))
            }

            /// Writes to the front of a block, whose reserved bytes are zero.
            #[inline(always)]
            #[allow(dead_code, reason = "most are written by `write`")]
            pub(crate) fn fill(&self, _block: &mut [u8]) -> $crate::wire::Put {
                let mut _at = 0;
                $(
                    $(_at += $pad;)?
                    $(
                        <$wire as $crate::wire::Wire>::write(&self.$field, &mut _block[_at..])?;
                        _at += <$wire as $crate::wire::Wire>::SIZE;
                    )?
                )*
                Ok(())
            }

            #[inline(always)]
            #[allow(dead_code, reason = "some are parts of a larger block")]
            pub(crate) fn write(&self, out: &mut ::bytes::BytesMut) -> $crate::wire::Put {
                let mut block = [0; $name::SIZE];
                self.fill(&mut block)?;
                ::bytes::BufMut::put_slice(out, &block);
                Ok(())
            }
        }
    )*};
}
pub(crate) use fixed;

/// Declares how a type of the model lies on the wire of one version. Fields behind
/// the type's name do not exist in the version and have a neutral value there: decoding gives it,
/// encoding refuses any other.
macro_rules! record {
    ($version:ident: $(
        $(#[$doc:meta])* $name:ident($model:ident $(; $absent:ident: $neutral:expr)*) {
            $($([$pad:literal])? $($field:ident: $wire:ty)?,)*
        }
    )*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        impl $name {
            pub(crate) const SIZE: usize =
                0 $($(+ $pad)? $(+ <$wire as $crate::wire::Wire>::SIZE)?)*;
            const FIELDS: &'static [(&'static str, usize)] = &[$(
                $(("pad", $pad))?
                $((stringify!($field), <$wire as $crate::wire::Wire>::SIZE))?
            ,)*];

            #[inline(always)]
            fn read(block: &[u8; $name::SIZE]) -> $model {
                let mut _at = 0;
                $(
                    $(_at += $pad;)?
                    $(
                        let $field = <$wire as $crate::wire::Wire>::read(&block[_at..]);
                        _at += <$wire as $crate::wire::Wire>::SIZE;
                    )?
                )*
                $model { $($($field,)?)* $($absent: $neutral,)* }
            }

            #[inline(always)]
            #[allow(dead_code, reason = "some structures only occur in lists")]
            pub(crate) fn parse(input: &[u8]) -> $crate::wire::Parsed<'_, $model> {
                let (rest, block) =
                    $crate::wire::fields::<{ $name::SIZE }>($name::FIELDS, input)?;
                Ok((rest, $name::read(block)))
            }

            /// All up to the end: the number is known beforehand, so nothing is checked twice.
            #[allow(dead_code, reason = "some structures never occur in lists")]
            pub(crate) fn list(input: &[u8]) -> $crate::wire::Decoded<Vec<$model>> {
                let (blocks, rest) = input.as_chunks::<{ $name::SIZE }>();
                if !rest.is_empty() {
                    return Err($crate::wire::cut($name::FIELDS, rest));
                }
                Ok(blocks.iter().map($name::read).collect())
            }

            pub(crate) fn write(
                value: &$model,
                out: &mut ::bytes::BytesMut,
            ) -> $crate::wire::Put {
                $(
                    if value.$absent != $neutral {
                        return Err($crate::error::EncodeError::Inexpressible {
                            what: concat!(stringify!($model), " ", stringify!($absent)),
                            version: $crate::types::Version::$version,
                        });
                    }
                )*
                let mut block = [0; $name::SIZE];
                let mut _at = 0;
                $(
                    $(_at += $pad;)?
                    $(
                        <$wire as $crate::wire::Wire>::write(&value.$field, &mut block[_at..])?;
                        _at += <$wire as $crate::wire::Wire>::SIZE;
                    )?
                )*
                ::bytes::BufMut::put_slice(out, &block);
                Ok(())
            }
        }
    )*};
}
pub(crate) use record;

/// A parser of the block of a fixed structure: one length check, by a constant. If the block is cut
/// short, the error names the field that is.
#[inline(always)]
pub(crate) fn fields<'a, const N: usize>(
    list: &'static [(&'static str, usize)],
    input: &'a [u8],
) -> Parsed<'a, &'a [u8; N]> {
    match input.split_first_chunk() {
        Some((block, rest)) => Ok((rest, block)),
        None => Err(cut(list, input)),
    }
}

#[cold]
pub(crate) fn cut(list: &[(&'static str, usize)], input: &[u8]) -> nom::Err<Broken> {
    let mut at = 0;
    let field = list.iter().find_map(|(field, size)| {
        let whole = at + size <= input.len();
        at += if whole { *size } else { 0 };
        (!whole).then_some(*field)
    });
    let at = input.get(at..).unwrap_or_default();
    nom::Err::Error(Broken::new(at, field.unwrap_or("length"), Problem::Truncated))
}

/// The next `size` bytes.
#[inline(always)]
pub(crate) fn block<'a>(size: usize, field: &'static str, input: &'a [u8]) -> Parsed<'a, &'a [u8]> {
    take(size).parse(input).map_err(|_: nom::Err<()>| stop(input, field, Problem::Truncated))
}

#[cold]
pub(crate) fn stop(at: &[u8], field: &'static str, problem: Problem) -> nom::Err<Broken> {
    nom::Err::Error(Broken::new(at, field, problem))
}

pub(crate) fn fail<T>(at: &[u8], field: &'static str, problem: Problem) -> Decoded<T> {
    Err(stop(at, field, problem))
}

/// Says in which part of the message an error lies, unless an inner parser has said so.
pub(crate) fn within(part: Part) -> impl Fn(nom::Err<Broken>) -> nom::Err<Broken> {
    move |e| e.map(|e| if e.part == Part::Request { e.in_part(part) } else { e })
}

/// The end of a message or entry without variable part.
pub(crate) fn ended(rest: &[u8]) -> Decoded<()> {
    match rest.len() {
        0 => Ok(()),
        n => fail(rest, "end", Problem::Trailing(n as u32)),
    }
}

/// A body that is exactly one structure.
pub(crate) fn whole<'a, T>(parsed: Parsed<'a, T>) -> Decoded<T> {
    let (rest, value) = parsed?;
    ended(rest)?;
    Ok(value)
}

/// All structures up to the end; `size` is the least that one takes, above zero.
pub(crate) fn list<'a, T>(
    input: &'a [u8],
    size: usize,
    parse: impl Fn(&'a [u8]) -> Parsed<'a, T>,
) -> Decoded<Vec<T>> {
    let mut values = Vec::with_capacity((input.len() / size).min(64));
    let mut rest = input;
    while !rest.is_empty() {
        let (after, value) = parse(rest)?;
        // Every parser takes at least its fixed part; the list ends whatever it does.
        if after.len() >= rest.len() {
            return fail(rest, "length", Problem::Length(0));
        }
        values.push(value);
        rest = after;
    }
    Ok(values)
}

/// Cuts an entry whose own 16-bit length, of at least `least` bytes, stands `at` bytes into it.
pub(crate) fn entry<'a>(
    input: &'a [u8],
    at: usize,
    least: usize,
    field: &'static str,
) -> Parsed<'a, &'a [u8]> {
    let Some(bytes) = input.get(at..at + 2) else {
        let at = input.get(at..).unwrap_or_default();
        return fail(at, field, Problem::Truncated);
    };
    let length = u16::read(bytes);
    if usize::from(length) < least || usize::from(length) > input.len() {
        return fail(bytes, field, Problem::Length(length.into()));
    }
    let (entry, rest) = input.split_at(length.into());
    Ok((rest, entry))
}

/// Writes at the end of `out` with `write`, then puts the number of bytes written into the 16-bit
/// field `at` bytes behind their start.
#[inline]
pub(crate) fn with_length(
    out: &mut BytesMut,
    at: usize,
    what: &'static str,
    write: impl FnOnce(&mut BytesMut) -> Put,
) -> Put {
    let start = out.len();
    write(out)?;
    let Ok(length) = u16::try_from(out.len() - start) else {
        return Err(EncodeError::TooLong { what });
    };
    put_first(&mut out[start + at..], length.to_be_bytes())
}

/// Zeros up to the next multiple of 8 counted from `start`.
pub(crate) fn pad8(out: &mut BytesMut, start: usize) {
    // Eight at once and some back is less work than the right number.
    let end = start + round8(out.len() - start);
    out.put_slice(&[0; 8]);
    out.truncate(end);
}

/// A length rounded up to a multiple of 8.
pub(crate) const fn round8(length: usize) -> usize {
    (length + 7) & !7
}

#[cfg(test)]
mod tests {
    use super::*;

    fixed! {
        /// One of each kind.
        Sample {
            kind: u8,
            [3],
            buffer_id: Buffer,
            address: MacAddr,
            port: Port16,
        }
    }

    #[test]
    fn a_field_list_reads_and_writes_in_wire_order() {
        let bytes = [7, 0, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 0xff, 0xfe, 42];
        let (rest, sample) = Sample::parse(&bytes).unwrap();
        assert_eq!((rest, sample.kind, sample.buffer_id), (&[42][..], 7, Some(BufferId(9))));
        assert_eq!((sample.address, sample.port), (MacAddr([1, 2, 3, 4, 5, 6]), PortNo::LOCAL));
        let mut out = BytesMut::new();
        sample.write(&mut out).unwrap();
        assert_eq!(out, bytes[..Sample::SIZE]);
    }

    #[test]
    fn a_field_list_cut_short_names_the_field_and_its_place() {
        let bytes = [0; 16];
        for (len, field, offset) in
            [(0, "kind", 0), (3, "pad", 1), (7, "buffer_id", 4), (15, "port", 14)]
        {
            let Err(nom::Err::Error(broken)) = Sample::parse(&bytes[..len]) else {
                panic!("{len} bytes parsed");
            };
            assert_eq!((broken.field, broken.at - bytes.as_ptr() as usize), (field, offset));
        }
    }

    #[test]
    fn durations_keep_their_bytes_whatever_the_nanoseconds() {
        for (sec, nsec) in [(0, 0), (3, 48_825_000), (7, 999_999_999), (u32::MAX, u32::MAX)] {
            let mut bytes = BytesMut::new();
            bytes.put_u32(sec);
            bytes.put_u32(nsec);
            let mut out = [0; Lifetime::SIZE];
            Lifetime::write(&Lifetime::read(&bytes), &mut out).unwrap();
            assert_eq!(out, bytes[..]);
        }
        assert_eq!(Lifetime::read(&[0, 0, 0, 1, 0, 0, 0, 2]), Duration::new(1, 2));
        assert!(Lifetime::write(&Duration::from_secs(5 << 32), &mut [0; 8]).is_err());
    }
}

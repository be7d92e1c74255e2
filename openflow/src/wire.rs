//! Reading and writing fixed structures, declared as field lists in wire order. Pure.
//!
//! A fixed part has one length check; its fields are then read at constant places.

use bytes::{BufMut, BytesMut};
use nom::bytes::complete::take;
use nom::{IResult, Parser};

use crate::error::{Broken, EncodeError, Problem};
use crate::types::MacAddr;

pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, Broken>;

/// A field of fixed size. `read` is given at least `SIZE` bytes.
pub(crate) trait Wire: Sized {
    const SIZE: usize;
    fn read(bytes: &[u8]) -> Self;
    fn write(&self, out: &mut BytesMut);
}

macro_rules! wire_int {
    ($($int:ty: $put:ident),*) => {$(
        impl Wire for $int {
            const SIZE: usize = size_of::<$int>();
            #[inline(always)]
            fn read(bytes: &[u8]) -> $int {
                let mut b = [0; size_of::<$int>()];
                b.copy_from_slice(&bytes[..size_of::<$int>()]);
                <$int>::from_be_bytes(b)
            }
            #[inline(always)]
            fn write(&self, out: &mut BytesMut) {
                out.$put(*self);
            }
        }
    )*};
}
wire_int!(u8: put_u8, u16: put_u16, u32: put_u32, u64: put_u64, u128: put_u128);

impl<const N: usize> Wire for [u8; N] {
    const SIZE: usize = N;
    #[inline(always)]
    fn read(bytes: &[u8]) -> [u8; N] {
        let mut b = [0; N];
        b.copy_from_slice(&bytes[..N]);
        b
    }
    #[inline(always)]
    fn write(&self, out: &mut BytesMut) {
        out.put_slice(self);
    }
}

impl Wire for MacAddr {
    const SIZE: usize = 6;
    #[inline(always)]
    fn read(bytes: &[u8]) -> MacAddr {
        MacAddr(Wire::read(bytes))
    }
    #[inline(always)]
    fn write(&self, out: &mut BytesMut) {
        self.0.write(out);
    }
}

/// Reserved bytes: ignored when read, zero when written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pad<const N: usize>;

impl<const N: usize> Wire for Pad<N> {
    const SIZE: usize = N;
    #[inline(always)]
    fn read(_: &[u8]) -> Pad<N> {
        Pad
    }
    #[inline(always)]
    fn write(&self, out: &mut BytesMut) {
        out.put_bytes(0, N);
    }
}

/// Declares fixed structures as field lists in wire order, with a parser and a writer.
macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $ty:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name { $(pub(crate) $field: $ty,)* }

        impl $name {
            pub(crate) const SIZE: usize = 0 $(+ <$ty as $crate::wire::Wire>::SIZE)*;

            #[inline(always)]
            pub(crate) fn parse(input: &[u8]) -> $crate::wire::Parsed<'_, $name> {
                let (rest, block) = $crate::wire::block($name::SIZE, stringify!($name), input)?;
                let mut _at = 0;
                $(
                    let $field = <$ty as $crate::wire::Wire>::read(&block[_at..]);
                    _at += <$ty as $crate::wire::Wire>::SIZE;
                )*
                Ok((rest, $name { $($field,)* }))
            }

            #[inline(always)]
            pub(crate) fn write(&self, out: &mut ::bytes::BytesMut) {
                $($crate::wire::Wire::write(&self.$field, out);)*
            }
        }
    )*};
}
pub(crate) use fixed;

/// The next `size` bytes.
#[inline(always)]
pub(crate) fn block<'a>(size: usize, field: &'static str, input: &'a [u8]) -> Parsed<'a, &'a [u8]> {
    take(size).parse(input).map_err(|e| e.map(|_: Broken| truncated(input, field)))
}

pub(crate) fn truncated(input: &[u8], field: &'static str) -> Broken {
    Broken::new(input, field, Problem::Truncated)
}

pub(crate) fn fail<T>(
    at: &[u8],
    field: &'static str,
    problem: Problem,
) -> Result<T, nom::Err<Broken>> {
    Err(nom::Err::Error(Broken::new(at, field, problem)))
}

/// Writes at the end of `out` with `write`, then puts the number of bytes written (less `less`)
/// into the 16-bit field `at` bytes behind their start.
pub(crate) fn with_length(
    out: &mut BytesMut,
    at: usize,
    what: &'static str,
    write: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    write(out)?;
    let length = u16::try_from(out.len() - start).map_err(|_| EncodeError::TooLong { what })?;
    out[start + at..start + at + 2].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Zeros up to the next multiple of 8 counted from `start`.
pub(crate) fn pad8(out: &mut BytesMut, start: usize) {
    let over = (out.len() - start) % 8;
    if over != 0 {
        out.put_bytes(0, 8 - over);
    }
}

/// A length rounded up to a multiple of 8.
pub(crate) const fn round8(length: usize) -> usize {
    length.div_ceil(8) * 8
}

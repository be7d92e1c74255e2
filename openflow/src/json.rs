//! How messages look in JSON, behind the feature `serde`. Pure.
//!
//! A message is an object of `kind` (the variant) and `content`. Names are those of the model in snake
//! case. Payloads and bodies are hex texts, fixed names are texts (hex where they are not UTF-8), MAC
//! addresses, datapath ids, cookies and their masks are texts as they are displayed, other numbers are
//! numbers, and a field without mask is its value alone. The form is for reading: it is not decoded
//! again.

use std::fmt;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::model::{ErrorCode, Masked, Match, RawAction, RawOxm};
use crate::nicira;
use crate::types::{Cookie, DatapathId, MacAddr};

/// Bytes as hex digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

pub(crate) fn hex<S: Serializer>(bytes: &impl AsRef<[u8]>, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&Hex(bytes.as_ref()))
}

pub(crate) fn hex_option<S: Serializer>(bytes: &Option<Vec<u8>>, s: S) -> Result<S::Ok, S::Error> {
    match bytes {
        Some(bytes) => hex(bytes, s),
        None => s.serialize_none(),
    }
}

/// A zero-padded text; hex if it is none, or if something follows the first zero.
pub(crate) fn text<S: Serializer>(bytes: &impl AsRef<[u8]>, s: S) -> Result<S::Ok, S::Error> {
    let bytes = bytes.as_ref();
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    match std::str::from_utf8(&bytes[..end]) {
        Ok(text) if !text.contains('\0') => s.serialize_str(text),
        _ => hex(&bytes, s),
    }
}

/// Bits, as cookies are displayed.
pub(crate) fn bits<S: Serializer>(bits: &u64, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&format_args!("{bits:#x}"))
}

/// Type and code of an error apart.
pub(crate) fn error_code<S: Serializer>(code: &ErrorCode, s: S) -> Result<S::Ok, S::Error> {
    let mut map = s.serialize_map(Some(2))?;
    map.serialize_entry("type", &code.kind())?;
    map.serialize_entry("code", &code.code())?;
    map.end()
}

/// Elements of a hello.
pub(crate) fn elements<S: Serializer>(
    elements: &[(u16, Vec<u8>)],
    s: S,
) -> Result<S::Ok, S::Error> {
    let mut list = s.serialize_seq(Some(elements.len()))?;
    for (kind, body) in elements {
        list.serialize_element(&(kind, Hex(body).to_string()))?;
    }
    list.end()
}

/// An action that has no variant: Nicira's have names all the same.
impl Serialize for RawAction {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("type", &self.kind)?;
        if let (0xffff, Some((vendor, rest))) = (self.kind, self.body.split_first_chunk::<4>())
            && u32::from_be_bytes(*vendor) == nicira::EXPERIMENTER
            && let Some(subtype) = rest.first_chunk::<2>()
            && let Some(name) = nicira::action_name(u16::from_be_bytes(*subtype))
        {
            map.serialize_entry("nicira", name)?;
        }
        map.serialize_entry("body", &Hex(&self.body).to_string())?;
        map.end()
    }
}

impl Serialize for RawOxm {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("class", &self.class)?;
        map.serialize_entry("field", &self.field)?;
        if let Some(name) = nicira::field_name(self.class, self.field) {
            map.serialize_entry("nicira", name)?;
        }
        map.serialize_entry("has_mask", &self.has_mask)?;
        map.serialize_entry("body", &Hex(&self.body).to_string())?;
        map.end()
    }
}

impl Serialize for MacAddr {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl Serialize for DatapathId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl Serialize for Cookie {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<T: Serialize> Serialize for Masked<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let Some(mask) = &self.mask else { return self.value.serialize(s) };
        let mut map = s.serialize_map(Some(2))?;
        map.serialize_entry("value", &self.value)?;
        map.serialize_entry("mask", mask)?;
        map.end()
    }
}

impl Serialize for Match {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.fields())
    }
}

//! Why bytes are not a message, and why a message cannot be put into bytes. Pure.

use crate::model::ErrorCode;
use crate::types::{Version, Xid};

/// What is wrong at a place of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The structure has ended before the field.
    #[error("cut short")]
    Truncated,
    /// A length field that its structure cannot have.
    #[error("length {0} cannot be")]
    Length(u32),
    /// A value that has no meaning there.
    #[error("value {0:#x} has no meaning")]
    Value(u64),
    /// Bytes behind the end of a fixed message.
    #[error("{0} bytes too many")]
    Trailing(u32),
}

/// Which part of a message is wrong: it decides the type of the OFPT_ERROR answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Part {
    /// The message as such (OFPET_BAD_REQUEST).
    #[default]
    Request,
    /// An action list (OFPET_BAD_ACTION).
    Action,
    /// An instruction list (OFPET_BAD_INSTRUCTION).
    Instruction,
    /// A match (OFPET_BAD_MATCH).
    Match,
    /// The field of a set-field action (OFPBAC_BAD_SET_LEN).
    SetField,
    /// A bucket of a group (OFPGMFC_BAD_BUCKET).
    Bucket,
    /// A meter band (OFPMMFC_BAD_BAND).
    Band,
    /// A property of a table (OFPET_TABLE_FEATURES_FAILED).
    TableFeature,
}

/// The error of parsers: a place and what is wrong there. Small, so that the good case stays fast.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Broken {
    /// Address of the first byte of the field; turned into an offset at the top.
    pub(crate) at: usize,
    pub(crate) field: &'static str,
    pub(crate) problem: Problem,
    pub(crate) part: Part,
}

impl Broken {
    pub(crate) fn new(at: &[u8], field: &'static str, problem: Problem) -> Broken {
        Broken { at: at.as_ptr() as usize, field, problem, part: Part::Request }
    }

    pub(crate) fn in_part(mut self, part: Part) -> Broken {
        self.part = part;
        self
    }
}

impl nom::error::ParseError<&[u8]> for Broken {
    fn from_error_kind(input: &[u8], _: nom::error::ErrorKind) -> Broken {
        Broken::new(input, "message", Problem::Truncated)
    }

    fn append(_: &[u8], _: nom::error::ErrorKind, other: Broken) -> Broken {
        other
    }
}

/// Bytes that are not a message of their type.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message} (version {version}): {field} at byte {offset}: {problem}")]
pub struct DecodeError {
    /// The specification's name of the message, or "message" if the header is at fault.
    pub message: &'static str,
    /// The version in the header.
    pub version: Version,
    /// The transaction id, if the header was whole.
    pub xid: Option<Xid>,
    /// The field.
    pub field: &'static str,
    /// Its place, in bytes from the start of the message.
    pub offset: usize,
    /// What is wrong.
    pub problem: Problem,
    /// In which part.
    pub part: Part,
}

impl DecodeError {
    /// The OFPT_ERROR that the specification asks for, as numbered in `version` (1.0 §5.4.4, 1.3.5
    /// §7.4.4). `None` if the header itself is at fault and there is nobody to answer, and for an
    /// OFPT_ERROR: errors are not answered by errors.
    pub fn error_code(&self, version: Version) -> Option<ErrorCode> {
        self.xid?;
        if self.message == "OFPT_ERROR" {
            return None;
        }
        let v10 = version == Version::V1_0;
        let unknown = matches!(self.problem, Problem::Value(_));
        let (kind, code) = match self.part {
            Part::Request if unknown && self.field == "version" => (1, 0),
            Part::Request if unknown && self.field == "type" => (1, 1),
            Part::Action if unknown => (2, 0),
            Part::Action => (2, 1),
            Part::SetField if v10 => (2, 1),
            Part::SetField => (2, 14),
            // 1.0 has no errors of their own for the following.
            _ if v10 => (1, 6),
            Part::Instruction if unknown => (3, 0),
            Part::Instruction => (3, 7),
            Part::Match if unknown && self.field == "match.type" => (4, 0),
            Part::Match if unknown => (4, 7),
            Part::Match => (4, 1),
            Part::Bucket => (6, 12),
            Part::Band => (12, 8),
            Part::TableFeature => (13, 3),
            Part::Request => (1, 6),
        };
        Some(ErrorCode::new(kind, code))
    }
}

/// A message that a wire version cannot express. Nothing was written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The version has no such thing.
    #[error("{what} cannot be expressed in OpenFlow version {version}")]
    Inexpressible {
        /// The field, action or message.
        what: &'static str,
        /// The version.
        version: Version,
    },
    /// The message would exceed 65,535 bytes, or an inner list its length field.
    #[error("{what} is too long")]
    TooLong {
        /// What.
        what: &'static str,
    },
    /// A value outside the space of its field, or one that contradicts another field.
    #[error("{what} has a value that cannot be written")]
    Value {
        /// The field.
        what: &'static str,
    },
    /// There is no codec for the version.
    #[error("OpenFlow version {0} has no encoder")]
    Version(Version),
}

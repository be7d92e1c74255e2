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
    /// The OFPT_ERROR that the specification asks for, as numbered in `version`; `None` if the
    /// header itself is at fault and there is nobody to answer.
    pub fn error_code(&self, version: Version) -> Option<ErrorCode> {
        self.xid?;
        let v10 = version == Version::V1_0;
        Some(match (self.part, self.problem) {
            (Part::Request, Problem::Value(_)) if self.field == "version" => ErrorCode::new(1, 0),
            (Part::Request, Problem::Value(_)) if self.field == "type" => ErrorCode::new(1, 1),
            (Part::Request, _) => ErrorCode::new(1, 6),
            (Part::Action, Problem::Value(_)) => ErrorCode::new(2, 0),
            (Part::Action, _) => ErrorCode::new(2, 1),
            (Part::Instruction, Problem::Value(_)) => ErrorCode::new(3, 0),
            (Part::Instruction, _) if !v10 => ErrorCode::new(3, 7),
            (Part::Match, Problem::Value(_)) if !v10 => ErrorCode::new(4, 7),
            (Part::Match, _) if !v10 => ErrorCode::new(4, 1),
            (Part::Instruction | Part::Match, _) => ErrorCode::new(1, 6),
        })
    }
}

/// A message that a wire version cannot express. Nothing was written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
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
    /// There is no codec for the version.
    #[error("OpenFlow version {0} has no encoder")]
    Version(Version),
}

//! OpenFlow messages: bytes to values and back, for 1.0 and 1.3, in one neutral model.
//!
//! ```
//! use bytes::BytesMut;
//! use umlaut_openflow::{Message, Version, Xid, decode, encode, next_frame};
//!
//! let mut bytes = BytesMut::new();
//! encode(Version::V1_3, Xid(7), &Message::BarrierRequest, &mut bytes)?;
//! assert_eq!(next_frame(&bytes), Ok(Some(8)));
//! let (header, message) = decode(&bytes)?;
//! assert_eq!((header.xid, message), (Xid(7), Message::BarrierRequest));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`decode`] is total: any bytes give a value, or an error that names message, field and offset.
//! Unknown codes survive decoding and encoding. What a version cannot express is an error of
//! [`encode`]. The frames inside packet-ins are read by [`packet::Headers::parse`].
//!
//! Pure: no IO, no clock, no locks.

pub mod build;
mod codec;
mod common;
mod error;
mod fields;
mod frame;
#[cfg(feature = "serde")]
mod json;
pub mod lldp;
mod model;
pub mod nicira;
pub mod packet;
mod types;
mod v10;
mod v13;
mod wire;

pub use codec::{decode, encode, name};
pub use error::{DecodeError, EncodeError, Part, Problem};
pub use fields::FieldSet;
pub use frame::{FrameError, HEADER, Header, next_frame};
pub use model::*;
pub use types::*;
pub use v13::oxm::{Oxm, Oxms};

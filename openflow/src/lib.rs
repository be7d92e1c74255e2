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
//! [`decode`] is total: any bytes give a value, or an error that names message, field and offset, and
//! knows the OFPT_ERROR to answer with ([`DecodeError::error_code`]). Nothing is copied of a packet-in,
//! and nothing allocated. Unknown codes survive: decoding and encoding again gives the same bytes but
//! for reserved ones, which become zero. What a version cannot express is an error of [`encode`], never
//! silently dropped; fields that a version lacks say in their documentation which neutral value they
//! have there.
//!
//! ```text
//! bytes -> next_frame -> decode -> Message -> encode -> bytes
//!                                     |
//!                          PacketIn::data -> packet::Headers::parse, lldp::Lldpdu::parse
//! ```
//!
//! # Versions
//!
//! The model knows no version; `v10` and `v13` hold the wire of one each. Of the others, hello, error
//! and echo decode and encode, which is what negotiation needs, and every other body stays
//! [`Message::Opaque`]. A further version is a further module of field lists beside these two; what it
//! alone can say becomes a variant or a field of the model, and the neutral value of that field is
//! declared in the modules that lack it.
//!
//! # Ranges
//!
//! A number in the model is as wide as the bytes that carry it, or wider: a VID is a `u16` and has 12
//! bits, a port a `u32` that has 16 in 1.0. [`encode`] refuses what does not fit
//! ([`EncodeError::Value`], [`EncodeError::Inexpressible`]); what a peer sends beyond the range decodes
//! to a `Raw` variant and survives.
//!
//! # A flow entry, in both versions
//!
//! ```
//! use bytes::BytesMut;
//! use umlaut_openflow::{
//!     Action, FlowMod, MacAddr, Match, Message, PortNo, Version, Xid, decode, encode,
//! };
//!
//! let entry = FlowMod::add(Match::new().in_port(PortNo(1)).eth_dst(MacAddr::BROADCAST))
//!     .timeouts(60, 0)
//!     .apply(vec![Action::output(PortNo(2))]);
//! for version in [Version::V1_0, Version::V1_3] {
//!     let mut bytes = BytesMut::new();
//!     encode(version, Xid(1), &Message::FlowMod(entry.clone()), &mut bytes)?;
//!     assert_eq!(decode(&bytes)?.1, Message::FlowMod(entry.clone()));
//! }
//! // A group is more than 1.0 can say.
//! let grouped = FlowMod::add(Match::new()).apply(vec![Action::Group(umlaut_openflow::GroupId(1))]);
//! let refused = encode(Version::V1_0, Xid(1), &Message::FlowMod(grouped), &mut BytesMut::new());
//! assert!(refused.is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! `serde`: messages serialize, for JSON that people and scripts read.
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
mod names;
pub mod nicira;
mod packed;
pub mod packet;
mod types;
mod v10;
mod v13;
mod wire;

pub use codec::{decode, encode, encode_flow_mod, encode_packet_out, ended_entry};
pub use error::{DecodeError, EncodeError, Part, Problem};
pub use fields::FieldSet;
pub use frame::{FrameError, HEADER, Header, next_frame};
pub use model::*;
pub use names::{multipart_name, name};
pub use types::*;
pub use v10::MatchKey;
pub use v13::oxm::{Oxm, Oxms};

/// The example of the front page is true.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

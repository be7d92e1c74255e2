//! A message of the model: it survives encoding and decoding, in its own version.
#![no_main]

#[path = "../../tests/support/mod.rs"]
mod support;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use umlaut_openflow::{Version, Xid, decode, encode};

fuzz_target!(|data: &[u8]| {
    let Some((first, choices)) = data.split_first() else { return };
    let version = if first & 1 == 0 { Version::V1_0 } else { Version::V1_3 };
    let message = support::message(&mut support::Source::new(choices), version);
    let mut bytes = BytesMut::new();
    encode(version, Xid(1), &message, &mut bytes).expect("a message that the version can express");
    assert_eq!(decode(&bytes).expect("encoded by us").1, message);
});

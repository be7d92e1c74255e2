//! One message: decoding is total, and what decodes encodes to the same bytes but for reserved bits.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use umlaut_openflow::{Version, decode, encode};

fuzz_target!(|data: &[u8]| {
    // The length in the header is not what the fuzzer should find out.
    let mut bytes = data.to_vec();
    if bytes.len() >= 8
        && let Ok(length) = u16::try_from(bytes.len())
    {
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
    }
    match decode(&bytes) {
        Err(error) => assert!(error.offset <= bytes.len()),
        Ok((header, message)) => {
            let mut again = BytesMut::new();
            let encoded = encode(header.version, header.xid, &message, &mut again);
            if !matches!(header.version, Version::V1_0 | Version::V1_3) {
                return;
            }
            encoded.expect("what decodes encodes");
            assert_eq!(again.len(), bytes.len());
            assert!(again.iter().zip(&bytes).all(|(new, old)| new == old || *new == 0));
            assert_eq!(decode(&again).expect("encoded by us").1, message);
        }
    }
});

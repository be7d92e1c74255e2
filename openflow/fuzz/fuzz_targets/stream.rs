//! A stream: the framer ends, loses no byte, and every message that it cuts decodes or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use umlaut_openflow::{decode, next_frame};

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Ok(Some(length)) = next_frame(rest) {
        assert!((8..=rest.len()).contains(&length));
        let (message, after) = rest.split_at(length);
        if let Ok((header, _)) = decode(message) {
            assert_eq!(usize::from(header.length), length);
        }
        rest = after;
    }
});

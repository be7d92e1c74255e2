//! Real messages with Open vSwitch's own reading of each (`tests/vectors`): they decode, and encode
//! to the same bytes.

#[path = "support/spec.rs"]
#[expect(dead_code, reason = "the vectors of the specification use the rest")]
mod spec;

use bytes::BytesMut;
use umlaut_openflow::{Message, decode, encode, next_frame};

struct Vector {
    id: String,
    bytes: Vec<u8>,
    must_decode: bool,
}

fn vectors() -> Vec<Vector> {
    let texts = [include_str!("vectors/of10.jsonl"), include_str!("vectors/of13.jsonl")];
    let lines = texts.iter().flat_map(|text| text.lines());
    lines
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let hex = row["hex"].as_str().unwrap();
            Vector {
                id: row["id"].as_str().unwrap().to_owned(),
                bytes: (0..hex.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                    .collect(),
                must_decode: row["expect"] == "decode",
            }
        })
        .collect()
}

#[test]
fn every_vector_decodes_and_encodes_to_itself() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 112);
    let mut opaque = 0;
    for v in &vectors {
        if next_frame(&v.bytes) != Ok(Some(v.bytes.len())) {
            assert!(!v.must_decode, "{}", v.id);
            continue;
        }
        let (header, message) = match decode(&v.bytes) {
            Ok(decoded) => decoded,
            Err(_) if !v.must_decode => continue,
            Err(error) => panic!("{}: {error}", v.id),
        };
        opaque += usize::from(matches!(message, Message::Opaque(_)));
        let mut again = BytesMut::new();
        encode(header.version, header.xid, &message, &mut again)
            .unwrap_or_else(|error| panic!("{}: {error}", v.id));
        // Decoded again it is the same value; padding that was not zero becomes zero.
        assert_eq!(decode(&again).unwrap().1, message, "{}", v.id);
        assert_eq!(again.len(), v.bytes.len(), "{}", v.id);
        let differ = again.iter().zip(&v.bytes).filter(|(new, old)| new != old);
        for (new, _) in differ {
            assert_eq!(*new, 0, "{}: only padding may change", v.id);
        }
    }
    println!("{} vectors, {opaque} of types kept opaque", vectors.len());
}

#[test]
fn every_vector_cut_at_every_byte_is_an_error_or_a_shorter_message() {
    for v in vectors() {
        spec::cut_everywhere(&v.id, &v.bytes);
    }
}

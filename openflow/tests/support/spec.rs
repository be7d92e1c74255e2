//! Checks of vectors written by hand from the specification.

use std::collections::HashSet;
use std::mem::discriminant;
use std::process::Command;

use bytes::BytesMut;
use umlaut_openflow::{HEADER, Message, Version, Xid, decode, encode};

/// A message three times: as bytes of the specification, as a value of the model, and what Open
/// vSwitch must print of it ("decode error" where it does not support what the specification has).
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) hex: &'static str,
    pub(crate) message: Message<'static>,
    pub(crate) ovs: &'static [&'static str],
}

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    assert!(digits.len().is_multiple_of(2), "{hex}");
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

/// What Open vSwitch reads in a message, or `None` if it is not installed.
fn ovs_print(bytes: &[u8]) -> Option<String> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let output = Command::new("ovs-ofctl").args(["ofp-print", &hex]).output().ok()?;
    assert!(output.status.success(), "{hex}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// How many kinds of message the rows hold.
pub(crate) fn kinds(rows: &[Row]) -> usize {
    let kinds: HashSet<_> = rows.iter().map(|row| discriminant(&row.message)).collect();
    kinds.len()
}

/// Cuts a message at every byte. As it is, the piece is an error; with its length corrected it is an
/// error within, or a shorter message that survives.
pub(crate) fn cut_everywhere(name: &str, bytes: &[u8]) {
    for end in 0..bytes.len() {
        let mut cut = bytes[..end].to_vec();
        assert!(decode(&cut).is_err(), "{name} cut at {end}");
        if end < HEADER {
            continue;
        }
        cut[2..4].copy_from_slice(&(end as u16).to_be_bytes());
        match decode(&cut) {
            Ok((header, message)) => {
                let mut again = BytesMut::new();
                encode(header.version, header.xid, &message, &mut again).unwrap();
                assert_eq!(decode(&again).unwrap().1, message, "{name} cut at {end}");
            }
            Err(error) => assert!(error.offset <= end, "{name} cut at {end}: {error}"),
        }
    }
}

/// Every row decodes to its value, encodes to its bytes, and means the same to Open vSwitch.
pub(crate) fn check(version: Version, rows: &[Row]) {
    let mut printed = 0;
    let mut wrong = Vec::new();
    for Row { name, hex, message, ovs } in rows {
        let bytes = bytes(hex);
        let (header, decoded) = decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((header.version, header.xid), (version, Xid(7)), "{name}");
        assert_eq!(&decoded, message, "{name}");
        let mut out = BytesMut::new();
        encode(version, Xid(7), message, &mut out).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(&out[..], bytes, "{name}");
        cut_everywhere(name, &bytes);
        let Some(text) = ovs_print(&bytes) else { continue };
        printed += 1;
        let missing = ovs.iter().any(|fragment| !text.contains(fragment));
        let refused = text.contains("decode error") && !ovs.contains(&"decode error");
        if missing || refused {
            wrong.push(format!("{name}: wanted {ovs:?} of\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} vectors, {printed} read by Open vSwitch too", rows.len());
}

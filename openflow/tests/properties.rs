//! Properties of the codec: messages and bytes survive each other, and no bytes make it panic.

mod support;

use bytes::BytesMut;
use proptest::prelude::*;
use umlaut_openflow::{
    MatchField, Message, PortNo, Version, Xid, decode, encode, ended_entry, next_frame,
};

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V1_0), Just(Version::V1_3)]
}

fn choices() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..1500)
}

/// What every decoded message keeps: it encodes to as many bytes, which differ from those it came from
/// only where those had reserved bits that now are zero, and decode to the same message.
fn check_bytes(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok((header, message)) = decode(bytes) else { return Ok(()) };
    let mut again = BytesMut::new();
    let encoded = encode(header.version, header.xid, &message, &mut again);
    prop_assert_eq!(encoded, Ok(()), "decoded but not encoded: {:?}", message);
    prop_assert_eq!(again.len(), bytes.len(), "{:?}", message);
    for (at, (new, old)) in again.iter().zip(bytes).enumerate() {
        prop_assert!(new == old || *new == 0, "byte {} of {:?}", at, message);
    }
    if let Some((version, cookie, in_port)) = ended_entry(bytes) {
        let Message::FlowRemoved(removed) = &message else {
            return Err(TestCaseError::fail(format!("no entry has ended: {message:?}")));
        };
        let decoded = (header.version, removed.cookie, removed.matches.ingress());
        prop_assert_eq!((version, cookie, Some(in_port)), decoded);
    }
    let (again_header, again_message) = decode(&again).unwrap();
    prop_assert_eq!((again_header, &again_message), (header, &message));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8192))]

    #[test]
    fn a_message_survives_encoding_and_decoding(
        version in version(), xid in any::<u32>(), choices in choices(),
    ) {
        let message = support::message(&mut support::Source::new(&choices), version);
        let mut bytes = BytesMut::from(&b"before"[..]);
        encode(version, Xid(xid), &message, &mut bytes).unwrap();
        let bytes = &bytes[6..];
        prop_assert_eq!(next_frame(bytes), Ok(Some(bytes.len())));
        let (header, decoded) = decode(bytes).unwrap();
        prop_assert_eq!((header.version, header.xid), (version, Xid(xid)));
        prop_assert_eq!(usize::from(header.length), bytes.len());
        prop_assert_eq!(&decoded, &message);
        if let Message::FlowRemoved(removed) = &message
            && let Some(MatchField::InPort(PortNo(1..0xff00))) = removed.matches.fields().first()
        {
            prop_assert!(ended_entry(bytes).is_some(), "read from its places: {:?}", removed);
            // What is too long is left to `decode`, which refuses it.
            let mut longer = [bytes, &[0; 16]].concat();
            let length = (longer.len() as u16).to_be_bytes();
            longer[2..4].copy_from_slice(&length);
            prop_assert_eq!((ended_entry(&longer), decode(&longer).is_err()), (None, true));
        }
        prop_assert_eq!(decoded.into_owned(), message);
        check_bytes(bytes)?;
    }

    #[test]
    fn bytes_of_a_damaged_message_survive_decoding_and_encoding_or_are_refused(
        version in version(),
        choices in choices(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let message = support::message(&mut support::Source::new(&choices), version);
        let mut bytes = BytesMut::new();
        encode(version, Xid(7), &message, &mut bytes).unwrap();
        for (at, value) in damage {
            // Not the length in the header: that error is easy.
            let at = at.index(bytes.len());
            if !(2..4).contains(&at) {
                bytes[at] = value;
            }
        }
        check_bytes(&bytes)?;
    }

    #[test]
    fn a_message_cut_short_with_its_length_corrected_is_shorter_or_refused(
        version in version(), choices in choices(), end in any::<prop::sample::Index>(),
    ) {
        let message = support::message(&mut support::Source::new(&choices), version);
        let mut bytes = BytesMut::new();
        encode(version, Xid(7), &message, &mut bytes).unwrap();
        bytes.truncate(8 + end.index(bytes.len() - 7));
        let length = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        check_bytes(&bytes)?;
    }

    #[test]
    fn random_bytes_under_a_right_header_never_panic(
        version in 0u8..8, kind in 0u8..32, body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let length = (8 + body.len()) as u16;
        let mut bytes = vec![version, kind];
        bytes.extend(length.to_be_bytes());
        bytes.extend([0, 0, 0, 1]);
        bytes.extend(body);
        if version == 1 || version == 4 {
            check_bytes(&bytes)?;
        } else if let Err(error) = decode(&bytes) {
            prop_assert!(error.offset <= bytes.len());
        }
    }

    #[test]
    fn a_stream_gives_the_same_messages_however_it_arrives(
        version in version(),
        all in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..6),
        pieces in prop::collection::vec(1usize..40, 1..40),
    ) {
        let mut stream = BytesMut::new();
        let mut sent = Vec::new();
        for (xid, choices) in all.iter().enumerate() {
            let message = support::message(&mut support::Source::new(choices), version);
            encode(version, Xid(xid as u32), &message, &mut stream).unwrap();
            sent.push(message);
        }
        let mut received = Vec::new();
        let mut buffer = BytesMut::new();
        for size in pieces.iter().cycle() {
            let piece = stream.split_to((*size).min(stream.len()));
            buffer.extend_from_slice(&piece);
            while let Some(length) = next_frame(&buffer).unwrap() {
                let frame = buffer.split_to(length);
                received.push(decode(&frame).unwrap().1.into_owned());
            }
            if stream.is_empty() {
                break;
            }
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(received, sent);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Err(error) = decode(&bytes) {
            prop_assert!(error.offset <= bytes.len());
        }
        let _ = next_frame(&bytes);
    }

    #[test]
    fn what_a_version_lacks_is_refused_and_leaves_no_byte_behind(choices in choices()) {
        // A message of one version, written in the other.
        for (from, to) in [(Version::V1_3, Version::V1_0), (Version::V1_0, Version::V1_3)] {
            let message = support::message(&mut support::Source::new(&choices), from);
            let mut out = BytesMut::from(&b"before"[..]);
            match encode(to, Xid(1), &message, &mut out) {
                Ok(()) => check_bytes(&out[6..])?,
                Err(_) => prop_assert_eq!(&out[..], b"before"),
            }
        }
    }
}

#[test]
fn every_kind_of_message_comes_up_in_these_properties() {
    // 1.0 lacks groups, meters, asynchronous configuration, table configuration and features, and the
    // port description: 22 of the 59 kinds.
    for (version, expected) in [(Version::V1_0, 37), (Version::V1_3, 59)] {
        let mut kinds = std::collections::HashSet::new();
        for first in 0..59 {
            for choices in [[first, 0, 0], [first, 0, 1], [first, 1, 0]] {
                let message = support::message(&mut support::Source::new(&choices), version);
                kinds.insert(std::mem::discriminant::<Message<'_>>(&message));
            }
        }
        assert_eq!(kinds.len(), expected, "{version}");
    }
}

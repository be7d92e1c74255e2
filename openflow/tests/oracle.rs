//! The codec gives what cutting by hand gives, for packet-ins, port lists and flow-mods, valid or not.

#[path = "support/flow_oracle.rs"]
mod flow_oracle;
#[path = "support/oracle.rs"]
mod oracle;
mod support;

use bytes::BytesMut;
use proptest::prelude::*;
use umlaut_openflow::*;

/// A message of this version and kind (10 packet-in, 14 flow-mod) with damaged bytes behind the header.
fn bytes(
    version: Version,
    kind: u8,
    choices: &[u8],
    damage: &[(prop::sample::Index, u8)],
) -> BytesMut {
    let mut choices = choices.to_vec();
    choices.insert(0, kind);
    let message = support::message(&mut support::Source::new(&choices), version);
    let mut bytes = BytesMut::new();
    encode(version, Xid(7), &message, &mut bytes).unwrap();
    for (at, value) in damage {
        let at = at.index(bytes.len());
        if at >= 8 {
            bytes[at] = *value;
        }
    }
    bytes
}

fn choices() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 30..140)
}

fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    // Small numbers and the numbers of OXM headers reach further than random ones.
    let value = prop_oneof![any::<u8>(), 0u8..16, Just(0x80), Just(0xff)];
    prop::collection::vec((any::<prop::sample::Index>(), value), 0..4)
}

/// A flow-mod of the version with up to three damaged bytes behind the header, cut at its end.
fn flow_mod(
    version: Version,
    choices: &[u8],
    damage: &[(prop::sample::Index, u8)],
    cut: usize,
) -> BytesMut {
    let mut bytes = bytes(version, 14, choices, damage);
    let len = bytes.len().saturating_sub(cut).max(8);
    bytes.truncate(len);
    bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    bytes
}

fn decoded(bytes: &[u8]) -> Option<FlowMod> {
    match decode(bytes) {
        Ok((_, Message::FlowMod(flow))) => Some(flow),
        Ok((_, other)) => panic!("no flow-mod: {other:?}"),
        Err(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8192))]

    #[test]
    fn packet_ins_of_1_0_are_what_cutting_by_hand_gives(c in choices(), d in damage(), cut in 0usize..30) {
        let mut bytes = bytes(Version::V1_0, 10, &c, &d);
        let len = bytes.len().saturating_sub(cut).max(8);
        bytes.truncate(len);
        bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        prop_assert_eq!(decode(&bytes).ok(), oracle::packet_in_10(&bytes));
    }

    #[test]
    fn packet_ins_of_1_3_are_what_cutting_by_hand_gives(c in choices(), d in damage(), cut in 0usize..60) {
        let mut bytes = bytes(Version::V1_3, 10, &c, &d);
        let len = bytes.len().saturating_sub(cut).max(8);
        bytes.truncate(len);
        bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        prop_assert_eq!(decode(&bytes).ok(), oracle::packet_in_13(&bytes));
    }

    #[test]
    fn port_lists_are_what_cutting_by_hand_gives(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = vec![1, 6];
        bytes.extend((8 + body.len() as u16).to_be_bytes());
        bytes.extend([0, 0, 0, 7]);
        bytes.extend(body);
        prop_assert_eq!(decode(&bytes).ok(), oracle::features_10(&bytes));
    }

    #[test]
    fn flow_mods_of_1_0_are_what_cutting_by_hand_gives(
        c in prop::collection::vec(any::<u8>(), 30..300), d in damage(), cut in 0usize..20,
    ) {
        let bytes = flow_mod(Version::V1_0, &c, &d, cut);
        let mut flow = decoded(&bytes);
        // What stands under wildcards is kept beside the fields; the oracle has only these.
        if let Some(flow) = &mut flow {
            flow.matches = flow.matches.fields().iter().cloned().collect();
        }
        prop_assert_eq!(flow, flow_oracle::flow_mod_10(&bytes));
    }

    #[test]
    fn flow_mods_of_1_3_are_what_cutting_by_hand_gives(
        c in prop::collection::vec(any::<u8>(), 30..300), d in damage(), cut in 0usize..20,
    ) {
        // Half of them whole: a cut almost never leaves a flow-mod.
        let bytes = flow_mod(Version::V1_3, &c, &d, cut.saturating_sub(10));
        prop_assert_eq!(decoded(&bytes), flow_oracle::flow_mod_13(&bytes));
    }
}

#[test]
fn a_packet_in_is_borrowed_from_its_message() {
    use std::borrow::Cow;
    for version in [Version::V1_0, Version::V1_3] {
        let choices: Vec<u8> = (1..=120).collect();
        let bytes = bytes(version, 10, &choices, &[]);
        let (_, Message::PacketIn(packet)) = decode(&bytes).unwrap() else {
            panic!("no packet-in")
        };
        assert!(matches!(packet.pipeline, Cow::Borrowed(_)), "{version}");
        assert!(matches!(packet.data, Cow::Borrowed(_)), "{version}");
        assert!(!packet.data.is_empty());
    }
}

//! The codec gives what cutting by hand gives, for packet-ins, port lists and flow-mods, valid or not.

#[path = "support/oracle.rs"]
mod oracle;
mod support;

use bytes::BytesMut;
use proptest::prelude::*;
use umlaut_openflow::*;

/// A packet-in of the version with up to three damaged bytes behind the header.
fn bytes(version: Version, choices: &[u8], damage: &[(prop::sample::Index, u8)]) -> BytesMut {
    let mut choices = choices.to_vec();
    choices.insert(0, 10);
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

/// What a 1.0 flow-mod says, read at the offsets of the specification.
fn check_flow_mod_10(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok((_, Message::FlowMod(flow))) = decode(bytes) else {
        prop_assert!(bytes.len() < 72 || !actions_fit(&bytes[72..]));
        return Ok(());
    };
    let be16 = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let be32 = |at: usize| u32::from(be16(at)) << 16 | u32::from(be16(at + 2));
    prop_assert_eq!(flow.cookie.0, u64::from(be32(48)) << 32 | u64::from(be32(52)));
    prop_assert_eq!(flow.command.0, be16(56));
    prop_assert_eq!((flow.idle_timeout, flow.hard_timeout), (be16(58), be16(60)));
    prop_assert_eq!(flow.priority, be16(62));
    prop_assert_eq!(flow.buffer_id.map_or(u32::MAX, |id| id.0), be32(64));
    prop_assert_eq!(flow.out_port, PortNo::from_v10(be16(68)));
    prop_assert_eq!(flow.flags.0, be16(70));
    let wildcards = be32(8);
    let fields = flow.matches.fields();
    let mut expected = 0;
    for bit in [0, 1, 2, 3, 4, 5, 6, 7, 20, 21] {
        expected += usize::from(wildcards >> bit & 1 == 0);
    }
    for shift in [8, 14] {
        expected += usize::from(wildcards >> shift & 0x3f < 32);
    }
    prop_assert_eq!(fields.len(), expected);
    if wildcards & 1 == 0 {
        prop_assert_eq!(flow.matches.ingress(), Some(PortNo::from_v10(be16(12))));
    }
    if wildcards & 4 == 0 {
        let mac = MacAddr(bytes[14..20].try_into().unwrap());
        prop_assert!(fields.contains(&MatchField::EthSrc(mac.into())));
    }
    if wildcards & 0x10 == 0 {
        prop_assert!(fields.contains(&MatchField::EthType(be16(30))));
    }
    Ok(())
}

/// Whether a 1.0 action list has only lengths that fit, by hand.
fn actions_fit(mut list: &[u8]) -> bool {
    while !list.is_empty() {
        let [kind_high, kind_low, high, low, ..] = *list else { return false };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let wanted = match u16::from_be_bytes([kind_high, kind_low]) {
            0..=3 | 6..=10 => Some(8),
            4 | 5 | 11 => Some(16),
            _ => None,
        };
        if length < 8
            || length % 8 != 0
            || length > list.len()
            || wanted.is_some_and(|w| w != length)
        {
            return false;
        }
        list = &list[length..];
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8192))]

    #[test]
    fn packet_ins_of_1_0_are_what_cutting_by_hand_gives(c in choices(), d in damage(), cut in 0usize..30) {
        let mut bytes = bytes(Version::V1_0, &c, &d);
        let len = bytes.len().saturating_sub(cut).max(8);
        bytes.truncate(len);
        bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        prop_assert_eq!(decode(&bytes).ok(), oracle::packet_in_10(&bytes));
    }

    #[test]
    fn packet_ins_of_1_3_are_what_cutting_by_hand_gives(c in choices(), d in damage(), cut in 0usize..60) {
        let mut bytes = bytes(Version::V1_3, &c, &d);
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
    fn flow_mods_of_1_0_say_what_stands_at_the_offsets_of_the_specification(
        c in prop::collection::vec(any::<u8>(), 30..300), d in damage(),
    ) {
        let mut c = c;
        c.insert(0, 14);
        let message = support::message(&mut support::Source::new(&c), Version::V1_0);
        let mut bytes = BytesMut::new();
        encode(Version::V1_0, Xid(7), &message, &mut bytes).unwrap();
        for (at, value) in d {
            let at = at.index(bytes.len());
            if at >= 8 {
                bytes[at] = value;
            }
        }
        check_flow_mod_10(&bytes)?;
    }
}

#[test]
fn a_packet_in_is_borrowed_from_its_message() {
    use std::borrow::Cow;
    for version in [Version::V1_0, Version::V1_3] {
        let choices: Vec<u8> = (1..=120).collect();
        let bytes = bytes(version, &choices, &[]);
        let (_, Message::PacketIn(packet)) = decode(&bytes).unwrap() else {
            panic!("no packet-in")
        };
        assert!(matches!(packet.pipeline, Cow::Borrowed(_)), "{version}");
        assert!(matches!(packet.data, Cow::Borrowed(_)), "{version}");
        assert!(!packet.data.is_empty());
    }
}

//! Fields narrower than the bytes they travel in: the widest value goes out, a wider one is refused,
//! and what a peer sends beyond the range survives as it came.

use bytes::BytesMut;
use umlaut_openflow::*;

fn written(version: Version, message: &Message<'_>) -> Result<BytesMut, EncodeError> {
    let mut out = BytesMut::new();
    encode(version, Xid(7), message, &mut out)?;
    Ok(out)
}

fn matching(field: MatchField) -> Message<'static> {
    Message::FlowMod(FlowMod::add(Match::new().with(field)))
}

fn doing(action: Action) -> Message<'static> {
    Message::FlowMod(FlowMod::add(Match::new()).apply(vec![action]))
}

fn masked<T>(value: T, mask: T) -> Masked<T> {
    Masked { value, mask: Some(mask) }
}

/// The widest value of every such field, and the next wider one, in value and in mask.
fn fields() -> Vec<(&'static str, MatchField, Vec<MatchField>)> {
    use MatchField::*;
    vec![
        (
            "VlanVid",
            VlanVid(VlanMatch::Tagged(4095)),
            vec![
                VlanVid(VlanMatch::Tagged(4096)),
                VlanVid(VlanMatch::Raw { value: 0x2000, mask: None }),
                VlanVid(VlanMatch::Raw { value: 0x1000, mask: Some(0x3000) }),
            ],
        ),
        ("VlanPcp", VlanPcp(7), vec![VlanPcp(8), VlanPcp(255)]),
        ("IpDscp", IpDscp(63), vec![IpDscp(64), IpDscp(255)]),
        ("IpEcn", IpEcn(3), vec![IpEcn(4)]),
        (
            "Ipv6Flabel",
            Ipv6Flabel(masked(0xf_ffff, 0xf_ffff)),
            vec![Ipv6Flabel(0x10_0000.into()), Ipv6Flabel(masked(0, 0x10_0000))],
        ),
        ("MplsLabel", MplsLabel(0xf_ffff), vec![MplsLabel(0x10_0000)]),
        ("MplsTc", MplsTc(7), vec![MplsTc(8)]),
        (
            "PbbIsid",
            PbbIsid(masked(0xff_ffff, 0xff_ffff)),
            vec![PbbIsid(0x100_0000.into()), PbbIsid(masked(0, 0x100_0000))],
        ),
        (
            "Ipv6Exthdr",
            Ipv6Exthdr(masked(0x1ff, 0x1ff)),
            vec![Ipv6Exthdr(0x200.into()), Ipv6Exthdr(masked(0, 0x200))],
        ),
    ]
}

#[test]
fn the_widest_value_of_a_field_goes_out_and_a_wider_one_is_refused_in_1_3() {
    for (what, widest, wider) in fields() {
        let message = matching(widest.clone());
        let bytes = written(Version::V1_3, &message).unwrap();
        assert_eq!(decode(&bytes).unwrap().1, message);
        for field in wider {
            let refused = Err(EncodeError::Value { what });
            assert_eq!(written(Version::V1_3, &matching(field.clone())), refused, "{field:?}");
            assert_eq!(written(Version::V1_3, &doing(Action::SetField(field))), refused);
        }
    }
}

#[test]
fn the_widest_value_of_a_field_goes_out_and_a_wider_one_is_refused_in_1_0() {
    for (widest, wider) in [
        (
            matching(MatchField::VlanVid(VlanMatch::Tagged(4095))),
            matching(MatchField::VlanVid(VlanMatch::Tagged(4096))),
        ),
        (matching(MatchField::VlanPcp(7)), matching(MatchField::VlanPcp(8))),
        (matching(MatchField::IpDscp(63)), matching(MatchField::IpDscp(64))),
        (matching(MatchField::ArpOp(255)), matching(MatchField::ArpOp(256))),
        (
            matching(MatchField::InPort(PortNo(0xfeff))),
            matching(MatchField::InPort(PortNo(0xff00))),
        ),
        (doing(Action::SetVlanVid(4095)), doing(Action::SetVlanVid(4096))),
        (doing(Action::SetVlanPcp(7)), doing(Action::SetVlanPcp(8))),
        (
            doing(Action::SetField(MatchField::IpDscp(63))),
            doing(Action::SetField(MatchField::IpDscp(64))),
        ),
        (doing(Action::output(PortNo(0xfeff))), doing(Action::output(PortNo(0x1_0000)))),
        (
            doing(Action::Enqueue { port: PortNo::LOCAL, queue_id: u32::MAX }),
            doing(Action::Enqueue { port: PortNo(0x1_0000), queue_id: 0 }),
        ),
    ] {
        assert!(written(Version::V1_0, &widest).is_ok(), "{widest:?}");
        assert!(written(Version::V1_0, &wider).is_err(), "{wider:?}");
    }
}

#[test]
fn a_value_from_the_wire_that_its_field_has_no_room_for_survives_and_is_no_value_of_the_model() {
    // An OXM of the basic class: field number, value.
    for (field, value) in [
        (6, &[0x20, 0][..]),
        (7, &[8]),
        (8, &[64]),
        (9, &[4]),
        (28, &[0, 0x10, 0, 0]),
        (34, &[0, 0x10, 0, 0]),
        (35, &[8]),
        (36, &[2]),
        (39, &[2, 0]),
    ] {
        let raw = RawOxm { class: 0x8000, field, has_mask: false, body: value.to_vec() };
        let message = matching(MatchField::Raw(raw.into()));
        let bytes = written(Version::V1_3, &message).unwrap();
        assert_eq!(decode(&bytes).unwrap().1, message);
    }
    // The tag of a 1.0 match: VID 0x1234 and priority 9, neither wildcarded.
    let mut bytes =
        written(Version::V1_0, &matching(MatchField::VlanVid(VlanMatch::Tagged(1)))).unwrap();
    bytes[8..12].copy_from_slice(&0x002f_ffdd_u32.to_be_bytes());
    bytes[26..29].copy_from_slice(&[0x12, 0x34, 9]);
    let (header, message) = decode(&bytes).unwrap();
    assert_eq!(written(header.version, &message).unwrap(), bytes);
    let Message::FlowMod(flow) = message else { panic!("no flow-mod") };
    let unchanged = flow.matches.fields().iter().cloned().collect::<Match>();
    let refused = written(Version::V1_0, &Message::FlowMod(FlowMod::add(unchanged)));
    assert_eq!(refused, Err(EncodeError::Value { what: "VlanVid" }));
    // 1.0 actions: set-VID 0x1234, set-priority 9.
    for action in [Action::raw(1, vec![0x12, 0x34, 0, 0]), Action::raw(2, vec![9, 0, 0, 0])] {
        let message = doing(action);
        let bytes = written(Version::V1_0, &message).unwrap();
        assert_eq!(decode(&bytes).unwrap().1, message);
    }
}

#[test]
fn a_field_without_room_for_a_mask_keeps_the_one_that_a_peer_sends() {
    // The model cannot give these fields a mask; from the wire it survives.
    for field in
        [0, 1, 5, 7, 8, 9, 10, 13, 14, 15, 16, 17, 18, 19, 20, 21, 29, 30, 32, 33, 34, 35, 36]
    {
        let width = match field {
            0 | 1 | 34 => 4,
            32 | 33 => 6,
            5 | 13..=18 | 21 => 2,
            _ => 1,
        };
        let body = vec![0; 2 * width];
        let message =
            matching(MatchField::Raw(RawOxm { class: 0x8000, field, has_mask: true, body }.into()));
        let bytes = written(Version::V1_3, &message).unwrap();
        assert_eq!(decode(&bytes).unwrap().1, message, "field {field}");
    }
}

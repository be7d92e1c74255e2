//! Hostile and merely odd bytes: lengths that lie, lists that do not end, codes that nobody knows.

#[path = "support/spec.rs"]
#[expect(dead_code, reason = "the vectors of the specification use the rest")]
mod spec;

use bytes::BytesMut;
use umlaut_openflow::*;

/// A message of this version and type with the right length and xid 7.
fn message(version: u8, kind: u8, body: &str) -> Vec<u8> {
    let body = spec::bytes(body);
    let mut bytes = vec![version, kind];
    bytes.extend((8 + body.len() as u16).to_be_bytes());
    bytes.extend([0, 0, 0, 7]);
    bytes.extend(body);
    bytes
}

const ANY10: &str = "003820ff 0000 000000000000 000000000000 0000 00 00 0000 00 00 0000
    00000000 00000000 0000 0000";
const FLOW10: &str = "0000000000000000 0000 0000 0000 8000 ffffffff ffff 0000";
const FLOW13: &str = "0000000000000000 0000000000000000 00 00 0000 0000 8000
    ffffffff ffffffff ffffffff 0000 0000";
const ANY13: &str = "0001 0004 00000000";
const PACKET_IN13: &str = "ffffffff 0000 00 00 0000000000000000";

#[test]
fn a_lie_is_refused_at_its_field_with_the_error_that_the_specification_asks_for() {
    // Version, type, body, field, offset, OFPT_ERROR type and code.
    type Row<'a> = (u8, u8, &'a [&'a str], &'a str, usize, (u16, u16));
    let rows: &[Row<'_>] = &[
        // Bodies where none may be, and bodies cut short.
        (1, 5, &["00"], "end", 8, (1, 6)),
        (4, 20, &["00000000"], "end", 8, (1, 6)),
        (4, 6, &["0000000000000001 00000000 01"], "auxiliary_id", 21, (1, 6)),
        (1, 10, &["ffffffff 0040"], "in_port", 14, (1, 6)),
        (4, 4, &["deadbeef 0000"], "exp_type", 12, (1, 6)),
        (1, 4, &["dead"], "experimenter", 8, (1, 6)),
        // Hello: elements shorter than their head, longer than the message.
        (4, 0, &["0001 0003 00000000"], "element.length", 10, (1, 6)),
        (4, 0, &["0001 0000 00000000"], "element.length", 10, (1, 6)),
        (4, 0, &["0001 0010 00000012"], "element.length", 10, (1, 6)),
        // Actions: zero length, no multiple of eight, beyond the list, wrong for the type.
        (1, 14, &[ANY10, FLOW10, "0000 0000 0001 0000"], "action.len", 74, (2, 1)),
        (1, 14, &[ANY10, FLOW10, "0000 0004"], "action.len", 74, (2, 1)),
        (1, 14, &[ANY10, FLOW10, "0000 000c 0001 0000 00000000"], "action.len", 74, (2, 1)),
        (1, 14, &[ANY10, FLOW10, "0000 0010 0001 0000"], "action.len", 74, (2, 1)),
        (1, 14, &[ANY10, FLOW10, "0000 0010 0001 0000 0000000000000000"], "end", 80, (2, 1)),
        (1, 14, &[ANY10, FLOW10, "0004 0008 01020304"], "value", 76, (2, 1)),
        (1, 13, &["ffffffff ffff 0010 0000 0008 0001 0000"], "actions_len", 14, (1, 6)),
        (
            4,
            13,
            &["ffffffff fffffffd 0008 000000000000 0000 0010 00000001"],
            "action.len",
            26,
            (2, 1),
        ),
        (4, 13, &["ffffffff fffffffd ffff 000000000000"], "actions_len", 16, (1, 6)),
        // Set-field: cut inside, a width that the field does not have, too much padding.
        (
            4,
            14,
            &[FLOW13, ANY13, "0004 0010 00000000 0019 0008 80000606"],
            "oxm_length",
            71,
            (2, 14),
        ),
        (
            4,
            14,
            &[FLOW13, ANY13, "0004 0018 00000000 0019 0010 80000605 0102030405 000000"],
            "oxm_length",
            71,
            (2, 14),
        ),
        (
            4,
            14,
            &[FLOW13, ANY13, "0004 0018 00000000 0019 0010 80000a02 0800 000000000000"],
            "",
            0,
            (0, 0),
        ),
        (
            4,
            14,
            &[
                FLOW13,
                ANY13,
                "0004 0020 00000000 0019 0018 80000a02 0800 000000000000 0000000000000000",
            ],
            "set_field.len",
            74,
            (2, 14),
        ),
        // Instructions.
        (4, 14, &[FLOW13, ANY13, "0001 0000 00000000"], "instruction.len", 58, (3, 7)),
        (4, 14, &[FLOW13, ANY13, "0001 0010 00000000"], "instruction.len", 58, (3, 7)),
        (4, 14, &[FLOW13, ANY13, "0005 0010 00000000 0000000000000000"], "end", 64, (3, 7)),
        (4, 14, &[FLOW13, ANY13, "0002 0008 00000000"], "metadata", 64, (3, 7)),
        // Match: another type, lengths that lie, fields that do not fit.
        (4, 14, &[FLOW13, "0000 0058 00000000"], "match.type", 48, (4, 0)),
        (4, 14, &[FLOW13, "0001 0003 00000000"], "match.length", 50, (4, 1)),
        (4, 14, &[FLOW13, "0001 0010 00000000"], "match.length", 50, (4, 1)),
        (4, 14, &[FLOW13, "0001 0007 800000"], "match.length", 50, (4, 1)),
        (4, 14, &[FLOW13, "0001 0008 80000004"], "oxm_length", 55, (4, 1)),
        // Of no length, in every class: padding that a match of a wrong length takes for its own.
        (4, 14, &[FLOW13, "0001 0008 80009a00"], "oxm_length", 55, (4, 1)),
        (4, 14, &[FLOW13, "0001 0008 00000000"], "oxm_length", 55, (4, 1)),
        (4, 14, &[FLOW13, "0001 0006 8000 0000"], "oxm_header", 52, (4, 1)),
        // The same in a packet-in, behind its port.
        (
            4,
            10,
            &["ffffffff 0000 00 00 0000000000000000 0001 0010 80000004 00000001 00000000 0000"],
            "oxm_length",
            39,
            (4, 1),
        ),
        (4, 14, &[FLOW13, "0001 000b 80000003 000001 0000000000"], "oxm_length", 55, (4, 1)),
        (4, 14, &[FLOW13, "0001 000c 80000704 00000000 00000000"], "oxm_length", 55, (4, 1)),
        // An experimenter's field without the experimenter.
        (4, 14, &[FLOW13, "0001 000a ffff0002 0102 000000000000"], "oxm_length", 55, (4, 1)),
        (4, 14, &[FLOW13, "0001 000d ffff0105 01020304 05 000000"], "oxm_length", 55, (4, 1)),
        (1, 14, &["003820ff 0000"], "dl_src", 14, (1, 6)),
        // Groups, meters, queues, table features.
        (
            4,
            15,
            &["0000 00 00 00000001 0000 0000 00000000 00000000 00000000"],
            "bucket.len",
            16,
            (6, 12),
        ),
        (
            4,
            15,
            &["0000 00 00 00000001 0018 0000 00000000 00000000 00000000"],
            "bucket.len",
            16,
            (6, 12),
        ),
        (
            4,
            15,
            &["0000 00 00 00000001 0018 0000 00000000 00000000 00000000 0000 0000 00000000"],
            "action.len",
            34,
            (2, 1),
        ),
        (
            4,
            29,
            &["0000 0001 00000001 0001 0000 00000000 00000000 00000000"],
            "meter_band.len",
            18,
            (12, 8),
        ),
        (4, 29, &["0000 0001 00000001 0001 000c 00000000 00000000"], "pad", 28, (12, 8)),
        (
            4,
            23,
            &["00000001 00000000 00000001 00000001 0000 000000000000"],
            "packet_queue.len",
            24,
            (1, 6),
        ),
        (
            1,
            21,
            &["0001 000000000000 00000001 0010 0000 0001 0000 00000000"],
            "queue_prop.len",
            26,
            (1, 6),
        ),
        // Multiparts: entries of length zero and beyond the message.
        (1, 17, &["0001 0000 0000 00 00"], "flow_stats.length", 12, (1, 6)),
        (4, 19, &["0001 0000 00000000", &ZEROS[..96]], "flow_stats.length", 16, (1, 6)),
        (4, 19, &["0006 0000 00000000", &ZEROS[..80]], "group_stats.length", 16, (1, 6)),
        (4, 19, &["0009 0000 00000000", &ZEROS[..80]], "meter_stats.len", 20, (1, 6)),
        (4, 19, &["000a 0000 00000000 0000 0000 00000001"], "meter_config.length", 16, (1, 6)),
        (4, 19, &["0007 0000 00000000 0000 0000 00000001"], "group_desc.length", 16, (1, 6)),
        (4, 19, &["000c 0000 00000000", &ZEROS[..128]], "table_features.length", 16, (1, 6)),
        (
            4,
            19,
            &["000c 0000 00000000 0048", &ZEROS[..124], "0000 0000 00000000"],
            "property.length",
            82,
            (13, 3),
        ),
        (
            4,
            19,
            &["000c 0000 00000000 0048", &ZEROS[..124], "0000 0008 0001 0000"],
            "id.len",
            86,
            (13, 3),
        ),
        // Experimenters' parts without the experimenter.
        (
            4,
            19,
            &["000c 0000 00000000 0048", &ZEROS[..124], "0000 0008 ffff 0004"],
            "id.len",
            86,
            (13, 3),
        ),
        (
            4,
            19,
            &["000c 0000 00000000 0048", &ZEROS[..124], "fffe 0008 01020304"],
            "property.length",
            82,
            (13, 3),
        ),
        (4, 19, &["0004 0000 00000000 00000001"], "pad", 20, (1, 6)),
        (4, 18, &["0000"], "flags", 10, (1, 6)),
        // Flags that nobody knows do not hide parts that do not fit.
        (4, 19, &["0001 8001 00000000 ff"], "length", 16, (1, 6)),
        (4, 18, &["0004 0100 00000000 00000001"], "pad", 20, (1, 6)),
        (1, 17, &["0004 0004 0001"], "pad", 14, (1, 6)),
    ];
    for (version, kind, body, field, offset, (error, code)) in rows {
        let bytes = message(*version, *kind, &body.join(" "));
        match decode(&bytes) {
            Ok(decoded) => assert_eq!(*field, "", "{body:?} gave {decoded:?}"),
            Err(found) => {
                assert_eq!((found.field, found.offset), (*field, *offset), "{body:?}: {found}");
                assert_eq!(found.xid, Some(Xid(7)), "{body:?}");
                let asked = found.error_code(Version(*version));
                assert_eq!(asked, Some(ErrorCode::new(*error, *code)), "{body:?}: {found}");
            }
        }
    }
}

const ZEROS: &str = concat!(
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
);

#[test]
fn errors_are_not_answered_by_errors_and_half_a_header_by_nothing() {
    let error = decode(&message(4, 1, "0001")).unwrap_err();
    assert_eq!((error.message, error.field), ("OFPT_ERROR", "code"));
    assert_eq!(error.error_code(Version::V1_3), None);
    let error = decode(&[4, 0, 0]).unwrap_err();
    assert_eq!((error.xid, error.error_code(Version::V1_3)), (None, None));
    let error = decode(&[4, 0, 0, 9, 0, 0, 0, 7]).unwrap_err();
    assert_eq!((error.field, error.offset, error.xid), ("length", 2, Some(Xid(7))));
    assert_eq!(error.to_string(), "message (version 1.3): length at byte 2: length 9 cannot be");
}

/// Decodes, and checks that encoding gives the same bytes.
fn verbatim(bytes: &[u8]) -> Message<'_> {
    let (header, message) = decode(bytes).unwrap_or_else(|error| panic!("{bytes:02x?}: {error}"));
    let mut again = BytesMut::new();
    encode(header.version, header.xid, &message, &mut again).unwrap();
    assert_eq!(again[..], *bytes, "{message:?}");
    message
}

#[test]
fn what_nobody_knows_survives() {
    for (version, kind, body) in [
        // A hello of 1.0 may hold anything; later ones may leave out padding, repeat and reorder.
        (1, 0, "ff".to_owned()),
        (1, 0, "0001 0003 00000000".to_owned()),
        (4, 0, "0001 000c 00000012 00000001".to_owned()),
        (4, 0, "0005 0006 abcd 0000 0001 0008 00000012 0001 0008 00000010".to_owned()),
        (4, 0, "0001 0006 abcd 0000".to_owned()),
        (0x63, 0, "0001 0008 00000012".to_owned()),
        (6, 30, "0102".to_owned()),
        // Nicira's role messages with a role or a length that they do not have.
        (1, 4, "00002320 0000000a 00000003".to_owned()),
        (1, 4, "00002320 0000000a 00000001 00".to_owned()),
        // 1.0: values under wildcards, bit counts above 32, bits that no wildcard has, DSCP with ECN.
        (1, 14, format!("ffffffff {} {FLOW10}", &"11".repeat(36))),
        (1, 14, format!("003fffff {} {FLOW10}", &ZEROS[..72])),
        (1, 14, format!("001820ff {} b9 {} {FLOW10}", &ZEROS[..40], &ZEROS[..30])),
        // VID 0x1234, commands and reasons above the known, ports between ordinary and reserved.
        (1, 14, format!("003820fd {} 1234 {} {FLOW10}", &ZEROS[..28], &ZEROS[..40])),
        (
            1,
            14,
            format!("{ANY10} {}", FLOW10.replacen("0000 0000 0000 8000", "1234 0000 0000 8000", 1)),
        ),
        (1, 13, "ffffffff ff77 0000 abcd".to_owned()),
        // 1.0 actions: set-tos with ECN bits, unknown types.
        (1, 14, format!("{ANY10} {FLOW10} 0008 0008 03 000000")),
        (1, 14, format!("{ANY10} {FLOW10} 7777 0010 01020304 05060708 090a0b0c")),
        // Statistics of unknown kinds and with unknown flags.
        (1, 16, "0077 0000 01".to_owned()),
        (1, 16, "0000 0004".to_owned()),
        (4, 18, "0000 0004 00000000".to_owned()),
        (4, 19, "0001 8001 00000000".to_owned()),
        // A packet-in without ingress port, with ANY, with another port only, behind another field.
        (4, 10, format!("{PACKET_IN13} {ANY13} 0000")),
        (4, 10, format!("{PACKET_IN13} 0001 000c 80000004 ffffffff 00000000 0000 ab")),
        (4, 10, format!("{PACKET_IN13} 0001 000c 80000204 00000001 00000000 0000")),
        (
            4,
            10,
            format!("{PACKET_IN13} 0001 0012 80000c02 1001 80000004 00000003 000000000000 0000"),
        ),
        // OXM: unknown class and field, masks where none may be, a BOS that is no bit, strange VLANs.
        (4, 14, format!("{FLOW13} 0001 000f 8000fe01 05 77770302 0809 00")),
        (4, 14, format!("{FLOW13} 0001 000c 80000b04 0800ffff 00000000")),
        (4, 14, format!("{FLOW13} 0001 0009 80004801 02 00000000000000")),
        (4, 14, format!("{FLOW13} 0001 000c 80000d04 0000 1000 00000000")),
        (4, 14, format!("{FLOW13} 0001 000a 80000c02 0064 000000000000")),
        // Durations that no clock shows.
        (4, 19, format!("0005 0000 00000000 {} ffffffff ffffffff", &ZEROS[..64])),
        (4, 19, format!("0005 0000 00000000 {} 00000001 3b9aca00", &ZEROS[..64])),
    ] {
        verbatim(&message(version, kind, &body));
    }
}

#[test]
fn a_stray_value_under_a_wildcard_does_not_become_a_field() {
    let bytes = message(1, 14, &format!("003820fe 0001 {} {FLOW10}", &"ff".repeat(34)));
    let Message::FlowMod(flow) = verbatim(&bytes) else { panic!("no flow-mod") };
    assert_eq!(flow.matches.fields(), [MatchField::InPort(PortNo(1))]);
    // Changed by the application, the match says only what its fields say.
    let changed = flow.matches.eth_type(0x0806u16);
    let mut out = BytesMut::new();
    encode(Version::V1_0, Xid(0), &Message::FlowMod(FlowMod::add(changed)), &mut out).unwrap();
    assert_eq!(
        out[8..48],
        spec::bytes(
            "003820ee 0001 000000000000 000000000000 0000 00 00 0806 00 00 0000 00000000 00000000 0000 0000",
        )
    );
}

#[test]
fn what_a_version_cannot_say_is_refused() {
    let flow = |m: Match| Message::FlowMod(FlowMod::add(m));
    let does = |action| Message::FlowMod(FlowMod::add(Match::new()).apply(vec![action]));
    let set = |field| Action::SetField(field);
    let host = std::net::Ipv4Addr::new(10, 0, 0, 1);
    let odd: std::net::Ipv4Addr = [255, 0, 255, 0].into();
    let flow_with = |change: fn(&mut FlowMod)| {
        let mut flow = FlowMod::add(Match::new());
        change(&mut flow);
        Message::FlowMod(flow)
    };
    let both = [
        flow(Match::new().in_port(PortNo(0x1_0000))),
        flow(
            Match::new()
                .with(MatchField::Ipv6Src("::1".parse::<std::net::Ipv6Addr>().unwrap().into())),
        ),
        flow(Match::new().vlan_vid(VlanMatch::Present)),
        flow(Match::new().with(MatchField::IpDscp(64))),
        flow(Match::new().with(MatchField::ArpOp(256))),
        flow(Match::new().ipv4_src(Masked { value: host, mask: Some(odd) })),
        flow(Match::new().eth_src(Masked { value: MacAddr::ZERO, mask: Some(MacAddr::BROADCAST) })),
        flow(Match::new().in_port(PortNo(1)).in_port(PortNo(2))),
        flow_with(|flow| flow.table_id = TableId(1)),
        flow_with(|flow| flow.cookie_mask = 1),
        flow_with(|flow| flow.out_group = GroupId(1)),
        flow_with(|flow| flow.out_port = PortNo(0xff00)),
        flow_with(|flow| flow.instructions = [Instruction::Goto(TableId(1))].into()),
        does(Action::PushVlan(0x8100)),
        does(Action::Group(GroupId(1))),
        does(set(MatchField::EthType(0x800))),
        does(set(MatchField::IpDscp(64))),
        does(Action::raw(99, vec![0; 5])),
        Message::PortDescriptionRequest,
        Message::GetAsyncRequest,
        Message::GroupStatsRequest { group_id: GroupId::ALL },
        Message::TableMod(TableMod { table_id: TableId(0), config: 0 }),
    ];
    for message in &both {
        let mut out = BytesMut::from(&b"before"[..]);
        let refused = encode(Version::V1_0, Xid(0), message, &mut out);
        assert!(refused.is_err(), "1.0 {message:?}");
        assert_eq!(&out[..], b"before");
    }
    let raw = |field, has_mask, body: usize| {
        MatchField::Raw(RawOxm { class: 0x8000, field, has_mask, body: vec![0; body] }.into())
    };
    let later = [
        does(Action::SetVlanVid(1)),
        does(Action::SetVlanPcp(1)),
        does(Action::Enqueue { port: PortNo(1), queue_id: 1 }),
        does(Action::raw(99, vec![0; 5])),
        does(Action::raw(99, vec![0; 0x1_0000 - 4])),
        does(set(MatchField::TpSrc(1))),
        flow(Match::new().with(MatchField::TpDst(1))),
        flow(Match::new().vlan_vid(VlanMatch::Tagged(0x1000))),
        flow(Match::new().with(MatchField::PbbIsid(Masked::from(0x100_0000)))),
        flow(Match::new().with(raw(128, false, 4))),
        flow(Match::new().with(raw(3, false, 5))),
        flow(Match::new().with(raw(90, false, 256))),
        flow_with(|flow| flow.command = FlowModCommand(256)),
        flow_with(|flow| flow.buffer_id = Some(BufferId(u32::MAX))),
        Message::Experimenter { experimenter: 1, body: vec![0; 3].into() },
        Message::EchoRequest(vec![0; 65_528].into()),
        Message::PacketOut(PacketOut::to_port(PortNo(1), vec![0; 65_530])),
    ];
    for message in &later {
        let mut out = BytesMut::from(&b"before"[..]);
        let refused = encode(Version::V1_3, Xid(0), message, &mut out);
        assert!(refused.is_err(), "1.3 {message:?}");
        assert_eq!(&out[..], b"before");
    }
    let mut out = BytesMut::new();
    assert_eq!(
        encode(Version::V1_3, Xid(0), &Message::EchoRequest(vec![0; 65_527].into()), &mut out),
        Ok(())
    );
    assert_eq!(out.len(), 65_535);
    let unknown = encode(Version::V1_5, Xid(0), &Message::BarrierRequest, &mut out);
    assert_eq!(unknown, Err(EncodeError::Version(Version::V1_5)));
}

#[test]
fn an_error_around_an_error_around_an_error_is_read_once() {
    // 64 KiB of errors, each the data of the one before: decoding looks at the outermost only.
    let mut bytes = Vec::new();
    for depth in 0..5461 {
        bytes.extend([4, 1]);
        bytes.extend((65_532 - 12 * depth as u16).to_be_bytes());
        bytes.extend([0, 0, 0, 1, 0, 1, 0, 6]);
    }
    let Message::Error(error) = verbatim(&bytes) else { panic!("no error") };
    assert_eq!(error.data.len(), 65_520);
}

#[test]
fn the_longest_lists_stay_within_a_bounded_multiple_of_their_bytes() {
    // Eight bytes are the least that an action takes; an `Action` is of fixed size.
    let drops = "0018 0008 00000000".repeat(8_000);
    let length = 8 + 8 * 8_000;
    let body = format!("{FLOW13} {ANY13} 0004 {length:04x} 00000000 {drops}");
    let bytes = message(4, 14, &body);
    let Message::FlowMod(flow) = verbatim(&bytes) else { panic!("no flow-mod") };
    let mut instructions = flow.instructions.into_iter();
    let Some(Instruction::Apply(actions)) = instructions.next() else { panic!("no actions") };
    let actions = Vec::from(actions);
    assert_eq!(actions.len(), 8_000);
    assert!(actions.capacity() * size_of::<Action>() < 16 * bytes.len());
}

#[test]
fn the_value_that_a_peer_means_is_found_whatever_surrounds_it() {
    let bytes = message(4, 0, "0005 0006 abcd 0000 0001 0008 00000012 0001 0008 00000010");
    let Message::Hello(hello) = verbatim(&bytes) else { panic!("no hello") };
    assert_eq!(hello.versions, Some(vec![0x12]));
    let bytes = message(
        4,
        10,
        "ffffffff 0000 00 00 0000000000000000 0001 0012 80000c02 1001
        80000004 00000003 000000000000 0000 ab",
    );
    let Message::PacketIn(packet) = verbatim(&bytes) else { panic!("no packet-in") };
    assert_eq!((packet.in_port, &packet.data[..]), (PortNo(3), &[0xab][..]));
}

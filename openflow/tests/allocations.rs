//! What a packet-in asks of the codec costs no allocation: reading it, its frame's headers and their
//! packed form, and building and writing the flow-mod and the packet-out that answer it.

use std::net::Ipv4Addr;

use allocation_counter::measure;
use bytes::BytesMut;
use umlaut_openflow::packet::{Headers, PackedHeaders, build};
use umlaut_openflow::*;

const A: MacAddr = MacAddr([0, 0x1b, 0x21, 0, 0, 1]);
const B: MacAddr = MacAddr([0, 0x1b, 0x21, 0, 0, 2]);
const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

fn allocations(run: impl FnOnce()) -> u64 {
    measure(run).count_total
}

fn frames() -> [Vec<u8>; 3] {
    let tcp = build::tcp(HERE, THERE, 40_000, 443, 2, &[]);
    [
        build::ethernet(B, A, &[], 0x0800, &tcp),
        build::ethernet(B, A, &[(0x8100, 0x2064)], 0x0800, &tcp),
        build::ethernet(B, A, &[], 0x0806, &build::arp(1, A, HERE, MacAddr::ZERO, THERE)),
    ]
}

fn packet_in(version: Version, frame: &[u8]) -> Vec<u8> {
    let cookie = if version == Version::V1_0 { Cookie(u64::MAX) } else { Cookie(5) };
    let packet = PacketIn {
        buffer_id: None,
        total_len: frame.len() as u16,
        in_port: PortNo(3),
        reason: PacketInReason::NO_MATCH,
        table_id: TableId(0),
        cookie,
        pipeline: (&[][..]).into(),
        data: frame.into(),
    };
    let mut out = BytesMut::new();
    encode(version, Xid(1), &Message::PacketIn(packet), &mut out).unwrap();
    out.to_vec()
}

/// All that entries match of layer 2, and the most that is done to a frame: a new tag, and out.
fn answer(version: Version, headers: &Headers, packet: PacketIn<'_>, out: &mut BytesMut) {
    let matches = Match::new()
        .in_port(packet.in_port)
        .eth_dst(headers.eth_dst)
        .eth_src(headers.eth_src)
        .vlan_vid(VlanMatch::Tagged(100))
        .vlan_pcp(1)
        .eth_type(headers.eth_type.value().unwrap());
    let output = Action::output(PortNo(4));
    let actions = match version {
        Version::V1_0 => Actions::from([Action::SetVlanVid(7), output]),
        _ => {
            let vid = Action::SetField(MatchField::VlanVid(VlanMatch::Tagged(7)));
            Actions::from([Action::PushVlan(0x8100), vid, output])
        }
    };
    let entry = FlowMod::add(matches).cookie(Cookie(7)).timeouts(60, 0).apply(actions.clone());
    encode(version, Xid(1), &Message::FlowMod(entry), out).unwrap();
    let PacketIn { in_port, data, .. } = packet;
    let packet_out = PacketOut { buffer_id: None, in_port, actions, data };
    encode(version, Xid(2), &Message::PacketOut(packet_out), out).unwrap();
}

#[test]
fn a_packet_in_is_read_and_answered_without_an_allocation() {
    for (version, frame) in [Version::V1_0, Version::V1_3]
        .into_iter()
        .flat_map(|version| frames().map(|frame| (version, frame)))
    {
        let bytes = packet_in(version, &frame);
        let mut out = BytesMut::with_capacity(4096);
        let count = allocations(|| {
            let length = next_frame(&bytes).unwrap().unwrap();
            let (_, message) = decode(&bytes[..length]).unwrap();
            let Message::PacketIn(packet) = message else { panic!("no packet-in") };
            let headers = Headers::parse(&packet.data);
            for width in
                [FieldSet::LAYER_2, FieldSet::ALL.without(FieldSet::ARP_SHA | FieldSet::ARP_THA)]
            {
                assert_eq!(PackedHeaders::new(&headers, width).eth_src(), A);
            }
            answer(version, &headers, packet, &mut out);
        });
        assert_eq!(count, 0, "{version}, {frame:02x?}");
        assert!(!out.is_empty());
    }
}

#[test]
fn a_flow_removed_of_layer_2_is_read_without_an_allocation() {
    let matches = Match::new().in_port(PortNo(1)).eth_dst(B).eth_src(A).eth_type(0x0800u16);
    for version in [Version::V1_0, Version::V1_3] {
        let removed = Message::FlowRemoved(FlowRemoved {
            cookie: Cookie(7),
            priority: 0xffff,
            reason: FlowRemovedReason::IDLE_TIMEOUT,
            table_id: TableId(0),
            duration: std::time::Duration::from_secs(60),
            idle_timeout: 60,
            hard_timeout: 0,
            packet_count: 7,
            byte_count: 700,
            matches: matches.clone(),
        });
        let mut bytes = BytesMut::new();
        encode(version, Xid(1), &removed, &mut bytes).unwrap();
        let count = allocations(|| assert!(decode(&bytes).is_ok()));
        assert_eq!(count, 0, "{version}");
    }
}

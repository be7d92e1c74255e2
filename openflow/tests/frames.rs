//! Frames: what is read of them agrees with `etherparse`, cutting them only takes knowledge away, and
//! what may be hidden is unknown rather than absent.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;
use umlaut_openflow::packet::{Field, Fragment, Headers, Tag};
use umlaut_openflow::{MacAddr, build};

const A: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const B: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

/// A transport header with some payload, and its protocol number.
fn transport(v6: bool) -> impl Strategy<Value = (u8, Vec<u8>)> {
    let proto = prop_oneof![
        4 => Just(6u8),
        4 => Just(17),
        2 => Just(132),
        4 => Just(if v6 { 58 } else { 1 }),
        1 => Just(if v6 { 1 } else { 58 }),
        1 => Just(89),
    ];
    (proto, prop::collection::vec(any::<u8>(), 28..60)).prop_map(|(proto, mut bytes)| {
        match proto {
            // Data offset of TCP, length of UDP, a type of neighbour discovery.
            6 => bytes[12] = 0x50,
            17 => {
                let length = bytes.len() as u16;
                bytes[4..6].copy_from_slice(&length.to_be_bytes());
            }
            58 if bytes[0] & 1 == 1 => {
                bytes[0] = 135 + (bytes[1] & 1);
                bytes[1] = 0;
            }
            _ => {}
        }
        (proto, bytes)
    })
}

fn ipv4() -> impl Strategy<Value = Vec<u8>> {
    let options = prop::collection::vec(any::<u32>(), 0..3);
    let fragment =
        prop_oneof![4 => Just(0u16), 1 => Just(0x2000), 1 => Just(0x2010), 1 => Just(0x4000)];
    (any::<[u8; 4]>(), any::<[u8; 4]>(), any::<u8>(), options, fragment, transport(false)).prop_map(
        |(src, dst, tos, options, fragment, (proto, payload))| {
            let mut packet = build::ipv4(proto, src.into(), dst.into(), &payload);
            packet[0] = 0x45 + options.len() as u8;
            packet[1] = tos;
            let length = (packet.len() + 4 * options.len()) as u16;
            packet[2..4].copy_from_slice(&length.to_be_bytes());
            packet[6..8].copy_from_slice(&fragment.to_be_bytes());
            let options: Vec<u8> = options.iter().flat_map(|option| option.to_be_bytes()).collect();
            packet.splice(20..20, options);
            packet
        },
    )
}

fn ipv6() -> impl Strategy<Value = Vec<u8>> {
    // Extension headers in the order that RFC 8200 recommends, each perhaps.
    let fragment = prop_oneof![
        4 => Just(None),
        1 => Just(Some(0u16)),
        1 => Just(Some(1)),
        1 => Just(Some(0x0101)),
    ];
    let present = any::<[bool; 4]>();
    (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<u8>(), present, fragment, transport(true))
        .prop_map(
            |(src, dst, class, [hop, routing, auth, dest], fragment, (proto, mut payload))| {
                let mut next = proto;
                let mut before = |head: Option<Vec<u8>>, number: u8| {
                    if let Some(mut head) = head {
                        head[0] = next;
                        head.append(&mut payload);
                        payload = head;
                        next = number;
                    }
                };
                before(dest.then(|| vec![0, 0, 1, 4, 0, 0, 0, 0]), 60);
                // 12 bytes, the length in words less two.
                before(auth.then(|| vec![0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2]), 51);
                before(
                    fragment.map(|bits: u16| {
                        let [high, low] = bits.to_be_bytes();
                        vec![0, 0, high, low, 0, 0, 0, 1]
                    }),
                    44,
                );
                before(routing.then(|| vec![0, 1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 43);
                before(hop.then(|| vec![0, 0, 1, 4, 0, 0, 0, 0]), 0);
                let mut packet = build::ipv6(next, 64, src.into(), dst.into(), &payload);
                packet[0] = 0x60 | class >> 4;
                packet[1] = class << 4;
                packet
            },
        )
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let arp = (any::<u16>(), any::<[u8; 4]>(), any::<[u8; 4]>())
        .prop_map(|(op, spa, tpa)| (0x0806, build::arp(op, A, spa.into(), B, tpa.into())));
    let packet = prop_oneof![
        1 => arp,
        3 => ipv4().prop_map(|packet| (0x0800, packet)),
        3 => ipv6().prop_map(|packet| (0x86dd, packet)),
    ];
    let tag = prop_oneof![Just(None), any::<u16>().prop_map(Some)];
    // Ethernet padding behind the packet.
    (packet, tag, 0usize..12).prop_map(|((eth_type, packet), tci, padding)| {
        let tags: Vec<_> = tci.map(|tci| (0x8100, tci)).into_iter().collect();
        let mut frame = build::ethernet(B, A, &tags, eth_type, &packet);
        frame.resize(frame.len() + padding, 0);
        frame
    })
}

/// Compares with what `etherparse` reads, where it reads the frame at all.
fn check(frame: &[u8]) -> Result<(), TestCaseError> {
    let headers = Headers::parse(frame);
    let Ok(sliced) = SlicedPacket::from_ethernet(frame) else { return Ok(()) };
    if headers.stacked {
        return Ok(());
    }
    let vlan = sliced.vlan_ids();
    match headers.tag {
        Tag::None => prop_assert_eq!(vlan.len(), 0),
        Tag::Priority { .. } => prop_assert_eq!(vlan[0].value(), 0),
        Tag::Vlan { vid, .. } => prop_assert_eq!(vlan[0].value(), vid.number()),
        Tag::Reserved => prop_assert_eq!(vlan[0].value(), 4095),
    }
    match &sliced.net {
        Some(NetSlice::Arp(arp)) => {
            let packet = arp.to_packet();
            prop_assert_eq!(headers.eth_type, Field::Is(0x0806));
            if arp.slice()[..6] == [0, 1, 8, 0, 6, 4] {
                prop_assert_eq!(headers.arp_op, Field::Is(packet.operation.0));
                prop_assert_eq!(&headers.arp_sha.value().unwrap().0[..], packet.sender_hw_addr());
                let [spa, tpa] = [headers.arp_spa, headers.arp_tpa].map(|ip| ip.value().unwrap());
                prop_assert_eq!(&spa.octets()[..], packet.sender_protocol_addr());
                prop_assert_eq!(&tpa.octets()[..], packet.target_protocol_addr());
            }
        }
        Some(NetSlice::Ipv4(ip)) => {
            prop_assert_eq!(headers.ipv4_src, Field::Is(ip.header().source_addr()));
            prop_assert_eq!(headers.ipv4_dst, Field::Is(ip.header().destination_addr()));
            prop_assert_eq!(headers.ip_dscp, Field::Is(ip.header().dcp().value()));
            prop_assert_eq!(headers.ip_ecn, Field::Is(ip.header().ecn().value()));
            prop_assert_eq!(headers.ip_proto, Field::Is(ip.header().protocol().0));
            prop_assert_eq!(headers.fragment != Fragment::No, ip.payload().fragmented);
        }
        Some(NetSlice::Ipv6(ip)) => {
            prop_assert_eq!(headers.ipv6_src, Field::Is(ip.header().source_addr()));
            prop_assert_eq!(headers.ipv6_dst, Field::Is(ip.header().destination_addr()));
            if ip.header().payload_length() == 0 {
                // `etherparse` takes the rest of the frame then; here it may be padding.
                return Ok(());
            }
            prop_assert_eq!(headers.fragment != Fragment::No, ip.is_payload_fragmented());
            if let Field::Is(proto) = headers.ip_proto {
                prop_assert_eq!(proto, ip.payload().ip_number.0);
            }
        }
        None => {}
    }
    match &sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            prop_assert_eq!(headers.tp_src, Field::Is(tcp.source_port()));
            prop_assert_eq!(headers.tp_dst, Field::Is(tcp.destination_port()));
        }
        Some(TransportSlice::Udp(udp)) => {
            prop_assert_eq!(headers.tp_src, Field::Is(udp.source_port()));
            prop_assert_eq!(headers.tp_dst, Field::Is(udp.destination_port()));
        }
        // ICMP in IPv6 and the reverse is no field of OpenFlow.
        Some(TransportSlice::Icmpv4(icmp)) if headers.ipv4_src != Field::Absent => {
            prop_assert_eq!(headers.icmp_type, Field::Is(icmp.slice()[0]));
            prop_assert_eq!(headers.icmp_code, Field::Is(icmp.slice()[1]));
        }
        Some(TransportSlice::Icmpv6(icmp)) if headers.ipv6_src != Field::Absent => {
            prop_assert_eq!(headers.icmp_type, Field::Is(icmp.slice()[0]));
            prop_assert_eq!(headers.icmp_code, Field::Is(icmp.slice()[1]));
            if let [135 | 136, 0, rest @ ..] = icmp.slice() {
                let target = rest.get(6..22).map(|t| <[u8; 16]>::try_from(t).unwrap().into());
                prop_assert_eq!(headers.nd_target, target.map_or(Field::Unknown, Field::Is));
            }
        }
        _ => {}
    }
    Ok(())
}

/// Whether a piece of a frame says nothing that the whole frame denies.
fn agrees<T: PartialEq>(piece: Field<T>, whole: Field<T>) -> bool {
    piece == Field::Unknown || piece == whole
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn frames_are_read_as_etherparse_reads_them(frame in frame()) {
        check(&frame)?;
    }

    #[test]
    fn damaged_frames_are_read_as_etherparse_reads_them_if_it_does(
        frame in frame(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut frame = frame;
        for (at, value) in damage {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        check(&frame)?;
    }

    #[test]
    fn a_piece_of_a_frame_never_contradicts_the_whole(frame in frame(), end in any::<prop::sample::Index>()) {
        let whole = Headers::parse(&frame);
        let piece = Headers::parse(&frame[..end.index(frame.len() + 1)]);
        prop_assert!(agrees(piece.eth_type, whole.eth_type));
        prop_assert!(agrees(piece.ip_proto, whole.ip_proto));
        prop_assert!(agrees(piece.ip_dscp, whole.ip_dscp));
        prop_assert!(agrees(piece.ipv4_src, whole.ipv4_src));
        prop_assert!(agrees(piece.ipv4_dst, whole.ipv4_dst));
        prop_assert!(agrees(piece.ipv6_src, whole.ipv6_src));
        prop_assert!(agrees(piece.ipv6_dst, whole.ipv6_dst));
        prop_assert!(agrees(piece.tp_src, whole.tp_src), "{piece:?}\n{whole:?}");
        prop_assert!(agrees(piece.tp_dst, whole.tp_dst));
        prop_assert!(agrees(piece.icmp_type, whole.icmp_type));
        prop_assert!(agrees(piece.icmp_code, whole.icmp_code));
        prop_assert!(agrees(piece.arp_op, whole.arp_op));
        prop_assert!(agrees(piece.arp_spa, whole.arp_spa));
        prop_assert!(agrees(piece.arp_tha, whole.arp_tha));
        prop_assert!(agrees(piece.nd_target, whole.nd_target));
        prop_assert!(piece.stacked || piece.tag == whole.tag);
    }

    #[test]
    fn any_bytes_are_a_frame(frame in prop::collection::vec(any::<u8>(), 0..200)) {
        Headers::parse(&frame);
        check(&frame)?;
    }
}

fn udp_frame() -> Vec<u8> {
    let packet = build::udp([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 1000, 53, b"payload");
    build::ethernet(B, A, &[], 0x0800, &packet)
}

#[test]
fn ports_beyond_the_packets_own_length_are_unknown() {
    // The IP packet ends behind its header; what follows is padding that looks like UDP.
    let mut frame = udp_frame();
    frame[16..18].copy_from_slice(&20u16.to_be_bytes());
    let headers = Headers::parse(&frame);
    assert_eq!((headers.ip_proto, headers.tp_dst), (Field::Is(17), Field::Unknown));
    // A header length below 20 bytes, and one beyond the packet.
    for first in [0x44, 0x4f] {
        let mut frame = udp_frame();
        frame[14] = first;
        assert_eq!(Headers::parse(&frame).tp_dst, Field::Unknown, "{first:#x}");
    }
    // A version that the EtherType denies: nothing of it can be trusted.
    let mut frame = udp_frame();
    frame[14] = 0x65;
    let headers = Headers::parse(&frame);
    assert_eq!((headers.ipv4_src, headers.tp_dst), (Field::Unknown, Field::Unknown));
    assert_eq!(headers.ipv6_src, Field::Absent);
}

#[test]
fn a_transport_header_cannot_hide_behind_extension_headers() {
    let (src, dst) = (std::net::Ipv6Addr::LOCALHOST, std::net::Ipv6Addr::LOCALHOST);
    let parse = |next, payload: &[u8]| {
        let packet = build::ipv6(next, 64, src, dst, payload);
        Headers::parse(&build::ethernet(B, A, &[], 0x86dd, &packet))
    };
    // A later fragment that begins with destination options: TCP may be behind them.
    let later = parse(44, &[60, 0, 0x01, 0x00, 0, 0, 0, 1, 1, 2, 3, 4]);
    assert_eq!((later.ip_proto, later.tp_dst), (Field::Unknown, Field::Unknown));
    assert_eq!(later.fragment, Fragment::Later);
    // An atomic fragment is whole.
    let atomic = parse(44, &[17, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 53, 0, 8, 0, 0]);
    assert_eq!((atomic.fragment, atomic.tp_dst), (Fragment::No, Field::Is(53)));
    // More extension headers than anybody sends: the end of the chain is not looked for.
    let chain = [60, 0, 1, 4, 0, 0, 0, 0].repeat(40);
    assert_eq!(parse(60, &chain).ip_proto, Field::Unknown);
    // An extension header longer than the packet.
    assert_eq!(parse(60, &[17, 255, 1, 4, 0, 0, 0, 0]).tp_dst, Field::Unknown);
}

#[test]
fn neighbour_discovery_has_a_target_only_with_code_zero() {
    let target = "fe80::2".parse().unwrap();
    let mut packet = build::neighbour_solicitation(A, "fe80::1".parse().unwrap(), target);
    let parse = |packet: &[u8]| Headers::parse(&build::ethernet(B, A, &[], 0x86dd, packet));
    assert_eq!(parse(&packet).nd_target, Field::Is(target));
    assert_eq!(parse(&packet[..60]).nd_target, Field::Unknown);
    packet[41] = 1;
    assert_eq!(parse(&packet).nd_target, Field::Absent);
}

#[test]
fn frames_shorter_than_their_headers_belong_to_no_vlan() {
    let tagged = build::ethernet(B, A, &[(0x8100, 0x6007)], 0x0800, &[]);
    for end in 0..14 {
        assert!(Headers::parse(&tagged[..end]).stacked, "{end}");
    }
    for end in 14..18 {
        assert!(Headers::parse(&tagged[..end]).stacked, "{end}");
    }
    assert!(!Headers::parse(&tagged).stacked);
}

//! What the benchmarks measure: everything that a packet-in asks of the codec, one operation a case.

#![allow(dead_code, reason = "each benchmark takes its own cases")]

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bytes::BytesMut;
use umlaut_openflow::packet::{Headers, PackedHeaders, build};
use umlaut_openflow::*;

/// A name, and the operation.
pub(crate) type Case = (&'static str, Box<dyn FnMut()>);

const A: MacAddr = MacAddr([0, 0x1b, 0x21, 0, 0, 1]);
const B: MacAddr = MacAddr([0, 0x1b, 0x21, 0, 0, 2]);
const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const HERE_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const THERE_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

fn encoded(version: Version, message: &Message<'_>) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode(version, Xid(1), message, &mut out).expect("a message that the version can express");
    out.to_vec()
}

fn arp() -> Vec<u8> {
    let mut frame =
        build::ethernet(B, A, &[], 0x0806, &build::arp(1, A, HERE, MacAddr::ZERO, THERE));
    frame.resize(60, 0);
    frame
}

fn tcp() -> Vec<u8> {
    build::ethernet(B, A, &[], 0x0800, &build::tcp(HERE, THERE, 40_000, 443, 2, &[]))
}

fn tcp6() -> Vec<u8> {
    build::ethernet(B, A, &[], 0x86dd, &build::tcp6(HERE_6, THERE_6, 40_000, 443, 2, &[]))
}

fn tagged_udp() -> Vec<u8> {
    let udp = build::udp(HERE, THERE, 40_000, 53, &[0; 20]);
    build::ethernet(B, A, &[(0x8100, 0x2064)], 0x0800, &udp)
}

fn packet_in(version: Version, frame: Vec<u8>) -> Vec<u8> {
    let cookie = if version == Version::V1_0 { Cookie(u64::MAX) } else { Cookie(0) };
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
    encoded(version, &Message::PacketIn(packet))
}

fn flow_removed(version: Version) -> Vec<u8> {
    let removed = FlowRemoved {
        cookie: Cookie(0x87ab_cd52_3456_fedc),
        priority: 0xffff,
        reason: FlowRemovedReason::IDLE_TIMEOUT,
        table_id: TableId(0),
        duration: Duration::new(61, 5_000_000),
        idle_timeout: 60,
        hard_timeout: 0,
        packet_count: 7,
        byte_count: 700,
        matches: layer_2(),
    };
    encoded(version, &Message::FlowRemoved(removed))
}

/// The match of a path.
#[inline]
fn layer_2() -> Match {
    Match::new()
        .in_port(black_box(PortNo(3)))
        .eth_dst(black_box(B))
        .eth_src(black_box(A))
        .vlan_vid(VlanMatch::Absent)
        .eth_type(black_box(0x0800u16))
}

/// The match of one connection.
#[inline]
fn twelve() -> Match {
    layer_2()
        .ip_dscp(black_box(0))
        .ip_proto(black_box(6))
        .ipv4_src(black_box(HERE))
        .ipv4_dst(black_box(THERE))
        .tcp_src(black_box(40_000u16))
        .tcp_dst(black_box(443u16))
}

#[inline]
fn entry(matches: Match) -> FlowMod {
    FlowMod::add(matches)
        .priority(0xffff)
        .cookie(Cookie(0x87ab_cd52_3456_fedc))
        .timeouts(60, 0)
        .flags(FlowModFlags::SEND_FLOW_REM)
        .apply([Action::output(black_box(PortNo(4)))])
}

/// Reads a message as a session does.
fn decoding(bytes: Vec<u8>) -> Box<dyn FnMut()> {
    Box::new(move || {
        let bytes = black_box(&bytes[..]);
        if let Ok(Some(length)) = next_frame(bytes) {
            let _ = black_box(decode(&bytes[..length]));
        }
    })
}

fn parsing(frame: Vec<u8>) -> Box<dyn FnMut()> {
    Box::new(move || {
        black_box(Headers::parse(black_box(&frame)));
    })
}

fn packing(frame: Vec<u8>, width: FieldSet) -> Box<dyn FnMut()> {
    let headers = Headers::parse(&frame);
    Box::new(move || {
        black_box(PackedHeaders::new(black_box(&headers), black_box(width)));
    })
}

/// What is written goes to a buffer that has room, as that of a session does.
fn writing(mut write: impl FnMut(&mut BytesMut) + 'static) -> Box<dyn FnMut()> {
    let mut out = BytesMut::with_capacity(1 << 16);
    Box::new(move || {
        out.clear();
        write(&mut out);
        black_box(&out[..]);
    })
}

fn encoding(version: Version, message: Message<'static>) -> Box<dyn FnMut()> {
    writing(move |out| {
        let _ = black_box(encode(version, Xid(1), black_box(&message), out));
    })
}

/// A packet-in from bytes to the bytes of the flow-mod and packet-out that answer it, without whatever
/// decides.
fn answering(version: Version, matches: fn(&Headers, PortNo) -> Match) -> Box<dyn FnMut()> {
    let bytes = packet_in(version, tcp());
    writing(move |out| {
        let bytes = black_box(&bytes[..]);
        let Ok(Some(length)) = next_frame(bytes) else { return };
        let Ok((_, Message::PacketIn(packet))) = decode(&bytes[..length]) else { return };
        let headers = Headers::parse(&packet.data);
        let flow = entry(matches(&headers, packet.in_port));
        let _ = black_box(encode(version, Xid(1), &Message::FlowMod(flow), out));
        let actions = [Action::output(black_box(PortNo(4)))].into();
        let packet_out =
            PacketOut { buffer_id: None, in_port: packet.in_port, actions, data: packet.data };
        let _ = black_box(encode(version, Xid(2), &Message::PacketOut(packet_out), out));
    })
}

#[inline]
fn pair(h: &Headers, in_port: PortNo) -> Match {
    Match::new().in_port(in_port).eth_src(h.eth_src).eth_dst(h.eth_dst)
}

fn packet_out() -> Message<'static> {
    Message::PacketOut(PacketOut::to_port(PortNo(4), tcp()))
}

pub(crate) fn decode_cases() -> Vec<Case> {
    let (v10, v13) = (Version::V1_0, Version::V1_3);
    vec![
        ("decode packet-in 1.0", decoding(packet_in(v10, tcp()))),
        ("decode packet-in 1.3", decoding(packet_in(v13, tcp()))),
        ("decode flow-removed 1.0", decoding(flow_removed(v10))),
        ("decode flow-removed 1.3", decoding(flow_removed(v13))),
        ("decode echo", decoding(encoded(v13, &Message::EchoRequest((&[7; 8][..]).into())))),
    ]
}

pub(crate) fn packet_cases() -> Vec<Case> {
    vec![
        ("headers ARP", parsing(arp())),
        ("headers IPv4 TCP", parsing(tcp())),
        ("headers IPv6 TCP", parsing(tcp6())),
        ("headers tagged UDP", parsing(tagged_udp())),
        ("pack layer 2", packing(tcp(), FieldSet::LAYER_2)),
        (
            "pack destination port",
            packing(tcp(), (FieldSet::LAYER_2 | FieldSet::TP_DST).with_prerequisites()),
        ),
        ("pack connection", packing(tcp(), FieldSet::ALL.without(FieldSet::IP_ECN))),
    ]
}

pub(crate) fn encode_cases() -> Vec<Case> {
    let (v10, v13) = (Version::V1_0, Version::V1_3);
    let flow = |matches| Message::FlowMod(entry(matches));
    vec![
        ("build flow-mod, layer 2", Box::new(|| drop(black_box(entry(layer_2()))))),
        ("build flow-mod, connection", Box::new(|| drop(black_box(entry(twelve()))))),
        ("encode flow-mod 1.0, layer 2", encoding(v10, flow(layer_2()))),
        ("encode flow-mod 1.3, layer 2", encoding(v13, flow(layer_2()))),
        ("encode flow-mod 1.0, connection", encoding(v10, flow(twelve()))),
        ("encode flow-mod 1.3, connection", encoding(v13, flow(twelve()))),
        ("encode packet-out 1.0", encoding(v10, packet_out())),
        ("encode packet-out 1.3", encoding(v13, packet_out())),
        ("encode barrier", encoding(v13, Message::BarrierRequest)),
        ("answer a packet-in 1.0, MAC pair", answering(v10, pair)),
        ("answer a packet-in 1.3, MAC pair", answering(v13, pair)),
        ("answer a packet-in 1.0, layer 2", answering(v10, |_, _| layer_2())),
        ("answer a packet-in 1.3, layer 2", answering(v13, |_, _| layer_2())),
    ]
}

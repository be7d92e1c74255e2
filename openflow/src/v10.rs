//! OpenFlow 1.0 on the wire (specification 1.0.0/1.0.1). Pure.

use std::net::Ipv4Addr;

use bytes::{BufMut, BytesMut};

use crate::codec::{ended, parse_config, parse_experimenter, put_config};
use crate::error::{Broken, EncodeError, Part, Problem};
use crate::model::{
    Action, Features, FlowMod, FlowModCommand, FlowModFlags, FlowRemoved, FlowRemovedReason,
    FlowStats, FlowStatsRequest, Instruction, Masked, Match, MatchField, MaxLen, Message, Opaque,
    PacketIn, PacketInReason, PacketOut, Port, PortConfig, PortState, PortStatus, PortStatusReason,
    VlanMatch,
};
use crate::types::{Cookie, DatapathId, GroupId, MacAddr, PortNo, TableId, Version};
use crate::v13::{
    OfpDesc, OfpTlv, buffer, buffer_bits, description, duration, no_body, put_description,
    put_raw_tlv, seconds, tlv,
};
use crate::wire::{Pad, Parsed, Wire, block, fail, fixed, with_length};

fixed! {
    /// `ofp_match` (§5.2.3).
    OfpMatch {
        wildcards: u32,
        in_port: u16,
        dl_src: MacAddr,
        dl_dst: MacAddr,
        dl_vlan: u16,
        dl_vlan_pcp: u8,
        pad1: Pad<1>,
        dl_type: u16,
        nw_tos: u8,
        nw_proto: u8,
        pad2: Pad<2>,
        nw_src: u32,
        nw_dst: u32,
        tp_src: u16,
        tp_dst: u16,
    }
    /// `ofp_packet_in` (§5.4.1).
    OfpPacketIn { buffer_id: u32, total_len: u16, in_port: u16, reason: u8, pad: Pad<1>, }
    /// `ofp_packet_out` (§5.3.6).
    OfpPacketOut { buffer_id: u32, in_port: u16, actions_len: u16, }
    /// `ofp_flow_mod` behind the match (§5.3.3).
    OfpFlowMod {
        cookie: u64,
        command: u16,
        idle_timeout: u16,
        hard_timeout: u16,
        priority: u16,
        buffer_id: u32,
        out_port: u16,
        flags: u16,
    }
    /// `ofp_flow_removed` behind the match (§5.4.2).
    OfpFlowRemoved {
        cookie: u64,
        priority: u16,
        reason: u8,
        pad: Pad<1>,
        duration_sec: u32,
        duration_nsec: u32,
        idle_timeout: u16,
        pad2: Pad<2>,
        packet_count: u64,
        byte_count: u64,
    }
    /// `ofp_phy_port` (§5.2.1).
    OfpPhyPort {
        port_no: u16,
        hw_addr: MacAddr,
        name: [u8; 16],
        config: u32,
        state: u32,
        curr: u32,
        advertised: u32,
        supported: u32,
        peer: u32,
    }
    /// `ofp_port_status` before the port (§5.4.3).
    OfpPortStatus { reason: u8, pad: Pad<7>, }
    /// `ofp_switch_features` before the ports (§5.3.1).
    OfpFeatures {
        datapath_id: u64,
        n_buffers: u32,
        n_tables: u8,
        pad: Pad<3>,
        capabilities: u32,
        actions: u32,
    }
    /// `ofp_stats_request` and `_reply` before the body (§5.3.5).
    OfpStats { kind: u16, flags: u16, }
    /// `ofp_flow_stats_request` behind the match.
    OfpFlowStatsRequest { table_id: u8, pad: Pad<1>, out_port: u16, }
    /// `ofp_flow_stats` before the match.
    OfpFlowStatsHead { length: u16, table_id: u8, pad: Pad<1>, }
    /// `ofp_flow_stats` behind the match.
    OfpFlowStats {
        duration_sec: u32,
        duration_nsec: u32,
        priority: u16,
        idle_timeout: u16,
        hard_timeout: u16,
        pad: Pad<6>,
        cookie: u64,
        packet_count: u64,
        byte_count: u64,
    }
    /// `ofp_action_output` behind its head (§5.2.4).
    OfpOutput { port: u16, max_len: u16, }
    /// Actions with one 16-bit number.
    OfpHalf { value: u16, pad: Pad<2>, }
    /// Actions with one byte.
    OfpByte { value: u8, pad: Pad<3>, }
    /// Actions with one word.
    OfpWord { value: u32, }
    /// Actions with a MAC address.
    OfpDlAddr { value: MacAddr, pad: Pad<6>, }
    /// Actions with nothing but their head.
    OfpNothing { pad: Pad<4>, }
    /// `ofp_action_enqueue` behind its head.
    OfpEnqueue { port: u16, pad: Pad<6>, queue_id: u32, }
}

// ofp_flow_wildcards (§5.2.3).
const W_IN_PORT: u32 = 1;
const W_DL_VLAN: u32 = 1 << 1;
const W_DL_SRC: u32 = 1 << 2;
const W_DL_DST: u32 = 1 << 3;
const W_DL_TYPE: u32 = 1 << 4;
const W_NW_PROTO: u32 = 1 << 5;
const W_TP_SRC: u32 = 1 << 6;
const W_TP_DST: u32 = 1 << 7;
const NW_SRC_SHIFT: u32 = 8;
const NW_DST_SHIFT: u32 = 14;
const W_DL_VLAN_PCP: u32 = 1 << 20;
const W_NW_TOS: u32 = 1 << 21;
/// Everything wildcarded, in the form that encoding gives.
const W_ALL: u32 = W_IN_PORT
    | W_DL_VLAN
    | W_DL_SRC
    | W_DL_DST
    | W_DL_TYPE
    | W_NW_PROTO
    | W_TP_SRC
    | W_TP_DST
    | 32 << NW_SRC_SHIFT
    | 32 << NW_DST_SHIFT
    | W_DL_VLAN_PCP
    | W_NW_TOS;

const NO_VLAN: u16 = 0xffff;
const ARP: u16 = 0x0806;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

fn lacks<T>(what: &'static str) -> Result<T, EncodeError> {
    Err(EncodeError::Inexpressible { what, version: Version::V1_0 })
}

// ---- match ----

fn parse_match(input: &[u8]) -> Parsed<'_, Match> {
    let (rest, m) = OfpMatch::parse(input)?;
    let mut matches = Match::new();
    let has = |bit: u32| m.wildcards & bit == 0;
    if has(W_IN_PORT) {
        matches.push(MatchField::InPort(PortNo::from_v10(m.in_port)));
    }
    if has(W_DL_SRC) {
        matches.push(MatchField::EthSrc(m.dl_src.into()));
    }
    if has(W_DL_DST) {
        matches.push(MatchField::EthDst(m.dl_dst.into()));
    }
    if has(W_DL_VLAN) {
        matches.push(MatchField::VlanVid(match m.dl_vlan {
            NO_VLAN => VlanMatch::Absent,
            vid if vid <= 0xfff => VlanMatch::Tagged(vid),
            value => VlanMatch::Raw { value, mask: None },
        }));
    }
    if has(W_DL_VLAN_PCP) {
        matches.push(MatchField::VlanPcp(m.dl_vlan_pcp));
    }
    if has(W_DL_TYPE) {
        matches.push(MatchField::EthType(m.dl_type));
    }
    if has(W_NW_TOS) {
        matches.push(MatchField::IpDscp(m.nw_tos >> 2));
    }
    let arp = has(W_DL_TYPE) && m.dl_type == ARP;
    if has(W_NW_PROTO) {
        matches.push(match arp {
            true => MatchField::ArpOp(m.nw_proto.into()),
            false => MatchField::IpProto(m.nw_proto),
        });
    }
    for (shift, value, source) in [(NW_SRC_SHIFT, m.nw_src, true), (NW_DST_SHIFT, m.nw_dst, false)]
    {
        let wild = m.wildcards >> shift & 0x3f;
        if wild >= 32 {
            continue;
        }
        let mask = (wild != 0).then(|| Ipv4Addr::from(u32::MAX << wild));
        let address = Masked { value: Ipv4Addr::from(value), mask };
        matches.push(match (arp, source) {
            (true, true) => MatchField::ArpSpa(address),
            (true, false) => MatchField::ArpTpa(address),
            (false, true) => MatchField::Ipv4Src(address),
            (false, false) => MatchField::Ipv4Dst(address),
        });
    }
    let proto = if has(W_NW_PROTO) && !arp { m.nw_proto } else { 0 };
    if has(W_TP_SRC) {
        matches.push(match (proto, u8::try_from(m.tp_src)) {
            (TCP, _) => MatchField::TcpSrc(m.tp_src),
            (UDP, _) => MatchField::UdpSrc(m.tp_src),
            (ICMP, Ok(kind)) => MatchField::Icmpv4Type(kind),
            _ => MatchField::TpSrc(m.tp_src),
        });
    }
    if has(W_TP_DST) {
        matches.push(match (proto, u8::try_from(m.tp_dst)) {
            (TCP, _) => MatchField::TcpDst(m.tp_dst),
            (UDP, _) => MatchField::UdpDst(m.tp_dst),
            (ICMP, Ok(code)) => MatchField::Icmpv4Code(code),
            _ => MatchField::TpDst(m.tp_dst),
        });
    }
    // What the fields do not say is kept: values under wildcards, wildcard counts above 32.
    let mut again = BytesMut::with_capacity(OfpMatch::SIZE);
    m.write(&mut again);
    let wire: [u8; 40] = Wire::read(&again);
    again.clear();
    if canonical(&matches).is_ok_and(|canonical| {
        canonical.write(&mut again);
        again[..] != wire
    }) {
        matches.v10_wire = Some(Box::new(wire));
    }
    Ok((rest, matches))
}

fn canonical(matches: &Match) -> Result<OfpMatch, EncodeError> {
    let mut m = OfpMatch {
        wildcards: W_ALL,
        in_port: 0,
        dl_src: MacAddr::ZERO,
        dl_dst: MacAddr::ZERO,
        dl_vlan: 0,
        dl_vlan_pcp: 0,
        pad1: Pad,
        dl_type: 0,
        nw_tos: 0,
        nw_proto: 0,
        pad2: Pad,
        nw_src: 0,
        nw_dst: 0,
        tp_src: 0,
        tp_dst: 0,
    };
    let exact = |masked: bool| if masked { lacks("a masked MAC address") } else { Ok(()) };
    for field in matches.fields() {
        match field {
            MatchField::InPort(port) => {
                claim(&mut m.wildcards, W_IN_PORT)?;
                m.in_port = port16(*port)?;
            }
            MatchField::EthSrc(mac) => {
                exact(mac.mask.is_some())?;
                claim(&mut m.wildcards, W_DL_SRC)?;
                m.dl_src = mac.value;
            }
            MatchField::EthDst(mac) => {
                exact(mac.mask.is_some())?;
                claim(&mut m.wildcards, W_DL_DST)?;
                m.dl_dst = mac.value;
            }
            MatchField::VlanVid(vlan) => {
                claim(&mut m.wildcards, W_DL_VLAN)?;
                m.dl_vlan = match *vlan {
                    VlanMatch::Absent => NO_VLAN,
                    VlanMatch::Tagged(vid) if vid <= 0xfff => vid,
                    VlanMatch::Raw { value, mask: None } => value,
                    _ => return lacks("any tagged frame, or a masked VID"),
                };
            }
            MatchField::VlanPcp(pcp) => {
                claim(&mut m.wildcards, W_DL_VLAN_PCP)?;
                m.dl_vlan_pcp = *pcp;
            }
            MatchField::EthType(eth_type) => {
                claim(&mut m.wildcards, W_DL_TYPE)?;
                m.dl_type = *eth_type;
            }
            MatchField::IpDscp(dscp) => {
                claim(&mut m.wildcards, W_NW_TOS)?;
                m.nw_tos = dscp << 2;
            }
            MatchField::IpProto(proto) => {
                claim(&mut m.wildcards, W_NW_PROTO)?;
                m.nw_proto = *proto;
            }
            MatchField::ArpOp(op) => {
                claim(&mut m.wildcards, W_NW_PROTO)?;
                m.nw_proto = match u8::try_from(*op) {
                    Ok(op) => op,
                    Err(_) => return lacks("an ARP operation above 255"),
                };
            }
            MatchField::Ipv4Src(address) | MatchField::ArpSpa(address) => {
                claim(&mut m.wildcards, 32 << NW_SRC_SHIFT)?;
                m.wildcards |= wild_bits(address)? << NW_SRC_SHIFT;
                m.nw_src = address.value.into();
            }
            MatchField::Ipv4Dst(address) | MatchField::ArpTpa(address) => {
                claim(&mut m.wildcards, 32 << NW_DST_SHIFT)?;
                m.wildcards |= wild_bits(address)? << NW_DST_SHIFT;
                m.nw_dst = address.value.into();
            }
            MatchField::TcpSrc(port) | MatchField::UdpSrc(port) | MatchField::TpSrc(port) => {
                claim(&mut m.wildcards, W_TP_SRC)?;
                m.tp_src = *port;
            }
            MatchField::TcpDst(port) | MatchField::UdpDst(port) | MatchField::TpDst(port) => {
                claim(&mut m.wildcards, W_TP_DST)?;
                m.tp_dst = *port;
            }
            MatchField::Icmpv4Type(kind) => {
                claim(&mut m.wildcards, W_TP_SRC)?;
                m.tp_src = u16::from(*kind);
            }
            MatchField::Icmpv4Code(code) => {
                claim(&mut m.wildcards, W_TP_DST)?;
                m.tp_dst = u16::from(*code);
            }
            _ => return lacks("this match field"),
        }
    }
    Ok(m)
}

/// Turns a wildcard off, once.
fn claim(wildcards: &mut u32, bits: u32) -> Result<(), EncodeError> {
    if *wildcards & bits != bits {
        return lacks("two conditions on one match field");
    }
    *wildcards &= !bits;
    Ok(())
}

/// How many low bits a prefix mask leaves open.
fn wild_bits(address: &Masked<Ipv4Addr>) -> Result<u32, EncodeError> {
    let mask = address.mask.map_or(u32::MAX, u32::from);
    let wild = mask.trailing_zeros();
    match mask.checked_shr(wild).unwrap_or(0).trailing_ones() + wild {
        // A mask of zeros is the wildcard itself.
        32 => Ok(wild),
        _ => lacks("an IPv4 mask that is no prefix"),
    }
}

fn put_match(matches: &Match, out: &mut BytesMut) -> Result<(), EncodeError> {
    match &matches.v10_wire {
        Some(wire) => out.put_slice(&wire[..]),
        None => canonical(matches)?.write(out),
    }
    Ok(())
}

fn port16(port: PortNo) -> Result<u16, EncodeError> {
    match port.to_v10() {
        Some(port) => Ok(port),
        None => lacks("a port number above 0xff00"),
    }
}

// ---- actions ----

/// Reads a body that is exactly one fixed structure.
macro_rules! whole {
    ($fixed:ident, $body:expr) => {{
        let (rest, value) = $fixed::parse($body)?;
        ended(rest)?;
        value
    }};
}

fn actions(list: &[u8]) -> Result<Vec<Action>, nom::Err<Broken>> {
    let mut actions = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let (after, (kind, body)) = tlv(rest, "action.len", Part::Action)?;
        actions.push(action(kind, body).map_err(|e| e.map(|e| e.in_part(Part::Action)))?);
        rest = after;
    }
    Ok(actions)
}

fn action(kind: u16, body: &[u8]) -> Result<Action, nom::Err<Broken>> {
    let set = Action::SetField;
    Ok(match kind {
        0 => {
            let o = whole!(OfpOutput, body);
            Action::Output { port: PortNo::from_v10(o.port), max_len: MaxLen(o.max_len) }
        }
        1 => Action::SetVlanVid(whole!(OfpHalf, body).value),
        2 => Action::SetVlanPcp(whole!(OfpByte, body).value),
        3 => {
            whole!(OfpNothing, body);
            Action::PopVlan
        }
        4 => set(MatchField::EthSrc(whole!(OfpDlAddr, body).value.into())),
        5 => set(MatchField::EthDst(whole!(OfpDlAddr, body).value.into())),
        6 => set(MatchField::Ipv4Src(Ipv4Addr::from(whole!(OfpWord, body).value).into())),
        7 => set(MatchField::Ipv4Dst(Ipv4Addr::from(whole!(OfpWord, body).value).into())),
        8 => match whole!(OfpByte, body).value {
            tos if tos & 3 == 0 => set(MatchField::IpDscp(tos >> 2)),
            _ => Action::Raw { kind, body: body.to_vec() },
        },
        9 => set(MatchField::TpSrc(whole!(OfpHalf, body).value)),
        10 => set(MatchField::TpDst(whole!(OfpHalf, body).value)),
        11 => {
            let e = whole!(OfpEnqueue, body);
            Action::Enqueue { port: PortNo::from_v10(e.port), queue_id: e.queue_id }
        }
        kind => Action::Raw { kind, body: body.to_vec() },
    })
}

fn put_actions(list: &[Action], out: &mut BytesMut) -> Result<(), EncodeError> {
    macro_rules! put {
        ($kind:expr, $fixed:ident { $($field:ident: $value:expr),* }) => {{
            OfpTlv { kind: $kind, length: (OfpTlv::SIZE + $fixed::SIZE) as u16 }.write(out);
            $fixed { $($field: $value),* }.write(out);
        }};
    }
    for action in list {
        match action {
            Action::Output { port, max_len } => {
                put!(0, OfpOutput { port: port16(*port)?, max_len: max_len.0 });
            }
            Action::SetVlanVid(vid) => put!(1, OfpHalf { value: *vid, pad: Pad }),
            Action::SetVlanPcp(pcp) => put!(2, OfpByte { value: *pcp, pad: Pad }),
            Action::PopVlan => put!(3, OfpNothing { pad: Pad }),
            Action::SetField(field) => match field {
                MatchField::EthSrc(Masked { value, mask: None }) => {
                    put!(4, OfpDlAddr { value: *value, pad: Pad });
                }
                MatchField::EthDst(Masked { value, mask: None }) => {
                    put!(5, OfpDlAddr { value: *value, pad: Pad });
                }
                MatchField::Ipv4Src(Masked { value, mask: None }) => {
                    put!(6, OfpWord { value: u32::from(*value) });
                }
                MatchField::Ipv4Dst(Masked { value, mask: None }) => {
                    put!(7, OfpWord { value: u32::from(*value) });
                }
                MatchField::IpDscp(dscp) if *dscp < 64 => {
                    put!(8, OfpByte { value: dscp << 2, pad: Pad });
                }
                MatchField::TpSrc(port) | MatchField::TcpSrc(port) | MatchField::UdpSrc(port) => {
                    put!(9, OfpHalf { value: *port, pad: Pad });
                }
                MatchField::TpDst(port) | MatchField::TcpDst(port) | MatchField::UdpDst(port) => {
                    put!(10, OfpHalf { value: *port, pad: Pad });
                }
                _ => return lacks("setting this field"),
            },
            Action::Enqueue { port, queue_id } => {
                put!(11, OfpEnqueue { port: port16(*port)?, pad: Pad, queue_id: *queue_id });
            }
            Action::Raw { kind, body } => put_raw_tlv(*kind, body, "action", out)?,
            _ => return lacks("this action"),
        }
    }
    Ok(())
}

/// What entries of 1.0 do is a plain action list.
fn instructions(actions: Vec<Action>) -> Vec<Instruction> {
    if actions.is_empty() { Vec::new() } else { vec![Instruction::Apply(actions)] }
}

fn put_instructions(list: &[Instruction], out: &mut BytesMut) -> Result<(), EncodeError> {
    match list {
        [] => Ok(()),
        [Instruction::Apply(actions)] => put_actions(actions, out),
        _ => lacks("an instruction other than one apply-actions"),
    }
}

// ---- messages ----

pub(crate) fn decode_body(kind: u8, body: &[u8]) -> Result<Message<'_>, nom::Err<Broken>> {
    Ok(match kind {
        4 => parse_experimenter(body)?.1,
        5 => no_body(body, Message::FeaturesRequest)?,
        6 => features(body)?,
        7 => no_body(body, Message::GetConfigRequest)?,
        8 | 9 => {
            let (rest, config) = parse_config(body)?;
            ended(rest)?;
            if kind == 8 { Message::GetConfigReply(config) } else { Message::SetConfig(config) }
        }
        10 => {
            let (data, p) = OfpPacketIn::parse(body)?;
            Message::PacketIn(PacketIn {
                buffer_id: buffer(p.buffer_id),
                total_len: p.total_len,
                in_port: PortNo::from_v10(p.in_port),
                reason: PacketInReason(p.reason),
                table_id: TableId(0),
                cookie: Cookie(u64::MAX),
                pipeline: (&[][..]).into(),
                data: data.into(),
            })
        }
        11 => flow_removed(body)?,
        12 => {
            let (rest, status) = OfpPortStatus::parse(body)?;
            let (rest, port) = port(rest)?;
            ended(rest)?;
            Message::PortStatus(PortStatus { reason: PortStatusReason(status.reason), port })
        }
        13 => {
            let (rest, p) = OfpPacketOut::parse(body)?;
            let (data, list) = block(p.actions_len.into(), "actions_len", rest)?;
            Message::PacketOut(PacketOut {
                buffer_id: buffer(p.buffer_id),
                in_port: PortNo::from_v10(p.in_port),
                actions: actions(list)?,
                data: data.into(),
            })
        }
        14 => Message::FlowMod(flow_mod(body)?),
        16 => stats_request(body)?,
        17 => stats_reply(body)?,
        18 => no_body(body, Message::BarrierRequest)?,
        19 => no_body(body, Message::BarrierReply)?,
        kind => Message::Opaque(Opaque { kind, body: body.into() }),
    })
}

fn features(body: &[u8]) -> Result<Message<'_>, nom::Err<Broken>> {
    let (mut rest, f) = OfpFeatures::parse(body)?;
    let mut ports = Vec::with_capacity(rest.len() / OfpPhyPort::SIZE);
    while !rest.is_empty() {
        let (after, p) = port(rest)?;
        ports.push(p);
        rest = after;
    }
    Ok(Message::FeaturesReply(Features {
        dpid: DatapathId(f.datapath_id),
        n_buffers: f.n_buffers,
        n_tables: f.n_tables,
        auxiliary_id: 0,
        capabilities: f.capabilities,
        actions: f.actions,
        ports,
    }))
}

fn flow_mod(body: &[u8]) -> Result<FlowMod, nom::Err<Broken>> {
    let (rest, matches) = parse_match(body)?;
    let command_at = rest;
    let (rest, f) = OfpFlowMod::parse(rest)?;
    let Ok(command) = u8::try_from(f.command) else {
        return fail(&command_at[8..], "command", Problem::Value(f.command.into()));
    };
    Ok(FlowMod {
        cookie: Cookie(f.cookie),
        cookie_mask: 0,
        table_id: TableId(0),
        command: FlowModCommand(command),
        idle_timeout: f.idle_timeout,
        hard_timeout: f.hard_timeout,
        priority: f.priority,
        buffer_id: buffer(f.buffer_id),
        out_port: PortNo::from_v10(f.out_port),
        out_group: GroupId::ANY,
        flags: FlowModFlags(f.flags),
        matches,
        instructions: instructions(actions(rest)?),
    })
}

fn flow_removed(body: &[u8]) -> Result<Message<'_>, nom::Err<Broken>> {
    let (at, matches) = parse_match(body)?;
    let (rest, f) = OfpFlowRemoved::parse(at)?;
    ended(rest)?;
    let Some(duration) = duration(f.duration_sec, f.duration_nsec) else {
        return fail(&at[16..], "duration_nsec", Problem::Value(f.duration_nsec.into()));
    };
    Ok(Message::FlowRemoved(FlowRemoved {
        cookie: Cookie(f.cookie),
        priority: f.priority,
        reason: FlowRemovedReason(f.reason),
        table_id: TableId(0),
        duration,
        idle_timeout: f.idle_timeout,
        hard_timeout: 0,
        packet_count: f.packet_count,
        byte_count: f.byte_count,
        matches,
    }))
}

fn port(input: &[u8]) -> Parsed<'_, Port> {
    let (rest, p) = OfpPhyPort::parse(input)?;
    let port = Port {
        port_no: PortNo::from_v10(p.port_no),
        hw_addr: p.hw_addr,
        name: p.name,
        config: PortConfig(p.config),
        state: PortState(p.state),
        curr: p.curr,
        advertised: p.advertised,
        supported: p.supported,
        peer: p.peer,
        curr_speed: 0,
        max_speed: 0,
    };
    Ok((rest, port))
}

fn put_port(port: &Port, out: &mut BytesMut) -> Result<(), EncodeError> {
    if port.curr_speed != 0 || port.max_speed != 0 {
        return lacks("a port speed");
    }
    OfpPhyPort {
        port_no: port16(port.port_no)?,
        hw_addr: port.hw_addr,
        name: port.name,
        config: port.config.0,
        state: port.state.0,
        curr: port.curr,
        advertised: port.advertised,
        supported: port.supported,
        peer: port.peer,
    }
    .write(out);
    Ok(())
}

const DESC: u16 = 0;
const FLOW: u16 = 1;
const MORE: u16 = 1;

fn stats_request(body: &[u8]) -> Result<Message<'_>, nom::Err<Broken>> {
    let (rest, s) = OfpStats::parse(body)?;
    Ok(match (s.kind, s.flags) {
        (DESC, 0) => no_body(rest, Message::DescriptionRequest)?,
        (FLOW, 0) => {
            let (rest, matches) = parse_match(rest)?;
            let (rest, f) = OfpFlowStatsRequest::parse(rest)?;
            ended(rest)?;
            Message::FlowStatsRequest(FlowStatsRequest {
                table_id: TableId(f.table_id),
                out_port: PortNo::from_v10(f.out_port),
                out_group: GroupId::ANY,
                cookie: Cookie(0),
                cookie_mask: 0,
                matches,
            })
        }
        _ => Message::Opaque(Opaque { kind: 16, body: body.into() }),
    })
}

fn stats_reply(body: &[u8]) -> Result<Message<'_>, nom::Err<Broken>> {
    let (rest, s) = OfpStats::parse(body)?;
    Ok(match (s.kind, s.flags) {
        (DESC, 0) => {
            let (rest, d) = OfpDesc::parse(rest)?;
            ended(rest)?;
            Message::DescriptionReply(Box::new(description(&d)))
        }
        (FLOW, 0 | MORE) => {
            let mut flows = Vec::new();
            let mut rest = rest;
            while !rest.is_empty() {
                let (after, flow) = flow_stats(rest)?;
                flows.push(flow);
                rest = after;
            }
            Message::FlowStatsReply { flows, more: s.flags & MORE != 0 }
        }
        _ => Message::Opaque(Opaque { kind: 17, body: body.into() }),
    })
}

fn flow_stats(input: &[u8]) -> Parsed<'_, FlowStats> {
    let (_, head) = OfpFlowStatsHead::parse(input)?;
    let length = usize::from(head.length);
    if length < OfpFlowStatsHead::SIZE || length > input.len() {
        return fail(input, "flow_stats.length", Problem::Length(head.length.into()));
    }
    let (after, entry) = (&input[length..], &input[OfpFlowStatsHead::SIZE..length]);
    let (at, matches) = parse_match(entry)?;
    let (rest, f) = OfpFlowStats::parse(at)?;
    let Some(duration) = duration(f.duration_sec, f.duration_nsec) else {
        return fail(&at[4..], "duration_nsec", Problem::Value(f.duration_nsec.into()));
    };
    let stats = FlowStats {
        table_id: TableId(head.table_id),
        duration,
        priority: f.priority,
        idle_timeout: f.idle_timeout,
        hard_timeout: f.hard_timeout,
        flags: FlowModFlags(0),
        cookie: Cookie(f.cookie),
        packet_count: f.packet_count,
        byte_count: f.byte_count,
        matches,
        instructions: instructions(actions(rest)?),
    };
    Ok((after, stats))
}

fn put_flow_stats(f: &FlowStats, out: &mut BytesMut) -> Result<(), EncodeError> {
    if f.flags.0 != 0 {
        return lacks("flags in flow statistics");
    }
    let (duration_sec, duration_nsec) = seconds(f.duration)?;
    with_length(out, 0, "flow statistics", |out| {
        OfpFlowStatsHead { length: 0, table_id: f.table_id.0, pad: Pad }.write(out);
        put_match(&f.matches, out)?;
        OfpFlowStats {
            duration_sec,
            duration_nsec,
            priority: f.priority,
            idle_timeout: f.idle_timeout,
            hard_timeout: f.hard_timeout,
            pad: Pad,
            cookie: f.cookie.0,
            packet_count: f.packet_count,
            byte_count: f.byte_count,
        }
        .write(out);
        put_instructions(&f.instructions, out)
    })
}

pub(crate) fn encode_body(message: &Message<'_>, out: &mut BytesMut) -> Result<u8, EncodeError> {
    Ok(match message {
        Message::Experimenter { experimenter, body } => {
            out.put_u32(*experimenter);
            out.put_slice(body);
            4
        }
        Message::FeaturesRequest => 5,
        Message::FeaturesReply(f) => {
            if f.auxiliary_id != 0 {
                return lacks("an auxiliary connection");
            }
            OfpFeatures {
                datapath_id: f.dpid.0,
                n_buffers: f.n_buffers,
                n_tables: f.n_tables,
                pad: Pad,
                capabilities: f.capabilities,
                actions: f.actions,
            }
            .write(out);
            f.ports.iter().try_for_each(|port| put_port(port, out))?;
            6
        }
        Message::GetConfigRequest => 7,
        Message::GetConfigReply(config) => {
            put_config(config, out);
            8
        }
        Message::SetConfig(config) => {
            put_config(config, out);
            9
        }
        Message::PacketIn(p) => {
            if p.table_id.0 != 0 || p.cookie.0 != u64::MAX || !p.pipeline.is_empty() {
                return lacks("table, cookie or pipeline fields of a packet-in");
            }
            OfpPacketIn {
                buffer_id: buffer_bits(p.buffer_id),
                total_len: p.total_len,
                in_port: port16(p.in_port)?,
                reason: p.reason.0,
                pad: Pad,
            }
            .write(out);
            out.put_slice(&p.data);
            10
        }
        Message::FlowRemoved(f) => {
            if f.table_id.0 != 0 || f.hard_timeout != 0 {
                return lacks("table or hard time-out of a flow-removed");
            }
            let (duration_sec, duration_nsec) = seconds(f.duration)?;
            put_match(&f.matches, out)?;
            OfpFlowRemoved {
                cookie: f.cookie.0,
                priority: f.priority,
                reason: f.reason.0,
                pad: Pad,
                duration_sec,
                duration_nsec,
                idle_timeout: f.idle_timeout,
                pad2: Pad,
                packet_count: f.packet_count,
                byte_count: f.byte_count,
            }
            .write(out);
            11
        }
        Message::PortStatus(status) => {
            OfpPortStatus { reason: status.reason.0, pad: Pad }.write(out);
            put_port(&status.port, out)?;
            12
        }
        Message::PacketOut(p) => {
            let at = out.len() + 6;
            let (buffer_id, in_port) = (buffer_bits(p.buffer_id), port16(p.in_port)?);
            OfpPacketOut { buffer_id, in_port, actions_len: 0 }.write(out);
            let start = out.len();
            put_actions(&p.actions, out)?;
            let length = u16::try_from(out.len() - start)
                .map_err(|_| EncodeError::TooLong { what: "action list" })?;
            out[at..at + 2].copy_from_slice(&length.to_be_bytes());
            out.put_slice(&p.data);
            13
        }
        Message::FlowMod(f) => {
            // Table 0, or all of them, is the only one.
            if !matches!(f.table_id, TableId(0) | TableId::ALL)
                || f.cookie_mask != 0
                || f.out_group != GroupId::ANY
            {
                return lacks("a table, cookie mask or group in a flow-mod");
            }
            put_match(&f.matches, out)?;
            OfpFlowMod {
                cookie: f.cookie.0,
                command: f.command.0.into(),
                idle_timeout: f.idle_timeout,
                hard_timeout: f.hard_timeout,
                priority: f.priority,
                buffer_id: buffer_bits(f.buffer_id),
                out_port: port16(f.out_port)?,
                flags: f.flags.0,
            }
            .write(out);
            put_instructions(&f.instructions, out)?;
            14
        }
        Message::DescriptionRequest => stats(16, DESC, 0, out),
        Message::DescriptionReply(d) => {
            let kind = stats(17, DESC, 0, out);
            put_description(d, out);
            kind
        }
        Message::FlowStatsRequest(f) => {
            if f.cookie_mask != 0 || f.cookie.0 != 0 || f.out_group != GroupId::ANY {
                return lacks("a cookie or group in a flow statistics request");
            }
            let kind = stats(16, FLOW, 0, out);
            put_match(&f.matches, out)?;
            let out_port = port16(f.out_port)?;
            OfpFlowStatsRequest { table_id: f.table_id.0, pad: Pad, out_port }.write(out);
            kind
        }
        Message::FlowStatsReply { flows, more } => {
            let kind = stats(17, FLOW, u16::from(*more), out);
            flows.iter().try_for_each(|flow| put_flow_stats(flow, out))?;
            kind
        }
        Message::PortDescriptionRequest | Message::PortDescriptionReply { .. } => {
            return lacks("a port description");
        }
        Message::BarrierRequest => 18,
        Message::BarrierReply => 19,
        Message::Hello(_)
        | Message::Error(_)
        | Message::EchoRequest(_)
        | Message::EchoReply(_)
        | Message::Opaque(_) => return lacks("a message common to all versions"),
    })
}

fn stats(message: u8, kind: u16, flags: u16, out: &mut BytesMut) -> u8 {
    OfpStats { kind, flags }.write(out);
    message
}

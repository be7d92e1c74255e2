//! OpenFlow 1.0 on the wire (specification 1.0.0/1.0.1). Pure.

mod action;
mod key;
mod matching;
mod stats;

use bytes::{BufMut, BytesMut};

use crate::common::{OfpExperimenter, OfpSwitchConfig, lacks, no_body};
use crate::common::{put_queue_properties, queue_properties};
use crate::error::EncodeError;
use crate::model::{
    Features, FlowMod, FlowModCommand, FlowModFlags, FlowRemoved, FlowRemovedReason, Message,
    Opaque, PacketIn, PacketInReason, PacketOut, Port, PortConfig, PortMod, PortState, PortStatus,
    PortStatusReason, QueueConfig,
};
use crate::nicira;
use crate::types::{Cookie, DatapathId, GroupId, MacAddr, PortNo, TableId, Version};
use crate::v13::{actions_of, put_actions_of};
use crate::wire::{
    Buffer, Decoded, Lifetime, Parsed, Port16, Put, entry, fixed, list, record, whole, with_length,
};
use action::{actions, instructions, put_actions, put_instructions};
pub use key::MatchKey;
use matching::{parse_match, put_match};

fixed! {
    /// `ofp_packet_in` (§5.4.1).
    OfpPacketIn {
        buffer_id: Buffer,
        total_len: u16,
        in_port: Port16,
        reason: PacketInReason,
        [1],
    }
    /// `ofp_packet_out` (§5.3.6).
    OfpPacketOut { buffer_id: Buffer, in_port: Port16, actions_len: u16, }
    /// `ofp_flow_mod` behind the match (§5.3.3).
    OfpFlowMod {
        cookie: Cookie,
        command: u16,
        idle_timeout: u16,
        hard_timeout: u16,
        priority: u16,
        buffer_id: Buffer,
        out_port: Port16,
        flags: FlowModFlags,
    }
    /// `ofp_flow_removed` behind the match (§5.4.2).
    OfpFlowRemoved {
        cookie: Cookie,
        priority: u16,
        reason: FlowRemovedReason,
        [1],
        duration: Lifetime,
        idle_timeout: u16,
        [2],
        packet_count: u64,
        byte_count: u64,
    }
    /// `ofp_port_status` before the port (§5.4.3).
    OfpPortStatus { reason: PortStatusReason, [7], }
    /// `ofp_switch_features` before the ports (§5.3.1).
    OfpFeatures {
        datapath_id: DatapathId,
        n_buffers: u32,
        n_tables: u8,
        [3],
        capabilities: u32,
        actions: u32,
    }
    /// `ofp_queue_get_config_request` (§5.3.4).
    OfpQueueGetConfigRequest { port: Port16, [2], }
    /// `ofp_queue_get_config_reply` before the queues (§5.3.4).
    OfpQueueGetConfigReply { port: Port16, [6], }
    /// `ofp_packet_queue` before the properties (§5.2.2).
    OfpPacketQueue { queue_id: u32, len: u16, [2], }
}

record! { V1_0:
    /// `ofp_phy_port` (§5.2.1).
    OfpPhyPort(Port; curr_speed: 0; max_speed: 0) {
        port_no: Port16,
        hw_addr: MacAddr,
        name: [u8; 16],
        config: PortConfig,
        state: PortState,
        curr: u32,
        advertised: u32,
        supported: u32,
        peer: u32,
    }
    /// `ofp_port_mod` (§5.3.3).
    OfpPortMod(PortMod) {
        port_no: Port16,
        hw_addr: MacAddr,
        config: PortConfig,
        mask: PortConfig,
        advertise: u32,
        [4],
    }
}

const V: Version = Version::V1_0;

pub(crate) fn decode_body(kind: u8, body: &[u8]) -> Decoded<Message<'_>> {
    Ok(match kind {
        4 => vendor(body)?,
        5 => no_body(body, Message::FeaturesRequest)?,
        6 => features(body)?,
        7 => no_body(body, Message::GetConfigRequest)?,
        8 => Message::GetConfigReply(whole(OfpSwitchConfig::parse(body))?),
        9 => Message::SetConfig(whole(OfpSwitchConfig::parse(body))?),
        10 => Message::PacketIn(packet_in(body)?),
        11 => Message::FlowRemoved(flow_removed(body)?),
        12 => {
            let (rest, status) = OfpPortStatus::parse(body)?;
            let port = whole(OfpPhyPort::parse(rest))?;
            Message::PortStatus(PortStatus { reason: status.reason, port })
        }
        13 => packet_out(body)?,
        14 => Message::FlowMod(flow_mod(body)?),
        15 => Message::PortMod(whole(OfpPortMod::parse(body))?),
        16 => stats::request(body)?,
        17 => stats::reply(body)?,
        18 => no_body(body, Message::BarrierRequest)?,
        19 => no_body(body, Message::BarrierReply)?,
        20 => {
            let port = whole(OfpQueueGetConfigRequest::parse(body))?.port;
            Message::QueueGetConfigRequest { port }
        }
        21 => {
            let (rest, head) = OfpQueueGetConfigReply::parse(body)?;
            let queues = list(rest, OfpPacketQueue::SIZE, |at| packet_queue(head.port, at))?;
            Message::QueueGetConfigReply { port: head.port, queues }
        }
        kind => Message::Opaque(Opaque { kind, body: body.into() }),
    })
}

/// A vendor message: Nicira's role messages have a place in the model, others stay as they are.
fn vendor(body: &[u8]) -> Decoded<Message<'_>> {
    let (rest, id) = OfpExperimenter::parse(body)?;
    let experimenter = id.experimenter;
    Ok(nicira::role(experimenter, rest)
        .unwrap_or(Message::Experimenter { experimenter, body: rest.into() }))
}

fn features(body: &[u8]) -> Decoded<Message<'_>> {
    let (rest, head) = OfpFeatures::parse(body)?;
    Ok(Message::FeaturesReply(Features {
        dpid: head.datapath_id,
        n_buffers: head.n_buffers,
        n_tables: head.n_tables,
        auxiliary_id: 0,
        capabilities: head.capabilities,
        actions: head.actions,
        ports: OfpPhyPort::list(rest)?,
    }))
}

fn put_features(features: &Features, out: &mut BytesMut) -> Put {
    if features.auxiliary_id != 0 {
        return lacks("an auxiliary connection", V);
    }
    OfpFeatures {
        datapath_id: features.dpid,
        n_buffers: features.n_buffers,
        n_tables: features.n_tables,
        capabilities: features.capabilities,
        actions: features.actions,
    }
    .write(out)?;
    features.ports.iter().try_for_each(|port| OfpPhyPort::write(port, out))
}

#[inline(always)]
pub(crate) fn packet_in(body: &[u8]) -> Decoded<PacketIn<'_>> {
    let (data, head) = OfpPacketIn::parse(body)?;
    Ok(PacketIn {
        buffer_id: head.buffer_id,
        total_len: head.total_len,
        in_port: head.in_port,
        reason: head.reason,
        table_id: TableId(0),
        cookie: Cookie(u64::MAX),
        pipeline: (&[][..]).into(),
        data: data.into(),
    })
}

fn put_packet_in(packet: &PacketIn<'_>, out: &mut BytesMut) -> Put {
    let neutral = (TableId(0), Cookie(u64::MAX), true);
    if (packet.table_id, packet.cookie, packet.pipeline.is_empty()) != neutral {
        return lacks("table, cookie or pipeline fields of a packet-in", V);
    }
    OfpPacketIn {
        buffer_id: packet.buffer_id,
        total_len: packet.total_len,
        in_port: packet.in_port,
        reason: packet.reason,
    }
    .write(out)?;
    out.put_slice(&packet.data);
    Ok(())
}

fn packet_out(body: &[u8]) -> Decoded<Message<'_>> {
    let (rest, head) = OfpPacketOut::parse(body)?;
    let (data, list) = actions_of(head.actions_len, &body[6..], rest)?;
    Ok(Message::PacketOut(PacketOut {
        buffer_id: head.buffer_id,
        in_port: head.in_port,
        actions: actions(list)?,
        data: data.into(),
    }))
}

fn flow_mod(body: &[u8]) -> Decoded<FlowMod> {
    let (rest, matches) = parse_match(body)?;
    let (rest, head) = OfpFlowMod::parse(rest)?;
    Ok(FlowMod {
        cookie: head.cookie,
        cookie_mask: 0,
        table_id: TableId(0),
        command: FlowModCommand(head.command),
        idle_timeout: head.idle_timeout,
        hard_timeout: head.hard_timeout,
        priority: head.priority,
        buffer_id: head.buffer_id,
        out_port: head.out_port,
        out_group: GroupId::ANY,
        flags: head.flags,
        matches,
        instructions: instructions(rest)?,
    })
}

/// Writes a flow-mod; its type.
pub(crate) fn put_flow_mod(flow: &FlowMod, out: &mut BytesMut) -> Result<u8, EncodeError> {
    // Table 0, or all of them, is the only one.
    if !matches!(flow.table_id, TableId(0) | TableId::ALL)
        || flow.cookie_mask != 0
        || flow.out_group != GroupId::ANY
    {
        return lacks("a table, cookie mask or group in a flow-mod", V);
    }
    put_match(&flow.matches, out)?;
    OfpFlowMod {
        cookie: flow.cookie,
        command: flow.command.0,
        idle_timeout: flow.idle_timeout,
        hard_timeout: flow.hard_timeout,
        priority: flow.priority,
        buffer_id: flow.buffer_id,
        out_port: flow.out_port,
        flags: flow.flags,
    }
    .write(out)?;
    put_instructions(&flow.instructions, out)?;
    Ok(14)
}

/// Writes a packet-out; its type.
pub(crate) fn put_packet_out(
    packet: &PacketOut<'_>,
    out: &mut BytesMut,
) -> Result<u8, EncodeError> {
    let at = out.len() + 6;
    let (buffer_id, in_port) = (packet.buffer_id, packet.in_port);
    OfpPacketOut { buffer_id, in_port, actions_len: 0 }.write(out)?;
    put_actions_of(packet, at, out, |out| put_actions(&packet.actions, out))?;
    Ok(13)
}

/// Cookie and ingress port of a flow-removed, if its match has the port (1.0 §5.2.3, 5.4.3).
#[inline]
pub(crate) fn ended_entry(body: &[u8]) -> Option<(Cookie, PortNo)> {
    let [_, _, _, wildcards, a, b, ..] = *<&[u8; 80]>::try_from(body).ok()?;
    let cookie = u64::from_be_bytes(*body[40..].first_chunk()?);
    // The last ports of 16 bits have other numbers in the model.
    let port = u16::from_be_bytes([a, b]);
    let told = u32::from(wildcards) & matching::W_IN_PORT == 0 && port < 0xff00;
    told.then_some((Cookie(cookie), PortNo(port.into())))
}

#[inline(always)]
pub(crate) fn flow_removed(body: &[u8]) -> Decoded<FlowRemoved> {
    let (rest, matches) = parse_match(body)?;
    let tail = whole(OfpFlowRemoved::parse(rest))?;
    Ok(FlowRemoved {
        cookie: tail.cookie,
        priority: tail.priority,
        reason: tail.reason,
        table_id: TableId(0),
        duration: tail.duration,
        idle_timeout: tail.idle_timeout,
        hard_timeout: 0,
        packet_count: tail.packet_count,
        byte_count: tail.byte_count,
        matches,
    })
}

fn put_flow_removed(flow: &FlowRemoved, out: &mut BytesMut) -> Put {
    if flow.table_id.0 != 0 || flow.hard_timeout != 0 {
        return lacks("table or hard time-out of a flow-removed", V);
    }
    put_match(&flow.matches, out)?;
    OfpFlowRemoved {
        cookie: flow.cookie,
        priority: flow.priority,
        reason: flow.reason,
        duration: flow.duration,
        idle_timeout: flow.idle_timeout,
        packet_count: flow.packet_count,
        byte_count: flow.byte_count,
    }
    .write(out)
}

fn packet_queue(port: PortNo, input: &[u8]) -> Parsed<'_, QueueConfig> {
    let (_, head) = OfpPacketQueue::parse(input)?;
    let (rest, whole) = entry(input, 4, OfpPacketQueue::SIZE, "packet_queue.len")?;
    let properties = queue_properties(V, &whole[OfpPacketQueue::SIZE..])?;
    Ok((rest, QueueConfig { queue_id: head.queue_id, port, properties }))
}

fn put_packet_queue(port: PortNo, queue: &QueueConfig, out: &mut BytesMut) -> Put {
    if queue.port != port {
        return lacks("a queue of another port", V);
    }
    with_length(out, 4, "queue", |out| {
        OfpPacketQueue { queue_id: queue.queue_id, len: 0 }.write(out)?;
        put_queue_properties(V, &queue.properties, out)
    })
}

pub(crate) fn encode_body(message: &Message<'_>, out: &mut BytesMut) -> Result<u8, EncodeError> {
    let kind = match message {
        Message::Experimenter { experimenter, body } => {
            OfpExperimenter { experimenter: *experimenter }.write(out)?;
            out.put_slice(body);
            4
        }
        Message::RoleRequest(role) => {
            nicira::put_role(nicira::ROLE_REQUEST, role, out)?;
            4
        }
        Message::RoleReply(role) => {
            nicira::put_role(nicira::ROLE_REPLY, role, out)?;
            4
        }
        Message::FeaturesRequest => 5,
        Message::FeaturesReply(features) => {
            put_features(features, out)?;
            6
        }
        Message::GetConfigRequest => 7,
        Message::GetConfigReply(config) => {
            OfpSwitchConfig::write(config, out)?;
            8
        }
        Message::SetConfig(config) => {
            OfpSwitchConfig::write(config, out)?;
            9
        }
        Message::PacketIn(packet) => {
            put_packet_in(packet, out)?;
            10
        }
        Message::FlowRemoved(flow) => {
            put_flow_removed(flow, out)?;
            11
        }
        Message::PortStatus(status) => {
            OfpPortStatus { reason: status.reason }.write(out)?;
            OfpPhyPort::write(&status.port, out)?;
            12
        }
        Message::PacketOut(packet) => put_packet_out(packet, out)?,
        Message::FlowMod(flow) => put_flow_mod(flow, out)?,
        Message::PortMod(port) => {
            OfpPortMod::write(port, out)?;
            15
        }
        Message::BarrierRequest => 18,
        Message::BarrierReply => 19,
        Message::QueueGetConfigRequest { port } => {
            OfpQueueGetConfigRequest { port: *port }.write(out)?;
            20
        }
        Message::QueueGetConfigReply { port, queues } => {
            OfpQueueGetConfigReply { port: *port }.write(out)?;
            queues.iter().try_for_each(|queue| put_packet_queue(*port, queue, out))?;
            21
        }
        message => stats::put(message, out)?,
    };
    Ok(kind)
}

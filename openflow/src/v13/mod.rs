//! OpenFlow 1.3 on the wire (specification 1.3.5). Pure.

mod action;
mod group;
mod multipart;
pub(crate) mod oxm;
mod table;

use bytes::{BufMut, BytesMut};

use crate::common::{OfpExperimenter, OfpSwitchConfig, no_body};
use crate::common::{put_queue_properties, queue_properties};
use crate::error::{EncodeError, Problem};
use crate::model::{
    AsyncConfig, Features, FlowMod, FlowModCommand, FlowModFlags, FlowRemoved, FlowRemovedReason,
    Message, Opaque, PacketIn, PacketInReason, PacketOut, Port, PortConfig, PortMod, PortState,
    PortStatus, PortStatusReason, QueueConfig, Role, RoleMessage, TableMod,
};
use crate::types::{Cookie, DatapathId, GroupId, MacAddr, PortNo, TableId, Version};
use crate::wire::{
    Buffer, Decoded, Lifetime, Parsed, Put, Wire, block, ended, entry, fail, fixed, list, record,
    round8, whole, with_length,
};

fixed! {
    /// `ofp_packet_in` before the match (§7.4.1).
    OfpPacketIn {
        buffer_id: Buffer,
        total_len: u16,
        reason: PacketInReason,
        table_id: TableId,
        cookie: Cookie,
    }
    /// `ofp_packet_out` before the actions (§7.3.7).
    OfpPacketOut {
        buffer_id: Buffer,
        in_port: PortNo,
        actions_len: u16,
        [6],
    }
    /// `ofp_flow_mod` before the match (§7.3.4.1).
    OfpFlowMod {
        cookie: Cookie,
        cookie_mask: u64,
        table_id: TableId,
        command: u8,
        idle_timeout: u16,
        hard_timeout: u16,
        priority: u16,
        buffer_id: Buffer,
        out_port: PortNo,
        out_group: GroupId,
        flags: FlowModFlags,
        [2],
    }
    /// `ofp_flow_removed` before the match (§7.4.2).
    OfpFlowRemoved {
        cookie: Cookie,
        priority: u16,
        reason: FlowRemovedReason,
        table_id: TableId,
        duration: Lifetime,
        idle_timeout: u16,
        hard_timeout: u16,
        packet_count: u64,
        byte_count: u64,
    }
    /// `ofp_port_status` before the port (§7.4.3).
    OfpPortStatus { reason: PortStatusReason, [7], }
    /// `ofp_queue_get_config_request`, and `_reply` before the queues (§7.3.6).
    OfpQueueGetConfig { port: PortNo, [4], }
    /// `ofp_packet_queue` before the properties (§7.2.2).
    OfpPacketQueue { queue_id: u32, port: PortNo, len: u16, [6], }
}

record! { V1_3:
    /// `ofp_port` (§7.2.1).
    OfpPort(Port) {
        port_no: PortNo,
        [4],
        hw_addr: MacAddr,
        [2],
        name: [u8; 16],
        config: PortConfig,
        state: PortState,
        curr: u32,
        advertised: u32,
        supported: u32,
        peer: u32,
        curr_speed: u32,
        max_speed: u32,
    }
    /// `ofp_switch_features` (§7.3.1); `actions` is its reserved word.
    OfpFeatures(Features; ports: Vec::new()) {
        dpid: DatapathId,
        n_buffers: u32,
        n_tables: u8,
        auxiliary_id: u8,
        [2],
        capabilities: u32,
        actions: u32,
    }
    /// `ofp_port_mod` (§7.3.4.3).
    OfpPortMod(PortMod) {
        port_no: PortNo,
        [4],
        hw_addr: MacAddr,
        [2],
        config: PortConfig,
        mask: PortConfig,
        advertise: u32,
        [4],
    }
    /// `ofp_table_mod` (§7.3.3).
    OfpTableMod(TableMod) { table_id: TableId, [3], config: u32, }
    /// `ofp_role_request` (§7.3.9).
    OfpRole(RoleMessage) { role: Role, [4], generation_id: u64, }
    /// `ofp_async_config` (§7.3.10).
    OfpAsyncConfig(AsyncConfig) {
        packet_in: [u32; 2],
        port_status: [u32; 2],
        flow_removed: [u32; 2],
    }
}

pub(crate) fn decode_body(kind: u8, body: &[u8]) -> Decoded<Message<'_>> {
    Ok(match kind {
        4 => {
            let (rest, id) = OfpExperimenter::parse(body)?;
            // The type is part of the body that follows the id, and must be there (§7.5.4).
            block(4, "exp_type", rest)?;
            Message::Experimenter { experimenter: id.experimenter, body: rest.into() }
        }
        5 => no_body(body, Message::FeaturesRequest)?,
        6 => Message::FeaturesReply(whole(OfpFeatures::parse(body))?),
        7 => no_body(body, Message::GetConfigRequest)?,
        8 => Message::GetConfigReply(whole(OfpSwitchConfig::parse(body))?),
        9 => Message::SetConfig(whole(OfpSwitchConfig::parse(body))?),
        10 => Message::PacketIn(packet_in(body)?),
        11 => Message::FlowRemoved(flow_removed(body)?),
        12 => {
            let (rest, status) = OfpPortStatus::parse(body)?;
            let port = whole(OfpPort::parse(rest))?;
            Message::PortStatus(PortStatus { reason: status.reason, port })
        }
        13 => packet_out(body)?,
        14 => Message::FlowMod(flow_mod(body)?),
        15 => Message::GroupMod(group::group_mod(body)?),
        16 => Message::PortMod(whole(OfpPortMod::parse(body))?),
        17 => Message::TableMod(whole(OfpTableMod::parse(body))?),
        18 => multipart::request(body)?,
        19 => multipart::reply(body)?,
        20 => no_body(body, Message::BarrierRequest)?,
        21 => no_body(body, Message::BarrierReply)?,
        22 => {
            let port = whole(OfpQueueGetConfig::parse(body))?.port;
            Message::QueueGetConfigRequest { port }
        }
        23 => {
            let (rest, head) = OfpQueueGetConfig::parse(body)?;
            let queues = list(rest, OfpPacketQueue::SIZE, packet_queue)?;
            Message::QueueGetConfigReply { port: head.port, queues }
        }
        24 => Message::RoleRequest(whole(OfpRole::parse(body))?),
        25 => Message::RoleReply(whole(OfpRole::parse(body))?),
        26 => no_body(body, Message::GetAsyncRequest)?,
        27 => Message::GetAsyncReply(whole(OfpAsyncConfig::parse(body))?),
        28 => Message::SetAsync(whole(OfpAsyncConfig::parse(body))?),
        29 => Message::MeterMod(group::meter_mod(body)?),
        kind => Message::Opaque(Opaque { kind, body: body.into() }),
    })
}

/// The ingress port that an OXM list says, `ANY` if none.
fn ingress(list: &[u8]) -> PortNo {
    oxm::Oxms::new(list)
        .find(|oxm| oxm.class == 0x8000 && oxm.field == 0)
        .and_then(|oxm| <[u8; 4]>::try_from(oxm.body).ok())
        .map_or(PortNo::ANY, |port| PortNo(u32::from_be_bytes(port)))
}

/// Allocates nothing: the match stays as bytes, the frame is borrowed.
#[inline(always)]
pub(crate) fn packet_in(body: &[u8]) -> Decoded<PacketIn<'_>> {
    let (rest, head) = OfpPacketIn::parse(body)?;
    let (rest, list) = oxm::match_list(rest)?;
    // The ingress port comes first almost always; alone, it needs no list. Nor does nothing.
    let (in_port, pipeline): (_, &[u8]) = match list {
        [] => (PortNo::ANY, &[]),
        [0x80, 0x00, 0x00, 0x04, port @ ..] if port.len() == 4 && *port != [0xff; 4] => {
            (PortNo(u32::read(port)), &[])
        }
        list => {
            oxm::check(list)?;
            (ingress(list), list)
        }
    };
    let (data, _) = block(2, "pad", rest)?;
    Ok(PacketIn {
        buffer_id: head.buffer_id,
        total_len: head.total_len,
        in_port,
        reason: head.reason,
        table_id: head.table_id,
        cookie: head.cookie,
        pipeline: pipeline.into(),
        data: data.into(),
    })
}

fn put_packet_in(packet: &PacketIn<'_>, out: &mut BytesMut) -> Put {
    OfpPacketIn {
        buffer_id: packet.buffer_id,
        total_len: packet.total_len,
        reason: packet.reason,
        table_id: packet.table_id,
        cookie: packet.cookie,
    }
    .write(out)?;
    if !packet.pipeline.is_empty()
        && (oxm::check(&packet.pipeline).is_err() || ingress(&packet.pipeline) != packet.in_port)
    {
        return Err(EncodeError::Value { what: "packet-in pipeline" });
    }
    oxm::put_match_with(out, |out| {
        match (&packet.pipeline[..], packet.in_port) {
            ([], PortNo::ANY) => {}
            ([], port) => {
                out.put_slice(&[0x80, 0, 0, 4]);
                out.put_u32(port.0);
            }
            (pipeline, _) => out.put_slice(pipeline),
        }
        Ok(())
    })?;
    out.put_u16(0);
    out.put_slice(&packet.data);
    Ok(())
}

fn packet_out(body: &[u8]) -> Decoded<Message<'_>> {
    let (rest, head) = OfpPacketOut::parse(body)?;
    let (data, list) = actions_of(head.actions_len, &body[8..], rest)?;
    Ok(Message::PacketOut(PacketOut {
        buffer_id: head.buffer_id,
        in_port: head.in_port,
        actions: action::actions(list)?,
        data: data.into(),
    }))
}

/// The action list of a packet-out, whose length stands at `at`.
pub(crate) fn actions_of<'a>(length: u16, at: &'a [u8], rest: &'a [u8]) -> Parsed<'a, &'a [u8]> {
    match rest.split_at_checked(length.into()) {
        Some((list, data)) => Ok((data, list)),
        None => fail(at, "actions_len", Problem::Length(length.into())),
    }
}

/// Writes a packet-out's actions and fills their length in at `at`, then its data.
pub(crate) fn put_actions_of(
    packet: &PacketOut<'_>,
    at: usize,
    out: &mut BytesMut,
    put: impl FnOnce(&mut BytesMut) -> Put,
) -> Put {
    let start = out.len();
    put(out)?;
    let length = u16::try_from(out.len() - start)
        .map_err(|_| EncodeError::TooLong { what: "action list" })?;
    out[at..at + 2].copy_from_slice(&length.to_be_bytes());
    out.put_slice(&packet.data);
    Ok(())
}

fn flow_mod(body: &[u8]) -> Decoded<FlowMod> {
    let (rest, head) = OfpFlowMod::parse(body)?;
    let (rest, matches) = oxm::parse_match(rest)?;
    Ok(FlowMod {
        cookie: head.cookie,
        cookie_mask: head.cookie_mask,
        table_id: head.table_id,
        command: FlowModCommand(head.command.into()),
        idle_timeout: head.idle_timeout,
        hard_timeout: head.hard_timeout,
        priority: head.priority,
        buffer_id: head.buffer_id,
        out_port: head.out_port,
        out_group: head.out_group,
        flags: head.flags,
        matches,
        instructions: action::instructions(rest)?,
    })
}

/// Writes a flow-mod; its type.
pub(crate) fn put_flow_mod(flow: &FlowMod, out: &mut BytesMut) -> Result<u8, EncodeError> {
    let Ok(command) = u8::try_from(flow.command.0) else {
        return Err(EncodeError::Value { what: "flow-mod command" });
    };
    OfpFlowMod {
        cookie: flow.cookie,
        cookie_mask: flow.cookie_mask,
        table_id: flow.table_id,
        command,
        idle_timeout: flow.idle_timeout,
        hard_timeout: flow.hard_timeout,
        priority: flow.priority,
        buffer_id: flow.buffer_id,
        out_port: flow.out_port,
        out_group: flow.out_group,
        flags: flow.flags,
    }
    .write(out)?;
    oxm::put_match(&flow.matches, out)?;
    action::put_instructions(&flow.instructions, out)?;
    Ok(14)
}

/// Writes a packet-out; its type.
pub(crate) fn put_packet_out(
    packet: &PacketOut<'_>,
    out: &mut BytesMut,
) -> Result<u8, EncodeError> {
    let at = out.len() + 8;
    let (buffer_id, in_port) = (packet.buffer_id, packet.in_port);
    OfpPacketOut { buffer_id, in_port, actions_len: 0 }.write(out)?;
    put_actions_of(packet, at, out, |out| action::put_actions(&packet.actions, out))?;
    Ok(13)
}

/// Cookie and ingress port of a flow-removed, if its match begins with the port (1.3.5 §7.2.3,
/// 7.4.2).
#[inline]
pub(crate) fn ended_entry(body: &[u8]) -> Option<(Cookie, PortNo)> {
    let cookie = u64::from_be_bytes(*body.first_chunk()?);
    let [0, 1, a, b, 0x80, 0x00, 0x00, 0x04, port @ ..] = body.get(40..)? else { return None };
    let port = u32::from_be_bytes(*port.first_chunk()?);
    let matched = usize::from(u16::from_be_bytes([*a, *b]));
    let whole = matched >= 12 && 40 + round8(matched) == body.len();
    whole.then_some((Cookie(cookie), PortNo(port)))
}

#[inline(always)]
pub(crate) fn flow_removed(body: &[u8]) -> Decoded<FlowRemoved> {
    let (rest, head) = OfpFlowRemoved::parse(body)?;
    let (rest, matches) = oxm::parse_match(rest)?;
    ended(rest)?;
    Ok(FlowRemoved {
        cookie: head.cookie,
        priority: head.priority,
        reason: head.reason,
        table_id: head.table_id,
        duration: head.duration,
        idle_timeout: head.idle_timeout,
        hard_timeout: head.hard_timeout,
        packet_count: head.packet_count,
        byte_count: head.byte_count,
        matches,
    })
}

fn put_flow_removed(flow: &FlowRemoved, out: &mut BytesMut) -> Put {
    OfpFlowRemoved {
        cookie: flow.cookie,
        priority: flow.priority,
        reason: flow.reason,
        table_id: flow.table_id,
        duration: flow.duration,
        idle_timeout: flow.idle_timeout,
        hard_timeout: flow.hard_timeout,
        packet_count: flow.packet_count,
        byte_count: flow.byte_count,
    }
    .write(out)?;
    oxm::put_match(&flow.matches, out)
}

fn packet_queue(input: &[u8]) -> Parsed<'_, QueueConfig> {
    let (_, head) = OfpPacketQueue::parse(input)?;
    let (rest, whole) = entry(input, 8, OfpPacketQueue::SIZE, "packet_queue.len")?;
    let properties = queue_properties(Version::V1_3, &whole[OfpPacketQueue::SIZE..])?;
    Ok((rest, QueueConfig { queue_id: head.queue_id, port: head.port, properties }))
}

pub(crate) fn encode_body(message: &Message<'_>, out: &mut BytesMut) -> Result<u8, EncodeError> {
    let kind = match message {
        Message::Experimenter { experimenter, body } => {
            if body.len() < 4 {
                return Err(EncodeError::Value { what: "experimenter body without exp_type" });
            }
            OfpExperimenter { experimenter: *experimenter }.write(out)?;
            out.put_slice(body);
            4
        }
        Message::FeaturesRequest => 5,
        Message::FeaturesReply(features) => {
            OfpFeatures::write(features, out)?;
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
            OfpPort::write(&status.port, out)?;
            12
        }
        Message::PacketOut(packet) => put_packet_out(packet, out)?,
        Message::FlowMod(flow) => put_flow_mod(flow, out)?,
        Message::GroupMod(group) => {
            group::put_group_mod(group, out)?;
            15
        }
        Message::PortMod(port) => {
            OfpPortMod::write(port, out)?;
            16
        }
        Message::TableMod(table) => {
            OfpTableMod::write(table, out)?;
            17
        }
        Message::BarrierRequest => 20,
        Message::BarrierReply => 21,
        Message::QueueGetConfigRequest { port } => {
            OfpQueueGetConfig { port: *port }.write(out)?;
            22
        }
        Message::QueueGetConfigReply { port, queues } => {
            OfpQueueGetConfig { port: *port }.write(out)?;
            queues.iter().try_for_each(|queue| {
                with_length(out, 8, "queue", |out| {
                    let (queue_id, port) = (queue.queue_id, queue.port);
                    OfpPacketQueue { queue_id, port, len: 0 }.write(out)?;
                    put_queue_properties(Version::V1_3, &queue.properties, out)
                })
            })?;
            23
        }
        Message::RoleRequest(role) => {
            OfpRole::write(role, out)?;
            24
        }
        Message::RoleReply(role) => {
            OfpRole::write(role, out)?;
            25
        }
        Message::GetAsyncRequest => 26,
        Message::GetAsyncReply(config) => {
            OfpAsyncConfig::write(config, out)?;
            27
        }
        Message::SetAsync(config) => {
            OfpAsyncConfig::write(config, out)?;
            28
        }
        Message::MeterMod(meter) => {
            group::put_meter_mod(meter, out)?;
            29
        }
        message => multipart::put(message, out)?,
    };
    Ok(kind)
}

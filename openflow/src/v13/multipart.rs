//! Multipart messages of 1.3 (1.3.5 §7.3.5). Pure.

use bytes::{BufMut, BytesMut};

use super::oxm;
use super::{OfpPort, action, group, table};
use crate::common::{MORE, OfpAggregate, OfpDesc, OfpExperimenter, kept_opaque, no_body};
use crate::error::EncodeError;
use crate::model::{
    FlowModFlags, FlowStats, FlowStatsRequest, GroupFeatures, Message, MeterFeatures, MeterId,
    PortStats, QueueStats, TableStats,
};
use crate::types::{Cookie, GroupId, PortNo, TableId, Version};
use crate::wire::{
    Decoded, Lifetime, Parsed, Put, block, ended, entry, fixed, list, record, whole, with_length,
};

fixed! {
    /// `ofp_multipart_request` and `_reply` before the body.
    OfpMultipart { kind: u16, flags: u16, [4], }
    /// `ofp_flow_stats_request` before the match (§7.3.5.2).
    OfpFlowStatsRequest {
        table_id: TableId,
        [3],
        out_port: PortNo,
        out_group: GroupId,
        [4],
        cookie: Cookie,
        cookie_mask: u64,
    }
    /// `ofp_flow_stats` before the match (§7.3.5.2).
    OfpFlowStats {
        length: u16,
        table_id: TableId,
        [1],
        duration: Lifetime,
        priority: u16,
        idle_timeout: u16,
        hard_timeout: u16,
        flags: FlowModFlags,
        [4],
        cookie: Cookie,
        packet_count: u64,
        byte_count: u64,
    }
    /// `ofp_port_stats_request` (§7.3.5.6).
    OfpPortStatsRequest { port_no: PortNo, [4], }
    /// `ofp_queue_stats_request` (§7.3.5.8).
    OfpQueueStatsRequest { port_no: PortNo, queue_id: u32, }
    /// `ofp_group_stats_request` (§7.3.5.9).
    OfpGroupStatsRequest { group_id: GroupId, [4], }
    /// `ofp_meter_multipart_request` (§7.3.5.12, §7.3.5.13).
    OfpMeterRequest { meter_id: MeterId, [4], }
}

record! { V1_3:
    /// `ofp_table_stats` (§7.3.5.4).
    OfpTableStats(TableStats; name: [0; 32]; wildcards: 0; max_entries: 0) {
        table_id: TableId,
        [3],
        active_count: u32,
        lookup_count: u64,
        matched_count: u64,
    }
    /// `ofp_port_stats` (§7.3.5.6).
    OfpPortStats(PortStats) {
        port_no: PortNo,
        [4],
        rx_packets: u64,
        tx_packets: u64,
        rx_bytes: u64,
        tx_bytes: u64,
        rx_dropped: u64,
        tx_dropped: u64,
        rx_errors: u64,
        tx_errors: u64,
        rx_frame_err: u64,
        rx_over_err: u64,
        rx_crc_err: u64,
        collisions: u64,
        duration: Lifetime,
    }
    /// `ofp_queue_stats` (§7.3.5.8).
    OfpQueueStats(QueueStats) {
        port: PortNo,
        queue_id: u32,
        tx_bytes: u64,
        tx_packets: u64,
        tx_errors: u64,
        duration: Lifetime,
    }
    /// `ofp_group_features` (§7.3.5.11).
    OfpGroupFeatures(GroupFeatures) {
        types: u32,
        capabilities: u32,
        max_groups: [u32; 4],
        actions: [u32; 4],
    }
    /// `ofp_meter_features` (§7.3.5.14).
    OfpMeterFeatures(MeterFeatures) {
        max_meter: u32,
        band_types: u32,
        capabilities: u32,
        max_bands: u8,
        max_color: u8,
        [2],
    }
}

/// OFPMP_*.
mod kind {
    pub(super) const DESC: u16 = 0;
    pub(super) const FLOW: u16 = 1;
    pub(super) const AGGREGATE: u16 = 2;
    pub(super) const TABLE: u16 = 3;
    pub(super) const PORT_STATS: u16 = 4;
    pub(super) const QUEUE: u16 = 5;
    pub(super) const GROUP: u16 = 6;
    pub(super) const GROUP_DESC: u16 = 7;
    pub(super) const GROUP_FEATURES: u16 = 8;
    pub(super) const METER: u16 = 9;
    pub(super) const METER_CONFIG: u16 = 10;
    pub(super) const METER_FEATURES: u16 = 11;
    pub(super) const TABLE_FEATURES: u16 = 12;
    pub(super) const PORT_DESC: u16 = 13;
    pub(super) const EXPERIMENTER: u16 = 0xffff;
}
use kind::*;

const REQUEST: u8 = 18;
const REPLY: u8 = 19;

/// Decodes a request. What the model cannot say stays opaque.
pub(super) fn request(body: &[u8]) -> Decoded<Message<'_>> {
    let (rest, head) = OfpMultipart::parse(body)?;
    kept_opaque(REQUEST, body, head.flags, |flags| request_of(head.kind, flags, rest))
}

fn request_of(kind: u16, flags: u16, rest: &[u8]) -> Decoded<Option<Message<'_>>> {
    let more = flags == MORE;
    Ok(Some(match (kind, flags) {
        (DESC, 0) => no_body(rest, Message::DescriptionRequest)?,
        (FLOW, 0) => Message::FlowStatsRequest(flow_stats_request(rest)?),
        (AGGREGATE, 0) => Message::AggregateStatsRequest(flow_stats_request(rest)?),
        (TABLE, 0) => no_body(rest, Message::TableStatsRequest)?,
        (PORT_STATS, 0) => {
            Message::PortStatsRequest { port: whole(OfpPortStatsRequest::parse(rest))?.port_no }
        }
        (QUEUE, 0) => {
            let OfpQueueStatsRequest { port_no: port, queue_id } =
                whole(OfpQueueStatsRequest::parse(rest))?;
            Message::QueueStatsRequest { port, queue_id }
        }
        (GROUP, 0) => {
            let group_id = whole(OfpGroupStatsRequest::parse(rest))?.group_id;
            Message::GroupStatsRequest { group_id }
        }
        (GROUP_DESC, 0) => no_body(rest, Message::GroupDescriptionRequest)?,
        (GROUP_FEATURES, 0) => no_body(rest, Message::GroupFeaturesRequest)?,
        (METER, 0) => {
            let meter_id = whole(OfpMeterRequest::parse(rest))?.meter_id;
            Message::MeterStatsRequest { meter_id }
        }
        (METER_CONFIG, 0) => {
            let meter_id = whole(OfpMeterRequest::parse(rest))?.meter_id;
            Message::MeterConfigRequest { meter_id }
        }
        (METER_FEATURES, 0) => no_body(rest, Message::MeterFeaturesRequest)?,
        (TABLE_FEATURES, 0 | MORE) => {
            let tables = list(rest, 64, table::table_features)?;
            Message::TableFeaturesRequest { tables, more }
        }
        (PORT_DESC, 0) => no_body(rest, Message::PortDescriptionRequest)?,
        (EXPERIMENTER, 0 | MORE) => {
            let (experimenter, body) = experimenter(rest)?;
            Message::ExperimenterStatsRequest { experimenter, body: body.into(), more }
        }
        _ => return Ok(None),
    }))
}

/// Decodes a reply. What the model cannot say stays opaque.
pub(super) fn reply(body: &[u8]) -> Decoded<Message<'_>> {
    let (rest, head) = OfpMultipart::parse(body)?;
    kept_opaque(REPLY, body, head.flags, |flags| reply_of(head.kind, flags, rest))
}

fn reply_of(kind: u16, flags: u16, rest: &[u8]) -> Decoded<Option<Message<'_>>> {
    let more = flags == MORE;
    Ok(Some(match (kind, flags) {
        (DESC, 0) => Message::DescriptionReply(Box::new(whole(OfpDesc::parse(rest))?)),
        (FLOW, 0 | MORE) => {
            let flows = list(rest, OfpFlowStats::SIZE, flow_stats)?;
            Message::FlowStatsReply { flows, more }
        }
        (AGGREGATE, 0) => Message::AggregateStatsReply(whole(OfpAggregate::parse(rest))?),
        (TABLE, 0 | MORE) => {
            let tables = OfpTableStats::list(rest)?;
            Message::TableStatsReply { tables, more }
        }
        (PORT_STATS, 0 | MORE) => {
            let ports = OfpPortStats::list(rest)?;
            Message::PortStatsReply { ports, more }
        }
        (QUEUE, 0 | MORE) => {
            let queues = OfpQueueStats::list(rest)?;
            Message::QueueStatsReply { queues, more }
        }
        (GROUP, 0 | MORE) => {
            Message::GroupStatsReply { groups: list(rest, 40, group::group_stats)?, more }
        }
        (GROUP_DESC, 0 | MORE) => {
            let groups = list(rest, 8, group::group_description)?;
            Message::GroupDescriptionReply { groups, more }
        }
        (GROUP_FEATURES, 0) => Message::GroupFeaturesReply(whole(OfpGroupFeatures::parse(rest))?),
        (METER, 0 | MORE) => {
            Message::MeterStatsReply { meters: list(rest, 40, group::meter_stats)?, more }
        }
        (METER_CONFIG, 0 | MORE) => {
            Message::MeterConfigReply { meters: list(rest, 8, group::meter_config)?, more }
        }
        (METER_FEATURES, 0) => Message::MeterFeaturesReply(whole(OfpMeterFeatures::parse(rest))?),
        (TABLE_FEATURES, 0 | MORE) => {
            Message::TableFeaturesReply { tables: list(rest, 64, table::table_features)?, more }
        }
        (PORT_DESC, 0 | MORE) => {
            let ports = OfpPort::list(rest)?;
            Message::PortDescriptionReply { ports, more }
        }
        (EXPERIMENTER, 0 | MORE) => {
            let (experimenter, body) = experimenter(rest)?;
            Message::ExperimenterStatsReply { experimenter, body: body.into(), more }
        }
        _ => return Ok(None),
    }))
}

/// Id and body; the type that the body begins with must be there.
fn experimenter(input: &[u8]) -> Decoded<(u32, &[u8])> {
    let (body, id) = OfpExperimenter::parse(input)?;
    block(4, "exp_type", body)?;
    Ok((id.experimenter, body))
}

fn flow_stats_request(input: &[u8]) -> Decoded<FlowStatsRequest> {
    let (rest, head) = OfpFlowStatsRequest::parse(input)?;
    let (rest, matches) = oxm::parse_match(rest)?;
    ended(rest)?;
    Ok(FlowStatsRequest {
        table_id: head.table_id,
        out_port: head.out_port,
        out_group: head.out_group,
        cookie: head.cookie,
        cookie_mask: head.cookie_mask,
        matches,
    })
}

fn put_flow_stats_request(request: &FlowStatsRequest, out: &mut BytesMut) -> Put {
    OfpFlowStatsRequest {
        table_id: request.table_id,
        out_port: request.out_port,
        out_group: request.out_group,
        cookie: request.cookie,
        cookie_mask: request.cookie_mask,
    }
    .write(out)?;
    oxm::put_match(&request.matches, out)
}

fn flow_stats(input: &[u8]) -> Parsed<'_, FlowStats> {
    let (_, head) = OfpFlowStats::parse(input)?;
    let (after, whole) = entry(input, 0, OfpFlowStats::SIZE, "flow_stats.length")?;
    let (rest, matches) = oxm::parse_match(&whole[OfpFlowStats::SIZE..])?;
    let stats = FlowStats {
        table_id: head.table_id,
        duration: head.duration,
        priority: head.priority,
        idle_timeout: head.idle_timeout,
        hard_timeout: head.hard_timeout,
        flags: head.flags,
        cookie: head.cookie,
        packet_count: head.packet_count,
        byte_count: head.byte_count,
        matches,
        instructions: action::instructions(rest)?,
    };
    Ok((after, stats))
}

fn put_flow_stats(flow: &FlowStats, out: &mut BytesMut) -> Put {
    with_length(out, 0, "flow statistics", |out| {
        OfpFlowStats {
            length: 0,
            table_id: flow.table_id,
            duration: flow.duration,
            priority: flow.priority,
            idle_timeout: flow.idle_timeout,
            hard_timeout: flow.hard_timeout,
            flags: flow.flags,
            cookie: flow.cookie,
            packet_count: flow.packet_count,
            byte_count: flow.byte_count,
        }
        .write(out)?;
        oxm::put_match(&flow.matches, out)?;
        action::put_instructions(&flow.instructions, out)
    })
}

fn head(kind: u16, more: bool, out: &mut BytesMut) -> Put {
    OfpMultipart { kind, flags: u16::from(more) }.write(out)
}

/// A part of a reply: its head, then its entries.
fn part<T>(
    kind: u16,
    entries: &[T],
    more: bool,
    out: &mut BytesMut,
    put: impl Fn(&T, &mut BytesMut) -> Put,
) -> Put {
    head(kind, more, out)?;
    entries.iter().try_for_each(|entry| put(entry, out))
}

fn put_experimenter(id: u32, body: &[u8], more: bool, out: &mut BytesMut) -> Put {
    if body.len() < 4 {
        return Err(EncodeError::Value { what: "experimenter body without exp_type" });
    }
    head(EXPERIMENTER, more, out)?;
    OfpExperimenter { experimenter: id }.write(out)?;
    out.put_slice(body);
    Ok(())
}

/// Encodes a multipart message; the messages before it are encoded elsewhere.
pub(super) fn put(message: &Message<'_>, out: &mut BytesMut) -> Result<u8, EncodeError> {
    match message {
        Message::DescriptionRequest => head(DESC, false, out)?,
        Message::FlowStatsRequest(request) => {
            head(FLOW, false, out)?;
            put_flow_stats_request(request, out)?;
        }
        Message::AggregateStatsRequest(request) => {
            head(AGGREGATE, false, out)?;
            put_flow_stats_request(request, out)?;
        }
        Message::TableStatsRequest => head(TABLE, false, out)?,
        Message::PortStatsRequest { port } => {
            head(PORT_STATS, false, out)?;
            OfpPortStatsRequest { port_no: *port }.write(out)?;
        }
        Message::QueueStatsRequest { port, queue_id } => {
            head(QUEUE, false, out)?;
            OfpQueueStatsRequest { port_no: *port, queue_id: *queue_id }.write(out)?;
        }
        Message::GroupStatsRequest { group_id } => {
            head(GROUP, false, out)?;
            OfpGroupStatsRequest { group_id: *group_id }.write(out)?;
        }
        Message::GroupDescriptionRequest => head(GROUP_DESC, false, out)?,
        Message::GroupFeaturesRequest => head(GROUP_FEATURES, false, out)?,
        Message::MeterStatsRequest { meter_id } => {
            head(METER, false, out)?;
            OfpMeterRequest { meter_id: *meter_id }.write(out)?;
        }
        Message::MeterConfigRequest { meter_id } => {
            head(METER_CONFIG, false, out)?;
            OfpMeterRequest { meter_id: *meter_id }.write(out)?;
        }
        Message::MeterFeaturesRequest => head(METER_FEATURES, false, out)?,
        Message::TableFeaturesRequest { tables, more } => {
            part(TABLE_FEATURES, tables, *more, out, table::put_table_features)?;
        }
        Message::PortDescriptionRequest => head(PORT_DESC, false, out)?,
        Message::ExperimenterStatsRequest { experimenter: id, body, more } => {
            put_experimenter(*id, body, *more, out)?;
        }
        message => {
            put_reply(message, out)?;
            return Ok(REPLY);
        }
    }
    Ok(REQUEST)
}

fn put_reply(message: &Message<'_>, out: &mut BytesMut) -> Put {
    match message {
        Message::DescriptionReply(description) => {
            head(DESC, false, out)?;
            OfpDesc::write(description, out)
        }
        Message::FlowStatsReply { flows, more } => part(FLOW, flows, *more, out, put_flow_stats),
        Message::AggregateStatsReply(aggregate) => {
            head(AGGREGATE, false, out)?;
            OfpAggregate::write(aggregate, out)
        }
        Message::TableStatsReply { tables, more } => {
            part(TABLE, tables, *more, out, OfpTableStats::write)
        }
        Message::PortStatsReply { ports, more } => {
            part(PORT_STATS, ports, *more, out, OfpPortStats::write)
        }
        Message::QueueStatsReply { queues, more } => {
            part(QUEUE, queues, *more, out, OfpQueueStats::write)
        }
        Message::GroupStatsReply { groups, more } => {
            part(GROUP, groups, *more, out, group::put_group_stats)
        }
        Message::GroupDescriptionReply { groups, more } => {
            part(GROUP_DESC, groups, *more, out, group::put_group_description)
        }
        Message::GroupFeaturesReply(features) => {
            head(GROUP_FEATURES, false, out)?;
            OfpGroupFeatures::write(features, out)
        }
        Message::MeterStatsReply { meters, more } => {
            part(METER, meters, *more, out, group::put_meter_stats)
        }
        Message::MeterConfigReply { meters, more } => {
            part(METER_CONFIG, meters, *more, out, group::put_meter_config)
        }
        Message::MeterFeaturesReply(features) => {
            head(METER_FEATURES, false, out)?;
            OfpMeterFeatures::write(features, out)
        }
        Message::TableFeaturesReply { tables, more } => {
            part(TABLE_FEATURES, tables, *more, out, table::put_table_features)
        }
        Message::PortDescriptionReply { ports, more } => {
            part(PORT_DESC, ports, *more, out, OfpPort::write)
        }
        Message::ExperimenterStatsReply { experimenter: id, body, more } => {
            put_experimenter(*id, body, *more, out)
        }
        _ => Err(EncodeError::Inexpressible { what: "this message", version: Version::V1_3 }),
    }
}

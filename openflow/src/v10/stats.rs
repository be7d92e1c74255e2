//! Statistics of 1.0 (1.0 §5.3.5). Pure.

use std::time::Duration;

use bytes::{BufMut, BytesMut};

use super::action::{instructions, put_instructions};
use super::matching::{parse_match, put_match};
use crate::common::{MORE, OfpAggregate, OfpDesc, OfpExperimenter, kept_opaque, lacks, no_body};
use crate::error::EncodeError;
use crate::model::{
    FlowModFlags, FlowStats, FlowStatsRequest, Message, PortStats, QueueStats, TableStats,
};
use crate::types::{Cookie, GroupId, TableId, Version};
use crate::wire::{
    Decoded, Lifetime, Parsed, Port16, Put, entry, fixed, list, record, whole, with_length,
};

fixed! {
    /// `ofp_stats_request` and `_reply` before the body.
    OfpStats { kind: u16, flags: u16, }
    /// `ofp_flow_stats_request` behind the match.
    OfpFlowStatsRequest { table_id: TableId, [1], out_port: Port16, }
    /// `ofp_flow_stats` before the match.
    OfpFlowStatsHead { length: u16, table_id: TableId, [1], }
    /// `ofp_flow_stats` behind the match.
    OfpFlowStats {
        duration: Lifetime,
        priority: u16,
        idle_timeout: u16,
        hard_timeout: u16,
        [6],
        cookie: Cookie,
        packet_count: u64,
        byte_count: u64,
    }
    /// `ofp_port_stats_request`.
    OfpPortStatsRequest { port_no: Port16, [6], }
    /// `ofp_queue_stats_request`.
    OfpQueueStatsRequest { port_no: Port16, [2], queue_id: u32, }
}

record! { V1_0:
    /// `ofp_table_stats`.
    OfpTableStats(TableStats) {
        table_id: TableId,
        [3],
        name: [u8; 32],
        wildcards: u32,
        max_entries: u32,
        active_count: u32,
        lookup_count: u64,
        matched_count: u64,
    }
    /// `ofp_port_stats`.
    OfpPortStats(PortStats; duration: Duration::ZERO) {
        port_no: Port16,
        [6],
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
    }
    /// `ofp_queue_stats`.
    OfpQueueStats(QueueStats; duration: Duration::ZERO) {
        port: Port16,
        [2],
        queue_id: u32,
        tx_bytes: u64,
        tx_packets: u64,
        tx_errors: u64,
    }
}

/// OFPST_*.
mod kind {
    pub(super) const DESC: u16 = 0;
    pub(super) const FLOW: u16 = 1;
    pub(super) const AGGREGATE: u16 = 2;
    pub(super) const TABLE: u16 = 3;
    pub(super) const PORT: u16 = 4;
    pub(super) const QUEUE: u16 = 5;
    pub(super) const VENDOR: u16 = 0xffff;
}
use kind::*;

const REQUEST: u8 = 16;
const REPLY: u8 = 17;
const V: Version = Version::V1_0;

/// Decodes a request. What the model cannot say stays opaque.
pub(super) fn request(body: &[u8]) -> Decoded<Message<'_>> {
    let (rest, head) = OfpStats::parse(body)?;
    kept_opaque(REQUEST, body, head.flags, |flags| request_of(head.kind, flags, rest))
}

fn request_of(kind: u16, flags: u16, rest: &[u8]) -> Decoded<Option<Message<'_>>> {
    Ok(Some(match (kind, flags) {
        (DESC, 0) => no_body(rest, Message::DescriptionRequest)?,
        (FLOW, 0) => Message::FlowStatsRequest(flow_stats_request(rest)?),
        (AGGREGATE, 0) => Message::AggregateStatsRequest(flow_stats_request(rest)?),
        (TABLE, 0) => no_body(rest, Message::TableStatsRequest)?,
        (PORT, 0) => {
            Message::PortStatsRequest { port: whole(OfpPortStatsRequest::parse(rest))?.port_no }
        }
        (QUEUE, 0) => {
            let OfpQueueStatsRequest { port_no: port, queue_id } =
                whole(OfpQueueStatsRequest::parse(rest))?;
            Message::QueueStatsRequest { port, queue_id }
        }
        (VENDOR, 0) => {
            let (body, id) = OfpExperimenter::parse(rest)?;
            let experimenter = id.experimenter;
            Message::ExperimenterStatsRequest { experimenter, body: body.into(), more: false }
        }
        _ => return Ok(None),
    }))
}

/// Decodes a reply. What the model cannot say stays opaque.
pub(super) fn reply(body: &[u8]) -> Decoded<Message<'_>> {
    let (rest, head) = OfpStats::parse(body)?;
    kept_opaque(REPLY, body, head.flags, |flags| reply_of(head.kind, flags, rest))
}

fn reply_of(kind: u16, flags: u16, rest: &[u8]) -> Decoded<Option<Message<'_>>> {
    let more = flags == MORE;
    Ok(Some(match (kind, flags) {
        (DESC, 0) => Message::DescriptionReply(Box::new(whole(OfpDesc::parse(rest))?)),
        (FLOW, 0 | MORE) => Message::FlowStatsReply { flows: list(rest, 88, flow_stats)?, more },
        (AGGREGATE, 0) => Message::AggregateStatsReply(whole(OfpAggregate::parse(rest))?),
        (TABLE, 0 | MORE) => {
            let tables = OfpTableStats::list(rest)?;
            Message::TableStatsReply { tables, more }
        }
        (PORT, 0 | MORE) => {
            let ports = OfpPortStats::list(rest)?;
            Message::PortStatsReply { ports, more }
        }
        (QUEUE, 0 | MORE) => {
            let queues = OfpQueueStats::list(rest)?;
            Message::QueueStatsReply { queues, more }
        }
        (VENDOR, 0 | MORE) => {
            let (body, id) = OfpExperimenter::parse(rest)?;
            let experimenter = id.experimenter;
            Message::ExperimenterStatsReply { experimenter, body: body.into(), more }
        }
        _ => return Ok(None),
    }))
}

fn flow_stats_request(input: &[u8]) -> Decoded<FlowStatsRequest> {
    let (rest, matches) = parse_match(input)?;
    let tail = whole(OfpFlowStatsRequest::parse(rest))?;
    Ok(FlowStatsRequest {
        table_id: tail.table_id,
        out_port: tail.out_port,
        out_group: GroupId::ANY,
        cookie: Cookie(0),
        cookie_mask: 0,
        matches,
    })
}

fn put_flow_stats_request(request: &FlowStatsRequest, out: &mut BytesMut) -> Put {
    if request.cookie_mask != 0 || request.cookie.0 != 0 || request.out_group != GroupId::ANY {
        return lacks("a cookie or group in a statistics request", V);
    }
    put_match(&request.matches, out)?;
    OfpFlowStatsRequest { table_id: request.table_id, out_port: request.out_port }.write(out)
}

fn flow_stats(input: &[u8]) -> Parsed<'_, FlowStats> {
    let (_, head) = OfpFlowStatsHead::parse(input)?;
    let (after, whole) = entry(input, 0, OfpFlowStatsHead::SIZE, "flow_stats.length")?;
    let (rest, matches) = parse_match(&whole[OfpFlowStatsHead::SIZE..])?;
    let (rest, tail) = OfpFlowStats::parse(rest)?;
    let stats = FlowStats {
        table_id: head.table_id,
        duration: tail.duration,
        priority: tail.priority,
        idle_timeout: tail.idle_timeout,
        hard_timeout: tail.hard_timeout,
        flags: FlowModFlags(0),
        cookie: tail.cookie,
        packet_count: tail.packet_count,
        byte_count: tail.byte_count,
        matches,
        instructions: instructions(rest)?,
    };
    Ok((after, stats))
}

fn put_flow_stats(flow: &FlowStats, out: &mut BytesMut) -> Put {
    if flow.flags.0 != 0 {
        return lacks("flags in flow statistics", V);
    }
    with_length(out, 0, "flow statistics", |out| {
        OfpFlowStatsHead { length: 0, table_id: flow.table_id }.write(out)?;
        put_match(&flow.matches, out)?;
        OfpFlowStats {
            duration: flow.duration,
            priority: flow.priority,
            idle_timeout: flow.idle_timeout,
            hard_timeout: flow.hard_timeout,
            cookie: flow.cookie,
            packet_count: flow.packet_count,
            byte_count: flow.byte_count,
        }
        .write(out)?;
        put_instructions(&flow.instructions, out)
    })
}

fn head(kind: u16, more: bool, out: &mut BytesMut) -> Put {
    OfpStats { kind, flags: u16::from(more) }.write(out)
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

fn put_vendor(id: u32, body: &[u8], more: bool, out: &mut BytesMut) -> Put {
    head(VENDOR, more, out)?;
    OfpExperimenter { experimenter: id }.write(out)?;
    out.put_slice(body);
    Ok(())
}

/// Encodes a statistics message; the messages before it are encoded elsewhere.
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
            head(PORT, false, out)?;
            OfpPortStatsRequest { port_no: *port }.write(out)?;
        }
        Message::QueueStatsRequest { port, queue_id } => {
            head(QUEUE, false, out)?;
            OfpQueueStatsRequest { port_no: *port, queue_id: *queue_id }.write(out)?;
        }
        Message::ExperimenterStatsRequest { experimenter, body, more: false } => {
            put_vendor(*experimenter, body, false, out)?;
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
            part(PORT, ports, *more, out, OfpPortStats::write)
        }
        Message::QueueStatsReply { queues, more } => {
            part(QUEUE, queues, *more, out, OfpQueueStats::write)
        }
        Message::ExperimenterStatsReply { experimenter, body, more } => {
            put_vendor(*experimenter, body, *more, out)
        }
        _ => lacks("this message", V),
    }
}

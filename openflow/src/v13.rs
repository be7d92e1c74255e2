//! OpenFlow 1.3 on the wire (specification 1.3.5). Pure.

use std::time::Duration;

use bytes::{BufMut, BytesMut};

use crate::codec::{ended, parse_config, parse_experimenter, put_config};
use crate::error::{Broken, EncodeError, Part, Problem};
use crate::model::{
    Action, Features, FlowMod, FlowModCommand, FlowModFlags, FlowRemoved, FlowRemovedReason,
    FlowStats, FlowStatsRequest, Instruction, MaxLen, Message, Opaque, PacketIn, PacketInReason,
    PacketOut, Port, PortConfig, PortState, PortStatus, PortStatusReason, SwitchDescription,
};
use crate::oxm;
use crate::types::{BufferId, Cookie, DatapathId, GroupId, MacAddr, PortNo, TableId, Version};
use crate::wire::{Pad, Parsed, block, fail, fixed, pad8, with_length};

/// "No packet is buffered."
pub(crate) const NO_BUFFER: u32 = 0xffff_ffff;

fixed! {
    /// `ofp_packet_in` before the match (§7.4.1).
    OfpPacketIn {
        buffer_id: u32,
        total_len: u16,
        reason: u8,
        table_id: u8,
        cookie: u64,
    }
    /// `ofp_packet_out` before the actions (§7.3.7).
    OfpPacketOut {
        buffer_id: u32,
        in_port: u32,
        actions_len: u16,
        pad: Pad<6>,
    }
    /// `ofp_flow_mod` before the match (§7.3.4.1).
    OfpFlowMod {
        cookie: u64,
        cookie_mask: u64,
        table_id: u8,
        command: u8,
        idle_timeout: u16,
        hard_timeout: u16,
        priority: u16,
        buffer_id: u32,
        out_port: u32,
        out_group: u32,
        flags: u16,
        pad: Pad<2>,
    }
    /// `ofp_flow_removed` before the match (§7.4.2).
    OfpFlowRemoved {
        cookie: u64,
        priority: u16,
        reason: u8,
        table_id: u8,
        duration_sec: u32,
        duration_nsec: u32,
        idle_timeout: u16,
        hard_timeout: u16,
        packet_count: u64,
        byte_count: u64,
    }
    /// `ofp_port` (§7.2.1).
    OfpPort {
        port_no: u32,
        pad: Pad<4>,
        hw_addr: MacAddr,
        pad2: Pad<2>,
        name: [u8; 16],
        config: u32,
        state: u32,
        curr: u32,
        advertised: u32,
        supported: u32,
        peer: u32,
        curr_speed: u32,
        max_speed: u32,
    }
    /// `ofp_port_status` before the port (§7.4.3).
    OfpPortStatus { reason: u8, pad: Pad<7>, }
    /// `ofp_switch_features` (§7.3.1).
    OfpFeatures {
        datapath_id: u64,
        n_buffers: u32,
        n_tables: u8,
        auxiliary_id: u8,
        pad: Pad<2>,
        capabilities: u32,
        reserved: u32,
    }
    /// `ofp_multipart_request` and `_reply` before the body (§7.3.5).
    OfpMultipart { kind: u16, flags: u16, pad: Pad<4>, }
    /// `ofp_desc` (§7.3.5.1); the same in 1.0.
    OfpDesc {
        mfr_desc: [u8; 256],
        hw_desc: [u8; 256],
        sw_desc: [u8; 256],
        serial_num: [u8; 32],
        dp_desc: [u8; 256],
    }
    /// `ofp_flow_stats_request` before the match (§7.3.5.2).
    OfpFlowStatsRequest {
        table_id: u8,
        pad: Pad<3>,
        out_port: u32,
        out_group: u32,
        pad2: Pad<4>,
        cookie: u64,
        cookie_mask: u64,
    }
    /// `ofp_flow_stats` before the match (§7.3.5.2).
    OfpFlowStats {
        length: u16,
        table_id: u8,
        pad: Pad<1>,
        duration_sec: u32,
        duration_nsec: u32,
        priority: u16,
        idle_timeout: u16,
        hard_timeout: u16,
        flags: u16,
        pad2: Pad<4>,
        cookie: u64,
        packet_count: u64,
        byte_count: u64,
    }
    /// The head of every action and instruction (§7.2.4, §7.2.5).
    OfpTlv { kind: u16, length: u16, }
    /// `ofp_action_output` behind its head (§7.2.5.1).
    OfpOutput { port: u32, max_len: u16, pad: Pad<6>, }
    /// Actions with one 32-bit number: group, set-queue.
    OfpWord { value: u32, }
    /// Actions with one EtherType: push and pop.
    OfpEtherType { ethertype: u16, pad: Pad<2>, }
    /// Actions with one byte: time to live.
    OfpByte { value: u8, pad: Pad<3>, }
    /// Actions with nothing but their head, and the clear-actions instruction.
    OfpNothing { pad: Pad<4>, }
    /// `ofp_instruction_write_metadata` behind its head (§7.2.4).
    OfpWriteMetadata { pad: Pad<4>, metadata: u64, metadata_mask: u64, }
}

pub(crate) fn buffer(id: u32) -> Option<BufferId> {
    (id != NO_BUFFER).then_some(BufferId(id))
}

pub(crate) fn buffer_bits(id: Option<BufferId>) -> u32 {
    id.map_or(NO_BUFFER, |id| id.0)
}

pub(crate) fn duration(sec: u32, nsec: u32) -> Option<Duration> {
    (nsec < 1_000_000_000).then(|| Duration::new(sec.into(), nsec))
}

/// Splits a duration into the wire's seconds and nanoseconds.
pub(crate) fn seconds(duration: Duration) -> Result<(u32, u32), EncodeError> {
    let sec =
        u32::try_from(duration.as_secs()).map_err(|_| EncodeError::TooLong { what: "duration" })?;
    Ok((sec, duration.subsec_nanos()))
}

pub(crate) fn decode_body(kind: u8, body: &[u8]) -> Result<Message<'_>, nom::Err<Broken>> {
    Ok(match kind {
        4 => parse_experimenter(body)?.1,
        5 => no_body(body, Message::FeaturesRequest)?,
        6 => {
            let (rest, f) = OfpFeatures::parse(body)?;
            ended(rest)?;
            Message::FeaturesReply(Features {
                dpid: DatapathId(f.datapath_id),
                n_buffers: f.n_buffers,
                n_tables: f.n_tables,
                auxiliary_id: f.auxiliary_id,
                capabilities: f.capabilities,
                actions: f.reserved,
                ports: Vec::new(),
            })
        }
        7 => no_body(body, Message::GetConfigRequest)?,
        8 | 9 => {
            let (rest, config) = parse_config(body)?;
            ended(rest)?;
            if kind == 8 { Message::GetConfigReply(config) } else { Message::SetConfig(config) }
        }
        10 => Message::PacketIn(packet_in(body)?),
        11 => flow_removed(body)?,
        12 => {
            let (rest, status) = OfpPortStatus::parse(body)?;
            let (rest, port) = port(rest)?;
            ended(rest)?;
            Message::PortStatus(PortStatus { reason: PortStatusReason(status.reason), port })
        }
        13 => packet_out(body)?,
        14 => Message::FlowMod(flow_mod(body)?),
        18 => multipart_request(body)?,
        19 => multipart_reply(body)?,
        20 => no_body(body, Message::BarrierRequest)?,
        21 => no_body(body, Message::BarrierReply)?,
        kind => Message::Opaque(Opaque { kind, body: body.into() }),
    })
}

pub(crate) fn no_body<'a>(
    body: &[u8],
    message: Message<'a>,
) -> Result<Message<'a>, nom::Err<Broken>> {
    ended(body)?;
    Ok(message)
}

/// Allocates nothing: the match stays as bytes, the frame is borrowed.
#[inline]
fn packet_in(body: &[u8]) -> Result<PacketIn<'_>, nom::Err<Broken>> {
    let (rest, p) = OfpPacketIn::parse(body)?;
    let match_at = rest;
    let (rest, list) = oxm::match_list(rest)?;
    let (data, _) = block(2, "pad", rest)?;
    // The ingress port comes first almost always; alone, it needs no list.
    let (in_port, pipeline): (_, &[u8]) = match list {
        [0x80, 0x00, 0x00, 0x04, a, b, c, d] => (u32::from_be_bytes([*a, *b, *c, *d]), &[]),
        list => {
            let in_port = oxm::Oxms::new(list).find(|o| o.class == 0x8000 && o.field == 0);
            match in_port.map(|o| <[u8; 4]>::try_from(o.body)) {
                Some(Ok(bytes)) => (u32::from_be_bytes(bytes), list),
                _ => {
                    return fail(match_at, "match.in_port", Problem::Value(0))
                        .map_err(|e: nom::Err<Broken>| e.map(|e| e.in_part(Part::Match)));
                }
            }
        }
    };
    Ok(PacketIn {
        buffer_id: buffer(p.buffer_id),
        total_len: p.total_len,
        in_port: PortNo(in_port),
        reason: PacketInReason(p.reason),
        table_id: TableId(p.table_id),
        cookie: Cookie(p.cookie),
        pipeline: pipeline.into(),
        data: data.into(),
    })
}

fn packet_out(body: &[u8]) -> Result<Message<'_>, nom::Err<Broken>> {
    let (rest, p) = OfpPacketOut::parse(body)?;
    let (data, list) = block(p.actions_len.into(), "actions_len", rest)?;
    Ok(Message::PacketOut(PacketOut {
        buffer_id: buffer(p.buffer_id),
        in_port: PortNo(p.in_port),
        actions: actions(list)?,
        data: data.into(),
    }))
}

fn flow_mod(body: &[u8]) -> Result<FlowMod, nom::Err<Broken>> {
    let (rest, f) = OfpFlowMod::parse(body)?;
    let (rest, matches) = oxm::parse_match(rest)?;
    Ok(FlowMod {
        cookie: Cookie(f.cookie),
        cookie_mask: f.cookie_mask,
        table_id: TableId(f.table_id),
        command: FlowModCommand(f.command),
        idle_timeout: f.idle_timeout,
        hard_timeout: f.hard_timeout,
        priority: f.priority,
        buffer_id: buffer(f.buffer_id),
        out_port: PortNo(f.out_port),
        out_group: GroupId(f.out_group),
        flags: FlowModFlags(f.flags),
        matches,
        instructions: instructions(rest)?,
    })
}

fn flow_removed(body: &[u8]) -> Result<Message<'_>, nom::Err<Broken>> {
    let (rest, f) = OfpFlowRemoved::parse(body)?;
    let (rest, matches) = oxm::parse_match(rest)?;
    ended(rest)?;
    let Some(duration) = duration(f.duration_sec, f.duration_nsec) else {
        return fail(&body[16..], "duration_nsec", Problem::Value(f.duration_nsec.into()));
    };
    Ok(Message::FlowRemoved(FlowRemoved {
        cookie: Cookie(f.cookie),
        priority: f.priority,
        reason: FlowRemovedReason(f.reason),
        table_id: TableId(f.table_id),
        duration,
        idle_timeout: f.idle_timeout,
        hard_timeout: f.hard_timeout,
        packet_count: f.packet_count,
        byte_count: f.byte_count,
        matches,
    }))
}

fn port(input: &[u8]) -> Parsed<'_, Port> {
    let (rest, p) = OfpPort::parse(input)?;
    let port = Port {
        port_no: PortNo(p.port_no),
        hw_addr: p.hw_addr,
        name: p.name,
        config: PortConfig(p.config),
        state: PortState(p.state),
        curr: p.curr,
        advertised: p.advertised,
        supported: p.supported,
        peer: p.peer,
        curr_speed: p.curr_speed,
        max_speed: p.max_speed,
    };
    Ok((rest, port))
}

fn put_port(port: &Port, out: &mut BytesMut) {
    OfpPort {
        port_no: port.port_no.0,
        pad: Pad,
        hw_addr: port.hw_addr,
        pad2: Pad,
        name: port.name,
        config: port.config.0,
        state: port.state.0,
        curr: port.curr,
        advertised: port.advertised,
        supported: port.supported,
        peer: port.peer,
        curr_speed: port.curr_speed,
        max_speed: port.max_speed,
    }
    .write(out);
}

// ---- multipart (§7.3.5) ----

const DESC: u16 = 0;
const FLOW: u16 = 1;
const PORT_DESC: u16 = 13;
const MORE: u16 = 1;

fn multipart_request(body: &[u8]) -> Result<Message<'_>, nom::Err<Broken>> {
    let (rest, m) = OfpMultipart::parse(body)?;
    Ok(match (m.kind, m.flags) {
        (DESC, 0) => no_body(rest, Message::DescriptionRequest)?,
        (PORT_DESC, 0) => no_body(rest, Message::PortDescriptionRequest)?,
        (FLOW, 0) => {
            let (rest, f) = OfpFlowStatsRequest::parse(rest)?;
            let (rest, matches) = oxm::parse_match(rest)?;
            ended(rest)?;
            Message::FlowStatsRequest(FlowStatsRequest {
                table_id: TableId(f.table_id),
                out_port: PortNo(f.out_port),
                out_group: GroupId(f.out_group),
                cookie: Cookie(f.cookie),
                cookie_mask: f.cookie_mask,
                matches,
            })
        }
        _ => Message::Opaque(Opaque { kind: 18, body: body.into() }),
    })
}

fn multipart_reply(body: &[u8]) -> Result<Message<'_>, nom::Err<Broken>> {
    let (rest, m) = OfpMultipart::parse(body)?;
    let more = m.flags & MORE != 0;
    Ok(match (m.kind, m.flags) {
        (DESC, 0) => {
            let (rest, d) = OfpDesc::parse(rest)?;
            ended(rest)?;
            Message::DescriptionReply(Box::new(description(&d)))
        }
        (PORT_DESC, 0 | MORE) => {
            let mut ports = Vec::with_capacity(rest.len() / OfpPort::SIZE);
            let mut rest = rest;
            while !rest.is_empty() {
                let (after, p) = port(rest)?;
                ports.push(p);
                rest = after;
            }
            Message::PortDescriptionReply { ports, more }
        }
        (FLOW, 0 | MORE) => {
            let mut flows = Vec::new();
            let mut rest = rest;
            while !rest.is_empty() {
                let (after, f) = flow_stats(rest)?;
                flows.push(f);
                rest = after;
            }
            Message::FlowStatsReply { flows, more }
        }
        _ => Message::Opaque(Opaque { kind: 19, body: body.into() }),
    })
}

pub(crate) fn description(d: &OfpDesc) -> SwitchDescription {
    SwitchDescription {
        manufacturer: d.mfr_desc,
        hardware: d.hw_desc,
        software: d.sw_desc,
        serial_number: d.serial_num,
        datapath: d.dp_desc,
    }
}

pub(crate) fn put_description(d: &SwitchDescription, out: &mut BytesMut) {
    OfpDesc {
        mfr_desc: d.manufacturer,
        hw_desc: d.hardware,
        sw_desc: d.software,
        serial_num: d.serial_number,
        dp_desc: d.datapath,
    }
    .write(out);
}

fn flow_stats(input: &[u8]) -> Parsed<'_, FlowStats> {
    let (_, f) = OfpFlowStats::parse(input)?;
    let length = usize::from(f.length);
    if length < OfpFlowStats::SIZE || length > input.len() {
        return fail(input, "flow_stats.length", Problem::Length(f.length.into()));
    }
    let (after, entry) = (&input[length..], &input[OfpFlowStats::SIZE..length]);
    let (rest, matches) = oxm::parse_match(entry)?;
    let Some(duration) = duration(f.duration_sec, f.duration_nsec) else {
        return fail(&input[8..], "duration_nsec", Problem::Value(f.duration_nsec.into()));
    };
    let stats = FlowStats {
        table_id: TableId(f.table_id),
        duration,
        priority: f.priority,
        idle_timeout: f.idle_timeout,
        hard_timeout: f.hard_timeout,
        flags: FlowModFlags(f.flags),
        cookie: Cookie(f.cookie),
        packet_count: f.packet_count,
        byte_count: f.byte_count,
        matches,
        instructions: instructions(rest)?,
    };
    Ok((after, stats))
}

fn put_flow_stats(f: &FlowStats, out: &mut BytesMut) -> Result<(), EncodeError> {
    let (duration_sec, duration_nsec) = seconds(f.duration)?;
    with_length(out, 0, "flow statistics", |out| {
        OfpFlowStats {
            length: 0,
            table_id: f.table_id.0,
            pad: Pad,
            duration_sec,
            duration_nsec,
            priority: f.priority,
            idle_timeout: f.idle_timeout,
            hard_timeout: f.hard_timeout,
            flags: f.flags.0,
            pad2: Pad,
            cookie: f.cookie.0,
            packet_count: f.packet_count,
            byte_count: f.byte_count,
        }
        .write(out);
        oxm::put_match(&f.matches, out)?;
        put_instructions(&f.instructions, out)
    })
}

// ---- actions (§7.2.5) and instructions (§7.2.4) ----

/// The body of a TLV of 16-bit kind and length, whose length is a multiple of 8.
pub(crate) fn tlv<'a>(
    input: &'a [u8],
    field: &'static str,
    part: Part,
) -> Parsed<'a, (u16, &'a [u8])> {
    let in_part = |e: nom::Err<Broken>| e.map(|e| e.in_part(part));
    let (_, head) = OfpTlv::parse(input).map_err(in_part)?;
    let length = usize::from(head.length);
    if length < 8 || length % 8 != 0 || length > input.len() {
        return fail(&input[2..], field, Problem::Length(head.length.into())).map_err(in_part);
    }
    Ok((&input[length..], (head.kind, &input[OfpTlv::SIZE..length])))
}

pub(crate) fn actions(list: &[u8]) -> Result<Vec<Action>, nom::Err<Broken>> {
    let mut actions = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let (after, (kind, body)) = tlv(rest, "action.len", Part::Action)?;
        actions.push(action(kind, body).map_err(|e| e.map(|e| e.in_part(Part::Action)))?);
        rest = after;
    }
    Ok(actions)
}

/// Reads a body that is exactly one fixed structure.
macro_rules! whole {
    ($fixed:ident, $body:expr) => {{
        let (rest, value) = $fixed::parse($body)?;
        ended(rest)?;
        value
    }};
}

fn action(kind: u16, body: &[u8]) -> Result<Action, nom::Err<Broken>> {
    macro_rules! nothing {
        ($action:expr) => {{
            whole!(OfpNothing, body);
            $action
        }};
    }
    Ok(match kind {
        0 => {
            let o = whole!(OfpOutput, body);
            Action::Output { port: PortNo(o.port), max_len: MaxLen(o.max_len) }
        }
        11 => nothing!(Action::CopyTtlOut),
        12 => nothing!(Action::CopyTtlIn),
        15 => Action::SetMplsTtl(whole!(OfpByte, body).value),
        16 => nothing!(Action::DecMplsTtl),
        17 => Action::PushVlan(whole!(OfpEtherType, body).ethertype),
        18 => nothing!(Action::PopVlan),
        19 => Action::PushMpls(whole!(OfpEtherType, body).ethertype),
        20 => Action::PopMpls(whole!(OfpEtherType, body).ethertype),
        21 => Action::SetQueue(whole!(OfpWord, body).value),
        22 => Action::Group(GroupId(whole!(OfpWord, body).value)),
        23 => Action::SetNwTtl(whole!(OfpByte, body).value),
        24 => nothing!(Action::DecNwTtl),
        25 => {
            let (rest, field) = oxm::parse_field(body)?;
            // A set-field action has no mask and exactly the padding it needs.
            if rest.len() >= 8 {
                return fail(rest, "set_field.len", Problem::Trailing(rest.len() as u32));
            }
            Action::SetField(field)
        }
        26 => Action::PushPbb(whole!(OfpEtherType, body).ethertype),
        27 => nothing!(Action::PopPbb),
        kind => Action::Raw { kind, body: body.to_vec() },
    })
}

pub(crate) fn put_raw_tlv(
    kind: u16,
    body: &[u8],
    what: &'static str,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let length = OfpTlv::SIZE + body.len();
    let length = u16::try_from(length)
        .ok()
        .filter(|length| length % 8 == 0 && *length >= 8)
        .ok_or(EncodeError::TooLong { what })?;
    OfpTlv { kind, length }.write(out);
    out.put_slice(body);
    Ok(())
}

pub(crate) fn put_actions(list: &[Action], out: &mut BytesMut) -> Result<(), EncodeError> {
    list.iter().try_for_each(|action| put_action(action, out))
}

fn put_action(action: &Action, out: &mut BytesMut) -> Result<(), EncodeError> {
    let lacks = |what| Err(EncodeError::Inexpressible { what, version: Version::V1_3 });
    macro_rules! put {
        ($kind:literal, $fixed:ident { $($field:ident: $value:expr),* }) => {{
            OfpTlv { kind: $kind, length: (OfpTlv::SIZE + $fixed::SIZE) as u16 }.write(out);
            $fixed { $($field: $value),* }.write(out);
        }};
    }
    match action {
        Action::Output { port, max_len } => {
            put!(0, OfpOutput { port: port.0, max_len: max_len.0, pad: Pad });
        }
        Action::CopyTtlOut => put!(11, OfpNothing { pad: Pad }),
        Action::CopyTtlIn => put!(12, OfpNothing { pad: Pad }),
        Action::SetMplsTtl(value) => put!(15, OfpByte { value: *value, pad: Pad }),
        Action::DecMplsTtl => put!(16, OfpNothing { pad: Pad }),
        Action::PushVlan(t) => put!(17, OfpEtherType { ethertype: *t, pad: Pad }),
        Action::PopVlan => put!(18, OfpNothing { pad: Pad }),
        Action::PushMpls(t) => put!(19, OfpEtherType { ethertype: *t, pad: Pad }),
        Action::PopMpls(t) => put!(20, OfpEtherType { ethertype: *t, pad: Pad }),
        Action::SetQueue(value) => put!(21, OfpWord { value: *value }),
        Action::Group(group) => put!(22, OfpWord { value: group.0 }),
        Action::SetNwTtl(value) => put!(23, OfpByte { value: *value, pad: Pad }),
        Action::DecNwTtl => put!(24, OfpNothing { pad: Pad }),
        Action::SetField(field) => with_length(out, 2, "set-field", |out| {
            let start = out.len();
            OfpTlv { kind: 25, length: 0 }.write(out);
            oxm::put_field(field, out)?;
            pad8(out, start);
            Ok(())
        })?,
        Action::PushPbb(t) => put!(26, OfpEtherType { ethertype: *t, pad: Pad }),
        Action::PopPbb => put!(27, OfpNothing { pad: Pad }),
        Action::Raw { kind, body } => put_raw_tlv(*kind, body, "action", out)?,
        Action::SetVlanVid(_) => return lacks("set-vlan-vid"),
        Action::SetVlanPcp(_) => return lacks("set-vlan-pcp"),
        Action::Enqueue { .. } => return lacks("enqueue"),
    }
    Ok(())
}

fn instructions(list: &[u8]) -> Result<Vec<Instruction>, nom::Err<Broken>> {
    let mut instructions = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let (after, (kind, body)) = tlv(rest, "instruction.len", Part::Instruction)?;
        instructions.push(instruction(kind, body).map_err(|e| {
            e.map(|e| if e.part == Part::Request { e.in_part(Part::Instruction) } else { e })
        })?);
        rest = after;
    }
    Ok(instructions)
}

fn instruction(kind: u16, body: &[u8]) -> Result<Instruction, nom::Err<Broken>> {
    Ok(match kind {
        1 => Instruction::Goto(TableId(whole!(OfpByte, body).value)),
        2 => {
            let w = whole!(OfpWriteMetadata, body);
            Instruction::WriteMetadata { metadata: w.metadata, mask: w.metadata_mask }
        }
        3 => Instruction::Write(actions(&body[4..])?),
        4 => Instruction::Apply(actions(&body[4..])?),
        5 => {
            whole!(OfpNothing, body);
            Instruction::Clear
        }
        6 => Instruction::Meter(whole!(OfpWord, body).value),
        kind => Instruction::Raw { kind, body: body.to_vec() },
    })
}

fn put_instructions(list: &[Instruction], out: &mut BytesMut) -> Result<(), EncodeError> {
    for instruction in list {
        with_length(out, 2, "instruction", |out| {
            let mut head = |kind| OfpTlv { kind, length: 0 }.write(out);
            match instruction {
                Instruction::Goto(table) => {
                    head(1);
                    OfpByte { value: table.0, pad: Pad }.write(out);
                }
                Instruction::WriteMetadata { metadata, mask } => {
                    head(2);
                    let (metadata, metadata_mask) = (*metadata, *mask);
                    OfpWriteMetadata { pad: Pad, metadata, metadata_mask }.write(out);
                }
                Instruction::Write(actions) => {
                    head(3);
                    out.put_u32(0);
                    put_actions(actions, out)?;
                }
                Instruction::Apply(actions) => {
                    head(4);
                    out.put_u32(0);
                    put_actions(actions, out)?;
                }
                Instruction::Clear => {
                    head(5);
                    out.put_u32(0);
                }
                Instruction::Meter(meter) => {
                    head(6);
                    out.put_u32(*meter);
                }
                Instruction::Raw { kind, body } => put_raw_tlv(*kind, body, "instruction", out)?,
            }
            Ok(())
        })?;
    }
    Ok(())
}

// ---- encode ----

pub(crate) fn encode_body(message: &Message<'_>, out: &mut BytesMut) -> Result<u8, EncodeError> {
    Ok(match message {
        Message::Experimenter { experimenter, body } => {
            out.put_u32(*experimenter);
            out.put_slice(body);
            4
        }
        Message::FeaturesRequest => 5,
        Message::FeaturesReply(f) => {
            if !f.ports.is_empty() {
                let what = "a port list in the features reply";
                return Err(EncodeError::Inexpressible { what, version: Version::V1_3 });
            }
            OfpFeatures {
                datapath_id: f.dpid.0,
                n_buffers: f.n_buffers,
                n_tables: f.n_tables,
                auxiliary_id: f.auxiliary_id,
                pad: Pad,
                capabilities: f.capabilities,
                reserved: f.actions,
            }
            .write(out);
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
            OfpPacketIn {
                buffer_id: buffer_bits(p.buffer_id),
                total_len: p.total_len,
                reason: p.reason.0,
                table_id: p.table_id.0,
                cookie: p.cookie.0,
            }
            .write(out);
            if p.pipeline.is_empty() {
                let mut list = [0x80, 0, 0, 4, 0, 0, 0, 0];
                list[4..].copy_from_slice(&p.in_port.0.to_be_bytes());
                oxm::put_match_list(&list, out)?;
            } else {
                oxm::put_match_list(&p.pipeline, out)?;
            }
            out.put_u16(0);
            out.put_slice(&p.data);
            10
        }
        Message::FlowRemoved(f) => {
            let (duration_sec, duration_nsec) = seconds(f.duration)?;
            OfpFlowRemoved {
                cookie: f.cookie.0,
                priority: f.priority,
                reason: f.reason.0,
                table_id: f.table_id.0,
                duration_sec,
                duration_nsec,
                idle_timeout: f.idle_timeout,
                hard_timeout: f.hard_timeout,
                packet_count: f.packet_count,
                byte_count: f.byte_count,
            }
            .write(out);
            oxm::put_match(&f.matches, out)?;
            11
        }
        Message::PortStatus(status) => {
            OfpPortStatus { reason: status.reason.0, pad: Pad }.write(out);
            put_port(&status.port, out);
            12
        }
        Message::PacketOut(p) => {
            let at = out.len() + 8;
            OfpPacketOut {
                buffer_id: buffer_bits(p.buffer_id),
                in_port: p.in_port.0,
                actions_len: 0,
                pad: Pad,
            }
            .write(out);
            let start = out.len();
            put_actions(&p.actions, out)?;
            let length = u16::try_from(out.len() - start)
                .map_err(|_| EncodeError::TooLong { what: "action list" })?;
            out[at..at + 2].copy_from_slice(&length.to_be_bytes());
            out.put_slice(&p.data);
            13
        }
        Message::FlowMod(f) => {
            OfpFlowMod {
                cookie: f.cookie.0,
                cookie_mask: f.cookie_mask,
                table_id: f.table_id.0,
                command: f.command.0,
                idle_timeout: f.idle_timeout,
                hard_timeout: f.hard_timeout,
                priority: f.priority,
                buffer_id: buffer_bits(f.buffer_id),
                out_port: f.out_port.0,
                out_group: f.out_group.0,
                flags: f.flags.0,
                pad: Pad,
            }
            .write(out);
            oxm::put_match(&f.matches, out)?;
            put_instructions(&f.instructions, out)?;
            14
        }
        Message::DescriptionRequest => multipart(18, DESC, 0, out),
        Message::PortDescriptionRequest => multipart(18, PORT_DESC, 0, out),
        Message::FlowStatsRequest(f) => {
            let kind = multipart(18, FLOW, 0, out);
            OfpFlowStatsRequest {
                table_id: f.table_id.0,
                pad: Pad,
                out_port: f.out_port.0,
                out_group: f.out_group.0,
                pad2: Pad,
                cookie: f.cookie.0,
                cookie_mask: f.cookie_mask,
            }
            .write(out);
            oxm::put_match(&f.matches, out)?;
            kind
        }
        Message::DescriptionReply(d) => {
            let kind = multipart(19, DESC, 0, out);
            put_description(d, out);
            kind
        }
        Message::PortDescriptionReply { ports, more } => {
            let kind = multipart(19, PORT_DESC, u16::from(*more), out);
            ports.iter().for_each(|port| put_port(port, out));
            kind
        }
        Message::FlowStatsReply { flows, more } => {
            let kind = multipart(19, FLOW, u16::from(*more), out);
            flows.iter().try_for_each(|flow| put_flow_stats(flow, out))?;
            kind
        }
        Message::BarrierRequest => 20,
        Message::BarrierReply => 21,
        Message::Hello(_)
        | Message::Error(_)
        | Message::EchoRequest(_)
        | Message::EchoReply(_)
        | Message::Opaque(_) => {
            let what = "a message common to all versions";
            return Err(EncodeError::Inexpressible { what, version: Version::V1_3 });
        }
    })
}

fn multipart(message: u8, kind: u16, flags: u16, out: &mut BytesMut) -> u8 {
    OfpMultipart { kind, flags, pad: Pad }.write(out);
    message
}

//! Actions and instructions of 1.3 (1.3.5 §7.2.4, §7.2.5). Pure.

use bytes::{BufMut, BytesMut};

use super::oxm;
use crate::common::{OfpTlv, put_raw_tlv, tlv};
use crate::error::{EncodeError, Part, Problem};
use crate::model::{Action, Actions, Instruction, Instructions, MaxLen};
use crate::types::{GroupId, PortNo, TableId, Version};
use crate::wire::{Decoded, Put, fail, fixed, list, pad8, whole, with_length, within};

fixed! {
    /// `ofp_action_output` behind its head (§7.2.5.1).
    OfpOutput { port: PortNo, max_len: u16, [6], }
    /// Actions with one 32-bit number: set-queue.
    OfpWord { value: u32, }
    /// `ofp_action_group` behind its head.
    OfpGroup { group_id: GroupId, }
    /// Actions with one EtherType: push and pop.
    OfpEtherType { ethertype: u16, [2], }
    /// Actions with one byte: time to live.
    OfpByte { value: u8, [3], }
    /// `ofp_instruction_goto_table` behind its head.
    OfpGoto { table_id: TableId, [3], }
    /// Actions with nothing but their head, and the clear-actions instruction.
    OfpNothing { [4], }
    /// `ofp_instruction_write_metadata` behind its head (§7.2.4).
    OfpWriteMetadata { [4], metadata: u64, metadata_mask: u64, }
    /// `ofp_instruction_actions` behind its head, before the actions.
    OfpActions { [4], }
}

/// Decodes an action list up to its end.
pub(crate) fn actions(input: &[u8]) -> Decoded<Actions> {
    list(input, 8, |at| {
        let (rest, (kind, body)) = tlv(at, "action.len").map_err(within(Part::Action))?;
        Ok((rest, action(kind, body).map_err(within(Part::Action))?))
    })
    .map(Actions::from)
}

fn action(kind: u16, body: &[u8]) -> Decoded<Action> {
    let nothing = |action| whole(OfpNothing::parse(body)).map(|_| action);
    let byte = || whole(OfpByte::parse(body)).map(|b| b.value);
    let ethertype = || whole(OfpEtherType::parse(body)).map(|e| e.ethertype);
    Ok(match kind {
        0 => {
            let output = whole(OfpOutput::parse(body))?;
            Action::Output { port: output.port, max_len: MaxLen(output.max_len) }
        }
        11 => nothing(Action::CopyTtlOut)?,
        12 => nothing(Action::CopyTtlIn)?,
        15 => Action::SetMplsTtl(byte()?),
        16 => nothing(Action::DecMplsTtl)?,
        17 => Action::PushVlan(ethertype()?),
        18 => nothing(Action::PopVlan)?,
        19 => Action::PushMpls(ethertype()?),
        20 => Action::PopMpls(ethertype()?),
        21 => Action::SetQueue(whole(OfpWord::parse(body))?.value),
        22 => Action::Group(whole(OfpGroup::parse(body))?.group_id),
        23 => Action::SetNwTtl(byte()?),
        24 => nothing(Action::DecNwTtl)?,
        25 => {
            let (rest, field) = oxm::parse_field(body).map_err(within(Part::SetField))?;
            // Exactly the padding that it needs.
            if rest.len() >= 8 {
                let problem = Problem::Trailing(rest.len() as u32);
                return fail(rest, "set_field.len", problem).map_err(within(Part::SetField));
            }
            Action::SetField(field)
        }
        26 => Action::PushPbb(ethertype()?),
        27 => nothing(Action::PopPbb)?,
        kind => Action::raw(kind, body.to_vec()),
    })
}

#[inline(always)]
pub(crate) fn put_actions(list: &[Action], out: &mut BytesMut) -> Put {
    for action in list {
        // Most lists are outputs alone: they go the shortest way.
        match action {
            Action::Output { port, max_len } => put_output(*port, *max_len, out)?,
            action => put_action(action, out)?,
        }
    }
    Ok(())
}

#[inline(always)]
fn put_output(port: PortNo, max_len: MaxLen, out: &mut BytesMut) -> Put {
    let mut block = [0; OfpTlv::SIZE + OfpOutput::SIZE];
    OfpTlv { kind: 0, length: block.len() as u16 }.fill(&mut block)?;
    OfpOutput { port, max_len: max_len.0 }.fill(&mut block[OfpTlv::SIZE..])?;
    out.put_slice(&block);
    Ok(())
}

#[inline(never)]
fn put_action(action: &Action, out: &mut BytesMut) -> Put {
    let lacks = |what| Err(EncodeError::Inexpressible { what, version: Version::V1_3 });
    macro_rules! put {
        ($kind:literal, $fixed:ident { $($field:ident: $value:expr),* }) => {{
            const LENGTH: usize = OfpTlv::SIZE + $fixed::SIZE;
            let mut block = [0; LENGTH];
            OfpTlv { kind: $kind, length: LENGTH as u16 }.fill(&mut block)?;
            $fixed { $($field: $value),* }.fill(&mut block[OfpTlv::SIZE..])?;
            out.put_slice(&block);
            Ok(())
        }};
    }
    match action {
        Action::Output { port, max_len } => put_output(*port, *max_len, out),
        Action::CopyTtlOut => put!(11, OfpNothing {}),
        Action::CopyTtlIn => put!(12, OfpNothing {}),
        Action::SetMplsTtl(ttl) => put!(15, OfpByte { value: *ttl }),
        Action::DecMplsTtl => put!(16, OfpNothing {}),
        Action::PushVlan(ethertype) => put!(17, OfpEtherType { ethertype: *ethertype }),
        Action::PopVlan => put!(18, OfpNothing {}),
        Action::PushMpls(ethertype) => put!(19, OfpEtherType { ethertype: *ethertype }),
        Action::PopMpls(ethertype) => put!(20, OfpEtherType { ethertype: *ethertype }),
        Action::SetQueue(queue) => put!(21, OfpWord { value: *queue }),
        Action::Group(group_id) => put!(22, OfpGroup { group_id: *group_id }),
        Action::SetNwTtl(ttl) => put!(23, OfpByte { value: *ttl }),
        Action::DecNwTtl => put!(24, OfpNothing {}),
        Action::SetField(field) => with_length(out, 2, "set-field", |out| {
            let start = out.len();
            OfpTlv { kind: 25, length: 0 }.write(out)?;
            oxm::put_field(field, out)?;
            pad8(out, start);
            Ok(())
        }),
        Action::PushPbb(ethertype) => put!(26, OfpEtherType { ethertype: *ethertype }),
        Action::PopPbb => put!(27, OfpNothing {}),
        Action::Raw(raw) => put_raw_tlv(raw.kind, &raw.body, "action", out),
        Action::SetVlanVid(_) => lacks("set-vlan-vid"),
        Action::SetVlanPcp(_) => lacks("set-vlan-pcp"),
        Action::Enqueue { .. } => lacks("enqueue"),
    }
}

/// Decodes an instruction list up to its end.
pub(crate) fn instructions(input: &[u8]) -> Decoded<Instructions> {
    list(input, 8, |at| {
        let (rest, (kind, body)) = tlv(at, "instruction.len").map_err(within(Part::Instruction))?;
        Ok((rest, instruction(kind, body).map_err(within(Part::Instruction))?))
    })
    .map(Instructions::from)
}

fn instruction(kind: u16, body: &[u8]) -> Decoded<Instruction> {
    Ok(match kind {
        1 => Instruction::Goto(whole(OfpGoto::parse(body))?.table_id),
        2 => {
            let write = whole(OfpWriteMetadata::parse(body))?;
            Instruction::WriteMetadata { metadata: write.metadata, mask: write.metadata_mask }
        }
        3 => Instruction::Write(actions(OfpActions::parse(body)?.0)?),
        4 => Instruction::Apply(actions(OfpActions::parse(body)?.0)?),
        5 => {
            whole(OfpNothing::parse(body))?;
            Instruction::Clear
        }
        6 => Instruction::Meter(whole(OfpWord::parse(body))?.value),
        kind => Instruction::Raw { kind, body: body.to_vec() },
    })
}

#[inline(always)]
pub(crate) fn put_instructions(list: &[Instruction], out: &mut BytesMut) -> Put {
    for instruction in list {
        with_length(out, 2, "instruction", |out| match instruction {
            // Most lists are this one alone.
            Instruction::Apply(actions) => put_apply(actions, out),
            instruction => put_instruction(instruction, out),
        })?;
    }
    Ok(())
}

#[inline(always)]
fn put_apply(actions: &[Action], out: &mut BytesMut) -> Put {
    let mut block = [0; OfpTlv::SIZE + OfpActions::SIZE];
    OfpTlv { kind: 4, length: 0 }.fill(&mut block)?;
    out.put_slice(&block);
    put_actions(actions, out)
}

#[inline(never)]
fn put_instruction(instruction: &Instruction, out: &mut BytesMut) -> Put {
    let head = |kind, out: &mut BytesMut| OfpTlv { kind, length: 0 }.write(out);
    match instruction {
        Instruction::Goto(table_id) => {
            head(1, out)?;
            OfpGoto { table_id: *table_id }.write(out)
        }
        Instruction::WriteMetadata { metadata, mask } => {
            head(2, out)?;
            OfpWriteMetadata { metadata: *metadata, metadata_mask: *mask }.write(out)
        }
        Instruction::Write(actions) => {
            head(3, out)?;
            OfpActions {}.write(out)?;
            put_actions(actions, out)
        }
        Instruction::Apply(actions) => put_apply(actions, out),
        Instruction::Clear => {
            head(5, out)?;
            OfpNothing {}.write(out)
        }
        Instruction::Meter(meter) => {
            head(6, out)?;
            out.put_u32(*meter);
            Ok(())
        }
        Instruction::Raw { kind, body } => put_raw_tlv(*kind, body, "instruction", out),
    }
}

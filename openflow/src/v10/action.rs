//! Actions of 1.0 (1.0 §5.2.4). Pure.

use std::net::Ipv4Addr;

use bytes::{BufMut, BytesMut};

use crate::common::{OfpTlv, lacks, put_raw_tlv, tlv};
use crate::error::{EncodeError, Part};
use crate::model::{Action, Actions, Instruction, Instructions, Masked, MatchField, MaxLen};
use crate::types::{MacAddr, PortNo, Version};
use crate::wire::{Decoded, Port16, Put, fixed, list, whole, within};

use super::matching::{MAX_PCP, MAX_VID};

fixed! {
    /// `ofp_action_output` behind its head.
    OfpOutput { port: Port16, max_len: u16, }
    /// `ofp_action_vlan_vid`, `ofp_action_tp_port` behind their head.
    OfpHalf { value: u16, [2], }
    /// `ofp_action_vlan_pcp`, `ofp_action_nw_tos` behind their head.
    OfpByte { value: u8, [3], }
    /// `ofp_action_nw_addr` behind its head.
    OfpNwAddr { value: Ipv4Addr, }
    /// `ofp_action_dl_addr` behind its head.
    OfpDlAddr { value: MacAddr, [6], }
    /// Actions with nothing but their head: strip-VLAN.
    OfpNothing { [4], }
    /// `ofp_action_enqueue` behind its head.
    OfpEnqueue { port: Port16, [6], queue_id: u32, }
}

/// Decodes an action list up to its end.
pub(super) fn actions(input: &[u8]) -> Decoded<Actions> {
    list(input, 8, |at| {
        let (rest, (kind, body)) = tlv(at, "action.len").map_err(within(Part::Action))?;
        Ok((rest, action(kind, body).map_err(within(Part::Action))?))
    })
    .map(Actions::from)
}

fn action(kind: u16, body: &[u8]) -> Decoded<Action> {
    let set = Action::SetField;
    let half = || whole(OfpHalf::parse(body)).map(|half| half.value);
    let byte = || whole(OfpByte::parse(body)).map(|byte| byte.value);
    let dl_addr = || whole(OfpDlAddr::parse(body)).map(|addr| addr.value.into());
    let nw_addr = || whole(OfpNwAddr::parse(body)).map(|addr| addr.value.into());
    Ok(match kind {
        0 => {
            let output = whole(OfpOutput::parse(body))?;
            Action::Output { port: output.port, max_len: MaxLen(output.max_len) }
        }
        // Numbers that no tag has room for survive as they came.
        1 => match half()? {
            vid @ ..=MAX_VID => Action::SetVlanVid(vid),
            _ => Action::raw(kind, body.to_vec()),
        },
        2 => match byte()? {
            pcp @ ..=MAX_PCP => Action::SetVlanPcp(pcp),
            _ => Action::raw(kind, body.to_vec()),
        },
        3 => {
            whole(OfpNothing::parse(body))?;
            Action::PopVlan
        }
        4 => set(MatchField::EthSrc(dl_addr()?)),
        5 => set(MatchField::EthDst(dl_addr()?)),
        6 => set(MatchField::Ipv4Src(nw_addr()?)),
        7 => set(MatchField::Ipv4Dst(nw_addr()?)),
        8 => match byte()? {
            tos if tos & 3 == 0 => set(MatchField::IpDscp(tos >> 2)),
            // Bits of ECN, which this action may not set.
            _ => Action::raw(kind, body.to_vec()),
        },
        9 => set(MatchField::TpSrc(half()?)),
        10 => set(MatchField::TpDst(half()?)),
        11 => {
            let enqueue = whole(OfpEnqueue::parse(body))?;
            Action::Enqueue { port: enqueue.port, queue_id: enqueue.queue_id }
        }
        kind => Action::raw(kind, body.to_vec()),
    })
}

#[inline(always)]
pub(super) fn put_actions(list: &[Action], out: &mut BytesMut) -> Put {
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
        Action::SetVlanVid(vid @ ..=MAX_VID) => put!(1, OfpHalf { value: *vid }),
        Action::SetVlanVid(_) => Err(EncodeError::Value { what: "SetVlanVid" }),
        Action::SetVlanPcp(pcp @ ..=MAX_PCP) => put!(2, OfpByte { value: *pcp }),
        Action::SetVlanPcp(_) => Err(EncodeError::Value { what: "SetVlanPcp" }),
        Action::PopVlan => put!(3, OfpNothing {}),
        Action::SetField(field) => match field {
            MatchField::EthSrc(Masked { value, mask: None }) => {
                put!(4, OfpDlAddr { value: *value })
            }
            MatchField::EthDst(Masked { value, mask: None }) => {
                put!(5, OfpDlAddr { value: *value })
            }
            MatchField::Ipv4Src(Masked { value, mask: None }) => {
                put!(6, OfpNwAddr { value: *value })
            }
            MatchField::Ipv4Dst(Masked { value, mask: None }) => {
                put!(7, OfpNwAddr { value: *value })
            }
            MatchField::IpDscp(dscp @ ..64) => put!(8, OfpByte { value: dscp << 2 }),
            MatchField::IpDscp(_) => Err(EncodeError::Value { what: "IpDscp" }),
            MatchField::TpSrc(port) | MatchField::TcpSrc(port) | MatchField::UdpSrc(port) => {
                put!(9, OfpHalf { value: *port })
            }
            MatchField::TpDst(port) | MatchField::TcpDst(port) | MatchField::UdpDst(port) => {
                put!(10, OfpHalf { value: *port })
            }
            _ => lacks("setting this field", Version::V1_0),
        },
        Action::Enqueue { port, queue_id } => {
            put!(11, OfpEnqueue { port: *port, queue_id: *queue_id })
        }
        Action::Raw(raw) => put_raw_tlv(raw.kind, &raw.body, "action", out),
        _ => lacks("this action", Version::V1_0),
    }
}

/// What entries of 1.0 do is a plain action list.
pub(super) fn instructions(input: &[u8]) -> Decoded<Instructions> {
    let actions = actions(input)?;
    Ok(match actions.is_empty() {
        true => Instructions::new(),
        false => [Instruction::Apply(actions)].into(),
    })
}

#[inline(always)]
pub(super) fn put_instructions(list: &[Instruction], out: &mut BytesMut) -> Put {
    match list {
        [] => Ok(()),
        [Instruction::Apply(actions)] => put_actions(actions, out),
        _ => lacks("an instruction other than one apply-actions", Version::V1_0),
    }
}

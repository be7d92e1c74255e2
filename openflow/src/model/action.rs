//! Actions and instructions. Pure.

use std::net::Ipv4Addr;

use super::few::Few;
use super::matching::{Masked, MatchField};
use crate::types::{GroupId, MacAddr, PortNo, TableId};

/// How many bytes of a packet go to the controller with `Output` to `CONTROLLER`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MaxLen(pub u16);

impl MaxLen {
    /// The whole packet, never buffered (OFPCML_NO_BUFFER; in 1.0 simply the largest length).
    pub const NO_BUFFER: MaxLen = MaxLen(0xffff);
}

/// What is done to a packet (1.3.5 §7.2.5, 1.0 §5.2.4).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Action {
    /// Out of a port. `max_len` counts only for `CONTROLLER`.
    Output {
        /// The port.
        port: PortNo,
        /// Bytes sent to the controller.
        max_len: MaxLen,
    },
    /// Removes the outermost VLAN tag. (1.0: OFPAT_STRIP_VLAN, harmless without a tag.)
    PopVlan,
    /// Adds an 802.1Q tag with this TPID. 1.1 and later.
    PushVlan(u16),
    /// 1.0 only: sets the VID, adding a tag (PCP 0) where there is none. 0 to 4095.
    SetVlanVid(u16),
    /// 1.0 only: sets the PCP, adding a tag (VID 0) where there is none. 0 to 7.
    SetVlanPcp(u8),
    /// Sets a header field to the (unmasked) value.
    SetField(MatchField),
    /// Output through a queue in one action. 1.0 only.
    Enqueue {
        /// The port.
        port: PortNo,
        /// The queue.
        queue_id: u32,
    },
    /// Processes the packet by a group. 1.1 and later.
    Group(GroupId),
    /// The queue for later outputs. 1.1 and later.
    SetQueue(u32),
    /// Sets the IP time to live.
    SetNwTtl(u8),
    /// Decrements the IP time to live.
    DecNwTtl,
    /// Sets the MPLS time to live.
    SetMplsTtl(u8),
    /// Decrements the MPLS time to live.
    DecMplsTtl,
    /// Copies the time to live outwards.
    CopyTtlOut,
    /// Copies the time to live inwards.
    CopyTtlIn,
    /// Adds an MPLS shim with this EtherType.
    PushMpls(u16),
    /// Removes the outermost MPLS shim; the EtherType becomes this.
    PopMpls(u16),
    /// Adds a PBB service tag with this EtherType.
    PushPbb(u16),
    /// Removes the outer PBB header.
    PopPbb,
    /// An action without a variant of its own.
    Raw(Box<RawAction>),
}

/// The type and body, behind the 4-byte header, of an action without a variant of its own, verbatim.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RawAction {
    /// OFPAT_*; 0xffff for experimenters.
    pub kind: u16,
    /// What follows type and length, padding included.
    pub body: Vec<u8>,
}

/// A list of actions: tag, port and one more need no place on the heap.
pub type Actions = Few<Action, 3>;

/// A list of instructions: the usual one needs no place on the heap.
pub type Instructions = Few<Instruction, 1>;

// Lists of them are moved on the way of every packet-in.
const _: () = assert!(size_of::<Action>() == 16 && size_of::<Instructions>() <= 80);

impl Action {
    /// An action that has no variant of its own: its type, and what follows type and length.
    pub fn raw(kind: u16, body: Vec<u8>) -> Action {
        Action::Raw(Box::new(RawAction { kind, body }))
    }

    /// Out of `port`; to the controller: the whole packet.
    pub const fn output(port: PortNo) -> Action {
        Action::Output { port, max_len: MaxLen::NO_BUFFER }
    }

    /// Sets the Ethernet source.
    pub const fn set_eth_src(mac: MacAddr) -> Action {
        Action::SetField(MatchField::EthSrc(Masked { value: mac, mask: None }))
    }

    /// Sets the Ethernet destination.
    pub const fn set_eth_dst(mac: MacAddr) -> Action {
        Action::SetField(MatchField::EthDst(Masked { value: mac, mask: None }))
    }

    /// Sets the IPv4 source.
    pub const fn set_ipv4_src(address: Ipv4Addr) -> Action {
        Action::SetField(MatchField::Ipv4Src(Masked { value: address, mask: None }))
    }

    /// Sets the IPv4 destination.
    pub const fn set_ipv4_dst(address: Ipv4Addr) -> Action {
        Action::SetField(MatchField::Ipv4Dst(Masked { value: address, mask: None }))
    }
}

/// What a flow entry does (1.3.5 §7.2.4). 1.0 has only `Apply`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Instruction {
    /// Runs the actions at once, in order.
    Apply(Actions),
    /// Merges the actions into the action set.
    Write(Actions),
    /// Empties the action set.
    Clear,
    /// Continues in a later table.
    Goto(TableId),
    /// Writes metadata bits.
    WriteMetadata {
        /// The bits.
        metadata: u64,
        /// Which of them to write.
        mask: u64,
    },
    /// Passes through a meter first.
    Meter(u32),
    /// An instruction without a variant of its own, verbatim.
    Raw {
        /// OFPIT_*; 0xffff for experimenters.
        kind: u16,
        /// What follows type and length.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::hex"))]
        body: Vec<u8>,
    },
}

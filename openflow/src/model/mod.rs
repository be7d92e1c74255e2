//! The neutral message model: what an application wants to say, whatever the wire version. Pure.

mod action;
mod flow;
mod matching;
mod message;
mod packet;
mod port;

pub use action::{Action, Instruction, MaxLen};
pub use flow::{
    FlowMod, FlowModCommand, FlowModFlags, FlowRemoved, FlowRemovedReason, FlowStats,
    FlowStatsRequest,
};
pub use matching::{Masked, Match, MatchField, RawOxm, VlanMatch};
pub use message::{
    ConfigFlags, ErrorCode, ErrorMessage, Features, Hello, Message, Opaque, SwitchConfig,
    SwitchDescription,
};
pub use packet::{PacketIn, PacketInReason, PacketOut};
pub use port::{Port, PortConfig, PortState, PortStatus, PortStatusReason};

//! The neutral message model: what an application wants to say, whatever the wire version. Pure.

mod action;
mod cover;
mod few;
mod flow;
mod group;
mod matching;
mod message;
mod meter;
mod packet;
mod port;
mod prerequisites;
mod queue;
mod role;
mod table;

pub use action::{Action, Actions, Instruction, Instructions, MaxLen, RawAction};
pub use cover::Criteria;
pub use few::Few;
pub use flow::{
    AggregateStats, FlowMod, FlowModCommand, FlowModFlags, FlowRemoved, FlowRemovedReason,
    FlowStats, FlowStatsRequest,
};
pub use group::{
    Bucket, Counter, GroupCommand, GroupDescription, GroupFeatures, GroupMod, GroupStats, GroupType,
};
pub use matching::{Masked, Match, MatchField, RawOxm, VlanMatch};
pub use message::{
    ConfigFlags, ErrorCode, ErrorMessage, Features, Hello, Message, Opaque, SwitchConfig,
    SwitchDescription,
};
pub use meter::{
    MeterBand, MeterBandKind, MeterCommand, MeterConfig, MeterFeatures, MeterFlags, MeterId,
    MeterMod, MeterStats,
};
pub use packet::{PacketIn, PacketInReason, PacketOut};
pub use port::{Port, PortConfig, PortMod, PortState, PortStats, PortStatus, PortStatusReason};
pub use queue::{QueueConfig, QueueProperty, QueueStats};
pub use role::{AsyncConfig, Role, RoleMessage};
pub use table::{OxmId, TableFeatures, TableMod, TableProperty, TableStats, TypeId};

//! Groups: modification, description, statistics (1.3.5 §5.6, §7.3.4.2). 1.1 and later. Pure.

use std::time::Duration;

use super::action::Action;
use crate::types::{GroupId, PortNo, newtype};

newtype! {
    /// What a group-mod does.
    GroupCommand(u16) "group-mod command {}" {
        /// Adds a group.
        ADD = 0,
        /// Changes a group.
        MODIFY = 1,
        /// Deletes a group, or all of them.
        DELETE = 2,
    }
}

newtype! {
    /// How a group treats its buckets.
    GroupType(u8) "group type {}" {
        /// All buckets run.
        ALL = 0,
        /// One bucket runs, chosen by the switch.
        SELECT = 1,
        /// The only bucket runs.
        INDIRECT = 2,
        /// The first live bucket runs.
        FAST_FAILOVER = 3,
    }
}

/// One set of actions of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Bucket {
    /// Its share in a select group.
    pub weight: u16,
    /// The port whose state decides its liveness, or `ANY`.
    pub watch_port: PortNo,
    /// The group whose state decides its liveness, or `ANY`.
    pub watch_group: GroupId,
    /// What it does.
    pub actions: Vec<Action>,
}

impl Bucket {
    /// A bucket that watches nothing and has no weight.
    pub fn new(actions: Vec<Action>) -> Bucket {
        Bucket { weight: 0, watch_port: PortNo::ANY, watch_group: GroupId::ANY, actions }
    }
}

/// Adds, changes or deletes a group (OFPT_GROUP_MOD).
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct GroupMod {
    /// What to do.
    pub command: GroupCommand,
    /// How the buckets are treated.
    pub kind: GroupType,
    /// The group.
    pub group_id: GroupId,
    /// Its buckets.
    pub buckets: Vec<Bucket>,
}

/// What a group is (OFPMP_GROUP_DESC).
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct GroupDescription {
    /// How its buckets are treated.
    pub kind: GroupType,
    /// The group.
    pub group_id: GroupId,
    /// Its buckets.
    pub buckets: Vec<Bucket>,
}

/// What went through a bucket, or a meter band.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Counter {
    /// Packets.
    pub packet_count: u64,
    /// Bytes.
    pub byte_count: u64,
}

/// What went through a group (OFPMP_GROUP).
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct GroupStats {
    /// The group.
    pub group_id: GroupId,
    /// Flow entries and groups that forward to it.
    pub ref_count: u32,
    /// Packets.
    pub packet_count: u64,
    /// Bytes.
    pub byte_count: u64,
    /// How long it has existed.
    pub duration: Duration,
    /// One counter per bucket.
    pub buckets: Vec<Counter>,
}

/// What groups a switch can (OFPMP_GROUP_FEATURES).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct GroupFeatures {
    /// Bit n: the type n of [`GroupType`].
    pub types: u32,
    /// OFPGFC_* bits.
    pub capabilities: u32,
    /// How many groups of each type, in the order of their numbers.
    pub max_groups: [u32; 4],
    /// Bit n of each: actions of type n are possible in groups of this type.
    pub actions: [u32; 4],
}

//! Flow entries: modification, removal, statistics. Pure.

use std::time::Duration;

use super::action::{Actions, Instruction, Instructions};
use super::matching::Match;
use crate::types::{BufferId, Cookie, GroupId, PortNo, TableId, newtype};

newtype! {
    /// What a flow-mod does (1.3.5 §7.3.4.1). 16 bits in 1.0, 8 in later versions.
    FlowModCommand(u16) "flow-mod command {}" {
        /// Adds an entry, replacing one with the same match and priority.
        ADD = 0,
        /// Changes the actions of all entries that the match covers.
        MODIFY = 1,
        /// Changes the entry with exactly this match and priority.
        MODIFY_STRICT = 2,
        /// Deletes all entries that the match covers.
        DELETE = 3,
        /// Deletes the entry with exactly this match and priority.
        DELETE_STRICT = 4,
    }
}

newtype! {
    /// Flags of a flow entry. Bit 2 is "emergency" in 1.0 and "reset counts" in 1.3.
    FlowModFlags(u16) "{:#x}" {
        /// Send a flow-removed when it ends.
        SEND_FLOW_REM = 1,
        /// Refuse if it overlaps an entry of the same priority.
        CHECK_OVERLAP = 2,
        /// 1.0: emergency entry; 1.3: reset counters on modify.
        EMERG_OR_RESET_COUNTS = 4,
        /// 1.3: keep no packet counter.
        NO_PKT_COUNTS = 8,
        /// 1.3: keep no byte counter.
        NO_BYT_COUNTS = 16,
    }
}

impl FlowModFlags {
    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: FlowModFlags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Adds, changes or deletes flow entries (OFPT_FLOW_MOD).
///
/// ```
/// use umlaut_openflow::{Action, FlowMod, Match, PortNo};
/// let entry = FlowMod::add(Match::new().in_port(PortNo(1)))
///     .priority(100)
///     .apply(vec![Action::output(PortNo(2))]);
/// assert_eq!(entry.priority, 100);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct FlowMod {
    /// The controller's mark.
    pub cookie: Cookie,
    /// For modify and delete in 1.1 and later: only entries whose cookie agrees in these bits.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::bits"))]
    pub cookie_mask: u64,
    /// The table; 1.0 has only table 0, and `ALL` means that there too.
    pub table_id: TableId,
    /// What to do.
    pub command: FlowModCommand,
    /// Seconds without traffic until the entry ends; 0 never.
    pub idle_timeout: u16,
    /// Seconds until the entry ends; 0 never.
    pub hard_timeout: u16,
    /// Higher wins.
    pub priority: u16,
    /// A buffered packet to run through the new entry.
    pub buffer_id: Option<BufferId>,
    /// For deletions: only entries with an output there. `ANY`: no restriction.
    pub out_port: PortNo,
    /// For deletions: only entries using that group. `ANY`: no restriction. 1.1 and later.
    pub out_group: GroupId,
    /// Flags.
    pub flags: FlowModFlags,
    /// What it matches.
    pub matches: Match,
    /// What it does; empty: drop.
    pub instructions: Instructions,
}

impl FlowMod {
    /// A flow-mod with this command and match, priority 0x8000, everything else at rest.
    #[inline]
    pub fn new(command: FlowModCommand, matches: Match) -> FlowMod {
        FlowMod {
            cookie: Cookie(0),
            cookie_mask: 0,
            table_id: TableId(0),
            command,
            idle_timeout: 0,
            hard_timeout: 0,
            priority: 0x8000,
            buffer_id: None,
            out_port: PortNo::ANY,
            out_group: GroupId::ANY,
            flags: FlowModFlags(0),
            matches,
            instructions: Instructions::new(),
        }
    }

    /// Adds an entry that drops, until `apply` gives it actions.
    #[inline]
    pub fn add(matches: Match) -> FlowMod {
        FlowMod::new(FlowModCommand::ADD, matches)
    }

    /// Gives all entries that the match covers, in table 0, the actions that `apply` says. In 1.0 an
    /// entry is added if there is none.
    pub fn modify(matches: Match) -> FlowMod {
        FlowMod::new(FlowModCommand::MODIFY, matches)
    }

    /// Gives the entry with exactly this match and priority in table 0 the actions that `apply` says.
    pub fn modify_strict(matches: Match, priority: u16) -> FlowMod {
        FlowMod { priority, ..FlowMod::new(FlowModCommand::MODIFY_STRICT, matches) }
    }

    /// Deletes all entries that the match covers, in all tables.
    pub fn delete(matches: Match) -> FlowMod {
        FlowMod { table_id: TableId::ALL, ..FlowMod::new(FlowModCommand::DELETE, matches) }
    }

    /// Deletes the entry with exactly this match and priority from table 0.
    pub fn delete_strict(matches: Match, priority: u16) -> FlowMod {
        FlowMod { priority, ..FlowMod::new(FlowModCommand::DELETE_STRICT, matches) }
    }

    /// Sets the priority.
    #[must_use]
    #[inline]
    pub fn priority(mut self, priority: u16) -> FlowMod {
        self.priority = priority;
        self
    }

    /// Sets the cookie.
    #[must_use]
    #[inline]
    pub fn cookie(mut self, cookie: Cookie) -> FlowMod {
        self.cookie = cookie;
        self
    }

    /// Sets idle and hard time-outs in seconds; 0 never.
    #[must_use]
    #[inline]
    pub fn timeouts(mut self, idle: u16, hard: u16) -> FlowMod {
        self.idle_timeout = idle;
        self.hard_timeout = hard;
        self
    }

    /// Adds flags.
    #[must_use]
    #[inline]
    pub fn flags(mut self, flags: FlowModFlags) -> FlowMod {
        self.flags.0 |= flags.0;
        self
    }

    /// Sets the table. 1.0 has only table 0.
    #[must_use]
    #[inline]
    pub fn table(mut self, table_id: TableId) -> FlowMod {
        self.table_id = table_id;
        self
    }

    /// Of a deletion: only entries with an output to this port.
    #[must_use]
    #[inline]
    pub fn with_output_to(mut self, port: PortNo) -> FlowMod {
        self.out_port = port;
        self
    }

    /// Runs a buffered packet through the new entry.
    #[must_use]
    #[inline]
    pub fn buffer(mut self, buffer_id: Option<BufferId>) -> FlowMod {
        self.buffer_id = buffer_id;
        self
    }

    /// Adds the instruction that applies these actions.
    #[must_use]
    #[inline]
    pub fn apply(mut self, actions: impl Into<Actions>) -> FlowMod {
        self.instructions.push(Instruction::Apply(actions.into()));
        self
    }
}

newtype! {
    /// Why a flow entry ended (1.3.5 §7.4.2).
    FlowRemovedReason(u8) "reason {}" {
        /// No traffic for the idle time-out.
        IDLE_TIMEOUT = 0,
        /// The hard time-out passed.
        HARD_TIMEOUT = 1,
        /// Deleted by a flow-mod.
        DELETE = 2,
        /// Its group was deleted. 1.1 and later.
        GROUP_DELETE = 3,
    }
}

/// A flow entry ended (OFPT_FLOW_REMOVED).
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct FlowRemoved {
    /// The entry's cookie.
    pub cookie: Cookie,
    /// Its priority.
    pub priority: u16,
    /// Why.
    pub reason: FlowRemovedReason,
    /// Its table; 0 in 1.0.
    pub table_id: TableId,
    /// How long it lived.
    pub duration: Duration,
    /// Its idle time-out in seconds.
    pub idle_timeout: u16,
    /// Its hard time-out in seconds; not told in 1.0 (0).
    pub hard_timeout: u16,
    /// Packets that it matched.
    pub packet_count: u64,
    /// Bytes that it matched.
    pub byte_count: u64,
    /// What it matched.
    pub matches: Match,
}

/// Which flow entries to report (OFPMP_FLOW, OFPMP_AGGREGATE).
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct FlowStatsRequest {
    /// The table, or `ALL`.
    pub table_id: TableId,
    /// Only entries with an output there, or `ANY`.
    pub out_port: PortNo,
    /// Only entries using that group, or `ANY`. 1.1 and later.
    pub out_group: GroupId,
    /// Only entries whose cookie agrees in `cookie_mask`. 1.1 and later.
    pub cookie: Cookie,
    /// See `cookie`.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::bits"))]
    pub cookie_mask: u64,
    /// Only entries that this covers.
    pub matches: Match,
}

impl FlowStatsRequest {
    /// All entries that the match covers, in all tables.
    pub fn of(matches: Match) -> FlowStatsRequest {
        FlowStatsRequest {
            table_id: TableId::ALL,
            out_port: PortNo::ANY,
            out_group: GroupId::ANY,
            cookie: Cookie(0),
            cookie_mask: 0,
            matches,
        }
    }
}

/// One flow entry in a statistics reply.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct FlowStats {
    /// Its table.
    pub table_id: TableId,
    /// How long it has lived.
    pub duration: Duration,
    /// Its priority.
    pub priority: u16,
    /// Its idle time-out in seconds.
    pub idle_timeout: u16,
    /// Its hard time-out in seconds.
    pub hard_timeout: u16,
    /// Its flags; not told in 1.0 (0).
    pub flags: FlowModFlags,
    /// Its cookie.
    pub cookie: Cookie,
    /// Packets matched.
    pub packet_count: u64,
    /// Bytes matched.
    pub byte_count: u64,
    /// What it matches.
    pub matches: Match,
    /// What it does; empty: drop.
    pub instructions: Instructions,
}

/// The sum over flow entries (OFPMP_AGGREGATE).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AggregateStats {
    /// Packets matched.
    pub packet_count: u64,
    /// Bytes matched.
    pub byte_count: u64,
    /// How many entries.
    pub flow_count: u32,
}

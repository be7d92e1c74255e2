//! Flow tables: lookup, modification, time-outs (1.3.5 §5, §6.4; 1.0 §4.6). Pure.
//!
//! Entries with the same mask share a hash table (tuple space search, as Open vSwitch does), so that
//! tens of thousands of exact entries cost one look-up per distinct mask.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use umlaut_openflow::{
    Action, Cookie, FlowMod, FlowModCommand, FlowModFlags, FlowRemoved, FlowRemovedReason,
    FlowStats, FlowStatsRequest, GroupId, Instruction, Instructions, Match, PortNo, TableId,
    Version,
};

use super::error::Refusal;
use super::key::{Criteria, Key};

/// A flow entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) table_id: TableId,
    pub(crate) priority: u16,
    pub(crate) criteria: Criteria,
    pub(crate) matches: Match,
    pub(crate) cookie: Cookie,
    pub(crate) flags: FlowModFlags,
    pub(crate) idle_timeout: u16,
    pub(crate) hard_timeout: u16,
    pub(crate) instructions: Instructions,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    created: Instant,
    /// The hard time-out runs from here (as in Open vSwitch: a modification starts it again).
    modified: Instant,
    used: Instant,
}

impl Entry {
    fn expiry(&self) -> Option<(Instant, FlowRemovedReason)> {
        let after = |start: Instant, seconds: u16| {
            (seconds > 0).then(|| start + Duration::from_secs(u64::from(seconds)))
        };
        let hard = after(self.modified, self.hard_timeout);
        let idle = after(self.used, self.idle_timeout);
        match (hard, idle) {
            (Some(hard), Some(idle)) if idle < hard => {
                Some((idle, FlowRemovedReason::IDLE_TIMEOUT))
            }
            (Some(hard), _) => Some((hard, FlowRemovedReason::HARD_TIMEOUT)),
            (None, Some(idle)) => Some((idle, FlowRemovedReason::IDLE_TIMEOUT)),
            (None, None) => None,
        }
    }

    /// Whether this is the table-miss entry (1.3.5 §5.4).
    pub(crate) fn is_table_miss(&self) -> bool {
        self.priority == 0 && self.criteria == Criteria::ALL
    }

    fn outputs_to(&self, port: PortNo) -> bool {
        port == PortNo::ANY
            || self.actions().any(|action| {
                matches!(action, Action::Output { port: to, .. } | Action::Enqueue { port: to, .. }
                    if *to == port)
            })
    }

    fn uses_meter(&self, meter: u32) -> bool {
        self.instructions.contains(&Instruction::Meter(meter))
    }

    fn uses_group(&self, group: GroupId) -> bool {
        group == GroupId::ANY || self.actions().any(|action| *action == Action::Group(group))
    }

    fn actions(&self) -> impl Iterator<Item = &Action> {
        self.instructions.iter().flat_map(|instruction| match instruction {
            Instruction::Apply(actions) | Instruction::Write(actions) => &actions[..],
            _ => &[],
        })
    }

    fn removed(&self, reason: FlowRemovedReason, now: Instant) -> Option<FlowRemoved> {
        self.flags.contains(FlowModFlags::SEND_FLOW_REM).then(|| FlowRemoved {
            cookie: self.cookie,
            priority: self.priority,
            reason,
            table_id: self.table_id,
            duration: now.saturating_duration_since(self.created),
            idle_timeout: self.idle_timeout,
            hard_timeout: self.hard_timeout,
            packet_count: self.packets,
            byte_count: self.bytes,
            matches: self.matches.clone(),
        })
    }

    fn stats(&self, now: Instant) -> FlowStats {
        FlowStats {
            table_id: self.table_id,
            duration: now.saturating_duration_since(self.created),
            priority: self.priority,
            idle_timeout: self.idle_timeout,
            hard_timeout: self.hard_timeout,
            flags: self.flags,
            cookie: self.cookie,
            packet_count: self.packets,
            byte_count: self.bytes,
            matches: self.matches.clone(),
            instructions: self.instructions.clone(),
        }
    }
}

/// Why an entry went that made room: 1.4's number, which earlier versions tell only who asks for it.
const EVICTION: FlowRemovedReason = FlowRemovedReason(5);

/// Why an entry went with its meter: 1.4's number, as [`EVICTION`].
pub(super) const METER_DELETE: FlowRemovedReason = FlowRemovedReason(4);

/// Names an entry as long as it exists; later entries have higher numbers.
pub(crate) type EntryId = u64;

/// The entries of one table that have the same mask.
#[derive(Debug)]
struct Tuple {
    mask: Key,
    /// By value, then by priority: at most one entry each.
    entries: HashMap<Key, BTreeMap<u16, EntryId>>,
    count: usize,
    /// No entry here has a higher priority.
    ceiling: u16,
}

/// What a flow-mod or a time-out did.
pub(crate) type Removals = Vec<FlowRemoved>;

/// All flow tables of a switch.
#[derive(Debug)]
pub(crate) struct Tables {
    n_tables: u8,
    limit: Option<usize>,
    evicts: bool,
    entries: BTreeMap<EntryId, Entry>,
    tuples: BTreeMap<TableId, Vec<Tuple>>,
    counts: BTreeMap<TableId, usize>,
    /// When to look at an entry again: never later than its expiry, often earlier.
    checks: BTreeSet<(Instant, EntryId)>,
    next_id: EntryId,
}

impl Tables {
    /// `n_tables` empty tables with at most `limit` entries each.
    pub(crate) fn new(n_tables: u8, limit: Option<usize>) -> Tables {
        Tables {
            n_tables,
            limit,
            evicts: false,
            entries: BTreeMap::new(),
            tuples: BTreeMap::new(),
            counts: BTreeMap::new(),
            checks: BTreeSet::new(),
            next_id: 0,
        }
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many entries a table has.
    pub(crate) fn len_of(&self, table: TableId) -> usize {
        self.counts.get(&table).copied().unwrap_or(0)
    }

    pub(crate) fn clear(&mut self) {
        *self = Tables { evicts: self.evicts, ..Tables::new(self.n_tables, self.limit) };
    }

    /// Whether a full table makes room by removing the entry that would expire next.
    pub(crate) fn set_evicts(&mut self, evicts: bool) {
        self.evicts = evicts;
    }

    /// How often entries name a group.
    pub(crate) fn uses_of_group(&self, group: GroupId) -> u32 {
        let actions = self.entries.values().flat_map(Entry::actions);
        actions.filter(|action| **action == Action::Group(group)).count() as u32
    }

    /// How many entries use a meter.
    pub(crate) fn uses_of_meter(&self, meter: u32) -> u32 {
        self.entries.values().filter(|entry| entry.uses_meter(meter)).count() as u32
    }

    /// Removes the entries that name a group that is gone.
    pub(crate) fn remove_group(&mut self, group: GroupId, now: Instant) -> Removals {
        self.remove_all(FlowRemovedReason::GROUP_DELETE, now, |entry| entry.uses_group(group))
    }

    /// Removes the entries that use a meter that is gone.
    pub(crate) fn remove_meter(&mut self, meter: u32, now: Instant) -> Removals {
        self.remove_all(METER_DELETE, now, |entry| entry.uses_meter(meter))
    }

    fn remove_all(
        &mut self,
        reason: FlowRemovedReason,
        now: Instant,
        chosen: impl Fn(&Entry) -> bool,
    ) -> Removals {
        let ids = self.entries.iter().filter(|(_, entry)| chosen(entry)).map(|(id, _)| *id);
        let ids: Vec<EntryId> = ids.collect();
        ids.into_iter().filter_map(|id| self.remove(id, reason, now)).collect()
    }

    pub(crate) fn set_limit(&mut self, limit: Option<usize>) {
        self.limit = limit;
    }

    pub(crate) fn entry(&self, id: EntryId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// The entry of highest priority that matches; among equals (the specification leaves it open)
    /// the oldest.
    pub(crate) fn lookup(&self, table: TableId, key: &Key) -> Option<EntryId> {
        let mut best: Option<(u16, EntryId)> = None;
        for tuple in self.tuples.get(&table)? {
            if best.is_some_and(|(priority, _)| priority > tuple.ceiling) {
                continue;
            }
            let found = tuple.entries.get(&key.and(&tuple.mask)).and_then(|at| at.last_key_value());
            if let Some((priority, id)) = found
                && best.is_none_or(|(p, i)| {
                    (*priority, std::cmp::Reverse(*id)) > (p, std::cmp::Reverse(i))
                })
            {
                best = Some((*priority, *id));
            }
        }
        best.map(|(_, id)| id)
    }

    /// Counts a packet of `len` bytes.
    pub(crate) fn count(&mut self, id: EntryId, len: usize, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.packets += 1;
            entry.bytes += len as u64;
            entry.used = now;
        }
    }

    /// When `expire` must be called next, or earlier.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.checks.first().map(|(at, _)| *at)
    }

    /// Removes entries whose time has come.
    pub(crate) fn expire(&mut self, now: Instant) -> Removals {
        let mut removals = Removals::new();
        while let Some((at, id)) = self.checks.first().copied()
            && at <= now
        {
            self.checks.remove(&(at, id));
            let Some(expiry) = self.entries.get(&id).and_then(Entry::expiry) else { continue };
            if expiry.0 <= now {
                removals.extend(self.remove(id, expiry.1, now));
            } else {
                self.checks.insert((expiry.0, id));
            }
        }
        removals
    }

    fn find_exactly(&self, table: TableId, criteria: &Criteria, priority: u16) -> Option<EntryId> {
        let tuple = self.tuples.get(&table)?.iter().find(|t| t.mask == criteria.mask)?;
        tuple.entries.get(&criteria.value)?.get(&priority).copied()
    }

    fn insert(&mut self, entry: Entry) -> EntryId {
        let id = self.next_id;
        self.next_id += 1;
        let tuples = self.tuples.entry(entry.table_id).or_default();
        let at = tuples.iter().position(|t| t.mask == entry.criteria.mask).unwrap_or_else(|| {
            tuples.push(Tuple {
                mask: entry.criteria.mask,
                entries: HashMap::new(),
                count: 0,
                ceiling: 0,
            });
            tuples.len() - 1
        });
        let tuple = &mut tuples[at];
        tuple.entries.entry(entry.criteria.value).or_default().insert(entry.priority, id);
        tuple.count += 1;
        tuple.ceiling = tuple.ceiling.max(entry.priority);
        *self.counts.entry(entry.table_id).or_default() += 1;
        if let Some((at, _)) = entry.expiry() {
            self.checks.insert((at, id));
        }
        self.entries.insert(id, entry);
        id
    }

    /// Loses entries without a trace.
    pub(crate) fn lose(&mut self, now: Instant, lost: impl Fn(&FlowStats) -> bool) {
        let ids = self.entries.iter().filter(|(_, entry)| lost(&entry.stats(now)));
        for id in ids.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.take(id);
        }
    }

    fn take(&mut self, id: EntryId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        if let Some(tuples) = self.tuples.get_mut(&entry.table_id) {
            for tuple in tuples.iter_mut().filter(|t| t.mask == entry.criteria.mask) {
                if let Some(at) = tuple.entries.get_mut(&entry.criteria.value) {
                    at.remove(&entry.priority);
                    if at.is_empty() {
                        tuple.entries.remove(&entry.criteria.value);
                    }
                }
                tuple.count -= 1;
            }
            tuples.retain(|tuple| tuple.count > 0);
        }
        if let Some(count) = self.counts.get_mut(&entry.table_id) {
            *count -= 1;
        }
        Some(entry)
    }

    fn remove(
        &mut self,
        id: EntryId,
        reason: FlowRemovedReason,
        now: Instant,
    ) -> Option<FlowRemoved> {
        self.take(id).and_then(|entry| entry.removed(reason, now))
    }

    /// Entries selected by a modification, deletion or statistics request, oldest first.
    fn select(&self, selection: &Selection<'_>) -> Vec<EntryId> {
        let in_table = |entry: &Entry| {
            selection.table_id == TableId::ALL || entry.table_id == selection.table_id
        };
        let chosen = |entry: &Entry| match selection.strict {
            Some(priority) => entry.priority == priority && entry.criteria == *selection.criteria,
            None => selection.criteria.covers(&entry.criteria),
        };
        self.entries
            .iter()
            .filter(|(_, entry)| {
                in_table(entry)
                    && chosen(entry)
                    && (entry.cookie.0 ^ selection.cookie.0) & selection.cookie_mask == 0
                    && entry.outputs_to(selection.out_port)
                    && entry.uses_group(selection.out_group)
            })
            .map(|(id, _)| *id)
            .collect()
    }

    /// Whether an addition or modification would change anything.
    pub(crate) fn is_effective(
        &self,
        version: Version,
        flow_mod: &FlowMod,
        criteria: &Criteria,
    ) -> bool {
        version == Version::V1_0
            || flow_mod.command == FlowModCommand::ADD
            || !self.select(&Selection::of(version, flow_mod, criteria)).is_empty()
    }

    /// Does what a flow-mod says. Its actions have been checked.
    pub(crate) fn modify(
        &mut self,
        version: Version,
        flow_mod: &FlowMod,
        criteria: Criteria,
        now: Instant,
    ) -> Result<Removals, Refusal> {
        if flow_mod.table_id.0 >= self.n_tables && flow_mod.table_id != TableId::ALL {
            return Err(Refusal::FLOW_BAD_TABLE);
        }
        let selection = Selection::of(version, flow_mod, &criteria);
        match flow_mod.command {
            FlowModCommand::ADD => self.add(version, flow_mod, criteria, now),
            FlowModCommand::MODIFY | FlowModCommand::MODIFY_STRICT => {
                let chosen = self.select(&selection);
                // 1.0 adds what is not there; later versions change nothing.
                if chosen.is_empty() && version == Version::V1_0 {
                    return self.add(version, flow_mod, criteria, now);
                }
                for id in chosen {
                    self.change(version, id, flow_mod, now);
                }
                Ok(Vec::new())
            }
            FlowModCommand::DELETE | FlowModCommand::DELETE_STRICT => {
                let chosen = self.select(&selection);
                let reason = FlowRemovedReason::DELETE;
                Ok(chosen.into_iter().filter_map(|id| self.remove(id, reason, now)).collect())
            }
            _ => Err(Refusal::FLOW_BAD_COMMAND),
        }
    }

    fn add(
        &mut self,
        version: Version,
        flow_mod: &FlowMod,
        criteria: Criteria,
        now: Instant,
    ) -> Result<Removals, Refusal> {
        let table_id = flow_mod.table_id;
        let mut evicted = Removals::new();
        let mut entry = Entry {
            table_id,
            priority: flow_mod.priority,
            criteria,
            matches: flow_mod.matches.clone(),
            cookie: flow_mod.cookie,
            flags: flow_mod.flags,
            idle_timeout: flow_mod.idle_timeout,
            hard_timeout: flow_mod.hard_timeout,
            instructions: flow_mod.instructions.clone(),
            packets: 0,
            bytes: 0,
            created: now,
            modified: now,
            used: now,
        };
        if let Some(old) = self.find_exactly(table_id, &entry.criteria, entry.priority) {
            let keeps_counts = version != Version::V1_0
                && !flow_mod.flags.contains(FlowModFlags::EMERG_OR_RESET_COUNTS);
            // A replaced entry ends without a flow-removed (1.3.5 §6.4).
            if let Some(old) = self.take(old)
                && keeps_counts
            {
                (entry.packets, entry.bytes) = (old.packets, old.bytes);
            }
        } else {
            let overlapping = |other: &Entry| {
                other.table_id == table_id
                    && other.priority == entry.priority
                    && other.criteria.overlaps(&entry.criteria)
            };
            if flow_mod.flags.contains(FlowModFlags::CHECK_OVERLAP)
                && self.entries.values().any(overlapping)
            {
                return Err(Refusal::FLOW_OVERLAP);
            }
            while self.limit.is_some_and(|limit| self.len_of(table_id) >= limit) {
                let victim = self.victim(table_id).filter(|_| self.evicts);
                let victim = victim.ok_or(Refusal::FLOW_TABLE_FULL)?;
                evicted.extend(self.remove(victim, EVICTION, now));
            }
        }
        self.insert(entry);
        Ok(evicted)
    }

    /// The entry that goes when its table is full: the one that would expire next. Entries without
    /// time-outs stay, as in Open vSwitch.
    fn victim(&self, table: TableId) -> Option<EntryId> {
        let own = self.entries.iter().filter(|(_, entry)| entry.table_id == table);
        let ends = own.filter_map(|(id, entry)| Some((entry.expiry()?.0, *id)));
        ends.min().map(|(_, id)| id)
    }

    /// A modification changes instructions (1.0: and the cookie); time-outs, flags and counters stay.
    fn change(&mut self, version: Version, id: EntryId, flow_mod: &FlowMod, now: Instant) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.instructions = flow_mod.instructions.clone();
        entry.modified = now;
        if version == Version::V1_0 {
            entry.cookie = flow_mod.cookie;
        } else if flow_mod.flags.contains(FlowModFlags::EMERG_OR_RESET_COUNTS) {
            (entry.packets, entry.bytes) = (0, 0);
        }
    }

    /// All entries that a statistics request asks for, oldest first.
    pub(crate) fn stats(
        &self,
        request: &FlowStatsRequest,
        criteria: &Criteria,
        now: Instant,
    ) -> Vec<FlowStats> {
        let selection = Selection {
            table_id: request.table_id,
            strict: None,
            criteria,
            cookie: request.cookie,
            cookie_mask: request.cookie_mask,
            out_port: request.out_port,
            out_group: request.out_group,
        };
        let ids = self.select(&selection);
        ids.iter().filter_map(|id| self.entry(*id)).map(|entry| entry.stats(now)).collect()
    }
}

struct Selection<'a> {
    table_id: TableId,
    /// The priority, if the match must be the same and not only covered.
    strict: Option<u16>,
    criteria: &'a Criteria,
    cookie: Cookie,
    cookie_mask: u64,
    out_port: PortNo,
    out_group: GroupId,
}

impl<'a> Selection<'a> {
    /// What a modification or deletion selects.
    fn of(version: Version, flow_mod: &FlowMod, criteria: &'a Criteria) -> Selection<'a> {
        let deletes =
            matches!(flow_mod.command, FlowModCommand::DELETE | FlowModCommand::DELETE_STRICT);
        let strict = matches!(
            flow_mod.command,
            FlowModCommand::MODIFY_STRICT | FlowModCommand::DELETE_STRICT
        );
        Selection {
            table_id: flow_mod.table_id,
            strict: strict.then_some(flow_mod.priority),
            criteria,
            cookie: flow_mod.cookie,
            cookie_mask: if version == Version::V1_0 { 0 } else { flow_mod.cookie_mask },
            // Only deletions heed the output filters.
            out_port: if deletes { flow_mod.out_port } else { PortNo::ANY },
            out_group: if deletes { flow_mod.out_group } else { GroupId::ANY },
        }
    }
}

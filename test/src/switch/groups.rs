//! Groups of 1.3: their buckets, which of them a packet takes, what they count (1.3.5 §5.6, §6.7).
//! Pure.
//!
//! As in Open vSwitch a group may name another that is not there (what comes behind it in the list of
//! actions is then not done), and a group that leads back to itself is made and loses its packets.

use std::collections::BTreeMap;
use std::time::Instant;

use umlaut_openflow::{
    Bucket, Counter, GroupCommand, GroupDescription, GroupId, GroupMod, GroupStats, GroupType,
    PortNo,
};

use super::error::Refusal;

/// How deep groups may lead to groups. Below, packets are lost.
pub(super) const DEPTH: u32 = 32;

#[derive(Debug)]
struct Group {
    kind: GroupType,
    buckets: Vec<Bucket>,
    made: Instant,
    counter: Counter,
    counters: Vec<Counter>,
}

/// All groups of a switch.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: BTreeMap<GroupId, Group>,
}

/// What a group does to one packet.
#[derive(Debug)]
pub(super) struct Chosen {
    /// The places of its buckets, in their order.
    pub(super) places: Vec<usize>,
    pub(super) buckets: Vec<Bucket>,
}

fn count(counter: &mut Counter, len: usize) {
    counter.packet_count += 1;
    counter.byte_count += len as u64;
}

fn watches(bucket: &Bucket) -> bool {
    bucket.watch_port != PortNo::ANY || bucket.watch_group != GroupId::ANY
}

/// Whether a group-mod is one, whatever groups there are. In the order in which Open vSwitch looks.
pub(super) fn check(change: &GroupMod) -> Result<(), Refusal> {
    let deletes = change.command == GroupCommand::DELETE;
    if deletes && !change.buckets.is_empty() {
        return Err(Refusal::GROUP_INVALID);
    }
    match change.kind {
        GroupType::INDIRECT if !deletes && change.buckets.len() != 1 => {
            return Err(Refusal::GROUP_INVALID);
        }
        GroupType::ALL | GroupType::SELECT | GroupType::INDIRECT | GroupType::FAST_FAILOVER => {}
        _ => return Err(Refusal::GROUP_BAD_TYPE),
    }
    if change.command.0 > ADD_OR_MODIFY.0 {
        return Err(Refusal::GROUP_BAD_COMMAND);
    }
    for bucket in &change.buckets {
        if bucket.weight != 0 && change.kind != GroupType::SELECT {
            return Err(Refusal::GROUP_INVALID);
        }
        match change.kind {
            GroupType::ALL | GroupType::INDIRECT if watches(bucket) => {
                return Err(Refusal::GROUP_WATCH_UNSUPPORTED);
            }
            GroupType::FAST_FAILOVER if !watches(bucket) => return Err(Refusal::GROUP_INVALID),
            _ => {}
        }
    }
    Ok(())
}

/// A command of Open vSwitch that 1.3 does not have. It is known there, but nothing is made.
const ADD_OR_MODIFY: GroupCommand = GroupCommand(3);

impl Groups {
    pub(super) fn contains(&self, id: GroupId) -> bool {
        self.groups.contains_key(&id)
    }

    /// Does what a group-mod says that has passed [`check`]; the groups that are gone.
    pub(super) fn modify(
        &mut self,
        change: GroupMod,
        now: Instant,
    ) -> Result<Vec<GroupId>, Refusal> {
        let id = change.group_id;
        if change.command == GroupCommand::DELETE {
            if id == GroupId::ALL {
                return Ok(std::mem::take(&mut self.groups).into_keys().collect());
            }
            return Ok(self.groups.remove(&id).map(|_| id).into_iter().collect());
        }
        if id.0 > GroupId::MAX.0 {
            return Err(Refusal::GROUP_INVALID);
        }
        let made = match (change.command, self.groups.get(&id)) {
            (GroupCommand::ADD, Some(_)) => return Err(Refusal::GROUP_EXISTS),
            (GroupCommand::ADD, None) => now,
            (_, Some(old)) => old.made,
            (_, None) => return Err(Refusal::GROUP_UNKNOWN),
        };
        let group = Group {
            kind: change.kind,
            made,
            counter: Counter::default(),
            counters: vec![Counter::default(); change.buckets.len()],
            buckets: change.buckets,
        };
        self.groups.insert(id, group);
        Ok(Vec::new())
    }

    /// The buckets that a packet takes; `hash` says to which conversation it belongs. `None`: there
    /// is no such group.
    pub(super) fn choose(
        &self,
        id: GroupId,
        hash: u64,
        is_up: &dyn Fn(PortNo) -> bool,
    ) -> Option<Chosen> {
        let group = self.groups.get(&id)?;
        let live = |place: &usize| self.is_live(&group.buckets[*place], is_up, 0);
        let mut places: Vec<usize> = (0..group.buckets.len()).collect();
        match group.kind {
            GroupType::FAST_FAILOVER => {
                places = places.into_iter().find(live).into_iter().collect()
            }
            GroupType::SELECT => {
                places.retain(live);
                let weight = |place: usize| u64::from(group.buckets[place].weight);
                let whole: u64 = places.iter().map(|place| weight(*place)).sum();
                // A conversation keeps its bucket as long as the live ones stay the same.
                let mut left = if whole == 0 { 0 } else { hash % whole };
                places.retain(|place| {
                    let own = weight(*place);
                    let taken = whole > 0 && own > 0 && left < own;
                    left = if taken { u64::MAX } else { left.saturating_sub(own) };
                    taken
                });
            }
            _ => {}
        }
        let buckets = places.iter().map(|place| group.buckets[*place].clone()).collect();
        Some(Chosen { places, buckets })
    }

    fn is_live(&self, bucket: &Bucket, is_up: &dyn Fn(PortNo) -> bool, depth: u32) -> bool {
        let group_is_live = || {
            depth < DEPTH
                && self.groups.get(&bucket.watch_group).is_some_and(|group| {
                    group.buckets.iter().any(|bucket| self.is_live(bucket, is_up, depth + 1))
                })
        };
        !watches(bucket)
            || bucket.watch_port != PortNo::ANY && is_up(bucket.watch_port)
            || bucket.watch_group != GroupId::ANY && group_is_live()
    }

    /// Counts a packet of `len` bytes that took these buckets.
    pub(super) fn count(&mut self, id: GroupId, places: &[usize], len: usize) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        // What no bucket takes is not counted, as in Open vSwitch.
        if places.is_empty() {
            return;
        }
        count(&mut group.counter, len);
        for place in places {
            if let Some(counter) = group.counters.get_mut(*place) {
                count(counter, len);
            }
        }
    }

    fn asked(&self, id: GroupId) -> impl Iterator<Item = (GroupId, &Group)> {
        let groups = self.groups.iter().map(|(id, group)| (*id, group));
        groups.filter(move |(own, _)| id == GroupId::ALL || id == *own)
    }

    /// Statistics of one group or all; `references`: how many flow entries name it.
    pub(super) fn stats(
        &self,
        id: GroupId,
        now: Instant,
        references: impl Fn(GroupId) -> u32,
    ) -> Vec<GroupStats> {
        let stats = |(group_id, group): (GroupId, &Group)| GroupStats {
            group_id,
            ref_count: references(group_id),
            packet_count: group.counter.packet_count,
            byte_count: group.counter.byte_count,
            duration: now.saturating_duration_since(group.made),
            buckets: group.counters.clone(),
        };
        self.asked(id).map(stats).collect()
    }

    pub(super) fn descriptions(&self) -> Vec<GroupDescription> {
        let description = |(group_id, group): (GroupId, &Group)| GroupDescription {
            kind: group.kind,
            group_id,
            buckets: group.buckets.clone(),
        };
        self.asked(GroupId::ALL).map(description).collect()
    }
}

//! What is on the way: one queue per direction of a cable or channel. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use crate::control::ChannelId;

/// How many frames one direction of a cable holds. When full, further frames are lost. Control
/// channels are not limited here: TCP loses nothing, and their ends limit themselves.
const CABLE_LIMIT: usize = 10_000;

/// A direction of a cable (by the side where frames enter) or of a switch's control channel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum LaneId {
    Cable(usize, usize),
    ToController(usize),
    ToSwitch(usize),
}

/// What travels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Item {
    Frame(Vec<u8>),
    Open(ChannelId),
    Bytes(ChannelId, Vec<u8>),
    Closed(ChannelId),
}

#[derive(Debug, Default)]
struct Lane {
    /// In the order of their arrival.
    items: VecDeque<(Instant, Item)>,
    /// When the last one arrives that keeps the order in which it entered.
    last: Option<Instant>,
    held: bool,
}

impl Lane {
    fn insert(&mut self, id: LaneId, at: Instant, item: Item) -> bool {
        if matches!(id, LaneId::Cable(..)) && self.items.len() >= CABLE_LIMIT {
            return false;
        }
        // Nearly always at the end.
        let behind = self.items.iter().rev().take_while(|(other, _)| *other > at).count();
        self.items.insert(self.items.len() - behind, (at, item));
        true
    }
}

/// All lanes. In each, what enters first leaves first, but for what is put aside.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<LaneId, Lane>,
    /// The first arrival of every lane that is not empty and not held.
    heads: BTreeSet<(Instant, LaneId)>,
}

impl Lanes {
    fn change<R>(&mut self, id: LaneId, change: impl FnOnce(&mut Lane) -> R) -> R {
        let lane = self.lanes.entry(id).or_default();
        let head = |lane: &Lane| lane.items.front().map(|(at, _)| (*at, id)).filter(|_| !lane.held);
        if let Some(before) = head(lane) {
            self.heads.remove(&before);
        }
        let result = change(lane);
        if let Some(after) = head(lane) {
            self.heads.insert(after);
        }
        result
    }

    /// Puts an item in, to arrive at `at` or behind what is in already. False: the lane is full.
    pub(super) fn push(&mut self, id: LaneId, at: Instant, item: Item) -> bool {
        self.change(id, |lane| {
            let at = lane.last.map_or(at, |last| at.max(last));
            let room = lane.insert(id, at, item);
            if room {
                lane.last = Some(at);
            }
            room
        })
    }

    /// Puts an item in, to arrive at `at`; what enters later does not wait for it. False: the lane is
    /// full.
    pub(super) fn push_aside(&mut self, id: LaneId, at: Instant, item: Item) -> bool {
        self.change(id, |lane| lane.insert(id, at, item))
    }

    /// Puts back what was taken too early.
    pub(super) fn push_front(&mut self, id: LaneId, at: Instant, item: Item) {
        self.change(id, |lane| lane.items.push_front((at, item)));
    }

    pub(super) fn pop(&mut self, id: LaneId) -> Option<Item> {
        self.change(id, |lane| lane.items.pop_front()).map(|(_, item)| item)
    }

    /// Appends the bytes of the same channel that have arrived as well.
    pub(super) fn take_more(&mut self, id: LaneId, now: Instant, of: ChannelId, to: &mut Vec<u8>) {
        self.change(id, |lane| {
            while let Some((at, Item::Bytes(channel, bytes))) = lane.items.front_mut()
                && *at <= now
                && *channel == of
            {
                to.append(bytes);
                lane.items.pop_front();
            }
        });
    }

    /// Empties a lane; how many items were lost.
    pub(super) fn clear(&mut self, id: LaneId) -> usize {
        self.change(id, |lane| {
            let lost = lane.items.len();
            lane.items.clear();
            lost
        })
    }

    /// Stops a lane: nothing comes out.
    pub(super) fn hold(&mut self, id: LaneId) {
        self.change(id, |lane| lane.held = true);
    }

    /// Lets a lane go on.
    pub(super) fn release(&mut self, id: LaneId, now: Instant) {
        self.change(id, |lane| {
            lane.held = false;
            for (at, _) in &mut lane.items {
                *at = now.max(*at);
            }
            lane.last = lane.items.back().map(|(at, _)| *at);
        });
    }

    /// When the next item arrives.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heads.first().map(|(at, _)| *at)
    }

    /// The lanes whose first item has arrived.
    pub(super) fn due(&self, now: Instant) -> impl Iterator<Item = LaneId> + '_ {
        self.heads.iter().take_while(move |(at, _)| *at <= now).map(|(_, id)| *id)
    }

    /// Whether nothing is on the way, but for what is held.
    pub(super) fn is_idle(&self) -> bool {
        self.heads.is_empty()
    }
}

//! Whether a switch has what is registered: its flow statistics are compared with the registry from
//! time to time, and differences repaired. Pure but for the shared tables of [`View`].
//!
//! A difference is believed when two audits in a row find it: entries come and go while a switch
//! answers.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use umlaut_openflow::{
    Action, FlowMod, FlowStats, FlowStatsRequest, Instruction, Match, Message, PortNo, TableId, Xid,
};

use super::{Sent, Switch};
use crate::app::AppNo;
use crate::command::Command;
use crate::path::{HopName, Kind, Leg, PathCookie, PathRef, STANDING_COOKIE, State, standing};
use crate::program::flow_match;
use crate::readback::{OwnEntry, same_match};
use crate::view::{Event, View};

/// Between two audits of a switch, at least.
const AUDIT_PERIOD: Duration = Duration::from_secs(10);
/// Between an audit that found differences and the next.
const AUDIT_AGAIN: Duration = Duration::from_secs(1);
/// What comparing one entry costs, generously; audits of all switches together take a hundredth of a
/// core at most.
const ENTRY_COST: Duration = Duration::from_micros(5);
/// How long a switch may take from one part of its answer to the next. Then the audit is given up.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// Differences repaired after one audit. Those beyond it are found by the next.
const REPAIRS: usize = 1024;

/// A difference between registry and switch.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Difference {
    /// The entry by which a path's frames enter, or a drop entry, is not there as it should be.
    Entrance(PathRef),
    /// An entry of another session's path, or of a way back, is not.
    Hop(HopName),
    /// A standing entry is not.
    Standing(u16),
    /// An entry is there that nobody registered.
    Stranger(TableId, u16, Match),
}

/// The audits of one switch.
#[derive(Debug)]
pub(super) struct Audit {
    due: Instant,
    asked: Option<(Xid, Instant)>,
    entries: u32,
    seen: HashSet<PathRef, RandomState>,
    seen_hops: HashSet<HopName, RandomState>,
    seen_standing: Vec<u16>,
    strangers: Vec<Difference>,
    /// What the last audit found.
    suspects: HashSet<Difference, RandomState>,
}

impl Audit {
    pub(super) fn new(now: Instant) -> Audit {
        Audit {
            due: now + AUDIT_PERIOD,
            asked: None,
            entries: 0,
            seen: HashSet::default(),
            seen_hops: HashSet::default(),
            seen_standing: Vec::new(),
            strangers: Vec::new(),
            suspects: HashSet::default(),
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.asked.map_or(self.due, |(_, until)| until)
    }

    fn begin_next(&mut self, due: Instant) {
        self.due = due;
        self.asked = None;
        self.entries = 0;
        self.seen.clear();
        self.seen_hops.clear();
        self.seen_standing.clear();
        self.strangers.clear();
    }
}

/// When a switch with so many entries is audited again, one of so many switches.
fn period(entries: u32, switches: usize) -> Duration {
    let switches = u32::try_from(switches.max(1)).unwrap_or(u32::MAX);
    AUDIT_PERIOD
        .max(ENTRY_COST.saturating_mul(entries).saturating_mul(100).saturating_mul(switches))
}

impl Switch {
    /// Asks the switch what it has, if it is time.
    pub(super) fn poll_audit(&mut self, now: Instant) {
        match self.audit.asked {
            Some((_, until)) if until <= now => self.audit.begin_next(now + AUDIT_PERIOD),
            // What an earlier run left is still being decided.
            None if self.audit.due <= now && self.kept() > 0 => {
                self.audit.due = now + AUDIT_PERIOD;
            }
            None if self.audit.due <= now => {
                let request = Message::FlowStatsRequest(FlowStatsRequest::of(Match::new()));
                match self.send_noted(&request, Sent::Other) {
                    Ok(xid) => self.audit.asked = Some((xid, now + ANSWER_TIME)),
                    Err(_) => self.audit.due = now + AUDIT_PERIOD,
                }
            }
            _ => {}
        }
    }

    /// Takes a part of the answer. Returns whether it was one.
    pub(crate) fn audited(&mut self, view: &View<'_>, xid: Xid, message: &Message<'_>) -> bool {
        let Some((asked, until)) = &mut self.audit.asked else { return false };
        if *asked != xid {
            return false;
        }
        let Message::FlowStatsReply { flows, more } = message else {
            // It does not tell: nothing to compare.
            self.audit.begin_next(view.now + AUDIT_PERIOD);
            return true;
        };
        *until = view.now + ANSWER_TIME;
        for flow in flows {
            self.compare(view, flow);
        }
        if !more {
            self.end_audit(view);
        }
        true
    }

    fn compare(&mut self, view: &View<'_>, flow: &FlowStats) {
        self.audit.entries = self.audit.entries.saturating_add(1);
        let known = if flow.cookie == STANDING_COOKIE {
            self.compare_standing(flow)
        } else if let Some(cookie) = PathCookie::read(flow.cookie) {
            // Of this run: by its epoch.
            PathRef::from_cookie(flow.cookie, view.net.epoch).is_some()
                && self.compare_path(cookie, flow)
        } else {
            self.made_by(flow.cookie).is_some_and(|(app, _)| app != AppNo::FRAMEWORK)
        };
        if !known && self.audit.strangers.len() < REPAIRS {
            let matches = flow.matches.clone();
            self.audit.strangers.push(Difference::Stranger(flow.table_id, flow.priority, matches));
        }
    }

    fn compare_standing(&mut self, flow: &FlowStats) -> bool {
        let to_controller = |action: &Action| matches!(action, Action::Output { port, .. } if *port == PortNo::CONTROLLER);
        let same = standing(self.version).iter().any(|(matches, priority)| {
            *priority == flow.priority && same_match(matches, &flow.matches)
        });
        let sends = matches!(&flow.instructions[..], [Instruction::Apply(actions)]
            if matches!(&actions[..], [action] if to_controller(action)));
        if same && sends {
            self.audit.seen_standing.push(flow.priority);
        }
        same
    }

    /// Whether an entry belongs to a registered path; noted if it is as it should be.
    fn compare_path(&mut self, cookie: PathCookie, flow: &FlowStats) -> bool {
        let (name, mark) = (cookie.path, cookie.mark);
        if name.session == self.session && mark.first && mark.leg == Leg::Forward {
            let Some(path) = self.registry.by_ref(name) else { return false };
            let key = &path.key;
            let Ok(matches) = flow_match(self.version, key.in_port, &key.headers, key.width) else {
                return false;
            };
            let same = match &path.kind {
                Kind::Drop { class, .. } => {
                    flow.priority == class.priority() && flow.instructions.is_empty()
                }
                Kind::Forward { hops, .. } => OwnEntry::read(self.version, flow)
                    .is_some_and(|own| (own.out_port, own.vid) == (hops[0].out_port, hops[0].vid)),
            };
            // Entries of 1.0 may be told with more fields than were asked for.
            let known = same_match(&matches, &flow.matches)
                || OwnEntry::read(self.version, flow)
                    .is_some_and(|own| same_match(&own.matches(self.version), &matches));
            if same && known {
                self.audit.seen.insert(name);
            }
            return known;
        }
        let in_port = flow.matches.ingress().unwrap_or(PortNo::ANY);
        let name = HopName { path: name, leg: mark.leg, in_port };
        let Some(hop) = self.hops.get(&name) else { return false };
        let Some(own) = OwnEntry::read(self.version, flow) else { return false };
        let known = same_match(&own.matches(self.version), &hop.matches);
        if known && (own.out_port, own.vid) == (hop.out_port, hop.vid) {
            self.audit.seen_hops.insert(name);
        }
        known
    }

    /// All is told: repairs what the last audit had found as well.
    fn end_audit(&mut self, view: &View<'_>) {
        let mut found: Vec<Difference> = std::mem::take(&mut self.audit.strangers);
        let registered = self.paths().filter(|(name, path)| {
            matches!(path.state, State::Installed) && !self.audit.seen.contains(name)
        });
        found.extend(registered.map(|(name, _)| Difference::Entrance(name)));
        let hops = self
            .hops
            .iter()
            .filter(|(name, hop)| hop.confirmed && !self.audit.seen_hops.contains(name));
        let mut hops: Vec<HopName> = hops.map(|(name, _)| *name).collect();
        hops.sort_unstable();
        found.extend(hops.into_iter().map(Difference::Hop));
        let missing = standing(self.version).into_iter().map(|(_, priority)| priority);
        let missing = missing.filter(|priority| !self.audit.seen_standing.contains(priority));
        found.extend(missing.map(Difference::Standing));

        let (sure, unsure): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|one| self.audit.suspects.contains(one));
        self.audit.suspects = unsure.into_iter().take(REPAIRS).collect();
        let next = match self.audit.suspects.is_empty() {
            true => period(self.audit.entries, view.net.directory.len()),
            false => AUDIT_AGAIN.max(period(self.audit.entries, view.net.directory.len()) / 10),
        };
        self.audit.begin_next(view.now + next);
        if sure.is_empty() {
            return;
        }
        let (mut missing, mut strange) = (0, 0);
        for difference in sure.into_iter().take(REPAIRS) {
            match difference {
                Difference::Stranger(..) => strange += 1,
                _ => missing += 1,
            }
            self.repair(view, difference);
        }
        self.counters.repaired += missing + strange;
        let dpid = self.dpid;
        view.net.observer.event(&Event::Repaired { dpid, missing, strange });
    }

    fn repair(&mut self, view: &View<'_>, difference: Difference) {
        match difference {
            Difference::Entrance(name) => match self.registry.by_ref(name).map(|path| path.kind) {
                Some(Kind::Forward { .. }) => self.send_ingress(view, name, None),
                // The next frame of the kind is decided and brings it back.
                Some(Kind::Drop { .. }) => self.remove(view, name),
                None => {}
            },
            Difference::Hop(hop) => {
                let command = Command::Renew { hop, dpid: self.dpid };
                view.net.directory.insist_session(hop.path.session, command);
            }
            Difference::Standing(priority) => {
                let lost = standing(self.version).into_iter().find(|(_, p)| *p == priority);
                if let Some((matches, priority)) = lost {
                    self.send_standing(matches, priority);
                }
            }
            Difference::Stranger(table_id, priority, matches) => {
                let delete = FlowMod { table_id, ..FlowMod::delete_strict(matches, priority) };
                // What was read in this version can be said in it, but for what no flow-mod has.
                let _ = self.send_noted(&Message::FlowMod(delete), Sent::Other);
            }
        }
    }

    /// Sends the standing entries: to the controller, for as long as the switch is served.
    pub(crate) fn install_standing(&mut self) {
        for (matches, priority) in standing(self.version) {
            self.send_standing(matches, priority);
        }
    }

    fn send_standing(&mut self, matches: Match, priority: u16) {
        let entry = FlowMod::add(matches).priority(priority).cookie(STANDING_COOKIE);
        let entry = entry.apply(vec![Action::output(PortNo::CONTROLLER)]);
        self.infallible(&Message::FlowMod(entry), Sent::Other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audits_take_a_hundredth_of_a_core_at_most() {
        for (entries, switches) in [(0, 0), (10, 1), (100_000, 1), (100_000, 64), (1_000_000, 4096)]
        {
            let period = period(entries, switches);
            let cost = ENTRY_COST * entries * switches as u32;
            assert!(period >= AUDIT_PERIOD && cost * 100 <= period.max(AUDIT_PERIOD), "{entries}");
        }
    }
}

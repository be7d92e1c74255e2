//! The flow entries of applications on a switch of 1.0, where no cookie mask keeps the deletions of
//! one from the entries of another. Pure.
//!
//! Each entry gets a cookie of its own on the wire, so that what the switch tells of an entry finds
//! it whatever happened since. A modification or deletion becomes strict ones of the entries that the
//! application made itself and that are covered.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use umlaut_openflow::{
    Action, Cookie, Criteria, FlowMod, FlowModFlags, Instruction, Match, PortNo,
};

use crate::app::AppNo;
use crate::path::{app_cookie, of_app};

/// Entries of applications on one switch of 1.0. When there are as many, a further one is refused.
pub const ENTRIES: usize = 1 << 16;

/// An entry, from its flow-mod until the switch says that it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) app: AppNo,
    /// As the application gave it.
    pub(crate) cookie: Cookie,
    pub(crate) matches: Match,
    pub(crate) priority: u16,
    /// Whether the application wants to know when it ends.
    pub(crate) told: bool,
    outputs: Vec<PortNo>,
    key: Key,
}

type Key = (Criteria, u16);

/// The entries of one switch.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// By the number in the cookie on the wire: the order in which they were made. Deleted ones are
    /// here until the switch says that they ended.
    made: BTreeMap<u64, Entry>,
    /// Those that stand, by what makes two entries one for the switch.
    standing: HashMap<Key, u64, RandomState>,
    last: u64,
}

impl Entries {
    pub(crate) fn is_full(&self) -> bool {
        self.made.len() >= ENTRIES
    }

    pub(crate) fn clear(&mut self) {
        self.made.clear();
        self.standing.clear();
    }

    /// Enters what an add makes; one with the same match and priority is replaced, whoever made it.
    /// Returns the flow-mod as it goes to the switch.
    pub(crate) fn add(&mut self, app: AppNo, mut add: FlowMod) -> FlowMod {
        self.last += 1;
        let key = (Criteria::new(&add.matches), add.priority);
        let entry = Entry {
            app,
            cookie: add.cookie,
            matches: add.matches.clone(),
            priority: add.priority,
            told: add.flags.contains(FlowModFlags::SEND_FLOW_REM),
            outputs: outputs(&add.instructions),
            key: key.clone(),
        };
        self.made.insert(self.last, entry);
        if let Some(replaced) = self.standing.insert(key, self.last) {
            self.made.remove(&replaced);
        }
        add.cookie = app_cookie(app, Cookie(self.last)).unwrap_or_default();
        // Emergency entries of 1.0 do not end by themselves and may not ask for it.
        if !add.flags.contains(FlowModFlags::EMERG_OR_RESET_COUNTS) {
            add = add.flags(FlowModFlags::SEND_FLOW_REM);
        }
        add
    }

    /// The entries of an application that a modification or deletion means, with the cookies that
    /// they have on the wire, in the order in which they were made.
    pub(crate) fn chosen(
        &self,
        app: AppNo,
        flow_mod: &FlowMod,
        strict: bool,
    ) -> Vec<(Cookie, Match, u16)> {
        let wanted = Criteria::new(&flow_mod.matches);
        let (cookie, mask) = (flow_mod.cookie.0, flow_mod.cookie_mask);
        let stands = |(number, entry): &(&u64, &Entry)| {
            self.standing.get(&entry.key) == Some(*number)
                && entry.app == app
                && (entry.cookie.0 ^ cookie) & mask == 0
                && (flow_mod.out_port == PortNo::ANY || entry.outputs.contains(&flow_mod.out_port))
                && if strict {
                    entry.key.0 == wanted && entry.priority == flow_mod.priority
                } else {
                    wanted.covers(&entry.key.0)
                }
        };
        let wire = |number| app_cookie(app, Cookie(number)).unwrap_or_default();
        let chosen = self.made.iter().filter(stands);
        chosen.map(|(no, entry)| (wire(*no), entry.matches.clone(), entry.priority)).collect()
    }

    /// A deletion of an entry was sent: nothing else finds it from now on.
    pub(crate) fn deleted(&mut self, cookie: Cookie) {
        if let Some((number, entry)) = self.numbered(cookie)
            && self.standing.get(&entry.key) == Some(&number)
        {
            let key = entry.key.clone();
            self.standing.remove(&key);
        }
    }

    /// A modification of an entry was sent.
    pub(crate) fn modified(&mut self, cookie: Cookie, instructions: &[Instruction]) {
        let number = of_app(cookie).map(|(_, number)| number.0);
        if let Some(entry) = number.and_then(|number| self.made.get_mut(&number)) {
            entry.outputs = outputs(instructions);
        }
    }

    /// The entry with this cookie on the wire.
    pub(crate) fn find(&self, cookie: Cookie) -> Option<&Entry> {
        self.numbered(cookie).map(|(_, entry)| entry)
    }

    fn numbered(&self, cookie: Cookie) -> Option<(u64, &Entry)> {
        let (app, number) = of_app(cookie)?;
        let entry = self.made.get(&number.0).filter(|entry| entry.app == app)?;
        Some((number.0, entry))
    }

    /// An entry ended, or the switch refused it.
    pub(crate) fn remove(&mut self, cookie: Cookie) -> Option<Entry> {
        self.deleted(cookie);
        let (number, _) = self.numbered(cookie)?;
        self.made.remove(&number)
    }
}

fn outputs(instructions: &[Instruction]) -> Vec<PortNo> {
    let actions = instructions.iter().flat_map(|instruction| match instruction {
        Instruction::Apply(actions) | Instruction::Write(actions) => actions.as_slice(),
        _ => &[],
    });
    let ports = actions.filter_map(|action| match action {
        Action::Output { port, .. } | Action::Enqueue { port, .. } => Some(*port),
        _ => None,
    });
    ports.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: AppNo = AppNo(1);
    const B: AppNo = AppNo(2);

    fn to(port: u32) -> Match {
        Match::new().tcp_dst(port as u16)
    }

    fn entry(port: u32) -> FlowMod {
        FlowMod::add(to(port)).cookie(Cookie(7)).apply(vec![Action::output(PortNo(port))])
    }

    fn chosen(entries: &Entries, app: AppNo, flow_mod: &FlowMod, strict: bool) -> Vec<Match> {
        entries.chosen(app, flow_mod, strict).into_iter().map(|(_, matches, _)| matches).collect()
    }

    #[test]
    fn a_deletion_means_what_the_application_made_itself_and_it_covers() {
        let mut entries = Entries::default();
        for (app, port) in [(A, 1), (B, 2), (A, 3)] {
            entries.add(app, entry(port));
        }
        entries.add(A, entry(4).cookie(Cookie(8)));
        let all = FlowMod::delete(Match::new());
        assert_eq!(chosen(&entries, A, &all, false), [to(1), to(3), to(4)]);
        assert_eq!(chosen(&entries, B, &all, false), [to(2)]);
        assert_eq!(chosen(&entries, A, &FlowMod::delete(to(2)), false), []);
        assert_eq!(chosen(&entries, A, &all.clone().with_output_to(PortNo(3)), false), [to(3)]);
        let marked = FlowMod { cookie: Cookie(8), cookie_mask: u64::MAX, ..all };
        assert_eq!(chosen(&entries, A, &marked, false), [to(4)]);
        let strict = FlowMod::delete_strict(to(3), 0x8000);
        assert_eq!(chosen(&entries, A, &strict, true), [to(3)]);
        assert_eq!(chosen(&entries, A, &strict.priority(1), true), []);
    }

    #[test]
    fn an_entry_is_found_by_its_cookie_until_it_ended() {
        let mut entries = Entries::default();
        let first = entries.add(A, entry(1));
        assert!(first.flags.contains(FlowModFlags::SEND_FLOW_REM));
        assert_eq!(
            entries.find(first.cookie).map(|e| (e.cookie, e.told)),
            Some((Cookie(7), false))
        );
        entries.deleted(first.cookie);
        assert_eq!(chosen(&entries, A, &FlowMod::delete(to(1)), false), []);
        // The same entry again, before the switch told of the end of the first.
        let second = entries.add(A, entry(1).flags(FlowModFlags::SEND_FLOW_REM));
        assert!(entries.remove(first.cookie).is_some());
        assert_eq!(chosen(&entries, A, &FlowMod::delete(to(1)), false), [to(1)]);
        assert!(entries.remove(second.cookie).is_some_and(|entry| entry.told));
        assert_eq!(entries.remove(second.cookie), None);
        assert!(entries.made.is_empty() && entries.standing.is_empty());
    }

    #[test]
    fn one_that_is_added_over_another_takes_its_place() {
        let mut entries = Entries::default();
        let old = entries.add(A, entry(1));
        entries.add(B, entry(1));
        assert_eq!(entries.find(old.cookie), None);
        assert_eq!(chosen(&entries, A, &FlowMod::delete(Match::new()), false), []);
        assert_eq!(chosen(&entries, B, &FlowMod::delete(Match::new()), false), [to(1)]);
        assert_eq!(entries.made.len(), 1);
    }
}

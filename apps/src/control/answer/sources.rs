//! The lines of the policy file behind decisions. Runtime: looking a line up reads the file's text,
//! which is done where it stops nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use umlaut_controller::world::World;
use umlaut_slice_db::{Decision, DropReason, MemberId, RuleId, SliceId, Verdict};

use super::Vocabulary;
use crate::control::rows::Source;

/// Lines looked up for one answer; each costs a walk over the file. The sources of further members
/// and filters are named without their line.
const LINES: usize = 512;

/// What of a decision is told with an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grounds {
    pub(super) slice: Option<SliceId>,
    member: Option<MemberId>,
    rule: Option<RuleId>,
    pub(super) reason: Option<&'static str>,
}

impl From<&Decision> for Grounds {
    fn from(decision: &Decision) -> Grounds {
        let admission = decision.admission.as_ref().ok();
        Grounds {
            slice: admission.map(|admission| admission.slice),
            member: admission.map(|admission| admission.member),
            rule: decision.rule,
            reason: match &decision.verdict {
                Verdict::Drop(reason) => Some(DropReason::code(*reason)),
                Verdict::Forward { .. } | Verdict::Flood { .. } => None,
            },
        }
    }
}

/// Where the members and filters of an answer stand.
pub(super) struct Sources<P> {
    world: Arc<World<P>>,
    members: BTreeMap<MemberId, Option<usize>>,
    rules: BTreeMap<RuleId, Option<usize>>,
}

impl<P: Vocabulary> Sources<P> {
    /// Looks up what these decisions, made under this World, stand on.
    pub(super) async fn of(world: Arc<World<P>>, all: impl Iterator<Item = Grounds>) -> Sources<P> {
        let (mut members, mut rules) = (BTreeSet::new(), BTreeSet::new());
        for grounds in all {
            members.extend(grounds.member);
            rules.extend(grounds.rule);
        }
        let looked_up = world.clone();
        let lines = tokio::task::spawn_blocking(move || {
            let Some(policy) = looked_up.policy.slices().map(|slices| &slices.policy) else {
                return Default::default();
            };
            let mut left = LINES;
            let mut may = || {
                left = left.saturating_sub(1);
                left > 0
            };
            let members = members
                .into_iter()
                .map(|id| (id, may().then(|| policy.member_line(id)).flatten()))
                .collect();
            let rules = rules
                .into_iter()
                .map(|id| (id, may().then(|| policy.filter_line(id)).flatten()))
                .collect();
            (members, rules)
        });
        let (members, rules) = lines.await.unwrap_or_default();
        Sources { world, members, rules }
    }

    /// The member that admits.
    pub(super) fn member(&self, grounds: &Grounds) -> Option<Source> {
        let (id, slices) = (grounds.member?, self.world.policy.slices()?);
        let line = self.members.get(&id).copied().flatten();
        Some(self.source(slices.policy.member(id).id.to_string(), line))
    }

    /// The filter that decides.
    pub(super) fn filter(&self, grounds: &Grounds) -> Option<Source> {
        let (rule, slices) = (grounds.rule?, self.world.policy.slices()?);
        let line = self.rules.get(&rule).copied().flatten();
        Some(self.source(slices.policy.filter_name(rule).to_owned(), line))
    }

    fn source(&self, id: String, line: Option<usize>) -> Source {
        let file = self.world.policy.slices().map_or("", |slices| slices.policy.file());
        Source { id, file: file.to_owned(), line }
    }
}

//! Which filters were looked at, and what of each agreed with the frame. Pure.

use serde::Serialize;
use umlaut_openflow::packet::Field;

use super::{Line, line_of};
use crate::criteria;
use crate::decide::Decision;
use crate::filter::{FilterAction, RuleId, Subject};
use crate::policy::Policy;

/// Filters told one by one; where more were looked at, the nearest of those that did not match.
const TOLD: usize = 6;

/// What the filters said of a frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FilterWalk {
    /// Filters in the order in which they are asked: those nearest to the frame, and last the one
    /// that decided, if one matched.
    pub told: Vec<FilterLook>,
    /// Further filters that were asked and did not match.
    pub not_told: usize,
    /// Filters behind the one that decided, which were not asked.
    pub not_asked: usize,
    /// What happens if none matches.
    pub default: FilterAction,
}

/// A filter and a frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FilterLook {
    /// The filter's id.
    pub filter: String,
    /// Where it stands.
    pub line: Option<Line>,
    /// Its priority.
    pub priority: u32,
    /// What it does.
    pub action: FilterAction,
    /// Whether it decided.
    pub matches: bool,
    /// Its conditions.
    pub criteria: Vec<CriterionLook>,
}

/// A condition of a filter and a frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CriterionLook {
    /// The field, as the policy file calls it.
    pub field: &'static str,
    /// What the filter wants.
    pub wants: String,
    /// What the frame has.
    pub is: String,
    /// Whether the frame shows whether it agrees.
    pub known: bool,
    /// Whether that agrees. What cannot be known agrees with a denial, not with a permission.
    pub agrees: bool,
}

/// Looks at the filters as the decision did, up to the one that decided.
pub(super) fn walk(policy: &Policy, subject: &Subject<'_>, decision: &Decision) -> FilterWalk {
    let rules = policy.filters.rules();
    let decided = decision.rule.map(|rule| rule.0 as usize);
    let asked = &rules[..decided.unwrap_or(rules.len())];
    let misses = |index: usize| {
        let rule = &asked[index];
        rule.criteria.iter().filter(|c| !c.agrees(rule.action, subject)).count()
    };
    let room = if decided.is_some() { TOLD - 1 } else { TOLD };
    let mut nearest: Vec<(usize, usize)> =
        (0..asked.len()).map(|index| (misses(index), index)).collect();
    if nearest.len() > room {
        nearest.select_nth_unstable(room);
        nearest.truncate(room);
    }
    nearest.sort_unstable_by_key(|(_, index)| *index);
    let told: Vec<usize> = nearest.into_iter().map(|(_, index)| index).chain(decided).collect();
    FilterWalk {
        not_told: asked.len() + usize::from(decided.is_some()) - told.len(),
        not_asked: decided.map_or(0, |index| rules.len() - index - 1),
        told: told.into_iter().map(|index| look(policy, subject, index, decided)).collect(),
        default: policy.options.filter_default,
    }
}

fn look(
    policy: &Policy,
    subject: &Subject<'_>,
    index: usize,
    decided: Option<usize>,
) -> FilterLook {
    let id = RuleId(index as u32);
    let rule = policy.filters.rule(id);
    let criteria = rule.criteria.iter().map(|c| {
        let is = c.test.value(subject);
        CriterionLook {
            field: criteria::key(c.test, &rule.criteria),
            wants: criteria::value(policy, c.test, c.value, c.mask),
            is: criteria::found(policy, c.test, is),
            known: is != Field::Unknown,
            agrees: c.agrees(rule.action, subject),
        }
    });
    FilterLook {
        filter: rule.name.to_string(),
        line: policy.filter_line(id).map(|line| line_of(policy, line)),
        priority: rule.priority,
        action: rule.action,
        matches: decided == Some(index),
        criteria: criteria.collect(),
    }
}

impl FilterLook {
    /// `tcp_dst is 23, not 80`: what does not agree; all conditions where all do.
    fn words(&self) -> String {
        if !self.matches {
            let misses = self.criteria.iter().filter(|c| !c.agrees);
            let misses = misses.map(|c| format!("{} is {}, not {}", c.field, c.is, c.wants));
            return format!("no: {}", misses.collect::<Vec<_>>().join("; "));
        }
        let list = |known: bool| {
            let criteria = self.criteria.iter().filter(|c| c.known == known);
            criteria.map(|c| format!("{} {}", c.field, c.wants)).collect::<Vec<_>>().join(", ")
        };
        let (known, unknown) = (list(true), list(false));
        match (known.is_empty(), unknown.is_empty()) {
            (true, true) => "matches every frame".to_owned(),
            (false, true) => format!("matches: {known}"),
            (true, false) => format!("denies what is not known: {unknown}"),
            (false, false) => format!("matches: {known}; denies what is not known: {unknown}"),
        }
    }
}

impl FilterWalk {
    /// The filters as lines for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let name = |look: &FilterLook| {
            let action = super::says(look.action);
            format!("{} (priority {}, {action})", look.filter, look.priority)
        };
        let width = self.told.iter().map(|look| name(look).chars().count()).max().unwrap_or(0);
        let told = self.told.iter();
        let mut lines: Vec<String> =
            told.map(|look| format!("{:<width$}  {}", name(look), look.words())).collect();
        if self.not_told > 0 {
            lines.push(format!("{} more were asked and do not match", count(self.not_told)));
        }
        if self.not_asked > 0 {
            lines.push(format!("{} more come later and are not asked", count(self.not_asked)));
        }
        lines
    }
}

/// A number with its thousands apart.
pub(super) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

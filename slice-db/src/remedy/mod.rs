//! What would admit a refused frame: the smallest edits of the policy, each tried. Pure.
//!
//! ```text
//! refusal ─▶ candidates (edits and what each announces) ─▶ edit the text ─▶ parse ─▶ decide again
//!                                                              └ left out where the frame is no better off
//! ```
//! What an edit changes besides is announced as values ([`Announced`]), so that it can be tested that
//! nothing else changes.

mod candidates;
mod edit;
mod effect;
mod text;

use serde::Serialize;

pub use edit::{Bind, Change, Edit, Scope};
pub use effect::{Announced, Difference};
pub use text::NotEditable;

use crate::decide::{Decision, DropReason, Ingress, NoTrace, Verdict, decide};
use crate::network::Network;
use crate::policy::Policy;
use candidates::{Candidate, candidates};

/// Edits that are tried; each costs reading the file once more.
const TRIED: usize = 16;
/// The same for files above [`LARGE`].
const TRIED_OF_LARGE: usize = 3;
/// Bytes of a file that is slow to read.
const LARGE: usize = 1 << 20;
/// Bytes of a file that is too slow to read for this: no edit is tried.
const HUGE: usize = 16 << 20;

/// An edit that admits a refused frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Remedy {
    /// What is done, in words.
    pub text: String,
    /// What is done.
    pub edit: Edit,
    /// The lines of the file that change.
    pub lines: Vec<LineChange>,
    /// What then happens to the frame, in words.
    pub then: String,
    /// Whether it is then sent on.
    pub delivered: bool,
    /// What else changes. The frame itself is among it.
    pub announced: Vec<Announced>,
}

/// A line of the policy file that an edit adds, changes or takes away.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LineChange {
    /// The file.
    pub file: String,
    /// The line's number, after the edit for a new line.
    pub line: usize,
    /// What stands there; none for a new line.
    pub before: Option<String>,
    /// What is to stand there; none for a line that goes.
    pub after: Option<String>,
}

impl Remedy {
    /// Whether a change of a decision is among what was announced.
    pub fn announces(&self, difference: &Difference<'_>) -> bool {
        effect::is_announced(&self.announced, difference)
    }
}

/// What can be done about a refused frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Cure {
    /// Edits that admit it; where there is none, edits after which only the next reason refuses it.
    pub remedies: Vec<Remedy>,
    /// What else there is to say, or to do where no edit helps.
    pub advice: Option<&'static str>,
}

/// The edits that would admit a refused frame, each tried on the text of the policy. `network` makes
/// the network of a policy as the frame was decided in it.
pub fn cure<N: Network>(
    policy: &Policy,
    network: impl Fn(&Policy) -> N,
    ingress: Ingress<'_>,
    decision: &Decision,
) -> Cure {
    let Verdict::Drop(reason) = decision.verdict else {
        return Cure { remedies: vec![], advice: None };
    };
    let most = match policy.text.len() {
        length if length > HUGE => 0,
        length if length > LARGE => TRIED_OF_LARGE,
        _ => TRIED,
    };
    let mut remedies: Vec<Remedy> = candidates(policy, &network(policy), ingress, decision)
        .into_iter()
        .take(most)
        .filter_map(|candidate| tried(policy, &network, ingress, reason, candidate))
        .collect();
    // The order of the candidates stays among equals.
    remedies.sort_by_key(|remedy| !remedy.delivered);
    // What only takes the next hurdle is told where nothing takes them all.
    if remedies.first().is_some_and(|remedy| remedy.delivered) {
        remedies.retain(|remedy| remedy.delivered);
    }
    let advice = advice(reason, remedies.is_empty());
    Cure { remedies, advice }
}

/// Makes an edit and decides again; `None` if the frame is no better off.
fn tried<N: Network>(
    policy: &Policy,
    network: &impl Fn(&Policy) -> N,
    ingress: Ingress<'_>,
    reason: DropReason,
    candidate: Candidate,
) -> Option<Remedy> {
    let Candidate { edit, effects } = candidate;
    let text = edit.apply(policy).ok()?;
    let (after, _) = policy.reread(text.clone()).ok()?;
    let decision = decide(&after, &network(&after), ingress, &mut NoTrace);
    let then = match &decision.verdict {
        // Only another refusal: no cure.
        Verdict::Drop(now) if now.code() == reason.code() || decision.admission.is_err() => {
            return None;
        }
        // There are better slices to propose.
        Verdict::Drop(DropReason::OtherSlice)
            if matches!(reason, DropReason::NoBinding | DropReason::Restricted) =>
        {
            return None;
        }
        Verdict::Drop(now) => format!("DROP {}", now.code()),
        Verdict::Flood { outputs } => {
            let names: Vec<_> = outputs.iter().map(|at| after.attachment_name(*at)).collect();
            match names.len() {
                0..=4 => format!("FLOOD to {}", names.join(", ")),
                more => format!("FLOOD to {} and {} more", names[..3].join(", "), more - 3),
            }
        }
        Verdict::Forward { to } => format!("FORWARD to {}", after.attachment_name(*to)),
    };
    Some(Remedy {
        text: edit.to_string(),
        lines: changed_lines(policy.file(), &policy.text, &text),
        edit,
        then,
        delivered: !matches!(decision.verdict, Verdict::Drop(_)),
        announced: effects.into_iter().map(|effect| effect.announced(policy)).collect(),
    })
}

/// The lines in which two texts differ: each piece of lines that is not the same.
fn changed_lines(file: &str, before: &str, after: &str) -> Vec<LineChange> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let mut changes = Vec::new();
    let (mut a, mut b) = (0, 0);
    while a < old.len() || b < new.len() {
        if a < old.len() && old.get(a) == new.get(b) {
            (a, b) = (a + 1, b + 1);
            continue;
        }
        let was = old.get(a).map(|line| (*line).to_owned());
        let is = new.get(b).map(|line| (*line).to_owned());
        let file = file.to_owned();
        // An edit changes few lines: what comes next tells additions and removals from changes.
        let added = b < new.len() && (a >= old.len() || old.get(a) == new.get(b + 1));
        let removed = a < old.len() && (b >= new.len() || old.get(a + 1) == new.get(b));
        match (added, removed) {
            (true, _) => {
                changes.push(LineChange { file, line: b + 1, before: None, after: is });
                b += 1;
            }
            (false, true) => {
                changes.push(LineChange { file, line: a + 1, before: was, after: None });
                a += 1;
            }
            (false, false) => {
                changes.push(LineChange { file, line: a + 1, before: was, after: is });
                (a, b) = (a + 1, b + 1);
            }
        }
    }
    changes
}

/// What to do where an edit does not help, or not alone.
fn advice(reason: DropReason, helpless: bool) -> Option<&'static str> {
    Some(match reason {
        DropReason::DoubleTag => {
            "no line of the policy admits it: let the sender, or the switch before it, send at most \
             one 802.1Q tag"
        }
        DropReason::ReservedVid => {
            "no line of the policy admits it: let the sender use a VID from 1 to 4094"
        }
        DropReason::BadSource => {
            "no line of the policy admits it: give the sender's interface an address of its own"
        }
        DropReason::ReservedDestination => {
            "no line of the policy admits it, and none should: such frames are for the next bridge only"
        }
        DropReason::MoveGuard => {
            "no line of the policy admits it: it is admitted in a few seconds; moves to and fro mean \
             two hosts with one address, or a loop"
        }
        DropReason::SamePort => {
            "no line of the policy changes it: the frame has got there already; a destination that \
             has moved is found when it next sends something"
        }
        DropReason::NoPath => {
            "no member and no filter helps: repair the link or the port; with declared links, list \
             the link"
        }
        DropReason::NoReceivers if helpless => {
            "members that are bound by MAC address alone are found once they have sent something; \
             a member with a port is found before"
        }
        _ if helpless => "no edit was found that admits it alone",
        _ => return None,
    })
}

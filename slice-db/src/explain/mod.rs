//! Why a frame is admitted or refused: the slice flow chart with the branch taken. Pure.

mod filters;
mod points;

use std::fmt;

use serde::Serialize;
use umlaut_openflow::{Attachment, MacAddr};

use crate::decide::{Decision, DropReason, Ground, Ingress, Step, Trace, Verdict, decide};
use crate::filter::{FilterAction, Subject};
use crate::network::Network;
use crate::policy::{AdmittedBy, Binding, MemberId, Policy, Refusal, admit};

pub use filters::{CriterionLook, FilterLook, FilterWalk};
pub use points::{PointLook, Points};

/// One question of the flow chart and its answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Question {
    /// The question.
    pub question: String,
    /// The answer.
    pub answer: String,
    /// The line of the policy that gave it.
    pub line: Option<Line>,
    /// What was looked at on the way, line by line.
    #[serde(skip)]
    pub details: Vec<String>,
}

/// A line of the policy file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Line {
    /// The file.
    pub file: String,
    /// Its number, from 1.
    pub line: usize,
    /// Its text, trimmed.
    pub text: String,
}

/// A decision with its grounds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Explanation {
    /// The frame, in words.
    pub frame: String,
    /// Where it comes in.
    pub ingress: String,
    /// Its sender.
    pub source: String,
    /// Its destination.
    pub destination: String,
    /// The questions asked, in order.
    pub questions: Vec<Question>,
    /// `forward`, `flood` or `drop`.
    pub verdict: &'static str,
    /// For a drop: the code of its reason.
    pub reason: Option<&'static str>,
    /// The slice in which the sender speaks.
    pub slice: Option<String>,
    /// Where the frame goes.
    pub outputs: Vec<String>,
    /// The verdict in words.
    pub conclusion: String,
    /// What the filters were asked, if they were.
    pub filters: Option<FilterWalk>,
    /// The places of the slice, if the frame is for all of them.
    pub points: Option<Points>,
    /// For a refused sender: a member line that would admit it.
    pub remedy: Option<String>,
}

#[derive(Default)]
struct Steps(Vec<Step>);

impl Trace for Steps {
    fn step(&mut self, step: Step) {
        self.0.push(step);
    }
}

/// Decides and tells why. The decision is that of [`decide`].
pub fn explain<N: Network>(policy: &Policy, network: &N, ingress: Ingress<'_>) -> Explanation {
    explain_decision(policy, network, ingress).1
}

/// As [`explain`], with the decision.
pub fn explain_decision<N: Network>(
    policy: &Policy,
    network: &N,
    ingress: Ingress<'_>,
) -> (Decision, Explanation) {
    let mut steps = Steps::default();
    let decision = decide(policy, network, ingress, &mut steps);
    let headers = ingress.headers;
    let vid = headers.tag.vid().unwrap_or_default();
    let at = Attachment { dpid: ingress.dpid, port: ingress.port, vid };
    let mut questions = Vec::new();
    let mut filters = None;
    let mut points = None;
    let mut ask = |question: &str, answer: String, line: Option<Line>| {
        let details = Vec::new();
        questions.push(Question { question: question.to_owned(), answer, line, details });
    };
    if let (Verdict::Drop(reason), false) = (&decision.verdict, steps.0.contains(&Step::Sane)) {
        ask("may such a frame be forwarded at all?", format!("no: {}", in_words(*reason)), None);
    }
    for step in &steps.0 {
        match step {
            Step::Sane => {
                ask("may such a frame be forwarded at all?", "yes".into(), None);
                ask_admission(policy, at, headers.eth_src, &mut ask);
            }
            Step::MayAppear(true) | Step::Admitted(_) | Step::Refused(_) => {}
            Step::MayAppear(false) => {
                ask(
                    "may the host be here so soon?",
                    "no: it was elsewhere a moment ago".into(),
                    None,
                );
            }
            Step::Filtered { rule: Some(rule), action } => {
                let walk = filters.insert(walk(policy, ingress, &decision));
                let line = walk.told.last().and_then(|look| look.line.clone());
                let answer = format!("{}, by filter {}", says(*action), policy.filter_name(*rule));
                ask(FILTERS, answer, line);
            }
            Step::Filtered { rule: None, action } => {
                filters = Some(walk(policy, ingress, &decision));
                let answer = format!("{}: no filter matches", says(*action));
                ask(FILTERS, answer, None);
            }
            Step::Group => {
                ask(DESTINATION, "everywhere in the slice: a group address".into(), None)
            }
            Step::BoundElsewhere(other) => {
                let member = policy.by_mac(headers.eth_dst);
                let line = member.and_then(|member| member_line(policy, member));
                let answer = format!("no, it is bound to slice {}", policy.slice_name(*other));
                ask("may the destination receive in this slice?", answer, line);
            }
            Step::Located(location) => {
                let place = policy.attachment_name(location.at);
                let answer = match location.tentative {
                    true => format!("probably at {place}, where it was refused as a sender"),
                    false => format!("at {place}"),
                };
                let line = receiver_line(policy, &decision, *location, headers.eth_dst);
                ask(DESTINATION, answer, line);
            }
            Step::Unlocated => ask(DESTINATION, "not known".into(), None),
        }
    }
    let floods = steps.0.iter().any(|step| matches!(step, Step::Group | Step::Unlocated));
    if let (true, Ok(admission)) = (floods, &decision.admission) {
        points = Some(points::look(policy, network, admission.slice, at, headers.eth_dst));
    }
    for question in &mut questions {
        question.details = match question.question.as_str() {
            FILTERS => filters.iter().flat_map(FilterWalk::lines).collect(),
            DESTINATION => points.iter().flat_map(Points::lines).collect(),
            _ => Vec::new(),
        };
    }
    let told = conclude(policy, &decision, at, ingress, questions);
    (decision, Explanation { filters, points, ..told })
}

/// The question to the filters.
const FILTERS: &str = "what do the filters say?";
/// The question for the destination's place.
const DESTINATION: &str = "where is the destination?";

fn walk(policy: &Policy, ingress: Ingress<'_>, decision: &Decision) -> FilterWalk {
    let slice = decision.admission.as_ref().map_or(crate::SliceId(u32::MAX), |a| a.slice);
    let Ingress { dpid, port: in_port, headers } = ingress;
    filters::walk(policy, &Subject { slice, dpid, in_port, headers }, decision)
}

/// The line of the member that lets the destination receive where it is.
fn receiver_line(
    policy: &Policy,
    decision: &Decision,
    location: crate::Location,
    dst: MacAddr,
) -> Option<Line> {
    let slice = decision.admission.as_ref().ok()?.slice;
    let at = match &decision.verdict {
        Verdict::Forward { to } => *to,
        _ => location.at,
    };
    let grounds = [Ground::Static(Some(dst)), Ground::Static(None), Ground::Learned(dst)];
    let member =
        grounds.into_iter().find_map(|ground| points::member_of(policy, slice, at, ground))?;
    member_line(policy, member)
}

/// The flow chart of admission, every branch up to the one taken.
fn ask_admission(
    policy: &Policy,
    at: Attachment,
    src: MacAddr,
    ask: &mut impl FnMut(&str, String, Option<Line>),
) {
    let slice = |id: MemberId| policy.slice_name(policy.member(id).slice).to_owned();
    let admission = admit(policy, at, src);
    let q_mac = "is the source MAC bound to a slice?";
    if let Some(id) = policy.by_mac(src) {
        let line = member_line(policy, id);
        let answer = match admission {
            Err(Refusal::PinnedElsewhere) => {
                format!("to {}, but only at other ports", slice(id))
            }
            Err(Refusal::ForeignPort) => {
                format!("to {}, but this port belongs to another slice", slice(id))
            }
            _ => format!("yes, to {}", slice(id)),
        };
        return ask(q_mac, answer, line);
    }
    ask(q_mac, "no".into(), None);
    let q_port_mac = "is this MAC bound on this port?";
    if let Some(id) = policy.by_port_mac(at, src) {
        return ask(q_port_mac, format!("yes, to {}", slice(id)), member_line(policy, id));
    }
    ask(q_port_mac, "no".into(), None);
    let q_port = "is the port bound to a slice?";
    match (policy.by_port(at), admission) {
        (Some(id), Err(_)) => {
            let answer = format!("to {}, but it admits only listed hosts", slice(id));
            ask(q_port, answer, member_line(policy, id));
        }
        (Some(id), Ok(_)) => {
            ask(q_port, format!("yes, to {}", slice(id)), member_line(policy, id));
        }
        (None, _) => match other_vlan(policy, at) {
            Some((id, other)) => {
                let place = policy.attachment_name(other);
                ask(
                    q_port,
                    format!("no, but {place} is, to {}", slice(id)),
                    member_line(policy, id),
                );
            }
            None => ask(q_port, "no".into(), None),
        },
    }
}

/// A port member of the same port with another VLAN: what a wrong tag misses.
fn other_vlan(policy: &Policy, at: Attachment) -> Option<(MemberId, Attachment)> {
    let end = (at.dpid, at.port);
    let points =
        policy.slices_on(end).into_iter().flat_map(|slice| policy.static_points_on(slice, end));
    let anybody = points.filter(|point| point.only.is_none()).map(|point| point.at);
    anybody.into_iter().find_map(|other| Some((policy.by_port(other)?, other)))
}

fn says(action: FilterAction) -> &'static str {
    match action {
        FilterAction::Allow => "allow",
        FilterAction::Deny => "deny",
    }
}

fn line_of(policy: &Policy, line: usize) -> Line {
    Line { file: policy.file().to_owned(), line, text: policy.line(line).to_owned() }
}

fn member_line(policy: &Policy, id: MemberId) -> Option<Line> {
    policy.member_line(id).map(|line| line_of(policy, line))
}

fn conclude(
    policy: &Policy,
    decision: &Decision,
    at: Attachment,
    ingress: Ingress<'_>,
    questions: Vec<Question>,
) -> Explanation {
    let headers = ingress.headers;
    let slice = decision
        .admission
        .as_ref()
        .ok()
        .map(|admission| policy.slice_name(admission.slice).to_owned());
    let of_slice = slice.as_ref().map_or(String::new(), |slice| format!(" in slice {slice}"));
    let name = |at: &Attachment| policy.attachment_name(*at);
    let (verdict, reason, outputs, conclusion) = match &decision.verdict {
        Verdict::Drop(reason) => {
            let words = in_words(*reason);
            ("drop", Some(reason.code()), vec![], format!("DROP {}: {words}", reason.code()))
        }
        Verdict::Flood { outputs } => {
            let names: Vec<_> = outputs.iter().map(name).collect();
            let text = format!("FLOOD{of_slice} to {}", names.join(", "));
            ("flood", None, names, text)
        }
        Verdict::Forward { to } => {
            ("forward", None, vec![name(to)], format!("FORWARD{of_slice} to {}", name(to)))
        }
    };
    let remedy = match (&decision.verdict, &decision.admission) {
        (Verdict::Drop(reason), Err(_)) => {
            Some(suggest_member(policy, at, headers.eth_src, *reason)).filter(|s| !s.is_empty())
        }
        _ => None,
    };
    let frame = format!(
        "{} at {} to {}",
        policy.mac_name(headers.eth_src),
        policy.attachment_name(at),
        policy.mac_name(headers.eth_dst)
    );
    Explanation {
        frame,
        ingress: policy.attachment_name(at),
        source: headers.eth_src.to_string(),
        destination: headers.eth_dst.to_string(),
        questions,
        verdict,
        reason,
        slice,
        outputs,
        conclusion,
        filters: None,
        points: None,
        remedy,
    }
}

/// A reason in words.
fn in_words(reason: DropReason) -> &'static str {
    match reason {
        DropReason::DoubleTag => "the frame has a second VLAN tag, or one that is not 802.1Q",
        DropReason::ReservedVid => "VID 4095 is reserved",
        DropReason::BadSource => "the source is a group address or zero",
        DropReason::ReservedDestination => "bridges never forward to this destination",
        DropReason::NoBinding => "no member of any slice binds the sender",
        DropReason::Restricted => "the port admits only listed hosts",
        DropReason::PinnedElsewhere => "the sender is bound to other ports",
        DropReason::ForeignPort => "the sender stands on a port of another slice",
        DropReason::MoveGuard => "the sender was elsewhere a moment ago",
        DropReason::Filtered(_) => "a filter denies it",
        DropReason::FilterDefault => "no filter allows it",
        DropReason::OtherSlice => "the destination belongs to another slice",
        DropReason::SamePort => "the destination is where the frame came from",
        DropReason::NoPath => "there is no way to the destination now",
        DropReason::NoReceivers => "nobody else of the slice is known or reachable",
    }
}

/// The member line that would admit a refused sender, with the slice to add it to where the policy
/// suggests one; empty if no line would.
pub fn suggest_member(policy: &Policy, at: Attachment, mac: MacAddr, reason: DropReason) -> String {
    let port = match at.vid {
        umlaut_openflow::Vid::Untagged => {
            format!("port: {}/{}", policy.switch_name(at.dpid), at.port)
        }
        umlaut_openflow::Vid::Tagged(vid) => {
            format!("port: {}/{}, vlan: {vid}", policy.switch_name(at.dpid), at.port)
        }
    };
    match reason {
        DropReason::NoBinding => {
            format!("add to a slice's members: {{mac: \"{mac}\"}} or {{{port}}}")
        }
        DropReason::Restricted => {
            let slice = policy.by_port(at).map(|id| policy.slice_of(id));
            let slice = slice.map_or("the slice", |slice| policy.slice_name(slice));
            format!("add to the members of {slice}: {{{port}, mac: \"{mac}\"}}")
        }
        DropReason::PinnedElsewhere => match policy.by_mac(mac).map(|id| policy.member(id)) {
            Some(member) if matches!(member.binding, Binding::Mac { .. }) => format!(
                "add {}/{} to only_at of member {} of {}",
                policy.switch_name(at.dpid),
                at.port,
                member.id,
                policy.slice_name(member.slice)
            ),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

impl fmt::Display for Explanation {
    /// The flow chart as text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.frame)?;
        let width = self.questions.iter().map(|q| q.question.chars().count()).max().unwrap_or(0);
        for (index, q) in self.questions.iter().enumerate() {
            writeln!(f, " {:>2} {:<width$}  {}", index + 1, q.question, q.answer)?;
            if let Some(line) = &q.line {
                writeln!(f, "    {:<width$}  └ {}:{}: {}", "", line.file, line.line, line.text)?;
            }
            for detail in &q.details {
                writeln!(f, "       {detail}")?;
            }
        }
        write!(f, " => {}", self.conclusion)?;
        if let Some(remedy) = &self.remedy {
            write!(f, "\n    to admit it: {remedy}")?;
        }
        Ok(())
    }
}

/// Which kind of member admitted, in words.
impl fmt::Display for AdmittedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AdmittedBy::Mac => "its MAC address",
            AdmittedBy::PortMac => "its MAC address on its port",
            AdmittedBy::Port => "its port",
        })
    }
}

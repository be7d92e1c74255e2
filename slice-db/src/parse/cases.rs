//! Cases: sentences and maps. Pure.

use umlaut_openflow::{DatapathId, PortNo};

use super::reader::{At, Reader};
use crate::cases::{Case, Event, Expectation, Peer};
use crate::decide::DropReason;
use crate::diagnostic::nearest;
use crate::policy::Policy;
use crate::values;
use crate::yaml::{Node, Place};

const SENTENCES: &str = "A reaches B, A never reaches B, A never reaches any of SLICE, \
                         A is refused because REASON";

pub(super) fn read_cases(r: &mut Reader, at: &At<'_>, policy: &Policy) -> Vec<Case> {
    let mut cases = Vec::new();
    for (index, item) in r.items(at, "a list of cases").unwrap_or_default().iter().enumerate() {
        let case = match item.node {
            Node::Map(_) => read_map(r, item, policy),
            _ => r.text(item, "a case").and_then(|text| sentence(r, &item.place, &text, policy)),
        };
        cases.extend(case.map(|case| Case { item: index as u32, ..case }));
    }
    cases
}

fn read_map(r: &mut Reader, item: &At<'_>, policy: &Policy) -> Option<Case> {
    let known = ["from", "to", "expect", "because", "after", "before"];
    let fields = r.fields(item, "a case", &known)?;
    let after = match fields.get("after") {
        Some(at) => r
            .items(at, "a list of events")
            .map(|events| events.iter().filter_map(|event| read_event(r, event, policy)).collect()),
        None => Some(Vec::new()),
    };
    let silent = match fields.get("before") {
        Some(at) => r
            .value(at, "nobody spoke", |node| (node.scalar()? == "nobody spoke").then_some(()))
            .is_some(),
        None => false,
    };
    let Some(expect_at) = fields.get("expect") else {
        r.error("no-expectation", &item.place, "the case expects nothing").help("add expect: …");
        return None;
    };
    let expect = r.text(expect_at, "an expectation")?;
    if fields.get("from").is_none() && fields.get("to").is_none() {
        let case = sentence(r, &expect_at.place, &expect, policy)?;
        return Some(Case { after: after?, silent, ..case });
    }
    let from = match fields.get("from") {
        Some(at) => r.text(at, "a host").and_then(|name| peer(r, &at.place, &name, policy)),
        None => {
            r.error("no-sender", &item.place, "the case has no from");
            None
        }
    };
    let to = fields
        .get("to")
        .map(|at| r.text(at, "a host").and_then(|name| peer(r, &at.place, &name, policy)));
    let because = fields
        .get("because")
        .map(|at| r.text(at, "a reason").filter(|code| is_reason(r, &at.place, code)));
    let expect = match expect.as_str() {
        "reached" | "reaches" => Expectation::Reaches,
        "never reached" | "never reaches" => Expectation::NeverReaches,
        "refused" => Expectation::Refused { because: because.clone().flatten() },
        _ => {
            r.wrong(expect_at, "reached, never reached or refused");
            return None;
        }
    };
    let text = match (&from, &to) {
        (Some(from), Some(Some(to))) => format!("{} to {}", shown(from, policy), shown(to, policy)),
        (Some(from), _) => shown(from, policy),
        _ => String::new(),
    };
    if because == Some(None) || to == Some(None) {
        return None;
    }
    Some(Case { text, from: from?, to: to.flatten(), expect, after: after?, silent, item: 0 })
}

fn shown(peer: &Peer, policy: &Policy) -> String {
    match peer {
        Peer::Host { name, .. } => name.clone(),
        Peer::Slice(slice) => format!("any of {}", policy.slice_name(*slice)),
    }
}

fn sentence(r: &mut Reader, place: &Place, text: &str, policy: &Policy) -> Option<Case> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (from, to, expect) = match words[..] {
        [from, "reaches", to] => (from, Some((to, false)), Expectation::Reaches),
        [from, "never", "reaches", "any", "of", to] => {
            (from, Some((to, true)), Expectation::NeverReaches)
        }
        [from, "never", "reaches", to] => (from, Some((to, false)), Expectation::NeverReaches),
        [from, "is", "isolated", "from", to] => {
            (from, Some((to, false)), Expectation::NeverReaches)
        }
        [from, "is", "refused"] => (from, None, Expectation::Refused { because: None }),
        [from, "is", "refused", "because", reason] => {
            if !is_reason(r, place, reason) {
                return None;
            }
            (from, None, Expectation::Refused { because: Some(reason.to_owned()) })
        }
        _ => {
            r.error("unknown-sentence", place, format!("{text:?} is not a case"))
                .help(format!("known: {SENTENCES}"));
            return None;
        }
    };
    let from = peer(r, place, from, policy);
    let to = match to {
        Some((name, true)) => match policy.slice(name) {
            Some(slice) => Some(Peer::Slice(slice)),
            None => {
                unknown(r, place, name, "slice", policy);
                return None;
            }
        },
        Some((name, false)) => Some(peer(r, place, name, policy)?),
        None => None,
    };
    let text = text.to_owned();
    Some(Case { text, from: from?, to, expect, after: Vec::new(), silent: false, item: 0 })
}

/// A host, or else a slice.
fn peer(r: &mut Reader, place: &Place, name: &str, policy: &Policy) -> Option<Peer> {
    if let Some(host) = policy.host(name) {
        return Some(Peer::Host { name: host.name.clone(), mac: host.mac });
    }
    if let Some(slice) = policy.slice(name) {
        return Some(Peer::Slice(slice));
    }
    unknown(r, place, name, "host or slice", policy);
    None
}

fn unknown(r: &mut Reader, place: &Place, name: &str, what: &str, policy: &Policy) {
    let hosts = policy.hosts().map(|host| host.name.as_str());
    let near = nearest(name, hosts.chain(policy.slices().map(|(_, name)| name)));
    let note = r.error("unknown-host", place, format!("there is no {what} {name}"));
    if let Some(near) = near {
        note.help(format!("did you mean {near}?"));
    }
}

fn is_reason(r: &mut Reader, place: &Place, code: &str) -> bool {
    let known = DropReason::CODES.contains(&code);
    if !known {
        let note = r.error("unknown-reason", place, format!("there is no reason {code}"));
        match nearest(code, DropReason::CODES) {
            Some(near) => note.help(format!("did you mean {near}?")),
            None => note.help(format!("known: {}", DropReason::CODES.join(", "))),
        };
    }
    known
}

/// `link s1/24-s2/23 down`, `port s1/3 up`.
fn read_event(r: &mut Reader, at: &At<'_>, policy: &Policy) -> Option<Event> {
    let wanted = "an event (link s1/24-s2/23 down, port s1/3 up)";
    let text = r.text(at, wanted)?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut end = |text: &str| -> Option<(DatapathId, PortNo)> {
        let found = values::port(text, &policy.switches).ok();
        if found.is_none() {
            r.error("wrong-value", &at.place, format!("{text:?} is not a port of a known switch"));
        }
        found
    };
    match words[..] {
        ["link", ends, state @ ("up" | "down")] => {
            let Some((a, b)) = ends.split_once('-') else {
                r.wrong(at, wanted);
                return None;
            };
            let (a, b) = (end(a), end(b));
            Some(Event::Link { ends: [a?, b?], up: state == "up" })
        }
        ["port", port, state @ ("up" | "down")] => {
            Some(Event::Port { port: end(port)?, up: state == "up" })
        }
        _ => {
            r.wrong(at, wanted);
            None
        }
    }
}

//! Cases: sentences and maps. Pure.

use umlaut_openflow::{Attachment, MacAddr, Vid};

use super::filters;
use super::reader::{At, Fields, Reader};
use super::{read_port, read_vid, unknown_peer};
use crate::cases::{Case, Event, Expectation, FrameFields, FrameSpec, Peer};
use crate::decide::DropReason;
use crate::diagnostic::nearest;
use crate::filter::Test;
use crate::policy::Policy;
use crate::values;
use crate::yaml::{Node, Place};

const SENTENCES: &str = "A reaches B, A never reaches B, A never reaches any of SLICE, \
                         A is isolated from B, A is refused, A is refused because REASON";
/// The keys of a case besides protocol fields.
const KEYS: [&str; 10] =
    ["from", "to", "in", "vlan", "src", "dst", "expect", "because", "out", "after"];
const EXPECTED: &str = "reached, never reached, isolated, refused, forwarded or flooded";

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

/// Protocol fields of a case: the criteria of filters without those that say where a frame is.
fn protocol_names() -> impl Iterator<Item = &'static str> {
    let place = ["in_datapath", "in_datapath_id", "in_port", "eth_src", "eth_dst", "vlan_vid"];
    let original = ["dl_src", "dl_dst", "dl_vlan"];
    filters::names().filter(move |name| !place.contains(name) && !original.contains(name))
}

fn read_map(r: &mut Reader, item: &At<'_>, policy: &Policy) -> Option<Case> {
    let mut case = read_fields(r, item, policy)?;
    let Node::Map(entries) = item.node else { return Some(case) };
    for (key, value) in entries {
        let events: Vec<String> = match (key.scalar().as_deref(), value) {
            (Some("after"), Node::List(events)) => events.iter().filter_map(Node::scalar).collect(),
            (Some("after"), event) => event.scalar().into_iter().collect(),
            _ => continue,
        };
        case.text.push_str(&format!(", after {}", events.join(", ")));
    }
    if case.silent {
        case.text.push_str(", before anybody spoke");
    }
    Some(case)
}

fn read_fields(r: &mut Reader, item: &At<'_>, policy: &Policy) -> Option<Case> {
    let known: Vec<&'static str> =
        KEYS.into_iter().chain(["before"]).chain(protocol_names()).collect();
    let fields = r.fields(item, "a case", &known)?;
    let after = match fields.get("after") {
        Some(at) => read_events(r, at, policy),
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
    let frame = read_frame(r, &fields, policy);
    if fields.get("from").is_none() && fields.get("src").is_none() {
        let mut case = sentence(r, &expect_at.place, &expect, policy)?;
        for key in ["to", "out", "because"] {
            if let Some(at) = fields.get(key) {
                r.error("wrong-key", &at.place, format!("{key} says nothing beside a sentence"));
                return None;
            }
        }
        case.text.push_str(&field_words(&fields, &["in", "vlan", "dst"]));
        check_tags(r, &fields, &case.expect, frame.as_ref()?)?;
        return Some(Case { after: after?, silent, frame: frame?, ..case });
    }
    let mut named = |key: &str| {
        // A frame to all has no receiver of its own.
        let at = fields.get(key).filter(|at| at.node.scalar().as_deref() != Some("all"))?;
        Some(r.text(at, "a host or slice").and_then(|name| peer(r, &at.place, &name, policy)))
    };
    let (from, to) = (named("from"), named("to"));
    if from.is_none() && fields.get("in").is_none() {
        r.error("no-sender", &item.place, "the case says neither from whom nor where it comes in")
            .help("add from: HOST, or in: SWITCH/PORT");
        return None;
    }
    let expect = read_expectation(r, expect_at, &expect, &fields, policy);
    let text = words(&from, &to, &fields, policy);
    // A mistake was noted for each that is missing here.
    let (from, to) =
        (from.map_or(Some(None), |p| p.map(Some)), to.map_or(Some(None), |p| p.map(Some)));
    let (from, to, expect) = (from?, to?, expect?);
    let meets =
        matches!(expect, Expectation::Reaches | Expectation::NeverReaches | Expectation::Isolated);
    if meets && (from.is_none() || to.is_none()) {
        r.error("no-receiver", &item.place, "such a case needs from and to");
        return None;
    }
    check_tags(r, &fields, &expect, frame.as_ref()?)?;
    let text = format!("{text}: {}", expect.words(policy));
    Some(Case { text, from, to, frame: frame?, expect, after: after?, silent, item: 0 })
}

/// A case as one line, for reports.
fn words(
    from: &Option<Option<Peer>>,
    to: &Option<Option<Peer>>,
    fields: &Fields<'_>,
    policy: &Policy,
) -> String {
    let shown = |peer: &Option<Option<Peer>>| match peer {
        Some(Some(Peer::Host(name))) => Some(name.clone()),
        Some(Some(Peer::Slice(slice))) => Some(format!("any of {}", policy.slice_name(*slice))),
        _ => None,
    };
    let given = |key: &str| fields.get(key).and_then(|at| at.node.scalar());
    let from = shown(from).or(given("src")).unwrap_or_default();
    // Addresses are named where somebody else is: they say more than the peers do.
    let mut keys = vec!["in", "vlan"];
    keys.extend((given("src").as_ref() != Some(&from)).then_some("src"));
    keys.extend(shown(to).is_some().then_some("dst"));
    let to = shown(to).or(given("dst")).unwrap_or_else(|| "all".to_owned());
    format!("{from} to {to}{}", field_words(fields, &keys))
}

/// What a case says of its frame under these keys and by protocol fields: `, vlan 20, tcp_dst 23`.
fn field_words(fields: &Fields<'_>, keys: &[&'static str]) -> String {
    let mut text = String::new();
    for key in keys.iter().copied().chain(protocol_names()) {
        let Some(at) = fields.get(key) else { continue };
        let value = match at.node {
            Node::List(items) => {
                let items: Vec<String> = items.iter().filter_map(Node::scalar).collect();
                Some(format!("[{}]", items.join(", ")))
            }
            node => node.scalar(),
        };
        if let Some(value) = value {
            text.push_str(&format!(", {key} {value}"));
        }
    }
    text
}

/// Tags that no host speaks with are for cases on what is decided.
fn check_tags(
    r: &mut Reader,
    fields: &Fields<'_>,
    expect: &Expectation,
    frame: &FrameSpec,
) -> Option<()> {
    let meets =
        matches!(expect, Expectation::Reaches | Expectation::NeverReaches | Expectation::Isolated);
    match fields.get("vlan").filter(|_| meets && frame.vids.is_some()) {
        None => Some(()),
        Some(at) => {
            let message = "hosts speak without a tag or with one of 1 to 4094";
            r.error("wrong-value", &at.place, message)
                .help("such tags are for cases that expect refused, forwarded or flooded");
            None
        }
    }
}

/// The VLAN of a case's frame: that of its place, and its tags where they are of none.
fn read_tags(r: &mut Reader, at: Option<&At<'_>>) -> Option<(Vid, Option<Vec<u16>>)> {
    let wanted = "a VLAN id (1 to 4094), 0 or 4095, or a list of two";
    let vid = |node: &Node| values::up_to(node, 4095).map(|vid| vid as u16);
    let Some(at) = at else { return Some((Vid::Untagged, None)) };
    let vids = match at.node {
        Node::List(items) if items.len() == 2 => items.iter().map(vid).collect(),
        Node::List(_) => None,
        node => match values::vlan(node) {
            Some(vid) => return Some((Vid::Tagged(vid), None)),
            None => vid(node).map(|vid| vec![vid]),
        },
    };
    if vids.is_none() {
        r.wrong(at, wanted);
    }
    vids.map(|vids: Vec<u16>| (Vid::Untagged, Some(vids)))
}

/// Ingress, addresses and protocol fields.
fn read_frame(r: &mut Reader, fields: &Fields<'_>, policy: &Policy) -> Option<FrameSpec> {
    let (vid, vids) = read_tags(r, fields.get("vlan")).unzip();
    let at = match (fields.get("in"), fields.get("vlan")) {
        (Some(at), _) => {
            let end = read_port(r, at, &policy.switches);
            Some(end.zip(vid).map(|((dpid, port), vid)| Attachment { dpid, port, vid }))
        }
        (None, Some(at)) => {
            r.error("vlan-without-port", &at.place, "the case has a vlan, but does not say where")
                .help("add in: SWITCH/PORT");
            return None;
        }
        (None, None) => None,
    };
    let mut mac = |key: &str| {
        let at = fields.get(key)?;
        let text = at.node.scalar().unwrap_or_default();
        let host = policy.host(&text).map(|host| host.mac);
        Some(match (text.as_str(), host) {
            ("all", _) if key == "dst" => Some(MacAddr::BROADCAST),
            (_, Some(mac)) => Some(mac),
            (text, None) => match text.parse::<MacAddr>() {
                Ok(mac) => Some(mac),
                Err(_) => {
                    r.wrong(at, "a MAC address or a host of the policy");
                    None
                }
            },
        })
    };
    let (src, dst) = (mac("src"), mac("dst"));
    let mut criteria = filters::read_criteria(r, fields, policy)?;
    criteria.retain(|c| !matches!(c.test, Test::Slice));
    for (name, at) in fields.iter() {
        let prefix = at.node.scalar().is_some_and(|text| text.contains('/'));
        if prefix && protocol_names().any(|known| known == name) {
            r.error("prefix", &at.place, "a frame has one address, not a range of them");
            return None;
        }
    }
    Some(FrameSpec {
        at: at.map_or(Some(None), |at| at.map(Some))?,
        src: src.map_or(Some(None), |mac| mac.map(Some))?,
        dst: dst.map_or(Some(None), |mac| mac.map(Some))?,
        fields: FrameFields(criteria),
        vids: vids.flatten(),
    })
}

fn read_expectation(
    r: &mut Reader,
    at: &At<'_>,
    expect: &str,
    fields: &Fields<'_>,
    policy: &Policy,
) -> Option<Expectation> {
    let because = match fields.get("because") {
        Some(at) => {
            let code = r.text(at, "a reason")?;
            Some(reason(r, &at.place, &code)?)
        }
        None => None,
    };
    let out = match fields.get("out") {
        Some(at) => Some(read_outputs(r, at, policy)?),
        None => None,
    };
    let found = match expect {
        "reached" | "reaches" => Expectation::Reaches,
        "never reached" | "never reaches" => Expectation::NeverReaches,
        "isolated" => Expectation::Isolated,
        "refused" => Expectation::Refused { because: because.clone() },
        "forwarded" => match out.as_deref() {
            None => Expectation::Forwarded { out: None },
            Some([one]) => Expectation::Forwarded { out: Some(*one) },
            Some(_) => {
                r.error("wrong-out", &at.place, "a frame that is forwarded comes out at one place")
                    .help("give one place in out, or expect flooded");
                return None;
            }
        },
        "flooded" => Expectation::Flooded { out: out.clone() },
        _ => {
            r.wrong(at, EXPECTED);
            return None;
        }
    };
    let takes_out = matches!(found, Expectation::Forwarded { .. } | Expectation::Flooded { .. });
    let takes_reason = matches!(found, Expectation::Refused { .. });
    for (key, takes) in [("out", takes_out), ("because", takes_reason)] {
        if let (Some(at), false) = (fields.get(key), takes) {
            r.error(
                "wrong-key",
                &at.place,
                format!("{key} says nothing when {expect} is expected"),
            );
            return None;
        }
    }
    Some(found)
}

/// `s1/3`, `{port: s2/4, vlan: 20}`, or a list of them.
fn read_outputs(r: &mut Reader, at: &At<'_>, policy: &Policy) -> Option<Vec<Attachment>> {
    let items = match at.node {
        Node::List(_) => r.items(at, "a list of places")?,
        _ => vec![at.clone()],
    };
    let mut outputs = Vec::new();
    for item in &items {
        outputs.push(match item.node {
            Node::Map(_) => {
                let fields =
                    r.fields(item, "a place ({port: s2/4, vlan: 20})", &["port", "vlan"])?;
                let Some(port) = fields.get("port") else {
                    r.error("no-port", &item.place, "the place has no port");
                    return None;
                };
                let (dpid, port) = read_port(r, port, &policy.switches)?;
                Attachment { dpid, port, vid: read_vid(r, fields.get("vlan"))? }
            }
            _ => {
                let (dpid, port) = read_port(r, item, &policy.switches)?;
                Attachment { dpid, port, vid: Vid::Untagged }
            }
        });
    }
    for (index, output) in outputs.iter().enumerate() {
        if let Some(first) = outputs[..index].iter().position(|other| other == output) {
            let message = format!("{} is given twice", policy.attachment_name(*output));
            r.error("repeated-place", &items[index].place, message)
                .other(&items[first].place, "first here");
            return None;
        }
    }
    outputs.sort_unstable();
    Some(outputs)
}

fn sentence(r: &mut Reader, place: &Place, text: &str, policy: &Policy) -> Option<Case> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (from, to, expect) = match words[..] {
        [from, "reaches", to] => (from, Some((to, false)), Expectation::Reaches),
        [from, "never", "reaches", "any", "of", to] => {
            (from, Some((to, true)), Expectation::NeverReaches)
        }
        [from, "never", "reaches", to] => (from, Some((to, false)), Expectation::NeverReaches),
        [from, "is", "isolated", "from", to] => (from, Some((to, false)), Expectation::Isolated),
        [from, "is", "refused"] => (from, None, Expectation::Silenced { because: None }),
        [from, "is", "refused", "because", code] => {
            let code = reason(r, place, code)?;
            (from, None, Expectation::Silenced { because: Some(code) })
        }
        _ => {
            r.error("unknown-sentence", place, format!("{text:?} is not a case"))
                .help(format!("known: {SENTENCES}"));
            return None;
        }
    };
    let sender = peer(r, place, from, policy);
    let to = match to {
        Some((name, true)) => match policy.slice(name) {
            Some(slice) => Some(Peer::Slice(slice)),
            None if policy.host(name).is_some() => {
                r.error("unknown-host", place, format!("{name} is a host, not a slice"))
                    .help(format!("write: {from} never reaches {name}"));
                return None;
            }
            None => {
                unknown_peer(r, place, name, "slice", policy);
                return None;
            }
        },
        Some((name, false)) => Some(peer(r, place, name, policy)?),
        None => None,
    };
    Some(Case {
        text: text.to_owned(),
        from: Some(sender?),
        to,
        frame: FrameSpec::default(),
        expect,
        after: Vec::new(),
        silent: false,
        item: 0,
    })
}

/// A host with a place, or else a slice.
fn peer(r: &mut Reader, place: &Place, name: &str, policy: &Policy) -> Option<Peer> {
    if let Some(host) = policy.host(name) {
        if host.at.is_none() {
            r.error("no-place", place, format!("host {name} has no place"))
                .help(format!("add at: SWITCH/PORT to host {name}"));
            return None;
        }
        return Some(Peer::Host(host.name.clone()));
    }
    if let Some(slice) = policy.slice(name) {
        return Some(Peer::Slice(slice));
    }
    unknown_peer(r, place, name, "host or slice", policy);
    None
}

/// A reason by its code, also as it is written in code: `NoBinding`.
fn reason(r: &mut Reader, place: &Place, written: &str) -> Option<String> {
    let mut code = String::new();
    for c in written.chars() {
        if c.is_ascii_uppercase() && !code.is_empty() {
            code.push('-');
        }
        code.push(c.to_ascii_lowercase());
    }
    if DropReason::CODES.contains(&code.as_str()) {
        return Some(code);
    }
    let note = r.error("unknown-reason", place, format!("there is no reason {written}"));
    match nearest(&code, DropReason::CODES) {
        Some(near) => note.help(format!("did you mean {near}?")),
        None => note.help(format!("known: {}", DropReason::CODES.join(", "))),
    };
    None
}

const EVENTS: &str = "an event: link s1/24-s2/23 down (or up), port s1/3 down (or up), \
                      switch s1 stops (starts, restarts), controller restarts, \
                      HOST moves to s2/4 (or to s2/4 vlan 20), HOST speaks, everyone speaks, \
                      policy FILE, 90 seconds pass (or minutes)";

fn read_events(r: &mut Reader, at: &At<'_>, policy: &Policy) -> Option<Vec<Event>> {
    let items = match at.node {
        Node::List(_) => r.items(at, "a list of events")?,
        _ => vec![at.clone()],
    };
    if items.is_empty() {
        r.error("no-events", &at.place, "after lists no event").help("leave after out");
        return None;
    }
    let read: Vec<_> = items.iter().map(|item| read_event(r, item, policy)).collect();
    read.into_iter().collect()
}

fn read_event(r: &mut Reader, at: &At<'_>, policy: &Policy) -> Option<Event> {
    let text = r.text(at, EVENTS)?;
    let words: Vec<&str> = text.split_whitespace().collect();
    Some(match words[..] {
        ["link", ends, state @ ("up" | "down")] => {
            let Some((a, b)) = ends.split_once('-') else {
                r.wrong(at, EVENTS);
                return None;
            };
            let (a, b) = (end(r, at, a, policy), end(r, at, b, policy));
            let (a, b) = (a?, b?);
            if !policy.links.iter().any(|link| *link == (a, b) || *link == (b, a)) {
                r.error("unknown-link", &at.place, format!("there is no link {ends}"))
                    .help("links are listed under links:");
                return None;
            }
            Event::Link { ends: [a, b], up: state == "up" }
        }
        ["port", port, state @ ("up" | "down")] => {
            Event::Port { port: end(r, at, port, policy)?, up: state == "up" }
        }
        ["switch", name, state @ ("stops" | "starts" | "restarts")] => {
            let named = policy.switches.get(name).copied().or_else(|| name.parse().ok());
            let Some(dpid) = named else {
                let note =
                    r.error("unknown-switch", &at.place, format!("there is no switch {name}"));
                if let Some(near) = nearest(name, policy.switches.keys().map(String::as_str)) {
                    note.help(format!("did you mean {near}?"));
                }
                return None;
            };
            match state {
                "restarts" => Event::SwitchRestarts(dpid),
                state => Event::Switch { dpid, up: state == "starts" },
            }
        }
        ["controller", "restarts"] => Event::ControllerRestarts,
        ["everyone", "speaks"] => Event::EveryoneSpeaks,
        [host, "speaks"] => Event::Speaks(placed(r, at, host, policy)?),
        [host, "moves", "to", place] => {
            let (dpid, port) = end(r, at, place, policy)?;
            let to = Attachment { dpid, port, vid: Vid::Untagged };
            Event::Moves { host: placed(r, at, host, policy)?, to }
        }
        [host, "moves", "to", place, "vlan", vid] => {
            let (dpid, port) = end(r, at, place, policy)?;
            let Some(vid) = values::vlan(&Node::Text(vid.to_owned())) else {
                r.error("wrong-value", &at.place, format!("{vid:?} is not a VLAN id (1 to 4094)"));
                return None;
            };
            let to = Attachment { dpid, port, vid: Vid::Tagged(vid) };
            Event::Moves { host: placed(r, at, host, policy)?, to }
        }
        ["policy", _, ..] => Event::Policy(text.trim_start()["policy".len()..].trim().to_owned()),
        [number, unit, "pass" | "passes"] => {
            let seconds = match unit {
                "s" | "second" | "seconds" => Some(1),
                "min" | "minute" | "minutes" => Some(60),
                "h" | "hour" | "hours" => Some(3600),
                _ => None,
            };
            let number = number.parse::<u64>().ok();
            let Some(seconds) = number.zip(seconds).and_then(|(n, unit)| n.checked_mul(unit))
            else {
                r.wrong(at, EVENTS);
                return None;
            };
            Event::Pass(seconds)
        }
        _ => {
            r.wrong(at, EVENTS);
            return None;
        }
    })
}

/// A port within an event.
fn end(
    r: &mut Reader,
    at: &At<'_>,
    text: &str,
    policy: &Policy,
) -> Option<(umlaut_openflow::DatapathId, umlaut_openflow::PortNo)> {
    let node = Node::Text(text.to_owned());
    read_port(r, &At { node: &node, place: at.place.clone() }, &policy.switches)
}

/// A host of the policy that has a place.
fn placed(r: &mut Reader, at: &At<'_>, name: &str, policy: &Policy) -> Option<String> {
    match peer(r, &at.place, name, policy)? {
        Peer::Host(name) => Some(name),
        Peer::Slice(_) => {
            r.error("unknown-host", &at.place, format!("{name} is a slice, not a host"));
            None
        }
    }
}

//! What becomes of a frame, why, and what the switches do with it now. Runtime.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json, to_value};
use umlaut_controller::Event;
use umlaut_controller::path::PathRef;
use umlaut_controller::runtime::SwitchHandle;
use umlaut_controller::topology::Topology;
use umlaut_openflow::packet::Headers;
use umlaut_openflow::{
    Attachment, DatapathId, FlowMod, FlowStats, MacAddr, Match, PortNo, Version,
};
use umlaut_slice_db::{DropReason, Ingress};

use super::each::run;
use super::{Control, Vocabulary};
use crate::control::events::EVENTS;
use crate::control::protocol::Problem;
use crate::control::server::{Ended, Writer};
use crate::explain::frame::{self, Described, ETHERNET_HEADER, Mistaken};
use crate::explain::live::{
    End, Live, Met, Whereabouts, admitted_nowhere, compare, effects, look_up, whose,
};
use crate::explain::ofctl;
use crate::sliceable::SlicePolicy;

/// How long a switch may take to tell its flows.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a frame in hex: headers are in front.
pub(crate) const FRAME_DIGITS: usize = 4096;

/// Refusals that are told of a host.
const REFUSALS: usize = 4;

/// The question, as a client puts it.
pub(super) struct Asked {
    pub(super) at: Option<String>,
    pub(super) frame: Option<String>,
    pub(super) described: Described,
}

impl From<Mistaken> for Problem {
    fn from(mistaken: Mistaken) -> Problem {
        Problem::new("bad-frame", mistaken.0)
    }
}

impl Asked {
    fn headers(&self, slices: &SlicePolicy) -> Result<Headers, Problem> {
        let Some(hex) = &self.frame else { return Ok(self.described.headers(&slices.policy)?) };
        let digits = hex.as_bytes();
        let pairs = digits.chunks(2).map(|pair| {
            let text = std::str::from_utf8(pair).ok().filter(|text| text.len() == 2)?;
            u8::from_str_radix(text, 16).ok()
        });
        let bytes: Option<Vec<u8>> = pairs.take(FRAME_DIGITS / 2).collect();
        match bytes {
            Some(bytes) if bytes.len() < ETHERNET_HEADER => {
                let text = format!("{} bytes are no Ethernet frame", bytes.len());
                Err(Problem::new("bad-frame", text))
            }
            Some(bytes) => Ok(Headers::parse(&bytes)),
            None => Err(Problem::new("bad-frame", "the frame is not in hex digits")),
        }
    }
}

pub(super) async fn answer<P: Vocabulary>(
    control: &Control<P>,
    asked: Asked,
    writer: &mut Writer,
) -> Result<Value, Ended> {
    let world = control.shared.world.load();
    let Some(slices) = world.policy.slices() else {
        return Err(Problem::new("unsupported", "this application has no slices").into());
    };
    let headers = asked.headers(slices)?;
    let (dpid, port) = match &asked.at {
        Some(text) => frame::port(&slices.policy, text).map_err(Problem::from)?,
        None => {
            let at = place_of(control, slices, headers.eth_src)?;
            (at.dpid, at.port)
        }
    };
    let turn = control.questions.acquire().await;
    // Deciding is quick; looking lines up and trying edits reads the policy file.
    let (shared, same) = (control.shared.clone(), world.clone());
    let peers = control.shared.net.directory.peers();
    let version = move |dpid: DatapathId| {
        let peer = peers.iter().find(|(peer, _)| *peer == dpid);
        peer.map_or(Version::V1_3, |(_, peer)| peer.version)
    };
    let spoken = version.clone();
    let told = tokio::task::spawn_blocking(move || {
        let ingress = Ingress { dpid, port, headers: &headers };
        shared
            .ask(&same, Instant::now(), |cx| P::explained(cx, ingress, &|dpid| vec![spoken(dpid)]))
    });
    let Some(explained) = told.await.ok().flatten() else {
        return Err(Problem::new("internal", "the frame could not be explained").into());
    };
    let walk = Walk { control, topology: &world.topology, slices, version: &version };
    let (entries, end) = walk.follow((dpid, port), headers).await;
    drop(turn);
    let reply = entries.iter().any(|met| met.whose == Some("reply"));
    let (outcome, agrees, mut remark) =
        compare(&slices.policy, explained.decision(), &end, entries.len() == 1, reply);
    let planned = explained.becomes.hops.iter().map(|hop| &hop.from);
    if agrees && matches!(end, End::Delivered(_)) && planned.ne(entries.iter().map(|met| &met.from))
    {
        remark = Some("by another way than a new path would take".to_owned());
    }
    let mut hosts = whereabouts(control, slices, headers.eth_src);
    if !headers.eth_dst.is_group() {
        hosts.extend(whereabouts(control, slices, headers.eth_dst));
    }
    let live = Live { hosts, entries, outcome, agrees, remark };
    let mut text = explained.to_string();
    for line in live.lines() {
        text.push_str("\n    ");
        text.push_str(&line);
    }
    let mut row = to_value(&explained)?;
    row["line"] = explained.line().into();
    row["live"] = to_value(&live)?;
    row["text"] = text.into();
    writer.row(Ok(row)).await?;
    Ok(json!({}))
}

/// Where a host is, if it is known at one place only.
fn place_of<P: Vocabulary>(
    control: &Control<P>,
    slices: &SlicePolicy,
    mac: MacAddr,
) -> Result<Attachment, Problem> {
    let mut places = HashSet::new();
    for (slice, _) in slices.policy.slices() {
        let entry = control.shared.net.hosts.locate((slices.domain(slice), mac));
        places.extend(entry.map(|entry| entry.at));
    }
    let mut places = places.into_iter();
    match (places.next(), places.next()) {
        (Some(at), None) => Ok(at),
        (None, _) => {
            let text = format!(
                "{}: {}; say where the frame comes in with --in",
                slices.policy.mac_name(mac),
                admitted_nowhere(&refused(control, slices, mac))
            );
            Err(Problem::new("bad-frame", text))
        }
        (Some(_), Some(_)) => {
            let text = format!(
                "{} is at more than one place: say where the frame comes in with --in",
                slices.policy.mac_name(mac)
            );
            Err(Problem::new("bad-frame", text))
        }
    }
}

fn whereabouts<P: Vocabulary>(
    control: &Control<P>,
    slices: &SlicePolicy,
    mac: MacAddr,
) -> Vec<Whereabouts> {
    let host = slices.policy.mac_name(mac);
    let now = Instant::now();
    let found = slices.policy.slices().filter_map(|(slice, name)| {
        let entry = control.shared.net.hosts.locate((slices.domain(slice), mac))?;
        Some(Whereabouts {
            host: host.clone(),
            slice: Some(name.to_owned()),
            at: Some(slices.policy.attachment_name(entry.at)),
            tentative: entry.tentative,
            seen_seconds: Some(now.saturating_duration_since(entry.last_seen()).as_secs()),
            refused: Vec::new(),
        })
    });
    let found: Vec<Whereabouts> = found.collect();
    match found.is_empty() {
        false => found,
        true => vec![Whereabouts {
            host: host.clone(),
            slice: None,
            at: None,
            tentative: false,
            seen_seconds: None,
            refused: refused(control, slices, mac),
        }],
    }
}

/// Where and why a host was refused under the policy of now, the latest first: `s1/3 (no-binding)`.
fn refused<P: Vocabulary>(control: &Control<P>, slices: &SlicePolicy, mac: MacAddr) -> Vec<String> {
    let (_, events) = control.events.take(0, EVENTS);
    let mac = mac.to_string();
    let of_now = events.iter().rev().map(|recorded| &recorded.event);
    let of_now = of_now.take_while(|event| !matches!(event, Event::PolicyInForce { .. }));
    let refusals = of_now.filter_map(|event| match event {
        // One that reached nobody was admitted.
        Event::Refused { host, at, reason, .. }
            if *host == mac && *reason != DropReason::NoReceivers.code() =>
        {
            let place = frame::place(&slices.policy, at).ok()?;
            Some(format!("{} ({reason})", slices.policy.attachment_name(place)))
        }
        _ => None,
    });
    refusals.take(REFUSALS).collect()
}

/// A walk from switch to switch, as the entries lead.
struct Walk<'a, P: Vocabulary, V> {
    control: &'a Control<P>,
    topology: &'a Topology,
    slices: &'a SlicePolicy,
    version: &'a V,
}

impl<P: Vocabulary, V: Fn(DatapathId) -> Version> Walk<'_, P, V> {
    /// The entries that a frame meets, and where it ends.
    async fn follow(&self, from: (DatapathId, PortNo), mut headers: Headers) -> (Vec<Met>, End) {
        let mut entries = Vec::new();
        let mut been = HashSet::new();
        let mut at = from;
        loop {
            if !been.insert(at) {
                return (entries, End::Lost("the entries lead in a circle".to_owned()));
            }
            let switch = SwitchHandle::new(&self.control.shared, at.0);
            let name = self.slices.policy.switch_name(at.0);
            let flows = switch.flow_stats(Match::new(), PATIENCE).await;
            let Ok(flows) = flows else {
                return (entries, End::Lost(format!("{name} does not tell its flows")));
            };
            let version = (self.version)(at.0);
            let found = look_up(version, &flows, at.1, &headers);
            entries.push(self.met(at, version, found).await);
            let Some(flow) = found else { return (entries, End::Controller) };
            let done = effects(&flow.instructions, at.1, headers.tag);
            if let Some(beyond) = done.beyond {
                return (entries, End::Lost(format!("{name} does {beyond}")));
            }
            let (to_controller, out): (Vec<_>, Vec<_>) =
                done.outputs.into_iter().partition(|(port, _)| *port == PortNo::CONTROLLER);
            let mut delivered = Vec::new();
            let mut next = None;
            for (port, tag) in out {
                match self.topology.peer(at.0, port) {
                    Some(peer) => next = Some((peer, tag)),
                    None => {
                        let vid = tag.vid().unwrap_or_default();
                        delivered.push((Attachment { dpid: at.0, port, vid }, tag));
                    }
                }
            }
            match (next, delivered.is_empty(), to_controller.is_empty()) {
                (Some((peer, tag)), true, _) => {
                    headers.tag = tag;
                    at = peer;
                }
                (Some(_), false, _) => {
                    return (entries, End::Lost(format!("{name} sends it several ways")));
                }
                (None, false, _) => return (entries, End::Delivered(delivered)),
                (None, true, false) => return (entries, End::Controller),
                (None, true, true)
                    if entries.last().is_some_and(|met| met.whose == Some("storm")) =>
                {
                    return (entries, End::Blocked);
                }
                (None, true, true) => return (entries, End::Dropped),
            }
        }
    }

    async fn met(
        &self,
        (dpid, port): (DatapathId, PortNo),
        version: Version,
        found: Option<&FlowStats>,
    ) -> Met {
        let switch = self.slices.policy.switch_name(dpid);
        let from = format!("{switch}/{port}");
        let bare = Met {
            switch,
            from,
            whose: None,
            flow: None,
            packets: None,
            bytes: None,
            seconds: None,
        };
        let Some(flow) = found else { return bare };
        let entry = FlowMod {
            priority: flow.priority,
            cookie: flow.cookie,
            idle_timeout: flow.idle_timeout,
            hard_timeout: flow.hard_timeout,
            instructions: flow.instructions.clone(),
            ..FlowMod::add(flow.matches.clone())
        };
        let apps = self.control.shared.apps.names().count();
        Met {
            whose: Some(whose(flow, apps, self.is_registered(flow).await)),
            flow: Some(ofctl::flow_mod(version, &entry)),
            packets: Some(flow.packet_count),
            bytes: Some(flow.byte_count),
            seconds: Some(flow.duration.as_secs()),
            ..bare
        }
    }

    /// Whether the path of an entry is registered.
    async fn is_registered(&self, flow: &FlowStats) -> bool {
        let net = &self.control.shared.net;
        let Some(name) = PathRef::from_cookie(flow.cookie, net.epoch) else { return false };
        let peers = net.directory.peers();
        let owner = peers.iter().find(|(_, peer)| peer.session == name.session);
        let Some((owner, _)) = owner else { return false };
        let switch = SwitchHandle::new(&self.control.shared, *owner);
        let held = run(&switch, move |switch, _| !switch.still_registered(&[name]).is_empty());
        held.await.unwrap_or(false)
    }
}

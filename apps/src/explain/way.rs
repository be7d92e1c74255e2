//! What a decision becomes in the switches: the way hop by hop, and the entries. Pure.
//!
//! Ways and entries come from the planner of the running controller
//! ([`umlaut_controller::plan`]); nothing is worked out here.

use serde::Serialize;
use umlaut_controller::DropClass;
use umlaut_controller::path::{FlowKey, Leg, PathRef, SessionNo};
use umlaut_controller::plan::{Plan, by_switch, drop_flow_mod};
use umlaut_controller::program::{Unmatchable, flood_actions, tag_after};
use umlaut_controller::topology::Topology;
use umlaut_openflow::packet::{Headers, Tag};
use umlaut_openflow::{Attachment, Cookie, DatapathId, FlowMod, PortNo, Version};
use umlaut_slice_db::{Decision, Ingress, Policy, Verdict};

use super::ofctl;
use crate::sliceable::{SlicePolicy, carry};

/// What a decision becomes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Becomes {
    /// The switches that a forwarded frame crosses, in order; empty where the way is not known.
    pub hops: Vec<HopLook>,
    /// Entries that would be installed.
    pub entries: Vec<EntryLook>,
    /// Frames that the controller sends out itself.
    pub packet_outs: Vec<PacketOutLook>,
    /// What else there is to say.
    pub notes: Vec<String>,
}

/// A switch on the way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HopLook {
    /// The switch.
    pub switch: String,
    /// Where the frame comes in.
    pub from: String,
    /// With which tag: `untagged`, `priority tag`, `tagged 20`.
    pub from_tag: String,
    /// Where it goes out.
    pub to: String,
    /// With which tag.
    pub to_tag: String,
}

/// An entry on a switch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct EntryLook {
    /// The switch.
    pub switch: String,
    /// The OpenFlow version.
    pub openflow: String,
    /// For the reply's way back.
    pub reply: bool,
    /// The entry as `ovs-ofctl add-flow` takes it.
    pub flow: Option<String>,
    /// Why there is none.
    pub none: Option<String>,
}

/// A packet-out on a switch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PacketOutLook {
    /// The switch.
    pub switch: String,
    /// The OpenFlow version.
    pub openflow: String,
    /// Its actions, as `ovs-ofctl` writes them.
    pub actions: String,
}

/// Which OpenFlow version is spoken with a switch: told in each of these versions.
pub type Versions<'a> = &'a dyn Fn(DatapathId) -> Vec<Version>;

/// A tag in words.
pub fn tag_name(tag: Tag) -> String {
    match tag {
        Tag::None => "untagged".to_owned(),
        Tag::Priority { .. } => "priority tag".to_owned(),
        Tag::Vlan { vid, .. } => format!("tagged {vid}"),
        Tag::Reserved => "tagged 4095".to_owned(),
    }
}

/// What is said of a policy file without links.
const CONNECTED: &str = "the policy lists no links: all switches are taken as connected";

/// Works out what a decision becomes. `ways_known`: the topology has the links that there are.
pub fn becomes(
    slices: &SlicePolicy,
    topology: &Topology,
    ways_known: bool,
    ingress: Ingress<'_>,
    decision: &Decision,
    versions: Versions<'_>,
) -> Becomes {
    let mut all = Becomes::default();
    let policy = &slices.policy;
    match &decision.verdict {
        Verdict::Forward { to } => {
            let Ok(admission) = &decision.admission else { return all };
            let apart = carry::arp_apart(policy.options(), ingress.headers);
            if !ways_known && to.dpid != ingress.dpid {
                all.notes.push(format!("{CONNECTED}, so the way and its entries are not known"));
                return all;
            }
            let from = (ingress.dpid, ingress.port);
            let ends = (admission.slice, *to);
            let route = carry::route(slices, ingress.headers, decision, ends);
            let Some(plan) = Plan::new(topology, from, ingress.headers, route) else {
                all.notes.push("there is no way over known links".to_owned());
                return all;
            };
            all.hops = hops(policy, &plan, ingress.headers.tag);
            match apart {
                true => {
                    all.notes.push("ARP is forwarded frame by frame: no entry".to_owned());
                    all.packet_outs = packet_outs(policy, ingress, &[*to], versions);
                }
                false => all.entries = entries(policy, &plan, versions),
            }
        }
        Verdict::Flood { outputs } => {
            all.notes.push("floods install nothing: the controller sends each frame".to_owned());
            if !ways_known && outputs.iter().any(|to| to.dpid != ingress.dpid) {
                all.notes.push(CONNECTED.to_owned());
            }
            all.packet_outs = packet_outs(policy, ingress, outputs, versions);
        }
        Verdict::Drop(reason) => match carry::drop_class(*reason) {
            Some(class) => all.entries = drops(policy, ingress, decision, class, versions),
            None => all.notes.push("no entry: each such frame is looked at again".to_owned()),
        },
    }
    all
}

fn hops(policy: &Policy, plan: &Plan, mut tag: Tag) -> Vec<HopLook> {
    let port = |dpid, port: PortNo| format!("{}/{port}", policy.switch_name(dpid));
    let mut looks = Vec::new();
    for hop in &plan.hops {
        let from_tag = tag_name(tag);
        if let Some(vid) = hop.vid {
            tag = tag_after(tag, vid);
        }
        looks.push(HopLook {
            switch: policy.switch_name(hop.dpid),
            from: port(hop.dpid, hop.in_port),
            from_tag,
            to: port(hop.dpid, hop.out_port),
            to_tag: tag_name(tag),
        });
    }
    looks
}

/// No path of a running controller: its cookie is left out.
const NOBODY: PathRef = PathRef { session: SessionNo(0), slot: 0, generation: 0 };

fn entries(policy: &Policy, plan: &Plan, versions: Versions<'_>) -> Vec<EntryLook> {
    let mut looks = Vec::new();
    let most = plan.hops.iter().map(|hop| versions(hop.dpid).len()).max().unwrap_or(0);
    for index in 0..most {
        let version = |dpid: DatapathId| {
            let spoken = versions(dpid);
            spoken.get(index).or(spoken.last()).copied().unwrap_or(Version::V1_3)
        };
        for planned in plan.entries(NOBODY, 0, version) {
            let reply = planned.leg == Leg::Reverse;
            let version = version(planned.dpid);
            looks.push(entry(policy, planned.dpid, version, reply, planned.flow_mod));
        }
    }
    looks
}

fn drops(
    policy: &Policy,
    ingress: Ingress<'_>,
    decision: &Decision,
    class: DropClass,
    versions: Versions<'_>,
) -> Vec<EntryLook> {
    let width = carry::width(policy.options(), ingress.headers, decision);
    let key = FlowKey::new(ingress.port, ingress.headers, width);
    let looks = versions(ingress.dpid).into_iter().map(|version| {
        let flow_mod = drop_flow_mod(version, &key, class, Cookie(0));
        entry(policy, ingress.dpid, version, false, flow_mod)
    });
    looks.collect()
}

fn entry(
    policy: &Policy,
    dpid: DatapathId,
    version: Version,
    reply: bool,
    flow_mod: Result<FlowMod, Unmatchable>,
) -> EntryLook {
    let (flow, none) = match flow_mod {
        Ok(flow_mod) => {
            let bare = FlowMod { cookie: Cookie(0), ..flow_mod };
            (Some(ofctl::flow_mod(version, &bare)), None)
        }
        Err(unmatchable) => (None, Some(format!("{unmatchable}: frames go one by one"))),
    };
    EntryLook { switch: policy.switch_name(dpid), openflow: version.to_string(), reply, flow, none }
}

fn packet_outs(
    policy: &Policy,
    ingress: Ingress<'_>,
    outputs: &[Attachment],
    versions: Versions<'_>,
) -> Vec<PacketOutLook> {
    let Headers { tag, .. } = *ingress.headers;
    let mut looks = Vec::new();
    for (dpid, outputs) in by_switch(outputs) {
        // On other switches the frame comes from the controller.
        let in_port = if dpid == ingress.dpid { ingress.port } else { PortNo::ANY };
        for version in versions(dpid) {
            let actions = flood_actions(version, in_port, tag, &outputs);
            looks.push(PacketOutLook {
                switch: policy.switch_name(dpid),
                openflow: version.to_string(),
                actions: ofctl::actions(version, &actions),
            });
        }
    }
    looks
}

impl Becomes {
    /// For people, line by line.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(first) = self.hops.first() {
            let mut way = format!("{} {}", first.from, first.from_tag);
            for (index, hop) in self.hops.iter().enumerate() {
                if index > 0 {
                    way.push_str(&format!(" = {}", hop.from));
                }
                way.push_str(&format!(" -> {} {}", hop.to, hop.to_tag));
            }
            lines.push(format!("way: {way}"));
        }
        for entry in &self.entries {
            let what = if entry.reply { "reply entry" } else { "entry" };
            let says = entry.flow.as_ref().or(entry.none.as_ref()).map_or("", String::as_str);
            lines.push(format!("{what} on {} ({}): {says}", entry.switch, entry.openflow));
        }
        for out in &self.packet_outs {
            lines.push(format!("packet-out on {} ({}): {}", out.switch, out.openflow, out.actions));
        }
        lines.extend(self.notes.iter().cloned());
        lines
    }
}

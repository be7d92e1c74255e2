//! What a route becomes: the key of a path, its hops and the entries of each. Pure.
//!
//! [`Switch`](crate::Switch) sends what is planned here, audits compare with it, and whoever wants to
//! know what would be installed asks the same functions.
//!
//! ```text
//! Route ─▶ Plan::new(topology) ─▶ key, hops, way back ─▶ hop_entry ─▶ flow_mod(version)
//! ```

use std::collections::BTreeMap;

use umlaut_openflow::packet::Headers;
use umlaut_openflow::{
    Attachment, Cookie, DatapathId, FieldSet, FlowMod, FlowModFlags, PortNo, Version, Vid,
};

use crate::command::HopEntry;
use crate::path::{DropClass, FlowKey, Hop, Hops, Leg, Mark, PATH_PRIORITY, PathRef, Route};
use crate::program::{Unmatchable, flow_match, forward_actions, reply_headers};
use crate::topology::Topology;

/// How long a drop entry of each class lives.
pub const DENIED_SECONDS: u16 = 60;
/// See [`DENIED_SECONDS`].
pub const NO_PATH_SECONDS: u16 = 1;
/// See [`DENIED_SECONDS`].
pub const STORM_SECONDS: u16 = 2;

/// How long a drop entry lives.
pub fn drop_seconds(class: DropClass) -> u16 {
    match class {
        DropClass::Denied => DENIED_SECONDS,
        DropClass::NoPath => NO_PATH_SECONDS,
        DropClass::Storm => STORM_SECONDS,
    }
}

/// What the entries of a path with a way back match beside what the decision read, as far as the
/// frame has it.
const REPLIED: FieldSet = FieldSet::IP_PROTO
    .union(FieldSet::IPV4_SRC)
    .union(FieldSet::IPV4_DST)
    .union(FieldSet::TP_SRC)
    .union(FieldSet::TP_DST)
    .union(FieldSet::ICMP_TYPE);

/// A path before it is registered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// What the application wants.
    pub route: Route,
    /// Which frames.
    pub key: FlowKey,
    /// The switches in order, ingress first.
    pub hops: Hops,
}

/// An entry of a path on a switch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    /// The switch.
    pub dpid: DatapathId,
    /// Which way.
    pub leg: Leg,
    /// The entry, or what keeps it from being one: frames are then forwarded one by one.
    pub flow_mod: Result<FlowMod, Unmatchable>,
}

impl Plan {
    /// The path of frames like this one, which comes in at `from`. `None`: there is no way.
    pub fn new(
        topology: &Topology,
        from: (DatapathId, PortNo),
        headers: &Headers,
        route: Route,
    ) -> Option<Plan> {
        let hops = hops(topology, from, route.egress)?;
        Some(Plan { key: key(from.1, headers, &route), route, hops })
    }

    /// The way back; empty if the route asks for none or such frames have no one reply.
    pub fn reverse(&self) -> Hops {
        way_back(&self.key.headers, &self.route, &self.hops)
    }

    /// All entries: those of the way in order, then those of the way back. `version` says what is
    /// spoken with a switch.
    pub fn entries(
        &self,
        name: PathRef,
        epoch: u8,
        version: impl Fn(DatapathId) -> Version,
    ) -> Vec<Planned> {
        let Plan { route, key, hops } = self;
        let reverse = self.reverse();
        let back = reply(&key.headers, route).map(|reply| (Leg::Reverse, reply, &reverse[..]));
        let legs = [(Leg::Forward, key.headers, &hops[..])].into_iter().chain(back);
        let mut planned = Vec::new();
        for (leg, headers, hops) in legs {
            for (index, hop) in hops.iter().enumerate() {
                let entry = hop_entry(name, leg, key, &headers, route, hop, index);
                let flow_mod = flow_mod(version(hop.dpid), &entry, epoch);
                planned.push(Planned { dpid: hop.dpid, leg, flow_mod });
            }
        }
        planned
    }
}

/// The hops from a port to an attachment, over the shortest way. `None`: there is no way.
pub(crate) fn hops(
    topology: &Topology,
    from: (DatapathId, PortNo),
    egress: Attachment,
) -> Option<Hops> {
    let mut hops = Hops::new();
    let mut at = from;
    for step in topology.path(from.0, egress.dpid)? {
        hops.push(Hop { dpid: at.0, in_port: at.1, out_port: step.out_port, vid: None });
        at = (step.next, step.next_port);
    }
    let (dpid, in_port) = at;
    hops.push(Hop { dpid, in_port, out_port: egress.port, vid: Some(egress.vid) });
    Some(hops)
}

/// The reply's headers, if the route wants replies to have a way back and such frames have one reply.
pub(crate) fn reply(headers: &Headers, route: &Route) -> Option<Headers> {
    reply_headers(headers, route.egress.vid).filter(|_| route.reverse)
}

/// The key under which frames like this one are registered. A way back that no filter is asked about
/// is for the replies to these frames only, so it widens the key.
pub(crate) fn key(in_port: PortNo, headers: &Headers, route: &Route) -> FlowKey {
    let replied = reply(headers, route).is_some();
    let width = if replied { route.width.union(REPLIED) } else { route.width };
    FlowKey::new(in_port, headers, width)
}

/// The way back of a path; empty if it has none.
pub(crate) fn way_back(headers: &Headers, route: &Route, hops: &[Hop]) -> Hops {
    match reply(headers, route) {
        Some(_) => reversed(hops, headers.tag.vid().unwrap_or_default()),
        None => Hops::new(),
    }
}

/// The way back over the same switches, ending with the VLAN that the sender uses.
pub(crate) fn reversed(hops: &[Hop], ingress_vid: Vid) -> Hops {
    let last = hops.len() - 1;
    hops.iter()
        .rev()
        .enumerate()
        .map(|(index, hop)| Hop {
            dpid: hop.dpid,
            in_port: hop.out_port,
            out_port: hop.in_port,
            vid: (index == last).then_some(ingress_vid),
        })
        .collect()
}

/// The entry of a hop, the `index`th of its leg. `headers` are those of the leg's frames.
pub(crate) fn hop_entry(
    path: PathRef,
    leg: Leg,
    key: &FlowKey,
    headers: &Headers,
    route: &Route,
    hop: &Hop,
    index: usize,
) -> HopEntry {
    let width = match leg {
        Leg::Forward => key.width,
        // A reply need not repeat priorities.
        Leg::Reverse => {
            key.width.without(FieldSet::IP_DSCP | FieldSet::IP_ECN | FieldSet::VLAN_PCP)
        }
    };
    let later = u16::try_from(index).unwrap_or(u16::MAX);
    HopEntry {
        path,
        mark: Mark { leg, first: index == 0, last: hop.vid.is_some() },
        domain: route.domain,
        in_port: hop.in_port,
        headers: *headers,
        width,
        out_port: hop.out_port,
        vid: hop.vid,
        idle_timeout: match route.idle_timeout {
            0 => 0,
            idle => idle.saturating_add(later),
        },
        hard_timeout: route.hard_timeout,
    }
}

/// An entry as a switch of this version is asked for it.
pub(crate) fn flow_mod(
    version: Version,
    entry: &HopEntry,
    epoch: u8,
) -> Result<FlowMod, Unmatchable> {
    let matches = flow_match(version, entry.in_port, &entry.headers, entry.width)?;
    let tag = entry.headers.tag;
    let actions = forward_actions(version, entry.in_port, tag, entry.out_port, entry.vid);
    Ok(FlowMod::add(matches)
        .priority(PATH_PRIORITY)
        .cookie(entry.path.cookie(epoch, entry.mark))
        .timeouts(entry.idle_timeout, entry.hard_timeout)
        .flags(FlowModFlags::SEND_FLOW_REM)
        .apply(actions))
}

/// The entry that drops frames of a kind at a switch for a while.
///
/// # Errors
/// A field of the key cannot be matched: no such entry is made.
pub fn drop_flow_mod(
    version: Version,
    key: &FlowKey,
    class: DropClass,
    cookie: Cookie,
) -> Result<FlowMod, Unmatchable> {
    let matches = flow_match(version, key.in_port, &key.headers, key.width)?;
    Ok(FlowMod::add(matches)
        .priority(class.priority())
        .cookie(cookie)
        .timeouts(0, drop_seconds(class)))
}

/// Outputs by switch: a flooded frame goes out in one packet-out on each.
pub fn by_switch(outputs: &[Attachment]) -> BTreeMap<DatapathId, Vec<(PortNo, Vid)>> {
    let mut by_switch: BTreeMap<DatapathId, Vec<(PortNo, Vid)>> = BTreeMap::new();
    for output in outputs {
        by_switch.entry(output.dpid).or_default().push((output.port, output.vid));
    }
    by_switch
}

#[cfg(test)]
mod tests {
    use umlaut_openflow::packet::Field;
    use umlaut_openflow::{Action, Instruction, MacAddr, VlanId};

    use super::*;
    use crate::hosts::Domain;
    use crate::path::SessionNo;
    use crate::topology::Link;

    /// Two switches, port 24 of the first cabled to port 23 of the second.
    fn line() -> Topology {
        let (a, b) = ((DatapathId(1), PortNo(24)), (DatapathId(2), PortNo(23)));
        let switches = [1, 2]
            .into_iter()
            .fold(Topology::default(), |topology, dpid| topology.with_switch(DatapathId(dpid), []));
        switches.with_link(Link { from: a, to: b }).with_link(Link { from: b, to: a })
    }

    #[test]
    fn a_plan_has_an_entry_for_every_hop_and_for_every_hop_back() {
        let headers = Headers {
            eth_src: MacAddr::from_u64(1),
            eth_dst: MacAddr::from_u64(2),
            eth_type: Field::Is(0x0800),
            ip_proto: Field::Is(6),
            ipv4_src: Field::Is([10, 0, 0, 1].into()),
            ipv4_dst: Field::Is([10, 0, 0, 2].into()),
            tp_src: Field::Is(1000),
            tp_dst: Field::Is(22),
            ..Headers::default()
        };
        let vlan = Vid::Tagged(VlanId::new(20).unwrap());
        let egress = Attachment { dpid: DatapathId(2), port: PortNo(5), vid: vlan };
        let route = |reverse| Route {
            domain: Domain(0),
            egress,
            width: FieldSet::LAYER_2,
            idle_timeout: 60,
            hard_timeout: 0,
            reverse,
        };
        let name = PathRef { session: SessionNo(0), slot: 0, generation: 0 };
        let from = (DatapathId(1), PortNo(1));
        let plan = |reverse| Plan::new(&line(), from, &headers, route(reverse)).unwrap();
        let shape = |plan: &Plan| {
            let all = plan.entries(name, 0, |_| Version::V1_3);
            let of = |planned: Planned| {
                let flow_mod = planned.flow_mod.unwrap();
                let Some(Instruction::Apply(actions)) = flow_mod.instructions.first().cloned()
                else {
                    panic!("{flow_mod:?}")
                };
                let changes = actions.len() > 1;
                let Some(Action::Output { port, .. }) = actions.last() else { panic!() };
                (planned.dpid.0, planned.leg, port.0, changes, flow_mod.idle_timeout)
            };
            all.into_iter().map(of).collect::<Vec<_>>()
        };
        let forward = [(1, Leg::Forward, 24, false, 60), (2, Leg::Forward, 5, true, 61)];
        assert_eq!(shape(&plan(false)), forward);
        let back = [(2, Leg::Reverse, 23, false, 60), (1, Leg::Reverse, 1, true, 61)];
        assert_eq!(shape(&plan(true)), [forward, back].concat());
        assert!(plan(true).key.width.contains(FieldSet::TP_DST), "for the replies only");
        let apart = Topology::default().with_switch(DatapathId(1), []);
        assert_eq!(Plan::new(&apart, from, &headers, route(false)), None);
    }
}

//! Edits that may admit a refused frame, with what each changes besides, the smallest first. Pure.
//!
//! They are proposals: whether one helps is found by making it.

use umlaut_openflow::packet::Field;
use umlaut_openflow::{Attachment, MacAddr};

use super::edit::{Bind, Change, Edit, Scope, pin, scalar};
use super::effect::{Effect, Where, Whose};
use super::text::Document;
use crate::criteria;
use crate::decide::{Decision, DropReason, Ingress, Verdict};
use crate::filter::{Criterion, RuleId, Subject, Test};
use crate::network::Network;
use crate::policy::{Binding, MemberId, Policy, SliceId};
use crate::yaml::{Node, Place};

/// Slices that a sender without one is proposed to.
const SLICES: usize = 4;

/// An edit and what it changes.
pub(super) struct Candidate {
    pub(super) edit: Edit,
    pub(super) effects: Vec<Effect>,
}

/// The edits proposed for a refused frame.
pub(super) fn candidates<N: Network>(
    policy: &Policy,
    network: &N,
    ingress: Ingress<'_>,
    decision: &Decision,
) -> Vec<Candidate> {
    let headers = ingress.headers;
    let (Verdict::Drop(reason), Some(vid)) = (&decision.verdict, headers.tag.vid()) else {
        return vec![];
    };
    let at = Attachment { dpid: ingress.dpid, port: ingress.port, vid };
    let (src, dst) = (headers.eth_src, headers.eth_dst);
    let proposer = Proposer { policy };
    let speaks = decision.admission.as_ref().ok().map(|admission| admission.slice);
    let mut all = Vec::new();
    match reason {
        DropReason::NoBinding => {
            for slice in proposer.likely_slices(network, at, dst) {
                for bind in [Bind::PortMac(at, src), Bind::Mac(src), Bind::Port(at)] {
                    all.push(proposer.add_member(slice, bind));
                }
            }
        }
        DropReason::Restricted => {
            let Some(port) = policy.by_port(at) else { return vec![] };
            let own = policy.member(port).slice;
            let first = proposer.slices_of(network, dst).filter(|slice| *slice != own);
            for slice in first.into_iter().chain([own]) {
                all.push(proposer.add_member(slice, Bind::PortMac(at, src)));
                all.push(proposer.add_member(slice, Bind::Mac(src)));
            }
            all.extend(proposer.unrestrict(port));
        }
        DropReason::PinnedElsewhere => {
            let member = policy.by_mac(src);
            all.extend(member.map(|member| proposer.add_pin(member, src, at)));
        }
        DropReason::ForeignPort => {
            let edit = admit_foreign().into();
            all.push(Candidate { edit, effects: vec![Effect::ForeignMacs] });
            if let Some(port) = policy.by_port(at) {
                all.extend(proposer.move_mac(src, policy.slice_of(port)));
            }
        }
        DropReason::Filtered(rule) => {
            all.extend(speaks.map(|slice| proposer.allow(ingress, slice, Some(*rule))));
        }
        DropReason::FilterDefault => {
            all.extend(speaks.map(|slice| proposer.allow(ingress, slice, None)));
            let change = Change::SetOption { name: "filter_default", value: "allow" };
            all.push(Candidate { edit: change.into(), effects: vec![Effect::Unfiltered] });
        }
        DropReason::OtherSlice => {
            let (Some(own), Some(other)) = (speaks, policy.slice_of_mac(dst)) else {
                return vec![];
            };
            match policy.by_mac(src).is_some() {
                true => all.extend(proposer.move_mac(src, other)),
                false => {
                    all.push(proposer.add_member(other, Bind::PortMac(at, src)));
                    all.push(proposer.add_member(other, Bind::Mac(src)));
                }
            }
            all.extend(proposer.move_mac(dst, own));
        }
        DropReason::NoReceivers if !dst.is_group() => {
            let Some(slice) = speaks else { return vec![] };
            let host = policy.hosts().find(|host| host.mac == dst).and_then(|host| host.at);
            all.extend(host.map(|at| proposer.add_member(slice, Bind::PortMac(at, dst))));
            if policy.by_mac(dst).is_none() {
                all.push(proposer.add_member(slice, Bind::Mac(dst)));
            }
        }
        _ => {}
    }
    all
}

/// Lets MAC-bound hosts stand on ports of other slices.
fn admit_foreign() -> Change {
    Change::SetOption { name: "macs_on_foreign_ports", value: "admit" }
}

struct Proposer<'a> {
    policy: &'a Policy,
}

impl Proposer<'_> {
    fn name(&self, slice: SliceId) -> String {
        self.policy.slice_name(slice).to_owned()
    }

    /// The slice that a destination belongs to.
    fn slices_of<N: Network>(&self, network: &N, dst: MacAddr) -> Option<SliceId> {
        if dst.is_group() {
            return None;
        }
        let located = |slice: &SliceId| {
            network.locate(*slice, dst).is_some_and(|location| !location.tentative)
        };
        let slices = || self.policy.slices().map(|(slice, _)| slice);
        self.policy.slice_of_mac(dst).or_else(|| slices().find(located))
    }

    /// The destination's slice, or where that is not known the slices on the port, then the others.
    fn likely_slices<N: Network>(&self, network: &N, at: Attachment, dst: MacAddr) -> Vec<SliceId> {
        if let Some(slice) = self.slices_of(network, dst) {
            return vec![slice];
        }
        let mut slices = self.policy.slices_on((at.dpid, at.port)).to_vec();
        for (slice, _) in self.policy.slices() {
            if !slices.contains(&slice) {
                slices.push(slice);
            }
        }
        slices.truncate(SLICES);
        slices
    }

    /// Floods that change because a slice has a point here now: those of others may get narrower.
    fn shared(&self, slice: SliceId, at: Attachment) -> Option<Effect> {
        let mut others = self.policy.slices().filter(|(other, _)| *other != slice);
        let hosts = others.any(|(other, _)| self.policy.has_mac_members(other));
        hosts.then_some(Effect::Floods {
            whose: Whose::Others(slice),
            gain: false,
            at: Where::Port((at.dpid, at.port)),
        })
    }

    /// Floods in loose mode, which go where no other slice is.
    fn loosely(&self, slice: SliceId, mac: MacAddr) -> Vec<Effect> {
        if !self.policy.options.loose {
            return vec![];
        }
        let mut effects =
            vec![Effect::Floods { whose: Whose::All, gain: false, at: Where::SeenPort(mac) }];
        if !self.policy.has_mac_members(slice) {
            effects.push(Effect::Floods {
                whose: Whose::Slice(slice),
                gain: true,
                at: Where::Anywhere,
            });
        }
        effects
    }

    fn add_member(&self, slice: SliceId, bind: Bind) -> Candidate {
        let own = Whose::Slice(slice);
        let mut effects = match bind {
            Bind::Mac(mac) => vec![
                Effect::Senders { at: Where::Anywhere, mac: Some(mac), slice },
                Effect::Towards(mac, slice),
                Effect::Floods { whose: own, gain: true, at: Where::Seen(mac) },
            ],
            Bind::PortMac(at, mac) => vec![
                Effect::Senders { at: Where::At(vec![at]), mac: Some(mac), slice },
                Effect::Towards(mac, slice),
                Effect::Floods { whose: own, gain: true, at: Where::At(vec![at]) },
            ],
            Bind::Port(at) => vec![
                Effect::Senders { at: Where::At(vec![at]), mac: None, slice },
                Effect::TowardsPorts(vec![(at.dpid, at.port)], slice),
                Effect::Floods { whose: own, gain: true, at: Where::At(vec![at]) },
            ],
        };
        match bind {
            Bind::Mac(mac) => effects.extend(self.loosely(slice, mac)),
            Bind::PortMac(at, _) | Bind::Port(at) => effects.extend(self.shared(slice, at)),
        }
        let item = bind.item(self.policy);
        let change = Change::AddMember { slice: self.name(slice), bind, item };
        Candidate { edit: change.into(), effects }
    }

    fn add_pin(&self, member: MemberId, mac: MacAddr, at: Attachment) -> Candidate {
        let slice = self.policy.member(member).slice;
        let change = Change::AddPin {
            slice: self.name(slice),
            member: self.policy.member(member).id.to_string(),
            at,
            item: pin(self.policy, at),
        };
        let mut effects = vec![
            Effect::Senders { at: Where::At(vec![at]), mac: Some(mac), slice },
            Effect::Towards(mac, slice),
            Effect::Floods { whose: Whose::Slice(slice), gain: true, at: Where::At(vec![at]) },
        ];
        effects.extend(self.shared(slice, at));
        effects.extend(self.loosely(slice, mac));
        let mut edit = Edit::from(change);
        let port = self.policy.by_port(at).map(|port| self.policy.slice_of(port));
        if self.policy.options.refuse_macs_on_foreign_ports && port.is_some_and(|of| of != slice) {
            edit.changes.push(admit_foreign());
            effects.push(Effect::ForeignMacs);
        }
        Candidate { edit, effects }
    }

    /// Takes a MAC member without pins out of its slice and into another.
    fn move_mac(&self, mac: MacAddr, to: SliceId) -> Option<Candidate> {
        let id = self.policy.by_mac(mac)?;
        let member = self.policy.member(id);
        let from = member.slice;
        if from == to || !matches!(member.binding, Binding::Mac { only_at: None, .. }) {
            return None;
        }
        let remove = Change::RemoveMember { slice: self.name(from), member: member.id.to_string() };
        let Candidate { edit, mut effects } = self.add_member(to, Bind::Mac(mac));
        effects.push(Effect::Floods {
            whose: Whose::Slice(from),
            gain: false,
            at: Where::Seen(mac),
        });
        if self.policy.options.loose {
            effects.push(Effect::Floods {
                whose: Whose::Slice(from),
                gain: false,
                at: Where::Anywhere,
            });
        }
        let changes = std::iter::once(remove).chain(edit.changes).collect();
        Some(Candidate { edit: Edit { changes }, effects })
    }

    /// Takes the restriction of a port away, wherever it stands.
    fn unrestrict(&self, port: MemberId) -> Option<Candidate> {
        let policy = self.policy;
        let document = Document::read(&policy.text).ok()?;
        let is_set = |map: Option<Place>| {
            let value = map.and_then(|map| document.entry(&map, "restrict_hosts"));
            value.and_then(|value| document.node(&value).cloned()) == Some(Node::Bool(true))
        };
        let member = policy.member(port);
        let slice = member.slice;
        let mut changes = Vec::new();
        let mut opened = vec![slice];
        let mut only = Some(port);
        let member_scope = Scope::Member { slice: self.name(slice), member: member.id.to_string() };
        let slice_place = policy.member_place(port).map(|place| Place(place.0[..2].to_vec()));
        if is_set(policy.member_place(port)) {
            changes.push(Change::Unrestrict { scope: member_scope });
        }
        if is_set(slice_place) {
            changes.push(Change::Unrestrict { scope: Scope::Slice(self.name(slice)) });
            only = None;
        }
        if is_set(document.entry(&Place::default(), "options")) {
            changes.push(Change::Unrestrict { scope: Scope::Options });
            opened = policy.slices().map(|(slice, _)| slice).collect();
            only = None;
        }
        let mut effects = Vec::new();
        for slice in opened {
            let ports: Vec<Attachment> = policy
                .members(slice)
                .filter(|(id, _)| only.is_none_or(|only| only == *id))
                .filter_map(|(_, member)| match member.binding {
                    Binding::Port { at, restricted: true } => Some(at),
                    _ => None,
                })
                .collect();
            if ports.is_empty() {
                continue;
            }
            let ends = ports.iter().map(|at| (at.dpid, at.port)).collect();
            effects.push(Effect::Senders { at: Where::At(ports), mac: None, slice });
            effects.push(Effect::TowardsPorts(ends, slice));
        }
        (!changes.is_empty()).then_some(Candidate { edit: Edit { changes }, effects })
    }

    /// A filter that allows the frames between these two that the denying one looks at.
    fn allow(&self, ingress: Ingress<'_>, slice: SliceId, above: Option<RuleId>) -> Candidate {
        let policy = self.policy;
        let Ingress { dpid, port: in_port, headers } = ingress;
        let subject = Subject { slice, dpid, in_port, headers };
        // What is read of frames of this kind; what cannot be known is what an allowing filter never
        // matches.
        let mut tests = vec![Test::EthSrc, Test::EthDst, Test::EthType];
        match above {
            Some(rule) => tests.extend(policy.filters.rule(rule).criteria.iter().map(|c| c.test)),
            None => tests.extend([Test::IpProto, Test::TpDst, Test::ArpOp]),
        }
        tests.retain(|test| *test != Test::Slice);
        tests.sort_unstable();
        tests.dedup();
        let denying = above.map_or(&[][..], |rule| &policy.filters.rule(rule).criteria[..]);
        let unread = tests.iter().filter(|test| test.value(&subject) == Field::Unknown);
        let unread = unread.map(|test| criteria::key(*test, denying)).collect();
        let mut conditions: Vec<Criterion> = tests
            .into_iter()
            .filter_map(|test| match test.value(&subject) {
                Field::Is(value) => Some(Criterion::exact(test, value)),
                Field::Absent | Field::Unknown => None,
            })
            .collect();
        // As the file has them: names of fields stand for the protocol, too.
        let has = |test: Test, all: &[Criterion]| all.iter().any(|c| c.test == test);
        if has(Test::NwProto, &conditions) && has(Test::IpProto, &conditions) {
            conditions.retain(|c| c.test != Test::NwProto);
        }
        let proto = headers.ip_proto.value().map(u128::from);
        let needs_proto =
            [Test::TpSrc, Test::TpDst, Test::IcmpType, Test::IcmpCode, Test::NdTarget];
        if let (Some(proto), true) = (proto, needs_proto.iter().any(|test| has(*test, &conditions)))
            && !has(Test::IpProto, &conditions)
            && !has(Test::NwProto, &conditions)
        {
            conditions.push(Criterion::exact(Test::IpProto, proto));
        }
        conditions.sort_unstable();
        let words: Vec<String> = conditions
            .iter()
            .map(|c| {
                let value = criteria::value(policy, c.test, c.value, c.mask);
                let quote =
                    matches!(c.test, Test::EthSrc | Test::EthDst | Test::ArpSha | Test::ArpTha)
                        || value.contains("::");
                let value = match (quote, c.test) {
                    (true, _) => format!("\"{value}\""),
                    (false, Test::Dpid) if !value.starts_with("0x") => scalar(&value),
                    (false, _) => value,
                };
                format!("{}: {value}", criteria::key(c.test, &conditions))
            })
            .collect();
        let id = self.free_id(above);
        let priority = above.map(|rule| policy.filters.rule(rule).priority);
        let priority =
            priority.filter(|p| *p > 0).map_or(String::new(), |p| format!("priority: {p}, "));
        let item = format!(
            "{{id: {id}, {priority}slice: {}, match: {{{}}}, action: allow}}",
            scalar(policy.slice_name(slice)),
            words.join(", ")
        );
        let above = above.map(|rule| policy.filter_name(rule).to_owned());
        let change = Change::AddFilter { above, id, item };
        let effect = Effect::Matching { slice, criteria: conditions, unread };
        Candidate { edit: change.into(), effects: vec![effect] }
    }

    /// An id that no filter has.
    fn free_id(&self, above: Option<RuleId>) -> String {
        let base = match above {
            Some(rule) => format!("except-{}", self.policy.filter_name(rule)),
            None => "allowed".to_owned(),
        };
        let base: String =
            base.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
        let base: String = base.chars().take(56).collect();
        let taken = |id: &str| {
            // Filters without an id are named by their place.
            self.policy.filters.rules().iter().any(|rule| *rule.name == *id)
        };
        let numbered = (2..).map(|number| format!("{base}-{number}"));
        std::iter::once(base.clone()).chain(numbered).find(|id| !taken(id)).unwrap_or(base)
    }
}

//! The sliceable switch: one L2 network for many isolated slices. Pure but for the shared tables.
//!
//! ```text
//! packet-in ─▶ Headers ─▶ decide(policy, network, frame) ─▶ Decision ─┬▶ host table
//!                                                                     └▶ path, flood or drop entry
//! ```
//! What a frame may do is decided by [`umlaut_slice_db::decide`] and nowhere else; this module
//! carries out decisions.

pub(crate) mod carry;
mod fabric;
mod policy;
mod recent;
mod refusals;

use std::borrow::Borrow;
use std::cell::Cell;

use umlaut_controller::hosts::{HostEntry, HostKey, Keeps, Seen};
use umlaut_controller::path::FlowKey;
use umlaut_controller::storm::{self, Storming};
use umlaut_controller::{
    Again, App, Concerned, Context, Domain, DropClass, Fabric, Frame, Origin, Outcome, Switch, View,
};
use umlaut_openflow::packet::{Headers, Tag};
use umlaut_openflow::{Attachment, DatapathId, MacAddr, PacketIn, PortNo, Vid};
use umlaut_slice_db::{
    AdmittedBy, Asked, Decision, DropReason, Fingerprint, Ingress, Location, Network, NoTrace,
    PortRole, Refusal, Shown, SliceId, Touched, Verdict, admit, admit_switch, decide, decide_asked,
    destination, may_be_guessed, no_other_speaks,
};

use crate::explain::way::Versions;
use crate::explain::{Explained, Ground};
use carry::{arp_apart, drop_class, route, width};
pub use policy::{Domains, SlicePolicy};
use recent::{Recent, Standing};
use refusals::Refusals;

/// The application.
#[derive(Default)]
pub struct SliceableSwitch {
    refusals: Refusals,
}

type Cx<'a> = Context<'a, SlicePolicy>;

/// The network as the decision sees it: topology and host table of one turn, looked at with a policy,
/// that of the turn or one that is tried.
struct Seeing<'a, S = &'a SlicePolicy> {
    view: &'a View<'a>,
    slices: S,
    /// The sender as the host table knew it when it was asked whether it may appear.
    sender: Cell<Option<HostEntry>>,
    /// Whether it is known that the host table has the sender where it is ([`recent`]).
    settled: Cell<bool>,
}

impl<'a> Seeing<'a> {
    fn of(cx: &'a Cx<'_>) -> Seeing<'a> {
        let (sender, settled) = (Cell::new(None), Cell::new(false));
        Seeing { view: &cx.view, slices: cx.policy, sender, settled }
    }

    fn policy(&self) -> &'a umlaut_slice_db::Policy {
        &self.slices.policy
    }
}

impl<S: Borrow<SlicePolicy>> Seeing<'_, S> {
    /// Whether the policy of now still admits this host there to this slice. The host table may
    /// know hosts that an earlier policy admitted.
    fn admits(&self, slice: SliceId, mac: MacAddr, at: Attachment) -> bool {
        let policy = &self.slices.borrow().policy;
        admit(policy, at, mac).is_ok_and(|a| a.slice == slice)
    }

    fn domain(&self, slice: SliceId) -> Domain {
        self.slices.borrow().domain(slice)
    }
}

impl<S: Borrow<SlicePolicy>> Network for Seeing<'_, S> {
    fn locate(&self, slice: SliceId, mac: MacAddr) -> Option<Location> {
        let entry = self.view.net.hosts.locate((self.domain(slice), mac))?;
        let policy = &self.slices.borrow().policy;
        let holds = match entry.tentative {
            true => may_be_guessed(policy, slice, entry.at, mac),
            false => self.admits(slice, mac, entry.at),
        };
        holds.then_some(Location { at: entry.at, tentative: entry.tentative })
    }

    fn may_appear(&self, slice: SliceId, mac: MacAddr, at: Attachment) -> bool {
        if self.settled.get() {
            return true;
        }
        let known = self.view.net.hosts.locate((self.domain(slice), mac));
        self.sender.set(known);
        known.is_none_or(|entry| entry.lets_appear(at, self.view.now))
    }

    fn learned_points(&self, slice: SliceId, visit: &mut dyn FnMut(Attachment, MacAddr)) {
        self.view.net.hosts.learned(self.domain(slice), &mut |at, mac| {
            if self.admits(slice, mac, at) {
                visit(at, mac);
            }
        });
    }

    fn port(&self, dpid: DatapathId, port: PortNo) -> PortRole {
        fabric::port_role(self.view.topology, dpid, port)
    }

    fn edge_ports(&self, visit: &mut dyn FnMut(DatapathId, PortNo)) {
        for (dpid, port) in self.view.topology.settled_edge_ports() {
            visit(dpid, port);
        }
    }

    fn other_slice_at(&self, slice: SliceId, dpid: DatapathId, port: PortNo) -> bool {
        let own = self.domain(slice);
        let mut other = false;
        self.view.net.hosts.at_port(dpid, port, &mut |(domain, mac), entry| {
            other |= domain != own
                && !entry.tentative
                && self
                    .slices
                    .borrow()
                    .slice(domain)
                    .is_some_and(|slice| self.admits(slice, mac, entry.at));
        });
        other
    }

    fn reachable(&self, from: DatapathId, to: DatapathId) -> bool {
        self.view.topology.reachable(from, to)
    }
}

impl App<SlicePolicy> for SliceableSwitch {
    fn packet_in(&self, sw: &mut Switch, cx: &Cx<'_>, packet: &PacketIn<'_>) {
        let headers = Headers::parse(&packet.data);
        let frame = Frame {
            data: &packet.data,
            tag: headers.tag,
            buffer_id: packet.buffer_id,
            whole: packet.data.len() >= usize::from(packet.total_len),
        };
        // What was decided a moment ago holds as long as nothing has changed, port and links included.
        if sw.forward_known(&cx.view, packet.in_port, &headers, frame) {
            return;
        }
        let network = Seeing::of(cx);
        match network.port(sw.dpid(), packet.in_port) {
            PortRole::Missing | PortRole::Down => {}
            PortRole::Link => self.mid_path(sw, cx, packet.in_port, &headers, frame),
            role @ (PortRole::Probing | PortRole::Edge) => {
                self.edge(sw, cx, (packet.in_port, role), &headers, frame);
            }
        }
    }

    fn decide_again(&self, sw: &Switch, cx: &Cx<'_>, key: &FlowKey) -> Again {
        let network = Seeing::of(cx);
        let dpid = sw.dpid();
        if !matches!(network.port(dpid, key.in_port), PortRole::Probing | PortRole::Edge) {
            return Again::Nothing;
        }
        let decision = decision(cx, dpid, key);
        match &decision.verdict {
            Verdict::Forward { to } => {
                let Some(slice) = admitted(&decision) else { return Again::Nothing };
                // A sender that has gone elsewhere has no path here.
                let here = network.locate(slice, key.headers.eth_src).is_some_and(|location| {
                    (location.at.dpid, location.at.port) == (dpid, key.in_port)
                });
                if !here || arp_apart(options(cx), &key.headers) {
                    return Again::Nothing;
                }
                Again::Route(route(cx.policy, &key.headers, &decision, (slice, *to)))
            }
            Verdict::Drop(reason) => match drop_class(*reason) {
                Some(class) => {
                    Again::Drop { class, width: width(options(cx), &key.headers, &decision) }
                }
                None => Again::Nothing,
            },
            Verdict::Flood { .. } => Again::Nothing,
        }
    }

    fn recall(&self, cx: &Cx<'_>, at: Attachment, mac: MacAddr) {
        let tag = match at.vid {
            Vid::Untagged => Tag::None,
            Vid::Tagged(vid) => Tag::Vlan { vid, pcp: 0 },
        };
        // As if the host had sent something that concerns nobody else.
        let headers = Headers { eth_src: mac, eth_dst: mac, tag, ..Headers::default() };
        let network = Seeing::of(cx);
        let ingress = Ingress { dpid: at.dpid, port: at.port, headers: &headers };
        let decision = decide(network.policy(), &network, ingress, &mut NoTrace);
        let role = network.port(at.dpid, at.port);
        self.learn(cx, &network, at, role, (&headers, &decision));
    }

    /// Who is admitted to the same slice stays, and so does a guess that would be made again.
    fn keeps_host(&self, policy: &SlicePolicy, (domain, mac): HostKey, entry: &HostEntry) -> Keeps {
        let Some(slice) = policy.slice(domain) else { return Keeps::Not };
        let policy = &policy.policy;
        if entry.tentative {
            return match may_be_guessed(policy, slice, entry.at, mac) {
                true => Keeps::AsItIs,
                false => Keeps::Not,
            };
        }
        match admit(policy, entry.at, mac) {
            Ok(now) if now.slice == slice => Keeps::Widely(now.by == AdmittedBy::Mac),
            _ => Keeps::Not,
        }
    }

    /// Members of an edit that is small are told one by one.
    fn concerned(&self, old: &SlicePolicy, new: &SlicePolicy) -> Concerned {
        match new.same_identities(old).then(|| old.policy.touched(&new.policy)).flatten() {
            Some(Touched { macs, ports }) => Concerned::Only { macs, ports },
            None => Concerned::All,
        }
    }

    fn fabric(&self, policy: &SlicePolicy) -> Fabric {
        fabric::of_policy(policy)
    }

    fn admits_switch(
        &self,
        policy: &SlicePolicy,
        dpid: DatapathId,
        from: &Origin,
    ) -> Result<(), String> {
        let shown = from.certificate.as_ref().map(|certificate| Shown {
            fingerprint: Fingerprint(certificate.fingerprint),
            names: &certificate.names,
        });
        admit_switch(&policy.policy, dpid, shown).map_err(|refusal| refusal.to_string())
    }
}

impl SliceableSwitch {
    /// A frame from a host.
    fn edge(
        &self,
        sw: &mut Switch,
        cx: &Cx<'_>,
        (in_port, role): (PortNo, PortRole),
        headers: &Headers,
        frame: Frame<'_>,
    ) {
        let network = Seeing::of(cx);
        let (policy, dpid) = (network.policy(), sw.dpid());
        let (src, dst) = (headers.eth_src, headers.eth_dst);
        let at = headers.tag.vid().map(|vid| Attachment { dpid, port: in_port, vid });
        // Noted before anything is asked.
        let revision = cx.revision;
        let standing = |stamp| Standing { revision, stamp };
        let (of_src, of_dst) =
            (standing(sw.stamp(&cx.view, src)), standing(sw.stamp(&cx.view, dst)));
        // Neither look-up waits for the other.
        let recent = sw.keeping::<Recent>();
        let (sender, receiver) = (recent.host(src), recent.host(dst));
        let known = at.zip(sender).and_then(|(at, host)| host.sends_from(at, of_src));
        network.settled.set(known.is_some());
        let admission = known.map(Ok).or_else(|| at.map(|at| admit(policy, at, src)));
        let slice = admission.and_then(Result::ok).map(|admission| admission.slice);
        let found = slice.zip(receiver).and_then(|(slice, host)| host.receives(slice, of_dst));
        if !self.within_rate(sw, cx, at, slice, (in_port, headers)) {
            return;
        }
        let ingress = Ingress { dpid, port: in_port, headers };
        let goes_to = Cell::new(found);
        let asked = Asked {
            // Without an attachment the frame is dropped before this is asked.
            admission: |_| admission.unwrap_or(Err(Refusal::NoBinding)),
            destination: |slice| {
                let all = found.unwrap_or_else(|| destination(policy, &network, slice, dst));
                goes_to.set(Some(all));
                all
            },
        };
        let decision = decide_asked(policy, &network, ingress, asked, &mut NoTrace);
        if let (Some(at), None) = (at, known)
            && self.learn(cx, &network, at, role, (headers, &decision))
            && let Ok(admission) = decision.admission
        {
            sw.keeping::<Recent>().note_sender(src, at, of_src, admission);
        }
        match &decision.verdict {
            Verdict::Forward { to } => {
                let Some(slice) = admitted(&decision) else { return };
                if let (None, Some(goes_to)) = (found, goes_to.get()) {
                    sw.keeping::<Recent>().note_receiver(dst, slice, of_dst, goes_to);
                }
                if arp_apart(options(cx), headers) {
                    sw.flood(&cx.view, in_port, frame, &[*to]);
                    return;
                }
                let route = route(cx.policy, headers, &decision, (slice, *to));
                if sw.forward(&cx.view, in_port, headers, frame, route) == Outcome::NoPath {
                    self.drop_entry(sw, cx, in_port, headers, &decision, DropClass::NoPath);
                }
            }
            Verdict::Flood { outputs } => sw.flood(&cx.view, in_port, frame, outputs),
            // The filters were asked for the first direction only.
            Verdict::Drop(DropReason::Filtered(_) | DropReason::FilterDefault)
                if sw.forward_reply(in_port, headers, frame) => {}
            Verdict::Drop(reason) => {
                self.refusals.tell(cx, dpid, in_port, headers, *reason, admitted(&decision));
                if let Some(class) = drop_class(*reason) {
                    self.drop_entry(sw, cx, in_port, headers, &decision, class);
                }
            }
        }
    }

    /// Whether a frame is one of those that its sender's slice may cause on its port, asked before it is
    /// decided. Where a storm goes on, the switch drops what is certainly of the same slice: frames of
    /// one sender at one attachment, or of an attachment where no other slice speaks.
    fn within_rate(
        &self,
        sw: &mut Switch,
        cx: &Cx<'_>,
        at: Option<Attachment>,
        slice: Option<SliceId>,
        (in_port, headers): (PortNo, &Headers),
    ) -> bool {
        let policy = &cx.policy.policy;
        let dpid = sw.dpid();
        let sender = (slice.map(|slice| cx.policy.domain(slice)), headers.eth_src);
        let rate = options(cx).storm_rate;
        let (who, at) = match (sw.take(&cx.view, in_port, sender, rate), at) {
            (storm::Verdict::Pass, _) => return true,
            (storm::Verdict::Block { who, .. }, Some(at)) => (who, at),
            // Frames whose tag is in doubt are no attachment's.
            (storm::Verdict::Block { .. } | storm::Verdict::Drop, _) => return false,
        };
        let settled = fabric::port_role(cx.topology, dpid, in_port) == PortRole::Edge;
        if settled && (who == Storming::Sender || no_other_speaks(policy, at, slice)) {
            sw.block(&cx.view, in_port, headers, who);
        }
        false
    }

    /// Notes where hosts are: admitted senders whatever else was decided, refused ones as a guess.
    /// Returns whether it was known that the sender is admitted and there.
    fn learn(
        &self,
        cx: &Cx<'_>,
        network: &Seeing<'_>,
        at: Attachment,
        role: PortRole,
        (headers, decision): (&Headers, &Decision),
    ) -> bool {
        match &decision.admission {
            Ok(admission) if decision.verdict != Verdict::Drop(DropReason::MoveGuard) => {
                let seen = Seen {
                    widely: matches!(admission.by, AdmittedBy::Mac),
                    provisional: role == PortRole::Probing,
                };
                // The decision has looked it up.
                let known = network.sender.get().is_some_and(|e| e.says(at, seen, cx.now));
                if !known {
                    cx.see_host(cx.policy.domain(admission.slice), headers.eth_src, at, seen);
                }
                return known;
            }
            Ok(_) => {}
            Err(_) => {
                for slice in &decision.tentative {
                    cx.guess_host(cx.policy.domain(*slice), headers.eth_src, at);
                }
            }
        }
        false
    }

    /// Drops the frame's kind at the switch, where a host port is settled.
    fn drop_entry(
        &self,
        sw: &mut Switch,
        cx: &Cx<'_>,
        in_port: PortNo,
        headers: &Headers,
        decision: &Decision,
        class: DropClass,
    ) {
        if fabric::port_role(cx.topology, sw.dpid(), in_port) == PortRole::Edge {
            let width = width(options(cx), headers, decision);
            sw.drop_flow(&cx.view, in_port, headers, width, class);
        }
    }

    /// A frame on a link that no entry matched: it belongs to the holder of the claim, else to the
    /// only slice with an admitted source whose path crosses here. It is forwarded alone.
    ///
    /// Each slice may cause so many on each port, as on ports of hosts; those of addresses that several
    /// slices have share a bucket, so that nobody uses up another's by its addresses. Nothing is blocked
    /// at the switch: an entry could meet frames of others.
    fn mid_path(
        &self,
        sw: &mut Switch,
        cx: &Cx<'_>,
        in_port: PortNo,
        headers: &Headers,
        frame: Frame<'_>,
    ) {
        let (Some(vid), false) = (headers.tag.vid(), headers.eth_dst.is_group()) else { return };
        let (src, dst) = (headers.eth_src, headers.eth_dst);
        let holder = sw.claim_holder(in_port, vid, src, dst);
        let mut domains = Vec::new();
        cx.net.hosts.domains_of(src, &mut |domain| {
            if holder.is_none_or(|holder| holder == domain) {
                domains.push(domain);
            }
        });
        let whose = match domains[..] {
            [] => return,
            [domain] => Some(domain),
            _ => None,
        };
        let rate = options(cx).storm_rate;
        if sw.take(&cx.view, in_port, (whose, src), rate) != storm::Verdict::Pass {
            return;
        }
        let here = (sw.dpid(), in_port);
        let way = |domain| Some((domain, self.way(cx, domain, here, vid, headers)?));
        let ways: Vec<_> = domains.into_iter().filter_map(way).collect();
        if let [(domain, to)] = ways[..] {
            sw.one_by_one(&cx.view, (in_port, domain), frame, to);
        }
    }

    /// Where a frame of this domain that came over a link goes, if its way from its sender's place
    /// crosses here.
    fn way(
        &self,
        cx: &Cx<'_>,
        domain: Domain,
        here: (DatapathId, PortNo),
        vid: Vid,
        headers: &Headers,
    ) -> Option<Attachment> {
        let network = Seeing::of(cx);
        let slice = cx.policy.slice(domain)?;
        let from = network.locate(slice, headers.eth_src)?;
        if from.tentative || from.at.vid != vid {
            return None;
        }
        let ingress = Ingress { dpid: from.at.dpid, port: from.at.port, headers };
        let decision = decide(network.policy(), &network, ingress, &mut NoTrace);
        let Verdict::Forward { to } = decision.verdict else { return None };
        let crosses = cx
            .topology
            .path(from.at.dpid, to.dpid)?
            .any(|step| (step.next, step.next_port) == here);
        (admitted(&decision) == Some(slice) && crosses).then_some(to)
    }
}

/// The decision on the frames of a registered path, under the World of `cx`.
pub(crate) fn decision(cx: &Cx<'_>, dpid: DatapathId, key: &FlowKey) -> Decision {
    let network = Seeing::of(cx);
    let ingress = Ingress { dpid, port: key.in_port, headers: &key.headers };
    decide(network.policy(), &network, ingress, &mut NoTrace)
}

/// What is said of a frame under the World of `cx`, with what would admit it.
pub(crate) fn explained(cx: &Cx<'_>, ingress: Ingress<'_>, versions: Versions<'_>) -> Explained {
    let network = Seeing::of(cx);
    let ground = Ground {
        slices: cx.policy,
        network: &network,
        topology: cx.topology,
        ways_known: true,
        versions,
    };
    let tried = |policy: &umlaut_slice_db::Policy| Seeing {
        view: &cx.view,
        slices: cx.policy.renewed(policy.clone()),
        sender: Cell::new(None),
        settled: Cell::new(false),
    };
    Explained::new(ground, ingress).with_cure(network.policy(), tried, ingress)
}

fn options<'a>(cx: &Cx<'a>) -> &'a umlaut_slice_db::Options {
    cx.policy.policy.options()
}

fn admitted(decision: &Decision) -> Option<SliceId> {
    decision.admission.as_ref().ok().map(|admission| admission.slice)
}

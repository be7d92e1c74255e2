//! The paths that enter at a switch: installed, removed, decided again. Pure but for the shared
//! tables of [`View`].

use std::time::Duration;

use umlaut_openflow::packet::Headers;
use umlaut_openflow::{
    Attachment, BufferId, Cookie, DatapathId, FieldSet, FlowMod, MacAddr, Message, PortNo,
};

use super::old_ways::OldHop;
use super::{
    Again, Behind, DROPS_PER_PORT, INSTALL_TIMEOUT, Outcome, STORM_ENTRIES_PER_PORT, Sent, Switch,
    WAITING_BYTES,
};
use crate::app::AppNo;
use crate::command::{Command, HopEntry, HopFailure};
use crate::concerned::Concerned;
use crate::hosts::{Domain, HostKey};
use crate::path::{
    DropClass, FlowKey, Hop, HopName, Hops, Kind, Leg, Mark, Path, PathRef, Route, State,
};
use crate::plan::{self, Plan, drop_flow_mod, flow_mod, hop_entry, reversed, way_back};
use crate::program::{flow_match, reply_headers};
use crate::storm::{Storming, Verdict};
use crate::view::{Event, Frame, View};

impl Switch {
    /// Forwards a frame and all frames of its kind: registers the path, installs it, sends the
    /// frame. A path of the same key that does something else is replaced.
    pub fn forward(
        &mut self,
        view: &View<'_>,
        in_port: PortNo,
        headers: &Headers,
        frame: Frame<'_>,
        route: Route,
    ) -> Outcome {
        // Most paths are on one switch, and need no plan.
        if route.egress.dpid == self.dpid
            && !route.reverse
            && let Some(outcome) = self.forward_here(view, in_port, headers, frame, &route)
        {
            return outcome;
        }
        let from = (self.dpid, in_port);
        let Some(plan) = Plan::new(view.topology, from, headers, route) else {
            return Outcome::NoPath;
        };
        let key = plan.key;
        if let Some((name, path)) = self.registry.by_key(&key) {
            let installed = matches!(path.state, State::Installed);
            match &path.kind {
                // Of one key, they read the same fields.
                Kind::Forward { route: old, hops: way, .. }
                    if *old == (Route { width: old.width, ..route }) =>
                {
                    if !stays(view, way, Some(&plan.hops)) {
                        match installed {
                            true => self.reroute(view, name, plan.hops),
                            false => self.give_up(view, name),
                        }
                    } else if installed {
                        // The switch lost the entry, or had not read it yet: the same entry again.
                        return self.install_again(view, name, frame);
                    }
                    // Out once at the egress, whoever else is being waited for.
                    self.flood(view, in_port, frame, &[route.egress]);
                    return Outcome::Pending;
                }
                _ => self.remove(view, name),
            }
        }
        let unmatchable = flow_match(self.version, in_port, headers, key.width).is_err();
        if unmatchable || self.pauses.hold(Some(route.domain), view.now) {
            return self.one_by_one(view, (in_port, route.domain), frame, route.egress);
        }
        let (reverse, hops) = (plan.reverse(), plan.hops);
        let single = hops.len() == 1;
        let path = Path {
            app: self.acting,
            key,
            kind: Kind::Forward { route, hops, reverse },
            state: State::Installed,
            revision: view.revision,
        };
        let Ok(name) = self.registry.add(path) else {
            return self.one_by_one(view, (in_port, route.domain), frame, route.egress);
        };
        if single {
            self.send_reply_entrance(view, name);
            return self.install_again(view, name, frame);
        }
        self.install_hops(view, name, Some((in_port, frame)), [&[], &[]])
    }

    /// The hops from here to an attachment.
    pub(super) fn hops_to(
        &self,
        view: &View<'_>,
        in_port: PortNo,
        egress: Attachment,
    ) -> Option<Hops> {
        plan::hops(view.topology, (self.dpid, in_port), egress)
    }

    /// Sends the ingress entry of a path that needs no other, or has them, and the frame behind it.
    fn install_again(&mut self, view: &View<'_>, name: PathRef, frame: Frame<'_>) -> Outcome {
        let local =
            self.registry.by_ref(name).is_some_and(|path| path.hops(Leg::Forward).len() == 1);
        let buffer_id = frame.buffer_id.filter(|_| local);
        self.send_ingress(view, name, buffer_id);
        if buffer_id.is_none()
            && let Some(path) = self.registry.by_ref(name)
            && let Kind::Forward { route, .. } = &path.kind
        {
            let (in_port, egress) = (path.key.in_port, route.egress);
            self.flood(view, in_port, frame, &[egress]);
        }
        Outcome::Installed
    }

    /// Sends an entry of a path again to a switch that may have lost it; one that the path does not
    /// have any more is taken back.
    pub(crate) fn renew(&mut self, view: &View<'_>, hop: HopName, dpid: DatapathId) {
        let HopName { path: name, leg, in_port } = hop;
        let wanted = |path: &Path| path.has_hop(dpid, leg, in_port);
        let Some(path) = self.registry.by_ref(name).filter(wanted) else {
            // An entry of an old way goes when its time has come.
            if !self.old_ways.has_hop(name, dpid, hop) {
                self.take_back(view, dpid, hop);
            }
            return;
        };
        let lost = |(_, hop): &(usize, &Hop)| (hop.dpid, hop.in_port) == (dpid, in_port);
        let hops = path.hops(leg).iter().enumerate().filter(lost);
        let entries: Vec<_> = hops.filter_map(|hop| entry_of(name, &path, leg, hop)).collect();
        for (_, entry) in entries {
            if view.net.directory.offer(dpid, Command::AddHop(Box::new(entry))).is_err() {
                // The target is busy or gone: the path is abandoned.
                return self.path_failed(view, name, HopFailure::Gone);
            }
        }
    }

    /// Registers the path of an entry of an earlier run, decided again to `route`, and installs it
    /// over what is in the switches. `old` are entries of it that go when the new ones are in use.
    pub(super) fn adopt_path(
        &mut self,
        view: &View<'_>,
        app: AppNo,
        key: FlowKey,
        route: Route,
        hops: Hops,
        old: Vec<OldHop>,
    ) {
        let reverse = way_back(&key.headers, &route, &hops);
        let single = hops.len() == 1;
        let kind = Kind::Forward { route, hops, reverse };
        let path = Path { app, key, kind, state: State::Installed, revision: view.revision };
        let Ok(name) = self.registry.add(path) else {
            return old.into_iter().for_each(|hop| self.take_back(view, hop.dpid, hop.name));
        };
        self.old_ways.add(name, old);
        if single {
            self.complete(view, name);
        } else {
            self.install_hops(view, name, None, [&[], &[]]);
        }
    }

    /// Queues the entries of both ways but their first ones, by which frames enter, egress first; those
    /// follow when all are confirmed. So no frame is on a way, or on the way back, of which a part could
    /// not be had: it would go where another slice has the rest. `kept` are the hops of each way that are
    /// there already and need nothing; the same hop of the other way is another entry.
    fn install_hops(
        &mut self,
        view: &View<'_>,
        name: PathRef,
        frame: Option<(PortNo, Frame<'_>)>,
        kept: [&[Hop]; 2],
    ) -> Outcome {
        let Some(path) = self.registry.by_ref(name) else { return Outcome::NoPath };
        let Kind::Forward { route, .. } = &path.kind else { return Outcome::NoPath };
        let route = *route;
        let entries: Vec<_> = [Leg::Forward, Leg::Reverse]
            .into_iter()
            .zip(kept)
            .flat_map(|(leg, kept)| {
                let hops = path.hops(leg).iter().enumerate().skip(1).rev();
                let new = hops.filter(|(_, hop)| !kept.contains(hop));
                new.filter_map(|hop| entry_of(name, &path, leg, hop)).collect::<Vec<_>>()
            })
            .collect();
        let missing: Vec<_> =
            entries.iter().map(|(dpid, entry)| (*dpid, entry.mark.leg, entry.in_port)).collect();
        let nothing = entries.is_empty();
        let mut own = Vec::new();
        for (dpid, entry) in entries {
            if dpid == self.dpid {
                own.push(entry);
            } else if view.net.directory.offer(dpid, Command::AddHop(Box::new(entry))).is_err() {
                // The target is busy or gone: the path is abandoned.
                self.counters.failed_paths += 1;
                self.remove(view, name);
                return match frame {
                    Some((in_port, frame)) => {
                        self.one_by_one(view, (in_port, route.domain), frame, route.egress)
                    }
                    None => Outcome::OneByOne,
                };
            }
        }
        let mut waiting = Vec::new();
        if let Some((in_port, frame)) = frame {
            if frame.whole && self.waiting_bytes + frame.data.len() <= WAITING_BYTES {
                waiting = frame.data.to_vec();
                self.waiting_bytes += waiting.len();
            } else {
                self.flood(view, in_port, frame, &[route.egress]);
            }
        }
        let deadline = view.now + INSTALL_TIMEOUT;
        let installing = State::Installing { missing, deadline, frame: waiting };
        if self.registry.change(name, |path| path.state = installing).is_some() {
            self.installing.push_back((deadline, name));
        }
        for entry in own {
            if self.add_hop(view, entry).is_err() {
                self.lose_way_back(view, name);
            }
        }
        if nothing {
            self.complete(view, name);
        }
        Outcome::Pending
    }

    /// All hops are confirmed: the ingress entry, then the first frame at the egress.
    pub(super) fn complete(&mut self, view: &View<'_>, name: PathRef) {
        let frame = self.stop_waiting(name);
        self.send_ingress(view, name, None);
        self.send_reply_entrance(view, name);
        if self.old_ways.has(name) {
            self.unconfirmed.push(Behind::Reroute(name));
        }
        self.send_waiting(view, name, frame);
    }

    /// Marks a path as installed and returns the frame that waited for it.
    pub(super) fn stop_waiting(&mut self, name: PathRef) -> Vec<u8> {
        if !self.registry.is_installing(name) {
            return Vec::new();
        }
        let done = |path: &mut Path| std::mem::replace(&mut path.state, State::Installed);
        match self.registry.change(name, done) {
            Some(State::Installing { frame, .. }) => {
                self.waiting_bytes -= frame.len();
                frame
            }
            _ => Vec::new(),
        }
    }

    fn send_waiting(&mut self, view: &View<'_>, name: PathRef, data: Vec<u8>) {
        if data.is_empty() {
            return;
        }
        let Some(path) = self.registry.by_ref(name) else { return };
        let Kind::Forward { route, .. } = &path.kind else { return };
        let (in_port, egress) = (path.key.in_port, route.egress);
        let tag = Headers::parse(&data).tag;
        let frame = Frame { data: &data, tag, buffer_id: None, whole: true };
        self.flood(view, in_port, frame, &[egress]);
    }

    pub(super) fn send_ingress(
        &mut self,
        view: &View<'_>,
        name: PathRef,
        buffer_id: Option<BufferId>,
    ) {
        let Some(path) = self.registry.by_ref(name) else { return };
        let Kind::Forward { route, hops, .. } = &path.kind else { return };
        let hop = hops[0];
        let entry = hop_entry(name, Leg::Forward, &path.key, &path.key.headers, route, &hop, 0);
        self.send_entrance(view, &entry, buffer_id);
    }

    pub(super) fn send_entrance(
        &mut self,
        view: &View<'_>,
        entry: &HopEntry,
        buffer_id: Option<BufferId>,
    ) {
        if let Ok(mut flow_mod) = flow_mod(self.version, entry, view.net.epoch) {
            flow_mod.buffer_id = buffer_id;
            self.kept.overwritten(self.version, &flow_mod.matches);
            self.infallible(&Message::FlowMod(flow_mod), Sent::Ingress(entry.path, buffer_id));
        }
    }

    /// Sends the first entry of the way back, by which replies enter it: the others are there. Without
    /// one, replies are decided as any frame.
    fn send_reply_entrance(&mut self, view: &View<'_>, name: PathRef) {
        let Some(path) = self.registry.by_ref(name) else { return };
        let first = path.hops(Leg::Reverse).iter().enumerate().next();
        let Some((dpid, entry)) =
            first.and_then(|first| entry_of(name, &path, Leg::Reverse, first))
        else {
            return;
        };
        let sent = match dpid == self.dpid {
            true => self.add_hop(view, entry).is_ok(),
            false => view.net.directory.offer(dpid, Command::AddHop(Box::new(entry))).is_ok(),
        };
        if !sent {
            self.lose_way_back(view, name);
        }
    }

    /// Drops frames of a kind at the switch for a while, unless the port has its fill of such
    /// entries.
    pub fn drop_flow(
        &mut self,
        view: &View<'_>,
        in_port: PortNo,
        headers: &Headers,
        width: FieldSet,
        class: DropClass,
    ) {
        self.drop_key(view, FlowKey::new(in_port, headers, width), class);
    }

    /// Says whether a packet-in is decided: each domain may cause `rate` a second on one port, and a
    /// second's worth at once. `domain` is that of the sender of the frame, if it is admitted to any.
    pub fn take(
        &mut self,
        view: &View<'_>,
        in_port: PortNo,
        (domain, sender): (Option<Domain>, MacAddr),
        rate: u32,
    ) -> Verdict {
        let verdict = self.storms.take(in_port, domain, sender, rate, view.now);
        if verdict != Verdict::Pass {
            self.counters.stormed += 1;
        }
        if let Verdict::Block { first: true, .. } = verdict {
            let storm = Event::Storm { dpid: self.dpid, port: in_port, domain, sender };
            view.net.observer.event(&storm);
        }
        verdict
    }

    /// Drops at the switch for a moment what no entry matches of frames that storm: those of the
    /// sender of this one, or all of its attachment. Paths go on.
    pub fn block(&mut self, view: &View<'_>, in_port: PortNo, headers: &Headers, who: Storming) {
        let width = match who {
            Storming::Sender => FieldSet::VLAN | FieldSet::ETH_SRC,
            Storming::Many => FieldSet::VLAN,
        };
        self.drop_key(view, FlowKey::exactly(in_port, headers, width), DropClass::Storm);
    }

    fn drop_key(&mut self, view: &View<'_>, key: FlowKey, class: DropClass) {
        let (in_port, storm) = (key.in_port, class == DropClass::Storm);
        let count = self.drops.get(&(in_port, storm)).copied().unwrap_or(0);
        let most = if storm { STORM_ENTRIES_PER_PORT } else { DROPS_PER_PORT };
        if count >= most || self.pauses.hold(None, view.now) {
            return;
        }
        // Its name is known when it is registered.
        let Ok(flow_mod) = drop_flow_mod(self.version, &key, class, Cookie(0)) else { return };
        if let Some((name, path)) = self.registry.by_key(&key) {
            if matches!(path.kind, Kind::Drop { .. }) {
                return;
            }
            self.remove(view, name);
        }
        let until = view.now + Duration::from_secs(flow_mod.hard_timeout.into());
        let path = Path {
            app: self.acting,
            key,
            kind: Kind::Drop { class, until },
            state: State::Installed,
            revision: view.revision,
        };
        let Ok(name) = self.registry.add(path) else { return };
        *self.drops.entry((in_port, storm)).or_default() += 1;
        match class {
            DropClass::Denied => self.denied.push_back((until, name)),
            DropClass::NoPath => self.no_path.push_back((until, name)),
            DropClass::Storm => {
                self.counters.storm_entries += 1;
                self.blocked.push_back((until, name));
            }
        }
        let flow_mod = flow_mod.cookie(name.cookie(view.net.epoch, Mark::ONLY));
        self.infallible(&Message::FlowMod(flow_mod), Sent::Ingress(name, None));
    }

    /// Removes a path everywhere: the ingress entry first, then the others. A frame that waits for
    /// it is dropped.
    pub fn remove(&mut self, view: &View<'_>, name: PathRef) {
        self.stop_waiting(name);
        let Some(path) = self.registry.remove(name) else { return };
        self.forget_drop(&path);
        if let Ok(matches) =
            flow_match(self.version, path.key.in_port, &path.key.headers, path.key.width)
        {
            let delete = FlowMod::delete_strict(matches, path.kind.priority());
            self.infallible(&Message::FlowMod(delete), Sent::Other);
        }
        self.remove_hops(view, name, &path);
    }

    /// Removes the entries of a path but the ingress one.
    pub(super) fn remove_hops(&mut self, view: &View<'_>, name: PathRef, path: &Path) {
        for hop in path.hops(Leg::Forward).iter().skip(1) {
            self.take_back(view, hop.dpid, hop.name(name, Leg::Forward));
        }
        for hop in path.hops(Leg::Reverse) {
            self.take_back(view, hop.dpid, hop.name(name, Leg::Reverse));
        }
        self.take_back_old_ways(view, name);
    }

    /// Removes an entry of a path of this switch, wherever it is.
    pub(super) fn take_back(&mut self, view: &View<'_>, dpid: DatapathId, name: HopName) {
        if dpid == self.dpid {
            self.remove_hop(view, name);
        } else {
            view.net.directory.insist(dpid, Command::RemoveHop(name));
        }
    }

    /// A registry entry is gone; drop entries are counted.
    pub(super) fn forget_drop(&mut self, path: &Path) {
        let Kind::Drop { class, .. } = path.kind else { return };
        let counted = (path.key.in_port, class == DropClass::Storm);
        if let Some(count) = self.drops.get_mut(&counted) {
            *count -= 1;
            if *count == 0 {
                self.drops.remove(&counted);
            }
        }
    }

    /// A path was decided again. It stays if nothing about it changed, takes another way if only
    /// the way changed, and is removed otherwise.
    pub fn settle(&mut self, view: &View<'_>, name: PathRef, again: Again) {
        // Most paths are on one switch and stay.
        if let Again::Route(now) = &again
            && self.registry.does(name, now)
            && view.topology.is_up(self.dpid, now.egress.port)
        {
            return self.stays(view, name);
        }
        let Some(path) = self.registry.by_ref(name) else { return };
        let installed = matches!(path.state, State::Installed);
        let keep = match (&path.kind, again) {
            (Kind::Drop { class, .. }, Again::Drop { class: now, width }) => {
                *class == now && path.key.width.contains(width.with_prerequisites())
            }
            (Kind::Forward { route, hops, .. }, Again::Route(now)) => {
                let covered = path.key.width.contains(now.width.with_prerequisites());
                if !covered || !(Route { width: route.width, ..now } == *route) {
                    false
                } else {
                    match self.hops_to(view, path.key.in_port, route.egress) {
                        new if stays(view, hops, new.as_deref()) => true,
                        Some(new) if installed => return self.reroute(view, name, new),
                        Some(_) => return self.give_up(view, name),
                        None => false,
                    }
                }
            }
            _ => false,
        };
        if !keep {
            return self.remove(view, name);
        }
        self.stays(view, name);
    }

    /// A path does under the World of now what it did.
    pub(crate) fn stays(&mut self, view: &View<'_>, name: PathRef) {
        if let Some(before) = self.registry.decided(name, view.revision) {
            self.withdraw_old_ways(view, name, before < view.policy_revision);
        }
    }

    /// Gives an installed path another way: new hops first, then the ingress entry over the old
    /// one; some time after the switch has that, the old hops go.
    fn reroute(&mut self, view: &View<'_>, name: PathRef, new: Hops) {
        let turned = self.registry.change(name, |path| {
            let ingress_vid = path.key.headers.tag.vid().unwrap_or_default();
            let Kind::Forward { hops, reverse, .. } = &mut path.kind else { return None };
            let old_reverse = std::mem::take(reverse);
            if !old_reverse.is_empty() {
                *reverse = reversed(&new, ingress_vid);
            }
            let old = std::mem::replace(hops, new);
            let new_policy = path.revision < view.policy_revision;
            path.revision = view.revision;
            Some((old, old_reverse, new_policy, path.clone()))
        });
        let Some((old, old_reverse, new_policy, path)) = turned.flatten() else { return };
        let forward = old.iter().skip(1).map(|hop| OldHop::of(name, Leg::Forward, hop));
        let back = old_reverse.iter().map(|hop| OldHop::of(name, Leg::Reverse, hop));
        let mut unused = self.old_ways.take(name);
        unused.extend(forward.chain(back));
        // What both ways have is not taken back, only changed.
        unused.retain(|OldHop { dpid, name: hop, .. }| {
            hop.path != name || !path.has_hop(*dpid, hop.leg, hop.in_port)
        });
        self.old_ways.add(name, unused);
        self.withdraw_old_ways(view, name, new_policy);
        self.install_hops(view, name, None, [&old, &old_reverse]);
    }

    /// The paths from or to any of these hosts.
    pub(crate) fn paths_of(&self, hosts: &[HostKey]) -> Vec<PathRef> {
        self.registry.by_hosts(hosts)
    }

    /// The revision that the path in a slot of the registry was last decided under.
    pub(crate) fn revision_at(&self, slot: u32) -> Option<u64> {
        self.registry.revision_at(slot)
    }

    /// The path in a slot of the registry, if it was decided under this revision and what has changed
    /// since does not concern it.
    pub(crate) fn unconcerned_at(
        &self,
        slot: u32,
        revision: u64,
        concerned: &Concerned,
    ) -> Option<PathRef> {
        self.registry.unconcerned_at(slot, revision, concerned)
    }

    /// What is asked again about the path in a slot of the registry.
    pub(crate) fn question_at(&self, slot: u32) -> Option<(PathRef, AppNo, FlowKey)> {
        self.registry.question_at(slot)
    }

    pub(crate) fn path(&self, name: PathRef) -> Option<Path> {
        self.registry.by_ref(name)
    }

    pub(crate) fn has_paths(&self) -> bool {
        !self.registry.is_empty()
    }

    pub(crate) fn slots(&self) -> u32 {
        self.registry.slots()
    }
}

/// The entry of a hop of a path, and where it goes. None if replies have no such headers.
fn entry_of(
    name: PathRef,
    path: &Path,
    leg: Leg,
    (index, hop): (usize, &Hop),
) -> Option<(DatapathId, HopEntry)> {
    let Kind::Forward { route, .. } = &path.kind else { return None };
    let headers = match leg {
        Leg::Forward => path.key.headers,
        Leg::Reverse => reply_headers(&path.key.headers, route.egress.vid)?,
    };
    Some((hop.dpid, hop_entry(name, leg, &path.key, &headers, route, hop, index)))
}

/// Whether a path stays on its way: it still leads there, and the best one now is no shorter.
pub(super) fn stays(view: &View<'_>, way: &[Hop], best: Option<&[Hop]>) -> bool {
    best.is_some_and(|best| best == way)
        || best.is_none_or(|best| best.len() >= way.len()) && valid(view, way)
}

/// Whether every link of a way and its last port are still there and up.
fn valid(view: &View<'_>, hops: &[Hop]) -> bool {
    let links = hops.windows(2).all(|pair| {
        view.topology.peer(pair[0].dpid, pair[0].out_port) == Some((pair[1].dpid, pair[1].in_port))
    });
    links && hops.last().is_some_and(|last| view.topology.is_up(last.dpid, last.out_port))
}

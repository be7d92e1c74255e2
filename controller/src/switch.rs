//! One switch as its session commands it: messages, and the paths that enter there. Pure but for
//! the shared tables of [`View`]; no IO, no clock.
//!
//! ```text
//!   ingress switch (owner)                 other switches of the path
//!   register, queue AddHop  ─────────────▶ entry, barrier        (egress first)
//!   all confirmed           ◀───────────── HopConfirmed
//!   ingress entry, first frame at egress
//! ```
//! Additions and deletions of a path come from its owner only.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use foldhash::fast::RandomState;
use umlaut_openflow::packet::Headers;
use umlaut_openflow::{
    Action, Attachment, BufferId, Cookie, DatapathId, EncodeError, FieldSet, FlowMod,
    FlowModCommand, FlowModFlags, MacAddr, Match, Message, PacketOut, Port, PortNo, Version, Vid,
    Xid, encode,
};

use crate::command::{Command, HopEntry, HopFailure};
use crate::hosts::Domain;
use crate::path::{
    DROP_PRIORITY, DropClass, FlowKey, Hop, Kind, Leg, PATH_PRIORITY, Path, PathRef, Route,
    SessionNo, State,
};
use crate::program::{flood_actions, flow_match, forward_actions, padded, reply_headers};
use crate::registry::Registry;
use crate::view::{Event, Frame, View};

/// How long the other switches of a path may take to confirm it. Then it is given up and its
/// frames are forwarded one by one.
pub const INSTALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How many bytes of first frames wait for their paths. Above it a frame goes out at once, possibly
/// before frames that came earlier.
pub const WAITING_BYTES: usize = 4 << 20;
/// Frames of flows without an entry, per second and switch; above it they are dropped and counted.
pub const ONE_BY_ONE_RATE: u32 = 2000;
/// Drop entries per port. When there are as many, further refused frames come to the controller.
pub const DROPS_PER_PORT: usize = 64;
/// How long a drop entry of each class lives.
pub const DENIED_SECONDS: u16 = 60;
/// See [`DENIED_SECONDS`].
pub const NO_PATH_SECONDS: u16 = 1;
/// After a switch refused an entry, no further entry is asked of it for this long, doubling with
/// each refusal up to [`BACKOFF_MAX`].
pub const BACKOFF_MIN: Duration = Duration::from_millis(250);
/// See [`BACKOFF_MIN`].
pub const BACKOFF_MAX: Duration = Duration::from_secs(16);
/// What the entries of a path with a way back match beside what the decision read, as far as the
/// frame has it.
const REPLIED: FieldSet = FieldSet::IP_PROTO
    .union(FieldSet::IPV4_SRC)
    .union(FieldSet::IPV4_DST)
    .union(FieldSet::TP_SRC)
    .union(FieldSet::TP_DST)
    .union(FieldSet::ICMP_TYPE);
/// How many flow-mods of late are remembered to tell what an error message speaks of. An error that
/// comes later is reported without its path.
const REMEMBERED_SENDS: usize = 8192;

/// What became of a frame that an application routed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// An entry was sent and the frame with it.
    Installed,
    /// The path is being installed; the frame goes out at its end, or went.
    Pending,
    /// No entry: the frame alone was sent.
    OneByOne,
    /// No entry, and the rate of such frames is used up: the frame was dropped.
    Limited,
    /// There is no way to the egress.
    NoPath,
}

/// Counters of one switch; each counts since the connection was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SwitchCounters {
    /// Packet-ins handled.
    pub packet_ins: u64,
    /// Packet-ins dropped because the switch reads its messages too slowly.
    pub shed: u64,
    /// Flow entries sent.
    pub flow_mods: u64,
    /// Packet-outs sent.
    pub packet_outs: u64,
    /// Frames dropped by the rate of frames without an entry.
    pub limited: u64,
    /// Paths given up.
    pub failed_paths: u64,
    /// Error messages from the switch.
    pub errors: u64,
}

/// An entry on this switch of a path that another session owns (or the reply's way back).
#[derive(Clone, Debug)]
struct LocalHop {
    matches: Match,
    claim: Claim,
    /// For the way back of a path: which frames, and what is done to them here.
    reply: Option<Reply>,
}

/// What a way back does on one switch.
#[derive(Clone, Copy, Debug)]
struct Reply {
    key: FlowKey,
    out_port: PortNo,
    vid: Option<Vid>,
}

/// The right to a MAC pair on a link: two domains with the same pair cannot share one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Claim {
    in_port: PortNo,
    vid: Option<Vid>,
    src: MacAddr,
    dst: MacAddr,
}

#[derive(Clone, Copy, Debug)]
enum Sent {
    Ingress(PathRef),
    Hop(PathRef, Leg),
    Other,
}

/// A token bucket: `rate` tokens a second, at most one second's worth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    tokens: f64,
    rate: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(rate: u32, now: Instant) -> Bucket {
        Bucket { tokens: f64::from(rate), rate: f64::from(rate), at: now }
    }

    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        self.tokens = (self.tokens + gained).min(self.rate);
        self.at = now;
        let full = self.tokens >= 1.0;
        if full {
            self.tokens -= 1.0;
        }
        full
    }
}

/// What is left on other switches when a session ends.
#[derive(Clone, Debug, Default)]
pub struct Remains {
    /// Entries of its paths elsewhere.
    pub orphans: Vec<(DatapathId, PathRef, Leg)>,
    /// Paths of others that have an entry here.
    pub guests: Vec<(PathRef, Leg)>,
}

/// A connected switch.
pub struct Switch {
    session: SessionNo,
    dpid: DatapathId,
    version: Version,
    pub(crate) ports: BTreeMap<PortNo, Port>,
    out: BytesMut,
    next_xid: u32,
    sent: VecDeque<Sent>,
    registry: Registry,
    hops: HashMap<(PathRef, Leg), LocalHop, RandomState>,
    claims: HashMap<Claim, (Domain, u32), RandomState>,
    /// Ways back by the frames that they are for, and how many there are of each width.
    replies: HashMap<FlowKey, Reply, RandomState>,
    reply_widths: BTreeMap<FieldSet, u32>,
    unconfirmed: Vec<(PathRef, Leg)>,
    barriers: VecDeque<(Xid, Vec<(PathRef, Leg)>)>,
    installing: VecDeque<(Instant, PathRef)>,
    denied: VecDeque<(Instant, PathRef)>,
    no_path: VecDeque<(Instant, PathRef)>,
    drops: HashMap<PortNo, usize, RandomState>,
    waiting_bytes: usize,
    one_by_one: Bucket,
    backoff: Duration,
    backoff_until: Option<Instant>,
    pub(crate) counters: SwitchCounters,
}

impl Switch {
    /// A switch with an empty flow table.
    pub fn new(
        session: SessionNo,
        dpid: DatapathId,
        version: Version,
        ports: impl IntoIterator<Item = Port>,
        now: Instant,
    ) -> Switch {
        Switch {
            session,
            dpid,
            version,
            ports: ports.into_iter().map(|port| (port.port_no, port)).collect(),
            out: BytesMut::new(),
            next_xid: 1,
            sent: VecDeque::new(),
            registry: Registry::new(session),
            hops: HashMap::default(),
            claims: HashMap::default(),
            replies: HashMap::default(),
            reply_widths: BTreeMap::new(),
            unconfirmed: Vec::new(),
            barriers: VecDeque::new(),
            installing: VecDeque::new(),
            denied: VecDeque::new(),
            no_path: VecDeque::new(),
            drops: HashMap::default(),
            waiting_bytes: 0,
            one_by_one: Bucket::new(ONE_BY_ONE_RATE, now),
            backoff: BACKOFF_MIN,
            backoff_until: None,
            counters: SwitchCounters::default(),
        }
    }

    /// Its identity.
    pub fn dpid(&self) -> DatapathId {
        self.dpid
    }

    /// The wire version agreed.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its ports as it last told, in order.
    pub fn ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.values()
    }

    /// Its counters.
    pub fn counters(&self) -> SwitchCounters {
        self.counters
    }

    /// Its registered paths, by slot.
    pub fn paths(&self) -> impl Iterator<Item = (PathRef, &Path)> {
        (0..self.registry.slots()).filter_map(|slot| self.registry.at(slot))
    }

    /// The bytes for the switch; whoever writes them takes them away.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// Sends any message and returns its transaction id.
    ///
    /// # Errors
    /// What the wire version cannot express; nothing was sent.
    pub fn send(&mut self, message: &Message<'_>) -> Result<Xid, EncodeError> {
        self.send_noted(message, Sent::Other)
    }

    fn send_noted(&mut self, message: &Message<'_>, what: Sent) -> Result<Xid, EncodeError> {
        let xid = Xid(self.next_xid);
        encode(self.version, xid, message, &mut self.out)?;
        self.next_xid = self.next_xid.wrapping_add(1);
        match message {
            Message::FlowMod(_) => self.counters.flow_mods += 1,
            Message::PacketOut(_) => self.counters.packet_outs += 1,
            _ => {}
        }
        if self.sent.len() >= REMEMBERED_SENDS {
            self.sent.pop_front();
        }
        self.sent.push_back(what);
        Ok(xid)
    }

    /// What was sent under a transaction id, if it is remembered.
    fn sent_as(&self, xid: Xid) -> Option<Sent> {
        let back = self.next_xid.wrapping_sub(xid.0) as usize;
        let at = self.sent.len().checked_sub(back)?;
        self.sent.get(at).copied()
    }

    /// Sends a flow-mod.
    ///
    /// # Errors
    /// What the wire version cannot express; nothing was sent.
    pub fn flow_mod(&mut self, flow_mod: FlowMod) -> Result<Xid, EncodeError> {
        self.send(&Message::FlowMod(flow_mod))
    }

    /// Sends a frame with these actions. `in_port` is where it came in, or `ANY`. Short frames are
    /// padded.
    ///
    /// # Errors
    /// What the wire version cannot express; nothing was sent.
    pub fn packet_out(
        &mut self,
        in_port: PortNo,
        actions: Vec<Action>,
        data: &[u8],
    ) -> Result<Xid, EncodeError> {
        self.send(&Message::PacketOut(PacketOut {
            buffer_id: None,
            in_port,
            actions,
            data: padded(data),
        }))
    }

    /// Sends the switch's own copy of a frame.
    fn release(&mut self, in_port: PortNo, buffer_id: BufferId, actions: Vec<Action>) {
        let data = Cow::Borrowed(&[][..]);
        let out = PacketOut { buffer_id: Some(buffer_id), in_port, actions, data };
        self.infallible(&Message::PacketOut(out), Sent::Other);
    }

    /// Sends what `program` made for this version: it can be expressed.
    fn infallible(&mut self, message: &Message<'_>, what: Sent) {
        let sent = self.send_noted(message, what);
        debug_assert!(sent.is_ok(), "{sent:?}");
    }

    // ---- frames ----

    /// Sends a frame that came in here out at attachments anywhere: one packet-out per switch. A
    /// switch that cannot be reached is left out.
    pub fn flood(
        &mut self,
        view: &View<'_>,
        in_port: PortNo,
        frame: Frame<'_>,
        outputs: &[Attachment],
    ) {
        let mut by_switch: BTreeMap<DatapathId, Vec<(PortNo, Vid)>> = BTreeMap::new();
        for output in outputs {
            by_switch.entry(output.dpid).or_default().push((output.port, output.vid));
        }
        let mut shared: Option<std::sync::Arc<[u8]>> = None;
        for (dpid, outputs) in by_switch {
            if dpid == self.dpid {
                let actions = flood_actions(self.version, in_port, frame.tag, &outputs);
                if frame.whole {
                    // An action list for 64 Ki ports does not fit a message; it is left unsent.
                    let _ = self.packet_out(in_port, actions, frame.data);
                } else if let Some(buffer_id) = frame.buffer_id {
                    self.release(in_port, buffer_id, actions);
                }
            } else if frame.whole {
                let frame_bytes = shared.get_or_insert_with(|| padded(frame.data).into()).clone();
                let command = Command::PacketOut { tag: frame.tag, outputs, frame: frame_bytes };
                // A full mailbox loses the frame, as a full queue of a switch would.
                let _ = view.net.directory.offer(dpid, command);
            }
        }
    }

    /// Sends one frame out at its egress without an entry, within the rate of such frames.
    pub fn one_by_one(
        &mut self,
        view: &View<'_>,
        in_port: PortNo,
        frame: Frame<'_>,
        egress: Attachment,
    ) -> Outcome {
        if !self.one_by_one.take(view.now) {
            self.counters.limited += 1;
            return Outcome::Limited;
        }
        self.flood(view, in_port, frame, &[egress]);
        Outcome::OneByOne
    }

    // ---- paths of this switch ----

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
        let Some(hops) = self.hops_to(view, in_port, route.egress) else {
            return Outcome::NoPath;
        };
        let reply = reply_headers(headers, route.egress.vid).filter(|_| route.reverse);
        let mut width = route.width;
        if reply.is_some() {
            // A way back that no filter is asked about is for the replies to these frames only.
            width = width.union(REPLIED);
        }
        let key = FlowKey::new(in_port, headers, width);
        if let Some((name, path)) = self.registry.by_key(&key) {
            let same = matches!(&path.kind, Kind::Forward { route: old, hops: old_hops, .. }
                if *old == route && *old_hops == hops);
            if !same {
                self.remove(view, name);
            } else if matches!(path.state, State::Installing { .. }) {
                // Another packet-in of a path being installed: out once at the egress.
                self.flood(view, in_port, frame, &[route.egress]);
                return Outcome::Pending;
            } else if hops.len() == 1 {
                // The switch lost the entry, or had not read it yet: the same entry again.
                return self.install_single(view, name, frame);
            } else {
                self.remove(view, name);
            }
        }
        let unmatchable = flow_match(self.version, in_port, headers, key.width).is_err();
        if unmatchable || self.backing_off(view.now) {
            return self.one_by_one(view, in_port, frame, route.egress);
        }
        let reverse = match reply {
            Some(_) => reversed(&hops, headers.tag.vid().unwrap_or_default()),
            None => Vec::new(),
        };
        let single = hops.len() == 1;
        let path = Path {
            key,
            kind: Kind::Forward { route, hops, reverse },
            state: State::Installed,
            revision: view.revision,
        };
        let Ok(name) = self.registry.add(path) else {
            return self.one_by_one(view, in_port, frame, route.egress);
        };
        if single {
            return self.install_single(view, name, frame);
        }
        self.install_hops(view, name, Some((in_port, frame)), &[])
    }

    /// The hops from here to an attachment.
    fn hops_to(&self, view: &View<'_>, in_port: PortNo, egress: Attachment) -> Option<Vec<Hop>> {
        let mut hops = Vec::new();
        let mut at = (self.dpid, in_port);
        for step in view.topology.path(self.dpid, egress.dpid)? {
            hops.push(Hop { dpid: at.0, in_port: at.1, out_port: step.out_port, vid: None });
            at = (step.next, step.next_port);
        }
        let (dpid, in_port) = at;
        hops.push(Hop { dpid, in_port, out_port: egress.port, vid: Some(egress.vid) });
        Some(hops)
    }

    /// Sends the entry of a path that stays on this switch, and the frame behind it.
    fn install_single(&mut self, view: &View<'_>, name: PathRef, frame: Frame<'_>) -> Outcome {
        self.send_ingress(view, name, frame.buffer_id);
        self.install_reverse(view, name);
        if frame.buffer_id.is_none()
            && let Some(path) = self.registry.by_ref(name)
            && let Kind::Forward { route, .. } = &path.kind
        {
            let (in_port, egress) = (path.key.in_port, route.egress);
            self.flood(view, in_port, frame, &[egress]);
        }
        Outcome::Installed
    }

    /// Queues the entries on other switches, egress first; the ingress entry follows when all are
    /// confirmed. `kept` are hops that are there already and need nothing.
    fn install_hops(
        &mut self,
        view: &View<'_>,
        name: PathRef,
        frame: Option<(PortNo, Frame<'_>)>,
        kept: &[Hop],
    ) -> Outcome {
        let Some(path) = self.registry.by_ref(name) else { return Outcome::NoPath };
        let Kind::Forward { route, hops, .. } = &path.kind else { return Outcome::NoPath };
        let (route, key) = (*route, path.key);
        let entries: Vec<_> = hops
            .iter()
            .enumerate()
            .skip(1)
            .rev()
            .filter(|(_, hop)| !kept.contains(hop))
            .map(|(index, hop)| {
                (hop.dpid, hop_entry(name, Leg::Forward, &key, &key.headers, &route, hop, index))
            })
            .collect();
        let missing = entries.len();
        for (dpid, entry) in entries {
            if view.net.directory.offer(dpid, Command::AddHop(Box::new(entry))).is_err() {
                // The target is busy or gone: the path is abandoned.
                self.counters.failed_paths += 1;
                self.remove(view, name);
                return match frame {
                    Some((in_port, frame)) => self.one_by_one(view, in_port, frame, route.egress),
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
        if let Some(path) = self.registry.by_ref_mut(name) {
            path.state = State::Installing { missing, deadline, frame: waiting };
            self.installing.push_back((deadline, name));
        }
        if missing == 0 {
            self.complete(view, name);
        }
        Outcome::Pending
    }

    /// All hops are confirmed: the ingress entry, then the first frame at the egress.
    fn complete(&mut self, view: &View<'_>, name: PathRef) {
        let frame = self.stop_waiting(name);
        self.send_ingress(view, name, None);
        self.install_reverse(view, name);
        self.send_waiting(view, name, frame);
    }

    /// Marks a path as installed and returns the frame that waited for it.
    fn stop_waiting(&mut self, name: PathRef) -> Vec<u8> {
        let Some(path) = self.registry.by_ref_mut(name) else { return Vec::new() };
        match std::mem::replace(&mut path.state, State::Installed) {
            State::Installing { frame, .. } => {
                self.waiting_bytes -= frame.len();
                frame
            }
            State::Installed => Vec::new(),
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

    fn send_ingress(&mut self, view: &View<'_>, name: PathRef, buffer_id: Option<BufferId>) {
        let Some(path) = self.registry.by_ref(name) else { return };
        let Kind::Forward { route, hops, .. } = &path.kind else { return };
        let hop = hops[0];
        let entry = hop_entry(name, Leg::Forward, &path.key, &path.key.headers, route, &hop, 0);
        if let Ok(mut flow_mod) = self.entry_flow_mod(&entry, view.net.epoch) {
            flow_mod.buffer_id = buffer_id;
            self.infallible(&Message::FlowMod(flow_mod), Sent::Ingress(name));
        }
    }

    /// Installs the reply's way back; it is best effort, replies come to the controller otherwise.
    fn install_reverse(&mut self, view: &View<'_>, name: PathRef) {
        let Some(path) = self.registry.by_ref(name) else { return };
        let Kind::Forward { route, reverse, .. } = &path.kind else { return };
        let Some(reply) = reply_headers(&path.key.headers, route.egress.vid) else { return };
        let (route, key) = (*route, path.key);
        let entries: Vec<_> = reverse
            .iter()
            .enumerate()
            .rev()
            .map(|(index, hop)| {
                (hop.dpid, hop_entry(name, Leg::Reverse, &key, &reply, &route, hop, index))
            })
            .collect();
        for (dpid, entry) in entries {
            if dpid == self.dpid {
                let _ = self.add_hop(view, entry);
            } else {
                let _ = view.net.directory.offer(dpid, Command::AddHop(Box::new(entry)));
            }
        }
    }

    fn entry_flow_mod(
        &self,
        entry: &HopEntry,
        epoch: u8,
    ) -> Result<FlowMod, crate::program::Unmatchable> {
        let matches = flow_match(self.version, entry.in_port, &entry.headers, entry.width)?;
        let tag = entry.headers.tag;
        let actions = forward_actions(self.version, entry.in_port, tag, entry.out_port, entry.vid);
        Ok(FlowMod::add(matches)
            .priority(PATH_PRIORITY)
            .cookie(entry.path.cookie(epoch))
            .timeouts(entry.idle_timeout, entry.hard_timeout)
            .flags(FlowModFlags::SEND_FLOW_REM)
            .apply(actions))
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
        let key = FlowKey::new(in_port, headers, width);
        let count = self.drops.get(&in_port).copied().unwrap_or(0);
        if count >= DROPS_PER_PORT || self.backing_off(view.now) {
            return;
        }
        let Ok(matches) = flow_match(self.version, in_port, headers, key.width) else { return };
        if let Some((name, path)) = self.registry.by_key(&key) {
            if matches!(path.kind, Kind::Drop { .. }) {
                return;
            }
            self.remove(view, name);
        }
        let seconds = match class {
            DropClass::Denied => DENIED_SECONDS,
            DropClass::NoPath => NO_PATH_SECONDS,
        };
        let until = view.now + Duration::from_secs(seconds.into());
        let path = Path {
            key,
            kind: Kind::Drop { class, until },
            state: State::Installed,
            revision: view.revision,
        };
        let Ok(name) = self.registry.add(path) else { return };
        *self.drops.entry(in_port).or_default() += 1;
        match class {
            DropClass::Denied => self.denied.push_back((until, name)),
            DropClass::NoPath => self.no_path.push_back((until, name)),
        }
        let flow_mod = FlowMod::add(matches)
            .priority(DROP_PRIORITY)
            .cookie(name.cookie(view.net.epoch))
            .timeouts(0, seconds);
        self.infallible(&Message::FlowMod(flow_mod), Sent::Ingress(name));
    }

    /// Removes a path everywhere: the ingress entry first, then the others. A frame that waits for
    /// it is dropped.
    pub fn remove(&mut self, view: &View<'_>, name: PathRef) {
        self.stop_waiting(name);
        let Some(path) = self.registry.remove(name) else { return };
        let priority = match path.kind {
            Kind::Forward { .. } => PATH_PRIORITY,
            Kind::Drop { .. } => DROP_PRIORITY,
        };
        if let Kind::Drop { .. } = path.kind {
            self.forget_drop(path.key.in_port);
        }
        if let Ok(matches) =
            flow_match(self.version, path.key.in_port, &path.key.headers, path.key.width)
        {
            let delete = FlowMod::delete_strict(matches, priority);
            self.infallible(&Message::FlowMod(delete), Sent::Other);
        }
        self.remove_hops(view, name, &path);
    }

    /// Removes the entries of a path but the ingress one.
    fn remove_hops(&mut self, view: &View<'_>, name: PathRef, path: &Path) {
        for hop in path.hops(Leg::Forward).iter().skip(1) {
            let command = Command::RemoveHop { path: name, leg: Leg::Forward };
            view.net.directory.insist(hop.dpid, command);
        }
        for hop in path.hops(Leg::Reverse) {
            if hop.dpid == self.dpid {
                self.remove_hop(name, Leg::Reverse);
            } else {
                let command = Command::RemoveHop { path: name, leg: Leg::Reverse };
                view.net.directory.insist(hop.dpid, command);
            }
        }
    }

    fn forget_drop(&mut self, port: PortNo) {
        if let Some(count) = self.drops.get_mut(&port) {
            *count -= 1;
            if *count == 0 {
                self.drops.remove(&port);
            }
        }
    }

    /// A path was decided again. It stays if nothing about it changed, takes another way if only
    /// the way changed, and is removed otherwise.
    pub fn settle(&mut self, view: &View<'_>, name: PathRef, again: Again) {
        let Some(path) = self.registry.by_ref(name) else { return };
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
                        Some(new) if new == *hops => true,
                        Some(new) if new.len() >= hops.len() && valid(view, hops) => true,
                        None if valid(view, hops) => true,
                        Some(new) if matches!(path.state, State::Installed) => {
                            return self.reroute(view, name, new);
                        }
                        _ => false,
                    }
                }
            }
            _ => false,
        };
        if !keep {
            return self.remove(view, name);
        }
        if let Some(path) = self.registry.by_ref_mut(name) {
            path.revision = view.revision;
        }
    }

    /// Gives an installed path another way: new hops first, then the ingress entry over the old
    /// one, then the old hops go.
    fn reroute(&mut self, view: &View<'_>, name: PathRef, new: Vec<Hop>) {
        let Some(path) = self.registry.by_ref_mut(name) else { return };
        let ingress_vid = path.key.headers.tag.vid().unwrap_or_default();
        let Kind::Forward { hops, reverse, .. } = &mut path.kind else { return };
        let old_reverse = std::mem::take(reverse);
        if !old_reverse.is_empty() {
            *reverse = reversed(&new, ingress_vid);
        }
        let new_reverse: Vec<_> = reverse.iter().map(|hop| hop.dpid).collect();
        let old = std::mem::replace(hops, new.clone());
        path.revision = view.revision;
        self.install_hops(view, name, None, &old);
        if self.registry.by_ref(name).is_none() {
            // A switch of the new way was busy; the path is gone and with it the hops it shares
            // with the old way.
            for hop in old.iter().skip(1) {
                let command = Command::RemoveHop { path: name, leg: Leg::Forward };
                view.net.directory.insist(hop.dpid, command);
            }
            return;
        }
        for hop in old.iter().skip(1).filter(|old| !new.iter().any(|new| new.dpid == old.dpid)) {
            let command = Command::RemoveHop { path: name, leg: Leg::Forward };
            view.net.directory.insist(hop.dpid, command);
        }
        for hop in old_reverse.iter().filter(|hop| !new_reverse.contains(&hop.dpid)) {
            view.net
                .directory
                .insist(hop.dpid, Command::RemoveHop { path: name, leg: Leg::Reverse });
        }
    }

    /// The paths from or to a host.
    pub(crate) fn paths_of(&self, domain: Domain, mac: MacAddr) -> Vec<PathRef> {
        self.registry.by_host(domain, mac)
    }

    /// A path in a slot of the registry.
    pub(crate) fn path_at(&self, slot: u32) -> Option<(PathRef, &Path)> {
        self.registry.at(slot)
    }

    pub(crate) fn path(&self, name: PathRef) -> Option<&Path> {
        self.registry.by_ref(name)
    }

    pub(crate) fn slots(&self) -> u32 {
        self.registry.slots()
    }

    // ---- entries of paths that others own ----

    /// Who may send this MAC pair over this link port, if anybody claimed it.
    pub fn claim_holder(
        &self,
        in_port: PortNo,
        vid: Vid,
        src: MacAddr,
        dst: MacAddr,
    ) -> Option<Domain> {
        let claim = Claim { in_port, vid: Some(vid), src, dst };
        self.claims.get(&claim).map(|(domain, _)| *domain)
    }

    /// Installs an entry of a path; the next barrier confirms it.
    ///
    /// # Errors
    /// Why it was not installed; nothing changed.
    pub(crate) fn add_hop(&mut self, view: &View<'_>, entry: HopEntry) -> Result<(), HopFailure> {
        if self.backing_off(view.now) {
            return Err(HopFailure::Refused);
        }
        let headers = &entry.headers;
        let claim = Claim {
            in_port: entry.in_port,
            vid: headers.tag.vid(),
            src: headers.eth_src,
            dst: headers.eth_dst,
        };
        if self.claims.get(&claim).is_some_and(|(domain, _)| *domain != entry.domain) {
            return Err(HopFailure::Claimed);
        }
        let flow_mod =
            self.entry_flow_mod(&entry, view.net.epoch).map_err(|_| HopFailure::Unmatchable)?;
        let name = (entry.path, entry.leg);
        let matches = flow_mod.matches.clone();
        self.infallible(&Message::FlowMod(flow_mod), Sent::Hop(entry.path, entry.leg));
        self.claims.entry(claim).or_insert((entry.domain, 0)).1 += 1;
        let reply = (entry.leg == Leg::Reverse).then(|| Reply {
            key: FlowKey::new(entry.in_port, &entry.headers, entry.width),
            out_port: entry.out_port,
            vid: entry.vid,
        });
        let hop = LocalHop { matches: matches.clone(), claim, reply };
        if let Some(old) = self.hops.insert(name, hop) {
            // The path takes another way through this switch.
            self.forget_hop(&old);
            if old.matches != matches {
                let delete = FlowMod::delete_strict(old.matches, PATH_PRIORITY);
                self.infallible(&Message::FlowMod(delete), Sent::Other);
            }
        }
        if let Some(reply) = reply
            && self.replies.insert(reply.key, reply).is_none()
        {
            *self.reply_widths.entry(reply.key.width).or_default() += 1;
        }
        self.unconfirmed.push(name);
        Ok(())
    }

    /// Gives back what an entry had claimed.
    fn forget_hop(&mut self, hop: &LocalHop) {
        self.unclaim(hop.claim);
        let Some(reply) = hop.reply else { return };
        if self.replies.remove(&reply.key).is_some()
            && let Some(count) = self.reply_widths.get_mut(&reply.key.width)
        {
            *count -= 1;
            if *count == 0 {
                self.reply_widths.remove(&reply.key.width);
            }
        }
    }

    /// Sends a frame on if a way back is installed for its kind: it came to the controller before
    /// the switch had read the entry. Returns whether there is one.
    pub fn forward_reply(&mut self, in_port: PortNo, headers: &Headers, frame: Frame<'_>) -> bool {
        let mut widths = self.reply_widths.keys();
        let found = widths
            .find_map(|width| self.replies.get(&FlowKey::new(in_port, headers, *width)).copied());
        let Some(reply) = found.filter(|_| frame.whole) else { return false };
        let (port, vid) = (reply.out_port, reply.vid);
        let actions = forward_actions(self.version, in_port, frame.tag, port, vid);
        // What `program` makes for this version can be expressed.
        self.packet_out(in_port, actions, frame.data).is_ok()
    }

    /// Removes an entry of a path that another session owns.
    pub(crate) fn remove_hop(&mut self, path: PathRef, leg: Leg) {
        let Some(hop) = self.hops.remove(&(path, leg)) else { return };
        self.forget_hop(&hop);
        let delete = FlowMod::delete_strict(hop.matches, PATH_PRIORITY);
        self.infallible(&Message::FlowMod(delete), Sent::Other);
    }

    fn unclaim(&mut self, claim: Claim) {
        if let Some((_, count)) = self.claims.get_mut(&claim) {
            *count -= 1;
            if *count == 0 {
                self.claims.remove(&claim);
            }
        }
    }

    /// Sends a barrier behind the entries of this turn, if there are any to confirm.
    pub(crate) fn seal(&mut self) {
        if self.unconfirmed.is_empty() {
            return;
        }
        let names = std::mem::take(&mut self.unconfirmed);
        if let Ok(xid) = self.send(&Message::BarrierRequest) {
            self.barriers.push_back((xid, names));
        }
    }

    /// A barrier was answered: its entries are in the switch. Returns whether it was one of ours.
    pub(crate) fn barrier_reply(&mut self, view: &View<'_>, xid: Xid) -> bool {
        if self.barriers.front().is_none_or(|(first, _)| *first != xid) {
            return false;
        }
        let (_, names) = self.barriers.pop_front().unwrap_or_default();
        for (path, leg) in names {
            if !self.hops.contains_key(&(path, leg)) {
                continue;
            }
            if path.session == self.session {
                self.hop_confirmed(view, path, leg);
            } else {
                let command = Command::HopConfirmed { path, leg, dpid: self.dpid };
                view.net.directory.insist_session(path.session, command);
            }
        }
        true
    }

    /// To the owner: one more hop is in place.
    pub(crate) fn hop_confirmed(&mut self, view: &View<'_>, name: PathRef, leg: Leg) {
        if leg == Leg::Reverse {
            return;
        }
        let Some(path) = self.registry.by_ref_mut(name) else { return };
        if let State::Installing { missing, .. } = &mut path.state {
            *missing = missing.saturating_sub(1);
            if *missing == 0 {
                self.complete(view, name);
            }
        }
    }

    /// To the owner: the path cannot be installed. Its other hops are removed, and the frame that
    /// waits goes out alone.
    pub(crate) fn path_failed(&mut self, view: &View<'_>, name: PathRef, failure: HopFailure) {
        let frame = self.stop_waiting(name);
        let Some(path) = self.registry.by_ref(name) else { return };
        let key = path.key;
        self.counters.failed_paths += 1;
        if let Kind::Forward { route, .. } = path.kind
            && !frame.is_empty()
        {
            let tag = Headers::parse(&frame).tag;
            let frame = Frame { data: &frame, tag, buffer_id: None, whole: true };
            self.one_by_one(view, key.in_port, frame, route.egress);
        }
        self.remove(view, name);
        view.net.observer.event(&Event::PathFailed { path: name, dpid: self.dpid, failure });
    }

    /// To the owner: an entry elsewhere ended by itself.
    pub(crate) fn hop_gone(&mut self, view: &View<'_>, name: PathRef, leg: Leg) {
        match leg {
            Leg::Forward => self.remove(view, name),
            Leg::Reverse => {
                // The reply's way is not needed any more; the path itself stays.
                let Some(path) = self.registry.by_ref_mut(name) else { return };
                let Kind::Forward { reverse, .. } = &mut path.kind else { return };
                for hop in std::mem::take(reverse) {
                    if hop.dpid == self.dpid {
                        self.remove_hop(name, Leg::Reverse);
                    } else {
                        let command = Command::RemoveHop { path: name, leg: Leg::Reverse };
                        view.net.directory.insist(hop.dpid, command);
                    }
                }
            }
        }
    }

    // ---- what the switch tells ----

    /// An entry ended.
    pub(crate) fn flow_removed(&mut self, view: &View<'_>, cookie: Cookie, matches: &Match) {
        let Some(name) = PathRef::from_cookie(cookie, view.net.epoch) else { return };
        // Switches tell the fields in an order of their own; the ingress port tells the legs and
        // the old ways of a path apart.
        let in_port = matches.ingress().unwrap_or(PortNo::ANY);
        for leg in [Leg::Forward, Leg::Reverse] {
            if self.hops.get(&(name, leg)).is_some_and(|hop| hop.claim.in_port == in_port) {
                if let Some(hop) = self.hops.remove(&(name, leg)) {
                    self.forget_hop(&hop);
                }
                if name.session == self.session {
                    self.hop_gone(view, name, leg);
                } else {
                    let command = Command::HopGone { path: name, leg, dpid: self.dpid };
                    view.net.directory.insist_session(name.session, command);
                }
                return;
            }
        }
        if name.session != self.session {
            return;
        }
        // A path being installed anew under its old name: the entry that ended is not the one that
        // is coming.
        if let Some(path) = self.registry.by_ref(name)
            && matches!(path.state, State::Installed)
            && path.key.in_port == in_port
            && let Some(path) = self.registry.remove(name)
        {
            if let Kind::Drop { .. } = path.kind {
                self.forget_drop(path.key.in_port);
            }
            self.remove_hops(view, name, &path);
        }
    }

    /// The switch refused a message. An entry that it refused is given up, and for a while no more
    /// are asked of it.
    pub(crate) fn error(&mut self, view: &View<'_>, xid: Xid) {
        self.counters.errors += 1;
        let Some(sent) = self.sent_as(xid) else { return };
        if !matches!(sent, Sent::Other) {
            self.backoff_until = Some(view.now + self.backoff);
            self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        }
        match sent {
            Sent::Ingress(name) => self.path_failed(view, name, HopFailure::Refused),
            Sent::Hop(name, leg) => {
                if let Some(hop) = self.hops.remove(&(name, leg)) {
                    self.forget_hop(&hop);
                }
                if leg == Leg::Reverse {
                    return;
                }
                let command = Command::HopFailed { path: name, failure: HopFailure::Refused };
                view.net.directory.insist_session(name.session, command);
            }
            Sent::Other => {}
        }
    }

    fn backing_off(&mut self, now: Instant) -> bool {
        match self.backoff_until {
            Some(until) if now < until => true,
            Some(until) => {
                if now >= until + BACKOFF_MAX {
                    self.backoff = BACKOFF_MIN;
                    self.backoff_until = None;
                }
                false
            }
            None => false,
        }
    }

    // ---- time ----

    /// When [`Switch::poll`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        [&self.installing, &self.denied, &self.no_path]
            .into_iter()
            .filter_map(|queue| queue.front().map(|(at, _)| *at))
            .min()
    }

    /// Gives up paths that were not confirmed in time and forgets drop entries that have ended.
    pub(crate) fn poll(&mut self, view: &View<'_>) {
        while let Some((at, name)) = self.installing.front().copied() {
            let open = |switch: &Switch| {
                switch.registry.by_ref(name).is_some_and(
                    |path| matches!(path.state, State::Installing { deadline, .. } if deadline == at),
                )
            };
            if !open(self) {
                self.installing.pop_front();
            } else if at <= view.now {
                self.installing.pop_front();
                self.path_failed(view, name, HopFailure::Gone);
            } else {
                break;
            }
        }
        for queue in [DropClass::Denied, DropClass::NoPath] {
            loop {
                let queue = match queue {
                    DropClass::Denied => &mut self.denied,
                    DropClass::NoPath => &mut self.no_path,
                };
                match queue.front().copied() {
                    Some((at, name)) if at <= view.now => {
                        queue.pop_front();
                        if let Some(path) = self.registry.remove(name) {
                            self.forget_drop(path.key.in_port);
                        }
                    }
                    _ => break,
                }
            }
        }
    }

    /// Forgets all entries and tells what is left of them on other switches.
    pub(crate) fn take_remains(&mut self) -> Remains {
        let mut remains = Remains::default();
        for (name, path) in self.paths() {
            for leg in [Leg::Forward, Leg::Reverse] {
                let hops = path.hops(leg).iter().filter(|hop| hop.dpid != self.dpid);
                remains.orphans.extend(hops.map(|hop| (hop.dpid, name, leg)));
            }
        }
        remains.guests =
            self.hops.keys().copied().filter(|(path, _)| path.session != self.session).collect();
        remains.guests.sort_unstable_by_key(|(path, leg)| (*path, *leg == Leg::Reverse));
        self.registry.clear();
        self.hops.clear();
        self.claims.clear();
        self.replies.clear();
        self.reply_widths.clear();
        self.unconfirmed.clear();
        self.barriers.clear();
        self.installing.clear();
        self.denied.clear();
        self.no_path.clear();
        self.drops.clear();
        self.waiting_bytes = 0;
        remains
    }

    /// Deletes all flows of the switch.
    pub(crate) fn delete_all(&mut self) {
        let delete = FlowMod::new(FlowModCommand::DELETE, Match::new());
        let delete = FlowMod { table_id: umlaut_openflow::TableId::ALL, ..delete };
        self.infallible(&Message::FlowMod(delete), Sent::Other);
    }
}

/// What a second decision says of a registered path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    /// Forward, like this.
    Route(Route),
    /// Drop.
    Drop {
        /// Why.
        class: DropClass,
        /// Every field that the decision read.
        width: FieldSet,
    },
    /// No entry.
    Nothing,
}

/// Whether every link of a way and its last port are still there and up.
fn valid(view: &View<'_>, hops: &[Hop]) -> bool {
    let links = hops.windows(2).all(|pair| {
        view.topology.peer(pair[0].dpid, pair[0].out_port) == Some((pair[1].dpid, pair[1].in_port))
    });
    links && hops.last().is_some_and(|last| view.topology.is_up(last.dpid, last.out_port))
}

/// The way back over the same switches, ending with the VLAN that the sender uses.
fn reversed(hops: &[Hop], ingress_vid: Vid) -> Vec<Hop> {
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

fn hop_entry(
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
        leg,
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

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

mod adopt;
mod audit;
mod entries;
mod hops;
mod inspect;
mod known;
mod old_ways;
mod pairs;
pub(crate) mod paths;
mod pauses;
mod remains;
mod send;
mod senders;
mod sent;
mod stencil;
mod told;

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use foldhash::fast::RandomState;
use umlaut_openflow::{
    Actions, Attachment, DatapathId, FieldSet, FlowMod, FlowModCommand, MacAddr, Match, Message,
    Port, PortNo, Version, Vid, Xid,
};

use crate::app::AppNo;
use crate::command::{Command, HopFailure};
use crate::hosts::Domain;
use crate::path::{DropClass, FlowKey, HopName, Path, PathRef, Route, SessionNo, State};
use crate::plan::by_switch;
use crate::program::{MIN_FRAME, flood_actions, forward_actions, padded};
use crate::registry::Registry;
use crate::request::{Recent, Requests};
use crate::storm::{self, Storms};
use crate::view::{Frame, View};

use adopt::Kept;
pub(crate) use adopt::{Earlier, Verdict, is_entrance};
use audit::Audit;
pub use entries::ENTRIES;
use entries::Entries;
pub use inspect::{PATHS_PER_PAGE, PathPage, PathSnapshot, SwitchLevels, SwitchStatus};
use old_ways::OldWays;
pub use old_ways::{OLD_WAY_TIME, OLD_WAYS};
use pairs::Pairs;
use pauses::Pauses;
pub use pauses::{BACKOFF_MAX, BACKOFF_MIN, PAUSES};
pub(crate) use remains::LeftPath;
pub use remains::Remains;
pub use send::SendError;
pub use senders::ALL_QUEUES;
use sent::{Ledger, Sent};
use stencil::Stencils;
pub(crate) use told::Ended;

/// How long the other switches of a path may take to confirm it. Then it is given up and its
/// frames are forwarded one by one.
pub const INSTALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How many bytes of first frames wait for their paths. Above it a frame goes out at once, possibly
/// before frames that came earlier.
pub const WAITING_BYTES: usize = 4 << 20;
/// Frames of flows without an entry, per second, port and domain; above it they are dropped and counted.
pub const ONE_BY_ONE_RATE: u32 = 2000;
/// Drop entries per port. When there are as many, further refused frames come to the controller.
pub const DROPS_PER_PORT: usize = 64;
/// Drop entries against storms per port. When there are as many, further storms there are dropped by
/// the controller alone.
pub const STORM_ENTRIES_PER_PORT: usize = 64;

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
    /// Packet-ins, and frames for it, dropped because the switch reads its messages too slowly.
    pub shed: u64,
    /// Flow entries sent.
    pub flow_mods: u64,
    /// Packet-outs sent.
    pub packet_outs: u64,
    /// Frames dropped by the rate of frames without an entry.
    pub limited: u64,
    /// Packet-ins dropped because their domain caused too many on their port.
    pub stormed: u64,
    /// Drop entries sent against such storms.
    pub storm_entries: u64,
    /// Paths given up.
    pub failed_paths: u64,
    /// Error messages from the switch.
    pub errors: u64,
    /// Entries that an audit found missing or strange, and mended.
    pub repaired: u64,
    /// Times that its flows were deleted to start anew.
    pub resyncs: u64,
}

/// An entry on this switch of a path that another session owns (or the reply's way back).
#[derive(Clone, Debug)]
struct LocalHop {
    matches: Match,
    /// Where frames go from here, and the VLAN that they leave with on the last hop.
    out_port: PortNo,
    vid: Option<Vid>,
    /// Whether the barrier behind it was answered. Until then what the switch tells of an entry of
    /// this name is about an earlier one.
    confirmed: bool,
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

/// What a barrier confirms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Behind {
    Hop(HopName),
    /// The ingress entry of a path that took another way: nothing takes the old one any more.
    Reroute(PathRef),
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

/// A connected switch.
pub struct Switch {
    session: SessionNo,
    dpid: DatapathId,
    version: Version,
    pub(crate) ports: BTreeMap<PortNo, Port>,
    out: BytesMut,
    sent: Ledger,
    /// Whose handler runs; what is sent is theirs.
    acting: AppNo,
    /// When the connection was made.
    since: Instant,
    /// The time of this turn, and how many beats have passed since the connection was made; the
    /// frames of a known path are decided again after so many ([`Switch::stamp`]).
    now: Instant,
    beats: u32,
    /// Whose frame was looked up, and its hosts' stamp before it was decided.
    asked: Option<(MacAddr, MacAddr, u32)>,
    stencils: Stencils,
    /// Frames that went like the one before them.
    sent_again: u64,
    /// Entries between pairs of hosts that applications add.
    pairs: Pairs,
    requests: Requests,
    recent: Recent,
    /// What applications keep here, by the type of it; few do.
    keeping: Vec<((AppNo, TypeId), Box<dyn Any + Send + Sync>)>,
    /// Entries of applications; in 1.0 only.
    entries: Entries,
    registry: Registry,
    hops: HashMap<HopName, LocalHop, RandomState>,
    /// Whose entry has a match: a later path may replace the entry of an earlier one.
    by_match: HashMap<Match, HopName, RandomState>,
    /// What an earlier run left and is not decided yet.
    kept: Kept,
    audit: Audit,
    old_ways: OldWays,
    claims: HashMap<Claim, (Domain, u32), RandomState>,
    /// Ways back by the frames that they are for, and how many there are of each width.
    replies: HashMap<FlowKey, Reply, RandomState>,
    reply_widths: BTreeMap<FieldSet, u32>,
    unconfirmed: Vec<Behind>,
    barriers: VecDeque<(Xid, Vec<Behind>)>,
    installing: VecDeque<(Instant, PathRef)>,
    denied: VecDeque<(Instant, PathRef)>,
    no_path: VecDeque<(Instant, PathRef)>,
    blocked: VecDeque<(Instant, PathRef)>,
    /// Drop entries by port; those against storms apart.
    drops: HashMap<(PortNo, bool), usize, RandomState>,
    storms: Storms,
    waiting_bytes: usize,
    one_by_one: Storms,
    pauses: Pauses,
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
            sent: Ledger::new(session),
            acting: AppNo::FRAMEWORK,
            since: now,
            now,
            beats: 0,
            asked: None,
            stencils: Stencils::default(),
            sent_again: 0,
            pairs: Pairs::default(),
            requests: Requests::default(),
            recent: Recent::default(),
            keeping: Vec::new(),
            entries: Entries::default(),
            registry: Registry::new(session, dpid),
            hops: HashMap::default(),
            by_match: HashMap::default(),
            kept: Kept::default(),
            audit: Audit::new(now),
            old_ways: OldWays::default(),
            claims: HashMap::default(),
            replies: HashMap::default(),
            reply_widths: BTreeMap::new(),
            unconfirmed: Vec::new(),
            barriers: VecDeque::new(),
            installing: VecDeque::new(),
            denied: VecDeque::new(),
            no_path: VecDeque::new(),
            blocked: VecDeque::new(),
            drops: HashMap::default(),
            storms: Storms::new(now),
            waiting_bytes: 0,
            one_by_one: Storms::new(now),
            pauses: Pauses::default(),
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
    pub fn paths(&self) -> impl Iterator<Item = (PathRef, Path)> {
        (0..self.registry.slots()).filter_map(|slot| self.registry.at(slot))
    }

    /// What the application that acts keeps with this connection: one value of each type, made when it
    /// is first asked for, gone with the connection.
    pub fn keeping<T: Default + Send + Sync + 'static>(&mut self) -> &mut T {
        let whose = (self.acting, TypeId::of::<T>());
        let held = self.keeping.iter().position(|(of, _)| *of == whose);
        let at = held.unwrap_or_else(|| {
            self.keeping.push((whose, Box::new(T::default())));
            self.keeping.len() - 1
        });
        // It was found, or made, as one of this type.
        self.keeping[at].1.downcast_mut().expect("a value of this type")
    }

    /// The bytes for the switch; whoever writes them takes them away.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.out
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
        if let [output] = outputs
            && output.dpid == self.dpid
        {
            let (tag, vid) = (frame.tag, Some(output.vid));
            let actions = forward_actions(self.version, in_port, tag, output.port, vid);
            return self.send_here(in_port, frame, actions);
        }
        let mut shared: Option<std::sync::Arc<[u8]>> = None;
        for (dpid, outputs) in by_switch(outputs) {
            if dpid == self.dpid {
                let actions = flood_actions(self.version, in_port, frame.tag, &outputs);
                self.send_here(in_port, frame, actions);
            } else if frame.whole {
                let mut room = [0; MIN_FRAME];
                let frame_bytes =
                    shared.get_or_insert_with(|| padded(frame.data, &mut room).into()).clone();
                let command = Command::PacketOut { tag: frame.tag, outputs, frame: frame_bytes };
                // A full mailbox loses the frame, as a full queue of a switch would.
                let _ = view.net.directory.offer(dpid, command);
            }
        }
    }

    fn send_here(&mut self, in_port: PortNo, frame: Frame<'_>, actions: Actions) {
        if frame.whole {
            // An action list for 64 Ki ports does not fit a message; it is left unsent.
            let _ = self.send_frame(in_port, actions, frame.data);
        } else if let Some(buffer_id) = frame.buffer_id {
            self.release(in_port, buffer_id, actions);
        }
    }

    /// Sends one frame out at its egress without an entry, within the rate of such frames of this
    /// domain on this port: nobody uses up what is another's.
    pub fn one_by_one(
        &mut self,
        view: &View<'_>,
        (in_port, domain): (PortNo, Domain),
        frame: Frame<'_>,
        egress: Attachment,
    ) -> Outcome {
        let (whose, rate) = (Some(domain), ONE_BY_ONE_RATE);
        // Who of them sends most does not matter here.
        let taken = self.one_by_one.take(in_port, whose, MacAddr::default(), rate, view.now);
        if taken != storm::Verdict::Pass {
            self.counters.limited += 1;
            return Outcome::Limited;
        }
        self.flood(view, in_port, frame, &[egress]);
        Outcome::OneByOne
    }

    // ---- time ----

    /// When [`Switch::poll`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        [&self.installing, &self.denied, &self.no_path, &self.blocked]
            .into_iter()
            .filter_map(|queue| queue.front().map(|(at, _)| *at))
            .chain(self.requests.deadline())
            .chain([self.audit.deadline()])
            .chain(self.old_ways.deadline())
            .min()
    }

    /// Gives up paths that were not confirmed in time and forgets drop entries that have ended.
    pub(crate) fn poll(&mut self, view: &View<'_>) {
        self.poll_audit(view.now);
        self.poll_old_ways(view);
        while let Some((at, name)) = self.installing.front().copied() {
            let open = |switch: &Switch| {
                switch.registry.is_installing(name)
                    && switch.registry.by_ref(name).is_some_and(
                        |path| matches!(path.state, State::Installing { deadline, .. } if deadline == at),
                    )
            };
            if !open(self) {
                self.installing.pop_front();
            } else if at <= view.now {
                self.installing.pop_front();
                self.path_failed(view, name, HopFailure::Late);
            } else {
                break;
            }
        }
        for queue in [DropClass::Denied, DropClass::NoPath, DropClass::Storm] {
            loop {
                let queue = match queue {
                    DropClass::Denied => &mut self.denied,
                    DropClass::NoPath => &mut self.no_path,
                    DropClass::Storm => &mut self.blocked,
                };
                match queue.front().copied() {
                    Some((at, name)) if at <= view.now => {
                        queue.pop_front();
                        if let Some(path) = self.registry.remove(name) {
                            self.forget_drop(&path);
                        }
                    }
                    _ => break,
                }
            }
        }
    }

    /// Forgets all entries.
    fn clear(&mut self) {
        self.entries.clear();
        self.registry.take_all();
        self.old_ways.take_all();
        self.hops.clear();
        self.by_match.clear();
        self.kept = Kept::default();
        self.audit = Audit::new(self.now);
        self.claims.clear();
        self.replies.clear();
        self.reply_widths.clear();
        self.unconfirmed.clear();
        self.barriers.clear();
        self.installing.clear();
        self.denied.clear();
        self.no_path.clear();
        self.blocked.clear();
        self.drops.clear();
        self.waiting_bytes = 0;
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

//! LLDP discovery (IEEE 802.1AB §9): which ports have hosts and which have switches behind them.
//! Pure: no IO, no clock, no locks; `now` comes in, a deadline goes out.
//!
//! ```text
//!             three probes unanswered              authentic LLDP, no host admitted
//!  up ─▶ Probing ───────────────────────▶ Edge ──────────────────────────┐
//!           ▲  │ both directions heard     │                              │
//!           │  ▼                           └── with a host: alarm, barred until port down
//!           │ Link ── peer lost, or silent for three periods ──▶ Withdrawn
//!           └────────────────────────────── hold-down passed ───────┘
//! ```
//! A port that the policy binds is an edge for ever and never probed: LLDP that arrives there
//! raises an alarm. A probe is good for one reception.

mod lldp;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use umlaut_openflow::{DatapathId, MacAddr, Port, PortNo};

use crate::app::{End, IsBound};
use crate::concerned::Concerned;
use crate::topology::{Link, PortRole};
use lldp::{NotOurs, Probe};

/// Timing of discovery.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Between the probes of a port that came up.
    pub burst: Duration,
    /// Probes of a port that came up before it counts as an edge.
    pub tries: u32,
    /// Between the probes of a settled port.
    pub period: Duration,
    /// A link from which nothing was heard for so many periods is gone.
    pub lost_periods: u32,
    /// How much longer its ports stay without hosts then.
    pub hold_down: Duration,
    /// No port settles within this time of the first switch: frames of an earlier run's flows may
    /// arrive over links that are not known yet.
    pub start_grace: Duration,
    /// A link of a switch that was away is gone if nothing was heard over it within this time of the
    /// return: a cable that was moved meanwhile may have left both ports up.
    pub doubt: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            burst: Duration::from_millis(100),
            tries: 3,
            period: Duration::from_secs(5),
            lost_periods: 3,
            hold_down: Duration::from_secs(5),
            start_grace: Duration::from_secs(1),
            doubt: Duration::from_secs(2),
        }
    }
}

/// How many probes of a port may be on their way. An older one is not accepted any more.
const OUTSTANDING: usize = 8;
/// Between two alarms of one port.
const ALARM_PERIOD: Duration = Duration::from_secs(10);

/// What discovery wants done or known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send this frame out of the port.
    SendLldp {
        /// The switch.
        dpid: DatapathId,
        /// The port.
        port: PortNo,
        /// The frame.
        frame: Vec<u8>,
    },
    /// One direction of a link is there. The other follows at once.
    LinkUp(Link),
    /// One direction of a link is gone.
    LinkDown(Link),
    /// A port has another role.
    Role {
        /// The switch.
        dpid: DatapathId,
        /// The port.
        port: PortNo,
        /// The role.
        role: PortRole,
    },
    /// Something is wrong in the network.
    Alarm(Alarm),
}

/// LLDP that should not be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Alarm {
    /// What is wrong.
    pub kind: AlarmKind,
    /// Where it arrived.
    pub at: End,
    /// Where it claims to come from, if it says so credibly.
    pub from: Option<End>,
}

/// What is wrong with LLDP that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AlarmKind {
    /// It carries our mark with a wrong hash.
    Forged,
    /// It was received before, or is too old.
    Replayed,
    /// It has a VLAN tag.
    Tagged,
    /// It came back to the port that sent it.
    Looped,
    /// The port is bound by the policy.
    BoundPort,
    /// A host was admitted on the port.
    HostPort,
    /// The policy declares its links, and not this one.
    Undeclared,
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            AlarmKind::Forged => "forged LLDP",
            AlarmKind::Replayed => "replayed LLDP",
            AlarmKind::Tagged => "tagged LLDP",
            AlarmKind::Looped => "own LLDP back on the same port",
            AlarmKind::BoundPort => "LLDP on a port that the policy binds",
            AlarmKind::HostPort => "LLDP on a port with hosts",
            AlarmKind::Undeclared => "LLDP over a link that the policy does not declare",
        };
        write!(f, "{what} at {}/{}", self.at.0, self.at.1)?;
        match self.from {
            Some((dpid, port)) => write!(f, " from {dpid}/{port}"),
            None => Ok(()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Down,
    /// Bound, or LOCAL: not probed.
    Fixed,
    Probing {
        since: Instant,
        sent: u32,
    },
    Edge,
    Link {
        peer: End,
    },
    /// Was a link; no hosts until then.
    Withdrawn {
        peer: End,
        until: Instant,
    },
}

struct PortState {
    hw_addr: MacAddr,
    phase: Phase,
    /// Hosts are there: no link until the port goes down.
    barred: bool,
    /// Nonces of probes on their way, oldest first.
    outstanding: VecDeque<u64>,
    /// Whose authentic probe arrived here last, and when.
    heard: Option<(End, Instant)>,
    /// Where a probe of this port arrived last. What that port heard last may be another's by now.
    heard_at: Option<End>,
    due: Instant,
    /// Its switch was away, and what the port was before is doubted until then.
    doubt: Option<Instant>,
    alarmed: Option<Instant>,
}

/// The prober.
pub struct Discovery {
    key: [u8; 16],
    config: Config,
    bound: IsBound,
    declared: Option<Arc<BTreeSet<(End, End)>>>,
    ports: BTreeMap<End, PortState>,
    /// Switches without a control connection: nothing is heard of them, which says nothing.
    away: BTreeSet<DatapathId>,
    timers: BTreeSet<(Instant, End)>,
    nonce: u64,
    settle_from: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl Discovery {
    /// A prober that signs with `key`.
    pub fn new(key: [u8; 16], config: Config) -> Discovery {
        Discovery {
            key,
            config,
            bound: Arc::new(|_, _| false),
            declared: None,
            ports: BTreeMap::new(),
            away: BTreeSet::new(),
            timers: BTreeSet::new(),
            nonce: 0,
            settle_from: None,
            outputs: VecDeque::new(),
        }
    }

    /// The next thing to do, in order; `None` when all are taken.
    pub fn output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Discovery::poll`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Other ports are bound, other links declared. Ports bound now become edges, their links go;
    /// ports no longer bound are probed; undeclared links go. Only ports that are concerned are looked
    /// at: if not all are, the same links are declared as before.
    pub fn set_policy(
        &mut self,
        bound: IsBound,
        declared: Option<Arc<BTreeSet<(End, End)>>>,
        concerned: &Concerned,
        now: Instant,
    ) {
        self.bound = bound;
        self.declared = declared;
        let ends: Vec<End> = match concerned {
            Concerned::All => self.ports.keys().copied().collect(),
            Concerned::Only { ports, .. } => ports.iter().copied().collect(),
        };
        for end in ends {
            let Some(port) = self.ports.get(&end) else { continue };
            match (port.phase, self.is_fixed(end)) {
                (Phase::Down, _) | (Phase::Fixed, true) => {}
                (_, true) | (Phase::Fixed, false) => self.bring_up(end, now),
                (Phase::Link { peer }, false) if !self.is_allowed(end, peer) => {
                    self.unlink(end, peer, now);
                    self.withdraw(end, peer, now);
                }
                _ => {}
            }
        }
    }

    fn is_fixed(&self, end: End) -> bool {
        end.1 == PortNo::LOCAL || (self.bound)(end.0, end.1)
    }

    fn is_allowed(&self, a: End, b: End) -> bool {
        self.declared
            .as_ref()
            .is_none_or(|links| links.contains(&(a, b)) || links.contains(&(b, a)))
    }

    // ---- switches and ports ----

    /// A switch is connected.
    pub fn switch_up(&mut self, dpid: DatapathId, ports: &[Port], now: Instant) {
        self.switch_down(dpid, now);
        self.settle_from.get_or_insert(now + self.config.start_grace);
        for port in ports {
            self.port_changed(dpid, port, now);
        }
    }

    /// A switch has lost its control connection. What is known of its ports stays.
    pub fn switch_away(&mut self, dpid: DatapathId) {
        self.away.insert(dpid);
    }

    /// A switch that was away is back. The ports that are as before keep what they are, and are
    /// probed at once; the caller has removed those that are no more.
    pub fn switch_back(&mut self, dpid: DatapathId, ports: &[Port], now: Instant) {
        self.away.remove(&dpid);
        for port in ports {
            self.port_changed(dpid, port, now);
        }
        for end in self.ends(dpid) {
            let Some(phase) = self.ports.get(&end).map(|state| state.phase) else { continue };
            match phase {
                Phase::Down | Phase::Fixed => {}
                Phase::Probing { .. } => self.probe_from_now(end, now),
                Phase::Edge => self.doubt(end, now, self.config.burst * self.config.tries),
                Phase::Link { peer } => {
                    self.doubt(end, now, self.config.doubt);
                    self.doubt(peer, now, self.config.doubt);
                }
                Phase::Withdrawn { .. } => self.schedule(end, now),
            }
        }
    }

    fn doubt(&mut self, end: End, now: Instant, time: Duration) {
        if let Some(state) = self.ports.get_mut(&end) {
            state.doubt = Some(now + time);
            self.schedule(end, now);
        }
    }

    fn ends(&self, dpid: DatapathId) -> Vec<End> {
        let ends = self.ports.range((dpid, PortNo(0))..=(dpid, PortNo::ANY));
        ends.map(|(end, _)| *end).collect()
    }

    /// A switch is gone: so are its links.
    pub fn switch_down(&mut self, dpid: DatapathId, now: Instant) {
        self.away.remove(&dpid);
        for end in self.ends(dpid) {
            self.port_removed(dpid, end.1, now);
        }
    }

    /// A port was added or changed.
    pub fn port_changed(&mut self, dpid: DatapathId, port: &Port, now: Instant) {
        let end = (dpid, port.port_no);
        if !port.port_no.is_physical_or_local() {
            return;
        }
        let state = self.ports.entry(end).or_insert(PortState {
            hw_addr: port.hw_addr,
            phase: Phase::Down,
            barred: false,
            outstanding: VecDeque::new(),
            heard: None,
            heard_at: None,
            due: now,
            doubt: None,
            alarmed: None,
        });
        state.hw_addr = port.hw_addr;
        match (state.phase, port.is_up()) {
            (Phase::Down, true) => self.bring_up(end, now),
            (Phase::Down, false) => {}
            (_, false) => self.bring_down(end, now),
            (_, true) => {}
        }
    }

    /// A port is no more.
    pub fn port_removed(&mut self, dpid: DatapathId, port: PortNo, now: Instant) {
        let end = (dpid, port);
        self.bring_down(end, now);
        if let Some(state) = self.ports.remove(&end) {
            self.timers.remove(&(state.due, end));
        }
    }

    fn bring_up(&mut self, end: End, now: Instant) {
        self.detach(end, now);
        if self.is_fixed(end) {
            self.enter(end, Phase::Fixed, PortRole::Edge { settled: true });
        } else {
            self.probe_from_now(end, now);
        }
    }

    fn bring_down(&mut self, end: End, now: Instant) {
        self.detach(end, now);
        self.enter(end, Phase::Down, PortRole::Down);
        if let Some(state) = self.ports.get_mut(&end) {
            self.timers.remove(&(state.due, end));
            state.barred = false;
            state.outstanding.clear();
        }
    }

    /// Ends what the port has to do with a link. Its peer is withdrawn: the cable is still there.
    fn detach(&mut self, end: End, now: Instant) {
        if let Some(Phase::Link { peer }) = self.ports.get(&end).map(|state| state.phase) {
            self.unlink(end, peer, now);
        }
        if let Some(state) = self.ports.get_mut(&end) {
            state.heard = None;
        }
    }

    fn unlink(&mut self, end: End, peer: End, now: Instant) {
        for (from, to) in [(end, peer), (peer, end)] {
            self.outputs.push_back(Output::LinkDown(Link { from, to }));
        }
        self.withdraw(peer, end, now);
    }

    /// No hosts behind a port that was a link, for a while.
    fn withdraw(&mut self, end: End, peer: End, now: Instant) {
        let until = now + self.config.period * self.config.lost_periods + self.config.hold_down;
        if let Some(state) = self.ports.get_mut(&end)
            && matches!(state.phase, Phase::Link { .. })
        {
            state.phase = Phase::Withdrawn { peer, until };
            state.heard = None;
            state.doubt = None;
            self.schedule(end, now);
        }
    }

    fn enter(&mut self, end: End, phase: Phase, role: PortRole) {
        if let Some(state) = self.ports.get_mut(&end) {
            state.phase = phase;
            state.doubt = None;
            let (dpid, port) = end;
            self.outputs.push_back(Output::Role { dpid, port, role });
        }
    }

    fn probe_from_now(&mut self, end: End, now: Instant) {
        self.enter(end, Phase::Probing { since: now, sent: 0 }, PortRole::Probing);
        self.schedule(end, now);
    }

    fn schedule(&mut self, end: End, at: Instant) {
        if let Some(state) = self.ports.get_mut(&end) {
            self.timers.remove(&(state.due, end));
            state.due = at;
            self.timers.insert((at, end));
        }
    }

    // ---- time ----

    /// Sends what is due, settles ports, ends silent links.
    pub fn poll(&mut self, now: Instant) {
        while let Some((at, end)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            self.due(end, now);
        }
    }

    fn due(&mut self, end: End, now: Instant) {
        let Some(state) = self.ports.get(&end) else { return };
        let (phase, doubt) = (state.phase, state.doubt);
        if self.away.contains(&end.0) {
            // Nothing can be sent, and that nothing is heard says nothing.
            return self.schedule(end, now + self.config.period);
        }
        match phase {
            Phase::Down | Phase::Fixed => {}
            Phase::Probing { since, sent } => self.probing_due(end, since, sent, now),
            Phase::Edge => {
                self.send(end);
                let doubted = doubt.is_some_and(|until| now < until);
                let wait = if doubted { self.config.burst } else { self.config.period };
                self.schedule(end, now + wait);
            }
            Phase::Link { peer } => {
                let silence = self.config.period * self.config.lost_periods;
                let believed = match doubt {
                    _ if self.away.contains(&peer.0) => true,
                    Some(until) => now < until,
                    None => self.heard_since(end, peer, now, silence),
                };
                if believed {
                    self.send(end);
                    let doubted = doubt.is_some_and(|until| now < until);
                    let wait = if doubted { self.config.burst } else { self.config.period };
                    self.schedule(end, now + wait);
                } else {
                    self.unlink(end, peer, now);
                    self.withdraw(end, peer, now);
                }
            }
            Phase::Withdrawn { until, .. } if until <= now => self.probe_from_now(end, now),
            Phase::Withdrawn { until, .. } => {
                self.send(end);
                self.schedule(end, until.min(now + self.config.period));
            }
        }
    }

    fn probing_due(&mut self, end: End, since: Instant, sent: u32, now: Instant) {
        let graced = self.settle_from.is_some_and(|from| now < from);
        // One direction was heard: the other may be on its way.
        let hopeful = now < since + self.config.period && self.is_half_heard(end, now);
        if sent < self.config.tries || graced || hopeful {
            self.send(end);
            if let Some(state) = self.ports.get_mut(&end) {
                state.phase = Phase::Probing { since, sent: sent.saturating_add(1) };
            }
            self.schedule(end, now + self.config.burst);
        } else {
            self.enter(end, Phase::Edge, PortRole::Edge { settled: true });
            self.schedule(end, now + self.config.period);
        }
    }

    /// Whether `end` heard `from` within `age`.
    fn heard_since(&self, end: End, from: End, now: Instant, age: Duration) -> bool {
        self.ports
            .get(&end)
            .and_then(|state| state.heard)
            .is_some_and(|(who, at)| who == from && now.saturating_duration_since(at) <= age)
    }

    /// Whether the port heard somebody of late, or somebody heard it.
    fn is_half_heard(&self, end: End, now: Instant) -> bool {
        let fresh = |at: Instant| now.saturating_duration_since(at) <= self.config.period;
        self.ports.get(&end).is_some_and(|state| {
            state.heard.is_some_and(|(_, at)| fresh(at))
                || state
                    .heard_at
                    .is_some_and(|other| self.heard_since(other, end, now, self.config.period))
        })
    }

    fn send(&mut self, end: End) {
        self.nonce += 1;
        let nonce = self.nonce;
        let Some(state) = self.ports.get_mut(&end) else { return };
        if state.outstanding.len() >= OUTSTANDING {
            state.outstanding.pop_front();
        }
        state.outstanding.push_back(nonce);
        let (dpid, port) = end;
        let frame = lldp::frame(&self.key, state.hw_addr, &Probe { dpid, port, nonce });
        self.outputs.push_back(Output::SendLldp { dpid, port, frame });
    }

    // ---- LLDP received ----

    /// A host was admitted on this port. On a settled edge, LLDP there makes no link any more,
    /// unless its switch was away just now: a cable may have taken the host's place.
    pub fn host_admitted(&mut self, dpid: DatapathId, port: PortNo, now: Instant) {
        if let Some(state) = self.ports.get_mut(&(dpid, port))
            && matches!(state.phase, Phase::Edge)
            && state.doubt.is_none_or(|until| until <= now)
        {
            state.barred = true;
        }
    }

    /// An LLDP frame arrived, tagged or not, whoever sent it.
    pub fn lldp_received(&mut self, dpid: DatapathId, port: PortNo, frame: &[u8], now: Instant) {
        let at = (dpid, port);
        match self.ports.get(&at).map(|state| state.phase) {
            None | Some(Phase::Down) => return,
            Some(_) => {}
        }
        if frame.get(12..14) != Some(&lldp::ETHER_TYPE.to_be_bytes()) {
            return self.alarm(AlarmKind::Tagged, at, None, now);
        }
        let probe = match lldp::parse(&self.key, frame) {
            Ok(probe) => probe,
            Err(NotOurs::Foreign) => return,
            Err(NotOurs::Forged) => return self.alarm(AlarmKind::Forged, at, None, now),
        };
        let from = (probe.dpid, probe.port);
        let outstanding = self.ports.get_mut(&from).map(|state| &mut state.outstanding);
        let Some((outstanding, place)) = outstanding.and_then(|list| {
            let place = list.iter().position(|nonce| *nonce == probe.nonce)?;
            Some((list, place))
        }) else {
            return self.alarm(AlarmKind::Replayed, at, Some(from), now);
        };
        outstanding.remove(place);
        let kind = if from == at {
            AlarmKind::Looped
        } else if self.is_fixed(at) {
            AlarmKind::BoundPort
        } else if !self.is_allowed(from, at) {
            AlarmKind::Undeclared
        } else if self.ports.get(&at).is_some_and(|state| state.barred) {
            AlarmKind::HostPort
        } else {
            return self.heard(at, from, now);
        };
        self.alarm(kind, at, Some(from), now);
    }

    fn heard(&mut self, at: End, from: End, now: Instant) {
        if let Some(sender) = self.ports.get_mut(&from) {
            sender.heard_at = Some(at);
        }
        let Some(state) = self.ports.get_mut(&at) else { return };
        state.heard = Some((from, now));
        match state.phase {
            Phase::Down | Phase::Fixed => return,
            Phase::Edge => self.probe_from_now(at, now),
            Phase::Link { peer } if peer != from => {
                // Another cable.
                self.unlink(at, peer, now);
                if let Some(state) = self.ports.get_mut(&at) {
                    state.heard = Some((from, now));
                }
                self.probe_from_now(at, now);
            }
            Phase::Link { .. } => {
                state.doubt = None;
                return;
            }
            Phase::Probing { .. } | Phase::Withdrawn { .. } => {}
        }
        let open = |end: End| {
            self.ports.get(&end).is_some_and(|state| {
                matches!(state.phase, Phase::Probing { .. } | Phase::Withdrawn { .. })
            })
        };
        if open(at) && open(from) && self.heard_since(from, at, now, self.config.period) {
            for (end, peer) in [(from, at), (at, from)] {
                self.enter(end, Phase::Link { peer }, PortRole::Link { peer });
                self.schedule(end, now + self.config.period);
            }
            for (from, to) in [(from, at), (at, from)] {
                self.outputs.push_back(Output::LinkUp(Link { from, to }));
            }
        } else {
            // Show ourselves to the other side soon.
            self.schedule(at, now);
        }
    }

    fn alarm(&mut self, kind: AlarmKind, at: End, from: Option<End>, now: Instant) {
        let Some(state) = self.ports.get_mut(&at) else { return };
        if state.alarmed.is_some_and(|last| now.saturating_duration_since(last) < ALARM_PERIOD) {
            return;
        }
        state.alarmed = Some(now);
        self.outputs.push_back(Output::Alarm(Alarm { kind, at, from }));
    }
}

#[cfg(test)]
mod tests;

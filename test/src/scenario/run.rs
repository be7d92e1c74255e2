//! Running a scenario on a ground. Pure but for the ground.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use umlaut_openflow::build;
use umlaut_openflow::packet::Headers;
use umlaut_openflow::{DatapathId, MacAddr, PortNo, Vid};
use umlaut_slice_db::{Host, Policy};

use super::markers::{is_marker, marker_ports, markers, with_markers};
use super::{
    App, Channel, Control, FlowWanted, Ground, GroundError, Kind, Scenario, Send, Step, Storm,
    Stormed, StreamCount,
};

/// How long anything may take that must happen.
const DEADLINE: Duration = Duration::from_secs(20);
/// A marker that has not arrived by then is sent once more.
const MARKER_PATIENCE: Duration = Duration::from_secs(2);
/// Discovery has probed every port twice in this time.
const TWO_PROBE_PERIODS: Duration = Duration::from_secs(11);
/// The EtherType of plain frames.
pub(super) const PLAIN: u16 = 0x88b5;

/// Why a scenario failed: the step, counted from 1, and what was wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("step {step}: {message}")]
pub struct Failure {
    /// The step; 0: bringing the network up.
    pub step: usize,
    /// What was wrong.
    pub message: String,
}

pub(crate) struct Runner<'a, G> {
    pub(super) ground: G,
    scenario: &'a Scenario,
    app: App,
    /// The ports of markers.
    marker_ports: [PortNo; 2],
    /// The tokens of markers.
    marks: BTreeSet<u64>,
    pub(super) policy: Policy,
    dpids: Vec<DatapathId>,
    /// The cables between switches: those of the first policy, whatever a later one says.
    links: Vec<((DatapathId, PortNo), (DatapathId, PortNo))>,
    stopped: BTreeSet<DatapathId>,
    cut_channels: BTreeSet<DatapathId>,
    cut: BTreeSet<usize>,
    controller_up: bool,
    pub(super) token: u64,
    pub(super) arrivals: BTreeMap<u64, Vec<String>>,
    /// The VLAN on which each of them came.
    pub(super) tagged: BTreeMap<u64, Vec<Vid>>,
    relays: Vec<(String, String)>,
    /// When the network last changed.
    pub(super) changed: Duration,
    pub(super) streams: Vec<StreamCount>,
}

/// Runs a scenario on the ground that `make` brings up for a policy text. What its streams lost, in
/// order.
///
/// # Errors
/// The first step that came out differently.
pub fn run<G: Ground>(
    scenario: &Scenario,
    make: impl FnOnce(&Policy, &str) -> Result<G, GroundError>,
) -> Result<Vec<StreamCount>, Failure> {
    run_on(scenario, App::SliceableSwitch, make)
}

/// As [`run`], on a ground whose controller runs this application.
///
/// # Errors
/// As [`run`].
pub fn run_on<G: Ground>(
    scenario: &Scenario,
    app: App,
    make: impl FnOnce(&Policy, &str) -> Result<G, GroundError>,
) -> Result<Vec<StreamCount>, Failure> {
    let mut runner = begin(scenario, app, &[], make)?;
    for (index, step) in scenario.steps.iter().enumerate() {
        if let Err(error) = runner.step(step) {
            return Err(runner.failure(index + 1, error));
        }
    }
    Ok(runner.streams)
}

/// Brings the network of a scenario up and waits until the controller knows it. `reserved`: ports that
/// something will be plugged into later.
///
/// # Errors
/// What keeps it from standing, as a failure of step 0.
pub(super) fn begin<'a, G: Ground>(
    scenario: &'a Scenario,
    app: App,
    reserved: &[PortNo],
    make: impl FnOnce(&Policy, &str) -> Result<G, GroundError>,
) -> Result<Runner<'a, G>, Failure> {
    let fail = |message: String| Failure { step: 0, message };
    let bare = serde_yaml::to_string(&scenario.policy).map_err(|e| fail(e.to_string()))?;
    let read = |text: &str| {
        Policy::parse("policy", text)
            .map(|(policy, _)| policy)
            .map_err(|mistakes| fail(mistakes[0].render(false)))
    };
    let topology = crate::of_policy(&read(&bare)?);
    let mut dpids: Vec<DatapathId> = topology.switches.iter().map(|s| s.dpid).collect();
    dpids.sort_unstable();
    // Under every policy that there will be: the markers stay where they are.
    let mut used: BTreeSet<PortNo> = reserved.iter().copied().collect();
    used.extend(topology.all_ports());
    for revision in scenario.revisions.values() {
        let text = serde_yaml::to_string(revision).map_err(|e| fail(e.to_string()))?;
        // One with mistakes is told when it is to come into force.
        if let Ok(policy) = read(&text) {
            used.extend(crate::of_policy(&policy).all_ports());
        }
    }
    let marker_ports = marker_ports(&used);
    let text = with_markers(&scenario.policy, &dpids, marker_ports, scenario.mac_slices);
    let policy = read(&text)?;
    let ground = make(&policy, &text).map_err(|error| fail(error.0))?;
    let mut runner = Runner {
        ground,
        scenario,
        app,
        marker_ports,
        marks: BTreeSet::new(),
        links: policy.links().collect(),
        policy,
        dpids,
        stopped: BTreeSet::new(),
        cut_channels: BTreeSet::new(),
        cut: BTreeSet::new(),
        controller_up: true,
        token: 0,
        arrivals: BTreeMap::new(),
        tagged: BTreeMap::new(),
        relays: Vec::new(),
        changed: Duration::ZERO,
        streams: Vec::new(),
    };
    match runner.wait_ready() {
        Ok(()) => Ok(runner),
        Err(error) => Err(runner.failure(0, error)),
    }
}

pub(super) fn error<T>(message: impl Into<String>) -> Result<T, GroundError> {
    Err(GroundError(message.into()))
}

impl<G: Ground> Runner<'_, G> {
    /// A failure with all there is to know.
    fn failure(&mut self, step: usize, error: GroundError) -> Failure {
        Failure { step, message: format!("{}\n{}", error.0, self.ground.report()) }
    }

    pub(super) fn step(&mut self, step: &Step) -> Result<(), GroundError> {
        if let Some(send) = &step.send {
            return self.send(send, &step.arrives);
        }
        if let Some(wanted) = &step.flows {
            return self.flows(wanted);
        }
        if let Some(storm) = &step.storm {
            return self.storm(storm);
        }
        if let Some(stormed) = &step.stormed {
            return self.stormed(stormed);
        }
        if let Some(streams) = &step.stream {
            return self.stream(streams, &step.during);
        }
        if let Some(text) = &step.relay {
            let Some((from, to)) = text.split_once(" to ") else {
                return error(format!("{text}: not HOST to HOST"));
            };
            self.host(from)?;
            self.host(to)?;
            self.relays.push((from.to_owned(), to.to_owned()));
            let until = self.ground.elapsed() + TWO_PROBE_PERIODS;
            while self.ground.elapsed() < until {
                self.pump()?;
            }
            return self.wait_ready();
        }
        if let Some(milliseconds) = step.pass {
            let until = self.ground.elapsed() + Duration::from_millis(milliseconds);
            while self.ground.elapsed() < until {
                self.pump()?;
            }
            return Ok(());
        }
        self.change(step)?;
        self.changed = self.ground.elapsed();
        Ok(())
    }

    // ---- changes of the network ----

    fn change(&mut self, step: &Step) -> Result<(), GroundError> {
        if let Some(text) = &step.link {
            let (ends, what) = state(text)?;
            let Some((a, b)) = ends.split_once('-') else {
                return error(format!("{text}: no link"));
            };
            let (a, b) = (self.end(a)?, self.end(b)?);
            let link = self.links.iter().position(|l| *l == (a, b) || *l == (b, a));
            let Some(link) = link else { return error(format!("{text}: no such link")) };
            match what {
                State::Up => {
                    self.cut.remove(&link);
                    self.ground.link(a, b, true)?;
                }
                State::Down => {
                    self.cut.insert(link);
                    self.ground.link(a, b, false)?;
                }
                State::Flap(times) => {
                    for up in (0..times).flat_map(|_| [false, true]) {
                        self.ground.link(a, b, up)?;
                        self.pump()?;
                    }
                }
                State::Gone | State::Back => return error(format!("{text}: not of links")),
            }
            return self.wait_ready();
        }
        if let Some(text) = &step.port {
            if let Some((from, to)) = text.split_once(" to ") {
                let ((dpid, from), (same, to)) = (self.end(from)?, self.end(to)?);
                if same != dpid {
                    return error(format!("{text}: not the same switch"));
                }
                self.ground.renumber((dpid, from), to)?;
                return self.settle();
            }
            let (end, what) = state(text)?;
            let end = self.end(end)?;
            match what {
                State::Up => self.ground.port(end, true)?,
                State::Down => self.ground.port(end, false)?,
                State::Gone => self.ground.exists(end, false)?,
                State::Back => self.ground.exists(end, true)?,
                State::Flap(times) => {
                    for up in (0..times).flat_map(|_| [false, true]) {
                        self.ground.port(end, up)?;
                        self.pump()?;
                    }
                }
            }
            return self.settle();
        }
        if let Some(text) = &step.intruder {
            let Some((from, to)) = text.split_once(" to ") else {
                return error(format!("{text}: not SWITCH/PORT to SWITCH/PORT"));
            };
            let (from, to) = (self.end(from)?, self.end(to)?);
            return self.ground.intrude(from, to.1);
        }
        if let Some(text) = &step.room {
            let Some((name, room)) = text.split_once(' ') else {
                return error(format!("{text}: not SWITCH NUMBER"));
            };
            let room = match room {
                "free" => None,
                number => Some(number.parse().map_err(|e| GroundError(format!("{text}: {e}")))?),
            };
            let dpid = self.dpid(name)?;
            return self.ground.room(dpid, room);
        }
        if let Some(text) = &step.r#move {
            let Some((host, to)) = text.split_once(" to ") else {
                return error(format!("{text}: not HOST to SWITCH/PORT"));
            };
            let to = self.end(to)?;
            self.ground.move_host(host, to)?;
            return self.settle();
        }
        if let Some(text) = &step.switch {
            let (name, up) = match text.split_once(' ') {
                Some((name, "stop")) => (name, false),
                Some((name, "start")) => (name, true),
                _ => return error(format!("{text}: not SWITCH stop or start")),
            };
            let dpid = self.dpid(name)?;
            if up {
                self.stopped.remove(&dpid)
            } else {
                self.stopped.insert(dpid)
            };
            self.ground.switch(dpid, up)?;
            return self.wait_ready();
        }
        if let Some(text) = &step.channel {
            let (name, what) = match text.split_once(' ') {
                Some((name, "down")) => (name, Channel::Down),
                Some((name, "up")) => (name, Channel::Up),
                Some((name, "elsewhere")) => (name, Channel::Elsewhere),
                _ => return error(format!("{text}: not SWITCH down, up or elsewhere")),
            };
            let dpid = self.dpid(name)?;
            if what == Channel::Down {
                self.cut_channels.insert(dpid)
            } else {
                self.cut_channels.remove(&dpid)
            };
            self.ground.channel(dpid, what)?;
            return self.wait_ready();
        }
        if let Some(control) = step.controller {
            self.controller_up = control == Control::Start;
            self.ground.controller(control)?;
            return if self.controller_up { self.wait_ready() } else { Ok(()) };
        }
        if let Some(name) = &step.revise {
            let revision = &self.scenario.revisions[name];
            let slices = self.scenario.mac_slices;
            let text = with_markers(revision, &self.dpids, self.marker_ports, slices);
            let (policy, _) = Policy::parse("revision", &text)
                .map_err(|mistakes| GroundError(mistakes[0].render(false)))?;
            self.ground.policy(&text, true)?;
            self.policy = policy;
            return self.settle();
        }
        self.ground.policy("umlaut: 1\nslices: {broken: [\n", false)
    }

    fn dpid(&self, name: &str) -> Result<DatapathId, GroundError> {
        match self.policy.switches().find(|(known, _)| *known == name) {
            Some((_, dpid)) => Ok(dpid),
            None => error(format!("there is no switch {name}")),
        }
    }

    fn end(&self, text: &str) -> Result<(DatapathId, PortNo), GroundError> {
        let Some((switch, port)) = text.split_once('/') else {
            return error(format!("{text}: not SWITCH/PORT"));
        };
        let port = port.parse().map_err(|e| GroundError(format!("{text}: {e}")))?;
        Ok((self.dpid(switch)?, port))
    }

    // ---- time ----

    /// Lets a little time pass: streams go on, arrivals are noted.
    pub(super) fn pump(&mut self) -> Result<(), GroundError> {
        self.ground.pump();
        if let Some(trouble) = self.ground.trouble() {
            return error(trouble);
        }
        for (host, frame) in self.ground.take_sniffed() {
            if let Some(token) = token_in(&frame) {
                // Without slices everybody's frames come to the hosts of the markers.
                if self.app != App::SliceableSwitch
                    && !self.marks.contains(&token)
                    && is_marker(&host)
                {
                    continue;
                }
                self.arrivals.entry(token).or_default().push(host);
                let vid = Headers::parse(&frame).tag.vid().unwrap_or_default();
                self.tagged.entry(token).or_default().push(vid);
            } else if frame.get(12..14) == Some(&[0x88, 0xcc]) {
                for (_, to) in self.relays.iter().filter(|(from, _)| *from == host) {
                    self.ground.send(to, &frame)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn wait(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), GroundError> {
        let until = self.ground.elapsed() + DEADLINE;
        while !done(self) {
            if self.ground.elapsed() > until {
                return error(format!("waited {DEADLINE:?} for {what}"));
            }
            self.pump()?;
        }
        Ok(())
    }

    /// Until the controller serves all running switches and knows all whole links.
    fn wait_ready(&mut self) -> Result<(), GroundError> {
        if !self.controller_up {
            return Ok(());
        }
        let gone = |d: &DatapathId, r: &Self| r.stopped.contains(d) || r.cut_channels.contains(d);
        let switches: Vec<DatapathId> =
            self.dpids.iter().filter(|dpid| !gone(dpid, self)).copied().collect();
        let whole = self.links.iter().enumerate().filter(|(index, (a, b))| {
            // The links of a switch without a control connection are believed for a while.
            !self.cut.contains(index)
                && !self.stopped.contains(&a.0)
                && !self.stopped.contains(&b.0)
        });
        let links = whole.count() * 2;
        let exact = self.cut_channels.is_empty();
        self.wait("the controller to know the network", |runner| {
            let links = if exact { links } else { usize::MAX };
            runner.ground.is_ready(&switches, links)
        })?;
        self.settle()
    }

    /// Until everything sent before has been dealt with.
    pub(super) fn settle(&mut self) -> Result<(), GroundError> {
        if !self.controller_up {
            return Ok(());
        }
        for _ in 0..2 {
            for index in 0..self.dpids.len() {
                self.mark(self.dpids[index])?;
            }
        }
        Ok(())
    }

    /// Sends a marker from a switch and waits until it has arrived at all that it reaches.
    fn mark(&mut self, from: DatapathId) -> Result<(), GroundError> {
        if self.stopped.contains(&from) || self.cut_channels.contains(&from) {
            return Ok(());
        }
        let token = self.next_token();
        self.marks.insert(token);
        let names = markers(from);
        let frame = self.marker_frame(&names[0], token)?;
        self.ground.send(&names[0], &frame)?;
        let component = self.component(from);
        let others: Vec<String> =
            component.into_iter().flat_map(markers).filter(|name| *name != names[0]).collect();
        let mut sent = self.ground.elapsed();
        self.wait("a marker", |runner| {
            // Open vSwitch goes on for some 100 ms after a reconnection with what it has cached while
            // there was no controller: userspace(controller(…dont_send=1…)). The frame is then gone.
            if runner.ground.elapsed() > sent + MARKER_PATIENCE {
                sent = runner.ground.elapsed();
                // If the host is gone, waiting ends by its deadline.
                let _ = runner.ground.send(&names[0], &frame);
            }
            let seen = runner.arrivals.get(&token);
            others.iter().all(|name| seen.is_some_and(|seen| seen.contains(name)))
        })
    }

    fn marker_frame(&self, name: &str, token: u64) -> Result<Vec<u8>, GroundError> {
        let host = self.host(name)?;
        Ok(padded(build::ethernet(MacAddr::BROADCAST, host.mac, &[], PLAIN, &payload(token))))
    }

    /// The switches that this one reaches over whole links, itself among them.
    fn component(&self, from: DatapathId) -> BTreeSet<DatapathId> {
        let running =
            |dpid: &DatapathId| !self.stopped.contains(dpid) && !self.cut_channels.contains(dpid);
        let mut found = BTreeSet::from([from]);
        if !running(&from) {
            return found;
        }
        loop {
            let before = found.len();
            for (index, (a, b)) in self.links.iter().enumerate() {
                if !self.cut.contains(&index)
                    && running(&a.0)
                    && running(&b.0)
                    && (found.contains(&a.0) || found.contains(&b.0))
                {
                    found.extend([a.0, b.0]);
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }

    // ---- frames ----

    pub(super) fn next_token(&mut self) -> u64 {
        self.token += 1;
        self.token
    }

    fn host(&self, name: &str) -> Result<Host, GroundError> {
        match self.policy.host(name) {
            Some(host) => Ok(host.clone()),
            None => error(format!("there is no host {name}")),
        }
    }

    fn send_one(&mut self, send: &Send, index: u32) -> Result<u64, GroundError> {
        let token = self.next_token();
        let frame = self.frame(send, index, token)?;
        self.ground.send(&send.from, &frame)?;
        Ok(token)
    }

    pub(super) fn frame(
        &self,
        send: &Send,
        index: u32,
        token: u64,
    ) -> Result<Vec<u8>, GroundError> {
        let from = self.host(&send.from)?;
        let mut src = match &send.src {
            Some(text) => text.parse().map_err(|e| GroundError(format!("src: {e}")))?,
            None => from.mac,
        };
        if send.random_sources {
            src = MacAddr::from_u64(
                0x0600_0000_0000 | u64::from(index).wrapping_mul(2_654_435_761) & 0xff_ffff_ffff,
            );
        }
        let (dst, to_ip) = match send.to.as_str() {
            "all" => (MacAddr::BROADCAST, Ipv4Addr::BROADCAST),
            text => match text.parse() {
                Ok(mac) => (mac, Ipv4Addr::new(192, 168, 0, 250)),
                Err(_) => {
                    let host = self.host(text)?;
                    (host.mac, ipv4(&host))
                }
            },
        };
        let tags = match (&send.tags, from.at.map(|at| at.vid)) {
            (Some(tags), _) => tags.clone(),
            (None, Some(Vid::Tagged(vid))) => vec![(0x8100, vid.number())],
            (None, _) => Vec::new(),
        };
        let from_ip = ipv4(&from);
        let data = payload(token);
        let (sport, dport) = send.ports;
        let (dst, eth_type, packet) = match send.kind {
            Kind::Plain => (dst, PLAIN, data),
            Kind::Udp => (dst, 0x0800, build::udp(from_ip, to_ip, sport, dport, &data)),
            Kind::Tcp => (dst, 0x0800, build::tcp(from_ip, to_ip, sport, dport, 2, &data)),
            Kind::Icmp => (dst, 0x0800, build::icmp_echo(8, from_ip, to_ip, 1, 1, &data)),
            Kind::Arp => {
                let mut arp = build::arp(1, src, from_ip, MacAddr::ZERO, to_ip);
                arp.extend(data);
                (MacAddr::BROADCAST, 0x0806, arp)
            }
            Kind::ArpReply => {
                let mut arp = build::arp(2, src, from_ip, dst, to_ip);
                arp.extend(data);
                (dst, 0x0806, arp)
            }
            Kind::Nd => {
                let target =
                    std::net::Ipv6Addr::from(0xfe80_u128 << 112 | u128::from(dst.to_u64()));
                let mut nd = build::neighbour_solicitation(src, target, target);
                nd.extend(data);
                (build::solicited_node(target).1, 0x86dd, nd)
            }
            Kind::Fragment => {
                let mut ip = build::udp(from_ip, to_ip, sport, dport, &data);
                ip[6] = 0x00;
                ip[7] = 0x10;
                (dst, 0x0800, ip)
            }
            Kind::Lldp => {
                let mut pdu =
                    vec![0x02, 0x02, 0x07, b'1', 0x04, 0x02, 0x07, b'1', 0x06, 0x02, 0, 15];
                pdu.extend([0, 0]);
                pdu.extend(data);
                (MacAddr::LLDP, 0x88cc, pdu)
            }
        };
        Ok(padded(build::ethernet(dst, src, &tags, eth_type, &packet)))
    }

    fn send(&mut self, send: &Send, arrives: &[String]) -> Result<(), GroundError> {
        let mut wanted: Vec<String> = arrives.to_vec();
        wanted.sort();
        let mut tokens = Vec::new();
        for index in 0..send.count {
            tokens.push(self.send_one(send, index)?);
            // A long burst must not overrun what the system queues for us.
            if index % 64 == 63 {
                self.pump()?;
            }
        }
        let arrived = |runner: &Self, token: &u64| {
            runner.arrivals.get(token).map_or(0, Vec::len) >= wanted.len()
        };
        if !wanted.is_empty() {
            let waited = self.wait("frames to arrive", |runner| {
                tokens.iter().all(|token| arrived(runner, token))
            });
            if let Err(late) = waited {
                let short: Vec<_> = tokens
                    .iter()
                    .filter(|token| !arrived(self, token))
                    .map(|token| self.arrivals.get(token).cloned().unwrap_or_default())
                    .collect();
                return error(format!(
                    "{} at {wanted:?}: {} of {} did not, first seen at {:?}",
                    late.0,
                    short.len(),
                    tokens.len(),
                    short.first()
                ));
            }
        }
        self.settle()?;
        for token in &tokens {
            let mut seen = self.arrivals.get(token).cloned().unwrap_or_default();
            seen.sort();
            if seen != wanted {
                return error(format!(
                    "{} to {} ({:?}) arrived at {seen:?}, not at {wanted:?}",
                    send.from, send.to, send.kind
                ));
            }
        }
        Ok(())
    }

    fn storm(&mut self, storm: &Storm) -> Result<(), GroundError> {
        let from = self.host(&storm.from)?;
        let tags = match from.at.map(|at| at.vid) {
            Some(Vid::Tagged(vid)) => vec![(0x8100, vid.number())],
            _ => Vec::new(),
        };
        for index in 0..storm.count {
            let dst = MacAddr::from_u64(0x0200_0000_0000 | u64::from(index));
            let frame = padded(build::ethernet(dst, from.mac, &tags, PLAIN, b"storm"));
            self.ground.send(&storm.from, &frame)?;
            if index % 64 == 63 {
                self.pump()?;
            }
        }
        Ok(())
    }

    fn stormed(&mut self, wanted: &Stormed) -> Result<(), GroundError> {
        let dpid = self.dpid(&wanted.switch)?;
        let until = self.ground.elapsed() + DEADLINE;
        loop {
            let stormed = self.ground.stormed(&wanted.switch, dpid)?;
            if stormed > wanted.most || self.ground.elapsed() > until {
                let Stormed { switch, least, most } = wanted;
                return error(format!("{stormed} stormed at {switch}, not {least} to {most}"));
            }
            if stormed >= wanted.least {
                return Ok(());
            }
            self.pump()?;
        }
    }

    fn flows(&mut self, wanted: &FlowWanted) -> Result<(), GroundError> {
        let dpid = self.dpid(&wanted.switch)?;
        let until = self.ground.elapsed() + DEADLINE;
        loop {
            let flows = self.ground.flows(dpid)?;
            let found = flows
                .iter()
                .filter(|flow| {
                    wanted.in_port.is_none_or(|port| flow.in_port == Some(PortNo(port)))
                        && wanted.out_port.is_none_or(|port| flow.out_port == Some(PortNo(port)))
                        && wanted.vlan.as_ref().is_none_or(|vlan| flow.vlan == *vlan)
                        && !flow.in_port.is_some_and(|port| self.marker_ports.contains(&port))
                })
                .count();
            if found == wanted.count {
                return Ok(());
            }
            if self.ground.elapsed() > until {
                return error(format!("{found} entries, not {}: {flows:?}", wanted.count));
            }
            self.pump()?;
        }
    }
}

/// What becomes of a port or a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Up,
    Down,
    Gone,
    Back,
    /// Down and up again, so many times.
    Flap(u32),
}

fn state(text: &str) -> Result<(&str, State), GroundError> {
    let known = |what: &str| match what {
        "up" => Some(State::Up),
        "down" => Some(State::Down),
        "gone" => Some(State::Gone),
        "back" => Some(State::Back),
        what => Some(State::Flap(what.strip_prefix("flap ")?.parse().ok()?)),
    };
    match text.split_once(' ').and_then(|(which, what)| Some((which, known(what)?))) {
        Some(found) => Ok(found),
        None => error(format!("{text}: not WHICH up, down, gone, back or flap TIMES")),
    }
}

fn ipv4(host: &Host) -> Ipv4Addr {
    match host.ip {
        Some(IpAddr::V4(ip)) => ip,
        _ => Ipv4Addr::new(192, 168, 0, host.mac.0[5]),
    }
}

pub(super) fn payload(token: u64) -> Vec<u8> {
    format!("<{token:08}>").into_bytes()
}

pub(super) fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(60), 0);
    frame
}

/// The token in a frame.
fn token_in(frame: &[u8]) -> Option<u64> {
    frame.windows(10).find_map(|w| {
        let digits = w.strip_prefix(b"<")?.strip_suffix(b">")?;
        let text =
            std::str::from_utf8(digits).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?;
        text.parse().ok()
    })
}

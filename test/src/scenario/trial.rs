//! Trying the cases of a policy file on a network: its frames are sent, and every host is watched.
//! Pure but for the ground.
//!
//! Cases without events share one network, in which everybody has spoken. A case with events, or
//! before which nobody spoke, gets a network of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_yaml::{Mapping, Value};
use umlaut_openflow::packet::Headers;
use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo, Vid, build};
use umlaut_slice_db::{Arrival, Case, Event, Policy, PolicyFiles, Probe, probes};

use super::run::{PLAIN, Runner, begin, padded, payload};
use super::{App, Control, Ground, GroundError, Scenario, Step};
use crate::topology::TopologyError;

/// How long a frame may take that was to arrive and has not when all that was sent before has been
/// dealt with.
const LATE: Duration = Duration::from_secs(3);
/// How long a controller takes a host that was elsewhere for a mistake, and a little more.
const MOVE_GUARD: Duration = Duration::from_millis(5500);
/// How long real time may pass for an event.
const PATIENCE: Duration = Duration::from_secs(120);
/// Addresses of the hosts that watch ports without one (locally administered, IEEE 802 §8.4).
const WATCHERS: u64 = 0x02_75_6e_00_00_00;

type End = (DatapathId, PortNo);

/// A policy file and the files that events of its cases name.
#[derive(Clone, Copy, Debug)]
pub struct Suite<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The policies that events name.
    pub files: &'a PolicyFiles,
}

/// What came of a case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tried {
    /// It holds.
    Holds,
    /// This happened instead.
    Wrong(String),
    /// It cannot be tried on this ground, for this reason.
    Not(String),
}

/// Why a case stopped.
enum Stop {
    Wrong(String),
    Not(String),
}

impl From<GroundError> for Stop {
    fn from(error: GroundError) -> Stop {
        Stop::Wrong(error.0)
    }
}

/// A case to be tried, with the frames for it or what keeps it from being tried.
struct Trial<'a> {
    index: usize,
    case: &'a Case,
    probes: Result<Vec<Probe>, String>,
}

/// Tries cases on networks that `make` brings up for a policy text, and tells for each, by its
/// index, what happened instead of what it expects.
pub fn try_cases<G: Ground>(
    suite: &Suite<'_>,
    cases: &[&Case],
    mut make: impl FnMut(&Policy, &str) -> Result<G, GroundError>,
    mut tell: impl FnMut(usize, Tried),
) {
    let alone = |case: &Case| case.silent || !case.after.is_empty();
    let all = cases.iter().enumerate();
    let (apart, together): (Vec<_>, Vec<_>) = all.partition(|(_, case)| alone(case));
    let groups = std::iter::once(together).chain(apart.into_iter().map(|one| vec![one]));
    for group in groups.filter(|group| !group.is_empty()) {
        let trials: Vec<Trial<'_>> = group
            .into_iter()
            .map(|(index, case)| {
                let probes = probes(suite.policy, case, suite.files);
                Trial { index, case, probes }
            })
            .collect();
        if let Err(failure) = try_group(suite, &trials, &mut make, &mut tell) {
            for trial in &trials {
                tell(trial.index, Tried::Wrong(failure.0.clone()));
            }
        }
    }
}

/// All cases of one network. An error: the network does not stand.
fn try_group<G: Ground>(
    suite: &Suite<'_>,
    trials: &[Trial<'_>],
    make: &mut impl FnMut(&Policy, &str) -> Result<G, GroundError>,
    tell: &mut impl FnMut(usize, Tried),
) -> Result<(), GroundError> {
    let scenario = scenario(suite, trials)?;
    if let Some(why) = no_network(suite.policy, &scenario)? {
        for trial in trials {
            tell(trial.index, Tried::Not(why.clone()));
        }
        return Ok(());
    }
    let ports: Vec<PortNo> = moves(trials).map(|(_, port)| port).collect();
    let mut runner = begin(&scenario, App::SliceableSwitch, &ports, make)
        .map_err(|failure| GroundError(failure.message))?;
    let placed = |policy: &Policy| -> BTreeMap<String, End> {
        let hosts = policy.hosts().filter_map(|host| Some((host.name.clone(), host.at?)));
        hosts.map(|(name, at)| (name, (at.dpid, at.port))).collect()
    };
    let interfaces = placed(&runner.policy);
    let places = placed(suite.policy);
    let mut trying = Trying {
        policy: suite.policy,
        runner: &mut runner,
        interfaces,
        places,
        sent: BTreeMap::new(),
    };
    if trials.iter().all(|trial| !trial.case.silent) {
        trying.everyone_speaks()?;
    }
    for trial in trials {
        let done = match &trial.probes {
            Ok(probes) => match trying.case(trial.case, probes) {
                Ok(()) => Tried::Holds,
                Err(Stop::Wrong(instead)) => Tried::Wrong(instead),
                Err(Stop::Not(why)) => Tried::Not(why),
            },
            Err(why) => Tried::Wrong(why.clone()),
        };
        tell(trial.index, done);
    }
    Ok(())
}

/// What keeps this from being built on any ground, if something does.
fn no_network(policy: &Policy, scenario: &Scenario) -> Result<Option<String>, GroundError> {
    let text = serde_yaml::to_string(&scenario.policy).map_err(|e| GroundError(e.to_string()))?;
    let (watched, _) = Policy::parse("policy", &text)
        .map_err(|mistakes| GroundError(mistakes[0].render(false)))?;
    Ok(crate::of_policy(&watched).check().err().map(|error| {
        let why = match error {
            TopologyError::PortTaken(at) => {
                let name = policy.switch_name(at.dpid);
                format!("two cables would be in port {name}/{}", at.port)
            }
            other => other.to_string(),
        };
        format!("no network can be made of this policy: {why}")
    }))
}

/// Where hosts move to.
fn moves(trials: &[Trial<'_>]) -> impl Iterator<Item = End> {
    trials.iter().flat_map(|trial| &trial.case.after).filter_map(|event| match event {
        Event::Moves { to, .. } => Some((to.dpid, to.port)),
        _ => None,
    })
}

/// The network of the suite, with a host on every port that is bound, that a frame comes in at, or
/// that goes down.
fn scenario(suite: &Suite<'_>, trials: &[Trial<'_>]) -> Result<Scenario, GroundError> {
    let read = |text: &str| {
        serde_yaml::from_str::<Value>(text).map_err(|error| GroundError(error.to_string()))
    };
    let probes = trials.iter().filter_map(|trial| trial.probes.as_ref().ok()).flatten();
    let downs = trials.iter().flat_map(|trial| &trial.case.after).filter_map(|event| match event {
        Event::Port { port, .. } => Some(*port),
        _ => None,
    });
    let policy = suite.policy;
    let hosts = policy.hosts().filter_map(|host| host.at).map(|at| (at.dpid, at.port));
    let links = policy.links().flat_map(|(a, b)| [a, b]);
    let taken: BTreeSet<End> = hosts.chain(links).chain(moves(trials)).collect();
    let watched: BTreeSet<End> = probes
        .map(|probe| (probe.at.dpid, probe.at.port))
        .chain(downs)
        .chain(policy.bound_ports())
        .filter(|end| !taken.contains(end) && end.1 != PortNo::LOCAL)
        .collect();
    let watch = |text: &str| -> Result<Value, GroundError> {
        let mut value = read(text)?;
        if let Value::Mapping(root) = &mut value {
            let text = |text: String| Value::String(text);
            root.remove("cases");
            unplug(root, policy);
            let key = text("hosts".to_owned());
            let hosts = root.entry(key).or_insert(Value::Mapping(Mapping::new()));
            if let Value::Mapping(hosts) = hosts {
                for (number, (dpid, port)) in (1..).zip(&watched) {
                    let mac = MacAddr::from_u64(WATCHERS + number);
                    let entry = [("mac", mac.to_string()), ("at", format!("{dpid}/{port}"))];
                    let entry = entry.map(|(key, value)| (text(key.to_owned()), text(value)));
                    hosts.insert(
                        text(format!("watch-{:x}-{port}", dpid.0)),
                        Value::Mapping(entry.into_iter().collect()),
                    );
                }
            }
        }
        Ok(value)
    };
    let mut revisions = BTreeMap::new();
    for (name, policy) in suite.files {
        revisions.insert(name.clone(), watch(policy.text())?);
    }
    Ok(Scenario {
        name: policy.file().to_owned(),
        apps: vec![App::SliceableSwitch],
        about: String::new(),
        policy: watch(policy.text())?,
        revisions,
        mac_slices: 0,
        steps: Vec::new(),
    })
}

struct Trying<'r, 'a, G> {
    policy: &'r Policy,
    runner: &'r mut Runner<'a, G>,
    /// Where the hosts of the network are: at most one at a port.
    interfaces: BTreeMap<String, End>,
    /// Where the hosts of the policy are.
    places: BTreeMap<String, End>,
    /// Where each address was last used, and when.
    sent: BTreeMap<MacAddr, (Attachment, Duration)>,
}

/// Hosts that share a port share the interface of the first of them there: the others have no place
/// of their own in the network. Nor has one at a switch's own port, into which nothing can be plugged.
fn unplug(root: &mut Mapping, policy: &Policy) {
    let mut seen = BTreeSet::new();
    for host in policy.hosts() {
        let plugged = |at: Attachment| at.port != PortNo::LOCAL && seen.insert((at.dpid, at.port));
        if host.at.is_none_or(plugged) {
            continue;
        }
        if let Some(Value::Mapping(host)) =
            root.get_mut("hosts").and_then(|hosts| hosts.get_mut(host.name.as_str()))
        {
            host.remove("at");
            host.remove("vlan");
        }
    }
}

/// What arrived of a frame: at which port, on which VLAN.
type Seen = BTreeMap<Attachment, usize>;

impl<G: Ground> Trying<'_, '_, G> {
    fn case(&mut self, case: &Case, probes: &[Probe]) -> Result<(), Stop> {
        for event in &case.after {
            self.happen(event)?;
        }
        for probe in probes {
            if let (Arrival::At(to), false) = (&probe.arrives, case.silent) {
                self.speaks(to.mac, to.at)?;
                self.speaks(self.mac_of(&probe.from).unwrap_or_default(), probe.at)?;
                self.runner.settle()?;
            }
            self.probe(probe)?;
        }
        Ok(())
    }

    // ---- events ----

    fn everyone_speaks(&mut self) -> Result<(), GroundError> {
        for host in self.policy.hosts().filter(|host| host.at.is_some()) {
            self.host_speaks(&host.name)?;
        }
        self.runner.settle()
    }

    fn host_speaks(&mut self, name: &str) -> Result<(), GroundError> {
        let host = self.policy.host(name);
        let place = self.places.get(name);
        let (Some(host), Some((dpid, port))) = (host, place) else { return Ok(()) };
        let vid = host.at.map_or(Vid::Untagged, |at| at.vid);
        self.speaks(host.mac, Attachment { dpid: *dpid, port: *port, vid })
    }

    /// Somebody says something to everybody.
    fn speaks(&mut self, mac: MacAddr, at: Attachment) -> Result<(), GroundError> {
        let Some(host) = self.host_at((at.dpid, at.port)) else { return Ok(()) };
        let tags = match at.vid {
            Vid::Untagged => vec![],
            Vid::Tagged(vid) => vec![(0x8100, vid.number())],
        };
        if mac.is_zero() || mac.is_group() {
            return Ok(());
        }
        self.guard(mac, at)?;
        let token = self.runner.next_token();
        let frame = build::ethernet(MacAddr::BROADCAST, mac, &tags, PLAIN, &payload(token));
        self.runner.ground.send(&host, &padded(frame))
    }

    /// A host that was elsewhere a moment ago is not believed: waits until it is.
    fn guard(&mut self, mac: MacAddr, at: Attachment) -> Result<(), GroundError> {
        if let Some((_, when)) = self.sent.get(&mac).copied().filter(|(old, _)| *old != at) {
            while self.runner.ground.elapsed() < when + MOVE_GUARD {
                self.runner.pump()?;
            }
        }
        self.sent.insert(mac, (at, self.runner.ground.elapsed()));
        Ok(())
    }

    fn mac_of(&self, name: &str) -> Option<MacAddr> {
        self.policy.host(name).map(|host| host.mac)
    }

    fn host_at(&self, end: End) -> Option<String> {
        self.interfaces.iter().find(|(_, place)| **place == end).map(|(name, _)| name.clone())
    }

    /// What is said of a switch's own port.
    fn no_plug(&self, (dpid, port): End) -> String {
        let name = self.policy.switch_name(dpid);
        format!("{name}/{port} is the switch's own port: no host can be plugged in there")
    }

    fn link_of(&self, port: End) -> Option<(End, End)> {
        self.policy.links().find(|(a, b)| *a == port || *b == port)
    }

    fn happen(&mut self, event: &Event) -> Result<(), Stop> {
        let name = |dpid: DatapathId| self.policy.switch_name(dpid);
        let end = |(dpid, port): End| format!("{}/{port}", name(dpid));
        let state = |up: bool| if up { "up" } else { "down" };
        let mut steps: Vec<Step> = Vec::new();
        match event {
            Event::Link { ends: [a, b], up } => {
                let link = Some(format!("{}-{} {}", end(*a), end(*b), state(*up)));
                steps.push(Step { link, ..Step::default() });
            }
            // What a port of a link does, both its ends notice.
            Event::Port { port, up } if self.link_of(*port).is_some() => {
                let link = self.link_of(*port).map(|(a, b)| format!("{}-{}", end(a), end(b)));
                let link = link.map(|link| format!("{link} {}", state(*up)));
                steps.push(Step { link, ..Step::default() });
            }
            Event::Port { port, .. } if port.1 == PortNo::LOCAL => {
                return Err(Stop::Not(self.no_plug(*port)));
            }
            Event::Port { port, up } => {
                let port = Some(format!("{} {}", end(*port), state(*up)));
                steps.push(Step { port, ..Step::default() });
            }
            Event::Switch { dpid, up } => {
                let word = if *up { "start" } else { "stop" };
                let switch = Some(format!("{} {word}", name(*dpid)));
                steps.push(Step { switch, ..Step::default() });
            }
            Event::SwitchRestarts(dpid) => {
                for word in ["stop", "start"] {
                    let switch = Some(format!("{} {word}", name(*dpid)));
                    steps.push(Step { switch, ..Step::default() });
                }
            }
            Event::ControllerRestarts => {
                for control in [Control::Kill, Control::Start] {
                    steps.push(Step { controller: Some(control), ..Step::default() });
                }
            }
            Event::Moves { host, to } => {
                let place = (to.dpid, to.port);
                if to.port == PortNo::LOCAL {
                    return Err(Stop::Not(self.no_plug(place)));
                }
                let old = self.places.get(host);
                if let Some(own) = old.filter(|(_, port)| *port == PortNo::LOCAL) {
                    return Err(Stop::Not(self.no_plug(*own)));
                }
                let sharing = self.places.values().filter(|place| Some(*place) == old).count();
                if sharing > 1 || !self.interfaces.contains_key(host) {
                    let why = format!("{host} shares its port and cannot move alone");
                    return Err(Stop::Not(why));
                }
                let links = self.policy.links().flat_map(|(a, b)| [a, b]);
                if self.interfaces.values().copied().chain(links).any(|taken| taken == place) {
                    let why = format!("{} is taken: one host stands at a port here", end(place));
                    return Err(Stop::Not(why));
                }
                self.interfaces.insert(host.clone(), place);
                let r#move = Some(format!("{host} to {}", end(place)));
                steps.push(Step { r#move, ..Step::default() });
                self.places.insert(host.clone(), place);
            }
            Event::Speaks(host) => match self.places.get(host) {
                Some(own) if own.1 == PortNo::LOCAL => return Err(Stop::Not(self.no_plug(*own))),
                _ => self.host_speaks(&host.clone())?,
            },
            Event::EveryoneSpeaks => self.everyone_speaks()?,
            Event::Policy(file) => {
                steps.push(Step { revise: Some(file.clone()), ..Step::default() });
            }
            Event::Pass(seconds) => {
                let time = Duration::from_secs(*seconds);
                if !self.runner.ground.is_virtual() && time > PATIENCE {
                    let most = PATIENCE.as_secs();
                    return Err(Stop::Not(format!(
                        "time is real here, and {seconds} seconds are more than {most}"
                    )));
                }
                let pass = u64::try_from(time.as_millis()).ok();
                steps.push(Step { pass, ..Step::default() });
            }
        }
        for step in &steps {
            self.runner.step(step)?;
        }
        Ok(self.runner.settle()?)
    }

    // ---- frames ----

    fn probe(&mut self, probe: &Probe) -> Result<(), Stop> {
        let place = (probe.at.dpid, probe.at.port);
        let Some(host) = self.host_at(place) else {
            if place.1 == PortNo::LOCAL {
                return Err(Stop::Not(self.no_plug(place)));
            }
            let name = self.policy.attachment_name(probe.at);
            return Err(Stop::Not(format!("nobody can send from {name}: no host stands there")));
        };
        let empty = Headers::parse(&probe.bytes(&[]));
        let ends: Vec<Attachment> = match &probe.arrives {
            Arrival::At(to) | Arrival::NotAt(to) => vec![to.at],
            Arrival::Exactly(places) => places.clone(),
            Arrival::Once => self.places_of(|mac| mac == empty.eth_dst),
            Arrival::Somewhere => Vec::new(),
        };
        if let Some(why) = ends.iter().find_map(|at| self.unseen(probe, *at)) {
            return Err(Stop::Not(why));
        }
        self.guard(empty.eth_src, probe.at)?;
        let token = self.runner.next_token();
        let frame = probe.bytes(&payload(token));
        self.runner.ground.send(&host, &frame)?;
        self.runner.settle()?;
        let mut seen = self.seen(token);
        if self.short(probe, &seen) {
            // It may only be late.
            let until = self.runner.ground.elapsed() + LATE;
            while self.short(probe, &seen) && self.runner.ground.elapsed() < until {
                self.runner.pump()?;
                seen = self.seen(token);
            }
        }
        let Some(fault) = self.fault(probe, &seen) else { return Ok(()) };
        if probe.arrives == Arrival::Somewhere
            && let mut others = self.places_of(|_| true).into_iter()
            && let Some(why) = others.find_map(|at| self.unseen(probe, at))
        {
            return Err(Stop::Not(why));
        }
        let words = words(&frame);
        let told = self.told(&seen);
        Err(Stop::Wrong(format!("{fault}; the frame {words} of {} {told}", probe.from)))
    }

    /// Why a frame of this kind cannot be seen to arrive at a place, if it cannot. Links that the
    /// policy does not name are taken by the decision to be there, and are not in the network.
    fn unseen(&self, probe: &Probe, to: Attachment) -> Option<String> {
        if to.port == PortNo::LOCAL {
            return Some(self.no_plug((to.dpid, to.port)));
        }
        let unlinked = self.policy.links().next().is_none();
        let [from, to] = [probe.at.dpid, to.dpid].map(|dpid| self.policy.switch_name(dpid));
        (unlinked && from != to)
            .then(|| format!("the policy has no links: nothing gets from {from} to {to}"))
    }

    /// Where the hosts of the policy with such addresses are.
    fn places_of(&self, is_meant: impl Fn(MacAddr) -> bool) -> Vec<Attachment> {
        let hosts = self.policy.hosts().filter(|host| is_meant(host.mac));
        let places = hosts.filter_map(|host| self.places.get(&host.name));
        places
            .map(|(dpid, port)| Attachment { dpid: *dpid, port: *port, vid: Vid::Untagged })
            .collect()
    }

    fn seen(&self, token: u64) -> Seen {
        let mut seen = Seen::new();
        let hosts = self.runner.arrivals.get(&token).into_iter().flatten();
        for (host, vid) in hosts.zip(self.runner.tagged.get(&token).into_iter().flatten()) {
            if let Some((dpid, port)) = self.interfaces.get(host) {
                let at = Attachment { dpid: *dpid, port: *port, vid: *vid };
                *seen.entry(at).or_default() += 1;
            }
        }
        seen
    }

    /// Whether something is missing that may still come.
    fn short(&self, probe: &Probe, seen: &Seen) -> bool {
        match &probe.arrives {
            Arrival::At(to) => !seen.contains_key(&to.at),
            Arrival::NotAt(_) => false,
            Arrival::Exactly(places) => places.iter().any(|at| !seen.contains_key(at)),
            Arrival::Once | Arrival::Somewhere => seen.is_empty(),
        }
    }

    fn fault(&self, probe: &Probe, seen: &Seen) -> Option<String> {
        let name = |at: &Attachment| self.policy.attachment_name(*at);
        if let Some((at, count)) = seen.iter().find(|(_, count)| **count > 1) {
            return Some(format!("it arrived {count} times at {}", name(at)));
        }
        match &probe.arrives {
            Arrival::At(to) if !seen.contains_key(&to.at) => {
                Some(format!("{} does not reach {}", probe.from, to.name))
            }
            Arrival::NotAt(to) if seen.contains_key(&to.at) => {
                Some(format!("{} reaches {}", probe.from, to.name))
            }
            Arrival::Exactly(places) if !places.iter().eq(seen.keys()) => {
                let wanted: Vec<String> = places.iter().map(name).collect();
                Some(match wanted.is_empty() {
                    true => "it was to arrive nowhere".to_owned(),
                    false => format!("it was to arrive at {}", wanted.join(", ")),
                })
            }
            Arrival::Once if seen.len() != 1 => Some("it was to arrive at one place".to_owned()),
            Arrival::Somewhere if seen.is_empty() => Some("it was to arrive somewhere".to_owned()),
            _ => None,
        }
    }

    fn told(&self, seen: &Seen) -> String {
        let places: Vec<String> = seen.keys().map(|at| self.policy.attachment_name(*at)).collect();
        match places.is_empty() {
            true => "arrived nowhere".to_owned(),
            false => format!("arrived at {}", places.join(", ")),
        }
    }
}

/// A frame in a few words.
fn words(frame: &[u8]) -> String {
    let headers = Headers::parse(frame);
    let kind = headers.eth_type.value().map_or(String::new(), |kind| format!(" type {kind:#06x}"));
    format!("to {}{kind}", headers.eth_dst)
}

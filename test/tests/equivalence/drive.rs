//! A plan on the emulated network in virtual time, step by step beside two models: the decision on a
//! network without switches, and the naive reading. After each frame all hosts are looked at.

use std::collections::BTreeMap;
use std::time::Duration;

use umlaut_openflow::packet::Headers;
use umlaut_slice_db::{
    DropReason, Explanation, Ingress, NoTrace, OfflineNetwork, Policy, Verdict, decide, explain,
};
use umlaut_testbed::{Endpoint, RunEnd};

use super::common::Bed;
use super::frames;
use super::naive::{Fate, GUESS_AGE, HOST_AGE, Reading};
use super::plan::*;
use super::write;

/// What the controller waits with its beliefs: then it takes a host to have moved.
const MOVE_GUARD: Duration = Duration::from_millis(5_100);
/// Drop entries are gone after this.
const DROPS_GONE: Duration = Duration::from_millis(61_500);
/// Drop entries for want of a way are gone after this.
const NO_PATH_GONE: Duration = Duration::from_millis(1_200);
/// The controller forgets guesses between their age and this.
const GUESSES_GONE: Duration = Duration::from_secs(38);
/// Flows may keep hosts from being forgotten; nobody is kept for longer than this.
const HOSTS_GONE: Duration = Duration::from_secs(470);
/// Until then nobody is forgotten who spoke.
const HOSTS_SURE: Duration = Duration::from_secs(240);
/// Flows that no frame uses are gone after this.
const FLOWS_GONE: Duration = Duration::from_secs(135);
/// Replies have their way back so long at least.
const FLOWS_SURE: Duration = Duration::from_secs(50);
/// A switch that is gone is forgotten after this.
const SWITCH_GONE: Duration = Duration::from_secs(20);
/// What an earlier run left is decided after this.
const ADOPTED: Duration = Duration::from_secs(13);

/// What happened, with the times that had to pass between.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    Step(Step),
    Waited(Duration),
    /// A frame was sent, which these stations were to receive.
    Sent {
        frame: Frame,
        arrives: Vec<(usize, u16)>,
    },
}

/// With whom the decision disagrees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Between {
    /// With the naive reading: no network is needed to see it.
    Reading,
    /// With what `explain` says of it.
    Explain,
    /// With what arrived.
    Network,
}

/// A difference found.
#[derive(Clone, Debug)]
pub struct Difference {
    pub between: Between,
    pub what: String,
    /// All until then; the last is the frame.
    pub events: Vec<Event>,
    pub fate: Option<Fate>,
    pub verdict: Option<Verdict>,
}

/// The admission, filters and destination as the test reads them: replaced where the test itself is
/// tested.
pub type Oracle = fn(&mut Reading, &Rules, &Wires, End, &Frame, Mac) -> Fate;

struct Flow {
    from: Place,
    to: Place,
    frame: Frame,
    at: Duration,
}

pub struct Run<'a> {
    plan: &'a Plan,
    oracle: Oracle,
    bed: Bed,
    rules: usize,
    policy: Policy,
    network: OfflineNetwork,
    modelled: Duration,
    /// When the controller has forgotten whom the reading has forgotten.
    forgotten: Duration,
    reading: Reading,
    wires: Wires,
    refused: Vec<(End, Mac, Duration)>,
    flows: Vec<Flow>,
    /// When the network last changed: older flows may be there or not.
    changed: Duration,
    controllers: u64,
    token: u64,
    events: Vec<Event>,
}

type Outcome<T = ()> = Result<T, Box<Difference>>;

/// Runs a plan. How many frames were compared.
pub fn run(plan: &Plan, oracle: Oracle) -> Outcome<u64> {
    let text = write::policy(plan, &plan.rules[0], &[], &[]);
    let policy = super::common::policy(&text);
    let mut bed = Bed::with(&text, plan.version, plan.seed, |options| {
        options.backoff = (Duration::from_millis(100), Duration::from_secs(1));
    });
    for index in 0..plan.stations.len() {
        bed.network.with_host(&write::station_name(index), |host, _| host.set_answers(false));
    }
    let modelled = bed.network.elapsed();
    let mut run = Run {
        plan,
        oracle,
        network: OfflineNetwork::silent(&policy),
        policy,
        rules: 0,
        modelled,
        forgotten: Duration::ZERO,
        reading: Reading { now: modelled, ..Reading::default() },
        wires: Wires::new(plan),
        refused: Vec::new(),
        flows: Vec::new(),
        changed: modelled,
        controllers: 1,
        token: 0,
        events: Vec::new(),
        bed,
    };
    run.ready()?;
    for step in &plan.steps {
        if run.wires.can(plan, step) {
            run.step(step)?;
        }
    }
    Ok(run.token)
}

impl Run<'_> {
    fn differ<T>(&mut self, between: Between, what: String) -> Outcome<T> {
        let events = std::mem::take(&mut self.events);
        Err(Box::new(Difference { between, what, events, fate: None, verdict: None }))
    }

    fn rules(&self) -> &Rules {
        &self.plan.rules[self.rules]
    }

    // ---- time ----

    /// The models follow the network's time.
    fn follow(&mut self) {
        let now = self.bed.network.elapsed();
        self.network.pass(now - self.modelled);
        self.modelled = now;
        // The controller forgets the old once in a while, not at the moment.
        for known in self.reading.known.values() {
            let (age, gone) =
                if known.guess { (GUESS_AGE, GUESSES_GONE) } else { (HOST_AGE, HOSTS_GONE) };
            if now - known.last > age {
                self.forgotten = self.forgotten.max(known.last + gone);
            }
        }
        self.reading.set_now(now);
    }

    fn pass(&mut self, time: Duration) -> Outcome {
        if self.bed.network.run_for(time) != RunEnd::Time {
            return self.differ(Between::Network, "frames circulate".to_owned());
        }
        self.follow();
        Ok(())
    }

    fn wait(&mut self, time: Duration) -> Outcome {
        self.events.push(Event::Waited(time));
        self.pass(time)
    }

    /// Until the controller knows the network as it is.
    fn ready(&mut self) -> Outcome {
        // What has just happened is told first.
        self.pass(Duration::from_millis(20))?;
        let links = self.wires.whole().count() * 2;
        let running: Vec<_> = (1..=self.plan.switches)
            .filter(|s| !self.wires.stopped.contains(s))
            .map(umlaut_openflow::DatapathId)
            .collect();
        let ready = self.bed.network.run_until_true(Duration::from_secs(60), |network| {
            let controller = &network.controller().0;
            let world = controller.shared().world.load();
            let topology = &world.topology;
            topology.switches().map(|(dpid, _)| dpid).eq(running.iter().copied())
                && topology.links().count() == links
                && !topology.is_probing()
                && controller.active().count() == running.len()
        });
        if !ready {
            let what = "the controller does not come to know the network".to_owned();
            return self.differ(Between::Network, what);
        }
        self.pass(Duration::from_millis(50))
    }

    /// Lets time pass where what the controller believes is a matter of seconds: hosts that move, what
    /// switches drop by themselves, what is about to be forgotten.
    fn let_pass(&mut self, at: Place, frame: &Frame) -> Outcome {
        for _ in 0..6 {
            let now = self.bed.network.elapsed();
            let mut wait = Duration::ZERO;
            let mut until = |time: Duration| wait = wait.max(time.saturating_sub(now));
            until(self.forgotten);
            for known in self.reading.known.values() {
                let age = now - known.last;
                if known.guess && age + Duration::from_secs(2) > GUESS_AGE {
                    until(known.last + GUESSES_GONE);
                }
                if !known.guess && age > HOSTS_SURE {
                    until(known.last + HOSTS_GONE);
                }
            }
            let moves = self.reading.places(frame.src).filter(|k| !k.guess && k.at != at);
            moves.for_each(|known| until(known.since + MOVE_GUARD));
            let mut after = self.reading.clone();
            (self.oracle)(&mut after, self.rules(), &self.wires, at.end, frame, self.sender(frame));
            if !after.agrees(&self.reading) {
                let old =
                    self.refused.iter().filter(|(end, mac, _)| (*end, *mac) == (at.end, frame.src));
                old.for_each(|(.., time)| until(*time + DROPS_GONE));
            }
            if wait.is_zero() {
                return Ok(());
            }
            self.wait(wait)?;
        }
        Ok(())
    }

    fn sender(&self, frame: &Frame) -> Mac {
        write::own_mac(frame.station)
    }

    // ---- frames ----

    fn say(&mut self, frame: &Frame) -> Outcome {
        let end = self.wires.stations[frame.station];
        let vlan = frame.tags.first().map_or(0, |(_, tci)| tci & 0xfff);
        let at = Place { end, vlan };
        self.let_pass(at, frame)?;
        self.follow();
        let sender = self.sender(frame);
        let mut after = self.reading.clone();
        let fate = (self.oracle)(&mut after, self.rules(), &self.wires, end, frame, sender);

        self.token += 1;
        let bytes = frames::bytes(frame, sender, self.token);
        let headers = Headers::parse(&bytes);
        let ingress = Ingress { dpid: end.dpid(), port: end.number(), headers: &headers };
        let decision = decide(&self.policy, &self.network, ingress, &mut NoTrace);
        let outputs: Vec<Place> = match &decision.verdict {
            Verdict::Drop(_) => Vec::new(),
            Verdict::Forward { to } => vec![Place::of(*to)],
            Verdict::Flood { outputs } => outputs.iter().map(|at| Place::of(*at)).collect(),
        };
        let mut arrives = self.stations_at(&outputs);
        let reply = self.is_reply(at, frame, &decision.verdict)?;
        if let Some(to) = reply {
            arrives = self.stations_at(&[to]);
        }
        self.events.push(Event::Sent { frame: frame.clone(), arrives: arrives.clone() });
        let fail = |run: &mut Self, between, what: String| -> Outcome {
            let mut found = run.differ::<()>(between, what).unwrap_err();
            (found.fate, found.verdict) = (Some(fate.clone()), Some(decision.verdict.clone()));
            Err(found)
        };

        let explained = explain(&self.policy, &self.network, ingress);
        if let Some(what) = unexplained(&self.policy, &decision.verdict, &explained) {
            return fail(self, Between::Explain, what);
        }
        let wanted = self.stations_at(&fate.places());
        if reply.is_none() && wanted != arrives {
            let what = format!("decided: {arrives:?}; read naively: {wanted:?}");
            return fail(self, Between::Reading, what);
        }

        if !same_grounds(&fate, &decision.verdict) {
            let what = format!("decided: {:?}; read naively: {fate:?}", decision.verdict);
            return fail(self, Between::Reading, what);
        }

        self.bed.network.reset_hosts();
        let name = write::station_name(frame.station);
        self.bed.network.with_host(&name, |host, _| host.send_raw(bytes.clone()));
        match self.bed.network.run_until_idle(Duration::from_secs(2)) {
            RunEnd::Exhausted => {
                return fail(self, Between::Network, "it circulates".into());
            }
            RunEnd::Time | RunEnd::Idle => {}
        }
        let seen = self.arrived(&bytes);
        match seen {
            Ok(seen) if seen == arrives => {}
            Ok(seen) => {
                let what = format!("decided: {arrives:?}; arrived: {seen:?}");
                return fail(self, Between::Network, what);
            }
            Err(what) => return fail(self, Between::Network, what),
        }

        // Who has spoken is known from now on.
        self.follow();
        let sane = decision.admission.is_ok() || !decision.tentative.is_empty();
        if sane {
            self.network.speak(&self.policy, headers.eth_src, at.attachment());
        }
        after.set_now(self.reading.now);
        self.reading = after;
        self.note(at, frame, &decision.verdict, reply)
    }

    /// What has to be kept in mind of a frame.
    fn note(
        &mut self,
        at: Place,
        frame: &Frame,
        verdict: &Verdict,
        reply: Option<Place>,
    ) -> Outcome {
        let now = self.bed.network.elapsed();
        match verdict {
            Verdict::Forward { to } => {
                let to = Place::of(*to);
                self.flows.push(Flow { from: at, to, frame: frame.clone(), at: now });
            }
            Verdict::Drop(DropReason::NoPath) => self.wait(NO_PATH_GONE)?,
            Verdict::Drop(_) if reply.is_none() => self.refused.push((at.end, frame.src, now)),
            _ => {}
        }
        Ok(())
    }

    /// Where a frame goes that filters deny but that answers one that they allowed, under
    /// `reverse_flow`. Where it is not sure that the way back is still there, time passes.
    fn is_reply(&mut self, at: Place, frame: &Frame, verdict: &Verdict) -> Outcome<Option<Place>> {
        let denied =
            matches!(verdict, Verdict::Drop(DropReason::Filtered(_) | DropReason::FilterDefault));
        if !denied || !self.rules().options.reverse_flow {
            return Ok(None);
        }
        let answers = |flow: &&Flow| frames::answers(frame, &flow.frame);
        // Where others with the same two addresses speak, the way is theirs on shared links perhaps.
        let pair = |flow: &Flow| [flow.frame.src, flow.frame.dst];
        let contested = |flow: &&Flow| {
            let [src, dst] = pair(flow);
            self.flows.iter().any(|other| {
                pair(other) == [src, dst] && (other.from, other.to) != (flow.from, flow.to)
                    || pair(other) == [dst, src] && (other.to, other.from) != (flow.from, flow.to)
            })
        };
        let sure = self.live().filter(answers).filter(|flow| flow.to == at).last();
        // A priority tag is no match of an entry for frames without a tag.
        let entered = !frame.tags.iter().any(|(_, tci)| tci & 0xfff == 0);
        let sure = sure.filter(|flow| entered && !contested(flow));
        let sure = sure.map(|flow| flow.from);
        if sure.is_some() {
            return Ok(sure);
        }
        if self.flows.iter().any(|flow| answers(&flow)) {
            self.wait(FLOWS_GONE)?;
            self.flows.clear();
        }
        Ok(None)
    }

    /// The stations at these places, each with the VLAN that a frame has there; sorted, one for each
    /// place.
    fn stations_at(&self, places: &[Place]) -> Vec<(usize, u16)> {
        let usable = places.iter().filter(|place| self.wires.usable(place.end));
        let mut found: Vec<(usize, u16)> = usable
            .filter_map(|place| Some((self.wires.station_at(place.end)?, place.vlan)))
            .collect();
        found.sort_unstable();
        found
    }

    /// Who has received the frame, in the same form.
    fn arrived(&self, sent: &[u8]) -> Result<Vec<(usize, u16)>, String> {
        let token = frames::token(self.token);
        let mut found = Vec::new();
        for (index, host) in self.bed.network.hosts().iter().enumerate() {
            for seen in host.sniffed() {
                if !seen.frame.windows(token.len()).any(|window| window == token) {
                    continue;
                }
                if frames::bare(&seen.frame, &token) != frames::bare(sent, &token) {
                    return Err(format!("{} receives another frame", write::station_name(index)));
                }
                let headers = Headers::parse(&seen.frame);
                let vlan = match headers.tag.vid() {
                    Some(umlaut_openflow::Vid::Tagged(vid)) => vid.number(),
                    _ => 0,
                };
                found.push((index, vlan));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    // ---- events ----

    fn step(&mut self, step: &Step) -> Outcome {
        if let Step::Say(frame) = step {
            // Once by the decision, and once more by what was installed.
            self.say(frame)?;
            return self.say(frame);
        }
        self.events.push(Event::Step(step.clone()));
        if let Step::Pass { seconds } = step {
            return self.pass(Duration::from_secs(*seconds));
        }
        self.wires.apply(step);
        let endpoint = |end: End| Endpoint { dpid: end.dpid(), port: end.number() };
        let network = &mut self.bed.network;
        match step {
            Step::Say(_) | Step::Pass { .. } => {}
            Step::Link { link, up } => {
                let ends = self.plan.links[*link];
                if *up {
                    network.heal(*link);
                } else {
                    network.cut(*link);
                }
                self.network.set_link(ends.map(|end| (end.dpid(), end.number())), *up);
            }
            Step::Port { end, up } => {
                network.with_switch(end.dpid(), |s, now| s.set_link(end.number(), *up, now));
                self.set_port(*end, *up);
            }
            Step::Switch { switch, up } => {
                let dpid = umlaut_openflow::DatapathId(*switch);
                if *up {
                    network.power_on(dpid);
                } else {
                    network.power_off(dpid);
                    self.pass(SWITCH_GONE)?;
                    self.reading.forget(|place| place.end.switch == *switch);
                }
                self.network.set_switch(dpid, *up);
            }
            Step::Restart { switch } => {
                let dpid = umlaut_openflow::DatapathId(*switch);
                network.power_off(dpid);
                network.power_on(dpid);
            }
            Step::Channel { switch } => {
                network.reset_channel(umlaut_openflow::DatapathId(*switch));
                self.pass(Duration::from_millis(500))?;
            }
            Step::Controller => self.restart_controller()?,
            Step::Revise { rules } => {
                self.rules = *rules;
                let text = write::policy(self.plan, self.rules(), &[], &[]);
                self.bed.set_policy(&text);
                let next = super::common::policy(&text);
                self.network = self.network.under(&self.policy, &next);
                self.policy = next;
                let rules = &self.plan.rules[self.rules];
                self.reading.revised(rules);
            }
            Step::Move { station, to } => {
                let from = self.events_from(*station);
                let network = &mut self.bed.network;
                network.plug(&write::station_name(*station), endpoint(*to));
                self.set_port(from, false);
                self.set_port(*to, true);
            }
            Step::Secretly { end } => {
                network.with_switch(end.dpid(), |s, now| s.set_link(end.number(), false, now));
            }
        }
        self.ready()?;
        if matches!(step, Step::Controller | Step::Channel { .. } | Step::Restart { .. }) {
            self.pass(ADOPTED)?;
        }
        if *step == Step::Controller {
            self.take_over_hosts()?;
        }
        self.changed = self.bed.network.elapsed();
        Ok(())
    }

    /// Where a station was before the last step.
    fn events_from(&self, station: usize) -> End {
        let name = write::station_name(station);
        let at = self.bed.network.location(&name);
        at.map_or(self.plan.stations[station].at.end, |at| End {
            switch: at.dpid.0,
            port: at.port.0,
        })
    }

    fn set_port(&mut self, end: End, up: bool) {
        self.network.set_port(end.dpid(), end.number(), up);
        if !up {
            self.reading.forget(|place| place.end == end);
        }
    }

    fn restart_controller(&mut self) -> Outcome {
        self.bed.kill_controller();
        self.pass(Duration::from_millis(300))?;
        let text = write::policy(self.plan, self.rules(), &[], &[]);
        self.controllers += 1;
        let seed = self.plan.seed.wrapping_add(self.controllers);
        self.bed.start_controller(&text, seed);
        Ok(())
    }

    /// A new run of the controller knows those hosts of which the entries in the switches speak: all
    /// whose frames surely have an entry, nobody else, and nobody elsewhere. A guess may have become
    /// the place of its port where its frames went.
    fn take_over_hosts(&mut self) -> Outcome {
        let shared = self.bed.network.controller().0.shared().clone();
        let world = shared.world.load();
        let mut known = BTreeMap::new();
        for ((domain, mac), entry) in shared.net.hosts.all() {
            let Some(slice) = world.policy.slice(domain) else { continue };
            let name = name_of(&world.policy.policy, slice);
            known.insert((name, mac.to_u64()), (Place::of(entry.at), entry.tentative));
        }
        self.follow();
        let strange = known.iter().find(|(key, (at, guess))| {
            self.reading.known.get(key).is_none_or(|k| {
                (k.at, k.guess) != (*at, *guess) && !(k.guess && k.at.end == at.end)
            })
        });
        let forgotten = self.reading.known.iter().find(|((slice, mac), k)| {
            let alone = |mac| self.reading.places(mac).count() == 1;
            let spoke = |flow: &Flow| {
                (flow.frame.src, flow.from) == (*mac, k.at) && alone(*mac) && alone(flow.frame.dst)
            };
            !known.contains_key(&(*slice, *mac)) && !k.guess && self.live().any(spoke)
        });
        if strange.is_some() || forgotten.is_some() {
            let what = format!("a new run believes {strange:x?} and does not know {forgotten:x?}");
            return self.differ(Between::Network, what);
        }
        let (policy, network) = (&self.policy, &mut self.network);
        let kept = |slice, mac: umlaut_openflow::MacAddr| {
            known.contains_key(&(name_of(policy, slice), mac.to_u64()))
        };
        network.keep(|slice, mac, _| kept(slice, mac));
        self.reading.keep(|slice, mac| known.contains_key(&(slice, mac)));
        for ((_, m), (at, _)) in &known {
            network.speak(policy, mac(*m), at.attachment());
            self.reading.speaks(&self.plan.rules[self.rules], *at, *m);
        }
        Ok(())
    }

    /// Flows whose entries are surely there: nothing has happened since, and nobody has moved.
    fn live(&self) -> impl Iterator<Item = &Flow> {
        let now = self.bed.network.elapsed();
        let plain = |kind| matches!(kind, Kind::Plain | Kind::Udp(..) | Kind::Tcp(..));
        let stays = |mac, flow: &Flow| self.reading.places(mac).any(|k| k.since <= flow.at);
        self.flows.iter().filter(move |flow| {
            flow.at >= self.changed
                && now - flow.at < FLOWS_SURE
                && plain(flow.frame.kind)
                && stays(flow.frame.src, flow)
                && stays(flow.frame.dst, flow)
        })
    }
}

fn name_of(policy: &Policy, slice: umlaut_slice_db::SliceId) -> char {
    policy.slice_name(slice).chars().next().unwrap_or('?')
}

/// Whether both say who it is that does not let a frame pass: nobody of the slice, the filters, or the
/// network of now.
fn same_grounds(fate: &Fate, verdict: &Verdict) -> bool {
    let Verdict::Drop(reason) = verdict else {
        return !matches!(fate, Fate::Refused | Fate::Denied);
    };
    match reason {
        DropReason::Filtered(_) | DropReason::FilterDefault => *fate == Fate::Denied,
        DropReason::SamePort | DropReason::NoPath | DropReason::NoReceivers => *fate == Fate::Lost,
        _ => *fate == Fate::Refused,
    }
}

/// What `explain` says that is not what was decided.
fn unexplained(policy: &Policy, verdict: &Verdict, told: &Explanation) -> Option<String> {
    let name = |at: &umlaut_openflow::Attachment| policy.attachment_name(*at);
    let (word, reason, outputs) = match verdict {
        Verdict::Drop(reason) => ("drop", Some(reason.code()), Vec::new()),
        Verdict::Forward { to } => ("forward", None, vec![name(to)]),
        Verdict::Flood { outputs } => ("flood", None, outputs.iter().map(name).collect()),
    };
    let same = (told.verdict, told.reason, &told.outputs) == (word, reason, &outputs);
    (!same).then(|| format!("decided: {verdict:?}; explained: {}", told.conclusion))
}

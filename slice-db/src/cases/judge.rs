//! Whether a case holds, and what happens instead. Pure.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use umlaut_openflow::packet::Headers;
use umlaut_openflow::{Attachment, MacAddr};

use super::events::{CaseWorld, PolicyFiles};
use super::frame::End;
use super::reach::Reach;
use super::stations::{Station, stations, unknown_mac};
use super::witness::{Entangled, allowed_frame};
use super::{Case, Expectation, FrameFields, Peer};
use crate::decide::{Ingress, NoTrace, Verdict, decide};
use crate::explain::{Explanation, explain};
use crate::filter::Subject;
use crate::network::OfflineNetwork;
use crate::policy::{Policy, SliceId, admit};

/// What happens instead of what a case expects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// In one line.
    pub what: String,
    /// The decision on the frame that shows it, with its grounds.
    pub explanation: Option<Box<Explanation>>,
}

/// The outcome of a case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// `None`: it holds.
    pub wrong: Option<Wrong>,
    /// How many decisions it took.
    pub decisions: u32,
}

/// Judges a case of a policy. `files` are the policy files that its events name. For many cases of one
/// policy see [`Judge`].
pub fn judge(policy: &Policy, case: &Case, files: &PolicyFiles) -> Judgement {
    Judge::new(policy, files).judge(case)
}

/// Judges the cases of a policy, one after the other. What cases without events share is made once.
#[derive(Clone, Debug)]
pub struct Judge<'a> {
    policy: &'a Policy,
    files: &'a PolicyFiles,
    /// When nothing has happened: nobody has spoken, everybody has.
    calm: [OnceCell<Arc<CaseWorld<'a>>>; 2],
}

impl<'a> Judge<'a> {
    /// Of a policy and the policy files that events of its cases name.
    pub fn new(policy: &'a Policy, files: &'a PolicyFiles) -> Judge<'a> {
        Judge { policy, files, calm: [OnceCell::new(), OnceCell::new()] }
    }

    /// Judges a case of the policy.
    pub fn judge(&self, case: &Case) -> Judgement {
        let mut court = Court { judge: self, case, decisions: 0, collected: None };
        let wrong = court.judge().err();
        Judgement { wrong, decisions: court.decisions }
    }

    fn world(&self, case: &Case, everybody: bool) -> Result<Arc<CaseWorld<'a>>, String> {
        let make = || CaseWorld::after(self.policy, case, self.files, everybody).map(Arc::new);
        if !case.after.is_empty() || case.frame.at.is_some() {
            return make();
        }
        let calm = &self.calm[usize::from(everybody)];
        match calm.get() {
            Some(world) => Ok(Arc::clone(world)),
            None => {
                let world = make()?;
                Ok(Arc::clone(calm.get_or_init(|| world)))
            }
        }
    }
}

struct Court<'j, 'a> {
    judge: &'j Judge<'a>,
    case: &'j Case,
    decisions: u32,
    /// The frames, where they are wanted instead of decisions on them.
    collected: Option<Vec<Probe>>,
}

fn plain(what: impl Into<String>) -> Wrong {
    Wrong { what: what.into(), explanation: None }
}

/// What must become of a frame that a network is tried with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// It comes out where this station is.
    At(Station),
    /// It does not come out where this station is.
    NotAt(Station),
    /// It comes out at exactly these places.
    Exactly(Vec<Attachment>),
    /// It comes out at one place.
    Once,
    /// It comes out at one place or more.
    Somewhere,
}

/// A frame that a network is tried with when the events of the case are over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Probe {
    /// Who sends it, in words.
    pub from: String,
    /// Where it comes in.
    pub at: Attachment,
    /// What must become of it.
    pub arrives: Arrival,
    fields: FrameFields,
    ends: (End, End),
    /// Its tags from the outside, if not that of the place.
    vids: Option<Vec<u16>>,
}

impl Probe {
    /// Its bytes, with `data` at their end so that it can be told from others.
    pub fn bytes(&self, data: &[u8]) -> Vec<u8> {
        match &self.vids {
            None => self.fields.bytes(self.ends.0, self.ends.1, self.at.vid, data),
            Some(vids) => self.fields.tagged(self.ends.0, self.ends.1, vids, data),
        }
    }

    fn headers(&self) -> Headers {
        Headers::parse(&self.bytes(&[]))
    }
}

/// The frames by which a network can be asked whether a case holds. `files` as for [`judge`].
///
/// # Errors
/// What keeps the case from being tried, in words.
pub fn probes(policy: &Policy, case: &Case, files: &PolicyFiles) -> Result<Vec<Probe>, String> {
    let judge = Judge::new(policy, files);
    let mut court = Court { judge: &judge, case, decisions: 0, collected: Some(Vec::new()) };
    court.judge().map_err(|wrong| wrong.what)?;
    Ok(court.collected.unwrap_or_default())
}

impl<'a> Court<'_, 'a> {
    fn judge(&mut self) -> Result<(), Wrong> {
        match &self.case.expect {
            Expectation::Reaches => {
                self.pairs(false, |court, worlds, a, b| court.reaches(worlds, a, b))
            }
            Expectation::NeverReaches => {
                self.pairs(false, |court, worlds, a, b| court.never(worlds, a, b))
            }
            Expectation::Isolated => {
                self.pairs(true, |court, worlds, a, b| court.never(worlds, a, b))
            }
            _ => self.verdicts(),
        }
    }

    fn world(&self, everybody: bool) -> Result<Arc<CaseWorld<'a>>, Wrong> {
        self.judge.world(self.case, everybody).map_err(plain)
    }

    /// Who the case speaks of; nobody is a mistake, since such a case could not fail.
    fn peers(&self, peer: &Peer) -> Result<Vec<Station>, Wrong> {
        let found = stations(self.judge.policy, peer);
        match (found.is_empty(), peer) {
            (false, _) => Ok(found),
            (true, Peer::Host(name)) => {
                Err(plain(format!("{name} has no place (at: SWITCH/PORT)")))
            }
            (true, Peer::Slice(slice)) => Err(plain(format!(
                "nobody of {} has a place, so that the case says nothing",
                self.judge.policy.slice_name(*slice)
            ))),
        }
    }

    /// Every sender with every receiver, and the other way round.
    fn pairs(
        &mut self,
        both_ways: bool,
        mut check: impl FnMut(
            &mut Self,
            &[Arc<CaseWorld<'a>>; 2],
            &Station,
            &Station,
        ) -> Result<(), Wrong>,
    ) -> Result<(), Wrong> {
        let (Some(from), Some(to)) = (&self.case.from, &self.case.to) else {
            return Err(plain("the case names no sender or no receiver"));
        };
        let (from, to) = (self.peers(from)?, self.peers(to)?);
        let worlds = [self.world(false)?, self.world(!self.case.silent)?];
        let (from, to) = (worlds[0].now(&from), worlds[0].now(&to));
        let mut tried = 0;
        for a in &from {
            for b in to.iter().filter(|b| b.name != a.name) {
                tried += 1;
                check(self, &worlds, a, b)?;
                if both_ways {
                    check(self, &worlds, b, a)?;
                }
            }
        }
        match tried {
            0 => Err(plain("the case is about one host only, so that it says nothing")),
            _ => Ok(()),
        }
    }

    /// The frame that the case sends from one to the other.
    fn frame(&self, from: &Station, to: End, arrives: Arrival) -> Probe {
        let spec = &self.case.frame;
        Probe {
            from: from.name.clone(),
            at: spec.at.unwrap_or(from.at),
            arrives,
            fields: spec.fields.clone(),
            vids: spec.vids.clone(),
            ends: (
                End { mac: spec.src.unwrap_or(from.mac), ..from.end() },
                End { mac: spec.dst.unwrap_or(to.mac), ..to },
            ),
        }
    }

    fn decide(&mut self, policy: &Policy, network: &OfflineNetwork, probe: &Probe) -> Verdict {
        self.decisions += 1;
        let headers = probe.headers();
        let ingress = Ingress { dpid: probe.at.dpid, port: probe.at.port, headers: &headers };
        decide(policy, network, ingress, &mut NoTrace).verdict
    }

    /// Whether the frame comes out at a place.
    fn comes_out(
        &mut self,
        policy: &Policy,
        network: &OfflineNetwork,
        probe: &Probe,
        at: Attachment,
    ) -> bool {
        match self.decide(policy, network, probe) {
            Verdict::Drop(_) => false,
            Verdict::Flood { outputs } => outputs.contains(&at),
            Verdict::Forward { to } => to == at,
        }
    }

    /// Keeps the frame, where frames are collected.
    fn collect(&mut self, probe: &Probe) -> bool {
        if let Some(collected) = &mut self.collected {
            collected.push(probe.clone());
        }
        self.collected.is_some()
    }

    fn reaches(
        &mut self,
        worlds: &[Arc<CaseWorld<'a>>; 2],
        from: &Station,
        to: &Station,
    ) -> Result<(), Wrong> {
        if from.at == to.at {
            return Err(plain(format!(
                "{} and {} stand at the same place: no switch is between them",
                from.name, to.name
            )));
        }
        let probe = self.frame(from, to.end(), Arrival::At(to.clone()));
        if worlds[0].hears(probe.at) && self.collect(&probe) {
            return Ok(());
        }
        // Nobody else has spoken; everybody has.
        for (world, spoken) in worlds
            .iter()
            .zip(["when both have spoken and nobody else", "when everybody has spoken"])
        {
            let network = match self.case.silent {
                true => Cow::Borrowed(&world.network),
                false => world.after_word_of(&[to, from]),
            };
            if !world.hears(probe.at) {
                return Err(closed(world, from, probe.at));
            }
            if !self.comes_out(world.policy, &network, &probe, to.at) {
                let when = match self.case.silent {
                    true => "when nobody has spoken",
                    false => spoken,
                };
                let what = format!("{} does not reach {} {when}", from.name, to.name);
                let world = CaseWorld { network: network.into_owned(), ..CaseWorld::clone(world) };
                return Err(self.wrong(what, &world, &probe));
            }
        }
        Ok(())
    }

    /// Whether anything that one sends can come out where the other is.
    fn never(
        &mut self,
        worlds: &[Arc<CaseWorld<'a>>; 2],
        from: &Station,
        to: &Station,
    ) -> Result<(), Wrong> {
        let world = &worlds[0];
        let policy = world.policy;
        let from_at = self.case.frame.at.unwrap_or(from.at);
        if from_at == to.at {
            return Err(plain(format!(
                "{} and {} stand at the same place: no switch is between them",
                from.name, to.name
            )));
        }
        if !world.hears(from_at) {
            return Ok(());
        }
        let src = self.case.frame.src.unwrap_or(from.mac);
        let slice = admit(policy, from_at, src).ok().map(|admission| admission.slice);
        let reach = slice.and_then(|slice| Some((slice, Reach::of(world, slice, to.at)?)));
        // A network is asked although the policy knows of no way.
        if reach.is_none() && self.collected.is_none() {
            return Ok(());
        }
        let targets = match (self.case.frame.dst, self.case.frame.fields.is_empty(), &reach) {
            (Some(dst), ..) => vec![dst],
            (None, false, _) => vec![to.mac],
            (None, true, Some((_, reach))) => reach.targets(world, to),
            (None, true, None) => vec![to.mac, MacAddr::BROADCAST, unknown_mac(policy)],
        };
        for dst in targets {
            let end = End { mac: dst, ip: (dst == to.mac).then_some(to.ip).flatten() };
            let mut probe = self.frame(from, end, Arrival::NotAt(to.clone()));
            if let (true, Some((slice, _))) = (self.case.frame.fields.is_empty(), &reach) {
                match some_frame(world, *slice, &probe) {
                    Ok(Some(fields)) => probe.fields = fields,
                    Ok(None) if self.collected.is_none() => continue,
                    Ok(None) => {}
                    Err(Entangled) => {
                        return Err(plain(format!(
                            "the filters are too entangled to say whether {} can reach {}",
                            from.name, to.name
                        )));
                    }
                }
            }
            if self.collect(&probe) {
                continue;
            }
            let states = match (&reach, self.case.silent) {
                (Some(_), true) => vec![world.network.clone()],
                (Some((_, reach)), false) => reach.states(world, dst),
                (None, _) => Vec::new(),
            };
            for network in states {
                if self.comes_out(policy, &network, &probe, to.at) {
                    let world = CaseWorld { network, ..CaseWorld::clone(world) };
                    let what = format!("{} can reach {}", from.name, to.name);
                    return Err(self.wrong(what, &world, &probe));
                }
            }
        }
        match (self.collected.is_some() || self.case.silent, slice) {
            (false, Some(slice)) => self.never_answers(world, slice, from, to),
            _ => Ok(()),
        }
    }

    /// With `reverse_flow` what answers a frame passes though the filters would deny it.
    fn never_answers(
        &mut self,
        world: &CaseWorld<'a>,
        slice: SliceId,
        from: &Station,
        to: &Station,
    ) -> Result<(), Wrong> {
        let policy = world.policy;
        let plain_frame = self.case.frame == super::FrameSpec::default();
        let same = admit(policy, to.at, to.mac).is_ok_and(|a| a.slice == slice);
        if !policy.options.reverse_flow || !plain_frame || !same || !world.hears(to.at) {
            return Ok(());
        }
        let Some(reach) = Reach::of(world, slice, from.at) else { return Ok(()) };
        let mut probe = self.frame(to, from.end(), Arrival::NotAt(from.clone()));
        if let Ok(Some(fields)) = some_frame(world, slice, &probe) {
            probe.fields = fields;
        }
        for network in reach.states(world, from.mac) {
            if self.decide(policy, &network, &probe) == (Verdict::Forward { to: from.at }) {
                let world = CaseWorld { network, ..world.clone() };
                let what = format!(
                    "{} can answer {}, whom reverse_flow gives a way back",
                    from.name, to.name
                );
                return Err(self.wrong(what, &world, &probe));
            }
        }
        Ok(())
    }

    /// Cases on one frame each: what is decided.
    fn verdicts(&mut self) -> Result<(), Wrong> {
        let world = self.world(!self.case.silent)?;
        let froms = match (&self.case.from, self.case.frame.at, self.case.frame.src) {
            (Some(from), ..) => self.peers(from)?,
            (None, Some(at), Some(mac)) => {
                vec![Station { name: mac.to_string(), mac, ip: None, at, stand_in: true }]
            }
            _ => return Err(plain("the case names no sender")),
        };
        let tos: Vec<Receiver> = match &self.case.to {
            Some(to) => world.now(&self.peers(to)?).iter().map(Receiver::host).collect(),
            None => vec![Receiver::everybody()],
        };
        let silenced = matches!(self.case.expect, Expectation::Silenced { .. });
        let mut tried = 0;
        for from in &world.now(&froms) {
            let own = silenced.then(|| self.receivers(&world, from));
            for to in own.as_ref().unwrap_or(&tos).iter().filter(|to| to.end.mac != from.mac) {
                tried += 1;
                self.verdict(&world, from, to)?;
            }
        }
        match tried {
            0 => Err(plain("the case is about one host only, so that it says nothing")),
            _ => Ok(()),
        }
    }

    /// Who must not get anything of a sender that is refused: everybody, each host of its slice, and
    /// an address that nobody has.
    fn receivers(&self, world: &CaseWorld<'a>, from: &Station) -> Vec<Receiver> {
        let spec = &self.case.frame;
        let mut receivers = vec![Receiver::everybody()];
        if spec.dst.is_some() {
            return receivers;
        }
        let (at, src) = (spec.at.unwrap_or(from.at), spec.src.unwrap_or(from.mac));
        if let Ok(admission) = admit(world.policy, at, src) {
            let own = stations(world.policy, &Peer::Slice(admission.slice));
            receivers.extend(world.now(&own).iter().map(Receiver::host));
        }
        let unknown = End { mac: unknown_mac(world.policy), ip: None };
        receivers
            .push(Receiver { name: Some("an address that nobody has".to_owned()), end: unknown });
        receivers
    }

    fn verdict(
        &mut self,
        world: &CaseWorld<'a>,
        from: &Station,
        to: &Receiver,
    ) -> Result<(), Wrong> {
        let probe = self.frame(from, to.end, self.arrival());
        if !world.hears(probe.at) {
            return Err(closed(world, from, probe.at));
        }
        if self.collect(&probe) {
            return Ok(());
        }
        let verdict = self.decide(world.policy, &world.network, &probe);
        let places = |outputs: &[Attachment]| {
            let names: Vec<_> =
                outputs.iter().map(|at| world.policy.attachment_name(*at)).collect();
            if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
        };
        let name = match &to.name {
            Some(to) => format!("{} to {to}", from.name),
            None => from.name.clone(),
        };
        let is = match &verdict {
            Verdict::Drop(reason) => format!("the frame of {name} is refused: {}", reason.code()),
            Verdict::Flood { outputs } => {
                format!("the frame of {name} is flooded to {}", places(outputs))
            }
            Verdict::Forward { to } => {
                format!("the frame of {name} is forwarded to {}", places(&[*to]))
            }
        };
        let good = match (&self.case.expect, &verdict) {
            (
                Expectation::Refused { because } | Expectation::Silenced { because },
                Verdict::Drop(reason),
            ) => because.as_ref().is_none_or(|code| code == reason.code()),
            (Expectation::Forwarded { out }, Verdict::Forward { to }) => {
                out.is_none_or(|out| out == *to)
            }
            (Expectation::Flooded { out }, Verdict::Flood { outputs }) => {
                out.as_ref().is_none_or(|out| out == outputs)
            }
            _ => false,
        };
        let expected = self.case.expect.words(self.judge.policy);
        if good {
            Ok(())
        } else {
            Err(self.wrong(format!("{is}; expected: {expected}"), world, &probe))
        }
    }

    /// What a network must do with the frame of a case on one frame.
    fn arrival(&self) -> Arrival {
        match &self.case.expect {
            Expectation::Forwarded { out: Some(out) } => Arrival::Exactly(vec![*out]),
            Expectation::Forwarded { out: None } => Arrival::Once,
            Expectation::Flooded { out: Some(out) } => Arrival::Exactly(out.clone()),
            Expectation::Flooded { out: None } => Arrival::Somewhere,
            _ => Arrival::Exactly(Vec::new()),
        }
    }

    fn wrong(&self, what: String, world: &CaseWorld<'_>, probe: &Probe) -> Wrong {
        let headers = probe.headers();
        let ingress = Ingress { dpid: probe.at.dpid, port: probe.at.port, headers: &headers };
        Wrong { what, explanation: Some(Box::new(explain(world.policy, &world.network, ingress))) }
    }
}

/// Whom a frame is for, in cases on what is decided.
struct Receiver {
    /// As failures name it; `None`: everybody.
    name: Option<String>,
    end: End,
}

impl Receiver {
    fn everybody() -> Receiver {
        Receiver { name: None, end: End { mac: MacAddr::BROADCAST, ip: None } }
    }

    fn host(station: &Station) -> Receiver {
        Receiver { name: Some(station.name.clone()), end: station.end() }
    }
}

fn closed(world: &CaseWorld<'_>, from: &Station, at: Attachment) -> Wrong {
    let place = world.policy.attachment_name(at);
    plain(format!(
        "{} cannot send: {place} is down, a link, or on a switch that stands still",
        from.name
    ))
}

/// A frame between the ends of the probe that the filters of the slice let pass.
fn some_frame(
    world: &CaseWorld<'_>,
    slice: SliceId,
    probe: &Probe,
) -> Result<Option<FrameFields>, Entangled> {
    let (headers, at) = (Headers::default(), probe.at);
    let subject = Subject { slice, dpid: at.dpid, in_port: at.port, headers: &headers };
    allowed_frame(world.policy, &subject, probe.ends, at.vid)
}

//! The ground of emulation: the sliceable switch and its network in virtual time. Pure: no IO, no
//! clock but a first instant.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use umlaut_controller::virtual_time::VirtualController;
use umlaut_controller::{Apps, Seed, Shared};
use umlaut_openflow::{
    Action, DatapathId, FlowMod, Hello, Instruction, Match, MatchField, Message, PortNo, Version,
    VlanMatch, Xid, encode,
};
use umlaut_slice_db::Policy;
use umlaut_testbed::scenario::{App, Channel, Control, FlowLine, Ground, GroundError};
use umlaut_testbed::{Endpoint, Network, NetworkOptions, of_policy};

use crate::samples::{Hub, LearningSwitch, RoutingSwitch};
use crate::sliceable::{Domains, SlicePolicy, SliceableSwitch};
use crate::virtual_lab::{Driven, Events};

/// A step of virtual time.
const PUMP: Duration = Duration::from_millis(5);

/// A network of emulated switches and hosts and the controller of its switches.
pub struct EmulatedGround {
    network: Network<Driven<SlicePolicy>>,
    app: App,
    domains: Domains,
    told: Events,
    policy: String,
    seed: u64,
    streams: Vec<Flowing>,
}

/// A stream of frames.
struct Flowing {
    host: String,
    frames: std::vec::IntoIter<Vec<u8>>,
    every: Duration,
    due: Duration,
    sent: Vec<Duration>,
}

impl EmulatedGround {
    /// Brings up the network of a policy, whose text the controller gets. The seed decides the
    /// order of what happens at once.
    ///
    /// # Errors
    /// A policy whose hosts and links are no network.
    pub fn start(
        version: Version,
        seed: u64,
        policy: &Policy,
        text: &str,
    ) -> Result<EmulatedGround, GroundError> {
        EmulatedGround::start_app(App::SliceableSwitch, version, seed, policy, text)
    }

    /// As [`EmulatedGround::start`], with this application.
    ///
    /// # Errors
    /// As [`EmulatedGround::start`].
    pub fn start_app(
        app: App,
        version: Version,
        seed: u64,
        policy: &Policy,
        text: &str,
    ) -> Result<EmulatedGround, GroundError> {
        let (domains, told) = (Domains::default(), Events::default());
        let driven = controller(app, text, &domains, &told, seed, Instant::now())?;
        let mut options = NetworkOptions::speaking(version).seed(seed);
        options.backoff = (Duration::from_millis(100), Duration::from_secs(1));
        let mut network = Network::new(&of_policy(policy), options, driven)
            .map_err(|error| GroundError(error.to_string()))?;
        // An echo carries the token back: only what the scenario sends is counted.
        for host in policy.hosts() {
            network.with_host(&host.name, |host, _| host.set_answers(false));
        }
        Ok(EmulatedGround {
            network,
            app,
            domains,
            told,
            policy: text.to_owned(),
            seed,
            streams: Vec::new(),
        })
    }
}

fn controller(
    app: App,
    text: &str,
    domains: &Domains,
    told: &Events,
    seed: u64,
    now: Instant,
) -> Result<Driven<SlicePolicy>, GroundError> {
    let (policy, _) =
        Policy::parse("policy", text).map_err(|mistakes| GroundError(mistakes[0].render(false)))?;
    let seeds = Seed { lldp_key: [seed as u8; 16], epoch: seed as u8 };
    let apps = match app {
        App::SliceableSwitch => Apps::new().with(SliceableSwitch::default()),
        // They do not look at the policy.
        App::RoutingSwitch => Apps::new().with(RoutingSwitch),
        App::LearningSwitch => Apps::new().with(LearningSwitch),
        App::Hub => Apps::new().with(Hub),
    };
    let shared = Shared::new(apps, domains.adopt(policy), seeds, Box::new(told.clone()), now);
    Ok(Driven(VirtualController::new(Arc::new(shared), seed, now)))
}

fn there<T>(found: Option<T>, what: &str) -> Result<T, GroundError> {
    found.ok_or_else(|| GroundError(format!("there is no such {what}")))
}

impl Ground for EmulatedGround {
    fn elapsed(&self) -> Duration {
        self.network.elapsed()
    }

    fn pump(&mut self) {
        let end = self.network.elapsed() + PUMP;
        loop {
            let now = self.network.elapsed();
            for stream in self.streams.iter_mut().filter(|stream| stream.due <= now) {
                let Some(frame) = stream.frames.next() else { continue };
                self.network.with_host(&stream.host, |host, _| host.send_raw(frame));
                stream.sent.push(now);
                stream.due = now + stream.every;
            }
            if now >= end {
                return;
            }
            let due = self.streams.iter().map(|stream| stream.due).filter(|due| *due > now);
            let next = due.fold(end, Duration::min);
            let _ = self.network.run_for(next - now);
        }
    }

    fn send(&mut self, host: &str, frame: &[u8]) -> Result<(), GroundError> {
        let sent = self.network.with_host(host, |host, _| host.send_raw(frame.to_vec()));
        there(sent, "host")
    }

    fn start_stream(
        &mut self,
        host: &str,
        frames: Vec<Vec<u8>>,
        every: Duration,
    ) -> Result<(), GroundError> {
        there(self.network.host(host), "host")?;
        let (host, frames) = (host.to_owned(), frames.into_iter());
        // Streams that began together do not send at the same instant for ever.
        let due = self.network.elapsed() + every * self.streams.len() as u32 / 8;
        self.streams.push(Flowing { host, frames, every, due, sent: Vec::new() });
        Ok(())
    }

    fn stop_streams(&mut self) -> Result<Vec<Vec<Duration>>, GroundError> {
        Ok(self.streams.drain(..).map(|stream| stream.sent).collect())
    }

    fn is_virtual(&self) -> bool {
        true
    }

    fn take_sniffed(&mut self) -> Vec<(String, Vec<u8>)> {
        let hosts = self.network.hosts().iter();
        let frames = hosts
            .flat_map(|host| {
                host.sniffed().map(|seen| (host.name().to_owned(), seen.frame.to_vec()))
            })
            .collect();
        self.network.reset_hosts();
        frames
    }

    fn is_ready(&mut self, switches: &[DatapathId], links: usize) -> bool {
        let shared = self.network.controller().0.shared().clone();
        let world = shared.world.load();
        let served = shared.net.directory.peers().into_iter().map(|(dpid, _)| dpid);
        let active = self.network.controller().0.active().collect::<Vec<_>>();
        served.eq(switches.iter().copied())
            && switches.iter().all(|dpid| active.contains(dpid))
            && (links == usize::MAX || world.topology.links().count() == links)
            && !world.topology.is_probing()
    }

    fn link(
        &mut self,
        a: (DatapathId, PortNo),
        b: (DatapathId, PortNo),
        up: bool,
    ) -> Result<(), GroundError> {
        let end = |(dpid, port)| Endpoint { dpid, port };
        let link = there(self.network.link_between(end(a), end(b)), "link")?;
        if up {
            self.network.heal(link)
        } else {
            self.network.cut(link)
        };
        Ok(())
    }

    fn port(&mut self, end: (DatapathId, PortNo), up: bool) -> Result<(), GroundError> {
        let set = self.network.with_switch(end.0, |switch, now| switch.set_link(end.1, up, now));
        there(set, "switch")
    }

    fn move_host(&mut self, host: &str, to: (DatapathId, PortNo)) -> Result<(), GroundError> {
        there(self.network.plug(host, Endpoint { dpid: to.0, port: to.1 }), "host or free port")
    }

    fn switch(&mut self, dpid: DatapathId, up: bool) -> Result<(), GroundError> {
        let done = if up { self.network.power_on(dpid) } else { self.network.power_off(dpid) };
        there(done, "switch")
    }

    fn exists(&mut self, end: (DatapathId, PortNo), exists: bool) -> Result<(), GroundError> {
        let done = self.network.with_switch(end.0, |switch, now| match exists {
            true => switch.add_port(end.1, now),
            false => switch.remove_port(end.1, now),
        });
        there(done, "switch")
    }

    fn renumber(&mut self, end: (DatapathId, PortNo), to: PortNo) -> Result<(), GroundError> {
        let end = Endpoint { dpid: end.0, port: end.1 };
        there(self.network.renumber(end, to), "cable or free port")
    }

    fn intrude(&mut self, end: (DatapathId, PortNo), to: PortNo) -> Result<(), GroundError> {
        let version = there(self.network.switch(end.0), "switch")?.options().versions[0];
        let entry = FlowMod::add(Match::new().in_port(end.1))
            .priority(0xffff)
            .apply(vec![Action::output(to)]);
        let mut bytes = BytesMut::new();
        for message in [Message::Hello(Hello::offering(&[version])), Message::FlowMod(entry)] {
            encode(version, Xid(9), &message, &mut bytes)
                .map_err(|error| GroundError(error.to_string()))?;
        }
        let done = self.network.with_switch(end.0, |switch, now| {
            switch.connected(now);
            switch.control_input(&bytes, now);
            switch.disconnected(now);
        });
        there(done, "switch")
    }

    fn room(&mut self, dpid: DatapathId, entries: Option<usize>) -> Result<(), GroundError> {
        there(self.network.with_switch(dpid, |switch, _| switch.set_table_limit(entries)), "switch")
    }

    fn channel(&mut self, dpid: DatapathId, what: Channel) -> Result<(), GroundError> {
        let done = match what {
            Channel::Up => self.network.join(dpid),
            // Connections have no addresses here.
            Channel::Elsewhere => self.network.reset_channel(dpid),
            Channel::Down => {
                self.network.reset_channel(dpid).and_then(|()| self.network.cut_off(dpid))
            }
        };
        there(done, "switch")
    }

    fn controller(&mut self, control: Control) -> Result<(), GroundError> {
        match control {
            Control::Kill => {
                self.network.replace_controller(None);
            }
            Control::Start => {
                self.domains = Domains::default();
                self.seed += 1;
                let now = self.network.now();
                let new =
                    controller(self.app, &self.policy, &self.domains, &self.told, self.seed, now)?;
                self.network.replace_controller(Some(new));
            }
        }
        Ok(())
    }

    fn policy(&mut self, text: &str, good: bool) -> Result<(), GroundError> {
        let policy = match (Policy::parse("revision", text), good) {
            (Ok((policy, _)), true) => policy,
            (Err(_), false) => return Ok(()),
            (Ok(_), false) => return Err(GroundError("a broken policy was taken".to_owned())),
            (Err(mistakes), true) => return Err(GroundError(mistakes[0].to_string())),
        };
        self.policy = text.to_owned();
        let policy = self.domains.adopt(policy);
        self.network.with_controller(|driven, now| {
            driven.0.shared().set_policy(policy, now);
            driven.0.poll(now);
        });
        Ok(())
    }

    fn flows(&mut self, dpid: DatapathId) -> Result<Vec<FlowLine>, GroundError> {
        let switch = there(self.network.switch(dpid), "switch")?;
        let flows = switch.flows(self.network.now());
        let paths = flows.into_iter().filter(|flow| flow.priority == 0xffff);
        Ok(paths
            .map(|flow| {
                let in_port = flow.matches.ingress();
                let mut line = FlowLine { in_port, out_port: None, vlan: "keep".to_owned() };
                let actions = flow.instructions.iter().flat_map(|i| match i {
                    Instruction::Apply(actions) => actions.as_slice(),
                    _ => &[],
                });
                for action in actions {
                    match action {
                        Action::Output { port: PortNo::IN_PORT, .. } => line.out_port = in_port,
                        Action::Output { port, .. } => line.out_port = Some(*port),
                        Action::PopVlan => line.vlan = "strip".to_owned(),
                        Action::SetVlanVid(vid)
                        | Action::SetField(MatchField::VlanVid(VlanMatch::Tagged(vid))) => {
                            line.vlan = format!("set {vid}");
                        }
                        _ => {}
                    }
                }
                line
            })
            .collect())
    }

    fn stormed(&mut self, _: &str, dpid: DatapathId) -> Result<u64, GroundError> {
        let mut switches = self.network.controller().0.switches();
        let switch = there(switches.find(|switch| switch.dpid() == dpid), "switch")?;
        Ok(switch.counters().stormed)
    }

    fn report(&mut self) -> String {
        let told = self.told.all();
        let last = told.iter().rev().take(12).rev();
        last.map(|event| format!("{event:?}\n")).collect()
    }
}

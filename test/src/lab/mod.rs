//! Labs: the network of a policy, emulated or on Open vSwitch, whose hosts send and count what they
//! are told to. For people who try things out; tests have [`crate::Network`] and [`crate::scenario`].
//!
//! ```text
//!   Lab: names, who is where, what is on   --- Ground ---   emulated switches and hosts
//!        frames to send, what is counted                    bridges, namespaces, cables
//! ```
//!
//! [`Plan`], [`Burst`], [`Traffic`] and names are pure; [`Lab`] is of the runtime: threads, sockets,
//! commands of the system.

mod burst;
mod counters;
mod emulated;
mod ground;
mod names;
pub(crate) mod open_vswitch;
mod plan;
mod reach;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use umlaut_openflow::{DatapathId, Version};

use crate::topology::{Endpoint, LinkSpec};
pub use burst::{Burst, Frames, Kind, LONGEST, NoBurst};
use counters::Counters;
pub use counters::{Address, CONVERSATIONS, Protocol, Talk, Traffic};
use ground::Ground;
pub use ground::{Flows, GroundKind, Standing};
pub(crate) use names::Names;
pub use names::{LabName, NAME_LENGTH, NoLabName};
pub use open_vswitch::{Claim, Swept, labs_found, missing, sweep, unusable};
pub use plan::{Cable, Machine, Plan, unknown};

/// Why something cannot be done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LabProblem {
    /// There is nothing of that name.
    #[error("there is no {kind} {name}{hint}")]
    Unknown {
        /// What was looked for.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The nearest name, and what there is.
        hint: String,
    },
    /// It makes no sense here; the text says why.
    #[error("{0}")]
    Refused(String),
    /// What a command of the system said.
    #[error("{0}")]
    System(String),
    /// It was not wanted any more while it was done.
    #[error("interrupted: nothing is left of it")]
    Interrupted,
}

impl LabProblem {
    /// What a network could not be built for, and what of it could not be removed again.
    fn left(why: &LabProblem, left: &LabProblem) -> LabProblem {
        let why = match why {
            LabProblem::Interrupted => "interrupted".to_owned(),
            other => other.to_string(),
        };
        LabProblem::System(format!("{why}; not all that was made could be removed: {left}"))
    }
}

impl From<crate::scenario::GroundError> for LabProblem {
    fn from(error: crate::scenario::GroundError) -> LabProblem {
        LabProblem::System(error.0)
    }
}

impl From<LabProblem> for crate::scenario::GroundError {
    fn from(problem: LabProblem) -> crate::scenario::GroundError {
        crate::scenario::GroundError(problem.to_string())
    }
}

impl From<NoBurst> for LabProblem {
    fn from(why: NoBurst) -> LabProblem {
        LabProblem::Refused(why.to_string())
    }
}

type Done = Result<(), LabProblem>;

/// A running network. Dropped: everything that it made is removed.
pub struct Lab {
    plan: Plan,
    kind: GroundKind,
    ground: Box<dyn Ground>,
    counters: Arc<Counters>,
    standing: Mutex<Standing>,
    /// As in `standing`, for hosts that send while something is changed, which takes its time.
    hosts_off: Vec<AtomicBool>,
}

impl Lab {
    /// Brings a network up, whose switches try to connect to the controller until it is there, as long
    /// as `go_on` says so.
    ///
    /// # Errors
    /// What cannot be built here, [`LabProblem::Interrupted`]. Nothing is left of it then, or the text
    /// says what.
    pub fn start(
        plan: Plan,
        kind: GroundKind,
        name: &LabName,
        controller: SocketAddr,
        version: Version,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Lab, LabProblem> {
        let counters = Arc::new(Counters::new(&plan.topology.hosts));
        let told = Arc::clone(&counters);
        let ground: Box<dyn Ground> = match kind {
            GroundKind::Emulated => {
                Box::new(emulated::Emulated::start(&plan, controller, version, told)?)
            }
            GroundKind::OpenVSwitch => {
                let to = (controller, version);
                Box::new(open_vswitch::Bridges::start(&plan, name, to, told, go_on)?)
            }
        };
        let standing = Standing::at_first(&plan);
        let hosts_off = standing.hosts_off.iter().map(|off| AtomicBool::new(*off)).collect();
        Ok(Lab { plan, kind, ground, counters, standing: Mutex::new(standing), hosts_off })
    }

    /// Removes everything that it made.
    ///
    /// # Errors
    /// What cannot be removed, and why; the rest is.
    pub fn end(mut self) -> Done {
        self.ground.end()
    }

    /// What it was built from.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What does not work as it should on this machine, for people.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.ground.notes();
        for (index, host) in self.plan.topology.hosts.iter().enumerate() {
            if self.is_deaf(index) {
                notes.push(format!(
                    "{}: tcpdump there has ended, arrivals are not counted",
                    host.name
                ));
            }
        }
        notes
    }

    /// Whether what arrives at a host is not counted any more: the program that sees it has ended.
    pub fn is_deaf(&self, host: usize) -> bool {
        self.counters.is_deaf(host)
    }

    /// What it consists of.
    pub fn kind(&self) -> GroundKind {
        self.kind
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        // It is changed only after the ground has done what it stands for.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the network stands.
    pub fn standing(&self) -> Standing {
        self.lock().clone()
    }

    /// Which switches have a connection to the controller, in the order of the topology. Open vSwitch
    /// tells with a delay of up to five seconds.
    pub fn connected(&self) -> Vec<bool> {
        let off = self.standing().switches_off;
        let all: Vec<DatapathId> = self.plan.topology.switches.iter().map(|s| s.dpid).collect();
        let on: Vec<DatapathId> = all.iter().copied().filter(|dpid| !off.contains(dpid)).collect();
        let connected = self.ground.connected(&on);
        let is = |dpid| on.iter().zip(&connected).any(|(other, is)| other == dpid && *is);
        all.iter().map(is).collect()
    }

    /// A host sends a frame, which is counted.
    ///
    /// # Errors
    /// It is off, or what the system says.
    pub fn transmit(&self, host: usize, frame: &[u8]) -> Done {
        if self.hosts_off[host].load(Ordering::Acquire) {
            let name = &self.plan.topology.hosts[host].name;
            return Err(LabProblem::Refused(format!("{name} is stopped: start {name}")));
        }
        self.ground.transmit(host, frame)?;
        self.counters.sent(host, frame);
        Ok(())
    }

    /// The frames that a burst from one host to another consists of, and who sends them.
    ///
    /// # Errors
    /// Unknown hosts, frames that there are not.
    pub fn frames(
        &self,
        from: &str,
        to: Option<&str>,
        burst: &Burst,
    ) -> Result<(usize, Frames), LabProblem> {
        let hosts = &self.plan.topology.hosts;
        let from = self.plan.host(from)?;
        let to = to.map(|to| self.plan.host(to)).transpose()?;
        Ok((from, burst.frames(&hosts[from], to.map(|to| &hosts[to]))?))
    }

    /// What a host has sent and received.
    pub fn traffic(&self, host: usize) -> Traffic {
        self.ground.count();
        self.counters.traffic(host)
    }

    /// Whether a host counts what is for others as if it were for it.
    pub fn set_promiscuous(&self, host: usize, promiscuous: bool) {
        self.ground.count();
        self.counters.set_promiscuous(host, promiscuous);
    }

    /// Begins to count anew.
    pub fn reset_traffic(&self, host: usize) {
        self.ground.count();
        self.counters.reset(host);
    }

    /// The flow entries of a switch.
    ///
    /// # Errors
    /// It is off, or does not answer.
    pub fn flows(&self, dpid: DatapathId) -> Result<Flows, LabProblem> {
        self.must_be_on(&self.lock(), dpid)?;
        self.ground.flows(dpid)
    }

    fn must_be_on(&self, standing: &Standing, dpid: DatapathId) -> Done {
        match standing.switches_off.contains(&dpid) {
            true => Err(LabProblem::Refused(format!("{} is off", self.plan.switch_name(dpid)))),
            false => Ok(()),
        }
    }

    /// The ports of a switch that something is, or can be, plugged into.
    fn ports(&self, standing: &Standing, dpid: DatapathId) -> Vec<Endpoint> {
        let topology = &self.plan.topology;
        let mut ports: Vec<Endpoint> = standing.places.iter().flatten().copied().collect();
        ports.extend(topology.links.iter().flat_map(|link| [link.a, link.b]));
        ports.extend(self.plan.interfaces.iter().map(|(at, _)| *at));
        if self.kind == GroundKind::Emulated {
            ports.extend(topology.ports(dpid).into_iter().map(|port| Endpoint { dpid, port }));
        }
        ports.retain(|at| at.dpid == dpid);
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// Sets a port up or down.
    ///
    /// # Errors
    /// No such port, its switch is off, an interface of this machine.
    pub fn set_port(&self, at: Endpoint, up: bool) -> Done {
        let mut standing = self.lock();
        self.must_be_on(&standing, at.dpid)?;
        let ports = self.ports(&standing, at.dpid);
        if !ports.contains(&at) {
            let known = ports.into_iter().map(|port| self.plan.port_name(port));
            return Err(unknown("port", &self.plan.port_name(at), known));
        }
        if let Some((_, name)) = self.plan.interfaces.iter().find(|(port, _)| *port == at) {
            return Err(LabProblem::Refused(format!(
                "{} is {name}, an interface of this machine, which a lab leaves as it is",
                self.plan.port_name(at)
            )));
        }
        self.ground.set_port(at, up, &standing)?;
        standing.ports_down.retain(|port| *port != at);
        if !up {
            standing.ports_down.push(at);
        }
        Ok(())
    }

    /// Plugs a cable in or out, named as by [`Plan::cable`].
    ///
    /// # Errors
    /// No such cable.
    pub fn set_cable(&self, name: &str, up: bool) -> Done {
        let mut standing = self.lock();
        match self.plan.cable(name, &standing.places)? {
            Cable::Link(link) => {
                let LinkSpec { a, b } = self.plan.topology.links[link];
                self.must_be_on(&standing, a.dpid)?;
                self.must_be_on(&standing, b.dpid)?;
                self.ground.set_link(link, up)?;
                standing.links_out[link] = !up;
                Ok(())
            }
            Cable::Host(host) => {
                let off = standing.hosts_off[host];
                self.set_host(&mut standing, host, !up, off)
            }
        }
    }

    /// Plugs a host in or out, switches it on or off.
    fn set_host(&self, standing: &mut Standing, host: usize, out: bool, off: bool) -> Done {
        let is_in = !standing.hosts_out[host] && !standing.hosts_off[host];
        let becomes_in = !out && !off;
        if let Some(at) = standing.places[host]
            && is_in != becomes_in
        {
            self.ground.set_host(host, at, becomes_in)?;
        }
        standing.hosts_out[host] = out;
        standing.hosts_off[host] = off;
        self.hosts_off[host].store(off, Ordering::Release);
        Ok(())
    }

    /// Switches a switch or a host on or off. A switch forgets its entries; a host that is off sends
    /// and receives nothing.
    ///
    /// # Errors
    /// It is so already, or what the system says.
    pub fn set_machine(&self, machine: Machine, on: bool) -> Done {
        let mut standing = self.lock();
        let (name, is_off) = match machine {
            Machine::Switch(dpid) => {
                (self.plan.switch_name(dpid), standing.switches_off.contains(&dpid))
            }
            Machine::Host(host) => {
                (self.plan.topology.hosts[host].name.clone(), standing.hosts_off[host])
            }
        };
        if is_off != on {
            let state = if on { "running" } else { "stopped" };
            return Err(LabProblem::Refused(format!("{name} is {state} already")));
        }
        match machine {
            Machine::Host(host) => {
                let out = standing.hosts_out[host];
                self.set_host(&mut standing, host, out, !on)
            }
            Machine::Switch(dpid) => {
                self.ground.set_switch(dpid, on, &standing)?;
                standing.switches_off.retain(|other| *other != dpid);
                if !on {
                    standing.switches_off.push(dpid);
                }
                Ok(())
            }
        }
    }

    /// Moves a host to another port. One whose plug was out is in then; one that is off stays off.
    ///
    /// # Errors
    /// Something else is there, or the switch is off.
    pub fn move_host(&self, host: usize, to: Endpoint) -> Done {
        let mut standing = self.lock();
        self.must_be_on(&standing, to.dpid)?;
        let name = self.plan.port_name(to);
        let hosts = &self.plan.topology.hosts;
        let others = standing.places.iter().enumerate().filter(|(other, _)| *other != host);
        let mut there = others.filter(|(_, at)| **at == Some(to));
        if let Some((other, _)) = there.next() {
            let other = &hosts[other].name;
            return Err(LabProblem::Refused(format!("{name} is taken: {other} is there")));
        }
        let links = &self.plan.topology.links;
        if let Some(link) = links.iter().position(|link| link.a == to || link.b == to) {
            let link = self.plan.link_name(link);
            return Err(LabProblem::Refused(format!("{name} is taken: the link {link} is there")));
        }
        if let Some((_, interface)) = self.plan.interfaces.iter().find(|(at, _)| *at == to) {
            return Err(LabProblem::Refused(format!("{name} is taken: {interface} is there")));
        }
        self.ground.move_host(host, &standing, to)?;
        standing.places[host] = Some(to);
        standing.hosts_out[host] = false;
        standing.ports_down.retain(|port| *port != to);
        Ok(())
    }

    /// The network namespace of a host.
    ///
    /// # Errors
    /// Emulated hosts have none.
    pub fn namespace(&self, host: usize) -> Result<String, LabProblem> {
        self.ground.namespace(host).ok_or_else(|| {
            let name = &self.plan.topology.hosts[host].name;
            LabProblem::Refused(format!(
                "{name} is an emulated host, which has no network namespace: bring the lab up with \
                 --on ovs"
            ))
        })
    }

    /// Waits until all switches that are on have a connection to the controller, at most for `limit`;
    /// whether they have. `wait` waits a while and says whether to go on.
    pub fn wait_connected(&self, limit: Duration, mut wait: impl FnMut(Duration) -> bool) -> bool {
        const LOOK: Duration = Duration::from_millis(30);
        let until = std::time::Instant::now() + limit;
        loop {
            let off = self.standing().switches_off.len();
            let connected = self.connected().into_iter().filter(|connected| *connected).count();
            if connected + off == self.plan.topology.switches.len() {
                return true;
            }
            if std::time::Instant::now() >= until || !wait(LOOK) {
                return false;
            }
        }
    }
}

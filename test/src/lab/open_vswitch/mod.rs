//! Labs on Open vSwitch: user-space bridges, hosts in network namespaces, veth pairs as cables.
//! Runtime: commands of the system, as root.
//!
//! Each port has an interface of its own in the root namespace. A host's end of its cable is `eth0`
//! in the host's namespace. Interfaces of this machine are ports as they are, and are left as they
//! are.

mod claim;
mod hosts;
pub(crate) mod parts;
mod sweep;
mod tell;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use umlaut_openflow::{DatapathId, Version};

use super::names::Names;
use super::{Counters, Done, Flows, Ground, LabName, LabProblem, Plan, Standing};
use crate::ovs::sniff::{RawSocket, Sniffer};
use crate::ovs::{Event, sh};
pub use crate::ovs::{missing, unusable};
use crate::topology::{Endpoint, HostSpec};
pub use claim::Claim;
pub use sweep::{Swept, labs_found, sweep};
use tell::{ip, ip_batch, vsctl};

/// How long sniffers and ports may take to be there.
const PATIENCE: Duration = Duration::from_secs(20);

/// A network of bridges and namespaces.
pub(super) struct Bridges {
    claim: Claim,
    names: Names,
    plan: Plan,
    controller: SocketAddr,
    version: Version,
    sockets: Vec<RawSocket>,
    /// Dropped first: they sniff in the namespaces.
    sniffers: Vec<Sniffer>,
    counting: Option<JoinHandle<()>>,
    ended: bool,
}

impl Bridges {
    pub(super) fn start(
        plan: &Plan,
        lab: &LabName,
        (controller, version): (SocketAddr, Version),
        counters: Arc<Counters>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Bridges, LabProblem> {
        if let Some(why) = unusable() {
            let told = format!("Open vSwitch cannot be used here: {why}");
            return Err(LabProblem::Refused(told));
        }
        let Some(claim) = Claim::take(lab, PATIENCE)? else {
            return Err(LabProblem::Refused(format!(
                "another process keeps a lab {lab} on Open vSwitch; choose another name"
            )));
        };
        sweep(&claim)?;
        for (at, name) in &plan.interfaces {
            if ip(&["link", "show", "dev", name]).is_err() {
                return Err(LabProblem::Refused(format!(
                    "{}: this machine has no interface {name}",
                    plan.port_name(*at)
                )));
            }
            // Of none, it fails.
            if let Ok(bridge) = vsctl(&["iface-to-br", name]) {
                let bridge = bridge.trim();
                let mut marked = sweep::bridges()?.into_iter();
                let of = marked.find(|(name, _)| name == bridge);
                let of = of.map(|(_, lab)| format!(", of lab {lab}")).unwrap_or_default();
                return Err(LabProblem::Refused(format!(
                    "{}: the interface {name} is in use: it is a port of the bridge {bridge}{of}",
                    plan.port_name(*at)
                )));
            }
        }
        // From here on what is there is removed when this is dropped.
        let mut bridges = Bridges {
            claim,
            names: Names::new(lab, &plan.topology),
            plan: plan.clone(),
            controller,
            version,
            sockets: Vec::new(),
            sniffers: Vec::new(),
            counting: None,
            ended: false,
        };
        let switches = plan.topology.switches.iter();
        let noted: Vec<&str> = switches.map(|switch| bridges.names.bridge(switch.dpid)).collect();
        let built = bridges.claim.note(&noted).and_then(|()| bridges.build(counters, go_on));
        match built {
            Ok(()) => Ok(bridges),
            Err(problem) => Err(match bridges.end() {
                Ok(()) => problem,
                Err(left) => LabProblem::left(&problem, &left),
            }),
        }
    }

    fn build(&mut self, counters: Arc<Counters>, go_on: &dyn Fn() -> bool) -> Done {
        let wanted = || if go_on() { Ok(()) } else { Err(LabProblem::Interrupted) };
        for link in 0..self.plan.topology.links.len() {
            wanted()?;
            let (claim, ends) = (&self.claim, self.names.link(link));
            parts::make_cable(claim, ends).map_err(|problem| taken(problem, claim.lab()))?;
        }
        for host in 0..self.plan.topology.hosts.len() {
            wanted()?;
            self.make_host(host)?;
        }
        let (sender, events) = channel();
        for host in 0..self.plan.topology.hosts.len() {
            wanted()?;
            let namespace = self.names.namespace(host);
            self.sockets.push(RawSocket::open(namespace)?);
            self.sniffers.push(Sniffer::start(namespace, host, sender.clone())?);
        }
        drop(sender);
        wait_for_sniffers(&events, self.sniffers.len(), &counters)?;
        self.counting = Some(count(events, counters)?);
        let standing = Standing::at_first(&self.plan);
        for switch in &self.plan.topology.switches {
            wanted()?;
            self.make_bridge(switch.dpid, &standing)?;
        }
        wanted()
    }

    fn host(&self, host: usize) -> &HostSpec {
        &self.plan.topology.hosts[host]
    }

    fn protocol(&self) -> &'static str {
        if self.version == Version::V1_0 { "OpenFlow10" } else { "OpenFlow13" }
    }

    /// The interfaces of a switch that are plugged in, and their ports.
    fn interfaces(&self, dpid: DatapathId, standing: &Standing) -> Vec<(String, Endpoint)> {
        let hosts = standing
            .places
            .iter()
            .enumerate()
            .filter_map(|(host, at)| at.map(|at| (self.names.interface(host).to_owned(), at)));
        let links = self.plan.topology.links.iter().enumerate().flat_map(|(index, link)| {
            let [a, b] = self.names.link(index);
            [(a.clone(), link.a), (b.clone(), link.b)]
        });
        let real = self.plan.interfaces.iter().map(|(at, name)| (name.clone(), *at));
        hosts.chain(links).chain(real).filter(|(_, at)| at.dpid == dpid).collect()
    }

    fn make_bridge(&self, dpid: DatapathId, standing: &Standing) -> Done {
        let bridge = self.names.bridge(dpid);
        let interfaces = self.interfaces(dpid, standing);
        let (protocol, controller) = (self.protocol(), format!("tcp:{}", self.controller));
        let lab = self.claim.lab();
        parts::make_bridge(lab, (bridge, dpid), &interfaces, protocol, &controller)?;
        interfaces.iter().try_for_each(|(interface, at)| self.must_be_port(interface, *at))
    }

    /// Open vSwitch takes interfaces that it cannot use, and notes why.
    fn must_be_port(&self, interface: &str, at: Endpoint) -> Done {
        let columns = vsctl(&["get", "interface", interface, "ofport", "error"])?;
        let (port, error) = columns.trim().split_once('\n').unwrap_or((columns.trim(), "[]"));
        if port == at.port.0.to_string() {
            return Ok(());
        }
        let place = self.plan.port_name(at);
        let why = if error == "[]" { format!("its port became {port}") } else { error.to_owned() };
        Err(LabProblem::System(format!("{place}: Open vSwitch does not take {interface}: {why}")))
    }

    fn set_up(&self, interface: &str, up: bool) -> Done {
        ip(&["link", "set", interface, if up { "up" } else { "down" }])
    }
}

/// What is said of a name that somebody has.
fn taken(problem: LabProblem, lab: &LabName) -> LabProblem {
    match problem {
        LabProblem::System(told) if told.contains("File exists") => LabProblem::System(format!(
            "{told}: it is of no lab; remove it, or choose another name than {lab}"
        )),
        other => other,
    }
}

/// A sniffer that does not listen yet would miss frames.
fn wait_for_sniffers(events: &Receiver<Event>, sniffers: usize, counters: &Counters) -> Done {
    let until = Instant::now() + PATIENCE;
    let mut missing = sniffers;
    while missing > 0 {
        match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Event::Listening) => missing -= 1,
            Ok(Event::Frame(host, frame)) => counters.received(host, &frame),
            Ok(Event::Deaf(_)) => {
                return Err(LabProblem::System("a sniffer has ended: tcpdump fails".to_owned()));
            }
            Ok(Event::Log(_)) => {}
            Err(_) => {
                return Err(LabProblem::System(format!("{missing} sniffers do not listen")));
            }
        }
    }
    Ok(())
}

/// Counts until the last sniffer has ended.
fn count(events: Receiver<Event>, counters: Arc<Counters>) -> Result<JoinHandle<()>, LabProblem> {
    let counting = std::thread::Builder::new().name("lab counters".to_owned()).spawn(move || {
        for event in events {
            match event {
                Event::Frame(host, frame) => counters.received(host, &frame),
                Event::Deaf(host) => counters.set_deaf(host),
                Event::Listening | Event::Log(_) => {}
            }
        }
    });
    counting.map_err(|error| LabProblem::System(error.to_string()))
}

impl Ground for Bridges {
    fn transmit(&self, host: usize, frame: &[u8]) -> Done {
        Ok(self.sockets[host].send(frame)?)
    }

    fn flows(&self, dpid: DatapathId) -> Result<Flows, LabProblem> {
        let args = ["-O", self.protocol(), "--no-names", "dump-flows", self.names.bridge(dpid)];
        Ok(Flows::Text(sh("ovs-ofctl", &args)?))
    }

    fn connected(&self, switches: &[DatapathId]) -> Vec<bool> {
        let mut words = Vec::new();
        for dpid in switches {
            words.extend(["--", "get", "controller", self.names.bridge(*dpid), "is_connected"]);
        }
        if words.is_empty() {
            return Vec::new();
        }
        // A line for each.
        let told = vsctl(&words).unwrap_or_default();
        let mut lines = told.lines();
        switches.iter().map(|_| lines.next() == Some("true")).collect()
    }

    fn set_port(&self, at: Endpoint, up: bool, before: &Standing) -> Done {
        match self.interfaces(at.dpid, before).into_iter().find(|(_, port)| *port == at) {
            Some((interface, _)) => self.set_up(&interface, up),
            None => {
                let told = format!("nothing is plugged into {}", self.plan.port_name(at));
                Err(LabProblem::Refused(told))
            }
        }
    }

    fn set_link(&self, link: usize, up: bool) -> Done {
        self.names.link(link).iter().try_for_each(|end| self.set_up(end, up))
    }

    fn set_host(&self, host: usize, _: Endpoint, up: bool) -> Done {
        if up {
            return self.configure_host(host);
        }
        ip(&["-n", self.names.namespace(host), "link", "set", "eth0", "down"])
    }

    fn move_host(&self, host: usize, before: &Standing, to: Endpoint) -> Done {
        let interface = self.names.interface(host);
        if let Some(from) = before.places[host]
            && !before.switches_off.contains(&from.dpid)
        {
            vsctl(&["--if-exists", "del-port", self.names.bridge(from.dpid), interface])?;
        }
        let request = format!("ofport_request={}", to.port.0);
        let bridge = self.names.bridge(to.dpid);
        vsctl(&["add-port", bridge, interface, "--", "set", "interface", interface, &request])?;
        self.must_be_port(interface, to)?;
        self.set_up(interface, true)?;
        if before.hosts_out[host] && !before.hosts_off[host] {
            self.configure_host(host)?;
        }
        Ok(())
    }

    fn set_switch(&self, dpid: DatapathId, on: bool, before: &Standing) -> Done {
        // A switch without power has no carrier for its neighbours. Interfaces of this machine stay
        // as they are.
        let real: Vec<&String> = self.plan.interfaces.iter().map(|(_, name)| name).collect();
        let cut = |interface: &String| {
            let links = self.plan.topology.links.iter().enumerate();
            links.into_iter().any(|(link, _)| {
                before.links_out[link] && self.names.link(link).contains(interface)
            })
        };
        for (interface, at) in self.interfaces(dpid, before) {
            if !real.contains(&&interface) && !cut(&interface) && !before.ports_down.contains(&at) {
                self.set_up(&interface, on)?;
            }
        }
        match on {
            true => self.make_bridge(dpid, before),
            false => vsctl(&["del-br", self.names.bridge(dpid)]).map(|_| ()),
        }
    }

    fn notes(&self) -> Vec<String> {
        self.host_notes()
    }

    fn namespace(&self, host: usize) -> Option<String> {
        Some(self.names.namespace(host).to_owned())
    }

    fn end(&mut self) -> Done {
        self.ended = true;
        self.sniffers.clear();
        // Its sniffers have ended, and so do their threads.
        if let Some(counting) = self.counting.take() {
            let _ = counting.join();
        }
        sweep(&self.claim).map(|_| ())
    }
}

impl Drop for Bridges {
    fn drop(&mut self) {
        if !self.ended
            && let Err(problem) = self.end()
        {
            // There may be nobody to read it.
            let _ = writeln!(std::io::stderr(), "umlaut lab: {problem}");
        }
    }
}

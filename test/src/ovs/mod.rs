//! The ground of Open vSwitch: user-space bridges, hosts in network namespaces, a controller
//! process. Needs root. Runtime.
//!
//! It has a name, a lock and a mark as a lab has ([`Site`]): what it makes is removed when it ends, and
//! what a run that was killed has left by the next one.

mod process;
mod site;
pub(crate) mod sniff;
mod stream;
pub(crate) mod watch;

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use umlaut_openflow::{DatapathId, PortNo, Version};
use umlaut_slice_db::Policy;

use crate::lab::open_vswitch::parts;
use crate::lab::{Names, sweep};
use crate::of_policy;
use crate::scenario::{App, Channel, Control, FlowLine, Ground, GroundError};
use crate::topology::{Endpoint, Topology};
pub use site::Site;
use watch::Watch;

/// What threads tell the ground.
pub(crate) enum Event {
    /// A host got a frame.
    Frame(usize, Vec<u8>),
    /// A sniffer listens.
    Listening,
    /// The sniffer of a host has ended: what arrives there is not told any more.
    Deaf(usize),
    /// A line of the controller's log.
    Log(String),
}

/// Open vSwitch bridges and a controller.
pub struct OpenVSwitch {
    site: Arc<Site>,
    names: Names,
    version: Version,
    topology: Topology,
    watch: Watch,
    /// By the end of each host's cable that is a port of a bridge.
    places: BTreeMap<String, Endpoint>,
}

pub(crate) fn fail<T>(message: impl Into<String>) -> Result<T, GroundError> {
    Err(GroundError(message.into()))
}

/// Keeps the signals of a terminal from a command: it is this process that ends what it has begun.
pub(crate) fn apart(command: &mut Command) -> &mut Command {
    command.process_group(0)
}

/// Runs a command; its standard error is in the error.
pub(crate) fn sh(program: &str, args: &[&str]) -> Result<String, GroundError> {
    let output = apart(&mut Command::new(program))
        .args(args)
        .output()
        .map_err(|error| GroundError(format!("{program}: {error}")))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return fail(format!("{program} {}: {}", args.join(" "), text.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What Open vSwitch needs and is not there, whether it runs or not.
pub fn missing() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("not root".to_owned());
    }
    for program in ["ovs-vsctl", "ovs-ofctl", "ip", "tcpdump"] {
        if sh("sh", &["-c", &format!("command -v {program}")]).is_err() {
            return Some(format!("{program} is not installed"));
        }
    }
    None
}

/// Why Open vSwitch cannot be used here, if it cannot.
pub fn unusable() -> Option<String> {
    missing().or_else(|| sh("ovs-vsctl", &["--timeout=5", "show"]).err().map(|error| error.0))
}

impl OpenVSwitch {
    /// Brings up the network of a policy at a site, where there is no other one meanwhile, with the
    /// controller `binary` on this port of loopback.
    ///
    /// # Errors
    /// The first thing that could not be done.
    pub fn start(
        site: &Arc<Site>,
        version: Version,
        policy: &Policy,
        text: &str,
        binary: &Path,
        listen: u16,
    ) -> Result<OpenVSwitch, GroundError> {
        let app = App::SliceableSwitch;
        OpenVSwitch::start_app(app, site, version, policy, text, binary, listen)
    }

    /// As [`OpenVSwitch::start`], with this application.
    ///
    /// # Errors
    /// As [`OpenVSwitch::start`].
    pub fn start_app(
        app: App,
        site: &Arc<Site>,
        version: Version,
        policy: &Policy,
        text: &str,
        binary: &Path,
        listen: u16,
    ) -> Result<OpenVSwitch, GroundError> {
        site.check()?;
        let topology = of_policy(policy);
        let mut ground = OpenVSwitch {
            site: Arc::clone(site),
            names: Names::new(site.claim().lab(), &topology),
            version,
            topology,
            watch: Watch::start(site, binary, listen, text, app)?,
            places: BTreeMap::new(),
        };
        let switches = ground.topology.switches.iter();
        let bridges: Vec<&str> = switches.map(|s| ground.names.bridge(s.dpid)).collect();
        site.claim().note(&bridges)?;
        ground.make_cables().map_err(|problem| taken(problem.0))?;
        let dpids: Vec<DatapathId> = ground.topology.switches.iter().map(|s| s.dpid).collect();
        for dpid in dpids {
            ground.switch(dpid, true)?;
        }
        Ok(ground)
    }

    fn make_cables(&mut self) -> Result<(), GroundError> {
        for link in 0..self.topology.links.len() {
            parts::make_cable(self.site.claim(), self.names.link(link))?;
        }
        for (index, host) in self.topology.hosts.iter().enumerate() {
            self.site.check()?;
            let (namespace, interface) = (self.names.namespace(index), self.names.interface(index));
            parts::make_namespace(self.site.claim(), namespace, interface)?;
            // Only what the test sends comes from there.
            let quiet = "net.ipv6.conf.all.disable_ipv6=1";
            let _ = sh("ip", &["netns", "exec", namespace, "sysctl", "-qw", quiet]);
            let mac = host.mac.to_string();
            sh("ip", &["-n", namespace, "link", "set", "eth0", "address", &mac, "up"])?;
            self.watch.add_host(host.name.clone(), namespace.to_owned())?;
            if let Some(at) = host.at {
                self.places.insert(interface.to_owned(), at);
            }
        }
        self.watch.wait_listening()
    }

    /// The interfaces of all links and where they are.
    fn link_ends(&self) -> impl Iterator<Item = (String, Endpoint)> + '_ {
        self.topology.links.iter().enumerate().flat_map(|(index, link)| {
            let [a, b] = self.names.link(index);
            [(a.clone(), link.a), (b.clone(), link.b)]
        })
    }

    fn bridge(&self, dpid: DatapathId) -> &str {
        self.names.bridge(dpid)
    }

    fn protocol(&self) -> &'static str {
        watch::protocol(self.version)
    }

    fn target(&self) -> String {
        format!("tcp:127.0.0.1:{}", self.watch.listen)
    }

    /// The interfaces of a switch and their ports.
    fn interfaces(&self, dpid: DatapathId) -> Vec<(String, Endpoint)> {
        let hosts = self.places.iter().map(|(interface, at)| (interface.clone(), *at));
        hosts.chain(self.link_ends()).filter(|(_, at)| at.dpid == dpid).collect()
    }

    /// The interface of a port.
    fn interface(&self, end: (DatapathId, PortNo)) -> Result<String, GroundError> {
        match self.interfaces(end.0).into_iter().find(|(_, at)| at.port == end.1) {
            Some((interface, _)) => Ok(interface),
            None => fail("no such port"),
        }
    }

    fn add_port(&self, interface: &str, at: (DatapathId, PortNo)) -> Result<(), GroundError> {
        let request = format!("ofport_request={}", at.1.0);
        let bridge = self.bridge(at.0);
        let add = ["--timeout=10", "add-port", bridge, interface, "--", "set", "interface"];
        sh("ovs-vsctl", &[&add[..], &[interface, &request]].concat())?;
        Ok(())
    }
}

impl Ground for OpenVSwitch {
    fn elapsed(&self) -> Duration {
        self.watch.elapsed()
    }

    fn pump(&mut self) {
        self.watch.pump();
    }

    fn trouble(&self) -> Option<String> {
        self.watch.trouble()
    }

    fn send(&mut self, host: &str, frame: &[u8]) -> Result<(), GroundError> {
        self.watch.send(host, frame)
    }

    fn start_stream(
        &mut self,
        host: &str,
        frames: Vec<Vec<u8>>,
        every: Duration,
    ) -> Result<(), GroundError> {
        self.watch.start_stream(host, frames, every)
    }

    fn stop_streams(&mut self) -> Result<Vec<Vec<Duration>>, GroundError> {
        self.watch.stop_streams()
    }

    fn is_virtual(&self) -> bool {
        false
    }

    fn take_sniffed(&mut self) -> Vec<(String, Vec<u8>)> {
        self.watch.take_sniffed()
    }

    fn is_ready(&mut self, switches: &[DatapathId], links: usize) -> bool {
        self.watch.is_ready(switches, links)
    }

    fn link(
        &mut self,
        a: (DatapathId, PortNo),
        b: (DatapathId, PortNo),
        up: bool,
    ) -> Result<(), GroundError> {
        let is = |end: Endpoint, (dpid, port)| (end.dpid, end.port) == (dpid, port);
        let mut links = self.topology.links.iter();
        let link = links.position(|l| is(l.a, a) && is(l.b, b) || is(l.a, b) && is(l.b, a));
        let Some(link) = link else { return fail("no such link") };
        for end in self.names.link(link) {
            sh("ip", &["link", "set", end, if up { "up" } else { "down" }])?;
        }
        Ok(())
    }

    fn port(&mut self, end: (DatapathId, PortNo), up: bool) -> Result<(), GroundError> {
        let interface = self.interface(end)?;
        sh("ip", &["link", "set", &interface, if up { "up" } else { "down" }])?;
        Ok(())
    }

    fn move_host(&mut self, host: &str, to: (DatapathId, PortNo)) -> Result<(), GroundError> {
        let Some(index) = self.topology.host(host) else {
            return fail(format!("there is no host {host}"));
        };
        let interface = self.names.interface(index).to_owned();
        if let Some(at) = self.places.get(&interface) {
            sh("ovs-vsctl", &["--timeout=10", "del-port", self.bridge(at.dpid), &interface])?;
        }
        self.add_port(&interface, to)?;
        self.places.insert(interface, Endpoint { dpid: to.0, port: to.1 });
        Ok(())
    }

    fn switch(&mut self, dpid: DatapathId, up: bool) -> Result<(), GroundError> {
        let bridge = self.bridge(dpid);
        // A switch without power has no carrier for its neighbours.
        for end in self.link_ends().filter(|(_, at)| at.dpid == dpid).map(|(end, _)| end) {
            sh("ip", &["link", "set", &end, if up { "up" } else { "down" }])?;
        }
        if !up {
            sh("ovs-vsctl", &["--timeout=10", "del-br", bridge])?;
            return Ok(());
        }
        let (lab, protocol) = (self.site.claim().lab(), self.protocol());
        let (interfaces, target) = (self.interfaces(dpid), self.target());
        Ok(parts::make_bridge(lab, (bridge, dpid), &interfaces, protocol, &target)?)
    }

    fn exists(&mut self, end: (DatapathId, PortNo), exists: bool) -> Result<(), GroundError> {
        let interface = self.interface(end)?;
        if exists {
            return self.add_port(&interface, end);
        }
        sh("ovs-vsctl", &["--timeout=10", "del-port", self.bridge(end.0), &interface])?;
        Ok(())
    }

    fn renumber(&mut self, end: (DatapathId, PortNo), to: PortNo) -> Result<(), GroundError> {
        let interface = self.interface(end)?;
        let request = format!("ofport_request={}", to.0);
        sh("ovs-vsctl", &["--timeout=10", "set", "interface", &interface, &request])?;
        let at = Endpoint { dpid: end.0, port: to };
        match self.places.insert(interface, at) {
            Some(_) => Ok(()),
            None => fail("only ports of hosts get other numbers"),
        }
    }

    fn intrude(&mut self, end: (DatapathId, PortNo), to: PortNo) -> Result<(), GroundError> {
        let entry = format!("priority=65535,in_port={},actions=output:{}", end.1.0, to.0);
        let args = ["--timeout=10", "-O", self.protocol(), "add-flow", self.bridge(end.0), &entry];
        sh("ovs-ofctl", &args)?;
        Ok(())
    }

    fn room(&mut self, dpid: DatapathId, entries: Option<usize>) -> Result<(), GroundError> {
        let bridge = self.bridge(dpid);
        let Some(entries) = entries else {
            sh("ovs-vsctl", &["--timeout=10", "clear", "bridge", bridge, "flow_tables"])?;
            return Ok(());
        };
        let limit = format!("flow_limit={entries}");
        let create = ["--timeout=10", "--", "--id=@t", "create", "Flow_Table", &limit];
        let set = ["overflow_policy=refuse", "--", "set", "bridge", bridge, "flow_tables:0=@t"];
        sh("ovs-vsctl", &[&create[..], &set[..]].concat())?;
        Ok(())
    }

    fn channel(&mut self, dpid: DatapathId, what: Channel) -> Result<(), GroundError> {
        let bridge = self.bridge(dpid);
        let target = match what {
            Channel::Up => self.target(),
            // Nobody is there.
            Channel::Down => "tcp:127.0.0.1:1".to_owned(),
            Channel::Elsewhere => format!("tcp:[::1]:{}", self.watch.listen),
        };
        let args = ["--timeout=10", "set-controller", bridge, &target];
        let backoff = ["--", "set", "controller", bridge, "max_backoff=1000"];
        let readies = self.watch.view.readies;
        sh("ovs-vsctl", &[&args[..], &backoff[..]].concat())?;
        match what {
            Channel::Elsewhere => {
                self.watch.wait("the switch elsewhere", |view| view.readies > readies)
            }
            Channel::Up | Channel::Down => Ok(()),
        }
    }

    fn controller(&mut self, control: Control) -> Result<(), GroundError> {
        self.watch.controller(control)
    }

    fn policy(&mut self, text: &str, good: bool) -> Result<(), GroundError> {
        self.watch.policy(text, good)
    }

    fn flows(&mut self, dpid: DatapathId) -> Result<Vec<FlowLine>, GroundError> {
        watch::flows(self.version, self.bridge(dpid))
    }

    fn stormed(&mut self, name: &str, _: DatapathId) -> Result<u64, GroundError> {
        self.watch.stormed(name)
    }

    fn report(&mut self) -> String {
        let switches = self.topology.switches.iter();
        let bridges: Vec<String> =
            switches.map(|switch| self.bridge(switch.dpid).to_owned()).collect();
        self.watch.report(self.version, &bridges)
    }
}

/// What is said of a name that somebody has.
fn taken(told: String) -> GroundError {
    match told.contains("File exists") {
        true => GroundError(format!("{told}: it is of no test; remove it")),
        false => GroundError(told),
    }
}

impl Drop for OpenVSwitch {
    fn drop(&mut self) {
        // What still runs in a namespace keeps it alive, and the controller reads in the directory.
        self.watch.stop();
        if let Err(problem) = sweep(self.site.claim()) {
            eprintln!("umlaut: {problem}");
        }
    }
}

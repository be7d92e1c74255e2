//! The ground of Open vSwitch: user-space bridges, hosts in network namespaces, a controller
//! process. Needs root. Runtime.
//!
//! Everything it makes has a name with its prefix, and everything with that prefix is removed before
//! and after a run, so that a run that crashed leaves nothing for long.

mod process;
pub(crate) mod sniff;
mod stream;
pub(crate) mod watch;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use umlaut_openflow::{DatapathId, PortNo, Version};
use umlaut_slice_db::Policy;

use crate::of_policy;
use crate::scenario::{App, Channel, Control, FlowLine, Ground, GroundError};
use crate::topology::{Endpoint, Topology};
use watch::Watch;

/// What threads tell the ground.
pub(crate) enum Event {
    /// A host got a frame.
    Frame(usize, Vec<u8>),
    /// A sniffer listens.
    Listening,
    /// A line of the controller's log.
    Log(String),
}

/// Open vSwitch bridges and a controller.
pub struct OpenVSwitch {
    prefix: String,
    version: Version,
    topology: Topology,
    watch: Watch,
    /// The end of each host's cable that is a port of a bridge, in the order of hosts.
    interfaces: Vec<String>,
    places: BTreeMap<String, Endpoint>,
}

pub(crate) fn fail<T>(message: impl Into<String>) -> Result<T, GroundError> {
    Err(GroundError(message.into()))
}

/// Runs a command; its standard error is in the error.
pub(crate) fn sh(program: &str, args: &[&str]) -> Result<String, GroundError> {
    let output = Command::new(program)
        .args(args)
        .output()
        .map_err(|error| GroundError(format!("{program}: {error}")))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return fail(format!("{program} {}: {}", args.join(" "), text.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Removes every bridge, namespace and interface whose name begins with the prefix.
pub(crate) fn clean(prefix: &str) {
    let words = |text: Result<String, GroundError>| -> Vec<String> {
        let text = text.unwrap_or_default();
        text.split_whitespace().filter(|word| word.starts_with(prefix)).map(str::to_owned).collect()
    };
    for bridge in words(sh("ovs-vsctl", &["--timeout=10", "list-br"])) {
        let _ = sh("ovs-vsctl", &["--timeout=10", "--if-exists", "del-br", &bridge]);
    }
    for namespace in words(sh("ip", &["netns", "list"])) {
        let _ = sh("ip", &["netns", "del", &namespace]);
    }
    let links = sh("ip", &["-o", "link", "show"]).unwrap_or_default();
    for line in links.lines() {
        let name = line.split(':').nth(1).unwrap_or("").trim();
        let name = name.split('@').next().unwrap_or("");
        if name.starts_with(prefix) {
            let _ = sh("ip", &["link", "del", name]);
        }
    }
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
    /// Brings up the network of a policy under this prefix (at most four letters), with the
    /// controller `binary` on this port of loopback.
    ///
    /// # Errors
    /// The first thing that could not be done.
    pub fn start(
        prefix: &str,
        version: Version,
        policy: &Policy,
        text: &str,
        binary: &Path,
        listen: u16,
    ) -> Result<OpenVSwitch, GroundError> {
        let app = App::SliceableSwitch;
        OpenVSwitch::start_app(app, prefix, version, policy, text, binary, listen)
    }

    /// As [`OpenVSwitch::start`], with this application.
    ///
    /// # Errors
    /// As [`OpenVSwitch::start`].
    pub fn start_app(
        app: App,
        prefix: &str,
        version: Version,
        policy: &Policy,
        text: &str,
        binary: &Path,
        listen: u16,
    ) -> Result<OpenVSwitch, GroundError> {
        clean(prefix);
        let mut ground = OpenVSwitch {
            prefix: prefix.to_owned(),
            version,
            topology: of_policy(policy),
            watch: Watch::start(prefix, binary, listen, text, app)?,
            interfaces: Vec::new(),
            places: BTreeMap::new(),
        };
        ground.make_cables()?;
        let dpids: Vec<DatapathId> = ground.topology.switches.iter().map(|s| s.dpid).collect();
        for dpid in dpids {
            ground.switch(dpid, true)?;
        }
        Ok(ground)
    }

    fn make_cables(&mut self) -> Result<(), GroundError> {
        for index in 0..self.topology.links.len() {
            let (a, b) = (self.link_end(index, 'a'), self.link_end(index, 'b'));
            sh("ip", &["link", "add", &a, "type", "veth", "peer", "name", &b])?;
            for end in [a, b] {
                sh("ip", &["link", "set", &end, "up"])?;
            }
        }
        for (index, host) in self.topology.hosts.clone().into_iter().enumerate() {
            let namespace = format!("{}h{index}", self.prefix);
            let interface = format!("{}p{index}", self.prefix);
            sh("ip", &["netns", "add", &namespace])?;
            let quiet = "net.ipv6.conf.default.disable_ipv6=1";
            let _ = sh("ip", &["netns", "exec", &namespace, "sysctl", "-qw", quiet]);
            sh(
                "ip",
                &[
                    "link", "add", &interface, "type", "veth", "peer", "name", "eth0", "netns",
                    &namespace,
                ],
            )?;
            let mac = host.mac.to_string();
            sh("ip", &["-n", &namespace, "link", "set", "eth0", "address", &mac, "up"])?;
            sh("ip", &["link", "set", &interface, "up"])?;
            self.watch.add_host(host.name, namespace)?;
            if let Some(at) = host.at {
                self.places.insert(interface.clone(), at);
            }
            self.interfaces.push(interface);
        }
        self.watch.wait_listening()
    }

    fn link_end(&self, index: usize, end: char) -> String {
        format!("{}l{index}{end}", self.prefix)
    }

    /// The interfaces of all links and where they are.
    fn link_ends(&self) -> impl Iterator<Item = (String, Endpoint)> + '_ {
        self.topology.links.iter().enumerate().flat_map(|(index, link)| {
            [(self.link_end(index, 'a'), link.a), (self.link_end(index, 'b'), link.b)]
        })
    }

    fn bridge(&self, dpid: DatapathId) -> String {
        format!("{}b{:x}", self.prefix, dpid.0)
    }

    fn protocol(&self) -> &'static str {
        watch::protocol(self.version)
    }

    fn target(&self) -> String {
        format!("tcp:127.0.0.1:{}", self.watch.listen)
    }

    /// The interfaces of a switch and their port numbers.
    fn interfaces(&self, dpid: DatapathId) -> Vec<(String, PortNo)> {
        let hosts = self.places.iter().map(|(interface, at)| (interface.clone(), *at));
        hosts
            .chain(self.link_ends())
            .filter(|(_, at)| at.dpid == dpid)
            .map(|(i, at)| (i, at.port))
            .collect()
    }

    /// The interface of a port.
    fn interface(&self, end: (DatapathId, PortNo)) -> Result<String, GroundError> {
        match self.interfaces(end.0).into_iter().find(|(_, port)| *port == end.1) {
            Some((interface, _)) => Ok(interface),
            None => fail("no such port"),
        }
    }

    fn add_port(&self, interface: &str, at: (DatapathId, PortNo)) -> Result<(), GroundError> {
        let request = format!("ofport_request={}", at.1.0);
        let bridge = self.bridge(at.0);
        let add = ["--timeout=10", "add-port", &bridge, interface, "--", "set", "interface"];
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
        for end in ['a', 'b'] {
            let state = if up { "up" } else { "down" };
            sh("ip", &["link", "set", &self.link_end(link, end), state])?;
        }
        Ok(())
    }

    fn port(&mut self, end: (DatapathId, PortNo), up: bool) -> Result<(), GroundError> {
        let interface = self.interface(end)?;
        sh("ip", &["link", "set", &interface, if up { "up" } else { "down" }])?;
        Ok(())
    }

    fn move_host(&mut self, host: &str, to: (DatapathId, PortNo)) -> Result<(), GroundError> {
        let place = self.topology.host(host).and_then(|index| self.interfaces.get(index));
        let Some(interface) = place.cloned() else {
            return fail(format!("there is no host {host}"));
        };
        if let Some(at) = self.places.get(&interface) {
            sh("ovs-vsctl", &["--timeout=10", "del-port", &self.bridge(at.dpid), &interface])?;
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
            sh("ovs-vsctl", &["--timeout=10", "del-br", &bridge])?;
            return Ok(());
        }
        let mut args: Vec<String> =
            ["--timeout=10", "--", "add-br", &bridge, "--", "set", "bridge"]
                .iter()
                .map(|arg| (*arg).to_owned())
                .collect();
        args.extend([
            bridge.clone(),
            "datapath_type=netdev".to_owned(),
            "fail_mode=secure".to_owned(),
            format!("protocols={}", self.protocol()),
            format!("other-config:datapath-id={:016x}", dpid.0),
            "other-config:disable-in-band=true".to_owned(),
        ]);
        for (interface, port) in self.interfaces(dpid) {
            let request = format!("ofport_request={}", port.0);
            for arg in [
                "--",
                "add-port",
                &bridge,
                &interface,
                "--",
                "set",
                "interface",
                &interface,
                &request,
            ] {
                args.push(arg.to_owned());
            }
        }
        let target = self.target();
        for arg in [
            "--",
            "set-controller",
            &bridge,
            &target,
            "--",
            "set",
            "controller",
            &bridge,
            "max_backoff=1000",
        ] {
            args.push(arg.to_owned());
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        sh("ovs-vsctl", &args)?;
        Ok(())
    }

    fn exists(&mut self, end: (DatapathId, PortNo), exists: bool) -> Result<(), GroundError> {
        let interface = self.interface(end)?;
        if exists {
            return self.add_port(&interface, end);
        }
        sh("ovs-vsctl", &["--timeout=10", "del-port", &self.bridge(end.0), &interface])?;
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
        sh("ovs-ofctl", &["-O", self.protocol(), "add-flow", &self.bridge(end.0), &entry])?;
        Ok(())
    }

    fn room(&mut self, dpid: DatapathId, entries: Option<usize>) -> Result<(), GroundError> {
        let bridge = self.bridge(dpid);
        let Some(entries) = entries else {
            sh("ovs-vsctl", &["--timeout=10", "clear", "bridge", &bridge, "flow_tables"])?;
            return Ok(());
        };
        let limit = format!("flow_limit={entries}");
        let create = ["--timeout=10", "--", "--id=@t", "create", "Flow_Table", &limit];
        let set = ["overflow_policy=refuse", "--", "set", "bridge", &bridge, "flow_tables:0=@t"];
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
        let args = ["--timeout=10", "set-controller", &bridge, &target];
        let backoff = ["--", "set", "controller", &bridge, "max_backoff=1000"];
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
        watch::flows(self.version, &self.bridge(dpid))
    }

    fn stormed(&mut self, name: &str, _: DatapathId) -> Result<u64, GroundError> {
        self.watch.stormed(name)
    }

    fn report(&mut self) -> String {
        let switches = self.topology.switches.iter();
        let bridges: Vec<String> = switches.map(|switch| self.bridge(switch.dpid)).collect();
        self.watch.report(self.version, &bridges)
    }
}

impl Drop for OpenVSwitch {
    fn drop(&mut self) {
        self.watch.stop_sniffing();
        for host in &self.watch.hosts {
            // What still runs in a namespace keeps it alive.
            let _ = sh("ip", &["netns", "del", &host.namespace]);
        }
        clean(&self.prefix);
    }
}

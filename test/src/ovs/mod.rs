//! The ground of Open vSwitch: user-space bridges, hosts in network namespaces, a controller
//! process. Needs root. Runtime.
//!
//! Everything it makes has a name with its prefix, and everything with that prefix is removed before
//! and after a run, so that a run that crashed leaves nothing for long.

mod process;
pub(crate) mod sniff;
mod stream;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use umlaut_openflow::{DatapathId, PortNo, Version};
use umlaut_slice_db::Policy;

use crate::of_policy;
use crate::scenario::{Channel, Control, FlowLine, Ground, GroundError};
use crate::topology::{Endpoint, Topology};
use process::Controller;
use sniff::{RawSocket, Sniffer};
use stream::StreamThread;

/// What threads tell the ground.
pub(crate) enum Event {
    /// A host got a frame.
    Frame(usize, Vec<u8>),
    /// A sniffer listens.
    Listening,
    /// A line of the controller's log.
    Log(String),
}

/// How long system commands, sniffers and the controller's start may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long `pump` waits for something to happen.
const PUMP: Duration = Duration::from_millis(5);

struct OvsHost {
    name: String,
    namespace: String,
    /// The end of its cable in the root namespace, a port of a bridge.
    interface: String,
    socket: Arc<RawSocket>,
}

/// Open vSwitch bridges and a controller.
pub struct OpenVSwitch {
    prefix: String,
    version: Version,
    topology: Topology,
    hosts: Vec<OvsHost>,
    places: BTreeMap<String, Endpoint>,
    listen: u16,
    binary: PathBuf,
    policy_file: PathBuf,
    controller: Option<Controller>,
    sniffers: Vec<Sniffer>,
    streams: Vec<StreamThread>,
    events: Receiver<Event>,
    sender: Sender<Event>,
    frames: Vec<(String, Vec<u8>)>,
    log: Vec<String>,
    view: LogView,
    begun: Instant,
}

/// What the controller's log says of the network.
#[derive(Default)]
struct LogView {
    switches: std::collections::BTreeSet<String>,
    /// How often a switch became ready.
    readies: usize,
    links: std::collections::BTreeSet<(String, String)>,
    settled: bool,
    policies: usize,
    refusals: usize,
    listening: bool,
}

fn fail<T>(message: impl Into<String>) -> Result<T, GroundError> {
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
fn clean(prefix: &str) {
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

/// Why Open vSwitch cannot be used here, if it cannot.
pub fn unusable() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("not root".to_owned());
    }
    for program in ["ovs-vsctl", "ovs-ofctl", "ip", "tcpdump"] {
        if sh("sh", &["-c", &format!("command -v {program}")]).is_err() {
            return Some(format!("{program} is not installed"));
        }
    }
    sh("ovs-vsctl", &["--timeout=5", "show"]).err().map(|error| error.0)
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
        clean(prefix);
        let (sender, events) = channel();
        let policy_file = std::env::temp_dir().join(format!("{prefix}-{listen}.yaml"));
        std::fs::write(&policy_file, text)?;
        let mut ground = OpenVSwitch {
            prefix: prefix.to_owned(),
            version,
            topology: of_policy(policy),
            hosts: Vec::new(),
            places: BTreeMap::new(),
            listen,
            binary: binary.to_owned(),
            policy_file,
            controller: None,
            sniffers: Vec::new(),
            streams: Vec::new(),
            events,
            sender,
            frames: Vec::new(),
            log: Vec::new(),
            view: LogView::default(),
            begun: Instant::now(),
        };
        ground.controller(Control::Start)?;
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
            let socket = Arc::new(RawSocket::open(&namespace)?);
            let sniffer = Sniffer::start(&namespace, index, self.sender.clone())?;
            self.sniffers.push(sniffer);
            if let Some(at) = host.at {
                self.places.insert(interface.clone(), at);
            }
            self.hosts.push(OvsHost { name: host.name, namespace, interface, socket });
        }
        // A sniffer that does not listen yet would miss frames.
        let mut missing = self.hosts.len();
        let until = Instant::now() + PATIENCE;
        while missing > 0 {
            match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Event::Listening) => missing -= 1,
                Ok(event) => self.note(event),
                Err(_) => return fail(format!("{missing} sniffers do not listen")),
            }
        }
        Ok(())
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
        if self.version == Version::V1_0 { "OpenFlow10" } else { "OpenFlow13" }
    }

    fn target(&self) -> String {
        format!("tcp:127.0.0.1:{}", self.listen)
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

    fn host(&self, name: &str) -> Result<usize, GroundError> {
        match self.hosts.iter().position(|host| host.name == name) {
            Some(index) => Ok(index),
            None => fail(format!("there is no host {name}")),
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Frame(host, frame) => {
                let name = self.hosts.get(host).map(|host| host.name.clone()).unwrap_or_default();
                self.frames.push((name, frame));
            }
            Event::Listening => {}
            Event::Log(line) => {
                self.view.read(&line);
                self.log.push(line);
            }
        }
    }

    fn wait(&mut self, what: &str, done: impl Fn(&LogView) -> bool) -> Result<(), GroundError> {
        let until = Instant::now() + PATIENCE;
        while !done(&self.view) {
            if Instant::now() > until {
                return fail(format!("waited {PATIENCE:?} for {what}"));
            }
            self.pump();
        }
        Ok(())
    }
}

impl LogView {
    /// Reads a line as `umlaut run --log-format json` writes it.
    fn read(&mut self, line: &str) {
        let Ok(json) = serde_json::from_str::<serde_json::Value>(line) else { return };
        let fields = &json["fields"];
        let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
        match fields["message"].as_str().unwrap_or_default() {
            "listening" => self.listening = true,
            "switch ready" => {
                self.settled = false;
                self.readies += 1;
                self.switches.insert(text("dpid"));
            }
            "switch gone" => {
                self.switches.remove(&text("dpid"));
            }
            "link up" => {
                self.links.insert((text("from"), text("to")));
            }
            "link down" => {
                self.links.remove(&(text("from"), text("to")));
            }
            "topology settled" => self.settled = true,
            "policy in force" => self.policies += 1,
            "policy not reloaded: the running one stays" => self.refusals += 1,
            _ => {}
        }
    }
}

impl Ground for OpenVSwitch {
    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    fn pump(&mut self) {
        match self.events.recv_timeout(PUMP) {
            Ok(event) => self.note(event),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
        while let Ok(event) = self.events.try_recv() {
            self.note(event);
        }
    }

    fn send(&mut self, host: &str, frame: &[u8]) -> Result<(), GroundError> {
        let host = self.host(host)?;
        self.hosts[host].socket.send(frame)
    }

    fn start_stream(
        &mut self,
        host: &str,
        frames: Vec<Vec<u8>>,
        every: Duration,
    ) -> Result<(), GroundError> {
        let socket = self.hosts[self.host(host)?].socket.clone();
        self.streams.push(StreamThread::start(socket, frames, every, self.begun));
        Ok(())
    }

    fn stop_streams(&mut self) -> Result<Vec<Vec<Duration>>, GroundError> {
        std::mem::take(&mut self.streams).into_iter().map(StreamThread::stop).collect()
    }

    fn is_virtual(&self) -> bool {
        false
    }

    fn take_sniffed(&mut self) -> Vec<(String, Vec<u8>)> {
        std::mem::take(&mut self.frames)
    }

    fn is_ready(&mut self, switches: &[DatapathId], links: usize) -> bool {
        let known = switches.iter().all(|dpid| self.view.switches.contains(&dpid.to_string()));
        known
            && self.view.switches.len() == switches.len()
            && (links == usize::MAX || self.view.links.len() == links)
            && self.view.settled
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
        let host = self.host(host)?;
        let interface = self.hosts[host].interface.clone();
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
            Channel::Elsewhere => format!("tcp:[::1]:{}", self.listen),
        };
        let args = ["--timeout=10", "set-controller", &bridge, &target];
        let backoff = ["--", "set", "controller", &bridge, "max_backoff=1000"];
        let readies = self.view.readies;
        sh("ovs-vsctl", &[&args[..], &backoff[..]].concat())?;
        match what {
            Channel::Elsewhere => self.wait("the switch elsewhere", |view| view.readies > readies),
            Channel::Up | Channel::Down => Ok(()),
        }
    }

    fn controller(&mut self, control: Control) -> Result<(), GroundError> {
        match control {
            Control::Kill => {
                // Dropped: killed and reaped.
                self.controller = None;
                self.view.switches.clear();
                self.view.links.clear();
                Ok(())
            }
            Control::Start => {
                self.view = LogView::default();
                let (binary, file) = (&self.binary, &self.policy_file);
                let sender = self.sender.clone();
                self.controller = Some(Controller::start(binary, self.listen, file, sender)?);
                self.wait("the controller to listen", |view| view.listening)
            }
        }
    }

    fn policy(&mut self, text: &str, good: bool) -> Result<(), GroundError> {
        // As editors do: a new file in place of the old one.
        let new = self.policy_file.with_extension("new");
        std::fs::write(&new, text)?;
        let (policies, refusals) = (self.view.policies, self.view.refusals);
        std::fs::rename(&new, &self.policy_file)?;
        if self.controller.is_none() {
            // Read when it starts.
            return Ok(());
        }
        match good {
            true => self.wait("the policy to be in force", |view| view.policies > policies),
            false => self.wait("the policy to be refused", |view| view.refusals > refusals),
        }
    }

    fn flows(&mut self, dpid: DatapathId) -> Result<Vec<FlowLine>, GroundError> {
        let bridge = self.bridge(dpid);
        let args = ["-O", self.protocol(), "--no-stats", "--no-names", "dump-flows", &bridge];
        let text = sh("ovs-ofctl", &args)?;
        Ok(text.lines().filter(|line| line.contains("priority=65535")).map(flow_line).collect())
    }

    fn report(&mut self) -> String {
        let mut text = String::from("last lines of the controller:\n");
        for line in self.log.iter().rev().take(12).rev() {
            text.push_str(line);
            text.push('\n');
        }
        for switch in self.topology.switches.clone() {
            let bridge = self.bridge(switch.dpid);
            let args = ["-O", self.protocol(), "--no-names", "dump-flows", &bridge];
            text.push_str(&format!("{bridge}:\n{}", sh("ovs-ofctl", &args).unwrap_or_default()));
        }
        text
    }
}

/// A line of `ovs-ofctl dump-flows`.
fn flow_line(line: &str) -> FlowLine {
    let (matches, actions) = line.split_once("actions=").unwrap_or((line, ""));
    let after = |text: &str, key: &str| -> Option<u32> {
        let at = text.find(key)? + key.len();
        let digits: String = text[at..].chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    let in_port = after(matches, "in_port=").map(PortNo);
    let out_port = match after(actions, "output:").map(PortNo) {
        None if actions.contains("IN_PORT") => in_port,
        port => port,
    };
    let set = after(actions, "mod_vlan_vid:")
        .or_else(|| after(actions, "set_field:").map(|bits| bits & 0xfff));
    let vlan = match set {
        Some(vid) => format!("set {vid}"),
        None if actions.contains("strip_vlan") || actions.contains("pop_vlan") => {
            "strip".to_owned()
        }
        None => "keep".to_owned(),
    };
    FlowLine { in_port, out_port, vlan }
}

impl Drop for OpenVSwitch {
    fn drop(&mut self) {
        self.controller = None;
        self.sniffers.clear();
        for host in &self.hosts {
            // What still runs in a namespace keeps it alive.
            let _ = sh("ip", &["netns", "del", &host.namespace]);
        }
        clean(&self.prefix);
        let _ = std::fs::remove_file(&self.policy_file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flow_lines_are_read_in_both_versions() {
        let rows = [
            (
                " priority=65535,in_port=1,vlan_tci=0x0000,dl_src=00:00:00:00:00:01 actions=output:2",
                (Some(1), Some(2), "keep"),
            ),
            (
                " priority=65535,in_port=2 actions=mod_vlan_vid:7,output:1",
                (Some(2), Some(1), "set 7"),
            ),
            (
                " send_flow_rem priority=65535,in_port=2 actions=push_vlan:0x8100,set_field:4103->vlan_vid,output:1",
                (Some(2), Some(1), "set 7"),
            ),
            (
                " priority=65535,in_port=2,dl_vlan=7 actions=strip_vlan,output:1",
                (Some(2), Some(1), "strip"),
            ),
            (
                " priority=65535,in_port=2,dl_vlan=7 actions=pop_vlan,IN_PORT",
                (Some(2), Some(2), "strip"),
            ),
            (" priority=65535,in_port=2 actions=drop", (Some(2), None, "keep")),
        ];
        for (line, (in_port, out_port, vlan)) in rows {
            let wanted = FlowLine {
                in_port: in_port.map(PortNo),
                out_port: out_port.map(PortNo),
                vlan: vlan.to_owned(),
            };
            assert_eq!(flow_line(line), wanted, "{line}");
        }
    }
}

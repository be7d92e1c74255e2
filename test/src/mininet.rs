//! The ground of Mininet: its switches and hosts, brought up and changed by `test/mininet/ground.py`,
//! with a controller process beside it. Needs root. Runtime.
//!
//! Mininet makes the network and obeys; frames go in and out of its hosts, and the controller is
//! watched, as on Open vSwitch. Names of switches begin with a prefix, so that a run that crashed can
//! be cleaned up.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde::Deserialize;
use umlaut_openflow::{DatapathId, PortNo, Version};

use crate::ovs::watch::{self, PATIENCE, Watch};
use crate::ovs::{Site, fail, sh};
use crate::scenario::{App, Channel, Control, FlowLine, Ground, GroundError};

/// Debian's Python: it is the one that has Mininet.
const PYTHON: &str = "/usr/bin/python3";

/// What Mininet says when its network runs.
#[derive(Debug, Deserialize)]
struct Network {
    /// The process of each host.
    hosts: BTreeMap<String, u32>,
    /// The bridge of each switch, by datapath id.
    switches: BTreeMap<u64, String>,
}

/// A running Mininet. Dropped: told to end, and waited for.
struct Python {
    child: Child,
    orders: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Python {
    fn start(arguments: &[String]) -> Result<Python, GroundError> {
        let mut child = Command::new(PYTHON)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| GroundError(format!("{PYTHON}: {error}")))?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Python { orders: child.stdin.take(), child, lines })
    }

    fn line(&self) -> Result<String, GroundError> {
        let line = self.lines.recv_timeout(PATIENCE * 3);
        line.map_err(|_| GroundError("Mininet does not answer".to_owned()))
    }

    /// Gives an order and waits until it is done.
    fn order(&mut self, order: &str) -> Result<(), GroundError> {
        let Some(orders) = &mut self.orders else { return fail("Mininet has ended") };
        writeln!(orders, "{order}")?;
        match self.line()?.split_once(' ') {
            None => Ok(()),
            Some((_, why)) => fail(format!("{order}: {why}")),
        }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // The end of its input ends it; its network is gone when it has ended.
        self.orders = None;
        let _ = self.child.wait();
    }
}

/// Mininet's switches and hosts, and a controller.
pub struct Mininet {
    site: Arc<Site>,
    version: Version,
    bridges: BTreeMap<u64, String>,
    watch: Watch,
    /// `None` only while it is dropped.
    python: Option<Python>,
}

/// Where the Python files are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mininet")
}

/// Why Mininet cannot be used here, if it cannot.
pub fn unusable() -> Option<String> {
    crate::ovs::unusable().or_else(|| {
        let imports = "import mininet.net, yaml";
        sh(PYTHON, &["-c", imports]).err().map(|error| format!("no Mininet: {}", error.0))
    })
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

impl Mininet {
    /// Brings up the network of a policy under the name of a site (at most three letters), with the
    /// controller `binary` on this port of loopback, which runs this application.
    ///
    /// # Errors
    /// The first thing that could not be done.
    pub fn start(
        app: App,
        site: &Arc<Site>,
        version: Version,
        text: &str,
        binary: &Path,
        listen: u16,
    ) -> Result<Mininet, GroundError> {
        let prefix = site.claim().lab().prefix();
        clean(&prefix);
        let mut watch = Watch::start(site, binary, listen, text, app)?;
        let python = Python::start(&[
            folder().join("ground.py").display().to_string(),
            watch.policy_file().display().to_string(),
            watch::protocol(version).to_owned(),
            listen.to_string(),
            prefix.clone(),
        ])?;
        let told = python.line()?;
        let network: Network = serde_json::from_str(&told)
            .map_err(|error| GroundError(format!("Mininet says {told:?}: {error}")))?;
        for (index, (name, process)) in network.hosts.into_iter().enumerate() {
            // Its namespace gets a name, by which it is entered.
            let namespace = format!("{prefix}h{index}");
            sh("ip", &["netns", "attach", &namespace, &process.to_string()])?;
            watch.add_host(name, namespace)?;
        }
        watch.wait_listening()?;
        let bridges = network.switches;
        Ok(Mininet { site: Arc::clone(site), version, bridges, watch, python: Some(python) })
    }

    fn order(&mut self, order: &str) -> Result<(), GroundError> {
        match &mut self.python {
            Some(python) => python.order(order),
            None => fail("Mininet has ended"),
        }
    }
}

fn end((dpid, port): (DatapathId, PortNo)) -> String {
    format!("{:x}/{}", dpid.0, port.0)
}

fn state(up: bool) -> &'static str {
    if up { "up" } else { "down" }
}

impl Ground for Mininet {
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
        self.order(&format!("link {} {} {}", end(a), end(b), state(up)))
    }

    fn port(&mut self, at: (DatapathId, PortNo), up: bool) -> Result<(), GroundError> {
        self.order(&format!("port {} {}", end(at), state(up)))
    }

    fn exists(&mut self, at: (DatapathId, PortNo), exists: bool) -> Result<(), GroundError> {
        self.order(&format!("exists {} {}", end(at), if exists { "yes" } else { "no" }))
    }

    fn renumber(&mut self, at: (DatapathId, PortNo), to: PortNo) -> Result<(), GroundError> {
        self.order(&format!("renumber {} {}", end(at), to.0))
    }

    fn intrude(&mut self, at: (DatapathId, PortNo), to: PortNo) -> Result<(), GroundError> {
        self.order(&format!("intrude {} {}", end(at), to.0))
    }

    fn room(&mut self, dpid: DatapathId, entries: Option<usize>) -> Result<(), GroundError> {
        let entries = entries.map_or("free".to_owned(), |entries| entries.to_string());
        self.order(&format!("room {:x} {entries}", dpid.0))
    }

    fn move_host(&mut self, host: &str, to: (DatapathId, PortNo)) -> Result<(), GroundError> {
        self.order(&format!("move {host} {}", end(to)))
    }

    fn switch(&mut self, dpid: DatapathId, up: bool) -> Result<(), GroundError> {
        self.order(&format!("power {:x} {}", dpid.0, if up { "on" } else { "off" }))
    }

    fn channel(&mut self, dpid: DatapathId, what: Channel) -> Result<(), GroundError> {
        let target = match what {
            Channel::Up => format!("tcp:127.0.0.1:{}", self.watch.listen),
            // Nobody is there.
            Channel::Down => "tcp:127.0.0.1:1".to_owned(),
            Channel::Elsewhere => format!("tcp:[::1]:{}", self.watch.listen),
        };
        let readies = self.watch.view.readies;
        self.order(&format!("channel {:x} {target}", dpid.0))?;
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
        match self.bridges.get(&dpid.0) {
            Some(bridge) => watch::flows(self.version, bridge),
            None => fail(format!("there is no switch {dpid}")),
        }
    }

    fn stormed(&mut self, name: &str, _: DatapathId) -> Result<u64, GroundError> {
        self.watch.stormed(name)
    }

    fn report(&mut self) -> String {
        let bridges: Vec<String> = self.bridges.values().cloned().collect();
        self.watch.report(self.version, &bridges)
    }
}

impl Drop for Mininet {
    fn drop(&mut self) {
        self.watch.stop();
        for host in &self.watch.hosts {
            let _ = sh("ip", &["netns", "del", &host.namespace]);
        }
        self.python = None;
        clean(&self.site.claim().lab().prefix());
    }
}

//! What all grounds with real switches share: the controller process and its log, the frames that
//! hosts see, the streams that they send. Runtime.

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use umlaut_openflow::{DatapathId, PortNo, Version};

use super::process::Controller;
use super::sniff::{RawSocket, Sniffer};
use super::stream::StreamThread;
use super::{Event, Site, fail, sh};
use crate::scenario::{App, Control, FlowLine, GroundError};

/// How long system commands, sniffers and the controller's start may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long [`Watch::pump`] waits for something to happen.
const PUMP: Duration = Duration::from_millis(5);

/// A host in a network namespace.
pub(crate) struct NamedHost {
    pub(crate) name: String,
    pub(crate) namespace: String,
    socket: Arc<RawSocket>,
}

/// The controller and the hosts.
pub(crate) struct Watch {
    site: Arc<Site>,
    pub(crate) listen: u16,
    pub(crate) hosts: Vec<NamedHost>,
    pub(crate) view: LogView,
    binary: PathBuf,
    policy_file: PathBuf,
    app: App,
    controller: Option<Controller>,
    sniffers: Vec<Sniffer>,
    /// The number of a host whose sniffer has ended.
    deaf: Option<usize>,
    streams: Vec<StreamThread>,
    events: Receiver<Event>,
    sender: Sender<Event>,
    frames: Vec<(String, Vec<u8>)>,
    log: Vec<String>,
    begun: Instant,
}

/// What the controller's log says of the network.
#[derive(Default)]
pub(crate) struct LogView {
    switches: BTreeSet<String>,
    /// How often a switch became ready.
    pub(crate) readies: usize,
    links: BTreeSet<(String, String)>,
    settled: bool,
    policies: usize,
    refusals: usize,
    listening: bool,
}

impl Watch {
    /// Starts the controller `binary` on this port of loopback with a policy text, which is kept in
    /// the directory of a site. An application without slices does not get it.
    ///
    /// # Errors
    /// The first thing that could not be done.
    pub(crate) fn start(
        site: &Arc<Site>,
        binary: &Path,
        listen: u16,
        text: &str,
        app: App,
    ) -> Result<Watch, GroundError> {
        let (sender, events) = channel();
        let directory = site.claim().directory();
        DirBuilder::new().mode(0o700).recursive(true).create(&directory)?;
        let policy_file = directory.join("policy.yaml");
        std::fs::write(&policy_file, text)?;
        let mut watch = Watch {
            site: Arc::clone(site),
            listen,
            hosts: Vec::new(),
            view: LogView::default(),
            binary: binary.to_owned(),
            policy_file,
            app,
            controller: None,
            sniffers: Vec::new(),
            deaf: None,
            streams: Vec::new(),
            events,
            sender,
            frames: Vec::new(),
            log: Vec::new(),
            begun: Instant::now(),
        };
        watch.controller(Control::Start)?;
        Ok(watch)
    }

    /// The file of the policy.
    pub(crate) fn policy_file(&self) -> &Path {
        &self.policy_file
    }

    /// Sniffs at a host, `eth0` of a namespace, and makes ready to send there.
    pub(crate) fn add_host(&mut self, name: String, namespace: String) -> Result<(), GroundError> {
        let socket = Arc::new(RawSocket::open(&namespace)?);
        let sniffer = Sniffer::start(&namespace, self.hosts.len(), self.sender.clone())?;
        self.sniffers.push(sniffer);
        self.hosts.push(NamedHost { name, namespace, socket });
        Ok(())
    }

    /// Waits until all sniffers listen: before, they would miss frames.
    pub(crate) fn wait_listening(&mut self) -> Result<(), GroundError> {
        let mut missing = self.hosts.len();
        let until = Instant::now() + PATIENCE;
        while missing > 0 {
            self.check()?;
            match self.events.recv_timeout(PUMP) {
                Ok(Event::Listening) => missing -= 1,
                Ok(event) => self.note(event),
                Err(_) if Instant::now() < until => {}
                Err(_) => return fail(format!("{missing} sniffers do not listen")),
            }
        }
        Ok(())
    }

    /// Ends streams, sniffers and the controller.
    pub(crate) fn stop(&mut self) {
        self.streams.clear();
        self.sniffers.clear();
        self.controller = None;
    }

    /// What keeps it from going on, if something does.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.check().err().map(|error| error.0)
    }

    fn check(&self) -> Result<(), GroundError> {
        self.site.check()?;
        match self.deaf.and_then(|host| self.hosts.get(host)) {
            Some(host) => {
                fail(format!("tcpdump at {} has ended: what arrives there is not seen", host.name))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn host(&self, name: &str) -> Result<&NamedHost, GroundError> {
        match self.hosts.iter().find(|host| host.name == name) {
            Some(host) => Ok(host),
            None => fail(format!("there is no host {name}")),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(crate) fn pump(&mut self) {
        match self.events.recv_timeout(PUMP) {
            Ok(event) => self.note(event),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
        while let Ok(event) = self.events.try_recv() {
            self.note(event);
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Frame(host, frame) => {
                let name = self.hosts.get(host).map(|host| host.name.clone()).unwrap_or_default();
                self.frames.push((name, frame));
            }
            Event::Listening => {}
            Event::Deaf(host) => self.deaf = Some(host),
            Event::Log(line) => {
                self.view.read(&line);
                self.log.push(line);
            }
        }
    }

    pub(crate) fn wait(
        &mut self,
        what: &str,
        done: impl Fn(&LogView) -> bool,
    ) -> Result<(), GroundError> {
        let until = Instant::now() + PATIENCE;
        while !done(&self.view) {
            self.check()?;
            if Instant::now() > until {
                return fail(format!("waited {PATIENCE:?} for {what}"));
            }
            self.pump();
        }
        Ok(())
    }

    pub(crate) fn send(&mut self, host: &str, frame: &[u8]) -> Result<(), GroundError> {
        self.host(host)?.socket.send(frame)
    }

    pub(crate) fn start_stream(
        &mut self,
        host: &str,
        frames: Vec<Vec<u8>>,
        every: Duration,
    ) -> Result<(), GroundError> {
        let socket = self.host(host)?.socket.clone();
        self.streams.push(StreamThread::start(socket, frames, every, self.begun));
        Ok(())
    }

    pub(crate) fn stop_streams(&mut self) -> Result<Vec<Vec<Duration>>, GroundError> {
        std::mem::take(&mut self.streams).into_iter().map(StreamThread::stop).collect()
    }

    pub(crate) fn take_sniffed(&mut self) -> Vec<(String, Vec<u8>)> {
        std::mem::take(&mut self.frames)
    }

    pub(crate) fn is_ready(&self, switches: &[DatapathId], links: usize) -> bool {
        let known = switches.iter().all(|dpid| self.view.switches.contains(&dpid.to_string()));
        known
            && self.view.switches.len() == switches.len()
            && (links == usize::MAX || self.view.links.len() == links)
            && self.view.settled
    }

    pub(crate) fn controller(&mut self, control: Control) -> Result<(), GroundError> {
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
                let sender = self.sender.clone();
                let (file, app) = (&self.policy_file, self.app);
                let started = Controller::start(&self.binary, self.listen, file, app, sender)?;
                self.controller = Some(started);
                self.wait("the controller to listen", |view| view.listening)
            }
        }
    }

    pub(crate) fn policy(&mut self, text: &str, good: bool) -> Result<(), GroundError> {
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

    /// How many packet-ins of a switch were dropped as part of storms, as `umlaut stats` says.
    pub(crate) fn stormed(&self, switch: &str) -> Result<u64, GroundError> {
        let output = Command::new(&self.binary)
            .args(["stats", "--json", "--socket"])
            .arg(self.policy_file.with_extension("sock"))
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let stats: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| GroundError(format!("stats: {error}")))?;
        let rows = stats["switches"].as_array().into_iter().flatten();
        let row =
            rows.filter(|row| row["switch"] == switch).find_map(|row| row["stormed"].as_u64());
        row.ok_or_else(|| GroundError(format!("stats say nothing of {switch}: {text}")))
    }

    /// The end of the controller's log, and the entries of these bridges.
    pub(crate) fn report(&self, version: Version, bridges: &[String]) -> String {
        let mut text = String::from("last lines of the controller:\n");
        for line in self.log.iter().rev().take(12).rev() {
            text.push_str(line);
            text.push('\n');
        }
        for bridge in bridges {
            let of = protocol(version);
            let args = ["--timeout=10", "-O", of, "--no-names", "dump-flows", bridge];
            text.push_str(&format!("{bridge}:\n{}", sh("ovs-ofctl", &args).unwrap_or_default()));
        }
        text
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

/// How Open vSwitch calls a version.
pub(crate) fn protocol(version: Version) -> &'static str {
    if version == Version::V1_0 { "OpenFlow10" } else { "OpenFlow13" }
}

/// The path entries of a bridge.
pub(crate) fn flows(version: Version, bridge: &str) -> Result<Vec<FlowLine>, GroundError> {
    let of = protocol(version);
    let args = ["--timeout=10", "-O", of, "--no-stats", "--no-names", "dump-flows", bridge];
    let text = sh("ovs-ofctl", &args)?;
    Ok(text.lines().filter(|line| line.contains("priority=65535")).map(flow_line).collect())
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

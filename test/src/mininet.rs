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
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use serde::Deserialize;
use umlaut_openflow::{DatapathId, PortNo, Version};

use crate::ovs::watch::{self, Watch};
use crate::ovs::{Site, apart, fail, sh};
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

/// How long Mininet may take to start its network, to obey an order and to stop its network. What takes
/// longer hangs: Mininet waits for its shells without a limit.
const LIMIT: Duration = Duration::from_secs(60);
/// How long a process may take to end that was killed.
const GRACE: Duration = Duration::from_secs(5);
/// How often Mininet is started again when it hangs at that.
const AGAIN: usize = 2;

/// Why there is no answer of Mininet.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    /// It hung, and was killed.
    #[error("Mininet did not answer within {0:?} and was killed")]
    Late(Duration),
    /// It ended of itself.
    #[error("Mininet has ended")]
    Ended,
    /// It was not asked, or answered something else.
    #[error(transparent)]
    Failed(#[from] GroundError),
}

/// A running Mininet. Dropped: told to end, and killed if it does not within its limit.
struct Python {
    child: Child,
    orders: Option<ChildStdin>,
    lines: Receiver<String>,
    /// For each answer, and for the end.
    limit: Duration,
}

impl Python {
    /// Starts it with a script and waits until its network runs.
    fn start(arguments: &[String], limit: Duration) -> Result<(Python, Network), NoAnswer> {
        let mut child = apart(&mut Command::new(PYTHON))
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
        let mut python = Python { orders: child.stdin.take(), child, lines, limit };
        let told = python.line()?;
        let network = serde_json::from_str(&told)
            .map_err(|error| GroundError(format!("Mininet says {told:?}: {error}")))?;
        Ok((python, network))
    }

    fn line(&mut self) -> Result<String, NoAnswer> {
        match self.lines.recv_timeout(self.limit) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Disconnected) => Err(NoAnswer::Ended),
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                Err(NoAnswer::Late(self.limit))
            }
        }
    }

    /// Gives an order and waits until it is done.
    fn order(&mut self, order: &str) -> Result<(), GroundError> {
        let failed = |why: String| GroundError(format!("{order}: {why}"));
        let orders = self.orders.as_mut().ok_or_else(|| failed(NoAnswer::Ended.to_string()))?;
        writeln!(orders, "{order}").map_err(|error| failed(error.to_string()))?;
        match self.line().map_err(|why| failed(why.to_string()))?.split_once(' ') {
            None => Ok(()),
            Some((_, why)) => Err(failed(why.to_owned())),
        }
    }

    /// Ends it with all that it has begun. What it has made in the system stays.
    fn kill(&mut self) {
        self.orders = None;
        let python = process(&self.child);
        let shells = children(python);
        // It says where it is before it ends.
        let _ = kill(python, Signal::SIGABRT);
        has_ended(&self.child, GRACE);
        // Nodes have sessions of their own, and what runs in one is of its group.
        for group in shells.into_iter().chain([python]) {
            let _ = killpg(group, Signal::SIGKILL);
        }
        if has_ended(&self.child, GRACE) {
            let _ = self.child.wait();
        }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // The end of its input ends it; its network is gone when it has ended.
        self.orders = None;
        if has_ended(&self.child, self.limit) {
            let _ = self.child.wait();
        } else {
            self.kill();
            eprintln!("Mininet did not stop its network within {:?} and was killed", self.limit);
        }
    }
}

fn process(child: &Child) -> Pid {
    // Process numbers are positive (proc(5), pid_max).
    Pid::from_raw(child.id().cast_signed())
}

/// Waits until a child has ended, at most so long. Its number is nobody else's until `child` is waited
/// for.
fn has_ended(child: &Child, within: Duration) -> bool {
    let (sender, ended) = channel();
    let process = process(child);
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    std::thread::spawn(move || {
        while waitid(Id::Pid(process), flags) == Err(Errno::EINTR) {}
        let _ = sender.send(());
    });
    ended.recv_timeout(within).is_ok()
}

/// What a process has begun and what still runs of it.
fn children(parent: Pid) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes.map(Pid::from_raw).filter(|process| parent_of(*process) == Some(parent)).collect()
}

fn parent_of(process: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind the name, which may have anything in it: state, parent (proc(5)).
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(1)?.parse().ok().map(Pid::from_raw)
}

/// Starts Mininet by this, again if it hangs: that is no fault of the controller.
fn persist<T>(mut start: impl FnMut() -> Result<T, NoAnswer>) -> Result<T, GroundError> {
    for _ in 0..AGAIN {
        match start() {
            Err(NoAnswer::Late(limit)) => eprintln!(
                "Mininet did not start its network within {limit:?} and was killed; once more"
            ),
            done => return done.map_err(|why| GroundError(why.to_string())),
        }
    }
    start().map_err(|why| GroundError(format!("start of the network: {why}")))
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
        let started = persist(|| {
            clean(&prefix);
            let watch = Watch::start(site, binary, listen, text, app)?;
            let arguments = [
                folder().join("ground.py").display().to_string(),
                watch.policy_file().display().to_string(),
                watch::protocol(version).to_owned(),
                listen.to_string(),
                prefix.clone(),
            ];
            let (python, network) = Python::start(&arguments, LIMIT)?;
            Ok((watch, python, network))
        });
        let (watch, python, network) = started.inspect_err(|_| clean(&prefix))?;
        let (site, bridges) = (Arc::clone(site), network.switches);
        let mut ground = Mininet { site, version, bridges, watch, python: Some(python) };
        for (index, (name, process)) in network.hosts.into_iter().enumerate() {
            // Its namespace gets a name, by which it is entered.
            let namespace = format!("{prefix}h{index}");
            sh("ip", &["netns", "attach", &namespace, &process.to_string()])?;
            ground.watch.add_host(name, namespace)?;
        }
        ground.watch.wait_listening()?;
        Ok(ground)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than anything here takes that does not hang.
    const LONG: Duration = Duration::from_secs(60);
    /// As long as something that hangs is waited for.
    const SHORT: Duration = Duration::from_millis(200);

    const UP: &str = r#"print('{"hosts": {}, "switches": {}}', flush=True)"#;
    const HANG: &str = "threading.Event().wait()";

    /// Mininet as a script says.
    struct StandIn(tempfile::TempDir);

    impl StandIn {
        /// `None`: there is no Python.
        fn new(lines: &[&str]) -> Option<StandIn> {
            if !Path::new(PYTHON).exists() {
                println!("not tested: there is no {PYTHON}");
                return None;
            }
            let directory = tempfile::tempdir().expect("a directory");
            let imports = "import os, signal, subprocess, sys, threading, time";
            let text = [&[imports], lines].concat().join("\n");
            std::fs::write(directory.path().join("ground.py"), text).expect("a file");
            Some(StandIn(directory))
        }

        fn start(&self, limit: Duration) -> Result<(Python, Network), NoAnswer> {
            Python::start(&[self.0.path().join("ground.py").display().to_string()], limit)
        }

        /// Starts it so that what hangs from now on is killed soon.
        fn up(&self) -> Python {
            let (mut python, _) = self.start(LONG).expect("a network");
            python.limit = SHORT;
            python
        }
    }

    #[test]
    fn a_start_that_hangs_is_tried_again() {
        let Some(hanging) = StandIn::new(&[HANG]) else { return };
        let Some(sound) = StandIn::new(&[UP, "sys.stdin.read()"]) else { return };
        let mut starts = 0;
        let started = persist(|| {
            starts += 1;
            if starts <= AGAIN { hanging.start(SHORT) } else { sound.start(LONG) }
        });
        started.expect("the last start is sound");
        assert_eq!(starts, AGAIN + 1);
    }

    #[test]
    fn a_start_that_always_hangs_is_a_failure() {
        let Some(hanging) = StandIn::new(&[HANG]) else { return };
        let mut starts = 0;
        let started = persist(|| {
            starts += 1;
            hanging.start(SHORT)
        });
        let why = started.err().expect("it hangs").0;
        assert_eq!(why, "start of the network: Mininet did not answer within 200ms and was killed");
        assert_eq!(starts, AGAIN + 1);
    }

    #[test]
    fn a_start_that_fails_is_not_tried_again() {
        for (line, told) in [
            ("sys.exit(1)", "Mininet has ended"),
            ("print('up', flush=True)", r#"Mininet says "up""#),
        ] {
            let Some(failing) = StandIn::new(&[line]) else { return };
            let mut starts = 0;
            let started = persist(|| {
                starts += 1;
                failing.start(LONG)
            });
            let why = started.err().expect("it fails").0;
            assert!(why.starts_with(told), "{why}");
            assert_eq!(starts, 1, "{line}");
        }
    }

    #[test]
    fn an_order_that_is_not_done_is_named() {
        let late = "link 1/1 up: Mininet did not answer within 200ms and was killed";
        for (line, limit, told) in [
            (HANG, SHORT, late),
            ("sys.exit(1)", LONG, "link 1/1 up: Mininet has ended"),
            ("print('error no such link', flush=True)", LONG, "link 1/1 up: no such link"),
        ] {
            let Some(stand_in) = StandIn::new(&[UP, "sys.stdin.readline()", line]) else { return };
            let mut python = stand_in.up();
            python.limit = limit;
            assert_eq!(python.order("link 1/1 up"), fail(told));
        }
        let Some(hanging) = StandIn::new(&[UP, HANG]) else { return };
        let mut python = hanging.up();
        assert_eq!(python.order("link 1/1 up"), fail(late));
        assert_eq!(python.order("port 1/2 up"), fail("port 1/2 up: Mininet has ended"));
    }

    #[test]
    fn a_stop_that_hangs_comes_to_its_end() {
        // One that holds out against all but the last resort, too.
        for stubborn in ["", "signal.signal(signal.SIGABRT, signal.SIG_IGN)"] {
            let lines = [stubborn, UP, "sys.stdin.read()", HANG];
            let Some(hanging) = StandIn::new(&lines) else { return };
            let python = hanging.up();
            let id = process(&python.child);
            drop(python);
            assert_eq!(kill(id, None), Err(Errno::ESRCH));
        }
    }

    #[test]
    fn no_shell_stays_when_mininet_is_killed() {
        // As Mininet begins them: in a session of its own, with something that runs in it.
        let shell = "subprocess.Popen(['sh', '-c', 'sleep 1000; true'], start_new_session=True)";
        let Some(hanging) = StandIn::new(&[shell, UP, HANG]) else { return };
        let mut python = hanging.up();
        assert!(python.order("link 1/1 up").is_err());
        // Standard output is at its end: nobody has it any more.
        assert_eq!(python.lines.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    }

    #[test]
    fn what_is_bounded_in_python_ends_and_says_where_it_was() {
        let path = format!("sys.path.insert(0, {:?})", folder().display().to_string());
        let lines = [
            "from types import ModuleType, SimpleNamespace",
            "node = ModuleType('mininet.node')",
            "shell = subprocess.Popen(['sh', '-c', 'sleep 1000; true'], start_new_session=True)",
            "node.Node = SimpleNamespace(outToNode={1: SimpleNamespace(shell=shell)})",
            "sys.modules.update({'mininet': ModuleType('mininet'), 'mininet.node': node})",
            &path,
            "from bounded import within",
            UP,
            "os.dup2(1, 2)",
            "with within(60, 'pass'): pass",
            "def where_it_hangs(): threading.Event().wait()",
            "with within(0.2, 'hang', lambda: print('cleaned', flush=True)): where_it_hangs()",
        ];
        let Some(hanging) = StandIn::new(&lines) else { return };
        let (mut python, _) = hanging.start(LONG).expect("a network");
        // Its output ends when the shell has ended, too.
        let told: Vec<String> = std::iter::from_fn(|| python.line().ok()).collect();
        let of = |wanted: &str| told.iter().position(|line| line.contains(wanted)).expect(wanted);
        assert_eq!(of("Mininet takes longer than 0.2 s to hang; it is here:"), 0, "{told:?}");
        assert!(of("in where_it_hangs") < of("cleaned"), "{told:?}");
        assert_eq!(python.child.wait().expect("an end").code(), Some(1));
    }
}

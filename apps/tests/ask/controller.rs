//! The controller under test, and ways to ask it.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const POLICY: &str = "umlaut: 1
switches: {s1: 0x1, s2: 0x2}
hosts:
  alice: {mac: \"00:00:00:00:00:01\", ip: 192.168.0.1, at: s1/1}
  bob: {mac: \"00:00:00:00:00:02\", ip: 192.168.0.2, at: s2/1}
  carol: {mac: \"00:00:00:00:00:03\", ip: 192.168.0.3, at: s1/2}
  eve: {mac: \"00:00:00:00:00:66\", ip: 192.168.0.66, at: s1/3}
slices:
  lab:
    description: Teaching lab
    members:
      - {host: alice, id: alice}
      - {host: bob, id: bob}
  guests:
    restrict_hosts: true
    members:
      - {port: s1/2, host: carol, id: carol-here}
filters:
  - {id: lab-speaks, slice: lab, match: {eth_type: ipv4}, action: allow}
links: [[s1/24, s2/24]]
";

pub(crate) struct Controller {
    pub(crate) child: Child,
    pub(crate) directory: TempDir,
    /// The log so far; kept being read, so that the pipe never fills.
    _log: std::thread::JoinHandle<()>,
}

impl Controller {
    pub(crate) fn start(lab: bool) -> Controller {
        let directory = tempfile::tempdir().unwrap();
        let policy = directory.path().join("policy.yaml");
        std::fs::write(&policy, POLICY).unwrap();
        Controller::start_with(lab, directory, &policy)
    }

    /// One for a policy file, named as it is from the root of the repository.
    pub(crate) fn start_with(lab: bool, directory: TempDir, policy: &Path) -> Controller {
        let mut child = Controller::command_with(directory.path(), policy)
            .args(["--lab", if lab { "emulated" } else { "none" }])
            .spawn()
            .unwrap();
        let (ready, started) = std::sync::mpsc::channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let _log = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.contains("control socket") {
                    let _ = ready.send(());
                }
            }
        });
        started.recv_timeout(PATIENCE).expect("the path is told at the start");
        Controller { child, directory, _log }
    }

    pub(crate) fn command(directory: &Path) -> Command {
        Controller::command_with(directory, &directory.join("policy.yaml"))
    }

    fn command_with(directory: &Path, policy: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_umlaut"));
        command
            .args(["run", "--listen", "127.0.0.1:0", "--socket"])
            .arg(directory.join("u.sock"))
            .arg(policy)
            // A lab of its own, whatever runs beside this test.
            .env("UMLAUT_LAB_DIR", directory.join("labs"))
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("u.sock")
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_umlaut"))
            .args(args)
            .env("UMLAUT_SOCKET", self.socket())
            .output()
            .unwrap()
    }

    pub(crate) fn text(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.text(&args)).unwrap()
    }

    /// Where switches connect.
    pub(crate) fn listening(&self) -> SocketAddr {
        let mut client = Client::connect(&self.socket());
        client.send(br#"{"umlaut":1,"ask":"controller"}"#);
        let about = client.line().unwrap();
        about["rows"][0]["listening"][0].as_str().unwrap().parse().unwrap()
    }

    /// Asks until an answer is as it must become.
    pub(crate) fn until(&self, args: &[&str], is: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.json(args);
            if is(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{args:?} stays {answer:#}");
        }
    }

    pub(crate) fn terminate(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap();
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn rows<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer[name].as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn find<'a>(answer: &'a Value, name: &str, key: &str, value: &str) -> &'a Value {
    let found = rows(answer, name).iter().find(|row| row[key] == value);
    found.unwrap_or_else(|| panic!("no {key} {value} in {answer:#}"))
}

/// A connection that speaks the protocol by hand.
pub(crate) struct Client(BufReader<UnixStream>);

impl Client {
    pub(crate) fn connect(path: &Path) -> Client {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client(BufReader::new(stream))
    }

    pub(crate) fn send(&mut self, line: &[u8]) {
        // The server may have closed already, having said why.
        let _ = self.0.get_ref().write_all(line);
        let _ = self.0.get_ref().write_all(b"\n");
    }

    pub(crate) fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
        }
    }
}

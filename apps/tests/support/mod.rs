//! The `umlaut` command as a child process, and switches that connect to it.

#![allow(dead_code, unreachable_pub, reason = "shared by several test binaries")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use umlaut_openflow::{DatapathId, PortNo};
use umlaut_testbed::{EmulatedSwitch, Output as FromSwitch, SwitchOptions};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long a switch listens before it looks at its clock again.
const LISTEN: Duration = Duration::from_millis(5);

pub const BINARY: &str = env!("CARGO_BIN_EXE_umlaut");

/// Runs the command to its end.
pub fn umlaut<S: AsRef<OsStr>>(args: &[S]) -> Output {
    Command::new(BINARY).args(args).output().unwrap()
}

/// A running `umlaut run` whose log is read. Dropped: killed and reaped.
pub struct Daemon {
    child: Child,
    lines: Receiver<Value>,
    seen: Vec<Value>,
}

impl Daemon {
    pub fn start<S: AsRef<OsStr>>(args: &[S]) -> Daemon {
        Daemon::start_with(args, &[])
    }

    /// With these variables in its environment.
    pub fn start_with<S: AsRef<OsStr>>(args: &[S], environment: &[(&str, &OsStr)]) -> Daemon {
        let mut child = Command::new(BINARY)
            .args(["run", "--log-format", "json"])
            .args(args)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Daemon { child, lines, seen: Vec::new() }
    }

    /// Waits for the next log line with this message, and returns its fields.
    pub fn told(&mut self, message: &str) -> Value {
        self.wait_for(message, |_| true)
    }

    /// Waits for the next log line with this message for which `good` is true of the fields.
    pub fn wait_for(&mut self, message: &str, good: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                let seen: Vec<String> = self.seen.iter().map(Value::to_string).collect();
                panic!("no {message:?} in the log:\n{}", seen.join("\n"));
            };
            self.seen.push(line.clone());
            let fields = &line["fields"];
            if fields["message"] == message && good(fields) {
                return fields.clone();
            }
        }
    }

    /// The lines that were read so far.
    pub fn seen(&self) -> &[Value] {
        &self.seen
    }

    /// The reason for which the next connection is refused.
    pub fn refusal(&mut self) -> String {
        let fields = self.told("connection ended before it was ready");
        fields["reason"].as_str().unwrap().to_owned()
    }

    /// The next port that it listens on.
    pub fn listening(&mut self) -> SocketAddr {
        self.told("listening")["addr"].as_str().unwrap().parse().unwrap()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Ends its standard input, as the end of this process would.
    pub fn end_input(&mut self) {
        self.child.stdin = None;
    }

    /// Waits for its end and returns the exit code.
    pub fn ended(self) -> Option<i32> {
        self.ended_with().0
    }

    /// Waits for its end and returns the exit code and the last line of its log.
    pub fn ended_with(mut self) -> (Option<i32>, Value) {
        // Its log ends when it does.
        let until = Instant::now() + PATIENCE;
        let mut last = Value::Null;
        while let Ok(line) =
            self.lines.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            last = line;
        }
        assert!(Instant::now() < until, "it does not end");
        (self.child.wait().unwrap().code(), last)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with a CA, a controller's certificate and some of switches.
pub struct Pki(pub PathBuf);

impl Pki {
    pub fn new(dir: &Path, switches: &[&str]) -> Pki {
        let pki = Pki(dir.to_owned());
        pki.run(&["init"]);
        pki.run(&["issue", "controller", "--for", "controller"]);
        for name in switches {
            pki.run(&["issue", name]);
        }
        pki
    }

    /// Runs `umlaut pki` there and returns what it prints.
    pub fn run(&self, args: &[&str]) -> String {
        let dir = self.0.to_str().unwrap();
        let output = umlaut(&[&["pki"], args, &["--dir", dir]].concat());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pki {args:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The arguments for a controller with these certificates.
    pub fn controller(&self) -> Vec<String> {
        let option =
            |option: &str, file| [option.to_owned(), self.file(file).to_str().unwrap().to_owned()];
        let options = [
            option("--tls-cert", "controller.pem"),
            option("--tls-key", "controller-key.pem"),
            option("--tls-ca", "ca.pem"),
        ];
        options.concat()
    }

    /// What a switch with this certificate speaks, or one without.
    pub fn switch(&self, name: Option<&str>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.file("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match name {
            None => config.with_no_client_auth(),
            Some(name) => {
                let certificate = self.file(&format!("{name}.pem"));
                let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
                let key = self.file(&format!("{name}-key.pem"));
                let key = PrivateKeyDer::from_pem_file(key).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        Arc::new(config)
    }
}

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// A switch connects, over TLS if there is a configuration for it, and is served until the
/// connection ends.
pub fn connect(address: SocketAddr, dpid: u64, tls: Option<Arc<ClientConfig>>) {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(LISTEN)).unwrap();
    let stream: Box<dyn Stream> = match tls {
        None => Box::new(socket),
        Some(config) => {
            let name = ServerName::try_from("controller").unwrap();
            let connection = ClientConnection::new(config, name).unwrap();
            Box::new(StreamOwned::new(connection, socket))
        }
    };
    std::thread::spawn(move || drive(stream, dpid));
}

fn drive(mut stream: Box<dyn Stream>, dpid: u64) {
    let mut switch = EmulatedSwitch::new(SwitchOptions::new(format!("s{dpid}"), DatapathId(dpid)));
    switch.add_port(PortNo(1), Instant::now());
    switch.connected(Instant::now());
    let mut buffer = vec![0; 1 << 16];
    loop {
        switch.poll(Instant::now());
        let mut outputs = Vec::new();
        switch.drain(&mut outputs);
        for output in outputs {
            if let FromSwitch::Control(bytes) = output
                && write_all(&mut *stream, &bytes).is_err()
            {
                return;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => switch.control_input(&buffer[..n], Instant::now()),
            Err(error) if is_patient(&error) => {}
            Err(_) => return,
        }
    }
}

fn is_patient(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// A write may have to read first, for the handshake, and that may take longer than once.
fn write_all(stream: &mut dyn Stream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(error) if is_patient(&error) => {}
            Err(error) => return Err(error),
        }
    }
    loop {
        match stream.flush() {
            Err(error) if is_patient(&error) => {}
            done => return done,
        }
    }
}

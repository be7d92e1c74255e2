//! An Open vSwitch of our own, on its dummy datapath: own directory, own database, no root, no
//! interfaces of the machine. Frames go in and out through sockets (two bytes of length before each).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tempfile::TempDir;
use umlaut_openflow::{Version, next_frame};

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// A process that ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A bridge under our control. The order of fields is that of dropping: the switch first.
pub(crate) struct OpenVswitch {
    control: TcpStream,
    received: Vec<u8>,
    appctl: UnixStream,
    ports: BTreeMap<u32, (UnixStream, Vec<u8>)>,
    _vswitchd: Process,
    _database: Process,
    _directory: TempDir,
}

/// What is missing to run Open vSwitch, if anything.
pub(crate) fn missing() -> Option<&'static str> {
    let runs = |program: &str| {
        let version = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    };
    let programs = ["ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl"];
    match programs.into_iter().find(|program| !runs(program)) {
        None if !Path::new(SCHEMA).exists() => Some(SCHEMA),
        missing => missing,
    }
}

impl OpenVswitch {
    /// Starts a bridge with these ports that speaks one version, and takes its connection.
    pub(crate) fn start(version: Version, ports: &[u32]) -> io::Result<OpenVswitch> {
        let directory = tempfile::Builder::new().prefix("umlaut").tempdir()?;
        let at = |name: &str| directory.path().join(name).display().to_string();
        let run = |program: &str, arguments: &[String]| -> io::Result<Command> {
            let mut command = Command::new(program);
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
            command.stderr(std::fs::File::options().create(true).append(true).open(at("errors"))?);
            for variable in ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"] {
                command.env(variable, directory.path());
            }
            Ok(command)
        };
        let finish = |program: &str, arguments: &[String]| -> io::Result<()> {
            let status = run(program, arguments)?.status()?;
            if status.success() {
                return Ok(());
            }
            let errors = std::fs::read_to_string(at("errors")).unwrap_or_default();
            Err(io::Error::other(format!("{program} {arguments:?}: {status}\n{errors}")))
        };
        let (conf, socket) = (at("conf.db"), at("db.sock"));
        finish("ovsdb-tool", &["create".into(), conf.clone(), SCHEMA.into()])?;
        let database = Process(
            run(
                "ovsdb-server",
                &[
                    format!("--remote=punix:{socket}"),
                    format!("--unixctl={}", at("db.ctl")),
                    "--no-chdir".into(),
                    conf,
                ],
            )?
            .spawn()?,
        );
        let vsctl = |wait: bool, commands: &[String]| {
            let mut arguments = vec![
                format!("--db=unix:{socket}"),
                "--retry".into(),
                format!("--timeout={}", PATIENCE.as_secs()),
            ];
            if !wait {
                arguments.push("--no-wait".into());
            }
            arguments.extend_from_slice(commands);
            finish("ovs-vsctl", &arguments)
        };
        vsctl(false, &["init".into()])?;
        let vswitchd = Process(
            run(
                "ovs-vswitchd",
                &[
                    "--enable-dummy".into(),
                    "--disable-system".into(),
                    format!("--unixctl={}", at("vswitchd.ctl")),
                    format!("unix:{socket}"),
                ],
            )?
            .spawn()?,
        );
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let protocol = match version {
            Version::V1_0 => "OpenFlow10",
            _ => "OpenFlow13",
        };
        let mut commands: Vec<String> = format!(
            "add-br br0 -- set bridge br0 datapath-type=dummy fail-mode=secure \
             protocols={protocol} other-config:disable-in-band=true \
             other-config:datapath-id=0000000000001234"
        )
        .split_whitespace()
        .map(str::to_owned)
        .collect();
        for port in ports {
            let path = at(&format!("p{port}"));
            let text = format!(
                "-- add-port br0 p{port} -- set Interface p{port} type=dummy \
                 ofport_request={port} options:pstream=punix:{path}"
            );
            commands.extend(text.split_whitespace().map(str::to_owned));
        }
        vsctl(true, &commands)?;
        let controller = format!("tcp:{}", listener.local_addr()?);
        vsctl(true, &["set-controller".into(), "br0".into(), controller])?;
        readable(&listener)?;
        let (control, _) = listener.accept()?;
        control.set_read_timeout(Some(PATIENCE))?;
        let appctl = UnixStream::connect(at("vswitchd.ctl"))?;
        appctl.set_read_timeout(Some(PATIENCE))?;
        let mut sockets = BTreeMap::new();
        for port in ports {
            let stream = UnixStream::connect(at(&format!("p{port}")))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            sockets.insert(*port, (stream, Vec::new()));
        }
        Ok(OpenVswitch {
            control,
            received: Vec::new(),
            appctl,
            ports: sockets,
            _vswitchd: vswitchd,
            _database: database,
            _directory: directory,
        })
    }

    /// Sends control bytes.
    pub(crate) fn tell(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.control.write_all(bytes)
    }

    /// Waits for the next message.
    pub(crate) fn hear(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(length) = next_frame(&self.received).map_err(io::Error::other)? {
                return Ok(self.received.drain(..length).collect());
            }
            let mut buffer = [0; 4096];
            match self.control.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => self.received.extend_from_slice(&buffer[..n]),
            }
        }
    }

    /// Forgets the datapath's cache of decisions, which otherwise lags behind the tables.
    pub(crate) fn purge(&mut self) -> io::Result<()> {
        // One request of JSON-RPC, one answer.
        self.appctl.write_all(br#"{"method":"revalidator/purge","params":[],"id":0}"#)?;
        let mut answers = serde_json::Deserializer::from_reader(&self.appctl).into_iter();
        let answer: Option<serde_json::Value> = answers.next().transpose()?;
        match answer.as_ref().and_then(|answer| answer.get("error")) {
            Some(serde_json::Value::Null) => Ok(()),
            _ => Err(io::Error::other(format!("revalidator/purge: {answer:?}"))),
        }
    }

    /// Puts a frame into a port.
    pub(crate) fn enter(&mut self, port: u32, frame: &[u8]) -> io::Result<()> {
        let (stream, _) = self.ports.get_mut(&port).ok_or(io::ErrorKind::NotFound)?;
        stream.write_all(&[&(frame.len() as u16).to_be_bytes()[..], frame].concat())
    }

    /// Waits for the next frame out of a port.
    pub(crate) fn leave(&mut self, port: u32) -> io::Result<Vec<u8>> {
        let (stream, received) = self.ports.get_mut(&port).ok_or(io::ErrorKind::NotFound)?;
        loop {
            if let [a, b, rest @ ..] = &received[..] {
                let length = usize::from(u16::from_be_bytes([*a, *b]));
                if rest.len() >= length {
                    return Ok(received.drain(..length + 2).skip(2).collect());
                }
            }
            let mut buffer = [0; 4096];
            match stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => received.extend_from_slice(&buffer[..n]),
            }
        }
    }
}

fn readable(listener: &TcpListener) -> io::Result<()> {
    let timeout = PollTimeout::from(PATIENCE.as_millis() as u16);
    match poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], timeout)? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

//! Frames into and out of network namespaces. Runtime.
//!
//! Frames are sent through raw packet sockets. They are read through `tcpdump`: the kernel takes
//! VLAN tags out of what it gives to packet sockets, and libpcap puts them back.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, send, socket,
};

use super::{Event, apart};
use crate::scenario::GroundError;

/// A packet socket on `eth0` of a namespace.
pub(crate) struct RawSocket(OwnedFd);

impl RawSocket {
    /// Opens it. A thread enters the namespace for that and ends there; the socket stays.
    pub(crate) fn open(namespace: &str) -> Result<RawSocket, GroundError> {
        let path = format!("/var/run/netns/{namespace}");
        let opened = std::thread::spawn(move || -> Result<OwnedFd, String> {
            let namespace = File::open(&path).map_err(|error| format!("{path}: {error}"))?;
            setns(&namespace, CloneFlags::CLONE_NEWNET).map_err(|e| format!("setns: {e}"))?;
            let mut interfaces = getifaddrs().map_err(|e| format!("getifaddrs: {e}"))?;
            let address = interfaces
                .find_map(|i| {
                    i.address.filter(|_| i.interface_name == "eth0")?.as_link_addr().copied()
                })
                .ok_or("no eth0")?;
            // Protocol 0: nothing is received here.
            let kind = SockType::Raw;
            let fd =
                socket(AddressFamily::Packet, kind, SockFlag::SOCK_CLOEXEC, None::<SockProtocol>)
                    .map_err(|e| format!("socket: {e}"))?;
            bind(fd.as_raw_fd(), &address).map_err(|e| format!("bind: {e}"))?;
            Ok(fd)
        });
        match opened.join() {
            Ok(Ok(fd)) => Ok(RawSocket(fd)),
            Ok(Err(error)) => Err(GroundError(error)),
            Err(_) => Err(GroundError("the thread that opens a socket failed".to_owned())),
        }
    }

    pub(crate) fn send(&self, frame: &[u8]) -> Result<(), GroundError> {
        match send(self.0.as_raw_fd(), frame, MsgFlags::empty()) {
            // The port is down, or is just coming up: the frame is lost as it would be in a cable.
            Ok(_) | Err(Errno::ENETDOWN | Errno::ENOBUFS) => Ok(()),
            Err(error) => Err(GroundError(format!("send: {error}"))),
        }
    }
}

/// A running `tcpdump` in a namespace. Dropped: killed and reaped.
pub(crate) struct Sniffer {
    child: Child,
}

/// The length of the file header of pcap, and of the header of each record.
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// Frames in full, and so many of them fit tcpdump's buffer that it need not run for seconds: each
/// takes a place of this length there.
const SNAP_LENGTH: &str = "2048";
/// The longest frame that is taken for one.
const FRAME_LIMIT: usize = 65_536;

impl Sniffer {
    /// Starts it for the host of this number; each frame that arrives becomes an event, and its end.
    pub(crate) fn start(
        namespace: &str,
        host: usize,
        events: Sender<Event>,
    ) -> Result<Sniffer, GroundError> {
        let mut child = apart(&mut Command::new("ip"))
            .args([
                "netns",
                "exec",
                namespace,
                "tcpdump",
                "-i",
                "eth0",
                "-Q",
                "in",
                "-n",
                "-s",
                SNAP_LENGTH,
            ])
            .args(["-U", "--immediate-mode", "-B", "8192", "-w", "-"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| GroundError(format!("tcpdump: {error}")))?;
        if let Some(stderr) = child.stderr.take() {
            let events = events.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    if line.contains("listening on") && events.send(Event::Listening).is_err() {
                        return;
                    }
                }
            });
        }
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                let mut pcap = BufReader::new(stdout);
                let mut header = [0; FILE_HEADER];
                if pcap.read_exact(&mut header).is_ok() {
                    // The magic number tells the byte order; we run where we read.
                    while let Some(frame) = record(&mut pcap) {
                        if events.send(Event::Frame(host, frame)).is_err() {
                            return;
                        }
                    }
                }
                // Who began it may have gone before.
                let _ = events.send(Event::Deaf(host));
            });
        }
        Ok(Sniffer { child })
    }
}

/// The next record of a pcap stream in this machine's byte order.
fn record(pcap: &mut impl Read) -> Option<Vec<u8>> {
    let mut header = [0; RECORD_HEADER];
    pcap.read_exact(&mut header).ok()?;
    let length = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]) as usize;
    if length > FRAME_LIMIT {
        return None;
    }
    let mut frame = vec![0; length];
    pcap.read_exact(&mut frame).ok()?;
    Some(frame)
}

impl Drop for Sniffer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

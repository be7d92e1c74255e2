//! Hostile peers on real connections of the running daemon: each loses at most its own connection, is
//! told why where the specification asks for it, and the switches beside it notice nothing.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use umlaut_openflow::{
    DatapathId, ErrorCode, ErrorMessage, Features, Header, Hello, Message, Version, Xid, decode,
    encode, next_frame,
};

/// How long an answer may take, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much memory may stay when hostile connections are gone. One connection reads into 64 KiB.
const MEMORY: u64 = 32 << 20;

/// `umlaut run`, ended with the value.
struct Daemon {
    child: Child,
    address: SocketAddr,
}

impl Daemon {
    fn start() -> Daemon {
        let mut child = Command::new(env!("CARGO_BIN_EXE_umlaut"))
            .args(["run", "--app", "hub", "--listen", "127.0.0.1:0", "--log-format", "json"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = log
            .by_ref()
            .map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap())
            .find(|line| line["fields"]["message"] == "listening")
            .and_then(|line| line["fields"]["addr"].as_str().unwrap().parse().ok())
            .expect("a line that says where it listens");
        // A full pipe would stop the daemon.
        std::thread::spawn(move || log.for_each(drop));
        Daemon { child, address }
    }

    /// Its resident memory in bytes.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    fn connect(&self) -> Peer {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Peer { stream, input: BytesMut::new(), version: Version::V1_3 }
    }

    /// A switch with its handshake done.
    fn switch(&self, version: Version, dpid: u64) -> Peer {
        let mut peer = self.connect();
        peer.version = version;
        peer.hello(Hello::default());
        let mut barriers = 0;
        while barriers < 2 {
            let (header, message) = peer.receive().expect("the handshake goes on");
            let answer = match message {
                Message::FeaturesRequest => Message::FeaturesReply(Features {
                    dpid: DatapathId(dpid),
                    n_buffers: 0,
                    n_tables: 1,
                    auxiliary_id: 0,
                    capabilities: 0,
                    actions: 0,
                    ports: Vec::new(),
                }),
                Message::PortDescriptionRequest => {
                    Message::PortDescriptionReply { ports: Vec::new(), more: false }
                }
                Message::FlowStatsRequest(_) => {
                    Message::FlowStatsReply { flows: Vec::new(), more: false }
                }
                Message::BarrierRequest => {
                    barriers += 1;
                    Message::BarrierReply
                }
                _ => continue,
            };
            peer.send(header.xid, &answer);
        }
        peer
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The switch's end of a connection.
struct Peer {
    stream: TcpStream,
    input: BytesMut,
    version: Version,
}

impl Peer {
    fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn send(&mut self, xid: Xid, message: &Message<'_>) {
        let mut out = BytesMut::new();
        encode(self.version, xid, message, &mut out).unwrap();
        self.write(&out);
    }

    fn hello(&mut self, hello: Hello) {
        self.send(Xid(1), &Message::Hello(hello));
    }

    /// The next message, or `None` when the connection is closed.
    fn receive(&mut self) -> Option<(Header, Message<'static>)> {
        loop {
            if let Some(length) = next_frame(&self.input).unwrap() {
                let (header, message) = decode(&self.input[..length]).unwrap();
                let message = message.into_owned();
                self.input.advance(length);
                return Some((header, message));
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(n) => self.input.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no answer: {error}"),
            }
        }
    }

    /// The next error.
    fn error(&mut self) -> Option<(Header, ErrorMessage<'static>)> {
        loop {
            match self.receive()? {
                (header, Message::Error(error)) => return Some((header, error)),
                _ => continue,
            }
        }
    }

    /// Whether an echo comes back: whatever was sent before has been dealt with.
    fn is_alive(&mut self) -> bool {
        let payload = b"still there?";
        self.send(Xid(77), &Message::EchoRequest(payload[..].into()));
        loop {
            match self.receive() {
                Some((_, Message::EchoReply(data))) => return data[..] == payload[..],
                Some(_) => continue,
                None => return false,
            }
        }
    }

    /// Reads on until the connection is closed.
    fn wait_closed(&mut self) {
        while self.receive().is_some() {}
    }
}

/// A message of this version and type with xid 9.
fn message(version: Version, kind: u8, hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|c| !c.is_ascii_whitespace()).collect();
    let body = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
    let mut bytes = vec![version.0, kind, 0, 0, 0, 0, 0, 9];
    bytes.extend(body);
    let length = bytes.len() as u16;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

#[test]
fn a_message_that_does_not_fit_is_answered_with_its_error_and_the_switch_stays() {
    let daemon = Daemon::start();
    let zeros = "00".repeat(64);
    for (number, (version, rows)) in [
        (
            Version::V1_3,
            vec![
                // Packet-in: cut short; a match of another type; a field of another width.
                (10, "ffffffff 0000".to_owned(), ErrorCode::new(1, 6)),
                (10, format!("{} 0000 0004 00000000 0000", &zeros[..32]), ErrorCode::new(4, 0)),
                (10, format!("{} 0001 0009 80000001 00 0000", &zeros[..32]), ErrorCode::new(4, 1)),
                // A type that there is not.
                (222, zeros.clone(), ErrorCode::new(1, 1)),
                // A flow-removed and a port status with bytes behind their end.
                (11, format!("{} 0001 0004 00000000 00", &zeros[..80]), ErrorCode::new(1, 6)),
                (12, format!("{zeros} {} 00", &zeros[..16]), ErrorCode::new(1, 6)),
                // Multiparts: an entry, an instruction and a table property of length zero.
                (19, format!("0001 0000 00000000 {}", &zeros[..96]), ErrorCode::new(1, 6)),
                (
                    19,
                    format!(
                        "0001 0000 00000000 0040 {} 0001 0004 00000000 0001 0000 00000000",
                        &zeros[..92]
                    ),
                    ErrorCode::new(3, 7),
                ),
                (
                    19,
                    format!("000c 0000 00000000 0048 {} 0000 0000 00000000", &zeros[..124]),
                    ErrorCode::new(13, 3),
                ),
            ],
        ),
        (
            Version::V1_0,
            vec![
                (10, "ffffffff 0040".to_owned(), ErrorCode::new(1, 6)),
                (12, zeros.clone(), ErrorCode::new(1, 6)),
                (30, "00".to_owned(), ErrorCode::new(1, 1)),
                // A flow entry with an action of length zero.
                (
                    17,
                    format!("0001 0000 0060 {zeros} {} 0000 0000 00000000", &zeros[..44]),
                    ErrorCode::new(2, 1),
                ),
            ],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut switch = daemon.switch(version, number as u64 + 1);
        for (kind, body, code) in rows {
            let broken = message(version, kind, &body);
            switch.write(&broken);
            let (header, error) = switch.error().expect("an answer");
            assert_eq!((header.version, header.xid), (version, Xid(9)), "{body}");
            assert_eq!(error.code, code, "type {kind} of {version}: {body}");
            assert_eq!(error.data[..], broken[..broken.len().min(64)], "{body}");
        }
        assert!(switch.is_alive(), "{version}");
    }
}

#[test]
fn a_switch_that_sends_nothing_but_broken_messages_is_left() {
    let daemon = Daemon::start();
    let mut switch = daemon.switch(Version::V1_3, 1);
    let broken = message(Version::V1_3, 10, "ffffffff");
    for _ in 0..64 {
        // The connection may be closed in between.
        if switch.stream.write_all(&broken).is_err() {
            break;
        }
    }
    switch.wait_closed();
    assert!(daemon.switch(Version::V1_3, 1).is_alive());
}

#[test]
fn who_speaks_no_common_version_is_told_so() {
    let daemon = Daemon::start();
    let failed = ErrorCode::new(0, 0);
    for (version, hello) in [
        (Version::V1_3, Hello::offering(&[Version::V1_4, Version::V1_5])),
        (Version::V1_1, Hello::default()),
        (Version::V1_2, Hello::default()),
        (Version(0), Hello::default()),
    ] {
        let mut peer = daemon.connect();
        peer.version = version;
        peer.hello(hello);
        let (_, error) = peer.error().expect("hello failed");
        assert_eq!(error.code, failed, "{version}");
        peer.wait_closed();
    }
    // A later version without a bitmap speaks ours too (1.3.5 §6.3.1).
    let mut peer = daemon.connect();
    peer.version = Version::V1_5;
    peer.hello(Hello::default());
    let (header, _) = peer.receive().expect("our hello");
    assert_eq!(header.version, Version::V1_3);
    assert!(matches!(peer.receive(), Some((_, Message::FeaturesRequest))));
    // Once agreed, another version is a bad request.
    let mut switch = daemon.switch(Version::V1_3, 1);
    switch.write(&message(Version::V1_0, 18, ""));
    let (_, error) = switch.error().expect("bad version");
    assert_eq!(error.code, ErrorCode::new(1, 0));
    switch.wait_closed();
}

#[test]
fn a_byte_at_a_time_is_as_good_as_a_message() {
    let daemon = Daemon::start();
    let mut switch = daemon.switch(Version::V1_3, 1);
    let mut echo = BytesMut::new();
    for number in 0..40u8 {
        encode(
            Version::V1_3,
            Xid(number.into()),
            &Message::EchoRequest(vec![number].into()),
            &mut echo,
        )
        .unwrap();
    }
    for byte in &echo {
        switch.write(&[*byte]);
    }
    let mut answered = 0u8;
    while answered < 40 {
        if let (header, Message::EchoReply(data)) = switch.receive().expect("an answer") {
            assert_eq!((header.xid, &data[..]), (Xid(answered.into()), &[answered][..]));
            answered += 1;
        }
    }
}

#[test]
fn errors_in_errors_up_to_the_longest_message_are_nothing_special() {
    let daemon = Daemon::start();
    let mut switch = daemon.switch(Version::V1_3, 1);
    let mut nested = Vec::new();
    while nested.len() + 12 <= 65_535 {
        let length = 65_532 - nested.len() as u16;
        nested.extend([4, 1]);
        nested.extend(length.to_be_bytes());
        nested.extend([0, 0, 0, 9, 0, 1, 0, 6]);
    }
    let before = daemon.memory();
    for _ in 0..100 {
        switch.write(&nested);
    }
    assert!(switch.is_alive());
    assert!(daemon.memory() < before + MEMORY);
}

/// Numbers that differ, the same in every run.
struct Numbers(u64);

impl Numbers {
    /// A number below `n` (splitmix64).
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % n
    }

    /// What a stranger may send: noise, a header that lies, a hello and then noise.
    fn garbage(&mut self) -> Vec<u8> {
        let size = self.below(300);
        let noise: Vec<u8> = (0..size).map(|_| self.below(256) as u8).collect();
        let head = match self.below(6) {
            0 => vec![],
            1 => vec![4, 0, 0, 0, 0, 0, 0, 0],
            2 => vec![4, 0, 0, 7],
            3 => vec![4, 10, 0xff, 0xff, 0, 0, 0, 1],
            4 => vec![4, 0, 0, 8, 0, 0, 0, 1, 4, self.below(40) as u8, 0, 32, 0, 0, 0, 2],
            _ => b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        };
        [head, noise].concat()
    }
}

#[test]
fn garbage_by_the_thousand_costs_only_its_own_connections() {
    const STRANGERS: u64 = 2000;
    const AT_ONCE: u64 = 4;
    let daemon = Daemon::start();
    let mut switch = daemon.switch(Version::V1_3, 1);
    assert!(switch.is_alive());
    let before = daemon.memory();
    std::thread::scope(|scope| {
        for seed in 0..AT_ONCE {
            let daemon = &daemon;
            scope.spawn(move || {
                let mut numbers = Numbers(seed);
                for _ in 0..STRANGERS / AT_ONCE {
                    let mut peer = daemon.connect();
                    // It may be closed before all is written.
                    let _ = peer.stream.write_all(&numbers.garbage());
                    let _ = peer.stream.shutdown(Shutdown::Write);
                    let mut rest = Vec::new();
                    if let Err(error) = peer.stream.read_to_end(&mut rest) {
                        let kind = error.kind();
                        assert_eq!(kind, io::ErrorKind::ConnectionReset, "not closed: {error}");
                    }
                }
            });
        }
    });
    assert!(switch.is_alive(), "the switch beside them stays");
    assert!(daemon.switch(Version::V1_0, 2).is_alive(), "and another comes in");
    assert!(daemon.memory() < before + MEMORY, "{} -> {}", before, daemon.memory());
}

#[test]
fn strangers_that_say_nothing_leave_room_for_switches() {
    let daemon = Daemon::start();
    let silent: Vec<Peer> = (0..300).map(|_| daemon.connect()).collect();
    // Half of a header each.
    for peer in &silent {
        let mut stream = &peer.stream;
        stream.write_all(&[4, 0, 0]).unwrap();
    }
    assert!(daemon.switch(Version::V1_3, 1).is_alive());
    // After the time for a handshake they are left.
    for mut peer in silent {
        peer.wait_closed();
    }
}

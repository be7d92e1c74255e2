//! A responder that decides nothing: every packet-in is answered by the same flow-mod. What it
//! reaches is what generator and socket allow; controllers are measured against it. Runtime.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use umlaut_openflow::{
    Action, EncodeError, FlowMod, FlowModFlags, Hello, MacAddr, Match, Message, PacketOut, PortNo,
    Version, Xid, build, decode, encode,
};

use super::replies::{Told, told};
use super::wire::{READ_BYTES, Reading, Wire};

/// How often it is looked whether to stop.
const STOP_CHECK: Duration = Duration::from_millis(50);
/// Room for the rest of a message before what is read.
const MESSAGE: usize = 64 << 10;
/// The event of the listening socket.
const LISTENER: u64 = u64::MAX;
/// A switch that does not read has at most this much waiting. It is not read from meanwhile, so that
/// TCP holds it back.
const HELD_BYTES: usize = 1 << 20;

/// What it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Canned {
    /// Whether a packet-out with a frame follows each flow-mod, as many bytes as a controller sends
    /// for switches without buffers.
    pub packet_outs: bool,
}

/// What it has answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CannedCounts {
    /// Packet-ins.
    pub packet_ins: u64,
    /// Flow-removed messages, which have no answer.
    pub flow_removed: u64,
}

/// The answers in one version.
struct Answers {
    version: Version,
    packet_in: Vec<u8>,
    features_request: Vec<u8>,
}

impl Answers {
    fn new(version: Version, canned: Canned) -> Result<Answers, EncodeError> {
        let actions = || vec![Action::output(PortNo(1))];
        let entry = FlowMod::add(Match::new().in_port(PortNo(1)))
            .timeouts(60, 0)
            .flags(FlowModFlags::SEND_FLOW_REM)
            .apply(actions());
        let mut packet_in = BytesMut::new();
        encode(version, Xid(0), &Message::FlowMod(entry), &mut packet_in)?;
        if canned.packet_outs {
            let frame = build::ethernet(MacAddr([2; 6]), MacAddr([2; 6]), &[], 0x0800, &[0; 46]);
            let out = PacketOut {
                buffer_id: None,
                in_port: PortNo(1),
                actions: actions().into(),
                data: frame.into(),
            };
            encode(version, Xid(0), &Message::PacketOut(out), &mut packet_in)?;
        }
        let mut features_request = BytesMut::new();
        encode(version, Xid(1), &Message::FeaturesRequest, &mut features_request)?;
        Ok(Answers {
            version,
            packet_in: packet_in.to_vec(),
            features_request: features_request.to_vec(),
        })
    }
}

/// One switch.
struct Peer {
    wire: Wire,
    /// Which answers it gets; `None` until it has said hello.
    answers: Option<usize>,
    writes: bool,
}

/// Answers switches until `stop` is true. Connections that break are left.
///
/// # Errors
/// The system gives no epoll, or the listener fails.
pub fn respond(
    listener: &TcpListener,
    canned: Canned,
    stop: &AtomicBool,
) -> io::Result<CannedCounts> {
    let answers = [Version::V1_0, Version::V1_3].map(|version| Answers::new(version, canned));
    let mut known = Vec::new();
    for answers in answers {
        known.push(answers.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?);
    }
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut responder = Responder {
        epoll,
        known,
        peers: Vec::new(),
        buffer: vec![0; READ_BYTES + MESSAGE],
        counts: CannedCounts::default(),
    };
    let timeout = EpollTimeout::try_from(STOP_CHECK).unwrap_or(EpollTimeout::ZERO);
    let mut events = [EpollEvent::empty(); 256];
    while !stop.load(Ordering::Relaxed) {
        let count = match responder.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(nix::Error::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        for event in &events[..count] {
            match event.data() {
                LISTENER => responder.accept(listener)?,
                index => responder.serve(index as usize),
            }
        }
    }
    Ok(responder.counts)
}

struct Responder {
    epoll: Epoll,
    known: Vec<Answers>,
    /// Never shorter: a place is that of its events.
    peers: Vec<Option<Peer>>,
    buffer: Vec<u8>,
    counts: CannedCounts,
}

impl Responder {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            match listener.accept() {
                Ok((stream, _)) => self.greet(stream)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Whoever connected has gone again.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn greet(&mut self, stream: TcpStream) -> io::Result<()> {
        let mut wire = Wire::new(stream)?;
        let hello = Message::Hello(Hello::offering(&[Version::V1_0, Version::V1_3]));
        let mut bytes = BytesMut::new();
        // A hello can be said in any version.
        if encode(Version::V1_3, Xid(1), &hello, &mut bytes).is_ok() {
            wire.out().extend_from_slice(&bytes);
        }
        let place = self.peers.len() as u64;
        self.epoll.add(&wire.stream, EpollEvent::new(EpollFlags::EPOLLIN, place))?;
        self.peers.push(Some(Peer { wire, answers: None, writes: false }));
        self.serve(place as usize);
        Ok(())
    }

    /// Reads, answers, writes; leaves a peer that has gone.
    fn serve(&mut self, index: usize) {
        let Some(place) = self.peers.get_mut(index) else { return };
        let Some(peer) = place else { return };
        let served =
            turn(peer, index, &self.epoll, &self.known, &mut self.buffer, &mut self.counts);
        if !matches!(served, Ok(true)) {
            *place = None;
        }
    }
}

/// False: the peer has gone.
fn turn(
    peer: &mut Peer,
    index: usize,
    epoll: &Epoll,
    known: &[Answers],
    buffer: &mut [u8],
    counts: &mut CannedCounts,
) -> io::Result<bool> {
    let Peer { wire, answers, .. } = peer;
    if wire.waiting() < HELD_BYTES {
        let read = wire.read(buffer, |message, out| match (told(message), &answers) {
            (Told::PacketIn, Some(version)) => {
                counts.packet_ins += 1;
                out.extend_from_slice(&known[*version].packet_in);
            }
            (Told::FlowRemoved, _) => counts.flow_removed += 1,
            _ => other(message, known, answers, out),
        })?;
        if read == Reading::End {
            return Ok(false);
        }
    }
    let done = wire.flush()?;
    if peer.writes == done {
        peer.writes = !done;
        let mut wanted = EpollFlags::empty();
        wanted.set(EpollFlags::EPOLLIN, wire.waiting() < HELD_BYTES);
        wanted.set(EpollFlags::EPOLLOUT, !done);
        epoll.modify(&wire.stream, &mut EpollEvent::new(wanted, index as u64))?;
    }
    Ok(true)
}

/// Hello and echo; anything else has no answer.
fn other(message: &[u8], known: &[Answers], answers: &mut Option<usize>, out: &mut Vec<u8>) {
    let Ok((header, message)) = decode(message) else { return };
    match message {
        Message::Hello(hello) if answers.is_none() => {
            let has = |version: &Version| match &hello.versions {
                Some(words) => words.first().is_some_and(|word| word >> version.0 & 1 == 1),
                None => *version <= header.version,
            };
            *answers = known.iter().rposition(|answers| has(&answers.version));
            if let Some(version) = *answers {
                out.extend_from_slice(&known[version].features_request);
            }
        }
        Message::EchoRequest(data) => {
            let mut bytes = BytesMut::new();
            if encode(header.version, header.xid, &Message::EchoReply(data), &mut bytes).is_ok() {
                out.extend_from_slice(&bytes);
            }
        }
        _ => {}
    }
}

//! One connection: a step is a read, turns, and a write, each called for by its worker, which calls for
//! those of other connections between. Runtime.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use bytes::Buf;
use tokio::sync::OwnedSemaphorePermit;

use super::stream::{Read, Stream};
use crate::app::Policy;
use crate::buffers::Buffers;
use crate::session::Session;
use crate::shared::Shared;

/// How long the last bytes of a connection to be closed may take.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Turns run before other connections get their chance.
const TURNS: usize = 4;

/// Bytes that are soon done with: messages of a switch that has learned of a host or two.
const LITTLE_BYTES: usize = 2 << 10;

/// How much a connection has to do in a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Work {
    Little,
    /// So much that others should not wait for it, or nobody knows: a ring may be of a new policy, by
    /// which all of a switch's paths are decided again.
    Much,
}

/// What a connection waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// Nothing but that others have had their step.
    Step,
    /// Its socket, a ring, or this time.
    Wait(Option<Instant>),
    /// Nothing any more: it has ended.
    Ended,
}

/// A connection that is served.
pub(super) struct Connection<P: Policy> {
    stream: Stream,
    session: Session<P>,
    /// Whether the socket may have something to read.
    readable: bool,
    /// How many bytes the last step has read.
    said: usize,
    /// Whether the other end sends nothing more, which a read tells that follows the last bytes.
    ends: bool,
    /// Why it is at its end, if a read told that.
    broken: Option<String>,
    /// Whether the session has more to do with what it has.
    more: bool,
    /// Whether somebody rang for it.
    rung: bool,
    /// Whether the controller ends.
    stops: bool,
    /// Until when what is left of output may take, once the session is closed.
    until: Option<Instant>,
    _place: OwnedSemaphorePermit,
}

impl<P: Policy> Connection<P> {
    /// A connection whose first step is due.
    pub(super) fn new(
        stream: Stream,
        session: Session<P>,
        place: OwnedSemaphorePermit,
    ) -> Connection<P> {
        // What came before it was asked for is told by no event.
        let readable = true;
        Connection {
            stream,
            session,
            readable,
            said: 0,
            ends: false,
            broken: None,
            more: false,
            rung: false,
            stops: false,
            until: None,
            _place: place,
        }
    }

    /// Who is at the other end.
    pub(super) fn peer(&self) -> &str {
        &self.session.origin().peer
    }

    pub(super) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// The socket may have something to read; if it `ends`, nothing more comes after that.
    pub(super) fn may_read(&mut self, ends: bool) {
        self.readable = true;
        self.ends |= ends;
    }

    /// Somebody rang: there is something in its mailbox, or for all.
    pub(super) fn ring(&mut self) {
        self.rung = true;
    }

    /// The controller ends: so does this with its next step.
    pub(super) fn stop(&mut self) {
        self.stops = true;
    }

    /// It cannot be served, for this reason, and ends with its next step.
    pub(super) fn fail(&mut self, reason: &str) {
        self.session.close(reason);
    }

    /// Begins a step: reads once, so many bytes, if there may be something and the session has done with
    /// what it has. Returns how much there is to do.
    #[inline]
    pub(super) fn read(&mut self, bytes: usize, buffers: &mut Buffers) -> Work {
        self.session.borrow(buffers);
        let rung = std::mem::take(&mut self.rung);
        self.said = 0;
        if self.more || !self.readable || self.session.closed().is_some() {
            return Work::Much;
        }
        match self.stream.try_read(self.session.room(bytes)) {
            Ok(Read::Some { bytes, more }) => {
                self.session.received(bytes);
                self.readable = more || self.ends;
                self.said = bytes;
                return if rung || bytes > LITTLE_BYTES { Work::Much } else { Work::Little };
            }
            // A part of a record, behind which there may be the end that an event has told with it.
            Ok(Read::Nothing { more }) => self.readable = more || self.ends,
            Ok(Read::End) => self.broken = Some("closed by the switch".to_owned()),
            Err(error) => self.broken = Some(error.to_string()),
        }
        if rung { Work::Much } else { Work::Little }
    }

    /// How many bytes the read that began this step has got.
    #[inline]
    pub(super) fn said(&self) -> usize {
        self.said
    }

    /// Whether there is a newer World to note, by which all of a switch's paths may be decided again.
    #[inline]
    pub(super) fn is_outdated(&self, shared: &Shared<P>) -> bool {
        self.session.is_outdated(shared)
    }

    /// Goes on with the step: runs what follows from what was read.
    #[inline]
    pub(super) fn turns(&mut self, shared: &Shared<P>) {
        if self.broken.is_some() {
            return;
        }
        // What applications sent last is in the mailbox, which is bounded.
        let mut left = if self.stops { usize::MAX } else { TURNS };
        loop {
            self.more = self.session.turn(Instant::now(), shared);
            left -= 1;
            if !self.more || left == 0 {
                break;
            }
        }
        if self.stops {
            self.session.close("the controller ends");
        }
    }

    /// Ends the step: writes as much as the socket takes.
    #[inline]
    pub(super) fn write(&mut self, buffers: &mut Buffers, shared: &Shared<P>) -> Next {
        let next = self.write_and_see(shared);
        self.session.give_back(buffers);
        next
    }

    #[inline]
    fn write_and_see(&mut self, shared: &Shared<P>) -> Next {
        if let Some(reason) = self.broken.take() {
            return self.end(&reason, shared);
        }
        if let Err(error) = self.write_output() {
            return self.end(&error.to_string(), shared);
        }
        if self.session.closed().is_some() {
            return self.last_words(shared);
        }
        // What a switch that storms sends is always there to be read: others go first.
        match self.more || self.readable {
            true => Next::Step,
            false => Next::Wait(self.session.deadline()),
        }
    }

    /// Writes as much as the socket takes now. It tells when it takes the rest.
    #[inline]
    fn write_output(&mut self) -> io::Result<()> {
        // Early output is followed by the switch's own: the loop comes to both.
        while !self.session.output().is_empty() {
            match self.stream.try_write(self.session.output()) {
                Ok(n) => self.session.output().advance(n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.stream.try_flush()
    }

    /// Sends what is left, but no longer than it may take: whether it arrives or not, it ends.
    #[cold]
    fn last_words(&mut self, shared: &Shared<P>) -> Next {
        let until = *self.until.get_or_insert_with(|| Instant::now() + LAST_WORDS);
        if self.session.output().is_empty() {
            self.stream.finish();
        }
        let flushed = self.stream.try_flush().is_err() || self.stream.is_flushed();
        if flushed && self.session.output().is_empty() || until <= Instant::now() {
            return self.end("", shared);
        }
        Next::Wait(Some(until))
    }

    /// Leaves the directory, for this reason if the session has none of its own.
    #[cold]
    #[inline(never)]
    pub(super) fn end(&mut self, reason: &str, shared: &Shared<P>) -> Next {
        self.session.end(reason, Instant::now(), shared);
        Next::Ended
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;

    use bytes::BytesMut;
    use tokio::sync::Semaphore;
    use umlaut_openflow::{Hello, Message, Version, Xid, encode};

    use super::super::stream::SHARED_READ_BYTES as READ_BYTES;
    use super::super::stream::tests::{encrypted, records};
    use super::*;
    use crate::apps::Apps;
    use crate::mailbox::{Mailbox, Waker};
    use crate::origin::Origin;
    use crate::session::MESSAGES_PER_TURN;
    use crate::shared::Seed;
    use crate::view::Unobserved;

    const LIMIT: Duration = Duration::from_secs(20);

    struct Unwoken;

    impl Waker for Unwoken {
        fn wake(&self) {}
    }

    /// A connection whose other end has sent this, all of which has arrived.
    fn told(bytes: &[u8]) -> (Connection<()>, Shared<()>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, from) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        peer.write_all(bytes).unwrap();
        let until = Instant::now() + LIMIT;
        while arrived(&socket) < bytes.len() {
            assert!(Instant::now() < until, "it has not arrived");
            std::thread::yield_now();
        }
        let stream = Stream::Plain(mio::net::TcpStream::from_std(socket));
        let (connection, shared) = connection(stream, from.to_string());
        (connection, shared, peer)
    }

    fn connection(stream: Stream, peer: String) -> (Connection<()>, Shared<()>) {
        let seed = Seed { lldp_key: [1; 16], epoch: 1 };
        let now = Instant::now();
        let shared = Shared::new(Apps::new(), (), seed, Box::new(Unobserved), now);
        let origin = Origin { peer, address: None, certificate: None };
        let mailbox = Arc::new(Mailbox::new(Box::new(Unwoken)));
        let session = Session::new(shared.next_session(), mailbox, origin, &shared, now);
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        (Connection::new(stream, session, place), shared)
    }

    /// Bytes that wait to be read.
    fn arrived(socket: &TcpStream) -> usize {
        socket.peek(&mut vec![0; 1 << 20]).unwrap_or(0)
    }

    fn left(connection: &mut Connection<()>) -> usize {
        connection.stream().socket().peek(&mut vec![0; 1 << 20]).unwrap_or(0)
    }

    fn step(connection: &mut Connection<()>, buffers: &mut Buffers, shared: &Shared<()>) -> Next {
        connection.read(READ_BYTES, buffers);
        connection.turns(shared);
        connection.write(buffers, shared)
    }

    fn append(bytes: &mut BytesMut, message: &Message<'_>) {
        encode(Version::V1_3, Xid(7), message, bytes).unwrap();
    }

    #[test]
    fn a_step_reads_once_and_only_when_what_was_read_is_done_with() {
        const ECHOES: usize = 8 * READ_BYTES / 4 / 8;
        let mut bytes = BytesMut::new();
        append(&mut bytes, &Message::Hello(Hello::default()));
        for _ in 0..ECHOES {
            append(&mut bytes, &Message::EchoRequest(Vec::new().into()));
        }
        let (mut connection, shared, mut peer) = told(&bytes);
        let mut buffers = Buffers::new();
        let mut unread = bytes.len();
        let (mut reads, mut full) = (0, false);
        let last = loop {
            let next = step(&mut connection, &mut buffers, &shared);
            let now = left(&mut connection);
            assert!(now == unread || now == unread.saturating_sub(READ_BYTES));
            assert!(!full || now == unread, "twice as many messages as a step has turns for");
            full = unread - now == READ_BYTES;
            reads += usize::from(now < unread);
            unread = now;
            if next != Next::Step {
                break next;
            }
        };
        assert!(matches!(last, Next::Wait(Some(_))), "{last:?}");
        assert_eq!((unread, reads), (0, bytes.len().div_ceil(READ_BYTES)));
        // All was answered: hello, a request for features, the echoes.
        drop(connection);
        let mut answers = Vec::new();
        peer.read_to_end(&mut answers).unwrap();
        assert_eq!(answers[answers.len() - 8 * ECHOES..][..2], [4, 3]);
    }

    /// What switches of one thread say lies in the same memory, one after the other.
    #[test]
    fn what_is_cut_is_put_together_with_its_own_and_answered_to_its_own() {
        let mut greeting = BytesMut::new();
        append(&mut greeting, &Message::Hello(Hello::default()));
        let mut buffers = Buffers::new();
        let mut switches: Vec<_> = (0..3).map(|_| told(&greeting)).collect();
        let words: Vec<BytesMut> = (0..3u8)
            .map(|number| {
                let mut words = BytesMut::new();
                for length in [0, 1, 5, 900, 3_000] {
                    append(&mut words, &Message::EchoRequest(vec![number; length].into()));
                }
                words
            })
            .collect();
        for (connection, shared, _) in &mut switches {
            step(connection, &mut buffers, shared);
        }
        // Cut at every place, but for those within what is long.
        let (mut at, mut sent) = (0, [0; 3]);
        while sent.iter().zip(&words).any(|(sent, words)| *sent < words.len()) {
            at += 1;
            let number = at % 3;
            let ((connection, shared, peer), words) = (&mut switches[number], &words[number]);
            let more = [1, 2, 3, 7, 11, 700][at / 3 % 6].min(words.len() - sent[number]);
            if more == 0 {
                continue;
            }
            peer.write_all(&words[sent[number]..][..more]).unwrap();
            sent[number] += more;
            let until = Instant::now() + LIMIT;
            while left(connection) < more {
                assert!(Instant::now() < until, "it has not arrived");
                std::thread::yield_now();
            }
            connection.may_read(false);
            step(connection, &mut buffers, shared);
        }
        // More than a step has turns for: what is left are whole messages.
        const MANY: usize = TURNS * MESSAGES_PER_TURN + 100;
        let many: Vec<u8> = [4, 2, 0, 8, 0, 0, 0, 7].repeat(MANY);
        for (connection, _, peer) in &mut switches {
            peer.write_all(&many).unwrap();
            let until = Instant::now() + LIMIT;
            while left(connection) < many.len() {
                assert!(Instant::now() < until, "it has not arrived");
                std::thread::yield_now();
            }
            connection.may_read(false);
        }
        for wanted in [true, false] {
            for (connection, shared, _) in &mut switches {
                connection.read(2 * READ_BYTES, &mut buffers);
                connection.turns(shared);
                let next = connection.write(&mut buffers, shared);
                assert_eq!(next == Next::Step, wanted);
            }
        }
        let words = words.into_iter().map(|mut words| {
            words.extend_from_slice(&many);
            words
        });
        let words: Vec<BytesMut> = words.collect();
        for (number, (connection, _, mut peer)) in switches.into_iter().enumerate() {
            drop(connection);
            let mut answers = Vec::new();
            peer.read_to_end(&mut answers).unwrap();
            let mut expected = words[number].clone();
            let mut at = 0;
            while at < expected.len() {
                expected[at + 1] = 3;
                at += usize::from(u16::from_be_bytes([expected[at + 2], expected[at + 3]]));
            }
            assert!(answers.ends_with(&expected), "{number}");
        }
    }

    #[test]
    fn what_a_switch_says_in_a_few_messages_is_little_and_all_else_may_be_much() {
        let mut bytes = BytesMut::new();
        append(&mut bytes, &Message::Hello(Hello::default()));
        let (mut connection, shared, mut peer) = told(&bytes);
        let mut buffers = Buffers::new();
        assert_eq!(connection.read(READ_BYTES, &mut buffers), Work::Little);
        connection.turns(&shared);
        assert!(matches!(connection.write(&mut buffers, &shared), Next::Wait(_)));
        // It is rung for, and may say something at the same time, or nothing.
        assert_eq!(connection.read(READ_BYTES, &mut buffers), Work::Much);
        connection.may_read(false);
        connection.ring();
        assert_eq!(connection.read(READ_BYTES, &mut buffers), Work::Much);
        assert_eq!(connection.read(READ_BYTES, &mut buffers), Work::Much, "it is not readable");
        for work in [Work::Much, Work::Little] {
            append(&mut bytes, &Message::EchoRequest(Vec::new().into()));
            peer.write_all(&bytes[bytes.len() - 8..]).unwrap();
            let until = Instant::now() + LIMIT;
            while left(&mut connection) == 0 {
                assert!(Instant::now() < until, "it has not arrived");
                std::thread::yield_now();
            }
            connection.may_read(false);
            if work == Work::Much {
                connection.ring();
            }
            assert_eq!(connection.read(READ_BYTES, &mut buffers), work);
            connection.turns(&shared);
            assert!(matches!(connection.write(&mut buffers, &shared), Next::Wait(_)));
        }
        let mut many = BytesMut::new();
        while many.len() <= LITTLE_BYTES {
            append(&mut many, &Message::EchoRequest(Vec::new().into()));
        }
        peer.write_all(&many).unwrap();
        let until = Instant::now() + LIMIT;
        while left(&mut connection) < many.len() {
            assert!(Instant::now() < until, "it has not arrived");
            std::thread::yield_now();
        }
        connection.may_read(false);
        assert_eq!(connection.read(LITTLE_BYTES + 1, &mut buffers), Work::Much);
        assert_eq!(connection.said(), LITTLE_BYTES + 1);
        connection.more = true;
        assert_eq!(connection.read(READ_BYTES, &mut buffers), Work::Much, "more than it has done");
    }

    #[test]
    fn what_came_before_the_end_is_handled_before_it() {
        let mut bytes = BytesMut::new();
        append(&mut bytes, &Message::Hello(Hello::default()));
        append(&mut bytes, &Message::EchoRequest(b"last"[..].into()));
        let (mut connection, shared, mut peer) = told(&bytes);
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        // One event for both.
        connection.may_read(true);
        let mut buffers = Buffers::new();
        assert_eq!(step(&mut connection, &mut buffers, &shared), Next::Step);
        let until = Instant::now() + LIMIT;
        while connection.stream().socket().peek(&mut [0]).is_err() {
            assert!(Instant::now() < until, "the end has not arrived");
            std::thread::yield_now();
        }
        assert_eq!(step(&mut connection, &mut buffers, &shared), Next::Ended);
        assert_eq!(connection.session.closed(), Some("closed by the switch"));
        drop(connection);
        let mut answers = Vec::new();
        peer.read_to_end(&mut answers).unwrap();
        assert!(answers.ends_with(b"last"));
    }

    #[test]
    fn an_end_behind_half_a_record_is_seen_though_one_event_tells_of_both() {
        let (stream, mut far, mut peer) = encrypted();
        let (mut connection, shared) = connection(stream, "a switch".to_owned());
        let mut buffers = Buffers::new();
        assert!(matches!(step(&mut connection, &mut buffers, &shared), Next::Wait(_)));
        peer.write_all(&records(&mut far, b"never whole")[..11]).unwrap();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        let until = Instant::now() + LIMIT;
        while left(&mut connection) < 11 {
            assert!(Instant::now() < until, "it has not arrived");
            std::thread::yield_now();
        }
        connection.may_read(true);
        assert_eq!(step(&mut connection, &mut buffers, &shared), Next::Step);
        while step(&mut connection, &mut buffers, &shared) != Next::Ended {
            assert!(Instant::now() < until, "the end has not arrived");
        }
        assert_eq!(connection.session.closed(), Some("closed by the switch"));
    }

    #[test]
    fn the_last_words_of_a_peer_that_does_not_read_end_in_time() {
        let (mut connection, shared, _peer) = told(&[]);
        connection.readable = false;
        let mut buffers = Buffers::new();
        connection.stop();
        connection.session.output().resize(15 << 20, 0);
        let Next::Wait(Some(until)) = step(&mut connection, &mut buffers, &shared) else {
            panic!("it waits for room");
        };
        assert!(until <= Instant::now() + LAST_WORDS);
        connection.until = Some(Instant::now());
        assert_eq!(step(&mut connection, &mut buffers, &shared), Next::Ended);
        assert_eq!(connection.session.closed(), Some("the controller ends"));
    }
}

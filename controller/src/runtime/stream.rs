//! The bytes of a control connection, plain or in TLS. Runtime.

use std::io::{self, ErrorKind, Read as _, Write as _};

use mio::net::TcpStream;
use rustls::ServerConnection;

/// Bytes taken from a socket at once, and before other sessions have their turn. More saves system
/// calls, and has what a session keeps near for longer.
pub(super) const READ_BYTES: usize = 48 << 10;
/// The same where others wait meanwhile who say little, as beside a switch that storms.
pub(super) const SHARED_READ_BYTES: usize = 8 << 10;

/// How often the TLS layer reads a socket at once: as often as the longest record needs. Others are not to
/// wait for any number of records that are tiny or have nothing in them.
const TAKES: usize = 5;

/// What a read has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Read {
    /// So many bytes, and whether there may be more at once. If not, an event tells when there are.
    Some {
        bytes: usize,
        more: bool,
    },
    Nothing {
        more: bool,
    },
    /// Nothing comes any more.
    End,
}

/// A socket that the runtime waits for no more: a worker does.
///
/// # Errors
/// The system's.
pub(super) fn unattended(socket: tokio::net::TcpStream) -> io::Result<TcpStream> {
    socket.into_std().map(TcpStream::from_std)
}

/// A connection. Neither reads nor writes wait: an event of the socket says when to try again.
pub(super) enum Stream {
    Plain(TcpStream),
    Encrypted(Box<Encrypted>),
}

impl Stream {
    /// What events are of.
    pub(super) fn socket(&mut self) -> &mut TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Encrypted(stream) => &mut stream.socket,
        }
    }

    /// Reads once.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<Read> {
        let read = match self {
            Stream::Plain(socket) => socket.read(buffer).map(|bytes| match bytes {
                0 => Read::End,
                // What comes behind a read that does not fill the buffer is told by an event, which
                // saves asking the socket in vain.
                bytes => Read::Some { bytes, more: bytes == buffer.len() },
            }),
            Stream::Encrypted(stream) => stream.try_read(buffer),
        };
        match read {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                Ok(Read::Nothing { more: false })
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                Ok(Read::Nothing { more: true })
            }
            read => read,
        }
    }

    /// Takes some of these bytes; [`Stream::try_flush`] sees to what the TLS layer holds of them.
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Encrypted(stream) => stream.try_write(bytes),
        }
    }

    /// Sends what the TLS layer holds, as far as the socket takes it now.
    pub(super) fn try_flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(_) => Ok(()),
            Stream::Encrypted(stream) => stream.try_flush(),
        }
    }

    /// Whether nothing is held back from the socket.
    pub(super) fn is_flushed(&self) -> bool {
        match self {
            Stream::Plain(_) => true,
            Stream::Encrypted(stream) => !stream.connection.wants_write(),
        }
    }

    /// Says that nothing more follows, so that the other end can tell it from a cut.
    pub(super) fn finish(&mut self) {
        if let Stream::Encrypted(stream) = self {
            stream.connection.send_close_notify();
        }
    }
}

/// A connection in TLS, the handshake done. What the TLS layer holds of outgoing bytes is bounded by
/// it (64 KiB); then `try_write` takes nothing.
pub(super) struct Encrypted {
    socket: TcpStream,
    connection: ServerConnection,
    /// What came behind the bytes that it holds, or the last read has got.
    broken: Option<io::Error>,
}

/// A socket that is read, which notes whether the last read has filled the room it had.
struct Noting<'a> {
    socket: &'a mut TcpStream,
    filled: bool,
}

impl io::Read for Noting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.socket.read(buffer)?;
        self.filled = bytes == buffer.len();
        Ok(bytes)
    }
}

impl Encrypted {
    /// The first messages may have come with the end of the handshake.
    pub(super) fn new(socket: TcpStream, connection: ServerConnection) -> Encrypted {
        Encrypted { socket, connection, broken: None }
    }

    /// As much as there is room for, by some reads of the socket: the TLS layer takes a few kilobytes at a
    /// time.
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<Read> {
        let (mut bytes, mut more, mut takes) = (0, true, 0);
        while bytes < buffer.len() {
            match self.connection.reader().read(&mut buffer[bytes..]) {
                Ok(0) => break,
                Ok(read) => bytes += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => match self.broken.take() {
                    Some(error) if bytes == 0 => return Err(error),
                    Some(error) => {
                        self.broken = Some(error);
                        break;
                    }
                    None if more && takes == TAKES => {
                        return Ok(match bytes {
                            0 => Read::Nothing { more: true },
                            _ => Read::Some { bytes, more: true },
                        });
                    }
                    None if more => {
                        takes += 1;
                        match self.take() {
                            Ok(may_have_more) => more = may_have_more,
                            Err(error) => self.broken = Some(error),
                        }
                    }
                    // All there is; or a part of a record.
                    None if bytes == 0 => return Ok(Read::Nothing { more: false }),
                    None => return Ok(Read::Some { bytes, more: false }),
                },
                // Cut without a word, as plain TCP is: messages have their own lengths.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                Err(error) if bytes == 0 => return Err(error),
                Err(_) => break,
            }
        }
        // An end or a fault behind these bytes is told by the next read.
        Ok(if bytes == 0 { Read::End } else { Read::Some { bytes, more: true } })
    }

    /// Has the TLS layer read once. Whether the socket may have more, as it has filled the room for it.
    fn take(&mut self) -> io::Result<bool> {
        let mut from = Noting { socket: &mut self.socket, filled: false };
        match self.connection.read_tls(&mut from) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error),
        }
        let filled = from.filled;
        if let Err(error) = self.connection.process_new_packets() {
            // The alert says why; the connection ends either way.
            let _ = self.try_flush();
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        Ok(filled)
    }

    /// `WouldBlock` only where the socket has said so: it tells nothing of room that it was not asked
    /// for in vain.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let taken = self.connection.writer().write(bytes)?;
            self.try_flush()?;
            match taken {
                0 if self.connection.wants_write() => return Err(ErrorKind::WouldBlock.into()),
                // The TLS layer had no room, and has some now.
                0 if !bytes.is_empty() => {}
                taken => return Ok(taken),
            }
        }
    }

    fn try_flush(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use rustls::crypto::ring::default_provider;
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    /// A connection in TLS, and its other end: what that encrypts is sent as the test likes.
    pub(in super::super) fn encrypted() -> (Stream, ClientConnection, std::net::TcpStream) {
        let made = rcgen::generate_simple_self_signed(["controller".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let provider = Arc::new(default_provider());
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        // As the listener's (tls.rs): nothing is written but what a test waits for.
        server.send_tls13_tickets = 0;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("controller").unwrap();
        let mut near = ServerConnection::new(Arc::new(server)).unwrap();
        let mut far = ClientConnection::new(Arc::new(client), name).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut socket, _) = listener.accept().unwrap();
        while near.is_handshaking() || far.is_handshaking() || near.wants_write() {
            while far.wants_write() {
                far.write_tls(&mut peer).unwrap();
            }
            if near.is_handshaking() {
                near.read_tls(&mut socket).unwrap();
                near.process_new_packets().unwrap();
            }
            while near.wants_write() {
                near.write_tls(&mut socket).unwrap();
            }
            if far.is_handshaking() {
                far.read_tls(&mut peer).unwrap();
                far.process_new_packets().unwrap();
            }
        }
        socket.set_nonblocking(true).unwrap();
        let stream = Encrypted::new(TcpStream::from_std(socket), near);
        (Stream::Encrypted(Box::new(stream)), far, peer)
    }

    /// What these bytes are on the wire.
    pub(in super::super) fn records(far: &mut ClientConnection, bytes: &[u8]) -> Vec<u8> {
        far.writer().write_all(bytes).unwrap();
        let mut records = Vec::new();
        while far.wants_write() {
            far.write_tls(&mut records).unwrap();
        }
        records
    }

    /// Sends this, and waits until all of it has arrived.
    fn send(stream: &mut Stream, peer: &mut std::net::TcpStream, records: &[u8]) {
        peer.write_all(records).unwrap();
        let until = Instant::now() + LIMIT;
        let mut room = vec![0; 1 << 20];
        while stream.socket().peek(&mut room).unwrap_or(0) < records.len() {
            assert!(Instant::now() < until, "it has not arrived");
            std::thread::yield_now();
        }
    }

    #[test]
    fn in_tls_more_follows_only_where_the_room_or_the_read_of_the_socket_was_full() {
        let (mut stream, mut far, mut peer) = encrypted();
        let mut buffer = [0; 8 << 10];
        let nothing = Read::Nothing { more: false };
        assert_eq!(stream.try_read(&mut buffer).unwrap(), nothing);
        let hello = records(&mut far, b"hello");
        send(&mut stream, &mut peer, &hello);
        let read = stream.try_read(&mut buffer).unwrap();
        assert_eq!(read, Read::Some { bytes: 5, more: false });
        assert_eq!(&buffer[..5], b"hello");
        // Records larger and smaller than what the TLS layer reads at once: the room is filled all the same.
        for record in [16 << 10, 1000] {
            let said: Vec<u8> = (0..20_000_u32).map(|n| n as u8).collect();
            let on_wire: Vec<u8> =
                said.chunks(record).flat_map(|part| records(&mut far, part)).collect();
            send(&mut stream, &mut peer, &on_wire);
            let mut heard = Vec::new();
            for (bytes, more) in [(8192, true), (8192, true), (3616, false)] {
                let read = stream.try_read(&mut buffer).unwrap();
                assert_eq!(read, Read::Some { bytes, more });
                heard.extend_from_slice(&buffer[..bytes]);
            }
            assert!(heard == said);
            assert_eq!(stream.try_read(&mut buffer).unwrap(), nothing);
        }
        // Half a record is nothing yet.
        let last = records(&mut far, b"and so on");
        let (some, rest) = last.split_at(11);
        send(&mut stream, &mut peer, some);
        assert_eq!(stream.try_read(&mut buffer).unwrap(), nothing);
        send(&mut stream, &mut peer, rest);
        let read = stream.try_read(&mut buffer).unwrap();
        assert_eq!(read, Read::Some { bytes: 9, more: false });
    }

    #[test]
    fn in_tls_any_number_of_records_with_little_in_them_takes_some_reads_at_a_time() {
        let (mut stream, mut far, mut peer) = encrypted();
        // The wire has 22 bytes for each of these.
        let said = [7; 2000];
        let on_wire: Vec<u8> = said.chunks(1).flat_map(|one| records(&mut far, one)).collect();
        send(&mut stream, &mut peer, &on_wire);
        let (mut heard, mut reads) = (0, 0);
        let mut buffer = [0; 8 << 10];
        loop {
            let before = stream.socket().peek(&mut vec![0; 1 << 20]).unwrap_or(0);
            let Read::Some { bytes, more } = stream.try_read(&mut buffer).unwrap() else {
                panic!()
            };
            let left = stream.socket().peek(&mut vec![0; 1 << 20]).unwrap_or(0);
            assert!(before - left <= TAKES * 4096, "{before} to {left}");
            (heard, reads) = (heard + bytes, reads + 1);
            if !more {
                break;
            }
        }
        assert_eq!((heard, reads), (2000, on_wire.len().div_ceil(TAKES * 4096)));
    }

    #[test]
    fn in_tls_what_came_before_the_end_is_read_before_it() {
        for word in [true, false] {
            let (mut stream, mut far, mut peer) = encrypted();
            let mut bytes = records(&mut far, b"last");
            if word {
                far.send_close_notify();
                bytes.extend(records(&mut far, b""));
            }
            send(&mut stream, &mut peer, &bytes);
            peer.shutdown(std::net::Shutdown::Write).unwrap();
            let mut buffer = [0; 100];
            let mut heard = Vec::new();
            let until = Instant::now() + LIMIT;
            loop {
                match stream.try_read(&mut buffer).unwrap() {
                    Read::Some { bytes, .. } => heard.extend_from_slice(&buffer[..bytes]),
                    Read::Nothing { .. } => assert!(Instant::now() < until, "no end"),
                    Read::End => break,
                }
            }
            assert_eq!(heard, b"last");
        }
    }

    #[test]
    fn in_tls_what_came_before_a_fault_is_read_before_it() {
        let (mut stream, mut far, mut peer) = encrypted();
        let bytes = [records(&mut far, b"last"), b"GET / HTTP/1.1\r\n\r\n".to_vec()].concat();
        send(&mut stream, &mut peer, &bytes);
        let mut buffer = [0; 100];
        let read = stream.try_read(&mut buffer).unwrap();
        assert_eq!(read, Read::Some { bytes: 4, more: true });
        let error = stream.try_read(&mut buffer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        // The other end is told.
        peer.set_read_timeout(Some(LIMIT)).unwrap();
        let mut alert = [0; 1];
        peer.read_exact(&mut alert).unwrap();
    }
}

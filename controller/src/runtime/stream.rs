//! The bytes of a control connection, plain or in TLS. Runtime.

use std::io::{self, ErrorKind, Read as _, Write as _};

use mio::net::TcpStream;
use rustls::ServerConnection;

/// Bytes taken from a socket at once, and before other sessions have their turn. More saves system
/// calls. By TLS it is less.
pub(super) const READ_BYTES: usize = 16 << 10;
/// The same where others wait meanwhile who say little, as beside a switch that storms.
pub(super) const SHARED_READ_BYTES: usize = 8 << 10;

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
}

impl Encrypted {
    /// The first messages may have come with the end of the handshake.
    pub(super) fn new(socket: TcpStream, connection: ServerConnection) -> Encrypted {
        Encrypted { socket, connection }
    }

    /// `WouldBlock` is the socket's own; until then the TLS layer may hold more.
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<Read> {
        let read = match self.connection.reader().read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.connection.read_tls(&mut self.socket)?;
                if let Err(error) = self.connection.process_new_packets() {
                    // The alert says why; the connection ends either way.
                    let _ = self.try_flush();
                    return Err(io::Error::new(ErrorKind::InvalidData, error));
                }
                self.connection.reader().read(buffer)
            }
            done => done,
        };
        match read {
            Ok(0) => Ok(Read::End),
            Ok(bytes) => Ok(Read::Some { bytes, more: true }),
            // A part of a record.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Read::Nothing { more: true }),
            // Cut without a word, as plain TCP is: messages have their own lengths.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(Read::End),
            Err(error) => Err(error),
        }
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

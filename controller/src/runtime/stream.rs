//! The bytes of a control connection, plain or in TLS. Runtime.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::task::Poll;

use rustls::ServerConnection;
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::TcpStream;

/// Bytes taken from a socket at once, and before other sessions have their turn: more saves system
/// calls, less lets the others wait less beside a switch that storms.
pub(super) const READ_BYTES: usize = 16 << 10;

thread_local! {
    /// Where all connections of a thread read to: what was read is handed on before another reads,
    /// and a connection that is silent needs no buffer.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// A connection. Writes never wait: what cannot be done now is `WouldBlock`, and [`Stream::read`]
/// says when to try again.
pub(super) enum Stream {
    Plain(TcpStream),
    Encrypted(Box<Encrypted>),
}

impl Stream {
    /// Waits until something was read and given to `take`, and returns how much: nothing at the end
    /// of the stream. With `output`, also until there may be room for it: `None`. Loses nothing if
    /// it is dropped before it is ready.
    pub(super) async fn read(
        &mut self,
        output: bool,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<Option<usize>> {
        match self {
            // A read that does not fill the buffer tells the runtime that there is no more, which
            // saves asking the socket in vain.
            Stream::Plain(socket) => {
                poll_fn(|cx| {
                    let read = BUFFER.with_borrow_mut(|buffer| {
                        let mut buffer = ReadBuf::new(buffer);
                        Pin::new(&mut *socket).poll_read(cx, &mut buffer).map_ok(|()| {
                            take(buffer.filled());
                            Some(buffer.filled().len())
                        })
                    });
                    match read {
                        Poll::Pending if output => socket.poll_write_ready(cx).map_ok(|()| None),
                        read => read,
                    }
                })
                .await
            }
            Stream::Encrypted(stream) => {
                let interest = match output || stream.connection.wants_write() {
                    true => Interest::READABLE | Interest::WRITABLE,
                    false => Interest::READABLE,
                };
                if !stream.unread && !stream.socket.ready(interest).await?.is_readable() {
                    return Ok(None);
                }
                let read = BUFFER.with_borrow_mut(|buffer| {
                    let read = stream.try_read(buffer)?;
                    take(&buffer[..read]);
                    Ok(Some(read))
                });
                match read {
                    Err(error) if io::Error::kind(&error) == ErrorKind::WouldBlock => Ok(None),
                    read => read,
                }
            }
        }
    }

    /// Waits until there may be room for what waits to be written.
    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.writable().await,
            Stream::Encrypted(stream) => stream.socket.writable().await,
        }
    }

    /// Takes some of these bytes; [`Stream::try_flush`] sees to what the TLS layer holds of them.
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.try_write(bytes),
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
    /// Whether the TLS layer may hold bytes that were not read, which no event of the socket tells.
    unread: bool,
}

impl Encrypted {
    /// The first messages may have come with the end of the handshake.
    pub(super) fn new(socket: TcpStream, connection: ServerConnection) -> Encrypted {
        Encrypted { socket, connection, unread: true }
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.unread = false;
        let read = match self.connection.reader().read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.connection.read_tls(&mut Socket(&self.socket))?;
                if let Err(error) = self.connection.process_new_packets() {
                    // The alert says why; the connection ends either way.
                    let _ = self.try_flush();
                    return Err(io::Error::new(ErrorKind::InvalidData, error));
                }
                self.connection.reader().read(buffer)
            }
            done => done,
        };
        let read = match read {
            // Cut without a word, as plain TCP is: messages have their own lengths.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => 0,
            read => read?,
        };
        self.unread = read == buffer.len();
        Ok(read)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.connection.writer().write(bytes)?;
        self.try_flush()?;
        match taken {
            0 => Err(ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        }
    }

    fn try_flush(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Socket(&self.socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A socket as the TLS layer wants it.
struct Socket<'a>(&'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

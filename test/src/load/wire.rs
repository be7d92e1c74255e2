//! A socket that takes and gives many messages at once. Runtime.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::replies::{BadLength, walk};

/// How much is read at once. Shared by all sockets of a thread, so that it stays in the cache.
pub(super) const READ_BYTES: usize = 256 << 10;
/// A socket whose peer does not read has about this much waiting; whoever fills it stops there.
pub(super) const WAITING_BYTES: usize = 128 << 10;

/// A connection without blocking.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    /// The beginning of a message whose end has not come; less than one message.
    rest: Vec<u8>,
    /// What waits to be written, from `written` on.
    out: Vec<u8>,
    written: usize,
}

/// What a read came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reading {
    /// Messages were shown, or a part of one came.
    Some,
    /// There was nothing.
    Nothing,
    /// The peer has closed.
    End,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> io::Result<Wire> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream, rest: Vec::new(), out: Vec::new(), written: 0 })
    }

    /// Reads once and shows every message that is whole, with where to answer. `buffer` has
    /// room for the rest of a message before what is read.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        mut each: impl FnMut(&[u8], &mut Vec<u8>),
    ) -> io::Result<Reading> {
        let kept = self.rest.len();
        buffer[..kept].copy_from_slice(&self.rest);
        let count = match self.stream.read(&mut buffer[kept..]) {
            Ok(0) => return Ok(Reading::End),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Reading::Nothing),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                return Ok(Reading::Nothing);
            }
            Err(error) => return Err(error),
        };
        let bytes = &buffer[..kept + count];
        let out = &mut self.out;
        let used = walk(bytes, |message| each(message, out)).map_err(invalid)?;
        self.rest.clear();
        self.rest.extend_from_slice(&bytes[used..]);
        Ok(Reading::Some)
    }

    /// Where to append what is to be sent.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// How many bytes wait to be written.
    pub(super) fn waiting(&self) -> usize {
        self.out.len() - self.written
    }

    /// Writes what waits. True: nothing does any more.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // What was written is left behind before the buffer grows on.
                    if self.written > WAITING_BYTES {
                        self.out.drain(..self.written);
                        self.written = 0;
                    }
                    return Ok(false);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(true)
    }
}

fn invalid(error: BadLength) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

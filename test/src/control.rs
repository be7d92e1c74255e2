//! The seam between an emulated network and the controller under test. Pure.
//!
//! The network calls the controller whenever a control channel opens, brings bytes or ends, and when
//! a deadline has come. After *every* call it takes what the controller wants to send with
//! [`Controller::drain`] and asks for the next [`Controller::deadline`].

use std::fmt;
use std::time::Instant;

/// One control connection. A switch that connects again gets a new number; numbers are never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub u64);

impl fmt::Debug for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "channel {}", self.0)
    }
}

/// What a controller does to a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ControlOutput {
    /// Sends these bytes, in order behind those before. They need not be whole messages.
    Bytes(Vec<u8>),
    /// Closes the channel once the bytes before it are sent. The network does not answer with
    /// [`Controller::disconnected`]: the controller knows.
    Close,
}

/// A controller without sockets and clock, driven by a network in virtual time.
///
/// Bytes and closes for channels that no longer exist are ignored by the network, as a socket would.
pub trait Controller {
    /// A switch has connected.
    fn connected(&mut self, channel: ChannelId, now: Instant);

    /// Bytes from a switch: a piece of the stream, cut anywhere.
    fn input(&mut self, channel: ChannelId, bytes: &[u8], now: Instant);

    /// The switch closed the channel, or it broke. Not called for channels that the controller closed.
    fn disconnected(&mut self, channel: ChannelId, now: Instant);

    /// Runs what is due.
    fn poll(&mut self, now: Instant);

    /// When `poll` must be called next; `None`: not before the next input.
    fn deadline(&self) -> Option<Instant>;

    /// Moves what is to be sent to the end of `out`, in order.
    fn drain(&mut self, out: &mut Vec<(ChannelId, ControlOutput)>);
}

impl<C: Controller + ?Sized> Controller for Box<C> {
    fn connected(&mut self, channel: ChannelId, now: Instant) {
        (**self).connected(channel, now);
    }

    fn input(&mut self, channel: ChannelId, bytes: &[u8], now: Instant) {
        (**self).input(channel, bytes, now);
    }

    fn disconnected(&mut self, channel: ChannelId, now: Instant) {
        (**self).disconnected(channel, now);
    }

    fn poll(&mut self, now: Instant) {
        (**self).poll(now);
    }

    fn deadline(&self) -> Option<Instant> {
        (**self).deadline()
    }

    fn drain(&mut self, out: &mut Vec<(ChannelId, ControlOutput)>) {
        (**self).drain(out);
    }
}

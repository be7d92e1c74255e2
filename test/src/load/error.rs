//! Why there is no measurement. Pure.

use std::io;
use std::net::SocketAddr;

use umlaut_openflow::{DecodeError, EncodeError, Version};

use super::generator::{ECHO_TIME, GREETING_TIME};
use super::population::PopulationError;

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nobody listens there.
    #[error("no connection to {address} for switch {switch}: {error}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// Which, from 1.
        switch: u32,
        /// Why.
        error: io::Error,
    },
    /// The controller does not want the switch any more.
    #[error("the controller closed the connection of switch {switch}{when}")]
    Closed {
        /// Which, from 1.
        switch: u32,
        /// What was going on.
        when: &'static str,
    },
    /// The connection broke.
    #[error("the connection of switch {switch} broke: {error}")]
    Broken {
        /// Which, from 1.
        switch: u32,
        /// Why.
        error: io::Error,
    },
    /// No common version, or no OpenFlow at all.
    #[error(
        "switch {switch} and the controller do not understand each other in OpenFlow {version}"
    )]
    Misunderstood {
        /// Which, from 1.
        switch: u32,
        /// What it speaks.
        version: Version,
    },
    /// A flow-mod or packet-out that no switch could read.
    #[error("what switch {switch} was answered is no message: {error}")]
    BrokenAnswer {
        /// Which, from 1.
        switch: u32,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// A message of another version than the one agreed on.
    #[error(
        "switch {switch} speaks OpenFlow {version} and was sent a message of version {came:#04x}"
    )]
    Version {
        /// Which, from 1.
        switch: u32,
        /// What it speaks.
        version: Version,
        /// What the message is of, as on the wire.
        came: u8,
    },
    /// It takes connections and says nothing.
    #[error(
        "the controller has not asked switch {switch} for its features within {GREETING_TIME:?}"
    )]
    NotGreeted {
        /// Which, from 1.
        switch: u32,
    },
    /// It does not answer while hosts make themselves known.
    #[error("the controller has not answered an echo of switch {switch} within {ECHO_TIME:?}")]
    NoEcho {
        /// Which, from 1.
        switch: u32,
    },
    /// Nothing came back.
    #[error("the controller answered none of the {0} packet-ins of the measured time")]
    NoAnswer(u64),
    /// The time was too short, or whoever does not answer kept all from being sent.
    #[error("no packet-in was sent in the {0:.3} s that were measured")]
    NothingSent(f64),
    /// More entries are to live than there are pairs to make them of.
    #[error("{live} live entries on a switch: {most} can be with so many hosts and slices")]
    TooManyLive {
        /// How many.
        live: usize,
        /// How many could be.
        most: u64,
    },
    /// A storm that leaves nobody to be measured.
    #[error("{0}")]
    Storm(&'static str),
    /// No such rate or window.
    #[error("a rate and a window are above zero")]
    Pace,
    /// The population cannot be.
    #[error(transparent)]
    Population(#[from] PopulationError),
    /// A message that this version does not have.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The system gives no file descriptors, or no epoll.
    #[error("{what}: {error}")]
    System {
        /// What was wanted.
        what: &'static str,
        /// Why not.
        error: io::Error,
    },
}

pub(super) fn system(what: &'static str) -> impl Fn(nix::Error) -> LoadError {
    move |error| LoadError::System { what, error: error.into() }
}

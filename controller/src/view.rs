//! What a session sees of the rest of the network, and tells it. Shared: no IO, clock, async.

use std::time::Instant;

use umlaut_openflow::packet::Tag;
use umlaut_openflow::{DatapathId, Version};

use crate::command::HopFailure;
use crate::directory::Directory;
use crate::hosts::{Domain, HostTable};
use crate::path::PathRef;
use crate::topology::Topology;

/// Something that an operator wants to know. Given to the [`Observer`]; pure code logs nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A switch is connected, its flow table empty, its packet-ins handled from now on.
    SwitchReady {
        /// The switch.
        dpid: DatapathId,
        /// The wire version agreed.
        version: Version,
        /// Its ports.
        ports: usize,
    },
    /// A switch's control connection ended.
    SwitchGone {
        /// The switch.
        dpid: DatapathId,
        /// Why.
        reason: String,
    },
    /// A connection ended before it was ready.
    ConnectionRefused {
        /// Where it came from.
        peer: String,
        /// Why.
        reason: String,
    },
    /// A link was found or confirmed again.
    LinkUp {
        /// One end, as datapath/port.
        from: String,
        /// The other end.
        to: String,
    },
    /// A link is gone.
    LinkDown {
        /// One end.
        from: String,
        /// The other end.
        to: String,
    },
    /// No port of any switch is being probed.
    TopologySettled {
        /// Switches known.
        switches: usize,
        /// Links known, each direction counted.
        links: usize,
    },
    /// Discovery saw what it must not see: forged, relayed or misplaced LLDP.
    Alarm(String),
    /// A path could not be installed; its frames are forwarded one by one.
    PathFailed {
        /// The path.
        path: PathRef,
        /// Where it enters.
        dpid: DatapathId,
        /// Why.
        failure: HopFailure,
    },
    /// A mailbox overran or a switch lost track: its flows were deleted and start anew.
    Resync {
        /// The switch.
        dpid: DatapathId,
    },
    /// A switch answered with an error.
    SwitchError {
        /// The switch.
        dpid: DatapathId,
        /// Type and code in its version.
        code: umlaut_openflow::ErrorCode,
    },
    /// A host was refused; told once per host and reason.
    Refused {
        /// The sender.
        host: String,
        /// Where.
        at: String,
        /// The reason's code.
        reason: &'static str,
        /// What would admit it.
        slice_hint: String,
    },
    /// A policy is in force.
    PolicyInForce {
        /// Its World revision.
        revision: u64,
    },
}

/// Takes events. Called from sessions, with no lock of the framework held but the slow path's.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn event(&self, event: &Event);
}

/// Takes no notice of events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn event(&self, _: &Event) {}
}

/// The tables that all sessions share.
pub struct Net {
    /// Where hosts are.
    pub hosts: HostTable,
    /// Who serves which datapath.
    pub directory: Directory,
    /// Who hears of events.
    pub observer: Box<dyn Observer>,
    /// The process's mark in cookies.
    pub epoch: u8,
}

/// What a session sees during one turn: the time, one topology, the shared tables.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The time of this turn.
    pub now: Instant,
    /// The World revision of this turn.
    pub revision: u64,
    /// The World revision at which the policy last changed.
    pub policy_revision: u64,
    /// The topology of this turn.
    pub topology: &'a Topology,
    /// The shared tables.
    pub net: &'a Net,
}

/// A frame in the controller's hands.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its bytes; all of them unless `buffer_id` says where the rest is.
    pub data: &'a [u8],
    /// Its tag state.
    pub tag: Tag,
    /// The switch's copy, if it kept one.
    pub buffer_id: Option<umlaut_openflow::BufferId>,
    /// Whether `data` is the whole frame.
    pub whole: bool,
}

/// A host as its domain knows it.
pub type HostName = (Domain, umlaut_openflow::MacAddr);

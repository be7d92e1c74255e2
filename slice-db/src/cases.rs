//! Cases: what the policy's author expects, kept beside the slices. Pure.

use umlaut_openflow::{DatapathId, MacAddr, PortNo};

use crate::policy::SliceId;

/// Who a case speaks of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Peer {
    /// A host, by its index in the policy and its MAC.
    Host {
        /// Its name.
        name: String,
        /// Its MAC address.
        mac: MacAddr,
    },
    /// Any host that belongs to a slice.
    Slice(SliceId),
}

/// What is expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expectation {
    /// Frames arrive, after both have spoken.
    Reaches,
    /// Frames never arrive, wherever hosts are known to be.
    NeverReaches,
    /// The frame is dropped, for this reason if one is given.
    Refused {
        /// The code of the reason.
        because: Option<String>,
    },
}

/// What happens before the expectation is looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A link is cut or healed.
    Link {
        /// The ends, as written.
        ends: [(DatapathId, PortNo); 2],
        /// Whether it is there afterwards.
        up: bool,
    },
    /// A port goes down or comes up.
    Port {
        /// The port.
        port: (DatapathId, PortNo),
        /// Whether it is up afterwards.
        up: bool,
    },
}

/// One case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// As it is written, for reports.
    pub text: String,
    /// The sender.
    pub from: Peer,
    /// The receiver; `None` for a refusal whatever the destination.
    pub to: Option<Peer>,
    /// What is expected.
    pub expect: Expectation,
    /// What happens before.
    pub after: Vec<Event>,
    /// Whether nobody has spoken yet.
    pub silent: bool,
    /// Its item in the file's list.
    pub item: u32,
}

//! What applications are told beside the events of a switch: links and hosts. Pure.

use umlaut_openflow::{Attachment, MacAddr};

use crate::hosts::Domain;
use crate::topology::Link;

/// How many notices wait for applications. When there are as many, a further one is lost, counted
/// and told of ([`crate::Event::NoticesLost`]): an application that must know every host reads the
/// host table then.
pub const NOTICES: usize = 1 << 16;

/// A host and its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostAt {
    /// Its domain.
    pub domain: Domain,
    /// Its address.
    pub mac: MacAddr,
    /// Where it is.
    pub at: Attachment,
}

/// Something that happened in the network, in the order in which it happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Notice {
    LinkUp(Link),
    LinkDown(Link),
    HostLocated(HostAt),
    HostMoved { host: HostAt, from: Attachment },
    HostGone { domain: Domain, mac: MacAddr },
}

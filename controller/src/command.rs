//! What sessions tell each other. Shared.

use std::fmt;
use std::sync::Arc;

use umlaut_openflow::packet::{Headers, Tag};
use umlaut_openflow::{DatapathId, FieldSet, MacAddr, PortNo, Vid};

use crate::app::AppNo;
use crate::hosts::Domain;
use crate::mailbox::Mailbox;
use crate::origin::Origin;
use crate::path::{Leg, PathRef};
use crate::switch::Switch;
use crate::view::View;

/// One entry of a path on a switch that does not own the path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HopEntry {
    /// The path.
    pub path: PathRef,
    /// Which way.
    pub leg: Leg,
    /// Who owns the frames, for the claim on a shared link.
    pub domain: Domain,
    /// Where they come in on this switch.
    pub in_port: PortNo,
    /// What they look like there.
    pub headers: Headers,
    /// Which fields are matched.
    pub width: FieldSet,
    /// Where they go out.
    pub out_port: PortNo,
    /// The VLAN that they leave with, on the last hop.
    pub vid: Option<Vid>,
    /// Seconds.
    pub idle_timeout: u16,
    /// Seconds.
    pub hard_timeout: u16,
}

/// Why a hop was not installed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HopFailure {
    /// Another domain sends the same MAC pair over the same link.
    Claimed,
    /// A field of the width cannot be matched there.
    Unmatchable,
    /// The switch answered with an error.
    Refused,
    /// The switch went away.
    Gone,
}

type Run = dyn FnOnce(&mut Switch, &View<'_>) + Send;

/// A function to run in a turn of a session.
pub struct Job(Box<Run>);

impl Job {
    /// Wraps a function. It must not wait for anything.
    pub fn new(run: impl FnOnce(&mut Switch, &View<'_>) + Send + 'static) -> Job {
        Job(Box::new(run))
    }

    pub(crate) fn run(self, switch: &mut Switch, view: &View<'_>) {
        (self.0)(switch, view);
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

/// A command to a session.
#[derive(Debug)]
pub enum Command {
    /// Run a function, if the switch is served; otherwise it is dropped.
    Run(Job),
    /// An application was unloaded: remove its entries.
    AppGone(AppNo),
    /// Install an entry of a path; answer with `HopConfirmed` or `HopFailed`.
    AddHop(Box<HopEntry>),
    /// Remove it.
    RemoveHop {
        /// The path.
        path: PathRef,
        /// Which way.
        leg: Leg,
    },
    /// To the owner: a barrier behind the entry was answered.
    HopConfirmed {
        /// The path.
        path: PathRef,
        /// Which way.
        leg: Leg,
        /// Where.
        dpid: DatapathId,
    },
    /// To the owner: the entry could not be installed.
    HopFailed {
        /// The path.
        path: PathRef,
        /// Why.
        failure: HopFailure,
    },
    /// To the owner: the entry ended by itself.
    HopGone {
        /// The path.
        path: PathRef,
        /// Which way.
        leg: Leg,
        /// Where.
        dpid: DatapathId,
    },
    /// Send a frame out of ports of this switch.
    PacketOut {
        /// Its tag state.
        tag: Tag,
        /// Where, and with which VLAN.
        outputs: Vec<(PortNo, Vid)>,
        /// The frame.
        frame: Arc<[u8]>,
    },
    /// Send a frame out of one port as it is (discovery).
    Probe {
        /// The port.
        port: PortNo,
        /// The frame.
        frame: Arc<[u8]>,
    },
    /// A host is somewhere else now, or nowhere: paths from and to it are decided again.
    HostChanged {
        /// The host's domain.
        domain: Domain,
        /// The host.
        mac: MacAddr,
    },
    /// Another connection claims this datapath id: prove to be alive.
    Prove {
        /// Who asks; the answer is `Proved`.
        asker: Arc<Mailbox>,
        /// Where the other connection comes from.
        from: Arc<Origin>,
    },
    /// The datapath that was asked to prove itself is alive.
    Proved,
    /// A newer connection of the same datapath has taken over: close.
    Superseded,
    /// Close: the program ends.
    Shutdown,
}

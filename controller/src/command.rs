//! What sessions tell each other. Shared.

use std::fmt;
use std::sync::Arc;

use umlaut_openflow::packet::{Headers, Tag};
use umlaut_openflow::{DatapathId, FieldSet, MacAddr, PortNo, Vid};

use crate::app::AppNo;
use crate::hosts::Domain;
use crate::mailbox::Mailbox;
use crate::origin::Origin;
use crate::path::{HopName, Mark, PathRef};
use crate::switch::Switch;
use crate::view::View;

/// One entry of a path on a switch that does not own the path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HopEntry {
    /// The path.
    pub path: PathRef,
    /// Which way, and where on it.
    pub mark: Mark,
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

impl HopEntry {
    /// Its name.
    pub fn name(&self) -> HopName {
        HopName { path: self.path, leg: self.mark.leg, in_port: self.in_port }
    }
}

/// Why a hop was not installed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HopFailure {
    /// Another domain sends the same MAC pair over the same link, or another path of the domain has an
    /// entry for the same frames there.
    Claimed,
    /// A field of the width cannot be matched there.
    Unmatchable,
    /// The switch answered with an error.
    Refused,
    /// The switch went away.
    Gone,
    /// A switch did not confirm its entry in time.
    Late,
}

type Run = dyn FnOnce(&mut Switch, &View<'_>) + Send;

/// A function to run in a turn of a session.
pub struct Job {
    pub(crate) app: AppNo,
    pub(crate) run: Box<Run>,
}

impl Job {
    /// Wraps a function of an application. It must not wait for anything.
    pub fn new(app: AppNo, run: impl FnOnce(&mut Switch, &View<'_>) + Send + 'static) -> Job {
        Job { app, run: Box::new(run) }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({})", self.app.0)
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
    RemoveHop(HopName),
    /// To the owner: a barrier behind the entry was answered.
    HopConfirmed {
        /// The entry.
        hop: HopName,
        /// Where.
        dpid: DatapathId,
    },
    /// To the owner: the entry could not be installed.
    HopFailed {
        /// The entry.
        hop: HopName,
        /// Where.
        dpid: DatapathId,
        /// Why.
        failure: HopFailure,
    },
    /// To the owner: the entry ended by itself.
    HopGone {
        /// The entry.
        hop: HopName,
        /// Where.
        dpid: DatapathId,
    },
    /// To the owner: an entry of its path may be lost there; send it again.
    Renew {
        /// The entry.
        hop: HopName,
        /// Where.
        dpid: DatapathId,
    },
    /// Paths of earlier runs (epoch and name, sorted) were refused: entries of them that wait to be
    /// taken over go.
    Disown(Arc<[(u8, PathRef)]>),
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

//! What was found on this machine. Pure data.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::SystemTime;

use umlaut_openflow::DatapathId;

use crate::control::rows::{ControllerRow, FlowRow, SwitchRow};

/// Everything that is looked at.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Where switches should connect.
    pub(super) listen: SocketAddr,
    /// Who has that port.
    pub(super) port: PortUse,
    /// What answers at the socket, or why nothing does.
    pub(super) controller: Result<Running, String>,
    /// Open vSwitch on this machine.
    pub(super) openvswitch: OpenVSwitch,
    /// The policy file, if one was given.
    pub(super) policy: Option<PolicyFile>,
    /// The time by the system's clock.
    pub(super) now: SystemTime,
    /// Whether the clock is synchronised, if the system says so.
    pub(super) synchronized: Option<bool>,
}

impl Facts {
    /// The bridges to look at.
    pub(super) fn bridges(&self) -> &[Bridge] {
        match &self.openvswitch {
            OpenVSwitch::Running { bridges, .. } => bridges,
            OpenVSwitch::NotInstalled | OpenVSwitch::NotRunning(_) => &[],
        }
    }
}

/// Who has a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum PortUse {
    /// Nobody.
    Free,
    /// Somebody; who, if that can be seen.
    Held(Option<Holder>),
    /// It cannot be listened on for another reason.
    Unusable(String),
}

/// A process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Holder {
    pub(super) pid: u32,
    pub(super) name: String,
}

/// A controller that answers.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) about: ControllerRow,
    pub(super) switches: Vec<SwitchRow>,
    pub(super) flows: Vec<FlowRow>,
}

/// A policy file.
#[derive(Clone, Debug)]
pub(super) struct PolicyFile {
    pub(super) path: String,
    /// Its switches; or what is wrong with it.
    pub(super) switches: Result<BTreeMap<String, DatapathId>, String>,
    pub(super) warnings: usize,
}

/// Open vSwitch on this machine.
#[derive(Clone, Debug)]
pub(super) enum OpenVSwitch {
    /// There is no `ovs-vsctl`.
    NotInstalled,
    /// `ovs-vsctl` says this.
    NotRunning(String),
    /// It runs.
    Running {
        /// The bridges to look at.
        bridges: Vec<Bridge>,
        /// Bridges that the policy does not name and that have other controllers.
        others: Vec<String>,
        /// Bridges that were asked for and are not there.
        missing: Vec<String>,
        /// Keys and certificates, if any are set.
        tls: Option<Tls>,
        /// Whether the kernel has the datapath.
        kernel: Kernel,
    },
}

/// The kernel's part of Open vSwitch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kernel {
    Loaded,
    Available,
    Missing,
}

/// A bridge.
#[derive(Clone, Debug, Default)]
pub(super) struct Bridge {
    pub(super) name: String,
    pub(super) dpid: Option<DatapathId>,
    pub(super) datapath_type: String,
    pub(super) fail_mode: Option<String>,
    pub(super) protocols: Vec<String>,
    pub(super) targets: Vec<Target>,
    /// How many entries have cookies of paths, if its table could be read; looked at only where no
    /// controller answers.
    pub(super) path_entries: Option<usize>,
}

/// A controller of a bridge.
#[derive(Clone, Debug, Default)]
pub(super) struct Target {
    pub(super) target: String,
    pub(super) connected: bool,
    pub(super) last_error: Option<String>,
}

/// From when and until when.
pub(super) type Validity = (SystemTime, SystemTime);

/// Keys and certificates of Open vSwitch.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub(super) private_key: String,
    pub(super) certificate: String,
    pub(super) ca: String,
    /// For each of the certificates: from when until when it is good, or why that is not known.
    pub(super) validity: Vec<(String, Result<Validity, String>)>,
    /// What of the three files is not there.
    pub(super) absent: Vec<String>,
}

//! The test bed: emulated switches, hosts and networks for controllers of OpenFlow 1.0 and 1.3.
//!
//! ```text
//!   your controller --- Controller (bytes, virtual time) --- Network --- EmulatedSwitch, EmulatedHost
//!   any controller  --- TCP on loopback ---------- EmulatedLab --- the same switches and hosts
//! ```
//!
//! Everything but [`emulated`], [`lab`] and [`ovs`] is pure: values in, values out, `now` as an argument.

pub mod control;
pub mod emulated;
pub mod host;
pub mod hub;
pub mod lab;
mod layout;
pub mod network;
mod of_policy;
pub mod ovs;
mod random;
pub mod scenario;
pub mod switch;
pub mod topology;

pub use control::{ChannelId, ControlOutput, Controller};
pub use emulated::{EmulatedLab, LabError};
pub use host::EmulatedHost;
pub use hub::Hub;
pub use network::{Impairment, Network, NetworkCounters, NetworkOptions, Reach, RunEnd};
pub use of_policy::of_policy;
pub use switch::{EmulatedSwitch, Output, SwitchCounters, SwitchOptions};
pub use topology::{Endpoint, HostSpec, LinkSpec, SwitchSpec, Topology, TopologyError};

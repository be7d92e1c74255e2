//! The test bed: emulated switches, hosts and networks for controllers of OpenFlow 1.0 and 1.3.
//!
//! ```text
//!   your controller --- Controller (bytes, virtual time) --- Network --- EmulatedSwitch, EmulatedHost
//!   any controller  --- TCP on loopback ---------- EmulatedLab --- the same switches and hosts
//! ```
//!
//! # In virtual time
//!
//! A [`Network`] has switches, hosts, cables and the [`Controller`] under test. Time passes only when it
//! runs, and what is left to chance comes from a seed.
//!
//! ```
//! use std::time::Duration;
//! use umlaut_testbed::{Hub, Network, NetworkOptions, Topology};
//!
//! for seed in 0..10 {
//!     let options = NetworkOptions::default().seed(seed);
//!     let mut network = Network::new(&Topology::tree(2, 2), options, Hub::new())?;
//!     let _ = network.run_for(Duration::from_secs(1));
//!     assert!(network.reachability().iter().all(|pair| pair.reached));
//! }
//! # Ok::<(), umlaut_testbed::TopologyError>(())
//! ```
//!
//! An application of the framework is put on such a network by `umlaut::virtual_lab::VirtualLab`:
//!
//! ```
//! use umlaut::samples::RoutingSwitch;
//! use umlaut::virtual_lab::VirtualLab;
//! use umlaut_controller::Apps;
//! use umlaut_testbed::Topology;
//!
//! let mut lab = VirtualLab::new(Apps::new().with(RoutingSwitch), &Topology::ring(3, 1));
//! assert_eq!(lab.say("h1", "all"), ["h2", "h3"]);
//! assert_eq!(lab.say("h3", "h1"), ["h1"]);
//! ```
//!
//! # Over TCP
//!
//! [`EmulatedLab`] is the same network behind sockets, for any controller on loopback.
//!
//! # Scenarios
//!
//! A [`scenario`] is a file with a policy and steps, and what must arrive at every host. It runs on a
//! [`scenario::Ground`]: emulated (`umlaut::emulated_ground`), [`ovs::OpenVSwitch`], or
//! [`mininet::Mininet`].
//!
//! # Faithfulness
//!
//! [`EmulatedSwitch`] behaves like Open vSwitch where a controller can tell: random messages and frames
//! are sent to both, and must come to the same.
//!
//! # Load
//!
//! [`load`] puts thousands of fake switches on a controller and measures what it does.
//!
//! Everything but [`emulated`], [`lab`], [`load`], [`mininet`] and [`ovs`] is pure: values in, values out, `now` as an argument.

pub mod control;
pub mod emulated;
pub mod graphs;
pub mod host;
pub mod hub;
pub mod lab;
mod layout;
pub mod load;
pub mod mininet;
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

//! A load generator for controllers: fake switches that speak OpenFlow 1.0 or 1.3 over TCP, send
//! packet-ins and count what comes back; and a responder that shows what the generator can reach.
//!
//! ```text
//!   Population ──▶ policy file ──────────────▶ controller under test, or `respond`
//!       │                                           ▲ │ packet-ins, flow-removed / flow-mods
//!       └──▶ FakeSwitch (bytes, no clock) ◀──▶ Generator (sockets, one thread) ──▶ Measured
//! ```
//! A set-up is a flow-mod that adds an entry which sends frames on; a packet-out alone is none.
//!
//! Pure but for [`canned`], [`process`], [`machine`], and the sockets and stops of [`Generator`].

pub mod canned;
mod error;
mod generator;
pub mod machine;
mod phase;
pub mod policy;
pub mod population;
pub mod process;
mod removal;
mod replies;
mod results;
mod stops;
mod switch;
mod template;
mod wire;

pub use error::LoadError;
pub use generator::{Generator, Load, Sleep};
pub use phase::{End, Pace, Phase, Storm};
pub use population::{Population, PopulationError};
pub use results::{ApartFromStops, Counts, Cpu, Latencies, LatencySummary, Measured};
pub use switch::Workload;

//! An OpenFlow controller framework: sessions, discovery, topology, paths, hosts.
//!
//! An application implements [`App`] and is served by [`runtime::serve`]. See [`app`] for the
//! smallest one.
//!
//! ```text
//! bytes -> frame -> Message -> App::packet_in -> forward, flood, drop_flow -> encode -> bytes
//! ```
//!
//! Three tiers: *pure* modules have no IO, no clock and no locks; *shared* ones are the tables that
//! sessions share; the *runtime*, threads and tokio, can be left out (feature `runtime`).

pub mod app;
pub mod apps;
pub mod buffers;
pub mod command;
mod concerned;
pub mod directory;
pub mod discovery;
mod host_cache;
pub mod hosts;
pub mod inbox;
pub mod inspect;
pub mod lost;
pub mod mailbox;
mod near;
pub mod notice;
pub mod origin;
pub mod path;
pub mod plan;
pub mod program;
mod readback;
pub mod registry;
pub mod request;
pub mod routes;
#[cfg(feature = "runtime")]
pub mod runtime;
pub mod session;
pub mod shared;
mod slot_index;
pub mod storm;
pub mod switch;
pub mod timers;
pub mod topology;
pub mod view;
pub mod virtual_time;
mod wording;
pub mod world;

pub use app::{App, AppNo, Context, Fabric, Policy, SwitchError};
pub use apps::Apps;
pub use concerned::Concerned;
pub use hosts::Domain;
pub use inbox::{Teller, Told};
pub use origin::{Certificate, Origin};
pub use path::{DropClass, FlowKey, Route};
pub use shared::{Seed, Shared};
pub use switch::{Again, Outcome, SendError, Switch};
pub use view::{Event, Frame, Observer, View};

//! Asking a running controller over a Unix socket: the server, its protocol and its answers.
//! Runtime.
//!
//! ```text
//! umlaut switches ─▶ socket (0600) ─▶ client task ─▶ answer ─┬▶ shared tables
//!                                                            ├▶ a job in a switch's own turn
//!                                                            └▶ a request to the switch
//! ```
//! Questions run beside the sessions. What a session is asked is done in one of its turns, in pieces
//! of bounded size; no lock is held meanwhile.

pub(crate) mod answer;
pub mod events;
mod names;
mod open;
pub mod protocol;
pub mod rows;
mod server;
pub mod socket;
mod vocabulary;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use umlaut_controller::Shared;

use events::EventLog;
pub use names::Names;
pub use open::{SocketArgs, answer_at};
pub use server::{CLIENTS, serve};
pub use socket::ControlSocket;
pub(crate) use socket::connect;
pub use vocabulary::Vocabulary;

/// Questions to switches that run at once. A further one waits for its turn.
const QUESTIONS: usize = 4;

/// Changes what is logged; the error says what is wrong with the filter.
pub type SetLog = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// What may be asked of a controller.
pub struct Control<P: Vocabulary> {
    /// The controller.
    pub shared: Arc<Shared<P>>,
    /// What happened of late.
    pub events: Arc<EventLog>,
    /// Changes what is logged, if that can be changed.
    pub log: Option<SetLog>,
    /// Where switches connect.
    pub listening: Vec<SocketAddr>,
    questions: Semaphore,
    losses: server::Losses,
    started: Instant,
}

impl<P: Vocabulary> Control<P> {
    /// A controller that can be asked.
    pub fn new(shared: Arc<Shared<P>>, events: Arc<EventLog>, log: Option<SetLog>) -> Control<P> {
        Control {
            shared,
            events,
            log,
            listening: Vec::new(),
            questions: Semaphore::new(QUESTIONS),
            losses: server::Losses::default(),
            started: Instant::now(),
        }
    }
}

/// Where a controller listens unless told otherwise: in the user's runtime directory, else in the
/// system's.
pub fn default_path() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| !directory.is_empty()) {
        Some(directory) => PathBuf::from(directory).join("umlaut/umlaut.sock"),
        None => PathBuf::from("/run/umlaut.sock"),
    }
}

//! A switch from async code outside of handlers. Runtime.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use umlaut_openflow::{
    AggregateStats, DatapathId, FlowStats, FlowStatsRequest, Match, Message, Port, PortNo,
    PortStats, Role, RoleMessage, SwitchDescription, TableStats,
};

use crate::app::{AppNo, Policy};
use crate::command::{Command, Job};
use crate::directory::{Directory, Undelivered};
use crate::request::RequestError;
use crate::shared::Shared;
use crate::switch::Switch;
use crate::view::View;

/// A switch, for async code: what it asks is done in the switch's own turns, in order with what its
/// handlers do. From a handler: [`crate::Context::handle`].
///
/// ```no_run
/// use std::time::Duration;
/// use umlaut_controller::Shared;
/// use umlaut_controller::runtime::SwitchHandle;
/// use umlaut_openflow::{DatapathId, PortNo};
///
/// # async fn example(shared: std::sync::Arc<Shared<()>>) -> Result<(), Box<dyn std::error::Error>> {
/// let switch = SwitchHandle::new(&shared, DatapathId(1));
/// for port in switch.port_stats(PortNo::ANY, Duration::from_secs(5)).await? {
///     println!("{}: {} packets received", port.port_no, port.rx_packets);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SwitchHandle {
    directory: Arc<Directory>,
    dpid: DatapathId,
    app: AppNo,
}

/// Declares typed requests: the arguments, the message, and what of the answer is returned.
macro_rules! requests {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),*) -> $out:ty {
        $message:expr => $pattern:pat => $value:expr
    })*) => {
        $($(#[$doc])*
        ///
        /// # Errors
        /// As [`SwitchHandle::request`].
        pub async fn $name(&self, $($arg: $ty,)* timeout: Duration) -> Result<$out, RequestError> {
            match self.request($message, timeout).await? {
                $pattern => Ok($value),
                // An answer of another kind under the request's id.
                _ => Err(RequestError::Senseless),
            }
        })*
    };
}

impl SwitchHandle {
    /// A handle to a datapath, whether it is connected now or not. What it sends is the framework's:
    /// cookies go out as they are, and a deletion means everybody's entries. A flow entry that it adds
    /// is nobody's, and the next audits of the switch delete it: entries are added by applications
    /// ([`Context::handle`](crate::Context::handle)).
    pub fn new<P: Policy>(shared: &Shared<P>, dpid: DatapathId) -> SwitchHandle {
        SwitchHandle::of_app(shared.net.directory.clone(), dpid, AppNo::FRAMEWORK)
    }

    pub(crate) fn of_app(directory: Arc<Directory>, dpid: DatapathId, app: AppNo) -> SwitchHandle {
        SwitchHandle { directory, dpid, app }
    }

    /// The datapath.
    pub fn dpid(&self) -> DatapathId {
        self.dpid
    }

    /// Sends a message. One that the wire version cannot express is left unsent.
    ///
    /// # Errors
    /// [`Undelivered`]: the switch is not served, or its mailbox is full.
    pub fn send(&self, message: Message<'static>) -> Result<(), Undelivered> {
        let job = Job::new(self.app, move |switch, _| {
            let _ = switch.send(&message);
        });
        self.directory.offer(self.dpid, Command::Run(job))
    }

    /// Sends a request and waits for its answer, all parts in one.
    ///
    /// # Errors
    /// [`RequestError`]; after the time-out a late answer is dropped.
    pub async fn request(
        &self,
        message: Message<'static>,
        timeout: Duration,
    ) -> Result<Message<'static>, RequestError> {
        let (tell, told) = oneshot::channel();
        self.offer(move |switch, _| {
            // Nobody waits any more: nothing to do.
            switch.request(&message, Box::new(move |answer| drop(tell.send(answer))));
        })?;
        match tokio::time::timeout(timeout, told).await {
            Err(_) => Err(RequestError::TimedOut),
            Ok(answer) => answer.unwrap_or(Err(RequestError::Gone)),
        }
    }

    requests! {
        /// Waits until everything sent before is done.
        barrier() -> () { Message::BarrierRequest => Message::BarrierReply => () }
        /// What the switch says of itself.
        description() -> SwitchDescription {
            Message::DescriptionRequest => Message::DescriptionReply(description) => *description
        }
        /// Its ports, in both versions.
        ports() -> Vec<Port> {
            Message::PortDescriptionRequest => Message::PortDescriptionReply { ports, .. } => ports
        }
        /// The entries that a match covers.
        flow_stats(matches: Match) -> Vec<FlowStats> {
            Message::FlowStatsRequest(FlowStatsRequest::of(matches))
                => Message::FlowStatsReply { flows, .. } => flows
        }
        /// The sum over the entries that a match covers.
        aggregate_stats(matches: Match) -> AggregateStats {
            Message::AggregateStatsRequest(FlowStatsRequest::of(matches))
                => Message::AggregateStatsReply(sum) => sum
        }
        /// Tables.
        table_stats() -> Vec<TableStats> {
            Message::TableStatsRequest => Message::TableStatsReply { tables, .. } => tables
        }
        /// Counters of one port, or of `ANY`.
        port_stats(port: PortNo) -> Vec<PortStats> {
            Message::PortStatsRequest { port } => Message::PortStatsReply { ports, .. } => ports
        }
        /// Asks for a role; in 1.0 as Nicira does, without a generation.
        role(role: Role, generation_id: u64) -> RoleMessage {
            Message::RoleRequest(RoleMessage { role, generation_id })
                => Message::RoleReply(role) => role
        }
    }

    /// Runs a function in the switch's next turn and waits for its result.
    ///
    /// # Errors
    /// [`RequestError::Gone`], [`RequestError::Busy`]: the function did not run, or it panicked.
    pub async fn run<R: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Switch, &View<'_>) -> R + Send + 'static,
    ) -> Result<R, RequestError> {
        let (tell, told) = oneshot::channel();
        self.offer(move |switch, view| drop(tell.send(run(switch, view))))?;
        told.await.map_err(|_| RequestError::Gone)
    }

    fn offer(
        &self,
        run: impl FnOnce(&mut Switch, &View<'_>) + Send + 'static,
    ) -> Result<(), RequestError> {
        let Some(peer) = self.directory.peer(self.dpid) else {
            return Err(RequestError::Gone);
        };
        let job = Job::new(self.app, run);
        peer.mailbox.offer(Command::Run(job)).map_err(|_| RequestError::Busy)
    }
}

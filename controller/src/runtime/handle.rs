//! A switch from async code outside of handlers. Runtime.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use umlaut_openflow::{DatapathId, Message};

use crate::app::Policy;
use crate::command::{Command, Job};
use crate::directory::Undelivered;
use crate::request::RequestError;
use crate::shared::Shared;
use crate::switch::Switch;
use crate::view::View;

/// A switch, for async code: what it asks is done in the switch's own turns, in order with what its
/// handlers do.
///
/// ```no_run
/// use std::time::Duration;
/// use umlaut_controller::Shared;
/// use umlaut_controller::runtime::SwitchHandle;
/// use umlaut_openflow::{DatapathId, Message, PortNo};
///
/// # async fn example(shared: std::sync::Arc<Shared<()>>) -> Result<(), Box<dyn std::error::Error>> {
/// let switch = SwitchHandle::new(shared, DatapathId(1));
/// let request = Message::PortStatsRequest { port: PortNo::ANY };
/// let reply = switch.request(request, Duration::from_secs(5)).await?;
/// if let Message::PortStatsReply { ports, .. } = reply {
///     println!("{} ports", ports.len());
/// }
/// # Ok(())
/// # }
/// ```
pub struct SwitchHandle<P: Policy> {
    shared: Arc<Shared<P>>,
    dpid: DatapathId,
}

impl<P: Policy> Clone for SwitchHandle<P> {
    fn clone(&self) -> SwitchHandle<P> {
        SwitchHandle { shared: self.shared.clone(), dpid: self.dpid }
    }
}

impl<P: Policy> SwitchHandle<P> {
    /// A handle to a datapath, whether it is connected now or not.
    pub fn new(shared: Arc<Shared<P>>, dpid: DatapathId) -> SwitchHandle<P> {
        SwitchHandle { shared, dpid }
    }

    /// Sends a message as the framework: cookies are sent as they are. One that the wire version
    /// cannot express is left unsent.
    ///
    /// # Errors
    /// [`Undelivered`]: the switch is not served, or its mailbox is full.
    pub fn send(&self, message: Message<'static>) -> Result<(), Undelivered> {
        let job = Job::new(move |switch, _| {
            let _ = switch.send(&message);
        });
        self.shared.net.directory.offer(self.dpid, Command::Run(job))
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
        let job = Job::new(move |switch, _| {
            // Nobody waits any more: nothing to do.
            switch.request(&message, Box::new(move |answer| drop(tell.send(answer))));
        });
        self.offer(job)?;
        match tokio::time::timeout(timeout, told).await {
            Err(_) => Err(RequestError::TimedOut),
            Ok(answer) => answer.unwrap_or(Err(RequestError::Gone)),
        }
    }

    /// Runs a function in the switch's next turn and waits for its result.
    ///
    /// # Errors
    /// [`RequestError::Gone`], [`RequestError::Busy`]: the function did not run.
    pub async fn run<R: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Switch, &View<'_>) -> R + Send + 'static,
    ) -> Result<R, RequestError> {
        let (tell, told) = oneshot::channel();
        self.offer(Job::new(move |switch, view| drop(tell.send(run(switch, view)))))?;
        told.await.map_err(|_| RequestError::Gone)
    }

    fn offer(&self, job: Job) -> Result<(), RequestError> {
        let Some(peer) = self.shared.net.directory.peer(self.dpid) else {
            return Err(RequestError::Gone);
        };
        peer.mailbox.offer(Command::Run(job)).map_err(|_| RequestError::Busy)
    }
}

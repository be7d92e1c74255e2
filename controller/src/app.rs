//! What an application is to the framework. Pure: an application's handlers are synchronous and
//! their effects are messages in the switch's buffer and commands to other switches.

use std::any::type_name;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use umlaut_openflow::{
    Attachment, DatapathId, ErrorCode, FlowRemoved, MacAddr, Message, PacketIn, Port, PortNo,
    RoleMessage, Xid,
};

use crate::command::{Command, Job};
use crate::directory::Undelivered;
use crate::hosts::{Domain, Seen, Sighting};
use crate::notice::{HostAt, Notice};
use crate::origin::Origin;
use crate::path::FlowKey;
use crate::routes::Rule;
use crate::switch::{Again, Switch};
use crate::timers::{TimerName, TooManyTimers};
use crate::topology::Link;
use crate::view::View;

/// Whether a port is bound by the policy, and so an edge for ever.
pub type IsBound = Arc<dyn Fn(DatapathId, PortNo) -> bool + Send + Sync>;

/// One end of a link.
pub type End = (DatapathId, PortNo);

/// What a policy says of the network's shape, for discovery.
#[derive(Clone)]
pub struct Fabric {
    /// Ports that are edges for ever.
    pub bound: IsBound,
    /// If given, only these links are allowed (both directions).
    pub declared: Option<Arc<BTreeSet<(End, End)>>>,
}

impl Default for Fabric {
    fn default() -> Fabric {
        Fabric { bound: Arc::new(|_, _| false), declared: None }
    }
}

/// What an application is told to do, replaced as a whole: any value that threads can share.
pub trait Policy: Send + Sync + 'static {}

impl<P: Send + Sync + 'static> Policy for P {}

/// An application's place in the order of applications, from 1; 0 is the framework. It is in the
/// cookies of the application's flow entries, so their ends and errors find it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct AppNo(pub u8);

impl AppNo {
    /// The framework itself.
    pub const FRAMEWORK: AppNo = AppNo(0);
}

/// What a handler may use beside its switch: the time, one consistent World, the shared tables.
pub struct Context<'a, P = ()> {
    /// Time, topology, tables.
    pub view: View<'a>,
    /// The policy of this World.
    pub policy: &'a P,
    pub(crate) app: AppNo,
    pub(crate) taken: Cell<bool>,
}

impl<'a, P> Deref for Context<'a, P> {
    type Target = View<'a>;

    fn deref(&self) -> &View<'a> {
        &self.view
    }
}

impl<P> Context<'_, P> {
    /// Keeps this event from the applications that come later in the order.
    pub fn take(&self) {
        self.taken.set(true);
    }

    /// Notes where a host was admitted. If it moved, all switches decide its paths again.
    pub fn see_host(&self, domain: Domain, mac: MacAddr, at: Attachment, seen: Seen) -> Sighting {
        let sighting = self.net.hosts.see((domain, mac), at, seen, self.now);
        let host = HostAt { domain, mac, at };
        match sighting {
            Sighting::New => self.net.notice(Notice::HostLocated(host)),
            Sighting::Moved { from } => {
                self.net.directory.insist_all(|| Command::HostChanged { domain, mac });
                self.net.notice(Notice::HostMoved { host, from });
            }
            Sighting::Same | Sighting::Guarded | Sighting::Full => {}
        }
        sighting
    }

    // ---- other switches ----

    /// The switches that are served now, in order.
    pub fn switches(&self) -> Vec<DatapathId> {
        self.net.directory.peers().into_iter().map(|(dpid, _)| dpid).collect()
    }

    /// Runs a function in the next turn of a switch, as this application: what it asks there is
    /// answered to this application's handlers.
    ///
    /// # Errors
    /// [`Undelivered`]: the switch is not served, or its mailbox is full. The function does not run.
    pub fn on_switch(
        &self,
        dpid: DatapathId,
        run: impl FnOnce(&mut Switch) + Send + 'static,
    ) -> Result<(), Undelivered> {
        let app = self.app;
        let job = Job::new(move |switch, _| switch.acting_as(app, run));
        self.net.directory.offer(dpid, Command::Run(job))
    }

    /// Sends a message to any switch.
    ///
    /// # Errors
    /// [`Undelivered`]: the switch is not served, or its mailbox is full. A message that the wire
    /// version of the switch cannot express is left unsent.
    pub fn send(&self, dpid: DatapathId, message: Message<'static>) -> Result<(), Undelivered> {
        self.on_switch(dpid, move |switch| {
            let _ = switch.send(&message);
        })
    }

    // ---- time ----

    /// Calls [`App::timer`] with this name again and again, the first time after one period. A timer
    /// of this name that the application has already is replaced. A period of zero counts as one
    /// millisecond; periods that were missed are not made up for.
    ///
    /// # Errors
    /// [`TooManyTimers`]; the timer is not set.
    pub fn every(&self, name: impl Into<TimerName>, period: Duration) -> Result<(), TooManyTimers> {
        self.net.set_timer(self.app, name.into(), self.now, period, true)
    }

    /// Calls [`App::timer`] with this name once, after this time. A timer of this name that the
    /// application has already is replaced.
    ///
    /// # Errors
    /// [`TooManyTimers`]; the timer is not set.
    pub fn after(&self, name: impl Into<TimerName>, time: Duration) -> Result<(), TooManyTimers> {
        self.net.set_timer(self.app, name.into(), self.now, time, false)
    }

    /// Ends a timer of this application. Returns whether there was one.
    pub fn cancel(&self, name: &str) -> bool {
        self.net.cancel_timer(self.app, name)
    }

    // ---- routing of packet-ins ----

    /// Adds a rule that says which applications get which packet-ins. See [`crate::routes`].
    pub fn add_route(&self, rule: Rule) {
        self.net.change_routes(|routes| routes.add(rule.clone()));
    }

    /// Removes the rules for which `gone` is true.
    pub fn remove_routes(&self, gone: impl Fn(&Rule) -> bool) {
        self.net.change_routes(|routes| routes.remove(&gone));
    }
}

/// An error that a switch answered with.
#[derive(Debug)]
pub struct SwitchError<'a> {
    /// Type and code, numbered as in the switch's version.
    pub code: ErrorCode,
    /// The transaction id of what it answers.
    pub xid: Xid,
    /// What it answers, as it was sent, if it is remembered.
    pub request: Option<Message<'a>>,
}

/// An application: it decides what happens to packets. `P` is its policy, which is replaced as a
/// whole and seen together with the topology; applications without one run beside any.
///
/// Handlers of one switch run in the order of its messages; those of different switches run
/// concurrently, hence `&self`. Handlers without a switch (links, hosts, timers) run one after the
/// other. An application that panics is told of ([`crate::Event::AppFailed`]) and gets no further
/// events; its entries are removed and everything else goes on.
///
/// ```
/// use umlaut_controller::{App, Context, Switch};
/// use umlaut_openflow::{Action, PacketIn, PortNo};
///
/// struct Hub;
///
/// impl App for Hub {
///     fn packet_in(&self, sw: &mut Switch, _: &Context<'_>, packet: &PacketIn<'_>) {
///         let _ = sw.packet_out(packet.in_port, vec![Action::output(PortNo::FLOOD)], &packet.data);
///     }
/// }
/// ```
#[allow(unused_variables, reason = "handlers do nothing unless an application says otherwise")]
pub trait App<P: Policy = ()>: Send + Sync + 'static {
    /// What it is called in logs and routing rules: the name of its type, unless said otherwise.
    fn name(&self) -> &str {
        type_name::<Self>().rsplit("::").next().unwrap_or("app")
    }

    // ---- the controller ----

    /// The controller starts: no switch is connected yet.
    fn start(&self, cx: &Context<'_, P>) {}

    /// The controller ends; what is sent to switches now is still delivered.
    fn shutdown(&self, cx: &Context<'_, P>) {}

    /// A timer set with [`Context::every`] or [`Context::after`] is due.
    fn timer(&self, cx: &Context<'_, P>, name: &str) {}

    // ---- switches ----

    /// A switch is connected and its flow table empty.
    fn switch_ready(&self, sw: &mut Switch, cx: &Context<'_, P>) {}

    /// A switch's control connection ended.
    fn switch_gone(&self, dpid: DatapathId, cx: &Context<'_, P>) {}

    /// A packet came to the controller. LLDP does not get here.
    fn packet_in(&self, sw: &mut Switch, cx: &Context<'_, P>, packet: &PacketIn<'_>) {}

    /// A port was added; the topology of `cx` knows it already.
    fn port_added(&self, sw: &mut Switch, cx: &Context<'_, P>, port: &Port) {}

    /// A port changed: up, down, renamed; the topology of `cx` knows it already.
    fn port_changed(&self, sw: &mut Switch, cx: &Context<'_, P>, port: &Port) {}

    /// A port was removed; the topology of `cx` knows it already.
    fn port_removed(&self, sw: &mut Switch, cx: &Context<'_, P>, port: &Port) {}

    /// A flow entry of this application ended; the cookie is the application's own part.
    fn flow_removed(&self, sw: &mut Switch, cx: &Context<'_, P>, removed: &FlowRemoved) {}

    /// The switch answered something that this application sent with an error.
    fn error(&self, sw: &mut Switch, cx: &Context<'_, P>, error: &SwitchError<'_>) {}

    /// Statistics that this application asked for, all parts of them in one.
    fn stats_reply(&self, sw: &mut Switch, cx: &Context<'_, P>, xid: Xid, reply: &Message<'_>) {}

    /// Everything sent before a barrier of this application is done.
    fn barrier_reply(&self, sw: &mut Switch, cx: &Context<'_, P>, xid: Xid) {}

    /// The role that this application asked for.
    fn role_reply(&self, sw: &mut Switch, cx: &Context<'_, P>, xid: Xid, role: &RoleMessage) {}

    /// Any other reply that this application asked for: features, configuration, queues, echo.
    fn reply(&self, sw: &mut Switch, cx: &Context<'_, P>, xid: Xid, reply: &Message<'_>) {}

    /// A request of this application was not answered within [`crate::request::REQUEST_TIMEOUT`].
    fn no_reply(&self, sw: &mut Switch, cx: &Context<'_, P>, xid: Xid) {}

    /// An experimenter's message, asked for or not. All applications get it.
    fn experimenter(&self, sw: &mut Switch, cx: &Context<'_, P>, experimenter: u32, body: &[u8]) {}

    // ---- the network ----

    /// A link was found. Both directions are told apart.
    fn link_up(&self, cx: &Context<'_, P>, link: &Link) {}

    /// A link is gone.
    fn link_down(&self, cx: &Context<'_, P>, link: &Link) {}

    /// A host was located for the first time.
    fn host_located(&self, cx: &Context<'_, P>, host: &HostAt) {}

    /// A host is somewhere else now.
    fn host_moved(&self, cx: &Context<'_, P>, host: &HostAt, from: Attachment) {}

    /// A host is forgotten: its port went down or it was not seen for long.
    fn host_gone(&self, cx: &Context<'_, P>, domain: Domain, mac: MacAddr) {}

    // ---- asked by the framework ----

    /// Decides again what a registered path's frames should do, under a new World or after a host
    /// moved. Must be a pure function of the World and the host table. The framework keeps, reroutes
    /// or removes the path accordingly.
    fn decide_again(&self, sw: &Switch, cx: &Context<'_, P>, key: &FlowKey) -> Again {
        Again::Nothing
    }

    /// Whether a datapath may join from there; the reason if not. Asked before anything else is done
    /// with it, and again under every new policy: a connected switch that is refused then is emptied
    /// and disconnected. All applications must agree. Must be a pure function of the policy.
    ///
    /// # Errors
    /// Why not, as a log line says it.
    fn admits_switch(&self, policy: &P, dpid: DatapathId, from: &Origin) -> Result<(), String> {
        Ok(())
    }

    /// What a policy says of the network's shape.
    fn fabric(&self, policy: &P) -> Fabric {
        Fabric::default()
    }
}

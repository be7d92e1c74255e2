//! What an application is to the framework. Pure: an application's handlers are synchronous and
//! their effects are messages in the switch's buffer and commands to other switches.

use std::any::type_name;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use umlaut_openflow::{
    AggregateStats, AsyncConfig, Attachment, DatapathId, ErrorCode, Features, FlowRemoved,
    FlowStats, GroupDescription, GroupFeatures, GroupStats, MacAddr, Message, MeterConfig,
    MeterFeatures, MeterStats, PacketIn, Port, PortNo, PortStats, QueueConfig, QueueStats,
    RoleMessage, SwitchConfig, SwitchDescription, TableFeatures, TableStats, Xid,
};

use crate::command::{Command, Job};
use crate::concerned::Concerned;
use crate::directory::Undelivered;
use crate::host_cache::HostCache;
use crate::hosts::{Domain, HostEntry, HostKey, Keeps, Seen, Sighting};
use crate::inbox::{Teller, Told};
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
    /// What the switch's session was told of hosts; for packet-ins only.
    pub(crate) hosts: Option<&'a RefCell<HostCache>>,
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
        let sighting = match self.hosts {
            Some(hosts) => hosts.borrow_mut().see(self, (domain, mac), at, seen),
            None => self.net.hosts.see((domain, mac), at, seen, self.now),
        };
        let host = HostAt { domain, mac, at };
        match sighting {
            Sighting::New => self.net.notice(Notice::HostLocated(host)),
            Sighting::Moved { from } => {
                self.net.directory.insist_all(|| Command::HostChanged { domain, mac });
                self.net.notice(Notice::HostMoved { host, from });
            }
            Sighting::Lost { .. } => {
                self.net.directory.insist_all(|| Command::HostChanged { domain, mac });
                self.net.notice(Notice::HostGone { domain, mac });
            }
            Sighting::Same | Sighting::Guarded | Sighting::Full => {}
        }
        sighting
    }

    /// Notes where a refused host may be, unless it is known better
    /// ([`HostTable::see_tentative`](crate::hosts::HostTable::see_tentative)). Paths to where it was
    /// guessed to be before are decided again.
    pub fn guess_host(&self, domain: Domain, mac: MacAddr, at: Attachment) {
        if let Sighting::Moved { .. } | Sighting::Lost { .. } =
            self.net.hosts.guess((domain, mac), at, self.now)
        {
            self.net.directory.insist_all(|| Command::HostChanged { domain, mac });
        }
    }

    /// Where a host was admitted, or is guessed to be. For more of it there is
    /// [`HostTable::locate`](crate::hosts::HostTable::locate).
    pub fn host_at(&self, domain: Domain, mac: MacAddr) -> Option<Attachment> {
        match self.hosts {
            Some(hosts) => hosts.borrow_mut().locate(self, (domain, mac)),
            None => self.net.hosts.locate((domain, mac)).map(|host| host.at),
        }
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
        let job = Job::new(self.app, move |switch, _| run(switch));
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

    /// A switch for async code that this application leaves behind: what that asks is this
    /// application's.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use umlaut_controller::{App, Context, Switch};
    /// use umlaut_openflow::{PacketIn, PortNo};
    ///
    /// struct Prober;
    ///
    /// impl App for Prober {
    ///     fn packet_in(&self, sw: &mut Switch, cx: &Context<'_>, _: &PacketIn<'_>) {
    ///         let (switch, me) = (cx.handle(sw.dpid()), cx.teller());
    ///         tokio::spawn(async move {
    ///             let ports = switch.port_stats(PortNo::ANY, Duration::from_secs(1)).await;
    ///             // Comes to `App::told`; a full inbox loses it.
    ///             let _ = me.tell(ports);
    ///         });
    ///     }
    /// }
    /// ```
    #[cfg(feature = "runtime")]
    pub fn handle(&self, dpid: DatapathId) -> crate::runtime::SwitchHandle {
        crate::runtime::SwitchHandle::of_app(self.net.directory.clone(), dpid, self.app)
    }

    /// Who tells this application something from outside of its handlers.
    pub fn teller(&self) -> Teller {
        Teller { inbox: self.net.inbox.clone(), app: self.app }
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

    /// Something that was left for this application with a [`Teller`]: by async code, by another
    /// application, by whoever runs the controller.
    fn told(&self, cx: &Context<'_, P>, message: Told) {}

    // ---- switches ----

    /// A switch is connected. Of the flow entries that it had, only those of registered paths are
    /// left, each decided again before the first packet-in.
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

    /// Everything sent before a barrier of this application is done.
    fn barrier_reply(&self, sw: &mut Switch, cx: &Context<'_, P>, xid: Xid) {}

    /// The role that this application asked for.
    fn role_reply(&self, sw: &mut Switch, cx: &Context<'_, P>, xid: Xid, role: &RoleMessage) {}

    /// A request of this application was not answered within [`crate::request::REQUEST_TIMEOUT`].
    fn no_reply(&self, sw: &mut Switch, cx: &Context<'_, P>, xid: Xid) {}

    /// An experimenter's message, asked for or not. All applications get it.
    fn experimenter(&self, sw: &mut Switch, cx: &Context<'_, P>, experimenter: u32, body: &[u8]) {}

    // ---- statistics that this application asked for: all parts of an answer in one ----

    /// Any of the statistics below, which it calls unless an application says otherwise.
    fn stats_reply(&self, sw: &mut Switch, cx: &Context<'_, P>, xid: Xid, reply: &Message<'_>) {
        match reply {
            Message::DescriptionReply(v) => self.description_reply(sw, cx, xid, v),
            Message::PortDescriptionReply { ports, .. } => self.ports_reply(sw, cx, xid, ports),
            Message::FlowStatsReply { flows, .. } => self.flow_stats_reply(sw, cx, xid, flows),
            Message::AggregateStatsReply(v) => self.aggregate_stats_reply(sw, cx, xid, v),
            Message::TableStatsReply { tables, .. } => self.table_stats_reply(sw, cx, xid, tables),
            Message::PortStatsReply { ports, .. } => self.port_stats_reply(sw, cx, xid, ports),
            Message::QueueStatsReply { queues, .. } => self.queue_stats_reply(sw, cx, xid, queues),
            Message::GroupStatsReply { groups, .. } => self.group_stats_reply(sw, cx, xid, groups),
            Message::GroupDescriptionReply { groups, .. } => {
                self.groups_reply(sw, cx, xid, groups);
            }
            Message::GroupFeaturesReply(v) => self.group_features_reply(sw, cx, xid, v),
            Message::MeterStatsReply { meters, .. } => self.meter_stats_reply(sw, cx, xid, meters),
            Message::MeterConfigReply { meters, .. } => self.meters_reply(sw, cx, xid, meters),
            Message::MeterFeaturesReply(v) => self.meter_features_reply(sw, cx, xid, v),
            Message::TableFeaturesReply { tables, .. } => {
                self.table_features_reply(sw, cx, xid, tables);
            }
            Message::ExperimenterStatsReply { experimenter, body, .. } => {
                self.experimenter_stats_reply(sw, cx, xid, *experimenter, body);
            }
            _ => {}
        }
    }

    /// What the switch says of itself.
    fn description_reply(
        &self,
        sw: &mut Switch,
        cx: &Context<'_, P>,
        xid: Xid,
        description: &SwitchDescription,
    ) {
    }

    /// Its ports, in both versions.
    fn ports_reply(&self, sw: &mut Switch, cx: &Context<'_, P>, xid: Xid, ports: &[Port]) {}

    /// Flow entries. Cookies of this application's are as it gave them; those of others have the
    /// number of their maker in the upper 8 bits.
    fn flow_stats_reply(
        &self,
        sw: &mut Switch,
        cx: &Context<'_, P>,
        xid: Xid,
        flows: &[FlowStats],
    ) {
    }

    /// The sum over flow entries.
    fn aggregate_stats_reply(
        &self,
        sw: &mut Switch,
        cx: &Context<'_, P>,
        xid: Xid,
        sum: &AggregateStats,
    ) {
    }

    /// Tables.
    fn table_stats_reply(
        &self,
        sw: &mut Switch,
        cx: &Context<'_, P>,
        xid: Xid,
        tables: &[TableStats],
    ) {
    }

    /// Counters of ports.
    fn port_stats_reply(
        &self,
        sw: &mut Switch,
        cx: &Context<'_, P>,
        xid: Xid,
        ports: &[PortStats],
    ) {
    }

    /// Counters of queues.
    fn queue_stats_reply(
        &self,
        sw: &mut Switch,
        cx: &Context<'_, P>,
        xid: Xid,
        queues: &[QueueStats],
    ) {
    }

    /// Counters of groups.
    fn group_stats_reply(
        &self,
        sw: &mut Switch,
        cx: &Context<'_, P>,
        xid: Xid,
        groups: &[GroupStats],
    ) {
    }

    /// What the groups are.
    fn groups_reply(
        &self,
        sw: &mut Switch,
        cx: &Context<'_, P>,
        xid: Xid,
        groups: &[GroupDescription],
    ) {
    }

    /// What groups the switch can.
    fn group_features_reply(
        &self,
        sw: &mut Switch,
        cx: &Context<'_, P>,
        xid: Xid,
        features: &GroupFeatures,
    ) {
    }

    /// Counters of meters.
    fn meter_stats_reply(
        &self,
        sw: &mut Switch,
        cx: &Context<'_, P>,
        xid: Xid,
        meters: &[MeterStats],
    ) {
    }

    /// What the meters are.
    fn meters_reply(&self, sw: &mut Switch, cx: &Context<'_, P>, xid: Xid, meters: &[MeterConfig]) {
    }

    /// What meters the switch can.
    fn meter_features_reply(
        &self,
        sw: &mut Switch,
        cx: &Context<'_, P>,
        xid: Xid,
        features: &MeterFeatures,
    ) {
    }

    /// What the tables can.
    fn table_features_reply(
        &self,
        sw: &mut Switch,
        cx: &Context<'_, P>,
        xid: Xid,
        tables: &[TableFeatures],
    ) {
    }

    /// An experimenter's statistics.
    fn experimenter_stats_reply(
        &self,
        sw: &mut Switch,
        cx: &Context<'_, P>,
        xid: Xid,
        experimenter: u32,
        body: &[u8],
    ) {
    }

    // ---- other replies that this application asked for ----

    /// Any of the replies below, which it calls unless an application says otherwise.
    fn reply(&self, sw: &mut Switch, cx: &Context<'_, P>, xid: Xid, reply: &Message<'_>) {
        match reply {
            Message::EchoReply(payload) => self.echo_reply(sw, cx, xid, payload),
            Message::FeaturesReply(features) => self.features_reply(sw, cx, xid, features),
            Message::GetConfigReply(config) => self.config_reply(sw, cx, xid, config),
            Message::GetAsyncReply(config) => self.async_reply(sw, cx, xid, config),
            Message::QueueGetConfigReply { port, queues } => {
                self.queues_reply(sw, cx, xid, *port, queues);
            }
            _ => {}
        }
    }

    /// The payload of an echo request.
    fn echo_reply(&self, sw: &mut Switch, cx: &Context<'_, P>, xid: Xid, payload: &[u8]) {}

    /// What the switch is and can; its ports are told by [`App::ports_reply`] in both versions.
    fn features_reply(&self, sw: &mut Switch, cx: &Context<'_, P>, xid: Xid, features: &Features) {}

    /// How the switch is configured.
    fn config_reply(&self, sw: &mut Switch, cx: &Context<'_, P>, xid: Xid, config: &SwitchConfig) {}

    /// Which asynchronous messages come here.
    fn async_reply(&self, sw: &mut Switch, cx: &Context<'_, P>, xid: Xid, config: &AsyncConfig) {}

    /// The queues of a port.
    fn queues_reply(
        &self,
        sw: &mut Switch,
        cx: &Context<'_, P>,
        xid: Xid,
        port: PortNo,
        queues: &[QueueConfig],
    ) {
    }

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

    /// A flow entry of an earlier run of the controller says that this host is there. An application
    /// that may register paths of hosts notes it, as it notes a frame of the host, if its policy of
    /// now lets it: the entry is then decided again.
    fn recall(&self, cx: &Context<'_, P>, at: Attachment, mac: MacAddr) {}

    /// Whom the step from one policy to the next concerns. All others are not asked about again, so
    /// whoever does not know says all. Must be a pure function of the policies.
    fn concerned(&self, old: &P, new: &P) -> Concerned {
        Concerned::All
    }

    /// What becomes of a host of the host table under a new policy. Asked once for every host that is
    /// concerned when a policy has come into force; all applications must keep it. Must be a pure
    /// function of the policy.
    fn keeps_host(&self, policy: &P, host: HostKey, entry: &HostEntry) -> Keeps {
        Keeps::AsItIs
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

//! What a session sees of the rest of the network, and tells it. Shared: no IO, clock, async.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use umlaut_openflow::packet::Tag;
use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo, Version};

use crate::app::AppNo;
use crate::command::HopFailure;
use crate::directory::Directory;
use crate::hosts::{Domain, HostKey, HostTable};
use crate::inbox::Inbox;
use crate::notice::{NOTICES, Notice};
use crate::path::PathRef;
use crate::routes::Routes;
use crate::timers::{TimerName, Timers, TooManyTimers};
use crate::topology::Topology;

/// Something that an operator wants to know. Given to the [`Observer`]; pure code logs nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A switch is connected, its flow table empty, its packet-ins handled from now on.
    SwitchReady {
        /// The switch.
        dpid: DatapathId,
        /// The wire version agreed.
        version: Version,
        /// Its ports.
        ports: usize,
    },
    /// A switch's control connection ended.
    SwitchGone {
        /// The switch.
        dpid: DatapathId,
        /// Why.
        reason: String,
    },
    /// A connection ended before it was ready.
    ConnectionRefused {
        /// Where it came from.
        peer: String,
        /// Why.
        reason: String,
    },
    /// A link was found or confirmed again.
    LinkUp {
        /// One end, as datapath/port.
        from: String,
        /// The other end.
        to: String,
    },
    /// A link is gone.
    LinkDown {
        /// One end.
        from: String,
        /// The other end.
        to: String,
    },
    /// No port of any switch is being probed.
    TopologySettled {
        /// Switches known.
        switches: usize,
        /// Links known, each direction counted.
        links: usize,
    },
    /// Discovery saw what it must not see: forged, relayed or misplaced LLDP.
    Alarm(String),
    /// A path could not be installed; its frames are forwarded one by one.
    PathFailed {
        /// The path.
        path: PathRef,
        /// Where it enters.
        dpid: DatapathId,
        /// Why.
        failure: HopFailure,
    },
    /// A mailbox overran or a switch lost track: its flows were deleted and start anew.
    Resync {
        /// The switch.
        dpid: DatapathId,
    },
    /// A switch answered with an error.
    SwitchError {
        /// The switch.
        dpid: DatapathId,
        /// Type and code in its version.
        code: umlaut_openflow::ErrorCode,
    },
    /// A host was refused; told once per host and reason.
    Refused {
        /// The sender.
        host: String,
        /// Where.
        at: String,
        /// The reason's code.
        reason: &'static str,
        /// What would admit it.
        slice_hint: String,
    },
    /// A policy is in force.
    PolicyInForce {
        /// Its World revision.
        revision: u64,
    },
    /// A port of a switch is up, or exists now.
    PortUp {
        /// The switch.
        dpid: DatapathId,
        /// The port.
        port: PortNo,
    },
    /// A port of a switch is down or removed.
    PortDown {
        /// The switch.
        dpid: DatapathId,
        /// The port.
        port: PortNo,
    },
    /// A host was located for the first time.
    HostLocated {
        /// Its domain.
        domain: Domain,
        /// Its address.
        mac: MacAddr,
        /// Where it is.
        at: Attachment,
    },
    /// A host is somewhere else now.
    HostMoved {
        /// Its domain.
        domain: Domain,
        /// Its address.
        mac: MacAddr,
        /// Where it was.
        from: Attachment,
        /// Where it is.
        to: Attachment,
    },
    /// A host is forgotten: its port went down or it was not seen for long.
    HostGone {
        /// Its domain.
        domain: Domain,
        /// Its address.
        mac: MacAddr,
    },
    /// An audit of a switch's flow table mended what two readings of it had found wrong.
    Repaired {
        /// The switch.
        dpid: DatapathId,
        /// Registered entries that were not there as they should be.
        missing: u64,
        /// Entries that nobody had registered.
        strange: u64,
    },
    /// A domain causes more packet-ins on a port than are decided: they are dropped, since 100 ms; told
    /// once until there is quiet for ten seconds.
    Storm {
        /// The switch.
        dpid: DatapathId,
        /// Where the frames come in.
        port: PortNo,
        /// The domain that admits their senders, if any does.
        domain: Option<Domain>,
        /// One of the senders.
        sender: MacAddr,
    },
    /// An application panicked; it gets no further events and its entries are removed.
    AppFailed {
        /// Its name.
        app: String,
        /// What it said.
        message: String,
    },
    /// Applications are slower than what happens: so many notices of links and hosts were lost.
    NoticesLost {
        /// How many.
        lost: u64,
    },
}

/// Takes events. Called from sessions, with no lock of the framework held but the slow path's.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn event(&self, event: &Event);

    /// Time passed: called at least every few seconds.
    fn tick(&self, _now: Instant) {}
}

/// Takes no notice of events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn event(&self, _: &Event) {}
}

/// Tells several observers of each event, in their order.
impl Observer for Vec<Box<dyn Observer>> {
    fn event(&self, event: &Event) {
        self.iter().for_each(|observer| observer.event(event));
    }
}

/// Who is shared with others hears through its `Arc`.
impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn event(&self, event: &Event) {
        O::event(self, event);
    }
}

/// The tables that all sessions share.
pub struct Net {
    /// Where hosts are.
    pub hosts: HostTable,
    /// Who serves which datapath.
    pub directory: Arc<Directory>,
    /// Who hears of events.
    pub observer: Box<dyn Observer>,
    /// The process's mark in cookies.
    pub epoch: u8,
    /// Bounded by [`NOTICES`]; a further notice is counted in `lost`. Pushed for a host that is new
    /// or elsewhere, never for one that is seen again.
    notices: Mutex<VecDeque<Notice>>,
    lost: AtomicU64,
    timers: Mutex<Timers>,
    routes: ArcSwap<Routes>,
    /// Whether there are any: read per packet-in, written by hand.
    routed: AtomicBool,
    /// Switches that have told where their entries of an earlier run say that hosts are.
    recalls: AtomicU64,
    adoptions: Mutex<Adoptions>,
    /// What applications are told from outside of their handlers.
    pub(crate) inbox: Arc<Inbox>,
}

/// What switches that decide entries of an earlier run tell each other. Not locked but by them.
#[derive(Debug, Default)]
pub(crate) struct Adoptions {
    running: usize,
    /// Paths whose egress switch has told its entries, at most as many as those entries; forgotten
    /// when no switch decides any more.
    egresses: HashSet<(u8, PathRef)>,
}

impl Adoptions {
    pub(crate) fn begin(&mut self) {
        self.running += 1;
    }

    pub(crate) fn end(&mut self) {
        self.running = self.running.saturating_sub(1);
        if self.running == 0 {
            self.egresses = HashSet::new();
        }
    }

    pub(crate) fn note_egress(&mut self, path: (u8, PathRef)) {
        self.egresses.insert(path);
    }

    pub(crate) fn knows_egress(&self, path: (u8, PathRef)) -> bool {
        self.egresses.contains(&path)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Holders do single operations on whole values: a panicking one leaves nothing half-done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Net {
    /// Empty tables.
    pub fn new(observer: Box<dyn Observer>, epoch: u8) -> Net {
        Net {
            hosts: HostTable::new(),
            directory: Arc::default(),
            observer,
            epoch,
            notices: Mutex::default(),
            lost: AtomicU64::new(0),
            timers: Mutex::default(),
            routes: ArcSwap::default(),
            routed: AtomicBool::new(false),
            recalls: AtomicU64::new(0),
            adoptions: Mutex::default(),
            inbox: Arc::default(),
        }
    }

    pub(crate) fn wake_slow_path(&self) {
        self.inbox.wake();
    }

    pub(crate) fn adoptions(&self) -> MutexGuard<'_, Adoptions> {
        locked(&self.adoptions)
    }

    pub(crate) fn recalls(&self) -> u64 {
        self.recalls.load(Ordering::Acquire)
    }

    pub(crate) fn recalled(&self) {
        self.recalls.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn notice(&self, notice: Notice) {
        let mut notices = locked(&self.notices);
        if notices.len() >= NOTICES {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        notices.push_back(notice);
        drop(notices);
        self.wake_slow_path();
    }

    pub(crate) fn hosts_gone(&self, hosts: &[HostKey]) {
        for (domain, mac) in hosts.iter().copied() {
            self.notice(Notice::HostGone { domain, mac });
        }
    }

    pub(crate) fn take_notice(&self) -> Option<Notice> {
        locked(&self.notices).pop_front()
    }

    pub(crate) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }

    pub(crate) fn has_notices(&self) -> bool {
        !locked(&self.notices).is_empty()
    }

    pub(crate) fn set_timer(
        &self,
        app: AppNo,
        name: TimerName,
        now: Instant,
        time: Duration,
        periodic: bool,
    ) -> Result<(), TooManyTimers> {
        locked(&self.timers).set(app, name, now, time, periodic)?;
        self.wake_slow_path();
        Ok(())
    }

    pub(crate) fn cancel_timer(&self, app: AppNo, name: &str) -> bool {
        locked(&self.timers).cancel(app, name)
    }

    pub(crate) fn cancel_timers(&self, app: AppNo) {
        locked(&self.timers).cancel_all(app);
    }

    pub(crate) fn take_timer(&self, now: Instant) -> Option<(AppNo, TimerName)> {
        locked(&self.timers).take_due(now)
    }

    pub(crate) fn next_timer(&self) -> Option<Instant> {
        locked(&self.timers).deadline()
    }

    /// The routing rules of packet-ins, if there are any.
    pub fn routes(&self) -> Option<Arc<Routes>> {
        self.routed.load(Ordering::Relaxed).then(|| self.routes.load_full())
    }

    pub(crate) fn change_routes(&self, change: impl Fn(&mut Routes)) {
        self.routes.rcu(|routes| {
            let mut routes = Routes::clone(routes);
            change(&mut routes);
            routes
        });
        self.routed.store(!self.routes.load().rules().is_empty(), Ordering::Relaxed);
    }
}

/// What a session sees during one turn: the time, one topology, the shared tables.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The time of this turn.
    pub now: Instant,
    /// The World revision of this turn.
    pub revision: u64,
    /// The World revision at which the policy last changed.
    pub policy_revision: u64,
    /// The topology of this turn.
    pub topology: &'a Topology,
    /// The shared tables.
    pub net: &'a Net,
}

/// A frame in the controller's hands.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its bytes; all of them unless `buffer_id` says where the rest is.
    pub data: &'a [u8],
    /// Its tag state.
    pub tag: Tag,
    /// The switch's copy, if it kept one.
    pub buffer_id: Option<umlaut_openflow::BufferId>,
    /// Whether `data` is the whole frame.
    pub whole: bool,
}

/// A host as its domain knows it.
pub type HostName = (Domain, umlaut_openflow::MacAddr);

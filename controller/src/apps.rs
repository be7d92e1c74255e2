//! The applications of a controller, in their order: who gets which event, and what happens when one
//! panics. Pure but for the shared tables of [`View`].

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use umlaut_openflow::packet::Headers;
use umlaut_openflow::{Cookie, DatapathId, PacketIn};

use crate::app::{App, AppNo, Context, Fabric, Policy};
use crate::command::{Command, Job};
use crate::concerned::Concerned;
use crate::host_cache::HostCache;
use crate::hosts::{HostEntry, HostKey, Keeps};
use crate::origin::Origin;
use crate::path::FlowKey;
use crate::switch::{Again, Switch};
use crate::view::{Event, Net, View};

/// How many applications one controller runs: their numbers share a byte of the cookie with the
/// framework's own entries.
pub const APPS: usize = 126;

struct Entry<P: Policy> {
    app: Box<dyn App<P>>,
    /// It panicked: it gets nothing any more.
    unloaded: AtomicBool,
}

/// Applications in the order in which they get events.
///
/// ```
/// use umlaut_controller::{App, Apps};
///
/// struct Firewall;
/// impl App for Firewall {}
/// struct Forwarder;
/// impl App for Forwarder {}
///
/// let apps: Apps<()> = Apps::new().with(Firewall).with(Forwarder);
/// assert!(apps.names().eq(["Firewall", "Forwarder"]));
/// ```
pub struct Apps<P: Policy> {
    entries: Vec<Entry<P>>,
}

impl<P: Policy> Default for Apps<P> {
    fn default() -> Apps<P> {
        Apps { entries: Vec::new() }
    }
}

impl<P: Policy> Apps<P> {
    /// No application.
    pub fn new() -> Apps<P> {
        Apps::default()
    }

    /// Adds an application behind the others.
    ///
    /// # Panics
    /// At [`APPS`].
    #[must_use]
    pub fn with(self, app: impl App<P>) -> Apps<P> {
        self.with_boxed(Box::new(app))
    }

    /// Adds an application behind the others.
    ///
    /// # Panics
    /// At [`APPS`].
    #[must_use]
    pub fn with_boxed(mut self, app: Box<dyn App<P>>) -> Apps<P> {
        assert!(self.entries.len() < APPS, "a controller runs at most {APPS} applications");
        self.entries.push(Entry { app, unloaded: AtomicBool::new(false) });
        self
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.app.name())
    }

    fn loaded(&self) -> impl Iterator<Item = (AppNo, &Entry<P>)> {
        let numbered = self.entries.iter().zip(1..);
        numbered
            .filter(|(entry, _)| !entry.unloaded.load(Ordering::Relaxed))
            .map(|(entry, no)| (AppNo(no), entry))
    }

    fn entry(&self, no: AppNo) -> Option<&Entry<P>> {
        let entry = self.entries.get(usize::from(no.0).checked_sub(1)?)?;
        (!entry.unloaded.load(Ordering::Relaxed)).then_some(entry)
    }

    /// Runs code of an application, or code outside of applications. If it panics, that is told of;
    /// the application gets nothing any more, its timers end, and all switches remove its entries.
    pub(crate) fn guarded<R>(&self, no: AppNo, net: &Net, run: impl FnOnce() -> R) -> Option<R> {
        let panic = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(result) => return Some(result),
            Err(panic) => panic,
        };
        let message = panic_message(&*panic);
        let Some(entry) = usize::from(no.0).checked_sub(1).and_then(|at| self.entries.get(at))
        else {
            let app = "code outside of applications".to_owned();
            net.observer.event(&Event::AppFailed { app, message });
            return None;
        };
        if !entry.unloaded.swap(true, Ordering::Relaxed) {
            let app = entry.app.name().to_owned();
            net.observer.event(&Event::AppFailed { app, message });
            net.cancel_timers(no);
            net.directory.insist_all(|| Command::AppGone(no));
        }
        None
    }

    fn call<R>(
        &self,
        (no, entry): (AppNo, &Entry<P>),
        cx: &Context<'_, P>,
        handler: impl FnOnce(&dyn App<P>) -> R,
    ) -> Option<R> {
        self.guarded(no, cx.net, || handler(&*entry.app))
    }

    /// Runs what was left for a turn of a switch, as whoever left it; nothing, if that is an
    /// application that is not loaded any more.
    pub(crate) fn run(&self, job: Job, switch: &mut Switch, view: &View<'_>) {
        let Job { app, run } = job;
        if app == AppNo::FRAMEWORK || self.entry(app).is_some() {
            switch.act_as(app);
            self.guarded(app, view.net, || run(switch, view));
            switch.act_as(AppNo::FRAMEWORK);
        }
    }

    /// The number of the first application of this name.
    pub(crate) fn number(&self, name: &str) -> Option<AppNo> {
        self.loaded().find(|(_, entry)| entry.app.name() == name).map(|(no, _)| no)
    }

    // ---- events ----

    /// Calls a handler of all applications in order, until one takes the event.
    pub(crate) fn each(
        &self,
        view: View<'_>,
        policy: &P,
        handler: impl Fn(&dyn App<P>, &Context<'_, P>),
    ) {
        let mut cx = context(view, policy);
        for (no, entry) in self.loaded() {
            cx.app = no;
            self.call((no, entry), &cx, |app| handler(app, &cx));
            if cx.taken.get() {
                return;
            }
        }
    }

    /// The same, for an event of a switch: what the handler sends is its application's.
    pub(crate) fn each_on(
        &self,
        switch: &mut Switch,
        view: View<'_>,
        policy: &P,
        handler: impl Fn(&dyn App<P>, &mut Switch, &Context<'_, P>),
    ) {
        let mut cx = context(view, policy);
        for (no, entry) in self.loaded() {
            cx.app = no;
            switch.act_as(no);
            self.call((no, entry), &cx, |app| handler(app, switch, &cx));
            if cx.taken.get() {
                break;
            }
        }
        switch.act_as(AppNo::FRAMEWORK);
    }

    /// Calls a handler of one application, if it is loaded.
    pub(crate) fn one(
        &self,
        no: AppNo,
        view: View<'_>,
        policy: &P,
        handler: impl FnOnce(&dyn App<P>, &Context<'_, P>),
    ) {
        let Some(entry) = self.entry(no) else { return };
        let cx = Context { app: no, ..context(view, policy) };
        self.call((no, entry), &cx, |app| handler(app, &cx));
    }

    /// The same, for an event of a switch.
    pub(crate) fn one_on(
        &self,
        no: AppNo,
        switch: &mut Switch,
        view: View<'_>,
        policy: &P,
        handler: impl FnOnce(&dyn App<P>, &mut Switch, &Context<'_, P>),
    ) {
        let Some(entry) = self.entry(no) else { return };
        let cx = Context { app: no, ..context(view, policy) };
        switch.act_as(no);
        self.call((no, entry), &cx, |app| handler(app, switch, &cx));
        switch.act_as(AppNo::FRAMEWORK);
    }

    /// A packet-in, to whom the routing rules say.
    pub(crate) fn packet_in(
        &self,
        switch: &mut Switch,
        view: View<'_>,
        policy: &P,
        hosts: &RefCell<HostCache>,
        packet: &PacketIn<'_>,
    ) {
        let routes = view.net.routes();
        let rule = routes.as_ref().and_then(|routes| {
            routes.find(switch.dpid(), packet.in_port, &Headers::parse(&packet.data))
        });
        // The cookie of the entry that sent the packet here is shown to its maker as it gave it.
        let made = switch.made_by(packet.cookie);
        let mut cx = Context { hosts: Some(hosts), ..context(view, policy) };
        for (no, entry) in self.loaded() {
            if rule.is_some_and(|rule| !rule.apps.iter().any(|name| name == entry.app.name())) {
                continue;
            }
            cx.app = no;
            switch.act_as(no);
            match made {
                Some((maker, cookie)) if maker == no => {
                    let own = with_cookie(packet, cookie);
                    self.call((no, entry), &cx, |app| app.packet_in(switch, &cx, &own));
                }
                _ => {
                    self.call((no, entry), &cx, |app| app.packet_in(switch, &cx, packet));
                }
            }
            if cx.taken.get() {
                break;
            }
        }
        switch.act_as(AppNo::FRAMEWORK);
    }

    // ---- questions ----

    /// What the application that registered a path says of it now; nothing if it is not loaded.
    pub(crate) fn decide_again(
        &self,
        no: AppNo,
        switch: &Switch,
        view: View<'_>,
        policy: &P,
        key: &FlowKey,
    ) -> Again {
        let Some(entry) = self.entry(no) else { return Again::Nothing };
        let cx = Context { app: no, ..context(view, policy) };
        let again = self.call((no, entry), &cx, |app| app.decide_again(switch, &cx, key));
        again.unwrap_or(Again::Nothing)
    }

    /// What the applications say of frames that nobody registered: the first that forwards them
    /// counts, else the first that drops them.
    pub(crate) fn decide_anew(
        &self,
        switch: &Switch,
        view: View<'_>,
        policy: &P,
        key: &FlowKey,
    ) -> (AppNo, Again) {
        let mut found = (AppNo::FRAMEWORK, Again::Nothing);
        for (no, _) in self.loaded() {
            match self.decide_again(no, switch, view, policy, key) {
                route @ Again::Route(_) => return (no, route),
                drop @ Again::Drop { .. } if found.1 == Again::Nothing => found = (no, drop),
                Again::Drop { .. } | Again::Nothing => {}
            }
        }
        found
    }

    /// Whether all applications let a datapath join from there.
    pub(crate) fn admits_switch(
        &self,
        policy: &P,
        dpid: DatapathId,
        from: &Origin,
    ) -> Result<(), String> {
        self.loaded().try_for_each(|(_, entry)| {
            // Asked without a World, as for the fabric; nobody joins on a panic.
            let asked = || entry.app.admits_switch(policy, dpid, from);
            catch_unwind(AssertUnwindSafe(asked)).unwrap_or_else(|panic| {
                Err(format!("{} panicked: {}", entry.app.name(), panic_message(&*panic)))
            })
        })
    }

    /// Whom the step from one policy to the next concerns for any application; everybody if one panics.
    pub(crate) fn concerned(&self, old: &P, new: &P) -> Concerned {
        // What one that panicked has said is nobody's any more.
        let all_loaded = self.loaded().count() == self.entries.len();
        let first = if all_loaded { Concerned::nobody() } else { Concerned::All };
        self.loaded().fold(first, |concerned, (_, of)| {
            let asked = || of.app.concerned(old, new);
            concerned.or(catch_unwind(AssertUnwindSafe(asked)).unwrap_or(Concerned::All))
        })
    }

    /// What becomes of a host under a policy: it goes if any application says so, or panics.
    pub(crate) fn keeps_host(&self, policy: &P, host: HostKey, entry: &HostEntry) -> Keeps {
        self.loaded().fold(Keeps::AsItIs, |keeps, (_, of)| {
            let asked = || of.app.keeps_host(policy, host, entry);
            match (keeps, catch_unwind(AssertUnwindSafe(asked)).unwrap_or(Keeps::Not)) {
                (Keeps::Not, _) => Keeps::Not,
                (keeps, Keeps::AsItIs) => keeps,
                (_, other) => other,
            }
        })
    }

    /// What all applications together say of the network's shape: a port is bound if any says so;
    /// of the declared links those of the first that declares any count.
    pub(crate) fn fabric(&self, policy: &P) -> Fabric {
        let mut fabrics = self.loaded().filter_map(|(_, entry)| {
            // Asked without a World: a panic here leaves the application's say out.
            catch_unwind(AssertUnwindSafe(|| entry.app.fabric(policy))).ok()
        });
        let Some(first) = fabrics.next() else { return Fabric::default() };
        fabrics.fold(first, |all, one| {
            let (a, b) = (all.bound, one.bound);
            Fabric {
                bound: std::sync::Arc::new(move |dpid, port| a(dpid, port) || b(dpid, port)),
                declared: all.declared.or(one.declared),
            }
        })
    }
}

/// Seldom wanted, and kept apart so that what it takes is not prepared for every packet-in.
#[cold]
fn with_cookie<'a>(packet: &PacketIn<'a>, cookie: Cookie) -> PacketIn<'a> {
    PacketIn { cookie, ..packet.clone() }
}

pub(crate) fn context<'a, P>(view: View<'a>, policy: &'a P) -> Context<'a, P> {
    Context { view, policy, app: AppNo::FRAMEWORK, taken: Cell::new(false), hosts: None }
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a text".to_owned(),
    }
}

//! What an application is to the framework. Pure: an application's handlers are synchronous and
//! their effects are messages in the switch's buffer and commands to other switches.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use umlaut_openflow::{
    Attachment, DatapathId, ErrorMessage, FlowRemoved, MacAddr, PacketIn, Port, PortNo,
    PortStatusReason,
};

use crate::command::Command;
use crate::hosts::{Domain, Seen, Sighting};
use crate::path::FlowKey;
use crate::switch::{Again, Switch};
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

/// What a handler may use beside its switch: the time, one consistent World, the shared tables.
pub struct Context<'a, P> {
    /// Time, topology, tables.
    pub view: View<'a>,
    /// The policy of this World.
    pub policy: &'a P,
}

impl<'a, P> Deref for Context<'a, P> {
    type Target = View<'a>;

    fn deref(&self) -> &View<'a> {
        &self.view
    }
}

impl<P> Context<'_, P> {
    /// Notes where a host was admitted. If it moved, all switches decide its paths again.
    pub fn see_host(&self, domain: Domain, mac: MacAddr, at: Attachment, seen: Seen) -> Sighting {
        let sighting = self.net.hosts.see((domain, mac), at, seen, self.now);
        if let Sighting::Moved { .. } = sighting {
            self.net.directory.insist_all(&Command::HostChanged { domain, mac });
        }
        sighting
    }
}

/// An application: it decides what happens to packets.
///
/// Handlers of one switch run in the order of its messages; those of different switches run
/// concurrently, hence `&self`.
///
/// ```
/// use umlaut_controller::{App, Context, Switch, program};
/// use umlaut_openflow::{Action, PacketIn, PortNo};
///
/// struct Hub;
///
/// impl App for Hub {
///     type Policy = ();
///
///     fn packet_in(&self, sw: &mut Switch, _: &Context<'_, ()>, packet: &PacketIn<'_>) {
///         let _ = sw.packet_out(packet.in_port, vec![Action::output(PortNo::FLOOD)], &packet.data);
///     }
/// }
/// ```
pub trait App: Send + Sync + Sized + 'static {
    /// What the application is told to do; replaced as a whole, seen together with the topology.
    type Policy: Send + Sync + 'static;

    /// A packet came to the controller. LLDP does not get here.
    fn packet_in(&self, sw: &mut Switch, cx: &Context<'_, Self::Policy>, packet: &PacketIn<'_>);

    /// A switch is connected and its flow table empty.
    fn switch_ready(&self, _sw: &mut Switch, _cx: &Context<'_, Self::Policy>) {}

    /// A switch's control connection ended.
    fn switch_gone(&self, _dpid: DatapathId, _cx: &Context<'_, Self::Policy>) {}

    /// A port was added, removed or changed; the topology of `cx` knows it already.
    fn port_changed(
        &self,
        _sw: &mut Switch,
        _cx: &Context<'_, Self::Policy>,
        _reason: PortStatusReason,
        _port: &Port,
    ) {
    }

    /// A flow entry ended.
    fn flow_removed(
        &self,
        _sw: &mut Switch,
        _cx: &Context<'_, Self::Policy>,
        _removed: &FlowRemoved,
    ) {
    }

    /// The switch answered with an error.
    fn error(&self, _sw: &mut Switch, _cx: &Context<'_, Self::Policy>, _error: &ErrorMessage<'_>) {}

    /// Decides again what a registered path's frames should do, under a new World or after a host
    /// moved. Must be a pure function of the World and the host table. The framework keeps, reroutes
    /// or removes the path accordingly.
    fn decide_again(&self, _sw: &Switch, _cx: &Context<'_, Self::Policy>, _key: &FlowKey) -> Again {
        Again::Nothing
    }

    /// What a policy says of the network's shape.
    fn fabric(&self, _policy: &Self::Policy) -> Fabric {
        Fabric::default()
    }
}

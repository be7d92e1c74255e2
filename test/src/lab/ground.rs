//! What builds and changes the network of a lab, and how that stands. Pure: a trait and values.

use umlaut_openflow::{DatapathId, FlowStats};

use super::{Done, LabProblem, Plan};
use crate::topology::Endpoint;

/// The flow entries of a switch.
#[derive(Clone, PartialEq, Debug)]
pub enum Flows {
    /// As an emulated switch has them.
    Entries(Vec<FlowStats>),
    /// As `ovs-ofctl dump-flows` prints them.
    Text(String),
}

/// What builds and changes a network. Hosts and links go by their index in the topology. Calls may
/// come from several threads; those that change something come one at a time.
pub(super) trait Ground: Send + Sync {
    /// Sends a frame out of a host's interface. It is lost where a cable is out.
    fn transmit(&self, host: usize, frame: &[u8]) -> Done;
    /// Counts what has arrived and is not counted yet.
    fn count(&self) {}
    /// The flow entries of a switch that is on.
    fn flows(&self, dpid: DatapathId) -> Result<Flows, LabProblem>;
    /// Whether each of these switches, which are on, has a connection to the controller.
    fn connected(&self, switches: &[DatapathId]) -> Vec<bool>;
    /// Sets a port of a switch that is on up or down.
    fn set_port(&self, at: Endpoint, up: bool, before: &Standing) -> Done;
    /// Plugs a link in or out.
    fn set_link(&self, link: usize, up: bool) -> Done;
    /// Plugs a host, which is or was at this port, in or out. One that is off is out.
    fn set_host(&self, host: usize, at: Endpoint, up: bool) -> Done;
    /// Moves a host's plug to a port, where it is in, unless the host is off. `before` is how the
    /// network stands until then.
    fn move_host(&self, host: usize, before: &Standing, to: Endpoint) -> Done;
    /// Switches a switch on or off. `before` is how the network stands until then.
    fn set_switch(&self, dpid: DatapathId, on: bool, before: &Standing) -> Done;
    /// What does not work as it should, for people.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
    /// The network namespace of a host, if hosts have any.
    fn namespace(&self, host: usize) -> Option<String>;
    /// Removes what it has made, which dropping does, too; what cannot be removed is the error.
    fn end(&mut self) -> Done {
        Ok(())
    }
}

/// What of the network is in, on, up at the moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Where each host's plug is, or was before it was pulled.
    pub places: Vec<Option<Endpoint>>,
    /// Hosts whose plug is out.
    pub hosts_out: Vec<bool>,
    /// Hosts that are off.
    pub hosts_off: Vec<bool>,
    /// Links that are cut.
    pub links_out: Vec<bool>,
    /// Switches that are off.
    pub switches_off: Vec<DatapathId>,
    /// Ports that are down.
    pub ports_down: Vec<Endpoint>,
}

impl Standing {
    /// How a network stands when it is brought up.
    pub(super) fn at_first(plan: &Plan) -> Standing {
        Standing {
            places: plan.topology.hosts.iter().map(|host| host.at).collect(),
            hosts_out: vec![false; plan.topology.hosts.len()],
            hosts_off: vec![false; plan.topology.hosts.len()],
            links_out: vec![false; plan.topology.links.len()],
            switches_off: Vec::new(),
            ports_down: Vec::new(),
        }
    }
}

/// What a lab consists of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroundKind {
    /// Emulated switches and hosts in this process.
    Emulated,
    /// Bridges of Open vSwitch, hosts in network namespaces.
    OpenVSwitch,
}

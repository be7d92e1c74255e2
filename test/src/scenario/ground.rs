//! What a scenario needs of a network. Pure: a trait.

use std::time::Duration;

use serde::Deserialize;
use umlaut_openflow::{DatapathId, PortNo};

/// Something that a ground could not do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct GroundError(pub String);

impl From<std::io::Error> for GroundError {
    fn from(error: std::io::Error) -> GroundError {
        GroundError(error.to_string())
    }
}

/// What happens to the controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Control {
    /// It dies without a word.
    Kill,
    /// It runs again, with the policy of now.
    Start,
}

/// What happens to a control connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channel {
    /// It is cut, and cannot be made again.
    Down,
    /// It can be made again.
    Up,
    /// The switch connects from another address instead.
    Elsewhere,
}

/// A path entry of a switch, as far as scenarios look at it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlowLine {
    /// Its ingress port.
    pub in_port: Option<PortNo>,
    /// Where it sends frames; `None`: nowhere.
    pub out_port: Option<PortNo>,
    /// `keep`, `strip` or `set N`.
    pub vlan: String,
}

/// A running network with a controller. Hosts, switches and links are those of the policy that it
/// was made from.
pub trait Ground {
    /// Time since the start.
    fn elapsed(&self) -> Duration;

    /// Lets time pass until something happens, a few milliseconds at most.
    fn pump(&mut self);

    /// What keeps it from going on, if something does: who waits for anything gives up then.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// A host sends a frame.
    fn send(&mut self, host: &str, frame: &[u8]) -> Result<(), GroundError>;

    /// A host begins to send these frames, one each period, whatever else happens.
    fn start_stream(
        &mut self,
        host: &str,
        frames: Vec<Vec<u8>>,
        every: Duration,
    ) -> Result<(), GroundError>;

    /// Ends all streams. When each frame was sent, for each stream in the order of their starts.
    fn stop_streams(&mut self) -> Result<Vec<Vec<Duration>>, GroundError>;

    /// Whether time passes only in [`Ground::pump`], so that a change takes none.
    fn is_virtual(&self) -> bool;

    /// Takes the frames that have arrived at hosts, with their names.
    fn take_sniffed(&mut self) -> Vec<(String, Vec<u8>)>;

    /// Whether the controller serves exactly these switches and knows exactly so many links (each
    /// direction counted), and probes no port.
    fn is_ready(&mut self, switches: &[DatapathId], links: usize) -> bool;

    /// Cuts or mends a link; both ends notice.
    fn link(
        &mut self,
        a: (DatapathId, PortNo),
        b: (DatapathId, PortNo),
        up: bool,
    ) -> Result<(), GroundError>;

    /// Takes a host port down or up.
    fn port(&mut self, end: (DatapathId, PortNo), up: bool) -> Result<(), GroundError>;

    /// Removes a host port from its switch, or adds it again.
    fn exists(&mut self, end: (DatapathId, PortNo), exists: bool) -> Result<(), GroundError>;

    /// Gives a host port another number.
    fn renumber(&mut self, end: (DatapathId, PortNo), to: PortNo) -> Result<(), GroundError>;

    /// As another controller, puts an entry into a switch for everything that comes in at a port.
    fn intrude(&mut self, end: (DatapathId, PortNo), to: PortNo) -> Result<(), GroundError>;

    /// Says how many entries a switch holds; it refuses more. `None`: any number.
    fn room(&mut self, dpid: DatapathId, entries: Option<usize>) -> Result<(), GroundError>;

    /// Plugs a host into another port.
    fn move_host(&mut self, host: &str, to: (DatapathId, PortNo)) -> Result<(), GroundError>;

    /// Stops or starts a switch; it comes back with an empty flow table.
    fn switch(&mut self, dpid: DatapathId, up: bool) -> Result<(), GroundError>;

    /// Cuts or restores a control connection.
    fn channel(&mut self, dpid: DatapathId, what: Channel) -> Result<(), GroundError>;

    /// Kills or starts the controller.
    fn controller(&mut self, control: Control) -> Result<(), GroundError>;

    /// Replaces the policy file and waits until it is in force, or refused.
    fn policy(&mut self, text: &str, good: bool) -> Result<(), GroundError>;

    /// The path entries of a switch.
    fn flows(&mut self, dpid: DatapathId) -> Result<Vec<FlowLine>, GroundError>;

    /// How many packet-ins of a switch the controller has dropped as part of storms.
    fn stormed(&mut self, name: &str, dpid: DatapathId) -> Result<u64, GroundError>;

    /// What there is to know when a scenario fails.
    fn report(&mut self) -> String;
}

//! The rows of answers: stable shapes, for the socket and for `--json`. Pure.
//!
//! Switches are named as the policy names them, else by datapath id; places are `s1/3` or
//! `s1/3 vlan 20`. Times are seconds unless a name says otherwise. What is not known is left out. A
//! later version may add fields; it takes none away under the same protocol version.

use serde::{Deserialize, Serialize};

/// The controller.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ControllerRow {
    /// The program's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Where switches connect.
    #[serde(default)]
    pub listening: Vec<String>,
    /// OpenFlow versions offered to switches.
    pub openflow: Vec<String>,
    /// The applications, in their order.
    pub applications: Vec<String>,
    /// The revision of policy and topology.
    pub revision: u64,
    /// The revision at which the policy last changed.
    pub policy_revision: u64,
    /// The policy file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The highest byte of the cookies of this process's paths.
    pub cookie_epoch: u8,
}

/// How a switch is connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SwitchState {
    /// Its packet-ins are handled.
    Ready,
    /// It is connected; its table is being cleared.
    Joining,
    /// It is connected and did not answer in time.
    Silent,
    /// Its connection is lost; what is known of it is kept for a while.
    Detached,
    /// Its connection is lost, and what was known of it forgotten.
    Gone,
    /// The policy names it; it never was connected.
    Absent,
}

/// A switch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SwitchRow {
    /// Its name, or its datapath id.
    pub switch: String,
    /// Its datapath id, in hex.
    pub dpid: String,
    /// How it is connected.
    pub state: SwitchState,
    /// Where it connects from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The OpenFlow version agreed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub openflow: Option<String>,
    /// Ports that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<usize>,
    /// Ports that are up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports_up: Option<usize>,
    /// How long it has been connected, or gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// How long what is known of a detached switch will be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_seconds: Option<u64>,
    /// The first policy revision that could not be told to it: entries that it refuses may be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_since_revision: Option<u64>,
    /// How long it took to answer an echo request, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub echo_ms: Option<f64>,
    /// What was counted since it connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counters: Option<Counters>,
}

/// What is counted for a switch since it connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Packet-ins handled.
    pub packet_ins: u64,
    /// Flow entries sent, removals too.
    pub flow_mods: u64,
    /// Packet-outs sent.
    pub packet_outs: u64,
    /// Packet-ins dropped because the switch reads too slowly.
    pub shed: u64,
    /// Frames without an entry dropped by their rate.
    pub limited: u64,
    /// Packet-ins dropped because their slice caused too many on their port.
    #[serde(default)]
    pub stormed: u64,
    /// Drop entries sent against such storms.
    #[serde(default)]
    pub storm_entries: u64,
    /// Paths given up.
    pub failed_paths: u64,
    /// Times that its flows were deleted to start anew.
    pub resyncs: u64,
    /// Entries that an audit found missing or strange, and mended.
    pub repaired: u64,
    /// Error messages from it.
    pub errors: u64,
}

/// How much waits, and how much is registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Levels {
    /// Bytes that the connection has not taken.
    pub output_bytes: u64,
    /// Commands of other sessions.
    pub mailbox: u64,
    /// Bytes of first frames that wait for their paths.
    pub waiting_bytes: u64,
    /// Paths being installed.
    pub installing: u64,
    /// Requests not answered yet.
    pub requests: u64,
    /// Paths and drop entries that enter there.
    pub paths: u64,
    /// Entries of paths that enter elsewhere, and ways back.
    pub hops: u64,
}

/// What a switch counts and queues.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StatsRow {
    /// Its name, or its datapath id.
    pub switch: String,
    /// Since it connected.
    #[serde(flatten)]
    pub counters: Counters,
    /// Now.
    pub levels: Levels,
}

/// What is counted for the whole network.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StatsEnd {
    /// When this was counted: milliseconds since the controller started.
    pub at_ms: u64,
    /// The sum over the switches connected now.
    pub total: Counters,
    /// The sum over the switches connected now.
    pub levels: Levels,
    /// Hosts known.
    pub hosts: u64,
    /// Hosts not noted because a table was full.
    pub hosts_not_noted: u64,
    /// Notices to applications lost.
    pub notices_lost: u64,
    /// Events since the start, by kind.
    pub events: std::collections::BTreeMap<String, u64>,
    /// Followers of events that were told of a loss, events counted.
    pub events_lost: u64,
    /// Clients cut off because they did not read.
    pub slow_clients: u64,
}

/// What is at a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// No frame can pass.
    Down,
    /// Not known yet.
    Probing,
    /// Hosts.
    Edge,
    /// Another switch.
    Link,
}

/// A port.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PortRow {
    /// Switch and number.
    pub port: String,
    /// The switch.
    pub switch: String,
    /// The number.
    pub number: u32,
    /// What the switch calls it.
    pub name: String,
    /// Its hardware address.
    pub mac: String,
    /// Whether frames can pass.
    pub up: bool,
    /// What is there.
    pub role: Role,
    /// For a link: the other end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Slices that have a place there.
    pub slices: Vec<String>,
    /// How many hosts were seen there.
    pub hosts: usize,
}

/// A host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HostRow {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its MAC address.
    pub mac: String,
    /// Its slice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slice: Option<String>,
    /// Where it is.
    pub at: String,
    /// Its switch.
    pub switch: String,
    /// It was refused there; the place serves as a destination only.
    pub tentative: bool,
    /// The port is still being probed.
    pub provisional: bool,
    /// How long ago it was last known to be alive.
    pub seen_seconds: u64,
}

/// A line of the policy file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Source {
    /// The id of the member or filter.
    pub id: String,
    /// The file.
    pub file: String,
    /// The line; left out where many different ones were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{} {}:{line}", self.id, self.file),
            None => write!(f, "{} {}", self.id, self.file),
        }
    }
}

/// A member of a slice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MemberRow {
    /// Its id.
    pub id: String,
    /// What it binds: a MAC, a place, or both.
    pub binds: String,
}

/// A slice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SliceRow {
    /// Its name.
    pub slice: String,
    /// Its description.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether its ports admit only listed hosts.
    pub restrict_hosts: bool,
    /// Its members, in the order of the file.
    pub members: Vec<MemberRow>,
    /// Its hosts located now, guesses not counted.
    pub hosts: usize,
}

/// What a registered entry does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowKind {
    /// A path to a host.
    Forward,
    /// Refused frames, dropped at the switch.
    Drop,
    /// The controller's own standing entries.
    Standing,
    /// An entry of an application.
    App,
    /// A path's entry that no registry holds: a left-over.
    Leftover,
    /// A path's entry whose owner is away and waited for.
    Awaited,
    /// An entry of nobody known.
    Foreign,
}

/// Whether a switch has an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Has {
    /// It has it.
    Present,
    /// It has it, and does something else with its frames.
    Wrong,
    /// It should have it and has not.
    Missing,
    /// It is on its way.
    Installing,
    /// The switch is not connected or did not answer.
    Unknown,
}

/// One entry on one switch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EntryRow {
    /// The switch.
    pub switch: String,
    /// Whether it has the entry.
    pub has: Has,
    /// For the reply's way back.
    #[serde(default)]
    pub reply: bool,
    /// Packets matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets: Option<u64>,
    /// Bytes matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How long it has been there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// A registered path or drop entry with its entries, or an entry that no registry holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FlowRow {
    /// What it does.
    pub kind: FlowKind,
    /// The switch where its frames come in.
    pub switch: String,
    /// The port where its frames come in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The source MAC that it matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src: Option<String>,
    /// The name of that host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_host: Option<String>,
    /// The destination MAC that it matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dst: Option<String>,
    /// The name of that host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dst_host: Option<String>,
    /// What it matches besides.
    #[serde(rename = "match")]
    pub matches: String,
    /// Switch, port in and port out of each hop.
    pub hops: Vec<String>,
    /// Where its frames leave the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Seconds without traffic until it ends; 0 never.
    pub idle_timeout: u16,
    /// Seconds until it ends; 0 never.
    pub hard_timeout: u16,
    /// Its cookie, in hex.
    pub cookie: String,
    /// Its priority.
    pub priority: u16,
    /// The table that it is in.
    #[serde(default)]
    pub table: u8,
    /// The application whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The slice of its sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slice: Option<String>,
    /// The member that admits its sender, by the policy of now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<Source>,
    /// The filter that decided, by the policy of now; none where no filter matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Source>,
    /// For a drop: the code of its reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// On each switch.
    pub entries: Vec<EntryRow>,
}

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EventRow {
    /// Counts all events from 0.
    pub number: u64,
    /// When, UTC, RFC 3339.
    pub time: String,
    /// What kind: `host-moved`.
    pub event: String,
    /// In words.
    pub text: String,
    /// What it is about; the keys depend on the kind.
    #[serde(flatten)]
    pub about: std::collections::BTreeMap<String, String>,
}

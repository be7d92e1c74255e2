//! Scenarios: a policy, a network, and steps with what must arrive at every host. One format for
//! all grounds. Pure.
//!
//! ```yaml
//! name: two slices
//! policy:                       # a policy file; hosts with `at`, switches and links are the network
//!   umlaut: 1
//!   switches: {s1: 0x1}
//!   hosts: {a: {mac: "00:00:00:00:00:01", at: s1/1}, b: {mac: "00:00:00:00:00:02", at: s1/2}}
//!   slices: {lab: {members: [{port: s1/1}, {port: s1/2}]}}
//! steps:
//!   - {send: {from: a, to: b}, arrives: [b]}   # at exactly these hosts, once at each
//! ```

mod ground;
mod markers;
mod run;
mod stream;
mod trial;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_yaml::Value;

pub use ground::{Channel, Control, FlowLine, Ground, GroundError};
pub use markers::MARKER_SLICE;
pub use run::{Failure, run, run_on};
pub use stream::{Course, Lost, Stream, StreamCount};
pub use trial::{Suite, Tried, try_cases};

/// An application that scenarios run on. The policy is the network for all of them; only the sliceable
/// switch knows its slices.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum App {
    /// Isolated slices.
    #[default]
    SliceableSwitch,
    /// All switches as one, with shortest paths.
    RoutingSwitch,
    /// Each switch learns for itself: no loops.
    LearningSwitch,
    /// Every frame out of every port: no loops.
    Hub,
}

impl App {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            App::SliceableSwitch => "sliceable-switch",
            App::RoutingSwitch => "routing-switch",
            App::LearningSwitch => "learning-switch",
            App::Hub => "hub",
        }
    }
}

/// A scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it shows.
    #[serde(default)]
    pub about: String,
    /// The applications on which it comes out so, each by itself: the sliceable switch unless said.
    #[serde(default = "sliceable")]
    pub apps: Vec<App>,
    /// The first policy.
    pub policy: Value,
    /// Later policies, by name.
    #[serde(default)]
    pub revisions: BTreeMap<String, Value>,
    /// Slices that are added to the policy, numbered from 0: slice k has the MAC addresses 2k+1 and
    /// 2k+2.
    #[serde(default)]
    pub mac_slices: u32,
    /// What happens.
    pub steps: Vec<Step>,
}

/// A frame to send.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Send {
    /// The host that sends.
    pub from: String,
    /// The host whose addresses are the destination, `all`, or a MAC address.
    pub to: String,
    /// What is sent.
    #[serde(default)]
    pub kind: Kind,
    /// Another source MAC address than the host's.
    #[serde(default)]
    pub src: Option<String>,
    /// Tags instead of the host's own, as TPID and TCI, outermost first.
    #[serde(default)]
    pub tags: Option<Vec<(u16, u16)>>,
    /// UDP or TCP source and destination port.
    #[serde(default = "one_one")]
    pub ports: (u16, u16),
    /// How often, each time another frame.
    #[serde(default = "one")]
    pub count: u32,
    /// Each time from another source MAC address: 06:xx:xx:xx:xx:xx, counted.
    #[serde(default)]
    pub random_sources: bool,
}

fn sliceable() -> Vec<App> {
    vec![App::SliceableSwitch]
}

fn one() -> u32 {
    1
}

fn one_one() -> (u16, u16) {
    (1, 1)
}

/// Kinds of frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A frame of a local experimental EtherType.
    #[default]
    Plain,
    /// A UDP datagram.
    Udp,
    /// A TCP segment.
    Tcp,
    /// An ICMP echo request.
    Icmp,
    /// An ARP request.
    Arp,
    /// An ARP reply.
    ArpReply,
    /// An IPv6 neighbour solicitation.
    Nd,
    /// A fragment of a UDP datagram that is not the first.
    Fragment,
    /// LLDP as another network's switch would send it.
    Lldp,
}

/// A flow entry to be found: every field given must agree.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowWanted {
    /// The switch's name.
    pub switch: String,
    /// Its ingress port.
    #[serde(default)]
    pub in_port: Option<u32>,
    /// Where it sends frames.
    #[serde(default)]
    pub out_port: Option<u32>,
    /// What it does to the VLAN: `keep`, `strip` or `set N`.
    #[serde(default)]
    pub vlan: Option<String>,
    /// How many path entries agree.
    pub count: usize,
}

/// A storm: frames that no entry matches, as fast as the host sends.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storm {
    /// The host that sends.
    pub from: String,
    /// How many frames, each to another address: 02:xx:xx:xx:xx:xx, counted.
    pub count: u32,
}

/// How many packet-ins the controller dropped as part of storms.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stormed {
    /// Packet-ins of this switch.
    pub switch: String,
    /// At least so many; it is waited for.
    #[serde(default)]
    pub least: u64,
    /// At most so many, whenever it is asked.
    #[serde(default = "any_number")]
    pub most: u64,
}

fn any_number() -> u64 {
    u64::MAX
}

/// One step. Exactly one of the actions is given.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Sends frames.
    #[serde(default)]
    pub send: Option<Send>,
    /// Where each of them arrives: exactly there, once. Host names.
    #[serde(default)]
    pub arrives: Vec<String>,
    /// Looks at flow entries.
    #[serde(default)]
    pub flows: Option<FlowWanted>,
    /// Sends frames of which nobody looks where they arrive.
    #[serde(default)]
    pub storm: Option<Storm>,
    /// Looks at a counter.
    #[serde(default)]
    pub stormed: Option<Stormed>,
    /// `s1/9-s2/9 down`, `s1/9-s2/9 up`, `s1/9-s2/9 flap 20`: so many times down and up again, too
    /// fast for anything to settle.
    #[serde(default)]
    pub link: Option<String>,
    /// A host's: `s1/1 down`, `s1/1 up`, `s1/1 flap 20`, `s1/1 gone`, `s1/1 back`, and `s1/1 to
    /// s1/7`: the same port under another number.
    #[serde(default)]
    pub port: Option<String>,
    /// `h2 to s1/5`.
    #[serde(default)]
    pub r#move: Option<String>,
    /// `s1 stop`, `s1 start`.
    #[serde(default)]
    pub switch: Option<String>,
    /// `kill`, `start`.
    #[serde(default)]
    pub controller: Option<Control>,
    /// The control connection: `s1 down`, `s1 up`, `s1 elsewhere`: it is made again from another
    /// address.
    #[serde(default)]
    pub channel: Option<String>,
    /// `s1/1 to s1/2`: another controller puts an entry into the switch that sends everything on.
    #[serde(default)]
    pub intruder: Option<String>,
    /// `s1 8`: the switch has room for so many entries; `s1 free`: for any number.
    #[serde(default)]
    pub room: Option<String>,
    /// Puts a revision in force.
    #[serde(default)]
    pub revise: Option<String>,
    /// Writes a broken policy file: the running one must stay.
    #[serde(default)]
    pub break_policy: bool,
    /// Sends streams of frames while the steps of `during` run, then looks at what became of every
    /// frame of them.
    #[serde(default)]
    pub stream: Option<Vec<Stream>>,
    /// What happens while the streams of this step flow.
    #[serde(default)]
    pub during: Vec<Step>,
    /// `x to y`: from now on y repeats all LLDP that arrives at x; after two probe periods the links
    /// must be what they were.
    #[serde(default)]
    pub relay: Option<String>,
    /// Lets milliseconds pass (streams go on).
    #[serde(default)]
    pub pass: Option<u64>,
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// What is wrong and where, in words.
    pub fn parse(text: &str) -> Result<Scenario, String> {
        let scenario: Scenario = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        let revises = |step: &Step| step.revise.is_some() || step.break_policy;
        let during = scenario.steps.iter().flat_map(|step| &step.during);
        let mut steps = scenario.steps.iter().chain(during);
        if scenario.apps != sliceable() && steps.any(revises) {
            return Err("only the sliceable switch has a policy to change".to_owned());
        }
        for (index, step) in scenario.steps.iter().enumerate() {
            step.check(&scenario).map_err(|why| format!("step {}: {why}", index + 1))?;
        }
        Ok(scenario)
    }

    /// Whether it counts what a stream loses or what a storm may: on real switches, which others use
    /// as well, that is told apart from their load only where it runs alone.
    pub fn wants_to_be_alone(&self) -> bool {
        self.steps.iter().any(|step| step.stream.is_some() || step.storm.is_some())
    }
}

impl Step {
    /// Whether exactly one action is given, with what belongs to it.
    fn check(&self, scenario: &Scenario) -> Result<(), String> {
        let actions = [
            self.send.is_some(),
            self.flows.is_some(),
            self.storm.is_some(),
            self.stormed.is_some(),
            self.link.is_some(),
            self.port.is_some(),
            self.r#move.is_some(),
            self.switch.is_some(),
            self.controller.is_some(),
            self.channel.is_some(),
            self.intruder.is_some(),
            self.room.is_some(),
            self.revise.is_some(),
            self.break_policy,
            self.stream.is_some(),
            self.relay.is_some(),
            self.pass.is_some(),
        ];
        let given = actions.iter().filter(|given| **given).count();
        if given != 1 {
            return Err(format!("{given} actions are given, not one"));
        }
        if self.send.is_none() && !self.arrives.is_empty() {
            return Err("arrives goes with send".to_owned());
        }
        if self.stream.is_none() && !self.during.is_empty() {
            return Err("during goes with stream".to_owned());
        }
        if let Some(name) = &self.revise
            && !scenario.revisions.contains_key(name)
        {
            return Err(format!("there is no revision {name}"));
        }
        for (index, step) in self.during.iter().enumerate() {
            if step.stream.is_some() {
                return Err("a stream within a stream".to_owned());
            }
            step.check(scenario).map_err(|why| format!("during, step {}: {why}", index + 1))?;
        }
        Ok(())
    }
}

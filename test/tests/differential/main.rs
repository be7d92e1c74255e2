//! The emulated switch beside Open vSwitch: both get the same random flow-mods, packet-outs and
//! frames, and must answer and send the same.
//!
//! Where the two differ on purpose, the generator says so and keeps away: Open vSwitch reads one tag
//! of a frame, lets the action set of a dropped packet out, and has faults with more than two tags.
//!
//! Needs the programs of Open vSwitch, but no root: it runs on the dummy datapath. Without them the
//! test says so and passes. `UMLAUT_DIFFERENTIAL_STEPS` sets the number of steps per version,
//! `UMLAUT_DIFFERENTIAL_SEED` the seed.

mod generate;
mod real;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use bytes::BytesMut;
use generate::{PORTS, Random};
use real::OpenVswitch;
use umlaut_openflow::{
    Action, ConfigFlags, Cookie, DatapathId, FlowMod, FlowModFlags, FlowStats, FlowStatsRequest,
    GroupId, Hello, Instruction, MacAddr, Match, MatchField, Message, PortNo, SwitchConfig,
    TableId, Version, VlanMatch, Xid, build, decode, encode,
};
use umlaut_testbed::{EmulatedSwitch, Output, SwitchOptions};

/// EtherType of the frames that say "all before has been handled".
const MARKER: u16 = 0x88b6;

/// What came out of a switch in one step: messages, and frames by port.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Outcome {
    messages: Vec<String>,
    frames: BTreeMap<u32, Vec<Vec<u8>>>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for message in &self.messages {
            writeln!(f, "{message}")?;
        }
        for (port, frames) in &self.frames {
            writeln!(f, "port {port}: {frames:02x?}")?;
        }
        Ok(())
    }
}

fn bytes(version: Version, xid: u32, message: &Message<'_>) -> Option<Vec<u8>> {
    let mut bytes = BytesMut::new();
    encode(version, Xid(xid), message, &mut bytes).ok()?;
    Some(bytes.to_vec())
}

/// What both switches must agree on in a message: not counters and times, which Open vSwitch brings
/// up to date by and by, and not the order of fields and entries.
fn essence(bytes: &[u8]) -> String {
    let (header, message) = decode(bytes).unwrap();
    let fields = |matches: &Match| {
        let untagged = matches.fields().contains(&MatchField::VlanVid(VlanMatch::Absent));
        // Open vSwitch tells a PCP beside "no tag" in 1.0.
        let told = |f: &&MatchField| !(untagged && matches!(f, MatchField::VlanPcp(_)));
        let list = matches.fields().iter().filter(told);
        let mut list: Vec<String> = list.map(|field| format!("{field:?}")).collect();
        list.sort();
        list.join(" ")
    };
    match message {
        Message::FlowRemoved(r) => format!(
            "flow-removed table {} priority {} cookie {} reason {} [{}]",
            r.table_id,
            r.priority,
            r.cookie,
            r.reason,
            fields(&r.matches)
        ),
        Message::FlowStatsReply { flows, .. } => {
            let line = |flow: &FlowStats| {
                let does: Vec<&Instruction> = flow
                    .instructions
                    .iter()
                    .filter(|i| **i != Instruction::Apply(Vec::new()))
                    .collect();
                // Open vSwitch tells flags of 1.3 of which 1.0 knows nothing.
                format!(
                    "table {} priority {} cookie {} flags {} idle {} hard {} [{}] {does:?}",
                    flow.table_id,
                    flow.priority,
                    flow.cookie,
                    flow.flags,
                    flow.idle_timeout,
                    flow.hard_timeout,
                    fields(&flow.matches)
                )
            };
            let mut lines: Vec<String> = flows.iter().map(line).collect();
            lines.sort();
            format!("flows:\n  {}", lines.join("\n  "))
        }
        other => format!("xid {} {other:02x?}", header.xid),
    }
}

fn marker(step: u32) -> Vec<u8> {
    let mut payload = step.to_be_bytes().to_vec();
    payload.resize(46, 0);
    build::ethernet(MacAddr::BROADCAST, MacAddr::from_u64(0x99), &[], MARKER, &payload)
}

/// Sends markers to the controller and out of every port.
fn marker_entry() -> Message<'static> {
    let actions = [PortNo::CONTROLLER, PortNo::ALL, PortNo::IN_PORT].map(Action::output).to_vec();
    let entry = FlowMod::add(Match::new().eth_type(MARKER)).priority(65535).cookie(Cookie(0xffff));
    Message::FlowMod(entry.apply(actions))
}

/// What is done to a switch in one step.
#[derive(Clone, Copy)]
struct Deed<'a> {
    version: Version,
    number: u32,
    message: Option<&'a [u8]>,
    frame: Option<(u32, &'a [u8])>,
}

impl Deed<'_> {
    /// The message, then the marker's entry again (the message may have deleted it), then a barrier.
    fn control(&self) -> Vec<u8> {
        let entry = bytes(self.version, 0, &marker_entry()).unwrap();
        let barrier = bytes(self.version, self.number, &Message::BarrierRequest).unwrap();
        [self.message.unwrap_or_default(), &entry, &barrier].concat()
    }

    /// The frame, then the marker at the same port.
    fn frames(&self) -> Vec<(u32, Vec<u8>)> {
        let port = self.frame.map_or(1, |(port, _)| port);
        let frame = self.frame.map(|(port, frame)| (port, frame.to_vec()));
        frame.into_iter().chain([(port, marker(self.number))]).collect()
    }
}

trait Switch {
    /// Does it and takes all that comes of it, but for flow-removed messages: Open vSwitch sends
    /// those by and by.
    fn step(&mut self, deed: Deed<'_>) -> Outcome;
    /// The flow-removed messages so far, sorted; waits until there are so many.
    fn removals(&mut self, awaited: usize) -> Vec<String>;
}

struct Real {
    ovs: OpenVswitch,
    removals: Vec<String>,
}

impl Real {
    /// Takes messages up to the awaited one.
    fn hear(&mut self, into: &mut Vec<String>, awaited: impl Fn(Xid, &Message<'_>) -> bool) {
        loop {
            let bytes = self.ovs.hear().unwrap();
            let (header, message) = decode(&bytes).unwrap();
            let done = awaited(header.xid, &message);
            match message {
                Message::FlowRemoved(_) => self.removals.push(essence(&bytes)),
                _ if done => {}
                Message::EchoRequest(data) => {
                    let reply = Message::EchoReply(data);
                    let reply = self::bytes(header.version, header.xid.0, &reply).unwrap();
                    self.ovs.tell(&reply).unwrap();
                }
                _ => into.push(essence(&bytes)),
            }
            if done {
                return;
            }
        }
    }
}

impl Switch for Real {
    fn step(&mut self, deed: Deed<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        self.ovs.tell(&deed.control()).unwrap();
        self.hear(&mut outcome.messages, |xid, message| {
            xid.0 == deed.number && *message == Message::BarrierReply
        });
        self.ovs.purge().unwrap();
        for (port, frame) in deed.frames() {
            self.ovs.enter(port, &frame).unwrap();
        }
        let marker = marker(deed.number);
        self.hear(&mut outcome.messages, |_, message| {
            matches!(message, Message::PacketIn(packet) if packet.data[..] == marker[..])
        });
        for port in PORTS {
            let mut frames = Vec::new();
            loop {
                let frame = self.ovs.leave(port).unwrap();
                if frame == marker {
                    break;
                }
                frames.push(frame);
            }
            if !frames.is_empty() {
                outcome.frames.insert(port, frames);
            }
        }
        outcome
    }

    fn removals(&mut self, awaited: usize) -> Vec<String> {
        let mut others = Vec::new();
        while self.removals.len() < awaited {
            self.hear(&mut others, |_, message| matches!(message, Message::FlowRemoved(_)));
        }
        self.removals.sort();
        self.removals.clone()
    }
}

struct Emulated {
    switch: EmulatedSwitch,
    now: Instant,
    removals: Vec<String>,
}

impl Switch for Emulated {
    fn step(&mut self, deed: Deed<'_>) -> Outcome {
        self.switch.control_input(&deed.control(), self.now);
        for (port, frame) in deed.frames() {
            self.switch.frame_input(PortNo(port), &frame, self.now);
        }
        let marker = marker(deed.number);
        let mut out = Vec::new();
        self.switch.drain(&mut out);
        let mut outcome = Outcome::default();
        for output in out {
            match output {
                Output::Control(bytes) => match decode(&bytes).unwrap() {
                    (_, Message::PacketIn(packet)) if packet.data[..] == marker[..] => {}
                    (header, Message::BarrierReply) if header.xid.0 == deed.number => {}
                    (_, Message::FlowRemoved(_)) => self.removals.push(essence(&bytes)),
                    _ => outcome.messages.push(essence(&bytes)),
                },
                Output::Frame { port, frame } if frame != marker => {
                    if PORTS.contains(&port.0) {
                        outcome.frames.entry(port.0).or_default().push(frame);
                    }
                }
                Output::Frame { .. } => {}
                Output::Close => outcome.messages.push("close".to_owned()),
            }
        }
        outcome
    }

    fn removals(&mut self, _: usize) -> Vec<String> {
        self.removals.sort();
        self.removals.clone()
    }
}

fn greeting(version: Version) -> Vec<u8> {
    let hello = match version {
        Version::V1_0 => Hello::default(),
        _ => Hello::offering(&[version]),
    };
    let config = SwitchConfig { flags: ConfigFlags::FRAG_NORMAL, miss_send_len: 0xffff };
    let messages = [Message::Hello(hello), Message::SetConfig(config)];
    messages.iter().flat_map(|message| bytes(version, 0, message).unwrap()).collect()
}

/// One step of the test.
#[derive(Debug)]
enum Step {
    Message(Message<'static>),
    Frame(u32, Vec<u8>),
}

fn step(random: &mut Random, version: Version) -> Step {
    match random.below(20) {
        0..8 => Step::Message(Message::FlowMod(generate::flow_mod(random, version))),
        8..11 => Step::Message(Message::PacketOut(generate::packet_out(random, version))),
        11 if random.one_in(12) => {
            let mut all = FlowMod::delete(Match::new()).flags(FlowModFlags(0));
            if version == Version::V1_0 {
                all.table_id = TableId(0);
            }
            Step::Message(Message::FlowMod(all))
        }
        _ => Step::Frame(PORTS[random.below(PORTS.len())], generate::frame(random, version)),
    }
}

/// Asks for all entries.
fn everything() -> Message<'static> {
    Message::FlowStatsRequest(FlowStatsRequest {
        table_id: TableId::ALL,
        out_port: PortNo::ANY,
        out_group: GroupId::ANY,
        cookie: Cookie(0),
        cookie_mask: 0,
        matches: Match::new(),
    })
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn compare(version: Version) {
    if let Some(missing) = real::missing() {
        println!("skipped: {missing} is not installed, nothing to compare with");
        return;
    }
    let ovs = OpenVswitch::start(version, &PORTS).unwrap();
    let now = Instant::now();
    let mut options = SwitchOptions::new("br0", DatapathId(0x1234));
    options.versions = vec![version];
    options.probe_interval = None;
    let mut switch = EmulatedSwitch::new(options);
    for port in PORTS {
        switch.add_port(PortNo(port), now);
    }
    switch.connected(now);
    let mut switches: [Box<dyn Switch>; 2] = [
        Box::new(Real { ovs, removals: Vec::new() }),
        Box::new(Emulated { switch, now, removals: Vec::new() }),
    ];
    let greeting = greeting(version);
    for switch in &mut switches {
        // What each says to the greeting is its own matter.
        switch.step(Deed { version, number: 0, message: Some(&greeting), frame: None });
    }
    let seed = number("UMLAUT_DIFFERENTIAL_SEED", 1);
    let mut random = Random(seed);
    let mut history: Vec<String> = Vec::new();
    let mut entries = String::new();
    let steps = number("UMLAUT_DIFFERENTIAL_STEPS", 1500) as u32;
    for number in 1..=steps {
        let step = step(&mut random, version);
        let (message, frame) = match &step {
            Step::Frame(port, frame) => (None, Some((*port, &frame[..]))),
            Step::Message(message) => match bytes(version, 1_000_000 + number, message) {
                Some(mut message_bytes) => {
                    if matches!(message, Message::FlowMod(_)) {
                        message_bytes.extend(bytes(version, 0, &everything()).unwrap());
                    }
                    (Some(message_bytes), None)
                }
                // Not expressible in this version: nothing to compare.
                None => continue,
            },
        };
        history.push(format!("{step:02x?}"));
        let deed = Deed { version, number, message: message.as_deref(), frame };
        let outcomes = switches.each_mut().map(|switch| switch.step(deed));
        if outcomes[0] != outcomes[1] {
            let recent = &history[history.len().saturating_sub(3)..];
            panic!(
                "version {version} seed {seed} step {number}\nlast steps:\n{}\n\
                 entries:\n{entries}\nOpen vSwitch:\n{}\nemulated:\n{}",
                recent.join("\n"),
                outcomes[0],
                outcomes[1]
            );
        }
        if let Some(flows) = outcomes[0].messages.iter().find(|text| text.starts_with("flows")) {
            entries = flows.clone();
        }
    }
    let [real, emulated] = &mut switches;
    let expected = emulated.removals(0);
    assert_eq!(real.removals(expected.len()), expected, "flow-removed");
    println!("version {version} seed {seed}: {steps} steps, {} flow-removed", expected.len());
}

#[test]
fn the_emulated_switch_of_1_0_is_like_open_vswitch() {
    compare(Version::V1_0);
}

#[test]
fn the_emulated_switch_of_1_3_is_like_open_vswitch() {
    compare(Version::V1_3);
}

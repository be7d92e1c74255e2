//! The two switches under comparison, and what of their answers must agree.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use bytes::BytesMut;
use umlaut_openflow::{
    Action, ConfigFlags, Cookie, FlowMod, FlowStats, GroupStats, Hello, Instruction, MacAddr,
    Match, MatchField, Message, MeterStats, Port, PortNo, SwitchConfig, TableFeatures,
    TableProperty, TableStats, Version, VlanMatch, Xid, build, decode, encode,
};
use umlaut_testbed::{EmulatedSwitch, Output};

use super::generate::PORTS;
use super::real::{OpenVswitch, PATIENCE};

/// EtherType of the frames that say "all before has been handled".
const MARKER: u16 = 0x88b6;

/// What came out of a switch in one step: messages, and frames by port.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) messages: Vec<String>,
    pub(crate) frames: BTreeMap<u32, Vec<Vec<u8>>>,
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

pub(crate) fn bytes(version: Version, xid: u32, message: &Message<'_>) -> Option<Vec<u8>> {
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
                    .filter(|i| **i != Instruction::Apply([].into()))
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
        // Numbers of 64 bits, the dummy datapath's own names and addresses, and the order of hash tables
        // are its own matter.
        Message::FeaturesReply(f) => {
            let ports = port_lines(&f.ports);
            format!(
                "features {} buffers {} tables {} capabilities {:#x} actions {:#x} {ports:?}",
                f.dpid, f.n_buffers, f.n_tables, f.capabilities, f.actions
            )
        }
        Message::PortDescriptionReply { ports, more } => {
            format!("ports {:?} more {more}", port_lines(&ports))
        }
        Message::PortStatus(status) => {
            format!("port status {} {:?}", status.reason, port_lines(&[status.port]))
        }
        Message::PortStatsReply { ports, more } => {
            let mut numbers: Vec<PortNo> = ports.iter().map(|port| port.port_no).collect();
            numbers.sort_unstable();
            format!("port statistics of {numbers:?} more {more}")
        }
        Message::QueueStatsReply { queues, more } => {
            let queues = queues.iter().filter(|queue| queue.port != PortNo::LOCAL);
            let mut numbers: Vec<_> = queues.map(|queue| (queue.port, queue.queue_id)).collect();
            numbers.sort_unstable();
            format!("queue statistics of {numbers:?} more {more}")
        }
        Message::QueueGetConfigReply { port, queues } => {
            let queues = queues.iter().filter(|queue| queue.port != PortNo::LOCAL);
            let mut lines: Vec<_> = queues.map(|queue| format!("{queue:?}")).collect();
            lines.sort_unstable();
            format!("queues of {port}: {lines:?}")
        }
        Message::TableStatsReply { tables, more } => {
            let line = |table: &TableStats| {
                let TableStats { table_id, max_entries, active_count, wildcards, .. } = table;
                format!("{table_id} {active_count} of {max_entries} {wildcards:#x}")
            };
            format!("tables {:?} more {more}", tables.iter().map(line).collect::<Vec<_>>())
        }
        Message::AggregateStatsReply(stats) => format!("{stats:?}"),
        Message::GroupStatsReply { groups, more } => {
            // A select group of Open vSwitch counts what its datapath sends back to it, by and by.
            let line = |g: &GroupStats| {
                format!("{} used by {}, {} buckets", g.group_id, g.ref_count, g.buckets.len())
            };
            format!("groups {:?} more {more}", sorted(groups.iter().map(line)))
        }
        Message::GroupDescriptionReply { groups, more } => {
            let lines = groups.iter().map(|group| format!("{group:?}"));
            format!("groups {:?} more {more}", sorted(lines))
        }
        Message::GroupFeaturesReply(f) => {
            format!("group features {:#x} {:#x} {:?}", f.types, f.capabilities, f.max_groups)
        }
        Message::MeterStatsReply { meters, more } => {
            let line = |m: &MeterStats| {
                let MeterStats { meter_id, flow_count, bands, .. } = m;
                let (packets, bytes) = (m.packet_in_count, m.byte_in_count);
                format!("{meter_id} used by {flow_count}, {packets} {bytes} {bands:?}")
            };
            format!("meters {:?} more {more}", sorted(meters.iter().map(line)))
        }
        Message::MeterConfigReply { meters, more } => {
            let lines = meters.iter().map(|meter| format!("{meter:?}"));
            format!("meters {:?} more {more}", sorted(lines))
        }
        // Which actions and fields there are is its own matter; the tables are not.
        Message::TableFeaturesReply { tables, .. } => {
            let line = |t: &TableFeatures| {
                let next = t.properties.iter().find_map(|property| match property {
                    TableProperty::NextTables { miss: false, tables } => Some(tables.len()),
                    _ => None,
                });
                format!("table {} of {} before {next:?} others", t.table_id, t.max_entries)
            };
            tables.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Message::Error(error) => format!(
            "xid {} error {}/{} of {} bytes that begin with {:02x?}",
            header.xid,
            error.code.kind(),
            error.code.code(),
            error.data.len(),
            &error.data[..error.data.len().min(12)]
        ),
        other => format!("xid {} {other:02x?}", header.xid),
    }
}

fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort_unstable();
    lines
}

/// Number, configuration and state of ordinary ports: LOCAL is up only in Open vSwitch.
fn port_lines(ports: &[Port]) -> Vec<String> {
    let ordinary = ports.iter().filter(|port| port.port_no != PortNo::LOCAL);
    sorted(ordinary.map(|p| format!("{} {} {}", p.port_no, p.config, p.state)))
}

fn marker(step: u32) -> Vec<u8> {
    let mut payload = step.to_be_bytes().to_vec();
    payload.resize(46, 0);
    build::ethernet(MacAddr::BROADCAST, MacAddr::from_u64(0x99), &[], MARKER, &payload)
}

/// Sends markers to the controller and out of every port.
pub(crate) fn marker_entry() -> Message<'static> {
    let actions = [PortNo::CONTROLLER, PortNo::ALL, PortNo::IN_PORT].map(Action::output).to_vec();
    let entry = FlowMod::add(Match::new().eth_type(MARKER)).priority(65535).cookie(Cookie(0xffff));
    Message::FlowMod(entry.apply(actions))
}

/// What is done to a switch in one step.
#[derive(Clone, Copy)]
pub(crate) struct Deed<'a> {
    pub(crate) version: Version,
    pub(crate) number: u32,
    pub(crate) message: Option<&'a [u8]>,
    pub(crate) frame: Option<(u32, &'a [u8])>,
    /// Only the answers are looked at: nothing enters, nothing is waited for at the ports.
    pub(crate) quiet: bool,
    /// Counters are asked for.
    pub(crate) counts: bool,
    /// A port that sends nothing, no marker either.
    pub(crate) silent: Option<u32>,
}

impl Deed<'_> {
    /// The message, then the marker's entry again (the message may have deleted it), then a barrier.
    fn control(&self) -> Vec<u8> {
        let entry = match self.quiet {
            true => Vec::new(),
            false => bytes(self.version, 0, &marker_entry()).unwrap(),
        };
        let barrier = bytes(self.version, self.number, &Message::BarrierRequest).unwrap();
        [self.message.unwrap_or_default(), &entry, &barrier].concat()
    }

    /// The frame, then the marker at the same port.
    fn frames(&self) -> Vec<(u32, Vec<u8>)> {
        if self.quiet {
            return Vec::new();
        }
        let port = self.frame.map_or(1, |(port, _)| port);
        let frame = self.frame.map(|(port, frame)| (port, frame.to_vec()));
        frame.into_iter().chain([(port, marker(self.number))]).collect()
    }
}

pub(crate) trait Switch {
    /// Does it and takes all that comes of it, but for flow-removed messages: Open vSwitch sends
    /// those by and by.
    fn step(&mut self, deed: Deed<'_>) -> Outcome;
    /// The flow-removed messages so far, sorted; waits until there are so many.
    fn removals(&mut self, awaited: usize) -> Vec<String>;
}

pub(crate) struct Real {
    pub(crate) ovs: OpenVswitch,
    pub(crate) version: Version,
    pub(crate) removals: Vec<String>,
}

impl Real {
    /// The hardware address of a port.
    pub(crate) fn address(&mut self, version: Version, port: u32) -> MacAddr {
        let request = match version {
            Version::V1_0 => Message::FeaturesRequest,
            _ => Message::PortDescriptionRequest,
        };
        self.ovs.tell(&bytes(version, 0xadd, &request).unwrap()).unwrap();
        let limit = Instant::now() + PATIENCE;
        while Instant::now() < limit {
            let bytes = self.ovs.hear().unwrap();
            let ports = match decode(&bytes).unwrap().1 {
                Message::FeaturesReply(features) => features.ports,
                Message::PortDescriptionReply { ports, .. } => ports,
                _ => continue,
            };
            let port = ports.iter().find(|other| other.port_no == PortNo(port));
            return port.expect("a port of the switch").hw_addr;
        }
        panic!("no answer");
    }

    /// Takes messages up to the awaited one.
    fn hear(&mut self, into: &mut Vec<String>, awaited: impl Fn(Xid, &Message<'_>) -> bool) {
        // Probes of the switch would keep a wait without a limit alive for ever.
        let limit = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < limit, "what is waited for does not come");
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
        if deed.counts {
            // What the datapath has counted comes to the tables.
            self.ovs.purge().unwrap();
        }
        self.ovs.tell(&deed.control()).unwrap();
        self.hear(&mut outcome.messages, |xid, message| {
            xid.0 == deed.number && *message == Message::BarrierReply
        });
        if deed.quiet {
            return outcome;
        }
        self.ovs.purge().unwrap();
        for (port, frame) in deed.frames() {
            self.ovs.enter(port, &frame).unwrap();
        }
        let marker = marker(deed.number);
        self.hear(&mut outcome.messages, |_, message| {
            matches!(message, Message::PacketIn(packet) if packet.data[..] == marker[..])
        });
        for port in PORTS.into_iter().filter(|port| Some(*port) != deed.silent) {
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
        // The last of them may come late. A barrier tells that none is left.
        let limit = Instant::now() + PATIENCE;
        while self.removals.len() < awaited && Instant::now() < limit {
            let barrier = bytes(self.version, 0xba7, &Message::BarrierRequest).unwrap();
            self.ovs.tell(&barrier).unwrap();
            self.hear(&mut Vec::new(), |xid, message| {
                xid.0 == 0xba7 && *message == Message::BarrierReply
            });
        }
        self.removals.sort();
        self.removals.clone()
    }
}

pub(crate) struct Emulated {
    pub(crate) switch: EmulatedSwitch,
    pub(crate) now: Instant,
    pub(crate) removals: Vec<String>,
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

pub(crate) fn greeting(version: Version) -> Vec<u8> {
    let hello = match version {
        Version::V1_0 => Hello::default(),
        _ => Hello::offering(&[version]),
    };
    let config = SwitchConfig { flags: ConfigFlags::FRAG_NORMAL, miss_send_len: 0xffff };
    let messages = [Message::Hello(hello), Message::SetConfig(config)];
    messages.iter().flat_map(|message| bytes(version, 0, message).unwrap()).collect()
}

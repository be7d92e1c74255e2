//! The control channel of an emulated switch: negotiation, requests and their answers (1.3.5 §6.3,
//! §7; 1.0 §4.5, §5). Pure.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use umlaut_openflow::{
    AggregateStats, Cookie, ErrorMessage, Features, FlowMod, FlowModCommand, FlowModFlags,
    FlowRemoved, FlowStats, FlowStatsRequest, Header, Hello, Message, PacketOut, Port, PortNo,
    PortStats, PortStatus, SwitchDescription, TableId, Version, Xid, decode, encode, next_frame,
};

use super::actions::{check_actions, check_instruction_references, check_instructions};
use super::error::Refusal;
use super::key::{Criteria, key_of};
use super::{EmulatedSwitch, Output};
use crate::layout::Packet;

/// How much of a refused message comes back with the error: all of it, as Open vSwitch does, as far
/// as it fits.
const ERROR_DATA: usize = 0xffff - 12;

/// How many bytes of entries one part of a statistics reply carries.
const REPLY_PART: usize = 60_000;

/// State of the connection to the controller.
#[derive(Debug, Default)]
pub(super) struct Channel {
    stage: Stage,
    received: Vec<u8>,
    /// When the controller was last heard, and whether a probe is under way since.
    heard: Option<Instant>,
    probing: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Stage {
    #[default]
    Closed,
    /// Our hello is out, theirs is awaited.
    Greeting,
    Open(Version),
}

impl Channel {
    pub(super) fn version(&self) -> Option<Version> {
        match self.stage {
            Stage::Open(version) => Some(version),
            Stage::Closed | Stage::Greeting => None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.stage != Stage::Closed
    }
}

impl EmulatedSwitch {
    /// The control channel is open: the hello goes out.
    pub fn connected(&mut self, now: Instant) {
        self.expire(now);
        self.channel = Channel { stage: Stage::Greeting, heard: Some(now), ..Channel::default() };
        let highest = self.options.versions.iter().copied().max().unwrap_or(Version::V1_0);
        let hello = match highest {
            Version::V1_0 => Hello::default(),
            _ => Hello::offering(&self.options.versions),
        };
        self.send_in(highest, Xid(1), &Message::Hello(hello));
    }

    /// The control channel is gone. Entries stay.
    pub fn disconnected(&mut self, now: Instant) {
        self.expire(now);
        self.channel = Channel::default();
    }

    /// Bytes from the controller, cut anywhere. Ignored while there is no channel.
    pub fn control_input(&mut self, bytes: &[u8], now: Instant) {
        if !self.channel.is_open() {
            return;
        }
        self.expire(now);
        self.channel.heard = Some(now);
        self.channel.probing = false;
        let mut received = std::mem::take(&mut self.channel.received);
        received.extend_from_slice(bytes);
        let mut rest = &received[..];
        while self.channel.is_open() {
            match next_frame(rest) {
                Ok(Some(length)) => {
                    let (message, after) = rest.split_at(length);
                    rest = after;
                    self.message(message, now);
                }
                Ok(None) => {
                    self.channel.received = rest.to_vec();
                    return;
                }
                // The stream cannot be cut any further.
                Err(_) => self.close(),
            }
        }
    }

    pub(super) fn close(&mut self) {
        self.channel = Channel::default();
        self.outputs.push(Output::Close);
    }

    pub(super) fn probe_deadline(&self) -> Option<Instant> {
        let interval = self.options.probe_interval?;
        let patience = if self.channel.probing { interval * 2 } else { interval };
        self.channel.heard.map(|heard| heard + patience)
    }

    pub(super) fn probe(&mut self, now: Instant) {
        let Some(at) = self.probe_deadline() else { return };
        if now < at {
            return;
        }
        match self.channel.version() {
            Some(version) if !self.channel.probing => {
                self.channel.probing = true;
                self.send_in(version, Xid(0), &Message::EchoRequest(Cow::Borrowed(&[])));
            }
            // Neither echo nor hello has come.
            _ => self.close(),
        }
    }

    fn send_in(&mut self, version: Version, xid: Xid, message: &Message<'_>) -> bool {
        let mut bytes = BytesMut::new();
        let fits = encode(version, xid, message, &mut bytes).is_ok();
        if fits {
            self.outputs.push(Output::Control(bytes.to_vec()));
        }
        fits
    }

    /// Sends on an open channel; false if there is none or the version cannot express it.
    pub(super) fn send(&mut self, xid: Xid, message: &Message<'_>) -> bool {
        self.channel.version().is_some_and(|version| self.send_in(version, xid, message))
    }

    pub(super) fn send_flow_removed(&mut self, mut removed: FlowRemoved) {
        if self.version() == Some(Version::V1_0) {
            removed.hard_timeout = 0;
        }
        if self.send(Xid(0), &Message::FlowRemoved(removed)) {
            self.counters.flow_removals += 1;
        }
    }

    pub(super) fn send_port_status(&mut self, mut status: PortStatus, now: Instant) {
        self.expire(now);
        if let Some(version) = self.channel.version() {
            status.port = worded(version, &status.port);
            self.send(Xid(0), &Message::PortStatus(status));
        }
    }

    fn refuse(&mut self, version: Version, xid: Xid, refusal: Refusal, request: &[u8]) {
        self.refuse_as(version, xid, refusal.code(version), request);
    }

    fn refuse_as(
        &mut self,
        version: Version,
        xid: Xid,
        code: umlaut_openflow::ErrorCode,
        request: &[u8],
    ) {
        let data = Cow::Borrowed(&request[..request.len().min(ERROR_DATA)]);
        if self.send_in(version, xid, &Message::Error(ErrorMessage { code, data })) {
            self.counters.errors += 1;
        }
    }

    fn message(&mut self, bytes: &[u8], now: Instant) {
        match self.channel.stage {
            Stage::Closed => {}
            Stage::Greeting => match decode(bytes) {
                Ok((header, Message::Hello(hello))) => self.negotiate(header, &hello, bytes),
                // Nothing else may come before the hello (1.3.5 §6.3.1).
                _ => self.close(),
            },
            Stage::Open(version) => self.request(version, bytes, now),
        }
    }

    fn negotiate(&mut self, header: Header, hello: &Hello, bytes: &[u8]) {
        let offered = |version: &Version| match &hello.versions {
            Some(words) => words
                .get(usize::from(version.0 / 32))
                .is_some_and(|word| word >> (version.0 % 32) & 1 != 0),
            None => *version <= header.version,
        };
        match self.options.versions.iter().copied().filter(offered).max() {
            // Without bitmaps both take the lower of the highest versions, if they have it.
            Some(version) => self.channel.stage = Stage::Open(version),
            None => {
                let ours = self.options.versions.iter().copied().max().unwrap_or(Version::V1_0);
                self.refuse(ours, header.xid, Refusal::HELLO_INCOMPATIBLE, bytes);
                self.close();
            }
        }
    }

    fn request(&mut self, version: Version, bytes: &[u8], now: Instant) {
        let (header, message) = match decode(bytes) {
            Ok(decoded) => decoded,
            Err(error) => {
                let (Some(xid), Some(code)) = (error.xid, error.error_code(version)) else {
                    return self.close();
                };
                return self.refuse_as(version, xid, code, bytes);
            }
        };
        let xid = header.xid;
        let versionless = matches!(
            message,
            Message::Hello(_) | Message::Error(_) | Message::EchoRequest(_) | Message::EchoReply(_)
        );
        if header.version != version && !versionless {
            return self.refuse(version, xid, Refusal::BAD_VERSION, bytes);
        }
        match self.handle(version, xid, message, now) {
            Ok(()) => {}
            Err(refusal) => self.refuse(version, xid, refusal, bytes),
        }
    }

    fn handle(
        &mut self,
        version: Version,
        xid: Xid,
        message: Message<'_>,
        now: Instant,
    ) -> Result<(), Refusal> {
        match message {
            Message::Hello(_) | Message::EchoReply(_) => {}
            Message::Error(_) => self.counters.errors_received += 1,
            Message::EchoRequest(data) => {
                self.send(xid, &Message::EchoReply(data));
            }
            Message::BarrierRequest => {
                self.send(xid, &Message::BarrierReply);
            }
            Message::FeaturesRequest => self.features(version, xid),
            Message::GetConfigRequest => {
                self.send(xid, &Message::GetConfigReply(self.config));
            }
            Message::SetConfig(config) => self.config = config,
            Message::DescriptionRequest => self.description(xid),
            Message::PortDescriptionRequest => self.port_description(version, xid),
            Message::FlowStatsRequest(request) => self.flow_stats(version, xid, request, now)?,
            Message::AggregateStatsRequest(request) => {
                let flows = self.selected_flows(version, request, now)?;
                let stats = AggregateStats {
                    packet_count: flows.iter().map(|flow| flow.packet_count).sum(),
                    byte_count: flows.iter().map(|flow| flow.byte_count).sum(),
                    flow_count: flows.len() as u32,
                };
                self.send(xid, &Message::AggregateStatsReply(stats));
            }
            Message::PortStatsRequest { port } => self.port_stats(version, xid, port, now)?,
            Message::PortMod(change) => {
                let port = self.ports.get(&change.port_no).ok_or(Refusal::PORT_MOD_BAD_PORT)?;
                if port.hw_addr != change.hw_addr {
                    return Err(Refusal::PORT_MOD_BAD_ADDRESS);
                }
                self.configure(change.port_no, change.config, change.mask, now);
            }
            Message::FlowMod(flow_mod) => {
                self.counters.flow_mods += 1;
                self.flow_mod(version, flow_mod, now)?;
            }
            Message::PacketOut(packet) => {
                self.counters.packet_outs += 1;
                self.packet_out(version, packet, now)?;
            }
            Message::Experimenter { .. } => return Err(Refusal::BAD_EXPERIMENTER),
            Message::TableStatsRequest
            | Message::QueueStatsRequest { .. }
            | Message::GroupStatsRequest { .. }
            | Message::GroupDescriptionRequest
            | Message::GroupFeaturesRequest
            | Message::MeterStatsRequest { .. }
            | Message::MeterConfigRequest { .. }
            | Message::MeterFeaturesRequest
            | Message::TableFeaturesRequest { .. }
            | Message::ExperimenterStatsRequest { .. } => return Err(Refusal::BAD_STATISTICS),
            Message::Opaque(opaque) => {
                let statistics = if version == Version::V1_0 { 16 } else { 18 };
                return Err(match opaque.kind {
                    kind if kind == statistics => Refusal::BAD_STATISTICS,
                    _ => Refusal::BAD_TYPE,
                });
            }
            // What only switches send, and what this one has not: groups, meters, roles, queues.
            _ => return Err(Refusal::BAD_TYPE),
        }
        Ok(())
    }

    fn features(&mut self, version: Version, xid: Xid) {
        let old = version == Version::V1_0;
        let features = Features {
            dpid: self.options.dpid,
            n_buffers: self.options.n_buffers,
            n_tables: if old { 1 } else { self.options.n_tables },
            auxiliary_id: 0,
            // Flow statistics; 1.0: and matching ARP's addresses.
            capabilities: if old { 0x81 } else { 0x01 },
            // 1.0: the twelve standard actions.
            actions: if old { 0xfff } else { 0 },
            ports: if old { self.worded_ports(version) } else { Vec::new() },
        };
        self.send(xid, &Message::FeaturesReply(features));
    }

    /// Its ports as this version tells them; those that it cannot number are left out.
    fn worded_ports(&self, version: Version) -> Vec<Port> {
        let numbered = |port: &&Port| version != Version::V1_0 || port.port_no.to_v10().is_some();
        self.ports.values().filter(numbered).map(|port| worded(version, port)).collect()
    }

    fn description(&mut self, xid: Xid) {
        let description = SwitchDescription {
            manufacturer: text("umlaut"),
            hardware: text("emulated switch"),
            software: text(env!("CARGO_PKG_VERSION")),
            serial_number: text("none"),
            datapath: text(&self.options.name),
        };
        self.send(xid, &Message::DescriptionReply(Box::new(description)));
    }

    fn port_description(&mut self, version: Version, xid: Xid) {
        // 64 bytes each: a thousand to a part.
        let ports = self.worded_ports(version);
        let mut parts = ports.chunks(1000).peekable();
        if parts.peek().is_none() {
            self.send(xid, &Message::PortDescriptionReply { ports: Vec::new(), more: false });
        }
        while let Some(part) = parts.next() {
            let more = parts.peek().is_some();
            self.send(xid, &Message::PortDescriptionReply { ports: part.to_vec(), more });
        }
    }

    fn port_stats(
        &mut self,
        version: Version,
        xid: Xid,
        port: PortNo,
        now: Instant,
    ) -> Result<(), Refusal> {
        if port != PortNo::ANY && !self.ports.contains_key(&port) {
            return Err(Refusal::BAD_PORT);
        }
        let old = version == Version::V1_0;
        let asked = |p: &PortNo| port == PortNo::ANY || port == *p;
        let expressible = |p: &PortNo| !old || p.to_v10().is_some();
        let numbers: Vec<PortNo> =
            self.ports.keys().copied().filter(|p| asked(p) && expressible(p)).collect();
        let stats = |port_no: &PortNo| {
            let traffic = self.traffic.get(port_no).copied().unwrap_or_default();
            let age =
                |since| if old { Duration::ZERO } else { now.saturating_duration_since(since) };
            PortStats {
                port_no: *port_no,
                rx_packets: traffic.rx_packets,
                tx_packets: traffic.tx_packets,
                rx_bytes: traffic.rx_bytes,
                tx_bytes: traffic.tx_bytes,
                rx_dropped: 0,
                tx_dropped: 0,
                rx_errors: 0,
                tx_errors: 0,
                rx_frame_err: 0,
                rx_over_err: 0,
                rx_crc_err: 0,
                collisions: 0,
                duration: traffic.since.map_or(Duration::ZERO, age),
            }
        };
        let all: Vec<PortStats> = numbers.iter().map(stats).collect();
        // 112 bytes each at most: five hundred to a part.
        let mut parts = all.chunks(500).peekable();
        if parts.peek().is_none() {
            self.send(xid, &Message::PortStatsReply { ports: Vec::new(), more: false });
        }
        while let Some(part) = parts.next() {
            let more = parts.peek().is_some();
            self.send(xid, &Message::PortStatsReply { ports: part.to_vec(), more });
        }
        Ok(())
    }

    /// The entries that a statistics request asks for, oldest first.
    fn selected_flows(
        &self,
        version: Version,
        mut request: FlowStatsRequest,
        now: Instant,
    ) -> Result<Vec<FlowStats>, Refusal> {
        let (criteria, _) = Criteria::of_match(version, &request.matches)?;
        if version == Version::V1_0 {
            (request.cookie, request.cookie_mask) = (Cookie(0), 0);
        }
        Ok(self.tables.stats(&request, &criteria, now))
    }

    fn flow_stats(
        &mut self,
        version: Version,
        xid: Xid,
        request: FlowStatsRequest,
        now: Instant,
    ) -> Result<(), Refusal> {
        let mut part = Vec::new();
        let mut size = 0;
        for mut flow in self.selected_flows(version, request, now)? {
            if version == Version::V1_0 {
                flow.flags = FlowModFlags(0);
            }
            let mut bytes = BytesMut::new();
            let alone = Message::FlowStatsReply { flows: vec![flow.clone()], more: false };
            // An entry made in another version may be inexpressible in this one: it is left out.
            if encode(version, xid, &alone, &mut bytes).is_err() {
                continue;
            }
            if size + bytes.len() > REPLY_PART {
                let flows = std::mem::take(&mut part);
                self.send(xid, &Message::FlowStatsReply { flows, more: true });
                size = 0;
            }
            size += bytes.len();
            part.push(flow);
        }
        self.send(xid, &Message::FlowStatsReply { flows: part, more: false });
        Ok(())
    }

    fn flow_mod(
        &mut self,
        version: Version,
        mut flow_mod: FlowMod,
        now: Instant,
    ) -> Result<(), Refusal> {
        let old = version == Version::V1_0;
        let known = if old { 0x07 } else { 0x1f };
        if flow_mod.flags.0 & !known != 0 {
            return Err(Refusal::FLOW_BAD_FLAGS);
        }
        if old && flow_mod.flags.contains(FlowModFlags::EMERG_OR_RESET_COUNTS) {
            // No emergency entries: as Open vSwitch says it.
            return Err(Refusal::FLOW_TABLE_FULL);
        }
        if flow_mod.command.0 > FlowModCommand::DELETE_STRICT.0 {
            return Err(Refusal::FLOW_BAD_COMMAND);
        }
        let (criteria, matches) = Criteria::of_match(version, &flow_mod.matches)?;
        flow_mod.matches = matches;
        let deletes =
            matches!(flow_mod.command, FlowModCommand::DELETE | FlowModCommand::DELETE_STRICT);
        // Deletions carry no meaning in their actions.
        if !deletes {
            let table = match flow_mod.table_id {
                TableId::ALL => TableId(0),
                table => table,
            };
            let n_tables = self.options.n_tables;
            check_instructions(version, &flow_mod.instructions, &criteria, table, n_tables)?;
            // What changes nothing refers to nothing.
            if self.tables.is_effective(version, &flow_mod, &criteria) {
                check_instruction_references(&flow_mod.instructions)?;
            }
        }
        // As Open vSwitch: without the packet no entry either.
        if let Some(id) = flow_mod.buffer_id.filter(|_| !deletes) {
            self.buffers.peek(id)?;
        }
        for removed in self.tables.modify(version, &flow_mod, criteria, now)? {
            self.send_flow_removed(removed);
        }
        match flow_mod.buffer_id {
            Some(id) if !deletes => {
                let (in_port, frame) = self.buffers.take(id)?;
                self.run_tables(Packet::new(frame), in_port, now);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn packet_out(
        &mut self,
        version: Version,
        packet: PacketOut<'_>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let in_port = packet.in_port;
        let from_somewhere = match in_port {
            PortNo::ANY | PortNo::CONTROLLER | PortNo::LOCAL => true,
            PortNo(number) if version == Version::V1_0 => number < 0xff00,
            PortNo(number) => number <= PortNo::MAX.0,
        };
        if !from_somewhere {
            return Err(Refusal::BAD_PORT);
        }
        let frame = Packet::new(match packet.buffer_id {
            Some(id) => self.buffers.peek(id)?.1.to_vec(),
            None => packet.data.into_owned(),
        });
        let context = Criteria::of_packet(&key_of(&frame, in_port, 0));
        check_actions(version, &packet.actions, context)?;
        if let Some(id) = packet.buffer_id {
            self.buffers.take(id)?;
        }
        // Less than an Ethernet header is no packet.
        if frame.bytes.len() >= 14 {
            self.run_packet_out(frame, in_port, &packet.actions, now);
        }
        Ok(())
    }
}

/// The feature words of a 10 Gb/s copper port in this version.
fn worded(version: Version, port: &Port) -> Port {
    const FULL_10_GB: u32 = 1 << 6;
    const SPEED: u32 = 10_000_000;
    match version {
        Version::V1_0 => Port { curr: FULL_10_GB | 1 << 7, ..port.clone() },
        _ => {
            Port { curr: FULL_10_GB | 1 << 11, curr_speed: SPEED, max_speed: SPEED, ..port.clone() }
        }
    }
}

fn text<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    // The last byte stays zero.
    for (place, byte) in bytes.iter_mut().take(N - 1).zip(text.bytes()) {
        *place = byte;
    }
    bytes
}

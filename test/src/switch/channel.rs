//! The control channel of an emulated switch: negotiation, requests and their answers (1.3.5 §6.3,
//! §7; 1.0 §4.5, §5). Pure.

use std::borrow::Cow;
use std::time::Instant;

use bytes::BytesMut;
use umlaut_openflow::{
    ConfigFlags, ErrorMessage, Features, FlowMod, FlowModCommand, FlowModFlags, FlowRemoved,
    Header, Hello, Message, PacketOut, PortNo, PortStatus, SwitchConfig, TableId, Version, Xid,
    decode, encode, next_frame,
};

use super::actions::{
    check_actions, check_bucket, check_instruction_references, check_instructions, in_order,
};
use super::error::Refusal;
use super::groups;
use super::key::{Criteria, key_of};
use super::multipart::worded;
use super::roles::Roles;
use super::{EmulatedSwitch, Output};
use crate::layout::Packet;

/// How much of a refused message comes back with the error: all of it, as Open vSwitch does, as far
/// as it fits.
const ERROR_DATA: usize = 0xffff - 12;

/// Behind its 254 tables Open vSwitch has one that is not for controllers.
const HIDDEN_TABLE: u8 = 254;

/// State of the connection to the controller.
#[derive(Debug, Default)]
pub(super) struct Channel {
    stage: Stage,
    received: Vec<u8>,
    /// When the controller was last heard, and whether a probe is under way since.
    heard: Option<Instant>,
    probing: bool,
    pub(super) roles: Roles,
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

    /// Forgets the connection, but not which generation of masters was heard last.
    fn close(&mut self) {
        let mut roles = std::mem::take(&mut self.roles);
        roles.reconnect();
        *self = Channel { roles, ..Channel::default() };
    }
}

impl EmulatedSwitch {
    /// The control channel is open: the hello goes out.
    pub fn connected(&mut self, now: Instant) {
        self.expire(now);
        self.channel.close();
        self.channel.stage = Stage::Greeting;
        self.channel.heard = Some(now);
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
        self.channel.close();
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
        self.channel.close();
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

    /// Sends on an open channel; false if there is none, if the controller does not want to be told
    /// this, or if the version cannot express it.
    pub(super) fn send(&mut self, xid: Xid, message: &Message<'_>) -> bool {
        if !self.channel.roles.wants(message) {
            return false;
        }
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
        let data = [refusal.prefix(version), request].concat();
        self.refuse_as(version, xid, refusal.code(version), &data);
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
        if self.channel.roles.refuses(&message) {
            return Err(Refusal::IS_SLAVE);
        }
        let Some(message) = self.statistics(version, xid, message, now)? else { return Ok(()) };
        match message {
            Message::Hello(_) | Message::EchoReply(_) => {}
            Message::Error(_) => {
                self.counters.errors_received += 1;
                return Err(Refusal::BAD_TYPE);
            }
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
            Message::SetConfig(config) => self.set_config(version, config)?,
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
            Message::GroupMod(change) => {
                groups::check(&change)?;
                for bucket in &change.buckets {
                    check_bucket(version, &bucket.actions)?;
                }
                for group in self.groups.modify(change, now)? {
                    for removed in self.tables.remove_group(group, now) {
                        self.send_flow_removed(removed);
                    }
                }
            }
            Message::MeterMod(change) => {
                for meter in self.meters.modify(change, now)? {
                    for removed in self.tables.remove_meter(meter.0, now) {
                        self.send_flow_removed(removed);
                    }
                }
            }
            // There is nothing to configure: what 1.3 has is deprecated.
            Message::TableMod(change) => {
                if change.table_id != TableId::ALL && change.table_id.0 >= self.options.n_tables {
                    return Err(Refusal::TABLE_MOD_NOT_PERMITTED);
                }
            }
            Message::RoleRequest(request) => {
                let reply = self.channel.roles.request(version, request)?;
                self.send(xid, &Message::RoleReply(reply));
            }
            Message::GetAsyncRequest => {
                let config = self.channel.roles.async_config();
                self.send(xid, &Message::GetAsyncReply(config));
            }
            Message::SetAsync(config) => self.channel.roles.set_async(config),
            Message::QueueGetConfigRequest { port } => {
                let all = port == PortNo::ANY && version != Version::V1_0;
                let known = self.ports.contains_key(&port) && port != PortNo::LOCAL;
                if !all && !known {
                    return Err(Refusal::QUEUE_BAD_PORT);
                }
                let queues = self.queues.configs((!all).then_some(port));
                self.send(xid, &Message::QueueGetConfigReply { port, queues });
            }
            Message::Opaque(opaque) => {
                let statistics = if version == Version::V1_0 { 16 } else { 18 };
                return Err(match opaque.kind {
                    kind if kind == statistics => Refusal::BAD_STATISTICS,
                    _ => Refusal::BAD_TYPE,
                });
            }
            // What only switches send.
            _ => return Err(Refusal::BAD_TYPE),
        }
        Ok(())
    }

    fn features(&mut self, version: Version, xid: Xid) {
        let old = version == Version::V1_0;
        let features = Features {
            dpid: self.options.dpid,
            n_buffers: self.options.n_buffers,
            n_tables: self.options.n_tables,
            auxiliary_id: 0,
            // Statistics of flows, tables, ports, queues; 1.0: matching ARP's addresses; later: groups.
            capabilities: if old { 0xc7 } else { 0x4f },
            // 1.0: the twelve standard actions.
            actions: if old { 0xfff } else { 0 },
            ports: if old { self.worded_ports(version) } else { Vec::new() },
        };
        self.send(xid, &Message::FeaturesReply(features));
    }

    /// Takes a configuration. As in Open vSwitch: fragments are not reassembled, and of such a request
    /// only the length counts.
    fn set_config(&mut self, version: Version, config: SwitchConfig) -> Result<(), Refusal> {
        // The third bit of 1.0: packets whose time to live ran out come to the controller.
        let known = if version == Version::V1_0 { 0x7 } else { 0x3 };
        if config.flags.0 & !known != 0 {
            return Err(Refusal::CONFIG_BAD_FLAGS);
        }
        self.config.miss_send_len = config.miss_send_len;
        if config.flags != ConfigFlags::FRAG_REASM {
            self.config.flags = config.flags;
        }
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
        let table = flow_mod.table_id;
        // Deletions carry no meaning in their actions.
        if !deletes {
            let n_tables = self.options.n_tables;
            // "All tables" is for deletions.
            if table == TableId::ALL {
                return Err(Refusal::FLOW_BAD_TABLE);
            }
            check_instructions(version, &flow_mod.instructions, &criteria, table, n_tables)?;
            // What changes nothing refers to nothing.
            if self.tables.is_effective(version, &flow_mod, &criteria) {
                check_instruction_references(
                    &flow_mod.instructions,
                    &|group| self.groups.contains(group),
                    &|meter| self.meters.contains(meter),
                )?;
            }
            in_order(&mut flow_mod.instructions);
        }
        if table.0 == HIDDEN_TABLE && self.options.n_tables == HIDDEN_TABLE {
            return Err(Refusal::NOT_PERMITTED);
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
        check_actions(version, &packet.actions, context, &|group| self.groups.contains(group))?;
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

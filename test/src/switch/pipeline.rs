//! What a switch does to a frame: tables, actions, outputs, packet-ins (1.3.5 §5; 1.0 §3). Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Instant;

use umlaut_openflow::{
    Action, BufferId, ConfigFlags, Cookie, GroupId, Instruction, MacAddr, MaxLen, Message, MeterId,
    PacketIn, PacketInReason, Port, PortConfig, PortNo, TableId, Version, VlanId, Xid,
};

use super::actions::{Edited, edit, in_set_order};
use super::error::Refusal;
use super::groups::{self, Chosen};
use super::key::key_of;
use super::meters::Metered;
use super::{EmulatedSwitch, Output};
use crate::layout::{Packet, Part, layout};

/// 1.0 only: not to be flooded to.
const NO_FLOOD: u32 = 16;

/// Packets kept for the controller. When all places are in use, the oldest packet is overwritten.
#[derive(Debug)]
pub(super) struct Buffers {
    places: u32,
    /// The next number; every number below has been given out.
    next: u32,
    kept: BTreeMap<u32, (PortNo, Vec<u8>)>,
}

impl Buffers {
    pub(super) fn new(places: u32) -> Buffers {
        Buffers { places, next: 0, kept: BTreeMap::new() }
    }

    fn keep(&mut self, in_port: PortNo, frame: &[u8]) -> Option<BufferId> {
        if self.places == 0 {
            return None;
        }
        while self.kept.len() >= self.places as usize {
            self.kept.pop_first();
        }
        let id = self.next;
        // All ones means "no buffer".
        self.next = if id >= 0xffff_fffe { 0 } else { id + 1 };
        self.kept.insert(id, (in_port, frame.to_vec()));
        Some(BufferId(id))
    }

    fn missing(&self, id: BufferId) -> Refusal {
        if id.0 < self.next { Refusal::BUFFER_EMPTY } else { Refusal::BUFFER_UNKNOWN }
    }

    pub(super) fn peek(&self, id: BufferId) -> Result<(PortNo, &[u8]), Refusal> {
        let kept = self.kept.get(&id.0).map(|(port, frame)| (*port, &frame[..]));
        kept.ok_or_else(|| self.missing(id))
    }

    pub(super) fn take(&mut self, id: BufferId) -> Result<(PortNo, Vec<u8>), Refusal> {
        self.kept.remove(&id.0).ok_or_else(|| self.missing(id))
    }
}

/// Where in the switch a packet is, for packet-ins that its actions send.
#[derive(Clone, Copy)]
struct Place {
    in_port: PortNo,
    table_id: TableId,
    cookie: Cookie,
    reason: PacketInReason,
    metadata: u64,
    /// Whether `TABLE` has a meaning.
    from_controller: bool,
    /// How many groups have led here.
    depth: u32,
}

impl EmulatedSwitch {
    /// A frame comes in at a port. Lost if the port is not there or not up.
    pub fn frame_input(&mut self, port: PortNo, frame: &[u8], now: Instant) {
        self.expire(now);
        let receives = |p: &Port| p.is_up() && p.config.0 & PortConfig::NO_RECV.0 == 0;
        if !self.ports.get(&port).is_some_and(receives) || frame.len() < 14 {
            return;
        }
        self.counters.frames_in += 1;
        if let Some(traffic) = self.traffic.get_mut(&port) {
            traffic.rx_packets += 1;
            traffic.rx_bytes += frame.len() as u64;
        }
        self.run_tables(Packet::new(frame.to_vec()), port, now);
    }

    pub(super) fn run_packet_out(
        &mut self,
        mut packet: Packet,
        in_port: PortNo,
        actions: &[Action],
        now: Instant,
    ) {
        let place = Place {
            in_port,
            table_id: TableId(0),
            cookie: Cookie(u64::MAX),
            reason: PacketInReason::ACTION,
            metadata: 0,
            from_controller: true,
            depth: 0,
        };
        self.run_actions(&mut packet, actions, place, now);
    }

    /// Runs a packet through the tables from the first.
    pub(super) fn run_tables(&mut self, mut packet: Packet, in_port: PortNo, now: Instant) {
        if self.config.flags == ConfigFlags::FRAG_DROP
            && packet.layout().is_some_and(|found| found.part != Part::Whole)
        {
            return;
        }
        let mut table_id = TableId(0);
        let mut metadata = 0;
        let mut written: Vec<Action> = Vec::new();
        loop {
            let key = key_of(&packet, in_port, metadata);
            let found = self.tables.lookup(table_id, &key);
            let lookups = self.lookups.entry(table_id).or_default();
            lookups.all += 1;
            lookups.matched += u64::from(found.is_some());
            let Some(id) = found else {
                self.missed(&packet.bytes, in_port, table_id, now);
                return;
            };
            self.tables.count(id, packet.bytes.len(), now);
            let Some(entry) = self.tables.entry(id) else { return };
            let miss = entry.is_table_miss() && self.version() != Some(Version::V1_0);
            let place = Place {
                in_port,
                table_id,
                cookie: entry.cookie,
                reason: if miss { PacketInReason::NO_MATCH } else { PacketInReason::ACTION },
                metadata,
                from_controller: false,
                depth: 0,
            };
            let mut next = None;
            for instruction in entry.instructions.clone() {
                match instruction {
                    Instruction::Meter(meter) => {
                        let len = packet.bytes.len();
                        if self.meters.pass(meter, len, now) == Metered::Drop {
                            return;
                        }
                    }
                    Instruction::Apply(actions) => {
                        let edited = self.run_actions(&mut packet, &actions, place, now);
                        let Edited::Whole = edited else { return };
                    }
                    Instruction::Clear => written.clear(),
                    Instruction::Write(actions) => written.extend(actions),
                    Instruction::WriteMetadata { metadata: bits, mask } => {
                        metadata = metadata & !mask | bits & mask;
                    }
                    Instruction::Goto(to) => next = Some(to),
                    // Refused when the entry was made.
                    _ => {}
                }
            }
            match next {
                // Only forward, by the check of the entry: the loop ends.
                Some(to) if to > table_id => table_id = to,
                _ => {
                    let set = in_set_order(&written);
                    self.run_actions(&mut packet, &set, Place { metadata, ..place }, now);
                    return;
                }
            }
        }
    }

    fn missed(&mut self, frame: &[u8], in_port: PortNo, table_id: TableId, now: Instant) {
        // 1.0 asks the controller; later versions drop unless a table-miss entry says otherwise.
        if self.version() == Some(Version::V1_0) {
            let place = Place {
                in_port,
                table_id,
                cookie: Cookie(u64::MAX),
                reason: PacketInReason::NO_MATCH,
                metadata: 0,
                from_controller: false,
                depth: 0,
            };
            self.packet_in(frame, place, MaxLen(self.config.miss_send_len), now);
        } else {
            self.counters.frames_missed += 1;
        }
    }

    fn run_actions(
        &mut self,
        packet: &mut Packet,
        actions: &[Action],
        place: Place,
        now: Instant,
    ) -> Edited {
        for action in actions {
            match action {
                Action::Group(group) => {
                    // What comes behind a group that is not there is not done.
                    if !self.run_group(packet, *group, place, now) {
                        return Edited::Whole;
                    }
                }
                Action::Output { port, max_len } => {
                    self.output(packet, *port, *max_len, place, now);
                }
                Action::Enqueue { port, queue_id } => {
                    let before = std::mem::replace(&mut packet.queue, *queue_id);
                    self.output(packet, *port, MaxLen::NO_BUFFER, place, now);
                    packet.queue = before;
                }
                action => {
                    if edit(packet, action) == Edited::Expired {
                        let place = Place { reason: PacketInReason::INVALID_TTL, ..place };
                        self.packet_in(&packet.bytes, place, MaxLen::NO_BUFFER, now);
                        return Edited::Expired;
                    }
                }
            }
        }
        Edited::Whole
    }

    /// Runs the buckets that a packet takes, each on a copy of its own. False: there is no such group.
    fn run_group(&mut self, packet: &Packet, id: GroupId, place: Place, now: Instant) -> bool {
        if place.depth >= groups::DEPTH {
            return true;
        }
        let hash = key_of(packet, place.in_port, 0).conversation();
        let chosen = self.groups.choose(id, hash, &|port| self.is_up(port));
        let Some(Chosen { places, buckets }) = chosen else { return false };
        self.groups.count(id, &places, packet.bytes.len());
        let place = Place { depth: place.depth + 1, ..place };
        for bucket in buckets {
            let mut packet = packet.clone();
            self.run_actions(&mut packet, &in_set_order(&bucket.actions), place, now);
        }
        true
    }

    fn output(&mut self, packet: &Packet, port: PortNo, max_len: MaxLen, at: Place, now: Instant) {
        let frame = &packet.bytes[..];
        match port {
            PortNo::IN_PORT => self.transmit(packet, at.in_port),
            PortNo::CONTROLLER => self.packet_in(frame, at, max_len, now),
            PortNo::TABLE if at.from_controller => {
                self.run_tables(packet.clone(), at.in_port, now);
            }
            PortNo::TABLE | PortNo::ANY => {}
            PortNo::ALL => self.flood(packet, at.in_port, 0),
            PortNo::FLOOD => self.flood(packet, at.in_port, NO_FLOOD),
            PortNo::NORMAL => self.normal(packet, at.in_port),
            // Back to where it came from only by IN_PORT.
            port if port == at.in_port => {}
            port => self.transmit(packet, port),
        }
    }

    /// To every port but the ingress and those that have any of the configuration bits `not`.
    fn flood(&mut self, packet: &Packet, in_port: PortNo, not: u32) {
        let ports: Vec<PortNo> = self
            .ports
            .values()
            .filter(|port| port.port_no != in_port && port.config.0 & not == 0)
            .map(|port| port.port_no)
            .collect();
        for port in ports {
            self.transmit(packet, port);
        }
    }

    /// A plain learning switch, one filtering database per VID; entries go with their port.
    fn normal(&mut self, packet: &Packet, in_port: PortNo) {
        let frame = &packet.bytes[..];
        let mac = |at: usize| MacAddr(crate::layout::bytes_at(frame, at));
        let (dst, src) = (mac(0), mac(6));
        if dst.is_bridge_reserved() {
            return;
        }
        let vid =
            layout(frame).and_then(|found| found.tag).and_then(|(_, tci)| VlanId::new(tci & 0xfff));
        if !src.is_group() && self.ports.contains_key(&in_port) {
            self.learned.insert((vid, src), in_port);
        }
        match self.learned.get(&(vid, dst)).copied() {
            Some(port) if !dst.is_group() => {
                if port != in_port {
                    self.transmit(packet, port);
                }
            }
            _ => self.flood(packet, in_port, NO_FLOOD),
        }
    }

    fn transmit(&mut self, packet: &Packet, port: PortNo) {
        let frame = &packet.bytes[..];
        let sends = |p: &Port| p.is_up() && p.config.0 & PortConfig::NO_FWD.0 == 0;
        if self.ports.get(&port).is_some_and(sends) {
            self.counters.frames_out += 1;
            if let Some(traffic) = self.traffic.get_mut(&port) {
                traffic.tx_packets += 1;
                traffic.tx_bytes += frame.len() as u64;
            }
            self.queues.count(port, packet.queue, frame.len());
            self.outputs.push(Output::Frame { port, frame: frame.to_vec() });
        }
    }

    fn packet_in(&mut self, frame: &[u8], at: Place, max_len: MaxLen, now: Instant) {
        let silent = |p: &Port| p.config.0 & PortConfig::NO_PACKET_IN.0 != 0;
        let Some(version) = self.version() else {
            self.counters.frames_missed += 1;
            return;
        };
        if self.ports.get(&at.in_port).is_some_and(silent) {
            return;
        }
        // The controller may have limited how many it gets.
        if self.meters.pass(MeterId::CONTROLLER.0, frame.len(), now) == Metered::Drop {
            return;
        }
        // 1.0 cannot ask for packets without a buffer.
        let buffer_id = match max_len {
            MaxLen::NO_BUFFER if version != Version::V1_0 => None,
            _ => self.buffers.keep(at.in_port, frame),
        };
        // Only a packet that is kept is sent in part.
        let part = match buffer_id {
            Some(_) => frame.len().min(max_len.0.into()),
            None => frame.len(),
        };
        let pipeline = match (version, at.metadata) {
            (Version::V1_0, _) => Vec::new(),
            (_, 0) if at.in_port != PortNo::ANY => Vec::new(),
            (_, metadata) => {
                // "From nowhere" is told as a port as well.
                let mut fields = vec![0x80, 0, 0, 4];
                fields.extend(at.in_port.0.to_be_bytes());
                if metadata != 0 {
                    fields.extend([0x80, 0, 4, 8]);
                    fields.extend(metadata.to_be_bytes());
                }
                fields
            }
        };
        // 1.0 does not tell them.
        let (table_id, cookie) = match version {
            Version::V1_0 => (TableId(0), Cookie(u64::MAX)),
            _ => (at.table_id, at.cookie),
        };
        let message = Message::PacketIn(PacketIn {
            buffer_id,
            total_len: u16::try_from(frame.len()).unwrap_or(u16::MAX),
            in_port: at.in_port,
            reason: at.reason,
            table_id,
            cookie,
            pipeline: Cow::Owned(pipeline),
            data: Cow::Borrowed(&frame[..part]),
        });
        if self.send(Xid(0), &message) {
            self.counters.packet_ins += 1;
        }
    }
}

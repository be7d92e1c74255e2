//! Answers to statistics and multipart requests (1.3.5 §7.3.5, 1.0 §5.3.5). Pure.
//!
//! Long answers come in parts, as many entries to each as fit a message.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use umlaut_openflow::{
    AggregateStats, Cookie, FlowModFlags, FlowStats, FlowStatsRequest, Message, Port, PortNo,
    PortState, PortStats, SwitchDescription, TableFeatures, TableId, TableStats, Version, Xid,
    encode,
};

use super::EmulatedSwitch;
use super::capabilities;
use super::error::Refusal;
use super::key::Criteria;
use super::meters;

/// How many bytes of entries one part of an answer carries.
const REPLY_PART: usize = 60_000;

/// "All queues" in a request.
const ALL_QUEUES: u32 = u32::MAX;

/// The wildcards of 1.0's twelve fields.
const ALL_WILDCARDS: u32 = 0x3f_ffff;

/// What a table's look-ups came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lookups {
    pub(super) all: u64,
    pub(super) matched: u64,
}

impl EmulatedSwitch {
    /// Answers a statistics request; the message back if it is none.
    pub(super) fn statistics<'a>(
        &mut self,
        version: Version,
        xid: Xid,
        message: Message<'a>,
        now: Instant,
    ) -> Result<Option<Message<'a>>, Refusal> {
        let old = version == Version::V1_0;
        match message {
            Message::DescriptionRequest => self.description(xid),
            Message::PortDescriptionRequest => {
                let ports = self.worded_ports(version);
                self.in_parts(version, xid, ports, |ports, more| Message::PortDescriptionReply {
                    ports,
                    more,
                });
            }
            Message::FlowStatsRequest(request) => {
                let mut flows = self.selected_flows(version, request, now)?;
                if old {
                    flows.iter_mut().for_each(|flow| flow.flags = FlowModFlags(0));
                }
                self.in_parts(version, xid, flows, |flows, more| Message::FlowStatsReply {
                    flows,
                    more,
                });
            }
            Message::AggregateStatsRequest(request) => {
                let flows = self.selected_flows(version, request, now)?;
                let stats = AggregateStats {
                    packet_count: flows.iter().map(|flow| flow.packet_count).sum(),
                    byte_count: flows.iter().map(|flow| flow.byte_count).sum(),
                    flow_count: flows.len() as u32,
                };
                self.send(xid, &Message::AggregateStatsReply(stats));
            }
            Message::TableStatsRequest => {
                let tables = (0..self.options.n_tables).map(|id| self.table_stats(old, id));
                let tables = tables.collect();
                self.in_parts(version, xid, tables, |tables, more| Message::TableStatsReply {
                    tables,
                    more,
                });
            }
            Message::PortStatsRequest { port } => {
                let stats = self.port_stats(version, port, now);
                self.in_parts(version, xid, stats, |ports, more| Message::PortStatsReply {
                    ports,
                    more,
                });
            }
            Message::QueueStatsRequest { port, queue_id } => {
                let every = port == PortNo::ANY || old && port == PortNo::ALL;
                if !every && !self.ports.contains_key(&port) {
                    return Err(Refusal::QUEUE_BAD_PORT);
                }
                let id = (queue_id != ALL_QUEUES).then_some(queue_id);
                let stats = self.queues.stats((!every).then_some(port), id, (!old).then_some(now));
                if stats.is_empty() && id.is_some() {
                    return Err(Refusal::QUEUE_BAD_QUEUE);
                }
                self.in_parts(version, xid, stats, |queues, more| Message::QueueStatsReply {
                    queues,
                    more,
                });
            }
            Message::GroupStatsRequest { group_id } => {
                let stats =
                    self.groups.stats(group_id, now, |group| self.tables.uses_of_group(group));
                self.in_parts(version, xid, stats, |groups, more| Message::GroupStatsReply {
                    groups,
                    more,
                });
            }
            Message::GroupDescriptionRequest => {
                let groups = self.groups.descriptions();
                self.in_parts(version, xid, groups, |groups, more| {
                    Message::GroupDescriptionReply { groups, more }
                });
            }
            Message::GroupFeaturesRequest => {
                self.send(xid, &Message::GroupFeaturesReply(capabilities::groups()));
            }
            Message::MeterStatsRequest { meter_id } => {
                let stats =
                    self.meters.stats(meter_id, now, |meter| self.tables.uses_of_meter(meter))?;
                self.in_parts(version, xid, stats, |meters, more| Message::MeterStatsReply {
                    meters,
                    more,
                });
            }
            Message::MeterConfigRequest { meter_id } => {
                let configs = self.meters.configs(meter_id)?;
                self.in_parts(version, xid, configs, |meters, more| Message::MeterConfigReply {
                    meters,
                    more,
                });
            }
            Message::MeterFeaturesRequest => {
                self.send(xid, &Message::MeterFeaturesReply(meters::features()));
            }
            Message::TableFeaturesRequest { tables, .. } => {
                // What its tables can is not to be changed.
                if !tables.is_empty() {
                    return Err(Refusal::TABLE_FEATURES_NOT_PERMITTED);
                }
                let (n_tables, limit) = (self.options.n_tables, self.options.table_limit);
                let tables: Vec<TableFeatures> =
                    (0..n_tables).map(|id| capabilities::table(id, n_tables, limit)).collect();
                self.in_parts(version, xid, tables, |tables, more| Message::TableFeaturesReply {
                    tables,
                    more,
                });
            }
            Message::ExperimenterStatsRequest { .. } => return Err(Refusal::BAD_EXPERIMENTER),
            other => return Ok(Some(other)),
        }
        Ok(None)
    }

    /// Sends entries in as many parts as they need, one empty part if there are none. Entries that
    /// the version cannot express are left out.
    fn in_parts<T: Clone>(
        &mut self,
        version: Version,
        xid: Xid,
        entries: Vec<T>,
        part: impl Fn(Vec<T>, bool) -> Message<'static>,
    ) {
        let mut ready = Vec::new();
        let mut size = 0;
        for entry in entries {
            let mut bytes = BytesMut::new();
            if encode(version, xid, &part(vec![entry.clone()], false), &mut bytes).is_err() {
                continue;
            }
            if size + bytes.len() > REPLY_PART {
                self.send(xid, &part(std::mem::take(&mut ready), true));
                size = 0;
            }
            size += bytes.len();
            ready.push(entry);
        }
        self.send(xid, &part(ready, false));
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

    fn table_stats(&self, old: bool, id: u8) -> TableStats {
        let table_id = TableId(id);
        let lookups = self.lookups.get(&table_id).copied().unwrap_or_default();
        TableStats {
            table_id,
            name: [0; 32],
            wildcards: if old { ALL_WILDCARDS } else { 0 },
            max_entries: match old {
                true => capabilities::max_entries(self.options.table_limit),
                false => 0,
            },
            active_count: self.tables.len_of(table_id) as u32,
            lookup_count: lookups.all,
            matched_count: lookups.matched,
        }
    }

    /// Its ports as this version tells them; those that it cannot number are left out.
    pub(super) fn worded_ports(&self, version: Version) -> Vec<Port> {
        let numbered = |port: &&Port| version != Version::V1_0 || port.port_no.to_v10().is_some();
        self.ports.values().filter(numbered).map(|port| worded(version, port)).collect()
    }

    /// Of one port or all; none for a port that is not there.
    fn port_stats(&self, version: Version, port: PortNo, now: Instant) -> Vec<PortStats> {
        let old = version == Version::V1_0;
        let asked = |p: &PortNo| port == PortNo::ANY || port == *p;
        let expressible = |p: &PortNo| !old || p.to_v10().is_some();
        let stats = |port_no: PortNo| {
            let traffic = self.traffic.get(&port_no).copied().unwrap_or_default();
            let age =
                |since| if old { Duration::ZERO } else { now.saturating_duration_since(since) };
            PortStats {
                port_no,
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
        self.ports.keys().copied().filter(|p| asked(p) && expressible(p)).map(stats).collect()
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
}

/// A port in the words of this version: the features of 10 Gb/s copper; from 1.3 on, whether it is
/// live.
pub(super) fn worded(version: Version, port: &Port) -> Port {
    const FULL_10_GB: u32 = 1 << 6;
    const SPEED: u32 = 10_000_000;
    match version {
        Version::V1_0 => Port { curr: FULL_10_GB | 1 << 7, ..port.clone() },
        _ => {
            let live = if port.is_up() { PortState::LIVE.0 } else { 0 };
            Port {
                state: PortState(port.state.0 | live),
                curr: FULL_10_GB | 1 << 11,
                curr_speed: SPEED,
                max_speed: SPEED,
                ..port.clone()
            }
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

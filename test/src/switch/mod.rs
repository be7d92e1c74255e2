//! An emulated OpenFlow switch: frames and control bytes in, frames and control bytes out. Pure.
//!
//! It speaks OpenFlow 1.0 and 1.3 (specifications 1.0.0 and 1.3.5) and behaves like Open vSwitch in
//! fail mode *secure* where they leave room. Time is virtual: every input carries `now`, which never
//! goes back, and [`EmulatedSwitch::deadline`] says when [`EmulatedSwitch::poll`] is due. Messages are
//! handled at once and in order, so that a barrier has nothing to wait for.
//!
//! ```
//! use std::time::Instant;
//! use umlaut_openflow::{DatapathId, PortNo};
//! use umlaut_testbed::switch::{EmulatedSwitch, Output, SwitchOptions};
//!
//! let now = Instant::now();
//! let mut switch = EmulatedSwitch::new(SwitchOptions::new("s1", DatapathId(1)));
//! switch.add_port(PortNo(1), now);
//! switch.connected(now);
//! let mut out = Vec::new();
//! switch.drain(&mut out);
//! assert!(matches!(&out[..], [Output::Control(hello)] if hello[1] == 0));
//! ```

mod actions;
mod capabilities;
mod channel;
mod error;
mod groups;
mod key;
mod meters;
mod multipart;
mod pipeline;
mod queues;
mod roles;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use umlaut_openflow::{
    ConfigFlags, DatapathId, FlowStats, FlowStatsRequest, GroupId, MacAddr, Match, Port,
    PortConfig, PortNo, PortState, PortStatus, PortStatusReason, QueueProperty, Role, SwitchConfig,
    TableId, Version, VlanId,
};

use channel::Channel;
use groups::Groups;
use key::Criteria;
use meters::Meters;
use multipart::Lookups;
use pipeline::Buffers;
use queues::Queues;
use table::Tables;

/// What kind of switch to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SwitchOptions {
    /// Its name: the description's datapath text, and the start of its port names.
    pub name: String,
    /// Its datapath id.
    pub dpid: DatapathId,
    /// The versions it speaks, of 1.0 and 1.3.
    pub versions: Vec<Version>,
    /// How many packets it keeps for the controller. 0: none, whole packets are sent, as Open vSwitch
    /// does. When all are in use, the oldest is overwritten.
    pub n_buffers: u32,
    /// How many flow tables it has in 1.3.
    pub n_tables: u8,
    /// How many entries a table holds; more are refused with "table full". `None`: no limit.
    pub table_limit: Option<usize>,
    /// Whether a full table makes room by removing the entry that would expire next. Entries without
    /// time-outs are never removed.
    pub evicts: bool,
    /// Whether it has a LOCAL port (down, as that of an Open vSwitch bridge is at first).
    pub local_port: bool,
    /// After this silence it asks the controller for an echo, and after as much again it closes the
    /// channel. `None`: never.
    pub probe_interval: Option<Duration>,
}

impl SwitchOptions {
    /// A switch like Open vSwitch: 1.0 and 1.3, no buffers, 254 tables without limit, a LOCAL port,
    /// probes after 5 s.
    pub fn new(name: impl Into<String>, dpid: DatapathId) -> SwitchOptions {
        SwitchOptions {
            name: name.into(),
            dpid,
            versions: vec![Version::V1_0, Version::V1_3],
            n_buffers: 0,
            n_tables: 254,
            table_limit: None,
            evicts: false,
            local_port: true,
            probe_interval: Some(Duration::from_secs(5)),
        }
    }
}

/// What a switch does to the outside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Bytes for the controller: one whole message.
    Control(Vec<u8>),
    /// The control channel is to be closed. The switch then waits for
    /// [`EmulatedSwitch::connected`]; [`EmulatedSwitch::disconnected`] need not be called.
    Close,
    /// A frame out of a port.
    Frame {
        /// The port.
        port: PortNo,
        /// The frame, without frame check sequence.
        frame: Vec<u8>,
    },
}

/// What passed a port since it was added.
#[derive(Clone, Copy, Debug, Default)]
struct Traffic {
    since: Option<Instant>,
    rx_packets: u64,
    rx_bytes: u64,
    tx_packets: u64,
    tx_bytes: u64,
}

/// What a switch has seen, from its beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SwitchCounters {
    /// Frames received on ports that were up.
    pub frames_in: u64,
    /// Frames sent out of ports.
    pub frames_out: u64,
    /// Frames that matched no entry, without a controller to ask or a table-miss entry.
    pub frames_missed: u64,
    /// Packet-ins sent.
    pub packet_ins: u64,
    /// Packet-outs received, good and bad.
    pub packet_outs: u64,
    /// Flow-mods received, good and bad.
    pub flow_mods: u64,
    /// Flow-removed messages sent.
    pub flow_removals: u64,
    /// Errors sent to the controller.
    pub errors: u64,
    /// Errors received from the controller.
    pub errors_received: u64,
}

/// A switch.
#[derive(Debug)]
pub struct EmulatedSwitch {
    options: SwitchOptions,
    ports: BTreeMap<PortNo, Port>,
    traffic: BTreeMap<PortNo, Traffic>,
    tables: Tables,
    lookups: BTreeMap<TableId, Lookups>,
    groups: Groups,
    meters: Meters,
    queues: Queues,
    buffers: Buffers,
    config: SwitchConfig,
    channel: Channel,
    /// What `NORMAL` has learned: (VID or none, MAC) is behind a port.
    learned: BTreeMap<(Option<VlanId>, MacAddr), PortNo>,
    counters: SwitchCounters,
    outputs: Vec<Output>,
}

const DEFAULT_CONFIG: SwitchConfig =
    SwitchConfig { flags: ConfigFlags::FRAG_NORMAL, miss_send_len: 128 };

impl EmulatedSwitch {
    /// A switch without ordinary ports, entries and controller.
    pub fn new(options: SwitchOptions) -> EmulatedSwitch {
        let mut switch = EmulatedSwitch {
            ports: BTreeMap::new(),
            traffic: BTreeMap::new(),
            tables: Tables::new(options.n_tables, options.table_limit),
            lookups: BTreeMap::new(),
            groups: Groups::default(),
            meters: Meters::default(),
            queues: Queues::default(),
            buffers: Buffers::new(options.n_buffers),
            config: DEFAULT_CONFIG,
            channel: Channel::default(),
            learned: BTreeMap::new(),
            counters: SwitchCounters::default(),
            outputs: Vec::new(),
            options,
        };
        switch.tables.set_evicts(switch.options.evicts);
        if switch.options.local_port {
            let mut local = switch.new_port(PortNo::LOCAL);
            local.config = PortConfig::PORT_DOWN;
            local.state = PortState::LINK_DOWN;
            switch.ports.insert(PortNo::LOCAL, local);
            switch.queues.add(PortNo::LOCAL, queues::DEFAULT, Vec::new(), None);
        }
        switch
    }

    /// How it was made.
    pub fn options(&self) -> &SwitchOptions {
        &self.options
    }

    /// Its datapath id.
    pub fn dpid(&self) -> DatapathId {
        self.options.dpid
    }

    /// The version spoken with the controller, once agreed.
    pub fn version(&self) -> Option<Version> {
        self.channel.version()
    }

    /// The role of its controller. Equal while there is none.
    pub fn role(&self) -> Role {
        self.channel.roles.role()
    }

    /// What it has seen.
    pub fn counters(&self) -> SwitchCounters {
        self.counters
    }

    /// How many flow entries it has, expired ones included until the next `poll`.
    pub fn flow_count(&self) -> usize {
        self.tables.len()
    }

    /// Its flow entries, oldest first, as a statistics reply of 1.3 tells them.
    pub fn flows(&self, now: Instant) -> Vec<FlowStats> {
        let everything = FlowStatsRequest {
            table_id: TableId::ALL,
            out_port: PortNo::ANY,
            out_group: GroupId::ANY,
            cookie: umlaut_openflow::Cookie(0),
            cookie_mask: 0,
            matches: Match::new(),
        };
        self.tables.stats(&everything, &Criteria::ALL, now)
    }

    /// Loses the entries for which `lost` is true, without a word to the controller.
    pub fn forget_flows(&mut self, now: Instant, lost: impl Fn(&FlowStats) -> bool) {
        self.tables.lose(now, lost);
    }

    /// Changes how many entries a table holds. Entries beyond a lower limit stay.
    pub fn set_table_limit(&mut self, limit: Option<usize>) {
        self.options.table_limit = limit;
        self.tables.set_limit(limit);
    }

    /// Its ports in ascending order.
    pub fn ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.values()
    }

    /// Whether frames pass a port.
    pub fn is_up(&self, port: PortNo) -> bool {
        self.ports.get(&port).is_some_and(Port::is_up)
    }

    fn new_port(&self, port_no: PortNo) -> Port {
        let text = match port_no {
            PortNo::LOCAL => self.options.name.clone(),
            _ => format!("{}-eth{}", self.options.name, port_no.0),
        };
        let mut name = [0; 16];
        for (place, byte) in name.iter_mut().take(15).zip(text.bytes()) {
            *place = byte;
        }
        // Locally administered, and not in the range that hosts use.
        let address = 0x0a00_0000_0000 | (self.options.dpid.0 & 0xffff) << 16;
        Port {
            port_no,
            hw_addr: MacAddr::from_u64(address | u64::from(port_no.0 & 0xffff)),
            name,
            config: PortConfig(0),
            state: PortState(0),
            curr: 0,
            advertised: 0,
            supported: 0,
            peer: 0,
            curr_speed: 0,
            max_speed: 0,
        }
    }

    /// Adds a port that is up, and tells the controller. Nothing happens if it is there already, or
    /// if the number is not that of an ordinary port.
    pub fn add_port(&mut self, port_no: PortNo, now: Instant) {
        if !(1..=PortNo::MAX.0).contains(&port_no.0) || self.ports.contains_key(&port_no) {
            return;
        }
        let port = self.new_port(port_no);
        self.ports.insert(port_no, port.clone());
        self.queues.add(port_no, queues::DEFAULT, Vec::new(), Some(now));
        self.traffic.insert(port_no, Traffic { since: Some(now), ..Traffic::default() });
        self.tell_port(PortStatusReason::ADD, port, now);
    }

    /// Adds a queue to a port, or gives one other properties. Frames leave by it if an action says so;
    /// they are counted, not slowed down. Nothing happens if there is no such port.
    pub fn add_queue(
        &mut self,
        port_no: PortNo,
        queue_id: u32,
        properties: Vec<QueueProperty>,
        now: Instant,
    ) {
        if self.ports.contains_key(&port_no) {
            self.queues.add(port_no, queue_id, properties, Some(now));
        }
    }

    /// Removes a port, and tells the controller. Entries stay.
    pub fn remove_port(&mut self, port_no: PortNo, now: Instant) {
        if let Some(port) = self.ports.remove(&port_no) {
            self.traffic.remove(&port_no);
            self.queues.remove_port(port_no);
            self.learned.retain(|_, at| *at != port_no);
            self.tell_port(PortStatusReason::DELETE, port, now);
        }
    }

    /// Says whether a port has a link, and tells the controller if that is new.
    pub fn set_link(&mut self, port_no: PortNo, up: bool, now: Instant) {
        self.change_port(port_no, now, |port| {
            port.state.0 &= !PortState::LINK_DOWN.0;
            if !up {
                port.state.0 |= PortState::LINK_DOWN.0;
            }
        });
    }

    /// Sets a port administratively down or up (and its link with it, as an interface of a real
    /// switch does), and tells the controller if that is new.
    pub fn set_admin(&mut self, port_no: PortNo, up: bool, now: Instant) {
        let config = PortConfig(if up { 0 } else { PortConfig::PORT_DOWN.0 });
        self.configure(port_no, config, PortConfig::PORT_DOWN, now);
    }

    /// Changes the configuration bits under `mask`.
    fn configure(&mut self, port_no: PortNo, config: PortConfig, mask: PortConfig, now: Instant) {
        self.change_port(port_no, now, |port| {
            port.config.0 = port.config.0 & !mask.0 | config.0 & mask.0;
            if mask.0 & PortConfig::PORT_DOWN.0 != 0 {
                let down = config.0 & PortConfig::PORT_DOWN.0 != 0;
                port.state.0 &= !PortState::LINK_DOWN.0;
                port.state.0 |= if down { PortState::LINK_DOWN.0 } else { 0 };
            }
        });
    }

    fn change_port(&mut self, port_no: PortNo, now: Instant, change: impl FnOnce(&mut Port)) {
        let Some(port) = self.ports.get_mut(&port_no) else { return };
        let before = (port.config, port.state);
        change(port);
        if (port.config, port.state) != before {
            let port = port.clone();
            if !port.is_up() {
                self.learned.retain(|_, at| *at != port_no);
            }
            self.tell_port(PortStatusReason::MODIFY, port, now);
        }
    }

    fn tell_port(&mut self, reason: PortStatusReason, port: Port, now: Instant) {
        self.send_port_status(PortStatus { reason, port }, now);
    }

    /// Loses its memory as a switch that is switched off and on: entries, buffers, configuration and
    /// the control channel. Ports stay. A `Close` comes out if there was a channel.
    pub fn restart(&mut self) {
        self.tables.clear();
        self.lookups.clear();
        self.groups = Groups::default();
        self.meters = Meters::default();
        self.buffers = Buffers::new(self.options.n_buffers);
        self.config = DEFAULT_CONFIG;
        self.learned.clear();
        self.outputs.clear();
        if self.channel.is_open() {
            self.close();
        }
    }

    /// Does what is due.
    pub fn poll(&mut self, now: Instant) {
        self.expire(now);
        self.probe(now);
    }

    /// When `poll` is due. Early calls do no harm.
    pub fn deadline(&self) -> Option<Instant> {
        [self.tables.deadline(), self.probe_deadline()].into_iter().flatten().min()
    }

    /// Moves what came out to the end of `out`, in order.
    pub fn drain(&mut self, out: &mut Vec<Output>) {
        out.append(&mut self.outputs);
    }

    fn expire(&mut self, now: Instant) {
        for removed in self.tables.expire(now) {
            self.send_flow_removed(removed);
        }
    }
}

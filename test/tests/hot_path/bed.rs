//! Sessions with switches that are nothing but their messages: what a packet-in costs, without
//! sockets. Shared by the test that counts allocations and the benches.

#![allow(dead_code, reason = "each user needs a part")]

use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use umlaut::sliceable::{Domains, SlicePolicy, SliceableSwitch};
use umlaut_controller::buffers::Buffers;
use umlaut_controller::hosts::HostTable;
use umlaut_controller::mailbox::{Mailbox, Waker};
use umlaut_controller::session::Session;
use umlaut_controller::{Apps, Event, Observer, Origin, Policy, Seed, Shared};
use umlaut_openflow::build::{ethernet, ipv4, udp};
use umlaut_openflow::{
    Cookie, DatapathId, Features, FlowRemoved, FlowRemovedReason, Hello, MacAddr, Message,
    PacketIn, PacketInReason, Port, PortConfig, PortNo, PortState, PortStatus, PortStatusReason,
    TableId, Version, Xid, decode, encode, next_frame,
};

struct Nobody;

impl Waker for Nobody {
    fn wake(&self) {}
}

impl Observer for Nobody {
    fn event(&self, _: &Event) {}
}

/// A network of the load: how much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Switches, each with its own slices.
    pub switches: u64,
    /// Hosts on each.
    pub hosts: u64,
    /// Those of one slice.
    pub in_slice: u64,
    /// Members that are not in the load.
    pub others: u64,
    /// Filter rules in ten shapes; none of them matches a frame of the load.
    pub rules: u64,
}

/// So many hosts of a slice are bound by their port, their MAC or both; the others by their port.
const BOUND: u64 = 64;

impl Size {
    /// One switch with one slice of 16 hosts.
    pub const LEAST: Size = Size { switches: 1, hosts: 16, in_slice: 16, others: 0, rules: 0 };
    /// 1,008 slices of 100,000 members in all.
    pub const FULL: Size = Size { switches: 16, hosts: 1_008, others: 84_000, ..Size::LEAST };
    /// The same, for runs under an instruction counter or without optimisation.
    pub const SMALL: Size = Size { switches: 2, hosts: 160, others: 400, ..Size::LEAST };
    /// About a million members, 100,096 hosts.
    pub const MILLION: Size = Size { hosts: 6_256, others: 920_000, ..Size::FULL };
    /// 400 slices of 100,000 members, most hosts bound by their port. What is kept of four switches has no
    /// room in any cache.
    pub const MANY: Size =
        Size { switches: 4, hosts: 100_000, in_slice: 1_000, others: 82_000, ..Size::LEAST };

    /// How many members the policy has.
    pub fn members(self) -> usize {
        self.policy().matches("      - {").count()
    }

    fn slices(self) -> u64 {
        self.switches * self.hosts / self.in_slice
    }

    fn slice(self, switch: u64, host: u64) -> u64 {
        (switch * self.hosts + host) / self.in_slice
    }

    /// Every slice has two ports of its switch; neighbours in number are on different ones.
    pub fn port(self, host: u64) -> u32 {
        (host / self.in_slice * 2 + host % 2) as u32 + 1
    }

    fn ports(self) -> u32 {
        (self.hosts.div_ceil(self.in_slice) * 2) as u32
    }

    /// The policy: a third of the hosts bound by MAC, a third by port and MAC, a third by port.
    pub fn policy(self) -> String {
        // All that is sent is decided, in no time.
        let mut text = "umlaut: 1\noptions: {storm_rate: 1000000000}\nslices:\n".to_owned();
        let others = self.others.div_ceil(self.slices());
        for slice in 0..self.slices() {
            let (switch, first) =
                (slice * self.in_slice / self.hosts, slice * self.in_slice % self.hosts);
            let dpid = switch + 1;
            let _ = writeln!(text, "  s{slice}:\n    members:");
            for port in [self.port(first), self.port(first + 1)] {
                let _ = writeln!(text, "      - {{port: {dpid:#x}/{port}}}");
            }
            for host in first..first + self.in_slice.min(BOUND) {
                let (mac, port) = (mac(switch, host), self.port(host));
                let _ = match host % 3 {
                    0 => writeln!(text, "      - {{mac: \"{mac}\"}}"),
                    1 => writeln!(text, "      - {{port: {dpid:#x}/{port}, mac: \"{mac}\"}}"),
                    _ => Ok(()),
                };
            }
            for other in 0..others {
                let mac = MacAddr::from_u64(0x0a_0000_0000 + slice * others + other);
                let place = slice * others.div_ceil(4000) + other / 4000;
                let (port, vid) = (1000 + place % 60_000, other % 4000 + 1);
                let _ = match other % 4 {
                    0 => writeln!(text, "      - {{port: 0xffff/{port}, vlan: {vid}}}"),
                    1 => writeln!(text, "      - {{port: 0xfffe/{port}, mac: \"{mac}\"}}"),
                    _ => writeln!(text, "      - {{mac: \"{mac}\"}}"),
                };
            }
        }
        if self.rules > 0 {
            text.push_str("filters:\n");
        }
        for rule in 0..self.rules {
            let n = rule / 10;
            let shape = match rule % 10 {
                0 => format!("eth_src: \"{}\"", MacAddr::from_u64(0x0b_0000_0000 + n)),
                1 => format!("eth_dst: \"{}\"", MacAddr::from_u64(0x0b_0000_0000 + n)),
                2 => format!("eth_type: ipv4, ipv4_dst: 192.168.{}.{}", n / 256, n % 256),
                3 => format!("eth_type: ipv4, ipv4_src: 192.168.{}.{}", n / 256, n % 256),
                4 => format!("eth_type: ipv4, ip_proto: udp, udp_dst: {}", 30_000 + n),
                5 => format!("eth_type: ipv4, ip_proto: udp, udp_src: {}", 30_000 + n),
                6 => format!("eth_type: ipv4, ipv4_dst: 172.16.{n}.0/24"),
                7 => format!("eth_type: ipv4, ipv4_src: 172.16.{n}.0/24"),
                8 => format!("eth_type: {:#x}", 0x9000 + n),
                _ => format!("in_datapath_id: {:#x}", 0xff_0000 + n),
            };
            let _ = writeln!(
                text,
                "  - {{id: f{rule}, priority: {}, match: {{{shape}}}, action: deny}}",
                1 + rule % 50
            );
        }
        text
    }
}

/// How long switches take to join.
pub const JOINING: Duration = Duration::from_secs(4);

/// The address of a host.
pub fn mac(switch: u64, host: u64) -> MacAddr {
    MacAddr::from_u64(0x0200_0000_0000 + switch * 0x10_0000 + host + 1)
}

/// One switch's side of a connection. A runtime's tasks share no line of memory either.
#[repr(align(128))]
struct Wire<P: Policy> {
    session: Session<P>,
    dpid: u64,
    ports: u32,
}

/// What came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Answers {
    /// Flow-mods.
    pub flow_mods: u64,
    /// Packet-outs.
    pub packet_outs: u64,
    /// Anything else.
    pub others: u64,
}

/// Sessions of one controller.
pub struct Bed<P: Policy> {
    shared: Arc<Shared<P>>,
    wires: Vec<Wire<P>>,
    version: Version,
    now: Instant,
    /// The slices' identities.
    domains: Arc<Domains>,
    buffers: Buffers,
}

impl Bed<SlicePolicy> {
    /// The sliceable switch under the policy of this size, all hosts of the load known.
    pub fn sliceable(size: Size, version: Version) -> Bed<SlicePolicy> {
        let mut bed = Bed::sliceable_alone(size, version);
        bed.join(size, 0..size.switches);
        bed.introduce(size);
        bed
    }

    /// The same before a switch has joined.
    pub fn sliceable_alone(size: Size, version: Version) -> Bed<SlicePolicy> {
        let policy = match umlaut_slice_db::Policy::parse("load", &size.policy()) {
            Ok((policy, _)) => policy,
            Err(mistakes) => panic!("{}", mistakes[0].render(false)),
        };
        let domains = Arc::new(Domains::default());
        let policy = domains.adopt(policy);
        let apps = Apps::new().with(SliceableSwitch::default());
        Bed { domains, ..Bed::alone(apps, policy, version) }
    }

    /// The policy as it would be read again, with more text at its end.
    pub fn same_policy(&self, size: Size, more: &str) -> SlicePolicy {
        match umlaut_slice_db::Policy::parse("load", &(size.policy() + more)) {
            Ok((policy, _)) => self.domains.adopt(policy),
            Err(mistakes) => panic!("{}", mistakes[0].render(false)),
        }
    }

    /// The policy of an edited text, as a reload reads it.
    pub fn edited_policy(&self, text: String) -> SlicePolicy {
        let old = self.shared.world.load();
        match old.policy.policy.reread(Arc::new(text)) {
            Ok((policy, _)) => {
                let _ = old.policy.policy.diff(&policy).to_string();
                self.domains.adopt_after(&old.policy, policy)
            }
            Err(mistakes) => panic!("{}", mistakes[0].render(false)),
        }
    }

    /// The hosts behind the port of a host are not known any more.
    pub fn forget_hosts(&mut self, size: Size, switch: u64, host: u64) {
        let port = PortNo(size.port(host));
        self.shared.net.hosts.forget_port(DatapathId(switch + 1), port);
    }

    /// Puts another policy in force.
    pub fn set_policy(&mut self, policy: SlicePolicy) {
        self.shared.set_policy(policy, self.now);
    }
}

impl<P: Policy> Bed<P> {
    /// Any applications; hosts are not known yet.
    pub fn new(apps: Apps<P>, policy: P, size: Size, version: Version) -> Bed<P> {
        let mut bed = Bed::alone(apps, policy, version);
        bed.join(size, 0..size.switches);
        bed
    }

    /// The same before a switch has joined.
    pub fn alone(apps: Apps<P>, policy: P, version: Version) -> Bed<P> {
        let now = Instant::now();
        let seed = Seed { lldp_key: [7; 16], epoch: 1 };
        let shared = Arc::new(Shared::new(apps, policy, seed, Box::new(Nobody), now));
        shared.start(now);
        Bed {
            shared,
            wires: Vec::new(),
            version,
            now,
            domains: Arc::default(),
            buffers: Buffers::new(),
        }
    }

    /// Where in memory [`Shared`] lies, with the counters of its `Arc` before it.
    pub fn shared_memory(&self) -> Range<usize> {
        let start = Arc::as_ptr(&self.shared).addr();
        start - 2 * size_of::<usize>()..start + size_of::<Shared<P>>()
    }

    /// Another bed of the same controller, without switches.
    pub fn beside(&self) -> Bed<P> {
        let (shared, domains) = (self.shared.clone(), self.domains.clone());
        Bed {
            shared,
            wires: Vec::new(),
            version: self.version,
            now: self.now,
            domains,
            buffers: Buffers::new(),
        }
    }

    /// Switches join, which takes [`JOINING`].
    pub fn join(&mut self, size: Size, switches: Range<u64>) {
        let (shared, now) = (self.shared.clone(), self.now);
        self.wires.extend(switches.map(|switch| {
            let mailbox = Arc::new(Mailbox::new(Box::new(Nobody)));
            let no = shared.next_session();
            let session = Session::new(no, mailbox, Origin::named("load".to_owned()), &shared, now);
            Wire { session, dpid: switch + 1, ports: size.ports() }
        }));
        for _ in 0..10 {
            self.now += JOINING / 10;
            self.shared.poll(self.now);
            for switch in 0..self.wires.len() {
                self.turns(switch);
                self.answer_handshake(switch);
            }
        }
        assert!(self.wires.iter().all(|wire| wire.session.is_active()));
    }

    /// Every host of the load sends a frame.
    pub fn introduce(&mut self, size: Size) {
        for (at, switch) in (0..size.switches).enumerate() {
            self.introduce_hosts(size, at, switch);
        }
    }

    /// Every host of a switch sends a frame. `at` is its place in this bed.
    pub fn introduce_hosts(&mut self, size: Size, at: usize, switch: u64) {
        for host in 0..size.hosts {
            let pin = self.pin(size, switch, host, host ^ 1, 0);
            self.receive(at, &pin);
            self.turns(at);
            self.answers(at);
        }
    }

    /// A bed for each switch, all of the same controller, so that threads can have one each. Their
    /// only switch is number 0.
    pub fn split(self) -> Vec<Bed<P>> {
        let Bed { shared, wires, version, now, domains, .. } = self;
        let alone = |wire| Bed {
            shared: shared.clone(),
            wires: vec![wire],
            version,
            now,
            domains: domains.clone(),
            buffers: Buffers::new(),
        };
        wires.into_iter().map(alone).collect()
    }

    /// Later, for all.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// How long until a switch's next turn, if it sends nothing before.
    pub fn rests_for(&self, switch: usize) -> Duration {
        let due = self.wires[switch].session.deadline().expect("it is served");
        due.saturating_duration_since(self.now)
    }

    fn answer_handshake(&mut self, switch: usize) {
        let (version, wire) = (self.version, &mut self.wires[switch]);
        let output = wire.session.output().split();
        let ports: Vec<Port> = (1..=wire.ports).map(port).collect();
        let in_features = version == Version::V1_0;
        let mut input = BytesMut::new();
        let mut rest = &output[..];
        while let Ok(Some(length)) = next_frame(rest) {
            let (header, message) = decode(&rest[..length]).expect("ours decodes");
            let reply = match message {
                Message::Hello(_) => Message::Hello(Hello::offering(&[version])),
                Message::FeaturesRequest => Message::FeaturesReply(Features {
                    dpid: DatapathId(wire.dpid),
                    n_buffers: 0,
                    n_tables: 1,
                    auxiliary_id: 0,
                    capabilities: 0,
                    actions: 0,
                    ports: if in_features { ports.clone() } else { Vec::new() },
                }),
                Message::PortDescriptionRequest => {
                    Message::PortDescriptionReply { ports: ports.clone(), more: false }
                }
                Message::FlowStatsRequest(_) => {
                    Message::FlowStatsReply { flows: Vec::new(), more: false }
                }
                Message::BarrierRequest => Message::BarrierReply,
                _ => {
                    rest = &rest[length..];
                    continue;
                }
            };
            encode(version, header.xid, &reply, &mut input).expect("answers can be sent");
            rest = &rest[length..];
        }
        wire.session.receive(&input);
        self.turns(switch);
    }

    /// A packet-in of a frame of `from` for `to`, both hosts of the switch. `flow` makes frames
    /// differ above layer 2.
    pub fn pin(&self, size: Size, switch: u64, from: u64, to: u64, flow: u16) -> BytesMut {
        let address = |host: u64| [10, switch as u8, (host >> 8) as u8, host as u8].into();
        let datagram = udp(address(from), address(to), 1024 + flow, 5000, &[0; 18]);
        let packet = ipv4(17, address(from), address(to), &datagram[20..]);
        let frame = ethernet(mac(switch, to), mac(switch, from), &[], 0x0800, &packet);
        self.pin_of(PortNo(size.port(from)), frame)
    }

    /// A packet-in of this frame, which came in there.
    pub fn pin_of(&self, in_port: PortNo, frame: Vec<u8>) -> BytesMut {
        let pin = PacketIn {
            buffer_id: None,
            total_len: frame.len() as u16,
            in_port,
            reason: PacketInReason::NO_MATCH,
            table_id: TableId(0),
            cookie: Cookie(u64::MAX),
            pipeline: Vec::new().into(),
            data: frame.into(),
        };
        let mut bytes = BytesMut::new();
        encode(self.version, Xid(0), &Message::PacketIn(pin), &mut bytes).expect("a packet-in");
        bytes
    }

    /// Packet-ins of all pairs of a slice `apart` places apart, from every host of a switch.
    pub fn pins(&self, size: Size, switch: u64, apart: u64) -> Vec<u8> {
        let mut pins = Vec::new();
        for host in 0..size.hosts {
            let first = host / size.in_slice * size.in_slice;
            let to = first + (host - first + apart) % size.in_slice;
            pins.extend_from_slice(&self.pin(size, switch, host, to, 0));
        }
        pins
    }

    /// Bytes arrive.
    pub fn receive(&mut self, switch: usize, bytes: &[u8]) {
        let session = &mut self.wires[switch].session;
        session.borrow(&mut self.buffers);
        session.receive(bytes);
    }

    /// Runs turns until nothing is left to do.
    pub fn turns(&mut self, switch: usize) {
        while self.wires[switch].session.turn(self.now, &self.shared) {}
    }

    /// A port of a switch goes down or comes up: what it tells.
    pub fn port_status(&self, number: u32, up: bool) -> BytesMut {
        let state = if up { PortState(0) } else { PortState::LINK_DOWN };
        let port = Port { state, ..port(number) };
        let status = PortStatus { reason: PortStatusReason::MODIFY, port };
        let mut bytes = BytesMut::new();
        encode(self.version, Xid(0), &Message::PortStatus(status), &mut bytes).expect("a status");
        bytes
    }

    /// The hosts that the controller knows.
    pub fn hosts(&self) -> &HostTable {
        &self.shared.net.hosts
    }

    /// The time of the bed.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Takes what was answered.
    pub fn output(&mut self, switch: usize) -> BytesMut {
        self.wires[switch].session.output().split()
    }

    /// Takes what was answered away, without looking at it.
    pub fn forget_answers(&mut self, switch: usize) {
        let session = &mut self.wires[switch].session;
        session.output().clear();
        session.give_back(&mut self.buffers);
    }

    /// Counts what was answered and takes it away.
    pub fn answers(&mut self, switch: usize) -> Answers {
        self.read(switch, |_| {})
    }

    /// The same, with a flow-removed for every entry that was added.
    pub fn answers_and_ends(&mut self, switch: usize, ends: &mut BytesMut) -> Answers {
        let version = self.version;
        self.read(switch, |message| {
            if let Message::FlowMod(entry) = message {
                let end = FlowRemoved {
                    cookie: entry.cookie,
                    priority: entry.priority,
                    reason: FlowRemovedReason::IDLE_TIMEOUT,
                    table_id: TableId(0),
                    duration: Duration::from_secs(60),
                    idle_timeout: entry.idle_timeout,
                    hard_timeout: if version == Version::V1_0 { 0 } else { entry.hard_timeout },
                    packet_count: 1,
                    byte_count: 60,
                    matches: entry.matches,
                };
                encode(version, Xid(0), &Message::FlowRemoved(end), ends).expect("a flow-removed");
            }
        })
    }

    fn read(&mut self, switch: usize, mut each: impl FnMut(Message<'_>)) -> Answers {
        let output = self.wires[switch].session.output();
        let mut answers = Answers::default();
        let mut rest = &output[..];
        while let Ok(Some(length)) = next_frame(rest) {
            let (_, message) = decode(&rest[..length]).expect("ours decodes");
            match &message {
                Message::FlowMod(_) => answers.flow_mods += 1,
                Message::PacketOut(_) => answers.packet_outs += 1,
                _ => answers.others += 1,
            }
            each(message);
            rest = &rest[length..];
        }
        output.clear();
        self.wires[switch].session.give_back(&mut self.buffers);
        answers
    }
}

fn port(number: u32) -> Port {
    Port {
        port_no: PortNo(number),
        hw_addr: MacAddr::from_u64(0x0600_0000_0000 + u64::from(number)),
        name: [0; 16],
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

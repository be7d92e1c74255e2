//! The switch as a controller sees it: messages and frames in, messages and frames out.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use umlaut_openflow::{
    Action, BufferId, ConfigFlags, Cookie, DatapathId, ErrorCode, FlowMod, FlowModCommand,
    FlowModFlags, GroupId, Hello, Instruction, MacAddr, Masked, Match, MatchField, MaxLen, Message,
    PacketInReason, PacketOut, PortConfig, PortMod, PortNo, PortStatusReason, SwitchConfig,
    TableId, Version, VlanMatch, Xid, build, decode, encode,
};

use crate::random::Random;

use super::{EmulatedSwitch, Output, SwitchOptions};

mod flows;
mod groups;

const A: MacAddr = MacAddr([0, 0, 0, 0, 0, 1]);
const B: MacAddr = MacAddr([0, 0, 0, 0, 0, 2]);
const BOTH: [Version; 2] = [Version::V1_0, Version::V1_3];

fn port(number: u32) -> Action {
    Action::output(PortNo(number))
}

fn on(number: u32) -> Match {
    Match::new().in_port(PortNo(number))
}

/// A UDP frame from A to B with this tag.
fn frame(tags: &[(u16, u16)]) -> Vec<u8> {
    let (a, b) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    build::ethernet(B, A, tags, 0x0800, &build::udp(a, b, 1000, 2000, b"hello"))
}

/// A switch with ports 1 to 4 under test. Everything that it says is read and forgotten by the
/// next question.
struct Bench {
    switch: EmulatedSwitch,
    version: Version,
    start: Instant,
    now: Instant,
}

impl Bench {
    fn with(version: Version, change: impl FnOnce(&mut SwitchOptions)) -> Bench {
        let now = Instant::now();
        let mut options = SwitchOptions::new("s1", DatapathId(0x1234));
        options.probe_interval = None;
        change(&mut options);
        let mut switch = EmulatedSwitch::new(options);
        for number in 1..=4 {
            switch.add_port(PortNo(number), now);
        }
        let mut bench = Bench { switch, version, start: now, now };
        bench.connect();
        bench
    }

    fn new(version: Version) -> Bench {
        Bench::with(version, |_| {})
    }

    fn connect(&mut self) {
        self.switch.connected(self.now);
        let hello = match self.version {
            Version::V1_0 => Hello::default(),
            version => Hello::offering(&[version]),
        };
        self.tell(Message::Hello(hello));
        self.outputs();
        assert_eq!(self.switch.version(), Some(self.version));
    }

    fn outputs(&mut self) -> Vec<Output> {
        let mut out = Vec::new();
        self.switch.drain(&mut out);
        out
    }

    fn tell(&mut self, message: Message<'_>) {
        let mut bytes = BytesMut::new();
        encode(self.version, Xid(77), &message, &mut bytes).unwrap();
        self.switch.control_input(&bytes, self.now);
    }

    /// What the switch says now.
    fn said(&mut self) -> Vec<Message<'static>> {
        messages(&self.outputs())
    }

    fn ask(&mut self, message: Message<'_>) -> Vec<Message<'static>> {
        self.tell(message);
        self.said()
    }

    fn flow(&mut self, flow: FlowMod) {
        assert_eq!(self.ask(Message::FlowMod(flow)), []);
    }

    fn refused(&mut self, flow: FlowMod) -> Option<(u16, u16)> {
        refusal(&self.ask(Message::FlowMod(flow)))
    }

    /// A frame in at a port: the frames that come out, by port.
    fn enter(&mut self, at: u32, frame: &[u8]) -> Vec<(u32, Vec<u8>)> {
        self.switch.frame_input(PortNo(at), frame, self.now);
        frames(&self.outputs())
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.switch.poll(self.now);
    }

    /// Cookies of all entries, in the order in which they were made.
    fn cookies(&self) -> Vec<u64> {
        self.switch.flows(self.now).iter().map(|flow| flow.cookie.0).collect()
    }
}

fn messages(outputs: &[Output]) -> Vec<Message<'static>> {
    let mut list = Vec::new();
    for output in outputs {
        if let Output::Control(bytes) = output {
            let bytes: &'static [u8] = Vec::leak(bytes.clone());
            list.push(decode(bytes).unwrap().1);
        }
    }
    list
}

fn frames(outputs: &[Output]) -> Vec<(u32, Vec<u8>)> {
    let frame = |output: &Output| match output {
        Output::Frame { port, frame } => Some((port.0, frame.clone())),
        Output::Control(_) | Output::Close => None,
    };
    outputs.iter().filter_map(frame).collect()
}

fn ports(frames: Vec<(u32, Vec<u8>)>) -> Vec<u32> {
    frames.into_iter().map(|(port, _)| port).collect()
}

fn refusal(said: &[Message<'_>]) -> Option<(u16, u16)> {
    match said {
        [Message::Error(error)] => Some((error.code.kind(), error.code.code())),
        [] => None,
        other => panic!("{other:?}"),
    }
}

trait IntoMasked {
    fn into_ip(self) -> Masked<std::net::Ipv4Addr>;
}

impl IntoMasked for [u8; 4] {
    fn into_ip(self) -> Masked<std::net::Ipv4Addr> {
        Masked::from(std::net::Ipv4Addr::from(self))
    }
}

#[test]
fn the_handshake_tells_what_the_switch_is() {
    for version in BOTH {
        let mut bench = Bench::new(version);
        let said = bench.ask(Message::FeaturesRequest);
        let [Message::FeaturesReply(features)] = &said[..] else { panic!("{said:?}") };
        assert_eq!(features.dpid, DatapathId(0x1234));
        let ports = match version {
            Version::V1_0 => features.ports.clone(),
            _ => {
                assert_eq!(features.ports, []);
                let said = bench.ask(Message::PortDescriptionRequest);
                let [Message::PortDescriptionReply { ports, more: false }] = &said[..] else {
                    panic!("{said:?}")
                };
                ports.clone()
            }
        };
        let numbers: Vec<u32> = ports.iter().map(|port| port.port_no.0).collect();
        assert_eq!(numbers, [1, 2, 3, 4, PortNo::LOCAL.0]);
        assert_eq!(ports[0].name(), "s1-eth1");
        assert!(ports[..4].iter().all(|port| port.is_up()) && !ports[4].is_up());

        let config = SwitchConfig { flags: ConfigFlags::FRAG_NORMAL, miss_send_len: 0xffff };
        assert_eq!(bench.ask(Message::SetConfig(config)), []);
        assert_eq!(bench.ask(Message::GetConfigRequest), [Message::GetConfigReply(config)]);
        let said = bench.ask(Message::DescriptionRequest);
        let [Message::DescriptionReply(description)] = &said[..] else { panic!("{said:?}") };
        assert!(description.hardware.starts_with(b"emulated switch\0"));
    }
}

#[test]
fn versions_are_negotiated_as_hello_says() {
    let (v10, v13) = (Version::V1_0, Version::V1_3);
    // the switch's versions, header of the controller's hello, bitmap, result
    type Row<'a> = (&'a [Version], Version, Option<&'a [Version]>, Option<Version>);
    let table: [Row<'_>; 7] = [
        (&BOTH, v10, None, Some(v10)),
        (&BOTH, v13, None, Some(v13)),
        (&BOTH, Version::V1_5, None, Some(v13)),
        (&BOTH, Version::V1_5, Some(&[v10, Version::V1_5]), Some(v10)),
        (&[v13], v10, None, None),
        (&[v10], v13, Some(&[v13]), None),
        (&[v10], v13, None, Some(v10)),
    ];
    for (ours, header, bitmap, agreed) in table {
        let now = Instant::now();
        let mut options = SwitchOptions::new("s", DatapathId(1));
        options.versions = ours.to_vec();
        let mut switch = EmulatedSwitch::new(options);
        switch.connected(now);
        let mut out = Vec::new();
        switch.drain(&mut out);
        out.clear();
        let hello = bitmap.map_or(Hello::default(), Hello::offering);
        let mut bytes = BytesMut::new();
        encode(header, Xid(1), &Message::Hello(hello), &mut bytes).unwrap();
        // Byte by byte: the stream may be cut anywhere.
        for byte in &bytes {
            switch.control_input(&[*byte], now);
        }
        switch.drain(&mut out);
        assert_eq!(switch.version(), agreed, "{ours:?} {header} {bitmap:?}");
        if agreed.is_none() {
            assert_eq!(refusal(&messages(&out)), Some((0, 0)));
            assert_eq!(out.last(), Some(&Output::Close));
        }
    }
}

#[test]
fn anything_but_a_hello_first_closes_the_channel() {
    for bytes in [&[1, 18, 0, 8, 0, 0, 0, 1][..], &[1, 0, 0, 3, 0, 0, 0, 1], b"GET / HTTP/1.1\r\n"]
    {
        let now = Instant::now();
        let mut switch = EmulatedSwitch::new(SwitchOptions::new("s", DatapathId(1)));
        switch.connected(now);
        let mut out = Vec::new();
        switch.drain(&mut out);
        switch.control_input(bytes, now);
        switch.control_input(&[0; 70_000], now);
        out.clear();
        switch.drain(&mut out);
        assert_eq!(out, [Output::Close], "{bytes:02x?}");
    }
}

#[test]
fn echoes_and_barriers_are_answered_in_order() {
    for version in BOTH {
        let mut bench = Bench::new(version);
        bench.tell(Message::EchoRequest(b"ping"[..].into()));
        bench.tell(Message::BarrierRequest);
        let said = bench.said();
        assert_eq!(said, [Message::EchoReply(b"ping"[..].into()), Message::BarrierReply]);
    }
}

#[test]
fn a_silent_controller_is_probed_and_then_left() {
    let mut bench =
        Bench::with(Version::V1_3, |options| options.probe_interval = Some(Duration::from_secs(5)));
    bench.wait(4);
    assert_eq!(bench.outputs(), []);
    bench.wait(1);
    assert_eq!(bench.said(), [Message::EchoRequest(Cow::Borrowed(&[]))]);
    bench.tell(Message::EchoReply(Cow::Borrowed(&[])));
    bench.wait(5);
    assert_eq!(bench.said().len(), 1);
    bench.wait(5);
    assert_eq!(bench.outputs(), [Output::Close]);
    assert_eq!(bench.switch.deadline(), None);
}

#[test]
fn a_miss_goes_to_the_controller_in_1_0_and_by_a_table_miss_entry_in_1_3() {
    let sent = frame(&[]);
    let mut old = Bench::new(Version::V1_0);
    assert_eq!(old.enter(1, &sent), []);
    old.switch.frame_input(PortNo(1), &sent, old.now);
    let said = old.said();
    let [Message::PacketIn(packet)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((packet.in_port, packet.reason), (PortNo(1), PacketInReason::NO_MATCH));
    assert_eq!((packet.buffer_id, &packet.data[..]), (None, &sent[..]));

    let mut new = Bench::new(Version::V1_3);
    new.switch.frame_input(PortNo(1), &sent, new.now);
    assert_eq!(new.outputs(), []);
    assert_eq!(new.switch.counters().frames_missed, 1);
    let miss = FlowMod::add(Match::new()).priority(0).cookie(Cookie(9));
    new.flow(miss.apply(vec![Action::output(PortNo::CONTROLLER)]));
    new.flow(FlowMod::add(on(2)).apply(vec![Action::output(PortNo::CONTROLLER)]));
    for (at, reason, cookie) in
        [(1, PacketInReason::NO_MATCH, Cookie(9)), (2, PacketInReason::ACTION, Cookie(0))]
    {
        new.switch.frame_input(PortNo(at), &sent, new.now);
        let said = new.said();
        let [Message::PacketIn(packet)] = &said[..] else { panic!("{said:?}") };
        assert_eq!((packet.reason, packet.cookie), (reason, cookie));
        assert_eq!((packet.in_port, &packet.data[..]), (PortNo(at), &sent[..]));
    }
}

#[test]
fn without_a_controller_entries_work_on_and_misses_are_lost() {
    for version in BOTH {
        let mut bench = Bench::new(version);
        bench.flow(FlowMod::add(on(1)).apply(vec![port(2)]));
        bench.switch.disconnected(bench.now);
        assert_eq!(ports(bench.enter(1, &frame(&[]))), [2]);
        assert_eq!(bench.enter(3, &frame(&[])), []);
        bench.connect();
        assert_eq!(ports(bench.enter(1, &frame(&[]))), [2]);
        bench.switch.restart();
        assert_eq!(bench.outputs(), [Output::Close]);
        assert_eq!((bench.switch.flow_count(), bench.switch.version()), (0, None));
    }
}

#[test]
fn buffered_packets_are_sent_once() {
    for version in BOTH {
        let mut bench = Bench::with(version, |options| options.n_buffers = 2);
        let config = SwitchConfig { flags: ConfigFlags::FRAG_NORMAL, miss_send_len: 20 };
        bench.tell(Message::SetConfig(config));
        if version == Version::V1_3 {
            let up = Action::Output { port: PortNo::CONTROLLER, max_len: MaxLen(20) };
            bench.flow(FlowMod::add(Match::new()).priority(0).apply(vec![up]));
        }
        let sent = frame(&[]);
        let mut ids = Vec::new();
        for _ in 0..3 {
            bench.switch.frame_input(PortNo(1), &sent, bench.now);
            let said = bench.said();
            let [Message::PacketIn(packet)] = &said[..] else { panic!("{said:?}") };
            assert_eq!((packet.data.len(), packet.total_len as usize), (20, sent.len()));
            ids.push(packet.buffer_id.unwrap());
        }
        let out = |id| PacketOut {
            buffer_id: Some(id),
            in_port: PortNo(1),
            actions: [port(2)].into(),
            data: Cow::Borrowed(&[]),
        };
        bench.tell(Message::PacketOut(out(ids[1])));
        assert_eq!(frames(&bench.outputs()), [(2, sent.clone())]);
        // Used, overwritten, never given.
        for (id, code) in [(ids[1], 7), (ids[0], 7), (BufferId(1000), 8)] {
            assert_eq!(refusal(&bench.ask(Message::PacketOut(out(id)))), Some((1, code)));
        }
        let flow = FlowMod::add(on(1)).apply(vec![port(3)]);
        bench.tell(Message::FlowMod(flow.clone().buffer(Some(ids[2]))));
        assert_eq!(frames(&bench.outputs()), [(3, sent.clone())]);
        assert_eq!(bench.refused(flow.buffer(Some(ids[2]))), Some((1, 7)));
    }
}

#[test]
fn packet_outs_reach_the_ports_that_the_reserved_numbers_mean() {
    let any = PortNo::ANY;
    // in_port, output, ports that send
    let table: [(PortNo, PortNo, &[u32]); 13] = [
        (any, PortNo(2), &[2]),
        (PortNo(2), PortNo(2), &[]),
        (PortNo(2), PortNo::IN_PORT, &[2]),
        (any, PortNo::IN_PORT, &[]),
        (any, PortNo::FLOOD, &[1, 2, 4]),
        (PortNo(1), PortNo::FLOOD, &[2, 4]),
        (PortNo(1), PortNo::ALL, &[2, 4]),
        (PortNo::CONTROLLER, PortNo::ALL, &[1, 2, 4]),
        (any, PortNo(9), &[]),
        (any, PortNo(3), &[]),
        (any, PortNo::LOCAL, &[]),
        (PortNo(1), PortNo::NORMAL, &[2, 4]),
        (PortNo(1), PortNo::TABLE, &[4]),
    ];
    for version in BOTH {
        for (in_port, output, sends) in table {
            let mut bench = Bench::new(version);
            bench.flow(FlowMod::add(on(1)).apply(vec![port(4)]));
            bench.switch.set_link(PortNo(3), false, bench.now);
            bench.outputs();
            let mut packet = PacketOut::to_port(output, frame(&[]));
            packet.in_port = in_port;
            bench.tell(Message::PacketOut(packet));
            let out = bench.outputs();
            assert_eq!(messages(&out), [], "{version} {in_port} {output}");
            assert_eq!(ports(frames(&out)), sends, "{version} {in_port} {output}");
        }
        let mut bench = Bench::new(version);
        let mut packet = PacketOut::to_port(PortNo::CONTROLLER, frame(&[]));
        packet.in_port = PortNo(3);
        let said = bench.ask(Message::PacketOut(packet));
        let [Message::PacketIn(packet)] = &said[..] else { panic!("{said:?}") };
        assert_eq!((packet.reason, packet.in_port), (PacketInReason::ACTION, PortNo(3)));
        assert_eq!(bench.ask(Message::PacketOut(PacketOut::to_port(PortNo(1), vec![1; 13]))), []);
    }
}

#[test]
fn an_entry_sends_back_to_the_ingress_only_by_in_port() {
    for version in BOTH {
        let mut bench = Bench::new(version);
        bench.flow(FlowMod::add(on(1)).apply(vec![port(1), port(2)]));
        assert_eq!(ports(bench.enter(1, &frame(&[]))), [2]);
        bench.flow(FlowMod::add(on(1)).apply(vec![Action::output(PortNo::IN_PORT), port(2)]));
        assert_eq!(ports(bench.enter(1, &frame(&[]))), [1, 2]);
    }
}

#[test]
fn vlan_actions_change_the_bytes_between_outputs() {
    let mut old = Bench::new(Version::V1_0);
    old.flow(FlowMod::add(on(1)).apply(vec![
        port(2),
        Action::SetVlanVid(7),
        port(3),
        Action::PopVlan,
        port(4),
    ]));
    let untagged = [(2, frame(&[])), (3, frame(&[(0x8100, 7)])), (4, frame(&[]))];
    assert_eq!(old.enter(1, &frame(&[])), untagged);
    let tagged = [(2, frame(&[(0x8100, 9)])), (3, frame(&[(0x8100, 7)])), (4, frame(&[]))];
    assert_eq!(old.enter(1, &frame(&[(0x8100, 9)])), tagged);

    let mut new = Bench::new(Version::V1_3);
    let set = |vid| Action::SetField(MatchField::VlanVid(VlanMatch::Tagged(vid)));
    let absent = Match::new().vlan_vid(VlanMatch::Absent);
    let present = Match::new().vlan_vid(VlanMatch::Present);
    new.flow(FlowMod::add(absent).apply(vec![Action::PushVlan(0x8100), set(7), port(3)]));
    new.flow(FlowMod::add(present.clone()).apply(vec![set(8), port(2), Action::PopVlan, port(4)]));
    assert_eq!(new.enter(1, &frame(&[])), [(3, frame(&[(0x8100, 7)]))]);
    let out = new.enter(1, &frame(&[(0x8100, 9)]));
    assert_eq!(out, [(2, frame(&[(0x8100, 8)])), (4, frame(&[]))]);
    // Packet-outs are checked against their own packet.
    let packet = |tags: &[(u16, u16)]| PacketOut {
        buffer_id: None,
        in_port: PortNo::ANY,
        actions: [Action::PopVlan, port(1)].into(),
        data: Cow::Owned(frame(tags)),
    };
    assert_eq!(refusal(&new.ask(Message::PacketOut(packet(&[])))), Some((2, 10)));
    new.tell(Message::PacketOut(packet(&[(0x8100, 5)])));
    assert_eq!(frames(&new.outputs()), [(1, frame(&[]))]);
}

#[test]
fn port_changes_are_told_and_stop_traffic() {
    for version in BOTH {
        let mut bench = Bench::new(version);
        bench.flow(FlowMod::add(Match::new()).apply(vec![Action::output(PortNo::FLOOD)]));
        let told = |said: Vec<Message<'static>>| match &said[..] {
            [Message::PortStatus(status)] => {
                Some((status.reason, status.port.port_no, status.port.is_up()))
            }
            [] => None,
            other => panic!("{other:?}"),
        };
        bench.switch.add_port(PortNo(5), bench.now);
        assert_eq!(told(bench.said()), Some((PortStatusReason::ADD, PortNo(5), true)));
        bench.switch.set_link(PortNo(2), false, bench.now);
        assert_eq!(told(bench.said()), Some((PortStatusReason::MODIFY, PortNo(2), false)));
        bench.switch.set_link(PortNo(2), false, bench.now);
        assert_eq!(told(bench.said()), None);
        assert_eq!(ports(bench.enter(1, &frame(&[]))), [3, 4, 5]);
        assert_eq!(bench.enter(2, &frame(&[])), []);
        bench.switch.set_admin(PortNo(3), false, bench.now);
        assert_eq!(told(bench.said()), Some((PortStatusReason::MODIFY, PortNo(3), false)));
        bench.switch.remove_port(PortNo(4), bench.now);
        assert_eq!(told(bench.said()), Some((PortStatusReason::DELETE, PortNo(4), true)));
        bench.switch.set_link(PortNo(2), true, bench.now);
        bench.said();
        assert_eq!(ports(bench.enter(1, &frame(&[]))), [2, 5]);
    }
}

#[test]
fn the_controller_configures_ports_and_reads_their_counters() {
    for (version, unknown, address) in
        [(Version::V1_0, (4, 0), (4, 1)), (Version::V1_3, (7, 0), (7, 1))]
    {
        let mut bench = Bench::new(version);
        let all = Action::output(PortNo::ALL);
        bench.flow(FlowMod::add(Match::new()).apply(vec![all]));
        let hw_addr = bench.switch.ports().next().unwrap().hw_addr;
        let change = |port_no, hw_addr, config| {
            Message::PortMod(PortMod {
                port_no: PortNo(port_no),
                hw_addr,
                config: PortConfig(config),
                mask: PortConfig(PortConfig::PORT_DOWN.0 | PortConfig::NO_FWD.0),
                advertise: 0,
            })
        };
        assert_eq!(refusal(&bench.ask(change(9, hw_addr, 1))), Some(unknown));
        assert_eq!(refusal(&bench.ask(change(1, A, 1))), Some(address));
        for (config, up, sends) in [
            (PortConfig::NO_FWD.0, true, false),
            (PortConfig::PORT_DOWN.0, false, false),
            (0, true, true),
        ] {
            let told: Vec<(PortNo, bool)> = bench
                .ask(change(1, hw_addr, config))
                .into_iter()
                .map(|message| match message {
                    Message::PortStatus(status) => (status.port.port_no, status.port.is_up()),
                    other => panic!("{other:?}"),
                })
                .collect();
            // The link goes down and up with the port; of other bits the controller knows.
            let expected = if sends || !up { vec![(PortNo(1), up)] } else { Vec::new() };
            assert_eq!(told, expected, "{config}");
            assert_eq!(ports(bench.enter(2, &frame(&[]))).contains(&1), sends, "{config}");
        }
        let said = bench.ask(Message::PortStatsRequest { port: PortNo(2) });
        let [Message::PortStatsReply { ports, more: false }] = &said[..] else {
            panic!("{said:?}")
        };
        let bytes = 3 * frame(&[]).len() as u64;
        assert_eq!((ports[0].rx_packets, ports[0].rx_bytes, ports[0].tx_packets), (3, bytes, 0));
        let said = bench.ask(Message::PortStatsRequest { port: PortNo::ANY });
        let [Message::PortStatsReply { ports, .. }] = &said[..] else { panic!("{said:?}") };
        assert_eq!((ports.len(), ports[0].tx_packets, ports[2].tx_packets), (5, 1, 3));
        let said = bench.ask(Message::PortStatsRequest { port: PortNo(77) });
        assert_eq!(said, [Message::PortStatsReply { ports: vec![], more: false }]);
    }
}

#[test]
fn bad_requests_are_refused_with_the_error_that_open_vswitch_sends() {
    let set = |field| vec![Action::SetField(field)];
    let flow = |actions| FlowMod::add(on(1)).apply(actions);
    let table_9 = |mut flow: FlowMod, table| {
        flow.table_id = TableId(table);
        flow
    };
    let goto = |table| {
        let mut flow = FlowMod::add(on(1));
        flow.instructions.push(Instruction::Goto(TableId(table)));
        flow
    };
    let metered = {
        let mut flow = FlowMod::add(on(1));
        flow.instructions.push(Instruction::Meter(1));
        flow
    };
    // flow-mod, 1.0 (None: cannot be written or is accepted), 1.3
    type Row = (FlowMod, Option<(u16, u16)>, Option<(u16, u16)>);
    let table: Vec<Row> = vec![
        (flow(vec![Action::output(PortNo::ANY)]), Some((2, 4)), Some((2, 4))),
        (flow(vec![port(0)]), None, None),
        (flow(vec![port(0xff_0000)]), None, None),
        // VID 4096 and priority 8. In 1.3 these types are none.
        (flow(vec![Action::raw(1, vec![0x10, 0, 0, 0])]), Some((2, 5)), Some((2, 0))),
        (flow(vec![Action::raw(2, vec![8, 0, 0, 0])]), Some((2, 5)), Some((2, 0))),
        (flow(vec![Action::raw(100, vec![0; 4])]), Some((2, 0)), Some((2, 0))),
        (flow(vec![Action::PopVlan]), None, Some((2, 10))),
        (flow(vec![Action::PushVlan(0x1234)]), None, Some((2, 5))),
        (flow(vec![Action::Group(GroupId(1))]), None, Some((2, 9))),
        (flow(set(MatchField::InPort(PortNo(1)))), None, Some((2, 15))),
        (flow(set(MatchField::EthType(1))), None, Some((2, 15))),
        (flow(set(MatchField::MplsLabel(1))), None, Some((2, 13))),
        (flow(set(MatchField::VlanPcp(1))), None, Some((2, 10))),
        (flow(set(MatchField::Ipv4Src([1, 1, 1, 1].into_ip()))), None, Some((2, 10))),
        (goto(0), None, Some((3, 2))),
        (goto(200), None, Some((3, 2))),
        (metered, None, Some((12, 2))),
        (table_9(FlowMod::add(on(1)), 100), None, Some((5, 2))),
        (FlowMod::new(FlowModCommand(9), on(1)), Some((3, 4)), Some((5, 6))),
        // 1.0 has no such error: Nicira's.
        (FlowMod::add(on(1)).flags(FlowModFlags(0x8000)), Some((0xb0c2, 0)), Some((5, 7))),
        (table_9(FlowMod::add(on(1)), 255), None, Some((5, 2))),
        (FlowMod::add(on(1)).flags(FlowModFlags(4)), Some((3, 0)), None),
        (FlowMod::add(on(1).in_port(PortNo(2))), None, Some((4, 10))),
        (FlowMod::add(Match::new().ip_proto(6u8)), None, Some((4, 9))),
        (FlowMod::add(Match::new().with(MatchField::MplsLabel(1))), None, Some((4, 6))),
        (
            FlowMod::add(
                Match::new().with(MatchField::Metadata(Masked { value: 3, mask: Some(1) }.into())),
            ),
            None,
            Some((4, 5)),
        ),
    ];
    for (flow_mod, old, new) in table {
        for (version, code) in [(Version::V1_0, old), (Version::V1_3, new)] {
            let mut bytes = BytesMut::new();
            let message = Message::FlowMod(flow_mod.clone());
            if encode(version, Xid(1), &message, &mut bytes).is_err() {
                assert_eq!(code, None, "{version} {flow_mod:?}");
                continue;
            }
            let mut bench = Bench::with(version, |options| options.n_tables = 100);
            assert_eq!(bench.refused(flow_mod.clone()), code, "{version} {flow_mod:?}");
            assert_eq!(bench.switch.flow_count(), usize::from(code.is_none()));
        }
    }
}

#[test]
fn an_error_carries_the_refused_message_and_its_xid() {
    let mut bench = Bench::new(Version::V1_3);
    let mut bytes = BytesMut::new();
    let flow = FlowMod::add(on(1)).apply(vec![Action::output(PortNo::ANY)]);
    encode(Version::V1_3, Xid(0xabcd), &Message::FlowMod(flow), &mut bytes).unwrap();
    bench.switch.control_input(&bytes, bench.now);
    let out = bench.outputs();
    let [Output::Control(reply)] = &out[..] else { panic!("{out:?}") };
    let (header, message) = decode(reply).unwrap();
    assert_eq!(header.xid, Xid(0xabcd));
    let Message::Error(error) = message else { panic!("{message:?}") };
    assert_eq!(error.data[..], bytes[..]);
}

#[test]
fn unknown_and_misplaced_messages_are_refused_and_harm_nothing() {
    // version, bytes, error
    let table: [(Version, &[u8], (u16, u16)); 7] = [
        (Version::V1_3, &[4, 99, 0, 8, 0, 0, 0, 1], (1, 1)),
        (Version::V1_3, &[4, 21, 0, 8, 0, 0, 0, 1], (1, 1)),
        (Version::V1_3, &[1, 5, 0, 8, 0, 0, 0, 1], (1, 0)),
        (Version::V1_0, &[1, 4, 0, 12, 0, 0, 0, 1, 0, 0, 0, 9], (1, 3)),
        (Version::V1_0, &[1, 14, 0, 9, 0, 0, 0, 1, 0], (1, 6)),
        (Version::V1_0, &[1, 16, 0, 12, 0, 0, 0, 1, 0, 9, 0, 0], (1, 2)),
        (Version::V1_3, &[4, 18, 0, 16, 0, 0, 0, 1, 0, 99, 0, 0, 0, 0, 0, 0], (1, 2)),
    ];
    for (version, bytes, code) in table {
        let mut bench = Bench::new(version);
        bench.switch.control_input(bytes, bench.now);
        assert_eq!(refusal(&bench.said()), Some(code), "{bytes:02x?}");
        assert_eq!(bench.ask(Message::BarrierRequest), [Message::BarrierReply]);
    }
}

#[test]
fn normal_learns_like_a_plain_switch() {
    let mut bench = Bench::new(Version::V1_0);
    bench.flow(FlowMod::add(Match::new()).apply(vec![Action::output(PortNo::NORMAL)]));
    let to = |dst, src| build::ethernet(dst, src, &[], 0x1234, &[0; 46]);
    assert_eq!(ports(bench.enter(1, &to(B, A))), [2, 3, 4]);
    assert_eq!(ports(bench.enter(2, &to(A, B))), [1]);
    assert_eq!(ports(bench.enter(1, &to(B, A))), [2]);
    assert_eq!(bench.enter(1, &to(MacAddr::LLDP, A)), []);
    bench.switch.set_link(PortNo(2), false, bench.now);
    bench.outputs();
    assert_eq!(ports(bench.enter(1, &to(B, A))), [3, 4]);
}

#[test]
fn fragments_are_dropped_if_the_controller_says_so() {
    let mut bench = Bench::new(Version::V1_0);
    bench.flow(FlowMod::add(Match::new()).apply(vec![port(2)]));
    let mut fragment = frame(&[]);
    fragment[20..22].copy_from_slice(&[0x20, 0]);
    assert_eq!(ports(bench.enter(1, &fragment)), [2]);
    let config = SwitchConfig { flags: ConfigFlags::FRAG_DROP, miss_send_len: 0 };
    bench.tell(Message::SetConfig(config));
    assert_eq!(bench.enter(1, &fragment), []);
    assert_eq!(ports(bench.enter(1, &frame(&[]))), [2]);
}

#[test]
fn no_bytes_on_the_control_channel_break_the_switch() {
    let mut random = Random::new(1);
    let mut samples = Vec::new();
    for version in BOTH {
        let flow = FlowMod::add(on(1).eth_type(0x0800u16).ip_proto(17u8).udp_dst(9u16))
            .apply(vec![Action::SetField(MatchField::EthSrc(A.into())), port(2)]);
        let list = [
            Message::FlowMod(flow),
            Message::PacketOut(PacketOut::to_port(PortNo::FLOOD, frame(&[]))),
            Message::FeaturesRequest,
            Message::DescriptionRequest,
        ];
        for message in list {
            let mut bytes = BytesMut::new();
            encode(version, Xid(1), &message, &mut bytes).unwrap();
            samples.push((version, bytes.to_vec()));
        }
    }
    for round in 0..4000 {
        let (version, mut bytes) = samples[round % samples.len()].clone();
        for _ in 0..=random.below(3) {
            // Never the length: the stream stays in step.
            let at = match random.below(bytes.len() as u64) as usize {
                2 | 3 => 0,
                at => at,
            };
            bytes[at] = random.below(256) as u8;
        }
        let mut bench = Bench::new(version);
        bench.switch.control_input(&bytes, bench.now);
        bench.enter(1, &frame(&[]));
        let said = bench.ask(Message::BarrierRequest);
        assert_eq!(said, [Message::BarrierReply], "{bytes:02x?}");
    }
}

#[test]
fn an_error_is_counted_and_answered_as_open_vswitch_does() {
    let mut bench = Bench::new(Version::V1_0);
    let error =
        umlaut_openflow::ErrorMessage { code: ErrorCode::new(77, 1), data: Cow::Borrowed(b"text") };
    assert_eq!(refusal(&bench.ask(Message::Error(error))), Some((1, 1)));
    assert_eq!(bench.switch.counters().errors_received, 1);
}

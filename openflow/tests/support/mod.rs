//! Messages out of raw bytes: every run of bytes gives one message in the model's canonical form for a
//! version, and every such message can come up. Property tests shrink the bytes, fuzzers mutate them.

use std::borrow::Cow;
use std::time::Duration;

use umlaut_openflow::*;

/// A source of choices. When the bytes run out, every further choice is zero.
pub(crate) struct Source<'a> {
    bytes: &'a [u8],
}

impl<'a> Source<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Source<'a> {
        Source { bytes }
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let len = self.bytes.len().min(N);
        array[..len].copy_from_slice(&self.bytes[..len]);
        self.bytes = &self.bytes[len..];
        array
    }

    fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }

    fn bool(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    fn below(&mut self, n: u8) -> u8 {
        self.u8() % n
    }

    fn bytes(&mut self, max: u8) -> Vec<u8> {
        (0..self.below(max)).map(|_| self.u8()).collect()
    }

    /// As `bytes`, one at least.
    fn value(&mut self, max: u8) -> Vec<u8> {
        let mut bytes = vec![self.u8()];
        bytes.extend(self.bytes(max - 1));
        bytes
    }

    fn list<T>(&mut self, max: u8, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(max)).map(|_| item(self)).collect()
    }

    /// Bytes that make a TLV of 4-byte head a multiple of 8.
    fn tlv_body(&mut self) -> Vec<u8> {
        let units = usize::from(self.below(4));
        (0..4 + 8 * units).map(|_| self.u8()).collect()
    }

    fn mac(&mut self) -> MacAddr {
        MacAddr(self.array())
    }

    fn port(&mut self, v: Version) -> PortNo {
        match v {
            Version::V1_0 => PortNo::from_v10(self.u16()),
            _ => PortNo(self.u32()),
        }
    }

    fn buffer(&mut self) -> Option<BufferId> {
        self.bool().then(|| self.u32()).filter(|id| *id != u32::MAX).map(BufferId)
    }

    /// Any pair of 32-bit seconds and nanoseconds, the meaningless ones above 10^9 as decoding keeps
    /// them.
    fn duration(&mut self) -> Duration {
        let (sec, nsec) = (u64::from(self.u32()), self.u32());
        Duration::new(sec | u64::from(nsec / 1_000_000_000) << 32, nsec % 1_000_000_000)
    }

    fn masked<T>(&mut self, mut value: impl FnMut(&mut Self) -> T) -> Masked<T> {
        let mask = self.bool();
        Masked { value: value(self), mask: mask.then(|| value(self)) }
    }
}

// ---- matches ----

/// One field in the only form that an OXM of its bytes decodes to.
fn oxm(s: &mut Source<'_>) -> MatchField {
    use MatchField::*;
    match s.below(45) {
        0 => InPort(PortNo(s.u32())),
        1 => InPhyPort(PortNo(s.u32())),
        2 => Metadata(s.masked(Source::u64).into()),
        3 => EthDst(s.masked(Source::mac)),
        4 => EthSrc(s.masked(Source::mac)),
        5 => EthType(s.u16()),
        6 => VlanVid(match s.below(4) {
            0 => VlanMatch::Absent,
            1 => VlanMatch::Present,
            2 => VlanMatch::Tagged(s.u16() & 0xfff),
            _ => {
                let value = [0, 0x1000, s.u16() & 0x1fff][usize::from(s.below(3))];
                let mask = [0, 0x1000, 0x1fff, s.u16() & 0x1fff][usize::from(s.below(4))];
                match (value, mask) {
                    (0x1000, 0x1000) => VlanMatch::Present,
                    (value, mask) => VlanMatch::Raw { value, mask: Some(mask) },
                }
            }
        }),
        7 => VlanPcp(s.below(8)),
        8 => IpDscp(s.below(64)),
        9 => IpEcn(s.below(4)),
        10 => IpProto(s.u8()),
        11 => Ipv4Src(s.masked(|s| s.u32().into())),
        12 => Ipv4Dst(s.masked(|s| s.u32().into())),
        13 => TcpSrc(s.u16()),
        14 => TcpDst(s.u16()),
        15 => UdpSrc(s.u16()),
        16 => UdpDst(s.u16()),
        17 => SctpSrc(s.u16()),
        18 => SctpDst(s.u16()),
        19 => Icmpv4Type(s.u8()),
        20 => Icmpv4Code(s.u8()),
        21 => ArpOp(s.u16()),
        22 => ArpSpa(s.masked(|s| s.u32().into())),
        23 => ArpTpa(s.masked(|s| s.u32().into())),
        24 => ArpSha(s.masked(Source::mac)),
        25 => ArpTha(s.masked(Source::mac)),
        26 => Ipv6Src(s.masked(|s| s.array::<16>().into()).into()),
        27 => Ipv6Dst(s.masked(|s| s.array::<16>().into()).into()),
        28 => Ipv6Flabel(s.masked(|s| s.u32() & 0xf_ffff)),
        29 => Icmpv6Type(s.u8()),
        30 => Icmpv6Code(s.u8()),
        31 => Ipv6NdTarget(s.masked(|s| s.array::<16>().into()).into()),
        32 => Ipv6NdSll(s.mac()),
        33 => Ipv6NdTll(s.mac()),
        34 => MplsLabel(s.u32() & 0xf_ffff),
        35 => MplsTc(s.below(8)),
        36 => MplsBos(s.bool()),
        37 => PbbIsid(s.masked(|s| s.u32() & 0xff_ffff)),
        38 => TunnelId(s.masked(Source::u64).into()),
        39 => Ipv6Exthdr(s.masked(|s| s.u16() & 0x1ff)),
        // A basic field that may not have a mask, with one.
        40 => {
            Raw(RawOxm { class: 0x8000, field: 5, has_mask: true, body: s.array::<4>().into() }
                .into())
        }
        // A basic field that the specification does not have.
        41 => Raw(RawOxm { class: 0x8000, field: 90, has_mask: false, body: s.value(20) }.into()),
        42 => {
            Raw(RawOxm { class: 1, field: s.below(128), has_mask: false, body: s.value(255) }
                .into())
        }
        // A basic field with a bit that it does not have.
        43 => {
            Raw(RawOxm { class: 0x8000, field: 7, has_mask: false, body: vec![s.u8() | 8] }.into())
        }
        _ => {
            let has_mask = s.bool();
            let value = s.bytes(9);
            let mask = if has_mask { value.clone() } else { Vec::new() };
            let body = [&s.array::<4>()[..], &value, &mask].concat();
            Raw(RawOxm { class: 0xffff, field: s.below(128), has_mask, body }.into())
        }
    }
}

fn prefix(s: &mut Source<'_>) -> Masked<std::net::Ipv4Addr> {
    let wild = s.below(32);
    let mask = (wild != 0).then(|| (u32::MAX << wild).into());
    Masked { value: s.u32().into(), mask }
}

/// The fields of a 1.0 match in structure order, as decoding names them.
fn v10_match(s: &mut Source<'_>) -> Match {
    use MatchField::*;
    let mut m = Match::new();
    if s.bool() {
        m.push(InPort(s.port(Version::V1_0)));
    }
    if s.bool() {
        m.push(EthSrc(s.mac().into()));
    }
    if s.bool() {
        m.push(EthDst(s.mac().into()));
    }
    if s.bool() {
        m.push(VlanVid(match s.u16() {
            0xffff => VlanMatch::Absent,
            vid => VlanMatch::Tagged(vid & 0xfff),
        }));
    }
    if s.bool() {
        m.push(VlanPcp(s.below(8)));
    }
    let eth_type = s.bool().then(|| [0x0800, 0x0806, s.u16()][usize::from(s.below(3))]);
    eth_type.into_iter().for_each(|eth_type| m.push(EthType(eth_type)));
    let arp = eth_type == Some(0x0806);
    if s.bool() {
        m.push(IpDscp(s.below(64)));
    }
    let proto = s.bool().then(|| [1, 6, 17, s.u8()][usize::from(s.below(4))]);
    if let Some(proto) = proto {
        m.push(if arp { ArpOp(proto.into()) } else { IpProto(proto) });
    }
    if s.bool() {
        let address = prefix(s);
        m.push(if arp { ArpSpa(address) } else { Ipv4Src(address) });
    }
    if s.bool() {
        let address = prefix(s);
        m.push(if arp { ArpTpa(address) } else { Ipv4Dst(address) });
    }
    let proto = proto.filter(|_| !arp);
    if s.bool() {
        m.push(match (proto, s.u16()) {
            (Some(6), port) => TcpSrc(port),
            (Some(17), port) => UdpSrc(port),
            (Some(1), port @ ..256) => Icmpv4Type(port as u8),
            (_, port) => TpSrc(port),
        });
    }
    if s.bool() {
        m.push(match (proto, s.u16()) {
            (Some(6), port) => TcpDst(port),
            (Some(17), port) => UdpDst(port),
            (Some(1), port @ ..256) => Icmpv4Code(port as u8),
            (_, port) => TpDst(port),
        });
    }
    m
}

fn matches(s: &mut Source<'_>, v: Version) -> Match {
    match v {
        Version::V1_0 => v10_match(s),
        _ => s.list(12, oxm).into_iter().collect(),
    }
}

// ---- actions and instructions ----

fn action(s: &mut Source<'_>, v: Version) -> Action {
    match v {
        Version::V1_0 => v10_action(s),
        _ => v13_action(s),
    }
}

fn v10_action(s: &mut Source<'_>) -> Action {
    use MatchField::*;
    match s.below(13) {
        0 => Action::Output { port: s.port(Version::V1_0), max_len: MaxLen(s.u16()) },
        1 => Action::SetVlanVid(s.u16() & 0xfff),
        2 => Action::SetVlanPcp(s.below(8)),
        3 => Action::PopVlan,
        4 => Action::SetField(EthSrc(s.mac().into())),
        5 => Action::SetField(EthDst(s.mac().into())),
        6 => Action::SetField(Ipv4Src(std::net::Ipv4Addr::from(s.u32()).into())),
        7 => Action::SetField(Ipv4Dst(std::net::Ipv4Addr::from(s.u32()).into())),
        8 => Action::SetField(IpDscp(s.below(64))),
        9 => Action::SetField(TpSrc(s.u16())),
        10 => Action::SetField(TpDst(s.u16())),
        11 => Action::Enqueue { port: s.port(Version::V1_0), queue_id: s.u32() },
        _ => Action::raw(s.u16().max(12), s.tlv_body()),
    }
}

fn v13_action(s: &mut Source<'_>) -> Action {
    match s.below(18) {
        0 => Action::Output { port: PortNo(s.u32()), max_len: MaxLen(s.u16()) },
        1 => Action::CopyTtlOut,
        2 => Action::CopyTtlIn,
        3 => Action::SetMplsTtl(s.u8()),
        4 => Action::DecMplsTtl,
        5 => Action::PushVlan(s.u16()),
        6 => Action::PopVlan,
        7 => Action::PushMpls(s.u16()),
        8 => Action::PopMpls(s.u16()),
        9 => Action::SetQueue(s.u32()),
        10 => Action::Group(GroupId(s.u32())),
        11 => Action::SetNwTtl(s.u8()),
        12 => Action::DecNwTtl,
        13 | 14 => Action::SetField(oxm(s)),
        15 => Action::PushPbb(s.u16()),
        16 => Action::PopPbb,
        _ => Action::raw(s.u16().max(28), s.tlv_body()),
    }
}

fn instructions(s: &mut Source<'_>, v: Version) -> Instructions {
    if v == Version::V1_0 {
        let actions = s.list(5, v10_action);
        let apply = (!actions.is_empty()).then(|| Instruction::Apply(actions.into()));
        return apply.into_iter().collect();
    }
    let instructions = s.list(5, |s| match s.below(7) {
        0 => Instruction::Apply(s.list(5, v13_action).into()),
        1 => Instruction::Write(s.list(5, v13_action).into()),
        2 => Instruction::Clear,
        3 => Instruction::Goto(TableId(s.u8())),
        4 => Instruction::WriteMetadata { metadata: s.u64(), mask: s.u64() },
        5 => Instruction::Meter(s.u32()),
        _ => Instruction::Raw { kind: s.u16().max(7), body: s.tlv_body() },
    });
    instructions.into()
}

// ---- parts of messages ----

fn port(s: &mut Source<'_>, v: Version) -> Port {
    let speeds = v != Version::V1_0;
    Port {
        port_no: s.port(v),
        hw_addr: s.mac(),
        name: s.array(),
        config: PortConfig(s.u32()),
        state: PortState(s.u32()),
        curr: s.u32(),
        advertised: s.u32(),
        supported: s.u32(),
        peer: s.u32(),
        curr_speed: if speeds { s.u32() } else { 0 },
        max_speed: if speeds { s.u32() } else { 0 },
    }
}

fn flow_stats(s: &mut Source<'_>, v: Version) -> FlowStats {
    FlowStats {
        table_id: TableId(s.u8()),
        duration: s.duration(),
        priority: s.u16(),
        idle_timeout: s.u16(),
        hard_timeout: s.u16(),
        flags: FlowModFlags(if v == Version::V1_0 { 0 } else { s.u16() }),
        cookie: Cookie(s.u64()),
        packet_count: s.u64(),
        byte_count: s.u64(),
        matches: matches(s, v),
        instructions: instructions(s, v),
    }
}

fn flow_stats_request(s: &mut Source<'_>, v: Version) -> FlowStatsRequest {
    let later = v != Version::V1_0;
    FlowStatsRequest {
        table_id: TableId(s.u8()),
        out_port: s.port(v),
        out_group: if later { GroupId(s.u32()) } else { GroupId::ANY },
        cookie: Cookie(if later { s.u64() } else { 0 }),
        cookie_mask: if later { s.u64() } else { 0 },
        matches: matches(s, v),
    }
}

fn bucket(s: &mut Source<'_>) -> Bucket {
    Bucket {
        weight: s.u16(),
        watch_port: PortNo(s.u32()),
        watch_group: GroupId(s.u32()),
        actions: s.list(4, v13_action),
    }
}

fn counter(s: &mut Source<'_>) -> Counter {
    Counter { packet_count: s.u64(), byte_count: s.u64() }
}

fn band(s: &mut Source<'_>) -> MeterBand {
    let kind = match s.below(4) {
        0 => MeterBandKind::Drop,
        1 => MeterBandKind::DscpRemark { prec_level: s.u8() },
        2 => MeterBandKind::Experimenter { experimenter: s.u32(), body: s.bytes(20) },
        _ => MeterBandKind::Raw { kind: s.u16().clamp(3, 0xfffe), body: s.bytes(20) },
    };
    MeterBand { rate: s.u32(), burst_size: s.u32(), kind }
}

fn queue(s: &mut Source<'_>, v: Version, port: PortNo) -> QueueConfig {
    let v10 = v == Version::V1_0;
    let properties = s.list(4, |s| match s.below(4) {
        0 => QueueProperty::MinRate(s.u16()),
        1 if !v10 => QueueProperty::MaxRate(s.u16()),
        2 if !v10 => QueueProperty::Experimenter { experimenter: s.u32(), body: s.bytes(20) },
        _ => QueueProperty::Raw { kind: s.u16().clamp(3, 0xfffe), body: s.bytes(20) },
    });
    let port = if v10 { port } else { PortNo(s.u32()) };
    QueueConfig { queue_id: s.u32(), port, properties }
}

fn type_id(s: &mut Source<'_>) -> TypeId {
    let (kind, mut body) = (s.u16(), s.bytes(9));
    if kind == 0xffff {
        body.extend(s.array::<4>());
    }
    TypeId { kind, body }
}

fn oxm_id(s: &mut Source<'_>) -> OxmId {
    let class = [0x8000, 1, 0xffff, s.u16()][usize::from(s.below(4))];
    OxmId {
        class,
        field: s.below(128),
        has_mask: s.bool(),
        length: s.u8(),
        experimenter: (class == 0xffff).then(|| s.u32()),
    }
}

fn table_features(s: &mut Source<'_>) -> TableFeatures {
    let properties = s.list(6, |s| match s.below(9) {
        0 => TableProperty::Instructions { miss: s.bool(), ids: s.list(5, type_id) },
        1 => TableProperty::NextTables { miss: s.bool(), tables: s.list(9, |s| TableId(s.u8())) },
        2 => TableProperty::WriteActions { miss: s.bool(), ids: s.list(5, type_id) },
        3 => TableProperty::ApplyActions { miss: s.bool(), ids: s.list(5, type_id) },
        4 => TableProperty::Match(s.list(5, oxm_id)),
        5 => TableProperty::Wildcards(s.list(5, oxm_id)),
        6 => TableProperty::WriteSetField { miss: s.bool(), fields: s.list(5, oxm_id) },
        7 => TableProperty::ApplySetField { miss: s.bool(), fields: s.list(5, oxm_id) },
        _ => {
            let body = [&s.array::<8>()[..], &s.bytes(12)].concat();
            TableProperty::Raw { kind: s.u16().max(16), body }
        }
    });
    TableFeatures {
        table_id: TableId(s.u8()),
        name: s.array(),
        metadata_match: s.u64(),
        metadata_write: s.u64(),
        config: s.u32(),
        max_entries: s.u32(),
        properties,
    }
}

fn table_stats(s: &mut Source<'_>, v: Version) -> TableStats {
    let v10 = v == Version::V1_0;
    TableStats {
        table_id: TableId(s.u8()),
        name: if v10 { s.array() } else { [0; 32] },
        wildcards: if v10 { s.u32() } else { 0 },
        max_entries: if v10 { s.u32() } else { 0 },
        active_count: s.u32(),
        lookup_count: s.u64(),
        matched_count: s.u64(),
    }
}

fn port_stats(s: &mut Source<'_>, v: Version) -> PortStats {
    PortStats {
        port_no: s.port(v),
        rx_packets: s.u64(),
        tx_packets: s.u64(),
        rx_bytes: s.u64(),
        tx_bytes: s.u64(),
        rx_dropped: s.u64(),
        tx_dropped: s.u64(),
        rx_errors: s.u64(),
        tx_errors: s.u64(),
        rx_frame_err: s.u64(),
        rx_over_err: s.u64(),
        rx_crc_err: s.u64(),
        collisions: s.u64(),
        duration: if v == Version::V1_0 { Duration::ZERO } else { s.duration() },
    }
}

fn queue_stats(s: &mut Source<'_>, v: Version) -> QueueStats {
    QueueStats {
        port: s.port(v),
        queue_id: s.u32(),
        tx_bytes: s.u64(),
        tx_packets: s.u64(),
        tx_errors: s.u64(),
        duration: if v == Version::V1_0 { Duration::ZERO } else { s.duration() },
    }
}

fn packet_in(s: &mut Source<'_>, v: Version) -> PacketIn<'static> {
    let v10 = v == Version::V1_0;
    let mut packet = PacketIn {
        buffer_id: s.buffer(),
        total_len: s.u16(),
        in_port: s.port(v),
        reason: PacketInReason(s.u8()),
        table_id: TableId(if v10 { 0 } else { s.u8() }),
        cookie: Cookie(if v10 { u64::MAX } else { s.u64() }),
        pipeline: Cow::Owned(Vec::new()),
        data: Cow::Owned(s.bytes(80)),
    };
    if !v10 && s.bool() {
        // in_port, metadata, tun_id: what Open vSwitch sends.
        let mut list = vec![0x80, 0, 0, 4];
        list.extend(packet.in_port.0.to_be_bytes());
        list.extend([0x80, 0, 4, 8]);
        list.extend(s.array::<8>());
        packet.pipeline = Cow::Owned(list);
    }
    packet
}

fn flow_mod(s: &mut Source<'_>, v: Version) -> FlowMod {
    let later = v != Version::V1_0;
    FlowMod {
        cookie: Cookie(s.u64()),
        cookie_mask: if later { s.u64() } else { 0 },
        table_id: TableId(if later { s.u8() } else { 0 }),
        command: FlowModCommand(if later { s.u8().into() } else { s.u16() }),
        idle_timeout: s.u16(),
        hard_timeout: s.u16(),
        priority: s.u16(),
        buffer_id: s.buffer(),
        out_port: s.port(v),
        out_group: if later { GroupId(s.u32()) } else { GroupId::ANY },
        flags: FlowModFlags(s.u16()),
        matches: matches(s, v),
        instructions: instructions(s, v),
    }
}

fn flow_removed(s: &mut Source<'_>, v: Version) -> FlowRemoved {
    let later = v != Version::V1_0;
    FlowRemoved {
        cookie: Cookie(s.u64()),
        priority: s.u16(),
        reason: FlowRemovedReason(s.u8()),
        table_id: TableId(if later { s.u8() } else { 0 }),
        duration: s.duration(),
        idle_timeout: s.u16(),
        hard_timeout: if later { s.u16() } else { 0 },
        packet_count: s.u64(),
        byte_count: s.u64(),
        matches: matches(s, v),
    }
}

/// A message that the version can express, in the form that decoding gives it.
pub(crate) fn message(s: &mut Source<'_>, v: Version) -> Message<'static> {
    let config =
        |s: &mut Source<'_>| SwitchConfig { flags: ConfigFlags(s.u16()), miss_send_len: s.u16() };
    let payload = |s: &mut Source<'_>| Cow::Owned(s.bytes(80));
    let kinds = if v == Version::V1_0 { 39 } else { 59 };
    // A flow-mod every third time: most of the wire's variety is in matches and actions.
    let kind = match s.u8() {
        177.. => 14,
        first => first % kinds,
    };
    match kind {
        0 => {
            let versions = s.bool().then(|| s.list(5, Source::u32));
            let others = s.list(3, |s| (s.u16().max(2), s.bytes(20)));
            Message::Hello(Hello { versions, others, wire: None })
        }
        1 => Message::Error(ErrorMessage { code: ErrorCode(s.u32()), data: payload(s) }),
        2 => Message::EchoRequest(payload(s)),
        3 => Message::EchoReply(payload(s)),
        4 => {
            let mut body = s.array::<4>().to_vec();
            body.extend(s.bytes(60));
            // Not Nicira, whose roles are messages of their own.
            Message::Experimenter { experimenter: s.u32() | 1, body: body.into() }
        }
        5 => Message::FeaturesRequest,
        6 => {
            let v10 = v == Version::V1_0;
            Message::FeaturesReply(Features {
                dpid: DatapathId(s.u64()),
                n_buffers: s.u32(),
                n_tables: s.u8(),
                auxiliary_id: if v10 { 0 } else { s.u8() },
                capabilities: s.u32(),
                actions: s.u32(),
                ports: if v10 { s.list(4, |s| port(s, v)) } else { Vec::new() },
            })
        }
        7 => Message::GetConfigRequest,
        8 => Message::GetConfigReply(config(s)),
        9 => Message::SetConfig(config(s)),
        10 => Message::PacketIn(packet_in(s, v)),
        11 => Message::FlowRemoved(flow_removed(s, v)),
        12 => {
            Message::PortStatus(PortStatus { reason: PortStatusReason(s.u8()), port: port(s, v) })
        }
        13 => Message::PacketOut(PacketOut {
            buffer_id: s.buffer(),
            in_port: s.port(v),
            actions: s.list(5, |s| action(s, v)).into(),
            data: payload(s),
        }),
        14 | 15 => Message::FlowMod(flow_mod(s, v)),
        16 => Message::BarrierRequest,
        17 => Message::BarrierReply,
        18 => Message::PortMod(PortMod {
            port_no: s.port(v),
            hw_addr: s.mac(),
            config: PortConfig(s.u32()),
            mask: PortConfig(s.u32()),
            advertise: s.u32(),
        }),
        19 => Message::QueueGetConfigRequest { port: s.port(v) },
        20 => {
            let port = s.port(v);
            Message::QueueGetConfigReply { port, queues: s.list(4, |s| queue(s, v, port)) }
        }
        n @ (21 | 22) => {
            let role = match v {
                Version::V1_0 => {
                    RoleMessage { role: Role(u32::from(s.below(3)) + 1), generation_id: 0 }
                }
                _ => RoleMessage { role: Role(s.u32()), generation_id: s.u64() },
            };
            if n == 21 { Message::RoleRequest(role) } else { Message::RoleReply(role) }
        }
        23 => Message::DescriptionRequest,
        24 => Message::DescriptionReply(Box::new(SwitchDescription {
            manufacturer: s.array(),
            hardware: s.array(),
            software: s.array(),
            serial_number: s.array(),
            datapath: s.array(),
        })),
        25 => Message::FlowStatsRequest(flow_stats_request(s, v)),
        26 => Message::FlowStatsReply { flows: s.list(4, |s| flow_stats(s, v)), more: s.bool() },
        27 => Message::AggregateStatsRequest(flow_stats_request(s, v)),
        28 => Message::AggregateStatsReply(AggregateStats {
            packet_count: s.u64(),
            byte_count: s.u64(),
            flow_count: s.u32(),
        }),
        29 => Message::TableStatsRequest,
        30 => Message::TableStatsReply { tables: s.list(4, |s| table_stats(s, v)), more: s.bool() },
        31 => Message::PortStatsRequest { port: s.port(v) },
        32 => Message::PortStatsReply { ports: s.list(4, |s| port_stats(s, v)), more: s.bool() },
        33 => Message::QueueStatsRequest { port: s.port(v), queue_id: s.u32() },
        34 => Message::QueueStatsReply { queues: s.list(4, |s| queue_stats(s, v)), more: s.bool() },
        n @ (35 | 36) => {
            let (experimenter, more) = (s.u32(), s.bool());
            let mut body = s.array::<4>().to_vec();
            body.extend(s.bytes(60));
            let body = body.into();
            match n {
                35 => {
                    let more = more && v != Version::V1_0;
                    Message::ExperimenterStatsRequest { experimenter, body, more }
                }
                _ => Message::ExperimenterStatsReply { experimenter, body, more },
            }
        }
        37 => Message::Opaque(Opaque { kind: s.u8().max(30), body: payload(s) }),
        // A multipart request of an unknown kind.
        38 => {
            let mut body = vec![0x7f, s.u8(), 0, 0, 0, 0, 0, 0];
            body.extend(s.bytes(40));
            let kind = if v == Version::V1_0 { 16 } else { 18 };
            Message::Opaque(Opaque { kind, body: body.into() })
        }
        n => v13_message(s, n),
    }
}

/// The messages that 1.0 does not have.
fn v13_message(s: &mut Source<'_>, n: u8) -> Message<'static> {
    let config = |s: &mut Source<'_>| AsyncConfig {
        packet_in: [s.u32(), s.u32()],
        port_status: [s.u32(), s.u32()],
        flow_removed: [s.u32(), s.u32()],
    };
    match n {
        39 => Message::GroupMod(GroupMod {
            command: GroupCommand(s.u16()),
            kind: GroupType(s.u8()),
            group_id: GroupId(s.u32()),
            buckets: s.list(4, bucket),
        }),
        40 => Message::TableMod(TableMod { table_id: TableId(s.u8()), config: s.u32() }),
        41 => Message::MeterMod(MeterMod {
            command: MeterCommand(s.u16()),
            flags: MeterFlags(s.u16()),
            meter_id: MeterId(s.u32()),
            bands: s.list(4, band),
        }),
        42 => Message::GetAsyncRequest,
        43 => Message::GetAsyncReply(config(s)),
        44 => Message::SetAsync(config(s)),
        45 => Message::GroupStatsRequest { group_id: GroupId(s.u32()) },
        46 => {
            let groups = s.list(4, |s| GroupStats {
                group_id: GroupId(s.u32()),
                ref_count: s.u32(),
                packet_count: s.u64(),
                byte_count: s.u64(),
                duration: s.duration(),
                buckets: s.list(4, counter),
            });
            Message::GroupStatsReply { groups, more: s.bool() }
        }
        47 => Message::GroupDescriptionRequest,
        48 => {
            let groups = s.list(4, |s| GroupDescription {
                kind: GroupType(s.u8()),
                group_id: GroupId(s.u32()),
                buckets: s.list(4, bucket),
            });
            Message::GroupDescriptionReply { groups, more: s.bool() }
        }
        49 => Message::GroupFeaturesRequest,
        50 => Message::GroupFeaturesReply(GroupFeatures {
            types: s.u32(),
            capabilities: s.u32(),
            max_groups: std::array::from_fn(|_| s.u32()),
            actions: std::array::from_fn(|_| s.u32()),
        }),
        51 => Message::MeterStatsRequest { meter_id: MeterId(s.u32()) },
        52 => {
            let meters = s.list(4, |s| MeterStats {
                meter_id: MeterId(s.u32()),
                flow_count: s.u32(),
                packet_in_count: s.u64(),
                byte_in_count: s.u64(),
                duration: s.duration(),
                bands: s.list(4, counter),
            });
            Message::MeterStatsReply { meters, more: s.bool() }
        }
        53 => Message::MeterConfigRequest { meter_id: MeterId(s.u32()) },
        54 => {
            let meters = s.list(4, |s| MeterConfig {
                flags: MeterFlags(s.u16()),
                meter_id: MeterId(s.u32()),
                bands: s.list(4, band),
            });
            Message::MeterConfigReply { meters, more: s.bool() }
        }
        55 => Message::MeterFeaturesRequest,
        56 => Message::MeterFeaturesReply(MeterFeatures {
            max_meter: s.u32(),
            band_types: s.u32(),
            capabilities: s.u32(),
            max_bands: s.u8(),
            max_color: s.u8(),
        }),
        57 => {
            let tables = s.list(3, table_features);
            match s.below(2) {
                0 => Message::TableFeaturesRequest { tables, more: s.bool() },
                _ => Message::TableFeaturesReply { tables, more: s.bool() },
            }
        }
        _ => match s.below(2) {
            0 => Message::PortDescriptionRequest,
            _ => Message::PortDescriptionReply {
                ports: s.list(4, |s| port(s, Version::V1_3)),
                more: s.bool(),
            },
        },
    }
}

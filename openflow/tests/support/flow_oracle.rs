//! Flow-mods cut by hand: what decoding them is compared with. Written from the specification's offsets
//! and tables, without a parser.

use std::net::{Ipv4Addr, Ipv6Addr};

use umlaut_openflow::*;

fn u16_at(b: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([b[at], b[at + 1]])
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from(u16_at(b, at)) << 16 | u32::from(u16_at(b, at + 2))
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from(u32_at(b, at)) << 32 | u64::from(u32_at(b, at + 4))
}

fn mac_at(b: &[u8], at: usize) -> MacAddr {
    MacAddr([b[at], b[at + 1], b[at + 2], b[at + 3], b[at + 4], b[at + 5]])
}

fn ipv4_at(b: &[u8], at: usize) -> Ipv4Addr {
    u32_at(b, at).into()
}

fn ipv6_at(b: &[u8], at: usize) -> Ipv6Addr {
    (u128::from(u64_at(b, at)) << 64 | u128::from(u64_at(b, at + 8))).into()
}

fn buffer(id: u32) -> Option<BufferId> {
    (id != 0xffff_ffff).then_some(BufferId(id))
}

/// Kind and body of each of a list of type, length and body, lengths being multiples of eight.
fn tlvs(mut list: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let mut found = Vec::new();
    while !list.is_empty() {
        if list.len() < 4 {
            return None;
        }
        let length = usize::from(u16_at(list, 2));
        if length == 0 || length % 8 != 0 || length > list.len() {
            return None;
        }
        found.push((u16_at(list, 0), &list[4..length]));
        list = &list[length..];
    }
    Some(found)
}

// ---- 1.0 ----

/// A whole flow-mod of 1.0 (1.0 §5.3.3). What its match has under wildcards is not in the fields.
pub(crate) fn flow_mod_10(m: &[u8]) -> Option<FlowMod> {
    if m.len() < 72 || m[..2] != [1, 14] || usize::from(u16_at(m, 2)) != m.len() {
        return None;
    }
    let actions = tlvs(&m[72..])?.into_iter().map(|(kind, body)| action_10(kind, body));
    let actions = actions.collect::<Option<Vec<_>>>()?;
    Some(FlowMod {
        cookie: Cookie(u64_at(m, 48)),
        cookie_mask: 0,
        table_id: TableId(0),
        command: FlowModCommand(u16_at(m, 56)),
        idle_timeout: u16_at(m, 58),
        hard_timeout: u16_at(m, 60),
        priority: u16_at(m, 62),
        buffer_id: buffer(u32_at(m, 64)),
        out_port: PortNo::from_v10(u16_at(m, 68)),
        out_group: GroupId::ANY,
        flags: FlowModFlags(u16_at(m, 70)),
        matches: fields_10(&m[8..48]).into_iter().collect(),
        instructions: match actions.is_empty() {
            true => [].into(),
            false => [Instruction::Apply(actions.into())].into(),
        },
    })
}

/// The fields of a 1.0 match that no wildcard hides (1.0 §5.2.3).
fn fields_10(m: &[u8]) -> Vec<MatchField> {
    use MatchField::*;
    let wildcards = u32_at(m, 0);
    let says = |bit: u32| wildcards & 1 << bit == 0;
    let address = |shift: u32, at| {
        let wild = wildcards >> shift & 63;
        let mask = (wild > 0).then(|| Ipv4Addr::from(!0u32 << wild.min(31)));
        (wild < 32).then(|| Masked { value: ipv4_at(m, at), mask })
    };
    let (vlan, kind, proto) = (u16_at(m, 18), u16_at(m, 22), m[25]);
    let (source_port, target_port) = (u16_at(m, 36), u16_at(m, 38));
    let arp = says(4) && kind == 0x0806;
    let transport = if says(5) && !arp { proto } else { 0 };
    let tag = if vlan == 0xffff { VlanMatch::Absent } else { VlanMatch::Tagged(vlan) };
    [
        says(0).then(|| InPort(PortNo::from_v10(u16_at(m, 4)))),
        says(2).then(|| EthSrc(mac_at(m, 6).into())),
        says(3).then(|| EthDst(mac_at(m, 12).into())),
        says(1).then_some(VlanVid(tag)),
        says(20).then(|| VlanPcp(m[20])),
        says(4).then_some(EthType(kind)),
        says(21).then(|| IpDscp(m[24] >> 2)),
        says(5).then(|| if arp { ArpOp(proto.into()) } else { IpProto(proto) }),
        address(8, 28).map(|a| if arp { ArpSpa(a) } else { Ipv4Src(a) }),
        address(14, 32).map(|a| if arp { ArpTpa(a) } else { Ipv4Dst(a) }),
        says(6).then_some(match transport {
            6 => TcpSrc(source_port),
            17 => UdpSrc(source_port),
            1 if source_port < 256 => Icmpv4Type(source_port as u8),
            _ => TpSrc(source_port),
        }),
        says(7).then_some(match transport {
            6 => TcpDst(target_port),
            17 => UdpDst(target_port),
            1 if target_port < 256 => Icmpv4Code(target_port as u8),
            _ => TpDst(target_port),
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// An action of 1.0 (1.0 §5.2.4).
fn action_10(kind: u16, b: &[u8]) -> Option<Action> {
    let set = Action::SetField;
    let length = match kind {
        4 | 5 | 11 => 12,
        0..=10 => 4,
        _ => b.len(),
    };
    if b.len() != length {
        return None;
    }
    Some(match kind {
        0 => Action::Output { port: PortNo::from_v10(u16_at(b, 0)), max_len: MaxLen(u16_at(b, 2)) },
        1 if u16_at(b, 0) < 4096 => Action::SetVlanVid(u16_at(b, 0)),
        2 if b[0] < 8 => Action::SetVlanPcp(b[0]),
        3 => Action::PopVlan,
        4 => set(MatchField::EthSrc(mac_at(b, 0).into())),
        5 => set(MatchField::EthDst(mac_at(b, 0).into())),
        6 => set(MatchField::Ipv4Src(ipv4_at(b, 0).into())),
        7 => set(MatchField::Ipv4Dst(ipv4_at(b, 0).into())),
        8 if b[0] & 3 == 0 => set(MatchField::IpDscp(b[0] / 4)),
        9 => set(MatchField::TpSrc(u16_at(b, 0))),
        10 => set(MatchField::TpDst(u16_at(b, 0))),
        11 => Action::Enqueue { port: PortNo::from_v10(u16_at(b, 0)), queue_id: u32_at(b, 8) },
        _ => Action::raw(kind, b.to_vec()),
    })
}

// ---- 1.3 ----

/// A whole flow-mod of 1.3 (1.3.5 §7.3.4.1).
pub(crate) fn flow_mod_13(m: &[u8]) -> Option<FlowMod> {
    if m.len() < 56 || m[..2] != [4, 14] || usize::from(u16_at(m, 2)) != m.len() {
        return None;
    }
    let (kind, length) = (u16_at(m, 48), usize::from(u16_at(m, 50)));
    let end = 48 + length.div_ceil(8) * 8;
    if kind != 1 || length < 4 || end > m.len() {
        return None;
    }
    let instructions = tlvs(&m[end..])?.into_iter().map(|(kind, body)| instruction(kind, body));
    Some(FlowMod {
        cookie: Cookie(u64_at(m, 8)),
        cookie_mask: u64_at(m, 16),
        table_id: TableId(m[24]),
        command: FlowModCommand(m[25].into()),
        idle_timeout: u16_at(m, 26),
        hard_timeout: u16_at(m, 28),
        priority: u16_at(m, 30),
        buffer_id: buffer(u32_at(m, 32)),
        out_port: PortNo(u32_at(m, 36)),
        out_group: GroupId(u32_at(m, 40)),
        flags: FlowModFlags(u16_at(m, 44)),
        matches: fields_13(&m[52..48 + length])?.into_iter().collect(),
        instructions: instructions.collect::<Option<_>>()?,
    })
}

fn fields_13(mut list: &[u8]) -> Option<Vec<MatchField>> {
    let mut fields = Vec::new();
    while !list.is_empty() {
        let (field, length) = field(list)?;
        fields.push(field);
        list = &list[length..];
    }
    Some(fields)
}

/// The first field of a list, and its length with its head (1.3.5 §7.2.3, table 12).
fn field(list: &[u8]) -> Option<(MatchField, usize)> {
    use MatchField::*;
    if list.len() < 4 {
        return None;
    }
    let (class, number, has_mask) = (u16_at(list, 0), list[2] / 2, list[2] % 2 == 1);
    let length = usize::from(list[3]);
    let b = list.get(4..4 + length)?;
    let raw = || Raw(RawOxm { class, field: number, has_mask, body: b.to_vec() }.into());
    // Bits of the field, and whether it may have a mask.
    let (bits, may) = match (class, number) {
        (0x8000, 0 | 1) => (32, false),
        (0x8000, 2 | 38) => (64, true),
        (0x8000, 3 | 4 | 24 | 25) => (48, true),
        (0x8000, 5 | 13..=18 | 21) => (16, false),
        (0x8000, 6) => (13, true),
        (0x8000, 7 | 35) => (3, false),
        (0x8000, 8) => (6, false),
        (0x8000, 9) => (2, false),
        (0x8000, 10 | 19 | 20 | 29 | 30) => (8, false),
        (0x8000, 11 | 12 | 22 | 23) => (32, true),
        (0x8000, 26 | 27 | 31) => (128, true),
        (0x8000, 28) => (20, true),
        (0x8000, 32 | 33) => (48, false),
        (0x8000, 34) => (20, false),
        (0x8000, 36) => (1, false),
        (0x8000, 37) => (24, true),
        (0x8000, 39) => (9, true),
        (0xffff, _) if length < 4 => return None,
        _ if length == 0 || has_mask && length % 2 == 1 => return None,
        _ => return Some((raw(), 4 + length)),
    };
    // 20 bits travel in four bytes, all others in as few as hold them.
    let width = if bits == 20 { 4 } else { usize::div_ceil(bits, 8) };
    if length != if has_mask { 2 * width } else { width } {
        return None;
    }
    let halves = if has_mask { vec![&b[..width], &b[width..]] } else { vec![b] };
    let wide = halves.iter().any(|half| {
        let number = half.iter().fold(0u128, |number, byte| number << 8 | u128::from(*byte));
        bits < 128 && number >> bits != 0
    });
    if wide || has_mask && !may {
        return Some((raw(), 4 + length));
    }
    fn masked<T>(halves: &[&[u8]], read: impl Fn(&[u8], usize) -> T) -> Masked<T> {
        Masked { value: read(halves[0], 0), mask: halves.get(1).map(|mask| read(mask, 0)) }
    }
    let u24_at = |b: &[u8], at: usize| u32::from(b[at]) << 16 | u32::from(u16_at(b, at + 1));
    let field = match number {
        0 => InPort(PortNo(u32_at(b, 0))),
        1 => InPhyPort(PortNo(u32_at(b, 0))),
        2 => Metadata(masked(&halves, u64_at).into()),
        3 => EthDst(masked(&halves, mac_at)),
        4 => EthSrc(masked(&halves, mac_at)),
        5 => EthType(u16_at(b, 0)),
        6 => VlanVid(match (u16_at(b, 0), halves.get(1).map(|mask| u16_at(mask, 0))) {
            (0, None) => VlanMatch::Absent,
            (0x1000, Some(0x1000)) => VlanMatch::Present,
            (value @ 0x1000.., None) => VlanMatch::Tagged(value - 0x1000),
            (value, mask) => VlanMatch::Raw { value, mask },
        }),
        7 => VlanPcp(b[0]),
        8 => IpDscp(b[0]),
        9 => IpEcn(b[0]),
        10 => IpProto(b[0]),
        11 => Ipv4Src(masked(&halves, ipv4_at)),
        12 => Ipv4Dst(masked(&halves, ipv4_at)),
        13 => TcpSrc(u16_at(b, 0)),
        14 => TcpDst(u16_at(b, 0)),
        15 => UdpSrc(u16_at(b, 0)),
        16 => UdpDst(u16_at(b, 0)),
        17 => SctpSrc(u16_at(b, 0)),
        18 => SctpDst(u16_at(b, 0)),
        19 => Icmpv4Type(b[0]),
        20 => Icmpv4Code(b[0]),
        21 => ArpOp(u16_at(b, 0)),
        22 => ArpSpa(masked(&halves, ipv4_at)),
        23 => ArpTpa(masked(&halves, ipv4_at)),
        24 => ArpSha(masked(&halves, mac_at)),
        25 => ArpTha(masked(&halves, mac_at)),
        26 => Ipv6Src(masked(&halves, ipv6_at).into()),
        27 => Ipv6Dst(masked(&halves, ipv6_at).into()),
        28 => Ipv6Flabel(masked(&halves, u32_at)),
        29 => Icmpv6Type(b[0]),
        30 => Icmpv6Code(b[0]),
        31 => Ipv6NdTarget(masked(&halves, ipv6_at).into()),
        32 => Ipv6NdSll(mac_at(b, 0)),
        33 => Ipv6NdTll(mac_at(b, 0)),
        34 => MplsLabel(u32_at(b, 0)),
        35 => MplsTc(b[0]),
        36 => MplsBos(b[0] == 1),
        37 => PbbIsid(masked(&halves, u24_at)),
        38 => TunnelId(masked(&halves, u64_at).into()),
        _ => Ipv6Exthdr(masked(&halves, u16_at)),
    };
    Some((field, 4 + length))
}

/// An instruction (1.3.5 §7.2.4), its body behind type and length.
fn instruction(kind: u16, b: &[u8]) -> Option<Instruction> {
    let exactly = |length: usize| (b.len() == length).then_some(());
    let actions = || {
        let list = tlvs(b.get(4..)?)?.into_iter();
        list.map(|(kind, body)| action_13(kind, body)).collect::<Option<Vec<_>>>()
    };
    Some(match kind {
        1 => {
            exactly(4)?;
            Instruction::Goto(TableId(b[0]))
        }
        2 => {
            exactly(20)?;
            Instruction::WriteMetadata { metadata: u64_at(b, 4), mask: u64_at(b, 12) }
        }
        3 => Instruction::Write(actions()?.into()),
        4 => Instruction::Apply(actions()?.into()),
        5 => {
            exactly(4)?;
            Instruction::Clear
        }
        6 => {
            exactly(4)?;
            Instruction::Meter(u32_at(b, 0))
        }
        _ => Instruction::Raw { kind, body: b.to_vec() },
    })
}

/// An action of 1.3 (1.3.5 §7.2.5), its body behind type and length.
fn action_13(kind: u16, b: &[u8]) -> Option<Action> {
    let length = match kind {
        0 => 12,
        11 | 12 | 15..=24 | 26 | 27 => 4,
        _ => b.len(),
    };
    if b.len() != length {
        return None;
    }
    Some(match kind {
        0 => Action::Output { port: PortNo(u32_at(b, 0)), max_len: MaxLen(u16_at(b, 4)) },
        11 => Action::CopyTtlOut,
        12 => Action::CopyTtlIn,
        15 => Action::SetMplsTtl(b[0]),
        16 => Action::DecMplsTtl,
        17 => Action::PushVlan(u16_at(b, 0)),
        18 => Action::PopVlan,
        19 => Action::PushMpls(u16_at(b, 0)),
        20 => Action::PopMpls(u16_at(b, 0)),
        21 => Action::SetQueue(u32_at(b, 0)),
        22 => Action::Group(GroupId(u32_at(b, 0))),
        23 => Action::SetNwTtl(b[0]),
        24 => Action::DecNwTtl,
        25 => {
            let (field, length) = field(b)?;
            if b.len() - length > 7 {
                return None;
            }
            Action::SetField(field)
        }
        26 => Action::PushPbb(u16_at(b, 0)),
        27 => Action::PopPbb,
        _ => Action::raw(kind, b.to_vec()),
    })
}

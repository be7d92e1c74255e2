//! Actions on real bytes, and the checks that a switch makes before it accepts them (1.3.5 §5.12,
//! 1.0 §3.3). Pure.
//!
//! A set action whose header is missing from the packet changes nothing. Checksums stay right: those
//! that were wrong stay as wrong as they were (RFC 1624).

use umlaut_openflow::{
    Action, GroupId, Instruction, Masked, MatchField, MeterId, PortNo, TableId, Version, VlanMatch,
};

use super::error::Refusal;
use super::key::{Criteria, prerequisite};
use crate::layout::{
    ICMP, ICMPV6, IPV4, IPV6, Layout, Network, Packet, SERVICE_VLAN, TCP, UDP, VLAN, u16_at,
};

/// How many tags a frame may have after a push.
const MAX_TAGS: usize = 2;

/// Whether a switch accepts the instructions of an entry in `table` with these criteria. As in Open
/// vSwitch each action is first looked at by itself, then all in their context: that decides which of
/// several errors is told.
pub(crate) fn check_instructions(
    version: Version,
    instructions: &[Instruction],
    criteria: &Criteria,
    table: TableId,
    n_tables: u8,
) -> Result<(), Refusal> {
    let mut seen = Vec::new();
    for instruction in instructions {
        let kind = std::mem::discriminant(instruction);
        if seen.contains(&kind) {
            return Err(Refusal::INSTRUCTION_DUPLICATE);
        }
        seen.push(kind);
        match instruction {
            Instruction::Apply(actions) | Instruction::Write(actions) => {
                actions.iter().try_for_each(|action| check_form(version, action))?;
            }
            Instruction::Clear
            | Instruction::WriteMetadata { .. }
            | Instruction::Goto(_)
            | Instruction::Meter(_) => {}
            _ => return Err(Refusal::INSTRUCTION_UNKNOWN),
        }
    }
    let no_meter =
        |i: &Instruction| matches!(i, Instruction::Meter(id) if !(1..=MeterId::MAX.0).contains(id));
    if instructions.iter().any(no_meter) {
        return Err(Refusal::METER_INVALID);
    }
    let mut context = criteria.clone();
    let mut fits = true;
    for instruction in instructions {
        match instruction {
            Instruction::Apply(actions) => fits &= check_context(version, actions, &mut context)?,
            Instruction::Write(actions) => {
                fits &= check_context(version, actions, &mut context.clone())?;
            }
            _ => {}
        }
    }
    let backwards = |i: &Instruction| match i {
        Instruction::Goto(to) => to.0 <= table.0 || to.0 >= n_tables,
        _ => false,
    };
    match (instructions.iter().any(backwards), fits) {
        (true, _) => Err(Refusal::INSTRUCTION_BAD_TABLE),
        // Told last of all.
        (false, false) => Err(Refusal::ACTION_MATCH_INCONSISTENT),
        (false, true) => Ok(()),
    }
}

/// Puts instructions in the order in which they are executed (1.3.5 §5.9), in which Open vSwitch also
/// tells them.
pub(crate) fn in_order(instructions: &mut [Instruction]) {
    instructions.sort_by_key(|instruction| match instruction {
        Instruction::Meter(_) => 0,
        Instruction::Apply(_) => 1,
        Instruction::Clear => 2,
        Instruction::Write(_) => 3,
        Instruction::WriteMetadata { .. } => 4,
        _ => 5,
    });
}

/// Whether the groups and meters that the instructions of an entry name are there.
pub(crate) fn check_instruction_references(
    instructions: &[Instruction],
    has_group: &dyn Fn(GroupId) -> bool,
    has_meter: &dyn Fn(u32) -> bool,
) -> Result<(), Refusal> {
    for instruction in instructions {
        match instruction {
            Instruction::Apply(actions) | Instruction::Write(actions) => {
                check_references(actions, has_group)?;
            }
            Instruction::Meter(meter) if !has_meter(*meter) => return Err(Refusal::METER_INVALID),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a switch accepts the actions of a bucket, whatever packets come to it. As in Open vSwitch
/// what they need of a packet is not looked at, nor whether groups that they name are there.
pub(crate) fn check_bucket(version: Version, actions: &[Action]) -> Result<(), Refusal> {
    actions.iter().try_for_each(|action| check_form(version, action))
}

/// Whether a switch accepts an action list for a packet of which `context` is known.
pub(crate) fn check_actions(
    version: Version,
    actions: &[Action],
    mut context: Criteria,
    has_group: &dyn Fn(GroupId) -> bool,
) -> Result<(), Refusal> {
    actions.iter().try_for_each(|action| check_form(version, action))?;
    match check_context(version, actions, &mut context)? {
        true => check_references(actions, has_group),
        false => Err(Refusal::ACTION_MATCH_INCONSISTENT),
    }
}

/// Whether this version has the action, with such arguments.
fn check_form(version: Version, action: &Action) -> Result<(), Refusal> {
    let old = version == Version::V1_0;
    let argument = |ok: bool| if ok { Ok(()) } else { Err(Refusal::ACTION_BAD_ARGUMENT) };
    match action {
        Action::PopVlan => Ok(()),
        Action::Output { port, .. } => check_output(version, *port),
        Action::Enqueue { port, .. } if old => check_output(version, *port),
        Action::SetVlanVid(_) | Action::SetVlanPcp(_) if old => Ok(()),
        // Set-VID and set-priority with a number that no tag has room for.
        Action::Raw(raw) if old && matches!(raw.kind, 1 | 2) => Err(Refusal::ACTION_BAD_ARGUMENT),
        Action::PushVlan(tpid) if !old => argument(matches!(*tpid, VLAN | SERVICE_VLAN)),
        Action::SetField(field) => check_set(old, field),
        Action::SetNwTtl(_) | Action::DecNwTtl | Action::SetQueue(_) | Action::Group(_) if !old => {
            Ok(())
        }
        _ => Err(Refusal::ACTION_BAD_TYPE),
    }
}

fn check_set(old: bool, field: &MatchField) -> Result<(), Refusal> {
    let valid = match field {
        MatchField::EthDst(_)
        | MatchField::EthSrc(_)
        | MatchField::Ipv4Src(_)
        | MatchField::Ipv4Dst(_)
        | MatchField::TpSrc(_)
        | MatchField::TpDst(_) => true,
        MatchField::IpDscp(dscp) => *dscp < 64,
        _ if old => return Err(Refusal::ACTION_BAD_TYPE),
        MatchField::VlanVid(VlanMatch::Tagged(vid)) => *vid < 0x1000,
        MatchField::VlanPcp(pcp) => *pcp < 8,
        MatchField::IpEcn(ecn) => *ecn < 4,
        MatchField::Ipv6Flabel(label) => label.value < 1 << 20,
        MatchField::ArpOp(_)
        | MatchField::ArpSpa(_)
        | MatchField::ArpTpa(_)
        | MatchField::ArpSha(_)
        | MatchField::ArpTha(_)
        | MatchField::Ipv6Src(_)
        | MatchField::Ipv6Dst(_)
        | MatchField::TcpSrc(_)
        | MatchField::TcpDst(_)
        | MatchField::UdpSrc(_)
        | MatchField::UdpDst(_)
        | MatchField::Icmpv4Type(_)
        | MatchField::Icmpv4Code(_)
        | MatchField::Icmpv6Type(_)
        | MatchField::Icmpv6Code(_)
        | MatchField::Ipv6NdTarget(_) => true,
        // A field that the switch knows but does not write, or a VID without the bit that says
        // "present".
        MatchField::InPort(_)
        | MatchField::EthType(_)
        | MatchField::IpProto(_)
        | MatchField::VlanVid(_) => false,
        _ => return Err(Refusal::ACTION_BAD_SET_TYPE),
    };
    if valid { Ok(()) } else { Err(Refusal::ACTION_BAD_SET_ARGUMENT) }
}

/// Whether the actions fit packets of which `context` is known; it follows the tags that they push
/// and pop. False: they do not, if nothing else is wrong.
fn check_context(
    version: Version,
    actions: &[Action],
    context: &mut Criteria,
) -> Result<bool, Refusal> {
    let old = version == Version::V1_0;
    let mut all_fit = true;
    let mut tags = usize::from(context.has_tag());
    for action in actions {
        let fits = match action {
            Action::PopVlan => {
                let tagged = tags > 0;
                // Tags that were below the outermost one are not known.
                tags = tags.saturating_sub(1);
                context.assume_tag(tags > 0);
                // 1.0 lets actions stand that do nothing to some packets.
                old || tagged
            }
            Action::PushVlan(_) => {
                tags += 1;
                if tags > MAX_TAGS {
                    return Err(Refusal::ACTION_BAD_TAG);
                }
                context.assume_tag(true);
                true
            }
            Action::SetVlanVid(_) | Action::SetVlanPcp(_) => {
                tags = tags.max(1);
                context.assume_tag(true);
                true
            }
            Action::SetField(MatchField::VlanVid(_)) => tags > 0,
            Action::SetField(field) => old || context.satisfies(prerequisite(field)),
            Action::SetNwTtl(_) | Action::DecNwTtl => {
                matches!(context.eth_type(), Some(IPV4 | IPV6))
            }
            _ => true,
        };
        // Open vSwitch tells of some at once, of others when it has found nothing else.
        match action {
            _ if fits => {}
            Action::SetField(_) => return Err(Refusal::ACTION_MATCH_INCONSISTENT),
            _ => all_fit = false,
        }
    }
    Ok(all_fit)
}

fn check_references(
    actions: &[Action],
    has_group: &dyn Fn(GroupId) -> bool,
) -> Result<(), Refusal> {
    let dangling = |action: &Action| matches!(action, Action::Group(group) if !has_group(*group));
    match actions.iter().any(dangling) {
        true => Err(Refusal::ACTION_BAD_OUT_GROUP),
        false => Ok(()),
    }
}

/// Ordinary ports need not exist: output there is lost. As in Open vSwitch that goes for port 0 too.
fn check_output(version: Version, port: PortNo) -> Result<(), Refusal> {
    let highest = if version == Version::V1_0 { 0xfeff } else { PortNo::MAX.0 };
    match port {
        PortNo::IN_PORT
        | PortNo::TABLE
        | PortNo::NORMAL
        | PortNo::FLOOD
        | PortNo::ALL
        | PortNo::CONTROLLER
        | PortNo::LOCAL => Ok(()),
        PortNo(number) if number <= highest => Ok(()),
        _ => Err(Refusal::ACTION_BAD_OUT_PORT),
    }
}

/// Puts an action set in the order in which it is executed (1.3.5 §5.10); of each kind the last
/// written counts, of sets the last of each field.
pub(crate) fn in_set_order(written: &[Action]) -> Vec<Action> {
    let rank = |action: &Action| match action {
        Action::PopVlan => 0,
        Action::PushVlan(_) => 1,
        Action::SetNwTtl(_) | Action::DecNwTtl => 2,
        Action::SetField(_) => 3,
        Action::SetQueue(_) => 4,
        Action::Group(_) => 5,
        Action::Output { .. } => 6,
        _ => 3,
    };
    let same = |a: &Action, b: &Action| match (a, b) {
        (Action::SetField(a), Action::SetField(b)) => {
            std::mem::discriminant(a) == std::mem::discriminant(b)
        }
        (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
    };
    let mut set: Vec<Action> = Vec::new();
    for action in written {
        set.retain(|other| !same(other, action));
        set.push(action.clone());
    }
    // Where there is a group, the output is not done.
    if set.iter().any(|action| matches!(action, Action::Group(_))) {
        set.retain(|action| !matches!(action, Action::Output { .. }));
    }
    set.sort_by_key(rank);
    set
}

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Edited {
    /// It goes on.
    Whole,
    /// Its time to live ran out: the rest of the actions is not executed.
    Expired,
}

/// Applies an action that changes the frame; outputs and the like change nothing.
pub(crate) fn edit(packet: &mut Packet, action: &Action) -> Edited {
    let Some(found) = packet.layout() else { return Edited::Whole };
    match action {
        Action::PopVlan => packet.pop_tag(),
        Action::PushVlan(tpid) => {
            // A new tag takes VID and PCP from the one below it (1.3.5 §5.12.1).
            let tci = found.tag.map_or(0, |(_, tci)| tci & 0xefff);
            packet.push_tag(*tpid, tci);
        }
        Action::SetVlanVid(vid) => match found.tag {
            Some(_) => set_tag(&mut packet.bytes, &found, *vid & 0xfff, 0x0fff),
            None => packet.push_tag(VLAN, *vid & 0xfff),
        },
        Action::SetVlanPcp(pcp) => match found.tag {
            Some(_) => set_tag(&mut packet.bytes, &found, u16::from(*pcp) << 13, 0xe000),
            None => packet.push_tag(VLAN, u16::from(*pcp) << 13),
        },
        // Only in buckets, whose actions are not looked at in their context: as in Open vSwitch they
        // make the tag that they need.
        Action::SetField(MatchField::VlanVid(VlanMatch::Tagged(vid))) if found.tag.is_none() => {
            packet.push_tag(VLAN, *vid & 0xfff);
        }
        Action::SetField(MatchField::VlanPcp(pcp)) if found.tag.is_none() => {
            packet.push_tag(VLAN, u16::from(*pcp) << 13);
        }
        Action::SetField(field) => set_field(&mut packet.bytes, &found, field),
        Action::SetNwTtl(ttl) => set_ttl(&mut packet.bytes, &found, *ttl),
        Action::DecNwTtl => {
            let ttl = match found.network {
                Network::Ipv4(at) => packet.bytes[at + 8],
                Network::Ipv6(at) => packet.bytes[at + 7],
                Network::Arp(_) | Network::Other => return Edited::Whole,
            };
            if ttl <= 1 {
                return Edited::Expired;
            }
            set_ttl(&mut packet.bytes, &found, ttl - 1);
        }
        Action::SetQueue(queue) => packet.queue = *queue,
        _ => {}
    }
    Edited::Whole
}

fn set_tag(frame: &mut [u8], found: &Layout, bits: u16, mask: u16) {
    if let Some((_, tci)) = found.tag {
        // The CFI bit is cleared: in memory it is the bit that says "present".
        frame[14..16].copy_from_slice(&(tci & !mask & 0xefff | bits).to_be_bytes());
    }
}

fn set_field(frame: &mut [u8], found: &Layout, field: &MatchField) {
    match *field {
        MatchField::EthDst(Masked { value, .. }) => frame[0..6].copy_from_slice(&value.0),
        MatchField::EthSrc(Masked { value, .. }) => frame[6..12].copy_from_slice(&value.0),
        MatchField::VlanVid(VlanMatch::Tagged(vid)) => set_tag(frame, found, vid, 0xfff),
        MatchField::VlanPcp(pcp) => set_tag(frame, found, u16::from(pcp) << 13, 0xe000),
        MatchField::IpDscp(dscp) => set_tos(frame, found, dscp << 2, 0xfc),
        MatchField::IpEcn(ecn) => set_tos(frame, found, ecn, 0x03),
        MatchField::Ipv4Src(Masked { value, .. }) => set_ipv4(frame, found, 12, value.octets()),
        MatchField::Ipv4Dst(Masked { value, .. }) => set_ipv4(frame, found, 16, value.octets()),
        MatchField::Ipv6Src(ref m) => set_ipv6(frame, found, 8, m.value.octets()),
        MatchField::Ipv6Dst(ref m) => set_ipv6(frame, found, 24, m.value.octets()),
        MatchField::Ipv6Flabel(Masked { value, .. }) => {
            if let Network::Ipv6(at) = found.network {
                let [_, b, c, d] = value.to_be_bytes();
                frame[at + 1] = frame[at + 1] & 0xf0 | b;
                frame[at + 2..at + 4].copy_from_slice(&[c, d]);
            }
        }
        MatchField::TcpSrc(port) => set_port(frame, found, &[TCP], 0, port),
        MatchField::TcpDst(port) => set_port(frame, found, &[TCP], 2, port),
        MatchField::UdpSrc(port) => set_port(frame, found, &[UDP], 0, port),
        MatchField::UdpDst(port) => set_port(frame, found, &[UDP], 2, port),
        MatchField::TpSrc(port) => set_transport(frame, found, true, port),
        MatchField::TpDst(port) => set_transport(frame, found, false, port),
        MatchField::Icmpv4Type(kind) => set_icmp(frame, found, ICMP, 0, kind),
        MatchField::Icmpv4Code(code) => set_icmp(frame, found, ICMP, 1, code),
        MatchField::Icmpv6Type(kind) => set_icmp(frame, found, ICMPV6, 0, kind),
        MatchField::Icmpv6Code(code) => set_icmp(frame, found, ICMPV6, 1, code),
        MatchField::ArpOp(op) => set_arp(frame, found, 6, &op.to_be_bytes()),
        MatchField::ArpSha(Masked { value, .. }) => set_arp(frame, found, 8, &value.0),
        MatchField::ArpSpa(Masked { value, .. }) => set_arp(frame, found, 14, &value.octets()),
        MatchField::ArpTha(Masked { value, .. }) => set_arp(frame, found, 18, &value.0),
        MatchField::ArpTpa(Masked { value, .. }) => set_arp(frame, found, 24, &value.octets()),
        MatchField::Ipv6NdTarget(ref m) => {
            if let (ICMPV6, Some(at)) = (found.proto, found.transport)
                && frame.len() >= at + 24
                && matches!(frame[at], 135 | 136)
            {
                replace(frame, at + 8, &m.value.octets(), Some(at + 2));
            }
        }
        // Refused by the checks.
        _ => {}
    }
}

/// Writes `bytes` at `at` and keeps the one's complement checksum at `sum` right. Both are within
/// the frame, and `at` is at an even distance from the start of what is summed.
fn replace(frame: &mut [u8], at: usize, bytes: &[u8], sum: Option<usize>) {
    if let Some(sum) = sum {
        let mut total = u32::from(!u16_at(frame, sum));
        let old = &frame[at..at + bytes.len()];
        for (old, new) in old.chunks(2).zip(bytes.chunks(2)) {
            total += u32::from(!word(old)) + u32::from(word(new));
        }
        while total > 0xffff {
            total = (total & 0xffff) + (total >> 16);
        }
        frame[sum..sum + 2].copy_from_slice(&(!(total as u16)).to_be_bytes());
    }
    frame[at..at + bytes.len()].copy_from_slice(bytes);
}

fn word(bytes: &[u8]) -> u16 {
    match *bytes {
        [a, b, ..] => u16::from_be_bytes([a, b]),
        [a] => u16::from_be_bytes([a, 0]),
        [] => 0,
    }
}

/// Where the checksum of the transport layer is, if it covers the IP addresses.
fn pseudo_sum(frame: &[u8], found: &Layout) -> Option<usize> {
    let at = found.transport?;
    match (found.proto, found.network) {
        (TCP, _) => Some(at + 16),
        // A UDP checksum of zero says that there is none.
        (UDP, _) if u16_at(frame, at + 6) != 0 => Some(at + 6),
        (ICMPV6, Network::Ipv6(_)) => Some(at + 2),
        _ => None,
    }
}

/// A UDP checksum that came out as zero is sent as ones (RFC 768).
fn mend_udp(frame: &mut [u8], found: &Layout, sum: Option<usize>) {
    if let (UDP, Some(sum)) = (found.proto, sum)
        && u16_at(frame, sum) == 0
    {
        frame[sum..sum + 2].copy_from_slice(&[0xff, 0xff]);
    }
}

fn set_address(frame: &mut [u8], found: &Layout, at: usize, new: &[u8]) {
    let sum = pseudo_sum(frame, found);
    // The transport checksum first: it needs the old address still in place.
    if let Some(sum) = sum {
        let old = frame[at..at + new.len()].to_vec();
        replace(frame, at, new, Some(sum));
        frame[at..at + new.len()].copy_from_slice(&old);
        mend_udp(frame, found, Some(sum));
    }
}

fn set_ipv4(frame: &mut [u8], found: &Layout, offset: usize, new: [u8; 4]) {
    if let Network::Ipv4(at) = found.network {
        set_address(frame, found, at + offset, &new);
        replace(frame, at + offset, &new, Some(at + 10));
    }
}

fn set_ipv6(frame: &mut [u8], found: &Layout, offset: usize, new: [u8; 16]) {
    if let Network::Ipv6(at) = found.network {
        set_address(frame, found, at + offset, &new);
        replace(frame, at + offset, &new, None);
    }
}

fn set_tos(frame: &mut [u8], found: &Layout, bits: u8, mask: u8) {
    match found.network {
        Network::Ipv4(at) => {
            let tos = frame[at + 1] & !mask | bits;
            let version = frame[at];
            replace(frame, at, &[version, tos], Some(at + 10));
        }
        Network::Ipv6(at) => {
            let first = u16_at(frame, at);
            let class = ((first >> 4) as u8) & !mask | bits;
            let first = first & 0xf00f | u16::from(class) << 4;
            frame[at..at + 2].copy_from_slice(&first.to_be_bytes());
        }
        Network::Arp(_) | Network::Other => {}
    }
}

fn set_ttl(frame: &mut [u8], found: &Layout, ttl: u8) {
    match found.network {
        Network::Ipv4(at) => {
            let proto = frame[at + 9];
            replace(frame, at + 8, &[ttl, proto], Some(at + 10));
        }
        Network::Ipv6(at) => frame[at + 7] = ttl,
        Network::Arp(_) | Network::Other => {}
    }
}

fn set_port(frame: &mut [u8], found: &Layout, protos: &[u8], offset: usize, port: u16) {
    if let Some(at) = found.transport
        && protos.contains(&found.proto)
    {
        let sum = pseudo_sum(frame, found);
        replace(frame, at + offset, &port.to_be_bytes(), sum);
        mend_udp(frame, found, sum);
    }
}

/// The port actions of 1.0: for ICMP they set type and code, as Open vSwitch has it.
fn set_transport(frame: &mut [u8], found: &Layout, source: bool, value: u16) {
    match found.proto {
        ICMP | ICMPV6 => set_icmp(frame, found, found.proto, usize::from(!source), value as u8),
        _ => set_port(frame, found, &[TCP, UDP], if source { 0 } else { 2 }, value),
    }
}

fn set_icmp(frame: &mut [u8], found: &Layout, proto: u8, offset: usize, value: u8) {
    if let Some(at) = found.transport
        && found.proto == proto
    {
        let mut both = [frame[at], frame[at + 1]];
        both[offset] = value;
        replace(frame, at, &both, Some(at + 2));
    }
}

fn set_arp(frame: &mut [u8], found: &Layout, offset: usize, value: &[u8]) {
    if let Network::Arp(at) = found.network {
        replace(frame, at + offset, value, None);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use umlaut_openflow::{MacAddr, build};

    use super::*;
    use crate::layout::ARP;

    const A: MacAddr = MacAddr([0, 0, 0, 0, 0, 1]);
    const B: MacAddr = MacAddr([0, 0, 0, 0, 0, 2]);

    fn ip(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, last)
    }

    fn edited(frame: &[u8], actions: &[Action]) -> Vec<u8> {
        let mut packet = Packet::new(frame.to_vec());
        for action in actions {
            assert_eq!(edit(&mut packet, action), Edited::Whole);
        }
        packet.bytes
    }

    #[test]
    fn setting_addresses_and_ports_gives_the_frame_that_was_built_with_them() {
        type Build = fn(Ipv4Addr, Ipv4Addr, u16, u16, &[u8]) -> Vec<u8>;
        let udp: Build = build::udp;
        let tcp: Build = |a, b, s, d, data| build::tcp(a, b, s, d, 2, data);
        for (name, make) in [("udp", udp), ("tcp", tcp)] {
            for tags in [&[][..], &[(VLAN, 7)]] {
                let frame = |src, dst, sport, dport| {
                    build::ethernet(B, A, tags, IPV4, &make(src, dst, sport, dport, b"odd"))
                };
                let before = frame(ip(1), ip(2), 1000, 2000);
                let after = edited(
                    &before,
                    &[
                        Action::SetField(MatchField::Ipv4Src(ip(9).into())),
                        Action::SetField(MatchField::Ipv4Dst(ip(250).into())),
                        Action::SetField(MatchField::TpSrc(80)),
                        Action::SetField(MatchField::TpDst(65535)),
                    ],
                );
                assert_eq!(after, frame(ip(9), ip(250), 80, 65535), "{name} {tags:?}");
            }
        }
    }

    #[test]
    fn setting_ipv6_addresses_keeps_the_checksum_of_icmpv6() {
        let at = |n: u16| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n);
        let frame = |src, target| {
            build::ethernet(B, A, &[], IPV6, &build::neighbour_solicitation(A, src, target))
        };
        // The builder sends to the solicited node.
        let destination = build::solicited_node(at(8)).0;
        let after = edited(
            &frame(at(1), at(2)),
            &[
                Action::SetField(MatchField::Ipv6Src(at(7).into())),
                Action::SetField(MatchField::Ipv6NdTarget(at(8).into())),
                Action::SetField(MatchField::Ipv6Dst(destination.into())),
            ],
        );
        assert_eq!(after, frame(at(7), at(8)));
    }

    #[test]
    fn tags_are_pushed_set_and_popped() {
        let untagged = build::ethernet(B, A, &[], IPV4, &build::udp(ip(1), ip(2), 1, 2, b""));
        let with = |tags: &[(u16, u16)]| build::ethernet(B, A, tags, IPV4, &untagged[14..]);
        let set = |vid| Action::SetField(MatchField::VlanVid(VlanMatch::Tagged(vid)));
        // frame, actions, result
        let table: &[(Vec<u8>, &[Action], Vec<u8>)] = &[
            (with(&[]), &[Action::SetVlanVid(7)], with(&[(VLAN, 7)])),
            (with(&[(VLAN, 0x6005)]), &[Action::SetVlanVid(7)], with(&[(VLAN, 0x6007)])),
            (with(&[(VLAN, 0x6005)]), &[Action::SetVlanPcp(1)], with(&[(VLAN, 0x2005)])),
            (with(&[]), &[Action::SetVlanPcp(1)], with(&[(VLAN, 0x2000)])),
            (with(&[(VLAN, 5)]), &[Action::PopVlan], with(&[])),
            (with(&[]), &[Action::PopVlan], with(&[])),
            (with(&[]), &[Action::PushVlan(VLAN), set(9)], with(&[(VLAN, 9)])),
            (
                with(&[(VLAN, 0x6005)]),
                &[Action::PushVlan(SERVICE_VLAN), set(9)],
                with(&[(SERVICE_VLAN, 0x6009), (VLAN, 0x6005)]),
            ),
            (with(&[]), &[set(9)], with(&[(VLAN, 9)])),
        ];
        for (frame, actions, result) in table {
            assert_eq!(&edited(frame, actions), result, "{frame:02x?} {actions:?}");
        }
    }

    #[test]
    fn other_fields_are_set_with_their_checksums() {
        let base = build::ethernet(B, A, &[], IPV4, &build::icmp_echo(8, ip(1), ip(2), 3, 4, b"x"));
        let after = edited(
            &base,
            &[
                Action::SetField(MatchField::Icmpv4Type(0)),
                Action::SetField(MatchField::IpDscp(46)),
                Action::SetField(MatchField::IpEcn(1)),
                Action::SetNwTtl(3),
                Action::DecNwTtl,
            ],
        );
        assert_eq!(build::checksum(&[&after[14..34]]), 0, "header");
        assert_eq!(build::checksum(&[&after[34..]]), 0, "icmp");
        assert_eq!((after[15], after[22], after[34]), (46 << 2 | 1, 2, 0));
        let mut dying = Packet::new(edited(&base, &[Action::SetNwTtl(1)]));
        assert_eq!(edit(&mut dying, &Action::DecNwTtl), Edited::Expired);
    }

    #[test]
    fn no_action_panics_on_any_frame() {
        let set = Action::SetField;
        let actions = [
            Action::PopVlan,
            Action::PushVlan(VLAN),
            Action::SetVlanVid(1),
            set(MatchField::EthDst(A.into())),
            set(MatchField::Ipv4Src(ip(1).into())),
            set(MatchField::Ipv6Dst(Ipv6Addr::LOCALHOST.into())),
            set(MatchField::TpSrc(1)),
            set(MatchField::IpDscp(1)),
            set(MatchField::ArpTpa(ip(1).into())),
            set(MatchField::Icmpv6Code(1)),
            set(MatchField::Ipv6NdTarget(Ipv6Addr::LOCALHOST.into())),
            Action::DecNwTtl,
        ];
        let whole = [
            build::ethernet(B, A, &[(VLAN, 1)], IPV4, &build::udp(ip(1), ip(2), 1, 2, b"abc")),
            build::ethernet(B, A, &[], ARP, &build::arp(1, A, ip(1), B, ip(2))),
            build::ethernet(
                B,
                A,
                &[],
                IPV6,
                &build::neighbour_solicitation(A, Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST),
            ),
        ];
        for frame in &whole {
            for len in 0..=frame.len() {
                for action in &actions {
                    let mut cut = Packet::new(frame[..len].to_vec());
                    edit(&mut cut, action);
                    assert!(cut.bytes.len() <= len + 4);
                }
            }
        }
    }
}

//! The same messages cut by hand: what the codec is compared with, in value by tests and in time by
//! benchmarks. Written from the specification's offsets, without a parser.

use umlaut_openflow::{
    BufferId, Cookie, DatapathId, Features, Header, MacAddr, Message, PacketIn, PacketInReason,
    Port, PortConfig, PortNo, PortState, TableId, Version, Xid,
};

/// What decoding gives of a message: the same as the codec, so that both do the same work.
pub(crate) type Cut<'a> = Option<(Header, Message<'a>)>;

fn header(b: &[u8]) -> Header {
    Header { version: Version(b[0]), kind: b[1], length: u16_at(b, 2), xid: Xid(u32_at(b, 4)) }
}

fn u16_at(b: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([b[at], b[at + 1]])
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from(u32_at(b, at)) << 32 | u64::from(u32_at(b, at + 4))
}

fn buffer(id: u32) -> Option<BufferId> {
    (id != 0xffff_ffff).then_some(BufferId(id))
}

/// A whole message of 1.0 with a packet-in.
#[inline(never)]
pub(crate) fn packet_in_10(message: &[u8]) -> Cut<'_> {
    if message.len() < 18 || message[0] != 1 || message[1] != 10 {
        return None;
    }
    if usize::from(u16_at(message, 2)) != message.len() {
        return None;
    }
    let packet = PacketIn {
        buffer_id: buffer(u32_at(message, 8)),
        total_len: u16_at(message, 12),
        in_port: PortNo::from_v10(u16_at(message, 14)),
        reason: PacketInReason(message[16]),
        table_id: TableId(0),
        cookie: Cookie(u64::MAX),
        pipeline: (&[][..]).into(),
        data: message[18..].into(),
    };
    Some((header(message), Message::PacketIn(packet)))
}

/// Bytes of each field of the basic class (1.3.5 table 12).
const WIDTHS: [u8; 40] = [
    4, 4, 8, 6, 6, 2, 2, 1, 1, 1, 1, 4, 4, 2, 2, 2, 2, 2, 2, 1, 1, 2, 4, 4, 6, 6, 16, 16, 4, 1, 1,
    16, 6, 6, 4, 1, 1, 3, 8, 2,
];

/// A whole message of 1.3 with a packet-in.
#[inline(never)]
pub(crate) fn packet_in_13(message: &[u8]) -> Cut<'_> {
    if message.len() < 34 || message[0] != 4 || message[1] != 10 {
        return None;
    }
    if usize::from(u16_at(message, 2)) != message.len() || u16_at(message, 24) != 1 {
        return None;
    }
    let match_len = usize::from(u16_at(message, 26));
    let end = 24 + match_len.div_ceil(8) * 8;
    if match_len < 4 || end + 2 > message.len() {
        return None;
    }
    let list = &message[28..24 + match_len];
    let mut in_port = None;
    let mut at = 0;
    while at < list.len() {
        let head = list.get(at..at + 4)?;
        let (class, field, has_mask, len) =
            (u16_at(head, 0), head[2] >> 1, head[2] & 1, usize::from(head[3]));
        let body = list.get(at + 4..at + 4 + len)?;
        match WIDTHS.get(usize::from(field)).filter(|_| class == 0x8000) {
            Some(width) if len != usize::from(*width) << has_mask => return None,
            Some(_) => {}
            None if len == 0 || class == 0xffff && len < 4 || has_mask == 1 && len % 2 != 0 => {
                return None;
            }
            None => {}
        }
        if class == 0x8000 && field == 0 && in_port.is_none() {
            in_port = Some(if has_mask == 1 { PortNo::ANY } else { PortNo(u32_at(body, 0)) });
        }
        at += 4 + len;
    }
    let in_port = in_port.unwrap_or(PortNo::ANY);
    let alone = list.is_empty()
        || list.len() == 8 && list[..4] == [0x80, 0, 0, 4] && in_port != PortNo::ANY;
    let packet = PacketIn {
        buffer_id: buffer(u32_at(message, 8)),
        total_len: u16_at(message, 12),
        in_port,
        reason: PacketInReason(message[14]),
        table_id: TableId(message[15]),
        cookie: Cookie(u64_at(message, 16)),
        pipeline: if alone { (&[][..]).into() } else { list.into() },
        data: message[end + 2..].into(),
    };
    Some((header(message), Message::PacketIn(packet)))
}

/// A whole message of 1.0 with a features reply.
#[inline(never)]
pub(crate) fn features_10(message: &[u8]) -> Cut<'_> {
    if message.len() < 32 || message[0] != 1 || message[1] != 6 {
        return None;
    }
    if usize::from(u16_at(message, 2)) != message.len() {
        return None;
    }
    let list = &message[32..];
    if !list.len().is_multiple_of(48) {
        return None;
    }
    let mut ports = Vec::with_capacity(list.len() / 48);
    for p in list.chunks_exact(48) {
        let mut name = [0; 16];
        name.copy_from_slice(&p[8..24]);
        ports.push(Port {
            port_no: PortNo::from_v10(u16_at(p, 0)),
            hw_addr: MacAddr([p[2], p[3], p[4], p[5], p[6], p[7]]),
            name,
            config: PortConfig(u32_at(p, 24)),
            state: PortState(u32_at(p, 28)),
            curr: u32_at(p, 32),
            advertised: u32_at(p, 36),
            supported: u32_at(p, 40),
            peer: u32_at(p, 44),
            curr_speed: 0,
            max_speed: 0,
        });
    }
    let features = Features {
        dpid: DatapathId(u64_at(message, 8)),
        n_buffers: u32_at(message, 16),
        n_tables: message[20],
        auxiliary_id: 0,
        capabilities: u32_at(message, 24),
        actions: u32_at(message, 28),
        ports,
    };
    Some((header(message), Message::FeaturesReply(features)))
}

//! Messages that differ from earlier ones in addresses and ports only: copied, and these put in. Pure.
//!
//! The entries of frames that agree in EtherType, VLAN, IP protocol, time-outs and what is done to
//! them have the same bytes but for addresses and ports, and so have the packet-outs of such frames. What the encoder made of
//! the first of a kind is kept as its stencil; a stencil is only cut where the values are found at
//! their places, so that it can never say anything but what the encoder would
//! (`tests::a_stencil_says_what_the_encoder_says`).

use std::net::Ipv4Addr;

use bytes::{BufMut, BytesMut};
use umlaut_openflow::packet::{Field, Fragment, Headers, Tag};
use umlaut_openflow::{Cookie, FieldSet, MacAddr, PortNo, Version, Vid, Xid};

use crate::program::{IPV4, MIN_FRAME};

/// Stencils that a switch keeps; a further one takes the place of the oldest.
const STENCILS: usize = 4;

/// What the entries of paths match that a stencil can have put in, or have in common.
const STENCILLED: FieldSet = FieldSet::LAYER_2
    .union(FieldSet::IP_PROTO)
    .union(FieldSet::IPV4_SRC)
    .union(FieldSet::IPV4_DST)
    .union(FieldSet::TP_SRC)
    .union(FieldSet::TP_DST)
    .union(FieldSet::FRAGMENT);

/// What messages of one stencil have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    width: FieldSet,
    eth_type: Field<u16>,
    tag: Tag,
    ip_proto: Field<u8>,
    /// Which of [`Value::MORE`] there are, a bit each.
    present: u8,
    vid: Vid,
    timeouts: (u16, u16),
    /// Out of the port where they came in.
    back: bool,
}

impl Shape {
    /// The shape of the entry of such frames; `None` where it matches what no stencil knows of.
    #[inline]
    pub(super) fn new(
        width: FieldSet,
        headers: &Headers,
        vid: Vid,
        timeouts: (u16, u16),
        (in_port, out_port): (PortNo, PortNo),
    ) -> Option<Shape> {
        let back = in_port == out_port;
        let Headers { eth_type, tag, .. } = *headers;
        let mut shape = Shape {
            width,
            eth_type,
            tag,
            ip_proto: Field::Absent,
            present: 0,
            vid,
            timeouts,
            back,
        };
        if width.without(FieldSet::LAYER_2).is_empty() {
            return Some(shape);
        }
        // Where the transport header cannot be matched the encoder is not asked either.
        let whole = headers.fragment == Fragment::No || !width.intersects(FieldSet::TRANSPORT);
        if !STENCILLED.contains(width) || eth_type != Field::Is(IPV4) || !whole {
            return None;
        }
        if width.contains(FieldSet::IP_PROTO) {
            shape.ip_proto = Field::Is(headers.ip_proto.value()?);
        }
        let mut note = |bit: u8, field: FieldSet, is: Field<bool>| match is {
            _ if !width.contains(field) => Some(()),
            Field::Absent => Some(()),
            Field::Is(true) => {
                shape.present |= 1 << bit;
                Some(())
            }
            Field::Is(false) | Field::Unknown => None,
        };
        let address = |field: Field<_>| match field {
            Field::Is(_) => Field::Is(true),
            Field::Absent => Field::Absent,
            Field::Unknown => Field::Unknown,
        };
        // Port 0 cannot be matched.
        let port = |field: Field<u16>| match field {
            Field::Is(port) => Field::Is(port != 0),
            Field::Absent => Field::Absent,
            Field::Unknown => Field::Unknown,
        };
        note(0, FieldSet::IPV4_SRC, address(headers.ipv4_src))?;
        note(1, FieldSet::IPV4_DST, address(headers.ipv4_dst))?;
        note(2, FieldSet::TP_SRC, port(headers.tp_src))?;
        note(3, FieldSet::TP_DST, port(headers.tp_dst))?;
        Some(shape)
    }
}

impl Shape {
    /// The shape of the entry of a pair of hosts, whatever they send and whatever the ports are: an
    /// application that sends frames back means what it says.
    #[inline]
    pub(super) fn of_pair(timeouts: (u16, u16)) -> Shape {
        Shape {
            width: FieldSet::ETH_SRC.union(FieldSet::ETH_DST),
            eth_type: Field::Absent,
            tag: Tag::None,
            ip_proto: Field::Absent,
            present: 0,
            vid: Vid::Untagged,
            timeouts,
            back: false,
        }
    }
}

/// What messages of one shape differ in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    pub(super) in_port: PortNo,
    pub(super) eth_src: MacAddr,
    pub(super) eth_dst: MacAddr,
    /// Where a shape has more than addresses of hosts.
    pub(super) headers: Option<&'a Headers>,
    pub(super) out_port: PortNo,
    pub(super) cookie: Cookie,
}

impl<'a> Values<'a> {
    /// Those of a path's frame.
    #[inline]
    pub(super) fn of_frame(
        (in_port, out_port): (PortNo, PortNo),
        headers: &'a Headers,
        cookie: Cookie,
    ) -> Values<'a> {
        let Headers { eth_src, eth_dst, .. } = *headers;
        Values { in_port, eth_src, eth_dst, headers: Some(headers), out_port, cookie }
    }
}

/// A value in the match of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Value {
    InPort,
    EthDst,
    EthSrc,
    // What only some shapes have.
    Ipv4Src,
    Ipv4Dst,
    TpSrc,
    TpDst,
}

impl Value {
    /// Those that only some shapes have, in the order of [`Shape::present`].
    const MORE: [Value; 4] = [Value::Ipv4Src, Value::Ipv4Dst, Value::TpSrc, Value::TpDst];

    /// Its place in the `ofp_match` of 1.0 (1.0 §5.2.3), counted from the message's start.
    const fn place_in_1_0(self) -> usize {
        match self {
            Value::InPort => 12,
            Value::EthSrc => 14,
            Value::EthDst => 20,
            Value::Ipv4Src => 36,
            Value::Ipv4Dst => 40,
            Value::TpSrc => 44,
            Value::TpDst => 46,
        }
    }

    /// Whether an OXM field of the basic class is this value (1.3.5 §7.2.3.7, table 12).
    const fn is_oxm(self, field: u8) -> bool {
        match self {
            Value::InPort => field == 0,
            Value::EthDst => field == 3,
            Value::EthSrc => field == 4,
            Value::Ipv4Src => field == 11,
            Value::Ipv4Dst => field == 12,
            Value::TpSrc => matches!(field, 13 | 15 | 17),
            Value::TpDst => matches!(field, 14 | 16 | 18),
        }
    }

    /// Where it stands in an entry.
    fn place(self, version: Version, entry: &[u8]) -> Option<usize> {
        if version == Version::V1_0 {
            return Some(self.place_in_1_0());
        }
        // The match of a flow-mod of 1.3 begins at byte 48 (1.3.5 §7.3.4.1): type, length, OXM fields.
        let length = u16::from_be_bytes(entry.get(50..52)?.try_into().ok()?);
        let fields = entry.get(52..48 + usize::from(length))?;
        let mut at = 0;
        loop {
            let [0x80, 0x00, field, bytes] = fields.get(at..at + 4)? else { return None };
            // The lowest bit tells of a mask.
            if field & 1 == 0 && self.is_oxm(field >> 1) {
                return Some(52 + at + 4);
            }
            at += 4 + usize::from(*bytes);
        }
    }

    /// Puts one in that only some shapes have.
    fn put(self, headers: &Headers, to: &mut [u8]) {
        let port = |port: Field<u16>| port.value().unwrap_or_default().to_be_bytes();
        match self {
            Value::InPort | Value::EthDst | Value::EthSrc => {}
            Value::Ipv4Src => to[..4].copy_from_slice(&octets(headers.ipv4_src)),
            Value::Ipv4Dst => to[..4].copy_from_slice(&octets(headers.ipv4_dst)),
            Value::TpSrc => to[..2].copy_from_slice(&port(headers.tp_src)),
            Value::TpDst => to[..2].copy_from_slice(&port(headers.tp_dst)),
        }
    }
}

fn octets(address: Field<Ipv4Addr>) -> [u8; 4] {
    address.value().map_or([0; 4], |address| address.octets())
}

/// The two messages of a shape: the entry, and the packet-out up to its frame.
#[derive(Clone, Debug)]
pub(super) struct Stencil {
    shape: Shape,
    /// One behind the other.
    bytes: Vec<u8>,
    entry: usize,
    at: Places,
    /// Where the values stand that only some shapes have.
    more: Vec<(Value, usize)>,
}

/// Where values stand, counted from the start of the entry.
#[derive(Clone, Copy, Debug)]
struct Places {
    in_port: usize,
    eth_dst: usize,
    eth_src: usize,
    cookie: usize,
    out_in_port: usize,
    /// The ports of the outputs of both; none where frames go back.
    outputs: Option<[usize; 2]>,
}

const XID: usize = 4;
const LENGTH: usize = 2;

fn cookie_place(version: Version) -> usize {
    if version == Version::V1_0 { 48 } else { 8 }
}

/// A port has two bytes in 1.0 (1.0 §5.2.3, 5.3.3, 5.3.6), four in 1.3 (1.3.5 §7.2.5, 7.3.4.1, 7.3.7).
#[inline]
fn put_port(bytes: &mut [u8], at: usize, port: PortNo, version: Version) {
    let four = port.0.to_be_bytes();
    match version {
        Version::V1_0 => bytes[at..at + 2].copy_from_slice(&four[2..]),
        _ => bytes[at..at + 4].copy_from_slice(&four),
    }
}

/// The cookie of an entry as it is on the wire; of what is too short, none.
pub(super) fn cookie_of(version: Version, entry: &[u8]) -> Cookie {
    let bytes = entry.get(cookie_place(version)..).and_then(|rest| rest.first_chunk());
    Cookie(bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes)))
}

impl Stencil {
    /// Keeps two messages as a stencil: `entry`, and `out` with a frame of `frame` bytes. `None`
    /// where their values do not stand at their places.
    fn cut(
        version: Version,
        shape: Shape,
        values: &Values<'_>,
        entry: &[u8],
        (out, frame): (&[u8], usize),
    ) -> Option<Stencil> {
        let out = &out[..out.len().checked_sub(frame)?];
        // An output's port, counted from the end, where its action is the last.
        let output = if version == Version::V1_0 { 4 } else { 12 };
        if entry.len() < 72 || out.len() < 16 + output {
            return None;
        }
        let place = |value: Value| value.place(version, entry);
        let mut more = Vec::new();
        for (bit, value) in Value::MORE.into_iter().enumerate() {
            if shape.present & 1 << bit != 0 {
                more.push((value, place(value)?));
            }
        }
        let bytes = [entry, out].concat();
        let at = Places {
            in_port: place(Value::InPort)?,
            eth_dst: place(Value::EthDst)?,
            eth_src: place(Value::EthSrc)?,
            cookie: cookie_place(version),
            out_in_port: entry.len() + 12,
            outputs: (!shape.back).then_some([entry.len() - output, bytes.len() - output]),
        };
        let stencil = Stencil { shape, bytes, entry: entry.len(), at, more };
        // Put in again, the values must give the same messages.
        let mut again = stencil.bytes.clone();
        stencil.put_values(version, values, &mut again);
        (again == stencil.bytes).then_some(stencil)
    }

    #[inline]
    fn put_values(&self, version: Version, values: &Values<'_>, to: &mut [u8]) {
        let at = self.at;
        to[at.cookie..at.cookie + 8].copy_from_slice(&values.cookie.0.to_be_bytes());
        put_port(to, at.in_port, values.in_port, version);
        to[at.eth_dst..at.eth_dst + 6].copy_from_slice(&values.eth_dst.0);
        to[at.eth_src..at.eth_src + 6].copy_from_slice(&values.eth_src.0);
        if let Some(headers) = values.headers {
            for (value, at) in &self.more {
                value.put(headers, &mut to[*at..]);
            }
        }
        put_port(to, at.out_in_port, values.in_port, version);
        if let Some([entry, out]) = at.outputs {
            put_port(to, entry, values.out_port, version);
            put_port(to, out, values.out_port, version);
        }
    }

    /// Appends the entry and the packet-out of a frame, which is padded.
    #[inline]
    fn put(
        &self,
        version: Version,
        xids: [Xid; 2],
        values: &Values<'_>,
        frame: &[u8],
        to: &mut BytesMut,
    ) {
        let padding = MIN_FRAME.saturating_sub(frame.len());
        let length = self.bytes.len() + frame.len() + padding;
        to.reserve(length);
        let from = to.len();
        to.extend_from_slice(&self.bytes);
        let both = &mut to[from..];
        both[XID..XID + 4].copy_from_slice(&xids[0].0.to_be_bytes());
        let out = &mut both[self.entry..];
        out[XID..XID + 4].copy_from_slice(&xids[1].0.to_be_bytes());
        let length = (length - self.entry) as u16;
        out[LENGTH..LENGTH + 2].copy_from_slice(&length.to_be_bytes());
        self.put_values(version, values, both);
        to.extend_from_slice(frame);
        if padding > 0 {
            to.put_bytes(0, padding);
        }
    }
}

/// The stencils of one switch.
#[derive(Default)]
pub(super) struct Stencils {
    kept: Vec<Stencil>,
    oldest: usize,
}

impl Stencils {
    /// Whether a shape has a stencil: then its entries can be expressed.
    pub(super) fn has(&self, shape: &Shape) -> bool {
        self.kept.iter().any(|one| one.shape == *shape)
    }

    /// Appends the messages of a shape, if it has a stencil; tells the length of the entry then.
    #[inline]
    pub(super) fn put(
        &self,
        version: Version,
        shape: &Shape,
        xids: [Xid; 2],
        values: &Values<'_>,
        frame: &[u8],
        to: &mut BytesMut,
    ) -> Option<usize> {
        // A frame that no message has room for is the encoder's to refuse.
        let fits = frame.len() < 0xff00;
        let stencil = self.kept.iter().find(|one| one.shape == *shape && fits)?;
        stencil.put(version, xids, values, frame, to);
        Some(stencil.entry)
    }

    /// Keeps what the encoder made of a shape.
    pub(super) fn keep(
        &mut self,
        version: Version,
        shape: Shape,
        values: &Values<'_>,
        entry: &[u8],
        out: (&[u8], usize),
    ) {
        let Some(stencil) = Stencil::cut(version, shape, values, entry, out) else { return };
        if self.kept.len() < STENCILS {
            self.kept.push(stencil);
        } else {
            self.kept[self.oldest] = stencil;
            self.oldest = (self.oldest + 1) % STENCILS;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use umlaut_openflow::{MacAddr, Message, PacketOut, VlanId, encode};

    use super::*;
    use crate::command::HopEntry;
    use crate::hosts::Domain;
    use crate::path::{Mark, PathRef, SessionNo};
    use crate::plan::flow_mod;
    use crate::program::{forward_actions, padded};

    /// The entry and the packet-out as the encoder writes them.
    fn encoded(version: Version, entry: &HopEntry, xids: [Xid; 2], frame: &[u8]) -> [BytesMut; 2] {
        let mut messages = [BytesMut::new(), BytesMut::new()];
        let flow_mod = flow_mod(version, entry, 1).unwrap();
        encode(version, xids[0], &Message::FlowMod(flow_mod), &mut messages[0]).unwrap();
        let (tag, out_port) = (entry.headers.tag, entry.out_port);
        let mut room = [0; MIN_FRAME];
        let out = PacketOut {
            buffer_id: None,
            in_port: entry.in_port,
            actions: forward_actions(version, entry.in_port, tag, out_port, entry.vid),
            data: padded(frame, &mut room).into(),
        };
        encode(version, xids[1], &Message::PacketOut(out), &mut messages[1]).unwrap();
        messages
    }

    fn vids() -> impl Strategy<Value = Vid> {
        let tagged = (1u16..20).prop_map(|vid| Vid::Tagged(VlanId::new(vid).unwrap()));
        prop_oneof![Just(Vid::Untagged), tagged]
    }

    type Frame = (u32, u32, u64, u64, u32, usize);

    fn frame() -> impl Strategy<Value = Frame> {
        (1u32..0xff00, 1u32..0xff00, 0u64..1 << 48, 0u64..1 << 48, 0u32..1 << 20, 14usize..200)
    }

    /// Narrow, with what UDP has, with what ICMP lacks.
    const WIDTHS: [FieldSet; 4] = [
        FieldSet::LAYER_2,
        FieldSet::LAYER_2.union(FieldSet::IPV4_DST),
        FieldSet::LAYER_2.union(FieldSet::TP_DST),
        STENCILLED,
    ];

    fn entry(
        (in_port, out_port, src, dst, slot, _): Frame,
        tag: Vid,
        vid: Vid,
        (width, proto): (usize, u8),
    ) -> HopEntry {
        let ports = |port: u64| match proto {
            1 => Field::Absent,
            _ => Field::Is(port as u16),
        };
        let headers = Headers {
            eth_src: MacAddr::from_u64(src),
            eth_dst: MacAddr::from_u64(dst),
            eth_type: Field::Is(0x0800),
            tag: match tag {
                Vid::Untagged => Tag::None,
                Vid::Tagged(vid) => Tag::Vlan { vid, pcp: 0 },
            },
            ip_proto: Field::Is(proto),
            ipv4_src: Field::Is(Ipv4Addr::from_bits(src as u32)),
            ipv4_dst: Field::Is(Ipv4Addr::from_bits(dst as u32)),
            tp_src: ports(src),
            tp_dst: ports(dst),
            ..Headers::default()
        };
        HopEntry {
            path: PathRef { session: SessionNo(3), slot, generation: 9 },
            mark: Mark::ONLY,
            domain: Domain(0),
            in_port: PortNo(in_port),
            headers,
            width: WIDTHS[width].with_prerequisites(),
            out_port: PortNo(out_port),
            vid: Some(vid),
            idle_timeout: 60,
            hard_timeout: 0,
        }
    }

    fn shape_and_values(entry: &HopEntry) -> (Option<Shape>, Values<'_>) {
        let ports = (entry.in_port, entry.out_port);
        let timeouts = (entry.idle_timeout, entry.hard_timeout);
        let vid = entry.vid.unwrap();
        let shape = Shape::new(entry.width, &entry.headers, vid, timeouts, ports);
        let (headers, cookie) = (&entry.headers, entry.path.cookie(1, entry.mark));
        (shape, Values::of_frame(ports, headers, cookie))
    }

    proptest! {
        #[test]
        fn a_stencil_says_what_the_encoder_says(
            v10 in any::<bool>(), first in frame(), second in frame(), tag in vids(), vid in vids(),
            back in any::<bool>(), kind in (0..WIDTHS.len(), prop_oneof![Just(1u8), Just(6), Just(17)]),
        ) {
            let version = if v10 { Version::V1_0 } else { Version::V1_3 };
            let turned = |frame: Frame| if back { (frame.0, frame.0, frame.2, frame.3, frame.4, frame.5) } else { frame };
            let (first, second) = (turned(first), turned(second));
            prop_assume!((first.0 == first.1) == (second.0 == second.1));
            let mut stencils = Stencils::default();
            let one = entry(first, tag, vid, kind);
            let (shape, values) = shape_and_values(&one);
            // Port 0 has no shape and no entry.
            let Some(shape) = shape else {
                prop_assert!(flow_mod(version, &one, 1).is_err());
                return Ok(());
            };
            let bytes = vec![7; first.5];
            let [made, out] = encoded(version, &one, [Xid(1), Xid(2)], &bytes);
            stencils.keep(version, shape, &values, &made, (&out, first.5.max(MIN_FRAME)));

            let other = entry(second, tag, vid, kind);
            let (again, values) = shape_and_values(&other);
            let Some(again) = again else { return Ok(()) };
            prop_assert_eq!(again, shape);
            let xids = [Xid(77), Xid(78)];
            let bytes = vec![8; second.5];
            let mut put = BytesMut::from(&b"before"[..]);
            prop_assert!(stencils.put(version, &shape, xids, &values, &bytes, &mut put).is_some(), "{made:?}");
            let [made, out] = encoded(version, &other, xids, &bytes);
            prop_assert_eq!(&put[..], &[&b"before"[..], &made, &out].concat()[..]);
        }
    }
}

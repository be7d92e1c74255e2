//! Messages that differ from earlier ones in addresses and ports only: copied, and these put in. Pure.
//!
//! The entries of frames that agree in EtherType, VLAN, time-outs and what is done to them have the
//! same bytes but for six values, and so have the packet-outs of such frames. What the encoder made of
//! the first of a kind is kept as its stencil; a stencil is only cut where the values are found at
//! their places, so that it can never say anything but what the encoder would
//! (`tests::a_stencil_says_what_the_encoder_says`).

use bytes::{BufMut, BytesMut};
use umlaut_openflow::packet::{Field, Headers, Tag};
use umlaut_openflow::{Cookie, FieldSet, MacAddr, PortNo, Version, Vid, Xid};

use crate::program::MIN_FRAME;

/// Stencils that a switch keeps; a further one takes the place of the oldest.
const STENCILS: usize = 4;

/// What messages of one stencil have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    width: FieldSet,
    eth_type: Field<u16>,
    tag: Tag,
    vid: Vid,
    timeouts: (u16, u16),
    /// Out of the port where they came in.
    back: bool,
}

impl Shape {
    /// The shape of the entry of such frames; `None` where they match more than layer 2.
    pub(super) fn new(
        width: FieldSet,
        headers: &Headers,
        vid: Vid,
        timeouts: (u16, u16),
        (in_port, out_port): (PortNo, PortNo),
    ) -> Option<Shape> {
        let back = in_port == out_port;
        let Headers { eth_type, tag, .. } = *headers;
        width.without(FieldSet::LAYER_2).is_empty().then_some(Shape {
            width,
            eth_type,
            tag,
            vid,
            timeouts,
            back,
        })
    }
}

/// What messages of one shape differ in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values {
    pub(super) in_port: PortNo,
    pub(super) src: MacAddr,
    pub(super) dst: MacAddr,
    pub(super) out_port: PortNo,
    pub(super) cookie: Cookie,
}

/// The two messages of a shape: the entry, and the packet-out up to its frame.
#[derive(Clone, Debug)]
pub(super) struct Stencil {
    shape: Shape,
    entry: Vec<u8>,
    out: Vec<u8>,
}

/// Where the values stand in the two messages; the ports of outputs are counted from the end.
struct Places {
    cookie: usize,
    entry_in_port: usize,
    dst: usize,
    src: usize,
    out_in_port: usize,
    output: usize,
    /// Ports have two bytes in 1.0 (1.0 §5.3.3, 5.3.6), four in 1.3 (1.3.5 §7.3.4.1, 7.3.7).
    port_bytes: usize,
}

const IN_1_0: Places = Places {
    cookie: 48,
    entry_in_port: 12,
    dst: 20,
    src: 14,
    out_in_port: 12,
    output: 4,
    port_bytes: 2,
};
const IN_1_3: Places = Places {
    cookie: 8,
    entry_in_port: 56,
    dst: 64,
    src: 74,
    out_in_port: 12,
    output: 12,
    port_bytes: 4,
};

const XID: usize = 4;
const LENGTH: usize = 2;

fn places(version: Version) -> &'static Places {
    if version == Version::V1_0 { &IN_1_0 } else { &IN_1_3 }
}

fn put_port(bytes: &mut [u8], at: usize, port: PortNo, places: &Places) {
    let four = port.0.to_be_bytes();
    bytes[at..at + places.port_bytes].copy_from_slice(&four[4 - places.port_bytes..]);
}

fn has_port(bytes: &[u8], at: usize, port: PortNo, places: &Places) -> bool {
    bytes.get(at..at + places.port_bytes) == Some(&port.0.to_be_bytes()[4 - places.port_bytes..])
}

impl Stencil {
    /// Keeps two messages as a stencil: `entry`, and `out` with a frame of `frame` bytes. `None`
    /// where their values do not stand at their places.
    fn cut(
        version: Version,
        shape: Shape,
        values: Values,
        entry: &[u8],
        (out, frame): (&[u8], usize),
    ) -> Option<Stencil> {
        let places = places(version);
        let out = &out[..out.len().checked_sub(frame)?];
        let output = if shape.back { PortNo::IN_PORT } else { values.out_port };
        let stands = |at: usize, value: &[u8]| entry.get(at..at + value.len()) == Some(value);
        let ends = |bytes: &[u8]| bytes.len().checked_sub(places.output);
        let found = stands(places.cookie, &values.cookie.0.to_be_bytes())
            && stands(places.dst, &values.dst.0)
            && stands(places.src, &values.src.0)
            && has_port(entry, places.entry_in_port, values.in_port, places)
            && has_port(out, places.out_in_port, values.in_port, places)
            && has_port(entry, ends(entry)?, output, places)
            && has_port(out, ends(out)?, output, places);
        found.then(|| Stencil { shape, entry: entry.to_vec(), out: out.to_vec() })
    }

    /// Appends the entry and the packet-out of a frame, which is padded.
    fn put(
        &self,
        version: Version,
        xids: [Xid; 2],
        values: Values,
        frame: &[u8],
        to: &mut BytesMut,
    ) {
        let places = places(version);
        let length = self.out.len() + frame.len().max(MIN_FRAME);
        to.reserve(self.entry.len() + length);
        let entry_at = to.len();
        to.put_slice(&self.entry);
        to.put_slice(&self.out);
        let (entry, out) = to[entry_at..].split_at_mut(self.entry.len());
        entry[XID..XID + 4].copy_from_slice(&xids[0].0.to_be_bytes());
        entry[places.cookie..places.cookie + 8].copy_from_slice(&values.cookie.0.to_be_bytes());
        entry[places.dst..places.dst + 6].copy_from_slice(&values.dst.0);
        entry[places.src..places.src + 6].copy_from_slice(&values.src.0);
        put_port(entry, places.entry_in_port, values.in_port, places);
        out[XID..XID + 4].copy_from_slice(&xids[1].0.to_be_bytes());
        out[LENGTH..LENGTH + 2].copy_from_slice(&(length as u16).to_be_bytes());
        put_port(out, places.out_in_port, values.in_port, places);
        if !self.shape.back {
            let (in_entry, in_out) = (entry.len() - places.output, out.len() - places.output);
            put_port(entry, in_entry, values.out_port, places);
            put_port(out, in_out, values.out_port, places);
        }
        to.put_slice(frame);
        to.put_bytes(0, MIN_FRAME.saturating_sub(frame.len()));
    }
}

/// The stencils of one switch.
#[derive(Default)]
pub(super) struct Stencils {
    kept: Vec<Stencil>,
    oldest: usize,
}

impl Stencils {
    /// Appends the messages of a shape, if it has a stencil. Returns whether it has one.
    pub(super) fn put(
        &self,
        version: Version,
        shape: &Shape,
        xids: [Xid; 2],
        values: Values,
        frame: &[u8],
        to: &mut BytesMut,
    ) -> bool {
        // A frame that no message has room for is the encoder's to refuse.
        let fits = frame.len() < 0xff00;
        let Some(stencil) = self.kept.iter().find(|one| one.shape == *shape && fits) else {
            return false;
        };
        stencil.put(version, xids, values, frame, to);
        true
    }

    /// Keeps what the encoder made of a shape.
    pub(super) fn keep(
        &mut self,
        version: Version,
        shape: Shape,
        values: Values,
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
    use umlaut_openflow::{Message, PacketOut, VlanId, encode};

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

    fn entry((in_port, out_port, src, dst, slot, _): Frame, tag: Vid, vid: Vid) -> HopEntry {
        let headers = Headers {
            eth_src: MacAddr::from_u64(src),
            eth_dst: MacAddr::from_u64(dst),
            eth_type: Field::Is(0x0800),
            tag: match tag {
                Vid::Untagged => Tag::None,
                Vid::Tagged(vid) => Tag::Vlan { vid, pcp: 0 },
            },
            ..Headers::default()
        };
        HopEntry {
            path: PathRef { session: SessionNo(3), slot, generation: 9 },
            mark: Mark::ONLY,
            domain: Domain(0),
            in_port: PortNo(in_port),
            headers,
            width: FieldSet::LAYER_2,
            out_port: PortNo(out_port),
            vid: Some(vid),
            idle_timeout: 60,
            hard_timeout: 0,
        }
    }

    fn shape_and_values(entry: &HopEntry) -> (Shape, Values) {
        let ports = (entry.in_port, entry.out_port);
        let timeouts = (entry.idle_timeout, entry.hard_timeout);
        let vid = entry.vid.unwrap();
        let shape = Shape::new(entry.width, &entry.headers, vid, timeouts, ports).unwrap();
        let Headers { eth_src: src, eth_dst: dst, .. } = entry.headers;
        let cookie = entry.path.cookie(1, entry.mark);
        (shape, Values { in_port: ports.0, src, dst, out_port: ports.1, cookie })
    }

    proptest! {
        #[test]
        fn a_stencil_says_what_the_encoder_says(
            v10 in any::<bool>(), first in frame(), second in frame(), tag in vids(), vid in vids(),
            back in any::<bool>(),
        ) {
            let version = if v10 { Version::V1_0 } else { Version::V1_3 };
            let turned = |frame: Frame| if back { (frame.0, frame.0, frame.2, frame.3, frame.4, frame.5) } else { frame };
            let (first, second) = (turned(first), turned(second));
            prop_assume!((first.0 == first.1) == (second.0 == second.1));
            let mut stencils = Stencils::default();
            let one = entry(first, tag, vid);
            let (shape, values) = shape_and_values(&one);
            let bytes = vec![7; first.5];
            let [made, out] = encoded(version, &one, [Xid(1), Xid(2)], &bytes);
            stencils.keep(version, shape, values, &made, (&out, first.5.max(MIN_FRAME)));

            let other = entry(second, tag, vid);
            let (again, values) = shape_and_values(&other);
            prop_assert_eq!(again, shape);
            let xids = [Xid(77), Xid(78)];
            let bytes = vec![8; second.5];
            let mut put = BytesMut::from(&b"before"[..]);
            prop_assert!(stencils.put(version, &shape, xids, values, &bytes, &mut put), "{made:?}");
            let [made, out] = encoded(version, &other, xids, &bytes);
            prop_assert_eq!(&put[..], &[&b"before"[..], &made, &out].concat()[..]);
        }
    }
}

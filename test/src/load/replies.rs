//! What a controller sends to a switch, told apart by its first bytes: the generator reads millions
//! of messages a second and looks into few of them (1.3.5 §7.3, 1.0 §5.3). Pure.

use umlaut_openflow::{MacAddr, Version};

/// OFPT_*, the same in 1.0 and 1.3.
const ERROR: u8 = 1;
const ECHO_REPLY: u8 = 3;
const PACKET_IN: u8 = 10;
const FLOW_REMOVED: u8 = 11;
const PACKET_OUT: u8 = 13;
const FLOW_MOD: u8 = 14;

const LLDP: [u8; 2] = [0x88, 0xcc];
const HEADER: usize = 8;

/// One message of a controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A flow-mod that adds an entry which does something with the frames.
    SetUp,
    /// A flow-mod that adds an entry which drops them.
    DropEntry,
    /// Any other flow-mod.
    OtherFlowMod,
    /// A frame to be sent.
    PacketOut,
    /// LLDP to be sent.
    Probe,
    /// An answer to an echo request.
    EchoReply,
    /// An error message.
    Error,
    /// A message that a switch must answer or obey.
    Other,
}

/// What kind of message this is; it is whole.
#[inline]
pub(super) fn kind(version: Version, message: &[u8]) -> Kind {
    match message.get(1) {
        Some(&FLOW_MOD) => flow_mod(version, message),
        Some(&PACKET_OUT) => packet_out(version, message),
        Some(&ECHO_REPLY) => Kind::EchoReply,
        Some(&ERROR) => Kind::Error,
        _ => Kind::Other,
    }
}

/// What kind of message a switch sends; it is whole. For responders.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    PacketIn,
    FlowRemoved,
    Other,
}

#[inline]
pub(super) fn told(message: &[u8]) -> Told {
    match message.get(1) {
        Some(&PACKET_IN) => Told::PacketIn,
        Some(&FLOW_REMOVED) => Told::FlowRemoved,
        _ => Told::Other,
    }
}

/// Offsets into a flow-mod of 1.0: command; actions, from where on there are none for a drop.
const V10_COMMAND: usize = 56;
const V10_ACTIONS: usize = 72;
/// The same of 1.3, and the match.
const V13_COMMAND: usize = 25;
const V13_MATCH: usize = 48;

#[inline]
fn flow_mod(version: Version, message: &[u8]) -> Kind {
    let (adds, acts) = if version == Version::V1_0 {
        (message.get(V10_COMMAND..V10_COMMAND + 2) == Some(&[0, 0]), message.len() > V10_ACTIONS)
    } else {
        let instructions = V13_MATCH + match_length(message).next_multiple_of(8);
        (message.get(V13_COMMAND) == Some(&0), message.len() > instructions)
    };
    match (adds, acts) {
        (true, true) => Kind::SetUp,
        (true, false) => Kind::DropEntry,
        (false, _) => Kind::OtherFlowMod,
    }
}

/// The length of the match of a flow-mod of 1.3, without its padding.
fn match_length(message: &[u8]) -> usize {
    message
        .get(V13_MATCH + 2..V13_MATCH + 4)
        .map_or(0, |at| u16::from_be_bytes([at[0], at[1]]).into())
}

#[inline]
fn packet_out(version: Version, message: &[u8]) -> Kind {
    // Where the length of the actions is, and where they begin.
    let (length_at, actions) = if version == Version::V1_0 { (14, 16) } else { (16, 24) };
    let Some(length) = message.get(length_at..length_at + 2) else { return Kind::Other };
    let eth_type = actions + usize::from(u16::from_be_bytes([length[0], length[1]])) + 12;
    match message.get(eth_type..eth_type + 2) == Some(&LLDP) {
        true => Kind::Probe,
        false => Kind::PacketOut,
    }
}

/// Source and destination that a flow-mod matches, where it matches them.
pub(super) fn addresses(version: Version, flow_mod: &[u8]) -> (Option<MacAddr>, Option<MacAddr>) {
    if version == Version::V1_0 { addresses_v10(flow_mod) } else { addresses_v13(flow_mod) }
}

fn mac(bytes: &[u8], at: usize) -> Option<MacAddr> {
    bytes.get(at..at + 6)?.try_into().ok().map(MacAddr)
}

fn addresses_v10(message: &[u8]) -> (Option<MacAddr>, Option<MacAddr>) {
    // OFPFW_DL_SRC and OFPFW_DL_DST (1.0 §5.2.3).
    let wildcards = message.get(11).copied().unwrap_or(0xff);
    let address = |bit: u8, at| mac(message, at).filter(|_| wildcards & bit == 0);
    (address(4, 14), address(8, 20))
}

fn addresses_v13(message: &[u8]) -> (Option<MacAddr>, Option<MacAddr>) {
    let (mut src, mut dst) = (None, None);
    let fields = V13_MATCH + 4..V13_MATCH + match_length(message);
    let mut fields = message.get(fields).unwrap_or_default();
    // Class, field and length of each (1.3.5 §7.2.3.2); `<< 1` is where "has mask" stands.
    while let [class_high, class_low, field, length, rest @ ..] = fields {
        match (class_high, class_low, field) {
            (0x80, 0, 0b0000_0110) => dst = mac(rest, 0),
            (0x80, 0, 0b0000_1000) => src = mac(rest, 0),
            _ => {}
        }
        fields = rest.get(usize::from(*length)..).unwrap_or_default();
    }
    (src, dst)
}

/// Cuts whole messages from the front of `bytes` and shows each; returns how many bytes they were.
///
/// # Errors
/// A length below that of the header: the stream cannot be cut any further.
#[inline]
pub(super) fn walk(bytes: &[u8], mut each: impl FnMut(&[u8])) -> Result<usize, BadLength> {
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + 4) {
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if length < HEADER {
            return Err(BadLength(length));
        }
        let Some(message) = bytes.get(at..at + length) else { break };
        each(message);
        at += length;
    }
    Ok(at)
}

/// A stream that cannot be cut into messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a message of {0} bytes, which is less than its header")]
pub(super) struct BadLength(usize);

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use umlaut_openflow::{Action, FlowMod, Match, Message, PacketOut, PortNo, Xid, build, encode};

    use super::*;

    const VERSIONS: [Version; 2] = [Version::V1_0, Version::V1_3];

    fn bytes(version: Version, message: &Message<'_>) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        encode(version, Xid(1), message, &mut bytes).unwrap();
        bytes.to_vec()
    }

    fn out(version: Version, eth_type: u16) -> Vec<u8> {
        let data = build::ethernet(MacAddr::LLDP, MacAddr([2; 6]), &[], eth_type, &[0; 46]);
        let message = PacketOut {
            buffer_id: None,
            in_port: PortNo::ANY,
            actions: vec![Action::output(PortNo(1)), Action::output(PortNo(2))].into(),
            data: data.into(),
        };
        bytes(version, &Message::PacketOut(message))
    }

    #[test]
    fn messages_are_told_apart() {
        let pair = || Match::new().in_port(PortNo(3)).eth_dst(MacAddr([2; 6]));
        let acts = |entry: FlowMod| Message::FlowMod(entry.apply(vec![Action::output(PortNo(1))]));
        for version in VERSIONS {
            let of = |message: &Message<'_>| kind(version, &bytes(version, message));
            assert_eq!(of(&acts(FlowMod::add(pair()))), Kind::SetUp);
            assert_eq!(of(&acts(FlowMod::add(Match::new()))), Kind::SetUp);
            assert_eq!(of(&Message::FlowMod(FlowMod::add(pair()))), Kind::DropEntry);
            assert_eq!(of(&Message::FlowMod(FlowMod::delete(pair()))), Kind::OtherFlowMod);
            assert_eq!(of(&acts(FlowMod::modify(pair()))), Kind::OtherFlowMod);
            assert_eq!(of(&Message::EchoReply((&[][..]).into())), Kind::EchoReply);
            assert_eq!(of(&Message::BarrierRequest), Kind::Other);
            assert_eq!(kind(version, &out(version, 0x0800)), Kind::PacketOut);
            assert_eq!(kind(version, &out(version, 0x88cc)), Kind::Probe);
        }
    }

    #[test]
    fn addresses_are_found_where_they_are_matched() {
        let (a, b) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
        let base = || Match::new().in_port(PortNo(3)).eth_type(0x0800u16);
        for version in VERSIONS {
            for (matches, expected) in [
                (base(), (None, None)),
                (base().eth_src(a), (Some(a), None)),
                (base().eth_dst(b), (None, Some(b))),
                (base().eth_src(a).eth_dst(b), (Some(a), Some(b))),
            ] {
                let message = bytes(version, &Message::FlowMod(FlowMod::add(matches)));
                assert_eq!(addresses(version, &message), expected, "{version}");
            }
        }
    }

    #[test]
    fn a_stream_is_cut_wherever_it_was_split() {
        let stream = [out(Version::V1_0, 1), out(Version::V1_3, 2), vec![1, 2, 0, 8, 0, 0, 0, 0]];
        let lengths: Vec<usize> = stream.iter().map(Vec::len).collect();
        let stream = stream.concat();
        for end in 0..=stream.len() {
            let mut seen = Vec::new();
            let used = walk(&stream[..end], |message| seen.push(message.len())).unwrap();
            assert_eq!(used, seen.iter().sum::<usize>());
            assert_eq!(seen, lengths[..seen.len()]);
            assert!(end - used < lengths.get(seen.len()).copied().unwrap_or(1));
        }
        assert_eq!(walk(&[1, 0, 0, 7, 0, 0, 0, 0], |_| {}), Err(BadLength(7)));
    }

    #[test]
    fn no_bytes_are_too_few() {
        for version in VERSIONS {
            let whole = bytes(version, &Message::FlowMod(FlowMod::add(Match::new())));
            for code in 0..=255 {
                for end in 0..whole.len() {
                    let mut cut = whole[..end].to_vec();
                    if let Some(at) = cut.get_mut(1) {
                        *at = code;
                    }
                    let _ = (kind(version, &cut), addresses(version, &cut));
                }
            }
        }
    }
}

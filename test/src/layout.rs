//! Where the headers of a frame begin: what both the emulated switch and the emulated host read. Pure.
//!
//! Written on its own, not on `umlaut_openflow::packet`, so that the network under a controller does
//! not share the controller's mistakes. It sees frames as Open vSwitch does: 802.1Q and 802.1ad tags
//! are tags, only the outermost is read, behind it the EtherType may be another tag's TPID.

/// EtherType of IPv4.
pub(crate) const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub(crate) const ARP: u16 = 0x0806;
/// EtherType of reverse ARP.
pub(crate) const RARP: u16 = 0x8035;
/// EtherType of IPv6.
pub(crate) const IPV6: u16 = 0x86dd;
/// EtherType of 802.1Q tags.
pub(crate) const VLAN: u16 = 0x8100;
/// EtherType of 802.1ad service tags.
pub(crate) const SERVICE_VLAN: u16 = 0x88a8;
/// What stands for "no EtherType" in OpenFlow 1.0.
pub(crate) const NO_TYPE: u16 = 0x05ff;

/// IP protocol ICMP.
pub(crate) const ICMP: u8 = 1;
/// IP protocol IGMP.
pub(crate) const IGMP: u8 = 2;
/// IP protocol TCP.
pub(crate) const TCP: u8 = 6;
/// IP protocol UDP.
pub(crate) const UDP: u8 = 17;
/// IP protocol ICMPv6.
pub(crate) const ICMPV6: u8 = 58;
/// IP protocol SCTP.
pub(crate) const SCTP: u8 = 132;

/// Which part of a datagram a frame carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Part {
    /// All of it.
    #[default]
    Whole,
    /// The first fragment.
    First,
    /// A later fragment: no transport header.
    Later,
}

/// The network layer of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Network {
    /// An IPv4 header (20 bytes at least) at this offset.
    Ipv4(usize),
    /// An IPv6 header (40 bytes) at this offset.
    Ipv6(usize),
    /// An Ethernet and IPv4 ARP body (28 bytes) at this offset; reverse ARP too.
    Arp(usize),
    /// Anything else, or a truncated header.
    Other,
}

/// Where the headers are. Offsets are within the frame; everything that is named is there in full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    /// TPID and control information of the outermost tag.
    pub(crate) tag: Option<(u16, u16)>,
    /// EtherType behind the tags that are looked through.
    pub(crate) eth_type: u16,
    /// Where the payload of the frame begins.
    pub(crate) payload: usize,
    /// The network layer.
    pub(crate) network: Network,
    /// IP protocol behind all IPv6 extension headers; 0 where there is none.
    pub(crate) proto: u8,
    /// Fragmentation.
    pub(crate) part: Part,
    /// Where the transport header begins, if the frame has one of a known kind in full.
    pub(crate) transport: Option<usize>,
}

/// The big-endian number at `at`; 0 beyond the end.
pub(crate) fn u16_at(frame: &[u8], at: usize) -> u16 {
    match frame.get(at..at.saturating_add(2)) {
        Some(&[a, b]) => u16::from_be_bytes([a, b]),
        _ => 0,
    }
}

/// The `N` bytes at `at`; zeros where they are not all there.
pub(crate) fn bytes_at<const N: usize>(frame: &[u8], at: usize) -> [u8; N] {
    let bytes = frame.get(at..at.saturating_add(N)).and_then(|bytes| bytes.try_into().ok());
    bytes.unwrap_or([0; N])
}

/// A frame inside a switch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Packet {
    /// The frame as it would leave now.
    pub(crate) bytes: Vec<u8>,
    /// How many tags are looked through: one, and those that the switch itself has put before it.
    tags: usize,
    /// By which queue of a port it would leave.
    pub(crate) queue: u32,
}

impl Packet {
    /// A frame as it came in.
    pub(crate) fn new(bytes: Vec<u8>) -> Packet {
        Packet { bytes, tags: 1, queue: 0 }
    }

    /// Its headers; `None` if it is shorter than an Ethernet header.
    pub(crate) fn layout(&self) -> Option<Layout> {
        layout_behind(&self.bytes, self.tags)
    }

    /// Puts a tag before all others.
    pub(crate) fn push_tag(&mut self, tpid: u16, tci: u16) {
        let tagged = self.layout().is_some_and(|found| found.tag.is_some());
        let ([a, b], [c, d]) = (tpid.to_be_bytes(), tci.to_be_bytes());
        self.bytes.splice(12..12, [a, b, c, d]);
        self.tags += usize::from(tagged);
    }

    /// Takes the outermost tag, if there is one.
    pub(crate) fn pop_tag(&mut self) {
        if self.layout().is_some_and(|found| found.tag.is_some()) {
            self.bytes.drain(12..16);
            self.tags = self.tags.saturating_sub(1).max(1);
        }
    }
}

/// Finds the headers of a frame; `None` if it is shorter than an Ethernet header.
pub(crate) fn layout(frame: &[u8]) -> Option<Layout> {
    layout_behind(frame, 1)
}

/// Finds the headers behind up to `tags` tags.
fn layout_behind(frame: &[u8], tags: usize) -> Option<Layout> {
    if frame.len() < 14 {
        return None;
    }
    let mut tag = None;
    let mut type_at = 12;
    for _ in 0..tags {
        let tpid = u16_at(frame, type_at);
        // An EtherType must follow the tag, or it is no tag.
        if !matches!(tpid, VLAN | SERVICE_VLAN) || frame.len() < type_at + 6 {
            break;
        }
        tag = tag.or(Some((tpid, u16_at(frame, type_at + 2))));
        type_at += 4;
    }
    let (eth_type, payload) = ether_type(frame, type_at);
    let mut found = Layout {
        tag,
        eth_type,
        payload,
        network: Network::Other,
        proto: 0,
        part: Part::Whole,
        transport: None,
    };
    match eth_type {
        IPV4 => ipv4(frame, &mut found),
        IPV6 => ipv6(frame, &mut found),
        ARP | RARP => arp(frame, &mut found),
        _ => {}
    }
    Some(found)
}

/// The EtherType at `at`, looking through LLC and SNAP with a zero OUI, and what follows it.
fn ether_type(frame: &[u8], at: usize) -> (u16, usize) {
    let word = u16_at(frame, at);
    if word >= 0x600 {
        return (word, at + 2);
    }
    match frame.get(at + 2..at + 10) {
        Some(&[0xaa, 0xaa, 0x03, 0, 0, 0, a, b]) if u16::from_be_bytes([a, b]) >= 0x600 => {
            (u16::from_be_bytes([a, b]), at + 10)
        }
        _ => (NO_TYPE, at + 2),
    }
}

fn ipv4(frame: &[u8], found: &mut Layout) {
    let at = found.payload;
    let Some(header) = frame.get(at..at + 20) else { return };
    let header_len = usize::from(header[0] & 0xf) * 4;
    let total_len = usize::from(u16_at(header, 2));
    let there = frame.len() - at;
    if header[0] >> 4 != 4 || header_len < 20 || header_len > there || total_len < header_len {
        return;
    }
    if total_len > there {
        return;
    }
    found.network = Network::Ipv4(at);
    found.proto = header[9];
    let fragment = u16_at(header, 6);
    found.part = match (fragment & 0x1fff, fragment & 0x2000) {
        (0, 0) => Part::Whole,
        (0, _) => Part::First,
        _ => Part::Later,
    };
    transport(frame, found, at + header_len, at + total_len);
}

fn ipv6(frame: &[u8], found: &mut Layout) {
    let at = found.payload;
    let Some(header) = frame.get(at..at + 40) else { return };
    let end = at + 40 + usize::from(u16_at(header, 4));
    if header[0] >> 4 != 6 || end > frame.len() {
        return;
    }
    found.network = Network::Ipv6(at);
    let (mut next, mut at) = (header[6], at + 40);
    // Hop-by-hop, routing, destination options, authentication, fragment (RFC 8200 §4).
    while let 0 | 43 | 60 | 51 | 44 = next {
        let Some(extension) = frame.get(at..at + 8).filter(|_| at + 8 <= end) else {
            found.proto = next;
            return;
        };
        let len = match next {
            44 => 8,
            51 => (usize::from(extension[1]) + 2) * 4,
            _ => (usize::from(extension[1]) + 1) * 8,
        };
        if next == 44 {
            let offset = u16_at(extension, 2);
            if offset & 0xfff9 != 0 {
                found.part = if offset >> 3 == 0 { Part::First } else { Part::Later };
            }
        }
        next = extension[0];
        at += len;
        if at > end || found.part == Part::Later {
            found.proto = next;
            return;
        }
    }
    found.proto = next;
    transport(frame, found, at, end);
}

fn transport(frame: &[u8], found: &mut Layout, at: usize, end: usize) {
    let needed = match (found.eth_type, found.proto) {
        (_, TCP) => 20,
        (_, UDP) => 8,
        (_, SCTP) => 12,
        (IPV4, ICMP | IGMP) | (IPV6, ICMPV6) => 8,
        _ => return,
    };
    if found.part != Part::Later && at + needed <= end && end <= frame.len() {
        found.transport = Some(at);
    }
}

fn arp(frame: &[u8], found: &mut Layout) {
    let at = found.payload;
    if let Some(&[0, 1, 8, 0, 6, 4, ..]) = frame.get(at..at + 28) {
        found.network = Network::Arp(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_have_a_layout_that_stays_within_them() {
        let mut state = 1u64;
        let mut frame = Vec::new();
        for round in 0..20_000usize {
            frame.clear();
            frame.resize(round % 90, 0);
            for byte in frame.iter_mut() {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
                *byte = (state >> 33) as u8;
            }
            for (at, kind) in
                [(12, [0x81, 0, 0, 1]), (16, [8, 0, 0x45, 0]), (16, [0x86, 0xdd, 0x60, 0])]
            {
                if let Some(place) = frame.get_mut(at..at + 4)
                    && round % (at - 9) == 0
                {
                    place.copy_from_slice(&kind);
                }
            }
            let found = layout(&frame);
            assert_eq!(found.is_some(), frame.len() >= 14);
            if let Some(found) = found {
                assert!(found.payload <= frame.len().max(14 + 2), "{frame:02x?}");
                assert!(found.transport.is_none_or(|at| at + 8 <= frame.len()), "{frame:02x?}");
            }
        }
    }
}

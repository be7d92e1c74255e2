//! The packets of a capture file: pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng).
//! Pure.

use anyhow::{Context, bail};

/// A packet as it was captured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::commands) struct Packet<'a> {
    /// LINKTYPE_* of the interface.
    pub(in crate::commands) link: u32,
    /// Its bytes, from the link header on; fewer than there were if the capture cut them.
    pub(in crate::commands) data: &'a [u8],
}

const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// Whether bytes begin as a capture does.
pub(in crate::commands) fn is_capture(file: &[u8]) -> bool {
    file.first_chunk().is_some_and(|magic| *magic == SECTION || classic(*magic).is_some())
}

/// The packets in order. A file that ends within a packet, as one that is still being written, ends
/// before it.
///
/// # Errors
/// A file that is no capture.
pub(in crate::commands) fn packets(file: &[u8]) -> anyhow::Result<Vec<Packet<'_>>> {
    let magic = *file.first_chunk().context("the file is too short for a capture")?;
    match classic(magic) {
        Some(order) => {
            let link = order.word(file, 20).context("the file is too short for pcap")?;
            // The upper bits tell of frame check sequences.
            Ok(records(order, link & 0xffff, file))
        }
        None if magic == SECTION => blocks(file),
        None => bail!("neither pcap nor pcapng"),
    }
}

/// The byte order of whoever wrote the file.
#[derive(Clone, Copy)]
enum Order {
    Big,
    Little,
}

impl Order {
    fn word(self, bytes: &[u8], at: usize) -> Option<u32> {
        let word = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Order::Big => u32::from_be_bytes(word),
            Order::Little => u32::from_le_bytes(word),
        })
    }

    fn half(self, bytes: &[u8], at: usize) -> Option<u16> {
        let half = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Order::Big => u16::from_be_bytes(half),
            Order::Little => u16::from_le_bytes(half),
        })
    }
}

/// The order that a pcap file's magic tells, with times in micro- or nanoseconds.
fn classic(magic: [u8; 4]) -> Option<Order> {
    match magic {
        [0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d] => Some(Order::Big),
        [0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1] => Some(Order::Little),
        _ => None,
    }
}

/// The packets of a pcap file: 16 bytes of header each, the captured length at 8.
fn records(order: Order, link: u32, file: &[u8]) -> Vec<Packet<'_>> {
    let mut packets = Vec::new();
    let mut rest = file.get(24..).unwrap_or_default();
    while let Some(length) = order.word(rest, 8)
        && let Some(after) = rest.get(16..)
        && let Some((data, after)) = after.split_at_checked(length as usize)
    {
        packets.push(Packet { link, data });
        rest = after;
    }
    packets
}

/// The packets of a pcapng file, of all its sections and interfaces.
fn blocks(file: &[u8]) -> anyhow::Result<Vec<Packet<'_>>> {
    const INTERFACE: u32 = 1;
    const OLD_PACKET: u32 = 2;
    const SIMPLE_PACKET: u32 = 3;
    const PACKET: u32 = 6;
    let mut packets = Vec::new();
    let mut links: Vec<u32> = Vec::new();
    let mut order = Order::Little;
    let mut rest = file;
    while !rest.is_empty() {
        if rest.starts_with(&SECTION) {
            order = match rest.get(8..12) {
                Some([0x1a, 0x2b, 0x3c, 0x4d]) => Order::Big,
                Some([0x4d, 0x3c, 0x2b, 0x1a]) => Order::Little,
                Some(_) => bail!("a pcapng section of no byte order"),
                None => break,
            };
            links.clear();
        }
        let (Some(kind), Some(length)) = (order.word(rest, 0), order.word(rest, 4)) else { break };
        if length < 12 || length % 4 != 0 {
            bail!("a pcapng block of {length} bytes");
        }
        let Some((block, after)) = rest.split_at_checked(length as usize) else { break };
        rest = after;
        // Behind the body the length stands once more.
        let body = &block[8..block.len() - 4];
        let link = |interface: usize| links.get(interface).copied();
        let packet = match kind {
            INTERFACE => {
                links.push(order.half(body, 0).map_or(0, u32::from));
                continue;
            }
            PACKET => order
                .word(body, 0)
                .zip(order.word(body, 12))
                .map(|(interface, length)| (link(interface as usize), body.get(20..), length)),
            OLD_PACKET => order
                .half(body, 0)
                .zip(order.word(body, 12))
                .map(|(interface, length)| (link(interface.into()), body.get(20..), length)),
            SIMPLE_PACKET => order.word(body, 0).map(|length| (link(0), body.get(4..), length)),
            _ => continue,
        };
        // A simple packet tells its length on the wire, of which the capture may have less.
        let Some((Some(link), Some(data), length)) = packet else {
            bail!("a pcapng packet that is cut short or of an interface that was not described");
        };
        packets.push(Packet { link, data: &data[..data.len().min(length as usize)] });
    }
    Ok(packets)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A pcap file, little endian.
    pub(crate) fn pcap(link: u32, packets: &[Vec<u8>]) -> Vec<u8> {
        let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
        file.extend([0; 8]);
        file.extend(65535u32.to_le_bytes());
        file.extend(link.to_le_bytes());
        for packet in packets {
            file.extend([0; 8]);
            file.extend((packet.len() as u32).to_le_bytes());
            file.extend((packet.len() as u32).to_le_bytes());
            file.extend(packet);
        }
        file
    }

    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let body = [body, &[0; 3][..(4 - body.len() % 4) % 4]].concat();
        let length = (body.len() as u32 + 12).to_be_bytes();
        [&kind.to_be_bytes()[..], &length, &body, &length].concat()
    }

    /// A pcapng file, big endian, with a packet in each of the three ways.
    fn pcapng() -> Vec<u8> {
        let section = [0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255];
        let enhanced = [&[0, 0, 0, 1][..], &[0; 8], &[0, 0, 0, 3, 0, 0, 0, 3], b"abc"].concat();
        let old = [&[0, 0, 0, 0][..], &[0; 8], &[0, 0, 0, 2, 0, 0, 0, 2], b"de"].concat();
        [
            block(0x0a0d_0d0a, &section),
            block(1, &[0, 113, 0, 0, 0, 0, 0, 0]),
            block(1, &[0, 1, 0, 0, 0, 0, 0, 0]),
            block(6, &enhanced),
            block(5, &[0; 12]),
            block(2, &old),
            block(3, &[0, 0, 0, 1, b'f']),
        ]
        .concat()
    }

    #[test]
    fn packets_are_found_in_both_formats() {
        let packet = |link, data| Packet { link, data };
        let file = pcap(1, &[b"abc".to_vec(), vec![]]);
        assert!(is_capture(&file));
        assert_eq!(packets(&file).unwrap(), [packet(1, b"abc"), packet(1, b"")]);
        let file = pcapng();
        assert!(is_capture(&file));
        let wanted = [packet(1, &b"abc"[..]), packet(113, b"de"), packet(113, b"f")];
        assert_eq!(packets(&file).unwrap(), wanted);
    }

    #[test]
    fn a_file_cut_short_anywhere_gives_the_packets_before_the_cut() {
        for file in [pcap(1, &[b"abc".to_vec(), b"de".to_vec()]), pcapng()] {
            let all = packets(&file).unwrap();
            for end in 0..file.len() {
                let some = packets(&file[..end]).unwrap_or_default();
                assert!(all.starts_with(&some), "{end}");
            }
        }
    }

    #[test]
    fn what_is_no_capture_is_refused() {
        assert!(!is_capture(b"0414000800000007"));
        assert!(packets(b"0414000800000007").is_err());
        assert!(packets(&[0xd4]).is_err());
        // Blocks of no length would never end.
        let mut file = pcapng();
        file[32..36].fill(0);
        assert!(packets(&file).is_err());
    }
}

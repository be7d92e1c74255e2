//! The packets of a capture file: pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng).
//! Pure.

use anyhow::{Context, bail};

/// The longest record of a pcap file, and the longest block of pcapng: what libpcap takes.
const RECORD_BYTES: u32 = 262_144;
const BLOCK_BYTES: u32 = 16 << 20;

/// A packet as it was captured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::commands) struct Packet<'a> {
    /// LINKTYPE_* of the interface.
    pub(in crate::commands) link: u32,
    /// Its bytes, from the link header on; fewer than there were if the capture cut them.
    pub(in crate::commands) data: &'a [u8],
}

/// What is in a capture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::commands) struct Capture<'a> {
    /// Its packets, in order.
    pub(in crate::commands) packets: Vec<Packet<'a>>,
    /// Why it ends behind them, if not because the file does.
    pub(in crate::commands) fault: Option<Fault>,
}

/// Why a capture cannot be read to its end.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(in crate::commands) enum Fault {
    /// The file ends within a packet, as one that is still being written; so many are whole.
    #[error("cut short {}", behind(*.0))]
    Cut(usize),
    /// What is no capture.
    #[error("at byte {at}, {}: {what}", behind(*.frames))]
    Wrong {
        /// Where, in bytes from the beginning of the file.
        at: usize,
        /// How many packets are in front of it.
        frames: usize,
        /// What stands there.
        what: String,
    },
}

fn behind(frames: usize) -> String {
    match frames {
        0 => "before the first frame".to_owned(),
        frames => format!("after frame {frames}"),
    }
}

const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// Whether bytes begin as a capture does.
pub(in crate::commands) fn is_capture(file: &[u8]) -> bool {
    file.first_chunk().is_some_and(|magic| *magic == SECTION || classic(*magic).is_some())
}

/// The packets in order, up to the end of the file or to a fault.
///
/// # Errors
/// A file that does not begin as a capture does.
pub(in crate::commands) fn read(file: &[u8]) -> anyhow::Result<Capture<'_>> {
    let magic = *file.first_chunk().context("the file is too short for a capture")?;
    let mut packets = Vec::new();
    let (rest, ended) = match classic(magic) {
        Some(order) => {
            let link = order.word(file, 20).context("the file is too short for pcap")?;
            // The upper bits tell of frame check sequences.
            records(order, link & 0xffff, file, &mut packets)
        }
        None if magic == SECTION => blocks(file, &mut packets),
        None => bail!("neither pcap nor pcapng"),
    };
    let (at, frames) = (file.len() - rest.len(), packets.len());
    let fault = match ended {
        Ok(()) if rest.is_empty() => None,
        Ok(()) => Some(Fault::Cut(frames)),
        Err(what) => Some(Fault::Wrong { at, frames, what }),
    };
    Ok(Capture { packets, fault })
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

/// What of a file was not read, and why if it is nothing that a capture has.
type Ended<'a> = (&'a [u8], Result<(), String>);

/// The packets of a pcap file: 16 bytes of header each, the captured length at 8.
fn records<'a>(
    order: Order,
    link: u32,
    file: &'a [u8],
    packets: &mut Vec<Packet<'a>>,
) -> Ended<'a> {
    let mut rest = file.get(24..).unwrap_or_default();
    while let Some(length) = order.word(rest, 8) {
        if length > RECORD_BYTES {
            let what = format!("a record of {length} bytes, where at most {RECORD_BYTES} can be");
            return (rest, Err(what));
        }
        let body = rest.get(16..).and_then(|after| after.split_at_checked(length as usize));
        let Some((data, after)) = body else { break };
        packets.push(Packet { link, data });
        rest = after;
    }
    (rest, Ok(()))
}

/// The packets of a pcapng file, of all its sections and interfaces.
fn blocks<'a>(file: &'a [u8], packets: &mut Vec<Packet<'a>>) -> Ended<'a> {
    const INTERFACE: u32 = 1;
    const OLD_PACKET: u32 = 2;
    const SIMPLE_PACKET: u32 = 3;
    const PACKET: u32 = 6;
    let mut links: Vec<u32> = Vec::new();
    let mut order = Order::Little;
    let mut rest = file;
    while !rest.is_empty() {
        if rest.starts_with(&SECTION) {
            order = match rest.get(8..12) {
                Some([0x1a, 0x2b, 0x3c, 0x4d]) => Order::Big,
                Some([0x4d, 0x3c, 0x2b, 0x1a]) => Order::Little,
                Some(_) => return (rest, Err("a pcapng section of no byte order".to_owned())),
                None => break,
            };
            links.clear();
        }
        let (Some(kind), Some(length)) = (order.word(rest, 0), order.word(rest, 4)) else { break };
        if length < 12 || length % 4 != 0 || length > BLOCK_BYTES {
            return (rest, Err(format!("a pcapng block of {length} bytes")));
        }
        let Some((block, after)) = rest.split_at_checked(length as usize) else { break };
        // Behind the body the length stands once more.
        let body = &block[8..block.len() - 4];
        let link = |interface: usize| links.get(interface).copied();
        let packet = match kind {
            INTERFACE => {
                links.push(order.half(body, 0).map_or(0, u32::from));
                rest = after;
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
            _ => {
                rest = after;
                continue;
            }
        };
        let Some((Some(link), Some(data), length)) = packet else {
            let what =
                "a pcapng packet that is cut short or of an interface that was not described";
            return (rest, Err(what.to_owned()));
        };
        // A simple packet tells its length on the wire, of which the capture may have less.
        if kind != SIMPLE_PACKET && length as usize > data.len() {
            let what = format!("a pcapng packet of {length} bytes in a block of {}", block.len());
            return (rest, Err(what));
        }
        packets.push(Packet { link, data: &data[..data.len().min(length as usize)] });
        rest = after;
    }
    (rest, Ok(()))
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
        let packets = |file| {
            let Capture { packets, fault } = read(file)?;
            assert_eq!(fault, None);
            anyhow::Ok(packets)
        };
        let file = pcap(1, &[b"abc".to_vec(), vec![]]);
        assert!(is_capture(&file));
        assert_eq!(packets(&file).unwrap(), [packet(1, b"abc"), packet(1, b"")]);
        let file = pcapng();
        assert!(is_capture(&file));
        let wanted = [packet(1, &b"abc"[..]), packet(113, b"de"), packet(113, b"f")];
        assert_eq!(packets(&file).unwrap(), wanted);
    }

    #[test]
    fn a_file_cut_short_anywhere_gives_the_packets_before_the_cut_and_says_so() {
        let files = [(pcap(1, &[b"abc".to_vec(), b"de".to_vec()]), 24), (pcapng(), 28 + 20 + 20)];
        for (file, packets_at) in files {
            let all = read(&file).unwrap().packets;
            // Where a packet or block ends, a shorter file does as well.
            let mut whole = Vec::new();
            for end in 0..file.len() {
                let Ok(Capture { packets, fault }) = read(&file[..end]) else {
                    assert!(end < 24, "{end}");
                    continue;
                };
                assert!(all.starts_with(&packets), "{end}");
                match fault {
                    None => whole.push((end, packets.len())),
                    fault => assert_eq!(fault, Some(Fault::Cut(packets.len())), "{end}"),
                }
            }
            let first = whole.iter().position(|(end, _)| *end == packets_at).unwrap();
            let counts = whole[first..].iter().map(|(_, packets)| *packets);
            let wanted: &[usize] = if packets_at == 24 { &[0, 1] } else { &[0, 1, 1, 2] };
            assert!(counts.eq(wanted.iter().copied()), "{whole:?}");
        }
    }

    #[test]
    fn lengths_that_no_capture_has_are_told_with_their_place() {
        let told = |file: &[u8]| {
            let Capture { packets, fault } = read(file).unwrap();
            (packets.len(), fault.unwrap().to_string())
        };
        let mut file = pcap(1, &[b"abc".to_vec(), b"de".to_vec()]);
        file[24 + 19 + 8..24 + 19 + 12].fill(0xff);
        let wanted = "at byte 43, after frame 1: a record of 4294967295 bytes, where at most 262144 \
                      can be";
        assert_eq!(told(&file), (1, wanted.to_owned()));
        // Blocks of no length would never end; no block is larger than the others of its file.
        for (length, says) in [(0u32, "0"), (0xffff_fffc, "4294967292"), (21, "21")] {
            let mut file = pcapng();
            file[32..36].copy_from_slice(&length.to_be_bytes());
            let wanted =
                format!("at byte 28, before the first frame: a pcapng block of {says} bytes");
            assert_eq!(told(&file), (0, wanted));
        }
        let mut file = pcapng();
        file[68 + 8 + 12..68 + 8 + 16].fill(0xff);
        let wanted = "at byte 68, before the first frame: a pcapng packet of 4294967295 bytes in a block of 36";
        assert_eq!(told(&file), (0, wanted.to_owned()));
    }

    #[test]
    fn what_is_no_capture_is_refused() {
        assert!(!is_capture(b"0414000800000007"));
        assert!(read(b"0414000800000007").is_err());
        assert!(read(&[0xd4]).is_err());
    }
}

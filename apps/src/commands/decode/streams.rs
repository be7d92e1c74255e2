//! Segments put together again to the byte streams of their connections. Pure.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::capture::Packet;
use super::segment::Segment;

/// Bytes of one direction of a connection without a gap.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    /// Source and destination, and what was lost before, for people.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    /// Where the data of a segment ends in `bytes`, and the number of its packet.
    arrivals: Vec<(usize, usize)>,
}

impl Piece {
    /// The packet with which all bytes up to `end` were there.
    pub(super) fn complete_at(&self, end: usize) -> usize {
        let needed = self.arrivals.partition_point(|(to, _)| *to < end);
        let upto = self.arrivals.iter().take(needed + 1);
        upto.map(|(_, packet)| *packet).max().unwrap_or(0)
    }
}

/// One direction of a connection as it is seen.
struct Direction<'a> {
    source: SocketAddr,
    destination: SocketAddr,
    /// The sequence number and offset of the latest segment, from which those of the next are told:
    /// sequence numbers wrap (RFC 9293 §3.4).
    latest: (u32, i64),
    /// Whether the beginning was seen. Offset 0 is the byte behind the SYN, or else the first seen.
    opened: Option<u32>,
    /// Offset, number of the packet, data.
    segments: Vec<(i64, usize, &'a [u8])>,
}

impl<'a> Direction<'a> {
    fn new(segment: &Segment<'a>) -> Direction<'a> {
        let first = segment.sequence.wrapping_add(segment.syn.into());
        Direction {
            source: segment.source,
            destination: segment.destination,
            latest: (first, 0),
            opened: segment.syn.then_some(first),
            segments: Vec::new(),
        }
    }

    fn add(&mut self, packet: usize, segment: &Segment<'a>) {
        let first = segment.sequence.wrapping_add(segment.syn.into());
        let (sequence, offset) = self.latest;
        let offset = offset + i64::from(first.wrapping_sub(sequence) as i32);
        self.latest = (first, offset);
        // Keep-alives repeat the byte before; with the beginning known, nothing comes before it.
        let early = if self.opened.is_some() { usize::try_from(-offset).unwrap_or(0) } else { 0 };
        if let Some(data) = segment.data.get(early..).filter(|data| !data.is_empty()) {
            self.segments.push((offset + early as i64, packet, data));
        }
    }

    /// Puts segments in order; what was sent again is taken once.
    fn pieces(mut self) -> Vec<Piece> {
        self.segments.sort_by_key(|(offset, _, _)| *offset);
        let name = format!("{} > {}", self.source, self.destination);
        let mut pieces: Vec<Piece> = Vec::new();
        let mut end = if self.opened.is_some() { Some(0) } else { None };
        for (offset, packet, data) in self.segments {
            let lost = end.map_or(0, |end| offset - end);
            if lost > 0 || pieces.is_empty() {
                let name = match lost {
                    ..=0 => name.clone(),
                    lost => format!("{name}, behind {lost} bytes that the capture lacks"),
                };
                pieces.push(Piece { name, bytes: Vec::new(), arrivals: Vec::new() });
                end = Some(offset);
            }
            let (Some(piece), Some(reached)) = (pieces.last_mut(), end) else { continue };
            let known = usize::try_from(reached - offset).unwrap_or(0);
            if let Some(new) = data.get(known..).filter(|new| !new.is_empty()) {
                piece.bytes.extend_from_slice(new);
                piece.arrivals.push((piece.bytes.len(), packet));
                end = Some(offset + data.len() as i64);
            }
        }
        pieces
    }
}

/// The streams of a capture. A SYN of another sequence number begins another connection between the
/// same ports. A gap begins another piece.
pub(super) fn pieces(packets: &[Packet<'_>]) -> Vec<Piece> {
    let mut directions: Vec<Direction<'_>> = Vec::new();
    let mut current: HashMap<(SocketAddr, SocketAddr), usize> = HashMap::new();
    for (number, packet) in packets.iter().enumerate() {
        let Some(segment) = Segment::parse(packet) else { continue };
        let place = current.entry((segment.source, segment.destination)).or_insert(usize::MAX);
        let first = segment.sequence.wrapping_add(1);
        let known = directions.get(*place);
        if known.is_none_or(|known| segment.syn && known.opened != Some(first)) {
            *place = directions.len();
            directions.push(Direction::new(&segment));
        }
        directions[*place].add(number, &segment);
    }
    directions.into_iter().flat_map(Direction::pieces).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: u8 = 0x10;
    const SYN: u8 = 0x02;

    /// A raw IPv4 packet with a segment.
    fn packet(ports: (u16, u16), sequence: u32, flags: u8, data: &[u8]) -> Vec<u8> {
        let (a, b) = ([127, 0, 0, 1].into(), [127, 0, 0, 1].into());
        let mut packet = umlaut_openflow::build::tcp(a, b, ports.0, ports.1, flags, data);
        packet[24..28].copy_from_slice(&sequence.to_be_bytes());
        packet
    }

    fn joined(packets: &[Vec<u8>]) -> Vec<(String, Vec<u8>)> {
        let packets: Vec<_> = packets.iter().map(|data| Packet { link: 101, data }).collect();
        pieces(&packets).into_iter().map(|piece| (piece.name, piece.bytes)).collect()
    }

    const NAME: &str = "127.0.0.1:1 > 127.0.0.1:2";

    #[test]
    fn segments_are_put_in_order_and_taken_once() {
        for start in [10, u32::MAX - 1] {
            let at = |n: u32, data: &[u8]| packet((1, 2), start.wrapping_add(n), ACK, data);
            let found = joined(&[
                at(2, &[3, 4]),
                at(0, &[1, 2]),
                at(0, &[1, 2, 3]),
                at(4, &[5]),
                at(4, &[]),
                at(1, &[2]),
            ]);
            assert_eq!(found, [(NAME.to_owned(), vec![1, 2, 3, 4, 5])], "from {start}");
        }
    }

    #[test]
    fn a_gap_begins_another_piece_that_says_so() {
        let at = |n, data: &[u8]| packet((1, 2), n, ACK, data);
        let lacks = |n| format!("{NAME}, behind {n} bytes that the capture lacks");
        assert_eq!(
            joined(&[at(10, &[1]), at(14, &[5]), at(15, &[6])]),
            [(NAME.to_owned(), vec![1]), (lacks(3), vec![5, 6])]
        );
        // With the SYN seen, the beginning is known too.
        assert_eq!(joined(&[packet((1, 2), 9, SYN, &[]), at(12, &[3])]), [(lacks(2), vec![3])]);
    }

    #[test]
    fn a_syn_begins_a_connection_once_and_nothing_comes_before_it() {
        let at = |n, data: &[u8]| packet((1, 2), n, ACK, data);
        let syn = |n| packet((1, 2), n, SYN, &[]);
        let found = joined(&[
            syn(9),
            syn(9),
            at(9, &[0]),
            at(10, &[1]),
            at(10, &[1]),
            syn(4_000_000),
            at(4_000_001, &[7]),
        ]);
        assert_eq!(found, [(NAME.to_owned(), vec![1]), (NAME.to_owned(), vec![7])]);
    }

    #[test]
    fn a_message_is_complete_with_the_last_packet_that_it_needs() {
        let data = [
            packet((1, 2), 10, ACK, &[1, 2]),
            packet((2, 1), 50, ACK, &[9]),
            packet((1, 2), 14, ACK, &[5]),
            packet((1, 2), 12, ACK, &[3, 4]),
        ];
        let packets: Vec<_> = data.iter().map(|data| Packet { link: 101, data }).collect();
        let found = pieces(&packets);
        let complete: Vec<_> = (1..=5).map(|end| found[0].complete_at(end)).collect();
        assert_eq!(complete, [0, 0, 3, 3, 3]);
        assert_eq!(found[1].complete_at(1), 1);
    }
}

//! The byte streams of TCP connections in a classic pcap file. Pure.

use std::collections::BTreeMap;

use anyhow::{Context, bail};

/// Link types: Ethernet, and Linux's cooked captures of all interfaces.
const ETHERNET: u32 = 1;
const COOKED: u32 = 113;
const COOKED_2: u32 = 276;

/// A direction of a connection: source and destination as text, in order of their first packets.
type Streams = Vec<(String, Vec<u8>)>;

/// The payload of each direction of each connection, put in order by sequence numbers.
///
/// # Errors
/// A file that is no classic pcap, or of another link type than Ethernet and Linux cooked.
pub(super) fn streams(capture: &[u8]) -> anyhow::Result<Streams> {
    let magic: [u8; 4] = capture.get(..4).context("the file is too short for pcap")?.try_into()?;
    let big = match magic {
        [0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d] => true,
        [0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1] => false,
        [0x0a, 0x0d, 0x0d, 0x0a] => bail!("pcapng is not read: save as classic pcap"),
        _ => bail!("not a pcap file"),
    };
    let word = |at: usize| -> Option<u32> {
        let bytes: [u8; 4] = capture.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    let link = word(20).context("the file is too short for pcap")?;
    let skip = match link {
        ETHERNET => 12,
        COOKED => 14,
        COOKED_2 => 0,
        other => bail!("link type {other} is not read"),
    };
    let mut segments: BTreeMap<String, Vec<(u32, Vec<u8>)>> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    let mut at = 24;
    while let (Some(length), true) = (word(at + 8), at + 16 <= capture.len()) {
        let start = at + 16;
        let end = start.saturating_add(length as usize);
        let Some(packet) = capture.get(start..end) else { break };
        at = end;
        let Some((name, sequence, data)) = segment(packet, skip, link) else { continue };
        if !segments.contains_key(&name) {
            order.push(name.clone());
        }
        segments.entry(name).or_default().push((sequence, data.to_vec()));
    }
    let joined = order.into_iter().filter_map(|name| {
        let parts = segments.remove(&name)?;
        Some((name, join(parts)))
    });
    Ok(joined.filter(|(_, stream)| !stream.is_empty()).collect())
}

/// Name of the direction, sequence number and payload of a TCP segment.
fn segment(packet: &[u8], skip: usize, link: u32) -> Option<(String, u32, &[u8])> {
    let mut at = skip;
    let half = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
    let mut kind = half(at)?;
    at += if link == COOKED_2 { 20 } else { 2 };
    if kind == 0x8100 {
        kind = half(at + 2)?;
        at += 4;
    }
    let (source, destination, payload) = match kind {
        0x0800 => {
            let header = usize::from(packet.get(at)? & 15) * 4;
            let total = usize::from(half(at + 2)?);
            if *packet.get(at + 9)? != 6 || total < header {
                return None;
            }
            let address = |at: usize| {
                let bytes: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
                Some(std::net::IpAddr::from(bytes))
            };
            (address(at + 12)?, address(at + 16)?, packet.get(at + header..at + total)?)
        }
        0x86dd => {
            if *packet.get(at + 6)? != 6 {
                return None;
            }
            let address = |at: usize| {
                let bytes: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
                Some(std::net::IpAddr::from(bytes))
            };
            let length = usize::from(half(at + 4)?);
            (address(at + 8)?, address(at + 24)?, packet.get(at + 40..at + 40 + length)?)
        }
        _ => return None,
    };
    let port = |at: usize| Some(u16::from_be_bytes(payload.get(at..at + 2)?.try_into().ok()?));
    let sequence = u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?);
    let header = usize::from(payload.get(12)? >> 4) * 4;
    let name = format!("{source}:{} > {destination}:{}", port(0)?, port(2)?);
    Some((name, sequence, payload.get(header..)?))
}

/// Puts segments in order; what was sent again is taken once. A gap ends the stream.
fn join(mut parts: Vec<(u32, Vec<u8>)>) -> Vec<u8> {
    parts.retain(|(_, data)| !data.is_empty());
    let Some(first) = parts.iter().map(|(sequence, _)| *sequence).reduce(|a, b| {
        // Sequence numbers wrap (RFC 9293 §3.4).
        if (b.wrapping_sub(a) as i32) < 0 { b } else { a }
    }) else {
        return Vec::new();
    };
    parts.sort_by_key(|(sequence, _)| sequence.wrapping_sub(first));
    let mut stream = Vec::new();
    for (sequence, data) in parts {
        let from = sequence.wrapping_sub(first) as usize;
        match stream.len().checked_sub(from) {
            Some(known) if known < data.len() => stream.extend_from_slice(&data[known..]),
            Some(_) => {}
            None => break,
        }
    }
    stream
}

#[cfg(test)]
mod tests {
    use super::*;
    use umlaut_openflow::MacAddr;
    use umlaut_openflow::build::{ethernet, tcp};

    #[test]
    fn segments_are_put_in_order_and_taken_once() {
        let parts = vec![
            (12, vec![3, 4]),
            (10, vec![1, 2]),
            (10, vec![1, 2, 3]),
            (14, vec![5]),
            (20, vec![9]),
        ];
        assert_eq!(join(parts), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_capture_gives_its_streams() {
        let packet = tcp([127, 0, 0, 1].into(), [127, 0, 0, 1].into(), 4000, 6653, 0x18, b"hello");
        let frame = ethernet(MacAddr::ZERO, MacAddr::ZERO, &[], 0x0800, &packet);
        let mut capture = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
        capture.extend([0; 8]);
        capture.extend(65535u32.to_le_bytes());
        capture.extend(1u32.to_le_bytes());
        capture.extend([0; 8]);
        capture.extend((frame.len() as u32).to_le_bytes());
        capture.extend((frame.len() as u32).to_le_bytes());
        capture.extend(&frame);
        let found = streams(&capture).unwrap();
        assert_eq!(found, [("127.0.0.1:4000 > 127.0.0.1:6653".to_owned(), b"hello".to_vec())]);
        for end in 0..capture.len() {
            let _ = streams(&capture[..end]);
        }
    }
}

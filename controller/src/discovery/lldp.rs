//! The probe frame: an LLDPDU (IEEE 802.1AB §8) that says where it was sent and proves that we sent
//! it. Pure.
//!
//! ```text
//! Chassis ID (local) "0x1" · Port ID (local) "2" · TTL · organisational {nonce, keyed hash} · End
//! ```

use siphasher::sip::SipHasher24;
use std::hash::Hasher;
use umlaut_openflow::build::ethernet;
use umlaut_openflow::{DatapathId, MacAddr, PortNo};

use crate::program::padded;

/// EtherType of LLDP.
pub(crate) const ETHER_TYPE: u16 = 0x88cc;
/// Seconds that a receiver other than us may believe the frame.
const TTL: u16 = 15;
/// A locally administered identifier in place of a registered one (its second bit is set).
const ORGANISATION: [u8; 3] = [0x02, 0x75, 0x6d];
const SUBTYPE: u8 = 1;
/// Locally assigned, for Chassis ID and Port ID.
const LOCAL: u8 = 7;

/// What a probe says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Probe {
    pub(crate) dpid: DatapathId,
    pub(crate) port: PortNo,
    pub(crate) nonce: u64,
}

/// Why a frame is not a probe of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NotOurs {
    /// LLDP of somebody else, or broken.
    Foreign,
    /// It says that it is ours but the hash is wrong.
    Forged,
}

fn hash(key: &[u8; 16], probe: &Probe) -> u64 {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write(&probe.dpid.0.to_be_bytes());
    hasher.write(&probe.port.0.to_be_bytes());
    hasher.write(&probe.nonce.to_be_bytes());
    hasher.finish()
}

fn tlv(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    // Bodies here are far below the 511 bytes of the 9-bit length.
    out.extend(((u16::from(kind) << 9) | body.len() as u16).to_be_bytes());
    out.extend(body);
}

/// The frame of a probe.
pub(crate) fn frame(key: &[u8; 16], source: MacAddr, probe: &Probe) -> Vec<u8> {
    let mut pdu = Vec::with_capacity(64);
    let local = |text: String| [&[LOCAL], text.as_bytes()].concat();
    tlv(1, &local(format!("{:#x}", probe.dpid.0)), &mut pdu);
    tlv(2, &local(probe.port.0.to_string()), &mut pdu);
    tlv(3, &TTL.to_be_bytes(), &mut pdu);
    let mut proof = [&ORGANISATION[..], &[SUBTYPE]].concat();
    proof.extend(probe.nonce.to_be_bytes());
    proof.extend(hash(key, probe).to_be_bytes());
    tlv(127, &proof, &mut pdu);
    tlv(0, &[], &mut pdu);
    padded(&ethernet(MacAddr::LLDP, source, &[], ETHER_TYPE, &pdu)).into_owned()
}

/// Reads a frame as a probe.
pub(crate) fn parse(key: &[u8; 16], frame: &[u8]) -> Result<Probe, NotOurs> {
    let foreign = NotOurs::Foreign;
    if frame.get(12..14) != Some(&ETHER_TYPE.to_be_bytes()) {
        return Err(foreign);
    }
    let mut rest = &frame[14..];
    let (mut dpid, mut port, mut proof) = (None, None, None);
    while let [high, low, tail @ ..] = rest {
        let head = u16::from_be_bytes([*high, *low]);
        let body = tail.get(..usize::from(head & 0x1ff)).ok_or(foreign)?;
        rest = &tail[body.len()..];
        let text = |body: &[u8]| std::str::from_utf8(body.get(1..)?).ok().map(str::to_owned);
        match (head >> 9, body) {
            (0, _) => break,
            (1, [LOCAL, ..]) => dpid = text(body).and_then(|t| t.parse().ok()),
            (2, [LOCAL, ..]) => port = text(body).and_then(|t| t.parse().ok()),
            (127, [a, b, c, SUBTYPE, data @ ..]) if [*a, *b, *c] == ORGANISATION => {
                proof = <[u8; 16]>::try_from(data).ok();
            }
            _ => {}
        }
    }
    let proof = proof.ok_or(foreign)?;
    let (Some(dpid), Some(port)) = (dpid, port) else { return Err(NotOurs::Forged) };
    let (nonce, sum) = proof.split_at(8);
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let probe = Probe { dpid, port: PortNo(port), nonce: number(nonce) };
    if hash(key, &probe) == number(sum) { Ok(probe) } else { Err(NotOurs::Forged) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: [u8; 16] = [7; 16];

    #[test]
    fn a_probe_comes_back_as_it_was_sent_and_no_bit_can_be_changed() {
        let probe = Probe { dpid: DatapathId(0xabc), port: PortNo(65279), nonce: 42 };
        let frame = frame(&KEY, MacAddr::from_u64(9), &probe);
        assert!(frame.len() >= 60);
        assert_eq!(parse(&KEY, &frame), Ok(probe));
        assert_eq!(parse(&[8; 16], &frame), Err(NotOurs::Forged));
        for bit in 14 * 8..frame.len() * 8 {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = parse(&KEY, &changed) {
                assert_eq!(other, probe, "bit {bit} is not covered and says nothing");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_parse(frame in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&KEY, &frame);
        }
    }
}

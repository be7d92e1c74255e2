//! The probe frame: an LLDPDU (IEEE 802.1AB §8) that says where it was sent and proves that we sent
//! it. Pure.
//!
//! ```text
//! Chassis ID (local) "0x1" · Port ID (local) "2" · TTL · organisational {nonce, keyed hash} · End
//! ```

use std::hash::Hasher;

use siphasher::sip::SipHasher24;
use umlaut_openflow::build::ethernet;
use umlaut_openflow::lldp::{Lldpdu, OrgSpecific};
use umlaut_openflow::{DatapathId, MacAddr, PortNo};

use crate::program::{MIN_FRAME, padded};

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

/// The frame of a probe.
pub(crate) fn frame(key: &[u8; 16], source: MacAddr, probe: &Probe) -> Vec<u8> {
    let chassis = format!("{:#x}", probe.dpid.0);
    let port = probe.port.0.to_string();
    let mut proof = probe.nonce.to_be_bytes().to_vec();
    proof.extend(hash(key, probe).to_be_bytes());
    let pdu = Lldpdu {
        chassis_id: (LOCAL, chassis.as_bytes()),
        port_id: (LOCAL, port.as_bytes()),
        ttl: TTL,
        organisational: vec![OrgSpecific { oui: ORGANISATION, subtype: SUBTYPE, value: &proof }],
    };
    let mut bytes = Vec::with_capacity(64);
    let encoded = pdu.encode(&mut bytes);
    debug_assert!(encoded.is_ok(), "far below the limits of its fields");
    let mut room = [0; MIN_FRAME];
    padded(&ethernet(MacAddr::LLDP, source, &[], ETHER_TYPE, &bytes), &mut room).to_vec()
}

/// Reads a frame as a probe.
pub(crate) fn parse(key: &[u8; 16], frame: &[u8]) -> Result<Probe, NotOurs> {
    let foreign = NotOurs::Foreign;
    if frame.get(12..14) != Some(&ETHER_TYPE.to_be_bytes()) {
        return Err(foreign);
    }
    let pdu = Lldpdu::parse(&frame[14..]).map_err(|_| foreign)?;
    let ours = |o: &&OrgSpecific<'_>| o.oui == ORGANISATION && o.subtype == SUBTYPE;
    let proof = pdu.organisational.iter().find(ours).ok_or(foreign)?;
    let text = |(kind, id): (u8, &[u8])| {
        std::str::from_utf8(id).ok().filter(|_| kind == LOCAL).map(str::to_owned)
    };
    let dpid = text(pdu.chassis_id).and_then(|id| id.parse().ok());
    let port = text(pdu.port_id).and_then(|id| id.parse().ok());
    let (Some(dpid), Some(port), Some((nonce, sum))) =
        (dpid, port, proof.value.split_first_chunk::<8>())
    else {
        return Err(NotOurs::Forged);
    };
    let probe = Probe { dpid, port: PortNo(port), nonce: u64::from_be_bytes(*nonce) };
    if sum == hash(key, &probe).to_be_bytes() { Ok(probe) } else { Err(NotOurs::Forged) }
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

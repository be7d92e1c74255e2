//! LLDPDUs: the TLVs of IEEE 802.1AB §8. Pure: no IO, no clock, no locks.
//!
//! An LLDP frame is [`crate::build::ethernet`] to [`crate::MacAddr::LLDP`] with [`ETH_TYPE`] and an
//! encoded [`Lldpdu`].
//!
//! ```
//! use umlaut_openflow::lldp::{Lldpdu, OrgSpecific};
//! let mut bytes = Vec::new();
//! let sent = Lldpdu {
//!     chassis_id: (7, b"dpid:1"),
//!     port_id: (7, b"3"),
//!     ttl: 120,
//!     organisational: vec![OrgSpecific { oui: [0, 0x26, 0xe1], subtype: 0, value: b"x" }],
//! };
//! sent.encode(&mut bytes).unwrap();
//! assert_eq!(Lldpdu::parse(&bytes), Ok(sent));
//! ```

/// EtherType of LLDP.
pub const ETH_TYPE: u16 = 0x88cc;

/// The longest value of a TLV: nine bits of length (§8.4.2).
pub const MAX_VALUE: usize = 511;

/// Organisationally specific TLVs that [`Lldpdu::parse`] keeps; further ones are skipped.
pub const MAX_ORGANISATIONAL: usize = 16;

/// TLV types (§8.4.1, table 8-1).
mod kind {
    pub(super) const END: u8 = 0;
    pub(super) const CHASSIS_ID: u8 = 1;
    pub(super) const PORT_ID: u8 = 2;
    pub(super) const TTL: u8 = 3;
    pub(super) const ORGANISATIONAL: u8 = 127;
}

/// Subtypes of Chassis ID and Port ID that are of use here (§8.5.2.2, §8.5.3.2).
pub mod subtype {
    /// Chassis ID: a MAC address.
    pub const CHASSIS_MAC: u8 = 4;
    /// Chassis ID: text of the sender's own choice.
    pub const CHASSIS_LOCAL: u8 = 7;
    /// Port ID: a MAC address.
    pub const PORT_MAC: u8 = 3;
    /// Port ID: text of the sender's own choice.
    pub const PORT_LOCAL: u8 = 7;
}

/// An organisationally specific TLV (§8.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrgSpecific<'a> {
    /// The organisation.
    pub oui: [u8; 3],
    /// The subtype in its own space.
    pub subtype: u8,
    /// The value, at most 507 bytes.
    pub value: &'a [u8],
}

/// An LLDPDU: what is known of the neighbour. Other optional TLVs are skipped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lldpdu<'a> {
    /// Chassis ID: subtype and value (1 to 255 bytes).
    pub chassis_id: (u8, &'a [u8]),
    /// Port ID: subtype and value (1 to 255 bytes).
    pub port_id: (u8, &'a [u8]),
    /// Seconds that this stays true; 0 takes it back.
    pub ttl: u16,
    /// Organisationally specific TLVs in order, at most [`MAX_ORGANISATIONAL`].
    pub organisational: Vec<OrgSpecific<'a>>,
}

/// Why bytes are not an LLDPDU.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LldpError {
    /// A TLV is longer than what is left.
    #[error("TLV cut off at offset {0}")]
    Truncated(usize),
    /// The first three TLVs must be Chassis ID, Port ID and TTL, each once (§8.2).
    #[error("TLV of type {found} at offset {offset} where type {wanted} must be")]
    Order {
        /// The type that must be here.
        wanted: u8,
        /// The type that is here.
        found: u8,
        /// Where, in bytes from the start of the LLDPDU.
        offset: usize,
    },
    /// A value shorter or longer than its type allows.
    #[error("value of {len} bytes in TLV of type {kind}")]
    Length {
        /// The TLV's type.
        kind: u8,
        /// The value's length.
        len: usize,
    },
}

/// One TLV of an LLDPDU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tlv<'a> {
    /// Its type, seven bits.
    pub kind: u8,
    /// Its value, at most 511 bytes.
    pub value: &'a [u8],
}

/// Walks over the TLVs of an LLDPDU up to its End TLV, the end of the bytes, or the first error.
#[derive(Clone, Debug)]
pub struct Tlvs<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Tlvs<'a> {
    /// The TLVs of the bytes behind the EtherType.
    pub fn new(bytes: &'a [u8]) -> Tlvs<'a> {
        Tlvs { bytes, at: 0 }
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Result<Tlv<'a>, LldpError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let start = std::mem::replace(&mut self.at, self.bytes.len());
        let Some((head, value)) = rest.split_first_chunk::<2>() else {
            return Some(Err(LldpError::Truncated(start)));
        };
        let head = u16::from_be_bytes(*head);
        let (kind, len) = ((head >> 9) as u8, usize::from(head & 0x1ff));
        if kind == kind::END {
            return None;
        }
        let Some(value) = value.get(..len) else {
            return Some(Err(LldpError::Truncated(start)));
        };
        self.at = start + 2 + len;
        Some(Ok(Tlv { kind, value }))
    }
}

impl<'a> Lldpdu<'a> {
    /// Reads the bytes behind the EtherType. Total. A missing End TLV is forgiven (§8.5.1 makes it
    /// optional when the frame ends), and so is padding behind it.
    pub fn parse(bytes: &'a [u8]) -> Result<Lldpdu<'a>, LldpError> {
        let mut tlvs = Tlvs::new(bytes);
        let chassis_id = identifier(mandatory(&mut tlvs, kind::CHASSIS_ID)?)?;
        let port_id = identifier(mandatory(&mut tlvs, kind::PORT_ID)?)?;
        let ttl = mandatory(&mut tlvs, kind::TTL)?;
        let Some(seconds) = ttl.value.first_chunk::<2>() else {
            return Err(LldpError::Length { kind: ttl.kind, len: ttl.value.len() });
        };
        let mut organisational = Vec::new();
        loop {
            let offset = tlvs.at;
            let Some(tlv) = tlvs.next() else { break };
            let tlv = tlv?;
            match tlv.kind {
                kind::CHASSIS_ID | kind::PORT_ID | kind::TTL => {
                    return Err(LldpError::Order { wanted: kind::END, found: tlv.kind, offset });
                }
                kind::ORGANISATIONAL if organisational.len() < MAX_ORGANISATIONAL => {
                    let [a, b, c, subtype, ref value @ ..] = *tlv.value else {
                        return Err(LldpError::Length { kind: tlv.kind, len: tlv.value.len() });
                    };
                    organisational.push(OrgSpecific { oui: [a, b, c], subtype, value });
                }
                _ => {}
            }
        }
        let ttl = u16::from_be_bytes(*seconds);
        Ok(Lldpdu { chassis_id, port_id, ttl, organisational })
    }

    /// Appends the LLDPDU with its End TLV. On an error nothing is appended.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), LldpError> {
        let start = out.len();
        let result = self.encode_tlvs(out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn encode_tlvs(&self, out: &mut Vec<u8>) -> Result<(), LldpError> {
        let ids = [(kind::CHASSIS_ID, self.chassis_id), (kind::PORT_ID, self.port_id)];
        for (kind, (subtype, value)) in ids {
            if value.is_empty() || value.len() > 255 {
                return Err(LldpError::Length { kind, len: value.len() });
            }
            put(out, kind, &[&[subtype], value])?;
        }
        put(out, kind::TTL, &[&self.ttl.to_be_bytes()])?;
        for tlv in &self.organisational {
            put(out, kind::ORGANISATIONAL, &[&tlv.oui, &[tlv.subtype], tlv.value])?;
        }
        put(out, kind::END, &[])
    }
}

fn put(out: &mut Vec<u8>, kind: u8, value: &[&[u8]]) -> Result<(), LldpError> {
    let len = value.iter().map(|part| part.len()).sum();
    if len > MAX_VALUE {
        return Err(LldpError::Length { kind, len });
    }
    out.extend((u16::from(kind) << 9 | len as u16).to_be_bytes());
    value.iter().for_each(|part| out.extend(*part));
    Ok(())
}

fn mandatory<'a>(tlvs: &mut Tlvs<'a>, wanted: u8) -> Result<Tlv<'a>, LldpError> {
    let offset = tlvs.at;
    match tlvs.next() {
        Some(Ok(tlv)) if tlv.kind == wanted => Ok(tlv),
        Some(Ok(tlv)) => Err(LldpError::Order { wanted, found: tlv.kind, offset }),
        Some(Err(error)) => Err(error),
        None => Err(LldpError::Order { wanted, found: kind::END, offset }),
    }
}

fn identifier(tlv: Tlv<'_>) -> Result<(u8, &[u8]), LldpError> {
    match tlv.value {
        [subtype, value @ ..] if !value.is_empty() && value.len() <= 255 => Ok((*subtype, value)),
        value => Err(LldpError::Length { kind: tlv.kind, len: value.len() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Lldpdu<'static> {
        Lldpdu {
            chassis_id: (subtype::CHASSIS_LOCAL, b"dpid:0x1"),
            port_id: (subtype::PORT_LOCAL, b"7"),
            ttl: 120,
            organisational: vec![
                OrgSpecific { oui: [1, 2, 3], subtype: 4, value: b"hash" },
                OrgSpecific { oui: [1, 2, 3], subtype: 5, value: b"" },
            ],
        }
    }

    #[test]
    fn an_lldpdu_survives_encode_and_parse_with_padding_behind_it() {
        let mut bytes = Vec::new();
        sample().encode(&mut bytes).unwrap();
        bytes.extend([0; 20]);
        assert_eq!(Lldpdu::parse(&bytes), Ok(sample()));
    }

    #[test]
    fn optional_tlvs_that_are_not_ours_are_skipped() {
        let mut bytes = Vec::new();
        sample().encode(&mut bytes).unwrap();
        bytes.truncate(bytes.len() - 2);
        bytes.extend([5 << 1, 3, b'n', b'a', b'm', 0, 0]);
        assert_eq!(Lldpdu::parse(&bytes), Ok(sample()));
    }

    #[test]
    fn an_lldpdu_cut_at_any_byte_is_an_error_or_ends_between_optional_tlvs() {
        let mut bytes = Vec::new();
        sample().encode(&mut bytes).unwrap();
        let mandatory = 2 + 9 + 2 + 2 + 4;
        for len in 0..bytes.len() {
            match Lldpdu::parse(&bytes[..len]) {
                Ok(cut) => {
                    assert!(len >= mandatory, "{len}");
                    assert_eq!(cut.port_id, sample().port_id);
                }
                Err(_) => assert_ne!(len, mandatory),
            }
        }
    }

    #[test]
    fn misplaced_repeated_and_empty_mandatory_tlvs_are_errors() {
        let chassis = [2, 2, 7, b'c'];
        let port = [4, 2, 7, b'p'];
        let ttl = [6, 2, 0, 1];
        let order = |wanted, found, offset| Err(LldpError::Order { wanted, found, offset });
        for (bytes, result) in [
            (vec![], order(1, 0, 0)),
            (port.to_vec(), order(1, 2, 0)),
            ([chassis, ttl, port].concat(), order(2, 3, 4)),
            ([chassis, port, ttl, ttl].concat(), order(0, 3, 12)),
            (vec![2, 1, 7], Err(LldpError::Length { kind: 1, len: 1 })),
            (
                [&chassis[..], &port, &[6, 1, 0]].concat(),
                Err(LldpError::Length { kind: 3, len: 1 }),
            ),
        ] {
            assert_eq!(Lldpdu::parse(&bytes), result, "{bytes:?}");
        }
    }

    #[test]
    fn what_no_tlv_can_hold_is_refused_and_nothing_is_written() {
        let long = [0; 508];
        let mut lldpdu = sample();
        lldpdu.organisational[1].value = &long;
        let mut out = vec![9];
        assert_eq!(lldpdu.encode(&mut out), Err(LldpError::Length { kind: 127, len: 512 }));
        assert_eq!(out, [9]);
    }

    #[test]
    fn more_organisational_tlvs_than_the_limit_are_skipped() {
        let mut many = sample();
        many.organisational = vec![OrgSpecific { oui: [0; 3], subtype: 0, value: b"" }; 40];
        let mut bytes = Vec::new();
        many.encode(&mut bytes).unwrap();
        assert_eq!(Lldpdu::parse(&bytes).unwrap().organisational.len(), MAX_ORGANISATIONAL);
    }
}

//! What a switch of 1.0 tells entries apart by: its match, as bytes (1.0 §5.2.3, §4.6). Pure.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::matching::{
    NW_DST_SHIFT, NW_SRC_SHIFT, OfpMatch, W_ALL, W_DL_DST, W_DL_SRC, W_DL_TYPE, W_DL_VLAN,
    W_DL_VLAN_PCP, W_IN_PORT, W_NW_PROTO, W_NW_TOS, W_TP_DST, W_TP_SRC, fill_match, parse_match,
};
use crate::error::EncodeError;
use crate::model::Match;

/// A match in the 40 bytes that OpenFlow 1.0 has for it, for tables that keep one for every entry.
/// What wildcards leave open is zero here, so two are equal exactly where they match the same.
///
/// ```
/// use umlaut_openflow::{MacAddr, Match, MatchKey, PortNo};
/// let entry = Match::new().in_port(PortNo(1)).eth_dst(MacAddr::from_u64(2));
/// let key = MatchKey::new(&entry)?;
/// assert_eq!(key.to_match(), entry);
/// assert!(MatchKey::new(&Match::new().in_port(PortNo(1)))?.covers(&key));
/// # Ok::<(), umlaut_openflow::EncodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MatchKey([u64; 5]);

impl MatchKey {
    /// Bytes of a match on the wire.
    pub const SIZE: usize = OfpMatch::SIZE;

    /// The key of a match.
    ///
    /// # Errors
    /// What 1.0 cannot express.
    pub fn new(matches: &Match) -> Result<MatchKey, EncodeError> {
        let mut wire = [0; MatchKey::SIZE];
        fill_match(matches, &mut wire)?;
        Ok(MatchKey::read(&wire))
    }

    /// The key of a match as it is on the wire. Any bytes give one.
    #[inline]
    pub fn read(wire: &[u8; MatchKey::SIZE]) -> MatchKey {
        let (words, _) = wire.as_chunks();
        let mut key: [u64; 5] = std::array::from_fn(|n| u64::from_be_bytes(words[n]));
        let wildcards = wildcards(&key);
        for (word, mask) in key.iter_mut().zip(masks(wildcards)) {
            *word &= mask;
        }
        key[0] |= u64::from(wildcards) << 32;
        MatchKey(key)
    }

    /// The match.
    pub fn to_match(&self) -> Match {
        let mut wire = [0; MatchKey::SIZE];
        let (words, _) = wire.as_chunks_mut();
        for (bytes, word) in words.iter_mut().zip(self.0) {
            *bytes = word.to_be_bytes();
        }
        // Any bytes of this length are a match.
        parse_match(&wire).map(|(_, matches)| matches).unwrap_or_default()
    }

    /// Whether this one matches every packet that `other` matches, as [`crate::Criteria::covers`].
    pub fn covers(&self, other: &MatchKey) -> bool {
        let (wide, narrow) = (masks(wildcards(&self.0)), masks(wildcards(&other.0)));
        (0..5).all(|n| wide[n] & !narrow[n] == 0 && (self.0[n] ^ other.0[n]) & wide[n] == 0)
    }
}

/// A hasher takes words faster than bytes.
impl Hash for MatchKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|word| state.write_u64(*word));
    }
}

impl fmt::Debug for MatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_match().fmt(f)
    }
}

/// The wildcards, in the form that encoding gives.
#[inline]
fn wildcards(words: &[u64; 5]) -> u32 {
    const COUNTS: u32 = 0x3f << NW_SRC_SHIFT | 0x3f << NW_DST_SHIFT;
    let said = (words[0] >> 32) as u32;
    let count = |shift: u32| (said >> shift & 0x3f).min(32) << shift;
    said & W_ALL & !COUNTS | count(NW_SRC_SHIFT) | count(NW_DST_SHIFT)
}

/// Which bits of the fields count; none of the wildcards themselves.
#[inline]
fn masks(wildcards: u32) -> [u64; 5] {
    let field = |bit: u32, mask: u64| if wildcards & bit == 0 { mask } else { 0 };
    let address = |shift: u32| {
        let open = wildcards >> shift & 0x3f;
        u64::from(u32::MAX.checked_shl(open).unwrap_or(0))
    };
    [
        field(W_IN_PORT, 0xffff << 16) | field(W_DL_SRC, 0xffff),
        field(W_DL_SRC, 0xffff_ffff << 32) | field(W_DL_DST, 0xffff_ffff),
        field(W_DL_DST, 0xffff << 48)
            | field(W_DL_VLAN, 0xffff << 32)
            | field(W_DL_VLAN_PCP, 0xff << 24)
            | field(W_DL_TYPE, 0xffff),
        // The lower two bits of nw_tos are not matched.
        field(W_NW_TOS, 0xfc << 56) | field(W_NW_PROTO, 0xff << 48) | address(NW_SRC_SHIFT),
        address(NW_DST_SHIFT) << 32 | field(W_TP_SRC, 0xffff << 16) | field(W_TP_DST, 0xffff),
    ]
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{Criteria, Masked, MatchField, VlanMatch};
    use crate::types::{MacAddr, PortNo};

    /// One way to say each field, or not, over few values so that matches meet.
    fn matches() -> impl Strategy<Value = Match> {
        let address = || {
            let mask = prop::option::of(
                (0u32..=32).prop_map(|n| Ipv4Addr::from(u32::MAX.checked_shl(n).unwrap_or(0))),
            );
            (0u32..4, 0u32..2, mask).prop_map(|(high, low, mask)| Masked {
                value: Ipv4Addr::from(high << 30 | low),
                mask,
            })
        };
        let mac = || (0u64..2).prop_map(|n| Masked::from(MacAddr::from_u64(n << 40 | n)));
        fn some<T: std::fmt::Debug>(
            of: impl Strategy<Value = T>,
        ) -> impl Strategy<Value = Option<T>> {
            prop::option::weighted(0.4, of)
        }
        let vlan = prop_oneof![Just(VlanMatch::Absent), (0u16..2).prop_map(VlanMatch::Tagged)];
        let layer_2 = (some(0u32..2), some(mac()), some(mac()), some(vlan), some(0u8..2));
        let layer_3 = (some(0u8..2), some(0u8..3), some(address()), some(address()));
        let layer_4 = (prop_oneof![Just(1u8), Just(6), Just(17)], some(0u16..2), some(0u16..2));
        (layer_2, layer_3, layer_4, any::<bool>()).prop_map(|(two, three, four, arp)| {
            let mut m = Match::new();
            let mut say = |field: Option<MatchField>| field.into_iter().for_each(|f| m.push(f));
            say(two.0.map(|port| MatchField::InPort(PortNo(port))));
            say(two.1.map(MatchField::EthSrc));
            say(two.2.map(MatchField::EthDst));
            say(two.3.map(MatchField::VlanVid));
            say(two.4.filter(|_| two.3.is_some()).map(MatchField::VlanPcp));
            if arp {
                say(three.1.map(|op| MatchField::ArpOp(op.into())));
                say(three.2.map(MatchField::ArpSpa));
                say(three.3.map(MatchField::ArpTpa));
                return m.with_prerequisites();
            }
            say(three.0.map(MatchField::IpDscp));
            say(three.2.map(MatchField::Ipv4Src));
            say(three.3.map(MatchField::Ipv4Dst));
            match four.0 {
                1 => say(four.1.map(|kind| MatchField::Icmpv4Type(kind as u8))),
                6 => say(four.1.map(MatchField::TcpSrc)),
                _ => say(four.1.map(MatchField::UdpSrc)),
            }
            match four.0 {
                1 => say(four.2.map(|code| MatchField::Icmpv4Code(code as u8))),
                6 => say(four.2.map(MatchField::TcpDst)),
                _ => say(four.2.map(MatchField::UdpDst)),
            }
            m.with_prerequisites()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn keys_say_what_criteria_say(a in matches(), b in matches()) {
            let (key_a, key_b) = (MatchKey::new(&a).unwrap(), MatchKey::new(&b).unwrap());
            let (all_a, all_b) = (Criteria::new(&a), Criteria::new(&b));
            prop_assert_eq!(key_a == key_b, all_a == all_b, "{:?} {:?}", a, b);
            prop_assert_eq!(key_a.covers(&key_b), all_a.covers(&all_b), "{:?} {:?}", a, b);
            prop_assert_eq!(Criteria::new(&key_a.to_match()), all_a);
            let state = RandomState::new();
            prop_assert!(key_a != key_b || state.hash_one(key_a) == state.hash_one(key_b));
        }

        /// A match of a switch may say things under wildcards.
        #[test]
        fn what_wildcards_leave_open_does_not_count(wire in any::<[u8; 40]>(), other in any::<[u8; 40]>()) {
            let key = MatchKey::read(&wire);
            prop_assert_eq!(MatchKey::new(&key.to_match()).unwrap(), key);
            let (_, whole) = parse_match(&wire).unwrap();
            prop_assert_eq!(MatchKey::new(&whole).unwrap(), key);
            let mut stray = wire;
            let kept = masks(wildcards(&key.0));
            for (n, byte) in stray.iter_mut().enumerate().skip(4) {
                let mask = kept[n / 8].to_be_bytes()[n % 8];
                *byte = *byte & mask | other[n] & !mask;
            }
            prop_assert_eq!(MatchKey::read(&stray), key);
        }
    }
}

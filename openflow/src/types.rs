//! The small values that every message is made of. Pure: no IO, no clock, no locks.
//!
//! Numbers with a meaning are newtypes; sentinels of the wire (`0xffffffff` for "no buffer") become
//! `Option` at the edge. Open code spaces are newtypes with constants, so that unknown codes survive.

use std::fmt;
use std::str::FromStr;

/// An IEEE 802 MAC address, in transmission order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: MacAddr = MacAddr([0xff; 6]);
    /// 00:00:00:00:00:00, which is never a valid sender.
    pub const ZERO: MacAddr = MacAddr([0; 6]);
    /// The nearest-bridge group address of LLDP (IEEE 802.1AB §7.1).
    pub const LLDP: MacAddr = MacAddr([0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e]);

    /// The address whose 48 bits are the low bits of `value`; the upper 16 bits are ignored.
    pub const fn from_u64(value: u64) -> MacAddr {
        let b = value.to_be_bytes();
        MacAddr([b[2], b[3], b[4], b[5], b[6], b[7]])
    }

    /// The address as a number below 2^48.
    pub const fn to_u64(self) -> u64 {
        let m = self.0;
        u64::from_be_bytes([0, 0, m[0], m[1], m[2], m[3], m[4], m[5]])
    }

    /// Whether the group bit is set: multicast or broadcast (IEEE 802 §8.2.2).
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether all six bytes are zero.
    pub const fn is_zero(self) -> bool {
        self.to_u64() == 0
    }

    /// Whether a bridge must never forward to it: 01:80:c2:00:00:00 to -0f (IEEE 802.1Q §8.6.3).
    pub const fn is_bridge_reserved(self) -> bool {
        self.to_u64() & !0xf == 0x0180_c200_0000
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = self.0;
        write!(f, "{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", m[0], m[1], m[2], m[3], m[4], m[5])
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a value of the named type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {wanted}")]
pub struct ParseError {
    /// The text as given.
    pub text: String,
    /// What was wanted, with its form: "a MAC address (six hex pairs with : or -)".
    pub wanted: &'static str,
}

impl ParseError {
    fn new(text: &str, wanted: &'static str) -> ParseError {
        ParseError { text: text.to_owned(), wanted }
    }
}

impl FromStr for MacAddr {
    type Err = ParseError;

    /// Six pairs of hex digits, all separated by `:` or all by `-`.
    fn from_str(text: &str) -> Result<MacAddr, ParseError> {
        let wrong = || ParseError::new(text, "a MAC address (six hex pairs with : or -)");
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut bytes = [0; 6];
        let mut parts = text.split(separator);
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(wrong)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        if parts.next().is_some() { Err(wrong()) } else { Ok(MacAddr(bytes)) }
    }
}

/// A number in decimal, or in hex behind `0x`.
pub(crate) fn parse_u64(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None => (text, 10),
    };
    // from_str_radix would accept a leading sign.
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

/// The 64-bit identity of a switch (OpenFlow 1.3.5 §7.3.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DatapathId(pub u64);

impl fmt::Display for DatapathId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for DatapathId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DatapathId {
    type Err = ParseError;

    /// Decimal, or hex behind `0x`.
    fn from_str(text: &str) -> Result<DatapathId, ParseError> {
        parse_u64(text).map(DatapathId).ok_or_else(|| {
            ParseError::new(text, "a datapath id (decimal, or hex with 0x, 64 bits)")
        })
    }
}

/// A port number in the 32-bit space of OpenFlow 1.1 and later (1.3.5 §7.2.1).
///
/// The 16-bit reserved numbers of OpenFlow 1.0 (0xff00 and above) stand for the 32-bit numbers with
/// the same low half: `0xfffe` (LOCAL) is `0xfffffffe` here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PortNo(pub u32);

impl PortNo {
    /// The highest number of an ordinary port.
    pub const MAX: PortNo = PortNo(0xffff_ff00);
    /// Back out of the port where the packet came in.
    pub const IN_PORT: PortNo = PortNo(0xffff_fff8);
    /// Submit to the flow tables (packet-out only).
    pub const TABLE: PortNo = PortNo(0xffff_fff9);
    /// The switch's own non-OpenFlow forwarding.
    pub const NORMAL: PortNo = PortNo(0xffff_fffa);
    /// All ports but ingress and those closed for flooding.
    pub const FLOOD: PortNo = PortNo(0xffff_fffb);
    /// All ports but ingress.
    pub const ALL: PortNo = PortNo(0xffff_fffc);
    /// The controller.
    pub const CONTROLLER: PortNo = PortNo(0xffff_fffd);
    /// The switch's own network stack.
    pub const LOCAL: PortNo = PortNo(0xffff_fffe);
    /// No port, any port: what 1.0 calls NONE.
    pub const ANY: PortNo = PortNo(0xffff_ffff);

    /// Whether frames can arrive there: an ordinary port (1 to `MAX`) or LOCAL.
    pub const fn is_physical_or_local(self) -> bool {
        (self.0 >= 1 && self.0 <= PortNo::MAX.0) || self.0 == PortNo::LOCAL.0
    }

    /// The 32-bit number for a 16-bit one of OpenFlow 1.0.
    pub const fn from_v10(port: u16) -> PortNo {
        if port >= 0xff00 { PortNo(0xffff_0000 | port as u32) } else { PortNo(port as u32) }
    }

    /// The 16-bit number of OpenFlow 1.0, or `None` if there is none.
    pub const fn to_v10(self) -> Option<u16> {
        if self.0 < 0xff00 || self.0 >= 0xffff_ff00 { Some(self.0 as u16) } else { None }
    }

    const NAMES: [(PortNo, &'static str); 8] = [
        (PortNo::IN_PORT, "in_port"),
        (PortNo::TABLE, "table"),
        (PortNo::NORMAL, "normal"),
        (PortNo::FLOOD, "flood"),
        (PortNo::ALL, "all"),
        (PortNo::CONTROLLER, "controller"),
        (PortNo::LOCAL, "local"),
        (PortNo::ANY, "any"),
    ];
}

impl fmt::Display for PortNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match PortNo::NAMES.iter().find(|(port, _)| port == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for PortNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PortNo {
    type Err = ParseError;

    /// An ordinary port number (1 to 0xffffff00, decimal or 0x hex), or `local`.
    fn from_str(text: &str) -> Result<PortNo, ParseError> {
        if text.eq_ignore_ascii_case("local") {
            return Ok(PortNo::LOCAL);
        }
        match parse_u64(text) {
            Some(n) if (1..=u64::from(PortNo::MAX.0)).contains(&n) => Ok(PortNo(n as u32)),
            _ => Err(ParseError::new(text, "a port (a number from 1, or local)")),
        }
    }
}

/// A VLAN identifier that a frame can belong to: 1 to 4094 (IEEE 802.1Q §9.6).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VlanId(u16);

impl VlanId {
    /// `None` for 0 (priority tag), 4095 (reserved) and above.
    pub const fn new(vid: u16) -> Option<VlanId> {
        if vid >= 1 && vid <= 4094 { Some(VlanId(vid)) } else { None }
    }

    /// The number, 1 to 4094.
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The VLAN side of an attachment. A priority tag (VID 0) counts as untagged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Vid {
    /// No tag, or a priority tag.
    #[default]
    Untagged,
    /// An 802.1Q tag with this VID.
    Tagged(VlanId),
}

impl fmt::Display for Vid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Vid::Untagged => f.write_str("untagged"),
            Vid::Tagged(vid) => write!(f, "vlan {vid}"),
        }
    }
}

/// A place where hosts attach: a port of a switch, and a VLAN there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Attachment {
    /// The switch.
    pub dpid: DatapathId,
    /// The port, ordinary or LOCAL.
    pub port: PortNo,
    /// Untagged, or the VID of the 802.1Q tag.
    pub vid: Vid,
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.dpid, self.port)?;
        match self.vid {
            Vid::Untagged => Ok(()),
            Vid::Tagged(vid) => write!(f, " vlan {vid}"),
        }
    }
}

/// Declares an open code space: a newtype whose unknown values survive.
macro_rules! newtype {
    ($(#[$doc:meta])* $name:ident($inner:ty) $format:literal $({ $($(#[$cdoc:meta])* $constant:ident = $value:expr,)* })?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        #[cfg(feature = "serde")]
        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                ::serde::Serialize::serialize(&self.0, s)
            }
        }

        $(impl $name {
            $($(#[$cdoc])* pub const $constant: $name = $name($value);)*
        })?

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                $($(if *self == $name::$constant {
                    return f.write_str(stringify!($constant));
                })*)?
                write!(f, $format, self.0)
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(self, f)
            }
        }
    };
}
pub(crate) use newtype;

newtype! {
    /// The transaction id of a message: a reply carries that of its request.
    Xid(u32) "{:#x}"
}
newtype! {
    /// A packet kept by the switch. "No buffer" (0xffffffff) is `None` of `Option<BufferId>`.
    BufferId(u32) "{:#x}"
}
/// The controller's own 64 bits on a flow entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cookie(pub u64);

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
newtype! {
    /// A flow table.
    TableId(u8) "{}" {
        /// All tables, in deletions and statistics requests.
        ALL = 0xff,
    }
}
newtype! {
    /// A group (1.3.5 §7.3.4.2).
    GroupId(u32) "{}" {
        /// The highest number of an ordinary group.
        MAX = 0xffff_ff00,
        /// All groups, in deletions.
        ALL = 0xffff_fffc,
        /// Any group: no restriction.
        ANY = 0xffff_ffff,
    }
}
/// The version byte of the OpenFlow header.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub u8);

impl Version {
    /// OpenFlow 1.0.
    pub const V1_0: Version = Version(1);
    /// OpenFlow 1.1.
    pub const V1_1: Version = Version(2);
    /// OpenFlow 1.2.
    pub const V1_2: Version = Version(3);
    /// OpenFlow 1.3.
    pub const V1_3: Version = Version(4);
    /// OpenFlow 1.4.
    pub const V1_4: Version = Version(5);
    /// OpenFlow 1.5.
    pub const V1_5: Version = Version(6);
}

impl fmt::Display for Version {
    /// As people say it: `1.3`; an unknown byte in hex.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1..=6 => write!(f, "1.{}", self.0 - 1),
            other => write!(f, "{other:#04x}"),
        }
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_addresses_are_six_hex_pairs_with_one_kind_of_separator() {
        let mac = MacAddr([0, 0x1b, 0x21, 0xab, 0xcd, 0xef]);
        for text in ["00:1b:21:ab:cd:ef", "00-1B-21-AB-CD-EF"] {
            assert_eq!(text.parse(), Ok(mac), "{text}");
        }
        assert_eq!(mac.to_string(), "00:1b:21:ab:cd:ef");
        assert_eq!(MacAddr::from_u64(mac.to_u64()), mac);
        for text in [
            "",
            "zz:zz",
            "0:1b:21:ab:cd:ef",
            "00:1b:21:ab:cd",
            "00:1b:21:ab:cd:ef:00",
            "00:1b-21:ab:cd:ef",
            "+0:1b:21:ab:cd:ef",
            "001b21abcdef",
        ] {
            assert!(text.parse::<MacAddr>().is_err(), "{text}");
        }
    }

    #[test]
    fn ports_of_1_0_and_1_3_map_to_each_other() {
        for port in 0..=u16::MAX {
            assert_eq!(PortNo::from_v10(port).to_v10(), Some(port));
        }
        assert_eq!(PortNo::from_v10(0xfffe), PortNo::LOCAL);
        assert_eq!(PortNo(0x1_0000).to_v10(), None);
        assert_eq!(PortNo(0xff00).to_v10(), None);
    }

    #[test]
    fn ports_and_datapaths_are_decimal_or_hex() {
        assert_eq!("0xa".parse(), Ok(PortNo(10)));
        assert_eq!("local".parse(), Ok(PortNo::LOCAL));
        for text in ["0", "-1", "+1", "a", "0x", "4294967295", ""] {
            assert!(text.parse::<PortNo>().is_err(), "{text}");
        }
        assert_eq!("0xffffffffffffffff".parse(), Ok(DatapathId(u64::MAX)));
        assert!("0x1ffffffffffffffff".parse::<DatapathId>().is_err());
    }
}

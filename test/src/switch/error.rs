//! Why a switch refuses a message, and how each version says it (1.3.5 §7.4.4, 1.0 §5.4.4). Pure.

use umlaut_openflow::{ErrorCode, Version};

/// A refusal: the numbers of 1.0 and of 1.3. Where 1.0 has no such error, it has what Open vSwitch
/// sends instead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    v10: Code,
    v13: (u16, u16),
}

/// How 1.0 says it: with a code of its own, or with one of Nicira's (an error of a type and code for
/// vendors, whose data begins with Nicira's id, type and code).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Code {
    Own(u16, u16),
    Nicira(&'static [u8; 8]),
}

/// OFPET_VENDOR of Open vSwitch, and its code.
const VENDOR: (u16, u16) = (0xb0c2, 0);

const fn refusal(v10: (u16, u16), v13: (u16, u16)) -> Refusal {
    Refusal { v10: Code::Own(v10.0, v10.1), v13 }
}

const fn by_nicira(v10: &'static [u8; 8], v13: (u16, u16)) -> Refusal {
    Refusal { v10: Code::Nicira(v10), v13 }
}

/// What cannot be asked for in 1.0.
const fn later(kind: u16, code: u16) -> Refusal {
    refusal((1, 1), (kind, code))
}

impl Refusal {
    pub(crate) const HELLO_INCOMPATIBLE: Refusal = refusal((0, 0), (0, 0));

    pub(crate) const BAD_VERSION: Refusal = refusal((1, 0), (1, 0));
    pub(crate) const BAD_TYPE: Refusal = refusal((1, 1), (1, 1));
    pub(crate) const BAD_STATISTICS: Refusal = refusal((1, 2), (1, 2));
    pub(crate) const BAD_EXPERIMENTER: Refusal = refusal((1, 3), (1, 3));
    pub(crate) const BUFFER_EMPTY: Refusal = refusal((1, 7), (1, 7));
    pub(crate) const BUFFER_UNKNOWN: Refusal = refusal((1, 8), (1, 8));
    pub(crate) const NOT_PERMITTED: Refusal = refusal((1, 5), (1, 5));
    pub(crate) const IS_SLAVE: Refusal = refusal((1, 5), (1, 10));
    pub(crate) const BAD_PORT: Refusal = by_nicira(&[0, 0, 0x23, 0x20, 0, 1, 2, 2], (1, 11));

    pub(crate) const ACTION_BAD_TYPE: Refusal = refusal((2, 0), (2, 0));
    pub(crate) const ACTION_BAD_OUT_PORT: Refusal = refusal((2, 4), (2, 4));
    pub(crate) const ACTION_BAD_ARGUMENT: Refusal = refusal((2, 5), (2, 5));
    pub(crate) const ACTION_BAD_OUT_GROUP: Refusal = refusal((2, 0), (2, 9));
    pub(crate) const ACTION_MATCH_INCONSISTENT: Refusal = refusal((2, 5), (2, 10));
    pub(crate) const ACTION_BAD_TAG: Refusal = refusal((2, 5), (2, 12));
    pub(crate) const ACTION_BAD_SET_TYPE: Refusal = refusal((2, 0), (2, 13));
    pub(crate) const ACTION_BAD_SET_ARGUMENT: Refusal = refusal((2, 5), (2, 15));

    pub(crate) const INSTRUCTION_UNKNOWN: Refusal = refusal((2, 0), (3, 0));
    pub(crate) const INSTRUCTION_BAD_TABLE: Refusal = refusal((2, 5), (3, 2));
    pub(crate) const INSTRUCTION_DUPLICATE: Refusal = refusal((2, 5), (3, 9));

    pub(crate) const MATCH_BAD_WILDCARDS: Refusal = refusal((1, 6), (4, 5));
    pub(crate) const MATCH_BAD_FIELD: Refusal = refusal((1, 6), (4, 6));
    pub(crate) const MATCH_BAD_VALUE: Refusal = refusal((1, 6), (4, 7));
    pub(crate) const MATCH_BAD_PREREQ: Refusal = refusal((1, 6), (4, 9));
    pub(crate) const MATCH_DUP_FIELD: Refusal = refusal((1, 6), (4, 10));

    pub(crate) const FLOW_TABLE_FULL: Refusal = refusal((3, 0), (5, 1));
    pub(crate) const FLOW_BAD_TABLE: Refusal = refusal((3, 0), (5, 2));
    pub(crate) const FLOW_OVERLAP: Refusal = refusal((3, 1), (5, 3));
    pub(crate) const FLOW_BAD_COMMAND: Refusal = refusal((3, 4), (5, 6));
    pub(crate) const FLOW_BAD_FLAGS: Refusal = by_nicira(&[0, 0, 0x23, 0x20, 0, 3, 1, 2], (5, 7));

    pub(crate) const PORT_MOD_BAD_PORT: Refusal = refusal((4, 0), (7, 0));
    pub(crate) const PORT_MOD_BAD_ADDRESS: Refusal = refusal((4, 1), (7, 1));

    pub(crate) const GROUP_EXISTS: Refusal = later(6, 0);
    pub(crate) const GROUP_INVALID: Refusal = later(6, 1);
    pub(crate) const GROUP_WATCH_UNSUPPORTED: Refusal = later(6, 6);
    pub(crate) const GROUP_UNKNOWN: Refusal = later(6, 8);
    pub(crate) const GROUP_BAD_TYPE: Refusal = later(6, 10);
    pub(crate) const GROUP_BAD_COMMAND: Refusal = later(6, 11);

    pub(crate) const TABLE_MOD_NOT_PERMITTED: Refusal = later(8, 2);

    pub(crate) const QUEUE_BAD_PORT: Refusal = refusal((5, 0), (9, 0));
    pub(crate) const QUEUE_BAD_QUEUE: Refusal = refusal((5, 1), (9, 1));

    pub(crate) const CONFIG_BAD_FLAGS: Refusal = refusal((1, 6), (10, 0));

    pub(crate) const ROLE_STALE: Refusal = later(11, 0);
    pub(crate) const ROLE_BAD: Refusal = later(11, 2);

    pub(crate) const METER_EXISTS: Refusal = later(12, 1);
    pub(crate) const METER_INVALID: Refusal = later(12, 2);
    pub(crate) const METER_UNKNOWN: Refusal = later(12, 3);
    pub(crate) const METER_BAD_COMMAND: Refusal = later(12, 4);
    pub(crate) const METER_BAD_FLAGS: Refusal = later(12, 5);
    pub(crate) const METER_BAD_RATE: Refusal = later(12, 6);
    pub(crate) const METER_BAD_BAND: Refusal = later(12, 8);
    pub(crate) const METER_OUT_OF_BANDS: Refusal = later(12, 11);

    pub(crate) const TABLE_FEATURES_NOT_PERMITTED: Refusal = later(13, 5);

    /// The error type and code in this version.
    pub(crate) fn code(self, version: Version) -> ErrorCode {
        let (kind, code) = match self.v10 {
            _ if version != Version::V1_0 => self.v13,
            Code::Own(kind, code) => (kind, code),
            Code::Nicira(_) => VENDOR,
        };
        ErrorCode::new(kind, code)
    }

    /// What stands before the refused message in the error's data.
    pub(crate) fn prefix(&self, version: Version) -> &[u8] {
        match &self.v10 {
            Code::Nicira(words) if version == Version::V1_0 => &words[..],
            _ => &[],
        }
    }
}

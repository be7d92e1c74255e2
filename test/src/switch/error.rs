//! Why a switch refuses a message, and how each version says it (1.3.5 §7.4.4, 1.0 §5.4.4). Pure.

use umlaut_openflow::{ErrorCode, Version};

/// A refusal: the numbers of 1.0 and of 1.3. Where 1.0 has no such error, it has what Open vSwitch
/// sends instead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    v10: (u16, u16),
    v13: (u16, u16),
}

const fn refusal(v10: (u16, u16), v13: (u16, u16)) -> Refusal {
    Refusal { v10, v13 }
}

impl Refusal {
    pub(crate) const HELLO_INCOMPATIBLE: Refusal = refusal((0, 0), (0, 0));

    pub(crate) const BAD_VERSION: Refusal = refusal((1, 0), (1, 0));
    pub(crate) const BAD_TYPE: Refusal = refusal((1, 1), (1, 1));
    pub(crate) const BAD_STATISTICS: Refusal = refusal((1, 2), (1, 2));
    pub(crate) const BAD_EXPERIMENTER: Refusal = refusal((1, 3), (1, 3));
    pub(crate) const BUFFER_EMPTY: Refusal = refusal((1, 7), (1, 7));
    pub(crate) const BUFFER_UNKNOWN: Refusal = refusal((1, 8), (1, 8));
    pub(crate) const BAD_PORT: Refusal = refusal((1, 4), (1, 11));

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
    pub(crate) const FLOW_BAD_FLAGS: Refusal = refusal((3, 5), (5, 7));

    pub(crate) const PORT_MOD_BAD_PORT: Refusal = refusal((4, 0), (7, 0));
    pub(crate) const PORT_MOD_BAD_ADDRESS: Refusal = refusal((4, 1), (7, 1));

    pub(crate) const METER_UNKNOWN: Refusal = refusal((2, 0), (12, 6));

    /// The error type and code in this version.
    pub(crate) fn code(self, version: Version) -> ErrorCode {
        let (kind, code) = if version == Version::V1_0 { self.v10 } else { self.v13 };
        ErrorCode::new(kind, code)
    }
}

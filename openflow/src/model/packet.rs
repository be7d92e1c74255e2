//! Packets between switch and controller. Pure.

use std::borrow::Cow;

use super::action::{Action, Actions};
use crate::types::{BufferId, Cookie, MacAddr, PortNo, TableId, newtype};

newtype! {
    /// Why a packet came to the controller (1.3.5 §7.4.1).
    PacketInReason(u8) "reason {}" {
        /// No entry matched (1.3: the table-miss entry did).
        NO_MATCH = 0,
        /// An action said so.
        ACTION = 1,
        /// Its time to live ran out.
        INVALID_TTL = 2,
    }
}

/// A packet for the controller (OFPT_PACKET_IN). Borrowed from the message: nothing is copied.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PacketIn<'a> {
    /// The switch's copy, if it kept one.
    pub buffer_id: Option<BufferId>,
    /// The length of the whole frame; `data` may be shorter.
    pub total_len: u16,
    /// Where it came in.
    pub in_port: PortNo,
    /// Why it was sent.
    pub reason: PacketInReason,
    /// The table of the entry that sent it; 0 in 1.0.
    pub table_id: TableId,
    /// The cookie of that entry; all ones if unknown, as in 1.0.
    pub cookie: Cookie,
    /// The 1.3 match (OXM fields without the `ofp_match` header) verbatim, where it says more than
    /// the ingress port alone; empty in 1.0.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::hex"))]
    pub pipeline: Cow<'a, [u8]>,
    /// The frame, from the destination MAC on, without frame check sequence.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::hex"))]
    pub data: Cow<'a, [u8]>,
}

impl PacketIn<'_> {
    /// The frame's source; zero if it is cut short before. For more than addresses there is
    /// [`Headers`](crate::packet::Headers).
    #[inline]
    pub fn eth_src(&self) -> MacAddr {
        self.data
            .get(6..12)
            .and_then(<[u8]>::first_chunk)
            .map_or(MacAddr::ZERO, |mac| MacAddr(*mac))
    }

    /// The frame's destination; zero if it is cut short before.
    #[inline]
    pub fn eth_dst(&self) -> MacAddr {
        self.data.first_chunk().map_or(MacAddr::ZERO, |mac| MacAddr(*mac))
    }
}

/// A packet to send (OFPT_PACKET_OUT).
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PacketOut<'a> {
    /// The switch's copy to send; `data` is then empty.
    pub buffer_id: Option<BufferId>,
    /// Where it came in, for `IN_PORT`, `FLOOD` and `TABLE`; `ANY` (1.0: NONE) or `CONTROLLER` if nowhere.
    pub in_port: PortNo,
    /// What to do with it; empty: drop it.
    pub actions: Actions,
    /// The frame.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::hex"))]
    pub data: Cow<'a, [u8]>,
}

impl<'a> PacketOut<'a> {
    /// Sends `data` out of `port`, coming from nowhere.
    pub fn to_port(port: PortNo, data: impl Into<Cow<'a, [u8]>>) -> PacketOut<'a> {
        PacketOut {
            buffer_id: None,
            in_port: PortNo::ANY,
            actions: [Action::output(port)].into(),
            data: data.into(),
        }
    }
}

//! Entries that a fake switch keeps, oldest first, as the flow-removed messages that will tell their
//! end (1.3.5 §7.4.2, 1.0 §5.4.3). Pure.
//!
//! A flow-removed carries the match, cookie, priority and time-outs of the flow-mod that made the
//! entry, so it is made of that message's bytes when the entry is.

use std::collections::VecDeque;

use umlaut_openflow::Version;

/// OFPT_FLOW_REMOVED and OFPRR_IDLE_TIMEOUT, in 1.0 and 1.3.
const FLOW_REMOVED: u8 = 11;
const IDLE_TIMEOUT: u8 = 0;
/// OFPFF_SEND_FLOW_REM.
const SEND_FLOW_REM: u8 = 1;

/// Entries whose end the controller wants to know, oldest first.
#[derive(Debug, Default)]
pub(super) struct LiveEntries {
    /// Whole flow-removed messages.
    messages: VecDeque<u8>,
    count: usize,
}

impl LiveEntries {
    /// How many.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Notes the entry of a flow-mod that adds one. False: nobody wants to know its end.
    pub(super) fn add(&mut self, version: Version, flow_mod: &[u8]) -> bool {
        let added = match version {
            Version::V1_0 => self.add_v10(flow_mod),
            _ => self.add_v13(flow_mod),
        };
        if added.is_some() {
            self.count += 1;
        }
        added.is_some()
    }

    fn add_v10(&mut self, flow_mod: &[u8]) -> Option<()> {
        let matches = flow_mod.get(8..48)?;
        let cookie = flow_mod.get(48..56)?;
        let idle_timeout = flow_mod.get(58..60)?;
        let priority = flow_mod.get(62..64)?;
        if flow_mod.get(71)? & SEND_FLOW_REM == 0 {
            return None;
        }
        self.messages.extend(&[1, FLOW_REMOVED, 0, 88, 0, 0, 0, 0]);
        self.messages.extend(matches);
        self.messages.extend(cookie);
        self.messages.extend(priority);
        // Padding, then how long it lived: 60 s.
        self.messages.extend(&[IDLE_TIMEOUT, 0, 0, 0, 0, 60, 0, 0, 0, 0]);
        self.messages.extend(idle_timeout);
        self.messages.extend(&[0; 18]);
        Some(())
    }

    fn add_v13(&mut self, flow_mod: &[u8]) -> Option<()> {
        let cookie = flow_mod.get(8..16)?;
        let table = *flow_mod.get(24)?;
        let timeouts = flow_mod.get(26..30)?;
        let priority = flow_mod.get(30..32)?;
        if flow_mod.get(45)? & SEND_FLOW_REM == 0 {
            return None;
        }
        let length = flow_mod.get(50..52)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let matches = flow_mod.get(48..48 + length.next_multiple_of(8))?;
        let length = u16::try_from(48 + matches.len()).ok()?.to_be_bytes();
        self.messages.extend(&[4, FLOW_REMOVED, length[0], length[1], 0, 0, 0, 0]);
        self.messages.extend(cookie);
        self.messages.extend(priority);
        self.messages.extend(&[IDLE_TIMEOUT, table, 0, 0, 0, 60, 0, 0, 0, 0]);
        self.messages.extend(timeouts);
        self.messages.extend(&[0; 16]);
        self.messages.extend(matches);
        Some(())
    }

    /// Ends the oldest entry: appends its flow-removed to `out`. False: there is none.
    pub(super) fn end_oldest(&mut self, out: &mut Vec<u8>) -> bool {
        let (Some(high), Some(low)) = (self.messages.get(2), self.messages.get(3)) else {
            return false;
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (front, back) = self.messages.as_slices();
        let cut = length.min(front.len());
        out.extend_from_slice(&front[..cut]);
        out.extend_from_slice(&back[..length - cut]);
        self.messages.drain(..length);
        self.count -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::BytesMut;
    use umlaut_openflow::{
        Action, Cookie, FlowMod, FlowModFlags, FlowRemovedReason, MacAddr, Match, Message, PortNo,
        TableId, Xid, decode, encode,
    };

    use super::*;

    fn bytes(version: Version, entry: &FlowMod) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        encode(version, Xid(1), &Message::FlowMod(entry.clone()), &mut bytes).unwrap();
        bytes.to_vec()
    }

    fn entry(n: u16) -> FlowMod {
        let mac = MacAddr::from_u64(0x0200_0000_0000 | u64::from(n));
        let mut matches = Match::new().in_port(PortNo(n.into())).eth_src(mac);
        if n % 2 == 1 {
            matches =
                matches.eth_type(0x0800u16).ipv4_dst(std::net::Ipv4Addr::new(10, 0, 0, n as u8));
        }
        FlowMod::add(matches)
            .cookie(Cookie(0x0102_0304_0506_0000 | u64::from(n)))
            .priority(1000 + n)
            .timeouts(60 + n, 7 * (n % 3))
            .flags(FlowModFlags::SEND_FLOW_REM)
            .apply(vec![Action::output(PortNo(2))])
    }

    #[test]
    fn the_end_of_an_entry_is_told_with_what_made_it() {
        for version in [Version::V1_0, Version::V1_3] {
            let mut live = LiveEntries::default();
            let mut expected = VecDeque::new();
            let mut next = 1;
            // The ring turns round several times.
            for _ in 0..500 {
                while live.len() < 9 {
                    assert!(live.add(version, &bytes(version, &entry(next))));
                    expected.push_back(entry(next));
                    next += 1;
                }
                let mut out = Vec::new();
                assert!(live.end_oldest(&mut out));
                let (header, Message::FlowRemoved(removed)) = decode(&out).unwrap() else {
                    panic!()
                };
                let made = expected.pop_front().unwrap();
                assert_eq!(header.version, version);
                assert_eq!(removed.cookie, made.cookie);
                assert_eq!(removed.priority, made.priority);
                assert_eq!(removed.matches, made.matches);
                assert_eq!(removed.idle_timeout, made.idle_timeout);
                let hard = if version == Version::V1_0 { 0 } else { made.hard_timeout };
                assert_eq!(removed.hard_timeout, hard);
                assert_eq!(removed.reason, FlowRemovedReason::IDLE_TIMEOUT);
                assert_eq!(removed.table_id, TableId(0));
                assert_eq!(removed.duration, Duration::from_secs(60));
            }
        }
    }

    #[test]
    fn entries_whose_end_nobody_wants_to_know_are_not_kept() {
        for version in [Version::V1_0, Version::V1_3] {
            let mut live = LiveEntries::default();
            let unasked = FlowMod { flags: FlowModFlags(0), ..entry(1) };
            assert!(!live.add(version, &bytes(version, &unasked)));
            let whole = bytes(version, &entry(1));
            for end in 0..whole.len().min(64) {
                assert!(!live.add(version, &whole[..end]), "{end}");
            }
            let mut out = Vec::new();
            assert!(!live.end_oldest(&mut out));
            assert_eq!((live.len(), out.len()), (0, 0));
        }
    }
}

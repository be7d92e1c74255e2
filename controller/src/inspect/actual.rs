//! The entries that a switch says it has. Pure.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use foldhash::fast::RandomState;
use umlaut_openflow::{
    Cookie, FlowStats, Instruction, MacAddr, Match, MatchField, TableId, VlanMatch,
};

use super::Wanted;
use crate::readback::same_actions;

/// How much an entry was used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// Packets matched.
    pub packets: u64,
    /// Bytes matched.
    pub bytes: u64,
    /// How long it has been there.
    pub age: Duration,
}

/// An entry that a switch has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// How much it was used.
    pub usage: Usage,
    /// Whether it does what it should.
    pub does: bool,
}

/// The flow table of a switch, from its statistics. Entries that are wanted are ticked off; what is
/// left is nobody's.
#[derive(Debug)]
pub struct ActualTable {
    entries: Vec<(FlowStats, bool)>,
    by_cookie: HashMap<Cookie, Vec<usize>, RandomState>,
}

impl ActualTable {
    /// A table with nothing ticked off.
    pub fn new(flows: Vec<FlowStats>) -> ActualTable {
        let mut by_cookie: HashMap<Cookie, Vec<usize>, RandomState> = HashMap::default();
        for (index, flow) in flows.iter().enumerate() {
            by_cookie.entry(flow.cookie).or_default().push(index);
        }
        ActualTable { entries: flows.into_iter().map(|flow| (flow, false)).collect(), by_cookie }
    }

    /// Ticks off an entry: in the first table, same cookie, priority and match. `None`: the switch
    /// does not have it.
    pub fn tick_off(&mut self, wanted: &Wanted) -> Option<Found> {
        let matches = wanted.matches.as_ref()?;
        for index in self.by_cookie.get(&wanted.cookie)? {
            let (flow, ticked) = &mut self.entries[*index];
            let place = (flow.table_id, flow.priority) == (TableId(0), wanted.priority);
            if place && same_match(&flow.matches, matches) {
                *ticked = true;
                let (packets, bytes) = (flow.packet_count, flow.byte_count);
                let usage = Usage { packets, bytes, age: flow.duration };
                let does = match &flow.instructions[..] {
                    [] => wanted.actions.is_empty(),
                    [Instruction::Apply(actions)] => same_actions(actions, &wanted.actions),
                    _ => false,
                };
                return Some(Found { usage, does });
            }
        }
        None
    }

    /// What was not ticked off, in the order of the switch.
    pub fn rest(&self) -> impl Iterator<Item = &FlowStats> {
        self.entries.iter().filter(|(_, ticked)| !ticked).map(|(flow, _)| flow)
    }
}

/// Whether two matches are satisfied by the same frames, field by field: switches tell the fields in
/// an order of their own, and a mask of ones as none.
pub fn same_match(a: &Match, b: &Match) -> bool {
    let fields = |m: &Match| {
        let untagged = m.fields().contains(&MatchField::VlanVid(VlanMatch::Absent));
        // Open vSwitch tells a priority of untagged frames in 1.0, where there is none.
        let means = |field: &&MatchField| !(untagged && matches!(field, MatchField::VlanPcp(_)));
        m.fields().iter().filter(means).cloned().map(plain).collect::<Vec<_>>()
    };
    let (a, b) = (fields(a), fields(b));
    a.len() == b.len() && a.iter().all(|field| b.contains(field))
}

/// A field without a mask that says nothing.
fn plain(field: MatchField) -> MatchField {
    macro_rules! plain {
        ($($variant:ident: $ones:expr,)*) => {
            match field {
                $(MatchField::$variant(mut masked) => {
                    masked.mask = masked.mask.filter(|mask| *mask != $ones);
                    MatchField::$variant(masked)
                })*
                other => other,
            }
        };
    }
    let mac = MacAddr::BROADCAST;
    let v4 = Ipv4Addr::BROADCAST;
    let v6 = Ipv6Addr::from(u128::MAX);
    plain! {
        EthDst: mac, EthSrc: mac, ArpSha: mac, ArpTha: mac,
        Ipv4Src: v4, Ipv4Dst: v4, ArpSpa: v4, ArpTpa: v4,
        Ipv6Src: v6, Ipv6Dst: v6, Ipv6NdTarget: v6,
        Metadata: u64::MAX, TunnelId: u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use umlaut_openflow::{Action, DatapathId, Masked, PortNo};

    use super::*;
    use crate::path::Leg;

    fn flow(cookie: u64, matches: Match, packets: u64) -> FlowStats {
        FlowStats {
            table_id: TableId(0),
            duration: Duration::from_secs(3),
            priority: 9,
            idle_timeout: 60,
            hard_timeout: 0,
            flags: umlaut_openflow::FlowModFlags(0),
            cookie: Cookie(cookie),
            packet_count: packets,
            byte_count: packets * 60,
            matches,
            instructions: [].into(),
        }
    }

    fn wanted(cookie: u64, matches: Match) -> Wanted {
        Wanted {
            dpid: DatapathId(1),
            leg: Leg::Forward,
            cookie: Cookie(cookie),
            priority: 9,
            matches: Some(matches),
            actions: [].into(),
        }
    }

    #[test]
    fn an_entry_that_does_something_else_or_is_in_another_table_is_told() {
        let asked = Match::new().in_port(PortNo(1));
        let output = |port| vec![Action::output(PortNo(port))];
        for (table_id, instructions, found) in [
            (0, vec![Instruction::Apply(output(2).into())], Some(true)),
            (0, vec![Instruction::Apply(output(3).into())], Some(false)),
            (0, vec![Instruction::Apply([output(2), output(3)].concat().into())], Some(false)),
            (0, vec![], Some(false)),
            (0, vec![Instruction::Write(output(2).into())], Some(false)),
            (1, vec![Instruction::Apply(output(2).into())], None),
        ] {
            let flow = FlowStats {
                table_id: TableId(table_id),
                instructions: instructions.into(),
                ..flow(1, asked.clone(), 2)
            };
            let mut table = ActualTable::new(vec![flow.clone()]);
            let wanted = Wanted { actions: output(2).into(), ..wanted(1, asked.clone()) };
            assert_eq!(table.tick_off(&wanted).map(|found| found.does), found, "{flow:?}");
        }
        let mut drops = ActualTable::new(vec![flow(1, asked.clone(), 2)]);
        assert!(drops.tick_off(&wanted(1, asked)).unwrap().does);
    }

    #[test]
    fn an_entry_is_known_by_cookie_and_match_whatever_the_order_of_fields() {
        let mac = MacAddr::from_u64(5);
        let told = Match::new()
            .eth_src(Masked { value: mac, mask: Some(MacAddr::BROADCAST) })
            .in_port(PortNo(1));
        let asked = Match::new().in_port(PortNo(1)).eth_src(mac);
        let mut table = ActualTable::new(vec![flow(1, told, 2), flow(3, asked.clone(), 4)]);
        assert_eq!(table.tick_off(&wanted(1, asked.clone())).unwrap().usage.packets, 2);
        assert_eq!(table.tick_off(&wanted(2, asked.clone())), None, "another cookie");
        assert_eq!(table.tick_off(&wanted(3, Match::new().in_port(PortNo(2)))), None);
        assert_eq!(table.rest().map(|flow| flow.cookie).collect::<Vec<_>>(), [Cookie(3)]);
        let priority = Wanted { priority: 8, ..wanted(3, asked.clone()) };
        assert_eq!(table.tick_off(&priority), None, "another priority");
        let untagged = Match::new().vlan_vid(VlanMatch::Absent);
        assert!(same_match(&untagged.clone().vlan_pcp(0), &untagged));
        let tagged = Match::new().vlan_vid(VlanMatch::Tagged(7));
        assert!(!same_match(&tagged.clone().vlan_pcp(0), &tagged));
        let away = Wanted { matches: None, ..wanted(3, asked) };
        assert_eq!(table.tick_off(&away), None);
    }
}

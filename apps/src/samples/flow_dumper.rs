//! A flow dumper: prints the flow entries of all switches now and then. Pure.

use umlaut_controller::{App, Context, Policy, Switch};
use umlaut_openflow::{FlowStats, Instruction, Match, Xid};

use super::Print;
use super::config::Period;

const DUMP: &str = "dump";

/// The application.
pub struct FlowDumper {
    period: Period,
    print: Print,
}

impl FlowDumper {
    /// One that dumps this often.
    pub fn new(period: Period, print: Print) -> FlowDumper {
        FlowDumper { period, print }
    }
}

impl<P: Policy> App<P> for FlowDumper {
    fn start(&self, cx: &Context<'_, P>) {
        let _ = cx.every(DUMP, self.period.duration());
    }

    fn timer(&self, cx: &Context<'_, P>, _: &str) {
        for dpid in cx.switches() {
            // A switch that is busy is left out this time.
            let _ = cx.on_switch(dpid, |sw| drop(sw.request_flow_stats(Match::new())));
        }
    }

    fn flow_stats_reply(&self, sw: &mut Switch, _: &Context<'_, P>, _: Xid, flows: &[FlowStats]) {
        (self.print)(&format!("switch {}: {} entries", sw.dpid(), flows.len()));
        let mut flows: Vec<_> = flows.iter().collect();
        flows.sort_by_key(|flow| (flow.table_id, std::cmp::Reverse(flow.priority)));
        for flow in flows {
            (self.print)(&line(flow));
        }
    }
}

/// An entry for people.
fn line(flow: &FlowStats) -> String {
    let matches: Vec<_> = flow.matches.fields().iter().map(|f| format!("{f:?}")).collect();
    let does: Vec<_> = flow
        .instructions
        .iter()
        .flat_map(|instruction| match instruction {
            Instruction::Apply(actions) => actions.iter().map(|a| format!("{a:?}")).collect(),
            other => vec![format!("{other:?}")],
        })
        .collect();
    format!(
        "  table {} priority {} cookie {}: {} => {}; {} packets, {} bytes, {} s",
        flow.table_id,
        flow.priority,
        flow.cookie,
        if matches.is_empty() { "everything".to_owned() } else { matches.join(" ") },
        if does.is_empty() { "drop".to_owned() } else { does.join(" ") },
        flow.packet_count,
        flow.byte_count,
        flow.duration.as_secs(),
    )
}

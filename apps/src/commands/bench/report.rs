//! What a load came to, for people. Pure.

use umlaut_testbed::load::LatencySummary;

use super::super::ask::table::Table;
use super::run::{Named, Outcome};

pub(super) fn text(outcome: &Outcome) -> String {
    let mut table = Table::new(["", ">LOAD", ">STORM"]);
    let columns = |value: &dyn Fn(&Named) -> Option<String>| {
        let mut cells = outcome.measured.iter().map(|one| value(one).unwrap_or_default());
        [cells.next().unwrap_or_default(), cells.next().unwrap_or_default()]
    };
    let mut row = |name: &str, value: &dyn Fn(&Named) -> Option<String>| {
        let [load, storm] = columns(value);
        if !load.is_empty() || !storm.is_empty() {
            table.row([name.to_owned(), load, storm]);
        }
    };
    row("set-ups a second", &|one| Some(format!("{:.0}", one.set_ups_per_second)));
    row("controller, µs of processor a set-up", &|one| {
        one.controller_us_per_set_up.map(|us| format!("{us:.3}"))
    });
    row("generator, µs of processor a packet-in", &|one| {
        one.generator_us_per_packet_in.map(|us| format!("{us:.3}"))
    });
    let latency = |value: fn(&LatencySummary) -> f64| {
        move |one: &Named| one.measured.latency.as_ref().map(|l| format!("{:.1}", value(l)))
    };
    row("latency, µs: median", &latency(|l| l.p50_us));
    row("  99 %", &latency(|l| l.p99_us));
    row("  99.9 %", &latency(|l| l.p999_us));
    row("  longest", &latency(|l| l.max_us));
    let apart = |one: &Named| one.measured.apart_from_stops;
    row("stops of processors", &|one| apart(one).map(|a| a.stops.to_string()));
    row("  the longest, µs", &|one| apart(one).map(|a| format!("{:.0}", a.longest_us)));
    let aside = |value: fn(&LatencySummary) -> f64| {
        move |one: &Named| apart(one)?.latency.as_ref().map(|l| format!("{:.1}", value(l)))
    };
    row("latency without these, µs: 99 %", &aside(|l| l.p99_us));
    row("  99.9 %", &aside(|l| l.p999_us));
    row("  longest", &aside(|l| l.max_us));
    let count = |value: u64| (value > 0).then(|| value.to_string());
    row("packet-ins", &|one| Some(one.measured.counts.packet_ins.to_string()));
    row("set-ups", &|one| Some(one.measured.counts.set_ups.to_string()));
    row("packet-outs", &|one| Some(one.measured.counts.packet_outs.to_string()));
    row("entries that drop", &|one| count(one.measured.counts.drop_entries));
    row("other flow-mods", &|one| count(one.measured.counts.other_flow_mods));
    row("flow-removed", &|one| count(one.measured.counts.flow_removed));
    row("errors", &|one| count(one.measured.counts.errors));
    row("unanswered", &|one| count(one.measured.counts.unanswered));
    row("due and not sent", &|one| count(one.measured.not_sent));
    row("packet-ins of the storm", &|one| one.measured.storm.and_then(|s| count(s.packet_ins)));
    row("set-ups of the storm", &|one| one.measured.storm.and_then(|s| count(s.set_ups)));
    row("controller's memory, MB", &|one| {
        one.measured.controller_memory.map(|bytes| format!("{:.1}", bytes as f64 / 1e6))
    });
    table.text()
}

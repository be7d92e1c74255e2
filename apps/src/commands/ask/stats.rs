//! Counters, rates and queues as tables. Pure, but for the wait between two counts.

use std::time::Duration;

use serde_json::{Value, json};

use super::connection::typed;
use super::table::Table;
use super::units::{bytes, count, rate};
use super::{Asking, document, print};
use crate::control::protocol::Question;
use crate::control::rows::{Counters, Levels, StatsEnd, StatsRow};

/// Asks once, or twice for rates, and prints.
pub(super) fn show(asking: &Asking, interval: u32) -> anyhow::Result<()> {
    let mut connection = asking.connect()?;
    let mut before = None;
    if interval > 0 {
        before = Some(connection.all(Question::Stats)?);
        std::thread::sleep(Duration::from_secs(interval.into()));
    }
    let (mut rows, end) = connection.all(Question::Stats)?;
    let told: StatsEnd = serde_json::from_value(end.clone())?;
    let now: Vec<StatsRow> = typed(rows.clone())?;
    let mut rates = Rates::default();
    if let Some((before, end)) = before {
        let earlier: StatsEnd = serde_json::from_value(end)?;
        rates = Rates::between(&typed(before)?, &earlier, &now, &told);
    }
    print(&match asking.json {
        true => {
            for (row, rate) in rows.iter_mut().zip(&rates.switches) {
                row["per_second"] = rate.as_ref().map_or(Value::Null, PerSecond::json);
            }
            document("switches", rows, end)?
        }
        false => text(&now, &told, &rates),
    })
}

/// What happens per second.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct PerSecond {
    packet_ins: f64,
    flow_mods: f64,
    packet_outs: f64,
}

impl PerSecond {
    /// `None` if the switch connected anew in between: its counters began again.
    fn between(before: &Counters, now: &Counters, seconds: f64) -> Option<PerSecond> {
        let per = |before: u64, now: u64| Some(now.checked_sub(before)? as f64 / seconds);
        Some(PerSecond {
            packet_ins: per(before.packet_ins, now.packet_ins)?,
            flow_mods: per(before.flow_mods, now.flow_mods)?,
            packet_outs: per(before.packet_outs, now.packet_outs)?,
        })
    }

    fn json(&self) -> Value {
        json!({
            "packet_ins": self.packet_ins,
            "flow_mods": self.flow_mods,
            "packet_outs": self.packet_outs,
        })
    }
}

/// The rates of each switch, in the order of the rows, and of all.
#[derive(Clone, PartialEq, Debug, Default)]
struct Rates {
    switches: Vec<Option<PerSecond>>,
    total: Option<PerSecond>,
}

impl Rates {
    fn between(before: &[StatsRow], then: &StatsEnd, now: &[StatsRow], end: &StatsEnd) -> Rates {
        let seconds = end.at_ms.saturating_sub(then.at_ms).max(1) as f64 / 1000.0;
        let of = |row: &StatsRow| {
            let earlier = before.iter().find(|earlier| earlier.switch == row.switch)?;
            PerSecond::between(&earlier.counters, &row.counters, seconds)
        };
        let total = PerSecond::between(&then.total, &end.total, seconds);
        Rates { switches: now.iter().map(of).collect(), total }
    }
}

fn text(rows: &[StatsRow], end: &StatsEnd, rates: &Rates) -> String {
    let mut counted = Table::new([
        "SWITCH",
        ">PACKET-INS",
        ">/S",
        ">FLOW-MODS",
        ">/S",
        ">PACKET-OUTS",
        ">/S",
        ">SHED",
        ">LIMITED",
        ">STORMED",
        ">BLOCKED",
        ">FAILED PATHS",
        ">RESYNCS",
        ">REPAIRED",
        ">ERRORS",
    ]);
    let mut levels = Table::new([
        "SWITCH",
        ">PATHS",
        ">HOPS",
        ">INSTALLING",
        ">OUTPUT",
        ">MAILBOX",
        ">WAITING",
        ">REQUESTS",
    ]);
    for (index, row) in rows.iter().enumerate() {
        let rate = rates.switches.get(index).copied().flatten();
        counter_row(&mut counted, &row.switch, &row.counters, rate);
        level_row(&mut levels, &row.switch, &row.levels);
    }
    counter_row(&mut counted, "total", &end.total, rates.total);
    level_row(&mut levels, "total", &end.levels);
    let kinds: Vec<_> =
        end.events.iter().map(|(kind, n)| format!("{} {kind}", count(*n))).collect();
    format!(
        "{}\n{}\nhosts: {}, not noted because a table was full: {}\nnotices to applications lost: {}\n\
         events: {}\nevents lost by slow followers: {}, clients cut off: {}\n",
        counted.text(),
        levels.text(),
        count(end.hosts),
        count(end.hosts_not_noted),
        count(end.notices_lost),
        if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") },
        count(end.events_lost),
        count(end.slow_clients),
    )
}

fn counter_row(table: &mut Table, name: &str, counters: &Counters, rates: Option<PerSecond>) {
    let per = |pick: fn(PerSecond) -> f64| rates.map_or(String::new(), |rates| rate(pick(rates)));
    table.row([
        name.to_owned(),
        count(counters.packet_ins),
        per(|rates| rates.packet_ins),
        count(counters.flow_mods),
        per(|rates| rates.flow_mods),
        count(counters.packet_outs),
        per(|rates| rates.packet_outs),
        count(counters.shed),
        count(counters.limited),
        count(counters.stormed),
        count(counters.storm_entries),
        count(counters.failed_paths),
        count(counters.resyncs),
        count(counters.repaired),
        count(counters.errors),
    ]);
}

fn level_row(table: &mut Table, name: &str, levels: &Levels) {
    table.row([
        name.to_owned(),
        count(levels.paths),
        count(levels.hops),
        count(levels.installing),
        bytes(levels.output_bytes),
        count(levels.mailbox),
        bytes(levels.waiting_bytes),
        count(levels.requests),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(switch: &str, packet_ins: u64) -> StatsRow {
        let counters = Counters { packet_ins, ..Counters::default() };
        StatsRow { switch: switch.to_owned(), counters, levels: Levels::default() }
    }

    #[test]
    fn rates_are_over_the_time_between_and_not_over_a_reconnect() {
        let end = |at_ms, packet_ins| StatsEnd {
            at_ms,
            total: Counters { packet_ins, ..Counters::default() },
            ..StatsEnd::default()
        };
        let before = [row("s1", 100), row("s2", 100)];
        let now = [row("s1", 300), row("s2", 20), row("s3", 5)];
        let rates = Rates::between(&before, &end(1000, 200), &now, &end(3000, 325));
        let per: Vec<_> =
            rates.switches.iter().map(|rate| rate.map(|rate| rate.packet_ins)).collect();
        assert_eq!(per, [Some(100.0), None, None]);
        assert_eq!(rates.total.unwrap().packet_ins, 62.5);
        let text = text(&now, &end(3000, 325), &rates);
        assert!(text.contains("100.0"), "{text}");
        assert!(!super::text(&now, &end(3000, 325), &Rates::default()).contains("/S"), "{text}");
    }
}

//! `umlaut bench machine`: what the machine takes, whoever is measured on it. Runtime.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use umlaut_testbed::load::machine::{Machine, Spread, measure};

use super::super::ask::table::Table;
use super::run::seconds;

/// Arguments of `umlaut bench machine`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Seconds, in half of which all processors are busy
    #[arg(long, default_value = "4", value_name = "SECONDS", value_parser = enough)]
    measure: Duration,
    /// JSON for scripts
    #[arg(long)]
    json: bool,
}

/// With less there are too few of each to tell how they spread.
const LEAST: Duration = Duration::from_millis(500);

fn enough(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        span if span < LEAST => Err(format!("seconds, {} at the least", LEAST.as_secs_f64())),
        span => Ok(span),
    }
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let machine = measure(args.measure).context("cannot measure this machine")?;
    let shown = match args.json {
        true => serde_json::to_string_pretty(&machine)? + "\n",
        false => text(&machine),
    };
    std::io::stdout().write_all(shown.as_bytes()).context("cannot write what was measured")?;
    Ok(ExitCode::SUCCESS)
}

fn text(machine: &Machine) -> String {
    let mut table = Table::new(["", ">1 %", ">MEDIAN", ">99 %"]);
    let mut row = |name: String, Spread { p1, median, p99 }: Spread| {
        table.row([name, format!("{p1:.1}"), format!("{median:.1}"), format!("{p99:.1}")]);
    };
    for memory in &machine.memory {
        row(format!("a load from {} KiB, ns", memory.kib), memory.load_ns);
    }
    row("100 bytes over loopback, written and read, µs".to_owned(), machine.loopback_us);
    let stops = &machine.stops;
    let of_each = stops.seconds * stops.processors as f64;
    let every = |count: u64| count as f64 / of_each.max(f64::MIN_POSITIVE);
    format!(
        "{}A busy program on a processor (there are {}) is stopped {:.1} times a second for more than 100 µs,\n\
         {:.1} times for more than 1 ms, {:.1} ms at the longest; {:.2} % of the time it has already waited for 1 ms.\n",
        table.text(),
        stops.processors,
        every(stops.over_100_us),
        every(stops.over_1_ms),
        stops.longest_us / 1e3,
        stops.waits_over_1_ms * 100.0,
    )
}

//! `umlaut bench machine`: what the machine takes, whoever is measured on it. Runtime.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use umlaut_testbed::load::machine::{Machine, Spread, measure};

use super::super::ask::table::Table;
use super::run::some_seconds;

/// Arguments of `umlaut bench machine`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Seconds, in half of which all processors are busy
    #[arg(long, default_value = "4", value_name = "SECONDS", value_parser = some_seconds)]
    measure: Duration,
    /// JSON for scripts
    #[arg(long)]
    json: bool,
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
    let every = |count: u64| count as f64 / stops.seconds.max(f64::MIN_POSITIVE);
    let s = if stops.processors == 1 { "" } else { "s" };
    format!(
        "{}{} processor{s}: {:.1} stops a second of more than 100 µs, {:.1} of more than 1 ms, the \
         longest {:.1} ms; {:.2} % of the time whoever wants one waits for more than 1 ms\n",
        table.text(),
        stops.processors,
        every(stops.over_100_us),
        every(stops.over_1_ms),
        stops.longest_us / 1e3,
        stops.waits_over_1_ms * 100.0,
    )
}

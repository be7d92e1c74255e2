//! `umlaut bench run`: a load, measured. Runtime.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use umlaut_openflow::Version;
use umlaut_testbed::load::{
    End, Generator, Load, LoadError, Measured, Pace, Phase, Sleep, Storm, Workload,
};

use super::super::Failure;
use super::super::run::version;
use super::{Who, report};

/// Arguments of `umlaut bench run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the controller listens
    #[arg(default_value = "127.0.0.1:6653", value_name = "ADDR:PORT")]
    controller: SocketAddr,
    #[command(flatten)]
    who: Who,
    /// What the switches speak: 1.0 or 1.3
    #[arg(long, default_value = "1.3", value_name = "VERSION", value_parser = version)]
    openflow: Version,
    /// How packet-ins come
    #[arg(long, value_enum, default_value = "throughput")]
    mode: Mode,
    /// Packet-ins a second of all switches together (mode rate)
    #[arg(long, value_name = "N", required_if_eq("mode", "rate"), value_parser = rate)]
    rate: Option<f64>,
    /// Unanswered packet-ins of a switch (mode throughput) [default: 512]
    #[arg(long, value_name = "N", value_parser = some())]
    window: Option<u32>,
    /// Every packet-in asks for a new path; a switch has this many entries and tells the end of the
    /// oldest when there are more
    #[arg(long, value_name = "ENTRIES")]
    new_paths: Option<usize>,
    /// Hosts do not make themselves known before the load begins, and no path was asked for
    #[arg(long)]
    cold: bool,
    /// Switches keep the frames of packet-ins and tell buffer ids
    #[arg(long)]
    buffers: bool,
    /// Measure once more while so many switches send packet-ins of one host as fast as they are read
    #[arg(long, value_name = "SWITCHES", value_parser = some())]
    storm: Option<u32>,
    /// Measure on the switches that have the storm, other ports, and not on the others
    #[arg(long, requires = "storm")]
    beside: bool,
    /// Seconds of load that are not measured
    #[arg(long, default_value = "1", value_name = "SECONDS", value_parser = seconds)]
    warm_up: Duration,
    /// Seconds of load that are measured
    #[arg(long, default_value = "5", value_name = "SECONDS", value_parser = some_seconds)]
    measure: Duration,
    /// Send exactly so many packet-ins, and measure all
    #[arg(long, value_name = "N", conflicts_with_all = ["warm_up", "measure", "storm"],
          value_parser = clap::value_parser!(u64).range(1..))]
    packet_ins: Option<u64>,
    /// Seconds for which the controller must have asked nothing before the load begins
    #[arg(long, default_value = "1.5", value_name = "SECONDS", value_parser = seconds)]
    settle: Duration,
    /// Never sleep while measuring: a controller on this machine does not pay for waking the
    /// generator, which takes a processor of its own
    #[arg(long)]
    awake: bool,
    /// Look every so many microseconds at what has come and is due, and sleep in between (mode rate): a
    /// controller on this machine does not pay for waking the generator, which leaves it the rest of a
    /// processor; latencies are longer by up to two of these and of what the system is late in waking it
    #[arg(long, value_name = "MICROSECONDS", conflicts_with = "awake",
          value_parser = clap::value_parser!(u64).range(1..=100_000))]
    tick: Option<u64>,
    /// Watch when processors of this machine stand still, because of whoever else is on it, and tell the
    /// latencies without that, too (modes rate and one-in-flight; needs chrt and the right to a real-time
    /// priority)
    #[arg(long)]
    note_stops: bool,
    /// The controller's process, for its processor time; looked for if it is on this machine
    #[arg(long)]
    pid: Option<u32>,
    /// JSON for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    /// As many as are answered, within a window for each switch
    Throughput,
    /// One of each switch at a time; latencies
    OneInFlight,
    /// At a fixed rate, whether answers come or not; latencies from when each was due
    Rate,
}

/// Longer loads are for other tools.
const LONGEST: f64 = 86_400.0;

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=LONGEST).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("seconds, 0 to {LONGEST}")),
    }
}

fn some_seconds(text: &str) -> Result<Duration, String> {
    match seconds(text) {
        Ok(Duration::ZERO) | Err(_) => Err(format!("seconds, more than 0, to {LONGEST}")),
        some => some,
    }
}

/// No machine that this runs on sends more.
const FASTEST: f64 = 1e8;

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (1.0..=FASTEST).contains(&rate) => Ok(rate),
        _ => Err(format!("packet-ins a second, 1 to {FASTEST}")),
    }
}

fn some() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

/// What a load came to.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    switches: u32,
    hosts: u32,
    slices: u32,
    openflow: String,
    mode: Mode,
    pub(super) measured: Vec<Named>,
}

/// One measurement.
#[derive(Debug, Serialize)]
pub(super) struct Named {
    pub(super) name: &'static str,
    pub(super) set_ups_per_second: f64,
    pub(super) controller_us_per_set_up: Option<f64>,
    pub(super) generator_us_per_packet_in: Option<f64>,
    #[serde(flatten)]
    pub(super) measured: Measured,
}

impl Named {
    fn new(name: &'static str, measured: Measured) -> Named {
        Named {
            name,
            set_ups_per_second: measured.set_up_rate(),
            controller_us_per_set_up: measured.cpu_per_set_up(),
            generator_us_per_packet_in: measured.generator_cpu.per(measured.counts.packet_ins),
            measured,
        }
    }
}

/// Unanswered packet-ins of a switch unless said otherwise.
const WINDOW: u32 = 512;

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let result = measure(args)?;
    let text = match args.json {
        true => serde_json::to_string_pretty(&result)? + "\n",
        false => report::text(&result),
    };
    std::io::stdout().write_all(text.as_bytes()).context("cannot write the result")?;
    Ok(ExitCode::SUCCESS)
}

fn measure(args: &Args) -> anyhow::Result<Outcome> {
    if args.rate.is_some() && args.mode != Mode::Rate {
        return Err(Failure::Usage("--rate is for --mode rate".to_owned()).into());
    }
    if args.window.is_some() && args.mode != Mode::Throughput {
        return Err(Failure::Usage("--window is for --mode throughput".to_owned()).into());
    }
    if args.tick.is_some() && args.storm.is_some() {
        let reason = "--tick is not for --storm: a storm is sent as fast as it is read";
        return Err(Failure::Usage(reason.to_owned()).into());
    }
    if args.tick.is_some() && args.mode != Mode::Rate {
        return Err(Failure::Usage("--tick is for --mode rate".to_owned()).into());
    }
    if args.note_stops && args.mode == Mode::Throughput {
        let reason = "--note-stops is for --mode rate and one-in-flight, which note latencies";
        return Err(Failure::Usage(reason.to_owned()).into());
    }
    if let Some(pid) = args.pid
        && !std::path::Path::new(&format!("/proc/{pid}/stat")).exists()
    {
        return Err(Failure::Usage(format!("--pid: there is no process {pid}")).into());
    }
    let pace = match (args.mode, args.rate) {
        (Mode::Throughput, _) => Pace::Window(args.window.unwrap_or(WINDOW)),
        (Mode::OneInFlight, _) => Pace::OneInFlight,
        (Mode::Rate, Some(rate)) => Pace::Rate(rate),
        (Mode::Rate, None) => {
            return Err(Failure::Usage("--mode rate needs --rate".to_owned()).into());
        }
    };
    let end = match args.packet_ins {
        Some(count) => End::PacketIns(count),
        None => End::After { warm_up: args.warm_up, measured: args.measure },
    };
    let load = Load {
        controller: args.controller,
        version: args.openflow,
        population: args.who.population()?,
        workload: match args.new_paths {
            Some(live) => Workload::NewPaths { live },
            None => Workload::SeenAgain,
        },
        buffers: args.buffers,
        pid: args.pid,
        settle: args.settle,
        sleep: match args.tick {
            Some(micros) => Sleep::Between(Duration::from_micros(micros)),
            None if args.awake => Sleep::Never,
            None => Sleep::Quiet,
        },
        note_stops: args.note_stops,
    };
    let first = Phase { pace, end, storm: None };
    let storm = args.storm.map(|switches| Storm { switches, same_switches: args.beside });
    if let Some(storm) = storm {
        storm.check(args.who.switches).map_err(usage)?;
    }
    let mut generator = Generator::connect(load).map_err(usage)?;
    if !args.cold {
        generator.announce()?;
        generator.ask_once()?;
    }
    let mut measured = vec![Named::new("load", generator.run(&first).map_err(usage)?)];
    if storm.is_some() {
        let second = Phase { storm, ..first };
        measured.push(Named::new("storm", generator.run(&second).map_err(usage)?));
    }
    Ok(Outcome {
        switches: args.who.switches,
        hosts: args.who.hosts,
        slices: args.who.slices,
        openflow: args.openflow.to_string(),
        mode: args.mode,
        measured,
    })
}

/// What cannot be measured because of the arguments is told as that.
fn usage(error: LoadError) -> anyhow::Error {
    match error {
        LoadError::TooManyLive { .. } | LoadError::Storm(_) | LoadError::Pace => {
            Failure::Usage(error.to_string()).into()
        }
        error => error.into(),
    }
}

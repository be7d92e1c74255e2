//! `umlaut bench`: a load on a controller, and what it comes to. Runtime.

mod canned;
mod machine;
mod policy;
mod report;
mod run;

use std::process::ExitCode;

use umlaut_testbed::load::Population;

use super::Failure;

/// Arguments of `umlaut bench`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Put a load on a controller and measure what it does
    Run(run::Args),
    /// Answer every packet-in with the same flow-mod: the most that there is to reach
    Canned(canned::Args),
    /// Write the policy file for a load
    Policy(policy::Args),
    /// Measure this machine: loads from memory, a message over loopback, stops of its processors
    Machine(machine::Args),
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Run(args) => run::execute(args),
        Command::Canned(args) => canned::execute(args),
        Command::Policy(args) => policy::execute(args),
        Command::Machine(args) => machine::execute(args),
    }
}

/// Who is on the network: the same numbers for the load and for its policy.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Who {
    /// Switches
    #[arg(long, default_value = "16", value_name = "N")]
    switches: u32,
    /// Hosts on each switch
    #[arg(long, default_value = "1000", value_name = "N")]
    hosts: u32,
    /// Slices of all switches together
    #[arg(long, default_value = "1", value_name = "N")]
    slices: u32,
    /// How hosts are members of their slices
    #[arg(long, value_enum, default_value = "all")]
    bound: Bound,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Bound {
    /// A third each by MAC, by port and MAC, by port
    All,
    /// All by port: many hosts with few members
    Port,
}

impl Who {
    fn population(self) -> anyhow::Result<Population> {
        let Who { switches, hosts, slices, bound } = self;
        let population = Population::new(switches, hosts, slices)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(match bound {
            Bound::All => population,
            Bound::Port => population.bound_by_port(),
        })
    }
}

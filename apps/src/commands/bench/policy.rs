//! `umlaut bench policy`: the policy file for a load. Runtime.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use anyhow::Context;
use umlaut_testbed::load::policy::PolicyFile;

use super::Who;

/// Arguments of `umlaut bench policy`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    who: Who,
    /// Members, those of the load included
    #[arg(long, default_value = "0", value_name = "N")]
    members: u32,
    /// Filters, of ten combinations of fields, that match no frame of the load
    #[arg(long, default_value = "0", value_name = "N")]
    filters: u32,
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let population = args.who.population()?;
    let file = PolicyFile { population, members: args.members, filters: args.filters };
    let mut out = Writing { out: BufWriter::new(io::stdout().lock()), error: None };
    let written = file.write(&mut out);
    let error = out.error.take();
    match (written, error) {
        (_, Some(error)) => Err(error).context("cannot write the policy"),
        (written, None) => {
            written?;
            out.out.flush().context("cannot write the policy")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Text to bytes; remembers the error that text cannot carry.
struct Writing<W> {
    out: W,
    error: Option<io::Error>,
}

impl<W: Write> std::fmt::Write for Writing<W> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.out.write_all(text.as_bytes()).map_err(|error| {
            self.error = Some(error);
            std::fmt::Error
        })
    }
}

//! `umlaut check`: all mistakes of policy files, without running anything.

use std::path::PathBuf;
use std::process::ExitCode;

use umlaut_slice_db::Severity;

use super::{EX_CONFIG, complain, lament, load, print};

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs: one array of diagnostics
    Json,
}

/// Arguments of `umlaut check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Policy files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// How mistakes are told
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    let mut all = Vec::new();
    let mut failed = false;
    for file in &args.files {
        match load(file)? {
            Ok((policy, warnings)) => {
                if let Format::Text = args.format {
                    let members: usize =
                        policy.slices().map(|(slice, _)| policy.member_count(slice)).sum();
                    print(&format!(
                        "{}: good: {} slices, {members} members, {} filters, {} cases\n",
                        file.display(),
                        policy.slices().count(),
                        policy.filter_count(),
                        policy.cases().len()
                    ))?;
                }
                all.extend(warnings);
            }
            Err(mistakes) => {
                failed = true;
                all.extend(mistakes);
            }
        }
    }
    match args.format {
        Format::Text => {
            complain(&all);
            let errors = all.iter().filter(|d| d.severity == Severity::Error).count();
            if !all.is_empty() {
                lament(format_args!("{errors} errors, {} warnings", all.len() - errors));
            }
        }
        Format::Json => print(&format!("{}\n", serde_json::to_string_pretty(&all)?))?,
    }
    Ok(if failed { ExitCode::from(EX_CONFIG) } else { ExitCode::SUCCESS })
}

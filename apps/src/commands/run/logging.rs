//! Log lines: for whom, how many, and changing that while running. Runtime.

use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;

use anyhow::Context;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

/// In the journal, fields of log lines begin with this: `UMLAUT_DPID`.
const JOURNAL_PREFIX: &str = "UMLAUT";
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    /// The journal if standard error is connected to it, else text
    Auto,
    /// For people
    Text,
    /// One JSON object per line
    Json,
    /// Fields for the journal of systemd
    Journald,
}

/// What is logged: a level, or `MODULE=LEVEL`, or several with commas between them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct LogFilter(String);

/// A text is no filter of log lines; says why.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoLogFilter(String);

impl std::str::FromStr for LogFilter {
    type Err = NoLogFilter;

    fn from_str(text: &str) -> Result<LogFilter, NoLogFilter> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        for part in &parts {
            // A bare word would be taken for a module and everything else go silent.
            let level = part.rsplit_once('=').map_or(*part, |(_, level)| level);
            if !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
                let levels = LEVELS.join(", ");
                return Err(NoLogFilter(format!(
                    "{part:?} is neither a level ({levels}) nor MODULE=LEVEL"
                )));
            }
        }
        let text = parts.join(",");
        match EnvFilter::try_new(&text) {
            Ok(_) => Ok(LogFilter(text)),
            Err(error) => Err(NoLogFilter(error.to_string())),
        }
    }
}

impl LogFilter {
    fn compiled(&self) -> EnvFilter {
        // It was parsed before; what is dropped here would be a directive that is not valid.
        EnvFilter::new(&self.0)
    }
}

/// Changes what is logged while the program runs. Clones change the same.
#[derive(Clone, Debug)]
pub struct LogControl {
    handle: Handle<EnvFilter, Registry>,
}

impl LogControl {
    /// Logs by another filter from now on.
    ///
    /// # Errors
    /// The text is no filter; nothing changes.
    pub fn set(&self, filter: &str) -> Result<(), NoLogFilter> {
        let filter: LogFilter = filter.parse()?;
        self.handle.reload(filter.compiled()).map_err(|error| NoLogFilter(error.to_string()))
    }

    /// The filter in force.
    pub fn filter(&self) -> String {
        self.handle.with_current(EnvFilter::to_string).unwrap_or_default()
    }
}

type Lines = Box<dyn Layer<Filtered> + Send + Sync>;
type Filtered = tracing_subscriber::layer::Layered<reload::Layer<EnvFilter, Registry>, Registry>;

/// Begins to log.
///
/// # Errors
/// The journal was asked for and cannot be reached.
pub(super) fn start(format: LogFormat, filter: &LogFilter) -> anyhow::Result<LogControl> {
    let format = match format {
        // Where the journal cannot be reached, as in some containers, text gets there too.
        LogFormat::Auto if in_journal() && tracing_journald::layer().is_ok() => LogFormat::Journald,
        LogFormat::Auto => LogFormat::Text,
        given => given,
    };
    let lines: Lines = match format {
        LogFormat::Json => {
            Box::new(tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr))
        }
        LogFormat::Journald => Box::new(
            tracing_journald::layer()
                .context("--log-format journald: no journal")?
                .with_field_prefix(Some(JOURNAL_PREFIX.to_owned()))
                .with_syslog_identifier("umlaut".to_owned()),
        ),
        LogFormat::Text | LogFormat::Auto => Box::new(
            tracing_subscriber::fmt::layer()
                .with_target(false)
                .with_ansi(std::io::stderr().is_terminal())
                .with_writer(std::io::stderr),
        ),
    };
    let (filter, handle) = reload::Layer::new(filter.compiled());
    tracing_subscriber::registry().with(filter).with(lines).try_init()?;
    Ok(LogControl { handle })
}

/// Whether standard error is the journal's: `JOURNAL_STREAM` names its device and inode
/// (systemd.exec(5)), and stays set where it was connected to something else since.
fn in_journal() -> bool {
    let Some(named) = std::env::var_os("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    named.to_str() == Some(&format!("{}:{}", stderr.dev(), stderr.ino()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn filters_are_levels_and_modules_with_levels() {
        for good in ["info", "WARN", "umlaut_controller=debug", "warn,umlaut=trace, tokio=off"] {
            assert!(good.parse::<LogFilter>().is_ok(), "{good}");
        }
        for bad in ["", "inof", "umlaut", "umlaut=loud", "info,,debug", "a=b=c", "7"] {
            let told = bad.parse::<LogFilter>().unwrap_err().to_string();
            assert!(told.contains("level"), "{bad}: {told}");
        }
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn levels_change_while_running() {
        let written = Written::default();
        let out = written.clone();
        let (filter, handle) = reload::Layer::new("info".parse::<LogFilter>().unwrap().compiled());
        let lines =
            tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || out.clone());
        let control = LogControl { handle };
        let subscriber = tracing_subscriber::registry().with(filter).with(lines);
        tracing::subscriber::with_default(subscriber, || {
            let round = |no: u32| {
                tracing::debug!(target: "umlaut_controller::runtime", "runtime {no}");
                tracing::debug!(target: "umlaut_controller::session", "session {no}");
            };
            round(1);
            control.set("warn,umlaut_controller::session=debug").unwrap();
            assert!(control.filter().contains("umlaut_controller::session=debug"));
            round(2);
            assert!(control.set("nonsense").is_err());
            round(3);
            control.set("off").unwrap();
            round(4);
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let told: Vec<&str> = text.lines().filter_map(|line| line.split(": ").last()).collect();
        assert_eq!(told, ["session 2", "session 3"]);
    }
}

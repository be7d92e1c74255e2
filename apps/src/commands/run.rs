//! `umlaut run`: the daemon.

mod listen;
mod logging;
mod reload;
mod service;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tracing::{info, warn};
#[cfg(feature = "lab")]
use umlaut_controller::runtime::Listener;
use umlaut_controller::runtime::{LogObserver, serve, usual_threads};
use umlaut_controller::{Observer, Seed, Shared};
use umlaut_openflow::Version;
use umlaut_slice_db::Policy;

use super::applications::{self, Application};
use super::input::{self, SETTINGS_BYTES};
use super::{EX_CONFIG, complain, load, unreadable};
use crate::control::events::EventLog;
use crate::control::{Control, SetLog, SocketArgs, Vocabulary, answer_at};
use crate::samples::Config;
use crate::sliceable::Domains;
use listen::{Endpoint, Open, TlsArgs};
use logging::{LogFilter, LogFormat};
use reload::{AppConfig, Certificates, Held, PolicyFile, Source};

pub use logging::{LogControl, NoLogFilter};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Lab {
    /// Switches connect from outside
    None,
    /// A network of emulated switches and hosts, as the policy describes it
    #[cfg(feature = "lab")]
    Emulated,
    /// The same network of Open vSwitch bridges and network namespaces; needs root
    #[cfg(feature = "lab")]
    Ovs,
}

/// Arguments of `umlaut run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where switches connect: ssl:ADDR:PORT with TLS, tcp:ADDR:PORT without; may be given several
    /// times [default: 0.0.0.0:6653, in a lab 127.0.0.1:6653]
    #[arg(long, value_name = "[tcp:|ssl:]ADDR:PORT")]
    listen: Vec<Endpoint>,
    #[command(flatten)]
    tls: TlsArgs,
    /// What to bring up besides the controller
    #[arg(long, value_enum, default_value = "none")]
    lab: Lab,
    /// The name of the lab, for umlaut lab --name
    #[cfg(feature = "lab")]
    #[arg(long, env = "UMLAUT_LAB", default_value = "lab", value_name = "NAME")]
    lab_name: umlaut_testbed::lab::LabName,
    /// The applications, in the order in which they get events
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sliceable-switch")]
    app: Vec<Application>,
    /// Configuration of the samples: YAML with a key per application; read again at SIGHUP
    #[arg(long, value_name = "FILE")]
    app_config: Option<PathBuf>,
    /// OpenFlow versions offered
    #[arg(long, value_delimiter = ',', default_value = "1.0,1.3", value_name = "VERSIONS", value_parser = version)]
    openflow: Vec<Version>,
    /// Log lines for people or programs
    #[arg(long, value_enum, default_value = "auto")]
    log_format: LogFormat,
    /// What is logged: a level, or levels per module, as in warn,umlaut_controller=debug
    #[arg(long, env = "UMLAUT_LOG", default_value = "info", value_name = "FILTER")]
    log: LogFilter,
    /// Threads that serve switches [default: half of the processors, at least one]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    #[command(flatten)]
    socket: SocketArgs,
    /// Stop when standard input ends, as it does with the process that began this; not for people
    #[arg(long, hide = true)]
    until_eof: bool,
    /// The policy file (sliceable switch)
    policy: Option<PathBuf>,
}

pub(super) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let log = logging::start(args.log_format, &args.log)?;
    let log: SetLog = Box::new(move |filter| log.set(filter).map_err(|error| error.to_string()));
    let threads = args.threads.map_or_else(usual_threads, NonZeroUsize::get);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().worker_threads(threads).build()?;
    runtime.block_on(run(args, log))
}

async fn run(args: Args, log: SetLog) -> anyhow::Result<ExitCode> {
    let now = Instant::now();
    let seed = Seed::random()?;
    let versions = &args.openflow;
    let events = Arc::new(EventLog::default());
    let observers: Vec<Box<dyn Observer>> =
        vec![Box::new(LogObserver::default()), Box::new(events.clone())];
    let observer = Box::new(observers);
    let asked = Asked { events, log };
    if let Some(why) = applications::conflict(&args.app) {
        eprintln!("umlaut run: --app: {why}");
        return Ok(ExitCode::from(2));
    }
    let config = match read_config(args.app_config.as_deref())? {
        Ok(config) => config,
        Err(mistake) => {
            eprintln!("umlaut run: {mistake}");
            return Ok(ExitCode::from(EX_CONFIG));
        }
    };
    match (args.app.contains(&Application::SliceableSwitch), &args.policy) {
        (true, None) => {
            eprintln!("umlaut run: the sliceable switch needs a policy file");
            Ok(ExitCode::from(2))
        }
        (true, Some(path)) => {
            let (policy, warnings) = match load(path)? {
                Ok(loaded) => loaded,
                Err(mistakes) => {
                    complain(&mistakes);
                    return Ok(ExitCode::from(EX_CONFIG));
                }
            };
            complain(&warnings);
            let domains = Domains::default();
            let apps = applications::with_slices(&args.app, &config);
            let shared = Shared::new(apps, domains.adopt(policy), seed, observer, now);
            let shared = Arc::new(shared.offering(versions));
            info!(revision = shared.world.revision(), "policy in force");
            // Cheap, and let go before long: a policy that is replaced is not kept in memory.
            let policy = shared.world.load().policy.policy.clone();
            let file = PolicyFile::new(shared.clone(), domains, path.clone());
            let sources: Vec<Box<dyn Source>> = vec![Box::new(file)];
            serve_until_stopped(shared, &args, asked, Some(policy), sources).await
        }
        (false, Some(path)) => {
            eprintln!(
                "umlaut run: {} is given, but none of the applications has a policy",
                path.display()
            );
            Ok(ExitCode::from(2))
        }
        (false, None) => {
            let apps = applications::samples(&args.app, &config);
            let shared = Shared::new(apps, (), seed, observer, now).offering(versions);
            serve_until_stopped(Arc::new(shared), &args, asked, None, Vec::new()).await
        }
    }
}

/// The configuration of the samples, or what is wrong with it.
///
/// # Errors
/// The file cannot be read.
fn read_config(path: Option<&Path>) -> anyhow::Result<Result<Config, String>> {
    let Some(path) = path else { return Ok(Ok(Config::default())) };
    let name = path.display();
    let bytes = input::file(path, SETTINGS_BYTES).map_err(|error| unreadable(path, error))?;
    let text = String::from_utf8(bytes).map_err(|error| unreadable(path, error))?;
    Ok(Config::parse(&text).map_err(|mistake| format!("{name}: {mistake}")))
}

pub(super) fn version(text: &str) -> Result<Version, String> {
    match text {
        "1.0" => Ok(Version::V1_0),
        "1.3" => Ok(Version::V1_3),
        _ => Err("1.0 and 1.3 are known".to_owned()),
    }
}

/// What questions need beside the controller itself.
struct Asked {
    events: Arc<EventLog>,
    log: SetLog,
}

async fn serve_until_stopped<P: Vocabulary>(
    shared: Arc<Shared<P>>,
    args: &Args,
    asked: Asked,
    policy: Option<Policy>,
    mut sources: Vec<Box<dyn Source>>,
) -> anyhow::Result<ExitCode> {
    let Open { listeners, tls } =
        listen::open(&args.listen, &args.tls, args.lab != Lab::None).await?;
    if tls.is_none() && policy.as_ref().is_some_and(|policy| policy.certificates().next().is_some())
    {
        warn!("switches that must show a certificate cannot join: no port speaks TLS");
    }
    let socket = args.socket.open()?;
    sources.extend(tls.map(|tls| Box::new(Certificates(tls, Held::default())) as Box<dyn Source>));
    if let Some(path) = args.app_config.clone() {
        sources.push(Box::new(AppConfig {
            path,
            panel: shared.teller("PatchPanel"),
            held: Held::default(),
        }));
    }
    // From here on SIGHUP ends nothing.
    let reload = tokio::spawn(reload::reload(sources, signal(SignalKind::hangup())?));
    let watchdog = tokio::spawn(service::watchdog(shared.clone()));
    let (stop, stopped) = watch::channel(false);
    #[cfg(feature = "lab")]
    let lab_failed = stop.clone();
    let not_served = stop.clone();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let input_ends = args.until_eof.then(input_ends).transpose()?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = async {
                match input_ends {
                    // However it ends: nobody is there any more.
                    Some(ends) => drop(ends.await),
                    None => std::future::pending().await,
                }
            } => {}
        }
        info!("stopping");
        service::stopping();
        let _ = stop.send(true);
    });
    #[cfg(feature = "lab")]
    let lab = match lab_wanted(args, shared.versions(), policy.as_ref(), &listeners)? {
        None => None,
        Some(wanted) => {
            let stopped = stopped.clone();
            Some(tokio::spawn(async move {
                let kept = super::lab::beside::keep(wanted, stopped).await;
                if kept.is_err() {
                    let _ = lab_failed.send(true);
                }
                kept
            }))
        }
    };
    drop(policy);
    let mut control = Control::new(shared.clone(), asked.events, Some(asked.log));
    control.listening = listeners.iter().filter_map(|socket| socket.local_addr().ok()).collect();
    let answering = answer_at(socket, control, stopped.clone());
    service::ready();
    let served = serve(shared, listeners, stopped).await;
    if served.is_err() {
        // What runs beside it ends in its own way.
        let _ = not_served.send(true);
    }
    let answered = answering.await;
    reload.abort();
    watchdog.abort();
    #[cfg(feature = "lab")]
    let lab = match lab {
        None => Ok(Ok(())),
        Some(lab) => lab.await,
    };
    served.context("switches are not served")?;
    answered?;
    #[cfg(feature = "lab")]
    lab??;
    Ok(ExitCode::SUCCESS)
}

/// Told when standard input ends. A thread of its own reads it: the end of a runtime would wait for
/// one of its threads.
///
/// # Errors
/// No thread can be had.
fn input_ends() -> std::io::Result<oneshot::Receiver<()>> {
    let (tell, ends) = oneshot::channel();
    std::thread::Builder::new().name("standard input".to_owned()).spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = tell.send(());
    })?;
    Ok(ends)
}

/// The lab that is asked for, if one is.
///
/// # Errors
/// There is no port that its switches could connect to.
#[cfg(feature = "lab")]
fn lab_wanted(
    args: &Args,
    versions: &[Version],
    policy: Option<&Policy>,
    listeners: &[Listener],
) -> anyhow::Result<Option<super::lab::beside::Wanted>> {
    use super::lab::up::On;
    let on = match args.lab {
        Lab::None => return Ok(None),
        Lab::Emulated => On::Emulated,
        Lab::Ovs => On::Ovs,
    };
    Ok(Some(super::lab::beside::Wanted {
        on,
        name: args.lab_name.clone(),
        controller: listeners.first().context("no listener")?.local_addr()?,
        openflow: versions.iter().copied().max().unwrap_or(Version::V1_3),
        policy: policy.cloned(),
    }))
}

//! `umlaut run`: the daemon.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};
use umlaut_controller::runtime::{LogObserver, bind, serve};
use umlaut_controller::{Seed, Shared};
use umlaut_openflow::Version;
use umlaut_slice_db::Policy;

use super::applications::{self, Application};
use super::{EX_CONFIG, complain, load};
use crate::samples::Config;
use crate::sliceable::{Domains, SlicePolicy};

/// How long a policy file must have been left alone before it is read again: editors write in
/// several steps.
const DEBOUNCE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Lab {
    /// Switches connect from outside
    None,
    /// A network of emulated switches and hosts, as the policy describes it
    #[cfg(feature = "lab")]
    Emulated,
}

/// Arguments of `umlaut run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where switches connect; may be given several times [default: 0.0.0.0:6653, in a lab
    /// 127.0.0.1:6653]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<SocketAddr>,
    /// What to bring up besides the controller
    #[arg(long, value_enum, default_value = "none")]
    lab: Lab,
    /// The applications, in the order in which they get events
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sliceable-switch")]
    app: Vec<Application>,
    /// Configuration of the samples: YAML with a key per application; read again at SIGHUP
    #[arg(long, value_name = "FILE")]
    app_config: Option<PathBuf>,
    /// OpenFlow versions offered
    #[arg(long, value_delimiter = ',', default_value = "1.0,1.3", value_name = "VERSIONS")]
    openflow: Vec<String>,
    /// Log lines for people or programs
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// What is logged: a level, or levels per module
    #[arg(long, env = "UMLAUT_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    /// The policy file (sliceable switch)
    policy: Option<PathBuf>,
}

pub(super) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let filter = tracing_subscriber::EnvFilter::try_new(&args.log)
        .with_context(|| format!("--log {}", args.log))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => subscriber.with_target(false).init(),
        LogFormat::Json => subscriber.json().init(),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(args))
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let now = Instant::now();
    let seed = Seed::random()?;
    let versions = versions(&args.openflow)?;
    let observer = Box::new(LogObserver);
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
            let shared = Arc::new(shared.offering(&versions));
            info!(revision = shared.world.revision(), "policy in force");
            let reload = tokio::spawn(reload(shared.clone(), domains, path.clone()));
            let policy = shared.world.load();
            let done = serve_until_stopped(shared, &args, Some(&policy.policy.policy)).await;
            reload.abort();
            done
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
            let shared = Shared::new(apps, (), seed, observer, now).offering(&versions);
            serve_until_stopped(Arc::new(shared), &args, None).await
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
    let text = std::fs::read_to_string(path).with_context(|| name.to_string())?;
    Ok(Config::parse(&text).map_err(|mistake| format!("{name}: {mistake}")))
}

/// Reads the configuration again at SIGHUP and tells the patch panel its patches; the others keep
/// what they began with. A file with mistakes changes nothing.
async fn reread_config<P: umlaut_controller::Policy>(shared: Arc<Shared<P>>, path: PathBuf) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    while hangup.recv().await.is_some() {
        match read_config(Some(&path)) {
            Ok(Ok(config)) => {
                info!(path = %path.display(), "application configuration read again");
                let panel = shared.teller("PatchPanel");
                // A panel that does not take it has too much to do; the next SIGHUP tells it.
                if panel.is_some_and(|panel| panel.tell(config.patch_panel).is_err()) {
                    warn!("the patch panel is busy: its patches stay");
                }
            }
            Ok(Err(mistake)) => error!(mistake, "application configuration not read again"),
            Err(error) => {
                error!(error = format!("{error:#}"), "application configuration not read again");
            }
        }
    }
}

fn versions(texts: &[String]) -> anyhow::Result<Vec<Version>> {
    texts
        .iter()
        .map(|text| match text.as_str() {
            "1.0" => Ok(Version::V1_0),
            "1.3" => Ok(Version::V1_3),
            other => anyhow::bail!("--openflow {other}: 1.0 and 1.3 are known"),
        })
        .collect()
}

async fn serve_until_stopped<P: umlaut_controller::Policy>(
    shared: Arc<Shared<P>>,
    args: &Args,
    policy: Option<&Policy>,
) -> anyhow::Result<ExitCode> {
    let in_lab = args.lab != Lab::None;
    let listen = match (&args.listen[..], in_lab) {
        ([], true) => vec![SocketAddr::from(([127, 0, 0, 1], 6653))],
        ([], false) => vec![SocketAddr::from(([0, 0, 0, 0], 6653))],
        (given, _) => given.to_vec(),
    };
    if in_lab && let Some(open) = listen.iter().find(|addr| !addr.ip().is_loopback()) {
        anyhow::bail!("--listen {open}: a lab listens on loopback only");
    }
    let listeners = bind(&listen).await?;
    let reread =
        args.app_config.clone().map(|path| tokio::spawn(reread_config(shared.clone(), path)));
    let (stop, stopped) = watch::channel(false);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        info!("stopping");
        let _ = stop.send(true);
    });
    #[cfg(feature = "lab")]
    let lab = match args.lab {
        Lab::None => None,
        Lab::Emulated => {
            let address = listeners.first().context("no listener")?.local_addr()?;
            let versions = shared.versions();
            let version = versions.iter().copied().max().unwrap_or(Version::V1_3);
            Some(bring_up(policy, address, version, stopped.clone())?)
        }
    };
    #[cfg(not(feature = "lab"))]
    let _ = policy;
    serve(shared, listeners, stopped).await;
    reread.inspect(tokio::task::JoinHandle::abort);
    #[cfg(feature = "lab")]
    if let Some(lab) = lab {
        lab.await??;
    }
    Ok(ExitCode::SUCCESS)
}

/// Brings up the lab beside the controller; the task ends when the controller stops.
#[cfg(feature = "lab")]
fn bring_up(
    policy: Option<&Policy>,
    address: SocketAddr,
    version: Version,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<tokio::task::JoinHandle<anyhow::Result<()>>> {
    use super::lab;
    let policy = policy.cloned();
    let topology = match &policy {
        Some(policy) => umlaut_testbed::of_policy(policy),
        None => umlaut_testbed::Topology::single(4),
    };
    let running = Arc::new(lab::start(&topology, address, version)?);
    Ok(tokio::spawn(async move {
        let reporting = running.clone();
        let report = tokio::task::spawn_blocking(move || {
            lab::report(&reporting, &topology, policy.as_ref())
        });
        tokio::select! {
            done = report => done??,
            _ = stopped.wait_for(|stop| *stop) => {}
        }
        let _ = stopped.wait_for(|stop| *stop).await;
        Ok(())
    }))
}

/// Reads the policy again when its file changes or SIGHUP arrives. A file with mistakes changes
/// nothing.
async fn reload(shared: Arc<Shared<SlicePolicy>>, domains: Domains, path: PathBuf) {
    let (changed, mut changes) = mpsc::channel(1);
    // Kept to the end: dropping it ends the watch.
    let _watcher = match watch_directory(&path, changed) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            warn!(%error, "the policy file is not watched; SIGHUP still reloads it");
            None
        }
    };
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            error!(%error, "no reloads");
            return;
        }
    };
    let mut text = std::fs::read_to_string(&path).unwrap_or_default();
    loop {
        let forced = tokio::select! {
            _ = hangup.recv() => true,
            change = changes.recv() => match change {
                Some(()) => false,
                // The watch is gone; SIGHUP stays.
                None => hangup.recv().await.is_some(),
            },
        };
        settle(&mut changes).await;
        let new = match std::fs::read_to_string(&path) {
            Ok(new) => new,
            Err(error) => {
                warn!(path = %path.display(), %error, "policy not reloaded: the running one stays");
                continue;
            }
        };
        if new == text && !forced {
            continue;
        }
        text = new;
        put_in_force(&shared, &domains, &path);
    }
}

/// Waits until the file has been left alone for a while.
async fn settle(changes: &mut mpsc::Receiver<()>) {
    while let Ok(Some(())) = tokio::time::timeout(DEBOUNCE, changes.recv()).await {}
}

fn put_in_force(shared: &Shared<SlicePolicy>, domains: &Domains, path: &Path) {
    let began = Instant::now();
    match load(path) {
        Ok(Ok((policy, warnings))) => {
            for warning in &warnings {
                warn!(code = warning.code, "{warning}");
            }
            let old = shared.world.load();
            let touched = old.policy.policy.diff(&policy).to_string();
            let revision = shared.set_policy(domains.adopt(policy), Instant::now());
            let took = began.elapsed();
            info!(path = %path.display(), revision, touched, ?took, "policy reloaded");
        }
        Ok(Err(mistakes)) => {
            for mistake in &mistakes {
                error!(code = mistake.code, "{mistake}");
            }
            let mistakes = mistakes.len();
            error!(path = %path.display(), mistakes, "policy not reloaded: the running one stays");
        }
        Err(error) => {
            error!(error = format!("{error:#}"), "policy not reloaded: the running one stays");
        }
    }
}

/// Watches the file's directory: editors replace files instead of writing them.
fn watch_directory(
    path: &Path,
    changed: mpsc::Sender<()>,
) -> notify::Result<notify::RecommendedWatcher> {
    use notify::{RecursiveMode, Watcher};
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut watcher = notify::recommended_watcher(move |_| {
        // One pending change says it all; more are not needed.
        let _ = changed.try_send(());
    })?;
    watcher.watch(&directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

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
use umlaut_controller::{Apps, Observer, Seed, Shared};
use umlaut_openflow::Version;
use umlaut_slice_db::Policy;

use super::{EX_CONFIG, complain, load};
use crate::control::events::EventLog;
use crate::control::{Control, SetLog, SocketArgs, Vocabulary, answer_at};
use crate::samples::{Hub, LearningSwitch};
use crate::sliceable::{Domains, SlicePolicy, SliceableSwitch};

/// How long a policy file must have been left alone before it is read again: editors write in
/// several steps.
const DEBOUNCE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Application {
    /// Isolated slices, as the policy says
    SliceableSwitch,
    /// Each switch learns for itself
    LearningSwitch,
    /// Every frame out of every port
    Hub,
}

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
    /// The application
    #[arg(long, value_enum, default_value = "sliceable-switch")]
    app: Application,
    /// OpenFlow versions offered
    #[arg(long, value_delimiter = ',', default_value = "1.0,1.3", value_name = "VERSIONS")]
    openflow: Vec<String>,
    /// Log lines for people or programs
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// What is logged: a level, or levels per module
    #[arg(long, env = "UMLAUT_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    #[command(flatten)]
    socket: SocketArgs,
    /// The policy file (sliceable switch)
    policy: Option<PathBuf>,
}

pub(super) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let filter = tracing_subscriber::EnvFilter::try_new(&args.log)
        .with_context(|| format!("--log {}", args.log))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // The filter can be replaced while the controller runs: `umlaut log`.
    macro_rules! reloaded {
        ($subscriber:expr) => {{
            let subscriber = $subscriber.with_filter_reloading();
            let handle = subscriber.reload_handle();
            subscriber.init();
            Box::new(move |filter: &str| {
                let filter = tracing_subscriber::EnvFilter::try_new(filter);
                let filter = filter.map_err(|error| error.to_string())?;
                handle.reload(filter).map_err(|error| error.to_string())
            })
        }};
    }
    let log: SetLog = match args.log_format {
        LogFormat::Text => reloaded!(subscriber.with_target(false)),
        LogFormat::Json => reloaded!(subscriber.json()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(args, log))
}

async fn run(args: Args, log: SetLog) -> anyhow::Result<ExitCode> {
    let now = Instant::now();
    let seed = seed()?;
    let versions = versions(&args.openflow)?;
    let events = Arc::new(EventLog::default());
    let observers: Vec<Box<dyn Observer>> = vec![Box::new(LogObserver), Box::new(events.clone())];
    let observer = Box::new(observers);
    let asked = Asked { events, log };
    match (args.app, &args.policy) {
        (Application::SliceableSwitch, None) => {
            eprintln!("umlaut run: the sliceable switch needs a policy file");
            Ok(ExitCode::from(2))
        }
        (Application::SliceableSwitch, Some(path)) => {
            let (policy, warnings) = match load(path)? {
                Ok(loaded) => loaded,
                Err(mistakes) => {
                    complain(&mistakes);
                    return Ok(ExitCode::from(EX_CONFIG));
                }
            };
            complain(&warnings);
            let domains = Domains::default();
            let apps = Apps::new().with(SliceableSwitch::default());
            let shared = Shared::new(apps, domains.adopt(policy), seed, observer, now);
            let shared = Arc::new(shared.offering(&versions));
            info!(revision = shared.world.revision(), "policy in force");
            let reload = tokio::spawn(reload(shared.clone(), domains, path.clone()));
            let policy = shared.world.load();
            let done = serve_until_stopped(shared, &args, asked, Some(&policy.policy.policy)).await;
            reload.abort();
            done
        }
        (_, Some(path)) => {
            eprintln!(
                "umlaut run: {} is given, but this application has no policy",
                path.display()
            );
            Ok(ExitCode::from(2))
        }
        (Application::LearningSwitch, None) => {
            let shared = Shared::new(Apps::new().with(LearningSwitch), (), seed, observer, now)
                .offering(&versions);
            serve_until_stopped(Arc::new(shared), &args, asked, None).await
        }
        (Application::Hub, None) => {
            let shared =
                Shared::new(Apps::new().with(Hub), (), seed, observer, now).offering(&versions);
            serve_until_stopped(Arc::new(shared), &args, asked, None).await
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

/// Unpredictable values from the system.
fn seed() -> anyhow::Result<Seed> {
    use std::io::Read;
    let mut bytes = [0; 17];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("/dev/urandom")?;
    let [lldp_key @ .., epoch] = bytes;
    Ok(Seed { lldp_key, epoch })
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
    let socket = args.socket.open()?;
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
    let mut control = Control::new(shared.clone(), asked.events, Some(asked.log));
    control.listening = listeners.iter().filter_map(|socket| socket.local_addr().ok()).collect();
    let answering = answer_at(socket, control, stopped.clone());
    serve(shared, listeners, stopped).await;
    answering.await?;
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

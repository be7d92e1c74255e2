//! The runtime: threads that serve switches, and on tokio listeners, TLS handshakes and the slow path.
//! Runtime.

mod company;
mod connection;
mod door;
mod handle;
mod lines;
mod listener;
mod log;
mod refusals;
mod stream;
mod tls;
mod workers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::app::Policy;
use crate::apps::Apps;
use crate::mailbox::Waker;
use crate::shared::{Seed, Shared};
use listener::Places;
use workers::Workers;

pub use handle::SwitchHandle;
pub use listener::{CONNECTIONS, HANDSHAKES, Listener};
pub use log::LogObserver;
pub use tls::{TLS_HANDSHAKE_TIMEOUT, Tls, TlsError, TlsFiles};

/// How long open connections may take to write what is left at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Wakes a task that waits on a [`Notify`].
#[derive(Debug, Default)]
pub(crate) struct NotifyWaker(pub(crate) Arc<Notify>);

impl Waker for NotifyWaker {
    fn wake(&self) {
        self.0.notify_one();
    }
}

impl Seed {
    /// Unpredictable values from the system.
    ///
    /// # Errors
    /// The system has none to give (`/dev/urandom`).
    pub fn random() -> std::io::Result<Seed> {
        use std::io::Read;
        let mut bytes = [0; 17];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let [lldp_key @ .., epoch] = bytes;
        Ok(Seed { lldp_key, epoch })
    }
}

/// Runs applications for the switches that connect to this address, until SIGINT or SIGTERM: all that
/// a program of its own needs. Events are logged with `tracing`, and there are [`usual_threads`].
///
/// ```no_run
/// use umlaut_controller::{App, Apps, runtime};
///
/// struct Mine;
/// impl App for Mine {}
///
/// fn main() -> std::io::Result<()> {
///     runtime::run(Apps::new().with(Mine), "0.0.0.0:6653")
/// }
/// ```
///
/// # Errors
/// The address is none, or cannot be listened on; as for [`serve`].
pub fn run(apps: Apps<()>, address: &str) -> std::io::Result<()> {
    let address = address.parse().map_err(std::io::Error::other)?;
    let observer = Box::new(LogObserver::default());
    let shared = Arc::new(Shared::new(apps, (), Seed::random()?, observer, Instant::now()));
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().worker_threads(usual_threads()).build()?;
    runtime.block_on(async {
        let listeners = vec![Listener::bind(address).await?];
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            let _ = stop.send(true);
        });
        serve(shared, listeners, stopped).await
    })
}

/// How many threads serve switches where nobody says otherwise: as many as half of the processors. One serves
/// millions of packet-ins a second, and each further one is woken for fewer at a time. The other half is
/// for what else runs on the machine, such as a switch.
pub fn usual_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2))
}

/// Serves switches until `stop` becomes true. Then the applications are told, what they send is
/// delivered, and all connections are closed. Switches are served by threads of their own, as many as
/// the runtime has; what handlers spawn runs on the runtime.
///
/// # Errors
/// The system has no threads or file descriptors for them: nothing was begun.
pub async fn serve<P: Policy>(
    shared: Arc<Shared<P>>,
    listeners: Vec<Listener>,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let (workers, ended) = Workers::start(&shared)?;
    let workers = Arc::new(workers);
    let woken = Arc::new(Notify::new());
    shared.net.inbox.set_waker(Box::new(NotifyWaker(woken.clone())));
    shared.start(Instant::now());
    let (close, closing) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let places = Places::default();
    for listener in listeners {
        if let Ok(addr) = listener.local_addr() {
            info!(%addr, tls = listener.is_tls(), "listening");
        }
        let (shared, workers) = (shared.clone(), workers.clone());
        tasks.spawn(listener::accept(shared, listener, workers, places.clone(), closing.clone()));
    }
    tasks.spawn(slow_path(shared.clone(), woken, closing));
    stopped(&mut stop).await;
    shared.shutdown(Instant::now());
    let _ = close.send(true);
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            warn!(%error, "task failed");
        }
    }
    workers.stop();
    if tokio::time::timeout(SHUTDOWN_GRACE, ended.wait()).await.is_err() {
        warn!("connections left open at shutdown");
    }
    Ok(())
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone, which stops as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Runs discovery, ageing and what else is due by time.
async fn slow_path<P: Policy>(
    shared: Arc<Shared<P>>,
    woken: Arc<Notify>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let next = shared.poll(Instant::now());
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = woken.notified() => {}
            () = tokio::time::sleep_until(next.into()) => {}
        }
    }
}

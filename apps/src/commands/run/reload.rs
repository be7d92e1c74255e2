//! Reading files again when they change or SIGHUP arrives: the policy, the certificates. Runtime.
//!
//! Files with mistakes change nothing; what is in force stays.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tracing::{error, info, warn};
use umlaut_controller::runtime::Tls;
use umlaut_controller::{Shared, Teller};

use super::super::load;
use super::service;
use crate::sliceable::{Domains, SlicePolicy};

/// How long files must have been left alone before they are read again: editors write in several
/// steps, and a certificate and its key are two files.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// After this long they are read though something in their directory changes still. A file that is
/// half-written then has mistakes, which change nothing, and is read again.
const DEBOUNCE_LIMIT: Duration = Duration::from_millis(500);

/// Something that is read from files and can be read again.
pub(super) trait Source: Send {
    /// Its files.
    fn files(&self) -> Vec<PathBuf>;

    /// What they held when they were read last. Where that is not known, what they hold now.
    fn held(&self) -> Vec<Option<Vec<u8>>> {
        contents(&self.files())
    }

    /// Reads them again and puts what they say in force, or logs what is wrong with them.
    fn reload(&mut self);
}

/// The policy of the sliceable switch.
pub(super) struct PolicyFile {
    pub(super) shared: Arc<Shared<SlicePolicy>>,
    pub(super) domains: Domains,
    pub(super) path: PathBuf,
}

impl Source for PolicyFile {
    fn files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn held(&self) -> Vec<Option<Vec<u8>>> {
        // The file may have been changed since it was read and before it is watched.
        vec![Some(self.shared.world.load().policy.policy.text().as_bytes().to_vec())]
    }

    fn reload(&mut self) {
        let PolicyFile { shared, domains, path } = self;
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
}

/// The certificates of the TLS ports.
pub(super) struct Certificates(pub(super) Arc<Tls>);

impl Source for Certificates {
    fn files(&self) -> Vec<PathBuf> {
        self.0.files().paths().map(Path::to_owned).to_vec()
    }

    fn reload(&mut self) {
        match self.0.reload() {
            Ok(()) => info!("certificates reloaded: connections from now on use them"),
            Err(error) => error!(%error, "certificates not reloaded: the running ones stay"),
        }
    }
}

/// The configuration of the samples; of it the patch panel takes changes, the others keep what they
/// began with.
pub(super) struct AppConfig {
    pub(super) path: PathBuf,
    pub(super) panel: Option<Teller>,
}

impl Source for AppConfig {
    fn files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn reload(&mut self) {
        match super::read_config(Some(&self.path)) {
            Ok(Ok(config)) => {
                info!(path = %self.path.display(), "application configuration read again");
                // A panel that does not take it has too much to do; the next reload tells it.
                if self.panel.as_ref().is_some_and(|panel| panel.tell(config.patch_panel).is_err())
                {
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

/// A source and what its files held when they were last read.
struct Watched {
    source: Box<dyn Source>,
    contents: Vec<Option<Vec<u8>>>,
}

impl Watched {
    fn new(source: Box<dyn Source>) -> Watched {
        let contents = source.held();
        Watched { source, contents }
    }

    /// Whether the files hold something else now.
    fn has_changed(&mut self) -> bool {
        let new = contents(&self.source.files());
        let changed = new != self.contents;
        self.contents = new;
        changed
    }
}

/// What files hold; `None` where one cannot be read.
fn contents(files: &[PathBuf]) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|file| std::fs::read(file).ok()).collect()
}

/// Watches over the sources for ever.
pub(super) async fn reload(sources: Vec<Box<dyn Source>>, mut hangup: Signal) {
    let mut sources: Vec<Watched> = sources.into_iter().map(Watched::new).collect();
    let files: Vec<PathBuf> = sources.iter().flat_map(|watched| watched.source.files()).collect();
    let (changed, mut changes) = mpsc::channel(1);
    // Kept to the end: dropping it ends the watch.
    let _watcher = match watch_directories(&files, changed) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            warn!(%error, "files are not watched; SIGHUP still reads them again");
            None
        }
    };
    // What was written before the watch began is looked for once.
    let mut begun = false;
    loop {
        let forced = tokio::select! {
            () = std::future::ready(()), if !begun => false,
            _ = hangup.recv() => true,
            change = changes.recv() => match change {
                Some(()) => false,
                // The watch is gone; SIGHUP stays.
                None => hangup.recv().await.is_some(),
            },
        };
        begun = true;
        if !forced {
            settle(&mut changes).await;
        }
        // Not lazily: each notes what its files hold now.
        let due: Vec<&mut Watched> =
            sources.iter_mut().filter_map(|w| (w.has_changed() || forced).then_some(w)).collect();
        if due.is_empty() {
            if forced {
                info!("nothing to reload");
                service::reloading();
                service::ready();
            }
            continue;
        }
        service::reloading();
        for watched in due {
            watched.source.reload();
        }
        service::ready();
    }
}

/// Waits until the files have been left alone for a while.
async fn settle(changes: &mut mpsc::Receiver<()>) {
    let writing =
        async { while let Ok(Some(())) = tokio::time::timeout(DEBOUNCE, changes.recv()).await {} };
    // Others may write to the same directory all the time.
    let _ = tokio::time::timeout(DEBOUNCE_LIMIT, writing).await;
}

/// Watches the directories of files: editors replace files instead of writing them.
fn watch_directories(
    files: &[PathBuf],
    changed: mpsc::Sender<()>,
) -> notify::Result<notify::RecommendedWatcher> {
    use notify::{RecursiveMode, Watcher};
    let directories: BTreeSet<&Path> = files
        .iter()
        .map(|file| match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        })
        .collect();
    let mut watcher = notify::recommended_watcher(move |_| {
        // One pending change says it all; more are not needed.
        let _ = changed.try_send(());
    })?;
    for directory in directories {
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

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

use super::super::policy_text;
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

    /// Whether the files hold something else than when this was asked last, or, where that is known,
    /// than when they were read.
    fn has_changed(&mut self) -> bool;

    /// Reads them again and puts what they say in force, or logs what is wrong with them.
    fn reload(&mut self);
}

/// What small files held.
#[derive(Default)]
pub(super) struct Held(Option<Vec<Option<Vec<u8>>>>);

impl Held {
    /// Whether they hold something else now.
    fn differs(&mut self, files: &[PathBuf]) -> bool {
        let new = files.iter().map(|file| std::fs::read(file).ok()).collect();
        let old = self.0.replace(new);
        old.is_some() && old != self.0
    }
}

/// The policy of the sliceable switch.
pub(super) struct PolicyFile {
    shared: Arc<Shared<SlicePolicy>>,
    domains: Domains,
    path: PathBuf,
    /// What the file held, or why it could not be read, when it changed nothing. `None`: it held what
    /// is in force; a policy may be large and has its text.
    refused: Option<Result<String, String>>,
    /// What it was found to hold, until it is read.
    found: Option<Result<String, String>>,
}

impl PolicyFile {
    pub(super) fn new(
        shared: Arc<Shared<SlicePolicy>>,
        domains: Domains,
        path: PathBuf,
    ) -> PolicyFile {
        PolicyFile { shared, domains, path, refused: None, found: None }
    }

    fn text(&self) -> Result<String, String> {
        policy_text(&self.path).map_err(|error| format!("{error:#}"))
    }
}

impl Source for PolicyFile {
    fn files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn has_changed(&mut self) -> bool {
        let now = self.text();
        let changed = match &self.refused {
            Some(refused) => now != *refused,
            None => now.as_deref() != Ok(self.shared.world.load().policy.policy.text()),
        };
        self.found = changed.then_some(now);
        changed
    }

    fn reload(&mut self) {
        let began = Instant::now();
        let text = match self.found.take().unwrap_or_else(|| self.text()) {
            Ok(text) => text,
            Err(error) => {
                error!(error, "policy not reloaded: the running one stays");
                self.refused = Some(Err(error));
                return;
            }
        };
        let PolicyFile { shared, domains, path, .. } = self;
        let old = shared.world.load();
        let text = Arc::new(text);
        match old.policy.policy.reread(text.clone()) {
            Ok((policy, warnings)) => {
                for warning in &warnings {
                    warn!(code = warning.code, "{warning}");
                }
                let touched = old.policy.policy.diff(&policy).to_string();
                let policy = domains.adopt_after(&old.policy, policy);
                let revision = shared.set_policy(policy, Instant::now());
                let took = began.elapsed();
                info!(path = %path.display(), revision, touched, ?took, "policy reloaded");
                self.refused = None;
            }
            Err(mistakes) => {
                for mistake in &mistakes {
                    error!(code = mistake.code, "{mistake}");
                }
                let mistakes = mistakes.len();
                error!(path = %path.display(), mistakes, "policy not reloaded: the running one stays");
                self.refused = Some(Ok(Arc::unwrap_or_clone(text)));
            }
        }
    }
}

/// The certificates of the TLS ports.
pub(super) struct Certificates(pub(super) Arc<Tls>, pub(super) Held);

impl Source for Certificates {
    fn files(&self) -> Vec<PathBuf> {
        self.0.files().paths().map(Path::to_owned).to_vec()
    }

    fn has_changed(&mut self) -> bool {
        let files = self.files();
        self.1.differs(&files)
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
    pub(super) held: Held,
}

impl Source for AppConfig {
    fn files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn has_changed(&mut self) -> bool {
        let files = self.files();
        self.held.differs(&files)
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

/// Watches over the sources for ever.
pub(super) async fn reload(mut sources: Vec<Box<dyn Source>>, mut hangup: Signal) {
    let files: Vec<PathBuf> = sources.iter().flat_map(|source| source.files()).collect();
    // Each notes what its files hold, or compares with what they held when they were read; whether
    // that is the same is asked below.
    for source in &mut sources {
        source.has_changed();
    }
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
        let due: Vec<&mut Box<dyn Source>> =
            sources.iter_mut().filter_map(|s| (s.has_changed() || forced).then_some(s)).collect();
        if due.is_empty() {
            if forced {
                info!("nothing to reload");
                service::reloading();
                service::ready();
            }
            continue;
        }
        service::reloading();
        for source in due {
            source.reload();
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

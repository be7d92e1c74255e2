//! Reading files again when they change or SIGHUP arrives: the policy, the certificates. Runtime.
//!
//! Files with mistakes change nothing; what is in force stays.

mod settling;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::signal::unix::Signal;
use tracing::{error, info, warn};
use umlaut_controller::runtime::Tls;
use umlaut_controller::{Shared, Teller};

use super::super::input::{self, SETTINGS_BYTES};
use super::super::policy_text;
use super::listen::within_bounds;
use super::service;
use crate::sliceable::{Domains, SlicePolicy};
use settling::Change;
use watch::Watch;

/// How long after a change of the policy file another may follow that belongs to it.
const POLICY_TOGETHER: Duration = Duration::from_millis(5);
/// The same for other files: a certificate and its key are two.
const OTHERS_TOGETHER: Duration = Duration::from_millis(100);

/// What files hold, beside what they held when this was asked last or, where that is known, when they
/// were read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Content {
    Same,
    Changed,
    /// Somebody writes to them just now.
    Unsettled,
}

impl Content {
    fn changed(changed: bool) -> Content {
        if changed { Content::Changed } else { Content::Same }
    }
}

/// Something that is read from files and can be read again.
pub(super) trait Source: Send {
    /// Its files.
    fn files(&self) -> Vec<PathBuf>;

    /// How long after a change of them another may follow that belongs to it.
    fn together(&self) -> Duration {
        OTHERS_TOGETHER
    }

    /// What the files hold now, and notes it.
    fn content(&mut self) -> Content;

    /// Reads them again and puts what they say in force, or logs what is wrong with them.
    fn reload(&mut self);
}

/// What small files held.
#[derive(Default)]
pub(super) struct Held(Option<Vec<Option<Vec<u8>>>>);

impl Held {
    /// Whether they hold something else now.
    fn differs(&mut self, files: &[PathBuf]) -> bool {
        let new = files.iter().map(|file| input::file(file, SETTINGS_BYTES).ok()).collect();
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

    /// By what a write shows while the file is read.
    fn written(&self) -> Option<(u64, SystemTime)> {
        let metadata = std::fs::metadata(&self.path).ok()?;
        Some((metadata.len(), metadata.modified().ok()?))
    }
}

impl Source for PolicyFile {
    fn files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn together(&self) -> Duration {
        POLICY_TOGETHER
    }

    fn content(&mut self) -> Content {
        let before = self.written();
        let now = self.text();
        if self.written() != before {
            self.found = None;
            return Content::Unsettled;
        }
        let changed = match &self.refused {
            Some(refused) => now != *refused,
            None => now.as_deref() != Ok(self.shared.world.load().policy.policy.text()),
        };
        self.found = changed.then_some(now);
        Content::changed(changed)
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

    fn content(&mut self) -> Content {
        let files = self.files();
        Content::changed(self.1.differs(&files))
    }

    fn reload(&mut self) {
        let read = within_bounds(self.0.files());
        match read.and_then(|()| self.0.reload().map_err(|error| error.to_string())) {
            Ok(()) => info!("certificates reloaded: connections from now on use them"),
            Err(error) => error!(error, "certificates not reloaded: the running ones stay"),
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

    fn content(&mut self) -> Content {
        let files = self.files();
        Content::changed(self.held.differs(&files))
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

/// Watches over the sources for ever. The watch has begun when this returns; what is done about
/// changes is the future.
pub(super) fn reload(
    mut sources: Vec<Box<dyn Source>>,
    hangup: Signal,
) -> impl Future<Output = ()> {
    // Each notes what its files hold, or compares with what they held when they were read; whether
    // that is the same is asked once the watch has begun.
    for source in &mut sources {
        source.content();
    }
    let watch = Watch::new(sources.iter().map(|source| (source.files(), source.together())));
    for group in 0..sources.len() {
        watch.note(group, Change::Touched, Instant::now());
    }
    follow(sources, watch, hangup)
}

async fn follow(mut sources: Vec<Box<dyn Source>>, mut watch: Watch, mut hangup: Signal) {
    loop {
        let forced = tokio::select! {
            _ = hangup.recv() => true,
            () = watch.due() => false,
        };
        watch.follow();
        let now = Instant::now();
        let mut due = Vec::new();
        for (group, source) in sources.iter_mut().enumerate() {
            if !watch.take(group, now) && !forced {
                continue;
            }
            match source.content() {
                Content::Unsettled if !forced => watch.note(group, Change::Unready, now),
                Content::Same if !forced => {}
                _ => due.push(source),
            }
        }
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

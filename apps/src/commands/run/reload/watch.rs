//! Watching files by the directories that they are in. Runtime.
//!
//! A path may lead over symbolic links, and each of them may be replaced instead of the file, as
//! Kubernetes does with mounted configuration: so every directory entry on the way is watched.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tracing::warn;

use super::settling::{Change, Settling};

/// More links than this lead nowhere, as the system has it.
const MOST_LINKS: usize = 40;

/// Files that belong together.
struct Group {
    files: Vec<PathBuf>,
    /// The directory entries that lead to them.
    entries: BTreeSet<PathBuf>,
    settling: Settling,
}

#[derive(Default)]
struct State {
    groups: Vec<Group>,
    /// Directories that are watched.
    directories: BTreeSet<PathBuf>,
    /// Whether one of them is not the one of its path any more.
    stale: bool,
}

impl State {
    /// Notes what an event means. Returns whether it means anything.
    fn note(&mut self, event: &notify::Event, now: Instant) -> bool {
        if event.need_rescan() {
            self.groups.iter_mut().for_each(|group| group.settling.note(Change::Touched, now));
            return true;
        }
        let Some(change) = change_of(event.kind) else { return false };
        let mut noted = false;
        for path in &event.paths {
            // A directory tells of itself only that it is gone or was touched.
            let itself = change == Change::Gone && self.directories.contains(path);
            self.stale |= itself;
            let concerned = |group: &&mut Group| {
                let inside = |entry: &PathBuf| entry.parent() == Some(path);
                group.entries.contains(path) || (itself && group.entries.iter().any(inside))
            };
            for group in self.groups.iter_mut().filter(concerned) {
                group.settling.note(change, now);
                noted = true;
            }
        }
        noted
    }
}

/// What an event of the system means for the file it tells of.
fn change_of(kind: EventKind) -> Option<Change> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Change::Closed),
        EventKind::Access(_) => None,
        EventKind::Create(_) => Some(Change::Made),
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => {
            Some(Change::Gone)
        }
        // Either end was told of before.
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => None,
        EventKind::Modify(ModifyKind::Name(_)) => Some(Change::Replaced),
        EventKind::Modify(ModifyKind::Metadata(_)) => Some(Change::Touched),
        EventKind::Modify(_) => Some(Change::Written),
        EventKind::Any | EventKind::Other => Some(Change::Touched),
    }
}

/// Groups of files that are watched.
pub(super) struct Watch {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    /// `None`: the system lets nobody watch.
    watcher: Option<RecommendedWatcher>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// Watches groups of files. Changes that belong to one thing come that close together.
    pub(super) fn new(groups: impl IntoIterator<Item = (Vec<PathBuf>, Duration)>) -> Watch {
        let groups = groups.into_iter().map(|(files, together)| {
            let entries = BTreeSet::new();
            Group { files, entries, settling: Settling::new(together) }
        });
        let state = State { groups: groups.collect(), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let changed = Arc::new(Notify::new());
        let (noted, told) = (state.clone(), changed.clone());
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if lock(&noted).note(&event, Instant::now()) {
                told.notify_one();
            }
        });
        let watcher = watcher
            .inspect_err(
                |error| warn!(%error, "files are not watched; SIGHUP still reads them again"),
            )
            .ok();
        let mut watch = Watch { state, changed, watcher };
        watch.follow();
        watch
    }

    /// Watches where the paths lead now.
    pub(super) fn follow(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        // Who replaces a directory while it is looked at is seen the next time; one who always does
        // is not waited for.
        for _ in 0..MOST_LINKS {
            let mut wanted = BTreeSet::new();
            let mut state = lock(&self.state);
            for group in &mut state.groups {
                group.entries = group.files.iter().flat_map(|file| entries(file)).collect();
                let parents = group.entries.iter().filter_map(|entry| entry.parent());
                wanted.extend(parents.map(Path::to_owned));
            }
            let stale = std::mem::take(&mut state.stale);
            let before = std::mem::take(&mut state.directories);
            state.directories.clone_from(&wanted);
            // The thread that tells of events needs the lock before it watches anything.
            drop(state);
            let same = |directory: &&PathBuf| !stale && wanted.contains(*directory);
            for directory in before.iter().filter(|directory| !same(directory)) {
                // It may be gone, and its watch with it.
                let _ = watcher.unwatch(directory);
            }
            let mut fresh = false;
            for directory in wanted.iter().filter(|wanted| stale || !before.contains(*wanted)) {
                fresh = true;
                if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                    let directory = directory.display();
                    warn!(%directory, %error, "not watched; SIGHUP still reads files again");
                }
            }
            if !fresh {
                return;
            }
        }
    }

    /// Waits for the next time that some group is to be read. Dropped in the meantime it forgets nothing.
    pub(super) async fn due(&self) {
        loop {
            let next = lock(&self.state).groups.iter().filter_map(|g| g.settling.due()).min();
            let told = self.changed.notified();
            match next {
                Some(next) if next <= Instant::now() => return,
                Some(next) => {
                    let _ = tokio::time::timeout_at(next.into(), told).await;
                }
                None => told.await,
            }
        }
    }

    /// Whether to read a group now.
    pub(super) fn take(&self, group: usize, now: Instant) -> bool {
        lock(&self.state).groups[group].settling.take(now)
    }

    /// Notes a change of a group that the system has not told of.
    pub(super) fn note(&self, group: usize, change: Change, now: Instant) {
        lock(&self.state).groups[group].settling.note(change, now);
    }
}

/// The directory entries that say which file a path is: each symbolic link on its way, and the file's
/// own. All are in directories that are there, by paths without links; where something is missing, its
/// entry is the last.
fn entries(path: &Path) -> Vec<PathBuf> {
    fn components(path: &Path) -> impl DoubleEndedIterator<Item = OsString> + '_ {
        path.components().map(|component| component.as_os_str().to_owned())
    }
    let Ok(path) = std::path::absolute(path) else { return Vec::new() };
    let mut entries = Vec::new();
    let mut links = 0;
    let mut at = PathBuf::from("/");
    // The next is the last.
    let mut left: Vec<OsString> = components(&path).rev().collect();
    while let Some(name) = left.pop() {
        match Path::new(&name).components().next() {
            Some(Component::RootDir) => at = PathBuf::from("/"),
            Some(Component::ParentDir) => {
                at.pop();
            }
            Some(Component::Normal(_)) => {
                let entry = at.join(&name);
                match std::fs::read_link(&entry) {
                    Ok(target) if links < MOST_LINKS => {
                        links += 1;
                        left.extend(components(&target).rev());
                        entries.push(entry);
                    }
                    _ if left.is_empty() || !entry.exists() => {
                        entries.push(entry);
                        break;
                    }
                    _ => at = entry,
                }
            }
            _ => {}
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_on_the_way_to_a_file_counts() {
        let folder = tempfile::tempdir().unwrap();
        // Without the links of the system's own folder.
        let folder = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(folder.join("mounted/..first")).unwrap();
        std::fs::write(folder.join("mounted/..first/policy.yaml"), "").unwrap();
        symlink("..first", folder.join("mounted/..data")).unwrap();
        symlink("..data/policy.yaml", folder.join("mounted/policy.yaml")).unwrap();
        symlink(folder.join("mounted"), folder.join("configuration")).unwrap();
        let shown = |path: &str| -> Vec<String> {
            let entries = entries(&folder.join(path));
            let inside = entries.iter().map(|entry| entry.strip_prefix(&folder).unwrap());
            inside.map(|entry| entry.to_str().unwrap().to_owned()).collect()
        };
        let way = ["mounted/policy.yaml", "mounted/..data", "mounted/..first/policy.yaml"]
            .map(str::to_owned);
        assert_eq!(shown("mounted/policy.yaml"), way);
        assert_eq!(shown("configuration/policy.yaml")[0], "configuration");
        assert_eq!(shown("configuration/policy.yaml")[1..], way);
        assert_eq!(shown("mounted/../mounted/..first/policy.yaml"), way[2..]);
        // What is not there yet is waited for where it would be.
        assert_eq!(shown("mounted/other.yaml"), ["mounted/other.yaml"]);
        assert_eq!(shown("none/deeper/policy.yaml"), ["none"]);
        // A link to itself leads nowhere.
        symlink("loop", folder.join("loop")).unwrap();
        assert_eq!(shown("loop").last().unwrap(), "loop");
    }

    #[test]
    fn what_the_system_tells_of_others_in_the_directory_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let watch = Watch::new([(vec![folder.join("policy.yaml")], Duration::ZERO)]);
        let told = |name: &str, kind| {
            let event = notify::Event::new(kind).add_path(folder.join(name));
            lock(&watch.state).note(&event, Instant::now());
            watch.take(0, Instant::now())
        };
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        assert!(!told("other.log", closed));
        assert!(told("policy.yaml", closed));
        assert!(!told("policy.yaml", EventKind::Access(AccessKind::Open(AccessMode::Any))));
        let renamed = |mode| EventKind::Modify(ModifyKind::Name(mode));
        assert!(told("policy.yaml", renamed(RenameMode::To)));
        assert!(!told("policy.yaml", renamed(RenameMode::Both)));
    }
}

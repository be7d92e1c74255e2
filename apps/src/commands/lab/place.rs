//! Where running labs are found: a directory with a socket, a lock, a note and a log for each. Runtime.
//!
//! Who runs a lab holds its lock; the system takes it back when the process ends, however it ends. A
//! note beside it says who that is and which switches it has, for as long as the lock is held.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use umlaut_testbed::lab::LabName;

/// The variable that names another directory.
const VARIABLE: &str = "UMLAUT_LAB_DIR";

/// The directory of all labs of this user.
#[derive(Clone, Debug)]
pub(super) struct Place(PathBuf);

impl Place {
    /// The directory, made if it is not there: `$UMLAUT_LAB_DIR`, else in the user's runtime
    /// directory, else in the system's for root, else among the temporary files.
    ///
    /// # Errors
    /// It cannot be made, or belongs to somebody else.
    pub(super) fn open() -> anyhow::Result<Place> {
        let given = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let user = fs::metadata("/proc/self").map(|found| found.uid()).unwrap_or(0);
        let path = match (given(VARIABLE), given("XDG_RUNTIME_DIR")) {
            (Some(path), _) => PathBuf::from(path),
            (None, Some(path)) => PathBuf::from(path).join("umlaut/labs"),
            (None, None) if user == 0 => PathBuf::from("/run/umlaut/labs"),
            (None, None) => std::env::temp_dir().join(format!("umlaut-labs-{user}")),
        };
        let shown = path.display().to_string();
        DirBuilder::new().mode(0o700).recursive(true).create(&path).context(shown.clone())?;
        let owner = fs::symlink_metadata(&path).context(shown.clone())?.uid();
        if owner != user {
            bail!("{shown} belongs to another user; name another directory in {VARIABLE}");
        }
        Ok(Place(path))
    }

    pub(super) fn socket(&self, lab: &LabName) -> PathBuf {
        self.0.join(format!("{lab}.sock"))
    }

    pub(super) fn log(&self, lab: &LabName) -> PathBuf {
        self.0.join(format!("{lab}.log"))
    }

    /// Lines that were typed in shells.
    pub(super) fn history(&self) -> PathBuf {
        self.0.join("history")
    }

    fn lock_path(&self, lab: &LabName) -> PathBuf {
        self.0.join(format!("{lab}.lock"))
    }

    fn note_path(&self, lab: &LabName) -> PathBuf {
        self.0.join(format!("{lab}.note"))
    }

    /// Takes the name of a lab. `None`: it runs already.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn take(&self, lab: &LabName) -> anyhow::Result<Option<Taken>> {
        let path = self.lock_path(lab);
        let shown = path.display().to_string();
        let mut options = File::options();
        options.create(true).truncate(false).read(true).write(true);
        loop {
            let file = options.open(&path).context(shown.clone())?;
            match file.try_lock() {
                // One that is removed meanwhile is nobody's, whoever locks it.
                Ok(()) if is_at(&file, &path) => {
                    let note = self.note_path(lab);
                    let aside = note.with_extension("note.new");
                    let taken = Taken { _lock: file, note, aside, others: [self.log(lab), path] };
                    // Of one that died.
                    taken.forget_note();
                    return Ok(Some(taken));
                }
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error).context(shown),
            }
        }
    }

    /// Whether a lab runs, or is coming up or going down.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn runs(&self, lab: &LabName) -> anyhow::Result<bool> {
        let path = self.lock_path(lab);
        let shown = path.display().to_string();
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).context(shown),
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(error)) => Err(error).context(shown),
            },
        }
    }

    /// What who holds a lab's name has noted. `None`: nobody does, or has not yet.
    pub(super) fn noted(&self, lab: &LabName) -> Option<Note> {
        if !self.runs(lab).ok()? {
            return None;
        }
        read_note(&self.note_path(lab))
    }

    /// Sends a signal to the process that keeps a lab and does not answer.
    ///
    /// # Errors
    /// It is not known, or is no process that keeps a lab and nothing else.
    pub(super) fn kill(&self, lab: &LabName, signal: Signal) -> anyhow::Result<()> {
        let Some(Note { pid, .. }) = self.noted(lab) else {
            bail!("a process has the name of lab {lab} and does not answer: end it");
        };
        let of = Path::new("/proc").join(pid.to_string());
        let lock = fs::canonicalize(self.lock_path(lab))?;
        // Numbers of processes are given again: this one has the lock's file open.
        let mut open = fs::read_dir(of.join("fd")).into_iter().flatten().flatten();
        let holds = open.any(|file| fs::read_link(file.path()).is_ok_and(|file| file == lock));
        let command = fs::read(of.join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
        if !holds || words.get(1) != Some(&&b"lab"[..]) {
            let command = String::from_utf8_lossy(&words.join(&b' ')).into_owned();
            bail!("lab {lab} does not answer; it is kept by process {pid} ({command}): end that");
        }
        kill(Pid::from_raw(pid), signal).with_context(|| format!("process {pid}"))
    }

    /// The names of all labs that have left a trace here, running or not, in order.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(super) fn labs(&self) -> anyhow::Result<Vec<LabName>> {
        let shown = self.0.display().to_string();
        let mut labs = Vec::new();
        for entry in fs::read_dir(&self.0).context(shown)? {
            let name = entry?.file_name();
            let lab = name.to_str().and_then(|name| name.strip_suffix(".lock")?.parse().ok());
            labs.extend(lab);
        }
        labs.sort();
        Ok(labs)
    }

    /// Removes the socket of a dead lab, whose name is taken; whether there was one.
    pub(super) fn forget(&self, lab: &LabName, _: &Taken) -> bool {
        match fs::remove_file(self.socket(lab)) {
            Ok(()) => true,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }
}

/// Whether a file that is open is the one at this path.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |found: fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(there)) => identity(open) == identity(there),
        _ => false,
    }
}

fn read_note(path: &Path) -> Option<Note> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Who holds the name of a lab.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) pid: i32,
    /// Where the switches connect to.
    pub(super) controller: SocketAddr,
    /// The switches, by name and datapath id.
    pub(super) switches: Vec<(String, String)>,
    /// Whether the network has stood.
    pub(super) stood: bool,
}

/// A lab's name that this process holds. Dropped, also by the process's end: others may have it.
/// Dropped, its lock, its note and its log are removed, too.
#[derive(Debug)]
pub(super) struct Taken {
    _lock: File,
    note: PathBuf,
    /// Where a note is written before it takes the place of another.
    aside: PathBuf,
    /// The log, and last the lock.
    others: [PathBuf; 2],
}

impl Taken {
    /// Notes who holds the name. Whoever reads meanwhile reads the note before or this one, as a whole.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn note(&self, note: &Note) -> anyhow::Result<()> {
        let shown = self.aside.display().to_string();
        fs::write(&self.aside, serde_json::to_vec(note)?).context(shown)?;
        fs::rename(&self.aside, &self.note).with_context(|| self.note.display().to_string())
    }

    /// Notes that the network stands.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn stands(&self) -> anyhow::Result<()> {
        match read_note(&self.note) {
            Some(note) => self.note(&Note { stood: true, ..note }),
            None => Ok(()),
        }
    }

    fn forget_note(&self) {
        for file in [&self.note, &self.aside] {
            // Mostly it is not there.
            let _ = fs::remove_file(file);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // While the lock is held: nobody else has taken the name.
        self.forget_note();
        for file in &self.others {
            let _ = fs::remove_file(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_held_by_one_and_free_again() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place(directory.path().to_owned());
        let lab: LabName = "lab".parse().unwrap();
        assert!(!place.runs(&lab).unwrap());
        assert!(place.labs().unwrap().is_empty());
        let taken = place.take(&lab).unwrap().unwrap();
        assert!(place.runs(&lab).unwrap());
        assert!(place.take(&lab).unwrap().is_none());
        assert_eq!(place.labs().unwrap(), std::slice::from_ref(&lab));
        assert_eq!(place.noted(&lab), None);
        let controller = ([127, 0, 0, 1], 6653).into();
        let switches = vec![("s1".to_owned(), "0x1".to_owned())];
        let mut note = Note { pid: 7, controller, switches, stood: false };
        taken.note(&note).unwrap();
        assert_eq!(place.noted(&lab).as_ref(), Some(&note));
        taken.stands().unwrap();
        note.stood = true;
        assert_eq!(place.noted(&lab).as_ref(), Some(&note));
        drop(taken);
        assert!(!place.runs(&lab).unwrap());
        assert_eq!(place.noted(&lab), None);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left");
        // One that was killed has left its note, which is not that of the next.
        fs::write(place.note_path(&lab), serde_json::to_vec(&note).unwrap()).unwrap();
        let taken = place.take(&lab).unwrap().unwrap();
        assert_eq!(place.noted(&lab), None);
        fs::write(place.socket(&lab), "").unwrap();
        assert!(place.forget(&lab, &taken));
        assert!(!place.forget(&lab, &taken));
        assert!(!place.socket(&lab).exists());
    }

    /// A note is written many times while somebody reads it.
    #[test]
    fn who_reads_a_note_reads_a_whole_one() {
        const READINGS: usize = 2_000;
        let directory = tempfile::tempdir().unwrap();
        let place = Place(directory.path().to_owned());
        let lab: LabName = "lab".parse().unwrap();
        let taken = place.take(&lab).unwrap().unwrap();
        let controller = ([127, 0, 0, 1], 6653).into();
        let switches = (1..100).map(|n| (format!("s{n}"), format!("{n:#x}"))).collect();
        let note = Note { pid: 7, controller, switches, stood: false };
        taken.note(&note).unwrap();
        let reading = std::thread::spawn(move || {
            (0..READINGS).filter(|_| place.noted(&lab).is_none()).count()
        });
        while !reading.is_finished() {
            taken.note(&note).unwrap();
        }
        assert_eq!(reading.join().unwrap(), 0, "of {READINGS}");
    }
}

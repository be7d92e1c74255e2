//! Where running labs are found: a directory with a socket, a lock and a log for each. Runtime.
//!
//! Who runs a lab holds its lock; the system takes it back when the process ends, however it ends.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
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

    /// Takes the name of a lab. `None`: it runs already.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn take(&self, lab: &LabName) -> anyhow::Result<Option<Taken>> {
        let path = self.lock_path(lab);
        let shown = path.display().to_string();
        let options = File::options().create(true).truncate(false).write(true).open(&path);
        let file = options.context(shown.clone())?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Taken { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).context(shown),
        }
    }

    /// Whether a lab runs.
    ///
    /// # Errors
    /// As [`Place::take`].
    pub(super) fn runs(&self, lab: &LabName) -> anyhow::Result<bool> {
        if !self.lock_path(lab).exists() {
            return Ok(false);
        }
        Ok(self.take(lab)?.is_none())
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

    /// Removes what a lab whose name is taken has left here; whether there was a socket.
    pub(super) fn forget(&self, lab: &LabName, _: &Taken) -> bool {
        let gone = |path: &Path| match fs::remove_file(path) {
            Ok(()) => true,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        // The lock's file stays: another may have it open, and would hold a file that nobody sees.
        let had = gone(&self.socket(lab));
        gone(&self.log(lab));
        had
    }
}

/// A lab's name that this process holds. Dropped, also by the process's end: others may have it.
#[derive(Debug)]
pub(super) struct Taken {
    _file: File,
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
        drop(taken);
        assert!(!place.runs(&lab).unwrap());
        let taken = place.take(&lab).unwrap().unwrap();
        fs::write(place.socket(&lab), "").unwrap();
        assert!(place.forget(&lab, &taken));
        assert!(!place.forget(&lab, &taken));
        assert!(!place.socket(&lab).exists());
    }
}

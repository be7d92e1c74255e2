//! Who has a lab's name on Open vSwitch: names of bridges and interfaces are the machine's, whoever
//! keeps the lab and wherever its socket is. Runtime.
//!
//! The holder of a lock has it. The system takes it back when the process ends, however it ends.

use std::fs::{self, File, TryLockError};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::super::{LabName, LabProblem};

/// Where the locks are. Labs on Open vSwitch belong to root.
const DIRECTORY: &str = "/run/umlaut";
/// How often a lock that somebody has is tried again.
const LOOK: Duration = Duration::from_millis(20);

/// A lab's name on this machine's Open vSwitch, as long as it lives.
#[derive(Debug)]
pub struct Claim {
    lab: LabName,
    _file: File,
}

impl Claim {
    /// Takes a name; `None`: another process has it and does not give it back within `patience`.
    ///
    /// # Errors
    /// There can be no lock.
    pub fn take(lab: &LabName, patience: Duration) -> Result<Option<Claim>, LabProblem> {
        let path = PathBuf::from(DIRECTORY).join(format!("ovs-{lab}.lock"));
        let system =
            |error: std::io::Error| LabProblem::System(format!("{}: {error}", path.display()));
        fs::create_dir_all(DIRECTORY).map_err(system)?;
        // The file stays: another may have it open, and would hold one that nobody sees.
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(system)?;
        let until = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Claim { lab: lab.clone(), _file: file })),
                // The system tells nobody that a lock is free and waits without a limit only.
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(LOOK);
                }
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(system(error)),
            }
        }
    }

    /// A directory for files of whoever has the name. It is there if it was made; a sweep removes it.
    pub(crate) fn directory(&self) -> PathBuf {
        Claim::directory_of(&self.lab)
    }

    pub(crate) fn directory_of(lab: &LabName) -> PathBuf {
        PathBuf::from(DIRECTORY).join(format!("ovs-{lab}"))
    }

    /// Whose name it is.
    pub fn lab(&self) -> &LabName {
        &self.lab
    }
}

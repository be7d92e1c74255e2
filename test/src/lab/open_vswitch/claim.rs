//! Who has a lab's name on Open vSwitch: names of bridges and interfaces are the machine's, whoever
//! keeps the lab and wherever its socket is. Runtime.
//!
//! The holder of a lock has it. The system takes it back when the process ends, however it ends. The
//! lock's file names the bridges that are made under the name, for as long as they are not removed:
//! what Open vSwitch keeps is known where it does not answer.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use super::super::{Done, LabName, LabProblem};

/// Where the locks are. Labs on Open vSwitch belong to root.
const DIRECTORY: &str = "/run/umlaut";
/// How their files are called, around the name.
const FILE: (&str, &str) = ("ovs-", ".lock");

/// A lab's name on this machine's Open vSwitch, as long as it lives.
#[derive(Debug)]
pub struct Claim {
    lab: LabName,
    file: File,
}

fn path(lab: &LabName) -> PathBuf {
    let (before, behind) = FILE;
    PathBuf::from(DIRECTORY).join(format!("{before}{lab}{behind}"))
}

impl Claim {
    /// Takes a name; `None`: another process has it and does not give it back within `patience`.
    ///
    /// # Errors
    /// There can be no lock.
    pub fn take(lab: &LabName, patience: Duration) -> Result<Option<Claim>, LabProblem> {
        let path = path(lab);
        let system = |error: io::Error| LabProblem::System(format!("{}: {error}", path.display()));
        fs::create_dir_all(DIRECTORY).map_err(system)?;
        // The file stays: another may have it open, and would hold one that nobody sees.
        let options = File::options().create(true).truncate(false).read(true).write(true).clone();
        let file = options.open(&path);
        let file = file.map_err(system)?;
        let file = match file.try_lock() {
            Ok(()) => Some(file),
            Err(TryLockError::WouldBlock) if patience.is_zero() => None,
            Err(TryLockError::WouldBlock) => locked_within(file, patience).map_err(system)?,
            Err(TryLockError::Error(error)) => return Err(system(error)),
        };
        Ok(file.map(|file| Claim { lab: lab.clone(), file }))
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

    /// Notes which bridges there may be under this name.
    pub(crate) fn note(&self, bridges: &[&str]) -> Done {
        let mut file = &self.file;
        let noted = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(bridges.join("\n").as_bytes()));
        noted.map_err(|error| LabProblem::System(format!("{}: {error}", path(&self.lab).display())))
    }

    /// The bridges that there may be under this name.
    pub(super) fn noted(&self) -> Vec<String> {
        let mut file = &self.file;
        let mut noted = String::new();
        // What cannot be read is as if nothing had been noted.
        let _ = file.rewind().and_then(|()| file.read_to_string(&mut noted));
        noted.lines().map(str::to_owned).collect()
    }
}

/// Waits for a lock. The system waits without a limit only: a thread does, and gives the lock back at once
/// if nobody wants it any more.
fn locked_within(file: File, patience: Duration) -> io::Result<Option<File>> {
    let (sender, receiver) = channel();
    thread::Builder::new().name("lock".to_owned()).spawn(move || {
        let locked = file.lock().map(|()| file);
        let _ = sender.send(locked);
    })?;
    receiver.recv_timeout(patience).ok().transpose()
}

/// The labs of which bridges are noted, running or not.
pub(super) fn labs_noted() -> Vec<LabName> {
    let files = fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
    let noted = files.filter(|file| file.metadata().is_ok_and(|found| found.len() > 0));
    let labs = noted.filter_map(|file| {
        let name = file.file_name();
        name.to_str()?.strip_prefix(FILE.0)?.strip_suffix(FILE.1)?.parse().ok()
    });
    labs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_waited_for_and_given_back_if_it_comes_too_late() {
        let path = std::env::temp_dir().join(format!("umlaut-lock-{}", std::process::id()));
        // Each opening of a file has a lock of its own.
        let open = || File::options().create(true).append(true).open(&path).unwrap();
        let holder = open();
        holder.lock().unwrap();
        assert!(locked_within(open(), Duration::from_millis(10)).unwrap().is_none());
        let waiting = open();
        let waits = thread::spawn(|| locked_within(waiting, Duration::from_secs(60)).unwrap());
        holder.unlock().unwrap();
        let locked = waits.join().unwrap().expect("the lock is free");
        assert!(matches!(open().try_lock(), Err(TryLockError::WouldBlock)));
        drop(locked);
        // The first one may have it for a moment, and nobody for longer.
        open().lock().unwrap();
        fs::remove_file(&path).unwrap();
    }
}

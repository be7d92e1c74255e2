//! The Unix socket: only its owner may open it, from the first moment on. Runtime.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
#[cfg(feature = "lab")]
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use tokio::net::UnixListener;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process answers there.
    #[error("{0} is in use: another controller runs there; stop it, or choose another --socket")]
    InUse(PathBuf),
    /// Something else is there; it is left alone.
    #[error("{0} exists and is not a socket")]
    NotASocket(PathBuf),
    /// The system refuses.
    #[error("{path}: {error}")]
    System {
        /// Where.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
}

/// A listening socket. Its file is removed when it is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: a file that somebody else put in its place stays.
    identity: (u64, u64),
}

impl ControlSocket {
    /// Listens at a path. What a dead process left there is replaced.
    ///
    /// The socket is made in a directory that nobody else may enter, closed to others, and moved to
    /// its place: at no moment can anybody else connect.
    ///
    /// # Errors
    /// [`SocketError`]; what is at the path stays as it is.
    pub fn bind(path: &Path) -> Result<ControlSocket, SocketError> {
        let system = |error| SocketError::System { path: path.to_owned(), error };
        // One that clients cannot name is of no use: a socket's path has 107 bytes.
        SocketAddr::from_pathname(path).map_err(system)?;
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(system(error)),
            Ok(found) if !found.file_type().is_socket() => {
                return Err(SocketError::NotASocket(path.to_owned()));
            }
            Ok(_) => match UnixStream::connect(path) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Ok(_) => return Err(SocketError::InUse(path.to_owned())),
                // A full backlog, no permission: somebody is there.
                Err(error) => return Err(system(error)),
            },
        }
        let name = format!(".umlaut-{}", std::process::id());
        let nursery = path.parent().unwrap_or(Path::new("")).join(name);
        // Only a process with our number, now dead, can have left one.
        let _ = fs::remove_dir_all(&nursery);
        DirBuilder::new().mode(0o700).create(&nursery).map_err(system)?;
        let made = ControlSocket::make(&nursery.join("s"), path);
        let _ = fs::remove_dir_all(&nursery);
        made.map_err(system)
    }

    fn make(cradle: &Path, path: &Path) -> io::Result<ControlSocket> {
        let listener = UnixListener::bind(cradle)?;
        fs::set_permissions(cradle, Permissions::from_mode(0o600))?;
        let made = fs::symlink_metadata(cradle)?;
        fs::rename(cradle, path)?;
        Ok(ControlSocket { listener, path: path.to_owned(), identity: (made.dev(), made.ino()) })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same socket for threads.
    ///
    /// # Errors
    /// What the system says.
    #[cfg(feature = "lab")]
    pub(crate) fn to_std(&self) -> io::Result<std::os::unix::net::UnixListener> {
        let duplicate = self.listener.as_fd().try_clone_to_owned()?;
        Ok(duplicate.into())
    }

    pub(super) fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let ours = |found: fs::Metadata| (found.dev(), found.ino()) == self.identity;
        if fs::symlink_metadata(&self.path).is_ok_and(ours) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Connects to a socket, within `patience`: where nobody accepts and enough others wait, connecting
/// does, too.
///
/// # Errors
/// What the system says; [`ErrorKind::TimedOut`].
pub(crate) fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let (tell, told) = channel();
    let path = path.to_owned();
    // A thread that waits for longer ends with the process.
    std::thread::Builder::new().name("connect".to_owned()).spawn(move || {
        let _ = tell.send(UnixStream::connect(path));
    })?;
    match told.recv_timeout(patience) {
        Ok(connected) => connected,
        Err(RecvTimeoutError::Timeout) => Err(ErrorKind::TimedOut.into()),
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("connecting failed")),
    }
}

/// Makes the directory of the default path, closed to others. One that is there stays as it is.
///
/// # Errors
/// What the system says.
pub fn make_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) => DirBuilder::new().mode(0o700).recursive(true).create(directory),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn only_the_owner_may_open_it_and_it_goes_with_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("u.sock");
        let socket = ControlSocket::bind(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no nursery is left");
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_anything_else_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("u.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "its process died without removing it");
        let first = ControlSocket::bind(&path).unwrap();
        let second = ControlSocket::bind(&path).unwrap_err();
        assert!(matches!(second, SocketError::InUse(_)), "{second}");
        UnixStream::connect(&path).unwrap();

        // A file in its place is not ours to remove.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        drop(first);
        let third = ControlSocket::bind(&path).unwrap_err();
        assert!(matches!(third, SocketError::NotASocket(_)), "{third}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_or_nowhere_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["none/u.sock".to_owned(), "x".repeat(120)] {
            let bound = ControlSocket::bind(&directory.path().join(name));
            assert!(matches!(bound, Err(SocketError::System { .. })), "{bound:?}");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

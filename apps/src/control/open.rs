//! From arguments to a server that answers. Runtime.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::socket::{ControlSocket, make_directory};
use super::{Control, Vocabulary, default_path, serve};

/// Where a controller is asked.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SocketArgs {
    /// Where it can be asked: a Unix socket [default: umlaut/umlaut.sock in $XDG_RUNTIME_DIR, else
    /// /run/umlaut.sock]
    #[arg(long, env = "UMLAUT_SOCKET", value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// It cannot be asked
    #[arg(long, conflicts_with = "socket")]
    pub no_socket: bool,
}

impl SocketArgs {
    /// Opens the socket. Without one at the default path the controller runs all the same.
    ///
    /// # Errors
    /// There is none at the path that was given.
    pub fn open(&self) -> anyhow::Result<Option<ControlSocket>> {
        if self.no_socket {
            return Ok(None);
        }
        if let Some(path) = &self.socket {
            return Ok(Some(ControlSocket::bind(path).context("--socket")?));
        }
        let path = default_path();
        // What is wrong with the directory is what binding complains of.
        let _ = make_directory(&path);
        match ControlSocket::bind(&path) {
            Ok(socket) => Ok(Some(socket)),
            Err(error) => {
                warn!(%error, "this controller cannot be asked; --socket PATH chooses another place");
                Ok(None)
            }
        }
    }
}

/// Answers at a socket, if there is one, until `stop` becomes true.
pub fn answer_at<P: Vocabulary>(
    socket: Option<ControlSocket>,
    control: Control<P>,
    stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Some(socket) = socket {
            info!(path = %socket.path().display(), "control socket");
            serve(Arc::new(control), socket, stop).await;
        }
    })
}

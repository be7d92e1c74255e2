//! Where switches connect: a listener accepts, sees to TLS, and hands each connection to a task.
//! Runtime.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tracing::warn;

use super::session_task;
use super::stopped;
use super::stream::Stream;
use super::tls::Tls;
use crate::app::Policy;
use crate::origin::Origin;
use crate::shared::Shared;
use crate::view::Event;

/// How many connections are served at once, switches and strangers alike. One more is closed at
/// once and told of.
pub const CONNECTIONS: usize = 4096;
/// How many TLS handshakes run at once, apart from the connections: whoever does not finish one
/// takes no switch's place. One more is closed at once and told of.
pub const HANDSHAKES: usize = 512;
/// How long open connections may take to write what is left at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);
/// How long to wait where the system has no file descriptor or memory for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An open port, for plain TCP or TLS.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    tls: Option<Arc<Tls>>,
}

impl Listener {
    /// Opens a port for plain TCP.
    ///
    /// # Errors
    /// The address cannot be listened on; the error names it.
    pub async fn bind(address: SocketAddr) -> io::Result<Listener> {
        let socket = TcpListener::bind(address).await.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        })?;
        Ok(Listener { socket, tls: None })
    }

    /// Makes it a port for TLS.
    #[must_use]
    pub fn with_tls(self, tls: Arc<Tls>) -> Listener {
        Listener { tls: Some(tls), ..self }
    }

    /// Whether switches must speak TLS here.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Its address, with the port that the system chose where none was asked for.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// The places of all listeners.
#[derive(Clone)]
pub(super) struct Places {
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Places {
        Places {
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
        }
    }
}

fn place(places: &Arc<Semaphore>, most: usize, what: &str) -> Result<OwnedSemaphorePermit, String> {
    places.clone().try_acquire_owned().map_err(|_| format!("more than {most} {what}"))
}

/// Serves a listener until `stop` becomes true.
pub(super) async fn accept<P: Policy>(
    shared: Arc<Shared<P>>,
    listener: Listener,
    places: Places,
    mut stop: watch::Receiver<bool>,
) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if let Err(error) = ended {
                    warn!(%error, "session failed");
                }
            }
            connection = listener.socket.accept() => match connection {
                Ok((socket, peer)) => {
                    // Taken before there is a task, so that tasks are bounded too.
                    let taken = match &listener.tls {
                        None => place(&places.connections, CONNECTIONS, "connections"),
                        Some(_) => place(&places.handshakes, HANDSHAKES, "TLS handshakes"),
                    };
                    match taken {
                        Ok(place) => {
                            let connection = Connection {
                                shared: shared.clone(),
                                socket,
                                peer,
                                tls: listener.tls.clone(),
                                places: places.clone(),
                                stop: stop.clone(),
                            };
                            tasks.spawn(connection.run(place));
                        }
                        Err(reason) => refused(&shared, peer, reason),
                    }
                }
                Err(error) => {
                    // Existing sessions go on.
                    warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    let drain = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN_GRACE, drain).await.is_err() {
        warn!("connections left open at shutdown");
    }
}

fn refused<P: Policy>(shared: &Shared<P>, peer: SocketAddr, reason: String) {
    let peer = peer.to_string();
    shared.net.observer.event(&Event::ConnectionRefused { peer, reason });
}

/// A connection just accepted.
struct Connection<P: Policy> {
    shared: Arc<Shared<P>>,
    socket: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<Tls>>,
    places: Places,
    stop: watch::Receiver<bool>,
}

impl<P: Policy> Connection<P> {
    /// Shakes hands if it is by TLS, then serves it to its end. `place` is one of the handshakes
    /// then, and of the connections otherwise.
    async fn run(self, mut place: OwnedSemaphorePermit) {
        let Connection { shared, socket, peer, tls, places, mut stop } = self;
        // Small messages must not wait for acknowledgements of earlier ones.
        let _ = socket.set_nodelay(true);
        let (stream, certificate) = match tls {
            None => (Stream::Plain(socket), None),
            Some(tls) => {
                let shaken = tokio::select! {
                    () = stopped(&mut stop) => return,
                    shaken = tls.accept(socket) => shaken,
                };
                let placed = shaken.and_then(|shaken| {
                    Ok((shaken, self::place(&places.connections, CONNECTIONS, "connections")?))
                });
                match placed {
                    Ok(((stream, certificate), connection)) => {
                        place = connection;
                        (Stream::Encrypted(Box::new(stream)), Some(certificate))
                    }
                    Err(reason) => return refused(&shared, peer, reason),
                }
            }
        };
        let origin = Origin { peer: peer.to_string(), address: Some(peer.ip()), certificate };
        session_task::run(shared, stream, origin, stop).await;
        drop(place);
    }
}

//! Where switches connect: a listener accepts, sees to TLS, and hands each connection to a
//! worker. Runtime.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tracing::warn;

use super::door::Accepted;
use super::stopped;
use super::stream::{Stream, unattended};
use super::tls::Tls;
use super::workers::Workers;
use crate::app::Policy;
use crate::origin::{Certificate, Origin};
use crate::shared::Shared;
use crate::view::Event;

/// How many connections are served at once, switches and strangers alike. One more is closed at
/// once and told of.
pub const CONNECTIONS: usize = 4096;
/// How many TLS handshakes run at once, apart from the connections: whoever does not finish one
/// takes no switch's place. One more is closed at once and told of.
pub const HANDSHAKES: usize = 512;
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
    workers: Arc<Workers>,
    places: Places,
    mut stop: watch::Receiver<bool>,
) {
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            Some(ended) = handshakes.join_next(), if !handshakes.is_empty() => {
                if let Err(error) = ended {
                    warn!(%error, "TLS handshake failed");
                }
            }
            connection = listener.socket.accept() => match connection {
                Ok((socket, peer)) => {
                    // Small messages must not wait for acknowledgements of earlier ones.
                    let _ = socket.set_nodelay(true);
                    let new = New { shared: shared.clone(), workers: workers.clone(), peer };
                    let places = places.clone();
                    let begun = match &listener.tls {
                        None => new.begin(socket, places),
                        // Taken before there is a task, so that tasks are bounded too.
                        Some(tls) => match place(&places.handshakes, HANDSHAKES, "TLS handshakes") {
                            Ok(place) => {
                                let shaken = new.shake_hands(socket, tls.clone(), places, place);
                                handshakes.spawn(shaken);
                                continue;
                            }
                            Err(reason) => Err(reason),
                        },
                    };
                    if let Err(reason) = begun {
                        refused(&shared, peer, reason);
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
}

fn refused<P: Policy>(shared: &Shared<P>, peer: SocketAddr, reason: String) {
    let peer = peer.to_string();
    shared.net.observer.event(&Event::ConnectionRefused { peer, reason });
}

/// A connection just accepted.
struct New<P: Policy> {
    shared: Arc<Shared<P>>,
    workers: Arc<Workers>,
    peer: SocketAddr,
}

impl<P: Policy> New<P> {
    /// Has a plain connection served.
    ///
    /// # Errors
    /// Why it is not.
    fn begin(&self, socket: TcpStream, places: Places) -> Result<(), String> {
        let place = place(&places.connections, CONNECTIONS, "connections")?;
        let socket = unattended(socket).map_err(|error| error.to_string())?;
        self.serve(Stream::Plain(socket), None, place)
    }

    /// Shakes hands by TLS, which takes `place`, and has it served.
    async fn shake_hands(
        self,
        socket: TcpStream,
        tls: Arc<Tls>,
        places: Places,
        place: OwnedSemaphorePermit,
    ) {
        let served = tls.accept(socket).await.and_then(|(stream, certificate)| {
            let connection = self::place(&places.connections, CONNECTIONS, "connections")?;
            self.serve(Stream::Encrypted(Box::new(stream)), Some(certificate), connection)
        });
        drop(place);
        if let Err(reason) = served {
            refused(&self.shared, self.peer, reason);
        }
    }

    fn serve(
        &self,
        stream: Stream,
        certificate: Option<Certificate>,
        place: OwnedSemaphorePermit,
    ) -> Result<(), String> {
        let peer = self.peer;
        let origin = Origin { peer: peer.to_string(), address: Some(peer.ip()), certificate };
        let accepted = Accepted { stream, origin, place };
        self.workers.serve(accepted).map_err(|error| error.to_string())
    }
}

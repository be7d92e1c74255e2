//! The emulated network over real TCP, for controllers as they are run. Runtime: threads, sockets and
//! the clock, no async runtime.
//!
//! One thread drives all switches and hosts: the [`Network`] of virtual time, with the real clock as
//! its time and a bridge to sockets as its controller. It works without root, on any Unix.
//!
//! ```no_run
//! use std::time::Duration;
//! use umlaut_openflow::Version;
//! use umlaut_testbed::{EmulatedLab, Topology};
//!
//! let controller = ([127, 0, 0, 1], 6653).into();
//! let lab = EmulatedLab::start(&Topology::single(4), controller, Version::V1_3)?;
//! for pair in lab.reachability(Duration::from_secs(2), Duration::from_secs(10)) {
//!     println!("{} -> {}: {}", pair.from, pair.to, pair.reached);
//! }
//! lab.stop();
//! # Ok::<(), umlaut_testbed::emulated::LabError>(())
//! ```

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use umlaut_openflow::Version;

use crate::control::{ChannelId, ControlOutput, Controller};
use crate::host::{EmulatedHost, Sniffed};
use crate::network::{Network, NetworkOptions, Reach};
use crate::topology::{Topology, TopologyError};

/// How long a switch waits for the controller to accept its connection.
const CONNECT_PATIENCE: Duration = Duration::from_millis(250);

/// How many bytes a switch keeps for a controller that does not read. When exceeded, the switch
/// closes the connection and connects again.
const SEND_LIMIT: usize = 16 << 20;

/// How much is read from a controller at once.
const READ_SIZE: usize = 64 << 10;

/// How often hosts speak while [`EmulatedLab::reachability`] waits.
const ATTEMPT: Duration = Duration::from_millis(200);

/// Why a lab cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Labs are for controllers on the same machine.
    #[error("controller {0} is not on loopback")]
    NotLoopback(SocketAddr),
    /// The description is no network.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The thread or its wake-up pipe could not be made.
    #[error("cannot start the lab: {0}")]
    Io(#[from] io::Error),
}

/// What stands in the network for the controller behind the sockets.
#[derive(Debug, Default)]
pub struct SocketBridge {
    commands: Vec<(ChannelId, Command)>,
    arrivals: Vec<(ChannelId, ControlOutput)>,
}

#[derive(Debug)]
enum Command {
    Open,
    Send(Vec<u8>),
    Close,
}

impl Controller for SocketBridge {
    fn connected(&mut self, channel: ChannelId, _: Instant) {
        self.commands.push((channel, Command::Open));
    }

    fn input(&mut self, channel: ChannelId, bytes: &[u8], _: Instant) {
        self.commands.push((channel, Command::Send(bytes.to_vec())));
    }

    fn disconnected(&mut self, channel: ChannelId, _: Instant) {
        self.commands.push((channel, Command::Close));
    }

    fn poll(&mut self, _: Instant) {}

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn drain(&mut self, out: &mut Vec<(ChannelId, ControlOutput)>) {
        out.append(&mut self.arrivals);
    }
}

#[derive(Debug)]
struct State {
    network: Network<SocketBridge>,
    stop: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Told after every turn of the thread.
    turned: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The network's functions are total: a poisoned lock still guards a whole network.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running network whose switches are connected to a controller on loopback. Dropped: stopped.
#[derive(Debug)]
pub struct EmulatedLab {
    shared: Arc<Shared>,
    wake: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl EmulatedLab {
    /// Brings up a network whose switches speak this version, and lets them connect; they try again
    /// until the controller is there.
    ///
    /// # Errors
    /// [`LabError`]: a controller that is not on loopback, a description that is no network, no
    /// thread to be had.
    pub fn start(
        topology: &Topology,
        controller: SocketAddr,
        version: Version,
    ) -> Result<EmulatedLab, LabError> {
        EmulatedLab::start_with(topology, controller, EmulatedLab::options(version))
    }

    /// What [`EmulatedLab::start`] uses: no delays but 20 µs per cable, back-off 0.1 to 2 s.
    pub fn options(version: Version) -> NetworkOptions {
        NetworkOptions {
            cable_delay: Duration::from_micros(20),
            control_delay: Duration::ZERO,
            jitter: Duration::ZERO,
            backoff: (Duration::from_millis(100), Duration::from_secs(2)),
            ..NetworkOptions::speaking(version)
        }
    }

    /// As [`EmulatedLab::start`], with own options.
    ///
    /// # Errors
    /// As [`EmulatedLab::start`].
    pub fn start_with(
        topology: &Topology,
        controller: SocketAddr,
        options: NetworkOptions,
    ) -> Result<EmulatedLab, LabError> {
        if !controller.ip().is_loopback() {
            return Err(LabError::NotLoopback(controller));
        }
        let network = Network::new(topology, options, SocketBridge::default())?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State { network, stop: false }),
            turned: Condvar::new(),
        });
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let in_thread = Arc::clone(&shared);
        let thread =
            std::thread::Builder::new().name("emulated lab".to_owned()).spawn(move || {
                Driver { controller, sockets: BTreeMap::new(), woken }.run(&in_thread)
            })?;
        Ok(EmulatedLab { shared, wake, thread: Some(thread) })
    }

    fn wake(&self) {
        // A full pipe wakes as well.
        let _ = (&self.wake).write(&[0]);
    }

    /// Looks at the network or acts on it (cut a link, move a host); what follows happens at once.
    pub fn with_network<R>(&self, call: impl FnOnce(&mut Network<SocketBridge>) -> R) -> R {
        let result = {
            let mut state = self.shared.lock();
            let _ = state.network.run_until(Instant::now());
            call(&mut state.network)
        };
        self.wake();
        result
    }

    /// Calls into a host. `None`: no such host.
    pub fn with_host<R>(
        &self,
        name: &str,
        call: impl FnOnce(&mut EmulatedHost, Instant) -> R,
    ) -> Option<R> {
        self.with_network(|network| network.with_host(name, call))
    }

    /// One host sends another a UDP datagram, port 1 to port 1. `None`: no such host, or one has no
    /// IPv4 address.
    pub fn send(&self, from: &str, to: &str, payload: &[u8]) -> Option<()> {
        self.with_network(|network| network.send_udp(from, to, payload))
    }

    /// Every frame that has arrived at a host, oldest first; none if there is no such host.
    pub fn sniffed(&self, name: &str) -> Vec<Sniffed> {
        self.with_network(|network| {
            network.host(name).map_or(Vec::new(), |host| host.sniffed().cloned().collect())
        })
    }

    /// Waits until a condition holds, at most for `limit`; whether it does. It is asked after
    /// everything that happens.
    pub fn wait_until(
        &self,
        limit: Duration,
        mut condition: impl FnMut(&Network<SocketBridge>) -> bool,
    ) -> bool {
        let end = Instant::now() + limit;
        let mut state = self.shared.lock();
        loop {
            if condition(&state.network) {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.turned.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until all switches have agreed on a version with the controller; whether they have.
    pub fn wait_connected(&self, limit: Duration) -> bool {
        self.wait_until(limit, |network| {
            network.switches().all(|switch| switch.version().is_some())
        })
    }

    /// Who can send to whom: hosts announce themselves by broadcast and try each other by unicast,
    /// again and again, until all pairs are reached, no new pair is for `quiet`, or `patience` is
    /// over. Pairs in the order of the topology. Let `quiet` be longer than the controller takes to
    /// discover links and to forget a refusal for want of a path.
    pub fn reachability(&self, quiet: Duration, patience: Duration) -> Vec<Reach> {
        let end = Instant::now() + patience;
        self.wait_connected(patience);
        let hosts = self.with_network(|network| network.hosts().len());
        let pairs = (0..hosts).flat_map(|from| (0..hosts).map(move |to| (from, to)));
        let pairs: Vec<(usize, usize)> = pairs.filter(|(from, to)| from != to).collect();
        let mut reached = vec![false; pairs.len()];
        let mut progress = Instant::now();
        loop {
            let open: Vec<usize> = (0..pairs.len()).filter(|index| !reached[*index]).collect();
            let now = Instant::now();
            if open.is_empty() || now >= end || now >= progress + quiet {
                break;
            }
            let tokens: Vec<(usize, u64)> = self.with_network(|network| {
                network.announce_all();
                let probe = |index: &usize| {
                    let (from, to) = pairs[*index];
                    (*index, network.probe(from, to))
                };
                open.iter().map(probe).collect()
            });
            let left = end.min(progress + quiet).saturating_duration_since(now);
            self.wait_until(left.min(ATTEMPT), |network| {
                for (index, token) in &tokens {
                    let (from, to) = pairs[*index];
                    if !reached[*index] && network.reach(from, to, *token).reached {
                        reached[*index] = true;
                        progress = Instant::now();
                    }
                }
                tokens.iter().all(|(index, _)| reached[*index])
            });
        }
        self.with_network(|network| {
            let name = |index: usize| network.hosts()[index].name().to_owned();
            let pairs = pairs.iter().zip(&reached);
            pairs
                .map(|((from, to), reached)| Reach {
                    from: name(*from),
                    to: name(*to),
                    reached: *reached,
                })
                .collect()
        })
    }

    /// Stops the network: connections are closed, the thread has ended when this returns.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.lock().stop = true;
        self.wake();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

impl Drop for EmulatedLab {
    fn drop(&mut self) {
        self.end();
    }
}

#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    /// Not yet written.
    pending: Vec<u8>,
}

/// What the thread owns.
#[derive(Debug)]
struct Driver {
    controller: SocketAddr,
    sockets: BTreeMap<ChannelId, Socket>,
    woken: UnixStream,
}

impl Driver {
    fn run(mut self, shared: &Shared) {
        let mut arrivals = Vec::new();
        loop {
            let (commands, deadline) = {
                let mut state = shared.lock();
                if state.stop {
                    return;
                }
                let network = &mut state.network;
                network.with_controller(|bridge, _| bridge.arrivals.append(&mut arrivals));
                let _ = network.run_until(Instant::now());
                let commands =
                    network.with_controller(|bridge, _| std::mem::take(&mut bridge.commands));
                (commands, network.deadline())
            };
            shared.turned.notify_all();
            for (channel, command) in commands {
                self.obey(channel, command, &mut arrivals);
            }
            self.flush(&mut arrivals);
            if arrivals.is_empty() {
                self.wait(deadline, &mut arrivals);
            }
        }
    }

    fn obey(
        &mut self,
        channel: ChannelId,
        command: Command,
        arrivals: &mut Vec<(ChannelId, ControlOutput)>,
    ) {
        match command {
            Command::Open => match connect(self.controller) {
                Ok(stream) => {
                    self.sockets.insert(channel, Socket { stream, pending: Vec::new() });
                }
                Err(_) => arrivals.push((channel, ControlOutput::Close)),
            },
            Command::Send(bytes) => {
                if let Some(socket) = self.sockets.get_mut(&channel) {
                    socket.pending.extend(bytes);
                    if socket.pending.len() > SEND_LIMIT {
                        self.sockets.remove(&channel);
                        arrivals.push((channel, ControlOutput::Close));
                    }
                }
            }
            Command::Close => {
                self.sockets.remove(&channel);
            }
        }
    }

    /// Writes what the sockets take now.
    fn flush(&mut self, arrivals: &mut Vec<(ChannelId, ControlOutput)>) {
        self.sockets.retain(|channel, socket| {
            let alive = socket.flush().is_ok();
            if !alive {
                arrivals.push((*channel, ControlOutput::Close));
            }
            alive
        });
    }

    /// Waits for sockets, the wake-up pipe or the deadline, then reads what is there.
    fn wait(&mut self, deadline: Option<Instant>, arrivals: &mut Vec<(ChannelId, ControlOutput)>) {
        let mut fds = vec![PollFd::new(self.woken.as_fd(), PollFlags::POLLIN)];
        for socket in self.sockets.values() {
            let mut wanted = PollFlags::POLLIN;
            if !socket.pending.is_empty() {
                wanted |= PollFlags::POLLOUT;
            }
            fds.push(PollFd::new(socket.stream.as_fd(), wanted));
        }
        // Whole milliseconds, rounded down: a deadline that is nearer is waited for by turning.
        let timeout = deadline.map_or(PollTimeout::NONE, |at| {
            let left = at.saturating_duration_since(Instant::now()).as_millis();
            PollTimeout::from(u16::try_from(left).unwrap_or(u16::MAX))
        });
        // Interrupted by a signal: the same as woken for nothing.
        let _ = poll(&mut fds, timeout);
        drop(fds);
        let mut sink = [0; 64];
        while matches!((&self.woken).read(&mut sink), Ok(n) if n == sink.len()) {}
        let mut buffer = vec![0; READ_SIZE];
        self.sockets.retain(|channel, socket| match socket.stream.read(&mut buffer) {
            Ok(n) if n > 0 => {
                arrivals.push((*channel, ControlOutput::Bytes(buffer[..n].to_vec())));
                true
            }
            Err(error) if is_transient(&error) => true,
            // Closed by the controller, or broken.
            Ok(_) | Err(_) => {
                arrivals.push((*channel, ControlOutput::Close));
                false
            }
        });
    }
}

impl Socket {
    fn flush(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            match self.stream.write(&self.pending) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.pending.drain(..n);
                }
                Err(error) if is_transient(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// On loopback a connection is made or refused at once, unless the listener's queue is full.
fn connect(controller: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&controller, CONNECT_PATIENCE)?;
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use umlaut_openflow::DatapathId;

    use super::*;
    use crate::hub::Hub;

    const LIMIT: Duration = Duration::from_secs(20);

    /// A hub behind a listener: a thread per connection, as simple controllers are.
    fn serve(listener: TcpListener, connections: usize) -> JoinHandle<()> {
        std::thread::spawn(move || {
            let hub = Arc::new(Mutex::new(Hub::new()));
            let mut threads = Vec::new();
            for number in 1..=connections as u64 {
                let (mut stream, _) = listener.accept().unwrap();
                let hub = Arc::clone(&hub);
                threads.push(std::thread::spawn(move || {
                    let channel = ChannelId(number);
                    let mut buffer = [0; 4096];
                    let mut out = Vec::new();
                    {
                        // A hub answers only the channel that speaks.
                        let mut hub = hub.lock().unwrap();
                        hub.connected(channel, Instant::now());
                        hub.drain(&mut out);
                    }
                    loop {
                        for (_, output) in out.drain(..) {
                            if let ControlOutput::Bytes(bytes) = output
                                && stream.write_all(&bytes).is_err()
                            {
                                return;
                            }
                        }
                        let Ok(n @ 1..) = stream.read(&mut buffer) else { return };
                        let mut hub = hub.lock().unwrap();
                        hub.input(channel, &buffer[..n], Instant::now());
                        hub.drain(&mut out);
                    }
                }));
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        })
    }

    #[test]
    fn a_lab_works_over_tcp_and_stops_cleanly() {
        for version in [Version::V1_0, Version::V1_3] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let controller = listener.local_addr().unwrap();
            let server = serve(listener, 2);
            let mut topology = Topology::linear(2, 2);
            topology.hosts[3].vlan = umlaut_openflow::VlanId::new(7);
            let lab = EmulatedLab::start(&topology, controller, version).unwrap();
            assert!(lab.wait_connected(LIMIT));
            let pairs = lab.reachability(Duration::from_secs(1), LIMIT);
            assert_eq!(pairs.len(), 12);
            for pair in pairs {
                let tagged = pair.from == "h4" || pair.to == "h4";
                assert_eq!(pair.reached, !tagged, "{pair:?}");
            }
            lab.send("h1", "h3", b"over tcp").unwrap();
            let arrived = |network: &Network<SocketBridge>| {
                network.host("h3").is_some_and(|h3| h3.saw(b"over tcp") == 1)
            };
            assert!(lab.wait_until(LIMIT, arrived));
            assert!(lab.sniffed("h3").len() > 1 && lab.sniffed("h9").is_empty());
            let from_h1 = lab.with_host("h3", |h3, _| h3.received_from([192, 168, 0, 1].into()));
            assert!(from_h1.is_some_and(|count| count > 0));
            lab.stop();
            server.join().unwrap();
        }
    }

    #[test]
    fn switches_try_again_until_the_controller_is_there() {
        // A port that is free for the moment.
        let place = TcpListener::bind("127.0.0.1:0").unwrap();
        let controller = place.local_addr().unwrap();
        drop(place);
        let lab = EmulatedLab::start(&Topology::single(1), controller, Version::V1_3).unwrap();
        assert!(!lab.wait_connected(Duration::from_millis(50)));
        let server = serve(TcpListener::bind(controller).unwrap(), 2);
        assert!(lab.wait_connected(LIMIT));
        // A channel that breaks is connected again.
        lab.with_network(|network| network.reset_channel(DatapathId(1))).unwrap();
        assert!(lab.wait_connected(LIMIT));
        drop(lab);
        server.join().unwrap();
    }

    #[test]
    fn a_controller_elsewhere_is_refused() {
        let elsewhere = ([192, 0, 2, 1], 6653).into();
        let refused = EmulatedLab::start(&Topology::single(1), elsewhere, Version::V1_0);
        assert!(matches!(refused, Err(LabError::NotLoopback(address)) if address == elsewhere));
    }
}

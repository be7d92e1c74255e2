//! The load generator: fake switches on sockets, in one thread (epoll(7)). Runtime.
//!
//! Time in a phase is nanoseconds from its start. A packet-in at a fixed rate is due at a time that
//! its number alone gives: if the generator or the controller is late, the wait counts.

use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use umlaut_openflow::Version;

use super::error::{LoadError, system};
use super::phase::{Pace, due_at};
use super::population::Population;
use super::process;
use super::results::{Counts, Latencies};
use super::stops::Watch;
use super::switch::{Came, Common, FakeSwitch, Unreadable, Workload};
use super::template::Template;
use super::wire::{READ_BYTES, Reading, WAITING_BYTES, Wire};

/// How long the controller may take to accept a connection, and to ask a switch who it is.
pub(super) const GREETING_TIME: Duration = Duration::from_secs(10);
/// How many switches are greeted at once.
const GREETINGS: usize = 8;
/// How many questions and answers may follow before a controller has what it needs, and how long is
/// waited for each where it does not answer echoes yet.
const GREETING_STEPS: usize = 4;
const STEP_TIME: Duration = Duration::from_secs(1);
/// How long a controller that goes on asking is listened to before the load begins all the same.
const SETTLING_TIME: Duration = Duration::from_secs(15);
/// Hosts that a switch announces before it waits for an echo.
const ANNOUNCEMENTS: u32 = 64;
/// How long an echo may take: a controller reads what came before it first.
pub(super) const ECHO_TIME: Duration = Duration::from_secs(60);
/// The longest sleep while something is waited for.
const CHECK: Duration = Duration::from_millis(50);
/// After so long without an answer to announcements they are all read.
const QUIET: Duration = Duration::from_millis(200);
/// How much a storm writes and reads at once: it must not keep the generator from what is measured.
const STORM_BYTES: usize = 16 << 10;
/// Room for the rest of a message before what is read.
const MESSAGE: usize = 64 << 10;
/// File descriptors besides those of switches.
const OTHER_FILES: u64 = 32;

/// What is put on a controller.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where it listens.
    pub controller: SocketAddr,
    /// What the switches speak, 1.0 or 1.3.
    pub version: Version,
    /// How many switches and hosts there are.
    pub population: Population,
    /// Which paths are asked for.
    pub workload: Workload,
    /// Whether switches keep the frames of packet-ins, and tell a buffer id.
    pub buffers: bool,
    /// The controller's process. Not given, it is looked for where the address is of this machine.
    pub pid: Option<u32>,
    /// How long the controller must have asked nothing before the load begins.
    pub settle: Duration,
    /// When the generator sleeps while it measures.
    pub sleep: Sleep,
    /// Whether it is watched when processors of this machine stand still, which needs the right to a
    /// real-time priority. What that has to do with is also told apart.
    pub note_stops: bool,
}

/// When a generator sleeps while it measures. Before, it sleeps until something comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sleep {
    /// Until something comes or is due: whoever answers pays for waking it, a controller on the same
    /// machine. What is due sooner than 2 ms is waited for without sleeping.
    #[default]
    Quiet,
    /// Never: it takes a processor.
    Never,
    /// From one look at what has come and is due until so long after the last began, whatever happens:
    /// nobody pays for waking it, and it needs only a part of a processor. A latency is longer by up to
    /// two of these and of what the system is late in waking it.
    Between(Duration),
}

/// A switch on its socket.
#[derive(Debug)]
pub(super) struct Line {
    wire: Wire,
    pub(super) switch: FakeSwitch,
    /// Whether it waits for room in the socket.
    blocked: bool,
    /// Whether it takes part in the measurement.
    pub(super) measured: bool,
    pub(super) storms: bool,
    /// Of a fixed rate: its first packet-in is this one of all.
    pub(super) first: u64,
    /// Of a fixed rate: how many packet-ins are due since the start of the phase.
    pub(super) due: u64,
    /// How many went, and how many are to go.
    pub(super) gone: u64,
    pub(super) most: u64,
    /// When the last went.
    pub(super) spoke_at: u64,
}

/// Connected switches.
#[derive(Debug)]
pub struct Generator {
    load: Load,
    common: Common,
    epoll: Epoll,
    pub(super) lines: Vec<Line>,
    buffer: Vec<u8>,
    pub(super) latencies: Latencies,
    pub(super) watch: Option<Watch>,
    pub(super) storm: Counts,
    /// Of the phase; what is in it is told in nanoseconds from here.
    pub(super) start: Instant,
    pub(super) measured: Range<u64>,
    pid: Option<u32>,
    /// Nothing is sent where there is none.
    pub(super) pace: Option<Pace>,
    /// The measured lines: of a fixed rate, each packet-in is that of the next, in a circle.
    pub(super) circle: Vec<usize>,
}

impl Generator {
    /// Connects all switches and waits until the controller has asked all that it wants to know.
    ///
    /// # Errors
    /// [`LoadError`]: there is no controller, or it is none of this version.
    pub fn connect(load: Load) -> Result<Generator, LoadError> {
        if let Workload::NewPaths { live } = load.workload {
            // A pair comes again when its entry has ended, with room for what is in flight.
            let most = load.population.distinct_pairs() / 2;
            if live as u64 > most {
                return Err(LoadError::TooManyLive { live, most });
            }
        }
        allow_files(load.population.switches())?;
        let common = Common {
            template: Template::new(load.version)?,
            ports: load.population.host_ports(),
            buffers: load.buffers,
        };
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(system("epoll"))?;
        let mut generator = Generator {
            common,
            epoll,
            lines: Vec::new(),
            buffer: vec![0; READ_BYTES + MESSAGE],
            latencies: Latencies::default(),
            watch: load.note_stops.then(Watch::begin).transpose()?,
            storm: Counts::default(),
            start: Instant::now(),
            measured: 0..0,
            pid: None,
            pace: None,
            circle: Vec::new(),
            load,
        };
        generator.greet()?;
        generator.pid =
            generator.load.pid.or_else(|| process::listening(generator.load.controller));
        generator.settle()?;
        Ok(generator)
    }

    /// The controller's process, if it is known.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    pub(super) fn workload(&self) -> Workload {
        self.load.workload
    }

    pub(super) fn population(&self) -> Population {
        self.load.population
    }

    /// All hosts make themselves known, and the controller has read it when this returns.
    ///
    /// # Errors
    /// [`LoadError`]: a connection ended, or the controller does not answer.
    pub fn announce(&mut self) -> Result<(), LoadError> {
        self.begin_load();
        let hosts = self.load.population.hosts();
        let mut from = 0;
        while from < hosts {
            let to = (from + ANNOUNCEMENTS).min(hosts);
            for line in &mut self.lines {
                for host in from..to {
                    line.switch.announce(host, line.wire.out())?;
                }
            }
            self.echo()?;
            from = to;
        }
        // Some controllers answer an echo before what came ahead of it.
        self.quiet(QUIET, ECHO_TIME, |counts| {
            counts.set_ups + counts.drop_entries + counts.other_flow_mods + counts.packet_outs
        })
    }

    pub(super) fn begin_load(&mut self) {
        self.lines.iter_mut().for_each(|line| line.switch.begin_load());
    }

    /// Asks for an echo on every connection, and waits for all.
    pub(super) fn echo(&mut self) -> Result<(), LoadError> {
        match self.echo_within(0..self.lines.len(), ECHO_TIME)? {
            None => Ok(()),
            Some(waiting) => Err(LoadError::NoEcho { switch: waiting as u32 + 1 }),
        }
    }

    /// Asks for an echo on these connections; tells one that has not come in time, if there is one.
    fn echo_within(
        &mut self,
        lines: Range<usize>,
        time: Duration,
    ) -> Result<Option<usize>, LoadError> {
        for index in lines.clone() {
            let line = &mut self.lines[index];
            line.switch.fence(line.wire.out());
            self.flush(index)?;
        }
        let until = Instant::now() + time;
        loop {
            let waiting = lines.clone().find(|index| self.lines[*index].switch.fenced());
            if waiting.is_none() || Instant::now() >= until {
                return Ok(waiting);
            }
            self.turn(CHECK)?;
        }
    }

    // ---- connections ----

    /// Connects some switches at a time: a controller gives each so long to answer what it asks, and
    /// does some work for each that joins.
    fn greet(&mut self) -> Result<(), LoadError> {
        let switches = self.load.population.switches() as usize;
        while self.lines.len() < switches {
            let from = self.lines.len();
            let to = (from + GREETINGS).min(switches);
            for number in from..to {
                self.open(number as u32)?;
            }
            let until = Instant::now() + GREETING_TIME;
            let silent = |line: &Line| !line.switch.greeted;
            while let Some(index) = self.lines[from..].iter().position(silent) {
                if Instant::now() >= until {
                    return Err(LoadError::NotGreeted { switch: (from + index) as u32 + 1 });
                }
                self.turn(CHECK)?;
            }
            // What it asks next may be a matter of several messages, each behind an answer.
            for _ in 0..GREETING_STEPS {
                self.echo_within(from..to, STEP_TIME)?;
            }
        }
        Ok(())
    }

    fn open(&mut self, number: u32) -> Result<(), LoadError> {
        let address = self.load.controller;
        let failed = |error| LoadError::Connect { address, switch: number + 1, error };
        let stream = TcpStream::connect_timeout(&address, GREETING_TIME).map_err(failed)?;
        let wire = Wire::new(stream).map_err(failed)?;
        let now = Instant::now();
        let Load { population, version, workload, buffers, .. } = self.load;
        let switch = FakeSwitch::new(number, population, version, workload, buffers, now);
        let event = EpollEvent::new(EpollFlags::EPOLLIN, u64::from(number));
        self.epoll.add(&wire.stream, event).map_err(system("epoll"))?;
        let mut line = Line {
            wire,
            switch,
            blocked: false,
            measured: false,
            storms: false,
            first: 0,
            due: 0,
            gone: 0,
            most: 0,
            spoke_at: 0,
        };
        line.switch.connected(now, line.wire.out());
        self.lines.push(line);
        self.flush(number as usize)
    }

    /// Waits until nothing was asked for a while.
    fn settle(&mut self) -> Result<(), LoadError> {
        self.quiet(self.load.settle, SETTLING_TIME, |counts| counts.others + counts.errors)?;
        self.echo()
    }

    /// Waits until a count has stayed as it is for so long, but not longer than `limit`.
    fn quiet(
        &mut self,
        time: Duration,
        limit: Duration,
        count: impl Fn(&Counts) -> u64,
    ) -> Result<(), LoadError> {
        let began = Instant::now();
        let mut quiet = began;
        let mut before = 0;
        while quiet.elapsed() < time && began.elapsed() < limit {
            self.turn(CHECK.min(time))?;
            let now = self.lines.iter().map(|line| count(&line.switch.counts)).sum();
            if now != before {
                (before, quiet) = (now, Instant::now());
            }
        }
        Ok(())
    }

    // ---- turns ----

    pub(super) fn sleep(&self) -> Sleep {
        self.load.sleep
    }

    pub(super) fn at(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_nanos() as u64
    }

    /// Waits for something to read, or room to write, and does what follows from it.
    pub(super) fn turn(&mut self, timeout: Duration) -> Result<(), LoadError> {
        let mut events = [EpollEvent::empty(); 256];
        let timeout = EpollTimeout::try_from(timeout).unwrap_or(EpollTimeout::ZERO);
        let count = match self.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(nix::Error::EINTR) => 0,
            Err(error) => return Err(system("epoll")(error)),
        };
        self.take_stops();
        for event in &events[..count] {
            let index = event.data() as usize;
            if event.events().intersects(!EpollFlags::EPOLLOUT) {
                self.read(index)?;
            }
            self.fill(index);
            self.flush(index)?;
        }
        Ok(())
    }

    /// Before what they kept waiting is read.
    fn take_stops(&mut self) {
        let stops = self.watch.as_mut().map(Watch::take).unwrap_or_default();
        for (from, to) in stops {
            self.latencies.stopped(self.at(from)..self.at(to));
        }
    }

    fn read(&mut self, index: usize) -> Result<(), LoadError> {
        let now = Instant::now();
        let at = self.at(now);
        let Some(line) = self.lines.get_mut(index) else { return Ok(()) };
        let mut came =
            Came { at, now, latencies: &mut self.latencies, measured: self.measured.clone() };
        let Line { wire, switch, .. } = line;
        let room = if line.storms { MESSAGE + STORM_BYTES } else { self.buffer.len() };
        let buffer = &mut self.buffer[..room];
        let read = wire.read(buffer, |message, out| switch.input(message, &mut came, out));
        let number = index as u32 + 1;
        match switch.unreadable.take() {
            None => {}
            Some(Unreadable::Broken(error)) => {
                return Err(LoadError::BrokenAnswer { switch: number, error });
            }
            Some(Unreadable::Version(came)) => {
                let version = self.load.version;
                return Err(LoadError::Version { switch: number, version, came });
            }
        }
        match read {
            Ok(_) if switch.closed => {
                let version = self.load.version;
                Err(LoadError::Misunderstood { switch: number, version })
            }
            Ok(Reading::Some | Reading::Nothing) => Ok(()),
            Ok(Reading::End) => {
                let when = match (line.switch.greeted, self.pace) {
                    (false, _) => " before it asked for its features",
                    (true, None) => " before the load",
                    (true, Some(_)) => " under load",
                };
                Err(LoadError::Closed { switch: number, when })
            }
            Err(error) => Err(LoadError::Broken { switch: number, error }),
        }
    }

    /// Lets a line send all that it may now.
    pub(super) fn serve(&mut self, index: usize) -> Result<(), LoadError> {
        loop {
            self.fill(index);
            self.flush(index)?;
            // A line of a fixed rate may have more that is due than is written at once.
            let more = |line: &Line| line.gone < line.due && !line.blocked;
            if !self.lines.get(index).is_some_and(more) {
                return Ok(());
            }
        }
    }

    /// Writes what waits, and sees to it that the rest follows.
    fn flush(&mut self, index: usize) -> Result<(), LoadError> {
        let Some(line) = self.lines.get_mut(index) else { return Ok(()) };
        let done = line.wire.flush();
        let done = done.map_err(|error| LoadError::Broken { switch: index as u32 + 1, error })?;
        // A storm has always more.
        let blocked = !done || line.storms && self.pace.is_some();
        if line.blocked != blocked {
            line.blocked = blocked;
            let mut wanted = EpollFlags::EPOLLIN;
            wanted.set(EpollFlags::EPOLLOUT, blocked);
            let mut event = EpollEvent::new(wanted, index as u64);
            self.epoll.modify(&line.wire.stream, &mut event).map_err(system("epoll"))?;
        }
        Ok(())
    }

    /// Appends the packet-ins that this line may send now.
    fn fill(&mut self, index: usize) {
        let Some(pace) = self.pace else { return };
        let at = self.at(Instant::now());
        let lines = self.circle.len() as u64;
        let Some(line) = self.lines.get_mut(index) else { return };
        let Line { wire, switch, .. } = line;
        let gone = line.gone;
        if line.measured {
            match pace {
                Pace::Window(_) | Pace::OneInFlight => {
                    let window = match pace {
                        Pace::Window(window) => u64::from(window),
                        _ => 1,
                    };
                    let room = window.saturating_sub(switch.in_flight());
                    for _ in 0..room.min(line.most - line.gone) {
                        if wire.waiting() >= WAITING_BYTES {
                            break;
                        }
                        switch.speak(&self.common, at, wire.out());
                        line.gone += 1;
                    }
                }
                Pace::Rate(rate) => {
                    while line.gone < line.due && wire.waiting() < WAITING_BYTES {
                        let due = due_at(line.first + line.gone * lines, rate);
                        switch.speak(&self.common, due, wire.out());
                        line.gone += 1;
                    }
                }
            }
        }
        if line.gone > gone {
            line.spoke_at = at;
        }
        if line.storms {
            while wire.waiting() < STORM_BYTES {
                switch.storm(&self.common, &mut self.storm, wire.out());
            }
        }
    }
}

/// Lets the process have as many files as there are switches.
fn allow_files(switches: u32) -> Result<(), LoadError> {
    let wanted = u64::from(switches) + OTHER_FILES;
    let failed = system("the limit of open files");
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(&failed)?;
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).map_err(&failed)?;
    }
    Ok(())
}

//! Measurements: how packet-ins come, when it is measured, what is counted. Runtime.

use std::time::{Duration, Instant};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::error::{LoadError, system};
use super::generator::{Generator, Line, Sleep};
use super::process;
use super::results::{Counts, Cpu, Latencies, Measured};
use super::switch::Workload;

/// A switch without any answer for so long may send as if all were answered.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long answers are awaited when a phase ends.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// How often patience is looked at, and the longest sleep.
const CHECK: Duration = Duration::from_millis(50);
/// How many packet-ins of a switch are unanswered while paths are asked for the first time.
const FIRST_WINDOW: u32 = 64;
/// What is due sooner than this is waited for without sleeping: sleep ends late.
const AWAKE: Duration = Duration::from_millis(2);

/// How fast packet-ins come.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Pace {
    /// Every switch has at most so many unanswered ones.
    Window(u32),
    /// Every switch has one unanswered; latencies are noted.
    OneInFlight,
    /// So many a second of all switches, whether answers come or not; latencies are noted.
    Rate(f64),
}

/// When a phase ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// After warming up and measuring for so long.
    After {
        /// What is not measured.
        warm_up: Duration,
        /// What is.
        measured: Duration,
    },
    /// After so many packet-ins of all switches, all measured.
    PacketIns(u64),
}

/// A storm beside the load: the first switches send packet-ins of one host as fast as they are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Storm {
    /// How many switches.
    pub switches: u32,
    /// Whether the load is put on these, from other ports, instead of on the others.
    pub same_switches: bool,
}

impl Storm {
    /// Whether it leaves something to be measured, of so many switches.
    ///
    /// # Errors
    /// [`LoadError::Storm`]
    pub fn check(self, switches: u32) -> Result<(), LoadError> {
        if self.switches > switches || self.switches == switches && !self.same_switches {
            return Err(LoadError::Storm("a storm of all switches leaves none to be measured"));
        }
        Ok(())
    }
}

/// One measurement.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Phase {
    /// How fast.
    pub pace: Pace,
    /// How long.
    pub end: End,
    /// What else happens.
    pub storm: Option<Storm>,
}

/// Counters at one moment.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: u64,
    counts: Counts,
    storm: Counts,
    controller: Option<Cpu>,
    own: Cpu,
}

impl Generator {
    /// Puts a load on the controller and measures.
    ///
    /// # Errors
    /// [`LoadError`]: a connection ended, nothing was answered, or the phase cannot be.
    pub fn run(&mut self, phase: &Phase) -> Result<Measured, LoadError> {
        self.prepare(phase)?;
        let (warm_up, end) = match phase.end {
            End::After { warm_up, measured } => (nanos(warm_up), nanos(warm_up + measured)),
            End::PacketIns(_) => (0, u64::MAX),
        };
        self.measured = warm_up..end;
        let mut first = (warm_up == 0).then(|| self.mark(0));
        let mut next = 0;
        let mut checked = 0;
        let ticks = match self.sleep() {
            Sleep::Between(time) => Some(ticks(time)?),
            Sleep::Quiet | Sleep::Never => None,
        };
        self.start = Instant::now();
        self.pace = Some(phase.pace);
        for index in 0..self.lines.len() {
            self.serve(index)?;
        }
        let at_end = loop {
            let at = self.at(Instant::now());
            if first.is_none() && at >= warm_up {
                // What is older is not answered any more.
                let stale = at.saturating_sub(nanos(PATIENCE));
                self.lines.iter_mut().for_each(|line| line.switch.forget_before(stale));
                first = Some(self.mark(at));
            }
            if at >= end || end == u64::MAX && self.is_done(at) {
                break at;
            }
            let mut timeout = match self.sleep() {
                Sleep::Quiet => nanos(CHECK).min(end - at),
                Sleep::Never | Sleep::Between(_) => 0,
            };
            if let Pace::Rate(rate) = phase.pace {
                let due = self.become_due(&mut next, at, rate)?;
                timeout = match due.saturating_sub(at) {
                    wait if wait < nanos(AWAKE) => 0,
                    wait => (wait - nanos(AWAKE) / 2).min(timeout),
                };
            }
            if let Some(ticks) = &ticks {
                ticks.wait().map_err(system("timer"))?;
            }
            self.turn(Duration::from_nanos(timeout))?;
            if at - checked > nanos(CHECK) {
                checked = at;
                self.lose_patience(at)?;
            }
        };
        let not_sent: u64 = self.lines.iter().map(|line| line.due.saturating_sub(line.gone)).sum();
        let mut last = self.mark(at_end);
        self.last_answers()?;
        if let End::PacketIns(_) = phase.end {
            // An echo comes behind all answers.
            self.echo()?;
            last = Mark { at: last.at, ..self.mark(at_end) };
        }
        let first = first.unwrap_or(last);
        let mut counts = last.counts.since(first.counts);
        counts.unanswered = self.unanswered_since(&first);
        let seconds = (last.at - first.at) as f64 / 1e9;
        if counts.packet_ins == 0 && not_sent == 0 {
            return Err(LoadError::NothingSent(seconds));
        }
        if counts.packet_ins > 0
            && counts.set_ups + counts.drop_entries + counts.other_flow_mods + counts.packet_outs
                == 0
        {
            return Err(LoadError::NoAnswer(counts.packet_ins));
        }
        if !matches!(phase.pace, Pace::Window(_)) {
            self.note_waits(phase.pace, &counts);
        }
        let cpu = last.controller.zip(first.controller).map(|(last, first)| last.since(first));
        Ok(Measured {
            seconds,
            counts,
            storm: phase.storm.map(|_| last.storm.since(first.storm)),
            latency: self.latencies.summary(),
            apart_from_stops: self.latencies.summary_apart(),
            not_sent,
            controller_cpu: cpu,
            controller_memory: self.pid().and_then(process::memory),
            generator_cpu: last.own.since(first.own),
        })
    }

    /// Asks once for every path of a load that sees the same paths again, so that it does from its
    /// beginning. Nothing happens where all paths are new.
    ///
    /// # Errors
    /// As [`Generator::run`].
    pub fn ask_once(&mut self) -> Result<(), LoadError> {
        if self.workload() != Workload::SeenAgain {
            return Ok(());
        }
        let population = self.population();
        let count = u64::from(population.switches()) * u64::from(population.hosts());
        let end = End::PacketIns(count);
        self.run(&Phase { pace: Pace::Window(FIRST_WINDOW), end, storm: None }).map(drop)
    }

    /// Says who sends what.
    fn prepare(&mut self, phase: &Phase) -> Result<(), LoadError> {
        let switches = self.lines.len() as u32;
        let good = match phase.pace {
            Pace::Window(window) => window > 0,
            Pace::OneInFlight => true,
            Pace::Rate(rate) => rate.is_finite() && rate > 0.0,
        };
        if !good {
            return Err(LoadError::Pace);
        }
        self.begin_load();
        self.latencies = match &mut self.watch {
            Some(watch) => {
                // Those of the time before.
                watch.take();
                Latencies::apart_from_stops()
            }
            None => Latencies::default(),
        };
        if let Some(storm) = phase.storm {
            storm.check(switches)?;
        }
        let storm = phase.storm.map_or(0, |storm| storm.switches);
        let same = phase.storm.is_some_and(|storm| storm.same_switches);
        let watched = !matches!(phase.pace, Pace::Window(_));
        for (index, line) in (0..).zip(&mut self.lines) {
            line.storms = index < storm;
            line.measured = storm == 0 || line.storms == same;
            (line.due, line.gone) = (0, 0);
            line.switch.watch_latency(watched);
            if line.storms && !line.switch.leave_to_the_storm() {
                return Err(LoadError::Storm("all hosts share port and slice with the storm"));
            }
        }
        let lines = self.lines.iter().enumerate();
        self.circle = lines.filter(|(_, line)| line.measured).map(|(index, _)| index).collect();
        let measured = self.circle.len() as u64;
        for (place, index) in (0..).zip(self.circle.clone()) {
            self.lines[index].first = place;
            self.lines[index].most = match phase.end {
                End::After { .. } => u64::MAX,
                End::PacketIns(count) => count / measured + u64::from(place < count % measured),
            };
        }
        Ok(())
    }

    /// Notes what is due, sends it, and tells when the next is.
    fn become_due(&mut self, next: &mut u64, at: u64, rate: f64) -> Result<u64, LoadError> {
        let (from, lines) = (*next, self.circle.len() as u64);
        while due_at(*next, rate) <= at {
            let index = self.circle[(*next % lines) as usize];
            let line = &mut self.lines[index];
            if line.due < line.most {
                line.due += 1;
            }
            *next += 1;
        }
        // What is due on one switch leaves in one write.
        for number in from..(*next).min(from + lines) {
            self.serve(self.circle[(number % lines) as usize])?;
        }
        Ok(due_at(*next, rate))
    }

    fn mark(&self, at: u64) -> Mark {
        let (mut counts, mut storm) = (Counts::default(), self.storm);
        for line in &self.lines {
            if line.measured {
                counts.add(line.switch.counts);
            } else {
                storm.add(line.switch.counts);
            }
        }
        let controller = self.pid().and_then(process::cpu);
        Mark { at, counts, storm, controller, own: process::own_cpu() }
    }

    /// Whether all that is to be sent was sent, and was answered or is not answered any more.
    fn is_done(&self, at: u64) -> bool {
        let mut lines = self.circle.iter().map(|index| &self.lines[*index]);
        let all_gone = lines.clone().all(|line| line.gone == line.most);
        let answered = |line: &Line| line.switch.in_flight() == 0 && line.switch.unanswered() == 0;
        let silent = |line: &Line| {
            at.saturating_sub(line.switch.answered_at.max(line.spoke_at)) > nanos(LAST_ANSWERS)
        };
        all_gone && lines.all(|line| answered(line) || silent(line))
    }

    /// Switches that wait in vain go on.
    fn lose_patience(&mut self, at: u64) -> Result<(), LoadError> {
        for index in 0..self.lines.len() {
            let line = &mut self.lines[index];
            let last = line.switch.answered_at.max(line.spoke_at);
            if line.measured
                && line.switch.in_flight() > 0
                && at.saturating_sub(last) > nanos(PATIENCE)
            {
                line.switch.lose_patience();
                self.serve(index)?;
            }
        }
        Ok(())
    }

    fn last_answers(&mut self) -> Result<(), LoadError> {
        self.pace = None;
        let until = Instant::now() + LAST_ANSWERS;
        let open = |generator: &Generator| {
            let mut lines = generator.lines.iter();
            lines.any(|line| line.switch.in_flight() > 0 || line.switch.unanswered() > 0)
        };
        while open(self) && Instant::now() < until {
            self.turn(CHECK)?;
        }
        Ok(())
    }

    /// What was due in the measured time and has had no answer when all is over has waited until then, at
    /// least: left out, a controller that stops would seem fast. What had a frame for an answer, as one
    /// for a host that nobody knows has, has not waited; which these are is not known, and taken to be
    /// the first.
    fn note_waits(&mut self, pace: Pace, counts: &Counts) {
        let now = self.at(Instant::now());
        let switches = self.circle.iter().map(|index| &self.lines[*index]);
        let mut due: Vec<u64> =
            switches.flat_map(|line| line.switch.unanswered_within(&self.measured)).collect();
        due.sort_unstable();
        let frames = counts.packet_outs.saturating_sub(counts.set_ups) as usize;
        due.drain(..frames.min(due.len()));
        due.into_iter().for_each(|at| self.latencies.record_unanswered(at, now));
        let Pace::Rate(rate) = pace else { return };
        let lines = self.circle.len() as u64;
        for line in self.circle.iter().map(|index| &self.lines[*index]) {
            for number in line.gone..line.due {
                let at = due_at(line.first + number * lines, rate);
                if self.measured.contains(&at) {
                    self.latencies.record_unanswered(at, now);
                }
            }
        }
    }

    /// Packet-ins of the measured time without an entry, or given up.
    fn unanswered_since(&self, first: &Mark) -> u64 {
        let lines = self.circle.iter().map(|index| &self.lines[*index].switch);
        let (given_up, waiting) = lines.fold((0, 0), |(given_up, waiting), switch| {
            let open = switch.unanswered_within(&self.measured).count() as u64;
            (given_up + switch.counts.unanswered, waiting + open)
        });
        given_up.saturating_sub(first.counts.unanswered) + waiting
    }
}

/// A timer that is up again and again after so long; not with the sockets in epoll(7), since no
/// answer may end the wait.
pub(super) fn ticks(time: Duration) -> Result<TimerFd, LoadError> {
    let failed = system("timer");
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC).map_err(&failed)?;
    // None at all would stop it.
    let time = time.max(Duration::from_nanos(1));
    let interval = Expiration::Interval(TimeSpec::from_duration(time));
    timer.set(interval, TimerSetTimeFlags::empty()).map_err(failed)?;
    Ok(timer)
}

/// When packet-in `number` of a fixed rate is due.
pub(super) fn due_at(number: u64, rate: f64) -> u64 {
    (number as f64 * 1e9 / rate) as u64
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

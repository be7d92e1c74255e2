//! What a machine itself takes, whoever is measured on it: loads from memory, a message over loopback,
//! stops of its processors. Runtime.
//!
//! Where others share a machine its caches and clock are theirs as well, and a table of controllers says
//! little without these.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::random::Random;

/// How much memory is walked through, in KiB: what the first and the second cache of a core have room
/// for, what cores share where nobody else wants it, and more than there is in any.
const SIZES: [u32; 5] = [16, 256, 2 << 10, 8 << 10, 64 << 10];
/// Loads that are timed together.
const LOADS: u32 = 10_000;
/// Messages that are timed together, and their bytes: about those of a packet-in.
const MESSAGES: u32 = 50;
const BYTES: usize = 100;
/// What takes longer is recorded as this.
const LONGEST: Duration = Duration::from_secs(100);
/// A processor that does not go on for so long was stopped.
const SHORT: Duration = Duration::from_micros(100);
const LONG: Duration = Duration::from_millis(1);

/// What a machine takes.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// From the least memory to the most.
    pub memory: Vec<Memory>,
    /// A message of 100 bytes over TCP on loopback, written and read by one thread, in microseconds.
    pub loopback_us: Spread,
    /// Stops of all processors together.
    pub stops: Stops,
}

/// Loads one after the other, each from where the one before says, all over so much memory.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// How much, in KiB.
    pub kib: u32,
    /// A load, in nanoseconds.
    pub load_ns: Spread,
}

/// What is measured many times. Each of these times is the mean of 10,000 loads, or of 50 messages, one
/// after the other.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Spread {
    /// One mean in a hundred is less.
    pub p1: f64,
    /// As many are less as are more.
    pub median: f64,
    /// One in a hundred is more.
    pub p99: f64,
}

/// Moments in which a program that is always busy does not go on: the system, or whoever else is on the
/// machine, has its processor.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Stops {
    /// How many processors there are.
    pub processors: usize,
    /// For how long each was looked at, in seconds.
    pub seconds: f64,
    /// Stops longer than 100 microseconds.
    pub over_100_us: u64,
    /// Stops longer than a millisecond.
    pub over_1_ms: u64,
    /// The longest, in microseconds.
    pub longest_us: f64,
    /// The part of the time of a processor in which such a program waits for it, and has for more than a
    /// millisecond.
    pub waits_over_1_ms: f64,
}

/// Measures this machine for `span`, half of it its stops. It fills all processors then.
///
/// # Errors
/// There is no loopback, or there can be no threads.
pub fn measure(span: Duration) -> io::Result<Machine> {
    let part = span / 2 / (SIZES.len() as u32 + 1);
    let memory = SIZES.map(|kib| Memory { kib, load_ns: loads(kib, part) }).into();
    Ok(Machine { memory, loopback_us: messages(part)?, stops: stops(span / 2)? })
}

/// A line of a cache, and which is asked for next.
#[repr(align(64))]
struct Line(u32);

/// Lines that lead to each other in one round through all, in no order.
fn round(lines: u32) -> Vec<Line> {
    let mut random = Random::new(u64::from(lines));
    let mut round: Vec<Line> = (0..lines).map(Line).collect();
    // Sattolo's shuffle makes one cycle.
    for at in (1..lines as usize).rev() {
        round.swap(at, random.below(at as u64) as usize);
    }
    round
}

fn loads(kib: u32, span: Duration) -> Spread {
    let lines = round((kib << 10) / size_of::<Line>() as u32);
    let mut at = 0;
    let done = timed(span, LOADS, || {
        for _ in 0..LOADS {
            at = lines[at as usize].0;
        }
        black_box(at);
        Ok(())
    });
    done.unwrap_or_else(|error| unreachable!("{error}: a load does not fail"))
}

fn messages(span: Duration) -> io::Result<Spread> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    let mut bytes = [0; BYTES];
    let spread = timed(span, MESSAGES, || {
        for _ in 0..MESSAGES {
            near.write_all(&bytes)?;
            far.read_exact(&mut bytes)?;
        }
        Ok(())
    });
    spread.map(|ns| Spread { p1: ns.p1 / 1e3, median: ns.median / 1e3, p99: ns.p99 / 1e3 })
}

/// Does something for a span, once at the least; what one of `count` in it takes, in nanoseconds.
fn timed(
    span: Duration,
    count: u32,
    mut some: impl FnMut() -> io::Result<()>,
) -> io::Result<Spread> {
    let longest = LONGEST.as_nanos() as u64;
    let mut times = Histogram::<u64>::new_with_max(longest, 3).map_err(io::Error::other)?;
    let begun = Instant::now();
    let mut before = begun;
    while times.is_empty() || before - begun < span {
        some()?;
        let now = Instant::now();
        times.saturating_record((now - before).as_nanos() as u64);
        before = now;
    }
    let at = |quantile| times.value_at_quantile(quantile) as f64 / f64::from(count);
    Ok(Spread { p1: at(0.01), median: at(0.5), p99: at(0.99) })
}

fn stops(span: Duration) -> io::Result<Stops> {
    let processors = thread::available_parallelism()?.get();
    let watch = || {
        let begun = Instant::now();
        let (mut stops, mut before) = (Stops::default(), begun);
        while before - begun < span {
            let now = Instant::now();
            stops.note(now - before);
            before = now;
        }
        stops.seconds = (before - begun).as_secs_f64();
        stops
    };
    thread::scope(|scope| {
        let threads: io::Result<Vec<_>> = (0..processors)
            .map(|_| thread::Builder::new().name("watch".to_owned()).spawn_scoped(scope, watch))
            .collect();
        let watched = threads?.into_iter().map(|one| one.join().expect("it counts, and no more"));
        Ok(Stops::of_all(&watched.collect::<Vec<_>>()))
    })
}

impl Stops {
    /// Notes that a processor went on after so long. Until it is divided by the time, what waits is in
    /// seconds.
    fn note(&mut self, gap: Duration) {
        if gap > SHORT {
            self.over_100_us += 1;
            self.over_1_ms += u64::from(gap > LONG);
            self.longest_us = self.longest_us.max(gap.as_secs_f64() * 1e6);
            self.waits_over_1_ms += gap.saturating_sub(LONG).as_secs_f64();
        }
    }

    fn of_all(each: &[Stops]) -> Stops {
        let mut all = Stops { processors: each.len(), ..Stops::default() };
        for one in each {
            all.seconds = all.seconds.max(one.seconds);
            all.over_100_us += one.over_100_us;
            all.over_1_ms += one.over_1_ms;
            all.longest_us = all.longest_us.max(one.longest_us);
            all.waits_over_1_ms += one.waits_over_1_ms;
        }
        let watched: f64 = each.iter().map(|one| one.seconds).sum();
        all.waits_over_1_ms /= watched.max(f64::MIN_POSITIVE);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_on_the_way_around() {
        for lines in [1, 2, 3, 256, 4096] {
            let round = round(lines);
            let way = std::iter::successors(Some(0), |at| Some(round[*at as usize].0));
            let seen: std::collections::BTreeSet<u32> = way.take(lines as usize).collect();
            assert_eq!(seen.len(), lines as usize);
            assert_eq!(size_of_val(&round[..]), 64 * lines as usize);
        }
    }

    #[test]
    fn stops_of_all_processors_are_counted_and_what_waits_is_a_part_of_their_time() {
        let mut each = [Stops { seconds: 1.0, ..Stops::default() }; 2];
        for (processor, micros) in [(0, 40), (0, 101), (0, 1000), (1, 3000), (1, 6000)] {
            each[processor].note(Duration::from_micros(micros));
        }
        let wanted = Stops {
            processors: 2,
            seconds: 1.0,
            over_100_us: 4,
            over_1_ms: 2,
            longest_us: 6000.0,
            // 2 and 5 ms of two seconds.
            waits_over_1_ms: 0.0035,
        };
        assert_eq!(Stops::of_all(&each), wanted);
        assert_eq!(Stops::of_all(&[]).waits_over_1_ms, 0.0);
    }

    #[test]
    fn all_is_measured_however_short_the_time() {
        let machine = measure(Duration::ZERO).unwrap();
        let sizes: Vec<u32> = machine.memory.iter().map(|memory| memory.kib).collect();
        assert_eq!(sizes, SIZES);
        let spreads = machine.memory.iter().map(|memory| memory.load_ns);
        for spread in spreads.chain([machine.loopback_us]) {
            // A load waits for the one before: none is done ten times in a nanosecond.
            assert!(0.1 < spread.p1, "{spread:?}");
        }
        assert!(machine.stops.processors > 0);
    }
}

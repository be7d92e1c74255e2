#![allow(unreachable_pub, reason = "a module of a bench and a test")]
//! What packet-ins of two switches do to memory that both use, told by marks on standard error.
//! `test/performance/contention` runs it under a tool that tells every load and store there, too.
//!
//! ```text
//! cargo bench -p umlaut-testbed --bench contention -- known|learning|new…
//! ```
//!
//! Each switch joins and works in a thread of its own, so that stacks and whatever is allocated for one
//! switch lie apart; the two take turns. A mark is a line:
//!
//! ```text
//! = map …                             a line of the memory map
//! = shared START END                  where in memory lies what all sessions of the next load share
//! = stack ADDRESS                     a place in the stack of a switch's thread
//! = span SPAN HOSTS MILLISECONDS      a span of time, and for how many hosts of each switch
//! + LOAD SPAN SWITCH PACKET-INS       what follows is measured, and handles so many packet-ins
//! -                                   what follows is not
//! ```
#[path = "../tests/hot_path/bed.rs"]
mod bed;

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::ops::Range;
use std::time::Duration;

use bed::{Bed, JOINING, Size};
use bytes::BytesMut;
use umlaut::samples::LearningSwitch;
use umlaut_controller::{Apps, Policy};
use umlaut_openflow::Version;

const SIZE: Size = Size { switches: 2, ..Size::LEAST };

/// What is measured: name, how often every host has its turn, what passes before each time.
const SPANS: [(&str, u32, Duration); 3] = [
    ("at-once", 4, Duration::ZERO),
    // Once in it the host table hears of each host that an application sees.
    ("second", 4, Duration::from_millis(250)),
    // Once in it a known path is decided again.
    ("64-seconds", 4, Duration::from_secs(16)),
];

/// How often every host has its turn before.
const WARM: u32 = 4;

/// Straight to standard error, whose lock the switches would share.
fn mark(line: &str) {
    let written = nix::unistd::write(std::io::stderr(), line.as_bytes());
    assert_eq!(written, Ok(line.len()));
}

/// Bytes arrive at the switch of a bed and are handled: all that is measured.
fn handle<P: Policy>(bed: &mut Bed<P>, bytes: &[u8], begin: &str) {
    if !begin.is_empty() {
        mark(begin);
    }
    bed.receive(0, bytes);
    bed.turns(0);
    if !begin.is_empty() {
        mark("-\n");
    }
}

/// All spans, one switch after the other in each. A `round` is a turn of every host of a switch; it is
/// given the switch, the number of the round, and the marks for one packet-in and for none.
fn take_turns<P: Policy>(
    load: &str,
    bed: &Bed<P>,
    round: impl Fn(&mut Bed<P>, u64, u32, [&str; 2]) + Sync,
) where
    Bed<P>: Send,
{
    let Range { start, end } = bed.shared_memory();
    mark(&format!("= shared {start:x} {end:x}\n"));
    let pipes = (0..SIZE.switches).map(|_| pipe().expect("a pipe"));
    let (waiting, mut handing): (Vec<PipeReader>, Vec<PipeWriter>) = pipes.unzip();
    handing[0].write_all(&[0]).expect("nobody has ended");
    // Each has the end that the next one waits for: if it panics, that is told.
    handing.rotate_left(1);
    let work = |mut bed: Bed<P>, switch: u64, mut turn: PipeReader, mut next: PipeWriter| {
        let here = 0_u8;
        mark(&format!("= stack {:x}\n", (&raw const here).addr()));
        // What one does behind its work falls into the other's: on its way to wait for a byte it uses its
        // own stack only, where on its way into a lock or a barrier it would write what both use.
        let mut in_turn = |work: &mut dyn FnMut()| {
            turn.read_exact(&mut [0]).expect("the switches live");
            work();
            // Whoever has panicked is heard of in the next turn.
            let _ = next.write_all(&[0]);
        };
        in_turn(&mut || {
            bed.pass(JOINING * switch as u32);
            bed.join(SIZE, switch..switch + 1);
            bed.introduce_hosts(SIZE, 0, switch);
            bed.pass(JOINING * (SIZE.switches - 1 - switch) as u32);
        });
        let mut rounds = 0;
        let warm = ("", WARM, Duration::ZERO);
        for (span, times, pass) in [warm].into_iter().chain(SPANS) {
            in_turn(&mut || {
                let marks = [1, 0].map(|packet_ins| match span {
                    "" => String::new(),
                    span => format!("+ {load} {span} {switch} {packet_ins}\n"),
                });
                for _ in 0..times {
                    bed.pass(pass);
                    round(&mut bed, switch, rounds, [&marks[0], &marks[1]]);
                    rounds += 1;
                }
            });
        }
        // A stack whose thread has ended is given to the next: all have done their work.
        in_turn(&mut || {});
    };
    std::thread::scope(|scope| {
        for ((switch, turn), next) in (0..).zip(waiting).zip(handing) {
            let (work, bed) = (&work, bed.beside());
            scope.spawn(move || work(bed, switch, turn, next));
        }
    });
}

/// Frames of paths, or between hosts, that are known; each in a turn of its own.
fn seen_again<P: Policy>(load: &str, bed: &Bed<P>)
where
    Bed<P>: Send,
{
    let pins: Vec<Vec<u8>> = (0..SIZE.switches).map(|switch| bed.pins(SIZE, switch, 1)).collect();
    take_turns(load, bed, |bed, switch, _, [begin, _]| {
        let pins = &pins[switch as usize];
        for pin in pins.chunks(pins.len() / SIZE.hosts as usize) {
            handle(bed, pin, begin);
            bed.forget_answers(0);
        }
    });
}

/// Every frame is of a new path, which ends when all hosts have had their turn.
fn new_paths<P: Policy>(load: &str, bed: &Bed<P>)
where
    Bed<P>: Send,
{
    take_turns(load, bed, |bed, switch, round, [begin, begin_end]| {
        let pins = bed.pins(SIZE, switch, u64::from(3 + round % 6 * 2));
        let (mut ends, mut count) = (BytesMut::new(), 0);
        for pin in pins.chunks(pins.len() / SIZE.hosts as usize) {
            handle(bed, pin, begin);
            count += bed.answers_and_ends(0, &mut ends).flow_mods;
        }
        assert_eq!(count, SIZE.hosts, "a flow-mod for each");
        for end in ends.chunks(ends.len() / SIZE.hosts as usize) {
            handle(bed, end, begin_end);
        }
        bed.forget_answers(0);
    });
}

fn main() {
    for line in std::fs::read_to_string("/proc/self/maps").unwrap_or_default().lines() {
        mark(&format!("= map {line}\n"));
    }
    for (span, times, pass) in SPANS {
        mark(&format!("= span {span} {} {}\n", SIZE.hosts, (pass * times).as_millis()));
    }
    for load in std::env::args().skip(1).filter(|arg| !arg.starts_with("--")) {
        for (version, tail) in [(Version::V1_0, "1.0"), (Version::V1_3, "1.3")] {
            let name = format!("{load}-{tail}");
            match load.as_str() {
                "known" => seen_again(&name, &Bed::sliceable_alone(SIZE, version)),
                "new" => new_paths(&name, &Bed::sliceable_alone(SIZE, version)),
                "learning" => {
                    let apps: Apps<()> = Apps::new().with(LearningSwitch);
                    seen_again(&name, &Bed::alone(apps, (), version));
                }
                other => panic!("no load {other}"),
            }
        }
    }
}

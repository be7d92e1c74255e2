//! The load generator against the canned responder and against applications in this process: what it
//! sends, what comes back, and what it refuses. Counts only; how fast that was is of no concern.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use umlaut::samples::LearningSwitch;
use umlaut::sliceable::{Domains, SliceableSwitch};
use umlaut::virtual_lab::Events;
use umlaut_controller::runtime::{Listener, serve};
use umlaut_controller::{Apps, Policy, Seed, Shared};
use umlaut_openflow::{Action, FlowMod, Match, Message, PortNo, Version, Xid, encode};
use umlaut_testbed::load::canned::{Canned, CannedCounts, respond};
use umlaut_testbed::load::policy::PolicyFile;
use umlaut_testbed::load::{
    Counts, End, Generator, Load, LoadError, Pace, Phase, Population, Sleep, Storm, Workload,
};

const VERSIONS: [Version; 2] = [Version::V1_0, Version::V1_3];

/// The canned responder in a thread.
struct Responder {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<std::io::Result<CannedCounts>>,
}

impl Responder {
    fn start(canned: Canned) -> Responder {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || respond(&listener, canned, &stopped));
        Responder { address, stop, thread }
    }

    fn stop(self) -> CannedCounts {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap().unwrap()
    }
}

/// A controller with an application.
struct Controller {
    runtime: Runtime,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Controller {
    fn start<P: Policy>(apps: Apps<P>, policy: P, versions: &[Version]) -> Controller {
        let runtime = Runtime::new().unwrap();
        let seed = Seed { lldp_key: [1; 16], epoch: 1 };
        let observer = Box::new(Events::default());
        let shared = Shared::new(apps, policy, seed, observer, Instant::now()).offering(versions);
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = runtime.block_on(Listener::bind(any)).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let served = runtime.spawn(serve(Arc::new(shared), vec![listener], stopped));
        Controller { runtime, address, stop, served }
    }

    fn sliceable(file: PolicyFile) -> Controller {
        let mut text = String::new();
        file.write(&mut text).unwrap();
        let (policy, _) = umlaut_slice_db::Policy::parse("load", &text).unwrap();
        let apps = Apps::new().with(SliceableSwitch::default());
        Controller::start(apps, Domains::default().adopt(policy), &VERSIONS)
    }

    fn stop(self) {
        self.stop.send(true).unwrap();
        self.runtime.block_on(self.served).unwrap().unwrap();
    }
}

fn load(controller: SocketAddr, version: Version, population: Population) -> Load {
    Load {
        controller,
        version,
        population,
        workload: Workload::SeenAgain,
        buffers: false,
        // Tests are about counts.
        pid: None,
        settle: Duration::from_millis(100),
        sleep: Sleep::Quiet,
        note_stops: false,
    }
}

fn phase(pace: Pace, count: u64) -> Phase {
    Phase { pace, end: End::PacketIns(count), storm: None }
}

/// Packet-ins that are all answered by an entry.
fn answered(count: u64) -> Counts {
    Counts { packet_ins: count, set_ups: count, ..Counts::default() }
}

const PACES: [Pace; 3] = [Pace::Window(64), Pace::OneInFlight, Pace::Rate(20_000.0)];

#[test]
fn every_packet_in_to_the_canned_responder_is_answered_and_counted() {
    for version in VERSIONS {
        let between = Sleep::Between(Duration::from_micros(50));
        for (packet_outs, sleep) in [(false, Sleep::Quiet), (true, Sleep::Never), (true, between)] {
            let responder = Responder::start(Canned { packet_outs });
            let population = Population::new(5, 30, 4).unwrap();
            // Awake or not, it counts the same.
            let load = load(responder.address, version, population);
            let mut generator = Generator::connect(Load { sleep, ..load }).unwrap();
            for pace in PACES {
                let measured = generator.run(&phase(pace, 1003)).unwrap();
                let outs = if packet_outs { 1003 } else { 0 };
                let expected = Counts { packet_outs: outs, ..answered(1003) };
                assert_eq!(measured.counts, expected, "{version} {pace:?}");
                let noted = measured.latency.map_or(0, |latency| latency.count);
                assert_eq!(noted, if matches!(pace, Pace::Window(_)) { 0 } else { 1003 });
                assert_eq!(measured.not_sent, 0);
            }
            drop(generator);
            assert_eq!(responder.stop(), CannedCounts { packet_ins: 3009, flow_removed: 0 });
        }
    }
}

/// Where it may be watched at all, as by root.
#[test]
fn latencies_are_told_without_stops_of_processors_too() {
    let responder = Responder::start(Canned::default());
    let load = load(responder.address, Version::V1_0, Population::new(2, 10, 1).unwrap());
    match Generator::connect(Load { note_stops: true, ..load }) {
        Ok(mut generator) => {
            for _ in 0..2 {
                let measured = generator.run(&phase(Pace::Rate(20_000.0), 1000)).unwrap();
                let apart = measured.apart_from_stops.expect("it was watched for");
                let (all, without) = (measured.latency.unwrap(), apart.latency.unwrap());
                assert_eq!((all.count, without.count), (1000, 1000));
                assert!(without.mean_us <= all.mean_us, "{measured:?}");
                assert!(apart.stops > 0 || without == all, "{measured:?}");
            }
        }
        Err(error) => assert!(error.to_string().starts_with("watching for stops"), "{error}"),
    }
}

#[test]
fn the_end_of_entries_is_told_when_there_are_too_many() {
    for version in VERSIONS {
        let responder = Responder::start(Canned::default());
        let population = Population::new(2, 40, 1).unwrap();
        let load = Load {
            workload: Workload::NewPaths { live: 100 },
            ..load(responder.address, version, population)
        };
        let mut generator = Generator::connect(load).unwrap();
        // One at a time: no entry is too many before the next packet-in goes.
        let measured = generator.run(&phase(Pace::OneInFlight, 1000)).unwrap();
        // 500 entries on each switch, of which 100 stay, and the last is one too many.
        let expected = Counts { flow_removed: 2 * 399, ..answered(1000) };
        assert_eq!(measured.counts, expected);
        drop(generator);
        assert_eq!(responder.stop(), CannedCounts { packet_ins: 1000, flow_removed: 798 });
    }
}

#[test]
fn the_sliceable_switch_sets_up_every_path_that_its_policy_allows() {
    for version in VERSIONS {
        let population = Population::new(3, 60, 7).unwrap();
        let policy = PolicyFile { population, members: 1000, filters: 100 };
        for population in [population, population.bound_by_port()] {
            let controller = Controller::sliceable(PolicyFile { population, ..policy });
            for workload in [Workload::SeenAgain, Workload::NewPaths { live: 100 }] {
                let load = Load { workload, ..load(controller.address, version, population) };
                let mut generator = Generator::connect(load).unwrap();
                generator.announce().unwrap();
                generator.ask_once().unwrap();
                for pace in PACES {
                    let measured = generator.run(&phase(pace, 900)).unwrap();
                    let counts = measured.counts;
                    // Every frame leaves by a packet-out behind its entry.
                    let expected = Counts {
                        packet_outs: 900,
                        flow_removed: counts.flow_removed,
                        probes: counts.probes,
                        others: counts.others,
                        ..answered(900)
                    };
                    assert_eq!(counts, expected, "{version} {workload:?} {pace:?}");
                }
            }
            controller.stop();
        }
    }
}

#[test]
fn a_learning_switch_learns_cold_hosts_and_uses_buffers() {
    for version in VERSIONS {
        let apps = Apps::new().with(LearningSwitch);
        let controller = Controller::start(apps, (), &VERSIONS);
        let population = Population::new(2, 20, 1).unwrap();
        let load = Load { buffers: true, ..load(controller.address, version, population) };
        let mut generator = Generator::connect(load).unwrap();
        // Nobody has spoken: half of all is known by the time that it is asked for.
        let cold = generator.run(&phase(Pace::Window(1), 40)).unwrap().counts;
        assert!(cold.set_ups > 0 && cold.set_ups < 40, "{cold:?}");
        assert_eq!(cold.packet_ins, 40);
        let warm = generator.run(&phase(Pace::Window(1), 400)).unwrap().counts;
        assert_eq!((warm.set_ups, warm.unanswered), (400, 0), "{warm:?}");
        controller.stop();
    }
}

#[test]
fn a_storm_is_counted_apart() {
    for same_switches in [false, true] {
        let responder = Responder::start(Canned::default());
        let population = Population::new(3, 40, 2).unwrap();
        let mut generator =
            Generator::connect(load(responder.address, Version::V1_0, population)).unwrap();
        let storm = Some(Storm { switches: 1, same_switches });
        let phase = Phase { storm, ..phase(Pace::Window(8), 500) };
        let measured = generator.run(&phase).unwrap();
        assert_eq!(measured.counts.packet_ins, 500);
        assert!(measured.storm.is_some_and(|storm| storm.packet_ins > 0));
        if !same_switches {
            assert_eq!(measured.counts.set_ups, 500);
        }
        // It is over.
        let after = Phase { storm: None, ..phase };
        let measured = generator.run(&after).unwrap();
        assert_eq!((measured.counts.packet_ins, measured.storm), (500, None));
        drop(generator);
        responder.stop();
    }
}

#[test]
fn what_cannot_be_measured_is_said() {
    let population = Population::new(2, 10, 1).unwrap();
    let connect = |address, version| {
        Generator::connect(load(address, version, population)).map(drop).unwrap_err()
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let closing = std::thread::spawn(move || drop(listener.accept()));
    let error = connect(address, Version::V1_3);
    let closed = matches!(error, LoadError::Closed { .. } | LoadError::Broken { .. });
    assert!(closed || matches!(error, LoadError::Connect { .. }), "{error}");
    closing.join().unwrap();
    let error = connect(address, Version::V1_3);
    assert!(matches!(error, LoadError::Connect { switch: 1, .. }), "{error}");

    let modern = Controller::start(Apps::new().with(LearningSwitch), (), &[Version::V1_3]);
    let error = connect(modern.address, Version::V1_0);
    assert!(error.to_string().contains("switch"), "{error}");
    modern.stop();

    // A controller that does nothing with frames.
    let silent = Controller::start(Apps::<()>::new(), (), &VERSIONS);
    let mut generator =
        Generator::connect(load(silent.address, Version::V1_3, population)).unwrap();
    let error = generator.run(&phase(Pace::Window(4), 8)).unwrap_err();
    assert!(matches!(error, LoadError::NoAnswer(8)), "{error}");
    let storm = Some(Storm { switches: 2, same_switches: false });
    let error = generator.run(&Phase { storm, ..phase(Pace::Window(4), 8) }).unwrap_err();
    assert!(matches!(error, LoadError::Storm(_)), "{error}");
    let error = generator.run(&phase(Pace::Rate(0.0), 8)).unwrap_err();
    assert!(matches!(error, LoadError::Pace), "{error}");
    drop(generator);
    silent.stop();

    // One whose flow-mods add an action to their length and not to their bytes.
    let mut garbled = vec![0; 80];
    garbled[..4].copy_from_slice(&[1, 14, 0, 80]);
    let address = answering(garbled, usize::MAX);
    let error = Generator::connect(load(address, Version::V1_0, population))
        .and_then(|mut generator| generator.run(&phase(Pace::Window(4), 8)).map(drop));
    let error = error.unwrap_err();
    assert!(matches!(error, LoadError::BrokenAnswer { .. }), "{error}");

    // One that answers in another version; what it says would be a flow-mod of that.
    let address = answering(vec![4, 14, 0, 8, 0, 0, 0, 1], usize::MAX);
    let error = Generator::connect(load(address, Version::V1_0, population))
        .and_then(|mut generator| generator.run(&phase(Pace::Window(4), 8)).map(drop));
    let error = error.unwrap_err();
    assert!(matches!(error, LoadError::Version { switch: 1 | 2, came: 4, .. }), "{error}");

    // A time in which nothing can be sent.
    let (warm_up, measured) = (Duration::from_millis(1), Duration::ZERO);
    let nothing = Phase { end: End::After { warm_up, measured }, ..phase(Pace::Window(4), 8) };
    let silent = answering(Vec::new(), 0);
    let error = Generator::connect(load(silent, Version::V1_0, population))
        .and_then(|mut generator| generator.run(&nothing).map(drop));
    let error = error.unwrap_err();
    assert!(matches!(error, LoadError::NothingSent(_)), "{error}");

    let load = Load {
        workload: Workload::NewPaths { live: 1000 },
        ..load(address, Version::V1_3, population)
    };
    let error = Generator::connect(load).map(drop).unwrap_err();
    assert!(matches!(error, LoadError::TooManyLive { live: 1000, .. }), "{error}");
}

#[test]
fn what_is_never_answered_has_waited() {
    let entry = FlowMod::add(Match::new()).apply([Action::output(PortNo(1))]);
    let mut flow_mod = BytesMut::new();
    encode(Version::V1_0, Xid(1), &Message::FlowMod(entry), &mut flow_mod).unwrap();
    let address = answering(flow_mod.to_vec(), 100);
    let population = Population::new(1, 10, 1).unwrap();
    let mut generator = Generator::connect(load(address, Version::V1_0, population)).unwrap();
    let measured = generator.run(&phase(Pace::Rate(20_000.0), 1000)).unwrap();
    assert_eq!((measured.counts.set_ups, measured.counts.unanswered), (100, 900));
    let latency = measured.latency.unwrap();
    assert_eq!(latency.count, 1000);
    // As long as was waited for any answer.
    assert!(latency.p50_us > 900_000.0, "{latency:?}");
}

/// A controller that greets a switch of 1.0 and answers so many packet-ins with this flow-mod, then
/// none. It ends with the connections.
fn answering(flow_mod: Vec<u8>, most: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let flow_mod = flow_mod.clone();
            std::thread::spawn(move || answer(stream, &flow_mod, most));
        }
    });
    address
}

fn answer(mut stream: TcpStream, flow_mod: &[u8], mut most: usize) -> std::io::Result<()> {
    let [hello, features_request] = [0, 5].map(|kind| [1, kind, 0, 8, 0, 0, 0, 0]);
    stream.write_all(&[hello, features_request].concat())?;
    loop {
        let mut header = [0; 8];
        stream.read_exact(&mut header)?;
        let mut body = vec![0; usize::from(u16::from_be_bytes([header[2], header[3]])) - 8];
        stream.read_exact(&mut body)?;
        match header[1] {
            2 => {
                header[1] = 3;
                stream.write_all(&[&header[..], &body].concat())?;
            }
            10 if most > 0 => {
                most -= 1;
                stream.write_all(flow_mod)?;
            }
            _ => {}
        }
    }
}

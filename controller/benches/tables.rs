//! What the tables cost that every session reads: hosts, the paths of a switch, the ways between
//! switches.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use umlaut_controller::hosts::{HostKey, HostTable, Seen, Sighting};
use umlaut_controller::path::{FlowKey, Hops, Kind, Path, Route, SessionNo, State};
use umlaut_controller::registry::Registry;
use umlaut_controller::topology::{Link, PortRole, Topology};
use umlaut_controller::{AppNo, Domain};
use umlaut_openflow::packet::Headers;
use umlaut_openflow::{
    Attachment, DatapathId, FieldSet, MacAddr, Port, PortConfig, PortNo, PortState, Vid,
};

/// So many hosts or paths are asked for in one round, spread over all there are.
const ASKED: u64 = 1_000;

/// The first of the hosts that come and go, alone on their switch.
const FRESH: u64 = 1 << 21;

fn mac(host: u64) -> MacAddr {
    MacAddr::from_u64(0x0200_0000_0000 + host)
}

/// Sixteen hosts in a slice, 16 behind a port, 64 ports of a switch.
fn key(host: u64) -> HostKey {
    (Domain(host / 16), mac(host))
}

fn place(host: u64) -> Attachment {
    let port = PortNo((host / 16 % 64) as u32 + 1);
    Attachment { dpid: DatapathId(host / 1024 + 1), port, vid: Vid::Untagged }
}

/// Where hosts move to: as far away as can be.
fn elsewhere(host: u64) -> Attachment {
    let at = place(host);
    Attachment { dpid: DatapathId(at.dpid.0 + 100_000), ..at }
}

fn anywhere() -> Seen {
    Seen { widely: true, provisional: false }
}

fn full_of_hosts(hosts: u64, now: Instant) -> HostTable {
    let table = HostTable::new();
    for host in 0..hosts {
        assert_eq!(table.see(key(host), place(host), anywhere(), now), Sighting::New);
    }
    table
}

fn hosts(c: &mut Criterion) {
    let mut group = c.benchmark_group("hosts");
    group.throughput(Throughput::Elements(ASKED));
    let now = Instant::now();
    for hosts in [1_000, 100_000, 1_000_000] {
        let table = full_of_hosts(hosts, now);
        let asked: Vec<u64> = (0..ASKED).map(|n| n * (hosts / ASKED)).collect();
        group.bench_function(BenchmarkId::new("located", hosts), |b| {
            b.iter(|| asked.iter().filter(|host| table.locate(key(**host)).is_some()).count());
        });
        group.bench_function(BenchmarkId::new("seen again", hosts), |b| {
            b.iter(|| {
                for host in &asked {
                    black_box(table.see(key(*host), place(*host), anywhere(), now));
                }
            });
        });
        let mut later = now;
        let mut away = false;
        group.bench_function(BenchmarkId::new("moved", hosts), |b| {
            b.iter(|| {
                // Later than a host is held where it was.
                later += Duration::from_secs(60);
                away = !away;
                for host in &asked {
                    let at = if away { elsewhere(*host) } else { place(*host) };
                    black_box(table.see(key(*host), at, anywhere(), later));
                }
            });
        });
        group.bench_function(BenchmarkId::new("new", hosts), |b| {
            b.iter_custom(|rounds| {
                let mut time = Duration::ZERO;
                for _ in 0..rounds {
                    let begun = Instant::now();
                    for host in FRESH..FRESH + ASKED {
                        black_box(table.see(key(host), place(host), anywhere(), later));
                    }
                    time += begun.elapsed();
                    for host in (FRESH..FRESH + ASKED).step_by(16) {
                        table.forget_port(place(host).dpid, place(host).port);
                    }
                    assert_eq!(table.len() as u64, hosts);
                }
                time
            });
        });
    }
    group.finish();
}

fn path(flow: u64) -> Path {
    let (from, to) = (flow, flow / 16 * 16 + (flow + 1) % 16);
    let headers = Headers { eth_src: mac(from), eth_dst: mac(to), ..Headers::default() };
    let route = Route {
        domain: key(from).0,
        egress: Attachment { dpid: DatapathId(1), port: PortNo(2), vid: Vid::Untagged },
        width: FieldSet::LAYER_2,
        idle_timeout: 60,
        hard_timeout: 0,
        reverse: false,
    };
    Path {
        app: AppNo(1),
        key: FlowKey::new(place(from).port, &headers, FieldSet::LAYER_2),
        kind: Kind::Forward { route, hops: Hops::new(), reverse: Hops::new() },
        state: State::Installed,
        revision: 1,
    }
}

fn paths(c: &mut Criterion) {
    let mut group = c.benchmark_group("paths");
    for paths in [1_000, 100_000] {
        let mut registry = Registry::new(SessionNo(1), DatapathId(1));
        let asked: Vec<Path> = (0..ASKED).map(|n| path(n * (paths / ASKED))).collect();
        for flow in 0..paths {
            registry.add(path(flow)).expect("room");
        }
        group.throughput(Throughput::Elements(ASKED));
        group.bench_function(BenchmarkId::new("found", paths), |b| {
            b.iter(|| asked.iter().filter(|path| registry.by_key(&path.key).is_some()).count());
        });
        group.bench_function(BenchmarkId::new("ended and registered", paths), |b| {
            b.iter(|| {
                for path in &asked {
                    let (name, _) = registry.by_key(&path.key).expect("registered");
                    let path = registry.remove(name).expect("registered");
                    black_box(registry.add(path).expect("room"));
                }
            });
        });
        // All slots' tags are looked through.
        group.throughput(Throughput::Elements(paths));
        group.bench_function(BenchmarkId::new("of one host among all", paths), |b| {
            b.iter(|| black_box(registry.by_hosts(&[key(paths / 2)])));
        });
    }
    group.finish();
}

fn port(number: u32) -> Port {
    Port {
        port_no: PortNo(number),
        hw_addr: MacAddr::from_u64(0x0600_0000_0000 + u64::from(number)),
        name: [0; 16],
        config: PortConfig(0),
        state: PortState(0),
        curr: 0,
        advertised: 0,
        supported: 0,
        peer: 0,
        curr_speed: 0,
        max_speed: 0,
    }
}

/// Leaves `1..=leaves`, each linked to every spine; eight edge ports on each leaf.
fn leaf_spine(leaves: u64, spines: u64) -> Topology {
    let mut topology = Topology::default();
    for leaf in 1..=leaves {
        topology = topology.with_switch(DatapathId(leaf), (1..=spines as u32 + 8).map(port));
    }
    for spine in 1..=spines {
        let dpid = DatapathId(leaves + spine);
        topology = topology.with_switch(dpid, (1..=leaves as u32).map(port));
        for leaf in 1..=leaves {
            let up = (DatapathId(leaf), PortNo(spine as u32));
            let down = (dpid, PortNo(leaf as u32));
            for (from, to) in [(up, down), (down, up)] {
                topology = topology.with_link(Link { from, to });
            }
        }
    }
    let settled = PortRole::Edge { settled: true };
    for leaf in 1..=leaves {
        for edge in 1..=8 {
            topology = topology.with_role(DatapathId(leaf), PortNo(spines as u32 + edge), settled);
        }
    }
    topology
}

fn ways(c: &mut Criterion) {
    let mut group = c.benchmark_group("ways");
    for (leaves, spines) in [(12, 4), (240, 16)] {
        let topology = leaf_spine(leaves, spines);
        let switches = leaves + spines;
        let (from, to) = (DatapathId(1), DatapathId(leaves));
        assert_eq!(topology.path(from, to).expect("a way").count(), 2);
        assert!(topology.reachable(from, to));
        group.bench_function(BenchmarkId::new("known", switches), |b| {
            b.iter(|| {
                topology.path(from, to).map(|steps| steps.map(|s| s.out_port.0).sum::<u32>())
            });
        });
        group.bench_function(BenchmarkId::new("reachable", switches), |b| {
            b.iter(|| topology.reachable(from, to));
        });
        // A link is gone, so the graph, the components and the tree to one switch are made anew.
        let link = Link { from: (from, PortNo(1)), to: (DatapathId(leaves + 1), PortNo(1)) };
        group.bench_function(BenchmarkId::new("the first after a cut", switches), |b| {
            b.iter_batched(
                || topology.without_link(link),
                |topology| {
                    assert!(topology.reachable(from, to));
                    topology.path(from, to).map(Iterator::count)
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(2));
    targets = hosts, paths, ways
}
criterion_main!(benches);

//! How the codec compares with slicing by hand, in the three messages that a controller reads most.
//!
//! `cargo bench -p umlaut-openflow` prints the times of both. `cargo bench -p umlaut-openflow -- ratio`
//! measures them against each other and fails where the codec takes more than 1.2 times as long.

#[path = "../tests/support/oracle.rs"]
mod oracle;
#[path = "support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use criterion::Criterion;
use umlaut_openflow::*;

/// The codec may take this much longer than slicing by hand.
const LIMIT: f64 = 1.2;
const MESSAGES: usize = 2048;
const ROUNDS: usize = 61;
const PASSES: usize = 20;

fn encoded(version: Version, message: &Message<'_>) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode(version, Xid(1), message, &mut out).expect("a message that the version can express");
    out.to_vec()
}

/// A cheap source of numbers that differ: the multiplier of a common linear congruential generator.
fn numbers() -> impl FnMut() -> u64 {
    let mut state = 1u64;
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

fn packet_ins(version: Version) -> Vec<Vec<u8>> {
    let mut next = numbers();
    (0..MESSAGES)
        .map(|_| {
            let v10 = version == Version::V1_0;
            let in_port = PortNo(1 + (next() % 48) as u32);
            let mut pipeline = Vec::new();
            let extra = next() % 3;
            if !v10 && extra > 0 {
                pipeline.extend([0x80, 0, 0, 4]);
                pipeline.extend(in_port.0.to_be_bytes());
                pipeline.extend([0x80, 0, 4, 8]);
                pipeline.extend(next().to_be_bytes());
                if extra > 1 {
                    pipeline.extend([0x80, 0, 0x4c, 8]);
                    pipeline.extend(next().to_be_bytes());
                }
            }
            let packet = PacketIn {
                buffer_id: next().is_multiple_of(2).then(|| BufferId(next() as u32 / 2)),
                total_len: 60,
                in_port,
                reason: PacketInReason::NO_MATCH,
                table_id: TableId(0),
                cookie: Cookie(if v10 { u64::MAX } else { next() }),
                pipeline: pipeline.into(),
                data: vec![7; 60 + (next() % 64) as usize].into(),
            };
            encoded(version, &Message::PacketIn(packet))
        })
        .collect()
}

fn features() -> Vec<Vec<u8>> {
    let mut next = numbers();
    (0..64)
        .map(|_| {
            let ports = (1..=24)
                .map(|n| Port {
                    port_no: PortNo(n),
                    hw_addr: MacAddr::from_u64(next()),
                    name: *b"port\0\0\0\0\0\0\0\0\0\0\0\0",
                    config: PortConfig(next() as u32 & 1),
                    state: PortState(0),
                    curr: 0x40,
                    advertised: 0x40,
                    supported: 0x40,
                    peer: 0,
                    curr_speed: 0,
                    max_speed: 0,
                })
                .collect();
            encoded(
                Version::V1_0,
                &Message::FeaturesReply(Features {
                    dpid: DatapathId(next()),
                    n_buffers: 256,
                    n_tables: 1,
                    auxiliary_id: 0,
                    capabilities: 0,
                    actions: 0,
                    ports,
                }),
            )
        })
        .collect()
}

/// One pass over all messages.
fn pass<'a, T>(messages: &'a [Vec<u8>], parse: impl Fn(&'a [u8]) -> T) {
    for message in messages {
        black_box(parse(black_box(message)));
    }
}

/// The shortest of many rounds each, taken in turns so that both see the same machine.
fn ratio(name: &str, mut codec: impl FnMut(), mut by_hand: impl FnMut()) -> f64 {
    let time = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..PASSES).for_each(|_| run());
        start.elapsed()
    };
    let mut best = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        best[0] = best[0].min(time(&mut codec));
        best[1] = best[1].min(time(&mut by_hand));
    }
    let ratio = best[0].as_secs_f64() / best[1].as_secs_f64();
    println!("{name}: codec {:?}, by hand {:?}, ratio {ratio:.2}", best[0], best[1]);
    ratio
}

fn main() {
    let v10 = packet_ins(Version::V1_0);
    let v13 = packet_ins(Version::V1_3);
    let lists = features();
    let equal = v10.iter().all(|m| decode(m).ok() == oracle::packet_in_10(m))
        && v13.iter().all(|m| decode(m).ok() == oracle::packet_in_13(m))
        && lists.iter().all(|m| decode(m).ok() == oracle::features_10(m));
    assert!(equal, "codec and oracle differ");

    if std::env::args().any(|arg| arg == "ratio") {
        let ratios = [
            ratio("packet-in 1.0", || pass(&v10, decode), || pass(&v10, oracle::packet_in_10)),
            ratio("packet-in 1.3", || pass(&v13, decode), || pass(&v13, oracle::packet_in_13)),
            ratio("24 ports 1.0", || pass(&lists, decode), || pass(&lists, oracle::features_10)),
        ];
        assert!(ratios.iter().all(|ratio| *ratio <= LIMIT), "slower than {LIMIT} times by hand");
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("packet-in 1.0, codec", |b| b.iter(|| pass(&v10, decode)));
    criterion
        .bench_function("packet-in 1.0, by hand", |b| b.iter(|| pass(&v10, oracle::packet_in_10)));
    criterion.bench_function("packet-in 1.3, codec", |b| b.iter(|| pass(&v13, decode)));
    criterion
        .bench_function("packet-in 1.3, by hand", |b| b.iter(|| pass(&v13, oracle::packet_in_13)));
    criterion.bench_function("24 ports 1.0, codec", |b| b.iter(|| pass(&lists, decode)));
    criterion
        .bench_function("24 ports 1.0, by hand", |b| b.iter(|| pass(&lists, oracle::features_10)));
    for (name, mut operation) in support::decode_cases() {
        criterion.bench_function(name, |b| b.iter(&mut operation));
    }
    criterion.final_summary();
}

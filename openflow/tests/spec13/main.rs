//! Every message, action, match field and multipart kind of OpenFlow 1.3, written from the
//! specification (1.3.5 §7), and read by Open vSwitch where it is installed.

#[path = "../support/spec.rs"]
mod spec;

/// Puts texts together where a row is made of named parts.
macro_rules! hex {
    ($($part:expr),*) => { Box::leak([$($part),*].join(" ").into_boxed_str()) };
}

mod actions;
mod match_fields;
mod messages;
mod multiparts;

use spec::Row;
use umlaut_openflow::*;

const A: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0x0a]);

fn name<const N: usize>(text: &str) -> [u8; N] {
    let mut name = [0; N];
    name[..text.len()].copy_from_slice(text.as_bytes());
    name
}

fn text(text: &str, size: usize) -> String {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex:0<width$}", width = 2 * size)
}

fn port() -> Port {
    Port {
        port_no: PortNo(3),
        hw_addr: A,
        name: name("eth3"),
        config: PortConfig::NO_PACKET_IN,
        state: PortState::LIVE,
        curr: 0x40,
        advertised: 0x20,
        supported: 0x60,
        peer: 0x08,
        curr_speed: 10_000_000,
        max_speed: 20_000_000,
    }
}

const PORT: &str = "00000003 00000000 02000000000a 0000 65746833000000000000000000000000
    00000040 00000004 00000040 00000020 00000060 00000008 00989680 01312d00";

fn ssh_match() -> Match {
    Match::new()
        .in_port(PortNo(3))
        .eth_type(0x0800u16)
        .ip_proto(6)
        .ipv4_dst(Masked { value: [10, 1, 0, 0].into(), mask: Some([255, 255, 0, 0].into()) })
        .tcp_dst(22u16)
}

/// 4 + 8 + 6 + 5 + 12 + 6 = 41 bytes, padded to 48.
const SSH_MATCH: &str = "0001 0029 80000004 00000003 80000a02 0800 80001401 06
    80001908 0a010000 ffff0000 80001c02 0016 00000000000000";

const ANY_MATCH: &str = "0001 0004 00000000";

fn row(
    name: &'static str,
    hex: &'static str,
    message: Message<'static>,
    ovs: &'static [&'static str],
) -> Row {
    Row { name, hex, message, ovs }
}

fn buckets() -> Vec<Bucket> {
    vec![
        Bucket {
            weight: 7,
            watch_port: PortNo(1),
            watch_group: GroupId(2),
            actions: vec![Action::Output { port: PortNo(4), max_len: MaxLen(0) }],
        },
        Bucket::new(vec![Action::DecNwTtl]),
    ]
}

const BUCKETS: &str = "0020 0007 00000001 00000002 00000000 0000 0010 00000004 0000 000000000000
    0018 0000 ffffffff ffffffff 00000000 0018 0008 00000000";

fn bands() -> Vec<MeterBand> {
    vec![
        MeterBand { rate: 1000, burst_size: 10, kind: MeterBandKind::Drop },
        MeterBand { rate: 500, burst_size: 5, kind: MeterBandKind::DscpRemark { prec_level: 1 } },
    ]
}

const BANDS: &str = "0001 0010 000003e8 0000000a 00000000  0002 0010 000001f4 00000005 01 000000";

use std::net::Ipv4Addr;

use umlaut::samples::SimpleRouter;
use umlaut::virtual_lab::VirtualLab;
use umlaut_controller::Apps;
use umlaut_openflow::packet::{Field, Headers, build};
use umlaut_openflow::{MacAddr, Version};
use umlaut_testbed::Topology;

use super::{SECOND, VERSIONS, config, lab};

const CONFIG: &str = r#"
simple-router:
  interfaces:
  - {port: 1, mac: "02:00:00:00:00:01", address: 10.0.1.1/24}
  - {port: 2, mac: "02:00:00:00:00:02", address: 10.0.2.1/24}
  - {port: 3, mac: "02:00:00:00:00:03", address: 10.0.3.1/24}
  routes:
  - {to: 0.0.0.0/1, via: 10.0.2.2}
  - {to: 172.16.0.0/12, via: 10.0.2.2}
  - {to: 172.16.9.0/24, via: 10.0.3.2}
"#;

fn router(n: u64) -> MacAddr {
    MacAddr::from_u64(0x0200_0000_0000 + n)
}

/// Three hosts, each behind an interface of the router.
fn routed(version: Version) -> VirtualLab {
    let mut topology = Topology::single(3);
    for (host, n) in topology.hosts.iter_mut().zip(1..) {
        host.ipv4 = Some(Ipv4Addr::new(10, 0, n, 2));
    }
    let apps = Apps::new().with(SimpleRouter::new(config(CONFIG).simple_router));
    lab(apps, &topology, version)
}

/// h1 sends an IPv4 packet of this time to live and payload to the router.
fn send(lab: &mut VirtualLab, to: [u8; 4], ttl: u8, payload: &[u8]) {
    let mut packet = build::udp([10, 0, 1, 2].into(), to.into(), 1000, 2000, payload);
    packet[8] = ttl;
    packet[10..12].fill(0);
    let sum = build::checksum(&[&packet[..20]]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    lab.with_host("h1", |h1, _| h1.send_ethernet(router(1), 0x0800, &packet));
}

/// The frames that a host saw, its last ones first.
fn seen(lab: &mut VirtualLab, host: &str) -> Vec<Vec<u8>> {
    lab.with_host(host, |host, _| host.sniffed().rev().map(|seen| seen.frame.clone()).collect())
}

/// The ICMP error that came last to h1: type, code, sender, and what it quotes.
fn icmp_error(lab: &mut VirtualLab) -> Option<(u8, u8, Ipv4Addr, Vec<u8>)> {
    let frame =
        seen(lab, "h1").into_iter().find(|frame| Headers::parse(frame).ip_proto == Field::Is(1))?;
    let headers = Headers::parse(&frame);
    let (kind, code) = (headers.icmp_type.value()?, headers.icmp_code.value()?);
    assert_eq!(build::checksum(&[&frame[14..34]]), 0);
    let length = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    assert_eq!(build::checksum(&[&frame[34..14 + length]]), 0);
    Some((kind, code, headers.ipv4_src.value()?, frame[42..14 + length].to_vec()))
}

#[test]
fn a_packet_goes_to_the_longest_prefix_with_one_hop_less() {
    for version in VERSIONS {
        let mut lab = routed(version);
        let table: [([u8; 4], &str, u64); 5] = [
            ([10, 0, 2, 2], "h2", 2),
            ([10, 0, 3, 2], "h3", 3),
            ([172, 16, 9, 9], "h3", 3),
            ([172, 16, 8, 8], "h2", 2),
            ([8, 8, 8, 8], "h2", 2),
        ];
        // The first time it waits for ARP, later it goes by an entry where there can be one.
        for round in 0..3 {
            for (to, host, out) in table {
                let payload = format!("<{to:?} {round}>");
                send(&mut lab, to, 9, payload.as_bytes());
                lab.run(SECOND / 10);
                assert_eq!(lab.who_saw(payload.as_bytes()), [host], "{version} {to:?}");
                let frame = &seen(&mut lab, host)[0];
                let headers = Headers::parse(frame);
                assert_eq!(
                    (headers.eth_src, headers.ipv4_dst),
                    (router(out), Field::Is(to.into()))
                );
                assert_eq!(headers.eth_dst, lab.network.host(host).unwrap().mac());
                assert_eq!(frame[22], 8, "hops");
                assert_eq!(build::checksum(&[&frame[14..34]]), 0);
            }
        }
        let entries = if version == Version::V1_0 { 0 } else { table.len() };
        assert_eq!(lab.flows(1).len(), entries, "{version}");
    }
}

#[test]
fn the_router_answers_arp_and_echo_at_each_interface() {
    for version in VERSIONS {
        let mut lab = routed(version);
        lab.with_host("h1", |h1, _| h1.set_real_arp(true));
        lab.with_host("h1", |h1, now| h1.ping([10, 0, 1, 1].into(), 1, 1, now));
        lab.run(SECOND / 10);
        let replies = |lab: &VirtualLab, from: [u8; 4]| {
            let counters = lab.network.host("h1").unwrap().counters();
            counters.echo_replies.get(&Ipv4Addr::from(from)).copied()
        };
        assert_eq!(replies(&lab, [10, 0, 1, 1]), Some(1), "{version}");
        // An interface on the other side, through the same way in.
        let ping = build::icmp_echo(8, [10, 0, 1, 2].into(), [10, 0, 3, 1].into(), 1, 2, b"far");
        lab.with_host("h1", |h1, _| h1.send_ethernet(router(1), 0x0800, &ping));
        lab.run(SECOND / 10);
        assert_eq!(replies(&lab, [10, 0, 3, 1]), Some(1), "{version}");
        // What is asked for another's address is not answered.
        lab.network.reset_hosts();
        lab.with_host("h1", |h1, _| h1.send_arp_request([10, 0, 1, 77].into()));
        lab.run(SECOND / 10);
        assert!(seen(&mut lab, "h1").is_empty());
    }
}

#[test]
fn a_packet_that_goes_no_further_is_told_to_its_sender() {
    for version in VERSIONS {
        let mut lab = routed(version);
        // h1 is known from its own ARP.
        lab.with_host("h1", |h1, _| h1.send_arp_request([10, 0, 1, 1].into()));
        lab.run(SECOND / 10);
        let from = Ipv4Addr::new(10, 0, 1, 1);
        for (to, ttl, expected, waits) in [
            ([10, 0, 2, 2], 1, (11, 0), false),
            ([200, 0, 0, 1], 9, (3, 0), false),
            ([10, 0, 2, 77], 9, (3, 1), true),
        ] {
            lab.network.reset_hosts();
            send(&mut lab, to, ttl, b"lost");
            lab.run(SECOND / 10);
            assert_eq!(icmp_error(&mut lab).is_none(), waits, "{to:?}");
            lab.run(4 * SECOND);
            let (kind, code, source, quoted) = icmp_error(&mut lab).unwrap();
            assert_eq!(((kind, code), source), (expected, from), "{version} {to:?}");
            // The header and eight bytes.
            assert_eq!((quoted.len(), &quoted[16..20]), (28, &to[..]));
            assert!(lab.who_saw(b"lost").is_empty());
        }
        // Asked for three times.
        lab.network.reset_hosts();
        send(&mut lab, [10, 0, 2, 78], 9, b"lost");
        lab.run(10 * SECOND);
        let asked = seen(&mut lab, "h2");
        assert_eq!(asked.iter().filter(|f| Headers::parse(f).arp_op == Field::Is(1)).count(), 3);
    }
}

#[test]
fn errors_are_not_told_of_errors_and_broken_packets_are_dropped() {
    for version in VERSIONS {
        let mut lab = routed(version);
        lab.with_host("h1", |h1, _| h1.send_arp_request([10, 0, 1, 1].into()));
        lab.run(SECOND / 10);
        lab.network.reset_hosts();
        // An ICMP error without hops left.
        let mut icmp =
            build::ipv4(1, [10, 0, 1, 2].into(), [10, 0, 2, 2].into(), &[3, 0, 0, 0, 0, 0, 0, 0]);
        icmp[8] = 1;
        icmp[10..12].fill(0);
        let sum = build::checksum(&[&icmp[..20]]);
        icmp[10..12].copy_from_slice(&sum.to_be_bytes());
        // A wrong checksum, a length beyond the frame, no header at all, a frame for another.
        let good = build::udp([10, 0, 1, 2].into(), [10, 0, 2, 2].into(), 1, 2, b"dropped");
        let (mut sum, mut length) = (good.clone(), good.clone());
        sum[10] ^= 1;
        length[2] = 0xff;
        for packet in [&icmp, &sum, &length, &good[..3].to_vec(), &vec![0x4f; 21]] {
            lab.with_host("h1", |h1, _| h1.send_ethernet(router(1), 0x0800, packet));
        }
        lab.with_host("h1", |h1, _| h1.send_ethernet(router(2), 0x0800, &good));
        lab.run(5 * SECOND);
        assert!(lab.who_saw(b"dropped").is_empty());
        assert_eq!(icmp_error(&mut lab), None);
        // The marker that it works.
        send(&mut lab, [10, 0, 2, 2], 9, b"marker");
        lab.run(SECOND);
        assert_eq!(lab.who_saw(b"marker"), ["h2"]);
    }
}

#[test]
fn a_host_with_another_address_is_found_again() {
    for version in VERSIONS {
        let mut lab = routed(version);
        for n in 0..2 {
            send(&mut lab, [10, 0, 2, 2], 9, format!("before {n}").as_bytes());
            lab.run(SECOND);
        }
        lab.with_host("h2", |h2, _| {
            h2.set_mac(MacAddr::from_u64(0x99));
            h2.send_arp_request([10, 0, 2, 1].into());
        });
        lab.run(SECOND);
        send(&mut lab, [10, 0, 2, 2], 9, b"after");
        lab.run(SECOND);
        assert_eq!(lab.who_saw(b"after"), ["h2"]);
        let frame = seen(&mut lab, "h2").into_iter().find(|f| f.windows(5).any(|w| w == b"after"));
        assert_eq!(Headers::parse(&frame.unwrap()).eth_dst, MacAddr::from_u64(0x99), "{version}");
    }
}

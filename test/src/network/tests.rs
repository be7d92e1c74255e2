use std::net::Ipv4Addr;

use umlaut_openflow::{MacAddr, VlanId};

use super::*;
use crate::hub::Hub;

const SECOND: Duration = Duration::from_secs(1);

fn network(topology: &Topology, options: NetworkOptions) -> Network<Hub> {
    let mut net = Network::new(topology, options, Hub::new()).unwrap();
    let switches = topology.switches.len();
    assert!(net.run_until_true(SECOND, |net| net.controller().switches() == switches));
    assert_eq!(net.run_until_idle(SECOND), RunEnd::Idle);
    net
}

#[test]
fn with_a_hub_everybody_reaches_everybody() {
    let topologies =
        [Topology::single(3), Topology::linear(3, 1), Topology::tree(2, 2), Topology::ring(2, 2)];
    for version in [Version::V1_0, Version::V1_3] {
        for topology in &topologies {
            let mut net = network(topology, NetworkOptions::speaking(version));
            let pairs = net.reachability();
            let hosts = topology.hosts.len();
            assert_eq!(pairs.len(), hosts * (hosts - 1));
            assert!(pairs.iter().all(|pair| pair.reached), "{version} {pairs:?}");
        }
    }
}

#[test]
fn a_broadcast_reaches_every_other_host_once() {
    let mut net = network(&Topology::tree(3, 2), NetworkOptions::default());
    net.with_host("h1", |h1, _| h1.send_ethernet(MacAddr::BROADCAST, 0x1234, b"to all of you"));
    assert_eq!(net.run_until_idle(SECOND), RunEnd::Idle);
    let seen = net.who_saw(b"to all of you");
    let others: Vec<(String, usize)> = (2..=8).map(|n| (format!("h{n}"), 1)).collect();
    assert_eq!(seen, others);
}

#[test]
fn the_same_seed_gives_the_same_run_and_others_differ() {
    let run = |seed| {
        let mut net = network(&Topology::linear(3, 2), NetworkOptions::default().seed(seed));
        net.reachability();
        let host = net.host("h6").unwrap();
        let frames: Vec<(Duration, Vec<u8>)> =
            host.sniffed().map(|s| (s.at - net.start, s.frame.clone())).collect();
        (net.elapsed(), frames)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}

#[test]
fn a_storm_is_noticed_and_does_not_last_for_ever() {
    let mut net = network(&Topology::ring(3, 1), NetworkOptions::default());
    net.with_host("h1", |h1, _| h1.send_ethernet(MacAddr::BROADCAST, 0x1234, b"round"));
    assert_eq!(net.run_until_idle(Duration::from_millis(20)), RunEnd::Time);
    assert!(net.host("h1").unwrap().saw(b"round") > 10);
}

#[test]
fn a_cut_link_loses_frames_and_says_so_and_heals() {
    let mut net = network(&Topology::linear(2, 1), NetworkOptions::default());
    let reaches = |net: &mut Network<Hub>| {
        net.reset_hosts();
        net.send_udp("h1", "h2", b"x").unwrap();
        let _ = net.run_until_idle(SECOND);
        net.host("h2").unwrap().received() == 1
    };
    let (s1, s2) = (DatapathId(1), DatapathId(2));
    let link = net.link_between(Endpoint::new(2, 2), Endpoint::new(1, 2)).unwrap();
    assert!(reaches(&mut net));
    assert!(net.cut(link));
    assert!(!net.switch(s1).unwrap().is_up(PortNo(2)) && !net.switch(s2).unwrap().is_up(PortNo(2)));
    assert!(!reaches(&mut net));
    assert!(net.heal(link));
    assert!(reaches(&mut net));
    assert!(net.cut_silently(link));
    assert!(net.switch(s1).unwrap().is_up(PortNo(2)));
    assert!(!reaches(&mut net));
    assert!(net.heal(link) && !net.cut(1));
    let (lost, doubled) = (1000, 1000);
    assert!(net.impair(link, Impairment { lost_permille: lost, ..Impairment::default() }));
    assert!(!reaches(&mut net));
    assert!(net.impair(link, Impairment { doubled_permille: doubled, ..Impairment::default() }));
    assert!(!reaches(&mut net));
    assert_eq!(net.host("h2").unwrap().received(), 2);
}

#[test]
fn hosts_move_with_their_plug() {
    let mut net = network(&Topology::linear(2, 2), NetworkOptions::default());
    assert_eq!(net.location("h1"), Some(Endpoint::new(1, 1)));
    assert_eq!(net.plug("h1", Endpoint::new(2, 1)), None);
    assert_eq!(net.plug("h1", Endpoint::new(2, 9)), Some(()));
    assert!(!net.switch(DatapathId(1)).unwrap().is_up(PortNo(1)));
    let _ = net.run_until_idle(SECOND);
    net.send_udp("h1", "h2", b"moved").unwrap();
    let _ = net.run_until_idle(SECOND);
    assert_eq!(net.host("h2").unwrap().received(), 1);
    net.unplug("h1").unwrap();
    assert_eq!(net.location("h1"), None);
    net.send_udp("h1", "h2", b"unplugged").unwrap();
    let _ = net.run_until_idle(SECOND);
    assert_eq!(net.who_saw(b"unplugged"), []);
}

#[test]
fn a_broken_channel_is_connected_again_and_a_held_one_loses_nothing() {
    let mut net = network(&Topology::single(2), NetworkOptions::speaking(Version::V1_0));
    let s1 = DatapathId(1);
    net.reset_channel(s1).unwrap();
    assert_eq!((net.controller().switches(), net.connected_switches()), (0, 0));
    assert!(net.run_until_true(2 * SECOND, |net| net.controller().switches() == 1));
    assert!(net.run_until_true(SECOND, |net| net.connected_switches() == 1));

    net.cut_off(s1).unwrap();
    net.send_udp("h1", "h2", b"held back").unwrap();
    let _ = net.run_for(SECOND);
    assert_eq!(net.who_saw(b"held back"), []);
    net.join(s1).unwrap();
    let _ = net.run_until_idle(SECOND);
    assert_eq!(net.who_saw(b"held back"), [("h2".to_owned(), 1)]);

    // Held for long, the switch gives up by its probe and connects again.
    net.cut_off(s1).unwrap();
    let _ = net.run_for(30 * SECOND);
    assert_eq!((net.connected_switches(), net.controller().switches()), (0, 1));
    net.join(s1).unwrap();
    assert!(net.run_until_true(9 * SECOND, |net| net.connected_switches() == 1));
    assert_eq!(net.controller().switches(), 1);
}

#[test]
fn controllers_and_switches_can_be_restarted() {
    let mut net = network(&Topology::linear(2, 1), NetworkOptions::default());
    assert!(net.replace_controller(None).is_none());
    let _ = net.run_for(5 * SECOND);
    assert_eq!(net.connected_switches(), 0);
    let old = net.replace_controller(Some(Hub::new())).unwrap();
    assert_eq!(old.switches(), 2);
    assert!(net.run_until_true(9 * SECOND, |net| net.controller().switches() == 2));

    let (s1, s2) = (DatapathId(1), DatapathId(2));
    net.power_off(s2).unwrap();
    assert!(!net.switch(s1).unwrap().is_up(PortNo(2)));
    let _ = net.run_until_idle(SECOND);
    assert_eq!(net.controller().switches(), 1);
    net.send_udp("h1", "h2", b"into the dark").unwrap();
    let _ = net.run_for(SECOND);
    assert_eq!(net.who_saw(b"into the dark"), []);
    net.power_on(s2).unwrap();
    assert!(net.run_until_true(SECOND, |net| net.controller().switches() == 2));
    let _ = net.run_until_idle(SECOND);
    assert!(net.reachability().iter().all(|pair| pair.reached));
}

#[test]
fn hosts_resolve_by_arp_if_told_to() {
    let options = NetworkOptions { real_arp: true, ..NetworkOptions::default() };
    let mut net = network(&Topology::linear(2, 1), options);
    net.send_udp("h1", "h2", b"after arp").unwrap();
    let _ = net.run_until_idle(SECOND);
    assert_eq!(net.who_saw(b"after arp"), [("h2".to_owned(), 1)]);
    assert_eq!(net.host("h2").unwrap().sniffed().len(), 2);
}

#[test]
fn tagged_hosts_are_deaf_to_other_vlans_and_injected_frames_enter_at_their_port() {
    let mut topology = Topology::single(3);
    topology.hosts[0].vlan = VlanId::new(5);
    topology.hosts[1].vlan = VlanId::new(5);
    let mut net = network(&topology, NetworkOptions::default());
    net.send_udp("h1", "h2", b"tagged").unwrap();
    net.send_udp("h1", "h3", b"tagged").unwrap();
    let _ = net.run_until_idle(SECOND);
    let received = |net: &Network<Hub>, name: &str| net.host(name).unwrap().received();
    assert_eq!((received(&net, "h2"), received(&net, "h3")), (1, 0));
    assert_eq!(net.host("h3").unwrap().saw(b"tagged"), 2);
    let (a, b) = (Ipv4Addr::new(1, 1, 1, 1), Ipv4Addr::new(192, 168, 0, 3));
    let packet = umlaut_openflow::build::udp(a, b, 1, 1, b"from nowhere");
    let frame = umlaut_openflow::build::ethernet(
        MacAddr::from_u64(3),
        MacAddr::from_u64(0x99),
        &[],
        0x0800,
        &packet,
    );
    assert!(net.inject(Endpoint::new(1, 1), &frame) && !net.inject(Endpoint::new(7, 1), &frame));
    let _ = net.run_until_idle(SECOND);
    assert_eq!(received(&net, "h3"), 1);
}

#[test]
fn hosts_without_addresses_are_reached_by_their_macs() {
    let mut topology = Topology::single(3);
    topology.hosts[1].ipv4 = None;
    topology.hosts[2].vlan = VlanId::new(9);
    let mut net = network(&topology, NetworkOptions::default());
    let pairs = net.reachability();
    let reached: Vec<(&str, &str)> =
        pairs.iter().filter(|p| p.reached).map(|p| (&p.from[..], &p.to[..])).collect();
    assert_eq!(reached, [("h1", "h2"), ("h2", "h1")]);
}

/// Of so many frames from h1 to h2, the numbers in the order of their arrival.
fn arrived(net: &mut Network<Hub>, frames: u8) -> Vec<u8> {
    net.reset_hosts();
    for number in 0..frames {
        net.send_udp("h1", "h2", &[b'#', number, b'#']).unwrap();
        let _ = net.run_for(Duration::from_micros(50));
    }
    let _ = net.run_until_idle(Duration::from_secs(1));
    let number =
        |frame: &[u8]| frame.windows(3).find(|w| w[0] == b'#' && w[2] == b'#').map(|w| w[1]);
    net.host("h2").unwrap().sniffed().filter_map(|seen| number(&seen.frame)).collect()
}

#[test]
fn a_direction_of_a_cable_loses_and_reorders_by_its_seed() {
    let run = |seed: u64, change: fn(&mut Network<Hub>)| {
        let options = NetworkOptions::default().seed(seed);
        let mut net = Network::new(&Topology::single(2), options, Hub::new()).unwrap();
        let _ = net.run_for(Duration::from_secs(1));
        change(&mut net);
        arrived(&mut net, 100)
    };
    let in_order: Vec<u8> = (0..100).collect();
    assert_eq!(run(1, |_| {}), in_order);
    let late = |net: &mut Network<Hub>| assert!(net.impair_from(Endpoint::new(1, 2), LATE));
    let reordered = run(1, late);
    let mut sorted = reordered.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, in_order, "none is lost");
    assert_ne!(reordered, in_order);
    assert_eq!(reordered, run(1, late), "the same seed, the same order");
    // The other direction is whole.
    assert_eq!(run(2, |net| assert!(net.impair_to(Endpoint::new(1, 2), LOST))), in_order);
    assert!(run(2, |net| assert!(net.impair_from(Endpoint::new(1, 2), LOST))).is_empty());
}

const WHOLE: Impairment = Impairment {
    delay: Duration::ZERO,
    lost_permille: 0,
    doubled_permille: 0,
    late_permille: 0,
    late: Duration::ZERO,
};
const LOST: Impairment = Impairment { lost_permille: 1000, ..WHOLE };
const LATE: Impairment = Impairment { late_permille: 200, late: Duration::from_millis(2), ..WHOLE };

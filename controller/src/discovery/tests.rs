//! Discovery as transcripts in virtual time.

use proptest::prelude::*;
use umlaut_openflow::{PortConfig, PortState as State};

use super::*;

const MS: Duration = Duration::from_millis(1);

fn port(port_no: u32, up: bool) -> Port {
    Port {
        port_no: PortNo(port_no),
        hw_addr: MacAddr::from_u64(port_no.into()),
        name: [0; 16],
        config: PortConfig(0),
        state: if up { State(0) } else { State::LINK_DOWN },
        curr: 0,
        advertised: 0,
        supported: 0,
        peer: 0,
        curr_speed: 0,
        max_speed: 0,
    }
}

fn end(dpid: u64, port: u32) -> End {
    (DatapathId(dpid), PortNo(port))
}

/// A wiring that carries probes, and what became of roles and links.
struct Lab {
    discovery: Discovery,
    now: Instant,
    cables: Vec<(End, End)>,
    roles: BTreeMap<End, PortRole>,
    links: BTreeSet<Link>,
    alarms: Vec<AlarmKind>,
    frames: Vec<(End, Vec<u8>)>,
}

impl Lab {
    fn new(cables: &[(End, End)]) -> Lab {
        Lab {
            discovery: Discovery::new([1; 16], Config::default()),
            now: Instant::now(),
            cables: cables.to_vec(),
            roles: BTreeMap::new(),
            links: BTreeSet::new(),
            alarms: Vec::new(),
            frames: Vec::new(),
        }
    }

    fn bind(&mut self, bound: &'static [(u64, u32)]) {
        let is_bound = move |dpid: DatapathId, port: PortNo| bound.contains(&(dpid.0, port.0));
        self.discovery.set_policy(Arc::new(is_bound), None, &Concerned::All, self.now);
        self.settle();
    }

    fn up(&mut self, dpid: u64) {
        let ports = [port(1, true), port(2, true), port(3, true)];
        self.discovery.switch_up(DatapathId(dpid), &ports, self.now);
        self.settle();
    }

    /// Carries out what is to be done at once.
    fn settle(&mut self) {
        self.discovery.poll(self.now);
        while let Some(output) = self.discovery.output() {
            match output {
                Output::SendLldp { dpid, port, frame } => {
                    let sender = (dpid, port);
                    self.frames.push((sender, frame.clone()));
                    for (a, b) in self.cables.clone() {
                        if a == sender || b == sender {
                            let to = if a == sender { b } else { a };
                            self.discovery.lldp_received(to.0, to.1, &frame, self.now);
                        }
                    }
                }
                Output::LinkUp(link) => assert!(self.links.insert(link), "up twice: {link:?}"),
                Output::LinkDown(link) => assert!(self.links.remove(&link), "not up: {link:?}"),
                Output::Role { dpid, port, role } => {
                    self.roles.insert((dpid, port), role);
                }
                Output::Alarm(alarm) => self.alarms.push(alarm.kind),
            }
            self.discovery.poll(self.now);
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.discovery.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.settle();
        }
        self.now = end;
    }

    fn role(&self, dpid: u64, port: u32) -> PortRole {
        self.roles[&end(dpid, port)]
    }
}

const EDGE: PortRole = PortRole::Edge { settled: true };

fn cable() -> Lab {
    Lab::new(&[(end(1, 1), end(2, 1))])
}

#[test]
fn a_cable_becomes_a_link_and_other_ports_edges() {
    let mut lab = cable();
    lab.up(1);
    assert_eq!(lab.role(1, 2), PortRole::Probing);
    lab.up(2);
    assert_eq!(lab.links.len(), 2, "known as soon as both sides have been heard");
    assert_eq!(lab.role(1, 1), PortRole::Link { peer: end(2, 1) });
    lab.run(Config::default().start_grace + 400 * MS);
    assert_eq!(lab.role(1, 2), EDGE);
    assert!(lab.alarms.is_empty(), "{:?}", lab.alarms);
}

#[test]
fn after_the_start_an_edge_settles_within_300_ms() {
    let mut lab = cable();
    lab.up(1);
    lab.run(Duration::from_secs(10));
    lab.discovery.port_changed(DatapathId(1), &port(3, false), lab.now);
    lab.discovery.port_changed(DatapathId(1), &port(3, true), lab.now);
    lab.settle();
    lab.run(299 * MS);
    assert_eq!(lab.role(1, 3), PortRole::Probing);
    lab.run(MS);
    assert_eq!(lab.role(1, 3), EDGE);
}

#[test]
fn a_late_switch_turns_an_edge_into_a_link() {
    let mut lab = cable();
    lab.up(1);
    lab.run(Duration::from_secs(20));
    assert_eq!(lab.role(1, 1), EDGE);
    lab.up(2);
    assert_eq!(lab.links.len(), 2);
}

#[test]
fn with_a_host_admitted_lldp_is_an_alarm_until_port_down() {
    let mut lab = cable();
    lab.up(1);
    lab.run(Duration::from_secs(20));
    lab.discovery.host_admitted(DatapathId(1), PortNo(1), lab.now);
    lab.up(2);
    lab.run(Duration::from_secs(20));
    assert!(lab.links.is_empty());
    assert!(lab.alarms.contains(&AlarmKind::HostPort));
    lab.discovery.port_changed(DatapathId(1), &port(1, false), lab.now);
    lab.discovery.port_changed(DatapathId(1), &port(1, true), lab.now);
    lab.settle();
    lab.run(Duration::from_secs(6));
    assert_eq!(lab.links.len(), 2);
}

#[test]
fn a_bound_port_is_an_edge_at_once_and_for_ever() {
    let mut lab = cable();
    lab.bind(&[(1, 1)]);
    lab.up(1);
    assert_eq!(lab.role(1, 1), EDGE);
    lab.up(2);
    lab.run(Duration::from_secs(60));
    assert!(lab.links.is_empty());
    assert!(lab.alarms.contains(&AlarmKind::BoundPort));
    // Bound no more, it is probed and becomes a link; bound again, the link is gone.
    lab.bind(&[]);
    lab.run(Duration::from_secs(6));
    assert_eq!(lab.links.len(), 2);
    lab.bind(&[(2, 1)]);
    assert!(lab.links.is_empty());
    assert_eq!(lab.role(2, 1), EDGE);
}

#[test]
fn a_silent_link_ends_after_three_periods_and_its_ports_stay_without_hosts() {
    let mut lab = cable();
    lab.up(1);
    lab.up(2);
    lab.run(Duration::from_secs(6));
    lab.cables.clear();
    lab.run(Duration::from_secs(14));
    assert_eq!(lab.links.len(), 2);
    lab.run(Duration::from_secs(7));
    assert!(lab.links.is_empty());
    assert!(lab.role(1, 1).is_link(), "withdrawn");
    lab.run(Duration::from_secs(22));
    assert_eq!(lab.role(1, 1), EDGE);
    lab.cables.push((end(1, 1), end(2, 1)));
    lab.run(Duration::from_secs(6));
    assert_eq!(lab.links.len(), 2, "healed");
}

#[test]
fn a_port_down_ends_its_link_at_once() {
    let mut lab = cable();
    lab.up(1);
    lab.up(2);
    lab.discovery.port_changed(DatapathId(1), &port(1, false), lab.now);
    lab.settle();
    assert!(lab.links.is_empty());
    assert!(lab.role(2, 1).is_link(), "the other end is withdrawn");
    lab.discovery.port_changed(DatapathId(1), &port(1, true), lab.now);
    lab.settle();
    lab.run(Duration::from_secs(6));
    assert_eq!(lab.links.len(), 2);
}

fn ports_up() -> [Port; 3] {
    [port(1, true), port(2, true), port(3, true)]
}

#[test]
fn the_silence_of_a_switch_that_is_away_says_nothing() {
    let mut lab = cable();
    lab.up(1);
    lab.up(2);
    lab.run(Duration::from_secs(6));
    lab.discovery.switch_away(DatapathId(1));
    let cables = std::mem::take(&mut lab.cables);
    let probes = |lab: &Lab| lab.frames.iter().filter(|((dpid, _), _)| dpid.0 == 1).count();
    let before = probes(&lab);
    lab.run(Duration::from_secs(40));
    assert_eq!((lab.links.len(), probes(&lab)), (2, before));
    assert_eq!(lab.role(1, 2), EDGE);
    lab.cables = cables;
    lab.discovery.switch_back(DatapathId(1), &ports_up(), lab.now);
    lab.settle();
    assert!(probes(&lab) > before, "probed at once");
    lab.run(Duration::from_secs(40));
    assert_eq!(lab.links.len(), 2);
    assert!(lab.alarms.is_empty(), "{:?}", lab.alarms);
}

#[test]
fn a_link_that_is_silent_after_a_return_ends_soon_whichever_end_was_away() {
    for away in [1, 2] {
        let mut lab = cable();
        lab.up(1);
        lab.up(2);
        lab.run(Duration::from_secs(6));
        lab.discovery.switch_away(DatapathId(away));
        lab.cables.clear();
        lab.run(Duration::from_secs(1));
        lab.discovery.switch_back(DatapathId(away), &ports_up(), lab.now);
        lab.settle();
        lab.run(Config::default().doubt - MS);
        assert_eq!(lab.links.len(), 2);
        lab.run(101 * MS);
        assert!(lab.links.is_empty());
    }
}

#[test]
fn a_link_to_a_switch_that_is_still_away_is_doubted_when_that_is_back() {
    let mut lab = cable();
    lab.up(1);
    lab.up(2);
    lab.run(Duration::from_secs(6));
    lab.discovery.switch_away(DatapathId(1));
    lab.discovery.switch_away(DatapathId(2));
    lab.cables.clear();
    lab.discovery.switch_back(DatapathId(1), &ports_up(), lab.now);
    lab.run(Duration::from_secs(12));
    assert_eq!(lab.links.len(), 2);
    lab.discovery.switch_back(DatapathId(2), &ports_up(), lab.now);
    lab.settle();
    lab.run(Config::default().doubt + 101 * MS);
    assert!(lab.links.is_empty());
}

/// A port with hosts, and a cable in their place when the switch is back: no loop is left by that.
#[test]
fn a_cable_that_took_the_place_of_a_host_meanwhile_is_found_at_the_return_and_not_later() {
    for later in [false, true] {
        let mut lab = Lab::new(&[]);
        lab.up(1);
        lab.run(Duration::from_secs(10));
        lab.discovery.switch_away(DatapathId(1));
        lab.run(Duration::from_secs(3));
        lab.discovery.switch_back(DatapathId(1), &ports_up(), lab.now);
        lab.settle();
        if later {
            lab.run(Duration::from_secs(1));
        }
        lab.cables.push((end(1, 1), end(2, 1)));
        lab.discovery.host_admitted(DatapathId(1), PortNo(1), lab.now);
        lab.up(2);
        lab.run(Duration::from_secs(6));
        assert_eq!(lab.links.is_empty(), later);
        assert_eq!(lab.alarms.contains(&AlarmKind::HostPort), later);
    }
}

#[test]
fn a_port_that_was_being_probed_or_is_new_is_probed_after_the_return() {
    let mut lab = Lab::new(&[]);
    lab.up(1);
    assert_eq!(lab.role(1, 1), PortRole::Probing);
    lab.discovery.switch_away(DatapathId(1));
    lab.run(Duration::from_secs(10));
    assert_eq!(lab.role(1, 1), PortRole::Probing, "nobody could have answered");
    let ports = [port(1, true), port(2, false), port(4, true)];
    lab.discovery.switch_back(DatapathId(1), &ports, lab.now);
    lab.settle();
    assert_eq!((lab.role(1, 2), lab.role(1, 4)), (PortRole::Down, PortRole::Probing));
    lab.run(400 * MS);
    assert_eq!((lab.role(1, 1), lab.role(1, 4)), (EDGE, EDGE));
}

#[test]
fn probes_are_good_once_and_cannot_be_forged() {
    let mut lab = Lab::new(&[]);
    lab.up(1);
    lab.up(2);
    let (sender, frame) =
        lab.frames.iter().find(|(sender, _)| *sender == end(1, 1)).unwrap().clone();
    let deliver = |lab: &mut Lab, to: End, frame: &[u8]| {
        lab.now += Duration::from_secs(11);
        lab.discovery.lldp_received(to.0, to.1, frame, lab.now);
        while let Some(output) = lab.discovery.output() {
            if let Output::Alarm(alarm) = output {
                lab.alarms.push(alarm.kind);
            }
        }
    };
    assert_eq!(sender, end(1, 1));
    deliver(&mut lab, end(2, 1), &frame);
    deliver(&mut lab, end(2, 2), &frame);
    let mut forged = frame.clone();
    let last = forged.iter().rposition(|b| *b != 0).unwrap();
    forged[last] ^= 1;
    deliver(&mut lab, end(2, 3), &forged);
    let mut tagged = frame[..12].to_vec();
    tagged.extend([0x81, 0, 0, 5]);
    tagged.extend(&frame[12..]);
    deliver(&mut lab, end(2, 1), &tagged);
    assert_eq!(lab.alarms, [AlarmKind::Replayed, AlarmKind::Forged, AlarmKind::Tagged]);
    assert!(lab.links.is_empty(), "one direction makes no link");
}

#[test]
fn only_declared_links_come_up() {
    let mut lab = Lab::new(&[(end(1, 1), end(2, 1)), (end(1, 2), end(2, 2))]);
    let declared = BTreeSet::from([(end(1, 1), end(2, 1))]);
    let declared = Some(Arc::new(declared));
    lab.discovery.set_policy(Arc::new(|_, _| false), declared, &Concerned::All, lab.now);
    lab.up(1);
    lab.up(2);
    lab.run(Duration::from_secs(6));
    assert_eq!(lab.links.len(), 2);
    assert!(lab.alarms.contains(&AlarmKind::Undeclared));
}

proptest! {
    /// Whatever happens, no bound port gets a link and links come and go in pairs.
    #[test]
    fn bound_ports_never_link(steps in prop::collection::vec((0u8..8, 1u64..4, 1u32..4), 0..60)) {
        let mut lab = Lab::new(&[
            (end(1, 1), end(2, 1)), (end(2, 2), end(3, 1)), (end(3, 2), end(1, 2)),
        ]);
        lab.bind(&[(1, 1)]);
        for (what, dpid, port_no) in steps {
            match what {
                0 => lab.up(dpid),
                1 => lab.discovery.switch_down(DatapathId(dpid), lab.now),
                2 => lab.discovery.port_changed(DatapathId(dpid), &port(port_no, false), lab.now),
                3 => lab.discovery.port_changed(DatapathId(dpid), &port(port_no, true), lab.now),
                4 => lab.discovery.host_admitted(DatapathId(dpid), PortNo(port_no), lab.now),
                5 => lab.discovery.switch_away(DatapathId(dpid)),
                6 => lab.discovery.switch_back(DatapathId(dpid), &ports_up(), lab.now),
                _ => lab.run(Duration::from_millis(u64::from(port_no) * 3000)),
            }
            lab.settle();
            for link in &lab.links {
                prop_assert!(link.from != end(1, 1) && link.to != end(1, 1));
                let back = Link { from: link.to, to: link.from };
                prop_assert!(lab.links.contains(&back));
                prop_assert!(lab.roles[&link.from].is_link());
            }
        }
    }
}

//! What is printed of a difference: a policy file with a case for `umlaut test`, and a scenario for
//! the emulated network. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use umlaut_slice_db::Verdict;

use super::drive::{Between, Difference, Event};
use super::frames::{ip_of, ip_of_dst};
use super::naive::{Fate, eth_type};
use super::plan::*;
use super::write::{mac_text, own_mac, policy, station_name};

/// Files by name: the policy with the case is the first, the others are those that it names.
pub type Files = Vec<(String, String)>;

/// All there is to say.
pub fn report(plan: &Plan, found: &Difference) -> String {
    let mut text = format!(
        "seed {}, {}: {:?} differ: {}\n",
        plan.seed, plan.version, found.between, found.what
    );
    match case_files(plan, found) {
        Some(files) => {
            for (name, content) in files {
                let _ = write!(text, "\n--- {name}\n{content}");
            }
            if found.between == Between::Network {
                text.push_str("(umlaut test: it holds by decision; the network does otherwise)\n");
            }
        }
        None => text.push_str("(no case can say such a frame)\n"),
    }
    let _ = write!(text, "\n--- scenario.yaml\n{}", scenario(plan, found));
    text
}

fn place(at: Place) -> String {
    match at.vlan {
        0 => at.end.name(),
        vlan => format!("{{port: {}, vlan: {vlan}}}", at.end.name()),
    }
}

/// Where a frame comes in; `None`: with tags that no slice carries.
fn ingress(wires: &Wires, frame: &Frame) -> Option<Place> {
    let vlan = match frame.tags[..] {
        [] => 0,
        [(0x8100, tci)] if tci & 0xfff != 0xfff => tci & 0xfff,
        _ => return None,
    };
    Some(Place { end: wires.stations[frame.station], vlan })
}

// ---- cases ----

struct Telling {
    after: Vec<String>,
    /// Names and places of those who speak, by MAC.
    hosts: BTreeMap<Mac, (String, Place, Place)>,
    passed: Duration,
}

impl Telling {
    fn say(&mut self, event: String) {
        let seconds = self.passed.as_secs();
        if seconds > 0 {
            self.after.push(format!("{seconds} seconds pass"));
            self.passed = Duration::ZERO;
        }
        if self.after.last() != Some(&event) {
            self.after.push(event);
        }
    }

    fn speaks(&mut self, plan: &Plan, mac: Mac, at: Place) {
        let station = (0..plan.stations.len()).find(|index| own_mac(*index) == mac);
        let name = station.map_or_else(|| format!("x{mac:x}"), station_name);
        let host = self.hosts.entry(mac).or_insert((name.clone(), at, at));
        if host.2 != at {
            host.2 = at;
            let vlan = if at.vlan == 0 { String::new() } else { format!(" vlan {}", at.vlan) };
            self.say(format!("{name} moves to {}{vlan}", at.end.name()));
        }
        self.say(format!("{name} speaks"));
    }
}

/// The policy with the case, and the policies of its events. `None`: no case can say the frame.
pub fn case_files(plan: &Plan, found: &Difference) -> Option<Files> {
    let (Event::Sent { frame, .. }, before) = found.events.split_last()? else { return None };
    let mut wires = Wires::new(plan);
    let mut telling = Telling { after: Vec::new(), hosts: BTreeMap::new(), passed: Duration::ZERO };
    for event in before {
        match event {
            Event::Waited(time) => telling.passed += *time,
            Event::Sent { frame, .. } => {
                let sender = frame.src != 0 && !is_group(frame.src);
                if let (true, Some(at)) = (sender, ingress(&wires, frame)) {
                    telling.speaks(plan, frame.src, at);
                }
            }
            Event::Step(step) => {
                tell(plan, &wires, step, &mut telling);
                wires.apply(step);
            }
        }
    }
    let at = ingress(&wires, frame)?;
    let mut case = String::from("{");
    if !telling.after.is_empty() {
        let _ = write!(case, "after: [{}], ", telling.after.join(", "));
    }
    let _ = write!(case, "before: nobody spoke, in: {}, ", at.end.name());
    if at.vlan != 0 {
        let _ = write!(case, "vlan: {}, ", at.vlan);
    }
    let (src, dst) = (mac_text(frame.src), mac_text(frame.dst));
    let _ = write!(case, "src: {src}, dst: {dst}, {}, ", fields(frame)?);
    let expected = match (found.between, &found.fate, &found.verdict) {
        (Between::Reading, Some(fate), _) => of_fate(fate),
        (_, _, Some(verdict)) => of_verdict(verdict),
        _ => return None,
    };
    case.push_str(&expected);
    case.push('}');

    let mut hosts: Vec<(String, Mac, Place)> =
        telling.hosts.iter().map(|(mac, (name, first, _))| (name.clone(), *mac, *first)).collect();
    // Every port of a host is one of the network.
    for (index, station) in plan.stations.iter().enumerate() {
        if !hosts.iter().any(|(_, _, at)| at.end == station.at.end) {
            let other = 0x0200_0000_0000 + index as u64;
            hosts.push((format!("port{}", index + 1), other, station.at));
        }
    }
    let mut files = vec![("policy.yaml".to_owned(), policy(plan, &plan.rules[0], &hosts, &[case]))];
    for (n, rules) in plan.rules.iter().enumerate().skip(1) {
        files.push((revision(n), policy(plan, rules, &hosts, &[])));
    }
    Some(files)
}

fn revision(n: usize) -> String {
    format!("revision-{n}.yaml")
}

fn tell(plan: &Plan, wires: &Wires, step: &Step, telling: &mut Telling) {
    let up_down = |up: bool| if up { "up" } else { "down" };
    match step {
        Step::Link { link, up } => {
            let [a, b] = plan.links[*link];
            telling.say(format!("link {}-{} {}", a.name(), b.name(), up_down(*up)));
        }
        Step::Port { end, up } => telling.say(format!("port {} {}", end.name(), up_down(*up))),
        Step::Move { station, to } => {
            telling.say(format!("port {} down", wires.stations[*station].name()));
            telling.say(format!("port {} up", to.name()));
        }
        Step::Switch { switch, up } => {
            telling.say(format!("switch s{switch} {}", if *up { "starts" } else { "stops" }));
        }
        Step::Restart { switch } => telling.say(format!("switch s{switch} restarts")),
        Step::Controller => telling.say("controller restarts".to_owned()),
        Step::Revise { rules } => telling.say(format!("policy {}", revision(*rules))),
        Step::Pass { seconds } => telling.passed += Duration::from_secs(*seconds),
        Step::Say(_) | Step::Channel { .. } | Step::Secretly { .. } => {}
    }
}

/// The protocol fields of a frame.
fn fields(frame: &Frame) -> Option<String> {
    let sender = ip_of(own_mac(frame.station));
    let to = ip_of_dst(frame);
    let ports = |name: &str, s: u16, d: u16| format!("{name}_src: {s}, {name}_dst: {d}");
    let ip = format!("ipv4_src: {sender}, ipv4_dst: {to}");
    let text = match frame.kind {
        Kind::Plain => format!("eth_type: {:#06x}", eth_type(frame.kind)),
        Kind::Udp(s, d) => format!("eth_type: ipv4, ip_proto: udp, {ip}, {}", ports("udp", s, d)),
        Kind::Tcp(s, d) => format!("eth_type: ipv4, ip_proto: tcp, {ip}, {}", ports("tcp", s, d)),
        Kind::Icmp => format!("eth_type: ipv4, ip_proto: icmp, {ip}"),
        Kind::Arp => format!("eth_type: arp, arp_op: 1, arp_spa: {sender}, arp_tpa: {to}"),
        Kind::ArpReply => format!("eth_type: arp, arp_op: 2, arp_spa: {sender}, arp_tpa: {to}"),
        Kind::Nd(target) => {
            let target = std::net::Ipv6Addr::from(0xfe80_u128 << 112 | u128::from(target));
            format!("eth_type: ipv6, ip_proto: icmpv6, ipv6_nd_target: \"{target}\"")
        }
        Kind::Fragment | Kind::Lldp => return None,
    };
    Some(match frame.tags.first().map(|(_, tci)| (tci >> 13, tci & 0xfff)) {
        Some((pcp, vid)) if pcp != 0 || vid == 0 => format!("{text}, vlan_pcp: {pcp}"),
        _ => text,
    })
}

fn of_fate(fate: &Fate) -> String {
    match fate {
        Fate::Refused | Fate::Denied | Fate::Lost => "expect: refused".to_owned(),
        Fate::To(to) => format!("expect: forwarded, out: {}", place(*to)),
        Fate::All(places) => flooded(places),
    }
}

fn of_verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Drop(reason) => format!("expect: refused, because: {}", reason.code()),
        Verdict::Forward { to } => format!("expect: forwarded, out: {}", place(Place::of(*to))),
        Verdict::Flood { outputs } => {
            flooded(&outputs.iter().map(|at| Place::of(*at)).collect::<Vec<_>>())
        }
    }
}

fn flooded(places: &[Place]) -> String {
    let places: Vec<_> = places.iter().map(|at| place(*at)).collect();
    format!("expect: flooded, out: [{}]", places.join(", "))
}

// ---- scenarios ----

/// The same as a scenario.
pub fn scenario(plan: &Plan, found: &Difference) -> String {
    let mut text =
        format!("name: equivalence {}\nabout: {}\npolicy:\n", plan.seed, quoted(&found.what));
    indent(&mut text, &policy(plan, &plan.rules[0], &[], &[]), 2);
    if plan.rules.len() > 1 {
        text.push_str("revisions:\n");
        for (n, rules) in plan.rules.iter().enumerate().skip(1) {
            let _ = writeln!(text, "  r{n}:");
            indent(&mut text, &policy(plan, rules, &[], &[]), 4);
        }
    }
    text.push_str("steps:\n");
    for event in &found.events {
        let steps = match event {
            Event::Waited(time) => vec![format!("pass: {}", time.as_millis())],
            Event::Sent { frame, arrives } => vec![send(plan, frame, arrives)],
            Event::Step(step) => scenario_steps(plan, step),
        };
        steps.iter().for_each(|step| text.push_str(&format!("  - {{{step}}}\n")));
    }
    text
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "'"))
}

fn indent(text: &mut String, lines: &str, by: usize) {
    for line in lines.lines() {
        let _ = writeln!(text, "{:by$}{line}", "");
    }
}

fn send(plan: &Plan, frame: &Frame, arrives: &[(usize, u16)]) -> String {
    let host = |mac: Mac| (0..plan.stations.len()).find(|index| own_mac(*index) == mac);
    let to = match (frame.kind, frame.dst) {
        (Kind::Nd(target), _) => mac_text(target),
        (_, BROADCAST) => "all".to_owned(),
        (_, dst) => host(dst).map_or_else(|| mac_text(dst), station_name),
    };
    let kind = match frame.kind {
        Kind::Plain => "plain",
        Kind::Udp(..) => "udp",
        Kind::Tcp(..) => "tcp",
        Kind::Icmp => "icmp",
        Kind::Arp => "arp",
        Kind::ArpReply => "arp_reply",
        Kind::Nd(_) => "nd",
        Kind::Fragment => "fragment",
        Kind::Lldp => "lldp",
    };
    let ports = match frame.kind {
        Kind::Udp(s, d) | Kind::Tcp(s, d) => format!(", ports: [{s}, {d}]"),
        _ => String::new(),
    };
    let tags: Vec<_> =
        frame.tags.iter().map(|(tpid, tci)| format!("[{tpid:#06x}, {tci:#06x}]")).collect();
    let arrives: Vec<_> = arrives.iter().map(|(index, _)| station_name(*index)).collect();
    format!(
        "send: {{from: {}, to: {to}, kind: {kind}, src: {}, tags: [{}]{ports}}}, arrives: [{}]",
        station_name(frame.station),
        mac_text(frame.src),
        tags.join(", "),
        arrives.join(", ")
    )
}

fn scenario_steps(plan: &Plan, step: &Step) -> Vec<String> {
    let up_down = |up: bool| if up { "up" } else { "down" };
    match step {
        Step::Say(_) => vec![],
        Step::Link { link, up } => {
            let [a, b] = plan.links[*link];
            vec![format!("link: {}-{} {}", a.name(), b.name(), up_down(*up))]
        }
        Step::Port { end, up } => vec![format!("port: {} {}", end.name(), up_down(*up))],
        Step::Switch { switch, up: true } => vec![format!("switch: s{switch} start")],
        Step::Switch { switch, up: false } => {
            vec![format!("switch: s{switch} stop"), "pass: 20000".to_owned()]
        }
        Step::Restart { switch } => {
            vec![format!("switch: s{switch} stop"), format!("switch: s{switch} start")]
        }
        Step::Channel { switch } => {
            vec![format!("channel: s{switch} elsewhere"), "pass: 13000".to_owned()]
        }
        Step::Controller => {
            vec![
                "controller: kill".to_owned(),
                "controller: start".to_owned(),
                "pass: 13000".to_owned(),
            ]
        }
        Step::Revise { rules } => vec![format!("revise: r{rules}")],
        Step::Move { station, to } => {
            vec![format!("move: {} to {}", station_name(*station), to.name())]
        }
        Step::Pass { seconds } => vec![format!("pass: {}", seconds * 1000)],
        Step::Secretly { end } => vec![format!("port: {} down", end.name())],
    }
}

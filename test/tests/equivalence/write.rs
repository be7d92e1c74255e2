//! Plans as files: policies, cases for `umlaut test`, scenarios. Pure.

use std::fmt::Write;

use super::plan::*;

pub fn station_name(index: usize) -> String {
    format!("h{}", index + 1)
}

/// Whether all policies of a plan are without mistakes.
pub fn is_good(plan: &Plan) -> bool {
    let good = |rules| umlaut_slice_db::Policy::parse("p", &policy(plan, rules, &[], &[])).is_ok();
    plan.rules.iter().all(good)
}

/// The address that the policy file has for a station.
pub fn own_mac(index: usize) -> Mac {
    index as u64 + 1
}

pub fn mac_text(m: Mac) -> String {
    format!("\"{}\"", mac(m))
}

fn place(at: Place) -> String {
    match at.vlan {
        0 => format!("port: {}", at.end.name()),
        vlan => format!("port: {}, vlan: {vlan}", at.end.name()),
    }
}

fn member(member: &Member) -> String {
    match member {
        Member::Mac { mac, pins } if pins.is_empty() => format!("{{mac: {}}}", mac_text(*mac)),
        Member::Mac { mac, pins } => {
            let pins: Vec<_> = pins.iter().map(|pin| format!("{{{}}}", place(*pin))).collect();
            format!("{{mac: {}, only_at: [{}]}}", mac_text(*mac), pins.join(", "))
        }
        Member::PortMac { at, mac } => format!("{{{}, mac: {}}}", place(*at), mac_text(*mac)),
        Member::Port { at, restricted: false } => format!("{{{}}}", place(*at)),
        Member::Port { at, restricted: true } => {
            format!("{{{}, restrict_hosts: true}}", place(*at))
        }
    }
}

fn criterion(criterion: Criterion) -> String {
    match criterion {
        Criterion::EthSrc(mac) => format!("eth_src: {}", mac_text(mac)),
        Criterion::EthDst(mac) => format!("eth_dst: {}", mac_text(mac)),
        Criterion::EthType(value) => format!("eth_type: {value:#06x}"),
        Criterion::Vlan(value) => format!("vlan_vid: {value}"),
        Criterion::Untagged => "vlan_vid: none".to_owned(),
        Criterion::Pcp(value) => format!("vlan_pcp: {value}"),
        Criterion::IpProto(value) => format!("ip_proto: {value}"),
        Criterion::TcpDst(value) => format!("tcp_dst: {value}"),
        Criterion::UdpDst(value) => format!("udp_dst: {value}"),
        Criterion::TpSrc(value) => format!("tp_src: {value}"),
        Criterion::TpDst(value) => format!("tp_dst: {value}"),
        Criterion::Ipv4Src(value, bits) => format!("ipv4_src: {}", net(value, bits)),
        Criterion::Ipv4Dst(value, bits) => format!("ipv4_dst: {}", net(value, bits)),
        Criterion::ArpTpa(value) => format!("arp_tpa: 192.168.0.{value}"),
        Criterion::In(end) => format!("in_datapath: s{}, in_port: {}", end.switch, end.port),
    }
}

fn net(value: u8, bits: u8) -> String {
    let mask = (0xff00_u16 >> bits) as u8;
    format!("192.168.0.{}/{}", value & mask, 24 + bits)
}

/// A policy file. `more` are hosts besides the stations, for cases; `cases` their lines.
pub fn policy(
    plan: &Plan,
    rules: &Rules,
    more: &[(String, Mac, Place)],
    cases: &[String],
) -> String {
    let mut text = "umlaut: 1\n".to_owned();
    let switches: Vec<_> = (1..=plan.switches).map(|n| format!("s{n}: {n:#x}")).collect();
    let _ = writeln!(text, "switches: {{{}}}\nhosts:", switches.join(", "));
    let stations = plan.stations.iter().enumerate();
    let stations =
        stations.map(|(index, station)| (station_name(index), own_mac(index), station.at));
    let stations = stations.filter(|_| more.is_empty());
    for (name, mac, at) in stations.chain(more.iter().cloned()) {
        let vlan = if at.vlan == 0 { String::new() } else { format!(", vlan: {}", at.vlan) };
        let _ = writeln!(text, "  {name}: {{mac: {}, at: {}{vlan}}}", mac_text(mac), at.end.name());
    }
    text.push_str(if rules.slices.is_empty() { "slices: {}\n" } else { "slices:\n" });
    for slice in &rules.slices {
        let restricted = if slice.restricted { "restrict_hosts: true, " } else { "" };
        let members: Vec<_> = slice.members.iter().map(member).collect();
        let _ =
            writeln!(text, "  {}: {{{restricted}members: [{}]}}", slice.name, members.join(", "));
    }
    if !rules.filters.is_empty() {
        text.push_str("filters:\n");
    }
    for filter in &rules.filters {
        let slice = filter.slice.map_or(String::new(), |slice| format!("slice: {slice}, "));
        let criteria: Vec<_> = filter.criteria.iter().map(|c| criterion(*c)).collect();
        let action = if filter.allow { "allow" } else { "deny" };
        let (priority, criteria) = (filter.priority, criteria.join(", "));
        let _ = writeln!(
            text,
            "  - {{priority: {priority}, {slice}match: {{{criteria}}}, action: {action}}}"
        );
    }
    if !plan.links.is_empty() {
        let links: Vec<_> =
            plan.links.iter().map(|[a, b]| format!("[{}, {}]", a.name(), b.name())).collect();
        let _ = writeln!(text, "links: [{}]", links.join(", "));
    }
    let o = &rules.options;
    let options: Vec<&str> = [
        (o.restrict_hosts, "restrict_hosts: true"),
        (o.loose, "loose: true"),
        (o.reverse_flow, "reverse_flow: true"),
        (o.arp_packet_out, "arp_packet_out: true"),
        (o.deny, "filter_default: deny"),
        (o.exact, "match: exact"),
        (o.refuse_foreign, "macs_on_foreign_ports: refuse"),
        (o.declared_links, "links: declared"),
    ]
    .into_iter()
    .filter_map(|(set, text)| set.then_some(text))
    .collect();
    if !options.is_empty() {
        let _ = writeln!(text, "options: {{{}}}", options.join(", "));
    }
    if !cases.is_empty() {
        text.push_str("cases:\n");
        cases.iter().for_each(|case| text.push_str(&format!("  - {case}\n")));
    }
    text
}

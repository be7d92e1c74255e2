//! Policies of any size, the same at every run. Pure.

use std::fmt::Write;

use umlaut_openflow::packet::{Field, Headers, Tag};
use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo, Vid};
use umlaut_slice_db::{Binding, Location, Network, Policy, PortRole, SliceId};

/// How the members of a generated policy are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// `- {mac: "…", id: x}`: a line for each.
    Flow,
    /// A line for each key.
    Block,
}

/// A policy of `slices` slices that share `members` members of all three kinds: a third by MAC (one
/// in eight of them pinned), a third by port and MAC, a third by port with a VLAN. One in sixteen has
/// an id, one in sixteen names a host.
pub fn policy(slices: usize, members: usize, style: Style) -> String {
    let mut text = String::with_capacity(80 * members + 4096);
    text.push_str("umlaut: 1\nswitches:\n");
    let switches = (members / 100).clamp(1, 10_000);
    for n in 1..=switches {
        let _ = writeln!(text, "  s{n}: {n:#x}");
    }
    text.push_str("hosts:\n  nobody: {mac: \"0a:00:00:00:00:00\"}\n");
    for n in (0..members).filter(|n| host_of(*n)) {
        let _ = writeln!(text, "  host-{n}: {{mac: \"{}\"}}", mac(n));
    }
    text.push_str("slices:\n");
    let mut next = 0;
    for slice in 0..slices {
        let _ = writeln!(text, "  slice-{slice}:");
        let _ = writeln!(text, "    description: \"generated slice number {slice}\"");
        text.push_str("    members:\n");
        let end = members * (slice + 1) / slices;
        for n in next..end {
            let item = member(n, switches);
            let parts: Vec<&str> = item.iter().map(String::as_str).collect();
            match style {
                Style::Flow => {
                    let _ = writeln!(text, "      - {{{}}}", parts.join(", "));
                }
                Style::Block => {
                    let _ = writeln!(text, "      - {}", parts.join("\n        "));
                }
            }
        }
        next = end;
    }
    text
}

fn host_of(n: usize) -> bool {
    n % 16 == 2
}

/// The MAC address of a member.
pub fn mac(n: usize) -> String {
    let b = (n as u64).to_be_bytes();
    format!("02:00:{:02x}:{:02x}:{:02x}:{:02x}", b[4], b[5], b[6], b[7])
}

/// The keys of a member.
fn member(n: usize, switches: usize) -> Vec<String> {
    let place = |k: usize| format!("port: s{}/{}", k % switches + 1, k / switches % 48 + 1);
    let who = match host_of(n) {
        true => format!("host: host-{n}"),
        false => format!("mac: \"{}\"", mac(n)),
    };
    let mut parts = match n % 3 {
        0 if n.is_multiple_of(24) => {
            let k = n * 7;
            let pin = |k: usize| place(k).replace("port: ", "");
            vec![who, format!("only_at: [{}, {}]", pin(k), pin(k + 1))]
        }
        0 => vec![who],
        1 => vec![place(n), who],
        _ => vec![place(n), format!("vlan: {}", n / switches / 48 % 4000 + 1)],
    };
    if n % 16 == 5 {
        parts.push(format!("id: member-{n}"));
    }
    parts
}

/// A network in which every port is up and hosts are where they are said to be.
#[derive(Default)]
pub struct Located {
    hosts: std::collections::HashMap<(SliceId, MacAddr), Location, foldhash::fast::RandomState>,
}

impl Located {
    /// A host is there.
    pub fn put(&mut self, slice: SliceId, mac: MacAddr, at: Attachment) {
        self.hosts.insert((slice, mac), Location { at, tentative: false });
    }
}

impl Network for Located {
    fn locate(&self, slice: SliceId, mac: MacAddr) -> Option<Location> {
        self.hosts.get(&(slice, mac)).copied()
    }

    fn may_appear(&self, _: SliceId, _: MacAddr, _: Attachment) -> bool {
        true
    }

    fn learned_points(&self, _: SliceId, _: &mut dyn FnMut(Attachment, MacAddr)) {}

    fn port(&self, _: DatapathId, _: PortNo) -> PortRole {
        PortRole::Edge
    }

    fn edge_ports(&self, _: &mut dyn FnMut(DatapathId, PortNo)) {}

    fn other_slice_at(&self, _: SliceId, _: DatapathId, _: PortNo) -> bool {
        false
    }

    fn reachable(&self, _: DatapathId, _: DatapathId) -> bool {
        true
    }
}

/// By which kind of member a sender speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Its MAC address.
    Mac,
    /// Its MAC address on its port.
    PortMac,
    /// Its port.
    Port,
    /// None.
    Nothing,
}

/// A frame where it came in.
pub type Sent = (DatapathId, PortNo, Headers);

/// Up to `most` frames between members of one kind, each to another member of the sender's slice,
/// which is located; or of senders that nothing binds, on ports that nothing binds.
pub fn frames(policy: &Policy, kind: Kind, most: usize) -> (Located, Vec<Sent>) {
    let mut network = Located::default();
    let mut all = Vec::new();
    let nowhere = |n: usize| Attachment {
        dpid: DatapathId(1 << 40),
        port: PortNo(n as u32 % 48 + 1),
        vid: Vid::Untagged,
    };
    if kind == Kind::Nothing {
        for n in 0..most {
            let src = MacAddr::from_u64(0x0600_0000_0000 + n as u64);
            all.push((src, MacAddr::from_u64(0x0700_0000_0000), nowhere(n)));
        }
    }
    'slices: for (slice, _) in policy.slices().filter(|_| kind != Kind::Nothing) {
        let mut hosts = Vec::new();
        for (_, member) in policy.members(slice) {
            let n = all.len() + hosts.len();
            let (mac, at) = match (kind, member.binding) {
                (Kind::Mac, Binding::Mac { mac, only_at: None }) => (mac, nowhere(n)),
                (Kind::PortMac, Binding::PortMac { at, mac }) => (mac, at),
                (Kind::Port, Binding::Port { at, .. }) => {
                    (MacAddr::from_u64(0x0600_0000_0000 + n as u64), at)
                }
                _ => continue,
            };
            network.put(slice, mac, at);
            hosts.push((mac, at));
            if hosts.len() == 8 {
                break;
            }
        }
        for (n, (mac, at)) in hosts.iter().enumerate() {
            all.push((*mac, hosts[(n + 1) % hosts.len()].0, *at));
            if all.len() == most {
                break 'slices;
            }
        }
    }
    let headers = |src, dst, at: Attachment| Headers {
        eth_src: src,
        eth_dst: dst,
        tag: match at.vid {
            Vid::Untagged => Tag::None,
            Vid::Tagged(vid) => Tag::Vlan { vid, pcp: 0 },
        },
        eth_type: Field::Is(0x800),
        ip_proto: Field::Is(6),
        ip_dscp: Field::Is(0),
        ipv4_src: Field::Is([10, 0, 0, 1].into()),
        ipv4_dst: Field::Is([10, 0, 0, 2].into()),
        tp_src: Field::Is(40_000),
        tp_dst: Field::Is(443),
        ..Headers::default()
    };
    let sent = all.into_iter().map(|(src, dst, at)| (at.dpid, at.port, headers(src, dst, at)));
    (network, sent.collect())
}

/// The same policy with so many filters in so many shapes, none of which a frame of [`frames`] matches.
pub fn filters(rules: usize, shapes: usize) -> String {
    let mut text = "filters:\n".to_owned();
    for n in 0..rules {
        let k = n / shapes;
        let address = format!("192.168.{}.{}", k / 256 % 256, k % 256);
        let mac = mac(1 << 31 | k);
        let criteria = match n % shapes {
            0 => format!("eth_type: ipv4, ipv4_src: {address}"),
            1 => format!("eth_type: ipv4, ipv4_dst: {address}"),
            2 => format!("eth_type: ipv4, ipv4_src: {address}, ipv4_dst: 172.16.0.1"),
            3 => format!("eth_type: ipv4, ip_proto: tcp, ipv4_dst: {address}, tcp_dst: 23"),
            4 => format!("eth_src: \"{mac}\""),
            5 => format!("eth_dst: \"{mac}\""),
            6 => format!("eth_src: \"{mac}\", eth_dst: \"ff:ff:ff:ff:ff:ff\""),
            7 => format!("in_port: {}, eth_dst: \"{mac}\"", k % 48 + 100),
            8 => format!("ip_proto: tcp, eth_type: ipv4, tcp_src: {}", k % 30_000 + 1),
            _ => format!("ip_proto: udp, eth_type: ipv4, udp_dst: {}", k % 30_000 + 1),
        };
        let _ = writeln!(text, "  - {{match: {{{criteria}}}, action: deny, priority: {}}}", n % 7);
    }
    text
}

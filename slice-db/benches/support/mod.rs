//! Policies of any size, the same at every run. Pure.

use std::fmt::Write;

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
        0 if n % 24 == 0 => {
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

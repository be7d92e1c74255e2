//! Answers of a lab for people. Pure.

use super::super::ask::Table;
use super::Listed;
use super::protocol::{HostStats, Status, SwitchFlows};

/// How a lab stands.
pub(super) fn status(status: &Status) -> String {
    let mut text = headline(status);
    let mut switches = Table::new(["SWITCH", "DATAPATH", "STATE"]);
    for row in &status.switches {
        switches.row([row.name.clone(), row.dpid.clone(), row.state.clone()]);
    }
    let mut hosts = Table::new(["HOST", "MAC", "IP", "VLAN", "AT", "STATE", "NAMESPACE"]);
    for row in &status.hosts {
        hosts.row([
            row.name.clone(),
            row.mac.clone(),
            row.ip.clone().unwrap_or_default(),
            row.vlan.map(|vid| vid.to_string()).unwrap_or_default(),
            row.at.clone().unwrap_or_default(),
            row.state.clone(),
            row.namespace.clone().unwrap_or_default(),
        ]);
    }
    let mut links = Table::new(["LINK", "STATE"]);
    for row in &status.links {
        links.row([row.name.clone(), if row.up { "up" } else { "down" }.to_owned()]);
    }
    for row in &status.interfaces {
        links.row([format!("{}-{}", row.at, row.interface), "interface".to_owned()]);
    }
    for (table, is_empty) in [
        (switches, status.switches.is_empty()),
        (hosts, status.hosts.is_empty()),
        (links, status.links.is_empty() && status.interfaces.is_empty()),
    ] {
        if !is_empty {
            text.push('\n');
            text.push_str(&table.text());
        }
    }
    if !status.ports_down.is_empty() {
        text.push_str(&format!("\nports down: {}\n", status.ports_down.join(", ")));
    }
    text
}

/// `1 switch`, `2 switches`.
fn number(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A lab in a line or two.
pub(super) fn headline(status: &Status) -> String {
    let Status { name, ground, controller, openflow, policy, .. } = status;
    let (switches, hosts) = (status.switches.len(), status.hosts.len());
    let connected = status.switches.iter().filter(|row| row.state == "connected").count();
    let mut text = format!(
        "lab {name}: {policy} on {ground}: {}, {}, {}\n",
        number(switches, "switch", "switches"),
        number(hosts, "host", "hosts"),
        number(status.links.len(), "link", "links"),
    );
    text.push_str(&match connected == switches {
        true => format!("controller {controller}, OpenFlow {openflow}: connected\n"),
        false => format!(
            "controller {controller}, OpenFlow {openflow}: {connected} of {switches} switches are \
             connected; the others keep trying\n"
        ),
    });
    for note in &status.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text
}

/// The labs that run.
pub(super) fn list(labs: &[Listed]) -> String {
    let mut others = String::new();
    let mut table = Table::new([
        "LAB",
        "GROUND",
        "CONTROLLER",
        ">CONNECTED",
        ">SWITCHES",
        ">HOSTS",
        ">LINKS",
        ">PID",
        "POLICY",
    ]);
    for lab in labs {
        let lab = match lab {
            Listed::Running { status, .. } => status,
            Listed::Other { name, state } => {
                let is = if *state == "does not answer" { "" } else { "is " };
                others.push_str(&format!("lab {name} {is}{state}\n"));
                continue;
            }
        };
        let connected = lab.switches.iter().filter(|row| row.state == "connected").count();
        table.row([
            lab.name.clone(),
            lab.ground.clone(),
            lab.controller.clone(),
            connected.to_string(),
            lab.switches.len().to_string(),
            lab.hosts.len().to_string(),
            lab.links.len().to_string(),
            lab.pid.to_string(),
            lab.policy.clone(),
        ]);
    }
    match table.is_empty() {
        true => others,
        false => table.text() + &others,
    }
}

/// What hosts have sent and received.
pub(super) fn stats(hosts: &[HostStats], tx: bool, rx: bool) -> String {
    let mut table = Table::new(["HOST", "", "PROTOCOL", "FROM", "TO", ">PACKETS", ">BYTES"]);
    let mut notes = String::new();
    for host in hosts {
        for (rows, word) in [(&host.sent, "sent"), (&host.received, "received")] {
            if !(word == "sent" && tx || word == "received" && rx) {
                continue;
            }
            for row in rows {
                table.row([
                    host.host.clone(),
                    word.to_owned(),
                    row.protocol.clone(),
                    end(&row.src, row.tp_src),
                    end(&row.dst, row.tp_dst),
                    row.packets.to_string(),
                    row.bytes.to_string(),
                ]);
            }
        }
        if host.others > 0 && rx {
            notes.push_str(&format!("{}: {} frames for others arrived\n", host.host, host.others));
        }
        if host.uncounted > 0 {
            let (name, uncounted) = (&host.host, host.uncounted);
            notes.push_str(&format!("{name}: {uncounted} frames of further conversations\n"));
        }
        if host.deaf && rx {
            let name = &host.host;
            notes.push_str(&format!("{name}: tcpdump there has ended, arrivals are not counted\n"));
        }
    }
    match table.is_empty() {
        true if notes.is_empty() => "nothing yet\n".to_owned(),
        true => notes,
        false => table.text() + &notes,
    }
}

/// An address with its port, if it has one.
fn end(address: &str, port: u16) -> String {
    match port {
        0 => address.to_owned(),
        port if address.matches(':').count() > 1 => format!("[{address}]:{port}"),
        port => format!("{address}:{port}"),
    }
}

/// The flow entries of switches.
pub(super) fn flows(switches: &[SwitchFlows]) -> String {
    let mut text = String::new();
    for switch in switches {
        if switches.len() > 1 {
            text.push_str(&format!("{}:\n", switch.switch));
        }
        let indent = if switches.len() > 1 { "  " } else { "" };
        for flow in &switch.flows {
            text.push_str(&format!("{indent}{flow}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::protocol::TalkRow;
    use super::*;

    #[test]
    fn stats_are_a_table_of_conversations() {
        let row = |src: &str, tp_src, dst: &str, packets| TalkRow {
            protocol: "udp".to_owned(),
            src: src.to_owned(),
            tp_src,
            dst: dst.to_owned(),
            tp_dst: 2,
            packets,
            bytes: 50 * packets,
        };
        let hosts = [
            HostStats {
                host: "alice".to_owned(),
                sent: vec![row("192.168.0.1", 1, "192.168.0.2", 10)],
                received: vec![row("fd00::2", 0, "fd00::1", 1)],
                others: 3,
                uncounted: 0,
                deaf: false,
            },
            HostStats {
                host: "bob".to_owned(),
                sent: Vec::new(),
                received: Vec::new(),
                others: 0,
                uncounted: 0,
                deaf: false,
            },
        ];
        assert_eq!(
            stats(&hosts, true, true),
            "HOST             PROTOCOL  FROM           TO             PACKETS  BYTES\n\
             alice  sent      udp       192.168.0.1:1  192.168.0.2:2       10    500\n\
             alice  received  udp       fd00::2        [fd00::1]:2          1     50\n\
             alice: 3 frames for others arrived\n"
        );
        assert!(!stats(&hosts, true, false).contains("received"));
        assert!(!stats(&hosts, false, true).contains("sent"));
        assert_eq!(stats(&hosts[1..], true, true), "nothing yet\n");
        let deaf = [HostStats { deaf: true, ..hosts[1].clone() }];
        assert_eq!(
            stats(&deaf, false, true),
            "bob: tcpdump there has ended, arrivals are not counted\n"
        );
    }
}

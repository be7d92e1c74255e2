//! What a running lab does when it is asked, but for sending. Runtime: it acts on the network.

use umlaut_openflow::VlanId;
use umlaut_testbed::lab::{Burst, Flows, GroundKind, Kind, Lab, LabProblem, Talk};

use super::flows::line;
use super::protocol::{self as said, Answer, Sending, Status, What};

/// What everybody may know of a lab.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) name: String,
    pub(super) controller: String,
    pub(super) openflow: String,
    pub(super) policy: String,
}

/// Does what is asked. Sending and the end are not done here.
///
/// # Errors
/// What the lab says.
pub(super) fn answer(lab: &Lab, about: &About, what: &What) -> Result<Answer, LabProblem> {
    let done = |()| Answer::Done;
    match what {
        What::Status => Ok(Answer::Status(Box::new(status(lab, about)))),
        What::Stats { hosts } => {
            let rows = chosen(lab, hosts)?.into_iter().map(|host| stats(lab, host));
            Ok(Answer::Stats(rows.collect()))
        }
        What::Reset { hosts } => {
            chosen(lab, hosts)?.into_iter().for_each(|host| lab.reset_traffic(host));
            Ok(Answer::Done)
        }
        What::Promiscuous { host, on } => {
            lab.set_promiscuous(lab.plan().host(host)?, *on);
            Ok(Answer::Done)
        }
        What::Flows { switches } => flows(lab, switches).map(Answer::Flows),
        What::Port { port, up } => lab.set_port(lab.plan().place(port)?, *up).map(done),
        What::Link { link, up } => lab.set_cable(link, *up).map(done),
        What::Machine { name, on } => lab.set_machine(lab.plan().machine(name)?, *on).map(done),
        What::Move { host, to } => {
            let (host, to) = (lab.plan().host(host)?, lab.plan().place(to)?);
            lab.move_host(host, to).map(done)
        }
        What::Namespace { host } => lab.namespace(lab.plan().host(host)?).map(Answer::Namespace),
        What::Hello | What::Send(_) | What::Down => Ok(Answer::Done),
    }
}

/// The hosts of these names, or all.
fn chosen(lab: &Lab, names: &[String]) -> Result<Vec<usize>, LabProblem> {
    match names {
        [] => Ok((0..lab.plan().topology.hosts.len()).collect()),
        names => names.iter().map(|name| lab.plan().host(name)).collect(),
    }
}

fn flows(lab: &Lab, names: &[String]) -> Result<Vec<said::SwitchFlows>, LabProblem> {
    let dpids: Vec<_> = match names {
        [] => lab.plan().topology.switches.iter().map(|switch| switch.dpid).collect(),
        names => names.iter().map(|name| lab.plan().switch(name)).collect::<Result<_, _>>()?,
    };
    let mut all = Vec::with_capacity(dpids.len());
    for dpid in dpids {
        let flows = match lab.flows(dpid)? {
            Flows::Entries(entries) => entries.iter().map(line).collect(),
            // The first line names the reply.
            Flows::Text(text) => text
                .lines()
                .filter(|line| line.contains("actions="))
                .map(|line| line.trim().to_owned())
                .collect(),
        };
        all.push(said::SwitchFlows { switch: lab.plan().switch_name(dpid), flows });
    }
    Ok(all)
}

fn stats(lab: &Lab, host: usize) -> said::HostStats {
    let traffic = lab.traffic(host);
    let row = |(talk, count): (&Talk, &umlaut_testbed::host::Count)| said::TalkRow {
        protocol: talk.protocol.to_string(),
        src: talk.src.to_string(),
        tp_src: talk.tp_src,
        dst: talk.dst.to_string(),
        tp_dst: talk.tp_dst,
        packets: count.packets,
        bytes: count.bytes,
    };
    said::HostStats {
        host: lab.plan().topology.hosts[host].name.clone(),
        sent: traffic.sent.iter().map(row).collect(),
        received: traffic.received.iter().map(row).collect(),
        others: traffic.others,
        uncounted: traffic.uncounted,
        deaf: lab.is_deaf(host),
    }
}

fn status(lab: &Lab, about: &About) -> Status {
    let (plan, standing) = (lab.plan(), lab.standing());
    let connected = lab.connected();
    let topology = &plan.topology;
    let switches = topology.switches.iter().zip(connected).map(|(switch, connected)| {
        let state = match (standing.switches_off.contains(&switch.dpid), connected) {
            (true, _) => "stopped",
            (false, true) => "connected",
            (false, false) => "not connected",
        };
        said::SwitchRow {
            name: switch.name.clone(),
            dpid: switch.dpid.to_string(),
            state: state.to_owned(),
        }
    });
    let hosts = topology.hosts.iter().enumerate().map(|(index, host)| {
        let state = match standing.places[index] {
            _ if standing.hosts_off[index] => "stopped",
            None => "unplugged",
            Some(_) if standing.hosts_out[index] => "link down",
            Some(_) => "running",
        };
        let v6 = || host.ipv6.map(|ip| ip.to_string());
        said::HostRow {
            name: host.name.clone(),
            mac: host.mac.to_string(),
            ip: host.ipv4.map(|ip| ip.to_string()).or_else(v6),
            vlan: host.vlan.map(VlanId::number),
            at: standing.places[index].map(|at| plan.port_name(at)),
            state: state.to_owned(),
            namespace: lab.namespace(index).ok(),
        }
    });
    let links = (0..topology.links.len())
        .map(|link| said::LinkRow { name: plan.link_name(link), up: !standing.links_out[link] });
    let interfaces = plan
        .interfaces
        .iter()
        .map(|(at, name)| said::InterfaceRow { interface: name.clone(), at: plan.port_name(*at) });
    let about = about.clone();
    Status {
        name: about.name,
        ground: match lab.kind() {
            GroundKind::Emulated => "emulated".to_owned(),
            GroundKind::OpenVSwitch => "ovs".to_owned(),
        },
        controller: about.controller,
        openflow: about.openflow,
        policy: about.policy,
        pid: std::process::id(),
        switches: switches.collect(),
        hosts: hosts.collect(),
        links: links.collect(),
        interfaces: interfaces.collect(),
        ports_down: standing.ports_down.iter().map(|port| plan.port_name(*port)).collect(),
        notes: lab.notes(),
    }
}

/// What a burst is to consist of.
///
/// # Errors
/// A VLAN that there is not.
pub(super) fn burst(sending: &Sending) -> Result<Burst, LabProblem> {
    let vlan = match sending.vlan {
        None => None,
        Some(0) => Some(None),
        Some(vid) => match VlanId::new(vid) {
            Some(vid) => Some(Some(vid)),
            None => {
                return Err(LabProblem::Refused(format!("{vid} is not a VLAN id (1 to 4094)")));
            }
        },
    };
    let kind = sending.kind.map(|kind| match kind {
        said::Kind::Udp => Kind::Udp,
        said::Kind::Tcp => Kind::Tcp,
        said::Kind::Icmp => Kind::Icmp,
        said::Kind::Arp => Kind::Arp,
        said::Kind::Broadcast => Kind::Broadcast,
    });
    Ok(Burst {
        kind,
        length: sending.length,
        tp_src: sending.tp_src,
        tp_dst: sending.tp_dst,
        inc_ip_src: sending.inc_ip_src,
        inc_ip_dst: sending.inc_ip_dst,
        inc_tp_src: sending.inc_tp_src,
        inc_tp_dst: sending.inc_tp_dst,
        inc_payload: sending.inc_payload,
        vlan,
    })
}

//! `umlaut run --lab emulated`: a network of emulated switches and hosts around the controller, and
//! a table of who reaches whom in it, and why the others do not. Runtime.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use umlaut_openflow::packet::{Field, Headers, Tag};
use umlaut_openflow::{Attachment, Version, Vid};
use umlaut_slice_db::{Ingress, OfflineNetwork, Policy, explain};
use umlaut_testbed::{EmulatedLab, Reach, Topology};

/// Hosts that try each other. More would print more than anybody reads.
const TRIED_HOSTS: usize = 24;
/// No new pair was reached for this long: the others are not.
const QUIET: Duration = Duration::from_secs(3);
/// How long the hosts try at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// Brings the network up against the controller at `address`.
///
/// # Errors
/// A description that is no network.
pub(in crate::commands) fn start(
    topology: &Topology,
    address: SocketAddr,
    version: Version,
) -> anyhow::Result<EmulatedLab> {
    EmulatedLab::start(topology, address, version).context("--lab emulated")
}

/// Lets the hosts talk and prints who reaches whom. Blocks until that is known.
///
/// # Errors
/// Standard output cannot be written.
pub(in crate::commands) fn report(
    lab: &EmulatedLab,
    topology: &Topology,
    policy: Option<&Policy>,
) -> std::io::Result<()> {
    let out = std::io::stdout();
    let mut out = out.lock();
    let (switches, hosts, links) =
        (topology.switches.len(), topology.hosts.len(), topology.links.len());
    writeln!(
        out,
        "lab: {switches} switches, {hosts} hosts, {links} links; letting the hosts talk"
    )?;
    if hosts > TRIED_HOSTS {
        writeln!(out, "lab: more than {TRIED_HOSTS} hosts: they are not tried one by one")?;
        return out.flush();
    }
    let reaches = lab.reachability(QUIET, PATIENCE);
    let width = topology.hosts.iter().map(|host| host.name.chars().count()).max().unwrap_or(0);
    for Reach { from, to, reached, .. } in &reaches {
        let why = match (reached, policy) {
            (true, _) => "reaches".to_owned(),
            (false, None) => "does not reach".to_owned(),
            (false, Some(policy)) => format!("does not reach: {}", why(policy, from, to)),
        };
        writeln!(out, "  {from:<width$} -> {to:<width$}  {why}")?;
    }
    let reached = reaches.iter().filter(|reach| reach.reached).count();
    writeln!(out, "lab: {reached} of {} pairs reach each other; running on", reaches.len())?;
    out.flush()
}

/// Why the policy keeps two hosts apart.
fn why(policy: &Policy, from: &str, to: &str) -> String {
    let (Some(from), Some(to)) = (policy.host(from), policy.host(to)) else {
        return "no such host".to_owned();
    };
    let Some(Attachment { dpid, port, vid }) = from.at else { return "it is nowhere".to_owned() };
    let tag = match vid {
        Vid::Untagged => Tag::None,
        Vid::Tagged(vid) => Tag::Vlan { vid, pcp: 0 },
    };
    let headers = Headers {
        eth_src: from.mac,
        eth_dst: to.mac,
        tag,
        eth_type: Field::Is(0x0800),
        ..Headers::default()
    };
    let network = OfflineNetwork::from_policy(policy);
    let told = explain(policy, &network, Ingress { dpid, port, headers: &headers });
    match (told.verdict, told.slice) {
        // What goes out does not come back from where the other is refused.
        ("flood", Some(slice)) => format!("{} is not known in slice {slice}", to.name),
        _ => told.conclusion.trim_start_matches("DROP ").to_owned(),
    }
}

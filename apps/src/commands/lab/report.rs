//! `umlaut run --lab …`: a table of who reaches whom in the lab beside the controller, and why the
//! others do not. Runtime.

use std::io::Write;
use std::time::Duration;

use umlaut_openflow::packet::{Field, Headers, Tag};
use umlaut_openflow::{Attachment, Vid};
use umlaut_slice_db::{Ingress, OfflineNetwork, Policy, explain};
use umlaut_testbed::Reach;

use super::serve::Served;

/// Hosts that try each other. More would print more than anybody reads.
const TRIED_HOSTS: usize = 24;
/// No new pair was reached for this long: the others are not.
const QUIET: Duration = Duration::from_secs(3);
/// How long the hosts try at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// Lets the hosts talk and prints who reaches whom. Blocks until that is known, or the lab is to end.
/// The counts of the hosts begin anew.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn report(
    served: &Served,
    policy: Option<&Policy>,
    go_on: impl Fn() -> bool,
) -> std::io::Result<()> {
    let out = std::io::stdout();
    let mut out = out.lock();
    let Some(topology) = served.with_lab(|lab| lab.plan().topology.clone()) else { return Ok(()) };
    let placed = topology.hosts.iter().filter(|host| host.at.is_some()).count();
    let (switches, hosts, links) =
        (topology.switches.len(), topology.hosts.len(), topology.links.len());
    writeln!(
        out,
        "lab: {switches} switches, {hosts} hosts, {links} links; letting the hosts talk"
    )?;
    if placed > TRIED_HOSTS {
        writeln!(out, "lab: more than {TRIED_HOSTS} hosts: they are not tried one by one")?;
        return out.flush();
    }
    let talk = |lab: &umlaut_testbed::lab::Lab| {
        lab.wait_connected(PATIENCE, |time| {
            std::thread::sleep(time);
            go_on()
        });
        let reaches = lab.reachability(QUIET, PATIENCE, &go_on);
        (0..hosts).for_each(|host| lab.reset_traffic(host));
        reaches
    };
    let Some(reaches) = served.with_lab(talk) else { return Ok(()) };
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

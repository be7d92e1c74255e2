//! The slices of the policy in force, and how many of their hosts are there. Runtime.

use std::collections::HashMap;

use serde_json::{Value, json, to_value};
use umlaut_controller::Domain;
use umlaut_slice_db::{Binding, Policy};

use super::{Control, Vocabulary};
use crate::control::protocol::Problem;
use crate::control::rows::{MemberRow, SliceRow};
use crate::control::server::{Ended, Writer};

pub(super) async fn answer<P: Vocabulary>(
    control: &Control<P>,
    writer: &mut Writer,
) -> Result<Value, Ended> {
    let world = control.shared.world.load();
    let Some(slices) = world.policy.slices() else {
        return Err(Problem::new("unsupported", "this application has no slices").into());
    };
    let located = located(control).await;
    let policy = &slices.policy;
    for (slice, name) in policy.slices() {
        let members = policy.members(slice).map(|(_, member)| MemberRow {
            id: member.id.to_string(),
            binds: binds(policy, &member.binding),
        });
        let row = SliceRow {
            slice: name.to_owned(),
            description: policy.slice_description(slice).to_owned(),
            restrict_hosts: policy.is_restricted(slice),
            members: members.collect(),
            hosts: located.get(&slices.domain(slice)).copied().unwrap_or(0),
        };
        writer.row(to_value(row)).await?;
    }
    Ok(json!({}))
}

async fn located<P: Vocabulary>(control: &Control<P>) -> HashMap<Domain, usize> {
    let mut located: HashMap<Domain, usize> = HashMap::new();
    for (dpid, port) in control.shared.net.hosts.occupied_ports() {
        control.shared.net.hosts.at_port(dpid, port, &mut |(domain, _), entry| {
            if !entry.tentative {
                *located.entry(domain).or_default() += 1;
            }
        });
        tokio::task::yield_now().await;
    }
    located
}

/// What a member binds, as people say it.
fn binds(policy: &Policy, binding: &Binding) -> String {
    match binding {
        Binding::Mac { mac, only_at: None } => policy.mac_name(*mac),
        Binding::Mac { mac, only_at: Some(pins) } => {
            let pins: Vec<_> = pins.iter().map(|at| policy.attachment_name(*at)).collect();
            format!("{} only at {}", policy.mac_name(*mac), pins.join(", "))
        }
        Binding::PortMac { at, mac } => {
            format!("{} on {}", policy.mac_name(*mac), policy.attachment_name(*at))
        }
        Binding::Port { at, restricted: false } => policy.attachment_name(*at),
        Binding::Port { at, restricted: true } => {
            format!("{}, listed hosts only", policy.attachment_name(*at))
        }
    }
}

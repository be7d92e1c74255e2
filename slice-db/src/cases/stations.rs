//! Who stands where, as cases see it. Pure.

use std::net::IpAddr;

use umlaut_openflow::{Attachment, MacAddr};

use super::Peer;
use super::frame::End;
use crate::policy::{Binding, Policy, SliceId, admit};

/// A host with a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Station {
    /// Its name, or what it stands for: `a host at s1/3`.
    pub name: String,
    /// Its MAC address.
    pub mac: MacAddr,
    /// Its IP address.
    pub ip: Option<IpAddr>,
    /// Where it is.
    pub at: Attachment,
    /// Whether it is not in the file but stands for whoever a member admits.
    pub stand_in: bool,
}

impl Station {
    pub(crate) fn end(&self) -> End {
        End { mac: self.mac, ip: self.ip }
    }
}

/// The hosts of the file that have a place, in its order.
pub(crate) fn hosts(policy: &Policy) -> impl Iterator<Item = Station> + '_ {
    policy.hosts().filter_map(|host| {
        Some(Station {
            name: host.name.clone(),
            mac: host.mac,
            ip: host.ip,
            at: host.at?,
            stand_in: false,
        })
    })
}

/// The stations of a peer: a host; or every host that the policy admits to the slice where it is,
/// and for each port, and each MAC address with a port, that a member names and none of these hosts
/// uses, one that stands for whoever it admits.
pub fn stations(policy: &Policy, peer: &Peer) -> Vec<Station> {
    match peer {
        Peer::Host(name) => hosts(policy).filter(|station| station.name == *name).collect(),
        Peer::Slice(slice) => of_slice(policy, *slice),
    }
}

fn of_slice(policy: &Policy, slice: SliceId) -> Vec<Station> {
    let mut used = Vec::new();
    let mut found: Vec<Station> = hosts(policy)
        .filter(|station| {
            let admission = admit(policy, station.at, station.mac);
            let member = admission.ok().filter(|admission| admission.slice == slice);
            used.extend(member.map(|admission| admission.member));
            member.is_some()
        })
        .collect();
    for (id, member) in policy.members(slice).filter(|(id, _)| !used.contains(id)) {
        let mut stand_in = |mac: Option<MacAddr>, at: Attachment| {
            let place = policy.attachment_name(at);
            let (name, mac) = match mac {
                Some(mac) => (format!("{mac} at {place}"), mac),
                None => (format!("a host at {place}"), stranger(policy, u64::from(id.0))),
            };
            let admitted = admit(policy, at, mac).is_ok_and(|a| a.member == id);
            // Where hosts of the file stand already they speak for the place.
            if admitted {
                found.push(Station { name, mac, ip: None, at, stand_in: true });
            }
        };
        match &member.binding {
            Binding::Mac { only_at: None, .. } => {}
            Binding::Mac { mac, only_at: Some(pins) } => {
                pins.iter().for_each(|at| stand_in(Some(*mac), *at));
            }
            Binding::PortMac { at, mac } => stand_in(Some(*mac), *at),
            Binding::Port { at, .. } => stand_in(None, *at),
        }
    }
    found
}

/// Locally administered addresses (IEEE 802 §8.4) that no file is likely to name.
const STRANGERS: u64 = 0x02_75_6d_00_00_00;

/// The first address from the `n`th on that no member or host has.
fn stranger(policy: &Policy, n: u64) -> MacAddr {
    let taken = |mac: &MacAddr| policy.by_mac(*mac).is_some() || policy.host_of(*mac).is_some();
    // There are more addresses than members.
    let mut free = (n..).map(|n| MacAddr::from_u64(STRANGERS + n)).filter(|mac| !taken(mac));
    free.next().unwrap_or_default()
}

/// An address that no host, member or other station has.
pub(crate) fn unknown_mac(policy: &Policy) -> MacAddr {
    stranger(policy, policy.bindings.len() as u64)
}

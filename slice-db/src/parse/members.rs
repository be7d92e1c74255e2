//! Slices and their members. Pure.

use std::collections::HashMap;

use umlaut_openflow::{Attachment, MacAddr};

use super::reader::{At, Fields, Reader};
use super::{key_of, read_port, read_vid};
use crate::policy::{Binding, Member, MemberId, Point, Policy, Slice, SliceId};
use crate::values;
use crate::yaml::{Hop, Place};

const MEMBER: &str = "a member ({mac: …}, {host: …}, {port: …} or {port: …, host: …})";

/// Where members stand, for the other side of conflicts.
struct Places(Vec<Place>);

pub(super) fn read_slices(r: &mut Reader, at: &At<'_>, policy: &mut Policy) {
    let Some(entries) = r.entries(at, "a map of slices") else { return };
    let mut places = Places(Vec::new());
    for (name, key, value) in entries {
        let good = r.name(&name, &key, "slice");
        let known = ["description", "restrict_hosts", "members"];
        let wanted = "a slice ({members: [...]})";
        let Some(fields) = r.fields(&value, wanted, &known) else { continue };
        let text = fields.get("description").and_then(|at| r.text(at, "a description"));
        let restricted = fields.get("restrict_hosts").and_then(|at| r.bool(at));
        let restricted = restricted.unwrap_or(false) || policy.options.restrict_hosts;
        let id = SliceId(policy.slices.len() as u32);
        let first = policy.members.len() as u32;
        policy.slices.push(Slice {
            name: name.clone().into(),
            description: text.unwrap_or_default().into(),
            members: first..first,
            points: Vec::new(),
            has_macs: false,
            restricted,
        });
        if good {
            policy.slices_by_name.insert(name.clone().into(), id);
        }
        let entry = match fields.get("members").map(|at| at.place.0.last()) {
            Some(Some(Hop::Value(entry))) => *entry,
            _ => u32::MAX,
        };
        policy.member_entries.push(entry);
        let slice_entry = match value.place.0.last() {
            Some(Hop::Value(entry)) => *entry,
            _ => u32::MAX,
        };
        // The index by slice entry of the file, which is the slice id where all slices are read.
        debug_assert!(slice_entry >= id.0);
        let items = fields.get("members").and_then(|at| r.items(at, "a list of members"));
        let items = items.unwrap_or_default();
        if items.is_empty()
            && fields.get("members").is_none_or(|at| matches!(at.node, crate::yaml::Node::List(_)))
        {
            r.warn("empty-slice", &key, format!("slice {name} has no members"));
        }
        let mut ids: HashMap<Box<str>, Place> = HashMap::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            read_member(r, item, policy, id, (slice_entry, index as u32), &mut ids, &mut places);
        }
        let slice = &mut policy.slices[id.0 as usize];
        slice.members.end = policy.members.len() as u32;
        slice.points.sort_unstable();
        slice.points.dedup();
    }
    check_dead(r, policy, &places);
    index_points(policy);
}

fn read_member(
    r: &mut Reader,
    item: &At<'_>,
    policy: &mut Policy,
    slice: SliceId,
    place: (u32, u32),
    ids: &mut HashMap<Box<str>, Place>,
    places: &mut Places,
) {
    let known = ["host", "mac", "port", "vlan", "only_at", "restrict_hosts", "id"];
    let Some(fields) = r.fields(item, MEMBER, &known) else { return };
    let restricted = fields.get("restrict_hosts").and_then(|at| r.bool(at)).unwrap_or(false)
        || policy.slices[slice.0 as usize].restricted;
    let binding = read_binding(r, item, &fields, policy, restricted);
    let given = fields.get("id").and_then(|at| {
        let id = r.text(at, "an id")?;
        r.name(&id, &at.place, "member").then(|| (id, at.place.clone()))
    });
    let Some(binding) = binding else { return };
    let (id, id_place) = match given {
        Some((id, place)) => (Box::from(id), place),
        None => (made_id(&binding, policy), item.place.clone()),
    };
    if let Some(first) = ids.get(&id) {
        // Members without an id of their own that bind the same are reported as duplicates below.
        if fields.get("id").is_some() {
            let message = format!("two members of the slice have the id {id}");
            r.error("member-id-twice", &id_place, message).other(first, "first here");
            return;
        }
    } else {
        ids.insert(id.clone(), id_place);
    }
    let member = MemberId(policy.members.len() as u32);
    if !bind(r, item, policy, slice, member, &binding, places) {
        return;
    }
    policy.members.push(Member { slice, id, binding, place });
    places.0.push(item.place.clone());
}

fn read_binding(
    r: &mut Reader,
    item: &At<'_>,
    fields: &Fields<'_>,
    policy: &Policy,
    restricted: bool,
) -> Option<Binding> {
    let mut good = true;
    let mac = match (fields.get("mac"), fields.get("host")) {
        (Some(_), Some(host)) => {
            r.error("mac-and-host", &host.place, "a member has either a mac or a host");
            return None;
        }
        (Some(at), None) => match values::mac(at.node) {
            Ok(mac) => Some(mac),
            Err(wanted) => {
                r.wrong(at, wanted);
                good = false;
                None
            }
        },
        (None, Some(at)) => {
            let mac = read_host(r, at, policy);
            good &= mac.is_some();
            mac
        }
        (None, None) => None,
    };
    let end = fields.get("port").map(|at| read_port(r, at, &policy.switches));
    let vid = read_vid(r, fields.get("vlan"));
    let pins = fields.get("only_at").map(|at| read_pins(r, at, policy));
    good &= end != Some(None) && vid.is_some() && pins != Some(None);
    let (pins, vid) = (pins.flatten(), vid?);
    let misplaced = |r: &mut Reader, key: &str, message: &str| {
        if let Some(at) = fields.get(key) {
            r.error("misplaced-key", &key_of(&at.place), message);
        }
    };
    match (mac, end.flatten()) {
        _ if !good => {
            if fields.get("port").is_some() {
                misplaced(r, "only_at", "only_at goes with a member that has no port");
            }
            None
        }
        (Some(mac), None) => {
            misplaced(r, "vlan", "vlan goes with a port");
            misplaced(r, "restrict_hosts", "restrict_hosts goes with a port without a host");
            Some(Binding::Mac { mac, only_at: pins })
        }
        (mac, Some((dpid, port))) => {
            misplaced(r, "only_at", "only_at goes with a member that has no port");
            let at = Attachment { dpid, port, vid };
            match mac {
                Some(mac) => {
                    misplaced(
                        r,
                        "restrict_hosts",
                        "restrict_hosts goes with a port without a host",
                    );
                    Some(Binding::PortMac { at, mac })
                }
                None => Some(Binding::Port { at, restricted }),
            }
        }
        (None, None) => {
            r.error("empty-member", &item.place, "a member binds a mac, a host or a port")
                .help("as in {port: s1/3}, {mac: \"00:00:00:00:00:01\"} or {host: alice}");
            None
        }
    }
}

fn read_host(r: &mut Reader, at: &At<'_>, policy: &Policy) -> Option<MacAddr> {
    let name = r.text(at, "the name of a host")?;
    let host = policy.host(&name);
    if host.is_none() {
        let near = crate::diagnostic::nearest(&name, policy.hosts.iter().map(|h| h.name.as_str()));
        let help = match near {
            Some(near) => format!("did you mean {near}?"),
            None => "name it under hosts, or write mac: instead".to_owned(),
        };
        r.error("unknown-host", &at.place, format!("there is no host {name}")).help(help);
    }
    host.map(|host| host.mac)
}

/// Attachments: `s1/3`, or `{port: s1/3, vlan: 20}`.
fn read_pins(r: &mut Reader, at: &At<'_>, policy: &Policy) -> Option<Vec<Attachment>> {
    let items = r.items(at, "a list of ports")?;
    if items.is_empty() {
        r.error("no-pins", &at.place, "only_at is empty: the host could be nowhere")
            .help("leave only_at out to let it be anywhere");
        return None;
    }
    let mut pins = Vec::with_capacity(items.len());
    for item in &items {
        let pin = match item.node {
            crate::yaml::Node::Map(_) => r
                .fields(item, "a port ({port: s1/3, vlan: 20})", &["port", "vlan"])
                .and_then(|fields| {
                    let end = fields.get("port").and_then(|at| read_port(r, at, &policy.switches));
                    if fields.get("port").is_none() {
                        r.wrong(item, "a port ({port: s1/3, vlan: 20})");
                    }
                    end.zip(read_vid(r, fields.get("vlan")))
                }),
            _ => read_port(r, item, &policy.switches)
                .map(|end| (end, umlaut_openflow::Vid::Untagged)),
        };
        pins.extend(pin.map(|((dpid, port), vid)| Attachment { dpid, port, vid }));
    }
    (pins.len() == items.len()).then_some(pins)
}

/// The id of a member that was given none: as the original made them.
fn made_id(binding: &Binding, policy: &Policy) -> Box<str> {
    match binding {
        Binding::Mac { mac, .. } => mac.to_string().into(),
        Binding::PortMac { at, mac } => format!("{} {mac}", policy.attachment_name(*at)).into(),
        Binding::Port { at, .. } => policy.attachment_name(*at).into(),
    }
}

/// Enters a member into the look-up tables, or reports the conflict.
fn bind(
    r: &mut Reader,
    item: &At<'_>,
    policy: &mut Policy,
    slice: SliceId,
    member: MemberId,
    binding: &Binding,
    places: &Places,
) -> bool {
    let held = match binding {
        Binding::Mac { mac, .. } => policy.by_mac.insert(*mac, member),
        Binding::PortMac { at, mac } => policy.by_port_mac.insert((*at, *mac), member),
        Binding::Port { at, .. } => policy.by_port.insert(*at, member),
    };
    if let Some(held) = held {
        let what = match binding {
            Binding::Mac { mac, .. } => policy.mac_name(*mac),
            Binding::PortMac { at, mac } => {
                format!("{} on {}", policy.mac_name(*mac), policy.attachment_name(*at))
            }
            Binding::Port { at, .. } => format!("port {}", policy.attachment_name(*at)),
        };
        let other = policy.members[held.0 as usize].slice;
        let first = places.0[held.0 as usize].clone();
        let (code, message) = match other == slice {
            true => ("member-twice", format!("{what} is twice in the slice")),
            false => (
                "member-in-two-slices",
                format!("{what} is in slice {} already", policy.slice_name(other)),
            ),
        };
        r.error(code, &item.place, message).other(&first, "first here");
        match binding {
            Binding::Mac { mac, .. } => policy.by_mac.insert(*mac, held),
            Binding::PortMac { at, mac } => policy.by_port_mac.insert((*at, *mac), held),
            Binding::Port { at, .. } => policy.by_port.insert(*at, held),
        };
        return false;
    }
    let points: Vec<Point> = match binding {
        Binding::Mac { mac, only_at } => {
            policy.slices[slice.0 as usize].has_macs = true;
            let pins = only_at.iter().flatten();
            pins.map(|at| Point { at: *at, only: Some(*mac) }).collect()
        }
        Binding::PortMac { at, mac } => vec![Point { at: *at, only: Some(*mac) }],
        Binding::Port { at, .. } => vec![Point { at: *at, only: None }],
    };
    for point in &points {
        policy.bound.insert((point.at.dpid, point.at.port));
    }
    policy.slices[slice.0 as usize].points.extend(points);
    true
}

/// Members that can never admit anybody.
fn check_dead(r: &mut Reader, policy: &Policy, places: &Places) {
    for ((_, mac), id) in &policy.by_port_mac {
        let Some(bound) = policy.by_mac.get(mac) else { continue };
        let (member, winner) = (policy.member(*id), policy.member(*bound));
        if member.slice != winner.slice {
            let message = format!(
                "this member is dead: {} is bound to slice {} wherever it is",
                policy.mac_name(*mac),
                policy.slice_name(winner.slice)
            );
            r.error("dead-member", &places.0[id.0 as usize], message)
                .other(&places.0[bound.0 as usize], "bound here");
        }
    }
}

fn index_points(policy: &mut Policy) {
    for (id, slice) in policy.slices.iter().enumerate() {
        let id = SliceId(id as u32);
        for point in &slice.points {
            let at = policy.slices_at.entry(point.at).or_default();
            if at.last() != Some(&id) {
                at.push(id);
            }
            let on = policy.slices_on.entry((point.at.dpid, point.at.port)).or_default();
            if on.last() != Some(&id) {
                on.push(id);
            }
        }
    }
}

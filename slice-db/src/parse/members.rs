//! Slices and their members. Pure.

use std::borrow::Cow;
use std::sync::Arc;

use umlaut_openflow::{Attachment, MacAddr, Vid};

use super::reader::{At, Fields, Reader};
use super::{key_of, read_port, read_vid};
use crate::layout::mark_of;
use crate::members::Members;
use crate::policy::{Binding, Map, Point, Policy, Slice, SliceId};
use crate::quick::{self, Quick};
use crate::values;
use crate::yaml::{self, Hop, Node, Place};

const MEMBER: &str = "a member ({mac: …}, {host: …}, {port: …} or {port: …, host: …})";

/// Slices as they are read.
struct Reading<'a> {
    policy: &'a mut Policy,
    /// The entry of `slices` that each slice is. With mistakes some entries are none.
    entries: Vec<u32>,
    /// The item of its list that each slot is.
    items: Vec<u32>,
}

/// The ids that the file gives to members of a slice: the item, and the entry of its map.
type Ids = Map<Box<str>, (u32, u32)>;

/// A member before it is entered.
pub(super) struct Draft<'t> {
    pub(super) binding: Binding,
    /// The id that it is given, and the entry of its map.
    pub(super) id: Option<(Cow<'t, str>, u32)>,
}

pub(super) fn read_slices(r: &mut Reader, at: &At<'_>, policy: &mut Policy) {
    let Some(entries) = r.entries(at, "a map of slices") else { return };
    let listed = |slice: &Node| slice.value("members").map_or(0, Node::len);
    let listed: usize = entries.iter().map(|(_, _, slice)| listed(slice.node)).sum();
    policy.bindings = Members::for_about(policy.layout.slots + listed);
    let (text, layout) = (policy.text.clone(), policy.layout.clone());
    let (mut by_name, mut claims) = (Map::default(), Vec::new());
    let mut reading = Reading { policy, entries: Vec::new(), items: Vec::new() };
    for (name, key, value) in entries {
        let good = r.name(&name, &key, "slice");
        let known = ["description", "restrict_hosts", "members"];
        let wanted = "a slice ({members: [...]})";
        let Some(fields) = r.fields(&value, wanted, &known) else { continue };
        let description = fields.get("description").and_then(|at| r.text(at, "a description"));
        let restricted = fields.get("restrict_hosts").and_then(|at| r.bool(at));
        let id = SliceId(reading.policy.slices.len() as u32);
        if good {
            by_name.insert(name.clone().into(), id);
        }
        let list = fields.get("members");
        let mut slice = Slice {
            name: name.clone().into(),
            description: description.unwrap_or_default().into(),
            restricted: restricted.unwrap_or(false) || reading.policy.options.restrict_hosts,
            entry: list.and_then(|at| last_entry(&at.place)),
            ..Slice::default()
        };
        reading.entries.push(last_entry(&value.place).unwrap_or(u32::MAX));
        let items = list.and_then(|at| r.items(at, "a list of members")).unwrap_or_default();
        if items.is_empty()
            && fields.get("members").is_none_or(|at| matches!(at.node, crate::yaml::Node::List(_)))
        {
            r.warn("empty-slice", &key, format!("slice {name} has no members"));
        }
        let mut ids = Ids::default();
        let mut index = 0;
        for item in &items {
            let Some(run) = mark_of(item.node).and_then(|number| layout.runs.get(number)) else {
                // The place among all items, those of runs counted.
                let place = list.map_or(item.place.clone(), |at| at.place.then(Hop::Item(index)));
                let item = At { node: item.node, place };
                reading.read_member(r, &item, id, &mut slice, (&mut ids, index));
                index += 1;
                continue;
            };
            for (quick, lines) in run.items(&text) {
                let place = || list.map_or(Place::default(), |at| at.place.then(Hop::Item(index)));
                match quick_member(&quick, reading.policy, slice.restricted) {
                    Some(draft) => {
                        reading.enter(r, &place, draft, id, &mut slice, (&mut ids, index));
                    }
                    None => {
                        // With a mistake, or unusual: as the YAML parser sees it.
                        let node = yaml::load(&text[lines]).ok().and_then(Node::only_item);
                        let item = At { node: &node.unwrap_or(Node::Null), place: place() };
                        reading.read_member(r, &item, id, &mut slice, (&mut ids, index));
                    }
                }
                index += 1;
            }
        }
        let members = &reading.policy.bindings;
        let slots = slice.members.iter().flat_map(|slot| members.points(*slot));
        let points = slots.filter_map(|slot| Some((members.entry(slot).point()?, slot)));
        let mut points: Vec<(Point, u32)> = points.collect();
        points.sort_unstable();
        claims.extend(points.iter().map(|(point, _)| (point.at, id)));
        slice.points = points.into_iter().map(|(_, slot)| slot).collect();
        slice.points.shrink_to_fit();
        slice.members.shrink_to_fit();
        reading.policy.slices.push(Arc::new(slice));
    }
    reading.policy.bindings.claim_all(claims);
    reading.check_dead(r);
    policy.slices_by_name = Arc::new(by_name);
}

/// Which entry of its map a value is.
fn last_entry(place: &Place) -> Option<u32> {
    match place.0.last() {
        Some(Hop::Value(entry)) => Some(*entry),
        _ => None,
    }
}

/// A member that is written in the usual way, and has no mistake that can be seen from it alone.
pub(super) fn quick_member<'t>(
    quick: &Quick<'t>,
    policy: &Policy,
    restricted: bool,
) -> Option<Draft<'t>> {
    let mac = match (quick.mac, quick.host) {
        (Some(mac), None) => {
            let mac: MacAddr = mac.parse().ok()?;
            (!mac.is_group() && !mac.is_zero()).then_some(mac)?.into()
        }
        (None, Some(host)) => Some(policy.host(host)?.mac),
        (None, None) => None,
        (Some(_), Some(_)) => return None,
    };
    let end = |text| values::port(text, &policy.switches).ok();
    let binding = match (mac, quick.port, quick.only_at) {
        (None, Some(port), None) => {
            let (dpid, port) = end(port)?;
            let vid = quick.vlan.map_or(Vid::Untagged, Vid::Tagged);
            let restricted = restricted || quick.restrict_hosts == Some(true);
            Binding::Port { at: Attachment { dpid, port, vid }, restricted }
        }
        _ if quick.restrict_hosts.is_some() => return None,
        (Some(mac), Some(port), None) => {
            let (dpid, port) = end(port)?;
            let vid = quick.vlan.map_or(Vid::Untagged, Vid::Tagged);
            Binding::PortMac { at: Attachment { dpid, port, vid }, mac }
        }
        _ if quick.vlan.is_some() => return None,
        (Some(mac), None, None) => Binding::Mac { mac, only_at: None },
        (Some(mac), None, Some(list)) => {
            let pin = |text| {
                let (dpid, port) = end(text)?;
                Some(Attachment { dpid, port, vid: Vid::Untagged })
            };
            Binding::Mac { mac, only_at: Some(quick::pins(list).map(pin).collect::<Option<_>>()?) }
        }
        (_, Some(_), Some(_)) | (None, None, _) => return None,
    };
    let id = match quick.id {
        Some(id) => Some(values::is_name(id).then_some((Cow::Borrowed(id), quick.id_entry))?),
        None => None,
    };
    Some(Draft { binding, id })
}

/// Whether a member that was given no id has this one.
pub(super) fn is_made(policy: &Policy, slice: SliceId, id: &str) -> Option<u32> {
    // Names have no slash, as the other made ones have.
    if id.len() != "00:00:00:00:00:00".len() {
        return None;
    }
    let mac: MacAddr = id.parse().ok()?;
    let (slot, member) = policy.bindings.by_mac(mac)?;
    let made = member.slice == slice && policy.bindings.id(slot).is_none();
    (made && mac.to_string() == id).then_some(slot)
}

impl Reading<'_> {
    fn read_member(
        &mut self,
        r: &mut Reader,
        item: &At<'_>,
        id: SliceId,
        slice: &mut Slice,
        (ids, index): (&mut Ids, u32),
    ) {
        let known = ["host", "mac", "port", "vlan", "only_at", "restrict_hosts", "id"];
        let Some(fields) = r.fields(item, MEMBER, &known) else { return };
        let own = fields.get("restrict_hosts").and_then(|at| r.bool(at)).unwrap_or(false);
        let binding = read_binding(r, item, &fields, self.policy, own || slice.restricted);
        let given = fields.get("id").and_then(|at| {
            let id = r.text(at, "an id")?;
            let entry = last_entry(&at.place)?;
            r.name(&id, &at.place, "member").then_some((Cow::Owned(id), entry))
        });
        let Some(binding) = binding else { return };
        let draft = Draft { binding, id: given };
        self.enter(r, &|| item.place.clone(), draft, id, slice, (ids, index));
    }

    /// Enters a member, or reports with whom it is in conflict.
    fn enter(
        &mut self,
        r: &mut Reader,
        place: &dyn Fn() -> Place,
        draft: Draft<'_>,
        id: SliceId,
        slice: &mut Slice,
        (ids, index): (&mut Ids, u32),
    ) {
        if let Some((given, entry)) = &draft.id {
            let list = |item| {
                let mut place = place();
                place.0.pop();
                place.then(Hop::Item(item))
            };
            let first = match ids.get(&**given) {
                Some((item, entry)) => Some(list(*item).then(Hop::Value(*entry))),
                None => is_made(self.policy, id, given).map(|slot| self.place_of(slot, id, slice)),
            };
            if let Some(first) = first {
                let message = format!("two members of the slice have the id {given}");
                let here = place().then(Hop::Value(*entry));
                r.error("member-id-twice", &here, message).other(&first, "first here");
                return;
            }
            ids.insert((**given).into(), (index, *entry));
        }
        let given = draft.id.as_ref().map(|(id, _)| &**id);
        match self.policy.bindings.insert(id, &draft.binding, given) {
            Ok(slot) => {
                let kept = self.items.len().max(slot as usize + 1);
                self.items.resize(kept, 0);
                self.items[slot as usize] = index;
                slice.members.push(slot);
                slice.macs += u32::from(self.policy.bindings.entry(slot).is_mac());
            }
            Err(held) => self.tell_conflict(r, &place(), &draft.binding, held, (id, slice)),
        }
    }

    fn tell_conflict(
        &self,
        r: &mut Reader,
        place: &Place,
        binding: &Binding,
        held: u32,
        (id, slice): (SliceId, &Slice),
    ) {
        let policy = &*self.policy;
        let what = match binding {
            Binding::Mac { mac, .. } => policy.mac_name(*mac),
            Binding::PortMac { at, mac } => {
                format!("{} on {}", policy.mac_name(*mac), policy.attachment_name(*at))
            }
            Binding::Port { at, .. } => format!("port {}", policy.attachment_name(*at)),
        };
        let other = policy.bindings.entry(held).slice;
        let (code, message) = match other == id {
            true => ("member-twice", format!("{what} is twice in the slice")),
            false => (
                "member-in-two-slices",
                format!("{what} is in slice {} already", policy.slice_name(other)),
            ),
        };
        let first = self.place_of(held, id, slice);
        r.error(code, place, message).other(&first, "first here");
    }

    /// Where a member stands; `slice` is the slice `id`, which is being read.
    fn place_of(&self, slot: u32, id: SliceId, slice: &Slice) -> Place {
        let of = self.policy.bindings.entry(slot).slice;
        let list = match of == id {
            true => slice.entry,
            false => self.policy.slice_at(of).entry,
        };
        let hops = [
            Hop::Value(self.policy.slices_entry.unwrap_or(u32::MAX)),
            Hop::Value(self.entries[of.0 as usize]),
            Hop::Value(list.unwrap_or(u32::MAX)),
            Hop::Item(self.items[slot as usize]),
        ];
        Place(hops.to_vec())
    }

    /// Members that can never admit anybody.
    fn check_dead(&self, r: &mut Reader) {
        let policy = &*self.policy;
        let none = Slice::default();
        let place_of = |slot| self.place_of(slot, SliceId(u32::MAX), &none);
        for (slot, member) in policy.bindings.port_macs() {
            let Some((bound, winner)) = policy.bindings.by_mac(member.mac) else { continue };
            if member.slice != winner.slice {
                let message = format!(
                    "this member is dead: {} is bound to slice {} wherever it is",
                    policy.mac_name(member.mac),
                    policy.slice_name(winner.slice)
                );
                r.error("dead-member", &place_of(slot), message)
                    .other(&place_of(bound), "bound here");
            }
        }
    }
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
        let near = crate::diagnostic::nearest(&name, policy.hosts().map(|h| h.name.as_str()));
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

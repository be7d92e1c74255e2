//! What differs between two policies: for the line that a reload logs, and for those who ask again only
//! about what differs. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::AddAssign;
use std::sync::Arc;

use umlaut_openflow::MacAddr;

use crate::members::Kind;
use crate::policy::{Binding, End, MemberId, Policy, SliceId};

/// More members than this are not told one by one.
const MOST_TOUCHED: usize = 4096;

/// How many of each kind were added, removed and changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// In the new policy only.
    pub added: usize,
    /// In the old policy only.
    pub removed: usize,
    /// In both, but different.
    pub changed: usize,
}

impl Changes {
    fn between<K: Ord, V: PartialEq>(old: &BTreeMap<K, V>, new: &BTreeMap<K, V>) -> Changes {
        Changes {
            added: new.keys().filter(|key| !old.contains_key(key)).count(),
            removed: old.keys().filter(|key| !new.contains_key(key)).count(),
            changed: old.iter().filter(|(k, v)| new.get(k).is_some_and(|new| new != *v)).count(),
        }
    }

    fn is_empty(self) -> bool {
        self == Changes::default()
    }
}

impl AddAssign for Changes {
    fn add_assign(&mut self, more: Changes) {
        self.added += more.added;
        self.removed += more.removed;
        self.changed += more.changed;
    }
}

/// The difference between two policies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PolicyDiff {
    /// Slices, by name.
    pub slices: Changes,
    /// Members, by slice and id.
    pub members: Changes,
    /// Filters, by id.
    pub filters: Changes,
    /// Whether any option differs.
    pub options: bool,
    /// Whether the links differ.
    pub links: bool,
    /// Whether the switches that may join differ, or the certificates that they must show.
    pub switches: bool,
}

impl PolicyDiff {
    /// Whether nothing that decides differs.
    pub fn is_empty(&self) -> bool {
        *self == PolicyDiff::default()
    }
}

impl fmt::Display for PolicyDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let kinds = [("slices", self.slices), ("members", self.members), ("filters", self.filters)];
        for (name, c) in kinds.into_iter().filter(|(_, c)| !c.is_empty()) {
            parts.push(format!("{name} +{} -{} ~{}", c.added, c.removed, c.changed));
        }
        parts.extend(self.options.then(|| "options".to_owned()));
        parts.extend(self.links.then(|| "links".to_owned()));
        parts.extend(self.switches.then(|| "switches".to_owned()));
        if parts.is_empty() {
            return f.write_str("nothing");
        }
        f.write_str(&parts.join(", "))
    }
}

impl Policy {
    /// What a change to `new` touches.
    pub fn diff(&self, new: &Policy) -> PolicyDiff {
        fn slices(policy: &Policy) -> BTreeMap<&str, (&str, bool)> {
            let slices = policy.slices.iter();
            slices.map(|s| (&*s.name, (&*s.description, s.restricted))).collect()
        }
        type Shown<'a> = (u32, crate::FilterAction, Vec<String>, usize);
        fn filters(policy: &Policy) -> BTreeMap<&str, Shown<'_>> {
            let rules = policy.filters.rules().iter().enumerate();
            rules
                .map(|(place, rule)| {
                    let criteria = rule.criteria.iter().map(|c| match c.test {
                        // A slice's number may change without its name.
                        crate::filter::Test::Slice => {
                            policy.slice_name(crate::SliceId(c.value as u32)).to_owned()
                        }
                        _ => format!("{c:?}"),
                    });
                    // Among equal priorities the order counts.
                    let equals = policy.filters.rules()[..place]
                        .iter()
                        .filter(|other| other.priority == rule.priority)
                        .count();
                    (&*rule.name, (rule.priority, rule.action, criteria.collect(), equals))
                })
                .collect()
        }
        PolicyDiff {
            slices: match new.has_slices_of(self) {
                true => Changes::default(),
                false => Changes::between(&slices(self), &slices(new)),
            },
            members: self.changed_members(new),
            filters: match Arc::ptr_eq(&self.filters, &new.filters) {
                true => Changes::default(),
                false => Changes::between(&filters(self), &filters(new)),
            },
            options: self.options != new.options,
            links: self.links != new.links,
            switches: self.certificates != new.certificates
                || !self.switch_names.keys().eq(new.switch_names.keys()),
        }
    }
}

/// The hosts and ports that members speak of which only one of two policies has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Touched {
    /// Addresses that are bound, by themselves or on a port.
    pub macs: BTreeSet<MacAddr>,
    /// Ports that are bound, or that an address is bound on or pinned to.
    pub ports: BTreeSet<End>,
}

impl Policy {
    /// Whom the members that differ in `new` speak of, if nothing else differs and they are few. Of other
    /// addresses on other ports both policies say the same: whether they are admitted, in which slice,
    /// whether they may receive and be guessed there, and whether the port is bound. `None`: anything
    /// may differ. Policies that were not read as edits of one another are not compared.
    pub fn touched(&self, new: &Policy) -> Option<Touched> {
        let same = new.has_slices_of(self)
            && self.options == new.options
            && Arc::ptr_eq(&self.filters, &new.filters)
            && Arc::ptr_eq(&self.links, &new.links)
            && Arc::ptr_eq(&self.certificates, &new.certificates)
            && Arc::ptr_eq(&self.switch_names, &new.switch_names);
        if !same {
            return None;
        }
        let mut touched = Touched::default();
        let changed = self.bindings.changed(&new.bindings, MOST_TOUCHED)?;
        for entry in changed.into_iter().flat_map(|(old, new)| [old, new]) {
            let (mac, at) = match entry.kind {
                Kind::Free => (false, false),
                Kind::Mac | Kind::PinnedMac => (true, false),
                Kind::PortMac | Kind::Pin => (true, true),
                Kind::Port | Kind::RestrictedPort => (false, true),
            };
            touched.macs.extend(mac.then_some(entry.mac));
            touched.ports.extend(at.then_some((entry.at.dpid, entry.at.port)));
        }
        Some(touched)
    }

    fn changed_members(&self, new: &Policy) -> Changes {
        let mut changes = Changes::default();
        // An edit of members leaves the slices, and gives those that it touches a new value.
        if new.has_slices_of(self) {
            for (id, (a, b)) in (0..).map(SliceId).zip(self.slices.iter().zip(&new.slices)) {
                if !Arc::ptr_eq(a, b) {
                    changes += self.changed_members_of(id, new, id);
                }
            }
            return changes;
        }
        for (id, name) in self.slices() {
            match new.slice(name) {
                Some(same) => changes += self.changed_members_of(id, new, same),
                None => changes.removed += self.member_count(id),
            }
        }
        let others = new.slices().filter(|(_, name)| self.slice(name).is_none());
        changes.added += others.map(|(id, _)| new.member_count(id)).sum::<usize>();
        changes
    }

    /// What differs between the members of two slices, by id: those at the beginning and the end that
    /// are the same are soon passed.
    fn changed_members_of(&self, slice: SliceId, new: &Policy, same: SliceId) -> Changes {
        fn by_id(policy: &Policy, slots: &[u32]) -> BTreeMap<Box<str>, Binding> {
            let members = slots.iter().map(|slot| policy.member(MemberId(*slot)));
            members.map(|member| (member.id, member.binding)).collect()
        }
        let (mut old_slots, mut new_slots) =
            (&self.slice_at(slice).members[..], &new.slice_at(same).members[..]);
        // Made ids have names of switches.
        if self.switch_names == new.switch_names {
            let same = |a: u32, b: u32| self.bindings.is_same(a, &new.bindings, b);
            while let ([a, old_rest @ ..], [b, new_rest @ ..]) = (old_slots, new_slots)
                && same(*a, *b)
            {
                (old_slots, new_slots) = (old_rest, new_rest);
            }
            while let ([old_rest @ .., a], [new_rest @ .., b]) = (old_slots, new_slots)
                && same(*a, *b)
            {
                (old_slots, new_slots) = (old_rest, new_rest);
            }
        }
        Changes::between(&by_id(self, old_slots), &by_id(new, new_slots))
    }
}

#[cfg(test)]
mod tests {
    use crate::Policy;

    #[test]
    fn only_what_decides_counts() {
        let read = |text: &str| Policy::parse("p", text).unwrap().0;
        let a = read(
            "umlaut: 1\nslices:\n  a: {members: [{port: 0x1/1}, {port: 0x1/2}]}\n  b: {members: [{port: 0x1/3}]}\n",
        );
        let reordered = read(
            "# moved\numlaut: 1\nslices:\n  b: {members: [{port: 0x1/3}]}\n  a: {members: [{port: 0x1/2}, {port: 0x1/1}]}\n",
        );
        assert!(a.diff(&reordered).is_empty(), "{}", a.diff(&reordered));
        let other = read(
            "umlaut: 1\nslices:\n  a: {members: [{port: 0x1/1}]}\n  c: {members: [{port: 0x1/3}]}\noptions: {loose: true}\n",
        );
        assert_eq!(a.diff(&other).to_string(), "slices +1 -1 ~0, members +1 -2 ~0, options");
        let switches = |text: &str| {
            read(&format!(
                "umlaut: 1\nswitches: {text}\nslices: {{a: {{members: [{{port: 0x1/1}}]}}}}\n"
            ))
        };
        let (short, named) = (switches("{s1: 0x1}"), switches("{one: {dpid: 0x1}}"));
        assert!(!short.diff(&named).switches, "a name decides nothing");
        let certified = switches("{s1: {dpid: 0x1, cert: s1}}");
        assert_eq!(short.diff(&certified).to_string(), "switches");
    }
}

//! The paths that enter at one switch: a slab of entries, found by flow key or by host. Pure.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use umlaut_openflow::MacAddr;

use crate::hosts::Domain;
use crate::path::{FlowKey, Kind, Path, PathRef, SessionNo};

/// How many paths one switch registers. When it is full, frames of further paths are forwarded one
/// by one.
pub const REGISTRY_PATHS: usize = 1 << 20;

#[derive(Default)]
struct Slot {
    generation: u16,
    path: Option<Box<Path>>,
}

/// The registry of one session.
pub struct Registry {
    session: SessionNo,
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_key: HashMap<FlowKey, u32, RandomState>,
    by_host: HashMap<(Domain, MacAddr), Vec<u32>, RandomState>,
}

/// The registry is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegistryFull;

impl Registry {
    /// An empty registry of a session.
    pub fn new(session: SessionNo) -> Registry {
        Registry {
            session,
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::default(),
            by_host: HashMap::default(),
        }
    }

    /// How many paths are registered.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether none is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of slots, used and free: the end of a walk by slot.
    pub fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The path in a slot, with its name.
    pub fn at(&self, slot: u32) -> Option<(PathRef, &Path)> {
        let entry = self.slots.get(slot as usize)?;
        let path = entry.path.as_deref()?;
        Some((PathRef { session: self.session, slot, generation: entry.generation }, path))
    }

    /// A path by name; `None` if it is of another session or its slot has another tenant.
    pub fn by_ref(&self, path: PathRef) -> Option<&Path> {
        let entry = self.slots.get(path.slot as usize)?;
        (path.session == self.session && entry.generation == path.generation)
            .then_some(entry.path.as_deref())
            .flatten()
    }

    /// The same, to change. Key and domain must stay as they are.
    pub fn by_ref_mut(&mut self, path: PathRef) -> Option<&mut Path> {
        let entry = self.slots.get_mut(path.slot as usize)?;
        (path.session == self.session && entry.generation == path.generation)
            .then_some(entry.path.as_deref_mut())
            .flatten()
    }

    /// The path of a flow key.
    pub fn by_key(&self, key: &FlowKey) -> Option<(PathRef, &Path)> {
        self.at(*self.by_key.get(key)?)
    }

    /// The paths from or to a host, in slot order.
    pub fn by_host(&self, domain: Domain, mac: MacAddr) -> Vec<PathRef> {
        let mut slots = self.by_host.get(&(domain, mac)).cloned().unwrap_or_default();
        slots.sort_unstable();
        slots.into_iter().filter_map(|slot| Some(self.at(slot)?.0)).collect()
    }

    /// Registers a path. The caller has removed an earlier one of the same key.
    ///
    /// # Errors
    /// [`RegistryFull`] at [`REGISTRY_PATHS`].
    pub fn add(&mut self, path: Path) -> Result<PathRef, RegistryFull> {
        debug_assert!(!self.by_key.contains_key(&path.key), "two paths of one key");
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() >= REGISTRY_PATHS => return Err(RegistryFull),
            None => {
                self.slots.push(Slot::default());
                self.slots.len() as u32 - 1
            }
        };
        self.by_key.insert(path.key, slot);
        for host in hosts(&path).into_iter().flatten() {
            self.by_host.entry(host).or_default().push(slot);
        }
        let entry = &mut self.slots[slot as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.path = Some(Box::new(path));
        Ok(PathRef { session: self.session, slot, generation: entry.generation })
    }

    /// Forgets all paths and returns them. Generations go on, so that late messages about them find
    /// nothing.
    pub fn take_all(&mut self) -> Vec<(PathRef, Path)> {
        self.by_key.clear();
        self.by_host.clear();
        let mut all = Vec::with_capacity(self.len());
        for slot in 0..self.slots.len() {
            let entry = &mut self.slots[slot];
            if let Some(path) = entry.path.take() {
                let (session, generation) = (self.session, entry.generation);
                all.push((PathRef { session, slot: slot as u32, generation }, *path));
                self.free.push(slot as u32);
            }
        }
        all
    }

    /// Forgets a path and returns it; `None` if it is gone already.
    pub fn remove(&mut self, path: PathRef) -> Option<Path> {
        self.by_ref(path)?;
        let removed = *self.slots[path.slot as usize].path.take()?;
        self.by_key.remove(&removed.key);
        for host in hosts(&removed).into_iter().flatten() {
            if let Some(slots) = self.by_host.get_mut(&host) {
                slots.retain(|slot| *slot != path.slot);
                if slots.is_empty() {
                    self.by_host.remove(&host);
                }
            }
        }
        self.free.push(path.slot);
        Some(removed)
    }
}

/// The hosts whose whereabouts a path depends on.
fn hosts(path: &Path) -> [Option<(Domain, MacAddr)>; 2] {
    match &path.kind {
        Kind::Forward { route, .. } => {
            let h = &path.key.headers;
            [Some((route.domain, h.eth_src)), Some((route.domain, h.eth_dst))]
        }
        Kind::Drop { .. } => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;
    use umlaut_openflow::packet::Headers;
    use umlaut_openflow::{Attachment, DatapathId, FieldSet, PortNo, Vid};

    use super::*;
    use crate::app::AppNo;
    use crate::path::{DropClass, Route, State};

    fn path(src: u64, dst: u64, domain: u64) -> Path {
        let headers = Headers {
            eth_src: MacAddr::from_u64(src),
            eth_dst: MacAddr::from_u64(dst),
            ..Headers::default()
        };
        Path {
            app: AppNo(1),
            key: FlowKey::new(PortNo(1), &headers, FieldSet::LAYER_2),
            kind: Kind::Forward {
                route: Route {
                    domain: Domain(domain),
                    egress: Attachment { dpid: DatapathId(1), port: PortNo(2), vid: Vid::Untagged },
                    width: FieldSet::LAYER_2,
                    idle_timeout: 60,
                    hard_timeout: 0,
                    reverse: false,
                },
                hops: Vec::new(),
                reverse: Vec::new(),
            },
            state: State::Installed,
            revision: 1,
        }
    }

    #[test]
    fn a_reused_slot_has_another_generation() {
        let mut registry = Registry::new(SessionNo(1));
        let first = registry.add(path(1, 2, 0)).unwrap();
        assert!(registry.remove(first).is_some());
        assert!(registry.remove(first).is_none());
        let second = registry.add(path(3, 4, 0)).unwrap();
        assert_eq!((second.slot, first.slot), (0, 0));
        assert!(registry.by_ref(first).is_none());
        assert!(registry.by_ref(second).is_some());
        let foreign = PathRef { session: SessionNo(2), ..second };
        assert!(registry.by_ref(foreign).is_none());
    }

    #[test]
    fn drop_entries_depend_on_no_host() {
        let mut registry = Registry::new(SessionNo(1));
        let kind = Kind::Drop { class: DropClass::Denied, until: Instant::now() };
        registry.add(Path { kind, ..path(1, 2, 0) }).unwrap();
        assert!(registry.by_host(Domain(0), MacAddr::from_u64(1)).is_empty());
    }

    proptest! {
        /// The indexes always say what a walk over all slots says.
        #[test]
        fn indexes_agree_with_the_slab(steps in prop::collection::vec((0u64..5, 0u64..5, 0u64..2, any::<bool>()), 0..60)) {
            let mut registry = Registry::new(SessionNo(1));
            for (src, dst, domain, add) in steps {
                let path = path(src, dst, domain);
                match registry.by_key(&path.key).map(|(name, _)| name) {
                    Some(name) if !add => { registry.remove(name); }
                    None if add => { registry.add(path).unwrap(); }
                    _ => {}
                }
                let all: Vec<_> = (0..registry.slots()).filter_map(|s| registry.at(s)).collect();
                prop_assert_eq!(all.len(), registry.len());
                for (name, path) in &all {
                    prop_assert_eq!(registry.by_key(&path.key).map(|(n, _)| n), Some(*name));
                }
                for mac in 0..5 {
                    let mac = MacAddr::from_u64(mac);
                    for domain in [Domain(0), Domain(1)] {
                        let walked: Vec<_> = all.iter().filter(|(_, p)| p.domain() == Some(domain)
                            && (p.key.headers.eth_src == mac || p.key.headers.eth_dst == mac)).map(|(n, _)| *n).collect();
                        let mut found = registry.by_host(domain, mac);
                        found.dedup();
                        prop_assert_eq!(found, walked);
                    }
                }
            }
        }
    }
}

//! The registry: properties against a walk over all slots, and against a map of paths.

use std::time::Instant;

use proptest::prelude::*;
use umlaut_openflow::packet::Headers;
use umlaut_openflow::{Attachment, DatapathId, FieldSet, PortNo, Vid, VlanId};

use super::*;
use crate::app::AppNo;
use crate::path::{DropClass, Leg, Route, State};

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
            hops: Hops::new(),
            reverse: Hops::new(),
        },
        state: State::Installed,
        revision: 1,
    }
}

#[test]
fn a_reused_slot_has_another_generation() {
    let mut registry = Registry::new(SessionNo(1), DatapathId(1));
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
    let mut registry = Registry::new(SessionNo(1), DatapathId(1));
    let kind = Kind::Drop { class: DropClass::Denied, until: Instant::now() };
    registry.add(Path { kind, ..path(1, 2, 0) }).unwrap();
    assert!(registry.by_hosts(&[(Domain(0), MacAddr::from_u64(1))]).is_empty());
}

/// A path of one of the kinds that lie in different places.
fn any_path() -> impl Strategy<Value = Path> {
    let hosts = (0u64..3, 0u64..3, 0u64..2);
    let class = (0u16..3, any::<bool>(), 1u8..3, any::<bool>());
    // Their lower halves begin anew in between.
    let revision = (1u64 << 32) - 3..(1 << 32) + 3;
    (hosts, class, 0u8..5, revision).prop_map(|((src, dst, domain), class, kind, revision)| {
        let (idle_timeout, tagged, app, wide) = class;
        let more = if wide { FieldSet::IPV4_SRC } else { FieldSet::NONE };
        let Path { key, kind: forward, .. } = path(src, dst, domain);
        let key = FlowKey::new(key.in_port, &key.headers, FieldSet::LAYER_2.union(more));
        let Kind::Forward { mut route, .. } = forward else { unreachable!("it forwards") };
        (route.width, route.reverse) = (key.width, kind == 3);
        route.idle_timeout = idle_timeout;
        if tagged {
            route.egress.vid = Vid::Tagged(VlanId::new(7).unwrap());
        }
        let hop = |dpid, out| Hop {
            dpid: DatapathId(dpid),
            in_port: PortNo(1),
            out_port: PortNo(out),
            vid: Some(route.egress.vid),
        };
        let hops = match kind {
            0 | 1 => Hops::from_iter([hop(1, 2)]),
            _ => Hops::from_iter([hop(1, 9), hop(2, 2)]),
        };
        if kind >= 2 {
            route.egress.dpid = DatapathId(2);
        }
        let reverse = if kind == 3 { Hops::from_iter([hop(2, 1)]) } else { Hops::new() };
        let state = match kind {
            2 => State::Installing {
                missing: vec![(DatapathId(2), Leg::Forward, PortNo(1))],
                deadline: Instant::now(),
                frame: vec![1, 2, 3],
            },
            _ => State::Installed,
        };
        let kind = match kind {
            4 => Kind::Drop { class: DropClass::Denied, until: Instant::now() },
            _ => Kind::Forward { route, hops, reverse },
        };
        Path { app: AppNo(app), key, kind, state, revision }
    })
}

proptest! {
    /// A path that is asked for is the one that was registered, changed and noted, whatever lies
    /// beside its slot; and nothing is left beside of those that are gone.
    #[test]
    fn what_is_asked_for_is_what_was_registered(
        steps in prop::collection::vec((any_path(), 0u8..5), 0..80),
    ) {
        let mut registry = Registry::new(SessionNo(1), DatapathId(1));
        let mut all = HashMap::<PathRef, Path>::new();
        for (path, step) in steps {
            let held = registry.by_key(&path.key).map(|(name, _)| name);
            match (held, step) {
                (None, _) => {
                    all.insert(registry.add(path.clone()).unwrap(), path);
                }
                (Some(name), 0) => {
                    prop_assert_eq!(registry.remove(name), all.remove(&name));
                    prop_assert_eq!(registry.remove(name), None);
                }
                (Some(name), 1) => {
                    let own = all.get_mut(&name).unwrap();
                    prop_assert_eq!(registry.decided(name, path.revision), Some(own.revision));
                    own.revision = path.revision;
                }
                (Some(name), 2) => {
                    let revision = path.revision;
                    let turn = |path: &mut Path| {
                        path.state = State::Installed;
                        path.revision = revision;
                        if let Kind::Forward { reverse, hops, .. } = &mut path.kind {
                            reverse.clear();
                            match hops.len() {
                                1 => hops.push(hops[0]),
                                _ => hops.truncate(1),
                            }
                        }
                    };
                    registry.change(name, turn).unwrap();
                    turn(all.get_mut(&name).unwrap());
                }
                (Some(name), 3) if registry.remove_single(name) => {
                    let gone = all.remove(&name).unwrap();
                    prop_assert!(gone.hops(Leg::Forward).len() == 1);
                }
                _ => {
                    let (name, again) = registry.by_key(&path.key).unwrap();
                    prop_assert_eq!(Some(&again), all.get(&name));
                }
            }
            prop_assert_eq!(registry.len(), all.len());
            for (name, path) in &all {
                prop_assert_eq!(&registry.by_ref(*name).unwrap(), path);
                prop_assert_eq!(registry.revision_at(name.slot), Some(path.revision));
                let question = (*name, path.app, path.key);
                prop_assert_eq!(registry.question_at(name.slot), Some(question));
                let waits = path.state != State::Installed;
                prop_assert_eq!(registry.is_installing(*name), waits);
                let single = registry.single(name.slot).is_some();
                prop_assert_eq!(registry.more.contains_key(&name.slot), !single);
            }
            prop_assert!(registry.more.keys().all(|slot| registry.at(*slot).is_some()));
            prop_assert_eq!(registry.classes.paths(), all.len());
            for slot in (0..registry.slots()).filter(|slot| registry.at(*slot).is_none()) {
                prop_assert_eq!(registry.question_at(slot), None);
                prop_assert_eq!(registry.revision_at(slot), None);
            }
        }
        let taken: HashMap<_, _> = registry.take_all().into_iter().collect();
        prop_assert_eq!(taken, all);
        prop_assert!(registry.is_empty() && registry.more.is_empty());
        prop_assert_eq!(registry.classes.widths().count(), 0);
        // Another tenant of a slot is known by its own class.
        for slot in 0..registry.slots() {
            prop_assert_eq!(registry.question_at(slot), None);
        }
        let next = Path { revision: 1 << 32, ..path(8, 9, 1) };
        let name = registry.add(next.clone()).unwrap();
        prop_assert_eq!(registry.by_ref(name), Some(next));
    }
}

proptest! {
    /// The indexes always say what a walk over all slots says.
    #[test]
    fn indexes_agree_with_the_slab(steps in prop::collection::vec((0u64..5, 0u64..5, 0u64..2, any::<bool>()), 0..60)) {
        let mut registry = Registry::new(SessionNo(1), DatapathId(1));
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
                let host = |domain| (Domain(domain), MacAddr::from_u64(mac));
                let one_more = (Domain(0), MacAddr::from_u64(4));
                for hosts in [vec![host(0)], vec![host(1)], vec![host(1), one_more]] {
                    let of_one = |p: &Path| hosts.iter().any(|(domain, mac)| {
                        let ends = [p.key.headers.eth_src, p.key.headers.eth_dst];
                        p.domain() == Some(*domain) && ends.contains(mac)
                    });
                    let walked: Vec<_> = all.iter().filter(|(_, p)| of_one(p)).map(|(n, _)| *n).collect();
                    prop_assert_eq!(registry.by_hosts(&hosts), walked);
                }
            }
        }
    }
}

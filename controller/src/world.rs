//! What all sessions see at once: policy and topology under one revision. Shared.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::concerned::Concerned;
use crate::topology::Topology;

/// One consistent view: a reader never sees the policy of one revision with the topology of another.
#[derive(Debug)]
pub struct World<P> {
    /// Goes up by one with every publication.
    pub revision: u64,
    /// The revision at which the policy last changed.
    pub policy_revision: u64,
    /// The application's policy.
    pub policy: Arc<P>,
    /// Switches, ports and links.
    pub topology: Arc<Topology>,
    /// Whom what is new since the revision before concerns: everybody, unless only a policy was
    /// replaced of which it is known.
    pub concerned: Arc<Concerned>,
}

impl<P> Clone for World<P> {
    fn clone(&self) -> World<P> {
        World {
            policy: self.policy.clone(),
            topology: self.topology.clone(),
            concerned: self.concerned.clone(),
            ..*self
        }
    }
}

/// The current World. Written by the slow path only; readers keep an `Arc` and look at
/// [`Published::revision`], a plain load, to learn whether it is still the newest.
#[derive(Debug)]
pub struct Published<P> {
    world: ArcSwap<World<P>>,
    revision: AtomicU64,
}

impl<P> Published<P> {
    /// Revision 1: this policy and no switch.
    pub fn new(policy: P) -> Published<P> {
        let topology = Arc::new(Topology::default());
        let concerned = Arc::new(Concerned::All);
        let policy = Arc::new(policy);
        let world = World { revision: 1, policy_revision: 1, policy, topology, concerned };
        Published { world: ArcSwap::from_pointee(world), revision: AtomicU64::new(1) }
    }

    /// The newest revision. It may be newer than a World loaded before, never older than one loaded
    /// after.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// The newest World.
    pub fn load(&self) -> Arc<World<P>> {
        self.world.load_full()
    }

    /// Publishes the next World. The caller holds the slow path's lock: there is one writer.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut World<P>)) -> u64 {
        let mut next = World::clone(&self.world.load());
        next.revision += 1;
        next.concerned = Arc::new(Concerned::All);
        change(&mut next);
        let revision = next.revision;
        self.world.store(Arc::new(next));
        self.revision.store(revision, Ordering::Release);
        revision
    }
}

//! The policy as the running switch holds it: slices keep their identity over reloads. Pure but
//! for the table of identities.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use umlaut_controller::Domain;
use umlaut_slice_db::{Policy, SliceId};

/// A slice that has no identity: of a policy that is only tried.
const NOBODY: Domain = Domain(u64::MAX);

/// The identities that slices have had since the start, by name. The host table and installed paths
/// are kept by identity, so that another order of slices in the file changes nothing.
#[derive(Debug, Default)]
pub struct Domains {
    // One entry per slice name ever seen by this process.
    by_name: Mutex<HashMap<String, Domain>>,
}

impl Domains {
    /// Gives every slice of a policy its identity.
    pub fn adopt(&self, policy: Policy) -> SlicePolicy {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let identities = Identities::of(&policy, |name| {
            let next = Domain(by_name.len() as u64);
            *by_name.entry(name.to_owned()).or_insert(next)
        });
        SlicePolicy { policy, identities: Arc::new(identities) }
    }

    /// As [`Domains::adopt`], for a policy that follows another: where the slices are the same,
    /// nothing is asked.
    pub fn adopt_after(&self, old: &SlicePolicy, policy: Policy) -> SlicePolicy {
        match policy.has_slices_of(&old.policy) {
            true => SlicePolicy { policy, identities: old.identities.clone() },
            false => self.adopt(policy),
        }
    }
}

/// Which slice has which identity.
#[derive(Debug)]
struct Identities {
    domains: Vec<Domain>,
    /// By identity, which are numbered from 0.
    slices: Vec<Option<SliceId>>,
}

impl Identities {
    fn of(policy: &Policy, mut identity: impl FnMut(&str) -> Domain) -> Identities {
        let domains: Vec<Domain> = policy.slices().map(|(_, name)| identity(name)).collect();
        let known = || domains.iter().filter(|domain| **domain != NOBODY);
        let most = known().map(|domain| domain.0 as usize + 1).max();
        let mut slices = vec![None; most.unwrap_or(0)];
        for (domain, slice) in domains.iter().zip((0..).map(SliceId)) {
            if *domain != NOBODY {
                slices[domain.0 as usize] = Some(slice);
            }
        }
        Identities { domains, slices }
    }
}

/// A policy with the identities of its slices.
#[derive(Debug)]
pub struct SlicePolicy {
    /// The policy.
    pub policy: Policy,
    identities: Arc<Identities>,
}

impl SlicePolicy {
    /// Another policy in place of this one, to try it: slices of the same name have the same identity,
    /// others have none.
    pub(crate) fn renewed(&self, policy: Policy) -> SlicePolicy {
        if policy.has_slices_of(&self.policy) {
            return SlicePolicy { policy, identities: self.identities.clone() };
        }
        let identity = |name: &str| self.policy.slice(name).map_or(NOBODY, |id| self.domain(id));
        let identities = Arc::new(Identities::of(&policy, identity));
        SlicePolicy { policy, identities }
    }

    /// Whether slices are known to have the identities that they have in another policy.
    pub(crate) fn same_identities(&self, other: &SlicePolicy) -> bool {
        Arc::ptr_eq(&self.identities, &other.identities)
    }

    /// The identity of a slice of this policy.
    pub fn domain(&self, slice: SliceId) -> Domain {
        // A slice id of this policy is below the number of its slices.
        self.identities.domains.get(slice.0 as usize).copied().unwrap_or(NOBODY)
    }

    /// The slice of this policy that has this identity, if there still is one.
    pub fn slice(&self, domain: Domain) -> Option<SliceId> {
        *self.identities.slices.get(domain.0 as usize)?
    }
}

//! The policy as the running switch holds it: slices keep their identity over reloads. Pure but
//! for the table of identities.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use umlaut_controller::Domain;
use umlaut_slice_db::{Policy, SliceId};

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
        let domains: Vec<Domain> = policy
            .slices()
            .map(|(_, name)| {
                let next = Domain(by_name.len() as u64);
                *by_name.entry(name.to_owned()).or_insert(next)
            })
            .collect();
        let slices = domains
            .iter()
            .enumerate()
            .map(|(slice, domain)| (*domain, SliceId(slice as u32)))
            .collect();
        SlicePolicy { policy, domains, slices }
    }
}

/// A policy with the identities of its slices.
#[derive(Debug)]
pub struct SlicePolicy {
    /// The policy.
    pub policy: Policy,
    domains: Vec<Domain>,
    slices: HashMap<Domain, SliceId>,
}

impl SlicePolicy {
    /// Another policy in place of this one, to try it: slices of the same name have the same identity,
    /// others have none.
    pub(crate) fn renewed(&self, policy: Policy) -> SlicePolicy {
        let identity = |name: &str| self.policy.slice(name).map(|slice| self.domain(slice));
        let domains: Vec<Domain> =
            policy.slices().map(|(_, name)| identity(name).unwrap_or(Domain(u64::MAX))).collect();
        let slices = domains.iter().enumerate().map(|(id, of)| (*of, SliceId(id as u32))).collect();
        SlicePolicy { policy, domains, slices }
    }

    /// The identity of a slice of this policy.
    pub fn domain(&self, slice: SliceId) -> Domain {
        // A slice id of this policy is below the number of its slices.
        self.domains.get(slice.0 as usize).copied().unwrap_or(Domain(u64::MAX))
    }

    /// The slice of this policy that has this identity, if there still is one.
    pub fn slice(&self, domain: Domain) -> Option<SliceId> {
        self.slices.get(&domain).copied()
    }
}

//! What the words of an application's policy are, for answers. Pure.

use umlaut_controller::path::FlowKey;
use umlaut_controller::{Context, Policy};
use umlaut_openflow::DatapathId;
use umlaut_slice_db::{Decision, Ingress};

use crate::explain::Explained;
use crate::explain::way::Versions;
use crate::sliceable::{self, SlicePolicy};

/// A policy that answers can speak of.
pub trait Vocabulary: Policy + Sized {
    /// Names of switches, hosts and slices, if the policy has any.
    fn slices(&self) -> Option<&SlicePolicy> {
        None
    }

    /// The decision behind a registered path, made again by whoever decides.
    fn decision(_cx: &Context<'_, Self>, _dpid: DatapathId, _key: &FlowKey) -> Option<Decision> {
        None
    }

    /// What is said of a frame, by whoever decides.
    fn explained(
        _cx: &Context<'_, Self>,
        _ingress: Ingress<'_>,
        _versions: Versions<'_>,
    ) -> Option<Explained> {
        None
    }
}

impl Vocabulary for () {}

impl Vocabulary for SlicePolicy {
    fn slices(&self) -> Option<&SlicePolicy> {
        Some(self)
    }

    fn decision(cx: &Context<'_, Self>, dpid: DatapathId, key: &FlowKey) -> Option<Decision> {
        Some(sliceable::decision(cx, dpid, key))
    }

    fn explained(
        cx: &Context<'_, Self>,
        ingress: Ingress<'_>,
        versions: Versions<'_>,
    ) -> Option<Explained> {
        Some(sliceable::explained(cx, ingress, versions))
    }
}

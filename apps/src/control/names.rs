//! The policy's names for what answers speak of. Pure.

use std::collections::HashMap;

use umlaut_controller::Domain;
use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo, Vid};

use super::protocol::Problem;
use crate::sliceable::SlicePolicy;

/// Names for one answer.
pub struct Names<'a> {
    policy: Option<&'a SlicePolicy>,
    hosts: HashMap<MacAddr, &'a str>,
}

impl<'a> Names<'a> {
    /// The names of a policy, if there is one.
    pub fn new(policy: Option<&'a SlicePolicy>) -> Names<'a> {
        let hosts = policy.into_iter().flat_map(|policy| policy.policy.hosts());
        Names { policy, hosts: hosts.map(|host| (host.mac, host.name.as_str())).collect() }
    }

    /// A switch.
    pub fn switch(&self, dpid: DatapathId) -> String {
        match self.policy {
            Some(policy) => policy.policy.switch_name(dpid),
            None => dpid.to_string(),
        }
    }

    /// A port.
    pub fn port(&self, (dpid, port): (DatapathId, PortNo)) -> String {
        format!("{}/{port}", self.switch(dpid))
    }

    /// A place of a host.
    pub fn place(&self, at: Attachment) -> String {
        let port = self.port((at.dpid, at.port));
        match at.vid {
            Vid::Untagged => port,
            Vid::Tagged(vid) => format!("{port} vlan {vid}"),
        }
    }

    /// A host, if it has a name.
    pub fn host(&self, mac: MacAddr) -> Option<&'a str> {
        self.hosts.get(&mac).copied()
    }

    /// A host by name, else by address.
    pub fn host_or_mac(&self, mac: MacAddr) -> String {
        self.host(mac).map_or_else(|| mac.to_string(), str::to_owned)
    }

    /// The slice of a domain, if the policy of now has it.
    pub fn slice(&self, domain: Domain) -> Option<&'a str> {
        let policy = self.policy?;
        Some(policy.policy.slice_name(policy.slice(domain)?))
    }

    /// `0x1/3` as the policy writes it.
    pub fn end(&self, text: &str) -> String {
        let parts = text.split_once('/');
        match parts.and_then(|(dpid, port)| Some((dpid.parse().ok()?, port))) {
            Some((dpid, port)) => format!("{}/{port}", self.switch(dpid)),
            None => text.to_owned(),
        }
    }

    // ---- the other way round ----

    /// The switch that a client names.
    ///
    /// # Errors
    /// `unknown-switch`.
    pub fn find_switch(&self, text: &str) -> Result<DatapathId, Problem> {
        let named = self.policy.and_then(|policy| {
            policy.policy.switches().find(|(name, _)| *name == text).map(|(_, dpid)| dpid)
        });
        named.or_else(|| text.parse().ok()).ok_or_else(|| {
            Problem::new(
                "unknown-switch",
                format!("{text}: no switch of the policy, no datapath id"),
            )
        })
    }

    /// The host that a client names.
    ///
    /// # Errors
    /// `unknown-host`.
    pub fn find_host(&self, text: &str) -> Result<MacAddr, Problem> {
        let named = self.policy.and_then(|policy| policy.policy.host(text)).map(|host| host.mac);
        named.or_else(|| text.parse().ok()).ok_or_else(|| {
            Problem::new("unknown-host", format!("{text}: no host of the policy, no MAC address"))
        })
    }

    /// The slice that a client names.
    ///
    /// # Errors
    /// `unknown-slice`.
    pub fn find_slice(&self, text: &str) -> Result<Domain, Problem> {
        let found = self.policy.and_then(|policy| Some(policy.domain(policy.policy.slice(text)?)));
        found
            .ok_or_else(|| Problem::new("unknown-slice", format!("{text}: no slice of the policy")))
    }
}

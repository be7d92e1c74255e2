//! Events as log lines. Runtime.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tracing::{debug, error, info, warn};

use super::refusals::{Refusals, Repeated};
use crate::view::{Event, Observer};

/// Writes events with `tracing`, as fields. Of connections that end before they are ready, the first
/// of each reason is written, and once a minute how many more there were.
#[derive(Debug, Default)]
pub struct LogObserver {
    refusals: Mutex<Refusals>,
}

impl LogObserver {
    fn is_new(&self, reason: &str, peer: &str) -> bool {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.note(reason, peer, Instant::now())
    }
}

impl Observer for LogObserver {
    fn tick(&self, now: Instant) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let due = refusals.take_due(now);
        drop(refusals);
        for Repeated { reason, times, peer } in due {
            warn!(times, reason, last = peer, "more connections ended before they were ready");
        }
    }

    fn event(&self, event: &Event) {
        match event {
            Event::SwitchReady { dpid, version, ports } => {
                info!(%dpid, %version, ports, "switch ready");
            }
            Event::SwitchGone { dpid, reason } => warn!(%dpid, reason, "switch gone"),
            Event::ConnectionRefused { peer, reason } => {
                if self.is_new(reason, peer) {
                    warn!(peer, reason, "connection ended before it was ready");
                }
            }
            Event::LinkUp { from, to } => info!(from, to, "link up"),
            Event::LinkDown { from, to } => info!(from, to, "link down"),
            Event::TopologySettled { switches, links } => {
                info!(switches, links, "topology settled");
            }
            Event::Alarm(alarm) => warn!(alarm, "discovery alarm"),
            Event::PathFailed { dpid, failure, .. } => {
                debug!(%dpid, ?failure, "path failed: its frames are forwarded one by one");
            }
            Event::Repaired { dpid, missing, strange } => {
                warn!(%dpid, missing, strange, "flow table repaired");
            }
            Event::Storm { dpid, port, sender, .. } => {
                warn!(%dpid, %port, %sender, "storm: packet-ins dropped");
            }
            Event::Resync { dpid } => warn!(%dpid, "resync: flows deleted"),
            Event::SwitchError { dpid, code } => warn!(%dpid, %code, "error from switch"),
            Event::PolicyInForce { revision } => info!(revision, "policy in force"),
            Event::PortUp { dpid, port } => info!(%dpid, %port, "port up"),
            Event::PortDown { dpid, port } => info!(%dpid, %port, "port down"),
            Event::HostLocated { mac, at, .. } => debug!(%mac, %at, "host located"),
            Event::HostMoved { mac, from, to, .. } => info!(%mac, %from, %to, "host moved"),
            Event::HostGone { mac, .. } => debug!(%mac, "host gone"),
            Event::AppFailed { app, message } => {
                error!(app, message, "application panicked: unloaded");
            }
            Event::NoticesLost { lost } => warn!(lost, "notices to applications lost"),
            Event::Refused { host, at, slice_hint, reason } => {
                info!(host, at, reason, hint = slice_hint, "host refused");
            }
        }
    }
}

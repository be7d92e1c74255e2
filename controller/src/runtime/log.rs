//! Events as log lines. Runtime.

use tracing::{debug, error, info, warn};

use crate::view::{Event, Observer};

/// Writes events with `tracing`, as fields.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogObserver;

impl Observer for LogObserver {
    fn event(&self, event: &Event) {
        match event {
            Event::SwitchReady { dpid, version, ports } => {
                info!(%dpid, %version, ports, "switch ready");
            }
            Event::SwitchGone { dpid, reason } => warn!(%dpid, reason, "switch gone"),
            Event::ConnectionRefused { peer, reason } => {
                warn!(peer, reason, "connection ended before it was ready");
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

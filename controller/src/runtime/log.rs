//! Events as log lines. Runtime.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tracing::{debug, error, info, warn};

use super::lines::{Kind, Lines, More};
use super::refusals::{Refusals, Repeated};
use crate::view::{Event, Observer};

/// Writes events with `tracing`, as fields. Of connections that end before they are ready, the first
/// of each reason is written, and once a minute how many more there were. Of what hosts and switches can
/// cause at any rate, 20 lines a second of each kind are written, and then how many more there were.
#[derive(Debug, Default)]
pub struct LogObserver {
    refusals: Mutex<Refusals>,
    lines: Mutex<Lines>,
}

impl LogObserver {
    fn is_new(&self, reason: &str, peer: &str) -> bool {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.note(reason, peer, Instant::now())
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an event is written at this time, after what was not before it.
    fn within_rate(&self, event: &Event, now: Instant) -> bool {
        let Some(kind) = kind_by_rate(event) else { return true };
        let (more, write) = self.lines().note(kind, now);
        more.into_iter().for_each(write_more);
        write
    }
}

/// The kind of an event of which there may be any number.
fn kind_by_rate(event: &Event) -> Option<Kind> {
    Some(match event {
        Event::Refused { .. } => "host refused",
        Event::HostMoved { .. } => "host moved",
        Event::Alarm(_) => "discovery alarm",
        Event::SwitchError { .. } => "error from switch",
        Event::Storm { .. } => "storm",
        _ => return None,
    })
}

fn write_more(more: More) {
    let More { kind, times } = more;
    warn!(kind, times, "more of these in one second");
}

impl Observer for LogObserver {
    fn tick(&self, now: Instant) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let due = refusals.take_due(now);
        drop(refusals);
        for Repeated { reason, times, peer } in due {
            warn!(times, reason, last = peer, "more connections ended before they were ready");
        }
        let more = self.lines().take_due(now);
        more.into_iter().for_each(write_more);
    }

    fn event(&self, event: &Event) {
        if !self.within_rate(event, Instant::now()) {
            return;
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_hosts_cause_is_written_by_rate_and_what_changes_once_always() {
        let (observer, now) = (LogObserver::default(), Instant::now());
        let refused = |n: u32| Event::Refused {
            host: format!("02:00:00:00:00:{n:02x}"),
            at: "s1/1".to_owned(),
            slice_hint: String::new(),
            reason: "no-binding",
        };
        let written =
            |now| (0..200).filter(|n| observer.within_rate(&refused(*n), now)).count() as u64;
        assert_eq!(written(now), super::super::lines::LINES);
        assert_eq!(written(now + Duration::from_millis(999)), 0);
        assert_eq!(written(now + Duration::from_secs(1)), super::super::lines::LINES);
        let policy = |revision| Event::PolicyInForce { revision };
        assert!((0..200).all(|n| observer.within_rate(&policy(n), now)));
    }
}

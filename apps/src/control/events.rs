//! What happened of late, for those who ask and those who follow. Shared.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;
use umlaut_controller::{Domain, Event, Observer};
use umlaut_openflow::MacAddr;

use super::names::Names;
use super::rows::EventRow;
use crate::calendar::rfc3339;

/// How many events are kept. When there are as many, the oldest goes for each new one; a follower
/// that had not taken it yet is told how many it lost.
pub const EVENTS: usize = 4096;

/// Something that happened, and when.
#[derive(Debug)]
pub struct Recorded {
    /// Counts all events from 0.
    pub number: u64,
    /// By the system's clock.
    pub time: SystemTime,
    /// What.
    pub event: Event,
}

#[derive(Default)]
struct Ring {
    kept: VecDeque<Arc<Recorded>>,
    next: u64,
    counts: BTreeMap<&'static str, u64>,
    notices_lost: u64,
}

/// Keeps the last [`EVENTS`] events. Its lock is held to put one in or to take references out; it is
/// taken when something happens in the network, never for a packet that is forwarded.
pub struct EventLog {
    ring: Mutex<Ring>,
    /// The number of the next event: followers wait for it to change.
    next: watch::Sender<u64>,
}

impl Default for EventLog {
    fn default() -> EventLog {
        EventLog { ring: Mutex::default(), next: watch::Sender::new(0) }
    }
}

impl Observer for EventLog {
    fn event(&self, event: &Event) {
        let (time, event) = (SystemTime::now(), event.clone());
        let mut ring = self.ring();
        let number = ring.next;
        ring.next += 1;
        debug_assert!(KINDS.contains(&kind(&event)), "a kind that can be asked for: {event:?}");
        *ring.counts.entry(kind(&event)).or_default() += 1;
        if let Event::NoticesLost { lost } = event {
            ring.notices_lost += lost;
        }
        ring.kept.push_back(Arc::new(Recorded { number, time, event }));
        let oldest = (ring.kept.len() > EVENTS).then(|| ring.kept.pop_front());
        let next = ring.next;
        drop(ring);
        drop(oldest);
        self.next.send_if_modified(|told| {
            let newer = next > *told;
            *told = next.max(*told);
            newer
        });
    }
}

impl EventLog {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        // A panicking holder leaves at worst an event uncounted.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At most `most` events from a number on, and how many between it and the first of them are
    /// lost.
    pub fn take(&self, from: u64, most: usize) -> (u64, Vec<Arc<Recorded>>) {
        let ring = self.ring();
        let oldest = ring.next - ring.kept.len() as u64;
        let skip = from.saturating_sub(oldest) as usize;
        let events = ring.kept.iter().skip(skip).take(most).cloned().collect();
        (oldest.saturating_sub(from), events)
    }

    /// The number of the oldest event that is kept.
    pub fn oldest(&self) -> u64 {
        let ring = self.ring();
        ring.next - ring.kept.len() as u64
    }

    /// Tells when there are more events.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.next.subscribe()
    }

    /// How many events there were of each kind, and how many notices to applications were lost.
    pub fn counts(&self) -> (BTreeMap<String, u64>, u64) {
        let ring = self.ring();
        let counts = ring.counts.iter().map(|(kind, count)| ((*kind).to_owned(), *count));
        (counts.collect(), ring.notices_lost)
    }
}

/// The names of all kinds of events.
pub const KINDS: [&str; 21] = [
    "switch-ready",
    "switch-gone",
    "connection-refused",
    "port-up",
    "port-down",
    "link-up",
    "link-down",
    "topology-settled",
    "host-located",
    "host-moved",
    "host-gone",
    "host-refused",
    "policy-in-force",
    "path-failed",
    "resync",
    "repaired",
    "storm",
    "switch-error",
    "alarm",
    "app-failed",
    "notices-lost",
];

/// The stable name of a kind of event.
pub fn kind(event: &Event) -> &'static str {
    match event {
        Event::SwitchReady { .. } => "switch-ready",
        Event::SwitchGone { .. } => "switch-gone",
        Event::ConnectionRefused { .. } => "connection-refused",
        Event::LinkUp { .. } => "link-up",
        Event::LinkDown { .. } => "link-down",
        Event::TopologySettled { .. } => "topology-settled",
        Event::Alarm(_) => "alarm",
        Event::PathFailed { .. } => "path-failed",
        Event::Resync { .. } => "resync",
        Event::Repaired { .. } => "repaired",
        Event::Storm { .. } => "storm",
        Event::SwitchError { .. } => "switch-error",
        Event::Refused { .. } => "host-refused",
        Event::PolicyInForce { .. } => "policy-in-force",
        Event::PortUp { .. } => "port-up",
        Event::PortDown { .. } => "port-down",
        Event::HostLocated { .. } => "host-located",
        Event::HostMoved { .. } => "host-moved",
        Event::HostGone { .. } => "host-gone",
        Event::AppFailed { .. } => "app-failed",
        Event::NoticesLost { .. } => "notices-lost",
        _ => "other",
    }
}

/// An event with the names of the policy of now.
pub(super) fn row(recorded: &Recorded, names: &Names<'_>) -> EventRow {
    let mut about = BTreeMap::new();
    let mut set = |key: &str, value: String| {
        about.insert(key.to_owned(), value);
    };
    let mut host = |domain: &Domain, mac: &MacAddr| {
        let slice = names.slice(*domain).map(str::to_owned);
        set("mac", mac.to_string());
        if let Some(name) = names.host(*mac) {
            set("host", name.to_owned());
        }
        if let Some(slice) = &slice {
            set("slice", slice.clone());
        }
        let of = slice.map_or(String::new(), |slice| format!(" of {slice}"));
        format!("{}{of}", names.host_or_mac(*mac))
    };
    let text = match &recorded.event {
        Event::SwitchReady { dpid, version, ports } => {
            set("switch", names.switch(*dpid));
            set("openflow", version.to_string());
            format!("{} is ready: OpenFlow {version}, {ports} ports", names.switch(*dpid))
        }
        Event::SwitchGone { dpid, reason } => {
            set("switch", names.switch(*dpid));
            set("reason", reason.clone());
            format!("{} is gone: {reason}", names.switch(*dpid))
        }
        Event::ConnectionRefused { peer, reason } => {
            set("peer", peer.clone());
            set("reason", reason.clone());
            format!("connection from {peer} ended before it was ready: {reason}")
        }
        Event::LinkUp { from, to } | Event::LinkDown { from, to } => {
            let (from, to) = (names.end(from), names.end(to));
            let text = match recorded.event {
                Event::LinkUp { .. } => format!("link from {from} to {to}"),
                _ => format!("no link from {from} to {to} any more"),
            };
            set("from", from);
            set("to", to);
            text
        }
        Event::TopologySettled { switches, links } => {
            format!("topology settled: {switches} switches, {links} links (each direction)")
        }
        Event::Alarm(alarm) => alarm.clone(),
        Event::PathFailed { dpid, failure, .. } => {
            set("switch", names.switch(*dpid));
            set("reason", format!("{failure:?}").to_lowercase());
            format!("a path from {} was not installed ({failure:?})", names.switch(*dpid))
        }
        Event::Resync { dpid } => {
            set("switch", names.switch(*dpid));
            format!("flows of {} deleted to start anew", names.switch(*dpid))
        }
        Event::Repaired { dpid, missing, strange } => {
            set("switch", names.switch(*dpid));
            set("missing", missing.to_string());
            set("strange", strange.to_string());
            let switch = names.switch(*dpid);
            format!("{switch}: {missing} entries put back, {strange} of nobody deleted")
        }
        Event::Storm { dpid, port, domain, sender } => {
            let port = names.port((*dpid, *port));
            set("port", port.clone());
            set("mac", sender.to_string());
            let of = match domain.and_then(|domain| names.slice(domain)) {
                Some(slice) => {
                    set("slice", slice.to_owned());
                    format!("of {slice}")
                }
                None => "of senders that no slice admits".to_owned(),
            };
            let sender = names.host_or_mac(*sender);
            format!(
                "storm {of} on {port}: frames that no entry matches are dropped, one was of {sender}"
            )
        }
        Event::SwitchError { dpid, code } => {
            set("switch", names.switch(*dpid));
            set("code", code.to_string());
            format!("{} answered with error {code}", names.switch(*dpid))
        }
        Event::Refused { host, at, reason, slice_hint } => {
            let place = match at.split_once(' ') {
                Some((port, vlan)) => format!("{} {vlan}", names.end(port)),
                None => names.end(at),
            };
            let mac = host.parse().ok();
            if let Some(name) = mac.and_then(|mac| names.host(mac)) {
                set("host", name.to_owned());
            }
            set("mac", host.clone());
            set("reason", (*reason).to_owned());
            if !slice_hint.is_empty() {
                set("hint", slice_hint.clone());
            }
            let name = mac.map_or_else(|| host.clone(), |mac| names.host_or_mac(mac));
            let text = format!("{name} refused at {place}: {reason}");
            set("at", place);
            text
        }
        Event::PolicyInForce { revision } => {
            set("revision", revision.to_string());
            format!("policy in force, revision {revision}")
        }
        Event::PortUp { dpid, port } | Event::PortDown { dpid, port } => {
            let name = names.port((*dpid, *port));
            let up = matches!(recorded.event, Event::PortUp { .. });
            set("port", name.clone());
            format!("{name} is {}", if up { "up" } else { "down" })
        }
        Event::HostLocated { domain, mac, at } => {
            let host = host(domain, mac);
            set("at", names.place(*at));
            format!("{host} is at {}", names.place(*at))
        }
        Event::HostMoved { domain, mac, from, to } => {
            let host = host(domain, mac);
            set("from", names.place(*from));
            set("at", names.place(*to));
            format!("{host} moved from {} to {}", names.place(*from), names.place(*to))
        }
        Event::HostGone { domain, mac } => format!("{} is forgotten", host(domain, mac)),
        Event::AppFailed { app, message } => {
            set("app", app.clone());
            format!("application {app} panicked and is unloaded: {message}")
        }
        Event::NoticesLost { lost } => {
            set("lost", lost.to_string());
            format!("{lost} notices to applications lost")
        }
        other => format!("{other:?}"),
    };
    EventRow {
        number: recorded.number,
        time: rfc3339(recorded.time),
        event: kind(&recorded.event).to_owned(),
        text,
        about,
    }
}

#[cfg(test)]
mod tests {
    use umlaut_openflow::{DatapathId, PortNo};

    use super::*;

    #[test]
    fn the_oldest_events_go_and_whoever_missed_them_is_told() {
        let log = EventLog::default();
        let mut news = log.news();
        for revision in 0..EVENTS as u64 + 10 {
            log.event(&Event::PolicyInForce { revision });
        }
        assert!(news.has_changed().unwrap());
        assert_eq!(*news.borrow_and_update(), EVENTS as u64 + 10);
        assert_eq!(log.oldest(), 10);
        let (lost, events) = log.take(3, 5);
        assert_eq!((lost, events.len(), events[0].number), (7, 5, 10));
        let (lost, events) = log.take(EVENTS as u64 + 8, 100);
        assert_eq!((lost, events.len()), (0, 2));
        assert_eq!(log.take(EVENTS as u64 + 10, 100).1.len(), 0);
        assert_eq!(log.counts().0["policy-in-force"], EVENTS as u64 + 10);
    }

    #[test]
    fn an_event_is_told_in_words_and_as_data() {
        let names = Names::new(None);
        let event = Event::PortDown { dpid: DatapathId(1), port: PortNo(3) };
        let recorded = Recorded { number: 7, time: SystemTime::UNIX_EPOCH, event };
        let row = serde_json::to_value(row(&recorded, &names)).unwrap();
        assert_eq!(
            row,
            serde_json::json!({
                "number": 7,
                "time": "1970-01-01T00:00:00.000Z",
                "event": "port-down",
                "text": "0x1/3 is down",
                "port": "0x1/3",
            })
        );
    }
}

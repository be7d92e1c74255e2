//! Queues of ports: what there is and what left by them (1.3.5 §7.2.2, §7.3.6). Pure.
//!
//! As in Open vSwitch every port has queue 0. Queues do not slow anything down.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use umlaut_openflow::{PortNo, QueueConfig, QueueProperty, QueueStats};

#[derive(Debug)]
struct Queue {
    properties: Vec<QueueProperty>,
    /// `None`: with the switch.
    made: Option<Instant>,
    tx_packets: u64,
    tx_bytes: u64,
}

/// All queues of a switch.
#[derive(Debug, Default)]
pub(super) struct Queues {
    queues: BTreeMap<(PortNo, u32), Queue>,
}

/// The queue of frames that no action puts into another.
pub(super) const DEFAULT: u32 = 0;

impl Queues {
    /// Adds a queue, or gives one other properties.
    pub(super) fn add(
        &mut self,
        port: PortNo,
        queue_id: u32,
        properties: Vec<QueueProperty>,
        made: Option<Instant>,
    ) {
        let fresh = Queue { properties: Vec::new(), made, tx_packets: 0, tx_bytes: 0 };
        self.queues.entry((port, queue_id)).or_insert(fresh).properties = properties;
    }

    /// Removes the queues of a port.
    pub(super) fn remove_port(&mut self, port: PortNo) {
        self.queues.retain(|(at, _), _| *at != port);
    }

    /// Counts a frame that leaves. One that is put into a queue that is not there leaves by the
    /// default.
    pub(super) fn count(&mut self, port: PortNo, queue_id: u32, len: usize) {
        let id = if self.queues.contains_key(&(port, queue_id)) { queue_id } else { DEFAULT };
        if let Some(queue) = self.queues.get_mut(&(port, id)) {
            queue.tx_packets += 1;
            queue.tx_bytes += len as u64;
        }
    }

    fn asked(&self, port: Option<PortNo>) -> impl Iterator<Item = (PortNo, u32, &Queue)> {
        let queues = self.queues.iter().map(|((at, id), queue)| (*at, *id, queue));
        queues.filter(move |(at, _, _)| port.is_none_or(|port| port == *at))
    }

    /// The queues of a port, or (`None`) of all.
    pub(super) fn configs(&self, port: Option<PortNo>) -> Vec<QueueConfig> {
        let config = |(port, queue_id, queue): (PortNo, u32, &Queue)| QueueConfig {
            queue_id,
            port,
            properties: queue.properties.clone(),
        };
        self.asked(port).map(config).collect()
    }

    /// What left by one queue or (`None`) all of a port, or (`None`) of all ports.
    pub(super) fn stats(
        &self,
        port: Option<PortNo>,
        queue_id: Option<u32>,
        now: Option<Instant>,
    ) -> Vec<QueueStats> {
        let stats = |(port, queue_id, queue): (PortNo, u32, &Queue)| QueueStats {
            port,
            queue_id,
            tx_bytes: queue.tx_bytes,
            tx_packets: queue.tx_packets,
            tx_errors: 0,
            duration: match (now, queue.made) {
                (Some(now), Some(made)) => now.saturating_duration_since(made),
                _ => Duration::ZERO,
            },
        };
        let wanted = |queue: &(PortNo, u32, &Queue)| queue_id.is_none_or(|id| id == queue.1);
        self.asked(port).filter(wanted).map(stats).collect()
    }
}

//! Queues: configuration and statistics (1.3.5 §7.2.2, §7.3.6; 1.0 §5.2.2, §5.3.4). Pure.

use std::time::Duration;

use crate::types::PortNo;

/// A queue of a port.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct QueueConfig {
    /// The queue.
    pub queue_id: u32,
    /// Its port; in 1.0 that of the reply around it.
    pub port: PortNo,
    /// Its properties.
    pub properties: Vec<QueueProperty>,
}

/// A property of a queue. Rates are in tenths of a percent; above 1000 the property is off.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum QueueProperty {
    /// Guaranteed rate.
    MinRate(u16),
    /// Rate that it may not exceed. 1.2 and later.
    MaxRate(u16),
    /// An experimenter's property. 1.2 and later.
    Experimenter {
        /// The experimenter's id.
        experimenter: u32,
        /// What follows the id and its padding.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::hex"))]
        body: Vec<u8>,
    },
    /// Any other, verbatim.
    Raw {
        /// OFPQT_*.
        kind: u16,
        /// What follows the property's 8-byte head.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::hex"))]
        body: Vec<u8>,
    },
}

/// Statistics of a queue (OFPMP_QUEUE).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct QueueStats {
    /// Its port.
    pub port: PortNo,
    /// The queue.
    pub queue_id: u32,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets dropped for want of room.
    pub tx_errors: u64,
    /// How long it has existed; zero in 1.0.
    pub duration: Duration,
}

//! Meters: modification, configuration, statistics (1.3.5 §5.7, §7.3.4.4). 1.3 and later. Pure.

use std::time::Duration;

use super::group::Counter;
use crate::types::newtype;

newtype! {
    /// A meter.
    MeterId(u32) "{}" {
        /// The highest number of an ordinary meter.
        MAX = 0xffff_0000,
        /// Meter of the slow path.
        SLOWPATH = 0xffff_fffd,
        /// Meter of the connection to the controller.
        CONTROLLER = 0xffff_fffe,
        /// All meters, in deletions and statistics requests.
        ALL = 0xffff_ffff,
    }
}

newtype! {
    /// What a meter-mod does.
    MeterCommand(u16) "meter-mod command {}" {
        /// Adds a meter.
        ADD = 0,
        /// Changes a meter.
        MODIFY = 1,
        /// Deletes a meter.
        DELETE = 2,
    }
}

newtype! {
    /// Flags of a meter.
    MeterFlags(u16) "{:#x}" {
        /// Rates are in kilobits per second.
        KBPS = 1,
        /// Rates are in packets per second.
        PKTPS = 2,
        /// Burst sizes count.
        BURST = 4,
        /// Statistics are collected.
        STATS = 8,
    }
}

/// What a meter does above a rate.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MeterBand {
    /// From this rate on, in the unit of the meter's flags.
    pub rate: u32,
    /// Size of bursts: kilobits or packets.
    pub burst_size: u32,
    /// What happens.
    pub kind: MeterBandKind,
}

/// Kind of a meter band.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum MeterBandKind {
    /// Drops the packet.
    Drop,
    /// Raises the drop precedence of the DSCP.
    DscpRemark {
        /// By how many levels.
        prec_level: u8,
    },
    /// An experimenter's band.
    Experimenter {
        /// The experimenter's id.
        experimenter: u32,
        /// What follows the id.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::hex"))]
        body: Vec<u8>,
    },
    /// Any other, verbatim.
    Raw {
        /// OFPMBT_*.
        kind: u16,
        /// What follows the burst size.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::hex"))]
        body: Vec<u8>,
    },
}

/// Adds, changes or deletes a meter (OFPT_METER_MOD).
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MeterMod {
    /// What to do.
    pub command: MeterCommand,
    /// Flags.
    pub flags: MeterFlags,
    /// The meter.
    pub meter_id: MeterId,
    /// Its bands, in any order.
    pub bands: Vec<MeterBand>,
}

/// What a meter is (OFPMP_METER_CONFIG).
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MeterConfig {
    /// Flags.
    pub flags: MeterFlags,
    /// The meter.
    pub meter_id: MeterId,
    /// Its bands.
    pub bands: Vec<MeterBand>,
}

/// What went through a meter (OFPMP_METER).
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MeterStats {
    /// The meter.
    pub meter_id: MeterId,
    /// Flow entries that use it.
    pub flow_count: u32,
    /// Packets in.
    pub packet_in_count: u64,
    /// Bytes in.
    pub byte_in_count: u64,
    /// How long it has existed.
    pub duration: Duration,
    /// What each band took.
    pub bands: Vec<Counter>,
}

/// What meters a switch can (OFPMP_METER_FEATURES).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MeterFeatures {
    /// How many meters.
    pub max_meter: u32,
    /// Bit n: the band type n.
    pub band_types: u32,
    /// Bits of [`MeterFlags`].
    pub capabilities: u32,
    /// How many bands in a meter.
    pub max_bands: u8,
    /// The highest colour value.
    pub max_color: u8,
}

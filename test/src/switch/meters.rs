//! Meters of 1.3: rate limits that drop packets (1.3.5 §5.7, §6.8). Pure.
//!
//! As in the user-space datapath of Open vSwitch: bands only drop; each has a bucket of tokens that is
//! full at first, holds as much as the burst (one second of the rate if none is given), and fills with
//! time. Of the bands that a packet exceeds, the one with the highest rate drops it and counts it.

use std::collections::BTreeMap;
use std::time::Instant;

use umlaut_openflow::{
    Counter, MeterBand, MeterBandKind, MeterCommand, MeterConfig, MeterFeatures, MeterFlags,
    MeterId, MeterMod, MeterStats,
};

use super::error::Refusal;

/// How many bands a meter has at most.
const MAX_BANDS: usize = 8;

/// How many meters a switch says that it has.
const MAX_METERS: u32 = 0x4_0000;

/// Tokens per packet, and per bit: a rate of one fills one token in a millisecond.
const PACKET: u64 = 1000;

#[derive(Debug)]
struct Meter {
    config: MeterConfig,
    made: Instant,
    used: Instant,
    /// In thousandths of a packet, or bits.
    buckets: Vec<u64>,
    counter: Counter,
    counters: Vec<Counter>,
}

/// All meters of a switch.
#[derive(Debug, Default)]
pub(super) struct Meters {
    meters: BTreeMap<MeterId, Meter>,
}

/// What a meter says of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Metered {
    Pass,
    Drop,
}

pub(super) fn features() -> MeterFeatures {
    MeterFeatures {
        max_meter: MAX_METERS,
        // Bit 1: dropping.
        band_types: 1 << 1,
        capabilities: 0xf,
        max_bands: MAX_BANDS as u8,
        max_color: 0,
    }
}

fn is_meter(id: MeterId) -> bool {
    (1..=MeterId::MAX.0).contains(&id.0) || id == MeterId::CONTROLLER || id == MeterId::SLOWPATH
}

/// Whether a meter-mod is one, whatever meters there are. In the order in which Open vSwitch looks.
fn check(change: &MeterMod) -> Result<(), Refusal> {
    let unit = MeterFlags::KBPS.0 | MeterFlags::PKTPS.0;
    if change.command.0 > MeterCommand::DELETE.0 {
        return Err(Refusal::METER_BAD_COMMAND);
    }
    if change.command == MeterCommand::DELETE {
        return Ok(());
    }
    if change.bands.iter().any(|band| matches!(band.kind, MeterBandKind::Raw { .. })) {
        return Err(Refusal::METER_BAD_BAND);
    }
    if change.flags.0 & unit == unit || change.flags.0 & unit == 0 || change.flags.0 & !0xf != 0 {
        return Err(Refusal::METER_BAD_FLAGS);
    }
    if change.bands.iter().any(|band| band.rate == 0) {
        return Err(Refusal::METER_BAD_RATE);
    }
    if !is_meter(change.meter_id) {
        return Err(Refusal::METER_INVALID);
    }
    if change.bands.is_empty() || change.bands.len() > MAX_BANDS {
        return Err(Refusal::METER_OUT_OF_BANDS);
    }
    Ok(())
}

impl Meters {
    pub(super) fn contains(&self, id: u32) -> bool {
        self.meters.contains_key(&MeterId(id))
    }

    /// Does what a meter-mod says; the meters that are gone.
    pub(super) fn modify(
        &mut self,
        change: MeterMod,
        now: Instant,
    ) -> Result<Vec<MeterId>, Refusal> {
        check(&change)?;
        let id = change.meter_id;
        match (change.command, self.meters.contains_key(&id)) {
            (MeterCommand::DELETE, _) if id == MeterId::ALL => {
                return Ok(std::mem::take(&mut self.meters).into_keys().collect());
            }
            (MeterCommand::DELETE, _) => {
                return Ok(self.meters.remove(&id).map(|_| id).into_iter().collect());
            }
            (MeterCommand::ADD, true) => return Err(Refusal::METER_EXISTS),
            (MeterCommand::MODIFY, false) => return Err(Refusal::METER_UNKNOWN),
            _ => {}
        }
        if change.bands.iter().any(|band| !matches!(band.kind, MeterBandKind::Drop)) {
            return Err(Refusal::METER_BAD_BAND);
        }
        let own = |band: MeterBand| MeterBand {
            burst_size: if band.burst_size == 0 { band.rate } else { band.burst_size },
            ..band
        };
        let bands: Vec<MeterBand> = change.bands.into_iter().map(own).collect();
        let meter = Meter {
            made: self.meters.get(&id).map_or(now, |old| old.made),
            used: now,
            buckets: bands.iter().map(|band| u64::from(band.burst_size) * PACKET).collect(),
            counter: Counter::default(),
            counters: vec![Counter::default(); bands.len()],
            config: MeterConfig { flags: change.flags, meter_id: id, bands },
        };
        self.meters.insert(id, meter);
        Ok(Vec::new())
    }

    /// Lets a packet of `len` bytes through a meter, or not. No meter: it passes.
    pub(super) fn pass(&mut self, id: u32, len: usize, now: Instant) -> Metered {
        let Some(meter) = self.meters.get_mut(&MeterId(id)) else { return Metered::Pass };
        // A token a millisecond per unit of the rate: time is taken in whole milliseconds.
        let passed = now.saturating_duration_since(meter.used).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        meter.used += std::time::Duration::from_millis(passed);
        let bytes = len as u64;
        meter.counter.packet_count += 1;
        meter.counter.byte_count += bytes;
        let need = match meter.config.flags.0 & MeterFlags::PKTPS.0 {
            0 => bytes * 8,
            _ => PACKET,
        };
        let mut exceeded: Option<usize> = None;
        for (place, band) in meter.config.bands.iter().enumerate() {
            let bucket = &mut meter.buckets[place];
            let full = u64::from(band.burst_size) * PACKET;
            *bucket = bucket.saturating_add(passed.saturating_mul(band.rate.into())).min(full);
            if *bucket >= need {
                *bucket -= need;
            } else if exceeded.is_none_or(|other| meter.config.bands[other].rate < band.rate) {
                exceeded = Some(place);
            }
        }
        match exceeded {
            Some(place) => {
                meter.counters[place].packet_count += 1;
                meter.counters[place].byte_count += bytes;
                Metered::Drop
            }
            None => Metered::Pass,
        }
    }

    fn asked(&self, id: MeterId) -> Result<Vec<&Meter>, Refusal> {
        match self.meters.get(&id) {
            _ if id == MeterId::ALL => Ok(self.meters.values().collect()),
            Some(meter) => Ok(vec![meter]),
            None => Err(Refusal::METER_UNKNOWN),
        }
    }

    /// Statistics of one meter or all; `references`: how many flow entries use it.
    pub(super) fn stats(
        &self,
        id: MeterId,
        now: Instant,
        references: impl Fn(u32) -> u32,
    ) -> Result<Vec<MeterStats>, Refusal> {
        let stats = |meter: &Meter| MeterStats {
            meter_id: meter.config.meter_id,
            flow_count: references(meter.config.meter_id.0),
            packet_in_count: meter.counter.packet_count,
            byte_in_count: meter.counter.byte_count,
            duration: now.saturating_duration_since(meter.made),
            bands: meter.counters.clone(),
        };
        Ok(self.asked(id)?.into_iter().map(stats).collect())
    }

    pub(super) fn configs(&self, id: MeterId) -> Result<Vec<MeterConfig>, Refusal> {
        Ok(self.asked(id)?.into_iter().map(|meter| meter.config.clone()).collect())
    }
}

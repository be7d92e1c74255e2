//! Groups and meters of 1.3 (1.3.5 §7.3.4.2, §7.3.4.4, §7.3.5.9 to §7.3.5.14). Pure.

use bytes::{BufMut, BytesMut};

use super::action;
use crate::common::OfpCounter;
use crate::error::Part;
use crate::model::{
    Bucket, GroupCommand, GroupDescription, GroupMod, GroupStats, GroupType, MeterBand,
    MeterBandKind, MeterCommand, MeterConfig, MeterFlags, MeterId, MeterMod, MeterStats,
};
use crate::types::{GroupId, PortNo};
use crate::wire::{Decoded, Lifetime, Parsed, Put, ended, entry, fixed, list, with_length, within};

fixed! {
    /// `ofp_group_mod` before the buckets.
    OfpGroupMod { command: GroupCommand, kind: GroupType, [1], group_id: GroupId, }
    /// `ofp_bucket` before the actions.
    OfpBucket { len: u16, weight: u16, watch_port: PortNo, watch_group: GroupId, [4], }
    /// `ofp_group_desc` before the buckets (§7.3.5.10).
    OfpGroupDesc { length: u16, kind: GroupType, [1], group_id: GroupId, }
    /// `ofp_group_stats` before the bucket counters (§7.3.5.9).
    OfpGroupStats {
        length: u16,
        [2],
        group_id: GroupId,
        ref_count: u32,
        [4],
        packet_count: u64,
        byte_count: u64,
        duration: Lifetime,
    }
    /// `ofp_meter_mod` before the bands.
    OfpMeterMod { command: MeterCommand, flags: MeterFlags, meter_id: MeterId, }
    /// `ofp_meter_band_header`.
    OfpMeterBand { kind: u16, len: u16, rate: u32, burst_size: u32, }
    /// `ofp_meter_band_drop` behind its head.
    OfpBandDrop { [4], }
    /// `ofp_meter_band_dscp_remark` behind its head.
    OfpBandDscp { prec_level: u8, [3], }
    /// `ofp_meter_band_experimenter` behind its head.
    OfpBandExperimenter { experimenter: u32, }
    /// `ofp_meter_config` before the bands (§7.3.5.13).
    OfpMeterConfig { length: u16, flags: MeterFlags, meter_id: MeterId, }
    /// `ofp_meter_stats` before the band counters (§7.3.5.12).
    OfpMeterStats {
        meter_id: MeterId,
        len: u16,
        [6],
        flow_count: u32,
        packet_in_count: u64,
        byte_in_count: u64,
        duration: Lifetime,
    }
}

// ---- groups ----

fn buckets(input: &[u8]) -> Decoded<Vec<Bucket>> {
    list(input, OfpBucket::SIZE, |at| {
        let (_, head) = OfpBucket::parse(at).map_err(within(Part::Bucket))?;
        let (rest, whole) =
            entry(at, 0, OfpBucket::SIZE, "bucket.len").map_err(within(Part::Bucket))?;
        let bucket = Bucket {
            weight: head.weight,
            watch_port: head.watch_port,
            watch_group: head.watch_group,
            actions: action::actions(&whole[OfpBucket::SIZE..])?.into(),
        };
        Ok((rest, bucket))
    })
}

fn put_buckets(buckets: &[Bucket], out: &mut BytesMut) -> Put {
    buckets.iter().try_for_each(|bucket| {
        with_length(out, 0, "bucket", |out| {
            let Bucket { weight, watch_port, watch_group, ref actions } = *bucket;
            OfpBucket { len: 0, weight, watch_port, watch_group }.write(out)?;
            action::put_actions(actions, out)
        })
    })
}

pub(super) fn group_mod(body: &[u8]) -> Decoded<GroupMod> {
    let (rest, head) = OfpGroupMod::parse(body)?;
    let OfpGroupMod { command, kind, group_id } = head;
    Ok(GroupMod { command, kind, group_id, buckets: buckets(rest)? })
}

pub(super) fn put_group_mod(group: &GroupMod, out: &mut BytesMut) -> Put {
    let GroupMod { command, kind, group_id, ref buckets } = *group;
    OfpGroupMod { command, kind, group_id }.write(out)?;
    put_buckets(buckets, out)
}

pub(super) fn group_description(input: &[u8]) -> Parsed<'_, GroupDescription> {
    let (_, head) = OfpGroupDesc::parse(input)?;
    let (rest, whole) = entry(input, 0, OfpGroupDesc::SIZE, "group_desc.length")?;
    let OfpGroupDesc { kind, group_id, .. } = head;
    let buckets = buckets(&whole[OfpGroupDesc::SIZE..])?;
    Ok((rest, GroupDescription { kind, group_id, buckets }))
}

pub(super) fn put_group_description(group: &GroupDescription, out: &mut BytesMut) -> Put {
    with_length(out, 0, "group description", |out| {
        let GroupDescription { kind, group_id, ref buckets } = *group;
        OfpGroupDesc { length: 0, kind, group_id }.write(out)?;
        put_buckets(buckets, out)
    })
}

pub(super) fn group_stats(input: &[u8]) -> Parsed<'_, GroupStats> {
    let (_, head) = OfpGroupStats::parse(input)?;
    let (rest, whole) = entry(input, 0, OfpGroupStats::SIZE, "group_stats.length")?;
    let counters = &whole[OfpGroupStats::SIZE..];
    let stats = GroupStats {
        group_id: head.group_id,
        ref_count: head.ref_count,
        packet_count: head.packet_count,
        byte_count: head.byte_count,
        duration: head.duration,
        buckets: OfpCounter::list(counters)?,
    };
    Ok((rest, stats))
}

pub(super) fn put_group_stats(group: &GroupStats, out: &mut BytesMut) -> Put {
    with_length(out, 0, "group statistics", |out| {
        let GroupStats { group_id, ref_count, packet_count, byte_count, duration, ref buckets } =
            *group;
        OfpGroupStats { length: 0, group_id, ref_count, packet_count, byte_count, duration }
            .write(out)?;
        buckets.iter().try_for_each(|counter| OfpCounter::write(counter, out))
    })
}

// ---- meters ----

const DROP: u16 = 1;
const DSCP_REMARK: u16 = 2;
const EXPERIMENTER: u16 = 0xffff;

fn bands(input: &[u8]) -> Decoded<Vec<MeterBand>> {
    list(input, OfpMeterBand::SIZE, |at| band(at).map_err(within(Part::Band)))
}

fn band(input: &[u8]) -> Parsed<'_, MeterBand> {
    let (_, head) = OfpMeterBand::parse(input)?;
    let (rest, whole) = entry(input, 2, OfpMeterBand::SIZE, "meter_band.len")?;
    let body = &whole[OfpMeterBand::SIZE..];
    let kind = match head.kind {
        DROP => {
            ended(OfpBandDrop::parse(body)?.0)?;
            MeterBandKind::Drop
        }
        DSCP_REMARK => {
            let (end, band) = OfpBandDscp::parse(body)?;
            ended(end)?;
            MeterBandKind::DscpRemark { prec_level: band.prec_level }
        }
        EXPERIMENTER => {
            let (data, band) = OfpBandExperimenter::parse(body)?;
            let experimenter = band.experimenter;
            MeterBandKind::Experimenter { experimenter, body: data.to_vec() }
        }
        kind => MeterBandKind::Raw { kind, body: body.to_vec() },
    };
    Ok((rest, MeterBand { rate: head.rate, burst_size: head.burst_size, kind }))
}

fn put_bands(bands: &[MeterBand], out: &mut BytesMut) -> Put {
    bands.iter().try_for_each(|band| {
        with_length(out, 2, "meter band", |out| {
            let head = |kind, out: &mut BytesMut| {
                let (rate, burst_size) = (band.rate, band.burst_size);
                OfpMeterBand { kind, len: 0, rate, burst_size }.write(out)
            };
            match &band.kind {
                MeterBandKind::Drop => {
                    head(DROP, out)?;
                    OfpBandDrop {}.write(out)
                }
                MeterBandKind::DscpRemark { prec_level } => {
                    head(DSCP_REMARK, out)?;
                    OfpBandDscp { prec_level: *prec_level }.write(out)
                }
                MeterBandKind::Experimenter { experimenter, body } => {
                    head(EXPERIMENTER, out)?;
                    OfpBandExperimenter { experimenter: *experimenter }.write(out)?;
                    out.put_slice(body);
                    Ok(())
                }
                MeterBandKind::Raw { kind, body } => {
                    head(*kind, out)?;
                    out.put_slice(body);
                    Ok(())
                }
            }
        })
    })
}

pub(super) fn meter_mod(body: &[u8]) -> Decoded<MeterMod> {
    let (rest, head) = OfpMeterMod::parse(body)?;
    let OfpMeterMod { command, flags, meter_id } = head;
    Ok(MeterMod { command, flags, meter_id, bands: bands(rest)? })
}

pub(super) fn put_meter_mod(meter: &MeterMod, out: &mut BytesMut) -> Put {
    let MeterMod { command, flags, meter_id, ref bands } = *meter;
    OfpMeterMod { command, flags, meter_id }.write(out)?;
    put_bands(bands, out)
}

pub(super) fn meter_config(input: &[u8]) -> Parsed<'_, MeterConfig> {
    let (_, head) = OfpMeterConfig::parse(input)?;
    let (rest, whole) = entry(input, 0, OfpMeterConfig::SIZE, "meter_config.length")?;
    let OfpMeterConfig { flags, meter_id, .. } = head;
    Ok((rest, MeterConfig { flags, meter_id, bands: bands(&whole[OfpMeterConfig::SIZE..])? }))
}

pub(super) fn put_meter_config(meter: &MeterConfig, out: &mut BytesMut) -> Put {
    with_length(out, 0, "meter configuration", |out| {
        let MeterConfig { flags, meter_id, ref bands } = *meter;
        OfpMeterConfig { length: 0, flags, meter_id }.write(out)?;
        put_bands(bands, out)
    })
}

pub(super) fn meter_stats(input: &[u8]) -> Parsed<'_, MeterStats> {
    let (_, head) = OfpMeterStats::parse(input)?;
    let (rest, whole) = entry(input, 4, OfpMeterStats::SIZE, "meter_stats.len")?;
    let counters = &whole[OfpMeterStats::SIZE..];
    let stats = MeterStats {
        meter_id: head.meter_id,
        flow_count: head.flow_count,
        packet_in_count: head.packet_in_count,
        byte_in_count: head.byte_in_count,
        duration: head.duration,
        bands: OfpCounter::list(counters)?,
    };
    Ok((rest, stats))
}

pub(super) fn put_meter_stats(meter: &MeterStats, out: &mut BytesMut) -> Put {
    with_length(out, 4, "meter statistics", |out| {
        OfpMeterStats {
            meter_id: meter.meter_id,
            len: 0,
            flow_count: meter.flow_count,
            packet_in_count: meter.packet_in_count,
            byte_in_count: meter.byte_in_count,
            duration: meter.duration,
        }
        .write(out)?;
        meter.bands.iter().try_for_each(|counter| OfpCounter::write(counter, out))
    })
}

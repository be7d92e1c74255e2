//! Structures that 1.0 and 1.3 share. Pure.

use bytes::{BufMut, BytesMut};

use crate::error::{EncodeError, Problem};
use crate::model::{
    AggregateStats, ConfigFlags, Counter, Message, Opaque, QueueProperty, SwitchConfig,
    SwitchDescription,
};
use crate::types::Version;
use crate::wire::{Decoded, Parsed, Put, ended, entry, fail, fixed, list, record, with_length};

fixed! {
    /// The head of every action, instruction and table property (1.3.5 §7.2.4, §7.2.5).
    OfpTlv { kind: u16, length: u16, }
    /// `ofp_experimenter_header` behind the common header; in 1.0 `ofp_vendor_header`.
    OfpExperimenter { experimenter: u32, }
    /// `ofp_queue_prop_header` (1.3.5 §7.2.2).
    OfpQueueProperty { property: u16, len: u16, [4], }
    /// `ofp_queue_prop_min_rate` and `_max_rate` behind their head.
    OfpRate { rate: u16, [6], }
    /// `ofp_queue_prop_experimenter` behind its head.
    OfpQueueExperimenter { experimenter: u32, [4], }
}

record! { V1_0:
    /// `ofp_switch_config` (1.3.5 §7.3.2).
    OfpSwitchConfig(SwitchConfig) { flags: ConfigFlags, miss_send_len: u16, }
    /// `ofp_desc` (1.3.5 §7.3.5.1), `ofp_desc_stats` (1.0 §5.3.5).
    OfpDesc(SwitchDescription) {
        manufacturer: [u8; 256],
        hardware: [u8; 256],
        software: [u8; 256],
        serial_number: [u8; 32],
        datapath: [u8; 256],
    }
    /// `ofp_aggregate_stats_reply` (1.3.5 §7.3.5.3).
    OfpAggregate(AggregateStats) { packet_count: u64, byte_count: u64, flow_count: u32, [4], }
    /// `ofp_bucket_counter` (1.3.5 §7.3.5.9), `ofp_meter_band_stats` (§7.3.5.12).
    OfpCounter(Counter) { packet_count: u64, byte_count: u64, }
}

/// The one flag of multipart messages (OFPMPF_REQ_MORE, OFPMPF_REPLY_MORE).
pub(crate) const MORE: u16 = 1;

pub(crate) fn lacks<T>(what: &'static str, version: Version) -> Result<T, EncodeError> {
    Err(EncodeError::Inexpressible { what, version })
}

/// A multipart of this message type that the model can say, or else its whole body, opaque. That is so
/// for kinds that nobody knows, and for known ones with flags that they do not have: their parts must
/// fit all the same. `decode` gives `None` for what it does not know.
pub(crate) fn kept_opaque<'a>(
    message: u8,
    body: &'a [u8],
    flags: u16,
    decode: impl Fn(u16) -> Decoded<Option<Message<'a>>>,
) -> Decoded<Message<'a>> {
    if let Some(message) = decode(flags)? {
        return Ok(message);
    }
    decode(0)?;
    Ok(Message::Opaque(Opaque { kind: message, body: body.into() }))
}

/// A message without body.
pub(crate) fn no_body<'a>(body: &[u8], message: Message<'a>) -> Decoded<Message<'a>> {
    ended(body)?;
    Ok(message)
}

/// The body of a TLV of 16-bit kind and length, whose length is a multiple of 8 and not 0.
pub(crate) fn tlv<'a>(input: &'a [u8], field: &'static str) -> Parsed<'a, (u16, &'a [u8])> {
    let (_, head) = OfpTlv::parse(input)?;
    let (rest, whole) = entry(input, 2, 8, field)?;
    if !whole.len().is_multiple_of(8) {
        return fail(&input[2..], field, Problem::Length(head.length.into()));
    }
    Ok((rest, (head.kind, &whole[OfpTlv::SIZE..])))
}

pub(crate) fn put_raw_tlv(kind: u16, body: &[u8], what: &'static str, out: &mut BytesMut) -> Put {
    let length = OfpTlv::SIZE + body.len();
    if !length.is_multiple_of(8) {
        return Err(EncodeError::Value { what });
    }
    let length = u16::try_from(length).map_err(|_| EncodeError::TooLong { what })?;
    OfpTlv { kind, length }.write(out)?;
    out.put_slice(body);
    Ok(())
}

const MIN_RATE: u16 = 1;
const MAX_RATE: u16 = 2;
const QUEUE_EXPERIMENTER: u16 = 0xffff;

/// Queue properties up to the end. 1.0 knows no other than the minimum rate.
pub(crate) fn queue_properties(version: Version, input: &[u8]) -> Decoded<Vec<QueueProperty>> {
    list(input, OfpQueueProperty::SIZE, |at| {
        let (_, head) = OfpQueueProperty::parse(at)?;
        let (rest, whole) = entry(at, 2, OfpQueueProperty::SIZE, "queue_prop.len")?;
        let body = &whole[OfpQueueProperty::SIZE..];
        let rate = || -> Decoded<u16> {
            let (rest, rate) = OfpRate::parse(body)?;
            ended(rest)?;
            Ok(rate.rate)
        };
        let property = match head.property {
            MIN_RATE => QueueProperty::MinRate(rate()?),
            MAX_RATE if version != Version::V1_0 => QueueProperty::MaxRate(rate()?),
            QUEUE_EXPERIMENTER if version != Version::V1_0 => {
                let (data, id) = OfpQueueExperimenter::parse(body)?;
                QueueProperty::Experimenter { experimenter: id.experimenter, body: data.to_vec() }
            }
            kind => QueueProperty::Raw { kind, body: body.to_vec() },
        };
        Ok((rest, property))
    })
}

pub(crate) fn put_queue_properties(
    version: Version,
    properties: &[QueueProperty],
    out: &mut BytesMut,
) -> Put {
    let head = |property, out: &mut BytesMut| OfpQueueProperty { property, len: 0 }.write(out);
    properties.iter().try_for_each(|property| {
        with_length(out, 2, "queue property", |out| match property {
            QueueProperty::MinRate(rate) => {
                head(MIN_RATE, out)?;
                OfpRate { rate: *rate }.write(out)
            }
            QueueProperty::Raw { kind, body } => {
                head(*kind, out)?;
                out.put_slice(body);
                Ok(())
            }
            _ if version == Version::V1_0 => {
                lacks("a queue property but the minimum rate", version)
            }
            QueueProperty::MaxRate(rate) => {
                head(MAX_RATE, out)?;
                OfpRate { rate: *rate }.write(out)
            }
            QueueProperty::Experimenter { experimenter, body } => {
                head(QUEUE_EXPERIMENTER, out)?;
                OfpQueueExperimenter { experimenter: *experimenter }.write(out)?;
                out.put_slice(body);
                Ok(())
            }
        })
    })
}

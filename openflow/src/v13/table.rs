//! Table features of 1.3 (1.3.5 §7.3.5.5). Pure.

use bytes::{BufMut, BytesMut};

use crate::common::OfpTlv;
use crate::error::{EncodeError, Part, Problem};
use crate::model::{OxmId, TableFeatures, TableProperty, TypeId};
use crate::types::TableId;
use crate::wire::{
    Decoded, Parsed, Put, entry, fail, fixed, list, pad8, round8, with_length, within,
};

fixed! {
    /// `ofp_table_features` before the properties.
    OfpTableFeatures {
        length: u16,
        table_id: TableId,
        [5],
        name: [u8; 32],
        metadata_match: u64,
        metadata_write: u64,
        config: u32,
        max_entries: u32,
    }
    /// An OXM header (§7.2.3.2).
    OfpOxmId { class: u16, field: u8, length: u8, }
    /// The experimenter of an OXM header of class 0xffff.
    OfpOxmExperimenter { experimenter: u32, }
}

/// OXM class, action and instruction type of experimenters.
const EXPERIMENTER: u16 = 0xffff;

/// OFPTFPT_*: the even numbers are for entries, the odd ones for the table-miss entry.
mod kind {
    pub(super) const INSTRUCTIONS: u16 = 0;
    pub(super) const NEXT_TABLES: u16 = 2;
    pub(super) const WRITE_ACTIONS: u16 = 4;
    pub(super) const APPLY_ACTIONS: u16 = 6;
    pub(super) const MATCH: u16 = 8;
    pub(super) const WILDCARDS: u16 = 10;
    pub(super) const WRITE_SETFIELD: u16 = 12;
    pub(super) const APPLY_SETFIELD: u16 = 14;
    pub(super) const EXPERIMENTER: u16 = 0xfffe;
}

pub(super) fn table_features(input: &[u8]) -> Parsed<'_, TableFeatures> {
    let (_, head) = OfpTableFeatures::parse(input)?;
    let (rest, whole) = entry(input, 0, OfpTableFeatures::SIZE, "table_features.length")?;
    let properties = &whole[OfpTableFeatures::SIZE..];
    let features = TableFeatures {
        table_id: head.table_id,
        name: head.name,
        metadata_match: head.metadata_match,
        metadata_write: head.metadata_write,
        config: head.config,
        max_entries: head.max_entries,
        properties: list(properties, OfpTlv::SIZE, property).map_err(within(Part::TableFeature))?,
    };
    Ok((rest, features))
}

fn property(input: &[u8]) -> Parsed<'_, TableProperty> {
    let (_, head) = OfpTlv::parse(input)?;
    // Of experimenters, id and type belong to it.
    let least = if head.kind >= kind::EXPERIMENTER { OfpTlv::SIZE + 8 } else { OfpTlv::SIZE };
    let (_, whole) = entry(input, 2, least, "property.length")?;
    // The length is without the padding to eight bytes, which must be there.
    let Some(rest) = input.get(round8(whole.len())..) else {
        return fail(&input[2..], "property.length", Problem::Length(head.length.into()));
    };
    let body = &whole[OfpTlv::SIZE..];
    let miss = head.kind & 1 == 1;
    let property = match head.kind & !1 {
        kind::INSTRUCTIONS => TableProperty::Instructions { miss, ids: type_ids(body)? },
        kind::NEXT_TABLES => {
            let tables = body.iter().copied().map(TableId).collect();
            TableProperty::NextTables { miss, tables }
        }
        kind::WRITE_ACTIONS => TableProperty::WriteActions { miss, ids: type_ids(body)? },
        kind::APPLY_ACTIONS => TableProperty::ApplyActions { miss, ids: type_ids(body)? },
        kind::MATCH if !miss => TableProperty::Match(oxm_ids(body)?),
        kind::WILDCARDS if !miss => TableProperty::Wildcards(oxm_ids(body)?),
        kind::WRITE_SETFIELD => TableProperty::WriteSetField { miss, fields: oxm_ids(body)? },
        kind::APPLY_SETFIELD => TableProperty::ApplySetField { miss, fields: oxm_ids(body)? },
        _ => TableProperty::Raw { kind: head.kind, body: body.to_vec() },
    };
    Ok((rest, property))
}

fn type_ids(input: &[u8]) -> Decoded<Vec<TypeId>> {
    list(input, OfpTlv::SIZE, |at| {
        let (_, head) = OfpTlv::parse(at)?;
        // Of experimenters, the experimenter's id belongs to it.
        let least = if head.kind == EXPERIMENTER { OfpTlv::SIZE + 4 } else { OfpTlv::SIZE };
        let (rest, whole) = entry(at, 2, least, "id.len")?;
        Ok((rest, TypeId { kind: head.kind, body: whole[OfpTlv::SIZE..].to_vec() }))
    })
}

fn oxm_ids(input: &[u8]) -> Decoded<Vec<OxmId>> {
    list(input, OfpOxmId::SIZE, |at| {
        let (rest, id) = OfpOxmId::parse(at)?;
        let (rest, experimenter) = match id.class {
            EXPERIMENTER => {
                let (rest, word) = OfpOxmExperimenter::parse(rest)?;
                (rest, Some(word.experimenter))
            }
            _ => (rest, None),
        };
        let id = OxmId {
            class: id.class,
            field: id.field >> 1,
            has_mask: id.field & 1 != 0,
            length: id.length,
            experimenter,
        };
        Ok((rest, id))
    })
}

pub(super) fn put_table_features(table: &TableFeatures, out: &mut BytesMut) -> Put {
    with_length(out, 0, "table features", |out| {
        OfpTableFeatures {
            length: 0,
            table_id: table.table_id,
            name: table.name,
            metadata_match: table.metadata_match,
            metadata_write: table.metadata_write,
            config: table.config,
            max_entries: table.max_entries,
        }
        .write(out)?;
        table.properties.iter().try_for_each(|property| put_property(property, out))
    })
}

fn put_property(property: &TableProperty, out: &mut BytesMut) -> Put {
    let start = out.len();
    with_length(out, 2, "table property", |out| {
        let head = |kind: u16, miss: &bool, out: &mut BytesMut| {
            OfpTlv { kind: kind | u16::from(*miss), length: 0 }.write(out)
        };
        match property {
            TableProperty::Instructions { miss, ids } => {
                head(kind::INSTRUCTIONS, miss, out)?;
                put_type_ids(ids, out)
            }
            TableProperty::NextTables { miss, tables } => {
                head(kind::NEXT_TABLES, miss, out)?;
                tables.iter().for_each(|table| out.put_u8(table.0));
                Ok(())
            }
            TableProperty::WriteActions { miss, ids } => {
                head(kind::WRITE_ACTIONS, miss, out)?;
                put_type_ids(ids, out)
            }
            TableProperty::ApplyActions { miss, ids } => {
                head(kind::APPLY_ACTIONS, miss, out)?;
                put_type_ids(ids, out)
            }
            TableProperty::Match(fields) => {
                head(kind::MATCH, &false, out)?;
                put_oxm_ids(fields, out)
            }
            TableProperty::Wildcards(fields) => {
                head(kind::WILDCARDS, &false, out)?;
                put_oxm_ids(fields, out)
            }
            TableProperty::WriteSetField { miss, fields } => {
                head(kind::WRITE_SETFIELD, miss, out)?;
                put_oxm_ids(fields, out)
            }
            TableProperty::ApplySetField { miss, fields } => {
                head(kind::APPLY_SETFIELD, miss, out)?;
                put_oxm_ids(fields, out)
            }
            TableProperty::Raw { kind, body } => {
                if *kind >= kind::EXPERIMENTER && body.len() < 8 {
                    return Err(EncodeError::Value { what: "experimenter's table property" });
                }
                OfpTlv { kind: *kind, length: 0 }.write(out)?;
                out.put_slice(body);
                Ok(())
            }
        }
    })?;
    pad8(out, start);
    Ok(())
}

fn put_type_ids(ids: &[TypeId], out: &mut BytesMut) -> Put {
    ids.iter().try_for_each(|id| {
        with_length(out, 2, "type id", |out| {
            OfpTlv { kind: id.kind, length: 0 }.write(out)?;
            if id.kind == EXPERIMENTER && id.body.len() < 4 {
                return Err(EncodeError::Value { what: "experimenter's type id" });
            }
            out.put_slice(&id.body);
            Ok(())
        })
    })
}

fn put_oxm_ids(ids: &[OxmId], out: &mut BytesMut) -> Put {
    ids.iter().try_for_each(|id| {
        let OxmId { class, field, has_mask, length, experimenter } = *id;
        if field > 0x7f || experimenter.is_some() != (class == EXPERIMENTER) {
            return Err(EncodeError::Value { what: "oxm id" });
        }
        OfpOxmId { class, field: field << 1 | u8::from(has_mask), length }.write(out)?;
        experimenter.map_or(Ok(()), |word| OfpOxmExperimenter { experimenter: word }.write(out))
    })
}

//! Flow tables: configuration, statistics, features. Pure.

use crate::types::TableId;

/// Configures a table (OFPT_TABLE_MOD, 1.3.5 §7.3.3). Its bits are deprecated in 1.3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TableMod {
    /// The table, or `ALL`.
    pub table_id: TableId,
    /// OFPTC_* bits.
    pub config: u32,
}

/// Statistics of a table (OFPMP_TABLE).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TableStats {
    /// The table.
    pub table_id: TableId,
    /// Its name, zero-padded. 1.0 only, zeroes in 1.3.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::text"))]
    pub name: [u8; 32],
    /// Wildcards that it supports (OFPFW_*). 1.0 only, 0 in 1.3.
    pub wildcards: u32,
    /// How many entries it can hold. 1.0 only, 0 in 1.3.
    pub max_entries: u32,
    /// How many entries it holds.
    pub active_count: u32,
    /// Packets looked up.
    pub lookup_count: u64,
    /// Packets that hit an entry.
    pub matched_count: u64,
}

/// What a table can (OFPMP_TABLE_FEATURES, 1.3.5 §7.3.5.5).
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TableFeatures {
    /// The table.
    pub table_id: TableId,
    /// Its name, zero-padded.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::text"))]
    pub name: [u8; 32],
    /// Metadata bits that it can match.
    pub metadata_match: u64,
    /// Metadata bits that it can write.
    pub metadata_write: u64,
    /// OFPTC_* bits.
    pub config: u32,
    /// How many entries it can hold.
    pub max_entries: u32,
    /// Its properties, in wire order.
    pub properties: Vec<TableProperty>,
}

/// One property of a table. `miss`: it holds for the table-miss entry, not for the others.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum TableProperty {
    /// Instructions.
    Instructions {
        /// For the table-miss entry.
        miss: bool,
        /// OFPIT_*, and what follows the head of experimenters'.
        ids: Vec<TypeId>,
    },
    /// Tables that a goto may name.
    NextTables {
        /// For the table-miss entry.
        miss: bool,
        /// The tables.
        tables: Vec<TableId>,
    },
    /// Actions in write-actions.
    WriteActions {
        /// For the table-miss entry.
        miss: bool,
        /// OFPAT_*, and what follows the head of experimenters'.
        ids: Vec<TypeId>,
    },
    /// Actions in apply-actions.
    ApplyActions {
        /// For the table-miss entry.
        miss: bool,
        /// OFPAT_*, and what follows the head of experimenters'.
        ids: Vec<TypeId>,
    },
    /// Fields that can be matched.
    Match(Vec<OxmId>),
    /// Fields that can be left out of a match.
    Wildcards(Vec<OxmId>),
    /// Fields that write-actions can set.
    WriteSetField {
        /// For the table-miss entry.
        miss: bool,
        /// The fields.
        fields: Vec<OxmId>,
    },
    /// Fields that apply-actions can set.
    ApplySetField {
        /// For the table-miss entry.
        miss: bool,
        /// The fields.
        fields: Vec<OxmId>,
    },
    /// Any other, experimenters' among them, verbatim.
    Raw {
        /// OFPTFPT_*.
        kind: u16,
        /// What follows type and length, without padding.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::hex"))]
        body: Vec<u8>,
    },
}

/// The type of an action or instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TypeId {
    /// Its number.
    pub kind: u16,
    /// What follows type and length: empty but for experimenters.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::hex"))]
    pub body: Vec<u8>,
}

/// The type of a match field: an OXM header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct OxmId {
    /// OXM class.
    pub class: u16,
    /// Field number in its class, 7 bits.
    pub field: u8,
    /// Whether it can have a mask.
    pub has_mask: bool,
    /// The length of its body.
    pub length: u8,
    /// The experimenter's id, exactly where the class is 0xffff.
    pub experimenter: Option<u32>,
}

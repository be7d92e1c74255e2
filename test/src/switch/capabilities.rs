//! What a switch says that it can: features of tables and groups (1.3.5 §7.3.5.5, §7.3.5.11). Pure.

use umlaut_openflow::{
    GroupFeatures, GroupId, OxmId, TableFeatures, TableId, TableProperty, TypeId,
};

/// OFPIT_*: goto, write-metadata, write, apply, clear, meter.
const INSTRUCTIONS: [u16; 6] = [1, 2, 3, 4, 5, 6];

/// OFPAT_*: output, push and pop VLAN, set-queue, group, set and decrement TTL, set-field.
const ACTIONS: [u16; 8] = [0, 17, 18, 21, 22, 23, 24, 25];

/// OXM class of the standard's fields.
const BASIC: u16 = 0x8000;

/// Standard fields: number, length, whether they can be masked, whether they can be set.
const FIELDS: [(u8, u8, bool, bool); 34] = [
    (0, 4, false, false),  // ingress port
    (2, 8, true, false),   // metadata
    (3, 6, true, true),    // Ethernet destination
    (4, 6, true, true),    // Ethernet source
    (5, 2, false, false),  // EtherType
    (6, 2, true, true),    // VID
    (7, 1, false, true),   // PCP
    (8, 1, false, true),   // DSCP
    (9, 1, false, true),   // ECN
    (10, 1, false, false), // IP protocol
    (11, 4, true, true),   // IPv4 source
    (12, 4, true, true),   // IPv4 destination
    (13, 2, false, true),  // TCP source
    (14, 2, false, true),  // TCP destination
    (15, 2, false, true),  // UDP source
    (16, 2, false, true),  // UDP destination
    (17, 2, false, false), // SCTP source
    (18, 2, false, false), // SCTP destination
    (19, 1, false, true),  // ICMP type
    (20, 1, false, true),  // ICMP code
    (21, 2, false, true),  // ARP operation
    (22, 4, true, true),   // ARP sender IPv4
    (23, 4, true, true),   // ARP target IPv4
    (24, 6, true, true),   // ARP sender MAC
    (25, 6, true, true),   // ARP target MAC
    (26, 16, true, true),  // IPv6 source
    (27, 16, true, true),  // IPv6 destination
    (28, 4, true, true),   // flow label
    (29, 1, false, true),  // ICMPv6 type
    (30, 1, false, true),  // ICMPv6 code
    (31, 16, true, true),  // ND target
    (32, 6, true, false),  // ND source MAC
    (33, 6, true, false),  // ND target MAC
    (38, 8, true, false),  // tunnel id
];

/// How many entries a table without a limit says that it holds.
pub(super) const MAX_ENTRIES: u32 = 1_000_000;

fn kinds(numbers: &[u16]) -> Vec<TypeId> {
    numbers.iter().map(|kind| TypeId { kind: *kind, body: Vec::new() }).collect()
}

fn fields(mut wanted: impl FnMut(&(u8, u8, bool, bool)) -> bool, masks: bool) -> Vec<OxmId> {
    FIELDS
        .iter()
        .filter(|field| wanted(field))
        .map(|(field, length, can_mask, _)| OxmId {
            class: BASIC,
            field: *field,
            has_mask: masks && *can_mask,
            length: if masks && *can_mask { length * 2 } else { *length },
            experimenter: None,
        })
        .collect()
}

/// What every table can: they differ in where a goto may lead.
pub(super) fn table(id: u8, n_tables: u8, limit: Option<usize>) -> TableFeatures {
    let settable = || fields(|field| field.3, false);
    TableFeatures {
        table_id: TableId(id),
        name: [0; 32],
        metadata_match: u64::MAX,
        metadata_write: u64::MAX,
        config: 0,
        max_entries: max_entries(limit),
        properties: vec![
            TableProperty::Instructions { miss: false, ids: kinds(&INSTRUCTIONS) },
            TableProperty::NextTables {
                miss: false,
                tables: (id.saturating_add(1)..n_tables).map(TableId).collect(),
            },
            TableProperty::WriteActions { miss: false, ids: kinds(&ACTIONS) },
            TableProperty::WriteSetField { miss: false, fields: settable() },
            TableProperty::ApplyActions { miss: false, ids: kinds(&ACTIONS) },
            TableProperty::ApplySetField { miss: false, fields: settable() },
            TableProperty::Match(fields(|_| true, true)),
            TableProperty::Wildcards(fields(|_| true, false)),
        ],
    }
}

/// How many entries a table holds, as a number.
pub(super) fn max_entries(limit: Option<usize>) -> u32 {
    limit.map_or(MAX_ENTRIES, |limit| u32::try_from(limit).unwrap_or(u32::MAX))
}

/// What groups can: all four kinds, chains, weights and liveness.
pub(super) fn groups() -> GroupFeatures {
    let actions = ACTIONS.iter().fold(0, |bits, kind| bits | 1 << kind);
    GroupFeatures {
        types: 0xf,
        // Weights, liveness, chains; chains are not looked through for loops.
        capabilities: 0x7,
        max_groups: [GroupId::MAX.0; 4],
        actions: [actions; 4],
    }
}

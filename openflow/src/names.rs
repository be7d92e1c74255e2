//! The specification's names of message types and multipart kinds. Pure.

use crate::frame::HEADER;
use crate::types::Version;

/// The specification's name of a message type (1.3.5 §7.1, 1.0 §5.1), "message of unknown type" where
/// the version has none of this number.
pub fn name(version: Version, kind: u8) -> &'static str {
    const COMMON: [&str; 15] = [
        "OFPT_HELLO",
        "OFPT_ERROR",
        "OFPT_ECHO_REQUEST",
        "OFPT_ECHO_REPLY",
        "OFPT_EXPERIMENTER",
        "OFPT_FEATURES_REQUEST",
        "OFPT_FEATURES_REPLY",
        "OFPT_GET_CONFIG_REQUEST",
        "OFPT_GET_CONFIG_REPLY",
        "OFPT_SET_CONFIG",
        "OFPT_PACKET_IN",
        "OFPT_FLOW_REMOVED",
        "OFPT_PORT_STATUS",
        "OFPT_PACKET_OUT",
        "OFPT_FLOW_MOD",
    ];
    const V10: [&str; 7] = [
        "OFPT_PORT_MOD",
        "OFPT_STATS_REQUEST",
        "OFPT_STATS_REPLY",
        "OFPT_BARRIER_REQUEST",
        "OFPT_BARRIER_REPLY",
        "OFPT_QUEUE_GET_CONFIG_REQUEST",
        "OFPT_QUEUE_GET_CONFIG_REPLY",
    ];
    const LATER: [&str; 21] = [
        "OFPT_GROUP_MOD",
        "OFPT_PORT_MOD",
        "OFPT_TABLE_MOD",
        "OFPT_MULTIPART_REQUEST",
        "OFPT_MULTIPART_REPLY",
        "OFPT_BARRIER_REQUEST",
        "OFPT_BARRIER_REPLY",
        "OFPT_QUEUE_GET_CONFIG_REQUEST",
        "OFPT_QUEUE_GET_CONFIG_REPLY",
        "OFPT_ROLE_REQUEST",
        "OFPT_ROLE_REPLY",
        "OFPT_GET_ASYNC_REQUEST",
        "OFPT_GET_ASYNC_REPLY",
        "OFPT_SET_ASYNC",
        "OFPT_METER_MOD",
        "OFPT_ROLE_STATUS",
        "OFPT_TABLE_STATUS",
        "OFPT_REQUESTFORWARD",
        "OFPT_BUNDLE_CONTROL",
        "OFPT_BUNDLE_ADD_MESSAGE",
        "OFPT_CONTROLLER_STATUS",
    ];
    const UNKNOWN: &str = "message of unknown type";
    // The highest type of each version; 1.4 and later have none of the two of queue configuration.
    let last = match version {
        Version::V1_0 => 21,
        Version::V1_1 => 23,
        Version::V1_2 => 25,
        Version::V1_3 => 29,
        Version::V1_4 => 34,
        Version::V1_5 => 35,
        _ => 4,
    };
    match (version, kind) {
        (_, kind) if kind > last => UNKNOWN,
        (Version::V1_0, 4) => "OFPT_VENDOR",
        (Version::V1_0, 15..) => V10[usize::from(kind) - 15],
        (Version::V1_1 | Version::V1_2, 18) => "OFPT_STATS_REQUEST",
        (Version::V1_1 | Version::V1_2, 19) => "OFPT_STATS_REPLY",
        (Version::V1_4 | Version::V1_5, 22 | 23) => UNKNOWN,
        (_, 15..) => LATER[usize::from(kind) - 15],
        _ => COMMON[usize::from(kind)],
    }
}

/// The specification's name of the kind of a multipart message (1.3.5 §7.3.5; 1.0 §5.3.5 calls them
/// statistics), read from the bytes of the whole message; "multipart of unknown kind" where 1.0 or 1.3
/// has none of this number. `None` for messages that are no multipart of these versions.
pub fn multipart_name(message: &[u8]) -> Option<&'static str> {
    const V10: [&str; 6] =
        ["OFPST_DESC", "OFPST_FLOW", "OFPST_AGGREGATE", "OFPST_TABLE", "OFPST_PORT", "OFPST_QUEUE"];
    const V13: [&str; 14] = [
        "OFPMP_DESC",
        "OFPMP_FLOW",
        "OFPMP_AGGREGATE",
        "OFPMP_TABLE",
        "OFPMP_PORT_STATS",
        "OFPMP_QUEUE",
        "OFPMP_GROUP",
        "OFPMP_GROUP_DESC",
        "OFPMP_GROUP_FEATURES",
        "OFPMP_METER",
        "OFPMP_METER_CONFIG",
        "OFPMP_METER_FEATURES",
        "OFPMP_TABLE_FEATURES",
        "OFPMP_PORT_DESC",
    ];
    let kind = message.get(HEADER..HEADER + 2)?;
    let kind = u16::from_be_bytes([kind[0], kind[1]]);
    let (names, experimenter): (&[&str], _) = match (Version(message[0]), message[1]) {
        (Version::V1_0, 16 | 17) => (&V10, "OFPST_VENDOR"),
        (Version::V1_3, 18 | 19) => (&V13, "OFPMP_EXPERIMENTER"),
        _ => return None,
    };
    Some(match kind {
        0xffff => experimenter,
        kind => names.get(usize::from(kind)).copied().unwrap_or("multipart of unknown kind"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_the_name_that_its_version_gives_it() {
        const UNKNOWN: &str = "message of unknown type";
        for (version, kind, wanted) in [
            (Version::V1_0, 4, "OFPT_VENDOR"),
            (Version::V1_0, 16, "OFPT_STATS_REQUEST"),
            (Version::V1_0, 21, "OFPT_QUEUE_GET_CONFIG_REPLY"),
            (Version::V1_0, 22, UNKNOWN),
            (Version::V1_1, 4, "OFPT_EXPERIMENTER"),
            (Version::V1_1, 19, "OFPT_STATS_REPLY"),
            (Version::V1_1, 24, UNKNOWN),
            (Version::V1_2, 25, "OFPT_ROLE_REPLY"),
            (Version::V1_3, 18, "OFPT_MULTIPART_REQUEST"),
            (Version::V1_3, 29, "OFPT_METER_MOD"),
            (Version::V1_3, 30, UNKNOWN),
            (Version::V1_4, 22, UNKNOWN),
            (Version::V1_4, 34, "OFPT_BUNDLE_ADD_MESSAGE"),
            (Version::V1_5, 35, "OFPT_CONTROLLER_STATUS"),
            (Version::V1_5, 36, UNKNOWN),
            (Version(0x63), 0, "OFPT_HELLO"),
            (Version(0x63), 10, UNKNOWN),
        ] {
            assert_eq!(name(version, kind), wanted, "{version} type {kind}");
        }
    }

    #[test]
    fn a_multipart_has_the_name_of_its_kind() {
        for (head, kind, wanted) in [
            ([1, 16], 0, Some("OFPST_DESC")),
            ([1, 17], 5, Some("OFPST_QUEUE")),
            ([1, 17], 6, Some("multipart of unknown kind")),
            ([1, 17], 0xffff, Some("OFPST_VENDOR")),
            ([4, 18], 13, Some("OFPMP_PORT_DESC")),
            ([4, 19], 0xffff, Some("OFPMP_EXPERIMENTER")),
            ([4, 16], 0, None),
            ([5, 18], 0, None),
        ] {
            let [high, low] = u16::to_be_bytes(kind);
            let message = [head[0], head[1], 0, 12, 0, 0, 0, 7, high, low, 0, 0];
            assert_eq!(multipart_name(&message), wanted, "{message:?}");
            assert_eq!(multipart_name(&message[..9]), None);
        }
    }
}

//! Nicira's extensions, as Open vSwitch speaks them (`include/openvswitch/nicira-ext.h`): the role
//! messages of 1.0, and the names of the actions and match fields that are met most. Pure.

use bytes::BytesMut;

use crate::common::{OfpExperimenter, lacks};
use crate::model::{Message, Role, RoleMessage};
use crate::types::Version;
use crate::wire::{Put, fixed};

/// Nicira's experimenter (vendor) id.
pub const EXPERIMENTER: u32 = 0x0000_2320;

/// NXT_ROLE_REQUEST.
pub(crate) const ROLE_REQUEST: u32 = 10;
/// NXT_ROLE_REPLY.
pub(crate) const ROLE_REPLY: u32 = 11;

fixed! {
    /// `nicira_header` behind the vendor id, and `nx_role_request`.
    NxRole { subtype: u32, role: u32, }
}

/// The role message in a vendor message, if it is exactly one. Nicira's numbers are one below those of
/// the later standard: other, master, slave.
pub(crate) fn role(experimenter: u32, body: &[u8]) -> Option<Message<'static>> {
    let (rest, nx) = NxRole::parse(body).ok()?;
    if experimenter != EXPERIMENTER || !rest.is_empty() || nx.role > 2 {
        return None;
    }
    let message = RoleMessage { role: Role(nx.role + 1), generation_id: 0 };
    match nx.subtype {
        ROLE_REQUEST => Some(Message::RoleRequest(message)),
        ROLE_REPLY => Some(Message::RoleReply(message)),
        _ => None,
    }
}

pub(crate) fn put_role(subtype: u32, message: &RoleMessage, out: &mut BytesMut) -> Put {
    if message.generation_id != 0 {
        return lacks("the generation of a role", Version::V1_0);
    }
    let role = match message.role {
        Role(role @ 1..=3) => role - 1,
        _ => return lacks("this role", Version::V1_0),
    };
    OfpExperimenter { experimenter: EXPERIMENTER }.write(out)?;
    NxRole { subtype, role }.write(out)
}

/// The name of Nicira's action of this subtype (NXAST_*), for people.
pub fn action_name(subtype: u16) -> Option<&'static str> {
    const NAMES: [(u16, &str); 26] = [
        (1, "resubmit"),
        (2, "set_tunnel"),
        (4, "set_queue"),
        (5, "pop_queue"),
        (6, "reg_move"),
        (7, "reg_load"),
        (8, "note"),
        (9, "set_tunnel64"),
        (10, "multipath"),
        (12, "bundle"),
        (13, "bundle_load"),
        (14, "resubmit_table"),
        (15, "output_reg"),
        (16, "learn"),
        (17, "exit"),
        (18, "dec_ttl"),
        (19, "fin_timeout"),
        (20, "controller"),
        (21, "dec_ttl_cnt_ids"),
        (27, "stack_push"),
        (28, "stack_pop"),
        (29, "sample"),
        (33, "reg_load2"),
        (34, "conjunction"),
        (35, "ct"),
        (36, "nat"),
    ];
    NAMES.iter().find(|(number, _)| *number == subtype).map(|(_, name)| *name)
}

/// The name of a match field of Nicira's classes 0x0000 (NXM_OF_*) and 0x0001 (NXM_NX_*), for people.
/// Registers are all `reg`; their number is the field's.
pub fn field_name(class: u16, field: u8) -> Option<&'static str> {
    const OF: [&str; 18] = [
        "in_port",
        "eth_dst",
        "eth_src",
        "eth_type",
        "vlan_tci",
        "ip_tos",
        "ip_proto",
        "ip_src",
        "ip_dst",
        "tcp_src",
        "tcp_dst",
        "udp_src",
        "udp_dst",
        "icmp_type",
        "icmp_code",
        "arp_op",
        "arp_spa",
        "arp_tpa",
    ];
    const NX: [(u8, &str); 28] = [
        (16, "tun_id"),
        (17, "arp_sha"),
        (18, "arp_tha"),
        (19, "ipv6_src"),
        (20, "ipv6_dst"),
        (21, "icmpv6_type"),
        (22, "icmpv6_code"),
        (23, "nd_target"),
        (24, "nd_sll"),
        (25, "nd_tll"),
        (26, "ip_frag"),
        (27, "ipv6_label"),
        (28, "ip_ecn"),
        (29, "ip_ttl"),
        (30, "cookie"),
        (31, "tun_ipv4_src"),
        (32, "tun_ipv4_dst"),
        (33, "pkt_mark"),
        (34, "tcp_flags"),
        (35, "dp_hash"),
        (36, "recirc_id"),
        (37, "conj_id"),
        (38, "tun_gbp_id"),
        (39, "tun_gbp_flags"),
        (105, "ct_state"),
        (106, "ct_zone"),
        (107, "ct_mark"),
        (108, "ct_label"),
    ];
    match (class, field) {
        (0, field) => OF.get(usize::from(field)).copied(),
        (1, 0..=15) => Some("reg"),
        (1, field) => NX.iter().find(|(number, _)| *number == field).map(|(_, name)| *name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_of_nicira_are_those_of_the_standard_less_one() {
        for (nx, role) in [(0, Role::EQUAL), (1, Role::MASTER), (2, Role::SLAVE)] {
            let body = [0, 0, 0, 10, 0, 0, 0, nx];
            let message = RoleMessage { role, generation_id: 0 };
            assert_eq!(super::role(EXPERIMENTER, &body), Some(Message::RoleRequest(message)));
            let mut out = BytesMut::new();
            put_role(ROLE_REQUEST, &message, &mut out).unwrap();
            assert_eq!(out[4..], body);
        }
        assert_eq!(super::role(EXPERIMENTER, &[0, 0, 0, 10, 0, 0, 0, 3]), None);
        assert_eq!(super::role(EXPERIMENTER, &[0, 0, 0, 12, 0, 0, 0, 1]), None);
    }

    #[test]
    fn what_nicira_cannot_say_of_a_role_is_refused() {
        let mut out = BytesMut::new();
        let nochange = RoleMessage { role: Role::NOCHANGE, generation_id: 0 };
        let elected = RoleMessage { role: Role::MASTER, generation_id: 1 };
        assert!(put_role(ROLE_REQUEST, &nochange, &mut out).is_err());
        assert!(put_role(ROLE_REQUEST, &elected, &mut out).is_err());
        assert!(out.is_empty());
    }

    #[test]
    fn names_are_found_by_number() {
        assert_eq!(action_name(7), Some("reg_load"));
        assert_eq!(action_name(999), None);
        assert_eq!(field_name(0, 3), Some("eth_type"));
        assert_eq!(field_name(1, 7), Some("reg"));
        assert_eq!(field_name(1, 105), Some("ct_state"));
        assert_eq!(field_name(0, 18), None);
    }
}

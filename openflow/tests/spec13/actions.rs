//! Actions (1.3.5 §7.2.5).

use super::spec::{Row, check};
use super::*;

#[test]
fn actions_of_1_3_are_those_of_the_specification() {
    let flow = |actions| Message::FlowMod(FlowMod::add(Match::new()).apply(actions));
    let table: [(&str, Action, &str, &'static [&'static str]); 20] = [
        (
            "output",
            Action::Output { port: PortNo::CONTROLLER, max_len: MaxLen(128) },
            "0000 0010 fffffffd 0080 000000000000",
            &["CONTROLLER:128"],
        ),
        ("copy ttl out", Action::CopyTtlOut, "000b 0008 00000000", &["decode error"]),
        ("copy ttl in", Action::CopyTtlIn, "000c 0008 00000000", &["decode error"]),
        ("set mpls ttl", Action::SetMplsTtl(9), "000f 0008 09 000000", &["set_mpls_ttl(9)"]),
        ("dec mpls ttl", Action::DecMplsTtl, "0010 0008 00000000", &["dec_mpls_ttl"]),
        ("push vlan", Action::PushVlan(0x8100), "0011 0008 8100 0000", &["push_vlan:0x8100"]),
        ("pop vlan", Action::PopVlan, "0012 0008 00000000", &["pop_vlan"]),
        ("push mpls", Action::PushMpls(0x8847), "0013 0008 8847 0000", &["push_mpls:0x8847"]),
        ("pop mpls", Action::PopMpls(0x0800), "0014 0008 0800 0000", &["pop_mpls:0x0800"]),
        ("set queue", Action::SetQueue(5), "0015 0008 00000005", &["set_queue:5"]),
        ("group", Action::Group(GroupId(6)), "0016 0008 00000006", &["group:6"]),
        ("set nw ttl", Action::SetNwTtl(9), "0017 0008 09 000000", &["mod_nw_ttl:9"]),
        ("dec nw ttl", Action::DecNwTtl, "0018 0008 00000000", &["dec_ttl"]),
        (
            "set eth dst",
            Action::SetField(MatchField::EthDst(A.into())),
            "0019 0010 80000606 02000000000a 0000",
            &["set_field:02:00:00:00:00:0a->eth_dst"],
        ),
        (
            "set vlan vid",
            Action::SetField(MatchField::VlanVid(VlanMatch::Tagged(100))),
            "0019 0010 80000c02 1064 000000000000",
            &["set_field:4196->vlan_vid"],
        ),
        (
            "set metadata",
            Action::SetField(MatchField::Metadata(5u64.into())),
            "0019 0010 80000408 0000000000000005",
            &["set_field:0x5->metadata"],
        ),
        (
            "set tunnel id",
            Action::SetField(MatchField::TunnelId(7u64.into())),
            "0019 0010 80004c08 0000000000000007",
            &["set_field:0x7->tun_id"],
        ),
        ("push pbb", Action::PushPbb(0x88e7), "001a 0008 88e7 0000", &["decode error"]),
        ("pop pbb", Action::PopPbb, "001b 0008 00000000", &["decode error"]),
        (
            "experimenter",
            Action::raw(0xffff, vec![0, 0, 0x23, 0x20, 0, 0x0e, 0xff, 0xf8, 3, 0, 0, 0]),
            "ffff 0010 00002320 000e fff8 03 000000",
            &["resubmit(,3)"],
        ),
    ];
    let rows: Vec<Row> = table
        .into_iter()
        .map(|(name, action, hex, ovs)| {
            // set_vlan_vid, dec_ttl and the like want a protocol, which this match does not name.
            let size = spec::bytes(hex).len();
            let eth = match name {
                n if n.contains("mpls") && !n.starts_with("push") => Some(0x8847),
                n if n.contains("nw ttl") => Some(0x0800),
                _ => None,
            };
            let (m, m_hex) = match (eth, name) {
                (Some(eth), _) => (
                    Match::new().eth_type(eth as u16),
                    format!("0001 000a 80000a02 {eth:04x} 000000000000"),
                ),
                (None, "set vlan vid" | "pop vlan") => (
                    Match::new().with(MatchField::VlanVid(VlanMatch::Present)),
                    "0001 000c 80000d04 1000 1000 00000000".to_owned(),
                ),
                _ => (Match::new(), ANY_MATCH.to_owned()),
            };
            let total = 48 + spec::bytes(&m_hex).len() + 8 + size;
            let hex = format!(
                "04 0e {total:04x} 00000007 0000000000000000 0000000000000000 00 00 0000 0000 8000
                 ffffffff ffffffff ffffffff 0000 0000 {m_hex} 0004 {:04x} 00000000 {hex}",
                8 + size,
            );
            let message = match flow(vec![action]) {
                Message::FlowMod(flow) => Message::FlowMod(FlowMod { matches: m, ..flow }),
                other => other,
            };
            row(name, Box::leak(hex.into_boxed_str()), message, ovs)
        })
        .collect();
    check(Version::V1_3, &rows);
}

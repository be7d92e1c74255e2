//! Flow entries and packet-outs as `ovs-ofctl` writes them (ovs-fields(7), ovs-actions(7)). Pure.

use umlaut_openflow::{
    Action, FlowMod, FlowModFlags, Instruction, Masked, Match, MatchField, PortNo, Version,
    VlanMatch,
};

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
/// OFPVID_PRESENT (1.3.5 §7.2.3.7).
const PRESENT: u16 = 0x1000;

/// An entry to add, as `ovs-ofctl add-flow` takes it.
pub fn flow_mod(version: Version, flow_mod: &FlowMod) -> String {
    let mut words = Vec::new();
    if flow_mod.cookie.0 != 0 {
        words.push(format!("cookie={:#x}", flow_mod.cookie.0));
    }
    words.push(format!("priority={}", flow_mod.priority));
    for (name, seconds) in
        [("idle_timeout", flow_mod.idle_timeout), ("hard_timeout", flow_mod.hard_timeout)]
    {
        if seconds > 0 {
            words.push(format!("{name}={seconds}"));
        }
    }
    if flow_mod.flags.contains(FlowModFlags::SEND_FLOW_REM) {
        words.push("send_flow_rem".to_owned());
    }
    words.extend(matches(&flow_mod.matches));
    words.push(format!("actions={}", instructions(version, &flow_mod.instructions)));
    words.join(",")
}

/// What an entry matches, a word for each criterion; none for everything.
pub fn matches(matches: &Match) -> Vec<String> {
    let eth_type = matches.fields().iter().find_map(|field| match field {
        MatchField::EthType(eth_type) => Some(*eth_type),
        _ => None,
    });
    let proto = matches.fields().iter().find_map(|field| match field {
        MatchField::IpProto(proto) if eth_type != Some(ARP) => Some(*proto),
        _ => None,
    });
    // One word for EtherType and protocol, where there is one.
    let kind = match (eth_type, proto) {
        (Some(IPV4), None) => Some("ip"),
        (Some(IPV4), Some(1)) => Some("icmp"),
        (Some(IPV4), Some(6)) => Some("tcp"),
        (Some(IPV4), Some(17)) => Some("udp"),
        (Some(IPV4), Some(132)) => Some("sctp"),
        (Some(IPV6), None) => Some("ipv6"),
        (Some(IPV6), Some(6)) => Some("tcp6"),
        (Some(IPV6), Some(17)) => Some("udp6"),
        (Some(IPV6), Some(58)) => Some("icmp6"),
        (Some(IPV6), Some(132)) => Some("sctp6"),
        (Some(ARP), _) => Some("arp"),
        _ => None,
    };
    let words = matches.fields().iter().filter_map(|field| {
        Some(match (field, kind) {
            (MatchField::EthType(_), Some(kind)) => kind.to_owned(),
            (MatchField::IpProto(op), _) if eth_type == Some(ARP) => format!("arp_op={op}"),
            (MatchField::IpProto(_), Some(kind)) if kind != "ip" && kind != "ipv6" => return None,
            (MatchField::Ipv4Src(a), _) if eth_type == Some(ARP) => masked("arp_spa", a),
            (MatchField::Ipv4Dst(a), _) if eth_type == Some(ARP) => masked("arp_tpa", a),
            (field, _) => criterion(field),
        })
    });
    words.collect()
}

fn masked<T: ToString>(name: &str, field: &Masked<T>) -> String {
    match &field.mask {
        None => format!("{name}={}", field.value.to_string()),
        Some(mask) => format!("{name}={}/{}", field.value.to_string(), mask.to_string()),
    }
}

fn criterion(field: &MatchField) -> String {
    match field {
        MatchField::InPort(port) => format!("in_port={}", port_name(*port)),
        MatchField::EthDst(mac) => masked("dl_dst", mac),
        MatchField::EthSrc(mac) => masked("dl_src", mac),
        MatchField::EthType(eth_type) => format!("dl_type={eth_type:#06x}"),
        MatchField::VlanVid(VlanMatch::Absent) => "vlan_tci=0x0000/0x1fff".to_owned(),
        MatchField::VlanVid(VlanMatch::Present) => "vlan_tci=0x1000/0x1000".to_owned(),
        MatchField::VlanVid(VlanMatch::Tagged(vid)) => format!("dl_vlan={vid}"),
        MatchField::VlanPcp(pcp) => format!("dl_vlan_pcp={pcp}"),
        MatchField::IpDscp(dscp) => format!("nw_tos={}", dscp << 2),
        MatchField::IpEcn(ecn) => format!("nw_ecn={ecn}"),
        MatchField::IpProto(proto) => format!("nw_proto={proto}"),
        MatchField::Ipv4Src(a) => masked("nw_src", a),
        MatchField::Ipv4Dst(a) => masked("nw_dst", a),
        MatchField::Ipv6Src(a) => masked("ipv6_src", a),
        MatchField::Ipv6Dst(a) => masked("ipv6_dst", a),
        MatchField::TcpSrc(port)
        | MatchField::UdpSrc(port)
        | MatchField::SctpSrc(port)
        | MatchField::TpSrc(port) => format!("tp_src={port}"),
        MatchField::TcpDst(port)
        | MatchField::UdpDst(port)
        | MatchField::SctpDst(port)
        | MatchField::TpDst(port) => format!("tp_dst={port}"),
        MatchField::Icmpv4Type(kind) | MatchField::Icmpv6Type(kind) => format!("icmp_type={kind}"),
        MatchField::Icmpv4Code(code) | MatchField::Icmpv6Code(code) => format!("icmp_code={code}"),
        MatchField::ArpOp(op) => format!("arp_op={op}"),
        MatchField::ArpSpa(a) => masked("arp_spa", a),
        MatchField::ArpTpa(a) => masked("arp_tpa", a),
        MatchField::ArpSha(mac) => masked("arp_sha", mac),
        MatchField::ArpTha(mac) => masked("arp_tha", mac),
        MatchField::Ipv6NdTarget(a) => masked("nd_target", a),
        other => by_name(other),
    }
}

/// A field that no entry of paths has: by its own name.
fn by_name(field: &MatchField) -> String {
    match serde_json::to_value(field) {
        Ok(serde_json::Value::Object(named)) => {
            let words = named.iter().map(|(name, value)| format!("{name}={value}"));
            words.collect::<Vec<_>>().join(",")
        }
        _ => "?".to_owned(),
    }
}

/// What an entry does.
pub fn instructions(version: Version, instructions: &[Instruction]) -> String {
    let words = instructions.iter().map(|instruction| match instruction {
        Instruction::Apply(list) => actions(version, list),
        Instruction::Write(list) => format!("write_actions({})", actions(version, list)),
        Instruction::Clear => "clear_actions".to_owned(),
        Instruction::Goto(table) => format!("goto_table:{}", table.0),
        other => format!("{other:?}"),
    });
    let text = words.collect::<Vec<_>>().join(",");
    if text.is_empty() { "drop".to_owned() } else { text }
}

/// An action list.
pub fn actions(version: Version, actions: &[Action]) -> String {
    let words = actions.iter().map(|action| match action {
        Action::Output { port: PortNo::CONTROLLER, max_len } => format!("CONTROLLER:{}", max_len.0),
        Action::Output { port, .. } if port.0 > PortNo::MAX.0 => port_name(*port),
        Action::Output { port, .. } => format!("output:{port}"),
        Action::PopVlan if version == Version::V1_0 => "strip_vlan".to_owned(),
        Action::PopVlan => "pop_vlan".to_owned(),
        Action::PushVlan(tpid) => format!("push_vlan:{tpid:#06x}"),
        Action::SetVlanVid(vid) => format!("mod_vlan_vid:{vid}"),
        Action::SetVlanPcp(pcp) => format!("mod_vlan_pcp:{pcp}"),
        Action::SetField(MatchField::VlanVid(VlanMatch::Tagged(vid))) => {
            format!("set_field:{}->vlan_vid", PRESENT | vid)
        }
        Action::Enqueue { port, queue_id } => format!("enqueue:{port}:{queue_id}"),
        Action::Group(group) => format!("group:{}", group.0),
        Action::SetQueue(queue) => format!("set_queue:{queue}"),
        other => format!("{other:?}"),
    });
    let text = words.collect::<Vec<_>>().join(",");
    if text.is_empty() { "drop".to_owned() } else { text }
}

fn port_name(port: PortNo) -> String {
    match port {
        PortNo::IN_PORT => "IN_PORT".to_owned(),
        PortNo::LOCAL => "LOCAL".to_owned(),
        PortNo::FLOOD => "FLOOD".to_owned(),
        PortNo::ALL => "ALL".to_owned(),
        PortNo::NORMAL => "NORMAL".to_owned(),
        PortNo::TABLE => "TABLE".to_owned(),
        PortNo::CONTROLLER => "CONTROLLER".to_owned(),
        port => port.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use umlaut_openflow::packet::{Field, Headers, Tag};
    use umlaut_openflow::{Cookie, FieldSet, MacAddr, Vid, VlanId};

    use super::*;

    fn entry(version: Version, headers: &Headers, width: FieldSet, vid: Option<Vid>) -> FlowMod {
        use umlaut_controller::program::{flow_match, forward_actions};
        let matches = flow_match(version, PortNo(1), headers, width).unwrap();
        let actions = forward_actions(version, PortNo(1), headers.tag, PortNo(24), vid);
        FlowMod::add(matches)
            .priority(0xffff)
            .cookie(Cookie(0x8100))
            .timeouts(60, 0)
            .flags(FlowModFlags::SEND_FLOW_REM)
            .apply(actions)
    }

    fn frames() -> Vec<(Headers, FieldSet)> {
        let tag = |vid| Tag::Vlan { vid: VlanId::new(vid).unwrap(), pcp: 3 };
        let tcp = Headers {
            eth_dst: MacAddr::from_u64(2),
            eth_src: MacAddr::from_u64(1),
            eth_type: Field::Is(IPV4),
            ip_proto: Field::Is(6),
            ip_dscp: Field::Is(10),
            ipv4_src: Field::Is([10, 0, 0, 1].into()),
            ipv4_dst: Field::Is([10, 0, 0, 2].into()),
            tp_src: Field::Is(1000),
            tp_dst: Field::Is(22),
            ..Headers::default()
        };
        let icmp = Headers {
            ip_proto: Field::Is(1),
            tp_src: Field::Absent,
            tp_dst: Field::Absent,
            icmp_type: Field::Is(8),
            icmp_code: Field::Is(0),
            tag: tag(20),
            ..tcp
        };
        let arp = Headers {
            eth_dst: MacAddr::BROADCAST,
            eth_src: MacAddr::from_u64(1),
            eth_type: Field::Is(ARP),
            arp_op: Field::Is(1),
            arp_spa: Field::Is([10, 0, 0, 1].into()),
            arp_tpa: Field::Is([10, 0, 0, 2].into()),
            tag: Tag::Priority { pcp: 5 },
            ..Headers::default()
        };
        let odd = Headers { eth_type: Field::Is(0x88b5), ..Headers::default() };
        let l4 = FieldSet::LAYER_2 | FieldSet::TP_DST | FieldSet::IPV4_SRC | FieldSet::IP_DSCP;
        vec![
            (tcp, FieldSet::LAYER_2),
            (tcp, l4),
            (icmp, FieldSet::LAYER_2 | FieldSet::ICMP_TYPE | FieldSet::VLAN_PCP),
            (arp, FieldSet::LAYER_2 | FieldSet::ARP_OP | FieldSet::ARP_TPA),
            (odd, FieldSet::LAYER_2),
        ]
    }

    #[test]
    fn an_entry_reads_as_ovs_ofctl_writes_it() {
        let (tcp, width) = frames()[1];
        let vid = Some(Vid::Tagged(VlanId::new(20).unwrap()));
        let of = |version| flow_mod(version, &entry(version, &tcp, width, vid));
        let common = "cookie=0x8100,priority=65535,idle_timeout=60,send_flow_rem,in_port=1,\
             dl_dst=00:00:00:00:00:02,dl_src=00:00:00:00:00:01,vlan_tci=0x0000/0x1fff,tcp,\
             nw_tos=40,nw_src=10.0.0.1,tp_dst=22";
        let v13 = "push_vlan:0x8100,set_field:4116->vlan_vid,output:24";
        assert_eq!(of(Version::V1_3), format!("{common},actions={v13}"));
        assert_eq!(of(Version::V1_0), format!("{common},actions=mod_vlan_vid:20,output:24"));
        let drop = FlowMod::add(Match::new()).priority(7);
        assert_eq!(flow_mod(Version::V1_3, &drop), "priority=7,actions=drop");
    }

    /// `ovs-ofctl` reads what is written here, where it is installed.
    #[test]
    fn ovs_ofctl_takes_what_is_written() {
        let vids = [None, Some(Vid::Untagged), Some(Vid::Tagged(VlanId::new(30).unwrap()))];
        let mut read = 0;
        for (headers, width) in frames() {
            for (version, protocol) in
                [(Version::V1_0, "OpenFlow10"), (Version::V1_3, "OpenFlow13")]
            {
                for vid in vids {
                    let text = flow_mod(version, &entry(version, &headers, width, vid));
                    let run = std::process::Command::new("ovs-ofctl")
                        .args(["-O", protocol, "parse-flow", &text])
                        .output();
                    let Ok(output) = run else { return };
                    let told = String::from_utf8_lossy(&output.stderr);
                    assert!(output.status.success(), "{text}: {told}");
                    let printed = String::from_utf8_lossy(&output.stdout);
                    let last = text.rsplit(',').next().unwrap().trim_start_matches("actions=");
                    assert!(printed.contains(last), "{text} is read as {printed}");
                    read += 1;
                }
            }
        }
        assert_eq!(read, 30);
    }
}

//! What an entry matches, as text. Pure.

use umlaut_openflow::{MacAddr, Match, MatchField, PortNo, VlanMatch};

/// A match, the fields that have columns of their own apart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Criteria {
    pub(super) in_port: Option<PortNo>,
    pub(super) src: Option<MacAddr>,
    pub(super) dst: Option<MacAddr>,
    pub(super) rest: String,
}

/// Takes a match apart.
pub(super) fn criteria(matches: &Match) -> Criteria {
    let mut criteria = Criteria::default();
    let mut rest = Vec::new();
    for field in matches.fields() {
        match field {
            MatchField::InPort(port) => criteria.in_port = Some(*port),
            MatchField::EthSrc(mac) if mac.mask.is_none() => criteria.src = Some(mac.value),
            MatchField::EthDst(mac) if mac.mask.is_none() => criteria.dst = Some(mac.value),
            MatchField::VlanVid(VlanMatch::Absent) => rest.push("untagged".to_owned()),
            MatchField::VlanVid(VlanMatch::Tagged(vid)) => rest.push(format!("vlan={vid}")),
            MatchField::EthType(0x0800) => rest.push("ipv4".to_owned()),
            MatchField::EthType(0x0806) => rest.push("arp".to_owned()),
            MatchField::EthType(0x86dd) => rest.push("ipv6".to_owned()),
            MatchField::EthType(0x88cc) => rest.push("lldp".to_owned()),
            MatchField::EthType(other) => rest.push(format!("eth_type={other:#06x}")),
            other => rest.push(by_name(other)),
        }
    }
    criteria.rest = match rest.is_empty() && criteria == Criteria::default() {
        true => "anything".to_owned(),
        false => rest.join(" "),
    };
    criteria
}

/// `tcp_dst=22`, `ipv4_src=10.0.0.0/255.0.0.0`: the field's own name.
fn by_name(field: &MatchField) -> String {
    use serde_json::Value;
    let word = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let Ok(Value::Object(named)) = serde_json::to_value(field) else { return "?".to_owned() };
    let parts = named.iter().map(|(name, value)| match (value.get("value"), value.get("mask")) {
        (Some(value), Some(mask)) => format!("{name}={}/{}", word(value), word(mask)),
        _ => format!("{name}={}", word(value)),
    });
    parts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use umlaut_openflow::Masked;

    use super::*;

    #[test]
    fn a_match_is_told_in_few_words() {
        let net = Masked { value: [10, 0, 0, 0].into(), mask: Some([255, 0, 0, 0].into()) };
        let matches = Match::new()
            .in_port(PortNo(3))
            .eth_src(MacAddr::from_u64(1))
            .vlan_vid(VlanMatch::Tagged(20))
            .eth_type(0x0800u16)
            .ip_proto(6)
            .ipv4_src(net)
            .tcp_dst(22u16);
        let told = criteria(&matches);
        assert_eq!((told.in_port, told.src), (Some(PortNo(3)), Some(MacAddr::from_u64(1))));
        assert_eq!(told.dst, None);
        assert_eq!(told.rest, "vlan=20 ipv4 ip_proto=6 ipv4_src=10.0.0.0/255.0.0.0 tcp_dst=22");
        assert_eq!(criteria(&Match::new()).rest, "anything");
    }
}

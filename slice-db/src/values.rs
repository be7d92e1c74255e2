//! Scalars of policy files: what is taken for a MAC address, a port, a number. Pure.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use umlaut_openflow::{DatapathId, MacAddr, PortNo, VlanId};

use crate::yaml::Node;

/// What was wanted, for messages.
pub(crate) type Wanted = &'static str;

/// Whether slices, hosts, switches and members can have this name.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 63
        && !name.starts_with('-')
        && name.chars().all(|c| c.is_alphanumeric() || "-_.:".contains(c))
}

/// A whole number: a YAML number, or a text in decimal or 0x hex.
pub(crate) fn number(node: &Node) -> Option<u128> {
    match node {
        Node::Int(value) => u128::try_from(*value).ok(),
        Node::Text(text) => match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
                u128::from_str_radix(hex, 16).ok()
            }
            None if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().ok()
            }
            _ => None,
        },
        _ => None,
    }
}

/// A number up to `most`.
pub(crate) fn up_to(node: &Node, most: u128) -> Option<u128> {
    number(node).filter(|value| *value <= most)
}

pub(crate) fn dpid(node: &Node) -> Option<DatapathId> {
    up_to(node, u64::MAX.into()).map(|value| DatapathId(value as u64))
}

/// A MAC address of a sender: no group address, not zero.
pub(crate) fn mac(node: &Node) -> Result<MacAddr, Wanted> {
    let mac = any_mac(node)?;
    if mac.is_group() {
        Err("a host's MAC address: this one is a group address")
    } else if mac.is_zero() {
        Err("a host's MAC address: zero is none")
    } else {
        Ok(mac)
    }
}

/// Any MAC address.
pub(crate) fn any_mac(node: &Node) -> Result<MacAddr, Wanted> {
    match node {
        Node::Text(text) => text.parse().ok(),
        _ => None,
    }
    .ok_or("a MAC address (six hex pairs with : or -)")
}

pub(crate) fn vlan(node: &Node) -> Option<VlanId> {
    up_to(node, 4094).and_then(|vid| VlanId::new(vid as u16))
}

/// Why a text is not a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum NoPort {
    /// It has not the form SWITCH/PORT.
    Form,
    /// No switch has this name.
    Switch(String),
    /// The part behind the slash is no port number.
    Number(String),
}

/// `SWITCH/PORT`, SWITCH a name or a datapath id, PORT a number or `local`.
pub(crate) fn port(
    text: &str,
    switches: &BTreeMap<String, DatapathId>,
) -> Result<(DatapathId, PortNo), NoPort> {
    let (switch, port) = text.split_once('/').ok_or(NoPort::Form)?;
    let dpid = match switches.get(switch) {
        Some(dpid) => *dpid,
        None if switch.starts_with(|c: char| c.is_ascii_digit()) => {
            switch.parse().map_err(|_| NoPort::Switch(switch.to_owned()))?
        }
        None => return Err(NoPort::Switch(switch.to_owned())),
    };
    let number: PortNo = port.parse().map_err(|_| NoPort::Number(port.to_owned()))?;
    Ok((dpid, number))
}

/// An IPv4 address or prefix as value and mask.
pub(crate) fn ipv4(node: &Node) -> Option<(u128, u128)> {
    let Node::Text(text) = node else { return None };
    let net = match text.contains('/') {
        true => text.parse::<Ipv4Net>().ok()?,
        false => Ipv4Net::from(text.parse::<Ipv4Addr>().ok()?),
    };
    let (mask, value) = (u32::from(net.netmask()), u32::from(net.addr()));
    Some(((value & mask).into(), mask.into()))
}

/// An IPv6 address or prefix as value and mask.
pub(crate) fn ipv6(node: &Node) -> Option<(u128, u128)> {
    let Node::Text(text) = node else { return None };
    let net = match text.contains('/') {
        true => text.parse::<Ipv6Net>().ok()?,
        false => Ipv6Net::from(text.parse::<Ipv6Addr>().ok()?),
    };
    let (mask, value) = (u128::from(net.netmask()), u128::from(net.addr()));
    Some((value & mask, mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_name_a_switch_and_a_number() {
        let switches = BTreeMap::from([("s1".to_owned(), DatapathId(1))]);
        let good = Ok((DatapathId(1), PortNo(3)));
        assert_eq!(port("s1/3", &switches), good);
        assert_eq!(port("0x1/3", &switches), good);
        assert_eq!(port("1/0x3", &switches), good);
        assert_eq!(port("s1/local", &switches), Ok((DatapathId(1), PortNo::LOCAL)));
        assert_eq!(port("s1", &switches), Err(NoPort::Form));
        assert_eq!(port("s2/1", &switches), Err(NoPort::Switch("s2".into())));
        assert_eq!(port("s1/0", &switches), Err(NoPort::Number("0".into())));
        assert_eq!(port("s1/-1", &switches), Err(NoPort::Number("-1".into())));
    }

    #[test]
    fn numbers_are_decimal_or_hex_and_nothing_else() {
        let text = |t: &str| number(&Node::Text(t.into()));
        assert_eq!(number(&Node::Int(7)), Some(7));
        assert_eq!(text("0x1f"), Some(31));
        assert_eq!(text("12"), Some(12));
        for bad in ["", "0x", "-1", "+1", "1e3", "x"] {
            assert_eq!(text(bad).filter(|_| bad != "0x"), None, "{bad}");
        }
        assert_eq!(number(&Node::Int(-1)), None);
        assert_eq!(number(&Node::Float(1.0)), None);
    }
}

//! Filters: criteria under the modern names and the original's. Pure.

use std::collections::HashMap;

use umlaut_openflow::PortNo;

use super::reader::{At, Fields, Reader};
use super::{key_of, read_port};
use crate::filter::{Criterion, FilterAction, FilterTable, Rule, Test, UNTAGGED};
use crate::policy::Policy;
use crate::values;
use crate::yaml::{Node, Place};

const IPV4: u128 = 0x0800;
const ARP: u128 = 0x0806;
const IPV6: u128 = 0x86dd;
const ICMP: u128 = 1;
const TCP: u128 = 6;
const UDP: u128 = 17;
const ICMPV6: u128 = 58;
const SCTP: u128 = 132;

/// How the value of a criterion is written.
#[derive(Clone, Copy)]
enum Form {
    /// A number up to this.
    Number(u128),
    Mac,
    /// A number or a protocol name.
    EtherType,
    Protocol,
    /// A VID, or `none` (0xffff) for untagged.
    Vlan,
    Ipv4,
    Ipv6,
    /// A switch name or datapath id.
    Datapath,
    /// A port number or `local`.
    Port,
    /// The upper six bits of a byte.
    Tos,
}

struct Known {
    name: &'static str,
    test: Test,
    form: Form,
    /// What the frame must be for the field to exist.
    implies: &'static [(Test, u128)],
}

const fn known(
    name: &'static str,
    test: Test,
    form: Form,
    implies: &'static [(Test, u128)],
) -> Known {
    Known { name, test, form, implies }
}

const NONE: &[(Test, u128)] = &[];

/// All criteria by name.
const CRITERIA: &[Known] = &[
    known("eth_src", Test::EthSrc, Form::Mac, NONE),
    known("eth_dst", Test::EthDst, Form::Mac, NONE),
    known("eth_type", Test::EthType, Form::EtherType, NONE),
    known("vlan_vid", Test::Vlan, Form::Vlan, NONE),
    known("vlan_pcp", Test::Pcp, Form::Number(7), NONE),
    known("ip_proto", Test::IpProto, Form::Protocol, NONE),
    known("ip_dscp", Test::Dscp, Form::Number(63), NONE),
    known("ip_ecn", Test::Ecn, Form::Number(3), NONE),
    known("ipv4_src", Test::Ipv4Src, Form::Ipv4, &[(Test::EthType, IPV4)]),
    known("ipv4_dst", Test::Ipv4Dst, Form::Ipv4, &[(Test::EthType, IPV4)]),
    known("ipv6_src", Test::Ipv6Src, Form::Ipv6, &[(Test::EthType, IPV6)]),
    known("ipv6_dst", Test::Ipv6Dst, Form::Ipv6, &[(Test::EthType, IPV6)]),
    known("tcp_src", Test::TpSrc, Form::Number(65535), &[(Test::IpProto, TCP)]),
    known("tcp_dst", Test::TpDst, Form::Number(65535), &[(Test::IpProto, TCP)]),
    known("udp_src", Test::TpSrc, Form::Number(65535), &[(Test::IpProto, UDP)]),
    known("udp_dst", Test::TpDst, Form::Number(65535), &[(Test::IpProto, UDP)]),
    known("sctp_src", Test::TpSrc, Form::Number(65535), &[(Test::IpProto, SCTP)]),
    known("sctp_dst", Test::TpDst, Form::Number(65535), &[(Test::IpProto, SCTP)]),
    known("icmpv4_type", Test::IcmpType, Form::Number(255), &[(Test::IpProto, ICMP)]),
    known("icmpv4_code", Test::IcmpCode, Form::Number(255), &[(Test::IpProto, ICMP)]),
    known("icmpv6_type", Test::IcmpType, Form::Number(255), &[(Test::IpProto, ICMPV6)]),
    known("icmpv6_code", Test::IcmpCode, Form::Number(255), &[(Test::IpProto, ICMPV6)]),
    known("ipv6_nd_target", Test::NdTarget, Form::Ipv6, &[(Test::EthType, IPV6)]),
    known("arp_op", Test::ArpOp, Form::Number(65535), &[(Test::EthType, ARP)]),
    known("arp_spa", Test::ArpSpa, Form::Ipv4, &[(Test::EthType, ARP)]),
    known("arp_tpa", Test::ArpTpa, Form::Ipv4, &[(Test::EthType, ARP)]),
    known("arp_sha", Test::ArpSha, Form::Mac, &[(Test::EthType, ARP)]),
    known("arp_tha", Test::ArpTha, Form::Mac, &[(Test::EthType, ARP)]),
    known("in_datapath", Test::Dpid, Form::Datapath, NONE),
    known("in_port", Test::InPort, Form::Port, NONE),
    // The original's names.
    known("dl_src", Test::EthSrc, Form::Mac, NONE),
    known("dl_dst", Test::EthDst, Form::Mac, NONE),
    known("dl_type", Test::EthType, Form::EtherType, NONE),
    known("dl_vlan", Test::Vlan, Form::Vlan, NONE),
    known("dl_vlan_pcp", Test::Pcp, Form::Number(7), NONE),
    known("nw_proto", Test::NwProto, Form::Protocol, NONE),
    known("nw_tos", Test::Dscp, Form::Tos, NONE),
    known("nw_src", Test::NwSrc, Form::Ipv4, NONE),
    known("nw_dst", Test::NwDst, Form::Ipv4, NONE),
    known("tp_src", Test::TpSrc, Form::Number(65535), NONE),
    known("tp_dst", Test::TpDst, Form::Number(65535), NONE),
    known("in_datapath_id", Test::Dpid, Form::Datapath, NONE),
];

pub(super) fn read_action(r: &mut Reader, at: &At<'_>) -> Option<FilterAction> {
    r.value(at, "allow or deny", |node| match node.scalar()?.to_lowercase().as_str() {
        "allow" => Some(FilterAction::Allow),
        "deny" => Some(FilterAction::Deny),
        _ => None,
    })
}

pub(super) fn read_filters(r: &mut Reader, at: &At<'_>, policy: &Policy) -> FilterTable {
    let mut rules = Vec::new();
    let mut places: Vec<Place> = Vec::new();
    let mut ids: HashMap<String, Place> = HashMap::new();
    for (index, item) in r.items(at, "a list of filters").unwrap_or_default().iter().enumerate() {
        let known = ["id", "priority", "slice", "match", "action"];
        let Some(fields) = r.fields(item, "a filter ({match: …, action: …})", &known) else {
            continue;
        };
        let id = match fields.get("id") {
            Some(at) => r.text(at, "an id").filter(|id| r.name(id, &at.place, "filter")),
            None => Some(format!("filter-{}", index + 1)),
        };
        let priority = match fields.get("priority") {
            Some(at) => r.value(at, "a priority (0 to 65535)", |node| values::up_to(node, 65535)),
            None => Some(0),
        };
        let action = match fields.get("action") {
            Some(at) => read_action(r, at),
            None => {
                r.error("no-action", &item.place, "the filter has no action")
                    .help("add action: allow or action: deny");
                None
            }
        };
        let mut criteria = Some(Vec::new());
        if let Some(at) = fields.get("slice") {
            criteria = r.text(at, "the name of a slice").and_then(|name| {
                let slice = policy.slice(&name);
                if slice.is_none() {
                    let names = policy.slices().map(|(_, name)| name);
                    let near = crate::diagnostic::nearest(&name, names);
                    let note =
                        r.error("unknown-slice", &at.place, format!("there is no slice {name}"));
                    if let Some(near) = near {
                        note.help(format!("did you mean {near}?"));
                    }
                }
                Some(vec![Criterion::exact(Test::Slice, slice?.0.into())])
            });
        }
        if let Some(at) = fields.get("match") {
            let matches = read_match(r, at, policy);
            criteria = criteria.zip(matches).map(|(mut criteria, matches)| {
                criteria.extend(matches);
                criteria
            });
        }
        let (Some(id), Some(priority), Some(action), Some(mut criteria)) =
            (id, priority, action, criteria)
        else {
            continue;
        };
        if let Some(first) = ids.get(&id) {
            r.error("filter-id-twice", &item.place, format!("two filters have the id {id}"))
                .other(first, "first here");
            continue;
        }
        ids.insert(id.clone(), item.place.clone());
        criteria.sort_unstable();
        rules.push(Rule {
            name: id.into(),
            priority: priority as u32,
            action,
            criteria,
            item: index as u32,
        });
        places.push(item.place.clone());
    }
    warn_never(r, &rules, &places);
    FilterTable::new(rules)
}

/// Filters that an earlier one with the same or fewer conditions always precedes.
fn warn_never(r: &mut Reader, rules: &[Rule], places: &[Place]) {
    // Only equal conditions and catch-alls: cheap, and what people do by mistake.
    let mut order: Vec<usize> = (0..rules.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(rules[*index].priority));
    let mut seen: HashMap<&[Criterion], usize> = HashMap::new();
    let mut catch_all = None;
    for index in order {
        let rule = &rules[index];
        let earlier = catch_all.or_else(|| seen.get(rule.criteria.as_slice()).copied());
        if let Some(earlier) = earlier {
            let message =
                format!("filter {} never matches: {} comes first", rule.name, rules[earlier].name);
            r.warn("never-matches", &places[index], message).other(&places[earlier], "this one");
            continue;
        }
        seen.insert(&rule.criteria, index);
        if rule.criteria.is_empty() {
            catch_all = Some(index);
        }
    }
}

/// The names of all criteria.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    CRITERIA.iter().map(|known| known.name)
}

fn read_match(r: &mut Reader, at: &At<'_>, policy: &Policy) -> Option<Vec<Criterion>> {
    let names: Vec<&'static str> = names().collect();
    let fields = r.fields(at, "a map of criteria", &names)?;
    read_criteria(r, &fields, policy)
}

/// The criteria among the fields of a map, each with what it implies. `None`: mistakes.
pub(super) fn read_criteria(
    r: &mut Reader,
    fields: &Fields<'_>,
    policy: &Policy,
) -> Option<Vec<Criterion>> {
    let mut criteria: Vec<(Criterion, Place, &str)> = Vec::new();
    let mut implied: Vec<(Criterion, Place, &str)> = Vec::new();
    let mut good = true;
    for (name, at) in fields.iter() {
        let Some(known) = CRITERIA.iter().find(|known| known.name == name) else { continue };
        let Some((value, mask)) = read_value(r, at, known.form, policy) else {
            good = false;
            continue;
        };
        let key = key_of(&at.place);
        criteria.push((Criterion { test: known.test, mask, value }, key.clone(), known.name));
        for (test, value) in known.implies {
            implied.push((Criterion::exact(*test, *value), key.clone(), known.name));
        }
        let family = match (known.test, value) {
            (Test::IpProto, ICMP) => Some(IPV4),
            (Test::IpProto, ICMPV6) => Some(IPV6),
            _ if known.name.starts_with("icmpv4") => Some(IPV4),
            _ if known.name.starts_with("icmpv6") => Some(IPV6),
            _ => None,
        };
        if let Some(family) = family {
            let criterion = Criterion::exact(Test::EthType, family);
            implied.push((criterion, key, known.name));
        }
    }
    let mut all: Vec<(Criterion, Place, &str)> = Vec::new();
    for (criterion, place, name) in criteria.into_iter().chain(implied) {
        // The IP protocol under its original name serves as well.
        let same = |test: Test| {
            test == criterion.test
                || matches!(
                    (test, criterion.test),
                    (Test::NwProto, Test::IpProto) | (Test::IpProto, Test::NwProto)
                )
        };
        match all.iter().find(|(other, _, _)| same(other.test)) {
            Some((other, first, by))
                if other.value != criterion.value || other.mask != criterion.mask =>
            {
                let message = format!("{name} contradicts {by}: no frame matches both");
                r.error("contradiction", &place, message).other(first, "this");
                good = false;
            }
            Some(_) => {}
            None => all.push((criterion, place, name)),
        }
    }
    check_protocols(r, &all, &mut good);
    good.then(|| all.into_iter().map(|(criterion, _, _)| criterion).collect())
}

/// EtherType and IP protocol of a frame of which some fields are given; `None` where they leave it open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Protocols {
    /// The EtherType.
    pub eth_type: Option<u16>,
    /// The IP protocol.
    pub ip_proto: Option<u8>,
}

/// What the fields of a frame, names and values as in a filter's `match`, say of its protocols.
///
/// # Errors
/// What is no value of its field, or that no frame has all of them: told as of a policy file.
pub fn protocols(policy: &Policy, fields: &[(&'static str, String)]) -> Result<Protocols, String> {
    let text = |text: &str| Node::Text(text.to_owned());
    let entries = fields.iter().map(|(name, value)| (text(name), text(value)));
    let node = Node::Map(entries.collect());
    let mut r = Reader::default();
    let read = read_match(&mut r, &At { node: &node, place: Place::default() }, policy);
    let Some(criteria) = read else { return Err(r.first_message()) };
    let value = |test: Test| criteria.iter().find(|c| c.test == test).map(|c| c.value);
    Ok(Protocols {
        eth_type: value(Test::EthType).map(|value| value as u16),
        ip_proto: value(Test::IpProto).map(|value| value as u8),
    })
}

/// EtherType and protocol must agree with the fields asked for.
fn check_protocols(r: &mut Reader, all: &[(Criterion, Place, &str)], good: &mut bool) {
    let value = |test: Test| all.iter().find(|(c, _, _)| c.test == test).map(|(c, _, _)| c.value);
    let eth_type = value(Test::EthType);
    let proto = value(Test::IpProto);
    let mut told: Vec<&Place> = Vec::new();
    for (criterion, place, name) in all {
        let exists = match criterion.test {
            Test::IpProto | Test::TpSrc | Test::TpDst | Test::Dscp | Test::Ecn => {
                eth_type.is_none_or(|t| t == IPV4 || t == IPV6)
            }
            Test::IcmpType | Test::IcmpCode => proto.is_none_or(|p| p == ICMP || p == ICMPV6),
            Test::NwSrc | Test::NwDst => eth_type.is_none_or(|t| t == IPV4 || t == ARP),
            _ => true,
        };
        let ports = matches!(criterion.test, Test::TpSrc | Test::TpDst);
        if !exists || ports && !proto.is_none_or(|p| [TCP, UDP, SCTP].contains(&p)) {
            let message = format!("{name} does not exist in frames of this eth_type or ip_proto");
            // What a field implies contradicts for the same reason as the field.
            if !told.contains(&place) {
                r.error("contradiction", place, message);
                told.push(place);
            }
            *good = false;
        }
    }
}

/// Value and mask.
fn read_value(r: &mut Reader, at: &At<'_>, form: Form, policy: &Policy) -> Option<(u128, u128)> {
    let exact = |value: u128| (value, u128::MAX);
    match form {
        Form::Number(most) => {
            let wanted = format!("a number from 0 to {most}");
            r.value(at, &wanted, |node| values::up_to(node, most)).map(exact)
        }
        Form::Tos => r
            .value(at, "a number from 0 to 255 whose low two bits are 0", |node| {
                values::up_to(node, 255).filter(|tos| tos & 3 == 0)
            })
            .map(|tos| exact(tos >> 2)),
        Form::Mac => match values::any_mac(at.node) {
            Ok(mac) => Some(exact(mac.to_u64().into())),
            Err(wanted) => {
                r.wrong(at, wanted);
                None
            }
        },
        Form::EtherType => r
            .value(at, "an EtherType (a number, ipv4, ipv6, arp)", |node| {
                match node.scalar()?.as_str() {
                    "ipv4" | "ip" => Some(IPV4),
                    "ipv6" => Some(IPV6),
                    "arp" => Some(ARP),
                    _ => values::up_to(node, 0xffff),
                }
            })
            .map(exact),
        Form::Protocol => r
            .value(at, "an IP protocol (a number, tcp, udp, icmp, icmpv6, sctp)", |node| match node
                .scalar()?
                .as_str()
            {
                "tcp" => Some(TCP),
                "udp" => Some(UDP),
                "icmp" => Some(ICMP),
                "icmpv6" => Some(ICMPV6),
                "sctp" => Some(SCTP),
                _ => values::up_to(node, 255),
            })
            .map(exact),
        Form::Vlan => r
            .value(at, "a VLAN id (1 to 4094), or none", |node| match node {
                Node::Text(text) if text == "none" || text == "untagged" => Some(UNTAGGED),
                _ => values::number(node).filter(|v| *v == UNTAGGED || (1..=4094).contains(v)),
            })
            .map(exact),
        Form::Ipv4 => r.value(at, "an IPv4 address or prefix", values::ipv4),
        Form::Ipv6 => r.value(at, "an IPv6 address or prefix", values::ipv6),
        Form::Datapath => {
            let named = at.node.scalar().and_then(|name| policy.switches.get(&name).copied());
            let wanted = "a switch name or a datapath id";
            let dpid = match named {
                Some(dpid) => Some(dpid),
                None => r.value(at, wanted, values::dpid),
            };
            dpid.map(|dpid| exact(dpid.0.into()))
        }
        Form::Port => match at.node {
            // `in_port: s1/3` would be two criteria; say so.
            Node::Text(text) if text.contains('/') => {
                if read_port(r, at, &policy.switches).is_some() {
                    r.wrong(at, "a port number: the switch goes into in_datapath");
                }
                None
            }
            _ => r
                .value(at, "a port number (from 1, or local)", |node| {
                    node.scalar()?.parse::<PortNo>().ok()
                })
                .map(|port| exact(port.0.into())),
        },
    }
}

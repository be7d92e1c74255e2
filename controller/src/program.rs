//! Flow programming: from a decision's fields and outputs to matches and actions. Pure.
//!
//! What differs between OpenFlow 1.0 and 1.3 (VLAN actions, what can be matched) is settled here
//! and nowhere else.

use umlaut_openflow::packet::{Field, Fragment, Headers, Tag};
use umlaut_openflow::{
    Action, Actions, FieldSet, Match, MatchField, PortNo, Version, Vid, VlanId, VlanMatch,
};

/// The shortest Ethernet frame without its check sequence (IEEE 802.3 §4.4.2).
pub const MIN_FRAME: usize = 60;

pub(crate) const ARP: u16 = 0x0806;
pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const SCTP: u8 = 132;
pub(crate) const ICMP: u8 = 1;
pub(crate) const ICMPV6: u8 = 58;
const TPID_8021Q: u16 = 0x8100;

/// A field that the decision read and that no flow entry of this version can match: such frames are
/// forwarded one by one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field} of this frame cannot be matched in OpenFlow {version}")]
pub struct Unmatchable {
    /// The field.
    pub field: FieldSet,
    /// The wire version.
    pub version: Version,
}

/// The match of frames that come in at `in_port` and agree with `headers` in the fields of `width`.
///
/// # Errors
/// [`Unmatchable`] where a field of `width` is unknown for this frame, or cannot be matched in
/// `version`: fragments when the transport header counts, transport port 0 (Open vSwitch shows it
/// for later fragments), IPv6 addresses and anything above the EtherType of IPv6 in 1.0, ARP
/// hardware addresses in 1.0, stacked tags.
pub fn flow_match(
    version: Version,
    in_port: PortNo,
    headers: &Headers,
    width: FieldSet,
) -> Result<Match, Unmatchable> {
    let width = width.with_prerequisites();
    let refuse = |field| Err(Unmatchable { field, version });
    let v10 = version == Version::V1_0;
    if headers.stacked {
        return refuse(FieldSet::VLAN);
    }
    if width.intersects(FieldSet::TRANSPORT) && headers.fragment != Fragment::No {
        return refuse(FieldSet::FRAGMENT);
    }
    let mut m = Match::new();
    m.push(MatchField::InPort(in_port));
    // On the wire of 1.3 a prerequisite stands before the field that needs it (§7.2.3.6).
    if width.contains(FieldSet::ETH_DST) {
        m.push(MatchField::EthDst(headers.eth_dst.into()));
    }
    if width.contains(FieldSet::ETH_SRC) {
        m.push(MatchField::EthSrc(headers.eth_src.into()));
    }
    if width.contains(FieldSet::VLAN) {
        m.push(MatchField::VlanVid(match headers.tag {
            Tag::None => VlanMatch::Absent,
            Tag::Priority { .. } => VlanMatch::Tagged(0),
            Tag::Vlan { vid, .. } => VlanMatch::Tagged(vid.number()),
            Tag::Reserved => return refuse(FieldSet::VLAN),
        }));
        if width.contains(FieldSet::VLAN_PCP)
            && let Tag::Priority { pcp } | Tag::Vlan { pcp, .. } = headers.tag
        {
            m.push(MatchField::VlanPcp(pcp));
        }
    }
    // The value of a field in `width`; `None` if absent or not asked for.
    macro_rules! read {
        ($set:ident, $value:expr) => {
            match $value {
                _ if !width.contains(FieldSet::$set) => None,
                Field::Absent => None,
                Field::Unknown => return refuse(FieldSet::$set),
                Field::Is(value) => Some(value),
            }
        };
    }
    let Some(eth_type) = read!(ETH_TYPE, headers.eth_type) else {
        return Ok(m);
    };
    m.push(MatchField::EthType(eth_type));
    let ip = eth_type == IPV4 || eth_type == IPV6;
    if eth_type == IPV6 && v10 {
        for field in [FieldSet::IP_PROTO, FieldSet::IP_DSCP, FieldSet::IPV6_SRC, FieldSet::IPV6_DST]
        {
            if width.contains(field) {
                return refuse(field);
            }
        }
    }
    if ip {
        if let Some(dscp) = read!(IP_DSCP, headers.ip_dscp) {
            m.push(MatchField::IpDscp(dscp));
        }
        if let Some(ecn) = read!(IP_ECN, headers.ip_ecn) {
            if v10 {
                return refuse(FieldSet::IP_ECN);
            }
            m.push(MatchField::IpEcn(ecn));
        }
        if let Some(proto) = read!(IP_PROTO, headers.ip_proto) {
            m.push(MatchField::IpProto(proto));
        }
    }
    match eth_type {
        IPV4 => {
            if let Some(address) = read!(IPV4_SRC, headers.ipv4_src) {
                m.push(MatchField::Ipv4Src(address.into()));
            }
            if let Some(address) = read!(IPV4_DST, headers.ipv4_dst) {
                m.push(MatchField::Ipv4Dst(address.into()));
            }
        }
        IPV6 => {
            if let Some(address) = read!(IPV6_SRC, headers.ipv6_src) {
                m.push(MatchField::Ipv6Src(address.into()));
            }
            if let Some(address) = read!(IPV6_DST, headers.ipv6_dst) {
                m.push(MatchField::Ipv6Dst(address.into()));
            }
        }
        ARP => {
            if let Some(op) = read!(ARP_OP, headers.arp_op) {
                match u8::try_from(op) {
                    Ok(low) if v10 => m.push(MatchField::IpProto(low)),
                    Err(_) if v10 => return refuse(FieldSet::ARP_OP),
                    _ => m.push(MatchField::ArpOp(op)),
                }
            }
            let addresses =
                [(read!(ARP_SPA, headers.arp_spa), true), (read!(ARP_TPA, headers.arp_tpa), false)];
            for (address, source) in addresses {
                let Some(address) = address else { continue };
                m.push(match (v10, source) {
                    (true, true) => MatchField::Ipv4Src(address.into()),
                    (true, false) => MatchField::Ipv4Dst(address.into()),
                    (false, true) => MatchField::ArpSpa(address.into()),
                    (false, false) => MatchField::ArpTpa(address.into()),
                });
            }
            if let Some(mac) = read!(ARP_SHA, headers.arp_sha) {
                if v10 {
                    return refuse(FieldSet::ARP_SHA);
                }
                m.push(MatchField::ArpSha(mac.into()));
            }
            if let Some(mac) = read!(ARP_THA, headers.arp_tha) {
                if v10 {
                    return refuse(FieldSet::ARP_THA);
                }
                m.push(MatchField::ArpTha(mac.into()));
            }
        }
        _ => {}
    }
    let Some(proto) = headers.ip_proto.value().filter(|_| ip) else {
        return Ok(m);
    };
    let source = read!(TP_SRC, headers.tp_src);
    let destination = read!(TP_DST, headers.tp_dst);
    for (port, field, is_source) in
        [(source, FieldSet::TP_SRC, true), (destination, FieldSet::TP_DST, false)]
    {
        let Some(port) = port else { continue };
        if port == 0 {
            return refuse(field);
        }
        m.push(match (proto, is_source) {
            (TCP, true) => MatchField::TcpSrc(port),
            (TCP, false) => MatchField::TcpDst(port),
            (UDP, true) => MatchField::UdpSrc(port),
            (UDP, false) => MatchField::UdpDst(port),
            (SCTP, true) if !v10 => MatchField::SctpSrc(port),
            (SCTP, false) if !v10 => MatchField::SctpDst(port),
            _ => return refuse(field),
        });
    }
    let kind = read!(ICMP_TYPE, headers.icmp_type);
    let code = read!(ICMP_CODE, headers.icmp_code);
    match proto {
        ICMP => {
            m_push(&mut m, kind, MatchField::Icmpv4Type);
            m_push(&mut m, code, MatchField::Icmpv4Code);
        }
        ICMPV6 => {
            m_push(&mut m, kind, MatchField::Icmpv6Type);
            m_push(&mut m, code, MatchField::Icmpv6Code);
            let target = read!(ND_TARGET, headers.nd_target);
            if let Some(target) = target {
                m.push(MatchField::Ipv6NdTarget(target.into()));
            }
        }
        _ => {}
    }
    Ok(m)
}

fn m_push<T>(m: &mut Match, value: Option<T>, field: impl Fn(T) -> MatchField) {
    if let Some(value) = value {
        m.push(field(value));
    }
}

/// The headers of a reply to a frame with `headers` that left with the tag state `egress`: source
/// and destination exchanged at every layer, an ICMP echo request turned into a reply.
///
/// `None` for frames that have no one reply: anything but TCP and UDP over IPv4 and ICMP echo
/// requests, group addresses, fragments.
pub fn reply_headers(headers: &Headers, egress: Vid) -> Option<Headers> {
    if headers.eth_dst.is_group()
        || headers.eth_type != Field::Is(IPV4)
        || headers.fragment != Fragment::No
    {
        return None;
    }
    let icmp_type = match (headers.ip_proto, headers.icmp_type) {
        (Field::Is(TCP | UDP), _) => Field::Absent,
        (Field::Is(ICMP), Field::Is(8)) => Field::Is(0),
        _ => return None,
    };
    Some(Headers {
        eth_dst: headers.eth_src,
        eth_src: headers.eth_dst,
        tag: tag_after(headers.tag, egress),
        ipv4_src: headers.ipv4_dst,
        ipv4_dst: headers.ipv4_src,
        tp_src: headers.tp_dst,
        tp_dst: headers.tp_src,
        icmp_type,
        icmp_code: Field::Absent,
        ..*headers
    })
}

/// The tag state of a frame after it was sent out at an attachment of VLAN `egress`. A priority tag
/// survives on an untagged attachment: it belongs to no VLAN either.
pub fn tag_after(tag: Tag, egress: Vid) -> Tag {
    match (tag, egress) {
        (Tag::None | Tag::Priority { .. }, Vid::Untagged) => tag,
        (_, Vid::Untagged) => Tag::None,
        (Tag::Vlan { pcp, .. } | Tag::Priority { pcp }, Vid::Tagged(vid)) => Tag::Vlan { vid, pcp },
        (_, Vid::Tagged(vid)) => Tag::Vlan { vid, pcp: 0 },
    }
}

/// Brings a frame with the tag state `tag` to an attachment of VLAN `egress`; returns the state
/// after it. Nothing is pushed if nothing must change.
fn retag(version: Version, tag: Tag, egress: Vid, actions: &mut Actions) -> Tag {
    let after = tag_after(tag, egress);
    if tag.without_pcp() == after.without_pcp() {
        return after;
    }
    match egress {
        Vid::Untagged => actions.push(Action::PopVlan),
        Vid::Tagged(vid) => set_vid(version, tag.is_present(), vid, actions),
    }
    after
}

fn set_vid(version: Version, tagged: bool, vid: VlanId, actions: &mut Actions) {
    if version == Version::V1_0 {
        actions.push(Action::SetVlanVid(vid.number()));
        return;
    }
    if !tagged {
        actions.push(Action::PushVlan(TPID_8021Q));
    }
    actions.push(Action::SetField(MatchField::VlanVid(vid.into())));
}

/// Out of `port`; back out of the ingress port is only done by IN_PORT (1.3.5 §4.5).
fn output(in_port: PortNo, port: PortNo) -> Action {
    Action::output(if port == in_port { PortNo::IN_PORT } else { port })
}

/// The actions of one flow entry or packet-out with a single output.
pub fn forward_actions(
    version: Version,
    in_port: PortNo,
    tag: Tag,
    port: PortNo,
    vid: Option<Vid>,
) -> Actions {
    let mut actions = Actions::new();
    if let Some(vid) = vid {
        retag(version, tag, vid, &mut actions);
    }
    actions.push(output(in_port, port));
    actions
}

/// The actions of one packet-out that sends a frame with the tag state `tag` to many attachments of
/// a switch, each with its own VLAN state.
///
/// The order keeps every output right with the fewest changes: outputs that keep the frame as it
/// is, then other VLANs, then untagged ones, so that a tag once removed is never needed again.
/// `in_port` is where the frame came in on this switch, or `ANY`.
pub fn flood_actions(
    version: Version,
    in_port: PortNo,
    tag: Tag,
    outputs: &[(PortNo, Vid)],
) -> Actions {
    let mut order: Vec<&(PortNo, Vid)> = outputs.iter().collect();
    let own = tag.vid();
    order.sort_by_key(|(port, vid)| (Some(*vid) != own, *vid == Vid::Untagged, *vid, *port));
    let mut actions = Actions::new();
    let mut now = tag;
    for (port, vid) in order {
        now = retag(version, now, *vid, &mut actions);
        actions.push(output(in_port, *port));
    }
    actions
}

/// The frame, filled with zeros to the shortest legal length; a short one in `room`.
pub fn padded<'a>(frame: &'a [u8], room: &'a mut [u8; MIN_FRAME]) -> &'a [u8] {
    if frame.len() >= MIN_FRAME {
        return frame;
    }
    let (start, rest) = room.split_at_mut(frame.len());
    start.copy_from_slice(frame);
    rest.fill(0);
    room
}

#[cfg(test)]
mod tests {
    use super::*;
    use umlaut_openflow::MacAddr;

    fn vid(n: u16) -> Vid {
        Vid::Tagged(VlanId::new(n).unwrap())
    }

    fn tag(n: u16) -> Tag {
        Tag::Vlan { vid: VlanId::new(n).unwrap(), pcp: 3 }
    }

    fn tcp() -> Headers {
        Headers {
            eth_dst: MacAddr::from_u64(2),
            eth_src: MacAddr::from_u64(1),
            eth_type: Field::Is(IPV4),
            ip_proto: Field::Is(TCP),
            ip_dscp: Field::Is(0),
            ipv4_src: Field::Is([10, 0, 0, 1].into()),
            ipv4_dst: Field::Is([10, 0, 0, 2].into()),
            tp_src: Field::Is(1000),
            tp_dst: Field::Is(22),
            ..Headers::default()
        }
    }

    #[test]
    fn a_match_has_exactly_the_fields_of_its_width() {
        let narrow = flow_match(Version::V1_0, PortNo(3), &tcp(), FieldSet::LAYER_2).unwrap();
        assert_eq!(
            narrow,
            Match::new()
                .in_port(PortNo(3))
                .eth_dst(MacAddr::from_u64(2))
                .eth_src(MacAddr::from_u64(1))
                .vlan_vid(VlanMatch::Absent)
                .eth_type(IPV4)
        );
        let wide = FieldSet::LAYER_2 | FieldSet::TP_DST;
        let wide = flow_match(Version::V1_3, PortNo(3), &tcp(), wide).unwrap();
        assert_eq!(wide, narrow.ip_proto(TCP).tcp_dst(22u16));
    }

    #[test]
    fn what_cannot_be_matched_gets_no_entry() {
        let l4 = FieldSet::LAYER_2 | FieldSet::TP_DST;
        let v6 = Headers {
            eth_type: Field::Is(IPV6),
            ipv4_src: Field::Absent,
            ipv4_dst: Field::Absent,
            ipv6_dst: Field::Is(std::net::Ipv6Addr::LOCALHOST),
            ..tcp()
        };
        let arp = Headers {
            eth_type: Field::Is(ARP),
            ip_proto: Field::Absent,
            arp_sha: Field::Is(MacAddr::from_u64(1)),
            ..Headers::default()
        };
        let rows = [
            ("fragment", Version::V1_3, Headers { fragment: Fragment::First, ..tcp() }, l4, false),
            (
                "fragment without transport rules",
                Version::V1_3,
                Headers { fragment: Fragment::First, ..tcp() },
                FieldSet::LAYER_2,
                true,
            ),
            ("port 0", Version::V1_3, Headers { tp_dst: Field::Is(0), ..tcp() }, l4, false),
            ("unknown port", Version::V1_3, Headers { tp_dst: Field::Unknown, ..tcp() }, l4, false),
            ("IPv6 by MAC on 1.0", Version::V1_0, v6, FieldSet::LAYER_2, true),
            ("IPv6 port on 1.0", Version::V1_0, v6, l4, false),
            ("IPv6 port on 1.3", Version::V1_3, v6, l4, true),
            ("IPv6 address on 1.0", Version::V1_0, v6, FieldSet::IPV6_DST, false),
            ("ARP hardware address on 1.0", Version::V1_0, arp, FieldSet::ARP_SHA, false),
            ("ARP hardware address on 1.3", Version::V1_3, arp, FieldSet::ARP_SHA, true),
            (
                "stacked tags",
                Version::V1_3,
                Headers { stacked: true, ..tcp() },
                FieldSet::LAYER_2,
                false,
            ),
        ];
        for (name, version, headers, width, matchable) in rows {
            assert_eq!(
                flow_match(version, PortNo(1), &headers, width).is_ok(),
                matchable,
                "{name}"
            );
        }
    }

    #[test]
    fn a_vlan_changes_only_where_it_must() {
        let p = PortNo(2);
        let out = Action::output(p);
        let set = |n: u16| Action::SetField(MatchField::VlanVid(VlanMatch::Tagged(n)));
        let push = Action::PushVlan(0x8100);
        let priority = Tag::Priority { pcp: 5 };
        let rows: [(Tag, Vid, Vec<Action>, Vec<Action>); 8] = [
            (Tag::None, Vid::Untagged, vec![], vec![]),
            (priority, Vid::Untagged, vec![], vec![]),
            (tag(7), vid(7), vec![], vec![]),
            (tag(7), Vid::Untagged, vec![Action::PopVlan], vec![Action::PopVlan]),
            (Tag::None, vid(7), vec![Action::SetVlanVid(7)], vec![push, set(7)]),
            (priority, vid(7), vec![Action::SetVlanVid(7)], vec![set(7)]),
            (tag(7), vid(8), vec![Action::SetVlanVid(8)], vec![set(8)]),
            (
                Tag::None,
                vid(4094),
                vec![Action::SetVlanVid(4094)],
                vec![Action::PushVlan(0x8100), set(4094)],
            ),
        ];
        for (from, to, mut v10, mut v13) in rows {
            v10.push(out.clone());
            v13.push(out.clone());
            let actions = |version| forward_actions(version, PortNo(1), from, p, Some(to));
            assert_eq!(actions(Version::V1_0), v10, "{from:?} to {to}");
            assert_eq!(actions(Version::V1_3), v13, "{from:?} to {to}");
        }
    }

    #[test]
    fn a_flood_gives_each_output_its_own_vlan_state() {
        let outputs = [
            (PortNo(1), Vid::Untagged),
            (PortNo(2), vid(10)),
            (PortNo(3), vid(20)),
            (PortNo(4), vid(10)),
            (PortNo(5), Vid::Untagged),
        ];
        let set = |n: u16| Action::SetField(MatchField::VlanVid(VlanMatch::Tagged(n)));
        let out = |n| Action::output(PortNo(n));
        assert_eq!(
            flood_actions(Version::V1_3, PortNo::ANY, Tag::None, &outputs),
            [out(1), out(5), Action::PushVlan(0x8100), set(10), out(2), out(4), set(20), out(3)]
        );
        assert_eq!(
            flood_actions(Version::V1_0, PortNo(3), tag(20), &outputs),
            [
                Action::output(PortNo::IN_PORT),
                Action::SetVlanVid(10),
                out(2),
                out(4),
                Action::PopVlan,
                out(1),
                out(5)
            ]
        );
    }

    #[test]
    fn a_reply_has_everything_exchanged() {
        let reply = reply_headers(&tcp(), vid(7)).unwrap();
        assert_eq!(reply.eth_src, tcp().eth_dst);
        assert_eq!(reply.tp_src, Field::Is(22));
        assert_eq!(reply.ipv4_dst, tcp().ipv4_src);
        assert_eq!(reply.tag.vid(), Some(vid(7)));
        let echo = |kind| Headers {
            ip_proto: Field::Is(ICMP),
            icmp_type: Field::Is(kind),
            tp_src: Field::Absent,
            tp_dst: Field::Absent,
            ..tcp()
        };
        assert_eq!(reply_headers(&echo(8), Vid::Untagged).unwrap().icmp_type, Field::Is(0));
        assert_eq!(reply_headers(&echo(0), Vid::Untagged), None);
        assert_eq!(
            reply_headers(&Headers { eth_dst: MacAddr::BROADCAST, ..tcp() }, Vid::Untagged),
            None
        );
    }

    #[test]
    fn short_frames_are_padded_to_sixty_bytes() {
        let mut room = [7; MIN_FRAME];
        assert_eq!(padded(&[1; 14], &mut room), [[1; 14].as_slice(), &[0; 46]].concat());
        assert_eq!(padded(&[1; 61], &mut room), [1; 61]);
    }
}

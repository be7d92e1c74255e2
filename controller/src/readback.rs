//! Entries of paths as switches report them: the inverse of [`program`](crate::program). Pure.
//!
//! What is read back is programmed again and compared, so that an entry counts as a path's only if
//! this controller would have written it exactly so.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use umlaut_openflow::packet::{Field, Headers, Tag};
use umlaut_openflow::{
    Action, Actions, Attachment, DatapathId, FieldSet, FlowStats, Instruction, MacAddr, Masked,
    Match, MatchField, PortNo, TableId, Version, Vid, VlanId, VlanMatch,
};

use crate::path::{FlowKey, HopName, PATH_PRIORITY, PathCookie};
use crate::program::{ARP, ICMP, ICMPV6, IPV4, IPV6, SCTP, TCP, UDP, flow_match, forward_actions};

/// A path's entry as a switch has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OwnEntry {
    /// Whose it is, and where on the path it stands.
    pub(crate) cookie: PathCookie,
    /// Which frames.
    pub(crate) key: FlowKey,
    /// Where they go.
    pub(crate) out_port: PortNo,
    /// The VLAN that they leave with; `None`: as they came.
    pub(crate) vid: Option<Vid>,
}

impl OwnEntry {
    /// Reads an entry; `None` if it is not one that this controller writes for paths.
    pub(crate) fn read(version: Version, flow: &FlowStats) -> Option<OwnEntry> {
        let cookie = PathCookie::read(flow.cookie)?;
        if flow.priority != PATH_PRIORITY || flow.table_id != TableId(0) {
            return None;
        }
        let key = flow_key(version, &flow.matches)?;
        let [Instruction::Apply(actions)] = &flow.instructions[..] else { return None };
        let (out_port, vid) = outcome(key.in_port, actions)?;
        // An entry that leaves the VLAN alone does so on purpose where frames leave the network.
        let vid = vid.or(key.headers.tag.vid().filter(|_| cookie.mark.last));
        let entry = OwnEntry { cookie, key, out_port, vid };
        same_actions(&entry.actions(version), actions).then_some(entry)
    }

    /// Its name in the run that its cookie tells.
    pub(crate) fn name(&self) -> HopName {
        let PathCookie { path, mark, .. } = self.cookie;
        HopName { path, leg: mark.leg, in_port: self.key.in_port }
    }

    /// What it does to frames.
    pub(crate) fn actions(&self, version: Version) -> Actions {
        forward_actions(version, self.key.in_port, self.key.headers.tag, self.out_port, self.vid)
    }

    /// What it matches.
    pub(crate) fn matches(&self, version: Version) -> Match {
        // The key came from a match that was found to be this one.
        flow_match(version, self.key.in_port, &self.key.headers, self.key.width).unwrap_or_default()
    }

    /// Where it says that hosts are on a switch: the sender where frames enter, the receiver where
    /// they leave.
    pub(crate) fn hosts(&self, dpid: DatapathId) -> impl Iterator<Item = (Attachment, MacAddr)> {
        let (headers, mark) = (&self.key.headers, self.cookie.mark);
        let sender = headers
            .tag
            .vid()
            .filter(|_| mark.first)
            .map(|vid| (Attachment { dpid, port: self.key.in_port, vid }, headers.eth_src));
        let receiver = self
            .vid
            .filter(|_| mark.last)
            .map(|vid| (Attachment { dpid, port: self.out_port, vid }, headers.eth_dst));
        sender.into_iter().chain(receiver)
    }
}

/// Whether two action lists do the same; how much of a frame goes to the controller is told in many
/// ways for ports that are not the controller.
pub(crate) fn same_actions(a: &[Action], b: &[Action]) -> bool {
    let same = |a: &Action, b: &Action| match (a, b) {
        (Action::Output { port: a, .. }, Action::Output { port: b, .. }) => a == b,
        (a, b) => a == b,
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

/// Where an action list sends a frame, and the VLAN that it sets.
fn outcome(in_port: PortNo, actions: &[Action]) -> Option<(PortNo, Option<Vid>)> {
    let (last, before) = actions.split_last()?;
    let &Action::Output { port, .. } = last else { return None };
    let mut vid = None;
    for action in before {
        match action {
            Action::PopVlan => vid = Some(Vid::Untagged),
            Action::PushVlan(_) => {}
            Action::SetVlanVid(n) | Action::SetField(MatchField::VlanVid(VlanMatch::Tagged(n))) => {
                vid = Some(Vid::Tagged(VlanId::new(*n)?));
            }
            _ => return None,
        }
    }
    Some((if port == PortNo::IN_PORT { in_port } else { port }, vid))
}

/// The frames of a match as a key, with every field in its width that the match names or that such
/// frames cannot have. `None` if the match is none of a path: fields of others, masks.
pub(crate) fn flow_key(version: Version, matches: &Match) -> Option<FlowKey> {
    let in_port = matches.ingress()?;
    let mut headers = Headers::default();
    let mut width = FieldSet::NONE;
    let matches = without_stray_priority(matches);
    let eth_type = matches.fields().iter().find_map(|field| match field {
        MatchField::EthType(eth_type) => Some(*eth_type),
        _ => None,
    });
    for field in matches.fields() {
        width |= put(&mut headers, field, eth_type == Some(ARP))?;
    }
    if !width.contains(FieldSet::LAYER_2) {
        return None;
    }
    let key = FlowKey::new(in_port, &headers, width | impossible(&headers));
    let again = flow_match(version, in_port, &key.headers, key.width).ok()?;
    same_match(&again, &matches).then_some(key)
}

/// Open vSwitch tells in 1.0 that frames without a tag have priority 0.
fn without_stray_priority(matches: &Match) -> Cow<'_, Match> {
    let fields = matches.fields();
    if !fields.contains(&MatchField::VlanVid(VlanMatch::Absent)) {
        return Cow::Borrowed(matches);
    }
    let kept = fields.iter().filter(|field| !matches!(field, MatchField::VlanPcp(0))).cloned();
    Cow::Owned(kept.fold(Match::new(), Match::with))
}

/// Whether two matches are the same but for the order of their fields.
pub(crate) fn same_match(a: &Match, b: &Match) -> bool {
    let (a, b) = (a.fields(), b.fields());
    a.len() == b.len() && a.iter().all(|field| b.contains(field))
}

/// Notes a field of a match; `None` if no path's entry has it.
fn put(h: &mut Headers, field: &MatchField, arp: bool) -> Option<FieldSet> {
    Some(match *field {
        MatchField::InPort(_) => FieldSet::NONE,
        MatchField::EthDst(mac) => {
            h.eth_dst = exact(mac)?;
            FieldSet::ETH_DST
        }
        MatchField::EthSrc(mac) => {
            h.eth_src = exact(mac)?;
            FieldSet::ETH_SRC
        }
        MatchField::EthType(eth_type) => {
            h.eth_type = Field::Is(eth_type);
            FieldSet::ETH_TYPE
        }
        MatchField::VlanVid(vlan) => {
            let pcp = pcp(h.tag);
            h.tag = match vlan {
                VlanMatch::Absent => Tag::None,
                VlanMatch::Tagged(0) => Tag::Priority { pcp },
                VlanMatch::Tagged(vid) => Tag::Vlan { vid: VlanId::new(vid)?, pcp },
                VlanMatch::Present | VlanMatch::Raw { .. } => return None,
            };
            FieldSet::VLAN
        }
        MatchField::VlanPcp(pcp) => {
            h.tag = match h.tag {
                Tag::Vlan { vid, .. } => Tag::Vlan { vid, pcp },
                _ => Tag::Priority { pcp },
            };
            FieldSet::VLAN_PCP
        }
        MatchField::IpDscp(dscp) => {
            h.ip_dscp = Field::Is(dscp);
            FieldSet::IP_DSCP
        }
        MatchField::IpEcn(ecn) => {
            h.ip_ecn = Field::Is(ecn);
            FieldSet::IP_ECN
        }
        MatchField::IpProto(op) if arp => {
            h.arp_op = Field::Is(op.into());
            FieldSet::ARP_OP
        }
        MatchField::IpProto(proto) => {
            h.ip_proto = Field::Is(proto);
            FieldSet::IP_PROTO
        }
        MatchField::Ipv4Src(address) if arp => {
            h.arp_spa = Field::Is(exact::<Ipv4Addr>(address)?);
            FieldSet::ARP_SPA
        }
        MatchField::Ipv4Dst(address) if arp => {
            h.arp_tpa = Field::Is(exact::<Ipv4Addr>(address)?);
            FieldSet::ARP_TPA
        }
        MatchField::Ipv4Src(address) => {
            h.ipv4_src = Field::Is(exact(address)?);
            FieldSet::IPV4_SRC
        }
        MatchField::Ipv4Dst(address) => {
            h.ipv4_dst = Field::Is(exact(address)?);
            FieldSet::IPV4_DST
        }
        MatchField::Ipv6Src(ref address) => {
            h.ipv6_src = Field::Is(exact::<Ipv6Addr>(**address)?);
            FieldSet::IPV6_SRC
        }
        MatchField::Ipv6Dst(ref address) => {
            h.ipv6_dst = Field::Is(exact::<Ipv6Addr>(**address)?);
            FieldSet::IPV6_DST
        }
        MatchField::ArpOp(op) => {
            h.arp_op = Field::Is(op);
            FieldSet::ARP_OP
        }
        MatchField::ArpSpa(address) => {
            h.arp_spa = Field::Is(exact(address)?);
            FieldSet::ARP_SPA
        }
        MatchField::ArpTpa(address) => {
            h.arp_tpa = Field::Is(exact(address)?);
            FieldSet::ARP_TPA
        }
        MatchField::ArpSha(mac) => {
            h.arp_sha = Field::Is(exact(mac)?);
            FieldSet::ARP_SHA
        }
        MatchField::ArpTha(mac) => {
            h.arp_tha = Field::Is(exact(mac)?);
            FieldSet::ARP_THA
        }
        MatchField::TcpSrc(port) | MatchField::UdpSrc(port) | MatchField::SctpSrc(port) => {
            h.tp_src = Field::Is(port);
            FieldSet::TP_SRC
        }
        MatchField::TcpDst(port) | MatchField::UdpDst(port) | MatchField::SctpDst(port) => {
            h.tp_dst = Field::Is(port);
            FieldSet::TP_DST
        }
        MatchField::Icmpv4Type(kind) | MatchField::Icmpv6Type(kind) => {
            h.icmp_type = Field::Is(kind);
            FieldSet::ICMP_TYPE
        }
        MatchField::Icmpv4Code(code) | MatchField::Icmpv6Code(code) => {
            h.icmp_code = Field::Is(code);
            FieldSet::ICMP_CODE
        }
        MatchField::Ipv6NdTarget(ref target) => {
            h.nd_target = Field::Is(exact(**target)?);
            FieldSet::ND_TARGET
        }
        _ => return None,
    })
}

fn exact<T: Copy>(value: Masked<T>) -> Option<T> {
    value.mask.is_none().then_some(value.value)
}

fn pcp(tag: Tag) -> u8 {
    match tag {
        Tag::Priority { pcp } | Tag::Vlan { pcp, .. } => pcp,
        Tag::None | Tag::Reserved => 0,
    }
}

/// Fields that frames of this EtherType and protocol cannot have: their absence is known.
fn impossible(h: &Headers) -> FieldSet {
    const ARP_ONLY: FieldSet = FieldSet::ARP_OP
        .union(FieldSet::ARP_SPA)
        .union(FieldSet::ARP_TPA)
        .union(FieldSet::ARP_SHA)
        .union(FieldSet::ARP_THA);
    const V4_ONLY: FieldSet = FieldSet::IPV4_SRC.union(FieldSet::IPV4_DST);
    const V6_ONLY: FieldSet =
        FieldSet::IPV6_SRC.union(FieldSet::IPV6_DST).union(FieldSet::ND_TARGET);
    const IP_ONLY: FieldSet = FieldSet::IP_PROTO
        .union(FieldSet::IP_DSCP)
        .union(FieldSet::IP_ECN)
        .union(FieldSet::TRANSPORT)
        .union(FieldSet::FRAGMENT)
        .union(V4_ONLY)
        .union(V6_ONLY);
    const PORTS: FieldSet = FieldSet::TP_SRC.union(FieldSet::TP_DST);
    const ICMP_FIELDS: FieldSet = FieldSet::ICMP_TYPE.union(FieldSet::ICMP_CODE);
    let mut set = match h.eth_type {
        Field::Is(ARP) => IP_ONLY,
        Field::Is(IPV4) => ARP_ONLY | V6_ONLY,
        Field::Is(IPV6) => ARP_ONLY | V4_ONLY,
        Field::Is(_) => ARP_ONLY | IP_ONLY,
        Field::Absent | Field::Unknown => FieldSet::NONE,
    };
    // Entries that name a protocol do not take fragments of unknown content for their own.
    match h.ip_proto {
        Field::Is(TCP | UDP | SCTP) => {
            set |= ICMP_FIELDS | FieldSet::ND_TARGET | FieldSet::FRAGMENT
        }
        Field::Is(ICMP) => set |= PORTS | FieldSet::ND_TARGET | FieldSet::FRAGMENT,
        Field::Is(ICMPV6) => set |= PORTS | FieldSet::FRAGMENT,
        Field::Is(_) => set |= FieldSet::TRANSPORT | FieldSet::FRAGMENT,
        Field::Absent | Field::Unknown => {}
    }
    if h.tag == Tag::None {
        set |= FieldSet::VLAN_PCP;
    }
    set
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use umlaut_openflow::FlowModFlags;

    use super::*;
    use crate::path::{Leg, Mark, PathRef, SessionNo};

    fn headers() -> impl Strategy<Value = Headers> {
        let tag = prop_oneof![
            Just(Tag::None),
            (0u8..8).prop_map(|pcp| Tag::Priority { pcp }),
            (1u16..4095, 0u8..8)
                .prop_map(|(vid, pcp)| Tag::Vlan { vid: VlanId::new(vid).unwrap(), pcp }),
        ];
        let v4 = any::<u32>().prop_map(Ipv4Addr::from);
        let v6 = any::<u128>().prop_map(Ipv6Addr::from);
        let ip = (
            0u8..64,
            0u8..4,
            prop_oneof![Just(TCP), Just(UDP), Just(SCTP), Just(ICMP), Just(ICMPV6), any::<u8>()],
        );
        let l4 = (1u16.., 1u16.., any::<u8>(), any::<u8>());
        (
            0u64..16,
            0u64..16,
            tag,
            prop_oneof![Just(ARP), Just(IPV4), Just(IPV6), Just(0x88b5)],
            ip,
            l4,
            v4,
            v6,
        )
            .prop_map(
                |(
                    src,
                    dst,
                    tag,
                    eth_type,
                    (dscp, ecn, proto),
                    (sport, dport, kind, code),
                    a4,
                    a6,
                )| {
                    let mut h = Headers {
                        eth_src: MacAddr::from_u64(src),
                        eth_dst: MacAddr::from_u64(dst),
                        tag,
                        eth_type: Field::Is(eth_type),
                        ..Headers::default()
                    };
                    match eth_type {
                        ARP => {
                            h.arp_op = Field::Is(1);
                            h.arp_spa = Field::Is(a4);
                            h.arp_tpa = Field::Is(a4);
                            h.arp_sha = Field::Is(h.eth_src);
                            h.arp_tha = Field::Is(h.eth_dst);
                        }
                        IPV4 => (h.ipv4_src, h.ipv4_dst) = (Field::Is(a4), Field::Is(a4)),
                        IPV6 => (h.ipv6_src, h.ipv6_dst) = (Field::Is(a6), Field::Is(a6)),
                        _ => return h,
                    }
                    if eth_type == ARP {
                        return h;
                    }
                    h.ip_dscp = Field::Is(dscp);
                    h.ip_ecn = Field::Is(ecn);
                    h.ip_proto = Field::Is(proto);
                    match proto {
                        TCP | UDP | SCTP => {
                            (h.tp_src, h.tp_dst) = (Field::Is(sport), Field::Is(dport))
                        }
                        ICMP | ICMPV6 => {
                            (h.icmp_type, h.icmp_code) = (Field::Is(kind), Field::Is(code))
                        }
                        _ => {}
                    }
                    h
                },
            )
    }

    proptest! {
        /// What is programmed is read back as the same frames with the same fate, and its width
        /// covers what the decision had read.
        #[test]
        fn what_is_programmed_is_read_back(
            h in headers(),
            width in any::<u32>(),
            v10: bool,
            mark in (any::<bool>(), any::<bool>()),
            out in 1u32..4,
            vid in prop_oneof![Just(Vid::Untagged), (1u16..4095).prop_map(|n| Vid::Tagged(VlanId::new(n).unwrap()))],
        ) {
            let version = if v10 { Version::V1_0 } else { Version::V1_3 };
            let fields = [
                FieldSet::VLAN_PCP, FieldSet::IP_PROTO, FieldSet::IP_DSCP, FieldSet::IP_ECN,
                FieldSet::IPV4_SRC, FieldSet::IPV4_DST, FieldSet::IPV6_SRC, FieldSet::IPV6_DST,
                FieldSet::TP_SRC, FieldSet::TP_DST, FieldSet::ICMP_TYPE, FieldSet::ICMP_CODE,
                FieldSet::ARP_OP, FieldSet::ARP_SPA, FieldSet::ARP_TPA, FieldSet::ARP_SHA, FieldSet::ARP_THA,
            ];
            let picked = fields.iter().enumerate().filter(|(n, _)| width >> n & 1 == 1);
            let width = picked.fold(FieldSet::LAYER_2, |all, (_, field)| all | *field);
            let written = FlowKey::new(PortNo(1), &h, width);
            let Ok(matches) = flow_match(version, PortNo(1), &written.headers, written.width) else {
                return Ok(());
            };
            let mark = Mark { leg: Leg::Forward, first: mark.0, last: mark.1 };
            let vid = mark.last.then_some(vid);
            let path = PathRef { session: SessionNo(3), slot: 4, generation: 5 };
            let actions = forward_actions(version, PortNo(1), written.headers.tag, PortNo(out), vid);
            let flow = FlowStats {
                table_id: TableId(0),
                duration: Duration::ZERO,
                priority: PATH_PRIORITY,
                idle_timeout: 60,
                hard_timeout: 0,
                flags: FlowModFlags::SEND_FLOW_REM,
                cookie: path.cookie(9, mark),
                packet_count: 0,
                byte_count: 0,
                matches: matches.clone(),
                instructions: [Instruction::Apply(actions.clone())].into(),
            };
            let read = OwnEntry::read(version, &flow).expect("an own entry");
            prop_assert_eq!((read.cookie.path, read.cookie.mark), (path, mark));
            prop_assert!(same_match(&read.matches(version), &matches));
            prop_assert_eq!(read.actions(version), actions);
            prop_assert_eq!(read.out_port, PortNo(out));
            prop_assert!(read.key.width.contains(written.width),
                "{:?} of {:?}", read.key.width, written.width);
            prop_assert_eq!(written.width.project(&read.key.headers), written.headers);
            if v10 && written.headers.tag == Tag::None {
                let stray = matches.clone().with(MatchField::VlanPcp(0));
                let told = FlowStats { matches: stray, ..flow.clone() };
                prop_assert_eq!(OwnEntry::read(version, &told), Some(read));
            }
            // Anything else in its place is not ours.
            for other in [
                FlowStats { priority: 1, ..flow.clone() },
                FlowStats { table_id: TableId(1), ..flow.clone() },
                FlowStats { cookie: umlaut_openflow::Cookie(7), ..flow.clone() },
                FlowStats { instructions: [].into(), ..flow.clone() },
                FlowStats { matches: matches.clone().with(MatchField::MplsLabel(1)), ..flow.clone() },
            ] {
                prop_assert_eq!(OwnEntry::read(version, &other), None);
            }
        }
    }
}

//! Neutral messages in the words of a wire version. Pure.
//!
//! Applications speak as 1.3 does; what 1.0 says otherwise is said so here:
//!
//! | Neutral | 1.0 |
//! |---|---|
//! | `PushVlan(0x8100)`, `SetField(VlanVid)` | `SetVlanVid`: adds a tag where there is none, changes the one that is there |
//! | `SetField(VlanVid)`, `SetField(VlanPcp)` | `SetVlanVid`, `SetVlanPcp` |
//! | `SetQueue` and a later `Output` to an ordinary port | `Enqueue` |
//! | a match of any tag (`VlanMatch::Present`) with its `VlanPcp` | `VlanPcp` alone |
//! | queue statistics of port `ANY` | of port `ALL` |
//!
//! In every version, matches get the fields that others presuppose
//! ([`Match::with_prerequisites`]), and `TpSrc` and `TpDst` become those of the protocol that the
//! match names where 1.3 has no such field. What stays as it is and cannot be expressed is an error
//! at encode.

use std::borrow::Cow;

use umlaut_openflow::{
    Action, FlowMod, FlowStatsRequest, Instruction, Match, MatchField, Message, PacketOut, PortNo,
    Version, VlanMatch,
};

const TPID_8021Q: u16 = 0x8100;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// A message as this version says it.
pub(crate) fn worded<'m, 'a>(version: Version, message: &'m Message<'a>) -> Cow<'m, Message<'a>> {
    let v10 = version == Version::V1_0;
    Cow::Owned(match message {
        Message::FlowMod(flow_mod) if rewords(version, flow_mod) => {
            let mut flow_mod = flow_mod.clone();
            reword(version, &mut flow_mod);
            Message::FlowMod(flow_mod)
        }
        Message::FlowStatsRequest(request) => {
            Message::FlowStatsRequest(request_in(version, request))
        }
        Message::AggregateStatsRequest(request) => {
            Message::AggregateStatsRequest(request_in(version, request))
        }
        Message::PacketOut(out) if rewords_actions(version, &out.actions) => {
            let actions = actions_in_1_0(&out.actions).into();
            Message::PacketOut(PacketOut { actions, ..out.clone() })
        }
        Message::QueueStatsRequest { port: PortNo::ANY, queue_id } if v10 => {
            Message::QueueStatsRequest { port: PortNo::ALL, queue_id: *queue_id }
        }
        message => return Cow::Borrowed(message),
    })
}

/// Whether a flow-mod says anything that a version may say otherwise; most do not.
#[inline]
fn rewords(version: Version, flow_mod: &FlowMod) -> bool {
    !flow_mod.matches.presupposes_nothing()
        || version == Version::V1_0 && flow_mod.instructions.iter().any(changes_frames)
}

/// Puts a flow-mod in the words of a version.
#[inline]
pub(crate) fn reword_flow_mod(version: Version, flow_mod: &mut FlowMod) {
    if rewords(version, flow_mod) {
        reword(version, flow_mod);
    }
}

#[inline(never)]
fn reword(version: Version, flow_mod: &mut FlowMod) {
    flow_mod.matches = match_in(version, &flow_mod.matches);
    if version == Version::V1_0 {
        for instruction in &mut flow_mod.instructions {
            if let Instruction::Apply(actions) = instruction
                && changes(actions)
            {
                *actions = actions_in_1_0(actions).into();
            }
        }
    }
}

/// Whether a version says some of these actions otherwise.
#[inline]
pub(crate) fn rewords_actions(version: Version, actions: &[Action]) -> bool {
    version == Version::V1_0 && changes(actions)
}

fn request_in(version: Version, request: &FlowStatsRequest) -> FlowStatsRequest {
    FlowStatsRequest { matches: match_in(version, &request.matches), ..request.clone() }
}

fn match_in(version: Version, matches: &Match) -> Match {
    let matches = matches.with_prerequisites();
    let has = |field: fn(&MatchField) -> bool| matches.fields().iter().any(field);
    if version == Version::V1_0 {
        let any_tag = |f: &MatchField| matches!(f, MatchField::VlanVid(VlanMatch::Present));
        if has(any_tag) && has(|f| matches!(f, MatchField::VlanPcp(_))) {
            return matches.fields().iter().filter(|f| !any_tag(f)).cloned().collect();
        }
        return matches;
    }
    let is_1_0_only = |f: &MatchField| matches!(f, MatchField::TpSrc(_) | MatchField::TpDst(_));
    if !has(is_1_0_only) {
        return matches;
    }
    let proto = matches.fields().iter().find_map(|field| match field {
        MatchField::IpProto(proto) => Some(*proto),
        _ => None,
    });
    let named = matches.fields().iter().map(|field| match (proto, field) {
        (Some(TCP), MatchField::TpSrc(port)) => MatchField::TcpSrc(*port),
        (Some(TCP), MatchField::TpDst(port)) => MatchField::TcpDst(*port),
        (Some(UDP), MatchField::TpSrc(port)) => MatchField::UdpSrc(*port),
        (Some(UDP), MatchField::TpDst(port)) => MatchField::UdpDst(*port),
        (Some(SCTP), MatchField::TpSrc(port)) => MatchField::SctpSrc(*port),
        (Some(SCTP), MatchField::TpDst(port)) => MatchField::SctpDst(*port),
        _ => field.clone(),
    });
    named.collect()
}

fn changes_frames(instruction: &Instruction) -> bool {
    matches!(instruction, Instruction::Apply(actions) if changes(actions))
}

/// Whether an action list says something that 1.0 says otherwise.
fn changes(actions: &[Action]) -> bool {
    actions.iter().any(|action| {
        matches!(
            action,
            Action::PushVlan(TPID_8021Q)
                | Action::SetQueue(_)
                | Action::SetField(MatchField::VlanVid(_) | MatchField::VlanPcp(_))
        )
    })
}

fn actions_in_1_0(actions: &[Action]) -> Vec<Action> {
    let mut queue = None;
    let mut rest = actions.iter().peekable();
    let mut said = Vec::with_capacity(actions.len());
    while let Some(action) = rest.next() {
        said.push(match action {
            // Setting the VID adds the tag; without it the push is what 1.0 lacks.
            Action::PushVlan(TPID_8021Q)
                if matches!(rest.peek(), Some(Action::SetField(MatchField::VlanVid(_)))) =>
            {
                continue;
            }
            Action::SetField(MatchField::VlanVid(VlanMatch::Tagged(vid))) => {
                Action::SetVlanVid(*vid)
            }
            Action::SetField(MatchField::VlanPcp(pcp)) => Action::SetVlanPcp(*pcp),
            Action::SetQueue(queue_id) => {
                queue = Some(*queue_id);
                continue;
            }
            Action::Output { port, .. } if port.0 <= PortNo::MAX.0 || *port == PortNo::IN_PORT => {
                match queue {
                    Some(queue_id) => Action::Enqueue { port: *port, queue_id },
                    None => action.clone(),
                }
            }
            action => action.clone(),
        });
    }
    said
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use umlaut_openflow::{Xid, encode};

    use super::*;

    fn entry(actions: Vec<Action>) -> Message<'static> {
        Message::FlowMod(FlowMod::add(Match::new().tcp_dst(80u16)).apply(actions))
    }

    fn said(version: Version, message: &Message<'_>) -> Vec<Action> {
        let worded = worded(version, message);
        let encoded = encode(version, Xid(1), &worded, &mut BytesMut::new());
        assert_eq!(encoded, Ok(()), "{worded:?}");
        match &*worded {
            Message::FlowMod(flow_mod) => match &flow_mod.instructions[..] {
                [Instruction::Apply(actions)] => actions.to_vec(),
                other => panic!("{other:?}"),
            },
            Message::PacketOut(out) => out.actions.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn vlans_and_queues_are_said_in_the_words_of_each_version() {
        let (one, two) = (Action::output(PortNo(1)), Action::output(PortNo(2)));
        let vid = Action::SetField(MatchField::VlanVid(VlanMatch::Tagged(7)));
        let pcp = Action::SetField(MatchField::VlanPcp(3));
        let queued = |port, queue_id| Action::Enqueue { port: PortNo(port), queue_id };
        let table = [
            (
                vec![Action::PushVlan(TPID_8021Q), vid.clone(), one.clone()],
                vec![Action::SetVlanVid(7), one.clone()],
            ),
            (
                vec![vid, pcp, one.clone()],
                vec![Action::SetVlanVid(7), Action::SetVlanPcp(3), one.clone()],
            ),
            (
                vec![
                    one.clone(),
                    Action::SetQueue(4),
                    two.clone(),
                    Action::SetQueue(5),
                    one.clone(),
                ],
                vec![one.clone(), queued(2, 4), queued(1, 5)],
            ),
            (
                vec![Action::SetQueue(4), Action::output(PortNo::CONTROLLER)],
                vec![Action::output(PortNo::CONTROLLER)],
            ),
            (vec![one.clone()], vec![one]),
        ];
        for (neutral, in_1_0) in table {
            assert_eq!(said(Version::V1_0, &entry(neutral.clone())), in_1_0);
            assert_eq!(said(Version::V1_3, &entry(neutral.clone())), neutral);
            let out = Message::PacketOut(PacketOut {
                actions: neutral.into(),
                ..PacketOut::to_port(PortNo(1), &b""[..])
            });
            assert_eq!(said(Version::V1_0, &out), in_1_0);
        }
    }

    #[test]
    fn what_1_0_cannot_say_stays_and_is_refused_at_encode() {
        let push = entry(vec![Action::PushVlan(TPID_8021Q), Action::output(PortNo(1))]);
        let worded = worded(Version::V1_0, &push);
        assert!(encode(Version::V1_0, Xid(1), &worded, &mut BytesMut::new()).is_err());
    }

    #[test]
    fn ports_without_a_protocol_get_the_one_that_the_match_names() {
        let matches = Match::new().ip_proto(UDP).with(MatchField::TpDst(53));
        let request = Message::FlowStatsRequest(FlowStatsRequest::of(matches.clone()));
        let in_words = |version| match &*worded(version, &request) {
            Message::FlowStatsRequest(request) => request.matches.clone(),
            other => panic!("{other:?}"),
        };
        let ip = Match::new().eth_type(0x0800u16).ip_proto(UDP);
        assert_eq!(in_words(Version::V1_3), ip.clone().udp_dst(53u16));
        assert_eq!(in_words(Version::V1_0), ip.with(MatchField::TpDst(53)));
    }

    #[test]
    fn a_priority_is_matched_in_both_versions() {
        let message = Message::FlowMod(FlowMod::add(Match::new().vlan_pcp(3)));
        for version in [Version::V1_0, Version::V1_3] {
            let worded = worded(version, &message);
            assert_eq!(encode(version, Xid(1), &worded, &mut BytesMut::new()), Ok(()));
        }
    }
}

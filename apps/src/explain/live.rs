//! What a running network does with a frame now: the entries that it meets, switch by switch. Pure:
//! flow tables were asked for before.

use serde::Serialize;
use umlaut_controller::AppNo;
use umlaut_controller::path::{Leg, PathCookie, STANDING_COOKIE, STORM_PRIORITY, of_app};
use umlaut_controller::routes::covers;
use umlaut_openflow::packet::{Headers, Tag};
use umlaut_openflow::{
    Action, Attachment, FlowStats, Instruction, Match, MatchField, PortNo, TableId, Version,
    VlanId, VlanMatch,
};
use umlaut_slice_db::{Decision, DropReason, Policy, Verdict};

use super::ofctl;
use super::way::tag_name;

/// What is known and done now.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Live {
    /// Where sender and destination are known to be.
    pub hosts: Vec<Whereabouts>,
    /// The entries that the frame meets, in order.
    pub entries: Vec<Met>,
    /// What becomes of the frame: `delivered at s2/1, untagged`.
    pub outcome: String,
    /// Whether that is what would be decided.
    pub agrees: bool,
    /// What there is to say of it.
    pub remark: Option<String>,
}

/// Where a host is known to be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Whereabouts {
    /// The host, with its name if it has one.
    pub host: String,
    /// The slice in which it was seen; none if it was not.
    pub slice: Option<String>,
    /// Where.
    pub at: Option<String>,
    /// It was refused there: a guess.
    pub tentative: bool,
    /// How long ago it was last known to be alive.
    pub seen_seconds: Option<u64>,
    /// For a host that was admitted nowhere: where and why it was refused under the policy of now, as
    /// far as is remembered.
    pub refused: Vec<String>,
}

/// An entry that the frame meets.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Met {
    /// The switch.
    pub switch: String,
    /// Where the frame comes in.
    pub from: String,
    /// Whose entry it is: `path`, `reply`, `drop`, `storm`, `left over`, `standing`, `application`,
    /// `foreign`; none if no entry matches.
    pub whose: Option<&'static str>,
    /// The entry, as `ovs-ofctl` writes it.
    pub flow: Option<String>,
    /// Packets matched.
    pub packets: Option<u64>,
    /// Bytes matched.
    pub bytes: Option<u64>,
    /// How long it has been there.
    pub seconds: Option<u64>,
}

/// What an entry does with a frame.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Effects {
    /// Ports that it leaves by, and its tag there.
    pub outputs: Vec<(PortNo, Tag)>,
    /// What is not followed: groups, other tables.
    pub beyond: Option<String>,
}

/// The entry of a table that a frame meets: that of the highest priority that matches it.
pub fn look_up<'t>(
    version: Version,
    table: &'t [FlowStats],
    in_port: PortNo,
    headers: &Headers,
) -> Option<&'t FlowStats> {
    let first = table.iter().filter(|flow| flow.table_id == TableId(0));
    let meets = first.filter(|flow| covers(&neutral(version, &flow.matches), in_port, headers));
    meets.max_by_key(|flow| flow.priority)
}

/// A match in the words of 1.3, as frames are compared with.
fn neutral(version: Version, matches: &Match) -> Match {
    let fields = matches.fields();
    let untagged = fields.contains(&MatchField::VlanVid(VlanMatch::Absent));
    let arp = version == Version::V1_0 && fields.contains(&MatchField::EthType(0x0806));
    let said = fields.iter().filter_map(|field| match field {
        // Open vSwitch tells a priority of untagged frames in 1.0, where there is none.
        MatchField::VlanPcp(_) if untagged => None,
        MatchField::IpProto(op) if arp => Some(MatchField::ArpOp((*op).into())),
        MatchField::Ipv4Src(address) if arp => Some(MatchField::ArpSpa(*address)),
        MatchField::Ipv4Dst(address) if arp => Some(MatchField::ArpTpa(*address)),
        other => Some(other.clone()),
    });
    said.collect()
}

/// What an entry does with a frame of this tag.
pub fn effects(instructions: &[Instruction], in_port: PortNo, mut tag: Tag) -> Effects {
    let mut done = Effects::default();
    let pcp = |tag: Tag| match tag {
        Tag::Priority { pcp } | Tag::Vlan { pcp, .. } => pcp,
        Tag::None | Tag::Reserved => 0,
    };
    let with_vid = |vid: u16, pcp: u8| match (vid, VlanId::new(vid)) {
        (_, Some(vid)) => Tag::Vlan { vid, pcp },
        (0, None) => Tag::Priority { pcp },
        _ => Tag::Reserved,
    };
    for instruction in instructions {
        let Instruction::Apply(actions) = instruction else {
            done.beyond =
                Some(ofctl::instructions(Version::V1_3, std::slice::from_ref(instruction)));
            continue;
        };
        for action in actions {
            match action {
                Action::Output { port: PortNo::IN_PORT, .. } => done.outputs.push((in_port, tag)),
                Action::Output { port, .. } | Action::Enqueue { port, .. } => {
                    done.outputs.push((*port, tag));
                }
                Action::PopVlan => tag = Tag::None,
                Action::PushVlan(_) => tag = with_vid(0, pcp(tag)),
                Action::SetVlanVid(vid)
                | Action::SetField(MatchField::VlanVid(VlanMatch::Tagged(vid))) => {
                    tag = with_vid(*vid, pcp(tag));
                }
                Action::SetQueue(_) => {}
                other => {
                    let other = ofctl::actions(Version::V1_3, std::slice::from_ref(other));
                    done.beyond = Some(other);
                }
            }
        }
    }
    done
}

/// Whose an entry is. `registered`: its path is, in the controller.
pub fn whose(flow: &FlowStats, apps: usize, registered: bool) -> &'static str {
    if flow.cookie == STANDING_COOKIE {
        return "standing";
    }
    match PathCookie::read(flow.cookie) {
        Some(_) if !registered => "left over",
        Some(_) if is_block(flow) => "storm",
        Some(_) if flow.instructions.is_empty() => "drop",
        Some(path) if path.mark.leg == Leg::Reverse => "reply",
        Some(_) => "path",
        None => match of_app(flow.cookie) {
            Some((AppNo::FRAMEWORK, _)) | None => "foreign",
            Some((app, _)) if usize::from(app.0) <= apps => "application",
            Some(_) => "foreign",
        },
    }
}

/// Whether an entry of a path's cookie drops a storm.
fn is_block(flow: &FlowStats) -> bool {
    flow.priority == STORM_PRIORITY && flow.instructions.is_empty()
}

/// Where a frame ends that follows the entries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// It leaves the network there, with this tag.
    Delivered(Vec<(Attachment, Tag)>),
    /// An entry drops it.
    Dropped,
    /// An entry drops it for a moment, whatever would be decided: there were too many like it.
    Blocked,
    /// No entry takes it further: the controller decides.
    Controller,
    /// It cannot be followed.
    Lost(String),
}

/// What is said of an end, and whether it is what would be decided. `first`: the switch is the one where
/// the frame comes in. `reply`: an entry for replies carried it.
pub fn compare(
    policy: &Policy,
    decision: &Decision,
    end: &End,
    first: bool,
    reply: bool,
) -> (String, bool, Option<String>) {
    let names = |places: &[(Attachment, Tag)]| {
        let names = places.iter().map(|(at, tag)| {
            format!("{}/{}, {}", policy.switch_name(at.dpid), at.port, tag_name(*tag))
        });
        names.collect::<Vec<_>>().join("; ")
    };
    let places = |places: &[(Attachment, Tag)]| -> Vec<Attachment> {
        places.iter().map(|(at, _)| *at).collect()
    };
    let said = match end {
        End::Delivered(to) => format!("delivered at {}", names(to)),
        End::Dropped => "dropped by an entry".to_owned(),
        End::Blocked => "dropped for a moment, with what else comes in there and storms".to_owned(),
        End::Controller => "to the controller, which decides".to_owned(),
        End::Lost(why) => format!("not followed: {why}"),
    };
    let (agrees, remark) = match (end, &decision.verdict) {
        (End::Lost(_) | End::Blocked, _) => (true, None),
        (End::Controller, _) if first => (true, Some("no entry is installed for such frames")),
        (End::Controller, Verdict::Forward { .. }) => {
            (false, Some("an entry on the way is missing: each frame goes over the controller"))
        }
        (End::Controller, _) => (false, Some("an entry passes it on, and no other takes it")),
        (End::Delivered(to), Verdict::Forward { to: wanted }) => match places(to) == [*wanted] {
            true => (true, None),
            false => (false, Some("it would be decided to go elsewhere")),
        },
        (End::Delivered(_), Verdict::Drop(DropReason::Filtered(_) | DropReason::FilterDefault))
            if reply =>
        {
            (true, Some("as a reply to a path: filters are not asked for those"))
        }
        (End::Delivered(_), Verdict::Drop(_)) => (false, Some("it would be dropped")),
        (End::Delivered(_), Verdict::Flood { .. }) => (false, Some("it would be flooded")),
        (End::Dropped, Verdict::Drop(_)) => (true, None),
        (End::Dropped, _) => (false, Some("it would be sent on")),
    };
    (said, agrees, remark.map(str::to_owned))
}

/// What is said of an address that no slice knows: where it was refused, `s1/3 (no-binding)`.
pub fn admitted_nowhere(refused: &[String]) -> String {
    match refused {
        [] => "no host was admitted with this address".to_owned(),
        places => {
            format!("no host was admitted with this address; refused at {}", places.join(", "))
        }
    }
}

impl Live {
    /// For people, line by line.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for host in &self.hosts {
            lines.push(match (&host.at, &host.slice) {
                (Some(at), slice) => {
                    let slice = slice.as_deref().unwrap_or("?");
                    let guess = if host.tentative { ", as a guess" } else { "" };
                    let seconds = host.seen_seconds.unwrap_or(0);
                    format!("{}: at {at} in {slice}{guess}, seen {seconds} s ago", host.host)
                }
                (None, _) => format!("{}: {}", host.host, admitted_nowhere(&host.refused)),
            });
        }
        for met in &self.entries {
            lines.push(match (&met.flow, met.whose) {
                (Some(flow), Some(whose)) => format!(
                    "{} has ({whose}, {} packets, {} bytes, {} s old): {flow}",
                    met.switch,
                    met.packets.unwrap_or(0),
                    met.bytes.unwrap_or(0),
                    met.seconds.unwrap_or(0)
                ),
                _ => format!("{} has no entry for it", met.switch),
            });
        }
        let sign = if self.agrees { "as decided" } else { "NOT AS DECIDED" };
        let remark = self.remark.as_ref().map_or(String::new(), |remark| format!(": {remark}"));
        lines.push(format!("now: {}; {sign}{remark}", self.outcome));
        lines
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use umlaut_controller::program::{flow_match, forward_actions};
    use umlaut_openflow::packet::Field;
    use umlaut_openflow::{Cookie, FieldSet, FlowModFlags, MacAddr, Vid};

    use super::*;

    fn flow(priority: u16, matches: Match, actions: Vec<Action>) -> FlowStats {
        FlowStats {
            table_id: TableId(0),
            duration: Duration::ZERO,
            priority,
            idle_timeout: 0,
            hard_timeout: 0,
            flags: FlowModFlags(0),
            cookie: Cookie(0),
            packet_count: 0,
            byte_count: 0,
            matches,
            instructions: [Instruction::Apply(actions.into())].into(),
        }
    }

    #[test]
    fn a_frame_meets_the_entry_of_the_highest_priority_in_both_versions() {
        let arp = Headers {
            eth_src: MacAddr::from_u64(1),
            eth_dst: MacAddr::from_u64(2),
            eth_type: Field::Is(0x0806),
            arp_op: Field::Is(1),
            arp_tpa: Field::Is([10, 0, 0, 2].into()),
            ..Headers::default()
        };
        let width = FieldSet::LAYER_2 | FieldSet::ARP_OP | FieldSet::ARP_TPA;
        for version in [Version::V1_0, Version::V1_3] {
            let mut exact = flow_match(version, PortNo(1), &arp, width).unwrap();
            if version == Version::V1_0 {
                exact = exact.vlan_pcp(0);
            }
            let table = [flow(0, Match::new(), vec![]), flow(9, exact, vec![])];
            let met = |port, headers: &Headers| {
                look_up(version, &table, PortNo(port), headers).map(|flow| flow.priority)
            };
            assert_eq!(met(1, &arp), Some(9), "{version}");
            assert_eq!(met(2, &arp), Some(0));
            assert_eq!(met(1, &Headers { arp_op: Field::Is(2), ..arp }), Some(0));
        }
    }

    #[test]
    fn what_the_switches_do_is_compared_with_what_would_be_decided() {
        let text = "umlaut: 1\nswitches: {s1: 0x1}\nslices: {a: {members: [{port: s1/1}]}}\n";
        let (policy, _) = Policy::parse("p", text).unwrap();
        let at = |port| Attachment {
            dpid: umlaut_openflow::DatapathId(1),
            port: PortNo(port),
            vid: Vid::Untagged,
        };
        let delivered = |port| End::Delivered(vec![(at(port), Tag::None)]);
        let forward = Verdict::Forward { to: at(2) };
        let flood = Verdict::Flood { outputs: vec![at(2)] };
        let drop = Verdict::Drop(DropReason::NoBinding);
        let filtered = Verdict::Drop(DropReason::FilterDefault);
        let says = |verdict: &Verdict, end: &End, first, reply| {
            let decision = Decision {
                admission: Err(umlaut_slice_db::Refusal::NoBinding),
                rule: None,
                reads: FieldSet::LAYER_2,
                verdict: verdict.clone(),
                tentative: Default::default(),
            };
            let (_, agrees, remark) = compare(&policy, &decision, end, first, reply);
            (agrees, remark.is_some())
        };
        for (verdict, end, first, reply, expected) in [
            (&forward, delivered(2), false, false, (true, false)),
            (&forward, delivered(3), false, false, (false, true)),
            (&forward, End::Dropped, true, false, (false, true)),
            (&forward, End::Blocked, true, false, (true, false)),
            (&forward, End::Controller, true, false, (true, true)),
            (&forward, End::Controller, false, false, (false, true)),
            (&drop, End::Dropped, true, false, (true, false)),
            (&drop, delivered(2), false, false, (false, true)),
            (&drop, End::Controller, true, false, (true, true)),
            (&flood, delivered(2), false, false, (false, true)),
            (&flood, End::Controller, true, false, (true, true)),
            (&filtered, delivered(2), false, true, (true, true)),
            (&filtered, delivered(2), false, false, (false, true)),
            (&drop, delivered(2), false, true, (false, true)),
        ] {
            let told = says(verdict, &end, first, reply);
            assert_eq!(told, expected, "{verdict:?} {end:?} {first} {reply}");
        }
    }

    #[test]
    fn an_entry_does_to_the_tag_what_it_was_written_for() {
        let vlan = |n| Tag::Vlan { vid: VlanId::new(n).unwrap(), pcp: 0 };
        let vid = |n| Vid::Tagged(VlanId::new(n).unwrap());
        for (from, to, after) in [
            (Tag::None, vid(20), vlan(20)),
            (vlan(20), Vid::Untagged, Tag::None),
            (vlan(20), vid(30), vlan(30)),
            (Tag::Priority { pcp: 3 }, vid(7), Tag::Vlan { vid: VlanId::new(7).unwrap(), pcp: 3 }),
        ] {
            for version in [Version::V1_0, Version::V1_3] {
                let actions = forward_actions(version, PortNo(1), from, PortNo(5), Some(to));
                let done = effects(&[Instruction::Apply(actions)], PortNo(1), from);
                assert_eq!(done.outputs, [(PortNo(5), after)], "{from:?} to {to} in {version}");
                assert_eq!(done.beyond, None);
            }
        }
        let back = forward_actions(Version::V1_3, PortNo(1), Tag::None, PortNo(1), None);
        let done = effects(&[Instruction::Apply(back)], PortNo(1), Tag::None);
        assert_eq!(done.outputs, [(PortNo(1), Tag::None)]);
    }
}

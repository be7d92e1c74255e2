//! Where a flooded frame goes, and where it does not. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use umlaut_openflow::{Attachment, MacAddr};

use super::filters::count;
use super::{Line, member_line};
use crate::decide::{Declines, Ground, Hindered, candidates, hindered};
use crate::network::{Network, PortRole};
use crate::policy::{Binding, MemberId, Policy, SliceId};

/// Places in one explanation. Further ones are counted.
const PLACES: usize = 1000;
/// Places that people are told of each kind; programs get [`PLACES`].
const SHOWN: usize = 12;
/// Lines of the policy file that are looked up; each costs a walk over the file.
const LINES: usize = 48;

/// The places of a slice and a frame that is sent to all of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Points {
    /// Places, in order.
    pub told: Vec<PointLook>,
    /// Further places.
    pub not_told: usize,
}

/// A place of a slice and a frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PointLook {
    /// The place.
    pub at: String,
    /// What makes it a place of the slice.
    pub because: String,
    /// The member that does.
    pub member: Option<String>,
    /// Its line.
    pub line: Option<Line>,
    /// Whether the frame goes there.
    pub receives: bool,
    /// Why not.
    pub left_out: Option<String>,
}

/// What makes a place one of the slice's, and whether it takes the frame.
type Answer = (Ground, Result<(), Declines>);

/// All places of the slice, those that take the frame first.
pub(super) fn look<N: Network>(
    policy: &Policy,
    network: &N,
    slice: SliceId,
    ingress: Attachment,
    dst: MacAddr,
) -> Points {
    let mut places: BTreeMap<Attachment, Vec<Answer>> = BTreeMap::new();
    candidates(policy, network, slice, dst, &mut |at, ground, takes| {
        places.entry(at).or_default().push((ground, takes));
    });
    let mut lines = LINES;
    let mut told = Vec::new();
    let mut not_told = 0;
    for (at, grounds) in places {
        let taken = grounds.iter().find(|(_, takes)| takes.is_ok());
        let said: BTreeSet<Ground> = match taken {
            Some((ground, _)) => [*ground].into(),
            None => grounds.iter().map(|(ground, _)| *ground).collect(),
        };
        for ground in said {
            if told.len() >= PLACES {
                not_told += 1;
                continue;
            }
            let declines = grounds.iter().find(|(of, _)| *of == ground).map(|(_, takes)| *takes);
            let left_out = match declines {
                Some(Err(declines)) => Some(declined(policy, ground, declines, dst)),
                _ => hindered(network, ingress, at).map(obstacle).map(str::to_owned),
            };
            let member = member_of(policy, slice, at, ground);
            let line = member.filter(|_| lines > 0).and_then(|member| {
                lines -= 1;
                member_line(policy, member)
            });
            told.push(PointLook {
                at: policy.attachment_name(at),
                because: because(policy, ground),
                member: member.map(|member| policy.member(member).id.to_string()),
                line,
                receives: left_out.is_none(),
                left_out,
            });
        }
    }
    told.sort_by_key(|look| !look.receives);
    Points { told, not_told }
}

/// The member that makes a place one of the slice's.
pub(super) fn member_of(
    policy: &Policy,
    slice: SliceId,
    at: Attachment,
    ground: Ground,
) -> Option<MemberId> {
    let of_slice = |id: &MemberId| policy.member(*id).slice == slice;
    match ground {
        Ground::Static(None) => policy.by_port(at).filter(of_slice),
        Ground::Static(Some(mac)) => {
            let pinned = policy.by_mac(mac).filter(of_slice).filter(|id| {
                matches!(&policy.member(*id).binding,
                    Binding::Mac { only_at: Some(pins), .. } if pins.contains(&at))
            });
            pinned.or_else(|| policy.by_port_mac(at, mac).filter(of_slice))
        }
        Ground::Learned(mac) => policy.by_mac(mac).filter(of_slice),
        Ground::Loose => None,
    }
}

fn because(policy: &Policy, ground: Ground) -> String {
    match ground {
        Ground::Static(None) => "for anybody there".to_owned(),
        Ground::Static(Some(mac)) => format!("for {}", policy.mac_name(mac)),
        Ground::Learned(mac) => format!("{} was seen there", policy.mac_name(mac)),
        Ground::Loose => "loose mode".to_owned(),
    }
}

fn declined(policy: &Policy, ground: Ground, declines: Declines, dst: MacAddr) -> String {
    match (declines, ground) {
        (Declines::BoundElsewhere, _) => {
            format!("{} is bound to another slice or to other places", policy.mac_name(dst))
        }
        (Declines::OtherMac | Declines::Shared, Ground::Static(Some(mac)))
        | (Declines::OtherMac, Ground::Learned(mac)) => {
            format!("only frames to {} and to groups go there", policy.mac_name(mac))
        }
        (Declines::Shared, Ground::Learned(mac)) => {
            format!("another slice has the place: only frames to {} go there", policy.mac_name(mac))
        }
        (Declines::Unbound, _) => "only MAC addresses bound to the slice are sent there".to_owned(),
        (Declines::Claimed, _) => "another slice claims the port".to_owned(),
        (Declines::OtherMac | Declines::Shared, _) => "it is for others".to_owned(),
    }
}

fn obstacle(hindered: Hindered) -> &'static str {
    match hindered {
        Hindered::Ingress => "the frame came from there",
        Hindered::Port(PortRole::Missing) => "no such port is known",
        Hindered::Port(PortRole::Down) => "the port is down",
        Hindered::Port(PortRole::Link) => "another switch is there",
        Hindered::Port(PortRole::Probing | PortRole::Edge) => "the port cannot be used",
        Hindered::Unreachable => "the switch cannot be reached",
    }
}

impl Points {
    /// The places as lines for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let width = self.told.iter().map(|look| look.at.chars().count()).max().unwrap_or(0);
        let mut lines = Vec::new();
        for (receives, more) in [(true, "more places get it"), (false, "more places do not")] {
            let of_kind = || self.told.iter().filter(|look| look.receives == receives);
            for look in of_kind().take(SHOWN) {
                let says = match &look.left_out {
                    None => format!("to {:<width$}  {}", look.at, look.because),
                    Some(why) => format!("not {:<width$} {}; {why}", look.at, look.because),
                };
                let line = look
                    .line
                    .as_ref()
                    .map_or_else(String::new, |line| format!(" ({}:{})", line.file, line.line));
                lines.push(says + &line);
            }
            let rest = of_kind().count().saturating_sub(SHOWN);
            let rest = if receives { rest } else { rest + self.not_told };
            if rest > 0 {
                lines.push(format!("{} {more}", count(rest)));
            }
        }
        lines
    }
}

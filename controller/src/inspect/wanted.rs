//! The entries that a path wants on switches. Pure.

use umlaut_openflow::{Actions, Cookie, DatapathId, Match, Version};

use crate::path::{Kind, Leg, Mark, PATH_PRIORITY};
use crate::plan::hop_entry;
use crate::program::{flow_match, forward_actions, reply_headers};
use crate::switch::PathSnapshot;

/// One entry that a path wants on a switch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The switch.
    pub dpid: DatapathId,
    /// Which way of the path.
    pub leg: Leg,
    /// What it is found by.
    pub cookie: Cookie,
    /// Its priority.
    pub priority: u16,
    /// What it matches; `None` while the switch is not connected.
    pub matches: Option<Match>,
    /// What it does to frames; nothing drops them.
    pub actions: Actions,
}

/// The entries of a path that enters at `owner`: those of its way in order, then those of the way
/// back. What a switch's version cannot match is left out, as it is when installing. `version` says
/// what is spoken with a switch, if it is connected.
pub fn wanted(
    path: &PathSnapshot,
    owner: DatapathId,
    epoch: u8,
    version: impl Fn(DatapathId) -> Option<Version>,
) -> Vec<Wanted> {
    let (route, hops, reverse) = match &path.kind {
        Kind::Drop { class, .. } => {
            let key = &path.key;
            let matches = version(owner)
                .and_then(|version| flow_match(version, key.in_port, &key.headers, key.width).ok());
            let (leg, cookie) = (Leg::Forward, path.name.cookie(epoch, Mark::ONLY));
            let (priority, actions) = (class.priority(), Actions::new());
            return vec![Wanted { dpid: owner, leg, cookie, priority, matches, actions }];
        }
        Kind::Forward { route, hops, reverse } => (route, hops, reverse),
    };
    let reply = reply_headers(&path.key.headers, route.egress.vid);
    let forward = hops.iter().enumerate().map(|hop| (Leg::Forward, path.key.headers, hop));
    let back = reply
        .into_iter()
        .flat_map(|reply| reverse.iter().enumerate().map(move |hop| (Leg::Reverse, reply, hop)));
    forward
        .chain(back)
        .filter_map(|(leg, headers, (index, hop))| {
            let entry = hop_entry(path.name, leg, &path.key, &headers, route, hop, index);
            let cookie = path.name.cookie(epoch, entry.mark);
            let (in_port, tag) = (entry.in_port, entry.headers.tag);
            let (matches, actions) = match version(hop.dpid) {
                Some(version) => (
                    Some(flow_match(version, in_port, &entry.headers, entry.width).ok()?),
                    forward_actions(version, in_port, tag, entry.out_port, entry.vid),
                ),
                None => (None, Actions::new()),
            };
            let priority = PATH_PRIORITY;
            Some(Wanted { dpid: hop.dpid, leg, cookie, priority, matches, actions })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;
    use umlaut_openflow::packet::{Field, Headers};
    use umlaut_openflow::{Attachment, FieldSet, MacAddr, PortNo, Vid};

    use super::*;
    use crate::app::AppNo;
    use crate::hosts::Domain;
    use crate::path::{FlowKey, Hop, PathRef, Route, SessionNo};

    #[test]
    fn a_path_wants_one_entry_per_hop_and_one_per_hop_back() {
        let headers = Headers {
            eth_src: MacAddr::from_u64(1),
            eth_dst: MacAddr::from_u64(2),
            eth_type: Field::Is(0x0800),
            ip_proto: Field::Is(6),
            ipv4_src: Field::Is([10, 0, 0, 1].into()),
            ipv4_dst: Field::Is([10, 0, 0, 2].into()),
            tp_src: Field::Is(1000),
            tp_dst: Field::Is(22),
            ..Headers::default()
        };
        let width = FieldSet::LAYER_2 | FieldSet::TP_DST | FieldSet::TP_SRC;
        let hop = |dpid, from, to, last: bool| Hop {
            dpid: DatapathId(dpid),
            in_port: PortNo(from),
            out_port: PortNo(to),
            vid: last.then_some(Vid::Untagged),
        };
        let egress = Attachment { dpid: DatapathId(2), port: PortNo(1), vid: Vid::Untagged };
        let path = PathSnapshot {
            name: PathRef { session: SessionNo(3), slot: 4, generation: 5 },
            app: AppNo(1),
            key: FlowKey::new(PortNo(1), &headers, width),
            kind: Kind::Forward {
                route: Route {
                    domain: Domain(0),
                    egress,
                    width,
                    idle_timeout: 60,
                    hard_timeout: 0,
                    reverse: true,
                },
                hops: smallvec![hop(1, 1, 24, false), hop(2, 24, 1, true)],
                reverse: smallvec![hop(2, 1, 24, false), hop(1, 24, 1, true)],
            },
            installing: false,
            revision: 1,
        };
        let all = wanted(&path, DatapathId(1), 7, |_| Some(Version::V1_3));
        let shape: Vec<_> = all
            .iter()
            .map(|w| (w.dpid.0, w.leg, w.matches.as_ref().and_then(Match::ingress).unwrap().0))
            .collect();
        assert_eq!(
            shape,
            [
                (1, Leg::Forward, 1),
                (2, Leg::Forward, 24),
                (2, Leg::Reverse, 1),
                (1, Leg::Reverse, 24)
            ]
        );
        for (at, entry) in all.iter().enumerate() {
            let mark = Mark { leg: entry.leg, first: at % 2 == 0, last: at % 2 == 1 };
            assert_eq!(entry.cookie, path.name.cookie(7, mark));
        }
        let away = wanted(&path, DatapathId(1), 7, |dpid| (dpid.0 == 1).then_some(Version::V1_3));
        assert_eq!(away.iter().filter(|w| w.matches.is_none()).count(), 2);
    }
}

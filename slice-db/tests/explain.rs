//! What is told of a frame: filters that were asked, places that get it and those that do not.

use umlaut_openflow::packet::{Field, Headers, Tag};
use umlaut_openflow::{DatapathId, MacAddr, PortNo, VlanId};
use umlaut_slice_db::{Explanation, Ingress, OfflineNetwork, Policy, explain};

/// A frame from MAC `from` to MAC `to` that comes in at a port of the first switch; hosts are where
/// the policy says, and `spoken` besides.
fn told(text: &str, port: u32, tag: Tag, from: u64, to: u64) -> Explanation {
    let (policy, _) = Policy::parse("p.yaml", text).unwrap_or_else(|m| panic!("{}", m[0]));
    let mut network = OfflineNetwork::from_policy(&policy);
    network.add_port(DatapathId(1), PortNo(port));
    network.set_port(DatapathId(1), PortNo(9), false);
    let headers = Headers {
        eth_src: MacAddr::from_u64(from),
        eth_dst: MacAddr::from_u64(to),
        tag,
        eth_type: Field::Is(0x0800),
        ip_proto: Field::Is(6),
        tp_dst: Field::Is(23),
        ..Headers::default()
    };
    let ingress = Ingress { dpid: DatapathId(1), port: PortNo(port), headers: &headers };
    explain(&policy, &network, ingress)
}

const GROUP: u64 = 0xffff_ffff_ffff;

#[test]
fn every_place_of_a_flood_has_its_member_and_every_place_left_out_its_reason() {
    let text = "umlaut: 1
switches: {s1: 0x1, s2: 0x2, s3: 0x3}
hosts:
  bob: {mac: \"00:00:00:00:00:02\", at: s1/7}
  dan: {mac: \"00:00:00:00:00:04\", at: s1/6}
slices:
  lab:
    members:
      - {port: s1/1, id: here}
      - {port: s1/2, id: open}
      - {port: s1/3, mac: \"00:00:00:00:00:03\", id: listed}
      - {port: s1/9, id: down}
      - {port: s3/1, id: far}
      - {host: bob, id: bob}
      - {host: dan, id: dan}
  guests: {members: [{port: s1/7}]}
links: [[s1/24, s2/24]]
";
    let looks = |to| {
        let points = told(text, 1, Tag::None, 1, to).points.unwrap();
        let look = |look: umlaut_slice_db::PointLook| {
            assert_eq!(look.receives, look.left_out.is_none());
            assert!(look.line.is_some(), "{look:?}");
            (look.at, look.member.unwrap(), look.left_out.unwrap_or_default())
        };
        points.told.into_iter().map(look).collect::<Vec<_>>()
    };
    let row =
        |at: &str, member: &str, why: &str| (at.to_owned(), member.to_owned(), why.to_owned());
    let bob = "00:00:00:00:00:02";
    let shared = format!("another slice has the place: only frames to bob ({bob}) go there");
    assert_eq!(
        looks(GROUP),
        [
            row("s1/2", "open", ""),
            row("s1/3", "listed", ""),
            row("s1/6", "dan", ""),
            row("s1/1", "here", "the frame came from there"),
            row("s1/7", "bob", &shared),
            row("s1/9", "down", "the port is down"),
            row("s3/1", "far", "the switch cannot be reached"),
        ]
    );
    // Somebody unknown: only where anybody may be.
    let listed = "only frames to 00:00:00:00:00:03 and to groups go there";
    let unbound = "only MAC addresses bound to the slice are sent there";
    let unknown = looks(0x77);
    assert_eq!(unknown[0], row("s1/2", "open", ""));
    assert!(unknown.contains(&row("s1/3", "listed", listed)), "{unknown:?}");
    assert!(unknown.contains(&row("s1/6", "dan", unbound)), "{unknown:?}");
    assert_eq!(unknown.iter().filter(|(_, _, why)| why.is_empty()).count(), 1);
}

#[test]
fn each_filter_says_which_of_its_conditions_agree() {
    let text = "umlaut: 1
slices: {lab: {members: [{port: 0x1/1}, {port: 0x1/2}]}}
filters:
  - {id: late, priority: 1, match: {}, action: deny}
  - {id: web, priority: 9, match: {tcp_dst: 80}, action: deny}
  - {id: far, priority: 8, match: {ipv4_dst: 10.0.0.0/8, tcp_dst: 23}, action: deny}
  - {id: telnet, priority: 5, slice: lab, match: {tcp_dst: 23}, action: allow}
";
    let walk = told(text, 1, Tag::None, 1, 2).filters.unwrap();
    assert_eq!((walk.not_told, walk.not_asked), (0, 1));
    let looks: Vec<_> = walk
        .told
        .iter()
        .map(|look| {
            let misses = look.criteria.iter().filter(|c| !c.agrees);
            let misses: Vec<_> =
                misses.map(|c| format!("{} {} {}", c.field, c.wants, c.is)).collect();
            (look.filter.as_str(), look.matches, misses.join("; "))
        })
        .collect();
    assert_eq!(
        looks,
        [
            ("web", false, "tcp_dst 80 23".to_owned()),
            ("far", false, "ipv4_dst 10.0.0.0/8 absent".to_owned()),
            ("telnet", true, String::new()),
        ]
    );
    assert_eq!(walk.told[2].line.as_ref().map(|line| line.line), Some(7));
}

#[test]
fn a_tag_that_misses_the_member_of_its_port_is_told_so() {
    let text = "umlaut: 1
switches: {s1: 0x1}
slices:
  lab:
    members:
      - {port: s1/1, vlan: 20}
      - {port: s1/2}
";
    let answer = |port, tag| {
        let told = told(text, port, tag, 1, GROUP);
        assert_eq!(told.reason, Some("no-binding"));
        let last = told.questions.last().unwrap().clone();
        (last.answer, last.line.map(|line| line.line))
    };
    let tagged = |number| Tag::Vlan { vid: VlanId::new(number).unwrap(), pcp: 0 };
    assert_eq!(answer(1, Tag::None), ("no, but s1/1 vlan 20 is, to lab".to_owned(), Some(6)));
    assert_eq!(answer(1, tagged(30)), ("no, but s1/1 vlan 20 is, to lab".to_owned(), Some(6)));
    assert_eq!(answer(2, tagged(20)), ("no, but s1/2 is, to lab".to_owned(), Some(7)));
    assert_eq!(answer(3, Tag::None), ("no".to_owned(), None));
}

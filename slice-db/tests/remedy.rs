//! Suggested edits do what they say: the frame is admitted, and nothing changes beyond what was
//! announced.

use std::collections::BTreeMap;

use proptest::prelude::*;
use umlaut_openflow::packet::{Field, Headers, Tag};
use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo, Vid, VlanId};
use umlaut_slice_db::{
    Change, Decision, Difference, Ingress, Network, NoTrace, OfflineNetwork, Policy, Remedy,
    Verdict, cure, decide,
};

const SWITCHES: u64 = 2;
const PORTS: u32 = 4;
const MACS: u64 = 6;
const BROADCAST: u64 = 0xffff_ffff_ffff;

#[derive(Clone, Debug)]
enum Member {
    Mac(u64, Vec<Attachment>),
    PortMac(Attachment, u64),
    Port(Attachment, bool),
}

#[derive(Clone, Debug)]
struct Filter {
    priority: u8,
    slice: Option<usize>,
    matches: &'static str,
    allow: bool,
}

#[derive(Clone, Debug)]
struct World {
    members: Vec<(usize, Member)>,
    restricted: [bool; 3],
    filters: Vec<Filter>,
    /// Where the named hosts are.
    hosts: Vec<(u64, Attachment)>,
    /// Who else has spoken where.
    spoken: Vec<(u64, Attachment)>,
    options: [bool; 4],
    /// Layouts of the file: flow or block lists, comments.
    layout: [bool; 3],
}

fn attachment() -> impl Strategy<Value = Attachment> {
    (1..=SWITCHES, 1..=PORTS, prop::bool::weighted(0.3)).prop_map(|(dpid, port, tagged)| {
        let vid = if tagged { Vid::Tagged(VlanId::new(7).unwrap()) } else { Vid::Untagged };
        Attachment { dpid: DatapathId(dpid), port: PortNo(port), vid }
    })
}

fn member() -> impl Strategy<Value = (usize, Member)> {
    let pins = prop_oneof![
        2 => Just(vec![]),
        1 => prop::collection::vec(attachment(), 1..3),
    ];
    let member = prop_oneof![
        (1..=MACS, pins).prop_map(|(mac, pins)| Member::Mac(mac, pins)),
        (attachment(), 1..=MACS).prop_map(|(at, mac)| Member::PortMac(at, mac)),
        (attachment(), prop::bool::weighted(0.2)).prop_map(|(at, only)| Member::Port(at, only)),
    ];
    (0usize..3, member)
}

fn filter() -> impl Strategy<Value = Filter> {
    let matches = prop_oneof![
        Just("{}"),
        Just("{tcp_dst: 22}"),
        Just("{eth_type: ipv4, ip_proto: tcp}"),
        Just("{eth_src: \"00:00:00:00:00:02\"}"),
        Just("{nw_src: 10.0.0.0/24, tp_dst: 22}"),
        Just("{eth_type: arp}"),
        Just("{in_datapath: s1, in_port: 2}"),
        Just("{vlan_vid: none}"),
        Just("{ipv4_dst: 10.0.1.0/24}"),
    ];
    (0u8..3, prop::option::of(0usize..3), matches, any::<bool>())
        .prop_map(|(priority, slice, matches, allow)| Filter { priority, slice, matches, allow })
}

fn world() -> impl Strategy<Value = World> {
    (
        prop::collection::vec(member(), 1..9),
        prop::array::uniform3(prop::bool::weighted(0.2)),
        prop::collection::vec(filter(), 0..4),
        prop::collection::vec((1..=MACS, attachment()), 0..5),
        prop::collection::vec((1..=MACS + 1, attachment()), 0..4),
        prop::array::uniform4(prop::bool::weighted(0.3)),
        any::<[bool; 3]>(),
    )
        .prop_map(|(members, restricted, filters, mut hosts, spoken, options, layout)| {
            hosts.sort_by_key(|(mac, _)| *mac);
            hosts.dedup_by_key(|(mac, _)| *mac);
            World { members, restricted, filters, hosts, spoken, options, layout }
        })
}

fn place(at: Attachment) -> String {
    match at.vid {
        Vid::Untagged => format!("port: s{}/{}", at.dpid.0, at.port),
        Vid::Tagged(vid) => format!("port: s{}/{}, vlan: {vid}", at.dpid.0, at.port),
    }
}

impl World {
    fn yaml(&self) -> String {
        let [block_members, block_slices, comments] = self.layout;
        let note = |text: &str| if comments { format!("  # {text}") } else { String::new() };
        let mut text =
            format!("# a lab\numlaut: 1{}\nswitches: {{s1: 0x1, s2: 0x2}}\n", note("format"));
        text += "hosts:\n  nobody: {mac: \"00:00:00:00:00:99\"}\n";
        for (mac, at) in &self.hosts {
            let mac_text = MacAddr::from_u64(*mac);
            text += &format!(
                "  h{mac}: {{mac: \"{mac_text}\", {}}}\n",
                place(*at).replace("port", "at")
            );
        }
        text += "slices:\n";
        for slice in 0..3 {
            let items: Vec<String> =
                self.members.iter().filter(|(of, _)| *of == slice).map(|(_, m)| item(m)).collect();
            let restricted = if self.restricted[slice] { "restrict_hosts: true" } else { "" };
            let end = if restricted.is_empty() { "" } else { ", " };
            match (block_slices, block_members && !items.is_empty()) {
                (false, _) => {
                    let items = items.join(", ");
                    let remark = note("one line");
                    text +=
                        &format!("  a{slice}: {{{restricted}{end}members: [{items}]}}{remark}\n");
                }
                (true, false) => {
                    text += &format!("  a{slice}:{}\n", note("flow"));
                    if !restricted.is_empty() {
                        text += &format!("    {restricted}{}\n", note("careful"));
                    }
                    text += &format!("    members: [{}]\n", items.join(",\n      "));
                }
                (true, true) => {
                    text += &format!("  a{slice}:\n");
                    if !restricted.is_empty() {
                        text += &format!("    {restricted}\n");
                    }
                    text += &format!("    members:{}\n", note("many"));
                    for item in items {
                        text += &format!("      - {item}{}\n", note("x [y"));
                    }
                }
            }
        }
        if !self.filters.is_empty() {
            text += "filters:\n";
            for filter in &self.filters {
                let slice =
                    filter.slice.map_or(String::new(), |slice| format!("slice: a{slice}, "));
                let action = if filter.allow { "allow" } else { "deny" };
                text += &format!(
                    "  - {{priority: {}, {slice}match: {}, action: {action}}}{}\n",
                    filter.priority,
                    filter.matches,
                    note("a filter")
                );
            }
        }
        let [restrict, loose, refuse, deny] = self.options;
        if restrict || loose || refuse || deny {
            let option = |set: bool, text| if set { text } else { "" };
            text += "options:\n";
            text += option(restrict, "  restrict_hosts: true\n");
            text += option(loose, "  loose: true # floods everywhere\n");
            text += option(refuse, "  macs_on_foreign_ports: refuse\n");
            text += option(deny, "  filter_default: deny\n");
        }
        text
    }

    /// The network of a policy: the last sighting of each host, looked at with that policy.
    fn network(&self, policy: &Policy) -> OfflineNetwork {
        let mut network = OfflineNetwork::silent(policy);
        let last: BTreeMap<_, _> = self.hosts.iter().chain(&self.spoken).copied().collect();
        for (mac, at) in last {
            network.speak(policy, MacAddr::from_u64(mac), at);
        }
        for dpid in 1..=SWITCHES {
            (1..=PORTS).for_each(|port| network.add_port(DatapathId(dpid), PortNo(port)));
        }
        network
    }
}

fn item(member: &Member) -> String {
    match member {
        Member::Mac(mac, pins) if pins.is_empty() => {
            format!("{{mac: \"{}\"}}", MacAddr::from_u64(*mac))
        }
        Member::Mac(mac, pins) => {
            let pins: Vec<String> = pins.iter().map(|pin| format!("{{{}}}", place(*pin))).collect();
            format!("{{mac: \"{}\", only_at: [{}]}}", MacAddr::from_u64(*mac), pins.join(", "))
        }
        Member::PortMac(at, mac) => {
            format!("{{{}, mac: \"{}\"}}", place(*at), MacAddr::from_u64(*mac))
        }
        Member::Port(at, false) => format!("{{{}}}", place(*at)),
        Member::Port(at, true) => format!("{{{}, restrict_hosts: true}}", place(*at)),
    }
}

fn frame(at: Attachment, from: u64, to: u64, kind: u8) -> Headers {
    let tag = match at.vid {
        Vid::Untagged => Tag::None,
        Vid::Tagged(vid) => Tag::Vlan { vid, pcp: 0 },
    };
    let bare = Headers {
        eth_src: MacAddr::from_u64(from),
        eth_dst: MacAddr::from_u64(to),
        tag,
        eth_type: Field::Is(0x0800),
        ..Headers::default()
    };
    let ip = Headers {
        ip_dscp: Field::Is(0),
        ip_proto: Field::Is(6),
        ipv4_src: Field::Is([10, 0, 0, from as u8].into()),
        ipv4_dst: Field::Is([10, 0, 0, to as u8].into()),
        tp_src: Field::Is(1000),
        tp_dst: Field::Is(22),
        ..bare
    };
    match kind {
        0 => bare,
        1 => ip,
        2 => Headers { tp_dst: Field::Is(80), ..ip },
        // A later fragment.
        3 => Headers { tp_src: Field::Unknown, tp_dst: Field::Unknown, ..ip },
        _ => Headers { eth_type: Field::Is(0x0806), arp_op: Field::Is(1), ..bare },
    }
}

fn asked() -> impl Strategy<Value = (Attachment, u64, u64, u8)> {
    let to = prop_oneof![4 => 1..=MACS + 2, 1 => Just(BROADCAST)];
    (attachment(), 1..=MACS + 2, to, 0u8..5)
}

fn decided(policy: &Policy, network: &OfflineNetwork, at: Attachment, h: &Headers) -> Decision {
    decide(policy, network, Ingress { dpid: at.dpid, port: at.port, headers: h }, &mut NoTrace)
}

/// Enough for every run; PROPTEST_CASES asks for more.
fn cases() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(asked.unwrap_or(80)) }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn each_suggested_edit_admits_the_frame_and_changes_nothing_beyond_what_it_announces(
        world in world(), refused in prop::collection::vec(asked(), 1..12),
        others in prop::collection::vec(asked(), 1..100),
    ) {
        let text = world.yaml();
        // Conflicts are mistakes of the file; such policies do not exist.
        let Ok((policy, _)) = Policy::parse("p", &text) else { return Ok(()) };
        let before = world.network(&policy);
        for (at, from, to, kind) in refused {
            let pair = (from, to);
            let headers = frame(at, from, to, kind);
            let ingress = Ingress { dpid: at.dpid, port: at.port, headers: &headers };
            let decision = decided(&policy, &before, at, &headers);
            let Verdict::Drop(reason) = decision.verdict else { continue };
            let cure = cure(&policy, |policy| world.network(policy), ingress, &decision);
            let certain =
                ["no-binding", "restricted", "pinned-elsewhere", "foreign-port", "filtered",
                 "filter-default"];
            prop_assert!(
                !cure.remedies.is_empty() || !certain.contains(&reason.code()),
                "nothing against {} in\n{text}", reason.code()
            );
            prop_assert!(!cure.remedies.is_empty() || cure.advice.is_some());
            let opens = |remedy: &Remedy| {
                remedy.edit.changes.iter().any(|change| matches!(change, Change::Unrestrict { .. }))
            };
            if reason.code() == "restricted" && headers.eth_dst.is_group() {
                // An edit that delivers is told without those that only take the next hurdle.
                let offered = |remedy: &Remedy| remedy.delivered || opens(remedy);
                prop_assert!(cure.remedies.iter().any(offered), "nothing opens the port in\n{text}");
            }
            for remedy in &cure.remedies {
                let is_filter = matches!(remedy.edit.changes[..], [Change::AddFilter { .. }]);
                let edited = remedy.edit.apply(&policy).unwrap();
                let (changed, _) = Policy::parse("p", &edited).map_err(|mistakes| {
                    TestCaseError::fail(format!("{}: {}\n{edited}", remedy.text, mistakes[0]))
                })?;
                let kept = |text: &str| text.matches('#').count();
                prop_assert!(
                    kept(&edited) == kept(&text) || remedy.text.contains("take member"),
                    "comments are lost:\n{edited}"
                );
                let after = world.network(&changed);
                let now = decided(&changed, &after, at, &headers);
                prop_assert!(now.admission.is_ok(), "{}\n{edited}", remedy.text);
                if let Verdict::Drop(now) = now.verdict {
                    prop_assert!(now.code() != reason.code(), "{}\n{edited}", remedy.text);
                }
                // Delivered, if the destination is there.
                let there = after.locate(now.admission.unwrap().slice, headers.eth_dst);
                if let (Some(location), false) = (there, headers.eth_dst.is_group())
                    && !location.tentative
                    && !matches!(&now.verdict, Verdict::Drop(reason)
                        if ["filtered", "filter-default", "same-port", "other-slice"]
                            .contains(&reason.code()))
                {
                    prop_assert_eq!(&now.verdict, &Verdict::Forward { to: location.at });
                }
                prop_assert_eq!(remedy.delivered, !matches!(now.verdict, Verdict::Drop(_)));
                let whereabouts = |mac: MacAddr| {
                    let places = |policy: &Policy, network: &OfflineNetwork| {
                        let slices = policy.slices().map(|(slice, _)| slice);
                        slices.filter_map(|s| network.locate(s, mac)).map(|l| l.at).collect::<Vec<_>>()
                    };
                    [places(&policy, &before), places(&changed, &after)].concat()
                };
                for (at, from, to, kind) in &others {
                    let headers = frame(*at, *from, *to, *kind);
                    let (was, is) = (
                        decided(&policy, &before, *at, &headers),
                        decided(&changed, &after, *at, &headers),
                    );
                    let difference = Difference {
                        before: (&policy, &was),
                        after: (&changed, &is),
                        ingress: Ingress { dpid: at.dpid, port: at.port, headers: &headers },
                        whereabouts: &whereabouts,
                    };
                    // As small as can be: a filter is for these two hosts only.
                    prop_assert!(
                        !difference.is_change() || !is_filter || (*from, *to) == (pair.0, pair.1),
                        "{} changes {from} > {to}", remedy.text
                    );
                    prop_assert!(
                        !difference.is_change() || remedy.announces(&difference),
                        "{} against {} changes {} > {} kind {} at {}, which was not announced:\n\
                         {:?}\n{:?}\n{:#?}\n{}\n--- after\n{}",
                        remedy.text, reason.code(), from, to, kind, at, was, is,
                        remedy.announced, text, edited
                    );
                }
            }
        }
    }
}

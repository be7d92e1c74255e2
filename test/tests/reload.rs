//! A reload that asks only about what an edit concerns leaves what one leaves that asks about everything.

mod common;

use std::collections::BTreeSet;

use common::{Bed, VERSIONS, saw};
use proptest::prelude::*;
use umlaut_controller::Concerned;
use umlaut_openflow::{DatapathId, MacAddr, PortNo};
use umlaut_slice_db::Policy;

const HEAD: &str = r#"umlaut: 1
switches: {s1: 0x1, s2: 0x2, s3: 0x3}
links: [[s1/9, s2/8], [s2/9, s3/8]]
hosts:
  h1: {mac: "00:00:00:00:00:01", at: s1/1}
  h2: {mac: "00:00:00:00:00:02", at: s1/2}
  h3: {mac: "00:00:00:00:00:03", at: s2/1}
  h4: {mac: "00:00:00:00:00:04", at: s3/1}
  h5: {mac: "00:00:00:00:00:05", at: s3/2}
"#;

/// What a slice may have as members.
const ITEMS: [&str; 14] = [
    "{mac: 00:00:00:00:00:01}",
    "{mac: 00:00:00:00:00:03}",
    "{mac: 00:00:00:00:00:04, only_at: [s3/1, s2/2]}",
    "{mac: 00:00:00:00:00:05, only_at: [s1/1]}",
    "{port: s1/1, mac: 00:00:00:00:00:01}",
    "{port: s3/1, mac: 00:00:00:00:00:04}",
    "{port: s3/2, mac: 00:00:00:00:00:05}",
    "{port: s1/1}",
    "{port: s1/2}",
    "{port: s2/1}",
    "{port: s3/1}",
    "{port: s3/2}",
    "{port: s2/1, restrict_hosts: true}",
    "{port: s1/2, vlan: 7}",
];

/// Which items each of two slices has.
type Members = [BTreeSet<usize>; 2];

fn text(members: &Members, options: &str) -> String {
    let mut text = format!("{HEAD}options: {{{options}}}\nslices:\n");
    for (name, items) in ["a", "b"].iter().zip(members) {
        text += &format!("  {name}:\n    members:\n      - {{mac: 00:00:00:00:01:0{name}}}\n");
        for item in items {
            text += &format!("      - {}\n", ITEMS[*item]);
        }
    }
    text
}

#[derive(Clone, Debug)]
enum Step {
    /// A host sends to another, or to all.
    Say(usize, usize),
    /// A slice gets members, or has them no more.
    Edit(usize, Vec<usize>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0usize..5, 0usize..6).prop_map(|(from, to)| Step::Say(from, to)),
        2 => (0usize..2, prop::collection::vec(0..ITEMS.len(), 1..3)).prop_map(|(s, m)| Step::Edit(s, m)),
    ]
}

/// What is left in the table of hosts and in the switches, but for what names paths.
fn left(bed: &Bed) -> (Vec<String>, BTreeSet<String>) {
    let hosts = &bed.network.controller().0.shared().net.hosts;
    let known = hosts.all().into_iter().map(|((domain, mac), entry)| {
        format!("{domain:?} {mac} {:?} {} {:?}", entry.at, entry.tentative, entry.seen())
    });
    let mut entries = BTreeSet::new();
    for switch in bed.network.switches() {
        for flow in switch.flows(bed.network.now()) {
            let (dpid, priority) = (switch.dpid(), flow.priority);
            entries.insert(format!("{dpid} {priority} {:?} {:?}", flow.matches, flow.instructions));
        }
    }
    (known.collect(), entries)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn an_edit_leaves_what_a_new_policy_leaves(
        first in prop::array::uniform2(prop::collection::btree_set(0..ITEMS.len(), 0..6)),
        options in prop::sample::select(vec![
            "", "loose: true", "reverse_flow: true", "restrict_hosts: true", "macs_on_foreign_ports: refuse",
        ]),
        steps in prop::collection::vec(step(), 4..24),
        version in prop::sample::select(VERSIONS.to_vec()),
    ) {
        let mut members = first;
        let good = |members: &Members| Policy::parse("p", &text(members, options)).is_ok();
        if !good(&members) {
            members[1].clear();
        }
        prop_assume!(good(&members));
        let mut beds = [0, 0].map(|_| Bed::new(&text(&members, options), version, 1));
        let mut narrow = 0;
        for step in &steps {
            match step {
                Step::Say(from, to) => {
                    let to = if *to == 5 { "all".to_owned() } else { format!("h{}", to + 1) };
                    let [a, b] = beds.each_mut().map(|bed| bed.say(&format!("h{}", from + 1), &to));
                    prop_assert_eq!(a, b, "{:?}", step);
                }
                Step::Edit(slice, items) => {
                    let mut next = members.clone();
                    for item in items {
                        if !next[*slice].remove(item) {
                            next[*slice].insert(*item);
                        }
                    }
                    if !good(&next) {
                        continue;
                    }
                    members = next;
                    let text = text(&members, options);
                    beds[0].set_policy(&text);
                    beds[1].set_whole_policy(&text);
                    let world = beds[0].network.controller().0.shared().world.load();
                    narrow += usize::from(*world.concerned != Concerned::All);
                }
            }
            prop_assert_eq!(left(&beds[0]), left(&beds[1]), "after {:?} of {:?}", step, steps);
        }
        let edits = steps.iter().filter(|step| matches!(step, Step::Edit(..))).count();
        prop_assume!(edits < 3 || narrow > 0);
    }
}

#[test]
fn an_edit_concerns_whom_its_members_name() {
    let members: Members = [BTreeSet::from([0, 8]), BTreeSet::from([10])];
    for version in VERSIONS {
        let mut bed = Bed::new(&text(&members, ""), version, 1);
        assert_eq!(bed.say("h2", "h1"), saw(&[]), "nobody knows yet where it is");
        assert_eq!(bed.say("h1", "h2"), saw(&["h2"]));
        assert_eq!(bed.say("h2", "h1"), saw(&["h1"]));
        let mut more = members.clone();
        more[1].extend([2, 11]);
        bed.set_policy(&text(&more, ""));
        let shared = bed.network.controller().0.shared();
        let ports = [(3, 1), (2, 2), (3, 2)].map(|(s, p)| (DatapathId(s), PortNo(p)));
        let concerned =
            Concerned::Only { macs: [MacAddr::from_u64(4)].into(), ports: ports.into() };
        assert_eq!(*shared.world.load().concerned, concerned);
        // What happens in the network may concern anybody.
        bed.network.unplug("h5").unwrap();
        bed.run(std::time::Duration::from_millis(50));
        let shared = bed.network.controller().0.shared();
        assert_eq!(*shared.world.load().concerned, Concerned::All);
        assert_eq!(bed.say("h2", "h1"), saw(&["h1"]));
        bed.set_policy(&text(&members, "loose: true"));
        let shared = bed.network.controller().0.shared();
        assert_eq!(*shared.world.load().concerned, Concerned::All, "not an edit of members");
    }
}

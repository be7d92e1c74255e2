//! No decision sends a frame where a naive reading of the policy does not want it.

use proptest::prelude::*;
use umlaut_openflow::packet::{Field, Headers, Tag};
use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo, Vid, VlanId};
use umlaut_slice_db::{Ingress, NoTrace, OfflineNetwork, Policy, Verdict, decide};

const PORTS: u32 = 5;
const MACS: u64 = 5;

#[derive(Clone, Debug)]
enum Member {
    Mac(u64, Option<Attachment>),
    PortMac(Attachment, u64),
    Port(Attachment),
}

fn attachment() -> impl Strategy<Value = Attachment> {
    (1..=PORTS, any::<bool>()).prop_map(|(port, tagged)| Attachment {
        dpid: DatapathId(1),
        port: PortNo(port),
        vid: if tagged { Vid::Tagged(VlanId::new(7).unwrap()) } else { Vid::Untagged },
    })
}

fn member() -> impl Strategy<Value = (usize, Member)> {
    let member = prop_oneof![
        (1..=MACS, prop::option::of(attachment())).prop_map(|(mac, pin)| Member::Mac(mac, pin)),
        (attachment(), 1..=MACS).prop_map(|(at, mac)| Member::PortMac(at, mac)),
        attachment().prop_map(Member::Port),
    ];
    (0usize..3, member)
}

fn place(at: Attachment) -> String {
    match at.vid {
        Vid::Untagged => format!("port: 0x1/{}", at.port),
        Vid::Tagged(vid) => format!("port: 0x1/{}, vlan: {vid}", at.port),
    }
}

fn yaml(members: &[(usize, Member)], loose: bool) -> String {
    let mut text = "umlaut: 1\nslices:\n".to_owned();
    for slice in 0..3 {
        let lines = members.iter().filter(|(of, _)| *of == slice).map(|(_, member)| match member {
            Member::Mac(mac, None) => format!("{{mac: \"{}\"}}", MacAddr::from_u64(*mac)),
            Member::Mac(mac, Some(pin)) => {
                format!("{{mac: \"{}\", only_at: [{{{}}}]}}", MacAddr::from_u64(*mac), place(*pin))
            }
            Member::PortMac(at, mac) => {
                format!("{{{}, mac: \"{}\"}}", place(*at), MacAddr::from_u64(*mac))
            }
            Member::Port(at) => format!("{{{}}}", place(*at)),
        });
        text.push_str(&format!(
            "  s{slice}: {{members: [{}]}}\n",
            lines.collect::<Vec<_>>().join(", ")
        ));
    }
    text + &format!("options: {{loose: {loose}}}\n")
}

/// The slice that a sender speaks in: three walks over the list.
fn admitted(members: &[(usize, Member)], at: Attachment, mac: u64) -> Option<usize> {
    for (slice, member) in members {
        if let Member::Mac(bound, pin) = member
            && *bound == mac
        {
            return pin.is_none_or(|pin| pin == at).then_some(*slice);
        }
    }
    let port_mac =
        members.iter().find(|(_, m)| matches!(m, Member::PortMac(p, b) if *p == at && *b == mac));
    let port = || members.iter().find(|(_, m)| matches!(m, Member::Port(p) if *p == at));
    port_mac.or_else(port).map(|(slice, _)| *slice)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn frames_stay_in_their_slice(
        members in prop::collection::vec(member(), 0..9),
        spoken in prop::collection::vec((1..=MACS, attachment()), 0..8),
        from in 1..=MACS, to in prop_oneof![1..=MACS + 1, Just(0xffff_ffff_ffff)],
        at in attachment(), loose in any::<bool>(),
    ) {
        // Conflicts are mistakes of the file; such policies do not exist.
        let Ok((policy, _)) = Policy::parse("p", &yaml(&members, loose)) else { return Ok(()) };
        let mut network = OfflineNetwork::silent(&policy);
        let mut places = std::collections::BTreeMap::new();
        for (mac, at) in &spoken {
            network.speak(&policy, MacAddr::from_u64(*mac), *at);
            if let Some(slice) = admitted(&members, *at, *mac) {
                places.insert((slice, *mac), *at);
            }
        }
        let tag = match at.vid {
            Vid::Untagged => Tag::None,
            Vid::Tagged(vid) => Tag::Vlan { vid, pcp: 0 },
        };
        let headers = Headers {
            eth_src: MacAddr::from_u64(from), eth_dst: MacAddr::from_u64(to), tag,
            eth_type: Field::Is(0x0800), ..Headers::default()
        };
        let ingress = Ingress { dpid: at.dpid, port: at.port, headers: &headers };
        let decision = decide(&policy, &network, ingress, &mut NoTrace);
        let slice = admitted(&members, at, from);
        let found = decision.admission.map(|a| policy.slice_name(a.slice).to_owned()).ok();
        prop_assert_eq!(found, slice.map(|slice| format!("s{slice}")));
        let outputs = match decision.verdict {
            Verdict::Drop(_) => vec![],
            Verdict::Flood { outputs } => outputs,
            Verdict::Forward { to } => vec![to],
        };
        let group = headers.eth_dst.is_group();
        let bound = members.iter().find_map(|(of, m)| match m {
            Member::Mac(mac, pin) if *mac == to => Some((*of, *pin)),
            _ => None,
        });
        for out in &outputs {
            let slice = slice.unwrap();
            prop_assert!(*out != at, "back where it came from");
            if let Some((of, pin)) = bound {
                prop_assert!(of == slice && pin.is_none_or(|pin| pin == *out), "bound elsewhere");
            }
            let foreign = members.iter().any(|(of, m)| *of != slice && match m {
                Member::Port(p) | Member::PortMac(p, _) | Member::Mac(_, Some(p)) => p == out,
                Member::Mac(_, None) => false,
            });
            let is_static = members.iter().any(|(of, m)| *of == slice && match m {
                Member::Port(p) => p == out,
                Member::PortMac(p, mac) | Member::Mac(mac, Some(p)) => p == out && (group || *mac == to),
                Member::Mac(_, None) => false,
            });
            let is_learned = members.iter().any(|(of, m)| match m {
                Member::Mac(mac, _) if *of == slice && places.get(&(slice, *mac)) == Some(out) => {
                    *mac == to || !foreign && (group || bound.is_some())
                }
                _ => false,
            });
            let on_port = |p: &Attachment| (p.dpid, p.port) == (out.dpid, out.port);
            let claimed = members.iter().any(|(of, m)| *of != slice && match m {
                Member::Port(p) | Member::PortMac(p, _) | Member::Mac(_, Some(p)) => on_port(p),
                Member::Mac(_, None) => false,
            }) || places.iter().any(|((of, _), p)| *of != slice && on_port(p));
            let is_loose = loose && !claimed && out.vid == Vid::Untagged && (group || bound.is_some());
            prop_assert!(is_static || is_learned || is_loose, "{out} is no point of s{slice} for it");
        }
        let mut once = outputs.clone();
        once.dedup();
        prop_assert_eq!(once, outputs, "nobody gets it twice");
    }
}

//! What a case calls *never* does not happen: not in any state of the network that hosts can bring
//! about by speaking, and by no frame. Random policies; brute force beside the judge.

use proptest::prelude::*;
use umlaut_openflow::packet::{Field, Headers, Tag};
use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo, Vid, VlanId};
use umlaut_slice_db::{
    Ingress, NoTrace, OfflineNetwork, Policy, PolicyFiles, Verdict, decide, judge,
};

const HOSTS: u64 = 4;

/// Where each host stands: (port, tagged).
type Places = Vec<(u32, bool)>;

fn at((port, tagged): (u32, bool)) -> Attachment {
    let vid = if tagged { Vid::Tagged(VlanId::new(7).unwrap()) } else { Vid::Untagged };
    Attachment { dpid: DatapathId(1), port: PortNo(port), vid }
}

fn port() -> impl Strategy<Value = (u32, bool)> {
    (1u32..=4, prop::bool::weighted(0.25))
}

fn shown((port, tagged): (u32, bool)) -> String {
    if tagged { format!("port: 0x1/{port}, vlan: 7") } else { format!("port: 0x1/{port}") }
}

fn member() -> impl Strategy<Value = (usize, String)> {
    let mac = |n: u64| format!("mac: \"{}\"", MacAddr::from_u64(n));
    let member = prop_oneof![
        (1..=HOSTS).prop_map(move |n| format!("{{{}}}", mac(n))),
        (1..=HOSTS, port()).prop_map(move |(n, at)| format!(
            "{{{}, only_at: [{{{}}}]}}",
            mac(n),
            shown(at)
        )),
        (1..=HOSTS, port()).prop_map(move |(n, at)| format!("{{{}, {}}}", shown(at), mac(n))),
        port().prop_map(|at| format!("{{{}}}", shown(at))),
    ];
    (0usize..3, member)
}

fn filter() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        Just(String::new()),
        (1..=HOSTS).prop_map(|n| format!("eth_dst: \"{}\"", MacAddr::from_u64(n))),
        Just("eth_dst: \"ff:ff:ff:ff:ff:ff\"".to_owned()),
        Just("eth_type: ipv4".to_owned()),
        Just("eth_type: arp".to_owned()),
        (0u32..3).prop_map(|n| format!("eth_type: ipv4, ip_proto: tcp, tcp_dst: {n}")),
        (0u32..2).prop_map(|n| format!("ipv4_dst: 10.{n}.0.0/16")),
        Just("nw_src: 10.0.0.0/8".to_owned()),
        Just("vlan_pcp: 3".to_owned()),
    ];
    let action = prop_oneof![Just("allow"), Just("deny")];
    (field, 0u32..3, action)
        .prop_map(|(m, p, a)| format!("{{match: {{{m}}}, priority: {p}, action: {a}}}"))
}

fn yaml(
    members: &[(usize, String)],
    filters: &[String],
    places: &Places,
    options: (bool, bool, bool),
) -> String {
    let mut text = "umlaut: 1\nhosts:\n".to_owned();
    for (n, place) in (1u64..).zip(places) {
        let place = match place {
            (port, true) => format!("at: 0x1/{port}, vlan: 7"),
            (port, false) => format!("at: 0x1/{port}"),
        };
        text += &format!("  h{n}: {{mac: \"{}\", {place}}}\n", MacAddr::from_u64(n));
    }
    text += "slices:\n";
    for slice in 0..3 {
        let own = members.iter().filter(|(of, _)| *of == slice).map(|(_, member)| member.as_str());
        text += &format!("  s{slice}: {{members: [{}]}}\n", own.collect::<Vec<_>>().join(", "));
    }
    let (loose, deny, restrict) = options;
    let default = if deny { "deny" } else { "allow" };
    text += &format!(
        "filters: [{}]\noptions: {{loose: {loose}, filter_default: {default}, restrict_hosts: {restrict}}}\n",
        filters.join(", ")
    );
    text + "cases: [h1 never reaches h2]\n"
}

/// A frame of the host: any destination, any of the fields that filters look at.
fn headers() -> impl Strategy<Value = Headers> {
    let dst = prop_oneof![
        4 => 1..=HOSTS + 1,
        1 => Just(0xffff_ffff_ffffu64),
        1 => Just(0x0100_5e00_0001u64)
    ];
    let v4 = prop_oneof![Just([10, 0, 0, 1]), Just([10, 1, 0, 1]), Just([11, 0, 0, 1])];
    (dst, 0u8..4, v4.clone(), v4, 0u16..4, prop::option::of(0u8..8)).prop_map(
        |(dst, kind, src, to, port, pcp)| {
            let mut h = Headers {
                eth_src: MacAddr::from_u64(1),
                eth_dst: MacAddr::from_u64(dst),
                tag: pcp.map_or(Tag::None, |pcp| Tag::Priority { pcp }),
                ..Headers::default()
            };
            match kind {
                0 => h.eth_type = Field::Is(0x88b5),
                1 => {
                    h.eth_type = Field::Is(0x0806);
                    (h.arp_op, h.arp_spa) = (Field::Is(port), Field::Is(src.into()));
                    h.arp_tpa = Field::Is(to.into());
                }
                proto => {
                    h.eth_type = Field::Is(0x0800);
                    h.ip_proto = Field::Is(if proto == 2 { 6 } else { 17 });
                    (h.ipv4_src, h.ipv4_dst) = (Field::Is(src.into()), Field::Is(to.into()));
                    (h.tp_src, h.tp_dst) = (Field::Is(1), Field::Is(port));
                }
            }
            h
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_never_happens_does_not_happen(
        members in prop::collection::vec(member(), 1..8),
        filters in prop::collection::vec(filter(), 0..5),
        places in prop::collection::vec(port(), HOSTS as usize),
        options in (prop::bool::weighted(0.2), any::<bool>(), prop::bool::weighted(0.2)),
        frames in prop::collection::vec(headers(), 12),
    ) {
        let text = yaml(&members, &filters, &places, options);
        // Conflicts are mistakes of the file; such policies do not exist.
        let Ok((policy, _)) = Policy::parse("p", &text) else { return Ok(()) };
        let (from, to) = (at(places[0]), at(places[1]));
        if from == to {
            return Ok(());
        }
        let wrong = judge(&policy, &policy.cases()[0], &PolicyFiles::new()).wrong;
        if wrong.is_some() {
            return Ok(());
        }
        // Nobody's word can bring it about: every set of hosts that have spoken.
        for spoken in 0u32..1 << HOSTS {
            let mut network = OfflineNetwork::silent(&policy);
            for n in (0..HOSTS).filter(|n| spoken >> n & 1 == 1) {
                network.speak(&policy, MacAddr::from_u64(n + 1), at(places[n as usize]));
            }
            for frame in &frames {
                let mut headers = *frame;
                if let Vid::Tagged(vid) = from.vid {
                    headers.tag = match headers.tag {
                        Tag::Priority { pcp } => Tag::Vlan { vid, pcp },
                        _ => Tag::Vlan { vid, pcp: 0 },
                    };
                }
                let ingress = Ingress { dpid: from.dpid, port: from.port, headers: &headers };
                let outputs = match decide(&policy, &network, ingress, &mut NoTrace).verdict {
                    Verdict::Drop(_) => vec![],
                    Verdict::Flood { outputs } => outputs,
                    Verdict::Forward { to } => vec![to],
                };
                prop_assert!(!outputs.contains(&to), "{text}\nspoken {spoken:b}, {headers:?}");
            }
        }
    }
}

//! A firewall before another application: the first rule that matches a frame allows or denies it.
//! Pure.
//!
//! Rules are entries above those of the other application: a denial drops, a permission brings the
//! frame to the controller, where the other application gets it. So what a rule names is slow, and
//! what no rule names is as fast as without a firewall. Paths (of the routing and the sliceable
//! switch) have the highest priority there is and would pass it by.

use serde::Deserialize;
use umlaut_controller::routes::covers;
use umlaut_controller::{App, Context, Policy, Switch};
use umlaut_openflow::packet::Headers;
use umlaut_openflow::{Action, FlowMod, MacAddr, Masked, Match, MatchField, PacketIn, PortNo};

use super::config::{Network, parsed_if_given};

/// The priority of the first rule; each further one is one lower.
const FIRST_PRIORITY: u16 = 0xf000;
/// Rules that there may be: the last is above the default priority of entries.
pub const RULES: usize = (FIRST_PRIORITY - 0x8000) as usize - 1;

/// What happens to frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Allow,
    Deny,
}

/// One rule.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Rule {
    matches: Match,
    verdict: Verdict,
}

/// The rules, the first that matches counts; frames that none matches are allowed. In a file:
/// `rules: [{allow: {tcp_dst: 22, ipv4_src: 10.0.0.0/8}}, {deny: {tcp_dst: 22}}]`; the last may be
/// `deny: {}`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(try_from = "Written")]
pub struct Rules(Vec<Rule>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    rules: Vec<WrittenRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    allow: Option<Fields>,
    deny: Option<Fields>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Fields {
    in_port: Option<u32>,
    #[serde(deserialize_with = "parsed_if_given")]
    eth_src: Option<MacAddr>,
    #[serde(deserialize_with = "parsed_if_given")]
    eth_dst: Option<MacAddr>,
    eth_type: Option<u16>,
    ip_proto: Option<u8>,
    ipv4_src: Option<Network>,
    ipv4_dst: Option<Network>,
    tcp_src: Option<u16>,
    tcp_dst: Option<u16>,
    udp_src: Option<u16>,
    udp_dst: Option<u16>,
}

impl Fields {
    fn matches(self) -> Match {
        let net = |network: Network| Masked::network(network.address, network.prefix);
        [
            self.in_port.map(|port| MatchField::InPort(PortNo(port))),
            self.eth_src.map(|mac| MatchField::EthSrc(mac.into())),
            self.eth_dst.map(|mac| MatchField::EthDst(mac.into())),
            self.eth_type.map(MatchField::EthType),
            self.ip_proto.map(MatchField::IpProto),
            self.ipv4_src.map(|network| MatchField::Ipv4Src(net(network))),
            self.ipv4_dst.map(|network| MatchField::Ipv4Dst(net(network))),
            self.tcp_src.map(MatchField::TcpSrc),
            self.tcp_dst.map(MatchField::TcpDst),
            self.udp_src.map(MatchField::UdpSrc),
            self.udp_dst.map(MatchField::UdpDst),
        ]
        .into_iter()
        .flatten()
        .collect::<Match>()
        .with_prerequisites()
    }
}

impl TryFrom<Written> for Rules {
    type Error = String;

    fn try_from(written: Written) -> Result<Rules, String> {
        if written.rules.len() > RULES {
            return Err(format!(
                "firewall: {} rules, and {RULES} are possible",
                written.rules.len()
            ));
        }
        let rules = written.rules.into_iter().zip(1..).map(|(rule, number)| {
            let (fields, verdict) = match (rule.allow, rule.deny) {
                (Some(fields), None) => (fields, Verdict::Allow),
                (None, Some(fields)) => (fields, Verdict::Deny),
                _ => return Err(format!("firewall: rule {number} must say either allow or deny")),
            };
            Ok(Rule { matches: fields.matches(), verdict })
        });
        Ok(Rules(rules.collect::<Result<_, _>>()?))
    }
}

/// The application. It comes before the one that forwards.
pub struct Firewall {
    rules: Rules,
}

impl Firewall {
    /// One with these rules.
    pub fn new(rules: Rules) -> Firewall {
        Firewall { rules }
    }
}

impl<P: Policy> App<P> for Firewall {
    fn switch_ready(&self, sw: &mut Switch, _: &Context<'_, P>) {
        for (rule, lower) in self.rules.0.iter().zip(0..) {
            let entry = FlowMod::add(rule.matches.clone()).priority(FIRST_PRIORITY - lower);
            let _ = sw.flow_mod(match rule.verdict {
                Verdict::Allow => entry.apply(vec![Action::output(PortNo::CONTROLLER)]),
                Verdict::Deny => entry,
            });
        }
    }

    /// A frame that came before the entries were in the switch.
    fn packet_in(&self, _: &mut Switch, cx: &Context<'_, P>, packet: &PacketIn<'_>) {
        let headers = Headers::parse(&packet.data);
        let mut rules = self.rules.0.iter();
        let first = rules.find(|rule| covers(&rule.matches, packet.in_port, &headers));
        if first.is_some_and(|rule| rule.verdict == Verdict::Deny) {
            cx.take();
        }
    }
}

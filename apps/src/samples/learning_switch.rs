//! A learning switch: each switch learns for itself which host is behind which port. Pure.

use umlaut_controller::hosts::{Domain, Seen};
use umlaut_controller::{App, Context, Switch};
use umlaut_openflow::packet::Headers;
use umlaut_openflow::{Action, Attachment, FlowMod, Match, PacketIn, PortNo, Vid};

/// The application. Keep it away from networks with loops.
pub struct LearningSwitch;

impl App for LearningSwitch {
    fn packet_in(&self, sw: &mut Switch, cx: &Context<'_>, packet: &PacketIn<'_>) {
        let Headers { eth_src, eth_dst, .. } = Headers::parse(&packet.data);
        // Hosts are known per switch: the datapath id is the domain.
        let domain = Domain(sw.dpid().0);
        let here = Attachment { dpid: sw.dpid(), port: packet.in_port, vid: Vid::Untagged };
        cx.see_host(domain, eth_src, here, Seen::default());
        let known = cx.net.hosts.locate((domain, eth_dst)).filter(|_| !eth_dst.is_group());
        let out = known.map_or(PortNo::FLOOD, |host| host.at.port);
        if known.is_some() {
            let flow = Match::new().in_port(packet.in_port).eth_src(eth_src).eth_dst(eth_dst);
            let entry = FlowMod::add(flow).timeouts(60, 0).apply(vec![Action::output(out)]);
            let _ = sw.flow_mod(entry);
        }
        let _ = sw.packet_out(packet.in_port, vec![Action::output(out)], &packet.data);
    }
}

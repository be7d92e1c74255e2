//! A learning switch: each switch learns for itself which host is behind which port. Pure.

use umlaut_controller::hosts::{Domain, Seen, Sighting};
use umlaut_controller::{App, Context, Policy, Switch};
use umlaut_openflow::{Action, Attachment, FlowMod, Match, PacketIn, Port, PortNo, Vid};

/// Seconds without traffic until an entry ends, and in any case: frames that go by entries are not seen
/// here, and a host that is not seen for five minutes is forgotten.
const TIMEOUTS: (u16, u16) = (60, 240);

/// The application. Keep it away from networks with loops.
pub struct LearningSwitch;

impl<P: Policy> App<P> for LearningSwitch {
    fn packet_in(&self, sw: &mut Switch, cx: &Context<'_, P>, packet: &PacketIn<'_>) {
        if sw.forward_known_pair(&cx.view, packet) {
            return;
        }
        let (eth_src, eth_dst) = (packet.eth_src(), packet.eth_dst());
        // Hosts are known per switch: the datapath id is the domain.
        let domain = Domain(sw.dpid().0);
        let here = Attachment { dpid: sw.dpid(), port: packet.in_port, vid: Vid::Untagged };
        let sighting = cx.see_host(domain, eth_src, here, Seen::default());
        if matches!(sighting, Sighting::Moved { .. } | Sighting::Lost { .. }) {
            // With its own entries at the old port it would not be seen when it comes back.
            let _ = sw.delete_flows(Match::new().eth_dst(eth_src));
            let _ = sw.delete_flows(Match::new().eth_src(eth_src));
        }
        let known = cx.host_at(domain, eth_dst).filter(|_| !eth_dst.is_group());
        let to = known.map_or(PortNo::FLOOD, |at| at.port);
        // With an entry its next frames would not come here, and it would not be noted where it is when
        // it is believed, or when there is room.
        let is_noted = matches!(sighting, Sighting::New | Sighting::Same | Sighting::Moved { .. });
        if known.is_some() && is_noted && sw.forward_pair(packet, to, TIMEOUTS).is_ok() {
            return;
        }
        let _ = sw.send_packet(packet, [Action::output(to)]);
    }

    /// Behind a port that is down nobody is reached. The framework forgets its hosts.
    fn port_changed(&self, sw: &mut Switch, _: &Context<'_, P>, port: &Port) {
        if !port.is_up() {
            forget_behind(sw, port.port_no);
        }
    }

    fn port_removed(&self, sw: &mut Switch, _: &Context<'_, P>, port: &Port) {
        forget_behind(sw, port.port_no);
    }
}

/// Ends entries to a port, and those from it: a host that comes back there is to be seen.
fn forget_behind(sw: &mut Switch, port: PortNo) {
    let _ = sw.flow_mod(FlowMod::delete(Match::new()).with_output_to(port));
    let _ = sw.delete_flows(Match::new().in_port(port));
}

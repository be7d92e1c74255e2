use std::{collections::HashMap, sync::Mutex};

use umlaut_controller::{App, Apps, Context, Switch, runtime};
use umlaut_openflow::packet::Headers;
use umlaut_openflow::{Action, DatapathId, FlowMod, MacAddr, Match, PacketIn, PortNo};

#[derive(Default)]
struct LearningSwitch(Mutex<HashMap<(DatapathId, MacAddr), PortNo>>);

impl App for LearningSwitch {
    fn packet_in(&self, sw: &mut Switch, _: &Context<'_>, packet: &PacketIn<'_>) {
        let Headers { eth_src, eth_dst, .. } = Headers::parse(&packet.data);
        let mut ports = self.0.lock().unwrap();
        ports.insert((sw.dpid(), eth_src), packet.in_port);
        let known = ports.get(&(sw.dpid(), eth_dst)).copied();
        let actions = vec![Action::output(known.unwrap_or(PortNo::FLOOD))];
        if known.is_some() {
            let flow = Match::new().in_port(packet.in_port).eth_src(eth_src).eth_dst(eth_dst);
            let _ = sw.flow_mod(FlowMod::add(flow).timeouts(60, 0).apply(actions.clone()));
        }
        let _ = sw.send_packet(packet, actions);
    }
}

fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt().init();
    runtime::run(Apps::new().with(LearningSwitch::default()), "0.0.0.0:6653")
}

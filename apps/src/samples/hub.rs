//! A hub: every frame goes out of every other port. Pure.

use umlaut_controller::{App, Context, Switch};
use umlaut_openflow::{Action, PacketIn, PortNo};

/// The application. Keep it away from networks with loops.
pub struct Hub;

impl App for Hub {
    fn packet_in(&self, sw: &mut Switch, _: &Context<'_>, packet: &PacketIn<'_>) {
        // Every version can express a flood.
        let _ = sw.packet_out(packet.in_port, vec![Action::output(PortNo::FLOOD)], &packet.data);
    }
}

//! A hub: every frame goes out of every other port. Pure.

use umlaut_controller::{App, Context, Policy, Switch};
use umlaut_openflow::{Action, PacketIn, PortNo};

/// The application. Keep it away from networks with loops.
pub struct Hub;

impl<P: Policy> App<P> for Hub {
    fn packet_in(&self, sw: &mut Switch, _: &Context<'_, P>, packet: &PacketIn<'_>) {
        // Every version can express a flood.
        let _ = sw.send_packet(packet, vec![Action::output(PortNo::FLOOD)]);
    }
}

//! Work that takes long: spawned by a handler, and told to its application when it is done.

use std::time::Duration;

use umlaut_controller::{App, Apps, Context, Switch, Told, runtime};
use umlaut_openflow::PortNo;

struct Inventory;

impl App for Inventory {
    fn switch_ready(&self, sw: &mut Switch, cx: &Context<'_>) {
        let (switch, me) = (cx.handle(sw.dpid()), cx.teller());
        tokio::spawn(async move {
            if let Ok(ports) = switch.port_stats(PortNo::ANY, Duration::from_secs(5)).await {
                let _ = me.tell(ports.len());
            }
        });
    }

    fn told(&self, _: &Context<'_>, message: Told) {
        if let Ok(ports) = message.downcast::<usize>() {
            println!("{ports} ports");
        }
    }
}

fn main() -> std::io::Result<()> {
    runtime::run(Apps::new().with(Inventory), "0.0.0.0:6653")
}

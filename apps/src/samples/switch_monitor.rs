//! A switch monitor: prints switches as they come and go, and now and then which are there. Pure.

use umlaut_controller::{App, Context, Policy, Switch};
use umlaut_openflow::DatapathId;

use super::Print;
use super::config::Period;

const LIST: &str = "list";

/// The application.
pub struct SwitchMonitor {
    period: Period,
    print: Print,
}

impl SwitchMonitor {
    /// One that lists the switches this often.
    pub fn new(period: Period, print: Print) -> SwitchMonitor {
        SwitchMonitor { period, print }
    }
}

impl<P: Policy> App<P> for SwitchMonitor {
    fn start(&self, cx: &Context<'_, P>) {
        // One timer of its own is never too many.
        let _ = cx.every(LIST, self.period.duration());
    }

    fn switch_ready(&self, sw: &mut Switch, _: &Context<'_, P>) {
        let (dpid, version, ports) = (sw.dpid(), sw.version(), sw.ports().count());
        (self.print)(&format!("switch {dpid} is up: OpenFlow {version}, {ports} ports"));
    }

    fn switch_gone(&self, dpid: DatapathId, _: &Context<'_, P>) {
        (self.print)(&format!("switch {dpid} is down"));
    }

    fn timer(&self, cx: &Context<'_, P>, _: &str) {
        let switches: Vec<_> = cx.switches().iter().map(DatapathId::to_string).collect();
        (self.print)(&format!("{} switches: {}", switches.len(), switches.join(", ")));
    }
}

//! Sample applications, each one file: where to start when writing an own one. All run under any
//! policy, so beside any other application.

pub mod config;
pub mod dumper;
pub mod firewall;
pub mod flow_dumper;
pub mod hub;
pub mod learning_switch;
pub mod patch_panel;
pub mod routing_switch;
pub mod simple_router;
pub mod switch_monitor;
pub mod traffic_monitor;

use std::io::Write;

pub use config::Config;
pub use dumper::Dumper;
pub use firewall::Firewall;
pub use flow_dumper::FlowDumper;
pub use hub::Hub;
pub use learning_switch::LearningSwitch;
pub use patch_panel::PatchPanel;
pub use routing_switch::RoutingSwitch;
pub use simple_router::SimpleRouter;
pub use switch_monitor::SwitchMonitor;
pub use traffic_monitor::TrafficMonitor;

/// Takes a line that an application prints.
pub type Print = Box<dyn Fn(&str) + Send + Sync>;

/// Prints on standard output. If nobody reads it any more, the lines are lost.
pub fn standard_output() -> Print {
    Box::new(|line| {
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    })
}

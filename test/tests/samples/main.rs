//! The sample applications on emulated networks, by who receives what.

mod dumper;
mod firewall;
mod flow_dumper;
mod hub;
mod learning_switch;
mod patch_panel;
mod routing_switch;
mod simple_router;
mod switch_monitor;
mod traffic_monitor;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use umlaut::samples::{Config, Print};
use umlaut::virtual_lab::VirtualLab;
use umlaut_controller::Apps;
use umlaut_openflow::Version;
use umlaut_testbed::{NetworkOptions, Topology};

const VERSIONS: [Version; 2] = [Version::V1_3, Version::V1_0];
const SECOND: Duration = Duration::from_secs(1);

fn lab(apps: Apps<()>, topology: &Topology, version: Version) -> VirtualLab {
    VirtualLab::with(apps, (), topology, NetworkOptions::speaking(version))
}

fn config(text: &str) -> Config {
    Config::parse(text).unwrap()
}

/// What an application printed.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn print(&self) -> Print {
        let lines = self.0.clone();
        Box::new(move |line| lines.lock().unwrap().push(line.to_owned()))
    }

    /// Takes what was printed since the last time.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

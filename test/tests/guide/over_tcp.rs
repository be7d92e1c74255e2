use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::{runtime::Runtime, sync::watch};
use umlaut::samples::LearningSwitch;
use umlaut::virtual_lab::Events;
use umlaut_controller::runtime::{Listener, serve};
use umlaut_controller::{Apps, Seed, Shared};
use umlaut_openflow::Version;
use umlaut_testbed::{EmulatedLab, Topology};

#[test]
fn hosts_reach_each_other_through_sockets() {
    let apps = Apps::new().with(LearningSwitch);
    let seed = Seed { lldp_key: [1; 16], epoch: 1 };
    let shared = Arc::new(Shared::new(apps, (), seed, Box::new(Events::default()), Instant::now()));
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(Listener::bind("127.0.0.1:0".parse().unwrap())).unwrap();
    let address = listener.local_addr().unwrap();
    let (_stop, stopped) = watch::channel(false);
    runtime.spawn(serve(shared, vec![listener], stopped));

    let lab = EmulatedLab::start(&Topology::linear(2, 2), address, Version::V1_3).unwrap();
    let pairs = lab.reachability(Duration::from_secs(5), Duration::from_secs(20));
    assert!(pairs.iter().all(|pair| pair.reached), "{pairs:?}");
    // The same network as in virtual time: look at it, and act on it.
    assert_eq!(lab.with_network(|network| network.switches().count()), 2);
}

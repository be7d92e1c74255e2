use std::time::Duration;

use umlaut_testbed::{Endpoint, Hub, Impairment, Network, NetworkOptions, Topology};

#[test]
fn a_bad_cable_loses_about_a_third_and_the_host_counts_the_rest() {
    let options = NetworkOptions::default().seed(7);
    // Any controller can stand here that takes bytes and time: see `Controller`.
    let mut network = Network::new(&Topology::single(2), options, Hub::new()).unwrap();
    let _ = network.run_for(Duration::from_secs(1));
    let bad = Impairment { lost_permille: 333, ..Impairment::default() };
    assert!(network.impair_from(Endpoint::new(1, 2), bad));
    for _ in 0..300 {
        network.send_udp("h1", "h2", b"hello").unwrap();
        let _ = network.run_until_idle(Duration::from_secs(1));
    }
    let received = network.host("h2").unwrap().received();
    assert!((150..250).contains(&received), "{received}");
    // The same seed, the same run.
}

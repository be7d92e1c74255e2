//! What the controller knows of a network without hosts.

mod common;

use common::{Bed, VERSIONS};
use umlaut_openflow::PortNo;

/// The original's topology row: four switches in a full mesh, twelve directed links, four LOCAL
/// ports that are down.
#[test]
fn a_full_mesh_of_four_switches_has_twelve_directed_links() {
    let text = r#"
umlaut: 1
switches: {s1: 0x1, s2: 0x2, s3: 0x3, s4: 0x4}
slices: {}
links: [[s1/12, s2/11], [s1/13, s3/11], [s1/14, s4/11], [s2/13, s3/12], [s2/14, s4/12], [s3/14, s4/13]]
"#;
    for version in VERSIONS {
        for seed in 0..10 {
            let bed = Bed::new(text, version, seed);
            let world = bed.network.controller().0.shared().world.load();
            let links: Vec<_> = world.topology.links().map(|link| (link.from, link.to)).collect();
            let mut wanted: Vec<_> =
                common::policy(text).links().flat_map(|(a, b)| [(a, b), (b, a)]).collect();
            wanted.sort_unstable();
            assert_eq!(links, wanted, "{version} seed {seed}");
            assert_eq!(links.len(), 12);
            let local: Vec<bool> = world
                .topology
                .switches()
                .flat_map(|(_, ports)| {
                    ports
                        .filter(|p| p.port.port_no == PortNo::LOCAL)
                        .map(|p| p.port.is_up())
                        .collect::<Vec<_>>()
                })
                .collect();
            assert_eq!(local, [false; 4], "{version}");
        }
    }
}

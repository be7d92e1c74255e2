use umlaut::samples::PatchPanel;
use umlaut_controller::Apps;
use umlaut_testbed::Topology;

use super::{SECOND, VERSIONS, config, lab};

#[test]
fn patched_ports_reach_each_other_and_nobody_else() {
    for version in VERSIONS {
        let patches = |text: &str| config(&format!("patch-panel: {{patches: {text}}}")).patch_panel;
        let apps = Apps::new().with(PatchPanel::new(patches("[[0x1/1, 0x1/2]]")));
        let mut lab = lab(apps, &Topology::single(4), version);
        let said = |lab: &mut umlaut::virtual_lab::VirtualLab| {
            ["h1", "h2", "h3", "h4"].map(|host| lab.say(host, "all").join(" "))
        };
        assert_eq!(said(&mut lab), ["h2", "h1", "", ""]);
        // One is added, then the first is removed.
        let panel = lab.shared().teller("PatchPanel").unwrap();
        panel.tell(patches("[[0x1/4, 0x1/3], [0x1/2, 0x1/1]]")).unwrap();
        lab.run(SECOND);
        assert_eq!(said(&mut lab), ["h2", "h1", "h4", "h3"]);
        panel.tell(patches("[[0x1/3, 0x1/4]]")).unwrap();
        lab.run(SECOND);
        assert_eq!(said(&mut lab), ["", "", "h4", "h3"]);
        assert_eq!(lab.flows(1).len(), 2);
    }
}

#[test]
fn a_switch_that_comes_back_has_the_patches_of_now() {
    let patches = |text: &str| config(&format!("patch-panel: {{patches: {text}}}")).patch_panel;
    let apps = Apps::new().with(PatchPanel::new(patches("[[0x1/1, 0x1/2]]")));
    let mut lab = lab(apps, &Topology::single(2), VERSIONS[0]);
    let dpid = umlaut_openflow::DatapathId(1);
    lab.network.power_off(dpid).unwrap();
    lab.run(SECOND);
    lab.shared().teller("PatchPanel").unwrap().tell(patches("[]")).unwrap();
    lab.run(SECOND);
    lab.network.power_on(dpid).unwrap();
    lab.run(10 * SECOND);
    assert_eq!(lab.network.connected_switches(), 1);
    assert!(lab.say("h1", "h2").is_empty());
}

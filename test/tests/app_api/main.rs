//! What applications are told and what becomes of what they say, in both versions.

mod recorder;
mod replies;
mod scripted;

use std::time::Duration;

use recorder::{Log, Recorder, two};
use umlaut::virtual_lab::VirtualLab;
use umlaut_controller::hosts::{Domain, Seen};
use umlaut_controller::routes::Rule;
use umlaut_controller::{Apps, Context, Event, SendError, Switch};
use umlaut_openflow::{
    Action, Attachment, Cookie, DatapathId, FlowMod, FlowModFlags, MacAddr, Match, MatchField,
    Message, PortNo, Version, Vid,
};
use umlaut_testbed::{NetworkOptions, Topology};

const VERSIONS: [Version; 2] = [Version::V1_3, Version::V1_0];
const SECOND: Duration = Duration::from_secs(1);

fn lab(apps: Apps<()>, topology: &Topology, version: Version) -> VirtualLab {
    VirtualLab::with(apps, (), topology, NetworkOptions::speaking(version))
}

fn failures(lab: &VirtualLab) -> Vec<(String, String)> {
    let failed = lab.events.all().into_iter().filter_map(|event| match event {
        Event::AppFailed { app, message } => Some((app, message)),
        _ => None,
    });
    failed.collect()
}

#[test]
fn applications_are_told_of_start_switches_and_end_in_their_order() {
    for version in VERSIONS {
        let log = Log::default();
        let mut lab = lab(two(&log, |_, _, _, _| {}), &Topology::single(1), version);
        assert_eq!(log.take(), ["a start", "b start", "a switch_ready 0x1", "b switch_ready 0x1"]);
        lab.network.power_off(DatapathId(1)).unwrap();
        lab.run(SECOND);
        assert_eq!(log.take(), ["a switch_gone 0x1", "b switch_gone 0x1"]);
        lab.network.power_on(DatapathId(1)).unwrap();
        lab.run(10 * SECOND);
        assert_eq!(log.take(), ["a switch_ready 0x1", "b switch_ready 0x1"]);
        lab.network.with_controller(|driven, now| driven.0.shutdown(now));
        let ends = ["a shutdown", "b shutdown", "a switch_gone 0x1", "b switch_gone 0x1"];
        assert_eq!(log.take(), ends);
    }
}

#[test]
fn what_is_sent_at_shutdown_still_arrives() {
    for version in VERSIONS {
        let log = Log::default();
        let apps =
            Apps::new().with(Recorder::new("a", &log, |event, _, sw, cx| match (event, sw) {
                ("switch_ready", Some(sw)) => {
                    sw.add_flow(Match::new().in_port(PortNo(1)), Vec::new()).unwrap();
                }
                ("shutdown", _) => {
                    for dpid in cx.switches() {
                        cx.on_switch(dpid, |sw| {
                            sw.delete_flows(Match::new()).unwrap();
                        })
                        .unwrap();
                    }
                }
                _ => {}
            }));
        let mut lab = lab(apps, &Topology::linear(2, 1), version);
        assert_eq!((lab.flows(1).len(), lab.flows(2).len()), (1, 1));
        lab.network.with_controller(|driven, now| driven.0.shutdown(now));
        lab.run(Duration::from_millis(10));
        assert_eq!((lab.flows(1).len(), lab.flows(2).len()), (0, 0));
    }
}

#[test]
fn a_packet_comes_to_all_in_order_until_one_takes_it() {
    for version in VERSIONS {
        let log = Log::default();
        let taking = |event: &str, values: &str, _: Option<&mut Switch>, cx: &Context<'_>| {
            if event == "packet_in" && values.contains("/2 ") {
                cx.take();
            }
        };
        let mut lab = lab(two(&log, taking), &Topology::single(2), version);
        log.take();
        assert!(lab.say("h1", "h2").is_empty());
        assert_eq!(log.take(), ["a packet_in 0x1/1 60 bytes", "b packet_in 0x1/1 60 bytes"]);
        lab.say("h2", "h1");
        assert_eq!(log.take(), ["a packet_in 0x1/2 60 bytes"]);
    }
}

#[test]
fn packets_are_routed_by_rules_that_change_at_run_time() {
    let log = Log::default();
    let script = |event: &str, values: &str, _: Option<&mut Switch>, cx: &Context<'_>| {
        let from = |n| Match::new().eth_src(MacAddr::from_u64(n));
        match (event, values) {
            ("told", "divide") => {
                cx.add_route(Rule::new(1, from(1), ["b"]));
                cx.add_route(Rule::new(1, from(2), ["b", "a"]));
                cx.add_route(Rule::new(1, from(3), [] as [&str; 0]));
                let elsewhere = Rule { dpid: Some(DatapathId(2)), ..Rule::new(9, from(1), ["a"]) };
                cx.add_route(elsewhere);
            }
            ("told", "again") => cx.remove_routes(|rule| rule.apps.is_empty()),
            ("told", "all") => cx.remove_routes(|_| true),
            _ => {}
        }
    };
    let mut lab = lab(two(&log, script), &Topology::single(3), Version::V1_3);
    let teller = lab.shared().teller("a").unwrap();
    assert!(lab.shared().teller("c").is_none());
    let mut who = |order: &'static str, from: &str| {
        teller.tell(order).unwrap();
        lab.run(Duration::from_millis(1));
        log.take();
        lab.say(from, "all");
        let heard: String =
            log.take().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        heard
    };
    assert_eq!(who("nothing", "h1"), "ab");
    assert_eq!(who("divide", "h1"), "b");
    // In the order of the applications, whatever the order in the rule.
    assert_eq!(who("nothing", "h2"), "ab");
    assert_eq!(who("nothing", "h3"), "");
    assert_eq!(who("again", "h3"), "ab");
    assert_eq!(who("nothing", "h1"), "b");
    assert_eq!(who("all", "h1"), "ab");
}

#[test]
fn ports_are_told_when_the_topology_knows_them() {
    for version in VERSIONS {
        let log = Log::default();
        let script = |event: &str, values: &str, sw: Option<&mut Switch>, _: &Context<'_>| {
            if let ("port_added", Some(sw)) = (event, sw) {
                assert!(values.starts_with('7'));
                sw.set_port_up(PortNo(7), false).unwrap();
                let unknown = sw.set_port_up(PortNo(9), false);
                assert_eq!(unknown, Err(SendError::NoSuchPort(PortNo(9))));
            }
        };
        let apps = Apps::new().with(Recorder::new("a", &log, script));
        let mut lab = lab(apps, &Topology::single(1), version);
        log.take();
        let mut change = |change: fn(&mut umlaut_testbed::EmulatedSwitch, std::time::Instant)| {
            lab.network.with_switch(DatapathId(1), change).unwrap();
            lab.run(Duration::from_millis(100));
            log.take()
        };
        // The hardware address that a port-mod needs is filled in.
        assert_eq!(
            change(|switch, now| switch.add_port(PortNo(7), now)),
            ["a port_added 7 known=true", "a port_changed 7 up=false"]
        );
        assert_eq!(
            change(|switch, now| switch.set_link(PortNo(1), false, now)),
            ["a port_changed 1 up=false"]
        );
        assert_eq!(
            change(|switch, now| switch.remove_port(PortNo(7), now)),
            ["a port_removed 7 known=false"]
        );
    }
}

/// Installs three entries with cookie 7 each, of different priority in each application, and does
/// what it is told.
fn entries(event: &str, values: &str, sw: Option<&mut Switch>, cx: &Context<'_>, me: u32) {
    let entry = |port: u32| {
        FlowMod::add(Match::new().in_port(PortNo(port)).tcp_dst(port as u16))
            .priority(100 + me as u16)
            .cookie(Cookie(7))
            .flags(FlowModFlags::SEND_FLOW_REM)
            .apply(vec![Action::output(PortNo(10 * me + port))])
    };
    match (event, values, sw) {
        ("switch_ready", _, Some(sw)) => {
            for port in 1..=3 {
                sw.flow_mod(entry(port)).unwrap();
            }
            // One that nobody wants to know of.
            let silent = FlowMod { flags: FlowModFlags::default(), ..entry(4) };
            sw.flow_mod(silent.timeouts(0, 5)).unwrap();
        }
        ("told", order, _) => {
            let order = order.to_owned();
            let done = cx.on_switch(DatapathId(1), move |sw| {
                let second = Match::new().tcp_dst(2u16);
                let done = match &*order {
                    "delete all" => sw.delete_flows(Match::new()),
                    "delete 2" => sw.delete_flows(second),
                    "delete of b" => {
                        sw.delete_flow(Match::new().in_port(PortNo(2)).tcp_dst(2u16), 102)
                    }
                    "modify" => sw.modify_flows(Match::new(), vec![Action::output(PortNo(99))]),
                    "modify nothing" => sw.modify_flows(Match::new().tcp_dst(77u16), vec![]),
                    "to 13" => {
                        sw.flow_mod(FlowMod::delete(Match::new()).with_output_to(PortNo(13)))
                    }
                    "marked 8" => {
                        let marked =
                            FlowMod { cookie_mask: u64::MAX >> 8, ..FlowMod::delete(Match::new()) };
                        sw.flow_mod(marked.cookie(Cookie(8)))
                    }
                    "stats" => sw.request_flow_stats(Match::new()),
                    other => panic!("{other}"),
                };
                done.unwrap();
            });
            done.unwrap();
        }
        _ => {}
    }
}

fn with_entries(log: &Log, version: Version) -> VirtualLab {
    let apps = Apps::new()
        .with(Recorder::new("a", log, |e, v, sw, cx| entries(e, v, sw, cx, 1)))
        .with(Recorder::new("b", log, |e, v, sw, cx| entries(e, v, sw, cx, 2)));
    let lab = lab(apps, &Topology::single(1), version);
    log.take();
    lab
}

/// The entries of a switch by what they are told apart by: priority (101 of a, 102 of b) and output.
fn standing(lab: &VirtualLab) -> Vec<(u16, String)> {
    let flows = lab.flows(1).into_iter().map(|flow| {
        let outputs: Vec<_> = flow.instructions.iter().map(|i| format!("{i:?}")).collect();
        let port: String = outputs.concat().chars().filter(char::is_ascii_digit).collect();
        // The controller's `max_len` is 65535.
        (flow.priority, port.trim_end_matches("65535").to_owned())
    });
    let mut flows: Vec<_> = flows.filter(|(priority, _)| (101..=102).contains(priority)).collect();
    flows.sort();
    flows
}

fn tell(lab: &mut VirtualLab, app: &str, order: &'static str) {
    lab.shared().teller(app).unwrap().tell(order).unwrap();
    lab.run(Duration::from_millis(10));
}

#[test]
fn what_an_application_changes_or_deletes_is_its_own() {
    let all = |me: u16, ports: [u32; 4]| ports.map(|port| (100 + me, port.to_string()));
    for version in VERSIONS {
        let log = Log::default();
        let mut lab = with_entries(&log, version);
        let (a, b) = (all(1, [11, 12, 13, 14]), all(2, [21, 22, 23, 24]));
        let both = |a: &[(u16, String)]| [a, &b[..]].concat();
        assert_eq!(standing(&lab), both(&a), "{version}");
        // Entries of another one, none, or of another cookie: nothing happens.
        for order in ["delete of b", "modify nothing", "marked 8"] {
            tell(&mut lab, "a", order);
            assert_eq!(standing(&lab), both(&a), "{version} {order}");
        }
        tell(&mut lab, "a", "delete 2");
        let left = [a[0].clone(), a[2].clone(), a[3].clone()];
        assert_eq!(standing(&lab), both(&left), "{version}");
        tell(&mut lab, "a", "to 13");
        let left = [a[0].clone(), a[3].clone()];
        assert_eq!(standing(&lab), both(&left), "{version}");
        tell(&mut lab, "a", "modify");
        let changed = [(101, "99".to_owned()), (101, "99".to_owned())];
        assert_eq!(standing(&lab), both(&changed), "{version}");
        log.take();
        tell(&mut lab, "a", "delete all");
        assert_eq!(standing(&lab), b, "{version}");
        // The fourth was not to be told of.
        assert_eq!(log.take_only(&["flow_removed"]), ["a flow_removed cookie=0x7 DELETE"]);
        // The framework's own are there as well: packets still come.
        lab.say("h1", "all");
        assert_eq!(log.take_only(&["packet_in"]).len(), 2, "{version}");
    }
}

#[test]
fn cookies_are_shown_to_their_application_as_it_gave_them() {
    for version in VERSIONS {
        let log = Log::default();
        let mut lab = with_entries(&log, version);
        tell(&mut lab, "b", "stats");
        let told = log.take_only(&["flow_stats_reply"]).concat();
        assert!(told.starts_with("b flow_stats_reply"), "{told}");
        assert_eq!(told.matches("0x7,").count() + told.matches("0x7]").count(), 4, "{told}");
        // Those of a have its number in front.
        assert_eq!(told.matches("0x1000000").count(), 4, "{told}");
        // Ended by their time, told or not.
        lab.run(6 * SECOND);
        assert_eq!(log.take_only(&["flow_removed"]), [] as [&str; 0]);
        assert_eq!(standing(&lab).len(), 6);
    }
}

#[test]
fn an_entry_that_comes_to_its_end_is_told_to_whoever_made_it() {
    for version in VERSIONS {
        let log = Log::default();
        let script = |event: &str, _: &str, sw: Option<&mut Switch>, cx: &Context<'_>| {
            if let ("packet_in", Some(sw)) = (event, sw) {
                cx.take();
                let entry = FlowMod::add(Match::new().in_port(PortNo(1)));
                let entry = entry.flags(FlowModFlags::SEND_FLOW_REM).cookie(Cookie(5));
                sw.flow_mod(entry.timeouts(2, 0)).unwrap();
            }
        };
        let mut lab = lab(two(&log, script), &Topology::single(1), version);
        lab.say("h1", "all");
        log.take();
        lab.run(5 * SECOND);
        assert_eq!(log.take(), ["a flow_removed cookie=0x5 IDLE_TIMEOUT"]);
        // And again: what ended is not in the way.
        lab.say("h1", "all");
        lab.run(5 * SECOND);
        assert_eq!(log.take_only(&["flow"]), ["a flow_removed cookie=0x5 IDLE_TIMEOUT"]);
    }
}

#[test]
fn an_error_comes_with_what_it_answers_to_whoever_sent_that() {
    for version in VERSIONS {
        let log = Log::default();
        let script = |event: &str, values: &str, sw: Option<&mut Switch>, _: &Context<'_>| {
            if let ("packet_in", Some(sw)) = (event, sw) {
                for n in 1..=10 {
                    let entry = FlowMod::add(Match::new().in_port(PortNo(100 + n)));
                    sw.flow_mod(entry.cookie(Cookie(n.into()))).unwrap();
                }
                if values.contains("/2") {
                    sw.delete_flows(Match::new()).unwrap();
                }
            }
        };
        let apps =
            Apps::new().with(Recorder::new("a", &log, script)).with(Recorder::silent("b", &log));
        let mut lab = lab(apps, &Topology::single(2), version);
        let full = if version == Version::V1_0 { 9 } else { 10 };
        lab.network.with_switch(DatapathId(1), |switch, _| switch.set_table_limit(Some(full)));
        lab.say("h1", "all");
        let code = if version == Version::V1_0 { "(3, 0)" } else { "(5, 1)" };
        let refused: Vec<_> =
            (9..=10).map(|n| format!("a error {code} of flow_mod cookie={n:#x}")).collect();
        assert_eq!(log.take_only(&["error"]), refused);
        assert_eq!(lab.flows(1).len(), 8);
        // What was refused is not thought to be there.
        lab.network.with_switch(DatapathId(1), |switch, _| switch.set_table_limit(None));
        log.take();
        lab.say("h2", "all");
        assert_eq!(lab.flows(1).len(), 0);
        assert_eq!(log.take_only(&["error"]), [] as [&str; 0]);
    }
}

#[test]
fn what_a_version_cannot_say_is_not_sent_and_told_at_once() {
    use umlaut_openflow::{GroupId, GroupType};
    let log = Log::default();
    let script = |event: &str, _: &str, sw: Option<&mut Switch>, _: &Context<'_>| {
        if let ("switch_ready", Some(sw)) = (event, sw) {
            let group = sw.add_group(GroupId(1), GroupType::ALL, Vec::new());
            assert!(matches!(group, Err(SendError::Inexpressible(_))), "{group:?}");
            let cookie = FlowMod::add(Match::new()).cookie(Cookie(1 << 56));
            assert_eq!(sw.flow_mod(cookie), Err(SendError::Cookie(Cookie(1 << 56))));
        }
    };
    let lab = lab(
        Apps::new().with(Recorder::new("a", &log, script)),
        &Topology::single(1),
        Version::V1_0,
    );
    assert_eq!((failures(&lab), lab.flows(1).len()), (vec![], 0));
}

#[test]
fn a_tag_is_pushed_in_the_words_of_each_version() {
    for version in VERSIONS {
        let log = Log::default();
        let script = |event: &str, _: &str, sw: Option<&mut Switch>, _: &Context<'_>| {
            if let ("switch_ready", Some(sw)) = (event, sw) {
                let tag = MatchField::VlanVid(umlaut_openflow::VlanMatch::Tagged(7));
                let actions = vec![
                    Action::PushVlan(0x8100),
                    Action::SetField(tag),
                    Action::output(PortNo(2)),
                ];
                sw.add_flow(Match::new().in_port(PortNo(1)), actions).unwrap();
            }
        };
        let apps = Apps::new().with(Recorder::new("a", &log, script));
        let mut lab = lab(apps, &Topology::single(2), version);
        assert_eq!(lab.say("h1", "h2"), ["h2"]);
        let frame = lab.with_host("h2", |h2, _| h2.sniffed().last().unwrap().frame.clone());
        assert_eq!(frame[12..16], [0x81, 0, 0, 7], "{version}");
    }
}

#[test]
fn links_are_told_in_both_directions() {
    for version in VERSIONS {
        let log = Log::default();
        let apps = Apps::new().with(Recorder::silent("a", &log));
        let mut lab = lab(apps, &Topology::linear(2, 1), version);
        let mut up = log.take_only(&["link"]);
        up.sort();
        assert_eq!(up, ["a link_up 0x1->0x2", "a link_up 0x2->0x1"]);
        lab.network.cut(0);
        lab.run(SECOND);
        let mut down = log.take_only(&["link"]);
        down.sort();
        assert_eq!(down, ["a link_down 0x1->0x2", "a link_down 0x2->0x1"]);
    }
}

#[test]
fn hosts_are_told_when_they_are_located_move_and_go() {
    for version in VERSIONS {
        let log = Log::default();
        let script = |event: &str, values: &str, sw: Option<&mut Switch>, cx: &Context<'_>| {
            if let ("packet_in", Some(sw)) = (event, sw) {
                let port = values.split(['/', ' ']).nth(1).unwrap().parse().unwrap();
                let at = Attachment { dpid: sw.dpid(), port, vid: Vid::Untagged };
                cx.see_host(Domain(0), MacAddr::from_u64(1), at, Seen::default());
            }
        };
        let apps = Apps::new().with(Recorder::new("a", &log, script));
        let mut lab = lab(apps, &Topology::unlinked(2, 1), version);
        log.take();
        let hosts = ["host"];
        lab.say("h1", "all");
        lab.say("h1", "all");
        let h1 = "00:00:00:00:00:01";
        assert_eq!(log.take_only(&hosts), [format!("a host_located {h1} at 0x1/1")]);
        // Not believed at once, nor while it may still be a mistake.
        lab.run(6 * SECOND);
        lab.with_host("h2", |host, _| host.set_mac(MacAddr::from_u64(1)));
        lab.say("h2", "all");
        assert_eq!(log.take_only(&hosts), [format!("a host_moved {h1} from 0x1/1 to 0x2/1")]);
        lab.network.with_switch(DatapathId(2), |s, now| s.set_link(PortNo(1), false, now)).unwrap();
        lab.run(SECOND);
        assert_eq!(log.take_only(&hosts), [format!("a host_gone {h1}")]);
        // Forgotten by its age as well.
        lab.say("h1", "all");
        lab.run(400 * SECOND);
        let told = [format!("a host_located {h1} at 0x1/1"), format!("a host_gone {h1}")];
        assert_eq!(log.take_only(&hosts), told);
    }
}

#[test]
fn timers_are_periodic_or_one_shot_and_can_be_cancelled_and_replaced() {
    let log = Log::default();
    let script = |event: &str, values: &str, _: Option<&mut Switch>, cx: &Context<'_>| {
        let mine = cx.every("tick", SECOND);
        match (event, values) {
            ("start", _) => {
                cx.every("tick", 2 * SECOND).unwrap();
                cx.after("once", 3 * SECOND).unwrap();
                cx.after("never", 3 * SECOND).unwrap();
                assert!(cx.cancel("never") && !cx.cancel("never"));
                cx.after("replaced", SECOND).unwrap();
                cx.after("replaced", 5 * SECOND).unwrap();
            }
            _ => mine.unwrap(),
        }
    };
    // Each has names of its own; the second sets none.
    let apps = Apps::new().with(Recorder::new("a", &log, script)).with(Recorder::silent("b", &log));
    let topology = Topology::new();
    let mut lab = VirtualLab::unsettled(apps, (), &topology, NetworkOptions::default());
    lab.run(Duration::from_millis(3500));
    // "tick" is replaced by one of a second whenever something happens.
    assert_eq!(log.take(), ["a start", "b start", "a timer tick", "a timer once"],);
    lab.run(2 * SECOND);
    assert_eq!(log.take(), ["a timer tick", "a timer replaced"]);
    lab.run(3 * SECOND);
    assert_eq!(log.take(), ["a timer tick", "a timer tick", "a timer tick"]);
}

#[test]
fn an_application_that_panics_is_unloaded_and_the_others_go_on() {
    for version in VERSIONS {
        let log = Log::default();
        let script = |event: &str, values: &str, sw: Option<&mut Switch>, cx: &Context<'_>| {
            if event == "start" {
                cx.every("tick", SECOND).unwrap();
            }
            let Some(sw) = sw else { return };
            match event {
                "switch_ready" => {
                    sw.add_flow(Match::new().in_port(PortNo(77)), Vec::new()).unwrap();
                }
                "packet_in" if values.contains("/1") => panic!("frames of port 1 are too much"),
                _ => {}
            }
        };
        let apps = Apps::new().with(Recorder::new("a", &log, script)).with(Recorder::new(
            "b",
            &log,
            move |event, _, sw, _| {
                if let ("switch_ready", Some(sw)) = (event, sw) {
                    sw.add_flow(Match::new().in_port(PortNo(88)), Vec::new()).unwrap();
                }
            },
        ));
        let mut lab = lab(apps, &Topology::linear(2, 1), version);
        log.take();
        lab.say("h1", "all");
        let heard = ["a packet_in 0x1/1 60 bytes", "b packet_in 0x1/1 60 bytes"];
        assert_eq!(log.take_only(&["packet_in"]), heard);
        let said = "frames of port 1 are too much".to_owned();
        assert_eq!(failures(&lab), [("a".to_owned(), said)]);
        // Its entries are gone from all switches; it is told nothing any more.
        for dpid in [1, 2] {
            let left: Vec<_> = lab.flows(dpid).iter().map(|flow| flow.matches.ingress()).collect();
            assert_eq!(left, [Some(PortNo(88))], "{version} {dpid}");
        }
        lab.run(3 * SECOND);
        lab.say("h2", "all");
        assert!(log.take().iter().all(|line| line.starts_with("b ")));
        assert_eq!(failures(&lab).len(), 1);
        assert_eq!(lab.network.connected_switches(), 2);
    }
}

#[test]
fn a_panic_in_what_an_application_left_behind_is_its_own_too() {
    for version in VERSIONS {
        let log = Log::default();
        let script = |event: &str, values: &str, _: Option<&mut Switch>, cx: &Context<'_>| {
            let dpid = DatapathId(1);
            let left = match (event, values) {
                ("told", "job") => cx.on_switch(dpid, |_| panic!("in a job")),
                ("told", "reply") => cx.on_switch(dpid, |sw| {
                    let ask = Message::BarrierRequest;
                    sw.request(&ask, Box::new(|_| panic!("in a reply")));
                }),
                _ => return,
            };
            left.unwrap();
        };
        let mut lab = lab(two(&log, script), &Topology::single(1), version);
        tell(&mut lab, "a", "job");
        tell(&mut lab, "b", "reply");
        let failed =
            [("a", "in a job"), ("b", "in a reply")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(failures(&lab), failed);
        assert_eq!(lab.network.connected_switches(), 1);
    }
}

#[test]
fn an_application_reaches_other_switches_and_itself() {
    for version in VERSIONS {
        let log = Log::default();
        let script = |event: &str, values: &str, sw: Option<&mut Switch>, cx: &Context<'_>| match (
            event, values,
        ) {
            ("packet_in", _) => {
                let dpid = sw.map(|sw| sw.dpid());
                for other in cx.switches().into_iter().filter(|other| Some(*other) != dpid) {
                    cx.send(other, Message::BarrierRequest).unwrap();
                }
                assert!(cx.on_switch(DatapathId(9), |_| {}).is_err());
                cx.teller().tell("later").unwrap();
            }
            ("barrier_reply", _) => cx.take(),
            _ => {}
        };
        let mut lab = lab(
            Apps::new().with(Recorder::new("a", &log, script)).with(Recorder::silent("b", &log)),
            &Topology::unlinked(2, 1),
            version,
        );
        log.take();
        lab.say("h1", "all");
        let heard = log.take();
        assert_eq!(
            heard.iter().filter(|line| !line.contains("packet_in")).collect::<Vec<_>>(),
            ["a told later", "a barrier_reply"]
        );
    }
}

//! Every question, for people and for programs.

use serde_json::{Value, json};

use crate::controller::{Controller, find, rows};

#[test]
fn every_question_has_its_answer_for_people_and_for_programs() {
    let controller = Controller::start(true);
    let c = &controller;

    // The lab lets the hosts talk: wait until the paths of both directions are in both switches.
    let flows = c.until(&["flows", "--slice", "lab"], |flows| {
        let present = |flow: &Value| {
            rows(flow, "entries").len() == 2
                && rows(flow, "entries").iter().all(|entry| entry["has"] == "present")
        };
        let paths = rows(flows, "flows");
        let from = |host: &str| paths.iter().any(|flow| flow["src_host"] == host && present(flow));
        from("alice") && from("bob")
    });
    let flow = find(&flows, "flows", "src_host", "alice");
    assert_eq!(flow["kind"], "forward");
    assert_eq!((&flow["at"], &flow["to"]), (&json!("s1/1"), &json!("s2/1")));
    assert_eq!(flow["hops"], json!(["s1 1>24", "s2 24>1"]));
    assert_eq!((&flow["idle_timeout"], &flow["hard_timeout"]), (&json!(60), &json!(0)));
    assert_eq!((&flow["member"]["id"], &flow["member"]["line"]), (&json!("alice"), &json!(12)));
    assert_eq!(
        (&flow["filter"]["id"], &flow["filter"]["line"]),
        (&json!("lab-speaks"), &json!(19))
    );
    assert!(flow["member"]["file"].as_str().unwrap().ends_with("policy.yaml"));
    assert!(rows(&flows, "flows").iter().all(|flow| flow["slice"] == "lab"), "{flows:#}");

    // Drop entries wait for the port to be settled.
    let all = c.until(&["flows"], |flows| {
        rows(flows, "flows").iter().any(|flow| flow["src_host"] == "eve")
    });
    let refused = find(&all, "flows", "src_host", "eve");
    assert_eq!((&refused["kind"], &refused["reason"]), (&json!("drop"), &json!("no-binding")));
    assert_eq!(rows(&all, "flows").iter().filter(|flow| flow["kind"] == "standing").count(), 4);
    assert_eq!((&all["umlaut"], &all["truncated"]), (&json!(1), &json!(false)));
    let of_bob = c.json(&["flows", "--host", "bob", "--switch", "s2"]);
    for flow in rows(&of_bob, "flows") {
        assert!(flow["src_host"] == "bob" || flow["dst_host"] == "bob", "{flow:#}");
    }
    let text = c.text(&["flows"]);
    assert!(text.contains("policy.yaml:12") && text.contains("lab-speaks"), "{text}");
    assert!(text.contains("s1 present, s2 present"), "{text}");

    let switches = c.json(&["switches"]);
    let s1 = find(&switches, "switches", "switch", "s1");
    assert_eq!(
        (&s1["state"], &s1["openflow"], &s1["dpid"]),
        (&json!("ready"), &json!("1.3"), &json!("0x1"))
    );
    assert_eq!(s1["address"], "127.0.0.1");
    assert!(s1["echo_ms"].as_f64().unwrap() > 0.0);
    assert!(s1["counters"]["packet_ins"].as_u64().unwrap() > 0);
    let text = c.text(&["switches"]);
    assert!(text.starts_with("SWITCH") && text.contains("ready"), "{text}");

    let ports = c.json(&["ports", "s1"]);
    assert!(rows(&ports, "ports").iter().all(|port| port["switch"] == "s1"));
    let link = find(&ports, "ports", "port", "s1/24");
    assert_eq!((&link["role"], &link["peer"]), (&json!("link"), &json!("s2/24")));
    let edge = find(&ports, "ports", "port", "s1/2");
    assert_eq!((&edge["role"], &edge["slices"]), (&json!("edge"), &json!(["guests"])));
    assert!(c.text(&["ports"]).contains("link to s1/24"));

    let hosts = c.json(&["hosts", "--slice", "lab"]);
    let names: Vec<_> = rows(&hosts, "hosts").iter().map(|host| &host["host"]).collect();
    assert_eq!(names, ["alice", "bob"]);
    assert_eq!(rows(&hosts, "hosts")[1]["at"], "s2/1");
    let behind = c.json(&["hosts", "--switch", "0x2"]);
    assert!(rows(&behind, "hosts").iter().all(|host| host["switch"] == "s2"));
    assert!(c.text(&["hosts"]).contains("alice"));

    let slices = c.json(&["slices"]);
    let lab = find(&slices, "slices", "slice", "lab");
    assert_eq!((&lab["hosts"], &lab["restrict_hosts"]), (&json!(2), &json!(false)));
    assert_eq!(lab["members"][1]["binds"], "bob (00:00:00:00:00:02)");
    assert_eq!(find(&slices, "slices", "slice", "guests")["restrict_hosts"], true);
    assert!(c.text(&["slices"]).contains("Teaching lab"));

    let stats = c.json(&["stats"]);
    assert_eq!(rows(&stats, "switches").len(), 2);
    let sum: u64 =
        rows(&stats, "switches").iter().map(|row| row["flow_mods"].as_u64().unwrap()).sum();
    assert_eq!(stats["total"]["flow_mods"], sum);
    assert!(rows(&stats, "switches")[0]["per_second"]["packet_ins"].is_number());
    assert!(stats["levels"]["paths"].as_u64().unwrap() > 2);
    assert!(c.text(&["stats", "--interval", "0"]).contains("total"));

    let topology = c.json(&["topology"]);
    assert_eq!(topology["links"], json!([{"from": "s1/24", "to": "s2/24", "both_ways": true}]));
    assert!(c.text(&["topology", "--format", "csv"]).contains("\ns1,24,s2,24,link\n"));
    assert!(c.text(&["topology", "--format", "dot"]).contains("\"s1\" -- \"s2\""));
    assert!(c.text(&["topology", "--format", "mermaid"]).contains("s0 ---|\"24 : 24\"| s1"));
    assert!(c.text(&["topology"]).contains("s1/24  <->  s2/24"));

    let events: Vec<Value> = c
        .text(&["events", "--json"])
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert_eq!((kinds("switch-ready"), kinds("link-up")), (2, 2));
    // She may have spoken before her port was settled, which is told, too.
    let located = |event: &&Value| event["event"] == "host-located" && event["host"] == "alice";
    let alice = events.iter().find(located).unwrap();
    assert_eq!((&alice["slice"], &alice["at"]), (&json!("lab"), &json!("s1/1")));
    let only = c.text(&["events", "--kind", "host-refused"]);
    assert!(
        only.lines().all(|line| line.contains("host-refused")) && only.contains("eve"),
        "{only}"
    );

    let unknown = c.run(&["events", "--kind", "link-upp"]);
    let told = String::from_utf8_lossy(&unknown.stderr);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        told.contains("host-moved") && told.contains("similar value exists: 'link-up'"),
        "{told}"
    );
    // Each kind that the page names is one, and there are no others.
    let page = include_str!("../../../docs/asking.md");
    let (_, list) = page.split_once("The kinds: ").expect("the kinds of events");
    let (list, _) = list.split_once(".\n").expect("the end of a paragraph");
    let named: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    let mut known = umlaut::control::events::KINDS.to_vec();
    known.sort_unstable_by_key(|kind| named.iter().position(|name| name == kind));
    assert_eq!(named, known);
    assert!(c.text(&["stats", "--interval", "0"]).contains("REPAIRED"));

    c.text(&["log", "debug"]);
    let wrong = c.run(&["log", "umlaut=loud"]);
    assert_eq!(wrong.status.code(), Some(1));
    for (args, why) in [
        (["hosts", "--slice", "none"], "none: no slice of the policy"),
        (["flows", "--host", "nobody"], "nobody: no host of the policy, no MAC address"),
        (["hosts", "--switch", "s7"], "s7: no switch of the policy, no datapath id"),
    ] {
        let output = c.run(&args);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains(why), "{output:?}");
    }
}

//! `umlaut explain --live`: the decision of the running controller, and what the switches do now.

use serde_json::{Value, json};

use crate::controller::{Client, Controller, rows};

/// Asks until the entries that the frame meets are of these kinds.
fn until_met(controller: &Controller, args: &[&str], whose: &[&str]) -> Value {
    controller.until(args, |told| {
        let met = rows(&told["live"], "entries").iter().map(|met| met["whose"].clone());
        met.eq(whose.iter().map(|whose| json!(whose)))
    })
}

#[test]
fn the_running_controller_says_what_becomes_of_a_frame_and_what_carries_it_now() {
    let controller = Controller::start(true);
    let c = &controller;

    c.until(&["hosts", "--slice", "lab"], |hosts| rows(hosts, "hosts").len() == 2);
    // Where the sender is need not be said: it has been seen.
    let told = until_met(c, &["explain", "--live", "--src", "alice", "--dst", "bob"], &["path"; 2]);
    assert_eq!((&told["verdict"], &told["outputs"]), (&json!("forward"), &json!(["s2/1"])));
    let live = &told["live"];
    assert_eq!(live["outcome"], "delivered at s2/1, untagged");
    assert_eq!((&live["agrees"], &live["remark"]), (&json!(true), &Value::Null));
    let hosts: Vec<_> =
        rows(live, "hosts").iter().map(|host| (&host["slice"], &host["at"])).collect();
    assert_eq!(hosts, [(&json!("lab"), &json!("s1/1")), (&json!("lab"), &json!("s2/1"))]);
    // What the switches have is what is told to be installed, cookies apart.
    let planned = rows(&told["becomes"], "entries").iter().map(|entry| &entry["flow"]);
    for (planned, met) in planned.zip(rows(live, "entries")) {
        let has = met["flow"].as_str().unwrap().split_once(',').unwrap().1;
        assert_eq!(planned.as_str().unwrap().replace("send_flow_rem,", ""), has);
        assert!(met["packets"].is_u64() && met["bytes"].is_u64(), "{met}");
    }
    // The decision's lines are those of the policy in force.
    let answer = |question: &str| {
        let questions = rows(&told, "questions");
        questions.iter().find(|asked| asked["question"] == question).unwrap().clone()
    };
    assert_eq!(answer("is the source MAC bound to a slice?")["line"]["line"], 12);

    // A refused host: the drop entry, and the edits that would admit it, tried on the live network.
    let eve = ["explain", "--live", "--in", "s1/3", "--src", "eve", "--dst", "alice"];
    let eves = c.until(&eve, |told| {
        told["port"] == "edge" && !rows(&told["live"]["hosts"][0], "refused").is_empty()
    });
    assert_eq!(eves["reason"], "no-binding");
    let first = &eves["cure"]["remedies"][0];
    assert_eq!((&first["then"], &first["delivered"]), (&json!("FORWARD to s1/1"), &json!(true)));
    assert_eq!(eves["live"]["agrees"], true);

    // The same frame in bytes.
    let bytes = "000000000002 000000000001 0800 4500001c00000000 40110000 c0a80001 c0a80002";
    let told = c.json(&["explain", "--live", "--in", "s1/1", "--frame", bytes]);
    assert_eq!(told["verdict"], "forward");
    let text = c.text(&["explain", "--live", "--in", "s1/1", "--frame", bytes]);
    assert!(text.contains("now: delivered at s2/1, untagged; as decided"), "{text}");
    assert!(text.contains("s1 has (path, "), "{text}");

    let wrong = c.run(&["explain", "--live", "--src", "alise"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("did you mean alice?"));
    let unseen = c.run(&["explain", "--live", "--src", "00:00:00:00:00:77"]);
    let says = "00:00:00:00:00:77: no host was admitted with this address; say where";
    assert!(String::from_utf8_lossy(&unseen.stderr).contains(says), "{unseen:?}");
    // She has spoken, and was refused.
    let refused = c.run(&["explain", "--live", "--src", "eve"]);
    let says = "no host was admitted with this address; refused at s1/3 (no-binding); say where";
    assert!(String::from_utf8_lossy(&refused.stderr).contains(says), "{refused:?}");
    assert_eq!(eves["live"]["hosts"][0]["refused"], json!(["s1/3 (no-binding)"]));
    let text = c.text(&eve);
    assert!(text.contains("with this address; refused at s1/3 (no-binding)\n"), "{text}");

    let mut client = Client::connect(&c.socket());
    client.send(br#"{"umlaut":1,"ask":"explain","in":"s1/1","src":"alice","dst":"carol"}"#);
    let row = client.line().unwrap();
    assert_eq!(row["rows"][0]["ingress"], "s1/1", "{row:#}");
    assert_eq!(client.line().unwrap(), json!({"umlaut": 1, "end": {}}));
    client.send(br#"{"umlaut":1,"ask":"explain","in":"s1/1","frame":"0g"}"#);
    assert_eq!(client.line().unwrap()["error"]["code"], "bad-frame");
    client.send(br#"{"umlaut":1,"ask":"explain","in":"s1/1","frame":"ffff"}"#);
    assert_eq!(client.line().unwrap()["error"]["text"], "2 bytes are no Ethernet frame");
}

#[test]
fn a_network_that_is_not_connected_is_said_to_be_so() {
    let controller = Controller::start(false);
    let mut client = Client::connect(&controller.socket());
    // Nobody is connected: the frame is decided all the same, and no switch tells its flows.
    client.send(br#"{"umlaut":1,"ask":"explain","in":"s1/1","src":"alice"}"#);
    let row = client.line().unwrap()["rows"][0].clone();
    assert_eq!(row["port"], "missing");
    assert_eq!(row["live"]["outcome"], "not followed: s1 does not tell its flows");
}

//! The socket and its protocol: who may connect, how many, what else they may send.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::time::Instant;

use serde_json::json;

use crate::controller::{Client, Controller, PATIENCE, find, rows};

#[test]
fn followers_are_told_what_happens() {
    let mut controller = Controller::start(false);
    let mut client = Client::connect(&controller.socket());
    client.send(br#"{"umlaut":1,"ask":"events","follow":true}"#);
    let listening = controller.listening();
    for number in 0..3 {
        // Somebody who is no switch, and gone at once.
        drop(TcpStream::connect(listening).unwrap());
        let line = client.line().expect("the answer goes on");
        let events = rows(&line, "rows");
        assert_eq!(events.len(), 1);
        assert_eq!(events[0]["event"], "connection-refused", "{line}");
        assert_eq!(events[0]["number"], number, "none is told twice");
    }
    // A further question ends the following.
    client.send(br#"{"umlaut":1,"ask":"controller"}"#);
    assert_eq!(client.line().unwrap(), json!({"umlaut": 1, "end": {}}));
    let about = client.line().unwrap();
    assert_eq!(about["rows"][0]["pid"], controller.child.id());
    assert_eq!(about["rows"][0]["applications"], json!(["SliceableSwitch"]));
    controller.terminate();
}

#[test]
fn the_socket_is_for_its_owner_and_lives_as_long_as_the_controller() {
    let mut controller = Controller::start(false);
    let path = controller.socket();
    let mode = std::fs::symlink_metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let second = Controller::command(controller.directory.path()).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let told = String::from_utf8_lossy(&second.stderr);
    assert!(told.contains("is in use: another controller runs there"), "{told}");
    assert!(controller.run(&["switches"]).status.success(), "the first is not disturbed");

    let switches = controller.json(&["switches"]);
    assert_eq!(find(&switches, "switches", "switch", "s2")["state"], "absent");

    controller.terminate();
    assert!(!path.exists());
    let nobody = controller.run(&["switches"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("no controller runs there"));
}

#[test]
fn the_socket_of_a_dead_controller_is_replaced() {
    let mut controller = Controller::start(false);
    controller.child.kill().unwrap();
    controller.child.wait().unwrap();
    assert!(controller.socket().exists(), "nobody removed it");
    let directory = std::mem::replace(&mut controller.directory, tempfile::tempdir().unwrap());
    let mut next = Controller::command(directory.path()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while UnixStream::connect(directory.path().join("u.sock")).is_err() {
        assert!(Instant::now() < deadline, "the stale socket is replaced");
        std::thread::yield_now();
    }
    next.kill().unwrap();
    next.wait().unwrap();
}

#[test]
fn garbage_and_endless_lines_are_refused_and_harm_nobody() {
    let controller = Controller::start(false);
    let mut client = Client::connect(&controller.socket());
    for garbage in [&b"\x00\xff\xfe"[..], b"[]", b"{\"umlaut\":1}", b"GET / HTTP/1.1"] {
        client.send(garbage);
        assert_eq!(client.line().unwrap()["error"]["code"], "not-a-question");
    }
    client.send(br#"{"umlaut":9,"ask":"switches"}"#);
    assert_eq!(client.line().unwrap()["error"]["code"], "version");
    // The same connection still gets answers.
    client.send(br#"{"umlaut":1,"ask":"switches"}"#);
    assert!(client.line().unwrap()["rows"].is_array());
    assert_eq!(client.line().unwrap()["end"], json!({}));
    client.send("[".repeat(10_000).as_bytes());
    assert_eq!(client.line().unwrap()["error"]["code"], "not-a-question");

    client.send(&[b'x'; 100_000]);
    assert_eq!(client.line().unwrap()["error"]["code"], "too-long");
    assert_eq!(client.line(), None, "the connection is closed");
    assert!(controller.run(&["switches"]).status.success());
}

#[test]
fn a_thousand_clients_are_served_or_turned_away() {
    let controller = Controller::start(false);
    let path = controller.socket();
    let (mut kept, mut served, mut busy) = (Vec::new(), 0, 0);
    for _ in 0..1000 {
        let mut client = Client::connect(&path);
        client.send(br#"{"umlaut":1,"ask":"controller"}"#);
        match client.line() {
            Some(line) if line["rows"].is_array() => served += 1,
            // Closing with the question unread may lose the line that says so.
            Some(line) => {
                assert_eq!(line["error"]["code"], "busy", "{line}");
                busy += 1;
            }
            None => busy += 1,
        }
        kept.push(client);
    }
    assert_eq!((served, busy), (umlaut::control::CLIENTS, 1000 - umlaut::control::CLIENTS));
    drop(kept);
    let deadline = Instant::now() + PATIENCE;
    while !controller.run(&["switches"]).status.success() {
        assert!(Instant::now() < deadline, "places are free again");
    }
}

#[test]
fn whoever_never_answers_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mute.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_umlaut"))
        .args(["explain", "--live", "--src", "00:00:00:00:00:01", "--socket"])
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let wanted =
        format!("umlaut: {}: whoever listens there does not answer within 5 s\n", path.display());
    assert_eq!(String::from_utf8_lossy(&output.stderr), wanted);
}

#[test]
fn what_is_not_a_controller_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        stream.write_all(b"220 mail.example.net ESMTP\r\n").unwrap();
    });
    let output = Command::new(env!("CARGO_BIN_EXE_umlaut"))
        .args(["switches", "--socket"])
        .arg(&path)
        .output()
        .unwrap();
    other.join().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a controller's answer"));
}

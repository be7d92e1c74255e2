//! `umlaut lab` as people and programs use it, on emulated switches: the real binary, with a real
//! controller where one is needed. On Open vSwitch: `test/labs-on-open-vswitch`.

mod support;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::{BINARY, Daemon, PATIENCE};
use tempfile::TempDir;

const POLICY: &str = r#"
umlaut: 1
switches: {s1: 0x1, s2: 0x2}
hosts:
  alice: {mac: "00:00:00:00:00:01", ip: 192.168.0.1, at: s1/1}
  bob: {mac: "00:00:00:00:00:02", ip: 192.168.0.2, at: s2/1}
  carol: {mac: "00:00:00:00:00:03", ip: 192.168.0.3, at: s2/2}
  dave: {mac: "00:00:00:00:00:04", ip: 192.168.0.4}
  plain: {mac: "00:00:00:00:00:05", at: s1/2}
  eric: {mac: "00:00:00:00:00:06", ip: 192.168.0.6, at: s1/3, vlan: 20}
slices:
  lab: {members: [{port: s1/1}, {port: s2/1}, {port: s1/7}, {port: s1/2}, {port: s1/3, vlan: 20}]}
  guests: {members: [{port: s2/2}]}
links: [[s1/24, s2/24]]
"#;

/// A directory of labs and a policy file in it. Dropped: all labs are down.
struct Labs(TempDir);

impl Labs {
    fn new() -> Labs {
        let labs = Labs(tempfile::tempdir().unwrap());
        labs.write("policy.yaml", POLICY);
        labs
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn policy(&self) -> String {
        self.0.path().join("policy.yaml").display().to_string()
    }

    /// A command that finds no Open vSwitch: what other labs have left in this machine's is no matter
    /// of these, neither to tell of nor to remove.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("lab").args(args).env("UMLAUT_LAB_DIR", self.0.path().join("labs"));
        command.env_remove("UMLAUT_LAB").env("PATH", self.0.path().join("no-programs"));
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command that must succeed; what it prints.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail with exit code 1; what it complains of.
    fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {told}");
        told
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    /// Packets that a host has received by this protocol.
    fn received(&self, host: &str, protocol: &str) -> u64 {
        let stats = self.json(&["show-stats", host, "--json"]);
        let rows = stats[0]["received"].as_array().unwrap();
        let rows = rows.iter().filter(|row| row["protocol"] == protocol);
        rows.map(|row| row["packets"].as_u64().unwrap()).sum()
    }

    /// The files of a lab.
    fn traces(&self, lab: &str) -> Vec<String> {
        let files = std::fs::read_dir(self.0.path().join("labs")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(&format!("{lab}."))).collect()
    }

    fn pid(&self, lab: &str) -> i32 {
        self.json(&["status", "--name", lab, "--json"])["pid"].as_i64().unwrap() as i32
    }
}

impl Drop for Labs {
    fn drop(&mut self) {
        let _ = self.command(&["killall"]).output();
    }
}

/// Waits until something holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

/// A controller for the labs, under their policy.
fn controller(labs: &Labs) -> (Daemon, String) {
    let mut daemon =
        Daemon::start(&["--listen", "127.0.0.1:0", "--no-socket", labs.policy().as_str()]);
    let address = format!("tcp:{}", daemon.listening());
    (daemon, address)
}

/// An address at which nobody listens.
const NOBODY: &str = "tcp:127.0.0.1:1";
/// Another.
const NOBODY_ELSE: &str = "tcp:127.0.0.1:2";

#[test]
fn hosts_send_to_each_other_under_a_controller_and_count_what_arrives() {
    let labs = Labs::new();
    let (mut daemon, address) = controller(&labs);
    let told = labs.ok(&["up", "--controller", &address, &labs.policy()]);
    assert!(told.contains("on emulated: 2 switches, 6 hosts, 1 link\n"), "{told}");
    assert!(told.contains(&format!("controller {address}, OpenFlow 1.3: connected\n")), "{told}");
    daemon.told("topology settled");

    // Known to the controller from now on; a broadcast reaches the slice and nobody else.
    let sent = labs.ok(&["send-packets", "-s", "bob", "--broadcast"]);
    assert_eq!(sent, "1 frame sent from bob to everybody\n");
    until("the broadcast", || labs.received("alice", "udp") == 1);
    assert_eq!(labs.received("carol", "udp"), 0);

    labs.ok(&["reset-stats"]);
    let args = ["-s", "alice", "-d", "bob", "-n", "6", "--tp-src", "7", "--tp-dst", "9"];
    let counted = ["--inc-tp-dst", "3", "--inc-ip-src", "2", "--length", "30"];
    let sent = labs.ok(&[&["send-packets"], &args[..], &counted[..]].concat());
    assert_eq!(sent, "6 frames sent from alice to bob\n");
    until("six datagrams", || labs.received("bob", "udp") == 6);
    let stats = labs.json(&["show-stats", "--json", "alice", "bob"]);
    for (host, direction) in [(0, "sent"), (1, "received")] {
        let rows = stats[host][direction].as_array().unwrap();
        let rows = rows.iter().filter(|row| row["protocol"] == "udp").map(|row| {
            assert_eq!((&row["dst"], &row["tp_src"]), (&"192.168.0.2".into(), &7.into()));
            let count = (row["packets"].as_u64(), row["bytes"].as_u64());
            assert_eq!(count, (Some(1), Some(58)));
            (row["src"].as_str().unwrap().to_owned(), row["tp_dst"].as_u64().unwrap())
        });
        let mut rows: Vec<(String, u64)> = rows.collect();
        rows.sort();
        let wanted = |ip: &str| [9, 10, 11].map(|port| (ip.to_owned(), port));
        assert_eq!(rows, [wanted("192.168.0.1"), wanted("192.168.0.2")].concat(), "{direction}");
    }
    let shown = labs.ok(&["show-stats", "bob", "--rx"]);
    assert!(shown.contains("bob   received  udp       192.168.0.1:7  192.168.0.2:9"), "{shown}");
    assert_eq!(labs.ok(&["show-stats", "bob", "--tx"]), "nothing yet\n");
    assert_eq!(labs.received("carol", "udp"), 0, "another slice");

    // The other kinds; bob answers an echo, as real hosts do.
    for (kind, protocol) in
        [("--tcp", "tcp"), ("--icmp", "icmp"), ("--arp", "arp"), ("--udp", "udp")]
    {
        labs.ok(&["reset-stats", "bob"]);
        labs.ok(&["send-packets", "-s", "alice", "-d", "bob", kind]);
        until(kind, || labs.received("bob", protocol) == 1);
    }
    until("the echo's reply", || labs.received("alice", "icmp") == 1);
    // Over VLANs, from a host that has one, and from one without an address to one without.
    labs.ok(&["send-packets", "-s", "eric", "-d", "bob"]);
    until("a datagram out of a VLAN", || labs.received("bob", "udp") == 2);
    labs.ok(&["send-packets", "-s", "alice", "-d", "plain"]);
    until("a frame without IP", || labs.received("plain", "0x88b5") == 1);
    labs.ok(&["reset-stats", "bob"]);
    labs.ok(&["send-packets", "-s", "eric", "-d", "bob", "--vlan", "0"]);
    labs.ok(&["send-packets", "-s", "eric", "-d", "bob", "--tcp"]);
    until("the marker behind it", || labs.received("bob", "tcp") == 1);
    assert_eq!(labs.received("bob", "udp"), 0, "eric's port has no untagged member");

    // A member of the slice that has not spoken is flooded to: others of the slice see that.
    labs.ok(&["promiscuous", "bob"]);
    labs.ok(&["send-packets", "-s", "alice", "-d", "dave"]);
    until("a datagram for somebody else", || labs.received("bob", "udp") == 1);
    labs.ok(&["promiscuous", "bob", "--off"]);

    let flows = labs.json(&["dump-flows", "s1", "--json"]);
    let lines: Vec<&str> =
        flows[0]["flows"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let path = lines.iter().find(|line| line.contains("dl_dst=00:00:00:00:00:02"));
    assert!(path.is_some_and(|line| line.contains("actions=output:24")), "{lines:?}");
    let both = labs.ok(&["dump-flows"]);
    assert!(both.contains("s1:\n  cookie=") && both.contains("s2:\n  cookie="), "{both}");
}

#[test]
fn the_network_changes_as_it_is_told_to() {
    let labs = Labs::new();
    let (mut daemon, address) = controller(&labs);
    labs.ok(&["up", "--controller", &address, "--openflow", "1.0", &labs.policy()]);
    daemon.told("topology settled");
    let state = |path: &str| labs.json(&["status", "--json"]).pointer(path).cloned().unwrap();
    let alice_to_bob = |what: &str, arrives: bool| {
        labs.ok(&["reset-stats"]);
        labs.ok(&["send-packets", "-s", "bob", "-d", "alice"]);
        match arrives {
            // A datagram may be lost until the controller knows of what has changed.
            true => until(what, || {
                labs.ok(&["send-packets", "-s", "alice", "-d", "bob"]);
                labs.received("bob", "udp") > 0
            }),
            false => {
                labs.ok(&["send-packets", "-s", "alice", "-d", "bob"]);
                assert_eq!(labs.received("bob", "udp"), 0, "{what}");
            }
        }
    };
    alice_to_bob("at first", true);

    labs.ok(&["link-down", "s2-s1"]);
    daemon.told("link down");
    assert_eq!(state("/links/0"), serde_json::json!({"name": "s1/24-s2/24", "up": false}));
    alice_to_bob("without the link", false);
    labs.ok(&["link-up", "s1/24-s2/24"]);
    daemon.told("link up");
    alice_to_bob("with it", true);

    labs.ok(&["port-down", "s2/1"]);
    assert_eq!(state("/ports_down/0"), "s2/1");
    let shown = labs.ok(&["status"]);
    assert!(shown.ends_with("\nports down: s2/1\n"), "{shown}");
    alice_to_bob("without bob's port", false);
    labs.ok(&["port-up", "s2", "1"]);
    alice_to_bob("with it", true);

    labs.ok(&["reset-stats"]);
    labs.ok(&["stop", "bob"]);
    assert_eq!(state("/hosts/1/state"), "stopped");
    labs.ok(&["send-packets", "-s", "alice", "-d", "bob"]);
    assert_eq!(labs.received("bob", "udp"), 0, "bob is off");
    let told = labs.fails(&["send-packets", "-s", "bob", "-d", "alice", "-n", "2"]);
    assert_eq!(told, "umlaut: bob is stopped: start bob\n");
    assert_eq!(labs.ok(&["show-stats", "bob", "--tx"]), "nothing yet\n");
    let told = labs.fails(&["stop", "bob"]);
    assert!(told.contains("bob is stopped already"), "{told}");
    // Off, with its cable moved about: it stays off.
    labs.ok(&["move", "bob", "s2/7"]);
    assert_eq!((state("/hosts/1/state"), state("/hosts/1/at")), ("stopped".into(), "s2/7".into()));
    labs.ok(&["move", "bob", "s2/1"]);
    labs.ok(&["start", "bob"]);
    assert_eq!(state("/hosts/1/state"), "running");
    alice_to_bob("bob is on", true);

    // A cable that is out is no host that is off: it sends into it.
    labs.ok(&["link-down", "bob-s2"]);
    assert_eq!(state("/hosts/1/state"), "link down");
    alice_to_bob("bob's cable is out", false);
    labs.ok(&["stop", "bob"]);
    labs.ok(&["link-up", "bob-s2"]);
    assert_eq!(state("/hosts/1/state"), "stopped");
    labs.ok(&["link-down", "bob-s2"]);
    labs.ok(&["start", "bob"]);
    assert_eq!(state("/hosts/1/state"), "link down");
    labs.ok(&["move", "bob", "s2/1"]);
    assert_eq!(state("/hosts/1/state"), "running");
    alice_to_bob("bob is plugged in", true);

    // A switch forgets its entries, and is connected again.
    labs.ok(&["stop", "s2"]);
    daemon.told("switch gone");
    assert_eq!(state("/switches/1/state"), "stopped");
    let told = labs.fails(&["dump-flows", "s2"]);
    assert!(told.contains("s2 is off"), "{told}");
    assert!(labs.fails(&["link-up", "s1-s2"]).contains("s2 is off"));
    labs.ok(&["start", "s2"]);
    daemon.told("switch ready");
    alice_to_bob("the switch is back", true);

    // A host that was plugged into nothing, where the policy has a member without a host.
    assert_eq!(state("/hosts/3/state"), "unplugged");
    labs.ok(&["move", "dave", "s1/7"]);
    assert_eq!(state("/hosts/3/at"), "s1/7");
    until("dave is in the slice", || {
        labs.ok(&["send-packets", "-s", "dave", "-d", "bob", "--tcp"]);
        labs.received("bob", "tcp") > 0
    });
    // Another slice's port, once its own is empty.
    labs.ok(&["move", "carol", "s2/9"]);
    labs.ok(&["move", "alice", "s2/2"]);
    alice_to_bob("alice is a guest now", false);
}

#[test]
fn what_there_is_not_is_told_with_what_there_is() {
    let labs = Labs::new();
    let told = labs.fails(&["status"]);
    assert!(told.contains("no lab runs: umlaut lab up FILE"), "{told}");
    assert_eq!(labs.ok(&["list"]), "no lab runs\n");
    let up = labs.ok(&["up", "--controller", NOBODY, &labs.policy()]);
    assert!(up.contains("0 of 2 switches are connected; the others keep trying"), "{up}");
    let rows: &[(&[&str], &str)] = &[
        (
            &["send-packets", "-s", "alcie", "-d", "bob"],
            "there is no host alcie; did you mean alice? (known: alice, bob, carol, dave, plain, eric)",
        ),
        (&["send-packets", "-s", "alice", "-d", "s1"], "there is no host s1"),
        (&["send-packets", "-s", "plain", "-d", "bob", "--tcp"], "plain has no IP address"),
        (&["show-stats", "bod"], "did you mean bob?"),
        (&["reset-stats", "bod"], "did you mean bob?"),
        (&["promiscuous", "bod"], "did you mean bob?"),
        (&["dump-flows", "s3"], "there is no switch s3; did you mean s1? (known: s1, s2)"),
        (&["port-down", "s1/9"], "there is no port s1/9; did you mean s1/1? (known: s1/1, s1/2"),
        (&["port-up", "s9", "1"], "there is no switch s9"),
        (&["link-down", "s1-s3"], "there is no link s1-s3 (known: s1/24-s2/24, alice-s1/1"),
        (&["stop", "nobody"], "there is no switch or host nobody (known: s1, s2, alice"),
        (&["move", "alice", "s2/1"], "s2/1 is taken: bob is there"),
        (&["move", "alice", "s2/24"], "s2/24 is taken: the link s1/24-s2/24 is there"),
        (&["netns", "alice", "true"], "alice is an emulated host, which has no network namespace"),
        (&["status", "--name", "lap"], "there is no running lab lap; did you mean lab?"),
        (&["down", "--name", "lap"], "there is no running lab lap; did you mean lab?"),
    ];
    for (args, wanted) in rows {
        let told = labs.fails(args);
        assert!(told.contains(wanted), "{args:?}: {told}");
    }
    let ways: &[(&[&str], &str)] = &[
        (&["port-down", "s1"], "\"s1\" is not SWITCH/PORT"),
        (&["port-down", "s1", "x"], "\"x\" is not the number of a port"),
        (&["port-up", "s1/0"], "\"0\" is not the number of a port"),
        (&["move", "alice", "s2"], "\"s2\" is not SWITCH/PORT"),
        (&["move", "alice", "s2/x"], "\"x\" is not the number of a port"),
        (&["send-packets", "-s", "alice", "-d", "bob", "--length", "1441"], "1441 is not in"),
        (&["send-packets", "-s", "alice", "-d", "alice"], "alice cannot send to itself"),
        (&["send-packets", "-s", "alice", "-d", "bob", "--arp", "--tp-dst", "3"], "'--arp'"),
        (&["send-packets", "-s", "alice", "-d", "bob", "--arp", "--length", "3"], "'--arp'"),
        (&["send-packets", "-s", "alice", "-d", "bob", "--icmp", "--tp-dst", "3"], "'--icmp'"),
        (&["send-packets", "-s", "alice", "--broadcast", "--inc-ip-dst", "3"], "'--broadcast'"),
    ];
    for (args, wanted) in ways {
        let output = labs.run(args);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {told}");
        assert!(told.contains(wanted), "{args:?}: {told}");
    }
    let usage: &[&[&str]] = &[
        &["send-packets", "-s", "alice"],
        &["send-packets", "-s", "alice", "-d", "bob", "--tcp", "--udp"],
        &["send-packets", "-s", "alice", "-d", "bob", "-n", "1", "--duration", "1"],
        &["send-packets", "-s", "alice", "-d", "bob", "--pps", "0"],
        &["send-packets", "-s", "alice", "-d", "bob", "--vlan", "4095"],
        &["up", "--on", "paper", "x.yaml"],
        &["up", "--controller", "ssl:127.0.0.1:1", "x.yaml"],
        &["up", "--name", "Much-too-long", "x.yaml"],
        &["status", "--name", "a-b"],
    ];
    for args in usage {
        assert_eq!(labs.run(args).status.code(), Some(2), "{args:?}");
    }
    // Mistakes of the policy are told as by `check`, and nothing is brought up.
    let bad = labs.write("bad.yaml", "umlaut: 1\nslices: {a: {members: [{port: s9/1}]}}\n");
    let output = labs.run(&["up", "--name", "bad", bad.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("unknown-switch"));
    // As are two cables for one port, and what only Open vSwitch can do.
    let crowd = POLICY.replace("at: s2/2}", "at: s2/1}");
    let crowd = labs.write("crowd.yaml", &crowd);
    let told = labs.fails(&["up", "--name", "bad", crowd.to_str().unwrap()]);
    assert!(told.contains("s2/1: both host bob and host carol are there"), "{told}");
    let uplink = POLICY.replace("links: [", "links: [[{interface: eth9}, s1/9], ");
    let uplink = labs.write("uplink.yaml", &uplink);
    let told = labs.fails(&["up", "--name", "bad", uplink.to_str().unwrap()]);
    assert!(told.contains("s1/9 is linked to the interface eth9 of this machine"), "{told}");
    assert_eq!(labs.traces("bad"), [""; 0], "what failed leaves nothing");
    let labs_that_run = labs.json(&["list", "--json"]);
    assert_eq!(labs_that_run.as_array().unwrap().len(), 1);
    assert_eq!(labs.ok(&["down"]), "lab lab is down\n");
}

#[test]
fn several_labs_run_at_once_and_a_killed_one_leaves_nothing_in_the_way() {
    let labs = Labs::new();
    let policy = labs.policy();
    labs.ok(&["up", "--controller", NOBODY, &policy]);
    // Two switches of one datapath id at one controller would take it from each other.
    let told = labs.fails(&["up", "--controller", NOBODY, "--name", "other", &policy]);
    let wanted = format!(
        "lab lab has a switch with the datapath id of s1 (0x1) at the same controller, {NOBODY}"
    );
    assert!(told.contains(&wanted), "{told}");
    assert_eq!(labs.traces("other"), [""; 0], "what failed leaves nothing");
    let apart = labs.write("apart.yaml", &POLICY.replace("s1: 0x1, s2: 0x2", "s1: 0x3, s2: 0x4"));
    labs.ok(&["up", "--controller", NOBODY, "--name", "other", apart.to_str().unwrap()]);
    assert_eq!(labs.ok(&["down", "--name", "other"]), "lab other is down\n");
    labs.ok(&["up", "--controller", NOBODY_ELSE, "--name", "other", &policy]);
    let told = labs.fails(&["up", "--controller", NOBODY_ELSE, "--name", "other", &policy]);
    assert!(told.contains("lab other runs already"), "{told}");
    let list = labs.json(&["list", "--json"]);
    let names: Vec<&str> =
        list.as_array().unwrap().iter().map(|lab| lab["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["lab", "other"]);
    let shown = labs.ok(&["list"]);
    assert!(shown.starts_with("LAB    GROUND    CONTROLLER"), "{shown}");

    // What one counts, the other does not know of.
    labs.ok(&["send-packets", "-s", "alice", "-d", "bob", "-n", "3"]);
    let sent = |lab: &str| {
        let stats = labs.json(&["show-stats", "--name", lab, "--json", "alice"]);
        stats[0]["sent"].as_array().unwrap().len()
    };
    assert_eq!((sent("lab"), sent("other")), (1, 0));

    let pid = labs.pid("other");
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    until("its end", || has_ended(pid));
    assert_eq!(labs.json(&["list", "--json"]).as_array().unwrap().len(), 1);
    assert!(labs.fails(&["status", "--name", "other"]).contains("there is no running lab other"));
    labs.ok(&["up", "--controller", NOBODY_ELSE, "--name", "other", &policy]);
    assert_ne!(labs.pid("other"), pid);

    // A dead one can be put away as well.
    let pid = labs.pid("other");
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    until("its end", || has_ended(pid));
    let told = labs.ok(&["down", "--name", "other"]);
    assert!(told.starts_with("lab other had died; 0 bridges"), "{told}");
    assert!(labs.fails(&["down", "--name", "other"]).contains("there is no running lab other"));

    labs.ok(&["up", "--controller", NOBODY_ELSE, "--name", "third", &policy]);
    let told = labs.fails(&["down", "--name", "third", "other.yaml"]);
    assert!(told.contains("lab third is of "), "{told}");
    assert_eq!(labs.ok(&["down", "--name", "third", &policy]), "lab third is down\n");
    labs.ok(&["up", "--controller", NOBODY_ELSE, "--name", "third", &policy]);
    let told = labs.ok(&["down", "--all"]);
    assert_eq!(told, "lab lab is down\nlab third is down\n");
    assert_eq!(labs.ok(&["killall"]), "");
}

/// Whether a process has ended with all its threads, of which the last closes its files. It may
/// still wait to be reaped by whoever adopted it.
fn has_ended(pid: i32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let is_zombie = stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
    threads == 0 || threads == 1 && is_zombie
}

#[test]
fn a_lab_that_serves_as_many_as_it_can_is_busy_and_not_dead() {
    let labs = Labs::new();
    labs.ok(&["up", "--controller", NOBODY, &labs.policy()]);
    let pid = labs.pid("lab");
    let socket = labs.0.path().join("labs/lab.sock");
    let clients: Vec<UnixStream> = (0..32).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let told = "the lab serves 32 commands at once, and no more";
    until("a lab that is busy", || labs.ok(&["list"]).contains("busy"));
    assert!(labs.fails(&["down"]).contains(told));
    assert!(labs.fails(&["down", &labs.policy()]).contains(told));
    // It runs all the same.
    let up = labs.fails(&["up", "--controller", NOBODY, &labs.policy()]);
    assert!(up.contains("lab lab runs already"), "{up}");
    drop(clients);
    until("a lab that serves", || labs.run(&["status"]).status.success());
    assert_eq!(labs.pid("lab"), pid);
    labs.ok(&["down"]);
}

#[test]
fn a_lab_that_does_not_answer_is_told_and_brought_down_all_the_same() {
    let labs = Labs::new();
    labs.ok(&["up", "--controller", NOBODY, &labs.policy()]);
    labs.ok(&["up", "--controller", NOBODY_ELSE, "--name", "other", &labs.policy()]);
    let pid = labs.pid("other");
    kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();

    // The others are told all the same.
    let shown = labs.ok(&["list"]);
    assert!(shown.contains("\nlab  emulated  tcp:127.0.0.1:1 "), "{shown}");
    assert!(shown.ends_with("\nlab other does not answer\n"), "{shown}");
    let list = labs.json(&["list", "--json"]);
    assert_eq!((&list[0]["name"], &list[0]["state"]), (&"lab".into(), &"running".into()));
    assert_eq!(list[1], serde_json::json!({"name": "other", "state": "does not answer"}));
    let told = labs.fails(&["status", "--name", "other"]);
    let wanted = "lab other does not answer within 5 s: umlaut lab down --name other ends it";
    assert!(told.contains(wanted), "{told}");
    // Whose it is cannot be asked.
    assert!(labs.fails(&["down", "--name", "other", &labs.policy()]).contains(wanted));

    let told = labs.ok(&["down", "--all"]);
    assert!(told.contains("lab other did not answer and was killed; 0 bridges"), "{told}");
    assert!(told.contains("lab lab is down\n"), "{told}");
    assert!(has_ended(pid));
    assert_eq!(labs.ok(&["list"]), "no lab runs\n");
}

#[test]
fn a_lab_that_does_not_answer_is_asked_to_end_before_it_is_killed() {
    let labs = Labs::new();
    labs.ok(&["up", "--controller", NOBODY, &labs.policy()]);
    let pid = labs.pid("lab");
    kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    let down = labs.command(&["down"]).stdout(Stdio::piped()).spawn().unwrap();
    until("SIGTERM", || is_pending(pid, Signal::SIGTERM) || has_ended(pid));
    assert!(!has_ended(pid), "killed at once");
    // It can answer again, and ends by itself.
    kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap();
    let output = down.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !told.contains("killed"), "{told}");
    assert!(has_ended(pid));
    assert_eq!(labs.traces("lab"), [""; 0]);
}

/// Whether a signal waits for a process that is stopped (proc(5)).
fn is_pending(pid: i32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    let pending = pending.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    pending.is_some_and(|mask| mask >> (signal as i32 - 1) & 1 == 1)
}

#[test]
fn nobody_is_killed_for_a_lab_whose_process_does_more_than_keep_it() {
    let labs = Labs::new();
    let directory = labs.0.path().join("labs");
    let args = ["--lab", "emulated", "--listen", "127.0.0.1:0", "--no-socket"];
    let daemon = Daemon::start_with(
        &[&args[..], &[labs.policy().as_str()]].concat(),
        &[("UMLAUT_LAB_DIR", directory.as_os_str())],
    );
    until("the lab", || labs.run(&["status"]).status.success());
    daemon.signal(Signal::SIGSTOP);
    let told = labs.fails(&["down"]);
    daemon.signal(Signal::SIGCONT);
    let wanted = format!("lab lab does not answer; it is kept by process {} (", daemon.id());
    assert!(told.contains(&wanted), "{told}");
    assert_eq!(labs.ok(&["down"]), "lab lab is down\n");
}

/// Somebody at whom switches connect and get no answer, so that `up` waits for a while.
fn mute() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp:{}", listener.local_addr().unwrap());
    (listener, address)
}

#[test]
fn a_lab_that_is_interrupted_while_it_comes_up_leaves_nothing() {
    let labs = Labs::new();
    let (_listener, address) = mute();
    let policy = labs.policy();
    let up = ["up", "--controller", &address, &policy];
    for (more, signal, says) in [
        (None, Signal::SIGINT, true),
        (None, Signal::SIGKILL, false),
        (Some("--foreground"), Signal::SIGTERM, true),
    ] {
        let mut command = labs.command(&[&up[..], more.as_slice()].concat());
        let coming = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until("it is coming up", || labs.ok(&["list"]) == "lab lab is coming up\n");
        let list = labs.json(&["list", "--json"]);
        assert_eq!(list, serde_json::json!([{"name": "lab", "state": "coming up"}]));
        kill(Pid::from_raw(coming.id() as i32), signal).unwrap();
        let output = coming.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        if says {
            assert_eq!(output.status.code(), Some(1), "{told}");
            assert_eq!(told, "umlaut: interrupted: nothing is left of it\n");
            assert_eq!(labs.traces("lab"), [""; 0]);
        }
        until("its end", || labs.traces("lab").is_empty());
        assert_eq!(labs.ok(&["list"]), "no lab runs\n");
    }
}

#[test]
fn a_process_that_dies_while_it_brings_a_lab_up_is_told_with_what_to_do() {
    let labs = Labs::new();
    let (_listener, address) = mute();
    let mut up = labs.command(&["up", "--controller", &address, &labs.policy()]);
    let up = up.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let keeper = || {
        let text = std::fs::read(labs.0.path().join("labs/lab.note")).ok()?;
        serde_json::from_slice::<Value>(&text).ok()?["pid"].as_i64()
    };
    until("its process is known", || keeper().is_some());
    kill(Pid::from_raw(keeper().unwrap() as i32), Signal::SIGKILL).unwrap();
    let output = up.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "umlaut: the process that keeps lab lab has ended (signal: 9 (SIGKILL)) before the network \
         stood; umlaut lab down --name lab removes what it may have left\n"
    );
    let _ = labs.run(&["down"]);
    assert_eq!(labs.traces("lab"), [""; 0]);
}

#[test]
fn a_lab_of_which_nobody_can_be_told_does_not_stay() {
    let labs = Labs::new();
    for more in [None, Some("--foreground")] {
        let policy = labs.policy();
        let up = ["up", "--controller", NOBODY, policy.as_str()];
        let mut command = labs.command(&[&up[..], more.as_slice()].concat());
        command.stdout(std::fs::File::create("/dev/full").unwrap());
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("standard output: No space left on device"), "{told}");
        assert_eq!(labs.ok(&["list"]), "no lab runs\n");
    }
}

#[test]
fn a_shell_reads_commands_from_a_pipe() {
    let labs = Labs::new();
    labs.ok(&["up", "--controller", NOBODY, &labs.policy()]);
    let type_in = |text: &str| {
        let mut shell = labs.command(&["shell"]);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        shell.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = shell.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, out, told) = type_in(
        "# three frames\nsend_packets -s alice -d 'bob' --n_pkts 3\n\nshow-stats alice --tx\nquit\nfly\n",
    );
    assert_eq!((code, told.as_str()), (Some(0), ""));
    assert!(out.starts_with("3 frames sent from alice to bob\n"), "{out}");
    assert!(out.contains("192.168.0.1:1  192.168.0.2:1        3    150"), "{out}");

    // It goes on after a mistake, and ends with it.
    let (code, out, told) = type_in("stop nobody\nstop 'x\nfly\nhelp\nstatus\n");
    assert_eq!(code, Some(1));
    for wanted in
        ["no switch or host nobody", "a ' without its end", "unrecognized subcommand 'fly'"]
    {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    assert!(out.contains("Let a host send frames to another"), "{out}");
    assert!(out.contains("SWITCH  DATAPATH  STATE"), "{out}");

    let (code, out, told) = type_in("down\nstatus\n");
    assert_eq!((code, out.as_str(), told.as_str()), (Some(0), "lab lab is down\n", ""));
}

#[test]
fn sending_ends_with_the_command_and_with_the_lab() {
    let labs = Labs::new();
    labs.ok(&["up", "--controller", NOBODY, &labs.policy()]);
    let sent = || {
        let stats = labs.json(&["show-stats", "alice", "--json"]);
        stats[0]["sent"][0]["packets"].as_u64().unwrap_or(0)
    };
    let forever = ["send-packets", "-s", "alice", "-d", "bob", "--duration", "3600"];
    let mut sending = labs.command(&forever).stdout(Stdio::null()).spawn().unwrap();
    until("some frames", || sent() > 2);
    sending.kill().unwrap();
    sending.wait().unwrap();
    // While others are sent at the same pace, none of these are.
    until("the end of sending", || {
        let before = sent();
        labs.ok(&["send-packets", "-s", "alice", "-d", "bob", "-n", "20", "--tp-dst", "2"]);
        sent() == before
    });

    let mut sending = labs.command(&forever);
    let sending = sending.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let before = sent();
    until("more frames", || sent() > before + 2);
    labs.ok(&["down"]);
    let output = sending.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_lab_in_the_foreground_ends_with_a_signal() {
    let labs = Labs::new();
    let policy = labs.policy();
    let up = ["up", "--foreground", "--controller", NOBODY, policy.as_str()];
    let lab = labs.command(&up).stdout(Stdio::piped()).spawn().unwrap();
    until("the lab", || labs.run(&["status"]).status.success());
    assert_eq!(labs.pid("lab"), lab.id() as i32);
    kill(Pid::from_raw(lab.id() as i32), Signal::SIGINT).unwrap();
    let output = lab.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("until SIGINT or SIGTERM, or umlaut lab down --name lab"), "{told}");
    assert_eq!(labs.ok(&["list"]), "no lab runs\n");
}

/// The commands at the top of docs/labs.md, as a newcomer types them.
#[test]
fn the_quick_start_of_the_docs_shows_frames_that_arrive() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/labs.md")).unwrap();
    let block = page.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let mut lines = block.lines().map(|line| line.split('#').next().unwrap().trim());
    let run: Vec<&str> = lines.next().unwrap().split(' ').collect();
    let ["umlaut", "run", policy, "&"] = run[..] else { panic!("{run:?}") };
    let labs = Labs::new();
    let policy = root.join(policy).display().to_string();
    let socket = labs.0.path().join("controller").display().to_string();
    let listen = ["--listen", "127.0.0.1:0", "--socket", socket.as_str()];
    let mut daemon = Daemon::start(&[&listen[..], &[policy.as_str()]].concat());
    let address = format!("tcp:{}", daemon.listening());
    let hosts = || {
        let asked = support::umlaut(&["hosts", "--socket", socket.as_str()]);
        String::from_utf8(asked.stdout).unwrap()
    };
    let mut shown = 0;
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["umlaut", "lab", words @ ..] = &words[..] else { panic!("{line}") };
        match words {
            ["up", file] => {
                let file = root.join(file).display().to_string();
                labs.ok(&["up", "--controller", &address, &file]);
                daemon.told("topology settled");
            }
            ["show-stats", host] => {
                shown += 1;
                until(line, || labs.received(host, "udp") == 10);
                let told = labs.ok(words);
                assert!(told.contains("  10    500\n"), "{line}: {told}");
            }
            // A newcomer types the next line later than the controller has heard of bob.
            ["send-packets", "-s", host, "--broadcast", ..] => {
                labs.ok(words);
                until(line, || hosts().contains(host));
            }
            words => drop(labs.ok(words)),
        }
    }
    assert_eq!(shown, 2);
}

#[test]
fn a_run_is_refused_beside_a_lab_of_the_same_name() {
    let labs = Labs::new();
    labs.ok(&["up", "--controller", NOBODY, "--name", "beside", &labs.policy()]);
    let directory = labs.0.path().join("labs");
    let args = ["--lab", "emulated", "--listen", "127.0.0.1:0", "--no-socket", "--lab-name"];
    let run = |name: &str| {
        Daemon::start_with(
            &[&args[..], &[name, labs.policy().as_str()]].concat(),
            &[("UMLAUT_LAB_DIR", directory.as_os_str())],
        )
    };
    let (code, told) = run("beside").ended_with();
    assert_eq!(code, Some(1), "{told}");
    assert_eq!(
        told,
        "umlaut: --lab: lab beside runs already: umlaut lab down --name beside, or choose another \
         --lab-name"
    );
    // By another name, and at a controller of its own, it runs.
    run("other").told("topology settled");
    assert!(labs.ok(&["status", "--name", "beside"]).contains("on emulated"));
}

#[test]
fn the_lab_of_a_run_can_be_asked() {
    let labs = Labs::new();
    let directory = labs.0.path().join("labs");
    let mut daemon = Daemon::start_with(
        &[
            "--lab",
            "emulated",
            "--lab-name",
            "beside",
            "--listen",
            "127.0.0.1:0",
            "--no-socket",
            labs.policy().as_str(),
        ],
        &[("UMLAUT_LAB_DIR", directory.as_os_str())],
    );
    daemon.told("topology settled");
    until("the lab", || labs.run(&["status", "--name", "beside"]).status.success());
    let status = labs.json(&["status", "--name", "beside", "--json"]);
    assert_eq!((&status["name"], &status["ground"]), (&"beside".into(), &"emulated".into()));
    // The lab can go before the controller.
    assert_eq!(labs.ok(&["down", "--name", "beside"]), "lab beside is down\n");
    daemon.told("lab brought down");
    daemon.told("switch gone");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
}

//! `umlaut doctor` beside a running controller and an Open vSwitch that is a script: each thing that
//! can be wrong is named, with the command that repairs it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::controller::{Controller, find, rows};

/// An Open vSwitch whose tables are files.
struct FakeOpenVSwitch {
    directory: TempDir,
    bridges: Vec<Value>,
    controllers: Vec<Value>,
    ssl: Vec<Value>,
}

const BRIDGE: [&str; 6] =
    ["name", "datapath_id", "datapath_type", "fail_mode", "protocols", "controller"];

fn script(path: &Path, text: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

impl FakeOpenVSwitch {
    /// Two bridges, s1 and s2, in perfect order and connected to a port.
    fn in_order(port: &str) -> FakeOpenVSwitch {
        let directory = tempfile::tempdir().unwrap();
        let target = format!("tcp:127.0.0.1:{port}");
        let bridge = |n: u64| {
            let uuid = format!("c{n}");
            json!([
                format!("s{n}"),
                format!("{n:016x}"),
                "netdev",
                "secure",
                ["set", []],
                ["uuid", uuid]
            ])
        };
        let status = json!(["map", []]);
        let controller = |n: u64| json!([["uuid", format!("c{n}")], target, true, status]);
        FakeOpenVSwitch {
            directory,
            bridges: vec![bridge(1), bridge(2)],
            controllers: vec![controller(1), controller(2)],
            ssl: Vec::new(),
        }
    }

    fn write(&self) {
        let at = |name: &str| self.directory.path().join(name);
        for (name, headings, data) in [
            ("Bridge", &BRIDGE[..], &self.bridges),
            ("Controller", &["_uuid", "target", "is_connected", "status"], &self.controllers),
            ("SSL", &["private_key", "certificate", "ca_cert"], &self.ssl),
        ] {
            let table = json!({"headings": headings, "data": data});
            std::fs::write(at(name), table.to_string()).unwrap();
        }
        script(&at("ovs-vsctl"), "for last; do :; done; exec cat \"${0%/*}/$last\"");
        script(&at("ovs-ofctl"), "exit 0");
        // This machine's clock is none of the test's business.
        script(&at("timedatectl"), "echo yes");
    }

    fn set(&mut self, bridge: usize, column: &str, value: Value) {
        let column = BRIDGE.iter().position(|name| *name == column).unwrap();
        self.bridges[bridge][column] = value;
    }

    fn doctor(&self, socket: &Path, args: &[&str]) -> Output {
        let path = format!("{}:/usr/bin:/bin", self.directory.path().display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_umlaut"));
        command.arg("doctor").args(args).env("UMLAUT_SOCKET", socket).env("PATH", path);
        command.output().unwrap()
    }
}

/// What is said of one thing.
fn said<'a>(output: &'a Value, what: &str) -> (&'a str, &'a str) {
    let finding = find(output, "findings", "what", what);
    (finding["level"].as_str().unwrap(), finding["repair"].as_str().unwrap_or_default())
}

#[test]
fn each_thing_that_is_wrong_is_named_with_the_command_that_repairs_it() {
    let controller = Controller::start(true);
    let ready = |answer: &Value| rows(answer, "switches").iter().all(|row| row["state"] == "ready");
    controller.until(&["switches"], ready);
    let policy = controller.directory.path().join("policy.yaml");
    let policy = policy.to_str().unwrap();
    let port = controller.listening().port().to_string();
    let examine = |fake: &FakeOpenVSwitch| {
        fake.write();
        let output = fake.doctor(&controller.socket(), &["--json", policy]);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(i32::from(told["errors"] != 0)), "{told:#}");
        told
    };
    let in_order = || FakeOpenVSwitch::in_order(&port);

    let good = examine(&in_order());
    assert_eq!((&good["errors"], &good["warnings"]), (&json!(0), &json!(0)), "{good:#}");
    assert_eq!(said(&good, "bridge s1: OpenFlow").0, "ok");

    let to_port = format!("ovs-vsctl set-controller s1 tcp:127.0.0.1:{port}");
    let other_port = json!([["uuid", "c1"], "tcp:127.0.0.1:6", true, ["map", []]]);
    let refused = json!(["map", [["last_error", "Connection refused"]]]);
    type Break<'a> = (&'a str, &'a str, &'a str, Box<dyn Fn(&mut FakeOpenVSwitch) + 'a>);
    let wrongs: [Break<'_>; 9] = [
        (
            "bridge s1: controller",
            "error",
            &to_port,
            Box::new(|fake| fake.set(0, "controller", json!(["set", []]))),
        ),
        (
            "bridge s1: controller",
            "error",
            &to_port,
            Box::new(|fake| fake.controllers[0] = other_port.clone()),
        ),
        (
            "bridge s1: controller",
            "error",
            &to_port,
            Box::new(|fake| {
                fake.controllers[0][2] = json!(false);
                fake.controllers[0][3] = refused.clone();
            }),
        ),
        (
            "bridge s1: fail mode",
            "error",
            "ovs-vsctl set-fail-mode s1 secure",
            Box::new(|fake| fake.set(0, "fail_mode", json!(["set", []]))),
        ),
        (
            "bridge s2: protocols",
            "error",
            "ovs-vsctl set bridge s2 protocols=OpenFlow13",
            Box::new(|fake| fake.set(1, "protocols", json!(["set", ["OpenFlow14", "OpenFlow15"]]))),
        ),
        (
            "bridge s1: datapath id",
            "error",
            "ovs-vsctl set bridge s1 other-config:datapath-id=0000000000000001",
            Box::new(|fake| fake.set(0, "datapath_id", json!("000000000000abcd"))),
        ),
        (
            "TLS",
            "error",
            "ovs-vsctl set-ssl /etc/openvswitch/sc-privkey.pem /etc/openvswitch/sc-cert.pem \
             /etc/openvswitch/cacert.pem",
            Box::new(|fake| fake.controllers[0][1] = json!(format!("ssl:127.0.0.1:{port}"))),
        ),
        (
            "TLS: /none/key.pem",
            "error",
            "ovs-vsctl set-ssl /etc/openvswitch/sc-privkey.pem /etc/openvswitch/sc-cert.pem \
             /etc/openvswitch/cacert.pem",
            Box::new(|fake| {
                fake.controllers[0][1] = json!(format!("ssl:127.0.0.1:{port}"));
                fake.ssl = vec![json!(["/none/key.pem", "/none/cert.pem", "/none/ca.pem"])];
            }),
        ),
        (
            "bridge s3: datapath id",
            "error",
            "ovs-vsctl set bridge s3 other-config:datapath-id=0000000000000003",
            Box::new(|fake| {
                let twin = json!([
                    "s3",
                    "0000000000000001",
                    "netdev",
                    "secure",
                    ["set", []],
                    ["uuid", "c1"]
                ]);
                fake.bridges.push(twin);
            }),
        ),
    ];
    for (what, level, repair, make) in wrongs {
        let mut fake = in_order();
        make(&mut fake);
        let told = examine(&fake);
        let found = rows(&told, "findings").iter().any(|finding| {
            finding["what"] == what && finding["level"] == level && finding["repair"] == repair
        });
        assert!(found, "{what}: {told:#}");
    }

    // Files that nobody would take for certificates are not read.
    let mut fake = in_order();
    fake.controllers[0][1] = json!(format!("ssl:127.0.0.1:{port}"));
    let large = fake.directory.path().join("large.pem").to_str().unwrap().to_owned();
    // Without blocks: it takes no room on the disk.
    std::fs::File::create(&large).unwrap().set_len(2 << 20).unwrap();
    fake.ssl = vec![json!(["/none/key.pem", large, large])];
    let told = examine(&fake);
    let finding = find(&told, "findings", "what", &format!("TLS: {large}"));
    assert_eq!(finding["why"], "larger than 1 MiB", "{told:#}");

    // Somebody else's bridge, in whatever state, is no fault of ours; when it is asked for, it is.
    let mut fake = in_order();
    fake.bridges.push(json!(["lan", "00000000000000aa", "", "", ["set", []], ["uuid", "c9"]]));
    fake.controllers.push(json!([["uuid", "c9"], "tcp:10.9.9.9:6", false, refused]));
    let told = examine(&fake);
    assert_eq!((&told["errors"], &told["warnings"]), (&json!(0), &json!(0)), "{told:#}");
    assert_eq!(said(&told, "bridge lan").0, "ok");
    let output = fake.doctor(&controller.socket(), &["--json", "--bridge", "lan", policy]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said(&told, "bridge lan: controller").0, "error");
    // One that comes to this controller and is not in the policy is looked at.
    let mut fake = in_order();
    fake.bridges.push(json!([
        "lan",
        "00000000000000aa",
        "netdev",
        "",
        ["set", []],
        ["uuid", "c1"]
    ]));
    assert_eq!(said(&examine(&fake), "bridge lan: datapath id").0, "warning");

    // In words, for people.
    let mut fake = in_order();
    fake.set(0, "fail_mode", json!("standalone"));
    fake.write();
    let output = fake.doctor(&controller.socket(), &[policy]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains(
            "error    bridge s1: fail mode: standalone: without the controller it forwards \
             between all ports\n         repair: ovs-vsctl set-fail-mode s1 secure\n"
        ),
        "{text}"
    );
    assert!(text.ends_with("1 errors, 0 warnings\n"), "{text}");
}

#[test]
fn without_a_controller_open_vswitch_or_a_good_policy_it_still_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("bad.yaml");
    std::fs::write(&policy, "umlaut: 1\ncolour: red\n").unwrap();
    let policy = policy.to_str().unwrap();
    let socket = directory.path().join("none.sock");
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = holder.local_addr().unwrap().to_string();
    let run = |path: &Path| -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_umlaut"))
            .args(["doctor", "--json", "--listen", &listen, policy])
            .env("UMLAUT_SOCKET", &socket)
            .env("PATH", path)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        serde_json::from_slice(&output.stdout).unwrap()
    };

    let told = run(directory.path());
    assert_eq!(said(&told, "Open vSwitch").0, "ok");
    let what = format!("policy {policy}");
    assert_eq!(said(&told, &what), ("error", format!("umlaut check {policy}").as_str()));
    let start = format!("umlaut run --listen {listen} {policy}");
    assert_eq!(said(&told, "controller"), ("error", start.as_str()));
    let kill = format!("kill {}", std::process::id());
    assert_eq!(said(&told, &format!("port {listen}")), ("error", kill.as_str()));

    script(&directory.path().join("ovs-vsctl"), "echo 'database connection failed' >&2; exit 1");
    let told = run(directory.path());
    let start = "/usr/share/openvswitch/scripts/ovs-ctl start --system-id=random";
    assert_eq!(said(&told, "Open vSwitch"), ("error", start));

    // Entries of a controller that has ended.
    let mut fake = FakeOpenVSwitch::in_order("6653");
    fake.set(0, "protocols", json!(["set", ["OpenFlow10", "OpenFlow13"]]));
    fake.write();
    script(
        &fake.directory.path().join("ovs-ofctl"),
        "echo 'OFPST_FLOW reply:'; echo ' cookie=0x9300010000000001, table=0, actions=output:2'",
    );
    let output = fake.doctor(&socket, &["--json", "--bridge", "s1", "--bridge", "s9"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        said(&told, "bridge s1: flows"),
        (
            "warning",
            "ovs-ofctl -O OpenFlow13 del-flows s1 cookie=0x8000000000000000/0x8000000000000000"
        )
    );
    assert_eq!(said(&told, "bridge s9"), ("error", "ovs-vsctl add-br s9"));
    assert!(
        !rows(&told, "findings")
            .iter()
            .any(|finding| { finding["what"].as_str().unwrap().starts_with("bridge s2") })
    );
}

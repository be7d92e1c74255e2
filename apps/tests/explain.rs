//! `umlaut explain` as a process: frames in words, in hex, in captures.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use umlaut_openflow::build;
use umlaut_openflow::{MacAddr, PortNo};

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_umlaut"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    command.arg("explain").args(words).current_dir(root);
    command
}

fn run(words: &[&str]) -> Output {
    command(words).output().unwrap()
}

fn text(output: Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(words: &[&str]) -> Value {
    serde_json::from_str(&text(run(&[words, &["--json"]].concat()))).unwrap()
}

/// A TCP segment from one host of the examples to another.
fn telnet(from: u64, to: u64, tags: &[(u16, u16)]) -> Vec<u8> {
    let address = |host: u64| [192, 168, 0, host as u8].into();
    let segment = build::tcp(address(from), address(to), 1000, 23, 2, b"");
    let (dst, src) = (MacAddr::from_u64(to), MacAddr::from_u64(from));
    build::ethernet(dst, src, tags, 0x0800, &segment)
}

fn hex(bytes: &[u8], between: &str) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(between)
}

#[test]
fn a_frame_in_hex_says_what_it_is_in_words() {
    let frame = telnet(1, 2, &[]);
    let rest = ["--in", "s1/1", "examples/filters.yaml"];
    let given = |hex: &str| text(run(&[&["--frame", hex][..], &rest[..]].concat()));
    let plain = given(&hex(&frame, ""));
    assert!(plain.contains("DROP filtered"), "{plain}");
    for between in [" ", ":"] {
        assert_eq!(given(&hex(&frame, between)), plain);
    }
    let mut child = command(&[&["--frame", "-"][..], &rest[..]].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(hex(&frame, "\n").as_bytes()).unwrap();
    assert_eq!(text(child.wait_with_output().unwrap()), plain);
}

/// A pcap file of Ethernet frames, little endian: a header of 24 bytes, each frame behind 16.
fn pcap(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    file.extend([0; 8]);
    file.extend(65535u32.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    for packet in packets {
        file.extend([0; 8]);
        file.extend((packet.len() as u32).to_le_bytes());
        file.extend((packet.len() as u32).to_le_bytes());
        file.extend(packet);
    }
    file
}

/// Lines of standard output, exit code, standard error.
fn told(output: Output) -> (Vec<String>, Option<i32>, String) {
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines().map(str::to_owned).collect();
    (lines, output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// What is told of a capture that comes from standard input.
fn piped(file: &[u8], words: &[&str]) -> (Vec<String>, Option<i32>, String) {
    let fixed = ["--in", "s1/1", "--pcap", "-", "examples/filters.yaml"];
    let mut child = command(&[&fixed[..], words].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read it is noticed by what it says.
    let _ = child.stdin.take().unwrap().write_all(file);
    told(child.wait_with_output().unwrap())
}

#[test]
fn a_capture_that_is_not_whole_is_told_up_to_there_and_said_not_to_be() {
    let frame = telnet(1, 2, &[]);
    let whole = pcap(&[frame.clone(), frame.clone(), frame.clone()]);
    let record = 16 + frame.len();
    let mut endless = whole.clone();
    endless[24 + record + 8..24 + record + 12].fill(0xff);
    let endless_at = format!("at byte {}, after frame 1: a record of 4294967295", 24 + record);
    let ending = "standard input: cut short after frame 2\n";
    let rows: [(&[u8], usize, i32, &str); 7] = [
        (&whole, 3, 0, ""),
        (&whole[..whole.len() - 1], 2, 1, ending),
        (&whole[..24 + 2 * record + 1], 2, 1, ending),
        (&whole[..24 + 5], 0, 1, "cut short before the first frame"),
        (&whole[..24], 0, 0, "standard input: no frames\n"),
        (&endless, 1, 1, &endless_at),
        (&whole[..20], 0, 1, "too short for pcap"),
    ];
    for (file, frames, code, says) in rows {
        for words in [&[][..], &["--json"]] {
            let (lines, exit, error) = piped(file, words);
            assert_eq!((lines.len(), exit), (frames, Some(code)), "{says}: {lines:?} {error}");
            assert!(error.contains(says) && error.is_empty() == says.is_empty(), "{says}: {error}");
        }
    }
    let (lines, exit, _) = piped(&whole[..whole.len() - 1], &["--frame-number", "2"]);
    assert!(lines.concat().contains("DROP filtered") && exit == Some(0), "{lines:?}");
    let (_, exit, error) = piped(&whole[..whole.len() - 1], &["--frame-number", "3"]);
    assert_eq!(exit, Some(1));
    assert!(error.contains("frames 1 to 2, no 3: cut short after frame 2"), "{error}");
}

#[test]
fn what_is_too_short_for_a_frame_is_said_to_be_and_the_others_are_told() {
    let file = pcap(&[vec![0xff; 2], telnet(1, 2, &[]), vec![0; 13]]);
    let (lines, exit, error) = piped(&file, &[]);
    assert_eq!((lines.len(), exit), (3, Some(0)), "{error}");
    assert_eq!(lines[0], "    1  no Ethernet frame: 2 bytes");
    assert!(lines[1].contains("DROP filtered"), "{lines:?}");
    assert_eq!(lines[2], "    3  no Ethernet frame: 13 bytes");
    let (lines, _, _) = piped(&file, &["--json"]);
    let row: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(row, serde_json::json!({"number": 1, "none": "no Ethernet frame: 2 bytes"}));
    let (_, exit, error) = piped(&file, &["--frame-number", "3"]);
    assert_eq!(exit, Some(1));
    assert!(error.contains("frame 3: no Ethernet frame: 13 bytes"), "{error}");
}

#[test]
fn what_a_frame_cut_short_does_not_show_is_said_not_to_be_known() {
    // Broadcast by alice, IPv4, and nothing of it.
    let words =
        ["--in", "s1/1", "--frame", "ffffffffffff0000000000010800", "examples/filters.yaml"];
    let whole = text(run(&words));
    for says in [
        "matches: slice lab, eth_type ipv4; denies what is not known: ip_proto tcp, tcp_dst 23\n",
        "that this filter matches pass, whatever their ip_proto and tcp_dst: not known of this frame",
        "entry on s1 (1.3): ip_proto of this frame cannot be matched in OpenFlow 1.3",
    ] {
        assert!(whole.contains(says), "{says}: {whole}");
    }
    let told = json(&words);
    let criteria = told["filters"]["told"][0]["criteria"].as_array().unwrap();
    let known: Vec<_> =
        criteria.iter().map(|c| (c["field"].as_str(), c["known"].as_bool())).collect();
    let wanted = [("slice", true), ("eth_type", true), ("ip_proto", false), ("tcp_dst", false)];
    assert_eq!(known, wanted.map(|(field, known)| (Some(field), Some(known))));
    // Of a whole frame nothing of the kind is said.
    let whole = text(run(&["--in", "s1/1", "--frame", &hex(&telnet(1, 2, &[]), ""), words[4]]));
    assert!(whole.contains("tcp_dst 23\n") && !whole.contains("known"), "{whole}");
}

#[test]
fn frames_that_cannot_be_are_refused_as_cases_are() {
    let exists = "does not exist in frames of this eth_type or ip_proto";
    let tag = "is that of a VLAN tag";
    let rows: [(&[&str], &str); 15] = [
        (&["--eth-type", "arp", "--tcp-dst", "23"], exists),
        (&["--eth-type", "0x88b5", "--tcp-dst", "23"], exists),
        (&["--eth-type", "arp", "--ip-proto", "tcp"], exists),
        (&["--ip-proto", "udp", "--tcp-dst", "23"], "tcp_dst contradicts ip_proto"),
        (&["--ip-proto", "1", "--udp-src", "7"], "udp_src contradicts ip_proto"),
        (&["--ip-src", "fd00::1", "--ip-proto", "icmp"], "ip_proto contradicts ipv6_src"),
        (&["--ip-src", "10.0.0.1", "--ip-dst", "fd00::1"], "ipv6_dst contradicts ipv4_src"),
        (&["--eth-type", "arp", "--ip-dst", "10.0.0.1"], "ipv4_dst contradicts eth_type"),
        (&["--eth-type", "0x10000"], "is not an EtherType"),
        (&["--ip-proto", "tpc"], "is not an IP protocol"),
        (&["--eth-type", "0x8100"], tag),
        (&["--eth-type", "0x88a8"], tag),
        (&["--eth-type", "37120"], "eth_type 0x9100 is that of a VLAN tag"),
        (&["--eth-type", "0x5dc"], "eth_type 0x05dc is a length"),
        (&["--vlan", "4096"], "a VLAN id is at most 4095"),
    ];
    let fixed = ["--in", "s1/1", "--src", "alice", "examples/filters.yaml"];
    for (words, says) in rows {
        let (_, exit, error) = told(run(&[&fixed[..], words].concat()));
        assert_eq!(exit, Some(2), "{words:?}: {error}");
        assert!(error.contains(says), "{words:?}: {error}");
    }
    // What is said implies the rest.
    let rows: [(&[&str], &str); 6] = [
        (&["--ip-dst", "fd00::1", "--tcp-dst", "23"], "tcp"),
        (&["--ip-proto", "icmpv6"], "icmpv6"),
        (&["--ip-proto", "icmp"], "icmp"),
        (&["--eth-type", "ipv6"], "ipv6"),
        (&["--eth-type", "0x05ff"], "0x05ff"),
        (&["--udp-dst", "53", "--udp-src", "1024"], "udp 1024 > 53"),
    ];
    for (words, kind) in rows {
        assert_eq!(json(&[&fixed[..], words].concat())["kind"], kind, "{words:?}");
    }
}

#[test]
fn a_capture_is_told_line_by_line_and_a_frame_of_it_in_full() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trace.pcap");
    let arp = build::ethernet(MacAddr::BROADCAST, MacAddr::from_u64(1), &[], 0x0806, &[0; 28]);
    let file = pcap(&[telnet(1, 2, &[]), arp, telnet(1, 2, &[(0x8100, 7)])]);
    std::fs::write(&path, file).unwrap();
    let path = path.to_str().unwrap();
    let words = ["--in", "s1/1", "--pcap", path, "examples/filters.yaml"];
    let lines = text(run(&words));
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(
        lines,
        [
            "    1  alice (00:00:00:00:00:01) at s1/1 to bob (00:00:00:00:00:02) (tcp 1000 > 23): \
             DROP filtered: a filter denies it",
            "    2  alice (00:00:00:00:00:01) at s1/1 to ff:ff:ff:ff:ff:ff (arp): \
             FLOOD in slice lab to s1/2",
            "    3  alice (00:00:00:00:00:01) at s1/1 vlan 7 to bob (00:00:00:00:00:02) \
             (vlan 7 tcp 1000 > 23): DROP filtered: a filter denies it",
        ]
    );
    let rows = text(run(&[&words[..], &["--json"]].concat()));
    let rows: Vec<Value> = rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    assert_eq!((rows.len(), &rows[1]["number"]), (3, &2.into()));
    assert_eq!(rows[2]["reason"], "filtered");
    let whole = text(run(&[&words[..], &["--frame-number", "2"]].concat()));
    assert!(whole.contains("packet-out on s1 (1.3): output:2"), "{whole}");
    let beyond = run(&[&words[..], &["--frame-number", "4"]].concat());
    assert_eq!(beyond.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&beyond.stderr).contains("frames 1 to 3, no 4"));
}

#[test]
fn the_way_is_told_hop_by_hop_with_its_tags_and_entries_in_both_versions() {
    let told = json(&[
        "--in",
        "s1/2",
        "--src",
        "carol",
        "--dst",
        "dave",
        "--vlan",
        "20",
        "examples/vlans.yaml",
    ]);
    let hops: Vec<String> = told["becomes"]["hops"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hop| {
            let word = |key: &str| hop[key].as_str().unwrap();
            format!("{} {} {} {}", word("from"), word("from_tag"), word("to"), word("to_tag"))
        })
        .collect();
    assert_eq!(hops, ["s1/2 tagged 20 s1/24 tagged 20", "s2/24 tagged 20 s2/2 untagged"]);
    let entries = told["becomes"]["entries"].as_array().unwrap();
    let ends: Vec<_> = entries
        .iter()
        .map(|entry| {
            let flow = entry["flow"].as_str().unwrap();
            (entry["openflow"].as_str().unwrap(), flow.split("actions=").nth(1).unwrap())
        })
        .collect();
    assert_eq!(
        ends,
        [
            ("1.3", "output:24"),
            ("1.3", "pop_vlan,output:2"),
            ("1.0", "output:24"),
            ("1.0", "strip_vlan,output:2"),
        ]
    );
}

#[test]
fn without_links_the_way_between_switches_is_not_known() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy.yaml");
    let policy = "umlaut: 1\nswitches: {s1: 0x1, s2: 0x2}\nslices: {a: {members: [{port: s1/1}, \
                  {port: s2/1}]}}\nhosts: {x: {mac: \"00:00:00:00:00:01\", at: s2/1}}\n";
    std::fs::write(&path, policy).unwrap();
    let path = path.to_str().unwrap();
    let told = json(&["--in", "s1/1", "--src", "00:00:00:00:00:02", "--dst", "x", path]);
    assert_eq!(told["verdict"], "forward");
    assert_eq!(told["becomes"]["hops"].as_array().unwrap().len(), 0);
    let note = told["becomes"]["notes"][0].as_str().unwrap();
    assert!(note.contains("lists no links"), "{note}");
}

#[test]
fn ten_thousand_filters_are_told_in_a_few_lines() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy.yaml");
    let mut policy = "umlaut: 1\nslices: {a: {members: [{port: 0x1/1}]}}\nfilters:\n".to_owned();
    for index in 0..10_000u32 {
        let (a, b) = (index / 250, index % 250);
        policy += &format!(
            "  - {{priority: {}, match: {{ipv4_dst: 10.0.{a}.{b}, tcp_dst: {}}}, action: deny}}\n",
            20_000 - index,
            if index == 7000 { 80 } else { 23 },
        );
    }
    std::fs::write(&path, policy).unwrap();
    let path = path.to_str().unwrap();
    let words = [
        "--in",
        "0x1/1",
        "--src",
        "00:00:00:00:00:01",
        "--ip-dst",
        "10.0.28.0",
        "--tcp-dst",
        "80",
        path,
    ];
    let whole = text(run(&words));
    assert!(whole.contains("filter-7001 (priority 13000, deny)"), "{whole}");
    assert!(whole.contains("6,995 more were asked and do not match"), "{whole}");
    assert!(whole.contains("2,999 more come later and are not asked"), "{whole}");
    let told = whole.lines().filter(|line| line.trim_start().starts_with("filter-"));
    assert_eq!(told.count(), 6, "{whole}");
    let other: Vec<&str> =
        words.iter().map(|word| if *word == "80" { "443" } else { *word }).collect();
    let near = text(run(&other));
    assert!(near.contains("no: tcp_dst is 443, not 80"), "{near}");
}

#[test]
fn wrong_names_get_a_hint_and_wrong_arguments_their_exit_code() {
    let file = "examples/two-slices.yaml";
    let rows: [(&[&str], &str); 12] = [
        (&["--in", "s1/1", "--src", "alise", file], "did you mean alice?"),
        (&["--in", "s1/1", "--src", "zzz", file], "hosts of the policy: alice, bob, carol"),
        (&["--in", "s12/1", "--src", "alice", file], "there is no switch s12; did you mean s1?"),
        (&["--in", "s1", "--src", "alice", file], "not SWITCH/PORT"),
        (&["--in", "s1/0", "--src", "alice", file], "is no port number"),
        (&["--in", "s1/1", file], "--src is missing"),
        (&["--in", "s1/1", "--frame", "00:01", file], "2 bytes are no Ethernet frame"),
        (&[file], "--in is missing"),
        (&["--in", "s1/1", "--src", "alice", "--frame-number", "1", file], "--pcap is missing"),
        (&["--in", "s1/1", "--frame", "-", "--frame-number", "1", file], "--pcap is missing"),
        (&["no-file.yaml"], "there is no file no-file.yaml"),
        (&["examples/no-file"], "there is no file examples/no-file"),
    ];
    for (words, hint) in rows {
        let output = run(words);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {told}");
        assert!(told.contains(hint), "{words:?}: {told}");
    }
    // The reserved ports have names.
    assert_eq!(PortNo::LOCAL.to_string(), "local");
    assert!(run(&["--in", "s1/local", "--src", "alice", file]).status.success());
}

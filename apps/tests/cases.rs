//! `umlaut test` as a process: what it prints, its reports, its exit codes; and the cases of docs and
//! examples hold.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use quick_xml::Reader;
use quick_xml::events::Event;
use umlaut_slice_db::{Policy, PolicyFiles, judge};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn umlaut(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_umlaut")).args(args).current_dir(root()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const EXAMPLES: [&str; 5] = [
    "examples/cases.yaml",
    "examples/filters.yaml",
    "examples/restricted.yaml",
    "examples/two-slices.yaml",
    "examples/vlans.yaml",
];

/// Two cases that hold and two that do not.
const HALF: &str = "umlaut: 1
switches: {s1: 0x1}
hosts:
  a: {mac: \"00:00:00:00:00:01\", at: s1/1}
  b: {mac: \"00:00:00:00:00:02\", at: s1/2}
  c: {mac: \"00:00:00:00:00:03\", at: s1/3}
slices: {x: {members: [{port: s1/1}, {port: s1/2}]}}
cases:
  - a reaches b
  - a reaches c
  - c is refused because no-binding
  - {from: a, to: b, tcp_dst: 80, expect: refused}
";

#[test]
fn the_cases_of_the_docs_hold() {
    let mut held = 0;
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        for block in page.split("```yaml policy\n").skip(1) {
            let block = block.split("```").next().unwrap();
            let (policy, _) = Policy::parse(&path.display().to_string(), block).unwrap();
            for case in policy.cases() {
                let wrong = judge(&policy, case, &PolicyFiles::new()).wrong;
                assert!(wrong.is_none(), "{}: {}: {wrong:?}", path.display(), case.text);
                held += 1;
            }
        }
    }
    assert!(held >= 12, "{held}");
}

#[test]
fn the_cases_of_the_examples_hold_by_the_policy_and_on_emulated_switches() {
    for ground in [vec![], vec!["--on", "emulated"], vec!["--on", "emulated", "--openflow", "1.0"]]
    {
        let output = umlaut(&[&["test"], &ground[..], &EXAMPLES[..]].concat());
        assert!(output.status.success(), "{ground:?}: {}", text(&output.stdout));
        assert!(
            text(&output.stdout).contains("examples/cases.yaml: 19 cases hold\n"),
            "{ground:?}"
        );
    }
}

#[test]
fn what_does_not_hold_is_told_with_its_line_and_the_decision() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("half.yaml");
    std::fs::write(&file, HALF).unwrap();
    let file = file.to_str().unwrap();
    for ground in ["policy", "emulated"] {
        let output = umlaut(&["test", "-v", "--on", ground, file]);
        assert_eq!(output.status.code(), Some(1), "{ground}");
        let told = text(&output.stdout);
        for line in [
            format!("ok     {file}:9: a reaches b\n"),
            format!("FAILED {file}:10: a reaches c\n"),
            format!("ok     {file}:11: c is refused because no-binding\n"),
            format!("FAILED {file}:12: a to b, tcp_dst 80: refused\n"),
            "        => FORWARD in slice x to s1/2".to_owned(),
            format!("{file}: 2 of 4 cases failed\n"),
        ] {
            assert!(told.contains(&line), "{ground}: no {line:?} in {told}");
        }
    }
    let only = umlaut(&["test", "--only", "a reaches b", file]);
    assert_eq!(
        (only.status.code(), text(&only.stdout)),
        (Some(0), &*format!("{file}: 1 cases hold\n"))
    );
}

#[test]
fn what_cannot_be_tried_on_a_network_is_no_fault_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.yaml");
    let host = |name: &str, number: u8, at: &str| {
        format!("  {name}: {{mac: \"00:00:00:00:00:{number:02x}\", at: {at}}}\n")
    };
    let policy = |switches: &str, hosts: String, cases: &[&str]| {
        let cases: String = cases.iter().map(|case| format!("  - {case}\n")).collect();
        format!(
            "umlaut: 1\nswitches: {switches}\nhosts:\n{hosts}slices: {{x: {{members: [{{host: a}}, \
             {{host: b}}, {{host: c}}]}}}}\ncases:\n{cases}"
        )
    };
    let one = |c: &str| host("a", 1, "s1/1") + &host("b", 2, "s1/2") + &host("c", 3, c);
    let own = "s1/local is the switch's own port: no host can be plugged in there";
    let unlinked = "the policy has no links: nothing gets from s1 to s2";
    let alike = "switches: {s1: 0x1, s2: 0x10001}";
    let rows: Vec<(String, Vec<(&str, &str)>)> = vec![
        (
            policy(
                "{s1: 0x1}",
                one("s1/local"),
                &[
                    "a reaches b",
                    "a reaches c",
                    "{from: c, to: b, expect: reached}",
                    "{from: a, to: c, expect: forwarded}",
                    "{after: c speaks, expect: a reaches b}",
                    "{after: c moves to s1/3, expect: a reaches b}",
                ],
            ),
            vec![("a reaches c", own), ("c to b: reached", own), ("a to c: forwarded", own)],
        ),
        (
            policy(
                "{s1: 0x1, s2: 0x2}",
                one("s2/1"),
                &[
                    "a reaches b",
                    "a reaches c",
                    "{from: a, to: c, expect: forwarded}",
                    "{from: a, to: c, expect: forwarded, out: s2/1}",
                ],
            ),
            vec![("a reaches c", unlinked), ("a to c: forwarded", unlinked)],
        ),
        (
            policy("{s1: 0x1}", host("a", 1, "s1/250") + &host("b", 2, "s1/252"), &["a reaches b"])
                .replace(", {host: c}", ""),
            vec![],
        ),
        (
            policy(
                "{s1: 0x1}",
                one("s1/3"),
                &["{after: [c moves to s1/250, c speaks], expect: a reaches c}"],
            ),
            vec![],
        ),
        // Datapath ids of which the lower half is the same.
        (
            policy("{}", one("s2/1"), &["a reaches b", "a reaches c"])
                .replace("switches: {}\n", &format!("{alike}\nlinks: [[s1/9, s2/9]]\n")),
            vec![],
        ),
    ];
    for (text_of_file, not_tried) in rows {
        std::fs::write(&file, &text_of_file).unwrap();
        let output = umlaut(&["test", "--on", "emulated", file.to_str().unwrap()]);
        let told = text(&output.stdout);
        assert!(output.status.success(), "{text_of_file}\n{told}{}", text(&output.stderr));
        assert_eq!(told.contains("not tried"), !not_tried.is_empty(), "{told}");
        for (case, why) in not_tried {
            assert!(told.contains(&format!("{case}: {why}\n")), "no {case}: {why} in {told}");
        }
    }
}

#[test]
fn what_is_wrong_by_the_policy_need_not_be_tried() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.yaml");
    let policy = r#"
umlaut: 1
switches: {s1: 0x1, s2: 0x2}
hosts:
  a: {mac: "00:00:00:00:00:01", at: s1/1}
  c: {mac: "00:00:00:00:00:03", at: s2/1}
slices: {x: {members: [{host: a}]}, y: {members: [{host: c}]}}
cases: [a reaches c]
"#;
    std::fs::write(&file, policy).unwrap();
    let output = umlaut(&["test", "--on", "emulated", file.to_str().unwrap()]);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("FAILED") && !told.contains("not tried"), "{told}");
}

#[test]
fn a_port_goes_down_that_only_a_host_of_a_later_policy_has() {
    let directory = tempfile::tempdir().unwrap();
    let policy = |more: &str, cases: &str| {
        format!(
            r#"
umlaut: 1
switches: {{s1: 0x1}}
hosts:
  a: {{mac: "00:00:00:00:00:01", at: s1/1}}
  b: {{mac: "00:00:00:00:00:02", at: s1/2}}
{more}slices: {{x: {{members: [{{host: a}}, {{host: b}}]}}}}
{cases}"#
        )
    };
    let frank = "  frank: {mac: \"00:00:00:00:00:05\", at: s1/5}\n";
    let case = "cases: [{after: [policy other.yaml, port s1/5 down], expect: a reaches b}]\n";
    std::fs::write(directory.path().join("other.yaml"), policy(frank, "")).unwrap();
    let file = directory.path().join("policy.yaml");
    std::fs::write(&file, policy("", case)).unwrap();
    let output = umlaut(&["test", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stdout));
}

#[test]
fn a_later_policy_may_use_the_ports_that_markers_would_have() {
    let directory = tempfile::tempdir().unwrap();
    let policy = |more: &str, members: &str, rest: &str| {
        format!(
            r#"
umlaut: 1
switches: {{s1: 0x1, s2: 0x2}}
hosts:
  a: {{mac: "00:00:00:00:00:01", at: s1/1}}
  b: {{mac: "00:00:00:00:00:02", at: s1/2}}
{more}slices: {{x: {{members: [{{host: a}}, {{host: b}}{members}]}}}}
{rest}"#
        )
    };
    let cases = "cases:
  - {after: policy member.yaml, expect: a reaches b}
  - {after: policy host.yaml, expect: a reaches b}
  - {after: policy link.yaml, expect: a reaches b}
  - {after: [policy host.yaml, policy member.yaml], from: a, to: b, expect: forwarded, out: s1/2}
";
    let host = "  c: {mac: \"00:00:00:00:00:03\", at: s1/251}\n";
    let write = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    write("member.yaml", policy("", ", {port: s1/250}", ""));
    write("host.yaml", policy(host, ", {port: s1/251, host: c}", ""));
    write("link.yaml", policy("", "", "links: [[s1/250, s2/250]]\n"));
    let file = write("policy.yaml", policy("", "", cases));
    for ground in ["policy", "emulated"] {
        let output = umlaut(&["test", "--on", ground, &file]);
        let told = text(&output.stdout);
        assert!(output.status.success(), "{ground}: {told}{}", text(&output.stderr));
        assert!(!told.contains("not tried"), "{ground}: {told}");
    }
}

#[test]
fn reports_for_machines_can_be_read_by_them() {
    let directory = tempfile::tempdir().unwrap();
    // A name that must be escaped.
    let file = directory.path().join("a&b \"<c>'.yaml");
    std::fs::write(&file, HALF).unwrap();
    let file = file.to_str().unwrap();
    let (junit, json) = (directory.path().join("j.xml"), directory.path().join("j.json"));
    let (junit, json) = (junit.to_str().unwrap(), json.to_str().unwrap());
    let output = umlaut(&["test", "--junit", junit, "--json", json, file]);
    assert_eq!(output.status.code(), Some(1));

    let mut reader = Reader::from_file(junit).unwrap();
    let (mut cases, mut failures, mut buffer) = (Vec::new(), 0, Vec::new());
    loop {
        match reader.read_event_into(&mut buffer).unwrap() {
            Event::Start(element) | Event::Empty(element) => {
                let attribute = |name: &str| {
                    let found = element.try_get_attribute(name).unwrap().unwrap();
                    found.normalized_value(quick_xml::XmlVersion::Explicit1_0).unwrap().into_owned()
                };
                match element.name().as_ref() {
                    b"testsuites" => assert_eq!(attribute("failures"), "2"),
                    b"testsuite" => {
                        assert_eq!(
                            (attribute("name"), attribute("tests")),
                            (file.into(), "4".into())
                        );
                    }
                    b"testcase" => cases.push((attribute("line"), attribute("name"))),
                    b"failure" => {
                        assert!(!attribute("message").is_empty());
                        failures += 1;
                    }
                    other => panic!("{}", text(other)),
                }
            }
            Event::Eof => break,
            _ => {}
        }
        buffer.clear();
    }
    assert_eq!(failures, 2);
    assert_eq!(cases[3], ("12".to_owned(), "a to b, tcp_dst 80: refused".to_owned()));

    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!((&report["passed"], &report["failed"]), (&2.into(), &2.into()));
    let failed = &report["cases"][1];
    assert_eq!((&failed["line"], &failed["case"]), (&10.into(), &"a reaches c".into()));
    assert_eq!(failed["explanation"]["verdict"], "flood");
    // To standard output there is nothing else.
    let output = umlaut(&["test", "--json", "-", file]);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["failed"], 2);
}

#[test]
fn wrong_files_and_no_cases_have_their_exit_codes() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let none = write("none.yaml", "umlaut: 1\nslices: {a: {members: [{port: 0x1/1}]}}\n");
    let unknown = write("unknown.yaml", &HALF.replace("a reaches b", "a reaches bb"));
    let gone = HALF.replace("- a reaches b", "- {after: policy gone.yaml, expect: a reaches b}");
    let gone = write("away.yaml", &gone);
    let table = [
        (&none, 1, "there are no cases: nothing was tested"),
        (&unknown, 78, "there is no host or slice bb"),
        (&gone, 78, "away.yaml:9: "),
    ];
    for (file, code, told) in table {
        let output = umlaut(&["test", file]);
        assert_eq!(output.status.code(), Some(code), "{file}");
        assert!(text(&output.stderr).contains(told), "{file}: {}", text(&output.stderr));
    }
    let half = write("half.yaml", HALF);
    let output = umlaut(&["test", "--only", "zzz", &half]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), format!("{half}: no case has \"zzz\" in its name\n"));
    let told = "umlaut: no case has \"zzz\" in its name: nothing was tested\n";
    assert_eq!(text(&output.stderr), told);
    assert_eq!(umlaut(&["test", "--on", "moon", &none]).status.code(), Some(2));
    assert_eq!(umlaut(&["test"]).status.code(), Some(2));
}

/// Files that cannot be tested: one that is no policy, one that is empty, one that is not there, and one
/// with a case that names the last.
#[test]
fn what_cannot_be_read_is_an_error_in_the_reports_and_no_old_report_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let write = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).unwrap();
        path(name)
    };
    let twice = write("twice.yaml", "umlaut: 1\numlaut: 1\nslices: {}\n");
    let empty = write("empty.yaml", "");
    let gone = path("gone.yaml");
    let good = write("good.yaml", &HALF.replace("  - a reaches c\n", ""));
    let names = HALF.replace("- a reaches b", "- {after: policy gone.yaml, expect: a reaches b}");
    let names = write("names.yaml", &names);
    let (junit, json) = (write("old.xml", "<old/>"), write("old.json", "old"));
    let reports = ["--junit", &junit, "--json", &json];
    let files = [twice.as_str(), &empty, &gone, &names, &good];
    let output = umlaut(&[&["test"], &reports[..], &files].concat());
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(text(&output.stdout), "");

    let told = std::fs::read_to_string(&junit).unwrap();
    let root = told.lines().nth(1).unwrap();
    assert!(root.contains("tests=\"4\" failures=\"0\" errors=\"4\""), "{root}");
    for (file, line, message) in [
        (&twice, 2, "umlaut is given twice"),
        (&empty, 1, "the file is empty"),
        (&gone, 1, "No such file or directory"),
        (&names, 9, "gone.yaml: No such file or directory"),
    ] {
        let case = told.split("<testcase ").find(|case| case.contains(&format!("file=\"{file}\"")));
        let case = case.unwrap_or_else(|| panic!("no {file} in {told}"));
        assert!(case.starts_with(&format!("name=\"{file} can be tested\"")), "{case}");
        assert!(case.contains(&format!("line=\"{line}\"")), "{case}");
        let message_there = case.split("<error message=\"").nth(1).unwrap_or_default();
        assert!(message_there.contains(message), "{case}");
    }
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let errors = report["errors"].as_array().unwrap();
    let of = |file: &str| errors.iter().filter(|error| error["file"] == file).count();
    assert_eq!(files.map(of).map(|count| count > 0), [true, true, true, true, false]);
    assert_eq!((&errors[0]["line"], report["passed"].as_u64()), (&2.into(), Some(0)));
}

#[test]
fn reports_that_would_overwrite_something_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("half.yaml");
    std::fs::write(&file, HALF).unwrap();
    let file = file.to_str().unwrap();
    let report = directory.path().join("report");
    let other = directory.path().join(".").join("report");
    let (report, other) = (report.to_str().unwrap(), other.to_str().unwrap());
    for (junit, json, told) in [
        ("-", "-", "--junit and --json cannot both go to standard output"),
        (report, report, "--junit and --json are one file: "),
        (report, other, "--junit and --json are one file: "),
        ("-", file, "the report would overwrite the policy"),
    ] {
        let output = umlaut(&["test", "--junit", junit, "--json", json, file]);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""), "{junit} {json}");
        assert!(text(&output.stderr).contains(told), "{}", text(&output.stderr));
    }
    assert!(!directory.path().join("report").exists());
    assert_eq!(std::fs::read_to_string(file).unwrap(), HALF);
}

#[test]
fn reports_that_would_overwrite_a_policy_that_a_case_names_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let later = write("later.yaml", HALF);
    let bad = write("bad.yaml", "umlaut: 2\n");
    let link = directory.path().join("link.yaml");
    std::os::unix::fs::symlink(&later, &link).unwrap();
    let absent = directory.path().join("absent.yaml").to_str().unwrap().to_owned();
    let names = |what: &str| {
        let named = format!("- {{after: policy {what}, expect: a reaches b}}");
        HALF.replace("- a reaches b", &named)
    };
    let file = write("half.yaml", &names("later.yaml"));
    let broken = write("broken.yaml", &names("bad.yaml"));
    let gone = write("gone.yaml", &names("absent.yaml"));
    for (file, report) in [
        (&file, later.as_str()),
        (&file, link.to_str().unwrap()),
        // Files that cannot be tried are files all the same.
        (&broken, &bad),
        (&gone, &absent),
    ] {
        for option in ["--junit", "--json"] {
            let output = umlaut(&["test", "--only", "a reaches c", option, report, file]);
            let stderr = text(&output.stderr);
            assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""), "{stderr}");
            let told = format!(
                "umlaut: {report}: the report would overwrite the policy that a case of {file} names\n"
            );
            assert!(stderr.ends_with(&told), "{stderr}");
        }
    }
    assert_eq!(std::fs::read_to_string(later).unwrap(), HALF);
    assert_eq!(std::fs::read_to_string(bad).unwrap(), "umlaut: 2\n");
    assert!(!Path::new(&absent).exists());
}

/// Where the network cannot be had, and then the report cannot be written either.
#[test]
fn the_first_error_is_told_where_reports_cannot_be_written() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("half.yaml"), HALF).unwrap();
    // Whether by root or not: there is no Open vSwitch.
    let line = "PATH=/nowhere umlaut test --on ovs --junit away/r.xml half.yaml";
    let output = shell(directory.path(), line);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("away/r.xml: No such file or directory"), "{told}");
    assert!(told.contains("Open vSwitch cannot be used here: "), "{told}");
    // As where files are wrong.
    std::fs::write(directory.path().join("bad.yaml"), "umlaut: 2\n").unwrap();
    let output = shell(directory.path(), "umlaut test --junit away/r.xml bad.yaml");
    let told = text(&output.stderr);
    assert!(told.contains("bad.yaml:1:"), "{told}");
    assert!(told.contains("away/r.xml: No such file or directory"), "{told}");
}

/// Runs a shell line with `umlaut` in it.
fn shell(directory: &Path, line: &str) -> Output {
    let line = format!("umlaut() {{ '{}' \"$@\"; }}; {line}", env!("CARGO_BIN_EXE_umlaut"));
    Command::new("bash").args(["-c", &line]).current_dir(directory).output().unwrap()
}

#[test]
fn output_that_is_full_is_an_error_and_output_that_is_closed_none() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("half.yaml"), HALF).unwrap();
    std::fs::write(directory.path().join("bad.yaml"), "umlaut: 2\n").unwrap();
    let only = "--only 'a reaches b'";
    for (command, code) in [
        ("test half.yaml", 1),
        (&format!("test {only} half.yaml"), 0),
        (&format!("test {only} --json - half.yaml"), 0),
        (&format!("test {only} --junit - half.yaml"), 0),
        ("check half.yaml", 0),
        ("check --format json half.yaml", 0),
    ] {
        let output = shell(directory.path(), &format!("umlaut {command} >/dev/full"));
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {stderr}");
        assert_eq!(
            stderr, "umlaut: standard output: No space left on device (os error 28)\n",
            "{command}"
        );
        // A pipe that nobody reads any more.
        let output = shell(
            directory.path(),
            &format!(
                "mkfifo pipe; exec 3<>pipe 4>pipe 3<&-; umlaut {command} >&4; code=$?; \
                      rm pipe; exit $code"
            ),
        );
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(code), ""), "{command}");
    }
    // Mistakes have nobody to be told to, but the exit code is what it is.
    for command in ["check bad.yaml", "test bad.yaml", "check gone.yaml"] {
        let output = shell(directory.path(), &format!("umlaut {command} 2>/dev/full"));
        assert_eq!(output.status.code(), Some(78), "{command}");
    }
    // The files are written all the same.
    let output = shell(directory.path(), "umlaut test --junit r.xml half.yaml >/dev/full");
    assert_eq!(output.status.code(), Some(1));
    assert!(directory.path().join("r.xml").exists());
}

/// The workflow of the docs is YAML, and the command in it runs.
#[test]
fn the_workflow_of_the_docs_runs() {
    let page = std::fs::read_to_string(root().join("docs/cases.md")).unwrap();
    let workflow = page.split("```yaml workflow\n").nth(1).unwrap().split("```").next().unwrap();
    let workflow: serde_yaml::Value = serde_yaml::from_str(workflow).unwrap();
    let steps = workflow["jobs"]["cases"]["steps"].as_sequence().unwrap();
    let runs: Vec<&str> = steps.iter().filter_map(|step| step["run"].as_str()).collect();
    let command = runs.iter().find_map(|run| run.strip_prefix("umlaut ")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let report = directory.path().join("cases.xml");
    let args: Vec<&str> = command
        .split(' ')
        .map(|word| match word {
            "cases.xml" => report.to_str().unwrap(),
            "policies/*.yaml" => "examples/cases.yaml",
            word => word,
        })
        .collect();
    assert!(umlaut(&args).status.success());
    assert!(report.exists());
}

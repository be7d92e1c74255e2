//! The examples of docs/asking.md are what the commands print, numbers and times apart.

use std::path::Path;

use serde_json::Value;

use crate::controller::{Controller, rows};

/// The words of each line, sorted by line: without numbers and their units, which differ from run to
/// run, and with whatever digits are in other words made equal.
fn words(text: &str) -> Vec<Vec<String>> {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "s", "ms", "min", "ago"];
    let is_number = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_digit()) && !word.contains(':') && !word.contains('/')
    };
    let general = |word: &str| -> String {
        word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
    };
    let mut lines: Vec<Vec<String>> = text
        .lines()
        // Which events there were depends on who came first.
        .filter(|line| !line.starts_with("events: "))
        .map(|line| {
            let words = line.split_whitespace();
            words.filter(|word| !is_number(word) && !UNITS.contains(word)).map(general).collect()
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn the_examples_of_the_docs_are_what_the_commands_print() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/asking.md")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let policy = Path::new("examples/two-slices.yaml");
    let controller = Controller::start_with(true, directory, policy);
    controller.until(&["flows", "--slice", "lab"], |flows| {
        let flows = rows(flows, "flows");
        let present =
            |flow: &Value| rows(flow, "entries").iter().all(|entry| entry["has"] == "present");
        flows.len() == 2 && flows.iter().all(present)
    });
    controller.until(&["ports"], |ports| {
        let ports = rows(ports, "ports");
        !ports.is_empty() && ports.iter().all(|port| port["role"] != "probing")
    });
    controller.until(&["hosts"], |hosts| {
        let hosts = rows(hosts, "hosts");
        hosts.len() == 4 && hosts.iter().all(|host| host["provisional"] == false)
    });
    let mut seen = 0;
    for block in page.split("```console lab\n").skip(1) {
        let (command, rest) = block.split_once('\n').unwrap();
        let printed = rest.split("```").next().unwrap();
        let args: Vec<&str> =
            command.strip_prefix("$ umlaut ").unwrap().split_whitespace().collect();
        assert_eq!(words(&controller.text(&args)), words(printed), "{command}");
        seen += 1;
    }
    assert_eq!(seen, 10);
}

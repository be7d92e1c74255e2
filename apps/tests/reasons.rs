//! The pages on reasons are true: each page's policy and frame give that reason.

use std::process::Command;

use serde_json::Value;
use umlaut::explain::reasons::{page, pages};

fn umlaut(directory: &std::path::Path, words: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_umlaut")).args(words).current_dir(directory).output().unwrap()
}

/// What stands in the first block of a page that opens with this info string.
fn block<'a>(text: &'a str, info: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("```{info}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn the_example_of_each_page_gives_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for page in pages() {
        std::fs::write(directory.path().join("policy.yaml"), block(page.text, "yaml policy"))
            .unwrap();
        let command = block(page.text, "sh").trim();
        let words: Vec<&str> = command.split(' ').collect();
        assert_eq!(words[..2], ["umlaut", "explain"], "{}", page.code);
        let output = umlaut(directory.path(), &[&words[1..], &["--json"]].concat());
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{}: {error}: {}", page.code, String::from_utf8_lossy(&output.stderr))
        });
        assert_eq!(told["reason"], page.code, "{told:#}");
        for part in ["**Find out**", "**Cure**"] {
            assert!(page.text.contains(part), "{}: no {part}", page.code);
        }
        // What people read says the same in its last words.
        let output = umlaut(directory.path(), &words[1..]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&format!(" => DROP {}: {}", page.code, page.title)), "{text}");
        seen += 1;
    }
    assert_eq!(seen, 15);
}

#[test]
fn the_command_prints_and_lists_pages() {
    let here = std::path::Path::new(".");
    let output = umlaut(here, &["explain", "NoBinding"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    let wanted = page("no-binding").unwrap();
    assert_eq!(printed, format!("no-binding: {}\n\n{}\n", wanted.title, wanted.text));
    let list = String::from_utf8(umlaut(here, &["explain", "--reasons"]).stdout).unwrap();
    let listed: Vec<&str> = list.lines().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(listed, pages().map(|page| page.code).collect::<Vec<_>>());
    let output = umlaut(here, &["explain", "NoBindin"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("did you mean no-binding?"), "{told}");
}

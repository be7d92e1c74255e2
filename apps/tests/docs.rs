//! The examples in README and docs are true.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn pages() -> Vec<(String, String)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.push(root().join("README.md"));
    paths.sort();
    let markdown = paths.into_iter().filter(|path| path.extension().is_some_and(|e| e == "md"));
    markdown
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
        .collect()
}

/// The blocks of a page that open with this info string.
fn blocks<'a>(page: &'a str, info: &str) -> Vec<&'a str> {
    let open = format!("```{info}\n");
    let parts = page.split(open.as_str()).skip(1);
    parts.map(|part| part.split("```").next().unwrap_or("")).collect()
}

#[test]
fn every_policy_in_the_docs_and_examples_is_good() {
    let mut seen = 0;
    for (name, page) in pages() {
        for block in blocks(&page, "yaml policy") {
            seen += 1;
            let read = umlaut_slice_db::Policy::parse(&name, block);
            let (_, warnings) =
                read.unwrap_or_else(|mistakes| panic!("{}", mistakes[0].render(false)));
            assert!(warnings.is_empty(), "{name}: {}", warnings[0]);
        }
    }
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        seen += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let read = umlaut_slice_db::Policy::parse(&path.display().to_string(), &text);
        let (_, warnings) = read.unwrap_or_else(|mistakes| panic!("{}", mistakes[0].render(false)));
        assert!(warnings.is_empty(), "{}: {}", path.display(), warnings[0]);
    }
    assert!(seen >= 7, "{seen}");
}

#[test]
fn every_explanation_in_the_docs_is_what_the_command_prints() {
    let mut seen = 0;
    for (name, page) in pages() {
        for block in blocks(&page, "console") {
            let (command, printed) = block.split_once('\n').unwrap();
            let mut words = command.strip_prefix("$ umlaut ").unwrap().split_whitespace();
            let output = Command::new(env!("CARGO_BIN_EXE_umlaut"))
                .args(words.by_ref())
                .current_dir(root())
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), printed, "{name}: {command}");
            seen += 1;
        }
    }
    assert_eq!(seen, 2);
}

#[test]
fn bad_arguments_and_files_have_their_exit_codes() {
    let run = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_umlaut")).args(args).current_dir(root()).output().unwrap()
    };
    let code = |args: &[&str]| run(args).status.code();
    assert_eq!(code(&["check", "examples/two-slices.yaml"]), Some(0));
    assert_eq!(code(&["check", "no-such-file.yaml"]), Some(1));
    assert_eq!(code(&["check"]), Some(2));
    assert_eq!(code(&["run"]), Some(2));
    assert_eq!(code(&["run", "--app", "hub", "examples/two-slices.yaml"]), Some(2));
    assert_eq!(
        code(&["run", "--lab", "emulated", "--listen", "0.0.0.0:0", "examples/vlans.yaml"]),
        Some(2)
    );
    let directory = tempfile::tempdir().unwrap();
    let bad = directory.path().join("bad.yaml");
    std::fs::write(&bad, "umlaut: 1\nslices: {a: {members: [{port: s9/1}]}}\ncolour: red\n")
        .unwrap();
    let bad = bad.to_str().unwrap();
    for command in [
        vec!["check", bad],
        vec!["run", bad],
        vec!["explain", "--in", "0x1/1", "--src", "00:00:00:00:00:01", bad],
    ] {
        let output = run(&command);
        assert_eq!(output.status.code(), Some(78), "{command:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("unknown-switch") && told.contains("unknown-key"), "{told}");
    }
    let json = run(&["check", "--format", "json", bad]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 2);
    assert_eq!(json[0]["labels"][0]["line"], 2);
}

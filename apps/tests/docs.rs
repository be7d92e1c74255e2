//! The examples in README and docs are true.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn pages() -> Vec<(String, String)> {
    let folders = ["docs", "docs/samples"].map(|folder| std::fs::read_dir(root().join(folder)));
    let entries = folders.into_iter().flat_map(|entries| entries.unwrap());
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
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

/// Code is shown from files that are built and tested.
#[test]
fn all_code_in_the_docs_is_that_of_the_files_it_names() {
    let mut seen = 0;
    for (name, page) in pages() {
        assert!(blocks(&page, "rust").is_empty(), "{name}: code of no file");
        for part in page.split("```rust file=").skip(1) {
            let (path, rest) = part.split_once('\n').unwrap();
            let code = rest.split("```").next().unwrap();
            let file = std::fs::read_to_string(root().join(path)).unwrap();
            assert!(file.contains(code), "{name}: not in {path}:\n{code}");
            seen += 1;
        }
    }
    assert!(seen >= 12, "{seen}");
    let program = std::fs::read_to_string(root().join("apps/templates/app/main.rs")).unwrap();
    let lines = program.lines().filter(|line| !line.is_empty() && !line.starts_with("use "));
    assert_eq!(lines.count(), 20);
}

#[test]
fn every_configuration_in_the_docs_is_good() {
    let mut seen = 0;
    for (name, page) in pages() {
        for block in blocks(&page, "yaml app-config") {
            if let Err(mistake) = umlaut::samples::Config::parse(block) {
                panic!("{name}: {mistake}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 7, "{seen}");
}

#[test]
fn every_sample_has_its_page() {
    let list = std::fs::read_to_string(root().join("docs/samples/README.md")).unwrap();
    let help = Command::new(env!("CARGO_BIN_EXE_umlaut")).args(["run", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let names = help.lines().filter_map(|line| line.trim().strip_prefix("- ")?.split_once(':'));
    let mut seen = 0;
    for (name, _) in names.filter(|(name, _)| list.contains(&format!("[`{name}`]({name}.md)"))) {
        assert!(root().join(format!("docs/samples/{name}.md")).exists(), "{name}");
        seen += 1;
    }
    assert_eq!(seen, 10, "{help}");
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
    assert!(seen >= 6, "{seen}");
}

#[test]
fn bad_arguments_and_files_have_their_exit_codes() {
    let run = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_umlaut")).args(args).current_dir(root()).output().unwrap()
    };
    let code = |args: &[&str]| run(args).status.code();
    assert_eq!(code(&["check", "examples/two-slices.yaml"]), Some(0));
    assert_eq!(code(&["check", "no-such-file.yaml"]), Some(78));
    assert_eq!(code(&["check"]), Some(2));
    assert_eq!(code(&["run"]), Some(2));
    assert_eq!(code(&["run", "--app", "hub", "examples/two-slices.yaml"]), Some(2));
    assert_eq!(code(&["run", "--app", "hub,hub"]), Some(2));
    assert_eq!(code(&["run", "--app", "firewall,routing-switch"]), Some(2));
    assert_eq!(code(&["run", "--app", "hub", "--app-config", "no-such-file.yaml"]), Some(78));
    assert_eq!(
        code(&["run", "--lab", "emulated", "--listen", "0.0.0.0:0", "examples/vlans.yaml"]),
        Some(2)
    );
    let directory = tempfile::tempdir().unwrap();
    let bad = directory.path().join("bad.yaml");
    std::fs::write(&bad, "umlaut: 1\nslices: {a: {members: [{port: s9/1}]}}\ncolour: red\n")
        .unwrap();
    let bad = bad.to_str().unwrap();
    let output = run(&["run", "--app", "hub", "--app-config", bad]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78));
    assert!(told.contains("bad.yaml: unknown field `umlaut`"), "{told}");
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

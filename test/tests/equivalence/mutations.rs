//! The errors that `test/mutations/run` plants can still be planted: each patch fits the code of now.

use std::path::Path;

/// What a hunk expects to find, line by line.
fn expected(hunk: &str) -> String {
    let lines = hunk.lines().filter_map(|line| line.strip_prefix([' ', '-']));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn every_mutation_can_be_planted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |folder: &str| std::fs::read_dir(root.join(folder)).expect("the folder is there");
    let mut count = 0;
    for entry in read("test/mutations").chain(read("test/mutations/unnoticed")) {
        let path = entry.expect("it can be read").path();
        if path.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        count += 1;
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let name = path.display();
        assert!(text.lines().next().is_some_and(|why| why.ends_with('.')), "{name}: what is it?");
        let mut files = text.split("\n--- a/").skip(1).peekable();
        assert!(files.peek().is_some(), "{name} changes nothing");
        for part in files {
            let (file, hunks) = part.split_once('\n').expect("a file's name has its line");
            let code = std::fs::read_to_string(root.join(file)).expect("the file is there");
            for hunk in hunks.split("\n@@ ").skip(1) {
                let body = hunk.split_once('\n').expect("a hunk has lines").1;
                let body = body.split("\ndiff --git").next().unwrap_or(body);
                let wanted = expected(body);
                assert!(code.contains(&wanted), "{name} does not fit {file}:\n{wanted}");
            }
        }
    }
    assert!(count >= 20, "only {count} mutations");
}

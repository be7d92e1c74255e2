//! What `umlaut new` writes builds, and its test passes.

use std::path::Path;
use std::process::{Command, Output};

fn umlaut_new(directory: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_umlaut"));
    command.arg("new").args(args).current_dir(directory).output().unwrap()
}

#[test]
fn the_test_of_a_new_application_passes() {
    let directory = tempfile::tempdir().unwrap();
    assert!(umlaut_new(directory.path(), &["my-app"]).status.success());
    let app = directory.path().join("my-app");
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    // What is built already is used: the same versions, settings and place. The crates of umlaut are built
    // again, and as fast as in their workspace.
    std::fs::copy(checkout.join("Cargo.lock"), app.join("Cargo.lock")).unwrap();
    let built = Path::new(env!("CARGO_BIN_EXE_umlaut")).ancestors().nth(2).unwrap();
    let mut test = Command::new(env!("CARGO"));
    test.args(["test", "--offline"])
        .args(["--config", "profile.dev.debug='line-tables-only'"])
        .args(["--config", "profile.dev.package.'*'.opt-level=1"])
        .args(["--config", "profile.dev.package.'*'.debug=false"]);
    for name in
        ["umlaut", "umlaut-controller", "umlaut-openflow", "umlaut-slice-db", "umlaut-testbed"]
    {
        test.args(["--config", &format!("profile.dev.package.{name}.opt-level=0")])
            .args(["--config", &format!("profile.dev.package.{name}.debug='line-tables-only'")]);
    }
    let test = test.current_dir(&app).env("CARGO_TARGET_DIR", built).output().unwrap();
    let told = String::from_utf8_lossy(&test.stdout);
    let complained = String::from_utf8_lossy(&test.stderr);
    assert!(test.status.success(), "{told}{complained}");
    assert!(told.contains("a_host_that_has_spoken_is_not_flooded_to ... ok"), "{told}");
    assert!(!complained.contains("warning"), "{complained}");
}

#[test]
fn nothing_is_overwritten_and_names_must_be_names() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("mine")).unwrap();
    std::fs::write(directory.path().join("mine/Cargo.toml"), "mine").unwrap();
    let code = |args: &[&str]| umlaut_new(directory.path(), args).status.code();
    assert_eq!(code(&["mine"]), Some(1));
    assert_eq!(std::fs::read(directory.path().join("mine/Cargo.toml")).unwrap(), b"mine");
    for name in ["test", "9lives", "My", ".", "/"] {
        assert_eq!(code(&[name]), Some(2), "{name}");
    }
    assert_eq!(code(&["other", "--umlaut", "mine"]), Some(1));
    assert!(!directory.path().join("other").exists());
    assert_eq!(code(&["deep/er/app"]), Some(0));
    assert!(directory.path().join("deep/er/app/src/main.rs").exists());
}

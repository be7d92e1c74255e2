//! Files that never end, are no files, or are too large: refused by name, within little memory.

mod support;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};

use support::{BINARY, Daemon, Pki};

const POLICY: &str = "umlaut: 1
switches: {s1: 0x1}
hosts: {a: {mac: \"00:00:00:00:00:01\", at: s1/1}, b: {mac: \"00:00:00:00:00:02\", at: s1/2}}
slices: {x: {members: [{port: s1/1}, {port: s1/2}]}}
";

/// What a file of certificates or keys may have.
const PEM_BYTES: u64 = 1 << 20;

/// Runs a shell line with `umlaut` in it, with about 3 GB of addresses.
fn limited(directory: &Path, line: &str) -> Output {
    let line = format!("umlaut() {{ '{BINARY}' \"$@\"; }}; ulimit -v 3000000; {line}");
    Command::new("sh").args(["-c", &line]).current_dir(directory).output().unwrap()
}

#[test]
fn what_never_ends_is_refused_by_name_in_bounded_memory() {
    let directory = tempfile::tempdir().unwrap();
    let included = "cases: [{after: policy /dev/zero, expect: a reaches b}]\n";
    fs::write(directory.path().join("p.yaml"), POLICY).unwrap();
    fs::write(directory.path().join("included.yaml"), format!("{POLICY}{included}")).unwrap();
    let pki = Pki::new(&directory.path().join("pki"), &[]);
    fs::copy(pki.file("ca.pem"), pki.file("large.pem")).unwrap();
    // Without blocks: it takes no room on the disk.
    let large = File::options().write(true).open(pki.file("large.pem")).unwrap();
    large.set_len(PEM_BYTES + 1).unwrap();
    drop(large);
    for (folder, file, other) in [("key", "ca-key.pem", "ca.pem"), ("ca", "ca.pem", "ca-key.pem")] {
        let folder = directory.path().join(folder);
        fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink("/dev/zero", folder.join(file)).unwrap();
        fs::copy(pki.file(other), folder.join(other)).unwrap();
    }
    let tls = |certificate: &str, key: &str, ca: &str| {
        format!(
            "umlaut run --listen 127.0.0.1:0 --no-socket --tls-cert {certificate} --tls-key {key} \
             --tls-ca {ca} p.yaml"
        )
    };
    let (certificate, key, ca) = ("pki/controller.pem", "pki/controller-key.pem", "pki/ca.pem");
    let zero = "/dev/zero: this is a device, no file";
    let explain = "umlaut explain --in s1/1";
    let frame = "--src a --dst b";
    for (line, code, told) in [
        ("umlaut check /dev/zero", 78, zero),
        ("umlaut test /dev/zero", 78, zero),
        ("umlaut test included.yaml", 78, "included.yaml:5: /dev/zero: this is a device"),
        (&format!("{explain} {frame} /dev/zero"), 78, zero),
        ("umlaut run --listen 127.0.0.1:0 /dev/zero", 78, zero),
        ("umlaut lab up /dev/zero", 78, zero),
        (&format!("{explain} --pcap /dev/zero p.yaml"), 1, zero),
        ("umlaut decode --pcap /dev/zero", 1, zero),
        (&format!("{explain} --frame - p.yaml </dev/zero"), 1, "--frame: larger than 1 MiB"),
        ("yes 'umlaut: 1' | umlaut check /dev/stdin", 78, "/dev/stdin: larger than 128 MiB"),
        ("umlaut check .", 78, ".: this is a directory"),
        ("umlaut pki issue s1 --dir key", 1, "key/ca-key.pem: this is a device, no file"),
        ("umlaut pki issue s1 --dir ca", 1, "ca/ca.pem: this is a device, no file"),
        (&tls("/dev/zero", key, ca), 78, zero),
        (&tls(certificate, "/dev/zero", ca), 78, zero),
        (&tls(certificate, key, "/dev/zero"), 78, zero),
        (&tls(certificate, key, "pki/large.pem"), 78, "pki/large.pem: larger than 1 MiB"),
    ] {
        let output = limited(directory.path(), line);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}: {stderr}");
        assert!(stderr.contains(told), "{line}: {stderr}");
    }
}

#[test]
fn pipes_are_read_as_files_are() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("p.yaml"), POLICY).unwrap();
    let output = limited(directory.path(), "cat p.yaml | umlaut check /dev/stdin");
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(told, "/dev/stdin: good: 1 slices, 2 members, 0 filters, 0 cases\n");
}

#[test]
fn a_policy_that_has_become_too_large_or_no_file_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.yaml");
    fs::write(&path, POLICY).unwrap();
    let mut daemon = Daemon::start(&["--listen", "127.0.0.1:0", path.to_str().unwrap()]);
    daemon.listening();
    // Without blocks: it takes no room on the disk.
    File::options().write(true).open(&path).unwrap().set_len(200 << 20).unwrap();
    let kept = "policy not reloaded: the running one stays";
    let error = daemon.told(kept)["error"].to_string();
    assert!(error.contains("larger than 128 MiB"), "{error}");
    let link = directory.path().join("link");
    std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
    fs::rename(&link, &path).unwrap();
    let error = daemon.told(kept)["error"].to_string();
    assert!(error.contains("this is a device"), "{error}");
    let next = directory.path().join("next");
    fs::write(&next, POLICY.replace("{port: s1/2}", "{port: s1/3}")).unwrap();
    fs::rename(&next, &path).unwrap();
    daemon.told("policy reloaded");
}

//! `umlaut run` as a service: what it tells the service manager, signals, exit codes, and a log that
//! strangers cannot fill.

mod support;

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use nix::sys::signal::Signal;
use support::{Daemon, PATIENCE, umlaut};

const POLICY: &str = "umlaut: 1\nslices: {a: {members: [{port: 0x1/1}, {port: 0x1/2}]}}\n";

/// The service manager's end of `NOTIFY_SOCKET`.
struct Manager(UnixDatagram);

impl Manager {
    fn new(path: &Path) -> Manager {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager(socket)
    }

    /// The next notification.
    fn heard(&self) -> String {
        let mut buffer = [0; 4096];
        let n = self.0.recv(&mut buffer).expect("a notification");
        String::from_utf8(buffer[..n].to_vec()).unwrap().trim_end().to_owned()
    }

    /// The next notification that is none of the watchdog's.
    fn news(&self) -> String {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let heard = self.heard();
            if heard != "WATCHDOG=1" {
                return heard;
            }
        }
        panic!("only the watchdog is fed");
    }

    fn heard_of_reload(&self) {
        let reloading = self.news();
        let (reloading, usec) = reloading.split_once('\n').expect("two lines");
        assert_eq!(reloading, "RELOADING=1");
        let usec = usec.strip_prefix("MONOTONIC_USEC=").expect("when it began");
        assert!(usec.parse::<u64>().is_ok_and(|usec| usec > 0), "{usec}");
        assert_eq!(self.news(), "READY=1");
    }
}

#[test]
fn the_service_manager_hears_of_start_reloads_life_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, policy) = (folder.path().join("notify"), folder.path().join("policy.yaml"));
    std::fs::write(&policy, POLICY).unwrap();
    let manager = Manager::new(&socket);
    let environment =
        [("NOTIFY_SOCKET", socket.as_os_str()), ("WATCHDOG_USEC", OsStr::new("100000"))];
    let args = ["--listen", "127.0.0.1:0", policy.to_str().unwrap()];
    let mut daemon = Daemon::start_with(&args, &environment);
    assert_eq!(manager.news(), "READY=1");
    // It is ready when it listens.
    TcpStream::connect(daemon.listening()).unwrap();

    daemon.signal(Signal::SIGHUP);
    manager.heard_of_reload();
    daemon.told("policy reloaded");
    std::fs::write(&policy, POLICY.replace("0x1/2", "0x1/3")).unwrap();
    manager.heard_of_reload();
    assert_eq!(daemon.told("policy reloaded")["touched"], "members +1 -1 ~0");

    let begun = Instant::now();
    for _ in 0..3 {
        assert_eq!(manager.heard(), "WATCHDOG=1");
    }
    assert!(begun.elapsed() < PATIENCE / 10, "twice per period: {:?}", begun.elapsed());

    daemon.signal(Signal::SIGTERM);
    assert_eq!(manager.news(), "STOPPING=1");
    assert_eq!(daemon.ended(), Some(0));
}

#[test]
fn a_controller_ends_with_whoever_began_it_if_it_is_to() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    std::fs::write(&policy, POLICY).unwrap();
    let args = ["--until-eof", "--no-socket", "--listen", "127.0.0.1:0", policy.to_str().unwrap()];
    let mut daemon = Daemon::start(&args);
    daemon.listening();
    daemon.end_input();
    daemon.told("stopping");
    assert_eq!(daemon.ended(), Some(0));
    // Others do not care.
    let mut daemon = Daemon::start(&args[1..]);
    let address = daemon.listening();
    daemon.end_input();
    TcpStream::connect(address).unwrap();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
}

/// Writes to a file again and again until it is dropped, without a rest.
struct Busy(Arc<AtomicBool>, Option<JoinHandle<()>>);

impl Busy {
    fn new(file: PathBuf) -> Busy {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let write = move || {
            while !stopped.load(Ordering::Relaxed) {
                std::fs::write(&file, "once more").unwrap();
            }
        };
        Busy(stop, Some(std::thread::spawn(write)))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        let _ = self.1.take().map(JoinHandle::join);
    }
}

#[test]
fn a_file_beside_the_policy_that_never_rests_puts_off_no_reload() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    std::fs::write(&policy, POLICY).unwrap();
    let mut daemon = Daemon::start(&["--listen", "127.0.0.1:0", policy.to_str().unwrap()]);
    daemon.listening();
    let _busy = Busy::new(folder.path().join("other.log"));
    std::fs::write(&policy, POLICY.replace("0x1/2", "0x1/3")).unwrap();
    daemon.told("policy reloaded");
    daemon.signal(Signal::SIGHUP);
    daemon.told("policy reloaded");
}

/// A policy with members at ports 1 to `ports` of one switch, an item a line.
fn policy_of(ports: u32) -> String {
    let members = (1..=ports).map(|port| format!("    - {{port: 0x1/{port}}}\n"));
    format!("umlaut: 1\nslices:\n  a:\n    members:\n{}", members.collect::<String>())
}

#[test]
fn a_writer_that_pauses_puts_no_half_of_a_policy_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let (policy, other) = (folder.path().join("policy.yaml"), folder.path().join("apps.yaml"));
    std::fs::write(&policy, policy_of(20)).unwrap();
    std::fs::write(&other, "{}\n").unwrap();
    let (policy_arg, other_arg) = (policy.to_str().unwrap(), other.to_str().unwrap());
    let args = ["--listen", "127.0.0.1:0", "--app-config", other_arg, policy_arg];
    let mut daemon = Daemon::start(&args);
    daemon.listening();
    let new = policy_of(22);
    let (half, rest) = new.split_at(policy_of(8).len());
    let mut writer = std::fs::File::create(&policy).unwrap();
    writer.write_all(half.as_bytes()).unwrap();
    // Half of it is a policy, too. What another file takes to be read, it is left alone.
    std::fs::write(&other, "{} # again\n").unwrap();
    daemon.told("application configuration read again");
    writer.write_all(rest.as_bytes()).unwrap();
    drop(writer);
    assert_eq!(daemon.told("policy reloaded")["touched"], "members +2 -0 ~0");
    let told = |line: &&serde_json::Value| line["fields"]["message"] == "policy reloaded";
    assert_eq!(daemon.seen().iter().filter(told).count(), 1);
}

#[test]
fn a_policy_is_read_however_it_is_replaced() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // As Kubernetes mounts configuration: the file is a link into a folder that is a link.
    for (name, ports) in [("..1", 1), ("..2", 3)] {
        std::fs::create_dir(at(name)).unwrap();
        std::fs::write(at(name).join("policy.yaml"), policy_of(ports)).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/policy.yaml", at("policy.yaml")).unwrap();
    let mut daemon =
        Daemon::start(&["--listen", "127.0.0.1:0", at("policy.yaml").to_str().unwrap()]);
    daemon.listening();
    let mut reloads = |touched: &str| {
        assert_eq!(daemon.told("policy reloaded")["touched"], touched);
    };
    symlink("..2", at("..new")).unwrap();
    std::fs::rename(at("..new"), at("..data")).unwrap();
    reloads("members +2 -0 ~0");
    std::fs::remove_dir_all(at("..1")).unwrap();
    // The file itself, where the links lead now.
    std::fs::write(at("..2/policy.yaml"), policy_of(4)).unwrap();
    reloads("members +1 -0 ~0");
    // A file in the place of the link, and another in its place.
    for (ports, touched) in [(5, "members +1 -0 ~0"), (2, "members +0 -3 ~0")] {
        std::fs::write(at("new.yaml"), policy_of(ports)).unwrap();
        std::fs::rename(at("new.yaml"), at("policy.yaml")).unwrap();
        reloads(touched);
    }
}

#[test]
fn a_policy_that_is_gone_or_wrong_is_reported_once_and_read_when_it_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("config/policy.yaml");
    std::fs::create_dir(folder.path().join("config")).unwrap();
    std::fs::write(&policy, policy_of(1)).unwrap();
    let mut daemon = Daemon::start(&["--listen", "127.0.0.1:0", policy.to_str().unwrap()]);
    daemon.listening();
    let stays = "policy not reloaded: the running one stays";
    std::fs::remove_file(&policy).unwrap();
    assert!(daemon.told(stays)["error"].as_str().unwrap().contains("No such file"));
    let wrong = "umlaut: 1\nslices: {a: {members: [{port: 0x1\n";
    std::fs::write(&policy, wrong).unwrap();
    assert_eq!(daemon.told(stays)["mistakes"], 1);
    // The same again is no news.
    std::fs::write(&policy, wrong).unwrap();
    std::fs::write(&policy, policy_of(3)).unwrap();
    assert_eq!(daemon.told("policy reloaded")["touched"], "members +2 -0 ~0");
    // Its folder, too, may go and come back.
    std::fs::rename(policy.parent().unwrap(), folder.path().join("old")).unwrap();
    assert!(daemon.told(stays)["error"].as_str().unwrap().contains("No such file"));
    std::fs::create_dir(policy.parent().unwrap()).unwrap();
    std::fs::write(&policy, policy_of(4)).unwrap();
    assert_eq!(daemon.told("policy reloaded")["touched"], "members +1 -0 ~0");
    let told = |line: &&serde_json::Value| line["fields"]["message"] == stays;
    assert_eq!(daemon.seen().iter().filter(told).count(), 3);
}

#[test]
fn a_byte_order_mark_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    let check = |text: &str| {
        std::fs::write(&policy, format!("\u{feff}{text}")).unwrap();
        let output = umlaut(&["check", policy.to_str().unwrap()]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(check(&policy_of(2)).0, Some(0));
    let (code, told) = check("umlaut: 1\nslices: {a: {members: [{prt: 0x1/1}]}}\n");
    assert_eq!(code, Some(78), "{told}");
    assert!(told.contains("policy.yaml:2:25"), "{told}");
    let (code, told) = check("umlot: 1\n");
    assert_eq!(code, Some(78), "{told}");
    assert!(told.contains("policy.yaml:1:1"), "{told}");
}

#[test]
fn a_hangup_ends_nothing_where_there_is_nothing_to_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let manager = Manager::new(&socket);
    let environment = [("NOTIFY_SOCKET", socket.as_os_str())];
    let args = ["--app", "hub", "--listen", "127.0.0.1:0"];
    let mut daemon = Daemon::start_with(&args, &environment);
    assert_eq!(manager.heard(), "READY=1");
    daemon.signal(Signal::SIGHUP);
    daemon.told("nothing to reload");
    // Or it would be waited for in vain.
    manager.heard_of_reload();
    daemon.signal(Signal::SIGINT);
    assert_eq!(manager.heard(), "STOPPING=1");
    assert_eq!(daemon.ended(), Some(0));
}

#[test]
fn every_way_to_fail_has_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    std::fs::write(&policy, "umlaut: 2\n").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let rows: &[(&[&str], i32, &str)] = &[
        (&["--app", "hub", "--listen", &taken], 1, &taken),
        (&["--listen", "127.0.0.1:0"], 2, "policy file"),
        (&["--app", "hub", "--listen", "nonsense"], 2, "nonsense"),
        (&["--app", "hub", "--openflow", "1.9"], 2, "1.9"),
        (&["--app", "hub", "--log", "inof"], 2, "inof"),
        (&["--app", "hub", "--log-format", "xml"], 2, "xml"),
        (&[policy.to_str().unwrap()], 78, "wrong-value"),
        (&["/none/policy.yaml"], 78, "/none/policy.yaml: No such file"),
        (&["--app", "hub", "--app-config", "/none/hub.yaml"], 78, "/none/hub.yaml: No such file"),
    ];
    for (args, code, named) in rows {
        let output = umlaut(&[&["run"], *args].concat());
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{args:?}: {told}");
        assert!(told.contains(named), "{args:?}: {told}");
    }
    let help = umlaut(&["run", "--help"]).stdout;
    let help = String::from_utf8(help).unwrap();
    let table = help.split("Exit codes:").nth(1).expect("exit codes in the help");
    for code in ["0 ", "1 ", "2 ", "78"] {
        assert!(table.lines().any(|line| line.trim_start().starts_with(code)), "{code}: {table}");
    }
}

#[test]
fn a_flood_of_strangers_is_one_line_of_the_log() {
    let mut daemon = Daemon::start(&["--app", "hub", "--listen", "127.0.0.1:0"]);
    let port = daemon.listening();
    for _ in 0..200 {
        let mut socket = TcpStream::connect(port).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // A message shorter than its own header.
        socket.write_all(&[4, 0, 0, 0, 0, 0, 0, 1]).unwrap();
        // It is over when the controller closes.
        let _ = socket.read_to_end(&mut Vec::new());
    }
    daemon.signal(Signal::SIGTERM);
    daemon.told("stopping");
    let lines = daemon.seen().iter();
    let count =
        lines.filter(|l| l["fields"]["message"] == "connection ended before it was ready").count();
    assert_eq!(count, 1);
    assert_eq!(daemon.ended(), Some(0));
}

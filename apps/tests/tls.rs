//! TLS between switches and controller: certificates made, shown, demanded, refused, renewed.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use nix::sys::signal::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConnection, StreamOwned};
use support::{Daemon, PATIENCE, Pki, connect, umlaut};
use umlaut_slice_db::Fingerprint;

const POLICY: &str = "umlaut: 1\nswitches: {s1: {dpid: 0x1, cert: s1}, s2: 0x2}\nslices: {a: {members: [{port: s1/1}, {port: s2/1}]}}\n";

/// A controller with certificates and this policy, on a TLS port.
fn controller(pki: &Pki, policy: &str, more: &[&str]) -> Daemon {
    let file = pki.file("policy.yaml");
    std::fs::write(&file, policy).unwrap();
    let mut args = pki.controller();
    args.extend(["--listen".to_owned(), "ssl:127.0.0.1:0".to_owned()]);
    args.extend(more.iter().map(|arg| (*arg).to_owned()));
    args.push(file.to_str().unwrap().to_owned());
    Daemon::start(&args)
}

fn fingerprint(file: &Path) -> Fingerprint {
    let certificate = CertificateDer::from_pem_file(file).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, &certificate);
    Fingerprint(digest.as_ref().try_into().unwrap())
}

#[test]
fn keys_are_for_their_owner_and_nothing_is_replaced_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki"), &["s1"]);
    for key in ["ca-key.pem", "controller-key.pem", "s1-key.pem"] {
        let mode = pki.file(key).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    let old = fingerprint(&pki.file("s1.pem"));
    let dir = pki.0.to_str().unwrap();
    for (args, named) in [(&["init"][..], "ca-key.pem"), (&["issue", "s1"], "s1-key.pem")] {
        let output = umlaut(&[&["pki"], args, &["--dir", dir]].concat());
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(named) && told.contains("--force"), "{told}");
    }
    assert_eq!(fingerprint(&pki.file("s1.pem")), old);
    let told = pki.run(&["issue", "s1", "--force"]);
    let new = fingerprint(&pki.file("s1.pem"));
    assert_ne!(new, old);
    assert!(told.contains(&new.to_string()) && told.contains("ovs-vsctl set-ssl /"), "{told}");
    for bad in ["ca", "../s1", "-s1", "s 1", "s1.", "*.lab", ""] {
        let output = umlaut(&["pki", "issue", "--dir", dir, "--", bad]);
        assert_eq!(output.status.code(), Some(2), "{bad}");
    }
}

#[test]
fn an_authority_whose_files_do_not_belong_together_signs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let (one, other) = (Pki::new(&one, &[]), Pki::new(&other, &[]));
    std::fs::copy(other.file("ca.pem"), one.file("ca.pem")).unwrap();
    let output = umlaut(&["pki", "issue", "s1", "--dir", one.0.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("ca.pem: not the certificate of the key"), "{told}");
    assert!(!one.file("s1.pem").exists() && !one.file("s1-key.pem").exists());
}

#[test]
fn a_switch_joins_with_its_certificate_and_not_with_another() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki"), &["s1", "s2"]);
    let strangers = Pki::new(&folder.path().join("other"), &["s1"]);
    // It trusts the controller; only its own certificate is of another authority.
    std::fs::copy(pki.file("ca.pem"), strangers.file("ca.pem")).unwrap();
    let mut daemon = controller(&pki, POLICY, &["--listen", "tcp:127.0.0.1:0"]);
    let mut ports = [daemon.told("listening"), daemon.told("listening")];
    ports.sort_by_key(|fields| !fields["tls"].as_bool().unwrap());
    let [tls, plain] = ports.map(|fields| fields["addr"].as_str().unwrap().parse().unwrap());

    connect(tls, 1, Some(pki.switch(Some("s1"))));
    assert_eq!(daemon.told("switch ready")["dpid"], "0x1");
    connect(plain, 2, None);
    assert_eq!(daemon.told("switch ready")["dpid"], "0x2");

    connect(tls, 1, Some(pki.switch(Some("s2"))));
    let reason = daemon.refusal();
    assert!(reason.contains("s1 must show the certificate s1 and showed s2 (sha256:"), "{reason}");
    connect(plain, 1, None);
    let reason = daemon.refusal();
    assert!(reason.contains("s1 must show the certificate s1 and connected without"), "{reason}");
    connect(tls, 1, Some(strangers.switch(Some("s1"))));
    let reason = daemon.refusal();
    assert!(reason.contains("UnknownIssuer"), "{reason}");
    connect(tls, 1, Some(pki.switch(None)));
    let reason = daemon.refusal();
    assert!(reason.contains("no certificate"), "{reason}");
    // A certificate of a controller is none of a switch.
    connect(tls, 1, Some(pki.switch(Some("controller"))));
    let reason = daemon.refusal();
    assert!(reason.contains("for client authentication"), "{reason}");
    connect(tls, 1, None);
    let reason = daemon.refusal();
    assert!(reason.contains("does the other end use ssl:?"), "{reason}");

    // Nothing of this touched whoever is served: it can still be disconnected.
    let fingerprint = fingerprint(&pki.file("s2.pem"));
    let policy = POLICY.replace("cert: s1", &format!("cert: \"{fingerprint}\""));
    std::fs::write(pki.file("policy.yaml"), policy).unwrap();
    let gone = daemon.told("switch gone");
    assert_eq!(gone["dpid"], "0x1");
    connect(tls, 1, Some(pki.switch(Some("s2"))));
    assert_eq!(daemon.told("switch ready")["dpid"], "0x1");
}

#[test]
fn certificates_are_read_again_and_broken_ones_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki"), &["s1"]);
    let next = Pki::new(&folder.path().join("next"), &["s1"]);
    let mut daemon = controller(&pki, POLICY, &[]);
    let port = daemon.listening();
    let old_switch = pki.switch(Some("s1"));
    connect(port, 1, Some(old_switch.clone()));
    daemon.told("switch ready");

    // The file changes.
    std::fs::write(pki.file("ca.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    let told = daemon.told("certificates not reloaded: the running ones stay");
    let error = told["error"].as_str().unwrap();
    assert!(error.starts_with(pki.file("ca.pem").to_str().unwrap()), "{error}");
    // What nobody would take for a certificate is not read.
    let file = std::fs::File::options().write(true).open(pki.file("ca.pem")).unwrap();
    // Without blocks: it takes no room on the disk.
    file.set_len(2 << 20).unwrap();
    drop(file);
    daemon.wait_for("certificates not reloaded: the running ones stay", |fields| {
        fields["error"].as_str().unwrap().ends_with("ca.pem: larger than 1 MiB")
    });
    // SIGHUP tries again.
    daemon.signal(Signal::SIGHUP);
    daemon.told("certificates not reloaded: the running ones stay");
    connect(port, 2, Some(old_switch.clone()));
    daemon.wait_for("switch ready", |fields| fields["dpid"] == "0x2");

    for file in ["controller.pem", "controller-key.pem", "ca.pem"] {
        std::fs::copy(next.file(file), pki.file(file)).unwrap();
    }
    daemon.told("certificates reloaded: connections from now on use them");
    connect(port, 1, Some(next.switch(Some("s1"))));
    // The same name: the older connection gives way.
    daemon.wait_for("switch ready", |fields| fields["dpid"] == "0x1");
    connect(port, 3, Some(old_switch));
    let reason = daemon.refusal();
    assert!(reason.contains("alert") || reason.contains("UnknownIssuer"), "{reason}");
}

#[test]
fn who_does_not_shake_hands_is_left_in_time_and_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki"), &["s1"]);
    let mut daemon = controller(&pki, POLICY, &[]);
    let port = daemon.listening();
    let begun = Instant::now();
    let mut slow: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(port).unwrap()).collect();
    // The first bytes of a handshake.
    slow.iter_mut().for_each(|socket| socket.write_all(&[22, 3, 1]).unwrap());
    connect(port, 1, Some(pki.switch(Some("s1"))));
    daemon.told("switch ready");
    for socket in &mut slow {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        // Closed, with an alert or without.
        let _ = socket.read_to_end(&mut rest);
    }
    assert!(begun.elapsed() < PATIENCE);
    let reason = daemon.refusal();
    assert!(reason.contains("no TLS handshake in time"), "{reason}");
}

#[test]
fn files_for_tls_are_all_there_and_good_or_it_does_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki"), &["s1"]);
    let at = |name: &str| pki.file(name).to_str().unwrap().to_owned();
    let (cert, key, ca) = (at("controller.pem"), at("controller-key.pem"), at("ca.pem"));
    let (other, missing) = (at("s1-key.pem"), at("missing.pem"));
    let run = |args: &[&str]| {
        let always = ["run", "--app", "hub", "--listen", "127.0.0.1:0"];
        let output = umlaut(&[&always, args].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let rows: &[(&[&str], i32, &[&str])] = &[
        (&["--tls-cert", &cert], 2, &["--tls-key", "--tls-ca"]),
        (&["--tls-cert", &cert, "--tls-ca", &ca], 2, &["--tls-key"]),
        (&["--listen", "ssl:127.0.0.1:0"], 2, &["ssl:127.0.0.1:0", "--tls-cert"]),
        (&["--listen", "udp:127.0.0.1:0"], 2, &["udp:127.0.0.1:0"]),
        (
            &["--tls-cert", &cert, "--tls-key", &missing, "--tls-ca", &ca],
            78,
            &[&missing, "No such file"],
        ),
        (&["--tls-cert", &key, "--tls-key", &key, "--tls-ca", &ca], 78, &[&key, "no certificate"]),
        (&["--tls-cert", &cert, "--tls-key", &cert, "--tls-ca", &ca], 78, &["no private key"]),
        (
            &["--tls-cert", &cert, "--tls-key", &other, "--tls-ca", &ca],
            78,
            &[&other, "not the key of the certificate in", &cert],
        ),
    ];
    for (args, code, texts) in rows {
        let (ended, told) = run(args);
        assert_eq!(ended, Some(*code), "{args:?}: {told}");
        for text in *texts {
            assert!(told.contains(text), "{args:?}: {told}");
        }
    }
}

#[test]
fn a_plain_port_beyond_loopback_is_warned_of() {
    for (address, warned) in [("0.0.0.0:0", true), ("127.0.0.1:0", false)] {
        let mut daemon = Daemon::start(&["--app", "hub", "--listen", address]);
        let lines = |text: &str| text.starts_with("plain TCP beyond loopback");
        daemon.listening();
        let seen = daemon.seen();
        let count =
            seen.iter().filter(|l| l["fields"]["message"].as_str().is_some_and(lines)).count();
        assert_eq!(count, usize::from(warned), "{address}");
    }
}

/// More than the TLS layer and the socket hold at once, both ways, from a switch that first says all
/// and then listens.
#[test]
fn every_byte_arrives_in_order_when_the_other_end_is_slow() {
    const ECHOES: u32 = 200;
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki"), &["s1"]);
    let mut daemon = controller(&pki, POLICY, &[]);
    let socket = TcpStream::connect(daemon.listening()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let name = "controller".try_into().unwrap();
    let tls = ClientConnection::new(pki.switch(Some("s1")), name).unwrap();
    let mut stream = StreamOwned::new(tls, socket);
    stream.write_all(&[4, 0, 0, 8, 0, 0, 0, 1]).unwrap();
    let payload = |echo: u32| -> Vec<u8> { (0..60_000).map(|at| (at * 7 + echo) as u8).collect() };
    for echo in 0..ECHOES {
        let payload = payload(echo);
        let length = (8 + payload.len() as u16).to_be_bytes();
        let header = [&[4, 2], &length[..], &echo.to_be_bytes()].concat();
        stream.write_all(&[header, payload].concat()).unwrap();
    }
    let mut echo = 0;
    while echo < ECHOES {
        let mut header = [0; 8];
        stream.read_exact(&mut header).unwrap();
        let mut body = vec![0; usize::from(u16::from_be_bytes([header[2], header[3]])) - 8];
        stream.read_exact(&mut body).unwrap();
        // An echo reply; hello and a features request come as well.
        if header[1] == 3 {
            assert_eq!(header[4..], echo.to_be_bytes());
            assert!(body == payload(echo), "echo {echo}");
            echo += 1;
        }
    }
    // Nothing waited until the features were overdue.
    stream.write_all(&[4, 2, 0, 8, 0, 0, 0, 0]).unwrap();
    let mut last = [0; 8];
    stream.read_exact(&mut last).expect("the connection is still served");
    assert_eq!(last, [4, 3, 0, 8, 0, 0, 0, 0]);
}

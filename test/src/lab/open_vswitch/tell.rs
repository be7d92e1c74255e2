//! Commands of the system. Runtime.

use std::io::Write;
use std::process::{Command, Stdio};

use super::super::{Done, LabProblem};
use crate::ovs::{apart, sh};

/// `ovs-vsctl`, which gives up after a while; what it prints.
pub(super) fn vsctl(args: &[&str]) -> Result<String, LabProblem> {
    Ok(sh("ovs-vsctl", &[&["--timeout=20"], args].concat())?)
}

/// `ip`.
pub(super) fn ip(args: &[&str]) -> Done {
    sh("ip", args)?;
    Ok(())
}

/// `ip` with many commands, in a namespace or not.
pub(super) fn ip_batch(namespace: Option<&str>, commands: &str) -> Done {
    let mut ip = Command::new("ip");
    if let Some(namespace) = namespace {
        ip.args(["-n", namespace]);
    }
    let system = |error: std::io::Error| LabProblem::System(format!("ip -batch: {error}"));
    let mut child = apart(&mut ip)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(system)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that fails says so when it has ended.
        let _ = stdin.write_all(commands.as_bytes());
    }
    let output = child.wait_with_output().map_err(system)?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let told = String::from_utf8_lossy(&output.stderr);
            Err(LabProblem::System(format!("ip -batch: {}", told.trim())))
        }
    }
}

//! The controller as a child process. Runtime.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;

use super::{Event, apart};
use crate::scenario::{App, GroundError};

/// A running `umlaut run`. Dropped: killed and reaped. It also ends with this process, however that
/// ends: its standard input is at its end then.
pub(super) struct Controller {
    child: Child,
}

impl Controller {
    /// Starts it with an application, which gets the policy if it has slices; it can be asked at a
    /// socket beside that file. Each line of its log becomes an event.
    pub(super) fn start(
        binary: &Path,
        port: u16,
        policy: &Path,
        app: App,
        events: Sender<Event>,
    ) -> Result<Controller, GroundError> {
        let mut child = apart(&mut Command::new(binary))
            .args([
                "run",
                "--until-eof",
                "--log-format",
                "json",
                "--listen",
                &format!("127.0.0.1:{port}"),
            ])
            // Where switches come from that connect from another address.
            .args(["--listen", &format!("[::1]:{port}")])
            .arg("--socket")
            .arg(policy.with_extension("sock"))
            .args(["--app", app.name()])
            .args((app == App::SliceableSwitch).then_some(policy))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| GroundError(format!("{}: {error}", binary.display())))?;
        if let Some(stderr) = child.stderr.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    if events.send(Event::Log(line)).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Controller { child })
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

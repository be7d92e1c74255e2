//! What is wrong with the facts, and the command that repairs each. Pure.

use std::time::Duration;

use super::bridges::bridge;
use super::facts::{Bridge, Facts, OpenVSwitch, PolicyFile, PortUse, Tls};
use super::{Finding, Level};
use crate::calendar::{moment, rfc3339};

/// A certificate that ends sooner is warned of.
const SOON: Duration = Duration::from_secs(7 * 86_400);

/// All findings, in the order in which things depend on each other.
pub(super) fn diagnose(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(facts.policy.as_ref().map(policy));
    findings.extend(clock(facts));
    findings.push(controller(facts));
    findings.push(port(facts));
    match &facts.openvswitch {
        OpenVSwitch::NotInstalled => {
            findings.push(Finding::ok("Open vSwitch", "not installed: bridges are not looked at"));
        }
        OpenVSwitch::NotRunning(error) => {
            findings.push(
                Finding::error("Open vSwitch", format!("does not answer: {error}"))
                    .repaired_by("/usr/share/openvswitch/scripts/ovs-ctl start --system-id=random"),
            );
        }
        OpenVSwitch::Running { bridges, others, missing, tls: files, kernel } => {
            findings.push(Finding::ok("Open vSwitch", "runs"));
            for name in others {
                let why = "another controller's, and not named by the policy: not looked at";
                findings.push(Finding::ok(format!("bridge {name}"), why));
            }
            for name in missing {
                findings.push(
                    Finding::error(format!("bridge {name}"), "there is no such bridge")
                        .repaired_by(format!("ovs-vsctl add-br {name}")),
                );
            }
            if bridges.is_empty() && missing.is_empty() {
                findings.push(Finding::warning(
                    "bridges",
                    "none has a controller or is named by the policy; say which with --bridge",
                ));
            }
            let secure = bridges.iter().flat_map(|bridge| &bridge.targets);
            if secure.into_iter().any(|target| target.target.starts_with("ssl:")) {
                findings.extend(tls(facts, files.as_ref()));
            }
            for (index, one) in bridges.iter().enumerate() {
                let found = bridge(facts, one, *kernel);
                let agrees = !found.iter().any(|finding| {
                    finding.level == Level::Error && finding.what.ends_with(": datapath id")
                });
                findings.extend(found);
                // One that differs from the policy is repaired by that.
                if agrees && let Some(twin) = bridges[..index].iter().find(|b| b.dpid == one.dpid) {
                    findings.extend(twins(one, twin, bridges));
                }
            }
        }
    }
    if let Ok(running) = &facts.controller {
        findings.extend(super::flows::flows(running, facts.bridges()));
    }
    findings
}

/// Two bridges of one datapath id: the controller serves one of them.
fn twins(one: &Bridge, twin: &Bridge, bridges: &[Bridge]) -> Option<Finding> {
    let dpid = one.dpid?;
    let taken = |id| bridges.iter().any(|other| other.dpid.is_some_and(|dpid| dpid.0 == id));
    let free = (1..).find(|id| !taken(*id))?;
    let what = format!("bridge {}: datapath id", one.name);
    let finding = Finding::error(what, format!("{dpid} is that of {}, too", twin.name));
    Some(finding.repaired_by(set_dpid(&one.name, free)))
}

/// The command that gives a bridge a datapath id.
pub(super) fn set_dpid(bridge: &str, dpid: u64) -> String {
    format!("ovs-vsctl set bridge {bridge} other-config:datapath-id={dpid:016x}")
}

/// The command that starts the controller.
pub(super) fn start(facts: &Facts) -> String {
    let policy = facts.policy.as_ref().map_or("POLICY", |policy| &policy.path);
    match facts.listen {
        usual if usual.port() == 6653 => format!("umlaut run {policy}"),
        other => format!("umlaut run --listen {other} {policy}"),
    }
}

fn policy(policy: &PolicyFile) -> Finding {
    let what = format!("policy {}", policy.path);
    match (&policy.switches, policy.warnings) {
        (Ok(switches), 0) => Finding::ok(what, format!("good: {} switches", switches.len())),
        (Ok(_), warnings) => Finding::warning(what, format!("good, with {warnings} warnings"))
            .repaired_by(format!("umlaut check {}", policy.path)),
        (Err(mistake), _) => Finding::error(what, mistake.clone())
            .repaired_by(format!("umlaut check {}", policy.path)),
    }
}

fn clock(facts: &Facts) -> Option<Finding> {
    const REPAIR: &str = "timedatectl set-ntp true";
    let built = moment((2025, 1, 1), (0, 0, 0));
    if built.is_some_and(|built| facts.now < built) {
        let why = format!("says {}, which is long ago", rfc3339(facts.now));
        return Some(Finding::error("clock", why).repaired_by(REPAIR));
    }
    match facts.synchronized {
        Some(true) => Some(Finding::ok("clock", "synchronised")),
        Some(false) => {
            let why = "not synchronised: certificates and times of events may be judged wrongly";
            Some(Finding::warning("clock", why).repaired_by(REPAIR))
        }
        None => None,
    }
}

fn controller(facts: &Facts) -> Finding {
    match &facts.controller {
        Ok(running) => {
            let about = &running.about;
            let why = format!("runs (pid {}, umlaut {})", about.pid, about.version);
            Finding::ok("controller", why)
        }
        Err(error) => Finding::error("controller", error.clone()).repaired_by(start(facts)),
    }
}

fn port(facts: &Facts) -> Finding {
    let what = format!("port {}", facts.listen);
    let ours = facts.controller.as_ref().ok().map(|running| running.about.pid);
    match (&facts.port, ours) {
        (PortUse::Held(Some(holder)), Some(pid)) if holder.pid == pid => {
            Finding::ok(what, "the controller listens")
        }
        // Other users' processes cannot be looked into.
        (PortUse::Held(None), Some(_)) => Finding::ok(what, "somebody listens"),
        (PortUse::Free, None) => Finding::ok(what, "free"),
        (PortUse::Free, Some(_)) => {
            let why = "nobody listens: the controller listens elsewhere";
            Finding::error(what, why).repaired_by(start(facts))
        }
        (PortUse::Held(Some(holder)), _) => {
            let why = format!("held by {} (pid {})", holder.name, holder.pid);
            // The kernel cuts names after 15 bytes.
            let repair = match holder.name.starts_with("ovs-testcontrol") {
                true => "systemctl disable --now openvswitch-testcontroller".to_owned(),
                false => format!("kill {}", holder.pid),
            };
            Finding::error(what, why).repaired_by(repair)
        }
        (PortUse::Held(None), None) => {
            let why = "held by a process of another user";
            let repair = format!("sudo ss -ltnp 'sport = :{}'", facts.listen.port());
            Finding::error(what, why).repaired_by(repair)
        }
        (PortUse::Unusable(error), _) => {
            Finding::error(what, format!("cannot be listened on: {error}"))
        }
    }
}

fn tls(facts: &Facts, files: Option<&Tls>) -> Vec<Finding> {
    const SET: &str = "ovs-vsctl set-ssl /etc/openvswitch/sc-privkey.pem \
                       /etc/openvswitch/sc-cert.pem /etc/openvswitch/cacert.pem";
    let Some(files) = files else {
        let why = "a bridge has an ssl: controller, but no key and certificates are set";
        return vec![Finding::error("TLS", why).repaired_by(SET)];
    };
    let again =
        format!("ovs-vsctl set-ssl {} {} {}", files.private_key, files.certificate, files.ca);
    let mut findings = Vec::new();
    for path in &files.absent {
        let what = format!("TLS: {path}");
        findings.push(Finding::error(what, "there is no such file").repaired_by(SET));
    }
    for (path, dates) in &files.validity {
        let what = format!("TLS: {path}");
        let renew = match *path == files.ca {
            true => "ovs-pki --force init".to_owned(),
            false => {
                let name = path.trim_end_matches("-cert.pem").trim_end_matches(".pem");
                format!("ovs-pki --force --unique req+sign {name} switch && {again}")
            }
        };
        findings.push(match dates {
            Err(error) => Finding::error(what, error.clone()).repaired_by(SET),
            Ok((from, _)) if *from > facts.now => {
                let why = format!("not good before {}: is the clock right?", rfc3339(*from));
                Finding::error(what, why).repaired_by("timedatectl set-ntp true")
            }
            Ok((_, until)) if *until <= facts.now => {
                Finding::error(what, format!("expired {}", rfc3339(*until))).repaired_by(renew)
            }
            Ok((_, until)) if *until <= facts.now + SOON => {
                let why = format!("expires soon: {}", rfc3339(*until));
                Finding::warning(what, why).repaired_by(renew)
            }
            Ok((_, until)) => Finding::ok(what, format!("good until {}", rfc3339(*until))),
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::super::certificate::tests::CERTIFICATE;
    use super::super::certificate::validity;
    use super::super::facts::{Holder, Kernel, Target};
    use super::*;

    fn facts() -> Facts {
        let target = "ssl:127.0.0.1:6653".to_owned();
        let bridge = Bridge {
            name: "s1".to_owned(),
            fail_mode: Some("secure".to_owned()),
            targets: vec![Target { target, connected: true, last_error: None }],
            ..Bridge::default()
        };
        Facts {
            listen: "0.0.0.0:6653".parse().unwrap(),
            port: PortUse::Free,
            controller: Err("nobody".to_owned()),
            openvswitch: OpenVSwitch::Running {
                bridges: vec![bridge],
                others: Vec::new(),
                missing: Vec::new(),
                tls: Some(Tls {
                    private_key: "/t/s1-privkey.pem".to_owned(),
                    certificate: "/t/s1-cert.pem".to_owned(),
                    ca: "/t/ca.pem".to_owned(),
                    validity: vec![(
                        "/t/s1-cert.pem".to_owned(),
                        Ok(validity(CERTIFICATE).unwrap()),
                    )],
                    absent: Vec::new(),
                }),
                kernel: Kernel::Loaded,
            },
            policy: None,
            now: moment((2030, 1, 1), (0, 0, 0)).unwrap(),
            synchronized: Some(true),
        }
    }

    /// The finding on something, with its level and command.
    fn find(facts: &Facts, what: &str) -> (Level, String, String) {
        let all = diagnose(facts);
        let found = all.iter().find(|finding| finding.what == what);
        let found = found.unwrap_or_else(|| panic!("nothing on {what} in {all:#?}"));
        (found.level, found.why.clone(), found.repair.clone().unwrap_or_default())
    }

    #[test]
    fn certificates_are_judged_by_the_time() {
        let at = |date, level| {
            let facts = Facts { now: moment(date, (0, 0, 0)).unwrap(), ..facts() };
            let found = find(&facts, "TLS: /t/s1-cert.pem");
            assert_eq!(found.0, level, "{date:?} {found:?}");
            found.2
        };
        at((2030, 1, 1), Level::Ok);
        at((2060, 2, 1), Level::Warning);
        let renew = at((2060, 2, 4), Level::Error);
        assert_eq!(
            renew,
            "ovs-pki --force --unique req+sign /t/s1 switch && \
             ovs-vsctl set-ssl /t/s1-privkey.pem /t/s1-cert.pem /t/ca.pem"
        );
        assert_eq!(at((2001, 1, 1), Level::Error), "timedatectl set-ntp true");
    }

    #[test]
    fn a_clock_that_is_wrong_or_runs_free_is_told() {
        let long_ago = Facts { now: UNIX_EPOCH, ..facts() };
        assert_eq!(find(&long_ago, "clock").0, Level::Error);
        let free = Facts { synchronized: Some(false), ..facts() };
        let (level, _, repair) = find(&free, "clock");
        assert_eq!((level, repair.as_str()), (Level::Warning, "timedatectl set-ntp true"));
        assert_eq!(find(&facts(), "clock").0, Level::Ok);
    }

    #[test]
    fn the_kernels_datapath_is_there_can_be_loaded_or_must_be_done_without() {
        for (has, level, command) in [
            (Kernel::Loaded, Level::Ok, ""),
            (Kernel::Available, Level::Error, "modprobe openvswitch"),
            (Kernel::Missing, Level::Error, "ovs-vsctl set bridge s1 datapath_type=netdev"),
        ] {
            let mut facts = facts();
            if let OpenVSwitch::Running { kernel, .. } = &mut facts.openvswitch {
                *kernel = has;
            }
            let (found, _, repair) = find(&facts, "bridge s1: datapath type");
            assert_eq!((found, repair.as_str()), (level, command));
        }
    }

    #[test]
    fn whoever_holds_the_port_is_named() {
        for (name, command) in [
            ("ovs-testcontrol", "systemctl disable --now openvswitch-testcontroller"),
            ("ryu-manager", "kill 77"),
        ] {
            let holder = Some(Holder { pid: 77, name: name.to_owned() });
            let facts = Facts { port: PortUse::Held(holder), ..facts() };
            let (level, why, repair) = find(&facts, "port 0.0.0.0:6653");
            assert_eq!((level, repair.as_str()), (Level::Error, command));
            assert_eq!(why, format!("held by {name} (pid 77)"));
        }
    }

    #[test]
    fn a_controller_of_tls_without_keys_is_told_how_to_set_them() {
        let mut facts = facts();
        if let OpenVSwitch::Running { tls, .. } = &mut facts.openvswitch {
            *tls = None;
        }
        assert!(find(&facts, "TLS").2.starts_with("ovs-vsctl set-ssl /"));
    }
}

//! Looks at this machine: the controller's socket, Open vSwitch through its own commands, /proc.
//! Changes nothing. Runtime.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use umlaut_controller::path::PATH_EPOCH;
use umlaut_openflow::DatapathId;

use super::Args;
use super::bridges::port_of;
use super::certificate::validity;
use super::facts::{Bridge, Facts, Kernel, OpenVSwitch, PolicyFile, Running, Target, Tls};
use super::holder::port_use;
use super::ovsdb::{Row, element, elements, entry, rows};
use crate::commands::ask::{Connection, typed};
use crate::commands::input::{self, PEM_BYTES};
use crate::commands::load;
use crate::control::default_path;
use crate::control::protocol::Question;

const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 6653);

/// Gathers all facts. What cannot be found out is a fact, too.
pub(super) fn gather(args: &Args) -> Facts {
    let socket = args.socket.clone().unwrap_or_else(default_path);
    let controller = running(&socket).map_err(|error| format!("{error:#}"));
    let listening = || {
        let running = controller.as_ref().ok()?;
        running.about.listening.first()?.parse().ok()
    };
    let listen = args.listen.or_else(listening).unwrap_or(DEFAULT_LISTEN);
    let policy = args.policy.as_deref().map(policy_file);
    let openvswitch = open_vswitch(args, policy.as_ref(), listen, controller.is_ok());
    Facts {
        listen,
        port: port_use(listen),
        controller,
        openvswitch,
        policy,
        now: SystemTime::now(),
        synchronized: synchronized(),
    }
}

fn running(socket: &Path) -> anyhow::Result<Running> {
    let mut connection = Connection::open(socket)?;
    let about = typed(connection.all(Question::Controller)?.0)?;
    let switches = typed(connection.all(Question::Switches)?.0)?;
    let flows = Question::Flows { switch: None, slice: None, host: None };
    let flows = typed(connection.all(flows)?.0)?;
    let about = about.into_iter().next();
    Ok(Running {
        about: about.ok_or_else(|| anyhow::anyhow!("it says nothing of itself"))?,
        switches,
        flows,
    })
}

fn policy_file(path: &Path) -> PolicyFile {
    let (switches, warnings) = match load(path) {
        Ok(Ok((policy, warnings))) => {
            let switches = policy.switches().map(|(name, dpid)| (name.to_owned(), dpid));
            (Ok(switches.collect()), warnings.len())
        }
        Ok(Err(mistakes)) => {
            let more = match mistakes.len() {
                0 | 1 => String::new(),
                n => format!(" (and {} more)", n - 1),
            };
            let first = mistakes.first().map(ToString::to_string).unwrap_or_default();
            (Err(format!("{first}{more}")), 0)
        }
        Err(error) => (Err(format!("{error:#}")), 0),
    };
    PolicyFile { path: path.display().to_string(), switches, warnings }
}

/// What a command prints; `None` if there is no such command.
fn output(command: &str, args: &[&str]) -> Option<Result<String, String>> {
    let output = match Command::new(command).args(args).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => return Some(Err(error.to_string())),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Some(match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr).lines().next().unwrap_or_default().to_owned()),
    })
}

fn vsctl(args: &[&str]) -> Option<Result<String, String>> {
    output("ovs-vsctl", &[&["--timeout=5", "--format=json"], args].concat())
}

fn table(name: &str) -> Vec<Row> {
    match vsctl(&["list", name]) {
        Some(Ok(text)) => rows(&text),
        _ => Vec::new(),
    }
}

fn open_vswitch(
    args: &Args,
    policy: Option<&PolicyFile>,
    listen: SocketAddr,
    asked: bool,
) -> OpenVSwitch {
    let all = match vsctl(&["list", "Bridge"]) {
        None => return OpenVSwitch::NotInstalled,
        Some(Err(error)) => return OpenVSwitch::NotRunning(error),
        Some(Ok(text)) => rows(&text),
    };
    let controllers = table("Controller");
    let mut bridges: Vec<Bridge> = all.iter().map(|row| bridge(row, &controllers)).collect();
    bridges.sort_by(|a, b| a.name.cmp(&b.name));
    let there: BTreeSet<&str> = bridges.iter().map(|bridge| bridge.name.as_str()).collect();
    let missing = args.bridge.iter().filter(|name| !there.contains(name.as_str())).cloned();
    let missing = missing.collect();
    bridges.retain(|bridge| is_meant(bridge, args, policy));
    let (others, mut bridges): (Vec<_>, Vec<_>) =
        bridges.into_iter().partition(|bridge| is_anothers(bridge, args, policy, listen));
    let others = others.into_iter().map(|bridge| bridge.name).collect();
    if !asked {
        for bridge in &mut bridges {
            bridge.path_entries = path_entries(bridge);
        }
    }
    OpenVSwitch::Running { bridges, others, missing, tls: tls(), kernel: kernel() }
}

/// Whether a bridge is to be looked at.
fn is_meant(bridge: &Bridge, args: &Args, policy: Option<&PolicyFile>) -> bool {
    if !args.bridge.is_empty() {
        return args.bridge.contains(&bridge.name);
    }
    named(bridge, policy) == Some(true) || !bridge.targets.is_empty()
}

/// Whether the policy names a bridge; `None`: it names none.
fn named(bridge: &Bridge, policy: Option<&PolicyFile>) -> Option<bool> {
    let switches = policy?.switches.as_ref().ok().filter(|switches| !switches.is_empty())?;
    let is =
        |(name, dpid): (&String, &DatapathId)| *name == bridge.name || Some(*dpid) == bridge.dpid;
    Some(switches.iter().any(is))
}

/// Whether a bridge, with a controller, has nothing to do with this one.
fn is_anothers(
    bridge: &Bridge,
    args: &Args,
    policy: Option<&PolicyFile>,
    listen: SocketAddr,
) -> bool {
    let ours = |target: &Target| port_of(&target.target) == Some(listen.port());
    args.bridge.is_empty()
        && named(bridge, policy) == Some(false)
        && !bridge.targets.iter().any(ours)
}

fn bridge(row: &Row, controllers: &[Row]) -> Bridge {
    let targets = elements(row, "controller").into_iter().filter_map(|uuid| {
        let found = controllers.iter().find(|row| element(row, "_uuid").as_ref() == Some(&uuid))?;
        Some(Target {
            target: element(found, "target")?,
            connected: element(found, "is_connected").as_deref() == Some("true"),
            last_error: entry(found, "status", "last_error"),
        })
    });
    let dpid = element(row, "datapath_id").and_then(|text| u64::from_str_radix(&text, 16).ok());
    Bridge {
        name: element(row, "name").unwrap_or_default(),
        dpid: dpid.map(DatapathId),
        datapath_type: element(row, "datapath_type").unwrap_or_default(),
        fail_mode: element(row, "fail_mode"),
        protocols: elements(row, "protocols"),
        targets: targets.collect(),
        path_entries: None,
    }
}

/// How many entries of a bridge have cookies of paths.
fn path_entries(bridge: &Bridge) -> Option<usize> {
    let mut args = vec!["--timeout=5".to_owned()];
    if !bridge.protocols.is_empty() {
        args.extend(["-O".to_owned(), bridge.protocols.join(",")]);
    }
    let mask = u64::from(PATH_EPOCH) << 56;
    args.extend([
        "dump-flows".to_owned(),
        bridge.name.clone(),
        format!("cookie={mask:#x}/{mask:#x}"),
    ]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let text = output("ovs-ofctl", &args)?.ok()?;
    Some(text.lines().filter(|line| line.contains("cookie=")).count())
}

fn tls() -> Option<Tls> {
    let ssl = table("SSL");
    let row = ssl.first()?;
    let file = |column| element(row, column).unwrap_or_default();
    let (private_key, certificate, ca) =
        (file("private_key"), file("certificate"), file("ca_cert"));
    let files = [&private_key, &certificate, &ca];
    let absent = files.into_iter().filter(|path| !Path::new(path).exists()).cloned().collect();
    let dates = |path: &String| {
        let text = input::file(Path::new(path), PEM_BYTES).map_err(|error| error.to_string());
        let text = text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let dates = text.and_then(|text| {
            validity(&text).ok_or_else(|| "no certificate that can be read".to_owned())
        });
        (path.clone(), dates)
    };
    let validity = [&certificate, &ca].into_iter().filter(|path| Path::new(path).exists());
    let validity = validity.map(dates).collect();
    Some(Tls { private_key, certificate, ca, validity, absent })
}

fn kernel() -> Kernel {
    if Path::new("/sys/module/openvswitch").exists() {
        return Kernel::Loaded;
    }
    match output("modprobe", &["--dry-run", "--quiet", "openvswitch"]) {
        Some(Ok(_)) => Kernel::Available,
        _ => Kernel::Missing,
    }
}

fn synchronized() -> Option<bool> {
    let told = output("timedatectl", &["show", "--property=NTPSynchronized", "--value"])?.ok()?;
    match told.as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::PortUse;
    use super::*;

    #[test]
    fn an_unused_port_is_free() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert_eq!(port_use(address), PortUse::Free);
    }
}

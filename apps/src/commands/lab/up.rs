//! `umlaut lab up`: builds a network and keeps it in a process of its own. Runtime.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};
use umlaut_openflow::Version;
use umlaut_testbed::lab::{Claim, GroundKind, Lab, LabName, Plan, sweep, unusable};

use super::super::{EX_CONFIG, complain, load};
use super::answer::About;
use super::connection::{Connection, Holder, holder};
use super::listening::somebody_listens;
use super::place::{Place, Taken};
use super::serve::Served;
use super::show;
use crate::control::ControlSocket;

/// How long `up` waits for switches to connect to somebody who listens before it says that they have
/// not. Open vSwitch tells every five seconds.
const CONNECT_PATIENCE: Duration = Duration::from_secs(8);

/// What a lab consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::commands) enum On {
    /// Emulated switches and hosts in one process; needs no root
    Emulated,
    /// Bridges of Open vSwitch and hosts in network namespaces; needs root
    Ovs,
}

impl On {
    pub(in crate::commands) fn kind(self) -> GroundKind {
        match self {
            On::Emulated => GroundKind::Emulated,
            On::Ovs => GroundKind::OpenVSwitch,
        }
    }
}

/// Where the switches connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Controller(SocketAddr);

impl FromStr for Controller {
    type Err = String;

    fn from_str(text: &str) -> Result<Controller, String> {
        let address = text.strip_prefix("tcp:").unwrap_or(text);
        let address: SocketAddr =
            address.parse().map_err(|_| "not tcp:ADDR:PORT or ADDR:PORT".to_owned())?;
        match address.port() {
            0 => Err("port 0 is none".to_owned()),
            _ => Ok(Controller(address)),
        }
    }
}

/// Arguments of `umlaut lab up`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What it consists of
    #[arg(long, value_enum, default_value = "emulated")]
    on: On,
    /// Where the switches connect to
    #[arg(long, value_name = "tcp:ADDR:PORT", default_value = "tcp:127.0.0.1:6653")]
    controller: Controller,
    /// What the switches speak
    #[arg(long, value_name = "VERSION", default_value = "1.3", value_parser = super::super::run::version)]
    openflow: Version,
    /// Stay here until SIGINT or SIGTERM
    #[arg(long)]
    foreground: bool,
    /// The process that keeps a lab; not for people
    #[arg(long, hide = true, conflicts_with = "foreground")]
    keeper: bool,
    /// The policy file
    policy: PathBuf,
}

pub(super) fn execute(args: &Args, name: &LabName) -> anyhow::Result<ExitCode> {
    let policy = match load(&args.policy)? {
        Ok((policy, warnings)) => {
            if !args.keeper {
                complain(&warnings);
            }
            policy
        }
        Err(mistakes) => {
            complain(&mistakes);
            return Ok(ExitCode::from(EX_CONFIG));
        }
    };
    let plan = Plan::of_policy(&policy).with_context(|| args.policy.display().to_string())?;
    let place = Place::open()?;
    if args.keeper {
        return Ok(keep(args, name, plan, &place));
    }
    if args.foreground {
        let told = |name: &LabName| {
            print!("{}", show::headline(&Connection::open(&place, name)?.status()?));
            println!("until SIGINT or SIGTERM, or umlaut lab down --name {name}");
            Ok(())
        };
        run(args, name, plan, &place, told)?;
        return Ok(ExitCode::SUCCESS);
    }
    start_keeper(args, name, &place)?;
    let mut connection = Connection::open(&place, name)?;
    print!("{}", show::headline(&connection.status()?));
    Ok(ExitCode::SUCCESS)
}

/// Starts the process that keeps the lab, and waits until the network stands.
fn start_keeper(args: &Args, name: &LabName, place: &Place) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("where this program is")?;
    let on = match args.on {
        On::Emulated => "emulated",
        On::Ovs => "ovs",
    };
    let log = place.log(name);
    let log = File::create(&log).with_context(|| log.display().to_string())?;
    let mut keeper = Command::new(program)
        .args(["lab", "up", "--keeper", "--name", &name.to_string(), "--on", on])
        .args(["--controller", &format!("tcp:{}", args.controller.0)])
        .args(["--openflow", &args.openflow.to_string()])
        .arg("--")
        .arg(&args.policy)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .context("the process that keeps the lab")?;
    let mut told = String::new();
    if let Some(stdout) = keeper.stdout.take() {
        BufReader::new(stdout).read_line(&mut told)?;
    }
    match told.trim_end() {
        READY => Ok(()),
        "" => {
            let log = std::fs::read_to_string(place.log(name)).unwrap_or_default();
            bail!("the process that keeps the lab has ended: {}", log.trim())
        }
        problem => bail!("{problem}"),
    }
}

/// What the keeper says when the network stands. Anything else is a problem.
const READY: &str = "ready";

/// The process that keeps a lab: it says on standard output how it went, once, and goes on.
fn keep(args: &Args, name: &LabName, plan: Plan, place: &Place) -> ExitCode {
    // Ctrl-C and the end of the terminal are for the command that started this.
    let _ = nix::unistd::setsid();
    let say = |text: &str| {
        let mut out = std::io::stdout();
        // Whoever started this may have gone.
        let _ = out.write_all(format!("{}\n", text.replace('\n', " ")).as_bytes());
        let _ = out.flush();
    };
    let told = |_: &LabName| {
        say(READY);
        Ok(())
    };
    match run(args, name, plan, place, told) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Takes the name of a lab, and removes what one that died has left.
///
/// # Errors
/// It runs; something cannot be removed.
pub(super) fn take(name: &LabName, place: &Place) -> anyhow::Result<Taken> {
    let Holder::Us(taken) = holder(place, name)? else {
        bail!("lab {name} runs already: umlaut lab down --name {name}, or choose another --name");
    };
    // One that runs elsewhere is not dead.
    if unusable().is_none()
        && let Some(claim) = Claim::take(name, Duration::ZERO)?
    {
        sweep(&claim).with_context(|| format!("what an earlier lab {name} has left"))?;
    }
    Ok(taken)
}

/// Brings a lab up, serves it until it is to end, and removes it.
fn run(
    args: &Args,
    name: &LabName,
    plan: Plan,
    place: &Place,
    told: impl FnOnce(&LabName) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // From here on they end nothing by themselves.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let _taken = take(name, place)?;
        let controller = args.controller.0;
        let lab = Lab::start(plan, args.on.kind(), name, controller, args.openflow)?;
        if somebody_listens(controller) {
            lab.wait_connected(CONNECT_PATIENCE, |time| {
                std::thread::sleep(time);
                true
            });
        }
        let about = about(name, controller, args.openflow, &args.policy.display().to_string());
        let (served, _socket) = open(lab, about, name, place)?;
        if let Err(error) = told(name) {
            return match served.end() {
                Ok(()) => Err(error),
                Err(left) => Err(error.context(left.to_string())),
            };
        }
        tokio::select! {
            () = served.end_is_asked() => {}
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        Ok(served.end()?)
    })
}

pub(super) fn about(
    name: &LabName,
    controller: SocketAddr,
    openflow: Version,
    policy: &str,
) -> About {
    About {
        name: name.to_string(),
        controller: format!("tcp:{controller}"),
        openflow: openflow.to_string(),
        policy: policy.to_owned(),
    }
}

/// Lets a lab be asked, as long as the socket is kept.
///
/// # Errors
/// There can be no socket.
pub(super) fn open(
    lab: Lab,
    about: About,
    name: &LabName,
    place: &Place,
) -> anyhow::Result<(Arc<Served>, ControlSocket)> {
    let socket = ControlSocket::bind(&place.socket(name))?;
    let served = Served::new(lab, about);
    served.listen(socket.to_std()?)?;
    Ok((served, socket))
}

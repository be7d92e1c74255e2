//! `umlaut lab up`: builds a network and keeps it in a process of its own. Runtime.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitCode, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, oneshot};
use umlaut_openflow::Version;
use umlaut_testbed::lab::{Claim, GroundKind, Lab, LabName, LabProblem, Plan, sweep, unusable};

use super::super::{EX_CONFIG, complain, load};
use super::answer::About;
use super::connection::{Connection, Holder, Told, holder};
use super::listening::somebody_listens;
use super::place::{Note, Place, Taken};
use super::serve::Served;
use super::{down, print, show};
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
            let headline = show::headline(&Connection::open(&place, name)?.status()?);
            print(&format!("{headline}until SIGINT or SIGTERM, or umlaut lab down --name {name}\n"))
                .context("standard output")
        };
        run(args, name, plan, &place, &Notify::new(), told)?;
        return Ok(ExitCode::SUCCESS);
    }
    start_keeper(args, name, &place)?;
    tell_or_end(name, &place, |connection| Ok(show::headline(&connection.status()?)))?;
    Ok(ExitCode::SUCCESS)
}

/// Says that a lab is up. Where that cannot be said it is brought down again: nobody would know.
fn tell_or_end(
    name: &LabName,
    place: &Place,
    told: impl FnOnce(&mut Connection) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let mut connection = Connection::open(place, name)?;
    match told(&mut connection).and_then(|text| print(&text)) {
        Ok(()) => Ok(()),
        // Whoever reads has seen enough.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        Err(error) => {
            let error = error.context("standard output");
            match down::down(name, place) {
                Ok(line) => Err(error.context(line)),
                Err(left) => Err(error.context(format!("lab {name}: {left:#}"))),
            }
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
}

/// Starts the process that keeps the lab, and waits until the network stands.
fn start_keeper(args: &Args, name: &LabName, place: &Place) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // From here on they end what is begun.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (mut keeper, log) = spawn_keeper(args, name, place)?;
        // As long as it is open, somebody waits for the lab.
        let waiting = keeper.stdin.take();
        let (tell, mut told) = oneshot::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            if let Some(stdout) = keeper.stdout.take() {
                // What cannot be read is as if nothing was said.
                let _ = BufReader::new(stdout).read_line(&mut line);
            }
            let ended = if line.is_empty() { keeper.wait().ok() } else { None };
            let _ = tell.send((line, ended));
        });
        let (line, ended) = tokio::select! {
            told = &mut told => told?,
            _ = interrupt.recv() => interrupted(name, waiting, told, interrupt).await?,
            _ = terminate.recv() => interrupted(name, waiting, told, terminate).await?,
        };
        match line.trim_end() {
            READY => Ok(()),
            "" => bail!("{}", died(name, ended, log)),
            problem => bail!("{problem}"),
        }
    })
}

/// What the keeper has said, and how it has ended if it has said nothing.
type Said = (String, Option<ExitStatus>);

/// Waits until a lab that nobody waits for any more has removed itself, or for a second signal.
async fn interrupted(
    name: &LabName,
    waiting: Option<ChildStdin>,
    told: oneshot::Receiver<Said>,
    mut again: Signal,
) -> anyhow::Result<Said> {
    drop(waiting);
    let told = tokio::select! {
        told = told => told?,
        _ = again.recv() => bail!("interrupted: lab {name} still removes what it had made"),
    };
    match told.0.trim_end() {
        // It stood already, and does not know that it was not wanted.
        READY => {
            let place = Place::open()?;
            bail!("interrupted: {}", down::down(name, &place)?)
        }
        _ => Ok(told),
    }
}

fn spawn_keeper(args: &Args, name: &LabName, place: &Place) -> anyhow::Result<(Child, File)> {
    let program = std::env::current_exe().context("where this program is")?;
    let on = match args.on {
        On::Emulated => "emulated",
        On::Ovs => "ovs",
    };
    let path = place.log(name);
    // If the lab runs already, it is that one's.
    let log = File::options().create(true).append(true).open(&path);
    let log = log.with_context(|| path.display().to_string())?;
    let mut read = File::open(&path).with_context(|| path.display().to_string())?;
    read.seek(SeekFrom::End(0))?;
    let keeper = Command::new(program)
        .args(["lab", "up", "--keeper", "--name", &name.to_string(), "--on", on])
        .args(["--controller", &format!("tcp:{}", args.controller.0)])
        .args(["--openflow", &args.openflow.to_string()])
        .arg("--")
        .arg(&args.policy)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .context("the process that keeps the lab")?;
    Ok((keeper, read))
}

/// What is said of a keeper that has ended without a word.
fn died(name: &LabName, ended: Option<ExitStatus>, mut log: File) -> String {
    let mut text = String::new();
    // One that was killed has written nothing.
    let _ = log.read_to_string(&mut text);
    let how = ended.map_or_else(|| "has ended".to_owned(), |ended| format!("has ended ({ended})"));
    let log = if text.trim().is_empty() { "" } else { "\n" };
    format!(
        "the process that keeps lab {name} {how} before the network stood; umlaut lab down --name \
         {name} removes what it may have left{log}{}",
        text.trim()
    )
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
    let deserted = Arc::new(Notify::new());
    let notice = Arc::clone(&deserted);
    std::thread::spawn(move || {
        // Nothing is said there. Its end is that of whoever waits for the lab.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        notice.notify_one();
    });
    match run(args, name, plan, place, &deserted, told) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A lab of this name runs.
#[derive(Debug, thiserror::Error)]
#[error("lab {name} runs already: umlaut lab down --name {name}, or choose another {option}")]
pub(super) struct Runs {
    name: LabName,
    option: &'static str,
}

/// Takes the name of a lab with these switches, and removes what one that died has left. `option` is the
/// one by which the name was chosen.
///
/// # Errors
/// It runs: [`Runs`]; another has one of the switches at the same controller: [`Clash`]; what
/// [`holder`] says; something cannot be removed.
pub(super) fn take(
    name: &LabName,
    option: &'static str,
    place: &Place,
    plan: &Plan,
    controller: SocketAddr,
) -> anyhow::Result<Taken> {
    let taken = match holder(place, name) {
        Ok(Holder::Us(taken)) => taken,
        Ok(Holder::Lab(_)) => return Err(Runs { name: name.clone(), option }.into()),
        // A busy one runs as well.
        Err(error) if error.is::<Told>() => return Err(Runs { name: name.clone(), option }.into()),
        Err(error) => return Err(error),
    };
    let switches = plan.topology.switches.iter();
    let note = Note {
        pid: std::process::id().cast_signed(),
        controller,
        switches: switches.map(|s| (s.name.clone(), s.dpid.to_string())).collect(),
        stood: false,
    };
    // First: of two that come up at once, one at least sees the other.
    taken.note(&note)?;
    for other in place.labs()?.into_iter().filter(|other| other != name) {
        if let Some(theirs) = place.noted(&other) {
            ensure_apart(&note, &other, &theirs)?;
        }
    }
    // One that runs elsewhere is not dead.
    if unusable().is_none()
        && let Some(claim) = Claim::take(name, Duration::ZERO)?
    {
        sweep(&claim).with_context(|| format!("what an earlier lab {name} has left"))?;
    }
    Ok(taken)
}

/// Another lab has one of the switches.
#[derive(Debug, thiserror::Error)]
#[error(
    "lab {other} has a switch with the datapath id of {switch} ({dpid}) at the same controller, \
     tcp:{controller}: umlaut lab down --name {other}, or choose another --controller or other \
     datapath ids"
)]
pub(super) struct Clash {
    other: LabName,
    switch: String,
    dpid: String,
    controller: SocketAddr,
}

/// Whether two labs have no switch in common, as a controller sees them: of two with one datapath id it
/// would serve now this one, now that.
fn ensure_apart(ours: &Note, other: &LabName, theirs: &Note) -> Result<(), Clash> {
    let controller = ours.controller;
    let common = ours.switches.iter().find(|(_, dpid)| {
        theirs.controller == controller && theirs.switches.iter().any(|(_, its)| its == dpid)
    });
    match common {
        None => Ok(()),
        Some((switch, dpid)) => Err(Clash {
            other: other.clone(),
            switch: switch.clone(),
            dpid: dpid.clone(),
            controller,
        }),
    }
}

/// Brings a lab up, serves it until it is to end, and removes it.
fn run(
    args: &Args,
    name: &LabName,
    plan: Plan,
    place: &Place,
    deserted: &Notify,
    told: impl FnOnce(&LabName) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // From here on they end nothing by themselves.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let controller = args.controller.0;
        let taken = take(name, "--name", place, &plan, controller)?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut starting = {
            let (stop, kind, openflow) = (Arc::clone(&stop), args.on.kind(), args.openflow);
            let name = name.clone();
            tokio::task::spawn_blocking(move || {
                let go_on = || !stop.load(Ordering::Acquire);
                let lab = Lab::start(plan, kind, &name, controller, openflow, &go_on)?;
                if somebody_listens(controller) {
                    lab.wait_connected(CONNECT_PATIENCE, |time| {
                        std::thread::sleep(time);
                        go_on()
                    });
                }
                Ok::<Lab, LabProblem>(lab)
            })
        };
        let lab = loop {
            tokio::select! {
                lab = &mut starting => break lab??,
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
                () = deserted.notified() => {}
            }
            stop.store(true, Ordering::Release);
        };
        if stop.load(Ordering::Acquire) {
            lab.end()?;
            return Err(LabProblem::Interrupted.into());
        }
        let about = about(name, controller, args.openflow, &args.policy.display().to_string());
        let (served, _socket) = open(lab, about, name, place)?;
        taken.stands().and_then(|()| told(name)).map_err(|error| ended(&served, error))?;
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

/// Ends a lab because of an error; that, with what cannot be removed.
pub(super) fn ended(served: &Served, error: anyhow::Error) -> anyhow::Error {
    match served.end() {
        Ok(()) => error,
        Err(left) => error.context(left.to_string()),
    }
}

/// Lets a lab be asked, as long as the socket is kept.
///
/// # Errors
/// There can be no socket; the lab has ended then, and what of it cannot be removed is told, too.
pub(super) fn open(
    lab: Lab,
    about: About,
    name: &LabName,
    place: &Place,
) -> anyhow::Result<(Arc<Served>, ControlSocket)> {
    let served = Served::new(lab, about);
    let listen = || -> anyhow::Result<ControlSocket> {
        let socket = ControlSocket::bind(&place.socket(name))?;
        served.listen(socket.to_std()?)?;
        Ok(socket)
    };
    match listen() {
        Ok(socket) => Ok((served, socket)),
        Err(error) => Err(ended(&served, error)),
    }
}

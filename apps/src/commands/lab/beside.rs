//! `umlaut run --lab …`: a lab beside the controller, in its process. Runtime.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::sync::watch;
use tracing::{info, warn};
use umlaut_openflow::Version;
use umlaut_slice_db::Policy;
use umlaut_testbed::Topology;
use umlaut_testbed::lab::{Lab, LabName, Plan};

use super::connection::Silent;
use super::place::{Place, Taken};
use super::report;
use super::serve::Served;
use super::up::{self, Clash, On, Runs};
use crate::control::ControlSocket;

/// What is asked for.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Wanted {
    /// What it consists of.
    pub(in crate::commands) on: On,
    /// Its name.
    pub(in crate::commands) name: LabName,
    /// Where the controller listens.
    pub(in crate::commands) controller: SocketAddr,
    /// What the switches speak.
    pub(in crate::commands) openflow: Version,
    /// Whose network it is; without one, a switch with four hosts.
    pub(in crate::commands) policy: Option<Policy>,
}

/// A lab and what keeps its name.
struct Beside {
    served: Arc<Served>,
    _name: Option<(ControlSocket, Taken)>,
}

/// Brings a lab up, tells who reaches whom, and removes it when `stopped` becomes true or somebody
/// brings it down.
///
/// # Errors
/// It cannot be built; standard output cannot be written.
pub(in crate::commands) async fn keep(
    wanted: Wanted,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let policy = wanted.policy.clone();
    let beside = tokio::task::spawn_blocking(move || start(wanted)).await??;
    let served = Arc::clone(&beside.served);
    let reporting = {
        let (served, stopped) = (Arc::clone(&served), stopped.clone());
        let ending = Arc::clone(&served);
        let go_on = move || !*stopped.borrow() && !ending.is_ending();
        tokio::task::spawn_blocking(move || report::report(&served, policy.as_ref(), go_on))
    };
    tokio::select! {
        _ = stopped.wait_for(|stop| *stop) => {}
        () = served.end_is_asked() => info!("lab brought down"),
    }
    // The end waits for the report, which looks at both.
    let ended = tokio::task::spawn_blocking(move || {
        let ended = beside.served.end();
        drop(beside);
        ended
    });
    let ended = ended.await?;
    reporting.await??;
    ended.context("--lab")
}

fn start(wanted: Wanted) -> anyhow::Result<Beside> {
    let Wanted { on, name, controller, openflow, policy } = wanted;
    let plan = match &policy {
        Some(policy) => Plan::of_policy(policy).context("--lab")?,
        None => Plan { topology: Topology::single(4), interfaces: Vec::new() },
    };
    let taken = Place::open()
        .and_then(|place| Ok((up::take(&name, "--lab-name", &place, &plan, controller)?, place)));
    let taken = match taken {
        Ok(taken) => Some(taken),
        // An emulated lab needs no place: it only cannot be asked then.
        Err(error) if on == On::Emulated && !another_is_there(&error) => {
            warn!(error = format!("{error:#}"), "this lab cannot be asked");
            None
        }
        Err(error) => return Err(error.context("--lab")),
    };
    let lab =
        Lab::start(plan, on.kind(), &name, controller, openflow, &|| true).context("--lab")?;
    let file = policy.as_ref().map_or("", |policy| policy.file());
    let about = up::about(&name, controller, openflow, file);
    match taken {
        None => Ok(Beside { served: Served::new(lab, about), _name: None }),
        Some((taken, place)) => {
            let (served, socket) = up::open(lab, about, &name, &place)?;
            taken.stands().map_err(|error| up::ended(&served, error))?;
            Ok(Beside { served, _name: Some((socket, taken)) })
        }
    }
}

/// Whether a lab cannot be brought up because of another, of the same name or with the same switches.
fn another_is_there(error: &anyhow::Error) -> bool {
    error.is::<Runs>() || error.is::<Clash>() || error.is::<Silent>()
}

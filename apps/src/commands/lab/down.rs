//! `umlaut lab down`: ends labs, and removes what dead ones have left. Runtime.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{anyhow, bail};
use nix::sys::signal::Signal;
use umlaut_testbed::lab::{Claim, LabName, Swept, labs_found, missing, sweep};

use super::connection::{Connection, Ended, Holder, Silent, Told, holder, wait_gone};
use super::place::Place;
use super::protocol::What;

/// How long a process that ends may take to give its name back.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ends a lab; a line for people that says what was there.
///
/// # Errors
/// There is nothing of that name, or something of it cannot be removed. The rest is then.
pub(super) fn down(name: &LabName, place: &Place) -> anyhow::Result<String> {
    match end(name, place)? {
        Some(line) => Ok(line),
        // Says which labs there are.
        None => Connection::open(place, name).map(|_| String::new()),
    }
}

/// As [`down`]; `None`: there was nothing of that name.
fn end(name: &LabName, place: &Place) -> anyhow::Result<Option<String>> {
    let (mut asked_to_end, mut killed) = (false, false);
    let taken = loop {
        let asked = holder(place, name).and_then(|holder| match holder {
            Holder::Us(taken) => Ok(Some(taken)),
            Holder::Lab(mut lab) => lab.ask(What::Down).map(|_| None),
        });
        match asked {
            Ok(Some(taken)) => break taken,
            Ok(None) => {
                wait_gone(place, name);
                return Ok(Some(format!("lab {name} is down")));
            }
            // It died under the question, and what it leaves is ours to remove. No endless loop:
            // nobody listens under that name any more, unless it is brought up anew.
            Err(error) if error.is::<Ended>() => {}
            // One that is coming up or going down ends by itself when it is asked to.
            Err(error) if error.is::<Silent>() && !asked_to_end => {
                place.kill(name, Signal::SIGTERM)?;
                asked_to_end = true;
            }
            Err(error) if error.is::<Silent>() && !killed => {
                place.kill(name, Signal::SIGKILL)?;
                killed = true;
            }
            Err(error) => return Err(error),
        }
    };
    // Where Open vSwitch cannot have been used nothing can be left but files.
    let swept = match missing() {
        None => match Claim::take(name, PATIENCE)? {
            Some(claim) => sweep(&claim)?,
            None => bail!("lab {name} is kept by a process with another UMLAUT_LAB_DIR"),
        },
        Some(_) => Swept::default(),
    };
    let had_socket = place.forget(name, &taken);
    if swept.is_empty() && !had_socket && !asked_to_end {
        return Ok(None);
    }
    let died = match (asked_to_end, killed) {
        (_, true) => "did not answer and was killed",
        (true, false) => "did not answer and was ended",
        (false, false) => "had died",
    };
    let Swept { bridges, namespaces, interfaces } = swept;
    Ok(Some(format!(
        "lab {name} {died}; {} bridges, {} namespaces and {} other interfaces of it are removed",
        bridges.len(),
        namespaces.len(),
        interfaces.len()
    )))
}

/// Whether a lab that runs is of this policy file. A dead one can be put away by any name.
///
/// # Errors
/// It is of another one, or does not answer.
pub(super) fn ensure_of(name: &LabName, place: &Place, file: &Path) -> anyhow::Result<()> {
    let running = Connection::open(place, name).and_then(|mut lab| lab.status());
    let status = match running {
        Ok(status) => status,
        Err(error) if error.is::<Silent>() || error.is::<Told>() => return Err(error),
        Err(_) => return Ok(()),
    };
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if whole(Path::new(&status.policy)) != whole(file) {
        bail!("lab {name} is of {}, not of {}", status.policy, file.display());
    }
    Ok(())
}

/// Ends all labs of this user, and on Open vSwitch removes what any dead lab has left: lines for people
/// on those that are down, and what keeps the others from it.
///
/// # Errors
/// It cannot be told which there are.
pub(super) fn all(place: &Place) -> anyhow::Result<(Vec<String>, anyhow::Result<()>)> {
    let mut labs: BTreeSet<LabName> = BTreeSet::new();
    for lab in place.labs()? {
        if place.runs(&lab)? || place.socket(&lab).exists() {
            labs.insert(lab);
        }
    }
    if missing().is_none() {
        for lab in labs_found() {
            // One that runs elsewhere is not ours.
            if !labs.contains(&lab) && Claim::take(&lab, Duration::ZERO)?.is_some() {
                labs.insert(lab);
            }
        }
    }
    let mut told = Vec::new();
    let mut problems = Vec::new();
    for lab in labs {
        match end(&lab, place) {
            // If there is nothing, it was about to end when it was found.
            Ok(line) => told.extend(line),
            Err(error) => problems.push(format!("lab {lab}: {error:#}")),
        }
    }
    let done = if problems.is_empty() { Ok(()) } else { Err(anyhow!(problems.join("\n"))) };
    Ok((told, done))
}

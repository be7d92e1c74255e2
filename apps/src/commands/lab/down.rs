//! `umlaut lab down`: ends labs, and removes what dead ones have left. Runtime.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use umlaut_testbed::lab::{LabName, Swept, labs_found, sweep, unusable};

use super::connection::Connection;
use super::place::Place;
use super::protocol::What;

/// Ends a lab; a line for people that says what was there.
///
/// # Errors
/// There is nothing of that name, or it cannot be removed.
pub(super) fn down(name: &LabName, place: &Place) -> anyhow::Result<String> {
    if place.runs(name)? {
        let mut connection = Connection::open(place, name)
            .with_context(|| format!("the process of lab {name} runs and does not answer"))?;
        connection.ask(What::Down)?;
        return Ok(format!("lab {name} is down"));
    }
    let Some(taken) = place.take(name)? else { bail!("lab {name} is just coming up") };
    let swept = match unusable() {
        None => sweep(name)?,
        // Without Open vSwitch nothing can be left but files.
        Some(_) => Swept::default(),
    };
    let had_socket = place.forget(name, &taken);
    if swept.is_empty() && !had_socket {
        drop(taken);
        // Says which labs there are.
        return Connection::open(place, name).map(|_| String::new());
    }
    let Swept { bridges, namespaces, interfaces } = swept;
    Ok(format!(
        "lab {name} had died; {} bridges, {} namespaces and {} other interfaces of it are removed",
        bridges.len(),
        namespaces.len(),
        interfaces.len()
    ))
}

/// Ends all labs of this user, and on Open vSwitch removes what any dead lab has left.
///
/// # Errors
/// Some cannot be removed; the others are.
pub(super) fn all(place: &Place) -> anyhow::Result<Vec<String>> {
    let mut labs: BTreeSet<LabName> = BTreeSet::new();
    for lab in place.labs()? {
        if place.runs(&lab)? || place.socket(&lab).exists() {
            labs.insert(lab);
        }
    }
    if unusable().is_none() {
        labs.extend(labs_found()?);
    }
    let mut told = Vec::new();
    let mut problems = Vec::new();
    for lab in labs {
        match down(&lab, place) {
            Ok(line) => told.push(line),
            Err(error) => problems.push(format!("lab {lab}: {error:#}")),
        }
    }
    match problems.is_empty() {
        true => Ok(told),
        false => bail!("{}", problems.join("\n")),
    }
}

//! Removing what a lab has left, whatever became of its process. Runtime.
//!
//! A thing is removed if its name begins with the lab's prefix and it bears the lab's mark: a bridge
//! in `external_ids`, an interface as alias, a namespace as alias of its `lo`. Of the same name
//! without the mark it is somebody else's and stays.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use serde_json::Value;

use super::super::names::MARK;
use super::super::{LabName, LabProblem};
use super::claim::{Claim, labs_noted};
use super::tell::{ip, vsctl};
use crate::ovs::sh;

/// The key of `external_ids` with the lab's name.
pub(super) const KEY: &str = "umlaut-lab";

/// What was removed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// Bridges.
    pub bridges: Vec<String>,
    /// Network namespaces.
    pub namespaces: Vec<String>,
    /// Interfaces that did not go with those.
    pub interfaces: Vec<String>,
}

impl Swept {
    /// Whether there was nothing.
    pub fn is_empty(&self) -> bool {
        *self == Swept::default()
    }
}

/// Removes all that a lab of this name has left, its directory too. Only who has the name may. What
/// cannot be removed keeps nothing else from being removed.
///
/// # Errors
/// What could not be removed, and why.
pub fn sweep(claim: &Claim) -> Result<Swept, LabProblem> {
    let lab = claim.lab();
    let mut swept = Swept::default();
    let mut problems = Vec::new();
    match sweep_bridges(claim) {
        Ok(bridges) => swept.bridges = bridges,
        Err(problem) => problems.push(problem.to_string()),
    }
    for namespace in namespaces().into_iter().filter(|name| name.starts_with(&lab.prefix())) {
        if mark_of(&namespace).as_deref() == Some(&lab.mark()) {
            match ip(&["netns", "del", &namespace]) {
                Ok(()) => swept.namespaces.push(namespace),
                Err(problem) => problems.push(format!("namespace {namespace} stays: {problem}")),
            }
        }
    }
    for (interface, mark) in interfaces() {
        // One end of a cable takes the other with it, and the one in a namespace went with that.
        if mark == lab.mark()
            && interface.starts_with(&lab.prefix())
            && ip(&["link", "del", &interface]).is_ok()
        {
            swept.interfaces.push(interface);
        }
    }
    match std::fs::remove_dir_all(claim.directory()) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            problems.push(format!("{}: {error}", claim.directory().display()));
        }
        _ => {}
    }
    match problems.is_empty() {
        true => claim.note(&[]).map(|()| swept),
        false => Err(LabProblem::System(problems.join("; "))),
    }
}

/// Removes the bridges of a lab. Where Open vSwitch does not answer, those that are noted stay.
fn sweep_bridges(claim: &Claim) -> Result<Vec<String>, LabProblem> {
    let ours = || -> Result<Vec<String>, LabProblem> {
        let (lab, prefix) = (claim.lab().to_string(), claim.lab().prefix());
        let marked = bridges()?.into_iter().filter(|(_, of)| *of == lab);
        Ok(marked.map(|(bridge, _)| bridge).filter(|bridge| bridge.starts_with(&prefix)).collect())
    };
    let stay = |bridges: &[String], why: LabProblem| {
        let (s, y) = if bridges.len() == 1 { ("", "s") } else { ("s", "") };
        let bridges = bridges.join(", ");
        Err(LabProblem::System(format!("bridge{s} {bridges} stay{y} in Open vSwitch: {why}")))
    };
    let bridges = match (ours(), claim.noted()) {
        (Ok(bridges), _) => bridges,
        (Err(_), noted) if noted.is_empty() => return Ok(Vec::new()),
        (Err(why), noted) => return stay(&noted, why),
    };
    if bridges.is_empty() {
        return Ok(bridges);
    }
    let words: Vec<&str> = bridges
        .iter()
        .flat_map(|bridge| ["--", "--if-exists", "del-br", bridge.as_str()])
        .collect();
    match (vsctl(&words), &ours()) {
        (Ok(_), _) => Ok(bridges),
        // The database has let them go. Only the daemon does not know yet: it is not there.
        (Err(_), Ok(left)) if left.is_empty() => Ok(bridges),
        (Err(why), Ok(left)) => stay(left, why),
        (Err(why), Err(_)) => stay(&bridges, why),
    }
}

/// The names of all labs of which something is there, running or not. Of bridges in an Open vSwitch
/// that does not answer, those that are noted.
pub fn labs_found() -> BTreeSet<LabName> {
    let bridges = bridges().unwrap_or_default().into_iter().map(|(_, lab)| lab);
    let marks = interfaces().into_iter().map(|(_, mark)| mark);
    let marks = marks.chain(namespaces().into_iter().filter_map(|name| mark_of(&name)));
    let labs = marks.filter_map(|mark| mark.strip_prefix(MARK).map(str::to_owned));
    let found = bridges.chain(labs).filter_map(|lab| lab.parse().ok());
    found.chain(labs_noted()).collect()
}

/// The bridges that bear a mark, and the labs that these name.
pub(super) fn bridges() -> Result<Vec<(String, String)>, LabProblem> {
    let told = vsctl(&["--format=json", "--columns=name,external_ids", "list", "bridge"])?;
    let told: Value = serde_json::from_str(&told)
        .map_err(|error| LabProblem::System(format!("ovs-vsctl list bridge: {error}")))?;
    let rows = told["data"].as_array().into_iter().flatten();
    Ok(rows
        .filter_map(|row| {
            // OVSDB writes a map as ["map", [[key, value], …]].
            let pairs = row[1][1].as_array()?;
            let pair = pairs.iter().find(|pair| pair[0] == KEY)?;
            Some((row[0].as_str()?.to_owned(), pair[1].as_str()?.to_owned()))
        })
        .collect())
}

fn namespaces() -> Vec<String> {
    let told = sh("ip", &["netns", "list"]).unwrap_or_default();
    told.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// The mark of a namespace, if it has one.
fn mark_of(namespace: &str) -> Option<String> {
    let told = sh("ip", &["-n", namespace, "-j", "link", "show", "dev", "lo"]).ok()?;
    marks(&told).into_iter().map(|(_, mark)| mark).next()
}

/// The interfaces of this namespace that bear a mark.
fn interfaces() -> Vec<(String, String)> {
    marks(&sh("ip", &["-j", "link", "show"]).unwrap_or_default())
}

/// Names and marks in what `ip -j link show` prints.
fn marks(told: &str) -> Vec<(String, String)> {
    let told: Value = serde_json::from_str(told).unwrap_or_default();
    let links = told.as_array().into_iter().flatten();
    let marked = links.filter_map(|link| {
        let alias = link["ifalias"].as_str()?;
        alias
            .starts_with(MARK)
            .then(|| Some((link["ifname"].as_str()?.to_owned(), alias.to_owned())))?
    });
    marked.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_from_what_ip_prints() {
        let told = r#"[
            {"ifindex": 1, "ifname": "lo", "flags": []},
            {"ifindex": 9, "link": "lab-s2+3", "ifname": "lab-s1+3", "ifalias": "umlaut-lab:lab"},
            {"ifindex": 10, "ifname": "lab-mine", "ifalias": "my own"}
        ]"#;
        assert_eq!(marks(told), [("lab-s1+3".to_owned(), "umlaut-lab:lab".to_owned())]);
        assert_eq!(marks(""), []);
    }
}

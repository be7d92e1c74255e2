//! Edits of a policy file as values. Pure.

use std::fmt;

use serde::Serialize;
use umlaut_openflow::{Attachment, MacAddr, Vid};

use super::text::{Document, NotEditable};
use crate::policy::Policy;
use crate::yaml::{Hop, Place};

/// What a new member binds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Bind {
    /// A MAC address, wherever it is.
    Mac(MacAddr),
    /// A MAC address on one attachment.
    PortMac(Attachment, MacAddr),
    /// Whoever is on an attachment.
    Port(Attachment),
}

/// Where a restriction stands.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// On a member.
    Member {
        /// Its slice.
        slice: String,
        /// Its id.
        member: String,
    },
    /// On a slice.
    Slice(String),
    /// On the policy.
    Options,
}

/// One change of a policy file. Slices, members and filters are named by their names and ids.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Adds a member to a slice.
    AddMember {
        /// The slice.
        slice: String,
        /// What it binds.
        #[serde(skip)]
        bind: Bind,
        /// The item, as YAML.
        item: String,
    },
    /// Takes a member out of a slice.
    RemoveMember {
        /// The slice.
        slice: String,
        /// The member.
        member: String,
    },
    /// Adds a place to the pins of a member.
    AddPin {
        /// The slice.
        slice: String,
        /// The member.
        member: String,
        /// The place.
        #[serde(skip)]
        at: Attachment,
        /// The item of `only_at`, as YAML.
        item: String,
    },
    /// Sets `restrict_hosts` to false.
    Unrestrict {
        /// Where it is true.
        scope: Scope,
    },
    /// Adds an allowing filter right above another one, or below all.
    AddFilter {
        /// The filter above which it goes.
        above: Option<String>,
        /// Its id.
        id: String,
        /// The item, as YAML.
        item: String,
    },
    /// Sets an option.
    SetOption {
        /// Its key.
        name: &'static str,
        /// Its value.
        value: &'static str,
    },
}

/// Changes that are made together.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct Edit {
    /// In order.
    pub changes: Vec<Change>,
}

impl From<Change> for Edit {
    fn from(change: Change) -> Edit {
        Edit { changes: vec![change] }
    }
}

impl Edit {
    /// The text of the policy file after the edit. What is not changed stays as it is, comments too.
    ///
    /// # Errors
    /// The file is written in a way that cannot be edited here.
    pub fn apply(&self, policy: &Policy) -> Result<String, NotEditable> {
        let mut document = Document::read(&policy.text)?;
        for change in &self.changes {
            change.apply(policy, &mut document)?;
        }
        Ok(document.into_text())
    }
}

impl Change {
    fn apply(&self, policy: &Policy, document: &mut Document) -> Result<(), NotEditable> {
        let root = Place::default();
        match self {
            Change::AddMember { slice, item, .. } => {
                let slice = slice_place(policy, slice)?;
                match document.entry(&slice, "members") {
                    Some(members) => document.insert(&members, None, item),
                    None => document.add_entry(&slice, "members", &format!("[{item}]")),
                }
            }
            Change::RemoveMember { slice, member } => {
                let mut place = member_place(policy, slice, member)?;
                match place.0.pop() {
                    Some(Hop::Item(index)) => document.remove(&place, index as usize),
                    _ => Err(NotEditable),
                }
            }
            Change::AddPin { slice, member, item, .. } => {
                let member = member_place(policy, slice, member)?;
                let pins = document.entry(&member, "only_at").ok_or(NotEditable)?;
                document.insert(&pins, None, item)
            }
            Change::Unrestrict { scope } => {
                let map = match scope {
                    Scope::Member { slice, member } => member_place(policy, slice, member)?,
                    Scope::Slice(slice) => slice_place(policy, slice)?,
                    Scope::Options => document.entry(&root, "options").ok_or(NotEditable)?,
                };
                let value = document.entry(&map, "restrict_hosts").ok_or(NotEditable)?;
                document.set(&value, "false")
            }
            Change::AddFilter { above, item, .. } => {
                let above = above.as_ref().map(|id| {
                    let rules = policy.filters.rules();
                    let rule = rules.iter().find(|rule| *rule.name == **id).ok_or(NotEditable)?;
                    Ok(rule.item as usize)
                });
                match document.entry(&root, "filters") {
                    Some(filters) => document.insert(&filters, above.transpose()?, item),
                    None => document.add_entry(&root, "filters", &format!("[{item}]")),
                }
            }
            Change::SetOption { name, value } => match document.entry(&root, "options") {
                None => document.add_entry(&root, "options", &format!("{{{name}: {value}}}")),
                Some(options) => match document.entry(&options, name) {
                    Some(place) => document.set(&place, value),
                    None => document.add_entry(&options, name, value),
                },
            },
        }
    }
}

fn slice_place(policy: &Policy, slice: &str) -> Result<Place, NotEditable> {
    let entry = policy.slices_entry.ok_or(NotEditable)?;
    let slice = policy.slice(slice).ok_or(NotEditable)?;
    // A policy has all slices of its file.
    Ok(Place(vec![Hop::Value(entry), Hop::Value(slice.0)]))
}

fn member_place(policy: &Policy, slice: &str, member: &str) -> Result<Place, NotEditable> {
    let id = policy.slice(slice).ok_or(NotEditable)?;
    let mut members = policy.members(id);
    let (member, _) = members.find(|(_, found)| *found.id == *member).ok_or(NotEditable)?;
    policy.member_place(member).ok_or(NotEditable)
}

/// A name as a YAML scalar: quoted where it would be read as something else.
pub(super) fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_lowercase().as_str());
    match plain {
        true => text.to_owned(),
        false => format!("\"{text}\""),
    }
}

/// `port: s1/3, vlan: 20`.
fn place(policy: &Policy, at: Attachment) -> String {
    let switch = policy.switch_name(at.dpid);
    let port = format!("{switch}/{}", at.port);
    let port = match switch.starts_with("0x") {
        true => port,
        false => scalar(&port),
    };
    match at.vid {
        Vid::Untagged => format!("port: {port}"),
        Vid::Tagged(vid) => format!("port: {port}, vlan: {vid}"),
    }
}

/// `host: alice`, or `mac: "…"` for a MAC address without a name.
fn host(policy: &Policy, mac: MacAddr) -> String {
    match policy.hosts().find(|host| host.mac == mac) {
        Some(host) => format!("host: {}", scalar(&host.name)),
        None => format!("mac: \"{mac}\""),
    }
}

impl Bind {
    /// The member, as YAML.
    pub(super) fn item(self, policy: &Policy) -> String {
        match self {
            Bind::Mac(mac) => format!("{{{}}}", host(policy, mac)),
            Bind::PortMac(at, mac) => {
                format!("{{{}, {}}}", place(policy, at), host(policy, mac))
            }
            Bind::Port(at) => format!("{{{}}}", place(policy, at)),
        }
    }
}

/// An item of `only_at`.
pub(super) fn pin(policy: &Policy, at: Attachment) -> String {
    let text = place(policy, at);
    match at.vid {
        Vid::Untagged => text.trim_start_matches("port: ").to_owned(),
        Vid::Tagged(_) => format!("{{{text}}}"),
    }
}

impl fmt::Display for Change {
    /// What is done, in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::AddMember { slice, item, .. } => {
                write!(f, "add {item} to the members of {slice}")
            }
            Change::RemoveMember { slice, member } => {
                write!(f, "take member {member} out of {slice}")
            }
            Change::AddPin { slice, member, item, .. } => {
                write!(f, "add {item} to only_at of member {member} of {slice}")
            }
            Change::Unrestrict { scope } => {
                f.write_str("set restrict_hosts: false ")?;
                match scope {
                    Scope::Member { slice, member } => write!(f, "on member {member} of {slice}"),
                    Scope::Slice(slice) => write!(f, "on slice {slice}"),
                    Scope::Options => f.write_str("in the options"),
                }
            }
            Change::AddFilter { above: Some(above), id, .. } => {
                write!(f, "add the allowing filter {id} right above {above}")
            }
            Change::AddFilter { above: None, id, .. } => {
                write!(f, "add the allowing filter {id} below all others")
            }
            Change::SetOption { name, value } => write!(f, "set {name}: {value} in the options"),
        }
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, change) in self.changes.iter().enumerate() {
            if index > 0 {
                f.write_str(", and ")?;
            }
            change.fmt(f)?;
        }
        Ok(())
    }
}

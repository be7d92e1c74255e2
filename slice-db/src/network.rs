//! What the decision reads besides the policy. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo, Vid};

use crate::policy::{Policy, SliceId, admit, may_be_guessed};

/// After so long a host that does not speak is forgotten.
pub(crate) const HOST_AGE: Duration = Duration::from_secs(300);
/// After so long a guess is forgotten.
pub(crate) const GUESS_AGE: Duration = Duration::from_secs(30);

/// Where a host is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Location {
    /// The place.
    pub at: Attachment,
    /// Whether it was refused there, so that the place is a guess.
    pub tentative: bool,
}

/// What a port is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortRole {
    /// No such port is known.
    Missing,
    /// No frame can pass.
    Down,
    /// Another switch is there.
    Link,
    /// It is not known yet what is there.
    Probing,
    /// Hosts are there.
    Edge,
}

/// The network as one consistent view.
pub trait Network {
    /// Where a host of a slice is: last admitted sighting, or a tentative one.
    fn locate(&self, slice: SliceId, mac: MacAddr) -> Option<Location>;

    /// Whether the host table would take this sighting now (move guard).
    fn may_appear(&self, slice: SliceId, mac: MacAddr, at: Attachment) -> bool;

    /// The learned points of a slice: where its MAC-bound hosts were admitted.
    fn learned_points(&self, slice: SliceId, visit: &mut dyn FnMut(Attachment, MacAddr));

    /// What a port is for.
    fn port(&self, dpid: DatapathId, port: PortNo) -> PortRole;

    /// All settled edge ports, in order.
    fn edge_ports(&self, visit: &mut dyn FnMut(DatapathId, PortNo));

    /// Whether an admitted host of another slice is on this port.
    fn other_slice_at(&self, slice: SliceId, dpid: DatapathId, port: PortNo) -> bool;

    /// Whether frames can go from one switch to the other over known links.
    fn reachable(&self, from: DatapathId, to: DatapathId) -> bool;
}

/// A port of a switch.
type End = (DatapathId, PortNo);

/// Switches, ports and links without hosts.
#[derive(Clone, Debug, Default)]
struct Wiring {
    ports: BTreeSet<End>,
    down: BTreeSet<End>,
    links: Vec<(End, End)>,
    /// Both ends of every link.
    ends: BTreeSet<End>,
    cut: BTreeSet<usize>,
    stopped: BTreeSet<DatapathId>,
    /// For each switch with a link: the lowest switch that it reaches over links that carry frames.
    parts: BTreeMap<DatapathId, DatapathId>,
}

impl Wiring {
    fn carries(&self, (index, (a, b)): (usize, &(End, End))) -> bool {
        let alive = |end: &End| !self.down.contains(end) && !self.stopped.contains(&end.0);
        !self.cut.contains(&index) && alive(a) && alive(b)
    }

    fn find_parts(&mut self) {
        let mut parts: BTreeMap<DatapathId, DatapathId> =
            self.links.iter().flat_map(|(a, b)| [a.0, b.0]).map(|dpid| (dpid, dpid)).collect();
        let whole: Vec<(DatapathId, DatapathId)> = self
            .links
            .iter()
            .enumerate()
            .filter(|link| self.carries(*link))
            .map(|(_, (a, b))| (a.0, b.0))
            .collect();
        for (a, b) in whole {
            let (kept, merged) = (parts[&a].min(parts[&b]), parts[&a].max(parts[&b]));
            parts.values_mut().filter(|part| **part == merged).for_each(|part| *part = kept);
        }
        self.parts = parts;
    }
}

/// A network without switches: ports and links are those that a policy names, and hosts are where
/// they spoke. Where the policy names no link, all switches count as connected.
///
/// It does what a controller would have done long after each event: links are found, hosts believed.
#[derive(Clone, Debug, Default)]
pub struct OfflineNetwork {
    wiring: Arc<Wiring>,
    hosts: BTreeMap<(SliceId, MacAddr), Sighting>,
    learned: BTreeMap<SliceId, BTreeMap<MacAddr, Attachment>>,
    /// Time since the beginning.
    now: Duration,
}

/// Where a host is, and when it spoke there.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    location: Location,
    at: Duration,
}

impl OfflineNetwork {
    /// The ports and links of a policy, and nobody has spoken.
    pub fn silent(policy: &Policy) -> OfflineNetwork {
        let bound = policy.bound_ports();
        let hosts = policy.hosts().filter_map(|host| host.at).map(|at| (at.dpid, at.port));
        let mut wiring = Wiring {
            ports: bound.chain(hosts).collect(),
            links: policy.links().collect(),
            ends: policy.links().flat_map(|(a, b)| [a, b]).collect(),
            ..Wiring::default()
        };
        wiring.find_parts();
        OfflineNetwork { wiring: Arc::new(wiring), ..OfflineNetwork::default() }
    }

    /// As [`OfflineNetwork::silent`], and every host of the policy that has a place has spoken there.
    pub fn from_policy(policy: &Policy) -> OfflineNetwork {
        let mut network = OfflineNetwork::silent(policy);
        for host in policy.hosts() {
            if let Some(at) = host.at {
                network.speak(policy, host.mac, at);
            }
        }
        network
    }

    /// Adds a port.
    pub fn add_port(&mut self, dpid: DatapathId, port: PortNo) {
        if !self.wiring.ports.contains(&(dpid, port)) {
            Arc::make_mut(&mut self.wiring).ports.insert((dpid, port));
        }
    }

    /// Whether there is such a port, up or down, on a switch that runs or stands still.
    pub(crate) fn has_port(&self, dpid: DatapathId, port: PortNo) -> bool {
        let Wiring { ports, ends, .. } = &*self.wiring;
        ports.contains(&(dpid, port)) || ends.contains(&(dpid, port))
    }

    /// A host speaks somewhere: if the policy admits it there, it is located. A guess never takes
    /// the place of what is known.
    pub fn speak(&mut self, policy: &Policy, mac: MacAddr, at: Attachment) {
        self.add_port(at.dpid, at.port);
        match admit(policy, at, mac) {
            Ok(admission) => {
                let location = Location { at, tentative: false };
                let sighting = Sighting { location, at: self.now };
                self.hosts.insert((admission.slice, mac), sighting);
                if admission.by == crate::policy::AdmittedBy::Mac {
                    self.learned.entry(admission.slice).or_default().insert(mac, at);
                } else if let Some(learned) = self.learned.get_mut(&admission.slice) {
                    learned.remove(&mac);
                }
            }
            Err(refusal) => {
                for slice in policy.tentative_slices(refusal, at) {
                    let location = Location { at, tentative: true };
                    let guess = Sighting { location, at: self.now };
                    let known = self.hosts.entry((slice, mac)).or_insert(guess);
                    if known.location.tentative {
                        *known = guess;
                    }
                }
            }
        }
    }

    /// Whether it would change nothing if this host spoke there.
    pub(crate) fn knows(&self, policy: &Policy, mac: MacAddr, at: Attachment) -> bool {
        let admitted = admit(policy, at, mac);
        admitted.is_ok_and(|admission| {
            let here = Location { at, tentative: false };
            self.hosts.get(&(admission.slice, mac)).is_some_and(|seen| seen.location == here)
        })
    }

    /// Forgets where hosts are that this does not hold for.
    pub fn keep(&mut self, stays: impl Fn(SliceId, MacAddr, &Location) -> bool) {
        self.hosts.retain(|(slice, mac), host| stays(*slice, *mac, &host.location));
        let hosts = &self.hosts;
        for (slice, points) in &mut self.learned {
            points.retain(|mac, _| hosts.contains_key(&(*slice, *mac)));
        }
    }

    fn forget(&mut self, gone: impl Fn(&Location) -> bool) {
        self.keep(|_, _, location| !gone(location));
    }

    /// Time passes: who has not spoken for too long is forgotten, guesses sooner.
    pub fn pass(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
        let now = self.now;
        self.hosts.retain(|_, host| {
            let limit = if host.location.tentative { GUESS_AGE } else { HOST_AGE };
            now - host.at <= limit
        });
        self.keep(|_, _, _| true);
    }

    /// A port goes down, which forgets the hosts behind it, or comes up.
    pub fn set_port(&mut self, dpid: DatapathId, port: PortNo, up: bool) {
        self.add_port(dpid, port);
        let wiring = Arc::make_mut(&mut self.wiring);
        match up {
            true => wiring.down.remove(&(dpid, port)),
            false => wiring.down.insert((dpid, port)),
        };
        wiring.find_parts();
        if !up {
            self.forget(|location| (location.at.dpid, location.at.port) == (dpid, port));
        }
    }

    /// A link is cut or mended. Whether there is such a link.
    pub fn set_link(&mut self, ends: [(DatapathId, PortNo); 2], up: bool) -> bool {
        let [a, b] = ends;
        let links = &self.wiring.links;
        let found = links.iter().position(|link| *link == (a, b) || *link == (b, a));
        let Some(index) = found else { return false };
        let wiring = Arc::make_mut(&mut self.wiring);
        match up {
            true => wiring.cut.remove(&index),
            false => wiring.cut.insert(index),
        };
        wiring.find_parts();
        true
    }

    /// A switch stops, which forgets the hosts on it, or runs again.
    pub fn set_switch(&mut self, dpid: DatapathId, running: bool) {
        let wiring = Arc::make_mut(&mut self.wiring);
        match running {
            true => wiring.stopped.remove(&dpid),
            false => wiring.stopped.insert(dpid),
        };
        wiring.find_parts();
        if !running {
            self.forget(|location| location.at.dpid == dpid);
        }
    }

    /// The same network, hosts and all, under another policy: everybody is decided again at its
    /// place. Ports of the new policy are added.
    #[must_use]
    pub fn under(&self, from: &Policy, to: &Policy) -> OfflineNetwork {
        let mut wiring = Wiring::clone(&self.wiring);
        wiring.ports.extend(to.bound_ports());
        let wiring = Arc::new(wiring);
        let mut network = OfflineNetwork { wiring, ..OfflineNetwork::default() };
        // Slices keep their name, not their number.
        for ((slice, mac), host) in &self.hosts {
            let Location { at, tentative } = host.location;
            let Some(slice) = to.slice(from.slice_name(*slice)) else { continue };
            network.now = host.at;
            if tentative && may_be_guessed(to, slice, at, *mac) {
                network.hosts.insert((slice, *mac), *host);
            } else if !tentative && admit(to, at, *mac).is_ok_and(|now| now.slice == slice) {
                network.speak(to, *mac, at);
            }
        }
        network.now = self.now;
        network
    }
}

impl Network for OfflineNetwork {
    fn locate(&self, slice: SliceId, mac: MacAddr) -> Option<Location> {
        self.hosts.get(&(slice, mac)).map(|host| host.location)
    }

    fn may_appear(&self, _: SliceId, _: MacAddr, _: Attachment) -> bool {
        true
    }

    fn learned_points(&self, slice: SliceId, visit: &mut dyn FnMut(Attachment, MacAddr)) {
        for (mac, at) in self.learned.get(&slice).into_iter().flatten() {
            visit(*at, *mac);
        }
    }

    fn port(&self, dpid: DatapathId, port: PortNo) -> PortRole {
        let (wiring, end) = (&self.wiring, (dpid, port));
        if wiring.stopped.contains(&dpid) {
            PortRole::Missing
        } else if wiring.down.contains(&end) {
            PortRole::Down
        } else if wiring.ends.contains(&end) {
            PortRole::Link
        } else if wiring.ports.contains(&end) {
            PortRole::Edge
        } else {
            PortRole::Missing
        }
    }

    fn edge_ports(&self, visit: &mut dyn FnMut(DatapathId, PortNo)) {
        for (dpid, port) in &self.wiring.ports {
            if self.port(*dpid, *port) == PortRole::Edge {
                visit(*dpid, *port);
            }
        }
    }

    fn other_slice_at(&self, slice: SliceId, dpid: DatapathId, port: PortNo) -> bool {
        self.hosts.iter().any(|((other, _), host)| {
            let Location { at, tentative } = host.location;
            *other != slice && !tentative && (at.dpid, at.port) == (dpid, port)
        })
    }

    fn reachable(&self, from: DatapathId, to: DatapathId) -> bool {
        let wiring = &self.wiring;
        let stopped = |dpid: &DatapathId| wiring.stopped.contains(dpid);
        if stopped(&from) || stopped(&to) {
            return false;
        }
        let part = |dpid: DatapathId| wiring.parts.get(&dpid).copied().unwrap_or(dpid);
        from == to || wiring.links.is_empty() || part(from) == part(to)
    }
}

/// The untagged attachment of a port.
pub(crate) fn untagged((dpid, port): (DatapathId, PortNo)) -> Attachment {
    Attachment { dpid, port, vid: Vid::Untagged }
}

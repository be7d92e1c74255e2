//! What happens before a case is looked at, on a network without switches. Pure.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo};

use super::stations::{Station, hosts};
use super::{Case, Event};
use crate::network::{HOST_AGE, Network, OfflineNetwork, PortRole};
use crate::policy::{Binding, Policy, admit};

/// The policy files that events name, by the path that they give.
pub type PolicyFiles = BTreeMap<String, Policy>;

/// The network when the events of a case are over.
#[derive(Clone, Debug)]
pub struct CaseWorld<'a> {
    /// The policy in force.
    pub policy: &'a Policy,
    /// Ports, links and who is located; hosts have spoken only where an event says so, and at the
    /// beginning if that was asked for.
    pub network: OfflineNetwork,
    /// Where every host stands.
    pub(crate) stations: Vec<Station>,
    /// Where each MAC address may be remembered from any time since the beginning.
    pub(crate) places: BTreeMap<MacAddr, BTreeSet<Attachment>>,
    /// The same by place, when all is over.
    pub(crate) remembered: BTreeMap<Attachment, Vec<MacAddr>>,
}

/// Whether a policy names a port at which it does not bind anybody yet.
fn is_named(policy: &Policy, port: (DatapathId, PortNo)) -> bool {
    let is_there = |at: &Attachment| (at.dpid, at.port) == port;
    let mut members = policy.slices().flat_map(|(slice, _)| policy.members(slice));
    policy.interfaces().any(|(end, _)| end == port)
        || policy.hosts().filter_map(|host| host.at.as_ref()).any(is_there)
        || policy.links().any(|(a, b)| a == port || b == port)
        || members.any(|(_, member)| match &member.binding {
            Binding::Mac { only_at: Some(pins), .. } => pins.iter().any(is_there),
            _ => false,
        })
}

impl<'a> CaseWorld<'a> {
    /// The world of a case: before its events everybody has spoken, or nobody.
    ///
    /// # Errors
    /// What cannot happen, in words: a policy file that was not loaded, a link that is not there.
    pub fn after(
        policy: &'a Policy,
        case: &Case,
        files: &'a PolicyFiles,
        everybody: bool,
    ) -> Result<CaseWorld<'a>, String> {
        let mut world = CaseWorld {
            policy,
            network: OfflineNetwork::silent(policy),
            stations: hosts(policy).collect(),
            places: BTreeMap::new(),
            remembered: BTreeMap::new(),
        };
        // A port that only the case names is one all the same.
        if let Some(at) = case.frame.at {
            world.network.add_port(at.dpid, at.port);
        }
        if everybody {
            world.everyone_speaks();
        }
        world.remember();
        for event in &case.after {
            world.happen(event, files)?;
            world.remember();
        }
        for (mac, places) in &world.places {
            for at in places {
                world.remembered.entry(*at).or_default().push(*mac);
            }
        }
        Ok(world)
    }

    /// A host speaks where it stands, if its port takes frames.
    pub fn speak(&mut self, station: &Station) {
        if self.hears(station.at) {
            self.network.speak(self.policy, station.mac, station.at);
        }
    }

    /// The network when these have spoken too, in order.
    pub(crate) fn after_word_of(&self, stations: &[&Station]) -> Cow<'_, OfflineNetwork> {
        let mut network = Cow::Borrowed(&self.network);
        for station in stations.iter().filter(|station| self.hears(station.at)) {
            if !network.knows(self.policy, station.mac, station.at) {
                network.to_mut().speak(self.policy, station.mac, station.at);
            }
        }
        network
    }

    /// Whether frames can come in there.
    pub(crate) fn hears(&self, at: Attachment) -> bool {
        matches!(self.network.port(at.dpid, at.port), PortRole::Edge | PortRole::Probing)
    }

    /// The stations as they stand now; stand-ins do not move.
    pub(crate) fn now(&self, stations: &[Station]) -> Vec<Station> {
        let now: BTreeMap<&str, &Station> =
            self.stations.iter().map(|station| (station.name.as_str(), station)).collect();
        stations.iter().map(|s| (*now.get(s.name.as_str()).unwrap_or(&s)).clone()).collect()
    }

    fn everyone_speaks(&mut self) {
        for station in self.stations.clone() {
            self.speak(&station);
        }
    }

    /// Anybody may have spoken by now.
    fn remember(&mut self) {
        let heard = self.stations.iter().filter(|station| self.hears(station.at));
        let heard: Vec<(MacAddr, Attachment)> = heard.map(|s| (s.mac, s.at)).collect();
        for (mac, at) in heard {
            self.places.entry(mac).or_default().insert(at);
        }
    }

    fn forget(&mut self, gone: impl Fn(&Attachment) -> bool) {
        self.places.values_mut().for_each(|places| places.retain(|at| !gone(at)));
    }

    fn station(&mut self, name: &str) -> Result<&mut Station, String> {
        let found = self.stations.iter_mut().find(|station| station.name == name);
        found.ok_or_else(|| format!("{name} has no place"))
    }

    fn happen(&mut self, event: &Event, files: &'a PolicyFiles) -> Result<(), String> {
        match event {
            Event::Link { ends, up } => {
                if !self.network.set_link(*ends, *up) {
                    let [a, b] = ends.map(|(dpid, port)| self.port_name(dpid, port));
                    return Err(format!("there is no link {a}-{b}"));
                }
            }
            Event::Port { port: (dpid, port), up } => {
                if !self.network.has_port(*dpid, *port) && !is_named(self.policy, (*dpid, *port)) {
                    let name = self.port_name(*dpid, *port);
                    return Err(format!("nothing is at port {name}: the policy does not name it"));
                }
                self.network.set_port(*dpid, *port, *up);
                if !up {
                    self.forget(|at| (at.dpid, at.port) == (*dpid, *port));
                }
            }
            Event::Switch { dpid, up } => {
                self.network.set_switch(*dpid, *up);
                if !up {
                    self.forget(|at| at.dpid == *dpid);
                }
            }
            // Where hosts are stays known.
            Event::SwitchRestarts(_) => {}
            // Hosts with entries are known again, others when they speak: they may be remembered.
            Event::ControllerRestarts => self.network.keep(|_, _, _| false),
            Event::Moves { host, to } => {
                let station = self.station(host)?;
                let (dpid, port) = (station.at.dpid, station.at.port);
                station.at = *to;
                // Unplugged there, plugged in here: the port that it leaves is down, if it is alone.
                let here = |station: &Station| (station.at.dpid, station.at.port) == (dpid, port);
                if !self.stations.iter().any(here) {
                    self.network.set_port(dpid, port, false);
                    self.forget(|at| (at.dpid, at.port) == (dpid, port));
                }
                self.network.set_port(to.dpid, to.port, true);
            }
            Event::Speaks(host) => {
                let station = self.station(host)?.clone();
                self.speak(&station);
            }
            Event::EveryoneSpeaks => self.everyone_speaks(),
            Event::Policy(file) => {
                let Some(next) = files.get(file) else {
                    return Err(format!("the policy file {file} is not there"));
                };
                self.network = self.network.under(self.policy, next);
                let before = std::mem::replace(&mut self.policy, next);
                // What was learned in another slice, or guessed, is not taken over.
                for (mac, places) in &mut self.places {
                    places.retain(|at| {
                        let slice = |policy: &Policy| {
                            let admission = admit(policy, *at, *mac).ok()?;
                            Some(policy.slice_name(admission.slice).to_owned())
                        };
                        slice(next).is_some() && slice(next) == slice(before)
                    });
                }
            }
            Event::Pass(seconds) => {
                let time = Duration::from_secs(*seconds);
                self.network.pass(time);
                if time > HOST_AGE {
                    self.forget(|_| true);
                }
            }
        }
        Ok(())
    }

    fn port_name(&self, dpid: DatapathId, port: PortNo) -> String {
        format!("{}/{port}", self.policy.switch_name(dpid))
    }
}

//! A plan: a network, policies, and what happens. Pure values, written without the types of the code
//! under test.

use umlaut_openflow::{Attachment, DatapathId, MacAddr, PortNo, Version, Vid, VlanId};

/// A MAC address as a number.
pub type Mac = u64;

pub const BROADCAST: Mac = 0xffff_ffff_ffff;

/// A port of a switch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct End {
    pub switch: u64,
    pub port: u32,
}

impl End {
    pub fn name(self) -> String {
        format!("s{}/{}", self.switch, self.port)
    }

    pub fn dpid(self) -> DatapathId {
        DatapathId(self.switch)
    }

    pub fn number(self) -> PortNo {
        PortNo(self.port)
    }
}

/// A VLAN of a port; 0: untagged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    pub end: End,
    pub vlan: u16,
}

impl Place {
    pub fn attachment(self) -> Attachment {
        let vid = match VlanId::new(self.vlan) {
            Some(vid) if self.vlan != 0 => Vid::Tagged(vid),
            _ => Vid::Untagged,
        };
        Attachment { dpid: self.end.dpid(), port: self.end.number(), vid }
    }

    pub fn of(at: Attachment) -> Place {
        let vlan = match at.vid {
            Vid::Untagged => 0,
            Vid::Tagged(vid) => vid.number(),
        };
        Place { end: End { switch: at.dpid.0, port: at.port.0 }, vlan }
    }
}

/// A host that is plugged in somewhere and sends whatever it is told to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Station {
    /// What it calls itself when it does not pretend. Not its own in the policy file, which is its
    /// number: there, no two hosts have one address.
    pub mac: Mac,
    pub at: Place,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Member {
    Mac { mac: Mac, pins: Vec<Place> },
    PortMac { at: Place, mac: Mac },
    Port { at: Place, restricted: bool },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slice {
    pub name: char,
    pub restricted: bool,
    pub members: Vec<Member>,
}

/// What a filter looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Criterion {
    EthSrc(Mac),
    EthDst(Mac),
    EthType(u16),
    Vlan(u16),
    Untagged,
    Pcp(u8),
    IpProto(u8),
    TcpDst(u16),
    UdpDst(u16),
    TpSrc(u16),
    TpDst(u16),
    /// The last byte of 192.168.0.x, and how many bits of it count.
    Ipv4Src(u8, u8),
    Ipv4Dst(u8, u8),
    ArpTpa(u8),
    In(End),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    pub priority: u32,
    pub slice: Option<char>,
    pub criteria: Vec<Criterion>,
    pub allow: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    pub restrict_hosts: bool,
    pub loose: bool,
    pub reverse_flow: bool,
    pub arp_packet_out: bool,
    pub deny: bool,
    pub exact: bool,
    pub refuse_foreign: bool,
    pub declared_links: bool,
}

/// A policy.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rules {
    pub slices: Vec<Slice>,
    pub filters: Vec<Filter>,
    pub options: Options,
}

/// What a frame carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Plain,
    Udp(u16, u16),
    Tcp(u16, u16),
    Icmp,
    /// A request, which goes to everybody.
    Arp,
    /// A reply, which goes to one.
    ArpReply,
    /// A neighbour solicitation for the host with this MAC.
    Nd(Mac),
    Fragment,
    Lldp,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Which station sends it.
    pub station: usize,
    pub src: Mac,
    pub dst: Mac,
    /// TPID and TCI, outermost first.
    pub tags: Vec<(u16, u16)>,
    pub kind: Kind,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    Say(Frame),
    Link {
        link: usize,
        up: bool,
    },
    Port {
        end: End,
        up: bool,
    },
    Switch {
        switch: u64,
        up: bool,
    },
    Restart {
        switch: u64,
    },
    /// The control connection breaks and is made again.
    Channel {
        switch: u64,
    },
    Controller,
    Revise {
        rules: usize,
    },
    Move {
        station: usize,
        to: End,
    },
    Pass {
        seconds: u64,
    },
    /// A port goes down and the models are not told: for tests of the test.
    Secretly {
        end: End,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    pub seed: u64,
    pub version: Version,
    /// Numbered from 1.
    pub switches: u64,
    pub links: Vec<[End; 2]>,
    pub stations: Vec<Station>,
    /// The policy, and those that replace it.
    pub rules: Vec<Rules>,
    pub steps: Vec<Step>,
}

/// The network as it stands between two steps: what is plugged in where, what is up.
#[derive(Clone, Debug)]
pub struct Wires {
    pub stations: Vec<End>,
    pub links: Vec<([End; 2], bool)>,
    /// Ports that there are.
    pub ports: Vec<End>,
    pub down: Vec<End>,
    pub stopped: Vec<u64>,
}

impl Wires {
    pub fn new(plan: &Plan) -> Wires {
        let bound = plan.rules[0].places().into_iter().map(|place| place.end);
        let mut ports: Vec<End> = plan.stations.iter().map(|s| s.at.end).chain(bound).collect();
        ports.sort_unstable();
        ports.dedup();
        Wires {
            stations: plan.stations.iter().map(|station| station.at.end).collect(),
            links: plan.links.iter().map(|link| (*link, true)).collect(),
            ports,
            down: Vec::new(),
            stopped: Vec::new(),
        }
    }

    fn runs(&self, switch: u64) -> bool {
        !self.stopped.contains(&switch)
    }

    /// Whether hosts can send and receive there.
    pub fn usable(&self, end: End) -> bool {
        self.ports.contains(&end) && !self.down.contains(&end) && self.runs(end.switch)
    }

    /// Links that carry frames.
    pub fn whole(&self) -> impl Iterator<Item = [End; 2]> + '_ {
        let whole =
            |(ends, up): &&([End; 2], bool)| *up && ends.iter().all(|e| self.runs(e.switch));
        self.links.iter().filter(whole).map(|(ends, _)| *ends)
    }

    pub fn reachable(&self, from: u64, to: u64) -> bool {
        if !self.runs(from) || !self.runs(to) {
            return false;
        }
        let mut found = vec![from];
        loop {
            let next = self.whole().find_map(|[a, b]| {
                let (has_a, has_b) = (found.contains(&a.switch), found.contains(&b.switch));
                (has_a != has_b).then_some(if has_a { b.switch } else { a.switch })
            });
            match next {
                Some(next) => found.push(next),
                None => return found.contains(&to),
            }
        }
    }

    pub fn station_at(&self, end: End) -> Option<usize> {
        self.stations.iter().position(|at| *at == end)
    }

    /// Whether the step can happen now; those that cannot are left out.
    pub fn can(&self, plan: &Plan, step: &Step) -> bool {
        match step {
            Step::Say(frame) => self.usable(self.stations[frame.station]),
            Step::Link { link, up } => {
                let (ends, is) = self.links[*link];
                is != *up && ends.iter().all(|end| self.runs(end.switch))
            }
            Step::Port { end, up } => {
                self.ports.contains(end)
                    && self.runs(end.switch)
                    && self.down.contains(end) == *up
                    && self.station_at(*end).is_some()
            }
            Step::Switch { switch, up } => self.runs(*switch) != *up,
            Step::Restart { switch } | Step::Channel { switch } => self.runs(*switch),
            Step::Revise { rules } => *rules < plan.rules.len(),
            Step::Move { station, to } => {
                let from = self.stations[*station];
                self.runs(from.switch) && self.runs(to.switch) && self.station_at(*to).is_none()
            }
            Step::Controller | Step::Pass { .. } | Step::Secretly { .. } => true,
        }
    }

    /// The step happens.
    pub fn apply(&mut self, step: &Step) {
        let set = |list: &mut Vec<End>, end: End, there: bool| {
            list.retain(|e| *e != end);
            if there {
                list.push(end);
            }
        };
        match step {
            Step::Link { link, up } => self.links[*link].1 = *up,
            Step::Port { end, up } => set(&mut self.down, *end, !up),
            Step::Switch { switch, up } => {
                self.stopped.retain(|s| s != switch);
                if !up {
                    self.stopped.push(*switch);
                }
            }
            Step::Move { station, to } => {
                let from = self.stations[*station];
                self.stations[*station] = *to;
                set(&mut self.down, from, true);
                set(&mut self.down, *to, false);
                set(&mut self.ports, *to, true);
            }
            _ => {}
        }
    }
}

impl Rules {
    /// All places that members name.
    pub fn places(&self) -> Vec<Place> {
        let members = self.slices.iter().flat_map(|slice| &slice.members);
        members
            .flat_map(|member| match member {
                Member::Mac { pins, .. } => pins.clone(),
                Member::PortMac { at, .. } | Member::Port { at, .. } => vec![*at],
            })
            .collect()
    }
}

pub fn mac(mac: Mac) -> MacAddr {
    MacAddr::from_u64(mac)
}

pub fn is_group(mac: Mac) -> bool {
    mac >> 40 & 1 == 1
}

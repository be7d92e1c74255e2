//! The policy, read naively: DESIGN's rules of admission, filters, reception and destination, one walk
//! over lists for each. Written without a line of the code under test. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::frames::{ip_of, ip_of_dst};
use super::plan::*;

/// What becomes of a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is none that this slice, or any, carries.
    Refused,
    /// A filter denies it.
    Denied,
    /// Nobody can receive it now.
    Lost,
    To(Place),
    All(Vec<Place>),
}

impl Fate {
    pub fn places(&self) -> Vec<Place> {
        match self {
            Fate::Refused | Fate::Denied | Fate::Lost => Vec::new(),
            Fate::To(place) => vec![*place],
            Fate::All(places) => places.clone(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    pub at: Place,
    pub guess: bool,
    by_mac: bool,
    /// When it came there, and when it last spoke.
    pub since: Duration,
    pub last: Duration,
}

/// How long hosts and guesses are remembered.
pub const HOST_AGE: Duration = Duration::from_secs(300);
pub const GUESS_AGE: Duration = Duration::from_secs(30);

/// Who is known where: by slice and MAC.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    pub known: BTreeMap<(char, Mac), Known>,
    pub now: Duration,
}

enum Admitted {
    In { slice: char, by_mac: bool },
    Refused { may_be_guessed: bool },
}

/// Whether a field has a value.
enum Has {
    Yes(bool),
    No,
    Unknown,
}

impl Rules {
    fn members(&self) -> impl Iterator<Item = (&Slice, &Member)> {
        self.slices.iter().flat_map(|slice| slice.members.iter().map(move |m| (slice, m)))
    }

    fn bound(&self, mac: Mac) -> Option<(char, &[Place])> {
        self.members().find_map(|(slice, member)| match member {
            Member::Mac { mac: m, pins } if *m == mac => Some((slice.name, &pins[..])),
            _ => None,
        })
    }

    fn port_owner(&self, at: Place) -> Option<(&Slice, bool)> {
        self.members().find_map(|(slice, member)| match member {
            Member::Port { at: a, restricted } if *a == at => Some((slice, *restricted)),
            _ => None,
        })
    }

    fn admitted(&self, at: Place, src: Mac) -> Admitted {
        let owner = self.port_owner(at);
        if let Some((slice, pins)) = self.bound(src) {
            let foreign = owner.is_some_and(|(owner, _)| owner.name != slice);
            return match (pins.is_empty() || pins.contains(&at))
                && !(foreign && self.options.refuse_foreign)
            {
                true => Admitted::In { slice, by_mac: true },
                false => Admitted::Refused { may_be_guessed: false },
            };
        }
        let both = self
            .members()
            .find(|(_, m)| matches!(m, Member::PortMac { at: a, mac } if *a == at && *mac == src));
        if let Some((slice, _)) = both {
            return Admitted::In { slice: slice.name, by_mac: false };
        }
        match owner {
            Some((slice, restricted))
                if !restricted && !slice.restricted && !self.options.restrict_hosts =>
            {
                Admitted::In { slice: slice.name, by_mac: false }
            }
            _ => Admitted::Refused { may_be_guessed: true },
        }
    }

    fn denies(&self, slice: char, at: Place, frame: &Frame, sender: Mac) -> bool {
        let mut order: Vec<&Filter> = self.filters.iter().collect();
        order.sort_by_key(|filter| std::cmp::Reverse(filter.priority));
        for filter in order {
            if filter.slice.is_some_and(|s| s != slice) {
                continue;
            }
            let mut matches = true;
            for criterion in &filter.criteria {
                matches &= match holds(*criterion, at, frame, sender) {
                    Has::Yes(holds) => holds,
                    Has::No => false,
                    Has::Unknown => !filter.allow,
                };
            }
            if matches {
                return !filter.allow;
            }
        }
        self.options.deny
    }

    /// Static points of a slice: a place, and for whom.
    fn points(&self, slice: char) -> Vec<(Place, Option<Mac>)> {
        let members = self.members().filter(|(s, _)| s.name == slice);
        members
            .flat_map(|(_, member)| match member {
                Member::Mac { mac, pins } => pins.iter().map(|p| (*p, Some(*mac))).collect(),
                Member::PortMac { at, mac } => vec![(*at, Some(*mac))],
                Member::Port { at, .. } => vec![(*at, None)],
            })
            .collect()
    }

    fn foreign_point(&self, slice: char, at: impl Fn(Place) -> bool) -> bool {
        let others = self.slices.iter().filter(|s| s.name != slice);
        others.flat_map(|s| self.points(s.name)).any(|(place, _)| at(place))
    }

    /// Whether the MAC bindings let this host be there.
    fn may_be(&self, slice: char, at: Place, mac: Mac) -> bool {
        self.bound(mac)
            .is_none_or(|(s, pins)| s == slice && (pins.is_empty() || pins.contains(&at)))
    }

    fn static_takes(&self, slice: char, at: Place, dst: Mac) -> bool {
        let takes = |(place, only): &(Place, Option<Mac>)| {
            *place == at && only.is_none_or(|mac| mac == dst || is_group(dst))
        };
        (is_group(dst) || self.may_be(slice, at, dst)) && self.points(slice).iter().any(takes)
    }
}

/// VLAN state of a frame: `Err` if no slice may carry it.
fn vlan(frame: &Frame) -> Result<u16, ()> {
    match frame.tags[..] {
        [] => Ok(0),
        [(0x8100, tci)] if tci & 0xfff != 0xfff => Ok(tci & 0xfff),
        _ => Err(()),
    }
}

fn ip_proto(kind: Kind) -> Option<u8> {
    match kind {
        Kind::Udp(..) | Kind::Fragment => Some(17),
        Kind::Tcp(..) => Some(6),
        Kind::Icmp => Some(1),
        Kind::Nd(_) => Some(58),
        Kind::Plain | Kind::Arp | Kind::ArpReply | Kind::Lldp => None,
    }
}

pub fn eth_type(kind: Kind) -> u16 {
    match kind {
        Kind::Plain => 0x88b5,
        Kind::Udp(..) | Kind::Tcp(..) | Kind::Icmp | Kind::Fragment => 0x0800,
        Kind::Arp | Kind::ArpReply => 0x0806,
        Kind::Nd(_) => 0x86dd,
        Kind::Lldp => 0x88cc,
    }
}

fn holds(criterion: Criterion, at: Place, frame: &Frame, sender: Mac) -> Has {
    let kind = frame.kind;
    let ports = |proto: Option<u8>, of: fn((u16, u16)) -> u16, wanted: u16| match kind {
        Kind::Udp(s, d) | Kind::Tcp(s, d) => {
            Has::Yes(proto.is_none_or(|p| ip_proto(kind) == Some(p)) && of((s, d)) == wanted)
        }
        Kind::Fragment if proto.is_none_or(|p| p == 17) => Has::Unknown,
        _ => Has::No,
    };
    let prefix = |byte: u8, value: u8, bits: u8| {
        let mask = (0xff00_u16 >> bits) as u8;
        Has::Yes(byte & mask == value & mask)
    };
    let dst_byte = ip_of_dst(frame).octets()[3];
    let in_net = frame.dst != BROADCAST;
    match criterion {
        Criterion::EthSrc(mac) => Has::Yes(frame.src == mac),
        Criterion::EthDst(mac) => Has::Yes(frame.dst == mac),
        Criterion::EthType(value) => Has::Yes(eth_type(kind) == value),
        Criterion::Vlan(value) => Has::Yes(at.vlan == value),
        Criterion::Untagged => Has::Yes(at.vlan == 0),
        Criterion::Pcp(value) => match frame.tags.first() {
            Some((_, tci)) => Has::Yes((tci >> 13) as u8 == value),
            None => Has::No,
        },
        Criterion::IpProto(value) => match ip_proto(kind) {
            Some(proto) => Has::Yes(proto == value),
            None => Has::No,
        },
        Criterion::TcpDst(value) => ports(Some(6), |(_, d)| d, value),
        Criterion::UdpDst(value) => ports(Some(17), |(_, d)| d, value),
        Criterion::TpSrc(value) => ports(None, |(s, _)| s, value),
        Criterion::TpDst(value) => ports(None, |(_, d)| d, value),
        Criterion::Ipv4Src(value, bits) if eth_type(kind) == 0x0800 => {
            prefix(ip_of(sender).octets()[3], value, bits)
        }
        Criterion::Ipv4Dst(value, bits) if eth_type(kind) == 0x0800 => match in_net {
            true => prefix(dst_byte, value, bits),
            false => Has::Yes(false),
        },
        Criterion::ArpTpa(value) if eth_type(kind) == 0x0806 => {
            Has::Yes(in_net && dst_byte == value)
        }
        Criterion::Ipv4Src(..) | Criterion::Ipv4Dst(..) | Criterion::ArpTpa(_) => Has::No,
        Criterion::In(end) => Has::Yes(at.end == end),
    }
}

impl Reading {
    /// What becomes of a frame at this end, and who is known afterwards.
    pub fn frame(
        &mut self,
        rules: &Rules,
        wires: &Wires,
        end: End,
        frame: &Frame,
        sender: Mac,
    ) -> Fate {
        let bridges = frame.dst & 0xffff_ffff_fff0 == 0x0180_c200_0000;
        let Ok(vlan) = vlan(frame) else { return Fate::Refused };
        if is_group(frame.src) || frame.src == 0 || bridges || frame.kind == Kind::Lldp {
            return Fate::Refused;
        }
        let at = Place { end, vlan };
        let fate = match rules.admitted(at, frame.src) {
            Admitted::In { slice, .. } => self.fate(rules, wires, slice, at, frame, sender),
            Admitted::Refused { .. } => Fate::Refused,
        };
        self.speaks(rules, at, frame.src);
        fate
    }

    /// A host has spoken there.
    pub fn speaks(&mut self, rules: &Rules, at: Place, src: Mac) {
        match rules.admitted(at, src) {
            Admitted::In { slice, by_mac } => self.note((slice, src), at, false, by_mac),
            Admitted::Refused { may_be_guessed: true } => self.guess(rules, at, src),
            Admitted::Refused { may_be_guessed: false } => {}
        }
    }

    fn note(&mut self, key: (char, Mac), at: Place, guess: bool, by_mac: bool) {
        let here = self.known.get(&key).filter(|known| known.at == at && known.guess == guess);
        let since = here.map_or(self.now, |known| known.since);
        self.known.insert(key, Known { at, guess, by_mac, since, last: self.now });
    }

    /// Where a MAC is known, in any slice.
    pub fn places(&self, mac: Mac) -> impl Iterator<Item = &Known> {
        self.known.iter().filter(move |((_, m), _)| *m == mac).map(|(_, known)| known)
    }

    /// Whether the same is known in both.
    pub fn agrees(&self, other: &Reading) -> bool {
        let facts = |reading: &Reading| -> Vec<_> {
            reading.known.iter().map(|(key, k)| (*key, k.at, k.guess, k.by_mac)).collect()
        };
        facts(self) == facts(other)
    }

    fn guess(&mut self, rules: &Rules, at: Place, src: Mac) {
        for slice in &rules.slices {
            let here = |(place, _): &(Place, Option<Mac>)| place.end == at.end;
            if !rules.points(slice.name).iter().any(here) {
                continue;
            }
            let known = self.known.get(&(slice.name, src));
            if known.is_none_or(|known| known.guess) {
                self.note((slice.name, src), at, true, false);
            }
        }
    }

    fn fate(
        &self,
        rules: &Rules,
        wires: &Wires,
        slice: char,
        at: Place,
        frame: &Frame,
        sender: Mac,
    ) -> Fate {
        if rules.denies(slice, at, frame, sender) {
            return Fate::Denied;
        }
        let dst = frame.dst;
        if !is_group(dst) {
            if rules.bound(dst).is_some_and(|(other, _)| other != slice) {
                return Fate::Refused;
            }
            if dst == frame.src {
                return Fate::Lost;
            }
            if let Some(to) =
                self.known.get(&(slice, dst)).and_then(|k| self.point(rules, slice, *k, dst))
            {
                let there = wires.usable(to.end) && wires.reachable(at.end.switch, to.end.switch);
                return if to != at && there { Fate::To(to) } else { Fate::Lost };
            }
        }
        let mut places: Vec<Place> = self.receivers(rules, wires, slice, dst);
        places.retain(|to| {
            *to != at && wires.usable(to.end) && wires.reachable(at.end.switch, to.end.switch)
        });
        if places.is_empty() { Fate::Lost } else { Fate::All(places) }
    }

    /// The point of the slice where a known host is served: where it spoke, else another of its port.
    fn point(&self, rules: &Rules, slice: char, known: Known, dst: Mac) -> Option<Place> {
        let learned = !known.guess
            && rules.bound(dst).is_some_and(|(s, _)| s == slice)
            && rules.may_be(slice, known.at, dst);
        if learned || rules.static_takes(slice, known.at, dst) {
            return Some(known.at);
        }
        let mut places: Vec<Place> =
            rules.points(slice).into_iter().map(|(place, _)| place).collect();
        places.sort_unstable();
        places.into_iter().find(|p| p.end == known.at.end && rules.static_takes(slice, *p, dst))
    }

    fn receivers(&self, rules: &Rules, wires: &Wires, slice: char, dst: Mac) -> Vec<Place> {
        let group = is_group(dst);
        let bound = rules.bound(dst).is_some_and(|(s, _)| s == slice);
        let mut found: Vec<Place> =
            rules.points(slice).into_iter().map(|(place, _)| place).collect();
        found.retain(|place| rules.static_takes(slice, *place, dst));
        for ((s, mac), known) in &self.known {
            if *s != slice || known.guess || !known.by_mac {
                continue;
            }
            let at = known.at;
            let foreign = rules.foreign_point(slice, |place| place == at);
            if *mac == dst || !foreign && (group || bound && rules.may_be(slice, at, dst)) {
                found.push(at);
            }
        }
        let has_macs =
            rules.members().any(|(s, m)| s.name == slice && matches!(m, Member::Mac { .. }));
        if rules.options.loose && has_macs && (group || bound) {
            for end in &wires.ports {
                let at = Place { end: *end, vlan: 0 };
                let claimed = rules.foreign_point(slice, |place| place.end == *end)
                    || self
                        .known
                        .iter()
                        .any(|((s, _), k)| *s != slice && !k.guess && k.at.end == *end);
                if !claimed && (group || rules.may_be(slice, at, dst)) {
                    found.push(at);
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// A port went down, a switch stopped.
    pub fn forget(&mut self, gone: impl Fn(Place) -> bool) {
        self.known.retain(|_, known| !gone(known.at));
    }

    /// Time passes.
    pub fn set_now(&mut self, now: Duration) {
        self.now = now;
        self.known
            .retain(|_, known| now - known.last <= if known.guess { GUESS_AGE } else { HOST_AGE });
    }

    /// Another policy: who would be admitted to the same slice stays known, or guessed.
    pub fn revised(&mut self, rules: &Rules) {
        self.known.retain(|(slice, mac), known| match rules.admitted(known.at, *mac) {
            Admitted::In { slice: now, by_mac } => {
                known.by_mac = by_mac;
                !known.guess && now == *slice
            }
            Admitted::Refused { may_be_guessed } => {
                let here = |(place, _): &(Place, Option<Mac>)| place.end == known.at.end;
                known.guess && may_be_guessed && rules.points(*slice).iter().any(here)
            }
        });
    }

    /// Keeps only these, as if they had just spoken.
    pub fn keep(&mut self, keep: impl Fn(char, Mac) -> bool) {
        self.known.retain(|(slice, mac), _| keep(*slice, *mac));
        let now = self.now;
        self.known.values_mut().for_each(|known| known.last = now);
    }
}

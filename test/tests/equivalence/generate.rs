//! Plans by chance: small enough to shrink, shaped so that what may go wrong can. Pure.

use umlaut_openflow::Version;

use super::plan::*;
use super::random::Random;

/// Ports of hosts on each switch; one more is free at first.
const HOST_PORTS: u64 = 3;
const FREE_PORT: u32 = 9;
const FIRST_LINK_PORT: u32 = 20;
const VLANS: [u16; 3] = [0, 20, 30];
/// Addresses that no station has.
const STRANGERS: [Mac; 2] = [0xfa, 0x01fa];
const GROUP: Mac = 0x0100_5e00_00fa;
const PORTS: [u16; 3] = [1, 22, 80];

struct Maker {
    r: Random,
    stations: Vec<Station>,
    ends: Vec<End>,
    /// The station whose port has two VLANs of one slice, with a host on each.
    doubled: Option<usize>,
    /// Two slices speak with the same addresses over the same links.
    mirrored: bool,
    /// What is said again and again, and asked about by filters.
    topics: Vec<Frame>,
}

/// The plan of a seed.
pub fn plan(seed: u64) -> Plan {
    let mut r = Random::new(seed);
    let switches = [1, 2, 2, 3, 3, 4, 5][r.within(0, 6) as usize];
    let links = links(&mut r, switches);
    let mut ends = Vec::new();
    let mut stations = Vec::new();
    // Some stations have the MAC of another: two slices may use one address twice.
    let twins = r.percent(35);
    for switch in 1..=switches {
        for port in 1..=r.within(if switches == 1 { 3 } else { 1 }, HOST_PORTS) {
            let end = End { switch, port: port as u32 };
            let fresh = stations.len() as u64 + 1;
            let mac =
                if twins && fresh > 2 && r.percent(60) { r.within(1, fresh.min(3)) } else { fresh };
            let vlan = if r.percent(25) { r.pick(&VLANS) } else { 0 };
            ends.push(end);
            stations.push(Station { mac, at: Place { end, vlan } });
        }
    }
    let mut maker = Maker { r, stations, ends, doubled: None, mirrored: false, topics: Vec::new() };
    for _ in 0..2 {
        let pair = (maker.station(), maker.station());
        let topic = maker.frame(pair);
        maker.topics.push(topic);
    }
    let mut first = maker.rules();
    match maker.r.weighted(&[16, 12, 12, 60]) {
        0 if switches > 1 => maker.mirror(&mut first, switches),
        1 => maker.double(&mut first),
        2 => maker.loosen(&mut first),
        _ => {}
    }
    let mut rules = vec![first];
    for _ in 0..maker.r.within(0, 2) {
        let next = maker.revised(&rules[rules.len() - 1].clone());
        rules.push(next);
    }
    let steps = maker.steps(switches, &links, &rules);
    let version = if maker.r.percent(50) { Version::V1_3 } else { Version::V1_0 };
    Plan { seed, version, switches, links, stations: maker.stations, rules, steps }
}

fn links(r: &mut Random, switches: u64) -> Vec<[End; 2]> {
    let mut used = vec![0_u32; switches as usize + 1];
    let mut links: Vec<[End; 2]> = Vec::new();
    let mut link = |a: u64, b: u64| {
        let mut end = |switch: u64| {
            used[switch as usize] += 1;
            End { switch, port: FIRST_LINK_PORT + used[switch as usize] }
        };
        links.push([end(a), end(b)]);
    };
    match r.weighted(&[3, 2, 3, 2]) {
        // A line, a ring, a tree, and anything.
        0 => (2..=switches).for_each(|n| link(n - 1, n)),
        1 => {
            (2..=switches).for_each(|n| link(n - 1, n));
            if switches > 2 {
                link(switches, 1);
            }
        }
        2 => (2..=switches).for_each(|n| link(r.within(1, n - 1), n)),
        _ => {
            (2..=switches).for_each(|n| link(r.within(1, n - 1), n));
            for _ in 0..r.within(0, switches - 1) {
                let (a, b) = (r.within(1, switches), r.within(1, switches));
                if a != b {
                    link(a, b);
                }
            }
        }
    }
    links
}

impl Maker {
    fn station_mac(&mut self) -> Mac {
        let index = self.r.within(0, self.stations.len() as u64 - 1) as usize;
        self.stations[index].mac
    }

    fn any_mac(&mut self) -> Mac {
        if self.r.percent(85) { self.station_mac() } else { self.r.pick(&STRANGERS) }
    }

    /// A place where a station is, or could be.
    fn place(&mut self) -> Place {
        let index = self.r.within(0, self.stations.len() as u64 - 1) as usize;
        let at = self.stations[index].at;
        match self.r.weighted(&[80, 12, 8]) {
            0 => at,
            1 => Place { vlan: self.r.pick(&VLANS), ..at },
            _ => Place { end: End { port: FREE_PORT, ..at.end }, vlan: self.r.pick(&VLANS) },
        }
    }

    fn rules(&mut self) -> Rules {
        let count = [1, 2, 2, 2, 3, 4][self.r.within(0, 5) as usize];
        let kinds = match self.r.weighted(&[4, 2, 3, 2]) {
            0 => [4, 2, 4],
            1 => [8, 1, 1],
            2 => [0, 1, 9],
            _ => [1, 6, 3],
        };
        let mut slices: Vec<Slice> = Vec::new();
        for n in 0..count {
            let restricted = self.r.percent(12);
            slices.push(Slice { name: (b'a' + n) as char, restricted, members: Vec::new() });
        }
        // Many places belong to somebody, so that frames meet.
        let members = self.stations.len() as u64 + self.r.within(0, 4);
        for n in 0..members {
            let to = self.r.within(0, count as u64 - 1) as usize;
            let mut at = self.place();
            if let Some(station) = self.stations.get(n as usize).filter(|_| self.r.percent(70)) {
                at = station.at;
            }
            let member = self.member(&kinds, at);
            add(&mut slices, to, member);
        }
        let options = Options {
            restrict_hosts: self.r.percent(8),
            loose: self.r.percent(15),
            reverse_flow: self.r.percent(25),
            arp_packet_out: self.r.percent(15),
            deny: self.r.percent(10),
            exact: self.r.percent(20),
            refuse_foreign: self.r.percent(20),
            declared_links: self.r.percent(15),
        };
        let mut rules = Rules { slices, filters: Vec::new(), options };
        if self.r.percent(60) || options.deny {
            let most = if self.r.percent(30) { 9 } else { 4 };
            for _ in 0..self.r.within(1, most) {
                let filter = self.filter(&rules);
                rules.filters.push(filter);
            }
        }
        rules
    }

    fn member(&mut self, kinds: &[u64; 3], at: Place) -> Member {
        match self.r.weighted(kinds) {
            0 => {
                let pins = match self.r.percent(35) {
                    true => (0..self.r.within(1, 2)).map(|_| self.place()).collect(),
                    false => Vec::new(),
                };
                Member::Mac { mac: self.any_mac(), pins }
            }
            1 => {
                let here = self.stations.iter().find(|s| s.at.end == at.end).map(|s| s.mac);
                let mac = here.filter(|_| self.r.percent(60)).unwrap_or_else(|| self.any_mac());
                Member::PortMac { at, mac }
            }
            _ => Member::Port { at, restricted: self.r.percent(12) },
        }
    }

    fn filter(&mut self, rules: &Rules) -> Filter {
        // Often one that asks the same as another: of the same values, or of others.
        if !rules.filters.is_empty() && self.r.percent(45) {
            let which = self.r.within(0, rules.filters.len() as u64 - 1) as usize;
            let mut filter = rules.filters[which].clone();
            if self.r.percent(60) {
                filter.criteria = filter.criteria.into_iter().map(|c| self.sibling(c)).collect();
            }
            filter.priority = self.r.within(1, 3) as u32;
            filter.allow ^= self.r.percent(70);
            return filter;
        }
        let mut criteria: Vec<Criterion> = Vec::new();
        for _ in 0..self.r.weighted(&[2, 10, 5]) {
            let next = self.criterion();
            criteria.push(next);
        }
        // What contradicts itself is no policy: one criterion of each kind, and what goes together.
        let mut seen = Vec::new();
        criteria.retain(|c| {
            let group = group_of(*c);
            let fits = !seen.contains(&group);
            seen.push(group);
            fits
        });
        let slices: Vec<char> = rules.slices.iter().map(|slice| slice.name).collect();
        Filter {
            priority: self.r.within(1, 3) as u32,
            slice: self.r.percent(40).then(|| self.r.pick(&slices)),
            criteria,
            allow: self.r.percent(if rules.options.deny { 75 } else { 35 }),
        }
    }

    fn criterion(&mut self) -> Criterion {
        if let (Some(topic), true) = (self.topic(), self.r.percent(45)) {
            let own = topic.station as u8 + 1;
            let of_kind = match topic.kind {
                Kind::Tcp(_, d) => Criterion::TcpDst(d),
                Kind::Udp(_, d) => Criterion::UdpDst(d),
                Kind::Icmp => Criterion::IpProto(1),
                _ => Criterion::TcpDst(22),
            };
            return match self.r.within(0, 7) {
                0 => Criterion::EthSrc(topic.src),
                4 => Criterion::EthSrc(topic.dst),
                1 => Criterion::EthDst(topic.dst),
                2 => Criterion::Pcp(5),
                3 => Criterion::Ipv4Src(own, 8),
                _ => of_kind,
            };
        }
        match self.r.within(0, 14) {
            0 => Criterion::EthSrc(self.any_mac()),
            1 => Criterion::EthDst(if self.r.percent(80) { self.any_mac() } else { BROADCAST }),
            2 => Criterion::EthType(self.r.pick(&[0x0800, 0x0806, 0x88b5, 0x86dd])),
            3 => Criterion::Vlan(self.r.pick(&[20, 30])),
            4 => Criterion::Untagged,
            5 => Criterion::Pcp(self.r.pick(&[0, 5])),
            6 => Criterion::IpProto(self.r.pick(&[1, 6, 17])),
            7 | 8 => Criterion::TcpDst(self.r.pick(&PORTS)),
            9 => Criterion::UdpDst(self.r.pick(&PORTS)),
            10 => Criterion::TpSrc(self.r.pick(&PORTS)),
            11 => Criterion::TpDst(self.r.pick(&PORTS)),
            12 => {
                let bits = self.r.pick(&[6, 7, 8]);
                let byte = self.station_mac() as u8;
                if self.r.percent(50) {
                    Criterion::Ipv4Src(byte, bits)
                } else {
                    Criterion::Ipv4Dst(byte, bits)
                }
            }
            13 => Criterion::ArpTpa(self.station_mac() as u8),
            _ => {
                let ends = self.ends.clone();
                Criterion::In(self.r.pick(&ends))
            }
        }
    }

    /// The same question of another value.
    fn sibling(&mut self, criterion: Criterion) -> Criterion {
        match criterion {
            Criterion::EthSrc(_) => Criterion::EthSrc(self.any_mac()),
            Criterion::EthDst(_) => Criterion::EthDst(self.any_mac()),
            Criterion::EthType(_) => Criterion::EthType(self.r.pick(&[0x0800, 0x0806, 0x88b5])),
            Criterion::IpProto(_) => Criterion::IpProto(self.r.pick(&[1, 6, 17])),
            Criterion::TcpDst(_) => Criterion::TcpDst(self.r.pick(&PORTS)),
            Criterion::UdpDst(_) => Criterion::UdpDst(self.r.pick(&PORTS)),
            Criterion::TpSrc(_) => Criterion::TpSrc(self.r.pick(&PORTS)),
            Criterion::TpDst(_) => Criterion::TpDst(self.r.pick(&PORTS)),
            Criterion::Ipv4Src(_, bits) => Criterion::Ipv4Src(self.station_mac() as u8, bits),
            Criterion::Ipv4Dst(_, bits) => Criterion::Ipv4Dst(self.station_mac() as u8, bits),
            other => other,
        }
    }

    /// A policy like another one, a little changed.
    fn revised(&mut self, old: &Rules) -> Rules {
        let mut rules = old.clone();
        for _ in 0..self.r.within(1, 3) {
            match self.r.weighted(&[3, 3, 3, 2, 2, 2, 3]) {
                0 => {
                    let slice = self.r.within(0, rules.slices.len() as u64 - 1) as usize;
                    let members = rules.slices[slice].members.len() as u64;
                    if members > 0 {
                        let member = self.r.within(0, members - 1) as usize;
                        let member = rules.slices[slice].members.remove(member);
                        // Often it goes to another slice.
                        if self.r.percent(60) {
                            let to = self.r.within(0, rules.slices.len() as u64 - 1) as usize;
                            add(&mut rules.slices, to, member);
                        }
                    }
                }
                1 => {
                    let to = self.r.within(0, rules.slices.len() as u64 - 1) as usize;
                    let at = self.place();
                    let member = self.member(&[3, 2, 3], at);
                    add(&mut rules.slices, to, member);
                }
                2 => {
                    if !rules.filters.is_empty() && self.r.percent(50) {
                        let last = rules.filters.len() as u64 - 1;
                        rules.filters.remove(self.r.within(0, last) as usize);
                    } else {
                        let filter = self.filter(&rules);
                        rules.filters.push(filter);
                    }
                }
                // The order of slices means nothing.
                3 => rules.slices.reverse(),
                4 => {
                    let slice = self.r.within(0, rules.slices.len() as u64 - 1) as usize;
                    rules.slices[slice].restricted ^= true;
                }
                5 => {
                    let members = rules.slices.iter_mut().flat_map(|slice| &mut slice.members);
                    let mut ports: Vec<&mut bool> = members
                        .filter_map(|member| match member {
                            Member::Port { restricted, .. } => Some(restricted),
                            _ => None,
                        })
                        .collect();
                    if !ports.is_empty() {
                        let port = self.r.within(0, ports.len() as u64 - 1) as usize;
                        *ports[port] ^= true;
                    }
                }
                _ => match self.r.within(0, 4) {
                    0 => rules.options.loose ^= true,
                    1 => rules.options.deny ^= true,
                    2 => rules.options.exact ^= true,
                    3 => rules.options.refuse_foreign ^= true,
                    _ => rules.options.restrict_hosts ^= true,
                },
            }
        }
        rules
    }

    /// A slice whose floods go wherever nobody else is, and hosts of another that are somewhere.
    fn loosen(&mut self, rules: &mut Rules) {
        rules.options.loose = true;
        for slice in 0..rules.slices.len().min(2) {
            let station = self.station();
            let Station { mac, at } = self.stations[station];
            for other in &mut rules.slices {
                other.members.retain(|member| match member {
                    Member::Mac { mac: m, .. } | Member::PortMac { mac: m, .. } => *m != mac,
                    Member::Port { at: a, .. } => a.end != at.end,
                });
            }
            rules.slices[slice].members.push(Member::Mac { mac, pins: Vec::new() });
        }
    }

    /// Two VLANs of one slice on one port: frames go back out of it.
    fn double(&mut self, rules: &mut Rules) {
        let station = self.station();
        let end = self.stations[station].at.end;
        for slice in &mut rules.slices {
            slice.members.retain(|member| match member {
                Member::Port { at, .. } | Member::PortMac { at, .. } => at.end != end,
                Member::Mac { .. } => true,
            });
        }
        for vlan in [0, 20] {
            let at = Place { end, vlan };
            rules.slices[0].members.push(Member::Port { at, restricted: false });
        }
        self.doubled = Some(station);
    }

    /// Two slices at the same switches, in which the same two addresses speak: what they say meets
    /// on the links.
    fn mirror(&mut self, rules: &mut Rules, switches: u64) {
        let other = self.r.within(2, switches);
        self.stations.clear();
        rules.slices.clear();
        for (name, port) in [('a', 1), ('b', 2)] {
            let mut members = Vec::new();
            for (mac, switch) in [(1, 1), (2, other)] {
                let vlan = if self.r.percent(15) { self.r.pick(&VLANS) } else { 0 };
                let at = Place { end: End { switch, port }, vlan };
                self.stations.push(Station { mac, at });
                members.push(Member::Port { at, restricted: false });
            }
            rules.slices.push(Slice { name, restricted: false, members });
        }
        self.ends = self.stations.iter().map(|station| station.at.end).collect();
        rules.filters.retain(|filter| filter.slice.is_none_or(|slice| slice <= 'b'));
        self.mirrored = true;
    }

    fn steps(&mut self, switches: u64, links: &[[End; 2]], rules: &[Rules]) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let mut revisions = 1..rules.len();
        let count = self.r.within(10, 24);
        // A few pairs speak often, so that flows of theirs meet what happens.
        // Those who were somewhere else when the topics were thought of have others.
        if self.mirrored || self.doubled.is_some() {
            self.topics.clear();
        }
        let talk: Vec<(usize, usize)> = (0..2).map(|_| (self.station(), self.station())).collect();
        while (steps.len() as u64) < count {
            let frame = |maker: &mut Maker, talk: &[(usize, usize)]| match maker.topic() {
                Some(topic) if maker.r.percent(55) => match maker.r.within(0, 5) {
                    0 | 1 => topic,
                    2 => maker.answer(&topic).unwrap_or(topic),
                    _ => maker.other_kind(&topic),
                },
                _ => {
                    let pair = maker.r.pick(talk);
                    maker.frame(pair)
                }
            };
            let before = steps.len();
            if let (Some(topic), true) = (self.topic(), self.r.percent(30)) {
                steps.push(Step::Say(topic));
            }
            match self.r.weighted(&[110, 5, 5, 3, 3, 3, 8, 6, 5]) {
                0 => {
                    let frame = frame(self, &talk);
                    // An answer often follows.
                    let answer = self.answer(&frame).filter(|_| self.r.percent(50));
                    // And one that differs in what filters may look at.
                    let other = self.r.percent(35).then(|| self.other_kind(&frame));
                    steps.push(Step::Say(frame));
                    steps.extend(other.map(Step::Say));
                    steps.extend(answer.map(Step::Say));
                }
                1 if !links.is_empty() => {
                    let link = self.r.within(0, links.len() as u64 - 1) as usize;
                    steps.push(Step::Link { link, up: false });
                    let after = frame(self, &talk);
                    steps.push(Step::Say(after));
                    if self.r.percent(60) {
                        steps.push(Step::Link { link, up: true });
                    }
                }
                2 => {
                    let at = self.station();
                    let end = self.stations[at].at.end;
                    steps.push(Step::Port { end, up: false });
                    let after = frame(self, &talk);
                    steps.push(Step::Say(after));
                    steps.push(Step::Port { end, up: true });
                }
                3 => {
                    let switch = self.r.within(1, switches);
                    steps.push(Step::Switch { switch, up: false });
                    let after = frame(self, &talk);
                    steps.push(Step::Say(after));
                    steps.push(Step::Switch { switch, up: true });
                }
                4 => steps.push(Step::Restart { switch: self.r.within(1, switches) }),
                5 if self.r.percent(50) => steps.push(Step::Controller),
                5 => steps.push(Step::Channel { switch: self.r.within(1, switches) }),
                6 => steps.extend(revisions.next().map(|rules| Step::Revise { rules })),
                7 => {
                    let station = self.station();
                    let at = self.station();
                    let end = self.stations[at].at.end;
                    let to = match self.r.percent(70) {
                        true => End { port: FREE_PORT, ..end },
                        false => end,
                    };
                    steps.push(Step::Move { station, to });
                }
                8 => steps.push(Step::Pass { seconds: self.r.pick(&[1, 7, 35, 70, 130]) }),
                _ => {}
            }
            // What was said before something happened is said again.
            let happened = steps[before..].iter().any(|step| !matches!(step, Step::Say(_)));
            if let (Some(topic), true, true) = (self.topic(), happened, self.r.percent(75)) {
                let answer = self.answer(&topic);
                steps.push(Step::Say(topic));
                steps.extend(answer.map(Step::Say));
            }
        }
        steps
    }

    fn topic(&mut self) -> Option<Frame> {
        let count = self.topics.len() as u64;
        (count > 0).then(|| self.topics[self.r.within(0, count - 1) as usize].clone())
    }

    fn station(&mut self) -> usize {
        self.r.within(0, self.stations.len() as u64 - 1) as usize
    }

    fn frame(&mut self, (a, b): (usize, usize)) -> Frame {
        if let Some(station) = self.doubled.filter(|_| self.r.percent(25)) {
            let (own, other) = (self.stations[station].mac, STRANGERS[0]);
            let (src, dst, tags) = match self.r.percent(50) {
                true => (own, other, vec![]),
                false => (other, own, vec![(0x8100, 20)]),
            };
            return Frame { station, src, dst, tags, kind: Kind::Plain };
        }
        if self.mirrored && self.r.percent(85) {
            let station = self.station();
            let Station { mac: src, at } = self.stations[station];
            let dst = self.stations[station ^ 1].mac;
            let tags = if at.vlan == 0 { vec![] } else { vec![(0x8100, at.vlan)] };
            let kind = if self.r.percent(75) { Kind::Plain } else { Kind::Tcp(1, 22) };
            return Frame { station, src, dst, tags, kind };
        }
        let (station, to) = match self.r.weighted(&[4, 3, 3]) {
            0 => (a, b),
            1 => (b, a),
            _ => (self.station(), self.station()),
        };
        let src = match self.r.percent(85) {
            true => self.stations[station].mac,
            false => match self.r.percent(90) {
                true => self.any_mac(),
                false => self.r.pick(&[GROUP, 0]),
            },
        };
        let dst = match self.r.weighted(&[60, 20, 8, 8, 2, 2]) {
            0 => self.stations[to].mac,
            1 => BROADCAST,
            2 => GROUP,
            3 => self.r.pick(&STRANGERS),
            4 => 0x0180_c200_0003,
            _ => src,
        };
        let kind = match self.r.weighted(&[30, 14, 20, 8, 8, 6, 5, 5, 1]) {
            0 => Kind::Plain,
            1 => Kind::Udp(self.r.pick(&PORTS), self.r.pick(&PORTS)),
            2 => Kind::Tcp(self.r.pick(&PORTS), self.r.pick(&PORTS)),
            3 => Kind::Icmp,
            4 => Kind::Arp,
            5 => Kind::ArpReply,
            6 => Kind::Nd(self.station_mac()),
            7 => Kind::Fragment,
            _ => Kind::Lldp,
        };
        let dst = match kind {
            Kind::Arp => BROADCAST,
            Kind::Nd(target) => 0x3333_ff00_0000 | target & 0xff_ffff,
            Kind::Lldp => 0x0180_c200_000e,
            _ => dst,
        };
        let vlan = self.stations[station].at.vlan;
        let tags = self.tags(vlan);
        Frame { station, src, dst, tags, kind }
    }

    /// A frame of the same addresses at the same place that a filter may tell from this one.
    fn other_kind(&mut self, frame: &Frame) -> Frame {
        let mut other = frame.clone();
        if self.r.percent(20) {
            let tci = frame.tags.first().map_or(0, |(_, tci)| tci & 0xfff);
            other.tags = vec![(0x8100, self.r.pick(&[0, 5]) << 13 | tci)];
            return other;
        }
        let (s, d) = (self.r.pick(&PORTS), self.r.pick(&PORTS));
        other.kind = match frame.kind {
            // To a group that is none of theirs, or asked for by nobody.
            Kind::Arp | Kind::Nd(_) | Kind::Lldp => frame.kind,
            Kind::Tcp(..) if self.r.percent(60) => Kind::Tcp(s, d),
            Kind::Udp(..) if self.r.percent(60) => Kind::Udp(s, d),
            _ => self.r.pick(&[
                Kind::Plain,
                Kind::Tcp(s, d),
                Kind::Tcp(s, 22),
                Kind::Udp(s, d),
                Kind::Icmp,
                Kind::ArpReply,
                Kind::Fragment,
            ]),
        };
        other
    }

    fn tags(&mut self, vlan: u16) -> Vec<(u16, u16)> {
        let own = |vlan: u16, pcp: u16| (0x8100, pcp << 13 | vlan);
        match self.r.weighted(&[80, 8, 6, 4, 1, 1, 1]) {
            0 if vlan == 0 => vec![],
            0 => vec![own(vlan, 0)],
            // The same place, with a priority.
            1 => vec![own(vlan, 5)],
            2 => vec![own(self.r.pick(&[20, 30]), 0)],
            3 => vec![],
            4 => vec![own(vlan, 0), own(20, 0)],
            5 => vec![(0x88a8, vlan)],
            _ => vec![own(0xfff, 0)],
        }
    }

    /// What the receiver would say, from where it is at first.
    fn answer(&self, frame: &Frame) -> Option<Frame> {
        let station = self.stations.iter().position(|s| s.mac == frame.dst)?;
        let kind = match frame.kind {
            Kind::Udp(s, d) => Kind::Udp(d, s),
            Kind::Tcp(s, d) => Kind::Tcp(d, s),
            kind => kind,
        };
        let vlan = self.stations[station].at.vlan;
        let tags = if vlan == 0 { vec![] } else { vec![(0x8100, vlan)] };
        let Frame { src, dst, .. } = *frame;
        (!is_group(src)).then_some(Frame { station, src: dst, dst: src, tags, kind })
    }
}

/// Criteria of one group cannot stand together in a filter.
fn group_of(criterion: Criterion) -> u8 {
    match criterion {
        Criterion::EthSrc(_) => 0,
        Criterion::EthDst(_) => 1,
        Criterion::Vlan(_) | Criterion::Untagged => 2,
        Criterion::Pcp(_) => 3,
        Criterion::In(_) => 4,
        _ => 5,
    }
}

/// Adds a member if nothing contradicts it.
fn add(slices: &mut [Slice], to: usize, member: Member) {
    let all: Vec<(usize, &Member)> = slices
        .iter()
        .enumerate()
        .flat_map(|(index, slice)| slice.members.iter().map(move |m| (index, m)))
        .collect();
    let clashes = all.iter().any(|(of, known)| match (known, &member) {
        (Member::Mac { mac: a, .. }, Member::Mac { mac: b, .. }) => a == b,
        (Member::PortMac { at: a, mac: m }, Member::PortMac { at: b, mac: n }) => (a, m) == (b, n),
        (Member::Port { at: a, .. }, Member::Port { at: b, .. }) => a == b,
        // Whoever is bound by MAC elsewhere can never use a place of its own.
        (Member::Mac { mac: a, .. }, Member::PortMac { mac: b, .. })
        | (Member::PortMac { mac: a, .. }, Member::Mac { mac: b, .. }) => a == b && *of != to,
        _ => false,
    });
    if !clashes {
        slices[to].members.push(member);
    }
}

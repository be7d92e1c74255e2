//! A fake switch: it answers requests as the emulated switch does, and counts what a load brings
//! back. Pure; times of the load are nanoseconds from its start.
//!
//! ```text
//!             flow-mods, packet-outs of the load ──▶ counts, latencies, live entries
//! messages ──┤
//!             all else, and all before the load  ──▶ EmulatedSwitch ──▶ answers
//! ```

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

use umlaut_openflow::{DecodeError, EncodeError, MacAddr, PortNo, Version, decode};

use super::population::{Pairs, Population};
use super::removal::LiveEntries;
use super::replies::{Kind, addresses, kind};
use super::results::{Counts, Latencies};
use super::template::{Template, announcement, echo};
use crate::switch::{EmulatedSwitch, Output, SwitchOptions};

/// OFPT_FEATURES_REQUEST; OFPT_STATS_REQUEST of 1.0 and OFPT_MULTIPART_REQUEST, and the kind that asks
/// for entries.
const FEATURES_REQUEST: u8 = 5;
const STATS_REQUEST: [u8; 2] = [16, 18];
const FLOW_STATS: [u8; 2] = [0, 1];
/// OFPET_BAD_REQUEST, OFPBRC_EPERM.
const NOT_TOLD: [u8; 4] = [0, 1, 0, 5];
/// How many packet-ins may be answered before an older one of the same switch is. Beyond it the oldest
/// is given up.
const OUT_OF_ORDER: usize = 256;

/// OFPT_*, the same in 1.0 and 1.3.
const HELLO: u8 = 0;
const ERROR: u8 = 1;
/// One in so many flow-mods and packet-outs is decoded, the first among them.
const LOOKED_INTO: u64 = 1024;

/// Which entries a load makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Workload {
    /// Every host speaks to one other, again and again: the same paths are asked for.
    SeenAgain,
    /// Every packet-in asks for a new path. A switch keeps this many entries and tells the end of the
    /// oldest when there are more.
    NewPaths {
        /// How many.
        live: usize,
    },
}

/// A packet-in whose flow-mod has not come.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    src: u32,
    dst: u32,
    /// When it was due.
    at: u64,
}

/// One switch of a load.
#[derive(Debug)]
pub(super) struct FakeSwitch {
    number: u32,
    population: Population,
    version: Version,
    emulated: EmulatedSwitch,
    outputs: Vec<Output>,
    /// Whether the load has begun: flow-mods are counted and not obeyed.
    loaded: bool,
    /// Whether the controller has asked who this is.
    pub(super) greeted: bool,
    /// The switch has closed: the controller said what it could not understand.
    pub(super) closed: bool,
    /// Something came that no switch could read.
    pub(super) unreadable: Option<Unreadable>,
    fence: Option<u32>,
    pairs: Pairs,
    /// Of whom no packet-in is sent: the source of a storm, and who is with it.
    silent: Option<Silent>,
    live: Option<(LiveEntries, usize)>,
    /// Since the window was last opened anew.
    sent: u64,
    entries: u64,
    frames: u64,
    waiting: Option<VecDeque<Waiting>>,
    /// When the last answer came.
    pub(super) answered_at: u64,
    next_xid: u32,
    pub(super) counts: Counts,
}

/// Why a message cannot be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// One that was looked into is no message.
    Broken(DecodeError),
    /// It is of this version, and another was agreed on.
    Version(u8),
}

/// When messages came, and where their latencies are noted.
pub(super) struct Came<'a> {
    /// Of the load.
    pub(super) at: u64,
    pub(super) now: Instant,
    pub(super) latencies: &'a mut Latencies,
    /// Of packet-ins that were due then.
    pub(super) measured: Range<u64>,
}

/// Hosts of one port and slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Silent {
    port: PortNo,
    slice: u32,
}

/// What all switches of a load share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) template: Template,
    pub(super) ports: Vec<u16>,
    pub(super) buffers: bool,
}

impl FakeSwitch {
    pub(super) fn new(
        number: u32,
        population: Population,
        version: Version,
        workload: Workload,
        buffers: bool,
        now: Instant,
    ) -> FakeSwitch {
        let mut emulated = EmulatedSwitch::new(SwitchOptions {
            versions: vec![version],
            n_buffers: if buffers { 256 } else { 0 },
            // The controller is not probed: silence is what some loads are about.
            probe_interval: None,
            ..SwitchOptions::new(format!("s{}", number + 1), population.dpid(number))
        });
        for port in 1..=population.ports() {
            emulated.add_port(PortNo(port), now);
        }
        let (pairs, live) = match workload {
            Workload::SeenAgain => (Pairs::seen_again(population), None),
            Workload::NewPaths { live } => {
                (Pairs::new_paths(population), Some((LiveEntries::default(), live)))
            }
        };
        FakeSwitch {
            number,
            population,
            version,
            emulated,
            outputs: Vec::new(),
            loaded: false,
            greeted: false,
            closed: false,
            unreadable: None,
            fence: None,
            pairs,
            silent: None,
            live,
            sent: 0,
            entries: 0,
            frames: 0,
            waiting: None,
            answered_at: 0,
            next_xid: 1,
            counts: Counts::default(),
        }
    }

    /// The connection is made: says hello.
    pub(super) fn connected(&mut self, now: Instant, out: &mut Vec<u8>) {
        self.emulated.connected(now);
        self.take_outputs(out);
    }

    /// From here on flow-mods are counted and not obeyed.
    pub(super) fn begin_load(&mut self) {
        self.loaded = true;
    }

    // ---- what comes ----

    /// Takes one whole message of the controller, and appends what is answered to `out`.
    #[inline]
    pub(super) fn input(&mut self, message: &[u8], came: &mut Came<'_>, out: &mut Vec<u8>) {
        if let [version, kind, ..] = *message
            && version != self.version.0
            // These may come before a version is agreed on.
            && !matches!(kind, HELLO | ERROR)
        {
            self.unreadable = Some(Unreadable::Version(version));
            return;
        }
        match kind(self.version, message) {
            Kind::SetUp if self.loaded => {
                self.look_into(message, self.counts.set_ups);
                self.counts.set_ups += 1;
                self.entries += 1;
                self.answered_at = came.at;
                if self.waiting.is_some() {
                    self.answered(message, came);
                }
                if let Some((live, _)) = &mut self.live {
                    live.add(self.version, message);
                }
            }
            Kind::DropEntry if self.loaded => {
                self.counts.drop_entries += 1;
                self.entries += 1;
                self.answered_at = came.at;
            }
            Kind::OtherFlowMod if self.loaded => self.counts.other_flow_mods += 1,
            Kind::PacketOut => {
                self.look_into(message, self.counts.packet_outs);
                self.counts.packet_outs += 1;
                self.frames += 1;
                self.answered_at = came.at;
            }
            Kind::Probe => self.counts.probes += 1,
            Kind::EchoReply => {
                if self.fence == xid(message) {
                    self.fence = None;
                }
            }
            Kind::Error => self.counts.errors += 1,
            Kind::SetUp | Kind::DropEntry | Kind::OtherFlowMod | Kind::Other => {
                self.counts.others += 1;
                self.obey(message, came.now, out);
            }
        }
    }

    /// Decodes some of the answers, so that nobody is fast by what no switch could read.
    fn look_into(&mut self, message: &[u8], before: u64) {
        if before.is_multiple_of(LOOKED_INTO)
            && let Err(error) = decode(message)
        {
            self.unreadable = Some(Unreadable::Broken(error));
        }
    }

    /// A flow-mod came: its packet-in is the oldest with these addresses.
    fn answered(&mut self, message: &[u8], came: &mut Came<'_>) {
        let Some(waiting) = &mut self.waiting else { return };
        let of = |host| self.population.address(self.number, host).mac;
        let (src, dst) = addresses(self.version, message);
        let meant = |one: &Waiting| {
            src.is_none_or(|src: MacAddr| src == of(one.src))
                && dst.is_none_or(|dst: MacAddr| dst == of(one.dst))
        };
        let Some(index) = waiting.iter().position(meant) else { return };
        let Some(one) = waiting.remove(index) else { return };
        if came.measured.contains(&one.at) {
            came.latencies.record(one.at, came.at);
        }
        let given_up = waiting.drain(..index.saturating_sub(OUT_OF_ORDER));
        for one in given_up.filter(|one| came.measured.contains(&one.at)) {
            // It has waited until now, at least.
            came.latencies.record_unanswered(one.at, came.at);
            self.counts.unanswered += 1;
        }
    }

    /// As the emulated switch does; but during a load it does not tell what entries it has: it does
    /// not keep them, and a controller would miss them.
    fn obey(&mut self, message: &[u8], now: Instant, out: &mut Vec<u8>) {
        let kind = message.get(1).copied().unwrap_or_default();
        let stats = STATS_REQUEST[usize::from(self.version != Version::V1_0)];
        if self.loaded && kind == stats && message.get(8..10) == Some(&FLOW_STATS) {
            let data = &message[..message.len().min(64)];
            out.extend_from_slice(&[self.version.0, 1, 0, 12 + data.len() as u8]);
            out.extend_from_slice(&message[4..8]);
            out.extend_from_slice(&NOT_TOLD);
            out.extend_from_slice(data);
            return;
        }
        self.emulated.control_input(message, now);
        self.greeted |= kind == FEATURES_REQUEST;
        self.take_outputs(out);
    }

    fn take_outputs(&mut self, out: &mut Vec<u8>) {
        self.emulated.drain(&mut self.outputs);
        for output in self.outputs.drain(..) {
            match output {
                Output::Control(bytes) => out.extend_from_slice(&bytes),
                Output::Close => self.closed = true,
                Output::Frame { .. } => {}
            }
        }
    }

    // ---- what goes ----

    /// From here on it is noted when packet-ins are due, or not.
    pub(super) fn watch_latency(&mut self, watched: bool) {
        self.waiting = watched.then(VecDeque::new);
        self.open_window();
    }

    /// Forgets packet-ins that were due before: they are not answered any more.
    pub(super) fn forget_before(&mut self, at: u64) {
        if let Some(waiting) = &mut self.waiting {
            while waiting.front().is_some_and(|one| one.at < at) {
                waiting.pop_front();
            }
        }
    }

    /// How many packet-ins are not answered: by an entry or, where none is made, by a frame.
    #[inline]
    pub(super) fn in_flight(&self) -> u64 {
        self.sent.saturating_sub(self.entries.max(self.frames))
    }

    /// How many are not answered by an entry, while it is noted when they are due.
    pub(super) fn unanswered(&self) -> usize {
        self.waiting.as_ref().map_or(0, VecDeque::len)
    }

    /// When those of them were due that were due within a span.
    pub(super) fn unanswered_within(&self, span: &Range<u64>) -> impl Iterator<Item = u64> {
        let waiting = self.waiting.iter().flatten().map(|one| one.at);
        waiting.filter(|at| span.contains(at))
    }

    /// Nothing is in flight any more.
    fn open_window(&mut self) {
        (self.sent, self.entries, self.frames) = (0, 0, 0);
    }

    /// What is in flight is not waited for any more. While latencies are noted, it is known of each
    /// packet-in whether it is answered, and none is counted here.
    pub(super) fn lose_patience(&mut self) {
        if self.waiting.is_none() {
            self.counts.unanswered += self.in_flight();
        }
        self.open_window();
    }

    /// Appends the next packet-in, due at `at`, and tells the end of entries that are too many.
    #[inline]
    pub(super) fn speak(&mut self, common: &Common, at: u64, out: &mut Vec<u8>) {
        let (src, dst) = self.next_pair();
        self.put(common, src, dst, out);
        self.sent += 1;
        if let Some(waiting) = &mut self.waiting {
            waiting.push_back(Waiting { src, dst, at });
        }
        if let Some((live, most)) = &mut self.live {
            // Two at most, so that what became too many in one go does not end in one go.
            for _ in 0..2 {
                if live.len() > *most && live.end_oldest(out) {
                    self.counts.flow_removed += 1;
                }
            }
        }
    }

    /// Appends a packet-in of a storm, which is counted apart: always the same pair.
    #[inline]
    pub(super) fn storm(&mut self, common: &Common, counts: &mut Counts, out: &mut Vec<u8>) {
        let before = self.counts;
        let (src, dst) = Pairs::seen_again(self.population).next();
        self.put(common, src, dst, out);
        self.counts = before;
        counts.packet_ins += 1;
    }

    /// Keeps the hosts out of the load that share port and slice with the source of a storm. False:
    /// nobody else would be left.
    pub(super) fn leave_to_the_storm(&mut self) -> bool {
        let (src, _) = Pairs::seen_again(self.population).next();
        let silent = self.place(src);
        self.silent = Some(silent);
        (0..self.population.hosts()).any(|host| self.place(host) != silent)
    }

    /// Appends an announcement of a host.
    pub(super) fn announce(&mut self, host: u32, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let host = self.population.host(self.number, host);
        out.extend_from_slice(&announcement(self.version, &host)?);
        self.counts.packet_ins += 1;
        Ok(())
    }

    /// Asks for an echo; [`FakeSwitch::fenced`] until it has come.
    pub(super) fn fence(&mut self, out: &mut Vec<u8>) {
        let xid = self.next_xid;
        self.next_xid = xid.wrapping_add(1);
        self.fence = Some(xid);
        out.extend_from_slice(&echo(self.version, xid));
    }

    /// Whether an echo is awaited.
    pub(super) fn fenced(&self) -> bool {
        self.fence.is_some()
    }

    fn next_pair(&mut self) -> (u32, u32) {
        loop {
            let pair = self.pairs.next();
            match self.silent {
                None => return pair,
                Some(silent) if self.place(pair.0) != silent => return pair,
                Some(_) => {}
            }
        }
    }

    fn place(&self, host: u32) -> Silent {
        let host = self.population.host(self.number, host);
        Silent { port: host.port, slice: host.slice }
    }

    #[inline]
    fn put(&mut self, common: &Common, src: u32, dst: u32, out: &mut Vec<u8>) {
        let xid = self.next_xid;
        self.next_xid = xid.wrapping_add(1);
        let buffer = common.buffers.then_some(xid & 0x7fff_ffff);
        let addresses = [src, dst].map(|host| self.population.address(self.number, host));
        let port = common.ports.get(src as usize).copied().unwrap_or(1);
        common.template.put(out, xid, buffer, port, addresses);
        self.counts.packet_ins += 1;
    }
}

fn xid(message: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(message.get(4..8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use umlaut_openflow::{
        Action, FlowMod, FlowModFlags, FlowStatsRequest, Hello, Match, Message, Xid, decode,
        encode, next_frame,
    };

    use super::*;

    const VERSIONS: [Version; 2] = [Version::V1_0, Version::V1_3];

    struct Bench {
        version: Version,
        switch: FakeSwitch,
        common: Common,
        latencies: Latencies,
        out: Vec<u8>,
    }

    impl Bench {
        fn new(version: Version, workload: Workload) -> Bench {
            let population = Population::new(2, 40, 4).unwrap();
            let template = Template::new(version).unwrap();
            let common = Common { template, ports: population.host_ports(), buffers: false };
            let now = Instant::now();
            let switch = FakeSwitch::new(1, population, version, workload, false, now);
            Bench { version, switch, common, latencies: Latencies::default(), out: Vec::new() }
        }

        fn takes(&mut self, message: &Message<'_>, at: u64) {
            let mut bytes = BytesMut::new();
            encode(self.version, Xid(7), message, &mut bytes).unwrap();
            let mut came = Came {
                at,
                now: Instant::now(),
                latencies: &mut self.latencies,
                measured: 1000..2000,
            };
            self.switch.input(&bytes, &mut came, &mut self.out);
        }

        fn speaks(&mut self, at: u64) {
            self.switch.speak(&self.common, at, &mut self.out);
        }

        /// What was sent, message by message.
        fn sent(&mut self) -> Vec<Message<'static>> {
            let bytes = std::mem::take(&mut self.out);
            let mut rest = &bytes[..];
            let mut messages = Vec::new();
            while let Some(length) = next_frame(rest).unwrap() {
                messages.push(decode(&rest[..length]).unwrap().1.into_owned());
                rest = &rest[length..];
            }
            assert!(rest.is_empty());
            messages
        }

        fn greet(&mut self) {
            self.switch.connected(Instant::now(), &mut self.out);
            self.takes(&Message::Hello(Hello::offering(&[self.version])), 0);
            self.takes(&Message::FeaturesRequest, 0);
            assert!(self.switch.greeted);
            self.switch.begin_load();
            assert!(self.sent().len() >= 2);
        }

        /// The flow-mod that answers a packet-in.
        fn entry(&self, packet_in: &Message<'_>) -> FlowMod {
            let Message::PacketIn(packet) = packet_in else { panic!("{packet_in:?}") };
            let headers = umlaut_openflow::packet::Headers::parse(&packet.data);
            let matches = Match::new().in_port(packet.in_port);
            FlowMod::add(matches.eth_src(headers.eth_src).eth_dst(headers.eth_dst))
                .flags(FlowModFlags::SEND_FLOW_REM)
                .apply(vec![Action::output(PortNo(1))])
        }
    }

    #[test]
    fn it_tells_who_it_is_and_no_entries_during_the_load() {
        for version in VERSIONS {
            let mut bench = Bench::new(version, Workload::SeenAgain);
            bench.greet();
            bench.takes(&Message::BarrierRequest, 0);
            assert_eq!(bench.sent(), [Message::BarrierReply]);
            bench.takes(&Message::FlowStatsRequest(FlowStatsRequest::of(Match::new())), 0);
            let sent = bench.sent();
            assert!(matches!(sent[..], [Message::Error(_)]), "{sent:?}");
            bench.takes(&Message::DescriptionRequest, 0);
            assert!(matches!(bench.sent()[..], [Message::DescriptionReply(_)]));
        }
    }

    #[test]
    fn a_latency_is_that_of_the_packet_in_with_these_addresses() {
        for version in VERSIONS {
            let mut bench = Bench::new(version, Workload::SeenAgain);
            bench.greet();
            bench.switch.watch_latency(true);
            for at in [900, 1000, 1010, 1020] {
                bench.speaks(at);
            }
            let sent = bench.sent();
            assert_eq!((sent.len(), bench.switch.in_flight()), (4, 4));
            // The third is answered before the second, and the fourth by a frame alone.
            for (index, at) in [(0, 1100), (2, 1200), (1, 1300)] {
                let entry = bench.entry(&sent[index]);
                bench.takes(&Message::FlowMod(entry), at);
            }
            assert_eq!(bench.switch.unanswered(), 1);
            let summary = bench.latencies.summary().unwrap();
            // That which was due before the measurement is left out.
            assert_eq!(summary.count, 2);
            assert!((summary.max_us - 0.3).abs() < 0.001, "{summary:?}");
            assert_eq!((bench.switch.counts.set_ups, bench.switch.counts.packet_ins), (3, 4));
            assert_eq!(bench.switch.in_flight(), 1);
            bench.switch.lose_patience();
            assert_eq!((bench.switch.in_flight(), bench.switch.counts.unanswered), (0, 0));
            bench.switch.forget_before(5000);
            assert_eq!(bench.switch.unanswered(), 0);
        }
    }

    #[test]
    fn the_oldest_entries_end_when_there_are_too_many() {
        for version in VERSIONS {
            let mut bench = Bench::new(version, Workload::NewPaths { live: 3 });
            bench.greet();
            let mut made = VecDeque::new();
            let mut ended = 0;
            for n in 0..50 {
                bench.speaks(n);
                for message in bench.sent() {
                    match message {
                        Message::FlowRemoved(removed) => {
                            let oldest: FlowMod = made.pop_front().unwrap();
                            assert_eq!(removed.matches, oldest.matches);
                            ended += 1;
                        }
                        packet_in => {
                            let entry = bench.entry(&packet_in);
                            bench.takes(&Message::FlowMod(entry.clone()), n);
                            made.push_back(entry);
                        }
                    }
                }
            }
            assert_eq!((ended, made.len()), (46, 4), "{version}");
            assert_eq!(bench.switch.counts.flow_removed, 46);
        }
    }

    #[test]
    fn whoever_shares_the_port_of_a_storm_is_silent() {
        let mut bench = Bench::new(Version::V1_0, Workload::SeenAgain);
        bench.greet();
        assert!(bench.switch.leave_to_the_storm());
        let mut counts = Counts::default();
        bench.switch.storm(&bench.common, &mut counts, &mut bench.out);
        assert_eq!((counts.packet_ins, bench.switch.counts.packet_ins), (1, 0));
        let storm = bench.sent().remove(0);
        for at in 0..100 {
            bench.speaks(at);
        }
        assert!(bench.sent().iter().all(|message| bench.entry(message) != bench.entry(&storm)));
    }
}

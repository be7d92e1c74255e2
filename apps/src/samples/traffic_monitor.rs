//! A traffic monitor: counts what each host sends into each switch, and prints it now and then. Pure.
//!
//! Frames that come to the controller are counted here, all others by the entries that they hit: put
//! it before an application whose entries match the source, as those of the learning switch do.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use umlaut_controller::{App, Context, Policy, Switch};
use umlaut_openflow::packet::Headers;
use umlaut_openflow::{
    Counter, Criteria, DatapathId, FlowStats, MacAddr, Masked, Match, MatchField, PacketIn, Xid,
};

use super::Print;
use super::config::Period;

/// Hosts that are counted, over all switches. When there are as many, further ones are not.
const HOSTS: usize = 1 << 16;
const PRINT: &str = "print";

#[derive(Default)]
struct Counters {
    hosts: BTreeMap<(DatapathId, MacAddr), Counter>,
    /// What the entries of each switch had counted when it was last asked.
    entries: HashMap<DatapathId, HashMap<(Criteria, u16), Counter>>,
}

impl Counters {
    fn count(&mut self, host: (DatapathId, MacAddr), packets: u64, bytes: u64) {
        if !self.hosts.contains_key(&host) && self.hosts.len() >= HOSTS {
            return;
        }
        let counter = self.hosts.entry(host).or_default();
        counter.packet_count += packets;
        counter.byte_count += bytes;
    }
}

/// The application.
pub struct TrafficMonitor {
    period: Period,
    print: Print,
    counters: Mutex<Counters>,
}

impl TrafficMonitor {
    /// One that prints this often.
    pub fn new(period: Period, print: Print) -> TrafficMonitor {
        TrafficMonitor { period, print, counters: Mutex::default() }
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        // A count too few is the worst that a panic leaves.
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Policy> App<P> for TrafficMonitor {
    fn start(&self, cx: &Context<'_, P>) {
        let _ = cx.every(PRINT, self.period.duration());
    }

    fn switch_gone(&self, dpid: DatapathId, _: &Context<'_, P>) {
        self.counters().entries.remove(&dpid);
    }

    fn packet_in(&self, sw: &mut Switch, _: &Context<'_, P>, packet: &PacketIn<'_>) {
        let host = (sw.dpid(), Headers::parse(&packet.data).eth_src);
        self.counters().count(host, 1, packet.total_len.into());
    }

    /// Prints what is known, and asks for what is printed next time.
    fn timer(&self, cx: &Context<'_, P>, _: &str) {
        for ((dpid, mac), count) in &self.counters().hosts {
            let (packets, bytes) = (count.packet_count, count.byte_count);
            (self.print)(&format!("{dpid} {mac}: {packets} packets, {bytes} bytes"));
        }
        for dpid in cx.switches() {
            let _ = cx.on_switch(dpid, |sw| drop(sw.request_flow_stats(Match::new())));
        }
    }

    fn flow_stats_reply(&self, sw: &mut Switch, _: &Context<'_, P>, _: Xid, flows: &[FlowStats]) {
        let dpid = sw.dpid();
        let mut counters = self.counters();
        let before = counters.entries.remove(&dpid).unwrap_or_default();
        let mut now = HashMap::with_capacity(flows.len());
        for flow in flows {
            let Some(mac) = source(flow) else { continue };
            let entry = (Criteria::new(&flow.matches), flow.priority);
            let (packets, bytes) = (flow.packet_count, flow.byte_count);
            // One that counts less than before was made anew.
            let old = before.get(&entry).copied().unwrap_or_default();
            let old = if old.packet_count > packets { Counter::default() } else { old };
            counters.count(
                (dpid, mac),
                packets - old.packet_count,
                bytes.saturating_sub(old.byte_count),
            );
            now.insert(entry, Counter { packet_count: packets, byte_count: bytes });
        }
        counters.entries.insert(dpid, now);
    }
}

/// The only source of the frames that an entry matches.
fn source(flow: &FlowStats) -> Option<MacAddr> {
    flow.matches.fields().iter().find_map(|field| match field {
        MatchField::EthSrc(Masked { value, mask: None }) => Some(*value),
        _ => None,
    })
}

//! What is counted, and how full the queues are. Runtime.

use std::sync::atomic::Ordering;

use serde_json::{Value, to_value};

use super::each::{each, status};
use super::{Control, Names, Vocabulary, counters, levels};
use crate::control::rows::{Counters, Levels, StatsEnd, StatsRow};
use crate::control::server::{Ended, Writer};

pub(super) async fn answer<P: Vocabulary>(
    control: &Control<P>,
    writer: &mut Writer,
) -> Result<Value, Ended> {
    let shared = &control.shared;
    let peers = shared.net.directory.peers();
    let told = {
        let _turn = control.questions.acquire().await;
        each(shared.clone(), peers.iter().map(|(dpid, _)| *dpid).collect(), status).await
    };
    let world = shared.world.load();
    let names = Names::new(world.policy.slices());
    let (events, notices_lost) = control.events.counts();
    let mut end = StatsEnd {
        at_ms: control.started.elapsed().as_millis() as u64,
        hosts: shared.net.hosts.len() as u64,
        hosts_not_noted: shared.net.hosts.full_count(),
        notices_lost,
        events,
        events_lost: control.losses.events.load(Ordering::Relaxed),
        slow_clients: control.losses.clients.load(Ordering::Relaxed),
        ..StatsEnd::default()
    };
    for (dpid, peer) in peers {
        let Some(Ok(status)) = told.get(&dpid) else { continue };
        let row = StatsRow {
            switch: names.switch(dpid),
            counters: counters(&status.counters),
            levels: levels(&status.levels, peer.mailbox.len()),
        };
        end.total = sum(end.total, row.counters);
        end.levels = sum_levels(end.levels, row.levels);
        writer.row(to_value(row)).await?;
    }
    Ok(to_value(end)?)
}

fn sum(a: Counters, b: Counters) -> Counters {
    Counters {
        packet_ins: a.packet_ins + b.packet_ins,
        flow_mods: a.flow_mods + b.flow_mods,
        packet_outs: a.packet_outs + b.packet_outs,
        shed: a.shed + b.shed,
        limited: a.limited + b.limited,
        stormed: a.stormed + b.stormed,
        storm_entries: a.storm_entries + b.storm_entries,
        failed_paths: a.failed_paths + b.failed_paths,
        resyncs: a.resyncs + b.resyncs,
        repaired: a.repaired + b.repaired,
        errors: a.errors + b.errors,
    }
}

fn sum_levels(a: Levels, b: Levels) -> Levels {
    Levels {
        output_bytes: a.output_bytes + b.output_bytes,
        mailbox: a.mailbox + b.mailbox,
        waiting_bytes: a.waiting_bytes + b.waiting_bytes,
        installing: a.installing + b.installing,
        requests: a.requests + b.requests,
        paths: a.paths + b.paths,
        hops: a.hops + b.hops,
    }
}

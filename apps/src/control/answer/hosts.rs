//! Where hosts are. Runtime.

use std::time::Instant;

use serde_json::{Value, json, to_value};
use umlaut_controller::hosts::{HostEntry, HostKey};
use umlaut_controller::topology::{PortInfo, PortRole};

use super::{Control, Names, Vocabulary};
use crate::control::rows::HostRow;
use crate::control::server::{Ended, Writer};

pub(super) async fn answer<P: Vocabulary>(
    control: &Control<P>,
    switch: Option<&str>,
    slice: Option<&str>,
    writer: &mut Writer,
) -> Result<Value, Ended> {
    let world = control.shared.world.load();
    let names = Names::new(world.policy.slices());
    let switch = switch.map(|switch| names.find_switch(switch)).transpose()?;
    let domain = slice.map(|slice| names.find_slice(slice)).transpose()?;
    // Port by port: no shard of the table is held while a client reads.
    for (dpid, port) in control.shared.net.hosts.occupied_ports() {
        if switch.is_some_and(|only| only != dpid) {
            continue;
        }
        let now = Instant::now();
        let mut rows = Vec::new();
        control.shared.net.hosts.at_port(dpid, port, &mut |key, entry| {
            if domain.is_none_or(|only| only == key.0) {
                // Seen when it was being probed, and it still is.
                let probed = world.topology.port(dpid, port).is_some_and(|info| !is_settled(info));
                rows.push(HostRow {
                    provisional: entry.seen().provisional && probed,
                    ..row(&names, key, entry, now)
                });
            }
        });
        for row in rows {
            writer.row(to_value(row)).await?;
        }
        tokio::task::yield_now().await;
    }
    Ok(json!({}))
}

fn is_settled(port: &PortInfo) -> bool {
    !matches!(port.role, PortRole::Probing | PortRole::Edge { settled: false })
}

fn row(names: &Names<'_>, (domain, mac): HostKey, entry: &HostEntry, now: Instant) -> HostRow {
    HostRow {
        host: names.host(mac).map(str::to_owned),
        mac: mac.to_string(),
        slice: names.slice(domain).map(str::to_owned),
        at: names.place(entry.at),
        switch: names.switch(entry.at.dpid),
        tentative: entry.tentative,
        provisional: false,
        seen_seconds: now.saturating_duration_since(entry.last_seen()).as_secs(),
    }
}

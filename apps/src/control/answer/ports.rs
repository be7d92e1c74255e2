//! Which ports there are, and what is behind them. Runtime.

use serde_json::{Value, json, to_value};
use umlaut_controller::topology::{PortInfo, PortRole};
use umlaut_openflow::DatapathId;

use super::{Control, Names, Vocabulary};
use crate::control::rows::{PortRow, Role};
use crate::control::server::{Ended, Writer};

pub(super) async fn answer<P: Vocabulary>(
    control: &Control<P>,
    switch: Option<&str>,
    writer: &mut Writer,
) -> Result<Value, Ended> {
    let world = control.shared.world.load();
    let names = Names::new(world.policy.slices());
    let only = switch.map(|switch| names.find_switch(switch)).transpose()?;
    let slices = |dpid, port| -> Vec<String> {
        let Some(policy) = world.policy.slices().map(|policy| &policy.policy) else {
            return Vec::new();
        };
        let ids = policy.slices_on((dpid, port)).into_iter();
        ids.map(|slice| policy.slice_name(slice).to_owned()).collect()
    };
    for (dpid, ports) in world.topology.switches() {
        if only.is_some_and(|only| only != dpid) {
            continue;
        }
        for info in ports {
            let port = info.port.port_no;
            let row = PortRow {
                slices: slices(dpid, port),
                hosts: control.shared.net.hosts.count_at(dpid, port),
                ..row(&names, dpid, info)
            };
            writer.row(to_value(row)).await?;
        }
    }
    Ok(json!({}))
}

fn row(names: &Names<'_>, dpid: DatapathId, info: &PortInfo) -> PortRow {
    let port = &info.port;
    let (role, peer) = match info.role {
        PortRole::Down => (Role::Down, None),
        PortRole::Probing | PortRole::Edge { settled: false } => (Role::Probing, None),
        PortRole::Edge { settled: true } => (Role::Edge, None),
        PortRole::Link { peer } => (Role::Link, Some(names.port(peer))),
    };
    PortRow {
        port: names.port((dpid, port.port_no)),
        switch: names.switch(dpid),
        number: port.port_no.0,
        name: port.name().into_owned(),
        mac: port.hw_addr.to_string(),
        up: port.is_up(),
        role,
        peer,
        slices: Vec::new(),
        hosts: 0,
    }
}

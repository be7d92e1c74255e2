//! Which switches there are, and how they are connected. Runtime.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json, to_value};
use umlaut_controller::lost::LostSwitch;
use umlaut_controller::request::RequestError;
use umlaut_controller::runtime::SwitchHandle;
use umlaut_controller::switch::SwitchStatus;
use umlaut_openflow::{DatapathId, Message};

use super::each::{each, status};
use super::{Control, Names, Vocabulary, counters};
use crate::control::rows::{SwitchRow, SwitchState};
use crate::control::server::{Ended, Writer};

/// How long an echo may take; a slower one is left out.
const ECHO_PATIENCE: Duration = Duration::from_secs(1);

pub(super) async fn answer<P: Vocabulary>(
    control: &Control<P>,
    writer: &mut Writer,
) -> Result<Value, Ended> {
    let rows = {
        let _turn = control.questions.acquire().await;
        rows(control).await
    };
    for row in rows {
        writer.row(to_value(row)).await?;
    }
    Ok(json!({}))
}

async fn rows<P: Vocabulary>(control: &Control<P>) -> Vec<SwitchRow> {
    let shared = &control.shared;
    let peers = shared.net.directory.peers();
    let connected = peers.iter().map(|(dpid, _)| *dpid).collect();
    let told = each(shared.clone(), connected, |switch| async move {
        (status(switch.clone()).await, echo(switch).await)
    })
    .await;
    let world = shared.world.load();
    let names = Names::new(world.policy.slices());
    let now = Instant::now();
    let mut rows: BTreeMap<DatapathId, SwitchRow> = BTreeMap::new();
    let policy = world.policy.slices().into_iter().flat_map(|policy| policy.policy.switches());
    for (_, dpid) in policy {
        rows.insert(dpid, bare(&names, dpid, SwitchState::Absent));
    }
    for lost in shared.lost_switches() {
        rows.insert(lost.dpid, of_lost(&names, &lost, now));
    }
    for (dpid, peer) in peers {
        let (status, echo) = match told.get(&dpid) {
            Some((status, echo)) => (*status, *echo),
            None => (Err(RequestError::Gone), None),
        };
        let mut row = of_status(&names, dpid, status, now);
        row.address = peer.origin.address.map(|address| address.to_string());
        row.openflow = Some(peer.version.to_string());
        row.echo_ms = echo.map(|echo| (echo.as_secs_f64() * 1e6).round() / 1e3);
        rows.insert(dpid, row);
    }
    rows.into_values().collect()
}

async fn echo(switch: SwitchHandle) -> Option<Duration> {
    let began = Instant::now();
    let echo = Message::EchoRequest(b"umlaut"[..].into());
    switch.request(echo, ECHO_PATIENCE).await.ok()?;
    Some(began.elapsed())
}

fn bare(names: &Names<'_>, dpid: DatapathId, state: SwitchState) -> SwitchRow {
    SwitchRow {
        switch: names.switch(dpid),
        dpid: dpid.to_string(),
        state,
        address: None,
        openflow: None,
        ports: None,
        ports_up: None,
        seconds: None,
        kept_seconds: None,
        stale_since_revision: None,
        echo_ms: None,
        counters: None,
    }
}

fn of_lost(names: &Names<'_>, lost: &LostSwitch, now: Instant) -> SwitchRow {
    let state = match lost.until {
        Some(_) => SwitchState::Detached,
        None => SwitchState::Gone,
    };
    SwitchRow {
        seconds: Some(now.saturating_duration_since(lost.since).as_secs()),
        kept_seconds: lost.until.map(|until| until.saturating_duration_since(now).as_secs()),
        stale_since_revision: lost.stale_since,
        ..bare(names, lost.dpid, state)
    }
}

fn of_status(
    names: &Names<'_>,
    dpid: DatapathId,
    status: Result<SwitchStatus, RequestError>,
    now: Instant,
) -> SwitchRow {
    match status {
        Ok(status) => SwitchRow {
            ports: Some(status.ports),
            ports_up: Some(status.ports_up),
            seconds: Some(now.saturating_duration_since(status.since).as_secs()),
            counters: Some(counters(&status.counters)),
            ..bare(names, dpid, SwitchState::Ready)
        },
        // A job is dropped as long as the table is not clean.
        Err(RequestError::Gone) => bare(names, dpid, SwitchState::Joining),
        Err(_) => bare(names, dpid, SwitchState::Silent),
    }
}

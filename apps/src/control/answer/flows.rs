//! Which entries there should be, why, and whether the switches have them. Runtime.
//!
//! 1. The registries, page by page, each page in a turn of its switch.
//! 2. The flow statistics of the switches: whatever a registry held before is in them, unless it
//!    was removed since.
//! 3. What is missing, or too much, is looked for in the registries once more: only what they still
//!    hold is missing, only what they do not hold is a left-over.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json, to_value};
use umlaut_controller::inspect::{ActualTable, Found, Usage, Wanted, same_match, wanted};
use umlaut_controller::path::{
    DropClass, Hop, Kind, Leg, PATH_PRIORITY, Path, PathRef, STANDING_COOKIE, SessionNo, of_app,
    standing,
};
use umlaut_controller::plan::drop_seconds;
use umlaut_controller::request::RequestError;
use umlaut_controller::runtime::SwitchHandle;
use umlaut_controller::switch::PathSnapshot;
use umlaut_controller::world::World;
use umlaut_controller::{AppNo, Domain};
use umlaut_openflow::{
    Cookie, DatapathId, FlowStats, FlowStatsRequest, MacAddr, Match, Message, TableId, Version,
};

use super::criteria::{Criteria, criteria};
use super::each::{each, run};
use super::sources::{Grounds, Sources};
use super::{Control, Names, Vocabulary};
use crate::control::protocol::{Problem, ROWS_PER_LINE};
use crate::control::rows::{EntryRow, FlowKind, FlowRow, Has};
use crate::control::server::{Ended, Writer};

/// Registry entries in one answer. Further ones are left out, and the end of the answer says so.
const PATHS: usize = 100_000;
/// How long a switch may take to tell its flows.
const STATS_PATIENCE: Duration = Duration::from_secs(10);

/// What a client wants to see, as it names it.
pub(super) struct Asked {
    pub(super) switch: Option<String>,
    pub(super) slice: Option<String>,
    pub(super) host: Option<String>,
}

/// The same, understood.
#[derive(Clone, Copy)]
struct Filter {
    switch: Option<DatapathId>,
    slice: Option<Domain>,
    host: Option<MacAddr>,
}

impl Filter {
    fn understand(asked: &Asked, names: &Names<'_>) -> Result<Filter, Problem> {
        Ok(Filter {
            switch: asked.switch.as_deref().map(|text| names.find_switch(text)).transpose()?,
            slice: asked.slice.as_deref().map(|text| names.find_slice(text)).transpose()?,
            host: asked.host.as_deref().map(|text| names.find_host(text)).transpose()?,
        })
    }

    /// Whether a path that enters at `owner` may be wanted; the slice of a drop entry is not known
    /// before it was decided again.
    fn wants(&self, owner: DatapathId, path: &Path) -> bool {
        let crosses = |dpid| {
            let legs = [Leg::Forward, Leg::Reverse].into_iter();
            dpid == owner || legs.flat_map(|leg| path.hops(leg)).any(|hop| hop.dpid == dpid)
        };
        let headers = &path.key.headers;
        let slice = |slice| path.domain().is_none_or(|domain| domain == slice);
        self.switch.is_none_or(crosses)
            && self.host.is_none_or(|mac| headers.eth_src == mac || headers.eth_dst == mac)
            && self.slice.is_none_or(slice)
    }

    fn wants_stray(&self, criteria: &Criteria) -> bool {
        self.slice.is_none()
            && self.host.is_none_or(|mac| criteria.src == Some(mac) || criteria.dst == Some(mac))
    }
}

/// A path and the switch where it enters.
struct Owned {
    owner: DatapathId,
    path: PathSnapshot,
    entries: Vec<(Wanted, Has, Option<Usage>)>,
}

/// The sessions of one moment.
struct Sessions {
    versions: HashMap<DatapathId, Version>,
    owners: HashMap<SessionNo, DatapathId>,
}

pub(super) async fn answer<P: Vocabulary>(
    control: &Control<P>,
    asked: Asked,
    writer: &mut Writer,
) -> Result<Value, Ended> {
    let world = control.shared.world.load();
    let names = Names::new(world.policy.slices());
    let filter = Filter::understand(&asked, &names)?;
    let turn = control.questions.acquire().await;
    let peers = control.shared.net.directory.peers();
    let sessions = Sessions {
        versions: peers.iter().map(|(dpid, peer)| (*dpid, peer.version)).collect(),
        owners: peers.iter().map(|(dpid, peer)| (peer.session, *dpid)).collect(),
    };
    let (mut paths, truncated) = registries(control, &sessions, filter).await;
    let mut tables = tables(control, &sessions, &paths, filter).await;
    let silent: Vec<_> = tables.iter().filter(|(_, table)| table.is_err()).collect();
    let silent: Vec<_> = silent.into_iter().map(|(dpid, _)| names.switch(*dpid)).collect();
    for owned in &mut paths {
        compare(owned, &mut tables, control.shared.net.epoch, &sessions.versions);
    }
    recheck(control, &mut paths).await;
    let strays = strays(control, &sessions, &tables, filter).await;
    drop(turn);

    tell_paths(control, &world, filter, &paths, writer).await?;
    for stray in strays {
        writer.row(to_value(stray_row(control, &names, &stray))).await?;
    }
    Ok(json!({"truncated": truncated, "not_answering": silent}))
}

/// 1. What the registries hold.
async fn registries<P: Vocabulary>(
    control: &Control<P>,
    sessions: &Sessions,
    filter: Filter,
) -> (Vec<Owned>, bool) {
    let mut owners: Vec<_> = sessions.versions.keys().copied().collect();
    owners.sort_unstable();
    let mut paths = Vec::new();
    for owner in owners {
        let switch = SwitchHandle::new(&control.shared, owner);
        let mut next = Some(0);
        while let Some(from) = next {
            let page = run(&switch, move |switch, _| {
                switch.path_page(from, |path| filter.wants(owner, path))
            });
            // A switch that goes away meanwhile has no registry any more.
            let Ok(page) = page.await else { break };
            let owned = |path| Owned { owner, path, entries: Vec::new() };
            paths.extend(page.paths.into_iter().map(owned));
            if paths.len() > PATHS {
                paths.truncate(PATHS);
                return (paths, true);
            }
            next = page.next;
        }
    }
    (paths, false)
}

type Tables = BTreeMap<DatapathId, Result<ActualTable, RequestError>>;

/// 2. What the switches say they have.
async fn tables<P: Vocabulary>(
    control: &Control<P>,
    sessions: &Sessions,
    paths: &[Owned],
    filter: Filter,
) -> Tables {
    let switches: Vec<DatapathId> = match (filter.switch, filter.slice, filter.host) {
        (None, None, None) => sessions.versions.keys().copied().collect(),
        _ => {
            let legs = [Leg::Forward, Leg::Reverse];
            let hops = paths.iter().flat_map(|owned| {
                let hops = legs.into_iter().flat_map(|leg| hops(&owned.path.kind, leg));
                hops.map(|hop| hop.dpid).chain([owned.owner])
            });
            let all = hops.chain(filter.switch).collect::<BTreeSet<_>>();
            all.into_iter().filter(|dpid| sessions.versions.contains_key(dpid)).collect()
        }
    };
    each(control.shared.clone(), switches, |switch| async move {
        let everything = FlowStatsRequest::of(Match::new());
        match switch.request(Message::FlowStatsRequest(everything), STATS_PATIENCE).await? {
            Message::FlowStatsReply { flows, .. } => Ok(ActualTable::new(flows)),
            _ => Err(RequestError::NoRequest),
        }
    })
    .await
}

fn hops(kind: &Kind, leg: Leg) -> &[Hop] {
    match (kind, leg) {
        (Kind::Forward { hops, .. }, Leg::Forward) => hops,
        (Kind::Forward { reverse, .. }, Leg::Reverse) => reverse,
        (Kind::Drop { .. }, _) => &[],
    }
}

fn compare(
    owned: &mut Owned,
    tables: &mut Tables,
    epoch: u8,
    versions: &HashMap<DatapathId, Version>,
) {
    let version = |dpid| versions.get(&dpid).copied();
    let installing = owned.path.installing;
    let entries = wanted(&owned.path, owned.owner, epoch, version).into_iter().map(|wanted| {
        let (has, usage) = match tables.get_mut(&wanted.dpid) {
            Some(Ok(table)) => match table.tick_off(&wanted) {
                Some(Found { usage, does: true }) => (Has::Present, Some(usage)),
                // A new way is written over the old one, hop by hop.
                Some(found) if installing => (Has::Installing, Some(found.usage)),
                Some(found) => (Has::Wrong, Some(found.usage)),
                None if installing => (Has::Installing, None),
                None => (Has::Missing, None),
            },
            _ => (Has::Unknown, None),
        };
        (wanted, has, usage)
    });
    owned.entries = entries.collect();
}

/// 3. Paths with a missing or wrong entry are looked for again; what ended meanwhile is left out.
async fn recheck<P: Vocabulary>(control: &Control<P>, paths: &mut Vec<Owned>) {
    let mut doubted: BTreeMap<DatapathId, Vec<PathRef>> = BTreeMap::new();
    for owned in paths.iter() {
        if owned.entries.iter().any(|(_, has, _)| is_bad(*has)) {
            doubted.entry(owned.owner).or_default().push(owned.path.name);
        }
    }
    let mut held: HashMap<PathRef, bool> = HashMap::new();
    for (owner, names) in &doubted {
        let switch = SwitchHandle::new(&control.shared, *owner);
        for names in names.chunks(ROWS_PER_LINE) {
            let names = names.to_vec();
            let both = run(&switch, move |switch, _| {
                (switch.still_registered(&names), switch.still_installed(&names))
            });
            let Ok((registered, installed)) = both.await else { break };
            held.extend(registered.into_iter().map(|name| (name, false)));
            held.extend(installed.into_iter().map(|name| (name, true)));
        }
    }
    paths.retain_mut(|owned| {
        if !doubted.get(&owned.owner).is_some_and(|names| names.contains(&owned.path.name)) {
            return true;
        }
        match held.get(&owned.path.name) {
            None => false,
            Some(true) => true,
            Some(false) => {
                let bad = owned.entries.iter_mut().filter(|(_, has, _)| is_bad(*has));
                bad.for_each(|(_, has, _)| *has = Has::Installing);
                true
            }
        }
    });
}

fn is_bad(has: Has) -> bool {
    matches!(has, Has::Missing | Has::Wrong)
}

/// An entry that no path wants, or a standing one.
struct Stray {
    dpid: DatapathId,
    kind: FlowKind,
    cookie: Cookie,
    priority: u16,
    table: TableId,
    idle_timeout: u16,
    hard_timeout: u16,
    matches: Match,
    /// `None`: the switch should have it and has not.
    usage: Option<Usage>,
}

impl Stray {
    fn of(dpid: DatapathId, flow: &FlowStats, kind: FlowKind) -> Stray {
        Stray {
            dpid,
            kind,
            cookie: flow.cookie,
            priority: flow.priority,
            table: flow.table_id,
            idle_timeout: flow.idle_timeout,
            hard_timeout: flow.hard_timeout,
            matches: flow.matches.clone(),
            usage: Some(Usage {
                packets: flow.packet_count,
                bytes: flow.byte_count,
                age: flow.duration,
            }),
        }
    }

    fn missing(dpid: DatapathId, (matches, priority): (Match, u16)) -> Stray {
        Stray {
            dpid,
            kind: FlowKind::Standing,
            cookie: STANDING_COOKIE,
            priority,
            table: TableId(0),
            idle_timeout: 0,
            hard_timeout: 0,
            matches,
            usage: None,
        }
    }
}

/// What the switches have and nobody ticked off, sorted out; and the standing entries.
async fn strays<P: Vocabulary>(
    control: &Control<P>,
    sessions: &Sessions,
    tables: &Tables,
    filter: Filter,
) -> Vec<Stray> {
    let epoch = control.shared.net.epoch;
    let apps = control.shared.apps.names().count();
    let mut strays = Vec::new();
    for (dpid, table) in tables {
        let (Ok(table), Some(version)) = (table, sessions.versions.get(dpid)) else { continue };
        if filter.switch.is_some_and(|only| only != *dpid) {
            continue;
        }
        let mut standing = standing(*version);
        for flow in table.rest() {
            strays.push(Stray::of(*dpid, flow, kind_of_stray(flow, apps, &mut standing)));
        }
        strays.extend(standing.into_iter().map(|entry| Stray::missing(*dpid, entry)));
    }
    strays.retain(|stray| filter.wants_stray(&criteria(&stray.matches)));
    let name = |stray: &Stray| {
        let name = PathRef::from_cookie(stray.cookie, epoch)?;
        (stray.kind == FlowKind::Leftover).then_some(name)
    };
    let mut claimed: BTreeMap<DatapathId, Vec<PathRef>> = BTreeMap::new();
    for name in strays.iter().filter_map(name) {
        if let Some(owner) = sessions.owners.get(&name.session) {
            claimed.entry(*owner).or_default().push(name);
        }
    }
    // Registered after the registries were read, or filtered out: not left over.
    let mut registered = HashSet::new();
    for (owner, names) in claimed {
        let switch = SwitchHandle::new(&control.shared, owner);
        for names in names.chunks(ROWS_PER_LINE) {
            let names = names.to_vec();
            let still = run(&switch, move |switch, _| switch.still_registered(&names));
            registered.extend(still.await.unwrap_or_default());
        }
    }
    strays.retain(|stray| !name(stray).is_some_and(|name| registered.contains(&name)));
    // Those of a switch that lost its connection stay while it is waited for.
    let awaited = control.shared.awaited_paths(strays.iter().filter_map(name));
    for stray in &mut strays {
        if name(stray).is_some_and(|name| awaited.contains(&name)) {
            stray.kind = FlowKind::Awaited;
        }
    }
    strays
}

/// Whose an entry is that no path wants. A standing entry is taken out of `standing`.
fn kind_of_stray(flow: &FlowStats, apps: usize, standing: &mut Vec<(Match, u16)>) -> FlowKind {
    let is = |(matches, priority): &(Match, u16)| {
        flow.cookie == STANDING_COOKIE
            && flow.table_id == TableId(0)
            && flow.priority == *priority
            && same_match(&flow.matches, matches)
    };
    if let Some(index) = standing.iter().position(is) {
        standing.remove(index);
        return FlowKind::Standing;
    }
    match of_app(flow.cookie) {
        None => FlowKind::Leftover,
        Some((AppNo::FRAMEWORK, _)) => FlowKind::Foreign,
        Some((app, _)) if usize::from(app.0) <= apps => FlowKind::App,
        Some(_) => FlowKind::Foreign,
    }
}

async fn tell_paths<P: Vocabulary>(
    control: &Control<P>,
    world: &Arc<World<P>>,
    filter: Filter,
    paths: &[Owned],
    writer: &mut Writer,
) -> Result<(), Ended> {
    let mut grounds = Vec::with_capacity(paths.len());
    for piece in paths.chunks(ROWS_PER_LINE) {
        control.shared.ask(world, Instant::now(), |cx| {
            grounds.extend(piece.iter().map(|owned| {
                P::decision(cx, owned.owner, &owned.path.key)
                    .map(|decision| Grounds::from(&decision))
            }));
        });
        tokio::task::yield_now().await;
    }
    let sources = Sources::of(world.clone(), grounds.iter().flatten().copied()).await;
    let names = Names::new(world.policy.slices());
    for (owned, grounds) in paths.iter().zip(grounds) {
        let row = path_row(control, &names, owned, grounds.as_ref(), &sources, world);
        let wanted = filter.slice.and_then(|slice| names.slice(slice));
        if filter.slice.is_none() || row.slice.as_deref() == wanted {
            writer.row(to_value(row)).await?;
        }
    }
    Ok(())
}

fn path_row<P: Vocabulary>(
    control: &Control<P>,
    names: &Names<'_>,
    owned: &Owned,
    grounds: Option<&Grounds>,
    sources: &Sources<P>,
    world: &World<P>,
) -> FlowRow {
    let Owned { owner, path, entries } = owned;
    let first = entries.first().and_then(|(wanted, _, _)| wanted.matches.as_ref());
    // That of the entry by which frames enter.
    let cookie = entries.first().map_or(Cookie(0), |(wanted, _, _)| wanted.cookie);
    let entries = entries.iter().map(|(wanted, has, usage)| {
        entry_row(names, wanted.dpid, *has, wanted.leg == Leg::Reverse, *usage)
    });
    let slice = match (&path.kind, grounds) {
        (Kind::Forward { route, .. }, _) => names.slice(route.domain),
        (Kind::Drop { .. }, Some(grounds)) => {
            grounds.slice.and_then(|slice| Some(world.policy.slices()?.policy.slice_name(slice)))
        }
        (Kind::Drop { .. }, None) => None,
    };
    let row = FlowRow {
        entries: entries.collect(),
        app: app_name(control, path.app),
        slice: slice.map(str::to_owned),
        member: grounds.and_then(|grounds| sources.member(grounds)),
        filter: grounds.and_then(|grounds| sources.filter(grounds)),
        reason: grounds.and_then(|grounds| grounds.reason).map(str::to_owned),
        ..bare_row(names, *owner, &first.map(criteria).unwrap_or_default(), cookie)
    };
    match &path.kind {
        Kind::Forward { route, hops, .. } => FlowRow {
            kind: FlowKind::Forward,
            priority: PATH_PRIORITY,
            hops: hops.iter().map(|hop| hop_text(names, hop)).collect(),
            to: Some(names.place(route.egress)),
            idle_timeout: route.idle_timeout,
            hard_timeout: route.hard_timeout,
            ..row
        },
        Kind::Drop { class, .. } => FlowRow {
            kind: FlowKind::Drop,
            priority: class.priority(),
            hard_timeout: drop_seconds(*class),
            ..match class {
                // It is not what the policy says of these frames.
                DropClass::Storm => {
                    FlowRow { reason: Some("storm".to_owned()), filter: None, ..row }
                }
                DropClass::Denied | DropClass::NoPath => row,
            }
        },
    }
}

fn hop_text(names: &Names<'_>, hop: &Hop) -> String {
    format!("{} {}>{}", names.switch(hop.dpid), hop.in_port, hop.out_port)
}

fn entry_row(
    names: &Names<'_>,
    dpid: DatapathId,
    has: Has,
    reply: bool,
    usage: Option<Usage>,
) -> EntryRow {
    EntryRow {
        switch: names.switch(dpid),
        has,
        reply,
        packets: usage.map(|usage| usage.packets),
        bytes: usage.map(|usage| usage.bytes),
        seconds: usage.map(|usage| usage.age.as_secs()),
    }
}

fn stray_row<P: Vocabulary>(control: &Control<P>, names: &Names<'_>, stray: &Stray) -> FlowRow {
    let app = of_app(stray.cookie).filter(|_| stray.kind == FlowKind::App);
    let has = if stray.usage.is_some() { Has::Present } else { Has::Missing };
    FlowRow {
        kind: stray.kind,
        priority: stray.priority,
        table: stray.table.0,
        idle_timeout: stray.idle_timeout,
        hard_timeout: stray.hard_timeout,
        app: app.and_then(|(app, _)| app_name(control, app)),
        entries: vec![entry_row(names, stray.dpid, has, false, stray.usage)],
        ..bare_row(names, stray.dpid, &criteria(&stray.matches), stray.cookie)
    }
}

fn bare_row(names: &Names<'_>, dpid: DatapathId, criteria: &Criteria, cookie: Cookie) -> FlowRow {
    let host = |mac: Option<MacAddr>| mac.and_then(|mac| names.host(mac)).map(str::to_owned);
    FlowRow {
        kind: FlowKind::Foreign,
        switch: names.switch(dpid),
        at: criteria.in_port.map(|port| names.port((dpid, port))),
        src: criteria.src.map(|mac| mac.to_string()),
        src_host: host(criteria.src),
        dst: criteria.dst.map(|mac| mac.to_string()),
        dst_host: host(criteria.dst),
        matches: criteria.rest.clone(),
        hops: Vec::new(),
        to: None,
        idle_timeout: 0,
        hard_timeout: 0,
        cookie: cookie.to_string(),
        priority: 0,
        table: 0,
        app: None,
        slice: None,
        member: None,
        filter: None,
        reason: None,
        entries: Vec::new(),
    }
}

fn app_name<P: Vocabulary>(control: &Control<P>, app: AppNo) -> Option<String> {
    let index = usize::from(app.0).checked_sub(1)?;
    control.shared.apps.names().nth(index).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use umlaut_controller::path::PATH_EPOCH;

    #[test]
    fn an_entry_that_no_path_wants_is_somebody_elses() {
        let flow = |cookie: u64, priority, matches| FlowStats {
            table_id: TableId(0),
            duration: Duration::ZERO,
            priority,
            idle_timeout: 0,
            hard_timeout: 0,
            flags: umlaut_openflow::FlowModFlags(0),
            cookie: Cookie(cookie),
            packet_count: 0,
            byte_count: 0,
            matches,
            instructions: [].into(),
        };
        let of_path = u64::from(PATH_EPOCH) << 56;
        let mut left = standing(Version::V1_3);
        for (flow, kind) in [
            (flow(STANDING_COOKIE.0, 0, Match::new()), FlowKind::Standing),
            (flow(STANDING_COOKIE.0, 0, Match::new()), FlowKind::Foreign),
            (flow(STANDING_COOKIE.0, 0xfffe, Match::new()), FlowKind::Foreign),
            (flow(0, 0, Match::new()), FlowKind::Foreign),
            (flow(0, 7, Match::new()), FlowKind::Foreign),
            (flow(1 << 56, 7, Match::new()), FlowKind::App),
            (flow(2 << 56, 7, Match::new()), FlowKind::Foreign),
            (flow(of_path | 7, 0xffff, Match::new()), FlowKind::Leftover),
        ] {
            assert_eq!(kind_of_stray(&flow, 1, &mut left), kind, "{flow:?}");
        }
        assert_eq!(left.len(), 1, "that of LLDP is missing");
    }
}

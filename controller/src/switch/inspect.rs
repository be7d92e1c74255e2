//! What a switch tells of itself in one of its turns: constant time, or a bounded page. Pure.

use std::time::Instant;

use umlaut_openflow::Version;

use super::{Switch, SwitchCounters};
use crate::app::AppNo;
use crate::path::{FlowKey, Kind, Path, PathRef, State};

/// Registry slots that one page looks at: what a turn spends on a question is bounded by it.
pub const PATHS_PER_PAGE: u32 = 512;

/// How much waits for a switch or from it, and what is registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SwitchLevels {
    /// Bytes that the connection has not taken.
    pub output_bytes: usize,
    /// Bytes of first frames that wait for their paths.
    pub waiting_bytes: usize,
    /// Paths and drop entries that enter there.
    pub paths: usize,
    /// Entries there of paths that enter elsewhere, and ways back.
    pub hops: usize,
    /// Paths being installed.
    pub installing: usize,
    /// Requests not answered yet.
    pub requests: usize,
}

/// A switch at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SwitchStatus {
    /// When the connection was made.
    pub since: Instant,
    /// The wire version agreed.
    pub version: Version,
    /// How many ports it has.
    pub ports: usize,
    /// How many of them are up.
    pub ports_up: usize,
    /// Counted since the connection was made.
    pub counters: SwitchCounters,
    /// Queues and tables.
    pub levels: SwitchLevels,
}

/// A registered path, without the frame that may wait for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathSnapshot {
    /// Its name.
    pub name: PathRef,
    /// Who registered it.
    pub app: AppNo,
    /// Which frames.
    pub key: FlowKey,
    /// What happens to them.
    pub kind: Kind,
    /// Whether hops are not confirmed yet; then the ingress entry is not there.
    pub installing: bool,
    /// The World revision that it was last decided under.
    pub revision: u64,
}

/// A piece of a registry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathPage {
    /// The paths in it.
    pub paths: Vec<PathSnapshot>,
    /// Where the next page begins; `None` behind the last.
    pub next: Option<u32>,
}

impl Switch {
    /// The switch now.
    pub fn status(&self) -> SwitchStatus {
        SwitchStatus {
            since: self.since,
            version: self.version,
            ports: self.ports.len(),
            ports_up: self.ports.values().filter(|port| port.is_up()).count(),
            counters: self.counters,
            levels: SwitchLevels {
                output_bytes: self.out.len(),
                waiting_bytes: self.waiting_bytes,
                paths: self.registry.len(),
                hops: self.hops.len(),
                installing: self.installing.len(),
                requests: self.requests.len(),
            },
        }
    }

    /// The paths of [`PATHS_PER_PAGE`] slots from one on, as far as they are wanted. A path that
    /// comes or goes between two pages may be in none; one that stays is in exactly one.
    pub fn path_page(&self, from: u32, wanted: impl Fn(&Path) -> bool) -> PathPage {
        let end = self.registry.slots();
        let until = end.min(from.saturating_add(PATHS_PER_PAGE));
        let paths = (from..until).filter_map(|slot| self.registry.at(slot));
        PathPage {
            paths: paths
                .filter(|(_, path)| wanted(path))
                .map(|(name, path)| snapshot(name, path))
                .collect(),
            next: (until < end).then_some(until),
        }
    }

    /// Which of these paths are registered here, and installed, now.
    pub fn still_installed(&self, names: &[PathRef]) -> Vec<PathRef> {
        let installed = |name: &&PathRef| {
            self.registry.contains(**name) && !self.registry.is_installing(**name)
        };
        names.iter().filter(installed).copied().collect()
    }

    /// Which of these paths are registered here now.
    pub fn still_registered(&self, names: &[PathRef]) -> Vec<PathRef> {
        names.iter().filter(|name| self.registry.by_ref(**name).is_some()).copied().collect()
    }
}

fn snapshot(name: PathRef, path: Path) -> PathSnapshot {
    PathSnapshot {
        name,
        app: path.app,
        key: path.key,
        installing: matches!(path.state, State::Installing { .. }),
        kind: path.kind,
        revision: path.revision,
    }
}

#[cfg(test)]
mod tests {
    use umlaut_openflow::packet::Headers;
    use umlaut_openflow::{DatapathId, FieldSet, MacAddr, PortNo};

    use super::*;
    use crate::path::{DropClass, SessionNo};

    #[test]
    fn pages_show_every_path_once() {
        let now = Instant::now();
        let mut switch = Switch::new(SessionNo(1), DatapathId(1), Version::V1_3, [], now);
        let paths = u64::from(PATHS_PER_PAGE) * 2 + 3;
        for n in 0..paths {
            let headers = Headers { eth_src: MacAddr::from_u64(n), ..Headers::default() };
            let path = Path {
                app: AppNo(1),
                key: FlowKey::new(PortNo(1), &headers, FieldSet::LAYER_2),
                kind: Kind::Drop { class: DropClass::Denied, until: now },
                state: State::Installed,
                revision: 1,
            };
            switch.registry.add(path).unwrap();
        }
        let (mut from, mut seen, mut pages) = (Some(0), Vec::new(), 0);
        while let Some(at) = from {
            let page = switch.path_page(at, |path| path.key.headers.eth_src.to_u64() % 2 == 0);
            assert!(page.paths.len() <= PATHS_PER_PAGE as usize);
            seen.extend(page.paths.iter().map(|path| path.name));
            (from, pages) = (page.next, pages + 1);
        }
        assert_eq!((pages, seen.len() as u64), (3, paths.div_ceil(2)));
        assert_eq!(switch.still_installed(&seen), seen);
        switch.registry.remove(seen[1]);
        assert_eq!(switch.still_registered(&seen).len(), seen.len() - 1);
        assert_eq!(switch.status().levels.paths as u64, paths - 1);
    }
}

//! A patch panel: pairs of ports of one switch that are wired to each other, whatever comes. Pure.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use umlaut_controller::{App, Context, Policy, Switch, Told};
use umlaut_openflow::{Action, DatapathId, Match, PacketIn, PortNo};

use super::config::Place;

/// Two ports of a switch, the lower first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Patch {
    /// The switch.
    pub dpid: DatapathId,
    /// Its ports.
    pub ports: [PortNo; 2],
}

/// The patches. In a file: `patches: [[0x1/1, 0x1/2], [0x1/3, 0x1/4]]`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(try_from = "Written")]
pub struct Patches(BTreeSet<Patch>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    patches: Vec<[Place; 2]>,
}

/// Why patches cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PatchError {
    /// The ports belong to different switches.
    #[error("patch-panel: {0} and {1} are on different switches")]
    Apart(Place, Place),
    /// A port is patched twice.
    #[error("patch-panel: {0} is patched twice")]
    Taken(Place),
}

impl Patches {
    /// Patches of these pairs.
    ///
    /// # Errors
    /// [`PatchError`].
    pub fn new(pairs: &[[Place; 2]]) -> Result<Patches, PatchError> {
        let (mut taken, mut patches) = (BTreeSet::new(), BTreeSet::new());
        for &[a, b] in pairs {
            if a.dpid != b.dpid {
                return Err(PatchError::Apart(a, b));
            }
            for place in [a, b] {
                if !taken.insert(place) {
                    return Err(PatchError::Taken(place));
                }
            }
            let ports = [a.port.min(b.port), a.port.max(b.port)];
            patches.insert(Patch { dpid: a.dpid, ports });
        }
        Ok(Patches(patches))
    }
}

impl TryFrom<Written> for Patches {
    type Error = PatchError;

    fn try_from(written: Written) -> Result<Patches, PatchError> {
        Patches::new(&written.patches)
    }
}

/// The application. To change the patches while it runs, tell it new [`Patches`]
/// ([`umlaut_controller::Teller`]).
pub struct PatchPanel {
    patches: Mutex<Patches>,
}

impl PatchPanel {
    /// A panel with these patches.
    pub fn new(patches: Patches) -> PatchPanel {
        PatchPanel { patches: Mutex::new(patches) }
    }

    fn patches(&self) -> MutexGuard<'_, Patches> {
        // Replaced as a whole: nothing is half-done.
        self.patches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn plug(sw: &mut Switch, patch: &Patch) {
    let [a, b] = patch.ports;
    for (from, to) in [(a, b), (b, a)] {
        let _ = sw.add_flow(Match::new().in_port(from), vec![Action::output(to)]);
    }
}

fn unplug(sw: &mut Switch, patch: &Patch) {
    for port in patch.ports {
        let _ = sw.delete_flows(Match::new().in_port(port));
    }
}

impl<P: Policy> App<P> for PatchPanel {
    fn switch_ready(&self, sw: &mut Switch, _: &Context<'_, P>) {
        let dpid = sw.dpid();
        self.patches()
            .0
            .iter()
            .filter(|patch| patch.dpid == dpid)
            .for_each(|patch| plug(sw, patch));
    }

    /// A frame that came before the entry was in the switch; those of other ports are not ours.
    fn packet_in(&self, sw: &mut Switch, cx: &Context<'_, P>, packet: &PacketIn<'_>) {
        let patches = self.patches();
        let mut here = patches.0.iter().filter(|patch| patch.dpid == sw.dpid());
        if let Some(patch) = here.find(|patch| patch.ports.contains(&packet.in_port)) {
            let [a, b] = patch.ports;
            let out = if packet.in_port == a { b } else { a };
            let _ = sw.send_packet(packet, vec![Action::output(out)]);
            cx.take();
        }
    }

    fn told(&self, cx: &Context<'_, P>, message: Told) {
        let Ok(new) = message.downcast::<Patches>() else { return };
        let old = std::mem::replace(&mut *self.patches(), (*new).clone());
        // A switch that is away gets the new ones when it is ready.
        for patch in old.0.difference(&new.0).copied() {
            let _ = cx.on_switch(patch.dpid, move |sw| unplug(sw, &patch));
        }
        for patch in new.0.difference(&old.0).copied() {
            let _ = cx.on_switch(patch.dpid, move |sw| plug(sw, &patch));
        }
    }
}

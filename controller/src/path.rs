//! Paths: what is installed for frames that enter at one port of one switch. Pure.

use std::time::Instant;

use smallvec::SmallVec;
use umlaut_openflow::packet::Headers;
use umlaut_openflow::{Attachment, Cookie, DatapathId, FieldSet, Match, PortNo, Version, Vid};

use crate::app::AppNo;
use crate::hosts::Domain;

/// The priority of path entries (as the original had it).
pub const PATH_PRIORITY: u16 = 0xffff;
/// The priority of the entry that sends LLDP to the controller. Paths never match LLDP.
pub const LLDP_PRIORITY: u16 = 0xfffe;
/// The EtherType of LLDP.
pub(crate) const LLDP_TYPE: u16 = 0x88cc;
/// The priority of drop entries: below paths, so that a grant always wins.
pub const DROP_PRIORITY: u16 = 0x4000;
/// The priority of drop entries against storms: they take nothing but what would come to the
/// controller because no other entry matches.
pub const STORM_PRIORITY: u16 = 1;

/// The entries that every switch has from the start, of [`STANDING_COOKIE`]: LLDP, and in 1.3 everything that no
/// other entry matches, to the controller.
pub fn standing(version: Version) -> Vec<(Match, u16)> {
    let mut entries = vec![(Match::new().eth_type(LLDP_TYPE), LLDP_PRIORITY)];
    if version != Version::V1_0 {
        entries.push((Match::new(), 0));
    }
    entries
}

/// Set in the first byte of the cookies of paths. In those of applications' entries it is not set,
/// and the byte is the application's number.
pub const PATH_EPOCH: u8 = 0x80;

/// The cookie of the standing entries: of no application, and none that an application gives.
pub const STANDING_COOKIE: Cookie = Cookie(0x7f << 56);

/// The cookie of an application's entry: its number (8 bits) and its own cookie (56 bits).
pub(crate) fn app_cookie(app: AppNo, own: Cookie) -> Option<Cookie> {
    (own.0 >> 56 == 0).then_some(Cookie(u64::from(app.0) << 56 | own.0))
}

/// The application of an entry, and the cookie as it gave it; `None` for entries of paths.
pub fn of_app(cookie: Cookie) -> Option<(AppNo, Cookie)> {
    let app = (cookie.0 >> 56) as u8;
    (app & PATH_EPOCH == 0).then_some((AppNo(app), Cookie(cookie.0 & ((1 << 56) - 1))))
}

/// A session: one control connection of one datapath. Numbers are reused only after the session
/// that had one has ended and 2^16 others have started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SessionNo(pub u16);

/// A registered path, from anywhere: the session that owns it, its slot there, and the generation
/// that tells a slot's tenants apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PathRef {
    /// The owner.
    pub session: SessionNo,
    /// Slot in the owner's registry, below 2^20.
    pub slot: u32,
    /// Generation of the slot.
    pub generation: u16,
}

impl PathRef {
    /// The cookie of one of this path's entries: epoch (8 bits, the highest one set), session (16),
    /// mark (4), slot (20), generation (16). The epoch is that of the process, so that entries of an
    /// earlier one are not mistaken.
    pub fn cookie(self, epoch: u8, mark: Mark) -> Cookie {
        Cookie(
            u64::from(epoch | PATH_EPOCH) << 56
                | u64::from(self.session.0) << 40
                | mark.bits() << 36
                | u64::from(self.slot & 0xf_ffff) << 16
                | u64::from(self.generation),
        )
    }

    /// The path that a cookie names, if it is of this epoch.
    pub fn from_cookie(cookie: Cookie, epoch: u8) -> Option<PathRef> {
        PathCookie::read(cookie).filter(|found| found.is_of(epoch)).map(|found| found.path)
    }
}

/// Where on its path an entry stands. It is in the entry's cookie, so that a later run of the
/// controller can tell the entries by which frames enter from those that pass them on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Mark {
    /// Which way.
    pub leg: Leg,
    /// Frames enter the network here.
    pub first: bool,
    /// They leave it here.
    pub last: bool,
}

impl Mark {
    /// The only entry of a path that stays on one switch, or of a drop.
    pub const ONLY: Mark = Mark { leg: Leg::Forward, first: true, last: true };

    fn bits(self) -> u64 {
        u64::from(self.first) | u64::from(self.last) << 1 | u64::from(self.leg == Leg::Reverse) << 2
    }
}

/// What the cookie of a path's entry says, whichever run of the controller made it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PathCookie {
    /// The run, [`PATH_EPOCH`] included.
    pub epoch: u8,
    /// The path.
    pub path: PathRef,
    /// Where on it.
    pub mark: Mark,
}

impl PathCookie {
    /// Reads a cookie; `None` for entries that are no path's.
    pub fn read(cookie: Cookie) -> Option<PathCookie> {
        let bits = cookie.0;
        let epoch = (bits >> 56) as u8;
        let leg = if bits >> 38 & 1 == 1 { Leg::Reverse } else { Leg::Forward };
        (epoch & PATH_EPOCH != 0).then_some(PathCookie {
            epoch,
            path: PathRef {
                session: SessionNo((bits >> 40) as u16),
                slot: (bits >> 16) as u32 & 0xf_ffff,
                generation: bits as u16,
            },
            mark: Mark { leg, first: bits >> 36 & 1 == 1, last: bits >> 37 & 1 == 1 },
        })
    }

    /// Whether the run of this epoch made it.
    pub fn is_of(&self, epoch: u8) -> bool {
        self.epoch == epoch | PATH_EPOCH
    }
}

/// What one registry entry stands for: all frames that come in at `in_port` and agree with
/// `headers` in the fields of `width`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FlowKey {
    /// Where they come in.
    pub in_port: PortNo,
    /// Which fields count.
    pub width: FieldSet,
    /// Their values; everything outside `width` is absent.
    pub headers: Headers,
}

impl FlowKey {
    /// The key of a frame under a width. The MAC addresses, VLAN and EtherType always count.
    pub fn new(in_port: PortNo, headers: &Headers, width: FieldSet) -> FlowKey {
        let width = (width | FieldSet::LAYER_2).with_prerequisites();
        FlowKey { in_port, width, headers: width.project(headers) }
    }

    /// The key of all frames like this one in exactly these fields, if only few of them: no path has
    /// such a key.
    pub fn exactly(in_port: PortNo, headers: &Headers, width: FieldSet) -> FlowKey {
        FlowKey { in_port, width, headers: width.project(headers) }
    }
}

/// One switch on a path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Hop {
    /// The switch.
    pub dpid: DatapathId,
    /// Where frames come in.
    pub in_port: PortNo,
    /// Where they go out.
    pub out_port: PortNo,
    /// The VLAN that they leave with; `None`: as they came (all hops but the last).
    pub vid: Option<Vid>,
}

impl Hop {
    /// The name of its entry.
    pub fn name(&self, path: PathRef, leg: Leg) -> HopName {
        HopName { path, leg, in_port: self.in_port }
    }
}

/// Which of a path's two directions an entry serves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Leg {
    /// From the path's own ingress to its egress.
    Forward,
    /// The reply's way back, a child of the forward path.
    Reverse,
}

/// One entry of a path on a switch. While a path takes another way, a switch of both ways has both
/// entries, told apart by where the frames come in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HopName {
    /// The path.
    pub path: PathRef,
    /// Which way.
    pub leg: Leg,
    /// Where the frames come in.
    pub in_port: PortNo,
}

/// The hops of a way, in order. Most have one, which needs no memory of its own.
pub type Hops = SmallVec<[Hop; 1]>;

/// What an application wants for a kind of frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// The application's domain of the sender (the sliceable switch: its slice).
    pub domain: Domain,
    /// Where the frames leave the network.
    pub egress: Attachment,
    /// Every field that the decision read. Of a registered path: the width of its key.
    pub width: FieldSet,
    /// Seconds without traffic until the ingress entry ends; later hops add their index.
    pub idle_timeout: u16,
    /// Seconds until the entries end whatever happens; 0 never.
    pub hard_timeout: u16,
    /// Whether replies get a way back without a decision of their own.
    pub reverse: bool,
}

/// Why frames of a kind are dropped at the switch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DropClass {
    /// The policy refuses them.
    Denied,
    /// There is no way to their destination now.
    NoPath,
    /// They are too many for the controller to decide.
    Storm,
}

impl DropClass {
    /// The priority of its entries.
    pub fn priority(self) -> u16 {
        match self {
            DropClass::Denied | DropClass::NoPath => DROP_PRIORITY,
            DropClass::Storm => STORM_PRIORITY,
        }
    }
}

/// What a registry entry does with its frames.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Forwards them.
    Forward {
        /// As the application asked.
        route: Route,
        /// The switches in order, ingress first.
        hops: Hops,
        /// The way back, from the egress switch; empty without `route.reverse` or a reply.
        reverse: Hops,
    },
    /// Drops them until the entry's hard time-out.
    Drop {
        /// Why.
        class: DropClass,
        /// When the switch forgets the entry.
        until: Instant,
    },
}

impl Kind {
    /// The priority of its entries.
    pub fn priority(&self) -> u16 {
        match self {
            Kind::Forward { .. } => PATH_PRIORITY,
            Kind::Drop { class, .. } => class.priority(),
        }
    }
}

/// How far an entry is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// Hops on other switches are not all confirmed; the ingress entry is not sent.
    Installing {
        /// The entries that are not confirmed: where, of which way, and where the frames come in.
        missing: Vec<(DatapathId, Leg, PortNo)>,
        /// When it is given up.
        deadline: Instant,
        /// The first frame, which goes out at the egress when all is confirmed.
        frame: Vec<u8>,
    },
    /// Everything was sent.
    Installed,
}

/// A registered path or drop entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Path {
    /// The application that registered it and is asked about it again.
    pub app: AppNo,
    /// Which frames.
    pub key: FlowKey,
    /// What happens to them.
    pub kind: Kind,
    /// How far it is.
    pub state: State,
    /// The World revision that it was decided under.
    pub revision: u64,
}

impl Path {
    /// The hops of a leg; none for a drop entry.
    pub fn hops(&self, leg: Leg) -> &[Hop] {
        match (&self.kind, leg) {
            (Kind::Forward { hops, .. }, Leg::Forward) => hops,
            (Kind::Forward { reverse, .. }, Leg::Reverse) => reverse,
            (Kind::Drop { .. }, _) => &[],
        }
    }

    /// Whether an entry on this switch is one of the way that it takes now.
    pub fn has_hop(&self, dpid: DatapathId, leg: Leg, in_port: PortNo) -> bool {
        self.hops(leg).iter().any(|hop| (hop.dpid, hop.in_port) == (dpid, in_port))
    }

    /// The domain of its sender, if it forwards.
    pub fn domain(&self) -> Option<Domain> {
        match &self.kind {
            Kind::Forward { route, .. } => Some(route.domain),
            Kind::Drop { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_finds_its_path_in_its_epoch_only() {
        let path = PathRef { session: SessionNo(0xabcd), slot: 0x2_3456, generation: 0xfedc };
        let mark = Mark { leg: Leg::Reverse, first: true, last: false };
        let cookie = path.cookie(7, mark);
        assert_eq!(cookie, Cookie(0x87ab_cd52_3456_fedc));
        assert_eq!(PathCookie::read(cookie), Some(PathCookie { epoch: 0x87, path, mark }));
        assert_eq!(PathRef::from_cookie(cookie, 7), Some(path));
        assert_eq!(PathRef::from_cookie(cookie, 8), None);
        assert_eq!(of_app(cookie), None);
    }

    #[test]
    fn cookies_of_applications_never_collide() {
        let cookie = app_cookie(AppNo(3), Cookie(7)).unwrap();
        assert_eq!(of_app(cookie), Some((AppNo(3), Cookie(7))));
        assert_ne!(app_cookie(AppNo(4), Cookie(7)), Some(cookie));
        assert_eq!(PathRef::from_cookie(cookie, 3), None);
        assert_eq!(PathCookie::read(cookie), None);
        assert_eq!(app_cookie(AppNo(3), Cookie(1 << 56)), None);
    }
}

//! Paths that stay on one switch, which most do: registered, and sent again for the next frame of
//! their kind. Pure but for the shared tables of [`View`].

use umlaut_openflow::packet::{Headers, PackedHeaders};
use umlaut_openflow::{Attachment, FieldSet, MacAddr, PortNo};

use super::stencil::{Shape, Values};
use super::{Outcome, Sent, Switch};
use crate::command::HopEntry;
use crate::path::{Mark, PathRef, Route, SessionNo};
use crate::program::{MIN_FRAME, flow_match};
use crate::registry::{Held, Known};
use crate::storm::BucketNo;
use crate::view::{Frame, View};

/// Of how many beats the time is until the frames of a known path are decided again though nothing has
/// changed: 64 seconds. As many kinds of hosts each have theirs at another beat.
const BEATS: u32 = 256;
pub(super) const BEATS_PER_SECOND: u32 = BEATS / 64;

/// What has been sent to a switch until a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sends {
    /// Frames that [`Switch::forward_known`] and [`Switch::forward_known_pair`] sent on.
    again: u64,
    next_xid: u32,
}

impl Sends {
    /// Whether since then so many frames were sent on as before, and nothing else was: an entry and a
    /// packet-out for each.
    #[inline]
    pub(crate) fn is_again(self, before: Sends, frames: usize) -> bool {
        let (again, xids) =
            (self.again - before.again, self.next_xid.wrapping_sub(before.next_xid));
        again == frames as u64 && u64::from(xids) == 2 * again
    }
}

impl Switch {
    /// A number that changes when the host table says something else of hosts with this MAC, and every
    /// 64 seconds, so that what is known of a host that is busy is looked at once in a while: hosts in
    /// turn, not all at one moment. Read before the table is asked, it tells later whether the answers
    /// still hold.
    #[inline]
    pub fn stamp(&self, view: &View<'_>, mac: MacAddr) -> u32 {
        view.net.hosts.changes(mac).wrapping_add(period(self.beats, mac))
    }

    /// Sends a frame on like the one before it, if a path of this application is registered and
    /// installed for its kind, on this switch alone, and nothing has changed since that was decided:
    /// not the World, not where its two hosts are. Returns whether that was so. Every 64
    /// seconds it is not, so that the hosts of busy paths are noted as seen.
    ///
    /// Asked before a decision, it remembers what the decision is going to stand on: that is noted
    /// with the path that [`Switch::forward`] registers for this frame.
    pub fn forward_known(
        &mut self,
        view: &View<'_>,
        in_port: PortNo,
        headers: &Headers,
        frame: Frame<'_>,
    ) -> bool {
        let (src, dst) = (headers.eth_src, headers.eth_dst);
        // All three never go down: their sum is the same if they are.
        let stamp = self.stamp(view, src).wrapping_add(view.net.hosts.changes(dst));
        self.asked = Some((src, dst, stamp));
        let Some(known) = self.registry.known(in_port, headers) else { return false };
        if known.stamp != stamp
            || known.revision != view.revision
            || known.app != self.acting
            || self.pauses.hold(Some(known.domain), view.now)
        {
            return false;
        }
        let from = (in_port, known.domain);
        let Some(bucket) = self.storms.take_again(known.bucket, from, view.now) else {
            return false;
        };
        if bucket != known.bucket {
            self.registry.bucket(known.name, bucket);
        }
        let shape = shape(&known, in_port, headers);
        self.send_on(view, in_port, headers, frame, (&known, shape));
        self.sent_again += 1;
        true
    }

    /// What has been sent until now.
    #[inline]
    pub(crate) fn sends(&self) -> Sends {
        Sends { again: self.sent_again, next_xid: self.sent.next().0 }
    }

    /// Registers a path that stays here, unless it is, and sends its entry and the frame. `None` if
    /// something else is registered for these frames.
    pub(super) fn forward_here(
        &mut self,
        view: &View<'_>,
        in_port: PortNo,
        headers: &Headers,
        frame: Frame<'_>,
        route: &Route,
    ) -> Option<Outcome> {
        let width = (route.width | FieldSet::LAYER_2).with_prerequisites();
        let packed = PackedHeaders::new(headers, width);
        let asked = self.asked.take();
        let stamp =
            asked.filter(|(src, dst, _)| (*src, *dst) == (headers.eth_src, headers.eth_dst));
        let unnamed = PathRef { session: SessionNo(0), slot: 0, generation: 0 };
        let mut known = Known {
            name: unnamed,
            app: self.acting,
            domain: route.domain,
            width,
            out_port: route.egress.port,
            vid: route.egress.vid,
            idle_timeout: route.idle_timeout,
            hard_timeout: route.hard_timeout,
            revision: view.revision,
            stamp: stamp.map_or(0, |(_, _, stamp)| stamp),
            bucket: BucketNo::default(),
        };
        let shape = shape(&known, in_port, headers);
        match self.registry.held(in_port, width, &packed) {
            // The switch lost the entry, or had not read it yet: the same entry again.
            Held::Single(held) if held.goes_as(&known) => {
                known.name = held.name;
                self.registry.stamp(held.name, known.stamp);
            }
            Held::Single(_) | Held::Other => return None,
            Held::Nothing(place) => {
                let matchable = shape.is_some_and(|shape| self.stencils.has(&shape))
                    || flow_match(self.version, in_port, headers, width).is_ok();
                if !matchable || self.pauses.hold(Some(known.domain), view.now) {
                    return Some(self.one_by_one(
                        view,
                        (in_port, route.domain),
                        frame,
                        route.egress,
                    ));
                }
                match self.registry.add_single(place, in_port, packed, &known) {
                    Ok(name) => known.name = name,
                    Err(_) => {
                        return Some(self.one_by_one(
                            view,
                            (in_port, route.domain),
                            frame,
                            route.egress,
                        ));
                    }
                }
            }
        }
        self.send_on(view, in_port, headers, frame, (&known, shape));
        Some(Outcome::Installed)
    }

    /// Sends the entry of a path that stays here, and a frame of it.
    fn send_on(
        &mut self,
        view: &View<'_>,
        in_port: PortNo,
        headers: &Headers,
        frame: Frame<'_>,
        (known, shape): (&Known, Option<Shape>),
    ) {
        // An entry that an earlier run left is taken note of when it is sent over.
        let usual = frame.buffer_id.is_none() && frame.whole && self.kept.len() == 0;
        let shape = shape.filter(|_| usual);
        let cookie = known.name.cookie(view.net.epoch, Mark::ONLY);
        let values = Values::of_frame((in_port, known.out_port), headers, cookie);
        let xids = self.sent.next_two();
        if let Some(shape) = &shape
            && self
                .stencils
                .put(self.version, shape, xids, &values, frame.data, &mut self.out)
                .is_some()
        {
            self.sent.note(Sent::Ingress(known.name, None));
            self.sent.note(Sent::Other);
            self.counters.flow_mods += 1;
            self.counters.packet_outs += 1;
            return;
        }
        let entry = HopEntry {
            path: known.name,
            mark: Mark::ONLY,
            domain: known.domain,
            in_port,
            headers: *headers,
            width: known.width,
            out_port: known.out_port,
            vid: Some(known.vid),
            idle_timeout: known.idle_timeout,
            hard_timeout: known.hard_timeout,
        };
        let egress = Attachment { dpid: self.dpid, port: known.out_port, vid: known.vid };
        let entry_at = self.out.len();
        self.send_entrance(view, &entry, frame.buffer_id);
        let out_at = self.out.len();
        if frame.buffer_id.is_none() {
            self.flood(view, in_port, frame, &[egress]);
        }
        if let Some(shape) = shape {
            let (entry, out) = self.out[entry_at..].split_at(out_at - entry_at);
            let length = frame.data.len().max(MIN_FRAME);
            self.stencils.keep(self.version, shape, &values, entry, (out, length));
        }
    }
}

fn shape(known: &Known, in_port: PortNo, headers: &Headers) -> Option<Shape> {
    let timeouts = (known.idle_timeout, known.hard_timeout);
    Shape::new(known.width, headers, known.vid, timeouts, (in_port, known.out_port))
}

/// Which period of a host it is; never 0, so that a stamp of 0 is none.
#[inline]
fn period(beats: u32, mac: MacAddr) -> u32 {
    let [.., a, b] = mac.0;
    beats.wrapping_add(u32::from(a ^ b)) / BEATS + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_sent_anything_else_is_not_one_of_known_paths() {
        let before = Sends { again: 7, next_xid: u32::MAX };
        let after = |again, xids: u32| Sends {
            again: before.again + again,
            next_xid: before.next_xid.wrapping_add(xids),
        };
        assert!(after(0, 0).is_again(before, 0));
        assert!(after(3, 6).is_again(before, 3));
        // Another message, another frame; an entry without a packet-out.
        for (again, xids, frames) in [(0, 0, 1), (3, 7, 3), (3, 6, 4), (3, 5, 3), (0, 2, 1)] {
            assert!(!after(again, xids).is_again(before, frames), "{again} {xids} {frames}");
        }
    }

    #[test]
    fn each_host_has_its_turn_every_64_seconds_and_not_all_at_once() {
        let hosts: Vec<MacAddr> = (0..4096).map(MacAddr::from_u64).collect();
        let mut periods: Vec<u32> = hosts.iter().map(|mac| period(0, *mac)).collect();
        assert!(periods.iter().all(|period| *period > 0));
        for beat in 1..=BEATS {
            let before = periods.clone();
            periods = hosts.iter().map(|mac| period(beat, *mac)).collect();
            let turned = before.iter().zip(&periods).filter(|(a, b)| a != b).count();
            assert_eq!(turned, hosts.len() / BEATS as usize, "beat {beat}");
        }
        assert!(hosts.iter().zip(&periods).all(|(mac, now)| *now == period(0, *mac) + 1));
    }
}

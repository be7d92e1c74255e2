//! Streams: frames that hosts send without a pause while the network changes, each accounted for.
//! Pure but for the ground.
//!
//! ```yaml
//! - stream: [{from: a1, to: a2, lost: 2}, {from: b1, to: b2}]   # b's: not one is lost
//!   during:
//!     - {link: s1/9-s2/9 down}
//!     - {pass: 500}
//! ```
//! A frame arrives at its destination once, or is lost. A second copy, or one anywhere else than at
//! the hosts of `also`, fails the scenario whatever is said of losses.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;

use super::run::{Runner, error};
use super::{Ground, GroundError, Kind, Send, Step};

/// Between two frames of a stream.
const EVERY: Duration = Duration::from_millis(5);
/// Frames of a stream at most; one that ends before its steps do fails.
const FRAMES: usize = 20_000;
/// A stream that is to stop has stopped so long after the last change.
const STOPS_WITHIN: Duration = Duration::from_secs(2);
/// A stream that is to flow again loses nothing in its last part, this long.
const LAST_PART: Duration = Duration::from_millis(250);

/// Frames of an experimental EtherType from one host to another, one each 5 ms.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// The host that sends.
    pub from: String,
    /// The host whose address is the destination, or `all`.
    pub to: String,
    /// How many frames may be lost.
    #[serde(default)]
    pub lost: Lost,
    /// Hosts that may get copies, one of each frame: where frames are flooded while nobody knows
    /// where the destination is. Those of `to: all`.
    #[serde(default)]
    pub also: BTreeSet<String>,
}

/// How many frames of a stream may be lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(untagged)]
pub enum Lost {
    /// So many at most; the last frame arrives.
    AtMost(usize),
    /// So many at most. A change takes time on real switches, and none in emulation.
    OfGround {
        /// In virtual time.
        emulated: usize,
        /// On real switches.
        real: usize,
    },
    /// See [`Course`].
    Course(Course),
}

/// What becomes of a stream of which nobody counts what is lost on the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Course {
    /// It flows at its end: of the last quarter of a second nothing is lost.
    Any,
    /// It has stopped two seconds after the last change.
    All,
}

impl Default for Lost {
    fn default() -> Lost {
        Lost::AtMost(0)
    }
}

/// What became of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamCount {
    /// `FROM > TO`.
    pub name: String,
    /// Frames sent.
    pub sent: usize,
    /// Frames that did not arrive.
    pub lost: usize,
}

impl<G: Ground> Runner<'_, G> {
    /// Runs steps while streams flow, then accounts for every frame.
    pub(super) fn stream(
        &mut self,
        streams: &[Stream],
        during: &[Step],
    ) -> Result<(), GroundError> {
        let mut tokens = Vec::new();
        for stream in streams {
            let send = Send {
                from: stream.from.clone(),
                to: stream.to.clone(),
                kind: Kind::Plain,
                src: None,
                tags: None,
                ports: (1, 1),
                count: 1,
                random_sources: false,
            };
            let first = self.token + 1;
            self.token += FRAMES as u64;
            let frames: Result<Vec<_>, _> =
                (first..=self.token).map(|token| self.frame(&send, 0, token)).collect();
            self.ground.start_stream(&stream.from, frames?, EVERY)?;
            tokens.push(first);
        }
        for (index, step) in during.iter().enumerate() {
            self.step(step)
                .map_err(|why| GroundError(format!("during, step {}: {}", index + 1, why.0)))?;
        }
        let ended = self.ground.elapsed();
        let sent = self.ground.stop_streams()?;
        for ((stream, first), times) in streams.iter().zip(&tokens).zip(&sent) {
            if times.len() >= FRAMES {
                return error(format!("{FRAMES} frames are over before the steps"));
            }
            let last = first + times.len() as u64 - 1;
            if stream.lost != Lost::Course(Course::All) && !times.is_empty() {
                let what = format!("the last frame of {} > {}", stream.from, stream.to);
                self.wait(&what, |runner| runner.arrived(stream, last))?;
            }
        }
        self.settle()?;
        for ((stream, first), times) in streams.iter().zip(tokens).zip(sent) {
            self.account(stream, first, &times, ended)?;
            self.arrivals.retain(|token, _| !(first..first + FRAMES as u64).contains(token));
        }
        Ok(())
    }

    /// Whether a frame has arrived where it is to arrive.
    fn arrived(&self, stream: &Stream, token: u64) -> bool {
        let Some(seen) = self.arrivals.get(&token) else { return false };
        match stream.to.as_str() {
            "all" => stream.also.iter().all(|host| seen.contains(host)),
            to => seen.iter().any(|host| host == to),
        }
    }

    fn account(
        &mut self,
        stream: &Stream,
        first: u64,
        times: &[Duration],
        ended: Duration,
    ) -> Result<(), GroundError> {
        let name = format!("{} > {}", stream.from, stream.to);
        let (mut lost, mut lost_last) = (0, 0);
        // First and last frame of each run of lost ones.
        let mut gaps: Vec<(u64, u64)> = Vec::new();
        // Sent long after the last change, and arrived all the same.
        let (mut sent_late, mut late) = (0, 0);
        for (token, at) in (first..).zip(times) {
            let seen = self.arrivals.get(&token).map_or(&[][..], Vec::as_slice);
            let once: BTreeSet<&String> = seen.iter().collect();
            let foreign = |host: &&String| **host != stream.to && !stream.also.contains(*host);
            if once.len() < seen.len() || once.iter().any(foreign) {
                return error(format!("frame {} of {name} arrived at {seen:?}", token - first));
            }
            let arrived = self.arrived(stream, token);
            if !arrived {
                lost += 1;
                match gaps.last_mut().filter(|(_, last)| last + 1 == token - first) {
                    Some((_, last)) => *last += 1,
                    None => gaps.push((token - first, token - first)),
                }
            }
            if *at > self.changed + STOPS_WITHIN {
                sent_late += 1;
                late += usize::from(arrived);
            }
            lost_last += usize::from(!arrived && *at + LAST_PART > ended);
        }
        let good = match (stream.lost, self.ground.is_virtual()) {
            (Lost::AtMost(most), _)
            | (Lost::OfGround { emulated: most, .. }, true)
            | (Lost::OfGround { real: most, .. }, false) => lost <= most,
            (Lost::Course(Course::Any), _) => lost_last == 0,
            (Lost::Course(Course::All), _) => late == 0 && sent_late > 0,
        };
        let sent = times.len();
        if !good || sent == 0 {
            gaps.truncate(8);
            return error(format!(
                "of {sent} frames of {name} {lost} were lost, {lost_last} of them at the end; \
                 {late} of {sent_late} arrived long after the change; lost should be {:?}; the \
                 first gaps: {gaps:?}",
                stream.lost
            ));
        }
        self.streams.push(StreamCount { name, sent, lost });
        Ok(())
    }
}

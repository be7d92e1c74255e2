//! Streams in virtual time, a frame each few microseconds, every one accounted for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Bed, TEST_TYPE};

/// What became of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Count {
    pub sent: usize,
    pub lost: usize,
    /// The longest run of frames lost one after the other.
    pub gap: usize,
}

/// Between two frames of a stream.
pub const EVERY: Duration = Duration::from_micros(20);

/// For how long a lost run of frames was sent.
pub fn outage(count: Count) -> Duration {
    EVERY * count.gap as u32
}

impl Bed {
    /// Sends this many frames on each pair and calls `change` before each round of them. Fails on
    /// a second copy and on one at any other host.
    pub fn stream(
        &mut self,
        pairs: &[(&str, &str)],
        rounds: usize,
        mut change: impl FnMut(&mut Bed, usize),
    ) -> Vec<Count> {
        self.network.reset_hosts();
        for round in 0..rounds {
            change(self, round);
            for (pair, (from, to)) in pairs.iter().enumerate() {
                let token = format!("<{pair:03}-{round:08}>");
                let dst = self.mac(to);
                let send = |host: &mut umlaut_testbed::EmulatedHost, _| {
                    host.send_ethernet(dst, TEST_TYPE, token.as_bytes());
                };
                self.network.with_host(from, send).unwrap();
            }
            self.run(EVERY);
        }
        self.run(Duration::from_millis(300));
        let arrivals = self.arrivals();
        let counted = pairs.iter().enumerate().map(|(pair, (from, to))| {
            let mut count = Count { sent: rounds, ..Count::default() };
            let mut run = 0;
            for round in 0..rounds {
                let seen = arrivals.get(&(pair, round)).cloned().unwrap_or_default();
                assert!(
                    seen.is_empty() || seen == [*to],
                    "frame {round} of {from} > {to} arrived at {seen:?}"
                );
                run = if seen.is_empty() { run + 1 } else { 0 };
                count.lost += usize::from(seen.is_empty());
                count.gap = count.gap.max(run);
            }
            count
        });
        counted.collect()
    }

    /// Who saw each frame of the streams.
    fn arrivals(&self) -> BTreeMap<(usize, usize), Vec<String>> {
        let mut arrivals: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for host in self.network.hosts() {
            for seen in host.sniffed() {
                let tagged = seen.frame.get(12..14) == Some(&[0x81, 0]);
                let at = if tagged { 18 } else { 14 };
                let token = seen.frame.get(at..at + 14);
                let token = token.and_then(|bytes| std::str::from_utf8(bytes).ok());
                let token = token.and_then(|text| text.strip_prefix('<')?.strip_suffix('>'));
                let Some((pair, round)) = token.and_then(|text| text.split_once('-')) else {
                    continue;
                };
                if let (Ok(pair), Ok(round)) = (pair.parse(), round.parse()) {
                    arrivals.entry((pair, round)).or_default().push(host.name().to_owned());
                }
            }
        }
        arrivals
    }
}

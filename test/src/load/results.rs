//! What a load comes to: counts, latencies, processor time. Pure.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies above this are recorded as this.
const LONGEST: Duration = Duration::from_secs(100);

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What was sent and what came back.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counts {
            /// What came since `earlier`.
            #[must_use]
            pub fn since(self, earlier: Counts) -> Counts {
                Counts { $($name: self.$name - earlier.$name,)* }
            }

            pub(super) fn add(&mut self, other: Counts) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counts! {
    /// Packet-ins sent.
    packet_ins,
    /// Flow-removed messages sent.
    flow_removed,
    /// Flow-mods that added an entry which sends frames on. Nothing else is a set-up.
    set_ups,
    /// Flow-mods that added an entry which drops frames.
    drop_entries,
    /// Other flow-mods.
    other_flow_mods,
    /// Packet-outs. Where a set-up came with it, it is counted there, too.
    packet_outs,
    /// Packet-outs of LLDP, which answer no packet-in.
    probes,
    /// Error messages.
    errors,
    /// Other messages, such as requests.
    others,
    /// Packet-ins that were not answered in time; some of them may have been later.
    unanswered,
}

/// Latencies, from when a packet-in was due to its flow-mod.
#[derive(Clone, Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Latencies {
        let longest = LONGEST.as_nanos() as u64;
        // Three digits, from 1 ns on: such bounds are always good.
        let histogram = Histogram::new_with_bounds(1, longest, 3).expect("bounds are in order");
        Latencies { histogram }
    }
}

impl Latencies {
    /// Notes one, in nanoseconds.
    #[inline]
    pub(super) fn record(&mut self, nanoseconds: u64) {
        self.histogram.saturating_record(nanoseconds.max(1));
    }

    /// What they are, if there are any.
    pub fn summary(&self) -> Option<LatencySummary> {
        if self.histogram.is_empty() {
            return None;
        }
        let at = |quantile| self.histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Some(LatencySummary {
            count: self.histogram.len(),
            mean_us: self.histogram.mean() / 1000.0,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: self.histogram.max() as f64 / 1000.0,
        })
    }
}

/// Latencies in microseconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct LatencySummary {
    /// How many.
    pub count: u64,
    /// Their mean.
    pub mean_us: f64,
    /// Half are at most this.
    pub p50_us: f64,
    /// 90 % are at most this.
    pub p90_us: f64,
    /// 99 % are at most this.
    pub p99_us: f64,
    /// 99.9 % are at most this.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

/// Processor time.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Cpu {
    /// Seconds in the program itself.
    pub user: f64,
    /// Seconds in the system on its behalf.
    pub system: f64,
}

impl Cpu {
    pub(super) fn since(self, earlier: Cpu) -> Cpu {
        Cpu { user: self.user - earlier.user, system: self.system - earlier.system }
    }

    /// Microseconds of both for each of `count`; `None` for none.
    pub fn per(self, count: u64) -> Option<f64> {
        (count > 0).then(|| (self.user + self.system) * 1e6 / count as f64)
    }
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// For how long, in seconds.
    pub seconds: f64,
    /// Of the switches that were measured.
    pub counts: Counts,
    /// Of the storm beside them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storm: Option<Counts>,
    /// From when a packet-in was due to its flow-mod.
    pub latency: Option<LatencySummary>,
    /// Packet-ins that were due and never left, because the controller did not read them.
    pub not_sent: u64,
    /// Processor time of the controller, where its process is known.
    pub controller_cpu: Option<Cpu>,
    /// Memory of the controller at the end, in bytes.
    pub controller_memory: Option<u64>,
    /// Processor time of the generator.
    pub generator_cpu: Cpu,
}

impl Measured {
    /// Packet-ins that were answered by an entry: a second entry for one of them counts for nothing.
    pub fn set_up(&self) -> u64 {
        self.counts.set_ups.min(self.counts.packet_ins)
    }

    /// Of those, how many a second.
    pub fn set_up_rate(&self) -> f64 {
        self.set_up() as f64 / self.seconds
    }

    /// Microseconds of the controller's processor for each of them.
    pub fn cpu_per_set_up(&self) -> Option<f64> {
        self.controller_cpu?.per(self.set_up())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.summary(), None);
        for microseconds in 1..=1000 {
            latencies.record(microseconds * 1000);
        }
        latencies.record(u64::MAX);
        let summary = latencies.summary().unwrap();
        let near = |told: f64, true_value: f64| (told - true_value).abs() <= true_value * 0.002;
        assert_eq!(summary.count, 1001);
        assert!(near(summary.p50_us, 501.0), "{summary:?}");
        assert!(near(summary.p99_us, 991.0), "{summary:?}");
        assert!(near(summary.max_us, LONGEST.as_secs_f64() * 1e6), "{summary:?}");
    }

    #[test]
    fn counts_are_told_from_a_moment_on() {
        let earlier = Counts { packet_ins: 3, set_ups: 2, ..Counts::default() };
        let mut later = earlier;
        later.add(Counts { packet_ins: 1, errors: 1, ..Counts::default() });
        let since = Counts { packet_ins: 1, errors: 1, ..Counts::default() };
        assert_eq!(later.since(earlier), since);
    }

    #[test]
    fn more_entries_than_packet_ins_are_no_more_set_ups() {
        let measured = |set_ups| Measured {
            seconds: 2.0,
            counts: Counts { packet_ins: 100, set_ups, ..Counts::default() },
            storm: None,
            latency: None,
            not_sent: 0,
            controller_cpu: Some(Cpu { user: 1e-4, system: 0.0 }),
            controller_memory: None,
            generator_cpu: Cpu::default(),
        };
        let [some, thrice] = [80, 300].map(measured);
        assert_eq!((some.set_up_rate(), thrice.set_up_rate()), (40.0, 50.0));
        assert_eq!(some.cpu_per_set_up(), Some(1.25));
        assert_eq!(thrice.cpu_per_set_up(), Some(1.0));
    }

    #[test]
    fn processor_time_is_told_for_each() {
        let cpu = Cpu { user: 1.5, system: 0.5 };
        assert_eq!((cpu.per(1_000_000), cpu.per(0)), (Some(2.0), None));
    }
}

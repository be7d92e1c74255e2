//! What a load comes to: counts, latencies, processor time. Pure.

use std::ops::Range;
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

/// Latencies, from when a packet-in was due to its flow-mod. Times are nanoseconds.
#[derive(Clone, Debug)]
pub struct Latencies {
    all: Histogram<u64>,
    /// Where stops are watched for.
    apart: Option<Apart>,
}

/// Those that no stop of a processor had to do with.
#[derive(Clone, Debug)]
struct Apart {
    histogram: Histogram<u64>,
    /// What comes within these may have to do with a stop, and when the last of them ends.
    touched: Vec<Range<u64>>,
    ends: u64,
    longest: u64,
}

/// How many of the last stops are looked at. They come by ones and twos.
const LAST_STOPS: usize = 32;

fn histogram() -> Histogram<u64> {
    let longest = LONGEST.as_nanos() as u64;
    // Three digits, from 1 ns on: such bounds are always good.
    Histogram::new_with_bounds(1, longest, 3).expect("bounds are in order")
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies { all: histogram(), apart: None }
    }
}

impl Latencies {
    /// Where each stop is told before what it has kept waiting is noted.
    pub(super) fn apart_from_stops() -> Latencies {
        let (touched, ends, longest) = (Vec::new(), 0, 0);
        let apart = Apart { histogram: histogram(), touched, ends, longest };
        Latencies { apart: Some(apart), ..Latencies::default() }
    }

    /// A processor stood still meanwhile. What has come up by then takes as long again to be worked off,
    /// at half of what can be done.
    pub(super) fn stopped(&mut self, stop: Range<u64>) {
        if let Some(apart) = &mut self.apart {
            let lasted = stop.end.saturating_sub(stop.start);
            let touched = stop.start..stop.end.saturating_add(lasted);
            apart.ends = apart.ends.max(touched.end);
            apart.longest = apart.longest.max(lasted);
            apart.touched.push(touched);
        }
    }

    /// Notes one, by when it was due and when the answer came.
    #[inline]
    pub(super) fn record(&mut self, due: u64, came: u64) {
        let latency = came.saturating_sub(due).max(1);
        self.all.saturating_record(latency);
        if let Some(apart) = &mut self.apart
            && !apart.is_touched(due, came)
        {
            apart.histogram.saturating_record(latency);
        }
    }

    /// What they are, if there are any.
    pub fn summary(&self) -> Option<LatencySummary> {
        LatencySummary::of(&self.all)
    }

    /// What those are that no stop had to do with, if stops are watched for. Those within `measured`
    /// are counted.
    pub fn summary_apart(&self, measured: &Range<u64>) -> Option<ApartFromStops> {
        let apart = self.apart.as_ref()?;
        let within = |touched: &&Range<u64>| measured.contains(&touched.start);
        Some(ApartFromStops {
            stops: apart.touched.iter().filter(within).count() as u64,
            longest_us: apart.longest as f64 / 1000.0,
            latency: LatencySummary::of(&apart.histogram),
        })
    }
}

impl Apart {
    #[inline]
    fn is_touched(&self, due: u64, came: u64) -> bool {
        if due >= self.ends {
            return false;
        }
        let last = self.touched.iter().rev().take(LAST_STOPS);
        last.into_iter().any(|touched| due < touched.end && touched.start <= came)
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

impl LatencySummary {
    fn of(histogram: &Histogram<u64>) -> Option<LatencySummary> {
        if histogram.is_empty() {
            return None;
        }
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Some(LatencySummary {
            count: histogram.len(),
            mean_us: histogram.mean() / 1000.0,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: histogram.max() as f64 / 1000.0,
        })
    }
}

/// What no stop of a processor had to do with: it was due after the stop and as long again, or was
/// answered before.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct ApartFromStops {
    /// Stops in the measured time, of all processors, that were longer than 500 microseconds.
    pub stops: u64,
    /// The longest of the phase, in microseconds.
    pub longest_us: f64,
    /// Of the others.
    pub latency: Option<LatencySummary>,
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
    /// The same but for what stops of processors had to do with, if these were watched for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apart_from_stops: Option<ApartFromStops>,
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
            latencies.record(7, 7 + microseconds * 1000);
        }
        latencies.record(0, u64::MAX);
        let summary = latencies.summary().unwrap();
        let near = |told: f64, true_value: f64| (told - true_value).abs() <= true_value * 0.002;
        assert_eq!(summary.count, 1001);
        assert!(near(summary.p50_us, 501.0), "{summary:?}");
        assert!(near(summary.p99_us, 991.0), "{summary:?}");
        assert!(near(summary.max_us, LONGEST.as_secs_f64() * 1e6), "{summary:?}");
    }

    #[test]
    fn what_a_stop_and_its_length_again_have_to_do_with_is_left_out() {
        let mut latencies = Latencies::apart_from_stops();
        let apart = |latencies: &Latencies| latencies.summary_apart(&(1_000..10_000)).unwrap();
        assert_eq!(apart(&latencies).latency, None);
        // The second is told later, as another processor's may be.
        latencies.stopped(2_000..2_300);
        latencies.stopped(1_900..2_100);
        let counted = |latencies: &Latencies| apart(latencies).latency.map_or(0, |l| l.count);
        let each = [
            (1_000, 1_899, true),
            (1_000, 1_900, false),
            (1_000, 5_000, false),
            (2_250, 2_280, false),
            (2_599, 2_650, false),
            (2_600, 2_700, true),
            (2_650, 9_000, true),
        ];
        for (due, came, wanted) in each {
            let before = counted(&latencies);
            latencies.record(due, came);
            assert_eq!(counted(&latencies) - before, u64::from(wanted), "{due} to {came}");
        }
        assert_eq!(latencies.summary().unwrap().count, each.len() as u64);
        latencies.stopped(500..900);
        assert_eq!((apart(&latencies).stops, apart(&latencies).longest_us), (2, 0.4));
        // Where nobody watches there is nothing to be left out.
        let mut all = Latencies::default();
        all.stopped(0..100);
        all.record(10, 20);
        assert_eq!((all.summary().unwrap().count, all.summary_apart(&(0..100))), (1, None));
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
            apart_from_stops: None,
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

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

/// What no stop of a processor had to do with.
#[derive(Clone, Debug)]
struct Apart {
    histogram: Histogram<u64>,
    /// In order and with something between.
    stops: Vec<Range<u64>>,
    /// The same until what came up in them is worked off: what of a wait lies within these is a stop's.
    touched: Vec<Range<u64>>,
    count: u64,
    longest: u64,
}

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
        let (stops, touched) = (Vec::new(), Vec::new());
        let apart = Apart { histogram: histogram(), stops, touched, count: 0, longest: 0 };
        Latencies { apart: Some(apart), ..Latencies::default() }
    }

    /// A processor stood still meanwhile. What has come up by then takes as long again to be worked off,
    /// at half of what can be done; longer if it stands still again before.
    pub(super) fn stopped(&mut self, stop: Range<u64>) {
        if let Some(apart) = &mut self.apart {
            apart.stopped(stop);
        }
    }

    /// Notes one that was answered, by when it was due and when the answer came.
    #[inline]
    pub(super) fn record(&mut self, due: u64, came: u64) {
        let latency = came.saturating_sub(due);
        self.all.saturating_record(latency.max(1));
        if let Some(apart) = &mut self.apart {
            let own = latency - apart.of_stops(due, came);
            apart.histogram.saturating_record(own.max(1));
        }
    }

    /// Notes one that had no answer until then. No stop is the reason for that.
    pub(super) fn record_unanswered(&mut self, due: u64, until: u64) {
        let latency = until.saturating_sub(due).max(1);
        self.all.saturating_record(latency);
        if let Some(apart) = &mut self.apart {
            apart.histogram.saturating_record(latency);
        }
    }

    /// What they are, if there are any.
    pub fn summary(&self) -> Option<LatencySummary> {
        LatencySummary::of(&self.all)
    }

    /// What they are without what is a stop's, if stops are watched for.
    pub fn summary_apart(&self) -> Option<ApartFromStops> {
        let apart = self.apart.as_ref()?;
        Some(ApartFromStops {
            stops: apart.count,
            longest_us: apart.longest as f64 / 1000.0,
            latency: LatencySummary::of(&apart.histogram),
        })
    }
}

impl Apart {
    fn stopped(&mut self, stop: Range<u64>) {
        let lasted = stop.end.saturating_sub(stop.start);
        if lasted == 0 {
            return;
        }
        self.count += 1;
        self.longest = self.longest.max(lasted);
        // Of two processors that stand still at once nobody waits twice as long; and what another one
        // tells later may lie before.
        let first = self.stops.partition_point(|one| one.end < stop.start);
        let after = self.stops.partition_point(|one| one.start <= stop.end);
        let mut stop = stop;
        for one in &self.stops[first..after] {
            stop = stop.start.min(one.start)..stop.end.max(one.end);
        }
        self.stops.splice(first..after, [stop]);
        self.touched.clear();
        for stop in &self.stops {
            let lasted = stop.end - stop.start;
            match self.touched.last_mut() {
                // What is left to be worked off waits as well, and more has come up.
                Some(open) if stop.start <= open.end => open.end += 2 * lasted,
                _ => self.touched.push(stop.start..stop.end + lasted),
            }
        }
    }

    /// How much of a wait is of stops.
    #[inline]
    fn of_stops(&self, due: u64, came: u64) -> u64 {
        let within = self.touched.iter().rev().take_while(|touched| due < touched.end);
        within.map(|touched| touched.end.min(came).saturating_sub(touched.start.max(due))).sum()
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

/// Latencies without the part of each that lies in a stop of a processor, or behind it for as long again.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct ApartFromStops {
    /// Stops of all processors during the phase, its warming up included, that were longer than 500
    /// microseconds.
    pub stops: u64,
    /// The longest of them, in microseconds.
    pub longest_us: f64,
    /// What is left. What was never answered has waited in any case.
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
    /// The same without what stops of processors had to do with, if these were watched for.
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
    use proptest::prelude::*;

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
    fn the_part_of_a_wait_that_lies_in_a_stop_or_as_long_behind_it_is_left_out() {
        let mut latencies = Latencies::apart_from_stops();
        assert_eq!(latencies.summary_apart().unwrap().latency, None);
        // Those from 1,900 to 2,300 overlap, and are told in no order; then there is one from 5,000 on.
        for stop in [2_000..2_300, 5_000..5_100, 1_900..2_100, 400..400] {
            latencies.stopped(stop);
        }
        let each = [
            (1_000, 1_900, 900),
            (1_000, 1_950, 900),
            (2_250, 2_280, 0),
            (2_699, 2_750, 50),
            (2_700, 2_800, 100),
            (1_000, 3_000, 1_200),
            (1_000, 6_000, 4_000),
            (5_200, 9_000, 3_800),
        ];
        for (due, came, own) in each {
            let of_stops = latencies.apart.as_ref().unwrap().of_stops(due, came);
            assert_eq!(came - due - of_stops, own, "{due} to {came}");
            latencies.record(due, came);
        }
        latencies.record_unanswered(1_950, 102_000);
        let apart = latencies.summary_apart().unwrap();
        assert_eq!((apart.stops, apart.longest_us), (3, 0.3));
        let counts = (latencies.summary().unwrap().count, apart.latency.unwrap().count);
        assert_eq!(counts, (each.len() as u64 + 1, each.len() as u64 + 1));
        assert!(apart.latency.unwrap().max_us >= 100.0, "never answered");
        // Where nobody watches there is nothing to be left out.
        let mut all = Latencies::default();
        all.stopped(0..100);
        all.record(10, 20);
        assert_eq!((all.summary().unwrap().count, all.summary_apart()), (1, None));
    }

    proptest! {
        /// Time by time: whatever stops there are, in whatever order.
        #[test]
        fn no_time_is_left_out_twice(
            stops in prop::collection::vec((0..200u64, 0..20u64), 0..12),
            waits in prop::collection::vec((0..260u64, 0..100u64), 1..20),
        ) {
            let mut latencies = Latencies::apart_from_stops();
            let mut stopped = [false; 800];
            for (start, lasted) in stops {
                latencies.stopped(start..start + lasted);
                (start..start + lasted).for_each(|at| stopped[at as usize] = true);
            }
            let mut left = 0;
            let touched = stopped.map(|stopped| {
                let waits = stopped || left > 0;
                left = if stopped { left + 1 } else { left.max(1) - 1 };
                waits
            });
            for (due, wait) in waits {
                let expected = (due..due + wait).filter(|at| touched[*at as usize]).count() as u64;
                let apart = latencies.apart.as_ref().unwrap();
                prop_assert_eq!(apart.of_stops(due, due + wait), expected);
            }
        }
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

//! What the writer tells about itself. No label names a tenant or a campaign, and figures of hits
//! move on with many of them and never with one.

use std::sync::{Mutex, PoisonError};

use hushmark_policy::Pace;
use hushmark_policy::retention::Step;
use prometheus::proto::{Counter, Gauge as ToldGauge, MetricFamily, MetricType};
use prometheus::{
    Encoder as _, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::cells::Tally;
use crate::entry::DeadReason;
use crate::judge::Drop;

/// What moves on with the hits that are stored, and is told as it was when enough of them were.
const OF_HITS: [&str; 3] = [
    "hushmark_writer_insert_seconds",
    "hushmark_writer_stored_hits_total",
    "hushmark_writer_voids_total",
];

/// What has to be told as it is at every moment, in steps so coarse that all is nothing while all is
/// well: the age of a lonely hit says when it came, and so does the part that it makes.
const COARSE: [(&str, f64); 4] = [
    ("hushmark_writer_lag_seconds", 30.0),
    ("hushmark_writer_lag_hits", 1_000.0),
    ("hushmark_writer_lag_entries", 1_000.0),
    ("hushmark_writer_parts", 100.0),
];

/// Every figure.
pub struct Metrics {
    registry: Registry,
    /// How hits are told of, and what was told last.
    told: Mutex<(Pace, Vec<MetricFamily>)>,
    is_exact: bool,
    /// Whether this writer holds the lease.
    pub working: IntGauge,
    /// Age of the oldest record that is not stored.
    pub lag_seconds: Gauge,
    /// Records read and not stored.
    pub lag_hits: IntGauge,
    /// Stream entries that were not read yet.
    pub lag_entries: IntGauge,
    /// Hits stored.
    pub stored: IntCounter,
    /// Voids passed over.
    pub voids: IntCounter,
    /// Dead letters by reason.
    pub dead: IntCounterVec,
    /// Hits not stored by reason.
    pub drops: IntCounterVec,
    /// Numbers missing in lanes.
    pub gaps: IntCounter,
    /// Seconds an insert took, sent and answered.
    pub insert_seconds: Histogram,
    /// Inserts that had to be repeated.
    pub repeats: IntCounter,
    /// Active parts by table.
    pub parts: IntGaugeVec,
    /// Objections that were asked to be appended to the refusal log.
    pub objections: IntCounter,
    /// Length of the refusal log.
    pub refusals: IntGauge,
    /// Days that may be closed.
    pub closable_days: IntGauge,
    /// Unix time of the last epoch.
    pub epoch: IntGauge,
    /// Rows that policies should have removed or changed, by step.
    pub overdue: IntGaugeVec,
    /// Erasures that the log demands and that have not ended.
    pub erasures_due: IntGauge,
}

fn made<T: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    made: prometheus::Result<T>,
) -> T {
    let figure = made.expect("names are fixed and valid");
    registry.register(Box::new(figure.clone())).expect("names are fixed and differ");
    figure
}

impl Metrics {
    /// Figures of hits in steps of so many; 1 for exact ones.
    #[must_use]
    pub fn new(step: u32) -> Self {
        let registry = Registry::new();
        let r = &registry;
        let gauge = |name, help| made(r, IntGauge::new(name, help));
        let counter = |name, help| made(r, IntCounter::new(name, help));
        let counters =
            |name, help, label| made(r, IntCounterVec::new(Opts::new(name, help), &[label]));
        let seconds = HistogramOpts::new(
            "hushmark_writer_insert_seconds",
            "Seconds from the first byte of an insert to its answer.",
        )
        .buckets(vec![0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0]);
        let dead = counters("hushmark_writer_dead_letters_total", "Dead letters.", "reason");
        let drops = counters("hushmark_writer_drops_total", "Records not stored.", "reason");
        DeadReason::ALL.iter().for_each(|reason| drop(dead.with_label_values(&[reason.name()])));
        Drop::ALL.iter().for_each(|reason| drop(drops.with_label_values(&[reason.name()])));
        drop(drops.with_label_values(&["sealed"]));
        let parts = Opts::new("hushmark_writer_parts", "Active parts.");
        let overdue = Opts::new("hushmark_writer_overdue_rows", "Rows due by policy, and there.");
        let overdue = made(r, IntGaugeVec::new(overdue, &["step"]));
        Step::ALL.iter().for_each(|step| drop(overdue.with_label_values(&[step.name()])));
        Self {
            working: gauge("hushmark_writer_working", "1 with the lease, 0 standing by."),
            lag_seconds: made(
                r,
                Gauge::new("hushmark_writer_lag_seconds", "Age of the oldest record not stored."),
            ),
            lag_hits: gauge("hushmark_writer_lag_hits", "Records read and not stored."),
            lag_entries: gauge("hushmark_writer_lag_entries", "Stream entries not read yet."),
            stored: counter("hushmark_writer_stored_hits_total", "Hits stored."),
            voids: counter("hushmark_writer_voids_total", "Voids passed over."),
            dead,
            drops,
            gaps: counter("hushmark_writer_gaps_total", "Numbers missing in lanes."),
            insert_seconds: made(r, Histogram::with_opts(seconds)),
            repeats: counter("hushmark_writer_repeats_total", "Inserts that were sent again."),
            parts: made(r, IntGaugeVec::new(parts, &["table"])),
            objections: counter(
                "hushmark_writer_objections_total",
                "Objections that an entry of the refusal log was asked for.",
            ),
            refusals: gauge("hushmark_writer_refusals", "Length of the refusal log."),
            closable_days: gauge("hushmark_writer_closable_days", "Days that may be closed."),
            epoch: gauge("hushmark_writer_epoch_seconds", "Unix time of the last epoch."),
            overdue,
            erasures_due: gauge("hushmark_writer_erasures_due", "Erasures that have not ended."),
            registry,
            told: Mutex::new((Pace::new(step), Vec::new())),
            is_exact: step <= 1,
        }
    }

    /// Adds what one cut stored.
    pub fn add(&self, tally: &Tally) {
        self.stored.inc_by(tally.hits);
        self.voids.inc_by(tally.voids);
        for reason in Drop::ALL {
            let drops = self.drops.with_label_values(&[reason.name()]);
            drops.inc_by(tally.drops[reason as usize]);
        }
        self.drops.with_label_values(&["sealed"]).inc_by(tally.sealed);
    }

    /// The Prometheus text format, version 0.0.4.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.told(), &mut text) {
            tracing::warn!(%error, "metrics could not be written");
        }
        text
    }

    /// The figures as they may be told now.
    fn told(&self) -> Vec<MetricFamily> {
        let mut families = self.registry.gather();
        if self.is_exact {
            return families;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (pace, of_hits) = &mut *told;
        let mut random = [0; 8];
        // Without random numbers figures stay as they are.
        if getrandom::fill(&mut random).is_ok()
            && pace.moves_on(self.stored.get() + self.voids.get(), u64::from_be_bytes(random))
        {
            let moving = families.iter().filter(|family| OF_HITS.contains(&family.name()));
            *of_hits = moving.cloned().map(|family| rounded(family, pace)).collect();
        }
        for family in &mut families {
            if let Some(as_told) = of_hits.iter().find(|told| told.name() == family.name()) {
                *family = as_told.clone();
            } else if let Some((_, step)) = COARSE.iter().find(|(name, _)| *name == family.name()) {
                for metric in family.mut_metric() {
                    let value = metric.get_gauge().get_value();
                    let mut gauge = ToldGauge::default();
                    gauge.set_value(value - value % step);
                    metric.set_gauge(gauge);
                }
            }
        }
        families
    }
}

/// A figure in whole steps. Of a histogram the sum becomes that of as many observations as are told.
fn rounded(mut family: MetricFamily, pace: &Pace) -> MetricFamily {
    let kind = family.get_field_type();
    for metric in family.mut_metric() {
        match kind {
            MetricType::COUNTER => {
                let mut counter = Counter::default();
                counter.set_value(pace.rounded(metric.get_counter().get_value() as u64) as f64);
                metric.set_counter(counter);
            }
            _ => {
                let mut histogram = metric.get_histogram().clone();
                let all = histogram.get_sample_count();
                let share = pace.rounded(all) as f64 / all.max(1) as f64;
                histogram.set_sample_count(pace.rounded(all));
                histogram.set_sample_sum(histogram.get_sample_sum() * share);
                let mut buckets = histogram.get_bucket().to_vec();
                for bucket in &mut buckets {
                    bucket.set_cumulative_count(pace.rounded(bucket.cumulative_count()));
                }
                histogram.set_bucket(buckets);
                metric.set_histogram(histogram);
            }
        }
    }
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(metrics: &Metrics, name: &str) -> f64 {
        let text = String::from_utf8(metrics.text()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap().parse().unwrap()
    }

    fn told(metrics: &Metrics) -> [f64; 6] {
        [
            "hushmark_writer_parts{table=\"hits\"}",
            "hushmark_writer_stored_hits_total",
            "hushmark_writer_insert_seconds_count",
            "hushmark_writer_lag_hits",
            "hushmark_writer_lag_entries",
            "hushmark_writer_lag_seconds",
        ]
        .map(|name| value(metrics, name))
    }

    fn one_hit(metrics: &Metrics, n: i64) {
        metrics.stored.inc();
        metrics.insert_seconds.observe(0.02);
        metrics.parts.with_label_values(&["hits"]).set(n % 9);
        metrics.lag_hits.set(n % 40);
        metrics.lag_entries.set(n % 7);
        metrics.lag_seconds.set(11.5);
    }

    #[test]
    fn no_figure_tells_of_one_hit() {
        let metrics = Metrics::new(10);
        metrics.parts.with_label_values(&["hits"]).set(3);
        let nothing = told(&metrics);
        for n in 1..10 {
            one_hit(&metrics, n);
            assert_eq!(told(&metrics), nothing, "after {n} hits");
        }
        for n in 10..20 {
            one_hit(&metrics, n);
        }
        assert_eq!(told(&metrics), [0.0, 10.0, 10.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn with_a_step_of_one_figures_are_exact() {
        let metrics = Metrics::new(1);
        one_hit(&metrics, 3);
        assert_eq!(told(&metrics), [3.0, 1.0, 1.0, 3.0, 3.0, 11.5]);
    }
}

//! What the writer tells about itself. No label names a tenant or a campaign.

use hushmark_policy::retention::Step;
use prometheus::{
    Encoder as _, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::cells::Tally;
use crate::entry::DeadReason;
use crate::judge::Drop;

/// Every figure.
pub struct Metrics {
    registry: Registry,
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

impl Default for Metrics {
    fn default() -> Self {
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
        }
    }
}

impl Metrics {
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
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::warn!(%error, "metrics could not be written");
        }
        text
    }
}

//! What Prometheus is told. No label names a tenant, a campaign or a person.

use hushmark_token::Refusal;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram as ProtoHistogram, LabelPair, Metric, MetricFamily,
    MetricType,
};
use prometheus::{Encoder as _, TextEncoder};

use super::Control;
use super::traffic::{Figures, Merged};
use crate::stats::{CoreStats, Count, TAKEN_DOWN};

/// All metrics as text.
pub(super) fn text(control: &Control) -> Vec<u8> {
    let mut families = Vec::new();
    let figures = control.traffic.figures(&control.cores);
    requests(control, &figures, &mut families);
    lanes(control, &figures, &mut families);
    process(control, &mut families);
    let mut text = Vec::with_capacity(16 << 10);
    if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
        tracing::error!(%error, "metrics cannot be written");
    }
    text
}

fn requests(control: &Control, figures: &Figures, families: &mut Vec<MetricFamily>) {
    let sum = |of: fn(&CoreStats) -> &Count| sum(control, of);
    families.push(counters(
        "hushmark_edge_hits_total",
        "Requests that were counted",
        [("kind", "open", figures.opens), ("kind", "click", figures.clicks)],
    ));
    families.push(counter(
        "hushmark_edge_voids_total",
        "Requests with a valid token that policy forbids to count",
        figures.voids,
    ));
    families.push(counter(
        "hushmark_edge_objections_total",
        "Objections that were recorded, repeats among them",
        figures.objections,
    ));
    families.push(counter(
        "hushmark_edge_answered_total",
        "Requests that were answered, whatever the answer",
        figures.answered,
    ));
    let reasons = Refusal::ALL.iter().map(|why| why.name()).chain(["taken_down"]).enumerate();
    debug_assert_eq!(Refusal::ALL.len(), TAKEN_DOWN);
    families.push(counters(
        "hushmark_edge_refused_total",
        "Tokens that were refused",
        reasons.map(|(n, why)| {
            let refused = control.cores.iter().map(|core| core.refused[n].get()).sum();
            ("reason", why, control.traffic.rounded(refused))
        }),
    ));
    families.push(counter(
        "hushmark_edge_not_found_total",
        "Requests for paths that are none of ours",
        sum(|s| &s.not_found),
    ));
    families.push(counter(
        "hushmark_edge_rejected_total",
        "Requests with a method, body or length that is not answered",
        sum(|s| &s.rejected),
    ));
    families.push(gauge(
        "hushmark_edge_connections",
        "Open connections",
        control.traffic.rounded(sum(|s| &s.connections)) as f64,
    ));
    families.push(counters(
        "hushmark_edge_connections_total",
        "Connections, by what became of them",
        [
            ("outcome", "accepted", figures.accepted),
            ("outcome", "turned_away", sum(|s| &s.turned_away)),
            ("outcome", "timed_out", sum(|s| &s.timed_out)),
            ("outcome", "proxy_refused", sum(|s| &s.proxy_refused)),
        ],
    ));
    families.push(counters(
        "hushmark_edge_tls_handshakes_total",
        "TLS handshakes, by how they ended",
        [
            ("outcome", "done", figures.handshakes),
            ("outcome", "failed", sum(|s| &s.handshakes_failed)),
        ],
    ));
}

fn lanes(control: &Control, figures: &Figures, families: &mut Vec<MetricFamily>) {
    let sum = |of: fn(&CoreStats) -> &Count| sum(control, of);
    families.push(counters(
        "hushmark_edge_batches_total",
        "Batches, by where they became durable",
        [
            ("to", "redis", figures.to_redis),
            ("to", "lane_log", figures.to_log),
            ("to", "dropped", sum(|s| &s.dropped_batches)),
        ],
    ));
    families.push(counter(
        "hushmark_edge_dropped_records_total",
        "Records that neither Redis nor the lane log took, earlier processes of the folder included",
        sum(|s| &s.dropped_records) + control.dropped_before,
    ));
    families.push(counter(
        "hushmark_edge_replayed_batches_total",
        "Batches brought from lane logs to Redis",
        control.traffic.rounded(sum(|s| &s.replayed) + control.counts.replayed_batches.get()),
    ));
    families.push(counter(
        "hushmark_edge_lane_conflicts_total",
        "Batches whose number the stream holds with other bytes",
        sum(|s| &s.conflicts),
    ));
    families.push(gauge(
        "hushmark_edge_breakers_open",
        "Lanes that write to their log",
        sum(|s| &s.breaker_open) as f64,
    ));
    families.push(counter(
        "hushmark_edge_breaker_opened_total",
        "How often a lane turned to its log",
        sum(|s| &s.breaker_opened),
    ));
    families.push(gauge(
        "hushmark_edge_lane_log_bytes",
        "Bytes in lane logs that Redis does not have yet",
        control.traffic.coarse(control.log_bytes()) as f64,
    ));
    families.push(histogram(
        "hushmark_edge_batch_records",
        "Records in a batch",
        &figures.batch_records,
        1,
    ));
    families.push(histogram(
        "hushmark_edge_commit_seconds",
        "From a batch's leaving until it was durable",
        &figures.commit_us,
        1_000_000,
    ));
}

fn process(control: &Control, families: &mut Vec<MetricFamily>) {
    let counts = &control.counts;
    families.push(counter("hushmark_edge_reloads_total", "Files taken anew", counts.reloads.get()));
    families.push(counter(
        "hushmark_edge_reload_failures_total",
        "Changed files that cannot be used, so that the old ones stay",
        counts.reload_failures.get(),
    ));
    let refusals = control.shared.get().refusals;
    families.push(gauge(
        "hushmark_edge_refusal_log_length",
        "Entries of the refusal log that are obeyed; -1 without a verified copy",
        refusals.map_or(-1.0, |log| log.length() as f64),
    ));
    families.push(counter(
        "hushmark_edge_refusal_log_errors_total",
        "Entries or heads of the refusal log that do not verify",
        counts.refusal_errors.get(),
    ));
    families.push(gauge(
        "hushmark_edge_redis_up",
        "Whether Redis answered the control connection last time",
        counts.redis_up.get() as f64,
    ));
    families.push(gauge(
        "hushmark_edge_redis_memory_percent",
        "Share of Redis's maxmemory in use",
        counts.redis_memory_percent.get() as f64,
    ));
    families.push(gauge(
        "hushmark_edge_ready",
        "Whether /readyz says so",
        f64::from(u8::from(control.unready().is_empty())),
    ));
}

fn sum(control: &Control, of: fn(&CoreStats) -> &Count) -> u64 {
    control.cores.iter().map(|core| of(core).get()).sum()
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn counted(value: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value as f64);
    let mut metric = Metric::default();
    metric.set_counter(counter);
    metric
}

fn counter(name: &str, help: &str, value: u64) -> MetricFamily {
    family(name, help, MetricType::COUNTER, vec![counted(value)])
}

fn counters<'a>(
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (&'a str, &'a str, u64)>,
) -> MetricFamily {
    let metrics = values.into_iter().map(|(label, is, value)| {
        let mut pair = LabelPair::default();
        pair.set_name(label.to_owned());
        pair.set_value(is.to_owned());
        let mut metric = counted(value);
        metric.set_label(vec![pair]);
        metric
    });
    family(name, help, MetricType::COUNTER, metrics.collect())
}

fn gauge(name: &str, help: &str, value: f64) -> MetricFamily {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::default();
    metric.set_gauge(gauge);
    family(name, help, MetricType::GAUGE, vec![metric])
}

/// A histogram; so many observed units are one of the metric's.
fn histogram(name: &str, help: &str, merged: &Merged, units: u32) -> MetricFamily {
    let buckets = merged.buckets.iter().map(|(bound, below)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound as f64 / f64::from(units));
        bucket.set_cumulative_count(*below);
        bucket
    });
    let mut histogram = ProtoHistogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(merged.total);
    histogram.set_sample_sum(merged.sum as f64 / f64::from(units));
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    family(name, help, MetricType::HISTOGRAM, vec![metric])
}

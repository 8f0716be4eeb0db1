//! What is counted, as Prometheus' text.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use http::{Method, Request};
use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::apply::Kind;
use crate::context::now_ms;

/// Every figure. Cloning shares them.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    seconds: HistogramVec,
    queue: IntGaugeVec,
    drift: IntCounterVec,
    writes: IntCounterVec,
    calls: IntCounterVec,
    conflicts: IntGauge,
    missing: IntGauge,
    leader: IntGauge,
    key_age: IntGauge,
    key_rotating: IntGauge,
    /// Since when the key seals: seconds since 1970, 0 where none does.
    key_since: Arc<AtomicI64>,
}

/// The kinds that are reconciled.
const RECONCILED: [&str; 5] =
    ["Region", "Tenant", "Campaign", "RetentionPolicy", "AnonymizationPolicy"];

/// The verbs that requests are counted by.
const VERBS: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];

/// Half a millisecond to a minute.
const BUCKETS: [f64; 12] =
    [0.0005, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0];

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything at zero.
    ///
    /// # Panics
    /// Never: the names are constants, and a test makes them all.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        // What begins with its first event is not seen to rise by it: each is there from the start.
        let counters = |name: &str, help: &str, labels: &[&str], values: &[Vec<&str>]| {
            let made = IntCounterVec::new(Opts::new(name, help), labels).expect("a valid name");
            registry.register(Box::new(made.clone())).expect("each name once");
            for values in values {
                made.with_label_values(values);
            }
            made
        };
        let results = ["ok", "error"];
        let results = RECONCILED.iter().flat_map(|kind| results.map(|result| vec![*kind, result]));
        let objects: Vec<Vec<&str>> = Kind::ALL.iter().map(|kind| vec![kind.name()]).collect();
        let gauge = |name: &str, help: &str| {
            let made = IntGauge::new(name, help).expect("a valid name");
            registry.register(Box::new(made.clone())).expect("each name once");
            made
        };
        let seconds = HistogramVec::new(
            HistogramOpts::new("hushmark_operator_reconcile_seconds", "time of one reconcile")
                .buckets(BUCKETS.to_vec()),
            &["kind"],
        )
        .expect("a valid name");
        registry.register(Box::new(seconds.clone())).expect("each name once");
        let queue = IntGaugeVec::new(
            Opts::new("hushmark_operator_queue_depth", "objects that wait to be reconciled"),
            &["kind"],
        )
        .expect("a valid name");
        registry.register(Box::new(queue.clone())).expect("each name once");
        Self {
            reconciles: counters(
                "hushmark_operator_reconciles_total",
                "reconciles by kind and result",
                &["kind", "result"],
                &results.collect::<Vec<_>>(),
            ),
            drift: counters(
                "hushmark_operator_drift_repairs_total",
                "objects that somebody changed or deleted, put right again",
                &["kind"],
                &objects,
            ),
            writes: counters(
                "hushmark_operator_object_writes_total",
                "objects of the stack that were applied because they differed",
                &["kind"],
                &objects,
            ),
            calls: counters(
                "hushmark_operator_api_calls_total",
                "requests to the API server by verb",
                &["verb"],
                &VERBS.map(|verb| vec![verb]),
            ),
            conflicts: gauge(
                "hushmark_operator_field_conflicts",
                "objects in which another manager holds a field",
            ),
            missing: gauge(
                "hushmark_operator_permissions_missing",
                "verbs and resources that the ServiceAccount may not use",
            ),
            leader: gauge("hushmark_operator_leader", "1 in the process that works"),
            key_age: gauge(
                "hushmark_operator_key_age_seconds",
                "how long the region key has been sealing that seals now",
            ),
            key_rotating: gauge(
                "hushmark_operator_key_rotating",
                "1 while a region key waits until every edge has it",
            ),
            key_since: Arc::default(),
            seconds,
            queue,
            registry,
        }
    }

    /// One reconcile is over.
    pub fn reconciled(&self, kind: &'static str, result: &'static str, seconds: f64) {
        self.reconciles.with_label_values(&[kind, result]).inc();
        self.seconds.with_label_values(&[kind]).observe(seconds);
    }

    /// So many objects wait.
    pub fn queue_depth(&self, kind: &'static str, depth: usize) {
        self.queue.with_label_values(&[kind]).set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    /// An object was applied because it differed; `drift` if it had been as wanted before.
    pub fn object_written(&self, kind: &str, drift: bool) {
        self.writes.with_label_values(&[kind]).inc();
        if drift {
            self.drift.with_label_values(&[kind]).inc();
        }
    }

    /// Objects in which another manager holds a field.
    pub fn field_conflicts(&self, objects: usize) {
        self.conflicts.set(i64::try_from(objects).unwrap_or(i64::MAX));
    }

    /// Permissions that are missing.
    pub fn permissions_missing(&self, count: usize) {
        self.missing.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Whether this process works.
    pub fn leader(&self, leads: bool) {
        self.leader.set(leads.into());
    }

    /// Since when the region key seals, in seconds since 1970, and whether another one waits.
    pub fn keys(&self, since: Option<i64>, rotating: bool) {
        self.key_since.store(since.unwrap_or(0), Ordering::Relaxed);
        self.key_rotating.set(rotating.into());
    }

    /// A request goes to the API server.
    pub fn called<B>(&self, request: &Request<B>) {
        self.calls.with_label_values(&[verb(request)]).inc();
    }

    /// The page.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        let since = self.key_since.load(Ordering::Relaxed);
        let now = i64::try_from(now_ms() / 1_000).unwrap_or(i64::MAX);
        self.key_age.set(if since == 0 { 0 } else { now.saturating_sub(since).max(0) });
        let mut page = Vec::new();
        // The encoder fails only where the writer does, and a vector never does.
        TextEncoder::new().encode(&self.registry.gather(), &mut page).unwrap_or_default();
        page
    }
}

/// The verb that Kubernetes knows a request by.
fn verb<B>(request: &Request<B>) -> &'static str {
    let query = request.uri().query().unwrap_or_default();
    match *request.method() {
        Method::GET if query.split('&').any(|part| part == "watch=true") => "watch",
        Method::GET if names_an_object(request.uri().path()) => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}

/// Whether a path is an object's: `/api/v1` or `/apis/GROUP/VERSION`, a namespace or none, a
/// resource, a name, and at most a subresource.
fn names_an_object(path: &str) -> bool {
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let head = if parts.first() == Some(&"api") { 2 } else { 3 };
    parts.drain(..head.min(parts.len()));
    if parts.first() == Some(&"namespaces") && parts.len() > 2 {
        parts.drain(..2);
    }
    parts.len() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_the_verb_that_a_role_names() {
        let of = |method: Method, uri: &str| {
            verb(&Request::builder().method(method).uri(uri).body(()).unwrap())
        };
        for (uri, expected) in [
            ("/api/v1/namespaces/a/secrets/b", "get"),
            ("/api/v1/namespaces/a/secrets", "list"),
            ("/api/v1/nodes/n", "get"),
            ("/api/v1/nodes", "list"),
            ("/apis/hushmark.io/v1alpha1/regions?watch=true&x=1", "watch"),
            ("/apis/hushmark.io/v1alpha1/regions?limit=500", "list"),
            ("/apis/apps/v1/namespaces/a/deployments/d", "get"),
        ] {
            assert_eq!(of(Method::GET, uri), expected, "{uri}");
        }
        assert_eq!(of(Method::PATCH, "/apis/hushmark.io/v1alpha1/regions/r/status"), "patch");
    }

    #[test]
    fn the_page_names_every_figure_that_was_touched() {
        let metrics = Metrics::new();
        let page = String::from_utf8(metrics.text()).unwrap();
        for line in [
            "hushmark_operator_reconciles_total{kind=\"Campaign\",result=\"error\"} 0",
            "hushmark_operator_drift_repairs_total{kind=\"Ingress\"} 0",
        ] {
            assert!(page.contains(line), "{line} is there from the start\n{page}");
        }
        metrics.reconciled("Region", "ok", 0.02);
        metrics.queue_depth("Campaign", 3);
        metrics.object_written("Service", true);
        metrics.leader(true);
        let page = String::from_utf8(metrics.text()).unwrap();
        for line in [
            "hushmark_operator_reconciles_total{kind=\"Region\",result=\"ok\"} 1",
            "hushmark_operator_queue_depth{kind=\"Campaign\"} 3",
            "hushmark_operator_drift_repairs_total{kind=\"Service\"} 1",
            "hushmark_operator_leader 1",
            "hushmark_operator_reconcile_seconds_count{kind=\"Region\"} 1",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
    }
}

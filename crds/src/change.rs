//! What a change of a Region does to what runs. The operator's tests hold this against what it
//! builds, so that `kubectl hushmark plan` promises nothing else.

use std::fmt;

use crate::RegionSpec;

/// A part of the stack whose pods can be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Workload {
    /// The edges.
    Edge,
    /// The writers.
    Writer,
    /// The Redis that the operator runs.
    Redis,
    /// The ClickHouse that the operator runs.
    Clickhouse,
}

impl Workload {
    /// Every part.
    pub const ALL: [Self; 4] = [Self::Edge, Self::Writer, Self::Redis, Self::Clickhouse];

    /// The component's name, which its objects' names end with.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Writer => "writer",
            Self::Redis => "redis",
            Self::Clickhouse => "clickhouse",
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Edge => "the edges are replaced one after the other; no request is lost",
            Self::Writer => "the writers are replaced; hits wait in Redis meanwhile",
            Self::Redis => "Redis starts again; edges keep hits in their lane logs meanwhile",
            Self::Clickhouse => "ClickHouse starts again; hits wait in Redis meanwhile",
        })
    }
}

/// The parts whose pods a change replaces. The operator's own images and arguments are not looked
/// at: those change with its release.
#[must_use]
pub fn replaced(old: &RegionSpec, new: &RegionSpec) -> Vec<Workload> {
    let threads = |spec: &RegionSpec| spec.edge.as_ref().and_then(|edge| edge.threads);
    let redis = |spec: &RegionSpec| spec.redis.as_ref().and_then(|redis| redis.external.clone());
    // Another one outside, or that of ClickHouse's own operator, which replaces its pods itself.
    let clickhouse = |spec: &RegionSpec| {
        let store = spec.clickhouse.as_ref();
        store.map(|store| (store.external.clone(), store.cluster.is_some())).unwrap_or_default()
    };
    let is_ours = |spec: &RegionSpec| clickhouse(spec) == (None, false);
    let moved = old.node_selector != new.node_selector;
    let stores = (redis(old) != redis(new), clickhouse(old) != clickhouse(new));
    let edge = threads(old) != threads(new)
        || old.trusted_proxies != new.trusted_proxies
        || old.place_database != new.place_database
        || old.acknowledgement != new.acknowledgement
        || old.privacy_signals != new.privacy_signals
        || old.minimum_group != new.minimum_group
        || stores.0;
    let writer =
        old.epoch != new.epoch || old.minimum_group != new.minimum_group || stores.0 || stores.1;
    let is_replaced = |workload| match workload {
        Workload::Edge => edge || moved,
        Workload::Writer => writer || moved,
        Workload::Redis => moved && redis(new).is_none() && redis(old).is_none(),
        Workload::Clickhouse => moved && is_ours(new) && is_ours(old),
    };
    Workload::ALL.into_iter().filter(|workload| is_replaced(*workload)).collect()
}

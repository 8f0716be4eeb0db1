//! The kinds of places there are, and which of them a file is.

use std::path::Path;

use super::scene::Scene;

/// A kind of place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Log,
    Said,
    Record,
    LaneLog,
    AppendOnlyFile,
    Snapshot,
    RedisKey,
    Part,
    InactivePart,
    DetachedPart,
    Table,
    SystemTable,
    Metrics,
    Page,
    Report,
    /// Reports that name people, because who asks may know whom mail was sent to. Their addresses
    /// stand there as they are, and nothing else of them does.
    Naming,
    OtherFile,
}

impl Place {
    pub(super) const ALL: [Self; 17] = [
        Self::Log,
        Self::Said,
        Self::Record,
        Self::LaneLog,
        Self::AppendOnlyFile,
        Self::Snapshot,
        Self::RedisKey,
        Self::Part,
        Self::InactivePart,
        Self::DetachedPart,
        Self::Table,
        Self::SystemTable,
        Self::Metrics,
        Self::Page,
        Self::Report,
        Self::Naming,
        Self::OtherFile,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Log => "logs",
            Self::Said => "what commands said",
            Self::Record => "refusal log, audit log and receipts",
            Self::LaneLog => "lane logs and the edge's folder",
            Self::AppendOnlyFile => "append-only file",
            Self::Snapshot => "snapshot of Redis",
            Self::RedisKey => "keys of Redis",
            Self::Part => "active parts",
            Self::InactivePart => "inactive parts",
            Self::DetachedPart => "detached parts",
            Self::Table => "tables, as they are read",
            Self::SystemTable => "system tables",
            Self::Metrics => "metrics pages",
            Self::Page => "pages for recipients",
            Self::Report => "reports and exports",
            Self::Naming => "reports that name recipients",
            Self::OtherFile => "other files of the data folder",
        }
    }

    /// Which kind of place a file is. `inactive` are the folders of old parts.
    pub(super) fn of(scene: &Scene, path: &Path, inactive: &[&str]) -> Self {
        let under = |folder: &str| path.starts_with(scene.data().join(folder));
        let has = |part: &str| path.to_str().is_some_and(|path| path.contains(part));
        let part = path.parent().and_then(Path::to_str).unwrap_or_default();
        if has("/detached/") {
            Self::DetachedPart
        } else if inactive.iter().any(|one| part.ends_with(one) || one.ends_with(part)) {
            Self::InactivePart
        } else if under("clickhouse") && has("/store/") {
            Self::Part
        } else if under("redis/appendonlydir") {
            Self::AppendOnlyFile
        } else if under("redis") && has(".rdb") {
            Self::Snapshot
        } else if under("edge") || path.starts_with(scene.said().join("lane-logs")) {
            Self::LaneLog
        } else if under("refusals") || under("audit") || under("receipts") {
            Self::Record
        } else if under("logs") || under("up.log") {
            Self::Log
        } else if path.starts_with(scene.said()) {
            Self::Said
        } else {
            Self::OtherFile
        }
    }
}

-- What became of each erasure that the refusal log demands: n is its entry. A row of a table's name
-- is written before anything of that table goes, and says how much there was; the row without a
-- name is written last, once nothing is left in any part on the disk, and ends the erasure. All
-- measures are `max`, so that one that was cut short is done again and counts nothing twice.
-- Whoever publishes or reports asks here first: a ClickHouse that was restored from before an
-- erasure has no row of it.
CREATE TABLE IF NOT EXISTS erased
(
    n UInt64,
    name LowCardinality(String),
    rows SimpleAggregateFunction(max, UInt64),
    parts SimpleAggregateFunction(max, UInt64),
    position SimpleAggregateFunction(max, UInt64),
    at SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (n, name)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

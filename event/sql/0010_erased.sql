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

-- A part that was merged or rewritten stays for 45 seconds, by which time the system has the new one
-- on the disk, and goes soon after. By default it would be eight minutes, and as many more between
-- looks: an erasure has ended only when no old part is left.
ALTER TABLE hits MODIFY SETTING old_parts_lifetime = 45, cleanup_delay_period = 5, max_cleanup_delay_period = 10, cleanup_delay_period_random_add = 1;
ALTER TABLE counters MODIFY SETTING old_parts_lifetime = 45, cleanup_delay_period = 5, max_cleanup_delay_period = 10, cleanup_delay_period_random_add = 1;
ALTER TABLE sends MODIFY SETTING old_parts_lifetime = 45, cleanup_delay_period = 5, max_cleanup_delay_period = 10, cleanup_delay_period_random_add = 1;
ALTER TABLE campaigns MODIFY SETTING old_parts_lifetime = 45, cleanup_delay_period = 5, max_cleanup_delay_period = 10, cleanup_delay_period_random_add = 1;
ALTER TABLE published MODIFY SETTING old_parts_lifetime = 45, cleanup_delay_period = 5, max_cleanup_delay_period = 10, cleanup_delay_period_random_add = 1;
ALTER TABLE published_campaigns MODIFY SETTING old_parts_lifetime = 45, cleanup_delay_period = 5, max_cleanup_delay_period = 10, cleanup_delay_period_random_add = 1;
ALTER TABLE withdrawals MODIFY SETTING old_parts_lifetime = 45, cleanup_delay_period = 5, max_cleanup_delay_period = 10, cleanup_delay_period_random_add = 1;
ALTER TABLE consents MODIFY SETTING old_parts_lifetime = 45, cleanup_delay_period = 5, max_cleanup_delay_period = 10, cleanup_delay_period_random_add = 1;
ALTER TABLE policies MODIFY SETTING old_parts_lifetime = 45, cleanup_delay_period = 5, max_cleanup_delay_period = 10, cleanup_delay_period_random_add = 1;
ALTER TABLE enforced MODIFY SETTING old_parts_lifetime = 45, cleanup_delay_period = 5, max_cleanup_delay_period = 10, cleanup_delay_period_random_add = 1;
ALTER TABLE deliveries MODIFY SETTING old_parts_lifetime = 45, cleanup_delay_period = 5, max_cleanup_delay_period = 10, cleanup_delay_period_random_add = 1;
ALTER TABLE contacts MODIFY SETTING old_parts_lifetime = 45, cleanup_delay_period = 5, max_cleanup_delay_period = 10, cleanup_delay_period_random_add = 1;

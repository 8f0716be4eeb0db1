-- What is left of a campaign's recipient list once the campaign is completed: how many messages were
-- made, taken and refused, by day, and nobody. Rows are written before anything goes; the row
-- without an event is written last, says how many people were on the list, and ends the run. All
-- measures are `max`, so that a run that was cut short is done again and counts nothing twice.
CREATE TABLE IF NOT EXISTS completed
(
    tenant UInt64,
    campaign UInt64,
    run UInt64,
    event LowCardinality(String),
    day Date,
    messages SimpleAggregateFunction(max, UInt64),
    at SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (tenant, campaign, run, event, day)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 45, cleanup_delay_period = 5, max_cleanup_delay_period = 10, cleanup_delay_period_random_add = 1;

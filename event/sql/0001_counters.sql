-- Counters: one dimension a row, so that no row joins two things about a person.
-- The landing table keeps nothing; the view shapes what arrives. A ledger row (tenant 0, campaign
-- 0, dimension 'lane') rides in every insert and proves the whole part: see WIRE.md, "Cut and
-- ledger". There is no TTL: one daily run computes what is due and deletes what it announced.
CREATE TABLE IF NOT EXISTS counters
(
    tenant UInt64,
    campaign UInt64,
    kind Enum8('open' = 0, 'click' = 1),
    dimension LowCardinality(String),
    value String,
    month Date,
    raw SimpleAggregateFunction(sum, UInt64),
    human SimpleAggregateFunction(sum, UInt64),
    uniq_raw AggregateFunction(uniqCombined64Array(14), Array(UInt64)),
    uniq_human AggregateFunction(uniqCombined64Array(14), Array(UInt64)),
    last SimpleAggregateFunction(max, UInt64),
    position SimpleAggregateFunction(max, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY month
ORDER BY (tenant, campaign, kind, dimension, value, month)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS counters_in
(
    tenant UInt64,
    campaign UInt64,
    kind Enum8('open' = 0, 'click' = 1),
    dimension LowCardinality(String),
    value String,
    month Date,
    raw UInt64,
    human UInt64,
    people Array(UInt64),
    people_human Array(UInt64),
    last UInt64,
    position UInt64
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS counters_shape TO counters AS
SELECT
    tenant, campaign, kind, dimension, value, month,
    sum(i.raw) AS raw,
    sum(i.human) AS human,
    uniqCombined64ArrayState(14)(i.people) AS uniq_raw,
    uniqCombined64ArrayState(14)(i.people_human) AS uniq_human,
    max(i.last) AS last,
    max(i.position) AS position
FROM counters_in AS i
GROUP BY tenant, campaign, kind, dimension, value, month;

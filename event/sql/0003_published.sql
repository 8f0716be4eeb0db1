-- What an epoch shows. For `overall` and `anonymous` every way out reads these two tables and
-- nothing else. NULL is withheld. The three `at_` columns are the people who were counted
-- when a measure last changed; they steer the next epoch and are shown to nobody.
CREATE TABLE IF NOT EXISTS published
(
    tenant UInt64,
    campaign UInt64,
    kind Enum8('open' = 0, 'click' = 1),
    dimension LowCardinality(String),
    value String,
    epoch DateTime('UTC'),
    raw Nullable(UInt64),
    human Nullable(UInt64),
    uniq_raw Nullable(UInt64),
    uniq_human Nullable(UInt64),
    at_raw UInt64,
    at_human UInt64,
    at_between UInt64
)
ENGINE = ReplacingMergeTree(epoch)
ORDER BY (tenant, campaign, kind, dimension, value);

-- One row a campaign and kind: how it was counted. The row of tenant 0 and campaign 0 says when
-- the last epoch was.
CREATE TABLE IF NOT EXISTS published_campaigns
(
    tenant UInt64,
    campaign UInt64,
    kind Enum8('open' = 0, 'click' = 1),
    epoch DateTime('UTC'),
    epoch_seconds UInt32,
    mode Enum8('off' = 0, 'overall' = 1, 'anonymous' = 2, 'individual' = 3),
    uniques Enum8('none' = 0, 'sketch' = 1, 'exact' = 2),
    k UInt32,
    sent UInt64,
    rules Array(UInt16),
    position UInt64
)
ENGINE = ReplacingMergeTree(epoch)
ORDER BY (tenant, campaign, kind);

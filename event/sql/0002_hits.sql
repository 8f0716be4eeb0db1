-- Rows of `individual` hits, and of nothing else. Ledger rows ride along as in `counters`.
CREATE TABLE IF NOT EXISTS hits
(
    tenant UInt64,
    campaign UInt64,
    contact UInt64,
    at DateTime('UTC') CODEC(Delta, ZSTD),
    kind Enum8('open' = 0, 'click' = 1),
    link UInt16,
    verdict Enum8('human' = 0, 'apple_proxy' = 1, 'gmail_proxy' = 2, 'yahoo_proxy' = 3,
                  'scanner' = 4, 'prefetch' = 5, 'bot' = 6, 'unknown' = 7),
    rules UInt16,
    device LowCardinality(String),
    client LowCardinality(String),
    system LowCardinality(String),
    country LowCardinality(String),
    month Date,
    lane String,
    last UInt64,
    position UInt64
)
ENGINE = MergeTree
PARTITION BY month
ORDER BY (tenant, campaign, contact, at)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS hits_in AS hits ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS hits_shape TO hits AS SELECT * FROM hits_in;

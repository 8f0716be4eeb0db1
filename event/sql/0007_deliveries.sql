-- Whom a message was made for, and what the receiving server said of it, in every mode. Nothing in a
-- row tells one message from another: there is no mark, and no time but the day. A row of the same
-- day replaces the one before it, so that a word is taken back by the next.
CREATE TABLE IF NOT EXISTS deliveries
(
    tenant UInt64,
    campaign UInt64,
    contact UInt64,
    event Enum8('sent' = 0, 'delivered' = 1, 'failed' = 2),
    day Date
)
ENGINE = ReplacingMergeTree
PARTITION BY toStartOfMonth(day)
ORDER BY (tenant, campaign, contact, event != 'sent', day)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

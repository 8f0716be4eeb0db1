-- The writer's copy of the refusal log: entry n, byte for byte.
CREATE TABLE IF NOT EXISTS refusals
(
    n UInt64,
    entry String
)
ENGINE = ReplacingMergeTree
ORDER BY n;

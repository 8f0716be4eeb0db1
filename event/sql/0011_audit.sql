-- The writer's copy of a cluster's audit log: entry n, byte for byte. The last row of each insert has
-- the head that was signed at that length, so that the copy can be verified, and put back into Redis
-- when Redis has lost the log. Nothing here is about a recipient but keyed hashes.
CREATE TABLE IF NOT EXISTS audit
(
    n UInt64,
    entry String,
    head String
)
ENGINE = ReplacingMergeTree
ORDER BY n
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

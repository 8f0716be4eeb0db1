-- The day of a contact's last open, where opens are `lastOpenDay`, and nothing else: no campaign, no
-- verdict, no moment, no count. A later day overwrites an earlier one, and an earlier one that comes
-- late changes nothing: rows of a contact are merged into the one with the newest day, and what was
-- merged is off the disk within minutes. It is never partitioned: a day would stay in its partition.
CREATE TABLE IF NOT EXISTS last_opens
(
    tenant UInt64,
    contact UInt64,
    day SimpleAggregateFunction(max, Date)
)
ENGINE = AggregatingMergeTree
ORDER BY (tenant, contact)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 45, cleanup_delay_period = 5, max_cleanup_delay_period = 10, cleanup_delay_period_random_add = 1;

-- The mode has a number of its own wherever modes are written down.
ALTER TABLE campaigns MODIFY COLUMN opens Enum8('off' = 0, 'overall' = 1, 'anonymous' = 2, 'individual' = 3, 'lastOpenDay' = 4);
ALTER TABLE sends MODIFY COLUMN opens Enum8('off' = 0, 'overall' = 1, 'anonymous' = 2, 'individual' = 3, 'lastOpenDay' = 4);
ALTER TABLE published_campaigns MODIFY COLUMN mode Enum8('off' = 0, 'overall' = 1, 'anonymous' = 2, 'individual' = 3, 'lastOpenDay' = 4);

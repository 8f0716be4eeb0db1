-- Who ended a tenant's tracking of themselves, by the keyed hash of their address, when, and how it
-- came to the tenant. Their mail is not tracked any more.
CREATE TABLE IF NOT EXISTS withdrawals
(
    tenant UInt64,
    lookup FixedString(32),
    source String,
    at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant, lookup, at);

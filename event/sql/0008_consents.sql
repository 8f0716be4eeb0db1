-- Who agreed to be tracked by a tenant, by the keyed hash of their address, when, and how it came to
-- the tenant. A withdrawal outweighs it, whichever came first.
CREATE TABLE IF NOT EXISTS consents
(
    tenant UInt64,
    lookup FixedString(32),
    source String,
    at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant, lookup, at);

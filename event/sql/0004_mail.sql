-- Campaigns as their manifests say, so that the publisher knows modes and declared recipients.
CREATE TABLE IF NOT EXISTS campaigns
(
    tenant UInt64,
    campaign UInt64,
    namespace String,
    name String,
    mail_type Enum8('campaign' = 0, 'transactional' = 1),
    opens Enum8('off' = 0, 'overall' = 1, 'anonymous' = 2, 'individual' = 3),
    clicks Enum8('off' = 0, 'overall' = 1, 'anonymous' = 2, 'individual' = 3),
    declared Nullable(UInt64),
    at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(at)
ORDER BY (tenant, campaign);

-- One row a stamping: how many messages left, and how they were tracked. Never to whom.
CREATE TABLE IF NOT EXISTS sends
(
    tenant UInt64,
    campaign UInt64,
    run UInt64,
    at DateTime64(3, 'UTC'),
    messages UInt64,
    opens Enum8('off' = 0, 'overall' = 1, 'anonymous' = 2, 'individual' = 3),
    clicks Enum8('off' = 0, 'overall' = 1, 'anonymous' = 2, 'individual' = 3)
)
ENGINE = ReplacingMergeTree(at)
ORDER BY (tenant, campaign, run);

-- Contacts of `individual` mail: a random id beside the sealed address. `lookup` is a keyed hash.
CREATE TABLE IF NOT EXISTS contacts
(
    tenant UInt64,
    lookup FixedString(32),
    contact UInt64,
    sealed String,
    at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(at)
ORDER BY (tenant, lookup);

-- What the policies of a campaign come to, as its manifests say: after so many days each; 0 is
-- never. Whoever reads the tables can tell what is overdue.
CREATE TABLE IF NOT EXISTS policies
(
    tenant UInt64,
    campaign UInt64,
    rows_days UInt16,
    place_days UInt16,
    hour_days UInt16,
    client_days UInt16,
    counters_days UInt16,
    held Bool,
    at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(at)
ORDER BY (tenant, campaign);

-- What enforcing a plan took of a campaign: evidence, and the sign to publish it anew.
CREATE TABLE IF NOT EXISTS enforced
(
    tenant UInt64,
    campaign UInt64,
    plan FixedString(32),
    step LowCardinality(String),
    at DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (tenant, campaign, at);

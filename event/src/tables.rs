//! The numbered SQL of everything in ClickHouse. The writer applies it; nothing else changes the
//! schema. A number is given once: what it did is never edited, a later number changes it.

/// One numbered step. Every statement in it is idempotent, so that a step that was cut short is
/// simply done again.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its place in the sequence, from 1 without gaps.
    pub number: u32,
    /// What it brings.
    pub name: &'static str,
    /// The statements, each ended by a semicolon at the end of a line.
    sql: &'static str,
}

impl Migration {
    /// The statements, without their semicolons and comments.
    pub fn statements(&self) -> impl Iterator<Item = String> + use<> {
        let code: Vec<&str> =
            self.sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
        let statements: Vec<String> = code
            .join("\n")
            .split(";\n")
            .map(|text| text.trim().trim_end_matches(';').to_owned())
            .filter(|text| !text.is_empty())
            .collect();
        statements.into_iter()
    }
}

/// Records which steps were applied. It exists before the first of them.
pub const SCHEMA_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_steps \
    (number UInt32, name String, at DateTime64(3, 'UTC') DEFAULT now64(3)) \
    ENGINE = ReplacingMergeTree(at) ORDER BY number";

/// Every step, in order.
pub const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "counters", sql: include_str!("../sql/0001_counters.sql") },
    Migration { number: 2, name: "hits", sql: include_str!("../sql/0002_hits.sql") },
    Migration { number: 3, name: "published", sql: include_str!("../sql/0003_published.sql") },
    Migration { number: 4, name: "mail", sql: include_str!("../sql/0004_mail.sql") },
    Migration { number: 5, name: "refusals", sql: include_str!("../sql/0005_refusals.sql") },
    Migration { number: 6, name: "withdrawals", sql: include_str!("../sql/0006_withdrawals.sql") },
    Migration { number: 7, name: "deliveries", sql: include_str!("../sql/0007_deliveries.sql") },
    Migration { number: 8, name: "consents", sql: include_str!("../sql/0008_consents.sql") },
    Migration { number: 9, name: "retention", sql: include_str!("../sql/0009_retention.sql") },
    Migration { number: 10, name: "erased", sql: include_str!("../sql/0010_erased.sql") },
    Migration { number: 11, name: "audit", sql: include_str!("../sql/0011_audit.sql") },
    Migration { number: 12, name: "completed", sql: include_str!("../sql/0012_completed.sql") },
    Migration { number: 13, name: "last_opens", sql: include_str!("../sql/0013_last_opens.sql") },
];

/// The table of last opens. It is no [`Target`] of its own: a row that is stored again changes nothing,
/// so that it needs no ledger, and a cut without such rows costs no insert.
pub const LAST_OPENS: &str = "last_opens";

/// The two tables that hits land in, each repeatable without the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// Counters and sketches of all modes.
    Counters,
    /// Rows of `individual`.
    Hits,
}

impl Target {
    /// Both, in the order in which a cut is sent.
    pub const ALL: [Self; 2] = [Self::Counters, Self::Hits];

    /// The table that keeps the data.
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::Counters => "counters",
            Self::Hits => "hits",
        }
    }

    /// The Null table that inserts go to.
    #[must_use]
    pub const fn landing(self) -> &'static str {
        match self {
            Self::Counters => "counters_in",
            Self::Hits => "hits_in",
        }
    }

    /// The column that holds a ledger row's lane.
    #[must_use]
    pub const fn lane_column(self) -> &'static str {
        match self {
            Self::Counters => "value",
            Self::Hits => "lane",
        }
    }

    /// Asks for the highest number stored of every lane: the whole ledger of this target.
    #[must_use]
    pub fn ledger_query(self) -> String {
        let (lane, table) = (self.lane_column(), self.table());
        // Counted drops and voids are nobody's, too.
        let only = match self {
            Self::Counters => " AND dimension = 'lane'",
            Self::Hits => "",
        };
        format!(
            "SELECT {lane} AS lane, max(last) AS last FROM {table} \
             WHERE tenant = 0 AND campaign = 0{only} GROUP BY lane ORDER BY lane"
        )
    }

    /// Asks for the longest refusal log that anything of this target was filtered by.
    #[must_use]
    pub fn position_query(self) -> String {
        format!("SELECT max(position) FROM {} WHERE tenant = 0 AND campaign = 0", self.table())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_without_gaps_and_hold_statements() {
        for (i, step) in MIGRATIONS.iter().enumerate() {
            assert_eq!(step.number as usize, i + 1);
            let statements: Vec<String> = step.statements().collect();
            assert!(!statements.is_empty());
            let can_be_repeated = |s: &String| {
                let alters = [" MODIFY SETTING ", " MODIFY COLUMN "].map(|how| s.contains(how));
                s.starts_with("CREATE") || s.starts_with("ALTER") && alters.contains(&true)
            };
            assert!(statements.iter().all(|s| can_be_repeated(s) && !s.contains(';')));
        }
    }
}

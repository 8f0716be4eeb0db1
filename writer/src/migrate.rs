//! The schema: numbered steps, applied by the writer alone.

use clickhouse::Client;
use hushmark_event::tables::{MIGRATIONS, SCHEMA_TABLE};

use crate::store::StoreError;

/// Why the schema is not as this writer needs it.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A newer program was here. Nothing is touched.
    #[error(
        "clickhouse has schema step {found}, this writer knows steps up to {known}: start the \
         writer that applied it, or a newer one"
    )]
    Newer {
        /// The highest step applied.
        found: u32,
        /// The highest step known.
        known: u32,
    },
    /// A statement was not executed.
    #[error("schema step {step} ({name}): {source}")]
    Step {
        /// Which step.
        step: u32,
        /// Its name.
        name: &'static str,
        /// What came back.
        source: StoreError,
    },
    /// The steps applied so far are not known.
    #[error("schema steps cannot be read: {0}")]
    Unknown(StoreError),
}

/// Applies every step that is not recorded. A step that was cut short is done again, statement by
/// statement: each is idempotent.
///
/// # Errors
/// [`MigrateError::Newer`] is final; the others may pass.
pub async fn migrate(client: &Client) -> Result<(), MigrateError> {
    let unknown = |error: clickhouse::error::Error| MigrateError::Unknown(error.into());
    client.query_raw(SCHEMA_TABLE).execute().await.map_err(unknown)?;
    let applied: Vec<u32> = client
        .query_raw("SELECT DISTINCT number FROM schema_steps ORDER BY number")
        .fetch_all()
        .await
        .map_err(unknown)?;
    let known = MIGRATIONS.last().map_or(0, |step| step.number);
    let found = applied.last().copied().unwrap_or(0);
    if found > known {
        return Err(MigrateError::Newer { found, known });
    }
    for step in MIGRATIONS.iter().filter(|step| !applied.contains(&step.number)) {
        let failed = |error: clickhouse::error::Error| MigrateError::Step {
            step: step.number,
            name: step.name,
            source: error.into(),
        };
        for statement in step.statements() {
            client.query_raw(&statement).execute().await.map_err(failed)?;
        }
        // The name is one of ours: letters only.
        let record = format!(
            "INSERT INTO schema_steps (number, name) VALUES ({}, '{}')",
            step.number, step.name
        );
        client.query_raw(&record).execute().await.map_err(failed)?;
        tracing::info!(step = step.number, name = step.name, "schema step applied");
    }
    Ok(())
}

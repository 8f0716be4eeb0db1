//! ClickHouse as the writer sees it: look-ups and sends on one connection, every failure sorted
//! into the few kinds that ask for different deeds.

use std::time::Duration;

use clickhouse::error::Error as ClientError;
use clickhouse::{Client, Compression, Row};
use hushmark_event::tables::Target;
use hushmark_event::{Cut, Lane};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::failpoints;
use crate::once;

/// Time for a look-up.
const QUERY_TIME: Duration = Duration::from_secs(30);

/// Time for one chunk of an insert to be taken.
const SEND_TIME: Duration = Duration::from_secs(30);

/// Time for an insert to be answered once it was sent.
const END_TIME: Duration = Duration::from_secs(120);

/// Rows above which ClickHouse would split an insert into two blocks, and so into two parts: more
/// than ten times the records of a cut, which is what they can become.
pub const BLOCK_ROWS: u64 = 4_000_000;

/// Bytes above which it would; far above what [`BLOCK_ROWS`] rows of a cut take.
const BLOCK_BYTES: u64 = 4 << 30;

/// Where ClickHouse is and who asks.
#[derive(Clone)]
pub struct Address {
    /// `http://host:port` or `https://host:port`, perhaps with `?database=`.
    pub url: String,
    /// What TLS needs, for `https://` alone.
    pub tls: Option<hushmark_hop::Files>,
    /// The user, where one is needed.
    pub user: Option<String>,
    /// The password, where one is needed.
    pub password: Option<zeroize::Zeroizing<String>>,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No answer, or none that is ClickHouse's: what was sent may or may not be stored.
    #[error("clickhouse did not answer: {0}")]
    Lost(String),
    /// The same insert still runs on the server.
    #[error("clickhouse still runs this insert")]
    Running,
    /// The data itself was refused: sending it again cannot help.
    #[error("clickhouse refused the data: {0}")]
    Data(String),
    /// Refused for a reason that may pass.
    #[error("clickhouse refused for now: {0}")]
    Refused(String),
}

/// ClickHouse's error codes that say that the rows are wrong, not the moment. Everything else is
/// repeated for ever, because a full disk or a missing right must not bury data.
const DATA_CODES: [u32; 17] =
    [6, 26, 27, 33, 34, 38, 41, 53, 69, 70, 72, 117, 128, 131, 321, 469, 691];

/// The code of a repeat that was refused because the first still runs.
const QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING: u32 = 216;

impl From<ClientError> for StoreError {
    fn from(error: ClientError) -> Self {
        let ClientError::BadResponse(text) = &error else {
            return Self::Lost(in_full(&error));
        };
        match code_of(text) {
            Some(QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING) => Self::Running,
            Some(code) if DATA_CODES.contains(&code) => Self::Data(text.clone()),
            Some(_) => Self::Refused(text.clone()),
            None => Self::Lost(text.clone()),
        }
    }
}

/// The number in `Code: 60. DB::Exception: …`.
#[must_use]
pub fn code_of(text: &str) -> Option<u32> {
    let digits = text.trim_start().strip_prefix("Code:")?.trim_start();
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// An error with its causes, because the outermost says only "network error".
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl Address {
    fn dress(&self, client: Client) -> Client {
        let mut client =
            client.with_url(&self.url).with_compression(Compression::None).with_validation(false);
        if let Some(user) = &self.user {
            client = client.with_user(user);
        }
        if let Some(password) = &self.password {
            client = client.with_password(password.as_str());
        }
        client
    }

    /// A client with an ordinary pool, for everything that may be repeated.
    #[must_use]
    pub fn client(&self) -> Client {
        self.dress(match &self.tls {
            None => Client::default(),
            Some(files) => once::pool(files.clone()),
        })
    }

    /// One connection that is never reopened.
    ///
    /// # Errors
    /// When the URL names no host.
    pub fn connect(&self) -> Result<Connection, StoreError> {
        let uri: hyper::Uri = self
            .url
            .parse()
            .map_err(|error| StoreError::Lost(format!("{} is no URL: {error}", self.url)))?;
        if uri.host().is_none() {
            return Err(StoreError::Lost(format!("{} names no host", self.url)));
        }
        Ok(Connection { client: self.dress(once::client(self.tls.clone())) })
    }
}

/// One connection to ClickHouse. After any error it is dropped, never used again.
pub struct Connection {
    client: Client,
}

#[derive(Row, Deserialize)]
struct LedgerRow {
    lane: String,
    last: u64,
}

impl Connection {
    /// Asks a target up to where it holds every lane.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ledger(&self, target: Target) -> Result<Vec<(Lane, u64)>, StoreError> {
        if failpoints::off("ledger") {
            return Ok(Vec::new());
        }
        let query = self.client.query_raw(&target.ledger_query());
        let rows: Vec<LedgerRow> = timeout(QUERY_TIME, query.fetch_all())
            .await
            .map_err(|_| StoreError::Lost("no answer to a look-up in 30 s".into()))??;
        rows.into_iter()
            .map(|row| match row.lane.parse() {
                Ok(lane) => Ok((lane, row.last)),
                Err(_) => Err(StoreError::Refused(format!("the ledger names {:?}", row.lane))),
            })
            .collect()
    }

    /// Asks a target for the longest refusal log that anything in it was filtered by.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn position(&self, target: Target) -> Result<u64, StoreError> {
        let query = self.client.query_raw(&target.position_query());
        let asked = timeout(QUERY_TIME, query.fetch_one()).await;
        Ok(asked.map_err(|_| StoreError::Lost("no answer to a look-up in 30 s".into()))??)
    }

    /// Sends one target's rows of a cut as one block, which makes one part, under the
    /// token of this `round`.
    ///
    /// That it was answered does not prove that it is stored: a server that died between its note
    /// of the token and the part leaves a token that it takes for a repeat ever after.
    ///
    /// # Errors
    /// [`StoreError`]; after anything but [`StoreError::Data`] the ledger must be asked.
    pub async fn insert<R>(
        &self,
        target: Target,
        cut: &Cut,
        round: u32,
        rows: &[R],
    ) -> Result<(), StoreError>
    where
        R: Row + Serialize + for<'a> Row<Value<'a> = R>,
    {
        let mut insert = self
            .client
            .insert::<R>(target.landing())
            .await?
            .with_timeouts(Some(SEND_TIME), Some(END_TIME))
            .with_setting("async_insert", "0")
            .with_setting("max_insert_threads", "1")
            .with_setting("input_format_parallel_parsing", "0")
            .with_setting("max_insert_block_size", BLOCK_ROWS.to_string())
            .with_setting("min_insert_block_size_rows", BLOCK_ROWS.to_string())
            .with_setting("min_insert_block_size_bytes", BLOCK_BYTES.to_string())
            .with_setting(
                "min_insert_block_size_rows_for_materialized_views",
                BLOCK_ROWS.to_string(),
            )
            .with_setting(
                "min_insert_block_size_bytes_for_materialized_views",
                BLOCK_BYTES.to_string(),
            );
        insert = if failpoints::off("token") {
            // Without a token a server still compares blocks by their bytes.
            insert.with_setting("deduplicate_insert", "disable")
        } else {
            let token = cut.token(target.table(), round);
            insert
                .with_setting("insert_deduplicate", "1")
                .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
                .with_setting("insert_deduplication_token", token.clone())
                .with_setting("query_id", token)
        };
        for row in rows {
            insert.write(row).await?;
        }
        insert.end().await?;
        Ok(())
    }

    /// Sends rows that may be stored more than once, under no token; nothing where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_again<R>(&self, table: &str, rows: &[R]) -> Result<(), StoreError>
    where
        R: Row + Serialize + for<'a> Row<Value<'a> = R>,
    {
        if rows.is_empty() {
            return Ok(());
        }
        let insert = self.client.insert::<R>(table).await?;
        let mut insert = insert
            .with_timeouts(Some(SEND_TIME), Some(END_TIME))
            .with_setting("async_insert", "0")
            .with_setting("deduplicate_insert", "disable");
        for row in rows {
            insert.write(row).await?;
        }
        insert.end().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_from_silence_and_data_from_the_moment() {
        let sort = |text: &str| StoreError::from(ClientError::BadResponse(text.into()));
        assert!(matches!(sort("Code: 216. DB::Exception: running"), StoreError::Running));
        assert!(matches!(sort("Code: 469. DB::Exception: constraint"), StoreError::Data(_)));
        assert!(matches!(sort("Code: 252. DB::Exception: parts"), StoreError::Refused(_)));
        assert!(matches!(sort("502 Bad Gateway"), StoreError::Lost(_)));
        assert!(matches!(StoreError::from(ClientError::TimedOut), StoreError::Lost(_)));
    }
}

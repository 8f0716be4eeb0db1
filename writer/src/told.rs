//! What this writer says of itself in Redis: which schema it knows, and what keeps it from storing.
//! Whoever explains the stack to people reads it there, because nobody but the writer has a client
//! of ClickHouse.

use std::sync::Arc;
use std::time::Duration;

use hushmark_event::redis_keys::writer_told;
use hushmark_event::tables::MIGRATIONS;
use hushmark_event::told::{Trouble, WriterTold};
use redis::RedisError;
use tokio::time::sleep;

use crate::admin::Status;
use crate::redis_at::RedisAt;

/// How often it is said again.
const BEAT: Duration = Duration::from_secs(5);

/// How long it stands: three times as long as it takes to the next one.
const LIFE_SECONDS: u64 = 15;

/// How long the last words of one that ends stand: longer than the longest pause before the kubelet
/// starts it again.
const LAST_WORDS_SECONDS: u64 = 330;

/// What ClickHouse says may be long; its beginning says what it is.
const LONGEST: usize = 600;

/// Trouble with ClickHouse in as many words as a condition has room for.
#[must_use]
pub fn clickhouse(error: &dyn std::error::Error) -> Trouble {
    let mut text = error.to_string();
    if let Some((at, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(at);
    }
    Trouble::Clickhouse(text)
}

/// Says it again and again, and at once when it changes, until it is dropped.
pub async fn run(redis: RedisAt, status: Arc<Status>) {
    let mut trouble = status.trouble.subscribe();
    loop {
        let now = trouble.borrow_and_update().clone();
        if let Err(error) = say(&redis, now, LIFE_SECONDS).await {
            tracing::debug!(%error, "redis was not told how this writer is");
        }
        tokio::select! {
            // The sender lives as long as the status does.
            _ = trouble.changed() => {}
            () = sleep(BEAT) => {}
        }
    }
}

/// What one says that ends because of it.
pub async fn last_words(redis: &RedisAt, trouble: Trouble) {
    if let Err(error) = say(redis, Some(trouble), LAST_WORDS_SECONDS).await {
        tracing::warn!(%error, "redis was not told why this writer ends");
    }
}

async fn say(redis: &RedisAt, trouble: Option<Trouble>, seconds: u64) -> Result<(), RedisError> {
    let pod = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let schema = MIGRATIONS.last().map_or(0, |step| step.number);
    let key = writer_told(&pod);
    let told = serde_json::to_string(&WriterTold { pod, schema, trouble });
    let told = told.expect("text and numbers always serialise");
    let mut redis = redis.connect().await?;
    redis::cmd("SET").arg(key).arg(told).arg("EX").arg(seconds).query_async(&mut redis).await
}

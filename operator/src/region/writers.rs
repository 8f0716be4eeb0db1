//! What the writers say of ClickHouse, which nobody else here has a client of. Read from Redis, and
//! judged; the judgement is pure.

use hushmark_crds::RegionStatus;
use hushmark_event::redis_keys::WRITER_TOLD_PREFIX;
use hushmark_event::told::{Trouble, WriterTold};

use super::validate::{Store, ValidatedRegion};
use crate::conditions::{SCHEMA_IN_SYNC, Status, Wanted};
use crate::{Context, Error};

/// How many keys a step of the search looks at: all of them, but for very many lanes.
const AT_ONCE: usize = 1_000;

/// What the writers said last; nothing while Redis cannot be asked.
pub(super) async fn ask(ctx: &Context) -> Option<Vec<WriterTold>> {
    match read(ctx).await {
        Ok(told) => Some(told),
        Err(error) => {
            ctx.redis.failed().await;
            tracing::debug!(%error, "it is not known how the writers are");
            None
        }
    }
}

async fn read(ctx: &Context) -> Result<Vec<WriterTold>, Error> {
    let mut redis = ctx.redis.connection().await?;
    let failed = || Error::redis("ask how the writers are");
    let (mut told, mut cursor) = (Vec::new(), 0_u64);
    loop {
        let (next, keys): (u64, Vec<String>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg(&["MATCH", &format!("{WRITER_TOLD_PREFIX}*"), "COUNT"])
            .arg(AT_ONCE)
            .query_async(&mut redis)
            .await
            .map_err(failed())?;
        for key in keys {
            let said: Option<Vec<u8>> =
                redis::cmd("GET").arg(key).query_async(&mut redis).await.map_err(failed())?;
            // A newer writer may say more than is known here.
            told.extend(said.and_then(|said| serde_json::from_slice::<WriterTold>(&said).ok()));
        }
        cursor = next;
        if cursor == 0 {
            told.sort_by(|a, b| a.pod.cmp(&b.pod));
            return Ok(told);
        }
    }
}

/// Whether every writer knows the schema that ClickHouse has. What cannot be asked stays as it was
/// said last.
pub(super) fn schema_in_sync(told: Option<&[WriterTold]>, before: &RegionStatus) -> Wanted {
    let of = |status, reason, message| Wanted::new(SCHEMA_IN_SYNC, status, reason, message);
    let Some(told) = told else {
        return last_said(before).unwrap_or_else(|| {
            of(Status::Unknown, "RedisAway", "redis, where writers say it, is away".to_owned())
        });
    };
    let newer = told.iter().find_map(|writer| match &writer.trouble {
        Some(Trouble::NewerSchema(step)) => Some((writer, step)),
        _ => None,
    });
    if let Some((WriterTold { pod, schema, .. }, step)) = newer {
        let message = format!(
            "clickhouse has schema step {step}, and the writer {pod} knows steps up to {schema}: it \
             stores nothing, and hits wait in redis. Upgrade the release to the version that \
             brought step {step}, or a newer one"
        );
        return of(Status::False, "NewerThanWriter", message);
    }
    let working = told.iter().filter(|writer| writer.trouble.is_none());
    match working.map(|writer| writer.schema).max() {
        Some(step) => of(Status::True, "InSync", format!("step {step}")),
        None => of(Status::Unknown, "NotTold", "no writer has said it yet".to_owned()),
    }
}

fn last_said(before: &RegionStatus) -> Option<Wanted> {
    let last = before.conditions.iter().find(|condition| condition.type_ == SCHEMA_IN_SYNC)?;
    let (status, reason) = match last.reason.as_str() {
        "NewerThanWriter" => (Status::False, "NewerThanWriter"),
        "InSync" => (Status::True, "InSync"),
        _ => return None,
    };
    Some(Wanted::new(SCHEMA_IN_SYNC, status, reason, last.message.clone()))
}

/// What a writer says against ClickHouse, and where a person looks.
pub(super) fn clickhouse_trouble(told: &[WriterTold], region: &ValidatedRegion) -> Option<String> {
    let said = told.iter().find_map(|writer| match &writer.trouble {
        Some(Trouble::Clickhouse(said)) => Some(format!("the writer {} says: {said}", writer.pod)),
        _ => None,
    })?;
    Some(match &region.clickhouse {
        Store::Managed => format!("{said}. Hits wait in redis; see clickhouse's pod"),
        Store::External(at) => format!(
            "{said}. Hits wait in redis; see that {}:{} runs, and that the Secret of \
             spec.clickhouse.external has the url, user and password of one who may create tables \
             there",
            at.host, at.port
        ),
    })
}

#[cfg(test)]
mod tests;

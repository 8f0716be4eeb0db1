//! The refusal log in Redis: read, looked at, appended to, put back.

use std::sync::LazyLock;

use ed25519_dalek::SigningKey;
use hushmark_event::redis_keys::{ASKS, REFUSAL_FIELD, REFUSALS, REFUSALS_HEAD};
use hushmark_event::refusal::{Journal, LogError, RefusalLog, SignedHead};
use redis::aio::MultiplexedConnection;
use redis::streams::StreamRangeReply;
use redis::{Script, cmd};

use super::Known;
use crate::Error;

/// Entries that are read or written at once; at 8 KiB each at most, 4 MiB.
const AT_ONCE: usize = 512;

/// Requests that are taken at once; the rest waits for the next round.
const ASKS_AT_ONCE: usize = 100;

/// Appends entries and sets the head that covers them, if the log is as long as ARGV[1] says, head
/// and stream alike. The stream may hold nothing at all where the length is zero.
static APPEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local head = redis.call('GET', KEYS[2]) \
         local length = head and cjson.decode(head).length or 0 \
         local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1) \
         local top = last[1] and last[1][1] or '0-0' \
         if length ~= tonumber(ARGV[1]) or top ~= ARGV[1] .. '-0' then return 0 end \
         for i = 4, #ARGV do \
           redis.call('XADD', KEYS[1], string.format('%d-0', length + i - 3), ARGV[3], ARGV[i]) \
         end \
         redis.call('SET', KEYS[2], ARGV[2]) \
         return 1",
    )
});

/// Sets the head only over a shorter one, or over none.
static RAISE_HEAD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local now = redis.call('GET', KEYS[1]) \
         if now and cjson.decode(now).length >= tonumber(ARGV[1]) then return 0 end \
         redis.call('SET', KEYS[1], ARGV[2]) return 1",
    )
});

/// What Redis shows at a glance.
pub(super) struct Look {
    head: Option<SignedHead>,
    /// The number of the stream's last entry.
    pub(super) top: u64,
    /// Requests: id and text.
    pub(super) asks: Vec<(String, Option<String>)>,
}

/// What Redis shows, held against what is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Same,
    Shorter,
    Longer,
    Other,
}

impl Look {
    pub(super) fn compare(&self, log: &RefusalLog) -> Standing {
        let length = log.length();
        match &self.head {
            Some(head) if head.length > length => Standing::Longer,
            _ if self.top > length => Standing::Longer,
            Some(head) if head.length == length && head.hash != log.hash() => Standing::Other,
            Some(head) if head.length == length && self.top == length => Standing::Same,
            _ => Standing::Shorter,
        }
    }
}

fn number(id: &str) -> Option<u64> {
    id.strip_suffix("-0")?.parse().ok()
}

fn unusable(error: &LogError) -> Error {
    Error::Refusals(error.to_string())
}

async fn head(redis: &mut MultiplexedConnection) -> Result<Option<SignedHead>, Error> {
    let shown: Option<Vec<u8>> = cmd("GET")
        .arg(REFUSALS_HEAD)
        .query_async(redis)
        .await
        .map_err(Error::redis("read the refusal log's head"))?;
    shown.map(|bytes| parse_head(&bytes)).transpose()
}

fn parse_head(bytes: &[u8]) -> Result<SignedHead, Error> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::Refusals(format!("its head in redis cannot be read: {error}")))
}

/// Reads the whole log and verifies it: the chain, the head's signature, and that it continues what
/// the Region's status names.
pub(super) async fn load(
    redis: &mut MultiplexedConnection,
    key: &SigningKey,
    known: &Known,
) -> Result<Journal, Error> {
    let shown = head(redis).await?;
    let length = shown.as_ref().map_or(0, |head| head.length);
    if length < known.length {
        return Err(Error::Refusals(format!(
            "redis shows {length} entries, and the Region's status names {}: waiting for an edge \
             or the writer to put its copy back; if none has one, restore redis from its volume",
            known.length
        )));
    }
    let mut journal = Journal::default();
    loop {
        let next = journal.log().length() + 1;
        let found: StreamRangeReply = cmd("XRANGE")
            .arg(REFUSALS)
            .arg(format!("{next}-0"))
            .arg(&["+", "COUNT"])
            .arg(AT_ONCE)
            .query_async(redis)
            .await
            .map_err(Error::redis("read the refusal log"))?;
        if found.ids.is_empty() {
            break;
        }
        for entry in found.ids {
            take(&mut journal, number(&entry.id), entry.get(REFUSAL_FIELD), length, known)?;
        }
    }
    match shown {
        Some(head) if head.length == journal.log().length() => {
            journal.log().verify_head(&head, &key.verifying_key()).map_err(|e| unusable(&e))?;
        }
        Some(head) => {
            return Err(Error::Refusals(format!(
                "redis shows {} of {} entries: waiting for the rest to be put back",
                journal.log().length(),
                head.length
            )));
        }
        // An edge answers only once it has seen a head, be it of nothing.
        None => {
            append(redis, 0, &[], &journal.log().sign_head(key)).await?;
        }
    }
    Ok(journal)
}

fn take(
    journal: &mut Journal,
    number: Option<u64>,
    bytes: Option<Vec<u8>>,
    length: u64,
    known: &Known,
) -> Result<(), Error> {
    if number.is_none_or(|n| n > length) {
        return Err(Error::Refusals(
            "redis shows entries that no signed head covers: waiting for the head; if it does not \
             come, somebody else wrote them, and redis has to be restored from its volume"
                .into(),
        ));
    }
    journal.take(&bytes.unwrap_or_default()).map_err(|e| unusable(&e))?;
    if journal.log().length() == known.length && journal.log().hash() != known.hash {
        return Err(Error::Refusals(
            "redis shows another log than the one that the Region's status names: restore redis \
             from its volume, or make a new Region"
                .into(),
        ));
    }
    Ok(())
}

/// Head, last entry and requests in one round trip.
pub(super) async fn look(redis: &mut MultiplexedConnection) -> Result<Look, Error> {
    let mut pipe = redis::pipe();
    pipe.cmd("GET").arg(REFUSALS_HEAD);
    pipe.cmd("XREVRANGE").arg(REFUSALS).arg(&["+", "-", "COUNT", "1"]);
    pipe.cmd("XRANGE").arg(ASKS).arg(&["-", "+", "COUNT"]).arg(ASKS_AT_ONCE);
    let (head, last, asks): (Option<Vec<u8>>, StreamRangeReply, StreamRangeReply) =
        pipe.query_async(redis).await.map_err(Error::redis("look at the refusal log"))?;
    let head = head.map(|bytes| parse_head(&bytes)).transpose()?;
    let top = last.ids.first().map_or(Some(0), |entry| number(&entry.id));
    let top = top.ok_or_else(|| Error::Refusals("its last entry in redis has no number".into()))?;
    let asks = asks.ids.into_iter().map(|ask| (ask.id.clone(), ask.get(REFUSAL_FIELD))).collect();
    Ok(Look { head, top, asks })
}

/// Appends entries under their head if the log is `length` long; tells whether it was.
pub(super) async fn append(
    redis: &mut MultiplexedConnection,
    length: u64,
    entries: &[Vec<u8>],
    head: &SignedHead,
) -> Result<bool, Error> {
    let mut call = APPEND.key(REFUSALS);
    call.key(REFUSALS_HEAD).arg(length).arg(encode(head)).arg(REFUSAL_FIELD);
    entries.iter().for_each(|entry| {
        call.arg(entry);
    });
    let appended: i64 =
        call.invoke_async(redis).await.map_err(Error::redis("append to the refusal log"))?;
    Ok(appended == 1)
}

/// Puts back what Redis lost: entries first, then the head.
pub(super) async fn put_back(
    redis: &mut MultiplexedConnection,
    journal: &Journal,
    key: &SigningKey,
    top: u64,
) -> Result<(), Error> {
    let skip = usize::try_from(top).unwrap_or(usize::MAX);
    let lost: Vec<_> = (1u64..).zip(journal.entries()).skip(skip).collect();
    for part in lost.chunks(AT_ONCE) {
        let mut pipe = redis::pipe();
        for (n, entry) in part {
            pipe.cmd("XADD").arg(REFUSALS).arg(format!("{n}-0")).arg(REFUSAL_FIELD).arg(entry);
            pipe.ignore();
        }
        // One that is there already is refused: an edge was quicker with the same entry. The next
        // look tells.
        let put: redis::RedisResult<()> = pipe.query_async(redis).await;
        if let Err(error) = put
            && error.is_io_error()
        {
            return Err(Error::redis("put the refusal log back")(error));
        }
    }
    let head = journal.log().sign_head(key);
    let mut call = RAISE_HEAD.key(REFUSALS_HEAD);
    call.arg(head.length).arg(encode(&head));
    let raised: i64 =
        call.invoke_async(redis).await.map_err(Error::redis("put the refusal log's head back"))?;
    if raised == 1 || !lost.is_empty() {
        tracing::warn!(from = top, to = head.length, "put the refusal log back into redis");
    }
    Ok(())
}

/// Takes requests out of their stream.
pub(super) async fn take_out(
    redis: &mut MultiplexedConnection,
    ids: &[String],
) -> Result<(), Error> {
    cmd("XDEL")
        .arg(ASKS)
        .arg(ids)
        .query_async::<()>(redis)
        .await
        .map_err(Error::redis("take requests to the refusal log out"))
}

fn encode(head: &SignedHead) -> Vec<u8> {
    serde_json::to_vec(head).expect("numbers and text always serialise")
}

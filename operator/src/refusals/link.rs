//! Both logs in Redis: read, looked at, appended to, put back.

use std::sync::LazyLock;

use ed25519_dalek::SigningKey;
use hushmark_event::audit::{Audit, AuditJournal, Ended};
use hushmark_event::chain::{Log, SignedHead};
use hushmark_event::redis_keys::{
    ASKS, AUDIT, AUDIT_HEAD, ERASED, QUESTION_FIELD, REFUSAL_FIELD, REFUSALS, REFUSALS_HEAD,
};
use hushmark_event::refusal::{Journal, Refusals};
use redis::aio::MultiplexedConnection;
use redis::streams::StreamRangeReply;
use redis::{Script, cmd};

use super::Known;
use super::held::Held;
use crate::Error;

/// Entries that are read or written at once; at 8 KiB each at most, 4 MiB.
const AT_ONCE: usize = 512;

/// Requests that are taken at once; the rest waits for the next round.
const ASKS_AT_ONCE: usize = 100;

/// Appends entries to logs and sets the heads that cover them, if each log is as long as its
/// arguments say, head and stream alike; all of it or nothing. A stream may hold nothing at all where
/// its length is zero. Then requests are taken out. Answers 0, or which log is another one.
///
/// KEYS: stream and head of each log, then the stream of requests. ARGV: the field, how many logs;
/// for each its length, its head, how many entries, the entries; then ids of requests.
static APPEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local field, logs, at, from = ARGV[1], tonumber(ARGV[2]), 3, {} \
         for k = 1, logs do \
           local head = redis.call('GET', KEYS[2 * k]) \
           local length = head and cjson.decode(head).length or 0 \
           local last = redis.call('XREVRANGE', KEYS[2 * k - 1], '+', '-', 'COUNT', 1) \
           local top = last[1] and last[1][1] or '0-0' \
           if length ~= tonumber(ARGV[at]) or top ~= ARGV[at] .. '-0' then return k end \
           from[k] = at \
           at = at + 3 + tonumber(ARGV[at + 2]) \
         end \
         for k = 1, logs do \
           local length = tonumber(ARGV[from[k]]) \
           for i = 1, tonumber(ARGV[from[k] + 2]) do \
             redis.call('XADD', KEYS[2 * k - 1], string.format('%d-0', length + i), field, \
               ARGV[from[k] + 2 + i]) \
           end \
           redis.call('SET', KEYS[2 * k], ARGV[from[k] + 1]) \
         end \
         for i = at, #ARGV do redis.call('XDEL', KEYS[#KEYS], ARGV[i]) end \
         return 0",
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

/// What Redis shows of one log at a glance.
pub(super) struct Glance<L> {
    head: Option<SignedHead<L>>,
    /// The number of the stream's last entry.
    top: u64,
}

/// What waits in the stream of requests.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) id: String,
    /// What the entry will say.
    pub(super) refuses: Option<String>,
    /// Who asks, for the audit log.
    pub(super) question: Option<String>,
}

/// What Redis shows at a glance.
pub(super) struct Look {
    pub(super) refusals: Result<Glance<Refusals>, Error>,
    pub(super) audit: Result<Glance<Audit>, Error>,
    pub(super) asks: Vec<Waiting>,
}

/// What Redis shows, held against what is known.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Same,
    Shorter,
    Longer,
    Other,
}

impl<L: Log> Glance<L> {
    fn compare<H: Held<Log = L>>(&self, held: &H) -> Standing {
        let length = held.length();
        match &self.head {
            Some(head) if head.length > length => Standing::Longer,
            _ if self.top > length => Standing::Longer,
            Some(head) if head.length == length && head.hash != held.hash() => Standing::Other,
            Some(head) if head.length == length && self.top == length => Standing::Same,
            _ => Standing::Shorter,
        }
    }
}

fn number(id: &str) -> Option<u64> {
    id.strip_suffix("-0")?.parse().ok()
}

async fn head<H: Held>(
    redis: &mut MultiplexedConnection,
) -> Result<Option<SignedHead<H::Log>>, Error> {
    let shown: Option<Vec<u8>> = cmd("GET")
        .arg(H::HEAD)
        .query_async(redis)
        .await
        .map_err(Error::redis("read a log's head"))?;
    shown.map(|bytes| parse_head::<H>(&bytes)).transpose()
}

fn parse_head<H: Held>(bytes: &[u8]) -> Result<SignedHead<H::Log>, Error> {
    serde_json::from_slice(bytes)
        .map_err(|error| H::wrong(format!("its head in redis cannot be read: {error}")))
}

/// Reads the whole log and verifies it: the chain, the head's signature, and that it continues what
/// the Region's status names.
pub(super) async fn load<H: Held>(
    redis: &mut MultiplexedConnection,
    key: &SigningKey,
    known: &Known,
) -> Result<H, Error> {
    let shown = head::<H>(redis).await?;
    let length = shown.as_ref().map_or(0, |head| head.length);
    if length < known.length {
        return Err(H::wrong(format!(
            "redis shows {length} entries, and the Region's status names {}: waiting for {} to put \
             its copy back; if none has one, restore redis from its volume",
            known.length,
            H::COPIES
        )));
    }
    let mut held = H::default();
    loop {
        let next = held.length() + 1;
        let found: StreamRangeReply = cmd("XRANGE")
            .arg(H::STREAM)
            .arg(format!("{next}-0"))
            .arg(&["+", "COUNT"])
            .arg(AT_ONCE)
            .query_async(redis)
            .await
            .map_err(Error::redis("read a log"))?;
        if found.ids.is_empty() {
            break;
        }
        for entry in found.ids {
            take(&mut held, number(&entry.id), entry.get(REFUSAL_FIELD), length, known)?;
        }
    }
    match shown {
        Some(head) if head.length == held.length() => {
            let key = key.verifying_key();
            held.verify_head(&head, &key).map_err(|error| H::wrong(error.to_string()))?;
        }
        Some(head) => {
            return Err(H::wrong(format!(
                "redis shows {} of {} entries: waiting for the rest to be put back",
                held.length(),
                head.length
            )));
        }
        // An edge answers only once it has seen a head, be it of nothing.
        None => {
            let head = held.sign_head(key);
            Append::default().log::<H>(0, Vec::new(), &head).send(redis, &[]).await?;
        }
    }
    Ok(held)
}

fn take<H: Held>(
    held: &mut H,
    number: Option<u64>,
    bytes: Option<Vec<u8>>,
    length: u64,
    known: &Known,
) -> Result<(), Error> {
    if number.is_none_or(|n| n > length) {
        return Err(H::wrong(
            "redis shows entries that no signed head covers: waiting for the head; if it does not \
             come, somebody else wrote them, and redis has to be restored from its volume"
                .into(),
        ));
    }
    held.take(&bytes.unwrap_or_default()).map_err(|error| H::wrong(error.to_string()))?;
    if held.length() == known.length && held.hash() != known.hash {
        return Err(H::wrong(
            "redis shows another log than the one that the Region's status names: restore redis \
             from its volume, or make a new Region"
                .into(),
        ));
    }
    Ok(())
}

/// Heads, last entries and requests in one round trip.
pub(super) async fn look(redis: &mut MultiplexedConnection) -> Result<Look, Error> {
    let mut pipe = redis::pipe();
    for (head, stream) in [(REFUSALS_HEAD, REFUSALS), (AUDIT_HEAD, AUDIT)] {
        pipe.cmd("GET").arg(head);
        pipe.cmd("XREVRANGE").arg(stream).arg(&["+", "-", "COUNT", "1"]);
    }
    pipe.cmd("XRANGE").arg(ASKS).arg(&["-", "+", "COUNT"]).arg(ASKS_AT_ONCE);
    type Head = Option<Vec<u8>>;
    type Shown = (Head, StreamRangeReply, Head, StreamRangeReply, StreamRangeReply);
    let (head, last, audit_head, audit_last, asks): Shown =
        pipe.query_async(redis).await.map_err(Error::redis("look at the logs"))?;
    let asks = asks.ids.into_iter().map(|ask| Waiting {
        id: ask.id.clone(),
        refuses: ask.get(REFUSAL_FIELD),
        question: ask.get(QUESTION_FIELD),
    });
    Ok(Look {
        refusals: glance::<Journal>(head, &last),
        audit: glance::<AuditJournal>(audit_head, &audit_last),
        asks: asks.collect(),
    })
}

fn glance<H: Held>(
    head: Option<Vec<u8>>,
    last: &StreamRangeReply,
) -> Result<Glance<H::Log>, Error> {
    let head = head.map(|bytes| parse_head::<H>(&bytes)).transpose()?;
    let top = last.ids.first().map_or(Some(0), |entry| number(&entry.id));
    let top = top.ok_or_else(|| H::wrong("its last entry in redis has no number".into()))?;
    Ok(Glance { head, top })
}

/// Holds what is held against what Redis shows, and puts back what it lost. What cannot be held any
/// longer is forgotten, to be read anew.
pub(super) async fn settle<H: Held>(
    redis: &mut MultiplexedConnection,
    held: &mut Option<H>,
    key: &SigningKey,
    glance: Result<Glance<H::Log>, Error>,
) -> Result<(), Error> {
    let (Some(known), glance) = (held.as_ref(), glance?) else { return Ok(()) };
    match glance.compare(known) {
        Standing::Same => Ok(()),
        Standing::Shorter => put_back(redis, known, key, glance.top).await,
        Standing::Longer => {
            *held = None;
            Err(H::wrong("somebody else appended to it; reading it anew".into()))
        }
        Standing::Other => {
            *held = None;
            let message = "redis shows another log of the same length, signed or not: stop \
                           whoever else appends to it, and restore redis from its volume";
            Err(H::wrong(message.into()))
        }
    }
}

/// What is appended in one step.
#[derive(Default)]
pub(super) struct Append {
    keys: Vec<&'static str>,
    args: Vec<Vec<u8>>,
}

impl Append {
    /// Adds entries of a log that is `length` long, under their head.
    pub(super) fn log<H: Held>(
        mut self,
        length: u64,
        entries: Vec<Vec<u8>>,
        head: &SignedHead<H::Log>,
    ) -> Self {
        self.keys.extend([H::STREAM, H::HEAD]);
        self.args.push(length.to_string().into_bytes());
        self.args.push(encode(head));
        self.args.push(entries.len().to_string().into_bytes());
        self.args.extend(entries);
        self
    }

    /// Appends all of it and takes requests out; tells which log, if any, has another length, and
    /// then nothing was done.
    pub(super) async fn send(
        self,
        redis: &mut MultiplexedConnection,
        requests: &[String],
    ) -> Result<Option<usize>, Error> {
        let mut call = APPEND.arg(REFUSAL_FIELD);
        call.arg(self.keys.len() / 2);
        self.keys.iter().chain([&ASKS]).for_each(|key| {
            call.key(key);
        });
        self.args.iter().for_each(|argument| {
            call.arg(argument);
        });
        requests.iter().for_each(|id| {
            call.arg(id);
        });
        let other: usize =
            call.invoke_async(redis).await.map_err(Error::redis("append to the logs"))?;
        Ok(other.checked_sub(1))
    }
}

/// Puts back what Redis lost: entries first, then the head.
async fn put_back<H: Held>(
    redis: &mut MultiplexedConnection,
    held: &H,
    key: &SigningKey,
    top: u64,
) -> Result<(), Error> {
    let skip = usize::try_from(top).unwrap_or(usize::MAX);
    let lost: Vec<_> = (skip..).map_while(|at| Some((at + 1, held.entry(at)?))).collect();
    for part in lost.chunks(AT_ONCE) {
        let mut pipe = redis::pipe();
        for (n, entry) in part {
            pipe.cmd("XADD").arg(H::STREAM).arg(format!("{n}-0")).arg(REFUSAL_FIELD).arg(*entry);
            pipe.ignore();
        }
        // One that is there already is refused: somebody was quicker with the same entry. The next
        // look tells.
        let put: redis::RedisResult<()> = pipe.query_async(redis).await;
        if let Err(error) = put
            && error.is_io_error()
        {
            return Err(Error::redis("put a log back")(error));
        }
    }
    let head = held.sign_head(key);
    let mut call = RAISE_HEAD.key(H::HEAD);
    call.arg(head.length).arg(encode(&head));
    let raised: i64 =
        call.invoke_async(redis).await.map_err(Error::redis("put a log's head back"))?;
    if raised == 1 || !lost.is_empty() {
        tracing::warn!(log = H::STREAM, from = top, to = head.length, "put a log back into redis");
    }
    Ok(())
}

/// What the writer says of erasures that ended, in the order of the entries that demanded them.
pub(super) async fn ended(
    redis: &mut MultiplexedConnection,
    entries: &[u64],
) -> Result<Vec<Option<Ended>>, Error> {
    let told: Vec<Option<Vec<u8>>> = cmd("HMGET")
        .arg(ERASED)
        .arg(entries)
        .query_async(redis)
        .await
        .map_err(Error::redis("ask which erasures have ended"))?;
    let read = |told: Vec<u8>| {
        serde_json::from_slice(&told).map_err(|error| {
            Error::Audit(format!("what the writer says of an erasure cannot be read: {error}"))
        })
    };
    told.into_iter().map(|told| told.map(read).transpose()).collect()
}

fn encode<L: Log>(head: &SignedHead<L>) -> Vec<u8> {
    serde_json::to_vec(head).expect("numbers and text always serialise")
}

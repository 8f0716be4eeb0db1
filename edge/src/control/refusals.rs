//! The edge's copy of the refusal log: on disk, verified, never shorter than it was.
//!
//! Entries come from the Redis stream `refusals`, and are obeyed once the signed head covers them:
//! who can write to Redis but cannot sign refuses nothing. Redis may lose what it had; whoever
//! holds more puts it back.

mod copy;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hushmark_event::redis_keys::{REFUSAL_FIELD, REFUSALS, REFUSALS_HEAD};
use hushmark_event::refusal::{LogError, SignedHead};
use tokio::time::{sleep, timeout};

pub(crate) use copy::Copy;

use self::copy::AT_ONCE;
use super::Control;
use crate::link::{Appended, Link, LinkError};
use crate::resp::Value;

/// How long a read waits for a new entry; with the head's look-up after it, an entry is obeyed well
/// within the second that is promised.
const BLOCK_MS: &[u8] = b"200";

/// How long an answer may take, and the pause after an error.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(300);

/// Raises the head in Redis, and never lowers it.
const RAISE_HEAD: &[u8] = b"local h = redis.call('GET', KEYS[1]) \
if h and cjson.decode(h).length >= tonumber(ARGV[2]) then return 0 end \
redis.call('SET', KEYS[1], ARGV[1]) return 1";

#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("redis did not answer in time")]
    Late,
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the head in redis cannot be read: {0}")]
    Head(serde_json::Error),
    #[error("the copy on disk: {0}")]
    Disk(#[from] io::Error),
}

/// Follows the log for as long as the edge lives.
pub(crate) async fn follow(control: Arc<Control>, mut copy: Copy) {
    let mut link = None;
    let mut last_error = String::new();
    loop {
        match timeout(PATIENCE, once(&control, &mut copy, &mut link))
            .await
            .unwrap_or(Err(FollowError::Late))
        {
            Ok(()) => last_error.clear(),
            Err(error) => {
                link = None;
                copy.forget(&error);
                let text = error.to_string();
                if !matches!(error, FollowError::Link(_) | FollowError::Late) {
                    control.counts.refusal_errors.one();
                }
                if text != last_error {
                    tracing::warn!(%error, "the refusal log is not followed");
                    last_error = text;
                }
                sleep(PAUSE).await;
            }
        }
    }
}

async fn once(
    control: &Control,
    copy: &mut Copy,
    link: &mut Option<Link>,
) -> Result<(), FollowError> {
    let link = match link {
        Some(link) => link,
        None => link.insert(Link::connect(&control.redis).await?),
    };
    if copy.has_room() {
        let (after, count) = (format!("{}-0", copy.read_to()), AT_ONCE.to_string());
        let (stream, after, count) = (REFUSALS.as_bytes(), after.as_bytes(), count.as_bytes());
        let read: [&[u8]; 8] =
            [b"XREAD", b"BLOCK", BLOCK_MS, b"COUNT", count, b"STREAMS", stream, after];
        copy.take(entries(link.ask(&read).await?)?)?;
    } else {
        sleep(PAUSE).await;
    }
    let shown: Option<SignedHead> = match link.ask(&[b"GET", REFUSALS_HEAD.as_bytes()]).await? {
        Value::Bytes(bytes) => Some(serde_json::from_slice(&bytes).map_err(FollowError::Head)?),
        _ => None,
    };
    let shown_length = shown.as_ref().map(|head| head.length);
    if let Some(head) = shown {
        copy.learn(head)?;
    }
    if let Some(lines) = copy.advance()? {
        control.shared.change(|known| {
            known.refusals = copy.verified();
            if !known.objected.is_empty() {
                Arc::make_mut(&mut known.objected).forget_those_of(copy.log.caps().objected());
            }
        });
        tracing::info!(length = copy.log.length(), "refusal log taken");
        copy.keep(lines)?;
    }
    if copy.head.is_some() {
        put_back(copy, link, shown_length).await?;
    }
    Ok(())
}

/// Puts back what Redis lost: entries first, then the head.
async fn put_back(copy: &Copy, link: &mut Link, shown: Option<u64>) -> Result<(), FollowError> {
    let length = copy.log.length();
    let stream = REFUSALS.as_bytes();
    let top = link.ask(&[b"XREVRANGE", stream, b"+", b"-", b"COUNT", b"1"]).await?;
    let top = list(top)?.pop().map_or(0, |(n, _)| n);
    if top < length && copy.kept {
        let bytes = std::fs::read(&copy.entries)?;
        let lines = bytes.split(|byte| *byte == b'\n');
        for (n, entry) in (1..=length).zip(lines).skip(top as usize) {
            let id = format!("{n}-0");
            let put: [&[u8]; 5] = [b"XADD", stream, id.as_bytes(), REFUSAL_FIELD.as_bytes(), entry];
            match link.try_append(&put).await? {
                // Not above: somebody else was quicker with the same entry.
                Appended::Done | Appended::NotAbove => {}
            }
        }
        tracing::warn!(from = top, to = length, "put the refusal log back into redis");
    }
    if let Some(head) =
        copy.head.as_ref().filter(|head| shown.is_none_or(|shown| head.length > shown))
    {
        let value = serde_json::to_vec(head).map_err(FollowError::Head)?;
        let length = head.length.to_string();
        link.ask(&[b"EVAL", RAISE_HEAD, b"1", REFUSALS_HEAD.as_bytes(), &value, length.as_bytes()])
            .await?;
    }
    Ok(())
}

/// The entries in XREAD's answer, with their numbers.
fn entries(answer: Value) -> Result<Vec<(u64, Vec<u8>)>, LinkError> {
    let bad = || LinkError::Unexpected("XREAD");
    match answer {
        Value::Nil => Ok(Vec::new()),
        Value::Array(mut streams) => match streams.pop() {
            Some(Value::Array(mut stream)) if stream.len() == 2 => {
                list(stream.pop().ok_or_else(bad)?)
            }
            _ => Err(bad()),
        },
        _ => Err(bad()),
    }
}

/// Stream entries: an array of ids with their fields.
fn list(entries: Value) -> Result<Vec<(u64, Vec<u8>)>, LinkError> {
    let bad = || LinkError::Unexpected("a stream's range");
    let Value::Array(entries) = entries else { return Err(bad()) };
    let mut found = Vec::new();
    for entry in entries {
        let Value::Array(mut parts) = entry else { return Err(bad()) };
        let (Some(Value::Array(mut fields)), Some(Value::Bytes(id))) = (parts.pop(), parts.pop())
        else {
            return Err(bad());
        };
        let number =
            std::str::from_utf8(&id).ok().and_then(|id| id.strip_suffix("-0")?.parse().ok());
        match (number, fields.pop(), fields.pop(), fields.is_empty()) {
            (Some(n), Some(Value::Bytes(entry)), Some(Value::Bytes(name)), true)
                if name == REFUSAL_FIELD.as_bytes() =>
            {
                found.push((n, entry));
            }
            _ => return Err(bad()),
        }
    }
    Ok(found)
}

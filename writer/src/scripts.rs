//! Everything that the writer changes in Redis: Lua scripts that check the lease first, so that a
//! writer that slept through a take-over can change nothing any more.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use hushmark_event::redis_keys::{
    ASKS, ASKS_MOST, BATCH_FIELD, DEAD, PUBLISHED, PUBLISHED_EPOCH, QUESTION_FIELD, REFUSAL_FIELD,
    WRITER_CUT, WRITER_LEASE, dead_field, lane_stream,
};
use hushmark_event::{Cut, Lane, Totals, totals};
use hushmark_policy::CampaignId;
use redis::Script;
use redis::aio::MultiplexedConnection;

use crate::objections::Request;

/// A script's answer when the lease is somebody else's.
const NOT_MINE: i64 = -1;

/// A script's answer when the cut is not the one that it was told.
const OTHER_CUT: i64 = -2;

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// Somebody else works, or nobody does.
    #[error("the lease is lost")]
    LeaseLost,
    /// The cut in Redis is not the one that this writer wrote: nothing is known for sure any more.
    #[error("the cut in redis is another one")]
    OtherCut,
    /// No answer, or an error.
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
}

/// A working writer's random id.
#[derive(Clone)]
pub struct LeaseId(String);

impl LeaseId {
    /// Wraps random bytes.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        Self(hex::encode(random))
    }

    /// The lease's value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

static ACQUIRE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end return -1",
    )
});

static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end \
         return redis.call('PEXPIRE', KEYS[1], ARGV[2])",
    )
});

static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end \
         return redis.call('DEL', KEYS[1])",
    )
});

/// Compare and swap: an empty text stands for no cut.
static SET_CUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end \
         if (redis.call('GET', KEYS[2]) or '') ~= ARGV[2] then return -2 end \
         if ARGV[3] == '' then redis.call('DEL', KEYS[2]) else redis.call('SET', KEYS[2], ARGV[3]) end \
         return 1",
    )
});

static TRIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end \
         return redis.call('XTRIM', KEYS[2], 'MINID', '=', ARGV[2])",
    )
});

static DELETE_EMPTY: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end \
         if redis.call('XLEN', KEYS[2]) ~= 0 then return 0 end \
         return redis.call('DEL', KEYS[2])",
    )
});

/// The sealed bytes go from the stream to the hash within Redis, untouched.
static BURY: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end \
         local found = redis.call('XRANGE', KEYS[2], ARGV[2], ARGV[2]) \
         if #found == 0 then return 0 end \
         local fields = found[1][2] \
         for i = 1, #fields, 2 do \
           if fields[i] == ARGV[4] then return redis.call('HSETNX', KEYS[3], ARGV[3], fields[i + 1]) end \
         end \
         return redis.call('HSETNX', KEYS[3], ARGV[3], '')",
    )
});

static TAKE_FIELD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end \
         return redis.call('HDEL', KEYS[2], ARGV[2])",
    )
});

static ADD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end \
         return redis.call('SADD', KEYS[2], ARGV[2])",
    )
});

/// Asks for entries of the refusal log, what and who in turn from ARGV[5] on, as many as there is
/// room for. Returns how many.
static ASK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end \
         local room = tonumber(ARGV[2]) - redis.call('XLEN', KEYS[2]) \
         local taken = math.max(0, math.min(room, (#ARGV - 4) / 2)) \
         for i = 1, taken do \
           redis.call('XADD', KEYS[2], '*', ARGV[3], ARGV[3 + 2 * i], ARGV[4], ARGV[4 + 2 * i]) \
         end \
         return taken",
    )
});

static REMEMBER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end \
         return redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])",
    )
});

/// Totals of campaigns, field and value in turn from ARGV[3] on. ARGV[2] is how many there may be; a
/// campaign that is there already is always renewed. Returns how many found no room.
static PUBLISH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end \
         local left = tonumber(ARGV[2]) - redis.call('HLEN', KEYS[2]) \
         local out = 0 \
         for i = 3, #ARGV, 2 do \
           local new = redis.call('HEXISTS', KEYS[2], ARGV[i]) == 0 \
           if new and left <= 0 then out = out + 1 else \
             if new then left = left - 1 end \
             redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) \
           end \
         end \
         return out",
    )
});

/// The epoch, once everything of it is there.
static PUBLISHED_AT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end \
         redis.call('SET', KEYS[2], ARGV[2]) return 1",
    )
});

/// Totals that one script writes, some 100 kB: Redis answers nobody else meanwhile.
const PUBLISHED_AT_ONCE: usize = 500;

/// The scripts under one lease on one connection.
#[derive(Clone)]
pub struct Fenced {
    redis: MultiplexedConnection,
    id: LeaseId,
}

fn checked(answer: i64) -> Result<i64, ScriptError> {
    match answer {
        NOT_MINE => Err(ScriptError::LeaseLost),
        OTHER_CUT => Err(ScriptError::OtherCut),
        answer => Ok(answer),
    }
}

fn text(cut: Option<&Cut>) -> Vec<u8> {
    cut.map(Cut::to_bytes).unwrap_or_default()
}

impl Fenced {
    /// Binds a connection to a lease's id, held or not.
    #[must_use]
    pub const fn new(redis: MultiplexedConnection, id: LeaseId) -> Self {
        Self { redis, id }
    }

    /// Takes the lease if nobody holds it.
    ///
    /// # Errors
    /// [`ScriptError::LeaseLost`] when somebody does.
    pub async fn acquire(&mut self, ttl_ms: u64) -> Result<(), ScriptError> {
        let mut call = ACQUIRE.key(WRITER_LEASE);
        let call = call.arg(&self.id.0).arg(ttl_ms);
        checked(call.invoke_async(&mut self.redis).await?).map(drop)
    }

    /// Holds the lease longer.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub async fn renew(&mut self, ttl_ms: u64) -> Result<(), ScriptError> {
        let mut call = RENEW.key(WRITER_LEASE);
        let call = call.arg(&self.id.0).arg(ttl_ms);
        checked(call.invoke_async(&mut self.redis).await?).map(drop)
    }

    /// Gives the lease back, so that the next need not wait for it to expire.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub async fn release(&mut self) -> Result<(), ScriptError> {
        let mut call = RELEASE.key(WRITER_LEASE);
        checked(call.arg(&self.id.0).invoke_async(&mut self.redis).await?).map(drop)
    }

    /// Replaces the cut that is known to be there by another; `None` is no cut.
    ///
    /// # Errors
    /// [`ScriptError::OtherCut`] when another one is there.
    pub async fn set_cut(
        &mut self,
        from: Option<&Cut>,
        to: Option<&Cut>,
    ) -> Result<(), ScriptError> {
        let mut call = SET_CUT.key(WRITER_LEASE);
        let call = call.key(WRITER_CUT).arg(&self.id.0).arg(text(from)).arg(text(to));
        checked(call.invoke_async(&mut self.redis).await?).map(drop)
    }

    /// Frees a lane's stream up to a number, this included.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub async fn trim(&mut self, lane: Lane, upto: u64) -> Result<(), ScriptError> {
        let mut call = TRIM.key(WRITER_LEASE);
        let call = call
            .key(lane_stream(lane))
            .arg(&self.id.0)
            .arg(format!("{}-0", upto.saturating_add(1)));
        checked(call.invoke_async(&mut self.redis).await?).map(drop)
    }

    /// Deletes a stream that is empty; `false` if it is not.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub async fn delete_empty(&mut self, lane: Lane) -> Result<bool, ScriptError> {
        let mut call = DELETE_EMPTY.key(WRITER_LEASE);
        let call = call.key(lane_stream(lane)).arg(&self.id.0);
        Ok(checked(call.invoke_async(&mut self.redis).await?)? == 1)
    }

    /// Keeps an entry as a dead letter, sealed as it is; `false` if it was one already.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub async fn bury(&mut self, lane: Lane, number: u64) -> Result<bool, ScriptError> {
        let mut call = BURY.key(WRITER_LEASE);
        let call = call
            .key(lane_stream(lane))
            .key(DEAD)
            .arg(&self.id.0)
            .arg(format!("{number}-0"))
            .arg(dead_field(lane, number))
            .arg(BATCH_FIELD);
        Ok(checked(call.invoke_async(&mut self.redis).await?)? == 1)
    }

    /// Takes a dead letter away, because nobody can open it any more; `false` if it is gone.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub async fn drop_letter(&mut self, field: &str) -> Result<bool, ScriptError> {
        self.take_field(DEAD, field).await
    }

    /// Takes a field out of a hash; `false` if it was not in it.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub async fn take_field(&mut self, hash: &str, field: &str) -> Result<bool, ScriptError> {
        let mut call = TAKE_FIELD.key(WRITER_LEASE);
        let call = call.key(hash).arg(&self.id.0).arg(field);
        Ok(checked(call.invoke_async(&mut self.redis).await?)? == 1)
    }

    /// Asks the one who appends to the refusal log for entries; returns of how many, because no more
    /// than [`ASKS_MOST`] may wait.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub async fn ask<'a>(
        &mut self,
        requests: impl IntoIterator<Item = &'a Request>,
    ) -> Result<usize, ScriptError> {
        let text = |json: serde_json::Result<String>| json.expect("text always serialises");
        let mut call = ASK.key(WRITER_LEASE);
        call.key(ASKS).arg(&self.id.0).arg(ASKS_MOST).arg(REFUSAL_FIELD).arg(QUESTION_FIELD);
        for Request { refuses, question } in requests {
            call.arg(text(serde_json::to_string(refuses)));
            call.arg(text(serde_json::to_string(question)));
        }
        let taken = checked(call.invoke_async(&mut self.redis).await?)?;
        Ok(usize::try_from(taken).unwrap_or(0))
    }

    /// The fields of a hash. A read, and needs no lease.
    ///
    /// # Errors
    /// [`ScriptError::Redis`].
    pub async fn fields(&mut self, hash: &str) -> Result<Vec<String>, ScriptError> {
        Ok(redis::cmd("HKEYS").arg(hash).query_async(&mut self.redis).await?)
    }

    /// Adds days to a set.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub async fn add_days(&mut self, set: &str, days: &[String]) -> Result<(), ScriptError> {
        for day in days {
            let mut call = ADD.key(WRITER_LEASE);
            let call = call.key(set).arg(&self.id.0).arg(day);
            checked(call.invoke_async(&mut self.redis).await?)?;
        }
        Ok(())
    }

    /// Puts totals of campaigns in their place, and then their epoch.
    ///
    /// # Errors
    /// [`ScriptError`]; what was written by then is right, and can be written again.
    pub async fn publish(
        &mut self,
        epoch: u32,
        totals: &BTreeMap<CampaignId, Totals>,
    ) -> Result<(), ScriptError> {
        let totals: Vec<_> = totals.iter().collect();
        for some in totals.chunks(PUBLISHED_AT_ONCE) {
            let mut call = PUBLISH.key(WRITER_LEASE);
            call.key(PUBLISHED).arg(&self.id.0).arg(totals::MOST);
            for (campaign, totals) in some {
                call.arg(campaign.to_string()).arg(totals.to_text());
            }
            let out = checked(call.invoke_async(&mut self.redis).await?)?;
            if out > 0 {
                tracing::warn!(campaigns = out, "no room for totals in redis: reports have them");
            }
        }
        let mut call = PUBLISHED_AT.key(WRITER_LEASE);
        call.key(PUBLISHED_EPOCH).arg(&self.id.0).arg(epoch);
        checked(call.invoke_async(&mut self.redis).await?).map(drop)
    }

    /// Writes a field of a hash.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub async fn remember(
        &mut self,
        hash: &str,
        field: &str,
        value: &str,
    ) -> Result<(), ScriptError> {
        let mut call = REMEMBER.key(WRITER_LEASE);
        let call = call.key(hash).arg(&self.id.0).arg(field).arg(value);
        checked(call.invoke_async(&mut self.redis).await?).map(drop)
    }
}

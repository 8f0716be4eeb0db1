//! Lanes in Redis: found by name, read in order. Nothing here changes anything.

use std::collections::BTreeSet;

use hushmark_event::Lane;
use hushmark_event::redis_keys::{
    ASKS, ASKS_MOST, BATCH_FIELD, DEAD, LANE_PREFIX, REFUSAL_FIELD, lane_stream,
};
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value, cmd};

/// An entry as it lies in a stream: its number and its sealed bytes.
pub type Raw = (u64, Vec<u8>);

/// Every lane that has a stream.
///
/// # Errors
/// What Redis or the connection said.
pub async fn find(redis: &mut MultiplexedConnection) -> RedisResult<BTreeSet<Lane>> {
    let (mut lanes, mut cursor) = (BTreeSet::new(), 0u64);
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{LANE_PREFIX}*")).arg("COUNT").arg(1_000);
        let (next, keys): (u64, Vec<String>) = scan.query_async(redis).await?;
        lanes.extend(keys.iter().filter_map(|key| key[LANE_PREFIX.len()..].parse::<Lane>().ok()));
        if next == 0 {
            return Ok(lanes);
        }
        cursor = next;
    }
}

/// For each lane the number of entries in its stream and the highest number ever appended.
///
/// # Errors
/// What Redis or the connection said; a stream that is gone reads as empty.
pub async fn tops(
    redis: &mut MultiplexedConnection,
    lanes: &[Lane],
) -> RedisResult<Vec<(Lane, u64, u64)>> {
    let mut tops = Vec::with_capacity(lanes.len());
    for lanes in lanes.chunks(256) {
        let mut pipe = redis::pipe();
        for lane in lanes {
            pipe.cmd("XLEN").arg(lane_stream(*lane));
            pipe.cmd("XREVRANGE").arg(lane_stream(*lane)).arg("+").arg("-").arg("COUNT").arg(1);
        }
        let answers: Vec<Value> = pipe.query_async(redis).await?;
        for (lane, pair) in lanes.iter().zip(answers.chunks(2)) {
            let length = if let Some(Value::Int(n)) = pair.first() { *n as u64 } else { 0 };
            let last = pair.get(1).cloned().map(entries).unwrap_or_default();
            tops.push((*lane, length, last.first().map_or(0, |(number, _)| *number)));
        }
    }
    Ok(tops)
}

/// Reads on from where each lane was read to, at most `count` entries a lane.
///
/// It does not block: the writer looks five times a second, which costs Redis less than waking a
/// blocked reader at every append would.
///
/// # Errors
/// What Redis or the connection said.
pub async fn read(
    redis: &mut MultiplexedConnection,
    after: &[(Lane, u64)],
    count: usize,
) -> RedisResult<Vec<(Lane, Vec<Raw>)>> {
    if after.is_empty() {
        return Ok(Vec::new());
    }
    let mut read = cmd("XREAD");
    read.arg("COUNT").arg(count).arg("STREAMS");
    for (lane, _) in after {
        read.arg(lane_stream(*lane));
    }
    for (_, number) in after {
        // All of an entry's ids are `NUMBER-0`; what follows it has a higher number.
        read.arg(format!("{number}-{}", u64::MAX));
    }
    let Value::Array(streams) = read.query_async::<Value>(redis).await? else {
        return Ok(Vec::new());
    };
    Ok(streams
        .into_iter()
        .filter_map(|stream| {
            let (key, list) = pair(stream)?;
            let Value::BulkString(key) = key else { return None };
            let name = std::str::from_utf8(&key).ok()?.strip_prefix(LANE_PREFIX)?;
            Some((name.parse().ok()?, entries(list)))
        })
        .collect())
}

/// The dead letters' names, as `lane:number`.
///
/// # Errors
/// What Redis or the connection said.
pub async fn dead(redis: &mut MultiplexedConnection) -> RedisResult<Vec<(Lane, u64)>> {
    let names: Vec<String> = cmd("HKEYS").arg(DEAD).query_async(redis).await?;
    Ok(names
        .iter()
        .filter_map(|name| {
            let (lane, number) = name.split_once(':')?;
            Some((lane.parse().ok()?, number.parse().ok()?))
        })
        .collect())
}

/// A stream entry's fields and their values.
type Fields = Vec<(String, Vec<u8>)>;

/// What the one who appends to the refusal log is asked for and has not appended yet.
///
/// # Errors
/// What Redis or the connection said.
pub async fn asked(redis: &mut MultiplexedConnection) -> RedisResult<Vec<Vec<u8>>> {
    let mut range = cmd("XRANGE");
    range.arg(ASKS).arg("-").arg("+").arg("COUNT").arg(ASKS_MOST);
    let asked: Vec<(String, Fields)> = range.query_async(redis).await?;
    let fields = asked.into_iter().flat_map(|(_, fields)| fields);
    Ok(fields.filter(|(name, _)| name == REFUSAL_FIELD).map(|(_, text)| text).collect())
}

fn pair(value: Value) -> Option<(Value, Value)> {
    let Value::Array(items) = value else { return None };
    let [first, second]: [Value; 2] = items.try_into().ok()?;
    Some((first, second))
}

/// A list of `[id, [field, value, …]]`. An entry without the field has no bytes, which no seal
/// accepts, so that it becomes a dead letter like any other broken one.
fn entries(list: Value) -> Vec<Raw> {
    let Value::Array(items) = list else { return Vec::new() };
    items
        .into_iter()
        .filter_map(|item| {
            let (id, fields) = pair(item)?;
            let Value::BulkString(id) = id else { return None };
            let number = std::str::from_utf8(&id).ok()?.strip_suffix("-0")?.parse().ok()?;
            Some((number, blob(fields)))
        })
        .collect()
}

fn blob(fields: Value) -> Vec<u8> {
    let Value::Array(fields) = fields else { return Vec::new() };
    let mut fields = fields.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        if let (Value::BulkString(name), Value::BulkString(value)) = (name, value)
            && name == BATCH_FIELD.as_bytes()
        {
            return value;
        }
    }
    Vec::new()
}

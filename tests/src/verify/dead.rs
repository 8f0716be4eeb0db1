//! Dead letters, opened: an operator's way to see what could not be stored.

use std::collections::HashMap;

use anyhow::{Context, Result};
use hushmark_event::redis_keys::DEAD;
use hushmark_event::{BatchReader, Lane, LaneSealer, Record, Sealed};
use hushmark_policy::Kind;

use crate::plan::Cell;
use crate::stack::Stack;

/// Hits a cell in dead letters. A letter that does not open cannot be accounted for and is an error.
pub(super) fn letters(stack: &Stack) -> Result<HashMap<Cell, u64>> {
    let letters: HashMap<String, Vec<u8>> =
        redis::cmd("HGETALL").arg(DEAD).query(&mut stack.redis.connect()?)?;
    let mut cells = HashMap::new();
    for (field, mut blob) in letters {
        let (lane, number) =
            field.split_once(':').context("a dead letter names lane and number")?;
        let lane: Lane = lane.parse()?;
        let day = Sealed::header(&blob)?.day;
        let key = stack.keys.batch.get(day).context("a dead letter is of a day that has a key")?;
        let sealer = LaneSealer::new(key, day, lane);
        let (_, packed) = sealer.open(number.parse()?, &mut blob)?;
        for record in BatchReader::new(packed)? {
            if let Record::Hit(hit) = record? {
                let link = if hit.kind == Kind::Click { hit.link } else { 0 };
                *cells.entry(Cell { campaign: hit.context.campaign, link }).or_default() += 1;
            }
        }
    }
    Ok(cells)
}

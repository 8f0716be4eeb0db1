//! What `up` does in the background: the operator's chores on one machine.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use hushmark_policy::Day;

use super::refusals::{self, Appender};
use crate::data::DataFolder;
use crate::keys;

/// How often requests to the refusal log are looked for: a takedown holds within a second.
const REFUSALS_EVERY: Duration = Duration::from_millis(200);

/// How many rounds lie between looks at the day ring.
const RING_EVERY: u32 = 300;

/// How many rounds lie between looks for erasures that ended.
const RECEIPTS_EVERY: u32 = 5;

/// What the Region asks for beside.
#[derive(Clone, Copy)]
pub(super) struct Chores {
    /// How many days ahead there are day keys.
    pub(super) days_ahead: u16,
    /// Days after which another region key seals, if there is a schedule.
    pub(super) rotate_keys_every: Option<u16>,
}

/// Appends to the refusal log what commands ask for, keeps it in Redis, and keeps the day ring
/// (new days in front, closed ones destroyed) and the region keys. Runs until it is dropped; a fault is said once.
pub(super) async fn upkeep(folder: DataFolder, mut appender: Appender, chores: Chores) {
    let mut said = String::new();
    for round in 0u32.. {
        let done = async {
            appender.serve_asks(super::now_ms()).await?;
            if round % RING_EVERY == 0 {
                keep_ring(&folder, chores.days_ahead).await?;
                keys::rotate(&folder, chores.rotate_keys_every, SystemTime::now())?;
            }
            if round % RECEIPTS_EVERY == 0 {
                appender.hand_out_receipts(super::now_ms()).await?;
            }
            Ok::<_, anyhow::Error>(())
        };
        match done.await {
            Ok(()) => said.clear(),
            Err(error) => {
                let text = format!("{error:#}");
                if text != said {
                    warned!("upkeep: {text}; trying again");
                }
                said = text;
            }
        }
        tokio::time::sleep(REFUSALS_EVERY).await;
    }
}

/// Closes the days that the writer says are done with, and makes keys for the days to come.
async fn keep_ring(folder: &DataFolder, days_ahead: u16) -> Result<()> {
    let mut redis = refusals::connect(folder).await?;
    let closable: Vec<String> = redis::cmd("SMEMBERS")
        .arg(hushmark_event::redis_keys::CLOSABLE_DAYS)
        .query_async(&mut redis)
        .await
        .context("cannot ask which days can be closed")?;
    let today = Day::of_unix_ms(super::now_ms());
    // A writer whose clock goes ahead names days that have not ended.
    for day in closable.iter().filter_map(|day| Day::parse(day)).filter(|day| *day < today) {
        keys::close_day(folder, day)?;
    }
    keys::extend_ring(folder, today, days_ahead)
}

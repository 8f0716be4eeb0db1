//! The heartbeat in Redis, and the watch over Redis's memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hushmark_event::Heartbeat;
use hushmark_event::heartbeat::LIFE_SECONDS;
use hushmark_event::redis_keys::heartbeat;
use tokio::time::timeout;

use super::Control;
use crate::link::{Link, LinkError};
use crate::resp::Value;

/// How often Redis's memory is looked at; every third time the heartbeat is renewed.
const BEAT: Duration = Duration::from_secs(1);
const BEATS: u32 = 3;

/// Above this share of Redis's memory lanes write to their logs, so that control writes always fit;
/// below the other one they come back.
const SPILL_ABOVE: u64 = 70;
const SPILL_UNTIL: u64 = 65;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Beats until the process ends.
pub(crate) async fn run(control: Arc<Control>) {
    let mut link = None;
    let mut beats = 0;
    loop {
        let beat = timeout(PATIENCE, once(&control, &mut link, beats % BEATS == 0)).await;
        let up = matches!(beat, Ok(Ok(())));
        control.counts.redis_up.set(up.into());
        if up {
            beats += 1;
        } else {
            link = None;
            beats = 0;
        }
        tokio::time::sleep(BEAT).await;
    }
}

/// The last beat, after everything was drained.
pub(crate) async fn last(control: &Control) {
    let said = timeout(PATIENCE, once(control, &mut None, true)).await;
    if !matches!(said, Ok(Ok(()))) {
        tracing::warn!(
            log_empty = control.log_is_empty(),
            "redis is away: the last heartbeat is lost"
        );
    }
}

async fn once(control: &Control, link: &mut Option<Link>, beat: bool) -> Result<(), LinkError> {
    let link = match link {
        Some(link) => link,
        None => link.insert(Link::connect(&control.redis).await?),
    };
    if beat {
        say(link, control.incarnation, &said(control)).await?;
    }
    let Value::Bytes(info) = link.ask(&[b"INFO", b"memory"]).await? else {
        return Err(LinkError::Unexpected("INFO"));
    };
    let info = String::from_utf8_lossy(&info);
    let percent = used_percent(&info).unwrap_or(0);
    control.counts.redis_memory_percent.set(percent);
    let spills = control.spill.load(Ordering::Relaxed);
    let spill = percent >= if spills { SPILL_UNTIL } else { SPILL_ABOVE };
    if spill != spills {
        control.spill.store(spill, Ordering::Relaxed);
        tracing::warn!(percent, spill, "redis's memory");
    }
    Ok(())
}

/// Puts a heartbeat in its place.
pub(crate) async fn say(
    link: &mut Link,
    incarnation: u64,
    said: &Heartbeat,
) -> Result<(), LinkError> {
    let (key, life) = (heartbeat(incarnation), LIFE_SECONDS.to_string());
    let value = serde_json::to_vec(said).expect("text and numbers always serialise");
    link.ask(&[b"SET", key.as_bytes(), &value, b"EX", life.as_bytes()]).await.map(drop)
}

fn said(control: &Control) -> Heartbeat {
    let known = control.shared.get();
    let day = |day: Option<hushmark_policy::Day>| day.map_or(String::new(), |day| day.to_string());
    let mut days = known.ring.days();
    Heartbeat {
        pod: control.name.clone(),
        kids: known.keys.kids().map(|kid| kid.0).collect(),
        ring: [day(days.next()), day(known.ring.days().next_back())],
        refusals: known.refusals.as_ref().map(|log| log.length()),
        log_bytes: control.log_bytes(),
        log_empty: control.log_is_empty(),
        draining: control.draining.load(Ordering::Relaxed),
    }
}

/// The share of `maxmemory` in use, where there is a limit.
fn used_percent(info: &str) -> Option<u64> {
    let field = |name: &str| -> Option<u64> {
        info.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
    };
    let max = field("maxmemory:").filter(|max| *max > 0)?;
    Some(field("used_memory:")?.saturating_mul(100) / max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_redis_own_words() {
        let info = "# Memory\r\nused_memory:750\r\nused_memory_human:1K\r\nmaxmemory:1000\r\n";
        assert_eq!(used_percent(info), Some(75));
        assert_eq!(used_percent("used_memory:750\r\nmaxmemory:0\r\n"), None);
        assert_eq!(used_percent(""), None);
    }
}

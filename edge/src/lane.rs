//! A core's lane: one batch in flight, the next leaves when the reply comes.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hushmark_event::redis_keys::lane_stream;
use hushmark_event::{Lane, LaneSealer, Ring};
use hushmark_policy::Day;

use crate::handler::Desk;
use crate::link::{Appended, Link, LinkError, RedisAt};

/// How long Redis may take before the batch goes elsewhere.
const REDIS_PATIENCE: Duration = Duration::from_millis(40);

pub(crate) struct LaneTask {
    pub(crate) desk: Rc<Desk>,
    pub(crate) lane: Lane,
    pub(crate) redis: RedisAt,
}

impl LaneTask {
    pub(crate) async fn run(self) {
        let stream = lane_stream(self.lane);
        let mut sealer: Option<LaneSealer> = None;
        let mut link: Option<Link> = None;
        let (mut packed, mut blob) = (Vec::new(), Vec::new());
        let mut number = 0;
        loop {
            let records = poll_fn(|cx| self.desk.commit.poll_take(&mut packed, cx)).await;
            let left = Instant::now();
            number += 1;
            let ring = self.desk.shared.get().ring;
            sealer_of_today(&mut sealer, &ring, self.lane)
                .seal(number, records, &packed, &mut blob);
            while let Err(error) = self.append(&mut link, &stream, number, &blob).await {
                tracing::warn!(lane = %self.lane, number, %error, "redis did not take a batch");
                link = None;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            self.desk.stats.to_redis.one();
            self.desk.stats.committed(records, left.elapsed());
            self.desk.commit.answered();
        }
    }

    async fn append(
        &self,
        link: &mut Option<Link>,
        stream: &str,
        number: u64,
        blob: &[u8],
    ) -> Result<Appended, LinkError> {
        let send = async {
            let link = match link {
                Some(link) => link,
                None => link.insert(Link::connect(&self.redis).await?),
            };
            link.append(stream, number, blob);
            link.flush().await?;
            link.appended().await
        };
        tokio::time::timeout(REDIS_PATIENCE, send)
            .await
            .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
    }
}

fn sealer_of_today<'a>(
    sealer: &'a mut Option<LaneSealer>,
    ring: &Ring,
    lane: Lane,
) -> &'a LaneSealer {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let today = Day::of_unix_ms(since.as_millis() as u64);
    if sealer.as_ref().is_none_or(|sealer| sealer.day() != today) {
        let key = ring.get(today).expect("thin");
        *sealer = Some(LaneSealer::new(key, today, lane));
    }
    sealer.as_ref().expect("it was just made")
}

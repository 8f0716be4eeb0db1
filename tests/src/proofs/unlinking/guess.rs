//! Which of two messages was opened, by one who holds mail, keys and all that is stored.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use fastrand::Rng;
use hushmark_event::cell::{CampaignSalt, Dimension};
use hushmark_event::{DayKey, Ring};
use hushmark_policy::{CampaignId, Day, Kind, Mark};
use hushmark_token::{RegionKeys, Route, Verifier};

use super::mail::{Mail, Message};
use crate::stack::{ClickHouse, Stack};

/// Hashes asked for in one query, so that its text stays below the engine's limit.
const AT_ONCE: usize = 2_000;

/// What the attacker holds.
pub(super) struct Attacker<'a> {
    clickhouse: &'a ClickHouse,
    mails: &'a [Mail],
    region_key: Vec<u8>,
    /// The marks of each pair, which the region's key opens the tokens for.
    marks: Vec<Vec<[Mark; 2]>>,
}

/// What a mark would be in a cell, as the attacker believes.
type Hash<'a> = dyn Fn(CampaignId, &Mark, Dimension, &str) -> u64 + 'a;

impl<'a> Attacker<'a> {
    pub(super) fn new(stack: &'a Stack, mails: &'a [Mail]) -> Result<Self> {
        let mut keys = RegionKeys::default();
        keys.insert(stack.keys.kid, stack.keys.region.clone());
        let mut verifier = Verifier::new(keys);
        let mut open = |message: &Message| -> Result<Mark> {
            let verified = verifier.verify(Route::Open, message.token.as_bytes());
            let verified = verified.ok().context("a sent token does not open")?;
            verified.claims.mark.context("a sent token has no mark")
        };
        let mut marks = Vec::new();
        for mail in mails {
            let pairs = mail.pairs.iter().map(|[a, b]| Ok([open(a)?, open(b)?]));
            marks.push(pairs.collect::<Result<Vec<_>>>()?);
        }
        let region_key = std::fs::read(stack.keys.region_folder().join("1.key"))?;
        Ok(Self { clickhouse: &stack.clickhouse, mails, region_key, marks })
    }

    /// Right guesses with each key of a ring, taken for the salt key.
    pub(super) fn by_ring(&self, ring: &Ring, random: &mut Rng) -> Result<Vec<(Day, u64)>> {
        ring.days().map(|day| self.by_day(ring, day, random)).collect()
    }

    pub(super) fn by_day(&self, ring: &Ring, day: Day, random: &mut Rng) -> Result<(Day, u64)> {
        let key = ring.get(day).context("the ring has no key of that day")?;
        Ok((day, self.by_key(key, random)?))
    }

    pub(super) fn by_region_key(&self, random: &mut Rng) -> Result<u64> {
        let bytes = self.region_key.as_slice().try_into().context("a key has 32 bytes")?;
        self.by_key(&DayKey::new(bytes), random)
    }

    fn by_key(&self, key: &DayKey, random: &mut Rng) -> Result<u64> {
        let hash = |campaign, mark: &Mark, dimension, value: &str| {
            let person = CampaignSalt::derive(key, campaign).person(mark);
            person.in_cell(Kind::Open, dimension, value)
        };
        self.by_hash(&hash, random)
    }

    pub(super) fn by_marks(&self, random: &mut Rng) -> Result<u64> {
        self.by_hash(&|_, mark, _, _| mark.expose(), random)
    }

    /// Says of each pair which message more sketches seem to hold; the coin where they are equal.
    fn by_hash(&self, hash: &Hash<'_>, random: &mut Rng) -> Result<u64> {
        let mut right = 0;
        for (mail, marks) in self.mails.iter().zip(&self.marks) {
            let mut found = vec![[0_u32; 2]; marks.len()];
            for (dimension, value) in self.cells(mail.campaign)? {
                let each = marks.iter().flatten();
                let hashes: Vec<u64> =
                    each.map(|mark| hash(mail.campaign, mark, dimension, &value)).collect();
                let held = self.held(mail.campaign, dimension, &value, &hashes)?;
                for (n, held) in held.into_iter().enumerate() {
                    found[n / 2][n % 2] += u32::from(held);
                }
            }
            let guess = |[a, b]: &[u32; 2]| match a.cmp(b) {
                std::cmp::Ordering::Less => 1,
                std::cmp::Ordering::Greater => 0,
                std::cmp::Ordering::Equal => random.usize(..2),
            };
            right += mail.right(&found.iter().map(guess).collect::<Vec<_>>());
        }
        Ok(right)
    }

    /// The cells that every open or every hour has.
    fn cells(&self, campaign: CampaignId) -> Result<Vec<(Dimension, String)>> {
        let text = self.clickhouse.query(&format!(
            "SELECT DISTINCT dimension, value FROM counters WHERE campaign = {} \
             AND dimension IN ('total', 'hour')",
            campaign.0
        ))?;
        let cell = |line: &str| {
            let (dimension, value) = line.split_once('\t')?;
            Some((Dimension::from_name(dimension)?, value.to_owned()))
        };
        text.lines().map(|line| cell(line).context("a cell has a name and a value")).collect()
    }

    /// Whether a cell's sketch stays as it is when each hash is added: it does where it is held.
    fn held(
        &self,
        campaign: CampaignId,
        dimension: Dimension,
        value: &str,
        hashes: &[u64],
    ) -> Result<Vec<bool>> {
        let state = format!(
            "SELECT uniqCombined64ArrayMergeState(14)(uniq_raw) AS s FROM counters \
             WHERE campaign = {} AND kind = 'open' AND dimension = '{}' AND value = '{value}'",
            campaign.0,
            dimension.name()
        );
        let alone = self
            .clickhouse
            .number(&format!("SELECT uniqCombined64ArrayMerge(14)(s) FROM ({state})"))?;
        let mut held = Vec::with_capacity(hashes.len());
        for chunk in hashes.chunks(AT_ONCE) {
            let list: Vec<String> =
                chunk.iter().enumerate().map(|(n, hash)| format!("({n},{hash})")).collect();
            let asked = format!("SELECT arrayJoin([{}]) AS t", list.join(","));
            let text = self.clickhouse.query(&format!(
                "SELECT n, uniqCombined64ArrayMerge(14)(s) FROM (\
                 SELECT toUInt64(t.1) AS n, \
                 uniqCombined64ArrayState(14)([toUInt64(t.2)]) AS s FROM ({asked}) GROUP BY n \
                 UNION ALL SELECT toUInt64(number) AS n, s FROM numbers({}) AS asked \
                 CROSS JOIN ({state}) AS held) \
                 GROUP BY n ORDER BY n",
                chunk.len()
            ))?;
            for line in text.lines() {
                let (_, with) = line.split_once('\t').context("two columns")?;
                held.push(with.parse::<u64>()? == alone);
            }
        }
        Ok(held)
    }

    /// Of each pair the message that was delivered when more of the mail was opened: the share of
    /// opens in an hour among the deliveries that can have led to them.
    pub(super) fn by_time(&self, random: &mut Rng) -> Result<u64> {
        let mut right = 0;
        for mail in self.mails {
            let text = self.clickhouse.query(&format!(
                "SELECT value, toUInt64(sum(raw)) FROM counters WHERE campaign = {} \
                 AND dimension = 'hour' GROUP BY value",
                mail.campaign.0
            ))?;
            let mut opens = BTreeMap::new();
            for line in text.lines() {
                let (hour, n) = line.split_once('\t').context("two columns")?;
                let hour = hour.rsplit_once('T').context("an hour has a T")?.1;
                opens.insert(hour.parse::<u64>()?, n.parse::<f64>()?);
            }
            let mut expected = HashMap::<u64, f64>::new();
            for message in mail.pairs.iter().flatten() {
                let hour = message.delivered_ms / 3_600_000 % 24;
                let stays = stays(message);
                *expected.entry(hour).or_default() += stays / 2.0;
                *expected.entry(hour + 1).or_default() += (1.0 - stays) / 2.0;
            }
            let rate = |hour: u64| {
                let n = expected.get(&hour).copied().unwrap_or_default();
                if n < 1.0 { 1.0 } else { opens.get(&hour).copied().unwrap_or_default() / n }
            };
            let score = |message: &Message| {
                let (hour, stays) = (message.delivered_ms / 3_600_000 % 24, stays(message));
                stays * rate(hour) + (1.0 - stays) * rate(hour + 1)
            };
            let guess = |[a, b]: &[Message; 2]| match score(a).total_cmp(&score(b)) {
                std::cmp::Ordering::Less => 1,
                std::cmp::Ordering::Greater => 0,
                std::cmp::Ordering::Equal => random.usize(..2),
            };
            right += mail.right(&mail.pairs.iter().map(guess).collect::<Vec<_>>());
        }
        Ok(right)
    }
}

/// The probability that a message that is opened is opened in the hour of its delivery: the attacker
/// knows how long people take.
fn stays(message: &Message) -> f64 {
    let left = (3_600_000 - message.delivered_ms % 3_600_000) as f64;
    1.0 - (-left / (20.0 * 60_000.0)).exp()
}

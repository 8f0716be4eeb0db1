//! The Secrets of a region: made where they are missing, kept for ever.
//!
//! What cannot be made again (region keys, day keys, the key that signs the refusal log) is made
//! once. If it is gone although the Region's status says that it was there, nothing is made in its
//! place, because sent links and sealed hits need the old one: a person has to restore it.

pub(super) mod acl;
mod authority;
mod certificates;
mod log_access;
mod rotation;
mod vault;

use std::collections::BTreeSet;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use hushmark_crds::{KeysStatus, RegionStatus};
use hushmark_event::redis_keys::CLOSABLE_DAYS;
use hushmark_policy::Day;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::build::Versions;
use super::day_ring::{self, Plan};
use super::edges::Edges;
use super::validate::{ExternalTls, Store, ValidatedRegion};
use crate::config::Config;
use crate::redis_link::{RedisAddress, Shown};
use crate::{Context, Error, context};

use certificates::Certificates;
pub(super) use log_access::{LogAccess, log_access};
pub(super) use rotation::{Held, Rotation, Waits};
use vault::{Changes, Data, Vault};

/// Bytes of every key.
const KEY_LEN: usize = 32;

/// What the Secrets hold, as far as the operator needs to know.
pub(super) struct Keys {
    /// The region keys.
    pub(super) held: Held,
    /// Which of them seals, and what another one waits for.
    pub(super) rotation: Rotation,
    /// The first and the last day of the batch ring.
    pub(super) days: Option<(Day, Day)>,
    /// What the refusal log needs.
    pub(super) log_access: LogAccess,
    /// What stores read at their start.
    pub(super) versions: Versions,
}

/// Makes what is missing, and reads what the operator needs.
pub(super) async fn ensure(
    ctx: &Context,
    region: &ValidatedRegion,
    status: Option<&RegionStatus>,
    today: Day,
) -> Result<Keys, Error> {
    let vault = Vault::new(ctx);
    let had_keys = status.and_then(|status| status.keys.as_ref()).is_some();
    let had_log = status.and_then(|s| s.refusal_log.as_ref()).is_some_and(|log| log.length > 0);
    let known = status.and_then(|status| status.keys.as_ref());
    let held = rotation::hold(&vault, region, known).await?;
    let signing = signing_key(&vault, had_log).await?;
    let now = i64::try_from(context::now_ms() / 1_000).unwrap_or(i64::MAX);
    let Certificates { mut versions, operator } = certificates::ensure(&vault, region, now).await?;
    let redis = redis(&vault, region, operator, &mut versions).await?;
    if region.clickhouse == Store::Managed || region.clickhouse_cluster.is_some() {
        versions.clickhouse.users = clickhouse(&vault, region).await?;
    }
    let closable = BTreeSet::new();
    let days = rings(&vault, region.ring_days, had_keys, today, &closable).await?;
    let rotation = Rotation::default();
    let log_access = LogAccess { signing: Arc::new(signing), redis };
    Ok(Keys { held, rotation, days, log_access, versions })
}

impl Keys {
    /// Makes another region key where one is asked for or due, and lets it seal once every edge has
    /// it. After the stack was applied, because only then it is known which edges there are.
    pub(super) async fn rotate(
        &mut self,
        ctx: &Context,
        region: &ValidatedRegion,
        known: Option<&KeysStatus>,
        edges: &Edges,
    ) -> Result<(), Error> {
        let turned = rotation::turn(ctx, region, &mut self.held, known, edges, context::now());
        self.rotation = turned.await?;
        let since = self.rotation.sealing.as_ref().map(|(_, since)| since.0.as_second());
        ctx.metrics.keys(since, self.rotation.waits.is_some());
        Ok(())
    }
}

/// Closes the days that every lane has passed, and makes keys for so many days to come. Done once a
/// minute, because nothing tells when a day is over.
pub(super) async fn turn_rings(ctx: &Context, ring_days: u16, today: Day) -> Result<(), Error> {
    let mut redis = ctx.redis.connection().await?;
    let said: Result<Vec<String>, _> =
        redis::cmd("SMEMBERS").arg(CLOSABLE_DAYS).query_async(&mut redis).await;
    let said = match said {
        Ok(said) => said,
        Err(error) => {
            ctx.redis.failed().await;
            return Err(Error::redis("ask which days can be closed")(error));
        }
    };
    let closable: BTreeSet<Day> = said.iter().filter_map(|day| Day::parse(day)).collect();
    rings(&Vault::new(ctx), ring_days, true, today, &closable).await?;
    for day in closable.iter().filter(|day| **day < today) {
        redis::cmd("SREM")
            .arg(CLOSABLE_DAYS)
            .arg(day.to_string())
            .query_async::<()>(&mut redis)
            .await
            .map_err(Error::redis("take a closed day out"))?;
    }
    Ok(())
}

fn random() -> Result<Zeroizing<[u8; KEY_LEN]>, Error> {
    let mut bytes = Zeroizing::new([0; KEY_LEN]);
    getrandom::fill(bytes.as_mut()).map_err(Error::Random)?;
    Ok(bytes)
}

/// A password that needs no quotes anywhere.
fn password() -> Result<Vec<u8>, Error> {
    Ok(hex::encode(random()?.as_ref()).into_bytes())
}

/// The Secret of the key that signs the refusal log's head.
const REFUSAL_KEY: &str = "refusal-key";

/// A Secret that was there once is not made again.
fn gone(name: &str, what: &str) -> Error {
    Error::Blocked(format!(
        "the Secret {name} is gone: {what}. Restore it from a backup. To give up what was sent, \
         delete the Region and apply it again"
    ))
}

async fn signing_key(vault: &Vault<'_>, had_log: bool) -> Result<SigningKey, Error> {
    let name = vault.named(REFUSAL_KEY);
    let lost = "edges and writers believe no other signature under the refusal log";
    let data = match vault.get(&name).await? {
        Some(data) => data,
        None if had_log => return Err(gone(&name, lost)),
        None => vault.create(&name, Data::from([(SEED.into(), random()?.to_vec())])).await?,
    };
    let key = signing_key_of(&data).ok_or_else(|| gone(&name, lost))?;
    let public = key.verifying_key().to_bytes().to_vec();
    vault.hold(&vault.named("refusal-pub"), Data::from([("refusal.pub".into(), public)])).await?;
    Ok(key)
}

/// The entry of [`REFUSAL_KEY`].
const SEED: &str = "refusal.key";

fn signing_key_of(data: &Data) -> Option<SigningKey> {
    let seed: [u8; KEY_LEN] = data.get(SEED)?.as_slice().try_into().ok()?;
    Some(SigningKey::from_bytes(&Zeroizing::new(seed)))
}

/// The Secret of the users of a Redis that is run here.
const REDIS_AUTH: &str = "redis-auth";

/// The operator itself: its user of Redis, and the component that its certificate is of.
const OPERATOR: &str = "operator";

/// Passwords of Redis's users, and the file that Redis reads.
async fn redis(
    vault: &Vault<'_>,
    region: &ValidatedRegion,
    tls: Option<Shown>,
    versions: &mut Versions,
) -> Result<RedisAddress, Error> {
    if let Store::External(external) = &region.redis {
        let data = vault.get(&external.secret).await?.unwrap_or_default();
        return Ok(redis_address(vault.config(), &region.redis, data, tls));
    }
    let name = vault.named(REDIS_AUTH);
    let mut data = vault.get(&name).await?.unwrap_or_default();
    let entry = |user: &str| format!("{user}.password");
    for user in &acl::USERS {
        if text(&data, &entry(user.name)).is_none() {
            data.insert(entry(user.name), password()?);
        }
    }
    let of = |user: &str| text(&data, &entry(user)).unwrap_or_default();
    let file = acl::file(|user| of(user).to_string());
    versions.redis.users = fingerprint(&file);
    data.insert("users.acl".into(), file.into_bytes());
    vault.hold(&name, data.clone()).await?;
    Ok(redis_address(vault.config(), &region.redis, data, tls))
}

/// How the operator reaches Redis, from the Secret that says how: the store's own, or
/// [`REDIS_AUTH`]; `own` is what it shows a Redis that is run here.
fn redis_address(config: &Config, redis: &Store, data: Data, own: Option<Shown>) -> RedisAddress {
    let url = redis.redis_url(config);
    match redis {
        Store::Managed => {
            let password = text(&data, &format!("{OPERATOR}.password"));
            RedisAddress { url, tls: own, user: Some(OPERATOR.into()), password }
        }
        Store::External(external) => {
            let password = if external.has_password { text(&data, "password") } else { None };
            let show = |ExternalTls { has_own }| certificates::shown(data, has_own);
            let tls = external.tls.map(show);
            RedisAddress { url, tls, user: external.user.clone(), password }
        }
    }
}

/// ClickHouse's one user, and the file that makes it; returns which file it is.
async fn clickhouse(vault: &Vault<'_>, region: &ValidatedRegion) -> Result<String, Error> {
    let name = region.named("clickhouse-auth");
    let mut data = vault.get(&name).await?.unwrap_or_default();
    let secret = match text(&data, "password") {
        Some(secret) => secret.as_bytes().to_vec(),
        None => password()?,
    };
    let hash = hex::encode(Sha256::digest(&secret));
    let file = format!(
        "<clickhouse><users><default remove=\"remove\"/><hushmark>\
         <password_sha256_hex>{hash}</password_sha256_hex>\
         <networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>\
         </hushmark></users></clickhouse>\n"
    );
    let version = fingerprint(&file);
    data.insert("password".into(), secret);
    data.insert("users.xml".into(), file.into_bytes());
    vault.hold(&name, data).await?;
    Ok(version)
}

/// Changes with a file that a store reads at its start alone.
fn fingerprint(file: &str) -> String {
    hex::encode(&Sha256::digest(file)[..8])
}

fn text(data: &Data, entry: &str) -> Option<Zeroizing<String>> {
    let text = String::from_utf8(data.get(entry)?.clone()).ok()?;
    Some(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
        .filter(|text| !text.is_empty())
}

/// Both rings, batch keys first.
async fn rings(
    vault: &Vault<'_>,
    ring_days: u16,
    had: bool,
    today: Day,
    closable: &BTreeSet<Day>,
) -> Result<Option<(Day, Day)>, Error> {
    let batch = ring(vault, "batch-keys", ring_days, had, today, closable).await?;
    ring(vault, "salt-keys", ring_days, had, today, closable).await?;
    Ok(batch.first().copied().zip(batch.last().copied()))
}

async fn ring(
    vault: &Vault<'_>,
    which: &str,
    ring_days: u16,
    had: bool,
    today: Day,
    closable: &BTreeSet<Day>,
) -> Result<BTreeSet<Day>, Error> {
    let name = vault.named(which);
    let found = vault.get_versioned(&name).await?;
    if found.is_none() && had {
        return Err(gone(&name, "hits that are under way and marks that were sent need its keys"));
    }
    let held: BTreeSet<Day> = found
        .iter()
        .flat_map(|(data, _)| data)
        .filter(|(_, key)| key.len() == KEY_LEN)
        .filter_map(|(day, _)| Day::parse(day))
        .collect();
    let plan = day_ring::plan(&held, today, ring_days, closable);
    if plan.is_empty() {
        return Ok(held);
    }
    let Plan { add, remove, lost } = plan;
    let made: Vec<(String, Vec<u8>)> = add
        .iter()
        .map(|day| Ok((day.to_string(), random()?.to_vec())))
        .collect::<Result<_, Error>>()?;
    match found {
        None => drop(vault.create(&name, made.into_iter().collect()).await?),
        Some((_, version)) => {
            let changes: Changes = made
                .into_iter()
                .map(|(day, key)| (day, Some(key)))
                .chain(remove.iter().map(|day| (day.to_string(), None)))
                .collect();
            vault.change(&name, &changes, &version).await?;
        }
    }
    tracing::info!(secret = name, added = add.len(), closed = remove.len(), "day ring turned");
    if !lost.is_empty() {
        let days: Vec<String> = lost.iter().map(ToString::to_string).collect();
        tracing::error!(
            secret = name,
            days = days.join(" "),
            "day keys had been taken away and were made anew: what was sealed under the old ones \
             cannot be read"
        );
    }
    Ok(held.difference(&remove).chain(&add).copied().collect())
}

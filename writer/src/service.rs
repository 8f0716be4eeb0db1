//! The program around the sessions: start, stand by, work, drain.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hushmark_event::folder::{self, FolderError};
use hushmark_event::ring::RingError;
use hushmark_event::told::Trouble;
use hushmark_hop::{Files, HopError, PasswordError, PasswordFile};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::admin::{self, Status};
use crate::config::Config;
use crate::erase::Eraser;
use crate::housekeeping::Housekeeping;
use crate::keys::Keys;
use crate::lease::Lease;
use crate::migrate::{MigrateError, migrate};
use crate::plans::Planner;
use crate::publish::Publisher;
use crate::redis_at::{RedisAt, RedisAtError};
use crate::refusals::{RefusalError, Refusals};
use crate::scripts::{Fenced, LeaseId, ScriptError};
use crate::session::{Parts, Session, SessionError};
use crate::shared::Shared;
use crate::store::Address;
use crate::told;

/// How often a standby asks for the lease.
const STAND_BY: Duration = Duration::from_millis(500);

/// How often a session looks whether its password for ClickHouse is still the one in the file.
const PASSWORD_LOOK: Duration = Duration::from_secs(10);

/// Why the writer does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The way to Redis.
    #[error(transparent)]
    Redis(#[from] RedisAtError),
    /// The files for TLS to ClickHouse.
    #[error("TLS to clickhouse: {0}")]
    Clickhouse(#[from] HopError),
    /// The day keys.
    #[error(transparent)]
    Keys(#[from] RingError),
    /// The state folder is another's.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The refusal log's copy.
    #[error(transparent)]
    Refusals(#[from] RefusalError),
    /// ClickHouse's password file.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The schema is newer.
    #[error(transparent)]
    Schema(#[from] MigrateError),
    /// No randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// Not everything was stored before the drain's time was over.
    #[error(
        "not everything was stored within {0} s; what is left waits in redis for the next start"
    )]
    Undrained(u64),
}

/// Everything that is read once, before anything is served.
pub struct Service {
    config: Config,
    redis: RedisAt,
    /// Without its password, which may change.
    clickhouse: Address,
    clickhouse_password: Option<PasswordFile>,
    status: Arc<Status>,
    /// Held as long as the writer lives: nobody else keeps state in its folder.
    _claim: File,
}

/// A drain that takes longer ends without having stored everything.
const DRAIN_TIME: Duration = Duration::from_secs(120);

/// So long a drain waits for a Redis that is gone. What is not stored is in it, or in the edges'
/// lane logs, and the next writer finds it there.
const DRAIN_WITHOUT_REDIS: Duration = Duration::from_secs(10);

impl Service {
    /// Checks the configuration.
    ///
    /// # Errors
    /// [`StartError`] names the setting.
    pub fn new(config: Config) -> Result<Self, StartError> {
        let redis = RedisAt::new(&config)?;
        let clickhouse = Address {
            url: config.clickhouse.clone(),
            tls: clickhouse_tls(&config)?,
            user: config.clickhouse_user.clone(),
            password: None,
        };
        let password_file = config.clickhouse_password_file.as_deref();
        let clickhouse_password = password_file.map(PasswordFile::new).transpose()?;
        // What cannot be read stops the start; each session reads it again.
        Keys::load(config.ring.clone(), config.salts.clone())?;
        let claim = folder::claim(&config.state)?;
        Refusals::load(&config.state, &config.refusal_key)?;
        let status = Arc::new(Status::new(config.metrics_step));
        Ok(Self { config, redis, clickhouse, clickhouse_password, status, _claim: claim })
    }

    /// ClickHouse with the password as it is now.
    fn clickhouse(&self) -> Result<Address, PasswordError> {
        let password = self.clickhouse_password.as_ref().map(PasswordFile::read).transpose()?;
        Ok(Address { password, ..self.clickhouse.clone() })
    }

    /// Returns when ClickHouse has another password than a session began with.
    async fn another_password(&self, address: &Address) {
        loop {
            tokio::time::sleep(PASSWORD_LOOK).await;
            if self.clickhouse().is_ok_and(|now| now.password != address.password) {
                return;
            }
        }
    }

    /// Works, or stands by, until `drain` turns true and everything is stored.
    ///
    /// # Errors
    /// [`StartError`] when working makes no sense; everything that may pass is waited for.
    pub async fn run(
        self,
        admin: TcpListener,
        mut drain: watch::Receiver<bool>,
    ) -> Result<(), StartError> {
        let admin = tokio::spawn(admin::serve(admin, Arc::clone(&self.status)));
        let told = tokio::spawn(told::run(self.redis.clone(), Arc::clone(&self.status)));
        let mut late = drain.clone();
        let overdue = async move {
            // The sender lives as long as the program.
            let _ended = late.wait_for(|drain| *drain).await;
            tokio::time::sleep(DRAIN_TIME).await;
        };
        let worked = tokio::select! {
            worked = self.work(&mut drain) => worked,
            () = overdue => Err(StartError::Undrained(DRAIN_TIME.as_secs())),
        };
        admin.abort();
        told.abort();
        if let Err(StartError::Schema(MigrateError::Newer { found, .. })) = &worked {
            told::last_words(&self.redis, Trouble::NewerSchema(*found)).await;
        }
        worked
    }

    async fn work(&self, drain: &mut watch::Receiver<bool>) -> Result<(), StartError> {
        let mut asked = drain.clone();
        tokio::select! {
            applied = self.apply_schema() => applied?,
            _ = asked.wait_for(|drain| *drain) => {
                tracing::warn!("draining before clickhouse ever answered: all waits in redis");
                return Ok(());
            }
        }
        let mut told = false;
        let mut without_redis = None;
        loop {
            match self.try_session(drain).await {
                Ok(()) => return Ok(()),
                Err(Ended::Start(error)) => return Err(error),
                Err(Ended::StandBy) => {
                    self.status.ready.store(true, Ordering::Relaxed);
                    // What kept it from storing while it worked is the other's now.
                    self.status.troubled(None);
                    if !std::mem::replace(&mut told, true) {
                        tracing::info!("standing by");
                    }
                    if *drain.borrow() {
                        return Ok(());
                    }
                }
                Err(Ended::Session(error)) => {
                    told = false;
                    self.status.ready.store(false, Ordering::Relaxed);
                    tracing::warn!(%error, "session ended");
                }
            }
            if *drain.borrow() {
                let answers = self.redis.connect().await.is_ok();
                let since = without_redis.filter(|_| !answers).unwrap_or_else(Instant::now);
                if since.elapsed() > DRAIN_WITHOUT_REDIS {
                    tracing::warn!("redis is gone: what waits in it is left to the next writer");
                    return Ok(());
                }
                without_redis = Some(since);
            }
            tokio::time::sleep(STAND_BY).await;
        }
    }

    async fn apply_schema(&self) -> Result<(), StartError> {
        loop {
            let address = self.clickhouse();
            let applied = match &address {
                Ok(address) => migrate(&address.client()).await,
                Err(error) => {
                    tracing::warn!(%error, "waiting for clickhouse's password");
                    tokio::time::sleep(STAND_BY).await;
                    continue;
                }
            };
            match applied {
                Ok(()) => {
                    self.status.troubled(None);
                    return Ok(());
                }
                Err(error @ MigrateError::Newer { .. }) => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%error, "waiting for clickhouse");
                    self.status.troubled(Some(told::clickhouse(&error)));
                }
            }
            tokio::time::sleep(STAND_BY).await;
        }
    }

    /// One session under an id of its own: a command of an earlier one that comes late finds
    /// another's lease and changes nothing.
    async fn try_session(&self, drain: &watch::Receiver<bool>) -> Result<(), Ended> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| Ended::Start(StartError::Random(error)))?;
        let session = |error| Ended::Session(SessionError::Redis(error));
        let mut fenced =
            Fenced::new(self.redis.connect().await.map_err(session)?, LeaseId::new(random));
        let lease = match Lease::acquire(&mut fenced).await {
            Ok(lease) => Arc::new(lease),
            Err(ScriptError::LeaseLost) => return Err(Ended::StandBy),
            Err(error) => return Err(Ended::Session(error.into())),
        };
        tracing::info!("working");
        self.status.metrics.working.set(1);
        let ended = self.session(fenced.clone(), Arc::clone(&lease), drain).await;
        self.status.metrics.working.set(0);
        drop(lease);
        // If it is not given back it expires.
        if let Err(error) = fenced.release().await {
            tracing::debug!(%error, "lease was not given back");
        }
        ended
    }

    async fn session(
        &self,
        fenced: Fenced,
        lease: Arc<Lease>,
        drain: &watch::Receiver<bool>,
    ) -> Result<(), Ended> {
        let config = &self.config;
        let clickhouse = self.clickhouse().map_err(|error| Ended::Session(error.into()))?;
        let keys = Keys::load(config.ring.clone(), config.salts.clone())
            .map_err(|error| Ended::Session(error.into()))?;
        let refusals = Refusals::load(&config.state, &config.refusal_key)
            .map_err(|error| Ended::Session(error.into()))?;
        let redis =
            self.redis.connect().await.map_err(|e| Ended::Session(SessionError::Redis(e)))?;
        let shared = Arc::new(Shared::default());
        let mut session = Session::new(Parts {
            redis,
            fenced: fenced.clone(),
            lease: Arc::clone(&lease),
            clickhouse: clickhouse.clone(),
            keys,
            refusals,
            status: Arc::clone(&self.status),
            shared: Arc::clone(&shared),
            window_ms: u64::from(config.window_seconds) * 1_000,
        });
        let publisher = Publisher {
            client: clickhouse.client(),
            lease: Arc::clone(&lease),
            shared: Arc::clone(&shared),
            status: Arc::clone(&self.status),
            epoch_seconds: config.epoch_seconds,
            minimum_group: config.minimum_group,
            fenced: fenced.clone(),
        };
        let eraser = Eraser::new(
            clickhouse.client(),
            fenced.clone(),
            Arc::clone(&lease),
            Arc::clone(&shared),
            Arc::clone(&self.status),
        );
        let redis =
            self.redis.connect().await.map_err(|e| Ended::Session(SessionError::Redis(e)))?;
        let planner = Planner {
            client: clickhouse.client(),
            redis: redis.clone(),
            fenced: fenced.clone(),
            lease: Arc::clone(&lease),
            shared: Arc::clone(&shared),
            recorded: BTreeMap::new(),
        };
        let housekeeping = Housekeeping {
            client: clickhouse.client(),
            redis,
            fenced,
            lease: Arc::clone(&lease),
            shared,
            status: Arc::clone(&self.status),
            ring: config.ring.clone(),
            refusals: (config.state.clone(), config.refusal_key.clone()),
        };
        let worked = tokio::select! {
            worked = session.run(drain.clone()) => worked,
            () = publisher.run() => Err(SessionError::LeaseLost),
            () = eraser.run() => Err(SessionError::LeaseLost),
            () = planner.run() => Err(SessionError::LeaseLost),
            () = housekeeping.run() => Err(SessionError::LeaseLost),
            () = lease.lost() => Err(SessionError::LeaseLost),
            () = self.another_password(&clickhouse) => Err(SessionError::AnotherPassword),
        };
        worked.map_err(Ended::Session)
    }
}

/// The files for TLS to ClickHouse, tried once: what cannot be used stops the start.
fn clickhouse_tls(config: &Config) -> Result<Option<Files>, HopError> {
    let (ca, certificate) = (config.clickhouse_ca.clone(), config.clickhouse_certificate.clone());
    let files = Files::from_options(ca, certificate, config.clickhouse_key.clone())?;
    match (config.clickhouse.starts_with("https://"), files) {
        (true, Some(files)) => {
            files.client()?;
            Ok(Some(files))
        }
        (false, None) => Ok(None),
        (true, None) => Err(HopError::Incomplete("https:// needs --clickhouse-ca")),
        (false, Some(_)) => Err(HopError::Incomplete("--clickhouse-ca is for https:// alone")),
    }
}

/// How a try to work ended, other than by a finished drain.
enum Ended {
    /// Somebody else works.
    StandBy,
    /// Something is unknown: ask anew.
    Session(SessionError),
    /// Nothing will help but a person.
    Start(StartError),
}

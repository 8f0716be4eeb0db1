//! The program around the sessions: start, stand by, work, drain.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hushmark_event::folder::{self, FolderError};
use hushmark_event::ring::RingError;
use hushmark_event::told::Trouble;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, IntoConnectionInfo as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::admin::{self, Status};
use crate::config::Config;
use crate::housekeeping::Housekeeping;
use crate::keys::Keys;
use crate::lease::Lease;
use crate::migrate::{MigrateError, migrate};
use crate::publish::Publisher;
use crate::refusals::{RefusalError, Refusals};
use crate::scripts::{Fenced, LeaseId, ScriptError};
use crate::session::{Parts, Session, SessionError};
use crate::shared::Shared;
use crate::store::Address;
use crate::told;

/// Time to connect to Redis.
const REDIS_CONNECT: Duration = Duration::from_secs(2);

/// Time for Redis to answer: far above a stalled disk's, below what a lease can wait for.
const REDIS_ANSWER: Duration = Duration::from_secs(3);

/// How often a standby asks for the lease.
const STAND_BY: Duration = Duration::from_millis(500);

/// Why the writer does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The Redis URL.
    #[error("cannot use the redis url: {0}; expected redis://host:port or unix:///path")]
    Redis(redis::RedisError),
    /// The day keys.
    #[error(transparent)]
    Keys(#[from] RingError),
    /// The state folder is another's.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The refusal log's copy.
    #[error(transparent)]
    Refusals(#[from] RefusalError),
    /// The password file.
    #[error("cannot read the password file {path}: {source}")]
    Password {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
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
    redis: redis::Client,
    clickhouse: Address,
    status: Arc<Status>,
    /// Held as long as the writer lives: nobody else keeps state in its folder.
    _claim: File,
}

/// A drain that takes longer ends without having stored everything.
const DRAIN_TIME: Duration = Duration::from_secs(120);

impl Service {
    /// Checks the configuration.
    ///
    /// # Errors
    /// [`StartError`] names the setting.
    pub fn new(config: Config) -> Result<Self, StartError> {
        let redis = redis_client(&config)?;
        let password = password(config.clickhouse_password_file.as_deref())?;
        let clickhouse = Address {
            url: config.clickhouse.clone(),
            user: config.clickhouse_user.clone(),
            password,
        };
        // What cannot be read stops the start; each session reads it again.
        Keys::load(config.ring.clone(), config.salts.clone())?;
        let claim = folder::claim(&config.state)?;
        Refusals::load(&config.state, &config.refusal_key)?;
        Ok(Self { config, redis, clickhouse, status: Arc::default(), _claim: claim })
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
        loop {
            match self.try_session(drain).await {
                Ok(()) => return Ok(()),
                Err(Ended::Start(error)) => return Err(error),
                Err(Ended::StandBy) => {
                    self.status.ready.store(true, Ordering::Relaxed);
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
            tokio::time::sleep(STAND_BY).await;
        }
    }

    async fn apply_schema(&self) -> Result<(), StartError> {
        loop {
            match migrate(&self.clickhouse.client()).await {
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

    async fn connect(&self) -> Result<MultiplexedConnection, redis::RedisError> {
        connect(&self.redis).await
    }

    /// One session under an id of its own: a command of an earlier one that comes late finds
    /// another's lease and changes nothing.
    async fn try_session(&self, drain: &watch::Receiver<bool>) -> Result<(), Ended> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| Ended::Start(StartError::Random(error)))?;
        let session = |error| Ended::Session(SessionError::Redis(error));
        let mut fenced = Fenced::new(self.connect().await.map_err(session)?, LeaseId::new(random));
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
        let keys = Keys::load(config.ring.clone(), config.salts.clone())
            .map_err(|error| Ended::Session(error.into()))?;
        let refusals = Refusals::load(&config.state, &config.refusal_key)
            .map_err(|error| Ended::Session(error.into()))?;
        let redis = self.connect().await.map_err(|e| Ended::Session(SessionError::Redis(e)))?;
        let shared = Arc::new(Shared::default());
        let mut session = Session::new(Parts {
            redis,
            fenced: fenced.clone(),
            lease: Arc::clone(&lease),
            clickhouse: self.clickhouse.clone(),
            keys,
            refusals,
            status: Arc::clone(&self.status),
            shared: Arc::clone(&shared),
            window_ms: u64::from(config.window_seconds) * 1_000,
        });
        let publisher = Publisher {
            client: self.clickhouse.client(),
            lease: Arc::clone(&lease),
            shared: Arc::clone(&shared),
            status: Arc::clone(&self.status),
            epoch_seconds: config.epoch_seconds,
            minimum_group: config.minimum_group,
            fenced: fenced.clone(),
        };
        let redis = self.connect().await.map_err(|e| Ended::Session(SessionError::Redis(e)))?;
        let housekeeping = Housekeeping {
            client: self.clickhouse.client(),
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
            () = housekeeping.run() => Err(SessionError::LeaseLost),
            () = lease.lost() => Err(SessionError::LeaseLost),
        };
        worked.map_err(Ended::Session)
    }
}

/// A connection with a time-out on every answer.
pub(crate) async fn connect(
    redis: &redis::Client,
) -> Result<MultiplexedConnection, redis::RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(REDIS_CONNECT))
        .set_response_timeout(Some(REDIS_ANSWER));
    redis.get_multiplexed_async_connection_with_config(&config).await
}

fn password(path: Option<&Path>) -> Result<Option<Zeroizing<String>>, StartError> {
    let Some(path) = path else { return Ok(None) };
    let failed = |source| StartError::Password { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(failed)?;
    Ok(Some(Zeroizing::new(text.trim_end().to_owned())))
}

fn redis_client(config: &Config) -> Result<redis::Client, StartError> {
    let mut info = config.redis.as_str().into_connection_info().map_err(StartError::Redis)?;
    if let Some(password) = password(config.redis_password_file.as_deref())? {
        let mut settings = info.redis_settings().clone().set_password(password.as_str());
        if let Some(user) = &config.redis_user {
            settings = settings.set_username(user);
        }
        info = info.set_redis_settings(settings);
    }
    redis::Client::open(info).map_err(StartError::Redis)
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

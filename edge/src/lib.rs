//! The pixel and redirect server.
//!
//! The path of a request, in reading order:
//!
//! 1. [`start`]: everything that can fail before the first request, from the [`config`].
//! 2. `worker`: one core, which is one thread, one listener, one lane.
//! 3. `conn`: one connection, its limits, its parking.
//! 4. `handler`: one request: verify, classify, append, answer. With [`classify`] (who made it),
//!    [`client_addr`] (where from), [`place`] (which country) and [`reply`] (every answer).
//! 5. `commit`: where requests wait for their batch.
//! 6. `lane`: seals the batch and brings it to Redis over a `link`, which speaks `resp`.

pub mod classify;
pub mod client_addr;
mod commit;
pub mod config;
mod conn;
mod handler;
mod known;
mod lane;
mod link;
pub mod place;
pub mod reply;
mod resp;
pub mod start;
mod stats;
mod worker;

use std::future::Future;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use hushmark_event::Lane;
use hushmark_event::refusal::RefusalLog;
use tokio::sync::watch;

use crate::classify::Classifier;
use crate::client_addr::{ForwardHeader, Ranges, TrustedProxies};
use crate::config::{Config, ForwardHeaderName};
use crate::conn::Limits;
use crate::handler::Rules;
use crate::known::{Known, Shared};
use crate::link::RedisAt;
use crate::start::StartError;
use crate::stats::CoreStats;
use crate::worker::Worker;

/// An edge that is ready to serve: keys read, ports bound.
pub struct Edge {
    config: Config,
    addr: SocketAddr,
    listeners: Vec<TcpListener>,
    shared: Arc<Shared>,
    rules: Arc<Rules>,
    redis: RedisAt,
    incarnation: u64,
}

impl Edge {
    /// Does everything that can fail.
    ///
    /// # Errors
    /// [`StartError`] says what, where and what to do.
    pub fn prepare(config: Config) -> Result<Self, StartError> {
        let (keys, ring) = start::load_keys(&config)?;
        let redis = start::redis_at(&config)?;
        let ranges = |text: &str, what: &str| {
            Ranges::parse(text)
                .map_err(|source| StartError::Ranges { what: what.to_owned(), source })
        };
        let proxies = ranges(&config.trusted_proxy.join("\n"), "--trusted-proxy")?;
        let header = match config.forward_header {
            ForwardHeaderName::XForwardedFor => ForwardHeader::XForwardedFor,
            ForwardHeaderName::Forwarded => ForwardHeader::Forwarded,
        };
        let rules = Rules {
            classifier: Classifier::new(None),
            proxies: TrustedProxies::new(proxies, header),
            privacy_signals: config.privacy_signals,
        };
        let known = Known {
            keys,
            ring,
            refusals: Some(Arc::new(RefusalLog::default())),
            countries: None,
        };
        let cores = config.threads.unwrap_or_else(|| {
            thread::available_parallelism().map_or(1, |n| n.get().min(256) as u16)
        });
        let listeners = start::listeners(config.listen, "--listen", cores)?;
        let addr = listeners[0]
            .local_addr()
            .map_err(|source| StartError::System { what: "local address", source })?;
        Ok(Self {
            config,
            addr,
            listeners,
            shared: Arc::new(Shared::new(known)),
            rules: Arc::new(rules),
            redis,
            incarnation: u64::from_be_bytes(start::random()?),
        })
    }

    /// Where mail clients connect.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `shutdown` is done, then drains.
    ///
    /// # Errors
    /// [`StartError::System`] when a thread cannot be started.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
        let (stop, stopped) = watch::channel(false);
        let cores = self.listeners.len();
        let mut threads = Vec::new();
        for (core, listener) in self.listeners.into_iter().enumerate() {
            let worker = Worker {
                listener,
                lane: Lane { incarnation: self.incarnation, core: core as u16 },
                shared: Arc::clone(&self.shared),
                rules: Arc::clone(&self.rules),
                stats: Arc::new(CoreStats::new()),
                redis: self.redis.clone(),
                limits: Limits { head: self.config.header_timeout, idle: self.config.idle_timeout },
                max_connections: self.config.max_connections as usize / cores,
                cache_key: start::random()?,
                stop: stopped.clone(),
            };
            let thread = thread::Builder::new()
                .name(format!("core-{core}"))
                .spawn(move || worker.run())
                .map_err(|source| StartError::System { what: "cannot start a thread", source })?;
            threads.push(thread);
        }
        shutdown.await;
        stop.send_replace(true);
        for thread in threads {
            drop(thread.join());
        }
        Ok(())
    }
}

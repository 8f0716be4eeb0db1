//! The edge as a whole: made from its configuration, run until told to stop, drained.

use std::fs::File;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hushmark_event::{Lane, folder};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::classify::Classifier;
use crate::client_addr::{ForwardHeader, Ranges, TrustedProxies};
use crate::config::{Config, ForwardHeaderName};
use crate::conn::Limits;
use crate::control::refusals::Copy;
use crate::control::reload::Files;
use crate::control::{self, Control, Counts, Traffic, admin, pulse, refusals, reload};
use crate::door::Door;
use crate::door::tls::{self, Certificate, TlsFiles};
use crate::handler::Rules;
use crate::known::{Known, Shared};
use crate::lane_log::{LaneLog, LogThread, dropped_records};
use crate::place::CountryDb;
use crate::replay::{ReplayError, Replayed};
use crate::start::{self, StartError, file_error};
use crate::stats::CoreStats;
use crate::worker::Worker;

/// An edge that is ready to serve: keys read, files made, ports bound.
pub struct Edge {
    config: Config,
    addr: SocketAddr,
    admin_addr: SocketAddr,
    admin: TcpListener,
    listeners: Vec<TcpListener>,
    logs: Vec<(Lane, LaneLog)>,
    rules: Arc<Rules>,
    certificate: Option<(Arc<Certificate>, TlsFiles)>,
    tls: Option<TlsAcceptor>,
    copy: Copy,
    control: Arc<Control>,
    reload: Arc<Notify>,
    /// Held as long as the edge lives: nobody else keeps state in its folder.
    _claim: File,
}

impl Edge {
    /// Does everything that can fail.
    ///
    /// # Errors
    /// [`StartError`] says what, where and what to do.
    pub fn prepare(config: Config) -> Result<Self, StartError> {
        start::raise_descriptor_limit(config.max_connections);
        let (keys, ring) = start::load_keys(&config)?;
        let redis = start::redis_at(&config)?;
        let countries = config.country_db.as_deref().map(CountryDb::open).transpose()?;
        let rules = Arc::new(rules(&config)?);
        let certificate = start::certificate(&config)?;
        let shown = certificate.as_ref().map(|(certificate, _)| Arc::clone(certificate));
        let tls = shown.map(tls::acceptor).transpose()?;
        let cores = config.threads.unwrap_or_else(|| {
            thread::available_parallelism().map_or(1, |n| n.get().min(256) as u16)
        });
        let listeners = start::listeners(config.listen, "--listen", cores)?;
        let admin = start::listeners(config.admin, "--admin", 1)?.remove(0);
        let local = |listener: &TcpListener| {
            let addr = listener.local_addr();
            addr.map_err(|source| StartError::System { what: "cannot ask for the port", source })
        };
        let (addr, admin_addr) = (local(&listeners[0])?, local(&admin)?);

        let folder = config.lane_log.clone();
        let claim = folder::claim(&folder)?;
        let copy = Copy::load(&folder, start::refusal_key(&config)?);
        // What an earlier process took and could not bring to Redis is obeyed before it gets there.
        let objected = crate::replay::objected(&folder, &ring)
            .map_err(file_error("read the lane logs in", &folder))?;
        let known = Known {
            keys,
            ring,
            refusals: copy.verified(),
            objected: Arc::new(objected),
            countries: countries.map(Arc::new),
        };
        let incarnation = u64::from_be_bytes(start::random()?);
        let dropped_before =
            dropped_records(&folder).map_err(file_error("read the folder", &folder))?;
        let mut logs = Vec::new();
        for core in 0..cores {
            let lane = Lane { incarnation, core };
            let max = config.lane_log_max_bytes / u64::from(cores);
            logs.push((lane, LaneLog::create(&folder, lane, max)?));
        }
        let control = Control {
            shared: Arc::new(Shared::new(known)),
            redis,
            folder,
            name: config.name(),
            incarnation,
            cores: (0..cores).map(|_| Arc::new(CoreStats::new())).collect(),
            spill: Arc::default(),
            draining: AtomicBool::new(false),
            dead_logs: AtomicBool::new(true),
            counts: Counts::default(),
            traffic: Traffic::new(config.metrics_step),
            dropped_before,
        };
        let (control, reload) = (Arc::new(control), Arc::default());
        Ok(Self {
            config,
            addr,
            admin_addr,
            admin,
            listeners,
            logs,
            rules,
            certificate,
            tls,
            copy,
            control,
            reload,
            _claim: claim,
        })
    }

    /// Where mail clients connect.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where operators look.
    #[must_use]
    pub const fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// What reloads all files when it is notified, changed or not: SIGHUP.
    #[must_use]
    pub fn reload(&self) -> Arc<Notify> {
        Arc::clone(&self.reload)
    }

    /// Serves until `shutdown` is done, then drains: no new connection, every request answered, the
    /// lane logs brought to Redis if it is there, and a last heartbeat that says whether they were.
    ///
    /// # Errors
    /// [`StartError::System`] when a thread cannot be started or died.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
        let Self { config, admin, listeners, logs, rules, tls, copy, control, reload, .. } = self;
        let (stop, stopped) = watch::channel(false);
        let mut threads = Vec::new();
        let max_connections = config.max_connections as usize / listeners.len();
        let works = listeners.into_iter().zip(logs).zip(&control.cores);
        for ((listener, (lane, log)), stats) in works {
            let worker = Worker {
                listener,
                lane,
                shared: Arc::clone(&control.shared),
                rules: Arc::clone(&rules),
                stats: Arc::clone(stats),
                redis: control.redis.clone(),
                limits: Limits { head: config.header_timeout, idle: config.idle_timeout },
                door: Door { proxy_protocol: config.proxy_protocol, tls: tls.clone() },
                max_connections,
                cache_key: start::random()?,
                log: LogThread::start(format!("log-{}", lane.core), log)?,
                durability: config.durability,
                spill: Arc::clone(&control.spill),
                stop: stopped.clone(),
                drain_timeout: config.drain_timeout,
            };
            let thread = thread::Builder::new()
                .name(format!("core-{}", lane.core))
                .spawn(move || worker.run())
                .map_err(|source| StartError::System { what: "cannot start a thread", source })?;
            threads.push(thread);
        }
        let files = Files {
            keys: config.keys.unwrap_or_default(),
            ring: config.ring.unwrap_or_default(),
            countries: config.country_db,
            certificate: self.certificate,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(reload::follow(Arc::clone(&control), files, reload));
        tasks.spawn(refusals::follow(Arc::clone(&control), copy));
        tasks.spawn(pulse::run(Arc::clone(&control)));
        tasks.spawn(control::replay_dead_logs(Arc::clone(&control)));
        let port = Arc::clone(&control);
        tasks.spawn(async move {
            if let Err(error) = admin::serve(port, admin).await {
                tracing::error!(%error, "the admin port is closed");
            }
        });

        let died = tokio::select! {
            () = shutdown => false,
            () = any_ends(&threads) => true,
        };
        control.draining.store(true, Ordering::Relaxed);
        stop.send_replace(true);
        let deadline = Instant::now() + config.drain_timeout + Duration::from_secs(2);
        while threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tasks.shutdown().await;
        pulse::last(&control).await;
        let mut ended = if died { Err("a core's thread ended") } else { Ok(()) };
        for thread in threads.into_iter().filter(JoinHandle::is_finished) {
            if !matches!(thread.join(), Ok(Ok(()))) {
                ended = Err("a core's thread failed");
            }
        }
        tracing::info!(log_empty = control.log_is_empty(), "drained");
        ended.map_err(|what| StartError::System { what, source: std::io::ErrorKind::Other.into() })
    }
}

async fn any_ends<T>(threads: &[JoinHandle<T>]) {
    while !threads.iter().any(JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn rules(config: &Config) -> Result<Rules, StartError> {
    let ranges = |text: &str, what: &str| {
        Ranges::parse(text).map_err(|source| StartError::Ranges { what: what.to_owned(), source })
    };
    let proxies = ranges(&config.trusted_proxy.join("\n"), "--trusted-proxy")?;
    let relay = match &config.relay_ranges {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(file_error("read", path))?;
            Some(ranges(&text, &path.display().to_string())?)
        }
    };
    let header = match config.forward_header {
        ForwardHeaderName::XForwardedFor => ForwardHeader::XForwardedFor,
        ForwardHeaderName::Forwarded => ForwardHeader::Forwarded,
    };
    Ok(Rules {
        classifier: Classifier::new(relay),
        proxies: TrustedProxies::new(proxies, header),
        privacy_signals: config.privacy_signals,
    })
}

/// Replays the logs in the configured folder, says in Redis that it is empty, and does nothing else:
/// `--replay`.
///
/// # Errors
/// [`ReplayError::Away`] at once while Redis is away; [`ReplayError::Refused`] says what else.
pub async fn replay(config: &Config) -> Result<Replayed, ReplayError> {
    let refused = |error: StartError| ReplayError::Refused(error.to_string());
    let redis = start::redis_at(config).map_err(refused)?;
    let replayed = crate::replay::folder(&config.lane_log, &redis).await?;
    let incarnation = u64::from_be_bytes(start::random().map_err(refused)?);
    crate::replay::told(&config.name(), incarnation, &redis).await?;
    Ok(replayed)
}

//! One core: a runtime, a listener, a lane.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use hushmark_event::Lane;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::task::spawn_local;

use crate::config::Durability;
use crate::conn::{self, Connections, Core, Limits, TICK};
use crate::control::now_ms;
use crate::door::Door;
use crate::handler::{Desk, Rules};
use crate::known::Shared;
use crate::lane::LaneTask;
use crate::lane_log::LogThread;
use crate::link::RedisAt;
use crate::stats::CoreStats;

/// What a core's thread is given.
pub(crate) struct Worker {
    pub(crate) listener: TcpListener,
    pub(crate) lane: Lane,
    pub(crate) shared: Arc<Shared>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) stats: Arc<CoreStats>,
    pub(crate) redis: RedisAt,
    pub(crate) limits: Limits,
    pub(crate) door: Door,
    /// Connections that this core may hold.
    pub(crate) max_connections: usize,
    pub(crate) cache_key: [u8; 16],
    pub(crate) log: LogThread,
    pub(crate) durability: Durability,
    pub(crate) spill: Arc<AtomicBool>,
    pub(crate) stop: watch::Receiver<bool>,
    /// How long requests in flight, and then the lane, may take once told to stop.
    pub(crate) drain_timeout: Duration,
}

impl Worker {
    /// Serves until told to stop, and then drains.
    pub(crate) fn run(self) -> io::Result<()> {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(self.serve())
    }

    async fn serve(mut self) -> io::Result<()> {
        let stats = Arc::clone(&self.stats);
        let desk = Rc::new(Desk::new(
            Arc::clone(&self.shared),
            Arc::clone(&self.rules),
            Arc::clone(&self.stats),
            self.cache_key,
        ));
        let lane = LaneTask::new(
            Rc::clone(&desk),
            self.lane,
            self.redis,
            self.log,
            self.durability,
            self.spill,
        );
        let mut lane = spawn_local(lane.run());
        let core = Rc::new(Core {
            connections: Connections::new(),
            desk: Rc::clone(&desk),
            door: self.door,
            http: conn::http(),
            patience: self.limits.head,
        });
        let connections = &core.connections;
        let _sweep = spawn_local(sweep(Rc::clone(&core), self.limits, Arc::clone(&stats)));
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = self.stop.wait_for(|stop| *stop) => break,
                // It ends before it is told to only by a panic: nobody would be answered any more.
                ended = &mut lane => {
                    return Err(ended.map_or_else(io::Error::other, |()| io::Error::other("lane")));
                }
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, or a client that was gone at once.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            stats.accepted.one();
            if connections.count() >= self.max_connections || stream.set_nodelay(true).is_err() {
                stats.turned_away.one();
                continue;
            }
            spawn_local(conn::serve(Rc::clone(&core), connections.add(), stream, peer.ip()));
            stats.connections.set(connections.count() as u64);
        }
        drop(listener);
        drain(connections, &desk, lane, self.drain_timeout).await;
        stats.alive_ms.set(0);
        Ok(())
    }
}

/// Answers what was asked, flushes the last batch, and gives the lane log to Redis if it is there.
async fn drain(
    connections: &Connections,
    desk: &Desk,
    lane: tokio::task::JoinHandle<()>,
    patience: Duration,
) {
    let deadline = Instant::now() + patience;
    connections.finish();
    while connections.count() > 0 && Instant::now() < deadline {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
    if connections.count() > 0 {
        tracing::warn!(connections = connections.count(), "closing connections unfinished");
    }
    desk.commit.close();
    let left = deadline.saturating_duration_since(Instant::now()).max(LAST_BATCH);
    if tokio::time::timeout(left, lane).await.is_err() {
        tracing::warn!("the lane log keeps what redis does not have");
    }
}

/// How long a core waits when it cannot accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often the drain looks whether connections are gone.
const DRAIN_LOOK: Duration = Duration::from_millis(5);

/// What the last batch gets even when connections took all the time there was.
const LAST_BATCH: Duration = Duration::from_millis(500);

async fn sweep(core: Rc<Core>, limits: Limits, stats: Arc<CoreStats>) {
    let mut tick = tokio::time::interval(TICK);
    loop {
        tick.tick().await;
        stats.alive_ms.set(now_ms());
        core.connections.sweep(limits, &stats);
    }
}

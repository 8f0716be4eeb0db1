//! One core: a runtime, a listener, a lane.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hushmark_event::Lane;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::task::spawn_local;

use crate::conn::{self, Connections, Limits, TICK};
use crate::handler::{Desk, Rules};
use crate::known::Shared;
use crate::lane::LaneTask;
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
    /// Connections that this core may hold.
    pub(crate) max_connections: usize,
    pub(crate) cache_key: [u8; 16],
    pub(crate) stop: watch::Receiver<bool>,
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
        let connections = Rc::new(Connections::new());
        let lane = LaneTask { desk: Rc::clone(&desk), lane: self.lane, redis: self.redis.clone() };
        let _lane = spawn_local(lane.run());
        let _sweep = spawn_local(sweep(Rc::clone(&connections), self.limits, Arc::clone(&stats)));
        let http = Rc::new(conn::http());
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = self.stop.wait_for(|stop| *stop) => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, or a client that was gone at once.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            };
            stats.accepted.one();
            if connections.count() >= self.max_connections || stream.set_nodelay(true).is_err() {
                stats.turned_away.one();
                continue;
            }
            spawn_local(conn::serve(
                Rc::clone(&connections),
                Rc::clone(&http),
                Rc::clone(&desk),
                stream,
                peer.ip(),
            ));
            stats.connections.set(connections.count() as u64);
        }
        drop(listener);
        connections.finish();
        while connections.count() > 0 || !desk.commit.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

async fn sweep(connections: Rc<Connections>, limits: Limits, stats: Arc<CoreStats>) {
    let mut tick = tokio::time::interval(TICK);
    loop {
        tick.tick().await;
        connections.sweep(limits, &stats);
    }
}

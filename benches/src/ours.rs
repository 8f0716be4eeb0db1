//! The edge with its Redis, and what came of every hit that it answered.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use hushmark_policy::{CampaignId, Kind, Mode};
use hushmark_tests::figure::Figures;
use hushmark_tests::plan::{Minter, Planned};
use hushmark_tests::stack::{Server, Shape, Stack, wait_ready};
use hushmark_tests::tools::Tools;
use hushmark_tests::verify::{Stored, wait_until_drained};

use crate::load::{Asks, Load};
use crate::pinned::pin;
use crate::rounds::Contender;

/// Campaigns that are out at once: a region's morning.
const CAMPAIGNS: u64 = 30;
/// Different tokens of one kind: more than any cache of the processor holds.
const TOKENS: u64 = 20_000;

/// One edge on the servers' core, with a Redis that syncs as told. Its engine and writer are
/// started when everything was measured, to see what was stored.
pub struct Ours {
    stack: Stack,
}

impl Ours {
    /// Starts Redis and the edge.
    ///
    /// # Errors
    /// When a program is missing or not ready in time.
    pub fn start(tools: &Tools, fsync: &'static str, seed: u64) -> Result<Self> {
        Self::start_with(tools, fsync, seed, Vec::new())
    }

    /// The same with more arguments for the edge.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(
        tools: &Tools,
        fsync: &'static str,
        seed: u64,
        edge_args: Vec<String>,
    ) -> Result<Self> {
        let shape = Shape { writers: 1, fsync, edge_args, ..Shape::default() };
        let stack = Stack::prepare(tools, &shape, seed)?;
        let redis = &stack.redis.process;
        pin(redis);
        redis.start()?;
        wait_ready("redis-server", redis, || stack.redis.is_ready())?;
        stack.publish_refusals()?;
        let ours = Self { stack };
        let edge = ours.edge();
        pin(&edge.process);
        edge.process.start()?;
        wait_ready("the edge", &edge.process, || edge.is_ready())?;
        Ok(ours)
    }

    /// Has it take its turn.
    ///
    /// # Errors
    /// When it has no address, which every edge has.
    pub fn contender<'a>(
        &'a self,
        name: &'static str,
        load: &'a dyn Asks,
    ) -> Result<Contender<'a>> {
        Ok(Contender {
            name,
            address: self.address()?,
            server: &self.edge().process,
            store: Some(&self.stack.redis.process),
            load,
        })
    }

    /// Where it takes hits.
    ///
    /// # Errors
    /// When it has no address, which every edge has.
    pub fn address(&self) -> Result<SocketAddr> {
        self.edge().listen.context("an edge listens")
    }

    /// Seals tokens that it verifies.
    #[must_use]
    pub fn minter(&self) -> Minter {
        self.stack.minter()
    }

    fn edge(&self) -> &Server {
        &self.stack.edges[0]
    }

    /// Valid tokens of one kind, in every mode that counts, as a load.
    ///
    /// # Errors
    /// When one cannot be sealed or the file not written.
    pub fn load(&self, folder: &Path, kind: Kind, duration: Duration) -> Result<Load> {
        let name = match kind {
            Kind::Open => "pixels",
            Kind::Click => "redirects",
        };
        Load::new(folder, name, self.paths(kind)?.iter().map(String::as_str), duration)
    }

    /// The paths of that load.
    ///
    /// # Errors
    /// When a token cannot be sealed.
    pub fn paths(&self, kind: Kind) -> Result<Vec<String>> {
        let mut minter = self.minter();
        let segment = match kind {
            Kind::Open => "o",
            Kind::Click => "c",
        };
        (0..TOKENS)
            .map(|n| Ok(format!("/{segment}/{}", minter.token(&planned(kind, n))?)))
            .collect()
    }

    /// Refused = 0, and what was sent was stored: starts engine and writer, waits until nothing is
    /// under way, and compares.
    ///
    /// `answered` is what the clients saw; up to `cut_off` more were under way when they stopped.
    ///
    /// # Errors
    /// When a part does not start or a store cannot be read.
    pub fn account(&self, figures: &mut Figures, answered: u64, cut_off: u64) -> Result<()> {
        let metric = |name: &str| -> Result<u64> {
            let value = self.edge().metric(&format!("hushmark_edge_{name}"))?;
            Ok(value.with_context(|| format!("the edge does not tell {name}"))? as u64)
        };
        let mut refused = 0;
        for name in ["refused_total", "rejected_total", "not_found_total"] {
            refused += metric(name)?;
        }
        figures.exactly("edge: refused", refused, 0, "requests");
        figures.exactly("edge: dropped", metric("dropped_records_total")?, 0, "records");
        let hits = metric("hits_total")?;
        figures.must(
            "edge: hits counted",
            hits,
            &format!("{answered} answered, and at most {cut_off} more"),
            (answered..=answered + cut_off).contains(&hits),
        );
        let Stack { clickhouse, writers, .. } = &self.stack;
        clickhouse.process.start()?;
        wait_ready("the engine", &clickhouse.process, || clickhouse.is_ready())?;
        writers[0].process.start()?;
        wait_ready("the writer", &writers[0].process, || writers[0].is_ready())?;
        wait_until_drained(&self.stack, Duration::from_secs(600))?;
        let stored = Stored::read(clickhouse)?.counters.values().sum();
        figures.exactly("edge: hits stored", stored, hits, "hits");
        Ok(())
    }
}

fn planned(kind: Kind, n: u64) -> Planned {
    let campaign = n % CAMPAIGNS;
    Planned {
        kind,
        mode: [Mode::Overall, Mode::Anonymous, Mode::Individual][campaign as usize % 3],
        campaign: CampaignId(0x0e00_0000_0000_0000 + campaign),
        link: if kind == Kind::Click { 1 + (n / CAMPAIGNS % 16) as u16 } else { 0 },
        mark: n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    }
}

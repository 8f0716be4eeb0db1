//! Proof `hops`: edge and writer reach Redis and ClickHouse by mutual TLS. Hits arrive, strangers do
//! not, and a renewed certificate, of a renewed authority too, needs no restart of either.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use hushmark_hop::Files;
use rustls::{ClientConnection, StreamOwned};

use super::Run;
use crate::figure::{Figures, progress};
use crate::http;
use crate::load::{Job, Load, Outcome};
use crate::plan::Plan;
use crate::stack::{Authority, End, Hops, Shape, Stack, wait_ready};
use crate::verify::{Account, wait_until_drained};

/// How long a store may take to answer, or to hang up.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long what was answered may take to be stored.
const DRAIN: Duration = Duration::from_secs(120);

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let shape = Shape { tls: true, writers: 1, ..Shape::default() };
    let stack = Stack::start(&run.tools, &shape, run.seed())?;
    let hops = stack.hops.as_ref().context("the stack has certificates")?;
    strangers(&stack, hops, &mut figures)?;
    let pids =
        || -> Result<_> { Ok([stack.edges[0].process.pid()?, stack.writers[0].process.pid()?]) };
    let before = pids()?;
    let first = carry(run, &stack, None, "by the first authority", &mut figures)?;
    renew(&stack, hops, &mut figures)?;
    carry(run, &stack, Some(first), "by either, with the renewed one", &mut figures)?;
    figures.exactly("restarts of edge and writer", u64::from(pids()? != before), 0, "restarts");
    Ok(figures)
}

/// The authority is renewed: clients show certificates of the new one and trust both, servers trust
/// the new one alone. Servers read theirs at their start; a client that went on showing its old
/// certificate would be refused.
fn renew(stack: &Stack, hops: &Hops, figures: &mut Figures) -> Result<()> {
    let renewed = Authority::new("second")?;
    for end in [End::Edge, End::Writer, End::Test] {
        renewed.issue(&hops.folder(end), &[&hops.authority, &renewed])?;
    }
    for end in [End::Redis, End::ClickHouse] {
        renewed.issue(&hops.folder(end), &[&renewed])?;
    }
    for process in [&stack.redis.process, &stack.clickhouse.process] {
        process.kill9()?;
        process.start()?;
    }
    wait_ready("redis-server", &stack.redis.process, || stack.redis.is_ready())?;
    wait_ready("the engine", &stack.clickhouse.process, || stack.clickhouse.is_ready())?;
    let old = hops.authority.issue(&stack.folder().join("tls/old"), &[&renewed])?;
    let let_in = u64::from(ping(redis(stack)?, &old)) + u64::from(select(stack, &old).is_ok());
    figures.exactly("stores that take the old authority's certificates", let_in, 0, "stores");
    Ok(())
}

/// Hits, answered and then stored, each once: with those of before, which the stores hold, too.
fn carry(
    run: &Run,
    stack: &Arc<Stack>,
    before: Option<Outcome>,
    label: &str,
    figures: &mut Figures,
) -> Result<Outcome> {
    let count = run.size(100_000, 2_000);
    let plan = Plan::EachItsOwn { seed: run.seed() };
    let load = Load::start(Job {
        targets: stack.targets(),
        connections: 8,
        plan,
        minter: stack.minter(),
        first: if before.is_some() { count } else { 0 },
        count,
        rate: None,
        patience: Duration::from_secs(30),
        latency_every: 1,
    });
    let mut outcome = load.join()?;
    wait_until_drained(stack, DRAIN)?;
    let label = format!("{label}: ");
    figures.exactly(&format!("{label}hits answered"), outcome.answered.count(), count, "hits");
    if let Some(before) = before {
        outcome.sent.extend(&before.sent);
        outcome.answered.extend(&before.answered);
    }
    let account = Account::of(stack, plan, &outcome)?;
    account.tell(&label, figures);
    if !account.holds() {
        progress(&stack.logs());
    }
    Ok(outcome)
}

/// On both stores: no TLS, no certificate, and another authority's certificate.
fn strangers(stack: &Stack, hops: &Hops, figures: &mut Figures) -> Result<()> {
    let ours = hops.files(End::Test);
    let naked = Files { own: None, ..ours.clone() };
    let elsewhere = Authority::new("elsewhere")?;
    let theirs = elsewhere.issue(&stack.folder().join("tls/stranger"), &[&hops.authority])?;
    let mut let_in = 0_u64;
    for files in [&naked, &theirs] {
        let_in += u64::from(ping(redis(stack)?, files)) + u64::from(select(stack, files).is_ok());
    }
    let_in += u64::from(ping_in_the_open(redis(stack)?)?);
    let open = stack.clickhouse.address;
    let asked = [
        http::post(open, "/", b"SELECT 1", PATIENCE)?.status,
        http::get(open, "/?query=SELECT+1", PATIENCE)?.status,
    ];
    let_in += asked.iter().filter(|status| **status != 403).count() as u64;
    figures.exactly("strangers that were answered, of seven", let_in, 0, "strangers");
    let known = u64::from(ping(redis(stack)?, &ours)) + u64::from(select(stack, &ours).is_ok());
    figures.exactly("stores that answer who shows our certificate", known, 2, "stores");
    let probed = http::get(open, "/ping", PATIENCE)?.status;
    figures.exactly("answer to a probe in the open", probed.into(), 200, "status");
    Ok(())
}

fn redis(stack: &Stack) -> Result<SocketAddr> {
    stack.redis.tls.context("redis speaks TLS")
}

/// Whether Redis answers one who shows these.
fn ping(address: SocketAddr, files: &Files) -> bool {
    let ask = || -> Result<bool> {
        let session = ClientConnection::new(files.client()?, address.ip().into())?;
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(session, stream);
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+PONG\r\n")
    };
    ask().unwrap_or(false)
}

fn ping_in_the_open(address: SocketAddr) -> Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"PING\r\n")?;
    let mut said = Vec::new();
    // An alert or nothing; what matters is that it is no answer.
    stream.read_to_end(&mut said).ok();
    Ok(said.windows(4).any(|word| word == b"PONG"))
}

/// What the engine answers one who shows these.
fn select(stack: &Stack, files: &Files) -> Result<String> {
    let (address, _) = stack.clickhouse.tls.as_ref().context("the engine speaks TLS")?;
    let shown = (files.client()?, "127.0.0.1");
    let answer = http::post_by_tls(*address, shown, "/", b"SELECT 1", PATIENCE)?;
    Ok(answer.text())
}
